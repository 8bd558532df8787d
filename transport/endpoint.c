/* Endpoint formation. */
#include "transport/endpoint.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

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

static int take_url(const char *url, struct endpoint *ret, struct err *err)
{
    CURLU *parts = curl_url();
    CURLUcode set;
    char *scheme = NULL, *host = NULL, *port = NULL, *path = NULL, *query = NULL, *user = NULL;
    struct endpoint e;
    int n, m;
    int r = 0;

    if (parts == NULL)
        return err_set(err, ERR_NOMEM, "endpoint: out of memory");
    set = curl_url_set(parts, CURLUPART_URL, url, 0);
    if (set == CURLUE_OUT_OF_MEMORY)
        r = err_set(err, ERR_NOMEM, "endpoint: out of memory");
    else if (set != CURLUE_OK || curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
             curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
             curl_url_get(parts, CURLUPART_PATH, &path, 0) != CURLUE_OK ||
             (!str_eq(scheme, "http") && !str_eq(scheme, "https")))
        r = err_set(err, ERR_INVALID,
                    "endpoint \"%.200s\": not a host, host:port, http:// or https:// URL", url);
    else if (curl_url_get(parts, CURLUPART_QUERY, &query, 0) == CURLUE_OK ||
             curl_url_get(parts, CURLUPART_USER, &user, 0) == CURLUE_OK)
        r = err_set(err, ERR_INVALID,
                    "endpoint of host \"%.200s\": a query or a user name is not "
                    "possible in an endpoint",
                    host);
    if (r == 0) {
        bool has_port =
            curl_url_get(parts, CURLUPART_PORT, &port, CURLU_NO_DEFAULT_PORT) == CURLUE_OK;

        n = snprintf(e.host, sizeof(e.host), "%s%s%s", host, has_port ? ":" : "",
                     has_port ? port : "");
        m = snprintf(e.url, sizeof(e.url), "%s://%s%s", scheme, e.host, path);
        (void)snprintf(e.origin, sizeof(e.origin), "%s://%s", scheme, e.host); /* it fits */
        if ((size_t)n >= sizeof(e.host) || (size_t)m >= sizeof(e.url) ||
            !str_copy(e.path, sizeof(e.path), path))
            r = err_set(err, ERR_INVALID, "endpoint \"%.200s...\": too long", url);
        else
            *ret = e;
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(path);
    curl_free(query);
    curl_free(user);
    curl_url_cleanup(parts);
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
