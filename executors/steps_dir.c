/* The agent's view of one step's directory: write the spec, read the records, take the lock. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "executors/step_record.h"
#include "executors/steps_internal.h"

static const char *const end_names[] = {
#define END_NAME_(code, name) [code] = name,
    STEP_ENDS(END_NAME_)
#undef END_NAME_
};

int step_dir_check_key(const struct step_key *key, struct err *err)
{
    if (!str_is_safe_name(key->job_id, STEP_JOB_ID_MAX))
        return err_set(err, ERR_INVALID, "job id \"%.140s\" cannot name a directory", key->job_id);
    if (key->step < 0 || key->attempt < 0)
        return err_set(err, ERR_INVALID, "job %s: step %d, attempt %d", key->job_id, key->step,
                       key->attempt);
    return 0;
}

static int open_or_make(int jobs_fd, const struct step_key *key,
                        int (*open_dir)(int, const char *, int *, struct err *), int *ret_fd,
                        struct err *err)
{
    AUTO(close_fd) int job_fd = -1;
    char name[32];
    int r = step_dir_check_key(key, err);

    if (r < 0)
        return r;
    (void)snprintf(name, sizeof(name), "%d.%d", key->step, key->attempt);
    if ((r = open_dir(jobs_fd, key->job_id, &job_fd, err)) < 0 ||
        (r = open_dir(job_fd, name, ret_fd, err)) < 0)
        return r;
    return 0;
}

int step_dir_open(int jobs_fd, const struct step_key *key, int *ret_fd, struct err *err)
{
    return open_or_make(jobs_fd, key, fs_open_dir, ret_fd, err);
}

int step_dir_make(int jobs_fd, const struct step_key *key, int *ret_fd, struct err *err)
{
    return open_or_make(jobs_fd, key, fs_make_dir, ret_fd, err);
}

/* In place: until the step has begun nobody looks at it, and every start writes it anew. */
static int write_script(int dirfd, const struct step_spec *spec, struct err *err)
{
    AUTO(close_fd)
    int fd = openat(dirfd, spec->script_name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
                    0700);
    int r;

    if (fd < 0)
        return err_sys(err, ERR_IO, errno, "create %s", spec->script_name);
    r = fs_write_all(fd, spec->script, spec->script_len, err);
    if (r == 0 && fchmod(fd, 0700) < 0) /* whatever the umask is */
        r = err_sys(err, ERR_IO, errno, "chmod");
    return r < 0 ? err_wrap(err, "%s", spec->script_name) : 0;
}

static int open_spec(const struct buf *b, int *ret_fd, struct err *err)
{
    AUTO(close_fd) int fd = memfd_create("ssmd-spec", MFD_CLOEXEC);
    int r;

    if (fd < 0)
        return err_sys(err, ERR_SYSTEM, errno, "memory file for the spec");
    r = fs_write_all(fd, b->data, b->len, err);
    if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
        r = err_sys(err, ERR_SYSTEM, errno, "memory file for the spec");
    if (r == 0)
        *ret_fd = TAKE_FD(fd);
    return r;
}

int step_dir_write_spec(int dirfd, const struct step_spec *spec, int64_t nofile, const char *cgroup,
                        int *ret_fd, struct err *err)
{
    AUTO(buf_done) struct buf b = {0};
    const char *const *p;
    int r;

    buf_init(&b, RECORD_MAX_BYTES);
    record_begin(&b, STEP_RECORD_SPEC);
    for (p = spec->argv; *p != NULL; p++)
        record_add(&b, STEP_KEY_ARGV, *p);
    for (p = spec->env; *p != NULL; p++)
        record_add(&b, STEP_KEY_ENV, *p);
    record_add(&b, STEP_KEY_CWD, spec->cwd);
    record_add_i64(&b, STEP_KEY_LIMIT_MS, spec->limit_ms);
    record_add_i64(&b, STEP_KEY_GRACE_MS, spec->grace_ms);
    record_add_i64(&b, STEP_KEY_CAP_BYTES, (int64_t)spec->cap_bytes);
    record_add(&b, STEP_KEY_BOOT_ID, spec->boot_id);
    if (nofile > 0)
        record_add_i64(&b, STEP_KEY_NOFILE, nofile);
    record_add(&b, STEP_KEY_CGROUP_PARENT, cgroup);
    if (spec->failure_prefix != NULL)
        record_add(&b, STEP_KEY_FAILURE_PREFIX, spec->failure_prefix);
    record_end(&b);
    r = buf_error(&b, "record spec", err);
    /* Unsynced: after a power failure there is no `started` either, and it is written anew. */
    if (r == 0 && spec->script_name != NULL)
        r = write_script(dirfd, spec, err);
    return r < 0 ? r : open_spec(&b, ret_fd, err);
}

static int get_u64(const struct record *r, const char *key, uint64_t *ret, struct err *err)
{
    int64_t v;
    int rc = record_get_i64(r, key, &v, err);

    if (rc == 0 && v < 0)
        return err_set(err, ERR_CORRUPT, "record %s: %s is negative", r->kind, key);
    if (rc == 0)
        *ret = (uint64_t)v;
    return rc;
}

