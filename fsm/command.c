/* The `command` machine. The table is at the end; what stands before it are its guards and actions.
 */
#include "fsm/command_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

/* The runner keeps a step's limit. Only if it is still there long after, ours is used. */
#define LIMIT_MARGIN_MS (INT64_C(15) * 60 * 1000)
#define REBOOT_OVERDUE_MS (INT64_C(5) * 60 * 1000)
/* Beyond the grace: the runner gives up 5 s after SIGKILL, and a busy machine may be slow to tell.
 */
#define STOP_OVERDUE_MS (INT64_C(60) * 1000)
#define MAX_REBOOT_TRIES 2
#define CODE_FAIL_AND_EXIT 169
/* The steps of a nested document keep their own limits, and may wait for reboots; an update keeps
 * its own too, and once it has switched it ends when it is known how. This only ends what all of
 * them failed to end. */
#define DOCUMENT_LIMIT_MS (INT64_C(366) * 24 * 60 * 60 * 1000)

/* What a unit ends as, once the document's onFailure has been applied. */
struct ending {
    const char *status;
    int64_t code;
    enum command_note note;
};

static struct ending apply_on_failure(const struct command_unit *u, struct ending e)
{
    if (!str_eq(e.status, "Failed"))
        return e;
    if ((u->flow & COMMAND_FLOW_SUCCEED_ON_FAILURE) != 0)
        return (struct ending){"Success", 168, COMMAND_NOTE_ON_FAILURE};
    if ((u->flow & COMMAND_FLOW_EXIT_ON_FAILURE) != 0 && e.note == COMMAND_NOTE_NONE)
        e.note = COMMAND_NOTE_ON_FAILURE;
    return e;
}

/* How the current unit ends with result `r`. It asks for a reboot here only when it may not have
 * one: too many, or it was being stopped. */
static struct ending ending_of(const struct command *c, const struct command_unit *u,
                               const struct command_result *r)
{
    struct ending e = {r->status, r->code, COMMAND_NOTE_NONE};

    if (str_eq(r->status, "SuccessAndReboot")) {
        if (c->stop == COMMAND_STOP_CANCEL) {
            e.status = "Cancelled";
        } else if (c->stop == COMMAND_STOP_TIMEOUT) {
            e.status = "TimedOut";
        } else {
            e.status = "Failed";
            e.note = COMMAND_NOTE_REBOOT_CAP;
        }
    }
    return apply_on_failure(u, e);
}

static void settle(const struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out,
                   size_t i, const char *status, int64_t code, enum command_note note)
{
    struct command_unit *u = command_unit_at(inst, i);

    (void)str_copy(u->status, sizeof(u->status), status); /* from our own tables: fits */
    u->code = code;
    u->note = note;
    if (u->started_unix_ms == 0)
        u->started_unix_ms = ev->at_unix_ms;
    u->ended_unix_ms = ev->at_unix_ms;
    fsm_touch_child(out, i);
}

/* Nobody waits for the replies of a nested document (spec 04, section 7, oddity d). */
static void open_reply(const struct fsm_instance *inst, struct fsm_out *out, int64_t what)
{
    if (!command_is_nested(inst))
        fsm_open(out, COMMAND_FX_REPLY, what, 0);
}

/* One plugin-level reply when the last unit of a plugin is over (spec 03, section 6.3). */
static void reply_if_over(const struct fsm_instance *inst, struct fsm_out *out, size_t unit)
{
    int64_t plugin = command_unit_at(inst, unit)->plugin;

    if ((unit + 1 == inst->n_children || command_unit_at(inst, unit + 1)->plugin != plugin) &&
        command_plugin_is_over(inst, plugin))
        open_reply(inst, out, plugin);
}

/* Give every unit in [from, to) the end that the document or an earlier step decided for it. */
static void settle_unrun(const struct fsm_instance *inst, const struct fsm_event *ev,
                         struct fsm_out *out, size_t from, size_t to)
{
    size_t i;

    for (i = from; i < to; i++) {
        const struct command_unit *u = command_unit_at(inst, i);
        struct ending e = {"Skipped", 0, COMMAND_NOTE_NONE};

        if (command_is_skipped_by_flow(inst, i, NULL))
            e.note = COMMAND_NOTE_EARLIER_EXIT;
        else if (u->plan == COMMAND_PLAN_FAIL)
            e = apply_on_failure(
                u, (struct ending){"Failed", COMMAND_CODE_NOT_RUN, COMMAND_NOTE_NONE});
        settle(inst, ev, out, i, e.status, e.code, e.note);
        reply_if_over(inst, out, i);
    }
}

