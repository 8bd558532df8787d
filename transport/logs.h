/* CloudWatch Logs (spec 02, section 8; spec 03, section 11.5): output as events of a stream. What
 * becomes an event is decided by pure functions; the calls repair what can be repaired (a group or
 * a stream that exists, sequence tokens). Loop thread only. */
#ifndef SSMD_TRANSPORT_LOGS_H
#define SSMD_TRANSPORT_LOGS_H

#include "transport/aws.h"

#define LOGS_MAX_EVENT_BYTES ((size_t)200000)
#define LOGS_MAX_EVENTS 4U /* of one call; far below the service's own limits together */
#define LOGS_MAX_READ_BYTES (LOGS_MAX_EVENT_BYTES * LOGS_MAX_EVENTS)

/* Events out of a stream's bytes, as the members of a JSON array. */
struct logs_batch {
    struct buf events; /* {"message":"...","timestamp":N},...; owned */
    unsigned n_events; /* 0: these bytes make none */
    size_t n_bytes;    /* how many of the input were used up, events or not */
    bool is_full;      /* there may be more whole lines behind them */
};

enum logs_rest {
    LOGS_REST_LATER, /* more will be written: an unfinished last line waits */
    LOGS_REST_TAKE,  /* complete: it is taken too */
    LOGS_REST_TRIM,  /* complete: it is taken too, and one newline at the very end is dropped */
};

/* `is_end`: the bytes reach to the end of what is there now; LOGS_REST_TAKE and _TRIM count only
 * then. CR LF becomes LF; bytes that are no UTF-8 become U+FFFD; a line that is longer than an
 * event may be is split. ERR_NOMEM, ERR_LIMIT. The caller ends *ret_batch with logs_batch_done().
 */
int logs_batch_make(const char *bytes, size_t n, bool is_end, enum logs_rest rest,
                    int64_t now_unix_ms, struct logs_batch *ret_batch, struct err *err) MUST_CHECK;
void logs_batch_done(struct logs_batch *batch);

struct logs_call;

/* `err` NULL: it is there, or was taken. `is_gone`: group or stream do not exist. `is_permanent`:
 * no repetition will change it. Borrowed for the callback. */
struct logs_result {
    const struct err *err;
    bool is_gone, is_permanent;
};
typedef void (*logs_done_fn)(void *ctx, const struct logs_result *result);

/* Make a group or a stream; one that is there already is as good. Where making is refused, it is
 * looked for. `stream` NULL: the group. The callback runs once, from the loop, never from inside.
 * ERR_NOMEM, ERR_LIMIT. */
int logs_create(struct aws *aws, const char *group, const char *stream, logs_done_fn done,
                void *ctx, struct logs_call **ret_call, struct err *err) MUST_CHECK;
/* Put one batch. A batch that the service says it has already counts as taken. */
int logs_put(struct aws *aws, const char *group, const char *stream, const struct logs_batch *batch,
             logs_done_fn done, void *ctx, struct logs_call **ret_call, struct err *err) MUST_CHECK;
/* End a call without its callback. NULL is allowed. */
void logs_cancel(struct logs_call *call);

static inline void logs_batch_done_cleanup(struct logs_batch *batch)
{
    logs_batch_done(batch);
}

#endif
