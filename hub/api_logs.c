/* Log groups and streams made, and events taken (spec 02, section 8). */
#include <string.h>

#include "base/str.h"
#include "hub/api_logs_internal.h"
#include "hub/json_out.h"

#define MAX_EVENTS 10000
#define MAX_BATCH_BYTES 1048576u
#define EVENT_OVERHEAD 26u
#define MAX_EVENT_BYTES (256u << 10)
#define MAX_FUTURE_MS (INT64_C(2) * 3600 * 1000)
#define MAX_AGE_MS (INT64_C(14) * 24 * 3600 * 1000)
#define MAX_SPAN_MS (INT64_C(24) * 3600 * 1000)

const struct str_rule rule_log_group = {.name = "logGroupName",
                                        .min = 1,
                                        .max = 512,
                                        .pattern = "[.\\-_/#A-Za-z0-9]+",
                                        .is_required = true};
const struct str_rule rule_log_stream = {
    .name = "logStreamName", .min = 1, .max = 512, .pattern = "[^:*]*", .is_required = true};

bool logs_has_group(struct call *call, const char *group, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct log_group_row row;

    store_log_groups(call->hub->store, "", group, &c);
    while (cursor_next_log_group(&c, &row, err) == 1)
        if (str_eq(row.name, group))
            return true;
    return false;
}

int logs_want_group(struct call *call, const char *group, struct err *err)
{
    return logs_has_group(call, group, err) ? 0
                                            : api_refuse(call, err, "ResourceNotFoundException",
                                                         "The specified log group does not exist.");
}

int logs_find_stream(struct call *call, const char *group, const char *stream, int64_t *ret_seq,
                     struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct log_stream_row row;
    int r = logs_want_group(call, group, err);

    if (r < 0)
        return r;
    store_log_streams(call->hub->store, group, "", stream, &c);
    while ((r = cursor_next_log_stream(&c, &row, err)) == 1)
        if (str_eq(row.name, stream)) {
            *ret_seq = row.seq;
            return 0;
        }
    return r < 0 ? r
                 : api_refuse(call, err, "ResourceNotFoundException",
                              "The specified log stream does not exist.");
}

static void empty_answer(struct call *call)
{
    out_object(call->out, NULL);
    out_object_end(call->out);
}

int api_create_log_group(struct call *call, struct err *err)
{
    static const struct str_rule key = {.name = "kmsKeyId", .max = 256};
    const char *group = NULL, *kms_key_id = "";
    int r = api_str(call, &rule_log_group, &group, err);

    if (r == 0)
        r = api_str(call, &key, &kms_key_id, err);
    if (r < 0)
        return r;
    if (logs_has_group(call, group, err))
        return api_refuse(call, err, "ResourceAlreadyExistsException",
                          "The specified log group already exists");
    r = store_log_group_add(call->hub->store,
                            &(struct log_group_row){.name = group,
                                                    .kms_key_id = kms_key_id,
                                                    .created_ms = call->now_ms},
                            err);
    empty_answer(call);
    return r;
}

int api_delete_log_group(struct call *call, struct err *err)
{
    const char *group = NULL;
    int r = api_str(call, &rule_log_group, &group, err);

    if (r == 0)
        r = logs_want_group(call, group, err);
    if (r == 0)
        r = store_log_group_delete(call->hub->store, group, err);
    empty_answer(call);
    return r;
}

int api_create_log_stream(struct call *call, struct err *err)
{
    const char *group = NULL, *stream = NULL;
    int64_t seq;
    int r = api_str(call, &rule_log_group, &group, err);

    if (r == 0)
        r = api_str(call, &rule_log_stream, &stream, err);
    if (r == 0)
        r = logs_want_group(call, group, err);
    if (r < 0)
        return r;
    if (logs_find_stream(call, group, stream, &seq, err) == 0)
        return api_refuse(call, err, "ResourceAlreadyExistsException",
                          "The specified log stream already exists");
    r = store_log_stream_add(call->hub->store, group, stream, call->now_ms, err);
    empty_answer(call);
    return r;
}

/* The service's limits; *ret_at is the event's time. */
static int check_event(struct call *call, const cJSON *event, size_t *bytes, int64_t *ret_at,
                       struct err *err)
{
    const char *message = cJSON_GetStringValue(json_get_exact(event, "message"));
    int64_t at = 0;
    int r = json_get_i64(event, "logEvents", "timestamp", &at, err);

    if (r < 0 || message == NULL)
        return api_refuse(call, err, "InvalidParameterException",
                          "An event needs a message and a timestamp.");
    *bytes += strlen(message) + EVENT_OVERHEAD;
    if (message[0] == '\0')
        return api_refuse(call, err, "InvalidParameterException", "Log event message is empty.");
    if (strlen(message) + EVENT_OVERHEAD > MAX_EVENT_BYTES || *bytes > MAX_BATCH_BYTES)
        return api_refuse(call, err, "InvalidParameterException",
                          "Upload too large: the event or the batch exceeds the limit.");
    if (at > call->now_ms + MAX_FUTURE_MS || at < call->now_ms - MAX_AGE_MS)
        return api_refuse(call, err, "InvalidParameterException",
                          "Log event is too far in the future or too old.");
    *ret_at = at;
    return 0;
}

int api_put_log_events(struct call *call, struct err *err)
{
    const char *group = NULL, *stream = NULL;
    const cJSON *events = NULL, *event;
    int64_t seq = 0, at = 0, first = 0, last = 0;
    size_t bytes = 0;
    int r = api_str(call, &rule_log_group, &group, err);

    if (r == 0)
        r = api_str(call, &rule_log_stream, &stream, err);
    if (r == 0)
        r = api_list(call, "logEvents", MAX_EVENTS, &events, err);
    if (r < 0)
        return r;
    if (cJSON_GetArraySize(events) == 0)
        return api_refuse(call, err, "InvalidParameterException", "There are no log events.");
    r = logs_find_stream(call, group, stream, &seq, err);
    cJSON_ArrayForEach(event, events)
    {
        if (r == 0)
            r = check_event(call, event, &bytes, &at, err);
        if (r < 0)
            return r;
        first = first == 0 ? at : first;
        if (at < last || at - first > MAX_SPAN_MS)
            return api_refuse(call, err, "InvalidParameterException",
                              "Log events in a single PutLogEvents request must be in "
                              "chronological order and within 24 hours.");
        last = at;
        r = store_log_event_add(call->hub->store, seq, at, call->now_ms,
                                cJSON_GetStringValue(json_get_exact(event, "message")), err);
    }
    out_object(call->out, NULL);
    out_str(call->out, "nextSequenceToken", "49590302217307284321");
    out_object_end(call->out);
    return r;
}
