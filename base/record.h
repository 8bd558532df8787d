/* A small file of named values: what agent and runner tell each other through a step's directory
 * (architecture, section 9.2), and the ledger's side file.
 *
 *   ssmd-record 1 started\n        magic, protocol version, kind
 *   pid=4711\n                     key [a-z0-9_.]+, value: any bytes but NUL; '%', CR, LF as %25
 * %0d %0a end\n                          a record without its end line is torn
 *
 * A key may stand more than once (argv, env): order is kept. libc only: the runner links this. Any
 * thread. */
#ifndef SSMD_BASE_RECORD_H
#define SSMD_BASE_RECORD_H

#include <stdint.h>

#include "base/buf.h"

#define RECORD_VERSION 1
#define RECORD_MAX_BYTES (4u << 20)

struct record_item {
    const char *key;
    const char *value;
};

struct record {
    char kind[16];
    int version;
    char *text;                /* owned; what the items point into */
    struct record_item *items; /* owned */
    size_t n_items;
};

/* Writing: begin, any number of adds, end; then look at buf_error() once. */
void record_begin(struct buf *b, const char *kind);
void record_add(struct buf *b, const char *key, const char *value);
void record_add_i64(struct buf *b, const char *key, int64_t value);
void record_end(struct buf *b);

/* Take a record apart. `bytes` need not live on. ERR_CORRUPT: torn or malformed; ERR_NEWER: a later
 * protocol version; ERR_INVALID: another kind than `kind`. On success the caller owns *ret_record:
 * record_done(). */
int record_parse(const char *bytes, size_t n, const char *kind, struct record *ret_record,
                 struct err *err) MUST_CHECK;
void record_done(struct record *r);

/* The first value of a key, or NULL. */
const char *record_get(const struct record *r, const char *key);
/* A number that must be there. ERR_CORRUPT names the key. */
int record_get_i64(const struct record *r, const char *key, int64_t *ret_value, struct err *err)
    MUST_CHECK;
int64_t record_get_i64_or(const struct record *r, const char *key, int64_t otherwise);

static inline void record_done_cleanup(struct record *r)
{
    record_done(r);
}

#endif
