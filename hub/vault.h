/* Values that must not lie readable on disk: AES-256-GCM under a key in a file of its own, beside
 * the store. Whoever has both files can read them; a copy of the store alone says nothing. Main
 * thread. */
#ifndef SSMD_HUB_VAULT_H
#define SSMD_HUB_VAULT_H

#include <stdbool.h>

#include "base/buf.h"

#define VAULT_KEY_BYTES 32u

struct vault {
    unsigned char key[VAULT_KEY_BYTES];
    bool has_key;
};

/* Read <name> below dirfd, or make it (0600) with a new random key. ERR_INVALID: the file is not a
 * key; ERR_IO. End with vault_done(). */
int vault_read_or_make(int dirfd, const char *name, struct vault *ret_vault, struct err *err)
    MUST_CHECK;
void vault_done(struct vault *v); /* wipes the key */

/* Append what stands for `text` to *ret_sealed, as base64. The same text never looks the same
 * twice. `context` says what it is the value of: it opens with the same words only. ERR_STATE: no
 * key. */
int vault_seal(const struct vault *v, const char *context, const char *text, struct buf *ret_sealed,
               struct err *err) MUST_CHECK;
/* ERR_CORRUPT: changed, sealed with another key, or of another context. */
int vault_open(const struct vault *v, const char *context, const char *sealed, struct buf *ret_text,
               struct err *err) MUST_CHECK;

static inline void vault_done_cleanup(struct vault *v)
{
    vault_done(v);
}

#endif
