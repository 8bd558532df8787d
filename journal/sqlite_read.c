/* What the agent reads back. */
#include <inttypes.h>

#include "base/str.h"
#include "journal/chain_internal.h"
#include "journal/load_internal.h"
#include "journal/sqlite_internal.h"

int sqlite_load(struct journal *j,
                int (*each)(void *ctx, struct fsm_instance *inst, struct err *err), void *ctx,
                struct err *err)
{
    struct sqlite_journal *sj = sqlite_of(j);
    sqlite3_stmt *q = NULL;
    int r = sqlite_ready(sj, err);

    if (r == 0)
        r = db_query(&sj->db, SQL_OPEN_INSTANCES, DB_NO_ARGS, &q, err);
    while (r == 0 && (r = db_step(&sj->db, q, "read open instances", err)) == 1) {
        struct fsm_instance inst;

        r = load_instance(&sj->db, &sj->tables, q, &inst, err);
        if (r == 0)
            r = each(ctx, &inst, err);
    }
    (void)sqlite3_reset(q); /* repeats what was told */
    return r;
}

int sqlite_find(struct journal *j, const char *message_id, const char *instance_id,
                enum journal_known *ret_known, struct err *err)
{
    const struct {
        const char *id;
        int rows, ledger;
        enum remember_kind kind;
    } looks[] = {
        {message_id, SQL_MESSAGE_INSTANCE, SQL_MESSAGE_IN_LEDGER, REMEMBER_MESSAGE},
        {instance_id, SQL_INSTANCE_IS_ENDED, SQL_IN_LEDGER, REMEMBER_INSTANCE},
    };
    struct sqlite_journal *sj = sqlite_of(j);
    int r = sqlite_ready(sj, err);
    size_t i;

    for (i = 0; r == 0 && i < ARRAY_LEN(looks); i++) {
        int64_t is_ended = -1, n = 0;

        if (looks[i].id == NULL)
            continue;
        r = db_number(&sj->db, looks[i].rows, DB_ARGS(DB_T(looks[i].id)), -1, &is_ended, err);
        if (r == 0 && is_ended < 0)
            r = db_number(&sj->db, looks[i].ledger, DB_ARGS(DB_T(looks[i].id)), 0, &n, err);
        if (r == 0 && is_ended < 0 && n == 0)
            r = remember_find(sj, looks[i].kind, looks[i].id, &n, err);
        if (r == 0 && (is_ended >= 0 || n > 0)) {
            *ret_known = is_ended == 0  ? JOURNAL_OPEN
                         : is_ended > 0 ? JOURNAL_ENDED
                                        : JOURNAL_LEDGERED;
            return 0;
        }
    }
    if (r == 0)
        *ret_known = JOURNAL_UNKNOWN;
    return r;
}

/* Step a query that has one row; ERR_NOT_FOUND without one. The caller resets it. */
static int one_row(struct sqlite_journal *sj, int which, struct db_arg arg, sqlite3_stmt **ret_q,
                   struct err *err)
{
    sqlite3_stmt *q = NULL;
    int r = sqlite_ready(sj, err);

    if (r == 0)
        r = db_query(&sj->db, which, &arg, 1, &q, err);
    if (r == 0)
        r = db_step(&sj->db, q, journal_sql[which].what, err);
    if (r < 0)
        return r;
    if (r == 0) {
        if (arg.kind == DB_TEXT)
            return err_set(err, ERR_NOT_FOUND, "%s: %s: nothing for \"%s\"", sj->path,
                           journal_sql[which].what, arg.bytes);
        return err_set(err, ERR_NOT_FOUND, "%s: %s: nothing for %" PRId64, sj->path,
                       journal_sql[which].what, arg.number);
    }
    *ret_q = q;
    return 0;
}

/* The first column's bytes into a buffer. */
static int get_bytes(struct sqlite_journal *sj, int which, const char *key, struct buf *ret_bytes,
                     struct err *err)
{
    sqlite3_stmt *q = NULL;
    const void *bytes;
    int r = one_row(sj, which, DB_T(key), &q, err);

    if (r < 0)
        return r;
    bytes = sqlite3_column_blob(q, 0);
    if (bytes != NULL)
        (void)buf_add(ret_bytes, bytes, (size_t)sqlite3_column_bytes(q, 0)); /* buf_error() tells */
    r = buf_error(ret_bytes, journal_sql[which].what, err);
    return db_end(&sj->db, q, r, journal_sql[which].what, err);
}

int sqlite_get_payload(struct journal *j, const char *instance_id, struct buf *ret_payload,
                       struct err *err)
{
    return get_bytes(sqlite_of(j), SQL_PAYLOAD, instance_id, ret_payload, err);
}

int sqlite_get_attachment(struct journal *j, const char *instance_id, const char *name,
                          struct buf *ret_bytes, struct err *err)
{
    struct sqlite_journal *sj = sqlite_of(j);
    sqlite3_stmt *q = NULL;
    const void *bytes;
    int r = sqlite_ready(sj, err);

    if (r == 0)
        r = db_query(&sj->db, SQL_ATTACHMENT, DB_ARGS(DB_T(instance_id), DB_T(name)), &q, err);
    if (r == 0)
        r = db_step(&sj->db, q, "read attachment", err);
    if (r < 0)
        return r;
    if (r == 0)
        return err_set(err, ERR_NOT_FOUND, "%s: %s has no attachment \"%s\"", sj->path, instance_id,
                       name);
    bytes = sqlite3_column_blob(q, 0);
    if (bytes != NULL)
        (void)buf_add(ret_bytes, bytes, (size_t)sqlite3_column_bytes(q, 0)); /* buf_error() tells */
    return db_end(&sj->db, q, buf_error(ret_bytes, "read attachment", err), "read attachment", err);
}

