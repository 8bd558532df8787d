/* The exhaustive crash test of the command machine: every scenario with a crash at every outside
 * step, with a second crash at every later one, and with a cancel, a time-out or a power loss at
 * every turn. And the test of the test: machines and interpreters broken on purpose are noticed. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "tests/crash/world.h"

#define RUN(p, ...)                                                                                \
    {                                                                                              \
        .plugin = (p), .plan = COMMAND_PLAN_RUN, .codes = {__VA_ARGS__},                           \
        .n_codes = (int)(sizeof((int[]){__VA_ARGS__}) / sizeof(int))                               \
    }
#define TRIED(p, n, ...)                                                                           \
    {                                                                                              \
        .plugin = (p), .plan = COMMAND_PLAN_RUN, .max_tries = (n), .codes = {__VA_ARGS__},         \
        .n_codes = (int)(sizeof((int[]){__VA_ARGS__}) / sizeof(int))                               \
    }
#define PLANNED(p, how)                                                                            \
    {                                                                                              \
        .plugin = (p), .plan = COMMAND_PLAN_##how                                                  \
    }

#define DOCUMENT(p)                                                                                \
    {                                                                                              \
        .plugin = (p), .plan = COMMAND_PLAN_RUN, .is_document = true                               \
    }

static const struct scenario scenarios[] = {
    {.name = "one step",
     .units = {RUN(0, 0)},
     .n_units = 1,
     .status = "Success",
     .is_double_always = true},
    {.name = "three steps, the second fails",
     .units = {RUN(0, 0), RUN(1, 3), RUN(2, 0)},
     .n_units = 3,
     .status = "Failed"},
    {.name = "two units of one plugin",
     .units = {RUN(0, 0), RUN(0, 0), RUN(1, 0)},
     .n_units = 3,
     .status = "Success"},
    {.name = "a reboot",
     .units = {RUN(0, 194, 0), RUN(1, 0)},
     .n_units = 2,
     .max_reboots = 15,
     .status = "Success"},
    {.name = "a reboot, alone",
     .units = {RUN(0, 194, 0)},
     .n_units = 1,
     .max_reboots = 15,
     .status = "Success",
     .is_double_always = true},
    {.name = "three reboots",
     .units = {RUN(0, 194, 194, 194, 0)},
     .n_units = 1,
     .max_reboots = 15,
     .status = "Success"},
    {.name = "more reboots than allowed",
     .units = {RUN(0, 194), RUN(1, 0)},
     .n_units = 2,
     .max_reboots = 2,
     .status = "Failed"},
    {.name = "a reboot that comes when asked twice",
     .units = {RUN(0, 194, 0)},
     .n_units = 1,
     .max_reboots = 15,
     .luck = REBOOT_COMES_WHEN_ASKED_TWICE,
     .status = "Success",
     .is_double_always = true},
    {.name = "a reboot that never comes",
     .units = {RUN(0, 194, 0), RUN(1, 0)},
     .n_units = 2,
     .max_reboots = 15,
     .luck = REBOOT_NEVER_COMES,
     .status = "Failed"},
    {.name = "a step that succeeds when tried again",
     .units = {TRIED(0, 3, 1, 1, 0), RUN(1, 0)},
     .n_units = 2,
     .status = "Success"},
    {.name = "a step that fails as often as it may",
     .units = {TRIED(0, 2, 3)},
     .n_units = 1,
     .status = "Failed",
     .is_double_always = true},
    {.name = "a reboot between two tries",
     .units = {TRIED(0, 2, 1, 194, 0)},
     .n_units = 1,
     .max_reboots = 15,
     .status = "Success"},
    {.name = "planned skips and failures",
     .units = {PLANNED(0, SKIP), RUN(1, 0), PLANNED(2, FAIL), RUN(3, 0)},
     .n_units = 4,
     .status = "Failed"},
    {.name = "nothing to run",
     .units = {PLANNED(0, SKIP), PLANNED(1, SKIP)},
     .n_units = 2,
     .status = "Success",
     .is_double_always = true},
    {.name = "a failure that ends the document, and a last step",
     .units = {{.plugin = 0, .flow = COMMAND_FLOW_EXIT_ON_FAILURE, .codes = {1}, .n_codes = 1},
               RUN(1, 0),
               {.plugin = 2, .flow = COMMAND_FLOW_FINALLY, .codes = {0}, .n_codes = 1}},
     .n_units = 3,
     .status = "Failed"},
    {.name = "a failure that counts as success",
     .units = {{.plugin = 0, .flow = COMMAND_FLOW_SUCCEED_ON_FAILURE, .codes = {1}, .n_codes = 1},
               RUN(1, 0)},
     .n_units = 2,
     .status = "Success",
     .is_double_always = true},
    {.name = "exit code 168", .units = {RUN(0, 168), RUN(1, 0)}, .n_units = 2, .status = "Success"},
    {.name = "the message comes again",
     .units = {RUN(0, 0)},
     .n_units = 1,
     .is_redelivered = true,
     .status = "Success"},
    {.name = "the service refuses the reply",
     .units = {RUN(0, 0)},
     .n_units = 1,
     .is_refused = true,
     .status = ""},
    {.name = "the answer to the reply is lost",
     .units = {RUN(0, 0)},
     .n_units = 1,
     .loses_answer = true,
     .status = "Success",
     .is_double_always = true},
    {.name = "a document that cannot be run",
     .units = {RUN(0, 0)},
     .n_units = 1,
     .is_rejected = true,
     .status = "Failed",
     .is_double_always = true},
    {.name = "a step that takes long",
     .units = {{.plugin = 0, .codes = {0}, .n_codes = 1, .n_turns = 8}, RUN(1, 0)},
     .n_units = 2,
     .status = "Success"},
    {.name = "a nested document",
     .units = {DOCUMENT(0), RUN(1, 0)},
     .n_units = 2,
     .inner = {RUN(0, 0), RUN(1, 0)},
     .n_inner = 2,
     .status = "Success"},
    {.name = "a nested document, alone",
     .units = {DOCUMENT(0)},
     .n_units = 1,
     .inner = {RUN(0, 0)},
     .n_inner = 1,
     .status = "Success",
     .is_double_always = true},
    {.name = "a nested document that takes long",
     .units = {DOCUMENT(0)},
     .n_units = 1,
     .inner = {{.plugin = 0, .codes = {0}, .n_codes = 1, .n_turns = 10}},
     .n_inner = 1,
     .status = "Success"},
    {.name = "a nested document that fails",
     .units = {RUN(0, 0), DOCUMENT(1)},
     .n_units = 2,
     .inner = {RUN(0, 3), PLANNED(1, SKIP)},
     .n_inner = 2,
     .status = "Failed"},
    {.name = "a nested document without anything to run",
     .units = {DOCUMENT(0)},
     .n_units = 1,
     .inner = {PLANNED(0, SKIP)},
     .n_inner = 1,
     .status = "Success"},
    {.name = "a reboot inside of a nested document",
     .units = {DOCUMENT(0), RUN(1, 0)},
     .n_units = 2,
     .inner = {RUN(0, 0), RUN(1, 194, 0)},
     .n_inner = 2,
     .max_reboots = 15,
     .status = "Success"},
    {.name = "a reboot inside of a nested document that never comes",
     .units = {DOCUMENT(0)},
     .n_units = 1,
     .inner = {RUN(0, 194, 0)},
     .n_inner = 1,
     .max_reboots = 15,
     .luck = REBOOT_NEVER_COMES,
     .status = "Failed"},
    {.name = "a step of a nested document that cannot be killed",
     .units = {DOCUMENT(0)},
     .n_units = 1,
     .inner = {{.plugin = 0, .codes = {0}, .n_codes = 1, .is_unstoppable = true}},
     .n_inner = 1,
     .status = "TimedOut"},
    {.name = "a step that cannot be killed",
     .units = {{.plugin = 0, .codes = {0}, .n_codes = 1, .is_unstoppable = true}, RUN(1, 0)},
     .n_units = 2,
     .status = "TimedOut"},
};

struct tally {
    const struct fsm_machine *machine;
    enum broken broken;
    bool is_broken; /* on purpose: the first bad run is enough */
    int64_t n_runs, n_bad;
    char first[400];
};

