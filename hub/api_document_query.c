/* Documents shown to operators: DescribeDocument, GetDocument, ListDocuments, ListDocumentVersions.
 */
#include <assert.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "hub/api_document_internal.h"
#include "hub/document.h"
#include "hub/json_out.h"

static const struct str_rule rule_name = {
    .name = "Name", .pattern = "[a-zA-Z0-9_.:/-]{3,128}", .is_required = true};

bool api_document_is_reserved(const char *name)
{
    return strncasecmp(name, "aws", 3) == 0 || strncasecmp(name, "amazon", 6) == 0 ||
           strncasecmp(name, "amzn", 4) == 0;
}

static const char *owner_of(const char *name)
{
    return api_document_is_reserved(name) ? "Amazon" : ACCOUNT_ID;
}

int api_document_find(struct call *call, const char *name, const char *wanted,
                      const char *version_name, struct cursor *c, struct document_row *ret_row,
                      struct err *err)
{
    struct document_row row = {0};
    bool is_known = false;
    int r;

    if (strrchr(name, '/') != NULL) /* an ARN ends in document/<name> */
        name = strrchr(name, '/') + 1;
    store_document_versions(call->hub->store, name, c);
    while ((r = cursor_next_document(c, &row, err)) > 0) {
        int64_t number = -1;
        bool is_it;

        is_known = true;
        if (version_name != NULL)
            is_it = str_eq(version_name, row.version_name);
        else if (str_eq(wanted, "$LATEST"))
            is_it = row.version == row.latest_version;
        else if (str_eq(wanted, "$DEFAULT"))
            is_it = row.version == row.default_version;
        else
            is_it = str_to_i64(wanted, 1, INT64_MAX, &number) && row.version == number;
        if (is_it) {
            *ret_row = row;
            return 0;
        }
    }
    if (r < 0)
        return r;
    if (!is_known)
        return api_refuse(call, err, "InvalidDocument", "Document %.128s does not exist.", name);
    return api_refuse(call, err, "InvalidDocumentVersion", "Document %.128s has no version %.128s.",
                      name, version_name != NULL ? version_name : wanted);
}

int api_document_read_version(struct call *call, const char **ret_version,
                              const char **ret_version_name, struct err *err)
{
    static const struct str_rule version = {.name = "DocumentVersion",
                                            .pattern = "[$]LATEST|[$]DEFAULT|[1-9][0-9]*"};
    static const struct str_rule name = {.name = "VersionName", .pattern = "[a-zA-Z0-9_.-]{1,128}"};
    int r = api_str(call, &version, ret_version, err);

    return r < 0 ? r : api_str(call, &name, ret_version_name, err);
}

/* ---- describing ---- */

static void put_parameters(struct buf *out, const cJSON *declared)
{
    const cJSON *item;

    out_list(out, "Parameters");
    cJSON_ArrayForEach(item, declared)
    {
        const cJSON *type = json_get_exact(item, "type"),
                    *text = json_get_exact(item, "description");
        const cJSON *value = json_get_exact(item, "default");
        char *printed;

        out_object(out, NULL);
        out_str(out, "Name", item->string);
        out_str(out, "Type", type->valuestring); /* checked when the document was made */
        out_str(out, "Description", cJSON_IsString(text) ? text->valuestring : "");
        if (cJSON_IsString(value))
            out_str(out, "DefaultValue", value->valuestring);
        else if (value != NULL) {
            printed = cJSON_PrintUnformatted(value);
            if (printed == NULL)
                out->failed = ERR_NOMEM;
            out_str(out, "DefaultValue", printed);
            cJSON_free(printed);
        }
        out_object_end(out);
    }
    out_list_end(out);
}

static void put_identity(struct buf *out, const struct document_row *row)
{
    char number[24];

    assert(row->version_name != NULL); /* a row of the store: "" for none */
    (void)snprintf(number, sizeof(number), "%" PRId64, row->version);
    out_str(out, "Name", row->name);
    out_time(out, "CreatedDate", row->created_ms);
    if (row->version_name[0] != '\0')
        out_str(out, "VersionName", row->version_name);
    out_str(out, "DocumentVersion", number);
    out_str(out, "DocumentType", row->type);
    out_str(out, "DocumentFormat", row->format);
}

static int put_description(struct call *call, const char *key, const struct document_row *row,
                           struct err *err)
{
    AUTO(cJSON_Delete) cJSON *json = NULL;
    struct buf *out = call->out;
    const cJSON *text;
    char number[24];
    int r = json_parse(row->json, strlen(row->json), API_MAX_BODY_BYTES, JSON_REFUSE,
                       "store: document", &json, err);

