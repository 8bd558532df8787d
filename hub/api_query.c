/* What became of commands: ListCommands, ListCommandInvocations, GetCommandInvocation. */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "hub/api.h"
#include "hub/json_out.h"

#define MAX_STANDARD_OUTPUT 24000
#define MAX_STANDARD_ERROR 8000
#define MAX_TRACE 2500
#define NO_RESULT (-1) /* ResponseCode while there is none */

/* ---- filters ---- */

struct filters {
    const char *status, *document_name, *stage;
    int64_t after_ms, before_ms;
};

static int read_filters(struct call *call, struct filters *ret_filters, struct err *err)
{
    struct filters f = {.after_ms = 0, .before_ms = INT64_MAX};
    const cJSON *list = NULL, *item;
    int r = api_list(call, "Filters", 5, &list, err);

    if (r < 0)
        return r;
    cJSON_ArrayForEach(item, list)
    {
        const cJSON *key = json_get_exact(item, "key"), *value = json_get_exact(item, "value");
        int64_t ms = 0;
        bool is_time;

        if (!cJSON_IsString(key) || !cJSON_IsString(value))
            return api_refuse(call, err, "SerializationException",
                              "Each filter must have the strings key and value.");
        is_time = str_has_prefix(key->valuestring, "Invoked");
        if (is_time && clock_parse_iso(value->valuestring, &ms) < 0)
            return api_refuse(call, err, "ValidationException",
                              "Filter %s: \"%.60s\" is not a time like 2024-05-04T17:07:28Z.",
                              key->valuestring, value->valuestring);
        if (str_eq(key->valuestring, "InvokedAfter"))
            f.after_ms = ms;
        else if (str_eq(key->valuestring, "InvokedBefore"))
            f.before_ms = ms;
        else if (str_eq(key->valuestring, "Status"))
            f.status = value->valuestring;
        else if (str_eq(key->valuestring, "ExecutionStage"))
            f.stage = value->valuestring;
        else if (str_eq(key->valuestring, "DocumentName"))
            f.document_name = value->valuestring;
        else
            return api_refuse(call, err, "InvalidFilterKey",
                              "Filter key \"%.60s\" is not one of InvokedAfter, InvokedBefore, "
                              "Status, ExecutionStage, DocumentName.",
                              key->valuestring);
    }
    *ret_filters = f;
    return 0;
}

static bool is_wanted(const struct filters *f, const struct command_row *command,
                      enum hub_status status)
{
    if (command->requested_ms <= f->after_ms || command->requested_ms >= f->before_ms)
        return false;
    if (f->document_name != NULL && !str_eq(f->document_name, command->document_name))
        return false;
    if (f->stage != NULL &&
        !str_eq(f->stage, hub_status_is_terminal(status) ? "Complete" : "Executing"))
        return false;
    return f->status == NULL || str_eq(f->status, hub_status_name(status)) ||
           str_eq(f->status, hub_status_details(status));
}

/* ---- commands ---- */

void api_put_command(struct buf *out, const struct command_row *row)
{
    enum hub_status status = status_of_command(&row->counts, row->is_cancelled);

    out_str(out, "CommandId", row->id);
    out_str(out, "DocumentName", row->document_name);
    out_str(out, "DocumentVersion", row->document_version);
    out_str(out, "Comment", row->comment);
    out_time(out, "ExpiresAfter", row->expires_ms);
    out_raw(out, "Parameters", row->parameters[0] != '\0' ? row->parameters : "{}");
    out_raw(out, NULL, row->echo);
    out_time(out, "RequestedDateTime", row->requested_ms);
    out_str(out, "Status", hub_status_name(status));
    out_str(out, "StatusDetails", hub_status_details(status));
    if (row->s3_region[0] != '\0')
        out_str(out, "OutputS3Region", row->s3_region);
    out_str(out, "OutputS3BucketName", row->s3_bucket);
    out_str(out, "OutputS3KeyPrefix", row->s3_prefix);
    out_num(out, "TargetCount", status_counts_total(&row->counts));
    out_num(out, "CompletedCount", status_counts_completed(&row->counts));
    out_num(out, "ErrorCount", status_counts_errors(&row->counts));
    out_num(out, "DeliveryTimedOutCount", row->counts.n[HUB_DELIVERY_TIMED_OUT]);
    out_raw(out, "CloudWatchOutputConfig", row->cloud_watch);
    out_num(out, "TimeoutSeconds", row->timeout_s);
}

/* Whether a command was sent to an instance; NULL matches all. */
static int has_instance(struct store *s, const char *command_id, const char *instance_id,
                        struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct invocation_row row;

    if (instance_id == NULL)
        return 1;
    store_invocations(s, command_id, instance_id, INT64_MAX, &c);
    return cursor_next_invocation(&c, &row, err);
}

