/* Calls of the instance metadata service. Each call owns a timer, whose close frees it. */
#include "transport/imds.h"

#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/str.h"
#include "schema/json.h"

#define DEFAULT_V4 "http://169.254.169.254"
#define DEFAULT_V6 "http://[fd00:ec2::254]"
#define TOKEN_PATH "/latest/api/token"
#define TOKEN_TTL_HEADER "x-aws-ec2-metadata-token-ttl-seconds"
#define TOKEN_HEADER "x-aws-ec2-metadata-token"
#define TOKEN_TTL "21600"
#define TOKEN_SPARE_MS 30000 /* before its end a new one is asked for */
#define TRIES 3
#define TRY_MS 1000
#define MAX_TOKEN_BYTES 1024

struct imds {
    uv_loop_t *loop;
    struct http *http;
    bool is_v1_allowed;
    char base[300];
    char token[MAX_TOKEN_BYTES + 1]; /* "": none */
    int64_t token_until_ms;          /* boot clock */
    struct imds_call *calls;         /* owned; doubly linked */
};

struct imds_call {
    struct imds *imds;
    struct imds_call *prev, *next;
    uv_timer_t timer;
    struct http_call *http_call;
    char path[300];
    unsigned n_tried;
    bool is_tokenless, was_401;
    imds_done_fn done;
    void *ctx;
};

static void begin_try(struct imds_call *call);

static void free_call(uv_handle_t *handle)
{
    free(container_of((uv_timer_t *)(void *)handle, struct imds_call, timer));
}

static void unlink_call(struct imds_call *call)
{
    if (call->next != NULL)
        call->next->prev = call->prev;
    if (call->prev != NULL)
        call->prev->next = call->next;
    else
        call->imds->calls = call->next;
}

static void finish(struct imds_call *call, const struct imds_answer *answer)
{
    unlink_call(call); /* the callback may close everything */
    call->done(call->ctx, answer);
    uv_close((uv_handle_t *)&call->timer, free_call);
}

static void finish_with(struct imds_call *call, struct err *err)
{
    const struct imds_answer answer = {.err = err, .body = "", .date_ms = -1};

    (void)err_wrap(err, "instance metadata %s", call->path);
    finish(call, &answer);
}

static void on_timer(uv_timer_t *timer)
{
    begin_try(container_of(timer, struct imds_call, timer));
}

/* Another try, if one is left; else the end. */
static void try_again(struct imds_call *call, bool is_throttled, struct err *err)
{
    uint32_t random;
    int64_t delay;

    if (call->n_tried >= TRIES) {
        finish_with(call, err);
        return;
    }
    random = ids_random32();
    delay = is_throttled ? backoff_spread_ms(500, 1000, random) : backoff_spread_ms(30, 60, random);
    delay <<= call->n_tried - 1;
    (void)uv_timer_start(&call->timer, on_timer, (uint64_t)delay, 0); /* not closing */
}

static bool is_throttle(long status)
{
    return status == 429 || (status >= 502 && status <= 504);
}

/* ---- the data ---- */

static void on_data(void *ctx, const struct http_response *response)
{
    struct imds_call *call = ctx;
    struct err err;

    call->http_call = NULL;
    if (response->err != NULL) {
        err = *response->err;
        try_again(call, false, &err);
        return;
    }
    if (response->status == 200) {
        const struct imds_answer answer = {
            .body = response->body, .len = response->len, .date_ms = http_date_ms(response)};

        finish(call, &answer);
        return;
    }
    if (response->status == 401)
        call->imds->token[0] = '\0';
    if (response->status == 401 && !call->was_401 && !call->is_tokenless) {
        call->was_401 = true; /* the token ended early: once with a new one */
        begin_try(call);
        return;
    }
    (void)err_set(&err,
                  response->status == 404                              ? ERR_NOT_FOUND
                  : response->status == 401 || response->status == 403 ? ERR_AUTH
                                                                       : ERR_SERVER,
                  "HTTP %ld", response->status);
    if (response->status >= 500 || response->status == 429)
        try_again(call, is_throttle(response->status), &err);
    else
        finish_with(call, &err);
}

