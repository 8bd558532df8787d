/* Connections, bodies, and requests that wait. What a call does is dispatch.c's business. */
#define LOG_MODULE "server"
#include "hub/server_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

#define MAX_HEADERS 100
#define MAX_CONNECTIONS 1000
#define IDLE_CONNECTION_S 300
#define MAX_SLEEP_MS 60000
#define TLS_PRIORITIES "NORMAL:-VERS-TLS1.0:-VERS-TLS1.1"

int64_t server_now_ms(const struct hub *hub)
{
    return clock_wall_ms() + hub->date_offset_ms;
}

/* ---- waiting ---- */

void request_wait_until(struct request *request, int64_t wake_ms)
{
    struct server *server = request->server;

    request->wake_ms = wake_ms;
    request->is_waiting = true;
    request->previous = NULL;
    request->next = server->waiting;
    if (server->waiting != NULL)
        server->waiting->previous = request;
    server->waiting = request;
    MHD_suspend_connection(request->connection);
}

static void stop_waiting(struct request *request)
{
    if (!request->is_waiting)
        return;
    if (request->previous != NULL)
        request->previous->next = request->next;
    else
        request->server->waiting = request->next;
    if (request->next != NULL)
        request->next->previous = request->previous;
    request->is_waiting = false;
}

static void wake(struct request *request)
{
    stop_waiting(request);
    MHD_resume_connection(request->connection);
}

/* Wake what is due, polls too if there may be messages; returns when to look again: now, if any was
 * woken, because libmicrohttpd takes it up in its next run and does not say so in its time-out. */
static int64_t wake_due(struct server *server, int64_t now_ms, bool are_polls_woken)
{
    struct request *request, *next;
    int64_t soonest_ms = INT64_MAX;
    bool is_any_woken = false;

    for (request = server->waiting; request != NULL; request = next) {
        next = request->next;
        if (request->wake_ms <= now_ms || server->is_stopping ||
            (are_polls_woken && request->is_poll)) {
            wake(request);
            is_any_woken = true;
        } else if (request->wake_ms < soonest_ms)
            soonest_ms = request->wake_ms;
    }
    return is_any_woken ? now_ms : soonest_ms;
}

/* A poll whose client is gone must not be given messages: they would be lost until their
 * visibility time is over. */
