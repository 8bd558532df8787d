/* Calls of JSON services against a peer that checks signatures: what is sent, what an answer means,
 * what is tried again, and that a wrong clock heals. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "tests/lib/aws_peer.h"
#include "transport/aws_classify.h"
#include "transport/ssm.h"

static uv_loop_t loop;
static struct aws_peer peer;
static struct aws_client client;

static struct {
    bool is_done;
    unsigned n_calls;
    int code;
    long status;
    char text[512], error_code[128], body[256], request_id[64];
} seen;

static void on_done(void *ctx, const struct aws_result *result)
{
    (void)ctx;
    seen.is_done = true;
    seen.n_calls++;
    seen.code = result->err != NULL ? result->err->code : 0;
    seen.status = result->http_status;
    (void)str_copy(seen.text, sizeof(seen.text), result->err != NULL ? result->err->text : "");
    (void)str_copy(seen.error_code, sizeof(seen.error_code), result->error_code);
    (void)str_copy(seen.body, sizeof(seen.body), result->body);
    (void)str_copy(seen.request_id, sizeof(seen.request_id), result->request_id);
}

/* The answers to the 1st, 2nd, ... request; the last row repeats. Status 0: reset. */
struct answer {
    int status;
    const char *body;
};
static const struct answer *script;
static size_t n_script;
static char last_body[1024], last_raw[4096], last_target[128];
static unsigned n_refused;

static void on_request(void *ctx, struct script_conn *conn, const struct aws_peer_request *request)
{
    size_t i = request->number - 1 < n_script ? request->number - 1 : n_script - 1;
    char body[256];

    (void)ctx;
    (void)str_copy(last_body, sizeof(last_body), request->body);
    (void)str_copy(last_raw, sizeof(last_raw), request->raw);
    (void)str_copy(last_target, sizeof(last_target), request->target);
    if (request->refusal != NULL) {
        n_refused++;
        (void)snprintf(body, sizeof(body), "{\"__type\":\"com.amazon#%s\",\"message\":\"no\"}",
                       request->refusal);
        aws_peer_reply(&peer, conn, 400, body);
    } else if (script[i].status == 0) {
        script_reset(conn);
    } else {
        aws_peer_reply(&peer, conn, script[i].status, script[i].body);
    }
}

static void setup(void)
{
    static const struct answer fine[] = {{200, "{}"}};

    memset(&seen, 0, sizeof(seen));
    n_refused = 0;
    script = fine;
    n_script = 1;
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
    clock_set_source(NULL);
}

static void call(unsigned n_retries)
{
    const struct aws_request request = {.service = AWS_SSM,
                                        .operation = "GetParameters",
                                        .body = "{\"Names\":[]}",
                                        .body_len = 12,
                                        .n_retries = n_retries};
    struct err err = {0};

    memset(&seen, 0, sizeof(seen));
    ck_assert_msg(aws_start(client.aws, &request, on_done, NULL, NULL, &err) == 0, "%s", err.text);
    ck_assert(!seen.is_done);
    script_run_until(&loop, &seen.is_done);
    ck_assert_uint_eq(seen.n_calls, 1);
}

START_TEST(a_call_goes_out_signed_with_its_target)
{
    char value[256];

    call(0);
    ck_assert_msg(seen.code == 0, "%s", seen.text);
    ck_assert_str_eq(seen.body, "{}");
    ck_assert_str_eq(seen.request_id, "req-1");
    ck_assert_str_eq(last_target, "AmazonSSM.GetParameters");
    ck_assert_str_eq(last_body, "{\"Names\":[]}");
    script_header(last_raw, "Content-Type", value, sizeof(value));
    ck_assert_str_eq(value, "application/x-amz-json-1.1");
    script_header(last_raw, "Authorization", value, sizeof(value));
    ck_assert_ptr_nonnull(strstr(value, "SignedHeaders=content-length;content-type;host;x-amz-date;"
                                        "x-amz-security-token;x-amz-target, "));
}
END_TEST

