/* Updates as steps of commands, and by the clock; and the process of the stager. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/str.h"
#include "update_world.h"

/* ---- as a step ---- */

static void send_step(int number, const char *schema, const char *inputs)
{
    char payload[1024], message_id[100], step[600];

    (void)snprintf(message_id, sizeof(message_id),
                   "aws.ssm.00000000-0000-4000-8000-%012d.mi-0123456789abcdef0", number);
    if (str_eq(schema, "1.2"))
        (void)snprintf(step, sizeof(step),
                       "\"runtimeConfig\":{\"aws:updateSsmAgent\":{\"properties\":%s}}", inputs);
    else
        (void)snprintf(step, sizeof(step),
                       "\"mainSteps\":[{\"action\":\"aws:updateSsmAgent\",\"name\":"
                       "\"awsupdateSsmAgent\",\"inputs\":%s}]",
                       inputs);
    (void)snprintf(payload, sizeof(payload),
                   "{\"CommandId\":\"x\",\"DocumentName\":\"AWS-UpdateSSMAgent\","
                   "\"DocumentContent\":{\"schemaVersion\":\"%s\",%s}}",
                   schema, step);
    engine_world_receive(&uw, "aws.ssm.sendCommand.us.east.1.1", message_id, payload);
}

#define INPUTS(more) "{\"agentName\":\"amazon-ssm-agent\",\"allowDowngrade\":\"false\"" more "}"

static const char *last_payload(void)
{
    return uw.n_told > 0 && uw.told[uw.n_told - 1].payload != NULL ? uw.told[uw.n_told - 1].payload
                                                                   : "";
}

static bool has_final_reply(void)
{
    size_t i;

    for (i = 0; i < uw.n_told; i++)
        if (str_eq(uw.told[i].what, "reply") && !str_eq(uw.told[i].status, "InProgress"))
            return true;
    return false;
}

static void forget_replies(void)
{
    while (uw.n_told > 0)
        free(uw.told[--uw.n_told].payload);
    memset(uw.told, 0, sizeof(uw.told));
}

static void until_reply(void)
{
    LOOP_UNTIL(&uw.loop, ((void)uw_note(), has_final_reply()));
}

#define LINES_TO_SWITCH                                                                            \
    "Successfully downloaded manifest\\n"                                                          \
    "Updating amazon-ssm-agent from " OLD ".0 to " NEW ".0\\n"                                     \
    "Successfully downloaded file:///source/ssmd/" NEW "/ssmd-linux-amd64.tar.gz\\n"               \
    "Initiating amazon-ssm-agent update to " NEW ".0\\n"

START_TEST(a_step_ends_with_its_update_and_the_texts_that_users_know)
{
    static const char *const schemas[] = {"1.2", "2.0", "2.2", "2.2"};
    bool is_good = _i < 3;

    send_step(1, schemas[_i],
              INPUTS(",\"targetVersion\":\"" NEW ".0\",\"source\":\"https://x/{Region}\""));
    LOOP_UNTIL(&uw.loop, uw_is_ordered());
    ck_assert_ptr_nonnull(strstr(engine_world_file(&uw, "request.fetch"), "\nasked=" NEW ".0\n"));
    ck_assert_ptr_nonnull(
        strstr(engine_world_file(&uw, "request.fetch"), "\npackage=amazon-ssm-agent\n"));
    ck_assert(str_has_prefix(uw_seen_id, "u0.1-"));
    ck_assert(!has_final_reply());
    uw_restart();
    ck_assert(uw_note());
    uw_progress(is_good ? HANDOVER_COMMITTED : HANDOVER_REVERTED, "it hangs", false);
    until_reply();
    ck_assert_str_eq(uw.told[uw.n_told - 1].status, is_good ? "Success" : "Failed");
    ck_assert_msg(
        strstr(last_payload(), is_good ? LINES_TO_SWITCH
                                   "amazon-ssm-agent updated successfully to " NEW ".0\\n\""
                                       : LINES_TO_SWITCH
                                   "it hangs\\n"
                                   "rolledback amazon-ssm-agent to " OLD ".0\\n"
                                   "Failed to update amazon-ssm-agent to " NEW ".0\\n\"") != NULL,
        "%s", last_payload());
    ck_assert_msg(strstr(last_payload(),
                         _i == 0 ? "\"aws:updateSsmAgent\":{" : "\"awsupdateSsmAgent\":{") != NULL,
                  "%s", last_payload());
    ck_assert_ptr_nonnull(strstr(last_payload(), is_good ? "\"code\":0" : "\"code\":1"));
}
END_TEST

