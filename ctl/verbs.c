/* The table of verbs. What `ssmctl help` prints, what the manual page lists and what the shell
 * completes is this and nothing else. */
#include "ctl/ctl.h"

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

static const struct ctl_option export_options[] = {
    {"format", '\0', "FORMAT", "jsonl: one JSON object a line (the default); html: a page"},
    NO_OPTION,
};

static const struct ctl_option fsm_options[] = {
    {"dot", '\0', NULL, "for Graphviz"},
    {"mermaid", '\0', NULL, "for Mermaid (the default)"},
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
    {"fsm", "[MACHINE] [--dot|--mermaid]", 0, 1, fsm_options, ctl_run_fsm,
     "draw the state machine that really runs; without MACHINE list them",
     "there is no such machine", NULL},
    {"help", "[VERB]", 0, 2, NULL, ctl_run_help, "what the verbs do, or one of them in full",
     "there is no such verb", NULL},
    {"version", "", 0, 0, NULL, ctl_run_version, "print the version", NULL, NULL},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL},
};