static bool is_settled(const struct tally *t)
{
    return t->is_broken && t->n_bad > 0;
}

static struct run_result run(struct tally *t, const struct scenario *s, enum disturbance d,
                             int turn, int crash, int second_crash)
{
    static const char *const names[N_DISTURBANCES] = {"nothing", "cancel", "time-out",
                                                      "power loss"};
    struct run_plan plan = {.machine = t->machine,
                            .scenario = s,
                            .disturbance = d,
                            .disturb_turn = turn,
                            .crash = {crash, second_crash},
                            .broken = t->broken};
    struct run_result result;

    world_run(&plan, &result);
    t->n_runs++;
    if (result.n_violations > 0 && t->n_bad++ == 0)
        (void)snprintf(t->first, sizeof(t->first), "%s, %s at turn %d, crashes at %d and %d: %s",
                       s->name, names[d], turn, crash, second_crash, result.first);
    return result;
}

/* Crash at every outside step of the run, and at every later one a second time. */
static void run_with_crashes(struct tally *t, const struct scenario *s, enum disturbance d,
                             int turn, bool is_double)
{
    int n = run(t, s, d, turn, 0, 0).n_steps, i, k;

    for (i = 1; i <= n && !is_settled(t); i++) {
        int n_after = run(t, s, d, turn, i, 0).n_steps;

        for (k = i + 1; is_double && k <= n_after; k++)
            (void)run(t, s, d, turn, i, k);
    }
}

