/* The simulated world and the interpreter of one run. See world.h. */
#include "tests/crash/world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define MAX_ATTEMPTS 8
#define MAX_EFFECTS 64
#define MAX_TURNS 150
#define OVERDUE_AFTER 4 /* idle turns */
#define LIMIT_AFTER 12  /* ... of a running step */
#define RETRY_AFTER 2
#define PATIENCE 6 /* turns until a cancel has reached who runs, crashes included */

/* One step directory: it outlives agents and, as files, reboots. */
struct runner {
    int n_pending; /* started, but without the lock and the `started` record yet */
    bool is_begun, is_ended, is_lost, is_void, is_killed;
    int n_turns;
    int code;
    int boot;
};

/* What the journal holds. */
struct stored {
    bool exists;
    uint8_t state;
    int64_t n_transitions;
    struct command data;
    struct command_unit units[WORLD_MAX_UNITS];
    struct fsm_effect effects[MAX_EFFECTS];
    size_t n_effects;
};

/* One instance: the command, or the nested document. */
struct side {
    const struct unit_script *units;
    int n_units;

    /* survives everything */
    struct stored stored;
    struct runner runners[WORLD_MAX_UNITS][MAX_ATTEMPTS + 1];

    /* dies with the agent */
    struct fsm_instance inst;
    struct fsm_out out;
    int64_t quiet[MAX_EFFECTS]; /* performed, closing with the next commit */
    size_t n_quiet;
    int64_t attached[MAX_EFFECTS]; /* whose completion this life waits for */
    size_t n_attached;
    char final[24]; /* what the statuses of its units came to; of the nested document */
    int64_t answer_effect;
    int answer; /* event the service's answer brings, or FSM_NO_EVENT */
    int n_idle;
};

enum { OUTER, INNER, N_SIDES };

struct world {
    const struct run_plan *plan;
    struct run_result *result;
    int64_t now_ms;
    struct side sides[N_SIDES];
    struct side *a; /* the one that is dealt with */

    /* survives everything */
    int64_t last_effect_id;
    int boot;
    char boot_id[BOOT_ID_SIZE];
    int n_finals, n_refusals, n_acknowledged;
    int64_t final_id;
    char final_status[24];
    bool was_disturbed, is_answer_lost;
    bool was_cancelled; /* committed: nothing may be started any more */
    int cancel_turn;
    int64_t last_reboot_effect;

    /* survives the agent */
    int reboot_in; /* turns until the machine goes down; 0: none asked for; -1: it never will */
    int n_reboot_requests;

    /* dies with the agent */
    bool is_alive;
    bool is_fetching; /* the inner document's text is on its way */
    bool is_void_due; /* a document that was not made is not made any more */
    bool is_inner_cancel_due;
};

static void violate(struct world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void violate(struct world *w, const char *fmt, ...)
{
    va_list ap;

    if (w->result->n_violations++ > 0)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(w->result->first, sizeof(w->result->first), fmt, ap);
    va_end(ap);
}

static void *must(void *p)
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

/* The agent has reached an outside step. False: it died there. */
static bool outlives_step(struct world *w)
{
    int n = ++w->result->n_steps;

    if (n != w->plan->crash[0] && n != w->plan->crash[1])
        return true;
    w->result->n_crashes++;
    agent_dies(w);
    return false;
}

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
    inst->effects = must(calloc(MAX_EFFECTS, sizeof(inst->effects[0])));
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

static bool is_attached(const struct world *w, int64_t effect_id)
{
    size_t i;

    for (i = 0; i < w->a->n_attached; i++)
        if (w->a->attached[i] == effect_id)
            return true;
    return false;
}

static struct runner *runner_of(struct world *w, const struct fsm_effect *fx)
{
    if (fx->arg < 0 || fx->arg >= WORLD_MAX_UNITS || fx->arg2 < 1 || fx->arg2 > MAX_ATTEMPTS) {
        violate(w, "step %" PRId64 ".%" PRId64 " does not exist", fx->arg, fx->arg2);
        return &w->a->runners[0][0];
    }
    return &w->a->runners[fx->arg][fx->arg2];
}

static bool is_document(const struct world *w, const struct fsm_effect *fx)
{
    return w->a == &w->sides[OUTER] && fx->arg >= 0 && fx->arg < w->a->n_units &&
           w->a->units[fx->arg].is_document;
}

static bool is_open(const struct world *w, const struct side *s)
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
    struct runner *r = runner_of(w, fx);

    if (r->is_begun || r->is_ended || r->is_lost || r->is_void)
        violate(w, "step %" PRId64 ".%" PRId64 " is started twice", fx->arg, fx->arg2);
    if (w->was_cancelled || w->a->stored.data.stop != COMMAND_STOP_NONE ||
        w->sides[OUTER].stored.data.stop != COMMAND_STOP_NONE)
        violate(w, "step %" PRId64 ".%" PRId64 " is started after a committed stop", fx->arg,
                fx->arg2);
    if (fx->arg2 > 1 && !r[-1].is_ended)
        violate(w, "step %" PRId64 ".%" PRId64 " is started before the attempt before it ended",
                fx->arg, fx->arg2);
    if (fx->arg2 > 1 && r[-1].code == 194 && r[-1].boot == w->boot)
        violate(w, "step %" PRId64 ".%" PRId64 " is started without the reboot it asked for",
                fx->arg, fx->arg2);
    if (fx->arg2 > 1 && r[-1].code != 194 && w->a->units[fx->arg].max_tries == 0)
        violate(w, "step %" PRId64 ".%" PRId64 " is started again unasked", fx->arg, fx->arg2);
    r->n_pending++;
}

