/* A template, a newline, a value: substitution into texts, and patterns. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "schema/document.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

static cJSON *string_of(const char *s, size_t n)
{
    char *copy = malloc(n + 1);
    cJSON *item;

    if (copy == NULL)
        abort();
    memcpy(copy, s, n);
    copy[n] = '\0';
    item = cJSON_CreateString(copy);
    free(copy);
    return item;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    const char *text = (const char *)data, *line = n > 0 ? memchr(text, '\n', n) : NULL;
    size_t n_template = line != NULL ? (size_t)(line - text) : n;
    cJSON *content, *given, *step, *inputs, *definition;
    struct document_input in = {.is_nested = true};
    struct document *d = NULL;
    struct err err;

    if (!str_is_utf8(text, n) || n > 4096 || (n > 0 && memchr(text, '\0', n) != NULL))
        return 0;
    content = cJSON_CreateObject();
    given = cJSON_CreateObject();
    (void)cJSON_AddItemToObject(given, "p",
                                string_of(text + n_template, line != NULL ? n - n_template : 0));
    (void)cJSON_AddItemToObject(given, "ab", string_of("$$", 2));
    (void)cJSON_AddStringToObject(content, "schemaVersion", "2.2");
    definition = cJSON_AddObjectToObject(cJSON_AddObjectToObject(content, "parameters"), "q");
    (void)cJSON_AddItemToObject(definition, "allowedPattern", string_of(text, n_template));
    (void)cJSON_AddItemToObject(given, "q", string_of(text, n));
    step = cJSON_CreateObject();
    (void)cJSON_AddItemToArray(cJSON_AddArrayToObject(content, "mainSteps"), step);
    (void)cJSON_AddStringToObject(step, "action", "aws:runShellScript");
    inputs = cJSON_AddObjectToObject(step, "inputs");
    (void)cJSON_AddItemToObject(inputs, "x", string_of(text, n_template));
    in.content = content;
    in.parameters = given;
    if (document_parse(&in, &d, &err) == 0)
        document_free(d);
    cJSON_DeleteItemFromObject(definition, "allowedPattern");
    if (document_parse(&in, &d, &err) == 0)
        document_free(d);
    cJSON_Delete(content);
    cJSON_Delete(given);
    return 0;
}
