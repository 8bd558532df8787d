/* The configuration file as ssmd finds and reads it. Keys, defaults and bounds: schema/config.h.
 * Main thread. */
#ifndef SSMD_AGENT_CONFIG_H
#define SSMD_AGENT_CONFIG_H

#include "base/paths.h"
#include "schema/config.h"

/* Called for each line worth saying: "file:line: key: what is wrong; value is used". */
typedef void (*config_warn_fn)(void *ctx, enum config_severity severity, const char *line);

/* Lay the file `path` (must exist when `is_required`) over what *c holds. ERR_INVALID: it is not
 * JSON; line and column are said, and *c is as before. `warn` may be NULL. */
int config_read(struct config *c, const char *path, bool is_required, config_warn_fn warn,
                void *ctx, struct err *err) MUST_CHECK;

/* Is there enough to serve? ERR_INVALID says which key is missing and how to set it. */
int config_check_identity(const struct config *c, struct err *err) MUST_CHECK;

#endif
