/* Parameters made, changed, labelled and removed by operators. */
#include <ctype.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "hub/api_parameter_internal.h"
#include "hub/json_out.h"

#define MAX_STANDARD_BYTES 4096u
#define MAX_ADVANCED_BYTES 8192u
#define MAX_NAME_BYTES 255u
#define MAX_VERSIONS 100
#define MAX_LABELS 10
#define MAX_SEALED_BYTES (16u << 10)

static const struct str_rule rule_name = {
    .name = "Name", .min = 1, .max = 2048, .is_required = true};

/* ---- putting ---- */

struct put {
    struct parameter_row row; /* what is to be stored */
    struct parameter_reference reference;
    bool is_overwriting;
};

static int check_name(struct call *call, const char *name, struct err *err)
{
    const char *p = name[0] == '/' ? name + 1 : name;

    if (strchr(name, ':') != NULL || !api_matches("[a-zA-Z0-9_./-]+", name))
        return api_refuse(call, err, "ValidationException",
                          "Parameter name: can't be prefixed with \"ssm\" (case-insensitive) and "
                          "must consist of letters, digits, and . - _ /.");
    if (strncasecmp(p, "ssm", 3) == 0)
        return api_refuse(call, err, "ValidationException",
                          "Parameter name: can't be prefixed with \"ssm\" (case-insensitive).");
    if (strncasecmp(p, "aws", 3) == 0)
        return api_refuse(call, err, "AccessDeniedException",
                          "No access to reserved parameter name: %.200s.", name);
    if (strlen(name) > MAX_NAME_BYTES) /* a page token holds no more */
        return api_refuse(call, err, "ValidationException",
                          "This hub keeps parameters with names of at most %u characters.",
                          MAX_NAME_BYTES);
    if (name[0] != '/' && strchr(name, '/') != NULL)
        return api_refuse(call, err, "ValidationException",
                          "Parameter name must be a fully qualified name: one with a path begins "
                          "with /.");
    return 0;
}

static int read_put(struct call *call, struct put *p, struct err *err)
{
    static const struct str_rule value = {.name = "Value", .min = 1, .is_required = true},
                                 type = {.name = "Type",
                                         .pattern = "String|StringList|SecureString"},
                                 description = {.name = "Description", .max = 1024},
                                 pattern = {.name = "AllowedPattern", .max = 1024},
                                 key_id = {.name = "KeyId", .min = 1, .max = 256},
                                 data_type = {.name = "DataType", .pattern = "text"},
                                 tier = {.name = "Tier",
                                         .pattern = "Standard|Advanced|Intelligent-Tiering"};
    struct parameter_row *row = &p->row;
    int r;

    *p = (struct put){.row = {.description = "",
                              .pattern = "",
                              .key_id = "",
                              .type = "",
                              .data_type = "text",
                              .tier = "Standard",
                              .modified_ms = call->now_ms}};
    if ((r = api_str(call, &rule_name, &row->name, err)) < 0 ||
        (r = api_str(call, &value, &row->value, err)) < 0 ||
        (r = api_str(call, &type, &row->type, err)) < 0 ||
        (r = api_str(call, &description, &row->description, err)) < 0 ||
        (r = api_str(call, &pattern, &row->pattern, err)) < 0 ||
        (r = api_str(call, &key_id, &row->key_id, err)) < 0 ||
        (r = api_str(call, &data_type, &row->data_type, err)) < 0 ||
        (r = api_str(call, &tier, &row->tier, err)) < 0 ||
        (r = api_bool(call, "Overwrite", &p->is_overwriting, err)) < 0)
        return r;
    return check_name(call, row->name, err);
}

static int check_value(struct call *call, struct parameter_row *row, struct err *err)
{
    size_t n = strlen(row->value);

    if (str_eq(row->tier, "Intelligent-Tiering"))
        row->tier = n > MAX_STANDARD_BYTES ? "Advanced" : "Standard";
    if (n > (str_eq(row->tier, "Standard") ? MAX_STANDARD_BYTES : MAX_ADVANCED_BYTES))
        return api_refuse(call, err, "ValidationException",
                          "%s tier parameters support a maximum parameter value of %u characters.",
                          row->tier,
                          str_eq(row->tier, "Standard") ? MAX_STANDARD_BYTES : MAX_ADVANCED_BYTES);
    if (row->pattern[0] != '\0' && !api_matches(row->pattern, row->value))
        return api_refuse(call, err, "ParameterPatternMismatchException",
                          "Parameter value cannot be validated against allowedPattern: %.300s",
                          row->pattern);
    if (str_eq(row->type, PARAMETER_SECURE) && row->key_id[0] == '\0')
        row->key_id = "alias/aws/ssm";
    return 0;
}

/* The number of the version to be made, and what it inherits of the one before it. `*kept` holds
 * the texts of that one. */
