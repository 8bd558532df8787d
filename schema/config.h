/* Configuration: the keys of amazon-ssm-agent.json (spec 07, section 1), so that a file in use
 * keeps working, and a section "Ssmd" for what is new. One table of keys gives the defaults, the
 * bounds, what is read, what is said about it, and what a reload may change. docs/configuration.md
 * and ssmd.json(5) list them; a test compares. No I/O. Any thread; no state. */
#ifndef SSMD_SCHEMA_CONFIG_H
#define SSMD_SCHEMA_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define CONFIG_MAX_BYTES (1u << 20)
#define CONFIG_MAX_TEXT 512
#define CONFIG_MAX_ARGV 16
#define CONFIG_MAX_LIST 64
#define CONFIG_LIST_TEXT 64

struct config_list {
    size_t n;
    char items[CONFIG_MAX_LIST][CONFIG_LIST_TEXT];
};

struct config {
    /* Profile */
    bool share_credentials;
    char share_profile[128];
    int64_t key_auto_rotate_days; /* 0: never */
    /* Mds */
    int64_t command_workers;
    int64_t mds_stop_timeout_ms;
    char mds_endpoint[CONFIG_MAX_TEXT];
    /* Ssm */
    char ssm_endpoint[CONFIG_MAX_TEXT];
    int64_t health_frequency_minutes;
    int64_t log_retention_hours;    /* of finished Run Command jobs */
    char plugin_output_cleanup[24]; /* "default", "after-execution", "after-upload" */
    char orchestration_cleanup[24]; /* "default", "clean-success", "clean-success-failed" */
    /* Mgs */
    char mgs_region[101], mgs_endpoint[CONFIG_MAX_TEXT]; /* empty: the identity's, by region */
    int64_t mgs_stop_timeout_ms;
    /* Agent */
    char agent_name[64];
    char agent_version[32]; /* four numbers: the service compares them */
    char region[101];       /* Agent.Region, for signing and hosts; else the identity's */
    char service_domain[256];
    bool is_container_mode;
    bool strict_documents; /* honour what the reference ignores in a document */
    bool is_self_update;
    int64_t self_update_days;
    /* Os */
    char os_lang[32], os_name[64], os_version[64];
    /* S3 */
    char s3_endpoint[CONFIG_MAX_TEXT];
    /* Identity */
    struct config_list identity_order;
    char ec2_detection[8]; /* "true", "false"; "": by the firmware */
    /* The first of Identity.CustomIdentities that has an id and a region, else the first with an
     * id. */
    char instance_id[400];
    char identity_region[101];
    char availability_zone[64], availability_zone_id[64], instance_type[64];

    /* Section Ssmd. */
    int64_t max_reboots;     /* per step */
    int64_t kill_grace_ms;   /* between SIGTERM and SIGKILL */
    int64_t output_cap_mib;  /* per stream and attempt */
    int64_t retention_mib;   /* journal and job directories of finished jobs together */
    int64_t retention_files; /* files and directories of finished jobs */
    int64_t ledger_retention_days;
    int64_t backoff_cap_seconds;
    int64_t channel_grace_seconds, channel_fallback_seconds;
    int64_t upload_wait_seconds; /* for which answers wait for the output to be uploaded */
    char logs_endpoint[CONFIG_MAX_TEXT];
    char log_levels[128]; /* as --log; empty: not said here */
    char log_file[CONFIG_MAX_TEXT];
    int64_t log_file_max_mib, log_file_rolls;
    bool imds_v1;
    char ca_file[CONFIG_MAX_TEXT];
    char update_source[CONFIG_MAX_TEXT]; /* "": none */
    char update_root_file[CONFIG_MAX_TEXT];
    int64_t update_outage_hours;
    char update_package_manager[8];
    char update_window[16];
    int64_t update_proving_seconds, update_deadline_seconds;
    int64_t update_max_memory_mib; /* 0: no limit */
    int64_t update_keep_versions;
    char runner_path[CONFIG_MAX_TEXT];
    char download_path[CONFIG_MAX_TEXT];
    char stager_path[CONFIG_MAX_TEXT];
    char github_endpoint[CONFIG_MAX_TEXT];
    char boot_id_file[CONFIG_MAX_TEXT];
    char reboot_words[CONFIG_MAX_ARGV][CONFIG_MAX_TEXT];
    const char *reboot_argv[CONFIG_MAX_ARGV + 1]; /* into reboot_words; NULL-terminated */
};

