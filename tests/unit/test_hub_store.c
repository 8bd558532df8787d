/* The hub's store: what survives, what expires, what a message's life may be; and the words for it.
 */
#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/str.h"
#include "hub/outcome.h"
#include "hub/store.h"

#define COMMAND "2b196342-d7d4-436e-8f09-3883a1116ac3"
#define INSTANCE "i-0123456789abcdef0"
#define MESSAGE "aws.ssm." COMMAND "." INSTANCE

static char dir[64], path[96];
static struct store *store;
static struct err err;

#define OK(call)                                                                                   \
    do {                                                                                           \
        int ok_ = (call);                                                                          \
        ck_assert_msg(ok_ == 0, #call ": %s", err.text);                                           \
    } while (0)

static void setup(void)
{
    (void)str_copy(dir, sizeof(dir), "/tmp/hub-store-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/hub.db", dir);
    OK(store_open(path, &store, &err));
    OK(store_begin(store, &err));
}

static void teardown(void)
{
    store_close(store);
    store = NULL;
    OK(fs_remove_tree(AT_FDCWD, dir, &err));
}

/* A command sent at 1000 ms, to be delivered by 2000, to be over by 3000. */
static void add_command(void)
{
    const struct command_row command = {.id = COMMAND,
                                        .document_name = "AWS-RunShellScript",
                                        .document_version = "$DEFAULT",
                                        .comment = "",
                                        .parameters = "{}",
                                        .echo = "",
                                        .s3_bucket = "",
                                        .s3_prefix = "",
                                        .s3_region = "",
                                        .cloud_watch = "",
                                        .steps = "[\"aws:runShellScript\"]",
                                        .requested_ms = 1000,
                                        .timeout_s = 1,
                                        .expires_ms = 3000};
    const struct invocation_row invocation = {.command_id = COMMAND,
                                              .instance_id = INSTANCE,
                                              .message_id = MESSAGE,
                                              .status = HUB_PENDING,
                                              .deliver_by_ms = 2000,
                                              .expires_ms = 3000};
    const struct message_row message = {.id = MESSAGE,
                                        .destination = INSTANCE,
                                        .topic = "aws.ssm.sendCommand.us.east.1.1",
                                        .created = "1970-01-01T00:00:01.000Z",
                                        .payload = "{}",
                                        .command_id = COMMAND,
                                        .state = "queued",
                                        .visible_ms = 1000,
                                        .deliver_by_ms = 2000};

    OK(store_command_add(store, &command, &err));
    OK(store_invocation_add(store, &invocation, &err));
    OK(store_message_add(store, &message, &err));
}

static enum hub_status status_now(void)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct invocation_row row;

    store_invocations(store, COMMAND, INSTANCE, INT64_MAX, &c);
    ck_assert_int_eq(cursor_next_invocation(&c, &row, &err), 1);
    return row.status;
}

static int count_due(int64_t now_ms)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct message_row row;
    int n = 0, r;

    store_messages_due(store, INSTANCE, now_ms, false, &c);
    while ((r = cursor_next_message(&c, &row, &err)) > 0)
        n++;
    ck_assert_int_eq(r, 0);
    return n;
}

static const char *reply(const char *reply_id, const char *payload)
{
    struct outcome outcome;

    OK(outcome_of_reply(store, MESSAGE, reply_id, payload, 1500, &outcome, &err));
    return outcome.verdict;
}

#define REPLY(status, steps) "{\"documentStatus\":\"" status "\",\"runtimeStatus\":" steps "}"

/* ---- tests ---- */

START_TEST(what_was_committed_is_there_after_a_restart)
{
    struct command_row row;
    struct cursor c;

    add_command();
    OK(store_commit(store, &err));
    store_close(store);
    OK(store_open(path, &store, &err));
    OK(store_begin(store, &err));
    store_commands(store, COMMAND, INT64_MAX, &c);
    ck_assert_int_eq(cursor_next_command(&c, &row, &err), 1);
    ck_assert_str_eq(row.document_name, "AWS-RunShellScript");
    ck_assert_int_eq(row.counts.n[HUB_PENDING], 1);
    cursor_done(&c);
    ck_assert_int_eq(count_due(1000), 1);
}
END_TEST

START_TEST(what_was_rolled_back_is_not_there)
{
    add_command();
    store_rollback(store);
    OK(store_begin(store, &err));
    ck_assert_int_eq(count_due(1000), 0);
}
END_TEST

