/* Parameters shown to agents and operators: GetParameter, GetParameters, GetParametersByPath,
 * GetParameterHistory, DescribeParameters. */
#include <inttypes.h>
#include <string.h>

#include "base/str.h"
#include "hub/api_parameter_internal.h"
#include "hub/json_out.h"

#define MAX_VALUE_BYTES (16u << 10)

static const struct str_rule rule_name = {
    .name = "Name", .min = 1, .max = 2048, .is_required = true};

/* ---- finding ---- */

bool api_parameter_split(const char *given, struct parameter_reference *ret)
{
    const char *resource = str_has_prefix(given, "arn:") ? strstr(given, ":parameter/") : NULL;
    const char *name = resource != NULL ? resource + strlen(":parameter") : given;
    const char *colon = strchr(name, ':');
    size_t n = colon != NULL ? (size_t)(colon - name) : strlen(name);

    if (resource != NULL && memchr(name + 1, '/', n > 0 ? n - 1 : 0) == NULL) {
        name++; /* a name without a path stands behind "parameter/" as it is */
        n--;
    }
    if (n == 0 || n >= sizeof(ret->name) || (colon != NULL && colon[1] == '\0') ||
        !str_copy(ret->selector, sizeof(ret->selector), colon != NULL ? colon + 1 : ""))
        return false;
    memcpy(ret->name, name, n);
    ret->name[n] = '\0';
    return true;
}

static bool is_selected(const struct parameter_row *row, const char *selector)
{
    size_t n = strlen(selector);
    const char *p;
    int64_t version;

    if (n == 0)
        return true; /* the newest comes first */
    if (str_to_i64(selector, 1, INT64_MAX, &version))
        return row->version == version;
    for (p = row->labels; *p != '\0'; p += strcspn(p, ","), p += *p == ',')
        if (strncmp(p, selector, n) == 0 && (p[n] == ',' || p[n] == '\0'))
            return true;
    return false;
}

int api_parameter_find(struct call *call, const struct parameter_reference *reference,
                       struct cursor *c, struct parameter_row *ret_row, bool *ret_is_known,
                       struct err *err)
{
    struct parameter_row row = {0};
    int r;

    *ret_is_known = false;
    store_parameter_versions(call->hub->store, reference->name, c);
    while ((r = cursor_next_parameter(c, &row, err)) > 0) {
        *ret_is_known = true;
        if (is_selected(&row, reference->selector)) {
            *ret_row = row;
            return 1;
        }
    }
    return r;
}

/* ---- showing ---- */

static void put_arn(struct call *call, const char *name)
{
    AUTO(buf_done) struct buf arn = {0};

    buf_init(&arn, 8192);
    (void)buf_printf(&arn, "arn:aws:ssm:%s:" ACCOUNT_ID ":parameter%s%s", call->hub->region,
                     name[0] == '/' ? "" : "/", name);
    out_str(call->out, "ARN", buf_str(&arn));
}

static int put_value(struct call *call, const struct parameter_row *row, bool with_decryption,
                     struct err *err)
{
    AUTO(buf_done) struct buf text = {0}, context = {0};
    int r;

    if (!with_decryption || !str_eq(row->type, PARAMETER_SECURE)) {
        out_str(call->out, "Value", row->value);
        return 0;
    }
    buf_init(&text, MAX_VALUE_BYTES);
    buf_init(&context, PARAMETER_NAME_SIZE + 64);
    api_parameter_context(row, &context);
    r = sealing_key_open(&call->hub->sealing_key, buf_str(&context), row->value, &text, err);
    if (r == 0)
        out_str(call->out, "Value", buf_str(&text));
    if (text.len > 0)
        explicit_bzero(text.data, text.len);
    return r;
}

static int put_parameter(struct call *call, const char *key, const struct parameter_row *row,
                         const char *selector, bool with_decryption, struct err *err)
{
    struct buf *out = call->out;
    AUTO(buf_done) struct buf shown = {0};
    int r;

    out_object(out, key);
    out_str(out, "Name", row->name);
    out_str(out, "Type", row->type);
    r = put_value(call, row, with_decryption, err);
    if (r < 0)
        return r;
    out_num(out, "Version", row->version);
    if (selector[0] != '\0') {
        buf_init(&shown, PARAMETER_NAME_SIZE + 1);
        (void)buf_printf(&shown, ":%s", selector);
        out_str(out, "Selector", buf_str(&shown));
    }
    out_time(out, "LastModifiedDate", row->modified_ms);
    put_arn(call, row->name);
    out_str(out, "DataType", row->data_type);
    out_object_end(out);
    return 0;
}

static void put_given(struct buf *out, const char *key, const char *value)
{
    if (value[0] != '\0')
        out_str(out, key, value);
}