    if (r < 0)
        return r;
    out_object(out, NULL);
    out_object(out, key);
    put_identity(out, row);
    out_str(out, "Hash", row->sha256);
    out_str(out, "HashType", "Sha256");
    out_str(out, "Owner", owner_of(row->name));
    out_str(out, "Status", "Active");
    text = json_get_exact(json, "description");
    out_str(out, "Description", cJSON_IsString(text) ? text->valuestring : "");
    put_parameters(out, json_get_exact(json, "parameters"));
    document_write_platforms(json, out, "PlatformTypes");
    out_str(out, "SchemaVersion", json_get_exact(json, "schemaVersion")->valuestring);
    (void)snprintf(number, sizeof(number), "%" PRId64, row->latest_version);
    out_str(out, "LatestVersion", number);
    (void)snprintf(number, sizeof(number), "%" PRId64, row->default_version);
    out_str(out, "DefaultVersion", number);
    out_list(out, "Tags");
    out_list_end(out);
    out_object_end(out);
    out_object_end(out);
    return 0;
}

int api_document_describe(struct call *call, const char *key, const char *name, const char *version,
                          const char *version_name, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct document_row row = {0};
    int r = api_document_find(call, name, version, version_name, &c, &row, err);

    return r < 0 ? r : put_description(call, key, &row, err);
}

int api_describe_document(struct call *call, struct err *err)
{
    const char *name = NULL, *version = "$DEFAULT", *version_name = NULL;
    int r = api_str(call, &rule_name, &name, err);

    if (r == 0)
        r = api_document_read_version(call, &version, &version_name, err);
    return r < 0 ? r : api_document_describe(call, "Document", name, version, version_name, err);
}

int api_get_document(struct call *call, struct err *err)
{
    static const struct str_rule rule_format = {.name = "DocumentFormat",
                                                .pattern = "JSON|YAML|TEXT"};
    AUTO(cursor_done) struct cursor c = {0};
    const char *name = NULL, *version = "$DEFAULT", *version_name = NULL, *format = NULL;
    struct document_row row = {0};
    int r = api_str(call, &rule_name, &name, err);

    if (r == 0)
        r = api_document_read_version(call, &version, &version_name, err);
    if (r == 0)
        r = api_str(call, &rule_format, &format, err);
    if (r == 0)
        r = api_document_find(call, name, version, version_name, &c, &row, err);
    if (r < 0)
        return r;
    if (format != NULL && !str_eq(format, row.format) && !str_eq(format, "JSON"))
        return api_refuse(call, err, "ValidationException",
                          "This hub gives documents back as JSON, or as they were given (%s).",
                          row.format);
    if (format != NULL && str_eq(format, "JSON")) {
        row.content = row.json;
        row.format = "JSON";
    }
    out_object(call->out, NULL);
    put_identity(call->out, &row);
    out_str(call->out, "Status", "Active");
    out_str(call->out, "Content", row.content);
    out_object_end(call->out);
    return 0;
}

/* ---- lists ---- */

static void put_identifier(struct call *call, const struct document_row *row, const cJSON *json)
{
    out_object(call->out, NULL);
    put_identity(call->out, row);
    out_str(call->out, "Owner", owner_of(row->name));
    document_write_platforms(json, call->out, "PlatformTypes");
    out_str(call->out, "SchemaVersion", json_get_exact(json, "schemaVersion")->valuestring);
    out_list(call->out, "Tags");
    out_list_end(call->out);
    out_object_end(call->out);
}

/* The service does not say in what it looks for a keyword: here in the name and the description. */
static bool has_keyword(const struct document_row *row, const cJSON *json, const char *word)
{
    const cJSON *description = json_get_exact(json, "description");

    return strcasestr(row->name, word) != NULL ||
           (cJSON_IsString(description) && strcasestr(description->valuestring, word) != NULL);
}

static bool is_value(const char *key, const char *value, const struct document_row *row,
                     const cJSON *json)
{
    if (str_eq(key, "Name"))
        return str_has_prefix(row->name, value);
    if (str_eq(key, "DocumentType"))
        return str_eq(value, row->type);
    if (str_eq(key, "Owner")) {
        bool is_amazon = str_eq(owner_of(row->name), "Amazon");

        return str_eq(value, "All") || str_eq(value, owner_of(row->name)) ||
               (str_eq(value, "Self") && !is_amazon) || (str_eq(value, "Private") && !is_amazon);
    }
    return str_eq(key, "PlatformTypes") ? document_runs_on(json, value)
                                        : has_keyword(row, json, value);
}

