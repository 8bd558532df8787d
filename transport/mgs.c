/* The control channel's circle: token, websocket, open, lost, wait. Exactly one of these holds: a
 * call for a token is under way; a websocket is; the timer runs towards the next attempt; it is
 * closed, or not started. */
#include "transport/mgs.h"

#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "transport"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/str.h"
#include "transport/aws_sign.h"
#include "transport/mgs_token.h"
#include "transport/ws.h"

#define TOKEN_TIMEOUT_MS 15000 /* spec 05a, section 1.2 */
#define DEFAULT_BACKOFF_FIRST_MS 10000
#define DEFAULT_BACKOFF_CAP_MS (INT64_C(5) * 60 * 1000)
#define DEFAULT_LOST_PAUSE_MS 2500
#define SHORT_LIFE_MS                                                                              \
    INT64_C(10000) /* a channel lost sooner counts as a failure: no tight circle */
#define PONG_AFTER_CHANGE_MS 10000
#define MAX_MESSAGE_BYTES (4u << 20)
#define MAX_PENDING_BYTES (4u << 20)
#define QUERY "role=subscribe&stream=input"

struct mgs {
    uv_loop_t *loop;
    struct aws *aws;
    struct http *http;
    uv_timer_t timer; /* its close frees the struct */
    struct aws_call *call;
    struct ws *ws;
    struct secret token; /* between its answer and the first message */
    struct backoff backoff;
    int64_t token_timeout_ms, lost_pause_ms, ping_ms, pong_timeout_ms;
    int64_t opened_us; /* monotonic */
    bool is_closing;
    struct mgs_state state;
    char path[320], agent_version[32], platform_type[32];
    void (*changed)(void *ctx, const struct mgs_state *state);
    void (*received)(void *ctx, const struct agent_message *m);
    void *ctx;
};

static void try_open(struct mgs *m);

static void on_timer(uv_timer_t *timer)
{
    struct mgs *m = container_of(timer, struct mgs, timer);

    m->state.next_try_unix_ms = 0;
    try_open(m);
}

static void try_in(struct mgs *m, int64_t delay_ms)
{
    m->state.next_try_unix_ms = clock_wall_ms() + delay_ms;
    uv_update_time(m->loop); /* after a long commit the loop's idea of now is old */
    (void)uv_timer_start(&m->timer, on_timer, (uint64_t)delay_ms, 0); /* not closing */
}

static void tell(struct mgs *m)
{
    struct mgs_state state;

    mgs_get_state(m, &state);
    m->changed(m->ctx, &state); /* last: it may close us */
}

static void note_error(struct mgs *m, const struct err *err)
{
    m->state.last_error = *err;
    m->state.last_error_unix_ms = clock_wall_ms();
}

static void fail(struct mgs *m, const struct err *err, bool is_denied)
{
    int64_t delay = backoff_fail_ms(&m->backoff, ids_random32());

    secret_done(&m->token);
    if (m->backoff.n_failures == 1 || is_denied != m->state.is_denied)
        log_warning("%s; next try in %lld ms", err->text, (long long)delay);
    else
        log_debug("%s; failure %u, next try in %lld ms", err->text, m->backoff.n_failures,
                  (long long)delay);
    note_error(m, err);
    m->state.is_denied = is_denied;
    try_in(m, delay);
    tell(m);
}

/* ---- open ---- */

static void lose(struct mgs *m, const struct err *err)
{
    bool was_short = clock_monotonic_us() - m->opened_us < SHORT_LIFE_MS * 1000;

    m->state.is_open = false;
    m->state.lost_unix_ms = clock_wall_ms();
    if (was_short) {
        fail(m, err, false);
        return;
    }
    backoff_clear(&m->backoff);
    log_warning("the control channel is lost: %s", err->text);
    note_error(m, err);
    try_in(m, backoff_spread_ms(0, m->lost_pause_ms, ids_random32()));
    tell(m);
}

static void on_ended(void *ctx, const struct err *err)
{
    struct mgs *m = ctx;

    m->ws = NULL;
    if (m->state.is_open)
        lose(m, err);
    else /* a refused upgrade (OpenControlChannel) is as final as a refused token */
        fail(m, err, err->code == ERR_AUTH);
}

