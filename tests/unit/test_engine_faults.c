/* The interpreter when something is wrong with its journal: one job's rows, a commit, the room on
 * the disk, descriptors. */
#include "engine_sql.h"
#include "engine_world.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine_internal.h"
#include "base/fs.h"
#include "base/str.h"
#include "tests/lib/loop_until.h"

static struct engine_world w;

static void begin(void)
{
    engine_world_init(&w, NULL, NULL);
}

static void end(void)
{
    engine_world_done(&w);
}

static bool has_terminal(struct engine_world *world)
{
    return engine_world_count(world, "reply", "Success") > 0;
}

static bool has_no_processes(struct engine_world *world)
{
    return engine_world_processes(world) == 0;
}

#define CANCEL_ID "aws.ssm.00000000-0000-4000-8000-000000000077.mi-0123456789abcdef0"

static const char *cancel_order(int number)
{
    static char order[256];

    (void)snprintf(order, sizeof(order),
                   "{\"CancelMessageId\":\"aws.ssm.00000000-0000-4000-8000-%012d."
                   "mi-0123456789abcdef0\"}",
                   number);
    return order;
}

START_TEST(a_job_whose_document_cannot_be_read_any_more_is_reported_with_the_reason)
{
    size_t i, n = 0;

    (void)engine_world_send(&w, 1, 1, engine_world_waiting(&w, "exit 0"));
    engine_world_until(&w, engine_world_is_marked);
    engine_world_crash(&w);
    engine_change_journal(&w, "UPDATE inbox SET payload = CAST('not json' AS BLOB)");
    engine_world_start(&w, "boot-1");
    engine_world_go(&w);
    (void)engine_world_send(&w, 2, 1, "exit 0");
    engine_world_until(&w, has_terminal); /* the others go on */
    engine_world_until(&w, engine_world_is_idle);
    ck_assert(w.is_open);
    for (i = 0; i < w.n_told; i++)
        if (str_eq(w.told[i].status, "Failed")) {
            n++;
            ck_assert_ptr_nonnull(strstr(w.told[i].payload, "its document"));
            ck_assert_ptr_nonnull(strstr(w.told[i].payload, "0: Success (0)"));
        }
    ck_assert_uint_eq(n, 1);
}
END_TEST

START_TEST(so_is_one_that_was_to_begin_and_to_send_its_output_elsewhere)
{
    w.config.command_workers = 0;
    engine_world_receive(
        &w, "aws.ssm.sendCommand.us.east.1.1",
        "aws.ssm.00000000-0000-4000-8000-000000000001.mi-0123456789abcdef0",
        "{\"DocumentName\":\"T\",\"CommandId\":\"x\",\"OutputS3BucketName\":\"bucket\","
        "\"DocumentContent\":{\"schemaVersion\":\"2.2\",\"mainSteps\":[{\"action\":"
        "\"aws:runShellScript\",\"name\":\"s\",\"inputs\":{\"runCommand\":[\"true\"]}}]}}");
    engine_world_turns(&w, 3);
    engine_world_crash(&w);
    engine_change_journal(&w, "UPDATE inbox SET payload = CAST('not json' AS BLOB)");
    w.config.command_workers = 5;
    engine_world_start(&w, "boot-1");
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_uint_eq(engine_world_count(&w, "reply", "Failed"), 1);
    ck_assert_ptr_nonnull(strstr(w.told[w.n_told - 1].payload, "its document"));
}
END_TEST

static bool has_one_job(struct engine_world *world)
{
    struct journal_counts c;

    return world->journal->ops->counts(world->journal, &c, NULL) == 0 && c.n_open == 1;
}

