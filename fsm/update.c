/* The `update` machine: fetch, verify, stage, switch; then what the updater says; then tell it. Or,
 * where a package manager is driven: fetch, install, look, restart; then tell it. */
#include "fsm/update.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/str.h"

#define PREPARE_MS                                                                                 \
    (INT64_C(30) * 60 * 1000) /* a download with all its tries; unpacking takes seconds */
#define RESTART_MS                                                                                 \
    (INT64_C(5) * 60 * 1000) /* for the package's own scripts, then by the service manager */

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

static void keep_choice(struct fsm_instance *inst, const struct update_choice *c)
{
    struct update *u = update_of(inst);

    /* The interpreter has checked that each fits. */
    (void)str_copy(u->to_version, sizeof(u->to_version), c->to_version);
    u->manifest_version = c->manifest_version;
    u->root_version = c->root_version;
    if (update_is_managed(inst)) /* its repository has a package of its own */
        return;
    (void)str_copy(u->url, sizeof(u->url), c->url);
    (void)str_copy(u->sha256, sizeof(u->sha256), c->sha256);
    u->length_bytes = c->length_bytes;
}

static void verify(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    keep_choice(inst, ev->detail);
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

static bool is_managed(const struct fsm_instance *inst, const struct fsm_event *ev)
{
    (void)ev;
    return update_is_managed(inst);
}

static void choose(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    keep_choice(inst, ev->detail);
    await(inst, ev, out);
}

static void install(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)ev;
    close_all(inst, out);
    fsm_open(out, UPDATE_FX_INSTALL, UPDATE_STEP_INSTALL, 1);
    out->deadline_ms = UPDATE_INSTALL_MS + UPDATE_BEGIN_MS; /* its runner ends it before */
}

static void stop(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)inst;
    (void)ev;
    fsm_open(out, UPDATE_FX_STOP, UPDATE_STEP_INSTALL, 1);
    out->deadline_ms = FSM_KEEP_DEADLINE;
}

static void look_as(struct fsm_instance *inst, struct fsm_out *out, int64_t attempt)
{
    close_all(inst, out);
    fsm_open(out, UPDATE_FX_LOOK, UPDATE_STEP_LOOK, attempt);
    out->deadline_ms = UPDATE_LOOK_LIMIT_MS * 3;
}

/* What the package manager said is told if its version is not there. */
static void look(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    struct update *u = update_of(inst);

    (void)str_copy(u->text, sizeof(u->text), ev->detail != NULL ? ev->detail : ""); /* may be cut */
    look_as(inst, out, 1);
}

static void look_again(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    const struct fsm_effect *fx = fsm_find_effect_kind(inst, UPDATE_FX_LOOK);

    (void)ev;
    look_as(inst, out, fx != NULL ? fx->arg2 + 1 : 2);
}

static void restart(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)ev;
    close_all(inst, out);
    update_of(inst)->text[0] = '\0';
    fsm_open(out, UPDATE_FX_RESTART, 0, 0);
    out->deadline_ms = RESTART_MS;
}

static void hand_over(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)ev;
    close_all(inst, out);
    fsm_open(out, UPDATE_FX_SWITCH, 0, 0);
}

static void note_manifest(struct fsm_instance *inst, const struct update_reason *why)
{
    if (why->manifest_version != 0)
        update_of(inst)->manifest_version = why->manifest_version;
}

static void skip(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    const struct update_reason *why = ev->detail;

    note_manifest(inst, why);
    tell(inst, out, "Success", why->code, why->text);
}

static void fail(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    const struct update_reason *why = ev->detail;

    note_manifest(inst, why);
    tell(inst, out, "Failed", why->code, why->text);
}

static void fail_changed(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    update_of(inst)->is_changed = 1;
    fail(inst, ev, out);
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
        [UPDATE_CHOSEN] = "the service stayed out of reach, so nothing was installed",
        [UPDATE_CHECKING] = "which version is installed could not be found out in time",
    };

    tell(inst, out, "Failed", "ErrorUnexpected",
         ev->detail != NULL ? ev->detail : late[inst->state]);
}

