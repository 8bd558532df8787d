/* A request of S3: its address, its body, its signature. What it does is in s3_run.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ids.h"
#include "base/str.h"
#include "hub/s3_internal.h"

enum chunk_state { CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_DATA, CHUNK_DATA_END, CHUNK_TRAILER };

#define UNSIGNED "UNSIGNED-PAYLOAD"
#define UNSIGNED_CHUNKED "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

static const char *head_header(const struct s3_head *head, const char *name)
{
    size_t i;

    for (i = 0; i < head->n_headers; i++)
        if (str_eq_nocase(head->headers[i].name, name))
            return head->headers[i].value;
    return NULL;
}

bool s3_is_request(const struct s3_head *head)
{
    const char *authorization = head_header(head, "Authorization");

    if (authorization != NULL)
        return strstr(authorization, "/s3/aws4_request") != NULL;
    return str_eq(head->method, "HEAD");
}

const char *s3_header(const struct s3_request *q, const char *name)
{
    size_t i;

    for (i = 0; i < q->n_headers; i++)
        if (str_eq_nocase(q->headers[i].name, name))
            return q->headers[i].value;
    return NULL;
}

/* ---- its address ---- */

bool s3_decode(const char *s, size_t n, char *ret, size_t size)
{
    size_t i, k = 0;

    for (i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];

        if (c == '%' && i + 2 < n + 0 && str_unhex((char[]){s[i + 1], s[i + 2], '\0'}, &c, 1))
            i += 2;
        if (k + 1 >= size || c == '\0')
            return false;
        ret[k++] = (char)c;
    }
    ret[k] = '\0';
    return true;
}

bool s3_query(const struct s3_request *q, const char *word, char *ret, size_t size)
{
    const char *p = q->query;
    size_t k = strlen(word);

    while (*p != '\0') {
        size_t n = strcspn(p, "&"), name = strcspn(p, "=&");

        if (name == k && strncmp(p, word, k) == 0) {
            const char *value = p + name + (p[name] == '=');

            if (ret != NULL && !s3_decode(value, n - (size_t)(value - p), ret, size))
                ret[0] = '\0';
            return true;
        }
        p += n;
        if (*p == '&')
            p++;
    }
    return false;
}

/* A host that begins with a bucket's name that exists, or that is longer than the hub's own. */
static bool is_virtual_host(struct s3_request *q, const char *host, char *ret_bucket, size_t size)
{
    const char *dot = strchr(host, '.');
    struct bucket_info info;
    size_t n = strcspn(host, ":");

    /* "127.0.0.1", "localhost", "s3.example": the service itself. */
    if (dot == NULL || (size_t)(dot - host) >= n || strspn(host, "0123456789.:") == strlen(host) ||
        host[0] == '[' || str_has_prefix(host, "s3."))
        return false;
    while (dot != NULL && (size_t)(dot - host) < n) { /* names may hold dots */
        size_t k = (size_t)(dot - host);

        if (k < size) {
            memcpy(ret_bucket, host, k);
            ret_bucket[k] = '\0';
            if (bucket_find(q->store, ret_bucket, &info, NULL) == 0)
                return true;
        }
        dot = strchr(dot + 1, '.');
    }
    n = strcspn(host, "."); /* none exists: its first label names the one that is missing */
    if (n >= size)
        return false;
    memcpy(ret_bucket, host, n);
    ret_bucket[n] = '\0';
    return true;
}

static void find_names(struct s3_request *q)
{
    const char *host = s3_header(q, "Host"), *p = q->path + (q->path[0] == '/');
    size_t n;

    if (host == NULL || !is_virtual_host(q, host, q->bucket, sizeof(q->bucket))) {
        n = strcspn(p, "/");
        if (!s3_decode(p, n, q->bucket, sizeof(q->bucket)))
            q->has_bad_name = true;
        p += n;
        if (*p == '/')
            p++;
    }
    if (!s3_decode(p, strlen(p), q->key, sizeof(q->key)) || !str_is_utf8(q->key, strlen(q->key)) ||
        !str_is_utf8(q->bucket, strlen(q->bucket)))
        q->has_bad_name = true;
}

/* ---- its body ---- */

/* The first failure stays in q->body_err, for the answer. */
static void keep(struct s3_request *q, const void *bytes, size_t n)
{
    int r = 0;

    if (q->body_err.code != 0)
        return;
    if (q->incoming.fd >= 0)
        r = incoming_add(&q->incoming, bytes, n, &q->body_err);
    else if (buf_add(&q->small, bytes, n) < 0)
        r = buf_error(&q->small, "body", &q->body_err);
    q->body_err.code = r;
}

