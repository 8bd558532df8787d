/* An update on its way through its states: what the stager says, the switch, back again, deaths,
 * a good moment, what stands against it. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/version.h"
#include "update_world.h"

/* ---- a good one ---- */

START_TEST(an_update_goes_through_all_its_states)
{
    AUTO(close_fd) int fd = uw_update_dir();
    struct handover_order order;
    struct err err;

    uw_ask_well(&(struct engine_update){.asked = NEW, .allow_downgrade = true});
    LOOP_UNTIL(&uw.loop, uw_is_ordered());
    ck_assert_str_eq(uw_asked_id, uw_seen_id);
    ck_assert_int_eq(uw_seen_state, UPDATE_SWITCHING);
    ck_assert_str_eq(engine_world_file(&uw, "stager.log"), "fetch\nverify\nstage\n");
    ck_assert_ptr_nonnull(strstr(engine_world_file(&uw, "request.fetch"), "\nasked=" NEW "\n"));
    ck_assert_ptr_nonnull(strstr(engine_world_file(&uw, "request.fetch"), "\nfrom=" OLD "\n"));
    ck_assert_ptr_nonnull(strstr(engine_world_file(&uw, "request.stage"), uw_good.sha256));
    ck_assert_int_eq(handover_read_order(fd, &order, &err), 0);
    ck_assert_str_eq(order.id, uw_seen_id);
    ck_assert_str_eq(order.from, OLD);
    ck_assert_str_eq(order.to, NEW);
    ck_assert_int_eq(order.proving_ms, 60000);
    ck_assert_int_eq(order.deadline_ms, 300000);
    ck_assert_int_eq(order.max_rss_bytes, INT64_C(512) << 20);
    ck_assert_int_eq(order.outage_ms, INT64_C(24) * 3600 * 1000);
    ck_assert_str_eq(order.pid_file, uw.paths.pid_file);
    ck_assert(!order.is_service_away);
    uw_hold_lock();
    uw_progress(HANDOVER_POINTING, "", false);
    uw_turns(3);
    ck_assert_int_eq(uw_seen_state, UPDATE_SWITCHING);
    uw_progress(HANDOVER_PROVING, "", false);
    uw_until_state(UPDATE_PROVING);
    uw_progress(HANDOVER_COMMITTED, "", false);
    uw_until_over();
    ck_assert_str_eq(uw_seen.status, "Success");
    ck_assert_str_eq(uw_service.said, "UpdateInitialized UpdateSucceeded-" NEW ".0 ");
    ck_assert_str_eq(uw_service.version, ssmd_version_four); /* of who speaks */
    ck_assert_int_eq(uw_count_lines("updater.log", "switch"), 1);
}
END_TEST

/* ---- the stager says, or does not say ---- */

static const struct {
    const char *phase;
    struct stager_answer answer;
    const char *instead; /* script in its place */
    const char *status, *code, *text, *said;
} bad[] = {
    {"fetch",
     {.verdict = STAGER_SKIP, .text = "ssmd " OLD " has already been installed, update skipped"},
     NULL,
     "Success",
     "",
     "already been installed",
     "UpdateInitialized UpdateSucceeded "},
    {"fetch",
     {.verdict = STAGER_FAIL, .code = "ErrorAttempToDowngrade", .text = "it is older"},
     NULL,
     "Failed",
     "ErrorAttempToDowngrade",
     "it is older",
     "UpdateInitialized UpdateFailed_ErrorAttempToDowngrade-NoAlarm "},
    {"verify",
     {.verdict = STAGER_FAIL, .code = "ErrorTargetPkgDownload", .text = "its SHA-256 differs"},
     NULL,
     "Failed",
     "ErrorTargetPkgDownload",
     "SHA-256",
     "UpdateInitialized UpdateFailed_ErrorTargetPkgDownload-" NEW ".0 "},
    {"stage",
     {.verdict = STAGER_FAIL, .code = "ErrorInstallFailed", .text = "it does not start"},
     NULL,
     "Failed",
     "ErrorInstallFailed",
     "it does not start",
     "UpdateInitialized UpdateFailed_ErrorInstallFailed-" NEW ".0 "},
    {"fetch",
     {.verdict = STAGER_OK},
     "echo nonsense; exit 0",
     "Failed",
     "ErrorUnexpected",
     "ssmd-stager",
     "UpdateInitialized UpdateFailed_ErrorUnexpected "},
    {"fetch",
     {.verdict = STAGER_OK},
     "exit 0",
     "Failed",
     "ErrorUnexpected",
     "without an answer",
     "UpdateInitialized UpdateFailed_ErrorUnexpected "},
    {"stage",
     {.verdict = STAGER_OK},
     "exit 9",
     "Failed",
     "ErrorUnexpected",
     "exit status 9",
     "UpdateInitialized UpdateFailed_ErrorUnexpected-" NEW ".0 "},
    {"verify",
     {.verdict = STAGER_OK},
     "kill -9 $$",
     "Failed",
     "ErrorUnexpected",
     "signal 9",
     "UpdateInitialized UpdateFailed_ErrorUnexpected-" NEW ".0 "},
    {"fetch",
     {.verdict = STAGER_OK},
     "yes | head -c 100000; exit 0",
     "Failed",
     "ErrorUnexpected",
     "larger than",
     "UpdateInitialized UpdateFailed_ErrorUnexpected "},
};

