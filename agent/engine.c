/* The interpreter's turn: gather, decide, commit, perform; and what happens when a commit fails. */
#define LOG_MODULE "engine"
#include "agent/engine_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/crashpoint.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/str.h"
#include "executors/shell.h"

static void suspend(struct engine *e, const struct err *why);
static int load(struct engine *e, struct err *err);

/* ---- jobs ---- */

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

static struct job *insert_job(struct engine *e, struct fsm_instance *inst, const char *message_id)
{
    struct job *job = calloc(1, sizeof(*job)), **bucket;

    if (job == NULL)
        return NULL;
    job->inst = *inst;
    *inst = (struct fsm_instance){.machine = inst->machine};
    (void)str_copy(job->message_id, sizeof(job->message_id), message_id); /* intake bounds it */
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

static void free_job(struct engine *e, struct job *job)
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
    task_free(job->task);
    fsm_instance_done(&job->inst);
    free(job);
}

int engine_add_job(struct engine *e, struct fsm_instance *inst, const char *message_id,
                   struct job **ret_job, struct err *err)
{
    struct job *job = insert_job(e, inst, message_id);
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
    return job->inst.machine == &command_machine ? command_of(&job->inst)->channel
                                                 : delivery_of(&job->inst)->channel;
}

struct link *engine_link_of(const struct engine *e, const struct job *job)
{
    const char *name = engine_channel_of(job);
    size_t i;

    for (i = 0; i < e->n_links; i++)
        if (str_eq(e->links[i]->name, name))
            return e->links[i];
    return NULL;
}

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

static struct item *pop(struct engine *e)
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
    bool has_text;
    char text[512];
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
    return engine_deliver(e, job, &ev, err);
}

static void finish_event(struct engine *e, struct item *item, const struct err *err)
{
    (void)e;
    (void)err; /* whoever sent it asks again: recovery goes by open effects */
    free(container_of(item, struct event_item, item));
}

