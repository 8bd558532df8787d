/* What the files of the command machine share. */
#ifndef SSMD_FSM_COMMAND_INTERNAL_H
#define SSMD_FSM_COMMAND_INTERNAL_H

#include "fsm/command.h"

/* Has a plugin before this unit's ended the document? */
bool command_is_skipped_by_flow(const struct fsm_instance *inst, size_t unit);
/* The first unit from `from` on that will really run, or n_children. */
size_t command_next_to_run(const struct fsm_instance *inst, size_t from);

#endif
