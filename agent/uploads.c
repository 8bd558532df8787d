/* Uploads as the engine sees them: instances beside their commands, made when a step is promised
 * its start and told when it is over, both in the command's own transaction; their effects; and how
 * far the logs are, which is a fact of the journal.
 *
 * The command's answers wait in the outbox while an upload is in its first, bounded state. */
#define LOG_MODULE "upload"
#include "agent/engine_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crashpoint.h"
#include "base/log.h"
#include "base/str.h"
#include "fsm/upload.h"

#define FACT_PREFIX "logged "
#define FACT_SIZE (sizeof(FACT_PREFIX) + FSM_ID_SIZE)
#define POSITIONS_SIZE 48
#define MAX_PLAIN_ID_BYTES 64u

/* ---- where it goes ---- */

static bool wants_output_elsewhere(const struct job *job)
{
    const struct command *c = command_of(&job->inst);

    return !command_is_nested(&job->inst) && (c->output_bucket[0] != '\0' || c->has_logs != 0);
}

static void add_without_colons(struct buf *b, const char *text)
{
    for (; *text != '\0'; text++)
        if (*text != ':')
            (void)buf_add_char(b, *text); /* buf_error() is asked at the end */
}

/* <prefix>/<command>/<instance>/<plugin>/<step>; parts that are empty leave no slash. */
static int make_key(struct engine *e, const struct job *job, const struct document_plugin *p,
                    const struct document_unit *du, struct buf *b, struct err *err)
{
    send_payload_s3_prefix(&job->task->payload, e->config->instance_id, b);
    (void)buf_add_char(b, '/');
    add_without_colons(b, p->name);
    if (du->id != NULL && du->id[0] != '\0') {
        (void)buf_add_char(b, '/');
        add_without_colons(b, du->id);
    }
    return buf_error(b, "S3 key", err);
}

/* The id of a container is too long for names: its last part stands for it (spec 01, section 1.1).
 */
static const char *short_id(const char *id)
{
    const char *last = strlen(id) > MAX_PLAIN_ID_BYTES ? strrchr(id, '_') : NULL;

    return last != NULL ? last + 1 : id;
}

/* <command>/<instance>/<plugin id>, with '-' for the characters that a stream may not have. */
static int make_stream(struct engine *e, const struct job *job, const struct document_plugin *p,
                       struct buf *b, struct err *err)
{
    char *at;

    (void)buf_printf(b, "%s/%s/%s", job->task->payload.command_id, short_id(e->config->instance_id),
                     p->id);
    for (at = b->data; at != NULL && *at != '\0'; at++)
        if (*at == ':' || *at == '*')
            *at = '-';
    return buf_error(b, "log stream", err);
}

static int take_text(const struct buf *b, char *ret, size_t size, const char *what, struct err *err)
{
    return str_copy(ret, size, buf_str(b))
               ? 0
               : err_set(err, ERR_LIMIT, "%s is longer than %zu bytes", what, size - 1);
}

static int address(struct engine *e, const struct job *job, size_t unit, struct upload *u,
                   struct err *err)
{
    const struct document_unit *du = task_unit(job->task, &job->inst, unit);
    const struct document_plugin *p =
        &job->task->document->plugins[command_unit_at(&job->inst, unit)->plugin];
    AUTO(buf_done) struct buf key = {0}, stream = {0}, group = {0};
    int r = 0;

    buf_init(&key, sizeof(u->key));
    buf_init(&stream, sizeof(u->log_stream));
    buf_init(&group, sizeof(u->log_group));
    if (job->task->payload.s3_bucket[0] != '\0') {
        if (!str_copy(u->bucket, sizeof(u->bucket), job->task->payload.s3_bucket))
            return err_set(err, ERR_LIMIT, "S3 bucket \"%.60s...\" is not a bucket's name",
                           job->task->payload.s3_bucket);
        r = make_key(e, job, p, du, &key, err);
        if (r == 0)
            r = take_text(&key, u->key, sizeof(u->key), "S3 key", err);
    }
    if (r == 0 && job->task->payload.is_cloudwatch_enabled) {
        send_payload_log_group(&job->task->payload, &group);
        r = take_text(&group, u->log_group, sizeof(u->log_group), "log group", err);
        if (r == 0)
            r = make_stream(e, job, p, &stream, err);
        if (r == 0)
            r = take_text(&stream, u->log_stream, sizeof(u->log_stream), "log stream", err);
    }
    return r;
}

