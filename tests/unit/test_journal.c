/* What every implementation of the journal does: each test runs with SQLite and in memory. */
#include "journal_lib.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

struct loaded {
    struct fsm_instance items[8];
    size_t n;
};

static int keep(void *ctx, struct fsm_instance *inst, struct err *err)
{
    struct loaded *l = ctx;

    (void)err;
    ck_assert_uint_lt(l->n, ARRAY_LEN(l->items));
    l->items[l->n++] = *inst;
    return 0;
}

static void load(struct world *w, struct loaded *l)
{
    *l = (struct loaded){.n = 0};
    OK(w->j->ops->load(w->j, keep, l, e_));
}

static void loaded_done(struct loaded *l)
{
    while (l->n > 0)
        fsm_instance_done(&l->items[--l->n]);
}

static void assert_same(const struct fsm_instance *a, const struct fsm_instance *b)
{
    AUTO(buf_done) struct buf x, y;
    size_t i;

    buf_init(&x, 65536);
    buf_init(&y, 65536);
    fsm_dump(a, &x);
    fsm_dump(b, &y);
    ck_assert_str_eq(buf_str(&x), buf_str(&y));
    ck_assert_str_eq(a->head, b->head);
    ck_assert_uint_eq(a->n_effects, b->n_effects);
    for (i = 0; i < a->n_effects; i++) {
        ck_assert_int_eq(a->effects[i].id, b->effects[i].id);
        ck_assert_int_eq(a->effects[i].kind, b->effects[i].kind);
        ck_assert_int_eq(a->effects[i].arg, b->effects[i].arg);
        ck_assert_int_eq(a->effects[i].arg2, b->effects[i].arg2);
    }
}

static enum journal_known find(struct world *w, const char *message_id, const char *instance_id)
{
    enum journal_known known = JOURNAL_UNKNOWN;

    OK(w->j->ops->find(w->j, message_id, instance_id, &known, e_));
    return known;
}

START_TEST(what_was_committed_is_loaded_again_as_it_was)
{
    struct world w;
    struct fsm_instance inst;
    struct loaded l;

    world_init(&w, _i);
    job_make(&w, "one", 3, &inst);
    inst.deadline.boottime_ms = 5; /* set by the engine before the next transition */
    inst.deadline.after_ms = 6;
    (void)str_copy(inst.deadline.boot_id, sizeof(inst.deadline.boot_id), "boot-1");
    OK(w.j->ops->begin(w.j, e_));
    OK(job_step(&w, &inst, JOB_EV_PART_DONE, job_effect(&inst, JOB_FX_WORK), e_));
    OK(w.j->ops->commit(w.j, e_));
    world_reopen(&w);
    load(&w, &l);
    ck_assert_uint_eq(l.n, 1);
    ck_assert_uint_eq(l.items[0].n_effects, 2);
    assert_same(&inst, &l.items[0]);
    loaded_done(&l);
    fsm_instance_done(&inst);
    world_done(&w);
}
END_TEST

START_TEST(instances_are_loaded_as_they_were_made_whatever_the_clock_said_and_ended_ones_not_at_all)
{
    struct world w;
    struct fsm_instance inst[3];
    struct loaded l;
    size_t i;

    world_init(&w, _i);
    w.now += 1000;
    job_make(&w, "first", 1, &inst[0]);
    w.now -= 2000; /* the clock is set back */
    job_make(&w, "second", 1, &inst[1]);
    w.now += 500;
    job_make(&w, "third", 1, &inst[2]);
    job_run(&w, "ended", 1);
    load(&w, &l);
    ck_assert_uint_eq(l.n, 3);
    ck_assert_str_eq(l.items[0].id, "first");
    ck_assert_str_eq(l.items[1].id, "second");
    ck_assert_str_eq(l.items[2].id, "third");
    loaded_done(&l);
    for (i = 0; i < ARRAY_LEN(inst); i++)
        fsm_instance_done(&inst[i]);
    world_done(&w);
}
END_TEST

