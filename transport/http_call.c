/* One request: how the easy handle is set up, what is kept of the answer, how its end is told. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/str.h"
#include "transport/http_internal.h"
#include "transport/url_parts.h"

#define MAX_RESPONSE_HEADER_BYTES (64u << 10)
#define DEFAULT_MAX_RESPONSE_BYTES (1u << 20)
#define DEFAULT_TIMEOUT_MS 60000
#define MAX_RETRY_AFTER_S INT64_C(86400) /* a day */
#define BUFFER_BYTES 16384L
#define KEEPALIVE_SECONDS 30L

static size_t on_body(char *bytes, size_t size, size_t n, void *ctx)
{
    struct http_call *call = ctx;

    (void)size; /* always 1 */
    if (call->sink != NULL) {
        long status = 0;

        (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        if (status >= 200 && status < 300)
            return call->sink(call->sink_ctx, bytes, n, &call->io_err) == 0 ? n : 0;
    }
    return buf_add(&call->body, bytes, n) == 0 ? n : 0;
}

static size_t on_read(char *bytes, size_t size, size_t n, void *ctx)
{
    struct http_call *call = ctx;
    const struct http_source *source = &call->source;
    int64_t left = source->len - call->source_sent;
    ssize_t k;

    (void)size; /* always 1 */
    if ((int64_t)n > left)
        n = (size_t)left;
    if (n == 0)
        return 0;
    do {
        k = source->read(source->ctx, bytes, n, source->offset + call->source_sent);
    } while (k < 0 && errno == EINTR);
    if (k <= 0) {
        if (k < 0)
            (void)err_sys(&call->io_err, ERR_IO, errno, "read what is to be sent");
        else
            (void)err_set(&call->io_err, ERR_IO, "what is to be sent became shorter");
        return CURL_READFUNC_ABORT;
    }
    call->source_sent += k;
    return (size_t)k;
}

/* A proxy that wants other credentials, or a kept connection that had died, make libcurl begin the
 * body again. */
static int on_seek(void *ctx, curl_off_t offset, int origin)
{
    struct http_call *call = ctx;

    if (origin != SEEK_SET || offset < 0 || offset > call->source.len)
        return CURL_SEEKFUNC_FAIL;
    call->source_sent = offset;
    return CURL_SEEKFUNC_OK;
}

/* Each status line begins a new response: of an interim answer, of a redirect that is followed. */
static size_t on_header(char *bytes, size_t size, size_t n, void *ctx)
{
    struct http_call *call = ctx;

    (void)size;
    if (n >= 5 && memcmp(bytes, "HTTP/", 5) == 0)
        buf_clear(&call->response_headers);
    return buf_add(&call->response_headers, bytes, n) == 0 ? n : 0;
}

static int on_debug(CURL *easy, curl_infotype type, char *bytes, size_t n, void *ctx)
{
    struct http_call *call = ctx;
    char line[512];
    size_t k = n < sizeof(line) - 1 ? n : sizeof(line) - 1;

    (void)easy;
    if (type != CURLINFO_TEXT)
        return 0; /* headers and bodies hold signatures and tokens */
    memcpy(line, bytes, k);
    while (k > 0 && (line[k - 1] == '\n' || line[k - 1] == '\r'))
        k--;
    line[k] = '\0';
    call->http->trace(call->http->trace_ctx, line);
    return 0;
}

static int add_header(struct http_call *call, const char *text, struct err *err)
{
    struct curl_slist *longer = curl_slist_append(call->headers, text);

    if (longer == NULL)
        return err_set(err, ERR_NOMEM, "request header: out of memory");
    call->headers = longer;
    return 0;
}

static int add_headers(struct http_call *call, const struct http_request *request, struct err *err)
{
    bool has_content_type = false;
    size_t i;
    int r;

    for (i = 0; i < request->n_headers; i++) {
        const struct header *h = &request->headers[i];
        AUTO(buf_done) struct buf line = {0};

        buf_init(&line, 64u << 10);
        if (h->name[0] == '\0' || strpbrk(h->name, ":; \t\r\n") != NULL ||
            strpbrk(h->value, "\r\n") != NULL)
            return err_set(err, ERR_INVALID,
                           "request header \"%.60s\": its name or value holds a "
                           "character that no header may have",
                           h->name);
        /* "Name;" is how libcurl is told of an empty value; "Name:" would remove the header. */
        if (h->value[strspn(h->value, " \t")] == '\0')
            (void)buf_printf(&line, "%s;", h->name);
        else
            (void)buf_printf(&line, "%s: %s", h->name, h->value);
        r = buf_error(&line, "request header", err);
        if (r == 0)
            r = add_header(call, line.data, err);
        if (line.data != NULL)
            explicit_bzero(line.data, line.len); /* may be a session token */
        if (r < 0)
            return r;
        has_content_type = has_content_type || str_eq_nocase(h->name, "content-type");
    }
    r = add_header(call, "Expect:", err); /* no 100-continue round trip for large replies */
    if (r == 0 && !has_content_type)
        r = add_header(call, "Content-Type:", err); /* libcurl would invent one for a body */
    return r;
}

struct target {
    char host[260]; /* without brackets */
    unsigned port;
    bool is_https;
};

static int parse_url(const char *url, struct target *ret_target, struct err *err)
{
    struct url_parts parts;
    int64_t number = 0;
    int r = url_parts_of(url, true, &parts, err);

    if (r == 0 && (parts.port == NULL || !str_to_i64(parts.port, 1, 65535, &number) ||
                   strlen(parts.host) >= sizeof(ret_target->host)))
        r = ERR_INVALID;
    if (r == ERR_INVALID)
        (void)err_set(err, r, "request URL \"%.*s\": not an http:// or https:// URL with a host",
                      (int)strcspn(url, "?"), url);
    if (r == 0) {
        size_t n = strlen(parts.host);

        ret_target->is_https = str_eq(parts.scheme, "https");
        ret_target->port = (unsigned)number;
        if (parts.host[0] == '[') { /* an IPv6 literal, for comparing with no_proxy */
            parts.host[n - 1] = '\0';
            memcpy(ret_target->host, parts.host + 1, n - 1);
        } else {
            memcpy(ret_target->host, parts.host, n + 1);
        }
    }
    url_parts_done(&parts);
    return r;
}

static void set_protocols(CURL *easy, bool is_https)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, is_https ? "https" : "http,https");
#else
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
    (void)curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS,
                           (long)(is_https ? CURLPROTO_HTTPS : CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

/* libcurl keeps the authorities of a file for a day. One that is removed from it, or the file
 * itself, must not be trusted that long: what was read before the file changed is read again.
 * (Directories are looked up each time.) */
static void watch_ca_file(struct http *http, CURL *easy, const char *file)
{
#if LIBCURL_VERSION_NUM >= 0x075700
    int64_t now = clock_monotonic_us();
    bool is_first = http->ca_checked_us == 0;
    struct stat st;

    if (stat(file, &st) < 0)
        memset(&st, 0, sizeof(st));
    if (!is_first &&
        (st.st_ino != http->ca_seen.st_ino || st.st_dev != http->ca_seen.st_dev ||
         st.st_size != http->ca_seen.st_size || st.st_mtim.tv_sec != http->ca_seen.st_mtim.tv_sec ||
         st.st_mtim.tv_nsec != http->ca_seen.st_mtim.tv_nsec))
        http->ca_changed_us = now;
    http->ca_checked_us = now;
    http->ca_seen = st;
    if (http->ca_changed_us != 0) /* 0 s: not kept at all */
        (void)curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT,
                               (long)((now - http->ca_changed_us) / 1000000));
#else
    (void)http; /* nor does it keep them */
    (void)easy;
    (void)file;
#endif
}

