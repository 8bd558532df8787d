/* The `update` machine: fetch, verify, stage, switch; then what the updater says; then tell it. */
#include "fsm/update.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/str.h"

#define PREPARE_MS                                                                                 \
    (INT64_C(30) * 60 * 1000) /* a download with all its tries; unpacking takes seconds */

bool update_child_id(const char *parent_id, int64_t unit, int64_t attempt, char ret_id[FSM_ID_SIZE])
{
    int n = snprintf(ret_id, FSM_ID_SIZE, "u%" PRId64 ".%" PRId64 "-%s", unit, attempt, parent_id);

    return n > 0 && n < FSM_ID_SIZE;
}

static void keep_end(struct fsm_instance *inst, const char *status, const char *code,
                     const char *text)
{
    struct update *u = update_of(inst);

    /* All of them may be cut: they are for people. */
    (void)str_copy(u->status, sizeof(u->status), status);
    (void)str_copy(u->code, sizeof(u->code), code != NULL ? code : "");
    (void)str_copy(u->text, sizeof(u->text), text != NULL ? text : "");
}

static void close_all(const struct fsm_instance *inst, struct fsm_out *out)
{
    int kind;

    for (kind = 0; kind < UPDATE_N_EFFECTS; kind++)
        fsm_close_kind(inst, out, (uint8_t)kind);
}

static void tell(struct fsm_instance *inst, struct fsm_out *out, const char *status,
                 const char *code, const char *text)
{
    keep_end(inst, status, code, text);
    close_all(inst, out);
    fsm_open(out, UPDATE_FX_TELL, 0, 0);
}

static void fetch(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)inst;
    (void)ev;
    fsm_open(out, UPDATE_FX_FETCH, 0, 0);
    out->deadline_ms = PREPARE_MS;
}

static void verify(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    const struct update_choice *c = ev->detail;
    struct update *u = update_of(inst);

    /* The interpreter has checked that each fits. */
    (void)str_copy(u->to_version, sizeof(u->to_version), c->to_version);
    (void)str_copy(u->url, sizeof(u->url), c->url);
    (void)str_copy(u->sha256, sizeof(u->sha256), c->sha256);
    u->length_bytes = c->length_bytes;
    u->manifest_version = c->manifest_version;
    u->root_version = c->root_version;
    fsm_open(out, UPDATE_FX_VERIFY, 0, 0);
    out->deadline_ms = PREPARE_MS;
}

static void stage(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)inst;
    (void)ev;
    fsm_open(out, UPDATE_FX_STAGE, 0, 0);
    out->deadline_ms = PREPARE_MS;
}

static void await(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)ev;
    fsm_open(out, UPDATE_FX_AWAIT, 0, 0);
    out->deadline_ms = update_of(inst)->wait_ms + UPDATE_SERVICE_WAIT_MS;
}

static void hand_over(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)ev;
    close_all(inst, out);
    fsm_open(out, UPDATE_FX_SWITCH, 0, 0);
}

static void skip(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    const struct update_reason *why = ev->detail;

    tell(inst, out, "Success", why->code, why->text);
}

static void fail(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    const struct update_reason *why = ev->detail;

    tell(inst, out, "Failed", why->code, why->text);
}

static void cancel(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)ev;
    tell(inst, out, "Cancelled", "", "cancelled before anything was changed");
}

static void give_up(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    static const char *const late[UPDATE_N_STATES] = {
        [UPDATE_RECEIVED] = "the update could not be fetched in time",
        [UPDATE_FETCHED] = "the update could not be verified in time",
        [UPDATE_VERIFIED] = "the update could not be unpacked in time",
        [UPDATE_STAGED] = "the service stayed out of reach, so nothing was switched",
    };

    tell(inst, out, "Failed", "ErrorUnexpected",
         ev->detail != NULL ? ev->detail : late[inst->state]);
}

static void run_away(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)ev;
    tell(inst, out, "Failed", "ErrorUnexpected", "the update went in circles");
}

