/* The table of operations, and one call of one of them inside its transaction. */
#include <string.h>

#include "base/str.h"
#include "hub/api.h"

static const struct api_entry entries[] = {
#define MDS(name, run)                                                                             \
    {                                                                                              \
        "EC2WindowsMessageDeliveryService", name, "ec2messages", run, AUTH_SIGNED                  \
    }
#define SSM(name, run)                                                                             \
    {                                                                                              \
        "AmazonSSM", name, "ssm", run, AUTH_SIGNED                                                 \
    }
#define LOGS(name, run)                                                                            \
    {                                                                                              \
        "Logs_20140328", name, "logs", run, AUTH_SIGNED                                            \
    }
#define KMS(name, run)                                                                             \
    {                                                                                              \
        "TrentService", name, "kms", run, AUTH_SIGNED                                              \
    }
#define NODE(name, run, auth)                                                                      \
    {                                                                                              \
        "AmazonSSM", name, "ssm", run, auth                                                        \
    }
    MDS("GetMessages", api_get_messages),
    MDS("AcknowledgeMessage", api_acknowledge_message),
    MDS("SendReply", api_send_reply),
    MDS("FailMessage", api_fail_message),
    MDS("DeleteMessage", api_delete_message),
    MDS("GetEndpoint", api_get_endpoint),
    SSM("UpdateInstanceInformation", api_update_instance_information),
    SSM("DescribeInstanceInformation", api_describe_instance_information),
    SSM("SendCommand", api_send_command),
    SSM("CancelCommand", api_cancel_command),
    SSM("ListCommands", api_list_commands),
    SSM("ListCommandInvocations", api_list_command_invocations),
    SSM("GetCommandInvocation", api_get_command_invocation),
    SSM("CreateDocument", api_create_document),
    SSM("UpdateDocument", api_update_document),
    SSM("UpdateDocumentDefaultVersion", api_update_document_default_version),
    SSM("GetDocument", api_get_document),
    SSM("DescribeDocument", api_describe_document),
    SSM("ListDocuments", api_list_documents),
    SSM("ListDocumentVersions", api_list_document_versions),
    SSM("DeleteDocument", api_delete_document),
    SSM("PutParameter", api_put_parameter),
    SSM("GetParameter", api_get_parameter),
    SSM("GetParameters", api_get_parameters),
    SSM("GetParametersByPath", api_get_parameters_by_path),
    SSM("GetParameterHistory", api_get_parameter_history),
    SSM("DescribeParameters", api_describe_parameters),
    SSM("DeleteParameter", api_delete_parameter),
    SSM("DeleteParameters", api_delete_parameters),
    SSM("LabelParameterVersion", api_label_parameter_version),
    SSM("UnlabelParameterVersion", api_unlabel_parameter_version),
    SSM("CreateActivation", api_create_activation),
    SSM("DescribeActivations", api_describe_activations),
    SSM("DeleteActivation", api_delete_activation),
    SSM("DeregisterManagedInstance", api_deregister_managed_instance),
    LOGS("CreateLogGroup", api_create_log_group),
    LOGS("CreateLogStream", api_create_log_stream),
    LOGS("DeleteLogGroup", api_delete_log_group),
    LOGS("PutLogEvents", api_put_log_events),
    LOGS("DescribeLogGroups", api_describe_log_groups),
    LOGS("DescribeLogStreams", api_describe_log_streams),
    LOGS("GetLogEvents", api_get_log_events),
    LOGS("FilterLogEvents", api_filter_log_events),
    KMS("Encrypt", api_kms_encrypt),
    KMS("Decrypt", api_kms_decrypt),
    KMS("GenerateDataKey", api_kms_generate_data_key),
    NODE("RegisterManagedInstance", api_register_managed_instance, AUTH_OPEN),
    NODE("RequestManagedInstanceRoleToken", api_request_role_token, AUTH_NODE),
    NODE("UpdateManagedInstancePublicKey", api_update_public_key, AUTH_NODE),
#undef NODE
#undef KMS
#undef LOGS
#undef MDS
#undef SSM
};

const struct api_entry *api_find(const char *target)
{
    const char *dot = target != NULL ? strrchr(target, '.') : NULL;
    size_t i;

    for (i = 0; dot != NULL && i < ARRAY_LEN(entries); i++)
        if (strlen(entries[i].prefix) == (size_t)(dot - target) &&
            str_has_prefix(target, entries[i].prefix) && str_eq(entries[i].name, dot + 1))
            return &entries[i];
    return NULL;
}

/* The clock decides before the operation looks, so that no answer shows what is already over. */
static int expire(struct call *call, struct err *err)
{
    struct hub *hub = call->hub;

    if (call->now_ms < hub->next_expiry_ms)
        return 0;
    return store_expire(hub->store, call->now_ms, &hub->next_expiry_ms, err);
}

int api_run(struct call *call, const struct api_entry *entry, const char *body, size_t n,
            struct err *err)
{
    AUTO(cJSON_Delete) cJSON *in = NULL;
    struct store *store = call->hub->store;
    bool is_log = str_eq(entry->service, "logs");
    size_t max = is_log ? API_MAX_REQUEST_BYTES : API_MAX_BODY_BYTES;
    int r;

    if (n > max)
        return api_refuse(call, err, "RequestEntityTooLarge",
                          "The request is too large: %zu bytes, at most %zu are taken.", n, max);

    /* What a script writes is logged as it is, NULs and all. */
    r = json_parse(body, n, max, is_log ? JSON_MEND : JSON_REFUSE, "request", &in, err);
    if (r == ERR_NOMEM)
        return r;
    if (r == 0)
        r = json_want_object(in, "request", err);
    if (r < 0) {
        char why[sizeof(err->text)];

        memcpy(why, err->text, sizeof(why));
        return api_refuse(call, err, "SerializationException", "%s", why);
    }
    call->in = in;
    r = store_begin(store, err);
    if (r < 0)
        return r;
    r = expire(call, err);
    if (r == 0)
        r = entry->run(call, err);
    call->in = NULL;
    if (r == 0)
        r = buf_error(call->out, "answer", err);
    if (r == 0)
        r = store_commit(store, err);
    if (r < 0)
        store_rollback(store);
    if (r < 0) /* a sweep would have been rolled back with the rest: sweep again next time */
        call->hub->next_expiry_ms = 0;
    return r;
}
