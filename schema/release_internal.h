/* Members of a release's metadata by exact name: shared by the readers of release.h. Each takes the
 * object, where it stands for error texts, and the member's name. Any thread. */
#ifndef SSMD_SCHEMA_RELEASE_INTERNAL_H
#define SSMD_SCHEMA_RELEASE_INTERNAL_H

#include "schema/json.h"
#include "schema/release.h"

#define RELEASE_WHERE_SIZE 128

/* A strict parse whose root must be an object. The caller owns *ret_root. */
int release_parse_json(const char *bytes, size_t n, size_t max_bytes, const char *what,
                       cJSON **ret_root, struct err *err) MUST_CHECK;

/* Missing gives NULL, unless it is required. Borrowed from the tree. */
int release_get_text(const cJSON *object, const char *where, const char *name, bool is_required,
                     size_t max_bytes, const char **ret_text, struct err *err) MUST_CHECK;
/* Missing leaves *ret_value as it is, unless it is required. */
int release_get_number(const cJSON *object, const char *where, const char *name, bool is_required,
                       int64_t min, int64_t max, int64_t *ret_value, struct err *err) MUST_CHECK;
int release_get_time(const cJSON *object, const char *where, const char *name, bool is_required,
                     int64_t *ret_unix_ms, struct err *err) MUST_CHECK;
/* Must be there, with min to max members. */
int release_get_list(const cJSON *object, const char *where, const char *name, size_t min,
                     size_t max, const cJSON **ret_list, size_t *ret_n, struct err *err) MUST_CHECK;
/* Exactly 2 * n_bytes hexadecimal digits, lower case. */
int release_want_hex(const char *text, size_t n_bytes, const char *where, const char *name,
                     struct err *err) MUST_CHECK;
/* Version, Issued and Expires, which every file has. */
int release_get_header(const cJSON *object, const char *version_name, int64_t *ret_version,
                       int64_t *ret_issued_unix_ms, int64_t *ret_expires_unix_ms, struct err *err)
    MUST_CHECK;

/* Writing: a comma before all but the first member. */
void release_put_name(struct buf *b, bool *is_first, const char *name);
void release_put_text(struct buf *b, bool *is_first, const char *name, const char *text);
void release_put_number(struct buf *b, bool *is_first, const char *name, int64_t value);
void release_put_time(struct buf *b, bool *is_first, const char *name, int64_t unix_ms);

#endif
