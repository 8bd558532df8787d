/* Checks of parameter values against their definitions, before anything runs. Spec 04 section 2.3.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "schema/document_internal.h"

/* Violations tell values; a long one is cut so that the others are read too. */
#define SHOWN_BYTES 200u
#define NO_LIMIT 2147483647.0

struct check {
    const struct parameter *parameter;
    const char *type; /* "" when the definition has none */
    bool is_given_up; /* the pattern costs too much: not tried on further elements */
    struct buf *violations;
    struct err *err;
};

static void violation(struct check *c, const char *validator, const char *reason, const char *value)
{
    if (c->violations->len > 0)
        (void)buf_add_char(c->violations, '\n');
    (void)buf_printf(c->violations, "%s: parameter /%s/: %s", validator, c->parameter->name,
                     reason);
    if (value != NULL) {
        size_t n = str_utf8_cut(value, strlen(value), SHOWN_BYTES);

        (void)buf_add_str(c->violations, ": /");
        (void)buf_add(c->violations, value, n);
        (void)buf_add_str(c->violations, value[n] != '\0' ? "..." : "");
        (void)buf_add_char(c->violations, '/');
    }
}

/* Call `look` with the texts that checks look at: the string, each element of a list, the JSON text
 * of a map or of any other value. */
static int each_text(struct check *c, const cJSON *value,
                     int (*look)(struct check *c, const void *arg, const char *text),
                     const void *arg)
{
    const cJSON *child;
    AUTO(buf_done) struct buf b = {0};
    int r = 0;

    if (cJSON_IsString(value))
        return look(c, arg, value->valuestring);
    if (cJSON_IsArray(value)) {
        cJSON_ArrayForEach(child, value)
        {
            if (cJSON_IsArray(child)) { /* an element that is a list is taken as its JSON text */
                buf_init(&b, DOCUMENT_MAX_EXPANDED_BYTES);
                json_write(&b, child);
                r = buf_error(&b, "the value of a parameter", c->err);
                if (r == 0)
                    r = look(c, arg, buf_str(&b));
                buf_done(&b);
            } else {
                r = each_text(c, child, look, arg);
            }
            if (r < 0)
                return r;
        }
        return 0;
    }
    buf_init(&b, DOCUMENT_MAX_EXPANDED_BYTES);
    json_write(&b, value);
    r = buf_error(&b, "the value of a parameter", c->err);
    return r == 0 ? look(c, arg, buf_str(&b)) : r;
}

static int look_pattern(struct check *c, const void *arg, const char *text)
{
    bool is_match = false;
    struct err reason;

    if (c->is_given_up)
        return 0;
    if (pattern_search(arg, text, &is_match, &reason) < 0) {
        violation(c, "AllowedRegexParamValidator", reason.text, text);
        c->is_given_up = true;
    } else if (!is_match) {
        violation(c, "AllowedRegexParamValidator", "the value does not match the allowed pattern",
                  text);
    }
    return 0;
}

static int check_pattern(struct check *c, const cJSON *value)
{
    const cJSON *expression = json_get(c->parameter->definition, "allowedPattern");
    AUTO(pattern_free) struct pattern *pattern = NULL;
    char reason[sizeof(c->err->text) + 64];
    struct err err;
    int r;

    if (expression == NULL || expression->valuestring[0] == '\0')
        return 0;
    r = pattern_compile(expression->valuestring, &pattern, &err);
    if (r == ERR_NOMEM)
        return err_set(c->err, r, "allowedPattern: %s", err.text);
    if (r < 0) {
        (void)snprintf(reason, sizeof(reason), "the allowed pattern does not compile: %s",
                       err.text);
        violation(c, "AllowedRegexParamValidator", reason, expression->valuestring);
        return 0;
    }
    if (!cJSON_IsString(value) && !cJSON_IsArray(value) && !cJSON_IsObject(value)) {
        (void)snprintf(reason, sizeof(reason),
                       "%s cannot be compared with the allowed pattern; give a value",
                       json_type_name(value));
        violation(c, "AllowedRegexParamValidator", reason, NULL);
        return 0;
    }
    return each_text(c, value, look_pattern, pattern);
}

/* A limit is a number or a text that holds one; what is not a whole number in range does not limit.
 */
static double limit_of(const cJSON *definition, const char *name, double otherwise)
{
    const cJSON *item = json_get(definition, name);
    double value = otherwise;
    char *end = NULL;

    if (cJSON_IsNumber(item)) {
        value = item->valuedouble;
    } else if (cJSON_IsString(item)) {
        value = strtod(item->valuestring, &end);
        if (end == item->valuestring || *end != '\0')
            return otherwise;
    }
    if (!(value >= 0 && value <= NO_LIMIT) || value != trunc(value))
        return otherwise;
    return value;
}

