/* What all operations share: refusing, reading and checking members of the input, pages. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "hub/api.h"

#include <inttypes.h>
#include <pcre2.h>
#include <stdarg.h>
#include <string.h>

#include "base/str.h"
#include "hub/json_out.h"

#define MATCH_LIMIT 1000000u /* patterns come from outside: bound the work */

const struct str_rule rule_command_id = {
    .name = "CommandId", .min = 36, .max = 36, .is_required = true};
const struct str_rule rule_instance_id = {
    .name = "InstanceId", .max = 20, .pattern = "i-(\\w{8}|\\w{17})|mi-\\w{17}"};

int api_refuse(struct call *call, struct err *err, const char *error_code, const char *fmt, ...)
{
    char text[sizeof(err->text)];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap); /* a cut text is still a text */
    va_end(ap);
    (void)str_copy(call->error_code, sizeof(call->error_code), error_code);
    return err_set(err, ERR_REFUSED, "%s", text);
}

unsigned api_http_status(const char *error_code)
{
    /* The JSON protocol answers 400 to every refusal, signatures included. */
    if (str_has_prefix(error_code, "InternalServer"))
        return 500;
    if (str_eq(error_code, "RequestEntityTooLarge"))
        return 413;
    return 400;
}

bool api_matches(const char *pattern, const char *value)
{
    int reason, r;
    PCRE2_SIZE offset;
    pcre2_code *code;
    pcre2_match_context *limits;
    pcre2_match_data *match;

    code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                         PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_NEVER_BACKSLASH_C,
                         &reason, &offset, NULL);
    if (code == NULL)
        return true;
    limits = pcre2_match_context_create(NULL);
    match = pcre2_match_data_create(1, NULL);
    if (limits != NULL)
        (void)pcre2_set_match_limit(limits, MATCH_LIMIT); /* always 0 */
    r = match == NULL || limits == NULL
            ? 0
            : pcre2_match(code, (PCRE2_SPTR)value, strlen(value), 0, 0, match, limits);
    pcre2_match_data_free(match);
    pcre2_match_context_free(limits);
    pcre2_code_free(code);
    return r != PCRE2_ERROR_NOMATCH;
}

static int wrong_type(struct call *call, struct err *err, const char *name, const char *wanted,
                      const cJSON *found)
{
    return api_refuse(call, err, "SerializationException", "%s must be %s, not %s", name, wanted,
                      json_type_name(found));
}

int api_str(struct call *call, const struct str_rule *rule, const char **ret_value, struct err *err)
{
    const cJSON *item = json_get_exact(call->in, rule->name);
    size_t n;

    if (item == NULL) {
        if (rule->is_required)
            return api_refuse(call, err, "ValidationException",
                              "1 validation error detected: Value null at '%s' failed to satisfy "
                              "constraint: Member must not be null",
                              rule->name);
        return 0;
    }
    if (!cJSON_IsString(item))
        return wrong_type(call, err, rule->name, "a string", item);
    n = str_utf8_count(item->valuestring);
    if (n < rule->min || (rule->max > 0 && n > rule->max))
        return api_refuse(call, err, "ValidationException",
                          "1 validation error detected: Value '%.120s' at '%s' failed to satisfy "
                          "constraint: Member must have a length from %zu to %zu",
                          item->valuestring, rule->name, rule->min, rule->max);
    if (rule->pattern != NULL && !api_matches(rule->pattern, item->valuestring))
        return api_refuse(call, err, "ValidationException",
                          "1 validation error detected: Value '%.120s' at '%s' failed to satisfy "
                          "constraint: Member must satisfy regular expression pattern: %s",
                          item->valuestring, rule->name, rule->pattern);
    *ret_value = item->valuestring;
    return 0;
}

int api_i64(struct call *call, const char *name, int64_t min, int64_t max, int64_t *ret_value,
            struct err *err)
{
    const cJSON *item = json_get_exact(call->in, name);
    struct err inner;
    int64_t value;

    if (item == NULL)
        return 0;
    if (json_get_i64(call->in, "", name, &value, &inner) < 0)
        return wrong_type(call, err, name, "a whole number", item);
    if (value < min || value > max)
        return api_refuse(call, err, "ValidationException",
                          "1 validation error detected: Value '%" PRId64
                          "' at '%s' failed to satisfy constraint: Member must have a value from "
                          "%" PRId64 " to %" PRId64,
                          value, name, min, max);
    *ret_value = value;
    return 0;
}

