/* What a whole configuration says, when every key for itself is right: keys that contradict each
 * other, hosts and regions that cannot be, files that cannot be used; and what a reload changes. */
#include "schema/config_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

static const struct config_key *key_of(const char *section, const char *name)
{
    const struct config_key *k;

    for (k = config_keys; k->section != NULL; k++)
        if (str_eq(k->section, section) && str_eq(k->name, name))
            return k;
    return NULL;
}

/* The line that the file has for a key; 0 when it does not name it. */
static int line_in_file(const struct config_reading *rd, const char *section, const char *name)
{
    const struct config_key *k = key_of(section, name);

    return k != NULL ? rd->seen[k - config_keys] : 0;
}

/* A finding at the line where the key stands. */
static void say_at(struct config_reading *rd, int line, enum config_severity severity,
                   const char *kind, const char *key, const char *text)
{
    const char *p = rd->text;

    for (; line > 1 && (p = strchr(p, '\n')) != NULL; line--)
        p++;
    rd->place = p != NULL ? p : rd->text;
    config_say(rd, severity, kind, key, "", "%s", text);
}

static bool has(const struct config_list *list, const char *item)
{
    size_t i;

    for (i = 0; i < list->n; i++)
        if (str_eq(list->items[i], item))
            return true;
    return false;
}

/* Written in the file, or in force without it: only what the file says is worth a line. */
static void check_identity(struct config_reading *rd)
{
    const struct config *c = rd->config;
    int order = line_in_file(rd, "Identity", "ConsumptionOrder");
    int custom = line_in_file(rd, "Identity", "CustomIdentities");
    int region = line_in_file(rd, "Agent", "Region");

    if (custom != 0 && c->instance_id[0] != '\0' && !has(&c->identity_order, "CustomIdentity"))
        say_at(rd, custom, CONFIG_WARNING, "contradiction", "Identity.CustomIdentities",
               "is never asked: Identity.ConsumptionOrder does not name CustomIdentity");
    if (order != 0 && c->identity_order.n == 1 && has(&c->identity_order, "CustomIdentity") &&
        c->instance_id[0] == '\0')
        say_at(rd, order, CONFIG_WARNING, "contradiction", "Identity.ConsumptionOrder",
               "names CustomIdentity alone, and Identity.CustomIdentities has none that can be "
               "used");
    if (c->is_container_mode && order != 0 && !has(&c->identity_order, "ECS"))
        say_at(rd, order, CONFIG_WARNING, "contradiction", "Identity.ConsumptionOrder",
               "does not name ECS, though Agent.ContainerMode is true");
    if (region != 0 && c->region[0] != '\0' && c->identity_region[0] != '\0' &&
        !str_eq(c->region, c->identity_region))
        say_at(rd, region, CONFIG_WARNING, "contradiction", "Agent.Region",
               "differs from the identity's region: requests are signed for this one and sent to "
               "hosts of the other, unless endpoints are given");
}

static void check_sizes(struct config_reading *rd)
{
    const struct config *c = rd->config;
    int line = line_in_file(rd, "Ssmd", "OutputCapMiB");

    if (line == 0)
        line = line_in_file(rd, "Ssmd", "RetentionMiB");
    if (line != 0 && c->output_cap_mib > c->retention_mib)
        say_at(rd, line, CONFIG_WARNING, "contradiction", "Ssmd.OutputCapMiB",
               "is more than Ssmd.RetentionMiB: one job's output may remove the history of all "
               "others");
    line = line_in_file(rd, "Ssm", "PluginLocalOutputCleanup");
    if (line != 0 && !str_eq(c->plugin_output_cleanup, "default") &&
        !str_eq(c->orchestration_cleanup, "default"))
        say_at(rd, line, CONFIG_NOTE, "contradiction", "Ssm.PluginLocalOutputCleanup",
               "Ssm.OrchestrationDirectoryCleanup is set too, and removes the whole directory");
}

