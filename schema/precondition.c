/* Whether a step's precondition holds, and what it says that nobody understands. Spec 04
 * section 3.4. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "schema/document_internal.h"

#define MAX_LIST_BYTES (64u << 10)
#define PLATFORM_TYPE "platformType"

/* An entry of one of the two lists: the comparison as it is written (values are not disclosed). */
static void add_entry(struct buf *list, const char *operator_name, const cJSON *arguments,
                      const char *reason)
{
    const cJSON *argument;

    if (list->len > 0)
        (void)buf_add_str(list, "', '");
    (void)buf_printf(list, "\"%s\": [", operator_name);
    cJSON_ArrayForEach(argument, arguments)(void)
        buf_printf(list, "%s%s", argument->prev->next != NULL ? ", " : "", argument->valuestring);
    (void)buf_add_char(list, ']');
    if (reason != NULL)
        (void)buf_printf(list, " (%s)", reason);
}

/* StringEquals with two arguments. Sets *ret_problem to the reason when it cannot be understood. */
static int string_equals(const char *first, const char *second, const char *platform,
                         struct expansion *x, bool *ret_is_equal, const char **ret_problem,
                         struct err *err)
{
    AUTO(free) char *first_value = NULL;
    AUTO(free) char *second_value = NULL;
    int r;

    *ret_problem = NULL;
    if (str_eq(first, second)) {
        *ret_problem = "both arguments are the same";
        return 0;
    }
    if (text_has_reference(first, true) || text_has_reference(second, true)) {
        *ret_problem = "Parameter Store references cannot stand here";
        return 0;
    }
    r = expand_text(x, first, &first_value, err);
    if (r == 0)
        r = expand_text(x, second, &second_value, err);
    if (r < 0)
        return r;
    if (str_eq(first, PLATFORM_TYPE) || str_eq(second, PLATFORM_TYPE)) {
        bool is_first = str_eq(first, PLATFORM_TYPE);
        const char *written = is_first ? second : first;
        const char *value = is_first ? second_value : first_value;

        if (!str_eq_nocase(written, value))
            *ret_problem = "document parameters cannot stand beside " PLATFORM_TYPE;
        *ret_is_equal = str_eq_nocase(value, platform);
    } else {
        if (str_eq(first, first_value) && str_eq(second, second_value))
            *ret_problem = "at least one argument must be a document parameter";
        *ret_is_equal = str_eq(first_value, second_value);
    }
    return 0;
}

static int evaluate_entry(const cJSON *entry, const char *platform, struct expansion *x,
                          struct precondition_result *result, struct err *err)
{
    const cJSON *first = entry->child, *second = first != NULL ? first->next : NULL;
    const char *problem = NULL;
    bool is_equal = true;
    int r = 0;

    if (!str_eq(entry->string, "StringEquals"))
        problem = "unrecognised operator";
    else if (second == NULL || second->next != NULL)
        problem = "it needs two arguments";
    else
        r = string_equals(first->valuestring, second->valuestring, platform, x, &is_equal, &problem,
                          err);
    if (r < 0)
        return r;
    if (problem != NULL) {
        add_entry(&result->problems, entry->string, entry, problem);
    } else if (!is_equal) {
        result->is_allowed = false;
        add_entry(&result->unmet, entry->string, entry, NULL);
    }
    return 0;
}

int precondition_evaluate(const cJSON *precondition, const char *platform, struct expansion *x,
                          struct precondition_result *ret, struct err *err)
{
    const cJSON *entry;
    int r = 0;

    ret->is_allowed = true;
    buf_init(&ret->unmet, MAX_LIST_BYTES);
    buf_init(&ret->problems, MAX_LIST_BYTES);
    cJSON_ArrayForEach(entry, precondition)
    {
        r = evaluate_entry(entry, platform, x, ret, err);
        if (r < 0)
            break;
    }
    if (r == 0)
        r = buf_error(&ret->unmet, "the text of a precondition", err);
    if (r == 0)
        r = buf_error(&ret->problems, "the text of a precondition", err);
    if (r < 0) {
        buf_done(&ret->unmet);
        buf_done(&ret->problems);
    }
    return r;
}
