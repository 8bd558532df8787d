/* Parameter Store as documents and plugins see it: the answer of GetParameters, and the values of a
 * document's {{ssm:...}} references as they are kept beside its payload. Spec 04 sections 2.5, 8.9.
 * Any thread; no state. */
#ifndef SSMD_SCHEMA_PARAMETER_STORE_H
#define SSMD_SCHEMA_PARAMETER_STORE_H

#include "base/buf.h"
#include "schema/document.h"
#include "schema/json.h"

#define PARAMETER_MAX_PER_CALL 10u /* names in one GetParameters */
#define PARAMETER_MAX_ANSWER_BYTES (1u << 20)
#define PARAMETER_MAX_VALUES_BYTES (4u << 20) /* of one document, as JSON */

#define PARAMETER_TYPE_STRING_LIST "StringList"
#define PARAMETER_TYPE_SECURE "SecureString"

/* Texts are never NULL and are borrowed from the answer. */
struct stored_parameter {
    const char *name;     /* without version or label */
    const char *arn;      /* "" when the answer has none */
    const char *selector; /* ":3", ":label", or "" */
    const char *type;     /* String, StringList, SecureString */
    const char *value;
    int64_t version;
};

struct parameter_answer {
    cJSON *root; /* owned; what the texts point into */
    struct stored_parameter *items;
    size_t n;
    const char **invalid; /* what was asked for and is not there */
    size_t n_invalid;
};

/* The body of a GetParameters answer. ERR_PROTOCOL: it is not one; ERR_NOMEM. On success the caller
 * owns *ret_answer: parameter_answer_done(), which also overwrites the values in memory. */
int parameter_answer_parse(const char *body, size_t n, struct parameter_answer *ret_answer,
                           struct err *err) MUST_CHECK;
void parameter_answer_done(struct parameter_answer *a);
/* The parameter that was asked for as `reference`: a name or an ARN, with or without a version or
 * label. NULL: it is not there. */
const struct stored_parameter *parameter_answer_find(const struct parameter_answer *a,
                                                     const char *reference);

/* The values of one document: an object, reference -> {"type", "value"}. A SecureString is refused
 * (ERR_INVALID): it is never put into a document, and so never kept. ERR_LIMIT: together they are
 * larger than PARAMETER_MAX_VALUES_BYTES; ERR_NOMEM. */
int parameter_values_add(cJSON *values, const char *reference, const struct stored_parameter *p,
                         struct err *err) MUST_CHECK;
/* The text that json_write() makes of them, read again. ERR_CORRUPT, ERR_NOMEM. The caller owns
 * *ret_values: cJSON_Delete(). */
int parameter_values_parse(const char *text, size_t n, cJSON **ret_values, struct err *err)
    MUST_CHECK;
/* Answers from these values, which are borrowed as long as it is used and not changed; NULL:
 * nothing is known. */
struct document_resolver parameter_values_resolver(cJSON *values);

static inline void parameter_answer_done_cleanup(struct parameter_answer *a)
{
    parameter_answer_done(a);
}

#endif
