/* The exhaustive crash test of an update that a package manager carries out: the update machine of
 * ssmd, the runner with its records, the package manager below it and its database, and the service
 * manager, in one world of memory. Whoever acts dies at every outside step, twice; or power is lost
 * there; a cancel or a deadline comes at every turn. And the test of the test: interpreters and
 * machines that are broken on purpose are noticed.
 *
 * Of a process nothing survives its death. Records, the journal and the package database survive
 * everything: each is synced by whoever writes it before what it announces. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "fsm/update.h"
#include "tests/crash/deaths.h"

#define MAX_TURNS 200
#define MAX_OPEN 4
#define N_LOOKS 16     /* attempts of the look that have records */
#define ASK_TURNS 6    /* after which the service manager is asked to restart */
#define LOCKED_TURNS 4 /* while which somebody else holds the package manager's lock */

enum version { OLD, NEW, HALF };
/* What the package manager makes of it. */
enum behaviour {
    GOOD,
    LOCKED_FIRST,
    ABSENT,          /* the version is not in its repositories */
    FAILS_UNCHANGED, /* it ends with an error, and nothing was done */
    FAILS_HALF,      /* it ends with an error in the middle */
    LIES,            /* it is content, and nothing was done */
    MUTTERS,         /* it ends with an error, and all was done */
    RESTARTS_NOTHING,
    N_BEHAVIOURS
};
enum disaster { DEATH, POWER, N_DISASTERS };
enum disturbance { UNDISTURBED, CANCEL, OVERDUE, N_DISTURBANCES };
enum broken {
    SOUND,
    INSTALL_IS_REDONE,
    BEGINS_BEFORE_COMMIT,
    BELIEVES_THE_STATUS,
    STOPS_BY_KILLING,
    CANCELS_AT_ONCE,
    NO_LOST_ROW,
    SUCCESS_WITHOUT_RESTART,
    FORGETS_TELLING,
    TELLS_BESIDE,
    N_BROKEN
};

struct plan {
    enum behaviour behaviour;
    struct deaths_plan deaths;
    enum disturbance disturbance;
    int disturb_turn;
    enum broken broken;
};

/* The directory of a step, as far as it counts. */
struct records {
    bool is_started, is_void, has_exit, has_stop_file;
    int status;         /* of exit */
    enum version found; /* by a look, when it has ended */
};

struct run {
    const struct plan *plan;
    struct fsm_machine machine; /* a copy, perhaps spoilt */
    struct fsm_rule rules[128];
    /* the disk */
    enum version installed;
    struct records install, look[N_LOOKS];
    bool has_journal;
    uint8_t state;
    int64_t n_transitions, last_id;
    struct update data;
    struct fsm_effect effects[MAX_OPEN];
    size_t n_effects;
    int n_told;
    char told[20];
    bool told_changed;
    /* processes */
    bool is_agent_alive, has_inst;
    struct fsm_instance inst;
    enum version agent_version;
    int waited_turns; /* of this agent for a restart */
    bool is_runner_alive;
    int runner_phase;
    bool is_look_alive;
    int64_t look_attempt;
    /* counting */
    int turn, n_steps, n_crashes, n_begun;
    bool is_stop_committed;
    char wrong[200];
};

static void violate(struct run *r, const char *what)
{
    if (r->wrong[0] == '\0')
        (void)snprintf(r->wrong, sizeof(r->wrong), "turn %d, step %d: %s", r->turn, r->n_steps,
                       what);
}

/* ---- deaths ---- */

enum who { AGENT, RUNNER, LOOK };

static void end_agent(struct run *r)
{
    if (r->has_inst)
        fsm_instance_done(&r->inst);
    r->has_inst = r->is_agent_alive = false;
}

/* An outside step of this process was made, or is about to be. False: it is dead. */
static bool outside(struct run *r, enum who who)
{
    size_t i;

    r->n_steps++;
    if (r->n_begun > 1)
        violate(r, "the package manager was begun twice");
    if (r->n_told > 1)
        violate(r, "told twice");
    for (i = 0; i < DEATHS_PER_RUN; i++) {
        if (r->plan->deaths.at[i] != r->n_steps)
            continue;
        r->n_crashes++;
        if (who == AGENT || r->plan->deaths.disaster == POWER)
            end_agent(r);
        if (who == RUNNER || r->plan->deaths.disaster == POWER)
            r->is_runner_alive = false; /* and what is below it */
        if (who == LOOK || r->plan->deaths.disaster == POWER)
            r->is_look_alive = false;
        return false;
    }
    return true;
}

