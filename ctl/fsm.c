/* `ssmctl fsm`: the machine that really runs, as a picture or as data. */
#include <string.h>

#include "base/str.h"
#include "ctl/ctl.h"
#include "ctl/jsonw.h"
#include "fsm/fsm.h"

#define MAX_DIAGRAM_BYTES (1u << 20)

static const char *recovery_name(enum fsm_recovery recovery)
{
    switch (recovery) {
    case FSM_REDO:
        return "redo";
    case FSM_PROBE:
        return "probe";
    case FSM_ONCE:
        return "once";
    }
    return "";
}

static void write_states(struct jsonw *w, const struct fsm_machine *m)
{
    size_t i, e;

    jsonw_open_list(w, "states");
    for (i = 0; i < m->n_states; i++) {
        const struct fsm_state *s = &m->states[i];

        jsonw_open_object(w, NULL);
        jsonw_str(w, "name", s->name);
        jsonw_str(w, "status", s->status);
        jsonw_bool(w, "is_initial", i == m->initial);
        jsonw_bool(w, "is_terminal", s->is_terminal);
        jsonw_str(w, "overdue", s->overdue != FSM_NO_EVENT ? m->events[s->overdue] : NULL);
        jsonw_open_list(w, "ignored");
        for (e = 0; e < m->n_events; e++)
            if ((s->ignored & BIT(e)) != 0)
                jsonw_str(w, NULL, m->events[e]);
        jsonw_close_list(w);
        jsonw_close_object(w);
    }
    jsonw_close_list(w);
}

static void write_machine(struct jsonw *w, const struct fsm_machine *m)
{
    size_t i;

    jsonw_open_object(w, NULL);
    jsonw_str(w, "machine", m->name);
    jsonw_i64(w, "version", m->version);
    write_states(w, m);
    jsonw_open_list(w, "transitions");
    for (i = 0; i < m->n_rules; i++) {
        jsonw_open_object(w, NULL);
        jsonw_str(w, "from", m->states[m->rules[i].from].name);
        jsonw_str(w, "event", m->events[m->rules[i].on]);
        jsonw_str(w, "to", m->states[m->rules[i].to].name);
        jsonw_bool(w, "is_guarded", m->rules[i].when != NULL);
        jsonw_str(w, "label", m->rules[i].label);
        jsonw_close_object(w);
    }
    jsonw_close_list(w);
    jsonw_open_list(w, "effects");
    for (i = 0; i < m->n_effects; i++) {
        jsonw_open_object(w, NULL);
        jsonw_str(w, "name", m->effects[i].name);
        jsonw_str(w, "after_restart", recovery_name(m->effects[i].recovery));
        jsonw_close_object(w);
    }
    jsonw_close_list(w);
    jsonw_close_object(w);
}

static int list_machines(struct ctl *c, struct err *err)
{
    const struct fsm_machine *const *m;
    struct jsonw w;

    if (!c->is_json) {
        for (m = fsm_machines; *m != NULL; m++)
            (void)fprintf(c->out, "%s\n", (*m)->name);
        return CTL_OK;
    }
    ctl_begin_json(c, &w);
    jsonw_open_object(&w, NULL);
    jsonw_open_list(&w, "machines");
    for (m = fsm_machines; *m != NULL; m++)
        jsonw_str(&w, NULL, (*m)->name);
    jsonw_close_list(&w);
    jsonw_close_object(&w);
    return jsonw_end(&w, err);
}

static int no_machine(const char *name, struct err *err)
{
    const struct fsm_machine *const *m;
    AUTO(buf_done) struct buf names = {0};

    buf_init(&names, 1024);
    for (m = fsm_machines; *m != NULL; m++)
        (void)buf_printf(&names, "%s%s", names.len > 0 ? ", " : "", (*m)->name); /* for the text */
    return err_set(err, ERR_NOT_FOUND, "machine %s: there is none of that name; there are: %s",
                   name, buf_str(&names));
}

int ctl_run_fsm(struct ctl *c, struct err *err)
{
    const struct fsm_machine *m;
    AUTO(buf_done) struct buf text = {0};
    int r = ctl_not_both(c, "dot", "mermaid", err);

    buf_init(&text, MAX_DIAGRAM_BYTES);
    if (r < 0)
        return r;
    if (c->n_args == 0)
        return list_machines(c, err);
    m = fsm_machine_by_name(c->args[0]);
    if (m == NULL)
        return no_machine(c->args[0], err);
    if (c->is_json) {
        struct jsonw w;

        ctl_begin_json(c, &w);
        write_machine(&w, m);
        return jsonw_end(&w, err);
    }
    if (ctl_has(c, "dot"))
        fsm_diagram_dot(m, &text);
    else
        fsm_diagram_mermaid(m, &text);
    r = buf_error(&text, "diagram", err);
    if (r == 0)
        (void)fputs(buf_str(&text), c->out); /* ctl_main() looks at the stream's errors */
    return r;
}
