/* aws:refreshAssociation: all associations of this node, or those that are named, are to be run now
 * (spec 08, section 9). ssmd runs no associations. Where the service has none for this node, "all
 * of them" is nothing, and saying so is true; where it has some, the step fails and says why. */
#define LOG_MODULE "refresh"
#include "agent/nest_internal.h"
#include "base/str.h"

struct refresh {
    struct call call;
    struct engine *e;
    unsigned generation;
    char job_id[FSM_ID_SIZE];
    int64_t effect_id;
    cJSON *ids; /* owned, a list, or NULL: all */
};

static void refresh_done(struct call *c)
{
    cJSON_Delete(container_of(c, struct refresh, call)->ids);
}

/* The ids that are asked for: none, or one empty one, are all. *ret_ids is the caller's. */
static int read_ids(const cJSON *inputs, cJSON **ret_ids, struct err *err)
{
    const cJSON *ids = NULL, *id;
    int r = cJSON_IsNull(inputs) ? 0 : json_want_object(inputs, "inputs", err);

    if (r == 0)
        r = json_get_list(inputs, "inputs", "associationIds", &ids, err);
    if (r < 0)
        return r;
    cJSON_ArrayForEach(id, ids) if (!cJSON_IsString(id)) return err_set(
        err, ERR_INVALID, "inputs.associationIds must hold strings only, not %s",
        json_type_name(id));
    if (ids == NULL || ids->child == NULL ||
        (ids->child->next == NULL && ids->child->valuestring[0] == '\0'))
        return 0;
    *ret_ids = cJSON_Duplicate(ids, true);
    return *ret_ids != NULL ? 0 : err_set(err, ERR_NOMEM, "inputs.associationIds: out of memory");
}

static bool is_asked_for(const struct refresh *f, const cJSON *association)
{
    const cJSON *own = json_get(association, "AssociationId"), *id;

    cJSON_ArrayForEach(id, f->ids) if (cJSON_IsString(own) &&
                                       str_eq(own->valuestring, id->valuestring)) return true;
    return f->ids == NULL;
}

/* The sentence stands twice, as users of the reference find it in the final reply: there it is
 * appended to the output once more (spec 12). */
static void say(const struct refresh *f, struct buf *words)
{
    const cJSON *id;
    int i;

    for (i = 0; i < 2; i++) {
        if (f->ids == NULL) {
            (void)buf_add_str(words, "All associations have been requested to execute immediately");
            continue;
        }
        (void)buf_add_str(words, "Associations [");
        cJSON_ArrayForEach(id, f->ids)(void)
            buf_printf(words, "%s%s", id != f->ids->child ? " " : "", id->valuestring);
        (void)buf_add_str(words, "] have been requested to execute immediately");
    }
}

static void on_associations(void *ctx, const cJSON *associations, bool has_more,
                            const struct err *err)
{
    struct refresh *f = ctx;
    struct engine *e = f->e;
    const struct job *job = engine_find_job(e, f->job_id);
    const struct fsm_effect *fx = job != NULL ? fsm_find_effect(&job->inst, f->effect_id) : NULL;
    AUTO(buf_done) struct buf words = {0};
    const cJSON *association;
    struct err why;
    int n = has_more ? 1 : 0;

    buf_init(&words, NEST_MAX_WORDS);
    cJSON_ArrayForEach(association, associations) n += is_asked_for(f, association);
    if (fx == NULL || f->generation != e->generation || e->is_suspended || e->is_stopping) {
        calls_free(e, &f->call); /* cancelled meanwhile, or begun anew after the journal was read */
        return;
    }
    if (err != NULL) {
        why = *err;
        (void)err_wrap(&why, "the associations of this node cannot be listed");
        nest_refuse_step(e, job, fx, why.text);
    } else if (n > 0) {
        nest_refuse_step(
            e, job, fx,
            "Associations are assigned to this node, and this version of ssmd does not run "
            "associations.");
    } else {
        say(f, &words); /* cut is fine: as many ids as a reply cannot show */
        nest_put_words(e, job, fx, STEP_STDOUT, &words);
        fx_end_step(e, job, fx, "Success", STEP_OUTCOME_ASKED, "", &words);
    }
    calls_free(e, &f->call);
}

void refresh_spawn(struct engine *e, struct job *job, const struct fsm_effect *fx,
                   const struct document_unit *unit)
{
    AUTO(cJSON_Delete) cJSON *ids = NULL;
    struct refresh *f;
    struct err err;
    int r = read_ids(unit->inputs, &ids, &err);

    if (r < 0 && r != ERR_NOMEM) {
        nest_refuse_step(e, job, fx, err.text);
        return;
    }
    f = r == 0 ? calls_new(e, sizeof(*f)) : NULL;
    if (f == NULL) {
        (void)err_set(&err, ERR_NOMEM, "step of %s: out of memory", job->inst.id);
        engine_ask_suspend(e, &err);
        return;
    }
    f->call.done = refresh_done;
    f->e = e;
    f->generation = e->generation;
    (void)str_copy(f->job_id, sizeof(f->job_id), job->inst.id);
    f->effect_id = fx->id;
    f->ids = TAKE(ids);
    if (e->lookup == NULL)
        r = err_set(&err, ERR_STATE, "there is no service to ask for associations");
    else
        r = e->lookup->list_associations(e->lookup, on_associations, f, &err);
    if (r == 0)
        return;
    calls_free(e, &f->call);
    nest_refuse_step(e, job, fx, err.text);
}