static void break_chunks(struct s3_request *q)
{
    if (q->body_err.code == 0)
        (void)err_set(&q->body_err, ERR_INVALID, "The chunks of the body are broken.");
}

/* aws-chunked: "<size>[;extension]\r\n<bytes>\r\n" ... "0\r\n<trailers>\r\n". */
static void add_chunked(struct s3_request *q, const char *p, size_t n)
{
    while (n > 0) {
        size_t k = 1;

        switch ((enum chunk_state)q->chunk_state) {
        case CHUNK_SIZE:
            if ((*p == ';' || *p == '\r') && q->chunk_digits > 0) {
                q->chunk_state = CHUNK_EXTENSION;
            } else {
                unsigned char digit = 0;

                if (!str_unhex((char[]){'0', *p, '\0'}, &digit, 1) || q->chunk_left >> 40 != 0)
                    break_chunks(q);
                q->chunk_left = q->chunk_left * 16 + digit;
                q->chunk_digits = 1;
            }
            break;
        case CHUNK_EXTENSION:
            if (*p == '\n')
                q->chunk_state = q->chunk_left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
            break;
        case CHUNK_DATA:
            k = q->chunk_left < n ? (size_t)q->chunk_left : n;
            keep(q, p, k);
            q->chunk_left -= k;
            if (q->chunk_left == 0)
                q->chunk_state = CHUNK_DATA_END;
            break;
        case CHUNK_DATA_END:
            if (*p == '\n') {
                q->chunk_state = CHUNK_SIZE;
                q->chunk_digits = 0;
            } else if (*p != '\r') {
                break_chunks(q);
            }
            break;
        case CHUNK_TRAILER: /* its checksum repeats what TLS vouches for */
            break;
        }
        p += k;
        n -= k;
    }
}

void s3_request_add(struct s3_request *q, const void *bytes, size_t n)
{
    if (q->is_chunked)
        add_chunked(q, bytes, n);
    else
        keep(q, bytes, n);
}

/* ---- its signature ---- */

static const char *s3_name_of(const char *code)
{
    static const char *const names[][2] = {
        {"InvalidSignatureException", "SignatureDoesNotMatch"},
        {"UnrecognizedClientException", "InvalidAccessKeyId"},
        {"ExpiredTokenException", "ExpiredToken"},
        {"IncompleteSignatureException", "AuthorizationHeaderMalformed"},
        {"InternalServerError", "InternalError"},
    };
    size_t i;

    for (i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(names[i][0], code))
            return names[i][1];
    return "AccessDenied";
}

/* A body in chunks has its last one, and as many bytes as were promised. */
static bool is_whole(const struct s3_request *q)
{
    const char *promised = s3_header(q, "x-amz-decoded-content-length");
    int64_t n, len = q->incoming.fd >= 0 ? q->incoming.size : (int64_t)q->small.len;

    if (!q->is_chunked)
        return true;
    return q->chunk_state == CHUNK_TRAILER &&
           (promised == NULL || (str_to_i64(promised, 0, INT64_MAX, &n) && n == len));
}

/* True: the caller may. */
static bool check_body(struct s3_request *q, const char *claimed, struct s3_answer *a)
{
    const char *md5 = s3_header(q, "Content-MD5");

    if (q->body_err.code != 0) {
        s3_refuse_err(q, a, "NoSuchKey", &q->body_err);
        return false;
    }
    if (!is_whole(q)) {
        s3_refuse(q, a, 400, "IncompleteBody",
                  "The body ends before its last chunk, or is not as long as it says.");
        return false;
    }
    if (q->incoming.fd >= 0)
        incoming_digests(&q->incoming, q->body_sha256, q->body_md5, q->body_md5_base64);
    else
        sha256_hex_of(q->small.data, q->small.len, q->body_sha256);
    if (!str_eq(claimed, UNSIGNED) && !str_eq(claimed, UNSIGNED_CHUNKED) &&
        !str_eq(claimed, q->body_sha256)) {
        s3_refuse(q, a, 400, "XAmzContentSHA256Mismatch",
                  "The provided 'x-amz-content-sha256' header does not match what was computed.");
        return false;
    }
    if (md5 != NULL && q->incoming.fd >= 0 && !str_eq(md5, q->body_md5_base64)) {
        s3_refuse(q, a, 400, "BadDigest", "The Content-MD5 you specified did not match.");
        return false;
    }
    return true;
}

