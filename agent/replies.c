/* What a command's replies say: from its rows in the journal, its document and its steps' output
 * files. Built within the transaction that owes them, and stored there, so that what is sent again
 * is what was promised. */
#define LOG_MODULE "replies"
#include "agent/engine_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/ids.h"
#include "base/log.h"
#include "base/str.h"
#include "schema/reply.h"
#include "schema/script.h"
#include "schema/texts.h"

#define READ_BYTES (REPLY_STREAM_BYTES + 1)
#define STREAM_MAX ((size_t)4 * REPLY_STREAM_BYTES)
#define PAYLOAD_MAX (1u << 20)
#define TRACE_MAX 4096u

/* The texts of one result while its reply is made. */
struct texts {
    struct buf out, error;             /* as the step wrote them */
    struct buf note;                   /* in place of both, for a step that did not run */
    struct buf shown_out, shown_error; /* as they are sent */
    struct buf output;
    struct buf prefix;
    struct err shortage; /* code not 0: output could not be read for want of descriptors or memory;
                            to be tried again */
};

static void texts_init(struct texts *t)
{
    buf_init(&t->out, STREAM_MAX);
    buf_init(&t->error, STREAM_MAX);
    buf_init(&t->note, STREAM_MAX);
    buf_init(&t->shown_out, STREAM_MAX);
    buf_init(&t->shown_error, STREAM_MAX);
    buf_init(&t->output, STREAM_MAX);
    buf_init(&t->prefix, 4096);
}

static void texts_done_cleanup(struct texts *t)
{
    buf_done(&t->out);
    buf_done(&t->error);
    buf_done(&t->note);
    buf_done(&t->shown_out);
    buf_done(&t->shown_error);
    buf_done(&t->output);
    buf_done(&t->prefix);
}

/* Whether the control channel is open is told to ec2messages alone (spec 03, section 6.1). */
static enum reply_mgs mgs_of(const struct engine *e, const char *channel)
{
    const struct link *own = engine_link_named(e, channel);
    struct link *control = engine_link_named(e, ENGINE_CONTROL_CHANNEL);

    if (own != NULL && own == control)
        return REPLY_MGS_ABSENT;
    return control != NULL && link_state_of(control) == LINK_UP ? REPLY_MGS_UP : REPLY_MGS_DOWN;
}

static struct reply_header header(const struct engine *e, const char *channel)
{
    const struct config *c = e->config;

    return (struct reply_header){
        .agent = {.lang = c->os_lang,
                  .name = c->agent_name,
                  .os = c->os_name,
                  .osver = c->os_version,
                  .ver = c->agent_version},
        .now_unix_ms = clock_wall_ms(),
        .mgs = mgs_of(e, channel),
        .max_bytes = REPLY_MAX_CONTROL_CHANNEL_BYTES,
    };
}

int replies_build_receipt(struct engine *e, const char *channel, struct buf *ret_payload,
                          struct err *err)
{
    const struct reply_header h = header(e, channel);

    return reply_document_level(&h, "InProgress", "", ret_payload, err);
}

/* ---- one unit's output ---- */

/* The output of one attempt. Where it was stopped, what came after the stop began is not shown
 * (spec 04, 6.5). */
static void add_attempt(struct engine *e, const struct step_key *key, bool is_stopped,
                        struct texts *t)
{
    size_t limits[2] = {READ_BYTES, READ_BYTES};
    struct buf *const into[2] = {&t->out, &t->error};
    struct step_outcome outcome;
    enum step_answer answer;
    struct err err;
    int i;

