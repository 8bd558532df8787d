/* Growing byte buffer with a bound. */
#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max = max_bytes};
}

void buf_done(struct buf *b)
{
    free(b->data);
    b->data = NULL;
    b->len = b->cap = 0;
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->failed = 0;
    if (b->data != NULL)
        b->data[0] = '\0';
}

static int fail(struct buf *b, int code)
{
    if (b->failed == 0)
        b->failed = code;
    return code;
}

static int reserve(struct buf *b, size_t more)
{
    size_t need, cap;
    char *p;

    if (more > b->max || b->len > b->max - more)
        return fail(b, ERR_LIMIT);
    need = b->len + more + 1;
    if (need <= b->cap)
        return 0;
    cap = b->cap < 64 ? 64 : b->cap;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    p = realloc(b->data, cap);
    if (p == NULL)
        return fail(b, ERR_NOMEM);
    b->data = p;
    b->cap = cap;
    return 0;
}

int buf_add(struct buf *b, const void *bytes, size_t n)
{
    int r = reserve(b, n);

    if (r < 0)
        return r;
    if (n > 0)
        memcpy(b->data + b->len, bytes, n);
    b->len += n;
    b->data[b->len] = '\0';
    return 0;
}

int buf_add_str(struct buf *b, const char *s)
{
    return buf_add(b, s, strlen(s));
}

int buf_add_char(struct buf *b, char c)
{
    return buf_add(b, &c, 1);
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    size_t room = b->cap - b->len;
    va_list ap, again;
    int n, r;

    va_start(ap, fmt);
    va_copy(again, ap);
    /* Mostly it fits where it belongs; else it is measured, and written again. */
    n = vsnprintf(room > 0 ? b->data + b->len : NULL, room, fmt, ap);
    va_end(ap);
    r = n < 0 ? fail(b, ERR_INVALID) : reserve(b, (size_t)n);
    if (r == 0) {
        if ((size_t)n >= room)
            (void)vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again); /* measured just above */
        b->len += (size_t)n;
    } else if (room > 0) {
        b->data[b->len] = '\0';
    }
    va_end(again);
    return r;
}

int buf_add_json_str(struct buf *b, const char *s, size_t n)
{
    size_t i = 0, start = b->len;
    int r = buf_add_char(b, '"');

    while (r == 0 && i < n) {
        unsigned char c = (unsigned char)s[i];
        size_t run = i;

        while (run < n && (unsigned char)s[run] >= 0x20 && (unsigned char)s[run] < 0x7f &&
               s[run] != '"' && s[run] != '\\')
            run++;
        if (run > i) {
            r = buf_add(b, s + i, run - i);
            i = run;
            continue;
        }
        if (c == '"' || c == '\\') {
            char esc[2] = {'\\', (char)c};
            r = buf_add(b, esc, 2);
            i++;
        } else if (c == '\n') {
            r = buf_add(b, "\\n", 2);
            i++;
        } else if (c == '\t') {
            r = buf_add(b, "\\t", 2);
            i++;
        } else if (c == '\r') {
            r = buf_add(b, "\\r", 2);
            i++;
        } else if (c < 0x80) {
            r = buf_printf(b, "\\u%04x", c);
            i++;
        } else {
            size_t w = str_utf8_len(s + i, n - i);

            r = w > 0 ? buf_add(b, s + i, w) : buf_add(b, "\xef\xbf\xbd", 3);
            i += w > 0 ? w : 1;
        }
    }
    if (r == 0)
        r = buf_add_char(b, '"');
    if (r < 0) { /* all or nothing */
        b->len = start;
        if (b->data != NULL)
            b->data[start] = '\0';
    }
    return r;
}

int buf_error(const struct buf *b, const char *what, struct err *err)
{
    if (b->failed == 0)
        return 0;
    if (b->failed == ERR_NOMEM)
        return err_set(err, ERR_NOMEM, "%s: out of memory", what);
    return err_set(err, b->failed, "%s is larger than %zu bytes", what, b->max);
}

char *buf_take(struct buf *b)
{
    if (b->data == NULL) /* nothing was added: not even the NUL is there */
        return calloc(1, 1);
    b->len = b->cap = 0;
    return TAKE(b->data);
}
