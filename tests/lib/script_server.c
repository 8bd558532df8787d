/* The scripted peer: connections, the end of requests, writes that own their bytes. */
#include "tests/lib/script_server.h"

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

#define MAX_REQUEST (8u << 20)

struct script_conn {
    uv_tcp_t tcp;
    struct script_server *server;
    struct script_conn *prev, *next;
    char *in;
    size_t in_len;
    bool is_ending;
    unsigned n_writing;
};

struct write {
    uv_write_t request;
    char *bytes;
    size_t n, at;
    bool is_slow;
};

static void on_conn_closed(uv_handle_t *handle)
{
    struct script_conn *conn = container_of((uv_tcp_t *)(void *)handle, struct script_conn, tcp);

    free(conn->in);
    free(conn);
}

static void close_conn(struct script_conn *conn, bool is_reset)
{
    if (uv_is_closing((uv_handle_t *)&conn->tcp))
        return;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        conn->server->conns = conn->next;
    if (!is_reset || uv_tcp_close_reset(&conn->tcp, on_conn_closed) < 0)
        uv_close((uv_handle_t *)&conn->tcp, on_conn_closed);
}

static void write_next(struct script_conn *conn, struct write *w);

static void on_written(uv_write_t *request, int status)
{
    struct write *w = container_of(request, struct write, request);
    struct script_conn *conn =
        container_of((uv_tcp_t *)(void *)request->handle, struct script_conn, tcp);

    if (status == 0 && w->at < w->n) {
        write_next(conn, w);
        return;
    }
    free(w->bytes);
    free(w);
    if (--conn->n_writing == 0 && conn->is_ending)
        close_conn(conn, false);
}

static void write_next(struct script_conn *conn, struct write *w)
{
    uv_buf_t buf = uv_buf_init(w->bytes + w->at, w->is_slow ? 1 : (unsigned)w->n);

    w->at += buf.len;
    if (uv_write(&w->request, (uv_stream_t *)&conn->tcp, &buf, 1, on_written) < 0) {
        w->at = w->n;
        on_written(&w->request, -1);
    }
}

static void send_bytes(struct script_conn *conn, const char *bytes, size_t n, bool is_slow)
{
    struct write *w = calloc(1, sizeof(*w));

    ck_assert_ptr_nonnull(w);
    w->bytes = malloc(n + 1);
    ck_assert_ptr_nonnull(w->bytes);
    memcpy(w->bytes, bytes, n);
    w->n = n;
    w->is_slow = is_slow;
    w->request.handle = (uv_stream_t *)&conn->tcp;
    conn->n_writing++;
    write_next(conn, w);
}

void script_send(struct script_conn *conn, const char *bytes, size_t n)
{
    send_bytes(conn, bytes, n, false);
}

void script_send_slowly(struct script_conn *conn, const char *bytes, size_t n)
{
    send_bytes(conn, bytes, n, true);
}

void script_reply(struct script_conn *conn, int status, const char *extra_headers, const char *body)
{
    size_t size = strlen(extra_headers) + strlen(body) + 128;
    char *text = malloc(size);

    ck_assert_ptr_nonnull(text);
    (void)snprintf(text, size, "HTTP/1.1 %d Whatever\r\nContent-Length: %zu\r\n%s\r\n%s", status,
                   strlen(body), extra_headers, body);
    script_send(conn, text, strlen(text));
    free(text);
}

void script_end(struct script_conn *conn)
{
    conn->is_ending = true;
    if (conn->n_writing == 0)
        close_conn(conn, false);
}

void script_reset(struct script_conn *conn)
{
    close_conn(conn, true);
}

void script_header(const char *request, const char *name, char *ret, size_t size)
{
    const char *end = strstr(request, "\r\n\r\n"), *p;
    size_t n = strlen(name);

    ret[0] = '\0';
    for (p = strstr(request, "\r\n"); p != NULL && end != NULL && p < end; p = strstr(p, "\r\n")) {
        p += 2;
        if (strncasecmp(p, name, n) == 0 && p[n] == ':') {
            const char *value = p + n + 1 + strspn(p + n + 1, " ");

            (void)snprintf(ret, size, "%.*s", (int)strcspn(value, "\r"), value);
            return;
        }
    }
}

const char *script_body(const char *request)
{
    const char *end = strstr(request, "\r\n\r\n");

    return end != NULL ? end + 4 : "";
}

