/* HTTP requests on the event loop: one curl_multi, fed by libuv's polls and one timer. Everything
 * here runs on the loop's thread; nothing blocks, names are resolved on curl's own threads. When no
 * request is under way nothing of this module wakes the process. */
#ifndef SSMD_TRANSPORT_HTTP_H
#define SSMD_TRANSPORT_HTTP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "base/buf.h"
#include "transport/header.h"
#include "transport/proxy.h"

struct http;
struct http_call;

/* One line of what a request does, for a debug log. Never holds headers' values or bodies. */
typedef void (*http_trace_fn)(void *ctx, const char *line);

/* The zero value is right for production. Everything is copied. */
struct http_options {
    const struct env_source *env; /* NULL: the process's environment */
    const char *ca_file;          /* NULL: AWS_CA_BUNDLE, SSL_CERT_FILE, then the system's */
    const char *ca_path;          /* NULL: SSL_CERT_DIR, then the system's */
    const char *user_agent;       /* NULL: "ssmd/<version>" */
    int64_t connect_timeout_ms;   /* 0: 10 s; TLS handshake included */
    http_trace_fn trace;
    void *trace_ctx;
};

#define HTTP_EXIT_NO_MEMORY 111 /* try again */

/* From the first http_new() on a process in which libcurl finds no memory says so and ends with
 * HTTP_EXIT_NO_MEMORY, because libcurl cannot go on from there. What a request itself may hold (its
 * answer's body and headers) is ours, and fails with ERR_NOMEM.
 *
 * ERR_UNSUPPORTED: libcurl has no asynchronous resolver or no TLS; ERR_NOMEM. Proxy variables are
 * read here, once. On success the caller owns *ret_http and ends it with http_close(). */
int http_new(uv_loop_t *loop, const struct http_options *options, struct http **ret_http,
             struct err *err) MUST_CHECK;

/* Cancels every call (their callbacks are not made). The memory is freed by the loop, which must
 * run until its handles are closed. NULL is allowed. May be called from a done callback. */
void http_close(struct http *http);

/* A body that is read as it is sent, from a file or from several. Borrowed until the call is over.
 */
struct http_source {
    /* As pread(2): how many of the n bytes at `offset` were read, or -1 and errno. Must not wait
     * for anybody. */
    ssize_t (*read)(void *ctx, void *bytes, size_t n, int64_t offset);
    void *ctx;
    int64_t offset, len; /* the run that is sent */
};

/* Takes the body of an answer with a status of 2xx as it comes; such a body has no maximum and is
 * not kept. 0, or negative to end the request with ERR_IO and the text of *err. */
typedef int (*http_sink_fn)(void *ctx, const void *bytes, size_t n, struct err *err);

struct http_request {
    const char *method; /* GET, POST, PUT, HEAD ... */
    const char *url;    /* http:// or https:// only; its path is sent as it is written */
    const struct header *headers;
    size_t n_headers;
    const void *body; /* copied */
    size_t body_len;
    const struct http_source *source; /* instead of `body`; copied. NULL: none */
    http_sink_fn sink;                /* NULL: the body is kept for the callback */
    void *sink_ctx;
    int64_t timeout_ms; /* of the whole request; 0: 60 s */
    /* Not 0: there is no limit to the whole, but the request ends with ERR_TIMEOUT when nothing
     * moved for so long. For large bodies. */
    int64_t stall_timeout_ms;
    size_t max_response_bytes; /* 0: 1 MiB */
    bool is_direct;            /* never through a proxy: metadata services of this very machine */
    int max_redirects;         /* 0: a redirect is an answer like any other. Followed ones never go
                                  from https to http. */
};

/* What came back; borrowed for the duration of the callback. */
struct http_response {
    const struct err *err; /* NULL: an HTTP answer came in whole, whatever its status. Else
                              ERR_NETWORK, ERR_TIMEOUT, ERR_PROTOCOL (too large or not HTTP),
                              ERR_NOMEM */
    long status;           /* 0 when no status line was received */
    const char *body;      /* NUL-terminated; never NULL */
    size_t len;
    bool was_sent; /* the request was handed to a connection that stood (TLS included) */
    bool is_reset; /* with ERR_NETWORK: that connection was closed or reset by the peer */
    const struct http_call *call;
};

/* Runs once, from the loop, never from inside http_start(). The call is over: its handle must not
 * be used afterwards. New calls may be started from here. */
typedef void (*http_done_fn)(void *ctx, const struct http_response *response);

/* Begin a request. *ret_call (may be NULL) is for http_cancel(). ERR_INVALID: the URL cannot be
 * used; ERR_NOMEM. On failure the callback is not called. */
int http_start(struct http *http, const struct http_request *request, http_done_fn done, void *ctx,
               struct http_call **ret_call, struct err *err) MUST_CHECK;

/* End a call without its callback. NULL is allowed. */
void http_cancel(struct http_call *call);

/* The value of a response header (any case), or NULL. Borrowed like the response. The last one wins
 * where a name stands more than once. */
const char *http_response_header(const struct http_response *response, const char *name);

/* A whole number of seconds in Retry-After, as milliseconds; -1 when there is none. */
int64_t http_retry_after_ms(const struct http_response *response);
/* The Date header as Unix time in milliseconds; -1 when there is none or it is malformed. */
int64_t http_date_ms(const struct http_response *response);

size_t http_calls_under_way(const struct http *http);

#endif