static void commit(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)ev;
    tell(inst, out, "Success", "", "");
}

static void note_cause(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    struct update *u = update_of(inst);

    (void)out;
    (void)str_copy(u->text, sizeof(u->text), ev->detail != NULL ? ev->detail : ""); /* may be cut */
}

#define PREPARING(state)                                                                           \
    {state, UPDATE_EV_FAILED, NULL, UPDATE_FAILED, fail, "tell"},                                  \
        {state, UPDATE_EV_CANCEL, NULL, UPDATE_FAILED, cancel, "tell"},                            \
        {state, UPDATE_EV_OVERDUE, NULL, UPDATE_FAILED, give_up, "tell"},                          \
    {                                                                                              \
        state, UPDATE_EV_RUNAWAY, NULL, UPDATE_FAILED, run_away, "tell"                            \
    }

static const struct fsm_rule rules[] = {
    {UPDATE_NEW, UPDATE_EV_BEGIN, NULL, UPDATE_RECEIVED, fetch, "fetch"},
    {UPDATE_NEW, UPDATE_EV_FAILED, NULL, UPDATE_FAILED, fail, "tell"},

    {UPDATE_RECEIVED, UPDATE_EV_FETCHED, NULL, UPDATE_FETCHED, verify, "verify"},
    {UPDATE_RECEIVED, UPDATE_EV_SKIP, NULL, UPDATE_SKIPPED, skip, "tell"},
    PREPARING(UPDATE_RECEIVED),

    {UPDATE_FETCHED, UPDATE_EV_VERIFIED, NULL, UPDATE_VERIFIED, stage, "stage"},
    PREPARING(UPDATE_FETCHED),

    {UPDATE_VERIFIED, UPDATE_EV_STAGED, NULL, UPDATE_STAGED, await, "await"},
    PREPARING(UPDATE_VERIFIED),

    {UPDATE_STAGED, UPDATE_EV_READY, NULL, UPDATE_SWITCHING, hand_over, "switch"},
    PREPARING(UPDATE_STAGED),

    {UPDATE_SWITCHING, UPDATE_EV_SWITCHED, NULL, UPDATE_PROVING, NULL, NULL},
    {UPDATE_SWITCHING, UPDATE_EV_FAILED, NULL, UPDATE_FAILED, fail, "tell"},
    {UPDATE_SWITCHING, UPDATE_EV_COMMITTED, NULL, UPDATE_COMMITTED, commit, "tell"},
    {UPDATE_SWITCHING, UPDATE_EV_REVERTING, NULL, UPDATE_ROLLING_BACK, note_cause, NULL},
    {UPDATE_SWITCHING, UPDATE_EV_REVERTED, NULL, UPDATE_ROLLED_BACK, fail, "tell"},

    {UPDATE_PROVING, UPDATE_EV_COMMITTED, NULL, UPDATE_COMMITTED, commit, "tell"},
    {UPDATE_PROVING, UPDATE_EV_REVERTING, NULL, UPDATE_ROLLING_BACK, note_cause, NULL},
    {UPDATE_PROVING, UPDATE_EV_REVERTED, NULL, UPDATE_ROLLED_BACK, fail, "tell"},

    {UPDATE_ROLLING_BACK, UPDATE_EV_REVERTED, NULL, UPDATE_ROLLED_BACK, fail, "tell"},

    {UPDATE_COMMITTED, UPDATE_EV_TOLD, NULL, UPDATE_DONE, NULL, NULL},
    {UPDATE_ROLLED_BACK, UPDATE_EV_TOLD, NULL, UPDATE_DONE, NULL, NULL},
    {UPDATE_FAILED, UPDATE_EV_TOLD, NULL, UPDATE_DONE, NULL, NULL},
    {UPDATE_SKIPPED, UPDATE_EV_TOLD, NULL, UPDATE_DONE, NULL, NULL},
};

