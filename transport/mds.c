/* The poll loop: one GetMessages outstanding, a pause after quick empty rounds, backoff after
 * failures. The calls that answer messages are in mds_reply.c.
 *
 * Exactly one of these holds: paused (no call, timer stopped); a poll is outstanding; the timer
 * runs towards the next one. */
#include "transport/mds.h"

#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "transport"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/str.h"
#include "transport/mds_internal.h"

#define DEFAULT_STOP_TIMEOUT_MS 20000
#define DEFAULT_BACKOFF_FIRST_MS 1000
#define DEFAULT_BACKOFF_CAP_MS (INT64_C(5) * 60 * 1000)
#define DEFAULT_EMPTY_PAUSE_MS 2000
#define DEFAULT_QUICK_ROUND_MS 1000
#define MAX_QUICK_ROUNDS                                                                           \
    200 /* with messages, one after another; then each is followed by a pause */
#define EXPECTED_END_MS 10000 /* a poll cut off later than this ended as long polls do */
#define VISIBILITY_TIMEOUT_SECONDS 10
#define TELL_AGAIN_US (INT64_C(3600) * 1000000)

static void start_poll(struct mds *m);

static void on_timer(uv_timer_t *timer)
{
    struct mds *m = container_of(timer, struct mds, timer);

    m->state.next_try_unix_ms = 0;
    start_poll(m);
}

static void poll_in(struct mds *m, int64_t delay_ms)
{
    m->state.next_try_unix_ms = clock_wall_ms() + delay_ms;
    uv_update_time(m->loop);
    (void)uv_timer_start(&m->timer, on_timer, (uint64_t)delay_ms, 0); /* not closing */
}

static void note_success(struct mds *m)
{
    if (m->backoff.n_failures > 0)
        log_info("ec2messages answers again after %u failures", m->backoff.n_failures);
    backoff_clear(&m->backoff);
    m->state.is_connected = true;
    m->state.last_success_unix_ms = clock_wall_ms();
    m->state.last_success_boottime_ms = clock_boottime_ms();
}

static void note_failure(struct mds *m, const struct err *err)
{
    int64_t delay = backoff_fail_ms(&m->backoff, ids_random32());

    if (m->state.is_connected || m->backoff.n_failures == 1)
        log_warning("%s; next try in %lld ms", err->text, (long long)delay);
    else
        log_debug("%s; failure %u, next try in %lld ms", err->text, m->backoff.n_failures,
                  (long long)delay);
    m->state.is_connected = false;
    m->state.last_error = *err;
    m->state.last_error_unix_ms = clock_wall_ms();
    poll_in(m, delay);
}

/* The service held the poll until our limit, or something in between cut the waiting connection:
 * both are how a long poll without messages may end (spec 03, section 2.1). A connection that was
 * never made is neither. The tables of expected texts of the reference match every error; this is
 * what they were meant to say. */
static bool is_expected_end(const struct mds *m, const struct aws_result *result,
                            int64_t elapsed_ms)
{
    int64_t least_ms = m->stop_timeout_ms / 2;

    if (least_ms > EXPECTED_END_MS)
        least_ms = EXPECTED_END_MS;
    if (!result->was_sent || result->http_status != 0 || elapsed_ms < least_ms)
        return false;
    return result->err->code == ERR_TIMEOUT || result->is_reset;
}

static uint32_t hash_of(const char *text, uint32_t h)
{
    for (; text != NULL && *text != '\0'; text++)
        h = (h ^ (unsigned char)*text) * 16777619u; /* FNV-1a */
    return h;
}

/* The service offers what was dropped again and again: told once in a while. */
static bool is_told_lately(struct mds *m, const struct mds_message *message)
{
    uint32_t h = hash_of(message->topic, hash_of(message->message_id, 2166136261u));
    int64_t now = clock_monotonic_us();
    size_t i, oldest = 0;

    h = hash_of(message->payload, hash_of(message->problem, h));
    for (i = 0; i < MDS_N_TOLD; i++) {
        if (m->told[i].at_us != 0 && m->told[i].hash == h && now - m->told[i].at_us < TELL_AGAIN_US)
            return true;
        if (m->told[i].at_us < m->told[oldest].at_us)
            oldest = i;
    }
    m->told[oldest].hash = h;
    m->told[oldest].at_us = now;
    return false;
}

/* The number of messages that could be used. */
static size_t hand_over(struct mds *m, const struct mds_messages *messages)
{
    size_t i, n_valid = 0;

    for (i = 0; i < messages->n && !m->is_closing && m->state.pause_reasons == 0; i++) {
        const struct mds_message *message = &messages->items[i];

        if (!message->is_valid) {
            if (!is_told_lately(m, message))
                log_warning("dropped message %.200s: %s",
                            message->message_id != NULL ? message->message_id : "without an id",
                            message->problem);
            continue;
        }
        n_valid++;
        m->state.n_messages++;
        m->on_message(m->ctx, message);
    }
    return n_valid;
}

