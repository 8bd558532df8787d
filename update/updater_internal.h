/* Inside of ssmd-updater: what its verbs share. libc only, one thread, nothing of the version that
 * it watches. */
#ifndef SSMD_UPDATE_UPDATER_INTERNAL_H
#define SSMD_UPDATE_UPDATER_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/paths.h"
#include "base/proctree.h"
#include "fsm/handover.h"
#include "update/handover_files.h"
#include "update/slots.h"

#define UPDATER_OK 0
#define UPDATER_NO 1          /* it cannot be done, and will not be able to */
#define UPDATER_USAGE 100     /* the command line is not understood */
#define UPDATER_SYSTEM 111    /* a failure of the system: try again */
#define UPDATER_ENDED "ended" /* how the agent ended last: for the text of a cause */
#define UPDATER_CHILD "child" /* the process that our supervisor has started as the agent */

struct updater {
    struct paths paths;
    struct slots slots; /* owned */
    int update_fd;      /* owned: <state>/update */
    int lock_fd;        /* owned; -1: not held */
    bool is_hurried;    /* the agent's start waits: nothing is waited for without end */
    char boot_id[BOOT_ID_SIZE];
    struct handover_order order;
    struct fsm_instance inst; /* owned; .machine is NULL while nothing is under way */
};

/* ---- updater.c ---- */

/* Open everything. ERR_NOT_FOUND: no slots, or no update directory (is made when `may_make`). On
 * success, and on failure, updater_close(). */
int updater_open(struct updater *u, const char *root, bool may_make, struct err *err) MUST_CHECK;
void updater_close(struct updater *u);

/* ---- updater_handover.c: the machine and its record ---- */

/* The order's lock, with our pid in it. ERR_BUSY: somebody else works on the order, and has done so
 * for `wait_ms`: who only looks whether it is held lets go at once. */
int handover_lock(struct updater *u, int64_t wait_ms, struct err *err) MUST_CHECK;
void handover_unlock(struct updater *u);
/* Order and progress as they are; a fresh instance where none has begun. What cannot be read any
 * more leads back. ERR_NOT_FOUND: nothing is open. ERR_CORRUPT, ERR_NEWER: an order that nothing
 * was done for. */
int handover_load(struct updater *u, struct err *err) MUST_CHECK;
/* Decide, and write down what was decided before it is done: again and again where the machine can
 * wait, for a moment only where it has to go back. False: the event is not for this state. */
bool handover_decide(struct updater *u, enum handover_event kind, const char *text);
/* From a state in which `current` may lead to the new version, back. */
void handover_turn_back(struct updater *u, const char *why);
/* Whether `current` may have to be turned back. */
static inline bool handover_is_forward(const struct fsm_instance *inst)
{
    return inst->state == HANDOVER_POINTING || inst->state == HANDOVER_RESTARTING ||
           inst->state == HANDOVER_PROVING;
}

/* ---- updater_effects.c ---- */

/* May the order be begun? The slots are as it says, and whole. */
int effect_check(struct updater *u, struct err *err) MUST_CHECK;
/* Perform it until it is done or cannot be done; then decide. */
void effect_perform(struct updater *u, const struct fsm_effect *fx);
/* `current` to where a way back leads; one try. */
int effect_point_back(struct updater *u, struct err *err) MUST_CHECK;

/* ---- updater_restart.c ---- */

/* End the agent and see another one begin. The record of health and the count of starts are begun
 * anew; on the way back it goes on without that. ERR_TIMEOUT, ERR_SYSTEM say what did not come. */
int restart_agent(struct updater *u, bool is_back, struct err *err) MUST_CHECK;
/* What the agent before has left for the watch is gone. */
int restart_clear(struct updater *u, struct err *err) MUST_CHECK;

/* ---- updater_watch.c ---- */

/* Watch until there is an event to decide; returns it, with its text. */
enum handover_event watch_agent(struct updater *u, bool is_new, char *ret_text, size_t size);

/* ---- updater_judge.c: pure ---- */

/* What the watch sees at one moment. */
struct watch_view {
    const char *version;  /* that should run */
    bool is_new;          /* ... on probation; else the old one, which has to come up only */
    bool is_service_away; /* it was before the switch */
    bool is_overdue;
    bool has_health, is_alive; /* a record; of a process that lives, in this boot */
    bool is_running;           /* somebody holds the agent's pid file */
    struct handover_health health;
    int64_t n_starts, alive_ms, silent_ms, rss_bytes;
    int64_t proving_ms, deadline_ms, max_rss_bytes;
    const char *ended; /* how it ended last, in words, or "" */
};
enum watch_verdict { WATCH_GO_ON, WATCH_PROVEN, WATCH_UNHEALTHY, WATCH_OVERDUE };
enum watch_verdict watch_judge(const struct watch_view *v, char *ret_text, size_t size);

/* ---- updater_agent.c: the agent, seen from outside ---- */

/* Who holds the lock of this file, whose pid it names. ERR_NOT_FOUND: nobody. */
int agent_lock_holder(int dirfd, const char *path, struct proc *ret_holder, struct err *err)
    MUST_CHECK;
/* The agent's process: who holds the lock of its pid file, or who was started as the agent by our
 * supervisor and has not come so far. ERR_NOT_FOUND: there is none. */
int agent_find(const struct updater *u, const char *pid_file, struct proc *ret_agent,
               struct err *err) MUST_CHECK;
/* Our supervisor has started it. Best effort: it is for who hangs before it holds its lock. */
void agent_note_child(const struct updater *u, pid_t pid);
int64_t agent_rss_bytes(pid_t pid); /* 0: not known */
/* By CLOCK_BOOTTIME; up to a tick (10 ms) before it did. */
int64_t agent_began_ms(const struct proc *p);
/* Starts since the count was begun, 0 without one. */
int64_t agent_count_starts(const struct updater *u);
int agent_reset_starts(const struct updater *u, struct err *err) MUST_CHECK;
int agent_add_start(const struct updater *u, struct err *err) MUST_CHECK;
/* How it ended, as systemd says it: "exited", "killed" or "dumped" and a number or a name. */
void agent_note_end(const struct updater *u, const char *how, const char *status);
void agent_describe_end(const struct updater *u, char *ret_text, size_t size);

/* ---- verbs; each returns the exit status ---- */

struct updater_options {
    const char *root, *from;
    bool is_json, has_unit;
    char **rest; /* behind "--"; ends with NULL */
};
int verb_switch(const struct updater_options *o);
int verb_guard(const struct updater_options *o);
int verb_note_end(const struct updater_options *o);
int verb_supervise(const struct updater_options *o);
int verb_status(const struct updater_options *o);
int verb_install(const struct updater_options *o);

/* The units of an installation in slots: generated from packaging/. */
extern const char slot_unit_ssmd[], slot_unit_updater[];

/* Before each start of the agent: count it, and go back when it is one too many. */
void guard_before_start(struct updater *u);

/* A pause of the loop that waits for the world. */
void updater_pause_ms(int64_t ms);

#endif
