/* The handover machine and its record: decide, write it down, then do it. */
#define LOG_MODULE "updater"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/crashpoint.h"
#include "base/log.h"
#include "base/str.h"
#include "update/updater_internal.h"

#define FIRST_RETRY_MS 100
#define LAST_RETRY_MS 5000
#define BACK_WAIT_MS 3000 /* a record that cannot be written keeps nobody on a bad version */

int handover_lock(struct updater *u, int64_t wait_ms, struct err *err)
{
    AUTO(close_fd)
    int fd = openat(u->update_fd, HANDOVER_LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    int64_t give_up_us = clock_monotonic_us() + wait_ms * 1000;
    char text[24];
    int n;

    if (fd < 0)
        return err_sys(err, ERR_IO, errno, "open %s", HANDOVER_LOCK);
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return err_sys(err, ERR_IO, errno, "lock %s", HANDOVER_LOCK);
        if (clock_monotonic_us() > give_up_us)
            return err_set(err, ERR_BUSY, "another process works on the order");
        updater_pause_ms(20);
    }
    n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) < 0)
        log_warning("%s: our pid cannot be written: %s", HANDOVER_LOCK, strerror(errno));
    u->lock_fd = TAKE_FD(fd);
    return 0;
}

void handover_unlock(struct updater *u)
{
    close_fd_cleanup(&u->lock_fd);
    u->lock_fd = -1;
}

/* ---- writing ---- */

/* What the machine has decided, on the disk. Where it can wait it waits for as long as the disk
 * refuses; on the way back only for a moment: what is done then is done again after a death too. */
static void persist(struct updater *u)
{
    bool can_wait =
        !u->is_hurried && (!handover_is_open(&u->inst) || u->inst.state == HANDOVER_POINTING ||
                           u->inst.state == HANDOVER_SETTLING);
    int64_t give_up_us = clock_monotonic_us() + BACK_WAIT_MS * INT64_C(1000);
    int64_t wait_ms = FIRST_RETRY_MS;
    struct err err;
    bool was_told = false;

    crashpoint("updater.progress.before");
    while (handover_write_progress(u->update_fd, &u->inst, &err) < 0) {
        if (!was_told)
            log_error("the record of %s cannot be written: %s", fsm_state_name(&u->inst), err.text);
        was_told = true;
        if (!can_wait && clock_monotonic_us() > give_up_us) {
            log_error("going on without it");
            return;
        }
        updater_pause_ms(wait_ms);
        wait_ms = wait_ms * 2 < LAST_RETRY_MS ? wait_ms * 2 : LAST_RETRY_MS;
    }
    crashpoint("updater.progress.after");
}

static void give_ids(struct fsm_instance *inst, struct fsm_out *out)
{
    size_t i;

    for (i = 0; i < out->n_opens; i++) /* the n-th transition opens no more than this many */
        out->opens[i].id = inst->n_transitions * 16 + (int64_t)i + 1;
}

static void arm(struct updater *u, int64_t after_ms)
{
    struct fsm_deadline *d = &u->inst.deadline;

    if (after_ms == FSM_KEEP_DEADLINE)
        return;
    *d = (struct fsm_deadline){.after_ms = after_ms};
    if (after_ms > 0) {
        (void)str_copy(d->boot_id, sizeof(d->boot_id), u->boot_id); /* as large */
        d->boottime_ms = clock_boottime_ms() + after_ms;
    }
}

/* The open effect that this event completes, or 0. */
static int64_t completed_by(const struct fsm_instance *inst, enum handover_event kind)
{
    size_t i;

    for (i = 0; i < inst->n_effects; i++)
        if (inst->machine->effects[inst->effects[i].kind].done == (int)kind)
            return inst->effects[i].id;
    return 0;
}

static enum fsm_verdict decide(struct updater *u, enum handover_event kind, const char *text,
                               struct fsm_out *out)
{
    struct fsm_event ev = {.kind = (uint8_t)kind,
                           .effect_id = completed_by(&u->inst, kind),
                           .at_unix_ms = clock_wall_ms(),
                           .boot_id = u->boot_id,
                           .detail = text};

    return fsm_step(&u->inst, &ev, out);
}

bool handover_decide(struct updater *u, enum handover_event kind, const char *text)
{
    const char *before = fsm_state_name(&u->inst);
    struct fsm_out out = {0};
    enum fsm_verdict verdict = decide(u, kind, text, &out);
    bool has_moved;

    if (verdict == FSM_RUNAWAY) {
        kind = HANDOVER_EV_RUNAWAY;
        verdict = decide(u, kind, NULL, &out);
    }
    has_moved = verdict == FSM_MOVED;
    if (has_moved) {
        give_ids(&u->inst, &out);
        arm(u, out.deadline_ms);
        if (fsm_adopt(&u->inst, &out) < 0) {
            log_error("out of memory"); /* the record knows the state before; who is next goes on */
            _exit(UPDATER_SYSTEM);
        }
        log_info("%s: %s --%s--> %s%s%s", u->inst.id, before, u->inst.machine->events[kind],
                 fsm_state_name(&u->inst), out.detail[0] != '\0' ? " " : "", out.detail);
#ifdef SSMD_BREAK_PROGRESS_AFTER_EFFECT /* negative control */
        if (u->inst.state == HANDOVER_RESTARTING)
            (void)!restart_agent(u, false, NULL);
#endif
        persist(u);
    }
    fsm_out_done(&out);
    return has_moved;
}

