/* Laws of the engine, of every machine's table, and of the checker itself; the pictures in docs/fsm
 * are those of the machines that run. `test_fsm --write DIR` writes them (scripts/diagrams). */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "fsm/command.h"
#include "fsm/delivery.h"
#include "fsm/upload.h"

/* ---- a small machine, whole in itself, to try the engine on ---- */

enum { IDLE, BUSY, OVER, N_STATES };
enum { EV_GO, EV_DONE, EV_POKE, EV_RUNAWAY, N_EVENTS };
enum { FX_WORK, FX_NOISE, N_EFFECTS };

struct toy {
    int64_t n_pokes;
    char word[8];
};

static bool is_poked(const struct fsm_instance *inst, const struct fsm_event *ev)
{
    (void)ev;
    return ((const struct toy *)inst->data)->n_pokes > 0;
}

static void work(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)inst;
    (void)ev;
    fsm_open(out, FX_WORK, 7, 8);
    fsm_open(out, FX_NOISE, 0, 0);
}

static void poke(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    (void)ev;
    (void)out;
    ((struct toy *)inst->data)->n_pokes++;
}

static const struct fsm_rule toy_rules[] = {
    {IDLE, EV_GO, NULL, BUSY, work, "work"},          {IDLE, EV_RUNAWAY, NULL, OVER, NULL, NULL},
    {BUSY, EV_DONE, is_poked, OVER, NULL, "[poked]"}, {BUSY, EV_DONE, NULL, IDLE, NULL, NULL},
    {BUSY, EV_POKE, NULL, BUSY, poke, "note"},        {BUSY, EV_RUNAWAY, NULL, OVER, NULL, NULL},
};
static const struct fsm_state toy_states[N_STATES] = {
    {"idle", "Pending", false, FSM_NO_EVENT, BIT(EV_DONE) | BIT(EV_POKE)},
    {"busy", NULL, false, EV_POKE, BIT(EV_GO)},
    {"over", "", true, FSM_NO_EVENT, 0},
};
static const char *const toy_events[N_EVENTS] = {"go", "done", "poke", "runaway"};
static const struct fsm_effect_kind toy_effects[N_EFFECTS] = {
    {"work", FSM_PROBE, EV_DONE, EV_DONE, false},
    {"noise", FSM_REDO, FSM_NO_EVENT, FSM_NO_EVENT, true},
};
static const struct fsm_field toy_fields[] = {FSM_FIELD_I64(struct toy, n_pokes),
                                              FSM_FIELD_TEXT(struct toy, word)};

/* A copy that a test may spoil. */
struct toy_machine {
    struct fsm_machine m;
    struct fsm_rule rules[16];
    struct fsm_state states[N_STATES];
    const char *events[N_EVENTS];
    struct fsm_effect_kind effects[N_EFFECTS];
};

static void make_toy(struct toy_machine *t)
{
    memcpy(t->rules, toy_rules, sizeof(toy_rules));
    memcpy(t->states, toy_states, sizeof(toy_states));
    memcpy(t->events, toy_events, sizeof(toy_events));
    memcpy(t->effects, toy_effects, sizeof(toy_effects));
    t->m = (struct fsm_machine){.name = "toy",
                                .version = 1,
                                .rules = t->rules,
                                .n_rules = ARRAY_LEN(toy_rules),
                                .states = t->states,
                                .n_states = N_STATES,
                                .events = t->events,
                                .n_events = N_EVENTS,
                                .effects = t->effects,
                                .n_effects = N_EFFECTS,
                                .fields = toy_fields,
                                .n_fields = ARRAY_LEN(toy_fields),
                                .data_size = sizeof(struct toy),
                                .initial = IDLE,
                                .max_transitions = 6,
                                .runaway = EV_RUNAWAY};
}

static struct toy_machine toy;
static struct fsm_instance inst;
static struct fsm_out out;

static void set_up(void)
{
    struct err err;

    make_toy(&toy);
    out = (struct fsm_out){0};
    ck_assert_int_eq(fsm_instance_init(&inst, &toy.m, "t", 0, 5, &err), 0);
}

static void tear_down(void)
{
    fsm_instance_done(&inst);
    fsm_out_done(&out);
}

