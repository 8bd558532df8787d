/* The agent of the simulated world: its journal, its effects, its interpreter, its start. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "tests/crash/world_internal.h"

/* ---- the journal ---- */

static void commit(struct world *w, const struct fsm_effect *kept, size_t n_kept)
{
    struct stored *s = &w->a->stored;
    struct fsm_instance *inst = &w->a->inst;
    size_t i, k, n = 0;

    for (i = 0; i < inst->n_effects; i++) { /* what closed quietly goes with this commit */
        for (k = 0; k < w->a->n_quiet && w->a->quiet[k] != inst->effects[i].id; k++)
            ;
        if (k == w->a->n_quiet)
            inst->effects[n++] = inst->effects[i];
    }
    inst->n_effects = n;
    w->a->n_quiet = 0;
    s->exists = true;
    s->state = inst->state;
    s->n_transitions = inst->n_transitions;
    s->data = *command_of(inst);
    if (w->a == &w->sides[OUTER] && s->data.stop == COMMAND_STOP_CANCEL && !w->was_cancelled) {
        w->was_cancelled = true;
        w->cancel_turn = w->result->n_turns;
    }
    if (inst->n_children > 0)
        memcpy(s->units, inst->children, inst->n_children * sizeof(s->units[0]));
    if (n > 0)
        memcpy(s->effects, inst->effects, n * sizeof(s->effects[0]));
    s->n_effects = n;
    for (i = 0; i < inst->n_effects; i++)
        if (inst->effects[i].id > w->last_effect_id)
            w->last_effect_id = inst->effects[i].id;
    if (w->plan->broken == BROKEN_KEEPS_OPEN && fsm_is_terminal(inst))
        for (i = 0; i < n_kept; i++)
            s->effects[s->n_effects++] = kept[i];
}

static void load(struct world *w)
{
    const struct stored *s = &w->a->stored;
    struct fsm_instance *inst = &w->a->inst;
    struct err err;

    if (fsm_instance_init(inst, w->plan->machine, "c0ffee", (size_t)w->a->n_units, 1, &err) < 0)
        abort();
    inst->state = s->state;
    inst->n_transitions = s->n_transitions;
    *command_of(inst) = s->data;
    if (inst->n_children > 0)
        memcpy(inst->children, s->units, inst->n_children * sizeof(s->units[0]));
    inst->effects = world_must(calloc(MAX_EFFECTS, sizeof(inst->effects[0])));
    inst->cap_effects = MAX_EFFECTS;
    if (s->n_effects > 0)
        memcpy(inst->effects, s->effects, s->n_effects * sizeof(s->effects[0]));
    inst->n_effects = s->n_effects;
}

static bool is_committed(const struct world *w, int64_t effect_id)
{
    size_t i;

    for (i = 0; i < w->a->stored.n_effects; i++)
        if (w->a->stored.effects[i].id == effect_id)
            return true;
    return false;
}

/* ---- effects ---- */

static void attach(struct world *w, int64_t effect_id)
{
    if (w->a->n_attached < MAX_EFFECTS)
        w->a->attached[w->a->n_attached++] = effect_id;
}

bool world_is_attached(const struct world *w, int64_t effect_id)
{
    size_t i;

    for (i = 0; i < w->a->n_attached; i++)
        if (w->a->attached[i] == effect_id)
            return true;
    return false;
}

struct runner *world_runner_of(struct world *w, const struct fsm_effect *fx)
{
    if (fx->arg < 0 || fx->arg >= WORLD_MAX_UNITS || fx->arg2 < 1 || fx->arg2 > MAX_ATTEMPTS) {
        world_violate(w, "step %" PRId64 ".%" PRId64 " does not exist", fx->arg, fx->arg2);
        return &w->a->runners[0][0];
    }
    return &w->a->runners[fx->arg][fx->arg2];
}

bool world_is_document(const struct world *w, const struct fsm_effect *fx)
{
    return w->a == &w->sides[OUTER] && fx->arg >= 0 && fx->arg < w->a->n_units &&
           w->a->units[fx->arg].is_document;
}

bool world_is_open(const struct world *w, const struct side *s)
{
    return s->stored.exists && !w->plan->machine->states[s->stored.state].is_terminal;
}

/* Its order to stop is on its way to what a document runs. */
static bool is_outside_stopping(const struct world *w)
{
    return w->a == &w->sides[INNER] && w->sides[OUTER].stored.state == COMMAND_STOPPING;
}

