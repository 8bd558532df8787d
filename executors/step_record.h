/* Reading the records of a step's directory: what the agent and the runner must see alike. libc
 * only: the runner links this. Any thread. */
#ifndef SSMD_EXECUTORS_STEP_RECORD_H
#define SSMD_EXECUTORS_STEP_RECORD_H

#include <stdbool.h>

#include "base/record.h"
#include "executors/step_dir.h"

/* The record of that kind in the file `name`: of `exit` from its offset, of any other from the
 * file's begin; each ends where a NUL stands. Errors: ERR_NOT_FOUND (no such file), ERR_CORRUPT (no
 * such record in it, or a torn one), ERR_NEWER, ERR_INVALID, ERR_IO. On success the caller owns
 * *ret_record: record_done(). */
int step_record_read(int dirfd, const char *name, const char *kind, struct record *ret_record,
                     struct err *err) MUST_CHECK;

/* Is there a record of the start, under either of its names? Under the first it counts when it is
 * whole: a torn one was never synced, and the script waits for the sync. Under its own it counts
 * whatever it says, and so does what cannot be read. */
bool step_record_is_started(int dirfd);

#endif
