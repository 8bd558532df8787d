/* A VFS between SQLite and another one, which joins what SQLite writes to its write-ahead log. A
 * commit there is a row of small writes, two for each page, each behind the one before: joined,
 * they are one system call. What was written is handed on before anything else happens to the file,
 * a sync above all; so nothing is promised later than SQLite believes. Other processes look for
 * what the log's index names, which SQLite writes after the sync. The journal's thread. */
#ifndef SSMD_JOURNAL_JOINED_INTERNAL_H
#define SSMD_JOURNAL_JOINED_INTERNAL_H

#include <sqlite3.h>

#include "base/err.h"

struct joined_vfs {
    sqlite3_vfs vfs;   /* registered under vfs.zName while `base` is not NULL */
    sqlite3_vfs *base; /* borrowed */
    char name[40];
};

/* Register it over the VFS of that name (NULL: SQLite's own) until joined_done(); *v may not move
 * meanwhile, and every connection that was opened with v->name must be closed before.
 * ERR_NOT_FOUND: no such VFS; ERR_NOMEM, ERR_IO: SQLite cannot begin. */
int joined_init(struct joined_vfs *v, const char *base, struct err *err) MUST_CHECK;
void joined_done(struct joined_vfs *v); /* a second time, or of a zeroed one: nothing */

#endif
