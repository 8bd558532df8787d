/* Deaths everywhere. */
#include "tests/crash/deaths.h"

#include <stdio.h>

bool deaths_have_shown_enough(const struct deaths *d)
{
    return d->is_one_enough && d->n_wrong > 0;
}

static int run_one(struct deaths *d, const struct deaths_plan *plan, deaths_run_fn run, void *ctx)
{
    char wrong[300] = "";
    int n_steps = run(ctx, plan, wrong, sizeof(wrong));

    d->n_runs++;
    if (wrong[0] != '\0' && d->n_wrong++ == 0)
        (void)snprintf(d->first, sizeof(d->first), "disaster %d at %d and %d, %s", plan->disaster,
                       plan->at[0], plan->at[1], wrong);
    return n_steps;
}

void deaths_everywhere(struct deaths *d, int n_disasters, bool is_twice, deaths_run_fn run,
                       void *ctx)
{
    struct deaths_plan plan = {.disaster = 0};
    int n = run_one(d, &plan, run, ctx), last;

    for (plan.disaster = 0; plan.disaster < n_disasters; plan.disaster++)
        for (plan.at[0] = 1; plan.at[0] <= n && !deaths_have_shown_enough(d); plan.at[0]++) {
            plan.at[1] = 0;
            last = run_one(d, &plan, run, ctx);
            for (plan.at[1] = plan.at[0] + 1; is_twice && plan.at[1] <= last; plan.at[1]++)
                (void)run_one(d, &plan, run, ctx);
        }
}