static int check_filters(struct call *call, const cJSON *filters, struct err *err)
{
    static const char *const keys[] = {"Name", "Owner", "DocumentType", "PlatformTypes",
                                       "SearchKeyword"};
    const cJSON *filter, *values;
    size_t i;
    int r;

    cJSON_ArrayForEach(filter, filters)
    {
        const cJSON *key = json_get_exact(filter, "Key");
        bool is_known = false;

        for (i = 0; cJSON_IsString(key) && i < ARRAY_LEN(keys); i++)
            is_known = is_known || str_eq(key->valuestring, keys[i]);
        if (!is_known)
            return api_refuse(call, err, "InvalidFilterKey",
                              "Filter key \"%.60s\" is not one of Name, Owner, DocumentType, "
                              "PlatformTypes, SearchKeyword.",
                              cJSON_IsString(key) ? key->valuestring : "");
        r = api_str_list(call, filter, "Values", 50, &values, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The older form: one value a filter, and names in lower case. */
static int check_older_filters(struct call *call, const cJSON *filters, struct err *err)
{
    static const char *const keys[] = {"Name", "Owner", "DocumentType", "PlatformTypes"};
    const cJSON *filter;
    size_t i;

    cJSON_ArrayForEach(filter, filters)
    {
        const cJSON *key = json_get_exact(filter, "key"), *value = json_get_exact(filter, "value");
        bool is_known = false;

        if (!cJSON_IsString(key) || !cJSON_IsString(value))
            return api_refuse(call, err, "SerializationException",
                              "Each filter must have the strings key and value.");
        for (i = 0; i < ARRAY_LEN(keys); i++)
            is_known = is_known || str_eq(key->valuestring, keys[i]);
        if (!is_known)
            return api_refuse(call, err, "InvalidFilterKey",
                              "Filter key \"%.60s\" is not one of Name, Owner, DocumentType, "
                              "PlatformTypes.",
                              key->valuestring);
    }
    return 0;
}

static bool is_wanted_by_older(const cJSON *filters, const struct document_row *row,
                               const cJSON *json)
{
    const cJSON *filter;

    cJSON_ArrayForEach(filter, filters) if (!is_value(json_get_exact(filter, "key")->valuestring,
                                                      json_get_exact(filter, "value")->valuestring,
                                                      row, json)) return false;
    return true;
}

static bool is_wanted(const cJSON *filters, const struct document_row *row, const cJSON *json)
{
    const cJSON *filter, *value;

    cJSON_ArrayForEach(filter, filters)
    {
        const char *key = json_get_exact(filter, "Key")->valuestring;
        bool is_found = false;

        cJSON_ArrayForEach(value, json_get_exact(filter, "Values")) is_found =
            is_found || is_value(key, value->valuestring, row, json);
        if (!is_found)
            return false;
    }
    return true;
}

int api_list_documents(struct call *call, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    const cJSON *filters = NULL, *older = NULL;
    struct document_row row = {0};
    struct page page = {0};
    char last[256] = "";
    int64_t n = 0;
    int r = api_page(call, 1, 50, &page, err);

    if (r == 0)
        r = api_list(call, "Filters", 6, &filters, err);
    if (r == 0)
        r = check_filters(call, filters, err);
    if (r == 0)
        r = api_list(call, "DocumentFilterList", 5, &older, err);
    if (r == 0)
        r = check_older_filters(call, older, err);
    if (r < 0)
        return r;
    out_object(call->out, NULL);
    out_list(call->out, "DocumentIdentifiers");
    store_documents(call->hub->store, page.after, &c);
    while ((r = cursor_next_document(&c, &row, err)) > 0) {
        AUTO(cJSON_Delete) cJSON *json = NULL;
        int k = json_parse(row.json, strlen(row.json), API_MAX_BODY_BYTES, JSON_REFUSE,
                           "store: document", &json, err);

        if (k < 0)
            return k;
        if (!is_wanted(filters, &row, json) || !is_wanted_by_older(older, &row, json))
            continue;
        if (n == page.size)
            break; /* there is more */
        put_identifier(call, &row, json);
        (void)str_copy(last, sizeof(last), row.name); /* at most 128 characters */
        n++;
    }
    return api_end_page_name(call, r, last);
}

int api_list_document_versions(struct call *call, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    const char *name = NULL;
    struct document_row row = {0};
    int n = 0, r = api_str(call, &rule_name, &name, err);

    if (r < 0)
        return r;
    out_object(call->out, NULL);
    out_list(call->out, "DocumentVersions");
    store_document_versions(call->hub->store, name, &c);
    while ((r = cursor_next_document(&c, &row, err)) > 0) {
        out_object(call->out, NULL);
        put_identity(call->out, &row);
        out_bool(call->out, "IsDefaultVersion", row.version == row.default_version);
        out_str(call->out, "Status", "Active");
        out_object_end(call->out);
        n++;
    }
    if (r < 0)
        return r;
    if (n == 0)
        return api_refuse(call, err, "InvalidDocument", "Document %.128s does not exist.", name);
    out_list_end(call->out);
    out_object_end(call->out);
    return 0;
}
