/* What an answer means: pure decisions, apart from the call that acts on them. */
#ifndef SSMD_TRANSPORT_AWS_CLASSIFY_H
#define SSMD_TRANSPORT_AWS_CLASSIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct aws_verdict {
    int code;                /* 0 or enum err_code, as in struct aws_result */
    bool is_retryable;       /* by the same caller, after a delay */
    bool may_be_clock;       /* the signature's date may be what is wrong */
    bool may_be_credentials; /* other credentials may be accepted */
};

/* An answer that came in whole. `error_code` is that of its body ("" or "SerializationError": the
 * body named none). */
struct aws_verdict aws_classify(long http_status, const char *error_code);

/* A success must look like one: a JSON object, or nothing at all but with the service's request id.
 * A page of a proxy or a captive portal with status 200 is no success. */
bool aws_is_success_body(const char *body, size_t n, bool has_request_id);

/* The new clock offset after an answer whose Date is `date_ms`, received when this machine's clock
 * showed `wall_ms`. A difference of up to 5 minutes changes nothing, because services accept it and
 * a Date is only good to a second; after an error that may come from the clock 5 seconds do. */
int64_t aws_learn_offset(int64_t offset_ms, int64_t date_ms, int64_t wall_ms, bool may_be_clock);

/* Learn from such an answer to a request that was signed with `signed_offset_ms`: *offset_ms, which
 * all calls of a client share, becomes what aws_learn_offset() says. True when the request would be
 * signed with another time now, also when it is another call that learned it meanwhile. */
bool aws_learn_clock(int64_t *offset_ms, int64_t signed_offset_ms, int64_t date_ms, int64_t wall_ms,
                     bool may_be_clock);

/* How long to wait before the next try after `n_tried` (1 or more): the reference's "SSM" delay in
 * units of `unit_ms` instead of a second, or what the service asked for (-1: nothing) when that is
 * longer, up to 5 minutes. */
int64_t aws_retry_delay_ms(unsigned n_tried, int64_t unit_ms, int64_t asked_ms, uint32_t random);

#endif
