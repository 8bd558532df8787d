/* aws:runDocument: a step that is a command of its own (spec 04, section 7). Its document is
 * fetched, and the child is made and accepted in one transaction with that document as its payload;
 * from then on it is run, stopped, rebooted and recovered like any other. Its end and its parent's
 * step's end are one transaction too: while the parent's spawn effect is open, either there is no
 * child yet, or it is open. */
#define LOG_MODULE "nest"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/nest_internal.h"
#include "base/log.h"
#include "base/str.h"
#include "schema/rundocument.h"
#include "schema/yaml.h"

#define PREPARING "There was an error while preparing documents - "

/* ---- what came of preparing a document, within a transaction ---- */

struct prepared_item {
    struct item item;
    char job_id[FSM_ID_SIZE]; /* the parent */
    int64_t effect_id;
    bool is_noop;
    char file[NAME_MAX + 1]; /* what a fetched document is called among the downloads; or "" */
    char *name;              /* owned; of the document, for people */
    cJSON *parameters;       /* owned, or NULL */
    char *text;              /* owned; the document, or NULL: `failure` says why not */
    size_t len;
    struct buf failure;
    /* Values of Parameter Store: fetched when the document turns out to need them. */
    struct document_references references; /* owned; n > 0: they are to be fetched */
    cJSON *values;                         /* owned, or NULL */
    bool has_asked;
};

static void free_prepared(struct prepared_item *it)
{
    if (it == NULL)
        return;
    free(it->name);
    cJSON_Delete(it->parameters);
    cJSON_Delete(it->values);
    document_references_done(&it->references);
    free(it->text);
    buf_done(&it->failure);
    free(it);
}

static void fetch_values(struct engine *e, struct prepared_item *it);

static void finish_prepared(struct engine *e, struct item *item, const struct err *err)
{
    struct prepared_item *it = container_of(item, struct prepared_item, item);

    if (err == NULL && it->references.n > 0) {
        fetch_values(e, it);
        return;
    }
    free_prepared(it); /* not committed: a later load finds no child and begins anew */
}

static int end_step(struct engine *e, struct job *job, int64_t effect_id, const char *status,
                    int64_t code, const char *text, struct err *err)
{
    const struct command_result result = {.status = status,
                                          .code = code,
                                          .outcome =
                                              code == 0 ? "nested" : STEP_OUTCOME_NOT_PREPARED,
                                          .wait_status = -1,
                                          .ended_unix_ms = clock_wall_ms(),
                                          .text = text};
    struct fsm_event ev = engine_event(e, COMMAND_EV_EXITED, effect_id, &result);

    return engine_deliver(e, job, &ev, err);
}

/* From its text to a child that runs. On failure the reason, whole, stands in it->failure. */
static int make_child(struct engine *e, struct job *parent, const struct fsm_effect *fx,
                      struct prepared_item *it, struct err *err)
{
    const struct nested_command n = {.parent = parent,
                                     .unit = fx->arg,
                                     .attempt = fx->arg2,
                                     .name = it->name,
                                     .values = it->values};
    AUTO(buf_done) struct buf payload = {0};
    AUTO(cJSON_Delete) cJSON *document = NULL;
    AUTO(task_free) struct task *task = NULL;
    int r;

    buf_init(&payload, MESSAGE_MAX_PAYLOAD_BYTES);
    r = document_text_parse(it->text, it->len, DOCUMENT_MAX_BYTES, it->name, &document, err);
    if (r == 0)
        r = send_payload_make(command_root_id(parent->inst.id), it->name, it->parameters, document,
                              &payload, err);
    if (r == 0)
        r = task_new(buf_str(&payload), payload.len, task_flags(e, true), it->values, &task,
                     it->has_asked ? NULL : &it->references, &it->failure, err);
    if (it->references.n > 0) { /* prepared again when their values are there */
        buf_clear(&it->failure);
        return 0;
    }
    if (r == 0)
        r = intake_check_nested(task, err);
    if (r < 0) {
        if (it->failure.len == 0)
            (void)buf_add_str(&it->failure, err->text);
        return r;
    }
    if (it->file[0] != '\0')
        nest_keep_document(e, &n, it->file, it->text, it->len);
    return intake_add_nested(e, &n, buf_str(&payload), TAKE(task), err);
}

