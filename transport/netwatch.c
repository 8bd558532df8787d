/* A netlink socket, and a timer that makes one call out of a burst. */
#include "transport/netwatch.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOG_MODULE "transport"
#include "base/log.h"

#define DEFAULT_SETTLE_MS 500
#define DEFAULT_LEAST_MS 10000
#define DATAGRAM_BYTES 32768u

struct netwatch {
    uv_loop_t *loop;
    uv_poll_t poll;
    uv_timer_t timer; /* runs towards a call */
    unsigned n_open_handles;
    int fd; /* owned */
    bool is_closing;
    uint64_t called_at; /* the loop's time of the last call; 0: none */
    int64_t settle_ms, least_ms;
    void (*came_back)(void *ctx);
    void *ctx;
};

/* ---- what a message tells ---- */

static bool is_return(const struct nlmsghdr *h, const char *body, size_t n)
{
    struct ifinfomsg link;
    struct rtmsg route;

    switch (h->nlmsg_type) {
    case RTM_NEWLINK:
        if (n < sizeof(link))
            return false;
        memcpy(&link, body, sizeof(link));
        return (link.ifi_flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
    case RTM_NEWADDR:
        return n >= sizeof(struct ifaddrmsg);
    case RTM_NEWROUTE:
        if (n < sizeof(route))
            return false;
        memcpy(&route, body, sizeof(route));
        return route.rtm_type == RTN_UNICAST && (route.rtm_flags & RTM_F_CLONED) == 0;
    default:
        return false;
    }
}

bool netwatch_is_return(const void *bytes, size_t n)
{
    const char *at = bytes;
    struct nlmsghdr h;

    while (n >= sizeof(h)) {
        size_t step;

        memcpy(&h, at, sizeof(h));
        if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > n)
            return false;
        if (is_return(&h, at + NLMSG_HDRLEN, h.nlmsg_len - NLMSG_HDRLEN))
            return true;
        step = NLMSG_ALIGN(h.nlmsg_len);
        if (step >= n)
            return false;
        at += step;
        n -= step;
    }
    return false;
}

/* ---- the socket ---- */

static void on_timer(uv_timer_t *timer)
{
    struct netwatch *w = container_of(timer, struct netwatch, timer);

    w->called_at = uv_now(w->loop);
    log_info("the network changed: trying again what waits for it");
    w->came_back(w->ctx); /* last: it may close us */
}

static void note(struct netwatch *w)
{
    uint64_t delay = (uint64_t)w->settle_ms, since;

    if (uv_is_active((uv_handle_t *)&w->timer))
        return;
    uv_update_time(w->loop);
    since = uv_now(w->loop) - w->called_at;
    if (w->called_at != 0 && since + delay < (uint64_t)w->least_ms)
        delay = (uint64_t)w->least_ms - since;
    (void)uv_timer_start(&w->timer, on_timer, delay, 0); /* not closing */
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct netwatch *w = container_of(poll, struct netwatch, poll);
    char bytes[DATAGRAM_BYTES];
    struct sockaddr_nl from = {0};
    socklen_t n_from;
    ssize_t n;

    (void)status;
    (void)events;
    for (;;) {
        n_from = sizeof(from);
        n = recvfrom(w->fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &n_from);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == ENOBUFS) { /* more changed than the kernel could keep for us */
            note(w);
            continue;
        }
        if (n < 0)
            return;
        if (from.nl_pid == 0 && netwatch_is_return(bytes, (size_t)n)) /* of the kernel only */
            note(w);
    }
}

static int open_socket(int *ret_fd, struct err *err)
{
    const struct sockaddr_nl address = {.nl_family = AF_NETLINK,
                                        .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR |
                                                     RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR |
                                                     RTMGRP_IPV6_ROUTE};
    AUTO(close_fd)
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return err_sys(err, ERR_SYSTEM, errno, "watch the network's links and routes");
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static void release(struct netwatch *w)
{
    if (--w->n_open_handles > 0)
        return;
    if (w->fd >= 0)
        (void)close(w->fd); /* only read from */
    free(w);
}

static void on_poll_closed(uv_handle_t *handle)
{
    release(container_of((uv_poll_t *)(void *)handle, struct netwatch, poll));
}

static void on_timer_closed(uv_handle_t *handle)
{
    release(container_of((uv_timer_t *)(void *)handle, struct netwatch, timer));
}

int netwatch_new(const struct netwatch_options *o, struct netwatch **ret_watch, struct err *err)
{
    struct netwatch *w = calloc(1, sizeof(*w));
    int r;

    if (w == NULL)
        return err_set(err, ERR_NOMEM, "watch the network: out of memory");
    w->loop = o->loop;
    w->settle_ms = o->settle_ms > 0 ? o->settle_ms : DEFAULT_SETTLE_MS;
    w->least_ms = o->least_ms > 0 ? o->least_ms : DEFAULT_LEAST_MS;
    w->came_back = o->came_back;
    w->ctx = o->ctx;
    r = open_socket(&w->fd, err);
    if (r < 0) {
        free(w);
        return r;
    }
    r = uv_poll_init(o->loop, &w->poll, w->fd);
    if (r < 0) {
        (void)close(w->fd);
        free(w);
        return err_set(err, ERR_SYSTEM, "watch the network: %s", uv_strerror(r));
    }
    (void)uv_timer_init(o->loop, &w->timer); /* cannot fail, as the next */
    (void)uv_poll_start(&w->poll, UV_READABLE, on_poll);
    w->n_open_handles = 2;
    *ret_watch = w;
    return 0;
}

void netwatch_close(struct netwatch *w)
{
    if (w == NULL || w->is_closing)
        return;
    w->is_closing = true;
    uv_close((uv_handle_t *)&w->poll, on_poll_closed);
    uv_close((uv_handle_t *)&w->timer, on_timer_closed);
}
