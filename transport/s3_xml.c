/* One walk over a document with expat: whenever an element ends, its path ("/Error/Code") and its
 * text are handed to the reader of that document. */
#include "transport/s3_xml.h"

#include <expat.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define MAX_PATH_BYTES 512
#define MAX_TEXT_BYTES 8192
#define MAX_OBJECTS 10000 /* S3 sends at most 1000 a page; other makes send more */

struct walk {
    XML_Parser parser;
    char path[MAX_PATH_BYTES];
    size_t depth;
    struct buf text; /* of the innermost element */
    /* 0, or negative to stop. */
    int (*on_begin)(void *ctx, const char *path, struct err *err); /* may be NULL */
    int (*on_end)(void *ctx, const char *path, const char *text, struct err *err);
    void *ctx;
    struct err err; /* why it was stopped */
};

static void stop(struct walk *w, int code, const char *why)
{
    if (w->err.code == 0)
        (void)err_set(&w->err, code, "S3's XML: %s", why);
    (void)XML_StopParser(w->parser, XML_FALSE); /* fails only when it is stopped already */
}

static void XMLCALL on_start(void *ctx, const XML_Char *name, const XML_Char **attributes)
{
    struct walk *w = ctx;
    size_t n = strlen(w->path), k = strlen(name);

    (void)attributes;
    if (w->err.code != 0)
        return;
    if (w->depth == S3_MAX_XML_DEPTH || n + k + 2 > sizeof(w->path)) {
        stop(w, ERR_LIMIT, "its elements are nested too deep");
        return;
    }
    w->depth++;
    w->path[n] = '/';
    memcpy(w->path + n + 1, name, k + 1);
    buf_clear(&w->text);
    if (w->on_begin != NULL && w->on_begin(w->ctx, w->path, &w->err) < 0)
        stop(w, ERR_PROTOCOL, "refused");
}

static void XMLCALL on_end(void *ctx, const XML_Char *name)
{
    struct walk *w = ctx;

    (void)name;
    if (w->err.code != 0)
        return;
    if (w->on_end(w->ctx, w->path, buf_str(&w->text), &w->err) < 0) {
        stop(w, ERR_PROTOCOL, "refused");
        return;
    }
    w->depth--;
    *strrchr(w->path, '/') = '\0';
    buf_clear(&w->text);
}

static void XMLCALL on_text(void *ctx, const XML_Char *text, int n)
{
    struct walk *w = ctx;

    if (w->err.code == 0 && buf_add(&w->text, text, (size_t)n) < 0)
        stop(w, w->text.failed,
             w->text.failed == ERR_NOMEM ? "out of memory" : "a text in it is too long");
}

static void XMLCALL on_doctype(void *ctx, const XML_Char *name, const XML_Char *system_id,
                               const XML_Char *public_id, int has_subset)
{
    (void)name;
    (void)system_id;
    (void)public_id;
    (void)has_subset;
    stop(ctx, ERR_PROTOCOL, "it has a document type, which S3 never sends");
}

static int walk(struct walk *w, const char *body, size_t n, struct err *err)
{
    enum XML_Status status;
    int r = 0;

    if (n > S3_MAX_XML_BYTES)
        return err_set(err, ERR_LIMIT, "S3's XML is larger than %u bytes", S3_MAX_XML_BYTES);
    w->parser = XML_ParserCreate(NULL);
    if (w->parser == NULL)
        return err_set(err, ERR_NOMEM, "S3's XML: out of memory");
    buf_init(&w->text, MAX_TEXT_BYTES);
    XML_SetUserData(w->parser, w);
    XML_SetElementHandler(w->parser, on_start, on_end);
    XML_SetCharacterDataHandler(w->parser, on_text);
    XML_SetStartDoctypeDeclHandler(w->parser, on_doctype);
    status = XML_Parse(w->parser, body, (int)n, 1);
    if (w->err.code != 0) {
        r = w->err.code;
        if (err != NULL)
            *err = w->err;
    } else if (status != XML_STATUS_OK) {
        r = err_set(err, ERR_PROTOCOL, "S3's XML, line %lu: %s",
                    (unsigned long)XML_GetCurrentLineNumber(w->parser),
                    XML_ErrorString(XML_GetErrorCode(w->parser)));
    }
    buf_done(&w->text);
    XML_ParserFree(w->parser);
    return r;
}

