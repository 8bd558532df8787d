/* The operations of S3 that the hub does, and the table that finds them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "hub/s3_internal.h"

/* ---- helpers ---- */

static bool has_bucket(struct s3_request *q, struct s3_answer *a, struct bucket_info *ret_info)
{
    struct err err = {0};

    if (bucket_find(q->store, q->bucket, ret_info, &err) == 0)
        return true;
    s3_refuse_err(q, a, "NoSuchBucket", &err);
    return false;
}

static void add_etag(struct s3_answer *a, const char *etag)
{
    char quoted[80];

    (void)snprintf(quoted, sizeof(quoted), "\"%s\"", etag); /* fits */
    s3_add_header(a, "ETag", quoted);
}

static void add_encryption(struct s3_answer *a, const struct object_info *o)
{
    s3_add_header(a, "x-amz-server-side-encryption", o->algorithm);
    s3_add_header(a, "x-amz-server-side-encryption-aws-kms-key-id", o->key_id);
}

/* The text between <element> and </element> from *p on, which moves behind it. The clients' XML is
 * flat and without attributes there; whatever else it is gives no text. */
static bool next_text(const char **p, const char *element, char *ret, size_t size)
{
    char open[64], close[64];
    const char *begin, *end;
    size_t k = 0;

    (void)snprintf(open, sizeof(open), "<%s>", element); /* fit */
    (void)snprintf(close, sizeof(close), "</%s>", element);
    begin = strstr(*p, open);
    end = begin != NULL ? strstr(begin, close) : NULL;
    if (end == NULL)
        return false;
    *p = end + strlen(close);
    for (begin += strlen(open); begin < end && k + 1 < size; k++) {
        if (str_has_prefix(begin, "&quot;")) {
            ret[k] = '"';
            begin += strlen("&quot;");
        } else {
            ret[k] = *begin++;
        }
    }
    ret[k] = '\0';
    return true;
}

/* What a new object is told by its headers. */
static void describe_object(const struct s3_request *q, const struct bucket_info *bucket,
                            struct object_info *o)
{
    static const struct {
        const char *header;
        size_t offset, size;
    } rows[] = {
        {"Content-Type", offsetof(struct object_info, content_type), sizeof(o->content_type)},
        {"x-amz-acl", offsetof(struct object_info, acl), sizeof(o->acl)},
        {"x-amz-server-side-encryption", offsetof(struct object_info, algorithm),
         sizeof(o->algorithm)},
        {"x-amz-server-side-encryption-aws-kms-key-id", offsetof(struct object_info, key_id),
         sizeof(o->key_id)},
    };
    size_t i;

    *o = (struct object_info){.size = 0};
    (void)str_copy(o->key, sizeof(o->key), q->key); /* of the same size */
    for (i = 0; i < ARRAY_LEN(rows); i++) {
        const char *value = s3_header(q, rows[i].header);

        (void)str_copy((char *)o + rows[i].offset, rows[i].size, value != NULL ? value : "");
    }
    if (o->content_type[0] == '\0')
        (void)str_copy(o->content_type, sizeof(o->content_type), "binary/octet-stream");
    if (o->algorithm[0] == '\0') {
        (void)str_copy(o->algorithm, sizeof(o->algorithm), bucket->algorithm);
        (void)str_copy(o->key_id, sizeof(o->key_id), bucket->key_id);
    }
}

/* ---- buckets ---- */

static void create_bucket(struct s3_request *q, struct s3_answer *a)
{
    const char *body = buf_str(&q->small);
    char region[101] = "";
    struct err err = {0};
    int r;

    if (!next_text(&body, "LocationConstraint", region, sizeof(region)))
        (void)str_copy(region, sizeof(region), q->hub->region); /* fits */
    r = bucket_create(q->store, q->bucket, region, &err);
    if (r == ERR_EXISTS)
        s3_refuse(q, a, 409, "BucketAlreadyOwnedByYou", err.text);
    else if (r == ERR_INVALID)
        s3_refuse(q, a, 400, "InvalidBucketName", err.text);
    else if (r < 0)
        s3_refuse_err(q, a, "NoSuchBucket", &err);
    else
        s3_add_header(a, "Location", q->path);
}

static void head_bucket(struct s3_request *q, struct s3_answer *a)
{
    struct bucket_info info;

    (void)has_bucket(q, a, &info); /* which has said it */
}