#define E(code) "{\"__type\":\"com.amazonaws.ssm#" code "\",\"message\":\"because\"}"

static const struct {
    struct answer answers[5];
    size_t n_answers;
    unsigned n_retries;
    int code;
    const char *error_code;
    unsigned n_requests;
} outcomes[] = {
    {{{400, E("InvalidMessageIdException")}}, 1, 3, ERR_REFUSED, "InvalidMessageIdException", 1},
    {{{400, "{\"__type\":\"ValidationException\",\"Message\":\"m\"}"}},
     1,
     3,
     ERR_REFUSED,
     "ValidationException",
     1},
    {{{404, E("UnknownOperationException")}}, 1, 3, ERR_REFUSED, "UnknownOperationException", 1},
    {{{413, E("TooLarge")}}, 1, 3, ERR_REFUSED, "TooLarge", 1},
    {{{404, "<html>nginx</html>"}}, 1, 3, ERR_PROTOCOL, "SerializationError", 1},
    {{{400, ""}}, 1, 3, ERR_PROTOCOL, "SerializationError", 1},
    {{{301, ""}}, 1, 3, ERR_PROTOCOL, "SerializationError", 1},
    {{{200, "<html>log in here</html>"}}, 1, 3, ERR_PROTOCOL, "", 1},
    {{{200, "{\"cut\":"}}, 1, 3, ERR_PROTOCOL, "", 1},
    {{{200, ""}}, 1, 3, 0, "", 1},
    {{{200, " {\"a\":1}\n"}}, 1, 3, 0, "", 1},
    {{{400, E("ThrottlingException")}}, 1, 3, ERR_THROTTLED, "ThrottlingException", 4},
    {{{400, E("ThrottlingException")}}, 1, 0, ERR_THROTTLED, "ThrottlingException", 1},
    {{{429, ""}, {200, "{}"}}, 2, 3, 0, "", 2},
    {{{500, E("InternalServerError")}, {503, ""}, {200, "{}"}}, 3, 3, 0, "", 3},
    {{{500, E("InternalServerError")}}, 1, 3, ERR_SERVER, "InternalServerError", 4},
    {{{501, ""}}, 1, 3, ERR_SERVER, "SerializationError", 1},
    {{{408, ""}, {200, "{}"}}, 2, 3, 0, "", 2},
    {{{400, E("RequestTimeoutException")}, {200, "{}"}}, 2, 3, 0, "", 2},
    {{{400, E("AccessDeniedException")}}, 1, 3, ERR_AUTH, "AccessDeniedException", 1},
    {{{403, ""}}, 1, 3, ERR_AUTH, "SerializationError", 1},
    {{{400, E("ExpiredTokenException")}}, 1, 3, ERR_AUTH, "ExpiredTokenException", 4},
    {{{400, E("UnrecognizedClientException")}}, 1, 3, ERR_AUTH, "UnrecognizedClientException", 1},
    {{{0, NULL}, {0, NULL}, {200, "{}"}}, 3, 3, 0, "", 3},
    {{{0, NULL}}, 1, 3, ERR_NETWORK, "", 4},
    {{{0, NULL}}, 1, 0, ERR_NETWORK, "", 1},
};

START_TEST(each_answer_is_classified_and_tried_again_as_documented)
{
    script = outcomes[_i].answers;
    n_script = outcomes[_i].n_answers;
    call(outcomes[_i].n_retries);
    ck_assert_msg(seen.code == outcomes[_i].code, "%s: %s", err_name(seen.code), seen.text);
    ck_assert_str_eq(seen.error_code, outcomes[_i].error_code);
    ck_assert_uint_eq(peer.server.n_requests, outcomes[_i].n_requests);
    if (seen.code != 0)
        ck_assert_msg(str_has_prefix(seen.text, "ssm GetParameters: "), "%s", seen.text);
    if (seen.code == ERR_REFUSED)
        ck_assert_int_eq(err_class_of(seen.code), ERR_CLASS_PERMANENT);
    else if (seen.code != 0)
        ck_assert_int_eq(err_class_of(seen.code), ERR_CLASS_RETRY);
}
END_TEST