/* What DescribeParameters and GetParameterHistory have in common. */
static void put_metadata(struct call *call, const struct parameter_row *row)
{
    struct buf *out = call->out;

    out_str(out, "Name", row->name);
    out_str(out, "Type", row->type);
    put_given(out, "KeyId", row->key_id);
    out_time(out, "LastModifiedDate", row->modified_ms);
    out_str(out, "LastModifiedUser", "arn:aws:iam::" ACCOUNT_ID ":root");
    put_given(out, "Description", row->description);
    put_given(out, "AllowedPattern", row->pattern);
    out_num(out, "Version", row->version);
    out_str(out, "Tier", row->tier);
    out_list(out, "Policies");
    out_list_end(out);
    out_str(out, "DataType", row->data_type);
}

/* ---- operations ---- */

int api_get_parameter(struct call *call, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct parameter_reference reference;
    struct parameter_row row = {0};
    const char *name = NULL;
    bool with_decryption = false, is_known = false;
    int r = api_str(call, &rule_name, &name, err);

    if (r == 0)
        r = api_bool(call, "WithDecryption", &with_decryption, err);
    if (r < 0)
        return r;
    r = api_parameter_split(name, &reference)
            ? api_parameter_find(call, &reference, &c, &row, &is_known, err)
            : 0;
    if (r < 0)
        return r;
    if (r == 0 && is_known)
        return api_refuse(call, err, "ParameterVersionNotFound",
                          "Systems Manager could not find version %.100s of %.300s. Verify the "
                          "version and try again.",
                          reference.selector, reference.name);
    if (r == 0)
        return api_refuse(call, err, "ParameterNotFound", "Parameter %.400s not found.", name);
    out_object(call->out, NULL);
    r = put_parameter(call, "Parameter", &row, reference.selector, with_decryption, err);
    out_object_end(call->out);
    return r;
}

int api_get_parameters(struct call *call, struct err *err)
{
    AUTO(buf_done) struct buf invalid = {0};
    const cJSON *names = NULL, *name;
    bool with_decryption = false;
    int r = api_str_list(call, call->in, "Names", 10, &names, err);

    buf_init(&invalid, API_MAX_BODY_BYTES);
    if (r == 0)
        r = api_bool(call, "WithDecryption", &with_decryption, err);
    if (r < 0)
        return r;
    if (names == NULL || names->child == NULL)
        return api_refuse(call, err, "ValidationException", "Names: at least one is needed.");
    out_list(&invalid, NULL);
    out_object(call->out, NULL);
    out_list(call->out, "Parameters");
    cJSON_ArrayForEach(name, names)
    {
        AUTO(cursor_done) struct cursor c = {0};
        struct parameter_reference reference;
        struct parameter_row row = {0};
        bool is_known;

        r = api_parameter_split(name->valuestring, &reference)
                ? api_parameter_find(call, &reference, &c, &row, &is_known, err)
                : 0;
        if (r == 0)
            out_str(&invalid, NULL, name->valuestring);
        if (r > 0)
            r = put_parameter(call, NULL, &row, reference.selector, with_decryption, err);
        if (r < 0)
            return r;
    }
    out_list_end(call->out);
    out_list_end(&invalid);
    out_raw(call->out, "InvalidParameters", buf_str(&invalid));
    out_object_end(call->out);
    return buf_error(&invalid, "answer", err);
}

int api_get_parameter_history(struct call *call, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct parameter_row row = {0};
    const char *name = NULL;
    bool with_decryption = false;
    struct page page = {0};
    int64_t n = 0, last = 0;
    int r = api_str(call, &rule_name, &name, err);

    if (r == 0)
        r = api_bool(call, "WithDecryption", &with_decryption, err);
    if (r == 0)
        r = api_page(call, 1, 50, &page, err);
    if (r < 0)
        return r;
    out_object(call->out, NULL);
    out_list(call->out, "Parameters");
    store_parameter_versions(call->hub->store, name, &c);
    while ((r = cursor_next_parameter(&c, &row, err)) > 0) {
        const char *label;

        if (row.version >= page.before_seq)
            continue;
        if (n == page.size) /* there is one more */
            break;
        n++;
        last = row.version;
        out_object(call->out, NULL);
        put_metadata(call, &row);
        r = put_value(call, &row, with_decryption, err);
        if (r < 0)
            return r;
        out_list(call->out, "Labels");
        for (label = row.labels; *label != '\0';) {
            char text[128];
            size_t k = strcspn(label, ",");

            (void)snprintf(text, sizeof(text), "%.*s", (int)k, label); /* at most 100 */
            out_str(call->out, NULL, text);
            label += k + (label[k] == ',' ? 1 : 0);
        }
        out_list_end(call->out);
        out_object_end(call->out);
    }
    if (r < 0)
        return r;
    if (n == 0 && page.before_seq == INT64_MAX)
        return api_refuse(call, err, "ParameterNotFound", "Parameter %.400s not found.", name);
    return api_end_page_seq(call, r, last);
}

/* Whether `name` is below `path`, at any depth or directly. */
static bool is_below(const char *name, const char *path, bool is_recursive)
{
    size_t n = strlen(path);

    while (n > 0 && path[n - 1] == '/')
        n--;
    if (strncmp(name, path, n) != 0 || name[n] != '/')
        return n == 0 && name[0] != '/' && is_recursive;
    return is_recursive || strchr(name + n + 1, '/') == NULL;
}

