/* A service manager of one service, for containers and machines without one: guard, agent, and the
 * updater while an order is open. It restarts what ends, and keeps nothing that the next one needs.
 */
#define LOG_MODULE "supervise"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crashpoint.h"
#include "base/log.h"
#include "base/str.h"
#include "update/updater_internal.h"

#define FIRST_BACKOFF_MS 100
#define LAST_BACKOFF_MS 5000
#define LONG_LIFE_MS 10000 /* who lived so long is started at once the next time */
#define ORDER_LOOK_MS 1000 /* while an order is open */
#define STOP_MS 30000      /* as the unit's TimeoutStopSec */
#define MAX_ARGS 64

struct supervisor {
    struct updater u;
    const struct updater_options *options;
    int signal_fd, inotify_fd; /* owned */
    pid_t agent, updater;      /* our children; 0: none */
    int stranger_fd;           /* owned: pidfd of an agent that somebody else started; -1: none */
    pid_t stranger;
    int64_t started_ms, start_at_ms, backoff_ms;
    int64_t updater_at_ms;
    int64_t kill_at_ms; /* 0: it is not stopping */
};

/* ---- children ---- */

/* What the suite tells one process about its end is not for the others: UPDATER_SSMD_CRASH_x reach
 * the updater under the names that base/crashpoint.h knows. */
static void pass_crash_points(bool is_updater)
{
#ifdef SSMD_CRASHPOINTS
    static const char *const names[] = {"UPDATER_SSMD_CRASH_AT", "UPDATER_SSMD_CRASH_ONCE",
                                        "UPDATER_SSMD_CRASH_TRACE"};
    size_t i;

    if (getenv("SSMD_CRASH_OF") != NULL)
        return; /* who inherits it knows whether it is meant */
    for (i = 0; i < ARRAY_LEN(names); i++) {
        const char *value = is_updater ? getenv(names[i]) : NULL;

        if (value == NULL)
            (void)unsetenv(names[i] + strlen("UPDATER_"));
        else if (setenv(names[i] + strlen("UPDATER_"), value, 1) < 0)
            _exit(127);
    }
#else
    (void)is_updater;
#endif
}

