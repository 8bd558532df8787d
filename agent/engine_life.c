/* The engine's life: start, stop, what is done when a turn fails, deadlines. A start and the end of
 * a suspension are the same walk: load what is open, ask what became of its open effects. */
#define LOG_MODULE "engine"
#include "agent/engine_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/update.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/str.h"
#include "executors/shell.h"

static int load(struct engine *e, struct err *err);

/* ---- suspension ---- */

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

    (void)err_set(&lost, ERR_STATE, "%s",
                  e->is_suspended ? e->status.journal_text : "ssmd is stopping");
    while ((item = engine_pop(e)) != NULL)
        item->finish(e, item, &lost);
    while (e->first != NULL)
        jobs_free(e, e->first);
    if (e->courier != NULL)
        courier_drop_all(e->courier);
    e->n_todo = 0;
    steps_free(e->steps); /* runners go on; the next load finds them */
    e->steps = NULL;
}

static void try_revive_later(struct engine *e)
{
    e->revive.first_ms = ENGINE_REVIVE_FIRST_MS; /* its count is cleared by a turn that commits */
    e->revive.cap_ms = ENGINE_REVIVE_CAP_MS;
    (void)uv_timer_start(&e->revive_timer, e->revive_timer.timer_cb,
                         (uint64_t)backoff_fail_ms(&e->revive, ids_random32()), 0);
}

/* A turn fails for want of a journal, or for want of what this process needs to make it. */
static void tell_why(struct engine *e, const struct err *why)
{
    bool is_shortage =
        why->code == ERR_NOMEM || why->sys_errno == EMFILE || why->sys_errno == ENFILE;

    (void)snprintf(e->status.journal_text, sizeof(e->status.journal_text), "%s: %.450s",
                   is_shortage ? "out of memory or descriptors" : "the journal cannot be written",
                   why->text);
}

int engine_check_open(const struct engine *e, const char *what, struct err *err)
{
    if (!e->is_suspended && !e->is_short)
        return 0;
    return err_set(err, ERR_STATE, "%s: %s", what, e->status.journal_text);
}

static void set_links_open(struct engine *e, bool is_open)
{
    size_t i;

    for (i = 0; i < e->n_links; i++)
        e->links[i]->set_open(e->links[i], is_open);
}

/* Is there room for more than what runs? Asked after each load; while there is none, again and
 * again: what is freed is no event. */
static void look_for_room(struct engine *e)
{
    bool was_short = e->is_short;

    e->is_short = !e->journal->ops->has_room(e->journal);
    if (e->is_short && !was_short) {
        (void)str_copy(e->status.journal_text, sizeof(e->status.journal_text),
                       "the disk is nearly full: what runs goes on and is reported; nothing new is "
                       "taken on until there are 16 MiB free below the state directory");
        log_error("%s", e->status.journal_text);
    } else if (!e->is_short) {
        e->status.journal_text[0] = '\0';
    }
    if (was_short && !e->is_short) {
        log_warning("there is room on the disk again: new work is taken on");
        e->is_flush_due = true; /* a turn, so that what waits is started */
    }
    if (e->is_short)
        (void)uv_timer_start(&e->revive_timer, e->revive_timer.timer_cb, ENGINE_ROOM_MS, 0);
}

/* is_suspended, and why, are set. */
static void let_go(struct engine *e)
{
    e->is_short = false; /* asked anew after the next load */
    set_links_open(e, false);
    (void)uv_timer_stop(&e->revive_timer);
    (void)uv_timer_stop(&e->lazy_timer);
    (void)uv_timer_stop(&e->deadline_timer);
    (void)uv_timer_stop(&e->retry_timer);
    (void)uv_timer_stop(&e->hold_timer);
    (void)uv_timer_stop(&e->aside_timer);
    drop_all(e);
    if (!e->is_stopping)
        try_revive_later(e);
}

void engine_suspend(struct engine *e, const struct err *why)
{
    e->is_suspend_due = false;
    if (e->is_suspended)
        return;
    e->is_suspended = true;
    tell_why(e, why);
    engine_note_error(e, why);
    log_error("suspended: %s; nothing is started or acknowledged until the journal was read again",
              e->status.journal_text);
    let_go(e);
}

void engine_reload(struct engine *e, const char *why)
{
    if (e->is_suspended || e->is_stopping)
        return;
    e->is_suspended = true;
    (void)str_copy(e->status.journal_text, sizeof(e->status.journal_text), why); /* one of ours */
    log_warning("%s: the journal is read again", why);
    let_go(e);
}

