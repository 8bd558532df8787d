/* Who may call: access keys in a file of the AWS tools' form, one per section.
 *   [default]
 *   aws_access_key_id = AKIA...
 *   aws_secret_access_key = ...
 *   aws_session_token = ...        not required
 * Main thread. */
#ifndef SSMD_HUB_CREDENTIALS_H
#define SSMD_HUB_CREDENTIALS_H

#include "base/secret.h"

#define CREDENTIALS_MAX 16

struct credential {
    char access_key[129];
    struct secret secret;
    struct secret token; /* not set: none must be sent */
};

struct credentials {
    struct credential list[CREDENTIALS_MAX]; /* owned */
    size_t n;
};

/* Read a file that must be there and hold at least one complete key. ERR_INVALID names the line. */
int credentials_read(int dirfd, const char *path, struct credentials *ret, struct err *err)
    MUST_CHECK;
/* Read <name> below dirfd, or make it (0600) with a new random key. */
int credentials_read_or_make(int dirfd, const char *name, struct credentials *ret, struct err *err)
    MUST_CHECK;
/* AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if set, AWS_SESSION_TOKEN. ERR_INVALID: missing. */
int credentials_from_environment(struct credentials *ret, struct err *err) MUST_CHECK;
void credentials_done(struct credentials *c);

static inline void credentials_done_cleanup(struct credentials *c)
{
    credentials_done(c);
}

#endif
