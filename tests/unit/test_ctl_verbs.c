/* What each verb of ssmctl that reads the journal prints: whole command lines over a journal with
 * work in all conditions, ssmd being down unless a test says otherwise. */
#include <check.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
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

/* The last command line's status and standard output, with ROOT for the root. */
static void expect(int status, const char *out)
{
    char *neutral = world_neutral(&w, w.out);

    ck_assert_msg(w.status == status, "%d: %s", w.status, w.err);
    ck_assert_str_eq(neutral, out);
    free(neutral);
}

static void expect_error(int status, const char *text)
{
    char *neutral = world_neutral(&w, w.err);

    ck_assert_msg(w.status == status, "%d: %s", w.status, w.err);
    ck_assert_msg(strstr(neutral, text) != NULL, "%s", neutral);
    free(neutral);
}

static cJSON *parse_out(void)
{
    struct err err = {0};
    cJSON *root = NULL;

    ck_assert_msg(json_parse(w.out, strlen(w.out), 1u << 20, JSON_REFUSE, "output", &root, &err) ==
                      0,
                  "%s\n%s", err.text, w.out);
    return root;
}

static const char *text_at(const cJSON *list, int i, const char *name)
{
    const char *text = cJSON_GetStringValue(json_get_exact(cJSON_GetArrayItem(list, i), name));

    ck_assert_msg(text != NULL, "%s", w.out);
    return text;
}

/* ---- jobs ---- */

START_TEST(jobs_lists_what_has_not_ended_newest_first)
{
    (void)world_run(&w, "jobs", NULL);
    expect(
        0,
        "JOB                                   STATE      STATUS      STEPS  SINCE     DOCUMENT\n"
        "9a000000-0000-4000-8000-000000000004  queued     Pending       0/1  02:54:16  "
        "AWS-RunShellScript\n"
        "77d1c0de-0000-4000-8000-000000000003  reporting  Failed        1/1  02:54:15  Evil?[2J "
        "Name<script>\"x\n"
        "2b19ffff-0000-4000-8000-000000000002  running    InProgress    1/2  02:54:12  "
        "Two-Steps\n");
}
END_TEST

START_TEST(jobs_all_lists_everything)
{
    (void)world_run(&w, "jobs", "-a", NULL);
    expect(
        0,
        "JOB                                   STATE      STATUS      STEPS  SINCE     DOCUMENT\n"
        "c0000000-0000-4000-8000-000000000005  done       -               -  02:54:18  cancel\n"
        "9a000000-0000-4000-8000-000000000004  queued     Pending       0/1  02:54:16  "
        "AWS-RunShellScript\n"
        "77d1c0de-0000-4000-8000-000000000003  reporting  Failed        1/1  02:54:15  Evil?[2J "
        "Name<script>\"x\n"
        "2b19ffff-0000-4000-8000-000000000002  running    InProgress    1/2  02:54:12  Two-Steps\n"
        "2b196342-d7d4-436e-8f09-3883a1116ac3  done       Success       1/1  02:54:09  "
        "AWS-RunShellScript\n");
}
END_TEST

START_TEST(jobs_are_narrowed_by_state_and_limit)
{
    cJSON *root;

    (void)world_run(&w, "--json", "jobs", "--state", "done", NULL);
    ck_assert_int_eq(w.status, 0);
    root = parse_out();
    ck_assert_int_eq(cJSON_GetArraySize(json_get_exact(root, "jobs")), 1);
    ck_assert_str_eq(text_at(json_get_exact(root, "jobs"), 0, "job"), JOB_DONE);
    cJSON_Delete(root);
    (void)world_run(&w, "--json", "jobs", "--all", "-n2", NULL);
    root = parse_out();
    ck_assert_int_eq(cJSON_GetArraySize(json_get_exact(root, "jobs")), 2);
    ck_assert_str_eq(text_at(json_get_exact(root, "jobs"), 1, "job"), JOB_QUEUED);
    cJSON_Delete(root);
}
END_TEST

