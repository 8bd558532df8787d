/* The parts of a URL. libcurl tells want of memory apart from a URL that is none only by its codes,
 * and a part that could not be copied is not one that is missing. */
#include "transport/url_parts.h"

#include <curl/curl.h>

#include "base/str.h"

void url_parts_done(struct url_parts *parts)
{
    curl_free(parts->scheme);
    curl_free(parts->host);
    curl_free(parts->port);
    curl_free(parts->path);
    curl_free(parts->query);
    curl_free(parts->user);
    *parts = (struct url_parts){0};
}

static CURLUcode get(CURLU *url, CURLUPart part, unsigned flags, char **ret)
{
    CURLUcode code = curl_url_get(url, part, ret, flags);

    return code == CURLUE_OUT_OF_MEMORY ? code : CURLUE_OK; /* any other: it has none */
}

static CURLUcode take(CURLU *parsed, const char *url, bool has_default_port, struct url_parts *ret)
{
    CURLUcode code = curl_url_set(parsed, CURLUPART_URL, url, 0);

    if (code == CURLUE_OK)
        code = get(parsed, CURLUPART_SCHEME, 0, &ret->scheme);
    if (code == CURLUE_OK)
        code = get(parsed, CURLUPART_HOST, 0, &ret->host);
    if (code == CURLUE_OK)
        code = get(parsed, CURLUPART_PORT,
                   has_default_port ? CURLU_DEFAULT_PORT : CURLU_NO_DEFAULT_PORT, &ret->port);
    if (code == CURLUE_OK)
        code = get(parsed, CURLUPART_PATH, 0, &ret->path);
    if (code == CURLUE_OK)
        code = get(parsed, CURLUPART_QUERY, 0, &ret->query);
    if (code == CURLUE_OK)
        code = get(parsed, CURLUPART_USER, 0, &ret->user);
    return code;
}

int url_parts_of(const char *url, bool has_default_port, struct url_parts *ret, struct err *err)
{
    CURLU *parsed = curl_url();
    CURLUcode code;

    *ret = (struct url_parts){0};
    if (parsed == NULL)
        return err_set(err, ERR_NOMEM, "URL: out of memory");
    code = take(parsed, url, has_default_port, ret);
    curl_url_cleanup(parsed);
    if (code == CURLUE_OUT_OF_MEMORY)
        return err_set(err, ERR_NOMEM, "URL: out of memory");
    if (code != CURLUE_OK || ret->host == NULL || ret->path == NULL || ret->scheme == NULL ||
        (!str_eq(ret->scheme, "http") && !str_eq(ret->scheme, "https")))
        return err_set(err, ERR_INVALID, "not an http:// or https:// URL with a host");
    return 0;
}
