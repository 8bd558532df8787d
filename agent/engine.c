/* The interpreter's turn: gather, decide, commit, perform. */
#define LOG_MODULE "engine"
#define FILES_PER_ATTEMPT 6 /* directory, script, record, two outputs, an order to stop */
#include "agent/engine_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/update.h"
#include "base/crashpoint.h"
#include "base/log.h"
#include "base/str.h"
#include "fsm/upload.h"

/* ---- the queue ---- */

void engine_queue(struct engine *e, struct item *item)
{
    item->next = NULL;
    *e->tail = item;
    e->tail = &item->next;
    if (!item->is_lazy)
        e->n_urgent++;
    else if (!uv_is_active((uv_handle_t *)&e->lazy_timer) && !e->is_stopping && !e->is_suspended)
        (void)uv_timer_start(&e->lazy_timer, e->lazy_timer.timer_cb, ENGINE_LAZY_MS, 0);
}

struct item *engine_pop(struct engine *e)
{
    struct item *item = e->head;

    if (item == NULL)
        return NULL;
    e->head = item->next;
    if (e->head == NULL)
        e->tail = &e->head;
    if (!item->is_lazy)
        e->n_urgent--;
    return item;
}

struct event_item {
    struct item item;
    char job_id[FSM_ID_SIZE];
    uint8_t kind;
    int64_t effect_id;
    int64_t due_boottime_ms; /* the deadline that this says is over, or 0 */
    bool has_text;
    char text[512];
    engine_accepted_fn done; /* or NULL */
    void *ctx;
};

struct fsm_event engine_event(const struct engine *e, uint8_t kind, int64_t effect_id,
                              const void *detail)
{
    return (struct fsm_event){.kind = kind,
                              .effect_id = effect_id,
                              .at_unix_ms = clock_wall_ms(),
                              .boot_id = e->boot_id,
                              .detail = detail};
}

static int apply_event(struct engine *e, struct item *item, struct err *err)
{
    struct event_item *it = container_of(item, struct event_item, item);
    struct job *job = engine_find_job(e, it->job_id);
    struct fsm_event ev = engine_event(e, it->kind, it->effect_id, it->has_text ? it->text : NULL);

    if (job == NULL) {
        e->status.n_stale++;
        return 0;
    }
    if (it->due_boottime_ms != 0) { /* of that deadline alone: a transition may have renewed it */
        if (job->inst.deadline.boottime_ms != it->due_boottime_ms) {
            e->status.n_stale++;
            return 0;
        }
        job->inst.deadline.boottime_ms = clock_boottime_ms() + job->inst.deadline.after_ms;
    }
    return engine_deliver(e, job, &ev, err);
}

static void finish_event(struct engine *e, struct item *item, const struct err *err)
{
    struct event_item *it = container_of(item, struct event_item, item);

    (void)e;
    if (it->done != NULL) /* others need no answer: recovery goes by open effects */
        it->done(it->ctx, it->job_id, err);
    free(it);
}

static struct event_item *new_event(const char *job_id, uint8_t kind, int64_t effect_id,
                                    bool is_lazy, const char *text)
{
    struct event_item *it = calloc(1, sizeof(*it));

    if (it == NULL)
        return NULL;
    it->item = (struct item){.is_lazy = is_lazy, .apply = apply_event, .finish = finish_event};
    (void)str_copy(it->job_id, sizeof(it->job_id), job_id);
    it->kind = kind;
    it->effect_id = effect_id;
    it->has_text = text != NULL;
    if (text != NULL)
        (void)str_copy(it->text, sizeof(it->text), text); /* cut is fine: it is for people */
    return it;
}

/* Without this event the journal's truth is needed again. */
static void miss_event(struct engine *e, const char *job_id)
{
    struct err err;

    (void)err_set(&err, ERR_NOMEM, "event for %s: out of memory", job_id);
    engine_ask_suspend(e, &err);
}

void engine_queue_event(struct engine *e, const char *job_id, uint8_t kind, int64_t effect_id,
                        bool is_lazy, const char *text)
{
    struct event_item *it = new_event(job_id, kind, effect_id, is_lazy, text);

    if (it != NULL)
        engine_queue(e, &it->item);
    else
        miss_event(e, job_id);
}

