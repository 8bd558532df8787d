/* Answers on their way to the service: per job one at a time, at most so many at once over all,
 * again and again until they are taken or refused for good.
 *
 * A job has two lanes. The first tells the service that the message is here (receipt,
 * acknowledgement); the second tells what became of it (steps, end), in order, since the end of a
 * command of several steps does not repeat their results. The second waits for the first, but not
 * for ever: a result must not be lost because an acknowledgement is never taken. */
#define LOG_MODULE "outbox"
#include "agent/engine_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/crashpoint.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/str.h"
#include "schema/reply.h"

#define PATIENCE 3 /* failures of the first lane after which the second goes ahead */
#define FIRST_PAUSE_MS 1000

bool outbox_is_answer(const struct job *job, uint8_t kind)
{
    return job->ops->effects[kind].way != WAY_PERFORM;
}

static bool has_reply(const struct job *job, uint8_t kind)
{
    return job->ops->effects[kind].way == WAY_REPLY;
}

static enum lane_number lane_of(const struct job *job, const struct fsm_effect *fx)
{
    if (job_is_command(job) && fx->kind == COMMAND_FX_REPLY && fx->arg == COMMAND_REPLY_RECEIPT)
        return LANE_DELIVERY;
    return job->ops->effects[fx->kind].lane;
}

static const struct fsm_effect *next_in_lane(const struct job *job, enum lane_number n)
{
    size_t i;

    for (i = 0; i < job->inst.n_effects; i++) {
        const struct fsm_effect *fx = &job->inst.effects[i];

        if (outbox_is_answer(job, fx->kind) && lane_of(job, fx) == n &&
            fx->id > job->lanes[n].sent_upto)
            return fx;
    }
    return NULL;
}

/* What to send now, or NULL and in *ret_wait_until (microseconds, INT64_MAX: nothing waits) when to
 * ask again. */
static const struct fsm_effect *next_answer(const struct engine *e, const struct job *job,
                                            int64_t now, int64_t *ret_wait_until)
{
    const struct fsm_effect *first = next_in_lane(job, LANE_DELIVERY);
    const struct fsm_effect *second = next_in_lane(job, LANE_RESULT);
    int64_t until = INT64_MAX;

    if (first != NULL && job->lanes[LANE_DELIVERY].backoff.n_failures < PATIENCE)
        second = NULL;
    if (second != NULL && uploads_hold(e, job, second)) /* the end of the wait kicks the job */
        second = NULL;
    if (second != NULL && job->lanes[LANE_RESULT].retry_at_us <= now)
        return second;
    if (first != NULL && job->lanes[LANE_DELIVERY].retry_at_us <= now)
        return first;
    if (first != NULL)
        until = job->lanes[LANE_DELIVERY].retry_at_us;
    if (second != NULL && job->lanes[LANE_RESULT].retry_at_us < until)
        until = job->lanes[LANE_RESULT].retry_at_us;
    *ret_wait_until = until;
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
        r = e->journal->ops->close_effects(e->journal, &it->effect_id, 1, now, err);
        fsm_drop_effect(&job->inst, it->effect_id);
        return r;
    }
    ev = engine_event(e, (uint8_t)kind->done, it->effect_id, NULL);
    if (it->is_refused) {
        ev.kind = job->ops->refused;
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

/* ---- the line of those that wait ---- */

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
    for (; *at != NULL && *at != job; at = &(*at)->wait_next)
        prev = *at;
    if (*at == NULL) /* it is in the list: is_waiting says so */
        return;
    *at = job->wait_next;
    if (e->wait_last == job)
        e->wait_last = prev;
    job->is_waiting = false;
}

/* Take up all in the line whose time has come; set the timer for the next of the others. */
static void serve_line(struct engine *e)
{
    int64_t now = clock_monotonic_us(), next = INT64_MAX, until;
    struct job *job, *following;

    for (job = e->wait_first; job != NULL && e->n_sending < ENGINE_MAX_SENDING; job = following) {
        following = job->wait_next;
        if (next_answer(e, job, now, &until) == NULL && until != INT64_MAX) {
            next = until < next ? until : next;
            continue;
        }
        outbox_forget(e, job);
        outbox_kick(e, job);
    }
    if (next != INT64_MAX && !e->is_stopping && !e->is_suspended)
        (void)uv_timer_start(&e->retry_timer, e->retry_timer.timer_cb,
                             (uint64_t)(next > now ? (next - now) / 1000 + 1 : 1), 0);
}

