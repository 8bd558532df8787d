/* What the poll loop and the answers share. */
#ifndef SSMD_TRANSPORT_MDS_INTERNAL_H
#define SSMD_TRANSPORT_MDS_INTERNAL_H

#include "transport/backoff.h"
#include "transport/mds.h"

struct mds {
    uv_loop_t *loop;
    struct aws *aws;
    uv_timer_t timer;      /* towards the next poll; its close frees the struct */
    struct aws_call *call; /* the outstanding poll */
    bool is_closing;
    int64_t round_began_us;
    struct backoff backoff;
    struct mds_state state;
    char instance_id[256];
    int64_t stop_timeout_ms, empty_pause_ms;
    unsigned n_quick_rounds; /* with messages, one after another */
    unsigned n_reply_retries;
    void (*on_message)(void *ctx, const struct mds_message *message);
    void *ctx;
};

#endif