static int apply_prepared(struct engine *e, struct item *item, struct err *err)
{
    struct prepared_item *it = container_of(item, struct prepared_item, item);
    struct job *job = engine_find_job(e, it->job_id);
    const struct fsm_effect *fx = job != NULL ? fsm_find_effect(&job->inst, it->effect_id) : NULL;
    AUTO(buf_done) struct buf words = {0};
    struct fsm_effect copy;
    int r = ERR_INVALID;

    if (fx == NULL || job->inst.state != COMMAND_RUNNING) { /* stopped meanwhile */
        e->status.n_stale++;
        return 0;
    }
    copy = *fx;
    if (it->is_noop)
        return end_step(e, job, copy.id, "Success", 0, "", err);
    if (it->text != NULL && it->failure.len == 0)
        r = make_child(e, job, &copy, it, err);
    if (r == 0 || it->failure.len == 0 || r == ERR_NOMEM)
        return r;
    buf_init(&words, NEST_MAX_WORDS);
    if (it->text != NULL)
        (void)buf_add_str(&words, PREPARING);
    (void)buf_add(&words, it->failure.data, it->failure.len); /* cut is better than nothing */
    nest_put_words(e, job, &copy, STEP_STDERR, &words);
    return end_step(e, job, copy.id, "Failed", 1, buf_str(&words), err);
}

static struct prepared_item *new_prepared(const struct job *job, int64_t effect_id)
{
    struct prepared_item *it = calloc(1, sizeof(*it));

    if (it == NULL)
        return NULL;
    it->item = (struct item){.apply = apply_prepared, .finish = finish_prepared};
    (void)str_copy(it->job_id, sizeof(it->job_id), job->inst.id);
    it->effect_id = effect_id;
    buf_init(&it->failure, NEST_MAX_WORDS);
    return it;
}

static void out_of_memory(struct engine *e, const struct job *job)
{
    struct err err;

    (void)err_set(&err, ERR_NOMEM, "nested document of %s: out of memory", job->inst.id);
    engine_ask_suspend(e, &err);
}

static void fail(struct engine *e, const struct job *job, int64_t effect_id, const char *prefix,
                 const char *reason)
{
    struct prepared_item *it = new_prepared(job, effect_id);

    if (it == NULL) {
        out_of_memory(e, job);
        return;
    }
    (void)buf_printf(&it->failure, "%s%s", prefix, reason);
    engine_queue(e, &it->item);
}

/* ---- fetching ---- */

struct fetch {
    struct call call;
    struct engine *e;
    unsigned generation;
    struct prepared_item *it; /* owned until it is queued */
    uv_work_t work;
    char path[PATH_MAX];
    struct buf text;
    struct err err;
};

static void fetch_done(struct call *c)
{
    struct fetch *f = container_of(c, struct fetch, call);

    free_prepared(f->it);
    buf_done(&f->text);
}

/* Hand on what came. After the journal was read again it is of no use: the fetch was begun anew. */
static void end_fetch(struct fetch *f, const char *text, size_t n, const struct err *err)
{
    struct prepared_item *it = f->it;
    struct engine *e = f->e;

    if (f->generation == e->generation && !e->is_suspended && !e->is_stopping) {
        f->it = NULL;
        if (err != NULL) {
            (void)buf_printf(&it->failure, "%s%s", PREPARING, err->text);
        } else {
            it->text = malloc(n + 1);
            it->len = n;
            if (it->text != NULL) {
                memcpy(it->text, text, n);
                it->text[n] = '\0';
            } else {
                (void)buf_add_str(&it->failure, PREPARING "out of memory");
            }
        }
        engine_queue(e, &it->item);
    }
    calls_free(e, &f->call);
}

static void on_document(void *ctx, const char *content, size_t n, const struct err *err)
{
    end_fetch(ctx, content, n, err);
}

static void on_values(void *ctx, cJSON *values, const struct err *err)
{
    struct fetch *f = ctx;
    struct prepared_item *it = f->it;
    struct engine *e = f->e;

    it->values = values;
    if (err != NULL)
        (void)buf_printf(&it->failure, "%s", err->text);
    if (f->generation == e->generation && !e->is_suspended && !e->is_stopping) {
        f->it = NULL;
        engine_queue(e, &it->item);
    }
    calls_free(e, &f->call);
}

