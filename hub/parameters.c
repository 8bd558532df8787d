/* Values against declarations. */
#include "hub/parameters.h"

#include <inttypes.h>
#include <string.h>

#include "base/str.h"
#include "hub/api.h"

enum type { STRING, STRING_LIST, BOOLEAN, INTEGER, MAP_LIST, STRING_MAP, TYPE_END_ };

static const char *const types[] = {
    [STRING] = "String",   [STRING_LIST] = "StringList", [BOOLEAN] = "Boolean",
    [INTEGER] = "Integer", [MAP_LIST] = "MapList",       [STRING_MAP] = "StringMap",
};

static enum type type_of(const cJSON *declaration)
{
    const cJSON *item = json_get_exact(declaration, "type");
    int i;

    for (i = 0; cJSON_IsString(item) && i < TYPE_END_; i++)
        if (str_eq(item->valuestring, types[i]))
            return (enum type)i;
    return TYPE_END_;
}

/* A bound of a declaration, or `otherwise`. */
static int64_t bound(const cJSON *declaration, const char *name, int64_t otherwise)
{
    struct err ignored; /* a bound that is no number was refused when the document was made */
    int64_t value;

    if (json_get_exact(declaration, name) == NULL ||
        json_get_i64(declaration, "", name, &value, &ignored) < 0)
        return otherwise;
    return value;
}

/* A bound that the document does not set is not spoken of. */
static int check_count(const char *name, const cJSON *declaration, int64_t n, const char *least,
                       const char *most, const char *of_what, struct err *err)
{
    int64_t min = bound(declaration, least, 0), max = bound(declaration, most, INT64_MAX);

    if (n < min)
        return err_set(err, ERR_INVALID,
                       "Parameter \"%s\" has %" PRId64 " %s; the document wants at least %" PRId64,
                       name, n, of_what, min);
    if (n > max)
        return err_set(err, ERR_INVALID,
                       "Parameter \"%s\" has %" PRId64 " %s; the document allows at most %" PRId64,
                       name, n, of_what, max);
    return 0;
}

/* One element, as text, against allowedValues, allowedPattern and the bounds on characters. */
static int check_text(const char *name, const cJSON *declaration, const char *value,
                      struct err *err)
{
    const cJSON *allowed = json_get_exact(declaration, "allowedValues"), *item;
    const cJSON *pattern = json_get_exact(declaration, "allowedPattern");
    int64_t n = (int64_t)str_utf8_count(value);
    bool is_found = false;

    if (str_has_prefix(value, "{{")) /* a reference to the parameter store: the agent resolves it */
        return 0;
    if (cJSON_IsArray(allowed)) {
        cJSON_ArrayForEach(item, allowed) if (cJSON_IsString(item) &&
                                              str_eq(item->valuestring, value)) is_found = true;
        if (!is_found)
            return err_set(err, ERR_INVALID,
                           "Parameter \"%s\": \"%.100s\" is not one of the document's "
                           "allowedValues",
                           name, value);
    }
    if (cJSON_IsString(pattern) && !api_matches(pattern->valuestring, value))
        return err_set(err, ERR_INVALID,
                       "Parameter \"%s\": \"%.100s\" does not match the allowedPattern %.200s",
                       name, value, pattern->valuestring);
    return check_count(name, declaration, n, "minChars", "maxChars", "characters", err);
}

static int add_json(const char *name, const char *text, bool is_list, struct buf *out,
                    struct err *err)
{
    AUTO(cJSON_Delete) cJSON *value = NULL;
    struct err why;

    if (json_parse(text, strlen(text), API_MAX_BODY_BYTES, JSON_REFUSE, "value", &value, &why) < 0)
        return err_set(err, ERR_INVALID, "Parameter \"%s\": %s", name, why.text);
    if (!(is_list ? cJSON_IsArray(value) : cJSON_IsObject(value)))
        return err_set(err, ERR_INVALID, "Parameter \"%s\" must be %s in JSON, not %s", name,
                       is_list ? "a list" : "an object", json_type_name(value));
    json_write(out, value);
    return 0;
}

static int add_list(const char *name, const cJSON *declaration, const cJSON *values, bool is_map,
                    struct buf *out, struct err *err)
{
    const cJSON *item;
    int64_t n = cJSON_GetArraySize(values);
    int r = 0;

    r = check_count(name, declaration, n, "minItems", "maxItems", "items", err);
    if (r < 0)
        return r;
    /* One value that is a whole JSON list is that list. */
    if (is_map && n == 1 && str_has_prefix(values->child->valuestring, "["))
        return add_json(name, values->child->valuestring, true, out, err);
    (void)buf_add_char(out, '['); /* failures stick to the buf */
    cJSON_ArrayForEach(item, values)
    {
        if (item != values->child)
            (void)buf_add_char(out, ',');
        if (is_map)
            r = add_json(name, item->valuestring, false, out, err);
        else {
            r = check_text(name, declaration, item->valuestring, err);
            (void)buf_add_json_str(out, item->valuestring, strlen(item->valuestring));
        }
        if (r < 0)
            return r;
    }
    (void)buf_add_char(out, ']');
    return 0;
}

