/* Jobs that make every turn fail: they are left alone, so that all others go on, and tried again a
 * few times, each time after a longer while. A try begins with the journal read again, as after a
 * start: what came meanwhile was dropped, and that is the one walk that finds it all. */
#define LOG_MODULE "engine"
#include "agent/engine_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"

/* After the n-th failure; after the last one, only the next start helps. */
static const int64_t waits_ms[] = {INT64_C(60) * 1000, INT64_C(600) * 1000, INT64_C(3600) * 1000,
                                   INT64_C(6) * 3600 * 1000};
#define MAX_TIMER_MS (INT64_C(3600) * 1000) /* the loop's clock stands still in suspend */

static struct aside *find(const struct engine *e, const char *job_id)
{
    size_t i;

    for (i = 0; i < e->n_set_aside; i++)
        if (str_eq(e->set_aside[i].job_id, job_id))
            return (struct aside *)(uintptr_t)&e->set_aside[i];
    return NULL;
}

bool jobs_is_set_aside(const struct engine *e, const char *job_id)
{
    const struct aside *a = find(e, job_id);

    return a != NULL && !a->is_tried;
}

bool jobs_set_aside(struct engine *e, const char *job_id)
{
    struct aside *a = find(e, job_id);

    if (a != NULL && !a->is_tried)
        return false;
    if (a == NULL) {
        if (e->n_set_aside == ENGINE_MAX_SET_ASIDE) /* the oldest gets another chance */
            memmove(&e->set_aside[0], &e->set_aside[1], sizeof(e->set_aside[0]) * --e->n_set_aside);
        a = &e->set_aside[e->n_set_aside++];
        *a = (struct aside){.n_failures = 0};
        (void)str_copy(a->job_id, sizeof(a->job_id), job_id); /* it is an id: fits */
    }
    a->is_tried = false;
    a->due_boottime_ms = a->n_failures < ARRAY_LEN(waits_ms)
                             ? clock_boottime_ms() + waits_ms[a->n_failures]
                             : INT64_MAX;
    a->n_failures++;
    return true;
}

void aside_describe(const struct engine *e, const char *job_id, char *ret_text, size_t size)
{
    const struct aside *a = find(e, job_id);
    int64_t wait_ms = a != NULL && a->due_boottime_ms != INT64_MAX
                          ? a->due_boottime_ms - clock_boottime_ms()
                          : -1;

    if (wait_ms < 0)
        (void)snprintf(ret_text, size, "set aside until the next start of ssmd");
    else
        (void)snprintf(ret_text, size, "set aside, and tried again in %lld min",
                       (long long)((wait_ms + 59999) / 60000));
}

/* What was never taken on has no job: it is answered when it is delivered again. */
static bool is_due(struct engine *e, const struct aside *a, int64_t now_ms)
{
    return !a->is_tried && a->due_boottime_ms <= now_ms && engine_find_job(e, a->job_id) != NULL;
}

void aside_try_due(struct engine *e)
{
    int64_t now_ms = clock_boottime_ms();
    size_t i;

    for (i = 0; i < e->n_set_aside; i++) {
        if (!is_due(e, &e->set_aside[i], now_ms))
            continue;
        e->set_aside[i].is_tried = true;
        log_warning("%s was set aside and is tried again", e->set_aside[i].job_id);
    }
}

void aside_arm(struct engine *e)
{
    int64_t now_ms = clock_boottime_ms(), next_ms = INT64_MAX;
    size_t i;

    for (i = 0; i < e->n_set_aside; i++) {
        const struct aside *a = &e->set_aside[i];

        if (!a->is_tried && a->due_boottime_ms < next_ms && engine_find_job(e, a->job_id) != NULL)
            next_ms = a->due_boottime_ms;
    }
    (void)uv_timer_stop(&e->aside_timer);
    if (next_ms == INT64_MAX)
        return;
    next_ms = next_ms > now_ms ? next_ms - now_ms : 0;
    (void)uv_timer_start(&e->aside_timer, e->aside_timer.timer_cb,
                         (uint64_t)(next_ms < MAX_TIMER_MS ? next_ms : MAX_TIMER_MS), 0);
}

void aside_on_timer(uv_timer_t *timer)
{
    struct engine *e = timer->data;
    int64_t now_ms = clock_boottime_ms();
    size_t i;

    for (i = 0; i < e->n_set_aside; i++) {
        if (is_due(e, &e->set_aside[i], now_ms)) {
            engine_reload(e, "a job that was set aside is tried again"); /* which arms it, too */
            return;
        }
    }
    aside_arm(e);
}
