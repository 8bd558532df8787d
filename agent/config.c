/* Configuration, from a table of keys. */
#include "agent/config.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "schema/json.h"

#define MAX_CONFIG_BYTES (1u << 20)
#define NO_MAX INT64_MAX

enum key_type { KEY_TEXT, KEY_NUMBER, KEY_UNUSED };

struct key {
    const char *section, *name;
    enum key_type type;
    size_t offset, size;
    int64_t min, max;
};

#define TEXT(section, name, member)                                                                \
    {                                                                                              \
        section, name, KEY_TEXT, offsetof(struct config, member),                                  \
            sizeof(((struct config *)0)->member), 0, 0                                             \
    }
#define NUMBER(section, name, member, min, max)                                                    \
    {                                                                                              \
        section, name, KEY_NUMBER, offsetof(struct config, member), sizeof(int64_t), min, max      \
    }
#define UNUSED_KEY(section, name)                                                                  \
    {                                                                                              \
        section, name, KEY_UNUSED, 0, 0, 0, 0                                                      \
    }

/* Bounds as the reference has them; out of them means the default (spec 07, section 1.2). */
static const struct key keys[] = {
    TEXT("Agent", "Name", agent_name),
    TEXT("Agent", "Version", agent_version),
    TEXT("Agent", "Region", region),
    TEXT("Agent", "ServiceDomain", service_domain),
    TEXT("Mds", "Endpoint", mds_endpoint),
    TEXT("Ssm", "Endpoint", ssm_endpoint),
    NUMBER("Mds", "CommandWorkersLimit", command_workers, 1, 1000000),
    NUMBER("Mds", "StopTimeoutMillis", mds_stop_timeout_ms, 10000, 1000000),
    NUMBER("Ssm", "HealthFrequencyMinutes", health_frequency_minutes, 5, 60),
    NUMBER("Ssm", "RunCommandLogsRetentionDurationHours", log_retention_hours, 8,
           INT64_C(24) * 365 * 100),
    TEXT("Os", "Lang", os_lang),
    TEXT("Os", "Name", os_name),
    TEXT("Os", "Version", os_version),
    NUMBER("Ssmd", "MaxRebootsPerStep", max_reboots, 0, 1000),
    NUMBER("Ssmd", "KillGraceMillis", kill_grace_ms, 0, 60000),
    NUMBER("Ssmd", "OutputCapMiB", output_cap_mib, 1, 1 << 20),
    NUMBER("Ssmd", "RetentionMiB", retention_mib, 16, 1 << 30),
    NUMBER("Ssmd", "LedgerRetentionDays", ledger_retention_days, 31, 36500),
    NUMBER("Ssmd", "BackoffCapSeconds", backoff_cap_seconds, 1, 3600),
    TEXT("Ssmd", "CaFile", ca_file),
    TEXT("Ssmd", "RunnerPath", runner_path),
    TEXT("Ssmd", "BootIdFile", boot_id_file),
    /* Keys of the reference that have no effect here yet; read so that they are not called unknown.
     */
    UNUSED_KEY("Mds", "CommandRetryLimit"), /* nothing is resumed by running it again */
    UNUSED_KEY("Mds", "CommandWorkerBufferLimit"),
    UNUSED_KEY("Ssm", "AssociationFrequencyMinutes"),
    UNUSED_KEY("Ssm", "AssociationRetryLimit"),
    UNUSED_KEY("Ssm", "CustomInventoryDefaultLocation"),
    UNUSED_KEY("Ssm", "AssociationLogsRetentionDurationHours"),
    UNUSED_KEY("Ssm", "SessionLogsRetentionDurationHours"),
    UNUSED_KEY("Ssm", "SessionLogsDestination"),
    UNUSED_KEY("Ssm", "PluginLocalOutputCleanup"),
    UNUSED_KEY("Ssm", "OrchestrationDirectoryCleanup"),
    UNUSED_KEY("Agent", "OrchestrationRootDir"),
    UNUSED_KEY("Agent", "DownloadRootDir"),
    UNUSED_KEY("Agent", "ContainerMode"),
    UNUSED_KEY("Agent", "SelfUpdate"),
    UNUSED_KEY("Agent", "SelfUpdateScheduleDay"),
    UNUSED_KEY("Agent", "TelemetryMetricsToCloudWatch"),
    UNUSED_KEY("Agent", "TelemetryMetricsToSSM"),
    UNUSED_KEY("Agent", "TelemetryMetricsNamespace"),
    UNUSED_KEY("Agent", "AuditExpirationDay"),
    UNUSED_KEY("Agent", "LongRunningWorkerMonitorIntervalSeconds"),
    UNUSED_KEY("Agent", "ShouldPurgeInstanceProfileRoleCreds"),
    UNUSED_KEY("Agent", "ForceFileIPC"),
    UNUSED_KEY("Agent", "GoMaxProcForAgentWorker"),
    UNUSED_KEY("Identity", "ConsumptionOrder"),
    UNUSED_KEY("Identity", "Ec2SystemInfoDetectionResponse"),
};

