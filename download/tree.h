/* What was fetched as a tree of files (git): its modes, and its move to the destination. By
 * descriptors: no symbolic link is followed on either side. */
#ifndef SSMD_DOWNLOAD_TREE_H
#define SSMD_DOWNLOAD_TREE_H

#include "base/err.h"

/* Regular files get mode 0700 (spec 04, section 8.7). Takes dirfd over. ERR_IO. */
int tree_set_modes(int dirfd, struct err *err) MUST_CHECK;
/* Everything in fromfd, under its name, into destfd (`dest` for people). By rename; to another file
 * system as a copy, which gets its name when all of it is there. A directory that is there already
 * is not replaced. ERR_IO, ERR_LIMIT. */
int tree_move(int fromfd, int destfd, const char *dest, struct err *err) MUST_CHECK;

#endif
