/* How long to wait before trying again. Pure: the random value comes in. Any thread. */
#ifndef SSMD_BASE_BACKOFF_H
#define SSMD_BASE_BACKOFF_H

#include <stdint.h>

/* Waits that double from `first_ms` up to `cap_ms`, each shortened at random by up to half, so that
 * a fleet that failed together does not come back together. */
struct backoff {
    int64_t first_ms;
    int64_t cap_ms;
    unsigned n_failures; /* consecutive; 0 after a success */
};

/* Count one failure and say how long to wait before the next try: within [d/2, d], where d doubles
 * with each failure. */
int64_t backoff_fail_ms(struct backoff *b, uint32_t random);
static inline void backoff_clear(struct backoff *b)
{
    b->n_failures = 0;
}

/* The reference's "SSM" delay before retry n = 0, 1, 2 ...: 2^n times 1000..1499 ms (spec 02,
 * section 2.2). */
int64_t backoff_ssm_ms(unsigned n, uint32_t random);

/* `random` spread over [min, max]. */
int64_t backoff_spread_ms(int64_t min, int64_t max, uint32_t random);

#endif