static int write_first_message(const struct mgs *m, struct buf *b, struct err *err)
{
    const char *token = secret_reveal(&m->token);
    char id[UUID_SIZE];

    ids_uuid4(id);
    (void)buf_printf(b,
                     "{\"Cookie\":null,\"MessageSchemaVersion\":\"1.0\",\"RequestId\":\"%s\","
                     "\"TokenValue\":",
                     id);
    (void)buf_add_json_str(b, token, strlen(token));
    (void)buf_add_str(b, ",\"AgentVersion\":");
    (void)buf_add_json_str(b, m->agent_version, strlen(m->agent_version));
    (void)buf_add_str(b, ",\"PlatformType\":");
    (void)buf_add_json_str(b, m->platform_type, strlen(m->platform_type));
    (void)buf_add_char(b, '}');
    return buf_error(b, "first message of the control channel", err);
}

static void on_opened(void *ctx)
{
    struct mgs *m = ctx;
    AUTO(buf_done) struct buf b = {0};
    struct err err = {0};
    int r;

    buf_init(&b, 2 * MGS_MAX_TOKEN_BYTES + 4096);
    r = write_first_message(m, &b, &err);
    if (r == 0)
        r = ws_send(m->ws, WS_TEXT, b.data, b.len, &err);
    if (b.data != NULL)
        explicit_bzero(b.data, b.cap);
    secret_done(&m->token); /* good for one opening only */
    if (r < 0) {
        ws_close(m->ws);
        m->ws = NULL;
        fail(m, &err, false);
        return;
    }
    m->opened_us = clock_monotonic_us();
    m->state.is_open = true;
    m->state.is_denied = false;
    m->state.opened_unix_ms = clock_wall_ms();
    log_info("the control channel is open");
    tell(m);
}

static void on_frame(void *ctx, enum ws_kind kind, const char *bytes, size_t n)
{
    struct mgs *m = ctx;
    struct agent_message message;
    struct err err;

    (void)kind; /* text and binary are taken alike */
    if (agent_message_read(bytes, n, &message, &err) < 0) {
        log_warning("dropped a message of the control channel: %s", err.text);
        return;
    }
    m->state.n_received++;
    m->received(m->ctx, &message);
}

/* ---- opening ---- */

static int start_websocket(struct mgs *m, struct err *err)
{
    AUTO(aws_headers_done) struct aws_headers headers = {.n = 0};
    char target[sizeof(m->path) + sizeof(QUERY)];
    int r = aws_sign_get(m->aws, AWS_SSMMESSAGES, m->path, QUERY, &headers, err);

    if (r < 0)
        return err_wrap(err, "ssmmessages OpenControlChannel");
    (void)snprintf(target, sizeof(target), "%s?%s", m->path, QUERY);
    const struct ws_options o = {.http = m->http,
                                 .origin = aws_endpoint(m->aws, AWS_SSMMESSAGES)->origin,
                                 .target = target,
                                 .headers = headers.list,
                                 .n_headers = headers.n,
                                 .max_message_bytes = MAX_MESSAGE_BYTES,
                                 .max_pending_bytes = MAX_PENDING_BYTES,
                                 .ping_ms = m->ping_ms,
                                 .pong_timeout_ms = m->pong_timeout_ms,
                                 .opened = on_opened,
                                 .received = on_frame,
                                 .ended = on_ended,
                                 .ctx = m};
    return ws_open(m->loop, &o, &m->ws, err);
}

static void on_token(void *ctx, const struct aws_result *result)
{
    struct mgs *m = ctx;
    struct err err = {0};
    int r;

    m->call = NULL;
    if (result->err != NULL) {
        fail(m, result->err, str_eq(result->error_code, "AccessDeniedException"));
        return;
    }
    r = mgs_token_read(result->body, result->len, &m->token, &err);
    if (r < 0)
        r = err_wrap(&err, "ssmmessages CreateControlChannel");
    if (r == 0)
        r = start_websocket(m, &err);
    if (r < 0)
        fail(m, &err, false);
}

static void try_open(struct mgs *m)
{
    char id[UUID_SIZE], body[128];
    struct err err = {0};
    int n;

    ids_uuid4(id);
    n = snprintf(body, sizeof(body), "{\"MessageSchemaVersion\":\"1.0\",\"RequestId\":\"%s\"}", id);
    if (aws_start(m->aws,
                  &(struct aws_request){.service = AWS_SSMMESSAGES,
                                        .operation = "CreateControlChannel",
                                        .path = m->path,
                                        .body = body,
                                        .body_len = (size_t)n,
                                        .timeout_ms = m->token_timeout_ms},
                  on_token, m, &m->call, &err) < 0)
        fail(m, &err, false);
}