static int64_t time_of(const struct command_unit *u)
{
    return u->kind == COMMAND_UNIT_PROCESS ? u->limit_ms + LIMIT_MARGIN_MS : DOCUMENT_LIMIT_MS;
}

static void spawn(const struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out,
                  size_t i)
{
    struct command *c = command_of(inst);
    struct command_unit *u = command_unit_at(inst, i);

    c->unit = (int64_t)i;
    u->attempt++;
    if (u->started_unix_ms == 0) /* kept over a reboot (spec 03, section 9.2) */
        u->started_unix_ms = ev->at_unix_ms;
    (void)str_copy(u->status, sizeof(u->status), "InProgress");
    (void)str_copy(u->boot_id, sizeof(u->boot_id), ev->boot_id);
    fsm_touch_child(out, i);
    fsm_open(out, COMMAND_FX_SPAWN, (int64_t)i, u->attempt);
    out->deadline_ms = time_of(u);
}

static void record_result(const struct fsm_instance *inst, const struct fsm_event *ev,
                          struct fsm_out *out, struct ending e)
{
    const struct command_result *r = ev->detail;
    const struct command *c = command_of(inst);
    struct command_unit *u = command_unit_at(inst, (size_t)c->unit);

    if (r->n_unkilled > 0 && e.note == COMMAND_NOTE_NONE)
        e.note = COMMAND_NOTE_UNSTOPPABLE;
    settle(inst, ev, out, (size_t)c->unit, e.status, e.code, e.note);
    if (r->ended_unix_ms != 0)
        u->ended_unix_ms = r->ended_unix_ms;
    (void)str_copy(u->outcome, sizeof(u->outcome), r->outcome != NULL ? r->outcome : "");
    u->wait_status = r->wait_status;
    u->stdout_bytes = r->stdout_bytes; /* of this attempt, like the hashes; earlier ones stand in */
    u->stderr_bytes = r->stderr_bytes; /* their transitions' details */
    (void)str_copy(u->stdout_sha256, sizeof(u->stdout_sha256),
                   r->stdout_sha256 != NULL ? r->stdout_sha256 : "");
    (void)str_copy(u->stderr_sha256, sizeof(u->stderr_sha256),
                   r->stderr_sha256 != NULL ? r->stderr_sha256 : "");
    u->output_lost += r->output_lost;
    (void)str_copy(u->text, sizeof(u->text), r->text != NULL ? r->text : ""); /* cut is fine */
}

/* ---- guards ---- */

static bool has_nothing_to_run(const struct fsm_instance *inst, const struct fsm_event *ev)
{
    (void)ev;
    return command_next_to_run(inst, 0, NULL) == inst->n_children;
}

static bool asks_for_reboot(const struct fsm_event *ev)
{
    const struct command_result *r = ev->detail;

    return str_eq(r->status, "SuccessAndReboot");
}

static bool wants_reboot(const struct fsm_instance *inst, const struct fsm_event *ev)
{
    const struct command *c = command_of(inst);

    return asks_for_reboot(ev) && command_unit_at(inst, (size_t)c->unit)->reboots < c->max_reboots;
}

/* The document allows another try. 168 and 169 are no failures: the script itself decides there. */
static bool wants_retry(const struct fsm_instance *inst, const struct fsm_event *ev)
{
    const struct command *c = command_of(inst);
    const struct command_unit *u = command_unit_at(inst, (size_t)c->unit);
    const struct command_result *r = ev->detail;

    return u->failures + 1 < u->max_tries && r->code != CODE_FAIL_AND_EXIT &&
           (str_eq(r->status, "Failed") || str_eq(r->status, "TimedOut"));
}

/* Would another unit run if the current one ended with this event? */
static bool has_more(const struct fsm_instance *inst, const struct fsm_event *ev)
{
    const struct command *c = command_of(inst);
    struct ending e = ending_of(c, command_unit_at(inst, (size_t)c->unit), ev->detail);
    const struct command_trial trial = {(size_t)c->unit, e.status, e.code};

    return command_next_to_run(inst, (size_t)c->unit + 1, &trial) < inst->n_children;
}

static bool timed_out_and_has_more(const struct fsm_instance *inst, const struct fsm_event *ev)
{
    return command_of(inst)->stop == COMMAND_STOP_TIMEOUT && has_more(inst, ev);
}

