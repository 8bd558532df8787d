/* Endpoint formation. */
#include "transport/endpoint.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "transport/url_parts.h"

#define MAX_REGION_BYTES 100

static const struct {
    const char *name, *target;
} services[] = {
#define AWS_SERVICE_ROW_(id, name, target) [id] = {name, target},
    AWS_SERVICES(AWS_SERVICE_ROW_)
#undef AWS_SERVICE_ROW_
};

static const struct {
    const char *prefix, *domain;
} partitions[] = {
    {"cn-", "amazonaws.com.cn"},    {"us-iso-", "c2s.ic.gov"},      {"us-isob-", "sc2s.sgov.gov"},
    {"us-isof-", "csp.hci.ic.gov"}, {"eu-isoe-", "cloud.adc-e.uk"}, {"eusc-de-", "amazonaws.eu"},
};

const char *aws_service_name(enum aws_service s)
{
    return services[s].name;
}

const char *aws_service_target_prefix(enum aws_service s)
{
    return services[s].target;
}

static bool is_region(const char *region)
{
    size_t n = strspn(region, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-");

    return n > 0 && n <= MAX_REGION_BYTES && region[n] == '\0';
}

static const char *domain_of(const char *region)
{
    size_t i;

    for (i = 0; i < ARRAY_LEN(partitions); i++) {
        if (str_has_prefix(region, partitions[i].prefix))
            return partitions[i].domain;
    }
    return "amazonaws.com";
}

static int put_parts(const char *url, const struct url_parts *p, struct endpoint *ret,
                     struct err *err)
{
    struct endpoint e;
    int n, m;

    if (p->query != NULL || p->user != NULL)
        return err_set(err, ERR_INVALID,
                       "endpoint of host \"%.200s\": a query or a user name is not "
                       "possible in an endpoint",
                       p->host);
    n = snprintf(e.host, sizeof(e.host), "%s%s%s", p->host, p->port != NULL ? ":" : "",
                 p->port != NULL ? p->port : "");
    m = snprintf(e.url, sizeof(e.url), "%s://%s%s", p->scheme, e.host, p->path);
    (void)snprintf(e.origin, sizeof(e.origin), "%s://%s", p->scheme, e.host); /* it fits */
    if ((size_t)n >= sizeof(e.host) || (size_t)m >= sizeof(e.url) ||
        !str_copy(e.path, sizeof(e.path), p->path))
        return err_set(err, ERR_INVALID, "endpoint \"%.200s...\": too long", url);
    *ret = e;
    return 0;
}

static int take_url(const char *url, struct endpoint *ret, struct err *err)
{
    struct url_parts parts;
    int r = url_parts_of(url, false, &parts, err);

    if (r == ERR_INVALID)
        (void)err_set(err, r, "endpoint \"%.200s\": not a host, host:port, http:// or https:// URL",
                      url);
    if (r == 0)
        r = put_parts(url, &parts, ret, err);
    url_parts_done(&parts);
    return r;
}

int endpoint_make(enum aws_service service, const char *region, const char *domain,
                  const char *override, struct endpoint *ret_endpoint, struct err *err)
{
    char url[600];
    int n;

    if (!is_region(region))
        return err_set(err, ERR_INVALID,
                       "region \"%.100s\": only letters, digits and '-', 1 to %d of them", region,
                       MAX_REGION_BYTES);
    if (override != NULL && *override != '\0')
        n = snprintf(url, sizeof(url), "%s%s", strstr(override, "://") != NULL ? "" : "https://",
                     override);
    else
        n = snprintf(url, sizeof(url), "https://%s.%s.%s", services[service].name, region,
                     domain != NULL && *domain != '\0' ? domain : domain_of(region));
    if ((size_t)n >= sizeof(url))
        return err_set(err, ERR_INVALID, "endpoint of %s: longer than %zu bytes",
                       services[service].name, sizeof(url) - 1);
    return take_url(url, ret_endpoint, err);
}
