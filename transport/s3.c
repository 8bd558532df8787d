/* A call's life: find the bucket's region, wait for credentials, sign, send, judge, move to another
 * region or try again, tell. What of it is not this protocol's is in transport/tries.h. */
#include "transport/s3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "transport"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "transport/aws_classify.h"
#include "transport/s3_internal.h"
#include "transport/sigv4.h"

#define RETRIES 3
#define MAX_MOVES 2 /* to another region, within one call */
#define MAX_HEADERS 12
#define MAX_BODY_BYTES (1u << 20)
#define QUESTION_TIMEOUT_MS 30000
#define STALL_MS 60000

enum stage { ASK_SIGNED, ASK_PLAIN, REQUEST };

struct s3_call {
    struct tries tries;
    struct s3 *s3; /* not to be used after the call was unlinked */
    enum stage stage;
    unsigned n_questions; /* unsigned ones that were asked */
    bool was_answered;    /* one of the questions, though it named no region */
    char method[8], bucket[S3_MAX_BUCKET_BYTES + 1];
    char *key, *query;                  /* owned; may be NULL */
    struct header headers[MAX_HEADERS]; /* owned texts */
    size_t n_headers;
    struct buf body;
    struct http_source source; /* read NULL: none */
    char body_sha256[SHA256_HEX_SIZE];
    http_sink_fn sink;
    void *sink_ctx;
    int64_t timeout_ms;
    size_t max_response_bytes;
    unsigned n_moves;
    char region[S3_REGION_SIZE]; /* that the last try was signed for */
    s3_done_fn done;
    void *ctx;
    s3_list_fn list_done; /* of s3_list(), whose own `ctx` is this call */
    void *list_ctx;
};

static struct s3_call *call_of(struct tries *t)
{
    return container_of(t, struct s3_call, tries);
}

static void free_call(struct tries *t)
{
    struct s3_call *call = call_of(t);
    size_t i;

    for (i = 0; i < call->n_headers; i++) {
        free((char *)call->headers[i].name);
        free((char *)call->headers[i].value);
    }
    free(call->key);
    free(call->query);
    buf_done(&call->body);
    free(call);
}

static void finish(struct s3_call *call, const struct s3_result *result)
{
    tries_unlink(&call->tries); /* from here on the callback may close everything */
    call->done(call->ctx, result);
    tries_close(&call->tries);
}

static void finish_with(struct s3_call *call, struct err *err)
{
    const struct s3_result result = {.err = err, .error_code = "", .body = ""};

    (void)err_wrap(err, "S3 %s %s", call->method, call->bucket);
    finish(call, &result);
}

/* An answer that names another region than the one that was asked: remember it and go there. */
static bool move(struct s3_call *call, const struct http_response *response,
                 const struct s3_error *error)
{
    const char *named = http_response_header(response, "x-amz-bucket-region");
    char region[S3_REGION_SIZE] = "";

    if (response->status != 301 && response->status != 307 && response->status != 400)
        return false;
    if (named != NULL && s3_is_region(named))
        (void)str_copy(region, sizeof(region), named);
    else if (error->region[0] != '\0')
        (void)str_copy(region, sizeof(region), error->region);
    else if (!s3_region_of_host(error->endpoint, region))
        return false;
    if (str_eq(region, call->region) || call->n_moves == MAX_MOVES)
        return false;
    call->n_moves++;
    log_debug("S3 bucket %s is in %s", call->bucket, region);
    s3_remember_region(call->s3, call->bucket, region);
    return true;
}

static void on_response(void *ctx, const struct http_response *response)
{
    struct s3_call *call = ctx;
    struct s3_error error;
    struct aws_verdict v;
    struct err err = {0};
    bool is_clock_changed = false;

    call->tries.http_call = NULL;
    s3_judge(call->method, call->bucket, response, &error, &v, &err);
    if (response->err == NULL && v.code != ERR_PROTOCOL)
        is_clock_changed = tries_learn_clock(&call->tries, response, v.may_be_clock);
    if (v.code != 0 && response->err == NULL && move(call, response, &error)) {
        log_debug("%s; trying again at once", err.text);
        tries_in(&call->tries, 0);
        return;
    }
    if (v.code != 0 && tries_again(&call->tries, &v, response, is_clock_changed, &err))
        return;
    const struct s3_result result = {.err = v.code != 0 ? &err : NULL,
                                     .error_code = error.code,
                                     .http_status = response->status,
                                     .body = response->body,
                                     .len = response->len,
                                     .response = response};
    finish(call, &result);
}

