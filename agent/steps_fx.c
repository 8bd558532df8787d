/* The effects of the command machine that touch this machine: start a step, stop it, reboot; and
 * what comes back. */
#define LOG_MODULE "steps"
#include "agent/engine_internal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/update.h"
#include "base/log.h"
#include "base/str.h"
#include "executors/reboot.h"
#include "executors/shell.h"
#include "schema/download.h"
#include "schema/plugin.h"
#include "schema/script.h"

#define HOLD_MS 3000 /* between tries of what the machine has no room for */
#define MAX_START_TRIES                                                                            \
    100 /* five minutes; long before that a disk that is full for the journal too suspends all */
#define REBOOT_FACT "reboot"

/* ---- results ---- */

struct result_item {
    struct item item;
    char job_id[FSM_ID_SIZE];
    int64_t effect_id;
    uint8_t event;
    struct command_result result; /* its texts point below */
    char status[20], outcome[16], text[512];
    char stdout_sha256[SHA256_HEX_SIZE], stderr_sha256[SHA256_HEX_SIZE];
};

static int apply_result(struct engine *e, struct item *item, struct err *err)
{
    struct result_item *it = container_of(item, struct result_item, item);
    struct job *job = engine_find_job(e, it->job_id);
    struct fsm_event ev = engine_event(e, it->event, it->effect_id, &it->result);

    if (job == NULL) {
        e->status.n_stale++;
        return 0;
    }
    return engine_deliver(e, job, &ev, err);
}

static void finish_result(struct engine *e, struct item *item, const struct err *err)
{
    (void)e;
    (void)err; /* the runner's record is still there: a later load finds it */
    free(container_of(item, struct result_item, item));
}

static struct result_item *new_result(const struct job *job, int64_t effect_id, uint8_t event)
{
    struct result_item *it = calloc(1, sizeof(*it));

    if (it == NULL)
        return NULL;
    it->item = (struct item){.apply = apply_result, .finish = finish_result};
    (void)str_copy(it->job_id, sizeof(it->job_id), job->inst.id);
    it->effect_id = effect_id;
    it->event = event;
    it->result = (struct command_result){.status = it->status,
                                         .outcome = it->outcome,
                                         .text = it->text,
                                         .stdout_sha256 = it->stdout_sha256,
                                         .stderr_sha256 = it->stderr_sha256,
                                         .ended_unix_ms = clock_wall_ms()};
    return it;
}

/* The end was told once and could not be kept: everything is asked again. */
static void out_of_memory(struct engine *e, const struct job *job)
{
    struct err err;

    (void)err_set(&err, ERR_NOMEM, "result of %s: out of memory", job->inst.id);
    engine_ask_suspend(e, &err);
}

void fx_end_step(struct engine *e, const struct job *job, const struct fsm_effect *fx,
                 const char *status, const char *outcome, const char *text, const struct buf *out)
{
    struct result_item *it = new_result(job, fx->id, COMMAND_EV_EXITED);

    if (it == NULL) {
        out_of_memory(e, job);
        return;
    }
    (void)str_copy(it->status, sizeof(it->status), status);
    (void)str_copy(it->outcome, sizeof(it->outcome), outcome);
    (void)str_copy(it->text, sizeof(it->text), text); /* cut is fine: it is for people */
    it->result.code = str_eq(status, "Failed") ? 1 : 0;
    it->result.wait_status = -1;
    if (out != NULL) {
        it->result.stdout_bytes = (int64_t)out->len;
        sha256_hex_of(buf_str(out), out->len, it->stdout_sha256);
    }
    engine_queue(e, &it->item);
}

/* Its inputs cannot be used, or it cannot be started at all. */
static void fail_step(struct engine *e, const struct job *job, const struct fsm_effect *fx,
                      const char *outcome, const char *text)
{
    fx_end_step(e, job, fx, "Failed", outcome, text, NULL);
}

static const char *end_name(enum step_end end)
{
    static const char *const names[] = {
#define END_NAME_(code, name) [code] = name,
        STEP_ENDS(END_NAME_)
#undef END_NAME_
    };

    return names[end];
}

