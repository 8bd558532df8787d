/* The credentials of a hybrid node: its machine is looked at before the first role token is asked
 * for, its key is changed when it is due, and its scripts get a credentials file (spec 01, sections
 * 5, 6 and 11). The loop's thread. */
#ifndef SSMD_AGENT_HYBRID_H
#define SSMD_AGENT_HYBRID_H

#include "agent/registrar.h"
#include "transport/credentials_fetched.h"

struct hybrid;

struct hybrid_options {
    uv_loop_t *loop;
    const struct config *config; /* borrowed, as all of these */
    struct registrar *registrar;
    struct aws *aws; /* of the registration's region */
};

/* ERR_CORRUPT, ERR_NOT_FOUND: key or fingerprint of the registration are damaged or missing.
 * *ret_provider is to be freed with credentials_provider_free(), before hybrid_close(). */
int hybrid_new(const struct hybrid_options *o, struct hybrid **ret_hybrid,
               struct credentials_provider **ret_provider, struct err *err) MUST_CHECK;
void hybrid_close(struct hybrid *h); /* NULL is allowed; freed when its work is over */

/* What scripts get: the file's name in the vault. */
#define HYBRID_SHARE_FILE "credentials"

#endif