/* Its item is queued again with the values, or with the reason why there are none. */
static void fetch_values(struct engine *e, struct prepared_item *it)
{
    struct document_references references = TAKE_STRUCT(it->references);
    struct fetch *f = calls_new(e, sizeof(*f));
    struct parameter_fetch *ignored = NULL; /* ends with its source, or calls back */
    struct err err = {0};
    int r;

    it->has_asked = true;
    if (f == NULL) {
        r = err_set(&err, ERR_NOMEM, "out of memory");
    } else if (e->parameters == NULL) {
        r = err_set(&err, ERR_STATE, "there is no access to Parameter Store here");
    } else {
        f->call.done = fetch_done;
        f->e = e;
        f->generation = e->generation;
        f->it = it;
        r = e->parameters->fetch(e->parameters, references.names, references.n, on_values, f,
                                 &ignored, &err);
    }
    document_references_done(&references);
    if (r == 0)
        return;
    if (f != NULL) {
        f->it = NULL;
        calls_free(e, &f->call);
    }
    (void)buf_printf(&it->failure, "%s", err.text);
    engine_queue(e, &it->item);
}

/* A file that is not there, or holds nothing, is the same to users of the reference. */
static int read_local(const char *path, struct buf *text, struct err *err)
{
    /* Looked at before it is opened: to open a pipe waits for its other end, and to open a device
     * may do anything. Links are followed: whose document this is, its author decides. */
    AUTO(close_fd) int place = open(path, O_PATH | O_CLOEXEC), fd = -1;
    struct stat st;
    char chunk[16384], name[64];
    ssize_t n;

    if (place < 0 && errno != ENOENT)
        return err_sys(err, ERR_IO, errno, "%s", path);
    if (place >= 0 && (fstat(place, &st) < 0 || !S_ISREG(st.st_mode)))
        return err_set(err, ERR_INVALID, "%s is not a file", path);
    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", place); /* fits */
    if (place >= 0 && (fd = open(name, O_RDONLY | O_CLOEXEC)) < 0)
        return err_sys(err, ERR_IO, errno, "%s", path);
    while (fd >= 0 && (n = read(fd, chunk, sizeof(chunk))) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, ERR_IO, errno, "%s", path);
        if (buf_add(text, chunk, (size_t)n) < 0)
            return buf_error(text, path, err);
    }
    return text->len > 0 ? 0 : err_set(err, ERR_INVALID, "File is empty!");
}

static void work_read(uv_work_t *work)
{
    struct fetch *f = container_of(work, struct fetch, work);

    (void)read_local(f->path, &f->text, &f->err); /* f->err says it */
}

static void after_read(uv_work_t *work, int status)
{
    struct fetch *f = container_of(work, struct fetch, work);

    if (status < 0)
        (void)err_set(&f->err, ERR_CANCELLED, "%s: not read", f->path);
    end_fetch(f, buf_str(&f->text), f->text.len, f->err.code != 0 ? &f->err : NULL);
}

/* Relative paths lie below the command's downloads (spec 04, section 7.4). */
static int start_reading(struct fetch *f, const struct job *job, const char *path, struct err *err)
{
    int n, r;

    if (path[0] == '/')
        n = snprintf(f->path, sizeof(f->path), "%s", path);
    else
        n = snprintf(f->path, sizeof(f->path), "%s/%s/downloads/%s", f->e->paths->jobs_dir,
                     job->inst.id, path);
    if (n < 0 || (size_t)n >= sizeof(f->path))
        return err_set(err, ERR_LIMIT, "documentPath %.100s...: the path is too long", path);
    r = uv_queue_work(f->e->loop, &f->work, work_read, after_read);
    return r < 0 ? err_set(err, ERR_SYSTEM, "%s: %s", path, uv_strerror(r)) : 0;
}

static int start_asking(struct fetch *f, const char *path, struct err *err)
{
    struct document_name name;
    int r = document_name_parse(path, &name, err);

    if (r < 0)
        return r;
    (void)str_copy(f->it->file, sizeof(f->it->file), name.file); /* its length was checked */
    if (f->e->lookup == NULL)
        return err_set(err, ERR_STATE, "document %s: no service to ask for it", path);
    return f->e->lookup->get_document(f->e->lookup, name.name, name.version, on_document, f, err);
}

