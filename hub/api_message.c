/* What agents call: ec2messages (spec 03, section 2). */
#include <string.h>

#include "base/sha256.h"
#include "base/str.h"
#include "hub/api.h"
#include "hub/control.h"
#include "hub/json_out.h"
#include "hub/outcome.h"

#define MAX_MESSAGES_PER_ANSWER 10
#define MAX_ANSWER_PAYLOAD_BYTES (4u << 20)
#define DEFAULT_VISIBILITY_S 30

static const struct str_rule rule_destination = {
    .name = "Destination", .min = 10, .max = 100, .is_required = true};
static const struct str_rule rule_message_id = {
    .name = "MessageId", .min = 16, .max = 500, .is_required = true};

static void put_message(struct buf *out, const struct message_row *row)
{
    char digest[SHA256_HEX_SIZE];

    out_object(out, NULL);
    out_str(out, "CreatedDate", row->created);
    out_str(out, "Destination", row->destination);
    out_str(out, "MessageId", row->id);
    out_str(out, "Payload", row->payload);
    if (row->payload != NULL) {
        sha256_hex_of(row->payload, strlen(row->payload), digest);
        out_str(out, "PayloadDigest", digest);
    }
    out_str(out, "Topic", row->topic);
    out_object_end(out);
}

/* Offer what is due. An answer stays below a size that every client takes, but has one message at
 * least. */
static int offer(struct call *call, const char *destination, int64_t visibility_ms, int *ret_n,
                 struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct store *store = call->hub->store;
    struct fault_rule fault;
    struct message_row row;
    int64_t copies = 1, i;
    bool is_newest_first;
    int n = 0, r;

    is_newest_first = faults_take(&call->hub->faults, "GetMessages", BIT(FAULT_REORDER), &fault);
    if (faults_take(&call->hub->faults, "GetMessages", BIT(FAULT_DUPLICATE), &fault))
        copies = fault.copies;
    store_messages_due(store, destination, call->now_ms, is_newest_first, &c);
    while (n < MAX_MESSAGES_PER_ANSWER && call->out->len < MAX_ANSWER_PAYLOAD_BYTES &&
           (r = cursor_next_message(&c, &row, err)) != 0) {
        const struct event_row event = {
            .at_ms = call->now_ms, .message_id = row.id, .kind = "delivered"};

        if (r < 0)
            return r;
        for (i = 0; i < copies; i++)
            put_message(call->out, &row);
        r = store_message_delivered(store, row.seq, call->now_ms, call->now_ms + visibility_ms,
                                    err);
        if (r == 0)
            r = store_event_add(store, &event, err);
        if (r < 0)
            return r;
        n++;
    }
    *ret_n = n;
    return 0;
}

int api_get_messages(struct call *call, struct err *err)
{
    static const struct str_rule rule_request_id = {
        .name = "MessagesRequestId", .min = 16, .max = 100, .is_required = true};
    const char *destination = NULL, *request_id = NULL;
    int64_t visibility_s = DEFAULT_VISIBILITY_S, next_ms;
    bool is_elsewhere;
    int n = 0, r;

    r = api_str(call, &rule_destination, &destination, err);
    if (r == 0)
        r = api_str(call, &rule_request_id, &request_id, err);
    if (r == 0)
        r = api_i64(call, "VisibilityTimeoutInSeconds", 0, 43200, &visibility_s, err);
    if (r < 0)
        return r;
    (void)str_copy(call->note, sizeof(call->note), destination); /* for the log: a cut is fine */
    r = store_message_next_visible(call->hub->store, destination, &next_ms, err);
    if (r < 0)
        return r;
    is_elsewhere = !call->hub->uses_both_channels && call->hub->control != NULL &&
                   control_is_open(call->hub->control, destination);
    if (!call->is_last_look && (is_elsewhere || next_ms > call->now_ms)) {
        call->wait_ms = is_elsewhere ? INT64_MAX : next_ms;
        return 0;
    }
    out_object(call->out, NULL);
    out_str(call->out, "Destination", destination);
    out_str(call->out, "MessagesRequestId", request_id);
    out_list(call->out, "Messages");
    if (!is_elsewhere)
        r = offer(call, destination, visibility_s * 1000, &n, err);
    if (r < 0)
        return r;
    out_list_end(call->out);
    out_object_end(call->out);
    (void)snprintf(call->note, sizeof(call->note), "%s: %d messages", destination, n);
    return 0;
}

