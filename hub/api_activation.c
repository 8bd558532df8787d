/* Activations: what machines outside of EC2 register with. */
#include <inttypes.h>
#include <string.h>

#include "base/ids.h"
#include "base/sha256.h"
#include "base/str.h"
#include "hub/access_keys.h"
#include "hub/api.h"
#include "hub/json_out.h"
#include "hub/store_node.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)
#define MAX_LIFE_MS (30 * DAY_MS)
#define CODE_SIZE 21
#define MAX_TAGS 1000

static const struct str_rule rule_activation_id = {.name = "ActivationId", .is_required = true};

/* Timestamps come as Unix seconds, with or without a fraction (spec 02, section 2.4). */
static int expiration(struct call *call, int64_t *ret_ms, struct err *err)
{
    const cJSON *item = json_get_exact(call->in, "ExpirationDate");
    double ms;

    if (item == NULL)
        return 0;
    if (!cJSON_IsNumber(item))
        return api_refuse(call, err, "SerializationException",
                          "ExpirationDate must be a Unix time, not %s", json_type_name(item));
    ms = item->valuedouble * 1000;
    if (ms <= (double)call->now_ms || ms > (double)(call->now_ms + MAX_LIFE_MS))
        return api_refuse(call, err, "ValidationException",
                          "ExpirationDate must be in the future, and within 30 days.");
    *ret_ms = (int64_t)ms;
    return 0;
}

static int tags(struct call *call, struct buf *ret_json, struct err *err)
{
    const cJSON *list = NULL, *tag;
    int r = api_list(call, "Tags", MAX_TAGS, &list, err);

    if (r < 0 || list == NULL)
        return r;
    cJSON_ArrayForEach(tag, list)
    {
        if (!cJSON_IsString(json_get_exact(tag, "Key")) ||
            !cJSON_IsString(json_get_exact(tag, "Value")))
            return api_refuse(call, err, "SerializationException",
                              "Each tag must have the strings Key and Value.");
    }
    json_write(ret_json, list);
    return buf_error(ret_json, "tags", err);
}

int api_create_activation(struct call *call, struct err *err)
{
    static const struct str_rule description = {.name = "Description", .max = 256};
    static const struct str_rule name = {
        .name = "DefaultInstanceName", .max = 256, .pattern = "([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*)"};
    static const struct str_rule role = {
        .name = "IamRole", .min = 1, .max = 64, .is_required = true};
    AUTO(buf_done) struct buf tags_json = {0};
    struct activation_row row = {.description = "",
                                 .name = "",
                                 .max_nodes = 1,
                                 .expires_ms = call->now_ms + DAY_MS,
                                 .created_ms = call->now_ms};
    char id[UUID_SIZE], code[CODE_SIZE], hash[SHA256_HEX_SIZE];
    int r;

    buf_init(&tags_json, API_MAX_BODY_BYTES);
    if ((r = api_str(call, &description, &row.description, err)) < 0 ||
        (r = api_str(call, &name, &row.name, err)) < 0 ||
        (r = api_str(call, &role, &row.iam_role, err)) < 0 ||
        (r = api_i64(call, "RegistrationLimit", 1, 1000, &row.max_nodes, err)) < 0 ||
        (r = expiration(call, &row.expires_ms, err)) < 0 || (r = tags(call, &tags_json, err)) < 0)
        return r;
    if (str_has_prefix(row.iam_role, "arn:"))
        return api_refuse(call, err, "ValidationException",
                          "IamRole is a role's name with its path, such as "
                          "service-role/MyRole, not an ARN.");
    ids_uuid4(id);
    access_keys_random(code, sizeof(code) - 1, ACCESS_KEYS_BASE64);
    sha256_hex_of(code, strlen(code), hash);
    row.id = id;
    row.code_sha256 = hash;
    row.tags = buf_str(&tags_json);
    r = store_activation_add(call->hub->store, &row, err);
    if (r < 0)
        return r;
    (void)str_copy(call->note, sizeof(call->note), id); /* never the code */
    out_object(call->out, NULL);
    out_str(call->out, "ActivationId", id);
    out_str(call->out, "ActivationCode", code);
    out_object_end(call->out);
    explicit_bzero(code, sizeof(code));
    return 0;
}

