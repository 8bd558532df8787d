/* A line of things to remove, and one request on the thread pool. */
#define LOG_MODULE "cleanup"
#include "agent/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"

#define NAME_SIZE 160 /* job ids are safe names of at most 128 characters */

struct request {
    struct request *next;
    char job[NAME_SIZE];
    int unit;
    int64_t attempts;
};

struct cleanup {
    uv_loop_t *loop;
    char *jobs_dir; /* owned */
    uv_work_t work;
    struct request *first, **last; /* owned; the first one is under way while is_working */
    bool is_working, is_closing;
    struct err err; /* of the request under way; code 0: none */
};

/* ---- thread pool ---- */

static int remove_output(int jobs_fd, const struct request *q, struct err *err)
{
    static const char *const files[] = {"stdout", "stderr"};
    AUTO(close_fd) int job_fd = -1;
    int64_t attempt;
    size_t i;
    int r = fs_open_dir(jobs_fd, q->job, &job_fd, err);

    for (attempt = 1; attempt <= q->attempts && r == 0; attempt++) {
        AUTO(close_fd) int fd = -1;
        char name[48];

        (void)snprintf(name, sizeof(name), "%d.%" PRId64, q->unit, attempt); /* fits */
        r = fs_open_dir(job_fd, name, &fd, err);
        if (r == ERR_NOT_FOUND) /* it never began */
            r = 0;
        for (i = 0; i < ARRAY_LEN(files) && r == 0 && fd >= 0; i++)
            if (unlinkat(fd, files[i], 0) < 0 && errno != ENOENT)
                r = err_sys(err, ERR_IO, errno, "remove %s/%s/%s", q->job, name, files[i]);
    }
    return r == ERR_NOT_FOUND ? 0 : r; /* the job is gone */
}

static void run(uv_work_t *work)
{
    struct cleanup *c = container_of(work, struct cleanup, work);
    const struct request *q = c->first;
    AUTO(close_fd) int fd = -1;

    c->err.code = 0;
    if (fs_open_dir(AT_FDCWD, c->jobs_dir, &fd, &c->err) < 0)
        return;
    if (remove_output(fd, q, &c->err) == 0)
        c->err.code = 0;
}

/* ---- loop ---- */

static void begin(struct cleanup *c);

static void pop(struct cleanup *c)
{
    struct request *q = c->first;

    c->first = q->next;
    if (c->first == NULL)
        c->last = &c->first;
    free(q);
}

static void free_all(struct cleanup *c)
{
    while (c->first != NULL)
        pop(c);
    free(c->jobs_dir);
    free(c);
}

static void ended(uv_work_t *work, int status)
{
    struct cleanup *c = container_of(work, struct cleanup, work);

    (void)status; /* cancelled only at the end */
    c->is_working = false;
    if (c->err.code != 0)
        log_warning("output that is not to be kept: %s; retention removes it later", c->err.text);
    if (c->is_closing) {
        free_all(c);
        return;
    }
    pop(c);
    begin(c);
}

static void begin(struct cleanup *c)
{
    if (c->is_working || c->first == NULL || c->is_closing)
        return;
    if (uv_queue_work(c->loop, &c->work, run, ended) == 0)
        c->is_working = true;
}

void cleanup_output(struct cleanup *c, const char *job, int unit, int64_t attempts)
{
    struct request *q = calloc(1, sizeof(*q));

    if (q == NULL || !str_is_safe_name(job, sizeof(q->job) - 1)) { /* retention does it later */
        free(q);
        return;
    }
    (void)str_copy(q->job, sizeof(q->job), job); /* fits: just looked at */
    q->unit = unit;
    q->attempts = attempts;
    *c->last = q;
    c->last = &q->next;
    begin(c);
}

int cleanup_new(uv_loop_t *loop, const char *jobs_dir, struct cleanup **ret_cleanup,
                struct err *err)
{
    struct cleanup *c = calloc(1, sizeof(*c));

    if (c == NULL || (c->jobs_dir = strdup(jobs_dir)) == NULL) {
        free(c);
        return err_set(err, ERR_NOMEM, "cleanup: out of memory");
    }
    c->loop = loop;
    c->last = &c->first;
    *ret_cleanup = c;
    return 0;
}

void cleanup_close(struct cleanup *c)
{
    if (c == NULL)
        return;
    c->is_closing = true;
    if (!c->is_working)
        free_all(c);
}
