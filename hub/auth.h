/* Who calls: Signature Version 4 against the hub's credentials (spec 01, section 12). Main thread.
 */
#ifndef SSMD_HUB_AUTH_H
#define SSMD_HUB_AUTH_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "hub/access_keys.h"
#include "transport/sigv4.h"

#define AUTH_MAX_SKEW_MS (INT64_C(5) * 60 * 1000) /* AWS lets a request be five minutes off */

/* A POST of `body` to "/" with these headers, for `service`. 0, or ERR_AUTH with *ret_error_code
 * (static) the name AWS gives such a refusal; err->text is for the client then. Others: ERR_NOMEM,
 * ERR_LIMIT. */
int auth_check(struct access_keys *keys, const char *region, const char *service,
               const struct header *headers, size_t n_headers, const void *body, size_t n,
               int64_t now_ms, const char **ret_error_code, struct err *err) MUST_CHECK;

#endif
