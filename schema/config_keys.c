/* The table of configuration keys. Defaults and bounds of the reference's keys are spec 07, section
 * 1.2: a value outside of its bounds means the default, not the nearest bound. */
#include <string.h>

#include "base/str.h"
#include "base/version.h"
#include "schema/config_internal.h"

#define MEMBER(member) offsetof(struct config, member), sizeof(((struct config *)0)->member)

#define TEXT(section, name, member, flags, text, note)                                             \
    {                                                                                              \
        section, name, CONFIG_TEXT, CONFIG_USED, flags, MEMBER(member), 0, 0, 0, text, NULL, note  \
    }
#define CHOICE(section, name, member, flags, text, choices, note)                                  \
    {                                                                                              \
        section, name, CONFIG_TEXT, CONFIG_USED, flags, MEMBER(member), 0, 0, 0, text, choices,    \
            note                                                                                   \
    }
#define NUMBER(section, name, member, flags, min, max, otherwise, note)                            \
    {                                                                                              \
        section, name, CONFIG_NUMBER, CONFIG_USED, flags, MEMBER(member), min, max, otherwise,     \
            NULL, NULL, note                                                                       \
    }
#define BOOL(section, name, member, flags, otherwise, note)                                        \
    {                                                                                              \
        section, name, CONFIG_BOOL, CONFIG_USED, flags, MEMBER(member), 0, 1, otherwise, NULL,     \
            NULL, note                                                                             \
    }
#define LIST(section, name, member, text, choices, note)                                           \
    {                                                                                              \
        section, name, CONFIG_LIST, CONFIG_USED, 0, MEMBER(member), 0, 0, 0, text, choices, note   \
    }
/* Checked like the others, and not kept. */
#define IDLE_TEXT(section, name, use, text, note)                                                  \
    {                                                                                              \
        section, name, CONFIG_TEXT, use, CONFIG_KEEPS_EMPTY, 0, 0, 0, 0, 0, text, NULL, note       \
    }
#define IDLE_NUMBER(section, name, use, min, max, otherwise, note)                                 \
    {                                                                                              \
        section, name, CONFIG_NUMBER, use, 0, 0, 0, min, max, otherwise, NULL, NULL, note          \
    }
#define IDLE_BOOL(section, name, use, otherwise, note)                                             \
    {                                                                                              \
        section, name, CONFIG_BOOL, use, 0, 0, 0, 0, 1, otherwise, NULL, NULL, note                \
    }

#define IDLE_LIST(section, name, text, note)                                                       \
    {                                                                                              \
        section, name, CONFIG_LIST, CONFIG_UNUSED, 0, 0, 0, 0, 0, 0, text, NULL, note              \
    }

#define NO_TELEMETRY "ssmd sends no telemetry"
#define NO_SESSIONS "this version has no sessions"
#define NO_ASSOCIATIONS "this version has no associations"
#define ONE_PROCESS "ssmd has no worker processes to watch or to talk to"

