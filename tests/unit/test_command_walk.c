/* The command machine under a million events in random order: what must hold after each of them,
 * and every row of its table is taken. */
#include "command_story.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define TRIES(n) ((n) << 8)

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

    *s = (struct story){.name = "random", .n_units = 1 + random_below(STORY_MAX_UNITS)};
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
    ck_assert_uint_le(command_machine.n_rules, ARRAY_LEN(story_row_taken));
    memset(story_row_taken, 0, sizeof(story_row_taken)); /* the walks alone take every row */
    buf_init(&effects, 1 << 20);
    for (step = 0; step < WALK_STEPS; step++) {
        const char *word = words[random_below(ARRAY_LEN(words))];
        enum fsm_verdict v;

        if (inst.machine == NULL || fsm_is_terminal(&inst)) {
            fsm_instance_done(&inst);
            make_random_story(&s);
            story_init(&inst, &s);
            n_walks++;
        }
        if (str_eq(word, "runaway") && random_below(20) > 0)
            continue;
        buf_clear(&effects);
        v = story_send(&inst, &out, word, &effects);
        REQUIRE(v == FSM_MOVED || v == FSM_IGNORED, "%s on %s: verdict %d at step %" PRId64,
                fsm_state_name(&inst), word, (int)v, step);
        assert_sound(&inst);
    }
    /* Whatever happened, it can be driven to its end. */
    for (i = 0; i < 200 && !fsm_is_terminal(&inst); i++) {
        static const char *const onward[] = {"accepted", "start",   "cancel",
                                             "killed",   "overdue", "reported"};

        (void)story_send(&inst, &out, onward[i % ARRAY_LEN(onward)], &effects);
    }
    ck_assert(fsm_is_terminal(&inst));
    ck_assert_int_gt(n_walks, 1000);
    for (i = 0; i < command_machine.n_rules; i++) {
        const struct fsm_rule *r = &command_machine.rules[i];

        ck_assert_msg(story_row_taken[i], "row %zu, %s on %s, was not taken", i,
                      command_machine.states[r->from].name, command_machine.events[r->on]);
    }
    fsm_instance_done(&inst);
    fsm_out_done(&out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("command_walk");
    TCase *walks = tcase_create("walks");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_set_timeout(walks, 300); /* sanitizers on a busy machine */
    tcase_add_test(walks, a_million_random_events_break_nothing_and_take_every_row);
    suite_add_tcase(suite, walks);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
