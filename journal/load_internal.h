/* From rows to an instance in memory. Shared by the writer's load and the reading half. */
#ifndef SSMD_JOURNAL_LOAD_INTERNAL_H
#define SSMD_JOURNAL_LOAD_INTERNAL_H

#include "journal/journal.h"
#include "journal/tables_internal.h"

/* Make the instance of row `row` (columns INSTANCE_*), with fields, children and open effects. The
 * row stays where it is. Errors: ERR_NEWER (a machine, state or effect this program does not know),
 * ERR_CORRUPT, ERR_IO, ERR_NOMEM. The caller owns *ret_inst. */
int load_instance(struct db *db, const struct tables *t, sqlite3_stmt *row,
                  struct fsm_instance *ret_inst, struct err *err) MUST_CHECK;

/* The reply of row `row` (columns REPLY_*). The caller owns *ret_reply: journal_reply_done(). */
int load_reply(const struct db *db, sqlite3_stmt *row, struct journal_reply *ret_reply,
               struct err *err) MUST_CHECK;

/* Count instances, ledger rows and open effects; the other members are left alone. */
int load_counts(struct db *db, struct journal_counts *ret_counts, struct err *err) MUST_CHECK;

#endif