/* Sections that later parts of the agent will read; their keys are not looked at one by one. */
static const char *const silent_sections[] = {"Profile", "Mgs", "S3", "Birdwatcher", "Kms"};

struct reading {
    struct config *config;
    const char *path;
    const char *text; /* the file, to find a key's line */
    config_warn_fn warn;
    void *ctx;
    bool tells_unused;
};

void config_init(struct config *c, const char *program_dir)
{
    static const char *const reboot_words[] = {"/sbin/shutdown", "-r", "+1"};
    size_t i;

    memset(c, 0, sizeof(*c));
    (void)str_copy(c->agent_name, sizeof(c->agent_name), "amazon-ssm-agent"); /* all literals fit */
    (void)str_copy(c->agent_version, sizeof(c->agent_version), SSMD_VERSION ".0");
    (void)str_copy(c->os_lang, sizeof(c->os_lang), "en-US");
    (void)str_copy(c->os_name, sizeof(c->os_name), "linux");
    (void)str_copy(c->os_version, sizeof(c->os_version), "1");
    c->command_workers = 5;
    c->mds_stop_timeout_ms = 20000;
    c->health_frequency_minutes = 5;
    c->log_retention_hours = 336;
    c->max_reboots = 15;
    c->kill_grace_ms = 2000;
    c->output_cap_mib = 64;
    c->retention_mib = 256;
    c->ledger_retention_days = 3650;
    c->backoff_cap_seconds = 300;
    (void)snprintf(c->runner_path, sizeof(c->runner_path), "%s/ssmd-runner", program_dir);
    (void)str_copy(c->boot_id_file, sizeof(c->boot_id_file), "/proc/sys/kernel/random/boot_id");
    for (i = 0; i < ARRAY_LEN(reboot_words); i++) {
        (void)str_copy(c->reboot_words[i], sizeof(c->reboot_words[i]), reboot_words[i]);
        c->reboot_argv[i] = c->reboot_words[i];
    }
    c->reboot_argv[i] = NULL;
}

/* The first line on which "name" stands as a key; 1 when it cannot be told (the same name may stand
 * in several sections, so the section's own line is where the search begins). */
static int line_of(const struct reading *rd, const char *section, const char *name)
{
    char quoted[128];
    const char *from = rd->text, *p, *at;
    int line = 1;

    (void)snprintf(quoted, sizeof(quoted), "\"%.120s\"", section);
    at = strcasestr(from, quoted);
    if (at != NULL && name != NULL) {
        (void)snprintf(quoted, sizeof(quoted), "\"%.120s\"", name);
        p = strcasestr(at, quoted);
        at = p != NULL ? p : at;
    }
    for (p = from; at != NULL && p < at; p++)
        line += *p == '\n';
    return line;
}

static void warn(const struct reading *rd, const char *section, const char *name, const char *fmt,
                 ...) PRINTF_LIKE(4, 5);

static void warn(const struct reading *rd, const char *section, const char *name, const char *fmt,
                 ...)
{
    char what[256], line[1024];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    (void)snprintf(line, sizeof(line), "%s:%d: %s%s%s: %s", rd->path, line_of(rd, section, name),
                   section, name != NULL ? "." : "", name != NULL ? name : "", what);
    if (rd->warn != NULL)
        rd->warn(rd->ctx, line);
}

