/* From a delivered message to an instance in the journal: is it known, what is it, can it be run?
 */
#define LOG_MODULE "intake"
#include "agent/engine_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ids.h"
#include "base/log.h"
#include "base/sha256.h"
#include "base/str.h"
#include "schema/parameter_store.h"
#include "schema/plugin.h"
#include "schema/script.h"

void intake_job_id(const char *message_id, char ret_job_id[FSM_ID_SIZE])
{
    char command_id[COMMAND_ID_MAX + 1], hex[SHA256_HEX_SIZE];

    if (message_command_id(message_id, command_id, NULL) == 0 && ids_is_uuid(command_id)) {
        (void)str_copy(ret_job_id, FSM_ID_SIZE, command_id); /* 36 characters */
        return;
    }
    sha256_hex_of(message_id, strlen(message_id), hex);
    (void)snprintf(ret_job_id, FSM_ID_SIZE, "m-%.32s", hex);
}

static int put_message(struct engine *e, const struct message_item *it, struct err *err)
{
    const struct journal_message m = {
        .message_id = it->m.message_id,
        .channel = it->m.channel,
        .topic = it->m.topic,
        .destination = it->m.destination,
        .created_date = it->m.created_date,
        .payload = it->m.payload != NULL ? it->m.payload : "",
        .payload_len = it->m.payload != NULL ? strlen(it->m.payload) : 0,
        .instance_id = it->job_id,
        .received_unix_ms = clock_wall_ms(),
    };

    return e->journal->ops->put_message(e->journal, &m, err);
}

/* The message and the job that it makes, in one transaction. What `inst` holds is the job's, or
 * gone. */
static int put_job(struct engine *e, const struct message_item *it, struct fsm_instance *inst,
                   struct job **ret_job, struct err *err)
{
    int r = put_message(e, it, err);

    *ret_job = NULL;
    if (r == 0)
        r = engine_add_job(e, inst, it->m.message_id, ret_job, err);
    if (r < 0)
        fsm_instance_done(inst);
    else
        assert(*ret_job != NULL);
    return r;
}

/* Nothing is journaled or acknowledged: the service offers it again. */
static int refuse_for_now(struct message_item *it, const char *why)
{
    (void)err_set(&it->not_taken, ERR_STATE, "message %s is not taken now: %s", it->m.message_id,
                  why);
    return 0;
}

/* ---- commands ---- */

/* A strict reader's limit of the step bounds that of the script. */
static int64_t limit_of(const struct document_plugin *p, const struct document_unit *unit)
{
    bool is_download = str_eq(p->name, PLUGIN_DOWNLOAD_CONTENT); /* ends when nothing moves */
    const cJSON *own = is_download ? NULL : json_get(unit->inputs, "timeoutSeconds");
    int64_t limit_s = is_download ? SCRIPT_TIMEOUT_MAX_S : script_timeout_s(own);

    if (p->limit_s > 0 && (own == NULL || p->limit_s < limit_s))
        limit_s = p->limit_s;
    return limit_s * 1000;
}

static void fill_unit(struct command_unit *u, const struct document *d, size_t plugin, size_t nth)
{
    const struct document_plugin *p = &d->plugins[plugin];

    u->plugin = (int64_t)plugin;
    u->plan = p->disposition == DOCUMENT_RUN    ? COMMAND_PLAN_RUN
              : p->disposition == DOCUMENT_FAIL ? COMMAND_PLAN_FAIL
                                                : COMMAND_PLAN_SKIP;
    u->flow = (p->exits_on_failure ? COMMAND_FLOW_EXIT_ON_FAILURE : 0) |
              (p->succeeds_on_failure ? COMMAND_FLOW_SUCCEED_ON_FAILURE : 0) |
              (p->exits_on_success ? COMMAND_FLOW_EXIT_ON_SUCCESS : 0) |
              (p->is_finally ? COMMAND_FLOW_FINALLY : 0);
    u->kind = str_eq(p->name, PLUGIN_RUN_DOCUMENT)   ? COMMAND_UNIT_DOCUMENT
              : str_eq(p->name, PLUGIN_UPDATE_AGENT) ? COMMAND_UNIT_UPDATE
                                                     : COMMAND_UNIT_PROCESS;
    u->max_tries = p->max_attempts;
    if (p->disposition == DOCUMENT_RUN)
        u->limit_ms = limit_of(p, &d->units[p->first_unit + nth]);
}