/* ---- the journal ---- */

static void store(struct run *r)
{
    size_t i;

    ck_assert_uint_le(r->inst.n_effects, MAX_OPEN);
    r->has_journal = true;
    r->state = r->inst.state;
    r->n_transitions = r->inst.n_transitions;
    r->data = *update_of(&r->inst);
    r->n_effects = r->inst.n_effects;
    for (i = 0; i < r->n_effects; i++)
        r->effects[i] = r->inst.effects[i];
}

static void restore(struct run *r)
{
    struct err err;

    ck_assert_int_eq(fsm_instance_init(&r->inst, &r->machine, "u", 0, 1, &err), 0);
    r->has_inst = true;
    (void)str_copy(update_of(&r->inst)->manager, 16, "apt-get");
    if (!r->has_journal)
        return;
    r->inst.state = r->state;
    r->inst.n_transitions = r->n_transitions;
    *update_of(&r->inst) = r->data;
    r->inst.effects = calloc(MAX_OPEN, sizeof(*r->inst.effects));
    ck_assert_ptr_nonnull(r->inst.effects);
    r->inst.cap_effects = MAX_OPEN;
    r->inst.n_effects = r->n_effects;
    memcpy(r->inst.effects, r->effects, r->n_effects * sizeof(*r->effects));
}

/* False: nothing has moved. */
static bool decide(struct run *r, uint8_t kind, const void *detail, int64_t effect_id)
{
    const struct fsm_event ev = {
        .kind = kind, .effect_id = effect_id, .boot_id = "b", .detail = detail};
    struct fsm_out out = {0};
    bool has_moved = false;
    size_t i;

    switch (fsm_step(&r->inst, &ev, &out)) {
    case FSM_MOVED:
        for (i = 0; i < out.n_opens; i++)
            out.opens[i].id = ++r->last_id;
        ck_assert_int_eq(fsm_adopt(&r->inst, &out), 0);
        has_moved = true;
        break;
    case FSM_UNEXPECTED:
    case FSM_RUNAWAY:
        if (r->plan->broken == SOUND)
            violate(r, "an event that is not expected");
        break;
    case FSM_IGNORED:
    case FSM_STALE:
    default:
        break;
    }
    fsm_out_done(&out);
    return has_moved;
}

static bool deliver(struct run *r, uint8_t kind, const void *detail, int64_t effect_id)
{
    if (!decide(r, kind, detail, effect_id))
        return true;
    if (!outside(r, AGENT))
        return false;
    store(r);
    return outside(r, AGENT);
}

/* ---- the runner, and the package manager ---- */

enum { CONTENT = 0, ERROR = 1, STOPPED = 20, NOT_THERE = 22 };

static void runner_ends(struct run *r, int status)
{
    if (!outside(r, RUNNER))
        return;
    r->install.status = status;
    r->install.has_exit = true;
    r->is_runner_alive = false;
    (void)outside(r, RUNNER);
}

static bool put(struct run *r, enum version v)
{
    r->installed = v;
    return outside(r, RUNNER);
}

/* The package's own script: who runs ends, and the service manager starts what is there. */
static bool restart_by_package(struct run *r)
{
    end_agent(r);
    return outside(r, RUNNER);
}

static void work(struct run *r)
{
    enum behaviour b = r->plan->behaviour;

    switch (r->runner_phase++) {
    case 0: /* `started` is synced before anything of it runs */
        r->install.is_started = true;
        (void)outside(r, RUNNER);
        break;
    case 1:
        if (r->install.has_stop_file) {
            runner_ends(r, STOPPED);
        } else if (b == ABSENT) {
            runner_ends(r, NOT_THERE);
        } else if (b == LOCKED_FIRST && r->turn < r->plan->disturb_turn + LOCKED_TURNS) {
            r->runner_phase--;
        } else {
            r->n_begun++;
            if (r->is_stop_committed)
                violate(r, "begun after it was told to be cancelled");
            (void)outside(r, RUNNER);
        }
        break;
    case 2:
        if (b == FAILS_UNCHANGED || b == LIES)
            runner_ends(r, b == LIES ? CONTENT : ERROR);
        else
            (void)put(r, HALF);
        break;
    case 3:
        if (b == FAILS_HALF)
            runner_ends(r, ERROR);
        else if (b == RESTARTS_NOTHING || restart_by_package(r))
            (void)put(r, NEW);
        break;
    default:
        runner_ends(r, b == MUTTERS ? ERROR : CONTENT);
        break;
    }
}

