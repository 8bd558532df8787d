/* Messages that wait for values of Parameter Store: none is lost, none is kept without a bound, and
 * a stop lets go of all of them. */
#include "engine_world.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine_internal.h"
#include "base/str.h"
#include "schema/parameter_store.h"

/* ---- a source that answers when it is told to ---- */

struct parameter_fetch {
    parameter_done_fn done;
    void *ctx;
    char reference[64];
    bool is_over;
};

static struct {
    struct parameter_source source;
    struct parameter_fetch fetches[2 * ENGINE_MAX_WAITING];
    size_t n, n_cancelled;
} store;

static int on_fetch(struct parameter_source *s, char *const *references, size_t n,
                    parameter_done_fn done, void *ctx, struct parameter_fetch **ret_fetch,
                    struct err *err)
{
    struct parameter_fetch *f = &store.fetches[store.n++];

    (void)s;
    (void)err;
    ck_assert_uint_eq(n, 1);
    *f = (struct parameter_fetch){.done = done, .ctx = ctx};
    ck_assert(str_copy(f->reference, sizeof(f->reference), references[0]));
    *ret_fetch = f;
    return 0;
}

static void on_cancel(struct parameter_source *s, struct parameter_fetch *fetch)
{
    (void)s;
    fetch->is_over = true;
    store.n_cancelled++;
}

static void answer(size_t i)
{
    struct parameter_fetch *f = &store.fetches[i];
    const struct stored_parameter p = {.name = "name", .type = "String", .value = "x"};
    cJSON *values = cJSON_CreateObject();
    struct err err;

    ck_assert(!f->is_over);
    ck_assert_int_eq(parameter_values_add(values, f->reference, &p, &err), 0);
    f->is_over = true;
    f->done(f->ctx, values, NULL);
}

/* ---- the world ---- */

static struct engine_world w;

static void begin(void)
{
    memset(&store, 0, sizeof(store));
    store.source = (struct parameter_source){.fetch = on_fetch, .cancel = on_cancel};
    engine_world_init(&w, NULL, NULL);
    engine_world_crash(&w);
    w.parameters = &store.source;
    engine_world_start(&w, "boot-1");
}

static void end(void)
{
    engine_world_done(&w);
}

static void deliver(int number)
{
    char id[128];

    (void)snprintf(id, sizeof(id), "aws.ssm.00000000-0000-4000-8000-%012d.mi-x", number);
    engine_world_receive(&w, "aws.ssm.sendCommand", id,
                         "{\"DocumentName\":\"T\",\"CommandId\":\"x\",\"DocumentContent\":"
                         "{\"schemaVersion\":\"2.2\",\"mainSteps\":[{\"action\":"
                         "\"aws:runShellScript\",\"name\":\"s\",\"inputs\":{\"runCommand\":"
                         "[\"echo {{ssm:name}}\"]}}]}}");
}

static void order_cancel(int number, int target)
{
    char id[128], order[256];

    (void)snprintf(id, sizeof(id), "aws.ssm.10000000-0000-4000-8000-%012d.mi-x", number);
    (void)snprintf(order, sizeof(order),
                   "{\"CancelMessageId\":\"aws.ssm.00000000-0000-4000-8000-%012d.mi-x\"}", target);
    engine_world_receive(&w, "aws.ssm.cancelCommand", id, order);
}

static bool has_ended(struct engine_world *world)
{
    return world->n_told > 0 && engine_world_is_idle(world);
}

static size_t n_held(void)
{
    const struct message_item *it;
    size_t n = 0;

    for (it = w.engine->waiting->held; it != NULL; it = it->wait_next)
        n++;
    return n;
}

/* ---- cases ---- */

START_TEST(what_the_last_turn_of_a_stop_found_to_wait_is_let_go)
{
    deliver(1);
    engine_world_turns(&w, 3);
    ck_assert_uint_eq(store.n, 1);
    deliver(2); /* judged by the turn that the stop makes */
    engine_stop(w.engine);
    ck_assert_uint_eq(store.n, 2);
    ck_assert_uint_eq(store.n_cancelled, 2);
    ck_assert_ptr_null(w.engine->waiting);
    ck_assert_uint_eq(w.n_told, 0);
}
END_TEST

START_TEST(a_cancel_that_is_offered_again_and_again_is_held_once)
{
    int i;

    deliver(1);
    engine_world_turns(&w, 3);
    for (i = 0; i < 100; i++) {
        order_cancel(7, 1);
        engine_world_turns(&w, 3);
    }
    ck_assert_uint_eq(n_held(), 1);
    for (i = 0; i < 100; i++) {
        order_cancel(100 + i, 1);
        engine_world_turns(&w, 3);
    }
    ck_assert_uint_eq(n_held(), ENGINE_MAX_HELD);
    answer(0);
    engine_world_until(&w, has_ended);
    ck_assert_uint_eq(engine_world_count(&w, "reply", "Cancelled"), 1);
}
END_TEST

START_TEST(what_is_over_the_bound_is_not_taken_and_may_come_again)
{
    enum journal_known known;
    struct err err;
    int i;

    w.config.command_workers = 0; /* accepted, and not started */
    for (i = 0; i <= ENGINE_MAX_WAITING; i++) {
        deliver(i);
        engine_world_turns(&w, 3);
    }
    ck_assert_uint_eq(store.n, ENGINE_MAX_WAITING);
    ck_assert_uint_eq(w.n_told, 0);
    ck_assert_int_eq(
        w.journal->ops->find(w.journal, NULL, "00000000-0000-4000-8000-000000000256", &known, &err),
        0);
    ck_assert_int_eq(known, JOURNAL_UNKNOWN);
    answer(0);
    engine_world_turns(&w, 3);
    deliver(ENGINE_MAX_WAITING);
    engine_world_turns(&w, 3);
    ck_assert_uint_eq(store.n, ENGINE_MAX_WAITING + 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("engine, messages that wait");
    TCase *t = tcase_create("waiting");
    SRunner *sr;
    int n_failed;

    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, begin, end);
    tcase_add_test(t, what_the_last_turn_of_a_stop_found_to_wait_is_let_go);
    tcase_add_test(t, a_cancel_that_is_offered_again_and_again_is_held_once);
    tcase_add_test(t, what_is_over_the_bound_is_not_taken_and_may_come_again);
    suite_add_tcase(s, t);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
