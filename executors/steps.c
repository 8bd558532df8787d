/* The agent's half of running steps: what its header promises, over steps_dir.c and steps_watch.c.
 */
#include "executors/steps.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crashpoint.h"
#include "base/fs.h"
#include "base/record.h"
#include "base/secret.h"
#include "base/str.h"
#include "executors/cgroup.h"
#include "executors/steps_internal.h"

#define CRASH_PREFIX "SSMD_CRASH_"
#define RUNNER_PREFIX "RUNNER_"

static const char *const stream_files[] = {
    [STEP_STDOUT] = STEP_FILE_STDOUT,
    [STEP_STDERR] = STEP_FILE_STDERR,
};

int steps_new(uv_loop_t *loop, const struct steps_options *options, struct steps **ret_steps,
              struct err *err)
{
    struct steps *s = calloc(1, sizeof(*s));
    struct err none;
    int r;

    if (s == NULL)
        return err_set(err, ERR_NOMEM, "steps: out of memory");
    s->jobs_fd = -1;
    s->loop = loop;
    s->events = options->events;
    s->child_nofile = options->child_nofile;
    s->without_pidfd = options->without_pidfd;
    if (options->jobs_dir[0] != '/' || options->runner_path[0] != '/' ||
        !str_copy(s->jobs_dir, sizeof(s->jobs_dir), options->jobs_dir) ||
        !str_copy(s->runner_path, sizeof(s->runner_path), options->runner_path) ||
        !str_copy(s->boot_id, sizeof(s->boot_id), options->boot_id))
        r = err_set(err, ERR_INVALID,
                    "steps: directory %.200s, runner %.200s: both must be absolute paths",
                    options->jobs_dir, options->runner_path);
    else if ((r = fs_make_path(options->jobs_dir, &s->jobs_fd, err)) == 0)
        r = watch_init(s, err);
    if (r < 0) {
        watch_close(s);
        return r;
    }
    if (cgroup_find_own(s->cgroup, &none) < 0)
        s->cgroup[0] = '\0';
    else
        cgroup_sweep(s->cgroup);
    *ret_steps = s;
    return 0;
}

void steps_free(struct steps *s)
{
    if (s != NULL)
        watch_close(s);
}

size_t steps_n_running(const struct steps *s)
{
    return s->n_watched;
}

int steps_path(const struct steps *s, const struct step_key *key, char *ret_path, size_t size,
               struct err *err)
{
    int r = step_dir_check_key(key, err), n;

    if (r < 0)
        return r;
    n = snprintf(ret_path, size, "%s/%s/%d.%d", s->jobs_dir, key->job_id, key->step, key->attempt);
    if (n < 0 || (size_t)n >= size)
        return err_set(err, ERR_LIMIT, "path of step %s/%d.%d: too long", key->job_id, key->step,
                       key->attempt);
    return 0;
}

int steps_probe(struct steps *s, const struct step_key *key, enum step_answer *ret_answer,
                struct step_outcome *ret_outcome, struct err *err)
{
    AUTO(close_fd) int dirfd = -1, lock_fd = -1;
    enum step_answer answer;
    struct step_outcome o;
    int r = step_dir_open(s->jobs_fd, key, &dirfd, err);

    if (r == ERR_NOT_FOUND) {
        /* The directory stands before a runner is started, so there never was one. */
        *ret_answer = STEP_NOT_BEGUN;
        return 0;
    }
    if (r < 0 || step_dir_look(dirfd, &answer, &o, &lock_fd, err) < 0)
        return err_wrap(err, "step %.150s/%d.%d", key->job_id, key->step, key->attempt);
    *ret_answer = answer;
    if (ret_outcome != NULL)
        *ret_outcome = o;
    return 0;
}

/* The agent's environment (the runner looks the script's interpreter up in its PATH), without its
 * credentials, passwords of proxies, and the places where the suite kills the agent:
 * RUNNER_SSMD_CRASH_x are for the runner and reach it under the names that base/crashpoint.h knows.
 * The array is the caller's, its strings are not. */
static char **make_environment(void)
{
    char **list = secret_clean_environment(), **from, **to;

    for (from = to = list; from != NULL && *from != NULL; from++) {
        if (str_has_prefix(*from, RUNNER_PREFIX CRASH_PREFIX))
            *to++ = *from + strlen(RUNNER_PREFIX);
        else if (!str_has_prefix(*from, CRASH_PREFIX) && !secret_is_in_url(*from))
            *to++ = *from;
    }
    if (to != NULL)
        *to = NULL;
    return list;
}