static void on_round(void *ctx, const struct aws_result *result)
{
    struct mds *m = ctx;
    int64_t elapsed_ms = (clock_monotonic_us() - m->round_began_us) / 1000;
    AUTO(mds_messages_done) struct mds_messages messages = {0};
    struct err err = {0};
    size_t n_valid;
    int r = 0;

    m->call = NULL;
    m->state.is_polling = false;
    if (result->err != NULL && !is_expected_end(m, result, elapsed_ms)) {
        note_failure(m, result->err);
        return;
    }
    if (result->err == NULL)
        r = mds_messages_parse(result->body, result->len, &messages, &err);
    if (r < 0) {
        (void)err_wrap(&err, "ec2messages GetMessages");
        note_failure(m, &err);
        return;
    }
    note_success(m);
    n_valid = hand_over(m, &messages);
    m->n_quick_rounds = n_valid > 0 && elapsed_ms < m->quick_round_ms ? m->n_quick_rounds + 1 : 0;
    if (m->is_closing || m->state.pause_reasons != 0 || m->call != NULL ||
        uv_is_active((uv_handle_t *)&m->timer)) /* paused and resumed by a message's handler */
        return;
    /* A service that hands out the same again and again must not keep us and itself busy. */
    if (elapsed_ms < m->quick_round_ms && (n_valid == 0 || m->n_quick_rounds > MAX_QUICK_ROUNDS))
        poll_in(m,
                backoff_spread_ms(m->empty_pause_ms, m->empty_pause_ms + m->empty_pause_ms / 4 - 1,
                                  ids_random32()));
    else
        start_poll(m);
}

static void start_poll(struct mds *m)
{
    char id[UUID_SIZE];
    AUTO(buf_done) struct buf body = {0};
    struct err err = {0};
    int r;

    ids_uuid4(id);
    buf_init(&body, 4096);
    (void)buf_add_str(&body, "{\"Destination\":");
    (void)buf_add_json_str(&body, m->instance_id, strlen(m->instance_id));
    (void)buf_printf(&body, ",\"MessagesRequestId\":\"%s\",\"VisibilityTimeoutInSeconds\":%d}", id,
                     VISIBILITY_TIMEOUT_SECONDS);
    r = buf_error(&body, "ec2messages GetMessages", &err);
    if (r == 0)
        r = aws_start(m->aws,
                      &(struct aws_request){.service = AWS_EC2MESSAGES,
                                            .operation = "GetMessages",
                                            .body = body.data,
                                            .body_len = body.len,
                                            .timeout_ms = m->stop_timeout_ms,
                                            .max_response_bytes = MESSAGE_MAX_RESPONSE_BYTES},
                      on_round, m, &m->call, &err);
    if (r < 0) {
        note_failure(m, &err);
        return;
    }
    m->round_began_us = clock_monotonic_us();
    m->state.is_polling = true;
}

int mds_new(uv_loop_t *loop, const struct mds_options *options, struct mds **ret_mds,
            struct err *err)
{
    struct mds *m = calloc(1, sizeof(*m));

    if (m == NULL)
        return err_set(err, ERR_NOMEM, "ec2messages: out of memory");
    if (options->instance_id[0] == '\0' ||
        !str_copy(m->instance_id, sizeof(m->instance_id), options->instance_id)) {
        free(m);
        return err_set(err, ERR_INVALID, "ec2messages: instance id \"%.100s\": 1 to %zu bytes",
                       options->instance_id, sizeof(m->instance_id) - 1);
    }
    m->loop = loop;
    m->aws = options->aws;
    m->stop_timeout_ms =
        options->stop_timeout_ms > 0 ? options->stop_timeout_ms : DEFAULT_STOP_TIMEOUT_MS;
    m->quick_round_ms =
        options->quick_round_ms > 0 ? options->quick_round_ms : DEFAULT_QUICK_ROUND_MS;
    m->empty_pause_ms =
        options->empty_pause_ms > 0 ? options->empty_pause_ms : DEFAULT_EMPTY_PAUSE_MS;
    m->backoff.first_ms =
        options->backoff_first_ms > 0 ? options->backoff_first_ms : DEFAULT_BACKOFF_FIRST_MS;
    m->backoff.cap_ms =
        options->backoff_cap_ms > 0 ? options->backoff_cap_ms : DEFAULT_BACKOFF_CAP_MS;
    m->n_reply_retries = options->n_reply_retries;
    m->on_message = options->on_message;
    m->ctx = options->ctx;
    m->state.pause_reasons = MDS_PAUSE_NOT_STARTED;
    (void)uv_timer_init(loop, &m->timer); /* cannot fail */
    *ret_mds = m;
    return 0;
}

static void free_mds(uv_handle_t *handle)
{
    free(container_of((uv_timer_t *)(void *)handle, struct mds, timer));
}

static void stop_polling(struct mds *m)
{
    aws_cancel(m->call);
    m->call = NULL;
    m->state.is_polling = false;
    m->state.next_try_unix_ms = 0;
    (void)uv_timer_stop(&m->timer);
}

void mds_close(struct mds *mds)
{
    if (mds == NULL || mds->is_closing)
        return;
    mds->is_closing = true;
    stop_polling(mds);
    uv_close((uv_handle_t *)&mds->timer, free_mds);
}

void mds_pause(struct mds *mds, enum mds_pause_reason reason)
{
    mds->state.pause_reasons |= (unsigned)reason;
    stop_polling(mds);
}

void mds_resume(struct mds *mds, enum mds_pause_reason reason)
{
    bool was_paused = mds->state.pause_reasons != 0;

    mds->state.pause_reasons &= ~(unsigned)reason;
    if (was_paused && mds->state.pause_reasons == 0 && !mds->is_closing)
        poll_in(mds, 0);
}

void mds_poll_now(struct mds *mds)
{
    if (mds->state.pause_reasons == 0 && mds->call == NULL && !mds->is_closing)
        poll_in(mds, 0);
}

void mds_get_state(const struct mds *mds, struct mds_state *ret_state)
{
    *ret_state = mds->state;
    ret_state->n_failures = mds->backoff.n_failures;
}