static void delete_bucket(struct s3_request *q, struct s3_answer *a)
{
    struct bucket_info info;
    struct err err = {0};

    if (!has_bucket(q, a, &info))
        return;
    a->status = 204;
    if (bucket_delete(q->store, q->bucket, &err) == ERR_STATE)
        s3_refuse(q, a, 409, "BucketNotEmpty", err.text);
    else if (err.code != 0)
        s3_refuse_err(q, a, "NoSuchBucket", &err);
}

static void get_location(struct s3_request *q, struct s3_answer *a)
{
    struct bucket_info info;

    if (!has_bucket(q, a, &info))
        return;
    s3_begin_xml(&a->body);
    s3_add_xml(&a->body, "LocationConstraint", str_eq(info.region, "us-east-1") ? "" : info.region);
}

static void get_encryption(struct s3_request *q, struct s3_answer *a)
{
    struct bucket_info info;

    if (!has_bucket(q, a, &info))
        return;
    if (info.algorithm[0] == '\0') {
        s3_refuse(q, a, 404, "ServerSideEncryptionConfigurationNotFoundError",
                  "The server side encryption configuration was not found");
        return;
    }
    s3_begin_xml(&a->body);
    (void)buf_add_str(&a->body, "<ServerSideEncryptionConfiguration><Rule>"
                                "<ApplyServerSideEncryptionByDefault>");
    s3_add_xml(&a->body, "SSEAlgorithm", info.algorithm);
    if (info.key_id[0] != '\0')
        s3_add_xml(&a->body, "KMSMasterKeyID", info.key_id);
    (void)buf_add_str(&a->body, "</ApplyServerSideEncryptionByDefault></Rule>"
                                "</ServerSideEncryptionConfiguration>");
}

static void put_encryption(struct s3_request *q, struct s3_answer *a)
{
    const char *body = buf_str(&q->small), *again = body;
    char algorithm[32] = "", key_id[512] = "";
    struct bucket_info info;
    struct err err = {0};

    if (!has_bucket(q, a, &info))
        return;
    (void)next_text(&again, "KMSMasterKeyID", key_id, sizeof(key_id)); /* may be missing */
    if (!next_text(&body, "SSEAlgorithm", algorithm, sizeof(algorithm)))
        s3_refuse(q, a, 400, "MalformedXML", "The XML you provided was not well-formed.");
    else if (bucket_set_encryption(q->store, q->bucket, algorithm, key_id, &err) < 0)
        s3_refuse_err(q, a, "NoSuchBucket", &err);
}

/* ---- objects ---- */

static void put_object(struct s3_request *q, struct s3_answer *a)
{
    struct bucket_info info;
    struct object_info o;
    struct err err = {0};

    if (!has_bucket(q, a, &info))
        return;
    if (s3_header(q, "x-amz-copy-source") != NULL) {
        s3_refuse(q, a, 501, "NotImplemented", "This hub does not copy objects.");
        return;
    }
    describe_object(q, &info, &o);
    (void)str_copy(o.etag, sizeof(o.etag), q->body_md5); /* fits */
    if (incoming_to_object(q->store, &q->incoming, q->bucket, &o, &err) < 0) {
        s3_refuse_err(q, a, "NoSuchBucket", &err);
        return;
    }
    add_etag(a, o.etag);
    add_encryption(a, &o);
}

/* "bytes=a-b", "bytes=a-", "bytes=-n". False: none that can be served; the whole is sent then. */
static bool parse_range(const char *range, int64_t size, int64_t *ret_from, int64_t *ret_len)
{
    char first[24] = "", last[24] = "";
    int64_t from, to = size - 1;
    size_t n;

    if (range == NULL || !str_has_prefix(range, "bytes="))
        return false;
    range += strlen("bytes=");
    n = strcspn(range, "-");
    if (range[n] != '-' || n >= sizeof(first) || !str_copy(last, sizeof(last), range + n + 1))
        return false;
    memcpy(first, range, n);
    if (n == 0) {
        if (!str_to_i64(last, 1, INT64_MAX, &from))
            return false;
        from = from < size ? size - from : 0;
    } else if (!str_to_i64(first, 0, INT64_MAX, &from) ||
               (last[0] != '\0' && !str_to_i64(last, from, INT64_MAX, &to))) {
        return false;
    }
    if (to > size - 1)
        to = size - 1;
    if (from > to)
        return false;
    *ret_from = from;
    *ret_len = to - from + 1;
    return true;
}

