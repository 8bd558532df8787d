/* Printing what a job's steps wrote, as it stands or as it grows. One thread. */
#ifndef SSMD_CTL_FOLLOW_H
#define SSMD_CTL_FOLLOW_H

#include "ctl/ctl.h"
#include "ctl/output.h"
#include "journal/reader.h"

#define FOLLOW_POLL_MS 200 /* while following only */

struct follow_options {
    int64_t step; /* -1: all */
    bool is_wanted[OUTPUT_N_STREAMS];
    bool waits;       /* until the job is over */
    bool is_followed; /* by lines of ssmctl's own: standard error is left at the start of one */
};

/* Print the output of *job by the options, as text or as one JSON document. *job is brought up to
 * date and stays the caller's. ERR_NOT_FOUND: no such step, or the output has been removed;
 * ERR_STATE: the journal is read as a copy, so there is nothing to wait for. */
int follow_job(struct ctl *c, struct reader *reader, struct reader_instance *job,
               const struct follow_options *options, struct err *err) MUST_CHECK;

#endif
