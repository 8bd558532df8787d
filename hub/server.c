/* Connections, bodies, answers, and requests that wait. What a call does is dispatch.c's business.
 */
#define LOG_MODULE "server"
#include "hub/server.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/str.h"
#include "hub/auth.h"
#include "hub/control.h"
#include "hub/s3.h"
#include "transport/ws_codec.h"

#define MAX_HEADERS 100
#define MAX_CONNECTIONS 1000
#define IDLE_CONNECTION_S 300
#define MAX_SLEEP_MS 60000
#define TLS_PRIORITIES "NORMAL:-VERS-TLS1.0:-VERS-TLS1.1"

struct request {
    struct server *server; /* borrowed */
    struct MHD_Connection *connection;
    struct request *previous, *next; /* in server->waiting */
    struct buf body;                 /* owned */
    char *target;                    /* owned; as it came, not decoded */
    struct s3_request *s3;           /* owned; NULL: not one of S3's */
    const struct api_entry *entry;   /* NULL for the test calls and for S3 */
    struct auth_caller caller;       /* once it was checked */
    char path[192];
    char accept[WS_ACCEPT_SIZE]; /* of an upgrade */
    char operation[64];          /* for the log and for fault rules */
    char note[96];
    char id[UUID_SIZE];
    int64_t started_us;
    int64_t wake_ms;  /* while waiting */
    int64_t until_ms; /* of a poll: the last look */
    bool is_begun;
    bool is_too_large;
    bool is_checked;  /* signature and faults were looked at */
    bool is_poll;     /* waits for a message rather than for the time alone */
    bool is_lost;     /* do the call, but do not answer */
    bool is_waiting;  /* suspended, and in server->waiting */
    bool is_finished; /* an answer is on its way */
};

struct server {
    struct server_config config;
    struct MHD_Daemon *daemon; /* owned */
    struct request *waiting;   /* suspended requests; owned by libmicrohttpd's connections */
    struct control *control;   /* owned */
    bool is_stopping;
};

static int64_t hub_now_ms(const struct hub *hub)
{
    return clock_wall_ms() + hub->date_offset_ms;
}

/* ---- answers ---- */

static void log_call(const struct request *request, unsigned status, const char *error_code)
{
    int64_t us = clock_monotonic_us() - request->started_us;

    log_info("%s %u %s%s%" PRId64 ".%03dms %s", request->operation, status, error_code,
             error_code[0] != '\0' ? " " : "", us / 1000, (int)(us % 1000), request->note);
}

/* libmicrohttpd leaves the date to us, because ours can be shifted. */
static void add_date(struct MHD_Response *response, int64_t now_ms)
{
    time_t now = (time_t)(now_ms / 1000);
    char text[64];
    struct tm tm;

    if (gmtime_r(&now, &tm) != NULL &&
        strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0)
        (void)MHD_add_response_header(response, "Date",
                                      text); /* an answer without it is still one */
}

/* Takes the bytes of `body`. */
static enum MHD_Result answer_as(struct request *request, unsigned status, const char *type,
                                 struct buf *body)
{
    struct MHD_Response *response;
    enum MHD_Result result;
    size_t n = body->len;
    char *bytes = buf_take(body);

    if (bytes == NULL)
        return MHD_NO;
    response = MHD_create_response_from_buffer(n, bytes, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(bytes);
        return MHD_NO;
    }
    /* A header that memory is too short for is left out; the answer still says what it says. */
    (void)MHD_add_response_header(response, "Content-Type", type);
    (void)MHD_add_response_header(response, "x-amzn-RequestId", request->id);
    add_date(response, hub_now_ms(request->server->config.hub));
    result = MHD_queue_response(request->connection, status, response);
    MHD_destroy_response(response);
    request->is_finished = true;
    return result;
}

static enum MHD_Result answer(struct request *request, unsigned status, struct buf *body)
{
    return answer_as(request, status, "application/x-amz-json-1.1", body);
}

static bool is_control(const struct request *request)
{
    return str_has_prefix(request->path, CONTROL_PATH);
}