enum config_type {
    CONFIG_TEXT,
    CONFIG_NUMBER,
    CONFIG_BOOL,
    CONFIG_LIST,
    CONFIG_WORDS,
    CONFIG_IDENTITIES
};

enum config_use {
    CONFIG_USED,
    CONFIG_UNUSED, /* accepted; changes nothing here, for the reason given */
    CONFIG_UNREAD, /* nor does anything in the reference read it */
};

#define CONFIG_LIVE 1u        /* a reload changes it; else it needs a restart */
#define CONFIG_KEEPS_EMPTY 2u /* "" is a value, not the default */
#define CONFIG_INPUT_FILE 4u  /* names a file that is read */
#define CONFIG_PROGRAM 8u     /* names a program that is run */
#define CONFIG_URL 16u        /* names a host */
#define CONFIG_REGION 32u
#define CONFIG_OURS 64u /* the reference does not know it */

/* A row of the table of keys. */
struct config_key {
    const char *section, *name;
    enum config_type type;
    enum config_use use;
    unsigned flags;
    size_t offset, size;         /* of the member in struct config; size 0: not kept */
    int64_t min, max, otherwise; /* of a number; `otherwise` of a boolean too */
    const char *text;            /* default of a text; of a list its items, ',' between them */
    const char *choices;         /* the values that are allowed, ',' between them; NULL: any */
    const char *note;            /* its effect, or why it has none */
};

extern const struct config_key config_keys[]; /* ends with a section of NULL */

enum config_severity {
    CONFIG_NOTE,    /* worth knowing; everything does what it says */
    CONFIG_WARNING, /* does not do what it says */
};

/* What there is to say about one place of the file. Borrowed for the call. */
struct config_finding {
    enum config_severity severity;
    const char *kind; /* "unknown-key", "wrong-type", ...: one word of a fixed set */
    int line;         /* from 1 */
    const char *key;  /* "Ssm.HealthFrequencyMinutes", as the table has it, or as written */
    const char *text; /* what is wrong */
    const char *used; /* the value in use instead; "" where the value stands, or there is none */
};
typedef void (*config_finding_fn)(void *ctx, const struct config_finding *finding);

/* Defaults; `program_dir` is where ssmd itself was started from and where its runner is looked for
 * first. */
void config_init(struct config *c, const char *program_dir);
/* Whole copy; a plain assignment would leave reboot_argv pointing into the other. */
void config_copy(struct config *dst, const struct config *src);

/* Lay a file's text over what *c holds. ERR_INVALID, ERR_LIMIT: not JSON, or not an object; the
 * text begins with `what` and names line and column, and *c is as before. Everything else is a
 * finding, in the order of lines (contradictions between keys come last), and a value that cannot
 * be used leaves what was there. As in the reference, case does not matter in names, null changes
 * nothing, and of several equal names the last counts. */
int config_parse(struct config *c, const char *text, size_t n, const char *what,
                 config_finding_fn found, void *ctx, struct err *err) MUST_CHECK;

/* For each key on which the two differ; with `live` the value of `next` is taken over where a
 * reload may change it, and is_taken says so. */
void config_diff(struct config *live, const struct config *next,
                 void (*differs)(void *ctx, const struct config_key *key, bool is_taken),
                 void *ctx);

/* The value of a key as text: for people and for comparing. Cut to the size. */
void config_value(const struct config *c, const struct config_key *key, char *ret, size_t size);

/* "1 to 60", "at least 8", "none, disk"; "" when anything goes. */
void config_bounds(const struct config_key *key, char *ret, size_t size);
bool config_is_bound(int64_t min_or_max);                   /* false: the reference has none */
bool config_is_ours(const struct config_key *key);          /* the reference does not know it */
const char *config_type_name(const struct config_key *key); /* "whole number", "text", ... */
const char *config_signing_region(const struct config *c);

/* "22:00-04:30" into minutes of the day; an end that is not after the begin is on the next day.
 * False: it is none. */
bool config_parse_window(const char *text, int *ret_from, int *ret_to) MUST_CHECK;

/* Can this file be read, or, a program, be run? fs_check_use() of base/fs.h. */
typedef int (*config_use_fn)(const char *path, bool is_program, struct err *err);

/* Ask can_use() of every file that is named in *c: a finding (line 1) for each that cannot be used.
 */
void config_check_files(const struct config *c, config_use_fn can_use, config_finding_fn found,
                        void *ctx);

#endif
