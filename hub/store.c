/* Opening the store, its tables, transactions, and statements that are prepared once. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "hub/store_internal.h"

#define APPLICATION_ID 0x53534d48 /* "SSMH" */

static const char tables_1[] =
    "CREATE TABLE document(name TEXT, version INTEGER, version_name TEXT, format TEXT, type TEXT,"
    "  content TEXT, json TEXT, sha256 TEXT, created_ms INTEGER, PRIMARY KEY (name, version));"
    "CREATE TABLE document_default(name TEXT PRIMARY KEY, version INTEGER);"
    "CREATE TABLE instance(id TEXT PRIMARY KEY, info TEXT, registered_ms INTEGER,"
    "  last_ping_ms INTEGER);"
    "CREATE TABLE command(seq INTEGER PRIMARY KEY, id TEXT UNIQUE, document_name TEXT,"
    "  document_version TEXT, comment TEXT, parameters TEXT, echo TEXT, s3_bucket TEXT,"
    "  s3_prefix TEXT, s3_region TEXT, cloud_watch TEXT, requested_ms INTEGER, timeout_s INTEGER,"
    "  expires_ms INTEGER, steps TEXT, is_cancelled INTEGER);"
    "CREATE TABLE invocation(seq INTEGER PRIMARY KEY, command_id TEXT, instance_id TEXT,"
    "  message_id TEXT UNIQUE, trace TEXT, status TEXT, deliver_by_ms INTEGER, expires_ms INTEGER,"
    "  ended_ms INTEGER, UNIQUE (command_id, instance_id));"
    "CREATE INDEX invocation_open ON invocation(expires_ms) WHERE ended_ms = 0;"
    "CREATE TABLE step(seq INTEGER PRIMARY KEY, command_id TEXT, instance_id TEXT, name TEXT,"
    "  plugin TEXT, status TEXT, code INTEGER, output TEXT, standard_output TEXT,"
    "  standard_error TEXT, start_at TEXT, end_at TEXT, s3_bucket TEXT, s3_prefix TEXT,"
    "  step_name TEXT, UNIQUE (command_id, instance_id, name));"
    "CREATE TABLE message(seq INTEGER PRIMARY KEY, id TEXT, destination TEXT, topic TEXT,"
    "  created TEXT, payload TEXT, command_id TEXT, state TEXT, visible_ms INTEGER,"
    "  deliver_by_ms INTEGER, n_deliveries INTEGER, first_delivery_ms INTEGER);"
    "CREATE INDEX message_id ON message(id);"
    "CREATE INDEX message_queued ON message(destination, seq) WHERE state = 'queued';"
    "CREATE TABLE event(seq INTEGER PRIMARY KEY, at_ms INTEGER, message_id TEXT, kind TEXT,"
    "  reply_id TEXT, status TEXT, verdict TEXT, payload TEXT, is_terminal INTEGER,"
    "  is_repeat INTEGER);"
    "CREATE INDEX event_message ON event(message_id, seq);";

/* Managed nodes. Of an activation's code only the hash is kept. */
static const char tables_2[] =
    "CREATE TABLE activation(seq INTEGER PRIMARY KEY, id TEXT UNIQUE, code_sha256 TEXT,"
    "  description TEXT, name TEXT, iam_role TEXT, max_nodes INTEGER, n_nodes INTEGER,"
    "  expires_ms INTEGER, created_ms INTEGER, tags TEXT);"
    "CREATE TABLE node(id TEXT PRIMARY KEY, public_key TEXT, fingerprint TEXT,"
    "  activation_id TEXT, name TEXT, iam_role TEXT, registered_ms INTEGER,"
    "  is_rotation_wanted INTEGER, n_tokens INTEGER);"
    "CREATE TABLE role_key(access_key TEXT PRIMARY KEY, secret TEXT, token TEXT, node_id TEXT,"
    "  expires_ms INTEGER);";