#define ON(event) BIT(UPDATE_EV_##event)
#define FROM_STAGER (ON(FETCHED) | ON(VERIFIED) | ON(STAGED) | ON(SKIP))
#define FROM_UPDATER (ON(SWITCHED) | ON(COMMITTED) | ON(REVERTING) | ON(REVERTED))
#define ALL_BUT(handled) ((BIT(UPDATE_N_EVENTS) - 1) & ~(uint64_t)(handled))
#define STOPS (ON(FAILED) | ON(CANCEL) | ON(OVERDUE) | ON(RUNAWAY))

/* From the switch on a cancel comes too late: what has begun ends one way or the other. */
static const struct fsm_state states[UPDATE_N_STATES] = {
    /* NEW lives only inside the turn that makes it. */
    [UPDATE_NEW] = {"new", "InProgress", false, FSM_NO_EVENT, ALL_BUT(ON(BEGIN) | ON(FAILED))},
    [UPDATE_RECEIVED] = {"received", "InProgress", false, UPDATE_EV_OVERDUE,
                         ALL_BUT(ON(FETCHED) | ON(SKIP) | STOPS)},
    [UPDATE_FETCHED] = {"fetched", "InProgress", false, UPDATE_EV_OVERDUE,
                        ALL_BUT(ON(VERIFIED) | STOPS)},
    [UPDATE_VERIFIED] = {"verified", "InProgress", false, UPDATE_EV_OVERDUE,
                         ALL_BUT(ON(STAGED) | STOPS)},
    [UPDATE_STAGED] = {"staged", "InProgress", false, UPDATE_EV_OVERDUE,
                       ALL_BUT(ON(READY) | STOPS)},
    [UPDATE_SWITCHING] = {"switching", "InProgress", false, FSM_NO_EVENT,
                          ALL_BUT(FROM_UPDATER | ON(FAILED))},
    [UPDATE_PROVING] = {"proving", "InProgress", false, FSM_NO_EVENT,
                        ALL_BUT(ON(COMMITTED) | ON(REVERTING) | ON(REVERTED))},
    [UPDATE_COMMITTED] = {"committed", NULL, false, FSM_NO_EVENT, ALL_BUT(ON(TOLD))},
    [UPDATE_ROLLING_BACK] = {"rolling_back", "InProgress", false, FSM_NO_EVENT,
                             ALL_BUT(ON(REVERTED))},
    [UPDATE_ROLLED_BACK] = {"rolled_back", NULL, false, FSM_NO_EVENT, ALL_BUT(ON(TOLD))},
    [UPDATE_FAILED] = {"failed", NULL, false, FSM_NO_EVENT, ALL_BUT(ON(TOLD))},
    [UPDATE_SKIPPED] = {"skipped", NULL, false, FSM_NO_EVENT, ALL_BUT(ON(TOLD))},
    [UPDATE_DONE] = {"done", NULL, true, FSM_NO_EVENT, 0},
};

static const char *const events[UPDATE_N_EVENTS] = {
    [UPDATE_EV_BEGIN] = "begin",         [UPDATE_EV_FETCHED] = "fetched",
    [UPDATE_EV_VERIFIED] = "verified",   [UPDATE_EV_STAGED] = "staged",
    [UPDATE_EV_SKIP] = "skip",           [UPDATE_EV_FAILED] = "failed",
    [UPDATE_EV_READY] = "ready",         [UPDATE_EV_SWITCHED] = "switched",
    [UPDATE_EV_COMMITTED] = "committed", [UPDATE_EV_REVERTING] = "reverting",
    [UPDATE_EV_REVERTED] = "reverted",   [UPDATE_EV_CANCEL] = "cancel",
    [UPDATE_EV_OVERDUE] = "overdue",     [UPDATE_EV_TOLD] = "told",
    [UPDATE_EV_RUNAWAY] = "runaway",
};

/* What the stager does changes nothing that runs. A switch is asked about: the order, the updater's
 * lock and its record tell whether it has begun, goes on, or is over. */
