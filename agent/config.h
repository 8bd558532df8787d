/* Configuration: the keys of amazon-ssm-agent.json (spec 07, section 1), so that a file in use
 * keeps working, and a section "Ssmd" for what is new. docs/configuration.md and ssmd.json(5) list
 * them. Main thread. */
#ifndef SSMD_AGENT_CONFIG_H
#define SSMD_AGENT_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/paths.h"

#define CONFIG_MAX_TEXT 512
#define CONFIG_MAX_ARGV 16

struct config {
    char agent_name[64];
    char agent_version[32]; /* four numbers: the service compares them */
    char region[101];       /* Agent.Region, for signing and hosts; else the identity's */
    char service_domain[256];
    char instance_id[128]; /* Identity.CustomIdentities[0] */
    char identity_region[101];
    char availability_zone[64], availability_zone_id[64];
    char mds_endpoint[CONFIG_MAX_TEXT], ssm_endpoint[CONFIG_MAX_TEXT];
    int64_t command_workers;
    int64_t mds_stop_timeout_ms;
    int64_t health_frequency_minutes;
    int64_t log_retention_hours; /* of finished Run Command jobs */
    char os_lang[32], os_name[64], os_version[64];

    /* Section Ssmd. */
    int64_t max_reboots;    /* per step */
    int64_t kill_grace_ms;  /* between SIGTERM and SIGKILL */
    int64_t output_cap_mib; /* per stream and attempt */
    int64_t retention_mib;  /* journal and job directories of finished jobs together */
    int64_t ledger_retention_days;
    int64_t backoff_cap_seconds;
    char ca_file[CONFIG_MAX_TEXT];
    char runner_path[CONFIG_MAX_TEXT];
    char boot_id_file[CONFIG_MAX_TEXT];
    char reboot_words[CONFIG_MAX_ARGV][CONFIG_MAX_TEXT];
    bool tells_unused; /* set before config_read: also warn of keys that are known and have no
                          effect */
    const char *reboot_argv[CONFIG_MAX_ARGV + 1]; /* into reboot_words; NULL-terminated */
};

/* Called for each key that is not used as it stands: file, line, key, what is wrong, what is used
 * instead. */
typedef void (*config_warn_fn)(void *ctx, const char *warning);

/* Defaults; `program_dir` is where ssmd itself was started from and where its runner is looked for
 * first. */
void config_init(struct config *c, const char *program_dir);

/* Read the first that exists: `path` (must exist when `is_required`), and lay it over the defaults.
 * A file that is not JSON is ERR_INVALID with line and column; an unknown key, a wrong type or a
 * value out of bounds is a warning and the default is used. */
int config_read(struct config *c, const char *path, bool is_required, config_warn_fn warn,
                void *ctx, struct err *err) MUST_CHECK;

/* Is there enough to serve? ERR_INVALID says which key is missing and how to set it. */
int config_check_identity(const struct config *c, struct err *err) MUST_CHECK;

const char *config_signing_region(const struct config *c);

#endif
