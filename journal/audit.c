/* The audit's frame: the ledger and its side file, then every instance, then what belongs to no
 * instance any more. */
#include "journal/audit.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/record.h"
#include "base/str.h"
#include "journal/audit_internal.h"
#include "journal/chain_internal.h"
#include "journal/reader_internal.h"

#define PAGE 100 /* instances per read transaction */

void audit_found(struct audit *a, const char *table, const char *key, const char *format, ...)
{
    struct audit_finding f;
    va_list ap;

    (void)str_copy(f.table, sizeof(f.table), table); /* for people: cut is fine */
    (void)str_copy(f.key, sizeof(f.key), key);
    va_start(ap, format);
    (void)vsnprintf(f.text, sizeof(f.text), format, ap);
    va_end(ap);
    if (a->report->n_findings++ == 0)
        a->report->first = f;
    if (a->o->found != NULL)
        a->o->found(a->o->ctx, &f);
}

bool audit_is_sound(sqlite3_stmt *q)
{
    int i;

    for (i = 0; i < sqlite3_column_count(q); i++) {
        int type = sqlite3_column_type(q, i);

        if (type == SQLITE_FLOAT || type == SQLITE_BLOB ||
            (type == SQLITE_TEXT && strlen(db_column(q, i)) != (size_t)sqlite3_column_bytes(q, i)))
            return false;
    }
    return true;
}

/* ---- the ledger ---- */

struct ledger_walk {
    int64_t n; /* of the last row that was right */
    char hash[SHA256_HEX_SIZE];
    int64_t head_n; /* what the side file vouches for; -1: nothing */
    char head_hash[SHA256_HEX_SIZE];
};

static void found_ledger(struct audit *a, int64_t n, const char *text)
{
    char key[32];

    (void)snprintf(key, sizeof(key), "n=%" PRId64, n); /* fits */
    audit_found(a, "ledger", key, "%s", text);
}

static const char *ledger_problem(sqlite3_stmt *q, const struct ledger_walk *w)
{
    struct chain_ledger l = {
        .n = db_column_i64(q, LEDGER_N),
        .id = db_column(q, LEDGER_ID),
        .machine = db_column(q, LEDGER_MACHINE),
        .message_id = db_column(q, LEDGER_MESSAGE_ID),
        .state = db_column(q, LEDGER_STATE),
        .status = db_column(q, LEDGER_STATUS),
        .created_unix_ms = db_column_i64(q, LEDGER_CREATED),
        .ended_unix_ms = db_column_i64(q, LEDGER_ENDED),
        .n_transitions = db_column_i64(q, LEDGER_N_TRANSITIONS),
        .head = db_column(q, LEDGER_HEAD),
        .prev = db_column(q, LEDGER_PREV),
    };
    char hash[SHA256_HEX_SIZE];

    if (l.n <= w->n)
        return "was inserted: the ledger was cut behind it";
    if (l.n != w->n + 1)
        return "is missing";
    chain_hash_ledger(&l, hash);
    if (!audit_is_sound(q) || !str_eq(hash, db_column(q, LEDGER_HASH)))
        return "was changed: it does not have the hash that it carries";
    if (!str_eq(l.prev, w->hash))
        return "does not follow the row before it: one of them was exchanged";
    if (l.n == w->head_n && !str_eq(hash, w->head_hash))
        return "is not the one that the side file has: the ledger was written anew";
    return NULL;
}

static int walk_ledger(struct audit *a, struct ledger_walk *w, struct err *err)
{
    sqlite3_stmt *q = NULL;
    int r = db_query(a->db, SQL_LEDGER, DB_ARGS(DB_I(INT64_MIN)), &q, err);

    while (r == 0 && (r = db_step(a->db, q, "read ledger", err)) == 1) {
        const char *problem = ledger_problem(q, w);
        int64_t n = db_column_i64(q, LEDGER_N);

        r = 0;
        a->report->n_ledger++;
        if (problem != NULL) {
            found_ledger(a, n <= w->n ? n : w->n + 1, problem);
            (void)sqlite3_reset(q);
            return 0;
        }
        w->n = n;
        (void)str_copy(w->hash, sizeof(w->hash),
                       db_column(q, LEDGER_HASH)); /* fits: it was equal */
    }
    if (r == 0 && w->head_n > w->n)
        found_ledger(a, w->n + 1, "is missing: the side file knows of rows that were cut off");
    return r;
}