static const struct fsm_effect_kind effects[UPDATE_N_EFFECTS] = {
    [UPDATE_FX_FETCH] = {"fetch", FSM_REDO, FSM_NO_EVENT, UPDATE_EV_FETCHED, false},
    [UPDATE_FX_VERIFY] = {"verify", FSM_REDO, FSM_NO_EVENT, UPDATE_EV_VERIFIED, false},
    [UPDATE_FX_STAGE] = {"stage", FSM_REDO, FSM_NO_EVENT, UPDATE_EV_STAGED, false},
    [UPDATE_FX_AWAIT] = {"await", FSM_REDO, FSM_NO_EVENT, UPDATE_EV_READY, false},
    [UPDATE_FX_SWITCH] = {"switch", FSM_PROBE, UPDATE_EV_REVERTED, UPDATE_EV_COMMITTED, false},
    [UPDATE_FX_TELL] = {"tell", FSM_REDO, FSM_NO_EVENT, UPDATE_EV_TOLD, false},
};

static const struct fsm_field fields[] = {
    FSM_FIELD_I64(struct update, way),
    FSM_FIELD_TEXT(struct update, parent_id),
    FSM_FIELD_I64(struct update, parent_unit),
    FSM_FIELD_I64(struct update, parent_attempt),
    FSM_FIELD_TEXT(struct update, agent_name),
    FSM_FIELD_TEXT(struct update, asked),
    FSM_FIELD_I64(struct update, allow_downgrade),
    FSM_FIELD_I64(struct update, is_forced),
    FSM_FIELD_I64(struct update, wait_ms),
    FSM_FIELD_I64(struct update, proving_ms),
    FSM_FIELD_I64(struct update, deadline_ms),
    FSM_FIELD_TEXT(struct update, from_version),
    FSM_FIELD_TEXT(struct update, to_version),
    FSM_FIELD_TEXT(struct update, url),
    FSM_FIELD_TEXT(struct update, sha256),
    FSM_FIELD_I64(struct update, length_bytes),
    FSM_FIELD_I64(struct update, manifest_version),
    FSM_FIELD_I64(struct update, root_version),
    FSM_FIELD_TEXT(struct update, status),
    FSM_FIELD_TEXT(struct update, code),
    FSM_FIELD_TEXT(struct update, text),
};

static const char *status(const struct fsm_instance *inst)
{
    return update_of(inst)->status;
}

static void describe(const struct fsm_instance *inst, const struct fsm_event *ev, char *ret_text,
                     size_t size)
{
    const struct update *u = update_of(inst); /* as it was before */
    const struct update_choice *choice = ev->detail;
    const struct update_reason *why = ev->detail;

    switch (ev->kind) {
    case UPDATE_EV_BEGIN:
        (void)snprintf(ret_text, size, "from %s to %s", u->from_version,
                       u->asked[0] != '\0' ? u->asked : "latest");
        break;
    case UPDATE_EV_FETCHED:
        if (choice != NULL)
            (void)snprintf(ret_text, size, "%s, SHA-256 %s, manifest %" PRId64, choice->to_version,
                           choice->sha256, choice->manifest_version);
        break;
    case UPDATE_EV_SKIP:
    case UPDATE_EV_FAILED:
    case UPDATE_EV_REVERTED:
        if (why != NULL)
            (void)snprintf(ret_text, size, "%s%s%s", why->code, why->code[0] != '\0' ? ": " : "",
                           why->text);
        break;
    case UPDATE_EV_OVERDUE:
    case UPDATE_EV_REVERTING:
        if (ev->detail != NULL)
            (void)snprintf(ret_text, size, "%s", (const char *)ev->detail);
        break;
    default:
        break;
    }
}

const struct fsm_machine update_machine = {
    .name = "update",
    .version = 1,
    FSM_OWN_TABLES,
    .data_size = sizeof(struct update),
    .initial = UPDATE_NEW,
    .max_transitions = 32,
    .runaway = UPDATE_EV_RUNAWAY,
    .status = status,
    .describe = describe,
};
