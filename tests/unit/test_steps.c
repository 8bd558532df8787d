/* The agent's half of running steps: restarts, stops, answers, many at once, with and without
 * pidfds. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/proctree.h"
#include "base/str.h"
#include "executors/cgroup.h"
#include "step_world.h"
#include "tests/lib/loop_until.h"

static struct world world;

static void setup(void)
{
    world_init(&world, false);
}

static void teardown(void)
{
    world_done(&world);
}

#define HOLD "echo ready; while [ ! -e go ]; do sleep 0.02; done; echo end; exit 7"

/* A script that ends when the file `go` is in the directory of jobs. */
static struct world_step holding(const char *job)
{
    return (struct world_step){.job = job, .script = HOLD, .cwd = world.dir};
}

static void let_go(void)
{
    char path[80];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/go", world.dir);
    fd = creat(path, 0600);
    ck_assert_int_ge(fd, 0);
    (void)close(fd);
}

/* --- answers --------------------------------------------------------------------------------- */

START_TEST(a_step_without_directory_has_not_begun)
{
    struct world_step step = {.script = "true"};

    ck_assert_int_eq(world_probe(&world, &step), STEP_NOT_BEGUN);
    world_attach(&world, &step);
    world_wait(&world, 1);
    ck_assert_int_eq(world.answer, STEP_NOT_BEGUN);
}
END_TEST

START_TEST(a_held_lock_means_running_whatever_else_is_there)
{
    struct world_step step = {.script = "true"};
    struct step_key key = world_key(&step);
    char path[PATH_MAX];
    struct err err;
    int fd;

    ck_assert_int_eq(steps_prepare(world.steps, &key, &err), 0);
    ck_assert_int_eq(steps_path(world.steps, &key, path, sizeof(path), &err), 0);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
    ck_assert_int_eq(world_probe(&world, &step), STEP_RUNNING);
    ck_assert_int_eq(world_stop(&world, &step, STEP_STOP_CANCELLED), STEP_RUNNING);
    (void)close(fd);
    ck_assert_int_eq(world_probe(&world, &step), STEP_NOT_BEGUN);
}
END_TEST

