/* One connection's life: connecting (libcurl watches the socket), upgrading and open (we do).
 *
 * 1. libcurl stops watching the socket before it says that it is connected; only then is it ours to
 *    watch.
 * 2. It is read until it has nothing more: TLS may hold bytes for which no poll ever fires.
 * 3. It is watched for writing only while bytes wait to be written.
 * 4. A callback of the user may close the websocket: after each one is_closing is looked at. */
#include "transport/ws.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "transport"
#include "base/log.h"
#include "base/str.h"
#include "transport/http_internal.h"
#include "transport/ws_handshake.h"

#define DEFAULT_OPEN_TIMEOUT_MS 30000
#define DEFAULT_PING_MS 35000
#define DEFAULT_PONG_TIMEOUT_MS 20000
#define PING_TEXT "keepalive"
#define CODE_NORMAL 1000u
#define READ_BYTES 16384u

enum ws_phase { WS_CONNECTING, WS_UPGRADING, WS_OPEN };

struct ws {
    uv_loop_t *loop;
    struct http_call *call; /* the connection; NULL once closed */
    uv_timer_t timer;       /* the handshake's limit; then pings */
    uv_poll_t poll;         /* initialised with has_poll */
    unsigned n_open_handles;
    enum ws_phase phase;
    bool has_poll, is_closing, is_pong_awaited, is_failed;
    char origin[300];
    struct buf head;     /* the request while it is written, then the answer while it is read */
    size_t head_written; /* SIZE_MAX: all of the request */
    char key[WS_KEY_SIZE];
    struct ws_codec *codec; /* owned */
    int64_t ping_ms, pong_timeout_ms;
    struct err failure; /* of a write inside ws_send(): told by the timer */
    void (*opened)(void *ctx);
    void (*received)(void *ctx, enum ws_kind kind, const char *bytes, size_t n);
    void (*ended)(void *ctx, const struct err *err);
    void *ctx;
};

/* ---- end ---- */

static void release(struct ws *ws)
{
    if (--ws->n_open_handles > 0)
        return;
    if (ws->head.data != NULL)
        explicit_bzero(ws->head.data, ws->head.cap); /* signature and session token */
    buf_done(&ws->head);
    ws_codec_free(ws->codec);
    free(ws);
}

static void on_poll_closed(uv_handle_t *handle)
{
    release(container_of((uv_poll_t *)(void *)handle, struct ws, poll));
}

static void on_timer_closed(uv_handle_t *handle)
{
    release(container_of((uv_timer_t *)(void *)handle, struct ws, timer));
}

/* libuv forgets a descriptor when its poll is closed, so the socket may go at once. */
static void let_go(struct ws *ws)
{
    ws->is_closing = true;
    if (ws->has_poll)
        uv_close((uv_handle_t *)&ws->poll, on_poll_closed);
    uv_close((uv_handle_t *)&ws->timer, on_timer_closed);
    http_cancel(ws->call);
    ws->call = NULL;
}

static void end(struct ws *ws, struct err *err)
{
    void (*ended)(void *ctx, const struct err *err) = ws->ended;
    void *ctx = ws->ctx;

    (void)err_wrap(err, "websocket to %s", ws->origin);
    let_go(ws);
    ended(ctx, err);
}

/* ---- input and output ---- */

static void on_poll(uv_poll_t *poll, int status, int events);

static void watch(struct ws *ws)
{
    size_t n = 0;
    int events = UV_READABLE;

    if (ws->phase == WS_UPGRADING)
        n = ws->head_written != SIZE_MAX;
    else
        (void)ws_codec_pending(ws->codec, &n);
    if (n > 0)
        events |= UV_WRITABLE;
    (void)uv_poll_start(&ws->poll, events, on_poll); /* fails only while closing */
}