/* Not uv_spawn: that forks with the whole address space; this shares it until exec. */
static int spawn_runner(const struct steps *s, const char *dir, int spec_fd, pid_t *ret_pid,
                        struct err *err)
{
    char program[PATH_MAX], path[PATH_MAX];
    char *argv[] = {program, path, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    char **env = make_environment();
    sigset_t none, all;
    int e;

    (void)str_copy(program, sizeof(program), s->runner_path);
    (void)str_copy(path, sizeof(path), dir);
    sigemptyset(&none);
    sigfillset(&all);
    (void)posix_spawnattr_init(&attr); /* with the file actions: fails only for want of memory, */
    (void)posix_spawn_file_actions_init(&actions); /* of which glibc's take none */
    (void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
    (void)posix_spawnattr_setsigmask(&attr, &none);
    (void)posix_spawnattr_setsigdefault(&attr, &all);
    /* stderr stays the agent's until the runner has begun: its complaints belong into our log. */
    e = posix_spawn_file_actions_adddup2(&actions, spec_fd, STDIN_FILENO);
    if (e == 0)
        e = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_RDWR, 0);
    if (e == 0)
        e = env == NULL ? ENOMEM : posix_spawn(ret_pid, program, &actions, &attr, argv, env);
    (void)posix_spawn_file_actions_destroy(&actions); /* always 0 */
    (void)posix_spawnattr_destroy(&attr);
    free(env);
    if (e != 0)
        return err_sys(err, ERR_SYSTEM, e, "start the runner %s", s->runner_path);
    return 0;
}

static int check_spec(const struct step_spec *spec, struct err *err)
{
    if (spec->argv[0] == NULL || spec->cwd[0] != '/' || spec->limit_ms < 0 || spec->grace_ms < 0 ||
        spec->cap_bytes > INT64_MAX)
        return err_set(err, ERR_INVALID,
                       "spec without a program, or with a relative directory or negative time");
    if (spec->script_name != NULL && !str_is_safe_name(spec->script_name, 64))
        return err_set(err, ERR_INVALID, "script name \"%.100s\" cannot name a file",
                       spec->script_name);
    return 0;
}

int steps_prepare(struct steps *s, const struct step_key *key, struct err *err)
{
    AUTO(close_fd) int dirfd = -1;
    int r = step_dir_check_key(key, err);

    return r < 0 ? r : step_dir_make(s->jobs_fd, key, &dirfd, err);
}

/* Only ours: what another user calls its own process is no word of ours. By the real user, who
 * stays the same in a program that gains rights. */
static bool is_of_our_user(pid_t pid)
{
    AUTO(buf_done) struct buf status = {0};
    char name[64];
    const char *p;

    buf_init(&status, 16384);
    (void)snprintf(name, sizeof(name), "/proc/%ld/status", (long)pid);
    if (fs_read_file(AT_FDCWD, name, &status, NULL) < 0)
        return false;
    p = strstr(buf_str(&status), "\nUid:");
    return p != NULL && strtoul(p + strlen("\nUid:"), NULL, 10) == getuid();
}

/* Is this "<runner> <directory>"? */
static bool is_runner_of(const struct steps *s, pid_t pid, const char *dir)
{
    AUTO(buf_done) struct buf words = {0};
    char name[64];
    size_t n = strlen(s->runner_path) + 1;

    buf_init(&words, (size_t)2 * PATH_MAX);
    (void)snprintf(name, sizeof(name), "/proc/%ld/cmdline", (long)pid);
    return fs_read_file(AT_FDCWD, name, &words, NULL) == 0 && words.len == n + strlen(dir) + 1 &&
           memcmp(words.data, s->runner_path, n) == 0 && strcmp(words.data + n, dir) == 0 &&
           is_of_our_user(pid);
}

size_t steps_kill_orphans(struct steps *s, const struct step_key *key)
{
    AUTO(proc_table_done) struct proc_table table = {0};
    char dir[PATH_MAX];
    struct err err;
    size_t i;

    if (steps_path(s, key, dir, sizeof(dir), &err) < 0 || proc_table_read(&table, &err) < 0)
        return 0;
    for (i = 0; i < table.n; i++)
        if (is_runner_of(s, table.items[i].pid, dir)) {
            proc_table_choose(&table, table.items[i].pid);
            proc_table_choose_below(&table, table.items[i].pid);
        }
    return proc_table_signal(&table, SIGKILL);
}

bool steps_has_dir(struct steps *s, const struct step_key *key)
{
    AUTO(close_fd) int dirfd = -1;
    struct err err;

    return step_dir_check_key(key, &err) == 0 &&
           step_dir_open(s->jobs_fd, key, &dirfd, &err) != ERR_NOT_FOUND;
}

int steps_start(struct steps *s, const struct step_spec *spec, struct err *err)
{
    AUTO(close_fd) int dirfd = -1, spec_fd = -1;
    const struct step_key *key = &spec->key;
    struct watched *w;
    char path[PATH_MAX];
    pid_t pid = 0;
    int r;

    if (steps_path(s, key, path, sizeof(path), err) < 0 || check_spec(spec, err) < 0)
        return err_wrap(err, "start step %.150s/%d.%d", key->job_id, key->step, key->attempt);
    if (watch_find(s, key) != NULL)
        return err_set(err, ERR_EXISTS, "start step %s/%d.%d: it is watched already", key->job_id,
                       key->step, key->attempt);
    if (step_dir_make(s->jobs_fd, key, &dirfd, err) < 0 ||
        step_dir_write_spec(dirfd, spec, s->child_nofile, s->cgroup, &spec_fd, err) < 0 ||
        watch_add(s, key, &w, err) < 0) /* before the spawn: after it nothing may fail */
        return err_wrap(err, "start step %s/%d.%d", key->job_id, key->step, key->attempt);
    crashpoint("step.spawn.before");
    r = spawn_runner(s, path, spec_fd, &pid, err);
    if (r < 0) {
        watch_forget(w);
        return err_wrap(err, "start step %s/%d.%d", key->job_id, key->step, key->attempt);
    }
    crashpoint("step.spawn.after");
    watch_child(w, pid);
    return 0;
}

int steps_attach(struct steps *s, const struct step_key *key, struct err *err)
{
    struct watched *w;
    int r = step_dir_check_key(key, err);

    if (r < 0)
        return r;
    if (watch_find(s, key) != NULL)
        return err_set(err, ERR_EXISTS, "attach to step %s/%d.%d: it is watched already",
                       key->job_id, key->step, key->attempt);
    return watch_add(s, key, &w, err);
}

static int write_void(int dirfd, struct err *err)
{
    AUTO(buf_done) struct buf b = {0};
    int r;

    buf_init(&b, 1024);
    record_begin(&b, STEP_FILE_VOID);
    record_end(&b);
    r = buf_error(&b, "record void", err);
    if (r < 0)
        return r;
    crashpoint("step.void.before");
    r = fs_write_atomic(dirfd, STEP_FILE_VOID, b.data, b.len, 0600, true, err);
    crashpoint("step.void.after");
    return r;
}

/* First the record, then the signal: a runner that has not named itself in `started` yet looks for
 * `cancel` after it has, so one of us sees the other. */
static int cancel(int dirfd, enum step_stop_reason reason, struct err *err)
{
    AUTO(buf_done) struct buf b = {0};
    uint64_t start_time = 0;
    pid_t pid = 0;
    int r;

    buf_init(&b, 1024);
    record_begin(&b, STEP_FILE_CANCEL);
    record_add(&b, STEP_KEY_REASON,
               reason == STEP_STOP_TIMED_OUT ? STEP_REASON_TIMED_OUT : STEP_REASON_CANCELLED);
    record_end(&b);
    if ((r = buf_error(&b, "record cancel", err)) < 0 ||
        (r = fs_write_atomic(dirfd, STEP_FILE_CANCEL, b.data, b.len, 0600, false, err)) < 0)
        return r;
    r = step_dir_holder(dirfd, &pid, &start_time, err);
    if (r == 0)
        r = proc_signal(pid, start_time, SIGUSR1, err);
    return r == ERR_NOT_FOUND ? 0 : r;
}

int steps_stop(struct steps *s, const struct step_key *key, enum step_stop_reason reason,
               enum step_answer *ret_answer, struct err *err)
{
    AUTO(close_fd) int dirfd = -1, lock_fd = -1;
    enum step_answer answer;
    struct step_outcome o;
    int r;

