/* JSON as this program reads and writes it, on top of cJSON's tree.
 *
 * Reading is ours: cJSON accepts what is not JSON, does not say where it stopped, and cuts a string
 * at its first NUL. The tree has these properties, and everything in schema/ relies on them: depth
 * at most JSON_MAX_DEPTH, strings are valid UTF-8 without NUL, keys of an object are unique (the
 * last of several equal ones was kept, as Go does), numbers are finite. Writing and printing follow
 * Go, because texts made that way are part of the protocol: keys sorted, numbers as Go's encoder
 * writes them. Any thread; no state. Spec 03 (conventions), 04 section 2.4. */
#ifndef SSMD_SCHEMA_JSON_H
#define SSMD_SCHEMA_JSON_H

#include <cjson/cJSON.h>

#include "base/buf.h"

#define JSON_MAX_DEPTH 64
#define JSON_MAX_VALUES 250000u /* each costs 64 bytes: a text must not become a huge tree */

enum json_strings {
    JSON_REFUSE, /* a string with NUL (\u0000) or bytes that are not UTF-8 fails the whole parse */
    JSON_MEND,   /* such a place becomes U+FFFD, and json_is_mended() is true for that string */
    JSON_STRICT, /* as JSON_REFUSE, and so does a key that stands twice in an object: what is signed
                    must not mean one thing to one reader and another to the next */
};

DEFINE_AUTO(cJSON *, cJSON_Delete)

/* Parse the whole of bytes[0..n). A lone surrogate escape becomes U+FFFD. `what` begins the error
 * text: "payload: line 1, column 7: ...". ERR_LIMIT (over max_bytes, depth, values), ERR_INVALID,
 * ERR_NOMEM. On success the caller owns *ret_root: cJSON_Delete(). */
int json_parse(const char *bytes, size_t n, size_t max_bytes, enum json_strings strings,
               const char *what, cJSON **ret_root, struct err *err) MUST_CHECK;
bool json_is_mended(const cJSON *string);

/* "a string", "a list", "an object", ... for error texts; NULL is "nothing". */
const char *json_type_name(const cJSON *item);

/* A member, or NULL when it is missing or null or `object` is not an object. json_get ignores the
 * case of ASCII letters and takes the last match; json_get_exact does not. */
const cJSON *json_get(const cJSON *object, const char *name);
const cJSON *json_get_exact(const cJSON *object, const char *name);

/* Typed members by json_get. Absent gives NULL (or 0, false). A wrong type is ERR_INVALID, a longer
 * text than max_bytes ERR_LIMIT; the text names the place: "<where>.<name> must be a string, not a
 * list". `where` may be "". Results are borrowed from the tree. */
int json_get_string(const cJSON *object, const char *where, const char *name, size_t max_bytes,
                    const char **ret_text, struct err *err) MUST_CHECK;
int json_get_object(const cJSON *object, const char *where, const char *name,
                    const cJSON **ret_object, struct err *err) MUST_CHECK;
int json_get_list(const cJSON *object, const char *where, const char *name, const cJSON **ret_list,
                  struct err *err) MUST_CHECK;
/* A number without a fraction. */
int json_get_i64(const cJSON *object, const char *where, const char *name, int64_t *ret_value,
                 struct err *err) MUST_CHECK;
/* `item` itself must be an object, else ERR_INVALID "<where> must be an object, not ...". */
int json_want_object(const cJSON *item, const char *where, struct err *err) MUST_CHECK;

/* Append as compact JSON the way Go's encoder does: keys sorted by bytes, no blanks, `<`, `>`, `&`,
 * U+2028 and U+2029 as \u escapes, 5 for 5.0, 1e+21. Look at buf_error() afterwards. */
void json_write(struct buf *b, const cJSON *item);
/* Append as Go's fmt verb %v prints the decoded value: map[a:1 b:[x y]], <nil>, 1e+06. */
void json_print_go(struct buf *b, const cJSON *item);

#endif
