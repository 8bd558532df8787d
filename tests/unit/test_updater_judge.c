/* What the watch makes of a moment: each row is one. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "update/updater_internal.h"

#define SECOND 1000

/* A new version that has reached everything and been up for a minute. */
static const struct watch_view well = {
    .version = "0.2.0",
    .is_new = true,
    .has_health = true,
    .is_alive = true,
    .is_running = true,
    .health = {.version = "0.2.0", .has_journal = true, .has_steps = true, .has_service = true},
    .n_starts = 1,
    .alive_ms = 60 * SECOND,
    .proving_ms = 60 * SECOND,
    .deadline_ms = 300 * SECOND,
    .ended = "",
};

static void young(struct watch_view *v)
{
    v->alive_ms = 59 * SECOND;
}

static void late_and_young(struct watch_view *v)
{
    young(v);
    v->is_overdue = true;
}

static void late_but_well(struct watch_view *v)
{
    v->is_overdue = true;
}

static void without_service(struct watch_view *v)
{
    v->health.has_service = false;
    (void)str_copy(v->health.lacking, sizeof(v->health.lacking), "connect: refused");
}

static void late_without_service(struct watch_view *v)
{
    without_service(v);
    v->is_overdue = true;
}

static void late_in_an_outage(struct watch_view *v)
{
    late_without_service(v);
    v->is_service_away = true;
}

static void late_in_an_outage_without_node(struct watch_view *v)
{
    late_in_an_outage(v);
    v->health.has_steps = false;
}

static void late_in_an_outage_without_journal(struct watch_view *v)
{
    late_in_an_outage(v);
    v->health.has_journal = false;
}

static void late_without_steps_in_reach(struct watch_view *v)
{
    v->is_overdue = v->is_service_away = true;
    v->health.has_steps = false;
}

static void late_and_dead_in_an_outage(struct watch_view *v)
{
    late_in_an_outage(v);
    v->is_alive = v->is_running = false;
}

static void often(struct watch_view *v)
{
    v->n_starts = 4;
    v->has_health = false;
    v->ended = "it exited with status 3";
}

static void often_and_it_said_why(struct watch_view *v)
{
    often(v);
    v->has_health = true;
    v->is_alive = false;
    (void)str_copy(v->health.failed, sizeof(v->health.failed), "journal.db: it is newer");
}

/* What the version before has said of itself is no cause of this one. */
static void often_after_another(struct watch_view *v)
{
    often_and_it_said_why(v);
    (void)str_copy(v->health.version, sizeof(v->health.version), "0.1.0");
}

static void three_times(struct watch_view *v)
{
    v->n_starts = 3;
    v->is_alive = false;
}

static void another(struct watch_view *v)
{
    (void)str_copy(v->health.version, sizeof(v->health.version), "0.3.0");
}

static void another_that_is_gone(struct watch_view *v)
{
    another(v);
    v->is_alive = false;
}

static void too_large(struct watch_view *v)
{
    v->max_rss_bytes = 64 << 20;
    v->rss_bytes = (64 << 20) + 1;
}

static void as_large_as_it_may_be(struct watch_view *v)
{
    v->max_rss_bytes = v->rss_bytes = 64 << 20;
}

static void unlimited(struct watch_view *v)
{
    v->rss_bytes = 1ll << 40;
}

static void silent(struct watch_view *v)
{
    v->silent_ms = HANDOVER_SILENCE_MS + 1;
}

static void silent_from_the_start(struct watch_view *v)
{
    silent(v);
    v->has_health = v->is_alive = false;
}

static void silent_while_it_opens_its_journal(struct watch_view *v)
{
    silent(v);
    v->health.has_journal = v->health.has_steps = v->health.has_service = false;
}

static void mute_and_late(struct watch_view *v)
{
    v->is_overdue = true;
    v->has_health = v->is_alive = false;
}

static void away_and_late(struct watch_view *v)
{
    mute_and_late(v);
    v->is_running = false;
}

static void old(struct watch_view *v)
{
    v->is_new = false;
    v->alive_ms = 5 * SECOND;
    v->health.has_service = v->health.has_steps = false;
}