static enum MHD_Result answer_error(struct request *request, unsigned status,
                                    const char *error_code, const char *message)
{
    AUTO(buf_done) struct buf body = {0};

    buf_init(&body, 65536);
    if (is_control(request)) { /* ssmmessages speaks XML; a text with markup is left out */
        (void)buf_printf(&body, "<%s><Message>%s</Message></%s>", error_code,
                         strpbrk(message, "<&") == NULL ? message : "", error_code);
        log_call(request, status, error_code);
        return answer_as(request, status, "application/xml", &body);
    }
    (void)buf_add_str(&body, "{\"__type\":"); /* failures stick, and give an empty body */
    (void)buf_add_json_str(&body, error_code, strlen(error_code));
    (void)buf_add_str(&body, ",\"message\":");
    (void)buf_add_json_str(&body, message, strlen(message));
    (void)buf_add_char(&body, '}');
    log_call(request, status, error_code);
    return answer(request, status, &body);
}

static enum MHD_Result reset_connection(struct request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    const struct linger now = {.l_onoff = 1, .l_linger = 0};

    if (info != NULL) /* without it the peer sees an end instead of a reset */
        (void)setsockopt(info->connect_fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    log_info("%s reset on request %s", request->operation, request->note);
    return MHD_NO;
}

/* ---- waiting ---- */

static void wait_until(struct request *request, int64_t wake_ms)
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

/* Whether the caller may, and whether this call is one to spoil. True: go on. */
static bool admit(struct request *request, const char *method, enum MHD_Result *ret_result)
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
                                          .now_ms = hub_now_ms(hub)},
                   &request->caller, &error_code, &err);
    if (r < 0) {
        *ret_result = answer_error(request, r == ERR_AUTH ? 400 : 500, error_code, err.text);
        return false;
    }
    if (faults_take(&hub->faults, request->operation,
                    BIT(FAULT_ERROR) | BIT(FAULT_FORGET) | BIT(FAULT_RESET), &fault)) {
        *ret_result = fault.kind == FAULT_RESET
                          ? reset_connection(request)
                          : answer_error(request, fault.status, fault.code, "A fault on request.");
        return false;
    }
    request->is_lost = faults_take(&hub->faults, request->operation, BIT(FAULT_LOSE), &fault);
    if (faults_take(&hub->faults, request->operation, BIT(FAULT_DELAY), &fault)) {
        wait_until(request, hub_now_ms(hub) + fault.delay_ms);
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
        return answer_error(request, api_http_status(call->error_code), call->error_code,
                            err->text);
    if (r < 0) {
        bool is_mds = str_eq(request->entry != NULL ? request->entry->service : "", "ec2messages");

        log_error("%s: %s", request->operation, err->text);
        return answer_error(request, 500,
                            is_mds ? "InternalServerException" : "InternalServerError",
                            "The hub could not do this; its log says why.");
    }
    if (request->is_lost)
        return reset_connection(request);
    log_call(request, 200, "");
    return answer(request, 200, call->out);
}

static enum MHD_Result run_operation(struct request *request)
{
    struct server *server = request->server;
    struct hub *hub = server->config.hub;
    AUTO(buf_done) struct buf out = {0};
    struct call call = {
        .hub = hub, .out = &out, .now_ms = hub_now_ms(hub), .caller = &request->caller};
    struct err err;
    int r;

    buf_init(&out, API_MAX_ANSWER_BYTES);
    if (request->until_ms == 0)
        request->until_ms = call.now_ms + hub->poll_ms;
    if (request->is_poll && is_peer_gone(request->connection))
        return MHD_NO;
    call.is_last_look = server->is_stopping || call.now_ms >= request->until_ms;
    r = api_run(&call, request->entry, buf_str(&request->body), request->body.len, &err);
    if (r == 0 && call.wait_ms != 0) {
        request->is_poll = true;
        wait_until(request, call.wait_ms < request->until_ms ? call.wait_ms : request->until_ms);
        return MHD_YES;
    }
    return finish_call(request, &call, r, &err);
}

static enum MHD_Result run_test_call(struct request *request, bool is_post)
{
    struct hub *hub = request->server->config.hub;
    AUTO(buf_done) struct buf out = {0};
    AUTO(cJSON_Delete) cJSON *in = NULL;
    struct call call = {.hub = hub, .out = &out, .now_ms = hub_now_ms(hub)};
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
        return answer_error(request, 404, "UnknownOperationException", err.text);
    if (r < 0 && err_class_of(r) == ERR_CLASS_PERMANENT && r != ERR_REFUSED)
        return answer_error(request, 400, "ValidationException", err.text);
    return finish_call(request, &call, r, &err);
}

/* ---- control channels ---- */

static enum MHD_Result give_token(struct request *request, const char *instance_id)
{
    AUTO(buf_done) struct buf body = {0};
    char token[CONTROL_TOKEN_SIZE];