static bool check_date(struct s3_request *q, struct s3_answer *a)
{
    const char *date = s3_header(q, "x-amz-date");
    int64_t at;

    if (date == NULL || sigv4_parse_date(date, &at) < 0) {
        s3_refuse(q, a, 403, "AccessDenied", "The X-Amz-Date header is missing or malformed.");
        return false;
    }
    if (at - q->now_ms > 3 * AUTH_MAX_SKEW_MS || q->now_ms - at > 3 * AUTH_MAX_SKEW_MS) {
        s3_refuse(q, a, 403, "RequestTimeTooSkewed",
                  "The difference between the request time and the current time is too large.");
        return false;
    }
    return true;
}

static bool check_signature(struct s3_request *q, struct s3_answer *a)
{
    const char *authorization = s3_header(q, "Authorization");
    const char *claimed = s3_header(q, "x-amz-content-sha256"), *code = "InternalServerError";
    struct sigv4_authorization parts;
    struct auth_caller caller;
    struct bucket_info info;
    struct err err = {0};

    if (authorization == NULL || claimed == NULL) {
        s3_refuse(q, a, 403, "AccessDenied", "Access Denied");
        return false;
    }
    if (sigv4_parse_authorization(authorization, &parts, &err) < 0) {
        s3_refuse(q, a, 400, "AuthorizationHeaderMalformed", err.text);
        return false;
    }
    if (q->bucket[0] != '\0' && bucket_find(q->store, q->bucket, &info, NULL) == 0 &&
        !str_eq(info.region, parts.region)) {
        s3_refuse(q, a, 400, "AuthorizationHeaderMalformed",
                  "The authorization header is malformed; the region is wrong.");
        return false;
    }
    if (!check_date(q, a) || !check_body(q, claimed, a))
        return false;
    const struct auth_request to_check = {.region = parts.region,
                                          .service = "s3",
                                          .kind = AUTH_SIGNED,
                                          .method = q->method,
                                          .path = q->path,
                                          .query = q->query,
                                          .headers = q->headers,
                                          .n_headers = q->n_headers,
                                          .body_sha256 = claimed,
                                          .now_ms = q->now_ms};
    if (auth_check(q->keys, q->hub->store, &to_check, &caller, &code, &err) == 0)
        return true;
    s3_refuse(q, a, err.code == ERR_AUTH ? 403 : 500, s3_name_of(code), err.text);
    return false;
}

/* ---- answers ---- */

void s3_add_header(struct s3_answer *a, const char *name, const char *value)
{
    if (a->n_headers == S3_MAX_ANSWER_HEADERS || *value == '\0')
        return;
    (void)str_copy(a->headers[a->n_headers][0], sizeof(a->headers[0][0]), name); /* literals */
    (void)str_copy(a->headers[a->n_headers++][1], sizeof(a->headers[0][1]), value);
}

static void begin_answer(const struct s3_request *q, struct s3_answer *a)
{
    char id[UUID_SIZE];
    struct bucket_info info;

    *a = (struct s3_answer){.status = 200, .fd = -1};
    buf_init(&a->body, API_MAX_ANSWER_BYTES);
    ids_uuid4(id);
    s3_add_header(a, "x-amz-request-id", id);
    if (q->bucket[0] != '\0' && bucket_find(q->store, q->bucket, &info, NULL) == 0)
        s3_add_header(a, "x-amz-bucket-region", info.region);
}

void s3_refuse(struct s3_request *q, struct s3_answer *a, unsigned status, const char *code,
               const char *message)
{
    struct bucket_info info;

    a->status = status;
    (void)str_copy(a->error_code, sizeof(a->error_code), code); /* literals and fault rules: fit */
    buf_clear(&a->body);
    if (str_eq(q->method, "HEAD"))
        return;
    s3_begin_xml(&a->body);
    (void)buf_add_str(&a->body, "<Error>");
    s3_add_xml(&a->body, "Code", code);
    s3_add_xml(&a->body, "Message", message);
    s3_add_xml(&a->body, "BucketName", q->bucket);
    if (str_eq(code, "AuthorizationHeaderMalformed") &&
        bucket_find(q->store, q->bucket, &info, NULL) == 0)
        s3_add_xml(&a->body, "Region", info.region);
    s3_add_xml(&a->body, "RequestId", a->headers[0][1]);
    (void)buf_add_str(&a->body, "</Error>");
}

