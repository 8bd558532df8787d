/* Log groups, streams and events in the store. */
#include "hub/store_log.h"

#include "hub/store_internal.h"

int store_log_group_add(struct store *s, const struct log_group_row *row, struct err *err)
{
    return store_run(s, Q_LOG_GROUP_ADD,
                     ARGS(TEXT(row->name), NUM(row->created_ms), TEXT(row->kms_key_id)), err);
}

int store_log_group_delete(struct store *s, const char *group, struct err *err)
{
    int r = store_run(s, Q_LOG_GROUP_EVENTS_DELETE, ARGS(TEXT(group)), err);

    if (r == 0)
        r = store_run(s, Q_LOG_GROUP_STREAMS_DELETE, ARGS(TEXT(group)), err);
    return r < 0 ? r : store_run(s, Q_LOG_GROUP_DELETE, ARGS(TEXT(group)), err);
}

void store_log_groups(struct store *s, const char *after, const char *prefix,
                      struct cursor *ret_cursor)
{
    store_query(s, Q_LOG_GROUPS, ARGS(TEXT(after), TEXT(prefix)), ret_cursor);
}

int cursor_next_log_group(struct cursor *c, struct log_group_row *ret_row, struct err *err)
{
    int r = store_step(c, err);

    if (r == 1)
        *ret_row = (struct log_group_row){.name = cursor_text(c, 0),
                                          .created_ms = cursor_num(c, 1),
                                          .kms_key_id = cursor_text(c, 2)};
    return r;
}

int store_log_stream_add(struct store *s, const char *group, const char *name, int64_t now_ms,
                         struct err *err)
{
    return store_run(s, Q_LOG_STREAM_ADD, ARGS(TEXT(group), TEXT(name), NUM(now_ms)), err);
}

void store_log_streams(struct store *s, const char *group, const char *after, const char *prefix,
                       struct cursor *ret_cursor)
{
    store_query(s, Q_LOG_STREAMS, ARGS(TEXT(group), TEXT(after), TEXT(prefix)), ret_cursor);
}

int cursor_next_log_stream(struct cursor *c, struct log_stream_row *ret_row, struct err *err)
{
    int r = store_step(c, err);

    if (r == 1)
        *ret_row = (struct log_stream_row){.seq = cursor_num(c, 0),
                                           .name = cursor_text(c, 1),
                                           .created_ms = cursor_num(c, 2),
                                           .last_ingested_ms = cursor_num(c, 3)};
    return r;
}

int store_log_event_add(struct store *s, int64_t stream, int64_t at_ms, int64_t ingested_ms,
                        const char *message, struct err *err)
{
    return store_run(s, Q_LOG_EVENT_ADD,
                     ARGS(NUM(stream), NUM(at_ms), NUM(ingested_ms), TEXT(message)), err);
}

void store_log_events(struct store *s, int64_t stream, int64_t after, struct cursor *ret_cursor)
{
    store_query(s, Q_LOG_EVENTS, ARGS(NUM(stream), NUM(after)), ret_cursor);
}

void store_log_events_before(struct store *s, int64_t stream, int64_t before, int64_t n,
                             struct cursor *ret_cursor)
{
    store_query(s, Q_LOG_EVENTS_BEFORE, ARGS(NUM(stream), NUM(before), NUM(n)), ret_cursor);
}

void store_log_events_of_group(struct store *s, const char *group, const char *stream_prefix,
                               int64_t after, struct cursor *ret_cursor)
{
    store_query(s, Q_LOG_EVENTS_OF_GROUP, ARGS(TEXT(group), TEXT(stream_prefix), NUM(after)),
                ret_cursor);
}

static int next_event(struct cursor *c, bool has_stream, struct log_event_row *ret_row,
                      struct err *err)
{
    int r = store_step(c, err);

    if (r == 1)
        *ret_row = (struct log_event_row){.seq = cursor_num(c, 0),
                                          .at_ms = cursor_num(c, 1),
                                          .ingested_ms = cursor_num(c, 2),
                                          .message = cursor_text(c, 3),
                                          .stream = has_stream ? cursor_text(c, 4) : ""};
    return r;
}

int cursor_next_log_event(struct cursor *c, struct log_event_row *ret_row, struct err *err)
{
    return next_event(c, false, ret_row, err);
}

int cursor_next_group_event(struct cursor *c, struct log_event_row *ret_row, struct err *err)
{
    return next_event(c, true, ret_row, err);
}
