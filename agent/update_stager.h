/* One run of ssmd-stager (update/stager_protocol.h): asked, bounded, and ended with who asked. The
 * loop's thread. */
#ifndef SSMD_AGENT_UPDATE_STAGER_H
#define SSMD_AGENT_UPDATE_STAGER_H

#include <uv.h>

#include "update/stager_protocol.h"

struct stager;

/* Called once, from the loop: with the answer (borrowed for the call), or with why there is none:
 * it could not be run, died, said something else, or took longer than its limit. */
typedef void (*stager_done_fn)(void *ctx, const struct stager_answer *answer,
                               const struct err *err);

/* What it writes to its standard error goes into the log. A failure to begin is returned, and
 * `done` is not called then. On success *ret_stager is good for stager_kill() until `done` is
 * called. */
int stager_start(uv_loop_t *loop, const char *program, const struct stager_request *q,
                 uint64_t limit_ms, stager_done_fn done, void *ctx, struct stager **ret_stager,
                 struct err *err) MUST_CHECK;
/* It and what it has started end; `done` is not called. With is_last the loop does not wait for its
 * end. */
void stager_kill(struct stager *s, bool is_last);

#endif
