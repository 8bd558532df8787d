/* Status and error code to verdict (spec 02, sections 2.3 and 10), the clock's rule, and how long
 * to wait. */
#include "transport/aws_classify.h"

#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/str.h"

#define TOLERANCE_MS (5 * 60 * 1000)
#define TOLERANCE_AFTER_ERROR_MS 5000
#define MAX_RETRY_DELAY_MS (INT64_C(5) * 60 * 1000)

enum { RETRY = 1, CLOCK = 2, CREDENTIALS = 4 };

/* Codes that decide, whatever the HTTP status is. All others: by status. */
static const struct {
    const char *error_code;
    int code;
    unsigned flags;
} known[] = {
    {"RequestTimeout", ERR_TIMEOUT, RETRY},
    {"RequestTimeoutException", ERR_TIMEOUT, RETRY},
    {"ResponseTimeout", ERR_TIMEOUT, RETRY},

    {"ProvisionedThroughputExceededException", ERR_THROTTLED, RETRY},
    {"ThrottledException", ERR_THROTTLED, RETRY},
    {"Throttling", ERR_THROTTLED, RETRY},
    {"ThrottlingException", ERR_THROTTLED, RETRY},
    {"RequestLimitExceeded", ERR_THROTTLED, RETRY},
    {"RequestThrottled", ERR_THROTTLED, RETRY},
    {"RequestThrottledException", ERR_THROTTLED, RETRY},
    {"TooManyRequestsException", ERR_THROTTLED, RETRY},
    {"PriorRequestNotComplete", ERR_THROTTLED, RETRY},
    {"TransactionInProgressException", ERR_THROTTLED, RETRY},
    {"EC2ThrottledException", ERR_THROTTLED, RETRY},

    {"ExpiredToken", ERR_AUTH, RETRY | CREDENTIALS},
    {"ExpiredTokenException", ERR_AUTH, RETRY | CREDENTIALS},
    {"RequestExpired", ERR_AUTH, RETRY | CREDENTIALS | CLOCK},

    {"RequestTimeTooSkewed", ERR_AUTH, CLOCK},
    {"RequestInTheFuture", ERR_AUTH, CLOCK},
    {"InvalidSignatureException", ERR_AUTH, CLOCK | CREDENTIALS},
    {"SignatureDoesNotMatch", ERR_AUTH, CLOCK | CREDENTIALS},
    {"UnrecognizedClientException", ERR_AUTH, CREDENTIALS},
    {"InvalidClientTokenId", ERR_AUTH, CREDENTIALS},
    {"InvalidAccessKeyId", ERR_AUTH, CREDENTIALS},
    {"AuthFailure", ERR_AUTH, CREDENTIALS | CLOCK},
    {"AuthorizationFailureException", ERR_AUTH, CREDENTIALS},
    {"IncompleteSignature", ERR_AUTH, 0},
    {"IncompleteSignatureException", ERR_AUTH, 0},
    {"MissingAuthenticationToken", ERR_AUTH, 0},
    {"MissingAuthenticationTokenException", ERR_AUTH, 0},
    {"AccessDenied", ERR_AUTH, 0},
    {"AccessDeniedException", ERR_AUTH, 0},
    {"NotAuthorized", ERR_AUTH, 0},
    {"OptInRequired", ERR_AUTH, 0},
};

static struct aws_verdict by_status(long status, bool has_code)
{
    if (status >= 200 && status < 300)
        return (struct aws_verdict){.code = 0};
    if (status == 429)
        return (struct aws_verdict){.code = ERR_THROTTLED, .is_retryable = true};
    if (status == 408)
        return (struct aws_verdict){.code = ERR_TIMEOUT, .is_retryable = true};
    if (status >= 500)
        return (struct aws_verdict){.code = ERR_SERVER, .is_retryable = status != 501};
    if (status == 401 || status == 403)
        return (struct aws_verdict){.code = ERR_AUTH, .may_be_credentials = true};
    /* Only the service itself can refuse for good. A 404 page of something in between must not make
     * anybody give up a result. */
    if (status >= 400 && has_code)
        return (struct aws_verdict){.code = ERR_REFUSED};
    return (struct aws_verdict){.code = ERR_PROTOCOL};
}

struct aws_verdict aws_classify(long http_status, const char *error_code)
{
    bool has_code = error_code[0] != '\0' && !str_eq(error_code, "SerializationError");
    bool is_success = http_status >= 200 && http_status < 300;
    size_t i;

    for (i = 0; !is_success && has_code && i < ARRAY_LEN(known); i++) {
        if (str_eq(error_code, known[i].error_code))
            return (struct aws_verdict){.code = known[i].code,
                                        .is_retryable = (known[i].flags & RETRY) != 0,
                                        .may_be_clock = (known[i].flags & CLOCK) != 0,
                                        .may_be_credentials = (known[i].flags & CREDENTIALS) != 0};
    }
    return by_status(http_status, has_code);
}

bool aws_is_success_body(const char *body, size_t n, bool has_request_id)
{
    static const char blanks[] = " \t\r\n";
    size_t first = strspn(body, blanks);

    while (n > 0 && strchr(blanks, body[n - 1]) != NULL)
        n--;
    if (first >= n)
        return has_request_id;
    return body[first] == '{' && body[n - 1] == '}';
}

int64_t aws_learn_offset(int64_t offset_ms, int64_t date_ms, int64_t wall_ms, bool may_be_clock)
{
    int64_t difference, error;

    if (date_ms < 0)
        return offset_ms;
    difference = date_ms - wall_ms;
    error = difference - offset_ms;
    if (llabs(error) <= (may_be_clock ? TOLERANCE_AFTER_ERROR_MS : TOLERANCE_MS))
        return offset_ms;
    if (llabs(difference) <= (may_be_clock ? TOLERANCE_AFTER_ERROR_MS : TOLERANCE_MS))
        return 0; /* this machine's clock was set right meanwhile */
    return difference;
}

bool aws_learn_clock(int64_t *offset_ms, int64_t signed_offset_ms, int64_t date_ms, int64_t wall_ms,
                     bool may_be_clock)
{
    *offset_ms = aws_learn_offset(*offset_ms, date_ms, wall_ms, may_be_clock);
    return *offset_ms != signed_offset_ms;
}

int64_t aws_retry_delay_ms(unsigned n_tried, int64_t unit_ms, int64_t asked_ms, uint32_t random)
{
    int64_t delay = backoff_ssm_ms(n_tried - 1, random) * unit_ms / 1000;

    if (asked_ms > delay)
        delay = asked_ms < MAX_RETRY_DELAY_MS ? asked_ms : MAX_RETRY_DELAY_MS;
    return delay;
}
