/* What the parts of the reading half share. */
#ifndef SSMD_JOURNAL_READER_INTERNAL_H
#define SSMD_JOURNAL_READER_INTERNAL_H

#include <limits.h>

#include "journal/audit.h"
#include "journal/reader.h"
#include "journal/sql_internal.h"
#include "journal/tables_internal.h"

struct reader {
    struct db db;
    struct tables tables;
    int depth;               /* of calls within callbacks: the outermost holds the transaction */
    char path[PATH_MAX];     /* what was asked for */
    char temp_dir[PATH_MAX]; /* of our copy, "" when it is read in place */
};

/* A read transaction around a function of the reader. end_read returns `result`, or the failure to
 * end it. */
int reader_begin(struct reader *r, struct err *err) MUST_CHECK;
int reader_end(struct reader *r, int result, struct err *err) MUST_CHECK;

/* copy.c: database and log, as of one moment, into a new directory below $TMPDIR (mode 0700). */
int reader_copy(const char *path, char ret_dir[PATH_MAX], char ret_path[PATH_MAX], struct err *err)
    MUST_CHECK;

/* audit.c: the same for reader and writer. `head_path` may be NULL. */
int audit_db(struct db *db, const struct tables *t, const struct audit_options *o,
             struct audit_report *ret_report, struct err *err) MUST_CHECK;

#endif
