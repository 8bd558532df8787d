/* Opening a journal for reading, and walks over its tables. */
#include "journal/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "journal/load_internal.h"
#include "journal/migrate_internal.h"
#include "journal/reader_internal.h"

/* ---- open and close ---- */

static int connect_db(struct reader *r, const struct reader_options *o, const char *path, int flags,
                      const char *vfs, struct err *err)
{
    enum journal_file file;
    int on = 0, rc;

    rc = db_open(&r->db, path, flags, vfs, journal_sql, SQL_N, err);
    if (rc < 0)
        return rc;
    if (sqlite3_db_config(r->db.handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, &on) != SQLITE_OK ||
        sqlite3_db_config(r->db.handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, &on) != SQLITE_OK)
        rc = db_fail(&r->db, err, "configure");
    (void)sqlite3_busy_timeout(r->db.handle, 2000);
    (void)sqlite3_wal_autocheckpoint(r->db.handle, 0);
    if (rc == 0)
        rc = migrate_examine(&r->db, &file, err);
    if (rc == 0)
        rc = db_exec(&r->db, "PRAGMA query_only = 1; PRAGMA cache_size = -512", err);
    if (rc == 0 && file == JOURNAL_FILE_EMPTY)
        rc = err_set(err, ERR_NOT_FOUND, "%s: an empty file; no journal was written yet", o->path);
    if (rc == 0)
        rc = tables_init(&r->tables, o->machines != NULL ? o->machines : fsm_machines, err);
    if (rc == 0)
        rc = tables_look(&r->tables, &r->db, err);
    return rc;
}

static void disconnect(struct reader *r)
{
    tables_done(&r->tables);
    db_close(&r->db);
}

/* Did SQLite fail because it may not write beside the database? */
static bool wants_copy(const struct reader *r)
{
    int code = r->db.handle != NULL ? sqlite3_errcode(r->db.handle) & 0xff : SQLITE_CANTOPEN;

    return code == SQLITE_CANTOPEN || code == SQLITE_READONLY || code == SQLITE_PERM;
}

static int open_copy(struct reader *r, const struct reader_options *o, struct err *err)
{
    char path[PATH_MAX];
    int rc = reader_copy(r->path, r->temp_dir, path, err);

    return rc < 0 ? rc : connect_db(r, o, path, SQLITE_OPEN_READWRITE, NULL, err);
}

int reader_open(const struct reader_options *o, struct reader **ret_reader, struct err *err)
{
    struct reader *r;
    struct stat st;
    int rc;

    if (stat(o->path, &st) < 0)
        return err_sys(err, ERR_IO, errno, "journal %s", o->path);
    r = calloc(1, sizeof(*r));
    if (r == NULL)
        return err_set(err, ERR_NOMEM, "journal %s: out of memory", o->path);
    if (!str_copy(r->path, sizeof(r->path), o->path)) {
        free(r);
        return err_set(err, ERR_LIMIT, "journal %.100s: the path is too long", o->path);
    }
    rc = connect_db(r, o, r->path, SQLITE_OPEN_READONLY, o->vfs, err);
    if (rc < 0 && wants_copy(r)) {
        disconnect(r);
        rc = open_copy(r, o, err);
    }
    if (rc < 0) {
        reader_close(r);
        return err_wrap(err, "read journal");
    }
    *ret_reader = r;
    return 0;
}

void reader_close(struct reader *r)
{
    struct err err;

    if (r == NULL)
        return;
    disconnect(r);
    if (r->temp_dir[0] != '\0' && fs_remove_tree(AT_FDCWD, r->temp_dir, &err) < 0) {
        /* a private copy stays behind in the temporary directory: nobody can do more about it */
    }
    free(r);
}

bool reader_is_copy(const struct reader *r)
{
    return r->temp_dir[0] != '\0';
}

int reader_begin(struct reader *r, struct err *err)
{
    int rc = r->depth > 0 ? 0 : db_exec(&r->db, "BEGIN", err);

    if (rc == 0)
        r->depth++;
    return rc;
}

int reader_end(struct reader *r, int result, struct err *err)
{
    int rc = 0;

    if (--r->depth == 0)
        rc = db_exec(&r->db, "COMMIT", result < 0 ? NULL : err);
    return result < 0 ? result : rc;
}

/* ---- instances ---- */

void reader_instance_done(struct reader_instance *i)
{
    if (i->is_loaded)
        fsm_instance_done(&i->inst);
    i->is_loaded = false;
}

static int get_text(struct reader *r, int which, const char *id, int column, char *ret_text,
                    size_t size, struct err *err)
{
    sqlite3_stmt *q = NULL;
    int rc = db_query(&r->db, which, DB_ARGS(DB_T(id)), &q, err);

    if (rc == 0)
        rc = db_step(&r->db, q, journal_sql[which].what, err);
    if (rc == 1) {
        (void)str_copy(ret_text, size, db_column(q, column)); /* for people: cut is fine */
        (void)sqlite3_reset(q);                               /* one row is enough */
        rc = 0;
    }
    return rc;
}