static void runner_turn(struct run *r)
{
    if (r->is_runner_alive)
        work(r);
}

static void look_turn(struct run *r)
{
    struct records *rec = &r->look[r->look_attempt];

    if (!r->is_look_alive)
        return;
    if (!rec->is_started) {
        rec->is_started = true;
        (void)outside(r, LOOK);
        return;
    }
    rec->found = r->installed;
    rec->has_exit = true;
    r->is_look_alive = false;
    (void)outside(r, LOOK);
}

/* ---- ssmd, as agent/update_package.c does ---- */

static void begin(struct run *r)
{
    if (r->install.is_started || r->install.is_void) {
        if (r->plan->broken != INSTALL_IS_REDONE)
            return; /* a runner refuses what has begun before */
        r->install = (struct records){.is_started = false};
    }
    r->is_runner_alive = true;
    r->runner_phase = 0;
    (void)outside(r, AGENT);
}

static void install_ended(struct run *r, int64_t effect_id)
{
    const struct update_reason absent = {.code = "c", .text = "t"};

    if (r->plan->broken == BELIEVES_THE_STATUS && r->install.status == CONTENT) {
        if (deliver(r, UPDATE_EV_PACKAGED, "", effect_id))
            (void)deliver(r, UPDATE_EV_CONFIRMED, NULL, 0);
    } else if (r->install.status == STOPPED) {
        (void)deliver(r, UPDATE_EV_STOPPED, NULL, 0);
    } else if (r->install.status == NOT_THERE) {
        (void)deliver(r, UPDATE_EV_FAILED, &absent, effect_id);
    } else {
        (void)deliver(r, UPDATE_EV_PACKAGED, "words", effect_id);
    }
}

/* What lock and records say (steps.h). */
static void follow_install(struct run *r, const struct fsm_effect *fx)
{
    const struct fsm_effect *stop = fsm_find_effect_kind(&r->inst, UPDATE_FX_STOP);
    bool is_lost = r->install.is_started && !r->is_runner_alive && !r->install.has_exit;

    if (r->plan->broken == INSTALL_IS_REDONE && is_lost) {
        begin(r);
    } else if (r->install.is_void) {
        (void)deliver(r, UPDATE_EV_STOPPED, NULL, 0);
    } else if (r->install.has_exit) {
        install_ended(r, fx->id);
    } else if (is_lost) {
        (void)deliver(r, UPDATE_EV_LOST, "lost", fx->id);
    } else if (stop != NULL && !r->is_runner_alive) {
        r->install.is_void = true;
        (void)outside(r, AGENT);
    } else if (stop != NULL && r->plan->broken == STOPS_BY_KILLING) {
        r->is_runner_alive = false;
        r->install.is_void = true;
        (void)outside(r, AGENT);
    } else if (stop != NULL && !r->install.has_stop_file) {
        r->install.has_stop_file = true;
        (void)outside(r, AGENT);
    } else if (!r->is_runner_alive) {
        begin(r);
    }
}

static void follow_look(struct run *r, const struct fsm_effect *fx)
{
    const struct update_reason reason = {.code = "c", .text = "t"};
    struct records *rec = &r->look[fx->arg2];

    ck_assert_int_lt(fx->arg2, N_LOOKS);
    if (rec->has_exit) {
        (void)deliver(r,
                      rec->found == NEW   ? UPDATE_EV_CONFIRMED
                      : rec->found == OLD ? UPDATE_EV_FAILED
                                          : UPDATE_EV_BROKEN,
                      &reason, fx->id);
    } else if (rec->is_started && !r->is_look_alive) {
        (void)deliver(r, UPDATE_EV_LOST, "lost", fx->id);
    } else if (!r->is_look_alive) {
        r->is_look_alive = true;
        r->look_attempt = fx->arg2;
        (void)outside(r, AGENT);
    }
}

