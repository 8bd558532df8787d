/* What the engine asks the service for before it can go on with a command: a nested document's
 * text, the
 * associations of this node. One per engine, given by who talks to the service. The loop's thread.
 */
#ifndef SSMD_AGENT_LOOKUP_H
#define SSMD_AGENT_LOOKUP_H

#include <stddef.h>

#include "schema/json.h"

/* err NULL: `content` is the document as the service keeps it, JSON or YAML; borrowed for the call.
 * Called from the loop, never from within the call that asked for it. Not called at all when the
 * service was closed meanwhile. */
typedef void (*lookup_document_fn)(void *ctx, const char *content, size_t n, const struct err *err);

/* err NULL: the associations of this node, as far as one answer holds them (a list of objects,
 * borrowed for the call; NULL: none), and whether there are more. A service without State Manager
 * has none. Otherwise as above. */
typedef void (*lookup_associations_fn)(void *ctx, const cJSON *associations, bool has_more,
                                       const struct err *err);

struct lookup {
    /* ssm:GetDocument. `version` may be "". Strings are borrowed for the call. A failure to even
     * begin is returned; `done` is not called then. */
    int (*get_document)(struct lookup *l, const char *name, const char *version,
                        lookup_document_fn done, void *ctx, struct err *err);
    /* ssm:ListInstanceAssociations. */
    int (*list_associations)(struct lookup *l, lookup_associations_fn done, void *ctx,
                             struct err *err);
};

#endif