struct limits {
    double min, max;
};

static int look_length(struct check *c, const void *arg, const char *text)
{
    const struct limits *limits = arg;
    size_t n = strlen(text);
    char reason[120];

    if ((double)n >= limits->min && (double)n <= limits->max)
        return 0;
    (void)snprintf(reason, sizeof(reason), "the value has %zu bytes; %.0f to %.0f are allowed", n,
                   limits->min, limits->max);
    violation(c, "MinMaxCharParamValidator", reason, text);
    return 0;
}

static void check_items(struct check *c, const cJSON *value)
{
    const struct limits limits = {.min = limit_of(c->parameter->definition, "minItems", 0),
                                  .max = limit_of(c->parameter->definition, "maxItems", NO_LIMIT)};
    const cJSON *child;
    size_t n = 0;
    char reason[120];

    if (!cJSON_IsArray(value) && !cJSON_IsObject(value))
        return;
    cJSON_ArrayForEach(child, value) n++;
    if ((double)n >= limits.min && (double)n <= limits.max)
        return;
    (void)snprintf(reason, sizeof(reason), "the value has %zu items; %.0f to %.0f are allowed", n,
                   limits.min, limits.max);
    violation(c, "MinMaxItemParamValidator", reason, NULL);
}

static int look_allowed(struct check *c, const void *arg, const char *text)
{
    const cJSON *allowed = arg, *item;

    cJSON_ArrayForEach(item, allowed) if (str_eq(item->valuestring, text)) return 0;
    violation(c, "AllowedValueParamValidator", "the value is not one of the allowed values", text);
    return 0;
}

static int check_allowed(struct check *c, const cJSON *value)
{
    const cJSON *allowed = json_get(c->parameter->definition, "allowedValues");

    if (allowed == NULL || allowed->child == NULL)
        return 0;
    return each_text(c, value, look_allowed, allowed);
}

static void check_type(struct check *c, const cJSON *value)
{
    if (str_eq(c->type, "Integer")) {
        if (!cJSON_IsNumber(value))
            violation(c, "AllowedValueParamValidator", "the value of an Integer is not a number",
                      NULL);
        else if (value->valuedouble <= -2147483648.0 || value->valuedouble >= 2147483647.0)
            violation(c, "AllowedValueParamValidator", "the value of an Integer is out of range",
                      NULL);
    } else if (str_eq(c->type, "Boolean") && !cJSON_IsBool(value)) {
        violation(c, "AllowedValueParamValidator", "the value of a Boolean is not true or false",
                  NULL);
    }
}

static int check_nested(struct check *c, const cJSON *value)
{
    const cJSON *definition = c->parameter->definition;
    const struct limits chars = {.min = limit_of(definition, "minChars", 0),
                                 .max = limit_of(definition, "maxChars", NO_LIMIT)};
    int r;

    check_type(c, value);
    if (str_eq(c->type, "Integer") || str_eq(c->type, "Boolean"))
        return check_allowed(c, value);
    r = each_text(c, value, look_length, &chars);
    if (r == 0 && !str_eq(c->type, "String"))
        check_items(c, value);
    return r == 0 ? check_allowed(c, value) : r;
}

int parameters_validate(const struct parameters *p, bool is_nested, struct expansion *x,
                        struct buf *violations, struct err *err)
{
    size_t i;

    for (i = 0; i < p->n; i++) {
        const struct parameter *parameter = &p->items[i];
        const cJSON *type = json_get(parameter->definition, "type");
        struct check c = {.parameter = parameter,
                          .type = type != NULL ? type->valuestring : "",
                          .violations = violations,
                          .err = err};
        AUTO(cJSON_Delete) cJSON *resolved = NULL;
        bool has_reference = tree_has_reference(parameter->value);
        const cJSON *value = parameter->value;
        int r = 0;

        if (has_reference) {
            resolved = cJSON_Duplicate(parameter->value, true);
            if (resolved == NULL)
                return err_set(err, ERR_NOMEM, "parameters: out of memory");
            r = resolve_tree(x, resolved, err);
            value = resolved;
        }
        if (r == 0 && parameter->definition != NULL)
            r = check_pattern(&c, value);
        if (r == 0 && parameter->definition != NULL && is_nested && !has_reference)
            r = check_nested(&c, value);
        if (r < 0)
            return r;
    }
    return 0;
}