START_TEST(a_stop_before_the_start_voids_the_step_for_good)
{
    struct world_step step = {.script = "echo ran"};
    AUTO(free) char *text = NULL;

    ck_assert_int_eq(world_stop(&world, &step, STEP_STOP_CANCELLED), STEP_VOID);
    ck_assert_int_eq(world_stop(&world, &step, STEP_STOP_CANCELLED), STEP_VOID);
    ck_assert_int_eq(world_probe(&world, &step), STEP_VOID);
    world_run(&world, &step);
    ck_assert_int_eq(world.answer, STEP_VOID);
    text = world_file(&world, &step, STEP_FILE_STDOUT);
    ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(a_stop_right_after_the_start_ends_as_void_or_cancelled_and_never_runs_on)
{
    struct world_step step = {.script = "sleep 1000"};
    enum step_answer answer;

    world_start(&world, &step);
    answer = world_stop(&world, &step, STEP_STOP_CANCELLED);
    ck_assert(answer == STEP_VOID || answer == STEP_RUNNING);
    world_wait(&world, 1);
    if (answer == STEP_VOID) {
        ck_assert_int_eq(world.answer, STEP_VOID);
    } else {
        ck_assert_int_eq(world.answer, STEP_ENDED);
        ck_assert_int_eq(world.outcome.end, STEP_END_CANCELLED);
    }
}
END_TEST

START_TEST(a_stop_after_the_end_says_ended)
{
    struct world_step step = {.script = "true"};

    world_run(&world, &step);
    ck_assert_int_eq(world_stop(&world, &step, STEP_STOP_CANCELLED), STEP_ENDED);
    ck_assert_int_eq(world_probe(&world, &step), STEP_ENDED);
}
END_TEST

static const struct {
    const char *text;
    int is_newer;
} torn[] = {
    {"", 0},
    {"ssmd-record 1 exit\noutcome=exited\ncode=0\n", 0},
    {"ssmd-record 1 exit\noutcome=exited\ncode=0\nend\n", 0},
    {"ssmd-record 1 started\nend\n", 0},
    {"ssmd-record 99 exit\nend\n", 1},
};

START_TEST(an_exit_record_that_is_not_whole_is_no_evidence)
{
    struct world_step step = {.script = "true"};
    struct step_key key = world_key(&step);
    enum step_answer answer;
    struct err err;

    world_write_exit(&world, &step, torn[_i].text);
    if (torn[_i].is_newer) {
        ck_assert_int_eq(steps_probe(world.steps, &key, &answer, NULL, &err), ERR_NEWER);
        return;
    }
    ck_assert_int_eq(world_probe(&world, &step), STEP_LOST);
}
END_TEST

#define WHOLE_EXIT                                                                                 \
    "ssmd-record 1 exit\noutcome=exited\ncode=5\nsignal=0\nwait_status=1280\n"                     \
    "text=exit status 5\nboot_id=" WORLD_BOOT_ID "\nwas_started=1\nstarted_unix_ms=1\n"            \
    "started_boottime_ms=1\nended_unix_ms=2\nended_boottime_ms=2\nstdout_bytes=0\n"                \
    "stdout_total=0\nstdout_sha256=x\nstdout_bytes_at_stop=0\nstderr_bytes=0\nstderr_total=0\n"    \
    "stderr_sha256=x\nstderr_bytes_at_stop=0\nstderr_appended=0\noutput_lost=0\nunkilled=0\nend\n"

START_TEST(a_whole_record_of_the_end_counts_before_its_file_has_that_name)
{
    static const char started[] = "ssmd-record 1 started\nboot_id=" WORLD_BOOT_ID "\nend\n";
    struct world_step step = {.script = "true"};

    world_write_records(&world, &step, STEP_FILE_STARTED, started, WHOLE_EXIT);
    world_attach(&world, &step);
    world_wait(&world, 1);
    ck_assert_int_eq(world.answer, STEP_ENDED);
    ck_assert_int_eq(world.outcome.code, 5);
    step.job = "torn";
    world_write_records(&world, &step, STEP_FILE_STARTED, started, torn[1].text);
    ck_assert_int_eq(world_probe(&world, &step), STEP_LOST);
}
END_TEST

START_TEST(a_record_of_a_later_version_is_waited_out_and_not_judged)
{
    struct world_step step = {.script = "true"};

    world_write_exit(&world, &step, torn[ARRAY_LEN(torn) - 1].text);
    world_attach(&world, &step);
    (void)uv_run(&world.loop, UV_RUN_ONCE); /* the look */
    ck_assert_uint_eq(world.n_ended, 0);
    world_write_exit(&world, &step, WHOLE_EXIT);
    world_wait(&world, 1);
    ck_assert_int_eq(world.answer, STEP_ENDED);
}
END_TEST

/* --- restarts -------------------------------------------------------------------------------- */

START_TEST(a_restarted_agent_finds_a_running_step_and_its_true_end)
{
    struct world_step step = holding("job");

    world_start(&world, &step);
    world_wait_output(&world, &step, "ready\n");
    world_restart(&world, WORLD_BOOT_ID, _i == 1);
    ck_assert_uint_eq(steps_n_running(world.steps), 0);
    ck_assert_int_eq(world_probe(&world, &step), STEP_RUNNING);
    world_attach(&world, &step);
    ck_assert_uint_eq(steps_n_running(world.steps), 1);
    let_go();
    world_wait(&world, 1);
    ck_assert_int_eq(world.answer, STEP_ENDED);
    ck_assert_int_eq(world.outcome.code, 7);
    ck_assert_uint_eq(steps_n_running(world.steps), 0);
    if (_i == 0) { /* it was our child, and is no zombie now */
        ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
        ck_assert_int_eq(errno, ECHILD);
    }
}
END_TEST

START_TEST(a_restarted_agent_can_stop_a_running_step)
{
    struct world_step step = holding("job");

    world_start(&world, &step);
    world_wait_output(&world, &step, "ready\n");
    world_restart(&world, WORLD_BOOT_ID, _i == 1);
    world_attach(&world, &step);
    ck_assert_int_eq(world_stop(&world, &step, STEP_STOP_TIMED_OUT), STEP_RUNNING);
    world_wait(&world, 1);
    ck_assert_int_eq(world.answer, STEP_ENDED);
    ck_assert_int_eq(world.outcome.end, STEP_END_TIMED_OUT);
}
END_TEST

START_TEST(a_step_that_ended_meanwhile_is_told_when_attached)
{
    struct world_step step = {.script = "exit 3"};

    world_run(&world, &step);
    world_restart(&world, WORLD_BOOT_ID, false);
    world_attach(&world, &step);
    ck_assert_uint_eq(world.n_ended, 1); /* never from within the call */
    world_wait(&world, 1);
    ck_assert_int_eq(world.answer, STEP_ENDED);
    ck_assert_int_eq(world.outcome.code, 3);
}
END_TEST

START_TEST(a_start_of_what_runs_already_attaches_to_it)
{
    struct world_step step = holding("job");

    world_start(&world, &step);
    world_wait_output(&world, &step, "ready\n");
    world_restart(&world, WORLD_BOOT_ID, _i == 1);
    world_start(&world, &step);
    let_go();
    world_wait(&world, 1);
    ck_assert_int_eq(world.answer, STEP_ENDED);
    ck_assert_int_eq(world.outcome.code, 7);
}
END_TEST

START_TEST(remains_of_another_boot_are_left_alone)
{
    struct world_step step = {.script = "echo ready; exec sleep 1000"};
    AUTO(free) char *started = NULL;
    const char *p;
    pid_t pid;

    world_start(&world, &step);
    world_wait_output(&world, &step, "ready\n");
    world_restart(&world, "a-later-boot", false);
    started = world_file(&world, &step, STEP_FILE_STARTED);
    p = strstr(started, "\npid=");
    ck_assert_ptr_nonnull(p);
    pid = (pid_t)atol(p + 5);
    ck_assert_int_eq(kill(world_runner_pid(&world, &step), SIGKILL), 0);
    world_attach(&world, &step);
    world_wait(&world, 1);
    ck_assert_int_eq(world.answer, STEP_LOST);
    ck_assert_int_eq(kill(pid, 0), 0); /* that number may be anybody's after a reboot */
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
}
END_TEST

/* Finds the runner dead without pidfds, ours by SIGCHLD and another's by the second's look. */
START_TEST(a_runner_that_is_killed_is_noticed_without_pidfds)
{
    struct world_step step = holding("job");

    world_restart(&world, WORLD_BOOT_ID, true);
    world_start(&world, &step);
    world_wait_output(&world, &step, "ready\n");
    if (_i == 1) {
        world_restart(&world, WORLD_BOOT_ID, true);
        world_attach(&world, &step);
    }
    ck_assert_int_eq(kill(world_runner_pid(&world, &step), SIGKILL), 0);
    world_wait(&world, 1);
    ck_assert_int_eq(world.answer, STEP_LOST);
}
END_TEST

/* --- many, and the rest ---------------------------------------------------------------------- */

#define N_MANY 40

START_TEST(many_steps_run_at_once_and_each_is_told_once)
{
    char job[N_MANY][16];
    int i;

    for (i = 0; i < N_MANY; i++) {
        (void)snprintf(job[i], sizeof(job[i]), "job-%d", i);
        struct world_step step = holding(job[i]);

        world_start(&world, &step);
    }
    ck_assert_uint_eq(steps_n_running(world.steps), N_MANY);
    let_go();
    world_wait(&world, N_MANY);
    ck_assert_uint_eq(world.n_ended, N_MANY);
    ck_assert_uint_eq(steps_n_running(world.steps), 0);
    for (i = 0; i < N_MANY; i++) {
        struct world_step step = holding(job[i]);

        ck_assert_int_eq(world_probe(&world, &step), STEP_ENDED);
    }
}
END_TEST

static const struct {
    struct step_key key;
} bad_keys[] = {
    {{"", 1, 1}},     {{"..", 1, 1}},   {{"a/b", 1, 1}}, {{".hidden", 1, 1}},
    {{"job", -1, 1}}, {{"job", 1, -1}}, {{"a b", 1, 1}},
};

START_TEST(a_key_that_cannot_name_a_directory_is_refused)
{
    const struct step_key *key = &bad_keys[_i].key;
    enum step_answer answer;
    struct err err;

    ck_assert_int_eq(steps_probe(world.steps, key, &answer, NULL, &err), ERR_INVALID);
    ck_assert_int_eq(steps_attach(world.steps, key, &err), ERR_INVALID);
    ck_assert_int_eq(steps_stop(world.steps, key, STEP_STOP_CANCELLED, &answer, &err), ERR_INVALID);
}
END_TEST

START_TEST(a_step_is_watched_once)
{
    struct world_step step = holding("job");
    struct step_key key = world_key(&step);
    struct err err;

    world_start(&world, &step);
    ck_assert_int_eq(steps_attach(world.steps, &key, &err), ERR_EXISTS);
    let_go();
    world_wait(&world, 1);
}
END_TEST

START_TEST(output_is_read_up_to_what_is_asked_for)
{
    struct world_step step = {.script = "head -c 10000 /dev/zero | tr '\\0' x"};
    struct step_key key = world_key(&step);
    struct buf b;
    struct err err;

    buf_init(&b, 20000);
    ck_assert_int_eq(steps_read_output(world.steps, &key, STEP_STDOUT, 5000, &b, &err), 0);
    ck_assert_uint_eq(b.len, 0); /* nothing there yet */
    world_run(&world, &step);
    ck_assert_int_eq(steps_read_output(world.steps, &key, STEP_STDOUT, 5000, &b, &err), 0);
    ck_assert_uint_eq(b.len, 5000);
    buf_clear(&b);
    ck_assert_int_eq(steps_read_output(world.steps, &key, STEP_STDOUT, 15000, &b, &err), 0);
    ck_assert_uint_eq(b.len, 10000);
    buf_done(&b);
}
END_TEST

START_TEST(a_missing_runner_is_an_error_that_names_it)
{
    struct steps_options options = {
        .jobs_dir = world.dir, .runner_path = "/no/such/runner", .boot_id = WORLD_BOOT_ID};
    const char *argv[] = {"true", NULL}, *env[] = {NULL};
    struct step_spec spec = {
        .key = {"job", 1, 1}, .argv = argv, .env = env, .cwd = "/", .boot_id = WORLD_BOOT_ID};
    struct steps *steps;
    struct err err;

    ck_assert_int_eq(steps_new(&world.loop, &options, &steps, &err), 0);
    ck_assert_int_eq(steps_start(steps, &spec, &err), ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.text, "/no/such/runner"));
    ck_assert_uint_eq(steps_n_running(steps), 0);
    steps_free(steps);
}
END_TEST