static int start_fetch(struct engine *e, const struct job *job, int64_t effect_id,
                       struct rundocument_inputs *in, struct err *err)
{
    struct fetch *f = calls_new(e, sizeof(*f));
    int r;

    if (f == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    f->call.done = fetch_done;
    f->e = e;
    f->generation = e->generation;
    buf_init(&f->text, DOCUMENT_MAX_BYTES);
    f->it = new_prepared(job, effect_id);
    if (f->it == NULL || (f->it->name = strdup(in->path)) == NULL) {
        calls_free(e, &f->call);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    f->it->parameters = TAKE(in->parameters);
    r = in->is_local ? start_reading(f, job, in->path, err) : start_asking(f, in->path, err);
    if (r < 0)
        calls_free(e, &f->call);
    return r;
}

/* ---- the effects ---- */

static struct job *find_child(const struct engine *e, const struct job *job,
                              const struct fsm_effect *fx)
{
    char id[FSM_ID_SIZE];

    return command_child_id(job->inst.id, fx->arg, fx->arg2, id) ? engine_find_job(e, id) : NULL;
}

/* A child that ended took its parent's effect with it. If one has ended and the effect is open,
 * somebody changed the journal: what became of the step is not known. */
static bool has_ended_child(const struct engine *e, const struct job *job,
                            const struct fsm_effect *fx)
{
    enum journal_known known = JOURNAL_UNKNOWN;
    char id[FSM_ID_SIZE];

    return command_child_id(job->inst.id, fx->arg, fx->arg2, id) &&
           e->journal->ops->find(e->journal, NULL, id, &known, NULL) == 0 &&
           known != JOURNAL_UNKNOWN && known != JOURNAL_OPEN;
}

void nest_spawn(struct engine *e, struct job *job, const struct fsm_effect *fx,
                const struct document_unit *unit)
{
    AUTO(rundocument_inputs_done) struct rundocument_inputs in = {.path = NULL};
    const int64_t depth = command_of(&job->inst)->depth + 1;
    struct prepared_item *it;
    char reason[160];
    struct err err;
    int r;

    if (find_child(e, job, fx) != NULL)
        return; /* its end will be told */
    if (has_ended_child(e, job, fx)) {
        engine_queue_event(e, job->inst.id, COMMAND_EV_LOST, fx->id, false, NULL);
        return;
    }
    r = rundocument_inputs_parse(unit->inputs, &in, &err);
    if (r == ERR_NOMEM) {
        out_of_memory(e, job);
        return;
    }
    if (r < 0) {
        fail(e, job, fx->id, "", err.text);
        return;
    }
    if (depth > COMMAND_MAX_DEPTH) {
        (void)snprintf(reason, sizeof(reason),
                       "maximum depth of nested documents exceeded: %d is allowed, this one is at "
                       "depth %" PRId64,
                       COMMAND_MAX_DEPTH, depth);
        fail(e, job, fx->id, PREPARING, reason);
        return;
    }
    if (str_eq(in.path, RUNDOCUMENT_NOOP)) {
        it = new_prepared(job, fx->id);
        if (it == NULL) {
            out_of_memory(e, job);
            return;
        }
        it->is_noop = true;
        engine_queue(e, &it->item);
        return;
    }
    if (start_fetch(e, job, fx->id, &in, &err) < 0)
        fail(e, job, fx->id, PREPARING, err.text);
}

void nest_stop(struct engine *e, struct job *job, const struct fsm_effect *fx)
{
    const struct job *child = find_child(e, job, fx);

    if (child != NULL)
        engine_queue_event(e, child->inst.id, COMMAND_EV_CANCEL, 0, false, NULL);
    else /* it is not made any more: apply_prepared() looks at its parent's state */
        engine_queue_event(e, job->inst.id, COMMAND_EV_VOID, 0, false, NULL);
}

bool nest_may_start(const struct engine *e, const struct job *job)
{
    while (job != NULL && command_is_nested(&job->inst)) {
        job = engine_find_job(e, command_of(&job->inst)->parent_id);
        if (job != NULL && job->inst.state == COMMAND_STOPPING)
            return false;
    }
    return true;
}
