/* Websocket frames: two of our ends against each other with the stream cut at every byte, and bytes
 * that no honest peer sends. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "transport/ws_codec.h"

#define MAX_MESSAGE 200000u
#define MAX_PENDING 400000u

struct end {
    struct ws_codec *codec;
    struct buf got; /* of all messages, one after another */
    char kinds[16]; /* t, b, p */
    size_t n_kinds;
    const char *echo; /* sent back with each message */
};

static void received(void *ctx, enum ws_kind kind, const char *bytes, size_t n)
{
    struct end *e = ctx;
    struct err err;

    ck_assert_uint_lt(e->n_kinds, sizeof(e->kinds) - 1);
    e->kinds[e->n_kinds++] = kind == WS_TEXT ? 't' : kind == WS_BINARY ? 'b' : 'p';
    ck_assert_int_eq(buf_add(&e->got, bytes, n), 0);
    if (e->echo != NULL)
        ck_assert_int_eq(ws_codec_send(e->codec, WS_TEXT, e->echo, strlen(e->echo), &err), 0);
}

static void open_end(struct end *e, enum ws_role role)
{
    const struct ws_codec_options o = {.role = role,
                                       .max_message_bytes = MAX_MESSAGE,
                                       .max_pending_bytes = MAX_PENDING,
                                       .received = received,
                                       .ctx = e};
    struct err err = {0};

    *e = (struct end){0};
    buf_init(&e->got, 1u << 20);
    ck_assert_int_eq(ws_codec_new(&o, &e->codec, &err), 0);
}

static void close_end(struct end *e)
{
    ws_codec_free(e->codec);
    buf_done(&e->got);
}

/* All that `from` has for `to`, `step` bytes at a time. */
static int carry(struct end *from, struct end *to, size_t step, struct err *err)
{
    const char *bytes;
    size_t n;
    int r = 0;

    while (r == 0 && (bytes = ws_codec_pending(from->codec, &n), n > 0)) {
        n = n < step ? n : step;
        r = ws_codec_feed(to->codec, bytes, n, err);
        ws_codec_written(from->codec, n);
    }
    return r;
}

static const struct {
    const char *name;
    enum ws_kind kind;
    size_t n;
} messages[] = {{"empty", WS_BINARY, 0},        {"short", WS_TEXT, 5},
                {"125 bytes", WS_BINARY, 125},  {"126 bytes", WS_BINARY, 126},
                {"127 bytes", WS_TEXT, 127},    {"65535 bytes", WS_BINARY, 65535},
                {"65536 bytes", WS_TEXT, 65536}};
static const size_t steps[] = {1, 2, 3, 7, 4096, 1u << 20};

START_TEST(a_message_arrives_whole_whatever_pieces_it_comes_in)
{
    size_t i, k;
    char *bytes = malloc(70000);
    struct err err = {0};
    int role;

    ck_assert_ptr_nonnull(bytes);
    for (i = 0; i < 70000; i++)
        bytes[i] = (char)('a' + i % 26);
    for (role = 0; role < 2; role++)
        for (k = 0; k < ARRAY_LEN(steps); k++) {
            struct end a, b;

            open_end(&a, role == 0 ? WS_CLIENT : WS_SERVER);
            open_end(&b, role == 0 ? WS_SERVER : WS_CLIENT);
            ck_assert_int_eq(ws_codec_send(a.codec, messages[_i].kind, bytes, messages[_i].n, &err),
                             0);
            ck_assert_msg(carry(&a, &b, steps[k], &err) == 0, "%s: %s", messages[_i].name,
                          err.text);
            ck_assert_uint_eq(b.got.len, messages[_i].n);
            ck_assert_int_eq(memcmp(buf_str(&b.got), bytes, messages[_i].n), 0);
            ck_assert_str_eq(b.kinds, messages[_i].kind == WS_TEXT ? "t" : "b");
            close_end(&a);
            close_end(&b);
        }
    free(bytes);
}
END_TEST