START_TEST(whatever_the_stager_says_nothing_is_switched_without_its_word)
{
    if (bad[_i].instead != NULL)
        uw_instead(bad[_i].phase, bad[_i].instead);
    else
        uw_answer_with(bad[_i].phase, &bad[_i].answer);
    uw_ask_well(&uw_latest);
    LOOP_UNTIL(&uw.loop, uw_note());
    LOOP_UNTIL(&uw.loop, (uw_clock_offset_ms += 1000, !uw_note())); /* its pauses pass quickly */
    ck_assert_str_eq(uw_seen.status, bad[_i].status);
    ck_assert_str_eq(uw_seen.code, bad[_i].code);
    ck_assert_msg(strstr(uw_seen.text, bad[_i].text) != NULL, "%s", uw_seen.text);
    ck_assert_str_eq(uw_service.said, bad[_i].said);
    ck_assert_int_eq(uw_count_lines("updater.log", "switch"), 0);
}
END_TEST

START_TEST(what_may_pass_is_tried_again)
{
    const struct stager_answer later = {
        .verdict = STAGER_FAIL, .is_retry_worthwhile = true, .text = "no connection"};

    uw_answer_with("fetch", &later);
    uw_ask_well(&uw_latest);
    LOOP_UNTIL(&uw.loop, uw_note() && uw_find_update()->update->retry_at_ms != 0);
    uw_turns(3);
    ck_assert_int_eq(uw_count_lines("stager.log", "fetch"), 1);
    uw_answer_with("fetch", &uw_good);
    uw_clock_offset_ms += 60000;
    LOOP_UNTIL(&uw.loop, uw_is_ordered());
    ck_assert_int_eq(uw_count_lines("stager.log", "fetch"), 2);
}
END_TEST

START_TEST(what_does_not_pass_ends_with_its_reason)
{
    const struct stager_answer later = {
        .verdict = STAGER_FAIL, .is_retry_worthwhile = true, .text = "no connection to the source"};

    uw_answer_with("fetch", &later);
    uw_ask_well(&uw_latest);
    LOOP_UNTIL(&uw.loop, uw_note() && uw_find_update()->update->retry_at_ms != 0);
    uw_clock_offset_ms += INT64_C(31) * 60 * 1000;
    engine_on_deadline(&uw.engine->deadline_timer);
    LOOP_UNTIL(&uw.loop, !uw_note());
    ck_assert_str_eq(uw_seen.status, "Failed");
    ck_assert_str_eq(uw_seen.text, "no connection to the source");
}
END_TEST

/* ---- back again ---- */

