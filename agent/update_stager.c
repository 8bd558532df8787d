/* Running ssmd-stager: a record in, a record out, its complaints into the log. */
#define LOG_MODULE "update"
#include "agent/update_stager.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crashpoint.h"
#include "base/log.h"
#include "base/proctree.h"
#include "base/secret.h"
#include "base/str.h"

#define MAX_LINE_BYTES 1000u
#define MAX_LINES 200 /* a program that does not end to complain must not fill the log */
#define N_HANDLES 5

struct stager {
    uv_process_t process;
    uv_pipe_t in, out, err;
    uv_timer_t limit;
    uv_write_t write;
    int n_open; /* handles; memory goes with the last of them */
    struct buf request, answer, line;
    int n_lines;
    stager_done_fn done; /* NULL: nobody waits any more */
    void *ctx;
    bool has_exited, has_ended; /* the process; its standard output */
    int64_t status;
    int sig;
    struct err problem; /* code 0: none */
    char chunk[8192];
};

static void on_closed(uv_handle_t *handle)
{
    struct stager *s = handle->data;

    if (--s->n_open > 0)
        return;
    buf_done(&s->request);
    buf_done(&s->answer);
    buf_done(&s->line);
    free(s);
}

static void close_one(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, on_closed);
}

static void close_pipes(struct stager *s)
{
    close_one((uv_handle_t *)&s->in);
    close_one((uv_handle_t *)&s->out);
    close_one((uv_handle_t *)&s->err);
    close_one((uv_handle_t *)&s->limit);
}

/* What it has left behind in its session. The number is good as long as one of them lives, or
 * else nobody's, or a stranger's, who leads it. */
static void end_orphans(const struct stager *s)
{
    AUTO(proc_table_done) struct proc_table table = {0};
    size_t i;

    if (proc_table_read(&table, NULL) < 0)
        return; /* they end without a pipe to write to */
    for (i = 0; i < table.n; i++)
        if (table.items[i].pid == s->process.pid)
            return;
    proc_table_choose_session(&table, s->process.pid, 0);
    (void)proc_table_signal(&table, SIGKILL);
}

/* It leads a session of its own: what it tries out ends with it. */
static void end_process(const struct stager *s)
{
    if (s->process.pid <= 0)
        return;
    if (s->has_exited)
        end_orphans(s);
    else
        (void)kill(-s->process.pid, SIGKILL);
}

static void say_end(struct stager *s)
{
    if (s->problem.code != 0)
        return;
    if (s->sig != 0)
        (void)err_set(&s->problem, ERR_SYSTEM, "ssmd-stager was killed by signal %d", s->sig);
    else
        (void)err_set(&s->problem, ERR_SYSTEM,
                      "ssmd-stager ended with exit status %d and without an answer (its complaints "
                      "are in ssmd's log)",
                      (int)s->status);
}

static void tell(struct stager *s)
{
    stager_done_fn done = s->done;
    struct stager_answer answer = {.verdict = STAGER_FAIL};
    struct err err = {0};

    if (done == NULL || !s->has_exited || !s->has_ended)
        return;
    s->done = NULL;
    close_pipes(s);
    if (s->problem.code == 0 && s->answer.len > 0 && s->status == 0 && s->sig == 0 &&
        stager_answer_parse(s->answer.data, s->answer.len, &answer, &err) < 0) {
        (void)err_wrap(&err, "ssmd-stager");
        s->problem = err;
    } else if (s->problem.code == 0 && (s->answer.len == 0 || s->status != 0 || s->sig != 0)) {
        say_end(s);
    }
    if (s->problem.code != 0) {
        err = s->problem;
        done(s->ctx, NULL, &err);
    } else {
        done(s->ctx, &answer, NULL);
    }
}

static void on_exited(uv_process_t *process, int64_t status, int sig)
{
    struct stager *s = process->data;

    s->has_exited = true;
    s->status = status;
    s->sig = sig;
    close_one((uv_handle_t *)process);
    if (s->done == NULL)
        close_pipes(s);
    else
        tell(s);
}

static void on_limit(uv_timer_t *timer)
{
    struct stager *s = timer->data;

    (void)err_set(&s->problem, ERR_TIMEOUT, "ssmd-stager took too long and was ended");
    end_process(s);
    s->has_ended = true; /* what it left behind may hold its output open */
    tell(s);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct stager *s = handle->data;

    (void)suggested;
    *ret_buf = uv_buf_init(s->chunk, sizeof(s->chunk)); /* read and consumed before the next */
}

static void on_answer(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
    struct stager *s = stream->data;

    if (n > 0)
        (void)buf_add(&s->answer, bytes->base, (size_t)n);
    if (n > 0 && buf_error(&s->answer, "ssmd-stager's answer", &s->problem) < 0) {
        end_process(s);
        n = UV_EOF;
    }
    if (n >= 0)
        return;
    s->has_ended = true;
    (void)uv_read_stop(stream);
    tell(s);
}

