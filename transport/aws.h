/* One call of an AWS JSON-RPC 1.1 service: endpoint, signature, retries, and what its failure means
 * (spec 02, sections 1, 2 and 10). Loop thread only.
 *
 * A wrong clock of this machine does no harm: requests are signed with the service's time, learned
 * from its Date headers. Except for TLS: whether a certificate is valid is judged by the machine's
 * clock, and a clock that is years off fails there first, with an error that says so. */
#ifndef SSMD_TRANSPORT_AWS_H
#define SSMD_TRANSPORT_AWS_H

#include <uv.h>

#include "transport/credentials.h"
#include "transport/endpoint.h"
#include "transport/http.h"
#include "transport/rsa_key.h"

#define AWS_RETRIES 3 /* of the reference's general calls */
#define AWS_ERROR_CODE_SIZE 128

struct aws;
struct aws_call;

struct aws_options {
    struct http *http;                        /* borrowed; outlives the aws */
    struct credentials_provider *credentials; /* borrowed; outlives the aws */
    const char *region;                       /* of the hosts, and of the signatures */
    const char *signing_region;               /* Agent.Region; NULL or "": as `region` */
    const char *domain;                       /* Agent.ServiceDomain; NULL or "": by region */
    const char *endpoints[AWS_SERVICE_COUNT]; /* overrides; NULL or "": by region */
    const char *regions[AWS_SERVICE_COUNT];   /* of one service's host and signatures (Mgs.Region);
                                                 NULL or "": as the others */
    int64_t retry_unit_ms;                    /* of the "SSM" delays; 0: 1000 as in the reference */
};

/* ERR_INVALID: region or an endpoint cannot be used; ERR_NOMEM. The caller ends *ret_aws with
 * aws_close(). */
int aws_new(uv_loop_t *loop, const struct aws_options *options, struct aws **ret_aws,
            struct err *err) MUST_CHECK;
/* Cancels every call, without callbacks; their timers are closed by the loop. NULL is allowed. May
 * be called from a done callback. */
void aws_close(struct aws *aws);

/* The key of a managed node. Without credentials it signs alone, as `instance_id` (a hybrid node:
 * spec 01, section 6.2); with them it signs in addition (Default Host Management: section 8). */
struct aws_key {
    const struct rsa_key *rsa;
    const char *instance_id;
};

struct aws_request {
    enum aws_service service;
    const char *operation; /* SendReply */
    /* NULL: JSON-RPC, "POST /" with X-Amz-Target. Else a POST of JSON to this path of the service's
     * host, as it goes over the wire; `operation` is for texts then, 201 alone is a success, and
     * its body is the caller's to judge. Copied. */
    const char *path;
    const char *body; /* JSON; copied */
    size_t body_len;
    int64_t timeout_ms;        /* of each try; 0: 60 s */
    unsigned n_retries;        /* AWS_RETRIES, or 0 */
    size_t max_response_bytes; /* 0: 1 MiB */
    bool is_unsigned;          /* RegisterManagedInstance with an activation; or signed by `key` */
    const struct aws_key *key; /* NULL: none. Borrowed until the call is over */
    /* Sign with these; NULL: those of the aws. Borrowed until the call is over. */
    struct credentials_provider *credentials;
};

/* Borrowed for the duration of the callback. */
struct aws_result {
    /* NULL: the service did it. Else, for all tries together, how the last one ended:
     *   ERR_NETWORK, ERR_TIMEOUT  no answer, or none in time; it may have been done all the same
     *   ERR_THROTTLED, ERR_SERVER the service asks to wait, or failed
     *   ERR_AUTH                  no credentials, or refused ones, or no permission
     *   ERR_REFUSED               a 4xx of the service that no repetition will change
     *   ERR_PROTOCOL              the bytes are not such a service's (a proxy's page, for example)
     *   ERR_NOMEM, ERR_INVALID */
    const struct err *err;
    const char *error_code; /* the service's, for example "InvalidMessageIdException"; "" if none */
    const char *body;       /* NUL-terminated; never NULL */
    size_t len;
    long http_status;        /* of the last try; 0: none */
    const char *request_id;  /* "" when the answer had none */
    bool was_sent, is_reset; /* of the last try: as in struct http_response */
};

typedef void (*aws_done_fn)(void *ctx, const struct aws_result *result);

/* Begin a call. The callback runs once, from the loop, never from inside this function. *ret_call
 * (may be NULL) is for aws_cancel(). ERR_NOMEM, ERR_LIMIT. */
int aws_start(struct aws *aws, const struct aws_request *request, aws_done_fn done, void *ctx,
              struct aws_call **ret_call, struct err *err) MUST_CHECK;
/* End a call without its callback. NULL is allowed. */
void aws_cancel(struct aws_call *call);

/* The service's idea of now, as Unix time. */
int64_t aws_now_ms(const struct aws *aws);
/* How much is added to this machine's clock. 0: it is right, or nothing is known. */
int64_t aws_clock_offset_ms(const struct aws *aws);

struct aws_headers; /* transport/aws_sign.h */
/* The headers of a GET that another protocol begins with (a websocket's upgrade), signed with the
 * credentials of now. `path` and `query` as they are sent. ERR_BUSY: the credentials are being
 * fetched, try again soon; ERR_AUTH: there are none. The caller ends *ret_headers with
 * aws_headers_done(), also on failure; they hold pointers that are good until the loop's next turn.
 */
int aws_sign_get(struct aws *aws, enum aws_service service, const char *path, const char *query,
                 struct aws_headers *ret_headers, struct err *err) MUST_CHECK;

const struct endpoint *aws_endpoint(const struct aws *aws, enum aws_service service);

#endif
