/* What the command machine decides: for a story of events, the effects in their order and the
 * statuses and codes at its end (spec 03, sections 7, 9, 12; spec 04, section 4). */
#include "command_story.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define EXIT COMMAND_FLOW_EXIT_ON_FAILURE
#define SUCCEED COMMAND_FLOW_SUCCEED_ON_FAILURE
#define STOP_ON_SUCCESS COMMAND_FLOW_EXIT_ON_SUCCESS
#define FINALLY COMMAND_FLOW_FINALLY
#define FAIL COMMAND_PLAN_FAIL
#define SKIP COMMAND_PLAN_SKIP

#define TRIES(n) ((n) << 8)

#define HEAD "reply(-1) acknowledge spawn(0.1) "

static const struct story stories[] = {
    {"one step",
     {{0}},
     1,
     0,
     "accepted start x0 reported",
     HEAD "reply(0) report",
     "Success:0",
     "Success",
     "done"},
    {"a step that fails is tried again, as often as it may, and then goes on",
     {{0, 0, TRIES(3)}, {1, 0, TRIES(2)}},
     2,
     0,
     "accepted start x3 x3 x0 x1 x1",
     HEAD "spawn(0.2) spawn(0.3) reply(0) spawn(1.1) spawn(1.2) reply(1) report",
     "Success:0 Failed:1",
     "Failed",
     "reporting"},
    {"tries end with the last one: its onFailure counts, and 169 is not tried again",
     {{0, 0, EXIT | TRIES(2)}, {1, 0, TRIES(2)}},
     2,
     0,
     "accepted start x3 x169",
     HEAD "spawn(0.2) reply(0) reply(1) report",
     "Failed:169 Skipped:0",
     "Failed",
     "reporting"},
    {"a failed step does not stop the next",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start x3 x0",
     HEAD "reply(0) spawn(1.1) reply(1) report",
     "Failed:3 Success:0",
     "Failed",
     "reporting"},
    {"units of one plugin make one reply",
     {{0}, {0}, {1, 0, 0}},
     3,
     0,
     "accepted start x0 x4 x0",
     HEAD "spawn(1.1) reply(0) spawn(2.1) reply(1) report",
     "Success:0 Failed:4 Success:0",
     "Failed",
     "reporting"},
    {"a document that is rejected",
     {{0}},
     1,
     0,
     "rejected reported",
     "report",
     ":0",
     "Failed",
     "done"},
    {"onFailure exit",
     {{0, 0, EXIT}, {1, 0, 0}, {2, 0, 0}},
     3,
     0,
     "accepted start x1",
     HEAD "reply(0) reply(1) reply(2) report",
     "Failed:1 Skipped:0 Skipped:0",
     "Failed",
     "reporting"},
    {"onFailure exit does not matter to a success",
     {{0, 0, EXIT}, {1, 0, 0}},
     2,
     0,
     "accepted start x0 x0",
     HEAD "reply(0) spawn(1.1) reply(1) report",
     "Success:0 Success:0",
     "Success",
     "reporting"},
    {"onFailure exit does not stop after a time-out",
     {{0, 0, EXIT}, {1, 0, 0}},
     2,
     0,
     "accepted start timeout killed x0",
     HEAD "stop(0.1) reply(0) spawn(1.1) reply(1) report",
     "TimedOut:137 Success:0",
     "TimedOut",
     "reporting"},
    {"onFailure successAndExit",
     {{0, 0, SUCCEED}, {1, 0, 0}},
     2,
     0,
     "accepted start x1",
     HEAD "reply(0) reply(1) report",
     "Success:168 Skipped:0",
     "Success",
     "reporting"},
    {"onSuccess exit",
     {{0, 0, STOP_ON_SUCCESS}, {1, 0, 0}},
     2,
     0,
     "accepted start x0",
     HEAD "reply(0) reply(1) report",
     "Success:0 Skipped:0",
     "Success",
     "reporting"},
    {"finallyStep runs whatever happened",
     {{0, 0, EXIT}, {1, 0, 0}, {2, 0, FINALLY}},
     3,
     0,
     "accepted start x1 x0",
     HEAD "reply(0) reply(1) spawn(2.1) reply(2) report",
     "Failed:1 Skipped:0 Success:0",
     "Failed",
     "reporting"},
    {"exit code 168",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start x168",
     HEAD "reply(0) reply(1) report",
     "Success:168 Skipped:0",
     "Success",
     "reporting"},
    {"exit code 169",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start x169",
     HEAD "reply(0) reply(1) report",
     "Failed:169 Skipped:0",
     "Failed",
     "reporting"},
    {"every unit of a plugin runs, an exit condition or not",
     {{0, 0, EXIT}, {0, 0, EXIT}, {1, 0, 0}},
     3,
     0,
     "accepted start x2 x0",
     HEAD "spawn(1.1) reply(0) reply(1) report",
     "Failed:2 Success:0 Skipped:0",
     "Failed",
     "reporting"},
    {"planned ends",
     {{0, SKIP, 0}, {1, 0, 0}, {2, FAIL, 0}, {3, 0, 0}},
     4,
     0,
     "accepted start x0 x0",
     "reply(-1) acknowledge reply(0) spawn(1.1) reply(1) reply(2) spawn(3.1) reply(3) report",
     "Skipped:0 Success:0 Failed:1 Success:0",
     "Failed",
     "reporting"},
    {"a planned failure ends the document when onFailure says so",
     {{0, FAIL, EXIT}, {1, 0, 0}, {2, 0, FINALLY}},
     3,
     0,
     "accepted start x0",
     "reply(-1) acknowledge reply(0) reply(1) spawn(2.1) reply(2) report",
     "Failed:1 Skipped:0 Success:0",
     "Failed",
     "reporting"},
    {"a planned failure ends a document with nothing to run",
     {{0, FAIL, EXIT}, {1, 0, 0}},
     2,
     0,
     "accepted start",
     "reply(-1) acknowledge reply(0) reply(1) report",
     "Failed:1 Skipped:0",
     "Failed",
     "reporting"},
    {"nothing to run",
     {{0, SKIP, 0}, {1, SKIP, 0}},
     2,
     0,
     "accepted start",
     "reply(-1) acknowledge reply(0) reply(1) report",
     "Skipped:0 Skipped:0",
     "Success",
     "reporting"},
    {"a cancel in the queue",
     {{0}, {1, SKIP, 0}},
     2,
     0,
     "accepted cancel ~start",
     "reply(-1) acknowledge reply(0) reply(1) report",
     "Cancelled:1 Skipped:0",
     "Cancelled",
     "reporting"},
    {"a cancel of a running step",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start cancel killed",
     HEAD "stop(0.1) reply(0) reply(1) report",
     "Cancelled:137 Cancelled:1",
     "Cancelled",
     "reporting"},
    {"a cancel after a failure",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start x3 cancel killed",
     HEAD "reply(0) spawn(1.1) stop(1.1) reply(1) report",
     "Failed:3 Cancelled:137",
     "Failed",
     "reporting"},
    {"a step that ended before the cancel reached it",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start cancel x0",
     HEAD "stop(0.1) reply(0) reply(1) report",
     "Success:0 Cancelled:1",
     "Cancelled",
     "reporting"},
    {"a cancel while timing out",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start timeout cancel killed",
     HEAD "stop(0.1) reply(0) reply(1) report",
     "Cancelled:137 Cancelled:1",
     "Cancelled",
     "reporting"},
    {"a cancel of a step that had not begun",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start cancel voided",
     HEAD "stop(0.1) reply(0) reply(1) report",
     "Cancelled:1 Cancelled:1",
     "Cancelled",
     "reporting"},
    {"a cancel while rebooting",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start x194 cancel booted",
     HEAD "reply(0) reply(-2) reboot reply(0) reply(1) report",
     "Cancelled:1 Cancelled:1",
     "Cancelled",
     "reporting"},
    {"a cancel while a reboot does not come",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start x194 cancel overdue",
     HEAD "reply(0) reply(-2) reboot reply(0) reply(1) report",
     "Cancelled:194 Cancelled:1",
     "Cancelled",
     "reporting"},
    {"a cancel too late",
     {{0}},
     1,
     0,
     "accepted start x0 ~cancel reported",
     HEAD "reply(0) report",
     "Success:0",
     "Success",
     "done"},
    {"a stop that does not come",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start cancel overdue",
     HEAD "stop(0.1) reply(0) reply(1) report",
     "Cancelled:137 Cancelled:1",
     "Cancelled",
     "reporting"},
    {"a time-out that does not stop",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start timeout overdue",
     HEAD "stop(0.1) reply(0) reply(1) report",
     "TimedOut:137 Cancelled:1",
     "TimedOut",
     "reporting"},
    {"a step that begins long after its promise",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start begun x0 begun x0 ~begun",
     HEAD "reply(0) spawn(1.1) reply(1) report",
     "Success:0 Success:0",
     "Success",
     "reporting"},
    {"a lost step",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start lost",
     HEAD "reply(0) reply(1) report",
     "Failed:1000 Skipped:0",
     "Failed",
     "reporting"},
    {"a step lost while it was being stopped",
     {{0}},
     1,
     0,
     "accepted start cancel lost",
     HEAD "stop(0.1) reply(0) report",
     "Failed:1000",
     "Failed",
     "reporting"},
    {"a reboot",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start x194 booted x0 x0",
     HEAD "reply(0) reply(-2) reboot spawn(0.2) reply(0) spawn(1.1) reply(1) report",
     "Success:0 Success:0",
     "Success",
     "reporting"},
    {"finallyStep waits for a reboot too",
     {{0}, {1, 0, FINALLY}},
     2,
     0,
     "accepted start x194",
     HEAD "reply(0) reply(-2) reboot",
     "SuccessAndReboot:194 :0",
     "SuccessAndReboot",
     "rebooting"},
    {"more reboots than allowed",
     {{0}, {1, 0, 0}},
     2,
     1,
     "accepted start x194 booted x194 x0",
     HEAD "reply(0) reply(-2) reboot spawn(0.2) reply(0) spawn(1.1) reply(1) report",
     "Failed:194 Success:0",
     "Failed",
     "reporting"},
    {"over the cap, with onFailure successAndExit",
     {{0, 0, SUCCEED}, {1, 0, 0}},
     2,
     1,
     "accepted start x194 booted x194",
     HEAD "reply(0) reply(-2) reboot spawn(0.2) reply(0) reply(1) report",
     "Success:168 Skipped:0",
     "Success",
     "reporting"},
    {"a reboot asked for while timing out",
     {{0}},
     1,
     0,
     "accepted start timeout x194",
     HEAD "stop(0.1) reply(0) report",
     "TimedOut:194",
     "TimedOut",
     "reporting"},
    {"a reboot asked for while being cancelled",
     {{0}},
     1,
     0,
     "accepted start cancel x194",
     HEAD "stop(0.1) reply(0) report",
     "Cancelled:194",
     "Cancelled",
     "reporting"},
    {"a reboot that is late",
     {{0}},
     1,
     0,
     "accepted start x194 overdue booted x0",
     HEAD "reply(0) reply(-2) reboot reboot spawn(0.2) reply(0) report",
     "Success:0",
     "Success",
     "reporting"},
    {"a reboot that never comes",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start x194 overdue overdue",
     HEAD "reply(0) reply(-2) reboot reboot reply(0) reply(1) report",
     "Failed:194 Skipped:0",
     "Failed",
     "reporting"},
    {"a reply that is refused",
     {{0}},
     1,
     0,
     "accepted start x0 refused",
     HEAD "reply(0) report",
     "Success:0",
     "Success",
     "done"},
    {"a runaway",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start runaway reported",
     HEAD "reply(0) reply(1) report stop(0.1)",
     "Failed:1000 Failed:1000",
     "Failed",
     "done"},
};