static bool is_cancelled(const struct fsm_instance *inst, const struct fsm_event *ev)
{
    (void)ev;
    return command_of(inst)->stop == COMMAND_STOP_CANCEL;
}

static bool may_ask_again(const struct fsm_instance *inst, const struct fsm_event *ev)
{
    (void)ev;
    return command_of(inst)->reboot_tries < MAX_REBOOT_TRIES &&
           command_of(inst)->stop != COMMAND_STOP_CANCEL;
}

/* ---- actions ---- */

static void accept(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)ev;
    if (command_is_nested(inst)) /* made here: nothing was delivered */
        return;
    fsm_open(out, COMMAND_FX_REPLY, COMMAND_REPLY_RECEIPT, 0);
    fsm_open(out, COMMAND_FX_ACKNOWLEDGE, 0, 0);
}

static void reject(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    struct command *c = command_of(inst);

    (void)str_copy(c->text, sizeof(c->text), ev->detail != NULL ? ev->detail : "");
    c->n_plugins = 0; /* whatever of it could be read: the status is Failed */
    fsm_open(out, COMMAND_FX_REPORT, 0, 0);
}

static void finish(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    struct command *c = command_of(inst);

    (void)ev;
    c->unit = (int64_t)inst->n_children;
    fsm_close_kind(inst, out, COMMAND_FX_SPAWN);
    fsm_close_kind(inst, out, COMMAND_FX_STOP);
    fsm_close_kind(inst, out, COMMAND_FX_REBOOT);
    fsm_open(out, COMMAND_FX_REPORT, 0, 0);
}

/* Every unit from `from` on that has not begun ends as Cancelled; what the document skips stays
 * skipped. */
static void cancel_rest(const struct fsm_instance *inst, const struct fsm_event *ev,
                        struct fsm_out *out, size_t from)
{
    size_t i;

    for (i = from; i < inst->n_children; i++) {
        const struct command_unit *u = command_unit_at(inst, i);

        if (command_is_skipped_by_flow(inst, i, NULL))
            settle(inst, ev, out, i, "Skipped", 0, COMMAND_NOTE_EARLIER_EXIT);
        else if (u->plan == COMMAND_PLAN_SKIP)
            settle(inst, ev, out, i, "Skipped", 0, COMMAND_NOTE_NONE);
        else
            settle(inst, ev, out, i, "Cancelled", COMMAND_CODE_NOT_RUN,
                   u->reboots > 0 ? COMMAND_NOTE_NONE : COMMAND_NOTE_NOT_BEGUN);
        reply_if_over(inst, out, i);
    }
}

static void skip_rest(const struct fsm_instance *inst, const struct fsm_event *ev,
                      struct fsm_out *out, size_t from, enum command_note note)
{
    size_t i;

    for (i = from; i < inst->n_children; i++) {
        settle(inst, ev, out, i, "Skipped", 0, note);
        reply_if_over(inst, out, i);
    }
}

static void start(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    size_t next = command_next_to_run(inst, 0, NULL);

    settle_unrun(inst, ev, out, 0, next);
    spawn(inst, ev, out, next);
}

static void finish_unrun(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    settle_unrun(inst, ev, out, 0, inst->n_children);
    finish(inst, ev, out);
}

static void cancel_queued(struct fsm_instance *inst, const struct fsm_event *ev,
                          struct fsm_out *out)
{
    command_of(inst)->stop = COMMAND_STOP_CANCEL;
    cancel_rest(inst, ev, out, 0);
    finish(inst, ev, out);
}

static void reboot(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    struct command *c = command_of(inst);
    const struct command_result *r = ev->detail;
    struct command_unit *u = command_unit_at(inst, (size_t)c->unit);

    record_result(inst, ev, out, (struct ending){r->status, r->code, COMMAND_NOTE_NONE});
    u->reboots++;
    c->reboot_tries = 1;
    (void)str_copy(c->reboot_boot_id, sizeof(c->reboot_boot_id), ev->boot_id);
    open_reply(inst, out, u->plugin);
    open_reply(inst, out, COMMAND_REPLY_SO_FAR);
    fsm_open(out, COMMAND_FX_REBOOT, 0, 0);
    out->deadline_ms = REBOOT_OVERDUE_MS;
}

static void reboot_again(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    struct command *c = command_of(inst);

    c->reboot_tries++;
    (void)str_copy(c->reboot_boot_id, sizeof(c->reboot_boot_id), ev->boot_id);
    fsm_close_kind(inst, out, COMMAND_FX_REBOOT);
    fsm_open(out, COMMAND_FX_REBOOT, 0, 0);
    out->deadline_ms = REBOOT_OVERDUE_MS;
}

