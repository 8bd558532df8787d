/* What the files of nested documents share. */
#ifndef SSMD_AGENT_NEST_INTERNAL_H
#define SSMD_AGENT_NEST_INTERNAL_H

#include "agent/engine_internal.h"

#define NEST_MAX_WORDS 65536u

/* Say on a step's stderr why its document cannot be run. Its result carries the beginning of it in
 * any case, so a failure is only logged. */
void nest_put_words(struct engine *e, const struct job *job, const struct fsm_effect *fx,
                    const struct buf *words);

#endif
