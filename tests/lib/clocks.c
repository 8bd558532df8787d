/* A layer under our programs (LD_PRELOAD) that sets their clocks: what they are told of wall time
 * and of boot time is off by what stands in a file that the test changes while they run. Monotonic
 * time, and all that other programs see, stays as it is.
 *
 *   SSMD_CLOCKS=FILE      struct offsets, made by the test
 *
 * A change is seen within SLICE_MS: waits are cut into slices, after each of which timers of the
 * kernel are set anew where boot time jumped (the end of a suspend), and those that are to tell of
 * a clock that was set become readable, as with the real thing. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define SLICE_MS 20
#define MAX_TIMERS 1024 /* by descriptor */
#define NS_PER_S INT64_C(1000000000)

struct offsets {
    int64_t wall_ns, boot_ns;
    uint64_t n_changes;
};

struct timer {
    bool is_boot, tells_of_set;
    struct itimerspec at; /* what was asked for, absolute; zero: nothing */
};

static struct offsets *offsets; /* NULL: this program does not take part */
static uint64_t n_seen;
static struct timer timers[MAX_TIMERS];

#define EXPORT __attribute__((visibility("default")))

__attribute__((constructor)) static void begin(void)
{
    const char *file = getenv("SSMD_CLOCKS"), *name;
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    void *map;
    int fd;

    if (file == NULL || n < 0)
        return;
    self[n] = '\0';
    name = strrchr(self, '/');
    if (name == NULL || strncmp(name, "/ssm", 4) != 0)
        return;
    fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        _exit(97);
    map = mmap(NULL, sizeof(*offsets), PROT_READ, MAP_SHARED, fd, 0);
    (void)syscall(SYS_close, fd);
    if (map == MAP_FAILED)
        _exit(97);
    offsets = map;
    n_seen = __atomic_load_n(&offsets->n_changes, __ATOMIC_ACQUIRE);
}

static int64_t offset_of(clockid_t id)
{
    if (offsets == NULL)
        return 0;
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE || id == CLOCK_TAI)
        return __atomic_load_n(&offsets->wall_ns, __ATOMIC_ACQUIRE);
    return id == CLOCK_BOOTTIME ? __atomic_load_n(&offsets->boot_ns, __ATOMIC_ACQUIRE) : 0;
}

static struct timespec plus(struct timespec t, int64_t ns)
{
    int64_t sum = (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec + ns;

    return (struct timespec){.tv_sec = (time_t)(sum / NS_PER_S), .tv_nsec = (long)(sum % NS_PER_S)};
}

/* ---- what time it is ---- */

static struct timespec now_of(clockid_t id)
{
    struct timespec t = {0};

    (void)syscall(SYS_clock_gettime, id, &t);
    return plus(t, offset_of(id));
}

EXPORT int clock_gettime(clockid_t id, struct timespec *t)
{
    int r = (int)syscall(SYS_clock_gettime, id, t);

    if (r == 0 && offset_of(id) != 0)
        *t = plus(*t, offset_of(id));
    return r;
}

EXPORT int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
    struct timespec now = now_of(CLOCK_REALTIME);

    if (zone != NULL)
        memset(zone, 0, sizeof(struct timezone));
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}

EXPORT time_t time(time_t *t)
{
    time_t now = now_of(CLOCK_REALTIME).tv_sec;

    if (t != NULL)
        *t = now;
    return now;
}

EXPORT int timespec_get(struct timespec *t, int base)
{
    if (base != TIME_UTC)
        return 0;
    *t = now_of(CLOCK_REALTIME);
    return base;
}

/* ---- timers ---- */

static int set_real(int fd, int flags, const struct itimerspec *at, struct itimerspec *before)
{
    return (int)syscall(SYS_timerfd_settime, fd, flags, at, before);
}

/* Of boot time, as the kernel has it. What is over already fires at once: zero would disarm. */
static int set_boot(int fd, const struct itimerspec *asked)
{
    struct itimerspec at = *asked;

    at.it_value = plus(at.it_value, -offset_of(CLOCK_BOOTTIME));
    if (at.it_value.tv_sec < 0 || at.it_value.tv_nsec < 0)
        at.it_value = (struct timespec){.tv_nsec = 1};
    return set_real(fd, TFD_TIMER_ABSTIME, &at, NULL);
}