/* A command id that was given must be that of a command. */
static int require_command(struct call *call, const char *id, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct command_row row;
    int r;

    if (id == NULL)
        return 0;
    store_commands(call->hub->store, id, INT64_MAX, &c);
    r = cursor_next_command(&c, &row, err);
    if (r == 0)
        return api_refuse(call, err, "InvalidCommandId", "There is no command %s.", id);
    return r < 0 ? r : 0;
}

static int read_ids(struct call *call, const char **ret_command_id, const char **ret_instance_id,
                    struct err *err)
{
    struct str_rule rule = rule_command_id;
    int r;

    rule.is_required = false;
    r = api_str(call, &rule, ret_command_id, err);
    if (r == 0)
        r = api_str(call, &rule_instance_id, ret_instance_id, err);
    return r < 0 ? r : require_command(call, *ret_command_id, err);
}

int api_list_commands(struct call *call, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    const char *command_id = NULL, *instance_id = NULL;
    int64_t n = 0, last_seq = 0;
    struct filters filters = {0};
    struct command_row row;
    struct page page = {0};
    int r = read_ids(call, &command_id, &instance_id, err);

    if (r == 0)
        r = read_filters(call, &filters, err);
    if (r == 0)
        r = api_page(call, 1, 50, &page, err);
    if (r < 0)
        return r;
    out_object(call->out, NULL);
    out_list(call->out, "Commands");
    store_commands(call->hub->store, command_id, page.before_seq, &c);
    while ((r = cursor_next_command(&c, &row, err)) > 0) {
        if (!is_wanted(&filters, &row, status_of_command(&row.counts, row.is_cancelled)))
            continue;
        r = has_instance(call->hub->store, row.id, instance_id, err);
        if (r < 0)
            return r;
        if (r == 0)
            continue;
        if (n == page.size)
            break; /* there is more */
        out_object(call->out, NULL);
        api_put_command(call->out, &row);
        out_object_end(call->out);
        last_seq = row.seq;
        n++;
    }
    return api_end_page_seq(call, r, last_seq);
}

/* ---- invocations ---- */

static void put_cut(struct buf *out, const char *key, const char *text, size_t max)
{
    char *copy;
    size_t n = strlen(text);

    if (n <= max) {
        out_str(out, key, text);
        return;
    }
    copy = strndup(text, str_utf8_cut(text, n, max));
    if (copy == NULL)
        out->failed = ERR_NOMEM;
    else
        out_str(out, key, copy);
    free(copy);
}

/* Where the agent has put a stream (spec 03, section 11.2), or "". */
static void put_url(struct call *call, const char *key, const struct step_row *step,
                    const char *region, const char *stream)
{
    char url[2048] = "";

    if (step->s3_bucket[0] != '\0')
        (void)snprintf(url, sizeof(url), "https://s3.%s.amazonaws.com/%s/%s%s%s/%s",
                       region[0] != '\0' ? region : call->hub->region, step->s3_bucket,
                       step->s3_prefix, step->step_name[0] != '\0' ? "/" : "", step->step_name,
                       stream);
    out_str(call->out, key, url);
}

static void put_plugin(struct call *call, const struct command_row *command,
                       const struct step_row *step)
{
    struct buf *out = call->out;
    int64_t ms;

    out_object(out, NULL);
    out_str(out, "Name", step->name);
    out_str(out, "Status", str_eq(step->status, "Skipped") ? "Success" : step->status);
    out_str(out, "StatusDetails", step->status);
    out_num(out, "ResponseCode", step->code);
    if (clock_parse_iso(step->start, &ms) == 0)
        out_time(out, "ResponseStartDateTime", ms);
    if (clock_parse_iso(step->end, &ms) == 0)
        out_time(out, "ResponseFinishDateTime", ms);
    put_cut(out, "Output", step->output, MAX_TRACE);
    put_url(call, "StandardOutputUrl", step, command->s3_region, "stdout");
    put_url(call, "StandardErrorUrl", step, command->s3_region, "stderr");
    out_str(out, "OutputS3Region",
            command->s3_region[0] != '\0' ? command->s3_region : call->hub->region);
    out_str(out, "OutputS3BucketName", command->s3_bucket);
    out_str(out, "OutputS3KeyPrefix", command->s3_prefix);
    out_object_end(out);
}

