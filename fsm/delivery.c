/* The `delivery` machine: answer once, then done. */
#include "fsm/delivery.h"

#include <stdio.h>

#include "base/str.h"

static void set_text(struct fsm_instance *inst, const struct fsm_event *ev)
{
    struct delivery *d = delivery_of(inst);

    (void)str_copy(d->text, sizeof(d->text),
                   ev->detail != NULL ? ev->detail : ""); /* cut is fine */
}

static void answer_cancel(struct fsm_instance *inst, const struct fsm_event *ev,
                          struct fsm_out *out)
{
    set_text(inst, ev);
    fsm_open(out, DELIVERY_FX_REPLY, 0, 0);
    fsm_open(out, DELIVERY_FX_ACKNOWLEDGE, 0, 0);
}

static void answer_unhandled(struct fsm_instance *inst, const struct fsm_event *ev,
                             struct fsm_out *out)
{
    set_text(inst, ev);
    fsm_open(out, DELIVERY_FX_FAIL, 0, 0);
}

static void note(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)out;
    set_text(inst, ev);
}

static const struct fsm_rule rules[] = {
    {DELIVERY_RECEIVED, DELIVERY_EV_CANCEL_ORDER, NULL, DELIVERY_ANSWERING, answer_cancel,
     "reply, acknowledge"},
    {DELIVERY_RECEIVED, DELIVERY_EV_UNHANDLED, NULL, DELIVERY_ANSWERING, answer_unhandled, "fail"},
    {DELIVERY_ANSWERING, DELIVERY_EV_ANSWERED, NULL, DELIVERY_DONE, NULL, NULL},
    {DELIVERY_ANSWERING, DELIVERY_EV_REFUSED, NULL, DELIVERY_DONE, note, "refused"},
    {DELIVERY_ANSWERING, DELIVERY_EV_RUNAWAY, NULL, DELIVERY_DONE, NULL, NULL},
};

#define ON(event) BIT(DELIVERY_EV_##event)

static const struct fsm_state states[DELIVERY_N_STATES] = {
    [DELIVERY_RECEIVED] = {"received", "", false, FSM_NO_EVENT,
                           ON(ANSWERED) | ON(REFUSED) | ON(RUNAWAY)},
    [DELIVERY_ANSWERING] = {"answering", "", false, FSM_NO_EVENT, ON(CANCEL_ORDER) | ON(UNHANDLED)},
    [DELIVERY_DONE] = {"done", "", true, FSM_NO_EVENT, 0},
};

static const char *const events[DELIVERY_N_EVENTS] = {
    [DELIVERY_EV_CANCEL_ORDER] = "cancel-order", [DELIVERY_EV_UNHANDLED] = "unhandled",
    [DELIVERY_EV_ANSWERED] = "answered",         [DELIVERY_EV_REFUSED] = "refused",
    [DELIVERY_EV_RUNAWAY] = "runaway",
};

/* The reply goes before the acknowledgement, so the acknowledgement's end is the end of the answer.
 */
static const struct fsm_effect_kind effects[DELIVERY_N_EFFECTS] = {
    [DELIVERY_FX_REPLY] = {"reply", FSM_REDO, FSM_NO_EVENT, FSM_NO_EVENT, true},
    [DELIVERY_FX_ACKNOWLEDGE] = {"acknowledge", FSM_REDO, FSM_NO_EVENT, DELIVERY_EV_ANSWERED, true},
    [DELIVERY_FX_FAIL] = {"fail", FSM_REDO, FSM_NO_EVENT, DELIVERY_EV_ANSWERED, true},
};

static const struct fsm_field fields[] = {
    FSM_FIELD_TEXT(struct delivery, channel),
    FSM_FIELD_TEXT(struct delivery, kind),
    FSM_FIELD_TEXT(struct delivery, target),
    FSM_FIELD_TEXT(struct delivery, text),
};

static void describe(const struct fsm_instance *inst, const struct fsm_event *ev, char *ret_text,
                     size_t size)
{
    const char *text = ev->kind == DELIVERY_EV_ANSWERED || ev->detail == NULL ? "" : ev->detail;

    (void)snprintf(ret_text, size, "%s%s%s", delivery_of(inst)->target, text[0] != '\0' ? ": " : "",
                   text);
}

const struct fsm_machine delivery_machine = {
    .name = "delivery",
    .version = 1,
    FSM_OWN_TABLES,
    .data_size = sizeof(struct delivery),
    .initial = DELIVERY_RECEIVED,
    .max_transitions = 16,
    .runaway = DELIVERY_EV_RUNAWAY,
    .describe = describe,
};
