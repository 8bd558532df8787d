/* Which proxy a request goes through, by the environment (spec 02, section 2.1). Not left to
 * libcurl, whose rules differ from those that users of the reference agent have set up for:
 * upper-case names win, loopback is never proxied, ".example.com" means sub-domains only. Pure but
 * for the reading of the environment. */
#ifndef SSMD_TRANSPORT_PROXY_H
#define SSMD_TRANSPORT_PROXY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "transport/env.h"

struct proxy_settings {
    char *http;     /* owned; for http:// requests, or NULL */
    char *https;    /* owned; for https:// and wss://, or NULL */
    char *no_proxy; /* owned; or NULL */
};

/* Read the six variables. ERR_NOMEM. The caller ends *ret_settings with proxy_settings_done(). */
int proxy_settings_read(const struct env_source *env, struct proxy_settings *ret_settings,
                        struct err *err) MUST_CHECK;
void proxy_settings_done(struct proxy_settings *s);

/* The proxy for a request, borrowed from `s`, or NULL for a direct connection. `host` is a name or
 * an address without brackets. */
const char *proxy_for(const struct proxy_settings *s, bool is_https, const char *host,
                      unsigned port);

/* A proxy's URL for people: a password in it is left out. False when it had to be cut. */
bool proxy_describe(const char *proxy, char *ret_text, size_t size);

#endif
