/* What goes on outside the agent, what breaks, and the turns of one run. See world.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "tests/crash/world_internal.h"

void world_violate(struct world *w, const char *fmt, ...)
{
    va_list ap;

    if (w->result->n_violations++ > 0)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(w->result->first, sizeof(w->result->first), fmt, ap);
    va_end(ap);
}

void *world_must(void *p)
{
    if (p == NULL)
        abort(); /* the test has no memory: nothing can be said */
    return p;
}

/* ---- dying ---- */

static void agent_dies(struct world *w)
{
    int k;

    for (k = 0; k < N_SIDES; k++) {
        struct side *s = &w->sides[k];

        fsm_instance_done(&s->inst);
        s->n_quiet = s->n_attached = 0;
        s->answer = FSM_NO_EVENT;
        s->n_idle = 0;
    }
    w->is_alive = w->is_fetching = w->is_void_due = w->is_inner_cancel_due = false;
}

static void machine_goes_down(struct world *w)
{
    int i, k, n;

    for (n = 0; n < N_SIDES; n++)
        for (i = 0; i < WORLD_MAX_UNITS; i++)
            for (k = 0; k <= MAX_ATTEMPTS; k++) {
                struct runner *r = &w->sides[n].runners[i][k];

                r->n_pending = 0;
                if (r->is_begun && !r->is_ended)
                    r->is_lost = true;
            }
    w->reboot_in = 0;
    w->boot++;
    (void)snprintf(w->boot_id, sizeof(w->boot_id), "boot-%d", w->boot);
    agent_dies(w);
}

bool world_outlives_step(struct world *w)
{
    int n = ++w->result->n_steps;

    if (n != w->plan->crash[0] && n != w->plan->crash[1])
        return true;
    w->result->n_crashes++;
    agent_dies(w);
    return false;
}

/* ---- the world goes on by itself ---- */

static void tick_runner(struct world *w, const struct unit_script *u, struct runner *r, int attempt)
{
    if (r->n_pending > 0) {
        if (!r->is_begun && !r->is_void) { /* the first to get the lock */
            r->is_begun = true;
            r->boot = w->boot;
        }
        r->n_pending = 0; /* the others leave at once */
    } else if (r->is_begun && !r->is_ended && !r->is_lost && !u->is_unstoppable &&
               (r->is_killed || r->n_turns++ >= u->n_turns)) {
        r->is_ended = true;
        if (w->was_cancelled && !r->is_killed && w->result->n_turns > w->cancel_turn + PATIENCE)
            world_violate(w, "attempt %d of a step is not told of the cancel", attempt);
        r->code = r->is_killed ? COMMAND_CODE_STOPPED
                               : u->codes[attempt <= u->n_codes ? attempt - 1 : u->n_codes - 1];
    }
}

static void tick(struct world *w)
{
    int i, k, n;

    for (n = 0; n < N_SIDES; n++)
        for (i = 0; i < w->sides[n].n_units; i++)
            for (k = 1; k <= MAX_ATTEMPTS; k++)
                tick_runner(w, &w->sides[n].units[i], &w->sides[n].runners[i][k], k);
    if (w->reboot_in > 0 && --w->reboot_in == 0)
        machine_goes_down(w);
}

static void deliver_end(struct world *w, const struct fsm_effect *fx)
{
    const struct runner *r = world_runner_of(w, fx);
    struct command_result result = {.code = r->code, .outcome = "exited", .text = "as scripted"};

    if (r->is_void) {
        (void)world_deliver(w, COMMAND_EV_VOID, fx->id, NULL);
        return;
    }
    if (!r->is_ended) {
        (void)world_deliver(w, w->plan->machine->effects[fx->kind].lost, fx->id, &result);
        return;
    }
    if (r->is_killed)
        result.status =
            command_of(&w->a->inst)->stop == COMMAND_STOP_CANCEL ? "Cancelled" : "TimedOut";
    else if (r->code == 194)
        result.status = "SuccessAndReboot";
    else
        result.status = r->code == 0 || r->code == 168 ? "Success" : "Failed";
    (void)world_deliver(w, COMMAND_EV_EXITED, fx->id, &result);
}