static int stop_walk(void *ctx, struct fsm_instance *inst, struct err *err)
{
    ++*(int *)ctx;
    fsm_instance_done(inst);
    return err_set(err, ERR_CANCELLED, "enough");
}

START_TEST(a_walk_stops_where_its_callback_says_so)
{
    struct world w;
    struct fsm_instance inst;
    struct err err;
    int n = 0;

    world_init(&w, _i);
    job_make(&w, "one", 1, &inst);
    fsm_instance_done(&inst);
    job_make(&w, "two", 1, &inst);
    fsm_instance_done(&inst);
    ck_assert_int_eq(w.j->ops->load(w.j, stop_walk, &n, &err), ERR_CANCELLED);
    ck_assert_int_eq(n, 1);
    world_done(&w);
}
END_TEST

START_TEST(nothing_of_a_transaction_is_there_before_its_commit)
{
    struct world w;
    struct fsm_instance inst;
    struct loaded l;

    world_init(&w, _i);
    OK(fsm_instance_init(&inst, &job_machine, "one", 1, w.now, e_));
    OK(w.j->ops->begin(w.j, e_));
    OK(w.j->ops->put_instance(w.j, &inst, e_));
    OK(job_step(&w, &inst, JOB_EV_GO, 0, e_));
    OK(w.j->ops->put_fact(w.j, "key", "value", e_));
    ck_assert_int_eq(find(&w, NULL, "one"), JOURNAL_OPEN); /* inside, its puts are seen */
    world_reopen(&w);
    ck_assert_int_eq(find(&w, NULL, "one"), JOURNAL_UNKNOWN);
    load(&w, &l);
    ck_assert_uint_eq(l.n, 0);
    fsm_instance_done(&inst);
    world_done(&w);
}
END_TEST

START_TEST(a_rollback_leaves_what_was_there_before)
{
    struct world w;
    struct fsm_instance inst;
    struct loaded before, after;

    world_init(&w, _i);
    job_make(&w, "one", 2, &inst);
    load(&w, &before);
    OK(w.j->ops->begin(w.j, e_));
    OK(job_step(&w, &inst, JOB_EV_PART_DONE, job_effect(&inst, JOB_FX_WORK), e_));
    OK(w.j->ops->end_reply(w.j, job_effect(&inst, JOB_FX_RECEIPT), JOURNAL_REPLY_TAKEN, "", w.now,
                           e_));
    w.j->ops->rollback(w.j);
    load(&w, &after);
    assert_same(&before.items[0], &after.items[0]);
    ck_assert_int_eq(world_counts(&w).n_unreported, 1);
    loaded_done(&before);
    loaded_done(&after);
    fsm_instance_done(&inst);
    world_done(&w);
}
END_TEST

START_TEST(a_transaction_without_puts_commits_nothing)
{
    struct world w;

    world_init(&w, _i);
    OK(w.j->ops->begin(w.j, e_));
    ck_assert_int_eq(find(&w, "m", "i"), JOURNAL_UNKNOWN);
    OK(w.j->ops->commit(w.j, e_));
    ck_assert_int_eq(world_counts(&w).n_commits, 0);
    world_done(&w);
}
END_TEST

START_TEST(a_commit_is_counted_once_whatever_is_in_it)
{
    struct world w;
    struct fsm_instance inst;

    world_init(&w, _i);
    job_make(&w, "one", 2, &inst);
    ck_assert_int_eq(world_counts(&w).n_commits, 1);
    job_work(&w, &inst);
    ck_assert_int_eq(world_counts(&w).n_commits, 3);
    fsm_instance_done(&inst);
    world_done(&w);
}
END_TEST

