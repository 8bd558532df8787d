/* From the release of the script to its end: one poll loop over its outputs, its process, the limit
 * and the agent's wish to stop it.
 *
 *     running --limit, cancel--> terminating (SIGTERM) --grace--> killing (SIGKILL, repeated) -->
 * over |                            |                               |
 *        +-- exited and both outputs  +-- no descendant left          +-- none left, or 5 s passed
 *            at their end --> over        --> over                        --> over
 *
 * We are the subreaper of all that the script starts, so whoever forks twice or leaves the session
 * is still below us, and "waitpid says that there is nobody" means that the whole tree is gone. */
#include "executors/runner_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/proctree.h"
#include "base/str.h"
#include "executors/cgroup.h"

#define KILL_FIRST_MS 10
#define KILL_LAST_MS 250
#define KILL_GIVE_UP_MS 5000
#define CANCEL_MAX_BYTES 4096
#define LOOK_AGAIN_MS 200

enum phase { RUNNING, TERMINATING, KILLING, OVER };

struct watch {
    struct run *run;
    enum phase phase;
    int64_t deadline_ms; /* of the phase; boot time; 0: none */
    int64_t look_ms;     /* when to look for `cancel`; boot time; 0: when we are asked to */
    int64_t give_up_ms;  /* killing: when to stop trying */
    int64_t interval_ms; /* killing: until the next round */
    bool has_exited;     /* the script's own process */
    bool has_children;
    bool has_failed_start;
};

static int signal_fd = -1, timer_fd = -1;

int watch_open(struct err *err)
{
    sigset_t wanted;

    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigaddset(&wanted, SIGUSR1);
    signal_fd = signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (signal_fd < 0 || timer_fd < 0)
        return err_sys(err, ERR_SYSTEM, errno, "signalfd or timerfd");
    return 0;
}

int watch_look_for_cancel(const struct run *run, enum step_end *ret_end, struct err *err)
{
    AUTO(record_done) struct record r = {0};
    AUTO(buf_done) struct buf text = {0};
    struct stat st;
    int rc;

    /* That it is not there needs no descriptor, so the want of one is no wish to stop. */
    if (fstatat(run->dirfd, STEP_FILE_CANCEL, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : err_sys(err, ERR_IO, errno, "look for " STEP_FILE_CANCEL);
    buf_init(&text, CANCEL_MAX_BYTES);
    rc = fs_read_file(run->dirfd, STEP_FILE_CANCEL, &text, NULL);
    /* Whatever stands in it, the wish is clear. */
    *ret_end = STEP_END_CANCELLED;
    if (rc == 0 && record_parse(buf_str(&text), text.len, STEP_FILE_CANCEL, &r, NULL) == 0 &&
        str_eq(record_get(&r, STEP_KEY_REASON), STEP_REASON_TIMED_OUT))
        *ret_end = STEP_END_TIMED_OUT;
    return 1;
}

/* One signal to all that is below us. The number of processes it was for; -1: /proc is unreadable.
 */
static int64_t signal_tree(int sig)
{
    AUTO(proc_table_done) struct proc_table t = {0};

    if (proc_table_read(&t, NULL) < 0)
        return -1;
    proc_table_choose_below(&t, getpid());
    return (int64_t)proc_table_signal(&t, sig);
}

/* The group by number only while its leader is not reaped: later the number could be another's. */
static void signal_all(struct watch *w, int sig)
{
    if (!w->has_exited)
        (void)kill(-w->run->pid, sig); /* fails when it has not made its group yet */
    (void)signal_tree(sig);            /* without /proc the group is all we can reach */
}

static void begin_stop(struct watch *w, enum step_end reason)
{
    if (w->phase != RUNNING)
        return;
    stream_mark_stop(&w->run->out);
    stream_mark_stop(&w->run->err);
    w->run->end = reason;
    w->phase = TERMINATING;
    w->deadline_ms = clock_boottime_ms() + w->run->grace_ms;
    if (w->run->grace_ms > 0) {
        signal_all(w, SIGTERM);
        signal_all(w, SIGCONT); /* a stopped process takes its SIGTERM only when it goes on */
    }
}

static void kill_round(struct watch *w)
{
    if (w->run->cgroup[0] != '\0')
        cgroup_kill(w->run->cgroup);
    signal_all(w, SIGKILL);
    w->deadline_ms = clock_boottime_ms() + w->interval_ms;
    w->interval_ms = w->interval_ms * 2 < KILL_LAST_MS ? w->interval_ms * 2 : KILL_LAST_MS;
}

static void on_deadline(struct watch *w, int64_t now)
{
    int64_t n;

    switch (w->phase) {
    case RUNNING:
        begin_stop(w, STEP_END_TIMED_OUT);
        return;
    case TERMINATING:
        w->phase = KILLING;
        w->give_up_ms = now + KILL_GIVE_UP_MS;
        w->interval_ms = KILL_FIRST_MS;
        kill_round(w);
        return;
    case KILLING:
        if (now < w->give_up_ms) {
            kill_round(w);
            return;
        }
        n = signal_tree(SIGKILL);
        w->run->n_unkilled = n >= 0 ? n : 1; /* at least the child that waitpid told us of */
        w->phase = OVER;
        return;
    case OVER:
        return;
    }
}

static void reap(struct watch *w)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid != w->run->pid)
            continue;
        w->has_exited = true;
        w->run->wait_status = status;
    }
    w->has_children = pid == 0;
}

