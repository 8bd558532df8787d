/* Documents of type Command: made, changed and removed by operators. */
#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/sha256.h"
#include "base/str.h"
#include "hub/api_document_internal.h"
#include "hub/document.h"
#include "hub/json_out.h"
#include "schema/yaml.h"

static const struct str_rule rule_own_name = {
    .name = "Name", .pattern = "[a-zA-Z0-9_.-]{3,128}", .is_required = true};

/* ---- making and changing ---- */

/* Content, DocumentFormat, DocumentType and VersionName, checked. `*ret_json` is the document
 * parsed; owned by the caller. */
static int read_content(struct call *call, struct document_row *ret_row, struct buf *ret_json,
                        struct err *err)
{
    static const struct str_rule rule_content = {.name = "Content", .is_required = true};
    static const struct str_rule rule_format = {.name = "DocumentFormat"};
    static const struct str_rule rule_type = {.name = "DocumentType"};
    static const struct str_rule rule_version_name = {.name = "VersionName",
                                                      .pattern = "[a-zA-Z0-9_.-]{1,128}"};
    AUTO(cJSON_Delete) cJSON *json = NULL;
    const char *content = NULL, *format = "JSON", *type = "Command", *version_name = "";
    const char *error_code = "InvalidDocumentContent";
    struct err why;
    int r = api_str(call, &rule_content, &content, err);

    if (r == 0)
        r = api_str(call, &rule_format, &format, err);
    if (r == 0)
        r = api_str(call, &rule_type, &type, err);
    if (r == 0)
        r = api_str(call, &rule_version_name, &version_name, err);
    if (r < 0)
        return r;
    if (!str_eq(type, "Command"))
        return api_refuse(call, err, "ValidationException",
                          "DocumentType: this hub keeps documents of type Command only.");
    if (!str_eq(format, "JSON") && !str_eq(format, "YAML"))
        return api_refuse(call, err, "ValidationException",
                          "DocumentFormat: this hub takes documents in JSON and YAML.");
    if (strlen(content) > DOCUMENT_MAX_BYTES)
        return api_refuse(call, err, "MaxDocumentSizeExceeded",
                          "The document has %zu bytes; at most %d are allowed.", strlen(content),
                          DOCUMENT_MAX_BYTES);
    r = str_eq(format, "YAML") ? document_text_parse(content, strlen(content), DOCUMENT_MAX_BYTES,
                                                     "Content", &json, &why)
                               : json_parse(content, strlen(content), DOCUMENT_MAX_BYTES,
                                            JSON_REFUSE, "Content", &json, &why);
    if (r == 0)
        r = document_check(json, &error_code, &why);
    if (r == ERR_NOMEM)
        return err_set(err, r, "%s", why.text);
    if (r < 0)
        return api_refuse(call, err, error_code, "%s", why.text);
    json_write(ret_json, json);
    r = buf_error(ret_json, "document", err);
    if (r < 0)
        return r;
    *ret_row = (struct document_row){.version_name = version_name,
                                     .format = format,
                                     .type = type,
                                     .content = content,
                                     .json = buf_str(ret_json),
                                     .created_ms = call->now_ms};
    return 0;
}

static int add_version(struct call *call, const struct document_row *row, struct err *err)
{
    struct document_row hashed = *row;
    char sha256[SHA256_HEX_SIZE];

    assert(row->content != NULL); /* read_content() has put it there */
    sha256_hex_of(row->content, strlen(row->content), sha256);
    hashed.sha256 = sha256;
    (void)snprintf(call->note, sizeof(call->note), "%.70s version %" PRId64, row->name,
                   row->version);
    return store_document_add(call->hub->store, &hashed, err);
}

