/* ssmd-runner with real processes: what it runs, how it stops it, and what it leaves behind. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/proctree.h"
#include "base/str.h"
#include "step_world.h"

static struct world world;
static char marker[32]; /* a command line that is only ours */
static char script[4096];

static void setup(void)
{
    world_init(&world, false);
    (void)snprintf(marker, sizeof(marker), "sleep 9%ld.25", (long)getpid());
}

static void teardown(void)
{
    world_done(&world);
}

/* The script's text with every @ replaced by the marker. */
static const char *with_marker(const char *text)
{
    size_t n = 0;

    for (; *text != '\0'; text++)
        n += (size_t)snprintf(script + n, sizeof(script) - n, *text == '@' ? "%s" : "%.1s",
                              *text == '@' ? marker : text);
    return script;
}

static void assert_file(const struct world_step *step, const char *name, const char *wanted)
{
    AUTO(free) char *text = world_file(&world, step, name);

    ck_assert_str_eq(text, wanted);
}

static UNUSED char *read_text(const char *path)
{
    struct buf b;
    char *text;

    buf_init(&b, 4096);
    if (fs_read_file(AT_FDCWD, path, &b, NULL) != 0)
        buf_clear(&b); /* not there */
    text = strdup(buf_str(&b));
    ck_assert_ptr_nonnull(text);
    buf_done(&b);
    return text;
}

/* --- how a step ends ------------------------------------------------------------------------- */

static const struct {
    const char *script;
    enum step_end end;
    int code, signal;
    const char *out, *err;
} ends[] = {
    {"true", STEP_END_EXITED, 0, 0, "", ""},
    {"echo out; echo err >&2", STEP_END_EXITED, 0, 0, "out\n", "err\n"},
    {"echo out; echo err >&2; exit 5", STEP_END_EXITED, 5, 0, "out\n",
     "err\n" WORLD_PREFIX "exit status 5"},
    {"exit 255", STEP_END_EXITED, 255, 0, "", WORLD_PREFIX "exit status 255"},
    {"exit 168", STEP_END_EXITED, 168, 0, "", WORLD_PREFIX "exit status 168"},
    {"exit 194", STEP_END_EXITED, 194, 0, "", ""},
    {"exit 137", STEP_END_EXITED, 137, 0, "", ""},
    {"kill -KILL $$", STEP_END_SIGNALED, -1, SIGKILL, "", WORLD_PREFIX "signal: killed"},
    {"kill -TERM $$", STEP_END_SIGNALED, -1, SIGTERM, "", WORLD_PREFIX "signal: terminated"},
    {"kill -HUP $$", STEP_END_SIGNALED, -1, SIGHUP, "", WORLD_PREFIX "signal: hangup"},
    {"kill -PIPE $$", STEP_END_SIGNALED, -1, SIGPIPE, "", WORLD_PREFIX "signal: broken pipe"},
    {"kill -USR1 $$", STEP_END_SIGNALED, -1, SIGUSR1, "",
     WORLD_PREFIX "signal: user defined signal 1"},
    {"kill -34 $$", STEP_END_SIGNALED, -1, 34, "", WORLD_PREFIX "signal: signal 34"},
    {"ulimit -c 0; kill -SEGV $$", STEP_END_SIGNALED, -1, SIGSEGV, "",
     WORLD_PREFIX "signal: segmentation fault"},
    {"exec >&- 2>&-; exit 3", STEP_END_EXITED, 3, 0, "", WORLD_PREFIX "exit status 3"},
    {"read x || echo eof", STEP_END_EXITED, 0, 0, "eof\n", ""},
    {"pwd; umask; printf '%s' \"$NAME\"", STEP_END_EXITED, 0, 0, "/\n0022\na value\nof %two lines",
     ""},
    /* a stranger in the environment, an open descriptor, an ignored or blocked signal */
    {"env | grep -c SSMD; ls /proc/self/fd | wc -l; grep -E 'Sig(Blk|Ign)' /proc/self/status | "
     "grep -vc 0000000000000000",
     STEP_END_EXITED, 1, 0, "0\n4\n0\n", WORLD_PREFIX "exit status 1"},
    {"ps -o sid= -p $$ | tr -d ' ' | grep -qx $$ && cat /proc/$$/oom_score_adj", STEP_END_EXITED, 0,
     0, "0\n", ""},
};

