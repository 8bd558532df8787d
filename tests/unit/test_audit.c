/* Every change to the history is found, and the first bad row is named. Changes are made at random,
 * with a seed that is printed: SSMD_SEED repeats a run, SSMD_ROUNDS makes it longer. */
#include "journal_lib.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/sha256.h"
#include "base/str.h"
#include "journal/audit.h"
#include "tests/lib/count_vfs.h"

/* ---- a journal to tamper with ---- */

/* Three finished jobs here, two of which only the ledger is left, two open ones. */
static void fill(struct world *w)
{
    struct journal_retention r = {.old_upto = INT64_MAX};
    struct fsm_instance inst;

    count_vfs_register();
    count_vfs_reset();
    count_vfs.no_sync = true;
    world_init_vfs(w, COUNT_VFS);
    job_run(w, "gone-1", 1);
    job_run(w, "gone-2", 2);
    OK(w->j->ops->prune(w->j, &r, 0, w->now + 1000, NULL, NULL, e_));
    job_run(w, "ended-1", 1);
    job_run(w, "ended-2", 3);
    job_run(w, "ended-3", 2);
    job_make(w, "open-1", 3, &inst);
    fsm_instance_done(&inst);
    job_make(w, "open-2", 2, &inst);
    job_work(w, &inst);
    fsm_instance_done(&inst);
    OK(w->j->ops->publish_head(w->j, e_));
    journal_close(w->j);
    w->j = NULL;
}

static void verify(const struct world *w, struct audit_report *report)
{
    struct reader_options o = {.path = w->path, .machines = w->machines};
    struct audit_options a = {.head_path = w->head_path};
    AUTO(reader_close) struct reader *r = NULL;

    OK(reader_open(&o, &r, e_));
    OK(audit_verify(r, &a, report, e_));
}

static sqlite3 *tamper_open(const struct world *w)
{
    sqlite3 *db;

    ck_assert_int_eq(sqlite3_open(w->path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, "PRAGMA foreign_keys = 0", NULL, NULL, NULL), SQLITE_OK);
    return db;
}

