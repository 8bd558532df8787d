/* Where downloads go (spec 04, sections 8.2 and 8.3). A file appears under its name when all of it
 * is there; nothing below the destination is reached through a symbolic link, and no name that
 * comes from outside leaves it. */
#ifndef SSMD_DOWNLOAD_DEST_H
#define SSMD_DOWNLOAD_DEST_H

#include <limits.h>
#include <stdbool.h>

#include "base/err.h"

/* It exists and is a directory, or ends in a slash. */
bool dest_is_directory(const char *dest);
/* Make the directory, and those above it that are missing (0700), and open it. A symbolic link of
 * another user's is followed only to what belongs to the same user (ERR_STATE). */
int dest_open_dir(const char *dest, int *ret_fd, struct err *err) MUST_CHECK;

struct dest_file {
    int fd, dirfd; /* owned; -1: none */
    char name[NAME_MAX + 1], temporary[64];
};

/* Begin a file: `dest` itself with `below` NULL, else a path below the directory `dest`, whose
 * missing parents are made. ERR_INVALID: a part of `below` is empty, "." or "..", or has a NUL. */
int dest_begin(const char *dest, const char *below, struct dest_file *ret_file, struct err *err)
    MUST_CHECK;
/* Forget what was written so far. */
int dest_restart(struct dest_file *f, struct err *err) MUST_CHECK;
int dest_write(struct dest_file *f, const void *bytes, size_t n, struct err *err) MUST_CHECK;
/* Give it its name, mode 0700. */
int dest_commit(struct dest_file *f, struct err *err) MUST_CHECK;
/* What was not committed is removed. */
void dest_done(struct dest_file *f);

/* All of it at once. */
int dest_put(const char *dest, const char *below, const void *bytes, size_t n, struct err *err)
    MUST_CHECK;

static inline void dest_done_cleanup(struct dest_file *f)
{
    dest_done(f);
}

#endif
