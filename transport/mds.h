/* The ec2messages service: the long poll that brings messages, and the three calls that answer them
 * (spec 02, section 5; 03, sections 2 and 4). Loop thread only. What a message means, in which
 * order its answers go out and whether they are repeated is the caller's business. */
#ifndef SSMD_TRANSPORT_MDS_H
#define SSMD_TRANSPORT_MDS_H

#include "schema/message.h"
#include "transport/aws.h"

struct mds;

/* Why no new messages are wanted. Polling goes on when no reason is left. */
enum mds_pause_reason {
    MDS_PAUSE_NOT_STARTED = 1,    /* from mds_new() on */
    MDS_PAUSE_JOURNAL = 2,        /* nothing can be promised now */
    MDS_PAUSE_CONTROL_CHANNEL = 4 /* messages come another way */
};

struct mds_options {
    struct aws *aws;          /* borrowed; outlives the mds */
    const char *instance_id;  /* Destination; copied */
    int64_t stop_timeout_ms;  /* client limit of one poll: Mds.StopTimeoutMillis; 0: 20 s */
    int64_t backoff_first_ms; /* after the first failure; 0: 1 s */
    int64_t backoff_cap_ms;   /* 0: 5 min */
    int64_t quick_round_ms;   /* a round is quick that took less; 0: 1 s */
    int64_t empty_pause_ms;   /* least pause after a quick empty round; 0: 2 s. The most is a
                                 quarter more */
    unsigned n_reply_retries; /* of the three calls */

    /* One message, in the order of the answer; invalid ones were dropped. Borrowed for the call.
     * The next poll begins when all of an answer were handed over. May pause or close the mds:
     * the rest of the answer is not handed over then, the service offers it again. */
    void (*on_message)(void *ctx, const struct mds_message *message);
    void *ctx;
};

/* ERR_INVALID (instance id), ERR_NOMEM. The caller ends *ret_mds with mds_close(). */
int mds_new(uv_loop_t *loop, const struct mds_options *options, struct mds **ret_mds,
            struct err *err) MUST_CHECK;
/* Ends the poll; calls begun with the functions below go on. The memory is freed by the loop. NULL
 * is allowed. */
void mds_close(struct mds *mds);

/* A pause ends the poll under way: what the service was about to hand over it offers again. */
void mds_pause(struct mds *mds, enum mds_pause_reason reason);
void mds_resume(struct mds *mds, enum mds_pause_reason reason);
/* Poll now instead of waiting for the end of a backoff (the network came up, a person asked). */
void mds_poll_now(struct mds *mds);

/* For `ssmctl status`. Times are Unix milliseconds, 0: never, or not waiting. */
struct mds_state {
    unsigned pause_reasons; /* 0: not paused */
    bool is_polling;        /* a poll is outstanding */
    bool is_connected;      /* the last round that ended was a success */
    unsigned n_failures;    /* consecutive */
    int64_t last_success_unix_ms;
    int64_t last_success_boottime_ms; /* for measuring: no clock that is set moves it */
    int64_t last_error_unix_ms;
    int64_t next_try_unix_ms;
    uint64_t n_messages;   /* handed over since mds_new() */
    struct err last_error; /* kept after a success, for people; code 0: none yet */
};
void mds_get_state(const struct mds *mds, struct mds_state *ret_state);

/* The answers. All return at once; `done` gets the result, with the service's word for a refusal:
 * whether that is its last word the caller decides. *ret_call may be NULL. ERR_NOMEM, ERR_LIMIT. */
int mds_send_reply(struct mds *mds, const char *message_id, const char *reply_id,
                   const char *payload, size_t n, aws_done_fn done, void *ctx,
                   struct aws_call **ret_call, struct err *err) MUST_CHECK;
int mds_acknowledge(struct mds *mds, const char *message_id, aws_done_fn done, void *ctx,
                    struct aws_call **ret_call, struct err *err) MUST_CHECK;
/* FailureType InternalHandlerException, the only one the reference sends. */
int mds_fail(struct mds *mds, const char *message_id, aws_done_fn done, void *ctx,
             struct aws_call **ret_call, struct err *err) MUST_CHECK;

#endif
