/* The ec2messages poll loop and the answers, against a scripted service. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/str.h"
#include "tests/lib/aws_peer.h"
#include "tests/lib/loop_until.h"
#include "transport/mds.h"

#define LONG_MS (3600 * 1000)
#define INSTANCE "i-0123456789abcdef0"
#define MESSAGE_ID "aws.ssm.2b196342-d7d4-436e-8f09-3883a1116ac3." INSTANCE
#define MESSAGE(id)                                                                                \
    "{\"CreatedDate\":\"2024-01-02T03:04:05.000Z\",\"Destination\":\"" INSTANCE                    \
    "\",\"MessageId\":\"" id "\",\"Payload\":\"{}\",\"PayloadDigest\":\"x\","                      \
    "\"Topic\":\"aws.ssm.sendCommand.us.east.1.1\"}"
#define BATCH(messages)                                                                            \
    "{\"Destination\":\"" INSTANCE "\",\"MessagesRequestId\":\"r\",\"Messages\":[" messages "]}"

static uv_loop_t loop;
static struct aws_peer peer;
static struct aws_client client;
static struct mds *mds;

enum step { HOLD, EMPTY, ONE, THREE, BAD_ONE, UNUSABLE, NOT_JSON, FAIL, DENY, RESET, RESET_LATE };
static const enum step *script;
static size_t n_script;
static unsigned n_polls;
static bool is_script_over; /* the request after the last step came in */
static char last_body[512], last_operation[64], seen_ids[8][UUID_SIZE];
static struct script_conn *held;

static char got[8][128];
static unsigned n_got;
static void (*during_message)(void);

static void on_message(void *ctx, const struct mds_message *m)
{
    (void)ctx;
    ck_assert_uint_lt(n_got, ARRAY_LEN(got));
    ck_assert_str_eq(m->payload, "{}");
    ck_assert_str_eq(m->topic, "aws.ssm.sendCommand.us.east.1.1");
    (void)str_copy(got[n_got++], sizeof(got[0]), m->message_id);
    if (during_message != NULL)
        during_message();
}

static void on_request(void *ctx, struct script_conn *conn, const struct aws_peer_request *request)
{
    enum step step;

    (void)ctx;
    ck_assert_msg(request->refusal == NULL, "%s", request->refusal);
    (void)str_copy(last_body, sizeof(last_body), request->body);
    (void)str_copy(last_operation, sizeof(last_operation), request->operation);
    ck_assert(str_has_prefix(request->target, "EC2WindowsMessageDeliveryService."));
    if (strcmp(request->operation, "GetMessages") != 0)
        return; /* those tests have their own */
    if (n_polls < ARRAY_LEN(seen_ids))
        (void)str_copy(seen_ids[n_polls], UUID_SIZE,
                       strstr(request->body, "MessagesRequestId\":\"") + 20);
    if (n_polls >= n_script) {
        n_polls++;
        is_script_over = true;
        return;
    }
    step = script[n_polls++];
    switch (step) {
    case HOLD:
        break;
    case EMPTY:
        aws_peer_reply(&peer, conn, 200, BATCH(""));
        break;
    case ONE:
        aws_peer_reply(&peer, conn, 200, BATCH(MESSAGE(MESSAGE_ID)));
        break;
    case THREE:
        aws_peer_reply(&peer, conn, 200,
                       BATCH(MESSAGE("message-id-000001") "," MESSAGE(
                           "message-id-000002") "," MESSAGE("message-id-000003")));
        break;
    case BAD_ONE:
        aws_peer_reply(&peer, conn, 200, BATCH("{\"MessageId\":7}," MESSAGE(MESSAGE_ID)));
        break;
    case UNUSABLE:
        aws_peer_reply(&peer, conn, 200, BATCH("{\"MessageId\":7}"));
        break;
    case NOT_JSON:
        aws_peer_reply(&peer, conn, 200, "<html>");
        break;
    case FAIL:
        aws_peer_reply(&peer, conn, 500, "{\"__type\":\"InternalServerException\"}");
        break;
    case DENY:
        aws_peer_reply(&peer, conn, 400, "{\"__type\":\"AccessDeniedException\"}");
        break;
    case RESET:
        script_reset(conn);
        break;
    case RESET_LATE:
        held = conn;
        break;
    }
}