START_TEST(reports_how_a_script_ends)
{
    struct world_step step = {.script = ends[_i].script};

    world_run(&world, &step);
    ck_assert_int_eq(world.answer, STEP_ENDED);
    ck_assert_int_eq(world.outcome.end, ends[_i].end);
    ck_assert_int_eq(world.outcome.code, ends[_i].code);
    ck_assert_int_eq(world.outcome.signal, ends[_i].signal);
    ck_assert_int_eq(world.outcome.was_started, 1);
    ck_assert_str_eq(world.outcome.boot_id, WORLD_BOOT_ID);
    ck_assert_int_ge(world.outcome.ended_boottime_ms, world.outcome.started_boottime_ms);
    assert_file(&step, STEP_FILE_STDOUT, ends[_i].out);
    assert_file(&step, STEP_FILE_STDERR, ends[_i].err);
    ck_assert_uint_eq(world.outcome.out.bytes, strlen(ends[_i].out));
    ck_assert_uint_eq(world.outcome.err.bytes, strlen(ends[_i].err));
    ck_assert_uint_eq(world.outcome.err.bytes,
                      world.outcome.err.total + world.outcome.stderr_appended);
    ck_assert_uint_eq(world.outcome.err.at_stop, world.outcome.err.total);
}
END_TEST

static const struct {
    struct world_step step;
    const char *text;
} failures[] = {
    {{.script = "true", .cwd = "/no/such/dir"},
     "working directory /no/such/dir: No such file or directory"},
    {{.script = "true", .cwd = "/etc/passwd"}, "working directory /etc/passwd: Not a directory"},
    {{.program = "/no/such/program"}, "fork/exec /no/such/program: no such file or directory"},
    {{.program = "/etc/passwd"}, "fork/exec /etc/passwd: permission denied"},
};

START_TEST(names_what_could_not_be_started)
{
    char wanted[256];

    world_run(&world, &failures[_i].step);
    ck_assert_int_eq(world.answer, STEP_ENDED);
    ck_assert_int_eq(world.outcome.end, STEP_END_START_FAILED);
    ck_assert_int_eq(world.outcome.was_started, 0);
    ck_assert_str_eq(world.outcome.text, failures[_i].text);
    (void)snprintf(wanted, sizeof(wanted), "%s%s", WORLD_PREFIX, failures[_i].text);
    assert_file(&failures[_i].step, STEP_FILE_STDERR, wanted);
}
END_TEST

/* --- output ---------------------------------------------------------------------------------- */

START_TEST(keeps_output_up_to_the_cap_and_counts_the_rest)
{
    struct world_step step = {.script = "head -c 5000 /dev/zero | tr '\\0' x; echo e >&2",
                              .cap_bytes = 1000};
    AUTO(free) char *text = NULL;
    char hex[SHA256_HEX_SIZE];

    world_run(&world, &step);
    text = world_file(&world, &step, STEP_FILE_STDOUT);
    ck_assert_uint_eq(strlen(text), 1000);
    ck_assert_uint_eq(world.outcome.out.bytes, 1000);
    ck_assert_uint_eq(world.outcome.out.total, 5000);
    ck_assert_uint_eq(world.outcome.output_lost, 0);
    sha256_hex_of(text, strlen(text), hex);
    ck_assert_str_eq(world.outcome.out.sha256, hex);
    sha256_hex_of("e\n", 2, hex);
    ck_assert_str_eq(world.outcome.err.sha256, hex);
}
END_TEST

START_TEST(appends_the_failure_even_when_stderr_is_at_its_cap)
{
    struct world_step step = {.script = "echo 123456789 >&2; exit 4", .cap_bytes = 5};

    world_run(&world, &step);
    assert_file(&step, STEP_FILE_STDERR, "12345" WORLD_PREFIX "exit status 4");
    ck_assert_uint_eq(world.outcome.err.at_stop, 5);
}
END_TEST

START_TEST(passes_a_hundred_megabytes_without_holding_the_script_up)
{
    struct world_step step = {.script = "head -c 104857600 /dev/zero", .cap_bytes = 8u << 20};

    world_run(&world, &step);
    ck_assert_int_eq(world.outcome.code, 0);
    ck_assert_uint_eq(world.outcome.out.total, 104857600);
    ck_assert_uint_eq(world.outcome.out.bytes, 8u << 20);
}
END_TEST