/* ---- made and told, within the command's transaction ---- */

static struct job *find_upload(const struct engine *e, const char *job_id, int64_t unit)
{
    char id[FSM_ID_SIZE];

    return upload_make_id(job_id, unit, id) ? engine_find_job(e, id) : NULL;
}

static int make(struct engine *e, struct job *job, size_t unit, struct err *err)
{
    struct fsm_instance inst;
    struct job *made = NULL;
    struct upload *u;
    struct fsm_event ev;
    struct err why;
    char id[FSM_ID_SIZE];
    int r = task_load(e, job, &why);

    if (r < 0 && err_class_of(r) == ERR_CLASS_RETRY)
        return err_set(err, r, "%s", why.text);
    if (r < 0) { /* nor can the step be started: the command ends, and its answer says why */
        log_warning("%s: output of step %zu is not uploaded: %s", job->inst.id, unit, why.text);
        return 0;
    }
    if (task_unit(job->task, &job->inst, unit) == NULL ||
        !upload_make_id(job->inst.id, (int64_t)unit, id))
        return 0;
    r = fsm_instance_init(&inst, &upload_machine, id, 0, clock_wall_ms(), err);
    if (r < 0)
        return r;
    u = upload_of(&inst);
    (void)str_copy(u->job, sizeof(u->job), job->inst.id); /* ids fit */
    u->unit = (int64_t)unit;
    u->wait_ms = e->config->upload_wait_seconds * 1000;
    u->keep_ms = e->config->log_retention_hours * 3600 * 1000;
    r = address(e, job, unit, u, &why);
    if (r < 0) { /* it cannot be sent anywhere: the step runs all the same */
        fsm_instance_done(&inst);
        log_warning("%s: output of step %zu is not uploaded: %s", job->inst.id, unit, why.text);
        return r == ERR_NOMEM ? err_set(err, r, "%s", why.text) : 0;
    }
    r = engine_add_job(e, &inst, "", &made, err);
    if (r < 0)
        return r;
    ev = engine_event(e, UPLOAD_EV_FOLLOW, 0, NULL);
    return engine_deliver(e, made, &ev, err);
}

int uploads_follow(struct engine *e, struct job *job, size_t lo, size_t hi, struct err *err)
{
    size_t i;
    int r = 0;

    if (!wants_output_elsewhere(job))
        return 0;
    for (i = lo; i < hi && r == 0; i++) {
        const struct command_unit *u = command_unit_at(&job->inst, i);
        struct job *upload = find_upload(e, job->inst.id, (int64_t)i);
        const struct upload_end end = {.attempts = u->attempt};
        struct fsm_event ev;

        if (u->attempt == 0) /* nothing of it ever ran */
            continue;
        if (upload == NULL && u->attempt == 1 && !command_unit_is_over(u)) {
            r = make(e, job, i, err);
        } else if (upload != NULL && upload->inst.state == UPLOAD_FOLLOWING &&
                   command_unit_is_over(u)) {
            ev = engine_event(e, UPLOAD_EV_ENDED, 0, &end);
            r = engine_deliver(e, upload, &ev, err);
        }
    }
    return r;
}

/* ---- how far the logs are ---- */

static void name_fact(const char *id, char ret_key[FACT_SIZE])
{
    (void)snprintf(ret_key, FACT_SIZE, FACT_PREFIX "%s", id); /* fits */
}