/* ---- config ---- */

static void write_file(const char *path, const char *text)
{
    char directory[PATH_MAX];
    struct err err;
    int fd = -1;

    (void)str_copy(directory, sizeof(directory), path);
    *strrchr(directory, '/') = '\0';
    ck_assert_int_eq(fs_make_path(directory, &fd, &err), 0);
    ck_assert_int_eq(
        fs_write_atomic(fd, strrchr(path, '/') + 1, text, strlen(text), 0600, false, &err), 0);
    (void)close(fd);
}

START_TEST(config_check_explains_the_file_that_ssmd_would_read)
{
    (void)world_run(&w, "config", "check", NULL);
    expect(0, "there is neither ROOT/etc/ssmd/ssmd.json nor "
              "ROOT/etc/amazon/ssm/amazon-ssm-agent.json: ssmd goes by its defaults\n"
              "`ssmctl config keys` lists them\n");
    write_file(w.paths.reference_config, "{\"Mds\": {\"CommandWorkersLimit\": 10}}");
    (void)world_run(&w, "config", "check", NULL);
    expect(0, "ROOT/etc/amazon/ssm/amazon-ssm-agent.json: every line does what it says\n");
    write_file(w.paths.config, "{\"Ssmd\": {\n"
                               "  \"CaFile\": \"/no/such/ca.pem\",\n"
                               "  \"OutputCapMib\": 512,\n"
                               "  \"KillGraceMilis\": 5}}");
    (void)world_run(&w, "config", "check", NULL);
    expect(1,
           "ROOT/etc/ssmd/ssmd.json:1: warning: Ssmd.CaFile: /no/such/ca.pem: No such file or "
           "directory\n"
           "ROOT/etc/ssmd/ssmd.json:3: note: Ssmd.OutputCapMiB: written \"OutputCapMib\"; that "
           "does no harm\n"
           "ROOT/etc/ssmd/ssmd.json:3: warning: Ssmd.OutputCapMiB: is more than "
           "Ssmd.RetentionMiB: one job's output may remove the history of all others\n"
           "ROOT/etc/ssmd/ssmd.json:4: warning: Ssmd.KillGraceMilis: unknown key; it is ignored. "
           "Is Ssmd.KillGraceMillis meant?\n"
           "ROOT/etc/ssmd/ssmd.json: 3 warnings, 1 note\n");
}
END_TEST

START_TEST(config_check_prints_json)
{
    write_file(w.paths.config, "{\"Ssm\": {\"HealthFrequencyMinutes\": 90}}");
    (void)world_run(&w, "config", "check", "--json", NULL);
    expect(1, "{\n \"file\":\"ROOT/etc/ssmd/ssmd.json\",\n \"exists\":true,\n"
              " \"n_warnings\":1,\n \"n_notes\":0,\n \"findings\":[\n"
              "  {\"line\":1,\"severity\":\"warning\",\"kind\":\"out-of-bounds\","
              "\"key\":\"Ssm.HealthFrequencyMinutes\","
              "\"text\":\"90 is out of bounds (5 to 60)\",\"used\":\"5\"}]}\n");
}
END_TEST

START_TEST(config_check_refuses_what_is_no_configuration)
{
    (void)world_run(&w, "config", "check", "/no/such/file", NULL);
    expect_error(1, "/no/such/file");
    write_file(w.paths.config, "{\"Ssm\": {}");
    (void)world_run(&w, "config", "check", NULL);
    expect_error(1, "ROOT/etc/ssmd/ssmd.json: line 1, column 11: the text ends too early");
}
END_TEST

START_TEST(config_keys_lists_every_key)
{
    cJSON *root;

    (void)world_run(&w, "config", "keys", NULL);
    ck_assert_int_eq(w.status, 0);
    ck_assert_ptr_nonnull(strstr(w.out, "Ssm.HealthFrequencyMinutes "));
    ck_assert_ptr_nonnull(strstr(w.out, "5 to 60"));
    (void)world_run(&w, "config", "keys", "--json", NULL);
    root = parse_out();
    ck_assert_str_eq(text_at(json_get_exact(root, "keys"), 0, "key"), "Profile.ShareCreds");
    cJSON_Delete(root);
}
END_TEST

