/* The instance metadata service of EC2 (spec 01, section 2): version 2 with its token; version 1
 * only where that is allowed. Never through a proxy. Loop thread only. */
#ifndef SSMD_TRANSPORT_IMDS_H
#define SSMD_TRANSPORT_IMDS_H

#include "transport/http.h"

#define IMDS_MAX_BYTES (64u << 10)

struct imds;
struct imds_call;

struct imds_options {
    struct http *http;            /* borrowed; outlives the imds */
    const struct env_source *env; /* NULL: the process's environment */
    bool is_v1_allowed;           /* without a token, where none is to be had */
};

/* ERR_UNSUPPORTED: AWS_EC2_METADATA_DISABLED is true; ERR_INVALID: the endpoint of the environment
 * is no http:// URL; ERR_NOMEM. */
int imds_new(uv_loop_t *loop, const struct imds_options *o, struct imds **ret_imds, struct err *err)
    MUST_CHECK;
void imds_close(struct imds *imds); /* cancels every call; NULL is allowed */

/* Borrowed for the callback. */
struct imds_answer {
    /* NULL: `body` is what stands at the path. ERR_NOT_FOUND: nothing does; ERR_AUTH: no token;
     * ERR_NETWORK, ERR_TIMEOUT, ERR_SERVER, ERR_PROTOCOL. */
    const struct err *err;
    const char *body; /* NUL-terminated; never NULL */
    size_t len;
    int64_t date_ms; /* of its Date header; -1: none */
};
typedef void (*imds_done_fn)(void *ctx, const struct imds_answer *answer);

/* The callback runs once, from the loop. Three tries of a second each. *ret_call may be NULL. */
int imds_get(struct imds *imds, const char *path, imds_done_fn done, void *ctx,
             struct imds_call **ret_call, struct err *err) MUST_CHECK;
void imds_cancel(struct imds_call *call); /* NULL is allowed */
const char *imds_base(const struct imds *imds);

/* ---- documents; pure ---- */

/* `region` of the instance identity document. ERR_PROTOCOL. */
int imds_parse_region(const char *text, size_t n, char *ret_region, size_t size, struct err *err)
    MUST_CHECK;
/* A value of one line: an id, a zone, a type, a role. ERR_PROTOCOL: empty, too long, or with
 * characters that none has. */
int imds_parse_line(const char *text, size_t n, char *ret_line, size_t size, struct err *err)
    MUST_CHECK;

#endif
