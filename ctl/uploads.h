/* Where a job's output was put, or is to be put: the uploads beside it. */
#ifndef SSMD_CTL_UPLOADS_H
#define SSMD_CTL_UPLOADS_H

#include <stdio.h>

#include "ctl/jsonw.h"
#include "journal/reader.h"

/* A heading and a line for each; nothing when there are none. */
int uploads_print(struct reader *reader, const struct reader_instance *job, FILE *f,
                  struct err *err) MUST_CHECK;
/* Objects of an open list. */
int uploads_write(struct reader *reader, const struct reader_instance *job, struct jsonw *w,
                  struct err *err) MUST_CHECK;

#endif