static void run_scenario(struct tally *t, const struct scenario *s)
{
    int n_turns, turn, d;

    n_turns = run(t, s, DISTURB_NOT, 0, 0, 0).n_turns;
    run_with_crashes(t, s, DISTURB_NOT, 0, true);
    for (d = DISTURB_CANCEL; d < N_DISTURBANCES; d++)
        for (turn = 1; turn <= n_turns && !is_settled(t); turn++)
            run_with_crashes(t, s, (enum disturbance)d, turn, s->is_double_always);
}

START_TEST(keeps_every_promise_whenever_the_agent_dies)
{
    struct tally t = {.machine = &command_machine};

    run_scenario(&t, &scenarios[_i]);
    printf("%s: %lld runs\n", scenarios[_i].name, (long long)t.n_runs);
    ck_assert_msg(t.n_bad == 0, "%lld of %lld runs are bad; the first: %s", (long long)t.n_bad,
                  (long long)t.n_runs, t.first);
}
END_TEST

/* ---- the test of the test ---- */

struct copy { /* of the machine, to be broken */
    struct fsm_machine machine;
    struct fsm_rule rules[64];
    struct fsm_effect_kind effects[COMMAND_N_EFFECTS];
    struct fsm_state states[COMMAND_N_STATES];
};

static void copy_machine(struct copy *c)
{
    c->machine = command_machine;
    ck_assert_uint_le(command_machine.n_rules, ARRAY_LEN(c->rules));
    memcpy(c->rules, command_machine.rules, command_machine.n_rules * sizeof(c->rules[0]));
    memcpy(c->effects, command_machine.effects, sizeof(c->effects));
    memcpy(c->states, command_machine.states, sizeof(c->states));
    c->machine.rules = c->rules;
    c->machine.effects = c->effects;
    c->machine.states = c->states;
}

/* The n-th row (from 0) for this state and event. */
static struct fsm_rule *row(struct copy *c, int from, int on, int n)
{
    size_t i;