static void try_again(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    const struct command_result *r = ev->detail;
    size_t unit = (size_t)command_of(inst)->unit;

    record_result(inst, ev, out, (struct ending){r->status, r->code, COMMAND_NOTE_NONE});
    command_unit_at(inst, unit)->failures++;
    spawn(inst, ev, out, unit);
}

static void run_again(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    fsm_close_kind(inst, out, COMMAND_FX_REBOOT);
    spawn(inst, ev, out, (size_t)command_of(inst)->unit);
}

static void begin_late(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)ev;
    out->deadline_ms = time_of(command_unit_at(inst, (size_t)command_of(inst)->unit));
}

static void end_current(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    const struct command *c = command_of(inst);
    const struct command_unit *u = command_unit_at(inst, (size_t)c->unit);

    record_result(inst, ev, out, ending_of(c, u, ev->detail));
    fsm_close_kind(inst, out, COMMAND_FX_STOP);
    reply_if_over(inst, out, (size_t)c->unit);
}

static void next_unit(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    size_t from, next;

    end_current(inst, ev, out);
    command_of(inst)->stop = COMMAND_STOP_NONE;
    from = (size_t)command_of(inst)->unit + 1;
    next = command_next_to_run(inst, from, NULL);
    settle_unrun(inst, ev, out, from, next);
    spawn(inst, ev, out, next);
}

static void last_unit(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    end_current(inst, ev, out);
    settle_unrun(inst, ev, out, (size_t)command_of(inst)->unit + 1, inst->n_children);
    finish(inst, ev, out);
}

static void end_cancelled(struct fsm_instance *inst, const struct fsm_event *ev,
                          struct fsm_out *out)
{
    end_current(inst, ev, out);
    cancel_rest(inst, ev, out, (size_t)command_of(inst)->unit + 1);
    finish(inst, ev, out);
}

static void lose(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    struct command *c = command_of(inst);
    const struct command_result *r = ev->detail;
    struct command_unit *u = command_unit_at(inst, (size_t)c->unit);

    settle(inst, ev, out, (size_t)c->unit, "Failed", COMMAND_CODE_UNKNOWN,
           COMMAND_NOTE_INTERRUPTED);
    (void)str_copy(u->outcome, sizeof(u->outcome), "lost");
    (void)str_copy(u->text, sizeof(u->text), r != NULL && r->text != NULL ? r->text : "");
    reply_if_over(inst, out, (size_t)c->unit);
    skip_rest(inst, ev, out, (size_t)c->unit + 1, COMMAND_NOTE_AFTER_LOST);
    finish(inst, ev, out);
}

static void stop_for(struct fsm_instance *inst, struct fsm_out *out, enum command_stop why)
{
    struct command *c = command_of(inst);
    const struct command_unit *u = command_unit_at(inst, (size_t)c->unit);

    c->stop = why;
    fsm_open(out, COMMAND_FX_STOP, c->unit, u->attempt);
    out->deadline_ms = c->grace_ms + STOP_OVERDUE_MS;
    if (u->kind == COMMAND_UNIT_DOCUMENT) /* longer than what it has to wait for: a reboot, stops */
        out->deadline_ms +=
            (COMMAND_MAX_DEPTH + 1 - c->depth) * MAX_REBOOT_TRIES * REBOOT_OVERDUE_MS;
    if (u->kind == COMMAND_UNIT_UPDATE) /* cancelled at once, or too late and waited for */
        out->deadline_ms = DOCUMENT_LIMIT_MS;
}

static void cancel_running(struct fsm_instance *inst, const struct fsm_event *ev,
                           struct fsm_out *out)
{
    (void)ev;
    stop_for(inst, out, COMMAND_STOP_CANCEL);
}

static void time_out(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)ev;
    stop_for(inst, out, COMMAND_STOP_TIMEOUT);
}

static void cancel_stopping(struct fsm_instance *inst, const struct fsm_event *ev,
                            struct fsm_out *out)
{
    (void)ev;
    command_of(inst)->stop = COMMAND_STOP_CANCEL;
    out->deadline_ms = FSM_KEEP_DEADLINE;
}

static void note_cancel(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)ev;
    command_of(inst)->stop = COMMAND_STOP_CANCEL;
    out->deadline_ms = FSM_KEEP_DEADLINE;
}

/* The unit will not run (again): it had not begun, or the boot it waited for came after a cancel.
 */
