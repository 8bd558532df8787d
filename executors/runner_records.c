/* The records that the runner leaves: `started` before anything of the script runs, `exit` when all
 * is over. */
#include "executors/runner_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/crashpoint.h"
#include "base/fs.h"
#include "executors/proctree.h"

#define RECORD_BYTES 4096 /* more than any record here: the free texts in them are bounded */
#define FIRST_RETRY_MS 100
#define LAST_RETRY_MS 30000

static const char *const end_names[] = {
#define END_NAME_(code, name) [code] = name,
    STEP_ENDS(END_NAME_)
#undef END_NAME_
};

int records_reserve(const struct run *run, struct err *err)
{
    AUTO(close_fd)
    int fd = openat(run->dirfd, STEP_FILE_RESERVE,
                    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    static const char zeros[RECORD_BYTES];
    int r;

    if (fd < 0)
        return err_sys(err, ERR_IO, errno, "create %s", STEP_FILE_RESERVE);
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, RECORD_BYTES) == 0)
        return 0;
    if (errno != EOPNOTSUPP && errno != ENOSYS)
        return err_sys(err, ERR_IO, errno, "reserve %d bytes in the step's directory",
                       RECORD_BYTES);
    r = fs_write_all(fd, zeros, sizeof(zeros), err);
    return r < 0 ? err_wrap(err, "reserve %d bytes in the step's directory", RECORD_BYTES) : 0;
}

