/* What the command machine decides: for a story of events, the effects in their order and the
 * statuses and codes at its end (spec 03, sections 7, 9, 12; spec 04, section 4). */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "fsm/command.h"

#define MAX_UNITS 4

/* ck_assert marks its place with a system call, which a million steps cannot afford. */
#define REQUIRE(condition, ...)                                                                    \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg(__VA_ARGS__);                                                             \
    } while (0)
#define EXIT COMMAND_FLOW_EXIT_ON_FAILURE
#define SUCCEED COMMAND_FLOW_SUCCEED_ON_FAILURE
#define STOP_ON_SUCCESS COMMAND_FLOW_EXIT_ON_SUCCESS
#define FINALLY COMMAND_FLOW_FINALLY
#define FAIL COMMAND_PLAN_FAIL
#define SKIP COMMAND_PLAN_SKIP

#define TRIES(n) ((n) << 8)

/* Events are words: their names, or xN for a step that exited with code N, `killed` for one that
 * was stopped. A '~' before a word: it is ignored here. */
struct story {
    const char *name;
    struct {
        int plugin, plan, flow; /* the flow with TRIES() in it */
    } units[MAX_UNITS];
    size_t n_units;
    int64_t max_reboots; /* 0: the default */
    const char *events;
    const char *effects; /* opened, in order */
    const char *units_end;
    const char *status; /* of the document */
    const char *state;
};

#define HEAD "reply(-1) acknowledge spawn(0.1) "