static int error_end(void *ctx, const char *path, const char *text, struct err *err)
{
    struct s3_error *e = ctx;

    (void)err;
    if (str_eq(path, "/Error/Code"))
        (void)str_copy(e->code, sizeof(e->code), text); /* for people and tables; may be cut */
    else if (str_eq(path, "/Error/Message"))
        (void)str_copy(e->message, sizeof(e->message), text);
    else if (str_eq(path, "/Error/Region") && s3_is_region(text))
        (void)str_copy(e->region, sizeof(e->region), text);
    else if (str_eq(path, "/Error/Endpoint"))
        (void)str_copy(e->endpoint, sizeof(e->endpoint), text);
    return 0;
}

void s3_xml_error(const char *body, size_t n, struct s3_error *ret_error)
{
    struct walk w = {.on_end = error_end, .ctx = ret_error};

    memset(ret_error, 0, sizeof(*ret_error));
    if (walk(&w, body, n, NULL) < 0)
        memset(ret_error, 0, sizeof(*ret_error)); /* a page of something in between */
}

struct list_reader {
    struct s3_list list;
    size_t cap;
    bool is_list;
};

static int add_object(struct list_reader *l, bool is_prefix, struct err *err)
{
    if (l->list.n_objects == MAX_OBJECTS)
        return err_set(err, ERR_LIMIT, "S3's list has more than %d objects on one page",
                       MAX_OBJECTS);
    if (l->list.n_objects == l->cap) {
        size_t cap = l->cap > 0 ? 2 * l->cap : 64;
        struct s3_object *more = realloc(l->list.objects, cap * sizeof(*more));

        if (more == NULL)
            return err_set(err, ERR_NOMEM, "S3's list: out of memory");
        l->list.objects = more;
        l->cap = cap;
    }
    l->list.objects[l->list.n_objects++] = (struct s3_object){.is_prefix = is_prefix};
    return 0;
}

static int list_begin(void *ctx, const char *path, struct err *err)
{
    struct list_reader *l = ctx;

    if (str_eq(path, "/ListBucketResult"))
        l->is_list = true;
    else if (str_eq(path, "/ListBucketResult/Contents"))
        return add_object(l, false, err);
    else if (str_eq(path, "/ListBucketResult/CommonPrefixes"))
        return add_object(l, true, err);
    return 0;
}

static int keep_text(char **slot, const char *text, struct err *err)
{
    char *copy = strdup(text);

    if (copy == NULL)
        return err_set(err, ERR_NOMEM, "S3's list: out of memory");
    free(*slot);
    *slot = copy;
    return 0;
}

static int list_end(void *ctx, const char *path, const char *text, struct err *err)
{
    struct list_reader *l = ctx;
    struct s3_object *o = l->list.n_objects > 0 ? &l->list.objects[l->list.n_objects - 1] : NULL;

    if (str_eq(path, "/ListBucketResult/IsTruncated"))
        l->list.is_truncated = str_eq(text, "true");
    else if (str_eq(path, "/ListBucketResult/NextContinuationToken") ||
             str_eq(path, "/ListBucketResult/NextMarker"))
        return keep_text(&l->list.next, text, err);
    else if (o == NULL) /* its begin added one: nothing of an object has come yet */
        return 0;
    else if (str_eq(path, "/ListBucketResult/Contents/Key") ||
             str_eq(path, "/ListBucketResult/CommonPrefixes/Prefix"))
        return keep_text(&o->key, text, err);
    else if (str_eq(path, "/ListBucketResult/Contents/Size") &&
             !str_to_i64(text, 0, INT64_MAX, &o->size_bytes))
        return err_set(err, ERR_PROTOCOL, "S3's list: a size is \"%.40s\"", text);
    return 0;
}

