/* A control group (v2) of its own for each step, where the machine lets us make one: it names every
 * process of the tree, also those that left their session, and kills them at one stroke. Best
 * effort: everything works without. Linked by the runner (libc only) and the agent. Any thread. */
#ifndef SSMD_EXECUTORS_CGROUP_H
#define SSMD_EXECUTORS_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

#define CGROUP_STEP_PREFIX "ssmd-step-"

/* The directory of the group that this process is in. ERR_UNSUPPORTED: no cgroup v2 here. */
int cgroup_find_own(char ret_path[PATH_MAX], struct err *err) MUST_CHECK;
/* Make the group `name` below that of the directory `parent`. ERR_IO: not allowed (no delegation).
 */
int cgroup_make(const char *parent, const char *name, char ret_path[PATH_MAX], struct err *err)
    MUST_CHECK;
int cgroup_add(const char *path, pid_t pid, struct err *err) MUST_CHECK;
/* SIGKILL all that is in it, as far as that goes: cgroup.kill (Linux 5.14), else one by one.
 * Whether anybody is left is for cgroup_has_processes(). */
void cgroup_kill(const char *path);
/* False also when it is gone or cannot be read. */
bool cgroup_has_processes(const char *path);
/* Processes that are left (daemons that the script meant to leave behind) go to the group above,
 * where they would be without us; then the group is removed. */
void cgroup_remove(const char *path);

/* Remove the empty groups CGROUP_STEP_PREFIX* below that of the directory `parent`: what runners
 * left that were killed. A group with processes stays. */
void cgroup_sweep(const char *parent);

/* The two /proc files taken apart: directory of this process's group in the cgroup v2 mount.
 * Exposed for tests. ERR_UNSUPPORTED. */
int cgroup_find(const char *self_cgroup, const char *mountinfo, char ret_path[PATH_MAX],
                struct err *err) MUST_CHECK;

#endif
