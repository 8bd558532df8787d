/* CloudWatch Logs: what becomes an event, and the calls against a peer that checks signatures. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "tests/lib/aws_peer.h"
#include "transport/logs.h"

/* ---- events ---- */

#define EVENT(text) "{\"message\":\"" text "\",\"timestamp\":7}"

static const struct {
    const char *bytes;
    bool is_end;
    enum logs_rest rest;
    const char *events;
    size_t n_bytes;
} batches[] = {
    {"", true, LOGS_REST_TRIM, "", 0},
    {"a\nb\n", true, LOGS_REST_LATER, EVENT("a\\nb\\n"), 4},
    {"a\nb", true, LOGS_REST_LATER, EVENT("a\\n"), 2},
    {"a", true, LOGS_REST_LATER, "", 0},
    {"a\nb", false, LOGS_REST_TRIM, EVENT("a\\n"), 2},
    {"a\nb\n", true, LOGS_REST_TRIM, EVENT("a\\nb"), 4},
    {"a\n\n", true, LOGS_REST_TRIM, EVENT("a\\n"), 3},
    {"a\nb", true, LOGS_REST_TRIM, EVENT("a\\nb"), 3},
    {"a\n", true, LOGS_REST_TAKE, EVENT("a\\n"), 2},
    {"\n", true, LOGS_REST_TRIM, "", 1}, /* no event may be empty */
    {"a\r\nb\rc\r\n", true, LOGS_REST_TRIM, EVENT("a\\nb\\rc"), 8},
    {"\xc3\xa4\xff\n", true, LOGS_REST_LATER, EVENT("\xc3\xa4\xef\xbf\xbd\\n"), 4},
};

START_TEST(bytes_become_events_as_the_table_says)
{
    AUTO(logs_batch_done) struct logs_batch b = {.n_events = 0};
    struct err err = {0};

    ck_assert_int_eq(logs_batch_make(batches[_i].bytes, strlen(batches[_i].bytes),
                                     batches[_i].is_end, batches[_i].rest, 7, &b, &err),
                     0);
    ck_assert_str_eq(buf_str(&b.events), batches[_i].events);
    ck_assert_uint_eq(b.n_bytes, batches[_i].n_bytes);
    ck_assert_uint_eq(b.n_events, batches[_i].events[0] != '\0');
    ck_assert(!b.is_full);
}
END_TEST

/* Lines of `line` bytes each, `n` in all: how many events, how many bytes of them. */
static const struct {
    size_t line, n;
    unsigned n_events;
    size_t n_bytes;
    bool is_full;
} sizes[] = {
    {1000, 200, 1, 200000, false}, {1000, 201, 2, 201000, false}, {200000, 4, 4, 800000, false},
    {200000, 5, 4, 800000, true},  {150000, 3, 3, 450000, false}, {300000, 1, 2, 300000, false},
    {900000, 1, 4, 800000, true},  {1, 1000000, 4, 800000, true},
};

START_TEST(no_event_is_larger_than_the_service_takes)
{
    AUTO(logs_batch_done) struct logs_batch b = {.n_events = 0};
    size_t n = sizes[_i].line * sizes[_i].n, i;
    AUTO(free) char *bytes = malloc(n);
    struct err err = {0};

    ck_assert_ptr_nonnull(bytes);
    memset(bytes, 'x', n);
    for (i = sizes[_i].line - 1; i < n; i += sizes[_i].line)
        bytes[i] = '\n';
    ck_assert_int_eq(logs_batch_make(bytes, n, true, LOGS_REST_TAKE, 7, &b, &err), 0);
    ck_assert_uint_eq(b.n_events, sizes[_i].n_events);
    ck_assert_uint_eq(b.n_bytes, sizes[_i].n_bytes);
    ck_assert_int_eq(b.is_full, sizes[_i].is_full);
}
END_TEST

START_TEST(a_line_without_end_does_not_wait_for_ever)
{
    AUTO(logs_batch_done) struct logs_batch b = {.n_events = 0};
    AUTO(free) char *bytes = malloc(LOGS_MAX_EVENT_BYTES + 10);
    struct err err = {0};

    ck_assert_ptr_nonnull(bytes);
    memset(bytes, 'x', LOGS_MAX_EVENT_BYTES + 10);
    ck_assert_int_eq(
        logs_batch_make(bytes, LOGS_MAX_EVENT_BYTES + 10, true, LOGS_REST_LATER, 7, &b, &err), 0);
    ck_assert_uint_eq(b.n_events, 1);
    ck_assert_uint_eq(b.n_bytes, LOGS_MAX_EVENT_BYTES);
}
END_TEST

