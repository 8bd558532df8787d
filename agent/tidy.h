/* Which directories of reported jobs go before their time, because the configuration says so:
 * Ssm.OrchestrationDirectoryCleanup and Ssm.PluginLocalOutputCleanup (spec 03, section 11.6). What
 * the journal knows of them stays. The loop's thread. */
#ifndef SSMD_AGENT_TIDY_H
#define SSMD_AGENT_TIDY_H

#include "agent/config.h"
#include "base/buf.h"
#include "journal/journal.h"

/* One round's knowledge. Begin with {0}; after tidy_begin(), tidy_done(). */
struct tidy {
    struct journal *journal;
    const struct config *config;
    struct buf in_use; /* ids of commands whose output is still on its way, each after a newline */
};

bool tidy_is_wanted(const struct config *c);
/* What is open now. ERR_NOMEM, ERR_LIMIT, errors of the journal: nothing may be removed then. */
int tidy_begin(struct tidy *t, struct journal *journal, const struct config *c, struct err *err)
    MUST_CHECK;
/* The directory of this job, or of a document nested in it: is the whole job over and reported,
 * with a status that allows it, and none of its output on its way? */
bool tidy_may_remove(const struct tidy *t, const char *job_id);
void tidy_done(struct tidy *t);

static inline void tidy_done_cleanup(struct tidy *t)
{
    tidy_done(t);
}

#endif
