/* All associations of a node: ListInstanceAssociations, page by page (spec 08, section 3.1). Loop
 * thread only. */
#ifndef SSMD_TRANSPORT_ASSOCIATIONS_H
#define SSMD_TRANSPORT_ASSOCIATIONS_H

#include <cjson/cJSON.h>

#include "transport/aws.h"

/* A service that never ends is not followed further than this. */
#define ASSOCIATIONS_MAX_PAGES 100 /* of 20 each */
#define ASSOCIATIONS_MAX_BYTES (8u << 20)

struct associations;

/* err NULL: `list` (a list of objects, borrowed for the call) is all there are, or, with
 * `has_more`, what was got before that bound. A service without State Manager has none. */
typedef void (*associations_fn)(void *ctx, const cJSON *list, bool has_more, const struct err *err);

/* Begin. `done` is called once, from the loop; *ret_associations is gone then. Errors: ERR_NOMEM,
 * ERR_LIMIT. In `done`: as a call of the service, and ERR_INVALID for an answer that is no list. */
int associations_list(struct aws *aws, const char *instance_id, associations_fn done, void *ctx,
                      struct associations **ret_associations, struct err *err) MUST_CHECK;
/* End without `done`; not after aws_close(). NULL is allowed. */
void associations_cancel(struct associations *a);

#endif
