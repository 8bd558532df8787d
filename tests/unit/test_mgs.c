/* The control channel against a scripted service: token, signed upgrade, first message, every way
 * of being refused or lost, and what comes after. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "schema/json.h"
#include "tests/lib/script_server.h"
#include "tests/lib/ws_peer.h"
#include "transport/mgs.h"
#include "transport/mgs_token.h"
#include "transport/sigv4.h"

#define INSTANCE "mi-0123456789abcdef0"
#define PATH "/v1/control-channel/" INSTANCE
#define TOKEN "AAEAAY&opaque=="
#define TOKEN_XML                                                                                  \
    "<CreateControlChannelResponse><MessageSchemaVersion>1.0</MessageSchemaVersion>"               \
    "<TokenValue>AAEAAY&amp;opaque==</TokenValue></CreateControlChannelResponse>"
#define JOB_ID "01234567-89ab-4cde-8f01-23456789abcd"

static uv_loop_t loop;
static struct http *http;
static struct credentials_provider *credentials;
static struct aws *aws;
static struct mgs *mgs;
static struct ws_peer peer;
static struct ws_peer_conn *conn; /* the websocket */

/* What the service does with the nth CreateControlChannel; the last one stands for all after. */
enum step {
    ACCEPT_IT,
    DENY_XML,
    DENY_JSON,
    FAIL_500,
    STATUS_200,
    NO_TOKEN,
    DENY_UPGRADE,
    HOLD,
    SKEWED
};
static const enum step *script;
static size_t n_script;
static unsigned n_tokens, n_firsts, n_changes;
static bool is_open, is_lost, is_failed, is_message, is_seen_by_peer, is_third_token, is_closed_in;
static bool closes_on_change;
static enum step current;
static char seen_type[40], seen_payload[64], peer_payload[512], peer_type[40];
static struct mgs_state last;
static int64_t peer_offset_ms;

static const char *get_variable(void *ctx, const char *name)
{
    static const char *const variables[] = {"AWS_ACCESS_KEY_ID",     "AKIDPEER",
                                            "AWS_SECRET_ACCESS_KEY", "peer-secret",
                                            "AWS_SESSION_TOKEN",     "peer-token"};
    size_t i;

    (void)ctx;
    for (i = 0; i < ARRAY_LEN(variables); i += 2)
        if (str_eq(variables[i], name))
            return variables[i + 1];
    return NULL;
}

static const char *secret_of(void *ctx, const char *access_key, const char **ret_token)
{
    (void)ctx;
    *ret_token = "peer-token";
    return str_eq(access_key, "AKIDPEER") ? "peer-secret" : NULL;
}

/* The signature holds, over exactly these headers (spec 01, section 12.2). */
static const char *check_signature(const char *raw, const char *method, const char *query,
                                   const char *signed_headers)
{
    char *copy = strdup(raw), *line, *save = NULL, *body;
    struct header headers[32];
    struct sigv4_request request = {
        .method = method, .path = PATH, .query = query, .headers = headers};
    struct sigv4_authorization parts;
    const struct sigv4_check check = {.secret = secret_of,
                                      .now_unix_ms = clock_wall_ms() + peer_offset_ms,
                                      .max_skew_ms = 300 * 1000,
                                      .region = "us-east-1",
                                      .service = "ssmmessages"};
    const char *code = NULL;
    struct err err = {0};
    int r;

    ck_assert_ptr_nonnull(copy);
    body = strstr(copy, "\r\n\r\n");
    ck_assert_ptr_nonnull(body);
    *body = '\0';
    request.body = body + 4;
    request.body_len = strlen(body + 4);
    (void)strtok_r(copy, "\r\n", &save);
    while ((line = strtok_r(NULL, "\r\n", &save)) != NULL) {
        char *colon = strchr(line, ':');

        ck_assert_ptr_nonnull(colon);
        ck_assert_uint_lt(request.n_headers, ARRAY_LEN(headers));
        *colon = '\0';
        headers[request.n_headers++] = (struct header){line, colon + 1 + strspn(colon + 1, " ")};
    }
    r = sigv4_verify(&request, &check, &parts, &code, &err);
    if (r == 0)
        ck_assert_str_eq(parts.signed_headers, signed_headers);
    free(copy);
    return r == 0 ? NULL : code;
}

