/* What an answer of S3 means: pure decisions, apart from the call that acts on them. */
#include <string.h>

#include "base/str.h"
#include "transport/s3_internal.h"

/* HEAD has no body to name the reason in. */
static const char *code_of_status(long status)
{
    switch (status) {
    case 400:
        return "BadRequest";
    case 403:
        return "Forbidden";
    case 404:
        return "NotFound";
    case 412:
        return "PreconditionFailed";
    default:
        return "";
    }
}

bool s3_is_from_s3(const struct http_response *response)
{
    const char *type = http_response_header(response, "Content-Type");

    return http_response_header(response, "x-amz-request-id") != NULL || type == NULL ||
           !str_has_prefix(type, "text/html");
}

void s3_judge(const char *method, const char *bucket, const struct http_response *response,
              struct s3_error *error, struct aws_verdict *ret_verdict, struct err *err)
{
    struct aws_verdict v = {0};
    const char *request_id;

    memset(error, 0, sizeof(*error));
    if (response->err != NULL) {
        v.code = response->err->code;
        v.is_retryable = v.code == ERR_NETWORK || v.code == ERR_TIMEOUT;
        *err = *response->err;
        (void)err_wrap(err, "S3 %s %s", method, bucket);
        *ret_verdict = v;
        return;
    }
    if (response->status == 304) {
        *ret_verdict = v;
        return;
    }
    if (response->status < 200 || response->status >= 300) {
        s3_xml_error(response->body, response->len, error);
        if (error->code[0] == '\0' && (str_eq(method, "HEAD") || response->len == 0) &&
            s3_is_from_s3(response))
            (void)str_copy(error->code, sizeof(error->code), code_of_status(response->status));
        v = aws_classify(response->status, error->code);
        if (str_eq(error->code, "Forbidden")) /* a HEAD names no reason: this may be it */
            v.may_be_clock = true;
        if (str_eq(error->code, "SlowDown"))
            v = (struct aws_verdict){.code = ERR_THROTTLED, .is_retryable = true};
    } else if (!s3_is_from_s3(response)) {
        v.code = ERR_PROTOCOL;
    }
    request_id = http_response_header(response, "x-amz-request-id");
    if (v.code == ERR_PROTOCOL)
        (void)err_set(err, v.code,
                      "S3 %s %s: the answer is HTTP %ld with a body that is not S3's (is there a "
                      "proxy or a login page in between?)",
                      method, bucket, response->status);
    else if (v.code != 0)
        (void)err_set(err, v.code, "S3 %s %s: %s%s%s (HTTP %ld%s%s)", method, bucket, error->code,
                      error->message[0] != '\0' ? ": " : "", error->message, response->status,
                      request_id != NULL ? ", request " : "", request_id != NULL ? request_id : "");
    *ret_verdict = v;
}

bool s3_is_permanent(const struct s3_result *result)
{
    /* Refusals of the permission kind; credentials that may be replaced are not among them. */
    static const char *const denied[] = {"AccessDenied",    "AllAccessDisabled", "AccountProblem",
                                         "NotSignedUp",     "Forbidden",         "OptInRequired",
                                         "MethodNotAllowed"};
    /* What went wrong on the way, though S3 says it with a 4xx. */
    static const char *const again[] = {"BadDigest",        "XAmzContentSHA256Mismatch",
                                        "InvalidDigest",    "IncompleteBody",
                                        "NoSuchUpload",     "InvalidPart",
                                        "RequestTimeout",   "OperationAborted",
                                        "InvalidPartOrder", "RestoreAlreadyInProgress"};
    size_t i;

    if (result->err == NULL)
        return false;
    for (i = 0; i < ARRAY_LEN(denied); i++) {
        if (str_eq(result->error_code, denied[i]))
            return true;
    }
    for (i = 0; i < ARRAY_LEN(again); i++) {
        if (str_eq(result->error_code, again[i]))
            return false;
    }
    return result->err->code == ERR_REFUSED || result->err->code == ERR_INVALID ||
           result->err->code == ERR_LIMIT;
}
