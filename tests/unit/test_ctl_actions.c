/* What ssmctl asks ssmd to do, how it follows a job, and what it says to a command line that makes
 * no sense. */
#include <check.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/version.h"
#include "ctl/ctl.h"
#include "ctl_scribe.h"
#include "schema/json.h"

static struct world w;
static struct scribe s;

static void set_up(void)
{
    world_init(&w, false);
    scribe_open(&s, &w);
    scribe_all(&s);
}

static void tear_down(void)
{
    scribe_close(&s);
    world_done(&w);
}

static void expect_error(int status, const char *text)
{
    ck_assert_msg(w.status == status, "%d: %s", w.status, w.err);
    ck_assert_msg(strstr(w.err, text) != NULL, "%s", w.err);
}

static const char *put_file(const char *name, const char *text)
{
    static char path[2 * PATH_MAX];
    struct err err = {0};
    int dir;

    ck_assert_msg(fs_make_path(w.top, &dir, &err) == 0, "%s", err.text);
    ck_assert_msg(fs_write_atomic(dir, name, text, strlen(text), 0600, false, &err) == 0, "%s",
                  err.text);
    (void)close(dir);
    (void)snprintf(path, sizeof(path), "%s/%s", w.top, name);
    return path;
}

/* ---- cancel ---- */

START_TEST(cancel_sends_the_whole_id)
{
    static const char *const answers[] = {"{\"ok\":true,\"text\":\"it is being stopped\"}", ""};
    struct fake_ssmd f;

    fake_start(&f, &w, answers);
    (void)world_run(&w, "cancel", "2b19f", NULL);
    fake_join(&f);
    ck_assert_str_eq(f.questions[0], "{\"op\":\"cancel\",\"job\":\"" JOB_RUNNING "\"}");
    fake_done(&f);
    ck_assert_int_eq(w.status, 0);
    ck_assert_str_eq(w.out, JOB_RUNNING ": it is being stopped\n");
}
END_TEST

START_TEST(cancel_that_is_refused_is_a_no)
{
    static const char *const answers[] = {
        "{\"ok\":false,\"error\":{\"code\":\"state\",\"text\":\"it has ended\"}}", ""};
    struct fake_ssmd f;

    fake_start(&f, &w, answers);
    (void)world_run(&w, "cancel", JOB_DONE, NULL);
    fake_join(&f);
    fake_done(&f);
    expect_error(1, "cancel job " JOB_DONE ": it has ended");
}
END_TEST

START_TEST(cancel_without_ssmd_is_a_failure)
{
    (void)world_run(&w, "cancel", JOB_RUNNING, NULL);
    expect_error(111, "ssmd is not running");
}
END_TEST

/* ---- update ---- */

#define CHECK(more)                                                                                \
    "{\"ok\":true,\"check\":{\"current\":\"0.1.0\",\"target\":\"0.2.0\",\"url\":\"file:///s/"      \
    "p.tar.gz\","                                                                                  \
    "\"length_bytes\":4096,\"manifest_version\":3," more "}}"

static const struct {
    const char *option, *answer;
    int status;
    const char *out[3]; /* all of them stand in it */
} checks[] = {
    {"--check",
     CHECK("\"is_wanted\":true,\"text\":\"\",\"obstacle\":\"\""),
     0,
     {"current     0.1.0\n", "latest      0.2.0\n", "it can be installed"}},
    {"--dry-run",
     CHECK("\"is_wanted\":true,\"text\":\"\",\"obstacle\":\"\""),
     0,
     {"fetch file:///s/p.tar.gz (", "switch to 0.2.0, and back to 0.1.0", ""}},
    {"--check",
     CHECK("\"is_wanted\":false,\"is_skipped\":true,\"text\":\"ssmd 0.1.0 has already been "
           "installed\",\"obstacle\":\"\""),
     1,
     {"result      ssmd 0.1.0 has already been installed\n", "", ""}},
    {"--dry-run",
     CHECK("\"is_wanted\":true,\"text\":\"\",\"obstacle\":\"Another update in progress\""),
     1,
     {"now         Another update in progress\n", "", ""}},
    {"--check",
     CHECK("\"is_wanted\":false,\"text\":\"Updating 0.1.0 to an older version\","
           "\"code\":\"ErrorAttempToDowngrade\",\"obstacle\":\"\""),
     1,
     {"code        ErrorAttempToDowngrade\n", "try         --allow-downgrade", ""}},
};

