/* What is particular to the journal on SQLite: its file, its settings, its syncs, and failing
 * disks.
 */
#include "journal_lib.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "tests/lib/count_vfs.h"

/* ---- looking at the file from outside ---- */

static void sql(const char *path, const char *text)
{
    sqlite3 *db;
    char *message = NULL;

    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_msg(sqlite3_exec(db, text, NULL, NULL, &message) == SQLITE_OK, "%s: %s", text,
                  message);
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

static void sql_text(const char *path, const char *text, char *ret_text, size_t size)
{
    sqlite3 *db;
    sqlite3_stmt *q;

    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_prepare_v2(db, text, -1, &q, NULL), SQLITE_OK);
    ck_assert_int_eq(sqlite3_step(q), SQLITE_ROW);
    (void)snprintf(ret_text, size, "%s", (const char *)sqlite3_column_text(q, 0));
    ck_assert_int_eq(sqlite3_finalize(q), SQLITE_OK);
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

static void read_bytes(const char *path, struct buf *ret_bytes)
{
    buf_init(ret_bytes, 16u << 20);
    OK(fs_read_file(AT_FDCWD, path, ret_bytes, e_));
}

static void assert_sound(struct world *w)
{
    AUTO(buf_done) struct buf problems;

    buf_init(&problems, 65536);
    OK(journal_check(w->j, &problems, e_));
    ck_assert_str_eq(buf_str(&problems), "");
}

static void put_fact(struct world *w, const char *value)
{
    OK(w->j->ops->begin(w->j, e_));
    OK(w->j->ops->put_fact(w->j, "key", value, e_));
    OK(w->j->ops->commit(w->j, e_));
}

/* ---- the file ---- */

START_TEST(its_files_are_for_our_eyes_only)
{
    static const char *const names[] = {"journal.db", "journal.db-wal", "journal.reserve"};
    struct world w;
    char path[PATH_MAX + 32];
    struct stat st;
    size_t i;
    mode_t old = umask(0);

    world_init(&w, JOURNAL_SQLITE);
    (void)umask(old);
    put_fact(&w, "value");
    for (i = 0; i < ARRAY_LEN(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", w.dir, names[i]);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0600);
    }
    world_done(&w);
}
END_TEST

START_TEST(the_settings_that_the_promises_need_are_in_the_file)
{
    struct world w;
    char text[64];

    world_init(&w, JOURNAL_SQLITE);
    journal_close(w.j);
    sql_text(w.path, "PRAGMA journal_mode", text, sizeof(text));
    ck_assert_str_eq(text, "wal");
    sql_text(w.path, "PRAGMA auto_vacuum", text, sizeof(text));
    ck_assert_str_eq(text, "2");
    sql_text(w.path, "PRAGMA application_id", text, sizeof(text));
    ck_assert_str_eq(text, "1936944484");
    OK(world_open(&w, e_));
    world_done(&w);
}
END_TEST

START_TEST(a_file_system_that_cannot_do_wal_is_refused)
{
    struct world w;
    struct err err;

    count_vfs_register();
    count_vfs_reset();
    world_init(&w, JOURNAL_SQLITE);
    journal_close(w.j);
    OK(fs_remove_tree(AT_FDCWD, w.path, e_));
    count_vfs.no_shm = true;
    w.vfs = COUNT_VFS;
    ck_assert_int_lt(world_open(&w, &err), 0);
    count_vfs_reset();
    w.vfs = NULL;
    OK(world_open(&w, e_));
    world_done(&w);
}
END_TEST

START_TEST(a_second_writer_is_turned_away)
{
    struct world w, second;
    struct err err;

    world_init(&w, JOURNAL_SQLITE);
    second = w;
    ck_assert_int_eq(world_open(&second, &err), ERR_BUSY);
    ck_assert_ptr_nonnull(strstr(err.text, "is ssmd running?"));
    put_fact(&w, "value"); /* and the first one is not hurt */
    world_done(&w);
}
END_TEST

START_TEST(a_directory_or_file_that_others_could_write_is_refused)
{
    struct world w;
    char link[PATH_MAX + 16];
    struct err err;

    world_init(&w, JOURNAL_SQLITE);
    journal_close(w.j);
    ck_assert_int_eq(chmod(w.dir, 0722), 0);
    ck_assert_int_eq(world_open(&w, &err), ERR_STATE);
    ck_assert_int_eq(chmod(w.dir, 0700), 0);
    (void)snprintf(link, sizeof(link), "%s/other", w.dir);
    ck_assert_int_eq(rename(w.path, link), 0);
    ck_assert_int_eq(symlink(link, w.path), 0);
    ck_assert_int_eq(world_open(&w, &err), ERR_STATE);
    ck_assert_int_eq(unlink(w.path), 0);
    ck_assert_int_eq(rename(link, w.path), 0);
    ck_assert_int_eq(chmod(w.path, 0644), 0); /* restored from a backup: set right, not refused */
    OK(world_open(&w, e_));
    world_done(&w);
}
END_TEST

static const struct {
    const char *name;
    const char *make; /* SQL on an empty file, or NULL: `bytes` */
    const char *bytes;
    int code;
} strangers[] = {
    {"another program's database", "CREATE TABLE t(x); INSERT INTO t VALUES(1)", NULL, ERR_CORRUPT},
    {"another application id", "PRAGMA application_id = 7", NULL, ERR_CORRUPT},
    {"no database", NULL, "this is a letter to my grandmother, and it is longer than the header",
     ERR_CORRUPT},
    {"a later schema that we may not read",
     "PRAGMA application_id = 1936944484; PRAGMA user_version = 99; CREATE TABLE meta(key, value); "
     "INSERT INTO meta VALUES('min_schema', '98')",
     NULL, ERR_NEWER},
};

START_TEST(what_is_not_ours_is_refused_and_left_as_it_was)
{
    AUTO(buf_done) struct buf before, after;
    struct world w;
    struct err err;

    world_init(&w, JOURNAL_SQLITE);
    journal_close(w.j);
    OK(fs_remove_tree(AT_FDCWD, w.path, e_));
    if (strangers[_i].make != NULL) {
        sql(w.path, strangers[_i].make);
    } else {
        FILE *f = fopen(w.path, "w");

        ck_assert_ptr_nonnull(f);
        ck_assert_int_ge(fputs(strangers[_i].bytes, f), 0);
        ck_assert_int_eq(fclose(f), 0);
    }
    read_bytes(w.path, &before);
    ck_assert_int_eq(world_open(&w, &err), strangers[_i].code);
    ck_assert_msg(err.code != ERR_CORRUPT || strstr(err.text, "move it away to start") != NULL,
                  "what to try is not said: %s", err.text);
    read_bytes(w.path, &after);
    ck_assert_uint_eq(before.len, after.len);
    ck_assert_mem_eq(before.data, after.data, before.len);
    OK(fs_remove_tree(AT_FDCWD, w.dir, e_));
}
END_TEST

START_TEST(a_damaged_journal_is_refused_and_left_as_it_was)
{
    AUTO(buf_done) struct buf before, after;
    struct world w;
    struct err err;
    int fd;

    world_init(&w, JOURNAL_SQLITE);
    job_run(&w, "one", 3);
    journal_close(w.j);
    fd = open(w.path, O_WRONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, "damage damage damage damage", 27, 5 * 4096), 27);
    ck_assert_int_eq(close(fd), 0);
    read_bytes(w.path, &before);
    ck_assert_int_eq(world_open(&w, &err), ERR_CORRUPT);
    ck_assert_msg(strstr(err.text, "move it away to start") != NULL, "%s", err.text);
    read_bytes(w.path, &after);
    ck_assert_uint_eq(before.len, after.len);
    ck_assert_mem_eq(before.data, after.data, before.len);
    OK(fs_remove_tree(AT_FDCWD, w.dir, e_));
}
END_TEST

/* ---- migrations ---- */

struct job_2 {
    char note[20]; /* new, and before the old ones */
    char title[40];
    int64_t part;
    int64_t weight; /* new */
};

/* The machine as a later version might have it: two new fields, and `reporting` renamed. */
static struct fsm_machine later_machine(const struct fsm_field *fields, size_t n,
                                        const struct fsm_state *states)
{
    struct fsm_machine m = job_machine;

    m.fields = fields;
    m.n_fields = n;
    m.data_size = sizeof(struct job_2);
    if (states != NULL)
        m.states = states;
    return m;
}

static int keep_one(void *ctx, struct fsm_instance *inst, struct err *err)
{
    (void)err;
    *(struct fsm_instance *)ctx = *inst;
    return 0;
}

static const struct fsm_field fields_2[] = {
    FSM_FIELD_TEXT(struct job_2, note),
    FSM_FIELD_TEXT(struct job_2, title),
    FSM_FIELD_I64(struct job_2, part),
    FSM_FIELD_I64(struct job_2, weight),
};

START_TEST(a_machine_with_new_fields_finds_its_old_instances_and_their_hashes_hold)
{
    struct fsm_machine later = later_machine(fields_2, ARRAY_LEN(fields_2), NULL);
    const struct fsm_machine *const machines[] = {&later, NULL};
    struct fsm_instance inst, again = {0};
    const struct job_2 *job;
    struct world w;

    world_init(&w, JOURNAL_SQLITE);
    job_make(&w, "one", 2, &inst);
    job_run(&w, "ended", 2);
    journal_close(w.j);
    w.machines = machines;
    OK(world_open(&w, e_));
    assert_sound(&w);
    OK(w.j->ops->load(w.j, keep_one, &again, e_));
    job = again.data;
    ck_assert_str_eq(again.id, "one");
    ck_assert_str_eq(job->title, "a job");
    ck_assert_str_eq(job->note, "");
    ck_assert_int_eq(job->weight, 0);
    fsm_instance_done(&again);
    fsm_instance_done(&inst);
    world_done(&w);
}
END_TEST

START_TEST(after_a_roll_back_the_older_version_reads_the_extended_journal)
{
    struct fsm_machine later = later_machine(fields_2, ARRAY_LEN(fields_2), NULL);
    const struct fsm_machine *const machines[] = {&later, NULL};
    struct world w;

    world_init(&w, JOURNAL_SQLITE);
    journal_close(w.j);
    w.machines = machines;
    OK(world_open(&w, e_));
    journal_close(w.j);
    sql(w.path, "PRAGMA user_version = 99"); /* additive: min_schema is still 1 */
    w.machines = job_machines;
    OK(world_open(&w, e_));
    job_run(&w, "one", 2);
    assert_sound(&w);
    world_done(&w);
}
END_TEST

/* What only the later version knew of a job is void once this version has moved it: else the chain
 * would be told to have been changed by somebody. */
START_TEST(columns_of_a_later_version_are_void_when_an_older_one_goes_on)
{
    struct fsm_instance inst;
    struct world w;

    world_init(&w, JOURNAL_SQLITE);
    job_make(&w, "one", 3, &inst);
    journal_close(w.j);
    sql(w.path, "ALTER TABLE job ADD COLUMN note TEXT NOT NULL DEFAULT ''; "
                "ALTER TABLE part ADD COLUMN grade INTEGER NOT NULL DEFAULT 0; "
                "UPDATE job SET note = 'later'; UPDATE part SET grade = 5");
    OK(world_open(&w, e_));
    job_work(&w, &inst);
    assert_sound(&w);
    job_report(&w, &inst);
    assert_sound(&w);
    fsm_instance_done(&inst);
    world_done(&w);
}
END_TEST

START_TEST(a_renamed_state_is_found_by_its_alias)
{
    static const struct fsm_state states[] = {
        [JOB_WAITING] = {"waiting", "Pending", false, FSM_NO_EVENT, 0},
        [JOB_WORKING] = {"toiling", "InProgress", false, FSM_NO_EVENT, 0},
        [JOB_REPORTING] = {"reporting", "InProgress", false, FSM_NO_EVENT, 0},
        [JOB_DONE] = {"done", "Success", true, FSM_NO_EVENT, 0},
    };
    struct fsm_machine later = later_machine(fields_2, ARRAY_LEN(fields_2), states);
    const struct fsm_machine *const machines[] = {&later, NULL};
    struct fsm_instance inst, again = {0};
    struct world w;
    struct err err;

    world_init(&w, JOURNAL_SQLITE);
    job_make(&w, "one", 2, &inst);
    journal_close(w.j);
    w.machines = machines;
    OK(world_open(&w, e_));
    ck_assert_int_eq(w.j->ops->load(w.j, keep_one, &again, &err), ERR_NEWER);
    ck_assert_ptr_nonnull(strstr(err.text, "working"));
    journal_close(w.j);
    sql(w.path, "INSERT INTO alias VALUES('job', 'state', 'working', 'toiling')");
    OK(world_open(&w, e_));
    OK(w.j->ops->load(w.j, keep_one, &again, e_));
    ck_assert_int_eq(again.state, JOB_WORKING);
    assert_sound(&w);
    fsm_instance_done(&again);
    fsm_instance_done(&inst);
    world_done(&w);
}
END_TEST

START_TEST(a_machine_whose_name_cannot_be_a_table_is_refused)
{
    static const char *const names[] = {"ledger", "a b", "x\"y", "sqlite_x", ""};
    struct fsm_machine m = job_machine;
    const struct fsm_machine *const machines[] = {&m, NULL};
    struct world w;
    struct err err;

    world_init(&w, JOURNAL_SQLITE);
    journal_close(w.j);
    m.name = names[_i];
    w.machines = machines;
    ck_assert_int_eq(world_open(&w, &err), ERR_STATE);
    w.machines = job_machines;
    OK(world_open(&w, e_));
    world_done(&w);
}
END_TEST

/* ---- syncs ---- */

/* More than is joined, more than the cache, and read again in the same transaction. */
START_TEST(a_commit_of_any_size_is_whole)
{
    AUTO(buf_done) struct buf got = {0};
    struct world w;
    size_t i, n = 1000000;
    char *bytes = malloc(n + 1);
    int k;

    ck_assert_ptr_nonnull(bytes);
    for (i = 0; i < n; i++)
        bytes[i] = (char)('a' + i * 7 % 26 + i / 4096 % 2);
    bytes[n] = '\0';
    world_init(&w, JOURNAL_SQLITE);
    for (k = 0; k < 2; k++) { /* the second is written over what the first left in the log */
        OK(w.j->ops->begin(w.j, e_));
        OK(w.j->ops->put_fact(w.j, "large", bytes, e_));
        OK(w.j->ops->put_fact(w.j, "small", "1", e_));
        OK(w.j->ops->put_fact(w.j, "large", bytes, e_));
        OK(w.j->ops->commit(w.j, e_));
        buf_init(&got, n + 1);
        OK(w.j->ops->get_fact(w.j, "large", &got, e_));
        ck_assert_uint_eq(got.len, n);
        ck_assert_mem_eq(got.data, bytes, n);
        buf_done(&got);
        journal_close(w.j);
        OK(world_open(&w, e_));
    }
    world_done(&w);
    free(bytes);
}
END_TEST

START_TEST(every_commit_is_one_write_and_one_sync_and_an_empty_one_is_none)
{
    struct world w;
    struct fsm_instance inst;
    int i;

    count_vfs_register();
    world_init_vfs(&w, COUNT_VFS);
    put_fact(&w, "first"); /* begins the log, which has a header to sync too */
    for (i = 0; i < 5; i++) {
        char value[16];

        (void)snprintf(value, sizeof(value), "%d", i);
        count_vfs_reset();
        put_fact(&w, value);
        ck_assert_int_eq(count_vfs.n_syncs, 1);
        ck_assert_int_eq(count_vfs.n_wal_syncs, 1);
        ck_assert_int_eq(count_vfs.n_writes, 1);
    }
    count_vfs_reset();
    job_make(&w, "one", 5, &inst); /* twenty rows or so, in as many pages */
    ck_assert_int_eq(count_vfs.n_syncs, 1);
    ck_assert_int_eq(count_vfs.n_writes, 1);
    count_vfs_reset();
    OK(w.j->ops->begin(w.j, e_));
    OK(w.j->ops->commit(w.j, e_));
    ck_assert_int_eq(count_vfs.n_syncs, 0);
    ck_assert_int_eq(count_vfs.n_writes, 0);
    fsm_instance_done(&inst);
    world_done(&w);
}
END_TEST

static const struct {
    enum count_failure failure;
    bool is_sync;
    int code;
} failures[] = {
    {COUNT_FULL, false, ERR_FULL}, {COUNT_IO, false, ERR_IO},    {COUNT_SHORT, false, ERR_IO},
    {COUNT_IO, true, ERR_IO},      {COUNT_FULL, true, ERR_FULL},
};

/* The n-th write or sync of making a job fails, for every n: what was committed before is there,
 * the job is there whole or not at all, and the journal works again after revive. */
START_TEST(a_failed_commit_is_all_or_nothing_and_revive_brings_the_journal_back)
{
    int64_t n;

    count_vfs_register();
    for (n = 1;; n++) {
        struct journal_message m = {.message_id = "m", .payload = "", .instance_id = "one"};
        enum journal_known known = JOURNAL_UNKNOWN;
        struct fsm_instance inst;
        struct err err = {0};
        struct world w;
        bool is_done;

        count_vfs_reset();
        count_vfs.no_sync = true;
        world_init_vfs(&w, COUNT_VFS);
        job_run(&w, "before", 2);
        OK(fsm_instance_init(&inst, &job_machine, "one", 3, w.now, e_));
        count_vfs_reset();
        count_vfs.no_sync = true;
        count_vfs.failure = failures[_i].failure;
        *(failures[_i].is_sync ? &count_vfs.fail_sync_at : &count_vfs.fail_write_at) = n;
        is_done = w.j->ops->begin(w.j, &err) == 0 && w.j->ops->put_message(w.j, &m, &err) == 0 &&
                  w.j->ops->put_instance(w.j, &inst, &err) == 0 &&
                  job_step(&w, &inst, JOB_EV_GO, 0, &err) == 0 && w.j->ops->commit(w.j, &err) == 0;
        count_vfs_reset();
        fsm_instance_done(&inst);
        if (!is_done) {
            ck_assert_int_eq(err.code, failures[_i].code);
            w.j->ops->rollback(w.j);
            ck_assert_int_eq(w.j->ops->begin(w.j, &err), failures[_i].code);
            OK(w.j->ops->revive(w.j, e_));
        }
        OK(w.j->ops->find(w.j, "m", "one", &known, e_));
        ck_assert(is_done ? known == JOURNAL_OPEN : known != JOURNAL_ENDED);
        if (!failures[_i].is_sync && !is_done)
            ck_assert_int_eq(known, JOURNAL_UNKNOWN);
        OK(w.j->ops->find(w.j, "m.before", NULL, &known, e_));
        ck_assert_int_eq(known, JOURNAL_ENDED);
        assert_sound(&w);
        job_run(&w, "after", 2);
        world_reopen(&w);
        assert_sound(&w);
        world_done(&w);
        if (is_done)
            break;
    }
    count_vfs_reset();
    ck_assert_int_gt(n, 1); /* something did fail */
}
END_TEST

START_TEST(revive_says_no_while_the_disk_is_still_failing)
{
    struct world w;
    struct err err;
    struct journal_counts c;

    count_vfs_register();
    count_vfs_reset();
    world_init_vfs(&w, COUNT_VFS);
    count_vfs_reset();
    count_vfs.fail_write_at = 1;
    count_vfs.lasts = true;
    count_vfs.failure = COUNT_IO;
    OK(w.j->ops->begin(w.j, e_));
    ck_assert_int_eq(
        w.j->ops->put_fact(w.j, "key", "value", &err) == 0 ? w.j->ops->commit(w.j, &err) : err.code,
        ERR_IO);
    w.j->ops->rollback(w.j);
    ck_assert_int_eq(w.j->ops->revive(w.j, &err), ERR_IO);
    ck_assert_int_eq(w.j->ops->begin(w.j, &err), ERR_IO);
    ck_assert_int_eq(w.j->ops->counts(w.j, &c, &err), ERR_IO); /* closed: no read either */
    ck_assert_int_eq(w.j->ops->revive(w.j, &err), ERR_IO);
    count_vfs_reset();
    OK(w.j->ops->revive(w.j, e_));
    put_fact(&w, "value");
    world_done(&w);
}
END_TEST

START_TEST(a_journal_that_was_removed_or_replaced_takes_nothing_more)
{
    char path[PATH_MAX + 32], away[PATH_MAX + 32];
    struct world w;
    struct err err;
    FILE *other;

    world_init(&w, JOURNAL_SQLITE);
    put_fact(&w, "value");
    (void)snprintf(path, sizeof(path), "%s/journal.db", w.dir);
    (void)snprintf(away, sizeof(away), "%s/away.db", w.dir);
    ck_assert_int_eq(rename(path, away), 0);
    if (_i == 1) { /* another file in its place */
        other = fopen(path, "w");
        ck_assert_ptr_nonnull(other);
        (void)fclose(other);
    }
    OK(w.j->ops->begin(w.j, e_));
    ck_assert_int_eq(w.j->ops->put_fact(w.j, "key", "value", &err), ERR_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "removed or replaced"));
    w.j->ops->rollback(w.j);
    ck_assert_int_eq(w.j->ops->begin(w.j, &err), ERR_IO);
    if (_i == 0)
        ck_assert_int_lt(w.j->ops->revive(w.j, &err), 0); /* never an empty one of its own */
    ck_assert_int_eq(rename(away, path), 0);
    OK(w.j->ops->revive(w.j, e_));
    put_fact(&w, "value");
    assert_sound(&w);
    world_done(&w);
}
END_TEST

