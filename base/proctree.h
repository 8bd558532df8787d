/* Processes as /proc tells of them: identity by pid and start time, and signals to whole trees.
 * Linked by the runner and the updater (libc only), and the agent. A pid is never signalled on its
 * number alone: its start time is compared after a pidfd has pinned it (without pidfds: just
 * before). Any thread. */
#ifndef SSMD_BASE_PROCTREE_H
#define SSMD_BASE_PROCTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct proc {
    pid_t pid, ppid, session;
    uint64_t start_time; /* clock ticks after boot */
    char state;          /* R S D Z ... */
    bool is_chosen;      /* by one of the calls below */
};

/* A look at all processes at one time. */
struct proc_table {
    struct proc *items; /* owned; ascending by pid */
    size_t n, cap;
};

/* One process. ERR_NOT_FOUND when there is none (any more), ERR_IO. */
int proc_read(pid_t pid, struct proc *ret_proc, struct err *err) MUST_CHECK;
/* True while exactly this process exists and is not a zombie. */
bool proc_is_alive(pid_t pid, uint64_t start_time);

/* pidfd_open(2), or -1 with errno (ENOSYS before Linux 5.3). Close-on-exec. */
int proc_open_pidfd(pid_t pid);
/* As kill(2), to what the pidfd is of: -1 with errno. */
int proc_signal_pidfd(int pidfd, int sig);
/* Signal exactly this process. ERR_NOT_FOUND: it is gone; ERR_SYSTEM. */
int proc_signal(pid_t pid, uint64_t start_time, int sig, struct err *err) MUST_CHECK;

int proc_table_read(struct proc_table *ret_table, struct err *err) MUST_CHECK;
void proc_table_done(struct proc_table *t);
static inline void proc_table_done_cleanup(struct proc_table *t)
{
    proc_table_done(t);
}

/* Choose the members of the session whose leader had this number and this start time, whether it
 * lives or not (0: not known). None where the number is another process's by now. */
void proc_table_choose_session(struct proc_table *t, pid_t session, uint64_t start_time);
/* Choose one process by its pid. */
void proc_table_choose(struct proc_table *t, pid_t pid);
/* Choose everything below `root` (not itself) and everything below what is chosen already.
 * root 0: only the latter. */
void proc_table_choose_below(struct proc_table *t, pid_t root);
/* Signal all that is chosen, zombies excepted. Returns how many were there to be signalled. */
size_t proc_table_signal(const struct proc_table *t, int sig);

#endif