START_TEST(a_rollback_is_told_with_its_cause)
{
    bool is_doubtful = _i == 1;

    uw_ask_well(&uw_latest);
    LOOP_UNTIL(&uw.loop, uw_is_ordered());
    uw_hold_lock();
    uw_progress(HANDOVER_PROVING, "", false);
    uw_until_state(UPDATE_PROVING);
    uw_progress(HANDOVER_REVERTING, "it crashed four times", false);
    uw_until_state(UPDATE_ROLLING_BACK);
    uw_progress(HANDOVER_CONFIRMING, "it crashed four times", false);
    uw_turns(3);
    uw_progress(HANDOVER_REVERTED, "it crashed four times", is_doubtful);
    uw_until_over();
    ck_assert_str_eq(uw_seen.status, "Failed");
    ck_assert_str_eq(uw_seen.code,
                     is_doubtful ? "ErrorCannotStartService" : "ErrorUpdateFailRollbackSuccess");
    ck_assert(str_has_prefix(uw_seen.text, "it crashed four times"));
    ck_assert_msg(str_has_prefix(uw_service.said,
                                 "UpdateInitialized RollingBack-" NEW ".0 RollBackCompleted-" NEW
                                 ".0 UpdateFailed_Error"),
                  "%s", uw_service.said);
}
END_TEST

START_TEST(a_version_that_was_rolled_back_is_not_tried_again_by_the_clock)
{
    uw_ask_well(&uw_latest);
    LOOP_UNTIL(&uw.loop, uw_is_ordered());
    uw_progress(HANDOVER_REVERTED, "it hangs", false);
    uw_until_over();
    uw_ask_well(&(struct engine_update){.asked = "latest", .is_by_clock = true});
    LOOP_UNTIL(&uw.loop, uw_note());
    uw_until_over();
    ck_assert_str_eq(uw_seen.status, "Success");
    ck_assert_ptr_nonnull(strstr(uw_seen.text, "rolled back on this machine before"));
    ck_assert_ptr_nonnull(strstr(uw_service.said, "UpdateSucceeded_SelfUpdate "));
    uw_ask_well(&uw_latest); /* a person may */
    LOOP_UNTIL(&uw.loop, uw_note() && uw_seen_state == UPDATE_SWITCHING);
}
END_TEST

/* ---- deaths ---- */

START_TEST(a_restart_at_any_state_goes_on_from_there)
{
    static const enum update_state states[] = {UPDATE_RECEIVED, UPDATE_FETCHED,   UPDATE_VERIFIED,
                                               UPDATE_STAGED,   UPDATE_SWITCHING, UPDATE_PROVING};
    enum update_state at = states[_i];

    uw_service.is_in_reach = at != UPDATE_STAGED;
    uw_ask_well(&uw_latest);
    if (at == UPDATE_PROVING) {
        LOOP_UNTIL(&uw.loop, uw_is_ordered());
        uw_progress(HANDOVER_PROVING, "", false);
    }
    uw_until_state(at);
    uw_restart();
    ck_assert(uw_note());
    uw_service.is_in_reach = true;
    if (at < UPDATE_PROVING)
        LOOP_UNTIL(&uw.loop, uw_is_ordered());
    uw_progress(HANDOVER_COMMITTED, "", false);
    uw_until_over();
    ck_assert_str_eq(uw_seen.status, "Success");
}
END_TEST

START_TEST(an_updater_that_died_is_started_again_and_one_that_lives_is_left_alone)
{
    uw_ask_well(&uw_latest);
    LOOP_UNTIL(&uw.loop, uw_is_ordered());
    uw_hold_lock();
    uw_progress(HANDOVER_PROVING, "", false);
    uw_restart();
    uw_clock_offset_ms += 10000;
    uw_turns(5);
    ck_assert_int_eq(uw_count_lines("updater.log", "switch"), 1);
    uw_let_lock_go();
    uw_clock_offset_ms += 10000;
    LOOP_UNTIL(&uw.loop, uw_note() && uw_count_lines("updater.log", "switch") == 2);
    uw_turns(5); /* not at once once more */
    ck_assert_int_eq(uw_count_lines("updater.log", "switch"), 2);
    uw_progress(HANDOVER_COMMITTED, "", false);
    uw_until_over();
    ck_assert_str_eq(uw_seen.status, "Success");
}
END_TEST

START_TEST(an_order_that_nobody_takes_up_is_withdrawn)
{
    AUTO(close_fd) int fd = uw_update_dir();
    struct handover_order order;
    struct err err;

    uw_ask_well(&uw_latest);
    LOOP_UNTIL(&uw.loop, uw_is_ordered());
    LOOP_UNTIL(&uw.loop, (uw_clock_offset_ms += 5000, !uw_note()));
    ck_assert_str_eq(uw_seen.status, "Failed");
    ck_assert_ptr_nonnull(strstr(uw_seen.text, "nothing was changed"));
    ck_assert_msg(handover_read_order(fd, &order, &err) == ERR_NOT_FOUND, "%s", uw_seen.text);
}
END_TEST

