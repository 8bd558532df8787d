/* Where AWS credentials come from (spec 01, sections 10 and 11.3). A provider hands out what it
 * has; one that must ask somebody (metadata service, hybrid role token) refreshes in the background
 * and wakes those who wait. Loop thread only. */
#ifndef SSMD_TRANSPORT_CREDENTIALS_H
#define SSMD_TRANSPORT_CREDENTIALS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/secret.h"
#include "transport/env.h"

#define CREDENTIALS_MAX_FILE_BYTES (1u << 20)
#define CREDENTIALS_ACCESS_KEY_SIZE 129

struct credentials {
    char access_key[CREDENTIALS_ACCESS_KEY_SIZE]; /* not a secret */
    struct secret secret_key;
    struct secret session_token; /* not set for long-lived keys */
    int64_t expires_unix_ms;     /* 0: not known or never */
};

void credentials_done(struct credentials *c);

struct credentials_provider;

/* Embedded by who waits; must be removed with credentials_unwait() before it goes away. */
struct credentials_waiter {
    void (*wake)(void *ctx); /* asks credentials_get() again */
    void *ctx;
    struct credentials_waiter *next;
    struct credentials_provider *provider; /* NULL while it does not wait */
};

struct credentials_ops {
    /* As credentials_get(). */
    int (*get)(struct credentials_provider *p, const struct credentials **ret, struct err *err);
    /* As credentials_reject(). */
    void (*reject)(struct credentials_provider *p);
    /* As credentials_describe(). */
    void (*describe)(const struct credentials_provider *p, struct buf *b);
    void (*free)(struct credentials_provider *p);
};

/* First member of every provider. */
struct credentials_provider {
    const struct credentials_ops *ops;
    struct credentials_waiter *waiters; /* borrowed, like all of them */
    struct credentials_waiter *waking;  /* those of the round under way that are not told yet */
};

/* The credentials to sign with now; borrowed until the loop's next turn. ERR_BUSY: they are being
 * fetched, wait with credentials_wait(). ERR_AUTH: there are none; the text says what was tried and
 * why it failed. */
int credentials_get(struct credentials_provider *p, const struct credentials **ret_credentials,
                    struct err *err) MUST_CHECK;

/* The service refused these credentials or called them expired: what is cached is forgotten, and
 * the next credentials_get() goes back to the source. True when the source holds different ones
 * now, so that another try makes sense. */
bool credentials_reject(struct credentials_provider *p, const char *refused_access_key);

/* Be told, from the loop, when credentials_get() may answer differently. At most once. */
void credentials_wait(struct credentials_provider *p, struct credentials_waiter *w);
void credentials_unwait(struct credentials_waiter *w); /* allowed when it does not wait */
/* For providers: a refresh ended, well or badly. */
void credentials_wake_all(struct credentials_provider *p);

/* One line per source that was tried at the last use: its name, and "in use" or why it gave
 * nothing. For `ssmctl status`. */
void credentials_describe(const struct credentials_provider *p, struct buf *b);
/* The same with "; " between the sources. */
void credentials_describe_on_one_line(const struct credentials_provider *p, struct buf *b);

void credentials_provider_free(struct credentials_provider *p); /* NULL is allowed */

/* AWS_ACCESS_KEY_ID or AWS_ACCESS_KEY, AWS_SECRET_ACCESS_KEY or AWS_SECRET_KEY, and
 * AWS_SESSION_TOKEN. ERR_NOMEM. */
int credentials_env_new(const struct env_source *env, struct credentials_provider **ret_provider,
                        struct err *err) MUST_CHECK;

/* A profile of a shared credentials file. `path` NULL: AWS_SHARED_CREDENTIALS_FILE, else
 * .aws/credentials in HOME or in the user's home of the password file. `profile` NULL: AWS_PROFILE,
 * else "default". The file is looked at with each use and read again when it was changed.
 * ERR_INVALID (profile name too long), ERR_NOMEM. */
int credentials_file_new(const struct env_source *env, const char *path, const char *profile,
                         struct credentials_provider **ret_provider, struct err *err) MUST_CHECK;

/* The first of `sources` that has credentials. Takes the providers over (also on failure).
 * ERR_NOMEM. */
int credentials_chain_new(struct credentials_provider **sources, size_t n,
                          struct credentials_provider **ret_provider, struct err *err) MUST_CHECK;

/* The environment, then the shared file. */
int credentials_default_new(const struct env_source *env,
                            struct credentials_provider **ret_provider, struct err *err) MUST_CHECK;

/* Read one profile out of the text of a shared credentials file. Tolerant: unknown sections, keys
 * and lines without '=' are skipped, keys are in any case, "[profile x]" is "[x]", a later value of
 * the same profile wins, '#' and ';' begin a comment at a line's start or after a blank.
 * ERR_NOT_FOUND: no such profile; ERR_INVALID: a member is missing, too long or holds control
 * characters; ERR_NOMEM. On success the caller owns *ret_credentials: credentials_done(). */
int credentials_parse_ini(const char *text, size_t n, const char *profile,
                          struct credentials *ret_credentials, struct err *err) MUST_CHECK;

static inline void credentials_done_cleanup(struct credentials *c)
{
    credentials_done(c);
}

#endif