static void new_mds(const struct mds_options *given)
{
    struct mds_options options = *given;
    struct err err = {0};

    options.aws = client.aws;
    options.instance_id = INSTANCE;
    options.on_message = on_message;
    ck_assert_msg(mds_new(&loop, &options, &mds, &err) == 0, "%s", err.text);
}

/* Pauses of a few milliseconds: the tests wait for the next request, not for a time. */
static const struct mds_options quick = {
    .backoff_first_ms = 2, .backoff_cap_ms = 8, .empty_pause_ms = 4, .n_reply_retries = 3};

static void setup(void)
{
    n_polls = n_got = 0;
    is_script_over = false;
    during_message = NULL;
    held = NULL;
    script = NULL;
    n_script = 0;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    aws_peer_start(&peer, &loop);
    peer.on_request = on_request;
    aws_client_start(&client, &peer, &loop);
    mds = NULL;
}

static void teardown(void)
{
    mds_close(mds);
    aws_client_stop(&client);
    script_server_stop(&peer.server);
    script_finish_loop(&loop);
    clock_set_source(NULL);
}

static struct mds_state state(void)
{
    struct mds_state s;

    mds_get_state(mds, &s);
    return s;
}

#define RUN(options, ...)                                                                          \
    do {                                                                                           \
        static const enum step steps_[] = {__VA_ARGS__};                                           \
        script = steps_;                                                                           \
        n_script = ARRAY_LEN(steps_);                                                              \
        new_mds(options);                                                                          \
        mds_resume(mds, MDS_PAUSE_NOT_STARTED);                                                    \
        script_run_until(&loop, &is_script_over);                                                  \
    } while (0)

START_TEST(nothing_is_polled_before_it_is_resumed)
{
    new_mds(&quick);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_uint_eq(state().pause_reasons, MDS_PAUSE_NOT_STARTED);
    ck_assert(!state().is_polling);
    ck_assert_uint_eq(n_polls, 0);
}
END_TEST

START_TEST(the_poll_asks_as_the_reference_does_with_a_new_id_each_time)
{
    char expected[256];

    RUN(&quick, EMPTY, EMPTY);
    (void)snprintf(expected, sizeof(expected),
                   "{\"Destination\":\"" INSTANCE "\",\"MessagesRequestId\":\"%s\","
                   "\"VisibilityTimeoutInSeconds\":10}",
                   seen_ids[2]);
    ck_assert_str_eq(last_body, expected);
    ck_assert(ids_is_uuid(seen_ids[0]));
    ck_assert_str_ne(seen_ids[0], seen_ids[1]);
    ck_assert_str_ne(seen_ids[1], seen_ids[2]);
}
END_TEST

START_TEST(messages_are_handed_over_in_order_and_the_next_poll_begins_at_once)
{
    /* An hour of pause would not let the second poll come: there must be none. */
    const struct mds_options options = {.empty_pause_ms = 3600 * 1000};

    RUN(&options, THREE, ONE);
    ck_assert_uint_eq(n_got, 4);
    ck_assert_str_eq(got[0], "message-id-000001");
    ck_assert_str_eq(got[1], "message-id-000002");
    ck_assert_str_eq(got[2], "message-id-000003");
    ck_assert_str_eq(got[3], MESSAGE_ID);
    ck_assert(state().is_polling);
    ck_assert(state().is_connected);
    ck_assert_uint_eq(state().n_messages, 4);
    ck_assert_int_gt(state().last_success_unix_ms, 0);
}
END_TEST

START_TEST(a_malformed_message_does_not_hurt_the_others)
{
    RUN(&quick, BAD_ONE);
    ck_assert_uint_eq(n_got, 1);
    ck_assert_str_eq(got[0], MESSAGE_ID);
}
END_TEST

