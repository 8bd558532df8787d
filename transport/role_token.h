/* The role of a hybrid node: RequestManagedInstanceRoleToken, signed with the node's key (spec 01,
 * section 6). Loop thread only. */
#ifndef SSMD_TRANSPORT_ROLE_TOKEN_H
#define SSMD_TRANSPORT_ROLE_TOKEN_H

#include "transport/credentials_fetched.h"
#include "transport/ssm_node.h"

struct role_token_options {
    struct aws *aws;         /* borrowed; outlives the provider */
    const char *instance_id; /* mi-...; copied */
    const char *fingerprint; /* copied */
    struct rsa_key *key;     /* taken over, also on failure */
    /* Asked before each request. False: not yet; role_token_checked() goes on. May be NULL. */
    bool (*check)(void *ctx);
    /* A token came; `credentials` is borrowed for the call. May be NULL. */
    void (*came)(void *ctx, const struct credentials *credentials, bool is_rotation_wanted);
    void *ctx;
};

int role_token_new(uv_loop_t *loop, const struct role_token_options *o,
                   struct credentials_provider **ret_provider, struct err *err) MUST_CHECK;
/* The answer to a `check` that was false: err NULL, ask now; else the fetch ends with it. */
void role_token_checked(struct credentials_provider *p, const struct err *err);
/* Sign with another key from now on; takes it over. */
void role_token_set_key(struct credentials_provider *p, struct rsa_key *key);

#endif