/* A step that does not run has one child all the same: it stands for its result. */
static size_t n_children_of(const struct document_plugin *p)
{
    return p->n_units > 0 ? p->n_units : 1;
}

static int make_command(struct engine *e, const struct message_item *it, struct task *task,
                        struct fsm_instance *ret_inst, struct err *err)
{
    const struct document *d = task != NULL ? task->document : NULL;
    size_t p, i, n = 0, at = 0;
    struct command *c;
    int r;

    for (p = 0; d != NULL && p < d->n_plugins; p++)
        n += n_children_of(&d->plugins[p]);
    r = fsm_instance_init(ret_inst, &command_machine, it->job_id, n, clock_wall_ms(), err);
    if (r < 0)
        return r;
    c = command_of(ret_inst);
    (void)str_copy(c->channel, sizeof(c->channel), it->m.channel);
    c->max_reboots = e->config->max_reboots;
    c->grace_ms = e->config->kill_grace_ms;
    if (d == NULL)
        return 0;
    c->n_plugins = (int64_t)d->n_plugins;
    (void)str_copy(c->document_name, sizeof(c->document_name), task->payload.document_name);
    (void)str_copy(c->output_bucket, sizeof(c->output_bucket), task->payload.s3_bucket);
    c->has_logs = task->payload.is_cloudwatch_enabled;
    if (it->m.payload != NULL)
        sha256_hex_of(it->m.payload, strlen(it->m.payload), c->document_sha256);
    for (p = 0; p < d->n_plugins; p++)
        for (i = 0; i < n_children_of(&d->plugins[p]); i++)
            fill_unit(command_unit_at(ret_inst, at++), d, p, i);
    return 0;
}

/* Read the document, with the values that were fetched for it. What is wrong with it is told in
 * *why, and *ret_task stays NULL. */
static int read_task(const struct engine *e, struct message_item *it, struct task **ret_task,
                     struct buf *trace, struct err *why)
{
    bool has_asked = it->values != NULL || it->failure.code != 0;
    size_t n = it->m.payload != NULL ? strlen(it->m.payload) : 0;
    int r;

    if (it->m.payload == NULL && it->m.problem != NULL && it->m.problem[0] != '\0')
        return err_set(why, ERR_INVALID, "%s", it->m.problem);
    /* The service checks every value before it sends it; for ssmctl that is left to do. Only here:
     * what was accepted once is not judged anew at a restart. */
    r = task_new(it->m.payload, n, task_flags(e, str_eq(it->m.channel, ENGINE_LOCAL_CHANNEL)),
                 it->values, ret_task, has_asked ? NULL : &it->references, trace, why);
    if (r < 0 && it->failure.code != 0) {
        buf_clear(trace);
        *why = it->failure;
    }
    return r;
}

/* In the transaction that accepts the command: what its references were resolved with, so that a
 * restart or a reboot in the middle sees the same. */
static int put_values(struct engine *e, const char *job_id, const cJSON *values, struct buf *note,
                      struct err *err)
{
    AUTO(buf_done) struct buf text = {0};
    char hex[SHA256_HEX_SIZE];
    int r;

