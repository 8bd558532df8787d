/* A file that the log goes to besides its descriptor, rolled by size: FILE, FILE.1 (the newest that
 * is full), FILE.2, ... One writer. Main thread. */
#ifndef SSMD_BASE_LOG_FILE_H
#define SSMD_BASE_LOG_FILE_H

#include <stdint.h>

#include "base/err.h"

/* Open `path` for appending (0640), making directories that are missing; "" ends it. A directory
 * that any user may write to is refused: another could put a link there. On failure there is no
 * file. ERR_IO, ERR_STATE. */
int log_file_open(const char *path, int64_t max_bytes, int64_t n_rolls, struct err *err) MUST_CHECK;
/* Other bounds from now on. */
void log_file_set_bounds(int64_t max_bytes, int64_t n_rolls);
/* Another program moved the file away (logrotate): open it anew. */
int log_file_reopen(struct err *err) MUST_CHECK;
/* For log_line(). A line that cannot be written is lost here; it stands on the descriptor. */
void log_file_write(const char *line, size_t n);

#endif