START_TEST(waits_for_a_background_child_that_holds_the_output)
{
    struct world_step step = {.script = "(while [ ! -e go ]; do sleep 0.02; done; echo late) & "
                                        "echo early",
                              .cwd = NULL};
    char cwd[80];

    step.cwd = strcpy(cwd, world.dir);
    world_start(&world, &step);
    world_wait_output(&world, &step, "early\n");
    ck_assert_uint_eq(steps_n_running(world.steps), 1);
    ck_assert_int_eq(world_probe(&world, &step), STEP_RUNNING);
    (void)strcat(cwd, "/go");
    ck_assert_int_ge(creat(cwd, 0600), 0);
    cwd[strlen(world.dir)] = '\0';
    world_wait(&world, 1);
    assert_file(&step, STEP_FILE_STDOUT, "early\nlate\n");
}
END_TEST

START_TEST(leaves_a_detached_child_alive_at_a_normal_end)
{
    struct world_step step = {.script = with_marker("setsid @ >/dev/null 2>&1 & echo $!")};
    AUTO(free) char *text = NULL;

    world_run(&world, &step);
    ck_assert_int_eq(world.outcome.end, STEP_END_EXITED);
    world_wait_processes(&world, marker, 1); /* without a name while it becomes another program */
    text = world_file(&world, &step, STEP_FILE_STDOUT);
    ck_assert_int_eq(kill((pid_t)atol(text), SIGKILL), 0);
    world_wait_processes(&world, marker, 0);
}
END_TEST

START_TEST(a_full_disk_loses_output_and_nothing_else)
{
    struct world_step step = {.script = "head -c 3000000 /dev/zero; echo done >&2; exit 3",
                              .cap_bytes = 64u << 20};

    if (mount("tmpfs", world.dir, "tmpfs", 0, "size=256k,mode=0700") < 0)
        return; /* only root may mount; the file-size limit below covers the same code */
    world_restart(&world, WORLD_BOOT_ID, false);
    world_run(&world, &step);
    ck_assert_int_eq(world.answer, STEP_ENDED);
    ck_assert_int_eq(world.outcome.code, 3);
    ck_assert_uint_eq(world.outcome.out.total, 3000000);
    ck_assert_uint_lt(world.outcome.out.bytes, 256u << 10);
    ck_assert_uint_ge(world.outcome.output_lost, 3000000 - world.outcome.out.bytes);
    steps_free(world.steps);
    (void)uv_run(&world.loop, UV_RUN_NOWAIT);
    world.steps = NULL;
    ck_assert_int_eq(umount(world.dir), 0);
}
END_TEST

START_TEST(a_file_size_limit_loses_output_and_nothing_else)
{
    struct world_step step = {.script = "head -c 300000 /dev/zero; exit 3"};
    struct rlimit old, small;

    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){100000, old.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    world_start(&world, &step);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
    world_wait(&world, 1);
    ck_assert_int_eq(world.outcome.code, 3);
    ck_assert_uint_eq(world.outcome.out.bytes, 100000);
    ck_assert_uint_eq(world.outcome.output_lost, 200000);
    ck_assert_uint_eq(world.outcome.out.total, 300000);
}
END_TEST

START_TEST(does_not_begin_when_its_end_could_not_be_recorded)
{
    struct world_step step = {.script = "echo ran"};
    struct step_key key = world_key(&step);
    char path[PATH_MAX];
    struct err err;

    /* As a full disk: no space can be set aside for the exit record. */
    ck_assert_int_eq(steps_prepare(world.steps, &key, &err), 0);
    ck_assert_int_eq(steps_path(world.steps, &key, path, sizeof(path), &err), 0);
    (void)strcat(path, "/.started.tmp");
    ck_assert_int_eq(mkdir(path, 0700), 0);
    world_run(&world, &step);
    ck_assert_int_eq(world.answer, STEP_NOT_BEGUN);
    ck_assert_ptr_nonnull(strstr(world.outcome.text, "could not write its records"));
    ck_assert_int_eq(rmdir(path), 0);
    world_run(&world, &step); /* and later it can */
    ck_assert_int_eq(world.answer, STEP_ENDED);
    assert_file(&step, STEP_FILE_STDOUT, "ran\n");
}
END_TEST

