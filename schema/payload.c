/* Payloads: what a send or a cancel message carries. */
#include <string.h>

#include "base/str.h"
#include "schema/message.h"

/* The spellings that Go's ParseBool takes for true; anything else means off (spec 03, section 3.4).
 */
static bool is_true_word(const char *s)
{
    static const char *const words[] = {"1", "t", "T", "TRUE", "true", "True"};
    size_t i;

    for (i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq(s, words[i]))
            return true;
    return false;
}

static int parse_root(const char *payload, size_t n, cJSON **ret_root, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    int r;

    if (payload == NULL)
        return err_set(err, ERR_INVALID, "the message has no payload");
    r = json_parse(payload, n, MESSAGE_MAX_PAYLOAD_BYTES, JSON_REFUSE, "payload", &root, err);
    if (r == 0)
        r = json_want_object(root, "payload", err);
    if (r == 0)
        *ret_root = TAKE(root);
    return r;
}

int send_payload_parse(const char *payload, size_t n, struct send_payload *ret_payload,
                       struct err *err)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    struct send_payload p = {.root = NULL};
    const char *cloudwatch = NULL;
    const struct {
        const char *name;
        const char **text;
    } texts[] = {
        {"CommandId", &p.command_id},
        {"DocumentName", &p.document_name},
        {"OutputS3BucketName", &p.s3_bucket},
        {"OutputS3KeyPrefix", &p.s3_prefix},
        {"CloudWatchLogGroupName", &p.log_group},
        {"CloudWatchOutputEnabled", &cloudwatch},
    };
    size_t i;
    int r;

    r = parse_root(payload, n, &root, err);
    if (r == 0)
        r = json_get_object(root, "", "Parameters", &p.parameters, err);
    if (r == 0)
        r = json_get_object(root, "", "DocumentContent", &p.document, err);
    for (i = 0; i < ARRAY_LEN(texts) && r == 0; i++) {
        r = json_get_string(root, "", texts[i].name, MESSAGE_MAX_NAME_BYTES, texts[i].text, err);
        if (r == 0 && *texts[i].text == NULL)
            *texts[i].text = "";
    }
    if (r < 0)
        return r;
    if (p.document == NULL)
        return err_set(err, ERR_INVALID, "DocumentContent is missing");
    p.is_cloudwatch_enabled = is_true_word(cloudwatch);
    p.root = TAKE(root);
    *ret_payload = p;
    return 0;
}

int send_payload_make(const char *command_id, const char *name, const cJSON *parameters,
                      const cJSON *document, struct buf *payload, struct err *err)
{
    (void)buf_add_str(payload, "{\"CommandId\":");
    (void)buf_add_json_str(payload, command_id, strlen(command_id));
    (void)buf_add_str(payload, ",\"DocumentName\":");
    (void)buf_add_json_str(payload, name, strlen(name));
    (void)buf_add_str(payload, ",\"Parameters\":");
    if (parameters != NULL)
        json_write(payload, parameters);
    else
        (void)buf_add_str(payload, "{}");
    (void)buf_add_str(payload, ",\"DocumentContent\":");
    json_write(payload, document);
    (void)buf_add_char(payload, '}');
    return buf_error(payload, "document", err);
}

void send_payload_done(struct send_payload *p)
{
    cJSON_Delete(p->root);
    *p = (struct send_payload){.root = NULL};
}

/* Append the parts of `path` to what the buffer holds since `from`: one slash between parts, no "."
 * parts, ".." takes the part before it away (never one that is not ours). */
static void join_path(struct buf *b, size_t from, const char *path)
{
    while (*path != '\0') {
        size_t n = strcspn(path, "/");

        if (n == 2 && path[0] == '.' && path[1] == '.') {
            while (b->len > from && b->data[b->len - 1] != '/')
                b->len--;
            if (b->len > from)
                b->len--;
            if (b->data != NULL)
                b->data[b->len] = '\0';
        } else if (n > 0 && !(n == 1 && path[0] == '.')) {
            if (b->len > from)
                (void)buf_add_char(b, '/');
            (void)buf_add(b, path, n);
        }
        path += n;
        while (*path == '/')
            path++;
    }
}

void send_payload_s3_prefix(const struct send_payload *p, const char *instance_id, struct buf *b)
{
    size_t from;

    if (p->s3_prefix[0] == '/')
        (void)buf_add_char(b, '/');
    from = b->len;
    join_path(b, from, p->s3_prefix);
    join_path(b, from, p->command_id);
    join_path(b, from, instance_id);
}

void send_payload_log_group(const struct send_payload *p, struct buf *b)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-/.#";
    const char *s = p->document_name;
    size_t n;

    if (p->log_group[0] != '\0') {
        (void)buf_add_str(b, p->log_group);
        return;
    }
    (void)buf_add_str(b, "/aws/ssm/");
    while (*s != '\0') {
        n = strspn(s, allowed);
        (void)buf_add(b, s, n);
        s += n;
        if (*s != '\0') {
            (void)buf_add_char(b, '.');
            n = str_utf8_len(s, strlen(s)); /* one dot per character, not per byte */
            s += n > 0 ? n : 1;
        }
    }
}

int cancel_payload_parse(const char *payload, size_t n, struct cancel_payload *ret_payload,
                         struct err *err)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    const char *id = NULL;
    int r;

    r = parse_root(payload, n, &root, err);
    if (r == 0)
        r = json_get_string(root, "", "CancelMessageId", MESSAGE_MAX_NAME_BYTES, &id, err);
    if (r < 0)
        return r;
    if (id == NULL || id[0] == '\0')
        return err_set(err, ERR_INVALID, "CancelMessageId is missing or empty");
    *ret_payload = (struct cancel_payload){.root = TAKE(root), .cancel_message_id = id};
    return 0;
}

void cancel_payload_done(struct cancel_payload *p)
{
    cJSON_Delete(p->root);
    *p = (struct cancel_payload){.root = NULL};
}
