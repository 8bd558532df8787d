/* What a journal keeps beside transitions: replies, effects and their ids, facts, counts; with
 * SQLite and in memory. */
#include "journal_lib.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

START_TEST(a_reply_is_kept_until_it_is_taken_and_can_be_read_afterwards)
{
    struct world w;
    struct fsm_instance inst;
    struct journal_reply reply;
    int64_t report;
    struct err err;

    world_init(&w, _i);
    job_make(&w, "one", 1, &inst);
    ck_assert_int_eq(w.j->ops->get_final_reply(w.j, "one", &reply, &err), ERR_NOT_FOUND);
    job_work(&w, &inst);
    report = job_effect(&inst, JOB_FX_REPORT);
    world_reopen(&w);
    ck_assert_int_eq(world_counts(&w).n_unreported, 1);
    OK(w.j->ops->get_reply(w.j, report, &reply, e_));
    ck_assert_int_eq(reply.effect_id, report);
    ck_assert_str_eq(reply.message_id, "m.one");
    ck_assert_str_eq(reply.kind, "final");
    ck_assert_str_eq(reply.payload, "one/3");
    ck_assert_uint_eq(reply.payload_len, 5);
    journal_reply_done(&reply);
    job_report(&w, &inst);
    ck_assert_int_eq(world_counts(&w).n_unreported, 0);
    OK(w.j->ops->get_final_reply(w.j, "one", &reply, e_));
    ck_assert_str_eq(reply.reply_id, "reply-3");
    journal_reply_done(&reply);
    fsm_instance_done(&inst);
    world_done(&w);
}
END_TEST

START_TEST(a_reply_ends_once)
{
    struct world w;
    struct fsm_instance inst;
    int64_t receipt;
    struct err err;

    world_init(&w, _i);
    job_make(&w, "one", 1, &inst);
    receipt = job_effect(&inst, JOB_FX_RECEIPT);
    OK(w.j->ops->begin(w.j, e_));
    OK(w.j->ops->end_reply(w.j, receipt, JOURNAL_REPLY_REFUSED, "no", w.now, e_));
    ck_assert_int_eq(w.j->ops->end_reply(w.j, receipt, JOURNAL_REPLY_TAKEN, "", w.now, &err),
                     ERR_STATE);
    w.j->ops->rollback(w.j);
    OK(w.j->ops->begin(w.j, e_));
    ck_assert_int_eq(w.j->ops->end_reply(w.j, 77, JOURNAL_REPLY_TAKEN, "", w.now, &err), ERR_STATE);
    w.j->ops->rollback(w.j);
    fsm_instance_done(&inst);
    world_done(&w);
}
END_TEST

START_TEST(closing_an_effect_ends_its_reply_unless_somebody_says_how)
{
    struct world w;
    struct fsm_instance inst;
    int64_t receipt;

    world_init(&w, _i);
    job_make(&w, "one", 1, &inst);
    receipt = job_effect(&inst, JOB_FX_RECEIPT);
    OK(w.j->ops->begin(w.j, e_));
    OK(w.j->ops->close_effects(w.j, &receipt, 1, w.now, e_));
    OK(w.j->ops->commit(w.j, e_));
    ck_assert_int_eq(world_counts(&w).n_unreported, 0);
    OK(w.j->ops->begin(w.j, e_));
    OK(w.j->ops->end_reply(w.j, receipt, JOURNAL_REPLY_TAKEN, "", w.now, e_));
    OK(w.j->ops->commit(w.j, e_));
    fsm_instance_done(&inst);
    world_done(&w);
}
END_TEST