static void on_revive(uv_timer_t *timer)
{
    struct engine *e = timer->data;
    struct err err = {0};

    if (!e->is_suspended) { /* it was short of disk */
        look_for_room(e);
        set_links_open(e, !e->is_short);
        return;
    }
    if (e->journal->ops->revive(e->journal, &err) < 0 || load(e, &err) < 0) {
        tell_why(e, &err);
        log_debug("still suspended: %s", err.text);
        try_revive_later(e);
        return;
    }
    log_warning("the journal was read again: going on with %zu jobs", e->n_jobs);
    set_links_open(e, !e->is_short);
}

/* ---- deadlines ---- */

void engine_arm_deadlines(struct engine *e)
{
    int64_t now = clock_boottime_ms(), next = INT64_MAX;
    struct job *j;

    for (j = e->first; j != NULL; j = j->next) {
        struct fsm_deadline *d = &j->inst.deadline;

        if (d->after_ms == 0 || j->overdue_ms == d->boottime_ms)
            continue;                        /* none, or in the queue */
        if (!str_eq(d->boot_id, e->boot_id)) /* of another boot: what is left of it nobody knows */
            engine_set_deadline(e, &j->inst, d->after_ms);
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

void engine_on_deadline(uv_timer_t *timer)
{
    struct engine *e = timer->data;
    int64_t now = clock_boottime_ms();
    struct job *j;

    for (j = e->first; j != NULL; j = j->next) {
        int8_t overdue = j->inst.machine->states[j->inst.state].overdue;

        if (j->inst.deadline.after_ms == 0 || overdue == FSM_NO_EVENT ||
            j->inst.deadline.boottime_ms > now || j->overdue_ms == j->inst.deadline.boottime_ms)
            continue;
        engine_queue_overdue(e, j, (uint8_t)overdue);
    }
    engine_arm_deadlines(e);
}

/* While nobody looked, what is waited for may have come. Its end is found by the looks that a load
 * begins, and those have to be first. */
static void allow_for_looks(struct engine *e)
{
    int64_t soon = clock_boottime_ms() + ENGINE_LOOK_MS;
    struct job *j;

    for (j = e->first; j != NULL; j = j->next) {
        struct fsm_deadline *d = &j->inst.deadline;

        if (d->after_ms != 0 && str_eq(d->boot_id, e->boot_id) && d->boottime_ms < soon)
            d->boottime_ms = soon;
    }
}

/* ---- start and stop ---- */

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
            engine_perform(e, job, &open[i], true);
            break;
        case FSM_PROBE:
            job->ops->effects[open[i].kind].probe(e, job, &open[i]);
            break;
        case FSM_ONCE:
            engine_queue_event(e, job->inst.id, (uint8_t)m->effects[open[i].kind].lost, open[i].id,
                               false, NULL);
            break;
        }
    }
}

/* Nothing of it can be journaled, so nothing is started, stopped or told. But its runner is ours:
 * its end is noticed, and what it leaves behind is ended with it. */
static void watch_only(struct engine *e, struct job *job)
{
    const struct fsm_effect *spawn =
        job_is_command(job) ? fsm_find_effect_kind(&job->inst, COMMAND_FX_SPAWN) : NULL;

    if (spawn != NULL)
        fx_probe_spawn(e, job, spawn);
}

static int load_one(void *ctx, struct fsm_instance *inst, struct err *err)
{
    struct engine *e = ctx;
    const struct machine_ops *ops = machines_find(inst->machine);
    char message_id[JOURNAL_MESSAGE_ID_SIZE] = "";
    int r = 0;

    if (ops == NULL) { /* it has a keeper of its own */
        fsm_instance_done(inst);
        return 0;
    }
    if (ops->has_message)
        r = e->journal->ops->get_message_id(e->journal, inst->id, message_id, sizeof(message_id),
                                            err);
    if (r == 0 && jobs_insert(e, inst, message_id) == NULL)
        r = err_set(err, ERR_NOMEM, "job %s: out of memory", inst->id);
    if (r < 0)
        fsm_instance_done(inst);
    return r;
}

static void on_step_ended(void *ctx, const struct step_key *key, enum step_answer answer,
                          const struct step_outcome *outcome)
{
    struct engine *e = ctx;
    struct job *job = engine_find_job(e, key->job_id);

    if (job != NULL && job->ops->step_ended != NULL)
        job->ops->step_ended(e, job, key, answer, outcome);
    else
        e->status.n_stale++;
}

