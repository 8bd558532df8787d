/* Walks over what belongs to one instance, and over the tables that are one for all. */
#include <string.h>

#include "journal/reader_internal.h"

/* Steps a query and hands each row to `row`, inside a read transaction. */
typedef int (*row_function)(sqlite3_stmt *q, const void *walk, struct err *err);

static int walk_rows(struct reader *r, int which, const struct db_arg *args, size_t n_args,
                     row_function row, const void *walk, int64_t *ret_n, struct err *err)
{
    sqlite3_stmt *q = NULL;
    int64_t n = 0;
    int rc = reader_begin(r, err);

    if (rc < 0)
        return rc;
    rc = db_query(&r->db, which, args, n_args, &q, err);
    while (rc == 0 && (rc = db_step(&r->db, q, journal_sql[which].what, err)) == 1) {
        n++;
        rc = row(q, walk, err);
    }
    (void)sqlite3_reset(q); /* repeats what was told */
    if (ret_n != NULL)
        *ret_n = n;
    return reader_end(r, rc, err);
}

struct transition_walk {
    int (*each)(void *ctx, const struct reader_transition *t, struct err *err);
    void *ctx;
};

static int transition_row(sqlite3_stmt *q, const void *walk, struct err *err)
{
    const struct transition_walk *w = walk;
    struct reader_transition t = {
        .n = db_column_i64(q, 1),
        .at_unix_ms = db_column_i64(q, 2),
        .event = db_column(q, 3),
        .from = db_column(q, 4),
        .to = db_column(q, 5),
        .detail = db_column(q, 6),
        .state_sha256 = db_column(q, 7),
        .prev = db_column(q, 8),
        .hash = db_column(q, 9),
    };

    return w->each(w->ctx, &t, err);
}

int reader_transitions(struct reader *r, const char *id,
                       int (*each)(void *ctx, const struct reader_transition *t, struct err *err),
                       void *ctx, struct err *err)
{
    struct transition_walk w = {each, ctx};

    return walk_rows(r, SQL_TRANSITIONS, DB_ARGS(DB_T(id)), transition_row, &w, NULL, err);
}

struct effect_walk {
    int (*each)(void *ctx, const struct reader_effect *e, struct err *err);
    void *ctx;
};

static int effect_row(sqlite3_stmt *q, const void *walk, struct err *err)
{
    const struct effect_walk *w = walk;
    struct reader_effect e = {
        .id = db_column_i64(q, 0),
        .kind = db_column(q, 1),
        .arg = db_column_i64(q, 2),
        .arg2 = db_column_i64(q, 3),
        .opened_unix_ms = db_column_i64(q, 4),
        .closed_unix_ms = db_column_i64(q, 5),
    };

    return w->each(w->ctx, &e, err);
}

int reader_effects(struct reader *r, const char *id,
                   int (*each)(void *ctx, const struct reader_effect *e, struct err *err),
                   void *ctx, struct err *err)
{
    struct effect_walk w = {each, ctx};

    return walk_rows(r, SQL_EFFECTS, DB_ARGS(DB_T(id)), effect_row, &w, NULL, err);
}

static const char *blob(sqlite3_stmt *q, int column)
{
    const char *bytes = sqlite3_column_blob(q, column);

    return bytes != NULL ? bytes : "";
}

struct reply_walk {
    int (*each)(void *ctx, const struct reader_reply *reply, struct err *err);
    void *ctx;
};

static int reply_row(sqlite3_stmt *q, const void *walk, struct err *err)
{
    const struct reply_walk *w = walk;
    struct reader_reply reply = {
        .effect_id = db_column_i64(q, REPLY_EFFECT_ID),
        .created_unix_ms = db_column_i64(q, REPLY_CREATED),
        .ended_unix_ms = db_column_i64(q, REPLY_ENDED),
        .reply_id = db_column(q, REPLY_ID),
        .message_id = db_column(q, REPLY_MESSAGE_ID),
        .kind = db_column(q, REPLY_KIND),
        .end = db_column(q, REPLY_OUTCOME),
        .text = db_column(q, REPLY_TEXT),
        .payload = blob(q, REPLY_PAYLOAD),
        .payload_len = (size_t)sqlite3_column_bytes(q, REPLY_PAYLOAD),
    };

    return w->each(w->ctx, &reply, err);
}

int reader_replies(struct reader *r, const char *id,
                   int (*each)(void *ctx, const struct reader_reply *reply, struct err *err),
                   void *ctx, struct err *err)
{
    struct reply_walk w = {each, ctx};

    return walk_rows(r, SQL_REPLIES, DB_ARGS(DB_T(id)), reply_row, &w, NULL, err);
}

struct message_walk {
    int (*each)(void *ctx, const struct reader_message *m, struct err *err);
    void *ctx;
};

