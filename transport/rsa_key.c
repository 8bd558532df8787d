/* RSA keys, on OpenSSL 3. */
#include "transport/rsa_key.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/sha256.h"
#include "base/str.h"
#include "transport/openssl.h"

#define BITS 2048
#define MIN_BITS 2048
#define MAX_BITS 4096
#define MAX_DER_BYTES 4096u
#define SALT_BYTES 32
#define MAX_SIGNATURE_BYTES (MAX_BITS / 8)

struct rsa_key {
    EVP_PKEY *pkey; /* owned */
};

DEFINE_AUTO(EVP_MD_CTX *, EVP_MD_CTX_free)

static int take(EVP_PKEY *pkey, struct rsa_key **ret_key, struct err *err)
{
    struct rsa_key *key;

    if (EVP_PKEY_get_base_id(pkey) != EVP_PKEY_RSA || EVP_PKEY_get_bits(pkey) < MIN_BITS ||
        EVP_PKEY_get_bits(pkey) > MAX_BITS) {
        EVP_PKEY_free(pkey);
        return err_set(err, ERR_INVALID, "key: not an RSA key of %d to %d bits", MIN_BITS,
                       MAX_BITS);
    }
    key = malloc(sizeof(*key));
    if (key == NULL) {
        EVP_PKEY_free(pkey);
        return err_set(err, ERR_NOMEM, "key: out of memory");
    }
    key->pkey = pkey;
    *ret_key = key;
    return 0;
}

int rsa_key_generate(struct rsa_key **ret_key, struct err *err)
{
    EVP_PKEY *pkey = EVP_RSA_gen(BITS);

    if (pkey == NULL)
        return err_set(err, ERR_SYSTEM, "key: OpenSSL could not make an RSA key of %d bits", BITS);
    return take(pkey, ret_key, err);
}

int rsa_key_from_private(const char *text, struct rsa_key **ret_key, struct err *err)
{
    unsigned char der[MAX_DER_BYTES];
    const unsigned char *p = der;
    EVP_PKEY *pkey = NULL;
    size_t n;

    if (base64_decode(text, strlen(text), der, sizeof(der), &n))
        pkey = d2i_PrivateKey(EVP_PKEY_RSA, NULL, &p, (long)n);
    explicit_bzero(der, sizeof(der));
    if (pkey == NULL)
        return err_set(err, ERR_INVALID, "private key: not Base64 of a PKCS#1 RSAPrivateKey");
    return take(pkey, ret_key, err);
}

int rsa_key_from_public(const char *text, struct rsa_key **ret_key, struct err *err)
{
    unsigned char der[MAX_DER_BYTES];
    const unsigned char *p = der;
    EVP_PKEY *pkey = NULL;
    size_t n;

    if (base64_decode(text, strlen(text), der, sizeof(der), &n))
        pkey = d2i_PUBKEY(NULL, &p, (long)n);
    if (pkey == NULL)
        return err_set(err, ERR_INVALID, "public key: not Base64 of a SubjectPublicKeyInfo");
    return take(pkey, ret_key, err);
}

void rsa_key_free(struct rsa_key *key)
{
    if (key == NULL)
        return;
    EVP_PKEY_free(key->pkey);
    free(key);
}

/* DER into a buffer of MAX_DER_BYTES; returns its length, or 0. */
static size_t der_of(int (*encode)(const EVP_PKEY *, unsigned char **), const struct rsa_key *key,
                     unsigned char *der)
{
    unsigned char *p = der;
    int n = encode(key->pkey, NULL);

    return n > 0 && (size_t)n <= MAX_DER_BYTES && encode(key->pkey, &p) == n ? (size_t)n : 0;
}

int rsa_key_private_text(const struct rsa_key *key, struct secret *ret_text, struct err *err)
{
    unsigned char der[MAX_DER_BYTES];
    char text[BASE64_SIZE(MAX_DER_BYTES)];
    size_t n = der_of(i2d_PrivateKey, key, der);
    int r;

    base64_encode(der, n, text);
    r = n > 0 ? secret_set(ret_text, text, err)
              : err_set(err, ERR_SYSTEM, "private key: OpenSSL cannot encode it");
    explicit_bzero(der, sizeof(der));
    explicit_bzero(text, sizeof(text));
    return r;
}

int rsa_key_public_text(const struct rsa_key *key, char ret_text[RSA_KEY_PUBLIC_TEXT_SIZE],
                        struct err *err)
{
    unsigned char der[MAX_DER_BYTES];
    size_t n = der_of(i2d_PUBKEY, key, der);

    if (n == 0 || BASE64_SIZE(n) > RSA_KEY_PUBLIC_TEXT_SIZE)
        return err_set(err, ERR_SYSTEM, "public key: OpenSSL cannot encode it");
    base64_encode(der, n, ret_text);
    return 0;
}

int rsa_key_id(const struct rsa_key *key, char ret_id[RSA_KEY_ID_SIZE], struct err *err)
{
    unsigned char der[MAX_DER_BYTES];
    char hex[SHA256_HEX_SIZE];
    size_t n = der_of(i2d_PUBKEY, key, der);

    if (n == 0)
        return err_set(err, ERR_SYSTEM, "public key: OpenSSL cannot encode it");
    sha256_hex_of(der, n, hex);
    memcpy(ret_id, hex, RSA_KEY_ID_SIZE - 1);
    ret_id[RSA_KEY_ID_SIZE - 1] = '\0';
    return 0;
}

static bool set_pss(EVP_PKEY_CTX *ctx)
{
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, SALT_BYTES) > 0 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) > 0;
}

int rsa_key_sign(const struct rsa_key *key, const void *text, size_t n, struct buf *ret_signature,
                 struct err *err)
{
    AUTO(EVP_MD_CTX_free) EVP_MD_CTX *md = EVP_MD_CTX_new();
    unsigned char signature[MAX_SIGNATURE_BYTES];
    char encoded[BASE64_SIZE(MAX_SIGNATURE_BYTES)];
    size_t n_signature = sizeof(signature);
    EVP_PKEY_CTX *ctx = NULL; /* the digest's own */

    if (md == NULL || EVP_DigestSignInit(md, &ctx, EVP_sha256(), NULL, key->pkey) <= 0 ||
        !set_pss(ctx) || EVP_DigestSign(md, signature, &n_signature, text, n) <= 0)
        return err_set(err, ERR_SYSTEM, "RSA signature: OpenSSL refused");
    base64_encode(signature, n_signature, encoded);
    (void)buf_add_str(ret_signature, encoded);
    return buf_error(ret_signature, "RSA signature", err);
}

int rsa_key_verify(const struct rsa_key *key, const void *text, size_t n, const char *signature,
                   struct err *err)
{
    AUTO(EVP_MD_CTX_free) EVP_MD_CTX *md = EVP_MD_CTX_new();
    unsigned char bytes[MAX_SIGNATURE_BYTES];
    EVP_PKEY_CTX *ctx = NULL;
    size_t n_bytes;

    if (md == NULL || EVP_DigestVerifyInit(md, &ctx, EVP_sha256(), NULL, key->pkey) <= 0 ||
        !set_pss(ctx))
        return err_set(err, ERR_SYSTEM, "RSA signature: OpenSSL refused");
    if (!base64_decode(signature, strlen(signature), bytes, sizeof(bytes), &n_bytes) ||
        EVP_DigestVerify(md, bytes, n_bytes, text, n) <= 0)
        return err_set(err, ERR_AUTH, "the RSA signature does not match");
    return 0;
}
