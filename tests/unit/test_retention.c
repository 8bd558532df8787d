/* What retention removes, and what it never does. */
#include "journal_lib.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/str.h"
#include "journal/audit.h"

#define BOTH(tcase, test) tcase_add_loop_test(tcase, test, 0, N_JOURNALS)

struct removed {
    char ids[64][FSM_ID_SIZE];
    size_t n;
};

static void note(void *ctx, const char *id)
{
    struct removed *r = ctx;

    ck_assert_uint_lt(r->n, ARRAY_LEN(r->ids));
    (void)str_copy(r->ids[r->n++], FSM_ID_SIZE, id);
}

static void prune(struct world *w, const struct journal_retention *r, int64_t job_dirs_bytes,
                  int64_t now, struct removed *removed)
{
    *removed = (struct removed){.n = 0};
    OK(w->j->ops->prune(w->j, r, job_dirs_bytes, now, note, removed, e_));
}

static struct journal_counts counts(struct world *w)
{
    struct journal_counts c;

    OK(w->j->ops->counts(w->j, &c, e_));
    return c;
}

static void assert_sound(struct world *w)
{
    AUTO(buf_done) struct buf problems = {0};

    if (w->kind != JOURNAL_SQLITE)
        return;
    buf_init(&problems, 65536);
    OK(journal_check(w->j, &problems, e_));
    ck_assert_str_eq(buf_str(&problems), "");
}

static void run_jobs(struct world *w, int n)
{
    int i;

    for (i = 0; i < n; i++) {
        char id[32];

        (void)snprintf(id, sizeof(id), "job-%d", i);
        job_run(w, id, 2);
    }
}

START_TEST(jobs_that_are_too_old_go_and_the_ledger_stays)
{
    struct journal_retention r = {.old_upto = 1};
    struct removed removed;
    struct world w;

    world_init(&w, _i);
    job_run(&w, "old", 1);
    w.now -= INT64_C(315360000000); /* ten years: what the clock says is not asked */
    job_run(&w, "young", 1);
    prune(&w, &r, 0, w.now + 10, &removed);
    ck_assert_uint_eq(removed.n, 1);
    ck_assert_str_eq(removed.ids[0], "old");
    ck_assert_int_eq(counts(&w).n_ended, 1);
    ck_assert_int_eq(counts(&w).n_ledger, 2);
    assert_sound(&w);
    world_done(&w);
}
END_TEST

START_TEST(a_job_stays_while_its_output_is_on_its_way)
{
    struct journal_retention r = {.old_upto = INT64_MAX};
    struct removed removed;
    struct fsm_instance upload;
    struct world w;

    world_init(&w, _i);
    job_run(&w, "with", 1);
    job_run(&w, "with-more", 1);
    job_make(&w, "upload.with.0", 1, &upload);
    prune(&w, &r, 0, w.now + 5000, &removed);
    ck_assert_uint_eq(removed.n, 1);
    ck_assert_str_eq(removed.ids[0], "with-more");
    job_work(&w, &upload);
    job_report(&w, &upload);
    prune(&w, &r, 0, w.now + 5000, &removed);
    ck_assert_uint_eq(removed.n, 2);
    assert_sound(&w);
    fsm_instance_done(&upload);
    world_done(&w);
}
END_TEST

/* It ends before what it is part of, so it is the older one. */
START_TEST(a_nested_document_goes_after_what_it_is_part_of)
{
    struct journal_retention r = {.old_upto = INT64_MAX};
    struct removed first, second;
    struct fsm_instance outer;
    struct world w;

    world_init(&w, _i);
    job_make(&w, "outer", 1, &outer);
    job_run(&w, "n0.1-outer", 1);
    job_run(&w, "n0.1-n0.1-outer", 1);
    prune(&w, &r, 0, w.now + 5000, &first);
    ck_assert_uint_eq(first.n, 0);
    job_work(&w, &outer);
    job_report(&w, &outer);
    r.max_jobs_per_call = 1;
    prune(&w, &r, 0, w.now + 5000, &first);
    ck_assert_uint_eq(first.n, 1);
    ck_assert_str_eq(first.ids[0], "outer");
    prune(&w, &r, 0, w.now + 5000, &second);
    ck_assert_uint_eq(second.n, 1);
    ck_assert_str_eq(second.ids[0], "n0.1-outer");
    ck_assert_int_eq(counts(&w).n_ended, 1);
    assert_sound(&w);
    fsm_instance_done(&outer);
    world_done(&w);
}
END_TEST

START_TEST(without_limits_nothing_goes)
{
    struct journal_retention r = {.max_jobs_per_call = 10};
    struct removed removed;
    struct world w;

    world_init(&w, _i);
    run_jobs(&w, 3);
    prune(&w, &r, INT64_MAX / 2, INT64_MAX / 2, &removed);
    ck_assert_uint_eq(removed.n, 0);
    ck_assert_int_eq(counts(&w).n_ended, 3);
    world_done(&w);
}
END_TEST