START_TEST(a_failed_put_leaves_only_rollback)
{
    struct world w;
    struct fsm_instance inst;
    struct err err;
    int64_t unknown = 99;

    world_init(&w, _i);
    job_make(&w, "one", 1, &inst);
    OK(w.j->ops->begin(w.j, e_));
    OK(w.j->ops->put_fact(w.j, "key", "value", e_));
    ck_assert_int_eq(w.j->ops->close_effects(w.j, &unknown, 1, w.now, &err), ERR_STATE);
    ck_assert_int_eq(w.j->ops->put_fact(w.j, "key", "value", &err), ERR_STATE);
    ck_assert_int_eq(w.j->ops->commit(w.j, &err), ERR_STATE);
    w.j->ops->rollback(w.j);
    OK(w.j->ops->begin(w.j, e_));
    OK(w.j->ops->put_fact(w.j, "other", "value", e_));
    OK(w.j->ops->commit(w.j, e_));
    fsm_instance_done(&inst);
    world_done(&w);
}
END_TEST

START_TEST(a_put_outside_a_transaction_is_refused)
{
    struct world w;
    struct err err;

    world_init(&w, _i);
    ck_assert_int_eq(w.j->ops->put_fact(w.j, "key", "value", &err), ERR_STATE);
    ck_assert_int_eq(w.j->ops->commit(w.j, &err), ERR_STATE);
    OK(w.j->ops->begin(w.j, e_));
    ck_assert_int_eq(w.j->ops->begin(w.j, &err), ERR_STATE);
    w.j->ops->rollback(w.j);
    world_done(&w);
}
END_TEST

START_TEST(a_message_is_taken_once)
{
    struct world w;
    struct fsm_instance inst;
    struct journal_message again = {
        .message_id = "m.one", .payload = "", .instance_id = "two", .received_unix_ms = 1};
    struct err err;

    world_init(&w, _i);
    job_make(&w, "one", 1, &inst);
    OK(w.j->ops->begin(w.j, e_));
    ck_assert_int_eq(w.j->ops->put_message(w.j, &again, &err), ERR_EXISTS);
    w.j->ops->rollback(w.j);
    again = (struct journal_message){
        .message_id = "m.two", .payload = "", .instance_id = "one", .received_unix_ms = 1};
    OK(w.j->ops->begin(w.j, e_));
    ck_assert_int_eq(w.j->ops->put_message(w.j, &again, &err), ERR_EXISTS);
    w.j->ops->rollback(w.j);
    fsm_instance_done(&inst);
    world_done(&w);
}
END_TEST

START_TEST(a_message_without_its_instance_cannot_be_committed)
{
    struct world w;
    struct journal_message m = {
        .message_id = "m", .payload = "", .instance_id = "none", .received_unix_ms = 1};
    struct err err;

    world_init(&w, _i);
    OK(w.j->ops->begin(w.j, e_));
    OK(w.j->ops->put_message(w.j, &m, e_));
    ck_assert_int_eq(w.j->ops->commit(w.j, &err), ERR_STATE);
    w.j->ops->rollback(w.j);
    ck_assert_int_eq(find(&w, "m", NULL), JOURNAL_UNKNOWN);
    world_done(&w);
}
END_TEST

START_TEST(an_instance_is_made_once_even_after_only_the_ledger_knows_it)
{
    struct world w;
    struct fsm_instance inst;
    struct err err;
    struct journal_retention r = {.old_upto = INT64_MAX};

    world_init(&w, _i);
    job_run(&w, "one", 1);
    OK(fsm_instance_init(&inst, &job_machine, "one", 1, w.now, e_));
    OK(w.j->ops->begin(w.j, e_));
    ck_assert_int_eq(w.j->ops->put_instance(w.j, &inst, &err), ERR_EXISTS);
    w.j->ops->rollback(w.j);
    OK(w.j->ops->prune(w.j, &r, 0, w.now + 1000, NULL, NULL, e_));
    OK(w.j->ops->begin(w.j, e_));
    ck_assert_int_eq(w.j->ops->put_instance(w.j, &inst, &err), ERR_EXISTS);
    w.j->ops->rollback(w.j);
    fsm_instance_done(&inst);
    world_done(&w);
}
END_TEST

