/* Following a job: its journal says which attempts there are and when it is over, its directories
 * hold what they wrote. The journal is read before the files, so what a job that is over has
 * written is complete when it is printed. */
#include "ctl/follow.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "ctl/history.h"
#include "ctl/job.h"
#include "ctl/status_internal.h"
#include "schema/json.h"

#define ASK_EVERY_TURNS 25 /* of FOLLOW_POLL_MS: is ssmd still there? */

struct follower {
    struct ctl *c;
    struct reader *reader;
    const struct follow_options *options;
    struct reader_instance *job; /* borrowed; as it was last read */
    struct output at;            /* the attempt that is being printed */
    bool has_at, is_there;       /* there is one; its files are there */
    size_t n_attempts, n_found;  /* that the journal knows; that have a directory */
    bool said_it_is_down;
    int n_turns;
};

/* The attempt after (step, attempt); first with step -1. False when the journal knows of none. */
static bool next_attempt(const struct follower *f, int64_t *step, int64_t *attempt)
{
    int64_t s = *step, a = *attempt + 1;

    for (; s < (int64_t)f->job->inst.n_children; s++, a = 1) {
        if (s < 0 || (f->options->step >= 0 && s != f->options->step))
            continue;
        if (a <= command_unit_at(&f->job->inst, (size_t)s)->attempt) {
            *step = s;
            *attempt = a;
            return true;
        }
    }
    return false;
}

static bool has_next(const struct follower *f)
{
    int64_t step = f->has_at ? f->at.step : -1, attempt = f->has_at ? f->at.attempt : 0;

    return next_attempt(f, &step, &attempt);
}

/* To the next attempt, which there is. */
static void go_on(struct follower *f)
{
    int64_t step = f->has_at ? f->at.step : -1, attempt = f->has_at ? f->at.attempt : 0;

    (void)next_attempt(f, &step, &attempt); /* has_next() said so */
    if (f->has_at)
        output_done(&f->at);
    output_init(&f->at, step, attempt);
    memcpy(f->at.is_wanted, f->options->is_wanted, sizeof(f->at.is_wanted));
    f->has_at = true;
    f->is_there = false;
    f->n_attempts++;
}

static int open_attempt(struct follower *f, struct err *err)
{
    bool was_there = f->is_there;
    int r = output_open(&f->at, &f->c->paths, f->job->id, &f->is_there, err);

    f->n_found += r == 0 && f->is_there && !was_there;
    return r;
}

static int print_attempt(struct follower *f, struct err *err)
{
    int r = open_attempt(f, err);

    return r == 0 && f->is_there ? output_copy(&f->at, f->c->out, f->c->err, err) : r;
}

/* What ssmctl says itself begins on a line of its own, whatever a step wrote last. */
static void end_line(const struct follower *f)
{
    if (f->has_at && f->at.last[OUTPUT_STDERR] != '\n')
        (void)fputc('\n', f->c->err);
}

static void head_attempt(const struct follower *f)
{
    if (f->job->inst.n_children > 1 || f->at.attempt > 1)
        (void)fprintf(f->c->err, "== step %" PRId64 ", attempt %" PRId64 " ==\n", f->at.step,
                      f->at.attempt);
}

/* Print what there is now of every attempt that the journal knows. */
static int print_new(struct follower *f, struct err *err)
{
    int r = f->has_at ? print_attempt(f, err) : 0;

    while (r == 0 && has_next(f)) {
        end_line(f);
        go_on(f);
        head_attempt(f);
        r = print_attempt(f, err);
    }
    return r;
}

static int read_again(struct follower *f, struct err *err)
{
    struct reader_instance now;
    int r = reader_get(f->reader, f->job->id, &now, err);

    if (r < 0)
        return r;
    reader_instance_done(f->job);
    *f->job = now;
    return 0;
}

/* One pause. A job does not end while ssmd is down, so that is said, once. */
static void wait_a_turn(struct follower *f)
{
    static const struct timespec pause = {.tv_nsec = FOLLOW_POLL_MS * 1000000L};
    AUTO(cJSON_Delete) cJSON *status = NULL;
    struct err err;

    (void)nanosleep(&pause, NULL); /* a shorter one is as good */
    if (f->said_it_is_down || ++f->n_turns % ASK_EVERY_TURNS != 0)
        return;
    if (status_live_ask(&f->c->paths, &status, &err) == ERR_NETWORK) {
        (void)fprintf(f->c->err, "ssmctl: %s; the job goes on, and this waits for it\n", err.text);
        f->said_it_is_down = true;
    }
}

static int follow(struct follower *f, struct err *err)
{
    for (;;) {
        bool is_over = job_is_over(f->job) || !job_is_command(f->job);
        int r = f->c->is_json ? 0 : print_new(f, err);

        if (r < 0 || is_over || !f->options->waits)
            return r;
        wait_a_turn(f);
        r = read_again(f, err);
        if (r < 0)
            return r;
    }
}

/* The journal knows of output on what is wanted. A step that wrote nothing leaves no file either.
 */
static bool has_written(const struct follower *f)
{
    const struct follow_options *o = f->options;
    size_t i;

    for (i = 0; i < f->job->inst.n_children; i++) {
        const struct command_unit *u = command_unit_at(&f->job->inst, i);

        if ((o->step < 0 || o->step == (int64_t)i) &&
            ((o->is_wanted[OUTPUT_STDOUT] && u->stdout_bytes > 0) ||
             (o->is_wanted[OUTPUT_STDERR] && u->stderr_bytes > 0)))
            return true;
    }
    return false;
}

static int write_json(struct follower *f, struct err *err)
{
    struct jsonw w;

    ctl_begin_json(f->c, &w);
    jsonw_open_object(&w, NULL);
    jsonw_str(&w, "job", f->job->id);
    jsonw_str(&w, "state", f->job->state);
    jsonw_str(&w, "status", f->job->status);
    jsonw_open_list(&w, "streams");
    while (has_next(f)) {
        int r;

        go_on(f);
        r = open_attempt(f, err);
        if (r == 0 && f->is_there)
            r = output_write_json(&f->at, &w, err);
        if (r < 0)
            return r;
    }
    jsonw_close_list(&w);
    jsonw_close_object(&w);
    return jsonw_end(&w, err);
}

int follow_job(struct ctl *c, struct reader *reader, struct reader_instance *job,
               const struct follow_options *options, struct err *err)
{
    struct follower f = {.c = c, .reader = reader, .options = options, .job = job};
    int r = 0;

    if (options->step >= (int64_t)job->inst.n_children)
        r = err_set(err, ERR_NOT_FOUND, "step %" PRId64 " of job %s: it has %zu steps, from 0",
                    options->step, job->id, job->inst.n_children);
    else if (options->waits && !job_is_over(job) && reader_is_copy(reader))
        r = err_set(
            err, ERR_STATE,
            "follow job %s: the journal can only be read as a copy of this moment; leave -f "
            "away",
            job->id);
    if (r == 0)
        r = follow(&f, err);
    if (r == 0 && c->is_json)
        r = write_json(&f, err);
    if (options->is_followed)
        end_line(&f);
    if (r == 0 && job_is_over(job) && f.n_attempts > 0 && f.n_found == 0 && has_written(&f))
        r = err_set(err, ERR_NOT_FOUND, "output of job %s: it has been removed", job->id);
    if (f.has_at)
        output_done(&f.at);
    return r;
}
