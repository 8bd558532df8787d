/* The rows of machines.h. */
#include "agent/machines.h"

#include "agent/engine_internal.h"
#include "agent/update.h"
#include "agent/update_package.h"
#include "fsm/update.h"
#include "fsm/upload.h"

/* ---- commands ---- */

static const char *command_channel(const struct fsm_instance *inst)
{
    return command_of(inst)->channel;
}

static const char *command_no_cancel(const struct fsm_instance *inst)
{
    return inst->state == COMMAND_REPORTING ? "it has ended and waits to be reported" : NULL;
}

static void spawn(struct engine *e, struct job *job, const struct fsm_effect *fx, bool is_restart)
{
    (void)is_restart;
    fx_spawn(e, job, fx);
}

static void stop(struct engine *e, struct job *job, const struct fsm_effect *fx, bool is_restart)
{
    (void)is_restart;
    fx_stop(e, job, fx);
}

static void probe_reboot(struct engine *e, struct job *job, const struct fsm_effect *fx)
{
    fx_reboot(e, job, fx, true);
}

static const struct effect_ops command_effects[COMMAND_N_EFFECTS] = {
    [COMMAND_FX_REPLY] = {.way = WAY_REPLY, .lane = LANE_RESULT},
    [COMMAND_FX_ACKNOWLEDGE] = {.way = WAY_ACKNOWLEDGE, .lane = LANE_DELIVERY},
    [COMMAND_FX_SPAWN] = {.way = WAY_PERFORM, .perform = spawn, .probe = fx_probe_spawn},
    [COMMAND_FX_STOP] = {.way = WAY_PERFORM, .perform = stop},
    [COMMAND_FX_REBOOT] = {.way = WAY_PERFORM, .perform = fx_reboot, .probe = probe_reboot},
    [COMMAND_FX_REPORT] = {.way = WAY_REPLY, .lane = LANE_RESULT},
};

/* ---- deliveries ---- */

static const char *delivery_channel(const struct fsm_instance *inst)
{
    return delivery_of(inst)->channel;
}

static const struct effect_ops delivery_effects[DELIVERY_N_EFFECTS] = {
    [DELIVERY_FX_REPLY] = {.way = WAY_REPLY, .lane = LANE_DELIVERY},
    [DELIVERY_FX_ACKNOWLEDGE] = {.way = WAY_ACKNOWLEDGE, .lane = LANE_DELIVERY},
    [DELIVERY_FX_FAIL] = {.way = WAY_FAIL, .lane = LANE_DELIVERY},
};

/* ---- uploads ---- */

static const char *no_channel(const struct fsm_instance *inst)
{
    (void)inst;
    return "";
}

static void upload(struct engine *e, struct job *job, const struct fsm_effect *fx, bool is_restart)
{
    (void)fx; /* either hands the upload over as it stands */
    (void)is_restart;
    uploads_perform(e, job);
}

static const struct effect_ops upload_effects[UPLOAD_N_EFFECTS] = {
    [UPLOAD_FX_FOLLOW] = {.way = WAY_PERFORM, .perform = upload},
    [UPLOAD_FX_SEND] = {.way = WAY_PERFORM, .perform = upload},
};

/* ---- updates ---- */

static const char *update_no_cancel(const struct fsm_instance *inst)
{
    return update_is_switching(inst) ? "it has switched versions, and goes on or back by itself"
                                     : NULL;
}

/* ---- all ---- */

static const struct machine_ops rows[] = {
    {
        .machine = &command_machine,
        .channel = command_channel,
        .refused = COMMAND_EV_REFUSED,
        .effects = command_effects,
        .has_message = true,
        .cancel = COMMAND_EV_CANCEL,
        .no_cancel = command_no_cancel,
        .step_ended = fx_step_ended,
    },
    {
        .machine = &delivery_machine,
        .channel = delivery_channel,
        .refused = DELIVERY_EV_REFUSED,
        .effects = delivery_effects,
        .has_message = true,
    },
    {
        .machine = &upload_machine,
        .channel = no_channel,
        .refused = UPLOAD_EV_REFUSED,
        .effects = upload_effects,
    },
    {
        .machine = &update_machine,
        .channel = no_channel,
        .refused = UPDATE_EV_TOLD,
        .effects = update_effects,
        .overdue_text = updates_overdue_text, /* its table has words of its own */
        .cancel = UPDATE_EV_CANCEL,
        .no_cancel = update_no_cancel,
        .step_ended = update_package_ended,
    },
};

const struct machine_ops *machines_find(const struct fsm_machine *m)
{
    size_t i;

    for (i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].machine == m)
            return &rows[i];
    return NULL;
}