    for (i = 0; i < c->machine.n_rules; i++)
        if (c->rules[i].from == from && c->rules[i].on == on && n-- == 0)
            return &c->rules[i];
    ck_abort_msg("no such row");
    return NULL;
}

static void remove_row(struct copy *c, int from, int on, int n)
{
    struct fsm_rule *r = row(c, from, on, n);

    memmove(r, r + 1, (size_t)(c->rules + c->machine.n_rules - (r + 1)) * sizeof(*r));
    c->machine.n_rules--;
}

static void spawn_is_redo(struct copy *c)
{
    c->effects[COMMAND_FX_SPAWN].recovery = FSM_REDO;
}

static void spawn_is_once(struct copy *c)
{
    c->effects[COMMAND_FX_SPAWN].recovery = FSM_ONCE;
}

static void reboot_is_redo(struct copy *c)
{
    c->effects[COMMAND_FX_REBOOT].recovery = FSM_REDO;
}

static void reboot_is_once(struct copy *c)
{
    c->effects[COMMAND_FX_REBOOT].recovery = FSM_ONCE;
}

static void report_is_once(struct copy *c)
{
    c->effects[COMMAND_FX_REPORT].recovery = FSM_ONCE;
    c->effects[COMMAND_FX_REPORT].lost = COMMAND_EV_REPORTED;
}

static void acknowledge_is_forgotten(struct copy *c)
{
    c->effects[COMMAND_FX_ACKNOWLEDGE].recovery = FSM_ONCE;
    c->effects[COMMAND_FX_ACKNOWLEDGE].lost = COMMAND_EV_RUNAWAY;
}

static void reboot_forgets_the_cancel(struct copy *c)
{
    remove_row(c, COMMAND_REBOOTING, COMMAND_EV_BOOTED, 0);
}

static void cancel_does_not_stop(struct copy *c)
{
    remove_row(c, COMMAND_RUNNING, COMMAND_EV_CANCEL, 0);
}

static void cancelled_goes_on(struct copy *c)
{
    struct fsm_rule *r = row(c, COMMAND_STOPPING, COMMAND_EV_EXITED, 0);

    r->when = row(c, COMMAND_RUNNING, COMMAND_EV_EXITED, 1)->when; /* has more, stopped or not */
}

static void no_end_for_an_overdue_stop(struct copy *c)
{
    struct fsm_rule *r = row(c, COMMAND_STOPPING, COMMAND_EV_OVERDUE, 0);

    r->to = COMMAND_STOPPING;
    r->action = row(c, COMMAND_STOPPING, COMMAND_EV_CANCEL, 0)->action;
}

static void reboots_without_limit(struct copy *c)
{
    struct fsm_rule *r = row(c, COMMAND_REBOOTING, COMMAND_EV_OVERDUE, 0);

    r->when = NULL;
}

static void ends_without_a_reply(struct copy *c)
{
    row(c, COMMAND_RUNNING, COMMAND_EV_EXITED, 2)->to = COMMAND_DONE;
}

static void lose_as_success(struct fsm_instance *inst, const struct fsm_event *ev,
                            struct fsm_out *out)
{
    size_t i;

    (void)ev;
    for (i = 0; i < inst->n_children; i++)
        (void)str_copy(command_unit_at(inst, i)->status, sizeof(command_unit_at(inst, i)->status),
                       "Success");
    fsm_close_kind(inst, out, COMMAND_FX_SPAWN);
    fsm_open(out, COMMAND_FX_REPORT, 0, 0);
}

static void lost_is_success(struct copy *c)
{
    row(c, COMMAND_RUNNING, COMMAND_EV_LOST, 0)->action = lose_as_success;
}

static void runs_a_lost_step_again(struct copy *c)
{
    struct fsm_rule *r = row(c, COMMAND_RUNNING, COMMAND_EV_LOST, 0);

    r->to = COMMAND_RUNNING;
    r->action = row(c, COMMAND_REBOOTING, COMMAND_EV_BOOTED, 1)->action;
}