/* Of a SecureString the value is sealed (sealing_key.h). */
static const char tables_3[] =
    "CREATE TABLE parameter(name TEXT, version INTEGER, type TEXT, value TEXT, description TEXT,"
    "  pattern TEXT, key_id TEXT, data_type TEXT, tier TEXT, modified_ms INTEGER,"
    "  PRIMARY KEY (name, version));"
    "CREATE TABLE parameter_label(name TEXT, label TEXT, version INTEGER,"
    "  PRIMARY KEY (name, label));";

/* What agents log. */
static const char tables_4[] =
    "CREATE TABLE log_group(name TEXT PRIMARY KEY, created_ms INTEGER, kms_key_id TEXT);"
    "CREATE TABLE log_stream(seq INTEGER PRIMARY KEY, log_group TEXT, name TEXT,"
    "  created_ms INTEGER, UNIQUE (log_group, name));"
    "CREATE TABLE log_event(seq INTEGER PRIMARY KEY, log_stream INTEGER, at_ms INTEGER,"
    "  ingested_ms INTEGER, message TEXT);"
    "CREATE INDEX log_event_stream ON log_event(log_stream, seq);";

/* Version n of the store is made from n - 1 by tables[n - 1]. What was released is never changed.
 */
static const char *const tables[] = {tables_1, tables_2, tables_3, tables_4};

#define STORE_VERSION ((int64_t)ARRAY_LEN(tables))

static const char *const sql[] = {
#define QUERY_SQL_(name, text) [name] = text,
    QUERIES(QUERY_SQL_)
#undef QUERY_SQL_
};

static int sql_error(const struct store *s, const char *doing, struct err *err)
{
    int code = sqlite3_errcode(s->db) & 0xff;

    if (code == SQLITE_FULL)
        return err_set(err, ERR_FULL, "store: %s: the disk is full", doing);
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
        return err_set(err, ERR_CORRUPT, "store: %s: %s", doing, sqlite3_errmsg(s->db));
    return err_set(err, ERR_IO, "store: %s: %s", doing, sqlite3_errmsg(s->db));
}

static int pragma_number(struct store *s, const char *text, int64_t *ret_value, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int r = 0;

    if (sqlite3_prepare_v2(s->db, text, -1, &stmt, NULL) != SQLITE_OK ||
        sqlite3_step(stmt) != SQLITE_ROW)
        r = sql_error(s, text, err);
    else
        *ret_value = sqlite3_column_int64(stmt, 0);
    (void)sqlite3_finalize(stmt); /* repeats the error that step reported */
    return r;
}

