/* The directory of a step that cannot be made when its start is promised: nothing is lost, nothing
 * runs twice, and other commands go on. mkdirat() is the linker's wrapped one here. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "engine_world.h"
#include "tests/lib/loop_until.h"

static struct engine_world w;

/* ---- a disk without room ---- */

static struct {
    const char *name; /* directories of this name cannot be made; NULL: all can */
    int error;
    size_t n_refused;
} room;

int __real_mkdirat(int dirfd, const char *name, mode_t mode);
int __wrap_mkdirat(int dirfd, const char *name, mode_t mode);

int __wrap_mkdirat(int dirfd, const char *name, mode_t mode)
{
    if (room.name == NULL || !str_eq(name, room.name))
        return __real_mkdirat(dirfd, name, mode);
    room.n_refused++;
    errno = room.error;
    return -1;
}

/* ---- helpers ---- */

#define FIRST_JOB "00000000-0000-4000-8000-000000000001"

static void begin(void)
{
    room.name = NULL;
    room.n_refused = 0;
    engine_world_init(&w, NULL, NULL);
}

static void end(void)
{
    engine_world_done(&w);
}

static bool has_one_success(struct engine_world *world)
{
    return engine_world_count(world, "reply", "Success") == 1;
}

static void expect_no_fact(void)
{
    AUTO(buf_done) struct buf value = {0};

    buf_init(&value, 100);
    ck_assert_int_eq(w.journal->ops->get_fact(w.journal, "unmade " FIRST_JOB, &value, NULL),
                     ERR_NOT_FOUND);
}

/* ---- cases ---- */

static const int errors[] = {ENOSPC, EDQUOT, EMFILE, ENOMEM, EIO};

START_TEST(a_start_without_room_is_run_once_when_there_is_room_after_a_crash)
{
    room.name = FIRST_JOB;
    room.error = errors[_i];
    (void)engine_world_send(&w, 1, 1, engine_world_marking(&w, "exit 0"));
    engine_world_turns(&w, 5);
    ck_assert_uint_ge(room.n_refused, 1);
    ck_assert(w.is_open); /* the engine goes on */
    engine_world_crash(&w);
    room.name = NULL;
    engine_world_start(&w, "boot-1");
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_uint_eq(engine_world_n_marks(&w), 1);
    ck_assert_uint_eq(engine_world_count(&w, "reply", "Success"), 1);
    expect_no_fact();
}
END_TEST

static int n_rows(void *ctx, int n_columns, char **values, char **names)
{
    (void)n_columns;
    (void)values;
    (void)names;
    ++*(int *)ctx;
    return 0;
}

START_TEST(a_step_that_begins_after_a_long_outage_has_all_of_its_time)
{
    sqlite3 *db;
    int n = 0;

    room.name = FIRST_JOB;
    room.error = ENOSPC;
    (void)engine_world_send(&w, 1, 1, engine_world_marking(&w, "exit 0"));
    engine_world_turns(&w, 5);
    ck_assert_uint_ge(room.n_refused, 1);
    engine_world_crash(&w);
    room.name = NULL;
    ck_assert_int_eq(sqlite3_open(w.paths.journal, &db), SQLITE_OK);
    ck_assert_int_eq(
        sqlite3_exec(db, "UPDATE instance SET deadline_boottime_ms = 1", NULL, NULL, NULL),
        SQLITE_OK);
    engine_world_start(&w, "boot-1");
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_uint_eq(engine_world_n_marks(&w), 1);
    ck_assert_uint_eq(engine_world_count(&w, "reply", "Success"), 1);
    ck_assert_int_eq(
        sqlite3_exec(db, "SELECT 1 FROM transition WHERE event = 'begun'", n_rows, &n, NULL),
        SQLITE_OK);
    ck_assert_int_eq(n, 1); /* the next start counts from there */
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}
END_TEST

START_TEST(a_start_without_room_holds_no_other_command_up)
{
    room.name = FIRST_JOB;
    room.error = ENOSPC;
    (void)engine_world_send(&w, 1, 1, engine_world_marking(&w, "exit 0"));
    (void)engine_world_send(&w, 2, 1, "exit 0");
    engine_world_until(&w, has_one_success);
    ck_assert_uint_eq(engine_world_n_marks(&w), 0);
    room.name = NULL; /* tried again by the engine itself */
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_uint_eq(engine_world_n_marks(&w), 1);
    ck_assert_uint_eq(engine_world_count(&w, "reply", "Success"), 2);
    expect_no_fact();
}
END_TEST