START_TEST(an_exit_record_that_cannot_be_written_is_tried_until_it_can)
{
    struct world_step step = {.script =
                                  with_marker("rm started && mkdir -p started/x .exit.tmp/x && "
                                              "echo ready # @")};
    struct step_key key = world_key(&step);
    AUTO(close_fd) int dirfd = -1;
    char path[PATH_MAX];
    struct err err;

    ck_assert_int_eq(steps_path(world.steps, &key, path, sizeof(path), &err), 0);
    step.cwd = path;
    world_start(&world, &step);
    world_wait_output(&world, &step, "ready\n");
    world_wait_processes(&world, marker, 0);
    ck_assert_int_eq(world_probe(&world, &step), STEP_RUNNING); /* the lock is kept */
    ck_assert_uint_eq(world.n_ended, 0);
    ck_assert_int_eq(fs_open_dir(AT_FDCWD, path, &dirfd, &err), 0);
    ck_assert_int_eq(fs_remove_tree(dirfd, "started", &err), 0);
    ck_assert_int_eq(fs_remove_tree(dirfd, ".exit.tmp", &err), 0);
    world_wait(&world, 1);
    ck_assert_int_eq(world.answer, STEP_ENDED);
    ck_assert_int_eq(world.outcome.code, 0);
}
END_TEST

START_TEST(a_script_that_removes_its_own_records_is_lost_and_not_unbegun)
{
    static const char *const scripts[] = {"rm -rf ../1.1", "rm -rf ../../job", "rm started"};
    struct world_step step = {.script = scripts[_i]};
    struct step_key key = world_key(&step);
    char path[PATH_MAX];
    struct err err;

    ck_assert_int_eq(steps_path(world.steps, &key, path, sizeof(path), &err), 0);
    step.cwd = path;
    world_run(&world, &step);
    ck_assert_int_eq(world.answer, _i == 2 ? STEP_ENDED : STEP_LOST);
}
END_TEST

/* --- stopping -------------------------------------------------------------------------------- */

/* Each leaves processes with the marker, and says "ready" when they are there. */
static const char *const trees[] = {
    "echo ready; exec @",
    "@ & echo ready; wait",
    "@ & @ >/dev/null 2>&1 & echo ready; exit 0",
    "trap '' TERM INT HUP; @ & echo ready; wait; @",
    "setsid sh -c '@ & wait' & echo ready; wait",
    "setsid sh -c 'setsid sh -c \"trap \\\"\\\" TERM; @ & wait; @\" & echo ready; exit' & wait; @",
    "(trap '' TERM; (setsid @ >/dev/null 2>&1 &) & ); echo ready; @",
    "sh -c 'kill -STOP $$; @' & echo ready; @",
};

/* The tree has to stand when the time is over: on a busy machine that takes a longer limit. */
START_TEST(the_time_limit_ends_the_whole_tree)
{
    struct world_step step = {.script = with_marker(trees[_i]), .limit_ms = 300, .grace_ms = 50};
    AUTO(free) char *out = NULL;
    char job[32];

    step.job = job;
    for (; out == NULL || str_eq(out, ""); step.limit_ms *= 2) {
        free(TAKE(out));
        (void)snprintf(job, sizeof(job), "limit-%lld", (long long)step.limit_ms);
        world_run(&world, &step);
        ck_assert_int_eq(world.answer, STEP_ENDED);
        ck_assert_int_eq(world.outcome.end, STEP_END_TIMED_OUT);
        ck_assert_int_eq(world.outcome.code, -1);
        ck_assert_int_eq(world.outcome.unkilled, 0);
        ck_assert_int_ge(world.outcome.ended_boottime_ms - world.outcome.started_boottime_ms,
                         step.limit_ms);
        ck_assert_uint_eq(world_count_processes(marker), 0);
        assert_file(&step, STEP_FILE_STDERR, "");
        out = world_file(&world, &step, STEP_FILE_STDOUT);
    }
    ck_assert_str_eq(out, "ready\n");
}
END_TEST