static void read_text(const struct reading *rd, const struct key *k, const cJSON *value)
{
    char *dst = (char *)rd->config + k->offset;

    if (!cJSON_IsString(value))
        warn(rd, k->section, k->name, "must be a string, not %s; \"%s\" is used",
             json_type_name(value), dst);
    else if (strlen(value->valuestring) >= k->size)
        warn(rd, k->section, k->name, "is longer than %zu bytes; \"%s\" is used", k->size - 1, dst);
    else if (value->valuestring[0] != '\0') /* "" means the default, as in the shipped template */
        (void)str_copy(dst, k->size, value->valuestring);
}

static void read_number(const struct reading *rd, const struct key *k, const cJSON *value)
{
    int64_t *dst = (int64_t *)(void *)((char *)rd->config + k->offset);
    int64_t v;

    if (!cJSON_IsNumber(value)) {
        warn(rd, k->section, k->name, "must be a whole number, not %s; %" PRId64 " is used",
             json_type_name(value), *dst);
        return;
    }
    if (fabs(value->valuedouble) > 1e15 || trunc(value->valuedouble) != value->valuedouble) {
        warn(rd, k->section, k->name, "%g is no whole number of a useful size; %" PRId64 " is used",
             value->valuedouble, *dst);
        return;
    }
    v = (int64_t)value->valuedouble;
    if (v < k->min || v > k->max) {
        warn(rd, k->section, k->name,
             "%" PRId64 " is not between %" PRId64 " and %" PRId64 "; %" PRId64 " is used", v,
             k->min, k->max, *dst);
        return;
    }
    *dst = v;
}

static void read_reboot_command(const struct reading *rd, const cJSON *value)
{
    struct config *c = rd->config;
    const cJSON *word;
    int n = 0;

    if (!cJSON_IsArray(value) || cJSON_GetArraySize(value) < 1 ||
        cJSON_GetArraySize(value) > CONFIG_MAX_ARGV) {
        warn(rd, "Ssmd", "RebootCommand", "must be a list of 1 to %d strings; the default is used",
             CONFIG_MAX_ARGV);
        return;
    }
    cJSON_ArrayForEach(word, value)
    {
        if (!cJSON_IsString(word) || strlen(word->valuestring) >= CONFIG_MAX_TEXT) {
            warn(rd, "Ssmd", "RebootCommand", "must be a list of strings; the default is used");
            return;
        }
    }
    cJSON_ArrayForEach(word, value)
    {
        (void)str_copy(c->reboot_words[n], CONFIG_MAX_TEXT, word->valuestring);
        c->reboot_argv[n] = c->reboot_words[n];
        n++;
    }
    c->reboot_argv[n] = NULL;
}

static void read_identity(const struct reading *rd, const cJSON *list)
{
    struct config *c = rd->config;
    const struct key members[] = {
        TEXT("Identity", "InstanceID", instance_id),
        TEXT("Identity", "Region", identity_region),
        TEXT("Identity", "AvailabilityZone", availability_zone),
        TEXT("Identity", "AvailabilityZoneId", availability_zone_id),
    };
    const cJSON *first = cJSON_IsArray(list) ? cJSON_GetArrayItem(list, 0) : NULL;
    size_t i;

    if (!cJSON_IsArray(list) || (first != NULL && !cJSON_IsObject(first))) {
        warn(rd, "Identity", "CustomIdentities", "must be a list of objects; it is ignored");
        return;
    }
    if (first == NULL)
        return;
    if (cJSON_GetArraySize(list) > 1)
        warn(rd, "Identity", "CustomIdentities", "has more than one entry; the first is used");
    for (i = 0; i < ARRAY_LEN(members); i++) {
        const cJSON *value = json_get(first, members[i].name);

        if (value != NULL)
            read_text(rd, &members[i], value);
    }
    if (c->instance_id[0] != '\0' && strlen(c->instance_id) < 10)
        warn(rd, "Identity", "InstanceID",
             "\"%s\" is shorter than the 10 characters the service wants", c->instance_id);
}

