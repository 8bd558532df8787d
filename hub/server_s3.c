/* S3's requests: faults, and answers that are files. What they do is s3.c's business. */
#include <stdlib.h>
#include <unistd.h>

#include "base/str.h"
#include "hub/server_internal.h"

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
                                      "application/xml"); /* as request_answer() */
    for (i = 0; i < a->n_headers; i++)
        (void)MHD_add_response_header(response, a->headers[i][0], a->headers[i][1]);
    request_add_date(response, server_now_ms(request->server->config.hub));
    request_log(request, a->status, a->error_code);
    result = MHD_queue_response(request->connection, a->status, response);
    MHD_destroy_response(response);
    request->is_finished = true;
    return result;
}

enum MHD_Result request_serve_s3(struct request *request, const char *method)
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
            return request_reset(request);
        if (faults_take(&hub->faults, request->operation, BIT(FAULT_DELAY), &fault)) {
            request_wait_until(request, server_now_ms(hub) + fault.delay_ms);
            return MHD_YES;
        }
    }
    s3_request_run(request->s3, server_now_ms(hub), &a);
    result = request->is_lost ? request_reset(request) : answer_s3(request, &a, is_head);
    s3_answer_done(&a);
    return result;
}