/* Its rows take nothing more: what a damaged journal may do to one job. */
START_TEST(a_job_that_is_set_aside_has_its_runner_watched_and_the_others_go_on)
{
    AUTO(buf_done) struct buf started = {0};
    enum journal_known known;
    const char *runner;
    size_t n_told;
    char name[PATH_MAX + 100];
    struct err err;

    (void)engine_world_send(&w, 1, 1, engine_world_waiting(&w, "exit 0"));
    engine_world_until(&w, engine_world_is_marked);
    engine_world_crash(&w);
    engine_change_journal(
        &w, "CREATE TRIGGER broken BEFORE INSERT ON transition WHEN NEW.instance_id LIKE "
            "'%000000000001' BEGIN SELECT RAISE(ABORT, 'broken'); END");
    engine_world_start(&w, "boot-1");
    ck_assert_int_eq(
        engine_cancel(w.engine, "00000000-0000-4000-8000-000000000001", NULL, NULL, &err), 0);
    (void)engine_world_send(&w, 2, 1, "exit 0");
    LOOP_UNTIL(&w.loop, !w.is_open);
    LOOP_UNTIL(&w.loop, w.is_open);
    (void)engine_world_send(&w, 2, 1, "exit 0"); /* its delivery went with the turn that failed */
    engine_world_until(&w, has_terminal);
    engine_world_until(&w, has_one_job);
    /* An order to cancel it is neither lost nor acknowledged: it is offered again. */
    ck_assert_int_eq(
        engine_cancel(w.engine, "00000000-0000-4000-8000-000000000001", NULL, NULL, &err),
        ERR_STATE);
    n_told = w.n_told;
    engine_world_receive(&w, "aws.ssm.cancelCommand.x", CANCEL_ID, cancel_order(1));
    engine_world_turns(&w, 20);
    ck_assert_uint_eq(w.n_told, n_told);
    ck_assert_int_eq(w.journal->ops->find(w.journal, CANCEL_ID, NULL, &known, &err), 0);
    ck_assert_int_eq(known, JOURNAL_UNKNOWN);
    /* Its runner dies: what it leaves behind is found and ended. */
    buf_init(&started, 65536);
    (void)snprintf(name, sizeof(name), "%s/00000000-0000-4000-8000-000000000001/0.1/started",
                   w.paths.jobs_dir);
    ck_assert_int_eq(fs_read_file(AT_FDCWD, name, &started, &err), 0);
    runner = strstr(buf_str(&started), "\nrunner_pid=");
    ck_assert_ptr_nonnull(runner);
    ck_assert_int_eq(kill((pid_t)strtol(strchr(runner, '=') + 1, NULL, 10), SIGKILL), 0);
    engine_world_until(&w, has_no_processes);
}
END_TEST

static bool is_set_aside_again(struct engine_world *world)
{
    return world->engine->n_set_aside == 1 && !world->engine->set_aside[0].is_tried &&
           !world->engine->is_suspended;
}

/* As if its time had come. */
static void try_again(void)
{
    backoff_clear(&w.engine->revive);
    w.engine->set_aside[0].due_boottime_ms = 0;
    aside_on_timer(&w.engine->aside_timer);
}

static void break_rows_of_the_first_job(void)
{
    engine_change_journal(&w,
                          "CREATE TRIGGER broken BEFORE INSERT ON transition WHEN NEW.instance_id "
                          "LIKE '%000000000001' BEGIN SELECT RAISE(ABORT, 'broken'); END");
}

/* What came while it was set aside, the end of its step too, is found by the try. */
START_TEST(a_job_that_was_set_aside_is_reported_once_its_rows_take_something_again)
{
    (void)engine_world_send(&w, 1, 1, engine_world_waiting(&w, "exit 0"));
    engine_world_until(&w, engine_world_is_marked);
    engine_world_crash(&w);
    break_rows_of_the_first_job();
    engine_world_start(&w, "boot-1");
    engine_world_go(&w);
    engine_world_until(&w, is_set_aside_again);
    ck_assert(w.is_open);
    aside_on_timer(&w.engine->aside_timer); /* it is not its time */
    ck_assert(!w.engine->is_suspended);
    engine_change_journal(&w, "DROP TRIGGER broken");
    try_again();
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_uint_eq(engine_world_count(&w, "reply", "Success"), 1);
    ck_assert_uint_eq(engine_world_n_marks(&w), 1);
    ck_assert(w.is_open);
}
END_TEST

