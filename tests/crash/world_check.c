/* What must hold at the end of a run. */
#include "base/str.h"
#include "tests/crash/world_internal.h"

/* ---- what must hold at the end ---- */

static void check_unit(struct world *w, int i)
{
    const struct command_unit *u = &w->a->stored.units[i];
    const struct unit_script *script = &w->a->units[i];
    bool was_seen_to_succeed = false;
    int k;

    if (u->status[0] == '\0' || str_eq(u->status, "InProgress") ||
        str_eq(u->status, "SuccessAndReboot"))
        world_violate(w, "step %d has no terminal status: '%s'", i, u->status);
    for (k = 1; k <= MAX_ATTEMPTS; k++) {
        const struct runner *r = &w->a->runners[i][k];

        if (k == u->attempt && r->is_ended && !r->is_killed)
            was_seen_to_succeed = r->code == 0 || r->code == 168 ||
                                  (script->flow & COMMAND_FLOW_SUCCEED_ON_FAILURE) != 0;
        if (r->n_pending > 0 ||
            (r->is_begun && !r->is_ended && !r->is_lost && !script->is_unstoppable))
            world_violate(w, "step %d.%d runs on after the end", i, k);
        if (r->is_begun && (script->plan != COMMAND_PLAN_RUN || k > u->attempt))
            world_violate(w, "step %d.%d ran, and the journal does not know", i, k);
    }
    if (script->is_document) {
        const char *inside = w->sides[INNER].final;

        was_seen_to_succeed = str_eq(inside, "Success") || str_eq(inside, "Skipped");
    }
    if (script->plan == COMMAND_PLAN_FAIL && (script->flow & COMMAND_FLOW_SUCCEED_ON_FAILURE) != 0)
        was_seen_to_succeed = true; /* the document calls that a success */
    if (str_eq(u->status, "Success") && !was_seen_to_succeed)
        world_violate(w, "step %d is called a success without evidence", i);
}

/* The nested document, if it was made: it has ended too, and owes nobody anything. */
static void check_inner(struct world *w)
{
    const struct stored *j = &w->sides[INNER].stored;
    int i;

    w->a = &w->sides[INNER];
    if (!j->exists)
        return;
    if (world_is_open(w, w->a))
        world_violate(w, "the nested document is left in %s",
                      w->plan->machine->states[j->state].name);
    if (j->n_effects > 0)
        world_violate(w, "the nested document ended with %s open",
                      w->plan->machine->effects[j->effects[0].kind].name);
    for (i = 0; i < w->a->n_units; i++)
        check_unit(w, i);
}

void world_check_end(struct world *w)
{
    const struct scenario *s = w->plan->scenario;
    const struct stored *j = &w->sides[OUTER].stored;
    int i;

    check_inner(w);
    w->a = &w->sides[OUTER];

    if (!j->exists || !w->plan->machine->states[j->state].is_terminal) {
        world_violate(w, "no end after %d turns: %s", w->result->n_turns,
                      j->exists ? w->plan->machine->states[j->state].name
                                : "nothing in the journal");
        return;
    }
    if (j->n_effects > 0)
        world_violate(w, "ended with %s open", w->plan->machine->effects[j->effects[0].kind].name);
    if (s->is_refused ? w->n_refusals == 0 || !j->data.is_refused : w->n_finals == 0)
        world_violate(w, "ended without a terminal reply");
    if (!s->is_rejected && w->n_acknowledged == 0)
        world_violate(w, "ended without an acknowledgement");
    if (!s->is_rejected)
        for (i = 0; i < s->n_units; i++)
            check_unit(w, i);
    if (!s->is_refused && str_eq(w->final_status, "InProgress"))
        world_violate(w, "the terminal reply is not terminal");
    if (!s->is_refused && w->plan->disturbance == DISTURB_NOT &&
        !str_eq(w->final_status, s->status))
        world_violate(w, "the service was told %s instead of %s", w->final_status, s->status);
}

/* A world outlives what it deals with; its end comes some turns later where both have to end. */
