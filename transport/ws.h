/* A websocket as a client: connection by libcurl (name, TLS, proxy: as every other request of the
 * same http), the upgrade, frames by ws_codec, pings, an orderly close. Loop thread only; nothing
 * blocks. */
#ifndef SSMD_TRANSPORT_WS_H
#define SSMD_TRANSPORT_WS_H

#include "transport/http.h"
#include "transport/ws_codec.h"

struct ws;

struct ws_options {
    struct http *http;            /* borrowed; closed after the websocket */
    const char *origin;           /* https://host[:port] or http://...; copied, as all texts here */
    const char *target;           /* path and query */
    const struct header *headers; /* Host and the signature's; copied */
    size_t n_headers;
    size_t max_message_bytes; /* received */
    size_t max_pending_bytes; /* to be sent */
    int64_t open_timeout_ms;  /* until the upgrade is answered; 0: 30 s */
    /* A connection that is dead without saying so is noticed ping_ms + pong_timeout_ms after the
     * last answer at the latest. */
    int64_t ping_ms;         /* between pings; 0: 35 s */
    int64_t pong_timeout_ms; /* 0: 20 s */

    void (*opened)(void *ctx);
    void (*received)(void *ctx, enum ws_kind kind, const char *bytes, size_t n); /* text, binary */
    /* Once, whatever ended it, unless ws_close() came first; the websocket is gone then.
     * ERR_NETWORK, ERR_TIMEOUT, ERR_CANCELLED (closed by the peer), ERR_PROTOCOL, ERR_LIMIT,
     * ERR_NOMEM, and of a refused upgrade those of ws_handshake_read(). */
    void (*ended)(void *ctx, const struct err *err);
    void *ctx;
};

/* Begin to connect. Callbacks come from the loop, never from inside a function of this module; they
 * may call ws_send() and ws_close(). ERR_INVALID, ERR_NOMEM. */
int ws_open(uv_loop_t *loop, const struct ws_options *o, struct ws **ret_ws, struct err *err)
    MUST_CHECK;
/* Queue a message, and write what the connection takes. ERR_STATE: not open; ERR_LIMIT: the peer
 * does not read. */
int ws_send(struct ws *ws, enum ws_kind kind, const void *bytes, size_t n, struct err *err)
    MUST_CHECK;
/* Ask for a sign of life now, and wait for it no longer than timeout_ms: something happened to the
 * network. */
void ws_ping(struct ws *ws, int64_t timeout_ms);
/* Say good-bye as far as that needs no waiting, and end without a callback. NULL is allowed. The
 * memory is freed by the loop. */
void ws_close(struct ws *ws);

#endif
