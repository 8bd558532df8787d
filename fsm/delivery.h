/* The `delivery` machine: a message that starts no job of its own but has to be answered: an order
 * to cancel, or something that cannot be handled (spec 03, section 4). Journaled like a command, so
 * that the answer survives a crash and a repetition is recognised. */
#ifndef SSMD_FSM_DELIVERY_H
#define SSMD_FSM_DELIVERY_H

#include "fsm/fsm.h"

enum delivery_state { DELIVERY_RECEIVED, DELIVERY_ANSWERING, DELIVERY_DONE, DELIVERY_N_STATES };

enum delivery_event {
    DELIVERY_EV_CANCEL_ORDER, /* detail: const char *, what became of it */
    DELIVERY_EV_UNHANDLED,    /* detail: const char *reason */
    DELIVERY_EV_ANSWERED,
    DELIVERY_EV_REFUSED, /* the service will not take the answer; detail: const char *text */
    DELIVERY_EV_RUNAWAY,
    DELIVERY_N_EVENTS
};

enum delivery_effect {
    DELIVERY_FX_REPLY, /* InProgress, document level */
    DELIVERY_FX_ACKNOWLEDGE,
    DELIVERY_FX_FAIL, /* FailMessage, InternalHandlerException */
    DELIVERY_N_EFFECTS
};

struct delivery {
    char channel[16];
    char kind[16];   /* "cancel", "unhandled" */
    char target[64]; /* the command to cancel */
    char text[200];
};

extern const struct fsm_machine delivery_machine;

static inline struct delivery *delivery_of(const struct fsm_instance *inst)
{
    return inst->data;
}

#endif
