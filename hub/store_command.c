/* Commands, their invocations and the results of their steps in the store. */
#include "hub/store_internal.h"

#include "base/str.h"

int store_command_add(struct store *s, const struct command_row *row, struct err *err)
{
    return store_run(s, Q_COMMAND_ADD,
                     ARGS(TEXT(row->id), TEXT(row->document_name), TEXT(row->document_version),
                          TEXT(row->comment), TEXT(row->parameters), TEXT(row->echo),
                          TEXT(row->s3_bucket), TEXT(row->s3_prefix), TEXT(row->s3_region),
                          TEXT(row->cloud_watch), NUM(row->requested_ms), NUM(row->timeout_s),
                          NUM(row->expires_ms), TEXT(row->steps)),
                     err);
}

int store_command_set_cancelled(struct store *s, const char *id, struct err *err)
{
    return store_run(s, Q_COMMAND_SET_CANCELLED, ARGS(TEXT(id)), err);
}

void store_commands(struct store *s, const char *id, int64_t before_seq, struct cursor *ret_cursor)
{
    if (id != NULL)
        store_query(s, Q_COMMAND_FIND, ARGS(NUM(before_seq), TEXT(id)), ret_cursor);
    else
        store_query(s, Q_COMMANDS, ARGS(NUM(before_seq)), ret_cursor);
}

void store_commands_in_order(struct store *s, struct cursor *ret_cursor)
{
    store_query(s, Q_COMMANDS_IN_ORDER, NO_ARGS, ret_cursor);
}

static int count_invocations(struct store *s, const char *command_id,
                             struct status_counts *ret_counts, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    int r;

    *ret_counts = (struct status_counts){{0}};
    store_query(s, Q_COMMAND_COUNTS, ARGS(TEXT(command_id)), &c);
    while ((r = store_step(&c, err)) > 0) {
        enum hub_status status;

        if (!hub_status_parse(cursor_text(&c, 0), &status))
            return err_set(err, ERR_CORRUPT, "store: command %s: unknown status %s", command_id,
                           cursor_text(&c, 0));
        ret_counts->n[status] = cursor_num(&c, 1);
    }
    return r;
}

int cursor_next_command(struct cursor *c, struct command_row *ret_row, struct err *err)
{
    struct command_row row;
    int r = store_step(c, err);

    if (r <= 0)
        return r;
    row = (struct command_row){
        .seq = cursor_num(c, 0),
        .id = cursor_text(c, 1),
        .document_name = cursor_text(c, 2),
        .document_version = cursor_text(c, 3),
        .comment = cursor_text(c, 4),
        .parameters = cursor_text(c, 5),
        .echo = cursor_text(c, 6),
        .s3_bucket = cursor_text(c, 7),
        .s3_prefix = cursor_text(c, 8),
        .s3_region = cursor_text(c, 9),
        .cloud_watch = cursor_text(c, 10),
        .requested_ms = cursor_num(c, 11),
        .timeout_s = cursor_num(c, 12),
        .expires_ms = cursor_num(c, 13),
        .steps = cursor_text(c, 14),
        .is_cancelled = cursor_num(c, 15) != 0,
    };
    r = count_invocations(c->store, row.id, &row.counts, err);
    if (r < 0)
        return r;
    *ret_row = row;
    return 1;
}

int store_invocation_add(struct store *s, const struct invocation_row *row, struct err *err)
{
    return store_run(s, Q_INVOCATION_ADD,
                     ARGS(TEXT(row->command_id), TEXT(row->instance_id), TEXT(row->message_id),
                          TEXT(hub_status_details(row->status)), NUM(row->deliver_by_ms),
                          NUM(row->expires_ms)),
                     err);
}

void store_invocations(struct store *s, const char *command_id, const char *instance_id,
                       int64_t before_seq, struct cursor *ret_cursor)
{
    if (command_id != NULL)
        store_query(s, Q_INVOCATIONS_OF_COMMAND,
                    ARGS(NUM(before_seq), TEXT(instance_id), TEXT(command_id)), ret_cursor);
    else
        store_query(s, Q_INVOCATIONS, ARGS(NUM(before_seq), TEXT(instance_id)), ret_cursor);
}

