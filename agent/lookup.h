/* What others ask of who talks to the service: documents and
 * associations for the engine, documents, parameters and credentials for the helper programs of
 * steps. The loop's thread.
 *
 * A `done` is called once, from the loop, never from within the call that asked; with ERR_CANCELLED
 * when the service ends first, perhaps after the loop. Strings are borrowed for the call. A failure
 * to even begin is returned; `done` is not called then. */
#ifndef SSMD_AGENT_LOOKUP_H
#define SSMD_AGENT_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/json.h"
#include "transport/credentials.h"

/* err NULL: `text` is the document as the service keeps it, JSON or YAML; or a parameter's value,
 * which may be a secret. Borrowed for the call. */
typedef void (*lookup_fn)(void *ctx, const char *text, size_t n, const struct err *err);

/* err NULL: the associations of this node (a list of objects, borrowed for the call; NULL: none),
 * and whether there are more than one looks through (transport/associations.h). A service without
 * State Manager has none. Otherwise as above. */
typedef void (*lookup_associations_fn)(void *ctx, const cJSON *associations, bool has_more,
                                       const struct err *err);

typedef void (*lookup_told_fn)(void *ctx, const struct err *err);

struct lookup {
    /* ssm:GetDocument. `version` may be "". */
    int (*get_document)(struct lookup *l, const char *name, const char *version, lookup_fn done,
                        void *ctx, struct err *err);
    /* One parameter, decrypted (spec 04, section 8.9). ERR_REFUSED: it is not there, or is a
     * SecureString though `is_secure` is false, or the other way round. */
    int (*get_parameter)(struct lookup *l, const char *name, bool is_secure, lookup_fn done,
                         void *ctx, struct err *err);
    /* The credentials that ssmd signs with now; as credentials_get(). */
    int (*get_credentials)(struct lookup *l, const struct credentials **ret, struct err *err);
    /* ssm:ListInstanceAssociations. `done` is not called when the service ends first. */
    int (*list_associations)(struct lookup *l, lookup_associations_fn done, void *ctx,
                             struct err *err);
    /* The service answered this process, and a channel to it works now. */
    bool (*is_in_reach)(struct lookup *l);
    /* The service's time, as its answers tell it, less this machine's; 0: they agree, or no answer
     * has come. */
    int64_t (*clock_offset_ms)(struct lookup *l);
    /* ssm:UpdateInstanceInformation with this AgentStatus in place of "Active", once. `done` is not
     * called when the service ends first. */
    int (*tell_status)(struct lookup *l, const char *agent_version, const char *agent_status,
                       lookup_told_fn done, void *ctx, struct err *err);
};

#endif
