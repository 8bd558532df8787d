/* Control channels before they are websockets: a token for one, and the upgrade of a connection. */
#include <fcntl.h>
#include <string.h>

#include "base/str.h"
#include "hub/server_internal.h"

bool request_is_control(const struct request *request)
{
    return str_has_prefix(request->path, CONTROL_PATH);
}

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
    request_log(request, MHD_HTTP_CREATED, "");
    return request_answer_as(request, MHD_HTTP_CREATED, "application/xml", &body);
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
        return request_refuse(request, 400, "BadRequestException",
                              "This path wants the upgrade to a websocket.");
    response = MHD_create_response_for_upgrade(on_upgraded, request->server);
    if (response == NULL)
        return MHD_NO;
    if (MHD_add_response_header(response, "Upgrade", "websocket") != MHD_YES ||
        MHD_add_response_header(response, "Sec-WebSocket-Accept", request->accept) != MHD_YES) {
        MHD_destroy_response(response);
        return MHD_NO;
    }
    request_log(request, MHD_HTTP_SWITCHING_PROTOCOLS, "");
    result = MHD_queue_response(connection, MHD_HTTP_SWITCHING_PROTOCOLS, response);
    MHD_destroy_response(response);
    request->is_finished = true;
    return result;
}

enum MHD_Result request_serve_control(struct request *request, const char *method)
{
    static const struct api_entry create = {
        .name = "CreateControlChannel", .service = "ssmmessages", .auth = AUTH_SIGNED};
    static const struct api_entry open = {
        .name = "OpenControlChannel", .service = "ssmmessages", .auth = AUTH_SIGNED};
    const char *instance_id = request->path + strlen(CONTROL_PATH);
    bool is_post = str_eq(method, "POST");
    enum MHD_Result result;

    if (!is_post && !str_eq(method, "GET"))
        return request_refuse(request, 405, "BadRequestException",
                              "POST and GET are possible here.");
    request->entry = is_post ? &create : &open;
    (void)str_copy(request->operation, sizeof(request->operation), request->entry->name);
    (void)str_copy(request->note, sizeof(request->note), instance_id); /* for the log; cut */
    if (!str_is_safe_name(instance_id, 128))
        return request_refuse(request, 400, "BadRequestException", "This is no instance id.");
    if (request->is_checked)
        return is_post ? give_token(request, instance_id) : upgrade(request);
    request->is_checked = true;
    if (!request_admit(request, method, &result))
        return result;
    if (request->server->config.hub->denies_control)
        return request_refuse(request, 400, "AccessDeniedException",
                              "This hub was started with --no-control-channel.");
    return is_post ? give_token(request, instance_id) : upgrade(request);
}
