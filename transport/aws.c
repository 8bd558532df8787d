/* A call's life: wait for credentials, sign, send, judge, repair or try again, tell. What of it is
 * not this protocol's is in transport/tries.h. */
#include "transport/aws.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "transport"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "schema/message.h"
#include "transport/aws_classify.h"
#include "transport/aws_sign.h"
#include "transport/tries.h"

#define MAX_BODY_BYTES (16u << 20)

struct aws {
    struct tries_client client;
    struct http *http;
    struct credentials_provider *credentials;
    char signing_regions[AWS_SERVICE_COUNT][128];
    struct endpoint endpoints[AWS_SERVICE_COUNT];
    struct sigv4_keys keys;
};

struct aws_call {
    struct tries tries;
    struct aws *aws; /* not to be used after the call was unlinked */
    enum aws_service service;
    char operation[64];
    char path[512]; /* "": JSON-RPC */
    struct buf body;
    int64_t timeout_ms;
    size_t max_response_bytes;
    const struct aws_key *key;
    aws_done_fn done;
    void *ctx;
};

static struct aws_call *call_of(struct tries *t)
{
    return container_of(t, struct aws_call, tries);
}

static void free_call(struct tries *t)
{
    struct aws_call *call = call_of(t);

    if (call->body.data != NULL)
        explicit_bzero(call->body.data, call->body.len); /* may hold an activation code */
    buf_done(&call->body);
    free(call);
}

static void finish(struct aws_call *call, const struct aws_result *result)
{
    tries_unlink(&call->tries); /* from here on the callback may close everything */
    call->done(call->ctx, result);
    tries_close(&call->tries);
}

static void finish_with(struct aws_call *call, struct err *err)
{
    const struct aws_result result = {.err = err, .error_code = "", .body = "", .request_id = ""};

    (void)err_wrap(err, "%s %s", aws_service_name(call->service), call->operation);
    finish(call, &result);
}

/* A call to a path: 201 alone is a success, errors may be XML as well as JSON (spec 02, section 6).
 */
static void judge_path(const struct http_response *response, struct aws_error *error,
                       struct aws_verdict *ret_verdict)
{
    if (response->status == 201)
        return;
    aws_error_parse(response->body, response->len, error);
    if (strstr(response->body, "<AccessDeniedException>") != NULL)
        (void)str_copy(error->code, sizeof(error->code), "AccessDeniedException");
    *ret_verdict = aws_classify(response->status, error->code);
    if (ret_verdict->code == 0)
        ret_verdict->code = ERR_PROTOCOL;
    /* A refused signature has no name that could be relied on here. */
    if (response->status == 403 && !str_eq(error->code, "AccessDeniedException"))
        ret_verdict->may_be_clock = true;
}

/* What the service said, in one line; the caller's callback gets it too. */
static void judge(const struct aws_call *call, const struct http_response *response,
                  const char *request_id, struct aws_error *error, struct aws_verdict *ret_verdict,
                  struct err *err)
{
    struct aws_verdict v = {0};
    bool is_success = response->status >= 200 && response->status < 300;
    const char *name = aws_service_name(call->service);

    if (response->err != NULL) {
        v.code = response->err->code;
        v.is_retryable = v.code == ERR_NETWORK || v.code == ERR_TIMEOUT;
        *err = *response->err;
        (void)err_wrap(err, "%s %s", name, call->operation);
    } else {
        if (call->path[0] != '\0') {
            judge_path(response, error, &v);
        } else if (!is_success) {
            aws_error_parse(response->body, response->len, error);
            v = aws_classify(response->status, error->code);
        } else if (!aws_is_success_body(response->body, response->len, request_id[0] != '\0')) {
            v.code = ERR_PROTOCOL;
        }
        if (v.code != 0 && call->path[0] != '\0')
            (void)err_set(err, v.code, "%s %s: HTTP %ld%s%.300s", name, call->operation,
                          response->status, is_success ? " instead of 201" : ": ",
                          is_success ? "" : response->body); /* a success may hold a token */
        else if (v.code == ERR_PROTOCOL)
            (void)err_set(err, v.code,
                          "%s %s: %s answered HTTP %ld with a body that is not the service's JSON "
                          "(is there a proxy or a login page in between?)",
                          name, call->operation, call->aws->endpoints[call->service].host,
                          response->status);
        else if (v.code != 0)
            (void)err_set(err, v.code, "%s %s: %s%s%s (HTTP %ld%s%s)", name, call->operation,
                          error->code, error->message[0] != '\0' ? ": " : "", error->message,
                          response->status, request_id[0] != '\0' ? ", request " : "", request_id);
    }
    *ret_verdict = v;
}

