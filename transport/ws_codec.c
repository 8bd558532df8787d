/* Frames by wslay, behind our own interface: its callbacks read from the bytes being fed and write
 * to a buffer. */
#include "transport/ws_codec.h"

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <wslay/wslay.h>

#include "base/buf.h"
#include "base/ids.h"
#include "transport/openssl.h"

#define ACCEPT_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455, section 1.3 */
/* Pieces that are fed at once: what a peer asks for in one (pings) is bounded by it, and written
 * out before the next. */
#define PIECE_BYTES 16384u

struct ws_codec {
    struct ws_codec_options o;
    wslay_event_context_ptr wslay; /* owned */
    const uint8_t *in;             /* of the piece that is fed */
    size_t n_in;
    struct buf out; /* frames to be written, from `written` on */
    size_t written;
    bool is_out_full;
};

/* ---- wslay's side ---- */

static ssize_t on_recv(wslay_event_context_ptr w, uint8_t *ret, size_t n, int flags, void *ctx)
{
    struct ws_codec *c = ctx;

    (void)flags;
    if (c->n_in == 0) {
        wslay_event_set_error(w, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    if (n > c->n_in)
        n = c->n_in;
    memcpy(ret, c->in, n);
    c->in += n;
    c->n_in -= n;
    return (ssize_t)n;
}

static ssize_t on_send(wslay_event_context_ptr w, const uint8_t *bytes, size_t n, int flags,
                       void *ctx)
{
    struct ws_codec *c = ctx;

    (void)flags;
    if (n > SSIZE_MAX || buf_add(&c->out, bytes, n) < 0) {
        c->is_out_full = true;
        wslay_event_set_error(w, WSLAY_ERR_CALLBACK_FAILURE);
        return -1;
    }
    return (ssize_t)n;
}

static int on_mask(wslay_event_context_ptr w, uint8_t *ret, size_t n, void *ctx)
{
    (void)w;
    (void)ctx;
    ids_random(ret, n);
    return 0;
}

static void on_message(wslay_event_context_ptr w, const struct wslay_event_on_msg_recv_arg *m,
                       void *ctx)
{
    struct ws_codec *c = ctx;
    const char *bytes = m->msg != NULL ? (const char *)m->msg : "";

    (void)w;
    switch (m->opcode) {
    case WSLAY_TEXT_FRAME:
        c->o.received(c->o.ctx, WS_TEXT, bytes, m->msg_length);
        break;
    case WSLAY_BINARY_FRAME:
        c->o.received(c->o.ctx, WS_BINARY, bytes, m->msg_length);
        break;
    case WSLAY_PONG:
        c->o.received(c->o.ctx, WS_PONG, bytes, m->msg_length);
        break;
    default: /* pings and closes are answered by wslay */
        break;
    }
}

/* ---- life ---- */

int ws_codec_new(const struct ws_codec_options *o, struct ws_codec **ret_codec, struct err *err)
{
    static const struct wslay_event_callbacks callbacks = {.recv_callback = on_recv,
                                                           .send_callback = on_send,
                                                           .genmask_callback = on_mask,
                                                           .on_msg_recv_callback = on_message};
    AUTO(ws_codec_free) struct ws_codec *c = calloc(1, sizeof(*c));
    int r;

    if (c == NULL)
        return err_set(err, ERR_NOMEM, "websocket: out of memory");
    c->o = *o;
    buf_init(&c->out, o->max_pending_bytes);
    r = o->role == WS_SERVER ? wslay_event_context_server_init(&c->wslay, &callbacks, c)
                             : wslay_event_context_client_init(&c->wslay, &callbacks, c);
    if (r != 0) {
        c->wslay = NULL;
        return err_set(err, ERR_NOMEM, "websocket: out of memory");
    }
    wslay_event_config_set_max_recv_msg_length(c->wslay, o->max_message_bytes);
    *ret_codec = TAKE(c);
    return 0;
}

void ws_codec_free(struct ws_codec *c)
{
    if (c == NULL)
        return;
    if (c->wslay != NULL)
        wslay_event_context_free(c->wslay);
    buf_done(&c->out);
    free(c);
}

/* ---- out ---- */

const char *ws_codec_pending(const struct ws_codec *c, size_t *ret_n)
{
    *ret_n = c->out.len - c->written;
    return buf_str(&c->out) + c->written;
}

/* Bytes that are gone make room only when something is to be added: a large message that leaves in
 * small writes is not moved for each of them. */
static void compact(struct ws_codec *c)
{
    if (c->written == 0)
        return;
    memmove(c->out.data, c->out.data + c->written, c->out.len - c->written);
    c->out.len -= c->written;
    c->written = 0;
}

void ws_codec_written(struct ws_codec *c, size_t n)
{
    c->written += n;
    if (c->written == c->out.len) {
        buf_clear(&c->out);
        c->written = 0;
    }
}

/* From wslay's queue into the buffer. */
static int drain(struct ws_codec *c, struct err *err)
{
    compact(c);
    if (wslay_event_send(c->wslay) == 0)
        return 0;
    return c->is_out_full ? err_set(err, ERR_LIMIT,
                                    "websocket: the peer does not read; more than %zu bytes wait "
                                    "for it",
                                    c->out.max)
                          : err_set(err, ERR_NOMEM, "websocket: out of memory");
}

int ws_codec_send(struct ws_codec *c, enum ws_kind kind, const void *bytes, size_t n,
                  struct err *err)
{
    static const uint8_t opcodes[] = {[WS_TEXT] = WSLAY_TEXT_FRAME,
                                      [WS_BINARY] = WSLAY_BINARY_FRAME,
                                      [WS_PING] = WSLAY_PING,
                                      [WS_PONG] = WSLAY_PONG};
    const struct wslay_event_msg m = {.opcode = opcodes[kind], .msg = bytes, .msg_length = n};
    size_t n_pending = c->out.len - c->written;

    if (kind >= WS_PING && n > WS_MAX_CONTROL_BYTES)
        return err_set(err, ERR_INVALID, "websocket: a ping of %zu bytes", n);
    if (n > c->out.max || n_pending > c->out.max - n)
        return err_set(err, ERR_LIMIT, "websocket: %zu bytes wait for the peer already", n_pending);
    switch (wslay_event_queue_msg(c->wslay, &m)) {
    case 0:
        return drain(c, err);
    case WSLAY_ERR_NOMEM:
        return err_set(err, ERR_NOMEM, "websocket: out of memory");
    default:
        return err_set(err, ERR_STATE, "websocket: it is being closed");
    }
}

void ws_codec_send_close(struct ws_codec *c, unsigned code)
{
    struct err ignored; /* without a close frame the end of the connection says it */

    if (wslay_event_queue_close(c->wslay, (uint16_t)code, NULL, 0) == 0)
        (void)drain(c, &ignored);
}

/* ---- in ---- */

/* Nothing is read any more: who ended it? */
static int tell_end(const struct ws_codec *c, struct err *err)
{
    unsigned code;

    if (wslay_event_get_close_received(c->wslay)) {
        code = wslay_event_get_status_code_received(c->wslay);
        return err_set(err, ERR_CANCELLED, "the peer closed the websocket (code %u)", code);
    }
    code = wslay_event_get_status_code_sent(c->wslay);
    return err_set(err, ERR_PROTOCOL, "websocket: %s (code %u)",
                   code == WSLAY_CODE_MESSAGE_TOO_BIG ? "a message is larger than we take"
                                                      : "the peer's frames break the rules",
                   code);
}

int ws_codec_feed(struct ws_codec *c, const void *bytes, size_t n, struct err *err)
{
    const uint8_t *at = bytes;
    int r;

    while (n > 0) {
        size_t k = n < PIECE_BYTES ? n : PIECE_BYTES;

        c->in = at;
        c->n_in = k;
        at += k;
        n -= k;
        r = wslay_event_recv(c->wslay);
        if (r == WSLAY_ERR_NOMEM)
            return err_set(err, ERR_NOMEM, "websocket: out of memory");
        if (r != 0) { /* a header that cannot be; wslay has queued a close without a code */
            (void)drain(c, err);
            return err_set(err, ERR_PROTOCOL, "websocket: the peer sent what is no frame");
        }
        r = drain(c, err);
        if (r < 0)
            return r;
        if (!wslay_event_get_read_enabled(c->wslay))
            return tell_end(c, err);
    }
    return 0;
}

/* ---- the opening handshake ---- */

void ws_make_key(char ret_key[WS_KEY_SIZE])
{
    unsigned char random[16];

    ids_random(random, sizeof(random));
    (void)EVP_EncodeBlock((unsigned char *)ret_key, random, sizeof(random)); /* 24 characters */
}

int ws_accept_of_key(const char *key, char ret_accept[WS_ACCEPT_SIZE], struct err *err)
{
    char text[WS_KEY_SIZE + sizeof(ACCEPT_GUID)];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n_digest = 0;
    int n = snprintf(text, sizeof(text), "%s%s", key, ACCEPT_GUID);

    if (strlen(key) != WS_KEY_SIZE - 1 || n < 0 || (size_t)n >= sizeof(text))
        return err_set(err, ERR_INVALID, "websocket: a key of %zu characters instead of %d",
                       strlen(key), WS_KEY_SIZE - 1);
    if (EVP_Digest(text, (size_t)n, digest, &n_digest, EVP_sha1(), NULL) != 1 || n_digest != 20)
        return err_set(err, ERR_UNSUPPORTED, "websocket: this OpenSSL has no SHA-1");
    (void)EVP_EncodeBlock((unsigned char *)ret_accept, digest, 20); /* 28 characters */
    return 0;
}
