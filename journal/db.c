/* One SQLite connection and the statements kept for it. */
#include "journal/db_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static int code_of(int sqlite_code, int sys_errno)
{
    switch (sqlite_code & 0xff) {
    case SQLITE_FULL:
        return ERR_FULL;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return ERR_CORRUPT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_BUSY;
    case SQLITE_NOMEM:
        return ERR_NOMEM;
    case SQLITE_CONSTRAINT:
        return (sqlite_code == SQLITE_CONSTRAINT_UNIQUE ||
                sqlite_code == SQLITE_CONSTRAINT_PRIMARYKEY ||
                sqlite_code == SQLITE_CONSTRAINT_ROWID)
                   ? ERR_EXISTS
                   : ERR_STATE;
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
        return ERR_STATE;
    case SQLITE_TOOBIG:
        return ERR_LIMIT;
    default:
        return sys_errno == ENOSPC || sys_errno == EDQUOT ? ERR_FULL : ERR_IO;
    }
}

int db_fail(const struct db *db, struct err *err, const char *fmt, ...)
{
    int code = sqlite3_extended_errcode(db->handle);
    int sys_errno = (code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN
                        ? sqlite3_system_errno(db->handle)
                        : 0;
    char what[200];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof(what), fmt, ap); /* cut is fine */
    va_end(ap);
    code = err_set(err, code_of(code, sys_errno), "%s: %s: %s%s%s (SQLite code %d)", db->name, what,
                   sqlite3_errmsg(db->handle), sys_errno != 0 ? ": " : "",
                   sys_errno != 0 ? strerror(sys_errno) : "", code);
    if (err != NULL)
        err->sys_errno = sys_errno;
    return code;
}

int db_open(struct db *db, const char *path, int flags, const char *vfs, const struct db_sql *sql,
            size_t n_sql, struct err *err)
{
    char safe[PATH_MAX];
    int r;

    /* SQLite takes a name that begins with "file:" for a URI. */
    if (snprintf(safe, sizeof(safe), "%s%s", path[0] == '/' ? "" : "./", path) >= (int)sizeof(safe))
        return err_set(err, ERR_LIMIT, "path %.100s...: too long", path);
    *db = (struct db){.sql = sql, .n_sql = n_sql};
    (void)str_copy(db->name, sizeof(db->name), path); /* cut is fine */
    db->kept = calloc(n_sql > 0 ? n_sql : 1, sizeof(*db->kept));
    if (db->kept == NULL)
        return err_set(err, ERR_NOMEM, "%s: out of memory", db->name);
    r = sqlite3_open_v2(safe, &db->handle, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                        vfs);
    if (r == SQLITE_OK)
        return 0;
    r = db->handle != NULL ? db_fail(db, err, "open")
                           : err_set(err, ERR_NOMEM, "%s: out of memory", db->name);
    db_close(db);
    return r;
}

void db_close(struct db *db)
{
    size_t i;

    for (i = 0; db->kept != NULL && i < db->n_sql; i++)
        (void)sqlite3_finalize(db->kept[i]); /* repeats what was told */
    free(db->kept);
    (void)sqlite3_close(db->handle); /* nothing is left open: it cannot be busy */
    *db = (struct db){0};
}

int db_prepare(struct db *db, const char *sql, sqlite3_stmt **ret_q, struct err *err)
{
    if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_q, NULL) !=
        SQLITE_OK)
        return db_fail(db, err, "prepare \"%.60s\"", sql);
    return 0;
}

