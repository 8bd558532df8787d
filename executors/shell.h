/* aws:runShellScript and aws:runPowerShellScript: from checked inputs to a step's spec, and from a
 * step's outcome to status and code. Spec 04 section 6, spec 03 section 7.2. No I/O but to ask
 * whether a directory exists. Any thread. */
#ifndef SSMD_EXECUTORS_SHELL_H
#define SSMD_EXECUTORS_SHELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "executors/steps.h"

#define SHELL_FAILURE_PREFIX "failed to run commands: "
#define SHELL_DEFAULT_CAP_BYTES (UINT64_C(64) << 20)
#define SHELL_SPOOL_CAP_BYTES (UINT64_C(2) << 30) /* where S3 output is asked for */
#define SHELL_GRACE_MS 2000 /* the reference has none; a script gets a moment to tidy up */

enum shell_kind { SHELL_SH, SHELL_POWERSHELL };

struct shell_variable {
    const char *name, *value;
};

/* All borrowed for the call. What is NULL is left out. */
struct shell_request {
    enum shell_kind kind;
    const char *script; /* the lines, each with its LF */
    size_t script_len;
    int64_t timeout_s;                        /* outside 5 .. 172800: 3600 */
    const char *working_directory;            /* input; NULL is "" */
    const struct shell_variable *environment; /* input */
    size_t n_environment;

    const char *step_dir;      /* absolute: where steps.h will put the script (steps_path()) */
    const char *downloads_dir; /* absolute: where the command's downloads are, or would be */
    bool is_noexec;            /* shell_is_noexec() of the directory of jobs */
    const char *powershell;    /* absolute path; NULL: shell_find_powershell("") */
    uint64_t cap_bytes;        /* 0: SHELL_DEFAULT_CAP_BYTES */
    int64_t grace_ms;          /* below 0: SHELL_GRACE_MS */

    /* NULL-terminated NAME=value, normally environ; credentials in it are left out */
    const char *const *base_environment;
    const char *command_id; /* SSM_COMMAND_ID */
    const char *aws_profile, *aws_credentials_file;
    const char *instance_id, *region, *platform_name, *platform_version; /* AWS_SSM_x */
};

/* What a step_spec points into. */
struct shell_spec;

/* ERR_NOMEM, ERR_LIMIT (a path that is too long). The caller owns *ret_spec: shell_spec_free(). */
int shell_make_spec(const struct shell_request *q, struct shell_spec **ret_spec, struct err *err)
    MUST_CHECK;
void shell_spec_free(struct shell_spec *s);
/* Everything but key and boot_id, which are the caller's to fill. Valid as long as `s`. */
void shell_spec_fill(const struct shell_spec *s, struct step_spec *ret_spec);

/* True when programs cannot be executed from this directory (its mount has `noexec`). */
bool shell_is_noexec(const char *dir);
/* /usr/bin/powershell if it is there, else /usr/bin/pwsh; below `root` ("" for the machine). The
 * text is static. To be asked once, at the agent's start. */
const char *shell_find_powershell(const char *root);

/* How users know an outcome. */
struct shell_result {
    const char *status;    /* a plugin status of spec 03 section 7.1; static */
    int code;              /* as sent: may be -1 */
    uint64_t stdout_bytes; /* of the files: the part that belongs into a reply */
    uint64_t stderr_bytes;
};

/* For a STEP_ENDED outcome. */
struct shell_result shell_result_of(const struct step_outcome *outcome);

DEFINE_AUTO(struct shell_spec *, shell_spec_free)

#endif
