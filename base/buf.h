/* A growing run of bytes with a stated maximum. Always NUL-terminated once something was added, so
 * that .data can be printed; .len does not count the NUL. One thread at a time. */
#ifndef SSMD_BASE_BUF_H
#define SSMD_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct buf {
    char *data; /* owned; NULL until the first byte */
    size_t len;
    size_t cap;
    size_t max; /* largest len that is allowed */
    int failed; /* first error of an add whose result was not looked at; see buf_error() */
};

void buf_init(struct buf *b, size_t max_bytes);
void buf_done(struct buf *b);  /* frees; the struct may be used again after buf_init */
void buf_clear(struct buf *b); /* len = 0, memory kept */

/* Append. 0, ERR_LIMIT (over max) or ERR_NOMEM; on failure the contents are unchanged and the
 * failure is remembered, so that a run of adds can be checked once at its end with buf_error(). */
int buf_add(struct buf *b, const void *bytes, size_t n);
int buf_add_str(struct buf *b, const char *s);
int buf_add_char(struct buf *b, char c);
int buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Append as a JSON string with quotes. Control characters are escaped; a byte that is not part of
 * valid UTF-8 becomes U+FFFD. */
int buf_add_json_str(struct buf *b, const char *s, size_t n);

/* 0, or the first failure since buf_init, told in *err as "<what> is larger than N bytes" or out of
 * memory. */
int buf_error(const struct buf *b, const char *what, struct err *err) MUST_CHECK;

/* The bytes as a malloc'ed NUL-terminated string that the caller owns; the buffer is empty
 * afterwards. NULL only when memory is short. */
char *buf_take(struct buf *b) MUST_CHECK;

static inline const char *buf_str(const struct buf *b)
{
    return b->data != NULL ? b->data : "";
}

static inline void buf_done_cleanup(struct buf *b)
{
    buf_done(b);
}

#endif
