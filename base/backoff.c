/* Delays between tries. */
#include "base/backoff.h"

#define MAX_DOUBLINGS 20 /* keeps every product far inside 64 bits */

int64_t backoff_spread_ms(int64_t min, int64_t max, uint32_t random)
{
    return max <= min ? min : min + (int64_t)(random % (uint64_t)(max - min + 1));
}

int64_t backoff_fail_ms(struct backoff *b, uint32_t random)
{
    unsigned n = b->n_failures < MAX_DOUBLINGS ? b->n_failures : MAX_DOUBLINGS;
    int64_t delay = b->first_ms * (INT64_C(1) << n);

    if (delay > b->cap_ms)
        delay = b->cap_ms;
    if (b->n_failures < UINT32_MAX)
        b->n_failures++;
    return backoff_spread_ms(delay / 2, delay, random);
}

int64_t backoff_ssm_ms(unsigned n, uint32_t random)
{
    if (n > MAX_DOUBLINGS)
        n = MAX_DOUBLINGS;
    return (INT64_C(1) << n) * backoff_spread_ms(1000, 1499, random);
}