static void stop(struct world *w, const struct fsm_effect *fx)
{
    struct runner *r = runner_of(w, fx);

    if (!r->is_begun) /* takes the lock and leaves a `void` record */
        r->is_void = true;
    else if (!r->is_ended && !r->is_lost && !w->a->units[fx->arg].is_unstoppable)
        r->is_killed = true;
}

static void reboot(struct world *w, const struct fsm_effect *fx)
{
    if (w->last_reboot_effect == fx->id)
        violate(w, "the machine is rebooted twice for one effect");
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
        violate(w, "terminal replies with different ids");
    w->final_id = id;
    if (w->plan->scenario->is_refused) {
        w->n_refusals++;
        w->a->answer = COMMAND_EV_REFUSED;
        return;
    }
    if (w->n_finals++ > 0 && !str_eq(w->final_status, status))
        violate(w, "two terminal statuses: %s and %s", w->final_status, status);
    (void)str_copy(w->final_status, sizeof(w->final_status), status);
    if (w->plan->scenario->loses_answer && !w->is_answer_lost) {
        w->is_answer_lost = true;
        return;
    }
    w->a->answer = COMMAND_EV_REPORTED;
}

static void perform(struct world *w, const struct fsm_effect *fx)
{
    if (!is_committed(w, fx->id))
        violate(w, "%s before its commit", w->plan->machine->effects[fx->kind].name);
    attach(w, fx->id);
    switch (fx->kind) {
    case COMMAND_FX_ACKNOWLEDGE:
        w->n_acknowledged++;
        break;
    case COMMAND_FX_SPAWN:
        if (is_document(w, fx))
            w->is_fetching = true;
        else if (!is_outside_stopping(w))
            spawn(w, fx);
        break;
    case COMMAND_FX_STOP:
        if (!is_document(w, fx))
            stop(w, fx);
        else if (is_open(w, &w->sides[INNER]))
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

/* What one side did in a turn. */
struct change {
    struct side *side;
    struct fsm_effect before[MAX_EFFECTS];
    size_t n_before;
};

/* Let the machine of this side decide. False: nothing of it is to be committed. */
static bool decide(struct world *w, struct side *side, int kind, int64_t effect_id,
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
        violate(w, "%s does not know what to do with %s", fsm_state_name(&side->inst),
                w->plan->machine->events[kind]);
        return false;
    case FSM_MOVED:
    case FSM_IGNORED:
        break;
    }
    state = &w->plan->machine->states[side->inst.state];
    if (side->inst.state != side->out.from && state->overdue != FSM_NO_EVENT &&
        side->out.deadline_ms <= 0)
        violate(w, "%s is entered without a deadline", state->name);
    for (i = 0; i < side->out.n_opens; i++)
        side->out.opens[i].id = ++w->last_effect_id;
    for (i = 0; i < side->out.n_opens; i++)
        if (is_early(w, side->out.opens[i].kind))
            perform(w, &side->out.opens[i]);
    return true;
}

/* One commit for all of them, then their effects. False: the agent died on the way. */
static bool finish(struct world *w, struct change *changes, size_t n)
{
    size_t i, k;

    if (!outlives_step(w))
        return false;
    for (k = 0; k < n; k++) {
        w->a = changes[k].side;
        if (fsm_adopt(&w->a->inst, &w->a->out) < 0)
            abort();
        commit(w, changes[k].before, changes[k].n_before);
    }
    if (!outlives_step(w))
        return false;
    for (k = 0; k < n; k++) {
        w->a = changes[k].side;
        for (i = 0; i < w->a->out.n_opens; i++) {
            if (is_early(w, w->a->out.opens[i].kind))
                continue;
            perform(w, &w->a->out.opens[i]);
            if (!outlives_step(w))
                return false;
        }
    }
    return true;
}

/* One turn: step, commit, perform. False: the agent died on the way. */
static bool deliver(struct world *w, int kind, int64_t effect_id, const void *detail)
{
    struct change c;

    return !decide(w, w->a, kind, effect_id, detail, &c) || finish(w, &c, 1);
}

static bool recover_by_probe(struct world *w, const struct fsm_effect *fx)
{
    struct runner *r;
    size_t i;

    if (w->plan->broken == BROKEN_FORGETS_PROBE)
        return true;
    if (fx->kind == COMMAND_FX_REBOOT) {
        if (!str_eq(command_of(&w->a->inst)->reboot_boot_id, w->boot_id))
            return deliver(w, w->plan->machine->effects[fx->kind].done, fx->id, NULL);
        /* The intent names its effect: an earlier request that did not come is no answer. */
        if (w->reboot_in != 0 && w->last_reboot_effect == fx->id) {
            attach(w, fx->id);
            return true;
        }
    } else if (fx->kind == COMMAND_FX_SPAWN) {
        if (is_document(w, fx) && w->plan->broken != BROKEN_MAKES_BLINDLY) {
            if (is_open(w, &w->sides[INNER])) {
                attach(w, fx->id);
                return true;
            }
            if (w->sides[INNER].stored.exists) /* it took this effect with it, or somebody lied */
                return deliver(w, w->plan->machine->effects[fx->kind].lost, fx->id, NULL);
            if (w->a->inst.state != COMMAND_RUNNING) /* its stop follows */
                return true;
        }
        if (is_document(w, fx)) {
            perform(w, fx);
            return outlives_step(w);
        }
        r = runner_of(w, fx);
        for (i = 0; i < w->a->inst.n_effects; i++) /* it has to stop: it never begins then */
            if (w->a->inst.effects[i].kind == COMMAND_FX_STOP && !r->is_begun)
                r->is_void = true;
        if (r->is_begun || r->is_void) {
            attach(w, fx->id);
            return true;
        }
        perform(w, fx); /* promised by an earlier life: its time counts from now */
        return outlives_step(w) && deliver(w, COMMAND_EV_BEGUN, 0, NULL);
    }
    perform(w, fx);
    return outlives_step(w);
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
            perform(w, &open[i]);
            is_alive = outlives_step(w);
            break;
        case FSM_PROBE:
            is_alive = recover_by_probe(w, &open[i]);
            break;
        case FSM_ONCE:
            is_alive = deliver(w, kind->lost, open[i].id, NULL);
            break;
        }
        if (!is_alive)
            return false;
    }
    return true;
}

