/* Parcels on their way. Each has two tracks, logs and S3, that know nothing of each other; a track
 * has at most one call under way, and waits by itself after a failure. One timer for all. */
#include "agent/courier.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "upload"
#include "agent/courier_output.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/str.h"
#include "fsm/fsm.h"
#include "transport/logs.h"

#define FOLLOW_MS 1000
#define FIRST_PAUSE_MS 1000
#define MAX_CALLS 16 /* under way at once, over all parcels */

struct track {
    struct backoff backoff;
    int64_t due_us; /* not before */
    bool is_calling, is_over;
};

struct parcel {
    struct courier *courier;
    struct parcel *next, *prev;
    char id[FSM_ID_SIZE];
    char *job, *bucket, *key, *log_group, *log_stream; /* owned */
    int unit;
    int64_t attempts;                /* 0: it still grows */
    struct courier_output output[2]; /* stdout, stderr */
    struct track logs, s3;
    struct logs_call *logs_call;
    struct s3_put *s3_put;
    bool has_group, has_stream[2], waits_for_commit;
    int64_t logged[2], batch_bytes; /* batch_bytes: of the one under way */
    int stream;                     /* that the call under way is about */
    int n_put;                      /* streams that S3 has, or that are empty */
    struct err refused;             /* code 0: nothing was */
};

struct courier {
    uv_loop_t *loop;
    struct aws *aws;
    struct s3 *s3;
    int64_t backoff_cap_ms;
    struct courier_events events;
    uv_timer_t timer;
    struct parcel *parcels; /* owned */
    unsigned n_calls;
    bool is_way_closed, is_closing;
    char last_error[256];
};

static const char *const stream_names[] = {"stdout", "stderr"};

static void on_timer(uv_timer_t *timer);

/* ---- time ---- */

static bool is_ready_to_end(const struct parcel *p)
{
    return p->attempts > 0 && p->logs.is_over && p->s3.is_over && !p->waits_for_commit;
}

static void look_again(struct courier *c)
{
    int64_t now = clock_monotonic_us(), next = INT64_MAX;
    const struct parcel *p;

    if (c->is_closing)
        return;
    for (p = c->parcels; p != NULL; p = p->next) {
        const struct track *tracks[] = {&p->logs, &p->s3};
        size_t i;

        for (i = 0; i < ARRAY_LEN(tracks); i++) {
            bool is_idle = tracks[i]->is_over || tracks[i]->is_calling ||
                           (i == 0 && p->waits_for_commit) || (i == 1 && p->attempts == 0);

            if (!is_idle && tracks[i]->due_us < next)
                next = tracks[i]->due_us;
        }
        if (is_ready_to_end(p))
            next = 0;
    }
    (void)uv_timer_stop(&c->timer);
    if (next == INT64_MAX || (next <= now && c->n_calls >= MAX_CALLS))
        return; /* the end of a call looks again */
    uv_update_time(c->loop);
    (void)uv_timer_start(&c->timer, on_timer, (uint64_t)(next > now ? (next - now) / 1000 + 1 : 0),
                         0);
}

void courier_wake(struct courier *c)
{
    struct parcel *p;

    for (p = c->parcels; p != NULL; p = p->next) {
        if (p->logs.backoff.n_failures > 0)
            p->logs.due_us = 0;
        if (p->s3.backoff.n_failures > 0)
            p->s3.due_us = 0;
    }
    look_again(c);
}

static void succeeded(struct parcel *p, struct track *t)
{
    struct courier *c = p->courier;

    if (t->backoff.n_failures > 0)
        log_info("%s goes on", p->id);
    backoff_clear(&t->backoff);
    t->due_us = 0;
    if (c->is_way_closed) {
        c->is_way_closed = false;
        c->last_error[0] = '\0';
        courier_wake(c);
    }
}

static void try_later(struct parcel *p, struct track *t, const struct err *err)
{
    struct courier *c = p->courier;

    t->backoff.first_ms = FIRST_PAUSE_MS;
    t->backoff.cap_ms = c->backoff_cap_ms;
    t->due_us = clock_monotonic_us() + 1000 * backoff_fail_ms(&t->backoff, ids_random32());
    if (t->backoff.n_failures == 1)
        log_warning("%s: %s; it is tried again", p->id, err->text);
    (void)str_copy(c->last_error, sizeof(c->last_error), err->text); /* for people; may be cut */
    c->is_way_closed = true;
}

/* ---- the life of a parcel ---- */

static struct parcel *find(const struct courier *c, const char *id)
{
    struct parcel *p;

    for (p = c->parcels; p != NULL; p = p->next)
        if (str_eq(p->id, id))
            return p;
    return NULL;
}