static bool is_peer_gone(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct pollfd p = {.events = POLLRDHUP};

    if (info == NULL)
        return true;
    p.fd = info->connect_fd;
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

/* ---- one request ---- */

struct header_list {
    struct header list[MAX_HEADERS];
    size_t n;
};

static enum MHD_Result collect_header(void *ctx, enum MHD_ValueKind kind, const char *name,
                                      const char *value)
{
    struct header_list *headers = ctx;

    (void)kind; /* only headers were asked for */
    if (headers->n == MAX_HEADERS)
        return MHD_NO;
    headers->list[headers->n++] =
        (struct header){.name = name, .value = value != NULL ? value : ""};
    return MHD_YES;
}

bool request_admit(struct request *request, const char *method, enum MHD_Result *ret_result)
{
    struct server *server = request->server;
    struct hub *hub = server->config.hub;
    struct header_list headers = {.n = 0};
    const char *error_code = "InternalServerError", *query = strchr(request->target, '?');
    struct fault_rule fault;
    struct err err;
    int r;

    (void)MHD_get_connection_values(request->connection, MHD_HEADER_KIND, collect_header, &headers);
    r = auth_check(server->config.credentials, hub->store,
                   &(struct auth_request){.region = hub->region,
                                          .service = request->entry->service,
                                          .kind = request->entry->auth,
                                          .method = method,
                                          .path = request->path,
                                          .query = query != NULL ? query + 1 : NULL,
                                          .headers = headers.list,
                                          .n_headers = headers.n,
                                          .body = buf_str(&request->body),
                                          .n = request->body.len,
                                          .now_ms = server_now_ms(hub)},
                   &request->caller, &error_code, &err);
    if (r < 0) {
        *ret_result = request_refuse(request, r == ERR_AUTH ? 400 : 500, error_code, err.text);
        return false;
    }
    if (faults_take(&hub->faults, request->operation,
                    BIT(FAULT_ERROR) | BIT(FAULT_FORGET) | BIT(FAULT_RESET), &fault)) {
        *ret_result = fault.kind == FAULT_RESET ? request_reset(request)
                                                : request_refuse(request, fault.status, fault.code,
                                                                 "A fault on request.");
        return false;
    }
    request->is_lost = faults_take(&hub->faults, request->operation, BIT(FAULT_LOSE), &fault);
    if (faults_take(&hub->faults, request->operation, BIT(FAULT_DELAY), &fault)) {
        request_wait_until(request, server_now_ms(hub) + fault.delay_ms);
        *ret_result = MHD_YES;
        return false;
    }
    return true;
}

static enum MHD_Result finish_call(struct request *request, struct call *call, int r,
                                   const struct err *err)
{
    (void)str_copy(request->note, sizeof(request->note), call->note); /* for the log */
    if (r == ERR_REFUSED)
        return request_refuse(request, api_http_status(call->error_code), call->error_code,
                              err->text);
    if (r < 0) {
        bool is_mds = str_eq(request->entry != NULL ? request->entry->service : "", "ec2messages");

        log_error("%s: %s", request->operation, err->text);
        return request_refuse(request, 500,
                              is_mds ? "InternalServerException" : "InternalServerError",
                              "The hub could not do this; its log says why.");
    }
    if (request->is_lost)
        return request_reset(request);
    request_log(request, 200, "");
    return request_answer(request, 200, call->out);
}

static enum MHD_Result run_operation(struct request *request)
{
    struct server *server = request->server;
    struct hub *hub = server->config.hub;
    AUTO(buf_done) struct buf out = {0};
    struct call call = {
        .hub = hub, .out = &out, .now_ms = server_now_ms(hub), .caller = &request->caller};
    struct err err;
    int r;

    buf_init(&out, API_MAX_ANSWER_BYTES);
    if (request->until_ms == 0)
        request->until_ms = call.now_ms + hub->poll_ms;
    if (request->entry->run == api_get_messages && is_peer_gone(request->connection))
        return MHD_NO;
    call.is_last_look = server->is_stopping || call.now_ms >= request->until_ms;
    r = api_run(&call, request->entry, buf_str(&request->body), request->body.len, &err);
    if (r == 0 && call.wait_ms != 0) {
        request->is_poll = true;
        request_wait_until(request,
                           call.wait_ms < request->until_ms ? call.wait_ms : request->until_ms);
        return MHD_YES;
    }
    return finish_call(request, &call, r, &err);
}

static enum MHD_Result run_test_call(struct request *request, bool is_post)
{
    struct hub *hub = request->server->config.hub;
    AUTO(buf_done) struct buf out = {0};
    AUTO(cJSON_Delete) cJSON *in = NULL;
    struct call call = {.hub = hub, .out = &out, .now_ms = server_now_ms(hub)};
    struct err err;
    int r = 0;

    buf_init(&out, API_MAX_ANSWER_BYTES);
    if (is_post)
        r = json_parse(buf_str(&request->body), request->body.len, API_MAX_BODY_BYTES, JSON_REFUSE,
                       "request", &in, &err);
    call.in = in;
    if (r == 0)
        r = test_api_run(&call, request->path, &err);
    if (r == 0)
        r = buf_error(&out, "answer", &err);
    if (r == ERR_NOT_FOUND)
        return request_refuse(request, 404, "UnknownOperationException", err.text);
    if (r < 0 && err_class_of(r) == ERR_CLASS_PERMANENT && r != ERR_REFUSED)
        return request_refuse(request, 400, "ValidationException", err.text);
    return finish_call(request, &call, r, &err);
}

static enum MHD_Result serve(struct request *request, const char *method)
{
    const char *target =
        MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, "X-Amz-Target");
    enum MHD_Result result;

    if (request_is_control(request))
        return request_serve_control(request, method);
    if (request->is_checked)
        return run_operation(request);
    if (request->is_too_large)
        return request_refuse(request, 413, "RequestEntityTooLarge", "The request is too large.");
    if (str_has_prefix(request->path, "/_") && request->server->config.hub->has_faults &&
        (str_eq(method, "POST") || str_eq(method, "GET")))
        return run_test_call(request, str_eq(method, "POST"));
    if (request_is_update(request))
        return request_serve_update(request, method);
    if (!str_eq(request->path, "/") || !str_eq(method, "POST"))
        return request_refuse(request, 404, "UnknownOperationException",
                              "This hub takes POST / with X-Amz-Target.");
    (void)str_copy(request->operation, sizeof(request->operation),
                   target != NULL ? target : "(no X-Amz-Target)"); /* for the log */
    request->entry = api_find(target);
    if (request->entry == NULL)
        return request_refuse(request, 400, "UnknownOperationException",
                              "This hub does not know the operation in X-Amz-Target.");
    (void)str_copy(request->operation, sizeof(request->operation), request->entry->name);
    request->is_checked = true;
    return request_admit(request, method, &result) ? run_operation(request) : result;
}