    if (values == NULL)
        return 0;
    buf_init(&text, PARAMETER_MAX_VALUES_BYTES);
    json_write(&text, values);
    r = buf_error(&text, "values of parameters", err);
    if (r < 0)
        return r;
    sha256_hex_of(text.data, text.len, hex);
    (void)buf_printf(note, "%d values of Parameter Store, sha256 %s", cJSON_GetArraySize(values),
                     hex);
    return e->journal->ops->put_attachment(e->journal, job_id, TASK_VALUES, text.data, text.len,
                                           err);
}

/* What its author wrote and what does not count, in the job's history. */
static int put_warnings(struct engine *e, const struct job *job, struct buf *note, struct err *err)
{
    const char *text = job->task->document->warnings, *p;
    size_t n = 1;

    if (text == NULL)
        return 0;
    for (p = text; *p != '\0'; p++)
        n += *p == '\n';
    (void)buf_printf(note, "%s%zu warning%s about its document", note->len > 0 ? "; " : "", n,
                     n == 1 ? "" : "s");
    story_add(e, LOG_WARNING, "command %s: %.*s%s", job->inst.id, (int)strcspn(text, "\n"), text,
              n > 1 ? ", and more" : "");
    return e->journal->ops->put_attachment(e->journal, job->inst.id, TASK_WARNINGS, text,
                                           strlen(text), err);
}

static int accept_command(struct engine *e, struct job *job, const cJSON *values, struct err *err)
{
    AUTO(buf_done) struct buf note = {0};
    struct fsm_event ev;
    int r;

    buf_init(&note, FSM_DETAIL_SIZE);
    r = put_values(e, job->inst.id, values, &note, err);
    if (r == 0)
        r = put_warnings(e, job, &note, err);
    if (r < 0)
        return r;
    ev = engine_event(e, COMMAND_EV_ACCEPT, 0, note.len > 0 ? buf_str(&note) : NULL);
    return engine_deliver(e, job, &ev, err);
}

/* A message that cannot be run is journaled like one that can: its answer survives a crash, and
 * when it comes again it is recognised. Its row has room for the beginning of `why`; the service is
 * told all of it. */
static int reject(struct engine *e, struct message_item *it, const char *why, struct err *err)
{
    char beginning[sizeof(((struct command *)0)->text)] = "";
    struct fsm_instance inst;
    struct fsm_event ev = engine_event(e, COMMAND_EV_REJECT, 0, beginning);
    struct job *job;
    int r = make_command(e, it, NULL, &inst, err);

    if (r < 0)
        return r;
    r = put_job(e, it, &inst, &job, err);
    if (r < 0)
        return r;
    if (!str_copy(beginning, sizeof(beginning), why))
        (void)snprintf(beginning, sizeof(beginning),
                       "%.300s ... (%zu bytes; all of it is in the reply)", why, strlen(why));
    story_add(e, LOG_WARNING, "command %s is refused: %s", it->job_id, beginning);
    job->refusal = why;
    r = engine_deliver(e, job, &ev, err);
    job->refusal = NULL;
    return r;
}

static int apply_send(struct engine *e, struct message_item *it, struct err *err)
{
    AUTO(task_free) struct task *task = NULL;
    AUTO(buf_done) struct buf trace = {0};
    struct fsm_instance inst;
    struct job *job;
    struct err why = {0};
    int r;

    buf_init(&trace, 65536);
    r = read_task(e, it, &task, &trace, &why);
    if (r == ERR_NOMEM) { /* ours, not the document's */
        *err = why;
        return r;
    }
    if (it->references.n > 0 && e->n_waiting >= ENGINE_MAX_WAITING) {
        document_references_done(&it->references);
        return refuse_for_now(it, "too many others wait for values of Parameter Store");
    }
    if (it->references.n > 0) { /* judged again when their values are there */
        wait_enter(e, it);
        return 0;
    }
    if (task == NULL)
        return reject(e, it, trace.len > 0 ? buf_str(&trace) : why.text, err);
    r = make_command(e, it, task, &inst, err);
    if (r == ERR_LIMIT) { /* more steps than an instance can have */
        why = *err;
        return reject(e, it, why.text, err);
    }
    if (r < 0)
        return r;
    r = put_job(e, it, &inst, &job, err);
    if (r < 0)
        return r;
    job->task = TAKE(task);
    return accept_command(e, job, it->values, err);
}

