/* Pictures of a machine, from the table that runs. */
#include "fsm/fsm.h"

void fsm_diagram_mermaid(const struct fsm_machine *m, struct buf *ret_text)
{
    size_t i;

    (void)buf_printf(ret_text, "stateDiagram-v2\n    [*] --> %s\n", m->states[m->initial].name);
    for (i = 0; i < m->n_rules; i++) {
        const struct fsm_rule *r = &m->rules[i];

        (void)buf_printf(ret_text, "    %s --> %s: %s%s%s\n", m->states[r->from].name,
                         m->states[r->to].name, m->events[r->on], r->label != NULL ? " / " : "",
                         r->label != NULL ? r->label : "");
    }
    for (i = 0; i < m->n_states; i++)
        if (m->states[i].is_terminal)
            (void)buf_printf(ret_text, "    %s --> [*]\n", m->states[i].name);
}

void fsm_diagram_dot(const struct fsm_machine *m, struct buf *ret_text)
{
    size_t i;

    (void)buf_printf(
        ret_text, "digraph %s {\n    rankdir=LR;\n    node [shape=box, style=rounded];\n", m->name);
    for (i = 0; i < m->n_states; i++) {
        const struct fsm_state *s = &m->states[i];

        (void)buf_printf(ret_text, "    %s [label=\"%s%s%s\"%s];\n", s->name, s->name,
                         s->status != NULL && s->status[0] != '\0' ? "\\n" : "",
                         s->status != NULL ? s->status : "",
                         s->is_terminal ? ", peripheries=2" : "");
    }
    for (i = 0; i < m->n_rules; i++) {
        const struct fsm_rule *r = &m->rules[i];

        (void)buf_printf(ret_text, "    %s -> %s [label=\"%s%s%s\"];\n", m->states[r->from].name,
                         m->states[r->to].name, m->events[r->on], r->label != NULL ? "\\n" : "",
                         r->label != NULL ? r->label : "");
    }
    (void)buf_add_str(ret_text, "}\n");
}