static int put_invocation(struct call *call, const struct command_row *command,
                          const struct invocation_row *row, bool has_details, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct buf *out = call->out;
    struct step_row step;
    int r = 0;

    out_object(out, NULL);
    out_str(out, "CommandId", row->command_id);
    out_str(out, "InstanceId", row->instance_id);
    out_str(out, "InstanceName", "");
    out_str(out, "Comment", command->comment);
    out_str(out, "DocumentName", command->document_name);
    out_str(out, "DocumentVersion", command->document_version);
    out_time(out, "RequestedDateTime", command->requested_ms);
    out_str(out, "Status", hub_status_name(row->status));
    out_str(out, "StatusDetails", hub_status_details(row->status));
    put_cut(out, "TraceOutput", row->trace, MAX_TRACE);
    out_str(out, "StandardOutputUrl", "");
    out_str(out, "StandardErrorUrl", "");
    out_list(out, "CommandPlugins");
    store_steps(call->hub->store, row->command_id, row->instance_id, &c);
    while (has_details && (r = cursor_next_step(&c, &step, err)) > 0)
        put_plugin(call, command, &step);
    if (r < 0)
        return r;
    out_list_end(out);
    out_raw(out, "CloudWatchOutputConfig", command->cloud_watch);
    out_object_end(out);
    return 0;
}

int api_list_command_invocations(struct call *call, struct err *err)
{
    AUTO(cursor_done) struct cursor invocations = {0}, commands = {0};
    const char *command_id = NULL, *instance_id = NULL;
    int64_t n = 0, last_seq = 0;
    struct invocation_row row;
    struct command_row command;
    bool has_details = false;
    struct filters filters = {0};
    struct page page = {0};
    int r = read_ids(call, &command_id, &instance_id, err);

    if (r == 0)
        r = api_bool(call, "Details", &has_details, err);
    if (r == 0)
        r = read_filters(call, &filters, err);
    if (r == 0)
        r = api_page(call, 1, 50, &page, err);
    if (r < 0)
        return r;
    out_object(call->out, NULL);
    out_list(call->out, "CommandInvocations");
    store_invocations(call->hub->store, command_id, instance_id, page.before_seq, &invocations);
    while ((r = cursor_next_invocation(&invocations, &row, err)) > 0) {
        store_commands(call->hub->store, row.command_id, INT64_MAX, &commands);
        r = cursor_next_command(&commands, &command, err);
        if (r <= 0)
            return r < 0 ? r
                         : err_set(err, ERR_CORRUPT, "store: command %s is not there",
                                   row.command_id);
        if (!is_wanted(&filters, &command, row.status))
            continue;
        if (n == page.size)
            break; /* there is more */
        r = put_invocation(call, &command, &row, has_details, err);
        if (r < 0)
            return r;
        last_seq = row.seq;
        n++;
    }
    return api_end_page_seq(call, r, last_seq);
}

/* ---- one invocation ---- */

/* PT0.123S, PT1M2.5S, PT2H3M4S: as the service writes a duration. */
static void format_elapsed(int64_t ms, char *text, size_t size)
{
    int64_t s = ms / 1000;
    char hours[24] = "", minutes[8] = "", fraction[8] = "";

    if (s >= 3600)
        (void)snprintf(hours, sizeof(hours), "%" PRId64 "H", s / 3600);
    if (s % 3600 >= 60)
        (void)snprintf(minutes, sizeof(minutes), "%dM", (int)(s % 3600 / 60));
    if (ms % 1000 != 0)
        (void)snprintf(fraction, sizeof(fraction), ".%03d", (int)(ms % 1000));
    (void)snprintf(text, size, "PT%s%s%d%sS", hours, minutes, (int)(s % 60), fraction);
}

/* The status is that of the step where there are several, else that of the whole, which is not over
 * before its terminal reply is here. */
