/* Credentials that are fetched: waiting for them, renewal before their end, refusals, failures, and
 * the news that there are some again. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "transport/credentials_fetched.h"

static uv_loop_t loop;
static struct credentials_provider *provider;
static struct err err;

/* What the source does next: answer at once with a new key, fail, or not answer. */
static struct {
    enum { ANSWER, FAIL, KEEP_SILENT } way;
    int64_t life_ms;
    int n_fetches, n_cancels, n_frees, n_wakes, n_changes;
} source;

static void answer(struct credentials_provider *p)
{
    struct credentials c = {0};

    (void)snprintf(c.access_key, sizeof(c.access_key), "AKIA%d", source.n_fetches);
    ck_assert_int_eq(secret_set(&c.secret_key, "s", &err), 0);
    credentials_fetched(p, &c, source.life_ms, NULL);
}

static void fetch(void *ctx, struct credentials_provider *p)
{
    struct err why;

    (void)ctx;
    source.n_fetches++;
    if (source.way == FAIL) {
        (void)err_set(&why, ERR_NETWORK, "failure %d", source.n_fetches);
        credentials_fetched(p, NULL, 0, &why);
    } else if (source.way == ANSWER) {
        answer(p);
    }
}

static void cancel(void *ctx)
{
    (void)ctx;
    source.n_cancels++;
}

static void source_free(void *ctx)
{
    (void)ctx;
    source.n_frees++;
}

static void make_provider(void)
{
    const struct credentials_fetched_options o = {
        .fetcher = {.name = "source", .fetch = fetch, .cancel = cancel, .free = source_free}};

    memset(&source, 0, sizeof(source));
    source.life_ms = 3600000;
    ck_assert_int_eq(credentials_fetched_new(&loop, &o, &provider, &err), 0);
}

static void setup(void)
{
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    make_provider();
}

static void teardown(void)
{
    credentials_provider_free(provider);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    ck_assert_int_eq(source.n_frees, 1);
}

static const char *key_now(void)
{
    const struct credentials *c;
    int r = credentials_get(provider, &c, &err);

    return r == 0 ? c->access_key : r == ERR_BUSY ? "busy" : "none";
}

static void on_wake(void *ctx)
{
    (void)ctx;
    source.n_wakes++;
}

static void on_change(void *ctx)
{
    (void)ctx;
    source.n_changes++;
}

/* The loop's timers until `*n` has grown; a minute is far more than any of them. */
static void run_until_more(const int *n)
{
    int before = *n;
    int64_t until = clock_monotonic_us() + INT64_C(60) * 1000000;

    while (*n == before && clock_monotonic_us() < until)
        (void)uv_run(&loop, UV_RUN_ONCE);
    ck_assert_int_gt(*n, before);
}

START_TEST(who_asks_first_waits_and_is_woken)
{
    struct credentials_waiter w = {.wake = on_wake};

    source.way = KEEP_SILENT;
    ck_assert_str_eq(key_now(), "busy");
    ck_assert_str_eq(key_now(), "busy");
    ck_assert_int_eq(source.n_fetches, 1);
    credentials_wait(provider, &w);
    answer(provider);
    ck_assert_int_eq(source.n_wakes, 1);
    ck_assert_str_eq(key_now(), "AKIA1");
}
END_TEST

START_TEST(a_fetch_under_way_is_cancelled_with_its_provider)
{
    source.way = KEEP_SILENT;
    ck_assert_str_eq(key_now(), "busy");
    credentials_provider_free(provider);
    ck_assert_int_eq(source.n_cancels, 1);
    make_provider();
}
END_TEST

START_TEST(a_failure_is_told_and_repeated_until_it_works)
{
    AUTO(buf_done) struct buf b = {0};

    buf_init(&b, 1000);
    source.way = FAIL;
    ck_assert_str_eq(key_now(), "none");
    ck_assert_ptr_nonnull(strstr(err.text, "failure 1"));
    credentials_describe(provider, &b);
    ck_assert_str_eq(buf_str(&b), "source: failure 1\n");
    run_until_more(&source.n_fetches);
    source.way = ANSWER;
    run_until_more(&source.n_fetches);
    ck_assert_str_eq(key_now(), "AKIA3");
}
END_TEST

START_TEST(they_are_fetched_again_before_they_end)
{
    source.life_ms = 6000;
    ck_assert_str_eq(key_now(), "AKIA1");
    run_until_more(&source.n_fetches);
    ck_assert_str_eq(key_now(), "AKIA2");
}
END_TEST

START_TEST(a_failed_renewal_does_not_take_what_is_still_good)
{
    source.life_ms = 16000; /* renewed at half of it; a busy machine has the other half */
    ck_assert_str_eq(key_now(), "AKIA1");
    source.way = FAIL;
    run_until_more(&source.n_fetches);
    ck_assert_str_eq(key_now(), "AKIA1");
}
END_TEST

START_TEST(what_the_service_refuses_is_not_handed_out_again)
{
    ck_assert_str_eq(key_now(), "AKIA1");
    ck_assert(!credentials_reject(provider, "AKIA1"));
    ck_assert_str_eq(key_now(), "none");
    run_until_more(&source.n_fetches);
    ck_assert_str_eq(key_now(), "AKIA2");
}
END_TEST

START_TEST(a_life_by_the_issuers_clock_is_at_least_a_few_seconds)
{
    ck_assert_int_eq(credentials_life_ms(1704186245000, 1704186185000), 60000);
    ck_assert_int_eq(credentials_life_ms(1704186245000, 2704186245000), 4000);
    ck_assert_int_eq(credentials_life_ms(clock_wall_ms() - 1000, -1), 4000);
}
END_TEST

START_TEST(who_had_none_is_told_when_there_are_some)
{
    struct credentials_provider *watched;

    source.way = FAIL;
    ck_assert_int_eq(credentials_watched_new(&loop, provider, on_change, NULL, &watched, &err), 0);
    provider = watched;
    ck_assert_str_eq(key_now(), "none");
    source.way = ANSWER;
    run_until_more(&source.n_changes);
    ck_assert_str_ne(key_now(), "none");
    ck_assert_int_eq(source.n_changes, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("credentials_fetched");
    TCase *tc = tcase_create("credentials_fetched");
    SRunner *runner;
    int n_failed;

    tcase_set_timeout(tc, 240);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, who_asks_first_waits_and_is_woken);
    tcase_add_test(tc, a_fetch_under_way_is_cancelled_with_its_provider);
    tcase_add_test(tc, a_failure_is_told_and_repeated_until_it_works);
    tcase_add_test(tc, they_are_fetched_again_before_they_end);
    tcase_add_test(tc, a_failed_renewal_does_not_take_what_is_still_good);
    tcase_add_test(tc, what_the_service_refuses_is_not_handed_out_again);
    tcase_add_test(tc, a_life_by_the_issuers_clock_is_at_least_a_few_seconds);
    tcase_add_test(tc, who_had_none_is_told_when_there_are_some);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
