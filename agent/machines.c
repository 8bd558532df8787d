/* The rows of machines.h. */
#include "agent/machines.h"

#include "agent/engine_internal.h"
#include "agent/update.h"
#include "fsm/update.h"
#include "fsm/upload.h"

/* ---- commands ---- */

static const char *command_channel(const struct fsm_instance *inst)
{
    return command_of(inst)->channel;
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

/* ---- all ---- */

static const struct machine_ops rows[] = {
    {&command_machine, command_channel, COMMAND_EV_REFUSED, command_effects, true},
    {&delivery_machine, delivery_channel, DELIVERY_EV_REFUSED, delivery_effects, true},
    {&upload_machine, no_channel, UPLOAD_EV_REFUSED, upload_effects, false},
    {&update_machine, no_channel, UPDATE_EV_TOLD, update_effects, false},
};

const struct machine_ops *machines_find(const struct fsm_machine *m)
{
    size_t i;

    for (i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].machine == m)
            return &rows[i];
    return NULL;
}