START_TEST(update_says_what_would_be_done)
{
    const char *answers[] = {checks[_i].answer, ""};
    struct fake_ssmd f;
    size_t i;

    fake_start(&f, &w, answers);
    (void)world_run(&w, "update", checks[_i].option, NULL);
    fake_join(&f);
    ck_assert_str_eq(f.questions[0],
                     "{\"op\":\"check_update\",\"to\":\"\",\"allow_downgrade\":false,"
                     "\"is_forced\":false,\"wait_minutes\":0}");
    fake_done(&f);
    ck_assert_msg(w.status == checks[_i].status, "%d: %s%s", w.status, w.out, w.err);
    for (i = 0; i < ARRAY_LEN(checks[_i].out); i++)
        ck_assert_msg(strstr(w.out, checks[_i].out[i]) != NULL, "%s", w.out);
}
END_TEST

START_TEST(update_sends_what_was_given_and_prints_its_id)
{
    static const char *const answers[] = {"{\"ok\":true,\"job\":\"update-1\",\"text\":\"\"}", ""};
    struct fake_ssmd f;

    fake_start(&f, &w, answers);
    (void)world_run(&w, "update", "--to", "0.0.9", "--allow-downgrade", "--force", "--when-idle",
                    "30", "--detach", NULL);
    fake_join(&f);
    ck_assert_str_eq(f.questions[0], "{\"op\":\"update\",\"to\":\"0.0.9\",\"allow_downgrade\":true,"
                                     "\"is_forced\":true,\"wait_minutes\":30}");
    fake_done(&f);
    ck_assert_int_eq(w.status, 0);
    ck_assert_str_eq(w.out, "update-1\n");
}
END_TEST

START_TEST(update_to_what_cannot_be_a_version_is_not_asked_for)
{
    static const char version[] =
        "1111111111.1111111111.1111111111.1111111111.1111111111.1111111111";

    (void)world_run(&w, "update", "--to", version, NULL);
    expect_error(100, "option --to 1111111111.1111111111.1111111111.1111111...: it is too long");
}
END_TEST

START_TEST(update_that_is_refused_is_a_no)
{
    static const char *const answers[] = {
        "{\"ok\":false,\"error\":{\"code\":\"busy\",\"text\":\"Another update in progress, try "
        "again later\"}}",
        ""};
    struct fake_ssmd f;

    fake_start(&f, &w, answers);
    (void)world_run(&w, "update", NULL);
    fake_join(&f);
    fake_done(&f);
    expect_error(111, "update: Another update in progress, try again later");
}
END_TEST

/* ---- run ---- */

static const char document[] =
    "{\"schemaVersion\":\"2.2\",\n"
    " \"parameters\":{\"who\":{\"type\":\"String\"}},\"mainSteps\":[]}\n";

START_TEST(run_sends_the_document_as_it_is_with_its_parameters)
{
    static const char *const answers[] = {"{\"ok\":true,\"job\":\"" JOB_DONE "\"}", ""};
    AUTO(cJSON_Delete) cJSON *question = NULL;
    struct err err = {0};
    struct fake_ssmd f;

    fake_start(&f, &w, answers);
    (void)world_run(&w, "run", "--detach", put_file("d.json", document), "-p", "who=me", NULL);
    fake_join(&f);
    ck_assert_msg(w.status == 0, "%s", w.err);
    ck_assert_str_eq(w.out, JOB_DONE "\n");
    ck_assert_int_eq(json_parse(f.questions[0], strlen(f.questions[0]), 10000, JSON_REFUSE,
                                "question", &question, &err),
                     0);
    ck_assert_str_eq(cJSON_GetStringValue(json_get_exact(question, "op")), "run");
    ck_assert_str_eq(cJSON_GetStringValue(json_get_exact(question, "name")), "d.json");
    ck_assert_str_eq(cJSON_GetStringValue(json_get_exact(question, "document")), document);
    ck_assert_str_eq(
        cJSON_GetStringValue(json_get_exact(json_get_exact(question, "parameters"), "who")), "me");
    fake_done(&f);
}
END_TEST