static enum fsm_verdict send(uint8_t kind, int64_t effect_id)
{
    struct fsm_event ev = {
        .kind = kind, .effect_id = effect_id, .at_unix_ms = 9, .boot_id = "boot"};
    static int64_t next_id = 100;
    enum fsm_verdict v = fsm_step(&inst, &ev, &out);
    size_t i;

    if (v == FSM_MOVED || v == FSM_IGNORED) {
        for (i = 0; i < out.n_opens; i++)
            out.opens[i].id = ++next_id;
        ck_assert_int_eq(fsm_adopt(&inst, &out), 0);
    }
    return v;
}

START_TEST(the_first_row_that_matches_is_taken)
{
    ck_assert_int_eq(send(EV_GO, 0), FSM_MOVED);
    ck_assert_int_eq(send(EV_DONE, 0), FSM_MOVED); /* the guard does not hold: the plain row */
    ck_assert_str_eq(fsm_state_name(&inst), "idle");
    ck_assert_int_eq(send(EV_GO, 0), FSM_MOVED);
    ck_assert_int_eq(send(EV_POKE, 0), FSM_MOVED);
    ck_assert_int_eq(send(EV_DONE, 0), FSM_MOVED);
    ck_assert_str_eq(fsm_state_name(&inst), "over");
    ck_assert_int_eq(inst.n_transitions, 5);
    ck_assert_int_eq(inst.updated_unix_ms, 9);
}
END_TEST

START_TEST(a_completion_closes_its_effect_and_comes_once)
{
    int64_t id;

    ck_assert_int_eq(send(EV_GO, 0), FSM_MOVED);
    ck_assert_uint_eq(inst.n_effects, 2);
    ck_assert_int_eq(inst.effects[0].arg, 7);
    ck_assert_int_eq(inst.effects[0].arg2, 8);
    id = fsm_find_effect_kind(&inst, FX_WORK)->id;
    ck_assert_int_eq(send(EV_DONE, id), FSM_MOVED);
    ck_assert_uint_eq(out.n_closes, 1);
    ck_assert_int_eq(out.closes[0], id);
    ck_assert_ptr_null(fsm_find_effect(&inst, id));
    ck_assert_uint_eq(inst.n_effects, 1);
    ck_assert_int_eq(send(EV_DONE, id), FSM_STALE);
    ck_assert_int_eq(inst.n_transitions, 2);
}
END_TEST

START_TEST(an_ignored_event_changes_nothing_but_closes_its_effect)
{
    int64_t id;

    ck_assert_int_eq(send(EV_GO, 0), FSM_MOVED);
    id = fsm_find_effect_kind(&inst, FX_NOISE)->id;
    ck_assert_int_eq(send(EV_GO, id), FSM_IGNORED);
    ck_assert_uint_eq(out.n_closes, 1);
    ck_assert_uint_eq(out.n_opens, 0);
    ck_assert_ptr_null(fsm_find_effect(&inst, id));
    ck_assert_str_eq(fsm_state_name(&inst), "busy");
    ck_assert_int_eq(inst.n_transitions, 1);
}
END_TEST

START_TEST(an_event_that_is_neither_handled_nor_ignored_changes_nothing)
{
    toy.states[IDLE].ignored = 0;
    ck_assert_int_eq(send(EV_POKE, 0), FSM_UNEXPECTED);
    ck_assert_str_eq(fsm_state_name(&inst), "idle");
    ck_assert_int_eq(inst.n_transitions, 0);
}
END_TEST

START_TEST(a_terminal_state_closes_whatever_is_open_and_hears_nothing)
{
    ck_assert_int_eq(send(EV_GO, 0), FSM_MOVED);
    ck_assert_int_eq(send(EV_POKE, 0), FSM_MOVED);
    ck_assert_int_eq(send(EV_DONE, fsm_find_effect_kind(&inst, FX_WORK)->id), FSM_MOVED);
    ck_assert(fsm_is_terminal(&inst));
    ck_assert_uint_eq(inst.n_effects, 0);
    ck_assert_uint_eq(out.n_closes, 2); /* each id once, though one is closed for two reasons */
    ck_assert_int_eq(send(EV_GO, 0), FSM_STALE);
}
END_TEST

