/* The small machine, and the moves that the suites of journal/ make with it. */
#include "journal_lib.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/str.h"

/* ---- the machine ---- */

static struct job *job_of(const struct fsm_instance *inst)
{
    return inst->data;
}

static bool has_more(const struct fsm_instance *inst, const struct fsm_event *ev)
{
    (void)ev;
    return job_of(inst)->part + 1 < (int64_t)inst->n_children;
}

static void go(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)ev;
    (void)str_copy(job_of(inst)->title, sizeof(job_of(inst)->title), "a job");
    fsm_open(out, JOB_FX_RECEIPT, 0, 0);
    fsm_open(out, JOB_FX_WORK, 0, 1);
}

static void end_part(struct fsm_instance *inst, struct fsm_out *out)
{
    struct job_part *p = fsm_child(inst, (size_t)job_of(inst)->part);

    (void)str_copy(p->result, sizeof(p->result), "fine");
    p->code = 7;
    fsm_touch_child(out, (size_t)job_of(inst)->part);
    job_of(inst)->part++;
}

static void next(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)ev;
    end_part(inst, out);
    fsm_open(out, JOB_FX_WORK, job_of(inst)->part, 1);
}

static void finish(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)ev;
    end_part(inst, out);
    fsm_open(out, JOB_FX_REPORT, 0, 0);
}

static const struct fsm_rule rules[] = {
    {JOB_WAITING, JOB_EV_GO, NULL, JOB_WORKING, go, "receipt, work"},
    {JOB_WORKING, JOB_EV_PART_DONE, has_more, JOB_WORKING, next, "[more] work"},
    {JOB_WORKING, JOB_EV_PART_DONE, NULL, JOB_REPORTING, finish, "report"},
    {JOB_REPORTING, JOB_EV_REPORTED, NULL, JOB_DONE, NULL, NULL},
};
static const struct fsm_state states[] = {
    [JOB_WAITING] = {"waiting", "Pending", false, FSM_NO_EVENT, 0},
    [JOB_WORKING] = {"working", "InProgress", false, FSM_NO_EVENT, 0},
    [JOB_REPORTING] = {"reporting", "InProgress", false, FSM_NO_EVENT, 0},
    [JOB_DONE] = {"done", "Success", true, FSM_NO_EVENT, 0},
};
static const char *const events[] = {"go", "part-done", "reported", "runaway"};
static const struct fsm_effect_kind effects[] = {
    [JOB_FX_WORK] = {"work", FSM_PROBE, FSM_NO_EVENT, JOB_EV_PART_DONE, false},
    [JOB_FX_RECEIPT] = {"receipt", FSM_REDO, FSM_NO_EVENT, FSM_NO_EVENT, true},
    [JOB_FX_REPORT] = {"report", FSM_REDO, FSM_NO_EVENT, JOB_EV_REPORTED, false},
};
static const struct fsm_field fields[] = {
    FSM_FIELD_TEXT(struct job, title),
    FSM_FIELD_I64(struct job, part),
};
static const struct fsm_field part_fields[] = {
    FSM_FIELD_TEXT(struct job_part, result),
    FSM_FIELD_I64(struct job_part, code),
};

const struct fsm_machine job_machine = {
    .name = "job",
    .version = 1,
    FSM_OWN_TABLES,
    .data_size = sizeof(struct job),
    .child_name = "part",
    .child_fields = part_fields,
    .n_child_fields = ARRAY_LEN(part_fields),
    .child_size = sizeof(struct job_part),
    .initial = JOB_WAITING,
    .max_transitions = 1000,
    .runaway = JOB_EV_RUNAWAY,
};
const struct fsm_machine *const job_machines[] = {&job_machine, NULL};

/* ---- the journal ---- */

int world_open(struct world *w, struct err *err)
{
    struct journal_options o = {
        .path = w->path,
        .head_path = w->head_path,
        .boot_id = "boot-1",
        .vfs = w->vfs,
        .machines = w->machines,
    };

    return w->kind == JOURNAL_MEMORY ? journal_open_memory(&w->j, err)
                                     : journal_open_sqlite(&o, &w->j, err);
}

static void init(struct world *w, int kind, const char *vfs)
{
    const char *tmp = getenv("TMPDIR");

    *w = (struct world){
        .kind = kind, .vfs = vfs, .machines = job_machines, .now = INT64_C(1700000000000)};
    (void)snprintf(w->dir, sizeof(w->dir), "%s/ssmd-journal-XXXXXX", tmp != NULL ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(w->dir));
    (void)snprintf(w->path, sizeof(w->path), "%s/journal.db", w->dir);
    (void)snprintf(w->head_path, sizeof(w->head_path), "%s/ledger.head", w->dir);
    OK(world_open(w, e_));
}

void world_init(struct world *w, int kind)
{
    init(w, kind, NULL);
}

void world_init_vfs(struct world *w, const char *vfs)
{
    init(w, JOURNAL_SQLITE, vfs);
}

void world_done(struct world *w)
{
    journal_close(w->j);
    OK(fs_remove_tree(AT_FDCWD, w->dir, e_));
}

void world_reopen(struct world *w)
{
    if (w->kind == JOURNAL_MEMORY) {
        journal_memory_crash(w->j);
        return;
    }
    journal_close(w->j);
    OK(world_open(w, e_));
}

