/* Watches the kernel's links, addresses and routes (rtnetlink), and says when one came back: then
 * who waits for the network need not wait any longer. Nothing wakes the process while nothing
 * changes. Loop thread only. */
#ifndef SSMD_TRANSPORT_NETWATCH_H
#define SSMD_TRANSPORT_NETWATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"

struct netwatch;

struct netwatch_options {
    uv_loop_t *loop;
    int64_t settle_ms; /* from the first change of a burst to the call; 0: 500 ms */
    int64_t least_ms;  /* between two calls; 0: 10 s */
    void (*came_back)(void *ctx);
    void *ctx;
};

/* ERR_SYSTEM: the kernel gives no such socket; everything works without it, only later. ERR_NOMEM.
 */
int netwatch_new(const struct netwatch_options *o, struct netwatch **ret_watch, struct err *err)
    MUST_CHECK;
/* The memory is freed by the loop. NULL is allowed. May be called from came_back(). */
void netwatch_close(struct netwatch *w);

/* Does a datagram of the kernel tell of a link that runs, a new address, or a new route? Damaged
 * ones tell nothing. Pure. */
bool netwatch_is_return(const void *bytes, size_t n);

#endif