static void check_log(struct config_reading *rd)
{
    static const char *const names[] = {"LogFileMaxMiB", "LogFileRolls"};
    char key[64];
    size_t i;

    for (i = 0; i < ARRAY_LEN(names); i++) {
        const struct config_key *k = key_of("Ssmd", names[i]);
        int line = rd->seen[k - config_keys];

        (void)snprintf(key, sizeof(key), "Ssmd.%s", names[i]);
        if (line != 0 && rd->config->log_file[0] == '\0' &&
            *(const int64_t *)config_member_of(rd->config, k) != k->otherwise)
            say_at(rd, line, CONFIG_WARNING, "contradiction", key,
                   "has no effect without Ssmd.LogFile");
    }
}

static bool is_local(const char *host)
{
    return str_has_prefix(host, "127.") || str_has_prefix(host, "localhost") ||
           str_has_prefix(host, "[::1]");
}

/* "host", "host:port", or a URL; blanks and other schemes are what people get wrong. */
static const char *fault_of_url(const char *url)
{
    const char *scheme = strstr(url, "://");

    if (strpbrk(url, " \t\r\n\"<>\\") != NULL)
        return "is no host: it has a character that cannot be in one";
    if (scheme != NULL && !str_has_prefix(url, "https://") && !str_has_prefix(url, "http://") &&
        !str_has_prefix(url, "wss://") && !str_has_prefix(url, "ws://"))
        return "has a scheme other than https:// and http://";
    if (scheme != NULL && (scheme[3] == '\0' || scheme[3] == '/'))
        return "names no host";
    if ((str_has_prefix(url, "http://") || str_has_prefix(url, "ws://")) && !is_local(scheme + 3))
        return "is not encrypted: commands and results can be read and changed on the way";
    return NULL;
}