static void fill_result(struct result_item *it, const struct step_outcome *o)
{
    const struct shell_result r = shell_result_of(o);
    uint64_t n_over =
        o->out.total + o->err.total + o->stderr_appended - o->out.bytes - o->err.bytes;

    (void)str_copy(it->status, sizeof(it->status), r.status);
    (void)str_copy(it->outcome, sizeof(it->outcome), end_name(o->end));
    (void)str_copy(it->text, sizeof(it->text), o->text);
    (void)str_copy(it->stdout_sha256, sizeof(it->stdout_sha256), o->out.sha256);
    (void)str_copy(it->stderr_sha256, sizeof(it->stderr_sha256), o->err.sha256);
    it->result.code = r.code;
    it->result.wait_status = o->wait_status;
    it->result.started_unix_ms = o->started_unix_ms;
    it->result.ended_unix_ms = o->ended_unix_ms;
    it->result.stdout_bytes = (int64_t)o->out.bytes;
    it->result.stderr_bytes = (int64_t)o->err.bytes;
    /* Over a cap, not taken by the disk, or taken and not synced. */
    it->result.output_lost = (int64_t)(o->output_lost > n_over ? o->output_lost : n_over);
    it->result.n_unkilled = o->unkilled;
}

/* ---- what is known of a step whose end nobody saw ---- */

static int64_t last_output_ms(struct engine *e, const struct step_key *key)
{
    int64_t newest = 0;
    int stream;

    for (stream = 0; stream < 2; stream++) {
        AUTO(close_fd) int fd = -1;
        struct stat st;
        struct err err;
        int64_t ms;

        if (steps_open_output(e->steps, key, stream == 0 ? STEP_STDOUT : STEP_STDERR, &fd, &err) <
                0 ||
            fstat(fd, &st) < 0)
            continue;
        ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
        newest = ms > newest ? ms : newest;
    }
    return newest;
}

/* Whose reboot ended that boot, if it was one that a job here had asked for. */
static void reboot_owner(struct engine *e, const char *boot_id, char ret_job[FSM_ID_SIZE])
{
    AUTO(buf_done) struct buf fact = {0};
    char *space;

    ret_job[0] = '\0';
    buf_init(&fact, 256);
    if (e->journal->ops->get_fact(e->journal, REBOOT_FACT, &fact, NULL) < 0 || fact.len == 0)
        return;
    space = strchr(fact.data, ' ');
    if (space == NULL)
        return;
    *space = '\0';
    if (str_eq(fact.data, boot_id))
        (void)str_copy(ret_job, FSM_ID_SIZE, space + 1);
}

static void tell_loss(struct engine *e, const struct step_key *key, const struct command_unit *u,
                      const struct step_outcome *o, char *ret_text, size_t size)
{
    const char *boot = o->boot_id[0] != '\0' ? o->boot_id : u->boot_id;
    int64_t started = o->started_unix_ms != 0 ? o->started_unix_ms : u->started_unix_ms;
    int64_t seen = last_output_ms(e, key);
    char owner[FSM_ID_SIZE], since[ISO_MS_SIZE];

    clock_format_iso_ms(started, since);
    reboot_owner(e, boot, owner);
    (void)snprintf(ret_text, size,
                   "%s%s in boot %s; it began %s and had run for at least %" PRId64 " s",
                   str_eq(boot, e->boot_id)
                       ? (o->text[0] != '\0' ? o->text : "its runner ended without a result")
                   : owner[0] != '\0' ? "the reboot that was asked for by command "
                                      : "the machine went down under it",
                   str_eq(boot, e->boot_id) ? "" : owner, boot, since,
                   seen > started ? (seen - started) / 1000 : 0);
}

/* ---- ends ---- */

static const struct fsm_effect *find_spawn(const struct job *job, const struct step_key *key)
{
    const struct fsm_effect *fx = fsm_find_effect_kind(&job->inst, COMMAND_FX_SPAWN);

    return fx != NULL && fx->arg == key->step && fx->arg2 == key->attempt ? fx : NULL;
}

