/* Watching runners from the loop until their end can be told, and ending what a dead one left.
 *
 * Any number of steps share one timer. It runs only while a step needs it: right away for a look at
 * a directory, each 20 ms while remains are being killed or a runner has not said who it is, each
 * second for runners that can only be watched by their pid. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "executors/cgroup.h"
#include "executors/steps_internal.h"

#define SOON_MS 20
#define PID_CHECK_MS 1000
#define FAILED_LOOK_MS 1000
#define MAX_FAILED_LOOKS 10
#define KILL_GIVE_UP_MS 5000

static void on_timer(uv_timer_t *timer);

static void handle_closed(struct steps *s)
{
    if (--s->n_handles > 0)
        return;
    if (s->jobs_fd >= 0)
        (void)close(s->jobs_fd); /* a directory: nothing was written */
    free(s);
}

static void free_watched(struct watched *w)
{
    if (w->pidfd >= 0)
        (void)close(w->pidfd); /* nothing was written */
    free(w->remains);
    free(w->outcome);
    free(w);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct watched *w = container_of((uv_poll_t *)handle, struct watched, poll);
    struct steps *s = w->owner;

    free_watched(w);
    handle_closed(s);
}

/* Take it off the list and end it. */
static void drop(struct watched *w)
{
    struct steps *s = w->owner;
    struct watched **p;

    for (p = &s->first; *p != NULL; p = &(*p)->next)
        if (*p == w) {
            *p = w->next;
            s->n_watched--;
            break;
        }
    if (w->has_poll)
        uv_close((uv_handle_t *)&w->poll, on_poll_closed);
    else
        free_watched(w);
}

static int64_t next_due_ms(const struct steps *s, int64_t now)
{
    const struct watched *w;
    int64_t due = INT64_MAX;

    for (w = s->first; w != NULL; w = w->next) {
        int64_t d = INT64_MAX;

        if (w->state == WATCH_LOOK || w->state == WATCH_REMAINS)
            d = w->due_ms;
        else if (w->state == WATCH_PID)
            d = now + PID_CHECK_MS;
        if (d < due)
            due = d;
    }
    return due;
}

static void schedule(struct steps *s)
{
    int64_t now = clock_boottime_ms(), due;

    if (s->is_closing || s->is_ticking)
        return; /* a tick schedules at its end */
    due = next_due_ms(s, now);
    if (due == INT64_MAX)
        (void)uv_timer_stop(&s->timer); /* cannot fail */
    else
        (void)uv_timer_start(&s->timer, on_timer, due > now ? (uint64_t)(due - now) : 0, 0);
}

static void look_at(struct watched *w, int64_t due_ms)
{
    w->state = WATCH_LOOK;
    w->due_ms = due_ms;
}

/* `w` is gone afterwards, and the owner may be closing. */
static void tell(struct watched *w, enum step_answer answer, const struct step_outcome *outcome)
{
    struct steps_events events = w->owner->events;
    char job_id[sizeof(w->job_id)];
    struct step_key key = {job_id, w->step, w->attempt};
    struct step_outcome copy = *outcome;

    (void)str_copy(job_id, sizeof(job_id), w->job_id);
    drop(w);
    events.ended(events.ctx, &key, answer, &copy);
}

/* A runner that was found again may be a child all the same: this process has started it, and has
 * read its journal anew since. By its pidfd, since its number may be another's by now. */
static void reap_found(struct watched *w)
{
    siginfo_t info = {0};

    if (w->pidfd < 0 || waitid(P_PIDFD, (id_t)w->pidfd, &info, WEXITED | WNOHANG) < 0 ||
        info.si_pid == 0)
        return; /* not ours, or not over */
    w->runner_status = info.si_code == CLD_EXITED ? W_EXITCODE(info.si_status, 0) : info.si_status;
}

static void reap(struct watched *w)
{
    int status;
    pid_t pid;

    if (!w->is_child) {
        reap_found(w);
        return;
    }
    pid = waitpid(w->pid, &status, WNOHANG);
    if (pid == 0)
        return;
    w->is_child = false;
    if (pid == w->pid) /* else somebody else has reaped it: its records must do */
        w->runner_status = status;
}

