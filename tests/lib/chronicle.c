/* Histories of jobs, event by event. */
#include "tests/lib/chronicle.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "fsm/delivery.h"

#define MAX_PAYLOAD 4096
#define STEP_LIMIT_MS 3600000

void chronicle_must(int r, const struct err *err, const char *what)
{
    if (r >= 0)
        return;
    (void)fprintf(stderr, "%s: %s\n", what, err->text);
    exit(EXIT_FAILURE);
}

void chronicle_message_id(const struct chronicle *c, const char *id, char *ret, size_t size)
{
    (void)snprintf(ret, size, "aws.ssm.%s.%s", id, c->node);
}

/* JSON may end in spaces. */
static size_t fill_up(const struct chronicle *c, char payload[MAX_PAYLOAD])
{
    size_t n = strlen(payload), wanted = c->payload_bytes;

    if (wanted > MAX_PAYLOAD)
        wanted = MAX_PAYLOAD;
    if (n >= wanted)
        return n;
    memset(payload + n, ' ', wanted - n);
    return wanted;
}

void chronicle_receive(struct chronicle *c, const struct fsm_machine *m, const char *id,
                       size_t n_units, struct fsm_instance *ret_inst)
{
    char message_id[128], payload[MAX_PAYLOAD];
    struct journal_message message = {
        .message_id = message_id,
        .channel = "ec2messages",
        .topic = "aws.ssm.sendCommand.us-east-1.1",
        .destination = c->node,
        .created_date = "2024-05-04T17:07:27.983Z",
        .payload = payload,
        .instance_id = id,
        .received_unix_ms = c->now,
    };

    chronicle_message_id(c, id, message_id, sizeof(message_id));
    (void)snprintf(payload, sizeof(payload), "{\"CommandId\":\"%s\"}", id);
    message.payload_len = fill_up(c, payload);
    CHRONICLE_MUST(fsm_instance_init(ret_inst, m, id, n_units, c->now, e_));
    CHRONICLE_MUST(c->j->ops->put_message(c->j, &message, e_));
}

void chronicle_receive_command(struct chronicle *c, const char *id, size_t n_units,
                               struct fsm_instance *ret_inst)
{
    struct command *command;
    size_t i;

    chronicle_receive(c, &command_machine, id, n_units, ret_inst);
    command = command_of(ret_inst);
    command->n_plugins = (int64_t)n_units;
    command->max_reboots = COMMAND_DEFAULT_MAX_REBOOTS;
    (void)str_copy(command->channel, sizeof(command->channel), "ec2messages");
    for (i = 0; i < n_units; i++) {
        command_unit_at(ret_inst, i)->plugin = (int64_t)i;
        command_unit_at(ret_inst, i)->limit_ms = STEP_LIMIT_MS;
    }
}

/* NULL: the effect sends nothing that is kept. */
static const char *reply_kind(const struct fsm_instance *inst, const struct fsm_effect *e)
{
    if (inst->machine == &delivery_machine)
        return e->kind == DELIVERY_FX_REPLY ? "receipt" : NULL;
    if (e->kind == COMMAND_FX_REPORT)
        return "final";
    if (e->kind == COMMAND_FX_REPLY)
        return e->arg < 0 ? "receipt" : "step";
    return NULL;
}

static void put_replies(struct chronicle *c, const struct fsm_instance *inst,
                        const struct fsm_out *out)
{
    size_t i;

    for (i = 0; i < out->n_opens; i++) {
        const struct fsm_effect *e = &out->opens[i];
        struct journal_reply reply = {.effect_id = e->id};
        const char *kind = reply_kind(inst, e);
        char payload[MAX_PAYLOAD];

        if (kind == NULL)
            continue;
        (void)snprintf(reply.reply_id, sizeof(reply.reply_id), "%.24s%012" PRId64,
                       c->reply_id_beginning, e->id);
        chronicle_message_id(c, inst->id, reply.message_id, sizeof(reply.message_id));
        (void)str_copy(reply.kind, sizeof(reply.kind), kind);
        (void)snprintf(payload, sizeof(payload), "{\"documentStatus\":\"%s\"}", fsm_status(inst));
        reply.payload = payload;
        reply.payload_len = fill_up(c, payload);
        CHRONICLE_MUST(c->j->ops->put_reply(c->j, &reply, c->now, e_));
    }
}

static void set_deadline(const struct chronicle *c, struct fsm_instance *inst, int64_t after_ms)
{
    inst->deadline = (struct fsm_deadline){.boot_id = ""};
    if (after_ms <= 0)
        return;
    (void)str_copy(inst->deadline.boot_id, sizeof(inst->deadline.boot_id), c->boot_id);
    inst->deadline.boottime_ms = 60000 + after_ms;
    inst->deadline.after_ms = after_ms;
}

void chronicle_step(struct chronicle *c, struct fsm_instance *inst, uint8_t event, int completes,
                    const void *detail)
{
    const struct fsm_effect *effect =
        completes >= 0 ? fsm_find_effect_kind(inst, (uint8_t)completes) : NULL;
    struct fsm_event ev = {
        .kind = event,
        .effect_id = effect != NULL ? effect->id : 0,
        .at_unix_ms = c->now += c->tick_ms,
        .boot_id = c->boot_id,
        .detail = detail,
    };
    struct fsm_out out = {0};
    struct journal_transition t = {
        .inst = inst, .event = inst->machine->events[event], .at_unix_ms = ev.at_unix_ms};
    size_t i;

    if (fsm_step(inst, &ev, &out) != FSM_MOVED) {
        (void)fprintf(stderr, "%s, %s: did not move on %s\n", inst->id,
                      inst->machine->states[inst->state].name, t.event);
        exit(EXIT_FAILURE);
    }
    for (i = 0; i < out.n_opens; i++)
        out.opens[i].id = ++c->last_effect;
    set_deadline(c, inst, out.deadline_ms);
    t.from = inst->machine->states[out.from].name;
    t.detail = out.detail;
    t.opens = out.opens;
    t.n_opens = out.n_opens;
    t.closes = out.closes;
    t.n_closes = out.n_closes;
    t.child_lo = out.child_lo;
    t.child_hi = out.child_hi;
    CHRONICLE_MUST(c->j->ops->put_transition(c->j, &t, e_));
    put_replies(c, inst, &out);
    CHRONICLE_MUST(fsm_adopt(inst, &out));
    fsm_out_done(&out);
}

void chronicle_report(struct chronicle *c, struct fsm_instance *inst)
{
    const int64_t report = fsm_find_effect_kind(inst, COMMAND_FX_REPORT)->id;
    size_t i;

    for (i = 0; i < inst->n_effects; i++) {
        const struct fsm_effect *e = &inst->effects[i];

        if (e->id != report && reply_kind(inst, e) != NULL)
            CHRONICLE_MUST(c->j->ops->end_reply(c->j, e->id, JOURNAL_REPLY_TAKEN, "", c->now, e_));
    }
    chronicle_step(c, inst, COMMAND_EV_REPORTED, COMMAND_FX_REPORT, NULL);
    CHRONICLE_MUST(c->j->ops->end_reply(c->j, report, JOURNAL_REPLY_TAKEN, "", c->now, e_));
}