void engine_queue_overdue(struct engine *e, struct job *job, uint8_t kind)
{
    const char *text =
        job->ops->overdue_text != NULL ? job->ops->overdue_text(job) : "it did not come in time";
    struct event_item *it = new_event(job->inst.id, kind, 0, false, text);

    if (it == NULL) {
        miss_event(e, job->inst.id);
        return;
    }
    it->due_boottime_ms = job->overdue_ms = job->inst.deadline.boottime_ms;
    engine_queue(e, &it->item);
}

/* ---- deciding ---- */

static int remember(struct engine *e, struct job *job, const struct fsm_effect *fx)
{
    struct performance *p;

    if (e->n_todo == e->cap_todo) {
        size_t cap = e->cap_todo == 0 ? 64 : e->cap_todo * 2;

        p = realloc(e->todo, cap * sizeof(*p));
        if (p == NULL)
            return ERR_NOMEM;
        e->todo = p;
        e->cap_todo = cap;
    }
    e->todo[e->n_todo++] = (struct performance){.job = job, .effect = *fx};
    return 0;
}

void engine_set_deadline(const struct engine *e, struct fsm_instance *inst, int64_t after_ms)
{
    inst->deadline = (struct fsm_deadline){.after_ms = after_ms};
    if (after_ms == 0)
        return;
    (void)str_copy(inst->deadline.boot_id, sizeof(inst->deadline.boot_id), e->boot_id);
    inst->deadline.boottime_ms = clock_boottime_ms() + after_ms;
}

/* Give the opened effects their ids and put what they need into the journal. */
static int adopt_effects(struct engine *e, struct job *job, struct err *err)
{
    struct fsm_out *out = &e->out;
    size_t i;
    int r;

    for (i = 0; i < out->n_opens; i++)
        out->opens[i].id = ++e->last_effect_id;
    if (fsm_adopt(&job->inst, out) < 0)
        return err_set(err, ERR_NOMEM, "%s %s: out of memory", job->inst.machine->name,
                       job->inst.id);
    for (i = 0; i < out->n_opens; i++) {
        r = remember(e, job, &out->opens[i]);
        if (r < 0)
            return err_set(err, r, "%s %s: out of memory", job->inst.machine->name, job->inst.id);
    }
    return 0;
}

/* What an effect needs when it is performed is journaled with it: a step's room, a reply's text. */
static int put_belongings(struct engine *e, struct job *job, const struct fsm_effect *opens,
                          size_t n, struct err *err)
{
    size_t i;
    int r;

    for (i = 0; i < n; i++) {
        if (job_is_command(job) && opens[i].kind == COMMAND_FX_SPAWN)
            r = room_prepare(e, job, &opens[i], err);
        else
            r = replies_put(e, job, &opens[i], err);
        if (r < 0)
            return r;
#ifdef SSMD_BREAK_SPAWN_BEFORE_COMMIT /* negative control: the world changes before the journal    \
                                         knows */
        if (job_is_command(job) && opens[i].kind == COMMAND_FX_SPAWN)
            engine_perform(e, job, &opens[i], false);
#endif
    }
    return 0;
}

static int journal_move(struct engine *e, struct job *job, const struct fsm_event *ev,
                        struct err *err)
{
    struct fsm_instance *inst = &job->inst;
    const struct fsm_out *out = &e->out;
    const struct journal_transition t = {
        .inst = inst,
        .event = inst->machine->events[ev->kind],
        .from = inst->machine->states[out->from].name,
        .detail = out->detail,
        .at_unix_ms = ev->at_unix_ms,
        .opens = out->opens,
        .n_opens = out->n_opens,
        .closes = out->closes,
        .n_closes = out->n_closes,
        .child_lo = out->child_lo,
        .child_hi = out->child_hi,
    };
    int r = e->journal->ops->put_transition(e->journal, &t, err);

    if (r < 0)
        return r;
    story_add(e, LOG_INFO, "%s %s: %s --%s--> %s%s%.*s", inst->machine->name, inst->id, t.from,
              t.event, fsm_state_name(inst), t.detail[0] != '\0' ? "  " : "",
              (int)strcspn(t.detail, ";"), t.detail); /* hashes are for the journal */
    r = room_tidy(e, job, err);
    if (r == 0 && job_is_command(job) &&
        (out->from == COMMAND_REBOOTING) != (inst->state == COMMAND_REBOOTING))
        r = fx_keep_reboot_intent(e, err);
    return r < 0 ? r : put_belongings(e, job, out->opens, out->n_opens, err);
}

/* A command's step may have begun or ended, and with it the way of its output; e->out is free for
 * that from here on. */