static int64_t reserve_bytes(const struct world *w)
{
    char path[PATH_MAX + 32];
    struct stat st;

    (void)snprintf(path, sizeof(path), "%s/journal.reserve", w->dir);
    ck_assert_int_eq(stat(path, &st), 0);
    return (int64_t)st.st_blocks * 512;
}

START_TEST(a_full_disk_gives_up_the_reserve_and_it_is_filled_again)
{
    struct journal_retention r = {0};
    struct journal_counts c;
    struct world w;
    struct err err;

    count_vfs_register();
    count_vfs_reset();
    world_init_vfs(&w, COUNT_VFS);
    ck_assert_int_ge(reserve_bytes(&w), 8 << 20);
    count_vfs_reset();
    count_vfs.fail_write_at = 1;
    count_vfs.failure = COUNT_FULL;
    OK(w.j->ops->begin(w.j, e_));
    ck_assert_int_eq(
        w.j->ops->put_fact(w.j, "key", "value", &err) == 0 ? w.j->ops->commit(w.j, &err) : err.code,
        ERR_FULL);
    w.j->ops->rollback(w.j);
    OK(w.j->ops->revive(w.j, e_));
    ck_assert_int_eq(reserve_bytes(&w), 0);
    OK(w.j->ops->counts(w.j, &c, e_));
    ck_assert(!c.has_reserve);
    put_fact(&w, "value");
    if (_i == 0)
        ck_assert(w.j->ops->has_room(w.j)); /* asked for new work */
    else
        OK(w.j->ops->prune(w.j, &r, 0, w.now, NULL, NULL, e_));
    OK(w.j->ops->counts(w.j, &c, e_));
    ck_assert(c.has_reserve);
    ck_assert_int_ge(reserve_bytes(&w), 8 << 20);
    world_done(&w);
}
END_TEST

