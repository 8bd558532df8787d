/* Sealing and opening: base64 of nonce, ciphertext, tag. */
#include <limits.h>
#include <string.h>

#define ERR_STATE OPENSSL_ERR_STATE_ /* OpenSSL has a type of that name, base/err.h a code */
#include <openssl/evp.h>
#undef ERR_STATE

#include "base/fs.h"
#include "base/ids.h"
#include "base/str.h"
#include "hub/sealing_key.h"

#define NONCE_BYTES 12
#define TAG_BYTES 16
#define MAX_TEXT_BYTES (64u << 10)
#define MAX_SEALED_BYTES ((((size_t)MAX_TEXT_BYTES + NONCE_BYTES + TAG_BYTES) / 3 + 1) * 4)
#define HEX_BYTES ((size_t)2 * SEALING_KEY_BYTES)

static int make_key(int dirfd, const char *name, struct sealing_key *k, struct err *err)
{
    char hex[HEX_BYTES + 2];
    int r;

    ids_random(k->key, sizeof(k->key));
    str_hex(k->key, sizeof(k->key), hex);
    hex[HEX_BYTES] = '\n';
    r = fs_write_atomic(dirfd, name, hex, sizeof(hex) - 1, 0600, true, err);
    explicit_bzero(hex, sizeof(hex));
    return r;
}

int sealing_key_read_or_make(int dirfd, const char *name, struct sealing_key *ret_key,
                             struct err *err)
{
    AUTO(sealing_key_done) struct sealing_key k = {.has_key = true};
    AUTO(buf_done) struct buf bytes = {0};
    int r;

    buf_init(&bytes, 256);
    r = fs_read_file(dirfd, name, &bytes, err);
    if (r == 0 && bytes.len > 0 && bytes.data[bytes.len - 1] == '\n')
        bytes.data[--bytes.len] = '\0'; /* the line's end is not part of the key */
    if (r == ERR_NOT_FOUND) {
        r = make_key(dirfd, name, &k, err);
    } else if (r == 0 &&
               (bytes.len < HEX_BYTES || !str_unhex(bytes.data, k.key, SEALING_KEY_BYTES))) {
        r = err_set(err, ERR_INVALID,
                    "it is not a key of %u hexadecimal digits; without the right one, values that "
                    "were stored with it cannot be read",
                    2 * SEALING_KEY_BYTES);
    }
    if (bytes.len > 0)
        explicit_bzero(bytes.data, bytes.len);
    if (r < 0)
        return err_wrap(err, "%s", name);
    *ret_key = k;
    return 0;
}

void sealing_key_done(struct sealing_key *k)
{
    explicit_bzero(k, sizeof(*k));
}

DEFINE_AUTO(EVP_CIPHER_CTX *, EVP_CIPHER_CTX_free)

static int begin(const struct sealing_key *k, const unsigned char *nonce, const char *context,
                 bool is_sealing, EVP_CIPHER_CTX **ret_ctx, struct err *err)
{
    AUTO(EVP_CIPHER_CTX_free) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0;

    if (!k->has_key)
        return err_set(err, ERR_STATE, "this hub has no key for values that are kept encrypted");
    if (ctx == NULL ||
        EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, k->key, nonce, is_sealing ? 1 : 0) != 1 ||
        EVP_CipherUpdate(ctx, NULL, &n, (const unsigned char *)context, (int)strlen(context)) != 1)
        return err_set(err, ERR_NOMEM, "cipher: out of memory");
    *ret_ctx = TAKE(ctx);
    return 0;
}

int sealing_key_seal(const struct sealing_key *k, const char *context, const char *text,
                     struct buf *ret_sealed, struct err *err)
{
    AUTO(EVP_CIPHER_CTX_free) EVP_CIPHER_CTX *ctx = NULL;
    AUTO(free) unsigned char *bytes = NULL;
    AUTO(free) char *encoded = NULL;
    size_t n = strlen(text);
    int done = 0, last = 0, r;

    if (n > MAX_TEXT_BYTES)
        return err_set(err, ERR_LIMIT, "a value of %zu bytes; at most %u can be kept", n,
                       MAX_TEXT_BYTES);
    bytes = malloc(NONCE_BYTES + n + TAG_BYTES);
    encoded = malloc(MAX_SEALED_BYTES + 1);
    if (bytes == NULL || encoded == NULL)
        return err_set(err, ERR_NOMEM, "cipher: out of memory");
    ids_random(bytes, NONCE_BYTES);
    r = begin(k, bytes, context, true, &ctx, err);
    if (r < 0)
        return r;
    if (EVP_EncryptUpdate(ctx, bytes + NONCE_BYTES, &done, (const unsigned char *)text, (int)n) !=
            1 ||
        EVP_EncryptFinal_ex(ctx, bytes + NONCE_BYTES + done, &last) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, bytes + NONCE_BYTES + n) != 1)
        return err_set(err, ERR_NOMEM, "cipher: out of memory");
    r = EVP_EncodeBlock((unsigned char *)encoded, bytes, (int)(NONCE_BYTES + n + TAG_BYTES));
    (void)buf_add(ret_sealed, encoded, (size_t)r);
    return buf_error(ret_sealed, "a sealed value", err);
}

/* The bytes of base64 text, or -1. OpenSSL counts the padding as bytes. */
static int decode(const char *sealed, unsigned char *ret_bytes)
{
    size_t n = strlen(sealed);
    int r;

    if (n == 0 || n > MAX_SEALED_BYTES || n % 4 != 0)
        return -1;
    r = EVP_DecodeBlock(ret_bytes, (const unsigned char *)sealed, (int)n);
    if (r > 0 && sealed[n - 1] == '=')
        r -= sealed[n - 2] == '=' ? 2 : 1;
    return r;
}

int sealing_key_open(const struct sealing_key *k, const char *context, const char *sealed,
                     struct buf *ret_text, struct err *err)
{
    AUTO(EVP_CIPHER_CTX_free) EVP_CIPHER_CTX *ctx = NULL;
    AUTO(free) unsigned char *bytes = malloc(MAX_SEALED_BYTES);
    AUTO(free) unsigned char *text = malloc(MAX_SEALED_BYTES);
    int n, done = 0, last = 0, r;

    if (bytes == NULL || text == NULL)
        return err_set(err, ERR_NOMEM, "cipher: out of memory");
    n = decode(sealed, bytes);
    if (n < NONCE_BYTES + TAG_BYTES)
        return err_set(err, ERR_CORRUPT, "%s: what is stored is not a sealed value", context);
    r = begin(k, bytes, context, false, &ctx, err);
    if (r < 0)
        return r;
    if (EVP_DecryptUpdate(ctx, text, &done, bytes + NONCE_BYTES, n - NONCE_BYTES - TAG_BYTES) !=
            1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, bytes + n - TAG_BYTES) != 1 ||
        EVP_DecryptFinal_ex(ctx, text + done, &last) != 1) {
        r = err_set(
            err, ERR_CORRUPT,
            "%s: its value cannot be decrypted: it was changed, or the hub's key is another "
            "one",
            context);
    } else {
        (void)buf_add(ret_text, text, (size_t)done + (size_t)last);
        r = buf_error(ret_text, "a value", err);
    }
    explicit_bzero(text, (size_t)n);
    return r;
}