static void end_unbegun(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    struct command *c = command_of(inst);
    size_t from = (size_t)c->unit;

    if (c->stop == COMMAND_STOP_TIMEOUT) { /* it never came to begin; nobody cancelled it */
        settle(inst, ev, out, from, "TimedOut", COMMAND_CODE_STOPPED, COMMAND_NOTE_NOT_BEGUN);
        reply_if_over(inst, out, from);
        from++;
    }
    cancel_rest(inst, ev, out, from);
    finish(inst, ev, out);
}

static void give_up_reboot(struct fsm_instance *inst, const struct fsm_event *ev,
                           struct fsm_out *out)
{
    struct command *c = command_of(inst);
    struct command_unit *u = command_unit_at(inst, (size_t)c->unit);

    settle(inst, ev, out, (size_t)c->unit, c->stop == COMMAND_STOP_CANCEL ? "Cancelled" : "Failed",
           u->code, COMMAND_NOTE_NO_REBOOT);
    if (ev->detail != NULL)
        (void)str_copy(u->text, sizeof(u->text), ev->detail);
    reply_if_over(inst, out, (size_t)c->unit);
    if (c->stop == COMMAND_STOP_CANCEL)
        cancel_rest(inst, ev, out, (size_t)c->unit + 1);
    else
        skip_rest(inst, ev, out, (size_t)c->unit + 1, COMMAND_NOTE_NO_REBOOT);
    finish(inst, ev, out);
}

static void give_up_stop(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    struct command *c = command_of(inst);

    settle(inst, ev, out, (size_t)c->unit,
           c->stop == COMMAND_STOP_CANCEL ? "Cancelled" : "TimedOut", COMMAND_CODE_STOPPED,
           COMMAND_NOTE_UNSTOPPABLE);
    reply_if_over(inst, out, (size_t)c->unit);
    cancel_rest(inst, ev, out, (size_t)c->unit + 1);
    finish(inst, ev, out);
}

static void run_away(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    const struct fsm_effect *spawn = fsm_find_effect_kind(inst, COMMAND_FX_SPAWN);
    size_t i;

    for (i = 0; i < inst->n_children; i++)
        if (!command_unit_is_over(command_unit_at(inst, i))) {
            settle(inst, ev, out, i, "Failed", COMMAND_CODE_UNKNOWN, COMMAND_NOTE_RUNAWAY);
            reply_if_over(inst, out, i);
        }
    finish(inst, ev, out);
    if (spawn != NULL) /* nobody waits for it: it closes with the end of the command */
        fsm_open(out, COMMAND_FX_STOP, spawn->arg, spawn->arg2);
}

static void refuse(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    struct command *c = command_of(inst);

    (void)out;
    c->is_refused = 1;
    (void)str_copy(c->text, sizeof(c->text), ev->detail != NULL ? ev->detail : "");
}

/* ---- the table ---- */

