/* What the files of the command machine share. */
#ifndef SSMD_FSM_COMMAND_INTERNAL_H
#define SSMD_FSM_COMMAND_INTERNAL_H

#include "fsm/command.h"

/* What would be if a unit had ended so; NULL: as it is. For guards, which only read. */
struct command_trial {
    size_t unit;
    const char *status;
    int64_t code;
};

const char *command_plugin_status_if(const struct fsm_instance *inst, int64_t plugin,
                                     const struct command_trial *trial);
int64_t command_plugin_code_if(const struct fsm_instance *inst, int64_t plugin,
                               const struct command_trial *trial);
/* Has a plugin before this unit's ended the document? */
bool command_is_skipped_by_flow(const struct fsm_instance *inst, size_t unit,
                                const struct command_trial *trial);
/* The first unit from `from` on that will really run, or n_children. */
size_t command_next_to_run(const struct fsm_instance *inst, size_t from,
                           const struct command_trial *trial);

#endif
