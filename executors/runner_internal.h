/* Inside of ssmd-runner: the parts of one run, in the order in which they act. One thread. */
#ifndef SSMD_EXECUTORS_RUNNER_INTERNAL_H
#define SSMD_EXECUTORS_RUNNER_INTERNAL_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/record.h"
#include "base/sha256.h"
#include "executors/step_dir.h"

/* One of the script's two outputs: from a pipe, up to a cap, to a file. Nothing that happens to the
 * file ever holds the script up. */
struct stream {
    int pipe_fd;       /* our end, non-blocking; -1 after the end of file */
    int dirfd;         /* where the file is made when there is something to write */
    const char *name;  /* of the file; static */
    int file_fd;       /* -1: not made yet, or closed */
    uint64_t cap;      /* most bytes of the script's that the file gets */
    uint64_t bytes;    /* in the file, `appended` included */
    uint64_t total;    /* what the script wrote */
    uint64_t lost;     /* below the cap, but the file did not take it */
    uint64_t at_stop;  /* `bytes` when a stop began */
    uint64_t appended; /* our own words at the file's end */
    int n_tries;       /* to make the file, which failed for want of something */
    int64_t retry_ms;  /* boot time: nothing is read before the next try; 0: no want */
    bool has_failed;   /* the file could not be made, or a write failed: it ends there, so that it
                          holds no gap */
    struct sha256 sha;
    char sha256_hex[SHA256_HEX_SIZE]; /* set by stream_end() */
};

struct run {
    int dirfd; /* the step's directory; locked until the process ends */

    /* From the spec. */
    struct record spec;                 /* owned until the script was forked */
    char **argv, **env;                 /* owned arrays into `spec` */
    const char *cwd;                    /* into `spec` */
    const char *cgroup_parent;          /* into `spec`; NULL: not told */
    int64_t limit_ms, grace_ms, nofile; /* nofile -1: leave it */
    uint64_t cap_bytes;
    char failure_prefix[128];
    char boot_id[BOOT_ID_SIZE];

    /* The script's process. */
    pid_t pid; /* 0: none */
    uint64_t start_time;
    uint64_t own_start_time; /* the runner's; with `pid` */
    int gate_fd; /* our end of the child's gate; -1 once it is executing or has failed to */
    char cgroup[PATH_MAX];                        /* "" when there is none */
    int64_t started_unix_ms, started_boottime_ms; /* 0: never released */
    struct stream out, err;

    /* How it ended. */
    enum step_end end;
    int wait_status; /* -1: never seen */
    int64_t n_unkilled;
    char text[512];
};

/* runner_spec.c: fill the part "From the spec", out of standard input. */
int run_read_spec(struct run *run, struct err *err) MUST_CHECK;
void run_free_spec(struct run *run);

/* runner_output.c */
/* Make a pipe; *ret_write_fd is the script's end, which the caller closes. The file comes with the
 * first byte. */
int stream_open(struct stream *s, int dirfd, const char *name, uint64_t cap, int *ret_write_fd,
                struct err *err) MUST_CHECK;
/* One read; at the end of file closes pipe_fd. Where the file cannot be made now, nothing is read
 * and retry_ms is set. */
void stream_pump(struct stream *s);
void stream_drain(struct stream *s);     /* what lies in the pipe now, and no more */
void stream_mark_stop(struct stream *s); /* drain, then remember at_stop */
void stream_append(struct stream *s, const char *text);
/* Sync, close and hash both, and sync their names in their directory: what `exit` tells of them
 * must be there whenever it is. */
void streams_end(struct stream *out, struct stream *err);

/* runner_child.c */
/* Fork the script's process. It stands still before its gate, in a session (and a cgroup, where
 * possible) of its own, until child_release(); when we die before that, it ends by itself. */
int child_fork(struct run *run, int stdout_fd, int stderr_fd, struct err *err) MUST_CHECK;
/* It says that the parents of the step's directory are synced. Else as errno tells. */
int child_await_ready(const struct run *run, struct err *err) MUST_CHECK;
void child_release(struct run *run);
/* The gate became readable: true when the script could not be executed; run->text says why. */
bool child_start_failed(struct run *run);
void run_close_from(unsigned first); /* every descriptor from this one on */
void child_discard(struct run *run); /* never released: end and reap it */

/* runner_watch.c: from the release to the end; fills "How it ended". */
int watch_open(struct err *err) MUST_CHECK; /* before child_release() */
void watch_run(struct run *run);
/* 1: `cancel` is there, and its reason. 0: it is not. Negative: that cannot be seen now. */
int watch_look_for_cancel(const struct run *run, enum step_end *ret_end, struct err *err)
    MUST_CHECK;

/* runner_records.c */
int records_write_started(const struct run *run, struct err *err) MUST_CHECK;
/* For a step that never began: tried once, since nothing is lost. */
int records_write_unbegun(const struct run *run, struct err *err) MUST_CHECK;
/* Tries until it succeeds. False only when the directory itself is gone. */
bool records_write_exit(const struct run *run) MUST_CHECK;

#endif
