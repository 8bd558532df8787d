/* The end of an update is told: as AgentStatus to the service, in the output of the step that asked
 * for it, and in the journal. The first may fail; the other two are one transaction. */
#define LOG_MODULE "update"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/nest_internal.h"
#include "agent/update_internal.h"
#include "base/fs.h"
#include "base/str.h"
#include "base/version.h"
#include "update/slots.h"

#define WAIT_MS 15000 /* for a service that is not (yet) in reach, or does not answer */

/* ---- AgentStatus ---- */

/* Base, who asked, code, version: spec 06, section 8. */
static void make_status(const struct job *job, const char *base, const char *code, char *ret,
                        size_t size)
{
    static const char *const quiet[] = {"ErrorUnsupportedServiceManager", "ErrorAttempToDowngrade",
                                        "ErrorFailedPrecondition", "ErrorFailedLinksCheck",
                                        "ErrorInstallFailedDueToSnapd"};
    const struct update *u = update_of(&job->inst);
    char version[80] = "";
    bool is_quiet = false;
    size_t i;

    if (u->to_version[0] != '\0')
        version_four(u->to_version, version, sizeof(version));
    for (i = 0; i < ARRAY_LEN(quiet); i++)
        is_quiet = is_quiet || str_eq(code, quiet[i]);
    (void)snprintf(ret, size, "%s%s%s%s%s%s%s", base,
                   u->way == UPDATE_BY_CLOCK ? "_SelfUpdate" : "", code[0] != '\0' ? "_" : "", code,
                   version[0] != '\0' ? "-" : "", version, is_quiet ? "-NoAlarm" : "");
}

struct mention {
    struct call call;
    struct engine *e;
    unsigned generation;
    char job_id[FSM_ID_SIZE];
    int64_t effect_id; /* TELL; 0: nothing waits for it */
};

static void next_telling(struct engine *e, struct job *job, const struct fsm_effect *fx);

static void on_mentioned(void *ctx, const struct err *err)
{
    struct mention *m = ctx;
    struct engine *e = m->e;
    struct job *job = engine_find_job(e, m->job_id);
    const struct fsm_effect *fx = job != NULL ? fsm_find_effect(&job->inst, m->effect_id) : NULL;
    struct fsm_effect copy;

    if (err != NULL)
        log_info("AgentStatus: %s; it is not sent again", err->text);
    if (m->effect_id != 0 && fx != NULL && m->generation == e->generation && !e->is_suspended &&
        !e->is_stopping) {
        copy = *fx;
        next_telling(e, job, &copy);
    }
    calls_free(e, &m->call);
}

/* False: nothing is on its way. */
static bool mention(struct engine *e, const struct job *job, const char *base, const char *code,
                    int64_t effect_id)
{
    char status[200], version[80];
    struct mention *m;
    struct err err;

    if (!update_is_in_reach(e) || e->lookup->tell_status == NULL)
        return false;
    m = calls_new(e, sizeof(*m));
    if (m == NULL)
        return false;
    m->e = e;
    m->generation = e->generation;
    m->effect_id = effect_id;
    (void)str_copy(m->job_id, sizeof(m->job_id), job->inst.id); /* fits */
    make_status(job, base, code, status, sizeof(status));
    /* Of who speaks: after an update the service shows the new version at once. */
    version_four(ssmd_version, version, sizeof(version));
    if (e->lookup->tell_status(e->lookup, version, status, on_mentioned, m, &err) == 0)
        return true;
    log_info("AgentStatus %s: %s", status, err.text);
    calls_free(e, &m->call);
    return false;
}

void update_mention(struct engine *e, const struct job *job, const char *status, const char *code)
{
    (void)mention(e, job, status, code, 0);
}

/* ---- the end, within one transaction ---- */

struct told_item {
    struct item item;
    char job_id[FSM_ID_SIZE];
    int64_t effect_id;
};

