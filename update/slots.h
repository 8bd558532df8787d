/* Version slots (docs/internals/update.md): directories that are complete, sealed and never
 * changed, and three links that say which is which. libc only: ssmd-updater links this. Any thread;
 * one writer, which holds the lock of the update directory or is the stager of the one update. */
#ifndef SSMD_UPDATE_SLOTS_H
#define SSMD_UPDATE_SLOTS_H

#include <stdint.h>

#include "base/err.h"
#include "base/version.h"

#define SLOTS_VERSION_SIZE VERSION_SIZE
#define SLOTS_MAX_FILES 256
#define SLOTS_MAX_BYTES (512ll << 20) /* of one slot */

enum slots_link { SLOTS_CURRENT, SLOTS_PROVEN, SLOTS_PREVIOUS, SLOTS_N_LINKS };

struct slots {
    int dir_fd;      /* /opt/ssmd; owned */
    int versions_fd; /* its versions/; owned */
};

/* Open <dir> (absolute) and its versions/, making both when `may_make`. Owner must be root or us,
 * nobody else may write there: ERR_STATE. ERR_NOT_FOUND: there are no slots on this machine.
 * slots_done(). A name in versions/ that begins with a dot is no slot: it is being made (by the
 * stager, in .<version>.new, renamed when it is sealed) or removed. */
int slots_open(const char *dir, bool may_make, struct slots *ret_slots, struct err *err) MUST_CHECK;
void slots_done(struct slots *s);

/* The version that a link names. ERR_NOT_FOUND: no such link; ERR_CORRUPT: it points elsewhere. */
int slots_get(const struct slots *s, enum slots_link which, char ret_version[SLOTS_VERSION_SIZE],
              struct err *err) MUST_CHECK;
/* Point it, atomically and synced; the slot must be there and sealed. Nothing happens when it
 * points there already. */
int slots_point(const struct slots *s, enum slots_link which, const char *version, struct err *err)
    MUST_CHECK;

/* Write <dirfd>/sealed over every file below dirfd, take write permission away, sync all of it. Who
 * dies in it does it again. ERR_INVALID: something there is no file or directory, has set-id bits
 * or belongs to somebody else; ERR_LIMIT. Who is not root can rename the directory in its place,
 * but not move it into another one from then on. */
int slots_seal(int dirfd, const char *version, const char *package_sha256, struct err *err)
    MUST_CHECK;
/* Compare the slot with its seal: every file, its mode, length and SHA-256, and no other file.
 * ERR_CORRUPT names the first difference. ERR_NOT_FOUND: no such slot. */
int slots_verify(const struct slots *s, const char *version, struct err *err) MUST_CHECK;

/* The version whose slot the running program (/proc/self/exe) is in. ERR_NOT_FOUND: in none, so a
 * package manager or a person put it where it is. */
int slots_own_version(const struct slots *s, char ret_version[SLOTS_VERSION_SIZE], struct err *err)
    MUST_CHECK;

/* fs_remove_tree() for what is sealed, by its owner who need not be root. */
int slots_remove_tree(int dirfd, const char *name, struct err *err) MUST_CHECK;

/* Remove what no link names, but for the `keep` newest. Best effort; what cannot be removed is in
 * *err. */
int slots_prune(const struct slots *s, unsigned keep, struct err *err) MUST_CHECK;

static inline void slots_done_cleanup(struct slots *s)
{
    slots_done(s);
}

#endif
