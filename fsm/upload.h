/* The `upload` machine: the output of one unit on its way to S3 and to CloudWatch Logs (spec 03,
 * section 11). It lives beside its command: a failure never changes the step's status. While the
 * step runs, its output is followed to the logs; when it is over, the rest and the objects go up,
 * and the command's answers wait for that, but not for ever. After that it goes on for as long as
 * the output is kept.
 *
 * Retries are not transitions: an effect is done again until it is done or refused for good. How
 * far the logs are is a fact of the journal, written with each batch that was taken. */
#ifndef SSMD_FSM_UPLOAD_H
#define SSMD_FSM_UPLOAD_H

#include "fsm/fsm.h"

enum upload_state {
    UPLOAD_NEW,
    UPLOAD_FOLLOWING, /* the step runs */
    UPLOAD_SENDING,   /* it is over, and the command's answers wait */
    UPLOAD_TRAILING,  /* they were let go */
    UPLOAD_DONE,
    UPLOAD_FAILED,
    UPLOAD_N_STATES
};

enum upload_event {
    UPLOAD_EV_FOLLOW,  /* the step was promised its start */
    UPLOAD_EV_ENDED,   /* the step is over; detail: const struct upload_end * */
    UPLOAD_EV_SENT,    /* everything is where it was to go */
    UPLOAD_EV_REFUSED, /* something of it will never be taken; detail: const char *text */
    UPLOAD_EV_OVERDUE,
    UPLOAD_EV_RUNAWAY,
    UPLOAD_N_EVENTS
};

enum upload_effect {
    UPLOAD_FX_FOLLOW, /* to the logs, while it grows */
    UPLOAD_FX_SEND,   /* the rest to the logs, and the objects */
    UPLOAD_N_EFFECTS
};

struct upload {
    char job[FSM_ID_SIZE]; /* the command */
    int64_t unit;
    int64_t attempts;     /* of which there is output; 0 while it is followed */
    char bucket[256];     /* "": not to S3 */
    char key[1100];       /* of its objects, up to and without "/stdout" */
    char log_group[520];  /* "": not to the logs */
    char log_stream[520]; /* without "/stdout" */
    int64_t wait_ms;      /* for which the command's answers wait */
    int64_t keep_ms;      /* for which it is tried after that */
    char text[400];       /* why it failed */
};

struct upload_end {
    int64_t attempts;
};

extern const struct fsm_machine upload_machine;

static inline struct upload *upload_of(const struct fsm_instance *inst)
{
    return inst->data;
}

/* "upload.<command>.<unit>" */
#define UPLOAD_ID_PREFIX "upload."
/* False: the command's id is too long to have uploads. */
bool upload_make_id(const char *job_id, int64_t unit, char ret_id[FSM_ID_SIZE]);

/* The command's answers wait for it. */
static inline bool upload_is_waited_for(const struct fsm_instance *inst)
{
    return inst->state == UPLOAD_NEW || inst->state == UPLOAD_FOLLOWING ||
           inst->state == UPLOAD_SENDING;
}

#endif
