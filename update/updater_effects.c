/* The effects of the handover machine: each may be done again after a death. */
#define LOG_MODULE "updater"
#include <stdio.h>

#include "base/crashpoint.h"
#include "base/log.h"
#include "base/str.h"
#include "update/updater_internal.h"

#define FIRST_RETRY_MS 100
#define LAST_RETRY_MS 5000
#define POINT_MS 60000 /* how long a disk may refuse the new link */
#define RESTART_TRIES 2

static void pause_longer(int64_t *wait_ms)
{
    updater_pause_ms(*wait_ms);
    *wait_ms = *wait_ms * 2 < LAST_RETRY_MS ? *wait_ms * 2 : LAST_RETRY_MS;
}

/* ---- before anything is done ---- */

static int check_link(struct updater *u, enum slots_link which, const char *name, struct err *err)
{
    const char *from = handover_of(&u->inst)->from_version;
    char version[SLOTS_VERSION_SIZE];
    int r = slots_get(&u->slots, which, version, err);

    if (r == 0 && !str_eq(version, from))
        r = err_set(err, ERR_STATE, "%s leads to version %s, and the order is about version %s",
                    name, version, from);
    return r;
}

int effect_check(struct updater *u, struct err *err)
{
    const struct handover *h = handover_of(&u->inst);
    int r;

    if (str_eq(h->from_version, h->to_version))
        return err_set(err, ERR_STATE, "version %s is there already", h->to_version);
    if ((r = check_link(u, SLOTS_CURRENT, "current", err)) < 0)
        return r;
    r = check_link(u, SLOTS_PROVEN, "proven", err);
    if (r == ERR_NOT_FOUND) /* what runs, and gave the order, is what there is to go back to */
        r = slots_point(&u->slots, SLOTS_PROVEN, h->from_version, err);
    return r < 0 ? r : slots_verify(&u->slots, h->to_version, err);
}

/* ---- links ---- */

static int point_forward(struct updater *u, struct err *err)
{
    const char *to = handover_of(&u->inst)->to_version;
    int r = slots_verify(&u->slots, to, err); /* it may have been a while since the last look */

    return r < 0 ? r : slots_point(&u->slots, SLOTS_CURRENT, to, err);
}

int effect_point_back(struct updater *u, struct err *err)
{
    const char *from = handover_of(&u->inst)->from_version;
    char version[SLOTS_VERSION_SIZE];

    if (slots_get(&u->slots, SLOTS_PROVEN, version, NULL) == 0 &&
        slots_point(&u->slots, SLOTS_CURRENT, version, err) == 0)
        return 0;
    return slots_point(&u->slots, SLOTS_CURRENT, from, err);
}

static void log_once(const char *what, const struct err *err, char *said, size_t size)
{
    if (str_eq(said, err->text))
        return;
    log_error("%s; it is tried again: %s", what, err->text);
    (void)str_copy(said, size, err->text); /* as large */
}

static void perform_point(struct updater *u, bool is_new)
{
    int64_t limit_ms = u->order.deadline_ms > 0 && u->order.deadline_ms < POINT_MS
                           ? u->order.deadline_ms
                           : POINT_MS;
    int64_t give_up_us = clock_monotonic_us() + limit_ms * 1000, wait_ms = FIRST_RETRY_MS;
    char said[sizeof(((struct err *)0)->text)] = "";
    struct err err;
    int r;

    while ((r = is_new ? point_forward(u, &err) : effect_point_back(u, &err)) < 0) {
        if (is_new && (err_class_of(r) != ERR_CLASS_RETRY || clock_monotonic_us() > give_up_us)) {
            (void)handover_decide(u, HANDOVER_EV_FAILED, err.text);
            return;
        }
        log_once(is_new ? "the new version cannot be switched to" : "there is no way back yet",
                 &err, said, sizeof(said));
        pause_longer(&wait_ms);
    }
    crashpoint("updater.effect.after");
    (void)handover_decide(u, HANDOVER_EV_POINTED, NULL);
}

static void perform_settle(struct updater *u)
{
    const struct handover *h = handover_of(&u->inst);
    char said[sizeof(((struct err *)0)->text)] = "";
    int64_t wait_ms = FIRST_RETRY_MS;
    struct err err;

    /* By what the record says, not by what the links say: one of them may have moved already. */
    while (slots_point(&u->slots, SLOTS_PREVIOUS, h->from_version, &err) < 0 ||
           slots_point(&u->slots, SLOTS_PROVEN, h->to_version, &err) < 0) {
        log_once("the proven version cannot be noted", &err, said, sizeof(said));
        pause_longer(&wait_ms);
    }
    crashpoint("updater.effect.after");
    (void)handover_decide(u, HANDOVER_EV_SETTLED, NULL);
}

/* ---- the agent ---- */

static void perform_restart(struct updater *u, bool is_new)
{
    struct err err;
    int n, r = ERR_SYSTEM;

    for (n = 0; n < RESTART_TRIES && (r = restart_agent(u, !is_new, &err)) < 0; n++)
        log_warning("the agent was not restarted: %s", err.text);
    crashpoint("updater.effect.after");
    (void)handover_decide(u, r < 0 ? HANDOVER_EV_FAILED : HANDOVER_EV_RESTARTED,
                          r < 0 ? err.text : NULL);
}

static void perform_watch(struct updater *u, bool is_new)
{
    char text[sizeof(handover_of(&u->inst)->cause)] = "";
    enum handover_event ev;

#ifdef SSMD_BREAK_SETTLE_BEFORE_PROVEN /* negative control */
    if (is_new)
        (void)!slots_point(&u->slots, SLOTS_PROVEN, handover_of(&u->inst)->to_version, NULL);
#endif
    ev = watch_agent(u, is_new, text, sizeof(text));

    if (ev == HANDOVER_EV_OVERDUE && is_new)
        log_warning("%s", text);
    crashpoint("updater.effect.after");
    (void)handover_decide(u, ev, text);
}

void effect_perform(struct updater *u, const struct fsm_effect *fx)
{
    bool is_new = fx->arg != 0;

    crashpoint("updater.effect.before");
    switch ((enum handover_effect)fx->kind) {
    case HANDOVER_FX_POINT:
        perform_point(u, is_new);
        break;
    case HANDOVER_FX_RESTART:
        perform_restart(u, is_new);
        break;
    case HANDOVER_FX_WATCH:
        perform_watch(u, is_new);
        break;
    case HANDOVER_FX_SETTLE:
        perform_settle(u);
        break;
    case HANDOVER_N_EFFECTS:
        break;
    }
}