static int read_positions(struct engine *e, const char *id, int64_t ret_logged[2], struct err *err)
{
    AUTO(buf_done) struct buf value = {0};
    char key[FACT_SIZE];
    char *space;
    int r;

    ret_logged[0] = ret_logged[1] = 0;
    buf_init(&value, POSITIONS_SIZE);
    name_fact(id, key);
    r = e->journal->ops->get_fact(e->journal, key, &value, err);
    if (r == ERR_NOT_FOUND)
        return 0;
    if (r < 0)
        return r;
    space = strchr(buf_str(&value), ' ');
    if (space == NULL)
        return err_set(err, ERR_CORRUPT, "fact \"%s\": \"%s\"", key, buf_str(&value));
    *space = '\0';
    if (!str_to_i64(value.data, 0, INT64_MAX, &ret_logged[0]) ||
        !str_to_i64(space + 1, 0, INT64_MAX, &ret_logged[1]))
        return err_set(err, ERR_CORRUPT, "fact \"%s\": not two numbers", key);
    return 0;
}

int uploads_tidy(struct engine *e, const struct job *upload, struct err *err)
{
    char key[FACT_SIZE];

    if (!fsm_is_terminal(&upload->inst) || upload_of(&upload->inst)->log_group[0] == '\0')
        return 0;
    name_fact(upload->inst.id, key);
    return e->journal->ops->put_fact(e->journal, key, NULL, err);
}

struct logged_item {
    struct item item;
    char id[FSM_ID_SIZE];
    int64_t logged[2];
};

static int apply_logged(struct engine *e, struct item *item, struct err *err)
{
    const struct logged_item *it = container_of(item, struct logged_item, item);
    char key[FACT_SIZE], value[POSITIONS_SIZE];

    if (engine_find_job(e, it->id) == NULL)
        return 0;
    name_fact(it->id, key);
    (void)snprintf(value, sizeof(value), "%" PRId64 " %" PRId64, it->logged[0], it->logged[1]);
    return e->journal->ops->put_fact(e->journal, key, value, err);
}

static void finish_logged(struct engine *e, struct item *item, const struct err *err)
{
    struct logged_item *it = container_of(item, struct logged_item, item);

    if (err == NULL && e->courier != NULL)
        courier_go_on(e->courier, it->id);
    free(it);
}

static void on_logged(void *ctx, const char *id, const int64_t bytes[2])
{
    struct engine *e = ctx;
    struct logged_item *it = calloc(1, sizeof(*it));
    struct err err;

    crashpoint("upload.logged");
    if (it == NULL) { /* what was put is put again after the journal was read */
        (void)err_set(&err, ERR_NOMEM, "upload %s: out of memory", id);
        engine_ask_suspend(e, &err);
        return;
    }
    it->item = (struct item){.apply = apply_logged, .finish = finish_logged};
    (void)str_copy(it->id, sizeof(it->id), id); /* an instance's: fits */
    it->logged[0] = bytes[0];
    it->logged[1] = bytes[1];
    engine_queue(e, &it->item);
}

/* ---- effects ---- */

static void on_ended(void *ctx, const char *id, const struct err *err)
{
    struct engine *e = ctx;
    const struct job *upload = engine_find_job(e, id);
    const struct fsm_effect *fx =
        upload != NULL ? fsm_find_effect_kind(&upload->inst, UPLOAD_FX_SEND) : NULL;

    crashpoint("upload.ended");
    if (fx == NULL) {
        e->status.n_stale++;
        return;
    }
    if (err != NULL)
        engine_note_error(e, err);
    engine_queue_event(e, id, err != NULL ? UPLOAD_EV_REFUSED : UPLOAD_EV_SENT, fx->id, false,
                       err != NULL ? err->text : NULL);
}

static int open_output(void *ctx, const char *job, int unit, int attempt, int stream, int *ret_fd,
                       struct err *err)
{
    struct engine *e = ctx;
    const struct step_key key = {.job_id = job, .step = unit, .attempt = attempt};

    if (e->steps == NULL)
        return err_set(err, ERR_BUSY, "output of %s: the journal is being read", job);
    return steps_open_output(e->steps, &key, stream == 0 ? STEP_STDOUT : STEP_STDERR, ret_fd, err);
}