START_TEST(a_file_that_is_not_a_store_is_refused_and_left_alone)
{
    static const char text[] = "this is a file of somebody else's, and long enough to be looked at";
    AUTO(buf_done) struct buf found;
    struct store *other = NULL;
    char name[128];
    int fd;

    (void)snprintf(name, sizeof(name), "%s/other", dir);
    OK(fs_open_dir(AT_FDCWD, dir, &fd, &err));
    OK(fs_write_atomic(fd, "other", text, sizeof(text), 0600, false, &err));
    ck_assert_int_eq(store_open(name, &other, &err), ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err.text, "other"));
    buf_init(&found, 4096);
    OK(fs_read_file(fd, "other", &found, &err));
    ck_assert_uint_eq(found.len, sizeof(text));
    ck_assert_mem_eq(found.data, text, sizeof(text));
    (void)close(fd);
}
END_TEST

START_TEST(a_message_is_offered_when_visible_and_not_after_its_time)
{
    int64_t next_ms;

    add_command();
    ck_assert_int_eq(count_due(999), 0);
    ck_assert_int_eq(count_due(1000), 1);
    OK(store_message_delivered(store, 1, 1000, 1400, &err));
    ck_assert_int_eq(count_due(1399), 0);
    OK(store_message_next_visible(store, INSTANCE, &next_ms, &err));
    ck_assert_int_eq(next_ms, 1400);
    ck_assert_int_eq(count_due(1400), 1);
    ck_assert_int_eq(count_due(2000), 0);
    OK(store_message_end(store, MESSAGE, "acked", &err));
    ck_assert_int_eq(count_due(1400), 0);
    OK(store_message_next_visible(store, INSTANCE, &next_ms, &err));
    ck_assert_int_eq(next_ms, INT64_MAX);
    OK(store_message_requeue(store, MESSAGE, 5000, &err));
    ck_assert_int_eq(count_due(5000), 1);
}
END_TEST

START_TEST(an_undelivered_command_expires_by_its_delivery_time)
{
    int64_t next_ms;

    add_command();
    OK(store_expire(store, 1999, &next_ms, &err));
    ck_assert_int_eq(next_ms, 2000);
    ck_assert_int_eq(status_now(), HUB_PENDING);
    OK(store_expire(store, 2000, &next_ms, &err));
    ck_assert_int_eq(next_ms, INT64_MAX);
    ck_assert_int_eq(status_now(), HUB_DELIVERY_TIMED_OUT);
    OK(store_message_requeue(store, "another", 0, &err));
    ck_assert_int_eq(count_due(1500), 0);
}
END_TEST

START_TEST(a_delivered_command_expires_by_its_whole_time_and_stays_so)
{
    int64_t next_ms;

    add_command();
    OK(outcome_of_delivery(store, MESSAGE, 1100, &err));
    OK(store_expire(store, 2000, &next_ms, &err));
    ck_assert_int_eq(status_now(), HUB_IN_PROGRESS);
    ck_assert_int_eq(next_ms, 3000);
    OK(store_expire(store, 3000, &next_ms, &err));
    ck_assert_int_eq(status_now(), HUB_EXECUTION_TIMED_OUT);
    ck_assert_str_eq(reply("r1", REPLY("Success", "{}")), "conflict");
    ck_assert_int_eq(status_now(), HUB_EXECUTION_TIMED_OUT);
}
END_TEST

static const struct {
    const char *payloads[3];
    const char *verdict; /* of the last */
    enum hub_status status;
    int64_t n_terminal;
} sequences[] = {
    {{REPLY("InProgress", "null")}, "taken", HUB_IN_PROGRESS, 0},
    {{REPLY("SuccessAndReboot", "{}")}, "taken", HUB_IN_PROGRESS, 0},
    {{REPLY("Success", "{}")}, "taken", HUB_SUCCESS, 1},
    {{REPLY("Success", "{}"), REPLY("InProgress", "{}")}, "late", HUB_SUCCESS, 1},
    {{REPLY("Success", "{}"), REPLY("Success", "{}")}, "repeat", HUB_SUCCESS, 2},
    {{REPLY("Failed", "{}"), REPLY("Success", "{}")}, "conflict", HUB_FAILED, 2},
    {{REPLY("TimedOut", "{}"), REPLY("Cancelled", "{}")}, "conflict", HUB_EXECUTION_TIMED_OUT, 2},
    {{"this is not json"}, "unreadable", HUB_PENDING, 0},
    {{"[]"}, "unreadable", HUB_PENDING, 0},
    {{"{\"documentStatus\":7}"}, "unreadable", HUB_PENDING, 0},
    {{REPLY("Finished", "{}")}, "unreadable", HUB_PENDING, 0},
    {{REPLY("InProgress", "[1,2]")}, "taken", HUB_IN_PROGRESS, 0},
    {{REPLY("InProgress", "{\"s\":7}")}, "taken", HUB_IN_PROGRESS, 0},
};

