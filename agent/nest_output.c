/* The end of a nested document: the output of its steps, one after another, becomes the output of
 * the step that ran it (spec 04, section 7.7). Gathered on the thread pool, into files in that
 * step's directory, so that whoever wants a step's output finds it where any step's is. */
#define LOG_MODULE "nest"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/nest_internal.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "schema/texts.h"

#define CHUNK_BYTES 65536u
#define MAX_TRIES 20u /* a minute; what the steps wrote stays in their own files */

static const char *const stream_files[] = {STEP_FILE_STDOUT, STEP_FILE_STDERR};
static const char *const new_files[] = {".stdout.new", ".stderr.new"};

enum piece_kind {
    PIECE_PLUGIN,  /* nothing: here a plugin's output begins */
    PIECE_ELEMENT, /* a newline, if the plugin has output: its next element begins (section 1.6) */
    PIECE_WORDS,   /* of ours */
    PIECE_FILE,    /* the beginning of a file that a runner wrote */
};

struct piece {
    enum piece_kind kind;
    int stream;
    char *words; /* owned */
    int step, attempt;
    uint64_t limit; /* of the file: what came after a stop is not shown */
};

struct gathering {
    struct call call;
    struct engine *e;
    unsigned generation;
    uv_work_t work;
    char child_id[FSM_ID_SIZE], parent_id[FSM_ID_SIZE];
    int64_t effect_id; /* the child's report */
    int step, attempt; /* of the parent */
    const char *jobs_dir;
    uint64_t cap_bytes;
    struct piece *pieces; /* owned */
    size_t n_pieces, cap_pieces;
    /* the outcome */
    uint64_t n_bytes[2], n_over[2];
    char sha256[2][SHA256_HEX_SIZE];
    struct err err;
};

static void gathering_done(struct call *c)
{
    struct gathering *g = container_of(c, struct gathering, call);
    size_t i;

    for (i = 0; i < g->n_pieces; i++)
        free(g->pieces[i].words);
    free(g->pieces);
}

/* ---- which pieces ---- */

static int add_piece(struct gathering *g, const struct piece *p, struct err *err)
{
    if (g->n_pieces == g->cap_pieces) {
        size_t cap = g->cap_pieces == 0 ? 16 : 2 * g->cap_pieces;
        struct piece *pieces = realloc(g->pieces, cap * sizeof(*pieces));

        if (pieces == NULL)
            return err_set(err, ERR_NOMEM, "output of %s: out of memory", g->child_id);
        g->pieces = pieces;
        g->cap_pieces = cap;
    }
    g->pieces[g->n_pieces++] = *p;
    return 0;
}

/* PIECE_PLUGIN or PIECE_ELEMENT, in both streams. */
static int add_mark(struct gathering *g, enum piece_kind kind, struct err *err)
{
    int r = add_piece(g, &(struct piece){.kind = kind, .stream = 0}, err);

    return r == 0 ? add_piece(g, &(struct piece){.kind = kind, .stream = 1}, err) : r;
}

static int add_words(struct gathering *g, int stream, const char *words, struct err *err)
{
    struct piece p = {.kind = PIECE_WORDS, .stream = stream};
    int r;

    if (words[0] == '\0')
        return 0;
    p.words = strdup(words);
    r = p.words != NULL ? add_piece(g, &p, err) : err_set(err, ERR_NOMEM, "out of memory");
    if (r < 0)
        free(p.words);
    return r;
}

static int add_attempt(struct gathering *g, const struct job *child, size_t i, int attempt,
                       bool has_stderr, struct err *err)
{
    const struct command_unit *u = command_unit_at(&child->inst, i);
    const struct step_key key = {.job_id = child->inst.id, .step = (int)i, .attempt = attempt};
    bool is_stopped = attempt == (int)u->attempt &&
                      (str_eq(u->outcome, "timed_out") || str_eq(u->outcome, "cancelled"));
    struct step_outcome outcome;
    enum step_answer answer;
    struct err why;
    int stream, r = 0;

    is_stopped = is_stopped && steps_probe(g->e->steps, &key, &answer, &outcome, &why) == 0 &&
                 answer == STEP_ENDED;
    for (stream = 0; stream < (has_stderr ? 2 : 1) && r == 0; stream++) {
        const struct piece p = {.kind = PIECE_FILE,
                                .stream = stream,
                                .step = (int)i,
                                .attempt = attempt,
                                .limit = !is_stopped   ? UINT64_MAX
                                         : stream == 0 ? outcome.out.at_stop
                                                       : outcome.err.at_stop};

        r = add_piece(g, &p, err);
    }
    return r;
}

