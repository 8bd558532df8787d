/* Output files that are not to be kept once they are elsewhere (Ssm.PluginLocalOutputCleanup
 * "after-upload"; spec 03, section 11.6). They are removed on the thread pool, one request after
 * another. What a crash leaves behind goes with its job. Loop thread only. */
#ifndef SSMD_AGENT_CLEANUP_H
#define SSMD_AGENT_CLEANUP_H

#include <stdint.h>
#include <uv.h>

#include "base/err.h"

struct cleanup;

/* `jobs_dir` is copied. ERR_NOMEM. The caller ends *ret_cleanup with cleanup_close(). */
int cleanup_new(uv_loop_t *loop, const char *jobs_dir, struct cleanup **ret_cleanup,
                struct err *err) MUST_CHECK;
/* What waits is dropped; the memory goes when the request under way is over. NULL is allowed. */
void cleanup_close(struct cleanup *c);

/* Remove stdout and stderr of a step's attempts 1..attempts. */
void cleanup_output(struct cleanup *c, const char *job, int unit, int64_t attempts);

#endif
