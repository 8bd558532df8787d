/* S3's lists, as XML. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "hub/s3_internal.h"

#define XMLNS "http://s3.amazonaws.com/doc/2006-03-01/"
#define MAX_KEYS 1000

void s3_begin_xml(struct buf *b)
{
    (void)buf_add_str(b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"); /* buf_error() tells */
}

/* What XML cannot say, not even as a reference (other control characters, no UTF-8, U+FFFE and
 * U+FFFF), is a U+FFFD; who needs such a key exactly asks for it percent-encoded. */
static bool can_be_said(const char *text, size_t n)
{
    if (n == 1)
        return (unsigned char)*text >= ' ' || *text == '\t' || *text == '\n' || *text == '\r';
    return n > 1 && strncmp(text, "\xef\xbf\xbe", n) != 0 && strncmp(text, "\xef\xbf\xbf", n) != 0;
}

static void add_text(struct buf *b, const char *text)
{
    size_t left = strlen(text), n;

    for (; left > 0; text += n, left -= n) {
        n = str_utf8_len(text, left);
        if (!can_be_said(text, n))
            (void)buf_add_str(b, "\xef\xbf\xbd");
        else if (*text == '<')
            (void)buf_add_str(b, "&lt;");
        else if (*text == '>')
            (void)buf_add_str(b, "&gt;");
        else if (*text == '&')
            (void)buf_add_str(b, "&amp;");
        else if (*text == '"')
            (void)buf_add_str(b, "&quot;");
        else if ((unsigned char)*text < ' ')
            (void)buf_printf(b, "&#%d;", *text);
        else
            (void)buf_add(b, text, n);
        n = n > 0 ? n : 1;
    }
}

void s3_add_xml(struct buf *b, const char *element, const char *text)
{
    (void)buf_printf(b, "<%s>", element);
    add_text(b, text);
    (void)buf_printf(b, "</%s>", element);
}

/* What the client asked keys to be in: as they are, or percent-encoded. */
struct page_of_objects {
    struct s3_request *q;
    struct buf *b;
    char prefix[OBJECT_KEY_MAX + 1], delimiter[64], after[OBJECT_KEY_MAX + 1];
    bool is_v2, is_encoded;
    size_t max;
};

static void add_encoded(struct page_of_objects *p, const char *element, const char *key)
{
    (void)buf_printf(p->b, "<%s>", element);
    for (; *key != '\0'; key++) {
        unsigned char c = (unsigned char)*key;

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            strchr("-._~/", c) != NULL)
            (void)buf_add_char(p->b, (char)c);
        else
            (void)buf_printf(p->b, "%%%02X", c);
    }
    (void)buf_printf(p->b, "</%s>", element);
}

static void add_key(struct page_of_objects *p, const char *element, const char *key)
{
    if (p->is_encoded)
        add_encoded(p, element, key);
    else
        s3_add_xml(p->b, element, key);
}

static void add_object(struct page_of_objects *p, const struct object_info *o)
{
    char when[ISO_MS_SIZE], text[96];

    clock_format_iso_ms(o->modified_ms, when);
    (void)buf_add_str(p->b, "<Contents>");
    add_key(p, "Key", o->key);
    s3_add_xml(p->b, "LastModified", when);
    (void)snprintf(text, sizeof(text), "\"%s\"", o->etag);
    s3_add_xml(p->b, "ETag", text);
    (void)snprintf(text, sizeof(text), "%lld", (long long)o->size);
    s3_add_xml(p->b, "Size", text);
    (void)buf_add_str(p->b, "<StorageClass>STANDARD</StorageClass></Contents>");
}

/* The part of a key up to and with the first delimiter behind the prefix. */
static bool folder_of(const struct page_of_objects *p, const char *key, char *ret, size_t size)
{
    const char *found =
        p->delimiter[0] != '\0' ? strstr(key + strlen(p->prefix), p->delimiter) : NULL;
    size_t n;

    if (found == NULL)
        return false;
    n = (size_t)(found - key) + strlen(p->delimiter);
    if (n >= size)
        return false;
    memcpy(ret, key, n);
    ret[n] = '\0';
    return true;
}

