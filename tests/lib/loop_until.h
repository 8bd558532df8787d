/* Waiting for a loop to make something true, with an end: a plain `while (!x) uv_run(ONCE)` hangs
 * when `x` is raised in the same turn before the loop goes to sleep (by a timer, or by a turn of
 * the engine, which is a prepare handle), and when it never comes. */
#ifndef SSMD_TESTS_LOOP_UNTIL_H
#define SSMD_TESTS_LOOP_UNTIL_H

#include <check.h>
#include <stdlib.h>
#include <uv.h>

#define LOOP_LOOK_MS 20
#define LOOP_PATIENCE_MS 60000

struct loop_guard {
    uv_timer_t look; /* its close frees the struct */
    uint64_t give_up_at;
    const char *what;
};

static inline void loop_guard_look(uv_timer_t *timer)
{
    const struct loop_guard *g = timer->data;

    if (uv_now(timer->loop) > g->give_up_at)
        ck_abort_msg("not within a minute: %s", g->what);
}

static inline struct loop_guard *loop_guard_start(uv_loop_t *loop, const char *what)
{
    struct loop_guard *g = calloc(1, sizeof(*g));

    ck_assert_ptr_nonnull(g);
    uv_update_time(loop);
    g->give_up_at = uv_now(loop) + LOOP_PATIENCE_MS;
    g->what = what;
    (void)uv_timer_init(loop, &g->look); /* these cannot fail */
    g->look.data = g;
    (void)uv_timer_start(&g->look, loop_guard_look, LOOP_LOOK_MS, LOOP_LOOK_MS);
    return g;
}

static inline void loop_guard_free(uv_handle_t *handle)
{
    free(handle->data);
}

/* Not one turn more than it takes. The guard's timer is closed by the loop's next turn. */
#define LOOP_UNTIL(loop, expression)                                                               \
    do {                                                                                           \
        struct loop_guard *guard_ = loop_guard_start((loop), #expression);                         \
                                                                                                   \
        while (!(expression))                                                                      \
            (void)uv_run((loop), UV_RUN_ONCE);                                                     \
        uv_close((uv_handle_t *)&guard_->look, loop_guard_free);                                   \
    } while (0)

#endif
