/* The Unix socket through which ssmctl asks ssmd to act: one request line, one answer line
 * (docs/internals/ctl.md). Only root and the user that ssmd runs as may connect. The loop's thread.
 */
#ifndef SSMD_AGENT_CTL_SERVER_H
#define SSMD_AGENT_CTL_SERVER_H

#include <uv.h>

#include "agent/engine.h"
#include "agent/registrar.h"

struct ctl_server;

struct ctl_server_options {
    uv_loop_t *loop;
    struct engine *engine;
    struct journal *journal;
    const char *run_dir;
    struct lookup *lookup; /* what helper programs ask for; borrowed */
    /* Append the members of "status" that others own (channel, credentials ...), each as
     * `"name":value,`. */
    void (*add_status)(void *ctx, struct buf *b);
    struct registrar *registrar;   /* borrowed; NULL: nothing can be registered */
    void (*registered)(void *ctx); /* a registration was made; may be NULL */
    void *ctx;
    uint64_t patience_ms; /* for a client to ask, and to take its answer; 0: 30 s */
};

int ctl_server_new(const struct ctl_server_options *o, struct ctl_server **ret_server,
                   struct err *err) MUST_CHECK;
/* Answer questions to the service from now on. Borrowed. */
void ctl_server_set_lookup(struct ctl_server *s, struct lookup *lookup);
/* Closes the socket and every connection; handles close with the loop's next turns. */
void ctl_server_stop(struct ctl_server *s);
void ctl_server_free(struct ctl_server *s); /* after the loop has run out */

#endif