START_TEST(an_instance_that_loops_is_ended_by_its_runaway_event)
{
    int i;

    for (i = 0; i < 3; i++) {
        ck_assert_int_eq(send(EV_GO, 0), FSM_MOVED);
        ck_assert_int_eq(send(EV_DONE, 0), FSM_MOVED);
    }
    ck_assert_int_eq(send(EV_GO, 0), FSM_RUNAWAY);
    ck_assert_int_eq(inst.n_transitions, 6);
    ck_assert_int_eq(send(EV_RUNAWAY, 0), FSM_MOVED);
    ck_assert(fsm_is_terminal(&inst));
}
END_TEST

START_TEST(a_command_that_ran_away_can_still_be_reported)
{
    struct fsm_event ev = {.kind = COMMAND_EV_REPORTED, .boot_id = "b"};
    struct fsm_instance c;
    struct err err;

    ck_assert_int_eq(fsm_instance_init(&c, &command_machine, "c", 1, 1, &err), 0);
    c.state = COMMAND_REPORTING;
    c.n_transitions = command_machine.max_transitions + 1;
    ck_assert_int_eq(fsm_step(&c, &ev, &out), FSM_MOVED);
    ck_assert(fsm_is_terminal(&c));
    fsm_instance_done(&c);
}
END_TEST

START_TEST(what_could_not_be_listed_is_not_adopted)
{
    out.failed = ERR_NOMEM;
    ck_assert_int_eq(fsm_adopt(&inst, &out), ERR_NOMEM);
    ck_assert_uint_eq(inst.n_effects, 0);
}
END_TEST

START_TEST(an_instance_has_bounds)
{
    struct fsm_instance c;
    struct err err;
    char id[FSM_ID_SIZE + 1];

    memset(id, 'x', sizeof(id) - 1);
    id[sizeof(id) - 1] = '\0';
    ck_assert_int_eq(fsm_instance_init(&c, &toy.m, id, 0, 1, &err), ERR_LIMIT);
    ck_assert_int_eq(fsm_instance_init(&c, &toy.m, "t", 1, 1, &err), ERR_LIMIT);
    ck_assert_int_eq(fsm_instance_init(&c, &command_machine, "c", FSM_MAX_CHILDREN + 1, 1, &err),
                     ERR_LIMIT);
}
END_TEST

START_TEST(the_dump_is_one_line_a_field_and_says_the_same_twice)
{
    static const char expected[] = "machine=toy\nid=t\nstate=idle\nn_transitions=0\n"
                                   "created_unix_ms=5\nupdated_unix_ms=5\ndeadline_boot_id=\n"
                                   "deadline_boottime_ms=0\ndeadline_after_ms=0\n"
                                   "n_pokes=-3\nword=a%25%0ab%0d\n";
    struct toy *data = inst.data;
    struct buf text;
    int i;

    data->n_pokes = -3;
    memcpy(data->word, "a%\nb\r", 6);
    for (i = 0; i < 2; i++) {
        buf_init(&text, 4096);
        fsm_dump(&inst, &text);
        ck_assert_str_eq(buf_str(&text), expected);
        buf_done(&text);
    }
}
END_TEST

/* ---- the tables that run ---- */

static void assert_covers(const char *what, const struct fsm_field *fields, size_t n, size_t size)
{
    size_t i, k, end = 0;

    for (i = 0; i < n; i++) {
        size_t gap = fields[i].offset - end;

        ck_assert_msg(fields[i].offset >= end, "%s: %s overlaps or is out of order", what,
                      fields[i].name);
        /* Only padding may lie between two fields: before an integer, and less than its size. */
        ck_assert_msg(gap == 0 || (fields[i].type == FSM_I64 && gap < sizeof(int64_t)),
                      "%s: something before %s is not persisted", what, fields[i].name);
        ck_assert_msg(fields[i].type == FSM_TEXT || fields[i].size == sizeof(int64_t),
                      "%s: %s is not 64 bits wide", what, fields[i].name);
        for (k = 0; fields[i].name[k] != '\0'; k++)
            ck_assert_msg(strchr("abcdefghijklmnopqrstuvwxyz0123456789_", fields[i].name[k]) !=
                              NULL,
                          "%s: %s is no column name", what, fields[i].name);
        for (k = 0; k < i; k++)
            ck_assert_str_ne(fields[i].name, fields[k].name);
        end = fields[i].offset + fields[i].size;
    }
    ck_assert_msg(size - end < sizeof(int64_t), "%s: the last members are not persisted", what);
}