static void follow_restart(struct run *r, const struct fsm_effect *fx)
{
    if (r->agent_version == NEW || r->plan->broken == SUCCESS_WITHOUT_RESTART)
        (void)deliver(r, UPDATE_EV_RESTARTED, NULL, fx->id);
    else if (++r->waited_turns >= ASK_TURNS && outside(r, AGENT))
        end_agent(r); /* the service manager does it */
}

/* The end and the step's end are one commit. */
static void tell(struct run *r, int64_t effect_id)
{
    const struct update told = *update_of(&r->inst);

    if (r->plan->broken == TELLS_BESIDE) {
        r->n_told++;
        if (!outside(r, AGENT))
            return;
    }
    if (!decide(r, UPDATE_EV_TOLD, NULL, effect_id) || !outside(r, AGENT))
        return;
    store(r);
    r->n_told += r->plan->broken != TELLS_BESIDE;
    (void)str_copy(r->told, sizeof(r->told), told.status);
    r->told_changed = told.is_changed != 0;
    (void)outside(r, AGENT);
}

static void perform(struct run *r)
{
    static const struct update_choice choice = {"2", "u", "s", 1, 1, 1};
    const struct fsm_effect fx = r->inst.effects[0];

    switch ((enum update_effect)fx.kind) {
    case UPDATE_FX_FETCH:
        (void)deliver(r, UPDATE_EV_FETCHED, &choice, fx.id);
        break;
    case UPDATE_FX_AWAIT:
        if (r->plan->broken == BEGINS_BEFORE_COMMIT)
            begin(r);
        if (r->is_agent_alive)
            (void)deliver(r, UPDATE_EV_READY, NULL, fx.id);
        break;
    case UPDATE_FX_INSTALL:
        follow_install(r, &fx);
        break;
    case UPDATE_FX_LOOK:
        follow_look(r, &fx);
        break;
    case UPDATE_FX_RESTART:
        follow_restart(r, &fx);
        break;
    case UPDATE_FX_TELL:
        if (r->plan->broken != FORGETS_TELLING || r->n_crashes == 0)
            tell(r, fx.id);
        break;
    default:
        violate(r, "an effect of slots");
        break;
    }
}

static void disturb(struct run *r)
{
    if (r->plan->disturbance == UNDISTURBED || r->turn != r->plan->disturb_turn)
        return;
    if (r->plan->disturbance == CANCEL) {
        (void)deliver(r, UPDATE_EV_CANCEL, NULL, 0);
        if (r->is_agent_alive && r->plan->broken == CANCELS_AT_ONCE &&
            r->inst.state == UPDATE_STOPPING)
            (void)deliver(r, UPDATE_EV_STOPPED, NULL, 0);
    } else if (update_machine.states[r->inst.state].overdue != FSM_NO_EVENT &&
               r->inst.state != UPDATE_INSTALLING && r->inst.state != UPDATE_STOPPING) {
        /* Of these two the time is over long after the runner has ended what is below it. */
        (void)deliver(r, UPDATE_EV_OVERDUE, NULL, 0);
    }
}

static void agent_turn(struct run *r)
{
    if (!r->has_inst) {
        restore(r);
        r->waited_turns = 0;
        if (!r->has_journal && !deliver(r, UPDATE_EV_BEGIN, NULL, 0))
            return;
    }
    disturb(r);
    if (r->is_agent_alive && !fsm_is_terminal(&r->inst) && r->inst.n_effects > 0)
        perform(r);
    r->is_stop_committed =
        r->has_journal && r->state >= UPDATE_COMMITTED && str_eq(r->data.status, "Cancelled");
}

/* Whatever is unpacked can be started. */
static void manager_turn(struct run *r)
{
    if (r->is_agent_alive)
        return;
    r->is_agent_alive = true;
    r->agent_version = r->installed == OLD ? OLD : NEW;
}

/* ---- a run ---- */

static void spoil_machine(struct run *r)
{
    size_t i, n = 0;

    r->machine = update_machine;
    ck_assert_uint_le(update_machine.n_rules, ARRAY_LEN(r->rules));
    for (i = 0; i < update_machine.n_rules; i++) {
        const struct fsm_rule *rule = &update_machine.rules[i];

        if (r->plan->broken == NO_LOST_ROW && rule->on == UPDATE_EV_LOST &&
            rule->from == UPDATE_INSTALLING)
            continue;
        r->rules[n++] = *rule;
    }
    r->machine.rules = r->rules;
    r->machine.n_rules = n;
}