START_TEST(the_record_of_another_update_says_nothing_of_this_one)
{
    uw_ask_well(&uw_latest);
    LOOP_UNTIL(&uw.loop, uw_is_ordered());
    uw_progress(HANDOVER_COMMITTED, "", false);
    uw_until_over();
    uw_write_file("updater.log", "", 0, 0600);
    uw_ask_well(&uw_latest);
    LOOP_UNTIL(&uw.loop, uw_is_ordered());
    uw_turns(5);
    ck_assert_int_eq(uw_seen_state, UPDATE_SWITCHING);
}
END_TEST

/* ---- a good moment ---- */

START_TEST(it_waits_for_the_service_unless_forced)
{
    bool is_forced = _i == 1;
    AUTO(close_fd) int fd = uw_update_dir();
    struct handover_order order;
    struct err err;

    uw_service.is_in_reach = false;
    uw_ask_well(&(struct engine_update){.asked = "", .is_forced = is_forced});
    if (!is_forced) {
        uw_until_state(UPDATE_STAGED);
        uw_turns(5);
        ck_assert_int_eq(uw_seen_state, UPDATE_STAGED);
        uw_service.is_in_reach = true;
    }
    LOOP_UNTIL(&uw.loop, uw_is_ordered());
    ck_assert_int_eq(handover_read_order(fd, &order, &err), 0);
    ck_assert_int_eq(order.is_service_away, is_forced);
}
END_TEST

START_TEST(a_service_that_stays_away_ends_it)
{
    uw_service.is_in_reach = false;
    uw_ask_well(&uw_latest);
    uw_until_state(UPDATE_STAGED);
    uw_turns(2);
    uw_clock_offset_ms += UPDATE_SERVICE_WAIT_MS + 1000;
    engine_on_deadline(&uw.engine->deadline_timer);
    uw_until_state(UPDATE_FAILED);
    uw_clock_offset_ms += 60000; /* nor is it waited for to hear of it */
    uw_until_over();
    ck_assert_str_eq(uw_seen.text,
                     "nothing was changed: it waited until now, and the service is out of reach");
    ck_assert_str_eq(uw_service.said, "");
}
END_TEST

START_TEST(it_waits_for_commands_as_long_as_it_was_told_to)
{
    (void)engine_world_send(&uw, 1, 1, "sleep 60");
    LOOP_UNTIL(&uw.loop,
               uw.engine->first != NULL && uw.engine->first->inst.state == COMMAND_RUNNING);
    uw_ask_well(&(struct engine_update){.asked = "", .wait_ms = 60000});
    uw_until_state(UPDATE_STAGED);
    uw_turns(5);
    ck_assert_int_eq(uw_seen_state, UPDATE_STAGED);
    if (_i == 0)
        uw_clock_offset_ms += 61000;
    else
        ck_assert_int_eq(engine_cancel(uw.engine, uw.engine->first->inst.id, NULL, NULL, NULL), 0);
    uw_until_state(UPDATE_SWITCHING);
    if (_i == 0)
        ck_assert_int_eq(engine_cancel(uw.engine, uw.engine->first->inst.id, NULL, NULL, NULL), 0);
    LOOP_UNTIL(&uw.loop, engine_world_processes(&uw) == 0);
}
END_TEST

/* ---- cancels ---- */

START_TEST(a_cancel_before_the_switch_ends_it_and_the_stager)
{
    uw_instead("stage", "sleep 60");
    uw_ask_well(&uw_latest);
    LOOP_UNTIL(&uw.loop, uw_note() && uw_count_lines("stager.log", "stage") > 0);
    engine_queue_event(uw.engine, uw_seen_id, UPDATE_EV_CANCEL, 0, false, NULL);
    uw_until_over();
    ck_assert_str_eq(uw_seen.status, "Cancelled");
    ck_assert_str_eq(uw_service.said, "UpdateInitialized ");
    LOOP_UNTIL(&uw.loop, engine_world_processes(&uw) == 0);
}
END_TEST

