/* LOOP_UNTIL: what is raised just before the loop would go to sleep is seen. */
#include <stdbool.h>
#include <stdlib.h>

#include "tests/lib/loop_until.h"

static uv_loop_t loop;
static bool is_raised;
static int n_turns;

static void raise_from_timer(uv_timer_t *timer)
{
    (void)timer;
    is_raised = true;
}

/* Raised behind the back of every prepare handle that was started later, as a turn of the engine
 * does it. */
static void raise_from_prepare(uv_prepare_t *prepare)
{
    (void)prepare;
    is_raised = ++n_turns == 2;
}

static void begin(void)
{
    is_raised = false;
    n_turns = 0;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
}

static void end(void)
{
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}

START_TEST(a_flag_that_a_timer_raises_ends_the_wait)
{
    uv_timer_t timer;

    ck_assert_int_eq(uv_timer_init(&loop, &timer), 0);
    ck_assert_int_eq(uv_timer_start(&timer, raise_from_timer, 0, 0), 0);
    LOOP_UNTIL(&loop, is_raised);
    uv_close((uv_handle_t *)&timer, NULL);
    end();
}
END_TEST

START_TEST(a_flag_that_a_prepare_handle_raises_ends_the_wait)
{
    uv_prepare_t prepare;

    ck_assert_int_eq(uv_prepare_init(&loop, &prepare), 0);
    ck_assert_int_eq(uv_prepare_start(&prepare, raise_from_prepare), 0);
    LOOP_UNTIL(&loop, is_raised);
    ck_assert_int_eq(n_turns, 2);
    uv_close((uv_handle_t *)&prepare, NULL);
    end();
}
END_TEST

START_TEST(what_holds_already_costs_no_turn)
{
    uv_prepare_t prepare;

    ck_assert_int_eq(uv_prepare_init(&loop, &prepare), 0);
    ck_assert_int_eq(uv_prepare_start(&prepare, raise_from_prepare), 0);
    LOOP_UNTIL(&loop, n_turns == 0);
    ck_assert_int_eq(n_turns, 0);
    uv_close((uv_handle_t *)&prepare, NULL);
    end();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("loop_until");
    TCase *t = tcase_create("waits");
    SRunner *sr;
    int n_failed;

    tcase_add_checked_fixture(t, begin, NULL);
    tcase_add_test(t, a_flag_that_a_timer_raises_ends_the_wait);
    tcase_add_test(t, a_flag_that_a_prepare_handle_raises_ends_the_wait);
    tcase_add_test(t, what_holds_already_costs_no_turn);
    suite_add_tcase(s, t);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
