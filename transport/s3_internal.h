/* What the files of S3 share: the client, its calls, and the regions of buckets. */
#ifndef SSMD_TRANSPORT_S3_INTERNAL_H
#define SSMD_TRANSPORT_S3_INTERNAL_H

#include "transport/aws_classify.h"
#include "transport/s3.h"
#include "transport/s3_put.h"
#include "transport/tries.h"

#define S3_MAX_BUCKETS 128

struct s3_bucket {
    char name[S3_MAX_BUCKET_BYTES + 1];
    char region[S3_REGION_SIZE];
    uint64_t used; /* the least recently used one makes room */
};

struct s3 {
    struct tries_client client;
    struct http *http;
    struct credentials_provider *credentials;
    char region[S3_REGION_SIZE], domain[256], override[600];
    struct s3_bucket *buckets; /* owned */
    size_t n_buckets, cap_buckets;
    uint64_t n_uses;
    struct s3_put *puts; /* owned; doubly linked */
};

/* s3_judge.c: what came of one try, in one line. */
void s3_judge(const char *method, const char *bucket, const struct http_response *response,
              struct s3_error *error, struct aws_verdict *ret_verdict, struct err *err);
/* Not of a proxy or a login page in between, as far as can be told. */
bool s3_is_from_s3(const struct http_response *response);

/* s3_region.c. NULL: not known. Borrowed until the next call of s3_remember_region(). */
const char *s3_known_region(struct s3 *s3, const char *bucket);
/* Running out of memory is no failure: it is asked again next time. */
void s3_remember_region(struct s3 *s3, const char *bucket, const char *region);
/* The service's endpoint in a region: the override, if there is one. */
int s3_endpoint(const struct s3 *s3, const char *region, struct endpoint *ret, struct err *err)
    MUST_CHECK;

/* The n-th unsigned question for a bucket's region (spec 02, section 7.2, step 2), as a URL in
 * *ret_url (initialised by the caller). False when there are no more. */
bool s3_region_question(const struct s3 *s3, const char *bucket, unsigned n, struct buf *ret_url);

/* s3_put.c */
void s3_put_drop(struct s3_put *put);

#endif