/* ---- documents that a step runs ---- */

int intake_check_nested(const struct task *task, struct err *err)
{
    const struct document *d = task->document;
    size_t p, n = 0;

    for (p = 0; p < d->n_plugins; p++)
        n += n_children_of(&d->plugins[p]);
    return n <= FSM_MAX_CHILDREN
               ? 0
               : err_set(err, ERR_LIMIT, "it has %zu steps; at most %d are allowed", n,
                         FSM_MAX_CHILDREN);
}

int intake_add_nested(struct engine *e, const struct nested_command *n, const char *payload,
                      struct task *task, struct err *err)
{
    char message_id[FSM_ID_SIZE + sizeof(ENGINE_NESTED_CHANNEL)], now[ISO_MS_SIZE];
    struct message_item it = {.m = {.channel = ENGINE_NESTED_CHANNEL,
                                    .message_id = message_id,
                                    .topic = "aws.ssm.sendCommand.nested",
                                    .destination = ENGINE_NESTED_CHANNEL,
                                    .created_date = now,
                                    .payload = payload}};
    AUTO(task_free) struct task *owned = task;
    struct fsm_instance inst;
    struct job *job;
    struct command *c;
    int r;

    if (!command_child_id(n->parent->inst.id, n->unit, n->attempt, it.job_id))
        return err_set(err, ERR_LIMIT, "document of %s: its id would be too long",
                       n->parent->inst.id);
    (void)snprintf(message_id, sizeof(message_id), ENGINE_NESTED_CHANNEL ".%s",
                   it.job_id); /* fits */
    clock_format_iso_ms(clock_wall_ms(), now);
    r = make_command(e, &it, owned, &inst, err);
    if (r < 0)
        return r;
    c = command_of(&inst);
    (void)str_copy(c->document_name, sizeof(c->document_name), n->name); /* cut: it is for people */
    (void)str_copy(c->parent_id, sizeof(c->parent_id), n->parent->inst.id); /* fits: it is an id */
    c->parent_unit = n->unit;
    c->parent_attempt = n->attempt;
    c->depth = command_of(&n->parent->inst)->depth + 1;
    r = put_job(e, &it, &inst, &job, err);
    if (r < 0)
        return r;
    job->task = TAKE(owned);
    return accept_command(e, job, n->values, err);
}

/* ---- cancels, and what cannot be handled ---- */

static int apply_delivery(struct engine *e, struct message_item *it, const char *kind,
                          const char *target, uint8_t event, const char *text, struct err *err)
{
    struct fsm_instance inst;
    struct fsm_event ev = engine_event(e, event, 0, text);
    struct delivery *d;
    struct job *job;
    int r = fsm_instance_init(&inst, &delivery_machine, it->job_id, 0, clock_wall_ms(), err);

    if (r < 0)
        return r;
    d = delivery_of(&inst);
    (void)str_copy(d->channel, sizeof(d->channel), it->m.channel);
    (void)str_copy(d->kind, sizeof(d->kind), kind);
    (void)str_copy(d->target, sizeof(d->target), target);
    r = put_job(e, it, &inst, &job, err);
    return r < 0 ? r : engine_deliver(e, job, &ev, err);
}

/* A channel whose acknowledgements carry a verdict rejects what cannot be handled, as it does a
 * document that cannot be run (spec 03, section 5.3); the other one has a call for it. */
static int apply_unhandled(struct engine *e, struct message_item *it, const char *why,
                           struct err *err)
{
    const struct link *l = engine_link_named(e, it->m.channel);

    if (l != NULL && l->has_verdicts)
        return reject(e, it, why, err);
    return apply_delivery(e, it, "unhandled", "", DELIVERY_EV_UNHANDLED, why, err);
}

