/* Tokens, connections and frames. What the messages mean is in control_job.c. */
#define LOG_MODULE "control"
#include "hub/control_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "hub/json_out.h"
#include "schema/json.h"

#define MAX_MESSAGE_BYTES (4u << 20)
#define MAX_PENDING_BYTES (64u << 20)
#define FIRST_MESSAGE_MS 30000
#define MAX_FIRST_BYTES 65536u
#define CODE_NORMAL 1000u
#define CODE_POLICY 1008u
#define READ_BYTES 65536u

static int64_t now_of(const struct control *c)
{
    return clock_wall_ms() + c->hub->date_offset_ms;
}

/* ---- tokens ---- */

void control_make_token(struct control *c, const char *instance_id,
                        char ret_token[CONTROL_TOKEN_SIZE])
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    struct token *t = &c->tokens[c->next_token];
    unsigned char random[CONTROL_TOKEN_SIZE - 1];
    size_t i;

    c->next_token = (c->next_token + 1) % CONTROL_MAX_TOKENS; /* the oldest is not good any more */
    ids_random(random, sizeof(random));
    for (i = 0; i < sizeof(random); i++)
        t->text[i] = letters[random[i] % 64];
    t->text[i] = '\0';
    (void)str_copy(t->instance_id, sizeof(t->instance_id), instance_id); /* no longer than a path */
    memcpy(ret_token, t->text, CONTROL_TOKEN_SIZE);
}

static bool use_token(struct control *c, const char *instance_id, const char *text)
{
    size_t i;

    for (i = 0; i < CONTROL_MAX_TOKENS; i++) {
        struct token *t = &c->tokens[i];

        if (t->text[0] == '\0' || !str_eq(t->text, text) || !str_eq(t->instance_id, instance_id))
            continue;
        *t = (struct token){.text = ""};
        return true;
    }
    return false;
}

/* ---- a channel's end ---- */

void channel_end(struct channel *ch, const char *why)
{
    if (ch->is_over)
        return;
    log_info("control channel of %s: %s", ch->instance_id, why);
    ch->is_over = true;
}

static void free_channel(struct channel *ch)
{
    struct held_frame *h, *next;

    for (h = ch->held; h != NULL; h = next) {
        next = h->next;
        free(h);
    }
    ch->socket.close(ch->socket.ctx);
    ws_codec_free(ch->codec);
    free(ch);
}

/* Channels that are over go; what they did not acknowledge is for others. */
static void sweep(struct control *c)
{
    struct channel **at = &c->channels, *ch;

    while ((ch = *at) != NULL) {
        if (!ch->is_over) {
            at = &ch->next;
            continue;
        }
        *at = ch->next;
        c->n_channels--;
        if (ch->is_open)
            job_release(c, ch->instance_id, now_of(c));
        c->hub->is_woken = true; /* polls of this instance are served again */
        free_channel(ch);
    }
}

/* ---- output ---- */

static void flush(struct channel *ch)
{
    const char *bytes;
    size_t n;

    while (!ch->is_over && !ch->is_silent && (bytes = ws_codec_pending(ch->codec, &n), n > 0)) {
        ssize_t k = send(ch->socket.fd, bytes, n, MSG_NOSIGNAL);

        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (k < 0) {
            channel_end(ch, strerror(errno));
            return;
        }
        ws_codec_written(ch->codec, (size_t)k);
    }
}

void channel_send(struct channel *ch, const void *bytes, size_t n)
{
    struct err err;

    if (ch->is_over || ch->is_silent)
        return;
    if (ws_codec_send(ch->codec, WS_BINARY, bytes, n, &err) < 0)
        channel_end(ch, err.text);
    else
        flush(ch);
}

void channel_hold(struct channel *ch, const void *bytes, size_t n, int64_t due_ms)
{
    struct held_frame *h = malloc(sizeof(*h) + n);

    if (h == NULL)
        return; /* as if it were lost: it is for faults only */
    *h = (struct held_frame){.next = ch->held, .due_ms = due_ms, .n = n};
    memcpy(h->bytes, bytes, n);
    ch->held = h;
}