static int get_text(const struct record *r, const char *key, char *ret, size_t size,
                    struct err *err)
{
    const char *v = record_get(r, key);

    if (v == NULL)
        return err_set(err, ERR_CORRUPT, "record %s: %s is missing", r->kind, key);
    (void)str_copy(ret, size, v); /* a text that is cut is still a text */
    return 0;
}

static int get_end(const struct record *r, enum step_end *ret, struct err *err)
{
    const char *name = record_get(r, STEP_KEY_OUTCOME);
    size_t i;

    for (i = 0; i < ARRAY_LEN(end_names); i++)
        if (str_eq(name, end_names[i])) {
            *ret = (enum step_end)i;
            return 0;
        }
    return err_set(err, ERR_CORRUPT, "record exit: outcome \"%s\" is unknown",
                   name != NULL ? name : "");
}

static int get_stream(const struct record *r, const char *bytes, const char *total,
                      const char *at_stop, const char *sha256, struct step_stream_outcome *ret,
                      struct err *err)
{
    int rc;

    if ((rc = get_u64(r, bytes, &ret->bytes, err)) < 0 ||
        (rc = get_u64(r, total, &ret->total, err)) < 0 ||
        (rc = get_u64(r, at_stop, &ret->at_stop, err)) < 0)
        return rc;
    return get_text(r, sha256, ret->sha256, sizeof(ret->sha256), err);
}

/* ERR_NOT_FOUND: no such record; ERR_CORRUPT: a damaged one. */
static int read_exit(int dirfd, const char *name, struct step_outcome *ret_outcome, struct err *err)
{
    AUTO(record_done) struct record r = {0};
    struct step_outcome o = {0};
    int64_t code, sig, status, was_started;
    int rc = step_record_read(dirfd, name, STEP_FILE_EXIT, &r, err);

    if (rc < 0)
        return rc;
    if ((rc = get_end(&r, &o.end, err)) < 0 ||
        (rc = record_get_i64(&r, STEP_KEY_CODE, &code, err)) < 0 ||
        (rc = record_get_i64(&r, STEP_KEY_SIGNAL, &sig, err)) < 0 ||
        (rc = record_get_i64(&r, STEP_KEY_WAIT_STATUS, &status, err)) < 0 ||
        (rc = record_get_i64(&r, STEP_KEY_WAS_STARTED, &was_started, err)) < 0 ||
        (rc = get_text(&r, STEP_KEY_TEXT, o.text, sizeof(o.text), err)) < 0 ||
        (rc = get_text(&r, STEP_KEY_BOOT_ID, o.boot_id, sizeof(o.boot_id), err)) < 0 ||
        (rc = record_get_i64(&r, STEP_KEY_STARTED_UNIX_MS, &o.started_unix_ms, err)) < 0 ||
        (rc = record_get_i64(&r, STEP_KEY_STARTED_BOOTTIME_MS, &o.started_boottime_ms, err)) < 0 ||
        (rc = record_get_i64(&r, STEP_KEY_ENDED_UNIX_MS, &o.ended_unix_ms, err)) < 0 ||
        (rc = record_get_i64(&r, STEP_KEY_ENDED_BOOTTIME_MS, &o.ended_boottime_ms, err)) < 0 ||
        (rc = get_stream(&r, STEP_KEY_STDOUT_BYTES, STEP_KEY_STDOUT_TOTAL, STEP_KEY_STDOUT_AT_STOP,
                         STEP_KEY_STDOUT_SHA256, &o.out, err)) < 0 ||
        (rc = get_stream(&r, STEP_KEY_STDERR_BYTES, STEP_KEY_STDERR_TOTAL, STEP_KEY_STDERR_AT_STOP,
                         STEP_KEY_STDERR_SHA256, &o.err, err)) < 0 ||
        (rc = get_u64(&r, STEP_KEY_STDERR_APPENDED, &o.stderr_appended, err)) < 0 ||
        (rc = get_u64(&r, STEP_KEY_OUTPUT_LOST, &o.output_lost, err)) < 0 ||
        (rc = record_get_i64(&r, STEP_KEY_UNKILLED, &o.unkilled, err)) < 0)
        return rc;
    o.code = (int)code;
    o.signal = (int)sig;
    o.wait_status = (int)status;
    o.was_started = was_started != 0;
    *ret_outcome = o;
    return 0;
}

