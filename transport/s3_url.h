/* URLs that name an object of S3 or a folder of them (spec 02, section 7.3; 04, section 8.4). Pure;
 * any thread. */
#ifndef SSMD_TRANSPORT_S3_URL_H
#define SSMD_TRANSPORT_S3_URL_H

#include "transport/s3_address.h"

struct s3_url {
    char bucket[S3_MAX_BUCKET_BYTES + 1];
    char key[S3_MAX_KEY_BYTES + 1]; /* decoded; "": the whole bucket */
    char region[S3_REGION_SIZE];    /* us-east-1 where the host names none */
    bool is_path_style;
    char host[300]; /* as it was given, with its port */
};

/* Each '+' means a blank. Path style, virtual hosts, website, accelerate and dualstack names, VPC
 * endpoints. ERR_INVALID: anything else, s3:// too. */
int s3_url_parse(const char *url, struct s3_url *ret_url, struct err *err) MUST_CHECK;

#endif
