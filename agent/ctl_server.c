/* ssmctl's side door: connections of a Unix socket, one request each. */
#define LOG_MODULE "ctl"
#include "agent/ctl_server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/ctl_server_internal.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"

#define MAX_REQUEST_BYTES (4u << 20)
#define MAX_CLIENTS 32 /* for one more, the oldest that asks nothing goes */
#define DEFAULT_PATIENCE_MS 30000
#define LOOKS_PER_PATIENCE 4
#define SOCKET_NAME "ctl.sock"

void ctl_client_free(struct client *c)
{
    if (c->request.data != NULL)
        explicit_bzero(c->request.data, c->request.len); /* may hold an activation code */
    buf_done(&c->request);
    if (c->answer.data != NULL)
        explicit_bzero(c->answer.data, c->answer.len); /* it may have held a secret */
    buf_done(&c->answer);
    free(c);
}

static void on_client_closed(uv_handle_t *handle)
{
    struct client *c = handle->data;

    c->is_closed = true;
    if (!c->is_waiting)
        ctl_client_free(c);
}

static void client_close(struct client *c)
{
    if (uv_is_closing((uv_handle_t *)&c->pipe))
        return;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        c->server->clients = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    c->server->n_clients--;
    uv_close((uv_handle_t *)&c->pipe, on_client_closed);
}

/* Who still sends would have its answer torn away by a close: it has to end first. */
static void on_written(uv_write_t *req, int status)
{
    struct client *c = container_of(req, struct client, write);

    c->is_answered = true;
    if (status < 0 || !c->is_overlong || c->is_at_end)
        client_close(c); /* one that went away misses its answer; what it asked for is done */
}

void ctl_client_send(struct client *c)
{
    uv_buf_t bytes;
    int r;

    c->since_ms = uv_now(c->server->loop);
    (void)buf_add_char(&c->answer, '\n');
    if (buf_error(&c->answer, "answer", NULL) < 0) {
        client_close(c);
        return;
    }
    bytes = uv_buf_init(c->answer.data, (unsigned)c->answer.len);
    r = uv_write(&c->write, (uv_stream_t *)&c->pipe, &bytes, 1, on_written);
    if (r < 0)
        client_close(c);
}

void ctl_client_send_error(struct client *c, const struct err *err)
{
    (void)buf_printf(&c->answer,
                     "{\"ok\":false,\"error\":{\"code\":\"%s\",\"text\":", err_name(err->code));
    (void)buf_add_json_str(&c->answer, err->text, strlen(err->text));
    (void)buf_add_str(&c->answer, "}}");
    ctl_client_send(c);
}

static void handle_request(struct client *c, size_t n)
{
    AUTO(cJSON_Delete) cJSON *request = NULL;
    struct err err;
    int r = json_parse(buf_str(&c->request), n, MAX_REQUEST_BYTES, JSON_REFUSE, "request", &request,
                       &err);

    (void)uv_read_stop((uv_stream_t *)&c->pipe);
    if (r == 0)
        r = ctl_serve(c, request, &err);
    if (r < 0)
        ctl_client_send_error(c, &err);
}

/* ---- connections ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    static char chunk[65536]; /* read and consumed before the next alloc: one thread, one loop */

    (void)handle;
    (void)suggested;
    *ret_buf = uv_buf_init(chunk, sizeof(chunk));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
    struct client *c = stream->data;
    const char *newline;
    struct err err;

    if (n == UV_EOF)
        c->is_at_end = true;
    if (n == UV_EOF && !c->is_overlong && c->request.len > 0)
        handle_request(c, c->request.len); /* a newline is not insisted on */
    else if (n < 0 && (n != UV_EOF || !c->is_overlong || c->is_answered))
        client_close(c);
    if (n <= 0 || c->is_overlong)
        return;
    newline = memchr(bytes->base, '\n', (size_t)n);
    (void)buf_add(&c->request, bytes->base,
                  newline != NULL ? (size_t)(newline - bytes->base) : (size_t)n);
    if (buf_error(&c->request, "request", &err) < 0) {
        c->is_overlong = true; /* or there is no memory: the rest is not looked at either */
        buf_done(&c->request);
        ctl_client_send_error(c, &err);
    } else if (newline != NULL) {
        handle_request(c, c->request.len);
    }
}

static bool is_allowed(uv_pipe_t *pipe)
{
    struct ucred who;
    socklen_t n = sizeof(who);
    uv_os_fd_t fd;

    return uv_fileno((uv_handle_t *)pipe, &fd) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 &&
           (who.uid == 0 || who.uid == geteuid());
}

/* Of those that the engine owes nothing: who does not ask, or does not take its answer. */
static struct client *oldest_idle(const struct ctl_server *s)
{
    struct client *c, *oldest = NULL;

    for (c = s->clients; c != NULL; c = c->next)
        if (!c->is_waiting)
            oldest = c;
    return oldest;
}

static void on_connection(uv_stream_t *listener, int status);