static void be_child(bool is_updater)
{
    sigset_t none;

    pass_crash_points(is_updater);
    if (is_updater)
        (void)setsid(); /* it outlives us */
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* What stands between fork and exec may be told only through the pipe. */
static pid_t start(const char *program, char *const argv[], bool is_updater, int *ret_errno)
{
    int pipe_fd[2], e = 0;
    pid_t pid;

    if (pipe2(pipe_fd, O_CLOEXEC) < 0) {
        *ret_errno = errno;
        return 0;
    }
    pid = fork();
    if (pid == 0) {
        be_child(is_updater);
        (void)execv(program, argv);
        e = errno;
        if (write(pipe_fd[1], &e, sizeof(e)) < 0)
            e = 0; /* the parent sees the status */
        _exit(127);
    }
    *ret_errno = pid < 0 ? errno : 0;
    (void)close(pipe_fd[1]);
    if (pid > 0 && read(pipe_fd[0], &e, sizeof(e)) == (ssize_t)sizeof(e))
        *ret_errno = e;
    (void)close(pipe_fd[0]);
    if (pid > 0 && *ret_errno != 0)
        (void)waitpid(pid, NULL, 0);
    return pid > 0 && *ret_errno == 0 ? pid : 0;
}

static void grow_backoff(struct supervisor *s)
{
    int64_t now = clock_boottime_ms();

    if (now - s->started_ms > LONG_LIFE_MS)
        s->backoff_ms = FIRST_BACKOFF_MS;
    s->start_at_ms = now + s->backoff_ms;
    s->backoff_ms = s->backoff_ms * 2 < LAST_BACKOFF_MS ? s->backoff_ms * 2 : LAST_BACKOFF_MS;
}

/* An agent that outlived the supervisor before is waited for, not doubled. */
static bool adopt(struct supervisor *s)
{
    struct proc p;

    if (agent_find(&s->u, s->u.paths.pid_file, &p, NULL) < 0)
        return false;
    s->stranger_fd = proc_open_pidfd(p.pid);
    if (s->stranger_fd < 0) { /* no pidfds: asked again a little later */
        s->start_at_ms = clock_boottime_ms() + ORDER_LOOK_MS;
        return true;
    }
    s->stranger = p.pid;
    log_info("an agent runs already: process %ld", (long)p.pid);
    return true;
}

static void start_agent(struct supervisor *s)
{
    char program[PATH_MAX], name[] = "ssmd", option[] = "--root";
    char *argv[MAX_ARGS + 4] = {name};
    size_t n = 1, i;
    int e;

    if (adopt(s))
        return;
    guard_before_start(&s->u);
    if (s->options->root != NULL) {
        argv[n++] = option;
        argv[n++] = s->u.paths.root;
    }
    for (i = 0; i < MAX_ARGS && s->options->rest[i] != NULL; i++)
        argv[n++] = s->options->rest[i];
    s->started_ms = clock_boottime_ms();
    if (snprintf(program, sizeof(program), "%s/current/bin/ssmd", s->u.paths.slots_dir) >=
        (int)sizeof(program))
        return;
    s->agent = start(program, argv, false, &e);
    crashpoint("supervise.started");
    if (s->agent > 0)
        agent_note_child(&s->u, s->agent);
    if (s->agent == 0) {
        log_error("%s: %s", program, strerror(e));
        agent_note_end(&s->u, "exec", strerror(e));
        grow_backoff(s);
    }
}

static bool is_order_open(struct supervisor *s)
{
    struct handover_order order;
    struct fsm_instance progress;
    bool is_open;

    if (handover_read_progress(s->u.update_fd, &progress, NULL) == 0) {
        is_open = handover_is_open(&progress) ||
                  (handover_read_order(s->u.update_fd, &order, NULL) == 0 &&
                   !str_eq(order.id, progress.id));
        fsm_instance_done(&progress);
        return is_open;
    }
    return handover_read_order(s->u.update_fd, &order, NULL) == 0;
}

/* The one of the version that has proven itself. */
static void start_updater(struct supervisor *s)
{
    char program[PATH_MAX], name[] = "ssmd-updater", verb[] = "switch", option[] = "--root";
    char *argv[] = {name, verb, NULL, NULL, NULL};
    char version[SLOTS_VERSION_SIZE];
    struct proc holder;
    int e;

    s->updater_at_ms = clock_boottime_ms() + ORDER_LOOK_MS;
    if (agent_lock_holder(s->u.update_fd, HANDOVER_LOCK, &holder, NULL) == 0)
        return;
    if (s->options->root != NULL) {
        argv[2] = option;
        argv[3] = s->u.paths.root;
    }
    if (slots_get(&s->u.slots, SLOTS_PROVEN, version, NULL) < 0)
        (void)str_copy(program, sizeof(program), "/proc/self/exe"); /* fits: what there is */
    else if (snprintf(program, sizeof(program), "%s/proven/bin/ssmd-updater",
                      s->u.paths.slots_dir) >= (int)sizeof(program))
        return;
    s->updater = start(program, argv, true, &e);
    if (s->updater == 0)
        log_error("%s: %s", program, strerror(e));
}

static void note_end(struct supervisor *s, int status)
{
    char text[16];
    bool has_exited = WIFEXITED(status);

    (void)snprintf(text, sizeof(text), "%d", has_exited ? WEXITSTATUS(status) : WTERMSIG(status));
    agent_note_end(&s->u, has_exited ? "exited" : "killed", text);
    if (s->kill_at_ms == 0)
        log_line(status == 0 ? LOG_INFO : LOG_WARNING, LOG_MODULE, "ssmd ended with %s %s",
                 has_exited ? "status" : "signal", text);
    s->agent = 0;
    grow_backoff(s);
}

static void reap(struct supervisor *s)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) { /* strangers too, where we are process 1 */
        if (pid == s->agent)
            note_end(s, status);
        if (pid == s->updater)
            s->updater = 0;
    }
}

/* ---- waiting ---- */