int api_bool(struct call *call, const char *name, bool *ret_value, struct err *err)
{
    const cJSON *item = json_get_exact(call->in, name);

    if (item == NULL)
        return 0;
    if (!cJSON_IsBool(item))
        return wrong_type(call, err, name, "true or false", item);
    *ret_value = cJSON_IsTrue(item);
    return 0;
}

int api_object(struct call *call, const char *name, const cJSON **ret_object, struct err *err)
{
    const cJSON *item = json_get_exact(call->in, name);

    if (item != NULL && !cJSON_IsObject(item))
        return wrong_type(call, err, name, "an object", item);
    *ret_object = item;
    return 0;
}

static int list_of(struct call *call, const cJSON *object, const char *name, int max_items,
                   const cJSON **ret_list, struct err *err)
{
    const cJSON *item = json_get_exact(object, name);

    if (item != NULL && !cJSON_IsArray(item))
        return wrong_type(call, err, name, "a list", item);
    if (item != NULL && cJSON_GetArraySize(item) > max_items)
        return api_refuse(call, err, "ValidationException",
                          "1 validation error detected: Value at '%s' failed to satisfy "
                          "constraint: Member must have length less than or equal to %d",
                          name, max_items);
    *ret_list = item;
    return 0;
}

int api_list(struct call *call, const char *name, int max_items, const cJSON **ret_list,
             struct err *err)
{
    const cJSON *list = NULL, *item;
    int r = list_of(call, call->in, name, max_items, &list, err);

    if (r < 0)
        return r;
    cJSON_ArrayForEach(item, list) if (!cJSON_IsObject(item)) return wrong_type(
        call, err, name, "a list of objects", item);
    *ret_list = list;
    return 0;
}

int api_str_list(struct call *call, const cJSON *object, const char *name, int max_items,
                 const cJSON **ret_list, struct err *err)
{
    const cJSON *list = NULL, *item;
    int r = list_of(call, object, name, max_items, &list, err);

    if (r < 0)
        return r;
    cJSON_ArrayForEach(item, list) if (!cJSON_IsString(item)) return wrong_type(
        call, err, name, "a list of strings", item);
    *ret_list = list;
    return 0;
}

int api_page(struct call *call, int64_t min, int64_t max, struct page *ret_page, struct err *err)
{
    static const struct str_rule rule = {.name = "NextToken", .max = 512};
    struct page page = {.size = max, .before_seq = INT64_MAX};
    const char *token = NULL;
    size_t n;
    int r = api_i64(call, "MaxResults", min, max, &page.size, err);

    if (r == 0)
        r = api_str(call, &rule, &token, err);
    if (r < 0)
        return r;
    /* "s" and a sequence number, or "n" and a name in hexadecimal */
    if (token == NULL || token[0] == '\0') {
        *ret_page = page;
        return 0;
    }
    n = strlen(token + 1);
    if (!(token[0] == 's' && str_to_i64(token + 1, 1, INT64_MAX, &page.before_seq)) &&
        !(token[0] == 'n' && n % 2 == 0 && n / 2 < sizeof(page.after) &&
          str_unhex(token + 1, page.after, n / 2)))
        return api_refuse(call, err, "InvalidNextToken", "The specified token is not valid.");
    *ret_page = page;
    return 0;
}

static void next_seq(struct call *call, int64_t last_seq)
{
    char token[32];

    (void)snprintf(token, sizeof(token), "s%" PRId64, last_seq);
    out_str(call->out, "NextToken", token);
}

static void next_name(struct call *call, const char *last_name)
{
    char token[514] = "n";
    size_t n = strlen(last_name);

    str_hex(last_name, n < 256 ? n : 255, token + 1);
    out_str(call->out, "NextToken", token);
}

int api_end_page_seq(struct call *call, int r, int64_t last_seq)
{
    if (r < 0)
        return r;
    out_list_end(call->out);
    if (r > 0)
        next_seq(call, last_seq);
    out_object_end(call->out);
    return 0;
}

int api_end_page_name(struct call *call, int r, const char *last_name)
{
    if (r < 0)
        return r;
    out_list_end(call->out);
    if (r > 0)
        next_name(call, last_name);
    out_object_end(call->out);
    return 0;
}