void fx_try_again_later(struct engine *e)
{
    if (!uv_is_active((uv_handle_t *)&e->hold_timer) && !e->is_stopping)
        (void)uv_timer_start(&e->hold_timer, fx_hold_timer, HOLD_MS, 0);
}

/* A runner of an earlier process may still be on its way to begin: "not started" is true only when
 * the step is void. False: not now. */
static bool give_up_start(struct engine *e, struct job *job, const struct fsm_effect *fx,
                          const char *text)
{
    const struct step_key key = {
        .job_id = job->inst.id, .step = (int)fx->arg, .attempt = (int)fx->arg2};
    enum step_answer answer;
    struct err err;
    int r = steps_stop(e->steps, &key, STEP_STOP_CANCELLED, &answer, &err);

    if (r < 0 && err_class_of(r) == ERR_CLASS_RETRY)
        return false;
    if (r == 0 && answer != STEP_VOID) { /* it has begun after all: its end is told */
        r = steps_attach(e->steps, &key, &err);
        return r == 0 || r == ERR_EXISTS;
    }
    fail_step(e, job, fx, STEP_OUTCOME_NOT_STARTED, text);
    return true;
}

/* A start that did not come about: said, counted, tried again, and given up in the end. */
static void start_failed(struct engine *e, struct job *job, const struct fsm_effect *fx,
                         const struct err *err)
{
    if (job->n_start_tries <= 1) {
        log_warning("%s: step %" PRId64 " cannot be started now, it is tried again: %s",
                    job->inst.id, fx->arg, err->text);
        engine_note_error(e, err);
    }
    if ((err_class_of(err->code) != ERR_CLASS_RETRY || job->n_start_tries >= MAX_START_TRIES) &&
        give_up_start(e, job, fx, err->text))
        return;
    job->has_held_spawn = true;
    fx_try_again_later(e);
}

/* Its directory was made before its start was promised, or the journal knows that it was not. In
 * the boot of that promise it cannot be missing by itself; after a loss of power it can, and then
 * it was never begun, since a runner syncs it first. */
static bool is_removed(struct engine *e, const struct job *job, const struct fsm_effect *fx,
                       const struct step_key *key)
{
    return job->unmade_effect != fx->id &&
           str_eq(command_unit_at(&job->inst, (size_t)key->step)->boot_id, e->boot_id) &&
           !steps_has_dir(e->steps, key);
}

void fx_step_ended(struct engine *e, struct job *job, const struct step_key *key,
                   enum step_answer answer, const struct step_outcome *outcome)
{
    const struct fsm_effect *fx = find_spawn(job, key);
    struct result_item *it;
    struct err err;

    if (fx == NULL) {
        e->status.n_stale++;
        return;
    }
    switch (answer) {
    case STEP_NOT_BEGUN:
        if ((job->start_effect != fx->id || job->inst.state == COMMAND_STOPPING) &&
            is_removed(e, job, fx, key)) {
            if (steps_kill_orphans(e->steps, key) > 0)
                log_warning("%s: step %d ran on without its directory: killed", key->job_id,
                            key->step);
            it = new_result(job, fx->id, COMMAND_EV_LOST);
            if (it != NULL)
                (void)str_copy(it->text, sizeof(it->text),
                               "its directory was removed, and with it all evidence");
            break;
        }
        if (job->inst.state == COMMAND_STOPPING) { /* told to stop, its runner died on its way */
            fx_stop(e, job, fx);                   /* makes it void */
            return;
        }
        if (job->start_effect != fx->id || job->n_start_tries == 0) { /* an earlier process's */
            fx_spawn(e, job, fx);
            return;
        }
        (void)err_set(&err, ERR_SYSTEM, "%s",
                      outcome->text[0] != '\0' ? outcome->text : "its runner did not begin");
        start_failed(e, job, fx, &err);
        return;
    case STEP_ENDED:
        it = new_result(job, fx->id, COMMAND_EV_EXITED);
        if (it != NULL)
            fill_result(it, outcome);
        break;
    case STEP_LOST:
        it = new_result(job, fx->id, COMMAND_EV_LOST);
        if (it != NULL)
            tell_loss(e, key, command_unit_at(&job->inst, (size_t)key->step), outcome, it->text,
                      sizeof(it->text));
        break;
    case STEP_VOID:
        engine_queue_event(e, key->job_id, COMMAND_EV_VOID, fx->id, false, NULL);
        return;
    case STEP_RUNNING:
    default:
        return;
    }
    if (it == NULL)
        out_of_memory(e, job);
    else
        engine_queue(e, &it->item);
}

