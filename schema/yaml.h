/* YAML as documents use it, read into the tree that JSON is read into (schema/json.h has its
 * properties). YAML 1.1 with the reference's scalars: `yes` and `on` are true, 010 is eight, 1_000
 * a thousand, an empty value is null; merge keys work; of equal keys the last counts. Spec 04
 * section 1.2. Any thread; no state. */
#ifndef SSMD_SCHEMA_YAML_H
#define SSMD_SCHEMA_YAML_H

#include "schema/json.h"

/* One YAML document; `what` begins the error text, which names line and column. Depth and number of
 * values are bounded as in JSON, aliases counted each time they stand for something. ERR_INVALID,
 * ERR_LIMIT, ERR_NOMEM. On success the caller owns *ret_root: cJSON_Delete(). */
int yaml_parse(const char *bytes, size_t n, size_t max_bytes, const char *what, cJSON **ret_root,
               struct err *err) MUST_CHECK;

/* JSON or, if it is not that, YAML. The error is that of the language which the text seems to be
 * in. Errors as above. */
int json_or_yaml_parse(const char *text, size_t n, size_t max_bytes, const char *what,
                       cJSON **ret_root, struct err *err) MUST_CHECK;
/* The same for a command document's text; the result is an object. In YAML the fields that are
 * texts may be written without quotes: `schemaVersion: 2.2`. */
int document_text_parse(const char *text, size_t n, size_t max_bytes, const char *what,
                        cJSON **ret_document, struct err *err) MUST_CHECK;

#endif
