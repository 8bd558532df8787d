/* Members of a parsed object by name and type, with errors that name the place. */
#include "schema/json.h"

#include <math.h>
#include <string.h>
#include <strings.h>

const char *json_type_name(const cJSON *item)
{
    if (item == NULL)
        return "nothing";
    switch (item->type & 0xff) {
    case cJSON_String:
        return "a string";
    case cJSON_Number:
        return "a number";
    case cJSON_Array:
        return "a list";
    case cJSON_Object:
        return "an object";
    case cJSON_True:
    case cJSON_False:
        return "a boolean";
    default:
        return "null";
    }
}

static const cJSON *find(const cJSON *object, const char *name,
                         int (*compare)(const char *, const char *))
{
    const cJSON *item, *found = NULL;

    if (!cJSON_IsObject(object))
        return NULL;
    for (item = object->child; item != NULL; item = item->next)
        if (compare(item->string, name) == 0)
            found = item;
    return cJSON_IsNull(found) ? NULL : found;
}

const cJSON *json_get(const cJSON *object, const char *name)
{
    return find(object, name, strcasecmp);
}

const cJSON *json_get_exact(const cJSON *object, const char *name)
{
    return find(object, name, strcmp);
}

static int fail_type(const cJSON *item, const char *where, const char *name, const char *wanted,
                     struct err *err)
{
    return err_set(err, ERR_INVALID, "%.300s%s%s must be %s, not %s", where,
                   where[0] != '\0' && name[0] != '\0' ? "." : "", name, wanted,
                   json_type_name(item));
}

int json_want_object(const cJSON *item, const char *where, struct err *err)
{
    return cJSON_IsObject(item) ? 0 : fail_type(item, where, "", "an object", err);
}

int json_get_string(const cJSON *object, const char *where, const char *name, size_t max_bytes,
                    const char **ret_text, struct err *err)
{
    const cJSON *item = json_get(object, name);

    if (item != NULL && !cJSON_IsString(item))
        return fail_type(item, where, name, "a string", err);
    if (item != NULL && strlen(item->valuestring) > max_bytes)
        return err_set(err, ERR_LIMIT, "%.300s%s%s has %zu bytes; at most %zu are accepted", where,
                       where[0] != '\0' ? "." : "", name, strlen(item->valuestring), max_bytes);
    *ret_text = item != NULL ? item->valuestring : NULL;
    return 0;
}

int json_get_object(const cJSON *object, const char *where, const char *name,
                    const cJSON **ret_object, struct err *err)
{
    const cJSON *item = json_get(object, name);

    if (item != NULL && !cJSON_IsObject(item))
        return fail_type(item, where, name, "an object", err);
    *ret_object = item;
    return 0;
}

int json_get_list(const cJSON *object, const char *where, const char *name, const cJSON **ret_list,
                  struct err *err)
{
    const cJSON *item = json_get(object, name);

    if (item != NULL && !cJSON_IsArray(item))
        return fail_type(item, where, name, "a list", err);
    *ret_list = item;
    return 0;
}

int json_get_i64(const cJSON *object, const char *where, const char *name, int64_t *ret_value,
                 struct err *err)
{
    const cJSON *item = json_get(object, name);

    if (item == NULL) {
        *ret_value = 0;
        return 0;
    }
    if (!cJSON_IsNumber(item))
        return fail_type(item, where, name, "a whole number", err);
    /* 2^53: beyond it a double does not hold every whole number. */
    if (item->valuedouble != trunc(item->valuedouble) ||
        fabs(item->valuedouble) > 9007199254740992.0)
        return err_set(err, ERR_INVALID, "%.300s%s%s must be a whole number, not %g", where,
                       where[0] != '\0' ? "." : "", name, item->valuedouble);
    *ret_value = (int64_t)item->valuedouble;
    return 0;
}