/* ---- show ---- */

START_TEST(show_tells_a_job_from_its_message_to_its_last_reply)
{
    (void)world_run(&w, "show", "2b196", NULL);
    expect(0,
           "job         2b196342-d7d4-436e-8f09-3883a1116ac3\n"
           "document    AWS-RunShellScript\n"
           "sha256      15c351ac2ee2d73256fabf7a0e4e1d0f1c3370fbafb7eb5f1573e7130cf4be79\n"
           "state       done, Success\n"
           "made        02:54:05\n"
           "ended       02:54:09\n"
           "message     aws.ssm.2b196342-d7d4-436e-8f09-3883a1116ac3.i-1, received 02:54:05 "
           "through ec2messages\n"
           "\n"
           "Steps:\n"
           "  STEP  STATUS   CODE  ATTEMPT  STARTED   TOOK    STDOUT  STDERR\n"
           "     0  Success     0        1  02:54:07  900 ms     6 B     0 B\n"
           "  step 0: stdout sha256 "
           "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\n"
           "  step 0: stderr sha256 "
           "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n"
           "\n"
           "History:\n"
           "  02:54:05  created: received\n"
           "  02:54:06  accepted: received -> queued\n"
           "  02:54:06    opened                      reply, acknowledge\n"
           "  02:54:07  start: queued -> running\n"
           "  02:54:07    opened                      spawn 0.1\n"
           "  02:54:08  receipt reply: taken\n"
           "  02:54:08  step reply: taken\n"
           "  02:54:08  exited: running -> reporting  step 0.1 exited, code 0: Success; stdout 6 "
           "bytes 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\n"
           "  02:54:08    closed                      spawn 0.1\n"
           "  02:54:08    opened                      reply for plugin 0, report\n"
           "  02:54:09  final reply: taken\n"
           "  02:54:09  reported: reporting -> done\n"
           "  02:54:09    closed                      reply, acknowledge, reply for plugin 0, "
           "report\n");
}
END_TEST

START_TEST(show_says_which_replies_are_owed)
{
    (void)world_run(&w, "show", "77", NULL);
    ck_assert_int_eq(w.status, 0);
    ck_assert_msg(strstr(w.out, "\n3 replies are owed") != NULL, "%s", w.out);
    ck_assert_msg(strstr(w.out, "\033") == NULL, "%s", w.out);
}
END_TEST

START_TEST(show_as_json_has_steps_history_effects_and_replies)
{
    const cJSON *step, *last;
    cJSON *root;

    (void)world_run(&w, "show", JOB_DONE, "--json", NULL);
    root = parse_out();
    step = cJSON_GetArrayItem(json_get_exact(root, "steps"), 0);
    ck_assert_str_eq(cJSON_GetStringValue(json_get_exact(step, "status")), "Success");
    ck_assert_double_eq(json_get_exact(step, "stdout_bytes")->valuedouble, 6);
    last = cJSON_GetArrayItem(json_get_exact(root, "history"), 4);
    ck_assert_str_eq(cJSON_GetStringValue(json_get_exact(last, "event")), "reported");
    ck_assert_str_eq(cJSON_GetStringValue(json_get_exact(last, "hash")),
                     cJSON_GetStringValue(json_get_exact(json_get_exact(root, "job"), "head")));
    ck_assert_int_eq(cJSON_GetArraySize(json_get_exact(root, "effects")), 5);
    ck_assert_int_eq(cJSON_GetArraySize(json_get_exact(root, "replies")), 3);
    cJSON_Delete(root);
}
END_TEST

START_TEST(a_beginning_that_two_jobs_have_lists_them)
{
    (void)world_run(&w, "show", "2b19", NULL);
    expect_error(1, JOB_RUNNING ", " JOB_DONE);
}
END_TEST

