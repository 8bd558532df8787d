/* The exhaustive crash test of an update: the update machine of ssmd and the handover machine of
 * ssmd-updater in one world of memory, with what holds them together: order, record, lock, links,
 * guard and service manager. Whoever acts dies at every outside step (a commit, a link, a restart),
 * twice; or power is lost there; a cancel or a deadline comes at every turn. And the test of the
 * test: interpreters and machines that are broken on purpose are noticed.
 *
 * Of a process nothing survives its death. Of the disk everything survives a death, and what was
 * synced a loss of power. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "fsm/handover.h"
#include "fsm/update.h"
#include "tests/crash/deaths.h"

#define MAX_TURNS 400
#define MAX_OPEN 4
#define MAX_STARTS 3
#define PROVING_TURNS 4
#define DEADLINE_TURNS 30
#define SERVICE_BACK_TURN 90 /* of AWAY_BEFORE */

enum version { OLD, NEW, NONE };
/* AWAY: an outage from before the switch, which ends, or never does. */
enum behaviour { GOOD, CRASHES, HANGS, UNREACHING, AWAY_BEFORE, AWAY_FOREVER, N_BEHAVIOURS };
enum disaster { DEATH, POWER, N_DISASTERS };
enum disturbance { UNDISTURBED, CANCEL, OVERDUE, N_DISTURBANCES };
enum broken {
    SOUND,
    SETTLES_UNPROVEN,
    ORDER_NOT_SYNCED,
    SEALS_NOTHING,
    ORDER_BEFORE_COMMIT,
    PROGRESS_AFTER_EFFECT,
    NO_REVERTED_ROW,
    NO_COMMITTED_ROW,
    GUARD_DOES_NOT_COUNT,
    FORGETS_TELLING,
    TELLS_BESIDE,
    LINK_NOT_SYNCED,
    NOBODY_RESTARTS_UPDATER,
    N_BROKEN
};

struct plan {
    enum behaviour behaviour; /* of the new version */
    bool has_unit; /* the service manager starts a dead updater again; else only ssmd does */
    struct deaths_plan deaths;
    enum disturbance disturbance;
    int disturb_turn;
    enum broken broken;
};

/* An instance as it lies on the disk. */
struct stored {
    bool is_there;
    uint8_t state;
    int64_t n_transitions;
    union {
        struct update update;
        struct handover handover;
    } data;
    struct fsm_effect effects[MAX_OPEN];
    size_t n_effects;
};

struct process {
    bool is_alive;
    struct fsm_instance inst;
    bool has_inst;
};

struct run {
    const struct plan *plan;
    struct fsm_machine update_machine; /* a copy, perhaps spoilt */
    struct fsm_rule rules[96];
    /* the disk */
    bool is_sealed[2];
    enum version current, proven, synced_current;
    bool has_order, is_order_synced;
    struct stored journal, progress;
    int starts;
    int n_told; /* ends of the parent's step that are committed */
    char told[20];
    int64_t last_id;
    /* the processes */
    struct process agent, updater;
    enum version agent_version;
    int healthy_turns, watched_turns;
    bool is_restart_asked;
    /* counting */
    int turn, n_steps, n_crashes;
    bool was_proven; /* the new version was seen to run well for long enough */
    char wrong[200];
};

static void violate(struct run *r, const char *what)
{
    if (r->wrong[0] == '\0')
        (void)snprintf(r->wrong, sizeof(r->wrong), "turn %d, step %d: %s", r->turn, r->n_steps,
                       what);
}

/* ---- deaths ---- */

static void die(struct process *p)
{
    if (p->has_inst)
        fsm_instance_done(&p->inst);
    *p = (struct process){.is_alive = false};
}

static void lose_power(struct run *r)
{
    die(&r->agent);
    die(&r->updater);
    if (!r->is_order_synced)
        r->has_order = false;
    if (r->plan->broken == LINK_NOT_SYNCED)
        r->current = r->synced_current;
    r->starts = 0; /* it was not synced */
}