static void runner_ended(struct watched *w)
{
    reap(w);
    if (w->has_poll)
        (void)uv_poll_stop(&w->poll); /* cannot fail */
    look_at(w, clock_boottime_ms());
}

static void on_pidfd(uv_poll_t *poll, int status, int events)
{
    struct watched *w = container_of(poll, struct watched, poll);

    (void)status; /* whatever it says: look */
    (void)events;
    runner_ended(w);
    schedule(w->owner);
}

static void on_sigchld(uv_signal_t *handle, int signum)
{
    struct steps *s = handle->data;
    struct watched *w;

    (void)signum;
    for (w = s->first; w != NULL; w = w->next) {
        if (w->state != WATCH_PID || !w->is_child)
            continue;
        reap(w);
        if (!w->is_child)
            look_at(w, clock_boottime_ms());
    }
    schedule(s);
}

/* By pidfd, when the kernel has them. The process was seen alive after the pidfd was opened, or is
 * our unreaped child: the descriptor is truly its own. */
static bool watch_by_pidfd(struct watched *w)
{
    struct steps *s = w->owner;

    if (s->without_pidfd || w->has_poll)
        return false;
    w->pidfd = proc_open_pidfd(w->pid);
    if (w->pidfd < 0)
        return false;
    if ((!w->is_child && !proc_is_alive(w->pid, w->start_time)) ||
        uv_poll_init(s->loop, &w->poll, w->pidfd) < 0) {
        (void)close(TAKE_FD(w->pidfd)); /* nothing was written */
        return false;
    }
    w->has_poll = true;
    s->n_handles++;
    if (uv_poll_start(&w->poll, UV_READABLE, on_pidfd) < 0)
        return false; /* closed with the step; watched by its pid until then */
    w->state = WATCH_PIDFD;
    return true;
}

static void watch_runner(struct watched *w)
{
    if (!watch_by_pidfd(w))
        w->state = WATCH_PID;
}

/* The lock is held: find who holds it. */
static void find_holder(struct watched *w, int dirfd, int64_t now)
{
    if (step_dir_holder(dirfd, &w->pid, &w->start_time, NULL) == 0 &&
        proc_is_alive(w->pid, w->start_time)) {
        w->runner_status = -1; /* of the holder there is none yet */
        watch_runner(w);
    } else { /* it has just begun and will say so, or is just ending */
        look_at(w, now + SOON_MS);
    }
}

/* Why our own runner began nothing, as far as its status tells. */
static void explain(const struct watched *w, char *ret_text, size_t size)
{
    const char *why = "it is unknown why";
    int status = w->runner_status;

    if (status == -1)
        return;
    if (WIFEXITED(status) && WEXITSTATUS(status) == RUNNER_NOT_STARTED)
        why = "it could not write its records; the disk may be full";
    else if (WIFEXITED(status) && WEXITSTATUS(status) == RUNNER_BAD_SPEC)
        why = "it could not use the step's spec";
    else if (WIFEXITED(status) && WEXITSTATUS(status) == RUNNER_HELD)
        why = "another one held the lock";
    else if (WIFSIGNALED(status))
        why = "it was killed";
    (void)snprintf(ret_text, size, "the runner ended (wait status %d) before it began: %s", status,
                   why);
}

/* The records say that nothing began, but we know better: a runner that was there says that it ran
 * the script, or the directory is gone under a runner that did not say that it ran nothing. */
static bool has_lost_records(const struct watched *w, bool has_directory)
{
    int status = w->runner_status;

    if (status != -1 && WIFEXITED(status))
        return WEXITSTATUS(status) == RUNNER_DONE || WEXITSTATUS(status) == RUNNER_DIR_GONE;
    return w->pid != 0 && !has_directory;
}

static void tell_lost(struct watched *w, const char *text)
{
    struct step_outcome o = {.code = -1, .wait_status = -1, .was_started = 1};

    (void)str_copy(o.text, sizeof(o.text), text);
    tell(w, STEP_LOST, &o);
}