/* The head is here: S3's bodies go to disk as they come. False: the connection is to be closed. */
static bool begin_request(struct request *request, const char *method)
{
    struct server *server = request->server;
    struct header_list headers = {.n = 0};
    struct s3_head head = {.method = method, .target = request->target, .headers = headers.list};
    struct err err;

    request->is_begun = true;
    (void)MHD_get_connection_values(request->connection, MHD_HEADER_KIND, collect_header, &headers);
    head.n_headers = headers.n;
    if (!s3_is_request(&head))
        return true;
    if (s3_request_new(server->config.hub, server->config.credentials, &head, &request->s3, &err) <
        0) {
        log_error("%s: %s", request->operation, err.text);
        return false;
    }
    (void)str_copy(request->operation, sizeof(request->operation),
                   s3_request_operation(request->s3));                     /* ours: fits */
    (void)str_copy(request->note, sizeof(request->note), request->target); /* for the log; cut */
    return true;
}

/* A piece of a body. A connection that is to be cut is cut in the middle of it. */
static bool add_piece(struct request *request, const char *upload, size_t n)
{
    struct hub *hub = request->server->config.hub;
    struct fault_rule fault;

    if (request->s3 != NULL) {
        if (faults_take(&hub->faults, request->operation, BIT(FAULT_RESET), &fault))
            return false;
        s3_request_add(request->s3, upload, n);
    } else if (buf_add(&request->body, upload, n) < 0) {
        request->is_too_large = true; /* the rest is read and dropped, so that we can say so */
    }
    return true;
}

/* The target as it came: libmicrohttpd decodes it, but signatures are over what was sent. What is
 * returned becomes the request's context. */
static void *on_target(void *ctx, const char *target, struct MHD_Connection *connection)
{
    struct request *request = calloc(1, sizeof(*request));

    if (request == NULL)
        return NULL;
    request->server = ctx;
    request->connection = connection;
    request->started_us = clock_monotonic_us();
    buf_init(&request->body, API_MAX_REQUEST_BYTES);
    ids_uuid4(request->id);
    request->target = strdup(target);
    return request;
}

/* libmicrohttpd's way to hand over a request: first without body, then its pieces, then an empty
 * piece; again with an empty piece after each time it was suspended. */
static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **request_ctx)
{
    struct request *request = *request_ctx;

    (void)ctx;        /* the request knows its server */
    (void)connection; /* and its connection */
    (void)version;    /* 1.0 and 1.1 are served alike */
    if (request == NULL || request->target == NULL)
        return MHD_NO;
    if (!request->is_begun) {
        if (!str_copy(request->path, sizeof(request->path), url)) /* longer than any we know */
            (void)str_copy(request->path, sizeof(request->path), "/?");
        (void)str_copy(request->operation, sizeof(request->operation), request->path);
        return begin_request(request, method) ? MHD_YES : MHD_NO;
    }
    if (*upload_size > 0) {
        if (!add_piece(request, upload, *upload_size))
            return request_reset(request);
        *upload_size = 0;
        return MHD_YES;
    }
    if (request->is_finished)
        return MHD_YES;
    return request->s3 != NULL ? request_serve_s3(request, method) : serve(request, method);
}

static void on_request_end(void *ctx, struct MHD_Connection *connection, void **request_ctx,
                           enum MHD_RequestTerminationCode reason)
{
    struct request *request = *request_ctx;

    (void)ctx;        /* the request knows its server */
    (void)connection; /* and its connection */
    (void)reason;     /* however it ended, it is over */
    if (request == NULL)
        return;
    stop_waiting(request);
    buf_done(&request->body);
    s3_request_free(request->s3);
    free(request->target);
    free(request);
    *request_ctx = NULL;
}