/* Does nothing for plain http, so that a node that uses no TLS never reads a certificate. */
static int set_tls(struct http *http, CURL *easy, struct err *err)
{
    const char *file, *dir;

    if (http->ca == NULL) {
        http->ca = calloc(1, sizeof(*http->ca));
        if (http->ca == NULL)
            return err_set(err, ERR_NOMEM, "request: out of memory");
        ca_find(&http->env, http->ca_file, http->ca_path, http->ca);
    }
    file = http->ca->file[0] != '\0' ? http->ca->file : NULL;
    dir = http->ca->dir[0] != '\0' ? http->ca->dir : NULL;
    if (file != NULL || dir != NULL) { /* else libcurl's own default stands */
        (void)curl_easy_setopt(easy, CURLOPT_CAINFO, file);
        (void)curl_easy_setopt(easy, CURLOPT_CAPATH, dir);
        (void)curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO, file);
        (void)curl_easy_setopt(easy, CURLOPT_PROXY_CAPATH, dir);
    }
    if (file != NULL)
        watch_ca_file(http, easy, file);
    (void)curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    return 0;
}

static CURLcode set_source(CURL *easy, struct http_call *call, const char *method)
{
    (void)curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)call->source.len);
    (void)curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
    (void)curl_easy_setopt(easy, CURLOPT_READDATA, call);
    (void)curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
    (void)curl_easy_setopt(easy, CURLOPT_SEEKDATA, call);
    return str_eq(method, "PUT") ? CURLE_OK : curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
}