/* ---- input ---- */

static void take_first(struct channel *ch, const char *bytes, size_t n)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    const char *token = NULL, *schema = NULL;
    struct err err = {0};

    if (json_parse(bytes, n, MAX_FIRST_BYTES, JSON_REFUSE, "first message", &root, &err) < 0 ||
        json_get_string(root, "first message", "TokenValue", 1024, &token, &err) < 0 ||
        json_get_string(root, "first message", "MessageSchemaVersion", 16, &schema, &err) < 0) {
        ws_codec_send_close(ch->codec, CODE_POLICY);
        flush(ch);
        channel_end(ch, err.text);
        return;
    }
    if (token == NULL || schema == NULL || !use_token(ch->control, ch->instance_id, token)) {
        ws_codec_send_close(ch->codec, CODE_POLICY);
        flush(ch);
        channel_end(ch, "its first message has no token that is good");
        return;
    }
    ch->is_open = true;
    log_info("control channel of %s: open", ch->instance_id);
    job_release(ch->control, ch->instance_id, now_of(ch->control));
    ch->control->hub->is_woken = true;
}

static void on_frame(void *ctx, enum ws_kind kind, const char *bytes, size_t n)
{
    struct channel *ch = ctx;
    struct agent_message m;
    struct err err;

    if (ch->is_over || kind == WS_PONG)
        return;
    if (!ch->is_open && kind == WS_TEXT)
        take_first(ch, bytes, n);
    else if (!ch->is_open)
        channel_end(ch, "a message before the first one");
    else if (agent_message_read(bytes, n, &m, &err) < 0)
        log_warning("control channel of %s: %s", ch->instance_id, err.text);
    else
        job_receive(ch, &m, now_of(ch->control));
}

static void feed(struct channel *ch, const void *bytes, size_t n)
{
    struct err err = {0};
    int r = ws_codec_feed(ch->codec, bytes, n, &err);

    flush(ch);
    if (r < 0)
        channel_end(ch, err.text);
}

static void read_all(struct channel *ch)
{
    static char bytes[READ_BYTES];

    while (!ch->is_over && !ch->is_silent) {
        ssize_t n = recv(ch->socket.fd, bytes, sizeof(bytes), 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n <= 0) {
            channel_end(ch, n == 0 ? "the agent closed the connection" : strerror(errno));
            return;
        }
        feed(ch, bytes, (size_t)n);
    }
}

/* ---- the set ---- */

void control_add(struct control *c, const char *instance_id, const struct control_socket *s,
                 const void *bytes, size_t n)
{
    const struct ws_codec_options o = {.role = WS_SERVER,
                                       .max_message_bytes = MAX_MESSAGE_BYTES,
                                       .max_pending_bytes = MAX_PENDING_BYTES,
                                       .received = on_frame};
    struct ws_codec_options with_ctx = o;
    struct channel *ch = c->n_channels < CONTROL_MAX_CHANNELS ? calloc(1, sizeof(*ch)) : NULL;
    struct err err;

    if (ch != NULL) {
        with_ctx.ctx = ch;
        if (ws_codec_new(&with_ctx, &ch->codec, &err) < 0) {
            free(ch);
            ch = NULL;
        }
    }
    if (ch == NULL) {
        log_warning("control channel of %s: no room for it", instance_id);
        s->close(s->ctx);
        return;
    }
    ch->control = c;
    ch->socket = *s;
    (void)str_copy(ch->instance_id, sizeof(ch->instance_id), instance_id);
    ch->since_ms = now_of(c);
    ch->next = c->channels;
    c->channels = ch;
    c->n_channels++;
    if (n > 0)
        feed(ch, bytes, n);
}

