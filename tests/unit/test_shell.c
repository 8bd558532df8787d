/* From the inputs of a script plugin to a process, and from its end to a status. */
#include <check.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "executors/shell.h"
#include "step_world.h"

static struct world world;

static void setup(void)
{
    world_init(&world, false);
}

static void teardown(void)
{
    world_done(&world);
}

static struct shell_spec *make(const struct shell_request *request, struct step_spec *ret_spec)
{
    struct shell_request q = *request;
    struct shell_spec *s = NULL;
    struct err err;

    if (q.script == NULL)
        q.script = "\n";
    q.script_len = strlen(q.script);
    if (q.step_dir == NULL)
        q.step_dir = "/jobs/j/1.1";
    ck_assert_msg(shell_make_spec(&q, &s, &err) == 0, "%s", err.text);
    *ret_spec = (struct step_spec){.key = {"job", 1, 1}, .boot_id = WORLD_BOOT_ID};
    shell_spec_fill(s, ret_spec);
    return s;
}

/* argv as one text, words between bars. */
static void join(const char *const *argv, char *ret, size_t size)
{
    size_t n = 0;

    for (ret[0] = '\0'; *argv != NULL; argv++)
        n += (size_t)snprintf(ret + n, size - n, "%s|", *argv);
}

/* --- command line ---------------------------------------------------------------------------- */

static const struct {
    struct shell_request q;
    const char *argv;
} commands[] = {
    {{.script = "#!/bin/bash\n"}, "sh|-c|'/jobs/j/1.1/_script.sh'|"},
    {{.step_dir = "/a b/it's/$x;&"}, "sh|-c|'/a b/it'\\''s/$x;&/_script.sh'|"},
    {{.is_noexec = true, .script = "echo\n"}, "sh|-c|'sh' '/jobs/j/1.1/_script.sh'|"},
    {{.is_noexec = true, .script = "#!/bin/bash\nx\n"},
     "sh|-c|'/bin/bash' '/jobs/j/1.1/_script.sh'|"},
    {{.is_noexec = true, .script = "#! \t/usr/bin/env  python3 -u \nx"},
     "sh|-c|'/usr/bin/env' 'python3 -u' '/jobs/j/1.1/_script.sh'|"},
    {{.is_noexec = true, .script = "#!/bin/sh"}, "sh|-c|'/bin/sh' '/jobs/j/1.1/_script.sh'|"},
    {{.is_noexec = true, .script = "#!\nx"}, "sh|-c|'sh' '/jobs/j/1.1/_script.sh'|"},
    {{.is_noexec = true, .script = "#!/x;rm 'y\n"},
     "sh|-c|'/x;rm' ''\\''y' '/jobs/j/1.1/_script.sh'|"},
    {{.is_noexec = true, .script = "#"}, "sh|-c|'sh' '/jobs/j/1.1/_script.sh'|"},
    {{.is_noexec = true, .script = "\n#!/bin/bash\n"}, "sh|-c|'sh' '/jobs/j/1.1/_script.sh'|"},
    {{.kind = SHELL_POWERSHELL, .powershell = "/usr/bin/pwsh"},
     "/usr/bin/pwsh|-f|/jobs/j/1.1/_script.ps1|"},
};

START_TEST(builds_the_command_line)
{
    struct step_spec spec;
    AUTO(shell_spec_free) UNUSED struct shell_spec *s = make(&commands[_i].q, &spec);
    char argv[1024];

    join(spec.argv, argv, sizeof(argv));
    ck_assert_str_eq(argv, commands[_i].argv);
}
END_TEST

START_TEST(a_powershell_script_begins_with_a_byte_order_mark)
{
    struct shell_request q = {
        .kind = SHELL_POWERSHELL, .powershell = "/usr/bin/pwsh", .script = "exit 1\n"};
    struct step_spec spec;
    AUTO(shell_spec_free) UNUSED struct shell_spec *s = make(&q, &spec);

    ck_assert_uint_eq(spec.script_len, 10);
    ck_assert_mem_eq(spec.script,
                     "\xEF\xBB\xBF"
                     "exit 1\n",
                     10);
}
END_TEST

static const struct {
    int64_t timeout_s, limit_ms;
} limits[] = {
    {0, 3600000},        {4, 3600000},      {5, 5000},     {60, 60000},
    {172800, 172800000}, {172801, 3600000}, {-1, 3600000}, {INT64_MAX, 3600000},
};