START_TEST(a_terminal_status_is_never_changed)
{
    const char *verdict = NULL;
    char reply_id[] = "r0";
    int64_t n;
    int i;

    add_command();
    for (i = 0; i < 3 && sequences[_i].payloads[i] != NULL; i++) {
        reply_id[1]++;
        verdict = reply(reply_id, sequences[_i].payloads[i]);
    }
    ck_assert_str_eq(verdict, sequences[_i].verdict);
    ck_assert_int_eq(status_now(), sequences[_i].status);
    OK(store_count_terminal_replies(store, MESSAGE, &n, &err));
    ck_assert_int_eq(n, sequences[_i].n_terminal);
    ck_assert_int_eq(count_due(1500), hub_status_is_terminal(sequences[_i].status) ? 0 : 1);
}
END_TEST

START_TEST(one_reply_id_counts_once)
{
    struct event_row row;
    struct cursor c;
    int64_t n;

    add_command();
    (void)reply("same", REPLY("Success", "{}"));
    (void)reply("same", REPLY("Success", "{}"));
    OK(store_count_terminal_replies(store, MESSAGE, &n, &err));
    ck_assert_int_eq(n, 1);
    store_events(store, MESSAGE, &c);
    ck_assert_int_eq(cursor_next_event(&c, &row, &err), 1);
    ck_assert(!row.is_repeat);
    ck_assert_int_eq(cursor_next_event(&c, &row, &err), 1);
    ck_assert(row.is_repeat);
    ck_assert_str_eq(row.verdict, "repeat");
    ck_assert_int_eq(cursor_next_event(&c, &row, &err), 0);
    cursor_done(&c);
}
END_TEST

START_TEST(a_final_result_of_a_step_stands_and_a_reboot_is_not_final)
{
    struct step_row row;
    struct cursor c;

    add_command();
    (void)reply("r1",
                REPLY("InProgress", "{\"s\":{\"status\":\"SuccessAndReboot\",\"code\":194}}"));
    (void)reply("r2", REPLY("InProgress", "{\"s\":{\"status\":\"Failed\",\"code\":3,"
                                          "\"standardError\":\"no\"}}"));
    (void)reply("r3", REPLY("Success", "{\"s\":{\"status\":\"Success\",\"code\":0}}"));
    store_steps(store, COMMAND, INSTANCE, &c);
    ck_assert_int_eq(cursor_next_step(&c, &row, &err), 1);
    ck_assert_str_eq(row.status, "Failed");
    ck_assert_int_eq(row.code, 3);
    ck_assert_str_eq(row.standard_error, "no");
    ck_assert_int_eq(cursor_next_step(&c, &row, &err), 0);
    cursor_done(&c);
}
END_TEST

START_TEST(a_command_that_is_being_cancelled_stays_so_until_it_ends)
{
    bool is_changed;

    add_command();
    OK(store_invocation_move(store, 1, HUB_CANCELLING, NULL, 1200, &is_changed, &err));
    (void)reply("r1", REPLY("InProgress", "null"));
    ck_assert_int_eq(status_now(), HUB_CANCELLING);
    (void)reply("r2", REPLY("Cancelled", "{}"));
    ck_assert_int_eq(status_now(), HUB_CANCELLED);
    OK(store_invocation_move(store, 1, HUB_SUCCESS, NULL, 1300, &is_changed, &err));
    ck_assert(!is_changed);
}
END_TEST