START_TEST(a_repeated_message_is_known_in_every_stage_of_its_job)
{
    struct world w;
    struct fsm_instance inst;
    struct journal_retention r = {.old_upto = INT64_MAX};

    world_init(&w, _i);
    ck_assert_int_eq(find(&w, "m.one", "one"), JOURNAL_UNKNOWN);
    job_make(&w, "one", 1, &inst);
    ck_assert_int_eq(find(&w, "m.one", NULL), JOURNAL_OPEN);
    ck_assert_int_eq(find(&w, NULL, "one"), JOURNAL_OPEN);
    ck_assert_int_eq(find(&w, "another", "one"), JOURNAL_OPEN);
    job_work(&w, &inst);
    job_report(&w, &inst);
    ck_assert_int_eq(find(&w, "m.one", NULL), JOURNAL_ENDED);
    ck_assert_int_eq(find(&w, "another", "one"), JOURNAL_ENDED);
    OK(w.j->ops->prune(w.j, &r, 0, w.now + 1000, NULL, NULL, e_));
    ck_assert_int_eq(find(&w, "m.one", NULL), JOURNAL_LEDGERED);
    ck_assert_int_eq(find(&w, NULL, "one"), JOURNAL_LEDGERED);
    ck_assert_int_eq(find(&w, "another", "other"), JOURNAL_UNKNOWN);
    fsm_instance_done(&inst);
    world_done(&w);
}
END_TEST

START_TEST(a_payload_comes_back_byte_for_byte)
{
    static const char bytes[] = "a\0b\xff\n\"";
    struct world w;
    struct fsm_instance inst;
    struct journal_message m = {.message_id = "m",
                                .payload = bytes,
                                .payload_len = sizeof(bytes) - 1,
                                .instance_id = "one"};
    AUTO(buf_done) struct buf got = {0};
    char message_id[200];
    struct err err;

    buf_init(&got, 1000);
    world_init(&w, _i);
    OK(fsm_instance_init(&inst, &job_machine, "one", 0, w.now, e_));
    OK(w.j->ops->begin(w.j, e_));
    OK(w.j->ops->put_message(w.j, &m, e_));
    OK(w.j->ops->put_instance(w.j, &inst, e_));
    OK(w.j->ops->commit(w.j, e_));
    OK(w.j->ops->get_payload(w.j, "one", &got, e_));
    ck_assert_uint_eq(got.len, sizeof(bytes) - 1);
    ck_assert_mem_eq(got.data, bytes, sizeof(bytes) - 1);
    OK(w.j->ops->get_message_id(w.j, "one", message_id, sizeof(message_id), e_));
    ck_assert_str_eq(message_id, "m");
    ck_assert_int_eq(w.j->ops->get_message_id(w.j, "one", message_id, 1, &err), ERR_LIMIT);
    ck_assert_int_eq(w.j->ops->get_payload(w.j, "two", &got, &err), ERR_NOT_FOUND);
    ck_assert_int_eq(w.j->ops->get_message_id(w.j, "two", message_id, sizeof(message_id), &err),
                     ERR_NOT_FOUND);
    fsm_instance_done(&inst);
    world_done(&w);
}
END_TEST