/* A client has so long to ask, and so long to take its answer. */
static void on_watch(uv_timer_t *timer)
{
    struct ctl_server *s = timer->data;
    struct client *c, *next;

    for (c = s->clients; c != NULL; c = next) {
        next = c->next;
        if (!c->is_waiting && uv_now(s->loop) - c->since_ms >= s->patience_ms)
            client_close(c);
    }
    if (s->is_accept_due)
        on_connection((uv_stream_t *)&s->listener, 0);
    if (s->clients == NULL && !s->is_accept_due)
        (void)uv_timer_stop(&s->watch);
}

static void make_room(struct ctl_server *s)
{
    struct client *oldest = s->n_clients < MAX_CLIENTS ? NULL : oldest_idle(s);

    if (oldest != NULL)
        client_close(oldest); /* an operator must not be shut out by what idles */
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct ctl_server *s = listener->data;
    uint64_t look_ms = s->patience_ms / LOOKS_PER_PATIENCE + 1;
    struct client *c;
    struct err err;

    if (status < 0)
        return;
    if (!uv_is_active((uv_handle_t *)&s->watch))
        (void)uv_timer_start(&s->watch, on_watch, look_ms, look_ms);
    c = calloc(1, sizeof(*c));
    s->is_accept_due = c == NULL; /* libuv tells of no other one before this one is accepted */
    if (c == NULL)
        return;
    make_room(s);
    c->server = s;
    c->since_ms = uv_now(s->loop);
    buf_init(&c->request, MAX_REQUEST_BYTES);
    buf_init(&c->answer, MAX_REQUEST_BYTES);
    (void)uv_pipe_init(s->loop, &c->pipe, 0); /* cannot fail for a pipe without IPC */
    c->pipe.data = c;
    c->next = s->clients;
    if (s->clients != NULL)
        s->clients->prev = c;
    s->clients = c;
    s->n_clients++;
    if (uv_accept(listener, (uv_stream_t *)&c->pipe) < 0 || !is_allowed(&c->pipe)) {
        client_close(c);
    } else if (s->n_clients > MAX_CLIENTS) {
        (void)err_set(&err, ERR_BUSY, "ssmd answers %d requests already: try again", MAX_CLIENTS);
        ctl_client_send_error(c, &err);
    } else if (uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read) < 0) {
        client_close(c);
    }
}

/* Bind below a descriptor of the directory: its path may be longer than an address can hold. */
static int make_socket(int dirfd, int *ret_fd, struct err *err)
{
    AUTO(close_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    mode_t before;
    int r;

    if (fd < 0)
        return err_sys(err, ERR_SYSTEM, errno, "control socket");
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dirfd,
                   SOCKET_NAME);
    (void)unlinkat(dirfd, SOCKET_NAME,
                   0); /* of a process that is gone: the pid file's lock says so */
    before = umask(0177);
    r = bind(fd, (const struct sockaddr *)(const void *)&address, sizeof(address));
    (void)umask(before);
    if (r < 0 || listen(fd, 16) < 0)
        return err_sys(err, ERR_SYSTEM, errno, "control socket " SOCKET_NAME);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int ctl_server_new(const struct ctl_server_options *o, struct ctl_server **ret_server,
                   struct err *err)
{
    struct ctl_server *s = calloc(1, sizeof(*s));
    int fd = -1, r;

    if (s == NULL)
        return err_set(err, ERR_NOMEM, "control socket: out of memory");
    s->loop = o->loop;
    s->engine = o->engine;
    s->journal = o->journal;
    s->lookup = o->lookup;
    s->add_status = o->add_status;
    s->registrar = o->registrar;
    s->registered = o->registered;
    s->ctx = o->ctx;
    s->patience_ms = o->patience_ms > 0 ? o->patience_ms : DEFAULT_PATIENCE_MS;
    s->dirfd = -1;
    r = fs_make_path(o->run_dir, &s->dirfd, err);
    if (r == 0)
        r = make_socket(s->dirfd, &fd, err);
    if (r < 0) {
        if (s->dirfd >= 0)
            (void)close(s->dirfd);
        free(s);
        return r;
    }
    (void)uv_pipe_init(s->loop, &s->listener, 0);
    (void)uv_timer_init(s->loop, &s->watch); /* cannot fail */
    s->listener.data = s->watch.data = s;
    r = uv_pipe_open(&s->listener, fd);
    if (r == 0)
        r = uv_listen((uv_stream_t *)&s->listener, 16, on_connection);
    *ret_server = s;
    return r < 0 ? err_set(err, ERR_SYSTEM, "control socket: %s", uv_strerror(r)) : 0;
}

void ctl_server_set_lookup(struct ctl_server *s, struct lookup *lookup)
{
    s->lookup = lookup;
}

void ctl_server_stop(struct ctl_server *s)
{
    if (s == NULL || uv_is_closing((uv_handle_t *)&s->listener))
        return;
    while (s->clients != NULL)
        client_close(s->clients);
    uv_close((uv_handle_t *)&s->listener, NULL);
    uv_close((uv_handle_t *)&s->watch, NULL);
    (void)unlinkat(s->dirfd, SOCKET_NAME, 0);
}

void ctl_server_free(struct ctl_server *s)
{
    if (s == NULL)
        return;
    (void)close(s->dirfd);
    free(s);
}