static void spawn(struct world *w, const struct fsm_effect *fx)
{
    struct runner *r = world_runner_of(w, fx);

    if (r->is_begun || r->is_ended || r->is_lost || r->is_void)
        world_violate(w, "step %" PRId64 ".%" PRId64 " is started twice", fx->arg, fx->arg2);
    if (w->was_cancelled || w->a->stored.data.stop != COMMAND_STOP_NONE ||
        w->sides[OUTER].stored.data.stop != COMMAND_STOP_NONE)
        world_violate(w, "step %" PRId64 ".%" PRId64 " is started after a committed stop", fx->arg,
                      fx->arg2);
    if (fx->arg2 > 1 && !r[-1].is_ended)
        world_violate(w,
                      "step %" PRId64 ".%" PRId64 " is started before the attempt before it ended",
                      fx->arg, fx->arg2);
    if (fx->arg2 > 1 && r[-1].code == 194 && r[-1].boot == w->boot)
        world_violate(w, "step %" PRId64 ".%" PRId64 " is started without the reboot it asked for",
                      fx->arg, fx->arg2);
    if (fx->arg2 > 1 && r[-1].code != 194 && w->a->units[fx->arg].max_tries == 0)
        world_violate(w, "step %" PRId64 ".%" PRId64 " is started again unasked", fx->arg,
                      fx->arg2);
    r->n_pending++;
}

static void stop(struct world *w, const struct fsm_effect *fx)
{
    struct runner *r = world_runner_of(w, fx);

    if (!r->is_begun) /* takes the lock and leaves a `void` record */
        r->is_void = true;
    else if (!r->is_ended && !r->is_lost && !w->a->units[fx->arg].is_unstoppable)
        r->is_killed = true;
}

static void reboot(struct world *w, const struct fsm_effect *fx)
{
    if (w->last_reboot_effect == fx->id)
        world_violate(w, "the machine is rebooted twice for one effect");
    w->last_reboot_effect = fx->id;
    w->n_reboot_requests++;
    if (w->plan->scenario->luck == REBOOT_NEVER_COMES ||
        (w->plan->scenario->luck == REBOOT_COMES_WHEN_ASKED_TWICE && w->n_reboot_requests < 2))
        w->reboot_in = -1;
    else
        w->reboot_in = 2;
}

static void report(struct world *w, const struct fsm_effect *fx)
{
    const char *status = fsm_status(&w->a->inst);
    int64_t id;

    w->a->answer_effect = fx->id;
    if (w->a == &w->sides[INNER]) { /* told to the step outside */
        w->a->answer = COMMAND_EV_REPORTED;
        return;
    }
    id = w->plan->broken == BROKEN_NEW_REPLY_ID ? w->result->n_steps : fx->id;
    if (w->n_finals + w->n_refusals > 0 && w->final_id != id)
        world_violate(w, "terminal replies with different ids");
    w->final_id = id;
    if (w->plan->scenario->is_refused) {
        w->n_refusals++;
        w->a->answer = COMMAND_EV_REFUSED;
        return;
    }
    if (w->n_finals++ > 0 && !str_eq(w->final_status, status))
        world_violate(w, "two terminal statuses: %s and %s", w->final_status, status);
    (void)str_copy(w->final_status, sizeof(w->final_status), status);
    if (w->plan->scenario->loses_answer && !w->is_answer_lost) {
        w->is_answer_lost = true;
        return;
    }
    w->a->answer = COMMAND_EV_REPORTED;
}

void world_perform(struct world *w, const struct fsm_effect *fx)
{
    if (!is_committed(w, fx->id))
        world_violate(w, "%s before its commit", w->plan->machine->effects[fx->kind].name);
    attach(w, fx->id);
    switch (fx->kind) {
    case COMMAND_FX_ACKNOWLEDGE:
        w->n_acknowledged++;
        break;
    case COMMAND_FX_SPAWN:
        if (world_is_document(w, fx))
            w->is_fetching = true;
        else if (!is_outside_stopping(w))
            spawn(w, fx);
        break;
    case COMMAND_FX_STOP:
        if (!world_is_document(w, fx))
            stop(w, fx);
        else if (world_is_open(w, &w->sides[INNER]))
            w->is_inner_cancel_due = w->plan->broken != BROKEN_STOPS_OUTSIDE_ONLY;
        else
            w->is_void_due = true;
        break;
    case COMMAND_FX_REBOOT:
        reboot(w, fx);
        break;
    case COMMAND_FX_REPORT:
        report(w, fx);
        break;
    default:
        break;
    }
    if (w->plan->machine->effects[fx->kind].done == FSM_NO_EVENT && w->a->n_quiet < MAX_EFFECTS)
        w->a->quiet[w->a->n_quiet++] = fx->id;
}

