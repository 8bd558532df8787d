/* The agent's half of running steps: makes a step's directory, starts its runner, watches it from
 * the loop, finds it again after a restart, stops it, and reads what it left (architecture,
 * sections 9.2 to 9.5; step_dir.h for the files).
 *
 * The loop's thread. Nothing here waits: files are small and unsynced except `void`. Runners do not
 * belong to this object: freeing it leaves them running, and another one can attach to them. */
#ifndef SSMD_EXECUTORS_STEPS_H
#define SSMD_EXECUTORS_STEPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "executors/step_dir.h"

#define STEP_JOB_ID_MAX 128

/* Names the directory <jobs_dir>/<job_id>/<step>.<attempt>/. */
struct step_key {
    const char *job_id; /* a safe name (base/str.h) of 1..STEP_JOB_ID_MAX characters; borrowed */
    int step;           /* >= 0 */
    int attempt;        /* >= 0 */
};

/* All borrowed for the call. */
struct step_spec {
    struct step_key key;
    const char *const *argv; /* NULL-terminated; [0] is looked up in the agent's PATH */
    const char *const *env;  /* NULL-terminated NAME=value: the whole environment */
    const char *cwd;         /* absolute; must exist when the script starts */
    const char *script_name; /* file in the step's directory (a safe name), mode 0700; NULL: none */
    const char *script;
    size_t script_len;
    int64_t limit_ms;           /* 0: none */
    int64_t grace_ms;           /* between SIGTERM and SIGKILL when stopped */
    uint64_t cap_bytes;         /* of each output file */
    const char *boot_id;        /* of now */
    const char *failure_prefix; /* NULL: nothing is appended to stderr */
};

enum step_answer {
    STEP_NOT_BEGUN, /* nothing of it ever ran (said only by who held the lock) */
    STEP_RUNNING,
    STEP_ENDED, /* `exit` is there: the outcome is filled */
    STEP_VOID,  /* stopped before it began; it can never begin */
    STEP_LOST,  /* it began, and nobody saw its end */
};

enum step_stop_reason { STEP_STOP_CANCELLED, STEP_STOP_TIMED_OUT };

enum step_stream { STEP_STDOUT, STEP_STDERR };

struct step_stream_outcome {
    uint64_t bytes;   /* in the file */
    uint64_t total;   /* what the script wrote; more than `bytes`: over the cap, or lost */
    uint64_t at_stop; /* in the file when a stop began: what users know as the output; equal to
                         `bytes` without `appended` when there was none */
    char sha256[SHA256_HEX_SIZE]; /* of the file */
};

/* For STEP_ENDED all of it. For STEP_LOST text (why), started_*, boot_id as far as `started` tells
 * them, else 0 and "". */
struct step_outcome {
    enum step_end end;
    int was_started; /* 0: stopped or failed before the script was executed */
    int code;        /* STEP_END_EXITED: 0..255; else -1 */
    int signal;      /* STEP_END_SIGNALED; else 0 */
    int wait_status; /* as waitpid gave it, or -1 */
    char text[512];  /* "exit status 3", "signal: killed", "working directory /x: No such ..." */
    char boot_id[BOOT_ID_SIZE];
    int64_t started_unix_ms, started_boottime_ms;
    int64_t ended_unix_ms, ended_boottime_ms;
    struct step_stream_outcome out, err;
    uint64_t stderr_appended; /* bytes at stderr's end that are the runner's words */
    uint64_t output_lost;     /* bytes below the cap that the disk did not take */
    int64_t unkilled;         /* processes that SIGKILL did not end */
};

/* The end of a step that was started or attached: exactly one call, from the loop, never from
 * within a function of this header. `key` and `outcome` are borrowed; every answer but STEP_RUNNING
 * is possible; `outcome` is filled as said at struct step_outcome; for NOT_BEGUN and VOID it is
 * zero but for `text`, which says why where that is known. The functions of this header may be
 * called from it, steps_free() too. */
struct steps_events {
    void (*ended)(void *ctx, const struct step_key *key, enum step_answer answer,
                  const struct step_outcome *outcome);
    void *ctx;
};