static int follow_output(struct engine *e, struct job *job, struct err *err)
{
    size_t lo = e->out.child_lo, hi = e->out.child_hi;

    if (job_is_command(job))
        return uploads_follow(e, job, lo, hi, err);
    if (job->inst.machine != &upload_machine)
        return 0;
    job->has_moved = true;
    return uploads_tidy(e, job, err);
}

int engine_deliver(struct engine *e, struct job *job, const struct fsm_event *ev, struct err *err)
{
    struct fsm_instance *inst = &job->inst;
    struct fsm_event runaway;
    int r;

    if (jobs_is_set_aside(e, inst->id))
        return 0;
    (void)str_copy(e->culprit, sizeof(e->culprit), inst->id); /* if this fails, it is this one */
    switch (fsm_step(inst, ev, &e->out)) {
    case FSM_MOVED:
        if (e->out.deadline_ms != FSM_KEEP_DEADLINE)
            engine_set_deadline(e, inst, e->out.deadline_ms);
        r = adopt_effects(e, job, err);
        if (r == 0)
            r = journal_move(e, job, ev, err);
        if (fsm_is_terminal(inst))
            job->is_ended = true;
        return r < 0 ? r : follow_output(e, job, err);
    case FSM_IGNORED:
        if (e->out.n_closes == 0)
            return 0;
        return e->journal->ops->close_effects(e->journal, e->out.closes, e->out.n_closes,
                                              ev->at_unix_ms, err);
    case FSM_STALE:
        e->status.n_stale++;
        log_debug("%s %s: late %s", inst->machine->name, inst->id, inst->machine->events[ev->kind]);
        return 0;
    case FSM_RUNAWAY:
        story_add(e, LOG_ERROR, "%s %s: %" PRId64 " transitions: ended", inst->machine->name,
                  inst->id, inst->n_transitions);
        runaway = engine_event(e, (uint8_t)inst->machine->runaway, 0, NULL);
        return engine_deliver(e, job, &runaway, err);
    case FSM_UNEXPECTED:
    default:
        e->status.n_unexpected++;
        log_error("%s %s: event %s is not expected in state %s; ignored", inst->machine->name,
                  inst->id, inst->machine->events[ev->kind], fsm_state_name(inst));
        return 0;
    }
}

/* ---- performing ---- */

void engine_perform(struct engine *e, struct job *job, const struct fsm_effect *fx, bool is_restart)
{
    char name[64];

    if (job_is_command(job) && command_is_nested(&job->inst) &&
        fx->kind == COMMAND_FX_REPORT) { /* told to the step that ran it */
        nest_report(e, job, fx);
        return;
    }
    if (outbox_is_answer(job, fx->kind)) { /* in order of their ids, one at a time */
        outbox_kick(e, job);
        return;
    }
    (void)snprintf(name, sizeof(name), "effect.%s.before",
                   job->inst.machine->effects[fx->kind].name);
    crashpoint(name);
    job->ops->effects[fx->kind].perform(e, job, fx, is_restart);
    (void)snprintf(name, sizeof(name), "effect.%s.after",
                   job->inst.machine->effects[fx->kind].name);
    crashpoint(name);
}

/* ---- the turn ---- */

static size_t count_busy(const struct engine *e)
{
    size_t n = 0;
    const struct job *j;

    for (j = e->first; j != NULL; j = j->next)
        n += job_is_command(j) && !command_is_nested(&j->inst) &&
             (j->inst.state == COMMAND_RUNNING || j->inst.state == COMMAND_STOPPING);
    return n;
}

/* What a command leaves at most: its directory, and that of each attempt with all that may be in it
 * (docs/internals/runner.md). */
static int64_t most_files(const struct job *j)
{
    int64_t n = 1;
    size_t i;

    if (!job_is_command(j))
        return 0;
    for (i = 0; i < j->inst.n_children; i++) {
        const struct command_unit *u = command_unit_at(&j->inst, i);

        if (u->kind == COMMAND_UNIT_PROCESS)
            n += FILES_PER_ATTEMPT * (u->attempt > 1 ? u->attempt : 1);
    }
    return n;
}

static int64_t most_open_files(const struct engine *e)
{
    int64_t n = 0;
    const struct job *j;

    for (j = e->first; j != NULL; j = j->next)
        if (job_is_command(j) && j->inst.state != COMMAND_QUEUED)
            n += most_files(j);
    return n;
}

