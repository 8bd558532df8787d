/* Allocations that fail when they are told to. */
#include "tests/lib/failing_malloc.h"

#include <string.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);

static long countdown = -1; /* allocations until the one that fails; negative: none does */
static bool was_hit;

void failing_malloc_after(long n)
{
    countdown = n;
    was_hit = false;
}

bool failing_malloc_was_hit(void)
{
    return was_hit;
}

static bool fails_now(void)
{
    if (countdown < 0 || countdown-- > 0)
        return false;
    was_hit = true;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return fails_now() ? NULL : __real_realloc(p, size);
}

char *__wrap_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = __wrap_malloc(n);

    return copy != NULL ? memcpy(copy, s, n) : NULL;
}