static int add_value(const char *name, const cJSON *declaration, const cJSON *values,
                     struct buf *out, struct err *err)
{
    enum type type = type_of(declaration);
    const char *value;
    int64_t number;
    int r;

    if (type == STRING_LIST || type == MAP_LIST)
        return add_list(name, declaration, values, type == MAP_LIST, out, err);
    if (cJSON_GetArraySize(values) != 1)
        return err_set(err, ERR_INVALID,
                       "Parameter \"%s\" is of type %s and takes one value, not %d", name,
                       types[type], cJSON_GetArraySize(values));
    value = values->child->valuestring;
    if (type == STRING_MAP)
        return add_json(name, value, false, out, err);
    r = check_text(name, declaration, value, err);
    if (r < 0)
        return r;
    if (type == BOOLEAN) {
        if (!str_eq_nocase(value, "true") && !str_eq_nocase(value, "false"))
            return err_set(err, ERR_INVALID,
                           "Parameter \"%s\" must be true or false, not \"%.100s\"", name, value);
        (void)buf_add_str(out, str_eq_nocase(value, "true") ? "true" : "false");
    } else if (type == INTEGER) {
        if (!str_to_i64(value, INT64_MIN, INT64_MAX, &number))
            return err_set(err, ERR_INVALID,
                           "Parameter \"%s\" must be a whole number, not \"%.100s\"", name, value);
        (void)buf_printf(out, "%" PRId64, number);
    } else
        (void)buf_add_json_str(out, value, strlen(value));
    return 0;
}

int parameters_build(const cJSON *declared, const cJSON *given, struct buf *ret_json,
                     struct err *err)
{
    const cJSON *item;
    int r;

    cJSON_ArrayForEach(
        item,
        given) if (json_get_exact(declared, item->string) ==
                   NULL) return err_set(err, ERR_INVALID,
                                        "Parameter \"%.100s\" is not a parameter of the document",
                                        item->string);
    cJSON_ArrayForEach(item, declared) if (
        json_get_exact(item, "default") == NULL &&
        json_get_exact(given, item->string) ==
            NULL) return err_set(err, ERR_INVALID,
                                 "Parameter \"%.100s\" is required: the document gives no default",
                                 item->string);
    (void)buf_add_char(ret_json, '{'); /* failures stick to the buf */
    cJSON_ArrayForEach(item, given)
    {
        if (item != given->child)
            (void)buf_add_char(ret_json, ',');
        (void)buf_add_json_str(ret_json, item->string, strlen(item->string));
        (void)buf_add_char(ret_json, ':');
        r = add_value(item->string, json_get_exact(declared, item->string), item, ret_json, err);
        if (r < 0)
            return r;
    }
    (void)buf_add_char(ret_json, '}');
    return buf_error(ret_json, "parameters", err);
}

int parameters_check_declared(const cJSON *declared, struct err *err)
{
    static const char *const bounds[] = {"minItems", "maxItems", "minChars", "maxChars"};
    const cJSON *item;
    size_t i;

    if (declared != NULL && !cJSON_IsObject(declared))
        return err_set(err, ERR_INVALID, "parameters must be an object, not %s",
                       json_type_name(declared));
    cJSON_ArrayForEach(item, declared)
    {
        const cJSON *pattern = json_get_exact(item, "allowedPattern");
        const cJSON *values = json_get_exact(item, "allowedValues");
        int64_t ignored;

        if (!cJSON_IsObject(item) || type_of(item) == TYPE_END_)
            return err_set(err, ERR_INVALID,
                           "parameter \"%.100s\": type must be String, StringList, Boolean, "
                           "Integer, MapList or StringMap",
                           item->string);
        if (pattern != NULL && !cJSON_IsString(pattern))
            return err_set(err, ERR_INVALID,
                           "parameter \"%.100s\": allowedPattern must be a string", item->string);
        if (values != NULL && !cJSON_IsArray(values))
            return err_set(err, ERR_INVALID, "parameter \"%.100s\": allowedValues must be a list",
                           item->string);
        for (i = 0; i < ARRAY_LEN(bounds); i++)
            if (json_get_exact(item, bounds[i]) != NULL &&
                json_get_i64(item, "parameter", bounds[i], &ignored, err) < 0)
                return ERR_INVALID;
    }
    return 0;
}

const char *parameters_resolve(const cJSON *declared, const cJSON *given, const char *text)
{
    char name[128];
    size_t n = strlen(text);
    const cJSON *item;

    if (n < 5 || !str_has_prefix(text, "{{") || !str_has_suffix(text, "}}"))
        return text;
    text += 2;
    n -= 4;
    for (; n > 0 && *text == ' '; n--)
        text++;
    while (n > 0 && text[n - 1] == ' ')
        n--;
    if (n >= sizeof(name))
        return NULL;
    memcpy(name, text, n);
    name[n] = '\0';
    item = json_get_exact(given, name);
    if (item != NULL)
        item = item->child;
    else
        item = json_get_exact(json_get_exact(declared, name), "default");
    return cJSON_IsString(item) ? item->valuestring : NULL;
}
