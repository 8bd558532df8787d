/* The websocket client against a scripted server: upgrade, messages, pings, and every end. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "tests/lib/script_server.h"
#include "tests/lib/ws_peer.h"
#include "transport/ws.h"
#include "transport/ws_handshake.h"

#define MAX_MESSAGE 300000u
#define LONG_MS 20000

static uv_loop_t loop;
static struct http *http;
static struct ws_peer peer;
static struct ws *ws;
static struct ws_peer_conn *conn;
static const char *answer;  /* to the upgrade; NULL: agreed */
static char head[4096];     /* of the upgrade */
static struct buf got;      /* by the client */
static struct buf peer_got; /* by the server, without pongs */
static bool is_open, is_ended, is_peer_ended, was_orderly;
static bool closes_in_message, closes_in_open, echoes, is_message_seen, is_pong_seen;
static size_t awaited; /* bytes of peer_got, then is_message_seen */
static struct err end_err;

static const char *get_variable(void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
    return NULL;
}

static const char *on_upgrade(void *ctx, struct ws_peer_conn *c, const char *text)
{
    (void)ctx;
    conn = c;
    (void)str_copy(head, sizeof(head), text);
    return answer;
}

static void on_peer_message(void *ctx, struct ws_peer_conn *c, enum ws_kind kind, const char *bytes,
                            size_t n)
{
    (void)ctx;
    if (kind == WS_PONG) {
        is_pong_seen = true;
        return;
    }
    ck_assert_int_eq(buf_add(&peer_got, bytes, n), 0);
    if (echoes)
        ws_peer_send(c, kind, bytes, n);
    if (peer_got.len >= awaited)
        is_message_seen = true;
}

static void on_peer_end(void *ctx, struct ws_peer_conn *c, bool is_orderly)
{
    (void)ctx;
    (void)c;
    is_peer_ended = true;
    was_orderly = is_orderly;
}

static void on_opened(void *ctx)
{
    (void)ctx;
    is_open = true;
    if (closes_in_open) {
        ws_close(ws);
        is_ended = true;
    }
}

static void on_received(void *ctx, enum ws_kind kind, const char *bytes, size_t n)
{
    (void)ctx;
    (void)kind;
    ck_assert_int_eq(buf_add(&got, bytes, n), 0);
    if (closes_in_message) {
        ws_close(ws);
        is_ended = true;
    }
    if (got.len >= awaited)
        is_message_seen = true;
}

static void on_ended(void *ctx, const struct err *err)
{
    (void)ctx;
    ck_assert_msg(!is_ended, "ended twice");
    is_ended = true;
    end_err = *err;
}

static void setup(void)
{
    static const struct env_source env = {get_variable, NULL};
    const struct http_options options = {.env = &env, .connect_timeout_ms = 5000};
    struct err err = {0};

    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_msg(http_new(&loop, &options, &http, &err) == 0, "%s", err.text);
    peer = (struct ws_peer){
        .on_upgrade = on_upgrade, .on_message = on_peer_message, .on_end = on_peer_end};
    ws_peer_start(&peer, &loop);
    buf_init(&got, 1u << 22);
    buf_init(&peer_got, 1u << 22);
    answer = NULL;
    awaited = 1;
}

static void teardown(void)
{
    if (!is_ended)
        ws_close(ws);
    http_close(http);
    ws_peer_stop(&peer);
    script_finish_loop(&loop);
    buf_done(&got);
    buf_done(&peer_got);
}

static void begin(const struct ws_options *given)
{
    static const struct header headers[] = {{"Host", "service.example"}, {"X-Amz-Date", "now"}};
    struct ws_options o = given != NULL ? *given : (struct ws_options){0};
    struct err err = {0};
    char origin[64];

    (void)snprintf(origin, sizeof(origin), "http://127.0.0.1:%d", peer.port);
    o.http = http;
    o.origin = origin;
    o.target = "/v1/control-channel/i-1?role=subscribe&stream=input";
    o.headers = headers;
    o.n_headers = ARRAY_LEN(headers);
    o.max_message_bytes = MAX_MESSAGE;
    o.max_pending_bytes = o.max_pending_bytes > 0 ? o.max_pending_bytes : MAX_MESSAGE;
    o.opened = on_opened;
    o.received = on_received;
    o.ended = on_ended;
    ck_assert_msg(ws_open(&loop, &o, &ws, &err) == 0, "%s", err.text);
    ck_assert(!is_open && !is_ended);
}

