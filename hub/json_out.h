/* Writes JSON into a buf, member by member. Commas are its business, closing what was opened is the
 * caller's. A failure (the buffer's maximum, memory) sticks to the buf: look at buf_error() once.
 */
#ifndef SSMD_HUB_JSON_OUT_H
#define SSMD_HUB_JSON_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* `key` is NULL for the outermost value and for the elements of a list. */
void out_object(struct buf *b, const char *key);
void out_object_end(struct buf *b);
void out_list(struct buf *b, const char *key);
void out_list_end(struct buf *b);

void out_str(struct buf *b, const char *key, const char *value); /* NULL: the member is left out */
void out_num(struct buf *b, const char *key, int64_t value);
void out_bool(struct buf *b, const char *key, bool value);
/* A timestamp of JSON-RPC 1.1: Unix seconds with milliseconds (spec 02, section 2.4). */
void out_time(struct buf *b, const char *key, int64_t unix_ms);
/* Text that is JSON already; NULL or "": the member is left out. */
void out_raw(struct buf *b, const char *key, const char *json);

#endif