static CURLcode set_method(CURL *easy, struct http_call *call, const struct http_request *request)
{
    bool has_body =
        request->body_len > 0 || str_eq(request->method, "POST") || str_eq(request->method, "PUT");
    CURLcode code = CURLE_OK;

    if (call->source.read != NULL)
        return set_source(easy, call, request->method);
    if (has_body) {
        (void)curl_easy_setopt(easy, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
        code = curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS,
                                request->body_len > 0 ? (const char *)request->body : "");
    } else if (str_eq(request->method, "HEAD")) {
        (void)curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else {
        (void)curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    }
    if (code == CURLE_OK && !str_eq(request->method, has_body ? "POST" : "GET") &&
        !str_eq(request->method, "HEAD"))
        code = curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    return code;
}

static int configure(struct http_call *call, const struct http_request *request, struct err *err)
{
    struct http *http = call->http;
    CURL *easy = call->easy;
    struct target target = {0};
    const char *proxy;
    int64_t timeout_ms = request->timeout_ms > 0 ? request->timeout_ms : DEFAULT_TIMEOUT_MS;
    int r;

    r = parse_url(request->url, &target, err);
    if (r < 0)
        return r;
    (void)snprintf(call->origin, sizeof(call->origin), "%s://%s:%u",
                   target.is_https ? "https" : "http", target.host, target.port);
    proxy = request->is_direct
                ? NULL
                : proxy_for(&http->proxies, target.is_https, target.host, target.port);
    if (proxy != NULL)
        (void)proxy_describe(proxy, call->proxy, sizeof(call->proxy)); /* for people; may be cut */
    r = add_headers(call, request, err);
    if (r < 0)
        return r;
    if (target.is_https || (proxy != NULL && str_has_prefix(proxy, "https:"))) {
        r = set_tls(http, easy, err);
        if (r < 0)
            return r;
    }
    set_protocols(easy, target.is_https);
    /* Redirects: refused unless asked for. Proxy: decided above, never by libcurl. */
    (void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, request->max_redirects > 0 ? 1L : 0L);
    (void)curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)request->max_redirects);
    (void)curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    /* Version 1.1: ALPN would choose 2, whose windows and tables cost memory that nothing here
     * gains from. */
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    if (request->stall_timeout_ms > 0) {
        (void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
        (void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
                               (long)((request->stall_timeout_ms + 999) / 1000));
    } else {
        (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    }
#if LIBCURL_VERSION_NUM >= 0x075700
    /* A call that is given up while its name is still being resolved must not wait for the thread
     * that resolves it: with a name server that does not answer, that stops the loop for half a
     * minute. The thread ends by itself. */
    (void)curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
    if (call->is_connection) {
        (void)curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
        (void)curl_easy_setopt(easy, CURLOPT_HTTPPROXYTUNNEL, 1L); /* also for http:// */
    }
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)http->connect_timeout_ms);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_SECONDS);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_SECONDS);
    (void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, BUFFER_BYTES);
    (void)curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, BUFFER_BYTES);
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error_text);
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    /* CURLOPT_NOSIGNAL stays off: the resolver is not the one that needs SIGALRM, and libcurl
     * then keeps SIGPIPE away while OpenSSL writes. */
    if (http->trace != NULL) {
        (void)curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, on_debug);
        (void)curl_easy_setopt(easy, CURLOPT_DEBUGDATA, call);
        (void)curl_easy_setopt(easy, CURLOPT_VERBOSE, 1L);
    }
    /* These copy text; all others only fail for options that this libcurl does not know. */
    if (curl_easy_setopt(easy, CURLOPT_URL, request->url) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_USERAGENT, http->user_agent) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_PROXY, proxy != NULL ? proxy : "") != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_NOPROXY, "") != CURLE_OK ||
        set_method(easy, call, request) != CURLE_OK)
        return err_set(err, ERR_NOMEM, "request to %s: out of memory", call->origin);
    return 0;
}