/* The disturbance of this run, when it is due. True: the turn is used up. */
static bool disturb(struct world *w)
{
    static const int events[N_DISTURBANCES] = {
        [DISTURB_CANCEL] = COMMAND_EV_CANCEL, [DISTURB_TIMEOUT] = COMMAND_EV_TIMEOUT};
    enum disturbance d = w->plan->disturbance;

    if (d == DISTURB_NOT || w->was_disturbed || w->result->n_turns < w->plan->disturb_turn)
        return false;
    if (d == DISTURB_POWER) {
        w->was_disturbed = true;
        machine_goes_down(w);
        return true;
    }
    /* An order that was not journaled before the agent died comes again. */
    w->was_disturbed = world_deliver(w, events[d], 0, NULL) ||
                       w->a->stored.data.stop != COMMAND_STOP_NONE ||
                       w->a->stored.state == COMMAND_REPORTING;
    return true;
}

/* The nested document has ended, and with it the unit that ran it: one commit. */
static void end_inner(struct world *w)
{
    struct side *inner = &w->sides[INNER], *outer = &w->sides[OUTER];
    const struct fsm_effect *fx = fsm_find_effect_kind(&outer->inst, COMMAND_FX_SPAWN);
    struct command_result result = {
        .status = command_merged_status(&inner->inst), .outcome = "nested", .text = "as scripted"};
    int kind = COMMAND_EV_EXITED;
    struct change changes[2];
    size_t n;
    int i;

    for (i = 0; i < inner->n_units; i++)
        if (command_unit_at(&inner->inst, (size_t)i)->note == COMMAND_NOTE_INTERRUPTED)
            kind = COMMAND_EV_LOST;
    result.code = str_eq(result.status, "Failed") ? 1 : 0;
    inner->answer = FSM_NO_EVENT;
    (void)str_copy(inner->final, sizeof(inner->final), result.status);
    n = world_decide(w, inner, COMMAND_EV_REPORTED, inner->answer_effect, NULL, &changes[0]);
    if (w->plan->broken == BROKEN_ENDS_APART && n > 0) {
        if (!world_finish(w, changes, n))
            return;
        n = 0;
    }
    if (fx != NULL && fx->arg == command_of(&inner->inst)->parent_unit &&
        outer->units[fx->arg].is_document)
        n += world_decide(w, outer, kind, fx->id, &result, &changes[n]);
    if (n > 0)
        (void)world_finish(w, changes, n);
}

/* What is to be done for the nested document. True: the turn is used up. */
static bool turn_nested(struct world *w)
{
    struct side *outer = &w->sides[OUTER];
    const struct fsm_effect *fx = fsm_find_effect_kind(&outer->inst, COMMAND_FX_SPAWN);
    struct fsm_effect copy;

    if (w->is_void_due) {
        w->is_void_due = false;
        w->a = outer;
        (void)world_deliver(w, COMMAND_EV_VOID, 0, NULL);
        return true;
    }
    if (w->is_inner_cancel_due) {
        w->is_inner_cancel_due = false;
        w->a = &w->sides[INNER];
        if (world_is_open(w, w->a))
            (void)world_deliver(w, COMMAND_EV_CANCEL, 0, NULL);
        return true;
    }
    if (w->is_fetching && fx != NULL && outer->units[fx->arg].is_document) {
        w->is_fetching = false;
        copy = *fx;
        if (outer->inst.state == COMMAND_RUNNING)
            world_receive_inner(w, &copy);
        return true;
    }
    if (w->sides[INNER].answer != FSM_NO_EVENT) {
        end_inner(w);
        return true;
    }
    return false;
}