static int follow_up(struct call *call, struct put *p, struct buf *kept, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct parameter_row old = {0};
    bool is_labelled = false;
    int64_t oldest = 0, n = 0, newest = 0;
    int r;

    store_parameter_versions(call->hub->store, p->row.name, &c);
    while ((r = cursor_next_parameter(&c, &old, err)) > 0) {
        if (n++ == 0) {
            newest = old.version;
            (void)buf_add(kept, old.type, strlen(old.type) + 1);
        }
        oldest = old.version;
        is_labelled = old.labels[0] != '\0';
    }
    cursor_done(&c);
    if (r < 0)
        return r;
    if (n == 0 && p->row.type[0] == '\0')
        return api_refuse(call, err, "ValidationException",
                          "A parameter type is required when you create a parameter.");
    if (n > 0 && !p->is_overwriting)
        return api_refuse(call, err, "ParameterAlreadyExists",
                          "The parameter already exists. To overwrite this value, set the "
                          "overwrite option in the request to true.");
    if (n > 0 && p->row.type[0] == '\0')
        p->row.type = buf_str(kept);
    if (n >= MAX_VERSIONS && is_labelled)
        return api_refuse(call, err, "ParameterMaxVersionLimitExceeded",
                          "The oldest version (%" PRId64
                          ") would have to go and has a label; move the label first.",
                          oldest);
    p->row.version = newest + 1;
    return n >= MAX_VERSIONS ? store_parameter_delete(call->hub->store, p->row.name, oldest, err)
                             : buf_error(kept, "parameter", err);
}

void api_parameter_context(const struct parameter_row *row, struct buf *ret_context)
{
    (void)buf_printf(ret_context, "parameter %s version %" PRId64, row->name, row->version);
}

int api_put_parameter(struct call *call, struct err *err)
{
    AUTO(buf_done) struct buf kept = {0}, sealed = {0}, context = {0};
    struct put p;
    int r = read_put(call, &p, err);

    buf_init(&kept, 256);
    buf_init(&sealed, MAX_SEALED_BYTES);
    buf_init(&context, PARAMETER_NAME_SIZE + 64);
    if (r == 0)
        r = follow_up(call, &p, &kept, err);
    if (r == 0)
        r = check_value(call, &p.row, err);
    if (r < 0)
        return r;
    if (str_eq(p.row.type, PARAMETER_SECURE)) {
        api_parameter_context(&p.row, &context);
        r = sealing_key_seal(&call->hub->sealing_key, buf_str(&context), p.row.value, &sealed, err);
        if (r < 0)
            return r;
        p.row.value = buf_str(&sealed);
    }
    r = store_parameter_add(call->hub->store, &p.row, err);
    if (r < 0)
        return r;
    (void)snprintf(call->note, sizeof(call->note), "%.70s version %" PRId64, p.row.name,
                   p.row.version);
    out_object(call->out, NULL);
    out_num(call->out, "Version", p.row.version);
    out_str(call->out, "Tier", p.row.tier);
    out_object_end(call->out);
    return 0;
}

/* ---- removing ---- */

static int not_found(struct call *call, const char *name, struct err *err)
{
    return api_refuse(call, err, "ParameterNotFound", "Parameter %.400s not found.", name);
}

static int is_there(struct call *call, const char *name, bool *ret_is_there, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct parameter_row row;
    int r;

    store_parameter_versions(call->hub->store, name, &c);
    r = cursor_next_parameter(&c, &row, err);
    *ret_is_there = r > 0;
    return r < 0 ? r : 0;
}

int api_delete_parameter(struct call *call, struct err *err)
{
    const char *name = NULL;
    bool is_known = false;
    int r = api_str(call, &rule_name, &name, err);

    if (r == 0)
        r = is_there(call, name, &is_known, err);
    if (r < 0)
        return r;
    if (!is_known)
        return not_found(call, name, err);
    r = store_parameter_delete(call->hub->store, name, 0, err);
    if (r < 0)
        return r;
    out_object(call->out, NULL);
    out_object_end(call->out);
    return 0;
}

static int required_names(struct call *call, const char *member, int max, const cJSON **ret_list,
                          struct err *err)
{
    int r = api_str_list(call, call->in, member, max, ret_list, err);

    if (r == 0 && (*ret_list == NULL || (*ret_list)->child == NULL))
        return api_refuse(call, err, "ValidationException", "%s: at least one is needed.", member);
    return r;
}

int api_delete_parameters(struct call *call, struct err *err)
{
    AUTO(buf_done) struct buf invalid = {0};
    const cJSON *names = NULL, *name;
    int r = required_names(call, "Names", 10, &names, err);

    buf_init(&invalid, API_MAX_BODY_BYTES);
    if (r < 0)
        return r;
    out_list(&invalid, NULL);
    out_object(call->out, NULL);
    out_list(call->out, "DeletedParameters");
    cJSON_ArrayForEach(name, names)
    {
        bool is_known = false;

        r = is_there(call, name->valuestring, &is_known, err);
        if (r == 0 && is_known)
            r = store_parameter_delete(call->hub->store, name->valuestring, 0, err);
        if (r < 0)
            return r;
        out_str(is_known ? call->out : &invalid, NULL, name->valuestring);
    }
    out_list_end(call->out);
    out_list_end(&invalid);
    out_raw(call->out, "InvalidParameters", buf_str(&invalid));
    out_object_end(call->out);
    return buf_error(&invalid, "answer", err);
}