START_TEST(a_ping_is_answered_with_its_payload_and_the_answer_is_told)
{
    struct end client, server;
    struct err err = {0};

    open_end(&client, WS_CLIENT);
    open_end(&server, WS_SERVER);
    ck_assert_int_eq(ws_codec_send(client.codec, WS_PING, "keepalive", 9, &err), 0);
    ck_assert_int_eq(carry(&client, &server, 1, &err), 0);
    ck_assert_uint_eq(server.n_kinds, 0);
    ck_assert_int_eq(carry(&server, &client, 1, &err), 0);
    ck_assert_str_eq(client.kinds, "p");
    ck_assert_str_eq(buf_str(&client.got), "keepalive");
    close_end(&client);
    close_end(&server);
}
END_TEST

START_TEST(a_message_may_be_answered_while_it_is_received)
{
    struct end client, server;
    struct err err = {0};

    open_end(&client, WS_CLIENT);
    open_end(&server, WS_SERVER);
    server.echo = "yes";
    ck_assert_int_eq(ws_codec_send(client.codec, WS_TEXT, "one", 3, &err), 0);
    ck_assert_int_eq(ws_codec_send(client.codec, WS_TEXT, "two", 3, &err), 0);
    ck_assert_int_eq(carry(&client, &server, 1u << 20, &err), 0);
    ck_assert_int_eq(carry(&server, &client, 1u << 20, &err), 0);
    ck_assert_str_eq(buf_str(&client.got), "yesyes");
    close_end(&client);
    close_end(&server);
}
END_TEST

START_TEST(a_close_is_answered_and_told_with_its_code)
{
    struct end client, server;
    struct err err = {0};

    open_end(&client, WS_CLIENT);
    open_end(&server, WS_SERVER);
    ws_codec_send_close(server.codec, 1001);
    ck_assert_int_eq(ws_codec_send(server.codec, WS_TEXT, "late", 4, &err), ERR_STATE);
    ck_assert_int_eq(carry(&server, &client, 1, &err), ERR_CANCELLED);
    ck_assert_msg(strstr(err.text, "1001") != NULL, "%s", err.text);
    ck_assert_int_eq(carry(&client, &server, 1, &err), ERR_CANCELLED);
    close_end(&client);
    close_end(&server);
}
END_TEST

/* As a client gets them (unmasked), unless `to` says server. */
static const struct {
    const char *what, *hex;
    enum ws_role to;
    const char *says;
} bad[] = {
    {"a masked frame of a server", "8281000000000a", WS_CLIENT, "1002"},
    {"an unmasked frame of a client", "82010a", WS_SERVER, "1002"},
    {"an unknown opcode", "83010a", WS_CLIENT, "1002"},
    {"a reserved bit", "c2010a", WS_CLIENT, "1002"},
    {"a continuation of nothing", "80010a", WS_CLIENT, "1002"},
    {"a message within a message",
     "02010a"
     "82010a",
     WS_CLIENT, "1002"},
    {"a fragmented ping", "0900", WS_CLIENT, "no frame"},
    {"a ping of 126 bytes", "897e007e", WS_CLIENT, "no frame"},
    {"a length in too many bytes", "827e0001", WS_CLIENT, "no frame"},
    {"a length beyond all counting", "827fffffffffffffffff", WS_CLIENT, "no frame"},
    {"a message larger than allowed", "827f0000000000030d4100", WS_CLIENT, "larger"},
    {"one that grows too large in pieces", "027f0000000000030d40", WS_CLIENT, NULL},
    {"text that is not UTF-8", "8102c328", WS_CLIENT, "1007"},
    {"a close with a code that must not be sent", "880203ed", WS_CLIENT, "1002"},
};

