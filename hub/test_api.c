/* Calls for tests, with --faults: look at everything, inject raw messages, order failures. */
#include <inttypes.h>
#include <string.h>

#include "base/str.h"
#include "hub/api.h"
#include "hub/control.h"
#include "hub/json_out.h"
#include "hub/store_node.h"

/* ---- GET /_state ---- */

static int put_events(struct call *call, const char *message_id, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct buf *out = call->out;
    struct event_row row;
    int64_t n_terminal;
    int r;

    r = store_count_terminal_replies(call->hub->store, message_id, &n_terminal, err);
    if (r < 0)
        return r;
    out_num(out, "TerminalReplies", n_terminal);
    out_list(out, "Events");
    store_events(call->hub->store, message_id, &c);
    while ((r = cursor_next_event(&c, &row, err)) > 0) {
        out_object(out, NULL);
        out_num(out, "Seq", row.seq);
        out_time(out, "At", row.at_ms);
        out_str(out, "Kind", row.kind);
        if (row.status[0] != '\0')
            out_str(out, "Status", row.status);
        if (row.reply_id[0] != '\0') {
            out_str(out, "ReplyId", row.reply_id);
            out_str(out, "Verdict", row.verdict);
            out_bool(out, "IsTerminal", row.is_terminal);
            out_bool(out, "IsRepeat", row.is_repeat);
            out_str(out, "Payload", row.payload);
        }
        out_object_end(out);
    }
    out_list_end(out);
    return r;
}

static int put_message(struct call *call, const struct message_row *row, struct err *err)
{
    struct buf *out = call->out;
    int r;

    out_object(out, NULL);
    out_str(out, "MessageId", row->id);
    out_str(out, "Destination", row->destination);
    out_str(out, "Topic", row->topic);
    out_str(out, "State", row->state);
    out_str(out, "CommandId", row->command_id);
    out_num(out, "Deliveries", row->n_deliveries);
    if (row->first_delivery_ms != 0)
        out_time(out, "FirstDelivery", row->first_delivery_ms);
    r = put_events(call, row->id != NULL ? row->id : "", err);
    out_object_end(out);
    return r;
}

static int put_invocations(struct call *call, const char *command_id, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct buf *out = call->out;
    struct invocation_row row;
    int64_t n_terminal;
    int r;

    out_list(out, "Invocations");
    store_invocations(call->hub->store, command_id, NULL, INT64_MAX, &c);
    while ((r = cursor_next_invocation(&c, &row, err)) > 0) {
        r = store_count_terminal_replies(call->hub->store, row.message_id, &n_terminal, err);
        if (r < 0)
            return r;
        out_object(out, NULL);
        out_str(out, "InstanceId", row.instance_id);
        out_str(out, "MessageId", row.message_id);
        out_str(out, "Status", hub_status_name(row.status));
        out_str(out, "StatusDetails", hub_status_details(row.status));
        out_str(out, "Trace", row.trace);
        out_num(out, "TerminalReplies", n_terminal);
        if (row.ended_ms != 0)
            out_time(out, "Ended", row.ended_ms);
        out_object_end(out);
    }
    out_list_end(out);
    return r;
}

static int put_nodes(struct call *call, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct buf *out = call->out;
    struct node_row row;
    int r;

    out_list(out, "Nodes");
    store_nodes(call->hub->store, &c);
    while ((r = cursor_next_node(&c, &row, err)) > 0) {
        out_object(out, NULL);
        out_str(out, "InstanceId", row.id);
        out_str(out, "PublicKey", row.public_key);
        out_str(out, "Fingerprint", row.fingerprint);
        out_num(out, "RoleTokens", row.n_tokens);
        out_bool(out, "IsRotationWanted", row.is_rotation_wanted);
        out_object_end(out);
    }
    out_list_end(out);
    return r;
}

static int put_state(struct call *call, struct err *err)
{
    AUTO(cursor_done) struct cursor commands = {0}, messages = {0};
    struct buf *out = call->out;
    struct command_row command;
    struct message_row message;
    int r;

    out_object(out, NULL);
    out_list(out, "Commands"); /* oldest first, as they were sent */
    store_commands_in_order(call->hub->store, &commands);
    while ((r = cursor_next_command(&commands, &command, err)) > 0) {
        enum hub_status status = status_of_command(&command.counts, command.is_cancelled);

        out_object(out, NULL);
        out_str(out, "CommandId", command.id);
        out_str(out, "DocumentName", command.document_name);
        out_time(out, "Requested", command.requested_ms);
        out_str(out, "Status", hub_status_name(status));
        r = put_invocations(call, command.id, err);
        if (r < 0)
            return r;
        out_object_end(out);
    }
    if (r < 0)
        return r;
    out_list_end(out);
    out_list(out, "Messages");
    store_messages(call->hub->store, &messages);
    while ((r = cursor_next_message(&messages, &message, err)) > 0) {
        r = put_message(call, &message, err);
        if (r < 0)
            return r;
    }
    if (r < 0)
        return r;
    out_list_end(out);
    r = put_nodes(call, err);
    if (r < 0)
        return r;
    faults_write(&call->hub->faults, out, "Faults");
    if (call->hub->control != NULL)
        control_write_state(call->hub->control, out, "ControlChannels");
    out_object_end(out);
    return 0;
}

/* ---- POST /_message ---- */

