/* Inside of steps: the directory's records on one side, the watching on the other. */
#ifndef SSMD_EXECUTORS_STEPS_INTERNAL_H
#define SSMD_EXECUTORS_STEPS_INTERNAL_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/proctree.h"
#include "executors/steps.h"

/* Who must be gone before a step is told as lost. */
struct remains {
    pid_t pid; /* 0: unknown, or of another boot */
    uint64_t start_time;
    char cgroup[PATH_MAX]; /* "": none */
    int64_t give_up_ms;    /* boot time */
};

enum watch_state {
    WATCH_LOOK,    /* look at the directory at `due_ms` */
    WATCH_PIDFD,   /* the runner's pidfd tells */
    WATCH_PID,     /* without pidfds: SIGCHLD, or a look each second */
    WATCH_REMAINS, /* the runner died; its tree is being killed */
};

/* A step whose end is to be told. Owned by the list; with an open handle, by the loop. */
struct watched {
    struct steps *owner;
    struct watched *next;
    char job_id[STEP_JOB_ID_MAX + 1];
    int step, attempt;
    enum watch_state state;
    int64_t due_ms; /* LOOK, REMAINS: boot time of the next look */
    int n_failed;   /* looks that failed in a row */
    pid_t pid;      /* of the runner */
    uint64_t start_time;
    bool is_child;     /* ours to reap, and not reaped */
    int runner_status; /* wait status of our own runner, or -1 */
    int pidfd;         /* -1: none */
    bool has_poll;     /* `poll` is initialised */
    uv_poll_t poll;
    struct remains *remains;      /* owned; REMAINS only */
    struct step_outcome *outcome; /* owned; REMAINS only: what will be told */
};

struct steps {
    uv_loop_t *loop;
    char jobs_dir[PATH_MAX], runner_path[PATH_MAX], boot_id[BOOT_ID_SIZE];
    char cgroup[PATH_MAX]; /* the directory of our own, "": none of version 2 */
    struct steps_events events;
    int64_t child_nofile;
    bool without_pidfd, is_closing, is_ticking;
    int jobs_fd;
    struct watched *first;
    size_t n_watched;
    size_t n_handles; /* open: memory goes with the last of them */
    uv_timer_t timer;
    uv_signal_t sigchld;
};

/* steps_dir.c: one step's directory, no loop. */
int step_dir_check_key(const struct step_key *key, struct err *err) MUST_CHECK;
int step_dir_open(int jobs_fd, const struct step_key *key, int *ret_fd, struct err *err) MUST_CHECK;
int step_dir_make(int jobs_fd, const struct step_key *key, int *ret_fd, struct err *err) MUST_CHECK;
/* The script into the directory, the rest into memory: *ret_fd, the caller's, is the runner's
 * standard input. */
int step_dir_write_spec(int dirfd, const struct step_spec *spec, int64_t nofile, const char *cgroup,
                        int *ret_fd, struct err *err) MUST_CHECK;
/* What became of it. *ret_lock_fd: for NOT_BEGUN, VOID and LOST the lock, held, and the caller's;
 * else -1. */
int step_dir_look(int dirfd, enum step_answer *ret_answer, struct step_outcome *ret_outcome,
                  int *ret_lock_fd, struct err *err) MUST_CHECK;
/* The runner that holds the lock, by its record `started`. ERR_NOT_FOUND: it has not written that
 * yet, and will look for `cancel` after it has. */
int step_dir_holder(int dirfd, pid_t *ret_pid, uint64_t *ret_start_time, struct err *err)
    MUST_CHECK;
/* Whom `started` names, if that was in this boot. All zero otherwise. */
void step_dir_remains(int dirfd, const char *boot_id, struct remains *ret_remains);

/* steps_watch.c */
int watch_init(struct steps *s, struct err *err) MUST_CHECK;
void watch_close(struct steps *s); /* all of it; frees s in the end */
struct watched *watch_find(const struct steps *s, const struct step_key *key);
/* Begin to watch, with a look at the directory in the loop's next turn; unless watch_child() says
 * that it is this child of ours, or watch_forget() that it is nothing at all. */
int watch_add(struct steps *s, const struct step_key *key, struct watched **ret_watched,
              struct err *err) MUST_CHECK;
void watch_child(struct watched *w, pid_t pid);
void watch_forget(struct watched *w);

#endif