static int begin_remains(struct watched *w, int dirfd, const struct step_outcome *outcome,
                         int64_t now, struct err *err)
{
    w->remains = calloc(1, sizeof(*w->remains));
    w->outcome = calloc(1, sizeof(*w->outcome));
    if (w->remains == NULL || w->outcome == NULL) {
        free(TAKE(w->remains));
        free(TAKE(w->outcome));
        return err_set(err, ERR_NOMEM, "what a step left: out of memory");
    }
    step_dir_remains(dirfd, w->owner->boot_id, w->remains);
    w->remains->give_up_ms = now + KILL_GIVE_UP_MS;
    *w->outcome = *outcome;
    w->state = WATCH_REMAINS;
    w->due_ms = now;
    return 0;
}

/* This machine is short of something, or this program is older than the records: neither says
 * anything of the step. Asked again without end. */
static bool is_no_answer(const struct err *err)
{
    return err->code == ERR_NEWER || err->code == ERR_NOMEM || err->code == ERR_FULL ||
           err->sys_errno == EMFILE || err->sys_errno == ENFILE || err->sys_errno == EROFS;
}

static void look(struct watched *w, int64_t now)
{
    AUTO(close_fd) int dirfd = -1, lock_fd = -1;
    struct step_key key = {w->job_id, w->step, w->attempt};
    enum step_answer answer = STEP_NOT_BEGUN;
    struct step_outcome o = {0};
    struct err err;
    int r = step_dir_open(w->owner->jobs_fd, &key, &dirfd, &err);

    reap(w);
    if (r == 0)
        r = step_dir_look(dirfd, &answer, &o, &lock_fd, &err);
    if (r == 0 && answer == STEP_LOST)
        r = begin_remains(w, dirfd, &o, now, &err);
    if (r < 0 && r != ERR_NOT_FOUND) {
        if (is_no_answer(&err) ||
            (++w->n_failed < MAX_FAILED_LOOKS && err_class_of(r) == ERR_CLASS_RETRY)) {
            look_at(w, now + FAILED_LOOK_MS);
            return;
        }
        (void)steps_kill_orphans(w->owner,
                                 &key); /* whatever it is, it does not outlive its report */
        tell_lost(w, err.text);
        return;
    }
    w->n_failed = 0;
    if (answer == STEP_RUNNING) {
        find_holder(w, dirfd, now);
    } else if (answer == STEP_NOT_BEGUN && has_lost_records(w, dirfd >= 0)) {
        tell_lost(w, "its records were removed while it ran");
    } else if (answer != STEP_LOST) {
        if (answer == STEP_NOT_BEGUN)
            explain(w, o.text, sizeof(o.text));
        /* Who is told may start it now, or make it void: neither works against our own lock. */
        if (lock_fd >= 0)
            (void)close(TAKE_FD(lock_fd)); /* nothing was written */
        tell(w, answer, &o);
    }
}

/* One round of SIGKILL over what the step left; the number that were still there. */
static size_t kill_remains(const struct remains *m, struct proc_table *t)
{
    size_t i, n = 0;

    if (m->cgroup[0] != '\0')
        cgroup_kill(m->cgroup);
    if (m->pid != 0) {
        for (i = 0; i < t->n; i++)
            t->items[i].is_chosen = false;
        /* The script led its session; while a member lives, the number is not given again. */
        proc_table_choose_session(t, m->pid, m->start_time);
        proc_table_choose_below(t, 0);
        n = proc_table_signal(t, SIGKILL);
    }
    if (n == 0 && m->cgroup[0] != '\0' && cgroup_has_processes(m->cgroup))
        n = 1;
    return n;
}

static void end_remains(struct watched *w, struct proc_table *t, int64_t now)
{
    size_t n = kill_remains(w->remains, t);

    if (n > 0 && now < w->remains->give_up_ms) {
        w->due_ms = now + SOON_MS;
        return;
    }
    if (w->remains->cgroup[0] != '\0')
        cgroup_remove(w->remains->cgroup);
    w->outcome->unkilled = (int64_t)n;
    tell(w, STEP_LOST, w->outcome);
}

