/* Orderings broken on purpose, for the negative controls of the suite (tests/crash/README.md).
 * Empty in every other build. */
#include "agent/engine_internal.h"

#define COMMIT_LATER_MS 200 /* so that the answer is out for sure */

#if defined(SSMD_BREAK_ACKNOWLEDGE_BEFORE_COMMIT)

#include <stdlib.h>

struct late {
    uv_timer_t timer;
    struct engine *engine;
    struct item *item;
};

static void free_late(uv_handle_t *handle)
{
    free(container_of((uv_timer_t *)(void *)handle, struct late, timer));
}

static void on_late(uv_timer_t *timer)
{
    struct late *late = container_of(timer, struct late, timer);

    engine_queue(late->engine, late->item);
    uv_close((uv_handle_t *)timer, free_late);
}

void broken_acknowledge_early(struct engine *e, const struct engine_message *m, const char *job_id,
                              struct item *item)
{
    struct late *late = calloc(1, sizeof(*late));

    if (late == NULL)
        abort();
    outbox_answer_again(e, m->channel, m->message_id, job_id, JOURNAL_OPEN, false);
    late->engine = e;
    late->item = item;
    (void)uv_timer_init(e->loop, &late->timer);
    (void)uv_timer_start(&late->timer, on_late, COMMIT_LATER_MS, 0);
}

#elif defined(SSMD_BREAK_REPLY_BEFORE_RESULT)

static struct {
    uv_timer_t timer;
    struct engine *engine;
    struct item *done;
    bool is_in_turn;
} late;

static void on_late(uv_timer_t *timer)
{
    struct err err = {0};
    int r = late.engine->journal->ops->commit(late.engine->journal, &err);

    late.is_in_turn = false;
    uv_close((uv_handle_t *)timer, NULL);
    engine_end_turn(late.engine, late.done, r, &err);
}

bool broken_reply_early(struct engine *e, struct item *done)
{
    size_t i;

    for (i = 0; i < e->n_todo; i++) {
        const struct performance *p = &e->todo[i];

        if (job_is_command(p->job) && p->effect.kind == COMMAND_FX_REPORT) {
            outbox_kick(e, p->job);
            late.is_in_turn = true;
        }
    }
    if (!late.is_in_turn)
        return false;
    late.engine = e;
    late.done = done;
    (void)uv_timer_init(e->loop, &late.timer);
    (void)uv_timer_start(&late.timer, on_late, COMMIT_LATER_MS, 0);
    return true;
}

bool broken_is_in_turn(void)
{
    return late.is_in_turn;
}

#else
typedef int broken_is_empty; /* ISO C wants something in a file */
#endif
