/* Instances: what agents say about themselves, and what operators may see of it. */
#include <string.h>

#include "base/str.h"
#include "hub/api.h"
#include "hub/json_out.h"
#include "hub/store_node.h"

#define ONLINE_MS (INT64_C(15) * 60 * 1000) /* three pings at the default of five minutes */

/* Members that are kept and given back, under the same names. */
static const struct {
    const char *name;
    bool is_shown;
} members[] = {
    {"AgentVersion", true},      {"PlatformType", true},        {"PlatformName", true},
    {"PlatformVersion", true},   {"IPAddress", true},           {"ComputerName", true},
    {"AgentName", false},        {"AgentStatus", false},        {"SSMConnectionChannel", false},
    {"AvailabilityZone", false}, {"AvailabilityZoneId", false},
};

/* The latest word on each member: a short ping does not wipe what a full one said. */
static int merge(struct call *call, const char *old_json, struct buf *info, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *old = NULL;
    size_t i;
    int r = json_parse(old_json, strlen(old_json), API_MAX_BODY_BYTES, JSON_REFUSE,
                       "store: instance", &old, err);

    if (r < 0)
        return r;
    out_object(info, NULL);
    for (i = 0; i < ARRAY_LEN(members); i++) {
        const cJSON *item = json_get_exact(call->in, members[i].name);

        if (!cJSON_IsString(item))
            item = json_get_exact(old, members[i].name);
        if (cJSON_IsString(item))
            out_str(info, members[i].name, item->valuestring);
    }
    out_object_end(info);
    return buf_error(info, "instance", err);
}

int api_update_instance_information(struct call *call, struct err *err)
{
    static const struct str_rule rule = {
        .name = "InstanceId", .min = 10, .max = 100, .is_required = true};
    AUTO(cursor_done) struct cursor c = {0};
    AUTO(buf_done) struct buf info = {0};
    struct instance_row row;
    const char *id = NULL;
    const cJSON *item;
    size_t i;
    int r = api_str(call, &rule, &id, err);

    if (r < 0)
        return r;
    for (i = 0; i < ARRAY_LEN(members); i++) {
        item = json_get_exact(call->in, members[i].name);
        if (item != NULL && !cJSON_IsString(item))
            return api_refuse(call, err, "SerializationException", "%s must be a string, not %s",
                              members[i].name, json_type_name(item));
    }
    buf_init(&info, API_MAX_BODY_BYTES);
    store_instance_find(call->hub->store, id, &c);
    r = cursor_next_instance(&c, &row, err);
    if (r < 0)
        return r;
    r = merge(call, r > 0 ? row.info : "{}", &info, err);
    if (r == 0)
        r = store_instance_put(call->hub->store, id, buf_str(&info), call->now_ms, call->now_ms,
                               err);
    if (r < 0)
        return r;
    (void)str_copy(call->note, sizeof(call->note), id); /* for the log: a cut is fine */
    out_object(call->out, NULL);
    out_object_end(call->out);
    return 0;
}

/* ---- DescribeInstanceInformation ---- */

static const char *ping_status(const struct instance_row *row, int64_t now_ms)
{
    if (row->last_ping_ms == 0)
        return "Inactive";
    return now_ms - row->last_ping_ms < ONLINE_MS ? "Online" : "ConnectionLost";
}

/* What a filter compares with, or NULL for a key that there is not. */
static const char *filter_value(const char *key, const struct instance_row *row, const cJSON *info,
                                const struct node_row *node, int64_t now_ms)
{
    const char *name = str_eq(key, "PlatformTypes") ? "PlatformType" : key;
    const cJSON *item;

    if (str_eq(key, "InstanceIds"))
        return row->id;
    if (str_eq(key, "PingStatus"))
        return ping_status(row, now_ms);
    if (str_eq(key, "ResourceType"))
        return str_has_prefix(row->id, "mi-") ? "ManagedInstance" : "EC2Instance";
    if (str_eq(key, "ActivationIds"))
        return node->activation_id;
    if (str_eq(key, "IamRole"))
        return node->iam_role;
    if (!str_eq(key, "AgentVersion") && !str_eq(key, "PlatformTypes"))
        return NULL;
    item = json_get_exact(info, name);
    return cJSON_IsString(item) ? item->valuestring : "";
}

