/* Calls of a node about itself. */
#include "transport/ssm_node.h"

#include <string.h>

#include "base/str.h"
#include "schema/json.h"

#define MAX_REQUEST_BYTES (64u << 10)

static void add_member(struct buf *b, const char *name, const char *value)
{
    if (value == NULL)
        return;
    (void)buf_printf(b, "%s\"%s\":", b->len > 1 ? "," : "", name);
    (void)buf_add_json_str(b, value, strlen(value)); /* buf_error() is asked at the end */
}

static void begin(struct buf *body)
{
    (void)buf_add_char(body, '{'); /* start() asks buf_error() */
}

/* Close the body and send it. `request` names the operation and who signs. */
static int start(struct aws *aws, struct aws_request *request, struct buf *body, aws_done_fn done,
                 void *ctx, struct aws_call **ret_call, struct err *err)
{
    int r;

    (void)buf_add_char(body, '}');
    r = buf_error(body, request->operation, err);
    if (r < 0)
        return r;
    request->service = AWS_SSM;
    request->body = body->data;
    request->body_len = body->len;
    request->n_retries = AWS_RETRIES;
    return aws_start(aws, request, done, ctx, ret_call, err);
}

/* The service's own least lengths: what is shorter was not copied whole. */
static int check_length(const char *name, const char *value, size_t min, struct err *err)
{
    if (value != NULL && strlen(value) >= min)
        return 0;
    return err_set(err, ERR_INVALID,
                   "RegisterManagedInstance: the %s is shorter than the %zu characters that every "
                   "one has",
                   name, min);
}

int ssm_register(struct aws *aws, const struct ssm_registration *g, aws_done_fn done, void *ctx,
                 struct aws_call **ret_call, struct err *err)
{
    const char *code = g->activation_id != NULL ? secret_reveal(g->activation_code) : NULL;
    AUTO(buf_done) struct buf body = {0};
    int r = 0;

    if (g->activation_id != NULL &&
        (r = check_length("activation id", g->activation_id, 36, err)) == 0)
        r = check_length("activation code", code, 20, err);
    if (r == 0)
        r = check_length("public key", g->public_key, 392, err);
    if (r == 0)
        r = check_length("fingerprint", g->fingerprint, 1, err);
    if (r < 0)
        return r;
    buf_init(&body, MAX_REQUEST_BYTES);
    begin(&body);
    add_member(&body, "ActivationCode", code);
    add_member(&body, "ActivationId", g->activation_id);
    add_member(&body, "Fingerprint", g->fingerprint);
    add_member(&body, "IamRole", g->iam_role);
    add_member(&body, "PublicKey", g->public_key);
    add_member(&body, "PublicKeyType", RSA_KEY_TYPE);
    r = start(aws,
              &(struct aws_request){.operation = "RegisterManagedInstance",
                                    .is_unsigned = g->activation_id != NULL,
                                    .credentials = g->credentials},
              &body, done, ctx, ret_call, err);
    if (body.data != NULL)
        explicit_bzero(body.data, body.len);
    return r;
}

int ssm_parse_instance_id(const char *body, size_t n, char *ret_id, size_t size, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    const char *id;

    if (json_parse(body, n, MAX_REQUEST_BYTES, JSON_REFUSE, "answer", &root, err) < 0)
        return err_set(err, ERR_PROTOCOL, "RegisterManagedInstance: the answer is no JSON");
    id = cJSON_GetStringValue(json_get_exact(root, "InstanceId"));
    if (id == NULL || !str_is_safe_name(id, size - 1) || strlen(id) < 10)
        return err_set(err, ERR_PROTOCOL,
                       "RegisterManagedInstance: the answer holds no InstanceId that can be used");
    (void)str_copy(ret_id, size, id); /* its length was looked at */
    return 0;
}

int ssm_prove(struct aws *aws, const char *instance_id, const char *agent_version,
              struct credentials_provider *credentials, aws_done_fn done, void *ctx,
              struct aws_call **ret_call, struct err *err)
{
    AUTO(buf_done) struct buf body = {0};

    buf_init(&body, MAX_REQUEST_BYTES);
    begin(&body);
    add_member(&body, "AgentName", "amazon-ssm-agent");
    add_member(&body, "AgentVersion", agent_version);
    add_member(&body, "InstanceId", instance_id);
    add_member(&body, "PlatformType", "Linux");
    return start(
        aws,
        &(struct aws_request){.operation = "UpdateInstanceInformation", .credentials = credentials},
        &body, done, ctx, ret_call, err);
}

int ssm_request_role_token(struct aws *aws, const char *fingerprint, const struct aws_key *key,
                           struct credentials_provider *credentials, aws_done_fn done, void *ctx,
                           struct aws_call **ret_call, struct err *err)
{
    AUTO(buf_done) struct buf body = {0};

    buf_init(&body, MAX_REQUEST_BYTES);
    begin(&body);
    add_member(&body, "Fingerprint", fingerprint);
    return start(aws,
                 &(struct aws_request){.operation = "RequestManagedInstanceRoleToken",
                                       .is_unsigned = credentials == NULL,
                                       .key = key,
                                       .credentials = credentials},
                 &body, done, ctx, ret_call, err);
}

int ssm_update_public_key(struct aws *aws, const char *public_key, const struct aws_key *key,
                          aws_done_fn done, void *ctx, struct aws_call **ret_call, struct err *err)
{
    AUTO(buf_done) struct buf body = {0};

    buf_init(&body, MAX_REQUEST_BYTES);
    begin(&body);
    add_member(&body, "NewPublicKey", public_key);
    add_member(&body, "NewPublicKeyType", RSA_KEY_TYPE);
    return start(aws,
                 &(struct aws_request){.operation = "UpdateManagedInstancePublicKey",
                                       .is_unsigned = true,
                                       .key = key},
                 &body, done, ctx, ret_call, err);
}