/* `state` is that which was told. */
static int end_parent(struct engine *e, const struct job *job, uint8_t state, struct err *err)
{
    const struct update *u = update_of(&job->inst);
    struct job *parent = engine_find_job(e, u->parent_id);
    const struct fsm_effect *fx =
        parent != NULL ? fsm_find_effect_kind(&parent->inst, COMMAND_FX_SPAWN) : NULL;
    AUTO(buf_done) struct buf words = {0};
    char sha256[SHA256_HEX_SIZE];
    struct command_result result = {.status = u->status,
                                    .code = str_eq(u->status, "Failed")      ? 1
                                            : str_eq(u->status, "Cancelled") ? COMMAND_CODE_STOPPED
                                                                             : 0,
                                    .outcome = STEP_OUTCOME_UPDATED,
                                    .wait_status = -1,
                                    .ended_unix_ms = clock_wall_ms(),
                                    .stdout_sha256 = sha256,
                                    .text = u->text};
    struct fsm_event ev;

    if (u->parent_id[0] == '\0')
        return 0;
    if (fx == NULL || fx->arg != u->parent_unit || fx->arg2 != u->parent_attempt) {
        e->status.n_stale++; /* its parent gave it up */
        return 0;
    }
    buf_init(&words, NEST_MAX_WORDS);
    update_say(u, (enum update_state)state, &words);
    nest_put_words(e, parent, fx, STEP_STDOUT, &words);
    sha256_hex_of(buf_str(&words), words.len, sha256);
    result.stdout_bytes = (int64_t)words.len;
    ev = engine_event(e, COMMAND_EV_EXITED, fx->id, &result);
    return engine_deliver(e, parent, &ev, err);
}

static int apply_told(struct engine *e, struct item *item, struct err *err)
{
    const struct told_item *it = container_of(item, struct told_item, item);
    struct job *job = engine_find_job(e, it->job_id);
    struct fsm_event ev = engine_event(e, UPDATE_EV_TOLD, it->effect_id, NULL);
    uint8_t state;
    int r = 0;

    if (job == NULL || fsm_find_effect(&job->inst, it->effect_id) == NULL) {
        e->status.n_stale++;
        return 0;
    }
    state = job->inst.state;
    if (state == UPDATE_ROLLED_BACK)
        r = e->journal->ops->put_fact(e->journal, UPDATE_FACT_BAD,
                                      update_of(&job->inst)->to_version, err);
    else if (state == UPDATE_COMMITTED)
        r = e->journal->ops->put_fact(e->journal, UPDATE_FACT_BAD, NULL, err);
    if (r == 0)
        r = engine_deliver(e, job, &ev, err);
    return r < 0 ? r : end_parent(e, job, state, err);
}

static void finish_told(struct engine *e, struct item *item, const struct err *err)
{
    (void)e;
    (void)err; /* not committed: it is told again after the next load */
    free(container_of(item, struct told_item, item));
}

static void queue_told(struct engine *e, const struct job *job, int64_t effect_id)
{
    struct told_item *it = calloc(1, sizeof(*it));
    struct err err;

    if (it == NULL) {
        (void)err_set(&err, ERR_NOMEM, "end of update %s: out of memory", job->inst.id);
        engine_ask_suspend(e, &err);
        return;
    }
    it->item = (struct item){.apply = apply_told, .finish = finish_told};
    (void)str_copy(it->job_id, sizeof(it->job_id), job->inst.id); /* fits */
    it->effect_id = effect_id;
    engine_queue(e, &it->item);
}

/* ---- tidying up, on the thread pool ---- */

struct sweep {
    struct call call;
    struct engine *e;
    unsigned generation;
    uv_work_t work;
    char job_id[FSM_ID_SIZE];
    int64_t effect_id;
    bool is_committed;
    unsigned keep;
    char update_dir[PATH_MAX], slots_dir[PATH_MAX];
    struct err err;
};

static void do_sweep(uv_work_t *work)
{
    struct sweep *s = container_of(work, struct sweep, work);
    AUTO(slots_done) struct slots slots = {.dir_fd = -1, .versions_fd = -1};
    AUTO(close_fd) int dirfd = -1;

    if (fs_open_dir(AT_FDCWD, s->update_dir, &dirfd, &s->err) == 0 &&
        fs_remove_tree(dirfd, "work", &s->err) == 0)
        s->err.code = 0;
    if (s->is_committed && slots_open(s->slots_dir, false, &slots, &s->err) == 0 &&
        slots_prune(&slots, s->keep, &s->err) == 0)
        s->err.code = 0;
}