struct steps_options {
    const char *jobs_dir;    /* absolute; made if missing; copied */
    const char *runner_path; /* absolute path of ssmd-runner; copied */
    const char *boot_id;     /* of now; copied */
    struct steps_events events;
    int64_t child_nofile; /* soft limit of descriptors that scripts get; 0: as the agent's. For an
                             agent that raised its own */
    bool without_pidfd;   /* tests: as on Linux before 5.3 */
};

struct steps;

/* ERR_INVALID, ERR_IO, ERR_NOMEM. The caller owns *ret_steps: steps_free(). `loop` outlives it. */
int steps_new(uv_loop_t *loop, const struct steps_options *options, struct steps **ret_steps,
              struct err *err) MUST_CHECK;
/* Forgets all steps without a further event; runners go on. Handles close with the loop's next
 * turns, so run the loop once more before uv_loop_close(). */
void steps_free(struct steps *s);
/* Steps started or attached whose end was not told yet. */
size_t steps_n_running(const struct steps *s);

/* What became of a step, from lock and records alone. *ret_outcome (may be NULL) is filled for
 * ENDED and LOST. LOST leaves what remains of the tree alone: steps_attach() ends it. ERR_INVALID
 * (key), ERR_IO, ERR_NEWER (a later version's records). */
int steps_probe(struct steps *s, const struct step_key *key, enum step_answer *ret_answer,
                struct step_outcome *ret_outcome, struct err *err) MUST_CHECK;

/* Make a step's directory, empty, before it is promised that the step will be started. From then on
 * a directory that is not there in the same boot was removed by somebody: steps_has_dir() tells the
 * two apart. */
int steps_prepare(struct steps *s, const struct step_key *key, struct err *err) MUST_CHECK;
/* False only when it is certain that there is none. */
bool steps_has_dir(struct steps *s, const struct step_key *key);
/* A step whose directory was removed can only be found by its runner's command line: SIGKILL to it
 * and all below it. Returns how many processes there were. */
size_t steps_kill_orphans(struct steps *s, const struct step_key *key);

/* Write directory and script, start the runner with the spec, watch it. ERR_EXISTS: that step is
 * watched already. On any failure nothing runs. A step that has begun before is not run again: its
 * end is told. */
int steps_start(struct steps *s, const struct step_spec *spec, struct err *err) MUST_CHECK;

/* Watch a step whatever its state; its end is told by the event, as after steps_start(). Of a LOST
 * step the remains are killed first (control group; else session and start time; only within the
 * same boot). ERR_EXISTS: watched already. */
int steps_attach(struct steps *s, const struct step_key *key, struct err *err) MUST_CHECK;

/* Stop a step. Not begun: `void` is synced, and the answer is STEP_VOID. Running: the runner is
 * told (SIGTERM, grace, SIGKILL to the whole tree), the answer is STEP_RUNNING, and the event
 * follows for who watches it. Else ENDED, VOID or LOST, and nothing is done. May be repeated. */
int steps_stop(struct steps *s, const struct step_key *key, enum step_stop_reason reason,
               enum step_answer *ret_answer, struct err *err) MUST_CHECK;

/* Append to *ret_bytes (initialised by the caller) the first max_bytes of an output file. A file
 * that is not there is empty. ERR_IO, ERR_LIMIT. */
int steps_read_output(struct steps *s, const struct step_key *key, enum step_stream stream,
                      size_t max_bytes, struct buf *ret_bytes, struct err *err) MUST_CHECK;
/* The output file itself, read-only, for uploads and followers; the caller owns *ret_fd.
 * ERR_NOT_FOUND. */
int steps_open_output(struct steps *s, const struct step_key *key, enum step_stream stream,
                      int *ret_fd, struct err *err) MUST_CHECK;

/* Path of a step's directory, for the script's command line. ERR_INVALID, ERR_LIMIT. */
int steps_path(const struct steps *s, const struct step_key *key, char *ret_path, size_t size,
               struct err *err) MUST_CHECK;

DEFINE_AUTO(struct steps *, steps_free)

#endif
