/* The engine of all machines: one step is a look into a table. */
#include "fsm/fsm.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

int fsm_instance_init(struct fsm_instance *inst, const struct fsm_machine *m, const char *id,
                      size_t n_children, int64_t now_unix_ms, struct err *err)
{
    *inst = (struct fsm_instance){.machine = m, .state = m->initial};
    if (!str_copy(inst->id, sizeof(inst->id), id))
        return err_set(err, ERR_LIMIT, "instance id %.40s...: longer than %zu bytes", id,
                       sizeof(inst->id) - 1);
    if (n_children > FSM_MAX_CHILDREN || (n_children > 0 && m->child_size == 0))
        return err_set(err, ERR_LIMIT, "%s %s: %zu child rows, at most %d are allowed", m->name, id,
                       n_children, m->child_size > 0 ? FSM_MAX_CHILDREN : 0);
    inst->created_unix_ms = inst->updated_unix_ms = now_unix_ms;
    memset(inst->head, '0', sizeof(inst->head) - 1);
    inst->data = calloc(1, m->data_size > 0 ? m->data_size : 1);
    if (n_children > 0)
        inst->children = calloc(n_children, m->child_size);
    if (inst->data == NULL || (n_children > 0 && inst->children == NULL)) {
        fsm_instance_done(inst);
        return err_set(err, ERR_NOMEM, "%s %s: out of memory", m->name, id);
    }
    inst->n_children = n_children;
    return 0;
}

void fsm_instance_done(struct fsm_instance *inst)
{
    free(inst->data);
    free(inst->children);
    free(inst->effects);
    *inst = (struct fsm_instance){.machine = inst->machine};
}

void *fsm_child(const struct fsm_instance *inst, size_t i)
{
    return (char *)inst->children + i * inst->machine->child_size;
}

static void *grow(void *items, size_t *cap, size_t n, size_t item_size)
{
    size_t want = *cap == 0 ? 8 : *cap;
    void *p;

    while (want < n)
        want *= 2;
    if (want <= *cap)
        return items;
    p = realloc(items, want * item_size);
    if (p != NULL)
        *cap = want;
    return p;
}

void fsm_open(struct fsm_out *out, uint8_t kind, int64_t arg, int64_t arg2)
{
    struct fsm_effect *p = grow(out->opens, &out->cap_opens, out->n_opens + 1, sizeof(*p));

    if (p == NULL) {
        out->failed = ERR_NOMEM;
        return;
    }
    out->opens = p;
    out->opens[out->n_opens++] = (struct fsm_effect){.kind = kind, .arg = arg, .arg2 = arg2};
}

static void close_id(struct fsm_out *out, int64_t id)
{
    int64_t *p;
    size_t i;

    for (i = 0; i < out->n_closes; i++)
        if (out->closes[i] == id)
            return;
    p = grow(out->closes, &out->cap_closes, out->n_closes + 1, sizeof(*p));
    if (p == NULL) {
        out->failed = ERR_NOMEM;
        return;
    }
    out->closes = p;
    out->closes[out->n_closes++] = id;
}

void fsm_close_kind(const struct fsm_instance *inst, struct fsm_out *out, uint8_t kind)
{
    size_t i;

    for (i = 0; i < inst->n_effects; i++)
        if (inst->effects[i].kind == kind)
            close_id(out, inst->effects[i].id);
}

void fsm_touch_child(struct fsm_out *out, size_t i)
{
    if (out->child_hi == out->child_lo) {
        out->child_lo = i;
        out->child_hi = i + 1;
        return;
    }
    if (i < out->child_lo)
        out->child_lo = i;
    if (i >= out->child_hi)
        out->child_hi = i + 1;
}

void fsm_out_done(struct fsm_out *out)
{
    free(out->opens);
    free(out->closes);
    *out = (struct fsm_out){0};
}

