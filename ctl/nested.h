/* The documents that a job's steps ran (aws:runDocument): jobs of their own, shown with it. */
#ifndef SSMD_CTL_NESTED_H
#define SSMD_CTL_NESTED_H

#include <stdio.h>

#include "ctl/jsonw.h"
#include "journal/reader.h"

/* For people: below the job's own time line, each with its steps, and what they ran in turn. */
int nested_print(struct reader *reader, const struct reader_instance *job, int64_t now_unix_ms,
                 FILE *f, struct err *err) MUST_CHECK;
/* Objects of an open list: "parent", "parent_step", "parent_attempt", the members of a
 * job, and its "steps". */
int nested_write(struct reader *reader, const struct reader_instance *job, struct jsonw *w,
                 struct err *err) MUST_CHECK;

#endif