static void on_region_answer(void *ctx, const struct http_response *response);

/* The signed HEAD for the bucket's region, or the request itself. */
static int send_signed(struct s3_call *call, const struct credentials *c, struct err *err)
{
    struct s3 *s3 = call->s3;
    bool is_question = call->stage == ASK_SIGNED;
    const char *method = is_question ? "HEAD" : call->method;
    const char *sha = is_question ? SIGV4_EMPTY_SHA256 : call->body_sha256;
    const char *query = is_question ? NULL : call->query;
    const struct http_source *source =
        !is_question && call->source.read != NULL ? &call->source : NULL;
    bool is_large = source != NULL || (!is_question && call->sink != NULL);
    AUTO(s3_address_done) struct s3_address address = {0};
    AUTO(buf_done) struct buf authorization = {0};
    struct header headers[MAX_HEADERS + 6];
    char date[SIGV4_DATE_SIZE], length[24];
    struct endpoint endpoint;
    size_t n = 0, n_sent;
    int r;

    r = s3_endpoint(s3, call->region, &endpoint, err);
    if (r == 0)
        r = s3_address_make(&endpoint, call->bucket, is_question ? NULL : call->key, query,
                            &address, err);
    if (r < 0)
        return r;
    buf_init(&authorization, 64u << 10);
    sigv4_format_date(clock_wall_ms() + s3->client.offset_ms, date);
    headers[n++] = (struct header){"Host", address.host};
    if (!is_question) {
        memcpy(headers + n, call->headers, call->n_headers * sizeof(headers[0]));
        n += call->n_headers;
    }
    headers[n++] = (struct header){"X-Amz-Content-Sha256", sha};
    headers[n++] = (struct header){"X-Amz-Date", date};
    if (secret_is_set(&c->session_token))
        headers[n++] = (struct header){"X-Amz-Security-Token", secret_reveal(&c->session_token)};
    n_sent = n;
    if (str_eq(method, "PUT") || str_eq(method, "POST")) { /* libcurl sends it itself */
        (void)snprintf(length, sizeof(length), "%lld",
                       source != NULL ? (long long)source->len : (long long)call->body.len);
        headers[n++] = (struct header){"Content-Length", length};
    }
    const struct sigv4_scope scope = {date, call->region, "s3"};
    const struct sigv4_request to_sign = {.method = method,
                                          .path = address.path.data,
                                          .query = query,
                                          .headers = headers,
                                          .n_headers = n,
                                          .body_sha256 = sha};
    r = sigv4_sign(&to_sign, &scope, c->access_key, secret_reveal(&c->secret_key), &authorization,
                   err);
    if (r < 0)
        return r;
    headers[n_sent++] = (struct header){"Authorization", authorization.data};
    const struct http_request request = {
        .method = method,
        .url = address.url.data,
        .headers = headers,
        .n_headers = n_sent,
        .body = is_question ? NULL : call->body.data,
        .body_len = is_question ? 0 : call->body.len,
        .source = source,
        .sink = is_question ? NULL : call->sink,
        .sink_ctx = call->sink_ctx,
        .timeout_ms = is_question ? QUESTION_TIMEOUT_MS : call->timeout_ms,
        .stall_timeout_ms = is_large && call->timeout_ms == 0 ? STALL_MS : 0,
        .max_response_bytes = call->max_response_bytes};
    return http_start(s3->http, &request, is_question ? on_region_answer : on_response, call,
                      &call->tries.http_call, err);
}

/* The next unsigned question, or, when all were asked, the request in the node's own region. */
static int ask_plain(struct s3_call *call, struct err *err)
{
    AUTO(buf_done) struct buf url = {0};

    buf_init(&url, S3_MAX_URL_BYTES);
    if (!s3_region_question(call->s3, call->bucket, call->n_questions++, &url)) {
        call->stage = REQUEST;
        if (call->was_answered) /* else nobody could be reached: asked again by the next call */
            s3_remember_region(call->s3, call->bucket, call->s3->region);
        tries_in(&call->tries, 0);
        return 0;
    }
    const struct http_request request = {
        .method = "HEAD", .url = url.data, .timeout_ms = QUESTION_TIMEOUT_MS};
    return http_start(call->s3->http, &request, on_region_answer, call, &call->tries.http_call,
                      err);
}

