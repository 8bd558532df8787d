/* Words become events, opened effects become words. */
#include "command_story.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/str.h"

void story_init(struct fsm_instance *inst, const struct story *s)
{
    struct err err;
    size_t i;

    REQUIRE(fsm_instance_init(inst, &command_machine, "c", s->n_units, 1, &err) == 0, "%s",
            err.text);
    command_of(inst)->max_reboots =
        s->max_reboots != 0 ? s->max_reboots : COMMAND_DEFAULT_MAX_REBOOTS;
    for (i = 0; i < s->n_units; i++) {
        struct command_unit *u = command_unit_at(inst, i);

        u->plugin = s->units[i].plugin;
        u->plan = s->units[i].plan;
        u->flow = s->units[i].flow & 0xff;
        u->max_tries = s->units[i].flow >> 8;
        u->limit_ms = 1000;
        command_of(inst)->n_plugins = u->plugin + 1;
    }
}

/* The open effect whose completion this event is, or 0. */
static int64_t completed(const struct fsm_instance *inst, uint8_t event)
{
    static const int kinds[COMMAND_N_EVENTS] = {
        [COMMAND_EV_EXITED] = COMMAND_FX_SPAWN,    [COMMAND_EV_LOST] = COMMAND_FX_SPAWN,
        [COMMAND_EV_VOID] = COMMAND_FX_SPAWN,      [COMMAND_EV_BOOTED] = COMMAND_FX_REBOOT,
        [COMMAND_EV_REPORTED] = COMMAND_FX_REPORT, [COMMAND_EV_REFUSED] = COMMAND_FX_REPORT};
    const struct fsm_effect *fx = NULL;

    if (kinds[event] != 0)
        fx = fsm_find_effect_kind(inst, (uint8_t)kinds[event]);
    return fx != NULL ? fx->id : 0;
}

bool story_row_taken[64];

static void note_row(const struct fsm_instance *inst, const struct fsm_event *ev)
{
    size_t i;

    for (i = 0; i < command_machine.n_rules; i++) {
        const struct fsm_rule *r = &command_machine.rules[i];

        if (r->from == inst->state && r->on == ev->kind && (r->when == NULL || r->when(inst, ev))) {
            story_row_taken[i] = true;
            return;
        }
    }
}

enum fsm_verdict story_send(struct fsm_instance *inst, struct fsm_out *out, const char *word,
                            struct buf *effects)
{
    static int64_t next_id = 1;
    struct command_result result = {.status = "Failed", .outcome = "exited", .ended_unix_ms = 77};
    struct fsm_event ev = {.at_unix_ms = 50, .boot_id = "boot"};
    enum fsm_verdict v;
    size_t i;

    if (word[0] == 'x' && word[1] != '\0') {
        REQUIRE(str_to_i64(word + 1, 0, 255, &result.code), "%s", word);
        if (result.code == 194)
            result.status = "SuccessAndReboot";
        else if (result.code == 0 || result.code == 168)
            result.status = "Success";
        word = "exited";
        ev.detail = &result;
    } else if (str_eq(word, "killed")) {
        result.code = COMMAND_CODE_STOPPED;
        result.status = command_of(inst)->stop == COMMAND_STOP_CANCEL ? "Cancelled" : "TimedOut";
        word = "exited";
        ev.detail = &result;
    } else if (str_eq(word, "unkilled")) { /* as above, and some of its processes are still there */
        result.code = COMMAND_CODE_STOPPED;
        result.status = command_of(inst)->stop == COMMAND_STOP_CANCEL ? "Cancelled" : "TimedOut";
        result.n_unkilled = 2;
        word = "exited";
        ev.detail = &result;
    } else if (str_eq(word, "voided")) {
        word = command_machine.events[COMMAND_EV_VOID];
    }
    i = (size_t)fsm_event_by_name(&command_machine, word);
    REQUIRE(i < COMMAND_N_EVENTS, "no event is named %s", word);
    ev.kind = (uint8_t)i;
    ev.effect_id = completed(inst, ev.kind);
    note_row(inst, &ev);
    v = fsm_step(inst, &ev, out);
    if (v != FSM_MOVED)
        return v;
    for (i = 0; i < out->n_opens; i++) {
        const struct fsm_effect *fx = &out->opens[i];
        const char *name = command_machine.effects[fx->kind].name;

        out->opens[i].id = next_id++;
        if (effects->len > 0)
            REQUIRE(buf_add_char(effects, ' ') == 0, "out of memory");
        if (fx->kind == COMMAND_FX_REPLY)
            (void)buf_printf(effects, "%s(%" PRId64 ")", name, fx->arg);
        else if (fx->kind == COMMAND_FX_SPAWN || fx->kind == COMMAND_FX_STOP)
            (void)buf_printf(effects, "%s(%" PRId64 ".%" PRId64 ")", name, fx->arg, fx->arg2);
        else
            (void)buf_add_str(effects, name);
    }
    REQUIRE(fsm_adopt(inst, out) == 0, "out of memory");
    if (command_machine.states[inst->state].overdue != FSM_NO_EVENT)
        REQUIRE(out->deadline_ms > 0 || out->deadline_ms == FSM_KEEP_DEADLINE, "%s has no deadline",
                fsm_state_name(inst));
    return v;
}
