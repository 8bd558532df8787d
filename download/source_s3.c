/* sourceType S3 (spec 04, section 8.4): one object, or everything below a folder. Credentials are
 * ssmd's, asked for when they are needed; where they do not help, the URL is tried as anybody may
 * use it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/str.h"
#include "download/download.h"
#include "transport/s3.h"
#include "transport/s3_url.h"

#define MAX_OBJECTS 100000u
#define FRESH_MS (INT64_C(60) * 1000) /* credentials that end sooner are asked for anew */

/* ---- credentials: what ssmd has ---- */

struct provider {
    struct credentials_provider base;
    struct download *d;
    struct credentials have;
    bool has;
    int64_t asked_ms;
};

static int take_credentials(struct provider *p, const cJSON *answer, struct err *err)
{
    const char *access_key = NULL, *secret_key = NULL, *token = NULL;
    int64_t expires = 0;
    int r;

    if ((r = json_get_string(answer, "", "access_key", 128, &access_key, err)) < 0 ||
        (r = json_get_string(answer, "", "secret_key", 4096, &secret_key, err)) < 0 ||
        (r = json_get_string(answer, "", "session_token", 65536, &token, err)) < 0 ||
        (r = json_get_i64(answer, "", "expires_unix_ms", &expires, err)) < 0)
        return r;
    if (access_key == NULL || secret_key == NULL)
        return err_set(err, ERR_PROTOCOL, "ssmd gives no credentials");
    credentials_done(&p->have);
    (void)str_copy(p->have.access_key, sizeof(p->have.access_key), access_key); /* bounded above */
    p->have.expires_unix_ms = expires;
    r = secret_set(&p->have.secret_key, secret_key, err);
    if (r == 0 && token != NULL && token[0] != '\0')
        r = secret_set(&p->have.session_token, token, err);
    explicit_bzero(json_get(answer, "secret_key")->valuestring, strlen(secret_key));
    if (token != NULL)
        explicit_bzero(json_get(answer, "session_token")->valuestring, strlen(token));
    p->has = r == 0;
    return r;
}

static int provider_get(struct credentials_provider *base, const struct credentials **ret,
                        struct err *err)
{
    struct provider *p = container_of(base, struct provider, base);
    AUTO(cJSON_Delete) cJSON *answer = NULL;
    int64_t now = clock_wall_ms();
    int r = 0;

    if (!p->has || (p->have.expires_unix_ms != 0 && p->have.expires_unix_ms < now + FRESH_MS)) {
        r = ask(p->d, "{\"op\":\"credentials\"}\n", &answer, err);
        if (r == 0)
            r = take_credentials(p, answer, err);
    }
    if (r < 0)
        return err_set(err, ERR_AUTH, "%s", err->text);
    *ret = &p->have;
    return 0;
}

static void provider_reject(struct credentials_provider *base)
{
    container_of(base, struct provider, base)->has = false;
}

static void provider_describe(const struct credentials_provider *base, struct buf *b)
{
    (void)base;
    (void)buf_add_str(b, "ssmd\n"); /* nobody asks: there is no status here */
}

static void provider_free(struct credentials_provider *base)
{
    credentials_done(&container_of(base, struct provider, base)->have);
}

/* ---- calls, waited for ---- */

struct s3_wait {
    bool is_done;
    struct err err;
    struct s3_list list;
};

static void keep_error(struct s3_wait *w, const struct s3_result *result)
{
    w->is_done = true;
    if (result->err != NULL)
        w->err = *result->err;
}

static void on_got(void *ctx, const struct s3_result *result)
{
    keep_error(ctx, result);
}

static void on_list(void *ctx, const struct s3_result *result, struct s3_list *list)
{
    struct s3_wait *w = ctx;

    keep_error(w, result);
    if (list != NULL)
        w->list = TAKE_STRUCT(*list);
}

static int end_wait(struct download *d, struct s3_wait *w, struct s3_call *call, struct err *err)
{
    int r = fetch_wait(d, &w->is_done, err);

    if (r < 0) {
        s3_cancel(call);
        return r;
    }
    if (w->err.code == 0)
        return 0;
    *err = w->err;
    return err->code;
}

struct source {
    struct download *d;
    struct s3 *s3;
    struct s3_url url;
};

static int sink(void *ctx, const void *bytes, size_t n, struct err *err)
{
    struct dest_file *f = ctx;

    return n == 0 ? dest_restart(f, err) : dest_write(f, bytes, n, err);
}

/* The URL of an object, as its author wrote it; with an endpoint of one's own, there. */
static int make_url(const struct source *s, const char *key, struct buf *url, struct err *err)
{
    const struct download_request *q = &s->d->request;
    AUTO(s3_address_done) struct s3_address address = {0};
    struct endpoint e;
    int r;

    if (q->s3_endpoint[0] != '\0') {
        r = endpoint_make(AWS_S3, q->region, q->domain, q->s3_endpoint, &e, err);
        if (r == 0)
            r = s3_address_make(&e, s->url.bucket, key, NULL, &address, err);
        if (r == 0)
            (void)buf_add_str(url, buf_str(&address.url));
        return r < 0 ? r : buf_error(url, "URL", err);
    }
    (void)buf_printf(url, "%s://%s/",
                     strncasecmp(s->d->in.location, "https:", 6) == 0 ? "https" : "http",
                     s->url.host);
    if (s->url.is_path_style) {
        s3_encode(url, s->url.bucket, false);
        (void)buf_add_char(url, '/');
    }
    s3_encode(url, key, true);
    return buf_error(url, "URL", err);
}

