/* What http.c (the loop) and http_call.c (one request) share. */
#ifndef SSMD_TRANSPORT_HTTP_INTERNAL_H
#define SSMD_TRANSPORT_HTTP_INTERNAL_H

#include <curl/curl.h>
#include <sys/stat.h>

#include "transport/ca.h"
#include "transport/http.h"

#define HTTP_POOL_SIZE 2 /* idle easy handles kept; more calls at once make their own */

struct http {
    uv_loop_t *loop; /* borrowed */
    CURLM *multi;    /* owned; NULL once closed */
    uv_timer_t timer;
    unsigned n_open_handles; /* timer and polls not yet closed; at 0 the struct is freed */
    struct http_call *calls; /* owned; doubly linked */
    size_t n_calls;
    CURL *pool[HTTP_POOL_SIZE]; /* owned */
    size_t n_pooled;

    struct proxy_settings proxies;
    struct ca_location *ca; /* owned; looked up with the first https request */
    struct stat ca_seen;    /* its file, as it was last; zero: not there */
    int64_t ca_checked_us;  /* when it was looked at; monotonic; 0: not yet */
    int64_t ca_changed_us;  /* when it was seen to be another; 0: never */
    struct env_source env;
    char *ca_file, *ca_path, *user_agent; /* owned; may be NULL */
    int64_t connect_timeout_ms;
    http_trace_fn trace;
    void *trace_ctx;
};

struct http_call {
    struct http *http;
    struct http_call *prev, *next;
    CURL *easy;
    struct curl_slist *headers;
    http_done_fn done;
    void *ctx;
    struct buf body;
    struct buf response_headers; /* as received, of the last response only */
    struct http_source source;   /* read NULL: the body is not read as it is sent */
    int64_t source_sent;         /* bytes of it that libcurl has taken */
    http_sink_fn sink;
    void *sink_ctx;
    struct err io_err;            /* why the file could not be read, or the sink refused */
    char method[16], origin[300]; /* what error texts name; the path may hold secrets */
    char proxy[300];              /* without its password; "" when there is none */
    char error_text[CURL_ERROR_SIZE];
    bool is_connection; /* no request is sent: the connection is the result (http_connect) */
};

/* Connect to the host of an http:// or https:// URL, with TLS and through the proxy as any request
 * would, and send nothing. `done` gets no `err` once the connection stands: then the call goes on
 * existing, its connection is used through call->easy (curl_easy_send, curl_easy_recv), and
 * http_cancel() ends both. It must be cancelled before http_close(). On failure the call is over,
 * as with http_start(). */
int http_connect(struct http *http, const char *url, int64_t timeout_ms, http_done_fn done,
                 void *ctx, struct http_call **ret_call, struct err *err) MUST_CHECK;

/* Make and configure; the easy handle is not in the multi yet. */
int http_call_new(struct http *http, const struct http_request *request, bool is_connection,
                  http_done_fn done, void *ctx, struct http_call **ret_call, struct err *err)
    MUST_CHECK;
/* The easy handle must not be in the multi. */
void http_call_free(struct http_call *call);
/* Say how it ended and run its callback. */
void http_call_finish(struct http_call *call, CURLcode code);

#endif