int http_call_new(struct http *http, const struct http_request *request, bool is_connection,
                  http_done_fn done, void *ctx, struct http_call **ret_call, struct err *err)
{
    struct http_call *call = calloc(1, sizeof(*call));
    int r;

    if (call == NULL)
        return err_set(err, ERR_NOMEM, "request: out of memory");
    call->http = http;
    call->done = done;
    call->ctx = ctx;
    if (request->source != NULL)
        call->source = *request->source;
    call->sink = request->sink;
    call->sink_ctx = request->sink_ctx;
    call->is_connection = is_connection;
    (void)str_copy(call->method, sizeof(call->method), request->method); /* for texts */
    buf_init(&call->body, request->max_response_bytes > 0 ? request->max_response_bytes
                                                          : DEFAULT_MAX_RESPONSE_BYTES);
    buf_init(&call->response_headers, MAX_RESPONSE_HEADER_BYTES);
    call->easy = http->n_pooled > 0 ? http->pool[--http->n_pooled] : curl_easy_init();
    r = call->easy != NULL ? configure(call, request, err)
                           : err_set(err, ERR_NOMEM, "request: out of memory");
    if (r < 0) {
        http_call_free(call);
        return r;
    }
    *ret_call = call;
    return 0;
}

void http_call_free(struct http_call *call)
{
    struct http *http = call->http;
    struct curl_slist *h;

    if (call->easy != NULL && http->multi != NULL && http->n_pooled < HTTP_POOL_SIZE &&
        !call->is_connection) {
        curl_easy_reset(call->easy);
        http->pool[http->n_pooled++] = call->easy;
    } else if (call->easy != NULL) {
        curl_easy_cleanup(call->easy);
    }
    for (h = call->headers; h != NULL; h = h->next)
        explicit_bzero(h->data, strlen(h->data)); /* signature and session token */
    curl_slist_free_all(call->headers);
    buf_done(&call->body);
    buf_done(&call->response_headers);
    free(call);
}

static int code_of(const struct http_call *call, CURLcode code)
{
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return ERR_TIMEOUT;
    case CURLE_OUT_OF_MEMORY:
        return ERR_NOMEM;
    case CURLE_ABORTED_BY_CALLBACK:
        return ERR_IO;
    case CURLE_WRITE_ERROR: /* one of our own callbacks refused more bytes */
        if (call->io_err.code != 0)
            return ERR_IO;
        return call->body.failed == ERR_NOMEM || call->response_headers.failed == ERR_NOMEM
                   ? ERR_NOMEM
                   : ERR_PROTOCOL;
    case CURLE_UNSUPPORTED_PROTOCOL: /* no HTTP/1.x status line, or a redirect to ftp:// */
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_TOO_MANY_REDIRECTS:
    case CURLE_BAD_CONTENT_ENCODING:
        return ERR_PROTOCOL;
    default:
        return ERR_NETWORK;
    }
}