START_TEST(a_cancel_ends_the_whole_tree)
{
    struct world_step step = {.script = with_marker(trees[_i]), .grace_ms = 50};

    world_start(&world, &step);
    world_wait_output(&world, &step, "ready\n");
    if (world.n_ended == 0)
        ck_assert_int_eq(world_stop(&world, &step, STEP_STOP_CANCELLED), STEP_RUNNING);
    world_wait(&world, 1);
    ck_assert_int_eq(world.answer, STEP_ENDED);
    ck_assert_int_eq(world.outcome.end, STEP_END_CANCELLED);
    ck_assert_int_eq(world.outcome.was_started, 1);
    ck_assert_uint_eq(world_count_processes(marker), 0);
}
END_TEST

START_TEST(a_stop_without_grace_kills_at_once)
{
    struct world_step step = {.script = with_marker("trap 'echo trapped' TERM; echo ready; @; @")};

    world_start(&world, &step);
    world_wait_output(&world, &step, "ready\n");
    ck_assert_int_eq(world_stop(&world, &step, STEP_STOP_TIMED_OUT), STEP_RUNNING);
    world_wait(&world, 1);
    ck_assert_int_eq(world.outcome.end, STEP_END_TIMED_OUT);
    ck_assert_int_eq(world.outcome.wait_status, SIGKILL);
    assert_file(&step, STEP_FILE_STDOUT, "ready\n");
}
END_TEST

START_TEST(marks_where_the_output_was_when_the_stop_began)
{
    /* "ready" only when sleep is executing: between fork and exec the shell's child drops signals
     */
    struct world_step step = {
        .script = with_marker("trap 'echo goodbye; exit 0' TERM; @ & "
                              "until grep -q sleep /proc/$!/comm; do :; done; echo ready; wait"),
        .grace_ms = 60000};

    world_start(&world, &step);
    world_wait_output(&world, &step, "ready\n");
    ck_assert_int_eq(world_stop(&world, &step, STEP_STOP_CANCELLED), STEP_RUNNING);
    world_wait(&world, 1);
    ck_assert_int_eq(world.outcome.end, STEP_END_CANCELLED);
    assert_file(&step, STEP_FILE_STDOUT, "ready\ngoodbye\n");
    ck_assert_uint_eq(world.outcome.out.at_stop, strlen("ready\n"));
    ck_assert_uint_eq(world.outcome.out.bytes, strlen("ready\ngoodbye\n"));
}
END_TEST

START_TEST(a_stop_does_not_wait_for_strangers_that_hold_the_pipes)
{
    struct world_step step = {.script = "echo ready; sleep 1000", .grace_ms = 0};
    char path[64];
    int fd;

    world_start(&world, &step);
    world_wait_output(&world, &step, "ready\n");
    {
        AUTO(free) char *started = world_file(&world, &step, STEP_FILE_STARTED);
        const char *pid = strstr(started, "\npid=");

        ck_assert_ptr_nonnull(pid);
        (void)snprintf(path, sizeof(path), "/proc/%ld/fd/1", atol(pid + 5));
    }
    fd = open(path, O_WRONLY | O_CLOEXEC); /* we, not a child of the runner, hold its pipe */
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(world_stop(&world, &step, STEP_STOP_CANCELLED), STEP_RUNNING);
    world_wait(&world, 1);
    ck_assert_int_eq(world.outcome.end, STEP_END_CANCELLED);
    (void)close(fd);
}
END_TEST

START_TEST(a_cancel_that_lies_there_keeps_the_script_from_starting)
{
    struct world_step step = {.script = "echo ran"};

    world_write_file(&world, &step, STEP_FILE_CANCEL,
                     "ssmd-record 1 cancel\nreason=cancelled\nend\n");
    world_run(&world, &step);
    ck_assert_int_eq(world.answer, STEP_ENDED);
    ck_assert_int_eq(world.outcome.end, STEP_END_CANCELLED);
    ck_assert_int_eq(world.outcome.was_started, 0);
    assert_file(&step, STEP_FILE_STDOUT, "");
}
END_TEST