static void forward(struct supervisor *s, int number)
{
    if (s->agent > 0)
        (void)kill(s->agent, number); /* a child that is not reaped keeps its number */
    else if (s->stranger_fd >= 0)
        (void)proc_signal_pidfd(s->stranger_fd, number);
}

static void take_signals(struct supervisor *s)
{
    struct signalfd_siginfo info;

    while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGCHLD) {
            reap(s);
        } else if (info.ssi_signo == SIGHUP) {
            forward(s, SIGHUP);
        } else if (s->kill_at_ms == 0) {
            s->kill_at_ms = clock_boottime_ms() + STOP_MS;
            forward(s, SIGTERM);
        }
    }
}

static int timeout_of(const struct supervisor *s)
{
    int64_t now = clock_boottime_ms(), next = INT64_MAX;

    if (s->kill_at_ms != 0)
        next = s->kill_at_ms;
    else if (s->agent == 0 && s->stranger_fd < 0)
        next = s->start_at_ms;
    if (s->kill_at_ms == 0 && s->updater == 0 && s->updater_at_ms != 0 && s->updater_at_ms < next)
        next = s->updater_at_ms;
    if (next == INT64_MAX)
        return -1;
    return next <= now ? 0 : (int)(next - now);
}

static void wait_for_something(struct supervisor *s)
{
    char events[4096];
    struct pollfd fds[] = {{.fd = s->signal_fd, .events = POLLIN},
                           {.fd = s->inotify_fd, .events = POLLIN},
                           {.fd = s->stranger_fd, .events = POLLIN}};

    if (poll(fds, ARRAY_LEN(fds), timeout_of(s)) <= 0)
        return;
    if (fds[1].revents != 0 && read(s->inotify_fd, events, sizeof(events)) > 0 &&
        s->updater_at_ms == 0)
        s->updater_at_ms = clock_boottime_ms(); /* look what has changed */
    if (fds[2].revents != 0) {
        close_fd_cleanup(&s->stranger_fd);
        s->stranger_fd = -1;
        s->start_at_ms = 0;
    }
    take_signals(s);
}

static void look_at_order(struct supervisor *s)
{
    if (s->updater != 0 || s->updater_at_ms == 0 || clock_boottime_ms() < s->updater_at_ms)
        return;
    if (is_order_open(s))
        start_updater(s);
    else
        s->updater_at_ms = 0;
}

static void turn(struct supervisor *s)
{
    if (s->kill_at_ms == 0) {
        if (s->agent == 0 && s->stranger_fd < 0 && clock_boottime_ms() >= s->start_at_ms)
            start_agent(s);
        look_at_order(s);
    } else if (clock_boottime_ms() >= s->kill_at_ms) {
        forward(s, SIGKILL);
        s->kill_at_ms = clock_boottime_ms() + STOP_MS;
    }
    wait_for_something(s);
}

static int set_up(struct supervisor *s, struct err *err)
{
    sigset_t set;
    int r = updater_open(&s->u, s->options->root, true, err);

    if (r < 0)
        return r;
    sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    s->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (s->signal_fd < 0 || s->inotify_fd < 0 ||
        inotify_add_watch(s->inotify_fd, s->u.paths.update_dir, IN_MOVED_TO) < 0)
        return err_sys(err, ERR_SYSTEM, errno, "watch %s", s->u.paths.update_dir);
    return 0;
}

int verb_supervise(const struct updater_options *o)
{
    struct supervisor s = {.options = o,
                           .signal_fd = -1,
                           .inotify_fd = -1,
                           .stranger_fd = -1,
                           .backoff_ms = FIRST_BACKOFF_MS};
    struct err err;
    int r = set_up(&s, &err);

    if (r < 0)
        log_error("%s", err.text);
    s.updater_at_ms = clock_boottime_ms(); /* an order may be open already */
    while (r == 0 && (s.kill_at_ms == 0 || s.agent != 0 || s.stranger_fd >= 0))
        turn(&s);
    close_fd_cleanup(&s.signal_fd);
    close_fd_cleanup(&s.inotify_fd);
    close_fd_cleanup(&s.stranger_fd);
    updater_close(&s.u);
    return r == 0 ? UPDATER_OK : UPDATER_SYSTEM;
}
