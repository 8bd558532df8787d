/* The table of verbs. What `ssmctl help` prints, what the manual page lists and what the shell
 * completes is this and nothing else. */
#include "ctl/ctl.h"
#include "schema/release.h"

#define NO_OPTION                                                                                  \
    {                                                                                              \
        NULL, '\0', NULL, NULL                                                                     \
    }

static const struct ctl_option jobs_options[] = {
    {"all", 'a', NULL, "jobs that have ended and were reported, too"},
    {"state", '\0', "STATE", "only jobs in this state (running, queued, reporting, done, ...)"},
    {"limit", 'n', "N", "at most N jobs, the newest; default 50"},
    NO_OPTION,
};

static const struct ctl_option logs_options[] = {
    {"follow", 'f', NULL, "go on until the job's last step has ended"},
    {"step", '\0', "N", "of this step only; steps are numbered from 0, as `show` prints them"},
    {"stdout", '\0', NULL, "standard output only"},
    {"stderr", '\0', NULL, "standard error only"},
    NO_OPTION,
};

static const struct ctl_option run_options[] = {
    {"param", 'p', "NAME=VALUE", "give a parameter of the document; may be repeated"},
    {"detach", 'd', NULL, "print the job's id and do not wait for it"},
    NO_OPTION,
};

static const struct ctl_option update_options[] = {
    {"to", '\0', "VERSION", "to this version, or stable; default latest"},
    {"check", '\0', NULL, "only say what is there, and why not"},
    {"dry-run", '\0', NULL, "only say what would be done"},
    {"allow-downgrade", '\0', NULL, "to an older version too"},
    {"when-idle", '\0', "MINUTES", "wait for commands to end, at most so long"},
    {"force", '\0', NULL, "though the service is out of reach"},
    {"detach", 'd', NULL, "print the update's id and do not wait for it"},
    NO_OPTION,
};

static const struct ctl_option export_options[] = {
    {"format", '\0', "FORMAT", "jsonl: one JSON object a line (the default); html: a page"},
    NO_OPTION,
};

static const struct ctl_option fsm_options[] = {
    {"dot", '\0', NULL, "for Graphviz"},
    {"mermaid", '\0', NULL, "for Mermaid (the default)"},
    NO_OPTION,
};

static const struct ctl_option root_options[] = {
    {"root-key", '\0', "FILE", "a key (PEM, public or private) that signs roots; may be repeated"},
    {"release-key", '\0', "FILE", "a key that signs manifests; may be repeated"},
    {"timestamp-key", '\0', "FILE", "a key that signs timestamps; may be repeated"},
    {"root-threshold", '\0', "N", "how many of the root keys must sign; default: more than half"},
    {"release-threshold", '\0', "N", "how many of the release keys must sign; likewise"},
    {"timestamp-threshold", '\0', "N", "how many of the timestamp keys must sign; likewise"},
    {"days", '\0', "N", "how long it is valid; default 365"},
    NO_OPTION,
};

#define VERSION_OPTIONS                                                                            \
    {"status", '\0', "STATUS", "Active (the default), Inactive or Deprecated"},                    \
        {"rollout", '\0', "PERCENT", "of the nodes that are offered it unasked; default 100"},     \
        {"not-before", '\0', "TIME",                                                               \
         "not installed before, as 2026-01-31T12:00:00Z; \"\": at once"},                          \
        {"minimum-source", '\0', "VERSION", "the lowest version that may be updated to it"},       \
    {                                                                                              \
        "days", '\0', "N", "how long the manifest is valid; default 90"                            \
    }

static const struct ctl_option add_options[] = {
    {"version", '\0', "VERSION", "the package's version, where its name does not have it"},
    VERSION_OPTIONS,
    NO_OPTION,
};

static const struct ctl_option set_options[] = {
    {"floor", '\0', "VERSION", "the lowest version that anybody may install; \"\": any"},
    {"uri-format", '\0', "FORMAT", "where packages are; default " RELEASE_DEFAULT_URI_FORMAT},
    VERSION_OPTIONS,
    NO_OPTION,
};

static const struct ctl_option sign_options[] = {
    {"key", 'k', "FILE", "a private key (PEM) to sign with; may be repeated"},
    NO_OPTION,
};

static const struct ctl_option timestamp_options[] = {
    {"key", 'k', "FILE", "a private key (PEM) of the role timestamp; may be repeated"},
    {"days", '\0', "N", "how long it is valid; default 7"},
    NO_OPTION,
};

static const struct ctl_option verify_options[] = {
    {"trust", '\0', "FILE", "the root file of a machine; default DIR/1.root.json"},
    {"at", '\0', "TIME", "as a machine would at that time, as 2026-01-31T12:00:00Z"},
    NO_OPTION,
};

