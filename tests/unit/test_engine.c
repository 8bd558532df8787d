/* The interpreter: commits per command and per turn, order of answers, duplicates, restarts,
 * reboots. What goes wrong with the journal: test_engine_faults.c. */
#include "engine_sql.h"
#include "engine_world.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine_internal.h"
#include "base/fs.h"
#include "base/str.h"
#include "fsm/registration.h"
#include "schema/reply.h"
#include "tests/lib/count_vfs.h"
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

START_TEST(a_one_step_command_costs_three_synced_commits)
{
    int64_t before;

    engine_world_done(&w); /* the fixture's; this one counts syncs where SQLite asks for them */
    count_vfs_register();
    engine_world_init(&w, COUNT_VFS, NULL);
    engine_world_turns(&w, 3);
    count_vfs_reset();
    before = engine_world_commits(&w);
    (void)engine_world_send(&w, 1, 1, "exit 0");
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_int_le(engine_world_commits(&w) - before, 3);
    ck_assert_int_ge(count_vfs.n_wal_syncs, engine_world_commits(&w) - before);
    ck_assert_int_le(count_vfs.n_wal_syncs, 6); /* one more each time the log begins anew */
}
END_TEST

START_TEST(a_command_whose_answers_fail_at_first_costs_no_more)
{
    int64_t before;

    engine_world_turns(&w, 3);
    before = engine_world_commits(&w);
    (void)err_set(&w.answer, ERR_SERVER, "the service failed");
    (void)engine_world_send(&w, 1, 1, engine_world_marking(&w, "exit 0"));
    engine_world_until(&w, engine_world_is_marked);
    w.answer = (struct err){0};
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_int_le(engine_world_commits(&w) - before, 6);
    ck_assert_uint_eq(engine_world_count(&w, "reply", "Success"), 1);
}
END_TEST

START_TEST(messages_that_come_together_cost_one_commit)
{
    int64_t before;
    int i;

    w.config.command_workers = 1;
    engine_world_turns(&w, 3);
    before = engine_world_commits(&w);
    for (i = 1; i <= 50; i++)
        (void)engine_world_send(&w, i, 1, "exit 0");
    engine_world_turns(&w, 1);
    ck_assert_int_eq(engine_world_commits(&w) - before, 1);
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_uint_eq(engine_world_count(&w, "reply", "Success"), 50);
}
END_TEST

START_TEST(answers_go_out_in_the_order_of_the_protocol)
{
    static const char *const expected[] = {"reply InProgress", "acknowledge ", "reply InProgress",
                                           "reply InProgress", "reply Failed"};
    size_t i;

    (void)engine_world_send(&w, 1, 2, "exit 5");
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_uint_eq(w.n_told, ARRAY_LEN(expected));
    for (i = 0; i < ARRAY_LEN(expected); i++) {
        char told[64];

        (void)snprintf(told, sizeof(told), "%s %s", w.told[i].what, w.told[i].status);
        ck_assert_str_eq(told, expected[i]);
    }
}
END_TEST

START_TEST(a_repeated_message_starts_nothing_and_is_answered)
{
    (void)engine_world_send(&w, 1, 1, engine_world_marking(&w, "exit 0"));
    engine_world_until(&w, engine_world_is_idle);
    (void)engine_world_send(&w, 1, 1, engine_world_marking(&w, "exit 0"));
    engine_world_turns(&w, 20);
    ck_assert_uint_eq(engine_world_n_marks(&w), 1);
    ck_assert_uint_eq(engine_world_count(&w, "acknowledge", NULL), 2);
    ck_assert_uint_eq(engine_world_count(&w, "reply", "Success"), 2);
    ck_assert_str_eq(w.told[w.n_told - 1].status, "Success"); /* the stored one, with its id */
    ck_assert_str_eq(w.told[w.n_told - 1].reply_id, w.told[3].reply_id);
}
END_TEST

