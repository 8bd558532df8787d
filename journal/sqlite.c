/* The journal on SQLite: opening, transactions, and coming back after a failure.
 *
 * Invariants, checked by journal_check() (check.c):
 *  1  Every instance has exactly one row in its machine's table, and children numbered from 0.
 *  2  instance.n_transitions is the n of its newest transition; n runs from 0 without a gap.
 *  3  instance.head is the hash of its newest transition; each prev is the hash before it.
 *  4  The newest transition's state_sha256 is the hash of the instance as it is stored.
 *  5  An instance in a terminal state has ended_unix_ms, no open effect, and one row in the ledger
 *     with its head; an instance that has not ended has none there.
 *  6  A reply has an effect; while it is owed, its effect is open.
 *  7  The ledger runs without a gap from the checkpoint (or from 1); each prev is the hash before.
 *  8  Every instance that was ever made is in the table, in the ledger, or before the checkpoint.
 * What a commit returns 0 for is synced (WAL with synchronous=FULL; read back at open), and so is
 * what an open reads, whatever syncs failed before (storage_renew_log()). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crashpoint.h"
#include "base/str.h"
#include "journal/sqlite_internal.h"

/* Above this, reading the whole file at every start would be felt; SQLite then finds damage when it
 * meets it. */
#define TEXT_OF_(x) #x
#define TEXT_OF(x) TEXT_OF_(x) /* of what a macro stands for */
#define QUICK_CHECK_MAX_BYTES (INT64_C(24) << 20)

#ifdef SSMD_BREAK_SKIP_SYNC /* negative control: the power-loss tests must notice */
#define SYNCHRONOUS "0"
#else
#define SYNCHRONOUS "2" /* FULL: in WAL mode, NORMAL would not sync commits */
#endif

/* A commit writes each page that it touches, however little of it changed: some 25 to 35 for each
 * of a command's, in tables and indexes. So pages are small. */
#define PAGE_SIZE "1024"

/* Set in this order and read back: SQLite ignores what it does not like. The cache is small because
 * rows are written once and seldom read; the log is bounded so that 1.6 MiB is what it takes. */
static const struct {
    const char *name, *value, *read_back;
} pragmas[] = {
    {"journal_mode", "WAL", "wal"},
    {"synchronous", SYNCHRONOUS, SYNCHRONOUS},
    {"foreign_keys", "1", "1"},
    {"busy_timeout", "1000", "1000"},
    {"cache_size", "-256", "-256"}, /* KiB */
    {"mmap_size", "0", "0"},
    {"temp_store", "2", "2"}, /* memory */
    {"wal_autocheckpoint", "1600", "1600"},
    {"journal_size_limit", TEXT_OF(SQLITE_LOG_BYTES), TEXT_OF(SQLITE_LOG_BYTES)},
    {"secure_delete", "1", "1"},
    {"auto_vacuum", NULL, "2"}, /* incremental; fixed when the file was made */
};

static int set_pragmas(struct db *db, struct err *err)
{
    char sql[96], got[32];
    size_t i;
    int r;

    for (i = 0; i < ARRAY_LEN(pragmas); i++) {
        if (pragmas[i].value != NULL) {
            (void)snprintf(sql, sizeof(sql), "PRAGMA %s = %s", pragmas[i].name, pragmas[i].value);
            r = db_exec(db, sql, err);
            if (r < 0)
                return r;
        }
        (void)snprintf(sql, sizeof(sql), "PRAGMA %s", pragmas[i].name);
        r = db_text(db, sql, got, sizeof(got), err);
        if (r < 0)
            return r;
        if (!str_eq(got, pragmas[i].read_back))
            return err_set(err, ERR_STATE,
                           "%s: %s is \"%s\" where \"%s\" was asked for; without it nothing can be "
                           "promised. Is the directory on a file system for databases?",
                           db->name, pragmas[i].name, got, pragmas[i].read_back);
    }
    return 0;
}

/* The check tells what it could not read like damage: "... error code=7". */
static int code_of_finding(const char *text)
{
    static const char words[] = "error code=";
    const char *p = strstr(text, words);

    switch (p != NULL ? strtol(p + sizeof(words) - 1, NULL, 10) & 0xff : SQLITE_CORRUPT) {
    case SQLITE_NOMEM:
        return ERR_NOMEM;
    case SQLITE_IOERR:
        return ERR_IO;
    default:
        return ERR_CORRUPT;
    }
}