static bool is_early(const struct world *w, uint8_t kind)
{
    return (w->plan->broken == BROKEN_ACKNOWLEDGES_EARLY && kind == COMMAND_FX_ACKNOWLEDGE) ||
           (w->plan->broken == BROKEN_SPAWNS_EARLY && kind == COMMAND_FX_SPAWN) ||
           (w->plan->broken == BROKEN_REPORTS_EARLY && kind == COMMAND_FX_REPORT);
}

/* ---- the interpreter ---- */

bool world_decide(struct world *w, struct side *side, int kind, int64_t effect_id,
                  const void *detail, struct change *c)
{
    struct fsm_event ev = {.kind = (uint8_t)kind,
                           .effect_id = effect_id,
                           .at_unix_ms = ++w->now_ms,
                           .boot_id = w->boot_id,
                           .detail = detail};
    const struct fsm_state *state;
    size_t i;

    w->a = side;
    c->side = side;
    c->n_before = side->inst.n_effects;
    if (c->n_before > 0)
        memcpy(c->before, side->inst.effects, c->n_before * sizeof(c->before[0]));
    switch (fsm_step(&side->inst, &ev, &side->out)) {
    case FSM_STALE:
        return false;
    case FSM_UNEXPECTED:
    case FSM_RUNAWAY:
        world_violate(w, "%s does not know what to do with %s", fsm_state_name(&side->inst),
                      w->plan->machine->events[kind]);
        return false;
    case FSM_MOVED:
    case FSM_IGNORED:
        break;
    }
    state = &w->plan->machine->states[side->inst.state];
    if (side->inst.state != side->out.from && state->overdue != FSM_NO_EVENT &&
        side->out.deadline_ms <= 0)
        world_violate(w, "%s is entered without a deadline", state->name);
    for (i = 0; i < side->out.n_opens; i++)
        side->out.opens[i].id = ++w->last_effect_id;
    for (i = 0; i < side->out.n_opens; i++)
        if (is_early(w, side->out.opens[i].kind))
            world_perform(w, &side->out.opens[i]);
    return true;
}

bool world_finish(struct world *w, struct change *changes, size_t n)
{
    size_t i, k;

    if (!world_outlives_step(w))
        return false;
    for (k = 0; k < n; k++) {
        w->a = changes[k].side;
        if (fsm_adopt(&w->a->inst, &w->a->out) < 0)
            abort();
        commit(w, changes[k].before, changes[k].n_before);
    }
    if (!world_outlives_step(w))
        return false;
    for (k = 0; k < n; k++) {
        w->a = changes[k].side;
        for (i = 0; i < w->a->out.n_opens; i++) {
            if (is_early(w, w->a->out.opens[i].kind))
                continue;
            world_perform(w, &w->a->out.opens[i]);
            if (!world_outlives_step(w))
                return false;
        }
    }
    return true;
}

bool world_deliver(struct world *w, int kind, int64_t effect_id, const void *detail)
{
    struct change c;

    return !world_decide(w, w->a, kind, effect_id, detail, &c) || world_finish(w, &c, 1);
}

static bool recover_by_probe(struct world *w, const struct fsm_effect *fx)
{
    struct runner *r;
    size_t i;

    if (w->plan->broken == BROKEN_FORGETS_PROBE)
        return true;
    if (fx->kind == COMMAND_FX_REBOOT) {
        if (!str_eq(command_of(&w->a->inst)->reboot_boot_id, w->boot_id))
            return world_deliver(w, w->plan->machine->effects[fx->kind].done, fx->id, NULL);
        /* The intent names its effect: an earlier request that did not come is no answer. */
        if (w->reboot_in != 0 && w->last_reboot_effect == fx->id) {
            attach(w, fx->id);
            return true;
        }
    } else if (fx->kind == COMMAND_FX_SPAWN) {
        if (world_is_document(w, fx) && w->plan->broken != BROKEN_MAKES_BLINDLY) {
            if (world_is_open(w, &w->sides[INNER])) {
                attach(w, fx->id);
                return true;
            }
            if (w->sides[INNER].stored.exists) /* it took this effect with it, or somebody lied */
                return world_deliver(w, w->plan->machine->effects[fx->kind].lost, fx->id, NULL);
            if (w->a->inst.state != COMMAND_RUNNING) /* its stop follows */
                return true;
        }
        if (world_is_document(w, fx)) {
            world_perform(w, fx);
            return world_outlives_step(w);
        }
        r = world_runner_of(w, fx);
        for (i = 0; i < w->a->inst.n_effects; i++) /* it has to stop: it never begins then */
            if (w->a->inst.effects[i].kind == COMMAND_FX_STOP && !r->is_begun)
                r->is_void = true;
        if (r->is_begun || r->is_void) {
            attach(w, fx->id);
            return true;
        }
        world_perform(w, fx); /* promised by an earlier life: its time counts from now */
        return world_outlives_step(w) && world_deliver(w, COMMAND_EV_BEGUN, 0, NULL);
    }
    world_perform(w, fx);
    return world_outlives_step(w);
}

