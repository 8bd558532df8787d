/* The control socket: what it makes of clients that are slow, silent, many, or say too much. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/ctl_server.h"
#include "base/str.h"
#include "engine_world.h"

#define STATUS "{\"op\":\"status\"}"
#define N_MOST 32 /* as docs/internals/ctl.md says */

static struct engine_world w;
static struct ctl_server *server;

static void add_nothing(void *ctx, struct buf *b)
{
    (void)ctx;
    (void)b;
}

static void start(uint64_t patience_ms)
{
    const struct ctl_server_options o = {.loop = &w.loop,
                                         .engine = w.engine,
                                         .journal = w.journal,
                                         .run_dir = w.paths.run_dir,
                                         .add_status = add_nothing,
                                         .patience_ms = patience_ms};
    struct err err = {0};

    ck_assert_msg(ctl_server_new(&o, &server, &err) == 0, "%s", err.text);
}

static void begin(void)
{
    engine_world_init(&w, NULL, NULL);
}

static void end(void)
{
    ctl_server_stop(server);
    engine_world_turns(&w, 3);
    engine_world_done(&w);
    ctl_server_free(server);
}

static int join(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", w.paths.ctl_socket);
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)(const void *)&address, sizeof(address)),
                     0);
    engine_world_turns(&w, 2);
    return fd;
}

/* All of it, or as much as is taken. */
static void say(int fd, const char *bytes, size_t n)
{
    int idle = 0;

    while (n > 0 && idle < 1000) {
        ssize_t k = send(fd, bytes, n, MSG_NOSIGNAL);

        ck_assert(k > 0 || errno == EAGAIN || errno == EWOULDBLOCK);
        idle = k > 0 ? 0 : idle + 1;
        bytes += k > 0 ? k : 0;
        n -= k > 0 ? (size_t)k : 0;
        engine_world_turns(&w, 1);
    }
    ck_assert_uint_eq(n, 0);
}

static int listener_fd;
static char heard[65536];
static size_t n_heard;

static bool has_heard_all(struct engine_world *world)
{
    ssize_t n = recv(listener_fd, heard + n_heard, sizeof(heard) - 1 - n_heard, 0);

    (void)world;
    if (n > 0)
        n_heard += (size_t)n;
    heard[n_heard] = '\0';
    ck_assert_msg(n >= 0 || errno == EAGAIN || errno == EWOULDBLOCK, "%s", strerror(errno));
    return n == 0;
}

/* What comes until the server closes the connection. */
static const char *hear(int fd)
{
    listener_fd = fd;
    n_heard = 0;
    engine_world_until(&w, has_heard_all);
    (void)close(fd);
    return heard;
}

static const struct {
    const char *bytes;
    bool is_ended; /* the client shuts its half down */
    const char *answer;
} requests[] = {
    {STATUS "\n", false, "{\"ok\":true,\"status\":"},
    {STATUS "\n", true, "{\"ok\":true,\"status\":"},
    {STATUS, true, "{\"ok\":true,\"status\":"},
    {"\n", false, "{\"ok\":false,"},
    {"{", true, "{\"ok\":false,"},
    {"{}\n" STATUS "\n", false, "{\"ok\":false,"},
    {"", true, ""},
};

START_TEST(a_request_is_answered_with_or_without_a_newline)
{
    const char *answer;
    int fd;

    start(0);
    fd = join();
    say(fd, requests[_i].bytes, strlen(requests[_i].bytes));
    if (requests[_i].is_ended)
        ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
    answer = hear(fd);
    ck_assert_msg(str_has_prefix(answer, requests[_i].answer), "%s", answer);
    ck_assert(answer[0] == '\0' || answer[strlen(answer) - 1] == '\n');
}
END_TEST

START_TEST(a_request_that_is_too_long_is_answered_with_the_reason)
{
    size_t n = (size_t)6 << 20;
    char *bytes = malloc(n);
    int fd;

    ck_assert_ptr_nonnull(bytes);
    memset(bytes, ' ', n);
    start(0);
    fd = join();
    say(fd, bytes, n);
    free(bytes);
    ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
    ck_assert_ptr_nonnull(strstr(hear(fd), "\"limit\""));
}
END_TEST

START_TEST(who_asks_nothing_is_closed_in_time)
{
    int silent, partial;

    start(40);
    silent = join();
    partial = join();
    say(partial, "{\"op\":", 6);
    ck_assert_str_eq(hear(silent), "");
    ck_assert_str_eq(hear(partial), "");
}
END_TEST

START_TEST(idle_clients_shut_no_operator_out)
{
    int idle[N_MOST + 8], fd;
    size_t i;
    char byte;

    start(0);
    for (i = 0; i < ARRAY_LEN(idle); i++)
        idle[i] = join();
    fd = join();
    say(fd, STATUS "\n", strlen(STATUS) + 1);
    ck_assert(str_has_prefix(hear(fd), "{\"ok\":true"));
    ck_assert_int_eq(recv(idle[0], &byte, 1, 0), 0);                   /* the oldest went */
    ck_assert_int_lt(recv(idle[ARRAY_LEN(idle) - 1], &byte, 1, 0), 0); /* not the newest */
    for (i = 0; i < ARRAY_LEN(idle); i++)
        (void)close(idle[i]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("control socket");
    TCase *t = tcase_create("clients");
    SRunner *sr;
    int n_failed;

    tcase_add_checked_fixture(t, begin, end);
    tcase_add_loop_test(t, a_request_is_answered_with_or_without_a_newline, 0, ARRAY_LEN(requests));
    tcase_add_test(t, a_request_that_is_too_long_is_answered_with_the_reason);
    tcase_add_test(t, who_asks_nothing_is_closed_in_time);
    tcase_add_test(t, idle_clients_shut_no_operator_out);
    suite_add_tcase(s, t);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