/* The message that a call names; a refusal when there is none. */
static int find_message(struct call *call, const char **ret_id, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct message_row row;
    const char *id = NULL;
    int r = api_str(call, &rule_message_id, &id, err);

    if (r < 0)
        return r;
    (void)str_copy(call->note, sizeof(call->note), id); /* for the log: a cut is fine */
    store_messages_by_id(call->hub->store, id, &c);
    r = cursor_next_message(&c, &row, err);
    if (r < 0)
        return r;
    if (r == 0)
        return api_refuse(call, err, "InvalidMessageIdException",
                          "There is no message with the id %.200s.", id);
    *ret_id = id;
    return 0;
}

static int note_event(struct call *call, const char *message_id, const char *kind,
                      const char *status, struct err *err)
{
    const struct event_row row = {
        .at_ms = call->now_ms, .message_id = message_id, .kind = kind, .status = status};

    return store_event_add(call->hub->store, &row, err);
}

static void answer_empty(struct call *call)
{
    out_object(call->out, NULL);
    out_object_end(call->out);
}

int api_acknowledge_message(struct call *call, struct err *err)
{
    const char *id = NULL;
    int r = find_message(call, &id, err);

    if (r == 0)
        r = store_message_end(call->hub->store, id, "acked", err);
    if (r == 0)
        r = note_event(call, id, "ack", NULL, err);
    if (r == 0) /* the agent has it: the time for delivery is over */
        r = outcome_of_delivery(call->hub->store, id, call->now_ms, err);
    if (r == 0)
        answer_empty(call);
    return r;
}

int api_send_reply(struct call *call, struct err *err)
{
    static const struct str_rule rule_payload = {.name = "Payload", .is_required = true};
    static const struct str_rule rule_reply_id = {
        .name = "ReplyId", .min = 16, .max = 200, .is_required = true};
    const char *id = NULL, *payload = NULL, *reply_id = NULL;
    struct outcome outcome = {0};
    int r = find_message(call, &id, err);

    if (r == 0)
        r = api_str(call, &rule_payload, &payload, err);
    if (r == 0)
        r = api_str(call, &rule_reply_id, &reply_id, err);
    if (r == 0)
        r = outcome_of_reply(call->hub->store, id, reply_id, payload, call->now_ms, &outcome, err);
    if (r < 0)
        return r;
    (void)snprintf(call->note, sizeof(call->note), "%.60s %.16s (%s)", id, outcome.status,
                   outcome.verdict);
    out_object(call->out, NULL);
    out_str(call->out, "Description", outcome.verdict);
    out_str(call->out, "MessageId", id);
    out_str(call->out, "ReplyId", reply_id);
    out_str(call->out, "ReplyStatus", "CREATED");
    out_object_end(call->out);
    return 0;
}

int api_fail_message(struct call *call, struct err *err)
{
    static const struct str_rule rule = {.name = "FailureType",
                                         .pattern = "InternalHandlerException|NoHandlerExists",
                                         .is_required = true};
    const char *id = NULL, *type = NULL;
    int r = find_message(call, &id, err);

    if (r == 0)
        r = api_str(call, &rule, &type, err);
    if (r == 0)
        r = store_message_end(call->hub->store, id, "failed", err);
    if (r == 0)
        r = note_event(call, id, "fail", type, err);
    if (r == 0)
        r = outcome_of_refusal(call->hub->store, id, type, call->now_ms, err);
    if (r == 0)
        answer_empty(call);
    return r;
}

int api_delete_message(struct call *call, struct err *err)
{
    const char *id = NULL;
    int r = find_message(call, &id, err);

    if (r == 0)
        r = store_message_end(call->hub->store, id, "deleted", err);
    if (r == 0)
        r = note_event(call, id, "delete", NULL, err);
    if (r == 0)
        answer_empty(call);
    return r;
}

int api_get_endpoint(struct call *call, struct err *err)
{
    const char *destination = NULL;
    int r = api_str(call, &rule_destination, &destination, err);

    if (r < 0)
        return r;
    out_object(call->out, NULL);
    out_str(call->out, "Endpoint", call->hub->url);
    out_object_end(call->out);
    return 0;
}