/* Start again from the journal alone: all that is open in it. */
static void restart(struct world *w)
{
    int k;

    w->is_alive = true;
    for (k = 0; k < N_SIDES; k++) {
        w->a = &w->sides[k];
        if (k == OUTER ? w->a->stored.exists : is_open(w, w->a))
            load(w);
    }
    for (k = 0; k < N_SIDES; k++)
        if (is_open(w, &w->sides[k]) && !restart_side(w, &w->sides[k]))
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
static void receive_inner(struct world *w, const struct fsm_effect *fx)
{
    struct side *inner = &w->sides[INNER];
    struct command *c;

    if (inner->stored.exists) {
        violate(w, "a nested document is made twice");
        return;
    }
    init_side(w, inner);
    c = command_of(&inner->inst);
    (void)str_copy(c->parent_id, sizeof(c->parent_id), "c0ffee");
    c->parent_unit = fx->arg;
    c->parent_attempt = fx->arg2;
    c->depth = 1;
    w->a = inner;
    (void)deliver(w, COMMAND_EV_ACCEPT, 0, NULL);
}

/* The message is here (again). */
static void receive(struct world *w)
{
    const struct scenario *s = w->plan->scenario;

    init_side(w, w->a);
    (void)deliver(w, s->is_rejected ? COMMAND_EV_REJECT : COMMAND_EV_ACCEPT, 0,
                  s->is_rejected ? "it makes no sense" : NULL);
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
            violate(w, "attempt %d of a step is not told of the cancel", attempt);
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
    const struct runner *r = runner_of(w, fx);
    struct command_result result = {.code = r->code, .outcome = "exited", .text = "as scripted"};

    if (r->is_void) {
        (void)deliver(w, COMMAND_EV_VOID, fx->id, NULL);
        return;
    }
    if (!r->is_ended) {
        (void)deliver(w, w->plan->machine->effects[fx->kind].lost, fx->id, &result);
        return;
    }
    if (r->is_killed)
        result.status =
            command_of(&w->a->inst)->stop == COMMAND_STOP_CANCEL ? "Cancelled" : "TimedOut";
    else if (r->code == 194)
        result.status = "SuccessAndReboot";
    else
        result.status = r->code == 0 || r->code == 168 ? "Success" : "Failed";
    (void)deliver(w, COMMAND_EV_EXITED, fx->id, &result);
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
    w->was_disturbed = deliver(w, events[d], 0, NULL) ||
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
    n = decide(w, inner, COMMAND_EV_REPORTED, inner->answer_effect, NULL, &changes[0]);
    if (w->plan->broken == BROKEN_ENDS_APART && n > 0) {
        if (!finish(w, changes, n))
            return;
        n = 0;
    }
    if (fx != NULL && fx->arg == command_of(&inner->inst)->parent_unit &&
        outer->units[fx->arg].is_document)
        n += decide(w, outer, kind, fx->id, &result, &changes[n]);
    if (n > 0)
        (void)finish(w, changes, n);
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
        (void)deliver(w, COMMAND_EV_VOID, 0, NULL);
        return true;
    }
    if (w->is_inner_cancel_due) {
        w->is_inner_cancel_due = false;
        w->a = &w->sides[INNER];
        if (is_open(w, w->a))
            (void)deliver(w, COMMAND_EV_CANCEL, 0, NULL);
        return true;
    }
    if (w->is_fetching && fx != NULL && outer->units[fx->arg].is_document) {
        w->is_fetching = false;
        copy = *fx;
        if (outer->inst.state == COMMAND_RUNNING)
            receive_inner(w, &copy);
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

        if (fx.kind != COMMAND_FX_SPAWN || !is_attached(w, fx.id) || is_document(w, &fx))
            continue;
        r = runner_of(w, &fx);
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
        perform(w, &fx);
        (void)outlives_step(w);
    } else if (w->a->n_idle >=
                   (w->a->inst.state == COMMAND_RUNNING ? LIMIT_AFTER : OVERDUE_AFTER) &&
               m->states[w->a->inst.state].overdue != FSM_NO_EVENT) {
        w->a->n_idle = 0;
        (void)deliver(w, m->states[w->a->inst.state].overdue, 0, "it did not come");
    }
}