static bool has_file(int dirfd, const char *name)
{
    struct stat st;

    return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

/* Under the lock: whichever name the file has. */
static int read_started(int dirfd, struct record *ret_record)
{
    return step_record_read(
        dirfd, has_file(dirfd, STEP_FILE_STARTED) ? STEP_FILE_STARTED : STEP_FILE_STARTED_TEMP,
        STEP_FILE_STARTED, ret_record, NULL);
}

/* All that is known about a step without an end. */
static void describe_lost(int dirfd, const struct err *why, struct step_outcome *ret)
{
    AUTO(record_done) struct record r = {0};
    const char *boot_id;

    *ret = (struct step_outcome){.code = -1, .wait_status = -1, .was_started = 1};
    (void)str_copy(ret->text, sizeof(ret->text), why->text);
    if (read_started(dirfd, &r) < 0)
        return; /* `started` is damaged: then there is nothing to tell */
    boot_id = record_get(&r, STEP_KEY_BOOT_ID);
    (void)str_copy(ret->boot_id, sizeof(ret->boot_id), boot_id != NULL ? boot_id : "");
    ret->started_unix_ms = record_get_i64_or(&r, STEP_KEY_STARTED_UNIX_MS, 0);
    ret->started_boottime_ms = record_get_i64_or(&r, STEP_KEY_STARTED_BOOTTIME_MS, 0);
}

int step_dir_look(int dirfd, enum step_answer *ret_answer, struct step_outcome *ret_outcome,
                  int *ret_lock_fd, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    struct step_outcome o = {0};
    enum step_answer answer;
    struct err why;
    int r;

    /* A description of its own, which the lock goes with. */
    if ((r = fs_open_dir(dirfd, ".", &fd, err)) < 0)
        return r;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return err_sys(err, ERR_IO, errno, "lock the step");
        /* `exit` may be there a moment before its runner is gone. */
        r = read_exit(dirfd, STEP_FILE_EXIT, &o, NULL);
        *ret_answer = r == 0 ? STEP_ENDED : STEP_RUNNING;
        *ret_outcome = o;
        *ret_lock_fd = -1;
        return 0;
    }
    /* With the lock held nobody changes the records under us. */
    r = read_exit(dirfd, STEP_FILE_EXIT, &o, &why);
    /* A runner that died between writing its last record and renaming the file, or the names were
     * lost with the power: the record is whole or it is none. */
    if (r == ERR_NOT_FOUND && (read_exit(dirfd, STEP_FILE_STARTED, &o, NULL) == 0 ||
                               read_exit(dirfd, STEP_FILE_STARTED_TEMP, &o, NULL) == 0))
        r = 0;
    if (r == 0) {
        *ret_answer = STEP_ENDED;
        *ret_outcome = o;
        *ret_lock_fd = -1;
        return 0;
    }
    if (r != ERR_NOT_FOUND && r != ERR_CORRUPT && r != ERR_INVALID) {
        if (err != NULL)
            *err = why;
        return r;
    }
    if (r != ERR_NOT_FOUND || step_record_is_started(dirfd)) {
        answer = STEP_LOST;
        if (r == ERR_NOT_FOUND)
            (void)err_set(&why, ERR_STATE, "its runner ended without leaving an exit record");
        describe_lost(dirfd, &why, &o);
    } else {
        answer = has_file(dirfd, STEP_FILE_VOID) ? STEP_VOID : STEP_NOT_BEGUN;
    }
    *ret_answer = answer;
    *ret_outcome = o;
    *ret_lock_fd = TAKE_FD(fd);
    return 0;
}

int step_dir_holder(int dirfd, pid_t *ret_pid, uint64_t *ret_start_time, struct err *err)
{
    AUTO(record_done) struct record r = {0};
    int64_t pid, start_time;
    int rc;

    if ((rc = step_record_read(dirfd, STEP_FILE_STARTED, STEP_FILE_STARTED, &r, err)) < 0 ||
        (rc = record_get_i64(&r, STEP_KEY_RUNNER_PID, &pid, err)) < 0 ||
        (rc = record_get_i64(&r, STEP_KEY_RUNNER_START_TIME, &start_time, err)) < 0)
        return rc;
    if (pid < 2 || pid > INT_MAX || start_time < 0)
        return err_set(err, ERR_CORRUPT, "record started: %s=%" PRId64 " is no process",
                       STEP_KEY_RUNNER_PID, pid);
    *ret_pid = (pid_t)pid;
    *ret_start_time = (uint64_t)start_time;
    return 0;
}

void step_dir_remains(int dirfd, const char *boot_id, struct remains *ret_remains)
{
    AUTO(record_done) struct record r = {0};
    const char *cgroup;
    int64_t pid;

    *ret_remains = (struct remains){0};
    if (read_started(dirfd, &r) < 0 || !str_eq(record_get(&r, STEP_KEY_BOOT_ID), boot_id))
        return;
    pid = record_get_i64_or(&r, STEP_KEY_PID, 0);
    ret_remains->pid = pid > 1 && pid <= INT_MAX ? (pid_t)pid : 0;
    ret_remains->start_time = (uint64_t)record_get_i64_or(&r, STEP_KEY_START_TIME, 0);
    cgroup = record_get(&r, STEP_KEY_CGROUP);
    (void)str_copy(ret_remains->cgroup, sizeof(ret_remains->cgroup), cgroup != NULL ? cgroup : "");
}
