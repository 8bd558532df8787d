/* A machine of its own for a test of ssmctl: a root directory, whole command lines with what they
 * print, and an ssmd that answers what the test says. */
#ifndef SSMD_TESTS_UNIT_CTL_WORLD_H
#define SSMD_TESTS_UNIT_CTL_WORLD_H

#include <pthread.h>

#include "base/paths.h"

#define WORLD_NOW_MS INT64_C(1767323045678) /* 2026-01-02T03:04:05.678Z; the clock stands still */
#define FAKE_MAX_ANSWERS 8

struct world {
    char top[PATH_MAX / 4]; /* removed at the end */
    struct paths paths;     /* of the root below it */
    char *out, *err;        /* of the last command line */
    int status;
};

/* With `is_deep` the root's path is longer than a socket address can hold. TZ is UTC. */
void world_init(struct world *w, bool is_deep);
void world_done(struct world *w);
/* ssmctl --root <root> <words>...; the list ends with NULL. Returns its exit status. */
int world_run(struct world *w, ...) __attribute__((sentinel));
/* `text` as it would be if the root were called ROOT; the caller frees it. */
char *world_neutral(const struct world *w, const char *text);

struct fake_ssmd {
    const char *answers[FAKE_MAX_ANSWERS]; /* one per connection, without line end; NULL: hang up */
    char *questions[FAKE_MAX_ANSWERS];     /* owned; what came */
    size_t n_answers, n_questions;
    int listener;
    pthread_t thread;
};

/* Listens before it returns. `answers` ends with an entry of "" . */
void fake_start(struct fake_ssmd *f, const struct world *w, const char *const *answers);
/* Wait until every answer was asked for; then the questions may be looked at. */
void fake_join(struct fake_ssmd *f);
void fake_done(struct fake_ssmd *f);

#endif
