/* A program of a new slot is run once, to see that it runs here at all: for this kind of machine,
 * with the libraries of this machine, and being what the package calls it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "update/stager_internal.h"

#define LIMIT_US (10 * 1000000ll)
#define LOOK_EVERY_MS 20
#define MAX_SAID 4096
#define MAX_READS 256 /* in a row */

enum { OUT, ERRORS, EXEC, N_PIPES };

struct trial {
    const char *program;
    pid_t pid;
    int fds[N_PIPES]; /* our ends, owned; -1: at its end */
    char said[N_PIPES][MAX_SAID];
    size_t n_said[N_PIPES];
    int status;
};

static void end_trial_cleanup(struct trial *t)
{
    size_t i;

    if (t->pid > 0) {
        (void)kill(-t->pid, SIGKILL); /* and whatever it started */
        (void)waitpid(t->pid, NULL, 0);
    }
    for (i = 0; i < N_PIPES; i++)
        close_fd_cleanup(&t->fds[i]);
}

/* Between fork and exec: async-signal-safe calls only. Its end of the EXEC pipe closes with the
 * exec, or tells why there was none. */
static _Noreturn void become(int dirfd, const char *program, const int ends[N_PIPES], pid_t parent)
{
    static char flag[] = "--version", path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                language[] = "LC_ALL=C";
    char *const argv[] = {(char *)(uintptr_t)program, flag, NULL};
    char *const env[] = {path, language, NULL};
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC), e;

    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent && null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
        dup2(ends[OUT], STDOUT_FILENO) >= 0 && dup2(ends[ERRORS], STDERR_FILENO) >= 0 &&
        fchdir(dirfd) == 0)
        (void)execve(program, argv, env);
    e = errno;
    (void)!write(ends[EXEC], &e, sizeof(e)); /* nobody else could be told */
    _exit(127);
}

static int start(struct trial *t, int dirfd, struct err *err)
{
    int ends[N_PIPES] = {-1, -1, -1}, r = 0, i, e = 0;
    pid_t parent = getpid();

    for (i = 0; i < N_PIPES && r == 0; i++) {
        int both[2];

        r = pipe2(both, O_CLOEXEC);
        e = errno;
        if (r == 0) {
            t->fds[i] = both[0];
            ends[i] = both[1];
            r = fcntl(both[0], F_SETFL, O_NONBLOCK);
            e = errno;
        }
    }
    if (r == 0) {
        t->pid = fork();
        if (t->pid == 0)
            become(dirfd, t->program, ends, parent);
        e = errno;
        r = t->pid < 0 ? -1 : 0;
        if (r == 0)
            (void)setpgid(t->pid, t->pid); /* whoever of the two is first */
    }
    for (i = 0; i < N_PIPES; i++)
        close_fd_cleanup(&ends[i]);
    return r < 0 ? err_sys(err, ERR_SYSTEM, e, "start %s", t->program) : 0;
}

/* What is there to be read, but not for ever; what is over the maximum is dropped. */
static void drain(struct trial *t, int which)
{
    char chunk[1024];
    ssize_t n = 1;
    int i;

    for (i = 0; i < MAX_READS && (n = read(t->fds[which], chunk, sizeof(chunk))) > 0; i++) {
        size_t room = MAX_SAID - 1 - t->n_said[which], k = (size_t)n < room ? (size_t)n : room;

        memcpy(t->said[which] + t->n_said[which], chunk, k);
        t->n_said[which] += k;
    }
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        close_fd_cleanup(&t->fds[which]);
        t->fds[which] = -1;
    }
}

/* Until the program has ended; what its children hold open is not waited for. */
static int watch(struct trial *t, struct err *err)
{
    const int64_t end_us = clock_monotonic_us() + LIMIT_US;

    for (;;) {
        pid_t ended = waitpid(t->pid, &t->status, WNOHANG);
        struct pollfd polls[N_PIPES];
        int i;

        for (i = 0; i < N_PIPES; i++)
            if (t->fds[i] >= 0)
                drain(t, i);
        if (ended == t->pid) {
            (void)kill(-t->pid, SIGKILL); /* what it may have left behind */
            t->pid = -1;
            return 0;
        }
        if (clock_monotonic_us() > end_us)
            return err_set(err, ERR_REFUSED, "it did not end within %d seconds",
                           (int)(LIMIT_US / 1000000));
        for (i = 0; i < N_PIPES; i++)
            polls[i] = (struct pollfd){.fd = t->fds[i], .events = POLLIN};
        (void)poll(polls, N_PIPES, LOOK_EVERY_MS);
    }
}

static const char *hint(int e)
{
    switch (e) {
    case ENOEXEC:
        return "; it is for another kind of machine";
    case ENOENT:
        return "; the program loader that it names is not on this machine";
    case EACCES:
        return "; where versions are may be mounted noexec";
    default:
        return "";
    }
}

/* Of what it said, the first line. */
static char *line_of(char *said)
{
    said[strcspn(said, "\r\n")] = '\0';
    return said;
}

static int judge(struct trial *t, const char *version, struct err *err)
{
    const char *slash = strrchr(t->program, '/'), *name = slash != NULL ? slash + 1 : t->program;
    char wanted[NAME_MAX + SLOTS_VERSION_SIZE];
    size_t n;
    int e;

    if (t->n_said[EXEC] == sizeof(e)) {
        memcpy(&e, t->said[EXEC], sizeof(e));
        return err_set(err, ERR_REFUSED, "it cannot be executed here: %s%s", strerror(e), hint(e));
    }
    if (WIFSIGNALED(t->status))
        return err_set(err, ERR_REFUSED, "it was ended by signal %d (%s)", WTERMSIG(t->status),
                       strsignal(WTERMSIG(t->status)));
    if (WEXITSTATUS(t->status) != 0)
        return err_set(err, ERR_REFUSED, "it ended with status %d%s%.200s", WEXITSTATUS(t->status),
                       t->n_said[ERRORS] > 0 ? ": " : "", line_of(t->said[ERRORS]));
    n = (size_t)snprintf(wanted, sizeof(wanted), "%s %s", name, version); /* fits */
    if (strncmp(t->said[OUT], wanted, n) != 0 ||
        (t->said[OUT][n] != '\0' && strchr("\r\n,", t->said[OUT][n]) == NULL))
        return err_set(err, ERR_REFUSED, "it says \"%.100s\" where \"%s\" was expected",
                       line_of(t->said[OUT]), wanted);
    return 0;
}

int stager_trial(int dirfd, const char *program, const char *version, struct err *err)
{
    AUTO(end_trial) struct trial t = {.program = program, .pid = -1, .fds = {-1, -1, -1}};
    int r = start(&t, dirfd, err);

    if (r == 0)
        r = watch(&t, err);
    if (r == 0)
        r = judge(&t, version, err);
    return r < 0 ? err_wrap(err, "%s --version of the new version", program) : 0;
}
