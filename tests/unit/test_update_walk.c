/* Random walks of the two machines of an update: every row is taken, nothing is unexpected, and at
 * an end nothing is open. */
#include <check.h>
#include <stdlib.h>

#include "base/str.h"
#include "fsm/handover.h"
#include "fsm/update.h"

#define WALK_STEPS 300000

static const struct fsm_machine *const walked[] = {&update_machine, &handover_machine};

static uint32_t random_state = 20260522;

static uint32_t next_random(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return random_state >> 8;
}

static const void *detail_of(const struct fsm_machine *m, uint8_t kind)
{
    static const struct update_choice choice = {"2", "u", "s", 1, 1, 1};
    static const struct update_reason reason = {.code = "code", .text = "text"};

    if (m == &handover_machine)
        return "text";
    return kind == UPDATE_EV_FETCHED ? (const void *)&choice
           : kind == UPDATE_EV_SKIP || kind == UPDATE_EV_FAILED || kind == UPDATE_EV_REVERTED ||
                   kind == UPDATE_EV_BROKEN
               ? (const void *)&reason
           : kind == UPDATE_EV_REVERTING || kind == UPDATE_EV_OVERDUE ||
                   kind == UPDATE_EV_PACKAGED || kind == UPDATE_EV_LOST
               ? "text"
               : NULL;
}

static const struct fsm_rule *rule_for(const struct fsm_instance *inst, const struct fsm_event *ev)
{
    size_t i;

    for (i = 0; i < inst->machine->n_rules; i++) {
        const struct fsm_rule *rule = &inst->machine->rules[i];

        if (rule->from == inst->state && rule->on == ev->kind &&
            (rule->when == NULL || rule->when(inst, ev)))
            return rule;
    }
    return NULL;
}

START_TEST(every_row_is_taken_and_every_end_is_tidy)
{
    const struct fsm_machine *m = walked[_i];
    bool is_taken[96] = {false};
    struct fsm_instance inst = {.machine = NULL};
    struct fsm_out out = {0};
    int64_t last_id = 0;
    struct err err;
    size_t i, step;

    for (step = 0; step < WALK_STEPS; step++) {
        struct fsm_event ev = {.boot_id = "b"};
        const struct fsm_rule *rule;

        if (inst.machine == NULL || fsm_is_terminal(&inst)) {
            if (inst.machine != NULL)
                ck_assert_uint_eq(inst.n_effects, 0);
            fsm_instance_done(&inst);
            ck_assert_int_eq(fsm_instance_init(&inst, m, "u", 0, 1, &err), 0);
            if (m == &handover_machine)
                handover_of(&inst)->is_service_away = next_random() % 2;
            else if (next_random() % 2 == 0)
                (void)str_copy(update_of(&inst)->manager, 16, "apt-get");
        }
        ev.kind = (uint8_t)(next_random() % m->n_events);
        if (inst.n_effects > 0 && next_random() % 2 == 0) /* else it seldom comes far */
            ev.kind = (uint8_t)m->effects[inst.effects[0].kind].done;
        ev.detail = detail_of(m, ev.kind);
        for (i = 0; i < inst.n_effects; i++)
            if (m->effects[inst.effects[i].kind].done == (int)ev.kind)
                ev.effect_id = inst.effects[i].id;
        rule = rule_for(&inst, &ev);
        switch (fsm_step(&inst, &ev, &out)) {
        case FSM_MOVED:
            ck_assert_ptr_nonnull(rule);
            is_taken[rule - m->rules] = true;
            for (i = 0; i < out.n_opens; i++)
                out.opens[i].id = ++last_id;
            ck_assert_int_eq(fsm_adopt(&inst, &out), 0);
            /* Beside an install there may be the wish that it should not begin. */
            ck_assert_uint_le(inst.n_effects,
                              inst.state == UPDATE_STOPPING && m == walked[0] ? 2 : 1);
            break;
        case FSM_UNEXPECTED:
            ck_abort_msg("%s: %s in %s", m->name, m->events[ev.kind], fsm_state_name(&inst));
            break;
        case FSM_RUNAWAY:
        case FSM_IGNORED:
        case FSM_STALE:
        default:
            break;
        }
    }
    for (i = 0; i < m->n_rules; i++)
        ck_assert_msg(is_taken[i], "%s: row %zu is never taken", m->name, i);
    fsm_instance_done(&inst);
    fsm_out_done(&out);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("update_walk");
    TCase *t = tcase_create("walks");
    SRunner *sr;
    int n_failed;

    tcase_add_loop_test(t, every_row_is_taken_and_every_end_is_tidy, 0, (int)ARRAY_LEN(walked));
    suite_add_tcase(s, t);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
