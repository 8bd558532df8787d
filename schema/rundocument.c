/* Inputs of aws:runDocument, and documents' names. */
#include "schema/rundocument.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "schema/yaml.h"

#define MAX_PATH_BYTES 4096u
#define MAX_PARAMETERS_BYTES (1u << 20)

/* Null is "not given", so that a default applies. */
static void drop_nulls(cJSON *object)
{
    cJSON *item = object->child, *next;

    for (; item != NULL; item = next) {
        next = item->next;
        if (cJSON_IsNull(item))
            cJSON_Delete(cJSON_DetachItemViaPointer(object, item));
    }
}

static int read_parameters(const cJSON *value, cJSON **ret_parameters, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *p = NULL;
    int r = 0;

    if (value == NULL)
        return 0;
    if (cJSON_IsObject(value)) {
        p = cJSON_Duplicate(value, true);
        r = p != NULL ? 0 : err_set(err, ERR_NOMEM, "documentParameters: out of memory");
    } else if (cJSON_IsString(value)) {
        r = json_or_yaml_parse(value->valuestring, strlen(value->valuestring), MAX_PARAMETERS_BYTES,
                               "documentParameters", &p, err);
        if (r == 0 && cJSON_IsNull(p))
            return 0;
        if (r == 0)
            r = json_want_object(p, "documentParameters", err);
    } else {
        r = err_set(err, ERR_INVALID,
                    "documentParameters must be an object, or a text that holds one, not %s",
                    json_type_name(value));
    }
    if (r < 0)
        return r;
    assert(p != NULL); /* an object */
    drop_nulls(p);
    *ret_parameters = TAKE(p);
    return 0;
}

int rundocument_inputs_parse(const cJSON *inputs, struct rundocument_inputs *ret_inputs,
                             struct err *err)
{
    struct rundocument_inputs i = {.path = NULL};
    const char *type = NULL;
    int r = json_want_object(inputs, "inputs of aws:runDocument", err);

    if (r == 0)
        r = json_get_string(inputs, "", "documentType", 64, &type, err);
    if (r == 0)
        r = json_get_string(inputs, "", "documentPath", MAX_PATH_BYTES, &i.path, err);
    if (r < 0)
        return r;
    if (type == NULL || type[0] == '\0')
        return err_set(err, ERR_INVALID,
                       "documentType is missing: it must be SSMDocument or LocalPath");
    if (!str_eq(type, "SSMDocument") && !str_eq(type, "LocalPath"))
        return err_set(err, ERR_INVALID,
                       "documentType \"%s\" is not supported: it must be SSMDocument or LocalPath",
                       type);
    if (i.path == NULL || i.path[0] == '\0')
        return err_set(err, ERR_INVALID,
                       "documentPath is missing: it must name the document or its file");
    i.is_local = str_eq(type, "LocalPath");
    r = read_parameters(json_get(inputs, "documentParameters"), &i.parameters, err);
    if (r == 0)
        *ret_inputs = i;
    return r;
}

void rundocument_inputs_done(struct rundocument_inputs *i)
{
    cJSON_Delete(i->parameters);
    *i = (struct rundocument_inputs){.path = NULL};
}

int document_name_parse(const char *text, struct document_name *ret_name, struct err *err)
{
    struct document_name d = {.version = ""};
    const char *from = text, *colon, *last;
    size_t n;

    if (str_has_prefix(text, "arn:")) { /* the version stands behind the resource */
        from = strstr(text, ":document/");
        if (from == NULL)
            return err_set(err, ERR_INVALID, "document \"%.200s\": an ARN, but not of a document",
                           text);
        from += strlen(":document/");
    }
    colon = strchr(from, ':');
    n = colon != NULL ? (size_t)(colon - text) : strlen(text);
    if (n >= sizeof(d.name) ||
        (colon != NULL && !str_copy(d.version, sizeof(d.version), colon + 1)))
        return err_set(err, ERR_INVALID, "document \"%.200s...\": the name is too long", text);
    memcpy(d.name, text, n);
    last = strrchr(d.name, '/');
    last = last != NULL ? last + 1 : d.name;
    if (!str_is_safe_name(last, NAME_MAX - strlen(".json")))
        return err_set(err, ERR_INVALID, "document \"%.200s\": this cannot be a document's name",
                       text);
    (void)snprintf(d.file, sizeof(d.file), "%s.json", last); /* fits: just checked */
    *ret_name = d;
    return 0;
}
