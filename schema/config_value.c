/* One value of the configuration: its type, its bounds, and into its place. */
#include "schema/config_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"

#define SHOWN_BYTES 600

static void add_quoted(char *ret, size_t size, const char *item)
{
    size_t n = strlen(ret);

    (void)snprintf(ret + n, size - n, "%s\"%s\"", n > 1 ? "," : "", item);
}

void config_value(const struct config *c, const struct config_key *k, char *ret, size_t size)
{
    const void *member = config_member_of(c, k);
    const struct config_list *list = member;
    const char *at = k->text;
    char item[CONFIG_LIST_TEXT];
    size_t i, n;

    ret[0] = '\0';
    switch (k->type) {
    case CONFIG_NUMBER:
        (void)snprintf(ret, size, "%" PRId64,
                       k->size == 0 ? k->otherwise : *(const int64_t *)member);
        break;
    case CONFIG_BOOL:
        (void)str_copy(ret, size,
                       (k->size == 0 ? k->otherwise != 0 : *(const bool *)member) ? "true"
                                                                                  : "false");
        break;
    case CONFIG_TEXT:
        (void)snprintf(ret, size, "\"%s\"", k->size == 0 ? k->text : (const char *)member);
        break;
    case CONFIG_LIST:
    case CONFIG_WORDS:
        (void)str_copy(ret, size, "[");
        for (i = 0; k->type == CONFIG_LIST && k->size > 0 && i < list->n; i++)
            add_quoted(ret, size, list->items[i]);
        while (k->size == 0 && config_next_item(&at, item, sizeof(item)))
            add_quoted(ret, size, item);
        for (i = 0; k->type == CONFIG_WORDS && c->reboot_argv[i] != NULL; i++)
            add_quoted(ret, size, c->reboot_argv[i]);
        n = strlen(ret);
        (void)snprintf(ret + n, size - n, "]");
        break;
    case CONFIG_IDENTITIES:
        (void)snprintf(ret, size, "[{\"InstanceID\":\"%s\",\"Region\":\"%s\"}]", c->instance_id,
                       c->identity_region);
        break;
    }
}

bool config_is_bound(int64_t min_or_max)
{
    return min_or_max > -CONFIG_NO_MAX && min_or_max < CONFIG_NO_MAX;
}

bool config_is_ours(const struct config_key *k)
{
    return str_eq(k->section, "Ssmd") || (k->flags & CONFIG_OURS) != 0;
}

void config_bounds(const struct config_key *k, char *ret, size_t size)
{
    ret[0] = '\0';
    if (k->choices != NULL)
        (void)str_copy(ret, size, k->choices);
    else if (k->type == CONFIG_NUMBER && config_is_bound(k->max))
        (void)snprintf(ret, size, "%" PRId64 " to %" PRId64, k->min, k->max);
    else if (k->type == CONFIG_NUMBER && config_is_bound(k->min))
        (void)snprintf(ret, size, "at least %" PRId64, k->min);
}

static void reject(const struct config_reading *rd, const struct config_key *k, const char *kind,
                   const char *fmt, ...) PRINTF_LIKE(4, 5);

/* The value cannot be used: what was there stays. */
static void reject(const struct config_reading *rd, const struct config_key *k, const char *kind,
                   const char *fmt, ...)
{
    char key[128], text[400], used[SHOWN_BYTES];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    config_key_name(k, key, sizeof(key));
    config_value(rd->config, k, used, sizeof(used));
    config_say(rd, CONFIG_WARNING, kind, key, k->use == CONFIG_USED ? used : "", "%s", text);
}

static void reject_type(const struct config_reading *rd, const struct config_key *k,
                        const cJSON *value)
{
    bool is_ours = config_is_ours(k);

    reject(rd, k, "wrong-type", "must be %s, not %s%s", config_type_name(k), json_type_name(value),
           is_ours ? "" : " (the reference agent does not start with this file)");
}

static bool is_choice(const char *choices, const char *value, bool with_case)
{
    char item[CONFIG_LIST_TEXT];

    while (config_next_item(&choices, item, sizeof(item)))
        if (with_case ? str_eq(item, value) : str_eq_nocase(item, value))
            return true;
    return false;
}

static void read_text(const struct config_reading *rd, const struct config_key *k,
                      const cJSON *value)
{
    const char *text = value->valuestring;

    if (text[0] == '\0' && (k->flags & CONFIG_KEEPS_EMPTY) == 0)
        config_set_default(rd->config, k);
    else if (k->choices != NULL && !is_choice(k->choices, text, true))
        reject(rd, k, "not-a-choice", "\"%.100s\" is none of %s%s", text, k->choices,
               is_choice(k->choices, text, false) ? " (capital letters count in values)" : "");
    else if (k->size > 0 && strlen(text) >= k->size)
        reject(rd, k, "too-long", "is longer than %zu bytes", k->size - 1);
    else if (k->size > 0)
        (void)str_copy(config_member(rd->config, k), k->size, text);
}

