/* In which region a bucket is: what is remembered, and whom to ask (spec 02, section 7.2). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "transport/s3_internal.h"

const char *s3_known_region(struct s3 *s3, const char *bucket)
{
    size_t i;

    for (i = 0; i < s3->n_buckets; i++) {
        if (str_eq(s3->buckets[i].name, bucket)) {
            s3->buckets[i].used = ++s3->n_uses;
            return s3->buckets[i].region;
        }
    }
    return NULL;
}

static struct s3_bucket *place_for(struct s3 *s3, const char *bucket)
{
    struct s3_bucket *oldest = NULL;
    size_t i;

    for (i = 0; i < s3->n_buckets; i++) {
        if (str_eq(s3->buckets[i].name, bucket))
            return &s3->buckets[i];
        if (oldest == NULL || s3->buckets[i].used < oldest->used)
            oldest = &s3->buckets[i];
    }
    if (s3->n_buckets == S3_MAX_BUCKETS)
        return oldest;
    if (s3->n_buckets == s3->cap_buckets) {
        size_t cap = s3->cap_buckets > 0 ? 2 * s3->cap_buckets : 4;
        struct s3_bucket *more = realloc(s3->buckets, cap * sizeof(*more));

        if (more == NULL)
            return NULL;
        s3->buckets = more;
        s3->cap_buckets = cap;
    }
    return &s3->buckets[s3->n_buckets++];
}

void s3_remember_region(struct s3 *s3, const char *bucket, const char *region)
{
    struct s3_bucket *b = place_for(s3, bucket);

    if (b == NULL)
        return;
    (void)str_copy(b->name, sizeof(b->name), bucket); /* its length was checked */
    (void)str_copy(b->region, sizeof(b->region), region);
    b->used = ++s3->n_uses;
}

int s3_endpoint(const struct s3 *s3, const char *region, struct endpoint *ret, struct err *err)
{
    return endpoint_make(AWS_S3, region, s3->domain, s3->override, ret, err);
}

bool s3_region_question(const struct s3 *s3, const char *bucket, unsigned n, struct buf *ret_url)
{
    /* A private endpoint is asked as it was given; nobody else knows its buckets. */
    bool has_override = s3->override[0] != '\0';
    AUTO(s3_address_done) struct s3_address address = {0};
    struct endpoint e;
    char host[300];

    if (n >= (has_override ? 1U : 4U))
        return false;
    if (s3_endpoint(s3, s3->region, &e, NULL) < 0)
        return false;
    if (n >= 2) {
        const char *domain = e.host + strlen("s3.") + strlen(s3->region) + 1;

        s3_fallback_host(s3->region, domain, host, sizeof(host));
        if (endpoint_make(AWS_S3, s3->region, NULL, host, &e, NULL) < 0)
            return false;
    }
    /* Plain http last: for a name that no certificate covers. */
    if (!has_override && n % 2 == 1)
        memmove(e.url + strlen("http"), e.url + strlen("https"),
                strlen(e.url + strlen("https")) + 1);
    return s3_address_make(&e, bucket, NULL, NULL, &address, NULL) == 0 &&
           buf_add_str(ret_url, address.url.data) == 0;
}