START_TEST(a_cancel_after_the_switch_is_too_late)
{
    uw_ask_well(&uw_latest);
    LOOP_UNTIL(&uw.loop, uw_is_ordered());
    engine_queue_event(uw.engine, uw_seen_id, UPDATE_EV_CANCEL, 0, false, NULL);
    uw_turns(3);
    ck_assert_int_eq(uw_seen_state, UPDATE_SWITCHING);
    uw_progress(HANDOVER_COMMITTED, "", false);
    uw_until_over();
    ck_assert_str_eq(uw_seen.status, "Success");
}
END_TEST

/* ---- what stands against it ---- */

static void no_source(void)
{
    uw.config.update_source[0] = '\0';
}

static void no_root_file(void)
{
    (void)str_copy(uw.config.update_root_file, CONFIG_MAX_TEXT, "/nonexistent/root.json");
}

static void bottlerocket(void)
{
    char path[256];
    struct err err;
    int fd = -1;

    (void)snprintf(path, sizeof(path), "%s/etc", uw.dir);
    ck_assert_int_eq(fs_make_path(path, &fd, &err), 0);
    (void)close(fd);
    uw_write_file("etc/bottlerocket-release", "", 0, 0600);
}

static const struct {
    void (*spoil)(void);
    const char *text;
} obstacles[] = {
    {no_source, "Ssmd.UpdateSource"},
    {no_root_file, "/nonexistent/root.json"},
    {uw_no_slot, "package manager"},
    {bottlerocket, "update the image"},
};

START_TEST(what_stands_against_it_is_said_before_anything_is_begun)
{
    struct err err;

    obstacles[_i].spoil();
    ck_assert_int_eq(uw_ask(&uw_latest, &err), ERR_STATE);
    ck_assert_msg(strstr(err.text, obstacles[_i].text) != NULL, "%s", err.text);
    uw_turns(2);
    ck_assert_uint_eq(uw.engine->n_jobs, 0);
}
END_TEST

START_TEST(a_second_update_is_refused_while_one_is_open)
{
    struct err err;

    uw_instead("fetch", "sleep 60");
    uw_ask_well(&uw_latest);
    LOOP_UNTIL(&uw.loop, uw_note());
    ck_assert_int_eq(uw_ask(&uw_latest, &err), ERR_BUSY);
    ck_assert_str_eq(err.text, "Another update in progress, try again later");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("agent_update");
    TCase *t = tcase_create("updates");

    tcase_add_checked_fixture(t, uw_begin, uw_end);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, an_update_goes_through_all_its_states);
    tcase_add_loop_test(t, whatever_the_stager_says_nothing_is_switched_without_its_word, 0,
                        (int)ARRAY_LEN(bad));
    tcase_add_test(t, what_may_pass_is_tried_again);
    tcase_add_test(t, what_does_not_pass_ends_with_its_reason);
    tcase_add_loop_test(t, a_rollback_is_told_with_its_cause, 0, 2);
    tcase_add_test(t, a_version_that_was_rolled_back_is_not_tried_again_by_the_clock);
    tcase_add_loop_test(t, a_restart_at_any_state_goes_on_from_there, 0, 6);
    tcase_add_test(t, an_updater_that_died_is_started_again_and_one_that_lives_is_left_alone);
    tcase_add_test(t, an_order_that_nobody_takes_up_is_withdrawn);
    tcase_add_test(t, the_record_of_another_update_says_nothing_of_this_one);
    tcase_add_loop_test(t, it_waits_for_the_service_unless_forced, 0, 2);
    tcase_add_test(t, a_service_that_stays_away_ends_it);
    tcase_add_loop_test(t, it_waits_for_commands_as_long_as_it_was_told_to, 0, 2);
    tcase_add_test(t, a_cancel_before_the_switch_ends_it_and_the_stager);
    tcase_add_test(t, a_cancel_after_the_switch_is_too_late);
    tcase_add_loop_test(t, what_stands_against_it_is_said_before_anything_is_begun, 0,
                        (int)ARRAY_LEN(obstacles));
    tcase_add_test(t, a_second_update_is_refused_while_one_is_open);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv)
{
    (void)argc;
    return uw_main(argv, make_suite);
}