/* ---- DescribeActivations ---- */

static const char *filter_value(const char *key, const struct activation_row *row)
{
    if (str_eq(key, "ActivationIds"))
        return row->id;
    if (str_eq(key, "DefaultInstanceName"))
        return row->name;
    return str_eq(key, "IamRole") ? row->iam_role : NULL;
}

static int check_filters(struct call *call, const cJSON *list, struct err *err)
{
    static const struct activation_row no_row = {.id = "", .name = "", .iam_role = ""};
    const cJSON *filter, *values;

    cJSON_ArrayForEach(filter, list)
    {
        const char *key = cJSON_GetStringValue(json_get_exact(filter, "FilterKey"));
        int r;

        if (key == NULL || filter_value(key, &no_row) == NULL)
            return api_refuse(call, err, "InvalidFilter",
                              "FilterKey is not one of ActivationIds, DefaultInstanceName, "
                              "IamRole.");
        r = api_str_list(call, filter, "FilterValues", 100, &values, err);
        if (r < 0)
            return r;
        if (values == NULL || values->child == NULL)
            return api_refuse(call, err, "InvalidFilter", "Filter %s has no values.", key);
    }
    return 0;
}

static bool is_wanted(const cJSON *list, const struct activation_row *row)
{
    const cJSON *filter, *value;

    cJSON_ArrayForEach(filter, list)
    {
        const char *found = filter_value(json_get_exact(filter, "FilterKey")->valuestring, row);
        bool is_found = false;

        cJSON_ArrayForEach(value, json_get_exact(filter, "FilterValues"))
        {
            is_found = is_found || str_eq(value->valuestring, found);
        }
        if (!is_found)
            return false;
    }
    return true;
}

static void put_activation(struct call *call, const struct activation_row *row)
{
    struct buf *out = call->out;

    out_object(out, NULL);
    out_str(out, "ActivationId", row->id);
    out_str(out, "Description", row->description[0] != '\0' ? row->description : NULL);
    out_str(out, "DefaultInstanceName", row->name[0] != '\0' ? row->name : NULL);
    out_str(out, "IamRole", row->iam_role);
    out_num(out, "RegistrationLimit", row->max_nodes);
    out_num(out, "RegistrationsCount", row->n_nodes);
    out_time(out, "ExpirationDate", row->expires_ms);
    out_bool(out, "Expired", row->expires_ms <= call->now_ms);
    out_time(out, "CreatedDate", row->created_ms);
    out_raw(out, "Tags", row->tags);
    out_object_end(out);
}

int api_describe_activations(struct call *call, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    const cJSON *filters = NULL;
    struct activation_row row;
    struct page page = {0};
    int64_t n = 0, last = 0;
    int r = api_page(call, 1, 50, &page, err);

    if (r == 0)
        r = api_list(call, "Filters", 100, &filters, err);
    if (r == 0)
        r = check_filters(call, filters, err);
    if (r < 0)
        return r;
    out_object(call->out, NULL);
    out_list(call->out, "ActivationList");
    store_activations(call->hub->store, page.before_seq, &c);
    while ((r = cursor_next_activation(&c, &row, err)) > 0) {
        if (!is_wanted(filters, &row))
            continue;
        if (n == page.size)
            break; /* there is more */
        put_activation(call, &row);
        last = row.seq;
        n++;
    }
    return api_end_page_seq(call, r, last);
}

/* ---- DeleteActivation ---- */

int api_delete_activation(struct call *call, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct activation_row row;
    const char *id = NULL;
    int r = api_str(call, &rule_activation_id, &id, err);

    if (r < 0)
        return r;
    if (!ids_is_uuid(id))
        return api_refuse(call, err, "InvalidActivationId", "The activation ID is not valid: %.60s",
                          id);
    store_activation_find(call->hub->store, id, &c);
    r = cursor_next_activation(&c, &row, err);
    if (r == 0)
        return api_refuse(call, err, "InvalidActivation", "There is no activation %s.", id);
    cursor_done(&c);
    if (r > 0)
        r = store_activation_delete(call->hub->store, id, err);
    if (r < 0)
        return r;
    out_object(call->out, NULL);
    out_object_end(call->out);
    return 0;
}
