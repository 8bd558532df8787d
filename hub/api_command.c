/* SendCommand and CancelCommand: what operators ask for becomes messages for agents. */
#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/ids.h"
#include "base/str.h"
#include "hub/api.h"
#include "hub/document.h"
#include "hub/json_out.h"
#include "hub/parameters.h"

#define MAX_TARGETS 50
#define MAX_PAYLOAD_BYTES (900u << 10) /* a SendReply or GetMessages body holds it, escaped */
#define MESSAGE_ID_SIZE 128

/* What a request asks for. Text is borrowed from the request. */
struct order {
    const char *document_name, *document_version, *document_hash, *comment;
    const char *s3_bucket, *s3_prefix, *s3_region;
    const cJSON *parameters, *cloud_watch;
    int64_t timeout_s;
    const char *instance_ids[MAX_TARGETS];
    int n_instance_ids;
};

/* ---- whom ---- */

static int add_instance(struct call *call, struct order *order, const char *id, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct instance_row row;
    int i, r;

    if (!api_matches(rule_instance_id.pattern, id))
        return api_refuse(call, err, "ValidationException",
                          "1 validation error detected: Value '[%.100s]' at 'InstanceIds' failed "
                          "to satisfy constraint: Member must satisfy regular expression pattern: "
                          "%s",
                          id, rule_instance_id.pattern);
    for (i = 0; i < order->n_instance_ids; i++)
        if (str_eq(order->instance_ids[i], id))
            return api_refuse(call, err, "DuplicateInstanceId",
                              "Instance id %s stands more than once in the request.", id);
    store_instance_find(call->hub->store, id, &c);
    r = cursor_next_instance(&c, &row, err);
    if (r < 0)
        return r;
    if (r == 0)
        return api_refuse(call, err, "InvalidInstanceId",
                          "Instances [[%s]] not in a valid state for account %s: no agent with "
                          "this id has called this hub yet",
                          id, ACCOUNT_ID);
    if (order->n_instance_ids == MAX_TARGETS)
        return api_refuse(call, err, "ValidationException",
                          "At most %d instances can be named in one request.", MAX_TARGETS);
    order->instance_ids[order->n_instance_ids++] = id;
    return 0;
}

static int read_targets(struct call *call, struct order *order, struct err *err)
{
    const cJSON *ids = NULL, *targets = NULL, *target, *values = NULL, *item;
    int r = api_str_list(call, call->in, "InstanceIds", MAX_TARGETS, &ids, err);

    if (r == 0)
        r = api_list(call, "Targets", 5, &targets, err);
    if (r == 0 && ids != NULL && ids->child != NULL && targets != NULL && targets->child != NULL)
        r = api_refuse(call, err, "ValidationException",
                       "Either InstanceIds or Targets can be given, not both.");
    cJSON_ArrayForEach(item, ids) if (r == 0) r = add_instance(call, order, item->valuestring, err);
    cJSON_ArrayForEach(target, targets)
    {
        const cJSON *key = json_get_exact(target, "Key");

        if (r == 0 && !(cJSON_IsString(key) && str_eq_nocase(key->valuestring, "InstanceIds")))
            r = api_refuse(call, err, "ValidationException",
                           "Targets: this hub knows the key InstanceIds only; it keeps no tags.");
        if (r == 0)
            r = api_str_list(call, target, "Values", MAX_TARGETS, &values, err);
        if (r < 0)
            return r;
        cJSON_ArrayForEach(item, values) if (r == 0) r =
            add_instance(call, order, item->valuestring, err);
    }
    if (r == 0 && order->n_instance_ids == 0)
        r = api_refuse(call, err, "ValidationException",
                       "InstanceIds or Targets must name at least one instance.");
    return r;
}

/* ---- what ---- */

