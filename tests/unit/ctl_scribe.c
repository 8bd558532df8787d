/* A journal with work in all conditions. */
#include "ctl_scribe.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/sha256.h"
#include "base/str.h"
#include "fsm/delivery.h"

#define OK(call)                                                                                   \
    do {                                                                                           \
        struct err err = {0};                                                                      \
        int ok_ = (call);                                                                          \
        ck_assert_msg(ok_ == 0, "%s: %s", #call, err.text);                                        \
    } while (0)

void scribe_open(struct scribe *s, const struct world *w)
{
    const struct journal_options options = {
        .path = w->paths.journal, .head_path = w->paths.ledger_head, .boot_id = "boot-1"};

    *s = (struct scribe){.world = w, .now = WORLD_NOW_MS - 600000};
    OK(journal_open_sqlite(&options, &s->j, &err));
}

void scribe_close(struct scribe *s)
{
    OK(s->j->ops->publish_head(s->j, &err));
    journal_close(s->j);
}

static bool is_reply(const struct fsm_instance *inst, uint8_t kind)
{
    if (inst->machine == &delivery_machine)
        return kind == DELIVERY_FX_REPLY;
    return kind == COMMAND_FX_REPLY || kind == COMMAND_FX_REPORT;
}

static const char *kind_of(const struct fsm_instance *inst, const struct fsm_effect *e)
{
    if (inst->machine == &delivery_machine || e->arg < 0)
        return "receipt";
    return e->kind == COMMAND_FX_REPORT ? "final" : "step";
}

static void put_replies(struct scribe *s, const struct fsm_instance *inst,
                        const struct fsm_out *out)
{
    size_t i;

    for (i = 0; i < out->n_opens; i++) {
        const struct fsm_effect *e = &out->opens[i];
        struct journal_reply reply = {.effect_id = e->id, .payload_len = 2};
        char payload[] = "{}";

        if (!is_reply(inst, e->kind))
            continue;
        reply.payload = payload;
        (void)snprintf(reply.reply_id, sizeof(reply.reply_id), "reply-%" PRId64, e->id);
        (void)snprintf(reply.message_id, sizeof(reply.message_id), "aws.ssm.%s.i-1", inst->id);
        (void)str_copy(reply.kind, sizeof(reply.kind), kind_of(inst, e));
        OK(s->j->ops->put_reply(s->j, &reply, s->now, &err));
    }
}

/* Inside a transaction. */
static void step(struct scribe *s, struct fsm_instance *inst, uint8_t kind, int64_t effect_id,
                 const void *detail)
{
    struct fsm_event ev = {.kind = kind,
                           .effect_id = effect_id,
                           .at_unix_ms = s->now += 1000,
                           .boot_id = "boot-1",
                           .detail = detail};
    struct fsm_out out = {0};
    struct journal_transition t = {.inst = inst, .at_unix_ms = ev.at_unix_ms};
    size_t i;

    ck_assert_int_eq(fsm_step(inst, &ev, &out), FSM_MOVED);
    for (i = 0; i < out.n_opens; i++)
        out.opens[i].id = ++s->last_effect;
    t.event = inst->machine->events[kind];
    t.from = inst->machine->states[out.from].name;
    t.detail = out.detail;
    t.opens = out.opens;
    t.n_opens = out.n_opens;
    t.closes = out.closes;
    t.n_closes = out.n_closes;
    t.child_lo = out.child_lo;
    t.child_hi = out.child_hi;
    OK(s->j->ops->put_transition(s->j, &t, &err));
    put_replies(s, inst, &out);
    ck_assert_int_eq(fsm_adopt(inst, &out), 0);
    fsm_out_done(&out);
}

static void receive(struct scribe *s, const struct fsm_machine *m, const char *id, size_t n,
                    struct fsm_instance *inst)
{
    char message_id[100];
    const struct journal_message message = {.message_id = message_id,
                                            .channel = "ec2messages",
                                            .topic = "aws.ssm.sendCommand.us-east-1.1",
                                            .destination = "i-1",
                                            .created_date = "2026-01-02T02:54:00.000Z",
                                            .payload = "{}",
                                            .payload_len = 2,
                                            .instance_id = id,
                                            .received_unix_ms = s->now};

    (void)snprintf(message_id, sizeof(message_id), "aws.ssm.%s.i-1", id);
    OK(fsm_instance_init(inst, m, id, n, s->now, &err));
    OK(s->j->ops->begin(s->j, &err));
    OK(s->j->ops->put_message(s->j, &message, &err));
}

void scribe_accept(struct scribe *s, const char *id, const char *document, size_t n_units,
                   struct fsm_instance *ret_inst)
{
    struct command *c;
    size_t i;

    receive(s, &command_machine, id, n_units, ret_inst);
    c = command_of(ret_inst);
    (void)str_copy(c->channel, sizeof(c->channel), "ec2messages");
    (void)str_copy(c->document_name, sizeof(c->document_name), document);
    sha256_hex_of(document, strlen(document), c->document_sha256);
    c->n_plugins = (int64_t)n_units;
    for (i = 0; i < n_units; i++) {
        command_unit_at(ret_inst, i)->plugin = (int64_t)i;
        command_unit_at(ret_inst, i)->limit_ms = 3600000;
    }
    OK(s->j->ops->put_instance(s->j, ret_inst, &err));
    step(s, ret_inst, COMMAND_EV_ACCEPT, 0, NULL);
    OK(s->j->ops->commit(s->j, &err));
}

void scribe_start(struct scribe *s, struct fsm_instance *inst)
{
    OK(s->j->ops->begin(s->j, &err));
    step(s, inst, COMMAND_EV_START, 0, NULL);
    OK(s->j->ops->commit(s->j, &err));
}

void scribe_exit(struct scribe *s, struct fsm_instance *inst, const char *status, int64_t code)
{
    const struct fsm_effect *spawn = fsm_find_effect_kind(inst, COMMAND_FX_SPAWN);
    char sha256[SHA256_HEX_SIZE], none[SHA256_HEX_SIZE];
    struct command_result result = {.status = status,
                                    .code = code,
                                    .outcome = "exited",
                                    .wait_status = code << 8,
                                    .started_unix_ms = s->now,
                                    .ended_unix_ms = s->now + 900,
                                    .stdout_bytes = 6,
                                    .stdout_sha256 = sha256,
                                    .stderr_sha256 = none};

    ck_assert_ptr_nonnull(spawn);
    sha256_hex_of("hello\n", 6, sha256);
    sha256_hex_of("", 0, none);
    OK(s->j->ops->begin(s->j, &err));
    step(s, inst, COMMAND_EV_EXITED, spawn->id, &result);
    OK(s->j->ops->commit(s->j, &err));
}

void scribe_report(struct scribe *s, struct fsm_instance *inst)
{
    int64_t report = fsm_find_effect_kind(inst, COMMAND_FX_REPORT)->id;
    size_t i;

    OK(s->j->ops->begin(s->j, &err));
    for (i = 0; i < inst->n_effects; i++)
        if (is_reply(inst, inst->effects[i].kind) && inst->effects[i].id != report)
            OK(s->j->ops->end_reply(s->j, inst->effects[i].id, JOURNAL_REPLY_TAKEN, "", s->now,
                                    &err));
    step(s, inst, COMMAND_EV_REPORTED, report, NULL);
    OK(s->j->ops->end_reply(s->j, report, JOURNAL_REPLY_TAKEN, "", s->now, &err));
    OK(s->j->ops->commit(s->j, &err));
}

void scribe_output(const struct scribe *s, const char *id, const char *attempt, const char *file,
                   const char *text)
{
    char path[2 * PATH_MAX];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%s/%s", s->world->paths.jobs_dir, id, attempt);
    OK(fs_make_path(path, &fd, &err));
    OK(fs_write_atomic(fd, file, text, strlen(text), 0600, false, &err));
    (void)close(fd);
}

static void answer_delivery(struct scribe *s)
{
    struct fsm_instance inst;
    int64_t reply;

    receive(s, &delivery_machine, DELIVERY, 0, &inst);
    (void)str_copy(delivery_of(&inst)->channel, sizeof(delivery_of(&inst)->channel), "ec2messages");
    (void)str_copy(delivery_of(&inst)->kind, sizeof(delivery_of(&inst)->kind), "cancel");
    OK(s->j->ops->put_instance(s->j, &inst, &err));
    step(s, &inst, DELIVERY_EV_CANCEL_ORDER, 0, "the job has ended");
    reply = fsm_find_effect_kind(&inst, DELIVERY_FX_REPLY)->id;
    step(s, &inst, DELIVERY_EV_ANSWERED, reply, NULL);
    OK(s->j->ops->end_reply(s->j, reply, JOURNAL_REPLY_TAKEN, "", s->now, &err));
    OK(s->j->ops->commit(s->j, &err));
    fsm_instance_done(&inst);
}

void scribe_all(struct scribe *s)
{
    struct fsm_instance inst;

    scribe_accept(s, JOB_DONE, "AWS-RunShellScript", 1, &inst);
    scribe_start(s, &inst);
    scribe_exit(s, &inst, "Success", 0);
    scribe_report(s, &inst);
    scribe_output(s, JOB_DONE, "0.1", "stdout", "hello\n");
    scribe_output(s, JOB_DONE, "0.1", "stderr", "a warning\n");
    fsm_instance_done(&inst);

    scribe_accept(s, JOB_RUNNING, "Two-Steps", 2, &inst);
    scribe_start(s, &inst);
    scribe_exit(s, &inst, "Success", 0);
    scribe_output(s, JOB_RUNNING, "0.1", "stdout", "first\n");
    scribe_output(s, JOB_RUNNING, "1.1", "stdout", "second, unfinished");
    fsm_instance_done(&inst);

    scribe_accept(s, JOB_FAILED, "Evil\033[2J\nName<script>\"x", 1, &inst);
    scribe_start(s, &inst);
    scribe_exit(s, &inst, "Failed", 3);
    fsm_instance_done(&inst);

    scribe_accept(s, JOB_QUEUED, "AWS-RunShellScript", 1, &inst);
    fsm_instance_done(&inst);
    answer_delivery(s);
}
