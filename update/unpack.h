/* A package (a gzip-compressed tar archive) into a directory: regular files and directories with
 * names from a short list of letters, and nothing else whatever the archive asks for. The bytes are
 * a stranger's until the caller has compared their hash; even then a package that is not what a
 * release makes is refused as a whole, never repaired. Any thread. */
#ifndef SSMD_UPDATE_UNPACK_H
#define SSMD_UPDATE_UNPACK_H

#include <stdint.h>

#include "base/err.h"

#define UNPACK_MAX_NAME 200
#define UNPACK_MAX_DEPTH 8

struct unpack_limits {
    int64_t max_bytes;    /* of all files together */
    unsigned max_entries; /* files and directories */
};

struct unpack_count {
    int64_t bytes;
    unsigned entries;
};

/* Unpack what `fd` holds from its present offset on into the directory `dirfd`, which is empty and
 * nobody else's. Directories become 0755, files 0755 (when the archive lets their owner execute
 * them) or 0644, all ours. Nothing is synced. On failure what was unpacked so far is left: the
 * caller removes the directory.
 * ERR_CORRUPT: the archive is damaged; ERR_REFUSED: it holds what no package may; ERR_LIMIT: more
 * than the limits; ERR_FULL, ERR_IO: our disk. */
int unpack_package(int fd, int dirfd, const struct unpack_limits *limits,
                   struct unpack_count *ret_count, struct err *err) MUST_CHECK;

#endif