/* One unit's: what its attempts wrote, then why it failed. */
static int add_unit(struct gathering *g, const struct job *child, size_t i, bool has_stderr,
                    struct err *err)
{
    const struct command_unit *u = command_unit_at(&child->inst, i);
    AUTO(buf_done) struct buf note = {0};
    AUTO(buf_done) struct buf error = {0};
    int attempt, r = 0;

    buf_init(&note, NEST_MAX_WORDS);
    buf_init(&error, NEST_MAX_WORDS);
    for (attempt = 1; attempt <= (int)u->attempt && r == 0; attempt++)
        r = add_attempt(g, child, i, attempt, has_stderr, err);
    if (child->task != NULL)
        replies_add_words(child, i, &note, &error);
    if (r == 0 && (note.failed == ERR_NOMEM || error.failed == ERR_NOMEM))
        r = err_set(err, ERR_NOMEM, "words of %s: out of memory", child->inst.id);
    if (r == 0 && has_stderr && str_eq(u->status, "Failed"))
        r = add_words(g, 1, buf_str(&note), err);
    return r == 0 && has_stderr ? add_words(g, 1, buf_str(&error), err) : r;
}

/* The sentences that a reply adds for a plugin that ended its document. */
static int add_ending(struct gathering *g, int64_t code, bool is_on_failure, struct err *err)
{
    const char *words = text_ending(code, is_on_failure);
    int r = add_words(g, 0, words, err);

    return r == 0 && (is_on_failure || code != 168) ? add_words(g, 1, words, err) : r;
}

static int choose_pieces(struct gathering *g, const struct job *child, struct err *err)
{
    size_t n = child->inst.n_children, i, first = 0, k;
    int r = 0;

    for (i = 0; i < n && r == 0; i = first) {
        int64_t plugin = command_unit_at(&child->inst, i)->plugin;
        int64_t code = command_plugin_code(&child->inst, plugin);
        bool is_on_failure = false;

        for (first = i; first < n && command_unit_at(&child->inst, first)->plugin == plugin;
             first++)
            is_on_failure = is_on_failure ||
                            command_unit_at(&child->inst, first)->note == COMMAND_NOTE_ON_FAILURE;
        for (k = i; k < first && r == 0; k++) {
            r = add_mark(g, k == i ? PIECE_PLUGIN : PIECE_ELEMENT, err);
            if (r == 0)
                r = add_unit(g, child, k, code != 168 || is_on_failure, err);
        }
        if (r == 0)
            r = add_ending(g, code, is_on_failure, err);
    }
    return r;
}

/* ---- on the thread pool ---- */

struct sink {
    int fd;
    uint64_t n_bytes, n_over, cap_bytes;
    uint64_t n_before; /* bytes when the plugin's output began */
    struct sha256 hash;
};

static int put(struct sink *s, const char *bytes, size_t n, struct err *err)
{
    size_t room = s->cap_bytes - s->n_bytes < n ? (size_t)(s->cap_bytes - s->n_bytes) : n;
    int r = room > 0 ? fs_write_all(s->fd, bytes, room, err) : 0;

    if (r < 0)
        return r;
    sha256_add(&s->hash, bytes, room);
    s->n_bytes += room;
    s->n_over += n - room;
    return 0;
}

static int open_step(const char *jobs_dir, const char *job_id, int step, int attempt, bool is_made,
                     int *ret_fd, struct err *err)
{
    AUTO(close_fd) int jobs_fd = -1, job_fd = -1;
    char name[48];
    int r = fs_open_dir(AT_FDCWD, jobs_dir, &jobs_fd, err);

    (void)snprintf(name, sizeof(name), "%d.%d", step, attempt); /* fits */
    if (r == 0)
        r = is_made ? fs_make_dir(jobs_fd, job_id, &job_fd, err)
                    : fs_open_dir(jobs_fd, job_id, &job_fd, err);
    if (r == 0)
        r = is_made ? fs_make_dir(job_fd, name, ret_fd, err)
                    : fs_open_dir(job_fd, name, ret_fd, err);
    return r;
}

