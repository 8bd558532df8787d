/* Where a service is and by what name requests to it are signed (spec 02, section 1). Pure. */
#ifndef SSMD_TRANSPORT_ENDPOINT_H
#define SSMD_TRANSPORT_ENDPOINT_H

#include <stdbool.h>

#include "base/err.h"

/* name, host prefix and signing name, X-Amz-Target prefix */
#define AWS_SERVICES(X)                                                                            \
    X(AWS_SSM, "ssm", "AmazonSSM.")                                                                \
    X(AWS_EC2MESSAGES, "ec2messages", "EC2WindowsMessageDeliveryService.")                         \
    X(AWS_SSMMESSAGES, "ssmmessages", "")                                                          \
    X(AWS_LOGS, "logs", "Logs_20140328.")                                                          \
    X(AWS_KMS, "kms", "TrentService.")                                                             \
    X(AWS_S3, "s3", "")

enum aws_service {
#define AWS_SERVICE_ENUM_(id, name, target) id,
    AWS_SERVICES(AWS_SERVICE_ENUM_)
#undef AWS_SERVICE_ENUM_
        AWS_SERVICE_COUNT
};

const char *aws_service_name(enum aws_service s);
const char *aws_service_target_prefix(enum aws_service s);

struct endpoint {
    char url[600];    /* scheme://authority/path; ends in '/' when there is no path */
    char origin[320]; /* scheme://authority, without a path */
    char host[300];   /* the Host header: the scheme's default port is left out, others stay */
    char path[300];   /* as it is sent; at least "/" */
};

/* `domain` NULL or "": by the region. `override` (the configuration's Endpoint, NULL or "": none)
 * may be a host, host:port or an http:// or https:// URL. ERR_INVALID names what cannot be used. */
int endpoint_make(enum aws_service service, const char *region, const char *domain,
                  const char *override, struct endpoint *ret_endpoint, struct err *err) MUST_CHECK;

#endif
