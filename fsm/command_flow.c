/* Control flow between the plugins of a command (spec 04, section 4): which unit is next, which are
 * passed over. */
#include "base/str.h"
#include "fsm/command_internal.h"

static bool ends_document(const struct fsm_instance *inst, int64_t plugin, int64_t flow,
                          const struct command_trial *trial)
{
    const char *status = command_plugin_status_if(inst, plugin, trial);
    int64_t code = command_plugin_code_if(inst, plugin, trial);

    return code == 168 || code == 169 ||
           (str_eq(status, "Failed") && (flow & COMMAND_FLOW_EXIT_ON_FAILURE) != 0) ||
           (str_eq(status, "Success") && (flow & COMMAND_FLOW_EXIT_ON_SUCCESS) != 0);
}

/* Has a plugin before this unit's ended the document? */
bool command_is_skipped_by_flow(const struct fsm_instance *inst, size_t unit,
                                const struct command_trial *trial)
{
    const struct command_unit *u = command_unit_at(inst, unit);
    size_t i;

    if ((u->flow & COMMAND_FLOW_FINALLY) != 0)
        return false;
    for (i = 0; i < unit; i++) {
        const struct command_unit *e = command_unit_at(inst, i);

        if (e->plugin != u->plugin && ends_document(inst, e->plugin, e->flow, trial))
            return true;
    }
    return false;
}

/* The first unit from `from` on that will really run, or n_children. What lies between has no
 * status yet, so a planned failure that will end the document is looked ahead at here. */
size_t command_next_to_run(const struct fsm_instance *inst, size_t from,
                           const struct command_trial *trial)
{
    const struct command_unit *ender = NULL;
    size_t i;

    for (i = from; i < inst->n_children; i++) {
        const struct command_unit *u = command_unit_at(inst, i);

        if (command_is_skipped_by_flow(inst, i, trial) ||
            (ender != NULL && u->plugin != ender->plugin && (u->flow & COMMAND_FLOW_FINALLY) == 0))
            continue;
        if (u->plan == COMMAND_PLAN_RUN)
            break;
        if (u->plan == COMMAND_PLAN_FAIL &&
            (u->flow & (COMMAND_FLOW_EXIT_ON_FAILURE | COMMAND_FLOW_SUCCEED_ON_FAILURE)) != 0)
            ender = u;
    }
    return i;
}