static bool is_over(const struct run *r)
{
    return r->has_journal && r->state == UPDATE_DONE && r->is_agent_alive && !r->is_runner_alive;
}

static void check_end(struct run *r)
{
    const struct plan *p = r->plan;
    bool is_success = str_eq(r->told, "Success");
    bool is_good = p->behaviour == GOOD || p->behaviour == LOCKED_FIRST ||
                   p->behaviour == MUTTERS || p->behaviour == RESTARTS_NOTHING;

    if (!is_over(r)) {
        violate(r, "it never ended");
        return;
    }
    if (r->n_told != 1)
        violate(r, "not told exactly once");
    if (is_success && (r->installed != NEW || r->agent_version != NEW))
        violate(r, "a success that is none");
    if (str_eq(r->told, "Cancelled") && r->installed != OLD)
        violate(r, "told as cancelled, and installed");
    if (str_eq(r->told, "Failed") && r->installed == HALF && !r->told_changed &&
        p->disturbance != OVERDUE)
        violate(r, "told as unchanged, and it is half there");
    if (!is_success && is_good && p->disturbance == UNDISTURBED && r->n_crashes == 0)
        violate(r, "a good version was not installed");
}

static void run_plan(const struct plan *plan, struct run *r)
{
    *r = (struct run){.plan = plan, .installed = OLD};
    spoil_machine(r);
    for (r->turn = 1; r->turn <= MAX_TURNS && !is_over(r) && r->wrong[0] == '\0'; r->turn++) {
        manager_turn(r);
        agent_turn(r);
        runner_turn(r);
        look_turn(r);
    }
    if (r->wrong[0] == '\0')
        check_end(r);
    end_agent(r);
}

static int run_with_deaths(void *ctx, const struct deaths_plan *deaths, char *ret_wrong,
                           size_t size)
{
    struct plan plan = *(const struct plan *)ctx;
    struct run r;

    plan.deaths = *deaths;
    run_plan(&plan, &r);
    if (r.wrong[0] != '\0')
        (void)snprintf(ret_wrong, size, "behaviour %d, disturbance %d at %d: %s",
                       (int)plan.behaviour, (int)plan.disturbance, plan.disturb_turn, r.wrong);
    return r.n_steps;
}

static void run_all(enum broken broken, bool is_twice, struct deaths *t)
{
    int b, d, turn;

    *t = (struct deaths){.is_one_enough = broken != SOUND};
    for (b = 0; b < N_BEHAVIOURS; b++) {
        struct plan plan = {.behaviour = (enum behaviour)b, .broken = broken};

        deaths_everywhere(t, N_DISASTERS, is_twice, run_with_deaths, &plan);
        for (d = CANCEL; d < N_DISTURBANCES; d++)
            for (turn = 1; turn <= 20 && !deaths_have_shown_enough(t); turn++) {
                plan.disturbance = (enum disturbance)d;
                plan.disturb_turn = turn;
                deaths_everywhere(t, N_DISASTERS, is_twice, run_with_deaths, &plan);
            }
    }
}

START_TEST(whatever_dies_the_package_manager_is_begun_once_and_the_truth_is_told_once)
{
    struct deaths t;

    run_all(SOUND, true, &t);
    ck_assert_msg(t.n_wrong == 0, "%d of %d: %s", t.n_wrong, t.n_runs, t.first);
    ck_assert_int_gt(t.n_runs, 20000);
}
END_TEST

START_TEST(what_is_broken_is_noticed)
{
    struct deaths t;

    run_all((enum broken)_i, false, &t);
    ck_assert_msg(t.n_wrong > 0, "%d went unnoticed in %d runs", _i, t.n_runs);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crash of an update by a package manager");
    TCase *crashes = tcase_create("crashes");
    SRunner *runner;
    int n_failed;

    tcase_set_timeout(crashes, 240);
    tcase_add_test(crashes,
                   whatever_dies_the_package_manager_is_begun_once_and_the_truth_is_told_once);
    tcase_add_loop_test(crashes, what_is_broken_is_noticed, 1, N_BROKEN);
    suite_add_tcase(suite, crashes);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
