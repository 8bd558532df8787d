/* The `command` machine: one execution of one document (Run Command, an association's run, a local
 * job). Its children are units: one execution each of a plugin's inputs (spec 04, section 1.6).
 * Units with the same `plugin` number make one result. Decisions of spec 03 sections 7, 9, 12 and
 * spec 04 section 4 are taken here. */
#ifndef SSMD_FSM_COMMAND_H
#define SSMD_FSM_COMMAND_H

#include "fsm/fsm.h"

/* Reported for a step whose end nobody saw: the machine or its runner died under it. No script can
 * produce it. */
#define COMMAND_CODE_UNKNOWN 1000
#define COMMAND_CODE_NOT_RUN                                                                       \
    1 /* a step that was cancelled before it began (spec 03, section 12)                           \
       */
#define COMMAND_CODE_STOPPED 137
#define COMMAND_DEFAULT_MAX_REBOOTS 15

enum command_state {
    COMMAND_RECEIVED,
    COMMAND_QUEUED,
    COMMAND_RUNNING,
    COMMAND_REBOOTING,
    COMMAND_STOPPING,
    COMMAND_REPORTING,
    COMMAND_DONE,
    COMMAND_N_STATES
};

enum command_event {
    COMMAND_EV_ACCEPT, /* the document can be run; detail: const char *text about it, or NULL */
    COMMAND_EV_REJECT, /* it cannot: detail: const char *text for the service */
    COMMAND_EV_START,  /* a worker is free */
    COMMAND_EV_BEGUN,  /* the step was started long after that was promised: its time counts from
                          now */
    COMMAND_EV_EXITED, /* detail: const struct command_result * */
    COMMAND_EV_LOST, /* no evidence of the step's end; detail: const struct command_result * (text,
                        times) */
    COMMAND_EV_VOID, /* the step had not begun and now never will */
    COMMAND_EV_BOOTED, /* this is another boot than the one that was to end */
    COMMAND_EV_CANCEL,
    COMMAND_EV_TIMEOUT,  /* the step's runner did not keep its limit: ours, as a last resort */
    COMMAND_EV_OVERDUE,  /* a reboot or a stop that does not come; detail: const char *text or NULL
                          */
    COMMAND_EV_REPORTED, /* the service took the terminal reply */
    COMMAND_EV_REFUSED,  /* ... or will never take it; detail: const char *text */
    COMMAND_EV_RUNAWAY,
    COMMAND_N_EVENTS
};

enum command_effect {
    COMMAND_FX_REPLY,       /* arg: plugin number, or COMMAND_REPLY_RECEIPT, COMMAND_REPLY_SO_FAR */
    COMMAND_FX_ACKNOWLEDGE, /* the delivery */
    COMMAND_FX_SPAWN,       /* arg: unit, arg2: attempt */
    COMMAND_FX_STOP,        /* arg: unit, arg2: attempt */
    COMMAND_FX_REBOOT,
    COMMAND_FX_REPORT, /* the terminal reply */
    COMMAND_N_EFFECTS
};

#define COMMAND_REPLY_RECEIPT (-1) /* InProgress, document level (spec 03, section 6.2) */
#define COMMAND_REPLY_SO_FAR (-2)  /* SuccessAndReboot, before the reboot (section 9.3) */

/* What a document said of a unit before anything ran. */
enum command_plan { COMMAND_PLAN_RUN, COMMAND_PLAN_FAIL, COMMAND_PLAN_SKIP };
/* Control inputs of spec 04, section 4, as bits of command_unit.flow. */
#define COMMAND_FLOW_EXIT_ON_FAILURE 1
#define COMMAND_FLOW_SUCCEED_ON_FAILURE 2
#define COMMAND_FLOW_EXIT_ON_SUCCESS 4
#define COMMAND_FLOW_FINALLY 8

/* Why a unit has the status it has; text for it is made where replies are built. */
enum command_note {
    COMMAND_NOTE_NONE,
    COMMAND_NOTE_EARLIER_EXIT, /* skipped: an earlier step had an exit condition */
    COMMAND_NOTE_INTERRUPTED,  /* outcome unknown */
    COMMAND_NOTE_AFTER_LOST,   /* skipped: an earlier step's outcome is unknown */
    COMMAND_NOTE_REBOOT_CAP,   /* asked for more reboots than allowed */
    COMMAND_NOTE_NO_REBOOT,    /* the reboot it asked for did not come */
    COMMAND_NOTE_UNSTOPPABLE,  /* did not end when killed */
    COMMAND_NOTE_NOT_BEGUN,    /* cancelled before it began */
    COMMAND_NOTE_RUNAWAY,
    COMMAND_NOTE_ON_FAILURE, /* failed, and its onFailure ends the document */
};

enum command_stop { COMMAND_STOP_NONE, COMMAND_STOP_CANCEL, COMMAND_STOP_TIMEOUT };

