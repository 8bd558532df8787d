/* What log groups hold, shown. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "hub/api_logs_internal.h"
#include "hub/json_out.h"

#define MAX_ROWS 50
#define MAX_EVENTS 10000

static const struct str_rule rule_token = {.name = "nextToken", .max = 600};

static void out_arn(struct call *call, const char *group, const char *stream)
{
    char arn[1300];

    (void)snprintf(arn, sizeof(arn), "arn:aws:logs:%s:" ACCOUNT_ID ":log-group:%s%s%s",
                   call->hub->region, group, stream != NULL ? ":log-stream:" : ":*",
                   stream != NULL ? stream : ""); /* fits */
    out_str(call->out, "arn", arn);
}

/* Which names are asked for, and how many. */
static int read_names(struct call *call, const struct str_rule *prefix_rule, const char **prefix,
                      const char **after, int64_t *limit, struct err *err)
{
    int r = api_str(call, prefix_rule, prefix, err);

    if (r == 0)
        r = api_str(call, &rule_token, after, err);
    return r < 0 ? r : api_i64(call, "limit", 1, MAX_ROWS, limit, err);
}

/* The token that leads on is the last name; r as of cursor_next_x(). */
static int end_names(struct call *call, int r, const char *last)
{
    out_list_end(call->out);
    if (r == 1)
        out_str(call->out, "nextToken", last);
    out_object_end(call->out);
    return r < 0 ? r : 0;
}

int api_describe_log_groups(struct call *call, struct err *err)
{
    static const struct str_rule prefix_rule = {.name = "logGroupNamePrefix", .max = 512};
    const char *prefix = "", *after = "";
    char last[513] = "";
    AUTO(cursor_done) struct cursor c = {0};
    struct log_group_row row;
    int64_t limit = MAX_ROWS, n = 0;
    int r = read_names(call, &prefix_rule, &prefix, &after, &limit, err);

    if (r < 0)
        return r;
    store_log_groups(call->hub->store, after, prefix, &c);
    out_object(call->out, NULL);
    out_list(call->out, "logGroups");
    while ((r = cursor_next_log_group(&c, &row, err)) == 1 && n++ < limit) {
        out_object(call->out, NULL);
        out_str(call->out, "logGroupName", row.name);
        out_num(call->out, "creationTime", row.created_ms);
        out_str(call->out, "kmsKeyId", row.kms_key_id[0] != '\0' ? row.kms_key_id : NULL);
        out_arn(call, row.name, NULL);
        out_object_end(call->out);
        (void)str_copy(last, sizeof(last), row.name); /* fits */
    }
    return end_names(call, r, last);
}

int api_describe_log_streams(struct call *call, struct err *err)
{
    static const struct str_rule prefix_rule = {.name = "logStreamNamePrefix", .max = 512};
    const char *group = NULL, *prefix = "", *after = "";
    char last[513] = "";
    AUTO(cursor_done) struct cursor c = {0};
    struct log_stream_row row;
    int64_t limit = MAX_ROWS, n = 0;
    int r = api_str(call, &rule_log_group, &group, err);

    if (r == 0)
        r = read_names(call, &prefix_rule, &prefix, &after, &limit, err);
    if (r == 0)
        r = logs_want_group(call, group, err);
    if (r < 0)
        return r;
    store_log_streams(call->hub->store, group, after, prefix, &c);
    out_object(call->out, NULL);
    out_list(call->out, "logStreams");
    while ((r = cursor_next_log_stream(&c, &row, err)) == 1 && n++ < limit) {
        out_object(call->out, NULL);
        out_str(call->out, "logStreamName", row.name);
        out_num(call->out, "creationTime", row.created_ms);
        if (row.last_ingested_ms != 0)
            out_num(call->out, "lastIngestionTime", row.last_ingested_ms);
        out_arn(call, group, row.name);
        out_object_end(call->out);
        (void)str_copy(last, sizeof(last), row.name); /* fits */
    }
    return end_names(call, r, last);
}

/* "f/<seq>": what comes after; "b/<seq>": what came before. */
static int64_t token_seq(const char *token, char kind, int64_t otherwise)
{
    int64_t seq;

    return token != NULL && token[0] == kind && token[1] == '/' &&
                   str_to_i64(token + 2, 0, INT64_MAX, &seq)
               ? seq
               : otherwise;
}

static void out_token(struct call *call, const char *name, char kind, int64_t seq)
{
    char token[40];

    (void)snprintf(token, sizeof(token), "%c/%" PRId64, kind, seq); /* fits */
    out_str(call->out, name, token);
}