/* Is there a place for the files that it will leave? *n_open: -1 before it was asked first. */
static bool may_begin(const struct engine *e, const struct job *j, int64_t *n_open)
{
    int64_t n_more = most_files(j);

    if (e->may_begin == NULL)
        return true;
    if (*n_open < 0)
        *n_open = most_open_files(e);
    if (!e->may_begin(e->ctx, *n_open, n_more))
        return false;
    *n_open += n_more;
    return true;
}

/* Within the transaction: waiting commands take the places that are free, oldest first. A nested
 * document has its parent's place. */
static int start_waiting(struct engine *e, struct err *err)
{
    size_t n_busy = count_busy(e);
    int64_t n_open = -1;
    bool is_held = e->is_short;
    struct job *j;
    int r = 0;

    if (fx_is_reboot_pending(e) || e->is_stopping)
        return 0;
    for (j = e->first; r == 0 && j != NULL; j = j->next) {
        bool is_nested = job_is_command(j) && command_is_nested(&j->inst);
        struct fsm_event ev;

        if (!job_is_command(j) || j->inst.state != COMMAND_QUEUED || (!is_nested && is_held) ||
            (!is_nested && n_busy >= (size_t)e->config->command_workers) ||
            jobs_is_set_aside(e, j->inst.id))
            continue;
        if (!is_nested && !may_begin(e, j, &n_open)) {
            is_held = true; /* and so are all after it: the oldest first */
            continue;
        }
        ev = engine_event(e, COMMAND_EV_START, 0, NULL);
        r = engine_deliver(e, j, &ev, err);
        n_busy += !is_nested && j->inst.state == COMMAND_RUNNING;
    }
    return r;
}

static void finish_items(struct engine *e, struct item *done, const struct err *err)
{
    while (done != NULL) {
        struct item *next = done->next;

        done->finish(e, done, err);
        done = next;
    }
}

static void free_ended(struct engine *e)
{
    struct job *j, *next;
    bool has_ended = false;
    int64_t n_files = 0;

    for (j = e->first; j != NULL; j = next) {
        next = j->next;
        has_ended = has_ended || j->is_ended;
        n_files += j->is_ended ? most_files(j) : 0;
        if (j->has_moved)
            uploads_moved(e, j);
        j->has_moved = false;
        if (j->is_ended)
            jobs_free(e, j);
        else if (j->task != NULL && (!job_is_command(j) || (j->inst.state != COMMAND_RUNNING &&
                                                            j->inst.state != COMMAND_REBOOTING))) {
            task_free(j->task); /* a queue of thousands must not hold thousands of documents */
            j->task = NULL;
        }
    }
    if (has_ended && e->ended != NULL)
        e->ended(e->ctx, n_files);
}

/* A turn that failed, though not for want of a journal, failed for one job: its stored payload
 * cannot be read any more, or a row of it is not what we took it for. It is set aside (aside.c), so
 * that all others go on. */
static void blame(struct engine *e, const struct err *err)
{
    bool is_journal = err->code == ERR_IO || err->code == ERR_FULL || err->code == ERR_BUSY ||
                      err->code == ERR_NOMEM || e->culprit[0] == '\0';
    char when[80];

    if (is_journal || !jobs_set_aside(e, e->culprit))
        return;
    aside_describe(e, e->culprit, when, sizeof(when));
    log_error("%s is %s: %s", e->culprit, when, err->text);
}

void engine_end_turn(struct engine *e, struct item *done, int r, const struct err *err)
{
    size_t i;

    if (r < 0) {
        e->journal->ops->rollback(e->journal);
        story_drop(e);
        blame(e, err);
        finish_items(e, done, err);
        engine_suspend(e, err);
        return;
    }
    backoff_clear(&e->revive);
    story_tell(e);
    finish_items(e, done, NULL);
    for (i = 0; i < e->n_todo; i++)
        if (fsm_find_effect(&e->todo[i].job->inst, e->todo[i].effect.id) != NULL)
            engine_perform(e, e->todo[i].job, &e->todo[i].effect, false);
    updates_after_turn(e);
    free_ended(e);
    fx_release_held(e);
    engine_arm_deadlines(e);
}