static void on_region_answer(void *ctx, const struct http_response *response)
{
    struct s3_call *call = ctx;
    const char *region =
        response->err == NULL ? http_response_header(response, "x-amz-bucket-region") : NULL;

    call->tries.http_call = NULL;
    call->was_answered = call->was_answered || response->err == NULL;
    if (response->err == NULL && region == NULL && s3_is_from_s3(response))
        (void)tries_learn_clock(&call->tries, response, response->status == 403);
    if (region != NULL && s3_is_region(region)) {
        log_debug("S3 bucket %s is in %s", call->bucket, region);
        s3_remember_region(call->s3, call->bucket, region);
    } else if (call->stage == ASK_SIGNED) {
        call->stage = ASK_PLAIN;
    } else if (response->err == NULL && call->n_questions % 2 == 1) {
        call->n_questions++; /* an endpoint that answers is not asked by plain http too */
    }
    tries_in(&call->tries, 0);
}

static int send_request(struct s3_call *call, const struct credentials *c, struct err *err)
{
    if (call->stage == REQUEST) {
        int r = call->sink != NULL ? call->sink(call->sink_ctx, "", 0, err) : 0;

        if (r < 0)
            return r;
        call->tries.n_tried++;
    }
    return send_signed(call, c, err);
}

static void attempt(struct tries *t)
{
    struct s3_call *call = call_of(t);
    const char *region = s3_known_region(call->s3, call->bucket);
    const struct credentials *c;
    struct err err = {0};
    int r;

    if (region != NULL)
        call->stage = REQUEST;
    (void)str_copy(call->region, sizeof(call->region), region != NULL ? region : call->s3->region);
    if (call->stage == ASK_PLAIN) {
        r = ask_plain(call, &err);
        if (r < 0)
            finish_with(call, &err);
        return;
    }
    r = tries_credentials(t, &c, &err);
    if (r == ERR_BUSY)
        return;
    if (r == 0)
        r = send_request(call, c, &err);
    if (r < 0)
        finish_with(call, &err);
}

static const struct tries_ops tries_ops = {.attempt = attempt, .free = free_call};

int s3_new(uv_loop_t *loop, const struct s3_options *options, struct s3 **ret_s3, struct err *err)
{
    AUTO(free) struct s3 *s3 = calloc(1, sizeof(*s3));
    struct endpoint probe;
    int r;

    if (s3 == NULL)
        return err_set(err, ERR_NOMEM, "S3 client: out of memory");
    s3->client.loop = loop;
    s3->http = options->http;
    s3->credentials = options->credentials;
    s3->client.retry_unit_ms = options->retry_unit_ms > 0 ? options->retry_unit_ms : 1000;
    if (!str_copy(s3->region, sizeof(s3->region), options->region) ||
        !str_copy(s3->domain, sizeof(s3->domain), options->domain != NULL ? options->domain : "") ||
        !str_copy(s3->override, sizeof(s3->override),
                  options->endpoint != NULL ? options->endpoint : ""))
        return err_set(err, ERR_INVALID, "S3: region, domain or endpoint is too long");
    r = s3_endpoint(s3, s3->region, &probe, err);
    if (r < 0)
        return err_wrap(err, "S3");
    *ret_s3 = TAKE(s3);
    return 0;
}

void s3_close(struct s3 *s3)
{
    if (s3 == NULL)
        return;
    while (s3->puts != NULL)
        s3_put_drop(s3->puts);
    tries_cancel_all(&s3->client);
    free(s3->buckets);
    free(s3);
}