static void read_key(const struct reading *rd, const char *section, const cJSON *value)
{
    size_t i;

    if (cJSON_IsNull(value))
        return;
    if (str_eq_nocase(section, "Ssmd") && str_eq_nocase(value->string, "RebootCommand")) {
        read_reboot_command(rd, value);
        return;
    }
    if (str_eq_nocase(section, "Identity") && str_eq_nocase(value->string, "CustomIdentities")) {
        read_identity(rd, value);
        return;
    }
    for (i = 0; i < ARRAY_LEN(keys); i++) {
        const struct key *k = &keys[i];

        if (!str_eq_nocase(section, k->section) || !str_eq_nocase(value->string, k->name))
            continue;
        if (k->type == KEY_TEXT)
            read_text(rd, k, value);
        else if (k->type == KEY_NUMBER)
            read_number(rd, k, value);
        else if (rd->tells_unused)
            warn(rd, section, value->string, "has no effect in this version");
        return;
    }
    warn(rd, section, value->string, "unknown key; it is ignored");
}

static void read_section(const struct reading *rd, const cJSON *section)
{
    const cJSON *value;
    size_t i;

    for (i = 0; i < ARRAY_LEN(silent_sections); i++)
        if (str_eq_nocase(section->string, silent_sections[i])) {
            if (rd->tells_unused)
                warn(rd, section->string, NULL, "this section has no effect in this version");
            return;
        }
    for (i = 0; i < ARRAY_LEN(keys); i++)
        if (str_eq_nocase(section->string, keys[i].section))
            break;
    if (i == ARRAY_LEN(keys)) {
        warn(rd, section->string, NULL, "unknown section; it is ignored");
        return;
    }
    if (!cJSON_IsObject(section)) {
        warn(rd, section->string, NULL, "must be an object, not %s; it is ignored",
             json_type_name(section));
        return;
    }
    cJSON_ArrayForEach(value, section)
    {
        read_key(rd, keys[i].section, value);
    }
}

int config_read(struct config *c, const char *path, bool is_required, config_warn_fn warn_fn,
                void *ctx, struct err *err)
{
    AUTO(buf_done) struct buf text = {0};
    AUTO(cJSON_Delete) cJSON *root = NULL;
    struct reading rd = {
        .config = c, .path = path, .warn = warn_fn, .ctx = ctx, .tells_unused = c->tells_unused};
    char real[PATH_MAX];
    const cJSON *section;
    int r;

    buf_init(&text, MAX_CONFIG_BYTES);
    /* A link is the operator's own: many systems keep /etc as links into another place. */
    r = fs_read_file(AT_FDCWD, realpath(path, real) != NULL ? real : path, &text, err);
    if (r == ERR_NOT_FOUND && !is_required)
        return 0;
    if (r < 0)
        return err_wrap(err, "configuration");
    r = json_parse(buf_str(&text), text.len, MAX_CONFIG_BYTES, JSON_REFUSE, path, &root, err);
    if (r < 0)
        return err_wrap(err, "configuration");
    r = json_want_object(root, path, err);
    if (r < 0)
        return err_wrap(err, "configuration");
    rd.text = buf_str(&text);
    cJSON_ArrayForEach(section, root)
    {
        read_section(&rd, section);
    }
    return 0;
}

const char *config_signing_region(const struct config *c)
{
    return c->region[0] != '\0' ? c->region : c->identity_region;
}

int config_check_identity(const struct config *c, struct err *err)
{
    if (c->instance_id[0] == '\0')
        return err_set(
            err, ERR_INVALID,
            "this node has no identity: set Identity.CustomIdentities[0].InstanceID in the "
            "configuration, for example {\"Identity\":{\"CustomIdentities\":[{\"InstanceID\":"
            "\"mi-0123456789abcdef0\",\"Region\":\"eu-west-1\"}]}}");
    if (!str_is_safe_name(c->instance_id, sizeof(c->instance_id)))
        return err_set(err, ERR_INVALID,
                       "Identity.CustomIdentities[0].InstanceID \"%s\": only letters, "
                       "digits, '.', '_' and '-' are allowed",
                       c->instance_id);
    if (config_signing_region(c)[0] == '\0')
        return err_set(err, ERR_INVALID,
                       "no region: set Agent.Region or "
                       "Identity.CustomIdentities[0].Region in the configuration");
    if (!str_is_safe_name(config_signing_region(c), 64))
        return err_set(err, ERR_INVALID,
                       "region \"%s\": only letters, digits, '.', '_' and '-' are allowed",
                       config_signing_region(c));
    return 0;
}