START_TEST(the_upgrade_asks_for_what_was_wanted_and_no_more)
{
    begin(NULL);
    script_run_until(&loop, &is_open);
    ck_assert(str_has_prefix(head,
                             "GET /v1/control-channel/i-1?role=subscribe&stream=input HTTP/1.1\r\n"
                             "Host: service.example\r\nX-Amz-Date: now\r\n"));
    ck_assert_ptr_nonnull(strstr(head, "\r\nUpgrade: websocket\r\n"));
    ck_assert_ptr_nonnull(strstr(head, "\r\nConnection: Upgrade\r\n"));
    ck_assert_ptr_nonnull(strstr(head, "\r\nSec-WebSocket-Version: 13\r\n"));
    ck_assert_ptr_null(strcasestr(head, "Sec-WebSocket-Extensions"));
    ck_assert_ptr_null(strcasestr(head, "Sec-WebSocket-Protocol"));
}
END_TEST

START_TEST(messages_of_every_size_go_both_ways)
{
    static const size_t sizes[] = {0, 1, 125, 126, 65535, 65536, 140000};
    char *bytes = malloc(140000);
    struct err err = {0};
    size_t i, sum = 0;

    ck_assert_ptr_nonnull(bytes);
    for (i = 0; i < 140000; i++)
        bytes[i] = (char)('a' + i % 26);
    echoes = true;
    peer.is_slow = _i == 1;
    begin(NULL);
    script_run_until(&loop, &is_open);
    for (i = 0; i < (_i == 1 ? 5 : ARRAY_LEN(sizes)); i++) {
        sum += sizes[i];
        awaited = sum;
        is_message_seen = false;
        ck_assert_msg(ws_send(ws, WS_BINARY, bytes, sizes[i], &err) == 0, "%s", err.text);
        if (sizes[i] == 0)
            continue;
        while (got.len < sum) {
            is_message_seen = false;
            script_run_until(&loop, &is_message_seen);
        }
        ck_assert_mem_eq(got.data + sum - sizes[i], bytes, sizes[i]);
    }
    ck_assert(!is_ended);
    free(bytes);
}
END_TEST

START_TEST(frames_right_behind_the_answer_are_not_lost)
{
    answer = "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\n"
             "connection: keep-alive, Upgrade\r\nsec-websocket-accept: ACCEPT\r\n\r\n"
             "\x82\x05hello";
    begin(NULL);
    script_run_until(&loop, &is_message_seen);
    ck_assert_str_eq(buf_str(&got), "hello");
}
END_TEST

#define AGREED "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"

static const struct {
    const char *answer;
    int code;
    const char *says;
} refusals[] = {
    {"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nno access", ERR_AUTH, "403: no access"},
    {"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", ERR_AUTH, "401"},
    {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", ERR_REFUSED, "404"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nlogin", ERR_REFUSED, "200: login"},
    {"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
     ERR_REFUSED, "302"},
    {"HTTP/1.1 429 Slow Down\r\nContent-Length: 0\r\n\r\n", ERR_THROTTLED, "429"},
    {"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nb\x01\x02y", ERR_SERVER, "503: b  y"},
    {AGREED "\r\n", ERR_PROTOCOL, "Sec-WebSocket-Accept"},
    {AGREED "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", ERR_PROTOCOL,
     "Sec-WebSocket-Accept"},
    {AGREED "Sec-WebSocket-Accept: ACCEPTx\r\n\r\n", ERR_PROTOCOL, "Sec-WebSocket-Accept"},
    {AGREED "Sec-WebSocket-Accept: ACCEPT\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
     ERR_PROTOCOL, "extension"},
    {AGREED "Sec-WebSocket-Accept: ACCEPT\r\nSec-WebSocket-Protocol: chat\r\n\r\n", ERR_PROTOCOL,
     "extension"},
    {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
     "Sec-WebSocket-Accept: ACCEPT\r\n\r\n",
     ERR_PROTOCOL, "not that of a websocket"},
    {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
     "Sec-WebSocket-Accept: ACCEPT\r\n\r\n",
     ERR_PROTOCOL, "not that of a websocket"},
    {"SSH-2.0-OpenSSH_9.2\r\n", ERR_PROTOCOL, "not HTTP"},
    {"HTTP/1.1 abc\r\n\r\n", ERR_PROTOCOL, "not HTTP"},
};

START_TEST(an_answer_that_is_no_agreement_is_told_with_what_it_said)
{
    answer = refusals[_i].answer;
    begin(NULL);
    script_run_until(&loop, &is_ended);
    ck_assert(!is_open);
    ck_assert_msg(end_err.code == refusals[_i].code, "%s", end_err.text);
    ck_assert_msg(strstr(end_err.text, refusals[_i].says) != NULL, "%s", end_err.text);
}
END_TEST