START_TEST(a_job_whose_rows_never_take_anything_is_tried_a_few_times)
{
    unsigned i;

    (void)engine_world_send(&w, 1, 1, engine_world_waiting(&w, "exit 0"));
    engine_world_until(&w, engine_world_is_marked);
    engine_world_crash(&w);
    break_rows_of_the_first_job();
    engine_world_start(&w, "boot-1");
    engine_world_go(&w);
    engine_world_until(&w, is_set_aside_again);
    for (i = 1; w.engine->set_aside[0].due_boottime_ms != INT64_MAX; i++) {
        ck_assert_uint_eq(w.engine->set_aside[0].n_failures, i);
        ck_assert(uv_is_active((uv_handle_t *)&w.engine->aside_timer));
        try_again();
        ck_assert(w.engine->is_suspended);
        LOOP_UNTIL(&w.loop, w.engine->set_aside[0].n_failures == i + 1);
        engine_world_until(&w, is_set_aside_again);
    }
    ck_assert_uint_eq(i, 5);
    ck_assert(!uv_is_active((uv_handle_t *)&w.engine->aside_timer));
    ck_assert_uint_eq(engine_world_n_marks(&w), 1);
    (void)engine_world_send(&w, 2, 1, "exit 0"); /* the others go on */
    engine_world_until(&w, has_one_job);
    ck_assert_uint_eq(engine_world_count(&w, "reply", "Success"), 1);
}
END_TEST

static bool has_failed_one(struct engine_world *world)
{
    return engine_world_count(world, "fail", NULL) > 0 || world->n_rejected > 0;
}

/* On ec2messages it is failed, on the control channel its acknowledgement says it. */
START_TEST(a_message_that_cannot_be_journaled_is_failed_when_it_comes_again)
{
    w.link.has_verdicts = _i != 0;
    engine_world_crash(&w);
    engine_change_journal(&w,
                          "CREATE TRIGGER broken BEFORE INSERT ON inbox WHEN NEW.instance_id LIKE "
                          "'%000000000001' BEGIN SELECT RAISE(ABORT, 'broken'); END");
    engine_world_start(&w, "boot-1");
    (void)engine_world_send(&w, 1, 1, "exit 0");
    LOOP_UNTIL(&w.loop, !w.is_open);
    LOOP_UNTIL(&w.loop, w.is_open);
    (void)engine_world_send(&w, 1, 1, "exit 0");
    (void)engine_world_send(&w, 2, 1, "exit 0");
    engine_world_until(&w, has_failed_one);
    engine_world_until(&w, has_terminal);
    ck_assert(w.is_open);
}
END_TEST

START_TEST(a_journal_that_fails_stops_the_transition)
{
    struct journal_fault fault = {.at = _i + 1, .repeat = 1, .code = ERR_FULL};
    int round;

    engine_world_init(&w, NULL, &fault);
    fault.n_calls = 0;
    (void)engine_world_send(&w, 1, 1, engine_world_marking(&w, "exit 4"));
    for (round = 0; round < 200 && engine_world_is_idle(&w); round++)
        engine_world_turns(&w, 1);
    if (engine_world_is_idle(
            &w)) { /* the receipt itself failed: as the service would, deliver again */
        ck_assert_uint_eq(w.n_told, 0);
        LOOP_UNTIL(&w.loop, w.is_open);
        (void)engine_world_send(&w, 1, 1, engine_world_marking(&w, "exit 4"));
        engine_world_turns(&w, 2);
    }
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_uint_eq(engine_world_n_marks(&w), 1);
    ck_assert_uint_eq(engine_world_count(&w, "reply", "Failed") > 0, true);
    ck_assert_ptr_nonnull(strstr(w.told[w.n_told - 1].payload, "\"code\":4"));
    engine_world_done(&w);
}
END_TEST

static struct engine_status status(void)
{
    struct engine_status s;

    engine_get_status(w.engine, &s);
    return s;
}

