/* What happened, in the order in which it happened: transitions, the effects that they opened and
 * closed, and what became of replies. What has the same time belongs to the same commit and stands
 * in the order of enum timeline_rank. One thread. */
#ifndef SSMD_CTL_TIMELINE_H
#define SSMD_CTL_TIMELINE_H

#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

enum timeline_rank { TIMELINE_REPLY, TIMELINE_TRANSITION, TIMELINE_CLOSED, TIMELINE_OPENED };

struct timeline {
    struct timeline_entry *entries; /* owned */
    size_t n, cap;
};

void timeline_init(struct timeline *t);
void timeline_done(struct timeline *t);
/* `what` and `detail` are copied. ERR_NOMEM. */
int timeline_add(struct timeline *t, int64_t at_unix_ms, enum timeline_rank rank, const char *what,
                 const char *detail, struct err *err) MUST_CHECK;
/* Sorts, and prints one line each; effects that were opened (or closed) together share a line. */
int timeline_print(struct timeline *t, int64_t now_unix_ms, FILE *f, struct err *err) MUST_CHECK;

#endif
