/* The update source that ssmhub serves: the files below a directory, as they are. Nothing of it is
 * signed or checked here; whoever fetches it checks it (docs/release-format.md). Main thread. */
#ifndef SSMD_HUB_UPDATES_H
#define SSMD_HUB_UPDATES_H

#include <stdint.h>

#include "base/err.h"

#define UPDATES_PATH "/updates/"

/* The directory that --updates names; the caller owns *ret_fd. */
int updates_open(const char *path, int *ret_fd, struct err *err) MUST_CHECK;

/* A file below dirfd, by its decoded path there. No link is followed, no name begins with a dot.
 * ERR_NOT_FOUND: there is no such file, or it is none to be served. The caller owns *ret_fd. */
int updates_find(int dirfd, const char *path, int *ret_fd, int64_t *ret_size_bytes, struct err *err)
    MUST_CHECK;

#endif
