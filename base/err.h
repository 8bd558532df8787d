/* One way to say what went wrong. A function that can fail returns 0 or a negative enum err_code,
 * takes `struct err *` last, and fills it; the caller owns the struct, usually on its stack. Any
 * thread. */
#ifndef SSMD_BASE_ERR_H
#define SSMD_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>

#include "base/cleanup.h"

/* What a caller can do about it. */
enum err_class {
    ERR_CLASS_RETRY,     /* the same call may succeed later */
    ERR_CLASS_PERMANENT, /* the same call will fail again */
    ERR_CLASS_FATAL,     /* this process cannot go on as it is */
};

/*  code, text name, class */
#define ERR_CODES(X)                                                                               \
    X(ERR_IO, "io", RETRY)               /* a system call on a file failed */                      \
    X(ERR_FULL, "full", RETRY)           /* no space, no inodes, quota */                          \
    X(ERR_NOMEM, "no-memory", RETRY)     /* allocation failed */                                   \
    X(ERR_LIMIT, "limit", PERMANENT)     /* larger than the stated maximum */                      \
    X(ERR_INVALID, "invalid", PERMANENT) /* input that cannot be used; the text names the field */ \
    X(ERR_UNSUPPORTED, "unsupported", PERMANENT)                                                   \
    X(ERR_NOT_FOUND, "not-found", PERMANENT)                                                       \
    X(ERR_EXISTS, "exists", PERMANENT)                                                             \
    X(ERR_BUSY, "busy", RETRY)       /* somebody else holds it */                                  \
    X(ERR_STATE, "state", PERMANENT) /* not possible in the present state */                       \
    X(ERR_CORRUPT, "corrupt", FATAL) /* stored data is damaged or not ours */                      \
    X(ERR_NEWER, "newer", FATAL)     /* written by a later version */                              \
    X(ERR_NETWORK, "network", RETRY) /* no connection, reset, TLS failure */                       \
    X(ERR_TIMEOUT, "timeout", RETRY)                                                               \
    X(ERR_THROTTLED, "throttled", RETRY)                                                           \
    X(ERR_SERVER, "server", RETRY)       /* the service failed (5xx) */                            \
    X(ERR_AUTH, "auth", RETRY)           /* signature, token or permission; may be repaired */     \
    X(ERR_REFUSED, "refused", PERMANENT) /* the service understood and said no */                  \
    X(ERR_PROTOCOL, "protocol", RETRY)   /* the peer's bytes make no sense */                      \
    X(ERR_CANCELLED, "cancelled", PERMANENT)                                                       \
    X(ERR_USAGE, "usage", PERMANENT) /* a command line that cannot be understood */                \
    X(ERR_SYSTEM, "system", RETRY)   /* any other system call */

enum err_code {
    ERR_CODE_FIRST_ = -10000,
#define ERR_ENUM_(code, name, class) code,
    ERR_CODES(ERR_ENUM_)
#undef ERR_ENUM_
        ERR_CODE_END_
};

struct err {
    int code;      /* 0 or enum err_code */
    int sys_errno; /* errno where one was the cause, else 0 */
    char text[512];
};

/* Fill *err (may be NULL) and return `code`. Never allocates; a text that is too long is cut. */
int err_set(struct err *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* As err_set, with ": <strerror>" appended; ENOSPC, EDQUOT become ERR_FULL, ENOMEM ERR_NOMEM,
 * ENOENT ERR_NOT_FOUND, EEXIST ERR_EXISTS, whatever `code` says. */
int err_sys(struct err *err, int code, int sys_errno, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* Put "<fmt>: " before the text that is there; returns err->code. Without an err the code is lost
 * (ERR_SYSTEM): who looks at the code of a function that wraps passes one. */
int err_wrap(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

const char *err_name(int code);
enum err_class err_class_of(int code);

#endif