START_TEST(a_second_step_without_room_is_run_after_a_crash)
{
    room.name = "1.1";
    room.error = ENOSPC;
    (void)engine_world_send(&w, 1, 2, engine_world_marking(&w, "exit 0"));
    engine_world_until(&w, engine_world_is_marked);
    LOOP_UNTIL(&w.loop, room.n_refused > 0);
    engine_world_crash(&w);
    room.name = NULL;
    engine_world_start(&w, "boot-1");
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_uint_eq(engine_world_n_marks(&w), 2);
    expect_no_fact();
}
END_TEST

START_TEST(a_step_that_found_room_later_is_not_run_again_without_its_directory)
{
    struct err err;
    char script[300];

    (void)snprintf(script, sizeof(script), "while [ -d %s ]; do sleep 0.05; done", w.dir);
    room.name = FIRST_JOB;
    room.error = ENOSPC;
    (void)engine_world_send(&w, 1, 1, engine_world_marking(&w, script));
    engine_world_turns(&w, 5);
    ck_assert_uint_ge(room.n_refused, 1);
    room.name = NULL;
    engine_world_until(&w, engine_world_is_marked);
    engine_world_crash(&w);
    ck_assert_int_eq(fs_remove_tree(AT_FDCWD, w.paths.jobs_dir, &err), 0);
    engine_world_start(&w, "boot-1");
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_uint_eq(engine_world_n_marks(&w), 1);
    ck_assert_ptr_nonnull(strstr(w.told[w.n_told - 1].payload, "\"code\":1000"));
}
END_TEST

START_TEST(a_step_that_waits_for_room_can_be_cancelled)
{
    struct err err;

    room.name = FIRST_JOB;
    room.error = ENOSPC;
    (void)engine_world_send(&w, 1, 1, engine_world_marking(&w, "exit 0"));
    engine_world_turns(&w, 5);
    room.name = NULL;
    ck_assert_int_eq(engine_cancel(w.engine, FIRST_JOB, NULL, NULL, &err), 0);
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_uint_eq(engine_world_n_marks(&w), 0);
    ck_assert_uint_eq(engine_world_count(&w, "reply", "Cancelled"), 1);
    expect_no_fact();
}
END_TEST

/* ---- the log ---- */

START_TEST(the_log_tells_no_transition_that_the_journal_has_not)
{
    struct journal_fault fault = {.code = ERR_FULL};
    AUTO(fclose) FILE *log = tmpfile();
    AUTO(buf_done) struct buf text = {0};
    char chunk[4096];
    struct err err;
    size_t n;

    engine_world_done(&w); /* the fixture's */
    engine_world_init(&w, NULL, &fault);
    ck_assert_ptr_nonnull(log);
    log_set_fd(fileno(log));
    ck_assert_int_eq(log_set_levels("info", &err), 0);
    fault.at = fault.n_calls + _i; /* of the turn: begin, puts, commit */
    fault.repeat = 1;
    w.config.command_workers = 0;
    (void)engine_world_send(&w, 1, 1, "exit 0");
    engine_world_turns(&w, 2);
    log_set_fd(2);
    ck_assert_int_eq(log_set_levels("error", &err), 0);
    buf_init(&text, 1 << 20);
    rewind(log);
    while ((n = fread(chunk, 1, sizeof(chunk), log)) > 0)
        ck_assert_int_eq(buf_add(&text, chunk, n), 0);
    if (fault.n_calls < fault.at) /* so many a turn does not make: the positive control */
        ck_assert_msg(strstr(buf_str(&text), "--accepted--> queued") != NULL, "%s", buf_str(&text));
    else
        ck_assert_ptr_null(strstr(buf_str(&text), "-->"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("engine, room for a step");
    TCase *t = tcase_create("room");
    SRunner *sr;
    int n_failed;

    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, begin, end);
    tcase_add_loop_test(t, a_start_without_room_is_run_once_when_there_is_room_after_a_crash, 0,
                        ARRAY_LEN(errors));
    tcase_add_test(t, a_step_that_begins_after_a_long_outage_has_all_of_its_time);
    tcase_add_test(t, a_start_without_room_holds_no_other_command_up);
    tcase_add_test(t, a_second_step_without_room_is_run_after_a_crash);
    tcase_add_test(t, a_step_that_found_room_later_is_not_run_again_without_its_directory);
    tcase_add_test(t, a_step_that_waits_for_room_can_be_cancelled);
    tcase_add_loop_test(t, the_log_tells_no_transition_that_the_journal_has_not, 1, 8);
    suite_add_tcase(s, t);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
