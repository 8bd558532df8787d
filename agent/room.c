/* Room for a step: its directory is made in the turn that promises its start, so that one that is
 * missing later in the same boot was removed by somebody, and with it the evidence of what ran.
 *
 * Where there is no room (full disk, no descriptors), the promise stands and the journal says that
 * the directory is still to be made: a fact of the job, in the same commit. It is forgotten in a
 * commit of its own once the directory is there, and only then is the step started; so at no moment
 * can a step that ran be taken for one whose directory was never made. Other commands go on. */
#define LOG_MODULE "steps"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine_internal.h"
#include "base/str.h"

#define FACT_PREFIX "unmade "
#define FACT_SIZE (sizeof(FACT_PREFIX) + FSM_ID_SIZE)

static void name_fact(const struct job *job, char ret_key[FACT_SIZE])
{
    (void)snprintf(ret_key, FACT_SIZE, FACT_PREFIX "%s", job->inst.id); /* fits */
}

static void name_attempt(const struct fsm_effect *fx, char *ret_text, size_t size)
{
    (void)snprintf(ret_text, size, "%" PRId64 ".%" PRId64, fx->arg, fx->arg2);
}

static int try_to_make(struct engine *e, const struct job *job, const struct fsm_effect *fx,
                       struct err *err)
{
    const struct step_key key = {
        .job_id = job->inst.id, .step = (int)fx->arg, .attempt = (int)fx->arg2};

    return steps_prepare(e->steps, &key, err);
}

int room_prepare(struct engine *e, struct job *job, const struct fsm_effect *fx, struct err *err)
{
    char key[FACT_SIZE], attempt[48];
    struct err why;

    /* The evidence of a nested document or an update is the journal's, and the steps of a document
     * have rooms of their own. */
    if (command_unit_at(&job->inst, (size_t)fx->arg)->kind != COMMAND_UNIT_PROCESS)
        return 0;
    if (try_to_make(e, job, fx, &why) == 0)
        return 0;
    log_debug("%s: step %" PRId64 ": %s", job->inst.id, fx->arg, why.text); /* its start says it */
    name_fact(job, key);
    name_attempt(fx, attempt, sizeof(attempt));
    job->unmade_effect = fx->id;
    return e->journal->ops->put_fact(e->journal, key, attempt, err);
}

int room_tidy(struct engine *e, struct job *job, struct err *err)
{
    char key[FACT_SIZE];

    if (job->unmade_effect == 0 || fsm_find_effect(&job->inst, job->unmade_effect) != NULL)
        return 0;
    job->unmade_effect = 0;
    name_fact(job, key);
    return e->journal->ops->put_fact(e->journal, key, NULL, err);
}

int room_load(struct engine *e, struct job *job, const struct fsm_effect *fx, struct err *err)
{
    AUTO(buf_done) struct buf value = {0};
    char key[FACT_SIZE], attempt[48];
    int r;

    buf_init(&value, sizeof(attempt));
    name_fact(job, key);
    r = e->journal->ops->get_fact(e->journal, key, &value, err);
    if (r == ERR_NOT_FOUND)
        return 0;
    name_attempt(fx, attempt, sizeof(attempt));
    if (r == 0 && str_eq(buf_str(&value), attempt))
        job->unmade_effect = fx->id;
    return r;
}

/* ---- made after all ---- */

struct made_item {
    struct item item;
    char job_id[FSM_ID_SIZE];
    int64_t effect_id;
};

static int apply_made(struct engine *e, struct item *item, struct err *err)
{
    const struct made_item *it = container_of(item, struct made_item, item);
    struct job *job = engine_find_job(e, it->job_id);
    char key[FACT_SIZE];

    if (job == NULL || job->unmade_effect != it->effect_id)
        return 0; /* it was stopped meanwhile */
    job->unmade_effect = 0;
    name_fact(job, key);
    return e->journal->ops->put_fact(e->journal, key, NULL, err);
}

static void finish_made(struct engine *e, struct item *item, const struct err *err)
{
    struct made_item *it = container_of(item, struct made_item, item);
    struct job *job = err == NULL ? engine_find_job(e, it->job_id) : NULL;
    const struct fsm_effect *fx = job != NULL ? fsm_find_effect(&job->inst, it->effect_id) : NULL;
    struct fsm_effect copy;

    if (fx != NULL && !e->is_stopping) { /* else the next start asks what became of it */
        copy = *fx;
        fx_spawn(e, job, &copy);
    }
    free(it);
}

int room_make(struct engine *e, struct job *job, const struct fsm_effect *fx, struct err *err)
{
    struct made_item *it;
    int r = try_to_make(e, job, fx, err);

    if (r < 0)
        return r;
    it = calloc(1, sizeof(*it));
    if (it == NULL)
        return err_set(err, ERR_NOMEM, "start of %s: out of memory", job->inst.id);
    it->item = (struct item){.apply = apply_made, .finish = finish_made};
    (void)str_copy(it->job_id, sizeof(it->job_id), job->inst.id);
    it->effect_id = fx->id;
    engine_queue(e, &it->item);
    return 0;
}