static void out_reset(struct fsm_out *out)
{
    out->n_opens = out->n_closes = 0;
    out->child_lo = out->child_hi = 0;
    out->deadline_ms = 0;
    out->failed = 0;
    out->detail[0] = '\0';
}

/* Take what was closed out of the list of open effects. */
static void drop_closed(struct fsm_instance *inst, const struct fsm_out *out)
{
    size_t i, k, kept = 0;

    for (i = 0; i < inst->n_effects; i++) {
        for (k = 0; k < out->n_closes && out->closes[k] != inst->effects[i].id; k++)
            ;
        if (k == out->n_closes)
            inst->effects[kept++] = inst->effects[i];
    }
    inst->n_effects = kept;
}

enum fsm_verdict fsm_step(struct fsm_instance *inst, const struct fsm_event *ev,
                          struct fsm_out *out)
{
    const struct fsm_machine *m = inst->machine;
    const struct fsm_rule *r, *end = m->rules + m->n_rules;
    size_t i;

    out_reset(out);
    out->from = inst->state;
    if (m->states[inst->state].is_terminal ||
        (ev->effect_id != 0 && fsm_find_effect(inst, ev->effect_id) == NULL))
        return FSM_STALE;
    /* A state that ignores the runaway event is on its way out: it must still be able to end. */
    if (inst->n_transitions >= m->max_transitions && (int)ev->kind != (int)m->runaway &&
        (m->states[inst->state].ignored & BIT(m->runaway)) == 0)
        return FSM_RUNAWAY;
    for (r = m->rules; r < end; r++)
        if (r->from == inst->state && r->on == ev->kind && (r->when == NULL || r->when(inst, ev)))
            break;
    if (r == end && (m->states[inst->state].ignored & BIT(ev->kind)) == 0)
        return FSM_UNEXPECTED;
    if (m->describe != NULL)
        m->describe(inst, ev, out->detail, sizeof(out->detail));
    if (ev->effect_id != 0)
        close_id(out, ev->effect_id);
    if (r == end) {
        drop_closed(inst, out);
        return FSM_IGNORED;
    }
    inst->state = r->to;
    inst->n_transitions++;
    inst->updated_unix_ms = ev->at_unix_ms;
    if (r->action != NULL)
        r->action(inst, ev, out);
    if (m->states[inst->state].is_terminal)
        for (i = 0; i < inst->n_effects; i++)
            close_id(out, inst->effects[i].id);
    drop_closed(inst, out);
    return FSM_MOVED;
}

int fsm_adopt(struct fsm_instance *inst, const struct fsm_out *out)
{
    struct fsm_effect *p;

    if (out->failed != 0)
        return out->failed;
    if (out->n_opens == 0)
        return 0;
    p = grow(inst->effects, &inst->cap_effects, inst->n_effects + out->n_opens, sizeof(*p));
    if (p == NULL)
        return ERR_NOMEM;
    inst->effects = p;
    memcpy(p + inst->n_effects, out->opens, out->n_opens * sizeof(*p));
    inst->n_effects += out->n_opens;
    return 0;
}

void fsm_drop_effect(struct fsm_instance *inst, int64_t effect_id)
{
    const struct fsm_effect *fx = fsm_find_effect(inst, effect_id);
    size_t i = fx != NULL ? (size_t)(fx - inst->effects) : inst->n_effects;

    if (fx == NULL)
        return;
    memmove(inst->effects + i, inst->effects + i + 1,
            (inst->n_effects - i - 1) * sizeof(*inst->effects));
    inst->n_effects--;
}

const struct fsm_effect *fsm_find_effect(const struct fsm_instance *inst, int64_t effect_id)
{
    size_t i;

    for (i = 0; i < inst->n_effects; i++)
        if (inst->effects[i].id == effect_id)
            return &inst->effects[i];
    return NULL;
}

const struct fsm_effect *fsm_find_effect_kind(const struct fsm_instance *inst, uint8_t kind)
{
    size_t i;

    for (i = 0; i < inst->n_effects; i++)
        if (inst->effects[i].kind == kind)
            return &inst->effects[i];
    return NULL;
}