int db_bind(struct db *db, sqlite3_stmt *q, const char *what, const struct db_arg *args,
            size_t n_args, struct err *err)
{
    size_t i;

    for (i = 0; i < n_args; i++) {
        const struct db_arg *a = &args[i];
        int at = (int)i + 1, r = SQLITE_OK;

        switch (a->kind) {
        case DB_NULL:
            r = sqlite3_bind_null(q, at);
            break;
        case DB_I64:
            r = sqlite3_bind_int64(q, at, a->number);
            break;
        case DB_TEXT:
            r = sqlite3_bind_text(q, at, a->bytes, -1, SQLITE_STATIC);
            break;
        case DB_BLOB:
            r = sqlite3_bind_blob64(q, at, a->len > 0 ? a->bytes : "", a->len, SQLITE_STATIC);
            break;
        }
        if (r != SQLITE_OK)
            return db_fail(db, err, "%s", what);
    }
    return 0;
}

int db_query(struct db *db, int which, const struct db_arg *args, size_t n_args,
             sqlite3_stmt **ret_q, struct err *err)
{
    sqlite3_stmt **q = &db->kept[which];
    int r;

    if (*q == NULL) {
        r = db_prepare(db, db->sql[which].sql, q, err);
        if (r < 0)
            return r;
    }
    (void)sqlite3_reset(*q); /* repeats what was told */
    r = db_bind(db, *q, db->sql[which].what, args, n_args, err);
    if (r == 0)
        *ret_q = *q;
    return r;
}

int db_step(struct db *db, sqlite3_stmt *q, const char *what, struct err *err)
{
    int r = sqlite3_step(q);

    if (r == SQLITE_ROW)
        return 1;
    r = r == SQLITE_DONE ? 0 : db_fail(db, err, "%s", what);
    (void)sqlite3_reset(q); /* repeats what was told */
    return r;
}

int db_end(struct db *db, sqlite3_stmt *q, int r, const char *what, struct err *err)
{
    if (sqlite3_reset(q) != SQLITE_OK)
        return db_fail(db, err, "%s", what);
    return r;
}

int db_run(struct db *db, int which, const struct db_arg *args, size_t n_args, int64_t *ret_changed,
           struct err *err)
{
    sqlite3_stmt *q = NULL;
    int r = db_query(db, which, args, n_args, &q, err);

    if (r == 0)
        r = db_step(db, q, db->sql[which].what, err);
    if (r == 1) {
        (void)sqlite3_reset(q); /* a row that nobody asked for */
        r = 0;
    }
    if (r == 0 && ret_changed != NULL)
        *ret_changed = sqlite3_changes64(db->handle);
    return r;
}

int db_number(struct db *db, int which, const struct db_arg *args, size_t n_args, int64_t otherwise,
              int64_t *ret_value, struct err *err)
{
    sqlite3_stmt *q = NULL;
    int r = db_query(db, which, args, n_args, &q, err);

    if (r == 0)
        r = db_step(db, q, db->sql[which].what, err);
    if (r < 0)
        return r;
    *ret_value =
        r == 1 && sqlite3_column_type(q, 0) == SQLITE_INTEGER ? db_column_i64(q, 0) : otherwise;
    (void)sqlite3_reset(q); /* one row is enough */
    return 0;
}

int db_exec(struct db *db, const char *sql, struct err *err)
{
    if (sqlite3_exec(db->handle, sql, NULL, NULL, NULL) != SQLITE_OK)
        return db_fail(db, err, "\"%.60s\"", sql);
    return 0;
}

int db_text(struct db *db, const char *sql, char *ret_text, size_t size, struct err *err)
{
    AUTO(sqlite3_finalize) sqlite3_stmt *q = NULL;
    int r = db_prepare(db, sql, &q, err);

    if (r == 0)
        r = db_step(db, q, sql, err);
    if (r < 0)
        return r;
    r = 0;
    if (!str_copy(ret_text, size, sqlite3_data_count(q) > 0 ? db_column(q, 0) : ""))
        r = err_set(err, ERR_LIMIT, "%s: \"%.60s\" gives more than %zu bytes", db->name, sql,
                    size - 1);
    return db_end(db, q, r, sql, err);
}

const char *db_column(sqlite3_stmt *q, int column)
{
    const char *s = (const char *)sqlite3_column_text(q, column);

    return s != NULL ? s : "";
}