static int apply_cancel(struct engine *e, struct message_item *it, struct err *err)
{
    AUTO(cancel_payload_done) struct cancel_payload p = {0};
    char target[FSM_ID_SIZE];
    const char *what;
    struct fsm_event ev;
    struct job *job = NULL;
    struct err why;
    int r = cancel_payload_parse(it->m.payload, it->m.payload != NULL ? strlen(it->m.payload) : 0,
                                 &p, &why);

    if (r == ERR_NOMEM) {
        *err = why;
        return r;
    }
    if (r < 0)
        return apply_unhandled(e, it, why.text, err);
    intake_job_id(p.cancel_message_id, target);
    if (wait_find(e, target) != NULL) { /* the command is not accepted yet: after it */
        it->hold_for = wait_find(e, target);
        return 0;
    }
    job = engine_find_job(e, target);
    if (job != NULL && !job_is_command(job))
        job = NULL;
    if (job != NULL &&
        jobs_is_set_aside(e, target)) /* the order stands at the service until then */
        return refuse_for_now(it, "its command is set aside");
    what = job == NULL                                             ? "no such command is open"
           : job->inst.state == COMMAND_REPORTING || job->is_ended ? "it had ended already"
                                                                   : "it is being stopped";
    r = apply_delivery(e, it, "cancel", target, DELIVERY_EV_CANCEL_ORDER, what, err);
    if (r < 0 || job == NULL || job->is_ended)
        return r;
    ev = engine_event(e, COMMAND_EV_CANCEL, 0, NULL);
    return engine_deliver(e, job, &ev, err);
}

/* ---- the item ---- */

static int apply_message(struct engine *e, struct item *item, struct err *err)
{
    struct message_item *it = container_of(item, struct message_item, item);
    char unhandled[160];
    int r;

    it->is_set_aside = jobs_is_set_aside(e, it->job_id);
    if (it->is_set_aside)
        return 0;
    it->is_dropped = wait_find(e, it->job_id) != NULL; /* delivered again meanwhile */
    if (it->is_dropped)
        return 0;
    (void)str_copy(e->culprit, sizeof(e->culprit), it->job_id); /* if this fails, it is this one */
    r = e->journal->ops->find(e->journal, it->m.message_id, it->job_id, &it->known, err);
    if (r < 0)
        return r;
    if (it->known != JOURNAL_UNKNOWN) { /* delivery is at least once: nothing is started for it */
        e->status.n_duplicates++;
        return 0;
    }
    switch (message_kind_of_topic(it->m.topic)) {
    case MESSAGE_SEND:
        return apply_send(e, it, err);
    case MESSAGE_CANCEL:
        return apply_cancel(e, it, err);
    case MESSAGE_UNKNOWN:
    default:
        (void)snprintf(unhandled, sizeof(unhandled), "topic \"%.100s\" is not known", it->m.topic);
        return apply_unhandled(e, it, unhandled, err);
    }
}

/* Asked again of a message that is known: it says so itself. */
static bool is_unhandled(const struct engine_message *m)
{
    AUTO(cancel_payload_done) struct cancel_payload p = {0};
    enum message_kind kind = message_kind_of_topic(m->topic);

    return kind == MESSAGE_UNKNOWN ||
           (kind == MESSAGE_CANCEL &&
            cancel_payload_parse(m->payload, m->payload != NULL ? strlen(m->payload) : 0, &p,
                                 NULL) < 0);
}