static int read_head(struct audit *a, struct ledger_walk *w, struct err *err)
{
    AUTO(buf_done) struct buf text = {0};
    AUTO(record_done) struct record record = {0};
    const char *hash;
    int r;

    w->head_n = -1;
    if (a->o->head_path == NULL)
        return 0;
    buf_init(&text, 65536);
    r = fs_read_file(AT_FDCWD, a->o->head_path, &text, err);
    if (r == ERR_NOT_FOUND)
        return 0;
    if (r == 0)
        r = record_parse(buf_str(&text), text.len, "ledger-head", &record, err);
    if (r == 0)
        r = record_get_i64(&record, "n", &w->head_n, err);
    if (r == ERR_CORRUPT || r == ERR_INVALID || r == ERR_LIMIT) {
        audit_found(a, "side file", a->o->head_path, "%s", err != NULL ? err->text : "damaged");
        w->head_n = -1;
        return 0;
    }
    if (r < 0)
        return r;
    hash = record_get(&record, "hash");
    if (!str_copy(w->head_hash, sizeof(w->head_hash), hash != NULL ? hash : ""))
        w->head_hash[0] = '\0'; /* equal to no hash */
    a->report->has_head = true;
    a->report->head_n = w->head_n;
    return 0;
}

static int read_checkpoint(struct audit *a, struct ledger_walk *w, struct err *err)
{
    sqlite3_stmt *q = NULL;
    int r = db_query(a->db, SQL_CHECKPOINT, DB_NO_ARGS, &q, err);

    w->n = 0;
    memcpy(w->hash, chain_zero, sizeof(w->hash));
    if (r == 0)
        r = db_step(a->db, q, "read checkpoint", err);
    if (r == 1) {
        w->n = db_column_i64(q, 0);
        if (!str_copy(w->hash, sizeof(w->hash), db_column(q, 1)))
            w->hash[0] = '\0';  /* equal to no hash */
        (void)sqlite3_reset(q); /* one row is enough */
        r = 0;
    }
    if (r == 0 && w->n > 0 && w->n == w->head_n && !str_eq(w->hash, w->head_hash))
        audit_found(a, "checkpoint", "", "is not what the side file has");
    a->report->ledger_from = w->n + 1;
    return r;
}

static int audit_ledger(struct audit *a, struct err *err)
{
    struct ledger_walk w = {0};
    int r = read_head(a, &w, err);

    if (r == 0)
        r = read_checkpoint(a, &w, err);
    if (r == 0)
        r = walk_ledger(a, &w, err);
    a->report->ledger_to = w.n;
    return r;
}

/* ---- instances ---- */

/* One page. *ret_last: the last seq of it; unchanged when there was none. */
static int audit_page(struct audit *a, int64_t *ret_last, bool *ret_has_more, struct err *err)
{
    sqlite3_stmt *q = NULL;
    int64_t n = 0;
    int r = db_query(a->db, SQL_AUDIT_INSTANCES, DB_ARGS(DB_I(*ret_last), DB_I(PAGE)), &q, err);

    while (r == 0 && (r = db_step(a->db, q, "read instances", err)) == 1) {
        *ret_last = db_column_i64(q, INSTANCE_SEQ);
        n++;
        r = audit_instance(a, q, err);
    }
    if (r < 0)
        (void)sqlite3_reset(q); /* repeats what was told */
    *ret_has_more = n == PAGE;
    return r;
}

/* ---- what is left over ---- */

#define NO_INSTANCE(column) "NOT EXISTS (SELECT 1 FROM instance WHERE id = " column ") "

static const struct {
    const char *table, *sql, *text;
} leftovers[] = {
    {"transition",
     /* The one that was written first. */
     "SELECT instance_id || ' n=' || n FROM transition AS t WHERE " NO_INSTANCE(
         "t.instance_id") "ORDER BY t.seq LIMIT 1",
     "belongs to no instance: it was inserted, or its instance was removed"},
    {"effect", "SELECT e.id FROM effect AS e WHERE " NO_INSTANCE("e.instance_id") "LIMIT 1",
     "belongs to no instance"},
    {"effect",
     "SELECT e.id FROM effect AS e JOIN instance AS i ON i.id = e.instance_id "
     "WHERE e.closed_unix_ms IS NULL AND i.ended_unix_ms IS NOT NULL LIMIT 1",
     "is open, but its instance has ended"},
    {"inbox", "SELECT m.message_id FROM inbox AS m WHERE " NO_INSTANCE("m.instance_id") "LIMIT 1",
     "belongs to no instance"},
    {"outbox",
     "SELECT o.effect_id FROM outbox AS o WHERE NOT EXISTS (SELECT 1 FROM effect AS e "
     "WHERE e.id = o.effect_id AND e.instance_id = o.instance_id) LIMIT 1",
     "belongs to no effect"},
    {"outbox",
     "SELECT o.effect_id FROM outbox AS o JOIN effect AS e ON e.id = o.effect_id "
     "WHERE o.ended_unix_ms IS NULL AND e.closed_unix_ms IS NOT NULL LIMIT 1",
     "is owed, but its effect is closed"},
};

