/* Operations without HTTP: what the fuzz target cannot judge, and what happens inside transactions.
 */
#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/str.h"
#include "hub/api.h"
#include "hub/document.h"

#define INSTANCE "i-0123456789abcdef0"
#define SEND "AmazonSSM.SendCommand"
#define GET "EC2WindowsMessageDeliveryService.GetMessages"
#define POLL                                                                                       \
    "{\"Destination\":\"" INSTANCE "\",\"MessagesRequestId\":\"0123456789abcdef\","                \
    "\"VisibilityTimeoutInSeconds\":10}"
#define COMMAND_BODY                                                                               \
    "{\"DocumentName\":\"AWS-RunShellScript\",\"InstanceIds\":[\"" INSTANCE "\"],"                 \
    "\"Parameters\":{\"commands\":[\"true\"]}}"

static char dir[64];
static struct hub hub;
static struct store *store;
static struct buf out;
static struct err err;
static struct call call;
static int64_t now_ms;

static void setup(void)
{
    char path[96];

    (void)str_copy(dir, sizeof(dir), "/tmp/hub-ops-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/hub.db", dir);
    ck_assert_msg(store_open(path, &store, &err) == 0, "%s", err.text);
    ck_assert_int_eq(document_add_built_in(store, 1, &err), 0);
    ck_assert_int_eq(store_begin(store, &err), 0);
    ck_assert_int_eq(store_instance_put(store, INSTANCE, NULL, 1, 0, &err), 0);
    ck_assert_int_eq(store_commit(store, &err), 0);
    hub =
        (struct hub){.store = store, .region = "us-east-1", .url = "http://hub", .poll_ms = 19000};
    buf_init(&out, API_MAX_ANSWER_BYTES);
    now_ms = 1000000;
}

static void teardown(void)
{
    buf_done(&out);
    store_close(store);
    store = NULL;
    ck_assert_int_eq(fs_remove_tree(AT_FDCWD, dir, &err), 0);
}

static int run(const char *target, const char *body)
{
    const struct api_entry *entry = api_find(target);

    ck_assert_ptr_nonnull(entry);
    buf_clear(&out);
    call = (struct call){.hub = &hub, .out = &out, .now_ms = now_ms};
    return api_run(&call, entry, body, strlen(body), &err);
}

START_TEST(operations_are_found_by_their_whole_name_only)
{
    static const char *const wrong[] = {NULL,
                                        "",
                                        ".",
                                        "SendCommand",
                                        "AmazonSSM",
                                        "AmazonSSM.",
                                        "AmazonSSM.sendcommand",
                                        "Amazon.SendCommand",
                                        "AmazonSSM.GetMessages",
                                        "AmazonSSM.SendCommand.x"};
    size_t i;

    ck_assert_ptr_nonnull(api_find(SEND));
    ck_assert_ptr_nonnull(api_find(GET));
    for (i = 0; i < ARRAY_LEN(wrong); i++)
        ck_assert_ptr_null(api_find(wrong[i]));
}
END_TEST

START_TEST(a_poll_waits_until_there_is_a_message)
{
    ck_assert_int_eq(run(GET, POLL), 0);
    ck_assert_int_eq(call.wait_ms, INT64_MAX);
    ck_assert_uint_eq(out.len, 0);
    ck_assert(!hub.is_woken);
    ck_assert_int_eq(run(SEND, COMMAND_BODY), 0);
    ck_assert(hub.is_woken);
    ck_assert_int_eq(run(GET, POLL), 0);
    ck_assert_int_eq(call.wait_ms, 0);
    ck_assert_ptr_nonnull(strstr(buf_str(&out), "aws.ssm.sendCommand.us.east.1.1"));
    ck_assert_int_eq(run(GET, POLL), 0);
    ck_assert_int_eq(call.wait_ms, now_ms + 10000); /* when it is visible again */
    now_ms += 10000;
    ck_assert_int_eq(run(GET, POLL), 0);
    ck_assert_int_eq(call.wait_ms, 0);
}
END_TEST

START_TEST(a_refused_call_leaves_nothing_behind)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct command_row row;

    /* the second instance is not known, which shows after the first one was looked up */
    ck_assert_int_eq(run(SEND, "{\"DocumentName\":\"AWS-RunShellScript\",\"InstanceIds\":["
                               "\"" INSTANCE "\",\"i-99999999999999999\"],"
                               "\"Parameters\":{\"commands\":[\"true\"]}}"),
                     ERR_REFUSED);
    ck_assert_str_eq(call.error_code, "InvalidInstanceId");
    ck_assert_int_eq(run(GET, POLL), 0);
    ck_assert_int_eq(call.wait_ms, INT64_MAX);
    ck_assert_int_eq(store_begin(store, &err), 0);
    store_commands(store, NULL, INT64_MAX, &c);
    ck_assert_int_eq(cursor_next_command(&c, &row, &err), 0);
    store_rollback(store);
}
END_TEST

START_TEST(what_is_over_is_over_before_anything_is_shown)
{
    ck_assert_int_eq(run(SEND, COMMAND_BODY), 0);
    now_ms += 3600 * 1000;
    ck_assert_int_eq(run("AmazonSSM.ListCommands", "{}"), 0);
    ck_assert_ptr_nonnull(strstr(buf_str(&out), "\"StatusDetails\":\"DeliveryTimedOut\""));
    ck_assert_int_eq(run(GET, POLL), 0);
    ck_assert_int_eq(call.wait_ms, INT64_MAX);
}
END_TEST

START_TEST(a_document_that_is_too_large_with_its_parameters_is_refused)
{
    AUTO(buf_done) struct buf body;
    int i;

    buf_init(&body, API_MAX_BODY_BYTES);
    (void)buf_add_str(&body, "{\"DocumentName\":\"AWS-RunShellScript\",\"InstanceIds\":[\"" INSTANCE
                             "\"],\"Parameters\":{\"commands\":[\"");
    for (i = 0; i < 930000; i++)
        (void)buf_add_char(&body, 'x');
    (void)buf_add_str(&body, "\"]}}");
    ck_assert_int_eq(buf_error(&body, "body", &err), 0);
    ck_assert_int_eq(run(SEND, buf_str(&body)), ERR_REFUSED);
    ck_assert_str_eq(call.error_code, "MaxDocumentSizeExceeded");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hub operations");
    TCase *operations = tcase_create("operations");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_checked_fixture(operations, setup, teardown);
    tcase_add_test(operations, operations_are_found_by_their_whole_name_only);
    tcase_add_test(operations, a_poll_waits_until_there_is_a_message);
    tcase_add_test(operations, a_refused_call_leaves_nothing_behind);
    tcase_add_test(operations, what_is_over_is_over_before_anything_is_shown);
    tcase_add_test(operations, a_document_that_is_too_large_with_its_parameters_is_refused);
    suite_add_tcase(suite, operations);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
