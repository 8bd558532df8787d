/* Answers on their way to the service: per job one after another in the order of their effects, at
 * most so many at once over all, again and again until they are taken or refused for good. */
#define LOG_MODULE "outbox"
#include "agent/engine_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/crashpoint.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/str.h"
#include "schema/reply.h"

bool outbox_is_answer(const struct job *job, uint8_t kind)
{
    if (job->inst.machine == &command_machine)
        return kind == COMMAND_FX_REPLY || kind == COMMAND_FX_ACKNOWLEDGE ||
               kind == COMMAND_FX_REPORT;
    return true; /* all effects of a delivery are */
}

static bool has_reply(const struct job *job, uint8_t kind)
{
    return job->inst.machine == &command_machine
               ? kind == COMMAND_FX_REPLY || kind == COMMAND_FX_REPORT
               : kind == DELIVERY_FX_REPLY;
}

static const struct fsm_effect *next_answer(const struct job *job)
{
    size_t i;

    for (i = 0; i < job->inst.n_effects; i++)
        if (job->inst.effects[i].id > job->sent_upto &&
            outbox_is_answer(job, job->inst.effects[i].kind))
            return &job->inst.effects[i];
    return NULL;
}

/* ---- what became of it, within a transaction ---- */

struct sent_item {
    struct item item;
    char job_id[FSM_ID_SIZE];
    int64_t effect_id;
    bool is_refused, has_reply;
    struct err err;
};

static int apply_sent(struct engine *e, struct item *item, struct err *err)
{
    struct sent_item *it = container_of(item, struct sent_item, item);
    struct job *job = engine_find_job(e, it->job_id);
    const struct fsm_effect *fx = job != NULL ? fsm_find_effect(&job->inst, it->effect_id) : NULL;
    const struct fsm_effect_kind *kind;
    struct fsm_event ev;
    int64_t now = clock_wall_ms();
    int r = 0;

    if (fx == NULL) {
        e->status.n_stale++;
        return 0;
    }
    kind = &job->inst.machine->effects[fx->kind];
    if (it->has_reply)
        r = e->journal->ops->end_reply(e->journal, it->effect_id,
                                       it->is_refused ? JOURNAL_REPLY_REFUSED : JOURNAL_REPLY_TAKEN,
                                       it->is_refused ? it->err.text : "", now, err);
    if (r < 0)
        return r;
    if (kind->done == FSM_NO_EVENT) { /* closes quietly */
        struct fsm_instance *inst = &job->inst;
        size_t i = (size_t)(fx - inst->effects);

        r = e->journal->ops->close_effects(e->journal, &it->effect_id, 1, now, err);
        memmove(inst->effects + i, inst->effects + i + 1,
                (inst->n_effects - i - 1) * sizeof(*inst->effects));
        inst->n_effects--;
        return r;
    }
    ev = engine_event(e, (uint8_t)kind->done, it->effect_id, NULL);
    if (it->is_refused) {
        ev.kind = job->inst.machine == &command_machine ? COMMAND_EV_REFUSED : DELIVERY_EV_REFUSED;
        ev.detail = it->err.text;
    }
    return engine_deliver(e, job, &ev, err);
}

static void finish_sent(struct engine *e, struct item *item, const struct err *err)
{
    (void)e;
    (void)err; /* not committed: the effect is still open and will be done again */
    free(container_of(item, struct sent_item, item));
}

/* ---- sending ---- */

struct sending {
    struct call call;
    struct engine *e;
    char job_id[FSM_ID_SIZE];
    int64_t effect_id;
    bool has_reply, is_lazy;
};

static void *new_call(struct engine *e, size_t size)
{
    struct call *c = calloc(1, size);

    if (c == NULL)
        return NULL;
    c->next = e->calls;
    if (c->next != NULL)
        c->next->prev = c;
    e->calls = c;
    return c;
}

static void free_call(struct engine *e, struct call *c)
{
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        e->calls = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    free(c); /* the head of its struct */
}

void outbox_free_calls(struct engine *e)
{
    while (e->calls != NULL)
        free_call(e, e->calls);
}

static void wait_in_line(struct engine *e, struct job *job)
{
    if (job->is_waiting)
        return;
    job->is_waiting = true;
    job->wait_next = NULL;
    if (e->wait_last != NULL)
        e->wait_last->wait_next = job;
    else
        e->wait_first = job;
    e->wait_last = job;
}