static void stay_old(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    update_of(inst)->is_changed = 1;
    tell(inst, out, "Failed", "ErrorCannotStartService",
         ev->detail != NULL ? ev->detail
                            : "the version is installed, but does not run: restart ssmd");
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

/* Nothing was begun; or it ended; or nobody saw that, or it does not end. */
#define WORKING(state)                                                                             \
    {state, UPDATE_EV_FAILED, NULL, UPDATE_FAILED, fail, "tell"},                                  \
        {state, UPDATE_EV_PACKAGED, NULL, UPDATE_CHECKING, look, "look"},                          \
        {state, UPDATE_EV_LOST, NULL, UPDATE_CHECKING, look, "look"},                              \
    {                                                                                              \
        state, UPDATE_EV_OVERDUE, NULL, UPDATE_CHECKING, look, "look"                              \
    }

static const struct fsm_rule rules[] = {
    {UPDATE_NEW, UPDATE_EV_BEGIN, NULL, UPDATE_RECEIVED, fetch, "fetch"},
    {UPDATE_NEW, UPDATE_EV_FAILED, NULL, UPDATE_FAILED, fail, "tell"},

    {UPDATE_RECEIVED, UPDATE_EV_FETCHED, is_managed, UPDATE_CHOSEN, choose, "[managed] await"},
    {UPDATE_RECEIVED, UPDATE_EV_FETCHED, NULL, UPDATE_FETCHED, verify, "verify"},
    {UPDATE_RECEIVED, UPDATE_EV_SKIP, NULL, UPDATE_SKIPPED, skip, "tell"},
    PREPARING(UPDATE_RECEIVED),

    {UPDATE_FETCHED, UPDATE_EV_VERIFIED, NULL, UPDATE_VERIFIED, stage, "stage"},
    PREPARING(UPDATE_FETCHED),

    {UPDATE_VERIFIED, UPDATE_EV_STAGED, NULL, UPDATE_STAGED, await, "await"},
    PREPARING(UPDATE_VERIFIED),

    {UPDATE_STAGED, UPDATE_EV_READY, NULL, UPDATE_SWITCHING, hand_over, "switch"},
    PREPARING(UPDATE_STAGED),

    {UPDATE_CHOSEN, UPDATE_EV_READY, NULL, UPDATE_INSTALLING, install, "install"},
    PREPARING(UPDATE_CHOSEN),

    WORKING(UPDATE_INSTALLING),
    {UPDATE_INSTALLING, UPDATE_EV_CANCEL, NULL, UPDATE_STOPPING, stop, "stop"},

    WORKING(UPDATE_STOPPING),
    {UPDATE_STOPPING, UPDATE_EV_STOPPED, NULL, UPDATE_FAILED, cancel, "tell"},

    {UPDATE_CHECKING, UPDATE_EV_CONFIRMED, NULL, UPDATE_RESTARTING, restart, "restart"},
    {UPDATE_CHECKING, UPDATE_EV_LOST, NULL, UPDATE_CHECKING, look_again, "look"},
    {UPDATE_CHECKING, UPDATE_EV_FAILED, NULL, UPDATE_FAILED, fail, "tell"},
    {UPDATE_CHECKING, UPDATE_EV_BROKEN, NULL, UPDATE_FAILED, fail_changed, "tell"},
    {UPDATE_CHECKING, UPDATE_EV_OVERDUE, NULL, UPDATE_FAILED, give_up, "tell"},
    {UPDATE_CHECKING, UPDATE_EV_RUNAWAY, NULL, UPDATE_FAILED, run_away, "tell"},

    {UPDATE_RESTARTING, UPDATE_EV_RESTARTED, NULL, UPDATE_COMMITTED, commit, "tell"},
    {UPDATE_RESTARTING, UPDATE_EV_OVERDUE, NULL, UPDATE_FAILED, stay_old, "tell"},

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
#define FROM_PACKAGE (ON(PACKAGED) | ON(LOST) | ON(FAILED) | ON(OVERDUE))
#define ALL_BUT(handled) ((BIT(UPDATE_N_EVENTS) - 1) & ~(uint64_t)(handled))
#define STOPS (ON(FAILED) | ON(CANCEL) | ON(OVERDUE) | ON(RUNAWAY))

/* From the switch on, and from where a package manager has begun, a cancel comes too late: what has
 * begun ends one way or the other. */
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
    [UPDATE_CHOSEN] = {"chosen", "InProgress", false, UPDATE_EV_OVERDUE,
                       ALL_BUT(ON(READY) | STOPS)},
    [UPDATE_INSTALLING] = {"installing", "InProgress", false, UPDATE_EV_OVERDUE,
                           ALL_BUT(FROM_PACKAGE | ON(CANCEL))},
    [UPDATE_STOPPING] = {"stopping", "InProgress", false, UPDATE_EV_OVERDUE,
                         ALL_BUT(FROM_PACKAGE | ON(STOPPED))},
    [UPDATE_CHECKING] = {"checking", "InProgress", false, UPDATE_EV_OVERDUE,
                         ALL_BUT(ON(CONFIRMED) | ON(LOST) | ON(FAILED) | ON(BROKEN) | ON(OVERDUE) |
                                 ON(RUNAWAY))},
    [UPDATE_RESTARTING] = {"restarting", "InProgress", false, UPDATE_EV_OVERDUE,
                           ALL_BUT(ON(RESTARTED) | ON(OVERDUE))},
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
    [UPDATE_EV_REVERTED] = "reverted",   [UPDATE_EV_PACKAGED] = "packaged",
    [UPDATE_EV_LOST] = "lost",           [UPDATE_EV_STOPPED] = "stopped",
    [UPDATE_EV_CONFIRMED] = "confirmed", [UPDATE_EV_BROKEN] = "broken",
    [UPDATE_EV_RESTARTED] = "restarted", [UPDATE_EV_CANCEL] = "cancel",
    [UPDATE_EV_OVERDUE] = "overdue",     [UPDATE_EV_TOLD] = "told",
    [UPDATE_EV_RUNAWAY] = "runaway",
};

/* What the stager does changes nothing that runs. Of what a package manager does the runner's
 * records tell whether it has begun, goes on, or is over. A switch is asked about: the order, the
 * updater's lock and its record tell whether it has begun, goes on, or is over. */
static const struct fsm_effect_kind effects[UPDATE_N_EFFECTS] = {
    [UPDATE_FX_FETCH] = {"fetch", FSM_REDO, FSM_NO_EVENT, UPDATE_EV_FETCHED, false},
    [UPDATE_FX_VERIFY] = {"verify", FSM_REDO, FSM_NO_EVENT, UPDATE_EV_VERIFIED, false},
    [UPDATE_FX_STAGE] = {"stage", FSM_REDO, FSM_NO_EVENT, UPDATE_EV_STAGED, false},
    [UPDATE_FX_AWAIT] = {"await", FSM_REDO, FSM_NO_EVENT, UPDATE_EV_READY, false},
    [UPDATE_FX_SWITCH] = {"switch", FSM_PROBE, UPDATE_EV_REVERTED, UPDATE_EV_COMMITTED, false},
    [UPDATE_FX_INSTALL] = {"install", FSM_PROBE, UPDATE_EV_LOST, UPDATE_EV_PACKAGED, false},
    [UPDATE_FX_STOP] = {"stop", FSM_REDO, FSM_NO_EVENT, UPDATE_EV_STOPPED, false},
    [UPDATE_FX_LOOK] = {"look", FSM_PROBE, UPDATE_EV_LOST, UPDATE_EV_CONFIRMED, false},
    [UPDATE_FX_RESTART] = {"restart", FSM_REDO, FSM_NO_EVENT, UPDATE_EV_RESTARTED, false},
    [UPDATE_FX_TELL] = {"tell", FSM_REDO, FSM_NO_EVENT, UPDATE_EV_TOLD, false},
};

static const struct fsm_field fields[] = {
    FSM_FIELD_I64(struct update, way),           FSM_FIELD_TEXT(struct update, parent_id),
    FSM_FIELD_I64(struct update, parent_unit),   FSM_FIELD_I64(struct update, parent_attempt),
    FSM_FIELD_TEXT(struct update, agent_name),   FSM_FIELD_TEXT(struct update, asked),
    FSM_FIELD_TEXT(struct update, manager),      FSM_FIELD_I64(struct update, allow_downgrade),
    FSM_FIELD_I64(struct update, is_forced),     FSM_FIELD_I64(struct update, wait_ms),
    FSM_FIELD_I64(struct update, proving_ms),    FSM_FIELD_I64(struct update, deadline_ms),
    FSM_FIELD_TEXT(struct update, from_version), FSM_FIELD_TEXT(struct update, to_version),
    FSM_FIELD_TEXT(struct update, url),          FSM_FIELD_TEXT(struct update, sha256),
    FSM_FIELD_I64(struct update, length_bytes),  FSM_FIELD_I64(struct update, manifest_version),
    FSM_FIELD_I64(struct update, root_version),  FSM_FIELD_TEXT(struct update, status),
    FSM_FIELD_TEXT(struct update, code),         FSM_FIELD_TEXT(struct update, text),
    FSM_FIELD_I64(struct update, is_changed),
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
        if (choice != NULL && u->manager[0] != '\0')
            (void)snprintf(ret_text, size, "%s by %s, manifest %" PRId64, choice->to_version,
                           u->manager, choice->manifest_version);
        else if (choice != NULL)
            (void)snprintf(ret_text, size, "%s, SHA-256 %s, manifest %" PRId64, choice->to_version,
                           choice->sha256, choice->manifest_version);
        break;
    case UPDATE_EV_SKIP:
    case UPDATE_EV_FAILED:
    case UPDATE_EV_REVERTED:
    case UPDATE_EV_BROKEN:
        if (why != NULL)
            (void)snprintf(ret_text, size, "%s%s%s", why->code, why->code[0] != '\0' ? ": " : "",
                           why->text);
        break;
    case UPDATE_EV_PACKAGED:
    case UPDATE_EV_LOST:
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
