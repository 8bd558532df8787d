/* The RSA key pair of a managed node (spec 01, sections 3.3 and 6.2 step 5): what a hybrid node and
 * Default Host Management sign with, and what ssmhub checks. OpenSSL behind it; any thread, one at
 * a time for a key. */
#ifndef SSMD_TRANSPORT_RSA_KEY_H
#define SSMD_TRANSPORT_RSA_KEY_H

#include "base/buf.h"
#include "base/secret.h"

#define RSA_KEY_TYPE "Rsa"
#define RSA_KEY_ID_SIZE 17            /* 16 hexadecimal digits and a NUL */
#define RSA_KEY_PUBLIC_TEXT_SIZE 1025 /* 392 characters for 2048 bits */

struct rsa_key;

/* 2048 bits, e = 65537. Takes a tenth of a second or more: not on the loop's thread. ERR_SYSTEM. */
int rsa_key_generate(struct rsa_key **ret_key, struct err *err) MUST_CHECK;
/* Base64 of a PKCS#1 RSAPrivateKey, 2048 to 4096 bits. ERR_INVALID. */
int rsa_key_from_private(const char *text, struct rsa_key **ret_key, struct err *err) MUST_CHECK;
/* Base64 of an X.509 SubjectPublicKeyInfo: such a key only verifies. ERR_INVALID. */
int rsa_key_from_public(const char *text, struct rsa_key **ret_key, struct err *err) MUST_CHECK;
void rsa_key_free(struct rsa_key *key); /* NULL is allowed */

int rsa_key_private_text(const struct rsa_key *key, struct secret *ret_text, struct err *err)
    MUST_CHECK;
int rsa_key_public_text(const struct rsa_key *key, char ret_text[RSA_KEY_PUBLIC_TEXT_SIZE],
                        struct err *err) MUST_CHECK;
/* A short name: the first digits of the SHA-256 of the public key's DER. */
int rsa_key_id(const struct rsa_key *key, char ret_id[RSA_KEY_ID_SIZE], struct err *err) MUST_CHECK;

/* RSASSA-PSS with SHA-256, MGF1 with SHA-256, salt of 32 bytes. Adds the signature in Base64. */
int rsa_key_sign(const struct rsa_key *key, const void *text, size_t n, struct buf *ret_signature,
                 struct err *err) MUST_CHECK;
/* ERR_AUTH: it is no signature of `text` by this key. */
int rsa_key_verify(const struct rsa_key *key, const void *text, size_t n, const char *signature,
                   struct err *err) MUST_CHECK;

DEFINE_AUTO(struct rsa_key *, rsa_key_free)

#endif
