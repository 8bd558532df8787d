/* HTTP on the loop, against a peer on loopback that answers with whatever a case wants. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "tests/lib/loop_until.h"
#include "tests/lib/script_server.h"
#include "transport/http.h"

static uv_loop_t loop;
static struct http *http;
static struct script_server server;
static char last_request[4096];

/* What a callback saw, copied. */
struct seen {
    bool is_done;
    unsigned n_calls;
    int code;
    long status;
    char text[512], body[256], request_id[64], content_type[64];
    size_t len;
    int64_t retry_after_ms, date_ms;
    bool was_sent, is_reset, has_stale_header;
};
static struct seen seen;

static void on_done(void *ctx, const struct http_response *response)
{
    struct seen *s = ctx;
    const char *id = http_response_header(response, "x-amzn-RequestId");
    const char *type = http_response_header(response, "Content-Type");

    s->is_done = true;
    s->n_calls++;
    s->code = response->err != NULL ? response->err->code : 0;
    s->status = response->status;
    s->len = response->len;
    s->was_sent = response->was_sent;
    s->is_reset = response->is_reset;
    s->has_stale_header = http_response_header(response, "X-Earlier") != NULL;
    s->retry_after_ms = http_retry_after_ms(response);
    s->date_ms = http_date_ms(response);
    (void)str_copy(s->text, sizeof(s->text), response->err != NULL ? response->err->text : "");
    (void)str_copy(s->body, sizeof(s->body), response->body);
    (void)str_copy(s->request_id, sizeof(s->request_id), id != NULL ? id : "");
    (void)str_copy(s->content_type, sizeof(s->content_type), type != NULL ? type : "");
}

static const char *no_variables(void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
    return NULL;
}
static const struct env_source empty_env = {no_variables, NULL};

enum behaviour {
    ANSWER,
    ANSWER_BYTE_BY_BYTE,
    ANSWER_CHUNKED,
    ANSWER_AFTER_INTERIM,
    ANSWER_500,
    HUGE_BODY,
    HUGE_HEADERS,
    TRUNCATED,
    RESET_AT_ONCE,
    CLOSE_AT_ONCE,
    NEVER,
    NOT_HTTP,
    REDIRECT,
    REDIRECT_FOREVER,
};
static enum behaviour behaviour;

#define HEADERS                                                                                    \
    "Date: Sun, 22 Nov 2026 07:00:00 GMT\r\nX-Amzn-RequestId: id-1\r\nRetry-After: 7\r\n"          \
    "Content-Type: application/json\r\n"

