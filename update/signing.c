/* Ed25519 keys and signatures, on OpenSSL 3. */
#include "update/signing.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "transport/openssl.h"

struct signing_key {
    EVP_PKEY *pkey; /* owned */
    unsigned char public_key[RELEASE_KEY_BYTES];
};

DEFINE_AUTO(EVP_PKEY *, EVP_PKEY_free)
DEFINE_AUTO(EVP_MD_CTX *, EVP_MD_CTX_free)
DEFINE_AUTO(BIO *, BIO_free_all)

bool signing_verify(const unsigned char public_key[RELEASE_KEY_BYTES],
                    const unsigned char signature[RELEASE_SIGNATURE_BYTES], const void *bytes,
                    size_t n)
{
    AUTO(EVP_PKEY_free)
    EVP_PKEY *pkey =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, RELEASE_KEY_BYTES);
    AUTO(EVP_MD_CTX_free) EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    return pkey != NULL && ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
           EVP_DigestVerify(ctx, signature, RELEASE_SIGNATURE_BYTES, bytes, n) == 1;
}

static int bytes_to_sign(const struct release_envelope *e, struct buf *ret_bytes, struct err *err)
{
    buf_init(ret_bytes, RELEASE_MANIFEST_MAX_BYTES + 1024);
    release_envelope_to_sign(e, ret_bytes);
    return buf_error(ret_bytes, "what is signed", err);
}

int signing_check(const struct release_root *root, const struct release_envelope *e,
                  int64_t *ret_n_valid, struct err *err)
{
    AUTO(buf_done) struct buf text = {0};
    int64_t n_valid = 0;
    size_t i;
    int r = bytes_to_sign(e, &text, err);

    if (r < 0)
        return r;
    for (i = 0; i < e->n_signatures; i++) { /* no keyid stands twice, and a keyid is one key */
        const struct release_signature *s = &e->signatures[i];
        const struct release_key *key = release_role_key(root, e->role, s->keyid);

        if (key == NULL)
            continue;
        if (!signing_verify(key->public_key, s->bytes, buf_str(&text), text.len))
            return err_set(err, ERR_AUTH,
                           "the signature of key %.16s... does not fit: the file was changed after "
                           "it was signed",
                           s->keyid);
        n_valid++;
    }
    if (ret_n_valid != NULL)
        *ret_n_valid = n_valid;
    if (n_valid < root->roles[e->role].threshold)
        return err_set(err, ERR_AUTH,
                       "it is signed by %" PRId64 " of the keys that root %" PRId64
                       " gives the role %s, and must be by %" PRId64,
                       n_valid, root->version, release_role_names[e->role],
                       root->roles[e->role].threshold);
    return 0;
}

static int take(EVP_PKEY *pkey, struct signing_key **ret_key, struct err *err)
{
    struct signing_key *key = malloc(sizeof(*key));
    size_t n = RELEASE_KEY_BYTES;

    if (key == NULL) {
        EVP_PKEY_free(pkey);
        return err_set(err, ERR_NOMEM, "key: out of memory");
    }
    if (EVP_PKEY_get_base_id(pkey) != EVP_PKEY_ED25519 ||
        EVP_PKEY_get_raw_public_key(pkey, key->public_key, &n) != 1 || n != RELEASE_KEY_BYTES) {
        EVP_PKEY_free(pkey);
        free(key);
        return err_set(err, ERR_INVALID, "the key is not an Ed25519 key");
    }
    key->pkey = pkey;
    *ret_key = key;
    return 0;
}

int signing_key_make(struct signing_key **ret_key, struct err *err)
{
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

    if (pkey == NULL)
        return err_set(err, ERR_SYSTEM, "key: OpenSSL could not make an Ed25519 key");
    return take(pkey, ret_key, err);
}

/* OpenSSL would ask for a passphrase on the terminal otherwise. */
static int no_passphrase(char *text, int size, int is_writing, void *ctx)
{
    (void)text;
    (void)size;
    (void)is_writing;
    (void)ctx;
    return -1;
}

