/* One JSON document, written as it is made: nothing of it is kept, so that a log of any size can be
 * printed. `key` is NULL inside a list. The shapes that ssmctl prints are documented in ssmctl(1);
 * keys may be added, never renamed. One thread. */
#ifndef SSMD_CTL_JSONW_H
#define SSMD_CTL_JSONW_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

struct jsonw {
    FILE *f; /* borrowed */
    bool needs_comma;
    int depth;
    int failed;
};

void jsonw_init(struct jsonw *w, FILE *f);
void jsonw_open_object(struct jsonw *w, const char *key);
void jsonw_close_object(struct jsonw *w);
void jsonw_open_list(struct jsonw *w, const char *key);
void jsonw_close_list(struct jsonw *w);
void jsonw_str(struct jsonw *w, const char *key, const char *value); /* NULL is written as null */
void jsonw_i64(struct jsonw *w, const char *key, int64_t value);
void jsonw_bool(struct jsonw *w, const char *key, bool value);
/* A value that is JSON already. */
void jsonw_raw(struct jsonw *w, const char *key, const char *json);
/* A time as "2006-01-02T15:04:05.000Z", or null for 0. */
void jsonw_time(struct jsonw *w, const char *key, int64_t unix_ms);

/* A long string in pieces; a character may be split between two of them. What is not UTF-8 becomes
 * U+FFFD. `carry` starts as zero. */
struct jsonw_pieces {
    char bytes[4];
    size_t n;
};
void jsonw_begin_str(struct jsonw *w, const char *key);
void jsonw_add_str(struct jsonw *w, struct jsonw_pieces *carry, const char *bytes, size_t n);
void jsonw_end_str(struct jsonw *w, struct jsonw_pieces *carry);

/* The final line end. ERR_NOMEM when a value could not be written; whether the stream took it is
 * looked at by ctl_main(). */
int jsonw_end(struct jsonw *w, struct err *err) MUST_CHECK;

#endif
