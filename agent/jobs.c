/* The table of open jobs: found by id, walked from the oldest on. */
#include "agent/engine_internal.h"
#include "agent/update.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static size_t bucket_of(const char *id)
{
    uint32_t h = 2166136261u; /* FNV-1a */

    for (; *id != '\0'; id++)
        h = (h ^ (unsigned char)*id) * 16777619u;
    return h % ENGINE_BUCKETS;
}

struct job *engine_find_job(const struct engine *e, const char *job_id)
{
    struct job *j;

    for (j = e->buckets[bucket_of(job_id)]; j != NULL; j = j->bucket_next)
        if (str_eq(j->inst.id, job_id))
            return j;
    return NULL;
}

struct job *jobs_insert(struct engine *e, struct fsm_instance *inst, const char *message_id)
{
    struct job *job = calloc(1, sizeof(*job)), **bucket;

    assert(machines_find(inst->machine) != NULL); /* who loads or makes instances has asked */
    if (job == NULL || (job->message_id = strdup(message_id)) == NULL) {
        free(job);
        return NULL;
    }
    job->inst = *inst;
    job->ops = machines_find(inst->machine);
    *inst = (struct fsm_instance){.machine = inst->machine};
    bucket = &e->buckets[bucket_of(job->inst.id)];
    job->bucket_next = *bucket;
    *bucket = job;
    job->prev = e->last;
    if (e->last != NULL)
        e->last->next = job;
    else
        e->first = job;
    e->last = job;
    e->n_jobs++;
    return job;
}

void jobs_free(struct engine *e, struct job *job)
{
    struct job **at = &e->buckets[bucket_of(job->inst.id)];

    while (*at != job)
        at = &(*at)->bucket_next;
    *at = job->bucket_next;
    if (job->prev != NULL)
        job->prev->next = job->next;
    else
        e->first = job->next;
    if (job->next != NULL)
        job->next->prev = job->prev;
    else
        e->last = job->prev;
    e->n_jobs--;
    outbox_forget(e, job);
    updates_forget(e, job);
    task_free(job->task);
    free(job->message_id);
    fsm_instance_done(&job->inst);
    free(job);
}

int engine_add_job(struct engine *e, struct fsm_instance *inst, const char *message_id,
                   struct job **ret_job, struct err *err)
{
    struct job *job = jobs_insert(e, inst, message_id);
    int r;

    if (job == NULL)
        return err_set(err, ERR_NOMEM, "job %s: out of memory", inst->id);
    r = e->journal->ops->put_instance(e->journal, &job->inst, err);
    if (r < 0)
        return r; /* the turn fails, and with it everything in memory goes */
    *ret_job = job;
    return 0;
}

const char *engine_channel_of(const struct job *job)
{
    return job->ops->channel(&job->inst);
}

struct link *engine_link_named(const struct engine *e, const char *name)
{
    size_t i;

    for (i = 0; i < e->n_links; i++)
        if (str_eq(e->links[i]->name, name))
            return e->links[i];
    return NULL;
}

struct link *engine_link_of(const struct engine *e, const struct job *job)
{
    return engine_link_named(e, engine_channel_of(job));
}
