/* The check of a signature with the hub's own keys. */
#include "hub/auth.h"

#include "base/str.h"

static const char *find_secret(void *ctx, const char *access_key, const char **ret_token)
{
    const struct access_keys *c = ctx;
    size_t i;

    for (i = 0; i < c->n; i++)
        if (str_eq(c->list[i].access_key, access_key)) {
            *ret_token = secret_is_set(&c->list[i].token) ? secret_reveal(&c->list[i].token) : NULL;
            return secret_reveal(&c->list[i].secret);
        }
    return NULL;
}

int auth_check(struct access_keys *keys, const char *region, const char *service,
               const struct header *headers, size_t n_headers, const void *body, size_t n,
               int64_t now_ms, const char **ret_error_code, struct err *err)
{
    const struct sigv4_request request = {.method = "POST",
                                          .path = "/",
                                          .headers = headers,
                                          .n_headers = n_headers,
                                          .body = body,
                                          .body_len = n};
    const struct sigv4_check check = {.secret = find_secret,
                                      .ctx = keys,
                                      .now_unix_ms = now_ms,
                                      .max_skew_ms = AUTH_MAX_SKEW_MS,
                                      .region = region,
                                      .service = service};
    struct sigv4_authorization parts;

    return sigv4_verify(&request, &check, &parts, ret_error_code, err);
}
