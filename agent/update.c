/* The effects of the update machine: what the stager is asked and says, and the wait for a good
 * moment. */
#define LOG_MODULE "update"
#include "agent/update.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/update_internal.h"
#include "agent/update_package.h"
#include "base/ids.h"
#include "base/str.h"
#include "base/version.h"

#define RETRY_FIRST_MS 1000
#define RETRY_CAP_MS 60000
#define STAGER_MARGIN_MS 30000 /* over its own limit */
#define MAX_BROKEN_RUNS 5      /* of a stager that gives no answer at all */

/* ---- watches ---- */

struct update_watch *update_watch_for(struct engine *e, struct job *job,
                                      const struct fsm_effect *fx)
{
    struct update_watch *w = job->update;
    struct err err;

    if (w == NULL)
        w = job->update = calloc(1, sizeof(*w));
    if (w == NULL) {
        (void)err_set(&err, ERR_NOMEM, "update %s: out of memory", job->inst.id);
        engine_ask_suspend(e, &err);
        return NULL;
    }
    if (w->effect_id == fx->id)
        return w;
    stager_kill(w->stager, false);
    *w = (struct update_watch){.e = e,
                               .job = job,
                               .effect_id = fx->id,
                               .backoff = {.first_ms = RETRY_FIRST_MS, .cap_ms = RETRY_CAP_MS}};
    return w;
}

void updates_forget(struct engine *e, struct job *job)
{
    if (job->update == NULL)
        return;
    stager_kill(job->update->stager, e->is_stopping);
    free(job->update);
    job->update = NULL;
}

const char *updates_overdue_text(const struct job *job)
{
    return job->update != NULL && job->update->trouble[0] != '\0' ? job->update->trouble : NULL;
}

bool update_is_in_reach(const struct engine *e)
{
    return e->lookup != NULL && e->lookup->is_in_reach != NULL && e->lookup->is_in_reach(e->lookup);
}

#define DAY_S (INT64_C(24) * 60 * 60)

void update_blame_clock(const struct engine *e, struct stager_answer *answer)
{
    char text[sizeof(answer->text) + 128];
    int64_t off_s, much;

    if (answer->verdict != STAGER_FAIL || !str_eq(answer->code, "ErrorDownloadManifest_d6") ||
        e->lookup == NULL || e->lookup->clock_offset_ms == NULL)
        return;
    off_s = e->lookup->clock_offset_ms(e->lookup) / 1000;
    if (off_s == 0)
        return;
    much = off_s < 0 ? -off_s : off_s;
    (void)snprintf(
        text, sizeof(text), "this machine's clock is %" PRId64 " %s %s the service's, set it; %s",
        much < 2 * DAY_S ? much : (much + DAY_S / 2) / DAY_S, much < 2 * DAY_S ? "seconds" : "days",
        off_s < 0 ? "ahead of" : "behind", answer->text);
    (void)str_copy(answer->text, sizeof(answer->text), text); /* may be cut */
}

/* ---- events with what they bring ---- */

struct news_item {
    struct item item;
    char job_id[FSM_ID_SIZE];
    uint8_t event;
    int64_t effect_id;
    struct stager_answer answer; /* of a choice, or code and text of a reason */
    bool is_choice;
};

static int deliver_choice(struct engine *e, struct job *job, const struct news_item *it,
                          struct err *err)
{
    const struct stager_answer *a = &it->answer;
    const struct update_choice choice = {.to_version = a->target,
                                         .url = a->url,
                                         .sha256 = a->sha256,
                                         .length_bytes = a->length_bytes,
                                         .manifest_version = a->manifest_version,
                                         .root_version = a->root_version};
    AUTO(buf_done) struct buf bad = {0};
    struct update_reason reason = {.code = ""};
    char text[200];
    struct fsm_event ev = engine_event(e, it->event, it->effect_id, &choice);

    buf_init(&bad, sizeof(a->target));
    if (update_of(&job->inst)->way == UPDATE_BY_CLOCK &&
        e->journal->ops->get_fact(e->journal, UPDATE_FACT_BAD, &bad, NULL) == 0 &&
        str_eq(buf_str(&bad), a->target)) {
        (void)snprintf(text, sizeof(text),
                       "version %s was rolled back on this machine before: it is not tried again "
                       "unless somebody asks for it; update skipped",
                       a->target);
        reason.text = text;
        ev = engine_event(e, UPDATE_EV_SKIP, it->effect_id, &reason);
    }
    return engine_deliver(e, job, &ev, err);
}