const struct config_key config_keys[] = {
    BOOL("Profile", "ShareCreds", share_credentials, 0, 1,
         "a hybrid node's role credentials for scripts, in a file of ssmd's own that "
         "AWS_SHARED_CREDENTIALS_FILE names"),
    TEXT("Profile", "ShareProfile", share_profile, 0, "",
         "the profile in that file, which AWS_PROFILE names then; else default"),
    IDLE_BOOL("Profile", "ForceUpdateCreds", CONFIG_UNREAD, 0, "nothing reads it"),
    NUMBER("Profile", "KeyAutoRotateDays", key_auto_rotate_days, CONFIG_LIVE, 0, 365, 0,
           "replace the key of a hybrid node when it is older; 0: never"),

    NUMBER("Mds", "CommandWorkersLimit", command_workers, CONFIG_LIVE, 1, 1000000, 5,
           "commands that run at once; what waits, waits in the journal, without a limit"),
    IDLE_NUMBER("Mds", "CommandWorkerBufferLimit", CONFIG_UNUSED, 1, CONFIG_NO_MAX, 5,
                "no command is refused for want of a buffer"),
    NUMBER("Mds", "StopTimeoutMillis", mds_stop_timeout_ms, 0, 10000, 1000000, 20000,
           "limit of one long poll, and of one answer to the service"),
    TEXT("Mds", "Endpoint", mds_endpoint, CONFIG_URL, "",
         "reach ec2messages here: host, host:port, or a URL"),
    IDLE_NUMBER("Mds", "CommandRetryLimit", CONFIG_UNUSED, 1, 100, 15,
                "nothing is resumed by running it again"),

    TEXT("Ssm", "Endpoint", ssm_endpoint, CONFIG_URL, "",
         "reach ssm here: host, host:port, or a URL"),
    NUMBER("Ssm", "HealthFrequencyMinutes", health_frequency_minutes, CONFIG_LIVE, 5, 60, 5,
           "how often to tell the service that the node is there (UpdateInstanceInformation)"),
    IDLE_NUMBER("Ssm", "AssociationFrequencyMinutes", CONFIG_UNUSED, 5, 60, 10, NO_ASSOCIATIONS),
    IDLE_NUMBER("Ssm", "AssociationRetryLimit", CONFIG_UNREAD, 0, CONFIG_NO_MAX, 5,
                "nothing reads it"),
    IDLE_TEXT("Ssm", "CustomInventoryDefaultLocation", CONFIG_UNREAD,
              "/var/lib/amazon/ssm/inventory/custom", "nothing reads it"),
    IDLE_NUMBER("Ssm", "AssociationLogsRetentionDurationHours", CONFIG_UNUSED, 8, CONFIG_NO_MAX, 24,
                NO_ASSOCIATIONS),
    NUMBER("Ssm", "RunCommandLogsRetentionDurationHours", log_retention_hours, CONFIG_LIVE, 8,
           INT64_C(24) * 365 * 100, 336,
           "finished and reported jobs older than this are removed, at most every 15 minutes; "
           "counted in "
           "time that the machine was up, so that a wrong clock removes nothing"),
    IDLE_NUMBER("Ssm", "SessionLogsRetentionDurationHours", CONFIG_UNUSED, -CONFIG_NO_MAX,
                CONFIG_NO_MAX, 336, NO_SESSIONS),
    IDLE_TEXT("Ssm", "SessionLogsDestination", CONFIG_UNUSED, "none", NO_SESSIONS),
    CHOICE("Ssm", "PluginLocalOutputCleanup", plugin_output_cleanup, CONFIG_LIVE, "default",
           "default,after-execution,after-upload",
           "after-execution: when a job is over, reported and uploaded, its directory is deleted; "
           "after-upload: a step's output is deleted when it is in S3 or the logs, and only then"),
    CHOICE("Ssm", "OrchestrationDirectoryCleanup", orchestration_cleanup, CONFIG_LIVE, "default",
           "default,clean-success,clean-success-failed",
           "the same for jobs with the status Success, or with Success or Failed; what the journal "
           "knows "
           "of them stays"),

    TEXT("Mgs", "Region", mgs_region, CONFIG_REGION, "",
         "region of ssmmessages; else the identity's"),
    TEXT("Mgs", "Endpoint", mgs_endpoint, CONFIG_URL, "",
         "reach ssmmessages here: host, host:port, or a URL; encrypted unless it says http://"),
    NUMBER("Mgs", "StopTimeoutMillis", mgs_stop_timeout_ms, 0, 1, CONFIG_NO_MAX, 20000,
           "limit of one call to ssmmessages"),
    IDLE_NUMBER("Mgs", "SessionWorkersLimit", CONFIG_UNUSED, -CONFIG_NO_MAX, CONFIG_NO_MAX, 1000,
                NO_SESSIONS),
    IDLE_NUMBER("Mgs", "SessionWorkerBufferLimit", CONFIG_UNUSED, 1, CONFIG_NO_MAX, 1, NO_SESSIONS),
    IDLE_LIST("Mgs", "DeniedPortForwardingRemoteIPs",
              "169.254.169.254,fd00:ec2::254,169.254.169.253,fd00:ec2::253,169.254.169.123,"
              "fd00:ec2::123,169.254.169.250,169.254.169.251,fd00:ec2::240",
              NO_SESSIONS),

    TEXT("Agent", "Name", agent_name, 0, "amazon-ssm-agent",
         "in replies and User-Agent; the service knows this name"),
    TEXT("Agent", "Version", agent_version, 0, ssmd_version_four,
         "in replies; the service compares four numbers"),
    TEXT("Agent", "Region", region, CONFIG_REGION, "",
         "region of signatures and of AWS_SSM_REGION_NAME; of hosts if the identity names none"),
    TEXT("Agent", "ServiceDomain", service_domain, 0, "",
         "reach services as <service>.<region>.<domain>"),
    IDLE_TEXT("Agent", "OrchestrationRootDir", CONFIG_UNUSED, "orchestration",
              "ssmd keeps its jobs in /var/lib/ssmd/jobs"),
    IDLE_TEXT("Agent", "DownloadRootDir", CONFIG_UNREAD, "", "nothing reads it"),
    BOOL("Agent", "ContainerMode", is_container_mode, 0, 0,
         "a container of ECS: with the default Identity.ConsumptionOrder only ECS is asked"),
    BOOL("Agent", "SelfUpdate", is_self_update, CONFIG_LIVE, 0,
         "look for a newer version from time to time and update to it; needs Ssmd.UpdateSource"),
    NUMBER("Agent", "SelfUpdateScheduleDay", self_update_days, CONFIG_LIVE, 1, 7, 7,
           "days between such looks"),
    IDLE_BOOL("Agent", "TelemetryMetricsToCloudWatch", CONFIG_UNUSED, 0, NO_TELEMETRY),
    IDLE_BOOL("Agent", "TelemetryMetricsToSSM", CONFIG_UNUSED, 1, NO_TELEMETRY),
    IDLE_TEXT("Agent", "TelemetryMetricsNamespace", CONFIG_UNUSED, "amazon-ssm-agent-telemetry",
              NO_TELEMETRY),
    IDLE_NUMBER("Agent", "AuditExpirationDay", CONFIG_UNUSED, 3, 30, 7,
                "the audit trail is the journal; Ssmd.LedgerRetentionDays bounds it"),
    IDLE_NUMBER("Agent", "LongRunningWorkerMonitorIntervalSeconds", CONFIG_UNUSED, 30, 1800, 60,
                ONE_PROCESS),
    IDLE_BOOL("Agent", "ShouldPurgeInstanceProfileRoleCreds", CONFIG_UNUSED, 0,
              "ssmd writes no credentials file that it would have to remove"),
    IDLE_BOOL("Agent", "ForceFileIPC", CONFIG_UNUSED, 0, ONE_PROCESS),
    IDLE_NUMBER("Agent", "GoMaxProcForAgentWorker", CONFIG_UNUSED, 0, CONFIG_NO_MAX, 0,
                "ssmd has one thread"),
    BOOL("Agent", "StrictDocuments", strict_documents, CONFIG_LIVE | CONFIG_OURS, 0,
         "honour what the reference ignores in a document: timeoutSeconds, maxAttempts, onFailure "
         "beside the inputs"),

    TEXT("Os", "Lang", os_lang, CONFIG_KEEPS_EMPTY, "en-US", "in replies"),
    TEXT("Os", "Name", os_name, CONFIG_KEEPS_EMPTY, "linux", "in replies"),
    TEXT("Os", "Version", os_version, CONFIG_KEEPS_EMPTY, "1", "in replies"),

    TEXT("S3", "Endpoint", s3_endpoint, CONFIG_URL, "", "reach s3 here: host, host:port, or a URL"),
    IDLE_TEXT("S3", "Region", CONFIG_UNREAD, "", "nothing reads it"),
    IDLE_TEXT("S3", "LogBucket", CONFIG_UNREAD, "",
              "nothing reads it; the command says where its output goes"),
    IDLE_TEXT("S3", "LogKey", CONFIG_UNREAD, "",
              "nothing reads it; the command says where its output goes"),
    IDLE_BOOL("Birdwatcher", "ForceEnable", CONFIG_UNREAD, 0, "nothing reads it"),
    IDLE_TEXT("Kms", "Endpoint", CONFIG_UNUSED, "", NO_SESSIONS),
    IDLE_BOOL("Kms", "RequireKMSChallengeResponse", CONFIG_UNUSED, 0, NO_SESSIONS),

    LIST("Identity", "ConsumptionOrder", identity_order, "OnPrem,EC2,CustomIdentity",
         "OnPrem,ECS,EC2,CustomIdentity", "where to look for this node's identity, in this order"),
    CHOICE(
        "Identity", "Ec2SystemInfoDetectionResponse", ec2_detection, 0, "", "true,false",
        "whether this is EC2 hardware, which else the firmware says; where it is not, and a custom "
        "identity is configured, the metadata service is not asked"),
    {"Identity", "CustomIdentities", CONFIG_IDENTITIES, CONFIG_USED, 0, 0, 0, 0, 0, 0, NULL, NULL,
     "InstanceID, Region, AvailabilityZone, AvailabilityZoneId, InstanceType of this node"},

    NUMBER("Ssmd", "MaxRebootsPerStep", max_reboots, CONFIG_LIVE, 0, 1000, 15,
           "exit code 194 more often than this fails the step"),
    NUMBER("Ssmd", "KillGraceMillis", kill_grace_ms, CONFIG_LIVE, 0, 60000, 2000,
           "between SIGTERM and SIGKILL when a step is stopped"),
    NUMBER("Ssmd", "OutputCapMiB", output_cap_mib, CONFIG_LIVE, 1, 1 << 20, 64,
           "of each output stream and attempt on disk; what is over is counted and never hurts the "
           "script"),
    NUMBER("Ssmd", "RetentionMiB", retention_mib, CONFIG_LIVE, 16, 1 << 30, 256,
           "journal and job directories together; above it, finished jobs go, the oldest first"),
    NUMBER(
        "Ssmd", "RetentionFiles", retention_files, CONFIG_LIVE, 100, 1 << 30, 1000,
        "files and directories of finished jobs, at all times; towards it the oldest ones' output "
        "goes, until there are half as many (their history stays), and a command waits for that. "
        "Where more than a fourteenth as many commands may run at once, or one leaves more by "
        "itself, it may be passed for a moment"),
    NUMBER("Ssmd", "LedgerRetentionDays", ledger_retention_days, CONFIG_LIVE, 31, 36500, 3650,
           "the memory of command ids, by which repetitions are recognised; counted like "
           "Ssm.RunCommandLogsRetentionDurationHours"),
    NUMBER("Ssmd", "BackoffCapSeconds", backoff_cap_seconds, 0, 1, 3600, 300,
           "longest wait between tries while the service is out of reach"),
    NUMBER("Ssmd", "ChannelGraceSeconds", channel_grace_seconds, CONFIG_LIVE, 0, 3600, 60,
           "ec2messages is polled for so long after the control channel was opened"),
    NUMBER("Ssmd", "ChannelFallbackSeconds", channel_fallback_seconds, CONFIG_LIVE, 0, 3600, 30,
           "ec2messages is polled again when the control channel stays lost for so long"),
    NUMBER("Ssmd", "UploadWaitSeconds", upload_wait_seconds, CONFIG_LIVE, 0, 3600, 30,
           "for which a step's answer waits until its output is in S3 or the logs; then it goes on "
           "beside"),
    TEXT("Ssmd", "LogsEndpoint", logs_endpoint, CONFIG_URL, "",
         "reach CloudWatch Logs here: host, host:port, or a URL"),
    TEXT("Ssmd", "LogLevels", log_levels, CONFIG_LIVE, "",
         "as the option --log, which wins; else minlevel of seelog.xml; else info"),
    TEXT("Ssmd", "LogFile", log_file, 0, "",
         "write the log to this file too, and roll it; else to standard error only"),
    NUMBER("Ssmd", "LogFileMaxMiB", log_file_max_mib, CONFIG_LIVE, 1, 1 << 20, 30,
           "size at which the log file is rolled"),
    NUMBER("Ssmd", "LogFileRolls", log_file_rolls, CONFIG_LIVE, 1, 100, 5,
           "rolled log files that are kept"),
    BOOL("Ssmd", "ImdsV1", imds_v1, 0, 0,
         "version 1 of the instance metadata service where version 2 is not to be had"),
    TEXT("Ssmd", "CaFile", ca_file, CONFIG_INPUT_FILE, "",
         "PEM file with the authorities to trust; else the system's"),
    TEXT("Ssmd", "UpdateSource", update_source, CONFIG_LIVE, "",
         "URL of a directory with signed versions of ssmd: https, http or file; {Region} is "
         "replaced"),
    TEXT("Ssmd", "UpdateRootFile", update_root_file, CONFIG_LIVE, "/etc/ssmd/update-root.json",
         "the keys that sign them"),
    CHOICE("Ssmd", "UpdatePackageManager", update_package_manager, CONFIG_LIVE, "defer",
           "defer,drive",
           "where one owns ssmd: defer, it alone updates; drive, updates ask it for their version"),
    TEXT("Ssmd", "UpdateWindow", update_window, CONFIG_LIVE, "",
         "hours of the day, in UTC, in which Agent.SelfUpdate may begin: 22:00-04:30; else any"),
    NUMBER("Ssmd", "UpdateProvingSeconds", update_proving_seconds, CONFIG_LIVE, 1, 3600, 60,
           "for which a new version has to run well before it stays"),
    NUMBER("Ssmd", "UpdateDeadlineSeconds", update_deadline_seconds, CONFIG_LIVE, 2, 86400, 300,
           "within which it has to have done so; else the old one comes back"),
    NUMBER("Ssmd", "UpdateOutageHours", update_outage_hours, CONFIG_LIVE, 1, 168, 24,
           "an outage from before the switch lengthens that by so much at most"),
    NUMBER("Ssmd", "UpdateMaxMemoryMiB", update_max_memory_mib, CONFIG_LIVE, 0, 1 << 20, 512,
           "a new version that takes more memory than this has failed; 0: no limit"),
    NUMBER("Ssmd", "UpdateKeepVersions", update_keep_versions, CONFIG_LIVE, 2, 20, 3,
           "versions of ssmd that are kept on this machine"),
    TEXT("Ssmd", "RunnerPath", runner_path, CONFIG_PROGRAM, "", "ssmd-runner; else beside ssmd"),
    TEXT("Ssmd", "DownloadPath", download_path, CONFIG_PROGRAM, "",
         "ssmd-download; else beside ssmd"),
    TEXT("Ssmd", "StagerPath", stager_path, 0, "", "ssmd-stager; else beside ssmd"),
    TEXT("Ssmd", "GitHubEndpoint", github_endpoint, CONFIG_URL, "https://api.github.com",
         "reach GitHub's API here"),
    TEXT("Ssmd", "BootIdFile", boot_id_file, CONFIG_INPUT_FILE, "/proc/sys/kernel/random/boot_id",
         "tests simulate a reboot with it"),
    {"Ssmd", "RebootCommand", CONFIG_WORDS, CONFIG_USED, CONFIG_LIVE, MEMBER(reboot_words), 1,
     CONFIG_MAX_ARGV, 0, "/sbin/shutdown,-r,+1", NULL, "run when a step asks for a reboot"},
    {NULL, NULL, CONFIG_TEXT, CONFIG_USED, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL},
};