static int read_order(struct call *call, struct order *ret_order, struct err *err)
{
    static const struct str_rule name = {
        .name = "DocumentName", .pattern = "[a-zA-Z0-9_.:/-]{3,128}", .is_required = true};
    static const struct str_rule version = {.name = "DocumentVersion",
                                            .pattern = "[$]LATEST|[$]DEFAULT|[1-9][0-9]*"};
    static const struct str_rule hash = {.name = "DocumentHash", .max = 256};
    static const struct str_rule comment = {.name = "Comment", .max = 100};
    static const struct str_rule bucket = {.name = "OutputS3BucketName", .max = 63};
    static const struct str_rule prefix = {.name = "OutputS3KeyPrefix", .max = 500};
    static const struct str_rule region = {.name = "OutputS3Region", .max = 20};
    struct order order = {.document_version = "$DEFAULT",
                          .document_hash = "",
                          .comment = "",
                          .s3_bucket = "",
                          .s3_prefix = "",
                          .s3_region = "",
                          .timeout_s = 3600};
    const cJSON *item, *value;
    const char *slash;
    int r = api_str(call, &name, &order.document_name, err);

    if (r == 0)
        r = api_str(call, &version, &order.document_version, err);
    if (r == 0)
        r = api_str(call, &hash, &order.document_hash, err);
    if (r == 0)
        r = api_str(call, &comment, &order.comment, err);
    if (r == 0)
        r = api_str(call, &bucket, &order.s3_bucket, err);
    if (r == 0)
        r = api_str(call, &prefix, &order.s3_prefix, err);
    if (r == 0)
        r = api_str(call, &region, &order.s3_region, err);
    if (r == 0)
        r = api_i64(call, "TimeoutSeconds", 30, 2592000, &order.timeout_s, err);
    if (r == 0)
        r = api_object(call, "Parameters", &order.parameters, err);
    if (r == 0)
        r = api_object(call, "CloudWatchOutputConfig", &order.cloud_watch, err);
    if (r == 0)
        r = read_targets(call, &order, err);
    if (r < 0)
        return r;
    cJSON_ArrayForEach(item, order.parameters)
    {
        r = api_str_list(call, order.parameters, item->string, 10000, &value, err);
        if (r == 0 && value == NULL)
            r = api_refuse(call, err, "SerializationException", "%.100s must be a list, not null",
                           item->string);
        if (r < 0)
            return r;
    }
    slash = strrchr(order.document_name, '/'); /* arn:aws:ssm:region:account:document/name */
    if (slash != NULL)
        order.document_name = slash + 1;
    *ret_order = order;
    return 0;
}

/* The version that is wanted, or a refusal. Leaves the cursor on its row. */
static int find_document(struct call *call, const struct order *order, struct cursor *c,
                         struct document_row *ret_row, struct err *err)
{
    struct document_row row;
    bool is_known = false;
    int r;

    store_document_versions(call->hub->store, order->document_name, c);
    while ((r = cursor_next_document(c, &row, err)) > 0) {
        int64_t wanted = str_eq(order->document_version, "$LATEST")    ? row.latest_version
                         : str_eq(order->document_version, "$DEFAULT") ? row.default_version
                                                                       : -1;

        is_known = true;
        if (wanted == -1 && !str_to_i64(order->document_version, 1, INT64_MAX, &wanted))
            break; /* a number that is too large */
        if (row.version != wanted)
            continue;
        if (order->document_hash[0] != '\0' && !str_eq_nocase(order->document_hash, row.sha256) &&
            strlen(order->document_hash) == 64)
            return api_refuse(call, err, "InvalidDocument",
                              "DocumentHash is not the SHA-256 of document %s.", row.name);
        *ret_row = row;
        return 0;
    }
    if (r < 0)
        return r;
    if (!is_known)
        return api_refuse(call, err, "InvalidDocument", "document %.128s does not exist.",
                          order->document_name);
    return api_refuse(call, err, "InvalidDocumentVersion", "document %.128s has no version %.40s.",
                      order->document_name, order->document_version);
}

