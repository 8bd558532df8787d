/* journal_check: the invariants listed in sqlite.c, by way of the audit. */
#include "journal/reader_internal.h"
#include "journal/sqlite_internal.h"

static void add_line(void *ctx, const struct audit_finding *f)
{
    (void)buf_printf(ctx, "%s %s: %s\n", f->table, f->key, f->text); /* buf_error() tells */
}

int journal_check(struct journal *j, struct buf *ret_problems, struct err *err)
{
    struct audit_options o = {.found = add_line, .ctx = ret_problems};
    struct audit_report report;
    struct sqlite_journal *sj;
    int r;

    if (j->ops != &sqlite_ops)
        return err_set(err, ERR_UNSUPPORTED, "journal: this implementation cannot be checked");
    sj = sqlite_of(j);
    r = sqlite_ready(sj, err);
    if (r == 0)
        r = audit_db(&sj->db, &sj->tables, &o, &report, err);
    return r < 0 ? r : buf_error(ret_problems, "list of problems", err);
}