/* ---- start ---- */

static enum command_unit_kind kind_of(const struct job *job, const struct fsm_effect *fx)
{
    return (enum command_unit_kind)command_unit_at(&job->inst, (size_t)fx->arg)->kind;
}

/* Where the output goes to S3, it is kept whole until then. */
uint64_t fx_output_cap(const struct engine *e, const struct job *job)
{
    uint64_t cap = (uint64_t)e->config->output_cap_mib << 20;

    if (command_is_nested(&job->inst)) { /* its output becomes the output of who ran it */
        const struct job *root = engine_find_job(e, command_root_id(job->inst.id));

        job = root != NULL ? root : job;
    }
    return command_of(&job->inst)->output_bucket[0] != '\0' && cap < SHELL_SPOOL_CAP_BYTES
               ? SHELL_SPOOL_CAP_BYTES
               : cap;
}

static int start(struct engine *e, struct job *job, const struct step_key *key,
                 enum shell_kind kind, const struct script_inputs *inputs, struct err *err)
{
    const struct command_unit *u = command_unit_at(&job->inst, (size_t)key->step);
    AUTO(shell_spec_free) struct shell_spec *spec = NULL;
    AUTO(free) struct shell_variable *environment = NULL;
    char step_dir[PATH_MAX], downloads[PATH_MAX];
    struct step_spec ss;
    struct shell_request rq = {
        .kind = kind,
        .powershell = e->powershell,
        .script = inputs->script,
        .script_len = inputs->script_len,
        .timeout_s = u->limit_ms / 1000,
        .working_directory = inputs->working_directory,
        .n_environment = inputs->n_environment,
        .step_dir = step_dir,
        .downloads_dir = downloads,
        .is_noexec = e->is_noexec,
        .cap_bytes = fx_output_cap(e, job),
        .grace_ms = command_of(&job->inst)->grace_ms, /* as its stop will wait for */
        .base_environment = (const char *const *)environ,
        .command_id = command_root_id(job->inst.id),
        .instance_id = e->config->instance_id,
        .region = config_signing_region(e->config),
        .aws_credentials_file = e->share_file[0] != '\0' ? e->share_file : NULL,
        .aws_profile = e->share_profile[0] != '\0' ? e->share_profile : NULL,
        .platform_name = e->platform->name,
        .platform_version = e->platform->version,
    };
    size_t i;
    int r;

    environment = calloc(inputs->n_environment + 1, sizeof(*environment));
    if (environment == NULL)
        return err_set(err, ERR_NOMEM, "environment of the script: out of memory");
    for (i = 0; i < inputs->n_environment; i++)
        environment[i] =
            (struct shell_variable){inputs->environment[i].name, inputs->environment[i].value};
    rq.environment = environment;
    if (snprintf(downloads, sizeof(downloads), "%s/%s/downloads", e->paths->jobs_dir,
                 job->inst.id) >= (int)sizeof(downloads))
        return err_set(err, ERR_LIMIT, "directory of %s: the path is too long", job->inst.id);
    if ((r = steps_path(e->steps, key, step_dir, sizeof(step_dir), err)) < 0 ||
        (r = shell_make_spec(&rq, &spec, err)) < 0)
        return r;
    shell_spec_fill(spec, &ss);
    ss.key = *key;
    ss.boot_id = e->boot_id;
    return steps_start(e->steps, &ss, err);
}

