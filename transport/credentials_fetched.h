/* A provider for credentials that must be asked for and that expire: it fetches them in the
 * background, again before they expire (spec 01, section 11), and at once when the service refuses
 * them. Where they come from is the fetcher's business. Loop thread only.
 *
 * Lifetimes run on the boot clock: what this machine's wall clock says does not matter. */
#ifndef SSMD_TRANSPORT_CREDENTIALS_FETCHED_H
#define SSMD_TRANSPORT_CREDENTIALS_FETCHED_H

#include <uv.h>

#include "transport/credentials.h"

#define CREDENTIALS_NEVER_EXPIRE INT64_MAX

struct credentials_fetcher {
    const char *name; /* "instance profile"; static */
    /* Begin; one at a time. Ends with one credentials_fetched(), also from inside. */
    void (*fetch)(void *ctx, struct credentials_provider *p);
    void (*cancel)(void *ctx); /* of a fetch that is under way: no credentials_fetched() */
    void (*free)(void *ctx);   /* with the provider; may be NULL */
    void *ctx;
};

struct credentials_fetched_options {
    struct credentials_fetcher fetcher;
    int64_t early_ms;     /* fetch again so long before the end; 0: at half of the life */
    int64_t max_life_ms;  /* fetch again after this at the latest; 0: no bound */
    int64_t retry_cap_ms; /* longest pause after failures; 0: 40 s */
};

/* ERR_NOMEM; the fetcher is freed then. Free the provider before the loop has run out: its timer is
 * closed by the loop. */
int credentials_fetched_new(uv_loop_t *loop, const struct credentials_fetched_options *o,
                            struct credentials_provider **ret_provider, struct err *err) MUST_CHECK;

/* A fetch ended: with credentials (taken over) that are good for `life_ms` from now, or, with
 * `credentials` NULL, because of `err`. */
void credentials_fetched(struct credentials_provider *p, struct credentials *credentials,
                         int64_t life_ms, const struct err *err);

/* How long credentials are good, by the clock of who issued them (-1: not known, so this
 * machine's). At least a few seconds, so that a wrong date cannot make a provider spin. */
int64_t credentials_life_ms(int64_t expires_unix_ms, int64_t issuer_now_unix_ms);

/* The fetcher's ctx. */
void *credentials_fetcher_of(struct credentials_provider *p);

/* Fetch now, unless one is under way. */
void credentials_fetched_renew(struct credentials_provider *p);

/* Passes everything through to `inner` (taken over) and, while it has nothing to give or what it
 * gave was refused, asks it every few seconds: `changed` is called, from the loop, once it has
 * credentials again, or others than the refused ones. Free it before the loop has run out. */
int credentials_watched_new(uv_loop_t *loop, struct credentials_provider *inner,
                            void (*changed)(void *ctx), void *ctx,
                            struct credentials_provider **ret_provider, struct err *err) MUST_CHECK;

#endif
