/* What agents send over a control channel of ssmhub: each line is a letter for its kind and what is
 * in it, in frames of a right client, or in bytes that are none. A command waits to be offered, so
 * that acknowledgements and replies can belong to it. Whatever comes, what the hub sends can be
 * read by an agent, and its own state can be told. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "hub/control.h"
#include "hub/json_out.h"
#include "schema/json.h"
#include "tests/fuzz/hub_command.h"
#include "transport/agent_message.h"
#include "transport/ws_codec.h"

#define NOW_MS INT64_C(1714842447000)
#define MAX_BYTES (4u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_closed;

static int64_t now_ms(void *ctx)
{
    (void)ctx;
    return NOW_MS;
}

/* What the hub says: an offer, or the acknowledgement of a reply. */
static void on_frame(void *ctx, enum ws_kind kind, const char *bytes, size_t n)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    struct agent_message m;
    struct err err;

    (void)ctx;
    if (kind == WS_PONG)
        return;
    require(kind == WS_BINARY);
    require(agent_message_read(bytes, n, &m, &err) == 0);
    require(str_eq(m.type, "agent_job") || str_eq(m.type, "agent_job_reply_ack"));
    require(json_parse(m.payload, m.payload_len, MAX_BYTES, JSON_REFUSE, m.type, &root, &err) == 0);
}

static void on_close(void *ctx)
{
    (void)close(*(const int *)ctx);
    is_closed = true;
}

static void send_frame(struct ws_codec *client, enum ws_kind kind, const void *bytes, size_t n)
{
    struct err err;

    if (ws_codec_send(client, kind, bytes, n, &err) < 0)
        return; /* a ping that is too large, or after the close */
}

static void send_message(struct ws_codec *client, const char *type, const char *payload, size_t n)
{
    AUTO(buf_done) struct buf b = {0};
    struct agent_message m = {.schema_version = 1,
                              .created_unix_ms = NOW_MS,
                              .id = "00000000-0000-4000-8000-000000000001",
                              .payload = payload,
                              .payload_len = n};
    struct err err;

    buf_init(&b, MAX_BYTES);
    (void)str_copy(m.type, sizeof(m.type), type);
    require(agent_message_write(&m, &b, &err) == 0);
    send_frame(client, WS_BINARY, b.data, b.len);
}

static void say_line(struct control *c, struct ws_codec *client, int fd, const char *line, size_t n)
{
    AUTO(buf_done) struct buf first = {0};
    char token[CONTROL_TOKEN_SIZE];

    if (n == 0)
        return;
    switch (line[0]) {
    case 'o': /* opens it, whatever stands behind */
        control_make_token(c, INSTANCE, token);
        buf_init(&first, 1024);
        (void)buf_printf(&first, "{\"MessageSchemaVersion\":\"1.0\",\"TokenValue\":\"%s\"}", token);
        send_frame(client, WS_TEXT, first.data, first.len);
        break;
    case 't':
        send_frame(client, WS_TEXT, line + 1, n - 1);
        break;
    case 'b':
        send_frame(client, WS_BINARY, line + 1, n - 1);
        break;
    case 'p':
        send_frame(client, WS_PING, line + 1, n - 1);
        break;
    case 'a':
        send_message(client, "agent_job_ack", line + 1, n - 1);
        break;
    case 'r':
        send_message(client, "agent_job_reply", line + 1, n - 1);
        break;
    case 'm':
        send_message(client, "something_else", line + 1, n - 1);
        break;
    case 'c':
        ws_codec_send_close(client, 1000);
        break;
    case 's':
        (void)control_spoil(c, INSTANCE, n > 1 && line[1] == 'x' ? "cut" : "close");
        break;
    default:
        (void)!send(fd, line + 1, n - 1, MSG_NOSIGNAL); /* no frame at all */
    }
}

/* What is pending at the client goes over, the hub takes and answers, the client reads. */
static void turn(struct control *c, struct ws_codec *client, int fd)
{
    static char bytes[65536];
    struct pollfd fds[CONTROL_MAX_CHANNELS];
    const char *pending;
    size_t n;
    ssize_t k;
    struct err err;

    while (pending = ws_codec_pending(client, &n), n > 0) {
        k = send(fd, pending, n, MSG_NOSIGNAL);
        if (k <= 0)
            break; /* the hub has closed it */
        ws_codec_written(client, (size_t)k);
        n = control_poll(c, fds, CONTROL_MAX_CHANNELS);
        (void)poll(fds, n, 0);
        control_serve(c, fds, n);
    }
    n = control_poll(c, fds, CONTROL_MAX_CHANNELS);
    (void)poll(fds, n, 0);
    control_serve(c, fds, n);
    (void)control_send_due(c, NOW_MS);
    while ((k = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
        int r = ws_codec_feed(client, bytes, (size_t)k, &err);

        require(r == 0 || r == ERR_CANCELLED || r == ERR_STATE);
        if (r < 0)
            break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct clock_source clock = {.wall_ms = now_ms, .boottime_ms = now_ms};
    const struct ws_codec_options o = {.role = WS_CLIENT,
                                       .max_message_bytes = MAX_BYTES,
                                       .max_pending_bytes = 2 * MAX_BYTES,
                                       .received = on_frame};
    AUTO(store_close) struct store *store = NULL;
    AUTO(control_free) struct control *c = NULL;
    AUTO(ws_codec_free) struct ws_codec *client = NULL;
    AUTO(cJSON_Delete) cJSON *root = NULL;
    AUTO(buf_done) struct buf state = {0};
    struct hub hub = {.region = "us-east-1", .url = "http://hub", .poll_ms = 1000};
    const char *p = (const char *)data, *end = p + size;
    struct control_socket socket = {.close = on_close};
    int fds[2];
    struct err err;

    (void)log_set_levels("error", &err); /* a fixed word */
    clock_set_source(&clock);
    require(store_open(":memory:", &store, &err) == 0);
    add_command(store);
    hub.store = store;
    require(control_new(&hub, &c, &err) == 0);
    require(ws_codec_new(&o, &client, &err) == 0);
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
    is_closed = false;
    socket.fd = fds[1];
    socket.ctx = &fds[1];
    control_add(c, INSTANCE, &socket, NULL, 0);
    while (p < end && !is_closed) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        const char *stop = newline != NULL ? newline : end;

        say_line(c, client, fds[0], p, (size_t)(stop - p));
        turn(c, client, fds[0]);
        p = stop + 1;
    }
    buf_init(&state, MAX_BYTES);
    out_object(&state, NULL);
    control_write_state(c, &state, "Channels");
    out_object_end(&state);
    require(json_parse(buf_str(&state), state.len, MAX_BYTES, JSON_REFUSE, "state", &root, &err) ==
            0);
    control_free(TAKE(c));
    require(is_closed);
    (void)close(fds[0]);
    clock_set_source(NULL);
    return 0;
}