/* What ended below a runner. True: the turn is used up. */
static bool turn_ended(struct world *w)
{
    size_t i;

    for (i = 0; i < w->a->inst.n_effects; i++) {
        struct fsm_effect fx = w->a->inst.effects[i];
        const struct runner *r;

        if (fx.kind != COMMAND_FX_SPAWN || !world_is_attached(w, fx.id) ||
            world_is_document(w, &fx))
            continue;
        r = world_runner_of(w, &fx);
        if (r->is_ended || r->is_lost || r->is_void) {
            deliver_end(w, &fx);
            return true;
        }
    }
    return false;
}

static void turn_idle(struct world *w)
{
    const struct fsm_machine *m = w->plan->machine;
    const struct fsm_effect *report = fsm_find_effect_kind(&w->a->inst, COMMAND_FX_REPORT);
    struct fsm_effect fx;

    w->a->n_idle++;
    if (w->a->n_idle >= RETRY_AFTER && report != NULL) {
        fx = *report;
        w->a->n_idle = 0;
        world_perform(w, &fx);
        (void)world_outlives_step(w);
    } else if (w->a->n_idle >=
                   (w->a->inst.state == COMMAND_RUNNING ? LIMIT_AFTER : OVERDUE_AFTER) &&
               m->states[w->a->inst.state].overdue != FSM_NO_EVENT) {
        w->a->n_idle = 0;
        (void)world_deliver(w, m->states[w->a->inst.state].overdue, 0, "it did not come");
    }
}

/* Find the next thing that happened, if any, and deliver it. */
static void turn(struct world *w)
{
    struct side *outer = &w->sides[OUTER], *inner = &w->sides[INNER];
    int k;

    w->a = outer;
    if (!outer->stored.exists) {
        world_receive(w);
        return;
    }
    if (w->plan->scenario->is_redelivered && w->result->n_turns % 3 == 0)
        w->n_acknowledged++; /* known: acknowledged again, and nothing else */
    if (disturb(w))
        return;
    if (outer->answer != FSM_NO_EVENT) {
        int kind = outer->answer;

        outer->answer = FSM_NO_EVENT;
        (void)world_deliver(w, kind, outer->answer_effect,
                            kind == COMMAND_EV_REFUSED ? "expired" : NULL);
        return;
    }
    if (turn_nested(w))
        return;
    for (k = 0; k < N_SIDES; k++) {
        w->a = &w->sides[k];
        if (!world_is_open(w, w->a))
            continue;
        if (turn_ended(w))
            return;
        if (w->a->inst.state == COMMAND_QUEUED) {
            (void)world_deliver(w, COMMAND_EV_START, 0, NULL);
            return;
        }
    }
    /* What is inside is overdue before what waits for it. */
    w->a = world_is_open(w, inner) ? inner : outer;
    turn_idle(w);
}

static bool is_over(const struct world *w)
{
    return w->sides[OUTER].stored.exists && !world_is_open(w, &w->sides[OUTER]) &&
           !world_is_open(w, &w->sides[INNER]);
}

void world_run(const struct run_plan *plan, struct run_result *ret_result)
{
    const struct scenario *s = plan->scenario;
    struct world w = {.plan = plan, .result = ret_result};
    int k;

    *ret_result = (struct run_result){0};
    w.a = &w.sides[OUTER];
    w.sides[OUTER].units = s->units;
    w.sides[OUTER].n_units = s->n_units;
    w.sides[INNER].units = s->inner;
    w.sides[INNER].n_units = s->n_inner;
    w.sides[OUTER].answer = w.sides[INNER].answer = FSM_NO_EVENT;
    (void)str_copy(w.boot_id, sizeof(w.boot_id), "boot-0");
    while (ret_result->n_turns < MAX_TURNS && !is_over(&w)) {
        ret_result->n_turns++;
        tick(&w);
        if (!w.is_alive)
            world_restart(&w);
        else
            turn(&w);
    }
    world_check_end(&w);
    for (k = 0; k < N_SIDES; k++) {
        fsm_instance_done(&w.sides[k].inst);
        fsm_out_done(&w.sides[k].out);
    }
}
