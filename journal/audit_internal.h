/* What the parts of the audit share: the ledger (audit.c) and the instances (audit_instance.c). */
#ifndef SSMD_JOURNAL_AUDIT_INTERNAL_H
#define SSMD_JOURNAL_AUDIT_INTERNAL_H

#include "base/sha256.h"
#include "journal/audit.h"
#include "journal/sql_internal.h"
#include "journal/tables_internal.h"

#define AUDIT_MAX_MACHINES 64

/* The tables of a machine, known from the journal itself: also those this version does not know. */
struct audit_machine {
    char name[48], child[48];       /* child "": none */
    bool is_known;                  /* the journal has such a machine, with tables */
    sqlite3_stmt *row, *child_rows; /* owned */
};

struct audit {
    struct db *db;
    const struct tables *tables;
    const struct audit_options *o;
    struct audit_report *report;
    struct audit_machine machines[AUDIT_MAX_MACHINES];
    size_t n_machines;
};

/* Note a finding. `key` names the row. */
void audit_found(struct audit *a, const char *table, const char *key, const char *format, ...)
    PRINTF_LIKE(4, 5);

/* Are all columns of the row integers, NULL, or text without a NUL inside? (A hash over C strings
 * would not see what stands after one.) */
bool audit_is_sound(sqlite3_stmt *q);

/* One instance: its transitions, its state, its row in the ledger, its message. `row` has the
 * columns INSTANCE_*. */
int audit_instance(struct audit *a, sqlite3_stmt *row, struct err *err) MUST_CHECK;

#endif