START_TEST(a_limit_out_of_bounds_becomes_an_hour)
{
    struct shell_request q = {.timeout_s = limits[_i].timeout_s, .grace_ms = -1};
    struct step_spec spec;
    AUTO(shell_spec_free) UNUSED struct shell_spec *s = make(&q, &spec);

    ck_assert_int_eq(spec.limit_ms, limits[_i].limit_ms);
    ck_assert_int_eq(spec.grace_ms, SHELL_GRACE_MS);
    ck_assert_uint_eq(spec.cap_bytes, SHELL_DEFAULT_CAP_BYTES);
}
END_TEST

/* --- environment ----------------------------------------------------------------------------- */

static const char *get(const struct step_spec *spec, const char *name)
{
    const char *const *p, *value = NULL;
    size_t n = strlen(name);
    int n_found = 0;

    for (p = spec->env; *p != NULL; p++)
        if (strncmp(*p, name, n) == 0 && (*p)[n] == '=') {
            value = *p + n + 1;
            n_found++;
        }
    ck_assert_int_le(n_found, 1); /* each name once */
    return value;
}

START_TEST(a_later_variable_wins_and_ours_come_last)
{
    static const char *const base[] = {"PATH=/bin",
                                       "A=base",
                                       "TERM=xterm",
                                       "SSM_COMMAND_ID=b",
                                       "TERMINAL=kept",
                                       "A=twice",
                                       "AWS_ACCESS_KEY_ID=the agent's own",
                                       "AWS_SECRET_ACCESS_KEY=the agent's own",
                                       "AWS_SESSION_TOKEN=the agent's own",
                                       "AWS_REGION=kept",
                                       NULL};
    static const struct shell_variable own[] = {{"A", "own"},
                                                {"B", ""},
                                                {"SSM_COMMAND_ID", "forged"},
                                                {"AWS_SSM_INSTANCE_ID", "forged"},
                                                {"AWS_SESSION_TOKEN", "the step's"},
                                                {"AWS_PROFILE", "mine"}};
    struct shell_request q = {
        .kind = _i == 0 ? SHELL_SH : SHELL_POWERSHELL,
        .base_environment = base,
        .environment = own,
        .n_environment = ARRAY_LEN(own),
        .command_id = "c-1",
        .instance_id = "i-1",
        .region = "eu-west-1",
        .platform_name = "Ubuntu",
        .platform_version = "22.04",
    };
    struct step_spec spec;
    AUTO(shell_spec_free) UNUSED struct shell_spec *s = make(&q, &spec);

    ck_assert_str_eq(get(&spec, "PATH"), "/bin");
    ck_assert_str_eq(get(&spec, "A"), "own");
    ck_assert_str_eq(get(&spec, "B"), "");
    ck_assert_str_eq(get(&spec, "SSM_COMMAND_ID"), "c-1");
    ck_assert_str_eq(get(&spec, "AWS_SSM_INSTANCE_ID"), "i-1");
    ck_assert_str_eq(get(&spec, "AWS_SSM_REGION_NAME"), "eu-west-1");
    ck_assert_str_eq(get(&spec, "AWS_SSM_PLATFORM_NAME"), "Ubuntu");
    ck_assert_str_eq(get(&spec, "AWS_SSM_PLATFORM_VERSION"), "22.04");
    ck_assert_str_eq(get(&spec, "AWS_PROFILE"), "mine"); /* nothing of ours to put there */
    ck_assert_ptr_null(get(&spec, "AWS_SHARED_CREDENTIALS_FILE"));
    ck_assert_str_eq(get(&spec, "TERMINAL"), "kept");
    ck_assert_str_eq(get(&spec, "AWS_REGION"), "kept");
    ck_assert_ptr_null(get(&spec, "AWS_ACCESS_KEY_ID"));
    ck_assert_ptr_null(get(&spec, "AWS_SECRET_ACCESS_KEY"));
    ck_assert_str_eq(get(&spec, "AWS_SESSION_TOKEN"), "the step's");
    if (_i == 0) {
        ck_assert_str_eq(get(&spec, "TERM"), "xterm");
        ck_assert_ptr_null(get(&spec, "HOME"));
    } else {
        ck_assert_ptr_null(get(&spec, "TERM"));
        ck_assert_str_eq(get(&spec, "HOME"), "/");
    }
}
END_TEST

