/* The checking of a Version 4 signature that somebody else made. Every refusal says what is wrong,
 * because the reader is a developer whose client does not work yet. */
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "transport/openssl.h"
#include "transport/sigv4.h"
#include "transport/sigv4_internal.h"

#define MISSING_TOKEN "MissingAuthenticationTokenException"
#define INCOMPLETE "IncompleteSignatureException"
#define INVALID_SIGNATURE "InvalidSignatureException"
#define UNKNOWN_CLIENT "UnrecognizedClientException"

static const char algorithm[] = "AWS4-HMAC-SHA256";

static int copy_part(const char *what, const char *s, size_t n, char *dst, size_t size,
                     struct err *err)
{
    if (n == 0)
        return err_set(err, ERR_INVALID, "Authorization header: %s is empty", what);
    if (n >= size)
        return err_set(err, ERR_INVALID, "Authorization header: %s is longer than %zu bytes", what,
                       size - 1);
    memcpy(dst, s, n);
    dst[n] = '\0';
    return 0;
}

/* access key / day / region / service / aws4_request. The access key may itself hold no slash. */
static int parse_credential(const char *s, size_t n, struct sigv4_authorization *ret,
                            struct err *err)
{
    static const char terminator[] = "aws4_request";
    struct {
        const char *what;
        char *dst;
        size_t size;
    } parts[] = {{"access key of Credential", ret->access_key, sizeof(ret->access_key)},
                 {"date of Credential", ret->day, sizeof(ret->day)},
                 {"region of Credential", ret->region, sizeof(ret->region)},
                 {"service of Credential", ret->service, sizeof(ret->service)}};
    const char *end = s + n;
    size_t i;

    for (i = 0; i < ARRAY_LEN(parts); i++) {
        const char *slash = memchr(s, '/', (size_t)(end - s));
        int r;

        if (slash == NULL)
            return err_set(err, ERR_INVALID,
                           "Authorization header: Credential has %zu of the five parts "
                           "key/date/region/service/aws4_request",
                           i + 1);
        r = copy_part(parts[i].what, s, (size_t)(slash - s), parts[i].dst, parts[i].size, err);
        if (r < 0)
            return r;
        s = slash + 1;
    }
    if ((size_t)(end - s) != sizeof(terminator) - 1 ||
        memcmp(s, terminator, sizeof(terminator) - 1) != 0)
        return err_set(err, ERR_INVALID,
                       "Authorization header: Credential does not end in /aws4_request");
    return 0;
}

int sigv4_parse_authorization(const char *value, struct sigv4_authorization *ret_parts,
                              struct err *err)
{
    struct sigv4_authorization parts = {0};
    const char *p = value;
    size_t n = strlen(algorithm);

    if (strncmp(p, algorithm, n) != 0 || p[n] != ' ')
        return err_set(err, ERR_INVALID, "Authorization header: the algorithm is not %s",
                       algorithm);
    for (p += n; *p != '\0';) {
        int r = 0;

        p += strspn(p, " ,");
        n = strcspn(p, " ,");
        if (n > 11 && strncmp(p, "Credential=", 11) == 0)
            r = parse_credential(p + 11, n - 11, &parts, err);
        else if (n > 14 && strncmp(p, "SignedHeaders=", 14) == 0)
            r = copy_part("SignedHeaders", p + 14, n - 14, parts.signed_headers,
                          sizeof(parts.signed_headers), err);
        else if (n > 10 && strncmp(p, "Signature=", 10) == 0)
            r = copy_part("Signature", p + 10, n - 10, parts.signature, sizeof(parts.signature),
                          err);
        else if (n > 0)
            return err_set(err, ERR_INVALID, "Authorization header: \"%.*s\" is not understood",
                           n > 40 ? 40 : (int)n, p);
        if (r < 0)
            return r;
        p += n;
    }
    if (parts.access_key[0] == '\0' || parts.signed_headers[0] == '\0' ||
        parts.signature[0] == '\0')
        return err_set(err, ERR_INVALID, "Authorization header: %s= is missing",
                       parts.access_key[0] == '\0'       ? "Credential"
                       : parts.signed_headers[0] == '\0' ? "SignedHeaders"
                                                         : "Signature");
    *ret_parts = parts;
    return 0;
}