static void free_parcel(struct parcel *p)
{
    struct courier *c = p->courier;

    if (p->prev != NULL)
        p->prev->next = p->next;
    else
        c->parcels = p->next;
    if (p->next != NULL)
        p->next->prev = p->prev;
    c->n_calls -= (unsigned)p->logs.is_calling + (unsigned)p->s3.is_calling;
    logs_cancel(p->logs_call);
    s3_put_cancel(p->s3_put);
    courier_output_done(&p->output[0]);
    courier_output_done(&p->output[1]);
    free(p->job);
    free(p->bucket);
    free(p->key);
    free(p->log_group);
    free(p->log_stream);
    free(p);
}

static void refuse(struct parcel *p, struct track *t, const struct err *err)
{
    t->is_over = true;
    log_warning("%s: %s; it is given up", p->id, err->text);
    if (p->refused.code == 0)
        p->refused = *err;
    if (t == &p->s3) /* what the logs have is not repeated for it */
        return;
    p->waits_for_commit = false;
}

/* True: it has ended and is gone. */
static bool end_if_over(struct parcel *p)
{
    struct courier *c = p->courier;
    char id[FSM_ID_SIZE];
    struct err err = p->refused;

    if (!is_ready_to_end(p))
        return false;
    memcpy(id, p->id, sizeof(id));
    free_parcel(p);
    c->events.ended(c->events.ctx, id, err.code != 0 ? &err : NULL);
    return true;
}

/* ---- to the logs ---- */

static void begin_call(struct parcel *p, struct track *t)
{
    t->is_calling = true;
    p->courier->n_calls++;
}

static void end_call(struct parcel *p, struct track *t)
{
    t->is_calling = false;
    p->courier->n_calls--;
}

static void after_logs(struct parcel *p, const struct logs_result *result)
{
    struct courier *c = p->courier;

    p->logs_call = NULL;
    end_call(p, &p->logs);
    if (result->err == NULL)
        succeeded(p, &p->logs);
    else if (result->is_permanent || result->is_gone)
        refuse(p, &p->logs, result->err);
    else
        try_later(p, &p->logs, result->err);
    (void)end_if_over(p); /* either way all others are looked at */
    look_again(c);
}

static void on_group(void *ctx, const struct logs_result *result)
{
    struct parcel *p = ctx;

    p->has_group = result->err == NULL;
    after_logs(p, result);
}

static void on_stream(void *ctx, const struct logs_result *result)
{
    struct parcel *p = ctx;

    p->has_stream[p->stream] = result->err == NULL;
    after_logs(p, result);
}

static void on_batch(void *ctx, const struct logs_result *result)
{
    struct parcel *p = ctx;
    struct courier *c = p->courier;

    if (result->err == NULL) {
        p->logged[p->stream] += p->batch_bytes;
        p->waits_for_commit = true;
        c->events.logged(c->events.ctx, p->id, p->logged);
    }
    after_logs(p, result);
}

static int read_some(struct courier_output *o, int64_t from, struct buf *ret_bytes, struct err *err)
{
    char bytes[16384];

    while (ret_bytes->len < LOGS_MAX_READ_BYTES) {
        size_t room = LOGS_MAX_READ_BYTES - ret_bytes->len;
        ssize_t n = courier_output_read(o, bytes, room < sizeof(bytes) ? room : sizeof(bytes),
                                        from + (int64_t)ret_bytes->len);

        if (n < 0)
            return err_set(err, ERR_IO, "output of %s cannot be read", o->job);
        if (n == 0)
            break;
        if (buf_add(ret_bytes, bytes, (size_t)n) < 0)
            return buf_error(ret_bytes, "output", err);
    }
    return 0;
}

/* What of a stream is to be put now; n_events 0: nothing. While the step runs, whole lines; when it
 * is over, the rest. The last newline of stdout is dropped then, that of stderr is not: so it
 * stands in what users of the reference have, where stderr is closed after stdout's end was told.
 */
static int next_batch(struct parcel *p, int stream, struct logs_batch *ret_batch, struct err *err)
{
    struct courier_output *o = &p->output[stream];
    AUTO(buf_done) struct buf bytes = {0};
    enum logs_rest rest = p->attempts > 0 && stream == 0 ? LOGS_REST_TRIM : LOGS_REST_LATER;
    bool is_end;
    int r = courier_output_look(o, p->attempts, err);

    if (r < 0 || p->logged[stream] >= o->total) {
        courier_output_rest(o);
        return r;
    }
    buf_init(&bytes, LOGS_MAX_READ_BYTES);
    r = read_some(o, p->logged[stream], &bytes, err);
    courier_output_rest(o); /* a thousand steps that are followed must not hold as many files */
    if (r < 0)
        return r;
    is_end = p->logged[stream] + (int64_t)bytes.len >= o->total;
    r = logs_batch_make(buf_str(&bytes), bytes.len, is_end, rest, clock_wall_ms(), ret_batch, err);
    if (r == 0 && ret_batch->n_bytes == 0 && p->attempts > 0 && is_end) {
        logs_batch_done(ret_batch);
        r = logs_batch_make(buf_str(&bytes), bytes.len, is_end, LOGS_REST_TAKE, clock_wall_ms(),
                            ret_batch, err);
    }
    return r;
}

