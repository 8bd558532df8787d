/* The role of an EC2 instance (spec 01, section 8): the instance profile, proven with a call, else
 * Default Host Management, which hands out a role to who signs with the instance's own identity
 * and its registered key. Loop thread only. */
#ifndef SSMD_TRANSPORT_INSTANCE_ROLE_H
#define SSMD_TRANSPORT_INSTANCE_ROLE_H

#include "transport/credentials_fetched.h"
#include "transport/imds.h"
#include "transport/ssm_node.h"

/* The instance identity role's credentials; they may register the instance and ask for its role,
 * nothing else. `imds` is borrowed as long as the provider lives. */
int instance_identity_new(uv_loop_t *loop, struct imds *imds,
                          struct credentials_provider **ret_provider, struct err *err) MUST_CHECK;

/* The instance profile's, as they are: where nothing is known about the service (section 10). */
int instance_profile_new(uv_loop_t *loop, struct imds *imds,
                         struct credentials_provider **ret_provider, struct err *err) MUST_CHECK;

struct instance_role_options {
    struct imds *imds;                     /* borrowed, as all of these: outlive the provider */
    struct aws *aws;                       /* to prove with, and to ask */
    struct credentials_provider *identity; /* of instance_identity_new() */
    const char *instance_id;               /* copied */
    const char *agent_version;             /* copied */
    /* The key that this instance is registered with, borrowed until the next turn; NULL: it is not
     * registered (yet). */
    const struct rsa_key *(*key)(void *ctx);
    void *ctx;
};

int instance_role_new(uv_loop_t *loop, const struct instance_role_options *o,
                      struct credentials_provider **ret_provider, struct err *err) MUST_CHECK;
/* Where the credentials in use come from: "EC2", "SSM" (Default Host Management), or "". */
const char *instance_role_source(struct credentials_provider *p);

/* A provider of fixed credentials, taken over. */
int credentials_fixed_new(struct credentials *credentials,
                          struct credentials_provider **ret_provider, struct err *err) MUST_CHECK;

#endif
