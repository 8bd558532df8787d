/* The `handover` machine: there, and back. */
#include "fsm/handover.h"

#include <stdio.h>

#include "base/str.h"

static void keep_cause(const struct fsm_instance *inst, const struct fsm_event *ev)
{
    struct handover *h = handover_of(inst);

    if (h->cause[0] == '\0')
        (void)str_copy(h->cause, sizeof(h->cause), ev->detail != NULL ? ev->detail : "");
}

static bool waits_for_service(const struct fsm_instance *inst, const struct fsm_event *ev)
{
    const struct handover *h = handover_of(inst);
    int64_t most = h->outage_ms > 0 ? h->outage_ms : HANDOVER_OUTAGE_MS;

    (void)ev;
    return h->is_service_away != 0 && h->waited_ms + h->deadline_ms < most;
}

static void point(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)inst;
    (void)ev;
    fsm_open(out, HANDOVER_FX_POINT, 1, 0);
}

static void restart(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)inst;
    (void)ev;
    fsm_open(out, HANDOVER_FX_RESTART, 1, 0);
}

static void watch(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)ev;
    fsm_open(out, HANDOVER_FX_WATCH, 1, 0);
    out->deadline_ms = handover_of(inst)->deadline_ms > 0 ? handover_of(inst)->deadline_ms : 1;
}

static void watch_on(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    struct handover *h = handover_of(inst);

    (void)ev;
    out->deadline_ms = h->deadline_ms > 0 ? h->deadline_ms : 1;
    h->waited_ms += out->deadline_ms;
}

static void settle(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)inst;
    (void)ev;
    fsm_open(out, HANDOVER_FX_SETTLE, 0, 0);
}

static void go_back(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    keep_cause(inst, ev);
    fsm_close_kind(inst, out, HANDOVER_FX_POINT);
    fsm_close_kind(inst, out, HANDOVER_FX_RESTART);
    fsm_close_kind(inst, out, HANDOVER_FX_WATCH);
    fsm_open(out, HANDOVER_FX_POINT, 0, 0);
}

/* Nothing was touched, so there is nothing to undo, and no reason to restart anything. */
static void refuse(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)out;
    keep_cause(inst, ev);
}

static void run_away(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    struct handover *h = handover_of(inst);

    if (h->cause[0] == '\0')
        (void)str_copy(h->cause, sizeof(h->cause), "the update went in circles");
    go_back(inst, ev, out);
}

static void restart_back(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)inst;
    (void)ev;
    fsm_open(out, HANDOVER_FX_RESTART, 0, 0);
}

static void watch_back(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)inst;
    (void)ev;
    fsm_open(out, HANDOVER_FX_WATCH, 0, 0);
    out->deadline_ms = HANDOVER_CONFIRM_MS;
}

/* `current` is right, and whoever starts the agent starts the old version: that cannot be said of
 * its health. */
static void doubt(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)ev;
    fsm_close_kind(inst, out, HANDOVER_FX_RESTART);
    fsm_close_kind(inst, out, HANDOVER_FX_WATCH);
    handover_of(inst)->is_doubtful = 1;
}