static const struct {
    const char *inputs, *status, *text;
} refused[] = {
    {"{\"agentName\":\"amazon-ssm-agent\"}", "Failed", "allowDowngrade"},
    {"{\"allowDowngrade\":\"true\"}", "Failed", "agentName is missing"},
    {"{\"agentName\":\"x\",\"allowDowngrade\":\"true\"}", "Failed", "is not the agent here"},
    {INPUTS(",\"targetVersion\":\"1.x\""), "Failed", "targetVersion"},
};

START_TEST(inputs_that_cannot_be_used_fail_the_step)
{
    send_step(1, "2.2", refused[_i].inputs);
    until_reply();
    ck_assert_str_eq(uw.told[uw.n_told - 1].status, refused[_i].status);
    ck_assert_msg(strstr(last_payload(), refused[_i].text) != NULL, "%s", last_payload());
    ck_assert_int_eq(uw_count_lines("stager.log", "fetch"), 0);
}
END_TEST

START_TEST(a_step_that_cannot_be_updated_here_says_why)
{
    uw_no_slot();
    send_step(1, "2.2", INPUTS(""));
    until_reply();
    ck_assert_str_eq(uw.told[uw.n_told - 1].status, "Failed");
    ck_assert_ptr_nonnull(strstr(last_payload(), "package manager"));
    ck_assert_ptr_nonnull(strstr(
        last_payload(), "Failed to update amazon-ssm-agent to latest\\nNo rollback needed\\n\""));
    ck_assert_str_eq(uw_service.said, "UpdateFailed_ErrorFailedPrecondition-NoAlarm ");
}
END_TEST

START_TEST(a_step_with_nothing_to_do_succeeds)
{
    const struct stager_answer skip = {
        .verdict = STAGER_SKIP, .text = "amazon-ssm-agent " OLD " has already been installed"};

    uw_answer_with("fetch", &skip);
    send_step(1, "2.2", INPUTS(""));
    until_reply();
    ck_assert_str_eq(uw.told[uw.n_told - 1].status, "Success");
    ck_assert_msg(strstr(last_payload(), "\"Successfully downloaded manifest\\n"
                                         "amazon-ssm-agent " OLD " has already been installed\\n"
                                         "update skipped\\n\"") != NULL,
                  "%s", last_payload());
}
END_TEST

START_TEST(a_second_step_fails_and_the_first_goes_on)
{
    send_step(1, "2.2", INPUTS(""));
    LOOP_UNTIL(&uw.loop, uw_is_ordered());
    send_step(2, "2.2", INPUTS(""));
    until_reply();
    ck_assert_str_eq(uw.told[uw.n_told - 1].status, "Failed");
    ck_assert_ptr_nonnull(
        strstr(last_payload(), "\"Another update in progress, try again later\\n\""));
    forget_replies();
    uw_progress(HANDOVER_COMMITTED, "", false);
    until_reply();
    ck_assert_str_eq(uw.told[uw.n_told - 1].status, "Success");
}
END_TEST