START_TEST(the_log_does_not_grow_without_bound)
{
    struct world w;
    char path[PATH_MAX + 32];
    struct stat st;
    int i;

    world_init(&w, JOURNAL_SQLITE);
    for (i = 0; i < 1500; i++) {
        char value[16];

        (void)snprintf(value, sizeof(value), "%d", i);
        put_fact(&w, value);
    }
    (void)snprintf(path, sizeof(path), "%s-wal", w.path);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_lt(st.st_size, 2 << 20);
    world_done(&w);
}
END_TEST

START_TEST(the_side_file_follows_the_ledger)
{
    AUTO(buf_done) struct buf text;
    struct world w;
    struct err err;

    world_init(&w, JOURNAL_SQLITE);
    job_run(&w, "one", 1);
    OK(w.j->ops->publish_head(w.j, e_));
    read_bytes(w.head_path, &text);
    ck_assert_ptr_nonnull(strstr(buf_str(&text), "\nn=1\n"));
    buf_done(&text);
    job_run(&w, "two", 1);
    OK(w.j->ops->publish_head(w.j, e_));
    read_bytes(w.head_path, &text);
    ck_assert_ptr_nonnull(strstr(buf_str(&text), "\nn=2\n"));
    OK(w.j->ops->begin(w.j, e_));
    ck_assert_int_eq(w.j->ops->publish_head(w.j, &err), ERR_STATE);
    w.j->ops->rollback(w.j);
    world_done(&w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("journal-sqlite");
    TCase *t = tcase_create("file"), *m = tcase_create("migrations"), *d = tcase_create("disk");
    SRunner *runner = srunner_create(s);
    int n_failed;

    suite_add_tcase(s, t);
    tcase_add_test(t, its_files_are_for_our_eyes_only);
    tcase_add_test(t, the_settings_that_the_promises_need_are_in_the_file);
    tcase_add_test(t, a_file_system_that_cannot_do_wal_is_refused);
    tcase_add_test(t, a_second_writer_is_turned_away);
    tcase_add_test(t, a_directory_or_file_that_others_could_write_is_refused);
    tcase_add_loop_test(t, what_is_not_ours_is_refused_and_left_as_it_was, 0,
                        (int)ARRAY_LEN(strangers));
    tcase_add_test(t, a_damaged_journal_is_refused_and_left_as_it_was);
    suite_add_tcase(s, m);
    tcase_add_test(m, a_machine_with_new_fields_finds_its_old_instances_and_their_hashes_hold);
    tcase_add_test(m, after_a_roll_back_the_older_version_reads_the_extended_journal);
    tcase_add_test(m, columns_of_a_later_version_are_void_when_an_older_one_goes_on);
    tcase_add_test(m, a_renamed_state_is_found_by_its_alias);
    tcase_add_loop_test(m, a_machine_whose_name_cannot_be_a_table_is_refused, 0, 5);
    suite_add_tcase(s, d);
    tcase_set_timeout(d, 120);
    tcase_add_test(d, a_commit_of_any_size_is_whole);
    tcase_add_test(d, every_commit_is_one_write_and_one_sync_and_an_empty_one_is_none);
    tcase_add_loop_test(d, a_failed_commit_is_all_or_nothing_and_revive_brings_the_journal_back, 0,
                        (int)ARRAY_LEN(failures));
    tcase_add_test(d, revive_says_no_while_the_disk_is_still_failing);
    tcase_add_loop_test(d, a_journal_that_was_removed_or_replaced_takes_nothing_more, 0, 2);
    tcase_add_loop_test(d, a_full_disk_gives_up_the_reserve_and_it_is_filled_again, 0, 2);
    tcase_add_test(d, the_log_does_not_grow_without_bound);
    tcase_add_test(d, the_side_file_follows_the_ledger);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