START_TEST(open_jobs_and_owed_replies_never_go)
{
    struct journal_retention r = {
        .old_upto = INT64_MAX, .max_bytes = 1, .ledger_old_upto = INT64_MAX};
    struct fsm_instance open;
    struct removed removed;
    struct world w;

    world_init(&w, _i);
    job_make(&w, "open", 1, &open);
    prune(&w, &r, 1 << 20, w.now + 100000, &removed);
    ck_assert_uint_eq(removed.n, 0);
    job_work(&w, &open); /* now it owes its report */
    prune(&w, &r, 1 << 20, w.now + 100000, &removed);
    ck_assert_uint_eq(removed.n, 0);
    job_report(&w, &open);
    prune(&w, &r, 1 << 20, w.now + 100000, &removed);
    ck_assert_uint_eq(removed.n, 1);
    fsm_instance_done(&open);
    world_done(&w);
}
END_TEST

/* An ended job whose reply was put back among the owed ones, as a later engine might do. */
START_TEST(an_ended_job_that_still_owes_a_reply_stays)
{
    struct journal_retention r = {.old_upto = INT64_MAX, .max_bytes = 1};
    struct removed removed;
    struct world w;

    world_init(&w, JOURNAL_SQLITE);
    job_run(&w, "owes", 1);
    journal_close(w.j);
    world_shell(&w, "sqlite3 journal.db \"UPDATE outbox SET ended_unix_ms = NULL WHERE kind = "
                    "'final'\"");
    OK(world_open(&w, e_));
    prune(&w, &r, 1 << 20, w.now + 100000, &removed);
    ck_assert_uint_eq(removed.n, 0);
    ck_assert_int_eq(counts(&w).n_unreported, 1);
    world_done(&w);
}
END_TEST

START_TEST(by_size_the_oldest_go_first_until_it_fits)
{
    struct journal_retention r = {0};
    struct removed removed;
    int64_t dirs = 10 << 20;
    struct world w;
    size_t i;

    world_init(&w, _i);
    run_jobs(&w, 10);
    r.max_bytes = dirs / 2; /* about half of it must go, and what the log of writes takes */
    prune(&w, &r, dirs, w.now, &removed);
    ck_assert_uint_ge(removed.n, 5);
    ck_assert_uint_le(removed.n, 8);
    for (i = 0; i < removed.n; i++) {
        char id[32];

        (void)snprintf(id, sizeof(id), "job-%zu", i);
        ck_assert_str_eq(removed.ids[i], id);
    }
    assert_sound(&w);
    world_done(&w);
}
END_TEST

static int64_t job_2_is_large(void *ctx, const char *id)
{
    (void)ctx;
    return strcmp(id, "job-2") == 0 ? 9 << 20 : 100 << 10;
}

START_TEST(by_size_nothing_goes_that_is_younger_than_the_one_that_is_too_large)
{
    struct journal_retention r = {.max_bytes = 5 << 20, .job_bytes = job_2_is_large};
    struct removed removed;
    struct world w;

    world_init(&w, _i);
    run_jobs(&w, 10);
    prune(&w, &r, (9 << 20) + (900 << 10), w.now, &removed);
    ck_assert_uint_eq(removed.n, 3);
    ck_assert_str_eq(removed.ids[2], "job-2");
    prune(&w, &r, 700 << 10, w.now, &removed);
    ck_assert_uint_eq(removed.n, 0);
    assert_sound(&w);
    world_done(&w);
}
END_TEST

START_TEST(one_call_removes_no_more_than_it_may)
{
    struct journal_retention r = {.old_upto = INT64_MAX, .max_jobs_per_call = 4};
    struct removed removed;
    struct world w;

    world_init(&w, _i);
    run_jobs(&w, 10);
    prune(&w, &r, 0, w.now + 1000, &removed);
    ck_assert_uint_eq(removed.n, 4);
    prune(&w, &r, 0, w.now + 1000, &removed);
    ck_assert_uint_eq(removed.n, 4);
    prune(&w, &r, 0, w.now + 1000, &removed);
    ck_assert_uint_eq(removed.n, 2);
    world_done(&w);
}
END_TEST