static void add_page(struct page_of_objects *p, const struct object_info *list, size_t n)
{
    char folder[OBJECT_KEY_MAX + 1], last_folder[OBJECT_KEY_MAX + 1] = "";
    char last[OBJECT_KEY_MAX + 1] = "", text[32];
    size_t i, n_given = 0;
    bool is_truncated = false;

    for (i = 0; i < n; i++) {
        bool is_folder = folder_of(p, list[i].key, folder, sizeof(folder));
        const char *name = is_folder ? folder : list[i].key;

        if (strcmp(name, p->after) <= 0 || (is_folder && str_eq(folder, last_folder)))
            continue;
        if (n_given == p->max) {
            is_truncated = p->max > 0; /* else there would be no way on */
            break;
        }
        n_given++;
        (void)str_copy(last, sizeof(last), name); /* of the same size */
        if (is_folder) {
            (void)str_copy(last_folder, sizeof(last_folder), folder);
            (void)buf_add_str(p->b, "<CommonPrefixes>");
            add_key(p, "Prefix", folder);
            (void)buf_add_str(p->b, "</CommonPrefixes>");
        } else {
            add_object(p, &list[i]);
        }
    }
    (void)snprintf(text, sizeof(text), "%zu", n_given);
    if (p->is_v2)
        s3_add_xml(p->b, "KeyCount", text);
    s3_add_xml(p->b, "IsTruncated", is_truncated ? "true" : "false");
    if (is_truncated && p->is_v2)
        add_encoded(p, "NextContinuationToken", last);
    else if (is_truncated && p->delimiter[0] != '\0')
        add_key(p, "NextMarker", last);
}

void s3_list_objects(struct s3_request *q, struct s3_answer *a)
{
    struct page_of_objects p = {.q = q, .b = &a->body, .max = MAX_KEYS};
    AUTO(free) struct object_info *list = NULL;
    struct err err = {0};
    char text[64] = "", token[3 * OBJECT_KEY_MAX + 1];
    int64_t max;
    size_t n = 0;

    p.is_v2 = s3_query(q, "list-type", text, sizeof(text)) && str_eq(text, "2");
    p.is_encoded = s3_query(q, "encoding-type", text, sizeof(text)) && str_eq(text, "url");
    (void)s3_query(q, "prefix", p.prefix, sizeof(p.prefix)); /* absent: "" */
    (void)s3_query(q, "delimiter", p.delimiter, sizeof(p.delimiter));
    if (!p.is_v2)
        (void)s3_query(q, "marker", p.after, sizeof(p.after));
    else if (!s3_query(q, "continuation-token", token, sizeof(token)))
        (void)s3_query(q, "start-after", p.after, sizeof(p.after));
    else if (!s3_decode(token, strlen(token), p.after, sizeof(p.after)))
        p.after[0] = '\0';
    if (s3_query(q, "max-keys", text, sizeof(text)) && str_to_i64(text, 0, MAX_KEYS, &max))
        p.max = (size_t)max;
    if (object_list(q->store, q->bucket, p.prefix, &list, &n, &err) < 0) {
        s3_refuse_err(q, a, "NoSuchBucket", &err);
        return;
    }
    s3_begin_xml(p.b);
    (void)buf_add_str(p.b, "<ListBucketResult xmlns=\"" XMLNS "\">");
    s3_add_xml(p.b, "Name", q->bucket);
    add_key(&p, "Prefix", p.prefix);
    if (p.delimiter[0] != '\0')
        add_key(&p, "Delimiter", p.delimiter);
    if (p.is_encoded)
        s3_add_xml(p.b, "EncodingType", "url");
    (void)snprintf(text, sizeof(text), "%zu", p.max);
    s3_add_xml(p.b, "MaxKeys", text);
    add_page(&p, list, n);
    (void)buf_add_str(p.b, "</ListBucketResult>");
}

struct bucket_lines {
    struct s3_request *q;
    struct buf *b;
};

static int add_bucket(void *ctx, const char *bucket, struct err *err)
{
    struct bucket_lines *l = ctx;
    struct bucket_info info;
    char when[ISO_MS_SIZE];
    int r = bucket_find(l->q->store, bucket, &info, err);

    if (r < 0)
        return r;
    clock_format_iso_ms(info.created_ms, when);
    (void)buf_add_str(l->b, "<Bucket>");
    s3_add_xml(l->b, "Name", bucket);
    s3_add_xml(l->b, "CreationDate", when);
    (void)buf_add_str(l->b, "</Bucket>");
    return 0;
}

void s3_list_buckets(struct s3_request *q, struct s3_answer *a)
{
    struct bucket_lines lines = {q, &a->body};
    struct err err = {0};

    s3_begin_xml(&a->body);
    (void)buf_add_str(&a->body, "<ListAllMyBucketsResult xmlns=\"" XMLNS "\"><Owner><ID>" ACCOUNT_ID
                                "</ID></Owner><Buckets>");
    if (bucket_each(q->store, add_bucket, &lines, &err) < 0) {
        s3_refuse_err(q, a, "NoSuchBucket", &err);
        return;
    }
    (void)buf_add_str(&a->body, "</Buckets></ListAllMyBucketsResult>");
}