START_TEST(a_refusal_says_what_the_service_said)
{
    static const struct answer refusal[] = {{400, E("InvalidMessageIdException")}};

    script = refusal;
    call(0);
    ck_assert_str_eq(seen.text, "ssm GetParameters: InvalidMessageIdException: because (HTTP 400, "
                                "request req-1)");
    ck_assert_int_eq(seen.status, 400);
}
END_TEST

static const int64_t clock_errors_ms[] = {
    INT64_C(6) * 60 * 1000, /* just more than services accept */
    INT64_C(-6) * 60 * 1000,          INT64_C(13) * 3600 * 1000,         INT64_C(-13) * 3600 * 1000,
    INT64_C(11) * 365 * 86400 * 1000, INT64_C(-11) * 365 * 86400 * 1000,
};

START_TEST(a_wrong_clock_heals_within_the_first_call)
{
    peer.clock_offset_ms = clock_errors_ms[_i];
    call(0);
    ck_assert_msg(seen.code == 0, "%s", seen.text);
    ck_assert_uint_eq(peer.server.n_requests, 2); /* refused once, then signed with learned time */
    ck_assert_int_le(llabs(aws_clock_offset_ms(client.aws) - peer.clock_offset_ms), 2000);
    call(0);
    ck_assert_int_eq(seen.code, 0);
    ck_assert_uint_eq(peer.server.n_requests, 3);
    peer.clock_offset_ms = 0; /* somebody set this machine's clock right */
    call(0);
    ck_assert_int_eq(seen.code, 0);
    call(0);
    ck_assert_int_eq(seen.code, 0);
    ck_assert_int_le(llabs(aws_clock_offset_ms(client.aws)), 2000);
}
END_TEST

/* A service (or something that plays one) whose time jumps with every answer. */
static void answer_skewed(void *ctx, struct script_conn *conn,
                          const struct aws_peer_request *request)
{
    (void)ctx;
    (void)request;
    peer.clock_offset_ms += 3600 * 1000;
    aws_peer_reply(&peer, conn, 400, E("RequestTimeTooSkewed"));
}

START_TEST(the_clock_is_repaired_once_per_call)
{
    peer.on_request = answer_skewed;
    call(3);
    ck_assert_int_eq(seen.code, ERR_AUTH);
    ck_assert_uint_eq(peer.server.n_requests, 2);
}
END_TEST

START_TEST(a_clock_within_five_minutes_is_left_alone)
{
    peer.clock_offset_ms = 4 * 60 * 1000;
    call(0);
    ck_assert_int_eq(seen.code, 0);
    ck_assert_uint_eq(peer.server.n_requests, 1);
    ck_assert_int_eq(aws_clock_offset_ms(client.aws), 0);
}
END_TEST