/* ---- the server ---- */

int server_new(const struct server_config *config, struct server **ret_server, struct err *err)
{
    AUTO(server_free) struct server *server = calloc(1, sizeof(*server));
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_SUPPRESS_DATE_NO_CLOCK |
                     MHD_ALLOW_UPGRADE;
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)config->cert_pem},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)config->key_pem},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)TLS_PRIORITIES},
        {MHD_OPTION_END, 0, NULL},
    };

    if (server == NULL)
        return err_set(err, ERR_NOMEM, "HTTP server: out of memory");
    server->config = *config;
    if (control_new(config->hub, &server->control, err) < 0)
        return ERR_NOMEM;
    config->hub->control = server->control;
    if (config->cert_pem != NULL)
        flags |= MHD_USE_TLS;
    else
        tls[0].option = MHD_OPTION_END;
    server->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, server, MHD_OPTION_LISTEN_SOCKET, config->listen_fd,
        MHD_OPTION_URI_LOG_CALLBACK, on_target, server, MHD_OPTION_NOTIFY_COMPLETED, on_request_end,
        server, MHD_OPTION_CONNECTION_LIMIT, (unsigned)MAX_CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_CONNECTION_S, MHD_OPTION_ARRAY, tls,
        MHD_OPTION_END);
    if (server->daemon == NULL)
        return err_set(err, ERR_SYSTEM, "HTTP server: libmicrohttpd did not start%s",
                       config->cert_pem != NULL
                           ? "; is cert.pem a certificate, and key.pem its key? Remove both to "
                             "have new ones made"
                           : "");
    *ret_server = TAKE(server);
    return 0;
}

/* How long poll() may sleep: until a waiting request is due or libmicrohttpd wants to run. */
static int sleep_ms(const struct server *server, int64_t soonest_ms)
{
    int64_t ms = soonest_ms - server_now_ms(server->config.hub);
    MHD_UNSIGNED_LONG_LONG wanted;

    if (soonest_ms == INT64_MAX || ms > MAX_SLEEP_MS)
        ms = MAX_SLEEP_MS;
    if (MHD_get_timeout(server->daemon, &wanted) == MHD_YES && wanted < (uint64_t)ms)
        ms = (int64_t)wanted;
    return ms < 0 ? 0 : (int)ms;
}

int server_run(struct server *server, int signal_fd, struct err *err)
{
    struct hub *hub = server->config.hub;
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct pollfd fds[2 + CONTROL_MAX_CHANNELS] = {{.fd = signal_fd, .events = POLLIN},
                                                   {.events = POLLIN}};
    size_t n;

    if (info == NULL)
        return err_set(err, ERR_SYSTEM, "HTTP server: libmicrohttpd has no epoll descriptor");
    fds[1].fd = info->epoll_fd;
    for (;;) {
        int64_t due_ms = control_send_due(server->control, server_now_ms(hub));
        int64_t soonest_ms = wake_due(server, server_now_ms(hub), hub->is_woken);

        hub->is_woken = false;
        if (due_ms < soonest_ms)
            soonest_ms = due_ms;
        n = control_poll(server->control, fds + 2, CONTROL_MAX_CHANNELS);
        if (poll(fds, 2 + n, sleep_ms(server, soonest_ms)) < 0 && errno != EINTR)
            return err_sys(err, ERR_SYSTEM, errno, "HTTP server: poll");
        if (fds[0].revents != 0)
            return 0;
        control_serve(server->control, fds + 2, n);
        if (MHD_run(server->daemon) != MHD_YES)
            return err_set(err, ERR_SYSTEM, "HTTP server: libmicrohttpd failed");
    }
}

void server_free(struct server *server)
{
    if (server == NULL)
        return;
    if (server->daemon != NULL) {
        server->is_stopping = true;
        control_free(server->control); /* libmicrohttpd does not stop before */
        server->control = NULL;
        server->config.hub->control = NULL;
        (void)wake_due(server, INT64_MAX, true);
        (void)MHD_run(server->daemon); /* let the polls that were woken send their answers */
        (void)MHD_run(server->daemon);
        MHD_stop_daemon(server->daemon);
    }
    control_free(server->control);
    free(server);
}
