/* A loop, a directory of jobs and real runners, for the suites of the executors. Waiting is running
 * the loop until the event came; a watchdog fails the test instead of letting it hang. */
#ifndef SSMD_TESTS_STEP_WORLD_H
#define SSMD_TESTS_STEP_WORLD_H

#include <stdbool.h>

#include "executors/steps.h"

#define WORLD_BOOT_ID "boot-of-the-tests"
#define WORLD_PREFIX "failed to run commands: "

struct world {
    uv_loop_t loop;
    struct steps *steps;
    char dir[64];
    size_t n_ended;
    enum step_answer answer; /* of the last one */
    struct step_outcome outcome;
    char ended_job[STEP_JOB_ID_MAX + 1];
};

/* What differs from step to step; zero: an hour, no grace, 1 MiB. */
struct world_step {
    const char *job; /* NULL: "job" */
    const char *script;
    const char *cwd;
    const char *program; /* NULL: sh -c <script> */
    int64_t limit_ms, grace_ms;
    uint64_t cap_bytes;
};

void world_init(struct world *w, bool without_pidfd);
void world_done(struct world *w); /* kills no runner */
/* As a restart of the agent: another steps object on the same directories. */
void world_restart(struct world *w, const char *boot_id, bool without_pidfd);

struct step_key world_key(const struct world_step *step);
void world_start(struct world *w, const struct world_step *step);
void world_attach(struct world *w, const struct world_step *step);
enum step_answer world_stop(struct world *w, const struct world_step *step,
                            enum step_stop_reason reason);
enum step_answer world_probe(struct world *w, const struct world_step *step);
/* Run the loop until n more steps have ended. */
void world_wait(struct world *w, size_t n);
/* Run the loop until the step's stdout holds this text. */
void world_wait_output(struct world *w, const struct world_step *step, const char *text);
/* start and wait(1) */
void world_run(struct world *w, const struct world_step *step);

/* An output file, or any other of the step's files, as text; the caller frees it. */
char *world_file(struct world *w, const struct world_step *step, const char *name);
/* A file as the runner lays it out: the record of the start, and that of the end in its place. */
void world_write_records(struct world *w, const struct world_step *step, const char *name,
                         const char *started, const char *exited);
/* A whole `exit` whose record is `text`. */
void world_write_exit(struct world *w, const struct world_step *step, const char *text);
void world_write_file(struct world *w, const struct world_step *step, const char *name,
                      const char *text);
pid_t world_runner_pid(struct world *w, const struct world_step *step);
/* Processes with this text in their command line, ourselves excepted. */
size_t world_count_processes(const char *text);
void world_kill_processes(const char *text);
void world_wait_processes(struct world *w, const char *text, size_t n);

#endif