    buf_init(&body, 1024);
    control_make_token(request->server->config.hub->control, instance_id, token);
    (void)buf_printf(&body,
                     "<CreateControlChannelResponse><MessageSchemaVersion>1.0"
                     "</MessageSchemaVersion><TokenValue>%s</TokenValue>"
                     "</CreateControlChannelResponse>",
                     token);
    log_call(request, MHD_HTTP_CREATED, "");
    return answer_as(request, MHD_HTTP_CREATED, "application/xml", &body);
}

static void close_upgraded(void *ctx)
{
    (void)MHD_upgrade_action(ctx, MHD_UPGRADE_ACTION_CLOSE); /* its end; nothing can be done */
}

static void on_upgraded(void *ctx, struct MHD_Connection *connection, void *request_ctx,
                        const char *extra, size_t n_extra, MHD_socket fd,
                        struct MHD_UpgradeResponseHandle *handle)
{
    struct server *server = ctx;
    const struct request *request = request_ctx;
    const struct control_socket socket = {.fd = fd, .close = close_upgraded, .ctx = handle};
    int flags = fcntl(fd, F_GETFL);

    (void)connection; /* its socket is ours now */
    if (flags >= 0)
        (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK); /* as libmicrohttpd leaves it already */
    control_add(server->config.hub->control, request->path + strlen(CONTROL_PATH), &socket, extra,
                n_extra);
}

static enum MHD_Result upgrade(struct request *request)
{
    struct MHD_Connection *connection = request->connection;
    const char *key = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Sec-WebSocket-Key");
    const char *to = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Upgrade");
    struct MHD_Response *response;
    enum MHD_Result result;
    struct err err;

    if (key == NULL || to == NULL || !str_eq_nocase(to, "websocket") ||
        ws_accept_of_key(key, request->accept, &err) < 0)
        return answer_error(request, 400, "BadRequestException",
                            "This path wants the upgrade to a websocket.");
    response = MHD_create_response_for_upgrade(on_upgraded, request->server);
    if (response == NULL)
        return MHD_NO;
    if (MHD_add_response_header(response, "Upgrade", "websocket") != MHD_YES ||
        MHD_add_response_header(response, "Sec-WebSocket-Accept", request->accept) != MHD_YES) {
        MHD_destroy_response(response);
        return MHD_NO;
    }
    log_call(request, MHD_HTTP_SWITCHING_PROTOCOLS, "");
    result = MHD_queue_response(connection, MHD_HTTP_SWITCHING_PROTOCOLS, response);
    MHD_destroy_response(response);
    request->is_finished = true;
    return result;
}

static enum MHD_Result serve_control(struct request *request, const char *method)
{
    static const struct api_entry create = {
        .name = "CreateControlChannel", .service = "ssmmessages", .auth = AUTH_SIGNED};
    static const struct api_entry open = {
        .name = "OpenControlChannel", .service = "ssmmessages", .auth = AUTH_SIGNED};
    const char *instance_id = request->path + strlen(CONTROL_PATH);
    bool is_post = str_eq(method, "POST");
    enum MHD_Result result;

    if (!is_post && !str_eq(method, "GET"))
        return answer_error(request, 405, "BadRequestException", "POST and GET are possible here.");
    request->entry = is_post ? &create : &open;
    (void)str_copy(request->operation, sizeof(request->operation), request->entry->name);
    (void)str_copy(request->note, sizeof(request->note), instance_id); /* for the log; cut */
    if (!str_is_safe_name(instance_id, 128))
        return answer_error(request, 400, "BadRequestException", "This is no instance id.");
    if (request->is_checked)
        return is_post ? give_token(request, instance_id) : upgrade(request);
    request->is_checked = true;
    if (!admit(request, method, &result))
        return result;
    if (request->server->config.hub->denies_control)
        return answer_error(request, 400, "AccessDeniedException",
                            "This hub was started with --no-control-channel.");
    return is_post ? give_token(request, instance_id) : upgrade(request);
}

