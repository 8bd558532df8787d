/* The value set of a document: what was given, and defaults for the rest. Spec 04 section 2.2. */
#include <stdlib.h>
#include <string.h>

#include "schema/document_internal.h"

/* A definition may say "no default"; the value is null then (spec 04, section 2.4, last oddity). */
static const cJSON null_value = {.type = cJSON_NULL};

static bool is_plain_name(const char *name)
{
    const char *p;

    for (p = name; *p != '\0'; p++)
        if (!((*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z')))
            return false;
    return p > name;
}

static int check_definition(const cJSON *definition, struct err *err)
{
    static const char *const texts[] = {"type", "description", "allowedPattern", "displayType"};
    const cJSON *values = NULL, *value;
    const char *text;
    char where[200];
    size_t i;
    int r;

    (void)snprintf(where, sizeof(where), "parameters.%s", definition->string);
    r = json_want_object(definition, where, err);
    for (i = 0; i < ARRAY_LEN(texts) && r == 0; i++)
        r = json_get_string(definition, where, texts[i], DOCUMENT_MAX_BYTES, &text, err);
    if (r == 0)
        r = json_get_list(definition, where, "allowedValues", &values, err);
    if (r < 0)
        return r;
    cJSON_ArrayForEach(value, values) if (!cJSON_IsString(value)) return err_set(
        err, ERR_INVALID, "%s.allowedValues must hold strings only, not %s", where,
        json_type_name(value));
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    const struct parameter *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static size_t count_members(const cJSON *object)
{
    const cJSON *item;
    size_t n = 0;

    cJSON_ArrayForEach(item, object) n++;
    return n;
}

int parameters_collect(const cJSON *definitions, const cJSON *given, struct parameters *ret,
                       struct err *err)
{
    struct parameters p = {.n = 0};
    AUTO(free) struct parameter *items = NULL;
    const cJSON *item, *value;
    size_t room = count_members(definitions) + count_members(given);
    int r;

    if (room > DOCUMENT_MAX_PARAMETERS)
        return err_set(err, ERR_LIMIT, "%zu parameters declared and given; at most %u are accepted",
                       room, DOCUMENT_MAX_PARAMETERS);
    items = calloc(room > 0 ? room : 1, sizeof(*items));
    if (items == NULL)
        return err_set(err, ERR_NOMEM, "parameters: out of memory");
    cJSON_ArrayForEach(item, definitions)
    {
        if (strlen(item->string) > DOCUMENT_MAX_NAME_BYTES)
            return err_set(err, ERR_LIMIT, "a name in parameters is longer than %u bytes",
                           DOCUMENT_MAX_NAME_BYTES);
        r = check_definition(item, err);
        if (r < 0)
            return r;
        /* The members of `given` are looked up exactly, and null is a value here. */
        value = cJSON_GetObjectItemCaseSensitive(given, item->string);
        if (value == NULL)
            value = json_get(item, "default");
        items[p.n++] = (struct parameter){
            .name = item->string, .value = value != NULL ? value : &null_value, .definition = item};
    }
    cJSON_ArrayForEach(
        item, given) if (is_plain_name(item->string) &&
                         cJSON_GetObjectItemCaseSensitive(definitions, item->string) == NULL)
        items[p.n++] = (struct parameter){.name = item->string, .value = item};
    qsort(items, p.n, sizeof(*items), compare_names);
    p.items = TAKE(items);
    *ret = p;
    return 0;
}

void parameters_done(struct parameters *p)
{
    free(p->items);
    *p = (struct parameters){.n = 0};
}

const struct parameter *parameters_find(const struct parameters *p, const char *name, size_t n)
{
    size_t low = 0, high = p->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strncmp(p->items[middle].name, name, n);

        if (order == 0 && p->items[middle].name[n] == '\0')
            return &p->items[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle; /* a longer name with this prefix sorts after it */
    }
    return NULL;
}