static int quick_check(const struct sqlite_journal *sj, struct db *db, struct err *err)
{
    char text[200];
    int r;

    if (storage_size(&sj->storage) > QUICK_CHECK_MAX_BYTES)
        return 0;
    r = db_text(db, "PRAGMA quick_check(1)", text, sizeof(text), err);
    if (r == 0 && !str_eq(text, "ok") && code_of_finding(text) != ERR_CORRUPT)
        return err_set(err, code_of_finding(text), "%s: cannot be read whole: %s", db->name, text);
    if (r == ERR_LIMIT || (r == 0 && !str_eq(text, "ok")))
        return err_set(err, ERR_CORRUPT, "%s: damaged (%s)", db->name,
                       r == 0 ? text : "many findings");
    return r;
}

/* Look at the file before anything is written to it, then make it ready. */
static int make_ready(struct sqlite_journal *sj, struct db *db, struct err *err)
{
    enum journal_file file;
    int on = 0, r;

    if (sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, &on) != SQLITE_OK ||
        sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, &on) != SQLITE_OK ||
        sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, &on) != SQLITE_OK)
        return db_fail(db, err, "configure");
    (void)sqlite3_busy_timeout(db->handle, 1000); /* read back below */
    r = migrate_examine(db, &file, err);
    if (r == 0 && file == JOURNAL_FILE_OURS)
        r = quick_check(sj, db, err);
    if (r == 0 && file == JOURNAL_FILE_EMPTY)
        r = db_exec(db, "PRAGMA page_size = " PAGE_SIZE "; PRAGMA auto_vacuum = 2", err);
    if (r == 0)
        r = set_pragmas(db, err);
    if (r == 0)
        r = migrate_run(db, &sj->tables, err);
    return r;
}

static void disconnect(struct sqlite_journal *sj)
{
    tables_done(&sj->tables);
    db_close(&sj->db);
}

/* A whole and empty journal in one file. */
static int make_new(struct sqlite_journal *sj, struct err *err)
{
    struct db db = {0};
    char path[sizeof(sj->path) + sizeof(STORAGE_NEW)], is_busy[8];
    int r = tables_init(&sj->tables, sj->machines, err);

    if (r < 0)
        return r;
    (void)snprintf(path, sizeof(path), "%s" STORAGE_NEW, sj->path); /* fits */
    r = storage_begin_new(&sj->storage, err);
    if (r == 0)
        r = db_open(&db, path, SQLITE_OPEN_READWRITE, sj->vfs.name, journal_sql, SQL_N, err);
    if (r == 0)
        r = make_ready(sj, &db, err);
    if (r == 0)
        r = db_text(&db, "PRAGMA wal_checkpoint(TRUNCATE)", is_busy, sizeof(is_busy), err);
    if (r == 0 && !str_eq(is_busy, "0"))
        r = err_set(err, ERR_BUSY, "%s: somebody else has it open", path);
    tables_done(&sj->tables);
    db_close(&db);
    return r == 0 ? storage_end_new(&sj->storage, err) : r;
}

static int connect_db(struct sqlite_journal *sj, struct err *err)
{
    int r = tables_init(&sj->tables, sj->machines, err);

    if (r < 0)
        return r;
    r = storage_remember(&sj->storage, err);
    if (r == 0)
        r = storage_renew_log(&sj->storage, err);
    if (r == 0) {
        storage_prepare_shared(&sj->storage);
        r = db_open(&sj->db, sj->path, SQLITE_OPEN_READWRITE, sj->vfs.name, journal_sql, SQL_N,
                    err);
    }
    if (r == 0)
        r = make_ready(sj, &sj->db, err);
    if (r == 0)
        r = storage_sync_names(&sj->storage, err);
    if (r < 0)
        disconnect(sj);
    return r;
}

int sqlite_ready(const struct sqlite_journal *sj, struct err *err)
{
    if (sj->db.handle == NULL)
        return err_set(err, sj->broken, "%s: not usable since an earlier failure (%s)", sj->path,
                       err_name(sj->broken));
    return 0;
}

