/* Small questions about text. */
#include "base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_DISTANCE_LEN 40

bool str_eq(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool str_eq_nocase(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcasecmp(a, b) == 0);
}

bool str_has_prefix(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_has_suffix(const char *s, const char *suffix)
{
    size_t n = strlen(s), k = strlen(suffix);

    return n >= k && memcmp(s + n - k, suffix, k) == 0;
}

bool str_copy(char *dst, size_t size, const char *src)
{
    size_t n = strlen(src), k;

    if (size == 0)
        return false;
    k = n < size ? n : str_utf8_cut(src, n, size - 1);
    memcpy(dst, src, k);
    dst[k] = '\0';
    return k == n;
}

size_t str_utf8_len(const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t k, i;

    if (n == 0)
        return 0;
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        k = 2;
    else if (p[0] >= 0xe0 && p[0] <= 0xef)
        k = 3;
    else if (p[0] >= 0xf0 && p[0] <= 0xf4)
        k = 4;
    else
        return 0;
    if (n < k)
        return 0;
    for (i = 1; i < k; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return k;
}

bool str_is_utf8(const char *s, size_t n)
{
    size_t i = 0;

    while (i < n) {
        size_t k = str_utf8_len(s + i, n - i);

        if (k == 0)
            return false;
        i += k;
    }
    return true;
}

size_t str_utf8_count(const char *s)
{
    size_t n = 0;

    for (; *s != '\0'; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

size_t str_utf8_cut(const char *s, size_t n, size_t limit)
{
    size_t k = limit, back;

    if (n <= limit)
        return n;
    /* Step back over at most three continuation bytes to a lead byte whose sequence does not fit.
     */
    for (back = 0; back < 4 && k > back; back++) {
        unsigned char c = (unsigned char)s[k - back];

        if ((c & 0xc0) != 0x80)
            return back == 0 || str_utf8_len(s + k - back, n - (k - back)) > back ? k - back : k;
    }
    return k; /* not UTF-8: any place is as good */
}

bool str_to_i64(const char *s, int64_t min, int64_t max, int64_t *ret_value)
{
    char *end;
    long long v;

    if (s == NULL || !(s[0] == '-' || (s[0] >= '0' && s[0] <= '9')))
        return false;
    errno = 0;
    v = strtoll(s, &end, 10);
    if (errno != 0 || end == s || *end != '\0' || v < min || v > max)
        return false;
    *ret_value = v;
    return true;
}

size_t str_from_i64(int64_t value, char ret_text[STR_I64_SIZE])
{
    uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
    char digits[STR_I64_SIZE], *p = digits + sizeof(digits);
    size_t n;

    *--p = '\0';
    do
        *--p = (char)('0' + left % 10);
    while ((left /= 10) > 0);
    if (value < 0)
        *--p = '-';
    n = (size_t)(digits + sizeof(digits) - p);
    memcpy(ret_text, p, n);
    return n - 1;
}

void str_hex(const void *bytes, size_t n, char *ret_hex)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = bytes;
    size_t i;

    for (i = 0; i < n; i++) {
        ret_hex[2 * i] = digits[p[i] >> 4];
        ret_hex[2 * i + 1] = digits[p[i] & 15];
    }
    ret_hex[2 * n] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool str_unhex(const char *hex, void *ret_bytes, size_t n)
{
    unsigned char *p = ret_bytes;
    size_t i;

    if (strlen(hex) != 2 * n)
        return false;
    for (i = 0; i < n; i++) {
        int hi = hex_value(hex[2 * i]), lo = hex_value(hex[2 * i + 1]);

        if (hi < 0 || lo < 0)
            return false;
        p[i] = (unsigned char)(hi * 16 + lo);
    }
    return true;
}

bool str_is_safe_name(const char *s, size_t max)
{
    size_t i;

    if (s == NULL || s[0] == '\0' || s[0] == '.' || s[0] == '-')
        return false;
    for (i = 0; s[i] != '\0'; i++) {
        char c = s[i];

        if (i >= max || !((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                          (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-'))
            return false;
    }
    return true;
}

size_t str_distance(const char *a, const char *b, size_t cap)
{
    size_t na = strlen(a), nb = strlen(b), i, j, row[MAX_DISTANCE_LEN + 1];

    if (na > MAX_DISTANCE_LEN || nb > MAX_DISTANCE_LEN)
        return cap;
    for (j = 0; j <= nb; j++)
        row[j] = j;
    for (i = 1; i <= na; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (j = 1; j <= nb; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[nb] < cap ? row[nb] : cap;
}