static int apply_news(struct engine *e, struct item *item, struct err *err)
{
    const struct news_item *it = container_of(item, struct news_item, item);
    struct job *job = engine_find_job(e, it->job_id);
    const struct update_reason reason = {.code = it->answer.code,
                                         .text = it->answer.text,
                                         .manifest_version = it->answer.manifest_version};
    struct fsm_event ev = engine_event(e, it->event, it->effect_id, &reason);

    if (job == NULL) {
        e->status.n_stale++;
        return 0;
    }
    return it->is_choice ? deliver_choice(e, job, it, err) : engine_deliver(e, job, &ev, err);
}

static void finish_news(struct engine *e, struct item *item, const struct err *err)
{
    (void)e;
    (void)err; /* recovery goes by open effects */
    free(container_of(item, struct news_item, item));
}

static void queue_news(struct engine *e, const struct job *job, uint8_t event, int64_t effect_id,
                       const struct stager_answer *answer)
{
    struct news_item *it = calloc(1, sizeof(*it));
    struct err err;

    if (it == NULL) {
        (void)err_set(&err, ERR_NOMEM, "update %s: out of memory", job->inst.id);
        engine_ask_suspend(e, &err);
        return;
    }
    it->item = (struct item){.apply = apply_news, .finish = finish_news};
    (void)str_copy(it->job_id, sizeof(it->job_id), job->inst.id);
    it->event = event;
    it->effect_id = effect_id;
    it->answer = *answer;
    it->is_choice = event == UPDATE_EV_FETCHED;
    engine_queue(e, &it->item);
}

void update_queue_reason(struct engine *e, const struct job *job, uint8_t event, int64_t effect_id,
                         const char *code, const char *text)
{
    struct stager_answer a = {.verdict = STAGER_FAIL};

    (void)str_copy(a.code, sizeof(a.code), code); /* of our tables: fits */
    (void)str_copy(a.text, sizeof(a.text), text); /* cut is fine: it is for people */
    queue_news(e, job, event, effect_id, &a);
}

/* ---- the stager ---- */

static void try_again_later(struct update_watch *w, const char *why)
{
    uint32_t random;

    ids_random(&random, sizeof(random));
    (void)str_copy(w->trouble, sizeof(w->trouble), why);
    w->retry_at_ms = clock_boottime_ms() + backoff_fail_ms(&w->backoff, random);
    log_warning("%s: %s; it is tried again", w->job->inst.id, why);
    update_look_soon(w->e);
}

static uint8_t event_of(const struct fsm_effect *fx)
{
    return (uint8_t)update_machine.effects[fx->kind].done;
}

static void on_answer(void *ctx, const struct stager_answer *answer, const struct err *err)
{
    struct update_watch *w = ctx;
    const struct fsm_effect *fx = fsm_find_effect(&w->job->inst, w->effect_id);
    struct stager_answer told;

    w->stager = NULL;
    if (fx == NULL) /* cancelled; its end was on its way */
        return;
    if (err != NULL) {
        if (err_class_of(err->code) == ERR_CLASS_RETRY && w->backoff.n_failures < MAX_BROKEN_RUNS)
            try_again_later(w, err->text);
        else
            update_queue_reason(w->e, w->job, UPDATE_EV_FAILED, fx->id, "ErrorUnexpected",
                                err->text);
        return;
    }
    told = *answer;
    update_blame_clock(w->e, &told);
    answer = &told;
    switch (answer->verdict) {
    case STAGER_OK:
        queue_news(w->e, w->job, event_of(fx), fx->id, answer);
        break;
    case STAGER_SKIP:
        if (fx->kind == UPDATE_FX_FETCH) {
            queue_news(w->e, w->job, UPDATE_EV_SKIP, fx->id, answer);
            break;
        }
        queue_news(w->e, w->job, UPDATE_EV_FAILED, fx->id, answer);
        break;
    case STAGER_FAIL:
    default:
        if (answer->is_retry_worthwhile)
            try_again_later(w, answer->text);
        else
            queue_news(w->e, w->job, UPDATE_EV_FAILED, fx->id, answer);
        break;
    }
}

static void replace_region(const char *url, const char *region, char *ret, size_t size)
{
    static const char mark[] = "{Region}";
    size_t n = 0;

    while (*url != '\0' && n + 1 < size) {
        if (str_has_prefix(url, mark)) {
            n += (size_t)snprintf(ret + n, size - n, "%s", region);
            url += sizeof(mark) - 1;
        } else {
            ret[n++] = *url++;
        }
    }
    ret[n < size ? n : size - 1] = '\0';
}

