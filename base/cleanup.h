/* Ownership in one word per line: AUTO(x) on the owner, TAKE(p) where ownership leaves. */
#ifndef SSMD_BASE_CLEANUP_H
#define SSMD_BASE_CLEANUP_H

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define UNUSED __attribute__((unused))

/* AUTO(free) char *p = NULL; runs free_cleanup(&p) when p leaves its scope. */
#define AUTO(name) __attribute__((cleanup(name##_cleanup)))

/* Define name##_cleanup for a pointer type whose destructor accepts NULL. */
#define DEFINE_AUTO(type, destroy)                                                                 \
    static inline void destroy##_cleanup(type *p)                                                  \
    {                                                                                              \
        if (*p != NULL)                                                                            \
            destroy(*p);                                                                           \
    }

/* Hand the pointer over: the value is returned, the variable becomes NULL. */
#define TAKE(p)                                                                                    \
    __extension__({                                                                                \
        __typeof__(p) take_value_ = (p);                                                           \
        (p) = NULL;                                                                                \
        take_value_;                                                                               \
    })

#define TAKE_FD(fd)                                                                                \
    __extension__({                                                                                \
        int take_fd_ = (fd);                                                                       \
        (fd) = -1;                                                                                 \
        take_fd_;                                                                                  \
    })

/* As TAKE for a struct: the variable becomes all zero, which its destructor accepts. */
#define TAKE_STRUCT(s)                                                                             \
    __extension__({                                                                                \
        __typeof__(s) take_struct_ = (s);                                                          \
        (s) = (__typeof__(s)){0};                                                                  \
        take_struct_;                                                                              \
    })

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(n) (UINT64_C(1) << (n))

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void free_cleanup(void *p)
{
    free(*(void **)p);
}

static inline void close_fd_cleanup(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* nothing was written through it that still needs an answer */
}

static inline void fclose_cleanup(FILE **f)
{
    if (*f != NULL)
        (void)fclose(*f);
}

#endif