int sqlite_get_fact(struct journal *j, const char *key, struct buf *ret_value, struct err *err)
{
    return get_bytes(sqlite_of(j), SQL_FACT, key, ret_value, err);
}

int sqlite_get_message_id(struct journal *j, const char *instance_id, char *ret_message_id,
                          size_t size, struct err *err)
{
    sqlite3_stmt *q = NULL;
    int r = one_row(sqlite_of(j), SQL_MESSAGE_ID, DB_T(instance_id), &q, err);

    if (r < 0)
        return r;
    if (!str_copy(ret_message_id, size, db_column(q, 0)))
        r = err_set(err, ERR_LIMIT, "message id of %s: longer than %zu bytes", instance_id,
                    size - 1);
    return db_end(&sqlite_of(j)->db, q, r, "read message id", err);
}

static int get_reply(struct sqlite_journal *sj, int which, struct db_arg arg,
                     struct journal_reply *ret_reply, struct err *err)
{
    struct journal_reply reply = {.payload = NULL};
    sqlite3_stmt *q = NULL;
    int r = one_row(sj, which, arg, &q, err);

    if (r < 0)
        return r;
    r = load_reply(&sj->db, q, &reply, err);
    r = db_end(&sj->db, q, r, journal_sql[which].what, err);
    if (r < 0)
        journal_reply_done(&reply);
    else
        *ret_reply = reply;
    return r;
}

int sqlite_get_reply(struct journal *j, int64_t effect_id, struct journal_reply *ret_reply,
                     struct err *err)
{
    return get_reply(sqlite_of(j), SQL_REPLY, DB_I(effect_id), ret_reply, err);
}

int sqlite_get_final_reply(struct journal *j, const char *instance_id,
                           struct journal_reply *ret_reply, struct err *err)
{
    return get_reply(sqlite_of(j), SQL_FINAL_REPLY, DB_T(instance_id), ret_reply, err);
}

/* The greatest id that was ever given: of the rows that are here, or, when retention removed the
 * greatest, of those that were. */
int sqlite_last_effect_id(struct journal *j, int64_t *ret_id, struct err *err)
{
    struct sqlite_journal *sj = sqlite_of(j);
    int64_t last = 0, floor_id = 0;
    sqlite3_stmt *q = NULL;
    int r = sqlite_ready(sj, err);

    if (r == 0)
        r = db_number(&sj->db, SQL_LAST_EFFECT, DB_NO_ARGS, 0, &last, err);
    if (r == 0)
        r = one_row(sj, SQL_GET_META, DB_T("effect_floor"), &q, err);
    if (r < 0)
        return r;
    if (!str_to_i64(db_column(q, 0), 0, INT64_MAX, &floor_id))
        r = err_set(err, ERR_CORRUPT, "%s: meta effect_floor is \"%s\"", sj->path, db_column(q, 0));
    r = db_end(&sj->db, q, r, "read the last effect's id", err);
    if (r == 0)
        *ret_id = last > floor_id ? last : floor_id;
    return r;
}

int sqlite_get_settled(struct journal *j, const char *instance_id, int64_t *ret_n, struct err *err)
{
    struct sqlite_journal *sj = sqlite_of(j);
    int r = sqlite_ready(sj, err);

    return r < 0 ? r : db_number(&sj->db, SQL_SETTLED, DB_ARGS(DB_T(instance_id)), 0, ret_n, err);
}

int sqlite_counts(struct journal *j, struct journal_counts *ret_counts, struct err *err)
{
    struct sqlite_journal *sj = sqlite_of(j);
    struct journal_counts c = {.n_commits = sj->n_commits,
                               .has_reserve = sj->storage.has_reserve,
                               .size_bytes = storage_size(&sj->storage)};
    char head[SHA256_HEX_SIZE];
    int r = sqlite_ready(sj, err);

    if (r == 0)
        r = load_counts(&sj->db, &c, err);
    if (r == 0)
        r = sqlite_ledger_end(sj, &c.ledger_end, head, err);
    if (r == 0)
        *ret_counts = c;
    return r;
}

int sqlite_ledger_end(struct sqlite_journal *sj, int64_t *ret_n, char ret_hash[SHA256_HEX_SIZE],
                      struct err *err)
{
    static const struct {
        int which, n, hash;
    } looks[] = {{SQL_LEDGER_LAST, LEDGER_N, LEDGER_HASH}, {SQL_CHECKPOINT, 0, 1}};
    size_t i;

    for (i = 0; i < ARRAY_LEN(looks); i++) {
        sqlite3_stmt *q = NULL;
        bool fits;
        int r = db_query(&sj->db, looks[i].which, DB_NO_ARGS, &q, err);

        if (r == 0)
            r = db_step(&sj->db, q, journal_sql[looks[i].which].what, err);
        if (r < 0)
            return r;
        if (r == 0)
            continue;
        *ret_n = db_column_i64(q, looks[i].n);
        fits = str_copy(ret_hash, SHA256_HEX_SIZE, db_column(q, looks[i].hash));
        r = fits ? 0
                 : err_set(err, ERR_CORRUPT, "%s: the ledger's last hash is too long", sj->path);
        return db_end(&sj->db, q, r, journal_sql[looks[i].which].what, err);
    }
    *ret_n = 0;
    (void)str_copy(ret_hash, SHA256_HEX_SIZE, chain_zero); /* fits */
    return 0;
}