static void tamper(const struct world *w, const char *text)
{
    sqlite3 *db = tamper_open(w);
    char *message = NULL;

    ck_assert_msg(sqlite3_exec(db, text, NULL, NULL, &message) == SQLITE_OK, "%s: %s", text,
                  message);
    ck_assert_int_gt(sqlite3_total_changes(db), 0);
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

static void tamper_done(struct world *w)
{
    OK(fs_remove_tree(AT_FDCWD, w->dir, e_));
}

START_TEST(an_honest_journal_has_no_findings)
{
    struct audit_report report;
    struct world w;

    fill(&w);
    verify(&w, &report);
    ck_assert_msg(report.n_findings == 0, "%s %s: %s", report.first.table, report.first.key,
                  report.first.text);
    ck_assert_int_eq(report.n_instances, 5);
    ck_assert_int_eq(report.n_ledger, 5);
    ck_assert_int_eq(report.n_messages, 5);
    ck_assert_int_eq(report.n_transitions, 4 + 6 + 5 + 2 + 4);
    ck_assert_int_eq(report.ledger_from, 1);
    ck_assert_int_eq(report.ledger_to, 5);
    ck_assert(report.has_head);
    ck_assert_int_eq(report.head_n, 5);
    tamper_done(&w);
}
END_TEST

/* Back in the middle of a job, back by years between two, and forward again. */
START_TEST(a_clock_that_is_set_is_no_finding)
{
    struct audit_report report;
    struct fsm_instance inst;
    struct world w;

    count_vfs_register();
    count_vfs_reset();
    world_init_vfs(&w, COUNT_VFS);
    job_make(&w, "ended", 2, &inst);
    w.now -= 5000;
    job_work(&w, &inst);
    job_report(&w, &inst);
    fsm_instance_done(&inst);
    w.now -= INT64_C(315360000000);
    job_run(&w, "back", 1);
    job_make(&w, "open", 2, &inst);
    w.now -= 5000;
    job_work(&w, &inst);
    fsm_instance_done(&inst);
    w.now += INT64_C(630720000000);
    job_run(&w, "forward", 1);
    OK(w.j->ops->publish_head(w.j, e_));
    journal_close(w.j);
    w.j = NULL;
    verify(&w, &report);
    ck_assert_msg(report.n_findings == 0, "%s %s: %s", report.first.table, report.first.key,
                  report.first.text);
    ck_assert_int_eq(report.n_instances, 4);
    tamper_done(&w);
}
END_TEST

/* ---- known changes ---- */

static const struct {
    const char *sql, *table, *key;
} changes[] = {
    /* transitions */
    {"UPDATE transition SET detail = 'nothing' WHERE instance_id = 'ended-2' AND n = 2",
     "transition", "ended-2 n=2"},
    {"UPDATE transition SET detail = detail || char(0) || 'x' WHERE instance_id = 'open-1' AND n "
     "= 1",
     "transition", "open-1 n=1"},
    {"DELETE FROM transition WHERE instance_id = 'ended-2' AND n = 3", "transition", "ended-2 n=3"},
    {"DELETE FROM transition WHERE instance_id = 'ended-2' AND n = 5", "transition", "ended-2 n=5"},
    {"DELETE FROM transition WHERE instance_id = 'ended-1' AND n = 0", "transition", "ended-1 n=0"},
    {"INSERT INTO transition SELECT 9999, instance_id, 6, at_unix_ms, event, from_state, to_state, "
     "detail, state_sha256, prev, hash FROM transition WHERE instance_id = 'ended-2' AND n = 5",
     "transition", "ended-2 n=6"},
    {"UPDATE transition SET n = CASE n WHEN 2 THEN -3 ELSE -2 END WHERE instance_id = 'ended-2' "
     "AND "
     "n IN (2, 3); UPDATE transition SET n = -n WHERE n < 0",
     "transition", "ended-2 n=2"},
    {"DELETE FROM transition WHERE instance_id = 'open-1'", "instance", "open-1"},
    {"INSERT INTO transition SELECT 9999, 'nobody', n, at_unix_ms, event, from_state, to_state, "
     "detail, state_sha256, prev, hash FROM transition WHERE instance_id = 'ended-2' AND n = 0",
     "transition", "nobody n=0"},
    /* instances */
    {"UPDATE instance SET state = 'working' WHERE id = 'ended-1'", "instance", "ended-1"},
    {"UPDATE instance SET n_transitions = n_transitions - 1 WHERE id = 'ended-1'", "instance",
     "ended-1"},
    {"UPDATE instance SET n_transitions = n_transitions + 1 WHERE id = 'ended-1'", "instance",
     "ended-1"},
    {"UPDATE instance SET (n_transitions, head) = (SELECT n_transitions, head FROM instance WHERE "
     "id = 'ended-1') WHERE id = 'ended-2'",
     "instance", "ended-2"},
    {"UPDATE instance SET (n_transitions, head) = (SELECT n_transitions, head FROM instance WHERE "
     "id = 'ended-2') WHERE id = 'ended-1'",
     "instance", "ended-1"},
    {"UPDATE transition SET instance_id = 'nobody' WHERE instance_id = 'ended-2' AND n = 5",
     "transition", "ended-2 n=5"},
    {"UPDATE transition SET instance_id = 'open-1' WHERE instance_id = 'ended-2' AND n = 5",
     "transition", "ended-2 n=5"},
    {"UPDATE instance SET machine = 'registration' WHERE id = 'open-1'", "instance", "open-1"},
    /* alphabetically the other one is first */
    {"DELETE FROM instance WHERE id IN ('open-1', 'ended-3')", "transition", "ended-3 n=0"},
    {"DELETE FROM instance WHERE id IN ('open-2', 'open-1')", "transition", "open-1 n=0"},
    {"UPDATE instance SET head = (SELECT head FROM instance WHERE id = 'ended-2') WHERE id = "
     "'ended-1'",
     "instance", "ended-1"},
    {"UPDATE instance SET created_unix_ms = created_unix_ms + 1 WHERE id = 'open-2'", "instance",
     "open-2"},
    {"UPDATE instance SET updated_unix_ms = updated_unix_ms + 1 WHERE id = 'open-2'", "instance",
     "open-2"},
    {"UPDATE instance SET ended_unix_ms = ended_unix_ms + 1 WHERE id = 'ended-3'", "instance",
     "ended-3"},
    {"UPDATE instance SET ended_unix_ms = NULL WHERE id = 'ended-3'", "instance", "ended-3"},
    {"UPDATE instance SET ended_unix_ms = 5 WHERE id = 'open-1'", "instance", "open-1"},
    {"UPDATE instance SET deadline_after_ms = 5 WHERE id = 'open-1'", "instance", "open-1"},
    {"UPDATE instance SET version = 2 WHERE id = 'open-1'", "instance", "open-1"},
    {"UPDATE instance SET machine = 'other' WHERE id = 'open-1'", "instance", "open-1"},
    {"INSERT INTO instance SELECT 99, 'new', machine, version, state, n_transitions, head, "
     "created_unix_ms, updated_unix_ms, NULL, '', 0, 0 FROM instance WHERE id = 'open-1'",
     "instance", "new"},
    {"DELETE FROM instance WHERE id = 'open-1'; DELETE FROM transition WHERE instance_id = "
     "'open-1'; DELETE FROM job WHERE instance_id = 'open-1'; DELETE FROM part WHERE instance_id = "
     "'open-1'; DELETE FROM effect WHERE instance_id = 'open-1'; DELETE FROM inbox WHERE "
     "instance_id = 'open-1'; DELETE FROM outbox WHERE instance_id = 'open-1'",
     "instance", ""},
    /* the machine's rows */
    {"UPDATE job SET title = 'another job' WHERE instance_id = 'ended-1'", "instance", "ended-1"},
    {"UPDATE job SET part = 0 WHERE instance_id = 'ended-1'", "instance", "ended-1"},
    {"DELETE FROM job WHERE instance_id = 'ended-1'", "job", "ended-1"},
    {"UPDATE part SET code = 0 WHERE instance_id = 'ended-2' AND n = 2", "instance", "ended-2"},
    {"UPDATE part SET result = '' WHERE instance_id = 'ended-2' AND n = 1", "instance", "ended-2"},
    {"DELETE FROM part WHERE instance_id = 'ended-2' AND n = 1", "part", "ended-2"},
    {"DELETE FROM part WHERE instance_id = 'ended-2' AND n = 2", "instance", "ended-2"},
    {"INSERT INTO part VALUES('ended-1', 1, 'fine', 7)", "instance", "ended-1"},
    {"INSERT INTO job VALUES('nobody', '', 0)", "job", "nobody"},
    /* the ledger */
    {"UPDATE ledger SET status = 'Failed' WHERE n = 1", "ledger", "n=1"},
    {"UPDATE ledger SET message_id = 'm.x' WHERE n = 4", "ledger", "n=4"},
    {"DELETE FROM ledger WHERE n = 1", "ledger", "n=1"},
    {"DELETE FROM ledger WHERE n = 2", "ledger", "n=2"},
    {"DELETE FROM ledger WHERE n >= 4", "ledger", "n=4"},
    {"DELETE FROM ledger", "ledger", "n=1"},
    {"UPDATE ledger SET n = 99 WHERE n = 3; UPDATE ledger SET n = 3 WHERE n = 4; UPDATE ledger SET "
     "n = 4 WHERE n = 99",
     "ledger", "n=3"},
    {"INSERT INTO ledger SELECT 6, 'x', machine, 'm.x', state, status, created_unix_ms, "
     "ended_unix_ms, n_transitions, head, hash, hash FROM ledger WHERE n = 5",
     "ledger", "n=6"},
    {"INSERT INTO checkpoint VALUES(2, 'x', 0)", "ledger", "n=1"},
    /* messages, effects, replies */
    {"UPDATE inbox SET payload = x'00' WHERE message_id = 'm.open-1'", "inbox", "m.open-1"},
    {"UPDATE inbox SET message_id = 'm.other' WHERE message_id = 'm.ended-1'", "inbox",
     "m.ended-1"},
    {"DELETE FROM inbox WHERE message_id = 'm.ended-1'", "inbox", "m.ended-1"},
    {"UPDATE effect SET closed_unix_ms = NULL WHERE id = (SELECT max(id) FROM effect WHERE "
     "instance_id = 'ended-1')",
     "effect", NULL},
    {"DELETE FROM effect WHERE id = (SELECT max(effect_id) FROM outbox)", "outbox", NULL},
};

START_TEST(a_change_is_found_and_its_row_is_named)
{
    struct audit_report report;
    struct world w;

    fill(&w);
    tamper(&w, changes[_i].sql);
    verify(&w, &report);
    ck_assert_msg(report.n_findings > 0, "not found: %s", changes[_i].sql);
    ck_assert_msg(str_eq(report.first.table, changes[_i].table) &&
                      (changes[_i].key == NULL || str_eq(report.first.key, changes[_i].key)),
                  "%s\nnamed %s %s: %s", changes[_i].sql, report.first.table, report.first.key,
                  report.first.text);
    tamper_done(&w);
}
END_TEST

START_TEST(a_ledger_whose_tail_was_cut_off_clean_is_caught_by_its_side_file)
{
    struct audit_report report;
    struct world w;

    fill(&w);
    tamper(&w, "DELETE FROM instance WHERE id = 'ended-3'; DELETE FROM transition WHERE "
               "instance_id = 'ended-3'; DELETE FROM job WHERE instance_id = 'ended-3'; DELETE "
               "FROM part WHERE instance_id = 'ended-3'; DELETE FROM effect WHERE instance_id = "
               "'ended-3'; DELETE FROM inbox WHERE instance_id = 'ended-3'; DELETE FROM outbox "
               "WHERE instance_id = 'ended-3'; DELETE FROM ledger WHERE n = 5; UPDATE "
               "sqlite_sequence SET seq = seq - 1 WHERE name = 'instance'");
    verify(&w, &report);
    ck_assert_int_gt(report.n_findings, 0);
    ck_assert_str_eq(report.first.table, "ledger");
    ck_assert_str_eq(report.first.key, "n=5");
    tamper_done(&w);
}
END_TEST

START_TEST(a_side_file_that_is_older_than_the_ledger_is_fine_and_a_torn_one_is_said)
{
    struct audit_report report;
    struct world w;

    fill(&w);
    OK(world_open(&w, e_));
    job_run(&w, "later", 1); /* and a crash before the head is published */
    journal_close(w.j);
    verify(&w, &report);
    ck_assert_int_eq(report.n_findings, 0);
    ck_assert_int_eq(report.head_n, 5);
    ck_assert_int_eq(report.ledger_to, 6);
    world_shell(&w, "head -c 20 ledger.head > x && mv x ledger.head");
    verify(&w, &report);
    ck_assert_int_eq(report.n_findings, 1);
    ck_assert_str_eq(report.first.table, "side file");
    ck_assert(!report.has_head);
    world_shell(&w, "rm ledger.head");
    verify(&w, &report);
    ck_assert_int_eq(report.n_findings, 0);
    ck_assert(!report.has_head);
    tamper_done(&w);
}
END_TEST

static void count_finding(void *ctx, const struct audit_finding *f)
{
    ck_assert_str_ne(f->text, "");
    ++*(int *)ctx;
}

START_TEST(each_damaged_job_is_one_finding)
{
    struct reader_options o = {.machines = job_machines};
    AUTO(reader_close) struct reader *r = NULL;
    struct audit_report report;
    struct world w;
    int n = 0;
    struct audit_options a = {.found = count_finding, .ctx = &n};

    fill(&w);
    tamper(&w, "UPDATE transition SET at_unix_ms = 1 WHERE n = 1");
    o.path = w.path;
    OK(reader_open(&o, &r, e_));
    OK(audit_verify(r, &a, &report, e_));
    ck_assert_int_eq(n, 5);
    ck_assert_int_eq(report.n_findings, 5);
    tamper_done(&w);
}
END_TEST

START_TEST(machines_that_this_version_does_not_know_are_verified_too)
{
    static const struct fsm_machine *const none[] = {NULL};
    struct audit_report report;
    struct world w;

    fill(&w);
    w.machines = none;
    verify(&w, &report);
    ck_assert_int_eq(report.n_findings, 0);
    ck_assert_int_eq(report.n_instances, 5);
    tamper(&w, "UPDATE part SET result = 'bad' WHERE instance_id = 'ended-2' AND n = 1");
    verify(&w, &report);
    ck_assert_int_eq(report.n_findings, 1);
    ck_assert_str_eq(report.first.key, "ended-2");
    tamper_done(&w);
}
END_TEST

/* ---- random changes ---- */

static uint64_t random_state;

static uint32_t roll(uint32_t n) /* xorshift64*: the same everywhere for one seed */
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * UINT64_C(2685821657736338717)) >> 33) % n;
}

