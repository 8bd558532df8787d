/* Signature Version 4 with an RSA key. */
#include "transport/sigv4_rsa.h"

#include <string.h>

#include "base/str.h"

#define PREFIX "Signature="

static int text_to_sign(const struct sigv4_request *request, const struct sigv4_scope *scope,
                        const char *signed_headers, struct buf *ret_text, struct buf *ret_signed,
                        struct err *err)
{
    AUTO(buf_done) struct buf canonical = {0};
    int r;

    buf_init(&canonical, SIGV4_MAX_CANONICAL_BYTES);
    r = sigv4_canonical(request, scope->service, signed_headers, &canonical, ret_signed, err);
    return r < 0 ? r
                 : sigv4_string_to_sign(scope, buf_str(&canonical), canonical.len, ret_text, err);
}

int sigv4_rsa_sign(const struct sigv4_request *request, const struct sigv4_scope *scope,
                   const char *instance_id, const struct rsa_key *key,
                   struct buf *ret_authorization, struct err *err)
{
    AUTO(buf_done) struct buf text = {0};
    AUTO(buf_done) struct buf names = {0};
    AUTO(buf_done) struct buf signature = {0};
    int r;

    buf_init(&text, 1024);
    buf_init(&names, 4096);
    buf_init(&signature, 2048);
    r = text_to_sign(request, scope, NULL, &text, &names, err);
    if (r == 0)
        r = rsa_key_sign(key, buf_str(&text), text.len, &signature, err);
    if (r < 0)
        return r;
    (void)buf_printf(ret_authorization,
                     "AWS4-HMAC-SHA256 Credential=%s/%.8s/%s/%s/aws4_request, SignedHeaders=%s, "
                     "Signature=%s",
                     instance_id, scope->date, scope->region, scope->service, buf_str(&names),
                     buf_str(&signature));
    return buf_error(ret_authorization, "Authorization header", err);
}

int sigv4_rsa_verify(const struct sigv4_request *request, const struct sigv4_authorization *parts,
                     const char *date, const struct rsa_key *key, struct err *err)
{
    const struct sigv4_scope scope = {
        .date = date, .region = parts->region, .service = parts->service};
    AUTO(buf_done) struct buf text = {0};
    int r;

    buf_init(&text, 1024);
    r = text_to_sign(request, &scope, parts->signed_headers, &text, NULL, err);
    if (r == 0)
        r = rsa_key_verify(key, buf_str(&text), text.len, parts->signature, err);
    if (r == ERR_INVALID && err != NULL)
        r = err->code = ERR_AUTH; /* a header named in the list is missing, and the like */
    return r;
}

int sigv4_rsa_add(const char *authorization, const struct rsa_key *key, struct buf *ret_value,
                  struct err *err)
{
    (void)buf_add_str(ret_value, PREFIX);
    return rsa_key_sign(key, authorization, strlen(authorization), ret_value, err);
}

int sigv4_rsa_check_added(const char *authorization, const char *value, const struct rsa_key *key,
                          struct err *err)
{
    if (!str_has_prefix(value, PREFIX))
        return err_set(err, ERR_AUTH, SIGV4_RSA_HEADER " does not begin with " PREFIX);
    return rsa_key_verify(key, authorization, strlen(authorization), value + strlen(PREFIX), err);
}