void s3_refuse_err(struct s3_request *q, struct s3_answer *a, const char *not_found,
                   const struct err *err)
{
    if (err->code == ERR_NOT_FOUND && str_eq(not_found, "NoSuchBucket"))
        s3_refuse(q, a, 404, not_found, "The specified bucket does not exist");
    else if (err->code == ERR_NOT_FOUND)
        s3_refuse(q, a, 404, not_found, err->text);
    else if (err->code == ERR_INVALID || err->code == ERR_LIMIT)
        s3_refuse(q, a, 400, "InvalidRequest", err->text);
    else
        s3_refuse(q, a, 500, "InternalError", err->text);
}

void s3_request_refuse(struct s3_request *q, unsigned status, const char *error_code,
                       const char *message, struct s3_answer *ret_answer)
{
    begin_answer(q, ret_answer);
    s3_refuse(q, ret_answer, status, error_code, message);
}

void s3_request_run(struct s3_request *q, int64_t now_ms, struct s3_answer *ret_answer)
{
    q->now_ms = now_ms;
    begin_answer(q, ret_answer);
    if (!check_signature(q, ret_answer))
        return;
    if (q->has_bad_name)
        s3_refuse(q, ret_answer, 400, "InvalidURI", "Bucket or key cannot be used.");
    else if (q->operation == NULL)
        s3_refuse(q, ret_answer, 501, "NotImplemented", "This hub does not do that.");
    else
        q->operation->run(q, ret_answer);
}

void s3_answer_done(struct s3_answer *a)
{
    buf_done(&a->body);
    if (a->fd >= 0)
        (void)close(a->fd); /* only read from */
    a->fd = -1;
}

/* ---- its life ---- */

static int copy_head(struct s3_request *q, const struct s3_head *head, struct err *err)
{
    const char *mark = strchr(head->target, '?');
    size_t i, n = mark != NULL ? (size_t)(mark - head->target) : strlen(head->target);

    if (n >= sizeof(q->path) || !str_copy(q->method, sizeof(q->method), head->method) ||
        !str_copy(q->query, sizeof(q->query), mark != NULL ? mark + 1 : ""))
        return err_set(err, ERR_LIMIT, "S3 request: its target is too long");
    memcpy(q->path, head->target, n);
    q->path[n] = '\0';
    q->headers = calloc(head->n_headers > 0 ? head->n_headers : 1, sizeof(*q->headers));
    if (q->headers == NULL)
        return err_set(err, ERR_NOMEM, "S3 request: out of memory");
    for (i = 0; i < head->n_headers; i++) {
        q->headers[i] =
            (struct header){strdup(head->headers[i].name), strdup(head->headers[i].value)};
        q->n_headers++;
        if (q->headers[i].name == NULL || q->headers[i].value == NULL)
            return err_set(err, ERR_NOMEM, "S3 request: out of memory");
    }
    return 0;
}

int s3_request_new(struct hub *hub, struct access_keys *keys, const struct s3_head *head,
                   struct s3_request **ret_request, struct err *err)
{
    struct s3_request *q = calloc(1, sizeof(*q));
    int r;

    if (q == NULL)
        return err_set(err, ERR_NOMEM, "S3 request: out of memory");
    q->hub = hub;
    q->keys = keys;
    q->store = hub->buckets;
    q->incoming.fd = -1;
    buf_init(&q->small, S3_MAX_SMALL_BODY);
    r = copy_head(q, head, err);
    if (r == 0) {
        find_names(q);
        q->operation = s3_find_operation(q);
        q->is_chunked = str_eq(s3_header(q, "x-amz-content-sha256"), UNSIGNED_CHUNKED);
        if (q->operation != NULL && q->operation->takes_file)
            r = incoming_begin(q->store, &q->incoming, err);
    }
    if (r < 0) {
        s3_request_free(q);
        return r;
    }
    *ret_request = q;
    return 0;
}

const char *s3_request_operation(const struct s3_request *q)
{
    return q->operation != NULL ? q->operation->name : "(unknown)";
}

void s3_request_free(struct s3_request *q)
{
    size_t i;

    if (q == NULL)
        return;
    incoming_drop(q->store, &q->incoming);
    for (i = 0; i < q->n_headers; i++) {
        free((char *)q->headers[i].name);
        free((char *)q->headers[i].value);
    }
    free(q->headers);
    buf_done(&q->small);
    free(q);
}
