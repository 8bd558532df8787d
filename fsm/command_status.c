/* Statuses of a command: of a unit, of a plugin, of the document (spec 03, section 7). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "fsm/command_internal.h"

/* Rising rank: the greater of two wins when the units of one plugin are merged (spec 03,
 * section 7.4). */
static const char *const ranks[] = {"",           "Skipped", "Success",   "SuccessAndReboot",
                                    "InProgress", "Failed",  "Cancelled", "TimedOut"};

static size_t rank_of(const char *status)
{
    size_t i;

    for (i = 0; i < ARRAY_LEN(ranks); i++)
        if (str_eq(status, ranks[i]))
            return i;
    return 0;
}

const char *command_plugin_status_if(const struct fsm_instance *inst, int64_t plugin,
                                     const struct command_trial *trial)
{
    size_t i, best = 0;

    for (i = 0; i < inst->n_children; i++) {
        const struct command_unit *u = command_unit_at(inst, i);
        bool is_trial = trial != NULL && trial->unit == i;
        size_t k = u->plugin == plugin ? rank_of(is_trial ? trial->status : u->status) : 0;

        if (k > best)
            best = k;
    }
    return ranks[best];
}

const char *command_plugin_status(const struct fsm_instance *inst, int64_t plugin)
{
    return command_plugin_status_if(inst, plugin, NULL);
}

int64_t command_plugin_code_if(const struct fsm_instance *inst, int64_t plugin,
                               const struct command_trial *trial)
{
    size_t i;

    for (i = 0; i < inst->n_children; i++) {
        const struct command_unit *u = command_unit_at(inst, i);
        int64_t code = trial != NULL && trial->unit == i ? trial->code : u->code;

        if (u->plugin == plugin && code != 0)
            return code;
    }
    return 0;
}

int64_t command_plugin_code(const struct fsm_instance *inst, int64_t plugin)
{
    return command_plugin_code_if(inst, plugin, NULL);
}

bool command_unit_is_over(const struct command_unit *u)
{
    return u->status[0] != '\0' && !str_eq(u->status, "InProgress") &&
           !str_eq(u->status, "SuccessAndReboot");
}

bool command_plugin_is_over(const struct fsm_instance *inst, int64_t plugin)
{
    size_t i;

    for (i = 0; i < inst->n_children; i++)
        if (command_unit_at(inst, i)->plugin == plugin &&
            !command_unit_is_over(command_unit_at(inst, i)))
            return false;
    return true;
}

/* The statuses that some plugin has, as bits of their ranks. Units of one plugin stand together. */
static unsigned plugin_statuses(const struct fsm_instance *inst)
{
    unsigned found = 0;
    size_t i, best = 0;

    for (i = 0; i < inst->n_children; i++) {
        const struct command_unit *u = command_unit_at(inst, i);
        size_t k = rank_of(u->status);

        best = i > 0 && u->plugin == command_unit_at(inst, i - 1)->plugin && best > k ? best : k;
        if (i + 1 == inst->n_children || command_unit_at(inst, i + 1)->plugin != u->plugin)
            found |= 1u << best;
    }
    return found;
}

/* A unit that asked for a reboot runs again: whatever its plugin merges to meanwhile, the document
 * has not ended. */
const char *command_document_status(const struct fsm_instance *inst)
{
    static const char *const first_match[] = {"Failed", "TimedOut", "Cancelled"};
    const struct command *c = command_of(inst);
    unsigned found = plugin_statuses(inst);
    bool is_all_over = true;
    size_t i, k;

    if (c->n_plugins == 0) /* rejected */
        return "Failed";
    for (i = 0; i < inst->n_children; i++) {
        if (str_eq(command_unit_at(inst, i)->status, "SuccessAndReboot"))
            return "SuccessAndReboot";
        is_all_over = is_all_over && command_unit_is_over(command_unit_at(inst, i));
    }
    for (k = 0; k < ARRAY_LEN(first_match); k++)
        if ((found & (1u << rank_of(first_match[k]))) != 0)
            return first_match[k];
    return is_all_over ? "Success" : "InProgress";
}

const char *command_merged_status(const struct fsm_instance *inst)
{
    size_t i, best = 0;

    for (i = 0; i < inst->n_children; i++) {
        size_t k = rank_of(command_unit_at(inst, i)->status);

        if (k > best)
            best = k;
    }
    return ranks[best];
}

bool command_child_id(const char *parent_id, int64_t unit, int64_t attempt,
                      char ret_id[FSM_ID_SIZE])
{
    int n = snprintf(ret_id, FSM_ID_SIZE, "n%" PRId64 ".%" PRId64 "-%s", unit, attempt, parent_id);

    return n > 0 && n < FSM_ID_SIZE;
}

/* Ids from outside are UUIDs or begin with "m-" (agent/intake.c), so 'n' is a child's alone.
 * Retention does the same in SQL (journal/sql.c). */
const char *command_parent_id(const char *id)
{
    const char *dash = id[0] == 'n' ? strchr(id, '-') : NULL;

    return dash != NULL ? dash + 1 : NULL;
}

const char *command_root_id(const char *id)
{
    const char *parent_id;

    while ((parent_id = command_parent_id(id)) != NULL)
        id = parent_id;
    return id;
}