static struct watched *first_due(const struct steps *s, int64_t now)
{
    struct watched *w;

    for (w = s->first; w != NULL; w = w->next)
        if ((w->state == WATCH_LOOK || w->state == WATCH_REMAINS) && w->due_ms <= now)
            return w;
    return NULL;
}

static void check_pids(struct steps *s, int64_t now)
{
    struct watched *w;

    for (w = s->first; w != NULL; w = w->next) {
        if (w->state != WATCH_PID)
            continue;
        reap(w);
        if (!w->is_child && (w->runner_status != -1 || !proc_is_alive(w->pid, w->start_time)))
            look_at(w, now);
    }
}

static void on_timer(uv_timer_t *timer)
{
    AUTO(proc_table_done) struct proc_table t = {0};
    struct steps *s = timer->data;
    int64_t now = clock_boottime_ms();
    bool has_table = false;
    struct watched *w;

    s->is_ticking = true;
    check_pids(s, now);
    /* What is told here may add, remove or end everything: look at the list anew each time. */
    while (!s->is_closing && (w = first_due(s, now)) != NULL) {
        if (w->state == WATCH_LOOK) {
            look(w, now);
            continue;
        }
        if (!has_table) /* one look at /proc for all; without it control groups alone must do */
            has_table = proc_table_read(&t, NULL) == 0;
        end_remains(w, &t, now);
    }
    s->is_ticking = false;
    schedule(s);
}

struct watched *watch_find(const struct steps *s, const struct step_key *key)
{
    struct watched *w;

    for (w = s->first; w != NULL; w = w->next)
        if (w->step == key->step && w->attempt == key->attempt && str_eq(w->job_id, key->job_id))
            return w;
    return NULL;
}

int watch_add(struct steps *s, const struct step_key *key, struct watched **ret_watched,
              struct err *err)
{
    struct watched *w = calloc(1, sizeof(*w));

    if (w == NULL)
        return err_set(err, ERR_NOMEM, "watch step %s/%d.%d: out of memory", key->job_id, key->step,
                       key->attempt);
    (void)str_copy(w->job_id, sizeof(w->job_id), key->job_id); /* its length was checked */
    w->owner = s;
    w->step = key->step;
    w->attempt = key->attempt;
    w->pidfd = -1;
    w->runner_status = -1;
    w->next = s->first;
    s->first = w;
    s->n_watched++;
    look_at(w, clock_boottime_ms());
    schedule(s);
    *ret_watched = w;
    return 0;
}

void watch_child(struct watched *w, pid_t pid)
{
    w->pid = pid;
    w->is_child = true;
    watch_runner(w);
    schedule(w->owner);
}

void watch_forget(struct watched *w)
{
    struct steps *s = w->owner;

    drop(w);
    schedule(s);
}

int watch_init(struct steps *s, struct err *err)
{
    int r = uv_timer_init(s->loop, &s->timer);

    if (r == 0) {
        s->n_handles++;
        r = uv_signal_init(s->loop, &s->sigchld);
    }
    if (r == 0) {
        s->n_handles++;
        s->timer.data = s->sigchld.data = s;
        r = uv_signal_start(&s->sigchld, on_sigchld, SIGCHLD);
    }
    if (r < 0)
        return err_set(err, ERR_SYSTEM, "steps: timer or signal handle: %s", uv_strerror(r));
    return 0;
}

static void on_handle_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

void watch_close(struct steps *s)
{
    s->is_closing = true;
    while (s->first != NULL)
        drop(s->first);
    if (s->n_handles == 0) {
        s->n_handles = 1;
        handle_closed(s);
        return;
    }
    /* watch_init() set both or neither but the timer. */
    if (s->sigchld.data != NULL)
        uv_close((uv_handle_t *)&s->sigchld, on_handle_closed);
    s->timer.data = s;
    uv_close((uv_handle_t *)&s->timer, on_handle_closed);
}
