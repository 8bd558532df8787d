/* The `update` machine: one update of this agent (spec 06; docs/internals/update.md). It may be a
 * step of a command (aws:updateSsmAgent), asked for by an operator, or by the clock. Until *staged*
 * nothing that runs has changed; from *switching* on ssmd-updater acts, and what its record says
 * comes as events, to whichever version runs by then. Where a package manager owns the programs and
 * may be driven, *chosen* to *restarting* stand in place of *fetched* to *rolled back*: it is asked
 * for that version below a runner, which outlives the restart that the package does.
 *
 * A step's update ends with its parent's step in one transaction, as nested documents do. */
#ifndef SSMD_FSM_UPDATE_H
#define SSMD_FSM_UPDATE_H

#include "fsm/fsm.h"

enum update_state {
    UPDATE_NEW,
    UPDATE_RECEIVED,   /* metadata and package are fetched */
    UPDATE_FETCHED,    /* ... and verified again, from the disk */
    UPDATE_VERIFIED,   /* ... and unpacked into a slot */
    UPDATE_STAGED,     /* waits for the service to be in reach, or for a safe moment, when asked */
    UPDATE_CHOSEN,     /* ... likewise, where a package manager is to install the version */
    UPDATE_INSTALLING, /* the package manager works, or is about to */
    UPDATE_STOPPING,   /* ... and is asked not to begin, if it has not */
    UPDATE_CHECKING,   /* which version is there now is looked at */
    UPDATE_RESTARTING, /* the version wanted is there; it is to be the one that runs */
    UPDATE_SWITCHING,
    UPDATE_PROVING,
    UPDATE_COMMITTED, /* its outcome is told */
    UPDATE_ROLLING_BACK,
    UPDATE_ROLLED_BACK, /* likewise */
    UPDATE_FAILED,      /* likewise; nothing was changed, unless it says so */
    UPDATE_SKIPPED,     /* likewise; there was nothing to do */
    UPDATE_DONE,
    UPDATE_N_STATES
};

enum update_event {
    UPDATE_EV_BEGIN,   /* from its maker: opens the first effect */
    UPDATE_EV_FETCHED, /* detail: const struct update_choice * */
    UPDATE_EV_VERIFIED,
    UPDATE_EV_STAGED,
    UPDATE_EV_SKIP,     /* detail: const struct update_reason * */
    UPDATE_EV_FAILED,   /* detail: const struct update_reason * */
    UPDATE_EV_READY,    /* the moment is good */
    UPDATE_EV_SWITCHED, /* the updater has switched, and watches */
    UPDATE_EV_COMMITTED,
    UPDATE_EV_REVERTING, /* detail: const char *text, the cause */
    UPDATE_EV_REVERTED,  /* detail: const struct update_reason * */
    UPDATE_EV_PACKAGED,  /* the package manager has ended; detail: const char *text, its words */
    UPDATE_EV_LOST,      /* nobody saw its end, or that of the look; detail likewise */
    UPDATE_EV_STOPPED,   /* it was not begun */
    UPDATE_EV_CONFIRMED, /* the version wanted is installed */
    UPDATE_EV_BROKEN, /* something else than before is there; detail: const struct update_reason *
                       */
    UPDATE_EV_RESTARTED, /* ... and runs */
    UPDATE_EV_CANCEL,
    UPDATE_EV_OVERDUE,
    UPDATE_EV_TOLD, /* its outcome is with whoever asked */
    UPDATE_EV_RUNAWAY,
    UPDATE_N_EVENTS
};

enum update_effect {
    UPDATE_FX_FETCH,   /* ssmd-stager */
    UPDATE_FX_VERIFY,  /* ssmd-stager */
    UPDATE_FX_STAGE,   /* ssmd-stager */
    UPDATE_FX_AWAIT,   /* a good moment */
    UPDATE_FX_SWITCH,  /* order synced, ssmd-updater started; then its record is followed to its end
                        */
    UPDATE_FX_INSTALL, /* the package manager, below a runner; arg: step, arg2: attempt of its
                          directory, as of the next two */
    UPDATE_FX_STOP,    /* INSTALL is asked not to begin */
    UPDATE_FX_LOOK,    /* which version is there, below a runner */
    UPDATE_FX_RESTART, /* by the service manager, unless the package has done it */
    UPDATE_FX_TELL,    /* the outcome: to the parent's step, and as AgentStatus to the service */
    UPDATE_N_EFFECTS
};

enum update_way { UPDATE_BY_COMMAND, UPDATE_BY_OPERATOR, UPDATE_BY_CLOCK };

struct update {
    int64_t way;                 /* enum update_way */
    char parent_id[FSM_ID_SIZE]; /* "": nobody's step */
    int64_t parent_unit, parent_attempt;
    char agent_name[128];
    char asked[64];   /* "", "latest", "stable", or a version */
    char manager[16]; /* apt-get, dnf, yum or zypper installs it; "": a slot is switched */
    int64_t allow_downgrade, is_forced;
    int64_t wait_ms; /* how long it waits for a safe moment at most; 0: it does not */
    int64_t proving_ms, deadline_ms;
    char from_version[64], to_version[64];
    char url[1024], sha256[65];
    int64_t length_bytes, manifest_version, root_version;
    char status[20]; /* the step's, once it is over: Success, Failed, Cancelled */
    char code[64];   /* of spec 06, section 13 */
    char text[400];
    int64_t is_changed; /* it failed, and the machine is not as it was */
};

struct update_choice {
    const char *to_version, *url, *sha256;
    int64_t length_bytes, manifest_version, root_version;
};

struct update_reason {
    const char *code, *text;
    int64_t manifest_version; /* that was believed before; 0: none */
};

/* Before the switch the service may be waited for so long: then the update fails. */
#define UPDATE_SERVICE_WAIT_MS (INT64_C(30) * 60 * 1000)
/* The package manager has so long to begin (its lists are refreshed, its lock is waited for), and
 * so long in all. */
#define UPDATE_BEGIN_MS (INT64_C(15) * 60 * 1000)
#define UPDATE_INSTALL_MS (INT64_C(60) * 60 * 1000)
#define UPDATE_LOOK_LIMIT_MS (INT64_C(2) * 60 * 1000)
enum { UPDATE_STEP_INSTALL, UPDATE_STEP_LOOK }; /* directories below that of the update */

extern const struct fsm_machine update_machine;

static inline struct update *update_of(const struct fsm_instance *inst)
{
    return inst->data;
}

/* "u<unit>.<attempt>-<parent's id>": known before it is made, so that a restart can ask for it.
 * False: it would be too long. */
bool update_child_id(const char *parent_id, int64_t unit, int64_t attempt,
                     char ret_id[FSM_ID_SIZE]);

static inline bool update_is_managed(const struct fsm_instance *inst)
{
    return update_of(inst)->manager[0] != '\0';
}

/* A version may have been switched to: only the updater's record knows. */
static inline bool update_is_switching(const struct fsm_instance *inst)
{
    return inst->state == UPDATE_SWITCHING || inst->state == UPDATE_PROVING ||
           inst->state == UPDATE_ROLLING_BACK;
}

#endif
