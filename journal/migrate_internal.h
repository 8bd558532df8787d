/* The journal's schema and its versions. */
#ifndef SSMD_JOURNAL_MIGRATE_INTERNAL_H
#define SSMD_JOURNAL_MIGRATE_INTERNAL_H

#include "journal/tables_internal.h"

#define JOURNAL_APPLICATION_ID 0x73736d64 /* "ssmd", in the file's header */

enum journal_file {
    JOURNAL_FILE_EMPTY, /* nothing is in it yet */
    JOURNAL_FILE_OURS,
};

/* Whose file is it, and may this version read and write it? Reads only. ERR_CORRUPT: not ours, or
 * damaged. ERR_NEWER: its schema is later, and the version that wrote it did not allow ours. */
int migrate_examine(struct db *db, enum journal_file *ret_file, struct err *err) MUST_CHECK;

/* Run the migrations that are missing, each in a transaction of its own, then make and extend the
 * machines' tables in one more. */
int migrate_run(struct db *db, struct tables *t, struct err *err) MUST_CHECK;

#endif