START_TEST(an_answer_cut_at_every_byte_is_the_same_answer)
{
    static const char key[] = "dGhlIHNhbXBsZSBub25jZQ==";
    static const char text[] =
        AGREED "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x01x";
    struct err err = {0};
    size_t n, used = 0;

    for (n = 0; n < sizeof(text) - 1 - 3; n++)
        ck_assert_msg(ws_handshake_read(text, n, false, key, &used, &err) == 0, "at %zu: %s", n,
                      err.text);
    for (; n <= sizeof(text) - 1; n++) {
        ck_assert_int_eq(ws_handshake_read(text, n, false, key, &used, &err), 1);
        ck_assert_uint_eq(used, sizeof(text) - 1 - 3);
    }
    ck_assert_int_eq(ws_handshake_read(text, 20, true, key, &used, &err), ERR_NETWORK);
    is_ended = true; /* there was no connection */
}
END_TEST

START_TEST(an_answer_without_end_is_given_up)
{
    static char endless[40000];

    memset(endless, 'x', sizeof(endless) - 1);
    memcpy(endless, "HTTP/1.1 101 ", 13);
    answer = endless;
    begin(NULL);
    script_run_until(&loop, &is_ended);
    ck_assert_int_eq(end_err.code, ERR_PROTOCOL);
    ck_assert_msg(strstr(end_err.text, "larger than") != NULL, "%s", end_err.text);
}
END_TEST

START_TEST(a_header_cannot_carry_a_line_end)
{
    const struct header bad = {"X-Amz-Security-Token", "a\r\nX-Other: b"};
    AUTO(buf_done) struct buf b = {0};
    struct err err = {0};

    buf_init(&b, 4096);
    ck_assert_int_eq(ws_handshake_write("/v1", &bad, 1, "key", &b, &err), ERR_INVALID);
    ck_assert_int_eq(ws_handshake_write("/v1 x", NULL, 0, "key", &b, &err), ERR_INVALID);
    ck_assert_int_eq(ws_handshake_write("", NULL, 0, "key", &b, &err), ERR_INVALID);
    is_ended = true; /* there was no connection */
}
END_TEST

START_TEST(an_upgrade_that_is_not_answered_ends_in_time)
{
    answer = "";
    begin(&(struct ws_options){.open_timeout_ms = 50});
    script_run_until(&loop, &is_ended);
    ck_assert_msg(end_err.code == ERR_TIMEOUT, "%s", end_err.text);
}
END_TEST

START_TEST(nobody_listening_is_a_network_error)
{
    begin(NULL);
    uv_close((uv_handle_t *)&peer.listener, NULL);
    script_run_until(&loop, &is_ended);
    ck_assert_msg(end_err.code == ERR_NETWORK, "%s", end_err.text);
    ws_peer_start(&peer, &loop); /* for the teardown */
}
END_TEST

START_TEST(pings_keep_a_connection_that_answers)
{
    int i;

    begin(&(struct ws_options){.ping_ms = 2, .pong_timeout_ms = LONG_MS});
    script_run_until(&loop, &is_open);
    for (i = 0; i < 200; i++)
        (void)uv_run(&loop, UV_RUN_ONCE);
    ck_assert(!is_ended);
}
END_TEST

START_TEST(a_connection_that_is_dead_without_saying_so_is_noticed)
{
    begin(&(struct ws_options){.ping_ms = 5, .pong_timeout_ms = 30});
    script_run_until(&loop, &is_open);
    ws_peer_fall_silent(conn);
    script_run_until(&loop, &is_ended);
    ck_assert_msg(end_err.code == ERR_TIMEOUT, "%s", end_err.text);
    ck_assert_msg(strstr(end_err.text, "ping") != NULL, "%s", end_err.text);
}
END_TEST

START_TEST(a_question_for_a_sign_of_life_does_not_wait_for_the_next_ping)
{
    begin(&(struct ws_options){.ping_ms = LONG_MS, .pong_timeout_ms = LONG_MS});
    script_run_until(&loop, &is_open);
    ws_peer_fall_silent(conn);
    ws_ping(ws, 30);
    ws_ping(ws, LONG_MS); /* asked again later: the first limit stands */
    script_run_until(&loop, &is_ended);
    ck_assert_msg(end_err.code == ERR_TIMEOUT, "%s", end_err.text);
}
END_TEST

START_TEST(a_ping_of_the_peer_is_answered)
{
    begin(NULL);
    script_run_until(&loop, &is_open);
    ws_peer_send(conn, WS_PING, "hi", 2);
    script_run_until(&loop, &is_pong_seen);
}
END_TEST

START_TEST(a_close_of_the_peer_is_told_with_its_code)
{
    begin(NULL);
    script_run_until(&loop, &is_open);
    ws_peer_close(conn, 1001);
    script_run_until(&loop, &is_ended);
    ck_assert_msg(end_err.code == ERR_CANCELLED, "%s", end_err.text);
    ck_assert_ptr_nonnull(strstr(end_err.text, "1001"));
}
END_TEST

