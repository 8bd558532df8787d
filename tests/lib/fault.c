/* System calls that fail when they are told to. */
#include "tests/lib/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

static int countdown, failure;
static bool has_hit;

void fault_at(int n, int sys_errno)
{
    countdown = n;
    failure = sys_errno;
    has_hit = false;
}

bool fault_has_hit(void)
{
    countdown = 0;
    return has_hit;
}

static bool is_due(void)
{
    if (countdown == 0 || --countdown > 0)
        return false;
    has_hit = true;
    errno = failure;
    return true;
}

#define WRAPPED(result, name, parameters, ...)                                                     \
    result __real_##name parameters;                                                               \
    result __wrap_##name parameters;                                                               \
    result __wrap_##name parameters                                                                \
    {                                                                                              \
        return is_due() ? -1 : __real_##name(__VA_ARGS__);                                         \
    }

WRAPPED(ssize_t, read, (int fd, void *bytes, size_t n), fd, bytes, n)
WRAPPED(ssize_t, write, (int fd, const void *bytes, size_t n), fd, bytes, n)
WRAPPED(int, fsync, (int fd), fd)
WRAPPED(int, fchmod, (int fd, mode_t mode), fd, mode)
WRAPPED(int, fstat, (int fd, struct stat *st), fd, st)
WRAPPED(int, fstatat, (int fd, const char *name, struct stat *st, int flags), fd, name, st, flags)
WRAPPED(int, mkdir, (const char *name, mode_t mode), name, mode)
WRAPPED(int, renameat, (int a, const char *from, int b, const char *to), a, from, b, to)
WRAPPED(int, symlinkat, (const char *to, int fd, const char *name), to, fd, name)
WRAPPED(int, unlinkat, (int fd, const char *name, int flags), fd, name, flags)

int __real_openat(int fd, const char *name, int flags, ...);
int __wrap_openat(int fd, const char *name, int flags, ...);
int __wrap_openat(int fd, const char *name, int flags, ...)
{
    mode_t mode = 0;
    va_list ap;

    if ((flags & O_CREAT) != 0) {
        va_start(ap, flags);
        mode = va_arg(ap, mode_t);
        va_end(ap);
    }
    return is_due() ? -1 : __real_openat(fd, name, flags, mode);
}