/* ---- calls ---- */

static uv_loop_t loop;
static struct aws_peer peer;
static struct aws_client client;

struct answer {
    const char *operation;
    int status;
    const char *body;
};
static const struct answer *script;
static size_t n_script, n_asked;
static char last_body[1024];

static struct {
    bool is_done, is_gone, is_permanent;
    int code;
} seen;

static void on_request(void *ctx, struct script_conn *conn, const struct aws_peer_request *request)
{
    (void)ctx;
    ck_assert_ptr_null(request->refusal);
    ck_assert_uint_lt(n_asked, n_script);
    ck_assert_str_eq(request->operation, script[n_asked].operation);
    ck_assert(str_has_prefix(request->target, "Logs_20140328."));
    (void)str_copy(last_body, sizeof(last_body), request->body);
    aws_peer_reply(&peer, conn, script[n_asked].status, script[n_asked].body);
    n_asked++;
}

static void on_done(void *ctx, const struct logs_result *result)
{
    (void)ctx;
    seen.is_done = true;
    seen.code = result->err != NULL ? result->err->code : 0;
    seen.is_gone = result->is_gone;
    seen.is_permanent = result->is_permanent;
}

static void setup(void)
{
    memset(&seen, 0, sizeof(seen));
    n_asked = 0;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    aws_peer_start(&peer, &loop);
    peer.on_request = on_request;
    aws_client_start(&client, &peer, &loop);
}

static void teardown(void)
{
    aws_client_stop(&client);
    script_server_stop(&peer.server);
    script_finish_loop(&loop);
}

#define E(code) "{\"__type\":\"" code "\",\"message\":\"why\"}"

static const struct {
    const char *stream;
    struct answer answers[3];
    size_t n;
    int code;
    bool is_gone, is_permanent;
} makings[] = {
    {NULL, {{"CreateLogGroup", 200, "{}"}}, 1, 0, false, false},
    {"s", {{"CreateLogStream", 200, "{}"}}, 1, 0, false, false},
    {NULL, {{"CreateLogGroup", 400, E("ResourceAlreadyExistsException")}}, 1, 0, false, false},
    {"s", {{"CreateLogStream", 400, E("ResourceNotFoundException")}}, 1, ERR_REFUSED, true, true},
    {NULL,
     {{"CreateLogGroup", 400, E("AccessDeniedException")},
      {"DescribeLogGroups", 200, "{\"logGroups\":[{\"logGroupName\":\"gg\"}],\"nextToken\":\"n\"}"},
      {"DescribeLogGroups", 200, "{\"logGroups\":[{\"logGroupName\":\"g\"}]}"}},
     3,
     0,
     false,
     false},
    {NULL,
     {{"CreateLogGroup", 400, E("AccessDeniedException")},
      {"DescribeLogGroups", 200, "{\"logGroups\":[{\"logGroupName\":\"gg\"}]}"}},
     2,
     ERR_AUTH,
     false,
     true},
    {"s",
     {{"CreateLogStream", 400, E("OperationAbortedException")},
      {"DescribeLogStreams", 400, E("AccessDeniedException")}},
     2,
     ERR_REFUSED,
     false,
     true},
};

START_TEST(a_group_or_a_stream_that_is_there_is_as_good)
{
    struct err err = {0};

    script = makings[_i].answers;
    n_script = makings[_i].n;
    ck_assert_int_eq(logs_create(client.aws, "g", makings[_i].stream, on_done, NULL, NULL, &err),
                     0);
    script_run_until(&loop, &seen.is_done);
    ck_assert_uint_eq(n_asked, n_script);
    ck_assert_int_eq(seen.code, makings[_i].code);
    ck_assert_int_eq(seen.is_gone, makings[_i].is_gone);
    ck_assert_int_eq(seen.is_permanent, makings[_i].is_permanent);
}
END_TEST