static const struct fsm_rule rules[] = {
    {HANDOVER_ORDERED, HANDOVER_EV_BEGIN, NULL, HANDOVER_POINTING, point, "point"},
    {HANDOVER_ORDERED, HANDOVER_EV_FAILED, NULL, HANDOVER_REVERTED, refuse, "refuse"},

    {HANDOVER_POINTING, HANDOVER_EV_POINTED, NULL, HANDOVER_RESTARTING, restart, "restart"},
    {HANDOVER_POINTING, HANDOVER_EV_FAILED, NULL, HANDOVER_REVERTING, go_back, "point back"},
    {HANDOVER_POINTING, HANDOVER_EV_RUNAWAY, NULL, HANDOVER_REVERTING, run_away, "point back"},

    {HANDOVER_RESTARTING, HANDOVER_EV_RESTARTED, NULL, HANDOVER_PROVING, watch, "watch"},
    {HANDOVER_RESTARTING, HANDOVER_EV_UNHEALTHY, NULL, HANDOVER_REVERTING, go_back, "point back"},
    {HANDOVER_RESTARTING, HANDOVER_EV_FAILED, NULL, HANDOVER_REVERTING, go_back, "point back"},
    {HANDOVER_RESTARTING, HANDOVER_EV_RUNAWAY, NULL, HANDOVER_REVERTING, run_away, "point back"},

    {HANDOVER_PROVING, HANDOVER_EV_PROVEN, NULL, HANDOVER_SETTLING, settle, "settle"},
    {HANDOVER_PROVING, HANDOVER_EV_UNHEALTHY, NULL, HANDOVER_REVERTING, go_back, "point back"},
    {HANDOVER_PROVING, HANDOVER_EV_OVERDUE, waits_for_service, HANDOVER_PROVING, watch_on,
     "[service was away] more time"},
    {HANDOVER_PROVING, HANDOVER_EV_OVERDUE, NULL, HANDOVER_REVERTING, go_back, "point back"},
    {HANDOVER_PROVING, HANDOVER_EV_RUNAWAY, NULL, HANDOVER_REVERTING, run_away, "point back"},

    {HANDOVER_SETTLING, HANDOVER_EV_SETTLED, NULL, HANDOVER_COMMITTED, NULL, NULL},

    {HANDOVER_REVERTING, HANDOVER_EV_POINTED, NULL, HANDOVER_RESTARTING_BACK, restart_back,
     "restart"},

    {HANDOVER_RESTARTING_BACK, HANDOVER_EV_RESTARTED, NULL, HANDOVER_CONFIRMING, watch_back,
     "watch"},
    {HANDOVER_RESTARTING_BACK, HANDOVER_EV_UNHEALTHY, NULL, HANDOVER_REVERTED, doubt, "doubt"},
    {HANDOVER_RESTARTING_BACK, HANDOVER_EV_FAILED, NULL, HANDOVER_REVERTED, doubt, "doubt"},

    {HANDOVER_CONFIRMING, HANDOVER_EV_PROVEN, NULL, HANDOVER_REVERTED, NULL, NULL},
    {HANDOVER_CONFIRMING, HANDOVER_EV_UNHEALTHY, NULL, HANDOVER_REVERTED, doubt, "doubt"},
    {HANDOVER_CONFIRMING, HANDOVER_EV_OVERDUE, NULL, HANDOVER_REVERTED, doubt, "doubt"},
};

#define ON(event) BIT(HANDOVER_EV_##event)

/* What is late: an answer of an effect that was closed. From SETTLING on there is no way back, and
 * from REVERTING on none forward. */
static const struct fsm_state states[HANDOVER_N_STATES] = {
    [HANDOVER_ORDERED] = {"ordered", "", false, FSM_NO_EVENT,
                          ON(POINTED) | ON(RESTARTED) | ON(PROVEN) | ON(UNHEALTHY) | ON(OVERDUE) |
                              ON(SETTLED) | ON(RUNAWAY)},
    [HANDOVER_POINTING] = {"pointing", "", false, FSM_NO_EVENT,
                           ON(BEGIN) | ON(RESTARTED) | ON(PROVEN) | ON(UNHEALTHY) | ON(OVERDUE) |
                               ON(SETTLED)},
    [HANDOVER_RESTARTING] = {"restarting", "", false, FSM_NO_EVENT,
                             ON(BEGIN) | ON(POINTED) | ON(PROVEN) | ON(OVERDUE) | ON(SETTLED)},
    [HANDOVER_PROVING] = {"proving", "", false, HANDOVER_EV_OVERDUE,
                          ON(BEGIN) | ON(POINTED) | ON(RESTARTED) | ON(FAILED) | ON(SETTLED)},
    [HANDOVER_SETTLING] = {"settling", "", false, FSM_NO_EVENT,
                           ON(BEGIN) | ON(POINTED) | ON(RESTARTED) | ON(PROVEN) | ON(UNHEALTHY) |
                               ON(FAILED) | ON(OVERDUE) | ON(RUNAWAY)},
    [HANDOVER_COMMITTED] = {"committed", "", true, FSM_NO_EVENT, 0},
    [HANDOVER_REVERTING] = {"reverting", "", false, FSM_NO_EVENT,
                            ON(BEGIN) | ON(RESTARTED) | ON(PROVEN) | ON(UNHEALTHY) | ON(FAILED) |
                                ON(OVERDUE) | ON(SETTLED) | ON(RUNAWAY)},
    [HANDOVER_RESTARTING_BACK] = {"restarting_back", "", false, FSM_NO_EVENT,
                                  ON(BEGIN) | ON(POINTED) | ON(PROVEN) | ON(OVERDUE) | ON(SETTLED) |
                                      ON(RUNAWAY)},
    [HANDOVER_CONFIRMING] = {"confirming", "", false, HANDOVER_EV_OVERDUE,
                             ON(BEGIN) | ON(POINTED) | ON(RESTARTED) | ON(FAILED) | ON(SETTLED) |
                                 ON(RUNAWAY)},
    [HANDOVER_REVERTED] = {"reverted", "", true, FSM_NO_EVENT, 0},
};