static void on_request(void *ctx, struct script_conn *conn, const char *request, size_t n,
                       unsigned number)
{
    static const char slow[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" HEADERS "\r\nhello";
    static const char chunked[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" HEADERS
                                  "\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    static const char interim[] = "HTTP/1.1 102 Processing\r\nX-Earlier: 1\r\n\r\n"
                                  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" HEADERS "\r\nhello";
    static const char truncated[] = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello";
    char big[4097];

    (void)ctx;
    (void)n;
    (void)number;
    (void)str_copy(last_request, sizeof(last_request), request);
    switch (behaviour) {
    case ANSWER:
        script_reply(conn, 200, HEADERS, "hello");
        break;
    case ANSWER_BYTE_BY_BYTE:
        script_send_slowly(conn, slow, sizeof(slow) - 1);
        break;
    case ANSWER_CHUNKED:
        script_send(conn, chunked, sizeof(chunked) - 1);
        break;
    case ANSWER_AFTER_INTERIM:
        script_send(conn, interim, sizeof(interim) - 1);
        break;
    case ANSWER_500:
        script_reply(conn, 500, HEADERS, "hello");
        break;
    case HUGE_BODY:
        memset(big, 'x', sizeof(big) - 1);
        big[sizeof(big) - 1] = '\0';
        script_reply(conn, 200, "", big);
        break;
    case HUGE_HEADERS:
        script_send(conn, "HTTP/1.1 200 OK\r\n", 17);
        memset(big, 'x', sizeof(big) - 1);
        memcpy(big, "X-Big: ", 7);
        memcpy(big + sizeof(big) - 3, "\r\n", 2);
        for (n = 0; n < 32; n++)
            script_send(conn, big, sizeof(big) - 1);
        break;
    case TRUNCATED:
        script_send(conn, truncated, sizeof(truncated) - 1);
        script_end(conn);
        break;
    case RESET_AT_ONCE:
        script_reset(conn);
        break;
    case CLOSE_AT_ONCE:
        script_end(conn);
        break;
    case NEVER:
        break;
    case NOT_HTTP:
        script_send(conn, "SSH-2.0-OpenSSH_9.2\r\n", 21);
        script_end(conn);
        break;
    case REDIRECT:
        if (strstr(request, "/elsewhere") != NULL)
            script_reply(conn, 200, HEADERS, "hello");
        else
            script_reply(conn, 302, "Location: /elsewhere\r\nX-Amzn-RequestId: first\r\n", "");
        break;
    case REDIRECT_FOREVER:
        script_reply(conn, 302, "Location: /again\r\n", "");
        break;
    }
}

static void setup(void)
{
    const struct http_options options = {.env = &empty_env, .user_agent = "test-agent/1"};
    struct err err = {0};

    memset(&seen, 0, sizeof(seen));
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_msg(http_new(&loop, &options, &http, &err) == 0, "%s", err.text);
    script_server_start(&server, &loop, on_request, NULL);
}

static void teardown(void)
{
    http_close(http);
    script_server_stop(&server);
    script_finish_loop(&loop);
}

static struct http_call *start(const struct http_request *request)
{
    struct http_request with_url = *request;
    struct http_call *call = NULL;
    struct err err = {0};
    char url[128];

    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/path?q=secret", server.port);
    with_url.url = url;
    if (with_url.method == NULL)
        with_url.method = "GET";
    ck_assert_msg(http_start(http, &with_url, on_done, &seen, &call, &err) == 0, "%s", err.text);
    ck_assert_msg(!seen.is_done, "the callback ran inside http_start");
    return call;
}

static void run(enum behaviour b, const struct http_request *request)
{
    behaviour = b;
    (void)start(request);
    script_run_until(&loop, &seen.is_done);
}

static const struct {
    enum behaviour behaviour;
    struct http_request request;
    int code;
    long status;
    size_t len;
    bool was_sent, is_reset;
    const char *text;
} outcomes[] = {
    {ANSWER, {0}, 0, 200, 5, true, false, ""},
    {ANSWER_BYTE_BY_BYTE, {0}, 0, 200, 5, true, false, ""},
    {ANSWER_CHUNKED, {0}, 0, 200, 5, true, false, ""},
    {ANSWER_AFTER_INTERIM, {0}, 0, 200, 5, true, false, ""},
    {ANSWER_500, {0}, 0, 500, 5, true, false, ""},
    {HUGE_BODY, {.max_response_bytes = 4095}, ERR_PROTOCOL, 200, 0, true, false, "4095 bytes"},
    {HUGE_BODY, {.max_response_bytes = 4096}, 0, 200, 4096, true, false, ""},
    {HUGE_HEADERS, {0}, ERR_PROTOCOL, 200, 0, true, false, "headers are larger"},
    {TRUNCATED, {0}, ERR_NETWORK, 200, 5, true, true, "127.0.0.1"},
    {RESET_AT_ONCE, {0}, ERR_NETWORK, 0, 0, true, true, "reset"},
    {CLOSE_AT_ONCE, {0}, ERR_NETWORK, 0, 0, true, true, "GET http://127.0.0.1:"},
    {NEVER, {.timeout_ms = 1000}, ERR_TIMEOUT, 0, 0, true, false, "timed out"},
    {NOT_HTTP, {0}, ERR_PROTOCOL, 0, 0, true, false, "HTTP/0.9"},
    {REDIRECT, {0}, 0, 302, 0, true, false, ""},
    {REDIRECT, {.max_redirects = 1}, 0, 200, 5, true, false, ""},
    {REDIRECT_FOREVER, {.max_redirects = 3}, ERR_PROTOCOL, 302, 0, true, false, "redirects"},
};

START_TEST(each_end_of_a_request_is_told_once_and_classified)
{
    run(outcomes[_i].behaviour, &outcomes[_i].request);
    ck_assert_uint_eq(seen.n_calls, 1);
    ck_assert_msg(seen.code == outcomes[_i].code, "%s: %s", err_name(seen.code), seen.text);
    ck_assert_int_eq(seen.status, outcomes[_i].status);
    ck_assert_int_eq(seen.was_sent, outcomes[_i].was_sent);
    ck_assert_int_eq(seen.is_reset, outcomes[_i].is_reset);
    ck_assert_msg(!seen.has_stale_header, "a header of an earlier response is handed out");
    ck_assert_msg(strstr(seen.text, outcomes[_i].text) != NULL, "%s", seen.text);
    ck_assert_msg(strstr(seen.text, "secret") == NULL, "%s", seen.text);
    if (seen.code == 0) {
        ck_assert_uint_eq(seen.len, outcomes[_i].len);
        if (seen.len == 5) {
            ck_assert_str_eq(seen.body, "hello");
            ck_assert_str_eq(seen.request_id, "id-1");
            ck_assert_str_eq(seen.content_type, "application/json");
            ck_assert_int_eq(seen.retry_after_ms, 7000);
            ck_assert_int_eq(seen.date_ms, INT64_C(1795330800000));
        }
    }
    ck_assert_uint_eq(http_calls_under_way(http), 0);
}
END_TEST

START_TEST(nobody_listening_is_a_network_error_of_a_request_never_sent)
{
    script_server_stop(&server);
    run(ANSWER, &(struct http_request){0});
    ck_assert_int_eq(seen.code, ERR_NETWORK);
    ck_assert(!seen.was_sent);
    ck_assert(!seen.is_reset);
}
END_TEST

START_TEST(an_unknown_host_is_a_network_error)
{
    /* A label of 64 letters is no name: the resolver says so without asking anybody. */
    static const char host[] = "no-such-host-"
                               "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.invalid";
    static const char url[] = "http://no-such-host-"
                              "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.invalid/";
    const struct http_request request = {.method = "GET", .url = url};

    ck_assert_int_eq(http_start(http, &request, on_done, &seen, NULL, NULL), 0);
    script_run_until(&loop, &seen.is_done);
    ck_assert_int_eq(seen.code, ERR_NETWORK);
    ck_assert_ptr_nonnull(strstr(seen.text, host));
}
END_TEST

START_TEST(only_http_urls_and_clean_headers_are_taken)
{
    static const char *const bad_urls[] = {"",           "ftp://127.0.0.1/", "file:///etc/passwd",
                                           "http://",    "127.0.0.1",        "http://host:99999/",
                                           "gopher://x/"};
    static const struct header bad_headers[] = {{"", "v"},     {"A:B", "v"}, {"A", "v\r\nB: w"},
                                                {"A", "v\nB"}, {"A B", "v"}, {"A;", "v"}};
    struct http_request request = {.method = "GET"};
    struct err err;
    size_t i;

    for (i = 0; i < ARRAY_LEN(bad_urls); i++) {
        request.url = bad_urls[i];
        ck_assert_msg(http_start(http, &request, on_done, &seen, NULL, &err) == ERR_INVALID,
                      "took \"%s\"", bad_urls[i]);
    }
    request.url = "http://127.0.0.1/";
    request.n_headers = 1;
    for (i = 0; i < ARRAY_LEN(bad_headers); i++) {
        request.headers = &bad_headers[i];
        ck_assert_msg(http_start(http, &request, on_done, &seen, NULL, &err) == ERR_INVALID,
                      "took \"%s: %s\"", bad_headers[i].name, bad_headers[i].value);
    }
    ck_assert_uint_eq(http_calls_under_way(http), 0);
}
END_TEST

static const struct {
    const char *method, *body, *first_line;
} methods[] = {
    {"GET", NULL, "GET /path?q=secret HTTP/1.1\r\n"},
    {"POST", "some body", "POST /path?q=secret HTTP/1.1\r\n"},
    {"POST", NULL, "POST /path?q=secret HTTP/1.1\r\n"},
    {"PUT", "some body", "PUT /path?q=secret HTTP/1.1\r\n"},
    {"DELETE", NULL, "DELETE /path?q=secret HTTP/1.1\r\n"},
};

START_TEST(a_request_goes_out_as_it_was_given)
{
    static const struct header headers[] = {{"X-Custom", "value"}, {"X-Empty", ""}};
    struct http_request request = {
        .method = methods[_i].method, .headers = headers, .n_headers = 2, .body = methods[_i].body};
    char value[128];

    if (request.body != NULL)
        request.body_len = strlen(methods[_i].body);
    run(ANSWER, &request);
    ck_assert_msg(str_has_prefix(last_request, methods[_i].first_line), "%s", last_request);
    script_header(last_request, "X-Custom", value, sizeof(value));
    ck_assert_str_eq(value, "value");
    ck_assert_ptr_nonnull(strstr(last_request, "\r\nX-Empty:"));
    script_header(last_request, "User-Agent", value, sizeof(value));
    ck_assert_str_eq(value, "test-agent/1");
    ck_assert_ptr_null(strstr(last_request, "Expect:"));
    ck_assert_ptr_null(strstr(last_request, "Content-Type:"));
    ck_assert_str_eq(script_body(last_request), methods[_i].body != NULL ? methods[_i].body : "");
}
END_TEST

START_TEST(connections_are_kept_for_the_next_request)
{
    int i;

    for (i = 0; i < 5; i++) {
        seen.is_done = false;
        run(ANSWER, &(struct http_request){0});
        ck_assert_int_eq(seen.code, 0);
    }
    ck_assert_uint_eq(server.n_connections, 1);
    ck_assert_uint_eq(server.n_requests, 5);
}
END_TEST

START_TEST(nothing_is_left_on_the_loop_when_no_request_is_under_way)
{
    run(ANSWER, &(struct http_request){0});
    script_server_stop(&server);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    /* No timer, no poll: uv_run would block for ever if anything waited, or keep waking. */
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_msg(!uv_loop_alive(&loop), "an idle client keeps the loop awake");
}
END_TEST

START_TEST(a_cancelled_call_makes_no_callback)
{
    struct http_call *call;

    behaviour = NEVER;
    call = start(&(struct http_request){0});
    LOOP_UNTIL(&loop, server.n_requests > 0);
    http_cancel(call);
    http_cancel(NULL);
    ck_assert_uint_eq(http_calls_under_way(http), 0);
    run(ANSWER, &(struct http_request){0});
    ck_assert_uint_eq(seen.n_calls, 1);
}
END_TEST

START_TEST(closing_with_calls_under_way_makes_no_callback)
{
    behaviour = NEVER;
    (void)start(&(struct http_request){0});
    (void)start(&(struct http_request){0});
    LOOP_UNTIL(&loop, server.n_requests >= 2);
    http_close(http);
    ck_assert_uint_eq(seen.n_calls, 0);
}
END_TEST

static void close_from_callback(void *ctx, const struct http_response *response)
{
    on_done(ctx, response);
    http_close(http);
}

START_TEST(closing_from_a_callback_is_allowed)
{
    struct http_request request = {.method = "GET"};
    char url[64];

    behaviour = NEVER;
    (void)start(&(struct http_request){0});
    LOOP_UNTIL(&loop, server.n_requests > 0);
    behaviour = ANSWER;
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/", server.port);
    request.url = url;
    ck_assert_int_eq(http_start(http, &request, close_from_callback, &seen, NULL, NULL), 0);
    script_run_until(&loop, &seen.is_done);
    ck_assert_uint_eq(seen.n_calls, 1);
}
END_TEST

static void start_another(void *ctx, const struct http_response *response)
{
    unsigned *n_left = ctx;
    struct http_request request = {.method = "GET"};
    char url[64];

    ck_assert_ptr_null(response->err);
    if (--*n_left == 0) {
        seen.is_done = true;
        return;
    }
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/", server.port);
    request.url = url;
    ck_assert_int_eq(http_start(http, &request, start_another, n_left, NULL, NULL), 0);
}

START_TEST(calls_can_be_started_from_a_callback)
{
    struct http_request request = {.method = "GET"};
    unsigned n_left = 20;
    char url[64];

    behaviour = ANSWER;
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/", server.port);
    request.url = url;
    ck_assert_int_eq(http_start(http, &request, start_another, &n_left, NULL, NULL), 0);
    script_run_until(&loop, &seen.is_done);
    ck_assert_uint_eq(server.n_requests, 20);
}
END_TEST

START_TEST(many_calls_at_once_each_get_their_own_answer)
{
    static struct seen many[40];
    struct http_request request = {.method = "GET"};
    char url[64];
    size_t i, n_done;

    memset(many, 0, sizeof(many));
    behaviour = ANSWER_BYTE_BY_BYTE;
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/", server.port);
    request.url = url;
    for (i = 0; i < ARRAY_LEN(many); i++)
        ck_assert_int_eq(http_start(http, &request, on_done, &many[i], NULL, NULL), 0);
    for (i = 0, n_done = 0; i < ARRAY_LEN(many); i++, n_done++)
        script_run_until(&loop, &many[i].is_done);
    for (i = 0; i < ARRAY_LEN(many); i++) {
        ck_assert_uint_eq(many[i].n_calls, 1);
        ck_assert_str_eq(many[i].body, "hello");
    }
}
END_TEST

static const char *proxy_variables(void *ctx, const char *name)
{
    return strcmp(name, "http_proxy") == 0 || strcmp(name, "https_proxy") == 0 ? ctx : NULL;
}

START_TEST(a_request_goes_through_the_proxy_with_its_credentials)
{
    char proxy[64], value[128];
    struct env_source env = {proxy_variables, proxy};
    const struct http_options options = {.env = &env};
    const struct http_request request = {.method = "GET", .url = "http://ssm.example.invalid/x"};
    struct http *proxied;

    (void)snprintf(proxy, sizeof(proxy), "http://user:pass@127.0.0.1:%d", server.port);
    ck_assert_int_eq(http_new(&loop, &options, &proxied, NULL), 0);
    behaviour = ANSWER;
    ck_assert_int_eq(http_start(proxied, &request, on_done, &seen, NULL, NULL), 0);
    script_run_until(&loop, &seen.is_done);
    ck_assert_int_eq(seen.code, 0);
    ck_assert_msg(str_has_prefix(last_request, "GET http://ssm.example.invalid/x HTTP/1.1\r\n"),
                  "%s", last_request);
    script_header(last_request, "Proxy-Authorization", value, sizeof(value));
    ck_assert_str_eq(value, "Basic dXNlcjpwYXNz");
    http_close(proxied);
}
END_TEST

START_TEST(a_proxy_that_refuses_is_named_without_its_password)
{
    char proxy[64];
    struct env_source env = {proxy_variables, proxy};
    const struct http_options options = {.env = &env};
    const struct http_request request = {.method = "GET", .url = "http://ssm.example.invalid/x"};
    struct http *proxied;

    (void)snprintf(proxy, sizeof(proxy), "http://user:hush@127.0.0.1:%d", server.port);
    script_server_stop(&server);
    ck_assert_int_eq(http_new(&loop, &options, &proxied, NULL), 0);
    ck_assert_int_eq(http_start(proxied, &request, on_done, &seen, NULL, NULL), 0);
    script_run_until(&loop, &seen.is_done);
    ck_assert_int_eq(seen.code, ERR_NETWORK);
    ck_assert_ptr_nonnull(strstr(seen.text, "through proxy http://127.0.0.1:"));
    ck_assert_ptr_null(strstr(seen.text, "hush"));
    http_close(proxied);
}
END_TEST

static void answer_407(void *ctx, struct script_conn *conn, const char *request, size_t n,
                       unsigned number)
{
    (void)ctx;
    (void)n;
    (void)number;
    (void)str_copy(last_request, sizeof(last_request), request);
    script_reply(conn, 407, "Proxy-Authenticate: Basic realm=\"x\"\r\n", "no");
}

START_TEST(https_goes_through_the_proxy_by_connect_and_its_refusal_is_told)
{
    char proxy[64];
    struct env_source env = {proxy_variables, proxy};
    const struct http_options options = {.env = &env};
    const struct http_request request = {.method = "GET", .url = "https://ssm.example.invalid/x"};
    struct http *proxied;

    (void)snprintf(proxy, sizeof(proxy), "127.0.0.1:%d", server.port);
    server.on_request = answer_407;
    ck_assert_int_eq(http_new(&loop, &options, &proxied, NULL), 0);
    ck_assert_int_eq(http_start(proxied, &request, on_done, &seen, NULL, NULL), 0);
    script_run_until(&loop, &seen.is_done);
    ck_assert_msg(str_has_prefix(last_request, "CONNECT ssm.example.invalid:443 HTTP/1.1\r\n"),
                  "%s", last_request);
    ck_assert_int_eq(seen.code, ERR_NETWORK);
    ck_assert(!seen.was_sent);
    ck_assert_msg(strstr(seen.text, "the proxy answered 407") != NULL, "%s", seen.text);
    http_close(proxied);
}
END_TEST

static unsigned n_trace_lines;
static void count_trace(void *ctx, const char *line)
{
    (void)ctx;
    n_trace_lines++;
    ck_assert_msg(strstr(line, "hush-hush") == NULL, "%s", line);
}

START_TEST(the_trace_tells_the_story_but_no_header_values)
{
    const struct http_options options = {.env = &empty_env, .trace = count_trace};
    static const struct header headers[] = {{"Authorization", "hush-hush"}};
    struct http_request request = {.method = "GET", .headers = headers, .n_headers = 1};
    struct http *traced;
    char url[64];

    n_trace_lines = 0;
    behaviour = ANSWER;
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/", server.port);
    request.url = url;
    ck_assert_int_eq(http_new(&loop, &options, &traced, NULL), 0);
    ck_assert_int_eq(http_start(traced, &request, on_done, &seen, NULL, NULL), 0);
    script_run_until(&loop, &seen.is_done);
    ck_assert_uint_gt(n_trace_lines, 0);
    http_close(traced);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http");
    TCase *ends = tcase_create("ends"), *life = tcase_create("life");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    /* A name server that does not answer is asked once, for a second. */
    if (setenv("RES_OPTIONS", "timeout:1 attempts:1", 1) < 0)
        return EXIT_FAILURE;
    tcase_add_checked_fixture(ends, setup, teardown);
    tcase_add_checked_fixture(life, setup, teardown);
    tcase_add_loop_test(ends, each_end_of_a_request_is_told_once_and_classified, 0,
                        (int)ARRAY_LEN(outcomes));
    tcase_add_test(ends, nobody_listening_is_a_network_error_of_a_request_never_sent);
    tcase_add_test(ends, an_unknown_host_is_a_network_error);
    tcase_add_test(ends, only_http_urls_and_clean_headers_are_taken);
    tcase_add_loop_test(ends, a_request_goes_out_as_it_was_given, 0, (int)ARRAY_LEN(methods));
    tcase_add_test(life, connections_are_kept_for_the_next_request);
    tcase_add_test(life, nothing_is_left_on_the_loop_when_no_request_is_under_way);
    tcase_add_test(life, a_cancelled_call_makes_no_callback);
    tcase_add_test(life, closing_with_calls_under_way_makes_no_callback);
    tcase_add_test(life, closing_from_a_callback_is_allowed);
    tcase_add_test(life, calls_can_be_started_from_a_callback);
    tcase_add_test(life, many_calls_at_once_each_get_their_own_answer);
    tcase_add_test(life, a_request_goes_through_the_proxy_with_its_credentials);
    tcase_add_test(life, https_goes_through_the_proxy_by_connect_and_its_refusal_is_told);
    tcase_add_test(life, a_proxy_that_refuses_is_named_without_its_password);
    tcase_add_test(life, the_trace_tells_the_story_but_no_header_values);
    suite_add_tcase(suite, ends);
    suite_add_tcase(suite, life);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
