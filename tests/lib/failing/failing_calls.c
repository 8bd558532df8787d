/* Memory, processes and descriptors that are not to be had. */
#include "tests/lib/failing/failing.h"

#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

/* What dlsym() wants before malloc is found. */
#define EARLY_BYTES 65536
static _Alignas(16) char early[EARLY_BYTES];
static size_t early_used;

static void *take_early(size_t size)
{
    size_t at = early_used;

    early_used = (at + size + 31) & ~(size_t)15;
    if (early_used > sizeof(early))
        _exit(97);
    memcpy(early + at, &size, sizeof(size));
    return early + at + 16;
}

static bool is_early(const void *p)
{
    return (const char *)p >= early && (const char *)p < early + sizeof(early);
}

static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static void *(*real_aligned)(size_t, size_t);
static int (*real_memalign)(void **, size_t, size_t);
static void (*real_free)(void *);

static bool is_ready(void)
{
    static bool is_busy;

    if (real_free != NULL)
        return true;
    if (is_busy)
        return false;
    is_busy = true;
    *(void **)&real_malloc = failing_next("malloc");
    *(void **)&real_calloc = failing_next("calloc");
    *(void **)&real_realloc = failing_next("realloc");
    *(void **)&real_aligned = failing_next("aligned_alloc");
    *(void **)&real_memalign = failing_next("posix_memalign");
    *(void **)&real_free = failing_next("free");
    return true;
}

PUBLIC void *malloc(size_t size)
{
    if (!is_ready())
        return take_early(size);
    return failing_fails(FAILING_MEMORY, ENOMEM, "malloc", NULL) ? NULL : real_malloc(size);
}

PUBLIC void *calloc(size_t n, size_t size)
{
    if (!is_ready())
        return take_early(n * size); /* static memory is zero */
    return failing_fails(FAILING_MEMORY, ENOMEM, "calloc", NULL) ? NULL : real_calloc(n, size);
}

PUBLIC void *realloc(void *p, size_t size)
{
    size_t had;
    void *more;

    if (!is_ready() || is_early(p)) {
        more = is_ready() ? real_malloc(size) : take_early(size);
        if (p != NULL && more != NULL) {
            memcpy(&had, (char *)p - 16, sizeof(had));
            memcpy(more, p, had < size ? had : size);
        }
        return more;
    }
    return failing_fails(FAILING_MEMORY, ENOMEM, "realloc", NULL) ? NULL : real_realloc(p, size);
}

PUBLIC void *aligned_alloc(size_t alignment, size_t size)
{
    if (!is_ready() || failing_fails(FAILING_MEMORY, ENOMEM, "aligned_alloc", NULL))
        return NULL;
    return real_aligned(alignment, size);
}

PUBLIC int posix_memalign(void **ret, size_t alignment, size_t size)
{
    if (!is_ready() || failing_is_due(FAILING_MEMORY, "posix_memalign", NULL))
        return ENOMEM;
    return real_memalign(ret, alignment, size);
}

PUBLIC void free(void *p)
{
    if (p != NULL && !is_early(p) && is_ready())
        real_free(p);
}

/* `kind`, or -1 and an errno. */
#define WRAPPED(kind, otherwise, result, name, parameters, ...)                                    \
    PUBLIC result name parameters                                                                  \
    {                                                                                              \
        static result(*real) parameters;                                                           \
                                                                                                   \
        if (real == NULL)                                                                          \
            *(void **)&real = failing_next(#name);                                                 \
        if (failing_fails(kind, otherwise, #name, NULL))                                           \
            return -1;                                                                             \
        return real(__VA_ARGS__);                                                                  \
    }

WRAPPED(FAILING_FORK, EAGAIN, pid_t, fork, (void), )
WRAPPED(FAILING_SOCKET, EMFILE, int, socket, (int family, int type, int protocol), family, type,
        protocol)
WRAPPED(FAILING_PIPE, EMFILE, int, socketpair, (int family, int type, int protocol, int ends[2]),
        family, type, protocol, ends)
WRAPPED(FAILING_PIPE, EMFILE, int, pipe, (int ends[2]), ends)
WRAPPED(FAILING_PIPE, EMFILE, int, pipe2, (int ends[2], int flags), ends, flags)
WRAPPED(FAILING_PIPE, EMFILE, int, eventfd, (unsigned value, int flags), value, flags)
WRAPPED(FAILING_PIPE, EMFILE, int, epoll_create1, (int flags), flags)
WRAPPED(FAILING_OPEN, EMFILE, int, inotify_init1, (int flags), flags)
WRAPPED(FAILING_OPEN, EMFILE, int, timerfd_create, (int clock, int flags), clock, flags)
WRAPPED(FAILING_OPEN, EMFILE, int, dup, (int fd), fd)

/* glibc declares its second parameter as a union, which is passed as the pointer that it is. */
PUBLIC int accept4(int fd, __SOCKADDR_ARG address, socklen_t *size, int flags)
{
    static int (*real)(int, __SOCKADDR_ARG, socklen_t *, int);

    if (real == NULL)
        *(void **)&real = failing_next("accept4");
    return failing_fails(FAILING_SOCKET, EMFILE, "accept4", NULL) ? -1
                                                                  : real(fd, address, size, flags);
}

int memfd_create(const char *name, unsigned flags);
WRAPPED(FAILING_OPEN, EMFILE, int, memfd_create, (const char *name, unsigned flags), name, flags)

PUBLIC int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg)
{
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

    if (real == NULL)
        *(void **)&real = failing_next("pthread_create");
    return failing_is_due(FAILING_FORK, "pthread_create", NULL)
               ? EAGAIN
               : real(thread, attributes, run, arg);
}

PUBLIC int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    static int (*real)(pid_t *, const char *, const posix_spawn_file_actions_t *,
                       const posix_spawnattr_t *, char *const[], char *const[]);

    if (real == NULL)
        *(void **)&real = failing_next("posix_spawn");
    return failing_is_due(FAILING_FORK, "posix_spawn", NULL)
               ? EAGAIN
               : real(pid, path, actions, attributes, argv, envp);
}