/* The API has this list in two forms that differ in the names of the members. */
static int check_filters(struct call *call, const cJSON *list, const char *key_name,
                         const char *values_name, struct err *err)
{
    static const struct instance_row no_row = {.id = ""};
    static const struct node_row no_node = {.activation_id = "", .iam_role = ""};
    const cJSON *filter, *values;

    cJSON_ArrayForEach(filter, list)
    {
        const cJSON *key = json_get_exact(filter, key_name);
        int r;

        if (!cJSON_IsString(key))
            return api_refuse(call, err, "SerializationException",
                              "Each filter must have the string %s.", key_name);
        if (filter_value(key->valuestring, &no_row, NULL, &no_node, 0) == NULL)
            return api_refuse(call, err, "InvalidFilterKey",
                              "Filter key \"%.60s\" is not one of InstanceIds, PingStatus, "
                              "AgentVersion, PlatformTypes, ResourceType, ActivationIds, IamRole.",
                              key->valuestring);
        r = api_str_list(call, filter, values_name, 100, &values, err);
        if (r < 0)
            return r;
        if (values == NULL || values->child == NULL)
            return api_refuse(call, err, "InvalidInstanceInformationFilterValue",
                              "Filter %s has no values.", key->valuestring);
    }
    return 0;
}

static bool is_wanted(const cJSON *list, const char *key_name, const char *values_name,
                      const struct instance_row *row, const cJSON *info,
                      const struct node_row *node, int64_t now_ms)
{
    const cJSON *filter, *value;

    cJSON_ArrayForEach(filter, list)
    {
        const char *key = json_get_exact(filter, key_name)->valuestring;
        const char *found = filter_value(key, row, info, node, now_ms);
        bool is_found = false;

        cJSON_ArrayForEach(value, json_get_exact(filter, values_name)) is_found =
            is_found || str_eq(value->valuestring, found);
        if (!is_found)
            return false;
    }
    return true;
}

static void put_instance(struct call *call, const struct instance_row *row, const cJSON *info,
                         const struct node_row *node)
{
    struct buf *out = call->out;
    size_t i;

    out_object(out, NULL);
    out_str(out, "InstanceId", row->id);
    out_str(out, "PingStatus", ping_status(row, call->now_ms));
    if (row->last_ping_ms != 0)
        out_time(out, "LastPingDateTime", row->last_ping_ms);
    for (i = 0; i < ARRAY_LEN(members); i++) {
        const cJSON *item = json_get_exact(info, members[i].name);

        if (members[i].is_shown && cJSON_IsString(item))
            out_str(out, members[i].name, item->valuestring);
    }
    out_bool(out, "IsLatestVersion", true);
    if (str_has_prefix(row->id, "mi-")) {
        out_str(out, "ActivationId", node->activation_id[0] != '\0' ? node->activation_id : NULL);
        out_str(out, "IamRole", node->iam_role[0] != '\0' ? node->iam_role : NULL);
        out_str(out, "Name", node->name[0] != '\0' ? node->name : NULL);
    }
    out_time(out, "RegistrationDate", row->registered_ms);
    out_str(out, "ResourceType",
            str_has_prefix(row->id, "mi-") ? "ManagedInstance" : "EC2Instance");
    out_object_end(out);
}

int api_describe_instance_information(struct call *call, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    const cJSON *filters = NULL, *old_filters = NULL;
    char last[128] = "";
    struct instance_row row;
    struct page page = {0};
    int64_t n = 0;
    int r = api_page(call, 5, 50, &page, err);

    if (r == 0)
        r = api_list(call, "Filters", 100, &filters, err);
    if (r == 0)
        r = api_list(call, "InstanceInformationFilterList", 100, &old_filters, err);
    if (r == 0)
        r = check_filters(call, filters, "Key", "Values", err);
    if (r == 0)
        r = check_filters(call, old_filters, "key", "valueSet", err);
    if (r < 0)
        return r;
    out_object(call->out, NULL);
    out_list(call->out, "InstanceInformationList");
    store_instances(call->hub->store, page.after, &c);
    while ((r = cursor_next_instance(&c, &row, err)) > 0) {
        AUTO(cJSON_Delete) cJSON *info = NULL;
        AUTO(cursor_done) struct cursor nodes = {0};
        struct node_row node = {.activation_id = "", .name = "", .iam_role = ""};

        store_node_find(call->hub->store, row.id, &nodes);
        if (cursor_next_node(&nodes, &node, err) < 0)
            return err->code;
        if (json_parse(row.info, strlen(row.info), API_MAX_BODY_BYTES, JSON_REFUSE,
                       "store: instance", &info, err) < 0)
            return err->code;
        if (!is_wanted(filters, "Key", "Values", &row, info, &node, call->now_ms) ||
            !is_wanted(old_filters, "key", "valueSet", &row, info, &node, call->now_ms))
            continue;
        if (n == page.size)
            break; /* there is more */
        put_instance(call, &row, info, &node);
        (void)str_copy(last, sizeof(last), row.id); /* at most 100 characters */
        n++;
    }
    return api_end_page_name(call, r, last);
}