/* The length of the first whole request in the buffer, or 0. */
static size_t whole_request(const struct script_conn *conn)
{
    const char *end = strstr(conn->in, "\r\n\r\n");
    char length[32];
    size_t n;

    if (end == NULL)
        return 0;
    script_header(conn->in, "Content-Length", length, sizeof(length));
    n = (size_t)(end + 4 - conn->in) + (size_t)strtoull(length, NULL, 10);
    return conn->in_len >= n ? n : 0;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct script_conn *conn = container_of((uv_tcp_t *)(void *)stream, struct script_conn, tcp);
    struct script_server *s = conn->server;
    size_t k;

    if (n > 0) {
        char *longer = realloc(conn->in, conn->in_len + (size_t)n + 1);

        ck_assert_ptr_nonnull(longer);
        ck_assert_uint_lt(conn->in_len, MAX_REQUEST);
        conn->in = longer;
        memcpy(conn->in + conn->in_len, buf->base, (size_t)n);
        conn->in_len += (size_t)n;
        conn->in[conn->in_len] = '\0';
    }
    free(buf->base);
    if (n < 0) {
        close_conn(conn, false);
        return;
    }
    while (conn->in_len > 0 && (k = whole_request(conn)) > 0) {
        char *request = malloc(k + 1); /* a body may hold NULs */

        ck_assert_ptr_nonnull(request);
        memcpy(request, conn->in, k);
        request[k] = '\0';
        memmove(conn->in, conn->in + k, conn->in_len - k + 1);
        conn->in_len -= k;
        s->on_request(s->ctx, conn, request, k, ++s->n_requests);
        free(request);
        if (uv_is_closing((uv_handle_t *)stream))
            return;
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    (void)handle;
    *ret = uv_buf_init(malloc(suggested), (unsigned)suggested);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct script_server *s =
        container_of((uv_tcp_t *)(void *)listener, struct script_server, listener);
    struct script_conn *conn = calloc(1, sizeof(*conn));

    ck_assert_ptr_nonnull(conn);
    ck_assert_int_eq(status, 0);
    conn->server = s;
    ck_assert_int_eq(uv_tcp_init(s->loop, &conn->tcp), 0);
    ck_assert_int_eq(uv_accept(listener, (uv_stream_t *)&conn->tcp), 0);
    (void)uv_tcp_nodelay(&conn->tcp, 1); /* a wish */
    conn->next = s->conns;
    if (conn->next != NULL)
        conn->next->prev = conn;
    s->conns = conn;
    s->n_connections++;
    ck_assert_int_eq(uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read), 0);
}

void script_server_start(struct script_server *s, uv_loop_t *loop, script_request_fn on_request,
                         void *ctx)
{
    struct sockaddr_in address;
    struct sockaddr_storage bound;
    int n = sizeof(bound);

    memset(s, 0, sizeof(*s));
    s->loop = loop;
    s->on_request = on_request;
    s->ctx = ctx;
    ck_assert_int_eq(uv_tcp_init(loop, &s->listener), 0);
    ck_assert_int_eq(uv_ip4_addr("127.0.0.1", 0, &address), 0);
    ck_assert_int_eq(uv_tcp_bind(&s->listener, (const struct sockaddr *)&address, 0), 0);
    ck_assert_int_eq(uv_listen((uv_stream_t *)&s->listener, 16, on_connection), 0);
    ck_assert_int_eq(uv_tcp_getsockname(&s->listener, (struct sockaddr *)&bound, &n), 0);
    s->port = ntohs(((struct sockaddr_in *)&bound)->sin_port);
}

void script_server_stop(struct script_server *s)
{
    while (s->conns != NULL)
        close_conn(s->conns, false);
    if (!uv_is_closing((uv_handle_t *)&s->listener))
        uv_close((uv_handle_t *)&s->listener, NULL);
}

static void on_guard(uv_timer_t *timer)
{
    (void)timer;
    ck_abort_msg("the event that the test waits for did not come within a minute");
}

/* A timer may have raised the flag in this very turn, which would then go on to wait for the guard.
 */
static void on_prepare(uv_prepare_t *prepare)
{
    const bool *flag = prepare->data;

    if (*flag)
        uv_stop(prepare->loop);
}

void script_run_until(uv_loop_t *loop, const bool *flag)
{
    uv_prepare_t prepare;
    uv_timer_t guard;

    ck_assert_int_eq(uv_prepare_init(loop, &prepare), 0);
    prepare.data = (void *)(uintptr_t)flag;
    ck_assert_int_eq(uv_prepare_start(&prepare, on_prepare), 0);
    uv_update_time(loop);
    ck_assert_int_eq(uv_timer_init(loop, &guard), 0);
    ck_assert_int_eq(uv_timer_start(&guard, on_guard, 60000, 0), 0);
    while (!*flag)
        (void)uv_run(loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&guard, NULL);
    uv_close((uv_handle_t *)&prepare, NULL);
    (void)uv_run(loop, UV_RUN_NOWAIT); /* both are on this stack: their close must be over */
}

void script_finish_loop(uv_loop_t *loop)
{
    (void)uv_run(loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(loop), 0);
}