static const struct story stories[] = {
    {"one step",
     {{0}},
     1,
     0,
     "accepted start x0 reported",
     HEAD "reply(0) report",
     "Success:0",
     "Success",
     "done"},
    {"a step that fails is tried again, as often as it may, and then goes on",
     {{0, 0, TRIES(3)}, {1, 0, TRIES(2)}},
     2,
     0,
     "accepted start x3 x3 x0 x1 x1",
     HEAD "spawn(0.2) spawn(0.3) reply(0) spawn(1.1) spawn(1.2) reply(1) report",
     "Success:0 Failed:1",
     "Failed",
     "reporting"},
    {"tries end with the last one: its onFailure counts, and 169 is not tried again",
     {{0, 0, EXIT | TRIES(2)}, {1, 0, TRIES(2)}},
     2,
     0,
     "accepted start x3 x169",
     HEAD "spawn(0.2) reply(0) reply(1) report",
     "Failed:169 Skipped:0",
     "Failed",
     "reporting"},
    {"a failed step does not stop the next",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start x3 x0",
     HEAD "reply(0) spawn(1.1) reply(1) report",
     "Failed:3 Success:0",
     "Failed",
     "reporting"},
    {"units of one plugin make one reply",
     {{0}, {0}, {1, 0, 0}},
     3,
     0,
     "accepted start x0 x4 x0",
     HEAD "spawn(1.1) reply(0) spawn(2.1) reply(1) report",
     "Success:0 Failed:4 Success:0",
     "Failed",
     "reporting"},
    {"a document that is rejected",
     {{0}},
     1,
     0,
     "rejected reported",
     "report",
     ":0",
     "Failed",
     "done"},
    {"onFailure exit",
     {{0, 0, EXIT}, {1, 0, 0}, {2, 0, 0}},
     3,
     0,
     "accepted start x1",
     HEAD "reply(0) reply(1) reply(2) report",
     "Failed:1 Skipped:0 Skipped:0",
     "Failed",
     "reporting"},
    {"onFailure exit does not matter to a success",
     {{0, 0, EXIT}, {1, 0, 0}},
     2,
     0,
     "accepted start x0 x0",
     HEAD "reply(0) spawn(1.1) reply(1) report",
     "Success:0 Success:0",
     "Success",
     "reporting"},
    {"onFailure exit does not stop after a time-out",
     {{0, 0, EXIT}, {1, 0, 0}},
     2,
     0,
     "accepted start timeout killed x0",
     HEAD "stop(0.1) reply(0) spawn(1.1) reply(1) report",
     "TimedOut:137 Success:0",
     "TimedOut",
     "reporting"},
    {"onFailure successAndExit",
     {{0, 0, SUCCEED}, {1, 0, 0}},
     2,
     0,
     "accepted start x1",
     HEAD "reply(0) reply(1) report",
     "Success:168 Skipped:0",
     "Success",
     "reporting"},
    {"onSuccess exit",
     {{0, 0, STOP_ON_SUCCESS}, {1, 0, 0}},
     2,
     0,
     "accepted start x0",
     HEAD "reply(0) reply(1) report",
     "Success:0 Skipped:0",
     "Success",
     "reporting"},
    {"finallyStep runs whatever happened",
     {{0, 0, EXIT}, {1, 0, 0}, {2, 0, FINALLY}},
     3,
     0,
     "accepted start x1 x0",
     HEAD "reply(0) reply(1) spawn(2.1) reply(2) report",
     "Failed:1 Skipped:0 Success:0",
     "Failed",
     "reporting"},
    {"exit code 168",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start x168",
     HEAD "reply(0) reply(1) report",
     "Success:168 Skipped:0",
     "Success",
     "reporting"},
    {"exit code 169",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start x169",
     HEAD "reply(0) reply(1) report",
     "Failed:169 Skipped:0",
     "Failed",
     "reporting"},
    {"every unit of a plugin runs, an exit condition or not",
     {{0, 0, EXIT}, {0, 0, EXIT}, {1, 0, 0}},
     3,
     0,
     "accepted start x2 x0",
     HEAD "spawn(1.1) reply(0) reply(1) report",
     "Failed:2 Success:0 Skipped:0",
     "Failed",
     "reporting"},
    {"planned ends",
     {{0, SKIP, 0}, {1, 0, 0}, {2, FAIL, 0}, {3, 0, 0}},
     4,
     0,
     "accepted start x0 x0",
     "reply(-1) acknowledge reply(0) spawn(1.1) reply(1) reply(2) spawn(3.1) reply(3) report",
     "Skipped:0 Success:0 Failed:1 Success:0",
     "Failed",
     "reporting"},
    {"a planned failure ends the document when onFailure says so",
     {{0, FAIL, EXIT}, {1, 0, 0}, {2, 0, FINALLY}},
     3,
     0,
     "accepted start x0",
     "reply(-1) acknowledge reply(0) reply(1) spawn(2.1) reply(2) report",
     "Failed:1 Skipped:0 Success:0",
     "Failed",
     "reporting"},
    {"a planned failure ends a document with nothing to run",
     {{0, FAIL, EXIT}, {1, 0, 0}},
     2,
     0,
     "accepted start",
     "reply(-1) acknowledge reply(0) reply(1) report",
     "Failed:1 Skipped:0",
     "Failed",
     "reporting"},
    {"nothing to run",
     {{0, SKIP, 0}, {1, SKIP, 0}},
     2,
     0,
     "accepted start",
     "reply(-1) acknowledge reply(0) reply(1) report",
     "Skipped:0 Skipped:0",
     "Success",
     "reporting"},
    {"a cancel in the queue",
     {{0}, {1, SKIP, 0}},
     2,
     0,
     "accepted cancel ~start",
     "reply(-1) acknowledge reply(0) reply(1) report",
     "Cancelled:1 Skipped:0",
     "Cancelled",
     "reporting"},
    {"a cancel of a running step",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start cancel killed",
     HEAD "stop(0.1) reply(0) reply(1) report",
     "Cancelled:137 Cancelled:1",
     "Cancelled",
     "reporting"},
    {"a cancel after a failure",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start x3 cancel killed",
     HEAD "reply(0) spawn(1.1) stop(1.1) reply(1) report",
     "Failed:3 Cancelled:137",
     "Failed",
     "reporting"},
    {"a step that ended before the cancel reached it",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start cancel x0",
     HEAD "stop(0.1) reply(0) reply(1) report",
     "Success:0 Cancelled:1",
     "Cancelled",
     "reporting"},
    {"a cancel while timing out",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start timeout cancel killed",
     HEAD "stop(0.1) reply(0) reply(1) report",
     "Cancelled:137 Cancelled:1",
     "Cancelled",
     "reporting"},
    {"a cancel of a step that had not begun",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start cancel voided",
     HEAD "stop(0.1) reply(0) reply(1) report",
     "Cancelled:1 Cancelled:1",
     "Cancelled",
     "reporting"},
    {"a cancel while rebooting",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start x194 cancel booted",
     HEAD "reply(0) reply(-2) reboot reply(0) reply(1) report",
     "Cancelled:1 Cancelled:1",
     "Cancelled",
     "reporting"},
    {"a cancel while a reboot does not come",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start x194 cancel overdue",
     HEAD "reply(0) reply(-2) reboot reply(0) reply(1) report",
     "Cancelled:194 Cancelled:1",
     "Cancelled",
     "reporting"},
    {"a cancel too late",
     {{0}},
     1,
     0,
     "accepted start x0 ~cancel reported",
     HEAD "reply(0) report",
     "Success:0",
     "Success",
     "done"},
    {"a stop that does not come",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start cancel overdue",
     HEAD "stop(0.1) reply(0) reply(1) report",
     "Cancelled:137 Cancelled:1",
     "Cancelled",
     "reporting"},
    {"a time-out that does not stop",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start timeout overdue",
     HEAD "stop(0.1) reply(0) reply(1) report",
     "TimedOut:137 Cancelled:1",
     "TimedOut",
     "reporting"},
    {"a step that begins long after its promise",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start begun x0 begun x0 ~begun",
     HEAD "reply(0) spawn(1.1) reply(1) report",
     "Success:0 Success:0",
     "Success",
     "reporting"},
    {"a lost step",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start lost",
     HEAD "reply(0) reply(1) report",
     "Failed:1000 Skipped:0",
     "Failed",
     "reporting"},
    {"a step lost while it was being stopped",
     {{0}},
     1,
     0,
     "accepted start cancel lost",
     HEAD "stop(0.1) reply(0) report",
     "Failed:1000",
     "Failed",
     "reporting"},
    {"a reboot",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start x194 booted x0 x0",
     HEAD "reply(0) reply(-2) reboot spawn(0.2) reply(0) spawn(1.1) reply(1) report",
     "Success:0 Success:0",
     "Success",
     "reporting"},
    {"finallyStep waits for a reboot too",
     {{0}, {1, 0, FINALLY}},
     2,
     0,
     "accepted start x194",
     HEAD "reply(0) reply(-2) reboot",
     "SuccessAndReboot:194 :0",
     "SuccessAndReboot",
     "rebooting"},
    {"more reboots than allowed",
     {{0}, {1, 0, 0}},
     2,
     1,
     "accepted start x194 booted x194 x0",
     HEAD "reply(0) reply(-2) reboot spawn(0.2) reply(0) spawn(1.1) reply(1) report",
     "Failed:194 Success:0",
     "Failed",
     "reporting"},
    {"over the cap, with onFailure successAndExit",
     {{0, 0, SUCCEED}, {1, 0, 0}},
     2,
     1,
     "accepted start x194 booted x194",
     HEAD "reply(0) reply(-2) reboot spawn(0.2) reply(0) reply(1) report",
     "Success:168 Skipped:0",
     "Success",
     "reporting"},
    {"a reboot asked for while timing out",
     {{0}},
     1,
     0,
     "accepted start timeout x194",
     HEAD "stop(0.1) reply(0) report",
     "TimedOut:194",
     "TimedOut",
     "reporting"},
    {"a reboot asked for while being cancelled",
     {{0}},
     1,
     0,
     "accepted start cancel x194",
     HEAD "stop(0.1) reply(0) report",
     "Cancelled:194",
     "Cancelled",
     "reporting"},
    {"a reboot that is late",
     {{0}},
     1,
     0,
     "accepted start x194 overdue booted x0",
     HEAD "reply(0) reply(-2) reboot reboot spawn(0.2) reply(0) report",
     "Success:0",
     "Success",
     "reporting"},
    {"a reboot that never comes",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start x194 overdue overdue",
     HEAD "reply(0) reply(-2) reboot reboot reply(0) reply(1) report",
     "Failed:194 Skipped:0",
     "Failed",
     "reporting"},
    {"a reply that is refused",
     {{0}},
     1,
     0,
     "accepted start x0 refused",
     HEAD "reply(0) report",
     "Success:0",
     "Success",
     "done"},
    {"a runaway",
     {{0}, {1, 0, 0}},
     2,
     0,
     "accepted start runaway reported",
     HEAD "reply(0) reply(1) report stop(0.1)",
     "Failed:1000 Failed:1000",
     "Failed",
     "done"},
};