static const char *const events[HANDOVER_N_EVENTS] = {
    [HANDOVER_EV_BEGIN] = "begin",         [HANDOVER_EV_POINTED] = "pointed",
    [HANDOVER_EV_RESTARTED] = "restarted", [HANDOVER_EV_PROVEN] = "proven",
    [HANDOVER_EV_UNHEALTHY] = "unhealthy", [HANDOVER_EV_FAILED] = "failed",
    [HANDOVER_EV_OVERDUE] = "overdue",     [HANDOVER_EV_SETTLED] = "settled",
    [HANDOVER_EV_RUNAWAY] = "runaway",
};

static const struct fsm_effect_kind effects[HANDOVER_N_EFFECTS] = {
    [HANDOVER_FX_POINT] = {"point", FSM_REDO, FSM_NO_EVENT, HANDOVER_EV_POINTED, false},
    [HANDOVER_FX_RESTART] = {"restart", FSM_REDO, FSM_NO_EVENT, HANDOVER_EV_RESTARTED, false},
    [HANDOVER_FX_WATCH] = {"watch", FSM_REDO, FSM_NO_EVENT, HANDOVER_EV_PROVEN, false},
    [HANDOVER_FX_SETTLE] = {"settle", FSM_REDO, FSM_NO_EVENT, HANDOVER_EV_SETTLED, false},
};

static const struct fsm_field fields[] = {
    FSM_FIELD_TEXT(struct handover, update),         FSM_FIELD_TEXT(struct handover, from_version),
    FSM_FIELD_TEXT(struct handover, to_version),     FSM_FIELD_I64(struct handover, deadline_ms),
    FSM_FIELD_I64(struct handover, is_service_away), FSM_FIELD_I64(struct handover, outage_ms),
    FSM_FIELD_I64(struct handover, waited_ms),       FSM_FIELD_I64(struct handover, is_doubtful),
    FSM_FIELD_TEXT(struct handover, cause),
};

static void describe(const struct fsm_instance *inst, const struct fsm_event *ev, char *ret_text,
                     size_t size)
{
    const struct handover *h = handover_of(inst);

    if (ev->kind == HANDOVER_EV_BEGIN)
        (void)snprintf(ret_text, size, "%s to %s", h->from_version, h->to_version);
    else if (ev->detail != NULL)
        (void)snprintf(ret_text, size, "%s", (const char *)ev->detail);
}

const struct fsm_machine handover_machine = {
    .name = "handover",
    .version = 1,
    FSM_OWN_TABLES,
    .data_size = sizeof(struct handover),
    .initial = HANDOVER_ORDERED,
    /* An outage renews the deadline: of 24 hours with one of 20 seconds so often. */
    .max_transitions = 5000,
    .runaway = HANDOVER_EV_RUNAWAY,
    .is_elsewhere = true,
    .describe = describe,
};