struct command {
    char channel[16];        /* where replies go: "ec2messages", "local" */
    char document_name[160]; /* for people; cut when longer */
    char document_sha256[65];
    char output_bucket[80];
    int64_t has_logs; /* output goes to CloudWatch Logs */
    int64_t unit;     /* the one that runs, or is next */
    int64_t n_plugins;
    int64_t max_reboots; /* per step */
    int64_t grace_ms;    /* what a step gets between SIGTERM and SIGKILL */
    int64_t stop;        /* enum command_stop, once asked for */
    int64_t reboot_tries;
    char reboot_boot_id[BOOT_ID_SIZE]; /* the boot that is to end */
    int64_t is_refused;
    char text[400]; /* why it was rejected or refused */
    /* A nested document (spec 04, section 7) is a command of its own: what ran it, and how deep. */
    char parent_id[FSM_ID_SIZE]; /* "": it came from outside */
    int64_t parent_unit, parent_attempt;
    int64_t depth; /* 0: from outside; its aws:runDocument steps make commands of depth 1 */
};

/* What running a unit means. */
enum command_unit_kind {
    COMMAND_UNIT_PROCESS,  /* a process below a runner, in a directory of its own */
    COMMAND_UNIT_DOCUMENT, /* another command, whose end is its end */
    COMMAND_UNIT_UPDATE,   /* an update of this agent (fsm/update.h); likewise */
};

struct command_unit {
    int64_t plugin;
    int64_t plan;
    int64_t kind; /* enum command_unit_kind */
    int64_t flow;
    char status[20]; /* spec 03, section 7.1; "" before it began */
    int64_t code;
    int64_t note; /* enum command_note */
    int64_t attempt;
    int64_t reboots;
    int64_t max_tries; /* how often it may fail before it has failed; 0 is 1 */
    int64_t failures;  /* attempts that failed and were followed by another one */
    int64_t limit_ms;
    char boot_id[BOOT_ID_SIZE]; /* of its attempt */
    int64_t started_unix_ms, ended_unix_ms;
    char outcome[16]; /* the runner's word: exited, signaled, timed_out, cancelled, start_failed */
    int64_t wait_status;
    int64_t stdout_bytes, stderr_bytes;
    char stdout_sha256[65], stderr_sha256[65];
    int64_t output_lost; /* bytes over a cap, or that could not be written */
    char text[400];
};

/* How an attempt ended, already in the service's words (executors/shell.h). */
struct command_result {
    const char *status; /* Success, Failed, TimedOut, Cancelled, SuccessAndReboot */
    int64_t code;
    const char *outcome;
    int64_t wait_status;
    int64_t started_unix_ms, ended_unix_ms;
    int64_t stdout_bytes, stderr_bytes;
    const char *stdout_sha256, *stderr_sha256;
    int64_t output_lost;
    int64_t n_unkilled; /* processes that SIGKILL did not end */
    const char *text;   /* for people: which boot, how long; may be NULL */
};

extern const struct fsm_machine command_machine;

static inline struct command *command_of(const struct fsm_instance *inst)
{
    return inst->data;
}
static inline struct command_unit *command_unit_at(const struct fsm_instance *inst, size_t i)
{
    return (struct command_unit *)fsm_child(inst, i);
}

/* It has a status that nothing will change. */
bool command_unit_is_over(const struct command_unit *u);
/* The status of one plugin: its units merged (spec 03, section 7.4). "" when none has begun. */
const char *command_plugin_status(const struct fsm_instance *inst, int64_t plugin);
/* Its code: the first that is not zero. */
int64_t command_plugin_code(const struct fsm_instance *inst, int64_t plugin);
/* All its units have their final status. */
bool command_plugin_is_over(const struct fsm_instance *inst, int64_t plugin);
/* The document's status by spec 03, section 7.3. */
const char *command_document_status(const struct fsm_instance *inst);

/* ---- nested documents ---- */

#define COMMAND_MAX_DEPTH 3 /* spec 04, section 7 */

/* It was run by a step of another command: nobody outside waits for its replies. */
static inline bool command_is_nested(const struct fsm_instance *inst)
{
    return command_of(inst)->parent_id[0] != '\0';
}
/* The id of the command that attempt `attempt` of unit `unit` of `parent_id` makes. Always the
 * same one, so that it can be asked for after a restart; does not begin with its parent's, so that
 * a beginning of that names one job. False: it would be too long. */
bool command_child_id(const char *parent_id, int64_t unit, int64_t attempt,
                      char ret_id[FSM_ID_SIZE]);
/* The id that was given there as `parent_id`, a part of `id`; NULL: it is no child's. */
const char *command_parent_id(const char *id);
/* The part of an id that names the command that came from outside: scripts know that one. */
const char *command_root_id(const char *id);
/* What a nested document's statuses make of the step that ran it: the greatest of them (spec 03,
 * section 7.4). */
const char *command_merged_status(const struct fsm_instance *inst);

#endif