static void get_data(struct imds_call *call)
{
    struct imds *imds = call->imds;
    char url[sizeof(imds->base) + sizeof(call->path)];
    const struct header headers[] = {{TOKEN_HEADER, imds->token}};
    const struct http_request request = {.method = "GET",
                                         .url = url,
                                         .headers = headers,
                                         .n_headers = call->is_tokenless ? 0 : 1,
                                         .timeout_ms = TRY_MS,
                                         .max_response_bytes = IMDS_MAX_BYTES,
                                         .is_direct = true};
    struct err err;

    (void)snprintf(url, sizeof(url), "%s%s", imds->base, call->path); /* fits */
    if (http_start(imds->http, &request, on_data, call, &call->http_call, &err) < 0)
        finish_with(call, &err);
}

/* ---- the token ---- */

static bool take_token(struct imds *imds, const struct http_response *response)
{
    const char *ttl = http_response_header(response, TOKEN_TTL_HEADER);
    int64_t seconds;
    size_t i;

    if (response->status != 200 || response->len == 0 || response->len > MAX_TOKEN_BYTES ||
        ttl == NULL || !str_to_i64(ttl, 0, INT32_MAX, &seconds))
        return false;
    for (i = 0; i < response->len; i++)
        if (response->body[i] <= ' ' || response->body[i] > '~')
            return false;
    memcpy(imds->token, response->body, response->len + 1);
    imds->token_until_ms = clock_boottime_ms() + seconds * 1000 - TOKEN_SPARE_MS;
    return true;
}

static void on_token(void *ctx, const struct http_response *response)
{
    struct imds_call *call = ctx;
    struct err err;

    call->http_call = NULL;
    if (response->err == NULL && take_token(call->imds, response)) {
        get_data(call);
        return;
    }
    if (call->imds->is_v1_allowed && response->status != 400) {
        call->is_tokenless = true;
        get_data(call);
        return;
    }
    if (response->err != NULL) {
        err = *response->err;
        (void)err_wrap(&err, "token of version 2");
        try_again(call, false, &err);
        return;
    }
    (void)err_set(&err, response->status >= 500 ? ERR_SERVER : ERR_AUTH,
                  response->status == 200
                      ? "token of version 2: the answer is none"
                      : "token of version 2: HTTP %ld (is this EC2, and is the hop limit enough? "
                        "version 1 is used only with Ssmd.ImdsV1)",
                  response->status);
    if (response->status >= 500 || response->status == 429)
        try_again(call, is_throttle(response->status), &err);
    else
        finish_with(call, &err);
}

static void begin_try(struct imds_call *call)
{
    static const struct header headers[] = {{TOKEN_TTL_HEADER, TOKEN_TTL}};
    struct imds *imds = call->imds;
    char url[sizeof(imds->base) + sizeof(TOKEN_PATH)];
    const struct http_request request = {.method = "PUT",
                                         .url = url,
                                         .headers = headers,
                                         .n_headers = 1,
                                         .timeout_ms = TRY_MS,
                                         .max_response_bytes = IMDS_MAX_BYTES,
                                         .is_direct = true};
    struct err err;

    call->n_tried++;
    if (call->is_tokenless ||
        (imds->token[0] != '\0' && clock_boottime_ms() < imds->token_until_ms)) {
        get_data(call);
        return;
    }
    (void)snprintf(url, sizeof(url), "%s" TOKEN_PATH, imds->base); /* fits */
    if (http_start(imds->http, &request, on_token, call, &call->http_call, &err) < 0)
        finish_with(call, &err);
}

/* ---- calls ---- */

int imds_get(struct imds *imds, const char *path, imds_done_fn done, void *ctx,
             struct imds_call **ret_call, struct err *err)
{
    struct imds_call *call = calloc(1, sizeof(*call));