START_TEST(every_member_of_the_data_is_persisted)
{
    const struct fsm_machine *m = fsm_machines[_i];

    assert_covers(m->name, m->fields, m->n_fields, m->data_size);
    if (m->child_size > 0)
        assert_covers(m->child_name, m->child_fields, m->n_child_fields, m->child_size);
}
END_TEST

START_TEST(the_tables_keep_the_laws)
{
    struct buf text;

    buf_init(&text, 65536);
    ck_assert_msg(fsm_check(fsm_machines[_i], &text) == 0, "%s", buf_str(&text));
    buf_done(&text);
}
END_TEST

START_TEST(machines_are_found_by_name)
{
    ck_assert_ptr_eq(fsm_machine_by_name("command"), &command_machine);
    ck_assert_ptr_eq(fsm_machine_by_name("delivery"), &delivery_machine);
    ck_assert_ptr_eq(fsm_machine_by_name("upload"), &upload_machine);
    ck_assert_ptr_null(fsm_machine_by_name("perpetuum"));
    ck_assert_int_eq(fsm_state_by_name(&command_machine, "rebooting"), COMMAND_REBOOTING);
    ck_assert_int_eq(fsm_event_by_name(&command_machine, "overdue"), COMMAND_EV_OVERDUE);
    ck_assert_int_eq(fsm_effect_by_name(&command_machine, "report"), COMMAND_FX_REPORT);
    ck_assert_int_eq(fsm_effect_by_name(&command_machine, "dance"), -1);
}
END_TEST

static const struct {
    uint8_t events[2];
    const char *effects; /* opened by the first, in order */
    const char *text;
} deliveries[] = {
    {{DELIVERY_EV_CANCEL_ORDER, DELIVERY_EV_ANSWERED}, "reply acknowledge ", "first"},
    {{DELIVERY_EV_UNHANDLED, DELIVERY_EV_ANSWERED}, "fail ", "first"},
    {{DELIVERY_EV_CANCEL_ORDER, DELIVERY_EV_REFUSED}, "reply acknowledge ", "second"},
    {{DELIVERY_EV_UNHANDLED, DELIVERY_EV_RUNAWAY}, "fail ", "first"},
};

START_TEST(a_delivery_is_answered_once_and_ends)
{
    static const char *const details[] = {"first", "second"};
    struct fsm_instance d;
    char effects[64] = "";
    struct err err;
    size_t i, k;

    ck_assert_int_eq(fsm_instance_init(&d, &delivery_machine, "d", 0, 1, &err), 0);
    for (i = 0; i < 2; i++) {
        struct fsm_event ev = {
            .kind = deliveries[_i].events[i], .boot_id = "b", .detail = details[i]};

        ck_assert_int_eq(fsm_step(&d, &ev, &out), FSM_MOVED);
        for (k = 0; k < out.n_opens; k++) {
            size_t n = strlen(effects);

            out.opens[k].id = (int64_t)k + 1;
            (void)snprintf(effects + n, sizeof(effects) - n, "%s ",
                           delivery_machine.effects[out.opens[k].kind].name);
        }
        ck_assert_int_eq(fsm_adopt(&d, &out), 0);
    }
    ck_assert_str_eq(effects, deliveries[_i].effects);
    ck_assert_str_eq(delivery_of(&d)->text, deliveries[_i].text);
    ck_assert(fsm_is_terminal(&d));
    ck_assert_uint_eq(d.n_effects, 0);
    fsm_instance_done(&d);
    fsm_out_done(&out);
}
END_TEST

/* ---- the checker finds what is wrong ---- */