void outbox_forget(struct engine *e, struct job *job)
{
    struct job **at = &e->wait_first, *prev = NULL;

    if (!job->is_waiting)
        return;
    for (; *at != job; at = &(*at)->wait_next)
        prev = *at;
    *at = job->wait_next;
    if (e->wait_last == job)
        e->wait_last = prev;
    job->is_waiting = false;
}

/* Take up all in the line whose time has come; set the timer for the next of the others. */
static void serve_line(struct engine *e)
{
    int64_t now = clock_monotonic_us(), next = INT64_MAX;
    struct job *job, *following;

    for (job = e->wait_first; job != NULL && e->n_sending < ENGINE_MAX_SENDING; job = following) {
        following = job->wait_next;
        if (job->retry_at_us > now) {
            next = job->retry_at_us < next ? job->retry_at_us : next;
            continue;
        }
        outbox_forget(e, job);
        outbox_kick(e, job);
    }
    if (next != INT64_MAX && !e->is_stopping)
        (void)uv_timer_start(&e->retry_timer, e->retry_timer.timer_cb,
                             (uint64_t)((next - now) / 1000 + 1), 0);
}

void outbox_retry_timer(uv_timer_t *timer)
{
    serve_line(timer->data);
}

static void taken(struct engine *e, const struct sending *s, struct job *job, const struct err *err)
{
    struct sent_item *it = calloc(1, sizeof(*it));
    struct job *j;

    if (it == NULL) { /* as if no answer had come: it is sent again, with the same id */
        wait_in_line(e, job);
        return;
    }
    it->item = (struct item){.is_lazy = s->is_lazy, .apply = apply_sent, .finish = finish_sent};
    (void)str_copy(it->job_id, sizeof(it->job_id), s->job_id);
    it->effect_id = s->effect_id;
    it->has_reply = s->has_reply;
    it->is_refused = err != NULL;
    if (err != NULL) {
        it->err = *err;
        engine_note_error(e, err);
        log_error("%s: refused by the service: %s", s->job_id, err->text);
    }
    job->sent_upto = s->effect_id;
    if (job->backoff.n_failures > 0) { /* the way is open again: nobody else needs to wait */
        for (j = e->wait_first; j != NULL; j = j->wait_next)
            j->retry_at_us = 0;
        backoff_clear(&job->backoff);
    }
    engine_queue(e, &it->item);
}

static void on_done(void *ctx, const struct err *err)
{
    struct sending *s = ctx;
    struct engine *e = s->e;
    struct job *job = engine_find_job(e, s->job_id);
    uint32_t random;

    e->n_sending--;
    crashpoint("answer.after");
    if (job == NULL || e->is_suspended || fsm_find_effect(&job->inst, s->effect_id) == NULL) {
        free_call(e, &s->call);
        return;
    }
    job->is_sending = false;
    if (err == NULL || err_class_of(err->code) == ERR_CLASS_PERMANENT) {
        taken(e, s, job, err);
        outbox_kick(e, job);
    } else {
        ids_random(&random, sizeof(random));
        job->backoff.first_ms = 1000;
        job->backoff.cap_ms = e->config->backoff_cap_seconds * 1000;
        job->retry_at_us = clock_monotonic_us() + 1000 * backoff_fail_ms(&job->backoff, random);
        if (job->backoff.n_failures == 1)
            log_warning("%s: an answer was not taken, it will be sent again: %s", s->job_id,
                        err->text);
        engine_note_error(e, err);
        wait_in_line(e, job);
    }
    free_call(e, &s->call);
    serve_line(e);
}

static int send_reply(struct engine *e, struct link *l, struct job *job, struct sending *s,
                      struct err *err)
{
    struct journal_reply reply = {0};
    int r = e->journal->ops->get_reply(e->journal, s->effect_id, &reply, err);

    if (r == 0)
        r = l->reply(l, reply.message_id, reply.reply_id, reply.payload, on_done, s, err);
    (void)job;
    journal_reply_done(&reply);
    return r;
}

static int send_answer(struct engine *e, struct link *l, struct job *job,
                       const struct fsm_effect *fx, struct sending *s, struct err *err)
{
    if (s->has_reply)
        return send_reply(e, l, job, s, err);
    if (job->inst.machine == &delivery_machine && fx->kind == DELIVERY_FX_FAIL)
        return l->fail(l, job->message_id, on_done, s, err);
    return l->acknowledge(l, job->message_id, on_done, s, err);
}