void engine_queue_event(struct engine *e, const char *job_id, uint8_t kind, int64_t effect_id,
                        bool is_lazy, const char *text)
{
    struct event_item *it = calloc(1, sizeof(*it));
    struct err err;

    if (it == NULL) { /* without this event the journal's truth is needed again */
        (void)err_set(&err, ERR_NOMEM, "event for %s: out of memory", job_id);
        engine_ask_suspend(e, &err);
        return;
    }
    it->item = (struct item){.is_lazy = is_lazy, .apply = apply_event, .finish = finish_event};
    (void)str_copy(it->job_id, sizeof(it->job_id), job_id);
    it->kind = kind;
    it->effect_id = effect_id;
    it->has_text = text != NULL;
    if (text != NULL)
        (void)str_copy(it->text, sizeof(it->text), text); /* cut is fine: it is for people */
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

static void set_deadline(const struct engine *e, struct fsm_instance *inst, int64_t after_ms)
{
    inst->deadline = (struct fsm_deadline){.after_ms = after_ms};
    if (after_ms == 0)
        return;
    (void)str_copy(inst->deadline.boot_id, sizeof(inst->deadline.boot_id), e->boot_id);
    inst->deadline.boottime_ms = clock_boottime_ms() + after_ms;
}

static void perform(struct engine *e, struct job *job, const struct fsm_effect *fx,
                    bool is_restart);

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

/* What an effect needs when it is performed is journaled with it: a reply's text, a reboot's owner.
 */
static int put_belongings(struct engine *e, struct job *job, const struct fsm_effect *opens,
                          size_t n, struct err *err)
{
    size_t i;
    int r;

    for (i = 0; i < n; i++) {
        if (job->inst.machine == &command_machine && opens[i].kind == COMMAND_FX_REBOOT)
            r = fx_put_reboot_intent(e, job, err);
        else
            r = replies_put(e, job, &opens[i], err);
        if (r < 0)
            return r;
#ifdef SSMD_BREAK_SPAWN_BEFORE_COMMIT /* negative control: the world changes before the journal    \
                                         knows */
        if (job->inst.machine == &command_machine && opens[i].kind == COMMAND_FX_SPAWN)
            perform(e, job, &opens[i], false);
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
    log_info("%s %s: %s --%s--> %s%s%.*s", inst->machine->name, inst->id, t.from, t.event,
             fsm_state_name(inst), t.detail[0] != '\0' ? "  " : "", (int)strcspn(t.detail, ";"),
             t.detail); /* hashes are for the journal */
    return put_belongings(e, job, out->opens, out->n_opens, err);
}

int engine_deliver(struct engine *e, struct job *job, const struct fsm_event *ev, struct err *err)
{
    struct fsm_instance *inst = &job->inst;
    struct fsm_event runaway;
    int r;

    switch (fsm_step(inst, ev, &e->out)) {
    case FSM_MOVED:
        set_deadline(e, inst, e->out.deadline_ms);
        r = adopt_effects(e, job, err);
        if (r == 0)
            r = journal_move(e, job, ev, err);
        if (fsm_is_terminal(inst))
            job->is_ended = true;
        return r;
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
        log_error("%s %s: %" PRId64 " transitions: ended", inst->machine->name, inst->id,
                  inst->n_transitions);
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

static void perform(struct engine *e, struct job *job, const struct fsm_effect *fx, bool is_restart)
{
    char name[64];

    if (outbox_is_answer(job, fx->kind)) { /* in order of their ids, one at a time */
        outbox_kick(e, job);
        return;
    }
    (void)snprintf(name, sizeof(name), "effect.%s.before",
                   job->inst.machine->effects[fx->kind].name);
    crashpoint(name);
    switch (fx->kind) { /* all of what is left belongs to the command machine */
    case COMMAND_FX_SPAWN:
        fx_spawn(e, job, fx);
        break;
    case COMMAND_FX_STOP:
        fx_stop(e, job, fx);
        break;
    case COMMAND_FX_REBOOT:
        fx_reboot(e, job, fx, is_restart);
        break;
    default:
        break;
    }
    (void)snprintf(name, sizeof(name), "effect.%s.after",
                   job->inst.machine->effects[fx->kind].name);
    crashpoint(name);
}

/* A restart looks at open effects only; the answer comes from the machine's table. */
static void recover(struct engine *e, struct job *job)
{
    const struct fsm_machine *m = job->inst.machine;
    size_t i, n = job->inst.n_effects;
    AUTO(free) struct fsm_effect *open = n > 0 ? malloc(n * sizeof(*open)) : NULL;
    struct err err;

    if (n > 0 && open == NULL) {
        (void)err_set(&err, ERR_NOMEM, "%s %s: out of memory", m->name, job->inst.id);
        engine_ask_suspend(e, &err);
        return;
    }
    if (n > 0)
        memcpy(open, job->inst.effects, n * sizeof(*open));
    for (i = 0; i < n; i++) {
        switch (m->effects[open[i].kind].recovery) {
        case FSM_REDO:
            perform(e, job, &open[i], true);
            break;
        case FSM_PROBE:
            if (open[i].kind == COMMAND_FX_SPAWN)
                fx_probe_spawn(e, job, &open[i]);
            else
                fx_reboot(e, job, &open[i], true);
            break;
        case FSM_ONCE:
            engine_queue_event(e, job->inst.id, (uint8_t)m->effects[open[i].kind].lost, open[i].id,
                               false, NULL);
            break;
        }
    }
}

/* ---- deadlines ---- */

static void arm_deadlines(struct engine *e)
{
    int64_t now = clock_boottime_ms(), next = INT64_MAX;
    struct job *j;

    for (j = e->first; j != NULL; j = j->next) {
        struct fsm_deadline *d = &j->inst.deadline;

        if (d->after_ms == 0)
            continue;
        if (!str_eq(d->boot_id, e->boot_id)) /* of another boot: what is left of it nobody knows */
            set_deadline(e, &j->inst, d->after_ms);
        if (d->boottime_ms < next)
            next = d->boottime_ms;
    }
    (void)uv_timer_stop(&e->deadline_timer);
    if (next != INT64_MAX) { /* the loop's clock stands still in suspend: look once a minute */
        int64_t wait = next > now ? next - now : 0;

        (void)uv_timer_start(&e->deadline_timer, e->deadline_timer.timer_cb,
                             (uint64_t)(wait < 60000 ? wait : 60000), 0);
    }
}

static void on_deadline(uv_timer_t *timer)
{
    struct engine *e = timer->data;
    int64_t now = clock_boottime_ms();
    struct job *j;

    for (j = e->first; j != NULL; j = j->next) {
        int8_t overdue = j->inst.machine->states[j->inst.state].overdue;

        if (j->inst.deadline.after_ms == 0 || overdue == FSM_NO_EVENT ||
            j->inst.deadline.boottime_ms > now)
            continue;
        j->inst.deadline.boottime_ms = now + j->inst.deadline.after_ms; /* not again at once */
        engine_queue_event(e, j->inst.id, (uint8_t)overdue, 0, false, "it did not come in time");
    }
    arm_deadlines(e);
}

/* ---- the turn ---- */

static size_t count_busy(const struct engine *e)
{
    size_t n = 0;
    const struct job *j;

    for (j = e->first; j != NULL; j = j->next)
        n += j->inst.machine == &command_machine &&
             (j->inst.state == COMMAND_RUNNING || j->inst.state == COMMAND_STOPPING);
    return n;
}

/* Within the transaction: waiting commands take the places that are free, oldest first. */
static int start_waiting(struct engine *e, struct err *err)
{
    size_t n_busy = count_busy(e);
    struct job *j;
    int r = 0;

    if (fx_is_reboot_pending(e) || e->is_stopping)
        return 0;
    for (j = e->first; r == 0 && j != NULL && n_busy < (size_t)e->config->command_workers;
         j = j->next) {
        struct fsm_event ev;

        if (j->inst.machine != &command_machine || j->inst.state != COMMAND_QUEUED)
            continue;
        ev = engine_event(e, COMMAND_EV_START, 0, NULL);
        r = engine_deliver(e, j, &ev, err);
        n_busy += j->inst.state == COMMAND_RUNNING;
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

    for (j = e->first; j != NULL; j = next) {
        next = j->next;
        has_ended = has_ended || j->is_ended;
        if (j->is_ended)
            free_job(e, j);
        else if (j->task != NULL &&
                 (j->inst.machine != &command_machine ||
                  (j->inst.state != COMMAND_RUNNING && j->inst.state != COMMAND_REBOOTING))) {
            task_free(j->task); /* a queue of thousands must not hold thousands of documents */
            j->task = NULL;
        }
    }
    if (has_ended && e->ended != NULL)
        e->ended(e->ended_ctx);
}

static void turn(struct engine *e)
{
    struct item *item, *done = NULL, **done_tail = &done;
    struct err err = {0};
    size_t i;
    int r;

    e->is_flush_due = false;
    (void)uv_timer_stop(&e->lazy_timer);
    e->n_todo = 0;
    r = e->journal->ops->begin(e->journal, &err);
    while (r == 0 && (item = pop(e)) != NULL) {
        item->next = NULL;
        *done_tail = item;
        done_tail = &item->next;
        r = item->apply(e, item, &err);
    }
    if (r == 0)
        r = start_waiting(e, &err);
    if (r == 0)
        r = e->journal->ops->commit(e->journal, &err);
    if (r < 0) {
        e->journal->ops->rollback(e->journal);
        finish_items(e, done, &err);
        suspend(e, &err);
        return;
    }
    finish_items(e, done, NULL);
    for (i = 0; i < e->n_todo; i++)
        if (fsm_find_effect(&e->todo[i].job->inst, e->todo[i].effect.id) != NULL)
            perform(e, e->todo[i].job, &e->todo[i].effect, false);
    free_ended(e);
    fx_release_held(e);
    arm_deadlines(e);
}

void engine_ask_suspend(struct engine *e, const struct err *why)
{
    if (!e->is_suspend_due)
        e->suspend_err = *why;
    e->is_suspend_due = true;
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct engine *e = prepare->data;

    if (e->is_suspend_due)
        suspend(e, &e->suspend_err);
    while (!e->is_suspended && (e->n_urgent > 0 || e->is_flush_due))
        turn(e);
}

static void on_lazy(uv_timer_t *timer)
{
    struct engine *e = timer->data;

    e->is_flush_due = true;
}

/* ---- when the journal cannot be written ---- */

void engine_note_error(struct engine *e, const struct err *err)
{
    memmove(&e->status.last_errors[1], &e->status.last_errors[0],
            sizeof(e->status.last_errors) - sizeof(e->status.last_errors[0]));
    e->status.last_errors[0].at_unix_ms = clock_wall_ms();
    (void)str_copy(e->status.last_errors[0].text, sizeof(e->status.last_errors[0].text), err->text);
}

static void drop_all(struct engine *e)
{
    struct err lost;
    struct item *item;

    (void)err_set(&lost, ERR_STATE, "the journal could not be written");
    while ((item = pop(e)) != NULL)
        item->finish(e, item, &lost);
    while (e->first != NULL)
        free_job(e, e->first);
    e->n_todo = 0;
    steps_free(e->steps); /* runners go on; the next load finds them */
    e->steps = NULL;
}

static void try_revive_later(struct engine *e)
{
    uint32_t random;

    ids_random(&random, sizeof(random));
    (void)uv_timer_start(&e->revive_timer, e->revive_timer.timer_cb,
                         (uint64_t)backoff_fail_ms(&e->revive, random), 0);
}

static void suspend(struct engine *e, const struct err *why)
{
    size_t i;

    e->is_suspend_due = false;
    if (e->is_suspended)
        return;
    e->is_suspended = true;
    (void)str_copy(e->status.journal_text, sizeof(e->status.journal_text), why->text);
    engine_note_error(e, why);
    log_error("suspended: %s; nothing is started or acknowledged until the journal can be written "
              "again",
              why->text);
    for (i = 0; i < e->n_links; i++)
        e->links[i]->set_open(e->links[i], false);
    (void)uv_timer_stop(&e->lazy_timer);
    (void)uv_timer_stop(&e->deadline_timer);
    (void)uv_timer_stop(&e->retry_timer);
    (void)uv_timer_stop(&e->hold_timer);
    drop_all(e);
    e->revive =
        (struct backoff){.first_ms = ENGINE_REVIVE_FIRST_MS, .cap_ms = ENGINE_REVIVE_CAP_MS};
    if (!e->is_stopping)
        try_revive_later(e);
}

static void on_revive(uv_timer_t *timer)
{
    struct engine *e = timer->data;
    struct err err;
    size_t i;

    if (e->journal->ops->revive(e->journal, &err) < 0 || load(e, &err) < 0) {
        (void)str_copy(e->status.journal_text, sizeof(e->status.journal_text), err.text);
        log_debug("still suspended: %s", err.text);
        try_revive_later(e);
        return;
    }
    log_warning("the journal can be written again: going on with %zu jobs", e->n_jobs);
    e->status.journal_text[0] = '\0';
    for (i = 0; i < e->n_links; i++)
        e->links[i]->set_open(e->links[i], true);
}

/* ---- start and stop ---- */

static int load_one(void *ctx, struct fsm_instance *inst, struct err *err)
{
    struct engine *e = ctx;
    char message_id[200];
    int r =
        e->journal->ops->get_message_id(e->journal, inst->id, message_id, sizeof(message_id), err);

    if (r == 0 && insert_job(e, inst, message_id) == NULL)
        r = err_set(err, ERR_NOMEM, "job %s: out of memory", inst->id);
    if (r < 0)
        fsm_instance_done(inst);
    return r;
}

static int load(struct engine *e, struct err *err)
{
    const struct steps_options so = {
        .jobs_dir = e->paths->jobs_dir,
        .runner_path = e->config->runner_path,
        .boot_id = e->boot_id,
        .events = {.ended = fx_step_ended, .ctx = e},
        .child_nofile = 1024,
    };
    struct job *j, *next;
    int r = 0;

    if (e->steps == NULL)
        r = steps_new(e->loop, &so, &e->steps, err);
    e->is_noexec = r == 0 && shell_is_noexec(e->paths->jobs_dir);
    if (r == 0)
        r = e->journal->ops->last_effect_id(e->journal, &e->last_effect_id, err);
    if (r == 0)
        r = e->journal->ops->load(e->journal, load_one, e, err);
    if (r < 0) {
        drop_all(e);
        return r;
    }
    e->is_suspended = false;
    for (j = e->first; j != NULL; j = next) {
        next = j->next;
        recover(e, j);
    }
    arm_deadlines(e);
    e->is_flush_due = true; /* a turn, so that what waits is started */
    return 0;
}

int engine_new(const struct engine_options *o, struct engine **ret_engine, struct err *err)
{
    struct engine *e = calloc(1, sizeof(*e));

    if (e == NULL)
        return err_set(err, ERR_NOMEM, "engine: out of memory");
    e->loop = o->loop;
    e->journal = o->journal;
    e->config = o->config;
    e->paths = o->paths;
    e->platform = o->platform;
    e->ended = o->ended;
    e->ended_ctx = o->ctx;
    (void)str_copy(e->boot_id, sizeof(e->boot_id), o->boot_id);
    e->tail = &e->head;
    (void)uv_prepare_init(e->loop, &e->prepare); /* these cannot fail */
    (void)uv_timer_init(e->loop, &e->lazy_timer);
    (void)uv_timer_init(e->loop, &e->deadline_timer);
    (void)uv_timer_init(e->loop, &e->revive_timer);
    (void)uv_timer_init(e->loop, &e->retry_timer);
    (void)uv_timer_init(e->loop, &e->hold_timer);
    e->hold_timer.data = e;
    e->hold_timer.timer_cb = fx_hold_timer;
    e->prepare.data = e->lazy_timer.data = e->deadline_timer.data = e->revive_timer.data =
        e->retry_timer.data = e;
    e->lazy_timer.timer_cb = on_lazy;
    e->deadline_timer.timer_cb = on_deadline;
    e->revive_timer.timer_cb = on_revive;
    e->retry_timer.timer_cb = outbox_retry_timer;
    *ret_engine = e;
    return 0;
}

void engine_add_link(struct engine *e, struct link *link)
{
    if (e->n_links < ENGINE_MAX_LINKS)
        e->links[e->n_links++] = link;
}

int engine_start(struct engine *e, struct err *err)
{
    int r = load(e, err);

    if (r < 0)
        return r;
    (void)uv_prepare_start(&e->prepare, on_prepare);
    e->is_started = true;
    log_info("%zu open jobs in the journal", e->n_jobs);
    return 0;
}

void engine_stop(struct engine *e)
{
    e->is_stopping = true;
    if (e->is_started && !e->is_suspended && e->head != NULL)
        turn(e); /* what waited for a commit gets one; nothing new is started */
    if (!uv_is_closing((uv_handle_t *)&e->prepare)) {
        uv_close((uv_handle_t *)&e->prepare, NULL);
        uv_close((uv_handle_t *)&e->lazy_timer, NULL);
        uv_close((uv_handle_t *)&e->deadline_timer, NULL);
        uv_close((uv_handle_t *)&e->revive_timer, NULL);
        uv_close((uv_handle_t *)&e->retry_timer, NULL);
        uv_close((uv_handle_t *)&e->hold_timer, NULL);
    }
    drop_all(e);
    reboot_forget(e->reboot);
    e->reboot = NULL;
    e->is_suspended = true; /* late callbacks find nothing to change */
}

void engine_free(struct engine *e)
{
    if (e == NULL)
        return;
    outbox_free_calls(e);
    fsm_out_done(&e->out);
    free(e->todo);
    free(e);
}

/* ---- what others ask ---- */

int engine_receive(struct engine *e, const struct engine_message *m, struct err *err)
{
    if (e->is_suspended)
        return err_set(err, ERR_STATE, "message %s is not taken: the journal cannot be written: %s",
                       m->message_id, e->status.journal_text);
    return intake_queue(e, m, NULL, NULL, err);
}

int engine_cancel(struct engine *e, const char *job_id, struct err *err)
{
    struct job *job;
    enum journal_known known;

    if (e->is_suspended)
        return err_set(err, ERR_STATE, "cancel %s: the journal cannot be written: %s", job_id,
                       e->status.journal_text);
    job = engine_find_job(e, job_id);
    if (job == NULL) {
        if (e->journal->ops->find(e->journal, NULL, job_id, &known, err) == 0 &&
            known != JOURNAL_UNKNOWN)
            return err_set(err, ERR_STATE, "cancel %s: it has ended already", job_id);
        return err_set(err, ERR_NOT_FOUND, "cancel %s: no such job (see: ssmctl jobs)", job_id);
    }
    if (job->inst.machine != &command_machine)
        return err_set(err, ERR_STATE, "cancel %s: it is not a command", job_id);
    if (job->inst.state == COMMAND_REPORTING)
        return err_set(err, ERR_STATE, "cancel %s: it has ended and waits to be reported", job_id);
    engine_queue_event(e, job_id, COMMAND_EV_CANCEL, 0, false, NULL);
    return 0;
}

void engine_get_status(const struct engine *e, struct engine_status *ret_status)
{
    const struct job *j;

    *ret_status = e->status;
    ret_status->is_suspended = e->is_suspended;
    for (j = e->first; j != NULL; j = j->next) {
        if (j->inst.machine != &command_machine)
            continue;
        ret_status->n_running +=
            j->inst.state == COMMAND_RUNNING || j->inst.state == COMMAND_STOPPING;
        ret_status->n_queued += j->inst.state == COMMAND_QUEUED;
        ret_status->n_reporting += j->inst.state == COMMAND_REPORTING;
        ret_status->n_rebooting += j->inst.state == COMMAND_REBOOTING;
    }
    ret_status->is_reboot_pending = fx_is_reboot_pending(e);
}
