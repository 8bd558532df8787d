/* Is the journal's history what was written? Checks both chains, the instances against them, and
 * the ledger against its side file; and writes the history out. Part of the reading half: one
 * thread.
 *
 * Covered: every transition; of every instance its state, its machine's fields and its child rows
 * (with the SHA-256 of output files in them); the ledger; each message's payload against its own
 * hash; that no instance vanished without a ledger row. The end of an instance's chain is anchored
 * by its row (count and head), that of the ledger by its side file; one that was cut off within the
 * last second, before the side file was written, is not noticed. Not covered: effects, the times
 * and payloads of replies, facts, the ids
 * remembered of rows that were cut from the ledger. Whoever can write the journal as its owner can
 * forge all of it, side file included, unless the ledger's head was sent elsewhere. */
#ifndef SSMD_JOURNAL_AUDIT_H
#define SSMD_JOURNAL_AUDIT_H

#include <stdio.h>

#include "journal/reader.h"

struct audit_finding {
    char table[48];
    char key[160]; /* which row: "<instance id> n=3", "n=17" */
    char text[240];
};

struct audit_options {
    const char *head_path; /* the ledger's side file, or NULL */
    /* Every finding, as it is found; may be NULL. One bad row of a chain is one finding: what
     * follows it in the same chain is not looked at. */
    void (*found)(void *ctx, const struct audit_finding *f);
    /* After every hundred instances; may be NULL. */
    void (*progress)(void *ctx, int64_t n_done, int64_t n_total);
    void *ctx;
};

struct audit_report {
    int64_t n_instances, n_transitions, n_ledger, n_messages; /* looked at */
    int64_t
        ledger_from;   /* number of the ledger's first row: what was before was cut by retention */
    int64_t ledger_to; /* ... and of its last; 0 when it never had one */
    bool has_head;     /* the side file was there and could be read */
    int64_t head_n;    /* ledger rows that it vouches for */
    int64_t n_findings;
    struct audit_finding first; /* valid when n_findings > 0 */
};

/* 0 whether something was found or not; negative when it could not be read to the end. Instances
 * that are made or removed meanwhile are no finding. */
int audit_verify(struct reader *r, const struct audit_options *o, struct audit_report *ret_report,
                 struct err *err) MUST_CHECK;

/* The paragraph above, for people. */
const char *audit_coverage(void);

/* Everything as JSON Lines: one object per line, its "type" being ledger, instance, transition,
 * effect, message (without payload) or reply (without payload). ERR_IO, ERR_FULL: `out` cannot be
 * written. */
int audit_export_jsonl(struct reader *r, FILE *out, struct err *err) MUST_CHECK;

#endif
