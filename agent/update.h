/* Self-update, as the rest of the agent sees it (docs/internals/update.md). The loop's thread. */
#ifndef SSMD_AGENT_UPDATE_H
#define SSMD_AGENT_UPDATE_H

#include "agent/machines.h"

extern const struct effect_ops update_effects[]; /* of the machine's row (machines.c) */

/* Called by the engine. */
void updates_init(struct engine *e);
void updates_start(struct engine *e); /* after the first load */
void updates_stop(struct engine *e);
void updates_drop_check(struct engine *e); /* who asked what an update would do hears so */
/* After a turn: what no open effect needs any more is ended. */
void updates_after_turn(struct engine *e);
void updates_forget(struct engine *e, struct job *job); /* it is about to be freed */
/* Why this update's deadline passed, as far as it is known, else NULL. Borrowed. */
const char *updates_overdue_text(const struct job *job);

/* Steps of aws:updateSsmAgent (update_step.c). */
struct document_unit;
void update_step_spawn(struct engine *e, struct job *job, const struct fsm_effect *fx,
                       const struct document_unit *unit);
void update_step_stop(struct engine *e, struct job *job, const struct fsm_effect *fx);

#endif
