/* Reading a step's output files. */
#include "ctl/output.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"

#define CHUNK_BYTES 65536

const char *output_stream_name(enum output_stream stream)
{
    return stream == OUTPUT_STDOUT ? "stdout" : "stderr";
}

void output_init(struct output *o, int64_t step, int64_t attempt)
{
    *o = (struct output){.step = step,
                         .attempt = attempt,
                         .fds = {-1, -1},
                         .is_wanted = {true, true},
                         .last = {'\n', '\n'}};
}

void output_done(struct output *o)
{
    size_t i;

    for (i = 0; i < OUTPUT_N_STREAMS; i++) {
        if (o->fds[i] >= 0)
            (void)close(o->fds[i]); /* only read */
        o->fds[i] = -1;
    }
}

/* A directory or file that is missing is an answer; one that may not be read is not. */
static int judge(int r, const char *path, struct err *err)
{
    if (r == ERR_NOT_FOUND)
        return 0;
    if (err->sys_errno == EACCES || err->sys_errno == EPERM)
        return err_set(err, ERR_AUTH,
                       "read output below %s: permission denied; run ssmctl as root or as the user "
                       "that ssmd runs as",
                       path);
    return err_wrap(err, "read output below %s", path);
}

static int open_step_dir(const struct output *o, const struct paths *paths, const char *job,
                         int *ret_fd, struct err *err)
{
    AUTO(close_fd) int jobs = -1;
    AUTO(close_fd) int dir = -1;
    char name[64];
    int r;

    if (!str_is_safe_name(job, NAME_MAX))
        return err_set(err, ERR_INVALID, "job %s: its id cannot be the name of a directory", job);
    (void)snprintf(name, sizeof(name), "%" PRId64 ".%" PRId64, o->step, o->attempt);
    if ((r = fs_open_dir(AT_FDCWD, paths->jobs_dir, &jobs, err)) < 0 ||
        (r = fs_open_dir(jobs, job, &dir, err)) < 0)
        return r;
    return fs_open_dir(dir, name, ret_fd, err);
}

int output_open(struct output *o, const struct paths *paths, const char *job, bool *ret_is_there,
                struct err *err)
{
    AUTO(close_fd) int dir = -1;
    size_t i;
    int r = open_step_dir(o, paths, job, &dir, err);

    *ret_is_there = false;
    if (r < 0)
        return judge(r, paths->jobs_dir, err);
    for (i = 0; i < OUTPUT_N_STREAMS; i++) {
        const char *name = output_stream_name((enum output_stream)i);

        if (o->is_wanted[i] && o->fds[i] < 0) {
            o->fds[i] = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
            if (o->fds[i] < 0 && errno != ENOENT)
                return judge(err_sys(err, ERR_IO, errno, "open %s", name), paths->jobs_dir, err);
        }
        *ret_is_there = *ret_is_there || o->fds[i] >= 0;
    }
    return 0;
}

/* The next bytes; 0 at the end of what is there. */
static int read_some(struct output *o, size_t i, char *chunk, size_t *ret_n, struct err *err)
{
    ssize_t n;

    do
        n = read(o->fds[i], chunk, CHUNK_BYTES);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_sys(err, ERR_IO, errno, "read %s of step %" PRId64 ".%" PRId64,
                       output_stream_name((enum output_stream)i), o->step, o->attempt);
    o->n_bytes[i] += n;
    *ret_n = (size_t)n;
    return 0;
}

int output_copy(struct output *o, FILE *out, FILE *err_out, struct err *err)
{
    FILE *const to[OUTPUT_N_STREAMS] = {out, err_out};
    char chunk[CHUNK_BYTES];
    size_t i, n = 0;

    for (i = 0; i < OUTPUT_N_STREAMS; i++) {
        do {
            int r = o->fds[i] < 0 ? 0 : read_some(o, i, chunk, &n, err);

            if (r < 0)
                return r;
            if (o->fds[i] < 0 || n == 0)
                break;
            o->last[i] = chunk[n - 1];
            if (fwrite(chunk, 1, n, to[i]) != n)
                return err_sys(err, ERR_IO, errno, "print what the step wrote");
        } while (n > 0);
        if (fflush(to[i]) != 0)
            return err_sys(err, ERR_IO, errno, "print what the step wrote");
    }
    return 0;
}

int output_write_json(struct output *o, struct jsonw *w, struct err *err)
{
    char chunk[CHUNK_BYTES];
    size_t i, n = 0;

    for (i = 0; i < OUTPUT_N_STREAMS; i++) {
        struct jsonw_pieces carry = {.n = 0};
        int r;

        if (o->fds[i] < 0)
            continue;
        jsonw_open_object(w, NULL);
        jsonw_i64(w, "step", o->step);
        jsonw_i64(w, "attempt", o->attempt);
        jsonw_str(w, "stream", output_stream_name((enum output_stream)i));
        jsonw_begin_str(w, "text");
        do {
            r = read_some(o, i, chunk, &n, err);
            if (r < 0)
                return r;
            jsonw_add_str(w, &carry, chunk, n);
        } while (n > 0);
        jsonw_end_str(w, &carry);
        jsonw_i64(w, "bytes", o->n_bytes[i]);
        jsonw_close_object(w);
    }
    return 0;
}