static void init(struct fsm_instance *inst, const struct story *s)
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

static bool is_row_taken[64]; /* by any story or walk of this process */

static void note_row(const struct fsm_instance *inst, const struct fsm_event *ev)
{
    size_t i;

    for (i = 0; i < command_machine.n_rules; i++) {
        const struct fsm_rule *r = &command_machine.rules[i];

        if (r->from == inst->state && r->on == ev->kind && (r->when == NULL || r->when(inst, ev))) {
            is_row_taken[i] = true;
            return;
        }
    }
}

/* Send one word of a story. */
static enum fsm_verdict send(struct fsm_instance *inst, struct fsm_out *out, const char *word,
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

START_TEST(each_story_has_its_effects_and_its_end)
{
    const struct story *s = &stories[_i];
    AUTO(buf_done) struct buf effects, units;
    struct fsm_instance inst;
    struct fsm_out out = {0};
    char events[200], *word, *rest = NULL;
    size_t i;

    buf_init(&effects, 4096);
    buf_init(&units, 4096);
    init(&inst, s);
    ck_assert(str_copy(events, sizeof(events), s->events));
    for (word = strtok_r(events, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        bool is_ignored = word[0] == '~';
        enum fsm_verdict v = send(&inst, &out, word + is_ignored, &effects);

        ck_assert_msg(v == (is_ignored ? FSM_IGNORED : FSM_MOVED), "%s: %s in %s: verdict %d",
                      s->name, word, fsm_state_name(&inst), (int)v);
    }
    for (i = 0; i < s->n_units; i++) {
        const struct command_unit *u = command_unit_at(&inst, i);

        (void)buf_printf(&units, "%s%s:%" PRId64, i > 0 ? " " : "", u->status, u->code);
        if (str_eq(u->status, "Success"))
            ck_assert_msg(u->ended_unix_ms == 77, "%s: the runner's end time is lost", s->name);
    }
    ck_assert_msg(str_eq(buf_str(&effects), s->effects), "%s: opened\n%s\nexpected\n%s", s->name,
                  buf_str(&effects), s->effects);
    ck_assert_msg(str_eq(buf_str(&units), s->units_end), "%s: '%s', expected '%s'", s->name,
                  buf_str(&units), s->units_end);
    ck_assert_msg(str_eq(fsm_status(&inst), s->status), "%s: %s", s->name, fsm_status(&inst));
    ck_assert_msg(str_eq(fsm_state_name(&inst), s->state), "%s: %s", s->name,
                  fsm_state_name(&inst));
    if (fsm_is_terminal(&inst))
        ck_assert_uint_eq(inst.n_effects, 0);
    fsm_instance_done(&inst);
    fsm_out_done(&out);
}
END_TEST

START_TEST(the_sixteenth_request_for_a_reboot_is_one_too_many)
{
    static const struct story s = {.name = "cap", .n_units = 1};
    AUTO(buf_done) struct buf effects;
    struct fsm_instance inst;
    struct fsm_out out = {0};
    int i;

    buf_init(&effects, 65536);
    init(&inst, &s);
    ck_assert_int_eq(send(&inst, &out, "accepted", &effects), FSM_MOVED);
    ck_assert_int_eq(send(&inst, &out, "start", &effects), FSM_MOVED);
    for (i = 0; i < COMMAND_DEFAULT_MAX_REBOOTS; i++) {
        ck_assert_int_eq(send(&inst, &out, "x194", &effects), FSM_MOVED);
        ck_assert_str_eq(fsm_state_name(&inst), "rebooting");
        ck_assert_int_eq(send(&inst, &out, "booted", &effects), FSM_MOVED);
    }
    ck_assert_int_eq(send(&inst, &out, "x194", &effects), FSM_MOVED);
    ck_assert_str_eq(fsm_state_name(&inst), "reporting");
    ck_assert_int_eq(command_unit_at(&inst, 0)->note, COMMAND_NOTE_REBOOT_CAP);
    ck_assert_int_eq(command_unit_at(&inst, 0)->attempt, COMMAND_DEFAULT_MAX_REBOOTS + 1);
    fsm_instance_done(&inst);
    fsm_out_done(&out);
}
END_TEST

START_TEST(processes_that_outlive_their_kill_are_told)
{
    static const struct story s = {.name = "unkilled", .n_units = 1};
    AUTO(buf_done) struct buf effects;
    struct fsm_instance inst;
    struct fsm_out out = {0};

    buf_init(&effects, 65536);
    init(&inst, &s);
    ck_assert_int_eq(send(&inst, &out, "accepted", &effects), FSM_MOVED);
    ck_assert_int_eq(send(&inst, &out, "start", &effects), FSM_MOVED);
    ck_assert_int_eq(send(&inst, &out, "cancel", &effects), FSM_MOVED);
    ck_assert_int_eq(send(&inst, &out, "unkilled", &effects), FSM_MOVED);
    ck_assert_str_eq(command_unit_at(&inst, 0)->status, "Cancelled");
    ck_assert_int_eq(command_unit_at(&inst, 0)->note, COMMAND_NOTE_UNSTOPPABLE);
    fsm_instance_done(&inst);
    fsm_out_done(&out);
}
END_TEST

/* ---- random walks ---- */

#define WALK_STEPS 1000000

static uint64_t random_state;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random_state >> 33) % n;
}