/* True when the call would be signed with another time now. */
static bool learn_clock(struct aws_call *call, const struct http_response *response,
                        const struct aws_verdict *v)
{
    const int64_t *offset_ms = &call->aws->client.offset_ms;
    int64_t before = *offset_ms;
    bool is_changed = tries_learn_clock(&call->tries, response, v->may_be_clock);

    if (*offset_ms == before)
        return is_changed;
    if (*offset_ms != 0)
        log_warning("this machine's clock differs from the service's by %lld s: signing with the "
                    "service's time",
                    (long long)(-*offset_ms / 1000));
    else
        log_info("this machine's clock agrees with the service's again");
    return is_changed;
}

static void on_response(void *ctx, const struct http_response *response)
{
    struct aws_call *call = ctx;
    const char *request_id = http_response_header(response, "x-amzn-RequestId");
    struct aws_error error = {0};
    struct aws_verdict v;
    struct err err = {0};
    bool is_clock_changed = false;

    call->tries.http_call = NULL;
    if (request_id == NULL)
        request_id = http_response_header(response, "x-amz-request-id");
    if (request_id == NULL)
        request_id = "";
    judge(call, response, request_id, &error, &v, &err);
    if (response->err == NULL && v.code != ERR_PROTOCOL) /* a page in between has its own clock */
        is_clock_changed = learn_clock(call, response, &v);
    if (v.code != 0 && tries_again(&call->tries, &v, response, is_clock_changed, &err))
        return;
    const struct aws_result result = {.err = v.code != 0 ? &err : NULL,
                                      .error_code = error.code,
                                      .body = response->body,
                                      .len = response->len,
                                      .http_status = response->status,
                                      .request_id = request_id,
                                      .was_sent = response->was_sent,
                                      .is_reset = response->is_reset};
    finish(call, &result);
}

static int send_request(struct aws_call *call, const struct credentials *c, struct err *err)
{
    struct aws *aws = call->aws;
    const struct endpoint *e = &aws->endpoints[call->service];
    bool has_path = call->path[0] != '\0';
    const struct aws_sign sign = {.endpoint = e,
                                  .service = call->service,
                                  .operation = call->operation,
                                  .path = has_path ? call->path : NULL,
                                  .region = aws->signing_regions[call->service],
                                  .now_ms = aws_now_ms(aws),
                                  .body = call->body.data,
                                  .body_len = call->body.len,
                                  .credentials = c,
                                  .keys = &aws->keys,
                                  .key = call->key};
    char url[sizeof(e->origin) + sizeof(call->path)];
    AUTO(aws_headers_done) struct aws_headers headers = {.n = 0};
    int r = aws_headers_make(&sign, &headers, err);

    if (r < 0)
        return r;
    (void)snprintf(url, sizeof(url), "%s%s", e->origin, call->path);
    const struct http_request request = {.method = "POST",
                                         .url = has_path ? url : e->url,
                                         .headers = headers.list,
                                         .n_headers = headers.n,
                                         .body = call->body.data,
                                         .body_len = call->body.len,
                                         .timeout_ms = call->timeout_ms,
                                         .max_response_bytes = call->max_response_bytes};
    return http_start(aws->http, &request, on_response, call, &call->tries.http_call, err);
}

static void attempt(struct tries *t)
{
    struct aws_call *call = call_of(t);
    const struct credentials *c;
    struct err err = {0};
    int r = tries_credentials(t, &c, &err);

    if (r == ERR_BUSY)
        return;
    if (r == 0) {
        t->n_tried++;
        r = send_request(call, c, &err);
    }
    if (r < 0)
        finish_with(call, &err);
}

static const struct tries_ops tries_ops = {.attempt = attempt, .free = free_call};