static bool is_at_work(struct engine_world *world)
{
    struct engine_status s;

    engine_get_status(world->engine, &s);
    return !s.is_suspended;
}

static bool is_open(struct engine_world *world)
{
    return world->is_open;
}

static bool has_told_code(struct engine_world *world)
{
    return engine_world_count(world, "reply", "Failed") == 1;
}

/* The journal gave its reserve up, so that what runs can record its end. */
START_TEST(the_reserve_is_not_spent_on_new_work)
{
    struct journal_fault fault = {.code = ERR_FULL};
    struct err err;
    int i;

    engine_world_init(&w, NULL, &fault);
    w.config.command_workers = 1;
    (void)engine_world_send(&w, 1, 1, engine_world_waiting(&w, "exit 4"));
    (void)engine_world_send(&w, 2, 1, engine_world_marking(&w, "exit 0"));
    engine_world_until(&w, engine_world_is_marked);
    fault.has_no_room = true;
    fault.at = fault.n_calls + 1;
    fault.repeat = 1;
    engine_world_go(&w);
    LOOP_UNTIL(&w.loop, !w.is_open);
    engine_world_until(&w, is_at_work);
    engine_world_until(&w, has_told_code); /* what ran is recorded and reported */
    for (i = 0; i < 20; i++)
        engine_world_turns(&w, 5);
    ck_assert(!w.is_open);
    ck_assert(status().is_short);
    ck_assert_uint_eq(engine_world_n_marks(&w), 1); /* what waited waits */
    ck_assert_int_eq(engine_run_local(w.engine, "x", "{}", NULL, NULL, &err), ERR_STATE);
    ck_assert_ptr_nonnull(strstr(err.text, "disk"));
    engine_world_restart(&w, "boot-1");
    ck_assert(status().is_short); /* asked at a start, too */
    fault.has_no_room = false;
    engine_world_until(&w, is_open);
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_uint_eq(engine_world_n_marks(&w), 2);
    engine_world_done(&w);
}
END_TEST

START_TEST(a_shortage_of_descriptors_is_not_blamed_on_the_journal)
{
    struct err err;

    (void)err_sys(&err, ERR_IO, EMFILE, "output of step 1");
    engine_suspend(w.engine, &err);
    ck_assert_ptr_nonnull(strstr(status().journal_text, "out of memory or descriptors: output of"));
    ck_assert_ptr_null(strstr(status().journal_text, "journal"));
    ck_assert_int_eq(engine_run_local(w.engine, "x", "{}", NULL, NULL, &err), ERR_STATE);
    ck_assert_ptr_null(strstr(err.text, "journal"));
    engine_world_until(&w, is_open);
    ck_assert_str_eq(status().journal_text, "");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("engine_faults");
    TCase *t = tcase_create("rows"), *f = tcase_create("faults");
    SRunner *sr;
    int n_failed;

    tcase_set_timeout(t, 120);
    tcase_set_timeout(f, 120);
    tcase_add_checked_fixture(t, begin, end);
    tcase_add_test(t, a_job_whose_document_cannot_be_read_any_more_is_reported_with_the_reason);
    tcase_add_test(t, so_is_one_that_was_to_begin_and_to_send_its_output_elsewhere);
    tcase_add_test(t, a_job_that_is_set_aside_has_its_runner_watched_and_the_others_go_on);
    tcase_add_test(t, a_job_that_was_set_aside_is_reported_once_its_rows_take_something_again);
    tcase_add_test(t, a_job_whose_rows_never_take_anything_is_tried_a_few_times);
    tcase_add_loop_test(t, a_message_that_cannot_be_journaled_is_failed_when_it_comes_again, 0, 2);
    tcase_add_loop_test(f, a_journal_that_fails_stops_the_transition, 0, 24);
    tcase_add_test(f, the_reserve_is_not_spent_on_new_work);
    tcase_add_test(t, a_shortage_of_descriptors_is_not_blamed_on_the_journal);
    suite_add_tcase(s, t);
    suite_add_tcase(s, f);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
