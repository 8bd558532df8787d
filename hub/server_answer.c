/* Answers: JSON, XML where ssmmessages speaks it, or none at all. */
#define LOG_MODULE "server"
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "hub/server_internal.h"

void request_log(const struct request *request, unsigned status, const char *error_code)
{
    int64_t us = clock_monotonic_us() - request->started_us;

    log_info("%s %u %s%s%" PRId64 ".%03dms %s", request->operation, status, error_code,
             error_code[0] != '\0' ? " " : "", us / 1000, (int)(us % 1000), request->note);
}

void request_add_date(struct MHD_Response *response, int64_t now_ms)
{
    time_t now = (time_t)(now_ms / 1000);
    char text[64];
    struct tm tm;

    if (gmtime_r(&now, &tm) != NULL &&
        strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0)
        (void)MHD_add_response_header(response, "Date",
                                      text); /* an answer without it is still one */
}

enum MHD_Result request_answer_as(struct request *request, unsigned status, const char *type,
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
    request_add_date(response, server_now_ms(request->server->config.hub));
    result = MHD_queue_response(request->connection, status, response);
    MHD_destroy_response(response);
    request->is_finished = true;
    return result;
}

enum MHD_Result request_answer(struct request *request, unsigned status, struct buf *body)
{
    return request_answer_as(request, status, "application/x-amz-json-1.1", body);
}

enum MHD_Result request_refuse(struct request *request, unsigned status, const char *error_code,
                               const char *message)
{
    AUTO(buf_done) struct buf body = {0};

    buf_init(&body, 65536);
    if (request_is_control(request)) { /* ssmmessages speaks XML; a text with markup is left out */
        (void)buf_printf(&body, "<%s><Message>%s</Message></%s>", error_code,
                         strpbrk(message, "<&") == NULL ? message : "", error_code);
        request_log(request, status, error_code);
        return request_answer_as(request, status, "application/xml", &body);
    }
    (void)buf_add_str(&body, "{\"__type\":"); /* failures stick, and give an empty body */
    (void)buf_add_json_str(&body, error_code, strlen(error_code));
    (void)buf_add_str(&body, ",\"message\":");
    (void)buf_add_json_str(&body, message, strlen(message));
    (void)buf_add_char(&body, '}');
    request_log(request, status, error_code);
    return request_answer(request, status, &body);
}

enum MHD_Result request_reset(struct request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    const struct linger now = {.l_onoff = 1, .l_linger = 0};

    if (info != NULL) /* without it the peer sees an end instead of a reset */
        (void)setsockopt(info->connect_fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    log_info("%s reset on request %s", request->operation, request->note);
    return MHD_NO;
}