/* Columns that the audit covers. Row numbers (`seq`) are not part of the history. */
static const struct {
    const char *table;
    const char *columns[12];
    const char *named[4]; /* tables that may be named first */
} covered[] = {
    {"transition",
     {"instance_id", "n", "at_unix_ms", "event", "from_state", "to_state", "detail", "state_sha256",
      "prev", "hash"},
     {"transition", "instance"}},
    {"ledger",
     {"n", "id", "machine", "message_id", "state", "status", "created_unix_ms", "ended_unix_ms",
      "n_transitions", "head", "prev", "hash"},
     {"ledger"}},
    {"instance",
     {"id", "machine", "version", "state", "n_transitions", "head", "created_unix_ms",
      "updated_unix_ms", "ended_unix_ms", "deadline_boot_id", "deadline_boottime_ms",
      "deadline_after_ms"},
     {"instance", "transition"}},
    {"job", {"instance_id", "title", "part"}, {"instance", "job"}},
    {"part", {"instance_id", "n", "result", "code"}, {"instance", "part"}},
};

static int64_t scalar(sqlite3 *db, const char *text)
{
    sqlite3_stmt *q;
    int64_t v;

    ck_assert_int_eq(sqlite3_prepare_v2(db, text, -1, &q, NULL), SQLITE_OK);
    v = sqlite3_step(q) == SQLITE_ROW ? (int64_t)sqlite3_column_int64(q, 0) : 0;
    (void)sqlite3_finalize(q);
    return v;
}