static const struct fsm_rule rules[] = {
    /* from               on                    when                to                 action label
     */
    {COMMAND_RECEIVED, COMMAND_EV_ACCEPT, NULL, COMMAND_QUEUED, accept, "reply, acknowledge"},
    {COMMAND_RECEIVED, COMMAND_EV_REJECT, NULL, COMMAND_REPORTING, reject, "report"},

    {COMMAND_QUEUED, COMMAND_EV_START, has_nothing_to_run, COMMAND_REPORTING, finish_unrun,
     "[nothing to run] report"},
    {COMMAND_QUEUED, COMMAND_EV_START, NULL, COMMAND_RUNNING, start, "spawn"},
    {COMMAND_QUEUED, COMMAND_EV_CANCEL, NULL, COMMAND_REPORTING, cancel_queued, "report"},
    {COMMAND_QUEUED, COMMAND_EV_RUNAWAY, NULL, COMMAND_REPORTING, run_away, "report"},

    {COMMAND_RUNNING, COMMAND_EV_BEGUN, NULL, COMMAND_RUNNING, begin_late, "its time anew"},
    {COMMAND_RUNNING, COMMAND_EV_EXITED, wants_reboot, COMMAND_REBOOTING, reboot,
     "[194] reply, reboot"},
    {COMMAND_RUNNING, COMMAND_EV_EXITED, wants_retry, COMMAND_RUNNING, try_again,
     "[failed, tries left] spawn again"},
    {COMMAND_RUNNING, COMMAND_EV_EXITED, has_more, COMMAND_RUNNING, next_unit,
     "[more] reply, spawn"},
    {COMMAND_RUNNING, COMMAND_EV_EXITED, NULL, COMMAND_REPORTING, last_unit, "reply, report"},
    {COMMAND_RUNNING, COMMAND_EV_LOST, NULL, COMMAND_REPORTING, lose, "reply, report"},
    {COMMAND_RUNNING, COMMAND_EV_VOID, NULL, COMMAND_REPORTING, end_unbegun, "reply, report"},
    {COMMAND_RUNNING, COMMAND_EV_CANCEL, NULL, COMMAND_STOPPING, cancel_running, "stop"},
    {COMMAND_RUNNING, COMMAND_EV_TIMEOUT, NULL, COMMAND_STOPPING, time_out, "stop"},
    {COMMAND_RUNNING, COMMAND_EV_RUNAWAY, NULL, COMMAND_REPORTING, run_away, "report, stop"},

    {COMMAND_REBOOTING, COMMAND_EV_BOOTED, is_cancelled, COMMAND_REPORTING, end_unbegun,
     "[cancelled] reply, report"},
    {COMMAND_REBOOTING, COMMAND_EV_BOOTED, NULL, COMMAND_RUNNING, run_again, "spawn again"},
    {COMMAND_REBOOTING, COMMAND_EV_CANCEL, NULL, COMMAND_REBOOTING, note_cancel, "note"},
    {COMMAND_REBOOTING, COMMAND_EV_OVERDUE, may_ask_again, COMMAND_REBOOTING, reboot_again,
     "[first] reboot again"},
    {COMMAND_REBOOTING, COMMAND_EV_OVERDUE, NULL, COMMAND_REPORTING, give_up_reboot,
     "reply, report"},
    {COMMAND_REBOOTING, COMMAND_EV_RUNAWAY, NULL, COMMAND_REPORTING, run_away, "report"},

    {COMMAND_STOPPING, COMMAND_EV_EXITED, timed_out_and_has_more, COMMAND_RUNNING, next_unit,
     "[timed out, more] reply, spawn"},
    {COMMAND_STOPPING, COMMAND_EV_EXITED, is_cancelled, COMMAND_REPORTING, end_cancelled,
     "[cancelled] reply, report"},
    {COMMAND_STOPPING, COMMAND_EV_EXITED, NULL, COMMAND_REPORTING, last_unit, "reply, report"},
    {COMMAND_STOPPING, COMMAND_EV_LOST, NULL, COMMAND_REPORTING, lose, "reply, report"},
    {COMMAND_STOPPING, COMMAND_EV_VOID, NULL, COMMAND_REPORTING, end_unbegun, "reply, report"},
    {COMMAND_STOPPING, COMMAND_EV_CANCEL, NULL, COMMAND_STOPPING, cancel_stopping, "note"},
    {COMMAND_STOPPING, COMMAND_EV_OVERDUE, NULL, COMMAND_REPORTING, give_up_stop, "reply, report"},
    {COMMAND_STOPPING, COMMAND_EV_RUNAWAY, NULL, COMMAND_REPORTING, run_away, "report, stop"},

    {COMMAND_REPORTING, COMMAND_EV_REPORTED, NULL, COMMAND_DONE, NULL, NULL},
    {COMMAND_REPORTING, COMMAND_EV_REFUSED, NULL, COMMAND_DONE, refuse, "refused"},
};

#define ON(event) BIT(COMMAND_EV_##event)