    if (call == NULL)
        return err_set(err, ERR_NOMEM, "instance metadata: out of memory");
    if (!str_copy(call->path, sizeof(call->path), path)) {
        free(call);
        return err_set(err, ERR_INVALID, "instance metadata: the path is too long");
    }
    call->imds = imds;
    call->done = done;
    call->ctx = ctx;
    (void)uv_timer_init(imds->loop, &call->timer); /* cannot fail */
    call->next = imds->calls;
    if (call->next != NULL)
        call->next->prev = call;
    imds->calls = call;
    (void)uv_timer_start(&call->timer, on_timer, 0, 0); /* so that no callback runs in here */
    if (ret_call != NULL)
        *ret_call = call;
    return 0;
}

void imds_cancel(struct imds_call *call)
{
    if (call == NULL)
        return;
    unlink_call(call);
    http_cancel(call->http_call);
    uv_close((uv_handle_t *)&call->timer, free_call);
}

/* ---- life ---- */

/* A URL of the environment loses its path. */
static int choose_base(struct imds *imds, const struct env_source *env, struct err *err)
{
    const char *url = env_get_nonempty(env, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
    const char *mode = env_get_nonempty(env, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    size_t n;

    if (url == NULL) {
        (void)str_copy(imds->base, sizeof(imds->base), /* fits */
                       mode != NULL && str_eq_nocase(mode, "IPv6") ? DEFAULT_V6 : DEFAULT_V4);
        return 0;
    }
    n = str_has_prefix(url, "http://") ? 7 + strcspn(url + 7, "/?#") : 0;
    if (n <= 7 || n >= sizeof(imds->base))
        return err_set(err, ERR_INVALID,
                       "AWS_EC2_METADATA_SERVICE_ENDPOINT \"%.100s\": not an http:// URL", url);
    memcpy(imds->base, url, n);
    imds->base[n] = '\0';
    return 0;
}

int imds_new(uv_loop_t *loop, const struct imds_options *o, struct imds **ret_imds, struct err *err)
{
    AUTO(free) struct imds *imds = calloc(1, sizeof(*imds));
    const char *off = env_get_nonempty(o->env, "AWS_EC2_METADATA_DISABLED");
    int r;

    if (imds == NULL)
        return err_set(err, ERR_NOMEM, "instance metadata: out of memory");
    if (off != NULL && str_eq_nocase(off, "true"))
        return err_set(err, ERR_UNSUPPORTED,
                       "instance metadata: AWS_EC2_METADATA_DISABLED is true");
    imds->loop = loop;
    imds->http = o->http;
    imds->is_v1_allowed = o->is_v1_allowed;
    r = choose_base(imds, o->env, err);
    if (r < 0)
        return r;
    *ret_imds = TAKE(imds);
    return 0;
}

void imds_close(struct imds *imds)
{
    if (imds == NULL)
        return;
    while (imds->calls != NULL)
        imds_cancel(imds->calls);
    explicit_bzero(imds->token, sizeof(imds->token));
    free(imds);
}

const char *imds_base(const struct imds *imds)
{
    return imds->base;
}

/* ---- documents ---- */

int imds_parse_line(const char *text, size_t n, char *ret_line, size_t size, struct err *err)
{
    size_t len = n > 0 ? strcspn(text, "\r\n") : 0, i;

    if (len == 0 || len >= size)
        return err_set(err, ERR_PROTOCOL, "its first line is empty or longer than %zu bytes",
                       size - 1);
    for (i = 0; i < len; i++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.+=,@/:",
                   text[i]) == NULL)
            return err_set(err, ERR_PROTOCOL,
                           "its first line holds characters that no such value has: is this a "
                           "page of something in between?");
    memcpy(ret_line, text, len);
    ret_line[len] = '\0';
    return 0;
}

int imds_parse_region(const char *text, size_t n, char *ret_region, size_t size, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    const char *region;

    if (json_parse(text, n, IMDS_MAX_BYTES, JSON_REFUSE, "identity document", &root, NULL) < 0)
        return err_set(err, ERR_PROTOCOL, "the identity document is no JSON");
    region = cJSON_GetStringValue(json_get_exact(root, "region"));
    if (region == NULL || !str_is_safe_name(region, size - 1))
        return err_set(err, ERR_PROTOCOL, "the identity document names no region");
    (void)str_copy(ret_region, size, region); /* its length was looked at */
    return 0;
}