static bool restart_side(struct world *w, struct side *side)
{
    struct fsm_effect open[MAX_EFFECTS];
    size_t i, n = side->stored.n_effects;

    memcpy(open, side->stored.effects, n * sizeof(open[0]));
    for (i = 0; i < n; i++) {
        const struct fsm_effect_kind *kind = &w->plan->machine->effects[open[i].kind];
        bool is_alive = true;

        w->a = side;
        if (fsm_find_effect(&side->inst, open[i].id) == NULL)
            continue; /* closed by what an earlier one brought */
        switch (kind->recovery) {
        case FSM_REDO:
            world_perform(w, &open[i]);
            is_alive = world_outlives_step(w);
            break;
        case FSM_PROBE:
            is_alive = recover_by_probe(w, &open[i]);
            break;
        case FSM_ONCE:
            is_alive = world_deliver(w, kind->lost, open[i].id, NULL);
            break;
        }
        if (!is_alive)
            return false;
    }
    return true;
}

/* Start again from the journal alone: all that is open in it. */
void world_restart(struct world *w)
{
    int k;

    w->is_alive = true;
    for (k = 0; k < N_SIDES; k++) {
        w->a = &w->sides[k];
        if (k == OUTER ? w->a->stored.exists : world_is_open(w, w->a))
            load(w);
    }
    for (k = 0; k < N_SIDES; k++)
        if (world_is_open(w, &w->sides[k]) && !restart_side(w, &w->sides[k]))
            return;
}

static void init_side(struct world *w, struct side *side)
{
    struct command *c;
    struct err err;
    int i;

    if (fsm_instance_init(&side->inst, w->plan->machine,
                          side == w->sides ? "c0ffee" : "n0.1-c0ffee", (size_t)side->n_units, 1,
                          &err) < 0)
        abort();
    c = command_of(&side->inst);
    c->max_reboots = w->plan->scenario->max_reboots;
    for (i = 0; i < side->n_units; i++) {
        struct command_unit *u = command_unit_at(&side->inst, (size_t)i);

        u->plugin = side->units[i].plugin;
        u->plan = side->units[i].plan;
        u->flow = side->units[i].flow;
        u->max_tries = side->units[i].max_tries;
        u->kind = side->units[i].is_document ? COMMAND_UNIT_DOCUMENT : COMMAND_UNIT_PROCESS;
        c->n_plugins = side->units[i].plugin + 1;
    }
}

/* The inner document's text is here: the child is made and accepted in one commit. */
void world_receive_inner(struct world *w, const struct fsm_effect *fx)
{
    struct side *inner = &w->sides[INNER];
    struct command *c;

    if (inner->stored.exists) {
        world_violate(w, "a nested document is made twice");
        return;
    }
    init_side(w, inner);
    c = command_of(&inner->inst);
    (void)str_copy(c->parent_id, sizeof(c->parent_id), "c0ffee");
    c->parent_unit = fx->arg;
    c->parent_attempt = fx->arg2;
    c->depth = 1;
    w->a = inner;
    (void)world_deliver(w, COMMAND_EV_ACCEPT, 0, NULL);
}

/* The message is here (again). */
void world_receive(struct world *w)
{
    const struct scenario *s = w->plan->scenario;

    init_side(w, w->a);
    (void)world_deliver(w, s->is_rejected ? COMMAND_EV_REJECT : COMMAND_EV_ACCEPT, 0,
                        s->is_rejected ? "it makes no sense" : NULL);
}
