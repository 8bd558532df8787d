/* A document's text into its tree, whichever language it is written in. */
#include <string.h>

#include "base/str.h"
#include "schema/yaml_internal.h"

/* Where a text stands, a number or a boolean without quotes is taken by its own words. */
static void take_words(cJSON *item)
{
    if (item != NULL && item->valuestring != NULL && (cJSON_IsNumber(item) || cJSON_IsBool(item)))
        item->type = cJSON_String;
}

static void take_words_of(const cJSON *object, const char *const *names, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        take_words(cJSON_GetObjectItem(object, names[i]));
}

static void take_words_of_list(const cJSON *list)
{
    cJSON *item;

    if (cJSON_IsArray(list))
        cJSON_ArrayForEach(item, list) take_words(item);
}

/* The fields that are texts by their type (spec 04, sections 1.3 to 1.5, 2.1, 3.4). Inputs,
 * settings and values have whatever type they are written with. */
static void take_words_of_document(const cJSON *document)
{
    static const char *const top[] = {"schemaVersion", "description"};
    static const char *const parameter[] = {"type", "description", "allowedPattern", "displayType"};
    static const char *const step[] = {"action", "name", "onFailure"};
    const cJSON *item, *entry;

    take_words_of(document, top, ARRAY_LEN(top));
    cJSON_ArrayForEach(item, json_get(document, "parameters"))
    {
        take_words_of(item, parameter, ARRAY_LEN(parameter));
        take_words_of_list(json_get(item, "allowedValues"));
    }
    cJSON_ArrayForEach(item, json_get(document, "mainSteps"))
    {
        take_words_of(item, step, ARRAY_LEN(step));
        cJSON_ArrayForEach(entry, json_get(item, "precondition")) take_words_of_list(entry);
    }
}

static bool seems_json(const char *text, size_t n)
{
    size_t i;

    for (i = 0; i < n && strchr(" \t\r\n", text[i]) != NULL && text[i] != '\0'; i++)
        ;
    return i < n && text[i] == '{';
}

/* The error is that of the language which the text seems to be in. */
static int parse_either(const char *text, size_t n, size_t max_bytes, const char *what,
                        cJSON **ret_root, struct err *err)
{
    struct err of_json, of_yaml;
    int r = json_parse(text, n, max_bytes, JSON_REFUSE, what, ret_root, &of_json);

    if (r == 0)
        return 0;
    if (r == ERR_NOMEM || r == ERR_LIMIT) {
        of_yaml = of_json;
    } else {
        r = yaml_parse_with_words(text, n, max_bytes, what, ret_root, &of_yaml);
        if (r == 0)
            return 0;
        if (r != ERR_NOMEM && seems_json(text, n))
            of_yaml = of_json;
    }
    if (err != NULL)
        *err = of_yaml;
    return of_yaml.code;
}

int json_or_yaml_parse(const char *text, size_t n, size_t max_bytes, const char *what,
                       cJSON **ret_root, struct err *err)
{
    int r = parse_either(text, n, max_bytes, what, ret_root, err);

    if (r == 0)
        yaml_drop_words(*ret_root); /* JSON has none */
    return r;
}

int document_text_parse(const char *text, size_t n, size_t max_bytes, const char *what,
                        cJSON **ret_document, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    int r = parse_either(text, n, max_bytes, what, &root, err);

    if (r < 0)
        return r;
    take_words_of_document(root);
    yaml_drop_words(root);
    r = json_want_object(root, what, err);
    if (r == 0)
        *ret_document = TAKE(root);
    return r;
}
