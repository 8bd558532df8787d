/* One file on its way into S3: ask for the bucket's encryption, then one PUT, or parts.
 *
 *   ASK -> HASH -> SEND                                 up to 5 MiB
 *   ASK -> CREATE -> (HASH -> SEND)... -> COMPLETE      larger; ABORT when it fails
 *
 * Hashing runs in turns of the loop, one chunk each, so that nothing waits long for it. */
#include "transport/s3_put.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"
#include "base/str.h"
#include "transport/openssl.h"
#include "transport/s3_internal.h"

#define CHUNK_BYTES (64 << 10)
#define ETAG_SIZE 80
#define ACL "bucket-owner-full-control"
#define MAX_COMPLETE_BYTES (2u << 20)

enum put_stage { ASK, CREATE, HASH, SEND, COMPLETE, ABORT };

struct s3_put {
    struct s3 *s3; /* not to be used after the put was unlinked */
    struct s3_put *prev, *next;
    uv_timer_t timer;     /* each chunk's turn */
    struct s3_call *call; /* while one is under way */
    enum put_stage stage;
    char bucket[S3_MAX_BUCKET_BYTES + 1], key[S3_MAX_KEY_BYTES + 1], content_type[128];
    struct http_source source;
    int64_t len, offset, part_len, hashed;
    struct s3_encryption encryption;
    EVP_MD_CTX *sha256, *md5; /* owned; md5 NULL where the library forbids it */
    char sha256_hex[SHA256_HEX_SIZE], md5_base64[32];
    bool is_multipart;
    char upload_id[S3_UPLOAD_ID_SIZE];
    char (*etags)[ETAG_SIZE]; /* owned */
    unsigned n_parts;
    char *chunk; /* owned */
    /* Why it failed, kept while the parts are taken back. */
    struct err err;
    char error_code[128];
    long http_status;
    s3_done_fn done;
    void *ctx;
};

static void go_on(struct s3_put *put);

static void free_put(uv_handle_t *handle)
{
    struct s3_put *put = container_of((uv_timer_t *)(void *)handle, struct s3_put, timer);

    EVP_MD_CTX_free(put->sha256);
    EVP_MD_CTX_free(put->md5);
    free(put->etags);
    free(put->chunk);
    free(put);
}

static void unlink_put(struct s3_put *put)
{
    if (put->next != NULL)
        put->next->prev = put->prev;
    if (put->prev != NULL)
        put->prev->next = put->next;
    else
        put->s3->puts = put->next;
}

void s3_put_drop(struct s3_put *put)
{
    unlink_put(put);
    s3_cancel(put->call);
    uv_close((uv_handle_t *)&put->timer, free_put);
}

void s3_put_cancel(struct s3_put *put)
{
    if (put != NULL)
        s3_put_drop(put);
}

int64_t s3_put_done_bytes(const struct s3_put *put)
{
    return put->offset;
}

static void finish(struct s3_put *put, const struct s3_result *result)
{
    unlink_put(put); /* from here on the callback may close everything */
    put->done(put->ctx, result);
    uv_close((uv_handle_t *)&put->timer, free_put);
}

static void finish_failed(struct s3_put *put)
{
    const struct s3_result result = {.err = &put->err,
                                     .error_code = put->error_code,
                                     .http_status = put->http_status,
                                     .body = ""};

    finish(put, &result);
}

/* With `result` NULL the reason is in put->err. */
static void fail(struct s3_put *put, const struct s3_result *result)
{
    if (result != NULL) {
        put->err = *result->err;
        put->http_status = result->http_status;
        (void)str_copy(put->error_code, sizeof(put->error_code), result->error_code);
    }
    if (put->upload_id[0] == '\0') {
        finish_failed(put);
        return;
    }
    put->stage = ABORT;
    go_on(put);
}

static void on_turn(uv_timer_t *timer)
{
    go_on(container_of(timer, struct s3_put, timer));
}

static void turn_soon(struct s3_put *put)
{
    (void)uv_timer_start(&put->timer, on_turn, 0, 0); /* not closing */
}