START_TEST(a_message_without_an_id_can_be_kept)
{
    const struct message_row bare = {
        .destination = INSTANCE, .command_id = "", .state = "queued", .deliver_by_ms = INT64_MAX};
    struct message_row row;
    struct cursor c;

    OK(store_message_add(store, &bare, &err));
    store_messages(store, &c);
    ck_assert_int_eq(cursor_next_message(&c, &row, &err), 1);
    ck_assert_ptr_null(row.id);
    ck_assert_ptr_null(row.topic);
    ck_assert_ptr_null(row.payload);
    cursor_done(&c);
}
END_TEST

/* ---- the words ---- */

static const struct {
    int64_t n[HUB_STATUS_END_];
    bool is_cancelled;
    enum hub_status status;
} commands[] = {
    {{[HUB_PENDING] = 2}, false, HUB_PENDING},
    {{[HUB_PENDING] = 1, [HUB_SUCCESS] = 1}, false, HUB_IN_PROGRESS},
    {{[HUB_IN_PROGRESS] = 1}, false, HUB_IN_PROGRESS},
    {{[HUB_IN_PROGRESS] = 1, [HUB_FAILED] = 1}, false, HUB_IN_PROGRESS},
    {{[HUB_CANCELLING] = 1}, true, HUB_CANCELLING},
    {{[HUB_PENDING] = 1}, true, HUB_CANCELLING},
    {{[HUB_SUCCESS] = 2}, false, HUB_SUCCESS},
    {{[HUB_SUCCESS] = 2}, true, HUB_SUCCESS},
    {{[HUB_SUCCESS] = 1, [HUB_FAILED] = 1}, false, HUB_FAILED},
    {{[HUB_SUCCESS] = 1, [HUB_CANCELLED] = 1}, true, HUB_CANCELLED},
    {{[HUB_SUCCESS] = 1, [HUB_DELIVERY_TIMED_OUT] = 1}, false, HUB_DELIVERY_TIMED_OUT},
    {{[HUB_EXECUTION_TIMED_OUT] = 1, [HUB_DELIVERY_TIMED_OUT] = 1}, false, HUB_EXECUTION_TIMED_OUT},
    {{[HUB_FAILED] = 1, [HUB_DELIVERY_TIMED_OUT] = 1}, false, HUB_FAILED},
    {{[HUB_UNDELIVERABLE] = 1}, false, HUB_UNDELIVERABLE},
};

START_TEST(a_command_is_what_its_invocations_are)
{
    struct status_counts counts;

    memcpy(counts.n, commands[_i].n, sizeof(counts.n));
    ck_assert_str_eq(hub_status_details(status_of_command(&counts, commands[_i].is_cancelled)),
                     hub_status_details(commands[_i].status));
}
END_TEST

START_TEST(every_word_of_the_store_is_read_back)
{
    enum hub_status found;

    ck_assert(hub_status_parse(hub_status_details((enum hub_status)_i), &found));
    ck_assert_int_eq((int)found, _i);
    ck_assert(!hub_status_parse("Finished", &found));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hub store");
    TCase *life = tcase_create("life"), *replies = tcase_create("replies");
    TCase *words = tcase_create("words");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_checked_fixture(life, setup, teardown);
    tcase_add_checked_fixture(replies, setup, teardown);
    tcase_add_test(life, what_was_committed_is_there_after_a_restart);
    tcase_add_test(life, what_was_rolled_back_is_not_there);
    tcase_add_test(life, a_file_that_is_not_a_store_is_refused_and_left_alone);
    tcase_add_test(life, a_message_is_offered_when_visible_and_not_after_its_time);
    tcase_add_test(life, an_undelivered_command_expires_by_its_delivery_time);
    tcase_add_test(life, a_delivered_command_expires_by_its_whole_time_and_stays_so);
    tcase_add_test(life, a_message_without_an_id_can_be_kept);
    tcase_add_loop_test(replies, a_terminal_status_is_never_changed, 0, (int)ARRAY_LEN(sequences));
    tcase_add_test(replies, one_reply_id_counts_once);
    tcase_add_test(replies, a_final_result_of_a_step_stands_and_a_reboot_is_not_final);
    tcase_add_test(replies, a_command_that_is_being_cancelled_stays_so_until_it_ends);
    tcase_add_loop_test(words, a_command_is_what_its_invocations_are, 0, (int)ARRAY_LEN(commands));
    tcase_add_loop_test(words, every_word_of_the_store_is_read_back, 0, HUB_STATUS_END_);
    suite_add_tcase(suite, life);
    suite_add_tcase(suite, replies);
    suite_add_tcase(suite, words);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