START_TEST(a_reply_needs_its_effect_and_an_id_of_its_own)
{
    struct world w;
    struct fsm_instance inst;
    struct journal_reply reply = {.effect_id = 50, .reply_id = "r", .kind = "final"};
    struct err err;

    world_init(&w, _i);
    job_make(&w, "one", 1, &inst);
    OK(w.j->ops->begin(w.j, e_));
    ck_assert_int_eq(w.j->ops->put_reply(w.j, &reply, w.now, &err), ERR_STATE);
    w.j->ops->rollback(w.j);
    reply.effect_id = job_effect(&inst, JOB_FX_WORK);
    (void)str_copy(reply.reply_id, sizeof(reply.reply_id), "reply-1");
    OK(w.j->ops->begin(w.j, e_));
    ck_assert_int_eq(w.j->ops->put_reply(w.j, &reply, w.now, &err), ERR_EXISTS);
    w.j->ops->rollback(w.j);
    fsm_instance_done(&inst);
    world_done(&w);
}
END_TEST

START_TEST(an_effect_id_is_given_once_even_after_retention)
{
    struct world w;
    struct journal_retention r = {.old_upto = INT64_MAX};
    int64_t last = -1;

    world_init(&w, _i);
    OK(w.j->ops->last_effect_id(w.j, &last, e_));
    ck_assert_int_eq(last, 0);
    job_run(&w, "one", 2);
    OK(w.j->ops->last_effect_id(w.j, &last, e_));
    ck_assert_int_eq(last, 4);
    OK(w.j->ops->prune(w.j, &r, 0, w.now + 1000, NULL, NULL, e_));
    ck_assert_int_eq(world_counts(&w).n_ended, 0);
    world_reopen(&w);
    OK(w.j->ops->last_effect_id(w.j, &last, e_));
    ck_assert_int_eq(last, 4);
    world_done(&w);
}
END_TEST

START_TEST(facts_are_kept_replaced_and_removed)
{
    static const struct {
        const char *value;
        int code;
    } steps[] = {
        {"first", 0}, {"", 0}, {"second", 0}, {NULL, ERR_NOT_FOUND}, {NULL, ERR_NOT_FOUND}};
    struct world w;
    size_t i;

    world_init(&w, _i);
    for (i = 0; i < ARRAY_LEN(steps); i++) {
        AUTO(buf_done) struct buf value = {0};
        struct err err;

        buf_init(&value, 100);
        OK(w.j->ops->begin(w.j, e_));
        OK(w.j->ops->put_fact(w.j, "node", steps[i].value, e_));
        OK(w.j->ops->commit(w.j, e_));
        world_reopen(&w);
        ck_assert_int_eq(w.j->ops->get_fact(w.j, "node", &value, &err), steps[i].code);
        if (steps[i].code == 0)
            ck_assert_str_eq(buf_str(&value), steps[i].value);
    }
    world_done(&w);
}
END_TEST

START_TEST(counts_say_what_is_there)
{
    struct world w;
    struct fsm_instance inst;
    struct journal_counts c;

    world_init(&w, _i);
    job_run(&w, "ended", 1);
    job_make(&w, "open", 2, &inst);
    c = world_counts(&w);
    ck_assert_int_eq(c.n_open, 1);
    ck_assert_int_eq(c.n_ended, 1);
    ck_assert_int_eq(c.n_ledger, 1);
    ck_assert_int_eq(c.n_unreported, 1);
    ck_assert_int_eq(c.n_open_effects, 2);
    ck_assert_int_gt(c.size_bytes, 0);
    fsm_instance_done(&inst);
    world_done(&w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("journal_replies");
    TCase *t = tcase_create("both");
    SRunner *runner = srunner_create(s);
    int n_failed;

    suite_add_tcase(s, t);
    BOTH(t, a_reply_is_kept_until_it_is_taken_and_can_be_read_afterwards);
    BOTH(t, a_reply_ends_once);
    BOTH(t, closing_an_effect_ends_its_reply_unless_somebody_says_how);
    BOTH(t, a_reply_needs_its_effect_and_an_id_of_its_own);
    BOTH(t, an_effect_id_is_given_once_even_after_retention);
    BOTH(t, facts_are_kept_replaced_and_removed);
    BOTH(t, counts_say_what_is_there);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