START_TEST(a_job_that_is_not_there_is_said_so_as_json_too)
{
    cJSON *root;

    (void)world_run(&w, "show", "4711", "--json", NULL);
    expect_error(1, "job 4711: the journal has none of this id");
    root = parse_out();
    ck_assert_str_eq(cJSON_GetStringValue(json_get_exact(json_get_exact(root, "error"), "code")),
                     "not-found");
    cJSON_Delete(root);
}
END_TEST

/* ---- logs ---- */

START_TEST(logs_keeps_the_two_streams_apart)
{
    (void)world_run(&w, "logs", "2b196", NULL);
    expect(0, "hello\n");
    ck_assert_str_eq(w.err, "a warning\n");
    (void)world_run(&w, "logs", "2b196", "--stderr", NULL);
    expect(0, "");
    ck_assert_str_eq(w.err, "a warning\n");
    (void)world_run(&w, "logs", "2b196", "--stdout", NULL);
    expect(0, "hello\n");
    ck_assert_str_eq(w.err, "");
}
END_TEST

START_TEST(logs_of_a_running_job_prints_what_there_is)
{
    (void)world_run(&w, "logs", "2b19f", NULL);
    expect(0, "first\nsecond, unfinished");
    ck_assert_str_eq(w.err, "== step 0, attempt 1 ==\n== step 1, attempt 1 ==\n");
    (void)world_run(&w, "logs", "2b19f", "--step", "1", NULL);
    expect(0, "second, unfinished");
    (void)world_run(&w, "logs", "2b19f", "--step=2", NULL);
    expect_error(1, "it has 2 steps, from 0");
}
END_TEST

START_TEST(logs_that_were_removed_are_said_to_be)
{
    (void)world_run(&w, "logs", JOB_FAILED, NULL);
    expect_error(1, "it has been removed");
    (void)world_run(&w, "logs", JOB_FAILED, "--stderr", NULL); /* it wrote nothing there */
    expect(0, "");
    (void)world_run(&w, "logs", JOB_QUEUED, NULL); /* nothing was written yet: no failure */
    expect(0, "");
}
END_TEST

START_TEST(logs_follows_no_link)
{
    char path[2 * PATH_MAX];

    scribe_output(&s, JOB_FAILED, "0.1", "stdout", "mine\n");
    (void)snprintf(path, sizeof(path), "%s/" JOB_FAILED "/0.1/stderr", w.paths.jobs_dir);
    ck_assert_int_eq(symlink("/etc/passwd", path), 0);
    (void)world_run(&w, "logs", JOB_FAILED, NULL);
    ck_assert_int_eq(w.status, 111);
    ck_assert_msg(strstr(w.err, "root:") == NULL, "%s", w.err);
}
END_TEST

START_TEST(logs_as_json_holds_every_stream)
{
    const cJSON *streams;
    cJSON *root;

    (void)world_run(&w, "logs", "2b196", "--json", NULL);
    root = parse_out();
    streams = json_get_exact(root, "streams");
    ck_assert_int_eq(cJSON_GetArraySize(streams), 2);
    ck_assert_str_eq(text_at(streams, 0, "text"), "hello\n");
    ck_assert_str_eq(text_at(streams, 1, "stream"), "stderr");
    cJSON_Delete(root);
}
END_TEST

/* ---- status ---- */