static void tell_time(struct s3_answer *a, int64_t unix_ms)
{
    time_t at = (time_t)(unix_ms / 1000);
    char text[64];
    struct tm tm;

    if (gmtime_r(&at, &tm) != NULL &&
        strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0)
        s3_add_header(a, "Last-Modified", text);
}

static void get_object(struct s3_request *q, struct s3_answer *a)
{
    const char *none_match = s3_header(q, "If-None-Match");
    struct bucket_info info;
    struct object_info o;
    struct err err = {0};
    char text[128];

    if (!has_bucket(q, a, &info))
        return;
    if (object_find(q->store, q->bucket, q->key, &o, &a->fd, &err) < 0) {
        (void)str_copy(err.text, sizeof(err.text), "The specified key does not exist.");
        s3_refuse_err(q, a, "NoSuchKey", &err);
        return;
    }
    add_etag(a, o.etag);
    tell_time(a, o.modified_ms);
    s3_add_header(a, "Content-Type", o.content_type);
    s3_add_header(a, "Accept-Ranges", "bytes");
    add_encryption(a, &o);
    a->len = o.size;
    (void)snprintf(text, sizeof(text), "\"%s\"", o.etag);
    if (none_match != NULL && str_eq(none_match, text)) {
        a->status = 304;
        a->len = 0;
    } else if (parse_range(s3_header(q, "Range"), o.size, &a->offset, &a->len)) {
        a->status = 206;
        (void)snprintf(text, sizeof(text), "bytes %lld-%lld/%lld", (long long)a->offset,
                       (long long)(a->offset + a->len - 1), (long long)o.size);
        s3_add_header(a, "Content-Range", text);
    }
}

static void delete_object(struct s3_request *q, struct s3_answer *a)
{
    struct bucket_info info;
    struct err err = {0};

    a->status = 204;
    if (has_bucket(q, a, &info) && object_delete(q->store, q->bucket, q->key, &err) < 0)
        s3_refuse_err(q, a, "NoSuchBucket", &err);
}

static void list_objects(struct s3_request *q, struct s3_answer *a)
{
    struct bucket_info info;

    if (has_bucket(q, a, &info))
        s3_list_objects(q, a);
}

/* ---- in parts ---- */

static void create_upload(struct s3_request *q, struct s3_answer *a)
{
    struct bucket_info info;
    struct object_info o;
    struct err err = {0};
    char id[37];

    if (!has_bucket(q, a, &info))
        return;
    describe_object(q, &info, &o);
    if (upload_create(q->store, &o, q->bucket, id, &err) < 0) {
        s3_refuse_err(q, a, "NoSuchBucket", &err);
        return;
    }
    s3_begin_xml(&a->body);
    (void)buf_add_str(&a->body, "<InitiateMultipartUploadResult>");
    s3_add_xml(&a->body, "Bucket", q->bucket);
    s3_add_xml(&a->body, "Key", q->key);
    s3_add_xml(&a->body, "UploadId", id);
    (void)buf_add_str(&a->body, "</InitiateMultipartUploadResult>");
}

static void upload_part(struct s3_request *q, struct s3_answer *a)
{
    char id[64] = "", number[16] = "";
    struct err err = {0};
    int64_t part;

    (void)s3_query(q, "uploadId", id, sizeof(id));
    (void)s3_query(q, "partNumber", number, sizeof(number));
    if (!str_to_i64(number, 1, S3_MAX_PARTS, &part))
        s3_refuse(q, a, 400, "InvalidArgument", "Part number must be from 1 to 10000.");
    else if (upload_put_part(q->store, &q->incoming, id, (unsigned)part, q->body_md5, &err) < 0)
        s3_refuse_err(q, a, "NoSuchUpload", &err);
    else
        add_etag(a, q->body_md5);
}

static size_t parse_parts(const char *body, struct object_info *parts)
{
    char etag[80], number[16];
    const char *next;
    size_t n = 0;

    while (n < S3_MAX_PARTS && (body = strstr(body, "<Part>")) != NULL) {
        const char *p = body;
        size_t k = 0, i;

        next = body;
        if (!next_text(&p, "ETag", etag, sizeof(etag)) ||
            !next_text(&next, "PartNumber", number, sizeof(number)) ||
            !str_to_i64(number, 1, S3_MAX_PARTS, &parts[n].size))
            return 0;
        for (i = 0; etag[i] != '\0' && k + 1 < sizeof(parts[n].etag); i++)
            if (etag[i] != '"')
                parts[n].etag[k++] = etag[i];
        parts[n++].etag[k] = '\0';
        body += strlen("<Part>");
    }
    return n;
}