    if ((r = step_dir_make(s->jobs_fd, key, &dirfd, err)) == 0 &&
        (r = step_dir_look(dirfd, &answer, &o, &lock_fd, err)) == 0) {
        if (answer == STEP_RUNNING) {
            r = cancel(dirfd, reason, err);
        } else if (answer == STEP_NOT_BEGUN) {
            r = write_void(dirfd, err); /* under the lock */
            answer = STEP_VOID;
        }
    }
    if (r != 0)
        return err_wrap(err, "stop step %.150s/%d.%d", key->job_id, key->step, key->attempt);
    *ret_answer = answer;
    return 0;
}

int steps_open_output(struct steps *s, const struct step_key *key, enum step_stream stream,
                      int *ret_fd, struct err *err)
{
    AUTO(close_fd) int dirfd = -1;
    int fd, r = step_dir_open(s->jobs_fd, key, &dirfd, err);

    if (r < 0)
        return err_wrap(err, "output of step %.150s/%d.%d", key->job_id, key->step, key->attempt);
    fd = openat(dirfd, stream_files[stream], O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, ERR_IO, errno, "step %s/%d.%d: open %s", key->job_id, key->step,
                       key->attempt, stream_files[stream]);
    *ret_fd = fd;
    return 0;
}

int steps_read_output(struct steps *s, const struct step_key *key, enum step_stream stream,
                      size_t max_bytes, struct buf *ret_bytes, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    char chunk[4096];
    int r = steps_open_output(s, key, stream, &fd, err);

    if (r == ERR_NOT_FOUND)
        return 0;
    while (r == 0 && max_bytes > 0) {
        ssize_t n = read(fd, chunk, max_bytes < sizeof(chunk) ? max_bytes : sizeof(chunk));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, ERR_IO, errno, "step %s/%d.%d: read %s", key->job_id, key->step,
                           key->attempt, stream_files[stream]);
        if (n == 0)
            break;
        if (buf_add(ret_bytes, chunk, (size_t)n) < 0)
            return buf_error(ret_bytes, stream_files[stream], err);
        max_bytes -= (size_t)n;
    }
    return r;
}
