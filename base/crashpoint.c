/* Dying on purpose, at a counted place. */
#include "base/crashpoint.h"

#ifdef SSMD_CRASHPOINTS

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_first_to_die(void)
{
    const char *file = getenv("SSMD_CRASH_ONCE");

    return file == NULL || open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) >= 0;
}

/* Of many programs that inherit the environment one is meant. */
static bool is_meant(void)
{
    const char *end = getenv("SSMD_CRASH_OF");
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path));

    return end == NULL ||
           (n >= (ssize_t)strlen(end) && memcmp(path + n - strlen(end), end, strlen(end)) == 0);
}

static bool has_begun(void)
{
    const char *file = getenv("SSMD_CRASH_FROM");

    return file == NULL || access(file, F_OK) == 0;
}

void crashpoint(const char *name)
{
    static long passed, at = -1;
    static int trace_fd = -1;
    static int meant = -1;

    if (meant < 0)
        meant = is_meant();
    if (!meant || !has_begun())
        return;
    if (at < 0) {
        const char *text = getenv("SSMD_CRASH_AT"), *file = getenv("SSMD_CRASH_TRACE");

        at = text != NULL ? strtol(text, NULL, 10) : 0;
        if (file != NULL)
            trace_fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
    if (trace_fd >= 0 &&
        (write(trace_fd, name, strlen(name)) < 0 || write(trace_fd, "\n", 1) < 0)) {
        /* a trace that cannot be written shows as a missing line to the test that reads it */
    }
    if (++passed == at && is_first_to_die())
        (void)kill(getpid(), SIGKILL); /* the end */
}

#else
typedef int crashpoint_is_empty_in_release; /* ISO C wants something in a file */
#endif
