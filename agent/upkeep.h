/* What is done now and then: retention, and the ledger's head in its side file and in the log. */
#ifndef SSMD_AGENT_UPKEEP_H
#define SSMD_AGENT_UPKEEP_H

#include <uv.h>

#include "agent/config.h"
#include "base/paths.h"
#include "journal/journal.h"

struct upkeep;

int upkeep_new(uv_loop_t *loop, struct journal *journal, const struct config *config,
               const struct paths *paths, const char *boot_id, struct upkeep **ret_upkeep,
               struct err *err) MUST_CHECK;
/* A round of retention, which comes every 15 minutes by itself, begins now. */
void upkeep_prune(struct upkeep *u);
bool upkeep_is_working(const struct upkeep *u); /* a round is under way */
/* Jobs ended, and have left so many files at most: publish the ledger's head within a second. */
void upkeep_note_end(struct upkeep *u, int64_t n_files);
/* May a command begin that may leave `n_more` files, where those that run may leave `n_open`? False
 * while what finished jobs have left has to go first, so that Ssmd.RetentionFiles holds at all
 * times; `has_room` is called when it is worth while to ask again. Never false for long: what
 * cannot be removed holds nothing up. */
bool upkeep_may_begin(struct upkeep *u, int64_t n_open, int64_t n_more);
void upkeep_tell_room(struct upkeep *u, void (*has_room)(void *ctx), void *ctx);
/* Publish it now: into the side file, synced, and into the log. */
void upkeep_publish(struct upkeep *u);
void upkeep_stop(struct upkeep *u); /* its handles close with the loop's next turns */
void upkeep_free(struct upkeep *u); /* after the loop has run out */

#endif