static void describe(const struct http_call *call, CURLcode code, struct err *err)
{
    const char *reason = call->error_text[0] != '\0' ? call->error_text : curl_easy_strerror(code);
    const struct ca_location *ca = call->http->ca;
    char detail[400];
    long connect_status = 0;
    int e = code_of(call, code);

    (void)curl_easy_getinfo(call->easy, CURLINFO_HTTP_CONNECTCODE, &connect_status);
    if (call->io_err.code != 0)
        (void)snprintf(detail, sizeof(detail), "%.399s", call->io_err.text);
    else if (code == CURLE_WRITE_ERROR && e == ERR_PROTOCOL)
        (void)snprintf(detail, sizeof(detail), "the answer's %s larger than %zu bytes",
                       call->body.failed != 0 ? "body is" : "headers are",
                       call->body.failed != 0 ? call->body.max : call->response_headers.max);
    else if (code == CURLE_PEER_FAILED_VERIFICATION && ca != NULL)
        (void)snprintf(detail, sizeof(detail),
                       "%.200s (trusted authorities: %.100s; AWS_CA_BUNDLE names others)", reason,
                       ca->file[0] != '\0' ? ca->file : ca->dir);
    else if (code == CURLE_SSL_CACERT_BADFILE && ca != NULL)
        (void)snprintf(detail, sizeof(detail), "cannot read the trusted authorities in %.200s",
                       ca->file[0] != '\0' ? ca->file : ca->dir);
    else if (connect_status >= 300)
        (void)snprintf(detail, sizeof(detail), "the proxy answered %ld%s", connect_status,
                       connect_status == 407 ? " (it wants other credentials)" : "");
    else
        (void)snprintf(detail, sizeof(detail), "%.300s", reason);
    (void)err_set(err, e, "%s %s%s%s: %s", call->method, call->origin,
                  call->proxy[0] != '\0' ? " through proxy " : "", call->proxy, detail);
}

void http_call_finish(struct http_call *call, CURLcode code)
{
    struct http_response response = {.call = call};
    struct err err = {0};
    curl_off_t pretransfer_us = 0;

    (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &response.status);
    (void)curl_easy_getinfo(call->easy, CURLINFO_PRETRANSFER_TIME_T, &pretransfer_us);
    response.was_sent = pretransfer_us > 0;
    response.body = buf_str(&call->body);
    response.len = call->body.len;
    if (code != CURLE_OK) {
        describe(call, code, &err);
        response.err = &err;
        response.is_reset =
            response.was_sent && (code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR ||
                                  code == CURLE_SEND_ERROR || code == CURLE_PARTIAL_FILE);
    }
    call->done(call->ctx, &response);
}

const char *http_response_header(const struct http_response *response, const char *name)
{
    /* The text is ours until the call ends: line ends become NULs where a value is handed out. */
    char *p = response->call->response_headers.data, *found = NULL;
    const char *end = p != NULL ? p + response->call->response_headers.len : NULL;
    size_t n = strlen(name);

    while (p != NULL && p < end) {
        size_t k = strcspn(p, "\r\n");

        if (k > n && p[n] == ':' && strncasecmp(p, name, n) == 0) {
            found = p + n + 1;
            found += strspn(found, " \t");
            p[k] = '\0';
        }
        p += k + 1;
        while (p < end && (*p == '\n' || *p == '\0'))
            p++;
    }
    return found;
}

int64_t http_retry_after_ms(const struct http_response *response)
{
    const char *value = http_response_header(response, "Retry-After");
    int64_t seconds;

    if (value == NULL || !str_to_i64(value, 0, MAX_RETRY_AFTER_S, &seconds))
        return -1;
    return seconds * 1000;
}

int64_t http_date_ms(const struct http_response *response)
{
    const char *value = http_response_header(response, "Date");
    time_t t = value != NULL ? curl_getdate(value, NULL) : -1;

    return t < 0 ? -1 : (int64_t)t * 1000;
}
