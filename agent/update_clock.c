/* Agent.SelfUpdate: an update that nobody asks for. The first look comes half an hour after the
 * start at the earliest, further ones Agent.SelfUpdateScheduleDay days after the last, which is
 * remembered; each node has a delay of its own within twelve hours, so that a fleet does not come
 * together (spec 06, section 15). */
#define LOG_MODULE "update"
#include <inttypes.h>
#include <stdio.h>

#include "agent/update.h"
#include "agent/update_internal.h"
#include "base/str.h"

#define LOOK_MS (INT64_C(5) * 60 * 1000)
#define FIRST_MS (INT64_C(30) * 60 * 1000)
#define SPREAD_MS (INT64_C(12) * 60 * 60 * 1000)
#define MINUTES_OF_DAY INT64_C(1440)
#define DAY_MS (INT64_C(24) * 60 * 60 * 1000)
#define FACT_LAST "update.last_unix_ms"

/* Always the same of one node, evenly over nodes. */
static int64_t delay_of(const char *node_id)
{
    uint32_t h = 2166136261u; /* FNV-1a */

    for (; *node_id != '\0'; node_id++)
        h = (h ^ (unsigned char)*node_id) * 16777619u;
    h ^= h >> 15; /* its low bits alone are not mixed well */
    h *= 2246822519u;
    h ^= h >> 13;
    return (int64_t)h % SPREAD_MS;
}

bool update_is_due(const struct update_clock *c)
{
    int from, to, minute = (int)(c->now_unix_ms / 60000 % MINUTES_OF_DAY);

    if (c->up_ms < FIRST_MS + delay_of(c->node_id))
        return false;
    /* A last look in the future: the clock was wrong then, or is now. */
    if (c->last_unix_ms != 0 && c->last_unix_ms <= c->now_unix_ms &&
        c->now_unix_ms - c->last_unix_ms < c->days * DAY_MS)
        return false;
    if (c->window[0] == '\0')
        return true;
    if (!config_parse_window(c->window, &from, &to))
        return false; /* said when the configuration was read */
    return from < to ? minute >= from && minute < to : minute >= from || minute < to;
}

static int64_t last_look(const struct engine *e)
{
    AUTO(buf_done) struct buf text = {0};
    int64_t last = 0;

    buf_init(&text, 32);
    if (e->journal->ops->get_fact(e->journal, FACT_LAST, &text, NULL) < 0 ||
        !str_to_i64(buf_str(&text), 0, INT64_MAX, &last))
        return 0;
    return last;
}

struct look_item {
    struct item item;
};

static int apply_look(struct engine *e, struct item *item, struct err *err)
{
    char text[32];

    (void)item;
    (void)snprintf(text, sizeof(text), "%" PRId64, clock_wall_ms());
    return e->journal->ops->put_fact(e->journal, FACT_LAST, text, err);
}

static void finish_look(struct engine *e, struct item *item, const struct err *err)
{
    const struct engine_update wish = {.asked = "latest", .is_by_clock = true};
    struct err why;

    free(container_of(item, struct look_item, item));
    if (err == NULL && !e->is_stopping && engine_update(e, &wish, NULL, NULL, &why) < 0)
        log_info("Agent.SelfUpdate: %s", why.text);
}

static void on_clock(uv_timer_t *timer)
{
    struct engine *e = timer->data;
    const struct config *c = e->config;
    struct look_item *it;

    if (!c->is_self_update || c->update_source[0] == '\0' || e->is_suspended || e->is_short ||
        !update_is_due(&(struct update_clock){.node_id = c->instance_id,
                                              .window = c->update_window,
                                              .days = c->self_update_days,
                                              .up_ms = clock_boottime_ms() - e->started_boottime_ms,
                                              .now_unix_ms = clock_wall_ms(),
                                              .last_unix_ms = last_look(e)}))
        return;
    it = calloc(1, sizeof(*it)); /* without it: in five minutes */
    if (it == NULL)
        return;
    it->item = (struct item){.apply = apply_look, .finish = finish_look};
    engine_queue(e, &it->item);
}

void updates_start(struct engine *e)
{
    e->started_boottime_ms = clock_boottime_ms();
    (void)uv_timer_start(&e->clock_timer, on_clock, LOOK_MS, LOOK_MS);
}