static size_t put_headers(const struct s3_put *put, struct header headers[5])
{
    size_t n = 0;

    headers[n++] = (struct header){"Content-Type", put->content_type};
    headers[n++] = (struct header){"x-amz-acl", ACL};
    if (put->encryption.algorithm[0] != '\0')
        headers[n++] = (struct header){"x-amz-server-side-encryption", put->encryption.algorithm};
    if (put->encryption.key_id[0] != '\0')
        headers[n++] =
            (struct header){"x-amz-server-side-encryption-aws-kms-key-id", put->encryption.key_id};
    return n;
}

static void begin_part(struct s3_put *put)
{
    int64_t part = S3_PART_BYTES, left = put->len - put->offset;

    if (put->len > part * S3_MAX_PARTS)
        part = (put->len + S3_MAX_PARTS - 1) / S3_MAX_PARTS;
    put->part_len = put->is_multipart && left > part ? part : left;
    put->hashed = 0;
    put->stage = HASH;
    if (EVP_DigestInit_ex(put->sha256, EVP_sha256(), NULL) != 1) {
        (void)err_set(&put->err, ERR_NOMEM, "hash the file: out of memory");
        fail(put, NULL);
        return;
    }
    if (put->md5 != NULL && EVP_DigestInit_ex(put->md5, EVP_md5(), NULL) != 1) {
        EVP_MD_CTX_free(put->md5); /* FIPS: the header is optional, SHA-256 is not */
        put->md5 = NULL;
    }
    turn_soon(put);
}

static void on_asked(void *ctx, const struct s3_result *result)
{
    struct s3_put *put = ctx;

    put->call = NULL;
    if (result->err == NULL &&
        s3_xml_encryption(result->body, result->len, &put->encryption, NULL) < 0)
        put->encryption = (struct s3_encryption){0};
    if (str_eq(put->encryption.algorithm, "AES256"))
        put->encryption.key_id[0] = '\0';
    else if (!str_eq(put->encryption.algorithm, "aws:kms"))
        put->encryption = (struct s3_encryption){0};
    if (put->is_multipart) {
        put->stage = CREATE;
        go_on(put);
    } else {
        begin_part(put);
    }
}

static void on_created(void *ctx, const struct s3_result *result)
{
    struct s3_put *put = ctx;

    put->call = NULL;
    if (result->err != NULL) {
        fail(put, result);
    } else if (s3_xml_upload_id(result->body, result->len, put->upload_id, &put->err) < 0) {
        fail(put, NULL);
    } else {
        begin_part(put);
    }
}

/* True when all of the part is hashed. */
static bool hash_chunk(struct s3_put *put)
{
    int64_t left = put->part_len - put->hashed;
    size_t n = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
    ssize_t k = 0;

    if (n > 0) {
        do {
            k = put->source.read(put->source.ctx, put->chunk, n, put->offset + put->hashed);
        } while (k < 0 && errno == EINTR);
        if (k <= 0) {
            if (k < 0)
                (void)err_sys(&put->err, ERR_IO, errno, "read what is to be put into S3");
            else
                (void)err_set(&put->err, ERR_IO, "what is to be put into S3 became shorter");
            return false;
        }
        (void)EVP_DigestUpdate(put->sha256, put->chunk, (size_t)k); /* fails only uninitialised */
        if (put->md5 != NULL)
            (void)EVP_DigestUpdate(put->md5, put->chunk, (size_t)k);
        put->hashed += k;
    }
    return put->hashed == put->part_len;
}

static void end_hash(struct s3_put *put)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    (void)EVP_DigestFinal_ex(put->sha256, digest, &n); /* as above */
    str_hex(digest, n, put->sha256_hex);
    put->md5_base64[0] = '\0';
    if (put->md5 != NULL && EVP_DigestFinal_ex(put->md5, digest, &n) == 1)
        (void)EVP_EncodeBlock((unsigned char *)put->md5_base64, digest, (int)n);
}

