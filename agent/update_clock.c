/* Agent.SelfUpdate: an update that nobody asks for. The first look comes half an hour after the
 * start, or after it was switched on, at the earliest; further ones Agent.SelfUpdateScheduleDay
 * days after the last, which is remembered. A fleet does not come together: each node has a delay
 * of its own within twelve hours, and a place of its own within Ssmd.UpdateWindow (spec 06, section
 * 15). A node that is never up for that long, or not at that place, has waited two days too long:
 * it comes with less ceremony. */
#define LOG_MODULE "update"
#include <inttypes.h>
#include <stdio.h>

#include "agent/update.h"
#include "agent/update_internal.h"
#include "base/str.h"

#define LOOK_MS (INT64_C(5) * 60 * 1000)
#define FIRST_MS (INT64_C(30) * 60 * 1000)
#define SPREAD_MS (INT64_C(12) * 60 * 60 * 1000)
#define LATE_SPREAD_MS (INT64_C(2) * 60 * 60 * 1000)
#define LATE_PART 4 /* of the window: its first quarter */
#define MINUTES_OF_DAY 1440
#define WINDOW_END_MINUTES 10 /* nobody's place: who looks every five minutes would miss it */
#define DAY_MS (INT64_C(24) * 60 * 60 * 1000)
/* Delay and window together let pass 36.5 hours at most before a node that stays up has its place.
 */
#define LATE_MS (2 * DAY_MS)
#define FACT_LAST "update.last_unix_ms"
#define FACT_FIRST                                                                                 \
    "update.first_unix_ms" /* until there is a last one: when a look was first wished */

/* Below the span, always the same of one node, evenly over nodes. */
static int64_t share_of(const char *node_id, int64_t span)
{
    uint32_t h = 2166136261u; /* FNV-1a */

    for (; *node_id != '\0'; node_id++)
        h = (h ^ (unsigned char)*node_id) * 16777619u;
    h ^= h >> 15; /* its low bits alone are not mixed well */
    h *= 2246822519u;
    h ^= h >> 13;
    return (int64_t)((uint64_t)h * (uint64_t)span >> 32);
}

/* Has it waited for so long that it would never come at its own place? */
static bool is_late(const struct update_clock *c)
{
    int64_t wished_unix_ms =
        c->last_unix_ms != 0 ? c->last_unix_ms + c->days * DAY_MS : c->first_unix_ms;

    return wished_unix_ms != 0 && wished_unix_ms <= c->now_unix_ms &&
           c->now_unix_ms - wished_unix_ms >= LATE_MS;
}

static bool is_in_window(const struct update_clock *c)
{
    int minute = (int)(c->now_unix_ms / 60000 % MINUTES_OF_DAY), from, to, length, places;

    if (c->window[0] == '\0')
        return true;
    if (!config_parse_window(c->window, &from, &to))
        return false; /* said when the configuration was read */
    length = (to - from + MINUTES_OF_DAY) % MINUTES_OF_DAY;
    minute = (minute - from + MINUTES_OF_DAY) % MINUTES_OF_DAY;
    places = length > WINDOW_END_MINUTES ? length - WINDOW_END_MINUTES : 1;
    if (is_late(c))
        places = (places + LATE_PART - 1) / LATE_PART;
    return minute < length && minute >= share_of(c->node_id, places);
}

bool update_is_due(const struct update_clock *c)
{
    if (c->up_ms < FIRST_MS + share_of(c->node_id, is_late(c) ? LATE_SPREAD_MS : SPREAD_MS))
        return false;
    /* A last look in the future: the clock was wrong then, or is now. */
    if (c->last_unix_ms != 0 && c->last_unix_ms <= c->now_unix_ms &&
        c->now_unix_ms - c->last_unix_ms < c->days * DAY_MS)
        return false;
    return is_in_window(c);
}

/* 0: it is not known. */
static int64_t time_in(const struct engine *e, const char *fact)
{
    AUTO(buf_done) struct buf text = {0};
    int64_t unix_ms = 0;

    buf_init(&text, 32);
    if (e->journal->ops->get_fact(e->journal, fact, &text, NULL) < 0 ||
        !str_to_i64(buf_str(&text), 0, INT64_MAX, &unix_ms))
        return 0;
    return unix_ms;
}

struct look_item {
    struct item item;
    bool is_wish; /* only to remember since when */
};

static int apply_look(struct engine *e, struct item *item, struct err *err)
{
    const struct look_item *it = container_of(item, struct look_item, item);
    char text[32];
    int r = 0;

    (void)snprintf(text, sizeof(text), "%" PRId64, clock_wall_ms());
    if (!it->is_wish)
        r = e->journal->ops->put_fact(e->journal, FACT_FIRST, NULL, err);
    return r < 0 ? r
                 : e->journal->ops->put_fact(e->journal, it->is_wish ? FACT_FIRST : FACT_LAST, text,
                                             err);
}

static void finish_look(struct engine *e, struct item *item, const struct err *err)
{
    struct look_item *it = container_of(item, struct look_item, item);
    const struct engine_update wish = {.asked = "latest", .is_by_clock = true};
    bool is_wish = it->is_wish;
    struct err why;

    free(it);
    if (!is_wish && err == NULL && !e->is_stopping && engine_update(e, &wish, NULL, NULL, &why) < 0)
        log_info("Agent.SelfUpdate: %s", why.text);
}

static void on_clock(uv_timer_t *timer)
{
    struct engine *e = timer->data;
    const struct config *c = e->config;
    struct update_clock now = {.node_id = c->instance_id,
                               .window = c->update_window,
                               .days = c->self_update_days,
                               .now_unix_ms = clock_wall_ms()};
    struct look_item *it;
    bool is_due;

    if (!c->is_self_update || c->update_source[0] == '\0') {
        e->wished_boottime_ms = clock_boottime_ms(); /* not before now, if it is switched on */
        return;
    }
    if (e->is_suspended || e->is_short)
        return;
    now.up_ms = clock_boottime_ms() - e->wished_boottime_ms;
    now.last_unix_ms = time_in(e, FACT_LAST);
    now.first_unix_ms = time_in(e, FACT_FIRST);
    is_due = update_is_due(&now);
    if (!is_due && (now.last_unix_ms != 0 || now.first_unix_ms != 0))
        return;
    it = calloc(1, sizeof(*it)); /* without it: in five minutes */
    if (it == NULL)
        return;
    it->item = (struct item){.apply = apply_look, .finish = finish_look};
    it->is_wish = !is_due;
    engine_queue(e, &it->item);
}

void updates_start(struct engine *e)
{
    e->wished_boottime_ms = clock_boottime_ms();
    (void)uv_timer_start(&e->clock_timer, on_clock, LOOK_MS, LOOK_MS);
}