/* The instance of a row with columns INSTANCE_*. */
static int read_instance(struct reader *r, sqlite3_stmt *row, struct reader_instance *ret_i,
                         struct err *err)
{
    struct reader_instance i = {
        .seq = db_column_i64(row, INSTANCE_SEQ),
        .version = db_column_i64(row, INSTANCE_VERSION),
        .n_transitions = db_column_i64(row, INSTANCE_N_TRANSITIONS),
        .created_unix_ms = db_column_i64(row, INSTANCE_CREATED),
        .updated_unix_ms = db_column_i64(row, INSTANCE_UPDATED),
        .ended_unix_ms = db_column_i64(row, INSTANCE_ENDED),
    };
    int rc;

    if (!str_copy(i.id, sizeof(i.id), db_column(row, INSTANCE_ID)) ||
        !str_copy(i.machine, sizeof(i.machine), db_column(row, INSTANCE_MACHINE)) ||
        !str_copy(i.state, sizeof(i.state), db_column(row, INSTANCE_STATE)) ||
        !str_copy(i.head, sizeof(i.head), db_column(row, INSTANCE_HEAD)))
        return err_set(err, ERR_CORRUPT, "%s: instance %.60s: a column is too long", r->path,
                       db_column(row, INSTANCE_ID));
    rc = load_instance(&r->db, &r->tables, row, &i.inst, err);
    i.is_loaded = rc == 0;
    if (rc == ERR_NEWER || rc == ERR_CORRUPT) /* shown with what can be read; the audit says more */
        rc = 0;
    if (i.is_loaded)
        (void)str_copy(i.status, sizeof(i.status), fsm_status(&i.inst)); /* fits */
    else if (rc == 0 && i.ended_unix_ms != 0)
        rc = get_text(r, SQL_LEDGER_OF, i.id, LEDGER_STATUS, i.status, sizeof(i.status), err);
    if (rc == 0)
        rc = get_text(r, SQL_MESSAGE_ID, i.id, 0, i.message_id, sizeof(i.message_id), err);
    if (rc < 0) {
        reader_instance_done(&i);
        return rc;
    }
    *ret_i = i;
    return 0;
}

static const char *or_empty(const char *s)
{
    return s != NULL ? s : "";
}

static int list(struct reader *r, const struct reader_filter *f,
                int (*each)(void *ctx, const struct reader_instance *i, struct err *err), void *ctx,
                struct err *err)
{
    int64_t n = 0;
    sqlite3_stmt *q = NULL;
    int rc = db_query(&r->db, SQL_LIST,
                      DB_ARGS(DB_I(f->before_seq > 0 ? f->before_seq : INT64_MAX),
                              DB_T(or_empty(f->machine)), DB_T(or_empty(f->state)),
                              DB_I((int64_t)f->which), DB_I(f->since_unix_ms)),
                      &q, err);

    while (rc == 0 && (f->limit <= 0 || n < f->limit) &&
           (rc = db_step(&r->db, q, "list instances", err)) == 1) {
        struct reader_instance i = {0};

        rc = read_instance(r, q, &i, err);
        if (rc < 0)
            break;
        if (f->status == NULL || str_eq(f->status, i.status)) {
            n++;
            rc = each(ctx, &i, err);
        }
        reader_instance_done(&i);
    }
    (void)sqlite3_reset(q); /* repeats what was told */
    return rc;
}

int reader_list(struct reader *r, const struct reader_filter *f,
                int (*each)(void *ctx, const struct reader_instance *i, struct err *err), void *ctx,
                struct err *err)
{
    int rc = reader_begin(r, err);

    return rc < 0 ? rc : reader_end(r, list(r, f, each, ctx, err), err);
}

static int get(struct reader *r, const char *prefix, struct reader_instance *ret_instance,
               struct err *err)
{
    struct reader_instance i = {0};
    sqlite3_stmt *q = NULL;
    int rc = db_query(&r->db, SQL_BY_PREFIX, DB_ARGS(DB_T(prefix)), &q, err);

    if (rc == 0)
        rc = db_step(&r->db, q, "look for instance", err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_set(err, ERR_NOT_FOUND, "no job \"%s\" in %s", prefix, r->path);
    rc = read_instance(r, q, &i, err);
    if (rc == 0 && !str_eq(i.id, prefix)) {
        rc = db_step(&r->db, q, "look for instance", err);
        if (rc == 1)
            rc = err_set(err, ERR_INVALID, "\"%s\" begins more than one job's id: %s, %s", prefix,
                         i.id, db_column(q, INSTANCE_ID));
        if (rc < 0)
            reader_instance_done(&i);
    }
    (void)sqlite3_reset(q); /* repeats what was told */
    if (rc == 0)
        *ret_instance = i;
    return rc;
}

int reader_get(struct reader *r, const char *prefix, struct reader_instance *ret_instance,
               struct err *err)
{
    int rc = reader_begin(r, err);

    return rc < 0 ? rc : reader_end(r, get(r, prefix, ret_instance, err), err);
}

int reader_counts(struct reader *r, struct journal_counts *ret_counts, struct err *err)
{
    struct journal_counts c = {0};
    char wal[PATH_MAX + 8];
    struct stat st;
    int rc = reader_begin(r, err);

    if (rc == 0)
        rc = reader_end(r, load_counts(&r->db, &c, err), err);
    if (rc < 0)
        return rc;
    (void)snprintf(wal, sizeof(wal), "%s-wal", r->path); /* fits */
    c.size_bytes = (stat(r->path, &st) == 0 ? (int64_t)st.st_size : 0) +
                   (stat(wal, &st) == 0 ? (int64_t)st.st_size : 0);
    *ret_counts = c;
    return 0;
}
