/* Ed25519 (RFC 8032) over OpenSSL: signatures of release metadata, and the key files that make
 * them. Any thread. */
#ifndef SSMD_UPDATE_SIGNING_H
#define SSMD_UPDATE_SIGNING_H

#include "base/secret.h"
#include "schema/release.h"

/* A private key; wiped when it is freed. */
struct signing_key;

bool signing_verify(const unsigned char public_key[RELEASE_KEY_BYTES],
                    const unsigned char signature[RELEASE_SIGNATURE_BYTES], const void *bytes,
                    size_t n);

/* As many of the keys that `root` gives the envelope's role as its threshold have signed. A
 * signature by a key that the role does not have counts for nothing, since files are signed for an
 * older and a newer root at once; one by a key of the role that does not fit refuses the file.
 * ERR_AUTH; *ret_n_valid (may be NULL) is set unless a signature does not fit. ERR_NOMEM. */
int signing_check(const struct release_root *root, const struct release_envelope *e,
                  int64_t *ret_n_valid, struct err *err) MUST_CHECK;

/* The caller owns *ret_key: signing_key_free(). ERR_SYSTEM. */
int signing_key_make(struct signing_key **ret_key, struct err *err) MUST_CHECK;
/* From a PEM file's text: PKCS#8, as `openssl genpkey -algorithm ed25519` writes it, not encrypted.
 * ERR_INVALID: it holds no such key; the caller names the file. */
int signing_key_read(const char *pem, size_t n, struct signing_key **ret_key, struct err *err)
    MUST_CHECK;
void signing_key_free(struct signing_key *key);

/* As PEM: the private key (PKCS#8) and the public one (SubjectPublicKeyInfo). ERR_SYSTEM. */
int signing_key_write(const struct signing_key *key, struct secret *ret_pem, struct err *err)
    MUST_CHECK;
int signing_public_write(const unsigned char public_key[RELEASE_KEY_BYTES], struct buf *ret_pem,
                         struct err *err) MUST_CHECK;
/* The public key of a PEM file of either kind. ERR_INVALID. */
int signing_public_read(const char *pem, size_t n, unsigned char ret_public_key[RELEASE_KEY_BYTES],
                        struct err *err) MUST_CHECK;

void signing_key_public(const struct signing_key *key,
                        unsigned char ret_public_key[RELEASE_KEY_BYTES]);
/* Sign an envelope's payload; its signature by this key is made or replaced. */
int signing_sign(const struct signing_key *key, struct release_envelope *envelope, struct err *err)
    MUST_CHECK;

DEFINE_AUTO(struct signing_key *, signing_key_free)

#endif
