/* Values that must not lie readable on disk: AES-256-GCM under a key in a file of its own, beside
 * the store. Whoever has both files can read them; a copy of the store alone says nothing. Main
 * thread. */
#ifndef SSMD_HUB_SEALING_KEY_H
#define SSMD_HUB_SEALING_KEY_H

#include <stdbool.h>

#include "base/buf.h"

#define SEALING_KEY_BYTES 32u

struct sealing_key {
    unsigned char key[SEALING_KEY_BYTES];
    bool has_key;
};

/* Read <name> below dirfd, or make it (0600) with a new random key. ERR_INVALID: the file is not a
 * key; ERR_IO. End with sealing_key_done(). */
int sealing_key_read_or_make(int dirfd, const char *name, struct sealing_key *ret_key,
                             struct err *err) MUST_CHECK;
void sealing_key_done(struct sealing_key *k); /* wipes the key */

/* Append what stands for `text` to *ret_sealed, as base64. The same text never looks the same
 * twice. `context` says what it is the value of: it opens with the same words only. ERR_STATE: no
 * key. */
int sealing_key_seal(const struct sealing_key *k, const char *context, const char *text,
                     struct buf *ret_sealed, struct err *err) MUST_CHECK;
/* ERR_CORRUPT: changed, sealed with another key, or of another context. */
int sealing_key_open(const struct sealing_key *k, const char *context, const char *sealed,
                     struct buf *ret_text, struct err *err) MUST_CHECK;

static inline void sealing_key_done_cleanup(struct sealing_key *k)
{
    sealing_key_done(k);
}

#endif
