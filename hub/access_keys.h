/* Who may call: access keys in a file of the AWS tools' form, one per section.
 *   [default]
 *   aws_access_key_id = AKIA...
 *   aws_secret_access_key = ...
 *   aws_session_token = ...        not required
 * Main thread. */
#ifndef SSMD_HUB_ACCESS_KEYS_H
#define SSMD_HUB_ACCESS_KEYS_H

#include "base/secret.h"

#define ACCESS_KEYS_MAX 16

struct access_key {
    char access_key[129];
    struct secret secret;
    struct secret token; /* not set: none must be sent */
};

struct access_keys {
    struct access_key list[ACCESS_KEYS_MAX]; /* owned */
    size_t n;
};

/* Read a file that must be there and hold at least one complete key. ERR_INVALID names the line. */
int access_keys_read(int dirfd, const char *path, struct access_keys *ret, struct err *err)
    MUST_CHECK;
/* Read <name> below dirfd, or make it (0600) with a new random key. */
int access_keys_read_or_make(int dirfd, const char *name, struct access_keys *ret, struct err *err)
    MUST_CHECK;
/* AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if set, AWS_SESSION_TOKEN. ERR_INVALID: missing. */
int access_keys_from_environment(struct access_keys *ret, struct err *err) MUST_CHECK;
void access_keys_done(struct access_keys *c);

#define ACCESS_KEYS_RANDOM_MAX 256
#define ACCESS_KEYS_BASE32 "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
#define ACCESS_KEYS_BASE64 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

/* `n` random characters, at most ACCESS_KEYS_RANDOM_MAX, of an alphabet whose size is a power of
 * two, and a NUL. */
void access_keys_random(char *text, size_t n, const char *alphabet);

static inline void access_keys_done_cleanup(struct access_keys *c)
{
    access_keys_done(c);
}

#endif