/* Without a delimiter, version 1 names no marker: the last key is it. */
static int end_list(struct list_reader *l, struct err *err)
{
    size_t i;

    if (!l->is_list)
        return err_set(err, ERR_PROTOCOL, "S3's answer is not a ListBucketResult");
    for (i = 0; i < l->list.n_objects; i++) {
        if (l->list.objects[i].key == NULL)
            return err_set(err, ERR_PROTOCOL, "S3's list: an object without a key");
    }
    if (!l->list.is_truncated || l->list.next != NULL)
        return 0;
    for (i = l->list.n_objects; i-- > 0;) {
        if (!l->list.objects[i].is_prefix)
            return keep_text(&l->list.next, l->list.objects[i].key, err);
    }
    return err_set(err, ERR_PROTOCOL, "S3's list goes on, but does not say where");
}

int s3_xml_list(const char *body, size_t n, struct s3_list *ret_list, struct err *err)
{
    struct list_reader l = {0};
    struct walk w = {.on_begin = list_begin, .on_end = list_end, .ctx = &l};
    int r = walk(&w, body, n, err);

    if (r == 0)
        r = end_list(&l, err);
    if (r < 0) {
        s3_list_done(&l.list);
        return r;
    }
    *ret_list = l.list;
    return 0;
}

void s3_list_done(struct s3_list *list)
{
    size_t i;

    for (i = 0; i < list->n_objects; i++)
        free(list->objects[i].key);
    free(list->objects);
    free(list->next);
    *list = (struct s3_list){0};
}

struct encryption_reader {
    struct s3_encryption encryption;
    unsigned n_rules;
};

#define ENCRYPTION "/ServerSideEncryptionConfiguration"

static int encryption_begin(void *ctx, const char *path, struct err *err)
{
    struct encryption_reader *e = ctx;

    (void)err;
    e->n_rules += str_eq(path, ENCRYPTION "/Rule");
    return 0;
}

static int encryption_end(void *ctx, const char *path, const char *text, struct err *err)
{
    struct encryption_reader *e = ctx;
    static const char by_default[] = ENCRYPTION "/Rule/ApplyServerSideEncryptionByDefault/";

    if (e->n_rules != 1 || !str_has_prefix(path, by_default))
        return 0;
    path += sizeof(by_default) - 1;
    if (str_eq(path, "SSEAlgorithm"))
        (void)str_copy(e->encryption.algorithm, sizeof(e->encryption.algorithm), text);
    else if (str_eq(path, "KMSMasterKeyID") &&
             !str_copy(e->encryption.key_id, sizeof(e->encryption.key_id), text))
        return err_set(err, ERR_PROTOCOL, "the bucket's key id is too long");
    return 0;
}

int s3_xml_encryption(const char *body, size_t n, struct s3_encryption *ret_encryption,
                      struct err *err)
{
    struct encryption_reader e = {0};
    struct walk w = {.on_begin = encryption_begin, .on_end = encryption_end, .ctx = &e};
    int r = walk(&w, body, n, err);

    if (r < 0)
        return r;
    if (e.n_rules == 0)
        return err_set(err, ERR_PROTOCOL, "S3's answer names no encryption");
    *ret_encryption = e.encryption;
    return 0;
}

static int upload_id_end(void *ctx, const char *path, const char *text, struct err *err)
{
    if (!str_eq(path, "/InitiateMultipartUploadResult/UploadId"))
        return 0;
    if (!str_copy(ctx, S3_UPLOAD_ID_SIZE, text))
        return err_set(err, ERR_PROTOCOL, "S3's upload id is longer than %d bytes",
                       S3_UPLOAD_ID_SIZE - 1);
    return 0;
}

int s3_xml_upload_id(const char *body, size_t n, char ret_id[S3_UPLOAD_ID_SIZE], struct err *err)
{
    char id[S3_UPLOAD_ID_SIZE] = "";
    struct walk w = {.on_end = upload_id_end, .ctx = id};
    int r = walk(&w, body, n, err);

    if (r == 0 && id[0] == '\0')
        r = err_set(err, ERR_PROTOCOL, "S3's answer names no upload");
    if (r == 0)
        memcpy(ret_id, id, sizeof(id));
    return r;
}