static int put_batch(struct parcel *p, int stream, const struct logs_batch *batch, struct err *err)
{
    AUTO(buf_done) struct buf name = {0};
    struct aws *aws = p->courier->aws;
    int r;

    buf_init(&name, 1024);
    (void)buf_printf(&name, "%s/%s", p->log_stream, stream_names[stream]);
    r = buf_error(&name, "log stream", err);
    if (r < 0)
        return r;
    p->stream = stream;
    p->batch_bytes = (int64_t)batch->n_bytes;
    return p->has_stream[stream]
               ? logs_put(aws, p->log_group, name.data, batch, on_batch, p, &p->logs_call, err)
               : logs_create(aws, p->log_group, name.data, on_stream, p, &p->logs_call, err);
}

/* 1: a call was begun; 0: there is nothing to do now. */
static int work_logs(struct parcel *p, struct err *err)
{
    int stream, r;

    if (!p->has_group) {
        r = logs_create(p->courier->aws, p->log_group, NULL, on_group, p, &p->logs_call, err);
        return r < 0 ? r : 1;
    }
    for (stream = 0; stream < 2; stream++) {
        AUTO(logs_batch_done) struct logs_batch batch = {.n_events = 0};

        r = next_batch(p, stream, &batch, err);
        if (r == 0 && batch.n_events > 0)
            r = put_batch(p, stream, &batch, err);
        else if (r == 0 && batch.n_bytes > 0)
            p->logged[stream] +=
                (int64_t)batch.n_bytes; /* no event, as a newline alone at the end */
        if (r < 0)
            return r;
        if (batch.n_events > 0)
            return 1;
    }
    if (p->attempts > 0)
        p->logs.is_over = true;
    else
        p->logs.due_us = clock_monotonic_us() + FOLLOW_MS * INT64_C(1000);
    return 0;
}

/* ---- to S3 ---- */

static void on_put(void *ctx, const struct s3_result *result)
{
    struct parcel *p = ctx;
    struct courier *c = p->courier;

    p->s3_put = NULL;
    end_call(p, &p->s3);
    if (result->err == NULL) {
        p->n_put++;
        succeeded(p, &p->s3);
        log_debug("%s: %s is in S3 bucket %s", p->id, stream_names[p->n_put - 1], p->bucket);
    } else if (s3_is_permanent(result)) {
        refuse(p, &p->s3, result->err);
    } else {
        try_later(p, &p->s3, result->err);
    }
    (void)end_if_over(p); /* either way all others are looked at */
    look_again(c);
}

static int work_s3(struct parcel *p, struct err *err)
{
    for (; p->n_put < 2; p->n_put++) {
        struct courier_output *o = &p->output[p->n_put];
        AUTO(buf_done) struct buf key = {0};
        int r = courier_output_look(o, p->attempts, err);

        if (r < 0)
            return r;
        if (o->total == 0)
            continue; /* what is empty is not uploaded */
        buf_init(&key, S3_MAX_KEY_BYTES);
        (void)buf_printf(&key, "%s/%s", p->key, stream_names[p->n_put]);
        r = buf_error(&key, "S3 key", err);
        if (r < 0)
            return r;
        const struct s3_put_request request = {
            .bucket = p->bucket, .key = key.data, .source = {courier_output_read, o, 0, o->total}};
        r = s3_put_start(p->courier->s3, &request, on_put, p, &p->s3_put, err);
        return r < 0 ? r : 1;
    }
    p->s3.is_over = true;
    return 0;
}

/* ---- all of them ---- */

static void work(struct parcel *p, struct track *t, int (*begin)(struct parcel *p, struct err *err))
{
    struct err err = {0};
    int r;

    begin_call(p, t); /* a call never ends from within the function that begins it */
    r = begin(p, &err);
    if (r == 1)
        return;
    end_call(p, t);
    if (r < 0 && err_class_of(r) == ERR_CLASS_RETRY)
        try_later(p, t, &err);
    else if (r < 0)
        refuse(p, t, &err);
}

