/* A request of S3, as its files share it. */
#ifndef SSMD_HUB_S3_INTERNAL_H
#define SSMD_HUB_S3_INTERNAL_H

#include "hub/s3.h"

#define S3_MAX_TARGET_BYTES 8192
#define S3_MAX_SMALL_BODY (2u << 20) /* lists of parts, configurations */
#define S3_MAX_PARTS 10000

struct s3_request {
    struct hub *hub;
    struct access_keys *keys;
    struct bucket_store *store;
    const struct s3_operation *operation; /* NULL: none that is known */
    struct header *headers;               /* owned, with their texts */
    size_t n_headers;
    char method[16];
    char path[S3_MAX_TARGET_BYTES], query[S3_MAX_TARGET_BYTES]; /* as they came */
    char bucket[BUCKET_NAME_MAX + 1];
    char key[OBJECT_KEY_MAX + 1]; /* decoded */
    bool has_bad_name;            /* bucket or key cannot be used */
    struct incoming incoming;     /* fd -1: the body is small */
    struct buf small;
    /* aws-chunked: where the decoder stands */
    bool is_chunked;
    int chunk_state;
    unsigned chunk_digits; /* of the size that is being read */
    uint64_t chunk_left;
    struct err body_err; /* code 0: the body is fine so far */
    char body_sha256[SHA256_HEX_SIZE], body_md5[33], body_md5_base64[32];
    int64_t now_ms;
};

typedef void (*s3_run_fn)(struct s3_request *q, struct s3_answer *a);

struct s3_operation {
    const char *name, *method;
    bool has_bucket, has_key;
    const char *word; /* in the query, that makes it this one; NULL: none is needed */
    bool takes_file;  /* its body goes to disk */
    s3_run_fn run;
};

/* s3_run.c */
const struct s3_operation *s3_find_operation(const struct s3_request *q);

const char *s3_header(const struct s3_request *q, const char *name); /* or NULL */
/* Percent-decode n bytes. False: too long, or a NUL. */
bool s3_decode(const char *s, size_t n, char *ret, size_t size);
/* The decoded value of a word of the query into ret[size]. False: it is not there. */
bool s3_query(const struct s3_request *q, const char *word, char *ret, size_t size);
void s3_refuse(struct s3_request *q, struct s3_answer *a, unsigned status, const char *code,
               const char *message);
void s3_add_header(struct s3_answer *a, const char *name, const char *value);
/* For an error of the object store: NotFound becomes `not_found`. */
void s3_refuse_err(struct s3_request *q, struct s3_answer *a, const char *not_found,
                   const struct err *err);

/* s3_list.c */
void s3_list_objects(struct s3_request *q, struct s3_answer *a);
void s3_list_buckets(struct s3_request *q, struct s3_answer *a);
void s3_add_xml(struct buf *b, const char *element, const char *text);
void s3_begin_xml(struct buf *b);

#endif