START_TEST(a_cancelled_command_ends_true)
{
    bool is_late = _i == 1;
    char id[FSM_ID_SIZE];

    if (!is_late)
        uw_instead("fetch", "sleep 60");
    send_step(1, "2.2", INPUTS(""));
    LOOP_UNTIL(&uw.loop, is_late ? uw_is_ordered() : uw_note());
    (void)str_copy(id, sizeof(id), uw_seen.parent_id);
    ck_assert_int_eq(engine_cancel(uw.engine, id, NULL, NULL, NULL), 0);
    if (is_late) {
        uw_turns(5);
        uw_clock_offset_ms += INT64_C(1000) * 60 * 60; /* a stop of a script would be given up */
        engine_on_deadline(&uw.engine->deadline_timer);
        uw_turns(5);
        ck_assert(!has_final_reply());
        uw_progress(HANDOVER_COMMITTED, "", false);
    }
    until_reply();
    ck_assert_msg(strstr(last_payload(), is_late ? "updated successfully" : "cancelled before") !=
                      NULL,
                  "%s", last_payload());
    ck_assert_str_eq(uw.told[uw.n_told - 1].status, is_late ? "Success" : "Cancelled");
}
END_TEST

START_TEST(a_service_that_does_not_answer_is_not_waited_for_long)
{
    uw_service.is_mute = true;
    uw_ask_well(&uw_latest);
    LOOP_UNTIL(&uw.loop, uw_is_ordered());
    uw_progress(HANDOVER_COMMITTED, "", false);
    uw_until_state(UPDATE_COMMITTED);
    uw_turns(5);
    ck_assert_int_eq(uw_seen_state, UPDATE_COMMITTED);
    uw_clock_offset_ms += 16000;
    uw_until_over();
    ck_assert_str_eq(uw_seen.status, "Success");
}
END_TEST

/* ---- the stager's process ---- */

static struct {
    bool has_answered;
    int code;
    char text[512];
} run;

static void on_run(void *ctx, const struct stager_answer *a, const struct err *err)
{
    (void)ctx;
    (void)a;
    run.has_answered = true;
    run.code = err != NULL ? err->code : 0;
    (void)str_copy(run.text, sizeof(run.text), err != NULL ? err->text : "");
}

static const struct {
    const char *script; /* in place of all of it */
    int code;
    const char *text;
} runs[] = {
    {"#!/bin/sh\nsleep 60\n", ERR_TIMEOUT, "took too long"},
    {"#!/bin/sh\nsh -c \"sleep 60; : $" DIR_VARIABLE "\" & exit 0\n", ERR_TIMEOUT,
     "took too long"}, /* it holds the pipe */
    {"#!/bin/sh\nexec >&-\nsleep 60\n", ERR_TIMEOUT, "took too long"},
    {"#!/bin/sh\nyes complaint >&2\n", ERR_TIMEOUT, "took too long"},
    {"#!/bin/sh\nexec <&-\nexit 4\n", ERR_SYSTEM, "exit status 4"},
    {"#!/nonexistent/interpreter\n", ERR_STATE, "install it again"},
};

START_TEST(a_stager_that_goes_wrong_is_ended_with_all_it_has_started)
{
    const struct stager_request q = {.phase = STAGER_CHECK, .source = "file:///source"};
    struct stager *stager = NULL;
    struct err err = {0};
    uint64_t limit_ms = runs[_i].code == ERR_TIMEOUT ? 300 : 60000;
    int r;

    memset(&run, 0, sizeof(run));
    uw_write_file("stager", runs[_i].script, strlen(runs[_i].script), 0700);
    r = stager_start(&uw.loop, uw.config.stager_path, &q, limit_ms, on_run, NULL, &stager, &err);
    if (r < 0) {
        run.code = r;
        (void)str_copy(run.text, sizeof(run.text), err.text);
    } else {
        LOOP_UNTIL(&uw.loop, run.has_answered);
    }
    ck_assert_int_eq(run.code, runs[_i].code);
    ck_assert_msg(strstr(run.text, runs[_i].text) != NULL, "%s", run.text);
    LOOP_UNTIL(&uw.loop, engine_world_processes(&uw) == 0);
}
END_TEST