/* What holds at every moment. */
static void check_always(struct run *r)
{
    if (r->current == NONE || !r->is_sealed[r->current])
        violate(r, "current names no sealed slot");
    if (r->proven == NEW && !r->was_proven)
        violate(r, "proven names a version that has not proven itself");
    if (r->progress.is_there && r->progress.state == HANDOVER_COMMITTED && r->current != NEW)
        violate(r, "switched back after it was committed");
    if (r->n_told > 1)
        violate(r, "told twice");
}

/* An outside step of this process was made, or is about to be. False: it is dead. */
static bool outside(struct run *r, struct process *p)
{
    size_t i;

    r->n_steps++;
    check_always(r);
    for (i = 0; i < DEATHS_PER_RUN; i++) {
        if (r->plan->deaths.at[i] != r->n_steps)
            continue;
        r->n_crashes++;
        if (r->plan->deaths.disaster == POWER)
            lose_power(r);
        else
            die(p);
        return false;
    }
    return true;
}

/* ---- the disk ---- */

static void store(struct stored *s, const struct fsm_instance *inst)
{
    size_t i;

    ck_assert_uint_le(inst->n_effects, MAX_OPEN);
    s->is_there = true;
    s->state = inst->state;
    s->n_transitions = inst->n_transitions;
    memcpy(&s->data, inst->data, inst->machine->data_size);
    s->n_effects = inst->n_effects;
    for (i = 0; i < inst->n_effects; i++)
        s->effects[i] = inst->effects[i];
}

static void restore(struct process *p, const struct fsm_machine *m, const struct stored *s)
{
    struct err err;
    size_t i;

    ck_assert_int_eq(fsm_instance_init(&p->inst, m, "u", 0, 1, &err), 0);
    p->has_inst = true;
    if (!s->is_there)
        return;
    p->inst.state = s->state;
    p->inst.n_transitions = s->n_transitions;
    memcpy(p->inst.data, &s->data, m->data_size);
    p->inst.effects = calloc(MAX_OPEN, sizeof(*p->inst.effects));
    ck_assert_ptr_nonnull(p->inst.effects);
    p->inst.cap_effects = MAX_OPEN;
    p->inst.n_effects = s->n_effects;
    for (i = 0; i < s->n_effects; i++)
        p->inst.effects[i] = s->effects[i];
}