int api_get_parameters_by_path(struct call *call, struct err *err)
{
    static const struct str_rule rule = {
        .name = "Path", .min = 1, .max = 2048, .pattern = "/.*", .is_required = true};
    AUTO(cursor_done) struct cursor c = {0};
    struct parameter_row row = {0};
    const char *path = NULL;
    char last[PARAMETER_NAME_SIZE] = "";
    bool with_decryption = false, is_recursive = false;
    struct page page = {0};
    int64_t n = 0;
    int r = api_str(call, &rule, &path, err);

    if (r == 0)
        r = api_bool(call, "WithDecryption", &with_decryption, err);
    if (r == 0)
        r = api_bool(call, "Recursive", &is_recursive, err);
    if (r == 0)
        r = api_page(call, 1, 10, &page, err);
    if (r < 0)
        return r;
    out_object(call->out, NULL);
    out_list(call->out, "Parameters");
    store_parameters(call->hub->store, page.after, &c);
    while ((r = cursor_next_parameter(&c, &row, err)) > 0) {
        if (!is_below(row.name, path, is_recursive))
            continue;
        if (n == page.size)
            break;
        n++;
        (void)str_copy(last, sizeof(last), row.name); /* fits: put-parameter bounds it */
        r = put_parameter(call, NULL, &row, "", with_decryption, err);
        if (r < 0)
            return r;
    }
    return api_end_page_name(call, r, last);
}

/* ---- filters of DescribeParameters ---- */

static bool value_matches(const char *value, const char *option, const char *wanted)
{
    if (str_eq(option, "BeginsWith"))
        return str_has_prefix(value, wanted);
    if (str_eq(option, "Contains"))
        return strstr(value, wanted) != NULL;
    return str_eq(value, wanted);
}

/* One filter of either form; the older `Filters` have no option: names that begin so. */
static bool filter_holds(const struct parameter_row *row, const cJSON *filter,
                         const char *otherwise)
{
    const cJSON *key = json_get_exact(filter, "Key"), *option = json_get_exact(filter, "Option");
    const char *how = cJSON_IsString(option) ? option->valuestring : otherwise;
    const char *what = cJSON_IsString(key) ? key->valuestring : "";
    const cJSON *value;

    cJSON_ArrayForEach(value, json_get_exact(filter, "Values"))
    {
        if (!cJSON_IsString(value))
            continue;
        if (str_eq(what, "Path") ? is_below(row->name, value->valuestring, str_eq(how, "Recursive"))
            : str_eq(what, "Type")     ? str_eq(row->type, value->valuestring)
            : str_eq(what, "KeyId")    ? value_matches(row->key_id, how, value->valuestring)
            : str_eq(what, "Tier")     ? str_eq(row->tier, value->valuestring)
            : str_eq(what, "DataType") ? str_eq(row->data_type, value->valuestring)
                                       : value_matches(row->name, how, value->valuestring))
            return true;
    }
    return false;
}

static int check_filters(struct call *call, const cJSON *filters, struct err *err)
{
    static const char *const keys[] = {"Name", "Type", "KeyId", "Path", "Tier", "DataType"};
    const cJSON *filter;
    size_t i;

    cJSON_ArrayForEach(filter, filters)
    {
        const cJSON *key = json_get_exact(filter, "Key");

        for (i = 0; i < ARRAY_LEN(keys); i++)
            if (cJSON_IsString(key) && str_eq(key->valuestring, keys[i]))
                break;
        if (i == ARRAY_LEN(keys))
            return api_refuse(call, err, "InvalidFilterKey",
                              "This hub filters by Name, Type, KeyId, Path, Tier and DataType.");
    }
    return 0;
}

int api_describe_parameters(struct call *call, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    const cJSON *filters = NULL, *older = NULL, *filter;
    struct parameter_row row = {0};
    char last[PARAMETER_NAME_SIZE] = "";
    struct page page = {0};
    int64_t n = 0;
    int r;

    if ((r = api_list(call, "ParameterFilters", 50, &filters, err)) < 0 ||
        (r = api_list(call, "Filters", 50, &older, err)) < 0 ||
        (r = check_filters(call, filters, err)) < 0 || (r = check_filters(call, older, err)) < 0 ||
        (r = api_page(call, 1, 50, &page, err)) < 0)
        return r;
    out_object(call->out, NULL);
    out_list(call->out, "Parameters");
    store_parameters(call->hub->store, page.after, &c);
    while ((r = cursor_next_parameter(&c, &row, err)) > 0) {
        bool is_wanted = true;

        cJSON_ArrayForEach(filter, filters) is_wanted =
            is_wanted && filter_holds(&row, filter, "Equals");
        cJSON_ArrayForEach(filter, older) is_wanted =
            is_wanted && filter_holds(&row, filter, "BeginsWith");
        if (!is_wanted)
            continue;
        if (n == page.size)
            break;
        n++;
        (void)str_copy(last, sizeof(last), row.name); /* fits: put-parameter bounds it */
        out_object(call->out, NULL);
        put_metadata(call, &row);
        put_arn(call, row.name);
        out_object_end(call->out);
    }
    return api_end_page_name(call, r, last);
}