START_TEST(each_story_has_its_effects_and_its_end)
{
    const struct story *s = &stories[_i];
    AUTO(buf_done) struct buf effects, units;
    struct fsm_instance inst;
    struct fsm_out out = {0};
    char events[200], *word, *rest = NULL;
    size_t i;

    buf_init(&effects, 4096);
    buf_init(&units, 4096);
    story_init(&inst, s);
    ck_assert(str_copy(events, sizeof(events), s->events));
    for (word = strtok_r(events, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        bool is_ignored = word[0] == '~';
        enum fsm_verdict v = story_send(&inst, &out, word + is_ignored, &effects);

        ck_assert_msg(v == (is_ignored ? FSM_IGNORED : FSM_MOVED), "%s: %s in %s: verdict %d",
                      s->name, word, fsm_state_name(&inst), (int)v);
    }
    for (i = 0; i < s->n_units; i++) {
        const struct command_unit *u = command_unit_at(&inst, i);

        (void)buf_printf(&units, "%s%s:%" PRId64, i > 0 ? " " : "", u->status, u->code);
        if (str_eq(u->status, "Success"))
            ck_assert_msg(u->ended_unix_ms == 77, "%s: the runner's end time is lost", s->name);
    }
    ck_assert_msg(str_eq(buf_str(&effects), s->effects), "%s: opened\n%s\nexpected\n%s", s->name,
                  buf_str(&effects), s->effects);
    ck_assert_msg(str_eq(buf_str(&units), s->units_end), "%s: '%s', expected '%s'", s->name,
                  buf_str(&units), s->units_end);
    ck_assert_msg(str_eq(fsm_status(&inst), s->status), "%s: %s", s->name, fsm_status(&inst));
    ck_assert_msg(str_eq(fsm_state_name(&inst), s->state), "%s: %s", s->name,
                  fsm_state_name(&inst));
    if (fsm_is_terminal(&inst))
        ck_assert_uint_eq(inst.n_effects, 0);
    fsm_instance_done(&inst);
    fsm_out_done(&out);
}
END_TEST

START_TEST(the_sixteenth_request_for_a_reboot_is_one_too_many)
{
    static const struct story s = {.name = "cap", .n_units = 1};
    AUTO(buf_done) struct buf effects;
    struct fsm_instance inst;
    struct fsm_out out = {0};
    int i;

    buf_init(&effects, 65536);
    story_init(&inst, &s);
    ck_assert_int_eq(story_send(&inst, &out, "accepted", &effects), FSM_MOVED);
    ck_assert_int_eq(story_send(&inst, &out, "start", &effects), FSM_MOVED);
    for (i = 0; i < COMMAND_DEFAULT_MAX_REBOOTS; i++) {
        ck_assert_int_eq(story_send(&inst, &out, "x194", &effects), FSM_MOVED);
        ck_assert_str_eq(fsm_state_name(&inst), "rebooting");
        ck_assert_int_eq(story_send(&inst, &out, "booted", &effects), FSM_MOVED);
    }
    ck_assert_int_eq(story_send(&inst, &out, "x194", &effects), FSM_MOVED);
    ck_assert_str_eq(fsm_state_name(&inst), "reporting");
    ck_assert_int_eq(command_unit_at(&inst, 0)->note, COMMAND_NOTE_REBOOT_CAP);
    ck_assert_int_eq(command_unit_at(&inst, 0)->attempt, COMMAND_DEFAULT_MAX_REBOOTS + 1);
    fsm_instance_done(&inst);
    fsm_out_done(&out);
}
END_TEST

START_TEST(processes_that_outlive_their_kill_are_told)
{
    static const struct story s = {.name = "unkilled", .n_units = 1};
    AUTO(buf_done) struct buf effects;
    struct fsm_instance inst;
    struct fsm_out out = {0};

    buf_init(&effects, 65536);
    story_init(&inst, &s);
    ck_assert_int_eq(story_send(&inst, &out, "accepted", &effects), FSM_MOVED);
    ck_assert_int_eq(story_send(&inst, &out, "start", &effects), FSM_MOVED);
    ck_assert_int_eq(story_send(&inst, &out, "cancel", &effects), FSM_MOVED);
    ck_assert_int_eq(story_send(&inst, &out, "unkilled", &effects), FSM_MOVED);
    ck_assert_str_eq(command_unit_at(&inst, 0)->status, "Cancelled");
    ck_assert_int_eq(command_unit_at(&inst, 0)->note, COMMAND_NOTE_UNSTOPPABLE);
    fsm_instance_done(&inst);
    fsm_out_done(&out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("command");
    TCase *decisions = tcase_create("decisions");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_loop_test(decisions, each_story_has_its_effects_and_its_end, 0,
                        (int)ARRAY_LEN(stories));
    tcase_add_test(decisions, the_sixteenth_request_for_a_reboot_is_one_too_many);
    tcase_add_test(decisions, processes_that_outlive_their_kill_are_told);
    suite_add_tcase(suite, decisions);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
