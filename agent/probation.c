/* A record of health, renewed every second for as long as an update is open. */
#define LOG_MODULE "probation"
#include "agent/probation.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/proctree.h"
#include "base/str.h"
#include "base/version.h"
#include "fsm/handover.h"

#define TELL_MS 1000

struct probation {
    uv_timer_t timer; /* its close frees the struct */
    int dirfd;        /* owned */
    struct handover_health health;
    void (*look)(void *ctx, struct handover_health *ret_health);
    void *ctx;
    bool is_closing, has_failed;
};

/* An order that nothing was done for yet is open too: the agent may be starting for any reason. */
static bool is_open(int dirfd)
{
    struct handover_order order;
    struct fsm_instance progress;
    bool is_over;

    if (handover_read_order(dirfd, &order, NULL) < 0)
        return false;
    if (handover_read_progress(dirfd, &progress, NULL) < 0)
        return true;
    is_over = str_eq(progress.id, order.id) && !handover_is_open(&progress);
    fsm_instance_done(&progress);
    return !is_over;
}

static void on_closed(uv_handle_t *handle)
{
    struct probation *p = container_of((uv_timer_t *)(void *)handle, struct probation, timer);

    close_fd_cleanup(&p->dirfd);
    free(p);
}

void probation_close(struct probation *p)
{
    if (p == NULL || p->is_closing)
        return;
    p->is_closing = true;
    uv_close((uv_handle_t *)&p->timer, on_closed);
}

/* What was reached once counts: an outage that begins later is not of this version. */
static void look(struct probation *p)
{
    struct handover_health *h = &p->health, now = {.has_journal = false};

    p->look(p->ctx, &now);
    h->has_journal |= now.has_journal;
    h->has_steps |= now.has_steps;
    h->has_service |= now.has_service;
    (void)str_copy(h->lacking, sizeof(h->lacking), now.lacking); /* as large */
    if (h->has_journal && h->has_steps && h->has_service)
        h->lacking[0] = '\0';
}

static void write_down(struct probation *p)
{
    struct err err;

    p->health.at_boottime_ms = clock_boottime_ms();
    if (handover_write_health(p->dirfd, &p->health, &err) == 0) {
        p->has_failed = false;
        return;
    }
    if (!p->has_failed)
        log_error("ssmd-updater cannot be told that this version is well: %s", err.text);
    p->has_failed = true;
}

static void tell(struct probation *p)
{
    look(p);
    write_down(p);
}

void probation_fail(struct probation *p, const char *why)
{
    if (p == NULL)
        return;
    (void)str_copy(p->health.failed, sizeof(p->health.failed), why); /* may be cut */
    write_down(p); /* nobody may be there to be looked at */
}

/* What the process before has said stands until it is known better. */
static void inherit(struct probation *p)
{
    struct handover_health before;

    if (handover_read_health(p->dirfd, &before, NULL) == 0 &&
        str_eq(before.version, p->health.version))
        (void)str_copy(p->health.failed, sizeof(p->health.failed), before.failed); /* as large */
}

static void on_timer(uv_timer_t *timer)
{
    struct probation *p = container_of(timer, struct probation, timer);

    if (is_open(p->dirfd)) {
        tell(p);
        return;
    }
    log_info("the update is over: version %s stays", p->health.version);
    (void)uv_timer_stop(timer); /* closed with the rest */
}

static int know_self(struct handover_health *h, const char *boot_id, struct err *err)
{
    struct proc self = {0};
    int r = proc_read(getpid(), &self, err);

    if (r < 0)
        return r;
    (void)str_copy(h->version, sizeof(h->version), ssmd_version); /* both fit */
    (void)str_copy(h->boot_id, sizeof(h->boot_id), boot_id);
    h->pid = self.pid;
    h->pid_start = (int64_t)self.start_time;
    h->since_boottime_ms = clock_boottime_ms();
    return 0;
}

int probation_new(const struct probation_options *o, struct probation **ret_probation,
                  struct err *err)
{
    AUTO(close_fd) int dirfd = -1;
    AUTO(free) struct probation *p = NULL;

    *ret_probation = NULL;
    if (fs_open_dir(AT_FDCWD, o->paths->update_dir, &dirfd, NULL) < 0 || !is_open(dirfd))
        return 0;
    p = calloc(1, sizeof(*p));
    if (p == NULL)
        return err_set(err, ERR_NOMEM, "probation: out of memory");
    *p = (struct probation){.dirfd = -1, .look = o->look, .ctx = o->ctx};
    if (know_self(&p->health, o->boot_id, err) < 0)
        return err_wrap(err, "probation");
    p->dirfd = TAKE_FD(dirfd);
    inherit(p);
    log_info("an update is open: version %s tells of its health", ssmd_version);
    tell(p);
    (void)uv_timer_init(o->loop, &p->timer); /* neither can fail */
    (void)uv_timer_start(&p->timer, on_timer, TELL_MS, TELL_MS);
    *ret_probation = TAKE(p);
    return 0;
}

void probation_check_program(const struct paths *paths)
{
    AUTO(slots_done) struct slots slots = {.dir_fd = -1, .versions_fd = -1};
    char own[SLOTS_VERSION_SIZE], current[SLOTS_VERSION_SIZE];
    struct err err;

    if (slots_open(paths->slots_dir, false, &slots, NULL) < 0 ||
        slots_get(&slots, SLOTS_CURRENT, current, NULL) < 0)
        return;
    if (slots_own_version(&slots, own, &err) < 0)
        log_warning("this program is not the one in %s/current, which is version %s: %s",
                    paths->slots_dir, current, err.text);
    else if (!str_eq(own, current))
        log_warning("version %s runs, and %s/current leads to version %s: whoever starts ssmd "
                    "should start that",
                    own, paths->slots_dir, current);
}