/* Both statements have the same columns; only SQL_MESSAGE has a payload in the last. */
static int message_row(sqlite3_stmt *q, const void *walk, struct err *err)
{
    const struct message_walk *w = walk;
    bool has_payload = sqlite3_column_count(q) > MESSAGE_PAYLOAD;
    struct reader_message m = {
        .message_id = db_column(q, MESSAGE_ID),
        .instance_id = db_column(q, MESSAGE_INSTANCE_ID),
        .channel = db_column(q, MESSAGE_CHANNEL),
        .topic = db_column(q, MESSAGE_TOPIC),
        .destination = db_column(q, MESSAGE_DESTINATION),
        .created_date = db_column(q, MESSAGE_CREATED_DATE),
        .received_unix_ms = db_column_i64(q, MESSAGE_RECEIVED),
        .payload_sha256 = db_column(q, MESSAGE_SHA256),
        .payload_len = (size_t)db_column_i64(q, MESSAGE_SIZE),
        .payload = has_payload ? blob(q, MESSAGE_PAYLOAD) : NULL,
    };

    return w->each(w->ctx, &m, err);
}

int reader_message(struct reader *r, const char *id,
                   int (*take)(void *ctx, const struct reader_message *m, struct err *err),
                   void *ctx, struct err *err)
{
    struct message_walk w = {take, ctx};
    int64_t n = 0;
    int rc = walk_rows(r, SQL_MESSAGE, DB_ARGS(DB_T(id)), message_row, &w, &n, err);

    if (rc == 0 && n == 0)
        rc = err_set(err, ERR_NOT_FOUND, "job %s came from no message", id);
    return rc;
}

int reader_messages(struct reader *r,
                    int (*each)(void *ctx, const struct reader_message *m, struct err *err),
                    void *ctx, struct err *err)
{
    struct message_walk w = {each, ctx};

    return walk_rows(r, SQL_ALL_INBOX, DB_NO_ARGS, message_row, &w, NULL, err);
}

struct attachment_walk {
    int (*each)(void *ctx, const char *name, const char *bytes, size_t n, struct err *err);
    void *ctx;
};

static int attachment_row(sqlite3_stmt *q, const void *walk, struct err *err)
{
    const struct attachment_walk *w = walk;

    return w->each(w->ctx, db_column(q, 0), blob(q, 2), (size_t)db_column_i64(q, 1), err);
}

static int any_row(sqlite3_stmt *q, const void *walk, struct err *err)
{
    (void)q;
    (void)walk;
    (void)err;
    return 0;
}

/* A journal that was last written by an earlier version has no such table. */
int reader_attachments(struct reader *r, const char *id,
                       int (*each)(void *ctx, const char *name, const char *bytes, size_t n,
                                   struct err *err),
                       void *ctx, struct err *err)
{
    struct attachment_walk w = {each, ctx};
    int64_t n = 0;
    int rc = walk_rows(r, SQL_HAS_ATTACHMENTS, DB_NO_ARGS, any_row, NULL, &n, err);

    if (rc < 0 || n == 0)
        return rc;
    return walk_rows(r, SQL_ATTACHMENTS, DB_ARGS(DB_T(id)), attachment_row, &w, NULL, err);
}

struct ledger_walk {
    int (*each)(void *ctx, const struct reader_ledger_row *row, struct err *err);
    void *ctx;
};

static int ledger_row(sqlite3_stmt *q, const void *walk, struct err *err)
{
    const struct ledger_walk *w = walk;
    struct reader_ledger_row row = {
        .n = db_column_i64(q, LEDGER_N),
        .created_unix_ms = db_column_i64(q, LEDGER_CREATED),
        .ended_unix_ms = db_column_i64(q, LEDGER_ENDED),
        .n_transitions = db_column_i64(q, LEDGER_N_TRANSITIONS),
        .id = db_column(q, LEDGER_ID),
        .machine = db_column(q, LEDGER_MACHINE),
        .message_id = db_column(q, LEDGER_MESSAGE_ID),
        .state = db_column(q, LEDGER_STATE),
        .status = db_column(q, LEDGER_STATUS),
        .head = db_column(q, LEDGER_HEAD),
        .prev = db_column(q, LEDGER_PREV),
        .hash = db_column(q, LEDGER_HASH),
    };

    return w->each(w->ctx, &row, err);
}

int reader_ledger(struct reader *r, int64_t after_n,
                  int (*each)(void *ctx, const struct reader_ledger_row *row, struct err *err),
                  void *ctx, struct err *err)
{
    struct ledger_walk w = {each, ctx};

    return walk_rows(r, SQL_LEDGER, DB_ARGS(DB_I(after_n)), ledger_row, &w, NULL, err);
}

struct fact_walk {
    int (*each)(void *ctx, const char *key, const char *value, struct err *err);
    void *ctx;
};

static int fact_row(sqlite3_stmt *q, const void *walk, struct err *err)
{
    const struct fact_walk *w = walk;

    return w->each(w->ctx, db_column(q, 0), db_column(q, 1), err);
}

int reader_facts(struct reader *r,
                 int (*each)(void *ctx, const char *key, const char *value, struct err *err),
                 void *ctx, struct err *err)
{
    struct fact_walk w = {each, ctx};

    return walk_rows(r, SQL_FACTS, DB_NO_ARGS, fact_row, &w, NULL, err);
}
