/* A command's document at hand: parsed from the payload that the journal keeps, dropped when
 * nothing needs it. */
#include "agent/engine_internal.h"

#include <stdlib.h>

int task_new(const char *payload, size_t n, bool is_nested, struct task **ret_task,
             struct buf *trace, struct err *err)
{
    AUTO(task_free) struct task *t = calloc(1, sizeof(*t));
    struct document_input in = {.is_nested = is_nested, .trace = trace};
    int r;

    if (t == NULL)
        return err_set(err, ERR_NOMEM, "document: out of memory");
    r = send_payload_parse(payload, n, &t->payload, err);
    if (r < 0)
        return r;
    in.content = t->payload.document;
    in.parameters = t->payload.parameters;
    r = document_parse(&in, &t->document, err);
    if (r < 0)
        return r;
    *ret_task = TAKE(t);
    return 0;
}

void task_free(struct task *t)
{
    if (t == NULL)
        return;
    document_free(t->document);
    send_payload_done(&t->payload);
    free(t);
}

/* The document is read anew from its payload, perhaps by a later version: does it still have the
 * units that were journaled? */
static int check_layout(const struct task *t, const struct fsm_instance *inst, struct err *err)
{
    const struct document *d = t->document;
    size_t p, i = 0, k;

    for (p = 0; p < d->n_plugins; p++)
        for (k = 0; k == 0 || k < d->plugins[p].n_units; k++, i++)
            if (i >= inst->n_children || command_unit_at(inst, i)->plugin != (int64_t)p)
                return err_set(err, ERR_CORRUPT, "its steps are not those that were accepted");
    return i == inst->n_children
               ? 0
               : err_set(err, ERR_CORRUPT, "its steps are not those that were accepted");
}

int task_load(struct engine *e, struct job *job, struct err *err)
{
    AUTO(buf_done) struct buf payload = {0};
    AUTO(task_free) struct task *t = NULL;
    int r;

    if (job->task != NULL)
        return 0;
    buf_init(&payload, MESSAGE_MAX_PAYLOAD_BYTES);
    r = e->journal->ops->get_payload(e->journal, job->inst.id, &payload, err);
    if (r == 0)
        r = task_new(buf_str(&payload), payload.len, command_is_nested(&job->inst), &t, NULL, err);
    if (r == 0)
        r = check_layout(t, &job->inst, err);
    if (r == 0)
        job->task = TAKE(t);
    return r < 0 ? err_wrap(err, "command %s: its document", job->inst.id) : 0;
}

const struct document_unit *task_unit(const struct task *t, const struct fsm_instance *inst,
                                      size_t i)
{
    const struct command_unit *u = command_unit_at(inst, i);
    const struct document_plugin *p;
    size_t first = i;

    if (u->plugin < 0 || (size_t)u->plugin >= t->document->n_plugins)
        return NULL;
    p = &t->document->plugins[u->plugin];
    while (first > 0 && command_unit_at(inst, first - 1)->plugin == u->plugin)
        first--;
    return i - first < p->n_units ? &t->document->units[p->first_unit + (i - first)] : NULL;
}