/* True when the agent asked for a look at `cancel`. */
static bool take_signals(struct watch *w)
{
    struct signalfd_siginfo info;
    bool was_asked = false;

    while (read(signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        if (info.ssi_signo == SIGUSR1)
            was_asked = true;
    reap(w); /* signals are merged on their way, so look in any case */
    return was_asked;
}

static void look_for_cancel(struct watch *w)
{
    enum step_end reason = STEP_END_CANCELLED;
    int r = watch_look_for_cancel(w->run, &reason, NULL);

    w->look_ms = r < 0 ? clock_boottime_ms() + LOOK_AGAIN_MS : 0;
    if (r > 0)
        begin_stop(w, reason);
}

static void arm_timer(const struct watch *w)
{
    const int64_t times[] = {w->deadline_ms, w->look_ms, w->run->out.retry_ms,
                             w->run->err.retry_ms};
    struct itimerspec when = {0};
    int64_t next = 0;
    size_t i;

    for (i = 0; i < ARRAY_LEN(times); i++)
        if (times[i] != 0 && (next == 0 || times[i] < next))
            next = times[i];
    if (next != 0) {
        when.it_value.tv_sec = next / 1000;
        when.it_value.tv_nsec = (long)(next % 1000) * 1000000 + 1; /* 0 would disarm */
    }
    (void)timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL); /* the values are valid */
}

static bool is_over(const struct watch *w)
{
    const struct run *run = w->run;

    if (w->phase == RUNNING)
        return w->has_exited && run->gate_fd < 0 && run->out.pipe_fd < 0 && run->err.pipe_fd < 0;
    return w->phase == OVER || !w->has_children;
}

static bool is_due(int64_t at_ms)
{
    return at_ms != 0 && clock_boottime_ms() >= at_ms;
}

static void pump(struct stream *s, bool is_ready)
{
    if (s->retry_ms != 0 ? is_due(s->retry_ms) : is_ready)
        stream_pump(s);
}

static void turn(struct watch *w)
{
    struct run *run = w->run;
    struct stream *out = &run->out, *err = &run->err;
    struct pollfd fds[] = {
        {signal_fd, POLLIN, 0},
        {timer_fd, POLLIN, 0},
        {run->gate_fd, POLLIN, 0},
        {out->retry_ms != 0 ? -1 : out->pipe_fd, POLLIN, 0},
        {err->retry_ms != 0 ? -1 : err->pipe_fd, POLLIN, 0},
    };
    bool was_asked = false;

    arm_timer(w);
    if (poll(fds, ARRAY_LEN(fds), -1) < 0)
        return; /* EINTR: a debugger; ENOMEM: try again */
    if (fds[0].revents != 0)
        was_asked = take_signals(w);
    if (fds[2].revents != 0 && child_start_failed(run))
        w->has_failed_start = true;
    pump(out, fds[3].revents != 0);
    pump(err, fds[4].revents != 0);
    if (is_over(w))
        return; /* ended by itself: a stop that comes in the same moment is late */
    if (was_asked || is_due(w->look_ms))
        look_for_cancel(w);
    if (is_due(w->deadline_ms))
        on_deadline(w, clock_boottime_ms());
}

static const char *signal_text(int sig, char space[24])
{
    /* The names that users of the reference find at the end of stderr. */
    static const char *const names[] = {
        [SIGHUP] = "hangup",
        [SIGINT] = "interrupt",
        [SIGQUIT] = "quit",
        [SIGILL] = "illegal instruction",
        [SIGTRAP] = "trace/breakpoint trap",
        [SIGABRT] = "aborted",
        [SIGBUS] = "bus error",
        [SIGFPE] = "floating point exception",
        [SIGKILL] = "killed",
        [SIGUSR1] = "user defined signal 1",
        [SIGSEGV] = "segmentation fault",
        [SIGUSR2] = "user defined signal 2",
        [SIGPIPE] = "broken pipe",
        [SIGALRM] = "alarm clock",
        [SIGTERM] = "terminated",
    };

    if (sig > 0 && (size_t)sig < ARRAY_LEN(names) && names[sig] != NULL)
        return names[sig];
    (void)snprintf(space, 24, "signal %d", sig);
    return space;
}

static void conclude(struct watch *w)
{
    struct run *run = w->run;
    char space[24];

    if (w->has_failed_start) { /* run->text is there; a stop that came with it changes nothing */
        run->end = STEP_END_START_FAILED;
    } else if (w->phase != RUNNING) {
        (void)snprintf(run->text, sizeof(run->text), "%s",
                       run->end == STEP_END_TIMED_OUT ? "time limit reached" : "cancelled");
    } else if (WIFSIGNALED(run->wait_status)) {
        run->end = STEP_END_SIGNALED;
        (void)snprintf(run->text, sizeof(run->text), "signal: %s%s",
                       signal_text(WTERMSIG(run->wait_status), space),
                       WCOREDUMP(run->wait_status) ? " (core dumped)" : "");
    } else {
        run->end = STEP_END_EXITED;
        (void)snprintf(run->text, sizeof(run->text), "exit status %d",
                       WEXITSTATUS(run->wait_status));
    }
}

void watch_run(struct run *run)
{
    struct watch w = {.run = run, .has_children = true};

    run->wait_status = -1;
    if (run->limit_ms > 0)
        w.deadline_ms = run->started_boottime_ms + run->limit_ms;
    look_for_cancel(&w); /* it may have come before our pid could be read */
    while (!is_over(&w))
        turn(&w);
    if (w.phase != RUNNING) {
        /* Nobody of the tree is left to write; who else may hold the pipes is not waited for. */
        stream_drain(&run->out);
        stream_drain(&run->err);
    } else {
        run->out.at_stop = run->out.bytes;
        run->err.at_stop = run->err.bytes;
    }
    conclude(&w);
}