static int load(struct engine *e, struct err *err)
{
    const struct steps_options so = {
        .jobs_dir = e->paths->jobs_dir,
        .runner_path = e->config->runner_path,
        .boot_id = e->boot_id,
        .events = {.ended = on_step_ended, .ctx = e},
        .child_nofile = 1024,
    };
    struct job *j, *next;
    int r = 0;

    if (e->steps == NULL)
        r = steps_new(e->loop, &so, &e->steps, err);
    e->powershell = shell_find_powershell("");
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
    e->generation++;
    look_for_room(e);
    aside_try_due(e);
    aside_arm(e);
    for (j = e->first; j != NULL; j = next) {
        next = j->next;
        if (!jobs_is_set_aside(e, j->inst.id))
            recover(e, j);
        else
            watch_only(e, j);
    }
    allow_for_looks(e);
    engine_arm_deadlines(e);
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
    e->may_begin = o->may_begin;
    e->ctx = o->ctx;
    (void)str_copy(e->boot_id, sizeof(e->boot_id), o->boot_id);
    e->tail = &e->head;
    story_init(e);
    (void)uv_prepare_init(e->loop, &e->prepare); /* these cannot fail */
    (void)uv_timer_init(e->loop, &e->lazy_timer);
    (void)uv_timer_init(e->loop, &e->deadline_timer);
    (void)uv_timer_init(e->loop, &e->revive_timer);
    (void)uv_timer_init(e->loop, &e->retry_timer);
    (void)uv_timer_init(e->loop, &e->hold_timer);
    (void)uv_timer_init(e->loop, &e->aside_timer);
    e->aside_timer.data = e;
    e->aside_timer.timer_cb = aside_on_timer;
    updates_init(e);
    e->hold_timer.data = e;
    e->hold_timer.timer_cb = fx_hold_timer;
    e->prepare.data = e->lazy_timer.data = e->deadline_timer.data = e->revive_timer.data =
        e->retry_timer.data = e;
    e->lazy_timer.timer_cb = engine_on_lazy;
    e->deadline_timer.timer_cb = engine_on_deadline;
    e->revive_timer.timer_cb = on_revive;
    e->retry_timer.timer_cb = outbox_retry_timer;
    *ret_engine = e;
    return 0;
}

void engine_add_link(struct engine *e, struct link *link)
{
    assert(e->n_links < ENGINE_MAX_LINKS);
    e->links[e->n_links++] = link;
}

void engine_set_lookup(struct engine *e, struct lookup *lookup)
{
    e->lookup = lookup;
}

void engine_set_parameter_source(struct engine *e, struct parameter_source *source)
{
    e->parameters = source;
}

void engine_set_shared_credentials(struct engine *e, const char *file, const char *profile)
{
    (void)str_copy(e->share_file, sizeof(e->share_file), file); /* both are as large */
    (void)str_copy(e->share_profile, sizeof(e->share_profile), profile);
}

int64_t engine_next_effect_id(struct engine *e)
{
    int64_t last = 0;

    if (e->is_started && !e->is_suspended)
        return ++e->last_effect_id;
    if (e->journal->ops->last_effect_id(e->journal, &last, NULL) == 0 && last > e->last_effect_id)
        e->last_effect_id = last; /* a failure shows when the effect is put */
    return ++e->last_effect_id;
}

int engine_start(struct engine *e, struct err *err)
{
    int r = load(e, err);

    if (r < 0)
        return r;
    (void)uv_prepare_start(&e->prepare, engine_on_prepare);
    e->is_started = true;
    updates_start(e);
    if (e->is_short)
        set_links_open(e, false);
    log_info("%zu open jobs in the journal", e->n_jobs);
    return 0;
}

void engine_stop(struct engine *e)
{
    e->is_stopping = true;
    if (e->is_started && !e->is_suspended && e->head != NULL)
        engine_turn(e); /* what waited for a commit gets one; no command that waits is started */
    wait_cancel_all(e); /* what that turn found to wait, too */
    if (!uv_is_closing((uv_handle_t *)&e->prepare)) {
        uv_close((uv_handle_t *)&e->prepare, NULL);
        uv_close((uv_handle_t *)&e->lazy_timer, NULL);
        uv_close((uv_handle_t *)&e->deadline_timer, NULL);
        uv_close((uv_handle_t *)&e->revive_timer, NULL);
        uv_close((uv_handle_t *)&e->retry_timer, NULL);
        uv_close((uv_handle_t *)&e->hold_timer, NULL);
        uv_close((uv_handle_t *)&e->aside_timer, NULL);
        updates_stop(e);
    }
    drop_all(e);
    cleanup_close(e->cleanup);
    e->cleanup = NULL;
    reboot_forget(e->reboot);
    e->reboot = NULL;
    e->is_suspended = true; /* late callbacks find nothing to change */
}

void engine_free(struct engine *e)
{
    if (e == NULL)
        return;
    calls_free_all(e);
    fsm_out_done(&e->out);
    free(e->todo);
    buf_done(&e->story);
    free(e);
}