START_TEST(run_prints_the_output_and_exits_by_the_result)
{
    const char *answers[] = {_i == 0 ? "{\"ok\":true,\"job\":\"" JOB_DONE "\"}"
                                     : "{\"ok\":true,\"job\":\"" JOB_FAILED "\"}",
                             ""};
    struct fake_ssmd f;

    scribe_output(&s, JOB_FAILED, "0.1", "stdout", "before it failed\n");
    scribe_output(&s, JOB_FAILED, "0.1", "stderr", "exit status 3"); /* no line end */
    fake_start(&f, &w, answers);
    (void)world_run(&w, "run", put_file("d.json", document), NULL);
    fake_join(&f);
    fake_done(&f);
    if (_i == 0) {
        ck_assert_int_eq(w.status, 0);
        ck_assert_str_eq(w.out, "hello\n");
        ck_assert_str_eq(w.err, "ssmctl: job " JOB_DONE "\na warning\n");
    } else {
        ck_assert_str_eq(w.out, "before it failed\n");
        expect_error(1, "exit status 3\nssmctl: job " JOB_FAILED
                        ": Failed; see `ssmctl show " JOB_FAILED "`\n");
    }
}
END_TEST

static const struct {
    const char *name, *text, *error;
    int status;
} bad_documents[] = {
    {"d.json", "{\n \"a\": ]", "line 2", 1},
    {"d.json", "[]", "must be an object", 1},
    {"d.yaml", "schemaVersion: [\n", "line 2, column 1", 1},
    {"d", "- a\n", "must be an object", 1},
};

START_TEST(run_says_what_is_wrong_with_a_document_before_anything_is_sent)
{
    (void)world_run(&w, "run", put_file(bad_documents[_i].name, bad_documents[_i].text), NULL);
    expect_error(bad_documents[_i].status, bad_documents[_i].error);
}
END_TEST

START_TEST(run_of_a_file_that_is_not_there_names_it)
{
    (void)world_run(&w, "run", "/nowhere/d.json", NULL);
    expect_error(111, "document /nowhere/d.json: No such file or directory");
}
END_TEST

/* ---- follow ---- */

/* The job's last step goes on only when what it wrote first was printed, so a follower that does
 * not wait, or does not look again, cannot pass. */
static sem_t printed;

static ssize_t take_output(void *cookie, const char *bytes, size_t n)
{
    struct buf *b = cookie;

    (void)buf_add(b, bytes, n); /* too much shows as a wrong text */
    if (strstr(buf_str(b), "unfinished") != NULL)
        (void)sem_post(&printed);
    return (ssize_t)n;
}

static void *append_and_end(void *ctx)
{
    struct fsm_instance *inst = ctx;
    char path[2 * PATH_MAX];
    int fd;

    while (sem_wait(&printed) < 0)
        ;
    (void)snprintf(path, sizeof(path), "%s/%s/0.1/stdout", w.paths.jobs_dir, inst->id);
    fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0 || write(fd, "... finished\n", 13) != 13)
        perror(path);
    (void)close(fd);
    scribe_exit(&s, inst, "Success", 0);
    return NULL;
}

