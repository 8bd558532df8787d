/* Parameters of a local run. */
#include "ctl/params.h"

#include <string.h>

#include "base/str.h"
#include "ctl/text.h"
#include "schema/json.h"

#define MAX_NAME_BYTES 256u
#define MAX_VALUE_BYTES (1u << 20)

static int unknown_name(const cJSON *declared, const char *name, struct err *err)
{
    const cJSON *p;
    AUTO(buf_done) struct buf names = {0};
    const char *best = NULL;
    size_t best_distance = 3;

    buf_init(&names, 300); /* for a text: cut when longer */
    cJSON_ArrayForEach(p, declared)
    {
        size_t d = str_distance(name, p->string, best_distance);

        (void)buf_printf(&names, "%s%s", names.len > 0 ? ", " : "", p->string);
        if (d < best_distance) {
            best_distance = d;
            best = p->string;
        }
    }
    if (names.len == 0)
        return err_set(err, ERR_USAGE, "parameter %s: the document declares no parameters", name);
    if (best != NULL)
        return err_set(err, ERR_USAGE,
                       "parameter %s: the document does not declare it; did you mean %s?", name,
                       best);
    return err_set(err, ERR_USAGE, "parameter %s: the document does not declare it; it has: %s",
                   name, buf_str(&names));
}

/* The part before '=' as ret_name; its declaration as *ret_type. */
static int split(const cJSON *declared, const char *text, char ret_name[MAX_NAME_BYTES],
                 const char **ret_value, const char **ret_type, struct err *err)
{
    const char *equals = strchr(text, '=');
    const cJSON *p;

    if (equals == NULL || equals == text)
        return err_set(err, ERR_USAGE, "parameter %s: give it as --param NAME=VALUE", text);
    if ((size_t)(equals - text) >= MAX_NAME_BYTES)
        return err_set(err, ERR_USAGE, "parameter %.40s...: the name is longer than %u bytes", text,
                       MAX_NAME_BYTES - 1);
    memcpy(ret_name, text, (size_t)(equals - text));
    ret_name[equals - text] = '\0';
    p = json_get_exact(declared, ret_name);
    if (p == NULL)
        return unknown_name(declared, ret_name, err);
    if (!str_is_utf8(equals + 1, strlen(equals + 1)))
        return err_set(err, ERR_USAGE, "parameter %s: its value is not UTF-8", ret_name);
    *ret_value = equals + 1;
    *ret_type = cJSON_GetStringValue(json_get_exact(p, "type"));
    return 0;
}

static int add_json(struct buf *b, const char *name, const char *type, const char *value,
                    struct err *err)
{
    AUTO(cJSON_Delete) cJSON *parsed = NULL;
    int r = json_parse(value, strlen(value), MAX_VALUE_BYTES, JSON_REFUSE, "value", &parsed, err);

    if (r < 0) {
        (void)err_wrap(err, "parameter %s: a value of type %s is given as JSON", name, type);
        return err->code = ERR_USAGE;
    }
    json_write(b, parsed); /* compact: a line end in it would end the question to ssmd */
    return 0;
}

/* Does values[i] belong to the parameter `name`? */
static bool is_of(const char *text, const char *name)
{
    size_t n = strlen(name);

    return strncmp(text, name, n) == 0 && text[n] == '=';
}

static size_t count_of(const char *const *values, size_t n, const char *name)
{
    size_t i, k = 0;

    for (i = 0; i < n; i++)
        k += is_of(values[i], name);
    return k;
}

static int add_list(struct buf *b, const char *const *values, size_t n, const char *name,
                    struct err *err)
{
    size_t i, k = 0;
    size_t skip = strlen(name) + 1;

    for (i = 0; i < n; i++) {
        if (!is_of(values[i], name))
            continue;
        if (values[i][skip] == '[' && count_of(values, n, name) == 1)
            return add_json(b, name, "StringList", values[i] + skip, err);
        (void)buf_add_char(b, k++ == 0 ? '[' : ',');
        (void)buf_add_json_str(b, values[i] + skip, strlen(values[i] + skip));
    }
    (void)buf_add_char(b, ']');
    return 0;
}

int params_to_json(const cJSON *document, const char *const *values, size_t n, struct buf *ret_json,
                   struct err *err)
{
    const cJSON *declared = json_get(document, "parameters");
    size_t i, n_names = 0;

    (void)buf_add_char(ret_json, '{'); /* buf_error() below tells */
    for (i = 0; i < n; i++) {
        const char *value = "", *type = NULL;
        char name[MAX_NAME_BYTES];
        int r = split(declared, values[i], name, &value, &type, err);

        if (r < 0)
            return r;
        if (count_of(values, i, name) > 0) {
            if (!str_eq(type, "StringList"))
                return err_set(err, ERR_USAGE, "parameter %s: given twice, but it is no list",
                               name);
            continue; /* its first --param has taken them all */
        }
        if (n_names++ > 0)
            (void)buf_add_char(ret_json, ',');
        (void)buf_add_json_str(ret_json, name, strlen(name));
        (void)buf_add_char(ret_json, ':');
        if (str_eq(type, "StringList"))
            r = add_list(ret_json, values, n, name, err);
        else if (type == NULL || str_eq(type, "String"))
            (void)buf_add_json_str(ret_json, value, strlen(value));
        else
            r = add_json(ret_json, name, type, value, err);
        if (r < 0)
            return r;
    }
    (void)buf_add_char(ret_json, '}');
    return buf_error(ret_json, "parameters", err);
}
