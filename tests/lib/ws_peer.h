/* A websocket server for clients under test, on the test's own event loop: takes one connection
 * after another, answers the upgrade as it is told, and hands the frames over. It speaks through
 * our own codec; other implementations are met in tests/integration. */
#ifndef SSMD_TESTS_WS_PEER_H
#define SSMD_TESTS_WS_PEER_H

#include <uv.h>

#include "base/buf.h"
#include "transport/ws_codec.h"

struct ws_peer_conn;

struct ws_peer {
    uv_tcp_t listener;
    uv_loop_t *loop;
    int port;
    bool is_slow; /* writes one byte after another, each when the one before has left */
    unsigned n_upgrades;
    struct ws_peer_conn *conns;
    /* The upgrade's head. NULL: it is accepted. Else these bytes are the answer; ACCEPT in them
     * stands for the right Sec-WebSocket-Accept. "" is none. */
    const char *(*on_upgrade)(void *ctx, struct ws_peer_conn *conn, const char *head);
    /* Anything else that is an HTTP request (POST), with its body; NULL: not expected. */
    void (*on_request)(void *ctx, struct ws_peer_conn *conn, const char *request);
    void (*on_message)(void *ctx, struct ws_peer_conn *conn, enum ws_kind kind, const char *bytes,
                       size_t n);
    void (*on_end)(void *ctx, struct ws_peer_conn *conn, bool is_orderly); /* may be NULL */
    void *ctx;
};

void ws_peer_start(struct ws_peer *p, uv_loop_t *loop);
void ws_peer_stop(struct ws_peer *p); /* run the loop afterwards */

void ws_peer_send(struct ws_peer_conn *c, enum ws_kind kind, const void *bytes, size_t n);
void ws_peer_write(struct ws_peer_conn *c, const void *bytes, size_t n); /* past the codec */
void ws_peer_close(struct ws_peer_conn *c, unsigned code);               /* close frame */
void ws_peer_cut(struct ws_peer_conn *c);                                /* end of the connection */
void ws_peer_fall_silent(struct ws_peer_conn *c); /* reads and writes nothing from here on */

#endif
