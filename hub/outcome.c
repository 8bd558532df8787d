/* Replies of agents (spec 03, section 6) against the invocations they belong to. */
#include "hub/outcome.h"

#include <string.h>

#include "base/str.h"
#include "schema/json.h"

#define MAX_PAYLOAD_BYTES (1u << 20)

/* An invocation, copied out of its row so that the store can be written meanwhile. */
struct target {
    int64_t seq; /* 0: the message belongs to no invocation */
    char command_id[64];
    char instance_id[64];
    enum hub_status status;
};

static int find_target(struct store *s, const char *message_id, struct target *ret_target,
                       struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct target target = {0};
    struct invocation_row row;
    int r;

    store_invocation_of_message(s, message_id, &c);
    r = cursor_next_invocation(&c, &row, err);
    if (r < 0)
        return r;
    if (r > 0) {
        target.seq = row.seq;
        target.status = row.status;
        if (!str_copy(target.command_id, sizeof(target.command_id), row.command_id) ||
            !str_copy(target.instance_id, sizeof(target.instance_id), row.instance_id))
            return err_set(err, ERR_CORRUPT, "store: ids of message %s are too long", message_id);
    }
    *ret_target = target;
    return 0;
}

/* Lenient on purpose: what an agent sends wrongly is recorded, and the rest is still of use. */
static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *item = json_get(object, name);

    return cJSON_IsString(item) ? item->valuestring : "";
}

static int take_steps(struct store *s, const struct target *target, const cJSON *reply,
                      struct err *err)
{
    const cJSON *steps = json_get(reply, "runtimeStatus"), *step;

    if (!cJSON_IsObject(steps))
        return 0;
    cJSON_ArrayForEach(step, steps)
    {
        const cJSON *code = json_get(step, "code");
        const struct step_row row = {
            .name = step->string,
            .plugin = text_of(step, "name"),
            .status = text_of(step, "status"),
            .code = cJSON_IsNumber(code) ? code->valueint : -1,
            .output = text_of(step, "output"),
            .standard_output = text_of(step, "standardOutput"),
            .standard_error = text_of(step, "standardError"),
            .start = text_of(step, "startDateTime"),
            .end = text_of(step, "endDateTime"),
            .s3_bucket = text_of(step, "outputS3BucketName"),
            .s3_prefix = text_of(step, "outputS3KeyPrefix"),
            .step_name = text_of(step, "stepName"),
        };
        int r = store_step_put(s, target->command_id, target->instance_id, &row, err);

        if (r < 0)
            return r;
    }
    return 0;
}

static const char *judge(const struct target *target, enum hub_status said)
{
    if (target->seq == 0)
        return "not-a-command";
    if (!hub_status_is_terminal(target->status))
        return "taken";
    if (!hub_status_is_terminal(said))
        return "late";
    return target->status == said ? "repeat" : "conflict";
}

static int record(struct store *s, const char *message_id, const char *reply_id,
                  const char *payload, int64_t now_ms, const struct outcome *outcome,
                  bool is_terminal, struct err *err)
{
    const struct event_row row = {.at_ms = now_ms,
                                  .message_id = message_id,
                                  .kind = "reply",
                                  .reply_id = reply_id,
                                  .status = outcome->status,
                                  .verdict = outcome->verdict,
                                  .payload = payload,
                                  .is_terminal = is_terminal};

    return store_event_add(s, &row, err);
}

int outcome_of_reply(struct store *s, const char *message_id, const char *reply_id,
                     const char *payload, int64_t now_ms, struct outcome *ret_outcome,
                     struct err *err)
{
    struct outcome outcome = {.verdict = "unreadable"};
    AUTO(cJSON_Delete) cJSON *reply = NULL;
    enum hub_status said = HUB_IN_PROGRESS;
    struct target target = {0};
    const char *trace;
    bool is_changed;
    struct err why;
    int r;

    r = find_target(s, message_id, &target, err);
    if (r < 0)
        return r;
    if (json_parse(payload, strlen(payload), MAX_PAYLOAD_BYTES, JSON_MEND, "Payload", &reply,
                   &why) < 0 ||
        !status_of_reply(text_of(reply, "documentStatus"), &said)) {
        *ret_outcome = outcome;
        return record(s, message_id, reply_id, payload, now_ms, &outcome, false, err);
    }
    (void)str_copy(outcome.status, sizeof(outcome.status), text_of(reply, "documentStatus"));
    outcome.verdict = judge(&target, said);
    r = record(s, message_id, reply_id, payload, now_ms, &outcome, hub_status_is_terminal(said),
               err);
    if (r == 0 && hub_status_is_terminal(said)) /* answered: not to be offered again */
        r = store_message_end(s, message_id, "ended", err);
    if (r < 0)
        return r;
    if (target.seq != 0) {
        /* A step's result may come after the final reply, which does not repeat it. */
        r = take_steps(s, &target, reply, err);
        trace = text_of(reply, "documentTraceOutput");
        /* A command that is being cancelled stays so until it ends. */
        if (r == 0 && (hub_status_is_terminal(said) || target.status == HUB_PENDING))
            r = store_invocation_move(s, target.seq, said, trace[0] != '\0' ? trace : NULL, now_ms,
                                      &is_changed, err);
        if (r < 0)
            return r;
    }
    *ret_outcome = outcome;
    return 0;
}

int outcome_of_delivery(struct store *s, const char *message_id, int64_t now_ms, struct err *err)
{
    struct target target = {0};
    bool is_changed;
    int r = find_target(s, message_id, &target, err);

    if (r < 0 || target.seq == 0 || target.status != HUB_PENDING)
        return r;
    return store_invocation_move(s, target.seq, HUB_IN_PROGRESS, NULL, now_ms, &is_changed, err);
}

int outcome_of_refusal(struct store *s, const char *message_id, const char *why, int64_t now_ms,
                       struct err *err)
{
    struct target target = {0};
    bool is_changed;
    int r = find_target(s, message_id, &target, err);

    if (r < 0 || target.seq == 0)
        return r;
    return store_invocation_move(s, target.seq, HUB_UNDELIVERABLE, why, now_ms, &is_changed, err);
}
