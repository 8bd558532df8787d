/* What the poll loop and the answers share. */
#ifndef SSMD_TRANSPORT_MDS_INTERNAL_H
#define SSMD_TRANSPORT_MDS_INTERNAL_H

#include "base/backoff.h"
#include "transport/mds.h"

#define MDS_N_TOLD 32

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
    int64_t stop_timeout_ms, empty_pause_ms, quick_round_ms;
    unsigned n_quick_rounds; /* with messages, one after another */
    unsigned n_reply_retries;
    struct {
        uint32_t hash;
        int64_t at_us;  /* monotonic; 0: none */
    } told[MDS_N_TOLD]; /* dropped messages that the log knows of */
    void (*on_message)(void *ctx, const struct mds_message *message);
    void *ctx;
};

#endif