/* Find the next thing that happened, if any, and deliver it. */
static void turn(struct world *w)
{
    struct side *outer = &w->sides[OUTER], *inner = &w->sides[INNER];
    int k;

    w->a = outer;
    if (!outer->stored.exists) {
        receive(w);
        return;
    }
    if (w->plan->scenario->is_redelivered && w->result->n_turns % 3 == 0)
        w->n_acknowledged++; /* known: acknowledged again, and nothing else */
    if (disturb(w))
        return;
    if (outer->answer != FSM_NO_EVENT) {
        int kind = outer->answer;

        outer->answer = FSM_NO_EVENT;
        (void)deliver(w, kind, outer->answer_effect, kind == COMMAND_EV_REFUSED ? "expired" : NULL);
        return;
    }
    if (turn_nested(w))
        return;
    for (k = 0; k < N_SIDES; k++) {
        w->a = &w->sides[k];
        if (!is_open(w, w->a))
            continue;
        if (turn_ended(w))
            return;
        if (w->a->inst.state == COMMAND_QUEUED) {
            (void)deliver(w, COMMAND_EV_START, 0, NULL);
            return;
        }
    }
    /* What is inside is overdue before what waits for it. */
    w->a = is_open(w, inner) ? inner : outer;
    turn_idle(w);
}

