/* Answers of Parameter Store, matched on what was asked for. */
#include "schema/parameter_store.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define MAX_VALUE_BYTES 65536u

static void wipe_values(cJSON *root)
{
    cJSON *item;

    cJSON_ArrayForEach(item, json_get(root, "Parameters"))
    {
        const cJSON *value = json_get(item, "Value");

        if (cJSON_IsString(value))
            explicit_bzero(value->valuestring, strlen(value->valuestring));
    }
}

static int read_parameter(const cJSON *item, struct stored_parameter *ret, struct err *err)
{
    struct stored_parameter p = {.version = 0};
    const struct {
        const char *name;
        size_t max;
        const char **text;
    } members[] = {
        {"Name", (size_t)DOCUMENT_MAX_NAME_BYTES * 2, &p.name},
        {"ARN", (size_t)DOCUMENT_MAX_NAME_BYTES * 2, &p.arn},
        {"Selector", DOCUMENT_MAX_NAME_BYTES, &p.selector},
        {"Type", 64, &p.type},
        {"Value", MAX_VALUE_BYTES, &p.value},
    };
    size_t i;
    int r = json_want_object(item, "Parameters", err);

    for (i = 0; i < ARRAY_LEN(members) && r == 0; i++) {
        r = json_get_string(item, "Parameters", members[i].name, members[i].max, members[i].text,
                            err);
        if (r == 0 && *members[i].text == NULL)
            *members[i].text = "";
    }
    if (r == 0)
        r = json_get_i64(item, "Parameters", "Version", &p.version, err);
    if (r == 0)
        *ret = p;
    return r;
}

