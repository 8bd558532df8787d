/* What the files of the document reader share. */
#ifndef SSMD_SCHEMA_DOCUMENT_INTERNAL_H
#define SSMD_SCHEMA_DOCUMENT_INTERNAL_H

#include "schema/document.h"

/* ---- parameters.c: the value set (spec 04, sections 2.1 to 2.3) ---- */

struct parameter {
    const char *name;
    const cJSON *value;      /* never NULL; may be JSON null */
    const cJSON *definition; /* NULL for a value whose name is not declared */
};

/* Sorted by name. Names and trees are borrowed from the document and the given values. */
struct parameters {
    struct parameter *items;
    size_t n;
};

int parameters_collect(const cJSON *definitions, const cJSON *given, struct parameters *ret,
                       struct err *err) MUST_CHECK;
void parameters_done(struct parameters *p);
const struct parameter *parameters_find(const struct parameters *p, const char *name, size_t n);
static inline void parameters_done_cleanup(struct parameters *p)
{
    parameters_done(p);
}

/* ---- document_warn.c ---- */

/* One line: "<where>.<name>: <text>". */
void document_warn(struct buf *warnings, const char *where, const char *name, const char *text);
void document_warn_top(const cJSON *content, bool is_old, struct buf *warnings);
/* `item` is the step as written, `inputs` after substitution. */
void document_warn_step(const cJSON *item, const cJSON *inputs, const char *where, bool is_old,
                        bool is_strict, bool is_last, struct buf *warnings);

/* ---- validate.c ---- */

/* Check each value against its definition. All violations are collected: one line each is appended
 * to *violations, which stays empty when there is none. Fails for what is not a violation only. */
struct expansion;
int parameters_validate(const struct parameters *p, bool is_nested, struct expansion *x,
                        struct buf *violations, struct err *err) MUST_CHECK;

/* ---- substitute.c: sections 2.4, 2.5 ---- */

/* What one document may grow to, and who knows the Parameter Store. */
struct expansion {
    const struct parameters *parameters;
    const struct document_resolver *resolver;
    size_t left; /* bytes that may still be made */
};

/* Take bytes off what is left. ERR_LIMIT when the document grows too large. */
int expansion_charge(struct expansion *x, size_t bytes, struct err *err) MUST_CHECK;
/* A copy of the tree with the parameters put in. The caller owns *ret_tree. */
int expand_tree(struct expansion *x, const cJSON *tree, cJSON **ret_tree, struct err *err)
    MUST_CHECK;
/* A single text, values that are not strings as JSON. The caller owns *ret_text. */
int expand_text(struct expansion *x, const char *text, char **ret_text, struct err *err) MUST_CHECK;

/* ---- ssm_reference.c ---- */

/* Put Parameter Store values in, in place. */
int resolve_tree(struct expansion *x, cJSON *tree, struct err *err) MUST_CHECK;
/* Whether a {{ ssm:name }} (with_secure: or {{ ssm-secure:name }}) stands in the text or tree. */
bool text_has_reference(const char *text, bool with_secure);
bool tree_has_reference(const cJSON *tree);

/* ---- precondition.c: section 3.4 ---- */

struct precondition_result {
    bool is_allowed;
    struct buf unmet;    /* what did not hold, joined by "', '" */
    struct buf problems; /* what could not be understood, likewise */
};
int precondition_evaluate(const cJSON *precondition, const char *platform, struct expansion *x,
                          struct precondition_result *ret, struct err *err) MUST_CHECK;

/* ---- pattern.c: allowedPattern ---- */

struct pattern;
/* ERR_INVALID with the reason when the expression does not compile. */
int pattern_compile(const char *expression, struct pattern **ret_pattern, struct err *err)
    MUST_CHECK;
/* Whether there is a match anywhere. ERR_LIMIT when the search was given up as too costly. */
int pattern_search(const struct pattern *p, const char *text, bool *ret_is_match, struct err *err)
    MUST_CHECK;
void pattern_free(struct pattern *p);
DEFINE_AUTO(struct pattern *, pattern_free)

#endif
