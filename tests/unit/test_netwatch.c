/* What tells of a network that came back, and one call for a burst of it. */
#include <check.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "tests/lib/script_server.h"
#include "transport/netwatch.h"

struct datagram {
    char bytes[512];
    size_t n;
};

static void add(struct datagram *d, unsigned short type, const void *body, size_t n)
{
    const struct nlmsghdr h = {.nlmsg_len = (unsigned)(NLMSG_HDRLEN + n), .nlmsg_type = type};

    memcpy(d->bytes + d->n, &h, sizeof(h));
    memcpy(d->bytes + d->n + NLMSG_HDRLEN, body, n);
    d->n += NLMSG_ALIGN(h.nlmsg_len);
}

static void add_link(struct datagram *d, unsigned flags)
{
    const struct ifinfomsg m = {.ifi_index = 2, .ifi_flags = flags};

    add(d, RTM_NEWLINK, &m, sizeof(m));
}

static void add_route(struct datagram *d, unsigned char type, unsigned flags)
{
    const struct rtmsg m = {.rtm_type = type, .rtm_flags = flags};

    add(d, RTM_NEWROUTE, &m, sizeof(m));
}

START_TEST(links_addresses_and_routes_that_come_tell_of_a_return)
{
    const struct ifaddrmsg address = {.ifa_index = 2};
    struct datagram d = {.n = 0};

    add_link(&d, IFF_UP | IFF_RUNNING);
    ck_assert(netwatch_is_return(d.bytes, d.n));
    d.n = 0;
    add_route(&d, RTN_UNICAST, 0);
    ck_assert(netwatch_is_return(d.bytes, d.n));
    d.n = 0;
    add(&d, RTM_NEWADDR, &address, sizeof(address));
    ck_assert(netwatch_is_return(d.bytes, d.n));
}
END_TEST

START_TEST(what_goes_or_is_of_this_machine_alone_tells_nothing)
{
    const struct ifinfomsg gone = {.ifi_flags = IFF_UP | IFF_RUNNING};
    struct datagram d = {.n = 0};

    add_link(&d, IFF_UP);
    add_link(&d, 0);
    add_route(&d, RTN_LOCAL, 0);
    add_route(&d, RTN_BROADCAST, 0);
    add_route(&d, RTN_UNICAST, RTM_F_CLONED);
    add(&d, RTM_DELLINK, &gone, sizeof(gone));
    ck_assert(!netwatch_is_return(d.bytes, d.n));
    add_link(&d, IFF_UP | IFF_RUNNING); /* behind all of these */
    ck_assert(netwatch_is_return(d.bytes, d.n));
}
END_TEST

START_TEST(a_datagram_cut_at_any_byte_is_read_within_its_bounds)
{
    struct datagram d = {.n = 0};
    size_t n;

    add_link(&d, IFF_UP);
    add_link(&d, IFF_UP | IFF_RUNNING);
    for (n = 0; n < d.n; n++) {
        char *copy = malloc(n + 1); /* so that a sanitizer sees a byte too many */

        ck_assert_ptr_nonnull(copy);
        memcpy(copy, d.bytes, n);
        ck_assert(!netwatch_is_return(copy, n));
        free(copy);
    }
    memset(d.bytes, 0, 4); /* a length of nothing: must not be read for ever */
    ck_assert(!netwatch_is_return(d.bytes, d.n));
    memset(d.bytes, 0xff, 4);
    ck_assert(!netwatch_is_return(d.bytes, d.n));
}
END_TEST

static bool is_back;
static unsigned n_calls;

static void came_back(void *ctx)
{
    (void)ctx;
    n_calls++;
    is_back = true;
}

static void set_loopback(bool is_up)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo"};

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ioctl(fd, SIOCGIFFLAGS, &request), 0);
    request.ifr_flags = (short)(is_up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP);
    ck_assert_int_eq(ioctl(fd, SIOCSIFFLAGS, &request), 0);
    ck_assert_int_eq(close(fd), 0);
}

START_TEST(a_link_of_the_kernel_that_comes_up_is_told_once_for_its_burst)
{
    uv_loop_t loop;
    struct netwatch *w;
    struct err err = {0};
    const struct netwatch_options o = {
        .loop = &loop, .settle_ms = 20, .least_ms = 1, .came_back = came_back};

    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 && unshare(CLONE_NEWNET) < 0) {
        (void)fprintf(stderr, "no network namespace of its own (%s): not tested here\n",
                      strerror(errno));
        return;
    }
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_msg(netwatch_new(&o, &w, &err) == 0, "%s", err.text);
    set_loopback(true); /* a link, an address and routes */
    script_run_until(&loop, &is_back);
    ck_assert_uint_eq(n_calls, 1);
    is_back = false;
    set_loopback(false);
    set_loopback(true);
    script_run_until(&loop, &is_back);
    netwatch_close(w);
    script_finish_loop(&loop);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("netwatch");
    TCase *tc = tcase_create("netwatch");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_set_timeout(tc, 240);
    tcase_add_test(tc, links_addresses_and_routes_that_come_tell_of_a_return);
    tcase_add_test(tc, what_goes_or_is_of_this_machine_alone_tells_nothing);
    tcase_add_test(tc, a_datagram_cut_at_any_byte_is_read_within_its_bounds);
    tcase_add_test(tc, a_link_of_the_kernel_that_comes_up_is_told_once_for_its_burst);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
