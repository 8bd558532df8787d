/* Credentials that are fetched, kept, and fetched again in time. */
#include "transport/credentials_fetched.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "credentials"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/str.h"

#define RETRY_FIRST_MS 1000
#define RETRY_CAP_MS 40000
#define LEAST_LIFE_MS 4000
#define LEAST_PAUSE_MS 3000                    /* between two fetches because of refusals */
#define MAX_TIMER_MS (INT64_C(60) * 60 * 1000) /* the loop's clock stands still in suspend */

struct fetched {
    struct credentials_provider base;
    struct credentials_fetcher fetcher;
    uv_timer_t timer; /* its close frees the struct */
    int64_t early_ms, max_life_ms;
    struct backoff backoff;
    struct credentials found;
    bool is_found, is_fetching, is_refused;
    int64_t expires_ms, due_ms, began_ms; /* boot clock */
    struct err problem;                   /* of the last fetch; code 0: none */
};

static struct fetched *fetched_of(struct credentials_provider *p)
{
    return container_of(p, struct fetched, base);
}

static bool is_good(const struct fetched *f)
{
    return f->is_found && !f->is_refused && clock_boottime_ms() < f->expires_ms;
}

static void begin(struct fetched *f)
{
    if (f->is_fetching)
        return;
    f->is_fetching = true;
    f->began_ms = clock_boottime_ms();
    (void)uv_timer_stop(&f->timer);
    f->fetcher.fetch(f->fetcher.ctx, &f->base);
}

static void on_timer(uv_timer_t *timer);

static void arm(struct fetched *f, int64_t due_ms)
{
    int64_t wait = due_ms - clock_boottime_ms();

    f->due_ms = due_ms;
    if (due_ms == CREDENTIALS_NEVER_EXPIRE)
        return;
    if (wait > MAX_TIMER_MS)
        wait = MAX_TIMER_MS;
    uv_update_time(f->timer.loop);
    (void)uv_timer_start(&f->timer, on_timer, wait > 0 ? (uint64_t)wait : 0, 0); /* not closing */
}

static void on_timer(uv_timer_t *timer)
{
    struct fetched *f = container_of(timer, struct fetched, timer);

    if (clock_boottime_ms() >= f->due_ms)
        begin(f);
    else
        arm(f, f->due_ms);
}

static int64_t when_due(const struct fetched *f, int64_t now, int64_t life_ms)
{
    int64_t wait = f->early_ms > 0 ? life_ms - f->early_ms : life_ms / 2;

    if (life_ms == CREDENTIALS_NEVER_EXPIRE && f->max_life_ms == 0)
        return CREDENTIALS_NEVER_EXPIRE;
    if (f->max_life_ms > 0 && wait > f->max_life_ms)
        wait = f->max_life_ms;
    if (wait < life_ms / 2) /* shorter than `early_ms` */
        wait = life_ms / 2 < f->max_life_ms || f->max_life_ms == 0 ? life_ms / 2 : f->max_life_ms;
    return now + (wait > LEAST_PAUSE_MS ? wait : LEAST_PAUSE_MS);
}

static void fail(struct fetched *f, int64_t now, const struct err *err)
{
    int64_t pause;

    pause = backoff_fail_ms(&f->backoff, ids_random32());
    if (f->problem.code == 0 || !str_eq(f->problem.text, err->text))
        log_warning("%s: %s", f->fetcher.name, err->text);
    f->problem = *err;
    if (f->problem.code == 0)
        f->problem.code = ERR_AUTH;
    arm(f, now + pause);
}

void credentials_fetched(struct credentials_provider *p, struct credentials *credentials,
                         int64_t life_ms, const struct err *err)
{
    struct fetched *f = fetched_of(p);
    int64_t now = clock_boottime_ms();

    f->is_fetching = false;
    if (credentials == NULL) {
        fail(f, now, err);
    } else {
        if (f->problem.code != 0)
            log_info("%s: credentials again", f->fetcher.name);
        credentials_done(&f->found);
        f->found = TAKE_STRUCT(*credentials);
        f->is_found = true;
        f->is_refused = false;
        f->expires_ms = life_ms == CREDENTIALS_NEVER_EXPIRE ? life_ms : now + life_ms;
        f->problem = (struct err){.code = 0};
        backoff_clear(&f->backoff);
        arm(f, when_due(f, now, life_ms));
    }
    credentials_wake_all(&f->base);
}