START_TEST(a_cut_connection_is_a_network_error)
{
    begin(NULL);
    script_run_until(&loop, &is_open);
    ws_peer_cut(conn);
    script_run_until(&loop, &is_ended);
    ck_assert_msg(end_err.code == ERR_NETWORK, "%s", end_err.text);
}
END_TEST

START_TEST(bytes_that_are_no_frames_end_it)
{
    begin(NULL);
    script_run_until(&loop, &is_open);
    ws_peer_write(conn, "HTTP/1.1 200 OK\r\n\r\n", 19);
    script_run_until(&loop, &is_ended);
    ck_assert_msg(end_err.code == ERR_PROTOCOL, "%s", end_err.text);
}
END_TEST

START_TEST(a_close_of_ours_is_orderly_and_makes_no_callback)
{
    begin(NULL);
    script_run_until(&loop, &is_open);
    ws_close(ws);
    ck_assert(!is_ended);
    is_ended = true;
    script_run_until(&loop, &is_peer_ended);
    ck_assert(was_orderly);
}
END_TEST

START_TEST(a_callback_may_close_it)
{
    closes_in_open = _i == 0;
    closes_in_message = _i == 1;
    answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Accept: ACCEPT\r\n\r\n\x82\x01"
             "1\x82\x01"
             "2";
    begin(NULL);
    script_run_until(&loop, &is_ended);
    script_run_until(&loop, &is_peer_ended);
    ck_assert_uint_eq(got.len, (size_t)_i);
}
END_TEST

START_TEST(it_may_be_closed_at_any_moment)
{
    int i;

    begin(NULL);
    for (i = 0; i < _i; i++)
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    if (!is_ended)
        ws_close(ws);
    is_ended = true;
}
END_TEST

START_TEST(a_peer_that_does_not_read_is_told_to_who_sends)
{
    char *bytes = calloc(1, MAX_MESSAGE / 2);
    struct err err = {0};
    int r = 0, i;

    ck_assert_ptr_nonnull(bytes);
    begin(NULL);
    script_run_until(&loop, &is_open);
    ws_peer_fall_silent(conn);
    for (i = 0; r == 0 && i < 1000; i++)
        r = ws_send(ws, WS_BINARY, bytes, MAX_MESSAGE / 2, &err);
    ck_assert_msg(r == ERR_LIMIT, "%s", err.text);
    free(bytes);
}
END_TEST

START_TEST(nothing_is_sent_before_it_is_open)
{
    struct err err = {0};

    begin(NULL);
    ck_assert_int_eq(ws_send(ws, WS_TEXT, "x", 1, &err), ERR_STATE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ws");
    TCase *tc = tcase_create("ws");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 240);
    tcase_add_test(tc, the_upgrade_asks_for_what_was_wanted_and_no_more);
    tcase_add_loop_test(tc, messages_of_every_size_go_both_ways, 0, 2);
    tcase_add_test(tc, frames_right_behind_the_answer_are_not_lost);
    tcase_add_loop_test(tc, an_answer_that_is_no_agreement_is_told_with_what_it_said, 0,
                        (int)ARRAY_LEN(refusals));
    tcase_add_test(tc, an_answer_cut_at_every_byte_is_the_same_answer);
    tcase_add_test(tc, an_answer_without_end_is_given_up);
    tcase_add_test(tc, a_header_cannot_carry_a_line_end);
    tcase_add_test(tc, an_upgrade_that_is_not_answered_ends_in_time);
    tcase_add_test(tc, nobody_listening_is_a_network_error);
    tcase_add_test(tc, pings_keep_a_connection_that_answers);
    tcase_add_test(tc, a_connection_that_is_dead_without_saying_so_is_noticed);
    tcase_add_test(tc, a_question_for_a_sign_of_life_does_not_wait_for_the_next_ping);
    tcase_add_test(tc, a_ping_of_the_peer_is_answered);
    tcase_add_test(tc, a_close_of_the_peer_is_told_with_its_code);
    tcase_add_test(tc, a_cut_connection_is_a_network_error);
    tcase_add_test(tc, bytes_that_are_no_frames_end_it);
    tcase_add_test(tc, a_close_of_ours_is_orderly_and_makes_no_callback);
    tcase_add_loop_test(tc, a_callback_may_close_it, 0, 2);
    tcase_add_loop_test(tc, it_may_be_closed_at_any_moment, 0, 12);
    tcase_add_test(tc, a_peer_that_does_not_read_is_told_to_who_sends);
    tcase_add_test(tc, nothing_is_sent_before_it_is_open);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
