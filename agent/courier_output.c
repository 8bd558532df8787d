/* Several files read as one. One descriptor is open at a time. */
#include "agent/courier_output.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

void courier_output_init(struct courier_output *o, const struct courier_events *events,
                         const char *job, int unit, int stream)
{
    *o = (struct courier_output){
        .events = events, .job = job, .unit = unit, .stream = stream, .fd = -1};
}

static void close_file(struct courier_output *o)
{
    close_fd_cleanup(&o->fd);
    o->fd = -1;
    o->open = 0;
}

void courier_output_done(struct courier_output *o)
{
    close_file(o);
    free(o->sizes);
    o->sizes = NULL;
}

static int open_file(struct courier_output *o, int64_t attempt, struct err *err)
{
    int r;

    if (o->fd >= 0 && o->open == attempt)
        return 0;
    close_file(o);
    r = o->events->open_output(o->events->ctx, o->job, o->unit, (int)attempt, o->stream, &o->fd,
                               err);
    if (r == 0)
        o->open = attempt;
    return r;
}

static int keep_size(struct courier_output *o, int64_t attempt, int64_t size, struct err *err)
{
    if (attempt > o->cap) {
        int64_t cap = o->cap > 0 ? 2 * o->cap : 4, *more;

        more = realloc(o->sizes, (size_t)cap * sizeof(*more));
        if (more == NULL)
            return err_set(err, ERR_NOMEM, "output of %s: out of memory", o->job);
        o->sizes = more;
        o->cap = cap;
    }
    if (attempt > o->n)
        o->n = attempt;
    o->sizes[attempt - 1] = size;
    return 0;
}

int courier_output_look(struct courier_output *o, int64_t attempts, struct err *err)
{
    int64_t attempt, i;
    int r = 0;

    /* Files of attempts before the last that was seen do not change any more. */
    for (attempt = o->n > 0 ? o->n : 1; attempts == 0 || attempt <= attempts; attempt++) {
        struct stat st = {.st_size = 0};

        r = open_file(o, attempt, err);
        if (r == ERR_NOT_FOUND && attempts == 0)
            break; /* it has not begun */
        if (r < 0 && r != ERR_NOT_FOUND)
            return r;
        if (r == 0 && fstat(o->fd, &st) < 0)
            return err_sys(err, ERR_IO, errno, "output of %s", o->job);
        r = keep_size(o, attempt, (int64_t)st.st_size, err);
        if (r < 0)
            return r;
    }
    o->total = 0;
    for (i = 0; i < o->n; i++)
        o->total += o->sizes[i];
    return 0;
}

void courier_output_rest(struct courier_output *o)
{
    close_file(o);
}

ssize_t courier_output_read(void *output, void *bytes, size_t n, int64_t offset)
{
    struct courier_output *o = output;
    int64_t attempt;

    for (attempt = 1; attempt <= o->n; attempt++) {
        int64_t size = o->sizes[attempt - 1];

        if (offset < size) {
            if ((int64_t)n > size - offset)
                n = (size_t)(size - offset);
            if (open_file(o, attempt, NULL) < 0) {
                errno = EIO;
                return -1;
            }
            return pread(o->fd, bytes, n, (off_t)offset);
        }
        offset -= size;
    }
    return 0;
}