START_TEST(the_script_file_is_private_and_executable)
{
    const char *argv[] = {"./_script.sh", NULL}, *env[] = {NULL};
    struct step_spec spec = {
        .key = {"job", 1, 1},
        .argv = argv,
        .env = env,
        .script_name = "_script.sh",
        .script = "#!/bin/sh\necho \"$0\"\n",
        .script_len = strlen("#!/bin/sh\necho \"$0\"\n"),
        .limit_ms = 60000,
        .cap_bytes = 1000,
        .boot_id = WORLD_BOOT_ID,
    };
    struct world_step step = {0};
    AUTO(free) char *text = NULL;
    char path[PATH_MAX];
    struct err err;
    struct stat st;

    ck_assert_int_eq(steps_path(world.steps, &spec.key, path, sizeof(path), &err), 0);
    spec.cwd = path;
    ck_assert_int_eq(steps_start(world.steps, &spec, &err), 0);
    world_wait(&world, 1);
    ck_assert_int_eq(world.outcome.code, 0);
    text = world_file(&world, &step, STEP_FILE_STDOUT);
    ck_assert_str_eq(text, "./_script.sh\n");
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0700);
    (void)strcat(path, "/_script.sh");
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0700);
}
END_TEST

/* --- the event may do anything --------------------------------------------------------------- */

