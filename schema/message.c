/* Envelopes: what surrounds a payload on either channel, and the error bodies of AWS services. */
#include "schema/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static int as_protocol_error(struct err *err)
{
    if (err == NULL)
        return ERR_PROTOCOL;
    if (err->code != ERR_NOMEM)
        err->code = ERR_PROTOCOL;
    return err->code;
}

/* One text of the envelope. Member names of AWS answers are compared exactly (spec 02,
 * section 2.4). */
static const char *envelope_text(const cJSON *item, const char *name, size_t max_bytes,
                                 struct mds_message *message)
{
    const cJSON *member = json_get_exact(item, name);
    const char *problem = NULL;

    if (member == NULL)
        return NULL;
    if (!cJSON_IsString(member))
        problem = "is not a string";
    else if (json_is_mended(member))
        problem = "holds NUL or bytes that are not UTF-8";
    else if (strlen(member->valuestring) > max_bytes)
        problem = "is too long";
    if (problem == NULL)
        return member->valuestring;
    if (message->problem[0] == '\0')
        (void)snprintf(message->problem, sizeof(message->problem), "%s %s", name, problem);
    return NULL;
}

static void parse_message(const cJSON *item, struct mds_message *message)
{
    const struct {
        const char *name;
        const char **text;
    } required[] = {
        {"MessageId", &message->message_id},
        {"Topic", &message->topic},
        {"Destination", &message->destination},
        {"CreatedDate", &message->created_date},
    };
    size_t i;

    if (!cJSON_IsObject(item)) {
        (void)snprintf(message->problem, sizeof(message->problem), "it is %s, not an object",
                       json_type_name(item));
        return;
    }
    for (i = 0; i < ARRAY_LEN(required); i++) {
        *required[i].text = envelope_text(item, required[i].name, MESSAGE_MAX_NAME_BYTES, message);
        if (message->problem[0] == '\0' &&
            (*required[i].text == NULL || **required[i].text == '\0'))
            (void)snprintf(message->problem, sizeof(message->problem), "%s is missing or empty",
                           required[i].name);
    }
    message->is_valid = message->problem[0] == '\0';
    message->payload = envelope_text(item, "Payload", MESSAGE_MAX_PAYLOAD_BYTES, message);
}

int mds_messages_parse(const char *body, size_t n, struct mds_messages *ret_messages,
                       struct err *err)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    struct mds_messages m = {.n = 0};
    const cJSON *list, *item;
    int r;

    r = json_parse(body, n, MESSAGE_MAX_RESPONSE_BYTES, JSON_MEND, "answer of GetMessages", &root,
                   err);
    if (r < 0)
        return as_protocol_error(err);
    if (!cJSON_IsObject(root))
        return err_set(err, ERR_PROTOCOL, "answer of GetMessages must be an object, not %s",
                       json_type_name(root));
    list = json_get_exact(root, "Messages");
    if (list != NULL && !cJSON_IsArray(list))
        return err_set(err, ERR_PROTOCOL, "answer of GetMessages: Messages must be a list, not %s",
                       json_type_name(list));
    cJSON_ArrayForEach(item, list) m.n++;
    if (m.n > MESSAGE_MAX_BATCH)
        return err_set(err, ERR_PROTOCOL,
                       "answer of GetMessages: %zu messages; at most %u are accepted", m.n,
                       MESSAGE_MAX_BATCH);
    if (m.n > 0) {
        struct mds_message *next = m.items = calloc(m.n, sizeof(*m.items));

        if (m.items == NULL)
            return err_set(err, ERR_NOMEM, "answer of GetMessages: out of memory");
        cJSON_ArrayForEach(item, list) parse_message(item, next++);
    }
    m.root = TAKE(root);
    *ret_messages = m;
    return 0;
}

void mds_messages_done(struct mds_messages *m)
{
    free(m->items);
    cJSON_Delete(m->root);
    *m = (struct mds_messages){.n = 0};
}

int agent_job_parse(const char *payload, size_t n, struct agent_job *ret_job, struct err *err)
{
    static const char what[] = "agent_job";
    AUTO(cJSON_Delete) cJSON *root = NULL;
    struct agent_job job = {.topic = NULL};
    int r;

    r = json_parse(payload, n, MESSAGE_MAX_RESPONSE_BYTES, JSON_REFUSE, what, &root, err);
    if (r == 0)
        r = json_want_object(root, what, err);
    if (r == 0)
        r = json_get_i64(root, what, "SchemaVersion", &job.schema_version, err);
    if (r == 0)
        r = json_get_string(root, what, "JobId", MESSAGE_MAX_NAME_BYTES, &job.job_id, err);
    if (r == 0)
        r = json_get_string(root, what, "Topic", MESSAGE_MAX_NAME_BYTES, &job.topic, err);
    if (r == 0)
        r = json_get_string(root, what, "Content", MESSAGE_MAX_PAYLOAD_BYTES, &job.content, err);
    if (r < 0)
        return r;
    if (job.job_id == NULL || job.job_id[0] == '\0')
        return err_set(err, ERR_INVALID, "agent_job.JobId is missing or empty");
    if (job.topic == NULL)
        job.topic = "";
    if (job.content == NULL)
        job.content = "";
    job.root = TAKE(root);
    *ret_job = job;
    return 0;
}