START_TEST(a_message_that_is_dropped_again_and_again_fills_no_log)
{
    AUTO(fclose) FILE *log = tmpfile();
    char text[4096] = "";
    const char *p;
    size_t n = 0;

    ck_assert_ptr_nonnull(log);
    log_set_fd(fileno(log));
    RUN(&quick, UNUSABLE, UNUSABLE, UNUSABLE, BAD_ONE, UNUSABLE);
    log_set_fd(2);
    rewind(log);
    ck_assert_uint_gt(fread(text, 1, sizeof(text) - 1, log), 0);
    for (p = text; (p = strstr(p, "dropped message")) != NULL; p++)
        n++;
    ck_assert_uint_eq(n, 1);
}
END_TEST

START_TEST(a_quick_round_without_a_usable_message_is_followed_by_the_references_pause)
{
    static const enum step rounds[] = {EMPTY, UNUSABLE};
    const enum step steps[] = {rounds[_i]};
    const struct mds_options defaults = {.quick_round_ms = LONG_MS};
    int64_t wait_ms, began_ms = clock_wall_ms();

    script = steps;
    n_script = 1;
    new_mds(&defaults);
    mds_resume(mds, MDS_PAUSE_NOT_STARTED);
    LOOP_UNTIL(&loop, state().last_success_unix_ms != 0);
    wait_ms = state().next_try_unix_ms - state().last_success_unix_ms;
    ck_assert_msg(wait_ms >= 2000 && wait_ms <= 2499 + (clock_wall_ms() - began_ms), "%lld",
                  (long long)wait_ms);
    ck_assert(!state().is_polling);
    mds_poll_now(mds); /* somebody asked */
    script_run_until(&loop, &is_script_over);
    ck_assert_int_eq(state().next_try_unix_ms, 0);
}
END_TEST

static void forget_messages(void)
{
    n_got = 0;
}

START_TEST(messages_without_end_are_not_asked_for_without_a_pause)
{
    static enum step steps[1000];
    const struct mds_options options = {.empty_pause_ms = LONG_MS, .quick_round_ms = LONG_MS};
    size_t i;

    for (i = 0; i < ARRAY_LEN(steps); i++)
        steps[i] = ONE;
    script = steps;
    n_script = ARRAY_LEN(steps);
    during_message = forget_messages;
    new_mds(&options);
    mds_resume(mds, MDS_PAUSE_NOT_STARTED);
    LOOP_UNTIL(&loop, state().next_try_unix_ms >= clock_wall_ms() + 60000);
    ck_assert_uint_eq(n_polls, 201);
}
END_TEST

START_TEST(a_poll_that_the_service_held_to_our_limit_is_a_success)
{
    static const enum step steps[] = {HOLD};
    const struct mds_options options = {.stop_timeout_ms = 500, .empty_pause_ms = 1};

    script = steps;
    n_script = 1;
    new_mds(&options);
    mds_resume(mds, MDS_PAUSE_NOT_STARTED);
    LOOP_UNTIL(&loop, state().last_success_unix_ms != 0 || state().n_failures > 0);
    ck_assert_uint_eq(state().n_failures, 0);
    ck_assert(state().is_connected);
    ck_assert_int_eq(state().last_error.code, 0);
    script_run_until(&loop, &is_script_over); /* and the next one follows */
}
END_TEST

static void reset_held(uv_timer_t *timer)
{
    if (state().last_success_unix_ms == 0) /* else we gave it up: the machine is very busy */
        script_reset(held);
    uv_close((uv_handle_t *)timer, NULL);
}

START_TEST(a_waiting_poll_that_is_cut_off_late_is_a_success)
{
    static const enum step steps[] = {RESET_LATE};
    const struct mds_options options = {.stop_timeout_ms = 1600, .empty_pause_ms = 1};
    uv_timer_t timer;

    script = steps;
    n_script = 1;
    new_mds(&options);
    mds_resume(mds, MDS_PAUSE_NOT_STARTED);
    LOOP_UNTIL(&loop, held != NULL);
    ck_assert_int_eq(uv_timer_init(&loop, &timer), 0);
    ck_assert_int_eq(uv_timer_start(&timer, reset_held, 900, 0), 0); /* later than half the limit */
    script_run_until(&loop, &is_script_over);
    ck_assert_uint_eq(state().n_failures, 0);
    ck_assert(state().is_connected);
}
END_TEST