START_TEST(a_document_that_is_refused_is_reported_and_never_acknowledged)
{
    const char *id = "aws.ssm.00000000-0000-4000-8000-000000000009.mi-0123456789abcdef0";

    engine_world_receive(&w, "aws.ssm.sendCommand", id, "this is not json");
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_uint_eq(w.n_told, 1);
    ck_assert_str_eq(w.told[0].status, "Failed");
    engine_world_receive(&w, "aws.ssm.sendCommand", id, "this is not json");
    engine_world_turns(&w, 20);
    ck_assert_uint_eq(w.n_told, 2);
    ck_assert_str_eq(w.told[1].reply_id, w.told[0].reply_id);
}
END_TEST

/* A schema's complaints about many parameters have many lines. */
START_TEST(a_refusal_is_told_in_full)
{
    AUTO(buf_done) struct buf payload = {0};
    AUTO(reply_done) struct reply reply = {0};
    int i;

    buf_init(&payload, 1 << 20);
    (void)buf_add_str(&payload, "{\"DocumentName\":\"T\",\"CommandId\":\"x\",\"Parameters\":{");
    for (i = 0; i < 100; i++)
        (void)buf_printf(&payload, "%s\"p%d\":\"no\"", i > 0 ? "," : "", i);
    (void)buf_add_str(&payload,
                      "},\"DocumentContent\":{\"schemaVersion\":\"2.2\",\"parameters\":{");
    for (i = 0; i < 100; i++)
        (void)buf_printf(&payload, "%s\"p%d\":{\"type\":\"String\",\"allowedPattern\":\"^yes$\"}",
                         i > 0 ? "," : "", i);
    (void)buf_add_str(&payload,
                      "},\"mainSteps\":[{\"action\":\"aws:runShellScript\",\"name\":\"s\","
                      "\"inputs\":{\"runCommand\":[\"true\"]}}]}}");
    ck_assert_int_eq(buf_error(&payload, "payload", NULL), 0);
    engine_world_receive(&w, "aws.ssm.sendCommand",
                         "aws.ssm.00000000-0000-4000-8000-000000000009.mi-x", buf_str(&payload));
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_uint_eq(w.n_told, 1);
    ck_assert_int_eq(reply_parse(w.told[0].payload, strlen(w.told[0].payload), &reply, NULL), 0);
    ck_assert_str_eq(reply.document_status, "Failed");
    ck_assert_ptr_nonnull(reply.trace);
    ck_assert_msg(strlen(reply.trace) > 1000, "%s", reply.trace);
}
END_TEST

START_TEST(an_unknown_topic_is_failed)
{
    engine_world_receive(&w, "aws.ssm.other", "aws.ssm.00000000-0000-4000-8000-000000000010.mi-x",
                         "{}");
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_uint_eq(engine_world_count(&w, "fail", NULL), 1);
    ck_assert_uint_eq(w.n_told, 1);
}
END_TEST

START_TEST(a_restart_under_a_script_reports_its_true_end)
{

    (void)engine_world_send(&w, 1, 1, engine_world_waiting(&w, "exit 9"));
    engine_world_until(&w, engine_world_is_marked);
    engine_world_restart(&w, "boot-1");
    engine_world_go(&w);
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_uint_eq(engine_world_n_marks(&w), 1);
    ck_assert_uint_eq(engine_world_count(&w, "reply", "Failed"), 1);
    ck_assert_ptr_nonnull(strstr(w.told[w.n_told - 1].payload, "\"code\":9"));
}
END_TEST

static bool has_no_processes(struct engine_world *world)
{
    return engine_world_processes(world) == 0;
}

START_TEST(a_step_whose_directory_was_removed_is_lost_and_not_run_again)
{
    struct err err;

    (void)engine_world_send(&w, 1, 1, engine_world_waiting(&w, "exit 0"));
    engine_world_until(&w, engine_world_is_marked);
    engine_world_crash(&w);
    ck_assert_int_eq(fs_remove_tree(AT_FDCWD, w.paths.jobs_dir, &err), 0);
    engine_world_start(&w, "boot-1");
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_uint_eq(engine_world_n_marks(&w), 1);
    ck_assert_ptr_nonnull(strstr(w.told[w.n_told - 1].payload, "\"code\":1000"));
    ck_assert_ptr_nonnull(strstr(w.told[w.n_told - 1].payload, "directory was removed"));
    engine_world_until(&w, has_no_processes); /* they were sent SIGKILL before */
}
END_TEST