static bool is_cloud_watch_on(const struct order *order)
{
    return cJSON_IsTrue(json_get_exact(order->cloud_watch, "CloudWatchOutputEnabled"));
}

/* The string that the agent gets (spec 03, section 3.4). */
static int write_payload(struct call *call, const struct order *order, const char *command_id,
                         const char *document_json, const cJSON *declared, struct buf *payload,
                         struct err *err)
{
    const cJSON *group = json_get_exact(order->cloud_watch, "CloudWatchLogGroupName");
    struct err why;
    int r;

    out_object(payload, NULL);
    (void)buf_add_str(payload, "\"Parameters\":"); /* failures stick to the buf */
    r = parameters_build(declared, order->parameters, payload, &why);
    if (r == ERR_INVALID)
        return api_refuse(call, err, "InvalidParameters", "%s", why.text);
    out_raw(payload, "DocumentContent", document_json);
    out_str(payload, "CommandId", command_id);
    out_str(payload, "DocumentName", order->document_name);
    out_str(payload, "OutputS3KeyPrefix", order->s3_prefix);
    out_str(payload, "OutputS3BucketName", order->s3_bucket);
    out_str(payload, "CloudWatchLogGroupName", cJSON_IsString(group) ? group->valuestring : "");
    out_str(payload, "CloudWatchOutputEnabled", is_cloud_watch_on(order) ? "true" : "false");
    out_object_end(payload);
    r = buf_error(payload, "payload", &why);
    if (r == ERR_LIMIT)
        return api_refuse(call, err, "MaxDocumentSizeExceeded",
                          "The document with its parameters is too large to send: %s.", why.text);
    return r < 0 ? err_set(err, r, "%s", why.text) : 0;
}

/* Members that the API gives back as they came, without braces. */
static void write_echo(struct call *call, struct buf *echo)
{
    static const char *const names[] = {"InstanceIds", "Targets", "MaxConcurrency", "MaxErrors",
                                        "NotificationConfig"};
    size_t i;

    for (i = 0; i < ARRAY_LEN(names); i++) {
        const cJSON *item = json_get_exact(call->in, names[i]);

        if (item == NULL)
            continue;
        if (echo->len > 0)
            (void)buf_add_char(echo, ','); /* failures stick to the buf */
        (void)buf_printf(echo, "\"%s\":", names[i]);
        json_write(echo, item);
    }
}

/* ---- making it so ---- */

static int add_message(struct call *call, const char *topic, const char *message_id,
                       const char *instance_id, const char *payload, const char *command_id,
                       int64_t deliver_by_ms, struct err *err)
{
    char created[ISO_MS_SIZE], full_topic[160];
    const struct message_row row = {.id = message_id,
                                    .destination = instance_id,
                                    .topic = full_topic,
                                    .created = created,
                                    .payload = payload,
                                    .command_id = command_id,
                                    .state = "queued",
                                    .visible_ms = call->now_ms,
                                    .deliver_by_ms = deliver_by_ms};
    char *p;

    clock_format_iso_ms(call->now_ms, created);
    (void)snprintf(full_topic, sizeof(full_topic), "%s.%s.1", topic, call->hub->region);
    for (p = full_topic; *p != '\0'; p++) /* aws.ssm.sendCommand.us.east.1.1 */
        if (*p == '-')
            *p = '.';
    call->hub->is_woken = true;
    return store_message_add(call->hub->store, &row, err);
}

static int add_invocation(struct call *call, const struct command_row *command,
                          const char *instance_id, const char *payload, struct err *err)
{
    char message_id[MESSAGE_ID_SIZE];
    const struct invocation_row row = {.command_id = command->id,
                                       .instance_id = instance_id,
                                       .message_id = message_id,
                                       .status = HUB_PENDING,
                                       .deliver_by_ms =
                                           command->requested_ms + command->timeout_s * 1000,
                                       .expires_ms = command->expires_ms};
    int r;

    (void)snprintf(message_id, sizeof(message_id), "aws.ssm.%s.%s", command->id, instance_id);
    r = store_invocation_add(call->hub->store, &row, err);
    if (r < 0)
        return r;
    return add_message(call, "aws.ssm.sendCommand", message_id, instance_id, payload, command->id,
                       row.deliver_by_ms, err);
}