static const char *find_header(const struct sigv4_request *request, const char *name)
{
    size_t i;

    for (i = 0; i < request->n_headers; i++) {
        if (str_eq_nocase(request->headers[i].name, name))
            return request->headers[i].value;
    }
    return NULL;
}

static int refuse(const char **ret_code, const char *code, struct err *err, int r)
{
    *ret_code = code;
    if (err != NULL && r != ERR_NOMEM && r != ERR_LIMIT && r != ERR_SYSTEM)
        err->code = ERR_AUTH;
    return r == ERR_NOMEM || r == ERR_LIMIT || r == ERR_SYSTEM ? r : ERR_AUTH;
}

/* Each x-amz- header changes what a request means, so that one left unsigned could be added on the
 * way. X-Amz-Content-Sha256 does not: the body is hashed here. */
static const char *unsigned_amz_header(const struct sigv4_request *request, const char *list)
{
    size_t i;

    for (i = 0; i < request->n_headers; i++) {
        const char *name = request->headers[i].name;

        if (strncasecmp(name, "x-amz-", 6) == 0 && !str_eq_nocase(name, "x-amz-content-sha256") &&
            !sigv4_list_has(list, name))
            return name;
    }
    return NULL;
}

static int check_date(const struct sigv4_request *request, const struct sigv4_check *check,
                      const struct sigv4_authorization *parts, const char **ret_code,
                      struct err *err)
{
    const char *date = find_header(request, "x-amz-date");
    char now[SIGV4_DATE_SIZE];
    int64_t at, skew;

    if (date == NULL)
        return refuse(ret_code, INCOMPLETE, err,
                      err_set(err, ERR_AUTH, "the X-Amz-Date header is missing"));
    if (sigv4_parse_date(date, &at) < 0)
        return refuse(ret_code, INCOMPLETE, err,
                      err_set(err, ERR_AUTH,
                              "X-Amz-Date \"%.32s\" is not of the form "
                              "20240102T030405Z",
                              date));
    if (strncmp(date, parts->day, 8) != 0)
        return refuse(ret_code, INVALID_SIGNATURE, err,
                      err_set(err, ERR_AUTH,
                              "the date of Credential (%s) is not the day of X-Amz-Date (%s)",
                              parts->day, date));
    skew = at - check->now_unix_ms;
    if (check->max_skew_ms > 0 && (skew > check->max_skew_ms || skew < -check->max_skew_ms)) {
        sigv4_format_date(check->now_unix_ms, now);
        return refuse(ret_code, INVALID_SIGNATURE, err,
                      err_set(err, ERR_AUTH,
                              "%s: X-Amz-Date is %s, the time here is %s, and they may differ by "
                              "%lld s",
                              skew < 0 ? "Signature expired" : "Signature not yet current", date,
                              now, (long long)(check->max_skew_ms / 1000)));
    }
    return 0;
}

