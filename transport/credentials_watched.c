/* Who was left without credentials is told when there are some again. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "transport/credentials_fetched.h"

#define ASK_AGAIN_MS 5000

struct watched {
    struct credentials_provider base;
    struct credentials_provider *inner; /* owned */
    struct credentials_waiter waiter;   /* at `inner`, for those who wait here */
    uv_timer_t timer;                   /* its close frees the struct */
    void (*changed)(void *ctx);
    void *ctx;
    char refused[CREDENTIALS_ACCESS_KEY_SIZE]; /* "": none was */
    char last[CREDENTIALS_ACCESS_KEY_SIZE];    /* that was handed out */
};

static struct watched *watched_of(struct credentials_provider *p)
{
    return container_of(p, struct watched, base);
}

static void on_timer(uv_timer_t *timer)
{
    struct watched *w = container_of(timer, struct watched, timer);
    const struct credentials *c;

    if (credentials_get(w->inner, &c, NULL) < 0 || str_eq(c->access_key, w->refused))
        return;
    (void)uv_timer_stop(timer);
    w->refused[0] = '\0';
    w->changed(w->ctx);
}

static void watch(struct watched *w)
{
    if (!uv_is_active((uv_handle_t *)&w->timer))
        (void)uv_timer_start(&w->timer, on_timer, ASK_AGAIN_MS, ASK_AGAIN_MS); /* not closing */
}

static void wake(void *ctx)
{
    struct watched *w = ctx;

    credentials_wake_all(&w->base);
}

static int watched_get(struct credentials_provider *base, const struct credentials **ret,
                       struct err *err)
{
    struct watched *w = watched_of(base);
    int r = credentials_get(w->inner, ret, err);

    if (r == ERR_BUSY && w->waiter.provider == NULL)
        credentials_wait(w->inner, &w->waiter);
    if (r < 0)
        watch(w);
    else
        memcpy(w->last, (*ret)->access_key, sizeof(w->last));
    return r;
}

static void watched_reject(struct credentials_provider *base)
{
    struct watched *w = watched_of(base);

    memcpy(w->refused, w->last, sizeof(w->refused));
    w->inner->ops->reject(w->inner);
    watch(w);
}

static void watched_describe(const struct credentials_provider *base, struct buf *b)
{
    credentials_describe(container_of(base, const struct watched, base)->inner, b);
}

static void on_closed(uv_handle_t *handle)
{
    free(container_of((uv_timer_t *)(void *)handle, struct watched, timer));
}

static void watched_free(struct credentials_provider *base)
{
    struct watched *w = watched_of(base);

    credentials_unwait(&w->waiter);
    credentials_provider_free(w->inner);
    uv_close((uv_handle_t *)&w->timer, on_closed);
}

int credentials_watched_new(uv_loop_t *loop, struct credentials_provider *inner,
                            void (*changed)(void *ctx), void *ctx,
                            struct credentials_provider **ret_provider, struct err *err)
{
    static const struct credentials_ops ops = {watched_get, watched_reject, watched_describe,
                                               watched_free};
    struct watched *w = calloc(1, sizeof(*w));

    if (w == NULL) {
        credentials_provider_free(inner);
        return err_set(err, ERR_NOMEM, "credentials: out of memory");
    }
    w->base.ops = &ops;
    w->inner = inner;
    w->changed = changed;
    w->ctx = ctx;
    w->waiter = (struct credentials_waiter){.wake = wake, .ctx = w};
    (void)uv_timer_init(loop, &w->timer); /* cannot fail */
    *ret_provider = &w->base;
    return 0;
}