static int answer_command(struct call *call, const char *id, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct command_row row;
    int r;

    store_commands(call->hub->store, id, INT64_MAX, &c);
    r = cursor_next_command(&c, &row, err);
    if (r <= 0)
        return r < 0 ? r : err_set(err, ERR_CORRUPT, "store: command %s is not there", id);
    out_object(call->out, NULL);
    out_object(call->out, "Command");
    api_put_command(call->out, &row);
    out_object_end(call->out);
    out_object_end(call->out);
    return 0;
}

static int send_document(struct call *call, const struct order *order,
                         const struct document_row *document, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *content = NULL;
    AUTO(buf_done) struct buf payload = {0}, parameters = {0}, echo = {0}, steps = {0}, watch = {0};
    char id[UUID_SIZE];
    struct command_row row;
    int i, r;

    assert(document->json != NULL); /* a row of the store */
    r = json_parse(document->json, strlen(document->json), API_MAX_BODY_BYTES, JSON_REFUSE,
                   document->name, &content, err);
    if (r < 0)
        return r;
    buf_init(&payload, MAX_PAYLOAD_BYTES);
    buf_init(&parameters, API_MAX_BODY_BYTES);
    buf_init(&echo, API_MAX_BODY_BYTES);
    buf_init(&steps, API_MAX_BODY_BYTES);
    buf_init(&watch, API_MAX_BODY_BYTES);
    ids_uuid4(id);
    r = write_payload(call, order, id, document->json, json_get_exact(content, "parameters"),
                      &payload, err);
    if (r < 0)
        return r;
    if (order->parameters != NULL)
        json_write(&parameters, order->parameters);
    if (order->cloud_watch != NULL)
        json_write(&watch, order->cloud_watch);
    write_echo(call, &echo);
    document_write_steps(content, &steps);
    if ((r = buf_error(&parameters, "parameters", err)) < 0 ||
        (r = buf_error(&watch, "CloudWatchOutputConfig", err)) < 0 ||
        (r = buf_error(&echo, "request", err)) < 0 || (r = buf_error(&steps, "steps", err)) < 0)
        return r;
    row = (struct command_row){
        .id = id,
        .document_name = document->name,
        .document_version = order->document_version,
        .comment = order->comment,
        .parameters = buf_str(&parameters),
        .echo = buf_str(&echo),
        .s3_bucket = order->s3_bucket,
        .s3_prefix = order->s3_prefix,
        .s3_region = order->s3_region,
        .cloud_watch = buf_str(&watch),
        .steps = buf_str(&steps),
        .requested_ms = call->now_ms,
        .timeout_s = order->timeout_s,
        .expires_ms =
            call->now_ms +
            (order->timeout_s + document_execution_timeout_s(content, order->parameters)) * 1000,
    };
    r = store_command_add(call->hub->store, &row, err);
    for (i = 0; r == 0 && i < order->n_instance_ids; i++)
        r = add_invocation(call, &row, order->instance_ids[i], buf_str(&payload), err);
    if (r < 0)
        return r;
    if (call->hub->next_expiry_ms > call->now_ms + order->timeout_s * 1000)
        call->hub->next_expiry_ms = call->now_ms + order->timeout_s * 1000;
    (void)snprintf(call->note, sizeof(call->note), "%s %.40s", id, document->name);
    return answer_command(call, id, err);
}

int api_send_command(struct call *call, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct document_row document = {0};
    struct order order;
    int r = read_order(call, &order, err);

    if (r == 0)
        r = find_document(call, &order, &c, &document, err);
    return r < 0 ? r : send_document(call, &order, &document, err);
}