void agent_job_done(struct agent_job *job)
{
    cJSON_Delete(job->root);
    *job = (struct agent_job){.root = NULL};
}

int agent_job_reply_ack_parse(const char *payload, size_t n, struct agent_job_reply_ack *ret_ack,
                              struct err *err)
{
    static const char what[] = "agent_job_reply_ack";
    AUTO(cJSON_Delete) cJSON *root = NULL;
    const char *job_id = NULL, *acknowledged = NULL;
    int r;

    r = json_parse(payload, n, MESSAGE_MAX_PAYLOAD_BYTES, JSON_REFUSE, what, &root, err);
    if (r == 0)
        r = json_want_object(root, what, err);
    if (r == 0)
        r = json_get_string(root, what, "jobId", sizeof(ret_ack->job_id) - 1, &job_id, err);
    if (r == 0)
        r = json_get_string(root, what, "acknowledgedMessageId",
                            sizeof(ret_ack->acknowledged_message_id) - 1, &acknowledged, err);
    if (r < 0)
        return r;
    if (acknowledged == NULL || acknowledged[0] == '\0')
        return err_set(err, ERR_INVALID,
                       "agent_job_reply_ack.acknowledgedMessageId is missing or empty");
    (void)str_copy(ret_ack->job_id, sizeof(ret_ack->job_id), job_id != NULL ? job_id : "");
    (void)str_copy(ret_ack->acknowledged_message_id, sizeof(ret_ack->acknowledged_message_id),
                   acknowledged); /* both fit: their lengths were limited above */
    return 0;
}

enum message_kind message_kind_of_topic(const char *topic)
{
    if (topic == NULL)
        return MESSAGE_UNKNOWN;
    if (str_has_prefix(topic, "aws.ssm.sendCommand"))
        return MESSAGE_SEND;
    if (str_has_prefix(topic, "aws.ssm.cancelCommand"))
        return MESSAGE_CANCEL;
    return MESSAGE_UNKNOWN;
}

/* Whether the id matches aws\.ssm\..+\.+ somewhere: the marker, one character or more, a dot. */
static bool has_command_form(const char *message_id)
{
    static const char marker[] = "aws.ssm.";
    const char *rest = strstr(message_id, marker);

    return rest != NULL && rest[sizeof(marker) - 1] != '\0' &&
           strchr(rest + sizeof(marker), '.') != NULL;
}

int message_command_id(const char *message_id, char ret_command_id[COMMAND_ID_MAX + 1],
                       struct err *err)
{
    const char *from = message_id, *end = message_id + strlen(message_id), *p;
    size_t n;

    if (has_command_form(message_id)) {
        end = strrchr(message_id, '.');
        from = end;
        while (from > message_id && from[-1] != '.')
            from--;
    }
    n = (size_t)(end - from);
    if (n == 0 || n > COMMAND_ID_MAX)
        return err_set(err, ERR_INVALID,
                       "the command id of a message has %zu bytes; 1 to %u are accepted", n,
                       COMMAND_ID_MAX);
    for (p = from; p < end; p++)
        if (*p == '/' || (unsigned char)*p < 0x20 || *p == 0x7f)
            return err_set(err, ERR_INVALID,
                           "the command id of a message holds a slash or a control character");
    if (from[0] == '.' && (n == 1 || (n == 2 && from[1] == '.')))
        return err_set(err, ERR_INVALID, "the command id of a message is %.*s", (int)n, from);
    memcpy(ret_command_id, from, n);
    ret_command_id[n] = '\0';
    return 0;
}

void aws_error_parse(const char *body, size_t n, struct aws_error *ret_error)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    const cJSON *type, *message;
    const char *code, *hash;
    struct err err;

    *ret_error = (struct aws_error){.code = "SerializationError"};
    if (json_parse(body, n, MESSAGE_MAX_PAYLOAD_BYTES, JSON_MEND, "error body", &root, &err) < 0) {
        (void)str_copy(ret_error->message, sizeof(ret_error->message), err.text); /* cut is fine */
        return;
    }
    type = json_get(root, "__type");
    if (!cJSON_IsString(type))
        type = json_get(root, "code");
    message = json_get(root, "message");
    if (cJSON_IsString(type) && type->valuestring[0] != '\0') {
        hash = strchr(type->valuestring, '#');
        code = hash != NULL ? hash + 1 : type->valuestring;
        (void)str_copy(ret_error->code, sizeof(ret_error->code), code);
    }
    if (cJSON_IsString(message))
        (void)str_copy(ret_error->message, sizeof(ret_error->message), message->valuestring);
}