    if (is_stopped && steps_probe(e->steps, key, &answer, &outcome, &err) == 0 &&
        answer == STEP_ENDED) {
        limits[0] = outcome.out.at_stop < READ_BYTES ? (size_t)outcome.out.at_stop : READ_BYTES;
        limits[1] = outcome.err.at_stop < READ_BYTES ? (size_t)outcome.err.at_stop : READ_BYTES;
    }
    for (i = 0; i < 2; i++) {
        if (into[i]->len >= READ_BYTES) /* more than can be sent is there already */
            continue;
        if (steps_read_output(e->steps, key, i == 0 ? STEP_STDOUT : STEP_STDERR, limits[i], into[i],
                              &err) < 0) {
            if (err.code == ERR_NOMEM || err.sys_errno == EMFILE || err.sys_errno == ENFILE) {
                t->shortage = err;
                continue;
            }
            log_error("%s: output of step %d.%d: %s", key->job_id, key->step, key->attempt,
                      err.text);
            (void)buf_printf(&t->error, "[output could not be read: %s]", err.text);
        }
    }
}

static bool has_begun(const struct job *job)
{
    size_t i;

    for (i = 0; i < job->inst.n_children; i++)
        if (command_unit_at(&job->inst, i)->attempt > 0)
            return true;
    return false;
}

/* Why a unit ended as it did, where its output does not say so. */
static void add_explanation(const struct job *job, const struct command_unit *u,
                            const struct document_plugin *p, struct buf *note, struct buf *b)
{
    if (str_eq(u->outcome, STEP_OUTCOME_NOT_PREPARED) && b->len == 0)
        (void)buf_add_str(b, u->text); /* its file was removed, or could not be written */
    if (u->note == COMMAND_NOTE_NONE || u->note == COMMAND_NOTE_ON_FAILURE)
        return;
    if (b->len > 0 && b->data[b->len - 1] != '\n')
        (void)buf_add_char(b, '\n');
    switch ((enum command_note)u->note) {
    case COMMAND_NOTE_EARLIER_EXIT:
        text_skipped_by_flow(note, p->name, p->id);
        break;
    case COMMAND_NOTE_INTERRUPTED:
        (void)buf_printf(
            b, "Step %s was interrupted, its outcome is unknown: %s. It is not run again.", p->id,
            u->text);
        break;
    case COMMAND_NOTE_AFTER_LOST:
        (void)buf_printf(note, "Step %s was not run: the outcome of the step before it is unknown.",
                         p->id);
        break;
    case COMMAND_NOTE_REBOOT_CAP:
        (void)buf_printf(b,
                         "Step %s asked for a reboot after %" PRId64
                         " reboots; no more are allowed for one step.",
                         p->id, u->reboots);
        break;
    case COMMAND_NOTE_NO_REBOOT:
        if (u->attempt > 0)
            (void)buf_printf(b, "Step %s asked for a reboot that did not come%s%s.", p->id,
                             u->text[0] != '\0' ? ": " : "", u->text);
        else
            (void)buf_printf(note, "Step %s was not run: the reboot before it did not come.",
                             p->id);
        break;
    case COMMAND_NOTE_UNSTOPPABLE:
        (void)buf_printf(b, "Step %s did not end when it was killed; it may still be there.",
                         p->id);
        break;
    case COMMAND_NOTE_NOT_BEGUN:
        if (!has_begun(job)) /* else its status says it, as in the reference (spec 03, 12.3) */
            (void)buf_printf(note, "Step %s was cancelled before it began.", p->id);
        break;
    case COMMAND_NOTE_RUNAWAY:
        (void)buf_printf(b, "Step %s was given up: the command changed its state too often.",
                         p->id);
        break;
    case COMMAND_NOTE_NONE:
    case COMMAND_NOTE_ON_FAILURE:
    default:
        break;
    }
}

/* It did not run, or could not be begun: words take the place of its output. */
static bool has_words_only(const struct job *job, size_t i)
{
    const struct command_unit *u = command_unit_at(&job->inst, i);
    const struct document_plugin *p = &job->task->document->plugins[u->plugin];

    return (p->note != NULL &&
            (u->note == COMMAND_NOTE_NONE || u->note == COMMAND_NOTE_ON_FAILURE)) ||
           (str_eq(u->outcome, STEP_OUTCOME_INVALID_INPUT) &&
            task_unit(job->task, &job->inst, i) != NULL) ||
           str_eq(u->outcome, STEP_OUTCOME_NOT_STARTED);
}

