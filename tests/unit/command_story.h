/* Stories of the command machine: events as words, effects as text. For the suites that tell them
 * one by one and at random. */
#ifndef SSMD_TESTS_COMMAND_STORY_H
#define SSMD_TESTS_COMMAND_STORY_H

#include <check.h>

#include "base/buf.h"
#include "fsm/command.h"

#define STORY_MAX_UNITS 4

/* ck_assert marks its place with a system call, which a million steps cannot afford. */
#define REQUIRE(condition, ...)                                                                    \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg(__VA_ARGS__);                                                             \
    } while (0)
/* Events are words: their names, or xN for a step that exited with code N, `killed` for one that
 * was stopped. A '~' before a word: it is ignored here. */
struct story {
    const char *name;
    struct {
        int plugin, plan, flow; /* the flow with TRIES() in it */
    } units[STORY_MAX_UNITS];
    size_t n_units;
    int64_t max_reboots; /* 0: the default */
    const char *events;
    const char *effects; /* opened, in order */
    const char *units_end;
    const char *status; /* of the document */
    const char *state;
};

void story_init(struct fsm_instance *inst, const struct story *s);

/* Send one word of a story; what it opens is appended to *effects, which the caller has
 * initialised. Ends the test when the word is none. */
enum fsm_verdict story_send(struct fsm_instance *inst, struct fsm_out *out, const char *word,
                            struct buf *effects);

extern bool story_row_taken[64]; /* by any story or walk of this process */

#endif
