/* The `handover` machine: one switch from a version slot to another, and back when the new version
 * does not prove itself (docs/internals/update.md). ssmd-updater runs it; its journal is the synced
 * record `update/progress`, written before anything is done. Every effect is done again after a
 * death: pointing a link where it points already is nothing, and a restart too many costs half a
 * second.
 *
 * Retries are not transitions: while the disk refuses a link, or the service manager a restart, the
 * updater tries again. Only `failed` ends that, where going on is not the only way. */
#ifndef SSMD_FSM_HANDOVER_H
#define SSMD_FSM_HANDOVER_H

#include "fsm/fsm.h"

enum handover_state {
    HANDOVER_ORDERED,
    HANDOVER_POINTING,
    HANDOVER_RESTARTING,
    HANDOVER_PROVING,
    HANDOVER_SETTLING,
    HANDOVER_COMMITTED,
    HANDOVER_REVERTING,
    HANDOVER_RESTARTING_BACK,
    HANDOVER_CONFIRMING, /* the old version runs again: does it come up? */
    HANDOVER_REVERTED,
    HANDOVER_N_STATES
};

enum handover_event {
    HANDOVER_EV_BEGIN,
    HANDOVER_EV_POINTED,
    HANDOVER_EV_RESTARTED,
    HANDOVER_EV_PROVEN,    /* what runs has reached all it must, for long enough */
    HANDOVER_EV_UNHEALTHY, /* it never will; detail: const char *text, the cause */
    HANDOVER_EV_FAILED,    /* the effect cannot be done; detail: const char *text */
    HANDOVER_EV_OVERDUE,   /* detail: const char *text: what was still lacking, or NULL */
    HANDOVER_EV_SETTLED,
    HANDOVER_EV_RUNAWAY,
    HANDOVER_N_EVENTS
};

enum handover_effect {
    HANDOVER_FX_POINT,   /* arg 1: `current` to the new version, 0: to the old one */
    HANDOVER_FX_RESTART, /* the agent; arg as above */
    HANDOVER_FX_WATCH,   /* its health; arg as above */
    HANDOVER_FX_SETTLE,  /* `previous` to what `proven` was, `proven` to `current` */
    HANDOVER_N_EFFECTS
};

struct handover {
    char update[FSM_ID_SIZE]; /* the order's id */
    char from_version[64], to_version[64];
    int64_t deadline_ms; /* of the proving; renewed while an old outage lasts */
    int64_t
        is_service_away; /* it was before the switch: a deadline alone is no reason to go back */
    int64_t outage_ms;   /* ... until so much of proving has passed; 0: HANDOVER_OUTAGE_MS */
    int64_t waited_ms;   /* deadlines that have passed */
    int64_t is_doubtful; /* reverted, and the old version was not seen to come up in time */
    char cause[400];     /* why it went back */
};

/* What is given back to the old version to come up again. Its end is told whatever happens. */
#define HANDOVER_CONFIRM_MS 120000

/* An outage from before the switch that never ends must not leave a machine on probation for ever:
 * the old version, which was offline as well, is as good then, and whoever asked gets an answer. */
#define HANDOVER_OUTAGE_MS (INT64_C(24) * 60 * 60 * 1000)

extern const struct fsm_machine handover_machine;

static inline struct handover *handover_of(const struct fsm_instance *inst)
{
    return inst->data;
}

/* `current` may point to the new version now, so that a dead updater has to be replaced. */
static inline bool handover_is_open(const struct fsm_instance *inst)
{
    return inst->state != HANDOVER_COMMITTED && inst->state != HANDOVER_REVERTED;
}

#endif