void replies_add_words(const struct job *job, size_t i, struct buf *note, struct buf *error)
{
    const struct command_unit *u = command_unit_at(&job->inst, i);
    const struct document_plugin *p = &job->task->document->plugins[u->plugin];
    const struct document_unit *du = task_unit(job->task, &job->inst, i);

    if (!has_words_only(job, i)) {
        add_explanation(job, u, p, note, error);
    } else if (p->note != NULL) {
        (void)buf_add_str(p->is_note_on_stderr ? error : note, p->note);
    } else if (str_eq(u->outcome, STEP_OUTCOME_NOT_STARTED)) {
        text_start_failed(error, u->text);
    } else {
        struct script_inputs inputs = {0};
        struct err err;
        int r = script_inputs_parse(du->inputs, &inputs, error, &err);

        if (r == 0) /* cannot be: it failed before, and the payload is the same */
            script_inputs_done(&inputs);
        else if (r == ERR_NOMEM) /* these are not its words */
            error->failed = ERR_NOMEM;
    }
}

static void add_unit(struct engine *e, const struct job *job, size_t i, struct texts *t)
{
    const struct command_unit *u = command_unit_at(&job->inst, i);
    struct step_key key = {.job_id = job->inst.id, .step = (int)i, .attempt = 1};

    for (; !has_words_only(job, i) && key.attempt <= (int)u->attempt; key.attempt++)
        add_attempt(e, &key,
                    key.attempt == (int)u->attempt &&
                        (str_eq(u->outcome, "timed_out") || str_eq(u->outcome, "cancelled")),
                    t);
    replies_add_words(job, i, &t->note, &t->error);
}

/* ---- one result ---- */

/* Outputs of several elements or of steps of one name stand one after another; elements have a
 * newline between them (spec 04, section 1.6). */
static void add_plugin(struct engine *e, const struct job *job, size_t plugin, struct texts *t)
{
    bool is_first = true;
    size_t i;

    for (i = 0; i < job->inst.n_children; i++) {
        if (command_unit_at(&job->inst, i)->plugin != (int64_t)plugin)
            continue;
        if (!is_first && t->out.len > 0)
            (void)buf_add_char(&t->out, '\n');
        if (!is_first && t->error.len > 0)
            (void)buf_add_char(&t->error, '\n');
        is_first = false;
        add_unit(e, job, i, t);
    }
}

/* The words about a document's end stand behind what is cut: they are no output. */
static void show(const struct job *job, int64_t plugin, int64_t code, struct texts *t)
{
    bool is_on_failure = false, has_error;
    size_t i;

    for (i = 0; i < job->inst.n_children; i++) {
        const struct command_unit *u = command_unit_at(&job->inst, i);

        is_on_failure =
            is_on_failure || (u->plugin == plugin && u->note == COMMAND_NOTE_ON_FAILURE);
    }
    has_error = code != 168 || is_on_failure;
    if (t->note.len > 0)
        (void)buf_add(&t->output, t->note.data, t->note.len);
    else
        reply_combine_output(buf_str(&t->out), t->out.len, buf_str(&t->error),
                             has_error ? t->error.len : 0, &t->output);
    reply_truncate_stream(buf_str(&t->out), t->out.len, &t->shown_out);
    (void)buf_add_str(&t->shown_out, text_ending(code, is_on_failure));
    if (has_error) {
        reply_truncate_stream(buf_str(&t->error), t->error.len, &t->shown_error);
        (void)buf_add_str(&t->shown_error, text_ending(code, is_on_failure));
    }
}