/* ---- labels ---- */

static bool is_label(const char *label)
{
    return strlen(label) <= 100 && api_matches("[a-zA-Z_.-][a-zA-Z0-9_.-]*", label) &&
           strncasecmp(label, "aws", 3) != 0 && strncasecmp(label, "ssm", 3) != 0;
}

static size_t count_labels(const char *labels)
{
    size_t n = labels[0] != '\0' ? 1 : 0;

    for (; *labels != '\0'; labels++)
        n += *labels == ',';
    return n;
}

/* The version that is spoken of, and its labels in *ret_labels. */
static int find_version(struct call *call, const char *name, int64_t *version,
                        struct buf *ret_labels, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct parameter_row row = {0};
    bool is_known = false;
    int r;

    store_parameter_versions(call->hub->store, name, &c);
    while ((r = cursor_next_parameter(&c, &row, err)) > 0) {
        is_known = true;
        if (*version == 0 || row.version == *version) {
            *version = row.version;
            (void)buf_add_str(ret_labels, row.labels);
            return buf_error(ret_labels, "labels", err);
        }
    }
    if (r < 0)
        return r;
    if (!is_known)
        return not_found(call, name, err);
    return api_refuse(call, err, "ParameterVersionNotFound",
                      "Systems Manager could not find version %" PRId64
                      " of %.300s. Verify the version and try again.",
                      *version, name);
}

static bool has_label(const char *labels, const char *label)
{
    size_t n = strlen(label);
    const char *p;

    for (p = labels; *p != '\0'; p += strcspn(p, ","), p += *p == ',')
        if (strncmp(p, label, n) == 0 && (p[n] == ',' || p[n] == '\0'))
            return true;
    return false;
}

struct label_call {
    const char *name;    /* borrowed */
    const cJSON *wanted; /* borrowed; the labels */
    int64_t version;
    struct buf labels;  /* owned; those that it has */
    struct buf invalid; /* owned; a list for the answer */
};

static void label_call_done_cleanup(struct label_call *l)
{
    buf_done(&l->labels);
    buf_done(&l->invalid);
}

static int read_label_call(struct call *call, struct label_call *l, struct err *err)
{
    int r = api_str(call, &rule_name, &l->name, err);

    buf_init(&l->invalid, 65536);
    buf_init(&l->labels, 65536);
    if (r == 0)
        r = api_i64(call, "ParameterVersion", 1, INT64_MAX, &l->version, err);
    if (r == 0)
        r = required_names(call, "Labels", MAX_LABELS, &l->wanted, err);
    if (r == 0)
        r = find_version(call, l->name, &l->version, &l->labels, err);
    return r;
}

int api_label_parameter_version(struct call *call, struct err *err)
{
    AUTO(label_call_done) struct label_call l = {.name = NULL};
    const cJSON *label;
    size_t n = 0;
    int r = read_label_call(call, &l, err);

    if (r < 0)
        return r;
    cJSON_ArrayForEach(label, l.wanted) n +=
        is_label(label->valuestring) && !has_label(buf_str(&l.labels), label->valuestring);
    if (n + count_labels(buf_str(&l.labels)) > MAX_LABELS)
        return api_refuse(call, err, "ParameterVersionLabelLimitExceeded",
                          "A parameter version can have a maximum of %d labels.", MAX_LABELS);
    out_list(&l.invalid, NULL);
    cJSON_ArrayForEach(label, l.wanted)
    {
        if (!is_label(label->valuestring))
            out_str(&l.invalid, NULL, label->valuestring);
        else if ((r = store_parameter_label(call->hub->store, l.name, label->valuestring, l.version,
                                            err)) < 0)
            return r;
    }
    out_list_end(&l.invalid);
    out_object(call->out, NULL);
    out_raw(call->out, "InvalidLabels", buf_str(&l.invalid));
    out_num(call->out, "ParameterVersion", l.version);
    out_object_end(call->out);
    return buf_error(&l.invalid, "answer", err);
}

int api_unlabel_parameter_version(struct call *call, struct err *err)
{
    AUTO(label_call_done) struct label_call l = {.name = NULL};
    const cJSON *label;
    int r = read_label_call(call, &l, err);

    if (r < 0)
        return r;
    out_list(&l.invalid, NULL);
    out_object(call->out, NULL);
    out_list(call->out, "RemovedLabels");
    cJSON_ArrayForEach(label, l.wanted)
    {
        bool is_here = has_label(buf_str(&l.labels), label->valuestring);

        out_str(is_here ? call->out : &l.invalid, NULL, label->valuestring);
        if (is_here &&
            (r = store_parameter_unlabel(call->hub->store, l.name, label->valuestring, err)) < 0)
            return r;
    }
    out_list_end(call->out);
    out_list_end(&l.invalid);
    out_raw(call->out, "InvalidLabels", buf_str(&l.invalid));
    out_object_end(call->out);
    return buf_error(&l.invalid, "answer", err);
}