START_TEST(the_ledger_is_cut_at_its_old_end_and_still_verifies)
{
    struct journal_retention r = {.old_upto = 3, .ledger_old_upto = 2};
    struct removed removed;
    enum journal_known known;
    struct world w;

    world_init(&w, _i);
    job_run(&w, "first", 1);
    job_run(&w, "second", 1);
    job_run(&w, "third", 1);
    prune(&w, &r, 0, w.now + 10, &removed);
    ck_assert_uint_eq(removed.n, 3);
    ck_assert_int_eq(counts(&w).n_ledger, 1);
    assert_sound(&w);
    OK(w.j->ops->find(w.j, NULL, "first", &known, e_));
    ck_assert_int_eq(known, JOURNAL_UNKNOWN);
    OK(w.j->ops->find(w.j, "m.third", NULL, &known, e_));
    ck_assert_int_eq(known, JOURNAL_LEDGERED);
    r.old_upto = r.ledger_old_upto = INT64_MAX;
    prune(&w, &r, 0, w.now + 100000, &removed); /* now the whole ledger */
    ck_assert_int_eq(counts(&w).n_ledger, 0);
    job_run(&w, "fourth", 1); /* goes on from the checkpoint */
    ck_assert_int_eq(counts(&w).n_ledger, 1);
    assert_sound(&w);
    world_done(&w);
}
END_TEST

static enum journal_known known(struct world *w, const char *message_id, const char *id)
{
    enum journal_known k;

    OK(w->j->ops->find(w->j, message_id, id, &k, e_));
    return k;
}

#define N_MANY 560
#define N_SHORT 20

/* The rows that are too many go, in parts; the ids that they had are known, each by itself. */
START_TEST(a_ledger_that_is_too_long_is_cut_and_the_ids_stay)
{
    struct journal_retention r = {
        .old_upto = INT64_MAX, .ledger_old_upto = 0, .ledger_max_rows = N_SHORT};
    struct fsm_instance again = {0};
    struct removed removed;
    struct world w;
    struct err err;
    int i;

    world_init(&w, _i);
    for (i = 0; i < N_MANY; i++) {
        char id[32];

        (void)snprintf(id, sizeof(id), "job-%d", i);
        job_run(&w, id, 1);
        if (i % 40 == 0)
            prune(&w, &r, 0, w.now, &removed);
    }
    for (i = 0; i < 4; i++)
        prune(&w, &r, 0, w.now, &removed);
    ck_assert_int_le(counts(&w).n_ledger, N_SHORT + 500);
    ck_assert_int_ge(counts(&w).n_ledger, N_SHORT);
    ck_assert_int_eq(counts(&w).ledger_end, N_MANY);
    assert_sound(&w);
    for (i = 0; i < N_MANY; i++) {
        char id[32], message_id[32];

        (void)snprintf(id, sizeof(id), "job-%d", i);
        (void)snprintf(message_id, sizeof(message_id), "m.job-%d", i);
        ck_assert_int_eq(known(&w, NULL, id), JOURNAL_LEDGERED);
        ck_assert_int_eq(known(&w, message_id, NULL), JOURNAL_LEDGERED);
        ck_assert_int_eq(known(&w, id, message_id), JOURNAL_UNKNOWN); /* the other way round */
    }
    ck_assert_int_eq(known(&w, "m.job-x", "job-x"), JOURNAL_UNKNOWN);
    ck_assert_int_eq(fsm_instance_init(&again, &job_machine, "job-0", 1, w.now, &err), 0);
    OK(w.j->ops->begin(w.j, e_));
    ck_assert_int_eq(w.j->ops->put_instance(w.j, &again, &err), ERR_EXISTS);
    w.j->ops->rollback(w.j);
    fsm_instance_done(&again);
    world_done(&w);
}
END_TEST

START_TEST(remembered_ids_are_forgotten_when_they_are_old)
{
    struct journal_retention r = {.old_upto = INT64_MAX, .ledger_max_rows = 1};
    struct removed removed;
    struct world w;
    int i;

    world_init(&w, _i);
    for (i = 0; i < 520; i++) {
        char id[32];

        (void)snprintf(id, sizeof(id), "job-%d", i);
        job_run(&w, id, 1);
        if (i % 40 == 0)
            prune(&w, &r, 0, w.now, &removed);
    }
    prune(&w, &r, 0, w.now, &removed);
    ck_assert_int_le(counts(&w).n_ledger, 20);
    r.ledger_old_upto = 200;
    for (i = 0; i < 256; i++) /* a part in each round */
        prune(&w, &r, 0, w.now, &removed);
    ck_assert_int_eq(known(&w, NULL, "job-0"), JOURNAL_UNKNOWN);
    ck_assert_int_eq(known(&w, "m.job-199", NULL), JOURNAL_UNKNOWN);
    ck_assert_int_eq(known(&w, NULL, "job-200"), JOURNAL_LEDGERED);
    ck_assert_int_eq(known(&w, "m.job-499", NULL), JOURNAL_LEDGERED);
    world_done(&w);
}
END_TEST

