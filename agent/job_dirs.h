/* The job directories: how much each holds, and which may go.
 *
 * A directory is measured until its job is settled (over, reported, uploaded); after that nothing
 * writes there, and what was measured stays true. Measuring and removing are for the thread pool,
 * one of them at a time and never while the loop uses the struct; the rest is for the loop. */
#ifndef SSMD_AGENT_JOB_DIRS_H
#define SSMD_AGENT_JOB_DIRS_H

#include "journal/journal.h"

struct job_dir {
    char name[FSM_ID_SIZE]; /* the job's id */
    int64_t bytes, n_files; /* on the disk; files count directories, itself too */
    int64_t parts_bytes;    /* of the nested documents that go when it goes */
    int64_t settled;        /* number of its job's row in the ledger; 0: not settled yet */
    bool is_doomed;         /* to be removed */
};

/* The zero value is empty. */
struct job_dirs {
    struct job_dir *items; /* owned; in order of their names */
    size_t n;
    size_t turn;   /* where the next asking begins */
    bool has_more; /* it is worth while to ask again at once */
};

/* Thread pool. What is there; of settled ones the old figures. One that cannot be read is not
 * there. ERR_NOMEM. */
int job_dirs_measure(struct job_dirs *d, const char *path, struct err *err) MUST_CHECK;
/* How many there are, by their names alone: quick enough for the loop's thread at a start. */
int64_t job_dirs_there(const char *path);
/* Thread pool. Removes the doomed ones; the last failure. */
int job_dirs_remove(struct job_dirs *d, const char *path, struct err *err) MUST_CHECK;
void job_dirs_done(struct job_dirs *d);

/* Ask the journal for the directories that are not settled, a bounded number of them: settled ones
 * are noted, and those whose job was removed from it are doomed. */
void job_dirs_judge(struct job_dirs *d, struct journal *journal);
/* The journal has just removed this job. */
void job_dirs_doom(struct job_dirs *d, const char *job_id);
/* Settled jobs have, with `n_reserved` that others may leave (more than a half is none's), more
 * than three quarters of `max_files` (0: no limit): doom the oldest down to a half. */
void job_dirs_thin(struct job_dirs *d, int64_t max_files, int64_t n_reserved);
/* Of settled jobs and doomed ones, and of others. */
void job_dirs_files(const struct job_dirs *d, int64_t *ret_settled, int64_t *ret_others);
/* Of those that are not doomed. */
int64_t job_dirs_bytes(const struct job_dirs *d);
/* What would go with this job; doomed ones are gone already. */
int64_t job_dirs_bytes_of(const struct job_dirs *d, const char *job_id);
bool job_dirs_has_doomed(const struct job_dirs *d);
int64_t job_dirs_doomed_files(const struct job_dirs *d);

#endif