static const struct fsm_state states[COMMAND_N_STATES] = {
    /* RECEIVED lives only inside the turn that makes it: nothing but its two events can reach it.
     */
    [COMMAND_RECEIVED] = {"received", "Pending", false, FSM_NO_EVENT,
                          ON(START) | ON(BEGUN) | ON(EXITED) | ON(LOST) | ON(VOID) | ON(BOOTED) |
                              ON(CANCEL) | ON(TIMEOUT) | ON(OVERDUE) | ON(REPORTED) | ON(REFUSED) |
                              ON(RUNAWAY)},
    [COMMAND_QUEUED] = {"queued", "Pending", false, FSM_NO_EVENT,
                        ON(ACCEPT) | ON(REJECT) | ON(BEGUN) | ON(EXITED) | ON(LOST) | ON(VOID) |
                            ON(BOOTED) | ON(TIMEOUT) | ON(OVERDUE) | ON(REPORTED) | ON(REFUSED)},
    [COMMAND_RUNNING] = {"running", "InProgress", false, COMMAND_EV_TIMEOUT,
                         ON(ACCEPT) | ON(REJECT) | ON(START) | ON(BOOTED) | ON(OVERDUE) |
                             ON(REPORTED) | ON(REFUSED)},
    [COMMAND_REBOOTING] = {"rebooting", "SuccessAndReboot", false, COMMAND_EV_OVERDUE,
                           ON(ACCEPT) | ON(REJECT) | ON(START) | ON(BEGUN) | ON(EXITED) | ON(LOST) |
                               ON(VOID) | ON(TIMEOUT) | ON(REPORTED) | ON(REFUSED)},
    [COMMAND_STOPPING] = {"stopping", "InProgress", false, COMMAND_EV_OVERDUE,
                          ON(ACCEPT) | ON(REJECT) | ON(START) | ON(BEGUN) | ON(BOOTED) |
                              ON(TIMEOUT) | ON(REPORTED) | ON(REFUSED)},
    [COMMAND_REPORTING] = {"reporting", NULL, false, FSM_NO_EVENT,
                           ON(ACCEPT) | ON(REJECT) | ON(START) | ON(BEGUN) | ON(EXITED) | ON(LOST) |
                               ON(VOID) | ON(BOOTED) | ON(CANCEL) | ON(TIMEOUT) | ON(OVERDUE) |
                               ON(RUNAWAY)},
    [COMMAND_DONE] = {"done", NULL, true, FSM_NO_EVENT, 0},
};

static const char *const events[COMMAND_N_EVENTS] = {
    [COMMAND_EV_ACCEPT] = "accepted", [COMMAND_EV_REJECT] = "rejected",
    [COMMAND_EV_START] = "start",     [COMMAND_EV_BEGUN] = "begun",
    [COMMAND_EV_EXITED] = "exited",   [COMMAND_EV_LOST] = "lost",
    [COMMAND_EV_VOID] = "void",       [COMMAND_EV_BOOTED] = "booted",
    [COMMAND_EV_CANCEL] = "cancel",   [COMMAND_EV_TIMEOUT] = "timeout",
    [COMMAND_EV_OVERDUE] = "overdue", [COMMAND_EV_REPORTED] = "reported",
    [COMMAND_EV_REFUSED] = "refused", [COMMAND_EV_RUNAWAY] = "runaway",
};

#ifdef SSMD_BREAK_SPAWN_IS_REDO /* negative control: a restart starts a step again */
#define SPAWN_RECOVERY FSM_REDO
#else
#define SPAWN_RECOVERY FSM_PROBE
#endif

static const struct fsm_effect_kind effects[COMMAND_N_EFFECTS] = {
    [COMMAND_FX_REPLY] = {"reply", FSM_REDO, FSM_NO_EVENT, FSM_NO_EVENT, true},
    [COMMAND_FX_ACKNOWLEDGE] = {"acknowledge", FSM_REDO, FSM_NO_EVENT, FSM_NO_EVENT, true},
    [COMMAND_FX_SPAWN] = {"spawn", SPAWN_RECOVERY, COMMAND_EV_LOST, COMMAND_EV_EXITED, false},
    [COMMAND_FX_STOP] = {"stop", FSM_REDO, FSM_NO_EVENT, FSM_NO_EVENT, false},
    [COMMAND_FX_REBOOT] = {"reboot", FSM_PROBE, COMMAND_EV_BOOTED, COMMAND_EV_BOOTED, false},
    [COMMAND_FX_REPORT] = {"report", FSM_REDO, FSM_NO_EVENT, COMMAND_EV_REPORTED, false},
};

static const struct fsm_field fields[] = {
    FSM_FIELD_TEXT(struct command, channel),         FSM_FIELD_TEXT(struct command, document_name),
    FSM_FIELD_TEXT(struct command, document_sha256), FSM_FIELD_TEXT(struct command, output_bucket),
    FSM_FIELD_I64(struct command, has_logs),         FSM_FIELD_I64(struct command, unit),
    FSM_FIELD_I64(struct command, n_plugins),        FSM_FIELD_I64(struct command, max_reboots),
    FSM_FIELD_I64(struct command, grace_ms),         FSM_FIELD_I64(struct command, stop),
    FSM_FIELD_I64(struct command, reboot_tries),     FSM_FIELD_TEXT(struct command, reboot_boot_id),
    FSM_FIELD_I64(struct command, is_refused),       FSM_FIELD_TEXT(struct command, text),
    FSM_FIELD_TEXT(struct command, parent_id),       FSM_FIELD_I64(struct command, parent_unit),
    FSM_FIELD_I64(struct command, parent_attempt),   FSM_FIELD_I64(struct command, depth),
};