/* ---- cancelling ---- */

/* An invocation whose message was never offered ends here and now; the others are told. */
static int cancel_invocation(struct call *call, const struct invocation_row *row, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct store *store = call->hub->store;
    char id[UUID_SIZE], message_id[MESSAGE_ID_SIZE], payload[MESSAGE_ID_SIZE + 32];
    struct message_row message;
    bool is_changed;
    int r;

    if (hub_status_is_terminal(row->status))
        return 0;
    store_messages_by_id(store, row->message_id, &c);
    r = cursor_next_message(&c, &message, err);
    if (r < 0)
        return r;
    if (r > 0 && message.n_deliveries == 0) {
        r = store_message_end(store, row->message_id, "withdrawn", err);
        if (r == 0)
            r = store_invocation_move(store, row->seq, HUB_CANCELLED, NULL, call->now_ms,
                                      &is_changed, err);
        return r;
    }
    ids_uuid4(id);
    (void)snprintf(message_id, sizeof(message_id), "aws.ssm.%s.%s", id, row->instance_id);
    (void)snprintf(payload, sizeof(payload), "{\"CancelMessageId\":\"%s\"}", row->message_id);
    r = store_invocation_move(store, row->seq, HUB_CANCELLING, NULL, call->now_ms, &is_changed,
                              err);
    if (r == 0)
        r = add_message(call, "aws.ssm.cancelCommand", message_id, row->instance_id, payload, "",
                        row->expires_ms, err);
    return r;
}

int api_cancel_command(struct call *call, struct err *err)
{
    AUTO(cursor_done) struct cursor commands = {0}, invocations = {0};
    struct store *store = call->hub->store;
    const cJSON *ids = NULL, *item, *other;
    struct invocation_row invocation;
    struct command_row command;
    const char *id = NULL;
    int r = api_str(call, &rule_command_id, &id, err);

    if (r == 0)
        r = api_str_list(call, call->in, "InstanceIds", MAX_TARGETS, &ids, err);
    if (r < 0)
        return r;
    store_commands(store, id, INT64_MAX, &commands);
    r = cursor_next_command(&commands, &command, err);
    if (r < 0)
        return r;
    if (r == 0)
        return api_refuse(call, err, "InvalidCommandId", "There is no command %s.", id);
    cJSON_ArrayForEach(item, ids)
    {
        bool is_known = false;

        for (other = ids->child; other != item; other = other->next)
            if (str_eq(other->valuestring, item->valuestring))
                return api_refuse(call, err, "DuplicateInstanceId",
                                  "Instance id %.40s stands more than once in the request.",
                                  item->valuestring);
        store_invocations(store, id, item->valuestring, INT64_MAX, &invocations);
        r = cursor_next_invocation(&invocations, &invocation, err);
        is_known = r > 0;
        cursor_done(&invocations);
        if (r < 0)
            return r;
        if (!is_known)
            return api_refuse(call, err, "InvalidInstanceId",
                              "Command %s was not sent to instance %.40s.", id, item->valuestring);
    }
    r = store_command_set_cancelled(store, id, err);
    if (r < 0)
        return r;
    store_invocations(store, id, NULL, INT64_MAX, &invocations);
    while ((r = cursor_next_invocation(&invocations, &invocation, err)) > 0) {
        bool is_meant = ids == NULL || ids->child == NULL;

        cJSON_ArrayForEach(item, ids) is_meant =
            is_meant || str_eq(item->valuestring, invocation.instance_id);
        if (is_meant)
            r = cancel_invocation(call, &invocation, err);
        if (r < 0)
            return r;
    }
    if (r < 0)
        return r;
    (void)str_copy(call->note, sizeof(call->note), id); /* for the log: a cut is fine */
    out_object(call->out, NULL);
    out_object_end(call->out);
    return 0;
}
