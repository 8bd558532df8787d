/* The script's process: forked, held at its gate until `started` is synced, then executed. */
#include "executors/runner_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h> /* struct clone_args */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crashpoint.h"
#include "base/fs.h"
#include "base/proctree.h"
#include "executors/cgroup.h"

#define CHILD_FAILED 127
#define GATE_FD 3 /* in the child, until exec closes it */

#define EXEC_WORDS "fork/exec "

/* In the words that users know, whichever C library this is linked with. */
static const char *error_text(int sys_errno)
{
    switch (sys_errno) {
    case EIO:
        return "Input/output error";
    case ELOOP:
        return "Too many levels of symbolic links";
    case ENAMETOOLONG:
        return "File name too long";
    case ENOMEM:
        return "Cannot allocate memory";
    default:
        return strerror(sys_errno);
    }
}

/* Tell the runner why there will be no script, and end. */
static void fail_start(int gate_fd, const char *what, int sys_errno) __attribute__((noreturn));
static void fail_start(int gate_fd, const char *what, int sys_errno)
{
    char text[512];
    const char *why = error_text(sys_errno);
    int n = snprintf(text, sizeof(text), "%s: %s", what, why);

    /* Of a program that is not there users know the words (spec 04, section 6.6). */
    if (strncmp(what, EXEC_WORDS, strlen(EXEC_WORDS)) == 0 && n < (int)sizeof(text) &&
        why[0] >= 'A' && why[0] <= 'Z')
        text[strlen(what) + 2] = (char)(why[0] - 'A' + 'a');
    if (n > 0 && send(gate_fd, text, strnlen(text, sizeof(text)), MSG_NOSIGNAL) < 0) {
        /* The runner is gone, and so is everybody who could be told. */
    }
    _exit(CHILD_FAILED);
}

void run_close_from(unsigned first)
{
    long fd, max;

#ifdef SYS_close_range
    if (syscall(SYS_close_range, first, ~0U, 0) == 0)
        return;
#endif
    max = sysconf(_SC_OPEN_MAX);
    for (fd = first; fd < (max > 0 ? max : 1024); fd++)
        (void)close((int)fd); /* most are not open */
}

/* A script finds signals as any program does. Past the C library, which keeps two of them from
 * signal() while its posix_spawn(), that we come from, leaves these two ignored. */
static void reset_signals(void)
{
    static const uint64_t defaults[8]; /* no smaller than the kernel's struct sigaction; SIG_DFL */
    sigset_t none;
    int sig;

    for (sig = 1; sig < NSIG; sig++)
        (void)syscall(SYS_rt_sigaction, sig, defaults, NULL, (size_t)NSIG / 8); /* not KILL, STOP */
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL); /* cannot fail */
}

