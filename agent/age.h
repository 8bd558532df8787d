/* How old the jobs of the journal are, by no clock that can be set.
 *
 * `lived` counts milliseconds of CLOCK_BOOTTIME over all boots: time that the machine was up, seen
 * or not by ssmd. Now and then a mark says how far the ledger went at a moment of it. What a mark
 * covers is at least as old as the mark. A wall clock that is years off, then or now, changes
 * nothing; time without power makes nothing older; and what is thinned out or lost makes things
 * younger only.
 *
 * Plain data; no I/O, no clock; any thread. */
#ifndef SSMD_AGENT_AGE_H
#define SSMD_AGENT_AGE_H

#include "base/buf.h"
#include "base/clock.h"

#define AGE_MAX_MARKS 512
#define AGE_TEXT_MAX 32768u

/* The zero value is the beginning. */
struct age {
    int64_t lived_ms;
    char boot_id[BOOT_ID_SIZE]; /* of the last look, "" before the first */
    int64_t boottime_ms;        /* then */
    size_t n_marks;
    struct age_mark {
        int64_t lived_ms, ledger_end;
    } marks[AGE_MAX_MARKS]; /* oldest first; both numbers grow */
};

/* The machine's boot id and CLOCK_BOOTTIME of now. */
void age_advance(struct age *a, const char *boot_id, int64_t boottime_ms);
/* The ledger's newest row is number `ledger_end`. True: a mark was made, which is to be kept. */
bool age_mark(struct age *a, int64_t ledger_end);
/* The newest row of the ledger that is at least so old; 0: none, or max_age_ms is 0 (no limit). */
int64_t age_cutoff(const struct age *a, int64_t max_age_ms);

/* As text, and back. ERR_CORRUPT: *a is the beginning then. */
void age_format(const struct age *a, struct buf *b);
int age_parse(struct age *a, const char *text, struct err *err) MUST_CHECK;

#endif
