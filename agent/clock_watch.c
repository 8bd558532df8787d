/* A timer of the kernel that never ends, but is cancelled when the clock is set. */
#include "agent/clock_watch.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

struct clock_watch {
    uv_poll_t poll; /* its close frees the struct */
    int fd;
    void (*was_set)(void *ctx);
    void *ctx;
};

/* ECANCELED: the clock was set this moment; the timer runs all the same. */
static int arm(int fd)
{
    const struct itimerspec never = {.it_value = {.tv_sec = INT32_MAX}}; /* the year 2038 */
    const struct itimerspec later = {.it_value = {.tv_sec = (time_t)1 << 40}};
    int flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;

    if (timerfd_settime(fd, flags, sizeof(time_t) > 4 ? &later : &never, NULL) < 0 &&
        errno != ECANCELED)
        return -1;
    return 0;
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct clock_watch *w = container_of(poll, struct clock_watch, poll);
    uint64_t n;

    (void)events; /* only readability was asked for */
    if (status < 0 || (read(w->fd, &n, sizeof(n)) < 0 && errno != ECANCELED))
        return;
    (void)arm(w->fd); /* it was armed before, with the same words */
    w->was_set(w->ctx);
}

static void on_closed(uv_handle_t *handle)
{
    free(container_of((uv_poll_t *)(void *)handle, struct clock_watch, poll));
}

int clock_watch_new(uv_loop_t *loop, void (*was_set)(void *ctx), void *ctx,
                    struct clock_watch **ret_watch, struct err *err)
{
    AUTO(close_fd) int fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    AUTO(free) struct clock_watch *w = calloc(1, sizeof(*w));
    int r;

    if (w == NULL)
        return err_set(err, ERR_NOMEM, "clock: out of memory");
    if (fd < 0 || arm(fd) < 0)
        return err_sys(err, ERR_SYSTEM, errno, "clock: timerfd");
    r = uv_poll_init(loop, &w->poll, fd);
    if (r == 0)
        r = uv_poll_start(&w->poll, UV_READABLE, on_event);
    if (r < 0)
        return err_set(err, ERR_SYSTEM, "clock: %s", uv_strerror(r));
    uv_unref((uv_handle_t *)&w->poll);
    w->fd = TAKE_FD(fd);
    w->was_set = was_set;
    w->ctx = ctx;
    *ret_watch = TAKE(w);
    return 0;
}

void clock_watch_close(struct clock_watch *w)
{
    if (w == NULL)
        return;
    uv_close((uv_handle_t *)&w->poll, on_closed);
    (void)close(w->fd); /* libuv has let go of it */
}
