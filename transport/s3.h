/* S3 (spec 02, section 7): where a bucket is, signed requests, lists, and files put there in
 * constant memory. Needs an HTTP client, credentials and a loop, and nothing of the agent: a helper
 * process may use it. Loop thread only.
 *
 * A bucket's region is found out at its first use and remembered (128 buckets); an answer that
 * names another region moves the request there. A wrong clock of this machine is corrected as in
 * transport/aws.h. */
#ifndef SSMD_TRANSPORT_S3_H
#define SSMD_TRANSPORT_S3_H

#include <uv.h>

#include "transport/credentials.h"
#include "transport/http.h"
#include "transport/s3_xml.h"

struct s3;
struct s3_call;

struct s3_options {
    struct http *http;                        /* borrowed; outlives the s3 */
    struct credentials_provider *credentials; /* borrowed; outlives the s3 */
    const char *region;                       /* the node's */
    const char *domain;                       /* Agent.ServiceDomain; NULL or "": by region */
    const char *endpoint;                     /* S3.Endpoint: host, host:port or URL; NULL or "" */
    int64_t retry_unit_ms;                    /* of the "SSM" delays; 0: 1000 as in the reference */
};

/* ERR_INVALID: region or endpoint cannot be used; ERR_NOMEM. The caller ends *ret_s3 with
 * s3_close(). */
int s3_new(uv_loop_t *loop, const struct s3_options *options, struct s3 **ret_s3, struct err *err)
    MUST_CHECK;
/* Cancels every call and every put, without callbacks; their timers are closed by the loop. NULL is
 * allowed. May be called from a done callback. */
void s3_close(struct s3 *s3);

/* One request. Everything is copied, but what `source` and `sink` stand for. */
struct s3_request {
    const char *method; /* GET, HEAD, PUT, POST, DELETE */
    const char *bucket;
    const char *key;              /* as it is named, not encoded; NULL or "": the bucket */
    const char *query;            /* encoded, without '?'; NULL: none */
    const struct header *headers; /* Content-Type, x-amz-acl ...; all are signed */
    size_t n_headers;
    const void *body;
    size_t body_len;
    const struct http_source *source; /* instead of `body`; then with its hash: */
    const char *body_sha256;          /* lower-case hexadecimal; NULL: made from `body` */
    /* The object's bytes as they come. Each try begins with a call with n == 0: what came before is
     * to be forgotten. */
    http_sink_fn sink;
    void *sink_ctx;
    int64_t timeout_ms; /* of each try; 0: 60 s, or, with a source or a sink, no limit but that
                           something moves every 60 s */
    size_t max_response_bytes; /* 0: 1 MiB; not for a sink */
};

/* Borrowed for the duration of the callback. */
struct s3_result {
    /* NULL: done, or 304. Else as in struct aws_result (transport/aws.h); ERR_IO: source or sink
     * failed. */
    const struct err *err;
    const char *error_code; /* S3's, for example "NoSuchKey"; "NotFound", "Forbidden", "BadRequest"
                               where a HEAD names none; "" if none */
    long http_status;       /* of the last try; 0: none */
    const char *body;       /* NUL-terminated; never NULL; "" with a sink */
    size_t len;
    const struct http_response *response; /* for its headers (ETag ...); NULL when none came */
};
typedef void (*s3_done_fn)(void *ctx, const struct s3_result *result);

/* Begin a request; tried up to four times. The callback runs once, from the loop, never from inside
 * this function. *ret_call (may be NULL) is for s3_cancel(). ERR_INVALID (bucket, headers),
 * ERR_LIMIT, ERR_NOMEM. */
int s3_start(struct s3 *s3, const struct s3_request *request, s3_done_fn done, void *ctx,
             struct s3_call **ret_call, struct err *err) MUST_CHECK;
/* End a call without its callback. NULL is allowed. */
void s3_cancel(struct s3_call *call);

/* One page of a bucket's objects whose keys begin with `prefix`. */
struct s3_list_request {
    const char *bucket;
    const char *prefix;    /* NULL: all */
    const char *delimiter; /* "/": one level, folders as prefixes; NULL: everything below */
    const char *marker;    /* the page before's list.next; NULL: from the beginning */
};
/* `list` NULL: result->err says why. Both borrowed; the callback may take the list's contents with
 * TAKE_STRUCT. */
typedef void (*s3_list_fn)(void *ctx, const struct s3_result *result, struct s3_list *list);
int s3_list(struct s3 *s3, const struct s3_list_request *request, s3_list_fn done, void *ctx,
            struct s3_call **ret_call, struct err *err) MUST_CHECK;

/* An answer that will not change however often the request is repeated: no such bucket, no
 * permission. Network, time, throttling, and credentials that may be replaced are no such thing. */
bool s3_is_permanent(const struct s3_result *result);

#endif
