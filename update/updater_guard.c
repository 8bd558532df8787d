/* Before each start of the agent: is there something to start, and is this one start too many? The
 * last line of defence: it needs nobody else to be alive, and never stands in the way of a start.
 */
#define LOG_MODULE "guard"
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crashpoint.h"
#include "base/log.h"
#include "base/str.h"
#include "update/updater_internal.h"

/* Somebody removed the link, or what it leads to. */
static void mend_current(struct updater *u)
{
    char version[SLOTS_VERSION_SIZE], program[SLOTS_VERSION_SIZE + 16];
    struct stat st;
    struct err err;
    int r = slots_get(&u->slots, SLOTS_CURRENT, version, &err);

    if (r == 0) {
        (void)snprintf(program, sizeof(program), "%s/bin/ssmd", version);
        if (fstatat(u->slots.versions_fd, program, &st, 0) == 0)
            return;
        (void)err_set(&err, ERR_NOT_FOUND, "version %s has no bin/ssmd", version);
    }
    if (slots_get(&u->slots, SLOTS_PROVEN, version, NULL) < 0) {
        log_error("nothing can be started: %s, and no version has proven itself", err.text);
        return;
    }
    log_error("%s: version %s has proven itself and is started", err.text, version);
    if (r == ERR_CORRUPT && unlinkat(u->slots.dir_fd, "current", 0) < 0)
        log_error("what stands in the place of the link cannot be removed");
    if (slots_point(&u->slots, SLOTS_CURRENT, version, &err) < 0)
        log_error("%s", err.text);
}

/* The start that is about to happen is the restart that the way back needs. */
static void start_back(struct updater *u)
{
    struct err err;

    if (u->inst.state == HANDOVER_REVERTING) {
        if (effect_point_back(u, &err) < 0) {
            log_error("there is no way back yet: %s", err.text);
            return;
        }
        crashpoint("guard.pointed");
        (void)handover_decide(u, HANDOVER_EV_POINTED, NULL);
    }
    if (u->inst.state != HANDOVER_RESTARTING_BACK)
        return;
    if (restart_clear(u, &err) < 0 || agent_add_start(u, &err) < 0)
        log_warning("%s", err.text);
    (void)handover_decide(u, HANDOVER_EV_RESTARTED, NULL);
}

static void go_back(struct updater *u, int64_t n_starts)
{
    char ended[128], text[sizeof(((struct handover *)0)->cause)];

    agent_describe_end(u, ended, sizeof(ended));
    (void)snprintf(text, sizeof(text),
                   "version %s was started %lld times and did not stay%s%s (ssmd-updater did not "
                   "live to see it)",
                   handover_of(&u->inst)->to_version, (long long)n_starts - 1,
                   ended[0] != '\0' ? ": " : "", ended);
    handover_turn_back(u, text);
}

static void act(struct updater *u, int64_t n_starts)
{
    struct err err;
    int r = handover_lock(u, 0, &err);

    if (r == ERR_BUSY)
        return; /* the updater lives: it sees the same */
    if (r == 0)
        r = handover_load(u, &err);
    if (r < 0) {
        log_warning("%s", err.text);
    } else {
        if (n_starts > HANDOVER_MAX_STARTS && handover_is_forward(&u->inst))
            go_back(u, n_starts);
        start_back(u);
    }
    handover_unlock(u);
}

void guard_before_start(struct updater *u)
{
    struct fsm_instance progress;
    struct err err;
    int64_t n_starts;
    bool is_back;
    int r;

    u->is_hurried = true;
    mend_current(u);
    r = handover_read_progress(u->update_fd, &progress, &err);
    if (r == ERR_NOT_FOUND)
        return;
    if (r == 0) {
        bool is_open = handover_is_open(&progress);

        is_back =
            progress.state == HANDOVER_REVERTING || progress.state == HANDOVER_RESTARTING_BACK;
        fsm_instance_done(&progress);
        if (!is_open)
            return;
    } else {
        log_error("%s", err.text);
        is_back = true; /* where it was is not known: back is right */
    }
    if (agent_add_start(u, &err) < 0)
        log_warning("this start is not counted: %s", err.text);
    n_starts = agent_count_starts(u);
    crashpoint("guard.before");
    if (is_back || n_starts > HANDOVER_MAX_STARTS)
        act(u, n_starts);
    crashpoint("guard.after");
}

int verb_guard(const struct updater_options *o)
{
    struct updater u;
    struct err err;

    if (updater_open(&u, o->root, false, &err) == 0)
        guard_before_start(&u);
    else if (err.code != ERR_NOT_FOUND)
        log_warning("%s", err.text);
    updater_close(&u);
    return UPDATER_OK; /* the start goes on, whatever this was worth */
}

int verb_note_end(const struct updater_options *o)
{
    const char *how = getenv("EXIT_CODE"), *status = getenv("EXIT_STATUS");
    struct updater u;
    struct err err;

    if (how != NULL && status != NULL && updater_open(&u, o->root, false, &err) == 0) {
        agent_note_end(&u, how, status);
        updater_close(&u);
    }
    return UPDATER_OK;
}