static void say_line(struct stager *s)
{
    if (s->line.len > 0 && s->n_lines++ < MAX_LINES)
        log_info("stager: %s", buf_str(&s->line));
    buf_clear(&s->line);
}

static void on_complaint(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
    struct stager *s = stream->data;
    ssize_t i;

    for (i = 0; i < n; i++) {
        char c = bytes->base[i];

        if (c == '\n' || s->line.len >= MAX_LINE_BYTES)
            say_line(s);
        if (c != '\n')
            (void)buf_add_char(&s->line, (unsigned char)c < ' ' ? ' ' : c); /* fits */
    }
    if (n < 0) {
        say_line(s);
        (void)uv_read_stop(stream);
    }
}

static void on_written(uv_write_t *req, int status)
{
    struct stager *s = container_of(req, struct stager, write);

    (void)status; /* who does not read its request gives no answer, and that is told */
    close_one((uv_handle_t *)&s->in);
}

static struct stager *new_stager(uv_loop_t *loop, stager_done_fn done, void *ctx)
{
    struct stager *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    s->done = done;
    s->ctx = ctx;
    buf_init(&s->request, STAGER_MAX_REQUEST_BYTES);
    buf_init(&s->answer, STAGER_MAX_ANSWER_BYTES);
    buf_init(&s->line, MAX_LINE_BYTES + 1);
    (void)uv_pipe_init(loop, &s->in, 0); /* these cannot fail */
    (void)uv_pipe_init(loop, &s->out, 0);
    (void)uv_pipe_init(loop, &s->err, 0);
    (void)uv_timer_init(loop, &s->limit);
    s->process.data = s->in.data = s->out.data = s->err.data = s->limit.data = s;
    s->n_open = N_HANDLES;
    return s;
}

static int spawn(uv_loop_t *loop, struct stager *s, const char *program, struct err *err)
{
    AUTO(free) char **environment = secret_clean_environment();
    char *argv[] = {(char *)(uintptr_t)program, NULL}; /* libuv does not write to it */
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&s->in},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&s->out},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&s->err}};
    const uv_process_options_t options = {.file = program,
                                          .args = argv,
                                          .env = environment,
                                          .cwd = "/",
                                          .exit_cb = on_exited,
                                          .flags = UV_PROCESS_DETACHED,
                                          .stdio = stdio,
                                          .stdio_count = 3};
    int r;

    if (environment == NULL)
        return err_set(err, ERR_NOMEM, "start %s: out of memory", program);
    r = uv_spawn(loop, &s->process, &options);
    return r < 0 ? err_set(err, r == UV_ENOENT || r == UV_EACCES ? ERR_STATE : ERR_SYSTEM,
                           "start %s: %s; it belongs to ssmd: install it again", program,
                           uv_strerror(r))
                 : 0;
}

int stager_start(uv_loop_t *loop, const char *program, const struct stager_request *q,
                 uint64_t limit_ms, stager_done_fn done, void *ctx, struct stager **ret_stager,
                 struct err *err)
{
    struct stager *s = new_stager(loop, done, ctx);
    uv_buf_t bytes;
    int r;

    if (s == NULL)
        return err_set(err, ERR_NOMEM, "start ssmd-stager: out of memory");
    stager_request_write(q, &s->request);
    r = buf_error(&s->request, "request", err);
    if (r == 0)
        r = spawn(loop, s, program, err);
    if (r < 0) {
        s->done = NULL;
        close_pipes(s);
        if (s->process.loop != NULL) /* uv_spawn() makes a handle of it even when it fails */
            close_one((uv_handle_t *)&s->process);
        else
            s->n_open--;
        return r;
    }
    crashpoint("stager.started");
    bytes = uv_buf_init(s->request.data, (unsigned)s->request.len);
    if (uv_write(&s->write, (uv_stream_t *)&s->in, &bytes, 1, on_written) < 0)
        close_one((uv_handle_t *)&s->in); /* it reads nothing, and says so */
    (void)uv_read_start((uv_stream_t *)&s->out, on_alloc, on_answer); /* on pipes just made */
    (void)uv_read_start((uv_stream_t *)&s->err, on_alloc, on_complaint);
    (void)uv_timer_start(&s->limit, on_limit, limit_ms, 0);
    *ret_stager = s;
    return 0;
}

void stager_kill(struct stager *s, bool is_last)
{
    if (s == NULL)
        return;
    s->done = NULL;
    end_process(s);
    close_pipes(s);
    if (is_last)
        close_one((uv_handle_t *)&s->process);
}
