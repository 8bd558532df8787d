/* Base64, both ways. */
#include "base/base64.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const void *bytes, size_t n, char *ret_text)
{
    const unsigned char *p = bytes;
    size_t i;

    for (i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) |
                     (i + 2 < n ? (uint32_t)p[i + 2] : 0);

        *ret_text++ = alphabet[v >> 18];
        *ret_text++ = alphabet[v >> 12 & 63];
        *ret_text++ = '=';
        *ret_text++ = '=';
        if (i + 1 < n)
            ret_text[-2] = alphabet[v >> 6 & 63];
        if (i + 2 < n)
            ret_text[-1] = alphabet[v & 63];
    }
    *ret_text = '\0';
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(const char *text, size_t n, void *ret_bytes, size_t size, size_t *ret_n)
{
    unsigned char *out = ret_bytes;
    size_t i, k = 0, n_pad = 0;

    if (n % 4 != 0)
        return false;
    while (n_pad < 2 && n_pad < n && text[n - 1 - n_pad] == '=')
        n_pad++;
    if (n / 4 * 3 - n_pad > size)
        return false;
    for (i = 0; i < n; i += 4) {
        size_t n_bytes = i + 4 == n ? 3 - n_pad : 3, j;
        uint32_t v = 0;

        for (j = 0; j < 4; j++) {
            int digit = j <= n_bytes ? value_of(text[i + j]) : 0;

            if (digit < 0)
                return false;
            v = v << 6 | (uint32_t)digit;
        }
        if ((n_bytes == 1 && (v & 0xffff) != 0) || (n_bytes == 2 && (v & 0xff) != 0))
            return false; /* bits that no encoder leaves there */
        for (j = 0; j < n_bytes; j++)
            out[k++] = (unsigned char)(v >> (16 - 8 * j));
    }
    *ret_n = k;
    return true;
}