START_TEST(the_offset_follows_the_service_but_not_its_jitter)
{
    static const struct {
        int64_t offset_ms, date_ms, wall_ms;
        bool may_be_clock;
        int64_t expected_ms;
    } rows[] = {
        {0, -1, 1000, true, 0}, /* no Date */
        {7000, -1, 1000, true, 7000},
        {0, 300000, 0, false, 0},
        {0, 301000, 0, false, 301000},
        {0, 0, 400000, false, -400000},
        {3600000, 3600000 + 200000, 0, false, 3600000},
        {3600000, 3600000 + 400000, 0, false, 4000000},
        {3600000, 4000, 0, false, 0}, /* this machine's clock was set right */
        {3600000, 4000, 0, true, 0},
        {0, 6000, 0, false, 0},
        {0, 6000, 0, true, 6000}, /* after an error that may come from the clock */
        {0, 5000, 0, true, 0},
        {6000, 9000, 0, true, 6000},
    };
    size_t i;

    for (i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_msg(aws_learn_offset(rows[i].offset_ms, rows[i].date_ms, rows[i].wall_ms,
                                       rows[i].may_be_clock) == rows[i].expected_ms,
                      "row %zu", i);
}
END_TEST

START_TEST(what_was_learned_meanwhile_counts_as_another_time)
{
    static const struct {
        int64_t offset_ms, signed_offset_ms, date_ms, expected_ms;
        bool is_other;
    } rows[] = {
        {0, 0, 1000, 0, false},
        {0, 0, 3600000, 3600000, true},       /* learned now */
        {3600000, 0, 3600000, 3600000, true}, /* learned by another call */
        {3600000, 3600000, 3600000, 3600000, false},
        {3600000, 0, -1, 3600000, true},   /* no Date */
        {3600000, 3600000, 1000, 0, true}, /* this machine's clock was set right */
    };
    size_t i;

    for (i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t offset = rows[i].offset_ms;

        ck_assert_msg(aws_learn_clock(&offset, rows[i].signed_offset_ms, rows[i].date_ms, 0,
                                      true) == rows[i].is_other,
                      "row %zu", i);
        ck_assert_int_eq(offset, rows[i].expected_ms);
    }
}
END_TEST

START_TEST(a_retry_waits_longer_each_time_or_as_long_as_the_service_asks)
{
    static const struct {
        unsigned n_tried;
        int64_t unit_ms, asked_ms, min_ms, max_ms;
    } rows[] = {
        {1, 1000, -1, 1000, 1499},         {2, 1000, -1, 2000, 2998},
        {3, 1000, -1, 4000, 5996},         {3, 1, -1, 4, 5},
        {1, 1000, 500, 1000, 1499},        {1, 1000, 7000, 7000, 7000},
        {1, 1000, 300000, 300000, 300000}, {1, 1000, 86400000, 300000, 300000},
    };
    static const uint32_t randoms[] = {0, 1, 499, 500, 0x7fffffff, 0xffffffff};
    size_t i, k;

    for (i = 0; i < ARRAY_LEN(rows); i++) {
        for (k = 0; k < ARRAY_LEN(randoms); k++) {
            int64_t ms =
                aws_retry_delay_ms(rows[i].n_tried, rows[i].unit_ms, rows[i].asked_ms, randoms[k]);

            ck_assert_msg(ms >= rows[i].min_ms && ms <= rows[i].max_ms, "row %zu: %lld ms", i,
                          (long long)ms);
        }
    }
}
END_TEST

START_TEST(an_unsigned_call_carries_no_signature)
{
    const struct aws_request request = {.service = AWS_SSM,
                                        .operation = "RegisterManagedInstance",
                                        .body = "{}",
                                        .body_len = 2,
                                        .is_unsigned = true};

    ck_assert_int_eq(aws_start(client.aws, &request, on_done, NULL, NULL, NULL), 0);
    script_run_until(&loop, &seen.is_done);
    ck_assert_ptr_null(strstr(last_raw, "Authorization"));
    ck_assert_ptr_null(strstr(last_raw, "X-Amz-Date"));
}
END_TEST

START_TEST(a_wrong_secret_is_not_mistaken_for_a_wrong_clock)
{
    (void)str_copy(peer.secret, sizeof(peer.secret), "another");
    call(3);
    ck_assert_int_eq(seen.code, ERR_AUTH);
    ck_assert_str_eq(seen.error_code, "InvalidSignatureException");
    ck_assert_uint_eq(peer.server.n_requests, 1);
    ck_assert_int_eq(aws_clock_offset_ms(client.aws), 0);
}
END_TEST

START_TEST(no_credentials_is_an_auth_error_that_names_the_sources)
{
    memset(aws_client_variables, 0, sizeof(aws_client_variables));
    aws_client_variables[0] = "HOME";
    aws_client_variables[1] = "/nonexistent";
    call(3);
    ck_assert_int_eq(seen.code, ERR_AUTH);
    ck_assert_ptr_nonnull(strstr(seen.text, "/nonexistent/.aws/credentials"));
    ck_assert_uint_eq(peer.server.n_requests, 0);
}
END_TEST

/* New credentials appear while the old ones are refused, as when another program rotates them. */
static void rotate_at_refusal(void *ctx, struct script_conn *conn,
                              const struct aws_peer_request *request)
{
    aws_client_variables[1] = "AKIDNEW";
    on_request(ctx, conn, request);
}

START_TEST(rotated_credentials_are_used_at_once)
{
    (void)str_copy(peer.access_key, sizeof(peer.access_key), "AKIDNEW");
    peer.on_request = rotate_at_refusal;
    call(0);
    ck_assert_msg(seen.code == 0, "%s", seen.text);
    ck_assert_uint_eq(n_refused, 1);
    ck_assert_uint_eq(peer.server.n_requests, 2);
}
END_TEST

/* Credentials that somebody must be asked for first. */
static struct credentials_provider asked;
static bool is_fetched;

static int asked_get(struct credentials_provider *p, const struct credentials **ret,
                     struct err *err)
{
    static struct credentials found = {.access_key = "AKIDPEER"};
    static char token[] = AWS_PEER_TOKEN;

    (void)p;
    if (!is_fetched)
        return err_set(err, ERR_BUSY, "being fetched");
    if (!secret_is_set(&found.secret_key)) {
        found.secret_key =
            (struct secret){.value_do_not_print = peer.secret, .len = strlen(peer.secret)};
        found.session_token =
            (struct secret){.value_do_not_print = token, .len = strlen(AWS_PEER_TOKEN)};
    }
    *ret = &found;
    return 0;
}
static void asked_reject(struct credentials_provider *p)
{
    (void)p;
}
static const struct credentials_ops asked_ops = {.get = asked_get, .reject = asked_reject};

START_TEST(a_call_waits_for_credentials_that_are_being_fetched)
{
    const struct aws_request request = {
        .service = AWS_SSM, .operation = "X", .body = "{}", .body_len = 2};
    struct aws_options options = {
        .http = client.http, .credentials = &asked, .region = "us-east-1"};
    struct aws_call *cancelled = NULL;
    struct aws *aws;
    char url[64];

    asked = (struct credentials_provider){.ops = &asked_ops};
    is_fetched = false;
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d", peer.server.port);
    options.endpoints[AWS_SSM] = url;
    ck_assert_int_eq(aws_new(&loop, &options, &aws, NULL), 0);
    ck_assert_int_eq(aws_start(aws, &request, on_done, NULL, NULL, NULL), 0);
    ck_assert_int_eq(aws_start(aws, &request, on_done, NULL, &cancelled, NULL), 0);
    while (asked.waiters == NULL || asked.waiters->next == NULL)
        (void)uv_run(&loop, UV_RUN_NOWAIT); /* no descriptor tells of it */
    aws_cancel(cancelled);
    ck_assert_ptr_null(asked.waiters->next);
    credentials_wake_all(&asked); /* a refresh that failed: they wait on */
    while (asked.waiters == NULL)
        (void)uv_run(&loop, UV_RUN_NOWAIT); /* no descriptor tells of it */
    ck_assert_uint_eq(peer.server.n_requests, 0);
    is_fetched = true;
    credentials_wake_all(&asked);
    script_run_until(&loop, &seen.is_done);
    ck_assert_msg(seen.code == 0, "%s", seen.text);
    ck_assert_uint_eq(seen.n_calls, 1);
    ck_assert_uint_eq(peer.server.n_requests, 1);
    ck_assert_int_eq(aws_start(aws, &request, on_done, NULL, NULL, NULL), 0);
    aws_close(aws);
}
END_TEST

static void cancel_it(void *ctx, struct script_conn *conn, const struct aws_peer_request *request)
{
    (void)conn;
    (void)request;
    *(bool *)ctx = true; /* and never answer */
}

START_TEST(cancelled_and_closed_calls_make_no_callback)
{
    const struct aws_request request = {
        .service = AWS_KMS, .operation = "Decrypt", .body = "{}", .body_len = 2};
    struct aws_call *one = NULL;
    bool is_asked = false;

    peer.on_request = cancel_it;
    peer.ctx = &is_asked;
    ck_assert_int_eq(aws_start(client.aws, &request, on_done, NULL, &one, NULL), 0);
    script_run_until(&loop, &is_asked);
    aws_cancel(one);
    aws_cancel(NULL);
    ck_assert_int_eq(aws_start(client.aws, &request, on_done, NULL, &one, NULL), 0);
    aws_cancel(one); /* before it began */
    is_asked = false;
    ck_assert_int_eq(aws_start(client.aws, &request, on_done, NULL, NULL, NULL), 0);
    script_run_until(&loop, &is_asked);
    aws_close(client.aws);
    client.aws = NULL;
    ck_assert_uint_eq(seen.n_calls, 0);
}
END_TEST

static void close_everything(void *ctx, const struct aws_result *result)
{
    on_done(ctx, result);
    aws_client_stop(&client);
    memset(&client, 0, sizeof(client));
}

START_TEST(everything_can_be_closed_from_a_callback)
{
    const struct aws_request request = {
        .service = AWS_SSM, .operation = "X", .body = "{}", .body_len = 2};

    ck_assert_int_eq(aws_start(client.aws, &request, close_everything, NULL, NULL, NULL), 0);
    script_run_until(&loop, &seen.is_done);
    ck_assert_uint_eq(seen.n_calls, 1);
}
END_TEST

START_TEST(instance_information_leaves_out_what_is_empty)
{
    const struct ssm_instance_information full = {.agent_version = "3.3.0.0",
                                                  .instance_id = "i-0123456789abcdef0",
                                                  .platform_type = "Linux",
                                                  .agent_status = "Active",
                                                  .platform_name = "A \"quoted\" name",
                                                  .platform_version = "12",
                                                  .ip_address = "10.0.0.5",
                                                  .computer_name = "",
                                                  .connection_channel = "ec2messages"};
    const struct ssm_instance_information ping = {
        .agent_version = "3.3.0.0", .instance_id = "i-0123456789abcdef0", .platform_type = "Linux"};
    const struct ssm_instance_information bad = {.agent_version = "3.3.0.0"};
    struct err err = {0};

    ck_assert_int_eq(ssm_update_instance_information(client.aws, &full, on_done, NULL, NULL, &err),
                     0);
    script_run_until(&loop, &seen.is_done);
    ck_assert_msg(seen.code == 0, "%s", seen.text);
    ck_assert_str_eq(last_target, "AmazonSSM.UpdateInstanceInformation");
    ck_assert_str_eq(last_body,
                     "{\"AgentName\":\"amazon-ssm-agent\",\"AgentStatus\":\"Active\","
                     "\"AgentVersion\":\"3.3.0.0\",\"IPAddress\":\"10.0.0.5\","
                     "\"InstanceId\":\"i-0123456789abcdef0\",\"PlatformName\":\"A \\\"quoted\\\" "
                     "name\",\"PlatformType\":\"Linux\",\"PlatformVersion\":\"12\","
                     "\"SSMConnectionChannel\":\"ec2messages\"}");
    seen.is_done = false;
    ck_assert_int_eq(ssm_update_instance_information(client.aws, &ping, on_done, NULL, NULL, &err),
                     0);
    script_run_until(&loop, &seen.is_done);
    ck_assert_str_eq(last_body,
                     "{\"AgentName\":\"amazon-ssm-agent\",\"AgentVersion\":\"3.3.0.0\","
                     "\"InstanceId\":\"i-0123456789abcdef0\",\"PlatformType\":\"Linux\"}");
    ck_assert_int_eq(ssm_update_instance_information(client.aws, &bad, on_done, NULL, NULL, &err),
                     ERR_INVALID);
}
END_TEST

START_TEST(parameters_are_asked_for_by_name_at_most_ten_at_once)
{
    static const char *const names[11] = {"/app/x:3", "a \"b\"", "c", "d", "e", "f",
                                          "g",        "h",       "i", "j", "k"};
    struct err err = {0};

    ck_assert_int_eq(ssm_get_parameters(client.aws, names, 2, false, on_done, NULL, NULL, &err), 0);
    script_run_until(&loop, &seen.is_done);
    ck_assert_msg(seen.code == 0, "%s", seen.text);
    ck_assert_str_eq(last_target, "AmazonSSM.GetParameters");
    ck_assert_str_eq(last_body,
                     "{\"Names\":[\"/app/x:3\",\"a \\\"b\\\"\"],\"WithDecryption\":false}");
    seen.is_done = false;
    ck_assert_int_eq(ssm_get_parameters(client.aws, names, 1, true, on_done, NULL, NULL, &err), 0);
    script_run_until(&loop, &seen.is_done);
    ck_assert_str_eq(last_body, "{\"Names\":[\"/app/x:3\"],\"WithDecryption\":true}");
    ck_assert_int_eq(ssm_get_parameters(client.aws, names, 0, true, on_done, NULL, NULL, &err),
                     ERR_INVALID);
    ck_assert_int_eq(ssm_get_parameters(client.aws, names, 11, true, on_done, NULL, NULL, &err),
                     ERR_INVALID);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("aws");
    TCase *calls = tcase_create("calls"), *clocks = tcase_create("clocks"),
          *life = tcase_create("life");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_checked_fixture(calls, setup, teardown);
    tcase_add_checked_fixture(clocks, setup, teardown);
    tcase_add_checked_fixture(life, setup, teardown);
    tcase_add_test(calls, a_call_goes_out_signed_with_its_target);
    tcase_add_loop_test(calls, each_answer_is_classified_and_tried_again_as_documented, 0,
                        (int)ARRAY_LEN(outcomes));
    tcase_add_test(calls, a_refusal_says_what_the_service_said);
    tcase_add_test(calls, instance_information_leaves_out_what_is_empty);
    tcase_add_test(calls, parameters_are_asked_for_by_name_at_most_ten_at_once);
    tcase_add_loop_test(clocks, a_wrong_clock_heals_within_the_first_call, 0,
                        (int)ARRAY_LEN(clock_errors_ms));
    tcase_add_test(clocks, the_clock_is_repaired_once_per_call);
    tcase_add_test(clocks, a_clock_within_five_minutes_is_left_alone);
    tcase_add_test(clocks, the_offset_follows_the_service_but_not_its_jitter);
    tcase_add_test(clocks, what_was_learned_meanwhile_counts_as_another_time);
    tcase_add_test(clocks, a_retry_waits_longer_each_time_or_as_long_as_the_service_asks);
    tcase_add_test(calls, an_unsigned_call_carries_no_signature);
    tcase_add_test(clocks, a_wrong_secret_is_not_mistaken_for_a_wrong_clock);
    tcase_add_test(life, no_credentials_is_an_auth_error_that_names_the_sources);
    tcase_add_test(life, rotated_credentials_are_used_at_once);
    tcase_add_test(life, a_call_waits_for_credentials_that_are_being_fetched);
    tcase_add_test(life, cancelled_and_closed_calls_make_no_callback);
    tcase_add_test(life, everything_can_be_closed_from_a_callback);
    suite_add_tcase(suite, calls);
    suite_add_tcase(suite, clocks);
    suite_add_tcase(suite, life);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