int sqlite_note(struct sqlite_journal *sj, int r)
{
    if (r >= 0)
        return r;
    sj->has_failed = true;
    if (r == ERR_IO || r == ERR_FULL || r == ERR_CORRUPT)
        sj->broken = r;
    return r;
}

int sqlite_touch(struct sqlite_journal *sj, struct err *err)
{
    int r;

    if (!sj->is_in_transaction || sj->has_failed)
        return err_set(err, ERR_STATE, "%s: %s", sj->path,
                       sj->has_failed ? "an earlier write of this transaction failed"
                                      : "a write outside a transaction");
    /* A statement that found no memory may have ended the transaction, and what is put now would be
     * there without the rest of it. */
    if (sj->has_begun && sqlite3_get_autocommit(sj->db.handle) != 0)
        return sqlite_note(
            sj, err_set(err, ERR_IO, "%s: SQLite rolled the transaction back", sj->path));
    if (sj->has_begun)
        return 0;
    r = storage_is_same(&sj->storage, err);
    r = sqlite_note(sj, r < 0 ? r : db_run(&sj->db, SQL_BEGIN, DB_NO_ARGS, NULL, err));
    sj->has_begun = r == 0;
    return r;
}

static int begin(struct journal *j, struct err *err)
{
    struct sqlite_journal *sj = sqlite_of(j);

    if (sj->broken != 0)
        return err_set(err, sj->broken, "%s: not usable since an earlier failure (%s)", sj->path,
                       err_name(sj->broken));
    if (sj->is_in_transaction)
        return err_set(err, ERR_STATE, "%s: a transaction within a transaction", sj->path);
    sj->is_in_transaction = true;
    sj->has_begun = sj->has_failed = false;
    return 0;
}

static int commit(struct journal *j, struct err *err)
{
    struct sqlite_journal *sj = sqlite_of(j);
    int r;

    if (!sj->is_in_transaction || sj->has_failed)
        return err_set(err, ERR_STATE, "%s: %s", sj->path,
                       sj->has_failed ? "an earlier write of this transaction failed"
                                      : "a commit outside a transaction");
    if (sj->has_begun) {
        crashpoint("journal.commit.before");
        r = sqlite_note(sj, db_run(&sj->db, SQL_COMMIT, DB_NO_ARGS, NULL, err));
        if (r < 0)
            return r;
        crashpoint("journal.commit.after");
        sj->n_commits++;
    }
    sj->is_in_transaction = sj->has_begun = false;
    return 0;
}

static void rollback(struct journal *j)
{
    struct sqlite_journal *sj = sqlite_of(j);

    if (sj->has_begun && sj->db.handle != NULL && sqlite3_get_autocommit(sj->db.handle) == 0 &&
        db_run(&sj->db, SQL_ROLLBACK, DB_NO_ARGS, NULL, NULL) < 0 && sj->broken == 0)
        sj->broken = ERR_IO;
    sj->is_in_transaction = sj->has_begun = sj->has_failed = false;
}

static void close_journal(struct journal *j)
{
    struct sqlite_journal *sj = sqlite_of(j);
    int off = 0;

    rollback(j);
    /* A clean end leaves one file; a broken one leaves everything for the next start. */
    if (sj->broken == 0 && sj->db.handle != NULL)
        (void)sqlite3_db_config(sj->db.handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, &off);
    disconnect(sj);
    joined_done(&sj->vfs);
    storage_done(&sj->storage);
    free(sj);
}

/* Write something, sync it, and read it back. */
static int probe(struct sqlite_journal *sj, struct err *err)
{
    char value[32], got[32];
    int r;

    (void)snprintf(value, sizeof(value), "%" PRId64, sj->n_commits + 1); /* fits */
    r = db_exec(&sj->db, "BEGIN IMMEDIATE", err);
    if (r == 0)
        r = db_run(&sj->db, SQL_PUT_META, DB_ARGS(DB_T("probe"), DB_T(value)), NULL, err);
    if (r == 0)
        r = db_exec(&sj->db, "COMMIT", err);
    if (r < 0)
        return r;
    sj->n_commits++;
    r = db_text(&sj->db, "SELECT value FROM meta WHERE key = 'probe'", got, sizeof(got), err);
    if (r == 0 && !str_eq(got, value))
        r = err_set(err, ERR_IO, "%s: \"%s\" was written and \"%s\" is read", sj->path, value, got);
    return r;
}