START_TEST(a_cancel_of_a_step_whose_directory_was_removed_kills_it_and_says_what_is_known)
{
    struct err err;

    (void)engine_world_send(&w, 1, 1, engine_world_waiting(&w, "exit 0"));
    engine_world_until(&w, engine_world_is_marked);
    if (_i == 1) {
        engine_world_crash(&w);
        engine_world_start(&w, "boot-1");
    }
    ck_assert_int_eq(fs_remove_tree(AT_FDCWD, w.paths.jobs_dir, &err), 0);
    ck_assert_int_eq(
        engine_cancel(w.engine, "00000000-0000-4000-8000-000000000001", NULL, NULL, &err), 0);
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_ptr_nonnull(strstr(w.told[w.n_told - 1].payload, "\"code\":1000"));
    engine_world_until(&w, has_no_processes);
}
END_TEST

/* A runner that takes the lock, and dies before it has begun when it is told to stop. */
static void put_dying_runner(void)
{
    static const char script[] = "#!/bin/sh\n"
                                 "exec 9<\"$1\" && flock -n 9 && echo there >>%s/mark\n"
                                 "until [ -e \"$1\"/cancel ]; do sleep 0.02; done\n"
                                 "kill -9 $$\n";
    char text[512];
    struct err err;
    int n, dirfd;

    engine_world_crash(&w);
    n = snprintf(text, sizeof(text), script, w.dir);
    ck_assert_int_eq(fs_open_dir(AT_FDCWD, w.dir, &dirfd, &err), 0);
    ck_assert_int_eq(fs_write_atomic(dirfd, "runner", text, (size_t)n, 0700, false, &err), 0);
    (void)close(dirfd);
    (void)snprintf(w.config.runner_path, sizeof(w.config.runner_path), "%s/runner", w.dir);
    engine_world_start(&w, "boot-1");
}

START_TEST(a_runner_that_dies_before_it_began_when_it_is_told_to_stop_leaves_a_cancelled_step)
{
    struct err err;

    put_dying_runner();
    (void)engine_world_send(&w, 1, 1, "exit 0");
    engine_world_until(&w, engine_world_is_marked);
    if (_i == 1) {
        engine_world_crash(&w);
        engine_world_start(&w, "boot-1");
    }
    ck_assert_int_eq(
        engine_cancel(w.engine, "00000000-0000-4000-8000-000000000001", NULL, NULL, &err), 0);
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_uint_eq(engine_world_count(&w, "reply", "Cancelled"), 1);
    ck_assert_ptr_null(strstr(w.told[w.n_told - 1].payload, "\"code\":137")); /* it had not begun */
}
END_TEST

START_TEST(an_answer_that_could_not_even_be_begun_is_tried_again)
{
    w.n_unbegun = 3;
    (void)engine_world_send(&w, 1, 1, engine_world_marking(&w, "exit 0"));
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_uint_eq(w.n_unbegun, 0);
    ck_assert_uint_eq(engine_world_count(&w, "reply", "Success"), 1);
    ck_assert_uint_eq(engine_world_n_marks(&w), 1);
}
END_TEST

START_TEST(a_command_that_was_not_begun_before_a_loss_of_power_is_run)
{
    struct err err;

    w.config.command_workers = 0; /* accepted, and not started */
    (void)engine_world_send(&w, 1, 1, engine_world_marking(&w, "exit 0"));
    engine_world_turns(&w, 3);
    engine_world_crash(&w);
    ck_assert_int_eq(fs_remove_tree(AT_FDCWD, w.paths.jobs_dir, &err), 0);
    w.config.command_workers = 5;
    engine_world_start(&w, "boot-2");
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_uint_eq(engine_world_n_marks(&w), 1);
    ck_assert_uint_eq(engine_world_count(&w, "reply", "Success"), 1);
}
END_TEST