static int complete_body(const struct s3_put *put, struct buf *body, struct err *err)
{
    unsigned i;

    (void)buf_add_str(body, "<CompleteMultipartUpload "
                            "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (i = 0; i < put->n_parts; i++) {
        const char *p;

        (void)buf_add_str(body, "<Part><ETag>");
        for (p = put->etags[i]; *p != '\0'; p++) {
            if (*p == '"')
                (void)buf_add_str(body, "&quot;");
            else if (*p != '<' && *p != '&')
                (void)buf_add_char(body, *p);
        }
        (void)buf_printf(body, "</ETag><PartNumber>%u</PartNumber></Part>", i + 1);
    }
    (void)buf_add_str(body, "</CompleteMultipartUpload>");
    return buf_error(body, "list of parts", err);
}

static void on_completed(void *ctx, const struct s3_result *result)
{
    struct s3_put *put = ctx;
    struct s3_error error;

    put->call = NULL;
    if (result->err != NULL) {
        fail(put, result);
        return;
    }
    s3_xml_error(result->body, result->len, &error); /* 200 is sent before the work is done */
    if (error.code[0] == '\0') {
        finish(put, result);
        return;
    }
    (void)err_set(&put->err, ERR_SERVER, "S3 POST %s: %s: %s", put->bucket, error.code,
                  error.message);
    (void)str_copy(put->error_code, sizeof(put->error_code), error.code);
    fail(put, NULL);
}

static void on_aborted(void *ctx, const struct s3_result *result)
{
    struct s3_put *put = ctx;

    (void)result; /* the first failure is what is told */
    put->call = NULL;
    finish_failed(put);
}

static int keep_etag(struct s3_put *put, const struct http_response *response, struct err *err)
{
    const char *etag = http_response_header(response, "ETag");

    if (etag == NULL || !str_copy(put->etags[put->n_parts], ETAG_SIZE, etag))
        return err_set(err, ERR_PROTOCOL, "S3 PUT %s: the answer has no usable ETag", put->bucket);
    put->n_parts++;
    return 0;
}

static void on_sent(void *ctx, const struct s3_result *result)
{
    struct s3_put *put = ctx;

    put->call = NULL;
    if (result->err != NULL) {
        fail(put, result);
        return;
    }
    put->offset += put->part_len;
    if (!put->is_multipart) {
        finish(put, result);
    } else if (keep_etag(put, result->response, &put->err) < 0) {
        fail(put, NULL);
    } else if (put->offset < put->len) {
        begin_part(put);
    } else {
        put->stage = COMPLETE;
        go_on(put);
    }
}

static int send_part(struct s3_put *put, struct err *err)
{
    struct header headers[6];
    char query[S3_UPLOAD_ID_SIZE * 3 + 64] = "";
    const struct http_source source = {put->source.read, put->source.ctx, put->offset,
                                       put->part_len};
    size_t n = 0;

    if (!put->is_multipart)
        n = put_headers(put, headers);
    if (put->md5_base64[0] != '\0')
        headers[n++] = (struct header){"Content-MD5", put->md5_base64};
    if (put->is_multipart) {
        AUTO(buf_done) struct buf id = {0};

        buf_init(&id, sizeof(query) - 64);
        s3_encode(&id, put->upload_id, false);
        (void)snprintf(query, sizeof(query), "partNumber=%u&uploadId=%s", put->n_parts + 1,
                       buf_str(&id));
    }
    const struct s3_request request = {.method = "PUT",
                                       .bucket = put->bucket,
                                       .key = put->key,
                                       .query = put->is_multipart ? query : NULL,
                                       .headers = headers,
                                       .n_headers = n,
                                       .source = &source,
                                       .body_sha256 = put->sha256_hex};
    return s3_start(put->s3, &request, on_sent, put, &put->call, err);
}

