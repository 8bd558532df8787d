/* What an agent tells of its health while an update is open (docs/internals/update.md): the new
 * version, and the old one when it comes back. ssmd-updater reads it, and needs nothing else of us.
 * The loop's thread. */
#ifndef SSMD_AGENT_PROBATION_H
#define SSMD_AGENT_PROBATION_H

#include <uv.h>

#include "base/paths.h"
#include "update/handover_files.h"

struct probation;

struct probation_options {
    uv_loop_t *loop;
    const struct paths *paths; /* borrowed, like the next */
    const char *boot_id;
    /* What has been reached by now: has_journal, has_steps, has_service, lacking. Once a second. */
    void (*look)(void *ctx, struct handover_health *ret_health);
    void *ctx;
};

/* Begins to tell at once, before anything else was done, if an order is open and not at its end;
 * else *ret_probation is NULL. Ends by itself with the update. */
int probation_new(const struct probation_options *o, struct probation **ret_probation,
                  struct err *err) MUST_CHECK;
/* This process cannot go on, and says why. NULL is allowed. */
void probation_fail(struct probation *p, const char *why);
void probation_close(struct probation *p); /* NULL is allowed; the loop frees it */

/* A line in the log when this program is not the one that `current` leads to. */
void probation_check_program(const struct paths *paths);

#endif
