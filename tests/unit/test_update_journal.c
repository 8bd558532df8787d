/* One journal, two versions: an update in flight that a later version has written is gone on with
 * by this one, after a rollback, and one of an earlier version by this one. A later version has
 * more columns, more machines, and a schema with more in it; only that which an older one would
 * misread may stop it. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/str.h"
#include "fsm/command.h"
#include "fsm/update.h"
#include "journal_lib.h"

#define MAX_FIELDS 64

/* The machine as another version has it: with members of its own behind ours, or without our last
 * ones. */
struct later_update {
    struct update ours;
    char channel[20];
    int64_t weight;
};

static struct fsm_field fields[MAX_FIELDS];
static struct world w;

static struct fsm_machine other_machine(bool is_later)
{
    static const struct fsm_field more[] = {FSM_FIELD_TEXT(struct later_update, channel),
                                            FSM_FIELD_I64(struct later_update, weight)};
    struct fsm_machine m = update_machine;

    ck_assert_uint_lt(m.n_fields + ARRAY_LEN(more), MAX_FIELDS);
    memcpy(fields, m.fields, m.n_fields * sizeof(*fields));
    if (is_later) {
        memcpy(fields + m.n_fields, more, sizeof(more));
        m.n_fields += ARRAY_LEN(more);
        m.data_size = sizeof(struct later_update);
        m.version++;
    } else {
        m.n_fields -= 4; /* status, code, text, is_changed */
    }
    m.fields = fields;
    return m;
}

static void deliver(struct fsm_instance *inst, uint8_t kind, const void *detail)
{
    const struct fsm_event ev = {
        .kind = kind,
        .effect_id =
            inst->n_effects > 0 && inst->machine->effects[inst->effects[0].kind].done == (int)kind
                ? inst->effects[0].id
                : 0,
        .at_unix_ms = ++w.now,
        .boot_id = "boot-1",
        .detail = detail};
    struct fsm_out out = {0};
    struct journal_transition t;
    size_t i;

    ck_assert_int_eq(fsm_step(inst, &ev, &out), FSM_MOVED);
    for (i = 0; i < out.n_opens; i++)
        out.opens[i].id = ++w.last_effect;
    ck_assert_int_eq(fsm_adopt(inst, &out), 0);
    t = (struct journal_transition){.inst = inst,
                                    .event = inst->machine->events[kind],
                                    .from = inst->machine->states[out.from].name,
                                    .detail = out.detail,
                                    .at_unix_ms = ev.at_unix_ms,
                                    .opens = out.opens,
                                    .n_opens = out.n_opens,
                                    .closes = out.closes,
                                    .n_closes = out.n_closes};
    OK(w.j->ops->begin(w.j, e_));
    OK(w.j->ops->put_transition(w.j, &t, e_));
    OK(w.j->ops->commit(w.j, e_));
    fsm_out_done(&out);
}

/* Up to the switch, and the new version runs. */
static void update_until_proving(const struct fsm_machine *m, struct fsm_instance *inst)
{
    static const struct update_choice choice = {"1.1.0", "file:///x", "aa", 7, 3, 1};

    OK(fsm_instance_init(inst, m, "update-1", 0, ++w.now, e_));
    (void)str_copy(update_of(inst)->from_version, 64, "1.0.0");
    update_of(inst)->proving_ms = 60000;
    OK(w.j->ops->begin(w.j, e_));
    OK(w.j->ops->put_instance(w.j, inst, e_));
    OK(w.j->ops->commit(w.j, e_));
    deliver(inst, UPDATE_EV_BEGIN, NULL);
    deliver(inst, UPDATE_EV_FETCHED, &choice);
    deliver(inst, UPDATE_EV_VERIFIED, NULL);
    deliver(inst, UPDATE_EV_STAGED, NULL);
    deliver(inst, UPDATE_EV_READY, NULL);
    if (inst->machine->data_size == sizeof(struct later_update)) {
        struct later_update *u = inst->data;

        (void)str_copy(u->channel, sizeof(u->channel), "nightly");
        u->weight = 12;
    }
    deliver(inst, UPDATE_EV_SWITCHED, NULL);
}

static int keep_one(void *ctx, struct fsm_instance *inst, struct err *err)
{
    (void)err;
    *(struct fsm_instance *)ctx = *inst;
    return 0;
}

static void assert_sound(void)
{
    struct buf problems;

    buf_init(&problems, 65536);
    OK(journal_check(w.j, &problems, e_));
    ck_assert_msg(problems.len == 0, "%s", buf_str(&problems));
    buf_done(&problems);
}