/* False: it is a finding. */
static bool read_number(const struct config_reading *rd, const struct config_key *k,
                        const cJSON *value)
{
    double d = value->valuedouble;
    char bounds[64];

    if (fabs(d) > 1e15 || trunc(d) != d) {
        reject(rd, k, "out-of-bounds", "%g is no whole number of a useful size", d);
        return false;
    }
    if ((int64_t)d < k->min || (int64_t)d > k->max) {
        config_set_default(rd->config, k);
        config_bounds(k, bounds, sizeof(bounds));
        reject(rd, k, "out-of-bounds", "%" PRId64 " is out of bounds (%s)", (int64_t)d, bounds);
        return false;
    }
    if (k->size > 0)
        *(int64_t *)config_member(rd->config, k) = (int64_t)d;
    return true;
}

static bool is_list_of_texts(const struct config_reading *rd, const struct config_key *k,
                             const cJSON *value, size_t max_items, size_t item_size)
{
    const cJSON *item;
    size_t n = 0;

    cJSON_ArrayForEach(item, value)
    {
        if (!cJSON_IsString(item)) {
            reject(rd, k, "wrong-type", "must be a list of texts; one of them is %s",
                   json_type_name(item));
            return false;
        }
        if (strlen(item->valuestring) >= item_size) {
            reject(rd, k, "too-long", "one of its items is longer than %zu bytes", item_size - 1);
            return false;
        }
        n++;
    }
    if (n > max_items) {
        reject(rd, k, "too-long", "has more than %zu items", max_items);
        return false;
    }
    return true;
}

/* Items that are not among the choices are dropped, as the reference does; with none left the
 * default stands. */
static void read_list(const struct config_reading *rd, const struct config_key *k,
                      const cJSON *value)
{
    struct config_list list = {.n = 0};
    struct config_list *member = config_member(rd->config, k);
    const cJSON *item;
    char key[128];

    if (!is_list_of_texts(rd, k, value, CONFIG_MAX_LIST, CONFIG_LIST_TEXT) || k->size == 0)
        return;
    cJSON_ArrayForEach(item, value)
    {
        const char *text = item->valuestring;

        if (k->choices == NULL || is_choice(k->choices, text, true)) {
            (void)str_copy(list.items[list.n++], CONFIG_LIST_TEXT, text);
            continue;
        }
        config_key_name(k, key, sizeof(key));
        config_say(rd, CONFIG_WARNING, "not-a-choice", key, "",
                   "\"%s\" is none of %s and is left out%s", text, k->choices,
                   is_choice(k->choices, text, false) ? " (capital letters count in values)" : "");
    }
    if (list.n > 0 || k->choices == NULL) {
        *member = list;
        return;
    }
    config_set_default(rd->config, k);
    reject(rd, k, "out-of-bounds", "names nothing that can be used");
}

static void read_words(const struct config_reading *rd, const struct config_key *k,
                       const cJSON *value)
{
    struct config *c = rd->config;
    const cJSON *word;
    size_t n = 0;

    if (!is_list_of_texts(rd, k, value, CONFIG_MAX_ARGV, CONFIG_MAX_TEXT))
        return;
    if (value->child == NULL || value->child->valuestring[0] == '\0') {
        reject(rd, k, "out-of-bounds", "names no program");
        return;
    }
    cJSON_ArrayForEach(word, value)
    {
        (void)str_copy(c->reboot_words[n++], CONFIG_MAX_TEXT, word->valuestring);
    }
    config_point_words(c, n);
}

/* ---- keys that change nothing ---- */

static bool is_default(const struct config_key *k, const cJSON *value)
{
    const char *at = k->text;
    char item[CONFIG_LIST_TEXT];
    const cJSON *v;

    if (k->type == CONFIG_NUMBER)
        return (int64_t)value->valuedouble == k->otherwise;
    if (k->type == CONFIG_BOOL)
        return cJSON_IsTrue(value) == (k->otherwise != 0);
    if (k->type == CONFIG_TEXT)
        return value->valuestring[0] == '\0' || str_eq(value->valuestring, k->text);
    cJSON_ArrayForEach(v, value)
    {
        if (!cJSON_IsString(v) || !config_next_item(&at, item, sizeof(item)) ||
            !str_eq(item, v->valuestring))
            return false;
    }
    return !config_next_item(&at, item, sizeof(item));
}

static void say_idle(const struct config_reading *rd, const struct config_key *k)
{
    char key[128];

    config_key_name(k, key, sizeof(key));
    if (k->use == CONFIG_UNREAD)
        config_say(rd, CONFIG_NOTE, "never-read", key, "",
                   "has no effect, nor has it any in the reference agent: %s", k->note);
    else
        config_say(rd, CONFIG_WARNING, "no-effect", key, "", "has no effect: %s", k->note);
}