/* What is not there was never written. */
static int copy_file(const struct gathering *g, const struct piece *p, struct sink *s,
                     struct err *err)
{
    AUTO(close_fd) int dirfd = -1, fd = -1;
    AUTO(free) char *chunk = malloc(CHUNK_BYTES);
    uint64_t left = p->limit;
    int r = open_step(g->jobs_dir, g->child_id, p->step, p->attempt, false, &dirfd, err);

    if (chunk == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (r == 0)
        fd = openat(dirfd, stream_files[p->stream], O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (r == ERR_NOT_FOUND || (r == 0 && fd < 0 && errno == ENOENT))
        return 0;
    if (r == 0 && fd < 0)
        r = err_sys(err, ERR_IO, errno, "%s of step %d", stream_files[p->stream], p->step);
    while (r == 0 && left > 0) {
        ssize_t n = read(fd, chunk, left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 ? 0
                          : err_sys(err, ERR_IO, errno, "%s of step %d", stream_files[p->stream],
                                    p->step);
        r = put(s, chunk, (size_t)n, err);
        left -= (uint64_t)n;
    }
    return r;
}

static int put_piece(const struct gathering *g, const struct piece *p, struct sink *s,
                     struct err *err)
{
    switch (p->kind) {
    case PIECE_PLUGIN:
        s->n_before = s->n_bytes;
        return 0;
    case PIECE_ELEMENT:
        return s->n_bytes > s->n_before ? put(s, "\n", 1, err) : 0;
    case PIECE_WORDS:
        return put(s, p->words, strlen(p->words), err);
    case PIECE_FILE:
    default:
        return copy_file(g, p, s, err);
    }
}

static int gather_stream(struct gathering *g, int dirfd, int stream, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    struct sink s = {.cap_bytes = g->cap_bytes};
    size_t i;
    int r = 0;

    (void)unlinkat(dirfd, new_files[stream], 0); /* of a gathering that was cut short */
    fd = openat(dirfd, new_files[stream], O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                0600);
    if (fd < 0)
        return err_sys(err, ERR_IO, errno, "%s", new_files[stream]);
    s.fd = fd;
    sha256_init(&s.hash);
    for (i = 0; i < g->n_pieces && r == 0; i++)
        if (g->pieces[i].stream == stream)
            r = put_piece(g, &g->pieces[i], &s, err);
    if (r == 0 &&
        (fsync(fd) < 0 || renameat(dirfd, new_files[stream], dirfd, stream_files[stream]) < 0))
        r = err_sys(err, ERR_IO, errno, "%s", stream_files[stream]);
    if (r < 0)
        return r;
    sha256_end_hex(&s.hash, g->sha256[stream]);
    g->n_bytes[stream] = s.n_bytes;
    g->n_over[stream] = s.n_over;
    return 0;
}

static void work_gather(uv_work_t *work)
{
    struct gathering *g = container_of(work, struct gathering, work);
    AUTO(close_fd) int dirfd = -1;
    int r = open_step(g->jobs_dir, g->parent_id, g->step, g->attempt, true, &dirfd, &g->err);

    if (r == 0)
        r = gather_stream(g, dirfd, 0, &g->err);
    if (r == 0)
        r = gather_stream(g, dirfd, 1, &g->err);
    if (r == 0 && fsync(dirfd) < 0)
        r = err_sys(&g->err, ERR_IO, errno, "directory of step %d", g->step);
    if (r == 0 && fs_sync_above(dirfd, 2, &g->err) < 0) /* which no runner does for this step */
        (void)err_wrap(&g->err, "step %d", g->step);
}

/* ---- the end of both, within one transaction ---- */

struct end_item {
    struct item item;
    char child_id[FSM_ID_SIZE];
    int64_t effect_id;
    int64_t n_bytes[2], n_over;
    char sha256[2][SHA256_HEX_SIZE];
    char text[400]; /* why the output is not whole, or "" */
};

static void finish_end(struct engine *e, struct item *item, const struct err *err)
{
    (void)e;
    (void)err; /* not committed: the report is still open and will be done again */
    free(container_of(item, struct end_item, item));
}

/* A step of the nested document whose end nobody saw, or NULL. */
static const struct command_unit *lost_unit(const struct job *child, size_t *ret_i)
{
    size_t i;

    for (i = 0; i < child->inst.n_children; i++)
        if (command_unit_at(&child->inst, i)->note == COMMAND_NOTE_INTERRUPTED) {
            *ret_i = i;
            return command_unit_at(&child->inst, i);
        }
    return NULL;
}

/* What its steps wrote and no disk took, or no cap let through. */
static int64_t lost_bytes(const struct job *child)
{
    int64_t n = 0;
    size_t i;

    for (i = 0; i < child->inst.n_children; i++)
        n += command_unit_at(&child->inst, i)->output_lost;
    return n;
}

static int end_parent(struct engine *e, const struct end_item *it, const struct job *child,
                      struct err *err)
{
    const struct command *c = command_of(&child->inst);
    struct job *parent = engine_find_job(e, c->parent_id);
    const struct fsm_effect *fx =
        parent != NULL ? fsm_find_effect_kind(&parent->inst, COMMAND_FX_SPAWN) : NULL;
    const char *status = command_merged_status(&child->inst);
    struct command_result result = {.status = status,
                                    .code = str_eq(status, "Failed") ? 1 : 0,
                                    .outcome = "nested",
                                    .wait_status = -1,
                                    .ended_unix_ms = clock_wall_ms(),
                                    .stdout_bytes = it->n_bytes[0],
                                    .stderr_bytes = it->n_bytes[1],
                                    .stdout_sha256 = it->sha256[0],
                                    .stderr_sha256 = it->sha256[1],
                                    .output_lost = it->n_over + lost_bytes(child),
                                    .text = it->text};
    char lost[400];
    size_t i = 0;
    const struct command_unit *u = lost_unit(child, &i);
    struct fsm_event ev;

    if (fx == NULL || fx->arg != c->parent_unit || fx->arg2 != c->parent_attempt) {
        e->status.n_stale++; /* its parent gave it up */
        return 0;
    }
    if (u != NULL) {
        (void)snprintf(lost, sizeof(lost), "step %zu of its document: %.300s", i, u->text);
        result.text = lost;
    }
    ev = engine_event(e, u != NULL ? COMMAND_EV_LOST : COMMAND_EV_EXITED, fx->id, &result);
    return engine_deliver(e, parent, &ev, err);
}

static int apply_end(struct engine *e, struct item *item, struct err *err)
{
    struct end_item *it = container_of(item, struct end_item, item);
    struct job *child = engine_find_job(e, it->child_id);
    struct fsm_event ev = engine_event(e, COMMAND_EV_REPORTED, it->effect_id, NULL);
    int r;

    if (child == NULL || fsm_find_effect(&child->inst, it->effect_id) == NULL) {
        e->status.n_stale++;
        return 0;
    }
    r = engine_deliver(e, child, &ev, err);
    return r < 0 ? r : end_parent(e, it, child, err);
}

static void queue_end(struct engine *e, const struct gathering *g)
{
    struct end_item *it = calloc(1, sizeof(*it));
    struct err err;
    int i;

    if (it == NULL) {
        (void)err_set(&err, ERR_NOMEM, "end of %s: out of memory", g->child_id);
        engine_ask_suspend(e, &err);
        return;
    }
    it->item = (struct item){.apply = apply_end, .finish = finish_end};
    (void)str_copy(it->child_id, sizeof(it->child_id), g->child_id);
    it->effect_id = g->effect_id;
    for (i = 0; i < 2; i++) {
        it->n_bytes[i] = (int64_t)g->n_bytes[i];
        it->n_over += (int64_t)g->n_over[i];
        if (g->n_bytes[i] > 0) /* as of any step: nothing is said of no output */
            (void)str_copy(it->sha256[i], sizeof(it->sha256[i]), g->sha256[i]);
    }
    if (g->err.code != 0) { /* the result is true all the same, and must not be lost */
        log_error("%s: its output could not be gathered: %s", g->child_id, g->err.text);
        (void)snprintf(it->text, sizeof(it->text),
                       "the output of its steps could not be gathered: %.300s", g->err.text);
    }
    engine_queue(e, &it->item);
}

/* What its steps wrote is on the disk and is not given up for a failure that may pass. */
static bool try_again(struct engine *e, const struct gathering *g)
{
    struct job *child = engine_find_job(e, g->child_id);

    if (g->err.code == 0 || err_class_of(g->err.code) != ERR_CLASS_RETRY || child == NULL ||
        ++child->n_gather_tries >= MAX_TRIES)
        return false;
    if (child->n_gather_tries == 1) {
        log_warning("%s: its output cannot be gathered now, it is tried again: %s", g->child_id,
                    g->err.text);
        engine_note_error(e, &g->err);
    }
    child->has_held_report = true;
    fx_try_again_later(e);
    return true;
}

static void after_gather(uv_work_t *work, int status)
{
    struct gathering *g = container_of(work, struct gathering, work);
    struct engine *e = g->e;

    if (status < 0)
        (void)err_set(&g->err, ERR_CANCELLED, "it was not begun");
    if (g->generation == e->generation && !e->is_suspended && !e->is_stopping && !try_again(e, g))
        queue_end(e, g);
    calls_free(e, &g->call);
}

void nest_report(struct engine *e, struct job *child, const struct fsm_effect *fx)
{
    struct gathering *g = calls_new(e, sizeof(*g));
    const struct command *c = command_of(&child->inst);
    struct err err;
    int r;

    if (g == NULL) {
        (void)err_set(&err, ERR_NOMEM, "end of %s: out of memory", child->inst.id);
        engine_ask_suspend(e, &err);
        return;
    }
    g->call.done = gathering_done;
    g->e = e;
    g->generation = e->generation;
    g->effect_id = fx->id;
    g->step = (int)c->parent_unit;
    g->attempt = (int)c->parent_attempt;
    g->jobs_dir = e->paths->jobs_dir;
    g->cap_bytes = fx_output_cap(e, child);
    (void)str_copy(g->child_id, sizeof(g->child_id), child->inst.id);
    (void)str_copy(g->parent_id, sizeof(g->parent_id), c->parent_id);
    if (task_load(e, child, &err) < 0) /* its steps' words are missing then, their output is not */
        log_error("%s: %s", child->inst.id, err.text);
    r = choose_pieces(g, child, &g->err);
    if (r == 0) {
        r = uv_queue_work(e->loop, &g->work, work_gather, after_gather);
        if (r == 0)
            return;
        (void)err_set(&g->err, ERR_SYSTEM, "%s", uv_strerror(r));
    }
    if (!try_again(e, g))
        queue_end(e, g);
    calls_free(e, &g->call);
}

void nest_put_words(struct engine *e, const struct job *job, const struct fsm_effect *fx,
                    enum step_stream stream, const struct buf *words)
{
    AUTO(close_fd) int dirfd = -1;
    struct err err;

    if (open_step(e->paths->jobs_dir, job->inst.id, (int)fx->arg, (int)fx->arg2, true, &dirfd,
                  &err) < 0 ||
        fs_write_atomic(dirfd, stream_files[stream], words->data, words->len, 0600, false, &err) <
            0)
        log_warning("%s: step %" PRId64 ": %s", job->inst.id, fx->arg, err.text);
}

void nest_refuse_step(struct engine *e, const struct job *job, const struct fsm_effect *fx,
                      const char *why)
{
    AUTO(buf_done) struct buf words = {0};

    buf_init(&words, NEST_MAX_WORDS);
    (void)buf_add_str(&words, why); /* an err's text: fits */
    nest_put_words(e, job, fx, STEP_STDERR, &words);
    fx_end_step(e, job, fx, "Failed", STEP_OUTCOME_NOT_PREPARED, why, NULL);
}

void nest_keep_document(struct engine *e, const struct nested_command *n, const char *file,
                        const char *text, size_t len)
{
    AUTO(close_fd) int jobs_fd = -1, job_fd = -1, dirfd = -1;
    char id[FSM_ID_SIZE];
    struct err err;

    if (!command_child_id(n->parent->inst.id, n->unit, n->attempt, id))
        return; /* intake says so */
    if (fs_open_dir(AT_FDCWD, e->paths->jobs_dir, &jobs_fd, &err) < 0 ||
        fs_make_dir(jobs_fd, id, &job_fd, &err) < 0 ||
        fs_make_dir(job_fd, "downloads", &dirfd, &err) < 0 ||
        fs_write_atomic(dirfd, file, text, len, 0700, false, &err) < 0)
        log_warning("%s: %s: %s", id, file, err.text);
}