void engine_set_courier(struct engine *e, struct courier *courier)
{
    const struct courier_events events = {
        .open_output = open_output, .logged = on_logged, .ended = on_ended, .ctx = e};

    e->courier = courier;
    if (courier != NULL)
        courier_set_events(courier, &events);
}

void uploads_perform(struct engine *e, struct job *upload)
{
    const struct upload *u = upload_of(&upload->inst);
    struct courier_parcel parcel = {.id = upload->inst.id,
                                    .job = u->job,
                                    .unit = (int)u->unit,
                                    .attempts = u->attempts,
                                    .bucket = u->bucket,
                                    .key = u->key,
                                    .log_group = u->log_group,
                                    .log_stream = u->log_stream};
    struct err err = {0};
    int r = 0;

    if (e->courier == NULL) /* there is no service: it stays in the journal */
        return;
    if (u->log_group[0] != '\0')
        r = read_positions(e, upload->inst.id, parcel.logged, &err);
    if (r == 0)
        r = courier_take(e->courier, &parcel, &err);
    if (r < 0) {
        log_error("%s: %s", upload->inst.id, err.text);
        engine_ask_suspend(e, &err);
    }
}

/* ---- answers that wait ---- */

bool uploads_hold(const struct engine *e, const struct job *job, const struct fsm_effect *fx)
{
    size_t i;

    if (!job_is_command(job) || !wants_output_elsewhere(job) ||
        (fx->kind == COMMAND_FX_REPLY && fx->arg < 0))
        return false;
    for (i = 0; i < job->inst.n_children; i++) {
        const struct job *upload;

        if (fx->kind == COMMAND_FX_REPLY && command_unit_at(&job->inst, i)->plugin != fx->arg)
            continue;
        upload = find_upload(e, job->inst.id, (int64_t)i);
        if (upload != NULL && upload->inst.state == UPLOAD_SENDING)
            return true;
    }
    return false;
}

/* ---- files that are not to be kept ---- */

/* Nothing that is still to be said of the command needs this unit's output: its result was made,
 * and no step of the same name will add to it. */
static bool is_output_told(const struct job *job, const struct upload *u)
{
    size_t unit = (size_t)u->unit, i;

    if (job == NULL || job->inst.state == COMMAND_REPORTING || fsm_is_terminal(&job->inst))
        return true;
    for (i = unit + 1; i < job->inst.n_children; i++) { /* those before it are over */
        const struct document *d = job->task != NULL ? job->task->document : NULL;
        size_t own = (size_t)command_unit_at(&job->inst, unit)->plugin;
        size_t other = (size_t)command_unit_at(&job->inst, i)->plugin;

        if (d == NULL || other >= d->n_plugins ||
            d->plugins[other].same_as == d->plugins[own].same_as)
            return false;
    }
    return true;
}

/* Ssm.PluginLocalOutputCleanup "after-upload". Files of a step whose result is not made yet stay
 * until their job goes. */
static void remove_uploaded(struct engine *e, const struct job *job, const struct upload *u)
{
    struct err err;

    if (!str_eq(e->config->plugin_output_cleanup, "after-upload") || !is_output_told(job, u))
        return;
    if (e->cleanup == NULL && cleanup_new(e->loop, e->paths->jobs_dir, &e->cleanup, &err) < 0) {
        log_warning("%s: its output files stay: %s", u->job, err.text);
        return;
    }
    cleanup_output(e->cleanup, u->job, (int)u->unit, u->attempts);
}

void uploads_moved(struct engine *e, const struct job *upload)
{
    struct job *job = engine_find_job(e, upload_of(&upload->inst)->job);

    if (upload->inst.state == UPLOAD_SENDING)
        return;
    if (fsm_is_terminal(&upload->inst) && e->courier != NULL)
        courier_drop(e->courier, upload->inst.id); /* given up: else it is gone already */
    if (upload->inst.state == UPLOAD_DONE)
        remove_uploaded(e, job, upload_of(&upload->inst));
    if (job != NULL)
        outbox_kick(e, job);
}
