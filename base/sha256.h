/* SHA-256 (FIPS 180-4). The one implementation for the journal's chains, for signatures and for the
 * runner, which links nothing but libc; a test checks it against OpenSSL. Any thread. */
#ifndef SSMD_BASE_SHA256_H
#define SSMD_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32
#define SHA256_HEX_SIZE 65 /* with its NUL */

struct sha256 {
    uint32_t h[8];
    uint64_t n_bytes;
    unsigned char block[64];
};

void sha256_init(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *bytes, size_t n);
/* The digest; the state may be used further only after sha256_init. Copy the struct first to peek.
 */
void sha256_end(struct sha256 *s, unsigned char ret_digest[SHA256_SIZE]);
void sha256_end_hex(struct sha256 *s, char ret_hex[SHA256_HEX_SIZE]);
void sha256_hex_of(const void *bytes, size_t n, char ret_hex[SHA256_HEX_SIZE]);

/* HMAC-SHA256 (RFC 2104). Its work is a few blocks of SHA-256: OpenSSL looks for the algorithm and
 * allocates anew for each, which was a tenth of what a command costs the agent. ret_mac may be the
 * key. */
void sha256_hmac(const void *key, size_t key_len, const void *text, size_t n,
                 unsigned char ret_mac[SHA256_SIZE]);

#endif
