/* GET below /updates/: a file of the update source, unsigned. */
#include <string.h>

#include "base/str.h"
#include "hub/server_internal.h"
#include "hub/updates.h"

bool request_is_update(const struct request *request)
{
    return request->server->config.updates_fd >= 0 && str_has_prefix(request->path, UPDATES_PATH);
}

enum MHD_Result request_serve_update(struct request *request, const char *method)
{
    struct MHD_Response *response;
    enum MHD_Result result;
    AUTO(close_fd) int fd = -1;
    int64_t size_bytes;
    struct err err;
    int r;

    (void)str_copy(request->operation, sizeof(request->operation), "GetUpdateFile");
    (void)str_copy(request->note, sizeof(request->note), request->path); /* for the log; cut */
    if (!str_eq(method, "GET"))
        return request_refuse(request, 405, "MethodNotAllowed", "Only GET is possible here.");
    r = updates_find(request->server->config.updates_fd, request->path + strlen(UPDATES_PATH), &fd,
                     &size_bytes, &err);
    if (r < 0)
        return request_refuse(request, r == ERR_NOT_FOUND ? 404 : 500,
                              r == ERR_NOT_FOUND ? "NotFound" : "InternalServerError", err.text);
    response = MHD_create_response_from_fd64((uint64_t)size_bytes, fd);
    if (response == NULL)
        return MHD_NO;
    fd = -1; /* the response's now */
    (void)MHD_add_response_header(response, "Content-Type",
                                  "application/octet-stream"); /* as request_answer() */
    request_add_date(response, server_now_ms(request->server->config.hub));
    request_log(request, MHD_HTTP_OK, "");
    result = MHD_queue_response(request->connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    request->is_finished = true;
    return result;
}
