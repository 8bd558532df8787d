/* Numbered migrations. Rules: a migration that has been released is never changed; tables and
 * columns are only added (the previous version must go on working until an update is committed, and
 * after a roll back); a state or effect that is renamed gets a row in `alias`, in a migration of
 * its own; `min_schema` is raised only by a migration that an older program would misread. */
#include "journal/migrate_internal.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/str.h"

/* Columns are named with their units; names are stored, never numbers of enums. */
static const char schema_1[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "INSERT INTO meta VALUES('min_schema', '1'), ('effect_floor', '0');"

    "CREATE TABLE machine(name TEXT PRIMARY KEY, version INTEGER NOT NULL, child TEXT NOT NULL) "
    "STRICT;"
    "CREATE TABLE alias(machine TEXT NOT NULL, what TEXT NOT NULL, old TEXT NOT NULL, "
    "new TEXT NOT NULL, PRIMARY KEY(machine, what, old)) STRICT;"
    "CREATE TABLE fact(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;"

    /* AUTOINCREMENT: how many there ever were is part of the audit. */
    "CREATE TABLE instance(seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, "
    "machine TEXT NOT NULL, version INTEGER NOT NULL, state TEXT NOT NULL, "
    "n_transitions INTEGER NOT NULL, head TEXT NOT NULL, created_unix_ms INTEGER NOT NULL, "
    "updated_unix_ms INTEGER NOT NULL, ended_unix_ms INTEGER, deadline_boot_id TEXT NOT NULL, "
    "deadline_boottime_ms INTEGER NOT NULL, deadline_after_ms INTEGER NOT NULL) STRICT;"
    "CREATE INDEX instance_open ON instance(created_unix_ms, seq) WHERE ended_unix_ms IS NULL;"
    "CREATE INDEX instance_ended ON instance(ended_unix_ms, seq) WHERE ended_unix_ms IS NOT NULL;"

    "CREATE TABLE transition(seq INTEGER PRIMARY KEY, instance_id TEXT NOT NULL "
    "REFERENCES instance(id) ON DELETE CASCADE, n INTEGER NOT NULL, at_unix_ms INTEGER NOT NULL, "
    "event TEXT NOT NULL, from_state TEXT NOT NULL, to_state TEXT NOT NULL, detail TEXT NOT NULL, "
    "state_sha256 TEXT NOT NULL, prev TEXT NOT NULL, hash TEXT NOT NULL, "
    "UNIQUE(instance_id, n)) STRICT;"

    "CREATE TABLE effect(id INTEGER PRIMARY KEY, instance_id TEXT NOT NULL "
    "REFERENCES instance(id) ON DELETE CASCADE, kind TEXT NOT NULL, arg INTEGER NOT NULL, "
    "arg2 INTEGER NOT NULL, opened_unix_ms INTEGER NOT NULL, closed_unix_ms INTEGER) STRICT;"
    "CREATE INDEX effect_instance ON effect(instance_id);"
    "CREATE INDEX effect_open ON effect(instance_id, id) WHERE closed_unix_ms IS NULL;"

    /* Deferred: a message is written before the instance that it makes. */
    "CREATE TABLE inbox(message_id TEXT PRIMARY KEY, instance_id TEXT NOT NULL UNIQUE "
    "REFERENCES instance(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED, "
    "channel TEXT NOT NULL, topic TEXT NOT NULL, destination TEXT NOT NULL, "
    "created_date TEXT NOT NULL, received_unix_ms INTEGER NOT NULL, payload BLOB NOT NULL, "
    "payload_sha256 TEXT NOT NULL) STRICT;"

    "CREATE TABLE outbox(effect_id INTEGER PRIMARY KEY REFERENCES effect(id) ON DELETE CASCADE, "
    "instance_id TEXT NOT NULL REFERENCES instance(id) ON DELETE CASCADE, "
    "reply_id TEXT NOT NULL UNIQUE, message_id TEXT NOT NULL, kind TEXT NOT NULL, "
    "payload BLOB NOT NULL, created_unix_ms INTEGER NOT NULL, ended_unix_ms INTEGER, "
    "outcome TEXT NOT NULL DEFAULT '', text TEXT NOT NULL DEFAULT '') STRICT;"
    "CREATE INDEX outbox_instance ON outbox(instance_id);"
    "CREATE INDEX outbox_owed ON outbox(instance_id, effect_id) WHERE ended_unix_ms IS NULL;"

    "CREATE TABLE ledger(n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, machine TEXT NOT NULL, "
    "message_id TEXT NOT NULL, state TEXT NOT NULL, status TEXT NOT NULL, "
    "created_unix_ms INTEGER NOT NULL, ended_unix_ms INTEGER NOT NULL, "
    "n_transitions INTEGER NOT NULL, head TEXT NOT NULL, prev TEXT NOT NULL, "
    "hash TEXT NOT NULL) STRICT;"
    "CREATE INDEX ledger_message ON ledger(message_id) WHERE message_id <> '';"
    "CREATE TABLE checkpoint(n INTEGER PRIMARY KEY, hash TEXT NOT NULL, "
    "at_unix_ms INTEGER NOT NULL) STRICT;";

static const char schema_2[] =
    "CREATE TABLE attachment(instance_id TEXT NOT NULL "
    "REFERENCES instance(id) ON DELETE CASCADE, name TEXT NOT NULL, content BLOB NOT NULL, "
    "PRIMARY KEY(instance_id, name)) STRICT;";

/* Ids whose rows in the ledger are gone: remember.c. */
static const char schema_3[] =
    "CREATE TABLE remembered(digest BLOB PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID;";

/* Version n is made from n - 1 by migrations[n - 1]. */
static const char *const migrations[] = {schema_1, schema_2, schema_3};

#define SCHEMA_VERSION ((int64_t)ARRAY_LEN(migrations))

static int number(struct db *db, const char *sql, int64_t *ret_value, struct err *err)
{
    char text[32];
    int r = db_text(db, sql, text, sizeof(text), err);

    if (r < 0)
        return r;
    if (!str_to_i64(text, INT64_MIN, INT64_MAX, ret_value))
        return err_set(err, ERR_CORRUPT, "%s: \"%s\" gives \"%s\"", db->name, sql, text);
    return 0;
}

static int check_version(struct db *db, struct err *err)
{
    int64_t version = 0, min = 0;
    int r = number(db, "PRAGMA user_version", &version, err);

    if (r < 0 || version <= SCHEMA_VERSION)
        return r;
    r = number(db, "SELECT value FROM meta WHERE key = 'min_schema'", &min, err);
    if (r < 0 || min <= SCHEMA_VERSION)
        return r;
    return err_set(err, ERR_NEWER,
                   "%s: its schema is %" PRId64 ", made by a later version of ssmd; this one knows "
                   "%" PRId64 ". Start the later version, or move the file away",
                   db->name, version, SCHEMA_VERSION);
}

int migrate_examine(struct db *db, enum journal_file *ret_file, struct err *err)
{
    int64_t application_id = 0, n_objects = 0;
    int r = number(db, "PRAGMA application_id", &application_id, err);

    if (r == 0)
        r = number(db, "SELECT count(*) FROM sqlite_schema", &n_objects, err);
    if (r < 0)
        return r;
    if (application_id == 0 && n_objects == 0) {
        *ret_file = JOURNAL_FILE_EMPTY;
        return 0;
    }
    if (application_id != JOURNAL_APPLICATION_ID)
        return err_set(err, ERR_CORRUPT,
                       "%s: a database, but not a journal of ssmd; nothing in it was changed. Move "
                       "it away to start with an empty journal",
                       db->name);
    r = check_version(db, err);
    if (r == 0)
        *ret_file = JOURNAL_FILE_OURS;
    return r;
}

static int commit_or_roll_back(struct db *db, int r, struct err *err)
{
    if (r == 0)
        r = db_exec(db, "COMMIT", err);
    if (r < 0)
        /* what failed first is what is told */
        (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    return r;
}

static int run_one(struct db *db, int64_t version, struct err *err)
{
    char pragmas[96];
    int r = db_exec(db, "BEGIN IMMEDIATE", err);

    if (r < 0)
        return r;
    r = db_exec(db, migrations[version - 1], err);
    if (r == 0) {
        (void)snprintf(pragmas, sizeof(pragmas), /* fits */
                       "PRAGMA application_id = %d; PRAGMA user_version = %" PRId64,
                       JOURNAL_APPLICATION_ID, version);
        r = db_exec(db, pragmas, err);
    }
    r = commit_or_roll_back(db, r, err);
    return r < 0 ? err_wrap(err, "migration %" PRId64, version) : 0;
}

int migrate_run(struct db *db, struct tables *t, struct err *err)
{
    int64_t version = 0;
    int r = number(db, "PRAGMA user_version", &version, err);

    for (version++; r == 0 && version <= SCHEMA_VERSION; version++)
        r = run_one(db, version, err);
    if (r == 0)
        r = db_exec(db, "BEGIN IMMEDIATE", err);
    if (r < 0)
        return r;
    return commit_or_roll_back(db, tables_migrate(t, db, err), err);
}