START_TEST(ordinary_signals_do_not_end_the_runner)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGQUIT, SIGUSR1, SIGUSR2};
    struct world_step step = {
        .script = "echo ready; while [ ! -e go ]; do sleep 0.02; done; echo end", .cwd = world.dir};
    char go[80];
    size_t i;

    world_start(&world, &step);
    world_wait_output(&world, &step, "ready\n");
    for (i = 0; i < ARRAY_LEN(signals); i++)
        ck_assert_int_eq(kill(world_runner_pid(&world, &step), signals[i]), 0);
    (void)snprintf(go, sizeof(go), "%s/go", world.dir);
    ck_assert_int_ge(creat(go, 0600), 0);
    world_wait(&world, 1);
    ck_assert_int_eq(world.outcome.code, 0);
    assert_file(&step, STEP_FILE_STDOUT, "ready\nend\n");
}
END_TEST

/* --- never twice ----------------------------------------------------------------------------- */

static const char *const begun_files[] = {STEP_FILE_STARTED, STEP_FILE_EXIT, STEP_FILE_VOID};
static const char *const begun_texts[] = {"", "ssmd-record 1 started\npid=", "not a record"};

START_TEST(a_record_that_is_there_even_torn_forbids_a_start)
{
    struct world_step step = {.script = "echo ran"};
    const char *name = begun_files[(size_t)_i % ARRAY_LEN(begun_files)];
    enum step_answer wanted = str_eq(name, STEP_FILE_VOID) ? STEP_VOID : STEP_LOST;

    world_write_file(&world, &step, name, begun_texts[(size_t)_i / ARRAY_LEN(begun_files)]);
    world_run(&world, &step);
    ck_assert_int_eq(world.answer, wanted);
    ck_assert_int_eq(world_probe(&world, &step), wanted);
    assert_file(&step, STEP_FILE_STDOUT, "");
}
END_TEST

#define WHOLE_START "ssmd-record 1 started\npid=4711\nboot_id=" WORLD_BOOT_ID "\nend\n"

START_TEST(a_whole_record_of_the_start_counts_before_its_file_has_that_name)
{
    struct world_step step = {.script = "echo ran"};

    world_write_file(&world, &step, STEP_FILE_STARTED_TEMP, WHOLE_START);
    world_run(&world, &step);
    ck_assert_int_eq(world.answer, STEP_LOST);
    ck_assert_str_eq(world.outcome.boot_id, WORLD_BOOT_ID);
    ck_assert_int_eq(world_probe(&world, &step), STEP_LOST);
    assert_file(&step, STEP_FILE_STDOUT, "");
}
END_TEST

static const char *const torn_starts[] = {"", "ssmd-record 1 started\npid=47", "not a record"};

START_TEST(a_torn_record_of_the_start_that_was_never_synced_forbids_nothing)
{
    struct world_step step = {.script = "echo ran"};

    world_write_file(&world, &step, STEP_FILE_STARTED_TEMP, torn_starts[_i]);
    ck_assert_int_eq(world_probe(&world, &step), STEP_NOT_BEGUN);
    world_run(&world, &step);
    ck_assert_int_eq(world.answer, STEP_ENDED);
    assert_file(&step, STEP_FILE_STDOUT, "ran\n");
}
END_TEST

