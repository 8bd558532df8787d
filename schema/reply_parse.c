/* Replies read back: what ssmhub needs to know of them. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "schema/message.h"
#include "schema/reply.h"

static int get_text(const cJSON *object, const char *where, const char *name, const char **ret_text,
                    struct err *err)
{
    int r = json_get_string(object, where, name, MESSAGE_MAX_PAYLOAD_BYTES, ret_text, err);

    if (r == 0 && *ret_text == NULL)
        *ret_text = "";
    return r;
}

static int parse_result(const cJSON *item, struct reply_result *ret, struct err *err)
{
    struct reply_result result = {.id = item->string};
    const struct {
        const char *name;
        const char **text;
    } texts[] = {
        {"name", &result.name},
        {"status", &result.status},
        {"output", &result.output},
        {"standardOutput", &result.standard_output},
        {"standardError", &result.standard_error},
        {"startDateTime", &result.started},
        {"endDateTime", &result.ended},
        {"outputS3BucketName", &result.s3_bucket},
        {"outputS3KeyPrefix", &result.s3_prefix},
        {"stepName", &result.step_name},
    };
    char where[128];
    size_t i;
    int r;

    (void)snprintf(where, sizeof(where), "runtimeStatus.%.100s", item->string); /* for people */
    r = json_want_object(item, where, err);
    for (i = 0; i < ARRAY_LEN(texts) && r == 0; i++)
        r = get_text(item, where, texts[i].name, texts[i].text, err);
    if (r == 0)
        r = json_get_i64(item, where, "code", &result.code, err);
    if (r == 0)
        *ret = result;
    return r;
}

static int compare_results(const void *a, const void *b)
{
    const struct reply_result *x = a, *y = b;

    return strcmp(x->id, y->id);
}

static int parse_results(const cJSON *root, struct reply *reply, struct err *err)
{
    const cJSON *results = NULL, *item;
    size_t n = 0;
    int r = json_get_object(root, "", "runtimeStatus", &results, err);

    if (r < 0 || results == NULL)
        return r;
    cJSON_ArrayForEach(item, results) n++;
    reply->results = calloc(n + 1, sizeof(*reply->results));
    if (reply->results == NULL)
        return err_set(err, ERR_NOMEM, "reply: out of memory");
    cJSON_ArrayForEach(item, results)
    {
        r = parse_result(item, &reply->results[reply->n_results], err);
        if (r < 0)
            return r;
        reply->n_results++;
    }
    qsort(reply->results, reply->n_results, sizeof(*reply->results), compare_results);
    return 0;
}

static int parse_info(const cJSON *root, struct reply *reply, struct err *err)
{
    const cJSON *info = NULL, *mgs;
    int r = json_get_object(root, "", "additionalInfo", &info, err);

    if (r == 0)
        r = json_get_object(info, "additionalInfo", "runtimeStatusCounts", &reply->status_counts,
                            err);
    if (r < 0)
        return r;
    mgs = json_get(info, "ableToOpenMGSConnection");
    if (mgs != NULL && !cJSON_IsBool(mgs))
        return err_set(err, ERR_INVALID,
                       "additionalInfo.ableToOpenMGSConnection must be a boolean, not %s",
                       json_type_name(mgs));
    if (mgs == NULL)
        reply->mgs = REPLY_MGS_ABSENT;
    else
        reply->mgs = cJSON_IsTrue(mgs) ? REPLY_MGS_UP : REPLY_MGS_DOWN;
    return 0;
}

int reply_parse(const char *payload, size_t n, struct reply *ret_reply, struct err *err)
{
    AUTO(reply_done) struct reply reply = {.root = NULL};
    int r = json_parse(payload, n, MESSAGE_MAX_PAYLOAD_BYTES, JSON_MEND, "reply", &reply.root, err);

    if (r == 0)
        r = json_want_object(reply.root, "reply", err);
    if (r == 0)
        r = get_text(reply.root, "", "documentStatus", &reply.document_status, err);
    if (r == 0)
        r = get_text(reply.root, "", "documentTraceOutput", &reply.trace, err);
    if (r == 0)
        r = parse_info(reply.root, &reply, err);
    if (r == 0)
        r = parse_results(reply.root, &reply, err);
    if (r < 0)
        return r;
    if (reply_status_of(reply.document_status) == STATUS_COUNT_ || reply.document_status[0] == '\0')
        return err_set(err, ERR_INVALID, "documentStatus must be a status, not \"%.100s\"",
                       reply.document_status);
    *ret_reply = reply;
    reply = (struct reply){.root = NULL};
    return 0;
}

void reply_done(struct reply *r)
{
    cJSON_Delete(r->root);
    free(r->results);
    *r = (struct reply){.root = NULL};
}