/* ---- by the clock ---- */

#define HOUR INT64_C(3600000)
#define FIRST "update.first_unix_ms"
#define NOON (HOUR * 24 * 20000 + HOUR * 12)

static const struct {
    struct update_clock c;
    bool is_due;
} clocks[] = {
    {{"mi-1", "", 7, 0, NOON, 0, 0}, false},
    {{"mi-1", "", 7, HOUR / 2 - 1, NOON, 0, 0}, false},
    {{"mi-1", "", 7, 13 * HOUR, NOON, 0, 0}, true},
    {{"mi-1", "", 7, 13 * HOUR, NOON, NOON - HOUR * 24 * 7 + 1, 0}, false},
    {{"mi-1", "", 7, 13 * HOUR, NOON, NOON - HOUR * 24 * 7, 0}, true},
    {{"mi-1", "", 1, 13 * HOUR, NOON, NOON - HOUR * 24, 0}, true},
    {{"mi-1", "", 7, 13 * HOUR, NOON, NOON + HOUR, 0}, true},         /* the clock was wrong */
    {{"mi-1", "", 7, 13 * HOUR, NOON, NOON + 87600 * HOUR, 0}, true}, /* ... by ten years */
    {{"mi-1", "", 7, 13 * HOUR, NOON - 87600 * HOUR, NOON, 0}, true}, /* it is now */
    {{"mi-1", "22:00-04:00", 7, 13 * HOUR, NOON - 87600 * HOUR, NOON, 0}, false},
    /* "mi-1" has its place in the first half of every window. */
    {{"mi-1", "11:00-12:01", 7, 13 * HOUR, NOON, 0, 0}, true},
    {{"mi-1", "11:00-12:00", 7, 13 * HOUR, NOON, 0, 0}, false},
    {{"mi-1", "12:00-12:05", 7, 13 * HOUR, NOON, 0, 0}, true},
    {{"mi-1", "12:00-13:00", 7, 13 * HOUR, NOON, 0, 0}, false},
    {{"mi-1", "12:00-13:00", 7, 13 * HOUR, NOON + HOUR / 2, 0, 0}, true},
    {{"mi-1", "22:00-04:00", 7, 13 * HOUR, NOON, 0, 0}, false},
    {{"mi-1", "22:00-13:00", 7, 13 * HOUR, NOON, 0, 0}, true},
    {{"mi-1", "noon", 7, 13 * HOUR, NOON, 0, 0}, false},
    /* A machine that is never up long enough, or not at its place: after two days it is enough. */
    {{"mi-1", "", 7, 3 * HOUR, NOON, 0, NOON - 47 * HOUR}, false},
    {{"mi-1", "", 7, 3 * HOUR, NOON, 0, NOON - 48 * HOUR}, true},
    {{"mi-1", "", 7, HOUR / 2 - 1, NOON, 0, NOON - 48 * HOUR}, false},
    {{"mi-1", "", 7, 3 * HOUR, NOON, NOON - HOUR * 24 * 9 + 1, 0}, false},
    {{"mi-1", "", 7, 3 * HOUR, NOON, NOON - HOUR * 24 * 9, 0}, true},
    {{"mi-1", "", 7, 3 * HOUR, NOON, NOON - HOUR * 24 * 6, NOON - HOUR * 24 * 30}, false},
    {{"mi-1", "", 7, 3 * HOUR, NOON, 0, NOON + HOUR}, false}, /* the clock was wrong */
    {{"mi-1", "12:00-13:00", 7, 3 * HOUR, NOON + HOUR / 4, 0, NOON - 48 * HOUR}, true},
    {{"mi-1", "13:00-14:00", 7, 3 * HOUR, NOON, 0, NOON - 48 * HOUR}, false},
};

START_TEST(the_clock_asks_when_it_is_time)
{
    ck_assert_int_eq(update_is_due(&clocks[_i].c), clocks[_i].is_due);
}
END_TEST

