/* Files, opened relative to directory descriptors, never through a symbolic link. Any thread. */
#ifndef SSMD_BASE_FS_H
#define SSMD_BASE_FS_H

#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

/* Open a directory below dirfd (or AT_FDCWD) for use as a dirfd: O_DIRECTORY | O_NOFOLLOW |
 * O_CLOEXEC. */
int fs_open_dir(int dirfd, const char *name, int *ret_fd, struct err *err) MUST_CHECK;
/* As fs_open_dir, making it (mode 0700) if it is missing. Its owner must be us and no other user
 * may write to it, else ERR_STATE. */
int fs_make_dir(int dirfd, const char *name, int *ret_fd, struct err *err) MUST_CHECK;
/* Make every missing directory of an absolute or relative path (0700 each) and open the last one.
 * Existing parents may be links (they belong to whoever set the machine up); the last one may not.
 * What was made, and the last one in any case, is there after a loss of power too: the directories
 * above are synced. */
int fs_make_path(const char *path, int *ret_fd, struct err *err) MUST_CHECK;

/* Sync the `levels` directories above dirfd: only then do the names of dirfd and of those between
 * last. */
int fs_sync_above(int dirfd, int levels, struct err *err) MUST_CHECK;

/* The whole file into *ret_bytes (initialised by the caller, whose max is the bound). ERR_LIMIT
 * when larger. */
int fs_read_file(int dirfd, const char *name, struct buf *ret_bytes, struct err *err) MUST_CHECK;

/* The rest of what can be read from fd; `name` is for error texts. As fs_read_file(). */
int fs_read_fd(int fd, const char *name, struct buf *ret_bytes, struct err *err) MUST_CHECK;

/* Write <name> so that after a crash there is the old file, or none, or the whole new one:
 * temporary name, write, fsync, rename, fsync of dirfd. With is_synced false the two syncs are left
 * out (whole file or none as long as the machine stays up). Mode as given. */
int fs_write_atomic(int dirfd, const char *name, const void *bytes, size_t n, mode_t mode,
                    bool is_synced, struct err *err) MUST_CHECK;

/* As fs_write_atomic() (mode 0600, synced), with two differences. The file has `room` bytes (not
 * less than n), zeros behind the n, set aside on the disk: writing over them later needs nothing of
 * the disk but its time, and fdatasync() then syncs data alone. And the name is not synced: after a
 * crash the file may be called ".<name>.tmp" still, where a reader that finds it whole must take it
 * for <name>. That spares the file system a commit. */
int fs_write_atomic_with_room(int dirfd, const char *name, const void *bytes, size_t n, size_t room,
                              struct err *err) MUST_CHECK;

/* All n bytes to fd, through short writes and EINTR. */
int fs_write_all(int fd, const void *bytes, size_t n, struct err *err) MUST_CHECK;

/* Can the file at `path` (whole, or beginning with '.') be read, or, a program, be run and changed
 * by nobody but root and us? Links are followed. ERR_INVALID says why not. */
int fs_check_use(const char *path, bool is_program, struct err *err) MUST_CHECK;

/* Remove a file or a whole tree below dirfd, following nothing. Missing is success. */
int fs_remove_tree(int dirfd, const char *name, struct err *err) MUST_CHECK;

#endif