START_TEST(an_empty_environment_is_empty)
{
    struct shell_request q = {0};
    struct step_spec spec;
    AUTO(shell_spec_free) UNUSED struct shell_spec *s = make(&q, &spec);

    ck_assert_ptr_null(spec.env[0]);
}
END_TEST

/* --- working directory ----------------------------------------------------------------------- */

static const struct {
    const char *wanted, *cwd; /* %: the directory of downloads */
} directories[] = {
    {"/no/such", "/no/such"}, {"", "%"},     {"sub", "%/sub"},
    {"missing", "/"},         {"file", "/"}, {NULL, "%"},
};

START_TEST(a_relative_directory_is_one_of_the_downloads_or_the_root)
{
    char downloads[80], path[120], wanted[120];
    struct shell_request q = {.working_directory = directories[_i].wanted,
                              .downloads_dir = downloads};
    struct step_spec spec;
    const char *cwd = directories[_i].cwd;

    (void)snprintf(downloads, sizeof(downloads), "%s/downloads", world.dir);
    {
        AUTO(shell_spec_free) UNUSED struct shell_spec *s = make(&q, &spec);

        if (cwd[0] == '%')
            ck_assert_str_eq(spec.cwd, "/"); /* nothing downloaded yet */
    }
    ck_assert_int_eq(mkdir(downloads, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/sub", downloads);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/file", downloads);
    ck_assert_int_eq(close(creat(path, 0600)), 0);
    AUTO(shell_spec_free) UNUSED struct shell_spec *s = make(&q, &spec);

    if (cwd[0] == '%')
        (void)snprintf(wanted, sizeof(wanted), "%s%s", downloads, cwd + 1);
    else
        (void)snprintf(wanted, sizeof(wanted), "%s", cwd);
    ck_assert_str_eq(spec.cwd, wanted);
}
END_TEST

/* --- results --------------------------------------------------------------------------------- */

static const struct {
    struct step_outcome o;
    const char *status;
    int code;
    uint64_t stderr_bytes;
} results[] = {
    {{.end = STEP_END_EXITED, .code = 0}, "Success", 0, 50},
    {{.end = STEP_END_EXITED, .code = 1}, "Failed", 1, 50},
    {{.end = STEP_END_EXITED, .code = 143}, "Failed", 143, 50},
    {{.end = STEP_END_EXITED, .code = 194}, "SuccessAndReboot", 194, 50},
    {{.end = STEP_END_EXITED, .code = 168}, "Success", 168, 40},
    {{.end = STEP_END_EXITED, .code = 169}, "Failed", 169, 50},
    {{.end = STEP_END_EXITED, .code = 137}, "TimedOut", 137, 50},
    {{.end = STEP_END_SIGNALED, .code = -1, .signal = 9}, "Failed", -1, 50},
    {{.end = STEP_END_TIMED_OUT, .code = -1, .was_started = 1}, "TimedOut", 137, 30},
    {{.end = STEP_END_CANCELLED, .code = -1, .was_started = 1}, "Cancelled", 137, 30},
    {{.end = STEP_END_CANCELLED, .code = -1, .was_started = 0}, "Cancelled", 1, 30},
    {{.end = STEP_END_START_FAILED, .code = -1}, "Failed", 1, 50},
};

START_TEST(an_outcome_has_the_status_that_users_know)
{
    struct step_outcome o = results[_i].o;
    struct shell_result r;

    o.err = (struct step_stream_outcome){.bytes = 50, .at_stop = 30};
    o.stderr_appended = 10;
    r = shell_result_of(&o);
    ck_assert_str_eq(r.status, results[_i].status);
    ck_assert_int_eq(r.code, results[_i].code);
    ck_assert_uint_eq(r.stderr_bytes, results[_i].stderr_bytes);
}
END_TEST

/* --- all together ---------------------------------------------------------------------------- */

static const char *const runnable_base[] = {"PATH=/usr/bin:/bin", NULL};

static struct shell_result run(const char *text, bool is_noexec, char **ret_out, char **ret_err)
{
    struct step_key key = {"job", 1, 1};
    struct world_step step = {0};
    struct shell_request q = {
        .script = text, .is_noexec = is_noexec, .base_environment = runnable_base, .grace_ms = -1};
    struct step_spec spec;
    char path[PATH_MAX];
    struct err err;

    ck_assert_int_eq(steps_path(world.steps, &key, path, sizeof(path), &err), 0);
    q.step_dir = path;
    AUTO(shell_spec_free) UNUSED struct shell_spec *s = make(&q, &spec);

    ck_assert_msg(steps_start(world.steps, &spec, &err) == 0, "%s", err.text);
    world_wait(&world, 1);
    ck_assert_int_eq(world.answer, STEP_ENDED);
    *ret_out = world_file(&world, &step, STEP_FILE_STDOUT);
    *ret_err = world_file(&world, &step, STEP_FILE_STDERR);
    return shell_result_of(&world.outcome);
}

static const struct {
    const char *script, *out, *err, *status;
    int code;
} scripts[] = {
    {"echo out\necho err >&2\nexit 5\n", "out\n", "err\nfailed to run commands: exit status 5",
     "Failed", 5},
    {"#!/bin/bash\n[[ a == a ]] && echo ${BASH_VERSION:+bash}\n", "bash\n", "", "Success", 0},
    {"false\ntrue\n", "", "", "Success", 0},
    {"\n", "", "", "Success", 0},
    {"echo ${0##*/} $# $(pwd)\n", "_script.sh 0 /\n", "", "Success", 0},
    {"kill -9 $$\n", "", NULL, NULL, 0},
};

START_TEST(runs_a_script_as_users_know_it)
{
    AUTO(free) char *out = NULL, *errors = NULL;
    struct shell_result r = run(scripts[_i / 2].script, _i % 2 == 1, &out, &errors);

    if (scripts[_i / 2].status == NULL) {
        /* Depends on whether sh executes the file itself or through a child: both are known. */
        ck_assert(r.code == 137 || r.code == -1);
        return;
    }
    ck_assert_str_eq(out, scripts[_i / 2].out);
    ck_assert_str_eq(errors, scripts[_i / 2].err);
    ck_assert_str_eq(r.status, scripts[_i / 2].status);
    ck_assert_int_eq(r.code, scripts[_i / 2].code);
}
END_TEST

START_TEST(runs_where_nothing_may_be_executed)
{
    AUTO(free) char *out = NULL, *errors = NULL;
    struct shell_result r;

    if (mount("tmpfs", world.dir, "tmpfs", MS_NOEXEC, "size=1m,mode=0700") < 0)
        return; /* only root may mount; the command line is tested without it */
    world_restart(&world, WORLD_BOOT_ID, false);
    ck_assert(shell_is_noexec(world.dir));
    r = run("#!/bin/bash\necho here\n", shell_is_noexec(world.dir), &out, &errors);
    ck_assert_str_eq(r.status, "Success");
    ck_assert_str_eq(out, "here\n");
    steps_free(world.steps);
    world.steps = NULL;
    (void)uv_run(&world.loop, UV_RUN_NOWAIT);
    ck_assert_int_eq(umount(world.dir), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("shell");
    SRunner *runner = srunner_create(s);
    TCase *pure = tcase_create("spec"), *t = tcase_create("run");
    int n_failed;

    tcase_add_loop_test(pure, builds_the_command_line, 0, ARRAY_LEN(commands));
    tcase_add_test(pure, a_powershell_script_begins_with_a_byte_order_mark);
    tcase_add_loop_test(pure, a_limit_out_of_bounds_becomes_an_hour, 0, ARRAY_LEN(limits));
    tcase_add_loop_test(pure, a_later_variable_wins_and_ours_come_last, 0, 2);
    tcase_add_test(pure, an_empty_environment_is_empty);
    tcase_add_loop_test(pure, an_outcome_has_the_status_that_users_know, 0, ARRAY_LEN(results));
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, a_relative_directory_is_one_of_the_downloads_or_the_root, 0,
                        ARRAY_LEN(directories));
    tcase_add_loop_test(t, runs_a_script_as_users_know_it, 0, 2 * ARRAY_LEN(scripts));
    tcase_add_test(t, runs_where_nothing_may_be_executed);
    suite_add_tcase(s, pure);
    suite_add_tcase(s, t);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