EXPORT int timerfd_create(clockid_t id, int flags)
{
    int fd = (int)syscall(SYS_timerfd_create, id, flags);

    if (offsets != NULL && fd >= 0 && fd < MAX_TIMERS)
        timers[fd] = (struct timer){.is_boot = id == CLOCK_BOOTTIME};
    return fd;
}

EXPORT int timerfd_settime(int fd, int flags, const struct itimerspec *at,
                           struct itimerspec *before)
{
    struct timer *t = offsets != NULL && fd >= 0 && fd < MAX_TIMERS ? &timers[fd] : NULL;
    bool is_armed = at->it_value.tv_sec != 0 || at->it_value.tv_nsec != 0;

    if (t == NULL)
        return set_real(fd, flags, at, before);
    t->tells_of_set = (flags & TFD_TIMER_CANCEL_ON_SET) != 0;
    t->at = (struct itimerspec){0};
    if (!t->is_boot || !is_armed || (flags & TFD_TIMER_ABSTIME) == 0)
        return set_real(fd, flags, at, before);
    t->at = *at;
    return set_boot(fd, at);
}

/* A number that is another file's by now takes no timer's setting. */
static void look_at_clocks(void)
{
    static const struct itimerspec at_once = {.it_value = {.tv_nsec = 1}};
    uint64_t n = __atomic_load_n(&offsets->n_changes, __ATOMIC_ACQUIRE);
    int fd;

    if (n == n_seen)
        return;
    n_seen = n;
    for (fd = 0; fd < MAX_TIMERS; fd++) {
        if (timers[fd].tells_of_set)
            (void)set_real(fd, TFD_TIMER_ABSTIME, &at_once, NULL);
        else if (timers[fd].at.it_value.tv_sec != 0 || timers[fd].at.it_value.tv_nsec != 0)
            (void)set_boot(fd, &timers[fd].at);
    }
}

/* ---- waits ---- */

/* The next slice of a wait of timeout_ms (less than 0: for ever) that began at `since`. */
static int slice(int timeout_ms, const struct timespec *since)
{
    struct timespec now = {0};
    int64_t left;

    (void)syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    left = (int64_t)(now.tv_sec - since->tv_sec) * 1000 + (now.tv_nsec - since->tv_nsec) / 1000000;
    left = timeout_ms < 0 ? SLICE_MS : timeout_ms - left;
    return left > SLICE_MS ? SLICE_MS : left > 0 ? (int)left : 0;
}

static bool is_main_thread(void)
{
    return syscall(SYS_gettid) == getpid();
}

static int wait_real(int epfd, struct epoll_event *events, int n, int ms, const sigset_t *mask)
{
    return (int)syscall(SYS_epoll_pwait, epfd, events, n, ms, mask, (size_t)8);
}

EXPORT int epoll_pwait(int epfd, struct epoll_event *events, int n, int timeout_ms,
                       const sigset_t *mask)
{
    struct timespec since = {0};
    int r, ms;

    if (offsets == NULL || !is_main_thread())
        return wait_real(epfd, events, n, timeout_ms, mask);
    (void)syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &since);
    do {
        look_at_clocks();
        ms = slice(timeout_ms, &since);
        r = wait_real(epfd, events, n, ms, mask);
    } while (r == 0 && (timeout_ms < 0 || ms == SLICE_MS));
    return r;
}

EXPORT int epoll_wait(int epfd, struct epoll_event *events, int n, int timeout_ms)
{
    return epoll_pwait(epfd, events, n, timeout_ms, NULL);
}

static int poll_real(struct pollfd *fds, nfds_t n, int ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    return (int)syscall(SYS_ppoll, fds, n, ms < 0 ? NULL : &t, NULL, (size_t)8);
}

EXPORT int poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    struct timespec since = {0};
    int r, ms;

    if (offsets == NULL || !is_main_thread())
        return poll_real(fds, n, timeout_ms);
    (void)syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &since);
    do {
        look_at_clocks();
        ms = slice(timeout_ms, &since);
        r = poll_real(fds, n, ms);
    } while (r == 0 && (timeout_ms < 0 || ms == SLICE_MS));
    return r;
}