START_TEST(logs_f_prints_what_comes_and_ends_with_the_job)
{
    static const char id[] = "f0110000-0000-4000-8000-000000000006";
    const cookie_io_functions_t io = {.write = take_output};
    char *const argv[] = {
        (char *)(uintptr_t) "ssmctl", (char *)(uintptr_t) "--root", w.paths.root,
        (char *)(uintptr_t) "logs",   (char *)(uintptr_t) "-f",     (char *)(uintptr_t)id};
    struct fsm_instance inst;
    pthread_t thread;
    struct buf out;
    FILE *f;

    buf_init(&out, 10000);
    ck_assert_int_eq(sem_init(&printed, 0, 0), 0);
    scribe_accept(&s, id, "AWS-RunShellScript", 1, &inst);
    scribe_start(&s, &inst);
    scribe_output(&s, id, "0.1", "stdout", "unfinished");
    f = fopencookie(&out, "w", io);
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(pthread_create(&thread, NULL, append_and_end, &inst), 0);
    ck_assert_int_eq(ctl_main((int)ARRAY_LEN(argv), argv, f, stderr), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_str_eq(buf_str(&out), "unfinished... finished\n");
    buf_done(&out);
    fsm_instance_done(&inst);
    (void)sem_destroy(&printed);
}
END_TEST

/* ---- completion ---- */

static const struct {
    const char *words, *completed;
} completions[] = {
    {"show 2b", JOB_RUNNING "\n" JOB_DONE "\n"},
    {"show 2b196", JOB_DONE "\n"},
    {"cancel 2b", JOB_RUNNING "\n"}, /* only what has not ended */
    {"fsm d", "delivery\n"},
    {"jobs --st", "--state\n"},
};

START_TEST(the_shell_completes_jobs_and_machines)
{
    static const char program[] =
        "PATH='%s':$PATH; source '%s/../packaging/completions/ssmctl.bash'; "
        "COMP_WORDS=(ssmctl --root '%s' %s); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _ssmctl; "
        "printf '%%s\n' \"${COMPREPLY[@]}\"";
    char script[4 * PATH_MAX], line[200];
    struct buf out;
    FILE *f;

    (void)snprintf(script, sizeof(script), program, SSMCTL_DIR, TEST_SOURCE_DIR, w.paths.root,
                   completions[_i].words);
    ck_assert_int_eq(setenv("COMPLETION_TEST", script, 1), 0);
    f = popen("bash -c \"$COMPLETION_TEST\"", "r");
    ck_assert_ptr_nonnull(f);
    buf_init(&out, 10000);
    while (fgets(line, sizeof(line), f) != NULL)
        (void)buf_add_str(&out, line); /* too much shows as a wrong text */
    ck_assert_int_eq(pclose(f), 0);
    ck_assert_str_eq(buf_str(&out), completions[_i].completed);
    buf_done(&out);
}
END_TEST

/* ---- the command line ---- */

static const struct {
    const char *words[5];
    int status;
    const char *error;
} usages[] = {
    {{"jbos"}, 100, "jbos: not a verb; did you mean jobs?"},
    {{"stat"}, 100, "did you mean status?"},
    {{"frobnicate"}, 100, "`ssmctl help` lists them"},
    {{"audit"}, 100, "after it comes verify or export"},
    {{"audit", "veryfy"}, 100, "audit veryfy: not a verb; after audit comes verify or export"},
    {{"show"}, 100, "the form is: ssmctl show JOB"},
    {{"show", "a", "b"}, 100, "\"b\" is one argument too many"},
    {{"jobs", "--al"}, 100, "try --all"},
    {{"jobs", "--frobnicate"}, 100, "see `ssmctl help jobs`"},
    {{"jobs", "-x"}, 100, "option -x"},
    {{"jobs", "--limit"}, 100, "its value is missing (--limit N)"},
    {{"jobs", "--limit", "many"}, 100, "it must be a number from 1 to"},
    {{"jobs", "--all=yes"}, 100, "option --all: it takes no value"},
    {{"jobs", "-an5"}, 100, "give letters one by one"},
    {{"jobs", "--state", "bogus"}, 100, "no machine has such a state"},
    {{"--limit", "5", "jobs"}, 100, "it belongs to a verb and stands after it"},
    {{"logs", "a", "--stdout", "--stderr"}, 100, "only one of them"},
    {{"fsm", "command", "--dot", "--mermaid"}, 100, "only one of them"},
    {{"fsm", "comand"}, 1, "there are: command, delivery"},
    {{"audit", "export", "--format", "pdf"}, 100, "the formats are jsonl and html"},
    {{"help", "nothing-like-it"}, 1, "not a verb"},
    {{"help", "jobs", "more"}, 100, "\"more\" is one argument too many"},
    {{"run"}, 100, "the form is: ssmctl run FILE"},
    {{"show", "--", "-f"}, 1, "job -f: the journal has none"},
};

START_TEST(a_command_line_that_makes_no_sense_is_told_what_would)
{
    const char *const *x = usages[_i].words;

    (void)world_run(&w, x[0], x[1], x[2], x[3], x[4], NULL);
    expect_error(usages[_i].status, usages[_i].error);
    ck_assert_str_eq(w.out, "");
}
END_TEST

START_TEST(an_error_as_json_is_one_document)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    struct err err = {0};

    (void)world_run(&w, "jbos", "--json", NULL);
    ck_assert_int_eq(w.status, 100);
    ck_assert_int_eq(json_parse(w.out, strlen(w.out), 10000, JSON_REFUSE, "output", &root, &err),
                     0);
    ck_assert_str_eq(cJSON_GetStringValue(json_get_exact(json_get_exact(root, "error"), "code")),
                     "usage");
}
END_TEST