#define ALL_IS_OVERDUE "UPDATE instance SET deadline_boottime_ms = 1 WHERE deadline_after_ms > 0"

START_TEST(a_step_that_ended_while_nobody_looked_takes_its_deadline_with_it)
{
    (void)engine_world_send(&w, 1, 2, engine_world_waiting(&w, "exit 0"));
    engine_world_until(&w, engine_world_is_marked);
    engine_world_crash(&w);
    engine_world_go(&w);
    while (engine_world_processes(&w) > 0)
        ;
    engine_change_journal(&w, ALL_IS_OVERDUE);
    engine_world_start(&w, "boot-1");
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_uint_eq(engine_world_n_marks(&w), 2);
    ck_assert_uint_eq(engine_world_count(&w, "reply", "Success"), 1);
}
END_TEST

/* The end of the first step and its deadline come in one turn. */
START_TEST(a_deadline_is_over_for_the_step_that_had_it_and_no_other)
{
    struct job *job;

    (void)engine_world_send(&w, 1, 2, engine_world_waiting(&w, "exit 0"));
    engine_world_until(&w, engine_world_is_marked);
    job = w.engine->first;
    engine_world_go(&w);
    /* the turn is the next round's */
    LOOP_UNTIL(&w.loop, w.engine->n_urgent > 0);
    job->inst.deadline.boottime_ms = 1;
    engine_on_deadline(&w.engine->deadline_timer);
    ck_assert_uint_eq(w.engine->n_urgent, 2);
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_uint_eq(engine_world_n_marks(&w), 2);
    ck_assert_uint_eq(engine_world_count(&w, "reply", "Success"), 1);
}
END_TEST

static bool has_told_of_time(struct engine_world *world)
{
    return engine_world_count(world, "reply", "TimedOut") > 0;
}

START_TEST(a_step_that_runs_on_after_its_deadline_is_stopped)
{
    (void)engine_world_send(&w, 1, 1, engine_world_waiting(&w, "exit 0"));
    engine_world_until(&w, engine_world_is_marked);
    w.engine->first->inst.deadline.boottime_ms = 1;
    engine_arm_deadlines(w.engine);
    engine_world_until(&w, has_told_of_time);
    engine_world_until(&w, engine_world_is_idle);
}
END_TEST

static bool has_terminal(struct engine_world *world)
{
    return engine_world_count(world, "reply", "Success") > 0;
}

START_TEST(a_result_passes_an_acknowledgement_that_is_never_taken)
{
    (void)err_set(&w.acknowledge_answer, ERR_AUTH, "AccessDeniedException");
    (void)engine_world_send(&w, 1, 1, "exit 0");
    engine_world_until(&w, has_terminal);
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_uint_ge(engine_world_count(&w, "acknowledge", NULL), 3);
}
END_TEST

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

/* 16 is the least that the service's model allows, 1,024 the most that an envelope may have. */
START_TEST(a_message_id_of_any_length_is_kept_and_answered)
{
    static const size_t lengths[] = {16, 199, 200, 256, 1024};
    char id[1025];

    memset(id, 'x', sizeof(id));
    id[lengths[_i]] = '\0';
    engine_world_receive(&w, "aws.ssm.sendCommand.us.east.1.1", id,
                         "{\"DocumentName\":\"T\",\"CommandId\":\"x\",\"DocumentContent\":"
                         "{\"schemaVersion\":\"2.2\",\"mainSteps\":[{\"action\":"
                         "\"aws:runShellScript\",\"name\":\"s\",\"inputs\":{\"runCommand\":"
                         "[\"true\"]}}]}}");
    engine_world_restart(&w, "boot-1"); /* read back, too */
    engine_world_until(&w, has_terminal);
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_str_eq(w.told[w.n_told - 1].message_id, id);
    ck_assert_uint_eq(engine_world_count(&w, "acknowledge", NULL), 1);
}
END_TEST