START_TEST(status_without_ssmd_reads_the_journal_and_says_so)
{
    (void)world_run(&w, NULL);
    ck_assert_int_eq(w.status, 1);
    ck_assert_msg(strstr(w.out, "ssmd is not running: nobody listens at") != NULL, "%s", w.out);
    ck_assert_msg(strstr(w.out, "what follows is from its journal\n") != NULL, "%s", w.out);
    ck_assert_msg(
        strstr(w.out, "3 open, 3 with a reply still owed, 2 ended and kept, 2 in the ledger") !=
            NULL,
        "%s", w.out);
    ck_assert_msg(
        strstr(w.out,
               "\nRunning or waiting for their turn:\n"
               "  JOB                                   STATE    STATUS      STEPS  SINCE     "
               "DOCUMENT\n"
               "  9a000000-0000-4000-8000-000000000004  queued   Pending       0/1  02:54:16  "
               "AWS-RunShellScript\n"
               "  2b19ffff-0000-4000-8000-000000000002  running  InProgress    1/2  02:54:12  "
               "Two-Steps\n"
               "\nWaiting to be reported to the service:\n") != NULL,
        "%s", w.out);
}
END_TEST

static const char live_answer[] =
    "{\"ok\":true,\"status\":{\"version\":\"0.1.0\",\"pid\":4711,\"started_unix_ms\":1767315545678,"
    "\"boot_id\":\"b-1\",\"instance_id\":\"i-0123456789abcdef0\",\"region\":\"eu-west-1\","
    "\"endpoints\":{\"ec2messages\":\"https://x\"},"
    "\"journal\":{\"state\":\"%s\",\"text\":\"%s\",\"n_open\":3,\"size_bytes\":4096,\"n_commits\":"
    "9},"
    "\"channel\":{\"name\":\"ec2messages\",\"is_connected\":false,\"last_success_unix_ms\":"
    "1767323000000,"
    "\"n_failures\":4,\"text\":\"no route\",\"next_try_unix_ms\":1767323060000},"
    "\"credentials\":{\"text\":\"role\"},\"n_running\":1,\"n_queued\":1,"
    "\"n_reporting\":1,\"reboot_pending\":true,\"clock_offset_ms\":-5000,"
    "\"last_errors\":[{\"at_unix_ms\":1767323000000,\"text\":\"poll: no\\u001b route\"}]}}";

START_TEST(status_with_ssmd_shows_both)
{
    const bool is_suspended = _i == 1;
    const char *answers[] = {NULL, NULL};
    char answer[2048];
    struct fake_ssmd f;

    (void)snprintf(answer, sizeof(answer), live_answer, is_suspended ? "suspended" : "ok",
                   is_suspended ? "disk full" : "");
    answers[0] = answer;
    answers[1] = "";
    fake_start(&f, &w, answers);
    (void)world_run(&w, "status", NULL);
    fake_join(&f);
    fake_done(&f);
    ck_assert_int_eq(w.status, is_suspended ? 1 : 0);
    ck_assert_msg(
        str_has_prefix(
            w.out,
            is_suspended
                ? "ssmd         0.1.0 is running: pid 4711, since 00:59:05 (2 h 5 min), a "
                  "reboot is pending\n"
                  "node         i-0123456789abcdef0, eu-west-1, boot b-1\n"
                  "channel      ec2messages: not connected, last answer 03:03:20, 4 failures "
                  "in a row, no route, next try 03:04:20\n"
                  "endpoints    ec2messages https://x\n"
                  "credentials  role\n"
                  "journal      suspended, disk full, 4.0 KiB, 9 commits since its start\n"
                : "ssmd         0.1.0 is running: pid 4711, since 00:59:05 (2 h 5 min), a "
                  "reboot is pending\n"
                  "node         i-0123456789abcdef0, eu-west-1, boot b-1\n"
                  "channel      ec2messages: not connected, last answer 03:03:20, 4 failures "
                  "in a row, no route, next try 03:04:20\n"
                  "endpoints    ec2messages https://x\n"
                  "credentials  role\n"
                  "journal      ok, 4.0 KiB, 9 commits since its start\n"
                  "clock        the service's is 5.0 s behind\n"
                  "jobs         1 running, 1 queued, 1 to be reported\n"),
        "%s", w.out);
    ck_assert_msg(
        str_has_suffix(w.out, "\nWhat went wrong last in ssmd:\n  03:03:20  poll: no? route\n"),
        "%s", w.out);
}
END_TEST