static void fill_result(const struct job *job, size_t plugin, struct reply_plugin *r)
{
    const struct document *d = job->task->document;
    const struct document_plugin *p = &d->plugins[plugin];
    size_t i;

    *r = (struct reply_plugin){
        .id = p->id,
        .name = p->name,
        .status = command_plugin_status(&job->inst, (int64_t)plugin),
        .code = command_plugin_code(&job->inst, (int64_t)plugin),
        /* Where its output lies in the bucket: in 1.x the properties' id, which may be missing. */
        .step_name = p->n_units > 0 ? d->units[p->first_unit].id : p->id,
    };
    for (i = 0; i < job->inst.n_children; i++) {
        const struct command_unit *u = command_unit_at(&job->inst, i);

        if (u->plugin != (int64_t)plugin)
            continue;
        if (r->started_unix_ms == 0)
            r->started_unix_ms = u->started_unix_ms;
        if (u->ended_unix_ms > r->ended_unix_ms)
            r->ended_unix_ms = u->ended_unix_ms;
    }
}

static void fill_texts(struct engine *e, const struct job *job, size_t plugin, struct texts *t,
                       struct reply_plugin *r)
{
    const struct document *d = job->task->document;
    size_t p;

    for (p = 0; p <= plugin; p++)
        if (d->plugins[p].same_as == d->plugins[plugin].same_as)
            add_plugin(e, job, p, t);
    show(job, (int64_t)plugin, r->code, t);
    r->output = (struct reply_text){buf_str(&t->output), t->output.len};
    r->standard_output = (struct reply_text){buf_str(&t->shown_out), t->shown_out.len};
    r->standard_error = (struct reply_text){buf_str(&t->shown_error), t->shown_error.len};
    if (job->task->payload.s3_bucket[0] != '\0') {
        send_payload_s3_prefix(&job->task->payload, e->config->instance_id, &t->prefix);
        r->s3_bucket = job->task->payload.s3_bucket;
        r->s3_prefix = buf_str(&t->prefix);
    }
}

/* ---- replies ---- */

/* Of the first n plugins. Only then does the end carry the result once more (spec 03, section 6.4).
 */
static bool is_one_result(const struct document *d, size_t n)
{
    size_t p;

    for (p = 1; p < n; p++)
        if (d->plugins[p].same_as != d->plugins[0].same_as)
            return false;
    return n > 0;
}

/* Output that is not all there for want of memory is no output; over a maximum it is cut. */
static int texts_error(const struct texts *t, struct err *err)
{
    const struct buf *const bufs[] = {&t->out,       &t->error,       &t->note,  &t->output,
                                      &t->shown_out, &t->shown_error, &t->prefix};
    size_t i;

    if (t->shortage.code != 0) {
        *err = t->shortage; /* with its errno: it says what there is too little of */
        return t->shortage.code;
    }
    for (i = 0; i < ARRAY_LEN(bufs); i++)
        if (bufs[i]->failed == ERR_NOMEM)
            return err_set(err, ERR_NOMEM, "output: out of memory");
    return 0;
}

static int build_full(struct engine *e, struct job *job, const struct fsm_effect *fx,
                      struct buf *payload, struct err *err)
{
    const struct reply_header h = header(e, engine_channel_of(job));
    const struct command *c = command_of(&job->inst);
    AUTO(free) struct reply_plugin *results = NULL;
    AUTO(texts_done) struct texts t = {0};
    const struct document *d;
    size_t n, p;
    int r;

    texts_init(&t);
    t.shortage.code = 0;
    if (fx->kind == COMMAND_FX_REPLY && fx->arg == COMMAND_REPLY_RECEIPT)
        return reply_document_level(&h, "InProgress", "", payload, err);
    if (c->n_plugins == 0)
        return reply_document_level(&h, "Failed", job->refusal != NULL ? job->refusal : c->text,
                                    payload, err);
    r = task_load(e, job, err);
    if (r < 0)
        return r;
    d = job->task->document;
    n = fx->kind == COMMAND_FX_REPLY && fx->arg >= 0 ? (size_t)fx->arg + 1 : d->n_plugins;
    results = calloc(n, sizeof(*results));
    if (results == NULL)
        return err_set(err, ERR_NOMEM, "reply of %s: out of memory", job->inst.id);
    for (p = 0; p < n; p++) {
        fill_result(job, p, &results[p]);
        if (results[p].status[0] == '\0') /* not begun: only before a reboot */
            break;
    }
    n = p;
    if (fx->kind == COMMAND_FX_REPLY && fx->arg >= 0) {
        fill_texts(e, job, (size_t)fx->arg, &t, &results[fx->arg]);
        r = texts_error(&t, err);
        return r < 0 ? r : reply_plugin_level(&h, results, n, payload, err);
    }
    if (is_one_result(d, n))
        fill_texts(e, job, n - 1, &t, &results[n - 1]);
    r = texts_error(&t, err);
    return r < 0 ? r
                 : reply_final(&h, results, n, command_document_status(&job->inst), payload, err);
}

