/* Deaths everywhere: a run of a world in memory is played without any, then with each disaster at
 * every outside step, then with another at every later step. What a step is, what a disaster does
 * and what is a breach is the world's. */
#ifndef SSMD_TESTS_CRASH_DEATHS_H
#define SSMD_TESTS_CRASH_DEATHS_H

#include <stdbool.h>
#include <stddef.h>

#define DEATHS_PER_RUN 2

struct deaths_plan {
    int disaster;
    int at[DEATHS_PER_RUN]; /* outside steps, from 1; 0: none */
};

/* One run. Returns how many outside steps it had; `ret_wrong` becomes its first breach, or "". */
typedef int (*deaths_run_fn)(void *ctx, const struct deaths_plan *plan, char *ret_wrong,
                             size_t size);

struct deaths {
    bool is_one_enough; /* of the breaches: something is broken on purpose */
    int n_runs, n_wrong;
    char first[400]; /* breach, with its plan */
};

void deaths_everywhere(struct deaths *d, int n_disasters, bool is_twice, deaths_run_fn run,
                       void *ctx);
bool deaths_have_shown_enough(const struct deaths *d);

#endif