static enum MHD_Result serve(struct request *request, const char *method)
{
    const char *target =
        MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, "X-Amz-Target");
    enum MHD_Result result;

    if (is_control(request))
        return serve_control(request, method);
    if (request->is_checked)
        return run_operation(request);
    if (request->is_too_large)
        return answer_error(request, 413, "RequestEntityTooLarge", "The request is too large.");
    if (str_has_prefix(request->path, "/_") && request->server->config.hub->has_faults &&
        (str_eq(method, "POST") || str_eq(method, "GET")))
        return run_test_call(request, str_eq(method, "POST"));
    if (!str_eq(request->path, "/") || !str_eq(method, "POST"))
        return answer_error(request, 404, "UnknownOperationException",
                            "This hub takes POST / with X-Amz-Target.");
    (void)str_copy(request->operation, sizeof(request->operation),
                   target != NULL ? target : "(no X-Amz-Target)"); /* for the log */
    request->entry = api_find(target);
    if (request->entry == NULL)
        return answer_error(request, 400, "UnknownOperationException",
                            "This hub does not know the operation in X-Amz-Target.");
    (void)str_copy(request->operation, sizeof(request->operation), request->entry->name);
    request->is_checked = true;
    return admit(request, method, &result) ? run_operation(request) : result;
}

/* ---- S3 ---- */

/* The body that an answer to a HEAD does not have. */
static ssize_t no_body(void *ctx, uint64_t at, char *bytes, size_t size)
{
    (void)ctx;
    (void)at;
    (void)bytes;
    (void)size;
    return MHD_CONTENT_READER_END_OF_STREAM;
}

/* Takes what `a` owns. */
static enum MHD_Result answer_s3(struct request *request, struct s3_answer *a, bool is_head)
{
    struct MHD_Response *response = NULL;
    enum MHD_Result result;
    size_t i, n = a->body.len;
    bool has_xml = n > 0;
    int fd = TAKE_FD(a->fd);

    if (is_head && fd >= 0) { /* the length of what is not sent */
        (void)close(fd);      /* only read from */
        response = MHD_create_response_from_callback((uint64_t)a->len, 4096, no_body, NULL, NULL);
    } else if (fd >= 0 && a->status < 300) {
        response =
            MHD_create_response_from_fd_at_offset64((uint64_t)a->len, fd, (uint64_t)a->offset);
        if (response == NULL)
            (void)close(fd);
    } else {
        char *bytes = n > 0 ? buf_take(&a->body) : NULL;

        close_fd_cleanup(&fd);
        response = MHD_create_response_from_buffer(n, bytes, MHD_RESPMEM_MUST_FREE);
        if (response == NULL)
            free(bytes);
    }
    if (response == NULL)
        return MHD_NO;
    if (has_xml)
        (void)MHD_add_response_header(response, "Content-Type",
                                      "application/xml"); /* as answer() */
    for (i = 0; i < a->n_headers; i++)
        (void)MHD_add_response_header(response, a->headers[i][0], a->headers[i][1]);
    add_date(response, hub_now_ms(request->server->config.hub));
    log_call(request, a->status, a->error_code);
    result = MHD_queue_response(request->connection, a->status, response);
    MHD_destroy_response(response);
    request->is_finished = true;
    return result;
}

static enum MHD_Result serve_s3(struct request *request, const char *method)
{
    struct hub *hub = request->server->config.hub;
    bool is_head = str_eq(method, "HEAD");
    struct s3_answer a;
    struct fault_rule fault;
    enum MHD_Result result;

    if (!request->is_checked) {
        request->is_checked = true;
        if (faults_take(&hub->faults, request->operation, BIT(FAULT_ERROR) | BIT(FAULT_FORGET),
                        &fault)) {
            s3_request_refuse(request->s3, fault.status, fault.code, "A fault on request.", &a);
            result = answer_s3(request, &a, is_head);
            s3_answer_done(&a);
            return result;
        }
        request->is_lost = faults_take(&hub->faults, request->operation, BIT(FAULT_LOSE), &fault);
        if (faults_take(&hub->faults, request->operation, BIT(FAULT_RESET), &fault))
            return reset_connection(request);
        if (faults_take(&hub->faults, request->operation, BIT(FAULT_DELAY), &fault)) {
            wait_until(request, hub_now_ms(hub) + fault.delay_ms);
            return MHD_YES;
        }
    }
    s3_request_run(request->s3, hub_now_ms(hub), &a);
    result = request->is_lost ? reset_connection(request) : answer_s3(request, &a, is_head);
    s3_answer_done(&a);
    return result;
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
            return reset_connection(request);
        *upload_size = 0;
        return MHD_YES;
    }
    if (request->is_finished)
        return MHD_YES;
    return request->s3 != NULL ? serve_s3(request, method) : serve(request, method);
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
    int64_t ms = soonest_ms - hub_now_ms(server->config.hub);
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
        int64_t due_ms = control_send_due(server->control, hub_now_ms(hub));
        int64_t soonest_ms = wake_due(server, hub_now_ms(hub), hub->is_woken);

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
