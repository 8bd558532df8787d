/* The scripted websocket server. */
#include "tests/lib/ws_peer.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

struct ws_peer_conn {
    struct ws_peer *peer;
    struct ws_peer_conn *next, *prev;
    uv_tcp_t tcp;
    struct ws_codec *codec; /* after the upgrade */
    struct buf head;
    struct buf out; /* of a slow peer: not written yet */
    size_t n_out_written;
    bool is_writing, is_silent, is_orderly;
    char input[65536];
};

struct writing {
    uv_write_t write;
    struct ws_peer_conn *conn;
    char bytes[];
};

static void on_closed(uv_handle_t *handle)
{
    struct ws_peer_conn *c = container_of((uv_tcp_t *)(void *)handle, struct ws_peer_conn, tcp);

    ws_codec_free(c->codec);
    buf_done(&c->head);
    buf_done(&c->out);
    free(c);
}

void ws_peer_cut(struct ws_peer_conn *c)
{
    if (uv_is_closing((uv_handle_t *)&c->tcp))
        return;
    if (c->next != NULL)
        c->next->prev = c->prev;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        c->peer->conns = c->next;
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

static void on_written(uv_write_t *write, int status);

static void write_now(struct ws_peer_conn *c, const void *bytes, size_t n)
{
    struct writing *w = malloc(sizeof(*w) + n);
    uv_buf_t b;

    ck_assert_ptr_nonnull(w);
    w->conn = c;
    memcpy(w->bytes, bytes, n);
    b = uv_buf_init(w->bytes, (unsigned)n);
    ck_assert_int_eq(uv_write(&w->write, (uv_stream_t *)(void *)&c->tcp, &b, 1, on_written), 0);
}

static void write_next(struct ws_peer_conn *c)
{
    c->is_writing = c->n_out_written < c->out.len;
    if (c->is_writing)
        write_now(c, c->out.data + c->n_out_written++, 1);
}

static void on_written(uv_write_t *write, int status)
{
    struct writing *w = container_of(write, struct writing, write);
    struct ws_peer_conn *c = w->conn;

    free(w);
    if (status == 0 && c->peer->is_slow)
        write_next(c);
}

void ws_peer_write(struct ws_peer_conn *c, const void *bytes, size_t n)
{
    if (c->is_silent || n == 0 || uv_is_closing((uv_handle_t *)&c->tcp))
        return;
    if (!c->peer->is_slow) {
        write_now(c, bytes, n);
        return;
    }
    ck_assert_int_eq(buf_add(&c->out, bytes, n), 0);
    if (!c->is_writing)
        write_next(c);
}

static void flush_frames(struct ws_peer_conn *c)
{
    size_t n;
    const char *bytes = ws_codec_pending(c->codec, &n);

    ws_peer_write(c, bytes, n);
    ws_codec_written(c->codec, n);
}

void ws_peer_send(struct ws_peer_conn *c, enum ws_kind kind, const void *bytes, size_t n)
{
    struct err err = {0};

    ck_assert_msg(ws_codec_send(c->codec, kind, bytes, n, &err) == 0, "%s", err.text);
    flush_frames(c);
}

void ws_peer_close(struct ws_peer_conn *c, unsigned code)
{
    ws_codec_send_close(c->codec, code);
    flush_frames(c);
}

void ws_peer_fall_silent(struct ws_peer_conn *c)
{
    c->is_silent = true;
    (void)uv_read_stop((uv_stream_t *)(void *)&c->tcp);
}

static void on_frame(void *ctx, enum ws_kind kind, const char *bytes, size_t n)
{
    struct ws_peer_conn *c = ctx;

    c->peer->on_message(c->peer->ctx, c, kind, bytes, n);
}

static void take_frames(struct ws_peer_conn *c, const char *bytes, size_t n)
{
    struct err err = {0};
    int r = ws_codec_feed(c->codec, bytes, n, &err);

    c->is_orderly = c->is_orderly || r == ERR_CANCELLED;
    ck_assert_msg(r == 0 || r == ERR_CANCELLED, "the client sent no frames: %s", err.text);
    if (!c->is_silent)
        flush_frames(c);
}

static void accept_upgrade(struct ws_peer_conn *c, const char *template)
{
    const struct ws_codec_options o = {.role = WS_SERVER,
                                       .max_message_bytes = 1u << 24,
                                       .max_pending_bytes = 1u << 24,
                                       .received = on_frame,
                                       .ctx = c};
    char key[64] = "", accept[WS_ACCEPT_SIZE] = "";
    const char *found = strcasestr(c->head.data, "sec-websocket-key: "), *mark;
    AUTO(buf_done) struct buf answer = {0};
    struct err err = {0};

    ck_assert_ptr_nonnull(found);
    ck_assert_int_eq(sscanf(found + strlen("sec-websocket-key: "), "%63s", key), 1);
    ck_assert_msg(ws_accept_of_key(key, accept, &err) == 0, "%s", err.text);
    ck_assert_int_eq(ws_codec_new(&o, &c->codec, &err), 0);
    buf_init(&answer, 1u << 20);
    mark = strstr(template, "ACCEPT");
    (void)buf_add(&answer, template, mark != NULL ? (size_t)(mark - template) : strlen(template));
    if (mark != NULL)
        (void)buf_printf(&answer, "%s%s", accept, mark + strlen("ACCEPT"));
    ws_peer_write(c, buf_str(&answer), answer.len);
}

static void take_request(struct ws_peer_conn *c)
{
    static const char agreed[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                 "Connection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n";
    const char *end = strstr(buf_str(&c->head), "\r\n\r\n"), *length, *answer;
    size_t n_body = 0;

    if (end == NULL)
        return;
    length = strcasestr(c->head.data, "content-length: ");
    if (length != NULL && length < end)
        n_body = (size_t)strtoul(length + strlen("content-length: "), NULL, 10);
    if (c->head.len < (size_t)(end + 4 - c->head.data) + n_body)
        return;
    if (!str_has_prefix(c->head.data, "GET ")) {
        ck_assert(c->peer->on_request != NULL);
        c->peer->on_request(c->peer->ctx, c, c->head.data);
        buf_clear(&c->head);
        return;
    }
    c->peer->n_upgrades++;
    answer =
        c->peer->on_upgrade != NULL ? c->peer->on_upgrade(c->peer->ctx, c, c->head.data) : NULL;
    accept_upgrade(c, answer != NULL ? answer : agreed);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct ws_peer_conn *c = container_of((uv_tcp_t *)(void *)handle, struct ws_peer_conn, tcp);

    (void)suggested;
    *ret = uv_buf_init(c->input, sizeof(c->input));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct ws_peer_conn *c = container_of((uv_tcp_t *)(void *)stream, struct ws_peer_conn, tcp);
    struct ws_peer *p = c->peer;

    if (n < 0) {
        if (p->on_end != NULL)
            p->on_end(p->ctx, c, c->is_orderly);
        ws_peer_cut(c);
    } else if (c->codec != NULL) {
        take_frames(c, b->base, (size_t)n);
    } else {
        ck_assert_int_eq(buf_add(&c->head, b->base, (size_t)n), 0);
        take_request(c);
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct ws_peer *p = container_of((uv_tcp_t *)(void *)listener, struct ws_peer, listener);
    struct ws_peer_conn *c = calloc(1, sizeof(*c));

    ck_assert_int_eq(status, 0);
    ck_assert_ptr_nonnull(c);
    c->peer = p;
    buf_init(&c->head, 1u << 20);
    buf_init(&c->out, 1u << 24);
    c->next = p->conns;
    if (c->next != NULL)
        c->next->prev = c;
    p->conns = c;
    ck_assert_int_eq(uv_tcp_init(p->loop, &c->tcp), 0);
    ck_assert_int_eq(uv_accept(listener, (uv_stream_t *)(void *)&c->tcp), 0);
    (void)uv_tcp_nodelay(&c->tcp, 1);
    ck_assert_int_eq(uv_read_start((uv_stream_t *)(void *)&c->tcp, on_alloc, on_read), 0);
}

void ws_peer_start(struct ws_peer *p, uv_loop_t *loop)
{
    struct sockaddr_in address;
    int size = sizeof(address);

    p->loop = loop;
    ck_assert_int_eq(uv_ip4_addr("127.0.0.1", 0, &address), 0);
    ck_assert_int_eq(uv_tcp_init(loop, &p->listener), 0);
    ck_assert_int_eq(uv_tcp_bind(&p->listener, (const struct sockaddr *)&address, 0), 0);
    ck_assert_int_eq(uv_listen((uv_stream_t *)(void *)&p->listener, 16, on_connection), 0);
    ck_assert_int_eq(uv_tcp_getsockname(&p->listener, (struct sockaddr *)&address, &size), 0);
    p->port = ntohs(address.sin_port);
}

void ws_peer_stop(struct ws_peer *p)
{
    while (p->conns != NULL)
        ws_peer_cut(p->conns);
    uv_close((uv_handle_t *)&p->listener, NULL);
}