int records_sync_parents(int dirfd, struct err *err)
{
    static const char *const parents[] = {"..", "../.."};
    size_t i;

    for (i = 0; i < ARRAY_LEN(parents); i++) {
        AUTO(close_fd)
        int fd = openat(dirfd, parents[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0 || fsync(fd) < 0)
            return err_sys(err, ERR_IO, errno, "sync directory %s of the step", parents[i]);
    }
    return 0;
}

int records_write_started(const struct run *run, struct err *err)
{
    AUTO(buf_done) struct buf b = {0};
    struct proc self;
    int r = proc_read(getpid(), &self, err);

    if (r < 0)
        return r;
    buf_init(&b, RECORD_BYTES);
    record_begin(&b, STEP_FILE_STARTED);
    record_add_i64(&b, STEP_KEY_PID, run->pid);
    record_add_i64(&b, STEP_KEY_START_TIME, (int64_t)run->start_time);
    record_add_i64(&b, STEP_KEY_RUNNER_PID, getpid());
    record_add_i64(&b, STEP_KEY_RUNNER_START_TIME, (int64_t)self.start_time);
    record_add(&b, STEP_KEY_BOOT_ID, run->boot_id);
    record_add_i64(&b, STEP_KEY_STARTED_UNIX_MS, run->started_unix_ms);
    record_add_i64(&b, STEP_KEY_STARTED_BOOTTIME_MS, run->started_boottime_ms);
    if (run->cgroup[0] != '\0')
        record_add(&b, STEP_KEY_CGROUP, run->cgroup);
    record_end(&b);
    crashpoint("runner.started.before");
    if ((r = buf_error(&b, "record started", err)) < 0)
        return r;
    r = fs_write_atomic(run->dirfd, STEP_FILE_STARTED, b.data, b.len, 0600, true, err);
    if (r == 0)
        r = child_await_ready(run, err);
    if (r < 0) {
        /* It may stand there unsynced; the script will not run, so it would tell a lie. */
        (void)unlinkat(run->dirfd, STEP_FILE_STARTED, 0);
        return r;
    }
    crashpoint("runner.started.after");
    return 0;
}

static void add_stream(struct buf *b, const struct stream *s, const char *bytes, const char *total,
                       const char *sha256, const char *at_stop)
{
    record_add_i64(b, bytes, (int64_t)s->bytes);
    record_add_i64(b, total, (int64_t)s->total);
    record_add(b, sha256, s->sha256_hex);
    record_add_i64(b, at_stop, (int64_t)s->at_stop);
}

static void build_exit(const struct run *run, struct buf *b)
{
    bool has_exited = run->end == STEP_END_EXITED, was_killed = run->end == STEP_END_SIGNALED;

    record_begin(b, STEP_FILE_EXIT);
    record_add(b, STEP_KEY_OUTCOME, end_names[run->end]);
    record_add_i64(b, STEP_KEY_CODE, has_exited ? WEXITSTATUS(run->wait_status) : -1);
    record_add_i64(b, STEP_KEY_SIGNAL, was_killed ? WTERMSIG(run->wait_status) : 0);
    record_add_i64(b, STEP_KEY_WAIT_STATUS, run->wait_status);
    record_add(b, STEP_KEY_TEXT, run->text);
    record_add(b, STEP_KEY_BOOT_ID, run->boot_id);
    record_add_i64(b, STEP_KEY_WAS_STARTED,
                   run->started_boottime_ms != 0 && run->end != STEP_END_START_FAILED);
    record_add_i64(b, STEP_KEY_STARTED_UNIX_MS, run->started_unix_ms);
    record_add_i64(b, STEP_KEY_STARTED_BOOTTIME_MS, run->started_boottime_ms);
    record_add_i64(b, STEP_KEY_ENDED_UNIX_MS, clock_wall_ms());
    record_add_i64(b, STEP_KEY_ENDED_BOOTTIME_MS, clock_boottime_ms());
    add_stream(b, &run->out, STEP_KEY_STDOUT_BYTES, STEP_KEY_STDOUT_TOTAL, STEP_KEY_STDOUT_SHA256,
               STEP_KEY_STDOUT_AT_STOP);
    add_stream(b, &run->err, STEP_KEY_STDERR_BYTES, STEP_KEY_STDERR_TOTAL, STEP_KEY_STDERR_SHA256,
               STEP_KEY_STDERR_AT_STOP);
    record_add_i64(b, STEP_KEY_STDERR_APPENDED, (int64_t)run->err.appended);
    record_add_i64(b, STEP_KEY_OUTPUT_LOST, (int64_t)(run->out.lost + run->err.lost));
    record_add_i64(b, STEP_KEY_UNKILLED, run->n_unkilled);
    record_end(b);
}

/* Into the space set aside for it, then under its name. */
static int write_into_reserve(int dirfd, const struct buf *b, struct err *err)
{
    AUTO(close_fd)
    int fd = openat(dirfd, STEP_FILE_RESERVE, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    int r;

    if (fd < 0)
        return err_sys(err, ERR_IO, errno, "open %s", STEP_FILE_RESERVE);
    if ((r = fs_write_all(fd, b->data, b->len, err)) < 0)
        return r;
    if (fstat(fd, &st) < 0 || (st.st_size > (off_t)b->len && ftruncate(fd, (off_t)b->len) < 0) ||
        fsync(fd) < 0 || renameat(dirfd, STEP_FILE_RESERVE, dirfd, STEP_FILE_EXIT) < 0 ||
        fsync(dirfd) < 0)
        return err_sys(err, ERR_IO, errno, "write %s", STEP_FILE_EXIT);
    return 0;
}

static bool is_removed(int dirfd)
{
    struct stat st;

    return fstat(dirfd, &st) == 0 && st.st_nlink == 0;
}

bool records_write_exit(const struct run *run)
{
    char space[RECORD_BYTES];
    struct buf b = {.data = space, .cap = sizeof(space), .max = sizeof(space) - 1};
    int64_t wait_ms = FIRST_RETRY_MS;

#ifdef SSMD_BREAK_NO_EXIT_RECORD
    return true;
#endif
    /* Nothing is allocated here: the end must be told also when memory is short. */
    build_exit(run, &b);
    crashpoint("runner.exit.before");
    while (write_into_reserve(run->dirfd, &b, NULL) < 0 &&
           fs_write_atomic(run->dirfd, STEP_FILE_EXIT, b.data, b.len, 0600, true, NULL) < 0) {
        struct timespec pause = {wait_ms / 1000, (long)(wait_ms % 1000) * 1000000};

        if (is_removed(run->dirfd))
            return false;
        (void)nanosleep(&pause, NULL); /* a shorter pause harms nothing */
        wait_ms = wait_ms * 2 < LAST_RETRY_MS ? wait_ms * 2 : LAST_RETRY_MS;
    }
    crashpoint("runner.exit.after");
    return true;
}
