/* Watching the agent: what can be seen of it from outside and in its record, again and again. */
#include <fcntl.h>

#include "base/str.h"
#include "update/updater_internal.h"

#define LONGEST_PAUSE_MS 200
#define SHORTEST_PAUSE_MS 10

/* Silence is measured from here, on a clock that stands still while the machine sleeps. */
struct silence {
    int64_t pid, at_boottime_ms; /* of the last record */
    int64_t since_us;
};

static void listen(struct silence *s, const struct watch_view *v)
{
    if (v->has_health &&
        (v->health.pid != s->pid || v->health.at_boottime_ms != s->at_boottime_ms)) {
        s->pid = v->health.pid;
        s->at_boottime_ms = v->health.at_boottime_ms;
        s->since_us = clock_monotonic_us();
    }
}

static bool is_past(const struct updater *u)
{
    const struct fsm_deadline *d = &u->inst.deadline;

    return str_eq(d->boot_id, u->boot_id) && clock_boottime_ms() >= d->boottime_ms;
}

static void look(const struct updater *u, struct watch_view *v)
{
    struct handover_health *h = &v->health;
    struct proc p = {0};

    v->has_health = handover_read_health(u->update_fd, h, NULL) == 0;
    v->is_alive = v->has_health && str_eq(h->boot_id, u->boot_id) &&
                  proc_is_alive((pid_t)h->pid, (uint64_t)h->pid_start) &&
                  proc_read((pid_t)h->pid, &p, NULL) == 0;
    v->alive_ms = v->is_alive ? clock_boottime_ms() - agent_began_ms(&p) : 0;
    v->is_running = v->is_alive || agent_find(u, u->order.pid_file, &p, NULL) == 0;
    v->rss_bytes = v->is_running ? agent_rss_bytes(p.pid) : 0;
    v->n_starts = agent_count_starts(u);
    v->is_overdue = is_past(u);
}

enum handover_event watch_agent(struct updater *u, bool is_new, char *ret_text, size_t size)
{
    const struct handover *h = handover_of(&u->inst);
    struct silence silence = {.since_us = clock_monotonic_us()};
    int64_t pause_ms = u->order.proving_ms / 10;
    char ended[128];
    struct watch_view v = {.version = is_new ? h->to_version : h->from_version,
                           .is_new = is_new,
                           .is_service_away = h->is_service_away != 0,
                           .proving_ms = u->order.proving_ms,
                           .deadline_ms = h->waited_ms + h->deadline_ms,
                           .max_rss_bytes = u->order.max_rss_bytes,
                           .ended = ended};

    if (pause_ms > LONGEST_PAUSE_MS)
        pause_ms = LONGEST_PAUSE_MS;
    if (pause_ms < SHORTEST_PAUSE_MS)
        pause_ms = SHORTEST_PAUSE_MS;
    for (;; updater_pause_ms(pause_ms)) {
        look(u, &v);
        listen(&silence, &v);
        v.silent_ms = (clock_monotonic_us() - silence.since_us) / 1000;
        agent_describe_end(u, ended, sizeof(ended));
        switch (watch_judge(&v, ret_text, size)) {
        case WATCH_GO_ON:
            break;
        case WATCH_PROVEN:
            return HANDOVER_EV_PROVEN;
        case WATCH_UNHEALTHY:
            return HANDOVER_EV_UNHEALTHY;
        case WATCH_OVERDUE:
            return HANDOVER_EV_OVERDUE;
        }
    }
}