int aws_new(uv_loop_t *loop, const struct aws_options *options, struct aws **ret_aws,
            struct err *err)
{
    AUTO(free) struct aws *aws = calloc(1, sizeof(*aws));
    const char *signing_region = options->signing_region;
    int i;

    if (aws == NULL)
        return err_set(err, ERR_NOMEM, "AWS client: out of memory");
    aws->client.loop = loop;
    aws->http = options->http;
    aws->credentials = options->credentials;
    aws->client.retry_unit_ms = options->retry_unit_ms > 0 ? options->retry_unit_ms : 1000;
    if (signing_region == NULL || *signing_region == '\0')
        signing_region = options->region;
    for (i = 0; i < AWS_SERVICE_COUNT; i++) {
        const char *own = options->regions[i];
        bool has_own = own != NULL && own[0] != '\0';
        int r = endpoint_make((enum aws_service)i, has_own ? own : options->region, options->domain,
                              options->endpoints[i], &aws->endpoints[i], err);

        if (r < 0)
            return err_wrap(err, "%s", aws_service_name((enum aws_service)i));
        if (!str_copy(aws->signing_regions[i], sizeof(aws->signing_regions[i]),
                      has_own ? own : signing_region))
            return err_set(err, ERR_INVALID, "signing region \"%.100s\": longer than %zu bytes",
                           signing_region, sizeof(aws->signing_regions[i]) - 1);
    }
    *ret_aws = TAKE(aws);
    return 0;
}

void aws_close(struct aws *aws)
{
    if (aws == NULL)
        return;
    tries_cancel_all(&aws->client);
    sigv4_keys_done(&aws->keys);
    free(aws);
}

int aws_start(struct aws *aws, const struct aws_request *request, aws_done_fn done, void *ctx,
              struct aws_call **ret_call, struct err *err)
{
    struct aws_call *call = calloc(1, sizeof(*call));

    if (call == NULL)
        return err_set(err, ERR_NOMEM, "%s %s: out of memory", aws_service_name(request->service),
                       request->operation);
    if (request->path != NULL && !str_copy(call->path, sizeof(call->path), request->path)) {
        free(call);
        return err_set(err, ERR_LIMIT, "%s %s: a path of more than %zu bytes",
                       aws_service_name(request->service), request->operation,
                       sizeof(call->path) - 1);
    }
    buf_init(&call->body, MAX_BODY_BYTES);
    if (buf_add(&call->body, request->body, request->body_len) < 0) {
        int r = buf_error(&call->body, "request", err);

        buf_done(&call->body);
        free(call);
        return r;
    }
    call->aws = aws;
    call->service = request->service;
    (void)str_copy(call->operation, sizeof(call->operation), request->operation); /* ours: short */
    call->timeout_ms = request->timeout_ms;
    call->max_response_bytes = request->max_response_bytes;
    call->key = request->key;
    call->done = done;
    call->ctx = ctx;
    call->tries.n_retries = request->n_retries;
    if (!request->is_unsigned)
        call->tries.credentials =
            request->credentials != NULL ? request->credentials : aws->credentials;
    tries_init(&call->tries, &aws->client, &tries_ops);
    tries_begin(&call->tries);
    if (ret_call != NULL)
        *ret_call = call;
    return 0;
}

void aws_cancel(struct aws_call *call)
{
    if (call != NULL)
        tries_cancel(&call->tries);
}

int64_t aws_now_ms(const struct aws *aws)
{
    return clock_wall_ms() + aws->client.offset_ms;
}

int64_t aws_clock_offset_ms(const struct aws *aws)
{
    return aws->client.offset_ms;
}

int aws_sign_get(struct aws *aws, enum aws_service service, const char *path, const char *query,
                 struct aws_headers *ret_headers, struct err *err)
{
    struct aws_sign sign = {.endpoint = &aws->endpoints[service],
                            .service = service,
                            .operation = "GET",
                            .path = path,
                            .query = query,
                            .is_get = true,
                            .keys = &aws->keys,
                            .region = aws->signing_regions[service],
                            .now_ms = aws_now_ms(aws)};
    int r = credentials_get(aws->credentials, &sign.credentials, err);

    return r < 0 ? r : aws_headers_make(&sign, ret_headers, err);
}

const struct endpoint *aws_endpoint(const struct aws *aws, enum aws_service service)
{
    return &aws->endpoints[service];
}