int signing_key_read(const char *pem, size_t n, struct signing_key **ret_key, struct err *err)
{
    AUTO(BIO_free_all) BIO *bio = n <= 1u << 20 ? BIO_new_mem_buf(pem, (int)n) : NULL;
    EVP_PKEY *pkey = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;

    if (pkey == NULL)
        return err_set(err, ERR_INVALID,
                       "it holds no private key in PEM (PKCS#8, not encrypted); `openssl pkey` "
                       "removes an encryption");
    return take(pkey, ret_key, err);
}

void signing_key_free(struct signing_key *key)
{
    if (key == NULL)
        return;
    EVP_PKEY_free(key->pkey);
    free(key);
}

int signing_key_write(const struct signing_key *key, struct secret *ret_pem, struct err *err)
{
    AUTO(BIO_free_all) BIO *bio = BIO_new(BIO_s_secmem());
    char text[1024];
    int n, r;

    if (bio == NULL ||
        PEM_write_bio_PKCS8PrivateKey(bio, key->pkey, NULL, NULL, 0, NULL, NULL) != 1 ||
        (n = BIO_read(bio, text, sizeof(text) - 1)) <= 0)
        return err_set(err, ERR_SYSTEM, "key: OpenSSL could not write it");
    text[n] = '\0';
    r = secret_set(ret_pem, text, err);
    explicit_bzero(text, sizeof(text));
    return r;
}

int signing_public_write(const unsigned char public_key[RELEASE_KEY_BYTES], struct buf *ret_pem,
                         struct err *err)
{
    AUTO(EVP_PKEY_free)
    EVP_PKEY *pkey =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, RELEASE_KEY_BYTES);
    AUTO(BIO_free_all) BIO *bio = BIO_new(BIO_s_mem());
    char text[1024];
    int n;

    if (pkey == NULL || bio == NULL || PEM_write_bio_PUBKEY(bio, pkey) != 1 ||
        (n = BIO_read(bio, text, sizeof(text))) <= 0)
        return err_set(err, ERR_SYSTEM, "key: OpenSSL could not write it");
    (void)buf_add(ret_pem, text, (size_t)n); /* buf_error() tells */
    return buf_error(ret_pem, "public key", err);
}

int signing_public_read(const char *pem, size_t n, unsigned char ret_public_key[RELEASE_KEY_BYTES],
                        struct err *err)
{
    AUTO(BIO_free_all) BIO *bio = n <= 1u << 20 ? BIO_new_mem_buf(pem, (int)n) : NULL;
    AUTO(EVP_PKEY_free)
    EVP_PKEY *pkey = bio != NULL ? PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL) : NULL;
    AUTO(signing_key_free) struct signing_key *key = NULL;
    size_t size = RELEASE_KEY_BYTES;
    int r;

    if (pkey != NULL && EVP_PKEY_get_base_id(pkey) == EVP_PKEY_ED25519 &&
        EVP_PKEY_get_raw_public_key(pkey, ret_public_key, &size) == 1 && size == RELEASE_KEY_BYTES)
        return 0;
    r = signing_key_read(pem, n, &key, err);
    if (r < 0 || key == NULL) /* the second for analyzers: success has filled it */
        return err_set(err, ERR_INVALID,
                       "it holds no Ed25519 key in PEM, neither public nor private");
    signing_key_public(key, ret_public_key);
    return 0;
}

void signing_key_public(const struct signing_key *key,
                        unsigned char ret_public_key[RELEASE_KEY_BYTES])
{
    memcpy(ret_public_key, key->public_key, RELEASE_KEY_BYTES);
}

int signing_sign(const struct signing_key *key, struct release_envelope *envelope, struct err *err)
{
    AUTO(EVP_MD_CTX_free) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    AUTO(buf_done) struct buf text = {0};
    struct release_signature s;
    size_t n = sizeof(s.bytes);
    int r = bytes_to_sign(envelope, &text, err);

    if (r < 0)
        return r;
    if (ctx == NULL || EVP_DigestSignInit(ctx, NULL, NULL, NULL, key->pkey) != 1 ||
        EVP_DigestSign(ctx, s.bytes, &n, (const unsigned char *)buf_str(&text), text.len) != 1 ||
        n != sizeof(s.bytes))
        return err_set(err, ERR_SYSTEM, "key: OpenSSL could not sign with it");
    release_keyid_of(key->public_key, s.keyid);
    return release_envelope_add(envelope, &s, err);
}