static int64_t random_rowid(sqlite3 *db, const char *table)
{
    char text[160];
    int64_t n;

    (void)snprintf(text, sizeof(text), "SELECT count(*) FROM \"%s\"", table);
    n = scalar(db, text);
    (void)snprintf(text, sizeof(text), "SELECT rowid FROM \"%s\" ORDER BY rowid LIMIT 1 OFFSET %u",
                   table, roll((uint32_t)n));
    return scalar(db, text);
}

/* One random change of one table; false when SQLite would not have it (a key taken, say) or it
 * changed nothing. The SQL is left in `text`. */
static bool change_something(sqlite3 *db, size_t t, char *text, size_t size)
{
    const char *table = covered[t].table, *column;
    int64_t row = random_rowid(db, table), other = random_rowid(db, table);
    size_t n_columns = 0;

    while (n_columns < ARRAY_LEN(covered[t].columns) && covered[t].columns[n_columns] != NULL)
        n_columns++;
    column = covered[t].columns[roll((uint32_t)n_columns)];
    switch (roll(5)) {
    case 0: /* the value of another row */
        (void)snprintf(
            text, size,
            "UPDATE \"%s\" SET \"%s\" = (SELECT \"%s\" FROM \"%s\" WHERE rowid = %" PRId64
            ") WHERE rowid = %" PRId64,
            table, column, column, table, other, row);
        break;
    case 1: /* one more, or one character more */
        (void)snprintf(text, size,
                       "UPDATE \"%s\" SET \"%s\" = CASE typeof(\"%s\") WHEN 'text' THEN \"%s\" || "
                       "'%c' ELSE coalesce(\"%s\", 0) + %u END WHERE rowid = %" PRId64,
                       table, column, column, column, (int)('a' + roll(26)), column, 1 + roll(1000),
                       row);
        break;
    case 2: /* emptied */
        (void)snprintf(text, size,
                       "UPDATE \"%s\" SET \"%s\" = CASE typeof(\"%s\") WHEN 'text' THEN '' ELSE 0 "
                       "END WHERE rowid = %" PRId64,
                       table, column, column, row);
        break;
    case 3:
        (void)snprintf(text, size, "DELETE FROM \"%s\" WHERE rowid = %" PRId64, table, row);
        break;
    default: /* cut off at the end */
        (void)snprintf(text, size,
                       "DELETE FROM \"%s\" WHERE rowid > (SELECT max(rowid) - %u FROM \"%s\")",
                       table, 1 + roll(3), table);
        break;
    }
    return sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK;
}

