/* What every implementation of the journal needs. */
#include <stdlib.h>

#define JOBS_PER_PRUNE 50    /* they are removed between two events of the agent's loop */
#define LEDGER_ROW_BYTES 640 /* about, with its indexes */

#include "journal/journal.h"

void journal_reply_done(struct journal_reply *r)
{
    free(r->payload);
    *r = (struct journal_reply){0};
}

const char *journal_reply_end_name(enum journal_reply_end end)
{
    switch (end) {
    case JOURNAL_REPLY_TAKEN:
        return "taken";
    case JOURNAL_REPLY_REFUSED:
        return "refused";
    case JOURNAL_REPLY_SUPERSEDED:
        return "superseded";
    }
    return "";
}

struct journal_retention journal_retention_of(int64_t max_bytes)
{
    return (struct journal_retention){.max_bytes = max_bytes,
                                      .ledger_max_rows = max_bytes / 4 / LEDGER_ROW_BYTES,
                                      .max_jobs_per_call = JOBS_PER_PRUNE};
}
