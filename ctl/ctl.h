/* What the verbs of ssmctl share: one table of verbs, one context, one list of exit codes. A verb
 * is a function of its context and prints to c->out; what it cannot do it returns as an error, and
 * ctl_main() alone prints that. One thread. */
#ifndef SSMD_CTL_CTL_H
#define SSMD_CTL_CTL_H

#include <stdbool.h>
#include <stdio.h>

#include "base/paths.h"

enum ctl_exit {
    CTL_OK = 0,
    CTL_NO = 1,       /* the answer is no: not found, failed, not running, not intact */
    CTL_USAGE = 100,  /* the command line cannot be understood */
    CTL_SYSTEM = 111, /* a system call, a file or ssmd failed: trying again may help */
};

/* An option of a verb. Lists of options end with a name of NULL. */
struct ctl_option {
    const char *name;  /* "limit" is given as --limit */
    char letter;       /* 'f' is given as -f; 0: none */
    const char *value; /* word for the help text; NULL: takes no value */
    const char *help;
};

struct ctl_given {
    const struct ctl_option *option;
    const char *value; /* borrowed from argv; NULL for an option without one */
};

struct ctl {
    struct paths paths;
    bool is_json;
    FILE *out, *err; /* borrowed */
    const char *const *args;
    size_t n_args; /* within the verb's range */
    const struct ctl_given *given;
    size_t n_given;
    bool has_begun; /* a JSON document: no other may follow it */
};

/* One row per verb: dispatch, `help`, the manual page's list (checked by tests/lint) and the shell
 * completion come from it. Names may have two words. */
struct ctl_verb {
    const char *name;
    const char *synopsis; /* of its arguments and options; "" when there are none */
    size_t min_args, max_args;
    const struct ctl_option *options; /* NULL: none */
    /* CTL_OK, CTL_NO, or a negative enum err_code with *err filled. */
    int (*run)(struct ctl *c, struct err *err);
    const char *help;      /* one line */
    const char *says_no;   /* when its exit status is 1; NULL: never */
    const char *more_help; /* further lines for `help VERB`, or NULL */
};

extern const struct ctl_verb ctl_verbs[]; /* ends with a name of NULL */

/* A whole run of ssmctl. Returns its exit status (enum ctl_exit). Nothing is printed but to `out`
 * and `err`, and nothing is kept between calls. */
int ctl_main(int argc, char *const argv[], FILE *out, FILE *err);

/* Was the option given? / Its last value, or `otherwise`. */
bool ctl_has(const struct ctl *c, const char *option);
const char *ctl_value(const struct ctl *c, const char *option, const char *otherwise);
/* Its value as a number in [min, max], or `otherwise`. ERR_USAGE. */
int ctl_value_i64(const struct ctl *c, const char *option, int64_t min, int64_t max,
                  int64_t otherwise, int64_t *ret_value, struct err *err) MUST_CHECK;

/* Begin the JSON document on c->out. If the verb fails later, the document is cut off there; if it
 * fails before, ctl_main() prints one that says so. */
struct jsonw;
void ctl_begin_json(struct ctl *c, struct jsonw *w);

/* ssmd, beside this program, where packages and where a build put it. False: it is not there. */
bool ctl_find_ssmd(char *ret_path, size_t size);

/* Two different things may not be asked for at once. ERR_USAGE names both. */
int ctl_not_both(const struct ctl *c, const char *a, const char *b, struct err *err) MUST_CHECK;

int ctl_run_status(struct ctl *c, struct err *err);
int ctl_run_jobs(struct ctl *c, struct err *err);
int ctl_run_show(struct ctl *c, struct err *err);
int ctl_run_logs(struct ctl *c, struct err *err);
int ctl_run_cancel(struct ctl *c, struct err *err);
int ctl_run_run(struct ctl *c, struct err *err);
int ctl_run_update(struct ctl *c, struct err *err);
int ctl_run_audit_verify(struct ctl *c, struct err *err);
int ctl_run_audit_export(struct ctl *c, struct err *err);
int ctl_run_config_check(struct ctl *c, struct err *err);
int ctl_run_config_keys(struct ctl *c, struct err *err);
int ctl_run_node(struct ctl *c, struct err *err);
int ctl_run_doctor(struct ctl *c, struct err *err);
int ctl_run_release_keygen(struct ctl *c, struct err *err);
int ctl_run_release_root(struct ctl *c, struct err *err);
int ctl_run_release_add(struct ctl *c, struct err *err);
int ctl_run_release_set(struct ctl *c, struct err *err);
int ctl_run_release_sign(struct ctl *c, struct err *err);
int ctl_run_release_timestamp(struct ctl *c, struct err *err);
int ctl_run_release_verify(struct ctl *c, struct err *err);
int ctl_run_release_show(struct ctl *c, struct err *err);
int ctl_run_fsm(struct ctl *c, struct err *err);
int ctl_run_help(struct ctl *c, struct err *err);
int ctl_run_version(struct ctl *c, struct err *err);

#endif