static int read_answer(struct parameter_answer *a, struct err *err)
{
    const cJSON *parameters = NULL, *invalid = NULL, *item;
    int r = json_want_object(a->root, "the answer", err);

    if (r == 0)
        r = json_get_list(a->root, "", "Parameters", &parameters, err);
    if (r == 0)
        r = json_get_list(a->root, "", "InvalidParameters", &invalid, err);
    if (r < 0)
        return r;
    a->items = calloc((size_t)cJSON_GetArraySize(parameters) + 1, sizeof(*a->items));
    a->invalid = calloc((size_t)cJSON_GetArraySize(invalid) + 1, sizeof(*a->invalid));
    if (a->items == NULL || a->invalid == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    cJSON_ArrayForEach(item, parameters)
    {
        r = read_parameter(item, &a->items[a->n], err);
        if (r < 0)
            return r;
        a->n++;
    }
    cJSON_ArrayForEach(item, invalid) if (cJSON_IsString(item)) a->invalid[a->n_invalid++] =
        item->valuestring;
    return 0;
}

int parameter_answer_parse(const char *body, size_t n, struct parameter_answer *ret_answer,
                           struct err *err)
{
    AUTO(parameter_answer_done) struct parameter_answer a = {.root = NULL};
    struct err own;
    int r;

    if (err == NULL)
        err = &own;
    r = json_parse(body, n, PARAMETER_MAX_ANSWER_BYTES, JSON_REFUSE, "the answer", &a.root, err);
    if (r == 0)
        r = read_answer(&a, err);
    if (r < 0 && r != ERR_NOMEM)
        err->code = ERR_PROTOCOL;
    if (r < 0)
        return err_wrap(err, "GetParameters");
    *ret_answer = TAKE_STRUCT(a);
    return 0;
}

void parameter_answer_done(struct parameter_answer *a)
{
    wipe_values(a->root);
    cJSON_Delete(a->root);
    free(a->items);
    free(a->invalid);
    *a = (struct parameter_answer){.root = NULL};
}

/* Whether `text` is `head` followed by `tail`. */
static bool is_joined(const char *text, const char *head, const char *tail)
{
    return head[0] != '\0' && str_has_prefix(text, head) && str_eq(text + strlen(head), tail);
}

/* An answer without a selector (an older service) is matched on its version, as the reference does.
 */
static bool is_version_of(const struct stored_parameter *p, const char *reference)
{
    char version[24];

    (void)snprintf(version, sizeof(version), ":%lld", (long long)p->version); /* fits */
    return p->selector[0] == '\0' &&
           (is_joined(reference, p->name, version) || is_joined(reference, p->arn, version));
}

const struct stored_parameter *parameter_answer_find(const struct parameter_answer *a,
                                                     const char *reference)
{
    size_t i;

    for (i = 0; i < a->n; i++)
        if (is_joined(reference, a->items[i].name, a->items[i].selector) ||
            is_joined(reference, a->items[i].arn, a->items[i].selector))
            return &a->items[i];
    for (i = 0; i < a->n; i++)
        if (is_version_of(&a->items[i], reference))
            return &a->items[i];
    return NULL;
}

/* ---- what is kept ---- */

static size_t bytes_of(const cJSON *values)
{
    const cJSON *entry;
    size_t n = 0;

    cJSON_ArrayForEach(entry, values) n +=
        strlen(entry->string) + strlen(json_get_exact(entry, "value")->valuestring);
    return n;
}

int parameter_values_add(cJSON *values, const char *reference, const struct stored_parameter *p,
                         struct err *err)
{
    AUTO(cJSON_Delete) cJSON *entry = NULL;

    if (str_eq(p->type, PARAMETER_TYPE_SECURE))
        return err_set(err, ERR_INVALID,
                       "{{ssm:%.200s}} is a SecureString, which is not supported in a document",
                       reference);
    /* Each byte takes six at most as JSON. */
    if (bytes_of(values) + strlen(reference) + strlen(p->value) > PARAMETER_MAX_VALUES_BYTES / 8)
        return err_set(err, ERR_LIMIT, "the {{ssm:...}} values of the document exceed %u bytes",
                       PARAMETER_MAX_VALUES_BYTES / 8);
    entry = cJSON_CreateObject();
    if (entry == NULL || cJSON_AddStringToObject(entry, "type", p->type) == NULL ||
        cJSON_AddStringToObject(entry, "value", p->value) == NULL ||
        !cJSON_AddItemToObject(values, reference, entry))
        return err_set(err, ERR_NOMEM, "{{ssm:%.200s}}: out of memory", reference);
    (void)TAKE(entry);
    return 0;
}

int parameter_values_parse(const char *text, size_t n, cJSON **ret_values, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    const cJSON *entry;
    struct err own;
    int r;

    if (err == NULL)
        err = &own;
    r = json_parse(text, n, PARAMETER_MAX_VALUES_BYTES, JSON_REFUSE, "stored parameter values",
                   &root, err);
    if (r == 0)
        r = json_want_object(root, "stored parameter values", err);
    cJSON_ArrayForEach(entry, root) if (r == 0 && (!cJSON_IsString(json_get_exact(entry, "type")) ||
                                                   !cJSON_IsString(json_get_exact(entry, "value"))))
        r = err_set(err, ERR_INVALID, "stored parameter values: %.200s has none", entry->string);
    if (r < 0) {
        if (r != ERR_NOMEM)
            err->code = ERR_CORRUPT;
        return err->code;
    }
    *ret_values = TAKE(root);
    return 0;
}

static int resolve(void *ctx, const char *reference, const char **ret_type, const char **ret_value,
                   struct err *err)
{
    const cJSON *entry = json_get_exact(ctx, reference);

    if (entry == NULL)
        return err_set(err, ERR_NOT_FOUND, "its value is not known");
    *ret_type = json_get_exact(entry, "type")->valuestring;
    *ret_value = json_get_exact(entry, "value")->valuestring;
    return 0;
}

struct document_resolver parameter_values_resolver(cJSON *values)
{
    return (struct document_resolver){.resolve = resolve, .ctx = values};
}