static void spoil_nothing(struct toy_machine *t)
{
    (void)t;
}
static void shadow(struct toy_machine *t)
{
    t->rules[2].when = NULL;
}
static void shadow_same_guard(struct toy_machine *t)
{
    t->rules[t->m.n_rules++] = t->rules[2];
}
static void no_plain_row(struct toy_machine *t)
{
    t->rules[3] = t->rules[--t->m.n_rules];
    t->states[BUSY].ignored |= BIT(EV_RUNAWAY); /* whose row that was */
    t->rules[3] = (struct fsm_rule){BUSY, EV_RUNAWAY, NULL, OVER, NULL, NULL};
    t->states[BUSY].ignored &= ~BIT(EV_RUNAWAY);
}
static void unreachable(struct toy_machine *t)
{
    t->rules[0].to = IDLE;
}
static void endless(struct toy_machine *t)
{
    size_t i;

    for (i = 0; i < t->m.n_rules; i++)
        t->rules[i].to = BUSY;
}
static void silent(struct toy_machine *t)
{
    t->states[IDLE].ignored &= ~BIT(EV_POKE);
}
static void both(struct toy_machine *t)
{
    t->states[IDLE].ignored |= BIT(EV_GO);
}
static void restless(struct toy_machine *t)
{
    t->rules[t->m.n_rules++] = (struct fsm_rule){OVER, EV_GO, NULL, BUSY, NULL, NULL};
}
static void same_state(struct toy_machine *t)
{
    t->states[BUSY].name = "idle";
}
static void same_event(struct toy_machine *t)
{
    t->events[EV_POKE] = "go";
}
static void same_effect(struct toy_machine *t)
{
    t->effects[FX_NOISE].name = "work";
}
static void nameless(struct toy_machine *t)
{
    t->events[EV_POKE] = NULL;
}
static void lost_silently(struct toy_machine *t)
{
    t->effects[FX_WORK].lost = FSM_NO_EVENT;
}
static void wrong_overdue(struct toy_machine *t)
{
    t->states[BUSY].overdue = N_EVENTS;
}
static void wrong_row(struct toy_machine *t)
{
    t->rules[0].to = N_STATES;
}
static void runaway_ignored(struct toy_machine *t)
{
    t->rules[1] = t->rules[--t->m.n_rules]; /* both rows of the runaway event go */
    t->rules[1] = t->rules[--t->m.n_rules];
    t->states[IDLE].ignored |= BIT(EV_RUNAWAY);
    t->states[BUSY].ignored |= BIT(EV_RUNAWAY);
}

static const struct {
    void (*spoil)(struct toy_machine *t);
    const char *text; /* what is said, or NULL */
} defects[] = {
    {spoil_nothing, NULL},
    {shadow, "row busy on done is shadowed"},
    {shadow_same_guard, "row busy on done is shadowed"},
    {no_plain_row, "every row has a guard"},
    {unreachable, "state busy is never reached"},
    {endless, "state idle can never end"},
    {silent, "idle on poke: neither handled nor listed"},
    {both, "idle on go: handled and listed as ignored"},
    {restless, "terminal state over has a row"},
    {same_state, "two states are named idle"},
    {same_event, "two events are named go"},
    {same_effect, "two effects are named work"},
    {nameless, "event 2 has no name"},
    {lost_silently, "effect work is not redone"},
    {wrong_overdue, "overdue event that does not exist"},
    {wrong_row, "row 0 names a state or an event that does not exist"},
    {runaway_ignored, "in a loop that the runaway event does not end"},
};

START_TEST(the_checker_finds_each_defect_and_nothing_in_a_sound_table)
{
    struct buf text;
    int n;

    buf_init(&text, 65536);
    defects[_i].spoil(&toy);
    n = fsm_check(&toy.m, &text);
    if (defects[_i].text == NULL)
        ck_assert_msg(n == 0, "%s", buf_str(&text));
    else
        ck_assert_msg(n > 0 && strstr(buf_str(&text), defects[_i].text) != NULL,
                      "%d found, without '%s':\n%s", n, defects[_i].text, buf_str(&text));
    buf_done(&text);
}
END_TEST

/* ---- pictures ---- */

static const struct {
    const char *suffix;
    void (*draw)(const struct fsm_machine *m, struct buf *ret_text);
} pictures[] = {{"mmd", fsm_diagram_mermaid}, {"dot", fsm_diagram_dot}};

