/* Where a bucket and an object are (spec 02, sections 7.1 and 7.2). Pure. Any thread. */
#ifndef SSMD_TRANSPORT_S3_ADDRESS_H
#define SSMD_TRANSPORT_S3_ADDRESS_H

#include "base/buf.h"
#include "transport/endpoint.h"

#define S3_MAX_BUCKET_BYTES 255
#define S3_MAX_KEY_BYTES 1024
#define S3_REGION_SIZE 101
#define S3_MAX_URL_BYTES 8192

struct s3_address {
    struct buf url; /* scheme://host/path?query */
    char host[600]; /* the Host header */
    struct buf path;
};

/* Virtual-hosted where the bucket's name and the endpoint allow it, else path style: names with
 * dots under https (no certificate covers them), names that are no host names, endpoints that are
 * IP addresses. `endpoint` is that of the service. `key` NULL or "": the bucket itself. `query` is
 * already encoded; NULL: none. Both buffers are initialised here; end *ret_address with
 * s3_address_done() in any case. ERR_INVALID: the bucket's name cannot be used; ERR_LIMIT. */
int s3_address_make(const struct endpoint *endpoint, const char *bucket, const char *key,
                    const char *query, struct s3_address *ret_address, struct err *err) MUST_CHECK;
void s3_address_done(struct s3_address *a);

/* Percent-encode what is not A-Z a-z 0-9 - . _ ~; '/' stays with keep_slash. */
void s3_encode(struct buf *b, const char *text, bool keep_slash);

/* The host that is asked for a bucket's region when the node's own region did not tell (section
 * 7.2, step 2). */
void s3_fallback_host(const char *region, const char *domain, char *ret_host, size_t size);

/* The region that a host name of S3 holds ("s3.eu-west-1.amazonaws.com", also the old form with a
 * hyphen), for answers that name an endpoint and no region. False when there is none. */
bool s3_region_of_host(const char *host, char ret_region[S3_REGION_SIZE]);

/* Letters, digits and '-', as in an endpoint. */
bool s3_is_region(const char *region);

static inline void s3_address_done_cleanup(struct s3_address *a)
{
    s3_address_done(a);
}

#endif