void outbox_retry_timer(uv_timer_t *timer)
{
    serve_line(timer->data);
}

/* The way to the service is open again: nobody in the line needs to wait any longer. */
static void open_way(struct engine *e)
{
    struct job *j;

    if (!e->is_way_closed)
        return;
    e->is_way_closed = false;
    if (e->courier != NULL)
        courier_wake(e->courier);
    for (j = e->wait_first; j != NULL; j = j->wait_next)
        j->lanes[LANE_DELIVERY].retry_at_us = j->lanes[LANE_RESULT].retry_at_us = 0;
    (void)uv_timer_start(&e->retry_timer, e->retry_timer.timer_cb, 0, 0);
}

void engine_way_opened(struct engine *e)
{
    e->is_way_closed = true; /* for some of those in the line it was */
    if (!e->is_stopping && !e->is_suspended)
        open_way(e);
}

/* ---- sending ---- */

/* The link that takes an answer: the channel that its message came by (spec 03, section 6.5). When
 * that one is away and another is up, a reply goes there, rather than that a result be late for as
 * long as a channel is denied. A refusal there says nothing: see on_done. */
static struct link *way_of(const struct engine *e, const struct job *job, bool has_reply)
{
    struct link *own = engine_link_of(e, job);
    size_t i;

    if (own == NULL || !has_reply || link_state_of(own) != LINK_AWAY)
        return own;
    for (i = 0; i < e->n_links; i++)
        if (link_state_of(e->links[i]) == LINK_UP)
            return e->links[i];
    return own;
}

struct sending {
    struct call call;
    struct engine *e;
    char job_id[FSM_ID_SIZE];
    int64_t effect_id;
    enum lane_number lane;
    unsigned generation;
    bool has_reply, is_lazy;
    bool is_other_way; /* not by the channel that its message came by */
};

/* The line is looked at then at the latest. Who failed to even begin has nobody else to call it. */
static void wake_line_at(struct engine *e, int64_t at_us)
{
    int64_t now = clock_monotonic_us();
    uint64_t delay_ms = at_us > now ? (uint64_t)(at_us - now) / 1000 + 1 : 1;

    if (e->is_stopping || e->is_suspended ||
        (uv_is_active((uv_handle_t *)&e->retry_timer) &&
         uv_timer_get_due_in(&e->retry_timer) <= delay_ms))
        return;
    uv_update_time(e->loop);
    (void)uv_timer_start(&e->retry_timer, e->retry_timer.timer_cb, delay_ms, 0);
}

static void try_later(struct engine *e, struct job *job, enum lane_number n, const struct err *err)
{
    struct lane *lane = &job->lanes[n];

    lane->backoff.first_ms = FIRST_PAUSE_MS;
    lane->backoff.cap_ms = e->config->backoff_cap_seconds * 1000;
    lane->retry_at_us =
        clock_monotonic_us() + 1000 * backoff_fail_ms(&lane->backoff, ids_random32());
    if (lane->backoff.n_failures == 1) { /* said once: an hour offline must not hide all else */
        log_warning("%s: an answer was not taken, it will be sent again: %s", job->inst.id,
                    err->text);
        engine_note_error(e, err);
    }
    wait_in_line(e, job);
    wake_line_at(e, lane->retry_at_us);
}