/* A digest of the covered columns: did the change change anything? */
static void digest(sqlite3 *db, char ret_hex[SHA256_HEX_SIZE])
{
    struct sha256 s;
    size_t t;

    sha256_init(&s);
    for (t = 0; t < ARRAY_LEN(covered); t++) {
        char text[96];
        sqlite3_stmt *q;
        int i;

        (void)snprintf(text, sizeof(text), "SELECT * FROM \"%s\" ORDER BY rowid", covered[t].table);
        ck_assert_int_eq(sqlite3_prepare_v2(db, text, -1, &q, NULL), SQLITE_OK);
        while (sqlite3_step(q) == SQLITE_ROW)
            for (i = 0; i < sqlite3_column_count(q); i++) {
                const char *v = (const char *)sqlite3_column_text(q, i);

                sha256_add(&s, v != NULL ? v : "NULL", v != NULL ? strlen(v) + 1 : 5);
            }
        (void)sqlite3_finalize(q);
    }
    sha256_end_hex(&s, ret_hex);
}

static bool is_named(size_t t, const char *table)
{
    size_t i;

    for (i = 0; i < ARRAY_LEN(covered[t].named) && covered[t].named[i] != NULL; i++)
        if (str_eq(covered[t].named[i], table))
            return true;
    return false;
}