START_TEST(a_reply_that_is_not_taken_is_sent_again_with_its_id)
{
    size_t first;

    (void)engine_world_send(&w, 1, 1, "exit 0");
    (void)err_set(&w.answer, ERR_SERVER, "the service failed");
    engine_world_turns(&w, 50);
    first = w.n_told;
    ck_assert_uint_ge(first, 1);
    w.answer = (struct err){0};
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_str_eq(w.told[first].reply_id, w.told[first - 1].reply_id);
    ck_assert_uint_eq(engine_world_count(&w, "reply", "Success"), 1);
}
END_TEST

START_TEST(a_reply_that_is_refused_for_good_ends_the_command)
{
    (void)engine_world_send(&w, 1, 1, "exit 0");
    (void)err_set(&w.answer, ERR_REFUSED, "InvalidMessageIdException");
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_uint_eq(engine_world_count(&w, "reply", "Success"), 1);
}
END_TEST

static bool has_asked_for_reboot(struct engine_world *world)
{
    return engine_world_count(world, "reply", "SuccessAndReboot") == 1;
}

START_TEST(nothing_is_started_while_a_reboot_is_awaited)
{
    char script[512];

    (void)snprintf(script, sizeof(script), "if [ ! -e %s/once ]; then touch %s/once; exit 194; fi",
                   w.dir, w.dir);
    (void)engine_world_send(&w, 1, 1, script);
    engine_world_until(&w, has_asked_for_reboot);
    (void)engine_world_send(&w, 2, 1, engine_world_marking(&w, "exit 0"));
    engine_world_turns(&w, 50);
    ck_assert_str_eq(engine_world_file(&w, "mark"), "");
    engine_world_restart(&w, "boot-2");
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_uint_eq(engine_world_n_marks(&w), 1);
    ck_assert_uint_eq(engine_world_count(&w, "reply", "Success"), 2);
}
END_TEST

static const char *reboot_fact(void)
{
    static char text[256];
    AUTO(buf_done) struct buf value = {0};

    buf_init(&value, sizeof(text) - 1);
    text[0] = '\0';
    if (w.journal->ops->get_fact(w.journal, "reboot", &value, NULL) == 0)
        (void)snprintf(text, sizeof(text), "%s", buf_str(&value));
    return text;
}

static bool has_asked_for_two(struct engine_world *world)
{
    return engine_world_count(world, "reply", "SuccessAndReboot") == 2;
}

START_TEST(a_reboot_has_its_first_asker_as_owner_and_none_when_it_is_given_up)
{
    static const char *const askers[] = {"00000000-0000-4000-8000-000000000002",
                                         "00000000-0000-4000-8000-000000000001"};
    char script[300], fact[100];
    int i;

    (void)engine_world_send(&w, 1, 1, engine_world_waiting(&w, "exit 194"));
    (void)snprintf(script, sizeof(script), "until [ -e %s/mark ]; do sleep 0.05; done; exit 194",
                   w.dir);
    (void)engine_world_send(&w, 2, 1, script);
    engine_world_until(&w, has_asked_for_reboot); /* the later command is the first to ask */
    engine_world_go(&w);
    engine_world_until(&w, has_asked_for_two);
    for (i = 0; i < 4; i++) { /* asked again, and given up */
        (void)snprintf(fact, sizeof(fact), "boot-1 %s", askers[i / 2]);
        ck_assert_str_eq(reboot_fact(), fact);
        engine_queue_event(w.engine, askers[i / 2], COMMAND_EV_OVERDUE, 0, false, NULL);
        engine_world_turns(&w, 2);
    }
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_str_eq(reboot_fact(), ""); /* a crash later in this boot is nobody's reboot */
}
END_TEST

START_TEST(a_cancel_order_is_answered_and_stops_its_command)
{
    (void)engine_world_send(&w, 1, 2, engine_world_marking(&w, "while :; do sleep 0.1; done"));
    engine_world_until(&w, engine_world_is_marked);
    engine_world_receive(&w, "aws.ssm.cancelCommand.x", CANCEL_ID, cancel_order(1));
    engine_world_until(&w, engine_world_is_idle);
    ck_assert_uint_eq(engine_world_count(&w, "reply", "Cancelled"), 1);
    ck_assert_uint_eq(engine_world_count(&w, "acknowledge", NULL), 2);
    ck_assert_uint_eq(engine_world_n_marks(&w), 1);
}
END_TEST