static int check_scope_and_key(const struct sigv4_request *request, const struct sigv4_check *check,
                               const struct sigv4_authorization *parts, const char **ret_secret,
                               const char **ret_code, struct err *err)
{
    const char *token = NULL, *sent = find_header(request, "x-amz-security-token");

    if (check->region != NULL && strcmp(parts->region, check->region) != 0)
        return refuse(ret_code, INVALID_SIGNATURE, err,
                      err_set(err, ERR_AUTH,
                              "Credential is scoped to region %s, this endpoint is in %s",
                              parts->region, check->region));
    if (check->service != NULL && strcmp(parts->service, check->service) != 0)
        return refuse(ret_code, INVALID_SIGNATURE, err,
                      err_set(err, ERR_AUTH,
                              "Credential is scoped to service %s, this is service %s",
                              parts->service, check->service));
    *ret_secret = check->secret(check->ctx, parts->access_key, &token);
    if (*ret_secret == NULL)
        return refuse(ret_code, UNKNOWN_CLIENT, err,
                      err_set(err, ERR_AUTH, "access key %s is not known here", parts->access_key));
    if (token != NULL && (sent == NULL || strlen(sent) != strlen(token) ||
                          CRYPTO_memcmp(sent, token, strlen(token))))
        return refuse(ret_code, UNKNOWN_CLIENT, err,
                      err_set(err, ERR_AUTH, "%s for access key %s",
                              sent == NULL ? "X-Amz-Security-Token is missing"
                                           : "X-Amz-Security-Token is not the one issued",
                              parts->access_key));
    return 0;
}

static int check_signature(const struct sigv4_request *request,
                           const struct sigv4_authorization *parts, const char *secret,
                           const char **ret_code, struct err *err)
{
    const struct sigv4_scope scope = {.date = find_header(request, "x-amz-date"),
                                      .region = parts->region,
                                      .service = parts->service};
    AUTO(buf_done) struct buf canonical = {0};
    AUTO(buf_done) struct buf text = {0};
    unsigned char key[SHA256_SIZE];
    char signature[SHA256_HEX_SIZE];
    int r;

    buf_init(&canonical, SIGV4_MAX_CANONICAL_BYTES);
    buf_init(&text, 1024);
    r = sigv4_canonical(request, parts->service, parts->signed_headers, &canonical, NULL, err);
    if (r == 0)
        r = sigv4_string_to_sign(&scope, buf_str(&canonical), canonical.len, &text, err);
    if (r == 0)
        r = sigv4_signing_key(secret, &scope, key, err);
    if (r == 0)
        sigv4_hmac_hex(key, buf_str(&text), text.len, signature);
    explicit_bzero(key, sizeof(key));
    if (r < 0)
        return refuse(ret_code, INCOMPLETE, err, r);
    if (strlen(parts->signature) != SHA256_HEX_SIZE - 1 ||
        CRYPTO_memcmp(parts->signature, signature, SHA256_HEX_SIZE - 1) != 0) {
        char hex[SHA256_HEX_SIZE];

        sha256_hex_of(buf_str(&canonical), canonical.len, hex);
        return refuse(ret_code, INVALID_SIGNATURE, err,
                      err_set(err, ERR_AUTH,
                              "the signature does not match: either the secret key of %s differs "
                              "or the request was changed on its way (signed headers %.200s; "
                              "SHA-256 of the canonical request here is %s)",
                              parts->access_key, parts->signed_headers, hex));
    }
    return 0;
}

int sigv4_verify(const struct sigv4_request *request, const struct sigv4_check *check,
                 struct sigv4_authorization *ret_parts, const char **ret_code, struct err *err)
{
    const char *authorization = find_header(request, "authorization"), *left_out, *secret = NULL;
    struct sigv4_authorization parts;
    int r;

    if (authorization == NULL)
        return refuse(ret_code, MISSING_TOKEN, err,
                      err_set(err, ERR_AUTH, "the request has no Authorization header"));
    r = sigv4_parse_authorization(authorization, &parts, err);
    if (r < 0)
        return refuse(ret_code, INCOMPLETE, err, r);
    r = check_date(request, check, &parts, ret_code, err);
    if (r < 0)
        return r;
    left_out = unsigned_amz_header(request, parts.signed_headers);
    if (left_out != NULL)
        return refuse(ret_code, INVALID_SIGNATURE, err,
                      err_set(err, ERR_AUTH, "header %s is not among SignedHeaders", left_out));
    r = check_scope_and_key(request, check, &parts, &secret, ret_code, err);
    if (r < 0)
        return r;
    r = check_signature(request, &parts, secret, ret_code, err);
    if (r < 0)
        return r;
    *ret_parts = parts;
    return 0;
}
