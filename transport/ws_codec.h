/* Websocket frames (RFC 6455) in memory: bytes in, messages out, and the other way. Both ends of a
 * connection use it, the agent as client and ssmhub as server. No sockets, no clock, no waiting:
 * who owns the connection feeds what it read and writes what is pending. No extensions. One thread
 * at a time. */
#ifndef SSMD_TRANSPORT_WS_CODEC_H
#define SSMD_TRANSPORT_WS_CODEC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define WS_KEY_SIZE 25    /* Sec-WebSocket-Key: 24 characters and a NUL */
#define WS_ACCEPT_SIZE 29 /* Sec-WebSocket-Accept: 28 characters and a NUL */
#define WS_MAX_CONTROL_BYTES 125u

enum ws_role { WS_CLIENT, WS_SERVER };
enum ws_kind { WS_TEXT, WS_BINARY, WS_PING, WS_PONG };

struct ws_codec;

struct ws_codec_options {
    enum ws_role role;
    size_t max_message_bytes; /* of a received message, over all its frames */
    size_t max_pending_bytes; /* queued for the peer; one who does not read is given up there */
    /* A message or pong came in whole; borrowed for the call. Pings are answered, and not told. May
     * call ws_codec_send(), not ws_codec_free(). */
    void (*received)(void *ctx, enum ws_kind kind, const char *bytes, size_t n);
    void *ctx;
};

/* ERR_NOMEM. The caller ends *ret_codec with ws_codec_free(). */
int ws_codec_new(const struct ws_codec_options *o, struct ws_codec **ret_codec, struct err *err)
    MUST_CHECK;
void ws_codec_free(struct ws_codec *c); /* NULL is allowed */

/* Bytes of the peer, in any pieces. ERR_PROTOCOL: the peer broke the rules, or its message is too
 * large; the frame that tells it so is pending, nothing more is read. ERR_CANCELLED: the peer
 * closed the connection (the text has its code); its close is answered in what is pending.
 * ERR_LIMIT: it asks faster than it reads. ERR_NOMEM. After a failure the codec only has its
 * pending bytes. */
int ws_codec_feed(struct ws_codec *c, const void *bytes, size_t n, struct err *err) MUST_CHECK;

/* Queue one unfragmented frame. ERR_LIMIT: too much is pending; ERR_INVALID: more than
 * WS_MAX_CONTROL_BYTES in a ping; ERR_STATE: a close was sent or received; ERR_NOMEM. */
int ws_codec_send(struct ws_codec *c, enum ws_kind kind, const void *bytes, size_t n,
                  struct err *err) MUST_CHECK;
/* Queue a close frame with this code; once. A failure leaves the connection to be cut. */
void ws_codec_send_close(struct ws_codec *c, unsigned code);

/* What is to be written: *ret_n bytes, valid until the next call. ws_codec_written() takes off what
 * the connection took. */
const char *ws_codec_pending(const struct ws_codec *c, size_t *ret_n);
void ws_codec_written(struct ws_codec *c, size_t n);

/* The opening handshake: a random key, and the answer that proves that the peer has read it. */
void ws_make_key(char ret_key[WS_KEY_SIZE]);
int ws_accept_of_key(const char *key, char ret_accept[WS_ACCEPT_SIZE], struct err *err) MUST_CHECK;

DEFINE_AUTO(struct ws_codec *, ws_codec_free)

#endif