/* ---- life ---- */

int mgs_new(uv_loop_t *loop, const struct mgs_options *o, struct mgs **ret_mgs, struct err *err)
{
    struct mgs *m = calloc(1, sizeof(*m));
    /* What stands in a path as it is (spec 01, section 12.1). */
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:@_";

    if (m == NULL)
        return err_set(err, ERR_NOMEM, "ssmmessages: out of memory");
    if (o->instance_id[0] == '\0' || strlen(o->instance_id) > 256 ||
        o->instance_id[strspn(o->instance_id, plain)] != '\0') {
        free(m);
        return err_set(err, ERR_INVALID,
                       "ssmmessages: instance id \"%.100s\": 1 to 256 letters, digits and -._~:@",
                       o->instance_id);
    }
    (void)snprintf(m->path, sizeof(m->path), "/v1/control-channel/%s", o->instance_id);
    (void)str_copy(m->agent_version, sizeof(m->agent_version), o->agent_version);
    (void)str_copy(m->platform_type, sizeof(m->platform_type), o->platform_type);
    m->loop = loop;
    m->aws = o->aws;
    m->http = o->http;
    m->backoff.first_ms = o->backoff_first_ms > 0 ? o->backoff_first_ms : DEFAULT_BACKOFF_FIRST_MS;
    m->backoff.cap_ms = o->backoff_cap_ms > 0 ? o->backoff_cap_ms : DEFAULT_BACKOFF_CAP_MS;
    m->token_timeout_ms = o->token_timeout_ms > 0 ? o->token_timeout_ms : TOKEN_TIMEOUT_MS;
    m->lost_pause_ms = o->lost_pause_ms > 0 ? o->lost_pause_ms : DEFAULT_LOST_PAUSE_MS;
    m->ping_ms = o->ping_ms;
    m->pong_timeout_ms = o->pong_timeout_ms;
    m->changed = o->changed;
    m->received = o->received;
    m->ctx = o->ctx;
    (void)uv_timer_init(loop, &m->timer); /* cannot fail */
    *ret_mgs = m;
    return 0;
}

void mgs_start(struct mgs *mgs)
{
    if (mgs->call == NULL && mgs->ws == NULL && !mgs->is_closing)
        try_in(mgs, 0);
}

static void free_mgs(uv_handle_t *handle)
{
    free(container_of((uv_timer_t *)(void *)handle, struct mgs, timer));
}

void mgs_close(struct mgs *mgs)
{
    if (mgs == NULL || mgs->is_closing)
        return;
    mgs->is_closing = true;
    mgs->state.is_open = false;
    aws_cancel(mgs->call);
    ws_close(mgs->ws);
    secret_done(&mgs->token);
    uv_close((uv_handle_t *)&mgs->timer, free_mgs);
}

int mgs_send(struct mgs *mgs, const char *type, const char *message_id, const char *payload,
             size_t n, struct err *err)
{
    struct agent_message m = {.schema_version = 1,
                              .created_unix_ms = (uint64_t)aws_now_ms(mgs->aws),
                              .payload = payload,
                              .payload_len = n};
    AUTO(buf_done) struct buf b = {0};
    int r;

    if (!mgs->state.is_open)
        return err_set(err, ERR_STATE, "%s: the control channel is not open", type);
    buf_init(&b, MAX_PENDING_BYTES);
    (void)str_copy(m.type, sizeof(m.type), type); /* too long: refused for what is left */
    (void)str_copy(m.id, sizeof(m.id), message_id);
    r = agent_message_write(&m, &b, err);
    return r < 0 ? r : ws_send(mgs->ws, WS_BINARY, b.data, b.len, err);
}

void mgs_network_changed(struct mgs *mgs)
{
    if (mgs->is_closing)
        return;
    if (mgs->state.is_open) {
        ws_ping(mgs->ws, PONG_AFTER_CHANGE_MS);
    } else {
        backoff_clear(&mgs->backoff);
        if (uv_is_active((uv_handle_t *)&mgs->timer))
            try_in(mgs, 0);
    }
}

void mgs_get_state(const struct mgs *mgs, struct mgs_state *ret_state)
{
    *ret_state = mgs->state;
    ret_state->n_failures = mgs->backoff.n_failures;
}
