/* What every implementation of the journal needs. */
#include <stdlib.h>

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