static const struct {
    enum step step;
    int code;
} failures[] = {
    {RESET, ERR_NETWORK}, {FAIL, ERR_SERVER}, {DENY, ERR_AUTH}, {NOT_JSON, ERR_PROTOCOL}};

START_TEST(failures_are_counted_until_a_success_clears_them)
{
    const enum step steps[] = {failures[_i].step, failures[_i].step, failures[_i].step, ONE};

    script = steps;
    n_script = 3;
    new_mds(&quick);
    mds_resume(mds, MDS_PAUSE_NOT_STARTED);
    script_run_until(&loop, &is_script_over);
    ck_assert_uint_eq(state().n_failures, 3);
    ck_assert(!state().is_connected);
    ck_assert_int_eq(state().last_error.code, failures[_i].code);
    ck_assert(str_has_prefix(state().last_error.text, "ec2messages GetMessages"));
    ck_assert_int_gt(state().last_error_unix_ms, 0);

    mds_pause(mds, MDS_PAUSE_JOURNAL);
    n_script = 4;
    n_polls = 3;
    is_script_over = false;
    mds_resume(mds, MDS_PAUSE_JOURNAL);
    script_run_until(&loop, &is_script_over);
    ck_assert_uint_eq(state().n_failures, 0);
    ck_assert(state().is_connected);
    ck_assert_uint_eq(n_got, 1);
    ck_assert_int_eq(state().last_error.code, failures[_i].code); /* kept for people */
}
END_TEST

START_TEST(a_service_out_of_reach_is_a_failure_with_backoff)
{
    const struct mds_options options = {.backoff_first_ms = LONG_MS, .backoff_cap_ms = LONG_MS};

    script_server_stop(&peer.server);
    new_mds(&options);
    mds_resume(mds, MDS_PAUSE_NOT_STARTED);
    LOOP_UNTIL(&loop, state().n_failures > 0);
    ck_assert(!state().is_connected);
    ck_assert_int_eq(state().last_error.code, ERR_NETWORK);
    ck_assert_int_ge(state().next_try_unix_ms - state().last_error_unix_ms, 1800 * 1000 - 1000);
}
END_TEST

START_TEST(a_connection_never_made_is_a_failure_however_long_it_took)
{
    /* The peer takes the connection and says nothing, so the TLS handshake never ends. */
    const struct mds_options options = {
        .stop_timeout_ms = 60, .backoff_first_ms = 3600 * 1000, .backoff_cap_ms = 3600 * 1000};
    struct aws_options aws_options = {
        .http = client.http, .credentials = client.credentials, .region = "us-east-1"};
    char url[64];

    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%d", peer.server.port);
    aws_options.endpoints[AWS_EC2MESSAGES] = url;
    aws_close(client.aws);
    ck_assert_int_eq(aws_new(&loop, &aws_options, &client.aws, NULL), 0);
    new_mds(&options);
    mds_resume(mds, MDS_PAUSE_NOT_STARTED);
    LOOP_UNTIL(&loop, state().n_failures > 0 || state().last_success_unix_ms != 0);
    ck_assert_uint_eq(state().n_failures, 1);
    ck_assert_int_eq(state().last_error.code, ERR_TIMEOUT);
    ck_assert(!state().is_connected);
}
END_TEST

START_TEST(a_pause_ends_the_poll_and_every_reason_must_go)
{
    RUN(&quick, EMPTY);
    mds_pause(mds, MDS_PAUSE_JOURNAL);
    mds_pause(mds, MDS_PAUSE_CONTROL_CHANNEL);
    ck_assert(!state().is_polling);
    is_script_over = false;
    n_polls = 0;
    mds_resume(mds, MDS_PAUSE_JOURNAL);
    mds_poll_now(mds);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert(!state().is_polling);
    ck_assert_uint_eq(n_polls, 0);
    mds_resume(mds, MDS_PAUSE_CONTROL_CHANNEL);
    script_run_until(&loop, &is_script_over);
    ck_assert(state().is_polling);
}
END_TEST

