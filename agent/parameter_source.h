/* Where the values of {{ssm:...}} references come from (spec 04, section 2.5). The engine knows
 * this interface only; parameter_source_new() makes the one that asks the service. Loop thread. */
#ifndef SSMD_AGENT_PARAMETER_SOURCE_H
#define SSMD_AGENT_PARAMETER_SOURCE_H

#include <uv.h>

#include "schema/json.h"
#include "transport/aws.h"

/* `values` (schema/parameter_store.h) becomes the callee's. Without it, `err` says why there are
 * none: an unknown name, a SecureString, a refusal, or a service that could not be asked in time.
 */
typedef void (*parameter_done_fn)(void *ctx, cJSON *values, const struct err *err);

struct parameter_fetch;

struct parameter_source {
    /* Get the values of n > 0 different references, copied. `done` is called once, from the loop,
     * never from within this call, and not after cancel(). ERR_NOMEM. */
    int (*fetch)(struct parameter_source *s, char *const *references, size_t n,
                 parameter_done_fn done, void *ctx, struct parameter_fetch **ret_fetch,
                 struct err *err);
    void (*cancel)(struct parameter_source *s, struct parameter_fetch *fetch);
};

/* Asks the service: trouble that may pass is tried again until PARAMETER_FETCH_MS are over. The
 * caller ends *ret_source with parameter_source_close(), before the aws. ERR_NOMEM. */
#define PARAMETER_FETCH_MS 20000 /* less than what ssmctl waits for an answer */
int parameter_source_new(uv_loop_t *loop, struct aws *aws, int64_t limit_ms,
                         struct parameter_source **ret_source, struct err *err) MUST_CHECK;
/* Cancels every fetch; memory is freed by the loop. NULL is allowed. */
void parameter_source_close(struct parameter_source *s);

#endif