static const char *fault_of_region(const char *region)
{
    if (strlen(region) > 64 ||
        strspn(region, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") !=
            strlen(region))
        return "is no region: only letters, digits and '-' are in one, as in eu-west-1";
    return NULL;
}

static void check_hosts(struct config_reading *rd)
{
    const struct config_key *k;
    char name[128];

    for (k = config_keys; k->section != NULL; k++) {
        int line = rd->seen[k - config_keys];
        const char *fault = NULL;

        if (line == 0 || k->size == 0 || (k->flags & (CONFIG_URL | CONFIG_REGION)) == 0)
            continue;
        fault = (k->flags & CONFIG_URL) != 0 ? fault_of_url(config_member_of(rd->config, k))
                                             : fault_of_region(config_member_of(rd->config, k));
        config_key_name(k, name, sizeof(name));
        if (fault != NULL)
            say_at(rd, line, CONFIG_WARNING, "bad-value", name, fault);
    }
}

static bool parse_time(const char *text, int *ret_minutes)
{
    int h, m;

    if (strspn(text, "0123456789") != 2 || text[2] != ':' || strspn(text + 3, "0123456789") < 2)
        return false;
    h = (text[0] - '0') * 10 + text[1] - '0';
    m = (text[3] - '0') * 10 + text[4] - '0';
    *ret_minutes = h * 60 + m;
    return h < 24 && m < 60;
}

bool config_parse_window(const char *text, int *ret_from, int *ret_to)
{
    return strlen(text) == strlen("22:00-04:30") && text[5] == '-' && parse_time(text, ret_from) &&
           parse_time(text + 6, ret_to) && *ret_from != *ret_to;
}

static void check_update(struct config_reading *rd)
{
    const struct config *c = rd->config;
    const char *source = c->update_source;
    int line = line_in_file(rd, "Ssmd", "UpdateSource"), from, to;

    if (line != 0 && source[0] != '\0' && !str_has_prefix(source, "https://") &&
        !str_has_prefix(source, "http://") && !str_has_prefix(source, "file:///"))
        say_at(rd, line, CONFIG_WARNING, "bad-value", "Ssmd.UpdateSource",
               "is no URL that begins with https://, http:// or file:///");
    line = line_in_file(rd, "Ssmd", "UpdateWindow");
    if (line != 0 && c->update_window[0] != '\0' &&
        !config_parse_window(c->update_window, &from, &to))
        say_at(rd, line, CONFIG_WARNING, "bad-value", "Ssmd.UpdateWindow",
               "is no window, so Agent.SelfUpdate does not begin at all: two times as in "
               "22:00-04:30");
    line = line_in_file(rd, "Agent", "SelfUpdate");
    if (line != 0 && c->is_self_update && source[0] == '\0')
        say_at(rd, line, CONFIG_WARNING, "no-effect", "Agent.SelfUpdate",
               "has no effect without Ssmd.UpdateSource");
    line = line_in_file(rd, "Ssmd", "UpdateProvingSeconds");
    if (line != 0 && c->update_proving_seconds >= c->update_deadline_seconds)
        say_at(rd, line, CONFIG_WARNING, "contradiction", "Ssmd.UpdateProvingSeconds",
               "is not less than Ssmd.UpdateDeadlineSeconds: no version could prove itself");
}

void config_check_together(struct config_reading *rd)
{
    check_identity(rd);
    check_sizes(rd);
    check_log(rd);
    check_hosts(rd);
    check_update(rd);
}

/* ---- files ---- */

void config_check_files(const struct config *c, config_use_fn can_use, config_finding_fn found,
                        void *ctx)
{
    struct config_finding finding = {
        .severity = CONFIG_WARNING, .kind = "bad-file", .line = 1, .used = ""};
    const struct config_key *k;
    char name[128];
    struct err err;

    for (k = config_keys; k->section != NULL; k++) {
        bool is_program = (k->flags & CONFIG_PROGRAM) != 0;
        const char *path = config_member_of(c, k);

        if ((!is_program && (k->flags & CONFIG_INPUT_FILE) == 0) || path[0] == '\0' ||
            can_use(path, is_program, &err) == 0)
            continue;
        config_key_name(k, name, sizeof(name));
        finding.key = name;
        finding.text = err.text;
        found(ctx, &finding);
    }
}

/* ---- reload ---- */

static bool is_same_list(const struct config_list *a, const struct config_list *b)
{
    size_t i;

    for (i = 0; i < a->n && i < b->n; i++)
        if (!str_eq(a->items[i], b->items[i]))
            return false;
    return a->n == b->n;
}

static bool are_same_words(const struct config *a, const struct config *b)
{
    size_t i;

    for (i = 0; a->reboot_argv[i] != NULL; i++)
        if (b->reboot_argv[i] == NULL || !str_eq(a->reboot_argv[i], b->reboot_argv[i]))
            return false;
    return b->reboot_argv[i] == NULL;
}

static bool is_same(const struct config *a, const struct config *b, const struct config_key *k)
{
    const void *ma = config_member_of(a, k), *mb = config_member_of(b, k);

    switch (k->type) {
    case CONFIG_NUMBER:
        return *(const int64_t *)ma == *(const int64_t *)mb;
    case CONFIG_BOOL:
        return *(const bool *)ma == *(const bool *)mb;
    case CONFIG_TEXT:
        return str_eq(ma, mb);
    case CONFIG_LIST:
        return is_same_list(ma, mb);
    case CONFIG_WORDS:
        return are_same_words(a, b);
    case CONFIG_IDENTITIES:
        return str_eq(a->instance_id, b->instance_id) &&
               str_eq(a->identity_region, b->identity_region) &&
               str_eq(a->availability_zone, b->availability_zone) &&
               str_eq(a->availability_zone_id, b->availability_zone_id) &&
               str_eq(a->instance_type, b->instance_type);
    }
    return true;
}

static void take(struct config *live, const struct config *next, const struct config_key *k)
{
    size_t n;

    memcpy(config_member(live, k), config_member_of(next, k), k->size);
    if (k->type != CONFIG_WORDS)
        return;
    for (n = 0; next->reboot_argv[n] != NULL; n++)
        ;
    config_point_words(live, n);
}

void config_diff(struct config *live, const struct config *next,
                 void (*differs)(void *ctx, const struct config_key *key, bool is_taken), void *ctx)
{
    const struct config_key *k;

    for (k = config_keys; k->section != NULL; k++) {
        bool is_live = (k->flags & CONFIG_LIVE) != 0;

        if ((k->size == 0 && k->type != CONFIG_IDENTITIES) || is_same(live, next, k))
            continue;
        if (is_live)
            take(live, next, k);
        differs(ctx, k, is_live);
    }
}