static void finish_message(struct engine *e, struct item *item, const struct err *err)
{
    struct message_item *it = container_of(item, struct message_item, item);

    if (err == NULL && it->not_taken.code != 0) {
        log_warning("%s", it->not_taken.text);
        err = &it->not_taken;
    }
    if (err == NULL && it->hold_for != NULL) {
        wait_hold(e, TAKE(it->hold_for), it);
        return;
    }
    if (err == NULL && it->references.n > 0) {
        wait_begin(e, it);
        return;
    }
    if (it->references.n > 0)
        wait_leave(e, it);
    if (err == NULL && it->known != JOURNAL_UNKNOWN) {
        log_info("message %s came again", it->m.message_id);
        outbox_answer_again(e, it->m.channel, it->m.message_id, it->job_id, it->known,
                            is_unhandled(&it->m));
    }
    if (err == NULL && it->is_set_aside && engine_find_job(e, it->job_id) == NULL)
        outbox_answer_again(e, it->m.channel, it->m.message_id, it->job_id, JOURNAL_UNKNOWN,
                            true); /* it cannot be journaled, so it was never taken on */
    if (it->done != NULL)
        it->done(it->ctx, it->job_id, err);
    intake_free_message(it);
}

void intake_free_message(struct message_item *it)
{
    document_references_done(&it->references);
    cJSON_Delete(it->values);
    free(it);
}

static char *pack(char **at, const char *s)
{
    char *start = *at;
    size_t n;

    if (s == NULL)
        return NULL;
    n = strlen(s) + 1;
    memcpy(start, s, n);
    *at += n;
    return start;
}

static size_t size_of(const char *s)
{
    return s != NULL ? strlen(s) + 1 : 0;
}

int intake_queue(struct engine *e, const struct engine_message *m, engine_accepted_fn done,
                 void *ctx, struct err *err)
{
    struct message_item *it;
    char *at;

    if (strlen(m->message_id) >= JOURNAL_MESSAGE_ID_SIZE)
        return err_set(err, ERR_LIMIT, "message %.40s...: its id is longer than %d bytes",
                       m->message_id, JOURNAL_MESSAGE_ID_SIZE - 1);
    it = calloc(1, sizeof(*it) + size_of(m->channel) + size_of(m->message_id) + size_of(m->topic) +
                       size_of(m->destination) + size_of(m->created_date) + size_of(m->payload) +
                       size_of(m->problem));
    if (it == NULL)
        return err_set(err, ERR_NOMEM, "message %s: out of memory", m->message_id);
    at = it->text;
    it->item = (struct item){.apply = apply_message, .finish = finish_message};
    it->m = (struct engine_message){
        .channel = pack(&at, m->channel),
        .message_id = pack(&at, m->message_id),
        .topic = pack(&at, m->topic),
        .destination = pack(&at, m->destination),
        .created_date = pack(&at, m->created_date),
        .payload = pack(&at, m->payload),
        .problem = pack(&at, m->problem),
    };
    it->done = done;
    it->ctx = ctx;
    intake_job_id(m->message_id, it->job_id);
#ifdef SSMD_BREAK_ACKNOWLEDGE_BEFORE_COMMIT
    broken_acknowledge_early(e, &it->m, it->job_id, &it->item);
#else
    engine_queue(e, &it->item);
#endif
    return 0;
}

int engine_run_local(struct engine *e, const char *name, const char *payload,
                     engine_accepted_fn done, void *ctx, struct err *err)
{
    char uuid[UUID_SIZE], message_id[200], now[ISO_MS_SIZE], what[200];
    int r;
    const struct engine_message m = {
        .channel = ENGINE_LOCAL_CHANNEL,
        .message_id = message_id,
        .topic = "aws.ssm.sendCommand.local",
        .destination = "local",
        .created_date = now,
        .payload = payload,
    };

    (void)snprintf(what, sizeof(what), "%.160s cannot be run", name);
    r = engine_check_open(e, what, err);
    if (r < 0)
        return r;
    ids_uuid4(uuid);
    (void)snprintf(message_id, sizeof(message_id), "aws.ssm.%s.local", uuid);
    clock_format_iso_ms(clock_wall_ms(), now);
    return intake_queue(e, &m, done, ctx, err);
}
