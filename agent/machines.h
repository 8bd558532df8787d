/* What the engine does with the machines that it runs: a row for each, and in it one for each of
 * its effects. A machine without a row has a keeper of its own (agent/registrar.h): the engine
 * leaves its instances alone. */
#ifndef SSMD_AGENT_MACHINES_H
#define SSMD_AGENT_MACHINES_H

#include "executors/steps.h"
#include "fsm/fsm.h"

struct engine;
struct job;

/* Answers of a job go out in order, in two lanes (outbox.c). */
enum lane_number { LANE_DELIVERY, LANE_RESULT };

enum effect_way {
    WAY_PERFORM, /* done by this machine: `perform` */
    WAY_REPLY,   /* an answer with a text of its own */
    WAY_ACKNOWLEDGE,
    WAY_FAIL,
};

struct effect_ops {
    enum effect_way way;
    enum lane_number lane; /* of an answer; a command's receipt goes with the acknowledgement */
    void (*perform)(struct engine *e, struct job *job, const struct fsm_effect *fx,
                    bool is_restart);
    /* A restart's question, where the machine's table says FSM_PROBE; its answer comes as an event.
     */
    void (*probe)(struct engine *e, struct job *job, const struct fsm_effect *fx);
};

struct machine_ops {
    const struct fsm_machine *machine;
    const char *(*channel)(const struct fsm_instance *inst); /* by which its answers go */
    uint8_t refused;                  /* event: the service will never take its answer */
    const struct effect_ops *effects; /* by kind */
    bool has_message;                 /* each came in one; else another job made it */
    /* What is said of a deadline that passed, NULL: nothing. Without it: the common words. */
    const char *(*overdue_text)(const struct job *job);
    uint8_t cancel; /* event, where there is no_cancel */
    /* Why it cannot be cancelled as it stands, NULL: it can. Without it: nobody cancels such. */
    const char *(*no_cancel)(const struct fsm_instance *inst);
    /* A step that it started has ended. Without it: it starts none. */
    void (*step_ended)(struct engine *e, struct job *job, const struct step_key *key,
                       enum step_answer answer, const struct step_outcome *outcome);
};

/* NULL: not one that the engine runs. */
const struct machine_ops *machines_find(const struct fsm_machine *m);

#endif