const struct ctl_verb ctl_verbs[] = {
    {"status", "", 0, 0, NULL, ctl_run_status,
     "the agent's state, what runs, what waits to be reported, what went wrong last",
     "ssmd is not running, or its journal takes no new work", NULL},
    {"jobs", "[-a|--all] [--state STATE] [-n|--limit N]", 0, 0, jobs_options, ctl_run_jobs,
     "list jobs, newest first; without --all those that have not ended", NULL, NULL},
    {"show", "JOB", 1, 1, NULL, ctl_run_show, "one job: its steps and its history, event by event",
     "there is no such job", "JOB is a job's id, or as much of its beginning as no other job has."},
    {"logs", "JOB [-f|--follow] [--step N] [--stdout|--stderr]", 1, 1, logs_options, ctl_run_logs,
     "print what a job's steps wrote", "there is no such job, or no such step",
     "Standard output goes to standard output, standard error to standard error."},
    {"cancel", "JOB", 1, 1, NULL, ctl_run_cancel, "ask ssmd to cancel a job",
     "there is no such job, or it has ended", NULL},
    {"run", "FILE [-p|--param NAME=VALUE]... [-d|--detach]", 1, 1, run_options, ctl_run_run,
     "run a document on this machine and follow its output",
     "the document was refused, or its result is not Success",
     "FILE is a command document in JSON or YAML; - reads it from standard input.\n"
     "An interrupt (Ctrl-C) ends the following, not the job: `ssmctl cancel JOB` does that."},
    {"update",
     "[--to VERSION] [--check] [--dry-run] [--allow-downgrade] [--when-idle MINUTES] [--force] "
     "[-d|--detach]",
     0, 0, update_options, ctl_run_update, "update ssmd, and follow it until the new version stays",
     "it failed or was rolled back; with --check or --dry-run: it would not be installed",
     "An interrupt (Ctrl-C) ends the following, not the update: `ssmctl cancel` does that, before "
     "it\n"
     "has switched."},
    {"audit verify", "", 0, 0, NULL, ctl_run_audit_verify,
     "check the journal's chains of hashes and name the first row that does not fit",
     "the journal was changed, or is damaged", NULL},
    {"audit export", "[--format jsonl|html]", 0, 0, export_options, ctl_run_audit_export,
     "print the whole history, one JSON object a line or as a page", NULL, NULL},
    {"config check", "[FILE]", 0, 1, NULL, ctl_run_config_check,
     "explain each line of a configuration that will not do what it says",
     "there is a warning, or the file is not JSON",
     "Without FILE the one that ssmd would read. Works without ssmd.\n"
     "A warning is a line that does not do what it says; a note does no harm."},
    {"config keys", "", 0, 0, NULL, ctl_run_config_keys,
     "list every key of the configuration with its default, its bounds and its effect", NULL, NULL},
    {"node", "", 0, 0, NULL, ctl_run_node, "who this node is, and what the service is told of it",
     NULL, "Its --json has the keys of the reference's `ssm-cli get-instance-information`."},
    {"doctor", "", 0, 0, NULL, ctl_run_doctor,
     "look at everything that must be right for this node to serve, and say what to try",
     "something is wrong", "Works without ssmd, and changes nothing."},
    {"release keygen", "FILE", 1, 1, NULL, ctl_run_release_keygen,
     "make a key that signs releases: FILE and FILE.pub", NULL,
     "A file that is there is left alone."},
    {"release root",
     "DIR [--root-key FILE]... [--release-key FILE]... [--timestamp-key FILE]... "
     "[--root-threshold N] [--release-threshold N] [--timestamp-threshold N] [--days N]",
     1, 1, root_options, ctl_run_release_root,
     "draft the root of an update source: the first, or the one that follows", NULL,
     "A role without keys keeps those it has. Give machines DIR/1.root.json."},
    {"release add",
     "DIR FILE [--version VERSION] [--status STATUS] [--rollout PERCENT] [--not-before TIME] "
     "[--minimum-source VERSION] [--days N]",
     2, 2, add_options, ctl_run_release_add,
     "add a package file to the manifest's draft, and copy it into DIR",
     "it is no package, or its version is published with another content",
     "FILE is named ssmd-VERSION-linux-ARCH.tar.gz, or ssmd-linux-ARCH.tar.gz with --version."},
    {"release set",
     "DIR [VERSION] [--status STATUS] [--rollout PERCENT] [--not-before TIME] "
     "[--minimum-source VERSION] [--floor VERSION] [--uri-format FORMAT] [--days N]",
     1, 2, set_options, ctl_run_release_set,
     "change what the manifest says of a version, or only renew it", "there is no such version",
     NULL},
    {"release sign", "DIR [root|manifest] -k|--key FILE", 1, 2, sign_options, ctl_run_release_sign,
     "sign a draft; each key holder may do so in turn",
     "there is no draft, or the key does not count for it",
     "A root that enough have signed is published at once, a manifest by `release timestamp`."},
    {"release timestamp", "DIR -k|--key FILE [--days N]", 1, 1, timestamp_options,
     ctl_run_release_timestamp, "publish the manifest, or say that it is still the newest",
     "there is no manifest", "To be called again before it expires."},
    {"release verify", "DIR [--trust FILE] [--at TIME]", 1, 1, verify_options,
     ctl_run_release_verify, "look at an update source as a machine would, and at its packages",
     "a machine would not believe it", NULL},
    {"release show", "DIR", 1, 1, NULL, ctl_run_release_show,
     "what an update source says: keys, versions, until when", "it has no root", NULL},
    {"fsm", "[MACHINE] [--dot|--mermaid]", 0, 1, fsm_options, ctl_run_fsm,
     "draw the state machine that really runs; without MACHINE list them",
     "there is no such machine", NULL},
    {"help", "[VERB]", 0, 2, NULL, ctl_run_help, "what the verbs do, or one of them in full",
     "there is no such verb", NULL},
    {"version", "", 0, 0, NULL, ctl_run_version, "print the version", NULL, NULL},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL},
};
