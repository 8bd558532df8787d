/* What signed calls have in common. The call's timer begins every try, so that no callback runs
 * inside the function that started the call; its uv_close callback frees the call. */
#include "transport/tries.h"

#include <string.h>

#define LOG_MODULE "transport"
#include "base/clock.h"
#include "base/ids.h"
#include "base/log.h"

static struct tries *of_timer(uv_timer_t *timer)
{
    return container_of(timer, struct tries, timer);
}

static void on_timer(uv_timer_t *timer)
{
    struct tries *t = of_timer(timer);

    t->ops->attempt(t);
}

static void on_closed(uv_handle_t *handle)
{
    struct tries *t = of_timer((uv_timer_t *)(void *)handle);

    t->ops->free(t);
}

static void wake(void *ctx)
{
    tries_in(ctx, 0); /* not from inside the provider's round */
}

void tries_init(struct tries *t, struct tries_client *client, const struct tries_ops *ops)
{
    t->client = client;
    t->ops = ops;
    t->waiter = (struct credentials_waiter){.wake = wake, .ctx = t};
    (void)uv_timer_init(client->loop, &t->timer); /* cannot fail */
}

void tries_begin(struct tries *t)
{
    t->next = t->client->first;
    if (t->next != NULL)
        t->next->prev = t;
    t->client->first = t;
    tries_in(t, 0);
}

void tries_in(struct tries *t, int64_t delay_ms)
{
    uv_update_time(t->client->loop);
    (void)uv_timer_start(&t->timer, on_timer, (uint64_t)delay_ms, 0); /* not closing */
}

int tries_credentials(struct tries *t, const struct credentials **ret, struct err *err)
{
    int r;

    *ret = NULL;
    t->signed_offset_ms = t->client->offset_ms;
    if (t->credentials == NULL)
        return 0;
    r = credentials_get(t->credentials, ret, err);
    if (r == ERR_BUSY && t->waiter.provider == NULL)
        credentials_wait(t->credentials, &t->waiter);
    if (r == 0)
        memcpy(t->access_key, (*ret)->access_key, sizeof(t->access_key));
    return r;
}

bool tries_learn_clock(struct tries *t, const struct http_response *response, bool may_be_clock)
{
    return aws_learn_clock(&t->client->offset_ms, t->signed_offset_ms, http_date_ms(response),
                           clock_wall_ms(), may_be_clock);
}

static bool repair(struct tries *t, const struct aws_verdict *v, bool is_clock_changed)
{
    if (v->may_be_clock && is_clock_changed && !t->is_clock_repaired) {
        t->is_clock_repaired = true;
        return true;
    }
    if (v->may_be_credentials && t->credentials != NULL && !t->are_credentials_repaired) {
        t->are_credentials_repaired = true;
        return credentials_reject(t->credentials, t->access_key);
    }
    return false;
}

bool tries_again(struct tries *t, const struct aws_verdict *v, const struct http_response *response,
                 bool is_clock_changed, const struct err *err)
{
    int64_t delay_ms = 0;

    if (repair(t, v, is_clock_changed)) {
        log_debug("%s; trying again at once", err->text);
    } else if (v->is_retryable && t->n_tried <= t->n_retries) {
        delay_ms = aws_retry_delay_ms(t->n_tried, t->client->retry_unit_ms,
                                      http_retry_after_ms(response), ids_random32());
        log_debug("%s; trying again in %lld ms", err->text, (long long)delay_ms);
    } else {
        return false;
    }
    tries_in(t, delay_ms);
    return true;
}

void tries_unlink(struct tries *t)
{
    if (t->next != NULL)
        t->next->prev = t->prev;
    if (t->prev != NULL)
        t->prev->next = t->next;
    else
        t->client->first = t->next;
}

void tries_close(struct tries *t)
{
    uv_close((uv_handle_t *)&t->timer, on_closed);
}

void tries_cancel(struct tries *t)
{
    tries_unlink(t);
    credentials_unwait(&t->waiter);
    http_cancel(t->http_call);
    tries_close(t);
}

void tries_cancel_all(struct tries_client *client)
{
    while (client->first != NULL)
        tries_cancel(client->first);
}
