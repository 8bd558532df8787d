/* How one job is shown, whatever its machine: one row of a table, one object of JSON, its steps. */
#ifndef SSMD_CTL_JOB_H
#define SSMD_CTL_JOB_H

#include "ctl/jsonw.h"
#include "ctl/text.h"
#include "fsm/command.h"
#include "journal/reader.h"

/* A machine, state or effect that only a later version knows leaves i->is_loaded false: such a job
 * has no document, channel or steps here, but it is shown. */

/* Deliveries are jobs to the journal, not to an operator: `jobs` lists them only with --all. */
bool job_is_command(const struct reader_instance *i);
bool job_is_update(const struct reader_instance *i);
/* It belongs to a step of another job, with which it is shown. */
bool job_is_part(const struct reader_instance *i);
/* Nothing of it will run any more, whether or not the service knows the result yet. */
bool job_is_over(const struct reader_instance *i);
/* Over, and not with Success. */
bool job_has_failed(const struct reader_instance *i);
/* The document's name; for a delivery what it was about, for an update its version. */
const char *job_document(const struct reader_instance *i);
const char *job_channel(const struct reader_instance *i);
/* A step has its final status. */
bool step_has_ended(const struct command_unit *u);
/* What there is to say about how a step ended, borrowed from it: "exit status 3"; "" if nothing. */
const char *step_reason(const struct command_unit *u);
/* Why it was rejected or refused; "" otherwise. */
const char *job_text(const struct reader_instance *i);

/* The table that `jobs` and `status` print: one heading, one row for each job. */
void job_table_init(struct table *t);
void job_table_add(struct table *t, const struct reader_instance *i, int64_t now_unix_ms);

/* The members of a job's object; the object itself is the caller's, who may add to it. */
void job_write_members(struct jsonw *w, const struct reader_instance *i);

/* Steps: a table for people; objects of an open list. Nothing for a machine without steps. */
int job_print_steps(const struct reader_instance *job, int64_t now_unix_ms, FILE *f,
                    struct err *err) MUST_CHECK;
void job_write_steps(struct jsonw *w, const struct reader_instance *job);

#endif