START_TEST(the_pictures_in_docs_are_of_the_machines_that_run)
{
    const struct fsm_machine *m = fsm_machines[(size_t)_i / ARRAY_LEN(pictures)];
    size_t kind = (size_t)_i % ARRAY_LEN(pictures), n;
    char path[512], stored[65536];
    struct buf text;
    FILE *f;

    (void)snprintf(path, sizeof(path), "%s/../docs/fsm/%s.%s", TEST_SOURCE_DIR, m->name,
                   pictures[kind].suffix);
    f = fopen(path, "re");
    ck_assert_msg(f != NULL, "%s is missing: run scripts/diagrams BUILD_DIRECTORY", path);
    n = fread(stored, 1, sizeof(stored) - 1, f);
    stored[n] = '\0';
    (void)fclose(f);
    buf_init(&text, sizeof(stored));
    pictures[kind].draw(m, &text);
    ck_assert_msg(str_eq(stored, buf_str(&text)),
                  "%s is not the machine that runs: run scripts/diagrams BUILD_DIRECTORY", path);
    buf_done(&text);
}
END_TEST

static int write_pictures(const char *dir)
{
    size_t i, k;

    for (i = 0; fsm_machines[i] != NULL; i++)
        for (k = 0; k < ARRAY_LEN(pictures); k++) {
            AUTO(buf_done) struct buf text;
            char path[512];
            FILE *f;

            buf_init(&text, 65536);
            pictures[k].draw(fsm_machines[i], &text);
            (void)snprintf(path, sizeof(path), "%s/%s.%s", dir, fsm_machines[i]->name,
                           pictures[k].suffix);
            f = fopen(path, "we");
            if (f == NULL || fputs(buf_str(&text), f) == EOF || fclose(f) != 0) {
                perror(path);
                return EXIT_FAILURE;
            }
        }
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    Suite *suite;
    TCase *engine, *tables, *checker, *drawn;
    SRunner *runner;
    int n_failed, n_machines = 0;

    if (argc == 3 && str_eq(argv[1], "--write"))
        return write_pictures(argv[2]);
    suite = suite_create("fsm");
    engine = tcase_create("engine");
    tables = tcase_create("tables");
    checker = tcase_create("checker");
    drawn = tcase_create("pictures");
    while (fsm_machines[n_machines] != NULL)
        n_machines++;
    runner = srunner_create(suite);
    tcase_add_checked_fixture(engine, set_up, tear_down);
    tcase_add_test(engine, the_first_row_that_matches_is_taken);
    tcase_add_test(engine, a_completion_closes_its_effect_and_comes_once);
    tcase_add_test(engine, an_ignored_event_changes_nothing_but_closes_its_effect);
    tcase_add_test(engine, an_event_that_is_neither_handled_nor_ignored_changes_nothing);
    tcase_add_test(engine, a_terminal_state_closes_whatever_is_open_and_hears_nothing);
    tcase_add_test(engine, an_instance_that_loops_is_ended_by_its_runaway_event);
    tcase_add_test(engine, a_command_that_ran_away_can_still_be_reported);
    tcase_add_test(engine, what_could_not_be_listed_is_not_adopted);
    tcase_add_test(engine, an_instance_has_bounds);
    tcase_add_test(engine, the_dump_is_one_line_a_field_and_says_the_same_twice);
    tcase_add_loop_test(tables, every_member_of_the_data_is_persisted, 0, n_machines);
    tcase_add_loop_test(tables, the_tables_keep_the_laws, 0, n_machines);
    tcase_add_test(tables, machines_are_found_by_name);
    tcase_add_loop_test(tables, a_delivery_is_answered_once_and_ends, 0,
                        (int)ARRAY_LEN(deliveries));
    tcase_add_checked_fixture(checker, set_up, tear_down);
    tcase_add_loop_test(checker, the_checker_finds_each_defect_and_nothing_in_a_sound_table, 0,
                        (int)ARRAY_LEN(defects));
    tcase_add_loop_test(drawn, the_pictures_in_docs_are_of_the_machines_that_run, 0,
                        n_machines * (int)ARRAY_LEN(pictures));
    suite_add_tcase(suite, engine);
    suite_add_tcase(suite, tables);
    suite_add_tcase(suite, checker);
    suite_add_tcase(suite, drawn);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