static void reset_limits(const struct run *run)
{
    AUTO(close_fd) int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    struct rlimit limit;

    if (fd >= 0 && write(fd, "0", 1) < 0) {
        /* Not allowed to lower it: then it stays as the agent's. */
    }
    if (run->nofile < 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = (rlim_t)run->nofile < limit.rlim_max ? (rlim_t)run->nofile : limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* lowering cannot fail */
}

/* The entries of the step's and the job's directory must be as lasting as the record in them, else
 * a power failure could leave a step that ran and a directory that never was. The script's process
 * syncs them before its gate, while the runner syncs the record: two waits for the disk become one.
 * The runner cannot go on before it has heard this, however the sync went; sys_errno is of what
 * failed before. */
static void tell_ready(int dirfd, int gate_fd, int sys_errno)
{
    struct err err = {0};

    if (sys_errno == 0 && fs_sync_above(dirfd, 2, &err) < 0)
        sys_errno = err.sys_errno;
    if (send(gate_fd, &sys_errno, sizeof(sys_errno), MSG_NOSIGNAL) < 0)
        _exit(CHILD_FAILED); /* it is gone */
}

static void child_main(const struct run *run, int gate_fd, int out_fd, int err_fd)
    __attribute__((noreturn));
static void child_main(const struct run *run, int gate_fd, int out_fd, int err_fd)
{
    char what[400], go;
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    int null_errno = null_fd < 0 ? errno : 0;

    (void)setsid(); /* just forked, hence not a leader: cannot fail */
    /* Before GATE_FD becomes the gate: it may be the directory. What the script lacks now, it may
     * have at the next try: it has not begun. */
    tell_ready(run->dirfd, gate_fd, null_errno);
    /* All of these are 3 or more (main() saw to it), and the gate goes last, so no dup2 runs over a
     * descriptor that is still needed. */
    if (dup2(null_fd, 0) < 0 || dup2(out_fd, 1) < 0 || dup2(err_fd, 2) < 0 ||
        (gate_fd != GATE_FD && dup2(gate_fd, GATE_FD) < 0))
        fail_start(gate_fd, "descriptors of the script", errno);
    run_close_from(GATE_FD + 1);               /* the lock too: it must be the runner's alone */
    (void)fcntl(GATE_FD, F_SETFD, FD_CLOEXEC); /* an open descriptor: cannot fail */
    if (recv(GATE_FD, &go, 1, 0) != 1)
        _exit(CHILD_FAILED); /* the runner died or gave up: nothing may run */

    reset_limits(run);
    (void)snprintf(what, sizeof(what), "working directory %s", run->cwd);
    if (chdir(run->cwd) < 0)
        fail_start(GATE_FD, what, errno);
    reset_signals();
    (void)execvpe(run->argv[0], run->argv, run->env);
    (void)snprintf(what, sizeof(what), EXEC_WORDS "%s", run->argv[0]);
    fail_start(GATE_FD, what, errno);
}

static void drop_cgroup(struct run *run)
{
    if (run->cgroup[0] != '\0')
        cgroup_remove(run->cgroup);
    run->cgroup[0] = '\0';
}

/* A descriptor of the new group, or -1: no version 2 here, or not ours to make. */
static int make_cgroup(struct run *run)
{
    const char *parent = run->cgroup_parent;
    char name[64], own[PATH_MAX];
    int fd;

    if (parent == NULL && cgroup_find_own(own, NULL) == 0)
        parent = own; /* an earlier agent did not tell: the runner is where that was */
    if (parent == NULL || parent[0] == '\0')
        return -1;
    (void)snprintf(name, sizeof(name), CGROUP_STEP_PREFIX "%ld-%llu", (long)getpid(),
                   (unsigned long long)run->own_start_time);
    if (cgroup_make(parent, name, run->cgroup, NULL) < 0) {
        run->cgroup[0] = '\0';
        return -1;
    }
    fd = open(run->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        drop_cgroup(run);
    return fd;
}

/* Born in its group (Linux 5.7): to move a process later waits for all processors, some 10 ms. The
 * child is as after fork(), but the C library does not know of it; it calls nothing that minds. */
static pid_t fork_into(int cgroup_fd)
{
#if defined(SYS_clone3) && defined(CLONE_INTO_CGROUP)
    struct clone_args args = {
        .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (unsigned)cgroup_fd};

    return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
#else
    (void)cgroup_fd;
    errno = ENOSYS;
    return -1;
#endif
}

int child_fork(struct run *run, int stdout_fd, int stderr_fd, struct err *err)
{
    AUTO(close_fd) int cgroup_fd = -1;
    bool is_inside = true;
    struct proc p;
    int gate[2], r;
    pid_t pid = -1;

    if ((r = proc_read(getpid(), &p, err)) < 0)
        return r;
    run->own_start_time = p.start_time;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, gate) < 0)
        return err_sys(err, ERR_SYSTEM, errno, "socket pair");
    cgroup_fd = make_cgroup(run);
    if (cgroup_fd >= 0)
        pid = fork_into(cgroup_fd);
    if (pid < 0) {
        is_inside = false;
        pid = fork();
    }
    if (pid == 0)
        child_main(run, gate[1], stdout_fd, stderr_fd);
    (void)close(gate[1]); /* the child's */
    if (pid < 0) {
        r = err_sys(err, ERR_SYSTEM, errno, "fork");
        (void)close(gate[0]); /* unused */
        drop_cgroup(run);
        return r;
    }
    run->pid = pid;
    run->gate_fd = gate[0];
    if (cgroup_fd >= 0 && !is_inside && cgroup_add(run->cgroup, pid, NULL) < 0)
        drop_cgroup(run);
    r = proc_read(pid, &p, err);
    if (r < 0) {
        child_discard(run);
        return r;
    }
    run->start_time = p.start_time;
    return 0;
}

int child_await_ready(const struct run *run, struct err *err)
{
    int sys_errno;
    ssize_t n;

    do
        n = recv(run->gate_fd, &sys_errno, sizeof(sys_errno), 0);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof(sys_errno))
        return err_set(err, ERR_SYSTEM, "the script's process ended before it began");
    return sys_errno == 0
               ? 0
               : err_sys(err, ERR_IO, sys_errno,
                         "prepare the script's process, or sync the directories above the step");
}

void child_release(struct run *run)
{
    /* A failure means that somebody killed the child at its gate; its end will be told as any. */
    if (send(run->gate_fd, "g", 1, MSG_NOSIGNAL) < 0)
        (void)kill(run->pid, SIGKILL); /* unreaped, so the pid is its own */
    crashpoint("runner.exec.released");
}

bool child_start_failed(struct run *run)
{
    ssize_t n;

    do
        n = recv(run->gate_fd, run->text, sizeof(run->text) - 1, 0);
    while (n < 0 && errno == EINTR);
    (void)close(run->gate_fd); /* has said all it will */
    run->gate_fd = -1;
    run->text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

void child_discard(struct run *run)
{
    (void)close(run->gate_fd); /* it reads the end of file and ends */
    run->gate_fd = -1;
    (void)kill(run->pid, SIGKILL);    /* unreaped, so the pid is its own */
    (void)waitpid(run->pid, NULL, 0); /* nobody wants to know */
    drop_cgroup(run);
    run->pid = 0;
}