static void complete_upload(struct s3_request *q, struct s3_answer *a)
{
    AUTO(free) struct object_info *parts = calloc(S3_MAX_PARTS, sizeof(*parts));
    struct object_info o;
    struct err err = {0};
    char id[64] = "", etag[80];
    size_t n;
    int r;

    if (parts == NULL) {
        s3_refuse(q, a, 500, "InternalError", "out of memory");
        return;
    }
    n = parse_parts(buf_str(&q->small), parts);
    (void)s3_query(q, "uploadId", id, sizeof(id));
    if (n == 0) {
        s3_refuse(q, a, 400, "MalformedXML", "The XML you provided was not well-formed.");
        return;
    }
    r = upload_complete(q->store, id, q->bucket, parts, n, &o, &err);
    if (r == ERR_INVALID)
        s3_refuse(q, a, 400, "InvalidPart", err.text);
    else if (r < 0)
        s3_refuse_err(q, a, "NoSuchUpload", &err);
    if (r < 0)
        return;
    (void)snprintf(etag, sizeof(etag), "\"%s\"", o.etag);
    s3_begin_xml(&a->body);
    (void)buf_add_str(&a->body, "<CompleteMultipartUploadResult>");
    s3_add_xml(&a->body, "Bucket", q->bucket);
    s3_add_xml(&a->body, "Key", q->key);
    s3_add_xml(&a->body, "ETag", etag);
    (void)buf_add_str(&a->body, "</CompleteMultipartUploadResult>");
}

static void abort_upload(struct s3_request *q, struct s3_answer *a)
{
    struct err err = {0};
    char id[64] = "";

    (void)s3_query(q, "uploadId", id, sizeof(id));
    a->status = 204;
    if (upload_abort(q->store, id, &err) < 0)
        s3_refuse_err(q, a, "NoSuchUpload", &err);
}

/* ---- the table: the first row that fits ---- */

static const struct s3_operation operations[] = {
    /* name, method, bucket, key, word of the query, file */
    {"ListBuckets", "GET", false, false, NULL, false, s3_list_buckets},
    {"PutBucketEncryption", "PUT", true, false, "encryption", false, put_encryption},
    {"CreateBucket", "PUT", true, false, NULL, false, create_bucket},
    {"HeadBucket", "HEAD", true, false, NULL, false, head_bucket},
    {"DeleteBucket", "DELETE", true, false, NULL, false, delete_bucket},
    {"GetBucketLocation", "GET", true, false, "location", false, get_location},
    {"GetBucketEncryption", "GET", true, false, "encryption", false, get_encryption},
    {"ListObjects", "GET", true, false, NULL, false, list_objects},
    {"UploadPart", "PUT", true, true, "uploadId", true, upload_part},
    {"PutObject", "PUT", true, true, NULL, true, put_object},
    {"HeadObject", "HEAD", true, true, NULL, false, get_object},
    {"GetObject", "GET", true, true, NULL, false, get_object},
    {"AbortMultipartUpload", "DELETE", true, true, "uploadId", false, abort_upload},
    {"DeleteObject", "DELETE", true, true, NULL, false, delete_object},
    {"CreateMultipartUpload", "POST", true, true, "uploads", false, create_upload},
    {"CompleteMultipartUpload", "POST", true, true, "uploadId", false, complete_upload},
};

/* Words that make it something else than the row without a word. */
static bool has_unknown_word(const struct s3_request *q)
{
    static const char *const words[] = {"acl",     "policy",     "tagging", "versioning",
                                        "cors",    "lifecycle",  "logging", "delete",
                                        "website", "versions",   "uploads", "object-lock",
                                        "torrent", "attributes", "select",  "restore"};
    size_t i;

    for (i = 0; i < ARRAY_LEN(words); i++)
        if (s3_query(q, words[i], NULL, 0))
            return true;
    return false;
}

const struct s3_operation *s3_find_operation(const struct s3_request *q)
{
    size_t i;

    for (i = 0; i < ARRAY_LEN(operations); i++) {
        const struct s3_operation *o = &operations[i];

        if (!str_eq(o->method, q->method) || o->has_bucket != (q->bucket[0] != '\0') ||
            o->has_key != (q->key[0] != '\0'))
            continue;
        if (o->word != NULL ? s3_query(q, o->word, NULL, 0) : !has_unknown_word(q))
            return o;
    }
    return NULL;
}