/* Write what the socket takes. */
static int put(struct ws *ws, const char *bytes, size_t n, size_t *ret_written, struct err *err)
{
    CURLcode code;

    *ret_written = 0;
    code = curl_easy_send(ws->call->easy, bytes, n, ret_written);
    if (code == CURLE_OK || code == CURLE_AGAIN)
        return 0;
    return err_set(err, ERR_NETWORK, "write: %s", curl_easy_strerror(code));
}

static int flush_frames(struct ws *ws, struct err *err)
{
    const char *bytes;
    size_t n, written = 1;
    int r = 0;

    while (r == 0 && written > 0 && (bytes = ws_codec_pending(ws->codec, &n), n > 0)) {
        r = put(ws, bytes, n, &written, err);
        ws_codec_written(ws->codec, written);
    }
    return r;
}

static int flush_request(struct ws *ws, struct err *err)
{
    size_t written = 1;
    int r = 0;

    while (r == 0 && written > 0 && ws->head_written < ws->head.len) {
        r = put(ws, ws->head.data + ws->head_written, ws->head.len - ws->head_written, &written,
                err);
        ws->head_written += written;
    }
    return r;
}

static void on_timer(uv_timer_t *timer);

static void arm(struct ws *ws, int64_t delay_ms)
{
    uv_update_time(ws->loop); /* after a long commit the loop's idea of now is old */
    (void)uv_timer_start(&ws->timer, on_timer, (uint64_t)delay_ms, 0); /* not closing */
}

/* The peer's bytes after the upgrade. */
static int take_frames(struct ws *ws, const char *bytes, size_t n, struct err *err)
{
    struct err why;
    int r = ws_codec_feed(ws->codec, bytes, n, err);

    if (ws->is_closing)
        return 0;
    if (r < 0) /* its last frame says why; whether it gets there does not matter */
        (void)flush_frames(ws, &why);
    return r < 0 ? r : flush_frames(ws, err);
}

static int take_answer(struct ws *ws, const char *bytes, size_t n, bool is_end, struct err *err)
{
    size_t used = 0, n_rest;
    AUTO(free) char *rest = NULL;
    int r;

    (void)buf_add(&ws->head, bytes, n); /* what does not fit is behind the largest answer */
    r = ws_handshake_read(buf_str(&ws->head), ws->head.len, is_end, ws->key, &used, err);
    if (r <= 0)
        return r;
    ws->phase = WS_OPEN;
    arm(ws, ws->ping_ms);
    n_rest = ws->head.len - used;
    rest = n_rest > 0 ? malloc(n_rest) : NULL;
    if (n_rest > 0 && rest == NULL)
        return err_set(err, ERR_NOMEM, "websocket: out of memory");
    if (n_rest > 0)
        memcpy(rest, ws->head.data + used, n_rest);
    buf_done(&ws->head);
    ws->opened(ws->ctx);
    if (ws->is_closing || n_rest == 0)
        return 0;
    return take_frames(ws, rest, n_rest, err);
}

static int read_all(struct ws *ws, struct err *err)
{
    char bytes[READ_BYTES];
    size_t n;
    CURLcode code;
    int r = 0;

    while (r == 0 && !ws->is_closing) {
        n = 0;
        code = curl_easy_recv(ws->call->easy, bytes, sizeof(bytes), &n);
        if (code == CURLE_AGAIN)
            return 0;
        if (code != CURLE_OK)
            return err_set(err, ERR_NETWORK, "read: %s", curl_easy_strerror(code));
        if (n == 0 && ws->phase != WS_OPEN) {
            r = take_answer(ws, bytes, 0, true, err);
            return r < 0 ? r : err_set(err, ERR_NETWORK, "the peer closed the connection");
        }
        if (n == 0)
            return err_set(err, ERR_NETWORK,
                           "the peer closed the connection without a close "
                           "frame");
        r = ws->phase == WS_OPEN ? take_frames(ws, bytes, n, err)
                                 : take_answer(ws, bytes, n, false, err);
    }
    return r;
}

