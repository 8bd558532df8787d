/* Log groups, their streams and events in the store (hub/store.h has the rules). */
#ifndef SSMD_HUB_STORE_LOG_H
#define SSMD_HUB_STORE_LOG_H

#include "hub/store.h"

struct log_group_row {
    const char *name, *kms_key_id;
    int64_t created_ms;
};
struct log_stream_row {
    int64_t seq, created_ms, last_ingested_ms;
    const char *name;
};
struct log_event_row {
    int64_t seq, at_ms, ingested_ms;
    const char *message, *stream; /* stream: only of a group's events */
};

int store_log_group_add(struct store *s, const struct log_group_row *row, struct err *err)
    MUST_CHECK;
int store_log_group_delete(struct store *s, const char *group, struct err *err) MUST_CHECK;
void store_log_groups(struct store *s, const char *after, const char *prefix,
                      struct cursor *ret_cursor);
int cursor_next_log_group(struct cursor *c, struct log_group_row *ret_row, struct err *err)
    MUST_CHECK;

int store_log_stream_add(struct store *s, const char *group, const char *name, int64_t now_ms,
                         struct err *err) MUST_CHECK;
void store_log_streams(struct store *s, const char *group, const char *after, const char *prefix,
                       struct cursor *ret_cursor);
int cursor_next_log_stream(struct cursor *c, struct log_stream_row *ret_row, struct err *err)
    MUST_CHECK;

int store_log_event_add(struct store *s, int64_t stream, int64_t at_ms, int64_t ingested_ms,
                        const char *message, struct err *err) MUST_CHECK;
void store_log_events(struct store *s, int64_t stream, int64_t after, struct cursor *ret_cursor);
/* The last `n` before number `before`, in order. */
void store_log_events_before(struct store *s, int64_t stream, int64_t before, int64_t n,
                             struct cursor *ret_cursor);
void store_log_events_of_group(struct store *s, const char *group, const char *stream_prefix,
                               int64_t after, struct cursor *ret_cursor);
int cursor_next_log_event(struct cursor *c, struct log_event_row *ret_row, struct err *err)
    MUST_CHECK;
int cursor_next_group_event(struct cursor *c, struct log_event_row *ret_row, struct err *err)
    MUST_CHECK;

#endif