START_TEST(the_picture_is_the_machine_that_runs)
{
    AUTO(buf_done) struct buf expected;

    buf_init(&expected, 1u << 20);
    fsm_diagram_dot(&command_machine, &expected);
    (void)world_run(&w, "fsm", "command", "--dot", NULL);
    ck_assert_int_eq(w.status, 0);
    ck_assert_str_eq(w.out, buf_str(&expected));
    buf_clear(&expected);
    fsm_diagram_mermaid(&command_machine, &expected);
    (void)world_run(&w, "fsm", "command", NULL);
    ck_assert_str_eq(w.out, buf_str(&expected));
}
END_TEST

START_TEST(the_machine_as_json_has_every_row)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    struct err err = {0};

    (void)world_run(&w, "fsm", "command", "--json", NULL);
    ck_assert_int_eq(json_parse(w.out, strlen(w.out), 1u << 20, JSON_REFUSE, "output", &root, &err),
                     0);
    ck_assert_int_eq(cJSON_GetArraySize(json_get_exact(root, "transitions")),
                     (int)command_machine.n_rules);
    ck_assert_int_eq(cJSON_GetArraySize(json_get_exact(root, "states")),
                     (int)command_machine.n_states);
    ck_assert_int_eq(cJSON_GetArraySize(json_get_exact(root, "effects")),
                     (int)command_machine.n_effects);
}
END_TEST

START_TEST(every_verb_has_its_help)
{
    const struct ctl_verb *v;

    for (v = ctl_verbs; v->name != NULL; v++) {
        char form[200];

        (void)world_run(&w, "help", v->name, NULL);
        ck_assert_msg(w.status == 0, "%s: %s", v->name, w.err);
        (void)snprintf(form, sizeof(form), "ssmctl [--root DIR] [--json] %s", v->name);
        ck_assert_msg(str_has_prefix(w.out, form), "%s", w.out);
        ck_assert_msg(strstr(w.out, v->help) != NULL, "%s", w.out);
        ck_assert_msg((strstr(w.out, "\n  1    ") != NULL) == (v->says_no != NULL), "%s", w.out);
    }
}
END_TEST

