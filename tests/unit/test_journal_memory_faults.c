/* SQLite finds no memory, at each of its allocations: what a transaction put is there as a whole or
 * not at all, what is read is what was written or an error, and the journal comes back. */
#include "journal_lib.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* ---- the allocator ---- */

static struct sqlite3_mem_methods real;
static int countdown; /* 0: none fails */
static bool has_hit;

static bool is_due(void)
{
    if (countdown == 0 || --countdown > 0)
        return false;
    has_hit = true;
    return true;
}

static void *failing_malloc(int n)
{
    return is_due() ? NULL : real.xMalloc(n);
}

static void *failing_realloc(void *p, int n)
{
    return is_due() ? NULL : real.xRealloc(p, n);
}

/* In main(): SQLite takes it before its first use only. */
static bool use_failing_allocator(void)
{
    struct sqlite3_mem_methods failing;

    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real) != SQLITE_OK)
        return false;
    failing = real;
    failing.xMalloc = failing_malloc;
    failing.xRealloc = failing_realloc;
    /* And no memory that SQLite keeps for small things: it would never run out. */
    return sqlite3_config(SQLITE_CONFIG_MALLOC, &failing) == SQLITE_OK &&
           sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) == SQLITE_OK;
}

static void fail_at(int n)
{
    has_hit = false;
    countdown = n;
}

static bool stop_failing(void)
{
    countdown = 0;
    return has_hit;
}

/* ---- what is done ---- */

#define LONG_TEXT                                                                                  \
    "a text that does not fit into the room that SQLite has in a value of its own, so that it "    \
    "needs memory when it is read, and once more for its end"

/* What reads as nothing is an error, never an empty text. */
static int read_fact(struct world *w, const char *key, const char *want, struct err *err)
{
    AUTO(buf_done) struct buf value = {0};
    int r;

    buf_init(&value, 1000);
    r = w->j->ops->get_fact(w->j, key, &value, err);
    if (r == 0)
        ck_assert_str_eq(buf_str(&value), want);
    else
        ck_assert_msg(r == ERR_NOMEM || r == ERR_IO || r == ERR_STATE, "%s: %s", err_name(r),
                      err->text);
    return r;
}

static int read_message_id(struct world *w, const struct fsm_instance *inst, struct err *err)
{
    char id[JOURNAL_MESSAGE_ID_SIZE];
    int r = w->j->ops->get_message_id(w->j, inst->id, id, sizeof(id), err);

    if (r == 0)
        ck_assert_int_gt((int)strlen(id), 0);
    return r;
}

/* One turn: puts with reads between them. A read that fails does not end it: some of the agent's
 * are best effort. */
static int turn(struct world *w, const struct fsm_instance *inst, const char *value)
{
    struct err err;
    int r = w->j->ops->begin(w->j, &err);

    if (r == 0)
        r = w->j->ops->put_fact(w->j, "first", value, &err);
    (void)read_fact(w, "kept", LONG_TEXT, &err);
    (void)read_message_id(w, inst, &err);
    if (r == 0)
        r = w->j->ops->put_fact(w->j, "second", value, &err);
    (void)read_fact(w, "kept", LONG_TEXT, &err);
    if (r == 0)
        r = w->j->ops->put_fact(w->j, "third", value, &err);
    if (r == 0)
        r = w->j->ops->commit(w->j, &err);
    if (r < 0)
        w->j->ops->rollback(w->j);
    return r;
}

static void put_one(struct world *w, const char *key, const char *value)
{
    OK(w->j->ops->begin(w->j, e_));
    OK(w->j->ops->put_fact(w->j, key, value, e_));
    OK(w->j->ops->commit(w->j, e_));
}

static void assert_fact(struct world *w, const char *key, const char *value)
{
    AUTO(buf_done) struct buf got = {0};

    buf_init(&got, 1000);
    OK(w->j->ops->get_fact(w->j, key, &got, e_));
    ck_assert_str_eq(buf_str(&got), value);
}

START_TEST(a_transaction_without_memory_is_there_as_a_whole_or_not_at_all)
{
    static const char *const keys[] = {"first", "second", "third"};
    struct fsm_instance inst;
    struct world w;
    char old[16] = "0", new[16];
    size_t i;
    int n, r;

    world_init(&w, JOURNAL_SQLITE);
    job_make(&w, "job", 1, &inst);
    put_one(&w, "kept", LONG_TEXT);
    for (i = 0; i < ARRAY_LEN(keys); i++)
        put_one(&w, keys[i], old);
    for (n = 1;; n++) {
        (void)snprintf(new, sizeof(new), "%d", n);
        fail_at(n);
        r = turn(&w, &inst, new);
        if (!stop_failing())
            break;
        if (r < 0)
            OK(w.j->ops->revive(w.j, e_));
        else
            (void)str_copy(old, sizeof(old), new); /* a read that failed did no harm */
        for (i = 0; i < ARRAY_LEN(keys); i++)
            assert_fact(&w, keys[i], old);
    }
    ck_assert_int_eq(r, 0);
    ck_assert_int_gt(n, 20); /* it did come to that */
    fsm_instance_done(&inst);
    world_done(&w);
}
END_TEST

START_TEST(a_journal_that_cannot_be_opened_for_want_of_memory_is_not_called_damaged)
{
    struct world w;
    struct err err;
    int n, r;

    world_init(&w, JOURNAL_SQLITE);
    put_one(&w, "kept", LONG_TEXT);
    journal_close(w.j);
    for (n = 1;; n++) {
        w.j = NULL;
        ck_assert_int_eq(sqlite3_shutdown(), SQLITE_OK); /* it begins anew, too */
        fail_at(n);
        r = world_open(&w, &err);
        if (!stop_failing())
            break;
        if (r == 0)
            journal_close(w.j); /* one that SQLite can do without */
        else
            ck_assert_msg(r == ERR_NOMEM || r == ERR_IO, "allocation %d: %s: %s", n, err_name(r),
                          err.text);
    }
    ck_assert_int_eq(r, 0);
    ck_assert_int_gt(n, 20);
    assert_fact(&w, "kept", LONG_TEXT);
    world_done(&w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("journal without memory");
    TCase *t = tcase_create("memory");
    SRunner *runner;
    int n_failed;

    if (!use_failing_allocator()) {
        (void)fputs("SQLite does not take another allocator\n", stderr);
        return EXIT_FAILURE;
    }
    tcase_set_timeout(t, 120);
    tcase_add_test(t, a_transaction_without_memory_is_there_as_a_whole_or_not_at_all);
    tcase_add_test(t, a_journal_that_cannot_be_opened_for_want_of_memory_is_not_called_damaged);
    suite_add_tcase(s, t);
    runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