static int revive(struct journal *j, struct err *err)
{
    struct sqlite_journal *sj = sqlite_of(j);
    int r;

    rollback(j);
#ifdef SSMD_BREAK_JOURNAL_NOT_REOPENED /* negative control: row R6 must notice */
    sj->broken = 0;
    return 0;
#endif
    if (sj->broken == 0)
        sj->broken = ERR_IO; /* until the contrary is seen */
    disconnect(sj);
    if (storage_is_full(&sj->storage, sj->broken))
        storage_release_reserve(&sj->storage);
    r = connect_db(sj, err);
    if (r == 0) {
        r = probe(sj, err);
        if (r < 0)
            disconnect(sj);
    }
    sj->broken = r < 0 ? r : 0;
    return r;
}

static bool has_room(struct journal *j)
{
    return storage_has_room(&sqlite_of(j)->storage);
}

const struct journal_ops sqlite_ops = {
    .begin = begin,
    .commit = commit,
    .rollback = rollback,
    .close = close_journal,
    .put_message = sqlite_put_message,
    .put_instance = sqlite_put_instance,
    .put_transition = sqlite_put_transition,
    .close_effects = sqlite_close_effects,
    .put_reply = sqlite_put_reply,
    .end_reply = sqlite_end_reply,
    .put_fact = sqlite_put_fact,
    .put_attachment = sqlite_put_attachment,
    .load = sqlite_load,
    .find = sqlite_find,
    .get_payload = sqlite_get_payload,
    .get_attachment = sqlite_get_attachment,
    .get_message_id = sqlite_get_message_id,
    .get_reply = sqlite_get_reply,
    .get_final_reply = sqlite_get_final_reply,
    .get_fact = sqlite_get_fact,
    .last_effect_id = sqlite_last_effect_id,
    .get_settled = sqlite_get_settled,
    .counts = sqlite_counts,
    .prune = sqlite_prune,
    .revive = revive,
    .has_room = has_room,
    .publish_head = sqlite_publish_head,
};

static int make_and_connect(struct sqlite_journal *sj, struct err *err)
{
    int r = storage_is_new(&sj->storage) ? make_new(sj, err) : 0;

    return r == 0 ? connect_db(sj, err) : r;
}

int journal_open_sqlite(const struct journal_options *o, struct journal **ret_journal,
                        struct err *err)
{
    struct sqlite_journal *sj = calloc(1, sizeof(*sj));
    int r;

    if (sj == NULL)
        return err_set(err, ERR_NOMEM, "journal %s: out of memory", o->path);
    sj->base.ops = &sqlite_ops;
    sj->machines = o->machines != NULL ? o->machines : fsm_machines;
    if (!str_copy(sj->path, sizeof(sj->path), o->path) ||
        !str_copy(sj->head_path, sizeof(sj->head_path), o->head_path != NULL ? o->head_path : "")) {
        free(sj);
        return err_set(err, ERR_LIMIT, "journal %.100s: a name is too long", o->path);
    }
    r = joined_init(&sj->vfs, o->vfs, err);
    if (r == 0) {
        r = storage_init(&sj->storage, sj->path, err);
        if (r == 0) {
            r = make_and_connect(sj, err);
            if (storage_is_full(
                    &sj->storage,
                    r)) { /* what runs has to be taken up again: that is what it is for */
                storage_release_reserve(&sj->storage);
                r = make_and_connect(sj, err);
            }
            if (r < 0)
                storage_done(&sj->storage);
        }
    }
    if (r < 0) {
        struct err why = *err;

        joined_done(&sj->vfs);
        free(sj);
        if (r == ERR_CORRUPT)
            return err_set(err, r,
                           "open journal: %.148s; it was left as it is: restore it from a backup, "
                           "or move it away to start with an empty one",
                           why.text);
        return err_wrap(err, "open journal");
    }
    storage_fill_reserve(&sj->storage);
    *ret_journal = &sj->base;
    return 0;
}
