/* Carries the output of steps to S3 and CloudWatch Logs, in constant memory, from the step's files
 * (spec 03, section 11). Knows nothing of journal and machines: who asks (agent/uploads.c) commits
 * what is told, and asks again after a restart. Failures that may pass are tried again with capped
 * back-off, for ever; the first thing that is taken wakes all that wait. Loop thread only. */
#ifndef SSMD_AGENT_COURIER_H
#define SSMD_AGENT_COURIER_H

#include "transport/aws.h"
#include "transport/s3_put.h"

struct courier;

struct courier_events {
    /* One of the output files of an attempt, for reading; the caller owns it. ERR_NOT_FOUND. */
    int (*open_output)(void *ctx, const char *job, int unit, int attempt, int stream, int *ret_fd,
                       struct err *err);
    /* A batch of log events was taken: they reach up to these bytes of the two streams. Nothing
     * more is put until courier_go_on(). */
    void (*logged)(void *ctx, const char *id, const int64_t bytes[2]);
    /* Of a parcel that was complete: everything is where it was to go (err NULL), or something of
     * it will never be taken. It is gone from the courier. */
    void (*ended)(void *ctx, const char *id, const struct err *err);
    void *ctx;
};

struct courier_options {
    uv_loop_t *loop;
    struct aws *aws; /* borrowed, as is s3; both outlive the courier */
    struct s3 *s3;
    int64_t backoff_cap_ms;
};

/* ERR_NOMEM. The caller ends *ret_courier with courier_close(). */
int courier_new(const struct courier_options *o, struct courier **ret_courier, struct err *err)
    MUST_CHECK;
void courier_set_events(struct courier *c, const struct courier_events *events);
/* Drops everything; handles are closed by the loop, which frees the memory. NULL is allowed. */
void courier_close(struct courier *c);

/* All borrowed for the call. */
struct courier_parcel {
    const char *id;
    const char *job;
    int unit;
    int64_t attempts;                   /* 0: it still grows, and is followed to the logs */
    const char *bucket, *key;           /* bucket "": not to S3; key without "/stdout" */
    const char *log_group, *log_stream; /* group "": not to the logs; stream without "/stdout" */
    int64_t logged[2];                  /* what the logs have already */
};

/* Take a parcel on, or, with a known id, learn that it is complete. ERR_NOMEM, ERR_LIMIT. */
int courier_take(struct courier *c, const struct courier_parcel *from, struct err *err) MUST_CHECK;
/* What courier_events.logged told is committed. */
void courier_go_on(struct courier *c, const char *id);
void courier_drop(struct courier *c, const char *id);
void courier_drop_all(struct courier *c);
/* The way to the services is open again: nobody needs to wait any longer. */
void courier_wake(struct courier *c);

struct courier_status {
    size_t n_parcels, n_waiting; /* waiting: for another try, after a failure */
    char last_error[256];
};
void courier_get_status(const struct courier *c, struct courier_status *ret_status);

#endif