START_TEST(version_and_help_may_stand_anywhere)
{
    (void)world_run(&w, "jobs", "--version", NULL);
    ck_assert(str_has_prefix(w.out, "ssmctl ") && str_has_suffix(w.out, "\n"));
    ck_assert(strncmp(w.out + 7, ssmd_version, strlen(ssmd_version)) == 0);
    ck_assert_uint_eq(strlen(w.out), 8 + strlen(ssmd_version));
    (void)world_run(&w, "jobs", "-h", NULL);
    ck_assert_msg(str_has_prefix(w.out, "ssmctl [--root DIR] [--json] jobs "), "%s", w.out);
    (void)world_run(&w, "-h", NULL);
    ck_assert_msg(strstr(w.out, "\n  audit verify ") != NULL, "%s", w.out);
    (void)world_run(&w, "help", "audit", NULL);
    ck_assert_msg(strstr(w.out, " audit verify\n") != NULL &&
                      strstr(w.out, " audit export ") != NULL,
                  "%s", w.out);
}
END_TEST

START_TEST(an_option_of_the_verb_comes_before_one_of_the_program)
{
    (void)world_run(&w, "release", "add", "/nonexistent/source", "file", "--version", "1.2.0",
                    NULL);
    ck_assert_int_ne(w.status, 0);
    ck_assert_str_eq(w.out, "");
    (void)world_run(&w, "release", "add", "-V", NULL);
    ck_assert(str_has_prefix(w.out, "ssmctl "));
}
END_TEST

START_TEST(output_that_nobody_takes_is_a_failure)
{
    char *const argv[] = {(char *)(uintptr_t) "ssmctl", (char *)(uintptr_t) "help"};
    FILE *full = fopen("/dev/full", "w");

    ck_assert_ptr_nonnull(full);
    ck_assert_int_eq(ctl_main(2, argv, full, stderr), 111);
    (void)fclose(full); /* it is full */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ctl_actions");
    TCase *asks = tcase_create("asks"), *line = tcase_create("line");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_checked_fixture(asks, set_up, tear_down);
    tcase_add_test(asks, cancel_sends_the_whole_id);
    tcase_add_test(asks, cancel_that_is_refused_is_a_no);
    tcase_add_test(asks, cancel_without_ssmd_is_a_failure);
    tcase_add_loop_test(asks, update_says_what_would_be_done, 0, (int)ARRAY_LEN(checks));
    tcase_add_test(asks, update_sends_what_was_given_and_prints_its_id);
    tcase_add_test(asks, update_to_what_cannot_be_a_version_is_not_asked_for);
    tcase_add_test(asks, update_that_is_refused_is_a_no);
    tcase_add_test(asks, run_sends_the_document_as_it_is_with_its_parameters);
    tcase_add_loop_test(asks, run_prints_the_output_and_exits_by_the_result, 0, 2);
    tcase_add_loop_test(asks, run_says_what_is_wrong_with_a_document_before_anything_is_sent, 0,
                        (int)ARRAY_LEN(bad_documents));
    tcase_add_test(asks, run_of_a_file_that_is_not_there_names_it);
    tcase_add_test(asks, logs_f_prints_what_comes_and_ends_with_the_job);
    tcase_add_loop_test(asks, the_shell_completes_jobs_and_machines, 0,
                        (int)ARRAY_LEN(completions));
    tcase_add_checked_fixture(line, set_up, tear_down);
    tcase_add_loop_test(line, a_command_line_that_makes_no_sense_is_told_what_would, 0,
                        (int)ARRAY_LEN(usages));
    tcase_add_test(line, an_error_as_json_is_one_document);
    tcase_add_test(line, the_picture_is_the_machine_that_runs);
    tcase_add_test(line, the_machine_as_json_has_every_row);
    tcase_add_test(line, every_verb_has_its_help);
    tcase_add_test(line, version_and_help_may_stand_anywhere);
    tcase_add_test(line, an_option_of_the_verb_comes_before_one_of_the_program);
    tcase_add_test(line, output_that_nobody_takes_is_a_failure);
    suite_add_tcase(suite, asks);
    suite_add_tcase(suite, line);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
