/* What agent and runner tell each other through a step's directory, jobs/<job>/<step>.<attempt>/
 * (architecture, sections 9.2 to 9.4): names of files, keys of records, exit statuses of the
 * runner. Shared by both programs; nothing here may change its meaning without a new
 * RECORD_VERSION, since a runner outlives the agent that started it.
 *
 * Order of events. The agent writes the script, then starts the runner, which reads the record
 * `spec` from its standard input. The runner locks the directory itself (flock), looks for
 * `started`, `exit`, `void` and `cancel`, syncs `started`, and only then lets the script be
 * executed; it syncs the outputs and then `exit`. Hence: no `started` means that nothing of the
 * script ever ran; `started` without `exit` and with a free lock means that nobody saw the end.
 *
 * Each file is there for a reason: to make one is among the dearest things that a short step does.
 */
#ifndef SSMD_EXECUTORS_STEP_DIR_H
#define SSMD_EXECUTORS_STEP_DIR_H

/* Files. */
#define STEP_FILE_STARTED "started" /* record, by the runner, synced: the script may have begun */
/* ... and its first name: it has the other once it is synced. A whole record counts under either.
 */
#define STEP_FILE_STARTED_TEMP ".started.tmp"
#define STEP_FILE_EXIT "exit" /* record, by the runner, synced: how it ended */
#define STEP_FILE_VOID "void" /* record, by who holds the lock, synced: must never begin */
/* record, by the agent: stop it; SIGUSR1 to the runner follows */
#define STEP_FILE_CANCEL "cancel"
#define STEP_FILE_STDOUT "stdout" /* these two are made at their first byte */
#define STEP_FILE_STDERR "stderr"

/* `started` has room set aside for `exit`, so that a full disk cannot hinder it: the record of the
 * end is written behind that of the start, synced, and then the file gets its new name. An `exit`
 * without a start has nothing before this offset. */
#define STEP_EXIT_OFFSET 4096

/* What to run: a record that the runner finds on its standard input, in memory only, since it holds
 * the script's environment. */
#define STEP_RECORD_SPEC "spec"

/* Each record's kind is its file's name. Times: *_unix_ms wall clock, *_boottime_ms CLOCK_BOOTTIME.
 * start_time: clock ticks after boot, field 22 of /proc/PID/stat. */

/* spec */
#define STEP_KEY_ARGV "argv"           /* one or more, in order; [0] is looked up in PATH */
#define STEP_KEY_ENV "env"             /* any number of NAME=value: the whole environment */
#define STEP_KEY_CWD "cwd"             /* absolute */
#define STEP_KEY_LIMIT_MS "limit_ms"   /* from the start of the script; 0: none */
#define STEP_KEY_GRACE_MS "grace_ms"   /* between SIGTERM and SIGKILL */
#define STEP_KEY_CAP_BYTES "cap_bytes" /* of each output file */
#define STEP_KEY_NOFILE "nofile"       /* soft limit of descriptors; absent: the runner's */
/* directory of the group below which the step gets its own; "": no such groups here; absent: below
 * the runner's */
#define STEP_KEY_CGROUP_PARENT "cgroup_parent"
#define STEP_KEY_FAILURE_PREFIX "failure_prefix" /* absent: nothing is appended to stderr */

/* spec, started, exit */
#define STEP_KEY_BOOT_ID "boot_id"

/* started */
#define STEP_KEY_PID "pid" /* of the script's process: leader of its session and process group */
#define STEP_KEY_START_TIME "start_time"
#define STEP_KEY_RUNNER_PID "runner_pid"
#define STEP_KEY_RUNNER_START_TIME "runner_start_time"
#define STEP_KEY_CGROUP "cgroup" /* absolute path of the directory; absent: none could be made */

/* started, exit */
#define STEP_KEY_STARTED_UNIX_MS "started_unix_ms"
#define STEP_KEY_STARTED_BOOTTIME_MS "started_boottime_ms"

/* cancel */
#define STEP_KEY_REASON "reason" /* STEP_REASON_x */
#define STEP_REASON_CANCELLED "cancelled"
#define STEP_REASON_TIMED_OUT "timed_out"

/* exit */
#define STEP_KEY_OUTCOME "outcome" /* a name from STEP_ENDS */
#define STEP_KEY_CODE "code"       /* exited: 0..255, else -1 */
#define STEP_KEY_SIGNAL "signal"   /* signaled: its number, else 0 */
/* as waitpid gave it; -1: the process never began, or is unkillable */
#define STEP_KEY_WAIT_STATUS "wait_status"
#define STEP_KEY_TEXT "text" /* "exit status 3", "signal: killed", "working directory ..." */
/* 0: stopped or failed before the script was executed */
#define STEP_KEY_WAS_STARTED "was_started"
#define STEP_KEY_ENDED_UNIX_MS "ended_unix_ms"
#define STEP_KEY_ENDED_BOOTTIME_MS "ended_boottime_ms"
#define STEP_KEY_STDOUT_BYTES "stdout_bytes"           /* in the file */
#define STEP_KEY_STDOUT_TOTAL "stdout_total"           /* written by the script */
#define STEP_KEY_STDOUT_SHA256 "stdout_sha256"         /* of the file */
#define STEP_KEY_STDOUT_AT_STOP "stdout_bytes_at_stop" /* in the file when a stop began */
#define STEP_KEY_STDERR_BYTES "stderr_bytes"
#define STEP_KEY_STDERR_TOTAL "stderr_total"
#define STEP_KEY_STDERR_SHA256 "stderr_sha256"
#define STEP_KEY_STDERR_AT_STOP "stderr_bytes_at_stop"
/* bytes at the file's end that are the runner's */
#define STEP_KEY_STDERR_APPENDED "stderr_appended"
#define STEP_KEY_OUTPUT_LOST "output_lost" /* bytes below the cap that could not be written */
#define STEP_KEY_UNKILLED "unkilled"       /* processes still alive 5 s after SIGKILL */

/* How a step ended: enumerator, text name. */
#define STEP_ENDS(X)                                                                               \
    X(STEP_END_EXITED, "exited")                                                                   \
    X(STEP_END_SIGNALED, "signaled")   /* by a signal that was not ours */                         \
    X(STEP_END_TIMED_OUT, "timed_out") /* stopped by its limit */                                  \
    X(STEP_END_CANCELLED, "cancelled") /* stopped by a cancel */                                   \
    X(STEP_END_START_FAILED, "start_failed")

enum step_end {
#define STEP_END_ENUM_(code, name) code,
    STEP_ENDS(STEP_END_ENUM_)
#undef STEP_END_ENUM_
        STEP_END_COUNT_
};

/* Exit statuses of the runner. For all but RUNNER_DONE and RUNNER_DIR_GONE it executed
 * nothing. */
enum runner_status {
    RUNNER_DONE = 0,        /* `exit` is written */
    RUNNER_HELD = 3,        /* another runner holds the lock */
    RUNNER_BEGUN = 4,       /* `started`, `exit` or `void` is there */
    RUNNER_BAD_SPEC = 5,    /* no usable `spec` */
    RUNNER_NOT_STARTED = 6, /* the records cannot be written (disk full?), so nothing was begun */
    RUNNER_DIR_GONE = 7,    /* the directory was removed while the script ran */
    RUNNER_USAGE = 100,
    RUNNER_SYSTEM = 111, /* any other system call, before the script began */
};

#endif