static void after_sweep(uv_work_t *work, int status)
{
    struct sweep *s = container_of(work, struct sweep, work);
    struct engine *e = s->e;
    struct job *job = engine_find_job(e, s->job_id);

    if (status == 0 && s->err.code != 0 && s->err.code != ERR_NOT_FOUND)
        log_warning("what an update left cannot be removed: %s", s->err.text);
    if (s->generation == e->generation && !e->is_suspended && !e->is_stopping && job != NULL)
        queue_told(e, job, s->effect_id);
    calls_free(e, &s->call);
}

/* What lies there may be another one's. */
static bool is_alone(const struct engine *e, const struct job *job)
{
    const struct job *j;

    for (j = e->first; j != NULL; j = j->next)
        if (j != job && job_is_update(j))
            return false;
    return true;
}

static void sweep(struct engine *e, struct job *job, const struct fsm_effect *fx)
{
    struct sweep *s = is_alone(e, job) ? calls_new(e, sizeof(*s)) : NULL;

    if (s != NULL) {
        s->e = e;
        s->generation = e->generation;
        s->effect_id = fx->id;
        s->is_committed = job->inst.state == UPDATE_COMMITTED;
        s->keep = (unsigned)e->config->update_keep_versions;
        (void)str_copy(s->job_id, sizeof(s->job_id), job->inst.id); /* all are as large */
        (void)str_copy(s->update_dir, sizeof(s->update_dir), e->paths->update_dir);
        (void)str_copy(s->slots_dir, sizeof(s->slots_dir), e->paths->slots_dir);
        if (uv_queue_work(e->loop, &s->work, do_sweep, after_sweep) == 0)
            return;
        calls_free(e, &s->call);
    }
    queue_told(e, job, fx->id); /* the next update removes it */
}

/* ---- in order ---- */

static bool send_first(struct engine *e, const struct job *job, const struct fsm_effect *fx)
{
    return job->inst.state == UPDATE_ROLLED_BACK &&
           mention(e, job, "RollBackCompleted", "", fx->id);
}

static bool send_last(struct engine *e, const struct job *job, const struct fsm_effect *fx)
{
    const struct update *u = update_of(&job->inst);
    bool is_failed = str_eq(u->status, "Failed");

    if (str_eq(u->status, "Cancelled") || str_eq(u->text, UPDATE_BUSY_TEXT))
        return false; /* the reference has no word for it */
    return mention(e, job, is_failed ? "UpdateFailed" : "UpdateSucceeded",
                   is_failed && u->code[0] == '\0' ? "ErrorUnexpected" : u->code, fx->id);
}

static void next_telling(struct engine *e, struct job *job, const struct fsm_effect *fx)
{
    struct update_watch *w = job->update;

    if (w == NULL || w->effect_id != fx->id)
        return;
    if (w->telling == TELLING_NOT) {
        w->telling = TELLING_FIRST;
        if (send_first(e, job, fx))
            return;
    }
    if (w->telling == TELLING_FIRST) {
        w->telling = TELLING_LAST;
        if (send_last(e, job, fx))
            return;
    }
    if (w->telling == TELLING_LAST) {
        w->telling = TELLING_WORK;
        sweep(e, job, fx);
    }
}

void update_tell(struct engine *e, struct job *job, const struct fsm_effect *fx)
{
    struct update_watch *w = job->update;
    bool is_late;

    if (w->give_up_ms == 0)
        w->give_up_ms = clock_boottime_ms() + WAIT_MS;
    is_late = clock_boottime_ms() >= w->give_up_ms;
    if (w->telling == TELLING_NOT && (update_is_in_reach(e) || is_late || e->lookup == NULL))
        next_telling(e, job, fx);
    else if (w->telling < TELLING_WORK && is_late) { /* an answer that does not come */
        w->telling = TELLING_LAST;
        next_telling(e, job, fx);
    }
}
