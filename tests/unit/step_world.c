/* A loop, a directory of jobs and real runners. */
#include "step_world.h"

#include <check.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/record.h"
#include "base/str.h"
#include "tests/lib/loop_until.h"

static void on_ended(void *ctx, const struct step_key *key, enum step_answer answer,
                     const struct step_outcome *outcome)
{
    struct world *w = ctx;

    w->n_ended++;
    w->answer = answer;
    w->outcome = *outcome;
    (void)str_copy(w->ended_job, sizeof(w->ended_job), key->job_id);
    uv_stop(&w->loop); /* a turn that began with this timer must not go on to wait */
}

static void new_steps(struct world *w, const char *boot_id, bool without_pidfd)
{
    struct steps_options options = {
        .jobs_dir = w->dir,
        .runner_path = RUNNER_PATH,
        .boot_id = boot_id,
        .events = {on_ended, w},
        .without_pidfd = without_pidfd,
    };
    struct err err;

    ck_assert_msg(steps_new(&w->loop, &options, &w->steps, &err) == 0, "%s", err.text);
}

void world_init(struct world *w, bool without_pidfd)
{
    *w = (struct world){0};
    strcpy(w->dir, "/tmp/ssmd-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(w->dir));
    ck_assert_int_eq(uv_loop_init(&w->loop), 0);
    new_steps(w, WORLD_BOOT_ID, without_pidfd);
}

void world_done(struct world *w)
{
    struct err err;

    steps_free(w->steps);
    ck_assert_int_eq(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(uv_loop_close(&w->loop), 0);
    ck_assert_msg(fs_remove_tree(AT_FDCWD, w->dir, &err) == 0, "%s", err.text);
}

void world_restart(struct world *w, const char *boot_id, bool without_pidfd)
{
    steps_free(w->steps);
    new_steps(w, boot_id, without_pidfd);
}

struct step_key world_key(const struct world_step *step)
{
    return (struct step_key){step->job != NULL ? step->job : "job", 1, 1};
}

void world_start(struct world *w, const struct world_step *step)
{
    const char *shell[] = {"sh", "-c", step->script, NULL};
    const char *program[] = {step->program, NULL};
    const char *env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "NAME=a value\nof %two lines", NULL};
    struct step_spec spec = {
        .key = world_key(step),
        .argv = step->program != NULL ? program : shell,
        .env = env,
        .cwd = step->cwd != NULL ? step->cwd : "/",
        .limit_ms = step->limit_ms != 0 ? step->limit_ms : 3600000,
        .grace_ms = step->grace_ms,
        .cap_bytes = step->cap_bytes != 0 ? step->cap_bytes : 1u << 20,
        .boot_id = WORLD_BOOT_ID,
        .failure_prefix = WORLD_PREFIX,
    };
    struct err err;

    ck_assert_msg(steps_start(w->steps, &spec, &err) == 0, "%s", err.text);
}

void world_attach(struct world *w, const struct world_step *step)
{
    struct step_key key = world_key(step);
    struct err err;

    ck_assert_msg(steps_attach(w->steps, &key, &err) == 0, "%s", err.text);
}

enum step_answer world_stop(struct world *w, const struct world_step *step,
                            enum step_stop_reason reason)
{
    struct step_key key = world_key(step);
    enum step_answer answer = STEP_LOST;
    struct err err;

    ck_assert_msg(steps_stop(w->steps, &key, reason, &answer, &err) == 0, "%s", err.text);
    return answer;
}

enum step_answer world_probe(struct world *w, const struct world_step *step)
{
    struct step_key key = world_key(step);
    enum step_answer answer = STEP_RUNNING;
    struct err err;

    ck_assert_msg(steps_probe(w->steps, &key, &answer, NULL, &err) == 0, "%s", err.text);
    return answer;
}

void world_wait(struct world *w, size_t n)
{
    size_t wanted = w->n_ended + n;

    LOOP_UNTIL(&w->loop, w->n_ended >= wanted);
}

void world_run(struct world *w, const struct world_step *step)
{
    world_start(w, step);
    world_wait(w, 1);
}

/* Until condition() holds: for things that send no event, like a line in a file. */
static void wait_until(struct world *w, bool (*condition)(void *ctx), void *ctx)
{
    LOOP_UNTIL(&w->loop, condition(ctx));
}

struct output_wait {
    struct world *w;
    const struct world_step *step;
    const char *text;
};

static bool has_output(void *ctx)
{
    struct output_wait *o = ctx;
    char *text = world_file(o->w, o->step, STEP_FILE_STDOUT);
    bool yes = strstr(text, o->text) != NULL;

    free(text);
    return yes;
}

void world_wait_output(struct world *w, const struct world_step *step, const char *text)
{
    struct output_wait o = {w, step, text};

    wait_until(w, has_output, &o);
}

static int open_step(struct world *w, const struct world_step *step)
{
    struct step_key key = world_key(step);
    char path[PATH_MAX];
    struct err err;
    int fd = -1;

    ck_assert_int_eq(steps_path(w->steps, &key, path, sizeof(path), &err), 0);
    ck_assert_msg(fs_make_path(path, &fd, &err) == 0, "%s", err.text);
    return fd;
}

char *world_file(struct world *w, const struct world_step *step, const char *name)
{
    AUTO(close_fd) int fd = open_step(w, step);
    struct buf b;
    struct err err;
    char *text;
    int r;

    buf_init(&b, 256u << 20);
    r = fs_read_file(fd, name, &b, &err);
    ck_assert_msg(r == 0 || r == ERR_NOT_FOUND, "%s", err.text);
    text = b.len > 0 ? buf_take(&b) : strdup("");
    ck_assert_ptr_nonnull(text);
    buf_done(&b);
    return text;
}

static void write_file(struct world *w, const struct world_step *step, const char *name,
                       const char *bytes, size_t n)
{
    AUTO(close_fd) int fd = open_step(w, step);
    struct err err;

    ck_assert_msg(fs_write_atomic(fd, name, bytes, n, 0600, false, &err) == 0, "%s", err.text);
}

void world_write_file(struct world *w, const struct world_step *step, const char *name,
                      const char *text)
{
    write_file(w, step, name, text, strlen(text));
}

void world_write_records(struct world *w, const struct world_step *step, const char *name,
                         const char *started, const char *exited)
{
    char bytes[STEP_EXIT_OFFSET + 4096] = {0};
    size_t n = strlen(exited);

    ck_assert_uint_le(n, sizeof(bytes) - STEP_EXIT_OFFSET);
    (void)strcpy(bytes, started);
    memcpy(bytes + STEP_EXIT_OFFSET, exited, n);
    write_file(w, step, name, bytes, STEP_EXIT_OFFSET + n);
}

void world_write_exit(struct world *w, const struct world_step *step, const char *text)
{
    world_write_records(w, step, STEP_FILE_EXIT, "", text);
}

pid_t world_runner_pid(struct world *w, const struct world_step *step)
{
    AUTO(free) char *text = world_file(w, step, STEP_FILE_STARTED);
    const char *line = strstr(text, "\n" STEP_KEY_RUNNER_PID "=");

    ck_assert_ptr_nonnull(line);
    return (pid_t)atol(strchr(line, '=') + 1);
}

/* Send `sig` (0: none) to all; how many there are. */
static size_t for_processes(const char *text, int sig)
{
    struct dirent *entry;
    DIR *dir = opendir("/proc");
    size_t n = 0;

    ck_assert_ptr_nonnull(dir);
    while ((entry = readdir(dir)) != NULL) {
        char path[300], line[4096];
        ssize_t k = 0, i;
        int fd;

        if (!isdigit((unsigned char)entry->d_name[0]) || atoi(entry->d_name) == getpid())
            continue;
        (void)snprintf(path, sizeof(path), "/proc/%s/cmdline", entry->d_name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0)
            k = read(fd, line, sizeof(line) - 1);
        for (i = 0; i < k; i++)
            line[i] = line[i] == '\0' ? ' ' : line[i];
        line[k > 0 ? k : 0] = '\0';
        if (fd >= 0)
            (void)close(fd);
        if (strstr(line, text) == NULL)
            continue;
        n++;
        if (sig != 0)
            (void)kill((pid_t)atol(entry->d_name), sig); /* it may have ended since */
    }
    (void)closedir(dir);
    return n;
}

size_t world_count_processes(const char *text)
{
    return for_processes(text, 0);
}

void world_kill_processes(const char *text)
{
    (void)for_processes(text, SIGKILL);
}

struct process_wait {
    const char *text;
    size_t n;
};

static bool has_processes(void *ctx)
{
    struct process_wait *p = ctx;

    return world_count_processes(p->text) == p->n;
}

void world_wait_processes(struct world *w, const char *text, size_t n)
{
    struct process_wait p = {text, n};

    wait_until(w, has_processes, &p);
}
