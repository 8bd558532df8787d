/* Somebody set this machine's clock: what failed because of it may work now (a certificate that was
 * not valid yet, a signature). Costs no wake-up. The loop's thread. */
#ifndef SSMD_AGENT_CLOCK_WATCH_H
#define SSMD_AGENT_CLOCK_WATCH_H

#include <uv.h>

#include "base/err.h"

struct clock_watch;

int clock_watch_new(uv_loop_t *loop, void (*was_set)(void *ctx), void *ctx,
                    struct clock_watch **ret_watch, struct err *err) MUST_CHECK;
void clock_watch_close(struct clock_watch *w); /* NULL is allowed; the loop frees it */

#endif
