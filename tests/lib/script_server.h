/* A peer for HTTP clients under test: listens on loopback, on the test's own event loop, and hands
 * each request that came in whole to the test, which answers with whatever bytes it likes. Nothing
 * here knows what is right. */
#ifndef SSMD_TESTS_SCRIPT_SERVER_H
#define SSMD_TESTS_SCRIPT_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

struct script_conn;

/* `request`: head and body, NUL-terminated, of `n` bytes. Counting starts at 1. The function
 * answers now, later, or never. */
typedef void (*script_request_fn)(void *ctx, struct script_conn *conn, const char *request,
                                  size_t n, unsigned request_number);

struct script_server {
    uv_tcp_t listener;
    uv_loop_t *loop;
    int port;
    unsigned n_connections, n_requests;
    script_request_fn on_request;
    void *ctx;
    struct script_conn *conns;
};

/* Listens on 127.0.0.1, port chosen by the kernel. Ends the test when it cannot. */
void script_server_start(struct script_server *s, uv_loop_t *loop, script_request_fn on_request,
                         void *ctx);
/* Closes everything; run the loop afterwards. */
void script_server_stop(struct script_server *s);

void script_send(struct script_conn *conn, const char *bytes, size_t n);
/* One write per byte, each after the one before it has left. */
void script_send_slowly(struct script_conn *conn, const char *bytes, size_t n);
/* Head with Content-Length, extra header lines ("Name: v\r\n...", or ""), body. */
void script_reply(struct script_conn *conn, int status, const char *extra_headers,
                  const char *body);
void script_end(struct script_conn *conn);   /* FIN after what was sent */
void script_reset(struct script_conn *conn); /* RST */

/* The value of a request header into ret[size]; "" when it is missing. */
void script_header(const char *request, const char *name, char *ret, size_t size);
const char *script_body(const char *request);

/* Run the loop until *flag is set; ends the test after 20 s. */
void script_run_until(uv_loop_t *loop, const bool *flag);
/* Run the loop until nothing is left, close it, and check that nothing was forgotten. */
void script_finish_loop(uv_loop_t *loop);

#endif