static struct steps *freed_in_event;
static int n_events;

static void free_in_event(void *ctx, const struct step_key *key, enum step_answer answer,
                          const struct step_outcome *outcome)
{
    (void)ctx;
    (void)key;
    (void)answer;
    (void)outcome;
    n_events++;
    steps_free(freed_in_event);
    uv_stop(&world.loop);
}

START_TEST(the_event_may_free_everything)
{
    struct steps_options options = {.jobs_dir = world.dir,
                                    .runner_path = RUNNER_PATH,
                                    .boot_id = WORLD_BOOT_ID,
                                    .events = {free_in_event, NULL}};
    struct step_key keys[] = {{"a", 1, 1}, {"b", 1, 1}};
    struct err err;
    size_t i;

    n_events = 0;
    ck_assert_int_eq(steps_new(&world.loop, &options, &freed_in_event, &err), 0);
    for (i = 0; i < ARRAY_LEN(keys); i++)
        ck_assert_int_eq(steps_attach(freed_in_event, &keys[i], &err), 0);
    LOOP_UNTIL(&world.loop, n_events > 0);
    (void)uv_run(&world.loop, UV_RUN_NOWAIT);
    ck_assert_int_eq(n_events, 1);
}
END_TEST

/* --- cgroup and process table ---------------------------------------------------------------- */

#define V2 "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
#define HYBRID                                                                                     \
    "31 23 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n"                                            \
    "32 31 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"                     \
    "33 31 0:30 / /sys/fs/cgroup/unified rw shared:1 master:2 - cgroup2 cgroup2 rw\n"