static void assert_sound(const struct fsm_instance *inst)
{
    static const char *const statuses[] = {"",       "InProgress", "Success",   "SuccessAndReboot",
                                           "Failed", "TimedOut",   "Cancelled", "Skipped"};
    const struct command *c = command_of(inst);
    size_t i, k, n_spawned = 0, n_reports = 0;

    REQUIRE(c->unit >= 0, "unit");
    REQUIRE(c->unit <= (int64_t)inst->n_children, "c->unit is %" PRId64, c->unit);
    REQUIRE(c->reboot_tries <= 2, "c->reboot_tries is %" PRId64, c->reboot_tries);
    for (i = 0; i < inst->n_children; i++) {
        const struct command_unit *u = command_unit_at(inst, i);

        for (k = 0; k < ARRAY_LEN(statuses) && !str_eq(u->status, statuses[k]); k++)
            ;
        REQUIRE(k < ARRAY_LEN(statuses), "status %s", u->status);
        REQUIRE(u->reboots <= c->max_reboots, "u->reboots is %" PRId64, u->reboots);
        REQUIRE(u->failures == 0 || u->failures < u->max_tries, "u->failures is %" PRId64,
                u->failures);
        REQUIRE(u->attempt <= c->max_reboots + u->failures + 1, "u->attempt is %" PRId64,
                u->attempt);
        if (inst->state == COMMAND_REPORTING && c->n_plugins > 0)
            REQUIRE(u->status[0] != '\0' && !str_eq(u->status, "InProgress") &&
                        !str_eq(u->status, "SuccessAndReboot"),
                    "reporting step %zu as '%s'", i, u->status);
    }
    for (i = 0; i < inst->n_effects; i++) {
        n_spawned += inst->effects[i].kind == COMMAND_FX_SPAWN;
        n_reports += inst->effects[i].kind == COMMAND_FX_REPORT;
    }
    REQUIRE(n_spawned == (inst->state == COMMAND_RUNNING || inst->state == COMMAND_STOPPING),
            "%s has %zu of n_spawned", fsm_state_name(inst), n_spawned);
    REQUIRE(n_reports == (inst->state == COMMAND_REPORTING), "%s has %zu of n_reports",
            fsm_state_name(inst), n_reports);
    if (fsm_is_terminal(inst))
        REQUIRE(inst->n_effects == 0, "ended with effects open");
}