void engine_turn(struct engine *e)
{
    struct item *item, *done = NULL, **done_tail = &done;
    struct err err = {0};
    int r;

    e->is_flush_due = false;
    (void)uv_timer_stop(&e->lazy_timer);
    e->n_todo = 0;
    e->culprit[0] = '\0';
    r = e->journal->ops->begin(e->journal, &err);
    while (r == 0 && (item = engine_pop(e)) != NULL) {
        item->next = NULL;
        *done_tail = item;
        done_tail = &item->next;
        e->culprit[0] = '\0';
        r = item->apply(e, item, &err);
    }
    if (r == 0)
        r = start_waiting(e, &err);
    if (r == 0) {
        e->culprit[0] = '\0';
#ifdef SSMD_BREAK_REPLY_BEFORE_RESULT
        if (broken_reply_early(e, done))
            return; /* it ends later */
#endif
        r = e->journal->ops->commit(e->journal, &err);
    }
    engine_end_turn(e, done, r, &err);
}

void engine_look_again(struct engine *e)
{
    e->is_flush_due = true;
}

void engine_ask_suspend(struct engine *e, const struct err *why)
{
    if (!e->is_suspend_due)
        e->suspend_err = *why;
    e->is_suspend_due = true;
}

void engine_on_prepare(uv_prepare_t *prepare)
{
    struct engine *e = prepare->data;

#ifdef SSMD_BREAK_REPLY_BEFORE_RESULT
    if (broken_is_in_turn())
        return;
#endif
    while (!e->is_suspended && !e->is_suspend_due && (e->n_urgent > 0 || e->is_flush_due))
        engine_turn(e);
    if (e->is_suspend_due)
        engine_suspend(e, &e->suspend_err);
}

void engine_on_lazy(uv_timer_t *timer)
{
    struct engine *e = timer->data;

    e->is_flush_due = true;
}

/* ---- what others ask ---- */

int engine_receive(struct engine *e, const struct engine_message *m, struct err *err)
{
    char what[64];
    int r;

    (void)snprintf(what, sizeof(what), "message %.40s is not taken", m->message_id);
    r = engine_check_open(e, what, err);
    return r < 0 ? r : intake_queue(e, m, NULL, NULL, err);
}

int engine_cancel(struct engine *e, const char *job_id, engine_accepted_fn done, void *ctx,
                  struct err *err)
{
    struct event_item *it;
    struct job *job;
    enum journal_known known;
    const char *why;
    char aside[80];

    if (e->is_suspended)
        return err_set(err, ERR_STATE, "cancel %s: %s", job_id, e->status.journal_text);
    job = engine_find_job(e, job_id);
    if (job == NULL) {
        if (e->journal->ops->find(e->journal, NULL, job_id, &known, err) == 0 &&
            known != JOURNAL_UNKNOWN)
            return err_set(err, ERR_STATE, "cancel %s: it has ended already", job_id);
        return err_set(err, ERR_NOT_FOUND, "cancel %s: no such job (see: ssmctl jobs)", job_id);
    }
    if (job->ops->no_cancel == NULL)
        return err_set(err, ERR_STATE, "cancel %s: it is not a command", job_id);
    if (jobs_is_set_aside(e, job_id)) {
        aside_describe(e, job_id, aside, sizeof(aside));
        return err_set(err, ERR_STATE, "cancel %s: nothing of it can be journaled, so it is %s",
                       job_id, aside);
    }
    why = job->ops->no_cancel(&job->inst);
    if (why != NULL)
        return err_set(err, ERR_STATE, "cancel %s: %s", job_id, why);
    it = new_event(job_id, job->ops->cancel, 0, false, NULL);
    if (it == NULL)
        return err_set(err, ERR_NOMEM, "cancel %s: out of memory", job_id);
    it->done = done;
    it->ctx = ctx;
    engine_queue(e, &it->item);
    return 0;
}

void engine_get_status(const struct engine *e, struct engine_status *ret_status)
{
    const struct job *j;

    *ret_status = e->status;
    ret_status->is_suspended = e->is_suspended;
    ret_status->is_short = e->is_short;
    for (j = e->first; j != NULL; j = j->next) {
        if (!job_is_command(j))
            continue;
        ret_status->n_rebooting += j->inst.state == COMMAND_REBOOTING;
        if (command_is_nested(&j->inst)) /* part of its parent */
            continue;
        ret_status->n_running +=
            j->inst.state == COMMAND_RUNNING || j->inst.state == COMMAND_STOPPING;
        ret_status->n_queued += j->inst.state == COMMAND_QUEUED;
        ret_status->n_reporting += j->inst.state == COMMAND_REPORTING;
    }
    ret_status->n_runners = e->steps != NULL ? steps_n_running(e->steps) : 0;
    ret_status->is_reboot_pending = fx_is_reboot_pending(e);
}