/* ---- what must hold at the end ---- */

static void check_unit(struct world *w, int i)
{
    const struct command_unit *u = &w->a->stored.units[i];
    const struct unit_script *script = &w->a->units[i];
    bool was_seen_to_succeed = false;
    int k;

    if (u->status[0] == '\0' || str_eq(u->status, "InProgress") ||
        str_eq(u->status, "SuccessAndReboot"))
        violate(w, "step %d has no terminal status: '%s'", i, u->status);
    for (k = 1; k <= MAX_ATTEMPTS; k++) {
        const struct runner *r = &w->a->runners[i][k];

        if (k == u->attempt && r->is_ended && !r->is_killed)
            was_seen_to_succeed = r->code == 0 || r->code == 168 ||
                                  (script->flow & COMMAND_FLOW_SUCCEED_ON_FAILURE) != 0;
        if (r->n_pending > 0 ||
            (r->is_begun && !r->is_ended && !r->is_lost && !script->is_unstoppable))
            violate(w, "step %d.%d runs on after the end", i, k);
        if (r->is_begun && (script->plan != COMMAND_PLAN_RUN || k > u->attempt))
            violate(w, "step %d.%d ran, and the journal does not know", i, k);
    }
    if (script->is_document) {
        const char *inside = w->sides[INNER].final;

        was_seen_to_succeed = str_eq(inside, "Success") || str_eq(inside, "Skipped");
    }
    if (script->plan == COMMAND_PLAN_FAIL && (script->flow & COMMAND_FLOW_SUCCEED_ON_FAILURE) != 0)
        was_seen_to_succeed = true; /* the document calls that a success */
    if (str_eq(u->status, "Success") && !was_seen_to_succeed)
        violate(w, "step %d is called a success without evidence", i);
}

/* The nested document, if it was made: it has ended too, and owes nobody anything. */
static void check_inner(struct world *w)
{
    const struct stored *j = &w->sides[INNER].stored;
    int i;

    w->a = &w->sides[INNER];
    if (!j->exists)
        return;
    if (is_open(w, w->a))
        violate(w, "the nested document is left in %s", w->plan->machine->states[j->state].name);
    if (j->n_effects > 0)
        violate(w, "the nested document ended with %s open",
                w->plan->machine->effects[j->effects[0].kind].name);
    for (i = 0; i < w->a->n_units; i++)
        check_unit(w, i);
}

static void check_end(struct world *w)
{
    const struct scenario *s = w->plan->scenario;
    const struct stored *j = &w->sides[OUTER].stored;
    int i;

    check_inner(w);
    w->a = &w->sides[OUTER];

    if (!j->exists || !w->plan->machine->states[j->state].is_terminal) {
        violate(w, "no end after %d turns: %s", w->result->n_turns,
                j->exists ? w->plan->machine->states[j->state].name : "nothing in the journal");
        return;
    }
    if (j->n_effects > 0)
        violate(w, "ended with %s open", w->plan->machine->effects[j->effects[0].kind].name);
    if (s->is_refused ? w->n_refusals == 0 || !j->data.is_refused : w->n_finals == 0)
        violate(w, "ended without a terminal reply");
    if (!s->is_rejected && w->n_acknowledged == 0)
        violate(w, "ended without an acknowledgement");
    if (!s->is_rejected)
        for (i = 0; i < s->n_units; i++)
            check_unit(w, i);
    if (!s->is_refused && str_eq(w->final_status, "InProgress"))
        violate(w, "the terminal reply is not terminal");
    if (!s->is_refused && w->plan->disturbance == DISTURB_NOT &&
        !str_eq(w->final_status, s->status))
        violate(w, "the service was told %s instead of %s", w->final_status, s->status);
}

/* A world outlives what it deals with; its end comes some turns later where both have to end. */
static bool is_over(const struct world *w)
{
    return w->sides[OUTER].stored.exists && !is_open(w, &w->sides[OUTER]) &&
           !is_open(w, &w->sides[INNER]);
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
            restart(&w);
        else
            turn(&w);
    }
    check_end(&w);
    for (k = 0; k < N_SIDES; k++) {
        fsm_instance_done(&w.sides[k].inst);
        fsm_out_done(&w.sides[k].out);
    }
}