static void pause_now(void)
{
    mds_pause(mds, MDS_PAUSE_JOURNAL);
}
static void pause_and_resume(void)
{
    mds_pause(mds, MDS_PAUSE_JOURNAL);
    mds_resume(mds, MDS_PAUSE_JOURNAL);
}
static void close_now(void)
{
    mds_close(mds);
    mds = NULL;
}

START_TEST(a_pause_during_a_message_keeps_back_the_rest)
{
    static const enum step steps[] = {THREE};

    script = steps;
    n_script = 1;
    during_message = pause_now;
    new_mds(&quick);
    mds_resume(mds, MDS_PAUSE_NOT_STARTED);
    LOOP_UNTIL(&loop, n_got > 0);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_uint_eq(n_got, 1);
    ck_assert_uint_eq(n_polls, 1);
    ck_assert(!state().is_polling);
    mds_resume(mds, MDS_PAUSE_JOURNAL);
    script_run_until(&loop, &is_script_over);
    ck_assert_uint_eq(n_polls, 2);
}
END_TEST

START_TEST(pausing_and_resuming_during_a_message_leaves_one_poll)
{
    during_message = pause_and_resume;
    RUN(&quick, THREE);
    ck_assert_uint_eq(n_got, 3);
    ck_assert_uint_eq(n_polls, 2);
    ck_assert(state().is_polling);
}
END_TEST

START_TEST(closing_during_a_message_is_allowed)
{
    static const enum step steps[] = {THREE};

    script = steps;
    n_script = 1;
    during_message = close_now;
    new_mds(&quick);
    mds_resume(mds, MDS_PAUSE_NOT_STARTED);
    LOOP_UNTIL(&loop, n_got > 0);
    ck_assert_uint_eq(n_got, 1);
}
END_TEST

/* --- the answers --- */

static struct {
    bool is_done;
    int code;
    char error_code[128];
} answer;

static void on_answer(void *ctx, const struct aws_result *result)
{
    (void)ctx;
    answer.is_done = true;
    answer.code = result->err != NULL ? result->err->code : 0;
    (void)str_copy(answer.error_code, sizeof(answer.error_code), result->error_code);
}

static int answer_status;
static const char *answer_body;

static void on_reply_request(void *ctx, struct script_conn *conn,
                             const struct aws_peer_request *request)
{
    on_request(ctx, conn, request);
    aws_peer_reply(&peer, conn, answer_status, answer_body);
}

static const struct {
    int which;
    const char *operation, *body;
} calls[] = {
    {0, "SendReply",
     "{\"MessageId\":\"" MESSAGE_ID "\",\"Payload\":\"{\\\"a\\\":\\\"\\\\u0001\\n\\\"}\","
     "\"ReplyId\":\"r-1\"}"},
    {1, "AcknowledgeMessage", "{\"MessageId\":\"" MESSAGE_ID "\"}"},
    {2, "FailMessage",
     "{\"FailureType\":\"InternalHandlerException\",\"MessageId\":\"" MESSAGE_ID "\"}"},
};

static void start_answer(int which)
{
    static const char payload[] = "{\"a\":\"\\u0001\n\"}";
    struct err err = {0};
    int r;

    memset(&answer, 0, sizeof(answer));
    switch (which) {
    case 0:
        r = mds_send_reply(mds, MESSAGE_ID, "r-1", payload, sizeof(payload) - 1, on_answer, NULL,
                           NULL, &err);
        break;
    case 1:
        r = mds_acknowledge(mds, MESSAGE_ID, on_answer, NULL, NULL, &err);
        break;
    default:
        r = mds_fail(mds, MESSAGE_ID, on_answer, NULL, NULL, &err);
        break;
    }
    ck_assert_msg(r == 0, "%s", err.text);
    script_run_until(&loop, &answer.is_done);
}

START_TEST(each_answer_has_the_members_of_its_operation)
{
    peer.on_request = on_reply_request;
    answer_status = 200;
    answer_body = "{}";
    new_mds(&quick); /* paused: answers go out all the same */
    start_answer(calls[_i].which);
    ck_assert_int_eq(answer.code, 0);
    ck_assert_str_eq(last_operation, calls[_i].operation);
    ck_assert_str_eq(last_body, calls[_i].body);
}
END_TEST

