/* What somebody, or a defect, did to the journal while ssmd was away. For suites that link SQLite.
 */
#ifndef SSMD_TESTS_ENGINE_SQL_H
#define SSMD_TESTS_ENGINE_SQL_H

#include <check.h>
#include <sqlite3.h>

#include "engine_world.h"

static inline void engine_change_journal(const struct engine_world *w, const char *sql)
{
    sqlite3 *db;

    ck_assert_int_eq(sqlite3_open(w->paths.journal, &db), SQLITE_OK);
    ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

#endif
