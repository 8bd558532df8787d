/* The ssmmessages control channel (spec 05a, sections 1 to 3): token, websocket, first message;
 * kept open for ever. Loop thread only. What the messages on it mean is the caller's business.
 *
 * Lost or refused, it is opened again: at once after a loss (a random pause of up to 2.5 s), then
 * less and less often. A connection that is dead without saying so is noticed within 55 seconds. */
#ifndef SSMD_TRANSPORT_MGS_H
#define SSMD_TRANSPORT_MGS_H

#include "transport/agent_message.h"
#include "transport/aws.h"

struct mgs;

/* For `ssmctl status`, and for who decides by it. Times are Unix milliseconds, 0: never, or not
 * waiting. */
struct mgs_state {
    bool is_open;
    bool is_denied;         /* the last attempt was refused for want of permission */
    unsigned n_failures;    /* consecutive */
    int64_t opened_unix_ms; /* the last time */
    int64_t lost_unix_ms;   /* the last time */
    int64_t last_error_unix_ms;
    int64_t next_try_unix_ms;
    uint64_t n_received;   /* messages since mgs_new() */
    struct err last_error; /* kept after a success, for people; code 0: none yet */
};

struct mgs_options {
    struct aws *aws; /* borrowed, as the http; both outlive the mgs */
    struct http *http;
    const char *instance_id;          /* copied, as all texts here */
    const char *agent_version;        /* four numbers */
    const char *platform_type;        /* linux */
    int64_t backoff_first_ms;         /* 0: 10 s: the first wait is 5 to 10 s */
    int64_t backoff_cap_ms;           /* 0: 5 min */
    int64_t token_timeout_ms;         /* of CreateControlChannel; 0: 15 s */
    int64_t lost_pause_ms;            /* most of the pause after a loss; 0: 2.5 s */
    int64_t ping_ms, pong_timeout_ms; /* of the websocket; 0: its own */

    /* The state is another one: opened, lost, failed. May call anything of this module. */
    void (*changed)(void *ctx, const struct mgs_state *state);
    /* A message, checked against its digest; borrowed for the call. */
    void (*received)(void *ctx, const struct agent_message *m);
    void *ctx;
};

/* ERR_INVALID (instance id), ERR_NOMEM. Nothing happens before mgs_start(). The caller ends
 * *ret_mgs with mgs_close(). */
int mgs_new(uv_loop_t *loop, const struct mgs_options *o, struct mgs **ret_mgs, struct err *err)
    MUST_CHECK;
void mgs_start(struct mgs *mgs);
/* Says good-bye. Before aws and http are closed. The memory is freed by the loop. NULL is allowed.
 */
void mgs_close(struct mgs *mgs);

/* Send one message: `type`, a UUID, the payload; the other fields as all messages of the control
 * channel have them. ERR_STATE: not open; ERR_LIMIT: the peer does not read, or too large. 0 does
 * not mean that the service has it. */
int mgs_send(struct mgs *mgs, const char *type, const char *message_id, const char *payload,
             size_t n, struct err *err) MUST_CHECK;

/* Something happened to the network: an open channel is asked for a sign of life, one that waits is
 * tried now. */
void mgs_network_changed(struct mgs *mgs);

void mgs_get_state(const struct mgs *mgs, struct mgs_state *ret_state);

#endif
