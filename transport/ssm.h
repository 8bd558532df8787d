/* The ssm service: this node's registration data (spec 02, section 3), Parameter Store (04, section
 * 2.5). Loop thread only. */
#ifndef SSMD_TRANSPORT_SSM_H
#define SSMD_TRANSPORT_SSM_H

#include "transport/aws.h"

/* NULL or "" leaves a member out. An empty ping has the first four only. */
struct ssm_instance_information {
    const char *agent_name; /* NULL or "": amazon-ssm-agent, the only one the service knows */
    const char *agent_version;
    const char *instance_id;
    const char *platform_type; /* Linux */
    const char *agent_status;  /* Active */
    const char *platform_name, *platform_version;
    const char *ip_address, *computer_name;
    const char *availability_zone, *availability_zone_id;
    const char *connection_channel; /* ssmmessages, ec2messages */
};

/* UpdateInstanceInformation. *ret_call may be NULL. ERR_INVALID: a member that the service needs is
 * missing; ERR_NOMEM, ERR_LIMIT. */
int ssm_update_instance_information(struct aws *aws, const struct ssm_instance_information *info,
                                    aws_done_fn done, void *ctx, struct aws_call **ret_call,
                                    struct err *err) MUST_CHECK;

/* GetParameters of 1 to PARAMETER_MAX_PER_CALL different names, each as it is to be asked for (a
 * name or ARN, with or without version or label). The body of a success is for
 * parameter_answer_parse(); with decryption it holds secrets, so it must not be logged. *ret_call
 * may be NULL. ERR_INVALID, ERR_NOMEM, ERR_LIMIT. */
int ssm_get_parameters(struct aws *aws, const char *const *names, size_t n, bool with_decryption,
                       aws_done_fn done, void *ctx, struct aws_call **ret_call, struct err *err)
    MUST_CHECK;

/* GetDocument. `version` NULL or "": the default one. The body of a success is for
 * ssm_document_parse(). *ret_call may be NULL. ERR_NOMEM, ERR_LIMIT. */
int ssm_get_document(struct aws *aws, const char *name, const char *version, aws_done_fn done,
                     void *ctx, struct aws_call **ret_call, struct err *err) MUST_CHECK;
/* The document in it, JSON or YAML, into *ret_content, which the caller has initialised. Any
 * thread. ERR_PROTOCOL: it is no such answer; ERR_LIMIT, ERR_NOMEM. */
int ssm_document_parse(const char *body, size_t n, struct buf *ret_content, struct err *err)
    MUST_CHECK;

/* One page of ListInstanceAssociations (spec 08, section 3.1), the first with `token` NULL; all of
 * them: transport/associations.h. *ret_call may be NULL. ERR_NOMEM, ERR_LIMIT. */
int ssm_list_instance_associations(struct aws *aws, const char *instance_id, const char *token,
                                   aws_done_fn done, void *ctx, struct aws_call **ret_call,
                                   struct err *err) MUST_CHECK;

#endif
