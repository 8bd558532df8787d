/* What the files of nested documents share. */
#ifndef SSMD_AGENT_NEST_INTERNAL_H
#define SSMD_AGENT_NEST_INTERNAL_H

#include "agent/engine_internal.h"

#define NEST_MAX_WORDS 65536u

/* What a step without a runner says: why its document cannot be run, or what it did. A result of
 * failure carries the beginning of it in any case, so a failure to write is only logged. */
void nest_put_words(struct engine *e, const struct job *job, const struct fsm_effect *fx,
                    enum step_stream stream, const struct buf *words);
/* A step without a runner that is not carried out: it fails, and says why. */
void nest_refuse_step(struct engine *e, const struct job *job, const struct fsm_effect *fx,
                      const char *why);

/* Lay a fetched document among the downloads of the command that it becomes: they are the directory
 * of its scripts then, as users know it (spec 04, sections 6.3 and 7.3). A failure is only logged.
 */
void nest_keep_document(struct engine *e, const struct nested_command *n, const char *file,
                        const char *text, size_t len);

#endif
