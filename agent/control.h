/* The ssmmessages control channel as a link of the engine (spec 03, section 5): jobs come in,
 * acknowledgements and replies go out. The loop's thread.
 *
 * An agent_job is acknowledged after its commit and before the first reply of it goes out. An
 * acknowledgement names the delivery that it answers, and a delivery ends with its connection: what
 * was not acknowledged by then the service delivers again, and is told that it is a duplicate.
 *
 * A reply is taken when its agent_job_reply_ack has come. Until then the engine sends it again with
 * the same id, for as long as it takes. The receipt alone (InProgress of a document that has not
 * begun) is told once, as the reference does. */
#ifndef SSMD_AGENT_CONTROL_H
#define SSMD_AGENT_CONTROL_H

#include "agent/engine.h"
#include "transport/mgs.h"

#define CONTROL_CHANNEL "ssmmessages"

struct control;

struct control_options {
    uv_loop_t *loop;
    struct engine *engine; /* this and the next three are borrowed, and outlive the control */
    const struct config *config;
    struct aws *aws;
    struct http *http;
    int64_t ack_timeout_ms; /* for an agent_job_reply_ack; 0: 5 s */
    /* The channel was opened, lost or refused. */
    void (*changed)(void *ctx, const struct mgs_state *state);
    void *ctx;
};

int control_new(const struct control_options *o, struct control **ret_control, struct err *err)
    MUST_CHECK;
struct link *control_link(struct control *c);
void control_start(struct control *c);
void control_network_changed(struct control *c);
void control_get_state(const struct control *c, struct mgs_state *ret_state);
/* Before aws and http are closed; handles close with the loop's next turns. NULL is allowed. */
void control_stop(struct control *c);
void control_free(struct control *c); /* after the loop has run out */

#endif