static void out_event(struct call *call, const struct log_event_row *row)
{
    out_object(call->out, NULL);
    if (row->stream[0] != '\0') {
        char id[40];

        (void)snprintf(id, sizeof(id), "%020" PRId64, row->seq); /* fits */
        out_str(call->out, "logStreamName", row->stream);
        out_str(call->out, "eventId", id);
    }
    out_num(call->out, "timestamp", row->at_ms);
    out_str(call->out, "message", row->message);
    out_num(call->out, "ingestionTime", row->ingested_ms);
    out_object_end(call->out);
}

int api_get_log_events(struct call *call, struct err *err)
{
    const char *group = NULL, *stream = NULL, *token = NULL;
    AUTO(cursor_done) struct cursor c = {0};
    struct log_event_row row;
    int64_t seq = 0, limit = MAX_EVENTS, n = 0, first = 0, last = 0;
    bool is_from_head = false;
    int r = api_str(call, &rule_log_group, &group, err);

    if (r == 0)
        r = api_str(call, &rule_log_stream, &stream, err);
    if (r == 0)
        r = api_str(call, &rule_token, &token, err);
    if (r == 0)
        r = api_i64(call, "limit", 1, MAX_EVENTS, &limit, err);
    if (r == 0)
        r = api_bool(call, "startFromHead", &is_from_head, err);
    if (r == 0)
        r = logs_find_stream(call, group, stream, &seq, err);
    if (r < 0)
        return r;
    if (token != NULL ? token[0] == 'f' : is_from_head)
        store_log_events(call->hub->store, seq, last = token_seq(token, 'f', 0), &c);
    else
        store_log_events_before(call->hub->store, seq, token_seq(token, 'b', INT64_MAX), limit, &c);
    out_object(call->out, NULL);
    out_list(call->out, "events");
    while (n < limit && (r = cursor_next_log_event(&c, &row, err)) == 1) {
        out_event(call, &row);
        first = n++ == 0 ? row.seq : first;
        last = row.seq;
    }
    out_list_end(call->out);
    out_token(call, "nextForwardToken", 'f', last);
    out_token(call, "nextBackwardToken", 'b', first);
    out_object_end(call->out);
    return r < 0 ? r : 0;
}

static bool is_wanted(const struct log_event_row *row, const cJSON *streams, const char *pattern)
{
    const cJSON *name;
    bool is_named = streams == NULL;

    cJSON_ArrayForEach(name, streams) is_named =
        is_named || str_eq(cJSON_GetStringValue(name), row->stream);
    return is_named && (pattern == NULL || pattern[0] == '\0' || strstr(row->message, pattern));
}

/* The pattern is a text that the message holds; quotes around it are taken off. Metric filters and
 * JSON patterns are more than a local service needs. */
int api_filter_log_events(struct call *call, struct err *err)
{
    static const struct str_rule prefix_rule = {.name = "logStreamNamePrefix", .max = 512},
                                 pattern_rule = {.name = "filterPattern", .max = 1024};
    const char *group = NULL, *prefix = "", *token = NULL, *given = "";
    const cJSON *streams = NULL;
    AUTO(cursor_done) struct cursor c = {0};
    struct log_event_row row;
    char pattern[1025];
    int64_t limit = MAX_EVENTS, n = 0, last = 0;
    size_t k;
    int r = api_str(call, &rule_log_group, &group, err);

    if (r == 0)
        r = api_str(call, &prefix_rule, &prefix, err);
    if (r == 0)
        r = api_str(call, &pattern_rule, &given, err);
    if (r == 0)
        r = api_str(call, &rule_token, &token, err);
    if (r == 0)
        r = api_str_list(call, call->in, "logStreamNames", 100, &streams, err);
    if (r == 0)
        r = api_i64(call, "limit", 1, MAX_EVENTS, &limit, err);
    if (r == 0)
        r = logs_want_group(call, group, err);
    if (r < 0)
        return r;
    (void)str_copy(pattern, sizeof(pattern), given + (given[0] == '"')); /* fits */
    k = strlen(pattern);
    if (given[0] == '"' && k > 0 && pattern[k - 1] == '"')
        pattern[k - 1] = '\0';
    store_log_events_of_group(call->hub->store, group, prefix, token_seq(token, 'f', 0), &c);
    out_object(call->out, NULL);
    out_list(call->out, "events");
    while ((r = cursor_next_group_event(&c, &row, err)) == 1) {
        if (!is_wanted(&row, streams, pattern))
            continue;
        if (n == limit)
            break;
        n++;
        out_event(call, &row);
        last = row.seq;
    }
    out_list_end(call->out);
    if (r == 1)
        out_token(call, "nextToken", 'f', last);
    out_object_end(call->out);
    return r < 0 ? r : 0;
}