static int run_runner(const char *dir, const char *spec)
{
    int status, spec_pipe[2];
    pid_t pid;

    ck_assert_int_eq(pipe(spec_pipe), 0);
    ck_assert_int_eq(write(spec_pipe[1], spec, strlen(spec)), (ssize_t)strlen(spec)); /* fits */
    (void)close(spec_pipe[1]);
    pid = fork();
    if (pid == 0) {
        (void)dup2(spec_pipe[0], STDIN_FILENO);
        (void)close(STDERR_FILENO); /* its complaint is expected */
        (void)execl(RUNNER_PATH, RUNNER_PATH, dir, (char *)NULL);
        _exit(99);
    }
    ck_assert_int_gt(pid, 0);
    (void)close(spec_pipe[0]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

START_TEST(refusals_have_statuses_of_their_own)
{
    struct world_step step = {.script = "echo ready; sleep 1000"};
    struct step_key key = world_key(&step);
    char path[PATH_MAX];
    struct err err;

    ck_assert_int_eq(steps_path(world.steps, &key, path, sizeof(path), &err), 0);
    ck_assert_int_eq(run_runner(path, ""), RUNNER_SYSTEM); /* no such directory */
    world_start(&world, &step);
    world_wait_output(&world, &step, "ready\n");
    ck_assert_int_eq(run_runner(path, ""), RUNNER_HELD);
    ck_assert_int_eq(world_stop(&world, &step, STEP_STOP_CANCELLED), STEP_RUNNING);
    world_wait(&world, 1);
    ck_assert_int_eq(run_runner(path, ""), RUNNER_BEGUN);
    step.job = "other";
    key = world_key(&step);
    ck_assert_int_eq(steps_prepare(world.steps, &key, &err), 0);
    ck_assert_int_eq(steps_path(world.steps, &key, path, sizeof(path), &err), 0);
    ck_assert_int_eq(run_runner(path, "ssmd-record 1 spec\nargv=tr"), RUNNER_BAD_SPEC);
    ck_assert_int_eq(world_probe(&world, &step), STEP_NOT_BEGUN);
    ck_assert_int_eq(run_runner("/dev/null", ""), RUNNER_SYSTEM);
}
END_TEST

START_TEST(a_killed_runner_leaves_a_lost_step_and_no_processes)
{
    struct world_step step = {.script = with_marker(trees[_i])};
    AUTO(free) char *started = NULL;

    world_start(&world, &step);
    world_wait_output(&world, &step, "ready\n");
    ck_assert_int_eq(kill(world_runner_pid(&world, &step), SIGKILL), 0);
    world_wait(&world, 1);
    ck_assert_int_eq(world.answer, STEP_LOST);
    ck_assert_int_gt(world.outcome.started_unix_ms, 0);
    ck_assert_str_eq(world.outcome.boot_id, WORLD_BOOT_ID);
    ck_assert_int_eq(world_probe(&world, &step), STEP_LOST);
    /* Without a control group, who left the session cannot be found any more. */
    started = world_file(&world, &step, STEP_FILE_STARTED);
    if (strstr(started, "\ncgroup=") != NULL)
        ck_assert_uint_eq(world_count_processes(marker), 0);
    world_kill_processes(marker);
}
END_TEST

START_TEST(a_killed_runner_leaves_no_processes_of_its_session)
{
    struct world_step step = {.script = with_marker("trap '' TERM; @ & @ & echo ready; wait; @")};

    world_start(&world, &step);
    world_wait_output(&world, &step, "ready\n");
    ck_assert_int_eq(kill(world_runner_pid(&world, &step), SIGKILL), 0);
    world_wait(&world, 1);
    ck_assert_int_eq(world.answer, STEP_LOST);
    ck_assert_int_eq(world.outcome.unkilled, 0);
    ck_assert_uint_eq(world_count_processes(marker), 0);
}
END_TEST

#ifdef SSMD_CRASHPOINTS
#define N_CRASHES 6 /* one more than the runner has places to die at */

/* The answer may be any, but it must be true: what is told as not begun did not run, what has begun
 * is not run again, and only an exit record counts as an end. */
START_TEST(a_runner_that_dies_anywhere_never_runs_its_script_twice)
{
    struct world_step step = {.script = "echo ran >> ran; echo out", .cwd = world.dir};
    AUTO(free) char *first = NULL, *second = NULL;
    char number[16], path[80];
    enum step_answer answer;

    (void)snprintf(number, sizeof(number), "%d", _i + 1);
    (void)snprintf(path, sizeof(path), "%s/ran", world.dir);
    ck_assert_int_eq(setenv("RUNNER_SSMD_CRASH_AT", number, 1), 0);
    world_run(&world, &step);
    ck_assert_int_eq(unsetenv("RUNNER_SSMD_CRASH_AT"), 0);
    answer = world.answer;
    first = read_text(path);
    world_run(&world, &step);
    second = read_text(path);
    switch (answer) {
    case STEP_NOT_BEGUN:
        ck_assert_str_eq(first, "");
        ck_assert_int_eq(world.answer, STEP_ENDED);
        ck_assert_str_eq(second, "ran\n");
        break;
    case STEP_ENDED:
        ck_assert_str_eq(first, "ran\n");
        ck_assert_int_eq(world.answer, STEP_ENDED);
        ck_assert_str_eq(second, "ran\n");
        break;
    case STEP_LOST:
        ck_assert_int_eq(world.answer, STEP_LOST);
        ck_assert_str_eq(second, first);
        break;
    case STEP_RUNNING:
    case STEP_VOID:
        ck_abort_msg("answer %d", (int)answer);
    }
    if (_i == N_CRASHES - 1)
        ck_assert_int_eq(answer, STEP_ENDED);
}
END_TEST
#endif

START_TEST(costs_little_memory)
{
    struct world_step step = {.script = "head -c 100000 /dev/zero >&2; echo ready; sleep 1000"};
    char path[64], line[256];
    long kb, sum = 0;
    FILE *f;

    world_start(&world, &step);
    world_wait_output(&world, &step, "ready\n");
    (void)snprintf(path, sizeof(path), "/proc/%ld/smaps_rollup",
                   (long)world_runner_pid(&world, &step));
    f = fopen(path, "re");
    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof(line), f) != NULL)
        if (sscanf(line, "Private_Clean: %ld kB", &kb) == 1 ||
            sscanf(line, "Private_Dirty: %ld kB", &kb) == 1)
            sum += kb;
    (void)fclose(f);
#ifndef __SANITIZE_ADDRESS__
    ck_assert_int_lt(sum, 1024);
#endif
    ck_assert_int_gt(sum, 0);
    ck_assert_int_eq(world_stop(&world, &step, STEP_STOP_CANCELLED), STEP_RUNNING);
    world_wait(&world, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("runner");
    SRunner *runner = srunner_create(s);
    TCase *t = tcase_create("runner");
    int n_failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, reports_how_a_script_ends, 0, ARRAY_LEN(ends));
    tcase_add_loop_test(t, names_what_could_not_be_started, 0, ARRAY_LEN(failures));
    tcase_add_test(t, keeps_output_up_to_the_cap_and_counts_the_rest);
    tcase_add_test(t, appends_the_failure_even_when_stderr_is_at_its_cap);
    tcase_add_test(t, passes_a_hundred_megabytes_without_holding_the_script_up);
    tcase_add_test(t, waits_for_a_background_child_that_holds_the_output);
    tcase_add_test(t, leaves_a_detached_child_alive_at_a_normal_end);
    tcase_add_test(t, a_full_disk_loses_output_and_nothing_else);
    tcase_add_test(t, a_file_size_limit_loses_output_and_nothing_else);
    tcase_add_test(t, does_not_begin_when_its_end_could_not_be_recorded);
    tcase_add_test(t, an_exit_record_that_cannot_be_written_is_tried_until_it_can);
    tcase_add_loop_test(t, a_script_that_removes_its_own_records_is_lost_and_not_unbegun, 0, 3);
    tcase_add_loop_test(t, the_time_limit_ends_the_whole_tree, 0, ARRAY_LEN(trees));
    tcase_add_loop_test(t, a_cancel_ends_the_whole_tree, 0, ARRAY_LEN(trees));
    tcase_add_test(t, a_stop_without_grace_kills_at_once);
    tcase_add_test(t, marks_where_the_output_was_when_the_stop_began);
    tcase_add_test(t, a_stop_does_not_wait_for_strangers_that_hold_the_pipes);
    tcase_add_test(t, a_cancel_that_lies_there_keeps_the_script_from_starting);
    tcase_add_test(t, ordinary_signals_do_not_end_the_runner);
    tcase_add_loop_test(t, a_record_that_is_there_even_torn_forbids_a_start, 0,
                        ARRAY_LEN(begun_files) * ARRAY_LEN(begun_texts));
    tcase_add_test(t, a_whole_record_of_the_start_counts_before_its_file_has_that_name);
    tcase_add_loop_test(t, a_torn_record_of_the_start_that_was_never_synced_forbids_nothing, 0,
                        ARRAY_LEN(torn_starts));
    tcase_add_test(t, refusals_have_statuses_of_their_own);
    tcase_add_loop_test(t, a_killed_runner_leaves_a_lost_step_and_no_processes, 0,
                        ARRAY_LEN(trees));
    tcase_add_test(t, a_killed_runner_leaves_no_processes_of_its_session);
#ifdef SSMD_CRASHPOINTS
    tcase_add_loop_test(t, a_runner_that_dies_anywhere_never_runs_its_script_twice, 0, N_CRASHES);
#endif
    tcase_add_test(t, costs_little_memory);
    suite_add_tcase(s, t);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