/* Put the file back as it was, without what a reader left beside it. */
static void restore(const struct world *w, const struct buf *clean)
{
    static const char *const beside[] = {"journal.db-wal", "journal.db-shm"};
    AUTO(close_fd) int fd = -1;
    size_t i;

    OK(fs_open_dir(AT_FDCWD, w->dir, &fd, e_));
    for (i = 0; i < ARRAY_LEN(beside); i++)
        OK(fs_remove_tree(fd, beside[i], e_));
    OK(fs_write_atomic(fd, "journal.db", clean->data, clean->len, 0600, false, e_));
}

START_TEST(no_random_change_goes_unnoticed)
{
    const char *seed_text = getenv("SSMD_SEED"), *rounds_text = getenv("SSMD_ROUNDS");
    int64_t seed = 20240504, rounds = 300, i, n_changed = 0;
    AUTO(buf_done) struct buf clean = {0};
    struct world w;

    if (seed_text != NULL)
        ck_assert(str_to_i64(seed_text, 1, INT64_MAX, &seed));
    if (rounds_text != NULL)
        ck_assert(str_to_i64(rounds_text, 1, 10000000, &rounds));
    printf("audit: SSMD_SEED=%" PRId64 " SSMD_ROUNDS=%" PRId64 "\n", seed, rounds);
    fflush(stdout);
    random_state = (uint64_t)seed;
    fill(&w);
    buf_init(&clean, 16u << 20);
    OK(fs_read_file(AT_FDCWD, w.path, &clean, e_));
    for (i = 0; i < rounds; i++) {
        char before[SHA256_HEX_SIZE], after[SHA256_HEX_SIZE], text[400];
        size_t t = roll((uint32_t)ARRAY_LEN(covered));
        struct audit_report report;
        sqlite3 *db = tamper_open(&w);
        bool is_done;

        digest(db, before);
        is_done = change_something(db, t, text, sizeof(text));
        digest(db, after);
        ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
        if (!is_done || str_eq(before, after))
            continue;
        n_changed++;
        verify(&w, &report);
        ck_assert_msg(report.n_findings > 0, "round %" PRId64 ": not found: %s", i, text);
        ck_assert_msg(is_named(t, report.first.table), "round %" PRId64 ": %s\nnamed %s %s: %s", i,
                      text, report.first.table, report.first.key, report.first.text);
        restore(&w, &clean);
    }
    ck_assert_int_gt(n_changed, rounds / 2);
    tamper_done(&w);
}
END_TEST