static const struct {
    struct answer answers[8];
    size_t n;
    int code;
    bool is_gone;
} puttings[] = {
    {{{"PutLogEvents", 200, "{\"nextSequenceToken\":\"t\"}"}}, 1, 0, false},
    {{{"PutLogEvents", 400, E("DataAlreadyAcceptedException")}}, 1, 0, false},
    {{{"PutLogEvents", 400, E("ResourceNotFoundException")}}, 1, ERR_REFUSED, true},
    {{{"PutLogEvents", 500, E("InternalFailure")}, {"PutLogEvents", 200, "{}"}}, 2, 0, false},
    {{{"PutLogEvents", 400, E("InvalidSequenceTokenException")},
      {"DescribeLogStreams", 200,
       "{\"logStreams\":[{\"logStreamName\":\"s\",\"uploadSequenceToken\":\"tok\"}]}"},
      {"PutLogEvents", 200, "{}"}},
     3,
     0,
     false},
    {{{"PutLogEvents", 400, E("InvalidSequenceTokenException")},
      {"DescribeLogStreams", 200, "{\"logStreams\":[]}"}},
     2,
     ERR_REFUSED,
     true},
};

START_TEST(a_batch_is_taken_or_told_why_not)
{
    AUTO(logs_batch_done) struct logs_batch b = {.n_events = 0};
    struct err err = {0};

    script = puttings[_i].answers;
    n_script = puttings[_i].n;
    ck_assert_int_eq(logs_batch_make("x\n", 2, true, LOGS_REST_TRIM, 7, &b, &err), 0);
    ck_assert_int_eq(logs_put(client.aws, "g", "s", &b, on_done, NULL, NULL, &err), 0);
    script_run_until(&loop, &seen.is_done);
    ck_assert_uint_eq(n_asked, n_script);
    ck_assert_int_eq(seen.code, puttings[_i].code);
    ck_assert_int_eq(seen.is_gone, puttings[_i].is_gone);
    if (n_script == 1)
        ck_assert_str_eq(last_body, "{\"logGroupName\":\"g\",\"logStreamName\":\"s\","
                                    "\"logEvents\":[{\"message\":\"x\",\"timestamp\":7}]}");
    if (n_script == 3)
        ck_assert_ptr_nonnull(strstr(last_body, "\"sequenceToken\":\"tok\""));
}
END_TEST

START_TEST(sequence_tokens_are_not_asked_for_without_end)
{
    static const struct answer answers[] = {
        {"PutLogEvents", 400, E("InvalidSequenceTokenException")},
        {"DescribeLogStreams", 200, "{\"logStreams\":[{\"logStreamName\":\"s\"}]}"},
        {"PutLogEvents", 400, E("InvalidSequenceTokenException")},
        {"DescribeLogStreams", 200, "{\"logStreams\":[{\"logStreamName\":\"s\"}]}"},
        {"PutLogEvents", 400, E("InvalidSequenceTokenException")},
        {"DescribeLogStreams", 200, "{\"logStreams\":[{\"logStreamName\":\"s\"}]}"},
        {"PutLogEvents", 400, E("InvalidSequenceTokenException")},
    };
    AUTO(logs_batch_done) struct logs_batch b = {.n_events = 0};
    struct err err = {0};

    script = answers;
    n_script = ARRAY_LEN(answers);
    ck_assert_int_eq(logs_batch_make("x\n", 2, true, LOGS_REST_TRIM, 7, &b, &err), 0);
    ck_assert_int_eq(logs_put(client.aws, "g", "s", &b, on_done, NULL, NULL, &err), 0);
    script_run_until(&loop, &seen.is_done);
    ck_assert_uint_eq(n_asked, n_script);
    ck_assert_int_eq(seen.code, ERR_REFUSED);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("logs");
    TCase *events = tcase_create("events"), *calls = tcase_create("calls");
    SRunner *runner;
    int n_failed;

    tcase_add_loop_test(events, bytes_become_events_as_the_table_says, 0, ARRAY_LEN(batches));
    tcase_add_loop_test(events, no_event_is_larger_than_the_service_takes, 0, ARRAY_LEN(sizes));
    tcase_add_test(events, a_line_without_end_does_not_wait_for_ever);
    tcase_add_checked_fixture(calls, setup, teardown);
    tcase_add_loop_test(calls, a_group_or_a_stream_that_is_there_is_as_good, 0, ARRAY_LEN(makings));
    tcase_add_loop_test(calls, a_batch_is_taken_or_told_why_not, 0, ARRAY_LEN(puttings));
    tcase_add_test(calls, sequence_tokens_are_not_asked_for_without_end);
    suite_add_tcase(suite, events);
    suite_add_tcase(suite, calls);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
