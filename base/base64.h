/* Base64 of RFC 4648 with padding, without line breaks. Pure; any thread. */
#ifndef SSMD_BASE_BASE64_H
#define SSMD_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

#define BASE64_SIZE(n_bytes) (((n_bytes) + 2) / 3 * 4 + 1) /* characters and a NUL */

/* `ret_text` has room for BASE64_SIZE(n). */
void base64_encode(const void *bytes, size_t n, char *ret_text);

/* The whole of text[0..n) must be Base64 as base64_encode() writes it: false otherwise, or when
 * more than `size` bytes would be needed. */
bool base64_decode(const char *text, size_t n, void *ret_bytes, size_t size, size_t *ret_n)
    MUST_CHECK;

#endif