/* ---- export ---- */

START_TEST(the_export_has_a_line_for_every_row_and_no_payload)
{
    struct reader_options o = {.machines = job_machines};
    AUTO(reader_close) struct reader *r = NULL;
    AUTO(buf_done) struct buf text;
    char path[PATH_MAX + 32];
    struct world w;
    size_t i, n_lines = 0;
    FILE *f;

    fill(&w);
    o.path = w.path;
    (void)snprintf(path, sizeof(path), "%s/export", w.dir);
    OK(reader_open(&o, &r, e_));
    f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    OK(audit_export_jsonl(r, f, e_));
    ck_assert_int_eq(fclose(f), 0);
    buf_init(&text, 16u << 20);
    OK(fs_read_file(AT_FDCWD, path, &text, e_));
    for (i = 0; i < text.len; i++)
        n_lines += text.data[i] == '\n' ? 1 : 0;
    /* ledger, messages, instances, transitions, effects, replies */
    ck_assert_uint_eq(n_lines, 5 + 5 + 5 + 21 + (3 + 5 + 4 + 2 + 4) + 9);
    ck_assert_ptr_nonnull(strstr(text.data, "{\"type\":\"ledger\",\"n\":1,\"id\":\"gone-1\""));
    ck_assert_ptr_nonnull(strstr(text.data, "\"part\":[{\"result\":\"fine\",\"code\":7}"));
    ck_assert_ptr_null(strstr(text.data, "do \\\"")); /* the messages' payloads */
    ck_assert_ptr_null(strstr(text.data, "open-1/")); /* the replies' */
    tamper_done(&w);
}
END_TEST

START_TEST(an_export_that_cannot_be_written_says_so)
{
    struct reader_options o = {.machines = job_machines};
    AUTO(reader_close) struct reader *r = NULL;
    struct world w;
    struct err err;
    FILE *f = fopen("/dev/full", "w");

    ck_assert_ptr_nonnull(f);
    fill(&w);
    o.path = w.path;
    OK(reader_open(&o, &r, e_));
    ck_assert_int_eq(audit_export_jsonl(r, f, &err), ERR_FULL);
    (void)fclose(f); /* fails again */
    tamper_done(&w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("audit");
    TCase *t = tcase_create("audit");
    SRunner *runner = srunner_create(s);
    int n_failed;

    suite_add_tcase(s, t);
    tcase_set_timeout(t, 600);
    tcase_add_test(t, an_honest_journal_has_no_findings);
    tcase_add_test(t, a_clock_that_is_set_is_no_finding);
    tcase_add_loop_test(t, a_change_is_found_and_its_row_is_named, 0, (int)ARRAY_LEN(changes));
    tcase_add_test(t, a_ledger_whose_tail_was_cut_off_clean_is_caught_by_its_side_file);
    tcase_add_test(t, a_side_file_that_is_older_than_the_ledger_is_fine_and_a_torn_one_is_said);
    tcase_add_test(t, each_damaged_job_is_one_finding);
    tcase_add_test(t, machines_that_this_version_does_not_know_are_verified_too);
    tcase_add_test(t, no_random_change_goes_unnoticed);
    tcase_add_test(t, the_export_has_a_line_for_every_row_and_no_payload);
    tcase_add_test(t, an_export_that_cannot_be_written_says_so);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