static const struct {
    int status;
    const char *body;
    enum err_class class;
    unsigned n_requests;
} classes[] = {
    {400, "{\"__type\":\"InvalidMessageIdException\"}", ERR_CLASS_PERMANENT, 1},
    {400, "{\"__type\":\"UnsupportedMessageOperationException\"}", ERR_CLASS_PERMANENT, 1},
    {400, "{\"__type\":\"ValidationException\"}", ERR_CLASS_PERMANENT, 1},
    {400, "{\"__type\":\"AuthorizationFailureException\"}", ERR_CLASS_RETRY, 1},
    {400, "{\"__type\":\"TooManyRequestsException\"}", ERR_CLASS_RETRY, 4},
    {500, "{\"__type\":\"InternalServerException\"}", ERR_CLASS_RETRY, 4},
    {404, "<html>", ERR_CLASS_RETRY, 1},
    {200, "<html>", ERR_CLASS_RETRY, 1},
};

START_TEST(only_the_services_own_refusal_ends_a_reply)
{
    peer.on_request = on_reply_request;
    answer_status = classes[_i].status;
    answer_body = classes[_i].body;
    new_mds(&quick);
    start_answer(0);
    ck_assert_int_ne(answer.code, 0);
    ck_assert_int_eq(err_class_of(answer.code), classes[_i].class);
    ck_assert_uint_eq(peer.server.n_requests, classes[_i].n_requests);
}
END_TEST

START_TEST(a_reply_under_way_survives_the_end_of_polling)
{
    struct err err = {0};

    peer.on_request = on_reply_request;
    answer_status = 200;
    answer_body = "{}";
    memset(&answer, 0, sizeof(answer));
    new_mds(&quick);
    ck_assert_int_eq(mds_acknowledge(mds, MESSAGE_ID, on_answer, NULL, NULL, &err), 0);
    mds_close(mds);
    mds = NULL;
    script_run_until(&loop, &answer.is_done);
    ck_assert_int_eq(answer.code, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mds");
    TCase *polling = tcase_create("polling"), *answers = tcase_create("answers");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_checked_fixture(polling, setup, teardown);
    tcase_add_checked_fixture(answers, setup, teardown);
    tcase_add_test(polling, nothing_is_polled_before_it_is_resumed);
    tcase_add_test(polling, the_poll_asks_as_the_reference_does_with_a_new_id_each_time);
    tcase_add_test(polling, messages_are_handed_over_in_order_and_the_next_poll_begins_at_once);
    tcase_add_test(polling, a_malformed_message_does_not_hurt_the_others);
    tcase_add_test(polling, a_message_that_is_dropped_again_and_again_fills_no_log);
    tcase_add_loop_test(
        polling, a_quick_round_without_a_usable_message_is_followed_by_the_references_pause, 0, 2);
    tcase_add_test(polling, messages_without_end_are_not_asked_for_without_a_pause);
    tcase_add_test(polling, a_poll_that_the_service_held_to_our_limit_is_a_success);
    tcase_add_test(polling, a_waiting_poll_that_is_cut_off_late_is_a_success);
    tcase_add_loop_test(polling, failures_are_counted_until_a_success_clears_them, 0,
                        (int)ARRAY_LEN(failures));
    tcase_add_test(polling, a_service_out_of_reach_is_a_failure_with_backoff);
    tcase_add_test(polling, a_connection_never_made_is_a_failure_however_long_it_took);
    tcase_add_test(polling, a_pause_ends_the_poll_and_every_reason_must_go);
    tcase_add_test(polling, a_pause_during_a_message_keeps_back_the_rest);
    tcase_add_test(polling, pausing_and_resuming_during_a_message_leaves_one_poll);
    tcase_add_test(polling, closing_during_a_message_is_allowed);
    tcase_add_loop_test(answers, each_answer_has_the_members_of_its_operation, 0,
                        (int)ARRAY_LEN(calls));
    tcase_add_loop_test(answers, only_the_services_own_refusal_ends_a_reply, 0,
                        (int)ARRAY_LEN(classes));
    tcase_add_test(answers, a_reply_under_way_survives_the_end_of_polling);
    suite_add_tcase(suite, polling);
    suite_add_tcase(suite, answers);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