static void on_timer(uv_timer_t *timer)
{
    struct courier *c = container_of(timer, struct courier, timer);
    int64_t now = clock_monotonic_us();
    struct parcel *p, *next;

    for (p = c->parcels; p != NULL; p = next) {
        next = p->next;
        if (!p->logs.is_over && !p->logs.is_calling && !p->waits_for_commit &&
            p->logs.due_us <= now && c->n_calls < MAX_CALLS)
            work(p, &p->logs, work_logs);
        if (p->attempts > 0 && !p->s3.is_over && !p->s3.is_calling && p->s3.due_us <= now &&
            c->n_calls < MAX_CALLS)
            work(p, &p->s3, work_s3);
        (void)end_if_over(p); /* the next one was noted before */
    }
    look_again(c);
}

static struct parcel *new_parcel(struct courier *c, const struct courier_parcel *from,
                                 struct err *err)
{
    struct parcel *p = calloc(1, sizeof(*p));
    int i;

    if (p == NULL || !str_copy(p->id, sizeof(p->id), from->id)) {
        free(p);
        (void)err_set(err, p == NULL ? ERR_NOMEM : ERR_LIMIT, "upload %.40s: cannot be taken on",
                      from->id);
        return NULL;
    }
    p->courier = c;
    p->job = strdup(from->job);
    p->bucket = strdup(from->bucket);
    p->key = strdup(from->key);
    p->log_group = strdup(from->log_group);
    p->log_stream = strdup(from->log_stream);
    p->unit = from->unit;
    for (i = 0; i < 2; i++) {
        courier_output_init(&p->output[i], &c->events, p->job, from->unit, i);
        p->logged[i] = from->logged[i];
    }
    p->logs.is_over = from->log_group[0] == '\0';
    p->s3.is_over = from->bucket[0] == '\0';
    p->next = c->parcels;
    if (p->next != NULL)
        p->next->prev = p;
    c->parcels = p;
    if (p->job == NULL || p->bucket == NULL || p->key == NULL || p->log_group == NULL ||
        p->log_stream == NULL) {
        free_parcel(p);
        (void)err_set(err, ERR_NOMEM, "upload %s: out of memory", from->id);
        return NULL;
    }
    return p;
}

int courier_take(struct courier *c, const struct courier_parcel *from, struct err *err)
{
    struct parcel *p = find(c, from->id);

    if (p == NULL)
        p = new_parcel(c, from, err);
    if (p == NULL)
        return ERR_NOMEM;
    p->attempts = from->attempts;
    if (p->logs.backoff.n_failures == 0)
        p->logs.due_us = from->attempts > 0 ? 0 : clock_monotonic_us() + FOLLOW_MS * INT64_C(1000);
    look_again(c);
    return 0;
}

void courier_go_on(struct courier *c, const char *id)
{
    struct parcel *p = find(c, id);

    if (p == NULL)
        return;
    p->waits_for_commit = false;
    look_again(c); /* an end is told from the timer */
}

void courier_drop(struct courier *c, const char *id)
{
    struct parcel *p = find(c, id);

    if (p != NULL)
        free_parcel(p);
}

void courier_drop_all(struct courier *c)
{
    while (c->parcels != NULL)
        free_parcel(c->parcels);
    (void)uv_timer_stop(&c->timer);
}

int courier_new(const struct courier_options *o, struct courier **ret_courier, struct err *err)
{
    struct courier *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return err_set(err, ERR_NOMEM, "uploads: out of memory");
    c->loop = o->loop;
    c->aws = o->aws;
    c->s3 = o->s3;
    c->backoff_cap_ms = o->backoff_cap_ms;
    (void)uv_timer_init(c->loop, &c->timer); /* cannot fail */
    *ret_courier = c;
    return 0;
}

void courier_set_events(struct courier *c, const struct courier_events *events)
{
    c->events = *events;
}

static void free_courier(uv_handle_t *handle)
{
    free(container_of((uv_timer_t *)(void *)handle, struct courier, timer));
}

void courier_close(struct courier *c)
{
    if (c == NULL || c->is_closing)
        return;
    c->is_closing = true;
    courier_drop_all(c);
    uv_close((uv_handle_t *)&c->timer, free_courier);
}

void courier_get_status(const struct courier *c, struct courier_status *ret_status)
{
    const struct parcel *p;

    *ret_status = (struct courier_status){.n_parcels = 0};
    for (p = c->parcels; p != NULL; p = p->next) {
        ret_status->n_parcels++;
        ret_status->n_waiting += p->logs.backoff.n_failures > 0 || p->s3.backoff.n_failures > 0;
    }
    memcpy(ret_status->last_error, c->last_error, sizeof(c->last_error));
}