START_TEST(status_as_json_holds_what_ssmd_says_unchanged)
{
    static const char *const answers[] = {
        "{\"ok\":true,\"status\":{\"version\":\"9\",\"new\":[1]}}", ""};
    struct fake_ssmd f;
    cJSON *root;

    fake_start(&f, &w, answers);
    (void)world_run(&w, "status", "--json", NULL);
    fake_join(&f);
    ck_assert_str_eq(f.questions[0], "{\"op\":\"status\"}");
    fake_done(&f);
    ck_assert_int_eq(w.status, 0);
    root = parse_out();
    ck_assert(cJSON_IsTrue(json_get_exact(root, "is_running")));
    ck_assert_int_eq(cJSON_GetArraySize(json_get_exact(json_get_exact(root, "ssmd"), "new")), 1);
    ck_assert_int_eq(cJSON_GetArraySize(json_get_exact(root, "running")), 2);
    ck_assert_int_eq(cJSON_GetArraySize(json_get_exact(root, "unreported")), 1);
    ck_assert_int_eq(cJSON_GetArraySize(json_get_exact(root, "failed")), 1);
    cJSON_Delete(root);
}
END_TEST

START_TEST(status_where_nothing_ever_ran_is_no_failure_of_the_tool)
{
    struct world empty;

    world_init(&empty, true);
    (void)world_run(&empty, NULL);
    ck_assert_int_eq(empty.status, 1);
    ck_assert_msg(strstr(empty.out, "there is none; ssmd has not run here yet") != NULL, "%s",
                  empty.out);
    (void)world_run(&empty, "jobs", NULL);
    ck_assert_int_eq(empty.status, 111);
    world_done(&empty);
}
END_TEST

/* ---- audit ---- */

START_TEST(audit_finds_an_untouched_journal_intact)
{
    cJSON *root;

    ck_assert_int_eq(s.c.j->ops->publish_head(s.c.j, NULL), 0);
    (void)world_run(&w, "audit", "verify", NULL);
    ck_assert_int_eq(w.status, 0);
    ck_assert_msg(
        str_has_prefix(w.out, "intact: 5 jobs with 18 transitions, 5 messages, 2 ledger rows were "
                              "looked at\nledger: its side file vouches for 2 rows\n"
                              "ledger: row 2 has the hash "),
        "%s", w.out);
    (void)world_run(&w, "audit", "verify", "--json", NULL);
    root = parse_out();
    ck_assert(cJSON_IsTrue(json_get_exact(root, "is_intact")));
    cJSON_Delete(root);
}
END_TEST