void update_fill_request(const struct engine *e, struct stager_request *q)
{
    const struct config *c = e->config;

    *q = (struct stager_request){.phase = STAGER_CHECK};
    replace_region(c->update_source, config_signing_region(c), q->source, sizeof(q->source));
    (void)str_copy(q->root_file, sizeof(q->root_file), c->update_root_file); /* all are as large */
    (void)str_copy(q->update_dir, sizeof(q->update_dir), e->paths->update_dir);
    (void)str_copy(q->slots_dir, sizeof(q->slots_dir), e->paths->slots_dir);
    (void)str_copy(q->node_id, sizeof(q->node_id), c->instance_id); /* cut: as good for a draw */
    (void)str_copy(q->region, sizeof(q->region), config_signing_region(c)); /* checked: fits */
    (void)str_copy(q->ca_file, sizeof(q->ca_file), c->ca_file);
    (void)snprintf(q->user_agent, sizeof(q->user_agent), "ssmd/%s", ssmd_version);
}

static void run_stager(struct update_watch *w, const struct fsm_effect *fx)
{
    static const enum stager_phase phases[UPDATE_N_EFFECTS] = {[UPDATE_FX_FETCH] = STAGER_FETCH,
                                                               [UPDATE_FX_VERIFY] = STAGER_VERIFY,
                                                               [UPDATE_FX_STAGE] = STAGER_STAGE};
    const struct update *u = update_of(&w->job->inst);
    struct stager_request q;
    struct err err;
    int r;

    w->retry_at_ms = 0;
    if (w->stager != NULL)
        return;
    update_fill_request(w->e, &q);
    q.phase = phases[fx->kind];
    (void)str_copy(q.update_id, sizeof(q.update_id), w->job->inst.id); /* all are as large */
    (void)str_copy(q.package, sizeof(q.package), u->agent_name);
    (void)str_copy(q.asked, sizeof(q.asked), u->asked);
    (void)str_copy(q.from, sizeof(q.from), u->from_version);
    (void)str_copy(q.target, sizeof(q.target), u->to_version);
    (void)str_copy(q.sha256, sizeof(q.sha256), u->sha256);
    q.allow_downgrade = u->allow_downgrade != 0;
    q.without_package = update_is_managed(&w->job->inst);
    q.length_bytes = u->length_bytes;
    q.manifest_version = u->manifest_version;
    r = stager_start(w->e->loop, w->e->config->stager_path, &q, STAGER_LIMIT_MS + STAGER_MARGIN_MS,
                     on_answer, w, &w->stager, &err);
    if (r < 0)
        on_answer(w, NULL, &err);
}

static void stage(struct engine *e, struct job *job, const struct fsm_effect *fx, bool is_restart)
{
    struct update_watch *w = update_watch_for(e, job, fx);

    if (w == NULL || jobs_is_set_aside(e, job->inst.id))
        return;
    if (fx->kind == UPDATE_FX_FETCH && !is_restart)
        update_mention(e, job, "UpdateInitialized", "");
    update_look_soon(e);
    run_stager(w, fx);
}

/* ---- a good moment ---- */

/* Another command than the one whose step this is. */
static bool has_other_work(const struct engine *e, const struct job *job)
{
    const char *root = command_root_id(update_of(&job->inst)->parent_id);
    const struct job *j;

    for (j = e->first; j != NULL; j = j->next)
        if (job_is_command(j) &&
            (j->inst.state == COMMAND_RUNNING || j->inst.state == COMMAND_STOPPING) &&
            !str_eq(command_root_id(j->inst.id), root))
            return true;
    return false;
}

/* What stands against the switch now, or NULL. */
static const char *obstacle(const struct engine *e, const struct job *job)
{
    const struct update *u = update_of(&job->inst);
    int64_t left_ms = job->inst.deadline.boottime_ms - clock_boottime_ms();

    if (e->is_short)
        return "the disk is nearly full";
    if (fx_is_reboot_pending(e) || reboot_is_scheduled(""))
        return "a reboot is pending";
    if (u->is_forced == 0 && !update_is_in_reach(e))
        return "the service is out of reach";
    if (u->wait_ms > 0 && left_ms > UPDATE_SERVICE_WAIT_MS && has_other_work(e, job))
        return "commands are running";
    return NULL;
}

static void look_around(struct update_watch *w, const struct fsm_effect *fx)
{
    const char *why = obstacle(w->e, w->job);
    char text[sizeof(w->trouble)] = "";

    if (why == NULL)
        engine_queue_event(w->e, w->job->inst.id, UPDATE_EV_READY, fx->id, false, NULL);
    else /* told if its time passes */
        (void)snprintf(text, sizeof(text), "nothing was changed: it waited until now, and %s", why);
    if (why != NULL && !str_eq(text, w->trouble))
        log_info("%s: it waits: %s", w->job->inst.id, why);
    (void)str_copy(w->trouble, sizeof(w->trouble), text); /* as large */
}

static void await(struct engine *e, struct job *job, const struct fsm_effect *fx, bool is_restart)
{
    (void)is_restart;
    if (update_watch_for(e, job, fx) != NULL)
        update_look_soon(e);
}