START_TEST(a_fleet_does_not_come_together)
{
    int counts[13] = {0}, i, hour; /* the last: not at all */

    for (i = 0; i < 1200; i++) {
        char id[32];
        struct update_clock c = {.node_id = id, .window = "", .days = 7, .now_unix_ms = NOON};

        (void)snprintf(id, sizeof(id), "mi-%017d", i);
        for (hour = 0; hour < 12; hour++) {
            c.up_ms = HOUR / 2 + (hour + 1) * HOUR;
            if (update_is_due(&c))
                break;
        }
        ck_assert_int_lt(hour, 12);
        counts[hour]++;
    }
    for (i = 0; i < 12; i++)
        ck_assert_msg(counts[i] > 60 && counts[i] < 140, "hour %d: %d of 1200", i, counts[i]);
}
END_TEST

/* Who has been up for weeks does not come at the window's first minute, but somewhere in it; who is
 * late, be it because it was switched off for weeks, somewhere in its beginning. */
static const struct {
    int64_t last_unix_ms;
    int n_minutes, n_parts;
} windows[] = {{0, 110, 11}, {NOON - 21 * 24 * HOUR, 28, 4}};

START_TEST(nor_does_it_in_a_window)
{
    const int n_parts = windows[_i].n_parts, n_minutes = windows[_i].n_minutes;
    int counts[11] = {0}, i, minute;

    for (i = 0; i < 1200; i++) {
        char id[32];
        struct update_clock c = {.node_id = id,
                                 .window = "23:00-01:00",
                                 .days = 7,
                                 .up_ms = 1000 * HOUR,
                                 .last_unix_ms = windows[_i].last_unix_ms};

        (void)snprintf(id, sizeof(id), "mi-%017d", i);
        for (minute = 0; minute < n_minutes; minute++) {
            c.now_unix_ms = NOON + 11 * HOUR + minute * HOUR / 60;
            if (update_is_due(&c)) {
                counts[minute * n_parts / n_minutes]++;
                break;
            }
        }
        ck_assert_int_lt(minute, n_minutes); /* time is left for who looks every five minutes */
    }
    for (i = 0; i < n_parts; i++)
        ck_assert_msg(counts[i] > 800 / n_parts && counts[i] < 1600 / n_parts,
                      "part %d: %d of 1200", i, counts[i]);
}
END_TEST

static void look_at_the_clock(void)
{
    uw.engine->clock_timer.timer_cb(&uw.engine->clock_timer);
    uw_turns(5);
}

/* An operator may switch it on for a whole fleet that has been up for weeks. */
START_TEST(where_it_is_switched_on_later_the_delay_begins_then)
{
    uw_clock_offset_ms += 100 * HOUR;
    look_at_the_clock();
    uw.config.is_self_update = true;
    look_at_the_clock();
    ck_assert_uint_eq(uw.engine->n_jobs, 0);
    uw_clock_offset_ms += HOUR / 2 - 60000;
    look_at_the_clock();
    ck_assert_uint_eq(uw.engine->n_jobs, 0);
    uw_clock_offset_ms += 13 * HOUR;
    look_at_the_clock();
    LOOP_UNTIL(&uw.loop, uw_is_ordered());
    uw_progress(HANDOVER_COMMITTED, "", false);
    uw_until_over();
}
END_TEST

/* 0: it is not there. */
static int64_t first_wish(void)
{
    AUTO(buf_done) struct buf text = {0};
    int64_t unix_ms = 0;

    buf_init(&text, 32);
    if (uw.engine->journal->ops->get_fact(uw.engine->journal, FIRST, &text, NULL) == 0)
        ck_assert(str_to_i64(buf_str(&text), 1, INT64_MAX, &unix_ms));
    return unix_ms;
}