static int copy_request(struct s3_call *call, const struct s3_request *request, struct err *err)
{
    size_t i;

    if (!str_copy(call->method, sizeof(call->method), request->method) ||
        !str_copy(call->bucket, sizeof(call->bucket), request->bucket))
        return err_set(err, ERR_INVALID, "S3 bucket \"%.100s...\": not a bucket's name",
                       request->bucket);
    if (request->n_headers > MAX_HEADERS)
        return err_set(err, ERR_LIMIT, "S3 request: more than %d headers", MAX_HEADERS);
    if (request->key != NULL && strlen(request->key) > S3_MAX_KEY_BYTES)
        return err_set(err, ERR_LIMIT, "S3 key \"%.100s...\": longer than %d bytes", request->key,
                       S3_MAX_KEY_BYTES);
    for (i = 0; i < request->n_headers; i++) {
        call->headers[i] =
            (struct header){strdup(request->headers[i].name), strdup(request->headers[i].value)};
        call->n_headers++;
        if (call->headers[i].name == NULL || call->headers[i].value == NULL)
            return err_set(err, ERR_NOMEM, "S3 request: out of memory");
    }
    call->key = request->key != NULL ? strdup(request->key) : NULL;
    call->query = request->query != NULL ? strdup(request->query) : NULL;
    if ((request->key != NULL && call->key == NULL) ||
        (request->query != NULL && call->query == NULL))
        return err_set(err, ERR_NOMEM, "S3 request: out of memory");
    if (request->body_len > 0 && buf_add(&call->body, request->body, request->body_len) < 0)
        return buf_error(&call->body, "S3 request", err);
    if (request->source != NULL)
        call->source = *request->source;
    if (request->body_sha256 != NULL)
        (void)str_copy(call->body_sha256, sizeof(call->body_sha256), request->body_sha256);
    else
        sha256_hex_of(request->body, request->body_len, call->body_sha256);
    return 0;
}

int s3_start(struct s3 *s3, const struct s3_request *request, s3_done_fn done, void *ctx,
             struct s3_call **ret_call, struct err *err)
{
    struct s3_call *call = calloc(1, sizeof(*call));
    int r;

    if (call == NULL)
        return err_set(err, ERR_NOMEM, "S3 request: out of memory");
    buf_init(&call->body, MAX_BODY_BYTES);
    call->s3 = s3;
    call->sink = request->sink;
    call->sink_ctx = request->sink_ctx;
    call->timeout_ms = request->timeout_ms;
    call->max_response_bytes = request->max_response_bytes;
    call->done = done;
    call->ctx = ctx;
    call->tries.credentials = s3->credentials;
    call->tries.n_retries = RETRIES;
    tries_init(&call->tries, &s3->client, &tries_ops);
    r = copy_request(call, request, err);
    if (r < 0) {
        tries_close(&call->tries);
        return r;
    }
    tries_begin(&call->tries);
    if (ret_call != NULL)
        *ret_call = call;
    return 0;
}

void s3_cancel(struct s3_call *call)
{
    if (call != NULL)
        tries_cancel(&call->tries);
}

static void on_list(void *ctx, const struct s3_result *result)
{
    struct s3_call *call = ctx;
    AUTO(s3_list_done) struct s3_list list = {0};
    struct s3_result failed = *result;
    struct err err = {0};

    if (result->err == NULL && s3_xml_list(result->body, result->len, &list, &err) < 0) {
        (void)err_wrap(&err, "list S3 bucket %s", call->bucket);
        failed.err = &err;
    }
    call->list_done(call->list_ctx, &failed, failed.err == NULL ? &list : NULL);
}

int s3_list(struct s3 *s3, const struct s3_list_request *request, s3_list_fn done, void *ctx,
            struct s3_call **ret_call, struct err *err)
{
    AUTO(buf_done) struct buf query = {0};
    struct s3_call *call = NULL;
    int r;

    buf_init(&query, S3_MAX_URL_BYTES);
    (void)buf_add_str(&query, "prefix=");
    s3_encode(&query, request->prefix != NULL ? request->prefix : "", false);
    if (request->delimiter != NULL) {
        (void)buf_add_str(&query, "&delimiter=");
        s3_encode(&query, request->delimiter, false);
    }
    if (request->marker != NULL) {
        (void)buf_add_str(&query, "&marker=");
        s3_encode(&query, request->marker, false);
    }
    r = buf_error(&query, "S3 list's address", err);
    if (r < 0)
        return r;
    const struct s3_request list = {.method = "GET",
                                    .bucket = request->bucket,
                                    .query = query.data,
                                    .max_response_bytes = S3_MAX_XML_BYTES};
    r = s3_start(s3, &list, on_list, NULL, &call, err);
    if (r < 0 || call == NULL)
        return r;
    call->ctx = call;
    call->list_ctx = ctx;
    call->list_done = done;
    if (ret_call != NULL)
        *ret_call = call;
    return 0;
}