void world_shell(const struct world *w, const char *format, ...)
{
    char command[4096];
    va_list ap;
    int n = snprintf(command, sizeof(command), "cd '%s' && ", w->dir);

    va_start(ap, format);
    (void)vsnprintf(command + n, sizeof(command) - (size_t)n, format, ap);
    va_end(ap);
    ck_assert_int_eq(system(command), 0);
}

/* ---- moves ---- */

static int put_replies(struct world *w, const struct fsm_instance *inst, const struct fsm_out *out,
                       struct err *err)
{
    size_t i;
    int r = 0;

    for (i = 0; i < out->n_opens && r == 0; i++) {
        struct journal_reply reply = {.effect_id = out->opens[i].id};
        char payload[FSM_ID_SIZE + 24];

        if (out->opens[i].kind == JOB_FX_WORK)
            continue;
        (void)snprintf(payload, sizeof(payload), "%s/%" PRId64, inst->id, reply.effect_id);
        (void)snprintf(reply.reply_id, sizeof(reply.reply_id), "reply-%" PRId64, reply.effect_id);
        (void)snprintf(reply.message_id, sizeof(reply.message_id), "m.%s", inst->id);
        (void)str_copy(reply.kind, sizeof(reply.kind),
                       out->opens[i].kind == JOB_FX_REPORT ? "final" : "receipt");
        reply.payload = payload;
        reply.payload_len = strlen(payload);
        r = w->j->ops->put_reply(w->j, &reply, w->now, err);
    }
    return r;
}

int job_step(struct world *w, struct fsm_instance *inst, uint8_t event, int64_t effect_id,
             struct err *err)
{
    struct fsm_event ev = {
        .kind = event, .effect_id = effect_id, .at_unix_ms = ++w->now, .boot_id = "boot-1"};
    struct fsm_out out = {0};
    struct journal_transition t = {.inst = inst, .detail = "because", .at_unix_ms = ev.at_unix_ms};
    size_t i;
    int r;

    ck_assert_int_eq(fsm_step(inst, &ev, &out), FSM_MOVED);
    for (i = 0; i < out.n_opens; i++)
        out.opens[i].id = ++w->last_effect;
    t.event = inst->machine->events[event];
    t.from = inst->machine->states[out.from].name;
    t.opens = out.opens;
    t.n_opens = out.n_opens;
    t.closes = out.closes;
    t.n_closes = out.n_closes;
    t.child_lo = out.child_lo;
    t.child_hi = out.child_hi;
    r = w->j->ops->put_transition(w->j, &t, err);
    if (r == 0)
        r = put_replies(w, inst, &out, err);
    if (r == 0)
        r = fsm_adopt(inst, &out);
    fsm_out_done(&out);
    return r;
}

void job_make(struct world *w, const char *id, size_t n_parts, struct fsm_instance *ret_inst)
{
    char message_id[FSM_ID_SIZE + 8], payload[FSM_ID_SIZE + 16];
    struct journal_message m = {.message_id = message_id,
                                .channel = "local",
                                .topic = "topic",
                                .destination = "here",
                                .created_date = "2024-05-04T17:07:27.983Z",
                                .payload = payload,
                                .instance_id = id,
                                .received_unix_ms = w->now};

    (void)snprintf(message_id, sizeof(message_id), "m.%s", id);
    (void)snprintf(payload, sizeof(payload), "do \"%s\"", id);
    m.payload_len = strlen(payload);
    OK(fsm_instance_init(ret_inst, w->machines[0], id, n_parts, w->now, e_));
    OK(w->j->ops->begin(w->j, e_));
    OK(w->j->ops->put_message(w->j, &m, e_));
    OK(w->j->ops->put_instance(w->j, ret_inst, e_));
    OK(job_step(w, ret_inst, JOB_EV_GO, 0, e_));
    OK(w->j->ops->commit(w->j, e_));
}

int64_t job_effect(const struct fsm_instance *inst, uint8_t kind)
{
    const struct fsm_effect *e = fsm_find_effect_kind(inst, kind);

    ck_assert_ptr_nonnull(e);
    return e->id;
}

void job_work(struct world *w, struct fsm_instance *inst)
{
    while (inst->state == JOB_WORKING) {
        OK(w->j->ops->begin(w->j, e_));
        OK(job_step(w, inst, JOB_EV_PART_DONE, job_effect(inst, JOB_FX_WORK), e_));
        OK(w->j->ops->commit(w->j, e_));
    }
}

void job_report(struct world *w, struct fsm_instance *inst)
{
    int64_t receipt = job_effect(inst, JOB_FX_RECEIPT), report = job_effect(inst, JOB_FX_REPORT);

    OK(w->j->ops->begin(w->j, e_));
    OK(w->j->ops->end_reply(w->j, receipt, JOURNAL_REPLY_TAKEN, "", w->now, e_));
    OK(job_step(w, inst, JOB_EV_REPORTED, report, e_));
    OK(w->j->ops->end_reply(w->j, report, JOURNAL_REPLY_TAKEN, "200", w->now, e_));
    OK(w->j->ops->commit(w->j, e_));
}

void job_run(struct world *w, const char *id, size_t n_parts)
{
    struct fsm_instance inst;

    job_make(w, id, n_parts, &inst);
    job_work(w, &inst);
    job_report(w, &inst);
    ck_assert_int_eq(inst.state, JOB_DONE);
    fsm_instance_done(&inst);
}

struct journal_counts world_counts(struct world *w)
{
    struct journal_counts c;

    OK(w->j->ops->counts(w->j, &c, e_));
    return c;
}
