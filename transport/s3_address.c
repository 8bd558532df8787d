/* Forming and reading the addresses of S3. */
#include "transport/s3_address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

void s3_encode(struct buf *b, const char *text, bool keep_slash)
{
    const unsigned char *p;

    for (p = (const unsigned char *)text; *p != '\0'; p++) {
        if ((*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ||
            strchr("-._~", *p) != NULL || (keep_slash && *p == '/'))
            (void)buf_add_char(b, (char)*p); /* buf_error() is asked by the caller */
        else
            (void)buf_printf(b, "%%%02X", *p);
    }
}

static bool is_ipv4(const char *host)
{
    struct in_addr a;

    return inet_pton(AF_INET, host, &a) == 1;
}

/* The endpoint's host is an address: no name can be put before it. */
static bool is_address(const char *host)
{
    char name[300];
    size_t n = strcspn(host, ":");

    if (host[0] == '[')
        return true;
    if (n >= sizeof(name))
        return false;
    memcpy(name, host, n);
    name[n] = '\0';
    return is_ipv4(name);
}

static bool is_host_label(const char *bucket, bool is_https)
{
    size_t n = strlen(bucket);

    if (n < 3 || n > 63 || strspn(bucket, LOWER DIGITS ".-") != n)
        return false;
    if (strchr(".-", bucket[0]) != NULL || strchr(".-", bucket[n - 1]) != NULL)
        return false;
    if (strstr(bucket, "..") != NULL || is_ipv4(bucket))
        return false;
    return !is_https || strchr(bucket, '.') == NULL;
}

int s3_address_make(const struct endpoint *endpoint, const char *bucket, const char *key,
                    const char *query, struct s3_address *ret_address, struct err *err)
{
    bool is_https = str_has_prefix(endpoint->url, "https:");
    bool is_virtual = is_host_label(bucket, is_https) && !is_address(endpoint->host);
    size_t n = strlen(bucket);
    int r;

    buf_init(&ret_address->url, S3_MAX_URL_BYTES);
    buf_init(&ret_address->path, S3_MAX_URL_BYTES);
    if (n == 0 || n > S3_MAX_BUCKET_BYTES || strcspn(bucket, "/?#%\\ \t\r\n") != n ||
        str_eq(bucket, ".") || str_eq(bucket, ".."))
        return err_set(err, ERR_INVALID, "S3 bucket \"%.100s\": not a bucket's name", bucket);
    (void)snprintf(ret_address->host, sizeof(ret_address->host), "%s%s%s", is_virtual ? bucket : "",
                   is_virtual ? "." : "", endpoint->host);
    (void)buf_add_str(&ret_address->path, endpoint->path); /* ends in '/' or names a folder */
    if (ret_address->path.len == 0 || ret_address->path.data[ret_address->path.len - 1] != '/')
        (void)buf_add_char(&ret_address->path, '/');
    if (!is_virtual) {
        s3_encode(&ret_address->path, bucket, false);
        (void)buf_add_char(&ret_address->path, '/');
    }
    if (key != NULL)
        s3_encode(&ret_address->path, key, true);
    (void)buf_printf(&ret_address->url, "%s://%s%s", is_https ? "https" : "http", ret_address->host,
                     buf_str(&ret_address->path));
    if (query != NULL && *query != '\0')
        (void)buf_printf(&ret_address->url, "?%s", query);
    r = buf_error(&ret_address->path, "S3 key", err);
    return r < 0 ? r : buf_error(&ret_address->url, "S3 request's address", err);
}

void s3_address_done(struct s3_address *a)
{
    buf_done(&a->url);
    buf_done(&a->path);
}

void s3_fallback_host(const char *region, const char *domain, char *ret_host, size_t size)
{
    const char *other = NULL;

    if (str_has_prefix(region, "us-gov-"))
        other = str_eq(region, "us-gov-west-1") ? "us-gov-east-1" : "us-gov-west-1";
    else if (str_has_prefix(region, "cn-"))
        other = str_eq(region, "cn-north-1") ? "cn-northwest-1" : "cn-north-1";
    if (other != NULL)
        (void)snprintf(ret_host, size, "s3.%s.%s", other, domain);
    else
        (void)snprintf(ret_host, size, "s3.%s", domain);
}

bool s3_is_region(const char *region)
{
    size_t n = strspn(region, "ABCDEFGHIJKLMNOPQRSTUVWXYZ" LOWER DIGITS "-");

    return n > 0 && n < S3_REGION_SIZE && region[n] == '\0';
}

bool s3_region_of_host(const char *host, char ret_region[S3_REGION_SIZE])
{
    const char *p = host;
    char region[S3_REGION_SIZE];
    size_t n;

    /* The last "s3." or "s3-" at the begin of a label: a bucket may be named "s3-logs" too. */
    const char *found = NULL;

    for (; *p != '\0'; p++) {
        if ((p == host || p[-1] == '.') && p[0] == 's' && p[1] == '3' &&
            (p[2] == '.' || p[2] == '-'))
            found = p + 3;
    }
    if (found == NULL)
        return false;
    if (str_has_prefix(found, "dualstack."))
        found += strlen("dualstack.");
    n = strcspn(found, ".:/");
    if (n == 0 || n >= sizeof(region) || found[n] != '.')
        return false;
    memcpy(region, found, n);
    region[n] = '\0';
    /* Regions end in a number: "amazonaws" of "s3.amazonaws.com" is none. */
    if (!s3_is_region(region) || strchr(region, '-') == NULL ||
        strchr(DIGITS, region[n - 1]) == NULL)
        return false;
    memcpy(ret_region, region, n + 1);
    return true;
}