static void go_on_and_end(const char *to_version)
{
    static const struct update_reason reason = {.code = "ErrorUpdateFailRollbackSuccess",
                                                .text = "it hung"};
    struct fsm_instance inst = {.machine = NULL};
    enum journal_known known;

    OK(w.j->ops->load(w.j, keep_one, &inst, e_));
    ck_assert_ptr_eq(inst.machine, &update_machine);
    ck_assert_int_eq(inst.state, UPDATE_PROVING);
    ck_assert_str_eq(update_of(&inst)->to_version, to_version);
    ck_assert_str_eq(update_of(&inst)->from_version, "1.0.0");
    ck_assert_int_eq(update_of(&inst)->proving_ms, 60000);
    ck_assert_uint_eq(inst.n_effects, 1);
    ck_assert_int_eq(inst.effects[0].kind, UPDATE_FX_SWITCH);
    deliver(&inst, UPDATE_EV_REVERTED, &reason);
    ck_assert_str_eq(update_of(&inst)->text, "it hung");
    deliver(&inst, UPDATE_EV_TOLD, NULL);
    OK(w.j->ops->find(w.j, NULL, "update-1", &known, e_));
    ck_assert_int_eq(known, JOURNAL_ENDED);
    fsm_instance_done(&inst);
    assert_sound();
}

static void open_as(const struct fsm_machine *const *machines)
{
    w.machines = machines;
    OK(world_open(&w, e_));
}

START_TEST(an_update_that_another_version_began_is_gone_on_with)
{
    const struct fsm_machine other = other_machine(_i == 0);
    const struct fsm_machine *const others[] = {&command_machine, &other, NULL};
    const struct fsm_machine *const ours[] = {&command_machine, &update_machine, NULL};
    struct fsm_instance inst;

    world_init(&w, JOURNAL_SQLITE);
    journal_close(w.j);
    open_as(others);
    update_until_proving(&other, &inst);
    fsm_instance_done(&inst);
    assert_sound();
    journal_close(w.j);
    if (_i == 0) /* a later schema, which only adds: min_schema stays */
        world_shell(&w,
                    "sqlite3 %s 'PRAGMA user_version = 99; CREATE TABLE novelty(x); "
                    "CREATE INDEX novel ON instance(version)'",
                    w.path);
    open_as(ours);
    go_on_and_end("1.1.0");
    world_done(&w);
}
END_TEST

START_TEST(a_version_that_stays_reads_on_what_it_has_written_itself)
{
    const struct fsm_machine other = other_machine(true);
    const struct fsm_machine *const others[] = {&command_machine, &other, NULL};
    const struct fsm_machine *const ours[] = {&command_machine, &update_machine, NULL};
    struct fsm_instance inst, again = {.machine = NULL};

    world_init(&w, JOURNAL_SQLITE);
    journal_close(w.j);
    open_as(ours); /* the old version begins it, the new one has proven itself */
    update_until_proving(&update_machine, &inst);
    fsm_instance_done(&inst);
    journal_close(w.j);
    open_as(others);
    OK(w.j->ops->load(w.j, keep_one, &again, e_));
    ck_assert_str_eq(((const struct later_update *)again.data)->channel, "");
    deliver(&again, UPDATE_EV_COMMITTED, NULL);
    deliver(&again, UPDATE_EV_TOLD, NULL);
    fsm_instance_done(&again);
    assert_sound();
    world_done(&w);
}
END_TEST

START_TEST(what_an_older_version_would_misread_stops_it_with_a_reason)
{
    const struct fsm_machine *const ours[] = {&command_machine, &update_machine, NULL};
    struct err err;

    world_init(&w, JOURNAL_SQLITE);
    journal_close(w.j);
    world_shell(&w,
                "sqlite3 %s \"PRAGMA user_version = 99; "
                "UPDATE meta SET value = '99' WHERE key = 'min_schema'\"",
                w.path);
    w.machines = ours;
    ck_assert_int_eq(world_open(&w, &err), ERR_NEWER);
    ck_assert_ptr_nonnull(strstr(err.text, "later version"));
    OK(fs_remove_tree(AT_FDCWD, w.dir, e_));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("update_journal");
    TCase *t = tcase_create("versions");
    SRunner *sr;
    int n_failed;

    tcase_add_loop_test(t, an_update_that_another_version_began_is_gone_on_with, 0, 2);
    tcase_add_test(t, a_version_that_stays_reads_on_what_it_has_written_itself);
    tcase_add_test(t, what_an_older_version_would_misread_stops_it_with_a_reason);
    suite_add_tcase(s, t);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