size_t control_poll(const struct control *c, struct pollfd *fds, size_t max)
{
    const struct channel *ch;
    size_t k = 0, n;

    for (ch = c->channels; ch != NULL && k < max; ch = ch->next) {
        (void)ws_codec_pending(ch->codec, &n);
        fds[k++] = (struct pollfd){.fd = ch->is_silent ? -1 : ch->socket.fd,
                                   .events = (short)(n > 0 ? POLLIN | POLLOUT : POLLIN)};
    }
    return k;
}

void control_serve(struct control *c, const struct pollfd *fds, size_t n)
{
    struct channel *ch;
    size_t k, i;

    for (k = 0; k < n; k++) {
        if (fds[k].revents == 0)
            continue;
        for (ch = c->channels, i = 0; ch != NULL && ch->socket.fd != fds[k].fd; ch = ch->next)
            i++;
        if (ch == NULL)
            continue;
        flush(ch);
        read_all(ch);
    }
    sweep(c);
}

static int64_t send_held(struct channel *ch, int64_t now_ms)
{
    struct held_frame **at = &ch->held, *h;
    int64_t next = INT64_MAX;

    while ((h = *at) != NULL) {
        if (h->due_ms > now_ms) {
            next = h->due_ms < next ? h->due_ms : next;
            at = &h->next;
            continue;
        }
        *at = h->next;
        channel_send(ch, h->bytes, h->n);
        free(h);
    }
    return next;
}

int64_t control_send_due(struct control *c, int64_t now_ms)
{
    struct channel *ch;
    int64_t next = INT64_MAX, due;

    for (ch = c->channels; ch != NULL; ch = ch->next) {
        if (!ch->is_open && !ch->is_over && now_ms - ch->since_ms > FIRST_MESSAGE_MS)
            channel_end(ch, "no first message in time");
        due = send_held(ch, now_ms);
        next = due < next ? due : next;
        due = ch->is_over   ? INT64_MAX
              : ch->is_open ? job_offer(ch, now_ms)
                            : ch->since_ms + FIRST_MESSAGE_MS + 1;
        next = due < next ? due : next;
    }
    sweep(c);
    return next;
}

bool control_is_open(const struct control *c, const char *instance_id)
{
    const struct channel *ch;

    for (ch = c->channels; ch != NULL; ch = ch->next)
        if (ch->is_open && !ch->is_over && str_eq(ch->instance_id, instance_id))
            return true;
    return false;
}

bool control_spoil(struct control *c, const char *instance_id, const char *how)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    struct channel *ch;
    bool is_found = false;

    for (ch = c->channels; ch != NULL; ch = ch->next) {
        if (ch->is_over || !str_eq(ch->instance_id, instance_id))
            continue;
        if (str_eq(how, "close")) {
            ws_codec_send_close(ch->codec, CODE_NORMAL);
            flush(ch);
            channel_end(ch, "closed on request");
        } else if (str_eq(how, "cut")) {
            (void)setsockopt(ch->socket.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
            channel_end(ch, "cut on request");
        } else if (str_eq(how, "silence")) {
            ch->is_silent = true;
        } else {
            return false;
        }
        is_found = true;
    }
    return is_found;
}

void control_write_state(const struct control *c, struct buf *out, const char *key)
{
    const struct channel *ch;

    out_list(out, key);
    for (ch = c->channels; ch != NULL; ch = ch->next) {
        out_object(out, NULL);
        out_str(out, "InstanceId", ch->instance_id);
        out_time(out, "Since", ch->since_ms);
        out_str(out, "State", ch->is_silent ? "silent" : ch->is_open ? "open" : "opening");
        out_object_end(out);
    }
    out_list_end(out);
}

int control_new(struct hub *hub, struct control **ret_control, struct err *err)
{
    struct control *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return err_set(err, ERR_NOMEM, "control channels: out of memory");
    c->hub = hub;
    *ret_control = c;
    return 0;
}

void control_free(struct control *c)
{
    struct channel *ch, *next;

    if (c == NULL)
        return;
    for (ch = c->channels; ch != NULL; ch = next) {
        next = ch->next;
        ws_codec_send_close(ch->codec, CODE_NORMAL);
        flush(ch);
        free_channel(ch);
    }
    free(c);
}
