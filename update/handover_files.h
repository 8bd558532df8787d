/* The files by which ssmd, ssmd-updater and the agent on probation tell each other how an update
 * goes (docs/internals/update.md). Records of base/record.h, so that version N understands those of
 * N+1 and N-1: unknown keys are ignored, known ones never change their meaning. libc only. */
#ifndef SSMD_UPDATE_HANDOVER_FILES_H
#define SSMD_UPDATE_HANDOVER_FILES_H

#include <limits.h>
#include <stdint.h>

#include "base/clock.h"
#include "fsm/fsm.h"
#include "fsm/handover.h"
#include "update/slots.h"

#define HANDOVER_ORDER "order"       /* record kind "order" */
#define HANDOVER_PROGRESS "progress" /* record kind "progress" */
#define HANDOVER_HEALTH "health"     /* record kind "health" */
#define HANDOVER_STARTS "starts"
#define HANDOVER_LOCK "lock"
#define HANDOVER_MAX_STARTS 3
#define HANDOVER_SILENCE_MS 30000 /* a health record that is not renewed for so long: it hangs */

struct handover_order {
    char id[FSM_ID_SIZE]; /* of the update's instance in the journal */
    char from[SLOTS_VERSION_SIZE], to[SLOTS_VERSION_SIZE];
    int64_t proving_ms, deadline_ms;
    int64_t max_rss_bytes;   /* of the new agent; 0: no limit */
    bool is_service_away;    /* it was out of reach before the switch */
    int64_t outage_ms;       /* which excuses a version for so long; 0: HANDOVER_OUTAGE_MS */
    char pid_file[PATH_MAX]; /* of the agent; locked while it runs */
    char unit[128];          /* of the service manager, to be restarted; "": end the process, who
                                supervises it starts it again */
    char boot_id_file[PATH_MAX]; /* as the agent is configured; "": the kernel's */
};

/* What the agent on probation has reached; `what` it still lacks is said in words for people. */
struct handover_health {
    char version[SLOTS_VERSION_SIZE];
    char boot_id[BOOT_ID_SIZE];
    int64_t pid,
        pid_start; /* of /proc/<pid>/stat, so that a number that is used again is another one */
    int64_t since_boottime_ms, at_boottime_ms;
    bool has_journal, has_steps, has_service;
    char lacking[200];
    char failed[200]; /* why the process before this one of the same version could not start; "" */
};

/* In the directory `dirfd` (<state>/update). Writing is atomic; order is synced, health is not: it
 * tells of a process, which a power loss ends. ERR_NOT_FOUND: there is none. ERR_CORRUPT,
 * ERR_NEWER. */
int handover_write_order(int dirfd, const struct handover_order *o, struct err *err) MUST_CHECK;
int handover_read_order(int dirfd, struct handover_order *ret_order, struct err *err) MUST_CHECK;
int handover_write_health(int dirfd, const struct handover_health *h, struct err *err) MUST_CHECK;
int handover_read_health(int dirfd, struct handover_health *ret_health, struct err *err) MUST_CHECK;

/* The handover machine's instance (fsm/handover.h), all of it. Synced. On success of the read the
 * caller owns *ret_inst: fsm_instance_done(). */
int handover_write_progress(int dirfd, const struct fsm_instance *inst, struct err *err) MUST_CHECK;
int handover_read_progress(int dirfd, struct fsm_instance *ret_inst, struct err *err) MUST_CHECK;

#endif