static void wished_first(int64_t unix_ms)
{
    struct journal *j = uw.engine->journal;
    struct err err = {0};
    char text[32];

    (void)snprintf(text, sizeof(text), "%" PRId64, unix_ms);
    ck_assert_int_eq(j->ops->begin(j, &err), 0);
    ck_assert_int_eq(j->ops->put_fact(j, FIRST, text, &err), 0);
    ck_assert_int_eq(j->ops->commit(j, &err), 0);
}

/* Each day it is up for three hours. */
START_TEST(a_machine_that_is_never_up_for_long_comes_at_last)
{
    uw.config.is_self_update = true;
    uw_clock_offset_ms += 3 * HOUR;
    look_at_the_clock();
    ck_assert_uint_eq(uw.engine->n_jobs, 0);
    LOOP_UNTIL(&uw.loop, first_wish() != 0);
    wished_first(first_wish() - 48 * HOUR);
    uw_restart();
    look_at_the_clock();
    ck_assert_uint_eq(uw.engine->n_jobs, 0);
    uw_clock_offset_ms += 3 * HOUR;
    look_at_the_clock();
    LOOP_UNTIL(&uw.loop, uw_is_ordered());
    uw_progress(HANDOVER_COMMITTED, "", false);
    uw_until_over();
    ck_assert_int_eq(first_wish(), 0); /* the last one counts from now on */
}
END_TEST

START_TEST(the_clock_begins_an_update_and_remembers)
{
    uw.config.is_self_update = true;
    uw_clock_offset_ms += 13 * HOUR;
    uw.engine->clock_timer.timer_cb(&uw.engine->clock_timer);
    LOOP_UNTIL(&uw.loop, uw_is_ordered());
    ck_assert_int_eq(uw_seen.way, UPDATE_BY_CLOCK);
    uw_progress(HANDOVER_COMMITTED, "", false);
    uw_until_over();
    ck_assert_str_eq(uw_service.said,
                     "UpdateInitialized_SelfUpdate UpdateSucceeded_SelfUpdate-" NEW ".0 ");
    uw.engine->clock_timer.timer_cb(&uw.engine->clock_timer);
    uw_turns(5);
    ck_assert_uint_eq(uw.engine->n_jobs, 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("agent_update_step");
    TCase *t = tcase_create("updates");
    TCase *pure = tcase_create("times");

    tcase_add_checked_fixture(t, uw_begin, uw_end);
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, a_step_ends_with_its_update_and_the_texts_that_users_know, 0, 4);
    tcase_add_loop_test(t, inputs_that_cannot_be_used_fail_the_step, 0, (int)ARRAY_LEN(refused));
    tcase_add_test(t, a_step_that_cannot_be_updated_here_says_why);
    tcase_add_test(t, a_step_with_nothing_to_do_succeeds);
    tcase_add_test(t, a_second_step_fails_and_the_first_goes_on);
    tcase_add_loop_test(t, a_cancelled_command_ends_true, 0, 2);
    tcase_add_test(t, a_service_that_does_not_answer_is_not_waited_for_long);
    tcase_add_loop_test(t, a_stager_that_goes_wrong_is_ended_with_all_it_has_started, 0,
                        (int)ARRAY_LEN(runs));
    tcase_add_test(t, the_clock_begins_an_update_and_remembers);
    tcase_add_test(t, where_it_is_switched_on_later_the_delay_begins_then);
    tcase_add_test(t, a_machine_that_is_never_up_for_long_comes_at_last);
    tcase_add_loop_test(pure, the_clock_asks_when_it_is_time, 0, (int)ARRAY_LEN(clocks));
    tcase_add_test(pure, a_fleet_does_not_come_together);
    tcase_add_loop_test(pure, nor_does_it_in_a_window, 0, (int)ARRAY_LEN(windows));
    suite_add_tcase(s, t);
    suite_add_tcase(s, pure);
    return s;
}

int main(int argc, char **argv)
{
    (void)argc;
    return uw_main(argv, make_suite);
}
