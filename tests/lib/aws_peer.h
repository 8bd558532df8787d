/* A service that checks signatures, for tests of AWS clients: script_server.h with the requests
 * taken apart, and its own idea of the time. */
#ifndef SSMD_TESTS_AWS_PEER_H
#define SSMD_TESTS_AWS_PEER_H

#include "tests/lib/script_server.h"
#include "transport/aws.h"

#define AWS_PEER_TOKEN "peer-token"

struct aws_peer_request {
    unsigned number;       /* 1, 2, ... */
    const char *operation; /* the part of X-Amz-Target behind the dot */
    const char *target;
    const char *body;
    size_t body_len;
    const char *region; /* that it was signed for; "" without a signature */
    const char *raw;
    const char *refusal; /* NULL: the signature holds; else AWS's name of the refusal */
};

struct aws_peer {
    struct script_server server;
    int64_t clock_offset_ms;         /* of the peer's clock against this machine's */
    char access_key[64], secret[64]; /* that it accepts */
    const char *region;              /* that it accepts; NULL: any */
    void (*on_request)(void *ctx, struct script_conn *conn, const struct aws_peer_request *request);
    void *ctx;
};

void aws_peer_start(struct aws_peer *peer, uv_loop_t *loop);

/* As script_reply, with the peer's Date and a request id. */
void aws_peer_reply(struct aws_peer *peer, struct script_conn *conn, int status, const char *body);

/* An aws whose services are all this peer, with credentials that the peer accepts. */
struct aws_client {
    struct http *http;
    struct credentials_provider *credentials;
    struct aws *aws;
};
void aws_client_start(struct aws_client *c, struct aws_peer *peer, uv_loop_t *loop);
void aws_client_stop(struct aws_client *c);
/* The environment that the client's credentials come from: name, value, ... NULL. */
extern const char *aws_client_variables[16];

#endif