START_TEST(a_peer_that_breaks_the_rules_is_told_so_and_not_read_any_more)
{
    struct end e;
    struct err err = {0};
    unsigned char bytes[64];
    size_t n = strlen(bad[_i].hex) / 2, n_out, i;
    int r = 0;

    ck_assert(str_unhex(bad[_i].hex, bytes, n));
    open_end(&e, bad[_i].to);
    if (bad[_i].says == NULL) { /* the first piece is just allowed, the next one is not */
        char *piece = calloc(1, MAX_MESSAGE);

        ck_assert_ptr_nonnull(piece);
        ck_assert_int_eq(ws_codec_feed(e.codec, bytes, n, &err), 0);
        ck_assert_int_eq(ws_codec_feed(e.codec, piece, MAX_MESSAGE, &err), 0);
        ck_assert_int_eq(ws_codec_feed(e.codec, "\x80\x01x", 3, &err), ERR_PROTOCOL);
        free(piece);
    } else {
        for (i = 0; r == 0 && i < n; i++)
            r = ws_codec_feed(e.codec, &bytes[i], 1, &err);
        ck_assert_msg(r == ERR_PROTOCOL, "%s: %d %s", bad[_i].what, r, err.text);
        ck_assert_msg(strstr(err.text, bad[_i].says) != NULL, "%s: %s", bad[_i].what, err.text);
    }
    ck_assert_uint_eq(e.n_kinds, 0);
    (void)ws_codec_pending(e.codec, &n_out);
    ck_assert_msg(n_out > 0, "%s: no close frame", bad[_i].what);
    close_end(&e);
}
END_TEST

START_TEST(a_peer_that_asks_and_does_not_read_is_given_up)
{
    struct end e;
    struct err err = {0};
    static unsigned char ping[127] = {0x89, 125};
    int r = 0, i;

    open_end(&e, WS_CLIENT);
    for (i = 0; r == 0 && i < 100000; i++)
        r = ws_codec_feed(e.codec, ping, sizeof(ping), &err);
    ck_assert_int_eq(r, ERR_LIMIT);
    close_end(&e);
}
END_TEST

START_TEST(what_the_peer_does_not_take_is_bounded)
{
    struct end e;
    struct err err = {0};
    char *large = calloc(1, MAX_PENDING);
    const char *pending;
    size_t n;

    ck_assert_ptr_nonnull(large);
    open_end(&e, WS_CLIENT);
    ck_assert_int_eq(ws_codec_send(e.codec, WS_BINARY, large, MAX_PENDING / 2, &err), 0);
    ck_assert_int_eq(ws_codec_send(e.codec, WS_BINARY, large, MAX_PENDING / 2 + 1, &err),
                     ERR_LIMIT);
    pending = ws_codec_pending(e.codec, &n);
    ck_assert_ptr_nonnull(pending);
    ws_codec_written(e.codec, n - 10);
    ck_assert_int_eq(ws_codec_send(e.codec, WS_BINARY, large, MAX_PENDING / 2 + 1, &err), 0);
    (void)ws_codec_pending(e.codec, &n);
    ck_assert_uint_eq(n, 10 + 14 + MAX_PENDING / 2 + 1); /* header of 14 bytes with its mask */
    ck_assert_int_eq(ws_codec_send(e.codec, WS_PING, large, 126, &err), ERR_INVALID);
    close_end(&e);
    free(large);
}
END_TEST

START_TEST(the_handshake_is_that_of_the_standard)
{
    char key[WS_KEY_SIZE], other[WS_KEY_SIZE], accept[WS_ACCEPT_SIZE];
    struct err err = {0};

    ck_assert_int_eq(ws_accept_of_key("dGhlIHNhbXBsZSBub25jZQ==", accept, &err), 0);
    ck_assert_str_eq(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); /* RFC 6455, section 1.3 */
    ws_make_key(key);
    ws_make_key(other);
    ck_assert_uint_eq(strlen(key), 24);
    ck_assert_str_ne(key, other);
    ck_assert_int_eq(ws_accept_of_key("short", accept, &err), ERR_INVALID);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ws_codec");
    TCase *tc = tcase_create("ws_codec");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_loop_test(tc, a_message_arrives_whole_whatever_pieces_it_comes_in, 0,
                        (int)ARRAY_LEN(messages));
    tcase_add_test(tc, a_ping_is_answered_with_its_payload_and_the_answer_is_told);
    tcase_add_test(tc, a_message_may_be_answered_while_it_is_received);
    tcase_add_test(tc, a_close_is_answered_and_told_with_its_code);
    tcase_add_loop_test(tc, a_peer_that_breaks_the_rules_is_told_so_and_not_read_any_more, 0,
                        (int)ARRAY_LEN(bad));
    tcase_add_test(tc, a_peer_that_asks_and_does_not_read_is_given_up);
    tcase_add_test(tc, what_the_peer_does_not_take_is_bounded);
    tcase_add_test(tc, the_handshake_is_that_of_the_standard);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