/* For who has no permission: as anybody may ask for it. */
static int get_unsigned(struct source *s, const char *key, struct dest_file *file, struct err *err)
{
    AUTO(buf_done) struct buf url = {0};
    struct fetch f = {.file = file};
    int r;

    buf_init(&url, S3_MAX_URL_BYTES);
    r = make_url(s, key, &url, err);
    if (r < 0)
        return r;
    f.url = buf_str(&url);
    r = fetch_get(s->d, &f, err);
    buf_done(&f.body);
    return r == 0 && f.status != 200 ? fetch_refused(&f, err) : r;
}

static int get_object(struct source *s, const char *key, const char *below, struct err *err)
{
    AUTO(dest_done) struct dest_file file = {.fd = -1, .dirfd = -1};
    const struct s3_request request = {
        .method = "GET", .bucket = s->url.bucket, .key = key, .sink = sink, .sink_ctx = &file};
    struct s3_wait w = {.is_done = false};
    struct s3_call *call = NULL;
    struct err unsigned_err;
    int r = dest_begin(s->d->dest, below, &file, err);

    if (r == 0)
        r = s3_start(s->s3, &request, on_got, &w, &call, err);
    if (r == 0)
        r = end_wait(s->d, &w, call, err);
    if (r < 0 && r != ERR_CANCELLED && r != ERR_IO && r != ERR_FULL && file.fd >= 0 &&
        get_unsigned(s, key, &file, &unsigned_err) == 0)
        r = 0; /* else the first error is the one that tells */
    if (r == 0)
        r = dest_commit(&file, err);
    return r < 0 ? err_wrap(err, "%s/%.200s", s->url.bucket, key) : 0;
}

/* What comes after the prefix, without colons in its directories. */
static bool local_name(const char *key, size_t prefix, char *ret, size_t size)
{
    const char *rest = key + prefix, *slash = strrchr(rest, '/');
    size_t k = 0;

    while (*rest == '/')
        rest++;
    for (; *rest != '\0'; rest++) {
        if (*rest == ':' && slash != NULL && rest < slash)
            continue;
        if (k + 1 >= size)
            return false;
        ret[k++] = *rest;
    }
    ret[k] = '\0';
    return k > 0;
}

/* One page; *marker (owned) is where the next begins, NULL at the end. */
static int get_page(struct source *s, const char *prefix, char **marker, size_t *n_objects,
                    struct err *err)
{
    const struct s3_list_request request = {
        .bucket = s->url.bucket, .prefix = prefix[0] != '\0' ? prefix : NULL, .marker = *marker};
    struct s3_wait w = {.is_done = false};
    struct s3_call *call = NULL;
    char below[PATH_MAX];
    size_t i;
    int r = s3_list(s->s3, &request, on_list, &w, &call, err);

    if (r == 0)
        r = end_wait(s->d, &w, call, err);
    for (i = 0; r == 0 && i < w.list.n_objects; i++) {
        const char *key = w.list.objects[i].key;

        if (str_has_suffix(key, "/") || !str_has_prefix(key, prefix))
            continue;
        if (++*n_objects > MAX_OBJECTS)
            r = err_set(err, ERR_LIMIT, "more than %u objects", MAX_OBJECTS);
        else if (!local_name(key, strlen(prefix), below, sizeof(below)))
            r = err_set(err, ERR_INVALID, "object %.200s: its name cannot be a file's", key);
        else
            r = get_object(s, key, below, err);
    }
    free(*marker);
    *marker = r == 0 && w.list.is_truncated ? TAKE(w.list.next) : NULL;
    s3_list_done(&w.list);
    return r;
}

static int get_single(struct source *s, struct err *err)
{
    const char *name = strrchr(s->url.key, '/');

    name = name != NULL ? name + 1 : s->url.key;
    if (name[0] == '\0')
        return err_set(err, ERR_NOT_FOUND, "nothing is below it");
    return get_object(s, s->url.key, dest_is_directory(s->d->dest) ? name : NULL, err);
}

/* A list that may not be had is no failure for a single object: its reader needs no permission to
 * list. */
static int get_all(struct source *s, struct err *err)
{
    char prefix[S3_MAX_KEY_BYTES + 2];
    bool is_folder = s->url.key[0] == '\0' || str_has_suffix(s->url.key, "/");
    AUTO(free) char *marker = NULL;
    size_t n_objects = 0;
    bool is_first = true;
    int r;

    (void)snprintf(prefix, sizeof(prefix), "%s%s", s->url.key, is_folder ? "" : "/"); /* fits */
    do {
        r = get_page(s, prefix, &marker, &n_objects, err);
        if (r < 0 && is_first && n_objects == 0 && !is_folder && r != ERR_CANCELLED)
            return get_single(s, err);
        is_first = false;
    } while (r == 0 && marker != NULL);
    return r == 0 && n_objects == 0 ? get_single(s, err) : r;
}

int source_s3(struct download *d, struct err *err)
{
    static const struct credentials_ops ops = {provider_get, provider_reject, provider_describe,
                                               provider_free};
    struct provider provider = {.base = {.ops = &ops}, .d = d};
    struct source s = {.d = d};
    struct s3_options so = {.http = d->http,
                            .credentials = &provider.base,
                            .domain = d->request.domain,
                            .endpoint = d->request.s3_endpoint};
    int r = s3_url_parse(d->in.location, &s.url, err);

    so.region = d->request.region[0] != '\0' ? d->request.region : s.url.region;
    if (r == 0)
        r = s3_new(d->loop, &so, &s.s3, err);
    if (r < 0)
        return r;
    r = get_all(&s, err);
    s3_close(s.s3);
    while (uv_run(d->loop, UV_RUN_NOWAIT) != 0 && http_calls_under_way(d->http) > 0)
        ; /* its handles close; it borrows the credentials */
    provider_free(&provider.base);
    return r < 0 ? err_wrap(err, "download from S3") : 0;
}
