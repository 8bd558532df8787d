/* Records of running and ended steps as versions before and after this one leave them
 * (tests/fixtures/runner): this agent understands them, its runner understands their requests, and
 * what its runner writes has all that they look for. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/record.h"
#include "base/str.h"
#include "executors/step_dir.h"
#include "tests/unit/step_world.h"

static struct world world;

static const char *const versions[] = {"earlier", "0.1.0", "later"};

static void begin(void)
{
    world_init(&world, false);
}

static void end(void)
{
    world_done(&world);
}

static char *fixture(const char *version, const char *name)
{
    char path[512];
    struct buf text;
    struct err err;

    (void)snprintf(path, sizeof(path), TEST_SOURCE_DIR "/fixtures/runner/%s/%s", version, name);
    buf_init(&text, 4096);
    ck_assert_msg(fs_read_file(AT_FDCWD, path, &text, &err) == 0, "%s", err.text);
    return buf_take(&text);
}

START_TEST(the_end_that_another_version_has_written_is_told_as_it_was)
{
    AUTO(free) char *started = fixture(versions[_i], "started");
    AUTO(free) char *exited = fixture(versions[_i], "exit");
    struct world_step step = {.script = "exit 9"};

    world_write_records(&world, &step, STEP_FILE_EXIT, started, exited);
    world_attach(&world, &step);
    world_wait(&world, 1);
    ck_assert_int_eq(world.answer, STEP_ENDED);
    ck_assert_int_eq(world.outcome.end, STEP_END_EXITED);
    ck_assert_int_eq(world.outcome.code, 3);
    ck_assert_int_eq(world.outcome.was_started, 1);
    ck_assert_uint_eq(world.outcome.out.bytes, 4);
    ck_assert_str_eq(world.outcome.text, "exit status 3");
}
END_TEST

START_TEST(a_step_that_another_version_has_begun_is_never_begun_again)
{
    AUTO(free) char *started = fixture(versions[_i], "started");
    struct world_step step = {.script = "echo again"};
    char path[256];

    world_write_file(&world, &step, STEP_FILE_STARTED, started);
    ck_assert_int_eq(world_probe(&world, &step), STEP_LOST);
    world_start(&world, &step);
    world_wait(&world, 1);
    ck_assert_int_eq(world.answer, STEP_LOST);
    ck_assert_str_eq(world.outcome.boot_id, "8c1f4c4e-1c3b-4f6a-9a53-1d6f3a5e7b11");
    (void)snprintf(path, sizeof(path), "%s/job/1.1/stdout", world.dir);
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

START_TEST(a_request_of_another_version_stops_a_running_step)
{
    AUTO(free) char *cancel = fixture(versions[_i], "cancel");
    struct world_step step = {.script = "echo up; sleep 300"};

    world_start(&world, &step);
    world_wait_output(&world, &step, "up");
    world_write_file(&world, &step, STEP_FILE_CANCEL, cancel);
    ck_assert_int_eq(kill(world_runner_pid(&world, &step), SIGUSR1), 0);
    world_wait(&world, 1);
    ck_assert_int_eq(world.outcome.end,
                     str_eq(versions[_i], "earlier") ? STEP_END_CANCELLED : STEP_END_TIMED_OUT);
}
END_TEST

/* Every key of the other version's record is in ours. */
static void compare_keys(const char *version, const char *name, const char *ours, size_t n)
{
    AUTO(free) char *theirs = fixture(version, name);
    AUTO(record_done) struct record a = {0}, b = {0};
    struct err err;
    size_t i;

    ck_assert_msg(record_parse(theirs, strlen(theirs), name, &a, &err) == 0, "%s", err.text);
    ck_assert_msg(record_parse(ours, n, name, &b, &err) == 0, "%s", err.text);
    for (i = 0; i < a.n_items; i++)
        ck_assert_msg(str_eq(a.items[i].key, STEP_KEY_CGROUP) ||
                          record_get(&b, a.items[i].key) != NULL,
                      "%s: version %s looks for %s", name, version, a.items[i].key);
}

START_TEST(this_version_writes_all_that_those_before_it_look_for)
{
    struct world_step step = {.script = "exit 3"};
    AUTO(buf_done) struct buf bytes = {0};
    char path[256];
    struct err err;

    world_run(&world, &step);
    (void)snprintf(path, sizeof(path), "%s/job/1.1/exit", world.dir);
    buf_init(&bytes, 1 << 20);
    ck_assert_msg(fs_read_file(AT_FDCWD, path, &bytes, &err) == 0, "%s", err.text);
    ck_assert_uint_gt(bytes.len, STEP_EXIT_OFFSET);
    compare_keys(versions[_i], "started", bytes.data, strnlen(bytes.data, STEP_EXIT_OFFSET));
    compare_keys(versions[_i], "exit", bytes.data + STEP_EXIT_OFFSET,
                 strnlen(bytes.data + STEP_EXIT_OFFSET, bytes.len - STEP_EXIT_OFFSET));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("runner_versions");
    TCase *t = tcase_create("versions");
    SRunner *sr;
    int n_failed;

    tcase_add_checked_fixture(t, begin, end);
    tcase_add_loop_test(t, the_end_that_another_version_has_written_is_told_as_it_was, 0, 3);
    tcase_add_loop_test(t, a_step_that_another_version_has_begun_is_never_begun_again, 0, 3);
    tcase_add_loop_test(t, a_request_of_another_version_stops_a_running_step, 0, 3);
    tcase_add_loop_test(t, this_version_writes_all_that_those_before_it_look_for, 0, 2);
    suite_add_tcase(suite, t);
    sr = srunner_create(suite);
    srunner_run_all(sr, CK_ENV);
    n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