START_TEST(an_attachment_belongs_to_its_instance)
{
    static const char bytes[] = "one\0two";
    struct world w;
    struct fsm_instance inst;
    AUTO(buf_done) struct buf got = {0};
    struct err err;

    buf_init(&got, 1024);
    world_init(&w, _i);
    OK(fsm_instance_init(&inst, &job_machine, "one", 0, w.now, e_));
    OK(w.j->ops->begin(w.j, e_));
    OK(w.j->ops->put_instance(w.j, &inst, e_));
    OK(w.j->ops->put_attachment(w.j, "one", "x", bytes, sizeof(bytes) - 1, e_));
    OK(w.j->ops->put_attachment(w.j, "one", "empty", "", 0, e_));
    OK(w.j->ops->get_attachment(w.j, "one", "x", &got, e_)); /* within the transaction too */
    OK(w.j->ops->commit(w.j, e_));
    buf_clear(&got);
    OK(w.j->ops->get_attachment(w.j, "one", "x", &got, e_));
    ck_assert_uint_eq(got.len, sizeof(bytes) - 1);
    ck_assert_mem_eq(got.data, bytes, sizeof(bytes) - 1);
    buf_clear(&got);
    OK(w.j->ops->get_attachment(w.j, "one", "empty", &got, e_));
    ck_assert_uint_eq(got.len, 0);
    ck_assert_int_eq(w.j->ops->get_attachment(w.j, "one", "y", &got, &err), ERR_NOT_FOUND);
    ck_assert_int_eq(w.j->ops->get_attachment(w.j, "two", "x", &got, &err), ERR_NOT_FOUND);
    OK(w.j->ops->begin(w.j, e_));
    ck_assert_int_eq(w.j->ops->put_attachment(w.j, "one", "x", "z", 1, &err), ERR_EXISTS);
    w.j->ops->rollback(w.j);
    OK(w.j->ops->begin(w.j, e_));
    ck_assert_int_eq(w.j->ops->put_attachment(w.j, "two", "x", "z", 1, &err), ERR_STATE);
    w.j->ops->rollback(w.j);
    OK(w.j->ops->begin(w.j, e_));
    OK(w.j->ops->put_attachment(w.j, "one", "y", "z", 1, e_));
    w.j->ops->rollback(w.j);
    ck_assert_int_eq(w.j->ops->get_attachment(w.j, "one", "y", &got, &err), ERR_NOT_FOUND);
    fsm_instance_done(&inst);
    world_done(&w);
}
END_TEST

START_TEST(an_instance_cannot_end_with_something_open)
{
    struct world w;
    struct fsm_instance inst;
    struct journal_transition t = {.inst = &inst, .event = "reported", .from = "working"};
    struct err err;

    world_init(&w, _i);
    job_make(&w, "one", 1, &inst);
    inst.state = JOB_DONE;
    inst.n_transitions++;
    OK(w.j->ops->begin(w.j, e_));
    ck_assert_int_eq(w.j->ops->put_transition(w.j, &t, &err), ERR_STATE);
    w.j->ops->rollback(w.j);
    ck_assert_int_eq(find(&w, NULL, "one"), JOURNAL_OPEN);
    fsm_instance_done(&inst);
    world_done(&w);
}
END_TEST

START_TEST(a_transition_must_follow_the_one_that_is_stored)
{
    struct world w;
    struct fsm_instance inst, stale;
    struct loaded l;
    struct err err;

    world_init(&w, _i);
    job_make(&w, "one", 3, &inst);
    load(&w, &l);
    stale = l.items[0];
    OK(w.j->ops->begin(w.j, e_));
    OK(job_step(&w, &inst, JOB_EV_PART_DONE, job_effect(&inst, JOB_FX_WORK), e_));
    OK(w.j->ops->commit(w.j, e_));
    OK(w.j->ops->begin(w.j, e_));
    ck_assert_int_eq(job_step(&w, &stale, JOB_EV_PART_DONE, job_effect(&stale, JOB_FX_WORK), &err),
                     ERR_STATE);
    w.j->ops->rollback(w.j);
    fsm_instance_done(&stale);
    fsm_instance_done(&inst);
    world_done(&w);
}
END_TEST

START_TEST(both_implementations_make_the_same_chain)
{
    struct world w[N_JOURNALS];
    struct fsm_instance inst[N_JOURNALS];
    int k;

    for (k = 0; k < N_JOURNALS; k++) {
        world_init(&w[k], k);
        job_make(&w[k], "one", 3, &inst[k]);
        job_work(&w[k], &inst[k]);
        job_report(&w[k], &inst[k]);
    }
    ck_assert_str_eq(inst[0].head, inst[1].head);
    for (k = 0; k < N_JOURNALS; k++) {
        fsm_instance_done(&inst[k]);
        world_done(&w[k]);
    }
}
END_TEST