static const struct {
    const char *own, *mounts, *path; /* NULL: none */
} groups[] = {
    {"0::/system.slice/ssmd.service\n", V2, "/sys/fs/cgroup/system.slice/ssmd.service"},
    {"0::/\n", V2, "/sys/fs/cgroup"},
    {"1:name=systemd:/x\n0::/y\n", HYBRID, "/sys/fs/cgroup/unified/y"},
    {"1:name=systemd:/x\n", HYBRID, NULL},
    {"0::/y\n", "31 23 0:28 / / rw - ext4 /dev/vda rw\n", NULL},
    /* a container that sees only its own part */
    {"0::/docker/abc/sub\n", "31 23 0:28 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
     "/sys/fs/cgroup/sub"},
    {"0::/docker/abcdef\n", "31 23 0:28 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
     NULL},
    {"", "", NULL},
    {"0::/y", "garbage - cgroup2 \n", NULL},
};

START_TEST(finds_its_control_group)
{
    char path[PATH_MAX] = "";
    struct err err;
    int r = cgroup_find(groups[_i].own, groups[_i].mounts, path, &err);

    if (groups[_i].path == NULL) {
        ck_assert_int_eq(r, ERR_UNSUPPORTED);
        return;
    }
    ck_assert_int_eq(r, 0);
    ck_assert_str_eq(path, groups[_i].path);
}
END_TEST

START_TEST(a_process_is_known_by_pid_and_start_time)
{
    struct proc self;
    struct err err;

    ck_assert_int_eq(proc_read(getpid(), &self, &err), 0);
    ck_assert_int_eq(self.ppid, getppid());
    ck_assert_int_eq(self.session, getsid(0));
    ck_assert(proc_is_alive(getpid(), self.start_time));
    ck_assert(!proc_is_alive(getpid(), self.start_time + 1));
    ck_assert_int_eq(proc_signal(getpid(), self.start_time + 1, SIGKILL, &err), ERR_NOT_FOUND);
    ck_assert_int_eq(proc_signal(getpid(), self.start_time, 0, &err), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("steps");
    SRunner *runner = srunner_create(s);
    TCase *t = tcase_create("steps"), *pure = tcase_create("pure");
    int n_failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_step_without_directory_has_not_begun);
    tcase_add_test(t, a_held_lock_means_running_whatever_else_is_there);
    tcase_add_test(t, a_stop_before_the_start_voids_the_step_for_good);
    tcase_add_loop_test(t, a_stop_right_after_the_start_ends_as_void_or_cancelled_and_never_runs_on,
                        0, 10);
    tcase_add_test(t, a_stop_after_the_end_says_ended);
    tcase_add_loop_test(t, an_exit_record_that_is_not_whole_is_no_evidence, 0, ARRAY_LEN(torn));
    tcase_add_test(t, a_whole_record_of_the_end_counts_before_its_file_has_that_name);
    tcase_add_test(t, a_record_of_a_later_version_is_waited_out_and_not_judged);
    tcase_add_loop_test(t, a_restarted_agent_finds_a_running_step_and_its_true_end, 0, 2);
    tcase_add_loop_test(t, a_restarted_agent_can_stop_a_running_step, 0, 2);
    tcase_add_test(t, a_step_that_ended_meanwhile_is_told_when_attached);
    tcase_add_loop_test(t, a_start_of_what_runs_already_attaches_to_it, 0, 2);
    tcase_add_test(t, remains_of_another_boot_are_left_alone);
    tcase_add_loop_test(t, a_runner_that_is_killed_is_noticed_without_pidfds, 0, 2);
    tcase_add_test(t, many_steps_run_at_once_and_each_is_told_once);
    tcase_add_loop_test(t, a_key_that_cannot_name_a_directory_is_refused, 0, ARRAY_LEN(bad_keys));
    tcase_add_test(t, a_step_is_watched_once);
    tcase_add_test(t, output_is_read_up_to_what_is_asked_for);
    tcase_add_test(t, a_missing_runner_is_an_error_that_names_it);
    tcase_add_test(t, the_script_file_is_private_and_executable);
    tcase_add_test(t, the_event_may_free_everything);
    tcase_add_loop_test(pure, finds_its_control_group, 0, ARRAY_LEN(groups));
    tcase_add_test(pure, a_process_is_known_by_pid_and_start_time);
    suite_add_tcase(s, t);
    suite_add_tcase(s, pure);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