void store_invocation_of_message(struct store *s, const char *message_id, struct cursor *ret_cursor)
{
    store_query(s, Q_INVOCATION_OF_MESSAGE, ARGS(TEXT(message_id)), ret_cursor);
}

int cursor_next_invocation(struct cursor *c, struct invocation_row *ret_row, struct err *err)
{
    enum hub_status status;
    int r = store_step(c, err);

    if (r <= 0)
        return r;
    if (!hub_status_parse(cursor_text(c, 5), &status))
        return err_set(err, ERR_CORRUPT, "store: invocation %s: unknown status %s",
                       cursor_text(c, 3), cursor_text(c, 5));
    *ret_row = (struct invocation_row){
        .seq = cursor_num(c, 0),
        .command_id = cursor_text(c, 1),
        .instance_id = cursor_text(c, 2),
        .message_id = cursor_text(c, 3),
        .trace = cursor_text(c, 4),
        .status = status,
        .deliver_by_ms = cursor_num(c, 6),
        .expires_ms = cursor_num(c, 7),
        .ended_ms = cursor_num(c, 8),
    };
    return 1;
}

int store_invocation_move(struct store *s, int64_t seq, enum hub_status to, const char *trace,
                          int64_t now_ms, bool *ret_changed, struct err *err)
{
    int64_t ended_ms = hub_status_is_terminal(to) ? now_ms : 0;
    int r =
        store_run(s, Q_INVOCATION_MOVE,
                  ARGS(NUM(seq), TEXT(hub_status_details(to)), TEXT(trace), NUM(ended_ms)), err);

    if (r == 0)
        *ret_changed = sqlite3_changes(s->db) > 0;
    return r;
}

int store_expire(struct store *s, int64_t now_ms, int64_t *ret_next_ms, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    int64_t next_ms;
    int r = store_run(s, Q_EXPIRE_MESSAGES, ARGS(NUM(now_ms)), err);

    if (r == 0)
        r = store_run(s, Q_EXPIRE_INVOCATIONS, ARGS(NUM(now_ms)), err);
    if (r < 0)
        return r;
    store_query(s, Q_NEXT_EXPIRY, NO_ARGS, &c);
    r = store_step(&c, err);
    if (r < 0)
        return r;
    next_ms = cursor_num(&c, 0); /* NULL, read as 0, when nothing is open */
    *ret_next_ms = next_ms == 0 ? INT64_MAX : next_ms;
    return 0;
}

int store_step_put(struct store *s, const char *command_id, const char *instance_id,
                   const struct step_row *row, struct err *err)
{
    return store_run(s, Q_STEP_PUT,
                     ARGS(TEXT(command_id), TEXT(instance_id), TEXT(row->name), TEXT(row->plugin),
                          TEXT(row->status), NUM(row->code), TEXT(row->output),
                          TEXT(row->standard_output), TEXT(row->standard_error), TEXT(row->start),
                          TEXT(row->end), TEXT(row->s3_bucket), TEXT(row->s3_prefix),
                          TEXT(row->step_name)),
                     err);
}

void store_steps(struct store *s, const char *command_id, const char *instance_id,
                 struct cursor *ret_cursor)
{
    store_query(s, Q_STEPS, ARGS(TEXT(command_id), TEXT(instance_id)), ret_cursor);
}

int cursor_next_step(struct cursor *c, struct step_row *ret_row, struct err *err)
{
    int r = store_step(c, err);

    if (r <= 0)
        return r;
    *ret_row = (struct step_row){
        .name = cursor_text(c, 0),
        .plugin = cursor_text(c, 1),
        .status = cursor_text(c, 2),
        .code = cursor_num(c, 3),
        .output = cursor_text(c, 4),
        .standard_output = cursor_text(c, 5),
        .standard_error = cursor_text(c, 6),
        .start = cursor_text(c, 7),
        .end = cursor_text(c, 8),
        .s3_bucket = cursor_text(c, 9),
        .s3_prefix = cursor_text(c, 10),
        .step_name = cursor_text(c, 11),
    };
    return 1;
}
