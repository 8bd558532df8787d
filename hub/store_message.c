/* Messages to agents and what agents said about them, in the store. */
#include "hub/store_internal.h"

int store_message_add(struct store *s, const struct message_row *row, struct err *err)
{
    return store_run(s, Q_MESSAGE_ADD,
                     ARGS(TEXT(row->id), TEXT(row->destination), TEXT(row->topic),
                          TEXT(row->created), TEXT(row->payload), TEXT(row->command_id),
                          TEXT(row->state), NUM(row->visible_ms), NUM(row->deliver_by_ms)),
                     err);
}

void store_messages_due(struct store *s, const char *destination, int64_t now_ms,
                        bool is_newest_first, struct cursor *ret_cursor)
{
    store_query(s, is_newest_first ? Q_MESSAGES_DUE_NEWEST_FIRST : Q_MESSAGES_DUE,
                ARGS(TEXT(destination), NUM(now_ms)), ret_cursor);
}

void store_messages_by_id(struct store *s, const char *id, struct cursor *ret_cursor)
{
    store_query(s, Q_MESSAGES_BY_ID, ARGS(TEXT(id)), ret_cursor);
}

void store_messages(struct store *s, struct cursor *ret_cursor)
{
    store_query(s, Q_MESSAGES, NO_ARGS, ret_cursor);
}

/* As cursor_text, but NULL stays NULL: a member that an injected message leaves out. */
static const char *text_or_null(const struct cursor *c, int column)
{
    return sqlite3_column_type(c->stmt, column) == SQLITE_NULL ? NULL : cursor_text(c, column);
}

int cursor_next_message(struct cursor *c, struct message_row *ret_row, struct err *err)
{
    int r = store_step(c, err);

    if (r <= 0)
        return r;
    *ret_row = (struct message_row){
        .seq = cursor_num(c, 0),
        .id = text_or_null(c, 1),
        .destination = cursor_text(c, 2),
        .topic = text_or_null(c, 3),
        .created = text_or_null(c, 4),
        .payload = text_or_null(c, 5),
        .command_id = cursor_text(c, 6),
        .state = cursor_text(c, 7),
        .visible_ms = cursor_num(c, 8),
        .deliver_by_ms = cursor_num(c, 9),
        .n_deliveries = cursor_num(c, 10),
        .first_delivery_ms = cursor_num(c, 11),
    };
    return 1;
}

int store_message_delivered(struct store *s, int64_t seq, int64_t now_ms, int64_t visible_ms,
                            struct err *err)
{
    return store_run(s, Q_MESSAGE_DELIVERED, ARGS(NUM(seq), NUM(now_ms), NUM(visible_ms)), err);
}

int store_message_end(struct store *s, const char *id, const char *state, struct err *err)
{
    return store_run(s, Q_MESSAGE_END, ARGS(TEXT(id), TEXT(state)), err);
}

int store_message_requeue(struct store *s, const char *id, int64_t now_ms, struct err *err)
{
    return store_run(s, Q_MESSAGE_REQUEUE, ARGS(TEXT(id), NUM(now_ms)), err);
}

int store_messages_release(struct store *s, const char *destination, int64_t now_ms,
                           struct err *err)
{
    return store_run(s, Q_MESSAGES_RELEASE, ARGS(TEXT(destination), NUM(now_ms)), err);
}

int store_message_next_visible(struct store *s, const char *destination, int64_t *ret_ms,
                               struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    int r;

    store_query(s, Q_MESSAGE_NEXT_VISIBLE, ARGS(TEXT(destination)), &c);
    r = store_step(&c, err);
    if (r < 0)
        return r;
    *ret_ms =
        sqlite3_column_type(c.stmt, 0) == SQLITE_NULL ? INT64_MAX : sqlite3_column_int64(c.stmt, 0);
    return 0;
}

int store_event_add(struct store *s, const struct event_row *row, struct err *err)
{
    return store_run(s, Q_EVENT_ADD,
                     ARGS(NUM(row->at_ms), TEXT(row->message_id), TEXT(row->kind),
                          TEXT(row->reply_id != NULL ? row->reply_id : ""), TEXT(row->status),
                          TEXT(row->verdict), TEXT(row->payload), NUM(row->is_terminal)),
                     err);
}

void store_events(struct store *s, const char *message_id, struct cursor *ret_cursor)
{
    store_query(s, Q_EVENTS, ARGS(TEXT(message_id)), ret_cursor);
}

int cursor_next_event(struct cursor *c, struct event_row *ret_row, struct err *err)
{
    int r = store_step(c, err);

    if (r <= 0)
        return r;
    *ret_row = (struct event_row){
        .seq = cursor_num(c, 0),
        .at_ms = cursor_num(c, 1),
        .message_id = cursor_text(c, 2),
        .kind = cursor_text(c, 3),
        .reply_id = cursor_text(c, 4),
        .status = cursor_text(c, 5),
        .verdict = cursor_text(c, 6),
        .payload = cursor_text(c, 7),
        .is_terminal = cursor_num(c, 8) != 0,
        .is_repeat = cursor_num(c, 9) != 0,
    };
    return 1;
}

int store_count_terminal_replies(struct store *s, const char *message_id, int64_t *ret_count,
                                 struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    int r;

    store_query(s, Q_COUNT_TERMINAL, ARGS(TEXT(message_id)), &c);
    r = store_step(&c, err);
    if (r < 0)
        return r;
    *ret_count = cursor_num(&c, 0);
    return 0;
}