/* The request is gone when the first byte of the answer comes: its buffer serves the answer. */
static int step_request(struct ws *ws, struct err *err)
{
    int r;

    if (ws->head_written == SIZE_MAX)
        return 0;
    r = flush_request(ws, err);
    if (r == 0 && ws->head_written == ws->head.len) {
        explicit_bzero(ws->head.data, ws->head.cap);
        buf_done(&ws->head);
        buf_init(&ws->head, WS_HANDSHAKE_MAX_BYTES);
        ws->head_written = SIZE_MAX;
    }
    return r;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct ws *ws = container_of(poll, struct ws, poll);
    struct err err = {0};
    int r = 0;

    (void)status; /* a socket in error: reading from it tells the true reason */
    (void)events;
    if (ws->phase == WS_UPGRADING)
        r = step_request(ws, &err);
    else
        r = flush_frames(ws, &err);
    if (r == 0 && (ws->phase != WS_UPGRADING || ws->head_written == SIZE_MAX))
        r = read_all(ws, &err);
    if (ws->is_closing)
        return;
    if (r < 0)
        end(ws, &err);
    else
        watch(ws);
}

/* ---- connecting ---- */

static int start_upgrade(struct ws *ws, struct err *err)
{
    curl_socket_t fd = CURL_SOCKET_BAD;
    int r;

    if (curl_easy_getinfo(ws->call->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
        fd == CURL_SOCKET_BAD)
        return err_set(err, ERR_NETWORK, "the connection is gone already");
    r = uv_poll_init_socket(ws->loop, &ws->poll, fd);
    if (r < 0)
        return err_set(err, ERR_SYSTEM, "watch the connection: %s", uv_strerror(r));
    ws->has_poll = true;
    ws->n_open_handles++;
    ws->phase = WS_UPGRADING;
    r = step_request(ws, err);
    if (r == 0)
        (void)uv_poll_start(&ws->poll,
                            ws->head_written == SIZE_MAX ? UV_READABLE : UV_READABLE | UV_WRITABLE,
                            on_poll);
    return r;
}

static void on_connected(void *ctx, const struct http_response *response)
{
    struct ws *ws = ctx;
    struct err err = {0};
    int r = 0;

    if (response->err != NULL) {
        ws->call = NULL; /* it is over */
        err = *response->err;
        r = err.code;
    } else {
        r = start_upgrade(ws, &err);
    }
    if (r < 0)
        end(ws, &err);
}

/* ---- time ---- */

static void ask(struct ws *ws, int64_t timeout_ms)
{
    struct err err = {0};
    int r = ws_codec_send(ws->codec, WS_PING, PING_TEXT, sizeof(PING_TEXT) - 1, &err);

    if (r == 0)
        r = flush_frames(ws, &err);
    if (r < 0) {
        end(ws, &err);
        return;
    }
    ws->is_pong_awaited = true;
    arm(ws, timeout_ms);
    watch(ws);
}

static void on_timer(uv_timer_t *timer)
{
    struct ws *ws = container_of(timer, struct ws, timer);
    struct err err = {0};

    if (ws->is_failed) {
        err = ws->failure;
    } else if (ws->phase != WS_OPEN) {
        (void)err_set(&err, ERR_TIMEOUT, "%s in time",
                      ws->phase == WS_CONNECTING ? "no connection" : "the upgrade is not answered");
    } else if (ws->is_pong_awaited) {
        (void)err_set(&err, ERR_TIMEOUT, "no answer to a ping: the connection is dead");
    } else {
        ask(ws, ws->pong_timeout_ms);
        return;
    }
    end(ws, &err);
}

void ws_ping(struct ws *ws, int64_t timeout_ms)
{
    struct err err;

    if (ws->phase != WS_OPEN || ws->is_closing || ws->is_failed)
        return;
    if (!ws->is_pong_awaited &&
        ws_codec_send(ws->codec, WS_PING, PING_TEXT, sizeof(PING_TEXT) - 1, &err) < 0)
        return; /* as stuck as that: the next ping of its own finds out */
    if (!ws->is_pong_awaited || (int64_t)uv_timer_get_due_in(&ws->timer) > timeout_ms)
        arm(ws, timeout_ms);
    ws->is_pong_awaited = true;
    watch(ws);
}

/* ---- for the user ---- */

static void on_frame(void *ctx, enum ws_kind kind, const char *bytes, size_t n)
{
    struct ws *ws = ctx;

    if (ws->is_closing)
        return;
    if (kind == WS_PONG) {
        ws->is_pong_awaited = false;
        arm(ws, ws->ping_ms);
    } else {
        ws->received(ws->ctx, kind, bytes, n);
    }
}

static int set_up(struct ws *ws, const struct ws_options *o, struct err *err)
{
    const struct ws_codec_options co = {.role = WS_CLIENT,
                                        .max_message_bytes = o->max_message_bytes,
                                        .max_pending_bytes = o->max_pending_bytes,
                                        .received = on_frame,
                                        .ctx = ws};
    int64_t timeout_ms = o->open_timeout_ms > 0 ? o->open_timeout_ms : DEFAULT_OPEN_TIMEOUT_MS;
    int r;

    if (!str_copy(ws->origin, sizeof(ws->origin), o->origin))
        return err_set(err, ERR_INVALID, "\"%.100s...\": longer than %zu bytes", o->origin,
                       sizeof(ws->origin) - 1);
    ws_make_key(ws->key);
    r = ws_handshake_write(o->target, o->headers, o->n_headers, ws->key, &ws->head, err);
    if (r == 0)
        r = ws_codec_new(&co, &ws->codec, err);
    if (r == 0)
        r = http_connect(o->http, o->origin, timeout_ms, on_connected, ws, &ws->call, err);
    if (r == 0)
        arm(ws, timeout_ms);
    return r;
}

int ws_open(uv_loop_t *loop, const struct ws_options *o, struct ws **ret_ws, struct err *err)
{
    struct ws *ws = calloc(1, sizeof(*ws));
    int r;

    if (ws == NULL)
        return err_set(err, ERR_NOMEM, "websocket: out of memory");
    ws->loop = loop;
    ws->ping_ms = o->ping_ms > 0 ? o->ping_ms : DEFAULT_PING_MS;
    ws->pong_timeout_ms = o->pong_timeout_ms > 0 ? o->pong_timeout_ms : DEFAULT_PONG_TIMEOUT_MS;
    ws->opened = o->opened;
    ws->received = o->received;
    ws->ended = o->ended;
    ws->ctx = o->ctx;
    buf_init(&ws->head, 65536);
    (void)uv_timer_init(loop, &ws->timer); /* cannot fail */
    ws->n_open_handles = 1;
    r = set_up(ws, o, err);
    if (r < 0) {
        let_go(ws);
        return err_wrap(err, "websocket");
    }
    *ret_ws = ws;
    return 0;
}

int ws_send(struct ws *ws, enum ws_kind kind, const void *bytes, size_t n, struct err *err)
{
    int r;

    if (ws->phase != WS_OPEN || ws->is_closing || ws->is_failed)
        return err_set(err, ERR_STATE, "websocket to %s: it is not open", ws->origin);
    r = ws_codec_send(ws->codec, kind, bytes, n, err);
    if (r < 0)
        return r;
    if (flush_frames(ws, &ws->failure) < 0) { /* told from the loop, as every end */
        ws->is_failed = true;
        (void)uv_poll_stop(&ws->poll);
        arm(ws, 0);
        return 0;
    }
    watch(ws);
    return 0;
}

void ws_close(struct ws *ws)
{
    struct err err;

    if (ws == NULL || ws->is_closing)
        return;
    if (ws->phase == WS_OPEN && !ws->is_failed) {
        ws_codec_send_close(ws->codec, CODE_NORMAL);
        (void)flush_frames(ws, &err);
    }
    let_go(ws);
}
