/* Calls of the ssm service. */
#include "transport/ssm.h"

#include <string.h>

#include "base/str.h"
#include "schema/json.h"
#include "schema/parameter_store.h"

#define MAX_REQUEST_BYTES (64u << 10)
#define MAX_DOCUMENT_ANSWER_BYTES (4u << 20)

static bool is_given(const char *value)
{
    return value != NULL && *value != '\0';
}

static void add_member(struct buf *b, const char *name, const char *value)
{
    if (!is_given(value))
        return;
    (void)buf_printf(b, "%s\"%s\":", b->len > 1 ? "," : "", name);
    (void)buf_add_json_str(b, value, strlen(value)); /* buf_error() is asked at the end */
}

int ssm_update_instance_information(struct aws *aws, const struct ssm_instance_information *info,
                                    aws_done_fn done, void *ctx, struct aws_call **ret_call,
                                    struct err *err)
{
    const struct {
        const char *name, *value;
    } members[] = {
        {"AgentName", is_given(info->agent_name) ? info->agent_name : "amazon-ssm-agent"},
        {"AgentStatus", info->agent_status},
        {"AgentVersion", info->agent_version},
        {"AvailabilityZone", info->availability_zone},
        {"AvailabilityZoneId", info->availability_zone_id},
        {"ComputerName", info->computer_name},
        {"IPAddress", info->ip_address},
        {"InstanceId", info->instance_id},
        {"PlatformName", info->platform_name},
        {"PlatformType", info->platform_type},
        {"PlatformVersion", info->platform_version},
        {"SSMConnectionChannel", info->connection_channel},
    };
    AUTO(buf_done) struct buf body = {0};
    size_t i;
    int r;

    if (!is_given(info->instance_id) || !is_given(info->agent_version) ||
        !is_given(info->platform_type))
        return err_set(err, ERR_INVALID,
                       "UpdateInstanceInformation: instance id, agent version and platform type "
                       "are needed");
    buf_init(&body, MAX_REQUEST_BYTES);
    (void)buf_add_char(&body, '{');
    for (i = 0; i < ARRAY_LEN(members); i++)
        add_member(&body, members[i].name, members[i].value);
    (void)buf_add_char(&body, '}');
    r = buf_error(&body, "UpdateInstanceInformation", err);
    if (r < 0)
        return r;
    return aws_start(aws,
                     &(struct aws_request){.service = AWS_SSM,
                                           .operation = "UpdateInstanceInformation",
                                           .body = body.data,
                                           .body_len = body.len,
                                           .n_retries = AWS_RETRIES},
                     done, ctx, ret_call, err);
}

int ssm_get_parameters(struct aws *aws, const char *const *names, size_t n, bool with_decryption,
                       aws_done_fn done, void *ctx, struct aws_call **ret_call, struct err *err)
{
    AUTO(buf_done) struct buf body = {0};
    size_t i;
    int r;

    if (n == 0 || n > PARAMETER_MAX_PER_CALL)
        return err_set(err, ERR_INVALID,
                       "GetParameters: %zu names; 1 to %u can be asked for at once", n,
                       PARAMETER_MAX_PER_CALL);
    buf_init(&body, MAX_REQUEST_BYTES);
    (void)buf_add_str(&body, "{\"Names\":[");
    for (i = 0; i < n; i++) {
        if (i > 0)
            (void)buf_add_char(&body, ',');
        (void)buf_add_json_str(&body, names[i], strlen(names[i]));
    }
    (void)buf_printf(&body, "],\"WithDecryption\":%s}", with_decryption ? "true" : "false");
    r = buf_error(&body, "GetParameters", err);
    if (r < 0)
        return r;
    return aws_start(aws,
                     &(struct aws_request){.service = AWS_SSM,
                                           .operation = "GetParameters",
                                           .body = body.data,
                                           .body_len = body.len,
                                           .n_retries = AWS_RETRIES},
                     done, ctx, ret_call, err);
}

int ssm_get_document(struct aws *aws, const char *name, const char *version, aws_done_fn done,
                     void *ctx, struct aws_call **ret_call, struct err *err)
{
    AUTO(buf_done) struct buf body = {0};
    int r;

    buf_init(&body, MAX_REQUEST_BYTES);
    (void)buf_add_char(&body, '{');
    add_member(&body, "Name", name);
    add_member(&body, "DocumentVersion", version);
    (void)buf_add_char(&body, '}');
    r = buf_error(&body, "GetDocument", err);
    if (r < 0)
        return r;
    return aws_start(aws,
                     &(struct aws_request){.service = AWS_SSM,
                                           .operation = "GetDocument",
                                           .body = body.data,
                                           .body_len = body.len,
                                           .n_retries = AWS_RETRIES,
                                           .max_response_bytes = MAX_DOCUMENT_ANSWER_BYTES},
                     done, ctx, ret_call, err);
}

int ssm_document_parse(const char *body, size_t n, struct buf *ret_content, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    const char *content = NULL;
    int r = json_parse(body, n, MAX_DOCUMENT_ANSWER_BYTES, JSON_REFUSE, "answer of GetDocument",
                       &root, err);

    if (r == 0)
        r = json_get_string(root, "answer of GetDocument", "Content", MAX_DOCUMENT_ANSWER_BYTES,
                            &content, err);
    if (r == 0 && content == NULL)
        r = err_set(err, ERR_PROTOCOL, "the answer of GetDocument has no Content");
    if (r == ERR_INVALID) {
        r = ERR_PROTOCOL;
        if (err != NULL)
            err->code = r;
    }
    if (r < 0)
        return r;
    (void)buf_add_str(ret_content, content);
    return buf_error(ret_content, "document", err);
}

int ssm_list_instance_associations(struct aws *aws, const char *instance_id, const char *token,
                                   aws_done_fn done, void *ctx, struct aws_call **ret_call,
                                   struct err *err)
{
    AUTO(buf_done) struct buf body = {0};
    int r;

    buf_init(&body, MAX_REQUEST_BYTES);
    (void)buf_add_char(&body, '{');
    add_member(&body, "InstanceId", instance_id);
    (void)buf_add_str(&body, ",\"MaxResults\":20");
    if (token != NULL)
        add_member(&body, "NextToken", token);
    (void)buf_add_char(&body, '}');
    r = buf_error(&body, "ListInstanceAssociations", err);
    if (r < 0)
        return r;
    return aws_start(aws,
                     &(struct aws_request){.service = AWS_SSM,
                                           .operation = "ListInstanceAssociations",
                                           .body = body.data,
                                           .body_len = body.len,
                                           .n_retries = AWS_RETRIES},
                     done, ctx, ret_call, err);
}
