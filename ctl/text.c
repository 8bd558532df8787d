/* Times, sizes and names as an operator wants to read them. Tables are in table.c. */
#include "ctl/text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "base/str.h"

/* One character from s[0..n), decoded; n > 0. 0xfffd for a byte that begins none. */
static uint32_t next_char(const char *s, size_t n, size_t *ret_len)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t k = str_utf8_len(s, n), i;
    uint32_t c;

    if (k == 0) {
        *ret_len = 1;
        return 0xfffd;
    }
    *ret_len = k;
    if (k == 1)
        return p[0];
    c = p[0] & (0xffu >> (k + 1));
    for (i = 1; i < k; i++)
        c = c << 6 | (p[i] & 0x3fu);
    return c;
}

/* What stands for a character that must not reach a terminal, or 0 when it may. */
static char replacement_of(uint32_t c)
{
    if (c == '\n' || c == '\r' || c == '\t')
        return ' ';
    if (c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xfffd || c == 0x200e || c == 0x200f ||
        (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069))
        return '?';
    return '\0';
}

void text_put_fact(FILE *f, const char *name, const char *s)
{
    if (s[0] == '\0')
        return;
    (void)fprintf(f, "%-11s ", name);
    text_put(f, s);
    (void)fputc('\n', f);
}

void text_add(struct buf *b, const char *s)
{
    size_t left = strlen(s), k;

    for (; left > 0; s += k, left -= k) {
        char r = replacement_of(next_char(s, left, &k));

        if (r != '\0')
            (void)buf_add_char(b, r); /* buf_error() tells */
        else
            (void)buf_add(b, s, k);
    }
}

void text_put(FILE *f, const char *s)
{
    size_t left = strlen(s), k;

    for (; left > 0; s += k, left -= k) {
        char r = replacement_of(next_char(s, left, &k));

        if (r != '\0')
            (void)fputc(r, f); /* ferror() is looked at when the program ends */
        else
            (void)fwrite(s, 1, k, f);
    }
}

size_t text_width(const char *s)
{
    size_t left = strlen(s), k, n = 0;

    for (; left > 0; s += k, left -= k, n++)
        (void)next_char(s, left, &k);
    return n;
}

void text_time(int64_t unix_ms, int64_t now_unix_ms, char ret_text[TEXT_SHORT_SIZE])
{
    time_t at = (time_t)(unix_ms / 1000), now = (time_t)(now_unix_ms / 1000);
    struct tm a, n;
    bool is_today;

    if (unix_ms == 0 || localtime_r(&at, &a) == NULL || localtime_r(&now, &n) == NULL) {
        (void)str_copy(ret_text, TEXT_SHORT_SIZE, "-");
        return;
    }
    is_today = a.tm_year == n.tm_year && a.tm_yday == n.tm_yday;
    if (strftime(ret_text, TEXT_SHORT_SIZE, is_today ? "%H:%M:%S" : "%Y-%m-%d %H:%M", &a) == 0)
        (void)str_copy(ret_text, TEXT_SHORT_SIZE, "-");
}

void text_size(int64_t bytes, char ret_text[TEXT_SHORT_SIZE])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double v = (double)bytes / 1024;
    size_t i = 0;

    if (bytes < 1024) {
        (void)snprintf(ret_text, TEXT_SHORT_SIZE, "%" PRId64 " B", bytes);
        return;
    }
    for (; v >= 1023.95 && i + 1 < ARRAY_LEN(units); i++) /* 1023.95 would print as 1024.0 */
        v /= 1024;
    (void)snprintf(ret_text, TEXT_SHORT_SIZE, "%.1f %s", v, units[i]);
}

void text_duration(int64_t ms, char ret_text[TEXT_SHORT_SIZE])
{
    int64_t s = ms / 1000, min = s / 60, h = min / 60, d = h / 24;

    if (ms < 0)
        (void)str_copy(ret_text, TEXT_SHORT_SIZE, "-");
    else if (ms < 1000)
        (void)snprintf(ret_text, TEXT_SHORT_SIZE, "%" PRId64 " ms", ms);
    else if (s < 60)
        (void)snprintf(ret_text, TEXT_SHORT_SIZE, "%" PRId64 ".%" PRId64 " s", s, ms % 1000 / 100);
    else if (min < 60)
        (void)snprintf(ret_text, TEXT_SHORT_SIZE, "%" PRId64 " min %" PRId64 " s", min, s % 60);
    else if (h < 48)
        (void)snprintf(ret_text, TEXT_SHORT_SIZE, "%" PRId64 " h %" PRId64 " min", h, min % 60);
    else
        (void)snprintf(ret_text, TEXT_SHORT_SIZE, "%" PRId64 " d %" PRId64 " h", d, h % 24);
}