static void put_result(struct call *call, const struct command_row *command,
                       const struct invocation_row *row, const struct step_row *step,
                       bool has_siblings)
{
    enum hub_status status = row->status;
    char elapsed[64] = "";
    struct buf *out = call->out;
    int64_t start_ms, end_ms;

    if (clock_parse_iso(step->start, &start_ms) == 0 && clock_parse_iso(step->end, &end_ms) == 0 &&
        end_ms >= start_ms)
        format_elapsed(end_ms - start_ms, elapsed, sizeof(elapsed));
    if (has_siblings && str_eq(step->status, "Skipped"))
        status = HUB_SUCCESS;
    else if (has_siblings)
        (void)status_of_reply(step->status, &status); /* an unknown word: that of the whole */
    out_object(out, NULL);
    out_str(out, "CommandId", row->command_id);
    out_str(out, "InstanceId", row->instance_id);
    out_str(out, "Comment", command->comment);
    out_str(out, "DocumentName", command->document_name);
    out_str(out, "DocumentVersion", command->document_version);
    out_str(out, "PluginName", step->name);
    out_num(out, "ResponseCode", step->code);
    out_str(out, "ExecutionStartDateTime", step->start);
    out_str(out, "ExecutionElapsedTime", elapsed);
    out_str(out, "ExecutionEndDateTime", step->end);
    out_str(out, "Status", hub_status_name(status));
    out_str(out, "StatusDetails", hub_status_details(status));
    put_cut(out, "StandardOutputContent", step->standard_output, MAX_STANDARD_OUTPUT);
    put_url(call, "StandardOutputUrl", step, command->s3_region, "stdout");
    put_cut(out, "StandardErrorContent",
            step->standard_error[0] == '\0' && step->code == NO_RESULT ? row->trace
                                                                       : step->standard_error,
            MAX_STANDARD_ERROR);
    put_url(call, "StandardErrorUrl", step, command->s3_region, "stderr");
    out_raw(out, "CloudWatchOutputConfig",
            command->cloud_watch[0] != '\0' ? command->cloud_watch
                                            : "{\"CloudWatchLogGroupName\":\"\","
                                              "\"CloudWatchOutputEnabled\":false}");
    out_object_end(out);
}

/* The step that is meant: the named one, or the only one. Its name is "" where there is no name. */
static int choose_step(struct call *call, const struct command_row *command, const char *wanted,
                       char *ret_name, size_t size, bool *ret_has_siblings, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *steps = NULL;
    const cJSON *item;
    int r = json_parse(command->steps, strlen(command->steps), API_MAX_BODY_BYTES, JSON_REFUSE,
                       "store: steps", &steps, err);

    if (r < 0)
        return r;
    if (wanted == NULL && cJSON_GetArraySize(steps) > 1)
        return api_refuse(call, err, "InvalidPluginName",
                          "The document %s has %d steps: PluginName must name one of them.",
                          command->document_name, cJSON_GetArraySize(steps));
    cJSON_ArrayForEach(item, steps) if (wanted == NULL || str_eq(item->valuestring, wanted))
    {
        if (!str_copy(ret_name, size, item->valuestring))
            continue; /* a name longer than any that an agent would send back */
        *ret_has_siblings = cJSON_GetArraySize(steps) > 1;
        return 0;
    }
    return api_refuse(call, err, "InvalidPluginName",
                      "The document %s has no step or plugin \"%.100s\".", command->document_name,
                      wanted != NULL ? wanted : "");
}

int api_get_command_invocation(struct call *call, struct err *err)
{
    static const struct str_rule rule_plugin = {.name = "PluginName", .min = 4, .max = 500};
    AUTO(cursor_done) struct cursor commands = {0}, invocations = {0}, steps = {0};
    struct step_row step, none = {.name = "",
                                  .status = "",
                                  .code = NO_RESULT,
                                  .standard_output = "",
                                  .standard_error = "",
                                  .start = "",
                                  .end = "",
                                  .s3_bucket = "",
                                  .s3_prefix = "",
                                  .step_name = ""};
    const char *command_id = NULL, *instance_id = NULL, *plugin = NULL;
    struct str_rule rule = rule_instance_id;
    struct invocation_row invocation;
    struct command_row command;
    bool has_siblings = false;
    char name[1024];
    int r;

    rule.is_required = true;
    r = api_str(call, &rule_command_id, &command_id, err);
    if (r == 0)
        r = api_str(call, &rule, &instance_id, err);
    if (r == 0)
        r = api_str(call, &rule_plugin, &plugin, err);
    if (r < 0)
        return r;
    store_commands(call->hub->store, command_id, INT64_MAX, &commands);
    r = cursor_next_command(&commands, &command, err);
    if (r > 0) {
        store_invocations(call->hub->store, command_id, instance_id, INT64_MAX, &invocations);
        r = cursor_next_invocation(&invocations, &invocation, err);
    }
    if (r < 0)
        return r;
    if (r == 0)
        return api_refuse(call, err, "InvocationDoesNotExist",
                          "Command %s was not sent to instance %s.", command_id, instance_id);
    r = choose_step(call, &command, plugin, name, sizeof(name), &has_siblings, err);
    if (r < 0)
        return r;
    store_steps(call->hub->store, command_id, instance_id, &steps);
    while ((r = cursor_next_step(&steps, &step, err)) > 0)
        if (str_eq(step.name, name)) {
            put_result(call, &command, &invocation, &step, has_siblings);
            return 0;
        }
    if (r < 0)
        return r;
    none.name = name;
    put_result(call, &command, &invocation, &none, has_siblings);
    return 0;
}
