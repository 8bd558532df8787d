/* A thin layer over one SQLite connection: statements prepared once and kept, arguments with their
 * types, SQLite's errors in our words. Used by the writer and by the reading half. One thread. */
#ifndef SSMD_JOURNAL_DB_INTERNAL_H
#define SSMD_JOURNAL_DB_INTERNAL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* One statement of a table of them: what it does, for error texts, and its SQL. */
struct db_sql {
    const char *what;
    const char *sql;
};

struct db {
    sqlite3 *handle;          /* owned */
    const struct db_sql *sql; /* borrowed: static */
    sqlite3_stmt **kept;      /* owned; one place per entry of `sql`, NULL until it is used */
    size_t n_sql;
    char name[128]; /* the file, for error texts */
};

/* `flags` are SQLite's. Errors: ERR_IO, ERR_FULL, ERR_CORRUPT, ERR_BUSY, ERR_NOMEM. On success end
 * it with db_close(), which accepts a zeroed struct too. */
int db_open(struct db *db, const char *path, int flags, const char *vfs, const struct db_sql *sql,
            size_t n_sql, struct err *err) MUST_CHECK;
void db_close(struct db *db);

/* The class of the last failure on this connection (header of journal.h), told as "<fmt>: why". */
int db_fail(const struct db *db, struct err *err, const char *fmt, ...) PRINTF_LIKE(3, 4);

enum db_kind { DB_NULL, DB_I64, DB_TEXT, DB_BLOB };
struct db_arg {
    enum db_kind kind;
    int64_t number;
    const char *bytes; /* borrowed until the statement is reset */
    size_t len;
};
#define DB_I(v) ((struct db_arg){.kind = DB_I64, .number = (v)})
#define DB_T(s) ((struct db_arg){.kind = DB_TEXT, .bytes = (s)})
#define DB_B(p, n) ((struct db_arg){.kind = DB_BLOB, .bytes = (p), .len = (n)})
#define DB_N ((struct db_arg){.kind = DB_NULL})
#define DB_ARGS(...)                                                                               \
    (const struct db_arg[]){__VA_ARGS__},                                                          \
        sizeof((const struct db_arg[]){__VA_ARGS__}) / sizeof(struct db_arg)
#define DB_NO_ARGS NULL, 0

/* Bind a kept statement of the table; the caller then steps it with db_step() until that returns
 * 0 or less, or gives it back with sqlite3_reset(). */
int db_query(struct db *db, int which, const struct db_arg *args, size_t n_args,
             sqlite3_stmt **ret_q, struct err *err) MUST_CHECK;
/* The same for a statement that the caller prepared. */
int db_bind(struct db *db, sqlite3_stmt *q, const char *what, const struct db_arg *args,
            size_t n_args, struct err *err) MUST_CHECK;
/* 1: a row is there. 0: no more (reset). Negative: an error (reset). */
int db_step(struct db *db, sqlite3_stmt *q, const char *what, struct err *err) MUST_CHECK;
/* One row is enough: its values were read, with the result r. A value that there was no memory for
 * reads as an empty one; that is noticed here (ERR_NOMEM), whatever r says. Else r. */
int db_end(struct db *db, sqlite3_stmt *q, int r, const char *what, struct err *err) MUST_CHECK;
/* A kept statement that returns no row. The number of rows changed in *ret_changed (may be NULL).
 */
int db_run(struct db *db, int which, const struct db_arg *args, size_t n_args, int64_t *ret_changed,
           struct err *err) MUST_CHECK;
/* A kept statement whose first column of its first row is a number; no row or NULL: `otherwise`. */
int db_number(struct db *db, int which, const struct db_arg *args, size_t n_args, int64_t otherwise,
              int64_t *ret_value, struct err *err) MUST_CHECK;

int db_prepare(struct db *db, const char *sql, sqlite3_stmt **ret_q, struct err *err) MUST_CHECK;
/* SQL without arguments or rows; several statements are allowed. */
int db_exec(struct db *db, const char *sql, struct err *err) MUST_CHECK;
/* The first column of the first row of any SQL as text, "" when there is none. */
int db_text(struct db *db, const char *sql, char *ret_text, size_t size, struct err *err)
    MUST_CHECK;

/* A text column, never NULL ("" for SQL's NULL). Valid until the statement moves on. */
const char *db_column(sqlite3_stmt *q, int column);

static inline int64_t db_column_i64(sqlite3_stmt *q, int column)
{
    return (int64_t)sqlite3_column_int64(q, column);
}

static inline void sqlite3_finalize_cleanup(sqlite3_stmt **q)
{
    (void)sqlite3_finalize(*q); /* repeats the error of the last step, which was told */
}

#endif