/* The fault decorator: a job is made with the n-th call failing, for every n. */
START_TEST(after_any_failing_call_the_journal_holds_all_or_nothing)
{
    struct world w;
    struct journal *inner;
    int64_t n;

    for (n = 1;; n++) {
        struct journal_fault fault = {.at = n, .repeat = 1, .code = ERR_FULL};
        struct journal_message m = {.message_id = "m", .payload = "", .instance_id = "one"};
        struct fsm_instance inst;
        struct err err = {0};
        bool is_done;

        world_init(&w, _i);
        inner = w.j;
        OK(journal_open_fault(inner, &fault, &w.j, e_));
        OK(fsm_instance_init(&inst, &job_machine, "one", 1, w.now, e_));
        is_done = w.j->ops->begin(w.j, &err) == 0 && w.j->ops->put_message(w.j, &m, &err) == 0 &&
                  w.j->ops->put_instance(w.j, &inst, &err) == 0 &&
                  job_step(&w, &inst, JOB_EV_GO, 0, &err) == 0 && w.j->ops->commit(w.j, &err) == 0;
        if (!is_done) {
            ck_assert_int_eq(err.code, ERR_FULL);
            w.j->ops->rollback(w.j);
            OK(w.j->ops->revive(w.j, e_));
        }
        ck_assert_int_eq(find(&w, "m", "one"), is_done ? JOURNAL_OPEN : JOURNAL_UNKNOWN);
        fsm_instance_done(&inst);
        journal_close(w.j);
        w.j = inner;
        world_done(&w);
        if (is_done)
            break;
    }
    ck_assert_int_eq(n, 7); /* begin, message, instance, transition, a reply, commit; then none */
}
END_TEST

START_TEST(a_fault_that_lasts_makes_revive_fail_too)
{
    struct world w;
    struct journal *inner;
    struct journal_fault fault = {.at = 1, .repeat = 3, .code = ERR_IO};
    struct err err;

    world_init(&w, _i);
    inner = w.j;
    OK(w.j->ops->revive(w.j, e_));
    OK(journal_open_fault(inner, &fault, &w.j, e_));
    OK(w.j->ops->revive(w.j, e_)); /* not begun yet */
    ck_assert_int_eq(w.j->ops->begin(w.j, &err), ERR_IO);
    ck_assert_int_eq(w.j->ops->revive(w.j, &err), ERR_IO);
    ck_assert_int_eq(w.j->ops->revive(w.j, &err), ERR_IO);
    OK(w.j->ops->revive(w.j, e_));
    OK(w.j->ops->begin(w.j, e_));
    w.j->ops->rollback(w.j);
    journal_close(w.j);
    w.j = inner;
    world_done(&w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("journal");
    TCase *t = tcase_create("both");
    SRunner *runner = srunner_create(s);
    int n_failed;

    suite_add_tcase(s, t);
    BOTH(t, what_was_committed_is_loaded_again_as_it_was);
    BOTH(t,
         instances_are_loaded_as_they_were_made_whatever_the_clock_said_and_ended_ones_not_at_all);
    BOTH(t, a_walk_stops_where_its_callback_says_so);
    BOTH(t, nothing_of_a_transaction_is_there_before_its_commit);
    BOTH(t, a_rollback_leaves_what_was_there_before);
    BOTH(t, a_transaction_without_puts_commits_nothing);
    BOTH(t, a_commit_is_counted_once_whatever_is_in_it);
    BOTH(t, a_failed_put_leaves_only_rollback);
    BOTH(t, a_put_outside_a_transaction_is_refused);
    BOTH(t, a_message_is_taken_once);
    BOTH(t, a_message_without_its_instance_cannot_be_committed);
    BOTH(t, an_instance_is_made_once_even_after_only_the_ledger_knows_it);
    BOTH(t, a_repeated_message_is_known_in_every_stage_of_its_job);
    BOTH(t, a_payload_comes_back_byte_for_byte);
    BOTH(t, an_instance_cannot_end_with_something_open);
    BOTH(t, an_attachment_belongs_to_its_instance);
    BOTH(t, a_transition_must_follow_the_one_that_is_stored);
    BOTH(t, after_any_failing_call_the_journal_holds_all_or_nothing);
    BOTH(t, a_fault_that_lasts_makes_revive_fail_too);
    tcase_add_test(t, both_implementations_make_the_same_chain);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
