/* The ssm service's calls by which a node becomes known and gets its role (spec 01, sections 4, 6
 * and 8). Loop thread only. */
#ifndef SSMD_TRANSPORT_SSM_NODE_H
#define SSMD_TRANSPORT_SSM_NODE_H

#include "transport/aws.h"

/* What a node registers with. Everything is borrowed for the call. */
struct ssm_registration {
    const char *activation_id;                /* NULL: not with an activation, but signed */
    const struct secret *activation_code;     /* with activation_id */
    const char *fingerprint;                  /* hybrid: a UUID; EC2: the instance id */
    const char *public_key;                   /* Base64 */
    const char *iam_role;                     /* Greengrass form; or NULL */
    struct credentials_provider *credentials; /* without an activation */
};

/* RegisterManagedInstance (spec 01, sections 4.2 and 4.3). ERR_INVALID: a member is shorter than
 * the service takes. */
int ssm_register(struct aws *aws, const struct ssm_registration *g, aws_done_fn done, void *ctx,
                 struct aws_call **ret_call, struct err *err) MUST_CHECK;
/* The id in its answer. ERR_PROTOCOL. */
int ssm_parse_instance_id(const char *body, size_t n, char *ret_id, size_t size, struct err *err)
    MUST_CHECK;

/* UpdateInstanceInformation with the least that it takes, signed with these credentials: does the
 * service accept them? (spec 01, section 8) */
int ssm_prove(struct aws *aws, const char *instance_id, const char *agent_version,
              struct credentials_provider *credentials, aws_done_fn done, void *ctx,
              struct aws_call **ret_call, struct err *err) MUST_CHECK;

/* RequestManagedInstanceRoleToken (spec 01, sections 6.1 and 8). `credentials` NULL: signed by
 * `key` alone. Both are borrowed until the call is over. */
int ssm_request_role_token(struct aws *aws, const char *fingerprint, const struct aws_key *key,
                           struct credentials_provider *credentials, aws_done_fn done, void *ctx,
                           struct aws_call **ret_call, struct err *err) MUST_CHECK;
/* Its answer: credentials_parse_role_token(). */

/* UpdateManagedInstancePublicKey, signed by `key` (spec 01, section 6.3). */
int ssm_update_public_key(struct aws *aws, const char *public_key, const struct aws_key *key,
                          aws_done_fn done, void *ctx, struct aws_call **ret_call, struct err *err)
    MUST_CHECK;

#endif