static void reply(struct ws_peer_conn *c, const char *status, const char *body)
{
    char text[2048], date[64];
    time_t now = (time_t)((clock_wall_ms() + peer_offset_ms) / 1000);
    struct tm tm;
    int n;

    ck_assert_ptr_nonnull(gmtime_r(&now, &tm));
    ck_assert_uint_gt(strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm), 0);
    n = snprintf(text, sizeof(text), "HTTP/1.1 %s\r\nDate: %s\r\nContent-Length: %zu\r\n\r\n%s",
                 status, date, strlen(body), body);
    ws_peer_write(c, text, (size_t)n);
}

static void on_request(void *ctx, struct ws_peer_conn *c, const char *request)
{
    const char *refusal =
        check_signature(request, "POST", NULL, "content-type;host;x-amz-date;x-amz-security-token");
    char id[64] = "";

    (void)ctx;
    current = script[n_tokens < n_script ? n_tokens : n_script - 1];
    n_tokens++;
    is_third_token = n_tokens >= 3;
    ck_assert(str_has_prefix(request, "POST " PATH " HTTP/1.1\r\n"));
    ck_assert_ptr_nonnull(strstr(request, "\r\nContent-Type: application/json\r\n"));
    ck_assert_int_eq(sscanf(strstr(request, "\r\n\r\n"),
                            "\r\n\r\n{\"MessageSchemaVersion\":\"1.0\",\"RequestId\":\"%36s\"}",
                            id),
                     1);
    ck_assert(ids_is_uuid(id));
    if (refusal != NULL) {
        ck_assert_msg(current == SKEWED, "%s", refusal);
        reply(c, "403 Forbidden", "<InvalidSignatureException/>");
        return;
    }
    switch (current) {
    case DENY_XML:
        reply(c, "400 Bad Request",
              "<AccessDeniedException><Message>no</Message></AccessDeniedException>");
        break;
    case DENY_JSON:
        reply(c, "403 Forbidden", "{\"__type\":\"AccessDeniedException\",\"message\":\"no\"}");
        break;
    case FAIL_500:
        reply(c, "500 Internal Server Error", "<InternalServerError/>");
        break;
    case STATUS_200:
        reply(c, "200 OK", TOKEN_XML);
        break;
    case NO_TOKEN:
        reply(c, "201 Created", "<R><MessageSchemaVersion>1.0</MessageSchemaVersion></R>");
        break;
    case HOLD:
        break;
    case ACCEPT_IT:
    case DENY_UPGRADE:
    case SKEWED:
        reply(c, "201 Created", TOKEN_XML);
        break;
    }
}

static const char *on_upgrade(void *ctx, struct ws_peer_conn *c, const char *head)
{
    const char *refusal = check_signature(head, "GET", "role=subscribe&stream=input",
                                          "host;x-amz-date;x-amz-security-token");

    (void)ctx;
    ck_assert_msg(refusal == NULL, "%s", refusal);
    ck_assert(str_has_prefix(head, "GET " PATH "?role=subscribe&stream=input HTTP/1.1\r\n"));
    conn = c;
    return current == DENY_UPGRADE ? "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n" : NULL;
}

static void check_first_message(const char *bytes, size_t n)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    struct err err = {0};
    const cJSON *cookie;

    ck_assert_msg(json_parse(bytes, n, 65536, JSON_REFUSE, "first", &root, &err) == 0, "%s",
                  err.text);
    cookie = cJSON_GetObjectItem(root, "Cookie");
    ck_assert(cJSON_IsNull(cookie));
    ck_assert_str_eq(cJSON_GetObjectItem(root, "MessageSchemaVersion")->valuestring, "1.0");
    ck_assert(ids_is_uuid(cJSON_GetObjectItem(root, "RequestId")->valuestring));
    ck_assert_str_eq(cJSON_GetObjectItem(root, "TokenValue")->valuestring, TOKEN);
    ck_assert_str_eq(cJSON_GetObjectItem(root, "AgentVersion")->valuestring, "3.3.0.0");
    ck_assert_str_eq(cJSON_GetObjectItem(root, "PlatformType")->valuestring, "linux");
    ck_assert_int_eq(cJSON_GetArraySize(root), 6);
}

