/* Writes a journal through its real interface, as ssmd would, for ssmctl to read. */
#ifndef SSMD_TESTS_UNIT_CTL_SCRIBE_H
#define SSMD_TESTS_UNIT_CTL_SCRIBE_H

#include "ctl_world.h"
#include "fsm/command.h"
#include "tests/lib/chronicle.h"

#define JOB_DONE "2b196342-d7d4-436e-8f09-3883a1116ac3"
#define JOB_RUNNING "2b19ffff-0000-4000-8000-000000000002"
#define JOB_FAILED "77d1c0de-0000-4000-8000-000000000003"
#define JOB_QUEUED "9a000000-0000-4000-8000-000000000004"
#define DELIVERY "c0000000-0000-4000-8000-000000000005"

struct scribe {
    const struct world *world;
    struct chronicle c; /* its time moves by 1 s with each transition */
};

void scribe_open(struct scribe *s, const struct world *w);
void scribe_close(struct scribe *s);

/* A command with its message, accepted: in the state queued. */
void scribe_accept(struct scribe *s, const char *id, const char *document, size_t n_units,
                   struct fsm_instance *ret_inst);
/* Its first step begins. */
void scribe_start(struct scribe *s, struct fsm_instance *inst);
/* The step that runs exits. */
void scribe_exit(struct scribe *s, struct fsm_instance *inst, const char *status, int64_t code);
/* The service takes every reply of it, the last one too. */
void scribe_report(struct scribe *s, struct fsm_instance *inst);
/* A file of a step's attempt, as its runner would leave it. */
void scribe_output(const struct scribe *s, const char *id, const char *attempt, const char *file,
                   const char *text);

/* Five instances: JOB_DONE (one step, Success, reported, with output), JOB_RUNNING (the second of
 * two steps runs), JOB_FAILED (exit 3; its result is owed; its document's name holds an escape
 * sequence), JOB_QUEUED, and DELIVERY, a cancel order that was answered. */
void scribe_all(struct scribe *s);

#endif
