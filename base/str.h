/* Small questions about text. No allocation unless the name says dup. Any thread. */
#ifndef SSMD_BASE_STR_H
#define SSMD_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

bool str_eq(const char *a, const char *b);        /* NULL equals NULL only */
bool str_eq_nocase(const char *a, const char *b); /* ASCII */
bool str_has_prefix(const char *s, const char *prefix);
bool str_has_suffix(const char *s, const char *suffix);

/* Copy into dst[size], always terminated. False when it had to be cut (at a character boundary). */
bool str_copy(char *dst, size_t size, const char *src);

/* Length 1..4 of the valid UTF-8 sequence that begins at s, or 0. Overlong forms, surrogates and
 * values above U+10FFFF are not valid. */
size_t str_utf8_len(const char *s, size_t n);
bool str_is_utf8(const char *s, size_t n);
/* Characters of a text that is valid UTF-8. */
size_t str_utf8_count(const char *s);
/* The largest k <= limit such that s[0..k) does not end inside a UTF-8 sequence. */
size_t str_utf8_cut(const char *s, size_t n, size_t limit);

/* Whole string as a decimal number within [min, max]; no sign but '-', no blanks. */
bool str_to_i64(const char *s, int64_t min, int64_t max, int64_t *ret_value) MUST_CHECK;

#define STR_I64_SIZE 21 /* -9223372036854775808 and a NUL */
/* The number in decimal; returns its length. For the many that are made for every command: printf
 * takes ten times as long. */
size_t str_from_i64(int64_t value, char ret_text[STR_I64_SIZE]);

void str_hex(const void *bytes, size_t n, char *ret_hex /* 2n+1 */);
/* Decode exactly 2*n hexadecimal digits. */
bool str_unhex(const char *hex, void *ret_bytes, size_t n) MUST_CHECK;

/* How many letters must change to make one of the other; for suggestions. At most `cap`. */
size_t str_distance(const char *a, const char *b, size_t cap);

/* An id that may become a path component: 1..max of A-Z a-z 0-9 . _ -, not "." or "..", no leading
 * dot or dash. */
bool str_is_safe_name(const char *s, size_t max);

#endif
