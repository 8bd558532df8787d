/* The `upload` machine: follow, send, done. */
#include "fsm/upload.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/str.h"

bool upload_make_id(const char *job_id, int64_t unit, char ret_id[FSM_ID_SIZE])
{
    int n = snprintf(ret_id, FSM_ID_SIZE, UPLOAD_ID_PREFIX "%s.%" PRId64, job_id, unit);

    return n > 0 && n < FSM_ID_SIZE;
}

static bool has_logs(const struct fsm_instance *inst, const struct fsm_event *ev)
{
    (void)ev;
    return upload_of(inst)->log_group[0] != '\0';
}

static void follow(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)inst;
    (void)ev;
    fsm_open(out, UPLOAD_FX_FOLLOW, 0, 0);
}

static void end(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    const struct upload_end *e = ev->detail;

    upload_of(inst)->attempts = e->attempts;
    fsm_close_kind(inst, out, UPLOAD_FX_FOLLOW);
    fsm_open(out, UPLOAD_FX_SEND, 0, 0);
    out->deadline_ms = upload_of(inst)->wait_ms > 0 ? upload_of(inst)->wait_ms : 1;
}

static void let_go(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)ev;
    out->deadline_ms = upload_of(inst)->keep_ms > 0 ? upload_of(inst)->keep_ms : 1;
}

static void fail(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    struct upload *u = upload_of(inst);

    fsm_close_kind(inst, out, UPLOAD_FX_FOLLOW);
    fsm_close_kind(inst, out, UPLOAD_FX_SEND);
    (void)str_copy(u->text, sizeof(u->text), ev->detail != NULL ? ev->detail : ""); /* may be cut */
}

static void give_up(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    struct upload *u = upload_of(inst);

    (void)ev;
    fsm_close_kind(inst, out, UPLOAD_FX_SEND);
    (void)str_copy(u->text, sizeof(u->text), "its time is up: the output is not kept any longer");
}

static const struct fsm_rule rules[] = {
    {UPLOAD_NEW, UPLOAD_EV_FOLLOW, has_logs, UPLOAD_FOLLOWING, follow, "[logs] follow"},
    {UPLOAD_NEW, UPLOAD_EV_FOLLOW, NULL, UPLOAD_FOLLOWING, NULL, NULL},

    {UPLOAD_FOLLOWING, UPLOAD_EV_ENDED, NULL, UPLOAD_SENDING, end, "send"},
    {UPLOAD_FOLLOWING, UPLOAD_EV_RUNAWAY, NULL, UPLOAD_FAILED, fail, NULL},

    {UPLOAD_SENDING, UPLOAD_EV_SENT, NULL, UPLOAD_DONE, NULL, NULL},
    {UPLOAD_SENDING, UPLOAD_EV_REFUSED, NULL, UPLOAD_FAILED, fail, NULL},
    {UPLOAD_SENDING, UPLOAD_EV_OVERDUE, NULL, UPLOAD_TRAILING, let_go, "answers wait no longer"},
    {UPLOAD_SENDING, UPLOAD_EV_RUNAWAY, NULL, UPLOAD_FAILED, fail, NULL},

    {UPLOAD_TRAILING, UPLOAD_EV_SENT, NULL, UPLOAD_DONE, NULL, NULL},
    {UPLOAD_TRAILING, UPLOAD_EV_REFUSED, NULL, UPLOAD_FAILED, fail, NULL},
    {UPLOAD_TRAILING, UPLOAD_EV_OVERDUE, NULL, UPLOAD_FAILED, give_up, "given up"},
    {UPLOAD_TRAILING, UPLOAD_EV_RUNAWAY, NULL, UPLOAD_FAILED, fail, NULL},
};

#define ON(event) BIT(UPLOAD_EV_##event)

static const struct fsm_state states[UPLOAD_N_STATES] = {
    /* NEW lives only inside the turn that makes it. */
    [UPLOAD_NEW] = {"new", "", false, FSM_NO_EVENT,
                    ON(ENDED) | ON(SENT) | ON(REFUSED) | ON(OVERDUE) | ON(RUNAWAY)},
    /* What the logs refuse while the step runs is told when it is over. */
    [UPLOAD_FOLLOWING] = {"following", "", false, FSM_NO_EVENT,
                          ON(FOLLOW) | ON(SENT) | ON(REFUSED) | ON(OVERDUE)},
    [UPLOAD_SENDING] = {"sending", "", false, UPLOAD_EV_OVERDUE, ON(FOLLOW) | ON(ENDED)},
    [UPLOAD_TRAILING] = {"trailing", "", false, UPLOAD_EV_OVERDUE, ON(FOLLOW) | ON(ENDED)},
    [UPLOAD_DONE] = {"done", "", true, FSM_NO_EVENT, 0},
    [UPLOAD_FAILED] = {"failed", "", true, FSM_NO_EVENT, 0},
};

static const char *const events[UPLOAD_N_EVENTS] = {
    [UPLOAD_EV_FOLLOW] = "follow",   [UPLOAD_EV_ENDED] = "ended",
    [UPLOAD_EV_SENT] = "sent",       [UPLOAD_EV_REFUSED] = "refused",
    [UPLOAD_EV_OVERDUE] = "overdue", [UPLOAD_EV_RUNAWAY] = "runaway",
};

/* Putting an object again puts the same bytes under the same name; the logs go on from the fact
 * that tells how far they are. */
static const struct fsm_effect_kind effects[UPLOAD_N_EFFECTS] = {
    [UPLOAD_FX_FOLLOW] = {"follow", FSM_REDO, FSM_NO_EVENT, FSM_NO_EVENT, false},
    [UPLOAD_FX_SEND] = {"send", FSM_REDO, FSM_NO_EVENT, UPLOAD_EV_SENT, false},
};

static const struct fsm_field fields[] = {
    FSM_FIELD_TEXT(struct upload, job),        FSM_FIELD_I64(struct upload, unit),
    FSM_FIELD_I64(struct upload, attempts),    FSM_FIELD_TEXT(struct upload, bucket),
    FSM_FIELD_TEXT(struct upload, key),        FSM_FIELD_TEXT(struct upload, log_group),
    FSM_FIELD_TEXT(struct upload, log_stream), FSM_FIELD_I64(struct upload, wait_ms),
    FSM_FIELD_I64(struct upload, keep_ms),     FSM_FIELD_TEXT(struct upload, text),
};

static void describe(const struct fsm_instance *inst, const struct fsm_event *ev, char *ret_text,
                     size_t size)
{
    const struct upload *u = upload_of(inst);

    if (ev->kind == UPLOAD_EV_REFUSED)
        (void)snprintf(ret_text, size, "%s", u->text);
    else if (ev->kind == UPLOAD_EV_FOLLOW)
        (void)snprintf(ret_text, size, "step %" PRId64 "%s%.80s%s%.80s", u->unit,
                       u->bucket[0] != '\0' ? " to S3 bucket " : "", u->bucket,
                       u->log_group[0] != '\0' ? " to log group " : "", u->log_group);
}

const struct fsm_machine upload_machine = {
    .name = "upload",
    .version = 1,
    FSM_OWN_TABLES,
    .data_size = sizeof(struct upload),
    .initial = UPLOAD_NEW,
    .max_transitions = 16,
    .runaway = UPLOAD_EV_RUNAWAY,
    .describe = describe,
};