/* Everything that was made is here, or was finished. */
static int count_instances(struct audit *a, struct err *err)
{
    int64_t n_made = 0, n_here = 0, n_ledger_only = 0, n_cut = 0;
    int r = db_number(a->db, SQL_SEQUENCE, DB_NO_ARGS, 0, &n_made, err);

    if (r == 0)
        r = db_number(a->db, SQL_CHECKPOINT, DB_NO_ARGS, 0, &n_cut, err);
    if (r == 0)
        r = db_number(a->db, SQL_COUNT_INSTANCES, DB_NO_ARGS, 0, &n_here, err);
    if (r == 0)
        r = db_number(a->db, SQL_COUNT_LEDGER_ONLY, DB_NO_ARGS, 0, &n_ledger_only, err);
    if (r == 0 && n_made != n_here + n_ledger_only + n_cut)
        audit_found(a, "instance", "",
                    "%" PRId64 " were made, but %" PRId64
                    " are here or in the ledger: whole ones were %s",
                    n_made, n_here + n_ledger_only + n_cut,
                    n_made > n_here + n_ledger_only + n_cut ? "removed" : "inserted");
    return r;
}

static int audit_leftovers(struct audit *a, struct err *err)
{
    char key[160], sql[256];
    size_t i;
    int r = 0;

    for (i = 0; r == 0 && i < ARRAY_LEN(leftovers); i++) {
        r = db_text(a->db, leftovers[i].sql, key, sizeof(key), err);
        if (r == 0 && key[0] != '\0')
            audit_found(a, leftovers[i].table, key, "%s", leftovers[i].text);
    }
    for (i = 0; r == 0 && i < 2 * a->n_machines; i++) {
        const struct audit_machine *m = &a->machines[i / 2];
        const char *table = i % 2 == 0 ? m->name : m->child;

        if (table[0] == '\0')
            continue;
        (void)snprintf(sql, sizeof(sql),
                       "SELECT instance_id FROM \"%s\" AS m WHERE " /* fits */
                       NO_INSTANCE("m.instance_id") "LIMIT 1",
                       table);
        r = db_text(a->db, sql, key, sizeof(key), err);
        if (r == 0 && key[0] != '\0')
            audit_found(a, table, key, "belongs to no instance");
    }
    /* Last: it names no row, and what was found above would upset it. */
    return r == 0 && a->report->n_findings == 0 ? count_instances(a, err) : r;
}

/* ---- all of it ---- */

/* A read transaction of its own, unless the caller holds one. */
static int part(struct audit *a, int (*run)(struct audit *a, struct err *err), struct err *err)
{
    bool is_ours = sqlite3_get_autocommit(a->db->handle) != 0;
    int r = is_ours ? db_exec(a->db, "BEGIN", err) : 0;

    if (r < 0)
        return r;
    r = run(a, err);
    if (is_ours)
        (void)sqlite3_exec(a->db->handle, "COMMIT", NULL, NULL, NULL); /* nothing was written */
    return r;
}

static int audit_instances(struct audit *a, struct err *err)
{
    int64_t last = 0, n_total = 0;
    bool has_more = true, is_ours = sqlite3_get_autocommit(a->db->handle) != 0;
    int r = db_number(a->db, SQL_COUNT_INSTANCES, DB_NO_ARGS, 0, &n_total, err);

    while (r == 0 && has_more) {
        if (is_ours)
            r = db_exec(a->db, "BEGIN", err);
        if (r == 0)
            r = audit_page(a, &last, &has_more, err);
        if (is_ours)
            (void)sqlite3_exec(a->db->handle, "COMMIT", NULL, NULL, NULL); /* nothing was written */
        if (r == 0 && a->o->progress != NULL)
            a->o->progress(a->o->ctx, a->report->n_instances, n_total);
    }
    return r;
}

int audit_db(struct db *db, const struct tables *t, const struct audit_options *o,
             struct audit_report *ret_report, struct err *err)
{
    struct audit_report report = {0};
    struct audit a = {.db = db, .tables = t, .o = o, .report = &report};
    size_t i;
    int r = part(&a, audit_ledger, err);

    if (r == 0)
        r = audit_instances(&a, err);
    if (r == 0)
        r = part(&a, audit_leftovers, err);
    for (i = 0; i < a.n_machines; i++) {
        (void)sqlite3_finalize(a.machines[i].row); /* these repeat what was told */
        (void)sqlite3_finalize(a.machines[i].child_rows);
    }
    if (r < 0)
        return err_wrap(err, "audit");
    *ret_report = report;
    return 0;
}

int audit_verify(struct reader *r, const struct audit_options *o, struct audit_report *ret_report,
                 struct err *err)
{
    return audit_db(&r->db, &r->tables, o, ret_report, err);
}

const char *audit_coverage(void)
{
    return "Covered: every transition; of every job its state, its fields and its steps with the "
           "SHA-256 of their output; the ledger of finished jobs; each message's payload against "
           "its own hash; that no job vanished without a row in the ledger. Not covered: effects, "
           "the times and payloads of replies, facts about the node, the ids that are "
           "remembered of rows that the ledger no longer has. Who has root on this machine "
           "can forge all of it, unless the ledger's head was sent elsewhere.";
}
