/* The headers of one try of a call, JSON-RPC or to a path: what it is signed with, and by whom. */
#ifndef SSMD_TRANSPORT_AWS_SIGN_H
#define SSMD_TRANSPORT_AWS_SIGN_H

#include "transport/aws.h"
#include "transport/sigv4.h"

#define AWS_SIGN_MAX_HEADERS 10

/* Owns the texts that `list` points into. */
struct aws_headers {
    struct header list[AWS_SIGN_MAX_HEADERS];
    size_t n;
    char date[20], target[192], body_sha256[65];
    struct buf authorization, added; /* wiped by aws_headers_done() */
};

struct aws_sign {
    const struct endpoint *endpoint;
    enum aws_service service;
    const char *operation;
    const char *path;  /* NULL: JSON-RPC; else of a POST of JSON, or of a GET without a body */
    const char *query; /* NULL: none */
    bool is_get;
    const char *region;
    int64_t now_ms;
    const void *body;
    size_t body_len;
    const struct credentials *credentials; /* NULL: none */
    struct sigv4_keys *keys;               /* of earlier calls, and for this one's */
    const struct aws_key *key;             /* NULL: none */
};

/* The caller ends *h with aws_headers_done(), also on failure. It holds pointers into
 * itself and into `credentials`: neither may move. */
int aws_headers_make(const struct aws_sign *s, struct aws_headers *h, struct err *err) MUST_CHECK;
void aws_headers_done(struct aws_headers *h);

static inline void aws_headers_done_cleanup(struct aws_headers *h)
{
    aws_headers_done(h);
}

#endif