static void only_wait(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)ev;
    command_of(inst)->stop = COMMAND_STOP_CANCEL;
    out->deadline_ms = 1;
}

static void stops_without_killing(struct copy *c)
{
    struct fsm_rule *r = row(c, COMMAND_RUNNING, COMMAND_EV_CANCEL, 0);

    r->action = only_wait;
}

static const struct mutation {
    const char *name;
    void (*mutate)(struct copy *c);
    enum broken broken;
} mutations[] = {
    {.name = "spawn is redone by a restart", .mutate = spawn_is_redo},
    {.name = "spawn is given up by a restart", .mutate = spawn_is_once},
    {.name = "reboot is redone by a restart", .mutate = reboot_is_redo},
    {.name = "reboot is taken for done by a restart", .mutate = reboot_is_once},
    {.name = "report is taken for done by a restart", .mutate = report_is_once},
    {.name = "acknowledge is lost by a restart", .mutate = acknowledge_is_forgotten},
    {.name = "a reboot forgets the cancel", .mutate = reboot_forgets_the_cancel},
    {.name = "a running step has no row for cancel", .mutate = cancel_does_not_stop},
    {.name = "a cancelled document goes on", .mutate = cancelled_goes_on},
    {.name = "a stop that does not come is waited for", .mutate = no_end_for_an_overdue_stop},
    {.name = "a reboot is asked for without end", .mutate = reboots_without_limit},
    {.name = "the end comes without a reply", .mutate = ends_without_a_reply},
    {.name = "lost is a success", .mutate = lost_is_success},
    {.name = "a lost step is run again", .mutate = runs_a_lost_step_again},
    {.name = "a cancel kills nobody", .mutate = stops_without_killing},
    {.name = "acknowledge before commit", .broken = BROKEN_ACKNOWLEDGES_EARLY},
    {.name = "spawn before commit", .broken = BROKEN_SPAWNS_EARLY},
    {.name = "report before commit", .broken = BROKEN_REPORTS_EARLY},
    {.name = "effects stay open at the end", .broken = BROKEN_KEEPS_OPEN},
    {.name = "a restart asks nobody", .broken = BROKEN_FORGETS_PROBE},
    {.name = "each sending has its own id", .broken = BROKEN_NEW_REPLY_ID},
    {.name = "a nested document and its step end apart", .broken = BROKEN_ENDS_APART},
    {.name = "a nested document is made blindly", .broken = BROKEN_MAKES_BLINDLY},
    {.name = "a cancel stays outside", .broken = BROKEN_STOPS_OUTSIDE_ONLY},
};

START_TEST(notices_what_is_broken_on_purpose)
{
    const struct mutation *m = &mutations[_i];
    struct tally t = {.broken = m->broken, .is_broken = true};
    struct copy c;
    size_t i;

    copy_machine(&c);
    if (m->mutate != NULL)
        m->mutate(&c);
    t.machine = &c.machine;
    for (i = 0; i < ARRAY_LEN(scenarios) && t.n_bad == 0; i++)
        run_scenario(&t, &scenarios[i]);
    ck_assert_msg(t.n_bad > 0, "%s: not noticed in %lld runs", m->name, (long long)t.n_runs);
    printf("%s: noticed in run %lld: %s\n", m->name, (long long)t.n_runs, t.first);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crash_command");
    TCase *promises = tcase_create("promises"), *mutants = tcase_create("mutations");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_loop_test(promises, keeps_every_promise_whenever_the_agent_dies, 0,
                        (int)ARRAY_LEN(scenarios));
    tcase_add_loop_test(mutants, notices_what_is_broken_on_purpose, 0, (int)ARRAY_LEN(mutations));
    suite_add_tcase(suite, promises);
    suite_add_tcase(suite, mutants);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
