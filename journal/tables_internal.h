/* The tables of the machines: one with a row per instance, and one of child rows where the machine
 * has children. Their columns, and the statements for them, are made from the machines' field
 * tables. One thread. */
#ifndef SSMD_JOURNAL_TABLES_INTERNAL_H
#define SSMD_JOURNAL_TABLES_INTERNAL_H

#include "fsm/fsm.h"
#include "journal/db_internal.h"

struct machine_table {
    const struct fsm_machine *m;
    bool is_there; /* false: this journal is older than the machine and has none of it */
    sqlite3_stmt *put, *move, *get, *child_put, *child_get; /* owned; made when first used */
    /* Of child columns that only a later version knows; NULL also where there are none. */
    sqlite3_stmt *child_forget;
    bool has_looked; /* for those */
};

struct tables {
    struct machine_table *items; /* owned */
    size_t n;
};

/* `machines` ends with NULL; borrowed, as is `db`, for the life of the tables. Reads nothing.
 * Errors: ERR_NOMEM; ERR_STATE for a machine that cannot be stored (its name, too many fields). */
int tables_init(struct tables *t, const struct fsm_machine *const *machines, struct err *err)
    MUST_CHECK;
void tables_done(struct tables *t); /* before the connection is closed */

/* Make what is missing, add columns that are new. Inside a transaction of the caller's. */
int tables_migrate(struct tables *t, struct db *db, struct err *err) MUST_CHECK;
/* Look which tables are there (is_there), changing nothing. */
int tables_look(struct tables *t, struct db *db, struct err *err) MUST_CHECK;

/* Is there a table of that name? A name that could not be a machine's is none. */
int tables_has(struct db *db, const char *table, bool *ret_has, struct err *err) MUST_CHECK;

/* NULL: no such machine in this program. */
struct machine_table *tables_find(const struct tables *t, const char *machine);

/* Write the machine's row (`is_new`: insert it) and the child rows [child_lo, child_hi). What a
 * later version keeps of the instance in columns of its own is void from then on, and set to
 * nothing: the chain's hash is of what this version knows. */
int tables_put(struct machine_table *mt, struct db *db, const struct fsm_instance *inst,
               bool is_new, size_t child_lo, size_t child_hi, struct err *err) MUST_CHECK;
/* Make *ret_inst from the machine's row and child rows: id, data and children only. A column that
 * this journal does not have yet reads as 0 or "". ERR_CORRUPT: a row is missing or does not fit.
 * The caller owns the instance: fsm_instance_done(). */
int tables_get(struct machine_table *mt, struct db *db, const char *id,
               struct fsm_instance *ret_inst, struct err *err) MUST_CHECK;

#endif
