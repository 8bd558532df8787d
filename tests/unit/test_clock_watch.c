/* Whoever sets the clock is noticed, once, and the next one too. A test does not set a machine's
 * clock: the kernel's timer is played by an eventfd, in the two system calls and the read. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "agent/clock_watch.h"

/* The linker wants these names. NOLINTBEGIN(bugprone-reserved-identifier) */
int __wrap_timerfd_create(int clock, int flags);
int __real_timerfd_create(int clock, int flags);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *value,
                           struct itimerspec *old);
int __real_timerfd_settime(int fd, int flags, const struct itimerspec *value,
                           struct itimerspec *old);
ssize_t __wrap_read(int fd, void *bytes, size_t n);
ssize_t __real_read(int fd, void *bytes, size_t n);
/* NOLINTEND(bugprone-reserved-identifier) */

static struct {
    bool is_real;
    int fd, create_errno, settime_errno, read_errno;
    int clock, settime_flags;
    int n_armed;
} kernel;

static uv_loop_t loop;
static uv_timer_t other; /* the watch alone keeps no loop going */
static struct clock_watch *watch;
static int n_told, ctx_told;
static struct err err;

int __wrap_timerfd_create(int clock, int flags)
{
    if (kernel.is_real)
        return __real_timerfd_create(clock, flags);
    kernel.clock = clock;
    errno = kernel.create_errno;
    return kernel.create_errno != 0 ? -1 : (kernel.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *value,
                           struct itimerspec *old)
{
    if (kernel.is_real)
        return __real_timerfd_settime(fd, flags, value, old);
    ck_assert_int_eq(fd, kernel.fd);
    kernel.settime_flags = flags;
    kernel.n_armed++;
    errno = kernel.settime_errno;
    return kernel.settime_errno != 0 ? -1 : 0;
}

/* As the kernel: what is to be read is that it was cancelled. */
ssize_t __wrap_read(int fd, void *bytes, size_t n)
{
    ssize_t k = __real_read(fd, bytes, n);

    if (fd != kernel.fd || kernel.read_errno == 0)
        return k;
    errno = kernel.read_errno;
    return -1;
}

static void on_set(void *ctx)
{
    n_told++;
    ck_assert_ptr_eq(ctx, &ctx_told);
}

static void set_clock(void)
{
    ck_assert_int_eq(eventfd_write(kernel.fd, 1), 0);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
}

static void on_other(uv_timer_t *timer)
{
    (void)timer;
}

static void begin(void)
{
    memset(&kernel, 0, sizeof(kernel));
    kernel.fd = -1;
    kernel.read_errno = ECANCELED;
    n_told = 0;
    watch = NULL;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    (void)uv_timer_init(&loop, &other); /* these cannot fail */
    (void)uv_timer_start(&other, on_other, UINT64_C(3600) * 1000, 0);
}

static void end(void)
{
    clock_watch_close(watch);
    uv_close((uv_handle_t *)&other, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}

static int make(void)
{
    return clock_watch_new(&loop, on_set, &ctx_told, &watch, &err);
}

START_TEST(each_time_that_the_clock_is_set_is_told_once)
{
    ck_assert_msg(make() == 0, "%s", err.text);
    ck_assert_int_eq(kernel.clock, CLOCK_REALTIME);
    ck_assert_int_eq(kernel.settime_flags, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
    ck_assert_int_eq(kernel.n_armed, 1);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_int_eq(n_told, 0);
    set_clock();
    ck_assert_int_eq(n_told, 1);
    ck_assert_int_eq(kernel.n_armed, 2);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_int_eq(n_told, 1);
    set_clock();
    ck_assert_int_eq(n_told, 2);
    ck_assert_int_eq(kernel.settime_flags, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
}
END_TEST

START_TEST(a_wake_up_without_a_reason_is_not_told)
{
    ck_assert_int_eq(make(), 0);
    kernel.read_errno = EAGAIN;
    set_clock();
    ck_assert_int_eq(n_told, 0);
    kernel.read_errno = ECANCELED;
    set_clock();
    ck_assert_int_eq(n_told, 1);
}
END_TEST

/* The timer runs all the same; the kernel only says that something came first. */
START_TEST(a_clock_that_is_set_while_the_watch_is_made_does_not_hinder_it)
{
    kernel.settime_errno = ECANCELED;
    ck_assert_msg(make() == 0, "%s", err.text);
    kernel.settime_errno = 0;
    set_clock();
    ck_assert_int_eq(n_told, 1);
}
END_TEST

static const struct {
    int create_errno, settime_errno;
} refusals[] = {{EMFILE, 0}, {0, EINVAL}};

START_TEST(a_kernel_that_refuses_is_an_error_that_names_the_timer)
{
    kernel.create_errno = refusals[_i].create_errno;
    kernel.settime_errno = refusals[_i].settime_errno;
    ck_assert_int_eq(make(), ERR_SYSTEM);
    ck_assert_ptr_nonnull(strstr(err.text, "timerfd"));
    ck_assert_ptr_null(watch);
    ck_assert(kernel.fd < 0 || fcntl(kernel.fd, F_GETFD) < 0);
}
END_TEST

START_TEST(a_watch_alone_keeps_no_loop_alive)
{
    ck_assert_int_eq(make(), 0);
    (void)uv_timer_stop(&other);
    ck_assert(!uv_loop_alive(&loop));
}
END_TEST

START_TEST(the_real_timer_is_taken_and_says_nothing_of_a_clock_that_runs_on)
{
    kernel.is_real = true;
    ck_assert_msg(make() == 0, "%s", err.text);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_int_eq(n_told, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("clock_watch");
    TCase *t = tcase_create("clock");
    SRunner *sr;
    int n_failed;

    tcase_add_checked_fixture(t, begin, end);
    tcase_add_test(t, each_time_that_the_clock_is_set_is_told_once);
    tcase_add_test(t, a_wake_up_without_a_reason_is_not_told);
    tcase_add_test(t, a_clock_that_is_set_while_the_watch_is_made_does_not_hinder_it);
    tcase_add_loop_test(t, a_kernel_that_refuses_is_an_error_that_names_the_timer, 0,
                        (int)(sizeof(refusals) / sizeof(refusals[0])));
    tcase_add_test(t, a_watch_alone_keeps_no_loop_alive);
    tcase_add_test(t, the_real_timer_is_taken_and_says_nothing_of_a_clock_that_runs_on);
    suite_add_tcase(s, t);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