void config_read_value(struct config_reading *rd, const struct config_key *k, const cJSON *value)
{
    bool is_right = (k->type == CONFIG_TEXT && cJSON_IsString(value)) ||
                    (k->type == CONFIG_NUMBER && cJSON_IsNumber(value)) ||
                    (k->type == CONFIG_BOOL && cJSON_IsBool(value)) ||
                    ((k->type == CONFIG_LIST || k->type == CONFIG_WORDS) && cJSON_IsArray(value));
    bool is_in_bounds = true;

    if (!is_right) {
        reject_type(rd, k, value);
        return;
    }
    if (k->type == CONFIG_TEXT)
        read_text(rd, k, value);
    else if (k->type == CONFIG_NUMBER)
        is_in_bounds = read_number(rd, k, value);
    else if (k->type == CONFIG_LIST)
        read_list(rd, k, value);
    else if (k->type == CONFIG_WORDS)
        read_words(rd, k, value);
    else if (k->size > 0)
        *(bool *)config_member(rd->config, k) = cJSON_IsTrue(value);
    if (k->use != CONFIG_USED && is_in_bounds && !is_default(k, value))
        say_idle(rd, k);
}

/* ---- Identity.CustomIdentities ---- */

#define MEMBER(member) offsetof(struct config, member), sizeof(((struct config *)0)->member)
#define ENTRY(name, member)                                                                        \
    {                                                                                              \
        "Identity.CustomIdentities", name, CONFIG_TEXT, CONFIG_USED, 0, MEMBER(member), 0, 0, 0,   \
            "", NULL, ""                                                                           \
    }

static const struct config_key entry_keys[] = {
    ENTRY("InstanceID", instance_id),
    ENTRY("Region", identity_region),
    ENTRY("AvailabilityZone", availability_zone),
    ENTRY("AvailabilityZoneId", availability_zone_id),
    ENTRY("InstanceType", instance_type),
    {"Identity.CustomIdentities", "CredentialsProvider", CONFIG_TEXT, CONFIG_USED, 0, 0, 0, 0, 0, 0,
     "DEFAULT", "DEFAULT", ""},
};

static void say_unknown_member(const struct config_reading *rd, const char *name)
{
    const char *near = NULL;
    size_t best = 4, i;
    char key[160];

    for (i = 0; i < ARRAY_LEN(entry_keys); i++) {
        size_t d = str_distance(name, entry_keys[i].name, best);

        if (d < best) {
            best = d;
            near = entry_keys[i].name;
        }
    }
    (void)snprintf(key, sizeof(key), "Identity.CustomIdentities.%.100s", name);
    config_say(rd, CONFIG_WARNING, "unknown-key", key, "", "unknown key; it is ignored%s%s%s",
               near != NULL ? ". Is " : "", near != NULL ? near : "",
               near != NULL ? " meant?" : "");
}

static void read_entry(struct config_reading *rd, const cJSON *entry)
{
    const cJSON *value;
    size_t i;

    for (i = 0; i < ARRAY_LEN(entry_keys); i++)
        config_set_default(rd->config, &entry_keys[i]);
    cJSON_ArrayForEach(value, entry)
    {
        for (i = 0; i < ARRAY_LEN(entry_keys); i++)
            if (str_eq_nocase(value->string, entry_keys[i].name))
                break;
        if (i == ARRAY_LEN(entry_keys))
            say_unknown_member(rd, value->string);
        else if (!cJSON_IsNull(value))
            config_read_value(rd, &entry_keys[i], value);
    }
}

static void take_entry(struct config *c, const struct config *from)
{
    size_t i;

    for (i = 0; i < ARRAY_LEN(entry_keys); i++)
        if (entry_keys[i].size > 0)
            (void)str_copy(config_member(c, &entry_keys[i]), entry_keys[i].size,
                           config_member_of(from, &entry_keys[i]));
}

void config_read_identities(struct config_reading *rd, const struct config_key *k,
                            struct config_span list, const cJSON *value)
{
    static const char key[] = "Identity.CustomIdentities";
    struct config *c = rd->config, *one = rd->scratch;
    struct config_span rest = config_inside(list), span;
    const cJSON *entry = value->child;
    bool has_region = false, has_id = false;

    if (!cJSON_IsArray(value)) {
        reject_type(rd, k, value);
        return;
    }
    for (; entry != NULL && config_next_member(&rest, NULL, &span); entry = entry->next) {
        rd->place = span.begin;
        if (!cJSON_IsObject(entry)) {
            config_say(rd, CONFIG_WARNING, "wrong-type", key, "", "an entry is %s; it is left out",
                       json_type_name(entry));
            continue;
        }
        rd->config = one;
        read_entry(rd, entry);
        rd->config = c;
        if (one->instance_id[0] == '\0') {
            config_say(rd, CONFIG_WARNING, "bad-value", key, "",
                       "an entry has no InstanceID; it is left out");
            continue;
        }
        if (has_region || (has_id && one->identity_region[0] == '\0')) {
            config_say(rd, CONFIG_WARNING, "bad-value", key, c->instance_id,
                       "an entry stands after one that can be used; it is left out");
            continue;
        }
        take_entry(c, one);
        has_id = true;
        has_region = one->identity_region[0] != '\0';
        if (strlen(one->instance_id) < 10)
            config_say(rd, CONFIG_WARNING, "bad-value", "Identity.CustomIdentities.InstanceID", "",
                       "\"%s\" is shorter than the 10 characters the service wants",
                       one->instance_id);
    }
}
