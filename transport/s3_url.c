/* Taking the URL of an object apart. */
#include "transport/s3_url.h"

#include <string.h>
#include <strings.h>

#include "base/str.h"

static const char *const domains[] = {"amazonaws.com", "amazonaws.com.cn", "amazonaws.eu",
                                      "c2s.ic.gov",    "sc2s.sgov.gov",    "cloud.adc-e.uk",
                                      "csp.hci.ic.gov"};

/* What is left of `host` before ".<one of the domains>"; false: of none. */
static bool cut_domain(char *host)
{
    size_t n = strlen(host), i;

    for (i = 0; i < ARRAY_LEN(domains); i++) {
        size_t k = strlen(domains[i]);

        if (n > k + 1 && host[n - k - 1] == '.' && strcasecmp(host + n - k, domains[i]) == 0) {
            host[n - k - 1] = '\0';
            return true;
        }
    }
    return false;
}

/* If the text begins with `word` and '.' or '-': what comes after it; a word alone is consumed
 * whole. */
static const char *eat(const char *p, const char *word, bool needs_dot)
{
    size_t n = strlen(word);

    if (strncasecmp(p, word, n) != 0)
        return p;
    if (p[n] == '\0')
        return p + n;
    return p[n] == '.' || (p[n] == '-' && !needs_dot) ? p + n + 1 : p;
}

/* "s3", "s3-eu-west-1", "s3.dualstack.eu-west-1", "s3-website.us-east-1", "s3-accelerate" ...: what
 * follows the bucket. */
static bool is_service(const char *p, char ret_region[S3_REGION_SIZE])
{
    if (strncasecmp(p, "s3", 2) != 0 || (p[2] != '\0' && p[2] != '.' && p[2] != '-'))
        return false;
    p += p[2] == '\0' ? 2 : 3;
    p = eat(p, "website", false);
    p = eat(p, "accelerate", true);
    p = eat(p, "dualstack", false);
    if (*p != '\0' && !s3_is_region(p))
        return false;
    (void)str_copy(ret_region, S3_REGION_SIZE, p); /* fits: just checked */
    return true;
}

/* "vpce-1a2b-xyz.s3.us-east-1.vpce": an interface endpoint, whose certificate is for its own name.
 */
static bool is_vpc_endpoint(char *host, char ret_region[S3_REGION_SIZE])
{
    static const char *const kinds[] = {"bucket.vpce-", "accesspoint.vpce-", "control.vpce-"};
    size_t n = strlen(host), i;
    char *at = NULL;
    const char *p;

    if (n < 5 || strcasecmp(host + n - 5, ".vpce") != 0)
        return false;
    host[n - 5] = '\0';
    for (i = 0; i < ARRAY_LEN(kinds) && at == NULL; i++) {
        at = strcasestr(host, kinds[i]);
        if (at != NULL && at != host && at[-1] != '.')
            at = NULL;
    }
    p = at != NULL ? strchr(strchr(at, '.') + 1, '.') : NULL;
    if (p == NULL || !is_service(p + 1, ret_region))
        return false;
    *at = '\0'; /* what stands before it is the bucket */
    return true;
}

/* Split the host: what is left in `host` is the bucket with a dot, or "". */
static bool split_host(char *host, char ret_region[S3_REGION_SIZE])
{
    char *p;

    if (!cut_domain(host))
        return false;
    if (is_vpc_endpoint(host, ret_region))
        return true;
    /* The bucket takes as much as it can. */
    for (p = host + strlen(host); p >= host; p--)
        if ((p == host || p[-1] == '.') && is_service(p, ret_region)) {
            *p = '\0';
            return true;
        }
    return false;
}

/* Percent signs and '+', into ret[size]. */
static bool decode(const char *text, size_t n, char *ret, size_t size)
{
    size_t i, k = 0;

    for (i = 0; i < n; i++, k++) {
        unsigned char c = (unsigned char)text[i];

        if (k + 1 >= size)
            return false;
        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            if (n - i < 3 || !str_unhex((char[]){text[i + 1], text[i + 2], '\0'}, &c, 1) || c == 0)
                return false;
            i += 2;
        }
        ret[k] = (char)c;
    }
    ret[k] = '\0';
    return str_is_utf8(ret, k);
}

static int fail(const char *url, struct err *err)
{
    return err_set(err, ERR_INVALID,
                   "sourceInfo.path \"%.200s\" is not a URL of S3: it must look like "
                   "https://s3.<region>.amazonaws.com/<bucket>/<key> or "
                   "https://<bucket>.s3.<region>.amazonaws.com/<key>",
                   url);
}

int s3_url_parse(const char *url, struct s3_url *ret_url, struct err *err)
{
    struct s3_url u = {.bucket = ""};
    char host[sizeof(u.host)];
    const char *p = url, *path;
    size_t n;

    if (strncasecmp(p, "https://", 8) == 0)
        p += 8;
    else if (strncasecmp(p, "http://", 7) == 0)
        p += 7;
    else
        return fail(url, err);
    n = strcspn(p, "/?#");
    if (n == 0 || n >= sizeof(u.host) || memchr(p, '@', n) != NULL)
        return fail(url, err);
    memcpy(u.host, p, n);
    u.host[n] = '\0';
    (void)str_copy(host, sizeof(host), u.host); /* of one size */
    host[strcspn(host, ":")] = '\0';
    if (!split_host(host, u.region))
        return fail(url, err);
    path = p + n + (p[n] == '/' ? 1 : 0);
    n = strcspn(path, "?#");
    if (host[0] == '\0') {
        size_t k = strcspn(path, "/?#");

        u.is_path_style = true;
        if (!decode(path, k, u.bucket, sizeof(u.bucket)))
            return fail(url, err);
        k += k < n ? 1 : 0;
        path += k;
        n -= k;
    } else {
        host[strlen(host) - 1] = '\0'; /* the dot */
        if (!str_copy(u.bucket, sizeof(u.bucket), host))
            return fail(url, err);
    }
    if (u.bucket[0] == '\0' || !decode(path, n, u.key, sizeof(u.key)))
        return fail(url, err);
    if (u.region[0] == '\0' || str_eq_nocase(u.region, "external-1"))
        (void)str_copy(u.region, sizeof(u.region), "us-east-1"); /* fits */
    *ret_url = u;
    return 0;
}