/* ---- reading ---- */

static int begin(struct updater *u, const char *id, const char *from, const char *to,
                 struct err *err)
{
    struct handover *h;
    int r = fsm_instance_init(&u->inst, &handover_machine, id, 0, clock_wall_ms(), err);

    if (r < 0)
        return r;
    h = handover_of(&u->inst);
    (void)str_copy(h->update, sizeof(h->update), id); /* all of them are as large */
    (void)str_copy(h->from_version, sizeof(h->from_version), from);
    (void)str_copy(h->to_version, sizeof(h->to_version), to);
    h->deadline_ms = u->order.deadline_ms;
    h->is_service_away = u->order.is_service_away;
    h->outage_ms = u->order.outage_ms;
    return 0;
}

/* The order is gone or damaged, and something is open: it ends where it began. */
static void stand_in_order(struct updater *u)
{
    const struct handover *h = handover_of(&u->inst);
    struct handover_order *o = &u->order;

    *o = (struct handover_order){.proving_ms = 60000, .deadline_ms = h->deadline_ms};
    (void)str_copy(o->id, sizeof(o->id), u->inst.id); /* all of them are as large */
    (void)str_copy(o->from, sizeof(o->from), h->from_version);
    (void)str_copy(o->to, sizeof(o->to), h->to_version);
    (void)str_copy(o->pid_file, sizeof(o->pid_file), u->paths.pid_file);
}

void handover_turn_back(struct updater *u, const char *why)
{
    if (u->inst.state == HANDOVER_ORDERED)
        (void)handover_decide(u, HANDOVER_EV_BEGIN, NULL); /* so that it is a way back */
    /* Each of the states forward takes one of the two. */
    if (handover_is_forward(&u->inst) && !handover_decide(u, HANDOVER_EV_FAILED, why))
        (void)handover_decide(u, HANDOVER_EV_UNHEALTHY, why);
}

/* A deadline of another boot runs anew: nobody watched meanwhile. */
static void rearm(struct updater *u)
{
    if (u->inst.deadline.after_ms > 0 && !str_eq(u->inst.deadline.boot_id, u->boot_id))
        arm(u, u->inst.deadline.after_ms);
}

/* Who wrote it may have died because, or while, its sync failed. Then it is what programs read, and
 * no later sync says that the disk has it: only writing it again does. Before anything is done that
 * it announces. */
static void renew(struct updater *u)
{
#ifndef SSMD_BREAK_PROGRESS_BELIEVED /* negative control: row R6 must notice */
    if (u->inst.state != HANDOVER_ORDERED)
        persist(u);
#else
    (void)u;
#endif
}

static int load_without_order(struct updater *u, const struct err *why, struct err *err)
{
    int r = handover_read_progress(u->update_fd, &u->inst, err);
    char text[300];

    if (r == 0 && handover_is_open(&u->inst)) {
        stand_in_order(u);
        rearm(u);
        renew(u);
        (void)snprintf(text, sizeof(text), "the order cannot be read any more: %.200s", why->text);
        handover_turn_back(u, text);
        return 0;
    }
    *err = *why;
    return why->code;
}

int handover_load(struct updater *u, struct err *err)
{
    struct err why;
    int r;

    fsm_instance_done(&u->inst);
    u->inst.machine = NULL;
    r = handover_read_order(u->update_fd, &u->order, &why);
    if (r < 0)
        return load_without_order(u, &why, err);
    if (u->order.boot_id_file[0] != '\0' &&
        clock_read_boot_id(u->order.boot_id_file, u->boot_id, &why) < 0)
        log_warning("%s; going on with the kernel's", why.text); /* nobody is stranded for that */
    r = handover_read_progress(u->update_fd, &u->inst, &why);
    if (r == ERR_CORRUPT || r == ERR_NEWER) {
        /* Where it was is not known; the way back is the same from everywhere. */
        log_error("%s: %s", u->order.id, why.text);
        if ((r = begin(u, u->order.id, u->order.from, u->order.to, err)) == 0)
            handover_turn_back(u, why.text);
        return r;
    }
    if (r < 0 && r != ERR_NOT_FOUND) {
        *err = why;
        return r;
    }
    if (r == 0 && (handover_is_open(&u->inst) || str_eq(u->inst.id, u->order.id))) {
        rearm(u);
        renew(u);
        return 0; /* an older one that is open still is ended first */
    }
    fsm_instance_done(&u->inst);
    return begin(u, u->order.id, u->order.from, u->order.to, err);
}