static void change_behind_its_back(const char *sql)
{
    sqlite3 *db = NULL;

    ck_assert_int_eq(sqlite3_open(w.paths.journal, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

START_TEST(a_job_that_only_a_later_version_knows_is_shown_nevertheless)
{
    cJSON *root;

    change_behind_its_back("UPDATE instance SET machine = 'of-later' WHERE id = '" JOB_QUEUED "'");
    (void)world_run(&w, "jobs", NULL);
    ck_assert_int_eq(w.status, 0);
    ck_assert_msg(strstr(w.out, JOB_QUEUED "  queued     -               -  02:54:16") != NULL,
                  "%s", w.out);
    (void)world_run(&w, "show", JOB_QUEUED, NULL);
    ck_assert_int_eq(w.status, 0);
    ck_assert_msg(strstr(w.out, "made by a later version of ssmd") != NULL, "%s", w.out);
    (void)world_run(&w, "show", JOB_QUEUED, "--json", NULL);
    root = parse_out();
    ck_assert_int_eq(cJSON_GetArraySize(json_get_exact(root, "steps")), 0);
    cJSON_Delete(root);
    (void)world_run(&w, "logs", JOB_QUEUED, NULL);
    ck_assert_int_eq(w.status, 0);
}
END_TEST

START_TEST(audit_names_the_row_that_was_changed)
{
    cJSON *root;

    change_behind_its_back("UPDATE transition SET detail = 'step 0.1 exited, code 0: Success' "
                           "WHERE instance_id = '" JOB_FAILED "' AND n = 3");
    (void)world_run(&w, "audit", "verify", NULL);
    ck_assert_int_eq(w.status, 1);
    ck_assert_msg(str_has_prefix(w.out, "transition " JOB_FAILED " n=3: "), "%s", w.out);
    ck_assert_msg(strstr(w.out, "NOT INTACT") != NULL, "%s", w.out);
    (void)world_run(&w, "--json", "audit", "verify", NULL);
    ck_assert_int_eq(w.status, 1);
    root = parse_out();
    ck_assert_str_eq(text_at(json_get_exact(root, "findings"), 0, "row"), JOB_FAILED " n=3");
    cJSON_Delete(root);
}
END_TEST

START_TEST(audit_export_is_an_object_a_line)
{
    size_t n = 0;
    char *line, *rest;

    (void)world_run(&w, "audit", "export", "--format", "jsonl", NULL);
    ck_assert_int_eq(w.status, 0);
    for (line = strtok_r(w.out, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest), n++) {
        struct err err = {0};
        cJSON *root = NULL;

        ck_assert_msg(json_parse(line, strlen(line), 1u << 20, JSON_REFUSE, "line", &root, &err) ==
                          0,
                      "%s: %s", err.text, line);
        ck_assert_ptr_nonnull(cJSON_GetStringValue(json_get_exact(root, "type")));
        cJSON_Delete(root);
    }
    ck_assert_uint_eq(n, 2 + 5 + 5 + 18 + 19 +
                             10); /* ledger, messages, jobs, transitions, effects, replies */
}
END_TEST

/* Every < in the page begins a tag that is ours; every text of a document is only text. */
START_TEST(audit_export_as_a_page_is_text_between_tags)
{
    static const char *const tags[] = {
        "!DOCTYPE", "html",    "head", "meta", "title", "style", "body",  "h1", "h2", "p",
        "details",  "summary", "code", "b",    "div",   "span",  "table", "tr", "th", "td"};
    const char *at;
    size_t i, n_details = 0, n_spans = 0;

    (void)world_run(&w, "audit", "export", "--format", "html", NULL);
    ck_assert_int_eq(w.status, 0);
    for (at = w.out; (at = strchr(at, '<')) != NULL; at++) {
        const char *name = at[1] == '/' ? at + 2 : at + 1;

        for (i = 0; i < ARRAY_LEN(tags); i++)
            if (strncmp(name, tags[i], strlen(tags[i])) == 0 &&
                strchr(" />", name[strlen(tags[i])]) != NULL)
                break;
        ck_assert_msg(i < ARRAY_LEN(tags), "%.40s", at);
        n_details += strncmp(at, "<details>", 9) == 0;
        n_spans += strncmp(at, "<span ", 6) == 0;
    }
    ck_assert_uint_eq(n_details, 5);
    ck_assert_uint_eq(n_spans, 18); /* one for each transition */
    ck_assert_ptr_nonnull(strstr(w.out, "The chains of hashes are intact"));
    ck_assert_ptr_nonnull(strstr(w.out, "&lt;script&gt;")); /* of the document's name */
    ck_assert_ptr_null(strstr(w.out, "<script"));
    ck_assert_ptr_null(strstr(w.out, "\033"));
}
END_TEST

/* ---- other places ---- */

static void copy_file(const char *from, const char *to, const char *suffix)
{
    char a[2 * PATH_MAX], b[2 * PATH_MAX];
    struct err err = {0};
    struct buf bytes;
    int dir;

    (void)snprintf(a, sizeof(a), "%s%s", from, suffix);
    (void)snprintf(b, sizeof(b), "journal.db%s", suffix);
    buf_init(&bytes, 16u << 20);
    ck_assert_msg(fs_read_file(AT_FDCWD, a, &bytes, &err) == 0, "%s", err.text);
    ck_assert_msg(fs_make_path(to, &dir, &err) == 0, "%s", err.text);
    ck_assert_msg(fs_write_atomic(dir, b, bytes.data, bytes.len, 0400, false, &err) == 0, "%s",
                  err.text);
    (void)close(dir);
    buf_done(&bytes);
}

START_TEST(a_copy_with_its_log_reads_the_same)
{
    struct world copy;

    world_init(&copy, false);
    copy_file(w.paths.journal, copy.paths.state_dir, "");
    copy_file(w.paths.journal, copy.paths.state_dir, "-wal");
    ck_assert_int_eq(chmod(copy.paths.state_dir, 0500), 0);
    (void)world_run(&w, "jobs", "--all", NULL);
    (void)world_run(&copy, "jobs", "--all", NULL);
    ck_assert_msg(copy.status == 0, "%s", copy.err);
    ck_assert_str_eq(copy.out, w.out);
    ck_assert_int_eq(chmod(copy.paths.state_dir, 0700), 0);
    world_done(&copy);
}
END_TEST

START_TEST(who_may_not_read_is_told_who_may)
{
    uid_t me = geteuid();

    ck_assert_int_eq(me == 0 ? seteuid(65534) : chmod(w.paths.state_dir, 0), 0);
    (void)world_run(&w, "jobs", NULL);
    ck_assert_int_eq(me == 0 ? seteuid(0) : chmod(w.paths.state_dir, 0700), 0);
    expect_error(111, "permission denied; run ssmctl as root or as the user that ssmd runs as");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ctl_verbs");
    TCase *journal = tcase_create("journal");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_checked_fixture(journal, set_up, tear_down);
    tcase_add_test(journal, jobs_lists_what_has_not_ended_newest_first);
    tcase_add_test(journal, jobs_all_lists_everything);
    tcase_add_test(journal, jobs_are_narrowed_by_state_and_limit);
    tcase_add_test(journal, config_check_explains_the_file_that_ssmd_would_read);
    tcase_add_test(journal, config_check_prints_json);
    tcase_add_test(journal, config_check_refuses_what_is_no_configuration);
    tcase_add_test(journal, config_keys_lists_every_key);
    tcase_add_test(journal, show_tells_a_job_from_its_message_to_its_last_reply);
    tcase_add_test(journal, show_says_which_replies_are_owed);
    tcase_add_test(journal, show_as_json_has_steps_history_effects_and_replies);
    tcase_add_test(journal, a_beginning_that_two_jobs_have_lists_them);
    tcase_add_test(journal, a_job_that_is_not_there_is_said_so_as_json_too);
    tcase_add_test(journal, logs_keeps_the_two_streams_apart);
    tcase_add_test(journal, logs_of_a_running_job_prints_what_there_is);
    tcase_add_test(journal, logs_that_were_removed_are_said_to_be);
    tcase_add_test(journal, logs_follows_no_link);
    tcase_add_test(journal, logs_as_json_holds_every_stream);
    tcase_add_test(journal, status_without_ssmd_reads_the_journal_and_says_so);
    tcase_add_loop_test(journal, status_with_ssmd_shows_both, 0, 2);
    tcase_add_test(journal, status_as_json_holds_what_ssmd_says_unchanged);
    tcase_add_test(journal, status_where_nothing_ever_ran_is_no_failure_of_the_tool);
    tcase_add_test(journal, audit_finds_an_untouched_journal_intact);
    tcase_add_test(journal, a_job_that_only_a_later_version_knows_is_shown_nevertheless);
    tcase_add_test(journal, audit_names_the_row_that_was_changed);
    tcase_add_test(journal, audit_export_is_an_object_a_line);
    tcase_add_test(journal, audit_export_as_a_page_is_text_between_tags);
    tcase_add_test(journal, a_copy_with_its_log_reads_the_same);
    tcase_add_test(journal, who_may_not_read_is_told_who_may);
    suite_add_tcase(suite, journal);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