/* Taken, or refused for good when err is not NULL. */
static void taken(struct engine *e, const struct sending *s, struct job *job, const struct err *err)
{
    struct sent_item *it = calloc(1, sizeof(*it));
    struct err why;

    if (it == NULL) { /* as if no answer had come: it is sent again, with the same id */
        (void)err_set(&why, ERR_NOMEM, "result of an answer: out of memory");
        try_later(e, job, s->lane, &why);
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
    job->lanes[s->lane].sent_upto = s->effect_id;
    backoff_clear(&job->lanes[s->lane].backoff);
    engine_queue(e, &it->item);
}

static void on_done(void *ctx, enum link_end end, const struct err *err)
{
    struct sending *s = ctx;
    struct engine *e = s->e;
    struct job *job = s->generation == e->generation ? engine_find_job(e, s->job_id) : NULL;

    if (end == LINK_REFUSED && s->is_other_way) /* its own channel may still take it */
        end = LINK_AGAIN;
    e->n_sending--;
    crashpoint("answer.after");
    if (end == LINK_TAKEN)
        open_way(e);
    else if (end == LINK_AGAIN)
        e->is_way_closed = true;
    if (job != NULL &&
        !e->is_suspended) { /* else the journal was read again since: this is not known */
        job->is_sending = false;
        if (fsm_find_effect(&job->inst, s->effect_id) == NULL)
            e->status.n_stale++;
        else if (end != LINK_AGAIN)
            taken(e, s, job, err);
        else
            try_later(e, job, s->lane, err);
        outbox_kick(e, job);
    }
    calls_free(e, &s->call);
    serve_line(e);
}

static int send_reply(struct engine *e, struct link *l, const struct job *job, struct sending *s,
                      struct err *err)
{
    bool is_command = job_is_command(job);
    struct journal_reply reply = {0};
    int r = e->journal->ops->get_reply(e->journal, s->effect_id, &reply, err);

    if (r == 0) {
        const struct link_reply lr = {
            .message_id = reply.message_id,
            .reply_id = reply.reply_id,
            .payload = reply.payload,
            .is_receipt = str_eq(reply.kind, "receipt"),
            .is_cancel = !is_command,
            .is_rejection = is_command && command_of(&job->inst)->n_plugins == 0,
        };

        r = l->reply(l, &lr, on_done, s, err);
    }
    journal_reply_done(&reply);
    return r;
}

static int send_answer(struct engine *e, struct link *l, const struct job *job, uint8_t kind,
                       struct sending *s, struct err *err)
{
    if (s->has_reply)
        return send_reply(e, l, job, s, err);
    if (job->ops->effects[kind].way == WAY_FAIL)
        return l->fail(l, job->message_id, on_done, s, err);
    return l->acknowledge(l, job->message_id, LINK_ACCEPTED, on_done, s, err);
}

void outbox_kick(struct engine *e, struct job *job)
{
    int64_t until;
    const struct fsm_effect *fx = next_answer(e, job, clock_monotonic_us(), &until);
    struct link *l;
    struct sending *s;
    struct err err;

    if (job->is_sending || job->is_waiting || (fx == NULL && until == INT64_MAX))
        return;
    if (fx == NULL || e->n_sending >= ENGINE_MAX_SENDING) {
        wait_in_line(e, job);
        return;
    }
    s = calls_new(e, sizeof(*s));
    if (s == NULL) {
        (void)err_set(&err, ERR_NOMEM, "answer: out of memory");
        try_later(e, job, lane_of(job, fx), &err);
        return;
    }
    s->e = e;
    s->effect_id = fx->id;
    s->lane = lane_of(job, fx);
    s->generation = e->generation;
    s->has_reply = has_reply(job, fx->kind);
    s->is_lazy = job->inst.machine->effects[fx->kind].is_lazy;
    l = way_of(e, job, s->has_reply);
    s->is_other_way = l != engine_link_of(e, job);
    (void)str_copy(s->job_id, sizeof(s->job_id), job->inst.id);
    if (str_eq(engine_channel_of(job), ENGINE_LOCAL_CHANNEL)) { /* nobody to tell */
        taken(e, s, job, NULL);
        calls_free(e, &s->call);
        outbox_kick(e, job);
        return;
    }
    crashpoint("answer.before");
    if (l == NULL)
        (void)err_set(&err, ERR_STATE, "%s: its channel %s is not served by this ssmd",
                      job->inst.id, engine_channel_of(job));
    else if (send_answer(e, l, job, fx->kind, s, &err) == 0) {
        job->is_sending = true;
        e->n_sending++;
        return;
    }
    try_later(e, job, s->lane, &err); /* our own trouble: the service has refused nothing */
    calls_free(e, &s->call);
}

/* ---- known already ---- */

struct again {
    struct call call;
    struct engine *e;
    struct link *link;
    char message_id[JOURNAL_MESSAGE_ID_SIZE];
    struct journal_reply final; /* payload NULL: none is stored */
};

static void again_done(struct call *c)
{
    struct again *a = container_of(c, struct again, call);

    a->e->n_again--;
    journal_reply_done(&a->final);
}

static void after_final(void *ctx, enum link_end end, const struct err *err)
{
    struct again *a = ctx;

    if (end != LINK_TAKEN)
        log_debug("message %s came again; an answer was not taken: %s", a->message_id, err->text);
    calls_free(a->e, &a->call);
}

static void after_acknowledge(void *ctx, enum link_end end, const struct err *err)
{
    struct again *a = ctx;
    const struct link_reply lr = {.message_id = a->final.message_id,
                                  .reply_id = a->final.reply_id,
                                  .payload = a->final.payload};
    struct err why;

    if (end != LINK_TAKEN || a->final.payload == NULL)
        after_final(a, end, err);
    else if (a->link->reply(a->link, &lr, after_final, a, &why) < 0)
        after_final(a, LINK_AGAIN, &why);
}

static void acknowledge_again(struct again *a, enum link_verdict verdict)
{
    struct err why;

    if (a->link->acknowledge(a->link, a->message_id, verdict, after_acknowledge, a, &why) < 0)
        after_acknowledge(a, LINK_AGAIN, &why);
}

static void after_receipt(void *ctx, enum link_end end, const struct err *err)
{
    (void)end; /* the service will deliver it again if it did not take this */
    (void)err;
    acknowledge_again(ctx, LINK_DUPLICATE);
}

/* A reply that says that the document itself was refused: on ec2messages such a message is never
 * acknowledged (spec 03, section 4). */
static bool is_rejection(const struct journal_reply *r)
{
    AUTO(reply_done) struct reply parsed = {0};

    return r->payload != NULL && reply_parse(r->payload, r->payload_len, &parsed, NULL) == 0 &&
           parsed.n_results == 0 && parsed.trace != NULL && parsed.trace[0] != '\0';
}

static int send_receipt_again(struct again *a, struct err *err)
{
    AUTO(buf_done) struct buf receipt = {0};
    char reply_id[UUID_SIZE];
    struct link_reply lr = {.message_id = a->message_id, .reply_id = reply_id, .is_receipt = true};
    int r;

    buf_init(&receipt, 16384);
    ids_uuid4(reply_id);
    r = replies_build_receipt(a->e, a->link->name, &receipt, err);
    lr.payload = buf_str(&receipt);
    return r < 0 ? r : a->link->reply(a->link, &lr, after_receipt, a, err);
}

static void answer_again(struct again *a, bool is_unhandled)
{
    struct err err;

    if (a->link->has_verdicts) {
        acknowledge_again(a,
                          is_unhandled || is_rejection(&a->final) ? LINK_REJECTED : LINK_DUPLICATE);
    } else if (is_unhandled) {
        if (a->link->fail(a->link, a->message_id, after_final, a, &err) < 0)
            after_final(a, LINK_AGAIN, &err);
    } else if (is_rejection(&a->final)) {
        after_acknowledge(a, LINK_TAKEN, NULL);
    } else if (send_receipt_again(a, &err) < 0) {
        after_final(a, LINK_AGAIN, &err);
    }
}

/* By the channel that its message came by first: it has its own answers, and they say more. */
static bool has_answers_to_come(const struct job *job, const struct link *l)
{
    if (!str_eq(engine_channel_of(job), l->name))
        return false;
    if (l->has_verdicts) /* the acknowledgement that is to come is of every delivery */
        return next_in_lane(job, LANE_DELIVERY) != NULL;
    return next_in_lane(job, LANE_DELIVERY) != NULL || next_in_lane(job, LANE_RESULT) != NULL ||
           job->is_sending;
}

void outbox_answer_again(struct engine *e, const char *channel, const char *message_id,
                         const char *job_id, enum journal_known known, bool is_unhandled)
{
    const struct job *job = engine_find_job(e, job_id);
    struct link *l = engine_link_named(e, channel);
    struct again *a;
    struct err err;

    if (l == NULL || e->n_again >= ENGINE_MAX_SENDING ||
        (job != NULL && has_answers_to_come(job, l)))
        return; /* its answers are still to come, or it will come once more */
    a = calls_new(e, sizeof(*a));
    if (a == NULL)
        return;
    e->n_again++;
    a->call.done = again_done;
    a->e = e;
    a->link = l;
    (void)str_copy(a->message_id, sizeof(a->message_id), message_id);
    if (known == JOURNAL_ENDED &&
        e->journal->ops->get_final_reply(e->journal, job_id, &a->final, &err) < 0 &&
        err.code != ERR_NOT_FOUND)
        log_warning("message %s: its stored reply cannot be read: %s", message_id, err.text);
    answer_again(a, is_unhandled);
}
