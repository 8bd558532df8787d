/* Laws that hold for the whole of a table. */
#include "fsm/fsm.h"

#include <stdarg.h>

struct findings {
    const struct fsm_machine *m;
    struct buf *text;
    int n;
};

static void found(struct findings *f, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void found(struct findings *f, const char *fmt, ...)
{
    char line[200];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    (void)buf_printf(f->text, "%s: %s\n", f->m->name, line);
    f->n++;
}

static const struct fsm_rule *rule_end(const struct fsm_machine *m)
{
    return m->rules + m->n_rules;
}

static void check_reachable(struct findings *f)
{
    const struct fsm_machine *m = f->m;
    uint64_t seen = BIT(m->initial), before;
    const struct fsm_rule *r;
    size_t s;

    do {
        before = seen;
        for (r = m->rules; r < rule_end(m); r++)
            if ((seen & BIT(r->from)) != 0)
                seen |= BIT(r->to);
    } while (seen != before);
    for (s = 0; s < m->n_states; s++)
        if ((seen & BIT(s)) == 0)
            found(f, "state %s is never reached", m->states[s].name);
}

static void check_can_end(struct findings *f)
{
    const struct fsm_machine *m = f->m;
    uint64_t ends = 0, before;
    const struct fsm_rule *r;
    size_t s;

    for (s = 0; s < m->n_states; s++)
        if (m->states[s].is_terminal)
            ends |= BIT(s);
    do {
        before = ends;
        for (r = m->rules; r < rule_end(m); r++)
            if ((ends & BIT(r->to)) != 0)
                ends |= BIT(r->from);
    } while (ends != before);
    for (s = 0; s < m->n_states; s++)
        if ((ends & BIT(s)) == 0)
            found(f, "state %s can never end", m->states[s].name);
}

static void check_rows(struct findings *f)
{
    const struct fsm_machine *m = f->m;
    const struct fsm_rule *r, *e;

    for (r = m->rules; r < rule_end(m); r++) {
        if (m->states[r->from].is_terminal)
            found(f, "terminal state %s has a row", m->states[r->from].name);
        for (e = m->rules; e < r; e++)
            if (e->from == r->from && e->on == r->on && (e->when == NULL || e->when == r->when))
                found(f, "row %s on %s is shadowed by an earlier one", m->states[r->from].name,
                      m->events[r->on]);
    }
}

static void check_silence(struct findings *f)
{
    const struct fsm_machine *m = f->m;
    const struct fsm_rule *r;
    size_t s, e;

    for (s = 0; s < m->n_states; s++) {
        if (m->states[s].is_terminal)
            continue;
        for (e = 0; e < m->n_events; e++) {
            bool has_row = false, has_plain_row = false;
            bool is_ignored = (m->states[s].ignored & BIT(e)) != 0;

            for (r = m->rules; r < rule_end(m); r++)
                if (r->from == s && r->on == e) {
                    has_row = true;
                    has_plain_row = has_plain_row || r->when == NULL;
                }
            if (has_row && !has_plain_row)
                found(f, "%s on %s: every row has a guard, so it may fall through",
                      m->states[s].name, m->events[e]);
            if (has_row && is_ignored)
                found(f, "%s on %s: handled and listed as ignored", m->states[s].name,
                      m->events[e]);
            if (!has_row && !is_ignored)
                found(f, "%s on %s: neither handled nor listed as ignored", m->states[s].name,
                      m->events[e]);
        }
    }
}

static void check_names(struct findings *f)
{
    const struct fsm_machine *m = f->m;
    size_t i;

    for (i = 0; i < m->n_states; i++) {
        if (m->states[i].name == NULL)
            found(f, "state %zu has no name", i);
        else if (fsm_state_by_name(m, m->states[i].name) != (int)i)
            found(f, "two states are named %s", m->states[i].name);
        if (m->states[i].overdue >= (int)m->n_events)
            found(f, "state %zu has an overdue event that does not exist", i);
    }
    for (i = 0; i < m->n_events; i++) {
        if (m->events[i] == NULL)
            found(f, "event %zu has no name", i);
        else if (fsm_event_by_name(m, m->events[i]) != (int)i)
            found(f, "two events are named %s", m->events[i]);
    }
    for (i = 0; i < m->n_effects; i++) {
        const struct fsm_effect_kind *k = &m->effects[i];

        if (k->name == NULL)
            found(f, "effect %zu has no name", i);
        else if (fsm_effect_by_name(m, k->name) != (int)i)
            found(f, "two effects are named %s", k->name);
        else if (k->lost >= (int)m->n_events || k->done >= (int)m->n_events)
            found(f, "effect %s names an event that does not exist", k->name);
        else if (k->recovery != FSM_REDO && k->lost == FSM_NO_EVENT)
            found(f, "effect %s is not redone by a restart, and no event says that it is lost",
                  k->name);
    }
}

/* Rows of numbers that exist: asked before anything is looked up by them. */
static void check_numbers(struct findings *f)
{
    const struct fsm_machine *m = f->m;
    const struct fsm_rule *r;

    if (m->initial >= m->n_states)
        found(f, "the initial state does not exist");
    if (m->runaway < 0 || m->runaway >= (int)m->n_events)
        found(f, "the runaway event does not exist");
    for (r = m->rules; r < rule_end(m); r++)
        if (r->from >= m->n_states || r->to >= m->n_states || r->on >= m->n_events)
            found(f, "row %zu names a state or an event that does not exist",
                  (size_t)(r - m->rules));
}

/* The runaway event must end every loop, so states that ignore it may not form one. Taking away,
 * again and again, the ones that lead to no other of them leaves the loops. */
static void check_runaway(struct findings *f)
{
    const struct fsm_machine *m = f->m;
    uint64_t loop = 0, before, onward;
    const struct fsm_rule *r;
    size_t s;

    for (s = 0; s < m->n_states; s++)
        if (!m->states[s].is_terminal && (m->states[s].ignored & BIT(m->runaway)) != 0)
            loop |= BIT(s);
    do {
        before = loop;
        onward = 0;
        for (r = m->rules; r < rule_end(m); r++)
            if ((loop & BIT(r->from)) != 0 && (loop & BIT(r->to)) != 0)
                onward |= BIT(r->from);
        loop &= onward;
    } while (loop != before);
    for (s = 0; s < m->n_states; s++)
        if ((loop & BIT(s)) != 0)
            found(f, "state %s is in a loop that the runaway event does not end",
                  m->states[s].name);
}

int fsm_check(const struct fsm_machine *m, struct buf *ret_text)
{
    struct findings f = {.m = m, .text = ret_text};

    if (m->n_states > 63 || m->n_events > 63) {
        found(&f, "more than 63 states or events");
        return f.n;
    }
    check_numbers(&f);
    check_names(&f);
    if (f.n > 0)
        return f.n; /* the rest prints names and looks up by number */
    check_reachable(&f);
    check_can_end(&f);
    check_rows(&f);
    check_silence(&f);
    check_runaway(&f);
    return f.n;
}