void outbox_kick(struct engine *e, struct job *job)
{
    const struct fsm_effect *fx = next_answer(job);
    struct link *l = engine_link_of(e, job);
    struct sending *s;
    struct err err;

    if (fx == NULL || job->is_sending || job->is_waiting)
        return;
    if (e->n_sending >= ENGINE_MAX_SENDING) {
        wait_in_line(e, job);
        return;
    }
    s = new_call(e, sizeof(*s));
    if (s == NULL) {
        wait_in_line(e, job);
        return;
    }
    s->e = e;
    s->effect_id = fx->id;
    s->has_reply = has_reply(job, fx->kind);
    s->is_lazy = job->inst.machine->effects[fx->kind].is_lazy;
    (void)str_copy(s->job_id, sizeof(s->job_id), job->inst.id);
    if (l == NULL) { /* local: nobody to tell */
        taken(e, s, job, NULL);
        free_call(e, &s->call);
        outbox_kick(e, job);
        return;
    }
    crashpoint("answer.before");
    job->is_sending = true;
    e->n_sending++;
    if (send_answer(e, l, job, fx, s, &err) < 0)
        on_done(s, &err);
}

/* ---- known already ---- */

struct again {
    struct call call;
    struct engine *e;
    struct link *link;
    char message_id[200];
    struct journal_reply final; /* payload NULL: none is stored */
};

static void free_again(struct again *a)
{
    journal_reply_done(&a->final);
    free_call(a->e, &a->call);
}

static void after_final(void *ctx, const struct err *err)
{
    if (err != NULL)
        log_debug("the stored reply was not taken again: %s", err->text);
    free_again(ctx);
}

static void after_acknowledge(void *ctx, const struct err *err)
{
    struct again *a = ctx;
    struct err why;

    if (err != NULL || a->final.payload == NULL) {
        free_again(a);
        return;
    }
    if (a->link->reply(a->link, a->final.message_id, a->final.reply_id, a->final.payload,
                       after_final, a, &why) < 0)
        after_final(a, &why);
}

static void after_receipt(void *ctx, const struct err *err)
{
    struct again *a = ctx;
    struct err why;

    (void)err; /* the service will deliver it again if it did not take this */
    if (a->link->acknowledge(a->link, a->message_id, after_acknowledge, a, &why) < 0)
        after_acknowledge(a, &why);
}

/* A reply that says that the document itself was refused: such a message is never acknowledged
 * (spec 03, section 4). */
static bool is_rejection(const struct journal_reply *r)
{
    AUTO(reply_done) struct reply parsed = {0};

    return r->payload != NULL && reply_parse(r->payload, r->payload_len, &parsed, NULL) == 0 &&
           parsed.n_results == 0 && parsed.trace != NULL && parsed.trace[0] != '\0';
}

void outbox_answer_again(struct engine *e, const char *channel, const char *message_id,
                         const char *job_id, enum journal_known known)
{
    AUTO(buf_done) struct buf receipt = {0};
    char reply_id[UUID_SIZE];
    const struct job *job = engine_find_job(e, job_id);
    struct again *a;
    struct err err;
    size_t i;
    int r;

    if (job != NULL && next_answer(job) != NULL)
        return; /* its first answers are still to come */
    for (i = 0; i < e->n_links && !str_eq(e->links[i]->name, channel); i++)
        ;
    a = i < e->n_links ? new_call(e, sizeof(*a)) : NULL;
    if (a == NULL)
        return;
    a->e = e;
    a->link = e->links[i];
    (void)str_copy(a->message_id, sizeof(a->message_id), message_id);
    buf_init(&receipt, 16 * 1024);
    if (known == JOURNAL_ENDED &&
        e->journal->ops->get_final_reply(e->journal, job_id, &a->final, &err) < 0 &&
        err.code != ERR_NOT_FOUND)
        log_warning("message %s: its stored reply cannot be read: %s", message_id, err.text);
    if (is_rejection(&a->final)) {
        after_acknowledge(a, NULL);
        return;
    }
    ids_uuid4(reply_id);
    r = replies_build_receipt(e, &receipt, &err);
    if (r == 0)
        r = a->link->reply(a->link, message_id, reply_id, buf_str(&receipt), after_receipt, a,
                           &err);
    if (r < 0)
        after_final(a, &err);
}
