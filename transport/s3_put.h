/* Bytes from disk put into S3 (spec 02, section 7.4; spec 03, section 11.2) in constant memory:
 * hashed and sent in chunks, in parts of 5 MiB when it is larger than that. Loop thread only. */
#ifndef SSMD_TRANSPORT_S3_PUT_H
#define SSMD_TRANSPORT_S3_PUT_H

#include "transport/s3.h"

#define S3_PART_BYTES (INT64_C(5) << 20)
#define S3_MAX_PARTS 10000

struct s3_put;

struct s3_put_request {
    const char *bucket, *key;
    struct http_source source; /* all of it: offset 0; it must not become shorter */
    const char *content_type;  /* NULL: text/plain */
};

/* As for one request. The bucket's encryption was asked for and applied, the ACL is
 * bucket-owner-full-control. */
int s3_put_start(struct s3 *s3, const struct s3_put_request *request, s3_done_fn done, void *ctx,
                 struct s3_put **ret_put, struct err *err) MUST_CHECK;
/* End a put without its callback. Parts that S3 holds already stay there until the bucket's own
 * rules remove them. NULL is allowed. */
void s3_put_cancel(struct s3_put *put);
/* Bytes that S3 has taken so far. */
int64_t s3_put_done_bytes(const struct s3_put *put);

#endif