static void begin_switch(struct engine *e, struct job *job, const struct fsm_effect *fx,
                         bool is_restart)
{
    (void)is_restart;
    if (update_watch_for(e, job, fx) == NULL)
        return;
    update_look_soon(e);
    update_follow(e, job, fx);
}

static void probe_switch(struct engine *e, struct job *job, const struct fsm_effect *fx)
{
    begin_switch(e, job, fx, true);
}

static void tell(struct engine *e, struct job *job, const struct fsm_effect *fx, bool is_restart)
{
    (void)is_restart;
    if (update_watch_for(e, job, fx) == NULL)
        return;
    update_look_soon(e);
    update_tell(e, job, fx);
}

const struct effect_ops update_effects[UPDATE_N_EFFECTS] = {
    [UPDATE_FX_FETCH] = {.way = WAY_PERFORM, .perform = stage},
    [UPDATE_FX_VERIFY] = {.way = WAY_PERFORM, .perform = stage},
    [UPDATE_FX_STAGE] = {.way = WAY_PERFORM, .perform = stage},
    [UPDATE_FX_AWAIT] = {.way = WAY_PERFORM, .perform = await},
    [UPDATE_FX_SWITCH] = {.way = WAY_PERFORM, .perform = begin_switch, .probe = probe_switch},
    [UPDATE_FX_INSTALL] = {.way = WAY_PERFORM,
                           .perform = update_package_perform,
                           .probe = update_package_probe},
    [UPDATE_FX_STOP] = {.way = WAY_PERFORM, .perform = update_package_perform},
    [UPDATE_FX_LOOK] = {.way = WAY_PERFORM,
                        .perform = update_package_perform,
                        .probe = update_package_probe},
    [UPDATE_FX_RESTART] = {.way = WAY_PERFORM, .perform = update_package_perform},
    [UPDATE_FX_TELL] = {.way = WAY_PERFORM, .perform = tell},
};

/* ---- looking ---- */

static void look_at(struct engine *e, struct job *job)
{
    const struct fsm_effect *fx = job->inst.n_effects > 0 ? &job->inst.effects[0] : NULL;
    struct update_watch *w = job->update;
    struct fsm_effect copy;

    if (fx == NULL || w == NULL || w->effect_id != fx->id || jobs_is_set_aside(e, job->inst.id))
        return;
    copy = *fx; /* what follows may move the instance */
    switch (copy.kind) {
    case UPDATE_FX_AWAIT:
        look_around(w, &copy);
        break;
    case UPDATE_FX_SWITCH:
        update_follow(e, job, &copy);
        break;
    case UPDATE_FX_INSTALL:
    case UPDATE_FX_LOOK:
    case UPDATE_FX_RESTART:
        update_package_look(e, job, &copy);
        break;
    case UPDATE_FX_TELL:
        update_tell(e, job, &copy);
        break;
    default:
        if (w->retry_at_ms != 0 && clock_boottime_ms() >= w->retry_at_ms)
            run_stager(w, &copy);
        break;
    }
}

static void on_look(uv_timer_t *timer)
{
    struct engine *e = timer->data;
    struct job *j, *next;
    bool has_any = false;

    if (e->is_suspended)
        return;
    for (j = e->first; j != NULL; j = next) {
        next = j->next;
        if (!job_is_update(j))
            continue;
        has_any = true;
        look_at(e, j);
    }
    if (!has_any)
        (void)uv_timer_stop(timer);
}

void update_look_soon(struct engine *e)
{
    if (!uv_is_active((uv_handle_t *)&e->update_timer) && !e->is_stopping)
        (void)uv_timer_start(&e->update_timer, on_look, 0, UPDATE_LOOK_MS);
}

void updates_after_turn(struct engine *e)
{
    struct job *j;

    if (!uv_is_active((uv_handle_t *)&e->update_timer))
        return;
    for (j = e->first; j != NULL; j = j->next) {
        struct update_watch *w = j->update;

        if (w != NULL && w->stager != NULL && fsm_find_effect(&j->inst, w->effect_id) == NULL) {
            stager_kill(w->stager, false);
            w->stager = NULL;
        }
    }
}

void updates_init(struct engine *e)
{
    (void)uv_timer_init(e->loop, &e->update_timer); /* these cannot fail */
    (void)uv_timer_init(e->loop, &e->clock_timer);
    e->update_timer.data = e->clock_timer.data = e;
}

void updates_stop(struct engine *e)
{
    updates_drop_check(e);
    uv_close((uv_handle_t *)&e->update_timer, NULL);
    uv_close((uv_handle_t *)&e->clock_timer, NULL);
}