/* Every begin, put and commit fails once, in turn: nothing is acknowledged or started that is not
 * in the journal, and the command ends all the same when the journal can be written again and the
 * service delivers again. */
/* Recovery and performing go by the row alone: no effect may be without its function. */
START_TEST(each_machine_has_its_row_or_a_keeper_of_its_own)
{
    const struct fsm_machine *m = fsm_machines[_i];
    const struct machine_ops *ops = machines_find(m);
    size_t i;

    if (ops == NULL) {
        ck_assert_msg(m == &registration_machine || m->is_elsewhere,
                      "%s: nobody performs its effects", m->name);
        return;
    }
    ck_assert(ops->channel != NULL);
    ck_assert_uint_lt(ops->refused, m->n_events);
    for (i = 0; i < m->n_effects; i++) {
        const struct effect_ops *fx = &ops->effects[i];

        ck_assert_msg((fx->way == WAY_PERFORM) == (fx->perform != NULL), "%s %s: perform", m->name,
                      m->effects[i].name);
        ck_assert_msg(m->effects[i].recovery != FSM_PROBE || fx->probe != NULL, "%s %s: probe",
                      m->name, m->effects[i].name);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("engine");
    TCase *t = tcase_create("turns");
    SRunner *sr;
    int n_failed, n_machines = 0;

    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, begin, end);
    tcase_add_test(t, a_one_step_command_costs_three_synced_commits);
    tcase_add_test(t, a_command_whose_answers_fail_at_first_costs_no_more);
    tcase_add_test(t, messages_that_come_together_cost_one_commit);
    tcase_add_test(t, answers_go_out_in_the_order_of_the_protocol);
    tcase_add_test(t, a_repeated_message_starts_nothing_and_is_answered);
    tcase_add_test(t, a_document_that_is_refused_is_reported_and_never_acknowledged);
    tcase_add_test(t, a_refusal_is_told_in_full);
    tcase_add_test(t, an_unknown_topic_is_failed);
    tcase_add_test(t, a_restart_under_a_script_reports_its_true_end);
    tcase_add_test(t, a_step_that_ended_while_nobody_looked_takes_its_deadline_with_it);
    tcase_add_test(t, a_deadline_is_over_for_the_step_that_had_it_and_no_other);
    tcase_add_test(t, a_step_that_runs_on_after_its_deadline_is_stopped);
    tcase_add_test(t, a_step_whose_directory_was_removed_is_lost_and_not_run_again);
    tcase_add_loop_test(
        t, a_runner_that_dies_before_it_began_when_it_is_told_to_stop_leaves_a_cancelled_step, 0,
        2);
    tcase_add_loop_test(
        t, a_cancel_of_a_step_whose_directory_was_removed_kills_it_and_says_what_is_known, 0, 2);
    tcase_add_test(t, a_command_that_was_not_begun_before_a_loss_of_power_is_run);
    tcase_add_test(t, a_result_passes_an_acknowledgement_that_is_never_taken);
    tcase_add_loop_test(t, a_message_id_of_any_length_is_kept_and_answered, 0, 5);
    tcase_add_test(t, a_reply_that_is_not_taken_is_sent_again_with_its_id);
    tcase_add_test(t, an_answer_that_could_not_even_be_begun_is_tried_again);
    tcase_add_test(t, a_reply_that_is_refused_for_good_ends_the_command);
    tcase_add_test(t, nothing_is_started_while_a_reboot_is_awaited);
    tcase_add_test(t, a_reboot_has_its_first_asker_as_owner_and_none_when_it_is_given_up);
    tcase_add_test(t, a_cancel_order_is_answered_and_stops_its_command);
    while (fsm_machines[n_machines] != NULL)
        n_machines++;
    tcase_add_loop_test(t, each_machine_has_its_row_or_a_keeper_of_its_own, 0, n_machines);
    suite_add_tcase(s, t);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