static void make_random_story(struct story *s)
{
    size_t i;

    *s = (struct story){.name = "random", .n_units = 1 + random_below(MAX_UNITS)};
    s->max_reboots = 1 + random_below(3);
    for (i = 0; i < s->n_units; i++) {
        s->units[i].plugin = i == 0 ? 0 : s->units[i - 1].plugin + (random_below(3) > 0 ? 1 : 0);
        s->units[i].plan = random_below(5) == 0 ? (int)random_below(3) : COMMAND_PLAN_RUN;
        s->units[i].flow = random_below(3) == 0 ? (int)random_below(16) : 0;
        s->units[i].flow |= random_below(3) == 0 ? TRIES((int)random_below(4)) : 0;
    }
}

START_TEST(a_million_random_events_break_nothing_and_take_every_row)
{
    static const char *const words[] = {
        "accepted", "rejected", "start",   "x0",      "x1",     "x168",   "x169",
        "x194",     "killed",   "lost",    "voided",  "booted", "cancel", "timeout",
        "overdue",  "reported", "refused", "runaway", "x194",   "booted", "begun"};
    const char *seed = getenv("SSMD_SEED");
    AUTO(buf_done) struct buf effects;
    struct fsm_instance inst = {0};
    struct fsm_out out = {0};
    struct story s;
    int64_t value = 20240504, step, n_walks = 0;
    size_t i;

    if (seed != NULL)
        ck_assert_msg(str_to_i64(seed, 0, INT64_MAX, &value), "SSMD_SEED is no number: %s", seed);
    printf("random walks: SSMD_SEED=%" PRId64 "\n", value);
    random_state = (uint64_t)value;
    ck_assert_uint_le(command_machine.n_rules, ARRAY_LEN(is_row_taken));
    memset(is_row_taken, 0, sizeof(is_row_taken)); /* the walks alone take every row */
    buf_init(&effects, 1 << 20);
    for (step = 0; step < WALK_STEPS; step++) {
        const char *word = words[random_below(ARRAY_LEN(words))];
        enum fsm_verdict v;

        if (inst.machine == NULL || fsm_is_terminal(&inst)) {
            fsm_instance_done(&inst);
            make_random_story(&s);
            init(&inst, &s);
            n_walks++;
        }
        if (str_eq(word, "runaway") && random_below(20) > 0)
            continue;
        buf_clear(&effects);
        v = send(&inst, &out, word, &effects);
        REQUIRE(v == FSM_MOVED || v == FSM_IGNORED, "%s on %s: verdict %d at step %" PRId64,
                fsm_state_name(&inst), word, (int)v, step);
        assert_sound(&inst);
    }
    /* Whatever happened, it can be driven to its end. */
    for (i = 0; i < 200 && !fsm_is_terminal(&inst); i++) {
        static const char *const onward[] = {"accepted", "start",   "cancel",
                                             "killed",   "overdue", "reported"};

        (void)send(&inst, &out, onward[i % ARRAY_LEN(onward)], &effects);
    }
    ck_assert(fsm_is_terminal(&inst));
    ck_assert_int_gt(n_walks, 1000);
    for (i = 0; i < command_machine.n_rules; i++) {
        const struct fsm_rule *r = &command_machine.rules[i];

        ck_assert_msg(is_row_taken[i], "row %zu, %s on %s, was not taken", i,
                      command_machine.states[r->from].name, command_machine.events[r->on]);
    }
    fsm_instance_done(&inst);
    fsm_out_done(&out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("command");
    TCase *decisions = tcase_create("decisions"), *walks = tcase_create("walks");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_loop_test(decisions, each_story_has_its_effects_and_its_end, 0,
                        (int)ARRAY_LEN(stories));
    tcase_add_test(decisions, the_sixteenth_request_for_a_reboot_is_one_too_many);
    tcase_add_test(decisions, processes_that_outlive_their_kill_are_told);
    tcase_set_timeout(walks, 300); /* sanitizers on a busy machine */
    tcase_add_test(walks, a_million_random_events_break_nothing_and_take_every_row);
    suite_add_tcase(suite, decisions);
    suite_add_tcase(suite, walks);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