/* Its time counts from the promise; where that is long ago, because nobody was here or a reboot was
 * awaited, a step that begins now has all of it. */
static void note_start(struct engine *e, const struct job *job)
{
    const struct fsm_deadline *d = &job->inst.deadline;

    if (d->after_ms > 0 && d->boottime_ms - clock_boottime_ms() < d->after_ms - ENGINE_LATE_MS)
        engine_queue_event(e, job->inst.id, COMMAND_EV_BEGUN, 0, false, NULL);
}

static const char *plugin_of(const struct job *job, const struct document_unit *unit)
{
    return job->task->document->plugins[unit->plugin].name;
}

void fx_spawn(struct engine *e, struct job *job, const struct fsm_effect *fx)
{
    const struct step_key key = {
        .job_id = job->inst.id, .step = (int)fx->arg, .attempt = (int)fx->arg2};
    AUTO(script_inputs_done) struct script_inputs inputs = {0};
    AUTO(download_inputs_done) struct download_inputs download = {.root = NULL};
    bool is_download;
    const struct document_unit *unit;
    AUTO(buf_done) struct buf failure = {0};
    struct err err;
    int r;

    /* Its stop makes the step void; never start it now. */
    if (job->inst.state == COMMAND_STOPPING || jobs_is_set_aside(e, job->inst.id) ||
        !nest_may_start(e, job))
        return;
    if (fx_is_reboot_pending(e)) {
        job->has_held_spawn = true; /* released by the turn in which the reboot is given up */
        return;
    }
    buf_init(&failure, 65536);
    r = task_load(e, job, &err);
    unit = r == 0 ? task_unit(job->task, &job->inst, (size_t)fx->arg) : NULL;
    if (r == 0 && unit == NULL) {
        (void)err_set(&err, ERR_CORRUPT, "step %" PRId64 " is not in the document", fx->arg);
        r = ERR_CORRUPT;
    }
    if (r == 0 && unit != NULL && kind_of(job, fx) == COMMAND_UNIT_DOCUMENT) {
        nest_spawn(e, job, fx, unit);
        return;
    }
    if (r == 0 && unit != NULL && kind_of(job, fx) == COMMAND_UNIT_UPDATE) {
        update_step_spawn(e, job, fx, unit);
        return;
    }
    if (r == 0 && unit != NULL && str_eq(plugin_of(job, unit), PLUGIN_REFRESH_ASSOCIATION)) {
        refresh_spawn(e, job, fx, unit);
        return;
    }
    is_download = r == 0 && unit != NULL && download_is_unit(job, unit);
    if (r == 0 && unit != NULL) {
        r = is_download ? download_inputs_parse(unit->inputs, &download, &err)
                        : script_inputs_parse(unit->inputs, &inputs, &failure, &err);
        if (r < 0 && err_class_of(r) != ERR_CLASS_RETRY) {
            fail_step(e, job, fx,
                      is_download ? STEP_OUTCOME_NOT_PREPARED : STEP_OUTCOME_INVALID_INPUT,
                      err.text);
            return;
        }
    }
    if (job->start_effect != fx->id) {
        job->start_effect = fx->id;
        job->n_start_tries = 0;
    }
    if (r == 0 && job->unmade_effect == fx->id && (r = room_make(e, job, fx, &err)) == 0)
        return; /* started when the journal knows of its directory */
    job->n_start_tries++;
    if (r == 0) {
        r = is_download
                ? download_start(e, job, &key, unit, &err)
                : start(e, job, &key,
                        str_eq(plugin_of(job, unit), PLUGIN_POWERSHELL_SCRIPT) ? SHELL_POWERSHELL
                                                                               : SHELL_SH,
                        &inputs, &err);
        if (r == ERR_EXISTS) /* watched already: its end will be told */
            return;
    }
    if (r < 0)
        start_failed(e, job, fx, &err);
    else
        note_start(e, job);
}