/* Decide; false: nothing to write. */
static bool decide(struct run *r, struct process *p, uint8_t kind, const void *detail,
                   int64_t effect_id)
{
    const struct fsm_event ev = {
        .kind = kind, .effect_id = effect_id, .boot_id = "b", .detail = detail};
    struct fsm_out out = {0};
    bool has_moved = false;
    size_t i;

    switch (fsm_step(&p->inst, &ev, &out)) {
    case FSM_MOVED:
        for (i = 0; i < out.n_opens; i++)
            out.opens[i].id = ++r->last_id;
        ck_assert_int_eq(fsm_adopt(&p->inst, &out), 0);
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

/* ---- ssmd ---- */

static bool deliver(struct run *r, uint8_t kind, const void *detail, int64_t effect_id)
{
    if (!decide(r, &r->agent, kind, detail, effect_id))
        return true;
    if (!outside(r, &r->agent))
        return false;
    store(&r->journal, &r->agent.inst);
    return outside(r, &r->agent);
}

static bool start_updater(struct run *r)
{
    if (!r->updater.is_alive) /* the lock: a second one ends at once */
        r->updater = (struct process){.is_alive = true};
    r->is_restart_asked = false;
    r->watched_turns = 0;
    return outside(r, &r->agent);
}

static bool write_order(struct run *r)
{
    r->has_order = true;
    r->is_order_synced = r->plan->broken != ORDER_NOT_SYNCED;
    return outside(r, &r->agent);
}

/* As agent/update_follow.c does. */
static void follow(struct run *r, int64_t effect_id)
{
    const struct stored *p = &r->progress;
    struct update_reason reason = {.code = "x"};

    if (!r->has_order) {
        if (write_order(r))
            (void)start_updater(r);
        return;
    }
    if (p->is_there) {
        switch ((enum handover_state)p->state) {
        case HANDOVER_RESTARTING:
        case HANDOVER_PROVING:
        case HANDOVER_SETTLING:
            if (r->agent.inst.state == UPDATE_SWITCHING)
                (void)deliver(r, UPDATE_EV_SWITCHED, NULL, 0);
            break;
        case HANDOVER_COMMITTED:
            (void)deliver(r, UPDATE_EV_COMMITTED, NULL, effect_id);
            break;
        case HANDOVER_REVERTING:
        case HANDOVER_RESTARTING_BACK:
        case HANDOVER_CONFIRMING:
            if (r->agent.inst.state != UPDATE_ROLLING_BACK)
                (void)deliver(r, UPDATE_EV_REVERTING, "cause", 0);
            break;
        case HANDOVER_REVERTED:
            reason.text = p->data.handover.cause;
            (void)deliver(r, UPDATE_EV_REVERTED, &reason, effect_id);
            break;
        case HANDOVER_ORDERED:
        case HANDOVER_POINTING:
        case HANDOVER_N_STATES:
        default:
            break;
        }
    }
    if (!r->agent.is_alive || r->plan->broken == NOBODY_RESTARTS_UPDATER)
        return;
    if (!r->updater.is_alive &&
        (!p->is_there || (p->state != HANDOVER_COMMITTED && p->state != HANDOVER_REVERTED)))
        (void)start_updater(r);
}

/* The end and the step's end are one commit. */
static void tell(struct run *r, int64_t effect_id)
{
    char status[20];

    (void)str_copy(status, sizeof(status), update_of(&r->agent.inst)->status);
    if (r->plan->broken == TELLS_BESIDE) {
        r->n_told++;
        (void)str_copy(r->told, sizeof(r->told), status);
        if (!outside(r, &r->agent))
            return;
    }
    if (!decide(r, &r->agent, UPDATE_EV_TOLD, NULL, effect_id) || !outside(r, &r->agent))
        return;
    store(&r->journal, &r->agent.inst);
    if (r->plan->broken != TELLS_BESIDE) {
        r->n_told++;
        (void)str_copy(r->told, sizeof(r->told), status);
    }
    (void)outside(r, &r->agent);
}

static void perform(struct run *r)
{
    static const struct update_choice choice = {"2", "u", "s", 1, 1, 1};
    const struct fsm_effect fx = r->agent.inst.effects[0];

    switch ((enum update_effect)fx.kind) {
    case UPDATE_FX_FETCH:
        (void)deliver(r, UPDATE_EV_FETCHED, &choice, fx.id);
        break;
    case UPDATE_FX_VERIFY:
        (void)deliver(r, UPDATE_EV_VERIFIED, NULL, fx.id);
        break;
    case UPDATE_FX_STAGE:
        r->is_sealed[NEW] = r->plan->broken != SEALS_NOTHING;
        if (outside(r, &r->agent))
            (void)deliver(r, UPDATE_EV_STAGED, NULL, fx.id);
        break;
    case UPDATE_FX_AWAIT:
        if (r->plan->broken == ORDER_BEFORE_COMMIT && (!write_order(r) || !start_updater(r)))
            return;
        (void)deliver(r, UPDATE_EV_READY, NULL, fx.id);
        break;
    case UPDATE_FX_SWITCH:
        follow(r, fx.id);
        break;
    case UPDATE_FX_TELL:
        if (r->plan->broken != FORGETS_TELLING || r->n_crashes == 0)
            tell(r, fx.id);
        break;
    case UPDATE_N_EFFECTS:
    default:
        break;
    }
}

static void disturb(struct run *r)
{
    if (r->plan->disturbance == UNDISTURBED || r->turn != r->plan->disturb_turn)
        return;
    if (r->plan->disturbance == CANCEL)
        (void)deliver(r, UPDATE_EV_CANCEL, NULL, 0);
    else if (update_machine.states[r->agent.inst.state].overdue != FSM_NO_EVENT)
        (void)deliver(r, UPDATE_EV_OVERDUE, NULL, 0);
}

static void agent_turn(struct run *r)
{
    enum behaviour b = r->agent_version == NEW ? r->plan->behaviour : GOOD;

    if (b == CRASHES)
        die(&r->agent);
    if (!r->agent.is_alive || b == HANGS)
        return;
    if (!r->agent.has_inst) { /* it was started */
        restore(&r->agent, &r->update_machine, &r->journal);
        if (!r->journal.is_there && !deliver(r, UPDATE_EV_BEGIN, NULL, 0))
            return;
    }
    r->healthy_turns++;
    disturb(r);
    if (r->agent.is_alive && !fsm_is_terminal(&r->agent.inst) && r->agent.inst.n_effects > 0)
        perform(r);
}

/* ---- ssmd-updater ---- */

static bool write_progress(struct run *r, struct process *p)
{
    if (!outside(r, p))
        return false;
    store(&r->progress, &p->inst);
    return outside(r, p);
}

static bool advance(struct run *r, struct process *p, enum handover_event kind, const char *text)
{
    const struct fsm_effect *fx = p->inst.n_effects > 0 ? &p->inst.effects[0] : NULL;
    bool is_done = fx != NULL && handover_machine.effects[fx->kind].done == (int)kind;

    if (!decide(r, p, (uint8_t)kind, text, is_done ? fx->id : 0))
        return true;
    return r->plan->broken == PROGRESS_AFTER_EFFECT || write_progress(r, p);
}

static bool point(struct run *r, struct process *p, enum version to)
{
    r->synced_current = r->current;
    r->current = to;
    return outside(r, p);
}

static bool is_service_back(const struct run *r)
{
    return r->plan->behaviour != UNREACHING && r->plan->behaviour != AWAY_FOREVER &&
           (r->plan->behaviour != AWAY_BEFORE || r->turn >= SERVICE_BACK_TURN);
}

static bool is_well(const struct run *r, enum version v)
{
    return r->agent.is_alive && r->agent_version == v &&
           r->healthy_turns >= (v == NEW ? PROVING_TURNS : 1) && (v == OLD || is_service_back(r));
}

static void watch(struct run *r, bool is_new)
{
    struct process *p = &r->updater;

    r->watched_turns++;
    if (is_well(r, is_new ? NEW : OLD) || (is_new && r->plan->broken == SETTLES_UNPROVEN)) {
        r->was_proven = r->was_proven || is_well(r, NEW);
        (void)advance(r, p, HANDOVER_EV_PROVEN, NULL);
    } else if (r->starts > MAX_STARTS) {
        (void)advance(r, p, HANDOVER_EV_UNHEALTHY, "it was started too often");
    } else if (r->watched_turns >= DEADLINE_TURNS) {
        r->watched_turns = 0;
        (void)advance(r, p, HANDOVER_EV_OVERDUE, "it did not prove itself in time");
    }
}

static void settle(struct run *r)
{
    r->proven = r->current; /* `previous` first: nothing hangs on it */
    if (outside(r, &r->updater))
        (void)advance(r, &r->updater, HANDOVER_EV_SETTLED, NULL);
}

static void restart(struct run *r)
{
    struct process *p = &r->updater;

    if (!r->is_restart_asked) {
        r->is_restart_asked = true;
        r->starts = 0;
        die(&r->agent);
        (void)outside(r, p);
    } else if (r->starts > 0) {
        r->is_restart_asked = false;
        r->watched_turns = 0;
        (void)advance(r, p, HANDOVER_EV_RESTARTED, NULL);
    }
}

static void load_progress(struct run *r, struct process *p)
{
    restore(p, &handover_machine, &r->progress);
    if (r->progress.is_there)
        return;
    handover_of(&p->inst)->is_service_away =
        r->plan->behaviour == AWAY_BEFORE || r->plan->behaviour == AWAY_FOREVER;
    if (r->plan->behaviour == AWAY_FOREVER)
        handover_of(&p->inst)->outage_ms = 3; /* each deadline counts as 1 */
}

static bool is_open(const struct run *r)
{
    return r->has_order && (!r->progress.is_there || (r->progress.state != HANDOVER_COMMITTED &&
                                                      r->progress.state != HANDOVER_REVERTED));
}

static void updater_turn(struct run *r)
{
    struct process *p = &r->updater;
    struct fsm_effect fx;

    if (!p->is_alive)
        return;
    if (!is_open(r)) { /* nothing to do, or it is done */
        die(p);
        return;
    }
    if (!p->has_inst) {
        load_progress(r, p);
        if (p->inst.state == HANDOVER_ORDERED && !advance(r, p, HANDOVER_EV_BEGIN, NULL))
            return;
    }
    if (p->inst.n_effects == 0)
        return;
    fx = p->inst.effects[0];
    switch ((enum handover_effect)fx.kind) {
    case HANDOVER_FX_POINT:
        if (point(r, p, fx.arg == 1 ? NEW : OLD))
            (void)advance(r, p, HANDOVER_EV_POINTED, NULL);
        break;
    case HANDOVER_FX_RESTART:
        restart(r);
        break;
    case HANDOVER_FX_WATCH:
        watch(r, fx.arg == 1);
        break;
    case HANDOVER_FX_SETTLE:
        settle(r);
        break;
    case HANDOVER_N_EFFECTS:
    default:
        break;
    }
    if (p->is_alive && r->plan->broken == PROGRESS_AFTER_EFFECT)
        (void)write_progress(r, p);
}

/* ---- the guard, and the service manager ---- */

/* Each of the states forward takes one of the two events. */
static bool turn_back(struct run *r, struct process *g)
{
    uint8_t before = g->inst.state;

    if (before != HANDOVER_POINTING && before != HANDOVER_RESTARTING && before != HANDOVER_PROVING)
        return true;
    return advance(r, g, HANDOVER_EV_FAILED, "it was started too often") &&
           (g->inst.state != before ||
            advance(r, g, HANDOVER_EV_UNHEALTHY, "it was started too often"));
}

static bool guard_goes_back(struct run *r, struct process *g)
{
    load_progress(r, g);
    if (r->starts > MAX_STARTS && !turn_back(r, g))
        return false;
    if (g->inst.state == HANDOVER_REVERTING &&
        (!point(r, g, OLD) || !advance(r, g, HANDOVER_EV_POINTED, NULL)))
        return false;
    if (g->inst.state == HANDOVER_RESTARTING_BACK) {
        r->starts = 1; /* the start that is about to happen */
        return advance(r, g, HANDOVER_EV_RESTARTED, NULL);
    }
    return true;
}

/* False: it died, and with it this start. */
static bool guard(struct run *r)
{
    struct process g = {.is_alive = true};
    bool is_alive = true;

    r->starts++;
    if (r->plan->broken == GUARD_DOES_NOT_COUNT || r->updater.is_alive || !is_open(r) ||
        !r->progress.is_there)
        return true;
    is_alive = guard_goes_back(r, &g) && g.is_alive;
    die(&g);
    return is_alive;
}

static void manager_turn(struct run *r)
{
    if (!r->updater.is_alive && r->plan->has_unit && is_open(r) &&
        r->plan->broken != NOBODY_RESTARTS_UPDATER) {
        r->updater = (struct process){.is_alive = true};
        r->is_restart_asked = false;
        r->watched_turns = 0;
    }
    if (r->agent.is_alive || !guard(r))
        return;
    r->agent = (struct process){.is_alive = true};
    r->agent_version = r->current;
    r->healthy_turns = 0;
}

/* ---- a run ---- */

static void spoil_machine(struct run *r)
{
    size_t i, n = 0;

    r->update_machine = update_machine;
    ck_assert_uint_le(update_machine.n_rules, ARRAY_LEN(r->rules));
    for (i = 0; i < update_machine.n_rules; i++) {
        const struct fsm_rule *rule = &update_machine.rules[i];

        if ((r->plan->broken == NO_REVERTED_ROW && rule->on == UPDATE_EV_REVERTED &&
             rule->from == UPDATE_ROLLING_BACK) ||
            (r->plan->broken == NO_COMMITTED_ROW && rule->on == UPDATE_EV_COMMITTED &&
             rule->from == UPDATE_PROVING))
            continue;
        r->rules[n++] = *rule;
    }
    r->update_machine.rules = r->rules;
    r->update_machine.n_rules = n;
}

static bool is_over(const struct run *r)
{
    return r->journal.is_there && r->journal.state == UPDATE_DONE && r->agent.is_alive &&
           !r->updater.is_alive && !is_open(r);
}

static void check_end(struct run *r)
{
    const struct plan *p = r->plan;
    bool is_good_version = p->behaviour == GOOD || p->behaviour == AWAY_BEFORE;
    bool is_success = str_eq(r->told, "Success");

    check_always(r);
    if (!is_over(r)) {
        violate(r, "it never ended");
        return;
    }
    if (r->n_told != 1)
        violate(r, "not told exactly once");
    if (r->agent_version != r->current || r->current != r->proven)
        violate(r, "what runs is not what is current and proven");
    if (is_success != (r->current == NEW))
        violate(r, "what was told is not true");
    if (is_success && !is_good_version)
        violate(r, "a bad version stayed");
    if (!is_success && is_good_version && p->disturbance == UNDISTURBED)
        violate(r, "a good version did not stay");
    if (p->behaviour != GOOD && p->disturbance == UNDISTURBED && !is_good_version &&
        !str_eq(r->told, "Failed"))
        violate(r, "a rollback is a failure");
}

static void run_plan(const struct plan *plan, struct run *r)
{
    *r = (struct run){.plan = plan, .is_sealed = {[OLD] = true}};
    spoil_machine(r);
    for (r->turn = 1; r->turn <= MAX_TURNS && !is_over(r) && r->wrong[0] == '\0'; r->turn++) {
        manager_turn(r);
        if (r->agent.is_alive)
            agent_turn(r);
        updater_turn(r);
    }
    if (r->wrong[0] == '\0')
        check_end(r);
    die(&r->agent);
    die(&r->updater);
}

static int run_with_deaths(void *ctx, const struct deaths_plan *deaths, char *ret_wrong,
                           size_t size)
{
    struct plan plan = *(const struct plan *)ctx;
    struct run r;

    plan.deaths = *deaths;
    run_plan(&plan, &r);
    if (r.wrong[0] != '\0')
        (void)snprintf(ret_wrong, size, "version %d, unit %d, disturbance %d at %d: %s",
                       (int)plan.behaviour, (int)plan.has_unit, (int)plan.disturbance,
                       plan.disturb_turn, r.wrong);
    return r.n_steps;
}

static void run_all(enum broken broken, bool is_twice, struct deaths *t)
{
    int b, u, d, turn;

    *t = (struct deaths){.is_one_enough = broken != SOUND};
    for (b = 0; b < N_BEHAVIOURS; b++)
        for (u = 0; u < 2; u++) {
            struct plan plan = {
                .behaviour = (enum behaviour)b, .has_unit = u == 1, .broken = broken};

            if (u == 0 && (b == HANGS || b == UNREACHING || b == AWAY_BEFORE || b == AWAY_FOREVER))
                continue; /* a version that does nothing starts no updater: that is what a unit,
                             or `supervise`, is for */
            deaths_everywhere(t, N_DISASTERS, is_twice, run_with_deaths, &plan);
            for (d = CANCEL; d < N_DISTURBANCES; d++)
                for (turn = 1; turn <= 24 && !deaths_have_shown_enough(t); turn++) {
                    plan.disturbance = (enum disturbance)d;
                    plan.disturb_turn = turn;
                    deaths_everywhere(t, N_DISASTERS, false, run_with_deaths, &plan);
                }
        }
}

START_TEST(whatever_dies_one_version_runs_and_the_truth_is_told_once)
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
    Suite *suite = suite_create("crash of an update");
    TCase *crashes = tcase_create("crashes");
    SRunner *runner;
    int n_failed;

    tcase_set_timeout(crashes, 240);
    tcase_add_test(crashes, whatever_dies_one_version_runs_and_the_truth_is_told_once);
    tcase_add_loop_test(crashes, what_is_broken_is_noticed, 1, N_BROKEN);
    suite_add_tcase(suite, crashes);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
