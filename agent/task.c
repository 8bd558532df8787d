/* A command's document at hand: parsed from the payload that the journal keeps, dropped when
 * nothing needs it. */
#include "agent/engine_internal.h"

#include <assert.h>
#include <stdlib.h>

#include "schema/parameter_store.h"

struct asking {
    struct document_resolver values;
    bool was_in_vain;
};

static int resolve(void *ctx, const char *reference, const char **ret_type, const char **ret_value,
                   struct err *err)
{
    struct asking *a = ctx;
    int r = a->values.resolve(a->values.ctx, reference, ret_type, ret_value, err);

    a->was_in_vain = a->was_in_vain || r == ERR_NOT_FOUND;
    return r;
}

int task_new(const char *payload, size_t n, struct task_flags flags, cJSON *values,
             struct task **ret_task, struct document_references *ret_references, struct buf *trace,
             struct err *err)
{
    AUTO(task_free) struct task *t = calloc(1, sizeof(*t));
    struct asking asking = {.values = parameter_values_resolver(values)};
    const struct document_resolver resolver = {.resolve = resolve, .ctx = &asking};
    struct document_input in = {.is_nested = flags.is_nested,
                                .is_strict = flags.is_strict,
                                .resolver = &resolver,
                                .trace = trace};
    int r;

    if (t == NULL)
        return err_set(err, ERR_NOMEM, "document: out of memory");
    r = send_payload_parse(payload, n, &t->payload, err);
    if (r < 0)
        return r;
    in.content = t->payload.document;
    in.parameters = t->payload.parameters;
    r = document_parse(&in, &t->document, err);
    if (r < 0 && asking.was_in_vain && ret_references != NULL) {
        struct err why;
        int found = document_find_ssm_references(&in, ret_references, &why);

        if (found < 0) { /* the document fails for another reason, whatever the values are */
            *err = why;
            return found;
        }
    }
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

/* What the document's references were resolved with when it was accepted; none: NULL. */
static int load_values(struct engine *e, const char *job_id, cJSON **ret_values, struct err *err)
{
    AUTO(buf_done) struct buf text = {0};
    int r;

    buf_init(&text, PARAMETER_MAX_VALUES_BYTES);
    r = e->journal->ops->get_attachment(e->journal, job_id, TASK_VALUES, &text, err);
    if (r == ERR_NOT_FOUND)
        return 0;
    return r < 0 ? r : parameter_values_parse(buf_str(&text), text.len, ret_values, err);
}

int task_load(struct engine *e, struct job *job, struct err *err)
{
    AUTO(buf_done) struct buf payload = {0};
    AUTO(cJSON_Delete) cJSON *values = NULL;
    AUTO(task_free) struct task *t = NULL;
    int r;

    if (job->task != NULL)
        return 0;
    buf_init(&payload, MESSAGE_MAX_PAYLOAD_BYTES);
    r = e->journal->ops->get_payload(e->journal, job->inst.id, &payload, err);
    if (r == 0)
        r = load_values(e, job->inst.id, &values, err);
    if (r == 0)
        r = task_new(buf_str(&payload), payload.len, task_flags(e, command_is_nested(&job->inst)),
                     values, &t, NULL, NULL, err);
    assert(r < 0 || t != NULL); /* task_new returned 0 */
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