int api_create_document(struct call *call, struct err *err)
{
    AUTO(buf_done) struct buf json = {0};
    struct document_row row = {0}, found;
    const char *name = NULL;
    struct cursor c;
    int r = api_str(call, &rule_own_name, &name, err);

    buf_init(&json, API_MAX_BODY_BYTES);
    if (r == 0)
        r = read_content(call, &row, &json, err);
    if (r < 0)
        return r;
    if (api_document_is_reserved(name))
        return api_refuse(call, err, "ValidationException",
                          "Names that begin with aws, amazon or amzn are reserved.");
    store_document_versions(call->hub->store, name, &c);
    r = cursor_next_document(&c, &found, err);
    cursor_done(&c);
    if (r < 0)
        return r;
    if (r > 0)
        return api_refuse(call, err, "DocumentAlreadyExists", "Document %s exists already.", name);
    row.name = name;
    row.version = 1;
    r = add_version(call, &row, err);
    if (r == 0)
        r = store_document_set_default(call->hub->store, name, 1, err);
    return r < 0 ? r : api_document_describe(call, "DocumentDescription", name, "1", NULL, err);
}

int api_update_document(struct call *call, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    AUTO(buf_done) struct buf json = {0};
    const char *name = NULL, *version = "$LATEST", *ignored = NULL;
    struct document_row row = {0}, old = {0};
    int r = api_str(call, &rule_own_name, &name, err);

    buf_init(&json, API_MAX_BODY_BYTES);
    if (r == 0)
        r = api_document_read_version(call, &version, &ignored, err);
    if (r == 0)
        r = read_content(call, &row, &json, err);
    if (r == 0)
        r = api_document_find(call, name, version, NULL, &c, &old, err);
    if (r < 0)
        return r;
    if (api_document_is_reserved(name))
        return api_refuse(call, err, "InvalidDocumentOperation",
                          "Document %s is not yours to change.", name);
    if (str_eq(old.content, row.content))
        return api_refuse(call, err, "DuplicateDocumentContent",
                          "The content is the same as that of version %" PRId64 ".", old.version);
    row.name = name;
    row.version = old.latest_version + 1;
    cursor_done(&c);
    r = add_version(call, &row, err);
    return r < 0 ? r
                 : api_document_describe(call, "DocumentDescription", name, "$LATEST", NULL, err);
}

int api_update_document_default_version(struct call *call, struct err *err)
{
    static const struct str_rule rule = {
        .name = "DocumentVersion", .pattern = "[1-9][0-9]*", .is_required = true};
    AUTO(cursor_done) struct cursor c = {0};
    const char *name = NULL, *version = NULL;
    struct document_row row = {0};
    int r = api_str(call, &rule_own_name, &name, err);

    if (r == 0)
        r = api_str(call, &rule, &version, err);
    if (r == 0)
        r = api_document_find(call, name, version, NULL, &c, &row, err);
    if (r == 0)
        r = store_document_set_default(call->hub->store, row.name, row.version, err);
    if (r < 0)
        return r;
    out_object(call->out, NULL);
    out_object(call->out, "Description");
    out_str(call->out, "Name", row.name);
    out_str(call->out, "DefaultVersion", version);
    out_object_end(call->out);
    out_object_end(call->out);
    return 0;
}

int api_delete_document(struct call *call, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    const char *name = NULL, *version = NULL, *version_name = NULL;
    struct document_row row = {0};
    bool is_default;
    int64_t number;
    int r = api_str(call, &rule_own_name, &name, err);

    if (r == 0)
        r = api_document_read_version(call, &version, &version_name, err);
    if (r == 0)
        r = api_document_find(call, name, version != NULL ? version : "$DEFAULT", version_name, &c,
                              &row, err);
    if (r < 0)
        return r;
    if (api_document_is_reserved(name))
        return api_refuse(call, err, "InvalidDocumentOperation",
                          "Document %s is not yours to delete.", name);
    number = version == NULL && version_name == NULL ? 0 : row.version;
    is_default = row.version == row.default_version;
    if (number != 0 && is_default)
        return api_refuse(call, err, "InvalidDocumentOperation",
                          "Version %" PRId64 " is the default version of document %s; make another "
                          "version the default first, or delete the whole document.",
                          number, name);
    cursor_done(&c);
    r = store_document_delete(call->hub->store, name, number, err);
    if (r < 0)
        return r;
    (void)str_copy(call->note, sizeof(call->note), name); /* for the log: a cut is fine */
    out_object(call->out, NULL);
    out_object_end(call->out);
    return 0;
}