static void on_peer_message(void *ctx, struct ws_peer_conn *c, enum ws_kind kind, const char *bytes,
                            size_t n)
{
    struct agent_message m;
    struct err err = {0};

    (void)ctx;
    (void)c;
    if (kind == WS_TEXT) {
        check_first_message(bytes, n);
        n_firsts++;
        return;
    }
    if (kind != WS_BINARY)
        return;
    ck_assert_msg(agent_message_read(bytes, n, &m, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(m.flags, 0);
    ck_assert_int_eq(m.sequence, 0);
    ck_assert_uint_eq(m.schema_version, 1);
    (void)str_copy(peer_type, sizeof(peer_type), m.type);
    (void)snprintf(peer_payload, sizeof(peer_payload), "%.*s", (int)m.payload_len, m.payload);
    is_seen_by_peer = true;
}

static void on_changed(void *ctx, const struct mgs_state *state)
{
    (void)ctx;
    n_changes++;
    last = *state;
    is_lost = is_lost || (is_open && !state->is_open);
    is_open = state->is_open;
    is_failed = is_failed || (!state->is_open && state->n_failures > 0);
    if (closes_on_change) {
        mgs_close(mgs);
        is_closed_in = true;
    }
}

static void on_received(void *ctx, const struct agent_message *m)
{
    (void)ctx;
    (void)str_copy(seen_type, sizeof(seen_type), m->type);
    (void)snprintf(seen_payload, sizeof(seen_payload), "%.*s", (int)m->payload_len, m->payload);
    is_message = true;
}

static void begin(const enum step *steps, size_t n)
{
    static const struct env_source env = {get_variable, NULL};
    const struct http_options ho = {.env = &env, .connect_timeout_ms = 5000};
    struct aws_options ao = {.region = "us-east-1", .retry_unit_ms = 1};
    struct mgs_options mo = {.instance_id = INSTANCE,
                             .agent_version = "3.3.0.0",
                             .platform_type = "linux",
                             .backoff_first_ms = 2,
                             .backoff_cap_ms = 8,
                             .lost_pause_ms = 2,
                             .changed = on_changed,
                             .received = on_received};
    struct err err = {0};
    char url[64];

    script = steps;
    n_script = n;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    peer = (struct ws_peer){
        .on_upgrade = on_upgrade, .on_request = on_request, .on_message = on_peer_message};
    ws_peer_start(&peer, &loop);
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/ignored/path", peer.port);
    ao.endpoints[AWS_SSMMESSAGES] = url;
    ck_assert_msg(http_new(&loop, &ho, &http, &err) == 0, "%s", err.text);
    ck_assert_int_eq(credentials_default_new(&env, &credentials, &err), 0);
    ao.http = mo.http = http;
    ao.credentials = credentials;
    ck_assert_msg(aws_new(&loop, &ao, &aws, &err) == 0, "%s", err.text);
    mo.aws = aws;
    ck_assert_msg(mgs_new(&loop, &mo, &mgs, &err) == 0, "%s", err.text);
    mgs_start(mgs);
}
#define BEGIN(...)                                                                                 \
    static const enum step steps_[] = {__VA_ARGS__};                                               \
    begin(steps_, ARRAY_LEN(steps_))

static void finish(void)
{
    if (!is_closed_in)
        mgs_close(mgs);
    aws_close(aws);
    http_close(http);
    credentials_provider_free(credentials);
    ws_peer_stop(&peer);
    script_finish_loop(&loop);
}

START_TEST(a_channel_is_opened_with_a_token_and_a_first_message)
{
    struct err err = {0};

    BEGIN(ACCEPT_IT);
    script_run_until(&loop, &is_open);
    ck_assert_uint_eq(last.n_failures, 0);
    ck_assert(!last.is_denied);
    ck_assert_msg(mgs_send(mgs, "agent_job_ack", JOB_ID, "{}", 2, &err) == 0, "%s", err.text);
    script_run_until(&loop, &is_seen_by_peer);
    ck_assert_str_eq(peer_type, "agent_job_ack");
    ck_assert_str_eq(peer_payload, "{}");
    ck_assert_uint_eq(n_firsts, 1);
    finish();
}
END_TEST

static void send_to_agent(bool is_damaged)
{
    struct agent_message m = {.type = "agent_job",
                              .schema_version = 1,
                              .created_unix_ms = 1700000000000,
                              .id = JOB_ID,
                              .payload = "hello",
                              .payload_len = 5};
    AUTO(buf_done) struct buf b = {0};
    struct err err = {0};

    buf_init(&b, 4096);
    ck_assert_int_eq(agent_message_write(&m, &b, &err), 0);
    if (is_damaged)
        b.data[b.len - 1] ^= 1;
    ws_peer_send(conn, WS_BINARY, b.data, b.len);
}

START_TEST(messages_arrive_and_damaged_ones_do_not)
{
    BEGIN(ACCEPT_IT);
    script_run_until(&loop, &is_open);
    send_to_agent(true);
    ws_peer_send(conn, WS_BINARY, "short", 5);
    send_to_agent(false);
    script_run_until(&loop, &is_message);
    mgs_get_state(mgs, &last);
    ck_assert_uint_eq(last.n_received, 1);
    ck_assert_str_eq(seen_type, "agent_job");
    ck_assert_str_eq(seen_payload, "hello");
    finish();
}
END_TEST

static const struct {
    enum step step;
    bool is_denied;
    const char *says;
} failures[] = {
    {DENY_XML, true, "AccessDenied"}, {DENY_JSON, true, "AccessDenied"},
    {FAIL_500, false, "500"},         {STATUS_200, false, "200"},
    {NO_TOKEN, false, "TokenValue"},  {DENY_UPGRADE, true, "403"},
};

START_TEST(a_refusal_is_told_as_what_it_is_and_tried_again)
{
    const enum step steps[] = {failures[_i].step, failures[_i].step, ACCEPT_IT};

    begin(steps, ARRAY_LEN(steps));
    script_run_until(&loop, &is_failed);
    ck_assert_msg(last.is_denied == failures[_i].is_denied, "%s", last.last_error.text);
    ck_assert_msg(strstr(last.last_error.text, failures[_i].says) != NULL, "%s",
                  last.last_error.text);
    ck_assert_ptr_null(strstr(last.last_error.text, "opaque")); /* a token is a secret */
    ck_assert_int_gt(last.next_try_unix_ms, 0);
    script_run_until(&loop, &is_open);
    ck_assert_uint_eq(n_tokens, 3);
    ck_assert(!last.is_denied);
    finish();
}
END_TEST

START_TEST(a_lost_channel_is_opened_again_with_a_new_token)
{
    BEGIN(ACCEPT_IT);
    script_run_until(&loop, &is_open);
    if (_i == 0)
        ws_peer_cut(conn);
    else
        ws_peer_close(conn, 1001);
    script_run_until(&loop, &is_lost);
    ck_assert_int_gt(last.lost_unix_ms, 0);
    script_run_until(&loop, &is_open);
    ck_assert_uint_eq(n_tokens, 2);
    finish();
}
END_TEST

START_TEST(a_channel_that_does_not_live_is_opened_less_and_less_often)
{
    BEGIN(ACCEPT_IT);
    script_run_until(&loop, &is_open);
    ws_peer_cut(conn);
    script_run_until(&loop, &is_lost);
    ck_assert_uint_eq(last.n_failures, 1);
    script_run_until(&loop, &is_open);
    is_lost = false;
    ws_peer_cut(conn);
    script_run_until(&loop, &is_lost);
    ck_assert_uint_eq(last.n_failures, 2);
    finish();
}
END_TEST

START_TEST(nothing_can_be_sent_while_it_is_not_open)
{
    struct err err = {0};

    BEGIN(HOLD);
    ck_assert_int_eq(mgs_send(mgs, "agent_job_ack", JOB_ID, "{}", 2, &err), ERR_STATE);
    finish();
}
END_TEST

START_TEST(a_change_of_the_network_ends_the_waiting)
{
    BEGIN(FAIL_500, FAIL_500, ACCEPT_IT);
    script_run_until(&loop, &is_failed);
    mgs_network_changed(mgs);
    mgs_get_state(mgs, &last);
    ck_assert_uint_eq(last.n_failures, 0);
    script_run_until(&loop, &is_open);
    mgs_network_changed(mgs); /* now it is asked for a sign of life, and gives it */
    send_to_agent(false);
    script_run_until(&loop, &is_message);
    finish();
}
END_TEST

START_TEST(a_wrong_clock_is_corrected_by_the_service)
{
    peer_offset_ms = INT64_C(10) * 365 * 86400 * 1000;
    BEGIN(SKEWED);
    script_run_until(&loop, &is_open);
    ck_assert_uint_eq(n_tokens, 2);
    finish();
}
END_TEST

START_TEST(it_may_be_closed_whenever_it_tells_something)
{
    static const enum step all[] = {ACCEPT_IT, FAIL_500, DENY_UPGRADE};

    closes_on_change = true;
    begin(&all[_i], 1);
    script_run_until(&loop, &is_closed_in);
    finish();
}
END_TEST

START_TEST(it_may_be_closed_at_any_moment)
{
    int i;

    BEGIN(ACCEPT_IT);
    for (i = 0; i < _i; i++)
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    finish();
}
END_TEST

/* ---- the token alone ---- */

static const struct {
    const char *body, *token; /* token NULL: refused */
} answers[] = {
    {TOKEN_XML, TOKEN},
    {"<?xml version=\"1.0\"?>\n<r><TokenValue>a<!-- b -->c</TokenValue></r>", "ac"},
    {"<r><TokenValue><![CDATA[a<b]]></TokenValue><Other/></r>", "a<b"},
    {"<s:r xmlns:s=\"x\"><s:TokenValue>a</s:TokenValue></s:r>", "a"},
    {"{\"TokenValue\":\"a\\u0062\"}", "ab"},
    {" {\"tokenValue\":\"a\"}", "a"},
    {"<r><TokenValue></TokenValue></r>", NULL},
    {"<r><x><TokenValue>a</TokenValue></x></r>", NULL},
    {"<TokenValue>a</TokenValue>", NULL},
    {"<r><TokenValue>a", NULL},
    {"<!DOCTYPE r [<!ENTITY e \"x\">]><r><TokenValue>&e;</TokenValue></r>", NULL},
    {"{\"TokenValue\":7}", NULL},
    {"{\"TokenValue\":\"\"}", NULL},
    {"{}", NULL},
    {"", NULL},
    {"<html>login", NULL},
};

START_TEST(a_token_is_read_out_of_its_answer)
{
    AUTO(secret_done) struct secret token = {0};
    struct err err = {0};
    int r = mgs_token_read(answers[_i].body, strlen(answers[_i].body), &token, &err);

    if (answers[_i].token == NULL) {
        ck_assert_int_eq(r, ERR_PROTOCOL);
    } else {
        ck_assert_msg(r == 0, "%s", err.text);
        ck_assert_str_eq(secret_reveal(&token), answers[_i].token);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mgs");
    TCase *tc = tcase_create("mgs"), *token = tcase_create("token");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_set_timeout(tc, 240);
    tcase_add_test(tc, a_channel_is_opened_with_a_token_and_a_first_message);
    tcase_add_test(tc, messages_arrive_and_damaged_ones_do_not);
    tcase_add_loop_test(tc, a_refusal_is_told_as_what_it_is_and_tried_again, 0,
                        (int)ARRAY_LEN(failures));
    tcase_add_loop_test(tc, a_lost_channel_is_opened_again_with_a_new_token, 0, 2);
    tcase_add_test(tc, a_channel_that_does_not_live_is_opened_less_and_less_often);
    tcase_add_test(tc, nothing_can_be_sent_while_it_is_not_open);
    tcase_add_test(tc, a_change_of_the_network_ends_the_waiting);
    tcase_add_test(tc, a_wrong_clock_is_corrected_by_the_service);
    tcase_add_loop_test(tc, it_may_be_closed_whenever_it_tells_something, 0, 3);
    tcase_add_loop_test(tc, it_may_be_closed_at_any_moment, 0, 20);
    tcase_add_loop_test(token, a_token_is_read_out_of_its_answer, 0, (int)ARRAY_LEN(answers));
    suite_add_tcase(suite, tc);
    suite_add_tcase(suite, token);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
