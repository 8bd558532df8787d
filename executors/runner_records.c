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

#define RECORD_BYTES 4096 /* more than an exit record: the free texts in it are bounded */
#define FIRST_RETRY_MS 100
#define LAST_RETRY_MS 30000

static const char *const end_names[] = {
#define END_NAME_(code, name) [code] = name,
    STEP_ENDS(END_NAME_)
#undef END_NAME_
};

int records_write_started(const struct run *run, struct err *err)
{
    AUTO(buf_done) struct buf b = {0};
    int r;

    buf_init(&b, STEP_EXIT_OFFSET - 1);
    record_begin(&b, STEP_FILE_STARTED);
    record_add_i64(&b, STEP_KEY_PID, run->pid);
    record_add_i64(&b, STEP_KEY_START_TIME, (int64_t)run->start_time);
    record_add_i64(&b, STEP_KEY_RUNNER_PID, getpid());
    record_add_i64(&b, STEP_KEY_RUNNER_START_TIME, (int64_t)run->own_start_time);
    record_add(&b, STEP_KEY_BOOT_ID, run->boot_id);
    record_add_i64(&b, STEP_KEY_STARTED_UNIX_MS, run->started_unix_ms);
    record_add_i64(&b, STEP_KEY_STARTED_BOOTTIME_MS, run->started_boottime_ms);
    if (run->cgroup[0] != '\0')
        record_add(&b, STEP_KEY_CGROUP, run->cgroup);
    record_end(&b);
    crashpoint("runner.started.before");
    if ((r = buf_error(&b, "record started", err)) < 0)
        return r;
    /* Room for two records, so that a full disk cannot hinder the second. */
    r = fs_write_atomic_with_room(run->dirfd, STEP_FILE_STARTED, b.data, b.len,
                                  STEP_EXIT_OFFSET + RECORD_BYTES, err);
    if (r == 0)
        r = child_await_ready(run, err);
    if (r < 0) {
        /* It may stand there unsynced; the script will not run, so it would tell a lie. */
        (void)unlinkat(run->dirfd, STEP_FILE_STARTED, 0);
        return err_wrap(err, "record of the start");
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

/* Into the room behind the other, then under its name. The name need not be synced: a whole record
 * of the end is read under the old one too. */
static int write_behind_started(int dirfd, const struct buf *b, struct err *err)
{
    AUTO(close_fd)
    int fd = openat(dirfd, STEP_FILE_STARTED, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    int r;

    if (fd < 0 || lseek(fd, STEP_EXIT_OFFSET, SEEK_SET) < 0)
        return err_sys(err, ERR_IO, errno, "open %s", STEP_FILE_STARTED);
    if ((r = fs_write_all(fd, b->data, b->len, err)) < 0)
        return r;
#ifndef SSMD_BREAK_EXIT_SYNC_SKIPPED /* negative control: row R2 must notice */
    if (fdatasync(fd) < 0)
        return err_sys(err, ERR_IO, errno, "sync %s", STEP_FILE_EXIT);
#endif
    if (renameat(dirfd, STEP_FILE_STARTED, dirfd, STEP_FILE_EXIT) < 0)
        return err_sys(err, ERR_IO, errno, "write %s", STEP_FILE_EXIT);
    return 0;
}

/* The record in its place, with nothing before it: nothing is allocated, since the end must be told
 * also when memory is short. */
struct exit_file {
    char bytes[STEP_EXIT_OFFSET + RECORD_BYTES];
    struct buf record;
};

static void build_exit_file(const struct run *run, struct exit_file *f)
{
    memset(f->bytes, 0, sizeof(f->bytes));
    f->record = (struct buf){
        .data = f->bytes + STEP_EXIT_OFFSET, .cap = RECORD_BYTES, .max = RECORD_BYTES - 1};
    build_exit(run, &f->record);
}

static int write_alone(int dirfd, const struct exit_file *f, struct err *err)
{
    return fs_write_atomic(dirfd, STEP_FILE_EXIT, f->bytes, STEP_EXIT_OFFSET + f->record.len, 0600,
                           true, err);
}

int records_write_unbegun(const struct run *run, struct err *err)
{
    struct exit_file f;

    build_exit_file(run, &f);
    return write_alone(run->dirfd, &f, err);
}

static bool is_removed(int dirfd)
{
    struct stat st;

    return fstat(dirfd, &st) == 0 && st.st_nlink == 0;
}

bool records_write_exit(const struct run *run)
{
    struct exit_file f;
    int64_t wait_ms = FIRST_RETRY_MS;

#ifdef SSMD_BREAK_NO_EXIT_RECORD
    return true;
#endif
    build_exit_file(run, &f);
    crashpoint("runner.exit.before");
    while (write_behind_started(run->dirfd, &f.record, NULL) < 0 &&
           write_alone(run->dirfd, &f, NULL) < 0) {
        struct timespec pause = {wait_ms / 1000, (long)(wait_ms % 1000) * 1000000};

        if (is_removed(run->dirfd))
            return false;
        (void)nanosleep(&pause, NULL); /* a shorter pause harms nothing */
        wait_ms = wait_ms * 2 < LAST_RETRY_MS ? wait_ms * 2 : LAST_RETRY_MS;
    }
    crashpoint("runner.exit.after");
    return true;
}