const char *config_type_name(const struct config_key *k)
{
    static const char *const names[] = {"text",
                                        "a whole number",
                                        "true or false",
                                        "a list of texts",
                                        "a list of 1 to 16 texts",
                                        "a list of objects"};

    return names[k->type];
}

void *config_member(struct config *c, const struct config_key *k)
{
    return (char *)c + k->offset;
}

const void *config_member_of(const struct config *c, const struct config_key *k)
{
    return (const char *)c + k->offset;
}

/* The item that begins at *at of "a,b,c" into dst; false at the end. */
bool config_next_item(const char **at, char *dst, size_t size)
{
    size_t n = strcspn(*at, ",");

    if (n == 0 || n >= size)
        return false;
    memcpy(dst, *at, n);
    dst[n] = '\0';
    *at += n + ((*at)[n] == ',');
    return true;
}

static void set_words(struct config *c, const char *text)
{
    size_t n = 0;

    while (n < CONFIG_MAX_ARGV && config_next_item(&text, c->reboot_words[n], CONFIG_MAX_TEXT))
        n++;
    config_point_words(c, n);
}

void config_point_words(struct config *c, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        c->reboot_argv[i] = c->reboot_words[i];
    c->reboot_argv[n] = NULL;
}

void config_set_default(struct config *c, const struct config_key *k)
{
    void *member = config_member(c, k);
    struct config_list *list = member;
    const char *at = k->text;

    if (k->size == 0)
        return;
    switch (k->type) {
    case CONFIG_NUMBER:
        *(int64_t *)member = k->otherwise;
        break;
    case CONFIG_BOOL:
        *(bool *)member = k->otherwise != 0;
        break;
    case CONFIG_TEXT:
        (void)str_copy(member, k->size, k->text); /* the table's own texts fit */
        break;
    case CONFIG_LIST:
        for (list->n = 0; config_next_item(&at, list->items[list->n], CONFIG_LIST_TEXT); list->n++)
            ;
        break;
    case CONFIG_WORDS:
        set_words(c, k->text);
        break;
    case CONFIG_IDENTITIES:
        break;
    }
}