static int finish_parts(struct s3_put *put, bool is_complete, struct err *err)
{
    AUTO(buf_done) struct buf query = {0};
    AUTO(buf_done) struct buf body = {0};
    const struct header headers[] = {{"Content-Type", "application/xml"}};
    int r;

    buf_init(&query, sizeof(put->upload_id) * 3 + 16);
    buf_init(&body, MAX_COMPLETE_BYTES);
    (void)buf_add_str(&query, "uploadId=");
    s3_encode(&query, put->upload_id, false);
    r = is_complete ? complete_body(put, &body, err) : 0;
    if (r == 0)
        r = buf_error(&query, "S3 upload id", err);
    if (r < 0)
        return r;
    const struct s3_request request = {.method = is_complete ? "POST" : "DELETE",
                                       .bucket = put->bucket,
                                       .key = put->key,
                                       .query = query.data,
                                       .headers = headers,
                                       .n_headers = is_complete ? 1 : 0,
                                       .body = body.data,
                                       .body_len = body.len,
                                       .timeout_ms = is_complete ? 300000 : 0};
    return s3_start(put->s3, &request, is_complete ? on_completed : on_aborted, put, &put->call,
                    err);
}

static int start_call(struct s3_put *put, struct err *err)
{
    struct header headers[5];

    switch (put->stage) {
    case ASK: {
        const struct s3_request request = {
            .method = "GET", .bucket = put->bucket, .query = "encryption="};
        return s3_start(put->s3, &request, on_asked, put, &put->call, err);
    }
    case CREATE: {
        const struct s3_request request = {.method = "POST",
                                           .bucket = put->bucket,
                                           .key = put->key,
                                           .query = "uploads=",
                                           .headers = headers,
                                           .n_headers = put_headers(put, headers)};
        return s3_start(put->s3, &request, on_created, put, &put->call, err);
    }
    case SEND:
        return send_part(put, err);
    case COMPLETE:
    case ABORT:
        return finish_parts(put, put->stage == COMPLETE, err);
    case HASH:
        break;
    }
    return 0;
}

static void go_on(struct s3_put *put)
{
    struct err err = {0};
    int r;

    if (put->stage == HASH) {
        if (!hash_chunk(put)) {
            if (put->err.code != 0)
                fail(put, NULL);
            else
                turn_soon(put);
            return;
        }
        end_hash(put);
        put->stage = SEND;
    }
    r = start_call(put, &err);
    if (r == 0)
        return;
    if (put->stage == ABORT) {
        finish_failed(put);
        return;
    }
    put->err = err;
    fail(put, NULL);
}

int s3_put_start(struct s3 *s3, const struct s3_put_request *request, s3_done_fn done, void *ctx,
                 struct s3_put **ret_put, struct err *err)
{
    struct s3_put *put = calloc(1, sizeof(*put));
    bool is_multipart = request->source.len > S3_PART_BYTES;

    if (put == NULL)
        return err_set(err, ERR_NOMEM, "put a file into S3: out of memory");
    (void)uv_timer_init(s3->client.loop, &put->timer); /* cannot fail */
    put->chunk = malloc(CHUNK_BYTES);
    put->sha256 = EVP_MD_CTX_new();
    put->md5 = EVP_MD_CTX_new();
    if (is_multipart)
        put->etags = calloc((size_t)(request->source.len / S3_PART_BYTES + 1 < S3_MAX_PARTS
                                         ? request->source.len / S3_PART_BYTES + 1
                                         : S3_MAX_PARTS),
                            ETAG_SIZE);
    if (put->chunk == NULL || put->sha256 == NULL || (is_multipart && put->etags == NULL)) {
        uv_close((uv_handle_t *)&put->timer, free_put);
        return err_set(err, ERR_NOMEM, "put a file into S3: out of memory");
    }
    if (!str_copy(put->bucket, sizeof(put->bucket), request->bucket) ||
        !str_copy(put->key, sizeof(put->key), request->key) ||
        !str_copy(put->content_type, sizeof(put->content_type),
                  request->content_type != NULL ? request->content_type : "text/plain")) {
        uv_close((uv_handle_t *)&put->timer, free_put);
        return err_set(err, ERR_LIMIT, "S3 bucket \"%.100s\", key \"%.100s...\": too long",
                       request->bucket, request->key);
    }
    put->s3 = s3;
    put->source = request->source;
    put->len = request->source.len;
    put->is_multipart = is_multipart;
    put->done = done;
    put->ctx = ctx;
    put->next = s3->puts;
    if (put->next != NULL)
        put->next->prev = put;
    s3->puts = put;
    turn_soon(put);
    if (ret_put != NULL)
        *ret_put = put;
    return 0;
}