static const struct fsm_field unit_fields[] = {
    FSM_FIELD_I64(struct command_unit, plugin),
    FSM_FIELD_I64(struct command_unit, plan),
    FSM_FIELD_I64(struct command_unit, kind),
    FSM_FIELD_I64(struct command_unit, flow),
    FSM_FIELD_TEXT(struct command_unit, status),
    FSM_FIELD_I64(struct command_unit, code),
    FSM_FIELD_I64(struct command_unit, note),
    FSM_FIELD_I64(struct command_unit, attempt),
    FSM_FIELD_I64(struct command_unit, reboots),
    FSM_FIELD_I64(struct command_unit, max_tries),
    FSM_FIELD_I64(struct command_unit, failures),
    FSM_FIELD_I64(struct command_unit, limit_ms),
    FSM_FIELD_TEXT(struct command_unit, boot_id),
    FSM_FIELD_I64(struct command_unit, started_unix_ms),
    FSM_FIELD_I64(struct command_unit, ended_unix_ms),
    FSM_FIELD_TEXT(struct command_unit, outcome),
    FSM_FIELD_I64(struct command_unit, wait_status),
    FSM_FIELD_I64(struct command_unit, stdout_bytes),
    FSM_FIELD_I64(struct command_unit, stderr_bytes),
    FSM_FIELD_TEXT(struct command_unit, stdout_sha256),
    FSM_FIELD_TEXT(struct command_unit, stderr_sha256),
    FSM_FIELD_I64(struct command_unit, output_lost),
    FSM_FIELD_TEXT(struct command_unit, text),
};

/* Length and hash of an attempt's output: the transition's hash covers them, so the chain covers
 * the files. */
static void describe_output(char *text, size_t size, const char *name, int64_t n_bytes,
                            const char *sha256)
{
    size_t n = strlen(text);

    if (n_bytes > 0 && sha256 != NULL && n < size)
        (void)snprintf(text + n, size - n, "; %s %" PRId64 " bytes %s", name, n_bytes, sha256);
}

static void describe(const struct fsm_instance *inst, const struct fsm_event *ev, char *ret_text,
                     size_t size)
{
    const struct command *c = command_of(inst);
    const struct command_result *r = ev->detail;
    int64_t attempt = 0;

    if (c->unit >= 0 && (size_t)c->unit < inst->n_children)
        attempt = command_unit_at(inst, (size_t)c->unit)->attempt;
    switch (ev->kind) {
    case COMMAND_EV_EXITED:
        (void)snprintf(ret_text, size, "step %" PRId64 ".%" PRId64 " %s, code %" PRId64 ": %s",
                       c->unit, attempt, r->outcome != NULL ? r->outcome : "ended", r->code,
                       r->status);
        describe_output(ret_text, size, "stdout", r->stdout_bytes, r->stdout_sha256);
        describe_output(ret_text, size, "stderr", r->stderr_bytes, r->stderr_sha256);
        break;
    case COMMAND_EV_BEGUN:
        (void)snprintf(ret_text, size, "step %" PRId64 ".%" PRId64 "; its time counts from now",
                       c->unit, attempt);
        break;
    case COMMAND_EV_LOST:
        (void)snprintf(ret_text, size, "step %" PRId64 ".%" PRId64 ": %s", c->unit, attempt,
                       r != NULL && r->text != NULL ? r->text : "no evidence of its end");
        break;
    case COMMAND_EV_ACCEPT:
    case COMMAND_EV_REJECT:
    case COMMAND_EV_REFUSED:
    case COMMAND_EV_OVERDUE:
        (void)snprintf(ret_text, size, "%s", ev->detail != NULL ? (const char *)ev->detail : "");
        break;
    case COMMAND_EV_BOOTED:
        (void)snprintf(ret_text, size, "boot %s", ev->boot_id);
        break;
    default:
        break;
    }
}

const struct fsm_machine command_machine = {
    .name = "command",
    .version = 1,
    FSM_OWN_TABLES,
    .data_size = sizeof(struct command),
    .child_name = "command_unit",
    .child_fields = unit_fields,
    .n_child_fields = ARRAY_LEN(unit_fields),
    .child_size = sizeof(struct command_unit),
    .initial = COMMAND_RECEIVED,
    .max_transitions = INT64_C(3) * FSM_MAX_CHILDREN * (COMMAND_DEFAULT_MAX_REBOOTS + 1),
    .runaway = COMMAND_EV_RUNAWAY,
    .status = command_document_status,
    .describe = describe,
};