static void old_and_young(struct watch_view *v)
{
    old(v);
    v->alive_ms = 4 * SECOND;
}

static void old_without_journal(struct watch_view *v)
{
    old(v);
    v->health.has_journal = false;
}

static void old_and_late(struct watch_view *v)
{
    old_without_journal(v);
    v->is_overdue = true;
}

static void old_while_the_new_one_is_there(struct watch_view *v)
{
    old(v);
    another(v);
}

static void old_and_large(struct watch_view *v)
{
    old(v);
    too_large(v);
    silent(v);
}

static const struct {
    void (*change)(struct watch_view *v);
    enum watch_verdict verdict;
    const char *said;
} rows[] = {
    {NULL, WATCH_PROVEN, ""},
    {young, WATCH_GO_ON, ""},
    {late_but_well, WATCH_PROVEN, ""},
    {late_and_young, WATCH_OVERDUE, "within 300 s: it did not stay up for long enough"},
    {without_service, WATCH_GO_ON, ""},
    {late_without_service, WATCH_OVERDUE, "it has not reached the service: connect: refused"},
    {late_in_an_outage, WATCH_OVERDUE, "it has not reached the service"},
    {late_in_an_outage_without_node, WATCH_OVERDUE, "all running steps"},
    {late_in_an_outage_without_journal, WATCH_UNHEALTHY, "it has not opened its journal"},
    {late_without_steps_in_reach, WATCH_UNHEALTHY, "it has not found all running steps"},
    {late_and_dead_in_an_outage, WATCH_UNHEALTHY, "it does not run"},
    {often, WATCH_UNHEALTHY, "was started 4 times and did not stay: it exited with status 3"},
    {often_and_it_said_why, WATCH_UNHEALTHY, "it exited with status 3: journal.db: it is newer"},
    {often_after_another, WATCH_UNHEALTHY, "did not stay: it exited with status 3"},
    {three_times, WATCH_GO_ON, ""},
    {another, WATCH_UNHEALTHY, "version 0.3.0 runs where version 0.2.0 was to run"},
    {another_that_is_gone, WATCH_GO_ON, ""},
    {too_large, WATCH_UNHEALTHY, "its limit is 64 MiB"},
    {as_large_as_it_may_be, WATCH_PROVEN, ""},
    {unlimited, WATCH_PROVEN, ""},
    {silent, WATCH_UNHEALTHY, "hangs: nothing was heard of it for 30 s"},
    {silent_from_the_start, WATCH_UNHEALTHY, "hangs: it has said nothing for 30 s"},
    {silent_while_it_opens_its_journal, WATCH_GO_ON, ""},
    {mute_and_late, WATCH_OVERDUE, "it has said nothing of itself"},
    {away_and_late, WATCH_OVERDUE, "it does not run"},
    {old, WATCH_PROVEN, ""},
    {old_and_young, WATCH_GO_ON, ""},
    {old_without_journal, WATCH_GO_ON, ""},
    {old_and_late, WATCH_OVERDUE, "the old version was not seen to come up"},
    {old_and_large, WATCH_PROVEN, ""},
    {old_while_the_new_one_is_there, WATCH_GO_ON, ""},
};

START_TEST(a_moment_is_judged_as_the_table_says)
{
    struct watch_view v = well;
    char text[400] = "";

    if (rows[_i].change != NULL)
        rows[_i].change(&v);
    ck_assert_int_eq(watch_judge(&v, text, sizeof(text)), rows[_i].verdict);
    ck_assert_msg(strstr(text, rows[_i].said) != NULL, "\"%s\"", text);
    ck_assert_msg((text[0] != '\0') == (rows[_i].said[0] != '\0'), "\"%s\"", text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("updater_judge");
    TCase *t = tcase_create("moments");
    SRunner *sr;
    int n_failed;

    tcase_add_loop_test(t, a_moment_is_judged_as_the_table_says, 0, (int)ARRAY_LEN(rows));
    suite_add_tcase(suite, t);
    sr = srunner_create(suite);
    srunner_run_all(sr, CK_ENV);
    n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