static int migrate(struct store *s, int64_t version, struct err *err)
{
    char numbers[128];

    (void)snprintf(numbers, sizeof(numbers), "PRAGMA application_id=%d; PRAGMA user_version=%d;",
                   APPLICATION_ID, (int)version); /* fits */
    if (sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(s->db, tables[version - 1], NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(s->db, numbers, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        return sql_error(s, "create tables", err);
    return 0;
}

static int set_up(struct store *s, struct err *err)
{
    int64_t application_id = 0, version = 0, n_tables = 0;
    int r;

    if (sqlite3_exec(s->db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;", NULL, NULL,
                     NULL) != SQLITE_OK)
        return sql_error(s, "open", err);
    r = pragma_number(s, "PRAGMA application_id", &application_id, err);
    if (r == 0)
        r = pragma_number(s, "PRAGMA user_version", &version, err);
    if (r == 0)
        r = pragma_number(s, "SELECT count(*) FROM sqlite_schema", &n_tables, err);
    if (r < 0)
        return r;
    if (n_tables > 0 && application_id != APPLICATION_ID)
        return err_set(err, ERR_CORRUPT, "store: this database was not written by ssmhub");
    if (version > STORE_VERSION)
        return err_set(err, ERR_NEWER,
                       "store: written by a later ssmhub (version %lld, this one knows %d)",
                       (long long)version, (int)STORE_VERSION);
    for (r = 0; r == 0 && version < STORE_VERSION; version++)
        r = migrate(s, version + 1, err);
    return r;
}

int store_open(const char *path, struct store **ret_store, struct err *err)
{
    AUTO(store_close) struct store *s = calloc(1, sizeof(*s));
    int r;

    if (s == NULL)
        return err_set(err, ERR_NOMEM, "store: out of memory");
    if (sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) !=
        SQLITE_OK) {
        r = s->db != NULL ? sql_error(s, "open", err)
                          : err_set(err, ERR_NOMEM, "store: out of memory");
        (void)err_wrap(err, "%s", path); /* r has the code */
        return r;
    }
    (void)sqlite3_extended_result_codes(s->db, 0);
    (void)sqlite3_busy_timeout(s->db, 5000); /* a second hub on this directory, or a backup */
    r = set_up(s, err);
    if (r < 0)
        return err_wrap(err, "%s", path);
    *ret_store = TAKE(s);
    return 0;
}

void store_close(struct store *s)
{
    size_t i;

    if (s == NULL)
        return;
    for (i = 0; i < Q_END_; i++)
        (void)sqlite3_finalize(s->stmt[i]);
    (void)sqlite3_close(s->db); /* every statement was finalised just above */
    free(s);
}

/* The statement, bound and ready to step; NULL when it cannot be prepared. */
static sqlite3_stmt *prepare(struct store *s, enum query q, const struct sql_arg *args,
                             size_t n_args)
{
    sqlite3_stmt *stmt = s->stmt[q];
    size_t i;

    if (stmt == NULL) {
        if (sqlite3_prepare_v3(s->db, sql[q], -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL) !=
            SQLITE_OK)
            return NULL;
        s->stmt[q] = stmt;
    }
    (void)sqlite3_reset(stmt); /* repeats the error of the last step, which was reported then */
    for (i = 0; i < n_args; i++) {
        int r = args[i].is_text
                    ? sqlite3_bind_text(stmt, (int)i + 1, args[i].text, -1, SQLITE_TRANSIENT)
                    : sqlite3_bind_int64(stmt, (int)i + 1, args[i].num);

        if (r != SQLITE_OK)
            return NULL;
    }
    return stmt;
}

int store_run(struct store *s, enum query q, const struct sql_arg *args, size_t n_args,
              struct err *err)
{
    sqlite3_stmt *stmt = prepare(s, q, args, n_args);
    int r = 0;

    if (stmt == NULL || sqlite3_step(stmt) != SQLITE_DONE)
        r = sql_error(s, sql[q], err);
    if (stmt != NULL)
        (void)sqlite3_reset(stmt); /* its error was told */
    return r;
}

void store_query(struct store *s, enum query q, const struct sql_arg *args, size_t n_args,
                 struct cursor *ret_cursor)
{
    *ret_cursor = (struct cursor){.stmt = prepare(s, q, args, n_args), .store = s};
}

int store_step(struct cursor *c, struct err *err)
{
    int r;

    if (c->stmt == NULL)
        return sql_error(c->store, "prepare", err);
    r = sqlite3_step(c->stmt);
    if (r == SQLITE_ROW)
        return 1;
    return r == SQLITE_DONE ? 0 : sql_error(c->store, sqlite3_sql(c->stmt), err);
}

void cursor_done(struct cursor *c)
{
    if (c->stmt != NULL)
        (void)sqlite3_reset(c->stmt); /* its error was told by store_step */
    c->stmt = NULL;
}

const char *cursor_text(const struct cursor *c, int column)
{
    const unsigned char *text = sqlite3_column_text(c->stmt, column);

    return text != NULL ? (const char *)text : "";
}

int64_t cursor_num(const struct cursor *c, int column)
{
    return sqlite3_column_int64(c->stmt, column);
}

int store_begin(struct store *s, struct err *err)
{
    return store_run(s, Q_BEGIN, NO_ARGS, err);
}

int store_commit(struct store *s, struct err *err)
{
    return store_run(s, Q_COMMIT, NO_ARGS, err);
}

void store_rollback(struct store *s)
{
    struct err err;

    if (sqlite3_get_autocommit(s->db)) /* some errors roll back by themselves */
        return;
    if (store_run(s, Q_ROLLBACK, NO_ARGS, &err) < 0) {
        /* the next BEGIN will fail and say so */
    }
}