START_TEST(a_job_is_settled_when_nobody_waits_for_it)
{
    struct fsm_instance inst, upload;
    struct world w;
    int64_t n = -1;

    world_init(&w, _i);
    OK(w.j->ops->get_settled(w.j, "never", &n, e_));
    ck_assert_int_eq(n, 0);
    job_run(&w, "other", 1);
    job_make(&w, "job", 1, &inst);
    OK(w.j->ops->get_settled(w.j, "job", &n, e_));
    ck_assert_int_eq(n, 0);
    job_work(&w, &inst);
    job_make(&w, "upload.job.0", 1, &upload);
    job_report(&w, &inst);
    OK(w.j->ops->get_settled(w.j, "job", &n, e_));
    ck_assert_int_eq(n, 0);
    job_work(&w, &upload);
    job_report(&w, &upload);
    OK(w.j->ops->get_settled(w.j, "job", &n, e_));
    ck_assert_int_eq(n, 2);
    fsm_instance_done(&upload);
    fsm_instance_done(&inst);
    world_done(&w);
}
END_TEST

START_TEST(a_ledger_row_whose_job_is_here_is_not_cut)
{
    struct journal_retention r = {.ledger_old_upto = INT64_MAX};
    struct removed removed;
    struct world w;

    world_init(&w, _i);
    run_jobs(&w, 3);
    prune(&w, &r, 0, w.now + 100000, &removed);
    ck_assert_int_eq(counts(&w).n_ledger, 3);
    assert_sound(&w);
    world_done(&w);
}
END_TEST

START_TEST(freed_space_goes_back_to_the_file_system)
{
    struct journal_retention r = {.old_upto = INT64_MAX};
    struct removed removed;
    int64_t before, after;
    struct world w;

    world_init(&w, JOURNAL_SQLITE);
    run_jobs(&w, 60);
    before = counts(&w).size_bytes;
    prune(&w, &r, 0, w.now + 1000, &removed);
    ck_assert_uint_eq(removed.n, 60);
    after = counts(&w).size_bytes;
    ck_assert_int_lt(after, before / 2);
    assert_sound(&w);
    world_done(&w);
}
END_TEST

START_TEST(retention_that_has_nothing_to_do_commits_nothing)
{
    struct journal_retention r = {.old_upto = INT64_MAX, .ledger_old_upto = INT64_MAX};
    struct removed removed;
    struct world w;
    int64_t n;

    world_init(&w, JOURNAL_SQLITE);
    run_jobs(&w, 2);
    prune(&w, &r, 0, w.now, &removed);
    n = counts(&w).n_commits;
    prune(&w, &r, 0, w.now, &removed);
    ck_assert_int_eq(counts(&w).n_commits, n);
    world_done(&w);
}
END_TEST

START_TEST(inside_a_transaction_it_is_refused)
{
    struct journal_retention r = {.old_upto = INT64_MAX};
    struct world w;
    struct err err;

    world_init(&w, _i);
    OK(w.j->ops->begin(w.j, e_));
    ck_assert_int_eq(w.j->ops->prune(w.j, &r, 0, w.now, NULL, NULL, &err), ERR_STATE);
    OK(w.j->ops->put_fact(w.j, "key", "value", e_)); /* and the transaction goes on */
    OK(w.j->ops->commit(w.j, e_));
    world_done(&w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("retention");
    TCase *t = tcase_create("retention");
    SRunner *runner = srunner_create(s);
    int n_failed;

    suite_add_tcase(s, t);
    tcase_set_timeout(t, 120); /* hundreds of jobs, on a machine that is busy */
    BOTH(t, jobs_that_are_too_old_go_and_the_ledger_stays);
    BOTH(t, without_limits_nothing_goes);
    BOTH(t, a_nested_document_goes_after_what_it_is_part_of);
    BOTH(t, a_job_stays_while_its_output_is_on_its_way);
    BOTH(t, open_jobs_and_owed_replies_never_go);
    tcase_add_test(t, an_ended_job_that_still_owes_a_reply_stays);
    BOTH(t, by_size_the_oldest_go_first_until_it_fits);
    BOTH(t, by_size_nothing_goes_that_is_younger_than_the_one_that_is_too_large);
    BOTH(t, one_call_removes_no_more_than_it_may);
    BOTH(t, the_ledger_is_cut_at_its_old_end_and_still_verifies);
    BOTH(t, a_ledger_row_whose_job_is_here_is_not_cut);
    BOTH(t, a_ledger_that_is_too_long_is_cut_and_the_ids_stay);
    BOTH(t, remembered_ids_are_forgotten_when_they_are_old);
    BOTH(t, a_job_is_settled_when_nobody_waits_for_it);
    tcase_add_test(t, freed_space_goes_back_to_the_file_system);
    tcase_add_test(t, retention_that_has_nothing_to_do_commits_nothing);
    BOTH(t, inside_a_transaction_it_is_refused);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
