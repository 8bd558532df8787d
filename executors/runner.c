/* ssmd-runner <step directory>: parent of one step's process tree, from the lock to the exit record
 * (architecture, sections 9.2 to 9.5). Started by the agent, outlives it, links the C library only.
 * This file is the order of events; the parts are in runner_*.c. */
#include "executors/runner_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/version.h"
#include "executors/cgroup.h"
#include "executors/step_record.h"

/* Codes that users know by another story than the one in stderr: 194 asks for a reboot, 137 is what
 * a killed last command looks like (spec 04, section 6.6). */
#define CODE_REBOOT 194
#define CODE_KILLED 137

static struct run run = {.gate_fd = -1, .dirfd = -1, .nofile = -1};

static int complain(int status, const struct err *err)
{
    (void)dprintf(STDERR_FILENO, "ssmd-runner: %s\n", err->text);
    return status;
}

/* Signals that concern us come through a descriptor; the rest of the world cannot end us politely:
 * whoever wants the script to end writes `cancel`. */
static void set_signals(void)
{
    static const int ignored[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGPIPE, SIGXFSZ,
                                  SIGALRM, SIGUSR2, SIGTSTP, SIGTTIN, SIGTTOU};
    sigset_t blocked;
    size_t i;

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    sigaddset(&blocked, SIGUSR1);
    (void)sigprocmask(SIG_SETMASK, &blocked, NULL); /* cannot fail */
    (void)signal(SIGCHLD, SIG_DFL);                 /* an inherited SIG_IGN would eat the status */
    for (i = 0; i < ARRAY_LEN(ignored); i++)
        (void)signal(ignored[i], SIG_IGN); /* cannot fail */
}

/* Descriptors 0 to 2 are open (so that no other file gets their numbers), and nothing else is. */
static int set_descriptors(struct err *err)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd < 0)
        return err_sys(err, ERR_SYSTEM, errno, "open /dev/null");
    run_close_from((unsigned)fd);
    return 0;
}

static int lock_directory(struct err *err)
{
    if (flock(run.dirfd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    return errno == EWOULDBLOCK
               ? err_set(err, ERR_BUSY, "the step has another runner: not run again")
               : err_sys(err, ERR_IO, errno, "lock the step");
}

static bool has_begun(struct err *err)
{
    static const char *const records[] = {STEP_FILE_EXIT, STEP_FILE_VOID};
    struct stat st;
    size_t i;

    if (step_record_is_started(run.dirfd)) {
        (void)err_set(err, ERR_STATE, "the step has been started: not run again");
        return true;
    }
    for (i = 0; i < ARRAY_LEN(records); i++) {
        /* Any answer but "it is not there" forbids a start. */
        if (fstatat(run.dirfd, records[i], &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
            continue;
        (void)err_set(err, ERR_STATE, "the step has a record \"%s\": not run again", records[i]);
        return true;
    }
    return false;
}

static void append_failure(void)
{
    int code = run.end == STEP_END_EXITED ? WEXITSTATUS(run.wait_status) : -1;

    if (run.failure_prefix[0] == '\0' || run.end == STEP_END_TIMED_OUT ||
        run.end == STEP_END_CANCELLED || code == 0 || code == CODE_REBOOT || code == CODE_KILLED)
        return;
    stream_append(&run.err, run.failure_prefix);
    stream_append(&run.err, run.text);
}

static void end_streams(void)
{
    append_failure();
    streams_end(&run.out, &run.err);
}

static int finish(void)
{
    end_streams();
    if (!records_write_exit(&run))
        return RUNNER_DIR_GONE;
    if (run.cgroup[0] != '\0')
        cgroup_remove(run.cgroup);
    return RUNNER_DONE;
}

static int open_streams(int *ret_out_fd, int *ret_err_fd, struct err *err)
{
    int r = stream_open(&run.out, run.dirfd, STEP_FILE_STDOUT, run.cap_bytes, ret_out_fd, err);

    if (r == 0)
        r = stream_open(&run.err, run.dirfd, STEP_FILE_STDERR, run.cap_bytes, ret_err_fd, err);
    return r;
}

/* The lock is held and nothing has begun. */
static int run_step(struct err *err)
{
    AUTO(close_fd) int out_fd = -1, err_fd = -1;
    enum step_end reason;
    int looked;

    if (open_streams(&out_fd, &err_fd, err) < 0 ||
        (looked = watch_look_for_cancel(&run, &reason, err)) < 0)
        return complain(RUNNER_NOT_STARTED, err);
    if (looked > 0) {
        run.end = reason;
        run.wait_status = -1;
        (void)snprintf(run.text, sizeof(run.text), "stopped before it began");
        end_streams();
        return records_write_unbegun(&run, err) < 0 ? complain(RUNNER_NOT_STARTED, err)
                                                    : RUNNER_DONE;
    }
    if (watch_open(err) < 0 || child_fork(&run, out_fd, err_fd, err) < 0)
        return complain(RUNNER_SYSTEM, err);
    (void)close(TAKE_FD(out_fd)); /* the script's ends: our pipes must see their end of file */
    (void)close(TAKE_FD(err_fd));
    run_free_spec(&run);
#ifdef __GLIBC__
    (void)malloc_trim(0); /* a large spec should not stay with us for hours */
#endif

    run.started_unix_ms = clock_wall_ms();
    run.started_boottime_ms = clock_boottime_ms();
    if (records_write_started(&run, err) < 0) {
        child_discard(&run);
        return complain(RUNNER_NOT_STARTED, err);
    }
    child_release(&run);
    (void)dup2(STDOUT_FILENO, STDERR_FILENO); /* the agent's stderr is not ours to hold */
    watch_run(&run);
    return finish();
}

int main(int argc, char **argv)
{
    struct err err;
    int r;

    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void)dprintf(STDOUT_FILENO, "ssmd-runner %s, records of version %d\n", ssmd_version,
                      RECORD_VERSION);
        return RUNNER_DONE;
    }
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        (void)dprintf(STDOUT_FILENO, "usage: ssmd-runner <step directory>\n"
                                     "Started by ssmd, one for each step; see ssmd-runner(8).\n");
        return RUNNER_DONE;
    }
    if (argc != 2 || argv[1][0] == '-') {
        (void)dprintf(STDERR_FILENO, "usage: ssmd-runner <step directory>\n");
        return RUNNER_USAGE;
    }
    set_signals();
    (void)setsid(); /* fails when the agent made us a leader already */
    if (set_descriptors(&err) < 0 || fs_open_dir(AT_FDCWD, argv[1], &run.dirfd, &err) < 0)
        return complain(RUNNER_SYSTEM, &err);
    if (chdir("/") < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) {
        (void)err_sys(&err, ERR_SYSTEM, errno, "chdir / or prctl");
        return complain(RUNNER_SYSTEM, &err);
    }
    r = lock_directory(&err);
    if (r < 0)
        return complain(r == ERR_BUSY ? RUNNER_HELD : RUNNER_NOT_STARTED, &err);
    if (has_begun(&err))
        return complain(RUNNER_BEGUN, &err);
    if (run_read_spec(&run, &err) < 0) { /* after the lock: what is read need not be kept long */
        run_free_spec(&run);
        return complain(RUNNER_BAD_SPEC, &err);
    }
    (void)dup2(STDOUT_FILENO, STDIN_FILENO); /* /dev/null: nor is the spec's memory */
    r = run_step(&err);
    run_free_spec(&run);
    return r;
}
