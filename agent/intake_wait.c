/* Messages whose documents need values of Parameter Store: they wait here, outside the journal,
 * until the values are there or are known not to come. Whatever ends the process meanwhile loses
 * nothing: nothing was acknowledged, and the service offers the message again. */
#define LOG_MODULE "intake"
#include "agent/engine_internal.h"

#include "base/log.h"
#include "base/str.h"

void wait_enter(struct engine *e, struct message_item *it)
{
    it->engine = e;
    it->wait_prev = NULL;
    it->wait_next = e->waiting;
    if (e->waiting != NULL)
        e->waiting->wait_prev = it;
    e->waiting = it;
    e->n_waiting++;
}

void wait_leave(struct engine *e, struct message_item *it)
{
    if (it->wait_prev != NULL)
        it->wait_prev->wait_next = it->wait_next;
    else
        e->waiting = it->wait_next;
    if (it->wait_next != NULL)
        it->wait_next->wait_prev = it->wait_prev;
    e->n_waiting--;
}

/* Nothing of these was accepted; the caller has unlinked them. */
static void drop(struct engine *e, struct message_item *it, const char *why)
{
    struct message_item *cancel;
    struct err err;

    (void)err_set(&err, ERR_STATE, "message %s is not taken: %s", it->m.message_id, why);
    while ((cancel = it->held) != NULL) {
        it->held = cancel->wait_next;
        cancel->item.finish(e, &cancel->item, &err);
    }
    it->item.finish(e, &it->item, &err);
}

static void judge_again(struct engine *e, struct message_item *it)
{
    struct message_item *cancel;

    document_references_done(&it->references);
    wait_leave(e, it);
    if (e->is_suspended) {
        drop(e, it, e->status.journal_text);
        return;
    }
    cancel = TAKE(it->held);
    engine_queue(e, &it->item);
    while (cancel != NULL) {
        struct message_item *next = cancel->wait_next;

        engine_queue(e, &cancel->item);
        cancel = next;
    }
}

static void on_values(void *ctx, cJSON *values, const struct err *err)
{
    struct message_item *it = ctx;

    it->fetch = NULL;
    it->values = values;
    if (err != NULL)
        it->failure = *err;
    judge_again(it->engine, it);
}

void wait_begin(struct engine *e, struct message_item *it)
{
    struct err err = {0};
    int r;

    if (e->parameters == NULL)
        r = err_set(&err, ERR_STATE, "there is no access to Parameter Store here");
    else
        r = e->parameters->fetch(e->parameters, it->references.names, it->references.n, on_values,
                                 it, &it->fetch, &err);
    if (r == 0) {
        log_info("message %s waits for %zu values of Parameter Store", it->m.message_id,
                 it->references.n);
        return;
    }
    it->failure = err;
    judge_again(e, it);
}

struct message_item *wait_find(const struct engine *e, const char *job_id)
{
    struct message_item *it;

    for (it = e->waiting; it != NULL; it = it->wait_next)
        if (str_eq(it->job_id, job_id))
            return it;
    return NULL;
}

void wait_hold(struct engine *e, struct message_item *it, struct message_item *cancel)
{
    const struct message_item *still = e->waiting;
    struct message_item **at = &it->held;
    struct err err;
    size_t n = 0;

    while (still != NULL && still != it)
        still = still->wait_next;
    if (still == NULL) { /* it is in the queue again, before this one */
        engine_queue(e, &cancel->item);
        return;
    }
    for (; *at != NULL; at = &(*at)->wait_next, n++)
        if (str_eq((*at)->m.message_id, cancel->m.message_id))
            break; /* the service offers it again and again until it is answered */
    if (*at != NULL || n >= ENGINE_MAX_HELD) {
        (void)err_set(&err, ERR_STATE, "message %s is not taken: its command waits for values",
                      cancel->m.message_id);
        cancel->item.finish(e, &cancel->item, &err);
        return;
    }
    cancel->wait_next = NULL;
    *at = cancel;
}

void wait_cancel_all(struct engine *e)
{
    struct message_item *it;

    while ((it = e->waiting) != NULL) {
        if (it->fetch != NULL)
            e->parameters->cancel(e->parameters, TAKE(it->fetch));
        document_references_done(&it->references); /* it waits no longer: its end leaves it alone */
        wait_leave(e, it);
        drop(e, it, "ssmd is stopping");
    }
}
