/* The parts of a URL, by libcurl's parser. Any thread. */
#ifndef SSMD_TRANSPORT_URL_PARTS_H
#define SSMD_TRANSPORT_URL_PARTS_H

#include <stdbool.h>

#include "base/err.h"

/* Owned. NULL: the URL has none; scheme, host and path are always there after a success. */
struct url_parts {
    char *scheme, *host, *port, *path, *query, *user;
};
void url_parts_done(struct url_parts *parts);

/* ERR_INVALID: not an http:// or https:// URL with a host; the text is the caller's, who knows what
 * the URL is for and what of it may be shown. ERR_NOMEM. With `has_default_port` a URL without port
 * has its scheme's. *ret is to be freed in every case. */
int url_parts_of(const char *url, bool has_default_port, struct url_parts *ret, struct err *err)
    MUST_CHECK;

#endif