int64_t credentials_life_ms(int64_t expires_unix_ms, int64_t issuer_now_unix_ms)
{
    int64_t life =
        expires_unix_ms - (issuer_now_unix_ms >= 0 ? issuer_now_unix_ms : clock_wall_ms());

    return life > LEAST_LIFE_MS ? life : LEAST_LIFE_MS;
}

void *credentials_fetcher_of(struct credentials_provider *p)
{
    return fetched_of(p)->fetcher.ctx;
}

void credentials_fetched_renew(struct credentials_provider *p)
{
    begin(fetched_of(p));
}

static int fetched_get(struct credentials_provider *base, const struct credentials **ret,
                       struct err *err)
{
    struct fetched *f = fetched_of(base);

    if (!f->is_fetching && (f->due_ms == 0 || clock_boottime_ms() >= f->due_ms))
        begin(f);
    if (is_good(f)) {
        *ret = &f->found;
        return 0;
    }
    if (f->is_fetching && f->problem.code == 0)
        return err_set(err, ERR_BUSY, "%s: being asked", f->fetcher.name);
    return err_set(err, ERR_AUTH, "%s: %s", f->fetcher.name,
                   f->problem.code != 0 ? f->problem.text : "the service refuses its credentials");
}

/* The service has refused them: what it says counts more than their date. */
static void fetched_reject(struct credentials_provider *base)
{
    struct fetched *f = fetched_of(base);

    if (f->is_fetching || !f->is_found)
        return;
    f->is_refused = true;
    if (clock_boottime_ms() - f->began_ms >= LEAST_PAUSE_MS)
        begin(f);
    else
        arm(f, f->began_ms + LEAST_PAUSE_MS);
}

static void fetched_describe(const struct credentials_provider *base, struct buf *b)
{
    const struct fetched *f = container_of(base, const struct fetched, base);
    int64_t left = f->expires_ms - clock_boottime_ms();

    (void)buf_printf(b, "%s: ", f->fetcher.name); /* texts that may be cut */
    if (is_good(f) && f->expires_ms == CREDENTIALS_NEVER_EXPIRE)
        (void)buf_printf(b, "in use, access key %s", f->found.access_key);
    else if (is_good(f))
        (void)buf_printf(b, "in use, access key %s, good for %" PRId64 " s", f->found.access_key,
                         left / 1000);
    else if (f->is_refused)
        (void)buf_printf(b, "the service refuses access key %s", f->found.access_key);
    else if (f->problem.code == 0)
        (void)buf_add_str(b, f->is_fetching ? "being asked" : "not asked yet");
    if (f->problem.code != 0)
        (void)buf_printf(b, "%s%s", is_good(f) || f->is_refused ? "; renewal: " : "",
                         f->problem.text);
    (void)buf_add_char(b, '\n');
}

static void on_closed(uv_handle_t *handle)
{
    free(container_of((uv_timer_t *)(void *)handle, struct fetched, timer));
}

static void fetched_free(struct credentials_provider *base)
{
    struct fetched *f = fetched_of(base);

    if (f->is_fetching)
        f->fetcher.cancel(f->fetcher.ctx);
    if (f->fetcher.free != NULL)
        f->fetcher.free(f->fetcher.ctx);
    credentials_done(&f->found);
    uv_close((uv_handle_t *)&f->timer, on_closed);
}

int credentials_fetched_new(uv_loop_t *loop, const struct credentials_fetched_options *o,
                            struct credentials_provider **ret_provider, struct err *err)
{
    static const struct credentials_ops ops = {fetched_get, fetched_reject, fetched_describe,
                                               fetched_free};
    struct fetched *f = calloc(1, sizeof(*f));

    if (f == NULL) {
        if (o->fetcher.free != NULL)
            o->fetcher.free(o->fetcher.ctx);
        return err_set(err, ERR_NOMEM, "credentials: out of memory");
    }
    f->base.ops = &ops;
    f->fetcher = o->fetcher;
    f->early_ms = o->early_ms;
    f->max_life_ms = o->max_life_ms;
    f->backoff = (struct backoff){.first_ms = RETRY_FIRST_MS,
                                  .cap_ms = o->retry_cap_ms > 0 ? o->retry_cap_ms : RETRY_CAP_MS};
    (void)uv_timer_init(loop, &f->timer); /* cannot fail */
    *ret_provider = &f->base;
    return 0;
}