bool fsm_is_terminal(const struct fsm_instance *inst)
{
    return inst->machine->states[inst->state].is_terminal;
}

const char *fsm_state_name(const struct fsm_instance *inst)
{
    return inst->machine->states[inst->state].name;
}

const char *fsm_status(const struct fsm_instance *inst)
{
    const char *status = inst->machine->states[inst->state].status;

    if (status == NULL && inst->machine->status != NULL)
        status = inst->machine->status(inst);
    return status != NULL ? status : "";
}

int fsm_state_by_name(const struct fsm_machine *m, const char *name)
{
    size_t i;

    for (i = 0; i < m->n_states; i++)
        if (str_eq(m->states[i].name, name))
            return (int)i;
    return -1;
}

int fsm_effect_by_name(const struct fsm_machine *m, const char *name)
{
    size_t i;

    for (i = 0; i < m->n_effects; i++)
        if (str_eq(m->effects[i].name, name))
            return (int)i;
    return -1;
}

int fsm_event_by_name(const struct fsm_machine *m, const char *name)
{
    size_t i;

    for (i = 0; i < m->n_events; i++)
        if (str_eq(m->events[i], name))
            return (int)i;
    return -1;
}

int64_t fsm_field_i64(const struct fsm_field *f, const void *base)
{
    int64_t v;

    memcpy(&v, (const char *)base + f->offset, sizeof(v));
    return v;
}

const char *fsm_field_text(const struct fsm_field *f, const void *base)
{
    return (const char *)base + f->offset;
}

static void dump_value(struct buf *b, const char *value)
{
    for (; *value != '\0'; value++) {
        if (*value == '%' || *value == '\n' || *value == '\r')
            (void)buf_printf(b, "%%%02x", (unsigned char)*value); /* buf_error() tells */
        else
            (void)buf_add_char(b, *value);
    }
}

static void dump_fields(struct buf *b, const struct fsm_field *fields, size_t n, const void *base)
{
    size_t i;

    for (i = 0; i < n; i++) {
        (void)buf_printf(b, "%s=", fields[i].name);
        if (fields[i].type == FSM_I64)
            (void)buf_printf(b, "%" PRId64, fsm_field_i64(&fields[i], base));
        else
            dump_value(b, fsm_field_text(&fields[i], base));
        (void)buf_add_char(b, '\n');
    }
}

void fsm_dump(const struct fsm_instance *inst, struct buf *ret_text)
{
    const struct fsm_machine *m = inst->machine;
    size_t i;

    (void)buf_printf(ret_text, "machine=%s\nid=%s\nstate=%s\nn_transitions=%" PRId64 "\n", m->name,
                     inst->id, fsm_state_name(inst), inst->n_transitions);
    (void)buf_printf(ret_text, "created_unix_ms=%" PRId64 "\nupdated_unix_ms=%" PRId64 "\n",
                     inst->created_unix_ms, inst->updated_unix_ms);
    (void)buf_printf(ret_text,
                     "deadline_boot_id=%s\ndeadline_boottime_ms=%" PRId64
                     "\ndeadline_after_ms=%" PRId64 "\n",
                     inst->deadline.boot_id, inst->deadline.boottime_ms, inst->deadline.after_ms);
    dump_fields(ret_text, m->fields, m->n_fields, inst->data);
    for (i = 0; i < inst->n_children; i++) {
        (void)buf_printf(ret_text, "%s %zu\n", m->child_name, i);
        dump_fields(ret_text, m->child_fields, m->n_child_fields, fsm_child(inst, i));
    }
}

const struct fsm_machine *fsm_machine_by_name(const char *name)
{
    const struct fsm_machine *const *m;

    for (m = fsm_machines; *m != NULL; m++)
        if (str_eq((*m)->name, name))
            return *m;
    return NULL;
}