void fx_probe_spawn(struct engine *e, struct job *job, const struct fsm_effect *fx)
{
    const struct step_key key = {
        .job_id = job->inst.id, .step = (int)fx->arg, .attempt = (int)fx->arg2};
    struct err err;
    int r;

    if (kind_of(job, fx) != COMMAND_UNIT_PROCESS) { /* the journal knows whether it was begun: it
                                                       looks there first */
        fx_spawn(e, job, fx);
        return;
    }
    r = room_load(e, job, fx, &err);
    if (r < 0) {
        engine_ask_suspend(e, &err);
        return;
    }
    r = steps_attach(e->steps, &key, &err); /* whatever became of it is told by the event */
    if (r == 0 || r == ERR_EXISTS)
        return;
    log_error("%s: step %d.%d cannot be looked up: %s", job->inst.id, key.step, key.attempt,
              err.text);
    start_failed(e, job, fx, &err); /* starting looks at its records first */
}

static void release(struct engine *e, struct job *job)
{
    const struct fsm_effect *spawn = fsm_find_effect_kind(&job->inst, COMMAND_FX_SPAWN);
    const struct fsm_effect *stop = fsm_find_effect_kind(&job->inst, COMMAND_FX_STOP);
    const struct fsm_effect *report = fsm_find_effect_kind(&job->inst, COMMAND_FX_REPORT);
    struct fsm_effect copy;

    if (job->has_held_spawn) {
        job->has_held_spawn = false; /* whoever finds that it must wait on sets it again */
        if (spawn != NULL) {
            copy = *spawn;
            fx_spawn(e, job, &copy);
        }
    }
    if (job->has_unasked_stop) {
        job->has_unasked_stop = false;
        if (stop != NULL) {
            copy = *stop;
            fx_stop(e, job, &copy);
        }
    }
    if (job->has_held_report) {
        job->has_held_report = false;
        if (report != NULL) {
            copy = *report;
            nest_report(e, job, &copy);
        }
    }
}

void fx_release_held(struct engine *e)
{
    struct job *j, *next;

    if (uv_is_active((uv_handle_t *)&e->hold_timer))
        return;
    for (j = e->first; j != NULL; j = next) {
        next = j->next;
        if (j->has_held_spawn || j->has_unasked_stop || j->has_held_report)
            release(e, j);
    }
}

void fx_hold_timer(uv_timer_t *timer)
{
    fx_release_held(timer->data);
}

/* ---- stop ---- */

static void stop_failed(struct engine *e, struct job *job, const struct step_key *key,
                        const struct err *err)
{
    log_error("%s: step %d cannot be told to stop, it is tried again: %s", key->job_id, key->step,
              err->text);
    engine_note_error(e, err);
    job->has_unasked_stop = true;
    fx_try_again_later(e);
}

/* There is nowhere to put a word for its runner, and what it did cannot be known: it is killed, and
 * told as lost by the watch. */
static void stop_removed(struct engine *e, struct job *job, const struct step_key *key)
{
    struct err err;

    if (steps_kill_orphans(e->steps, key) > 0)
        log_warning("%s: step %d ran on without its directory: killed", key->job_id, key->step);
    if (steps_attach(e->steps, key, &err) < 0 && err.code != ERR_EXISTS)
        stop_failed(e, job, key, &err);
}

void fx_stop(struct engine *e, struct job *job, const struct fsm_effect *fx)
{
    const struct step_key key = {
        .job_id = job->inst.id, .step = (int)fx->arg, .attempt = (int)fx->arg2};
    bool is_timeout = command_of(&job->inst)->stop == COMMAND_STOP_TIMEOUT;
    const struct fsm_effect *spawn;
    enum step_answer answer;
    struct err err;

    if (kind_of(job, fx) == COMMAND_UNIT_DOCUMENT) {
        nest_stop(e, job, fx);
        return;
    }
    if (kind_of(job, fx) == COMMAND_UNIT_UPDATE) {
        update_step_stop(e, job, fx);
        return;
    }
    spawn = find_spawn(job, &key);
    if (spawn != NULL && !job->has_held_spawn && is_removed(e, job, spawn, &key)) {
        stop_removed(e, job, &key);
        return;
    }
    if (steps_stop(e->steps, &key, is_timeout ? STEP_STOP_TIMED_OUT : STEP_STOP_CANCELLED, &answer,
                   &err) < 0) {
        stop_failed(e, job, &key, &err);
        return;
    }
    if (answer == STEP_VOID) /* nobody may be watching a step that never began */
        engine_queue_event(e, job->inst.id, COMMAND_EV_VOID, 0, false, NULL);
    else if (steps_attach(e->steps, &key, &err) < 0 && err.code != ERR_EXISTS)
        log_error("%s: step %d: %s", job->inst.id, key.step, err.text); /* else its end is told */
}

