/* Updates through the package manager that owns ssmd's files (docs/internals/update.md): which one
 * that is, and the effects install, stop, look and restart of the update machine. What it is asked
 * is in update_package.sh, run below ssmd-runner. The loop's thread. */
#ifndef SSMD_AGENT_UPDATE_PACKAGE_H
#define SSMD_AGENT_UPDATE_PACKAGE_H

#include "agent/engine_internal.h"

/* Who owns the running program. */
struct package_owner {
    char manager[16];       /* apt-get, dnf, yum, zypper; "": nobody that is known */
    char program[PATH_MAX]; /* the file that runs, or was there when it was started */
    char file[PATH_MAX];    /* the same as the package calls it: without `root` */
};

/* update_package.sh. */
extern const char update_package_script[];

/* Looks at a few files; `root` is "" for the machine's own. Whether it truly owns the file is asked
 * of it before anything is done. */
void package_owner_find(const char *root, struct package_owner *ret_owner);
/* What somebody types who updates it by hand. Static. */
const char *package_owner_command(const struct package_owner *o);
/* ... who mends what an update to `version` has left in `state` (struct package_found). */
#define PACKAGE_REPAIR_SIZE 72
void package_repair_command(const char *manager, const char *state, const char *version,
                            char ret_text[PACKAGE_REPAIR_SIZE]);

/* Of the machine's table. */
void update_package_perform(struct engine *e, struct job *job, const struct fsm_effect *fx,
                            bool is_restart);
void update_package_probe(struct engine *e, struct job *job, const struct fsm_effect *fx);
/* Once a second, while such an effect is open. */
void update_package_look(struct engine *e, struct job *job, const struct fsm_effect *fx);
/* The end of a directory of an update's, as steps.h tells it. */
void update_package_ended(struct engine *e, struct job *job, const struct step_key *key,
                          enum step_answer answer, const struct step_outcome *outcome);

/* What `look` found, against what was wanted. Pure. */
struct package_found {
    char state[32];    /* as dpkg calls it: installed, half-configured, ...; missing, twice */
    char version[128]; /* of the package, with its revision */
    char program[64];  /* that the program says it is; "": it says nothing */
};
enum package_verdict { PACKAGE_DONE, PACKAGE_UNCHANGED, PACKAGE_BROKEN };
/* ERR_CORRUPT: not three lines. */
int package_found_parse(const char *text, struct package_found *ret_found, struct err *err)
    MUST_CHECK;
enum package_verdict package_judge(const struct package_found *f, const char *from, const char *to);

#endif