/* What the journal knows of the steps without the document: by number, from 0 as everywhere
 * (directories, journal, log, ssmctl). */
static void tell_units(const struct job *job, struct buf *text)
{
    size_t i;

    (void)buf_add_str(text, "; what is known of its steps:");
    for (i = 0; i < job->inst.n_children; i++) {
        const struct command_unit *u = command_unit_at(&job->inst, i);

        (void)buf_printf(text, "%s %zu: %s", i > 0 ? "," : "", i,
                         u->status[0] != '\0' ? u->status : "not begun");
        if (u->status[0] != '\0')
            (void)buf_printf(text, " (%" PRId64 ")", u->code);
    }
}

static int build(struct engine *e, struct job *job, const struct fsm_effect *fx,
                 struct buf *payload, struct err *err)
{
    AUTO(buf_done) struct buf text = {0};
    const struct reply_header h = header(e, engine_channel_of(job));
    bool is_final = fx->kind == COMMAND_FX_REPORT;
    int r = build_full(e, job, fx, payload, err);

    if (r == 0 || err_class_of(r) == ERR_CLASS_RETRY)
        return r;
    /* Accepted once, and now not readable, or its answer cannot be made: its end is reported all
     * the same. */
    story_add(e, LOG_ERROR, "%s: its answer is made without its document: %s", job->inst.id,
              err->text);
    buf_init(&text, TRACE_MAX); /* what is over is cut */
    (void)buf_add_str(&text, err->text);
    if (is_final)
        tell_units(job, &text);
    if (text.failed == ERR_NOMEM)
        return err_set(err, ERR_NOMEM, "out of memory");
    buf_done(payload);
    buf_init(payload, PAYLOAD_MAX);
    return reply_document_level(&h, is_final ? "Failed" : "InProgress", buf_str(&text), payload,
                                err);
}

int replies_put(struct engine *e, struct job *job, const struct fsm_effect *fx, struct err *err)
{
    bool is_delivery = !job_is_command(job);
    AUTO(buf_done) struct buf payload = {0};
    struct journal_reply reply = {.effect_id = fx->id};
    const char *kind;
    int r;

    if (job->ops->effects[fx->kind].way != WAY_REPLY)
        return 0;
    if (!is_delivery && command_is_nested(&job->inst)) /* told to the step that ran it */
        return 0;
    buf_init(&payload, PAYLOAD_MAX);
    if (is_delivery)
        r = replies_build_receipt(e, engine_channel_of(job), &payload, err);
    else
        r = build(e, job, fx, &payload, err);
    if (r < 0)
        return err_wrap(err, "reply of %s", job->inst.id);
    kind = is_delivery || fx->arg == COMMAND_REPLY_RECEIPT ? "receipt"
           : fx->kind == COMMAND_FX_REPORT                 ? "final"
                                                           : "step";
    ids_uuid4(reply.reply_id);
    (void)str_copy(reply.message_id, sizeof(reply.message_id), job->message_id);
    (void)str_copy(reply.kind, sizeof(reply.kind), kind);
    reply.payload = payload.data;
    reply.payload_len = payload.len;
    return e->journal->ops->put_reply(e->journal, &reply, clock_wall_ms(), err);
}