/* ---- reboot ---- */

/* It waits for the end of this boot. */
static bool is_asker(const struct engine *e, const struct job *j)
{
    return job_is_command(j) && j->inst.state == COMMAND_REBOOTING &&
           str_eq(command_of(&j->inst)->reboot_boot_id, e->boot_id);
}

static const struct job *find_asker(const struct engine *e)
{
    const struct job *j;

    for (j = e->first; j != NULL && !is_asker(e, j); j = j->next)
        ;
    return j;
}

bool fx_is_reboot_pending(const struct engine *e)
{
    return find_asker(e) != NULL;
}

int fx_keep_reboot_intent(struct engine *e, struct err *err)
{
    const struct job *asker = find_asker(e), *before;
    char fact[BOOT_ID_SIZE + FSM_ID_SIZE + 1];
    char owner[FSM_ID_SIZE];

    reboot_owner(e, e->boot_id, owner);
    before = engine_find_job(e, owner);
    if ((before != NULL && is_asker(e, before)) || (asker == NULL && owner[0] == '\0'))
        return 0; /* whose it is already; that of an earlier boot may stay: it ended as it says */
    if (asker == NULL)
        return e->journal->ops->put_fact(e->journal, REBOOT_FACT, NULL, err);
    (void)snprintf(fact, sizeof(fact), "%s %s", e->boot_id, asker->inst.id);
    return e->journal->ops->put_fact(e->journal, REBOOT_FACT, fact, err);
}

static void on_reboot_asked(void *ctx, const struct err *err)
{
    struct engine *e = ctx;
    struct job *j;

    e->reboot = NULL;
    if (err == NULL || e->is_suspended) /* it was asked for; it comes, or is overdue */
        return;
    log_error("reboot: %s", err->text);
    engine_note_error(e, err);
    for (j = e->first; j != NULL; j = j->next)
        if (job_is_command(j) && j->inst.state == COMMAND_REBOOTING)
            engine_queue_event(e, j->inst.id, COMMAND_EV_OVERDUE, 0, false, err->text);
}

void fx_reboot(struct engine *e, struct job *job, const struct fsm_effect *fx, bool is_restart)
{
    const struct command *c = command_of(&job->inst);
    const struct job *j;
    struct err err;

    if (!str_eq(c->reboot_boot_id, e->boot_id)) { /* it has come */
        engine_queue_event(e, job->inst.id, COMMAND_EV_BOOTED, fx->id, false, NULL);
        return;
    }
    if (e->reboot != NULL || (is_restart && reboot_is_scheduled("")))
        return; /* asked for, and on its way */
    for (j = e->first; j != NULL && !is_restart && c->reboot_tries == 1; j = j->next) {
        const struct fsm_effect *other = job_is_command(j) && j->inst.state == COMMAND_REBOOTING
                                             ? fsm_find_effect_kind(&j->inst, COMMAND_FX_REBOOT)
                                             : NULL;

        if (other != NULL && other->id < fx->id) /* the oldest request serves this one too */
            return;
    }
    log_warning("%s asked for a reboot: running %s", job->inst.id, e->config->reboot_argv[0]);
    if (reboot_request(e->loop, e->config->reboot_argv, on_reboot_asked, e, &e->reboot, &err) < 0)
        on_reboot_asked(e, &err);
}