/* {"MessageId"}: that one alone, for whoever asks often while others are at work. */
static int put_one_message(struct call *call, struct err *err)
{
    struct message_row row;
    const char *id = NULL;
    AUTO(cursor_done) struct cursor c = {0};
    int r = json_want_object(call->in, "request", err);

    if (r == 0)
        r = json_get_string(call->in, "request", "MessageId", 1000, &id, err);
    if (r < 0)
        return r;
    if (id == NULL)
        return err_set(err, ERR_INVALID, "request.MessageId is missing");
    store_messages_by_id(call->hub->store, id, &c);
    r = cursor_next_message(&c, &row, err);
    if (r < 0)
        return r;
    if (r == 0)
        return err_set(err, ERR_INVALID, "request.MessageId: there is no message %s", id);
    return put_message(call, &row, err);
}

/* ---- POST /_inject ---- */

/* A message as it is given: only the destination, which the queue needs, must be there. */
static int inject(struct call *call, struct err *err)
{
    struct message_row row = {.command_id = "",
                              .state = "queued",
                              .visible_ms = call->now_ms,
                              .deliver_by_ms = INT64_MAX};
    int r = json_want_object(call->in, "message", err);

    if (r == 0)
        r = json_get_string(call->in, "message", "MessageId", 1000, &row.id, err);
    if (r == 0)
        r = json_get_string(call->in, "message", "Destination", 1000, &row.destination, err);
    if (r == 0)
        r = json_get_string(call->in, "message", "Topic", 1000, &row.topic, err);
    if (r == 0)
        r = json_get_string(call->in, "message", "CreatedDate", 1000, &row.created, err);
    if (r == 0)
        r = json_get_string(call->in, "message", "Payload", API_MAX_BODY_BYTES, &row.payload, err);
    if (r < 0)
        return r;
    if (row.destination == NULL)
        return err_set(err, ERR_INVALID, "message.Destination is missing");
    r = store_message_add(call->hub->store, &row, err);
    if (r < 0)
        return r;
    call->hub->is_woken = true;
    out_object(call->out, NULL);
    out_object_end(call->out);
    return 0;
}

/* ---- POST /_faults ---- */

/* {"faults":[...]} adds rules, {"clear":true} drops those that wait, {"redeliver":"<message id>"}
 * offers a message again whatever became of it, {"rotate":"<node id>"} wishes for a new key of a
 * node with its next role token. The answer lists the rules that wait. */
static int change_faults(struct call *call, struct err *err)
{
    const cJSON *list = NULL, *item;
    const char *redeliver = NULL, *rotate = NULL, *how = NULL, *instance_id = NULL;
    int r = json_want_object(call->in, "request", err);

    if (r == 0)
        r = json_get_list(call->in, "request", "faults", &list, err);
    if (r == 0)
        r = json_get_string(call->in, "request", "redeliver", 1000, &redeliver, err);
    if (r == 0)
        r = json_get_string(call->in, "request", "rotate", 1000, &rotate, err);
    if (r == 0)
        r = json_get_string(call->in, "request", "control", 32, &how, err);
    if (r == 0)
        r = json_get_string(call->in, "request", "instance", 128, &instance_id, err);
    if (r < 0)
        return r;
    if (how != NULL && (call->hub->control == NULL || instance_id == NULL ||
                        !control_spoil(call->hub->control, instance_id, how)))
        return err_set(err, ERR_INVALID,
                       "request.control: close, cut or silence, of an instance whose control "
                       "channel is open");
    if (json_get(call->in, "both_channels") != NULL)
        call->hub->uses_both_channels = cJSON_IsTrue(json_get(call->in, "both_channels"));
    if (json_get(call->in, "deny_control") != NULL)
        call->hub->denies_control = cJSON_IsTrue(json_get(call->in, "deny_control"));
    if (cJSON_IsTrue(json_get(call->in, "clear")))
        faults_clear(&call->hub->faults);
    cJSON_ArrayForEach(item,
                       list) if ((r = faults_add(&call->hub->faults, item, err)) < 0) return r;
    if (rotate != NULL)
        r = store_node_want_rotation(call->hub->store, rotate, err);
    if (r == 0 && redeliver != NULL) {
        r = store_message_requeue(call->hub->store, redeliver, call->now_ms, err);
        call->hub->is_woken = true;
    }
    if (r < 0)
        return r;
    out_object(call->out, NULL);
    faults_write(&call->hub->faults, call->out, "Faults");
    out_object_end(call->out);
    return 0;
}

static int run(struct call *call, const char *path, struct err *err)
{
    if (str_eq(path, "/_state") && call->in == NULL)
        return put_state(call, err);
    if (str_eq(path, "/_message") && call->in != NULL)
        return put_one_message(call, err);
    if (str_eq(path, "/_inject") && call->in != NULL)
        return inject(call, err);
    if (str_eq(path, "/_faults") && call->in != NULL)
        return change_faults(call, err);
    return err_set(
        err, ERR_NOT_FOUND,
        "The test calls are GET /_state, POST /_message, POST /_inject and POST /_faults.");
}

int test_api_run(struct call *call, const char *path, struct err *err)
{
    struct store *store = call->hub->store;
    int r = store_begin(store, err);

    if (r < 0)
        return r;
    r = store_expire(store, call->now_ms, &call->hub->next_expiry_ms, err);
    if (r == 0)
        r = run(call, path, err);
    if (r == 0)
        r = store_commit(store, err);
    if (r < 0)
        store_rollback(store);
    if (r < 0)
        call->hub->next_expiry_ms = 0;
    return r;
}
