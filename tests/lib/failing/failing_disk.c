/* A disk that takes nothing any more: no blocks, no inodes, errors, read-only. Only what lies below
 * the control file's root is on it.
 *
 * Without blocks (FAILING_SPACE), what was allocated can be written over, as on ext4 and xfs, and
 * what is cut off or removed can be had again. Without inodes, files can grow. On a disk that fails
 * or is read-only nothing changes at all. */
#include "tests/lib/failing/failing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))
#define BLOCK 4096
#define REAL(result, name, parameters)                                                             \
    static result(*real) parameters;                                                               \
                                                                                                   \
    if (real == NULL)                                                                              \
    *(void **)&real = failing_next(#name)

static bool is_meant(uint32_t kinds)
{
    return failing_control != NULL && (failing_control->calls & kinds) != 0;
}

static int64_t blocks_up(int64_t n)
{
    return (n + BLOCK - 1) / BLOCK * BLOCK;
}

static void give_back(int64_t bytes)
{
    if (bytes > 0 && is_meant(FAILING_SPACE))
        (void)__atomic_add_fetch(&failing_control->room_bytes, bytes, __ATOMIC_ACQ_REL);
}

/* From what was given back; false: there is not enough. */
static bool take_room(int64_t bytes)
{
    int64_t left = __atomic_sub_fetch(&failing_control->room_bytes, bytes, __ATOMIC_ACQ_REL);

    if (left >= 0)
        return true;
    (void)__atomic_add_fetch(&failing_control->room_bytes, bytes, __ATOMIC_ACQ_REL);
    return false;
}

/* Something that needs `bytes` more of the disk. */
static bool lacks_room(int64_t bytes, const char *name, const char *path)
{
    int before = errno;

    if (bytes <= 0)
        return false;
    if (failing_is_down(FAILING_SPACE) && take_room(bytes))
        return false;
    errno = before;
    return failing_fails(FAILING_SPACE, ENOSPC, name, path);
}

/* How much more of the disk a file takes once it reaches `end`. */
static int64_t growth(int fd, int64_t end)
{
    struct stat st;
    int64_t has;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    has = blocks_up((int64_t)st.st_size);
    if ((int64_t)st.st_blocks * 512 > has)
        has = (int64_t)st.st_blocks * 512;
    return blocks_up(end) - has;
}

static bool is_ours(int fd, char ret_path[FAILING_PATH_SIZE])
{
    return failing_path_of(fd, ret_path) && failing_is_below_root(ret_path);
}

static bool write_fails(int fd, int64_t offset, size_t n, const char *name)
{
    char path[FAILING_PATH_SIZE];
    int before = errno;
    struct stat st;
    bool fails;

    if (!is_meant(FAILING_SPACE | FAILING_DISK) || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
        !is_ours(fd, path)) {
        errno = before;
        return false;
    }
    if (offset < 0)
        offset = (fcntl(fd, F_GETFL) & O_APPEND) != 0 ? (int64_t)st.st_size
                                                      : (int64_t)lseek(fd, 0, SEEK_CUR);
    errno = before;
    fails = is_meant(FAILING_DISK) ? failing_fails(FAILING_DISK, EIO, name, path)
                                   : lacks_room(growth(fd, offset + (int64_t)n), name, path);
    return fails;
}

PUBLIC ssize_t write(int fd, const void *bytes, size_t n)
{
    REAL(ssize_t, write, (int, const void *, size_t));
    return write_fails(fd, -1, n, "write") ? -1 : real(fd, bytes, n);
}

PUBLIC ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset)
{
    REAL(ssize_t, pwrite, (int, const void *, size_t, off_t));
    return write_fails(fd, offset, n, "pwrite") ? -1 : real(fd, bytes, n, offset);
}

PUBLIC ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t offset)
{
    REAL(ssize_t, pwrite64, (int, const void *, size_t, off64_t));
    return write_fails(fd, offset, n, "pwrite") ? -1 : real(fd, bytes, n, offset);
}

PUBLIC ssize_t writev(int fd, const struct iovec *parts, int n_parts)
{
    size_t n = 0;
    int i;

    REAL(ssize_t, writev, (int, const struct iovec *, int));
    for (i = 0; i < n_parts; i++)
        n += parts[i].iov_len;
    return write_fails(fd, -1, n, "writev") ? -1 : real(fd, parts, n_parts);
}

/* Another size: more is a write, less gives room back. */
static bool size_fails(int fd, off64_t size, const char *name, int64_t *ret_freed)
{
    char path[FAILING_PATH_SIZE];
    int before = errno;
    struct stat st;

    *ret_freed = 0;
    if (is_meant(FAILING_SPACE) && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && is_ours(fd, path))
        *ret_freed = (int64_t)st.st_blocks * 512 - blocks_up(size);
    errno = before;
    /* A longer file without blocks needs none. */
    return is_meant(FAILING_DISK) && is_ours(fd, path) &&
           failing_fails(FAILING_DISK, EIO, name, path);
}

static int note_size(int result, int64_t freed)
{
    if (result == 0)
        give_back(freed);
    return result;
}

PUBLIC int ftruncate(int fd, off_t size)
{
    int64_t freed;

    REAL(int, ftruncate, (int, off_t));
    return size_fails(fd, size, "ftruncate", &freed) ? -1 : note_size(real(fd, size), freed);
}

PUBLIC int ftruncate64(int fd, off64_t size)
{
    int64_t freed;

    REAL(int, ftruncate64, (int, off64_t));
    return size_fails(fd, size, "ftruncate", &freed) ? -1 : note_size(real(fd, size), freed);
}

PUBLIC int fallocate(int fd, int mode, off_t offset, off_t n)
{
    REAL(int, fallocate, (int, int, off_t, off_t));
    return write_fails(fd, offset, (size_t)n, "fallocate") ? -1 : real(fd, mode, offset, n);
}

static bool sync_fails(int fd, const char *name)
{
    char path[FAILING_PATH_SIZE];

    /* What is synced on a read-only disk was synced before. */
    return is_meant(FAILING_DISK) && failing_control->error != EROFS && is_ours(fd, path) &&
           failing_fails(FAILING_DISK, EIO, name, path);
}

PUBLIC int fsync(int fd)
{
    REAL(int, fsync, (int));
    return sync_fails(fd, "fsync") ? -1 : real(fd);
}

PUBLIC int fdatasync(int fd)
{
    REAL(int, fdatasync, (int));
    return sync_fails(fd, "fdatasync") ? -1 : real(fd);
}

/* ---- names ---- */

/* A new name, and with it an inode and (of a directory) a block. */
static bool make_fails(int dirfd, const char *name, int64_t bytes, const char *call)
{
    char path[FAILING_PATH_SIZE];
    int before = errno;
    bool is_there;

    if (!is_meant(FAILING_SPACE | FAILING_INODES | FAILING_DISK) ||
        !failing_path_at(dirfd, name, path) || !failing_is_below_root(path)) {
        errno = before;
        return false;
    }
    is_there = faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    errno = before;
    if (is_meant(FAILING_DISK))
        return failing_fails(FAILING_DISK, EIO, call, path);
    if (is_there)
        return false;
    return is_meant(FAILING_INODES) ? failing_fails(FAILING_INODES, ENOSPC, call, path)
                                    : lacks_room(bytes, call, path);
}

/* A name that is moved or goes. */
static bool change_fails(int dirfd, const char *name, const char *call)
{
    char path[FAILING_PATH_SIZE];
    int before = errno;

    if (!is_meant(FAILING_DISK) || !failing_path_at(dirfd, name, path) ||
        !failing_is_below_root(path)) {
        errno = before;
        return false;
    }
    return failing_fails(FAILING_DISK, EIO, call, path);
}

static bool open_fails(int dirfd, const char *name, int flags, const char *call)
{
    bool writes = (flags & O_ACCMODE) != O_RDONLY;
    char path[FAILING_PATH_SIZE];
    int before = errno;

    if (is_meant(FAILING_OPEN))
        return failing_fails(FAILING_OPEN, EMFILE, call, name);
    if ((flags & O_CREAT) != 0)
        return make_fails(dirfd, name, 0, call);
    if (!writes || !is_meant(FAILING_DISK) || failing_control->error != EROFS ||
        !failing_path_at(dirfd, name, path) || !failing_is_below_root(path)) {
        errno = before;
        return false;
    }
    return failing_fails(FAILING_DISK, EROFS, call, path);
}

static mode_t mode_of(int flags, va_list ap)
{
    return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(ap, mode_t) : 0;
}

#define OPEN_AT(name)                                                                              \
    PUBLIC int name(int dirfd, const char *path, int flags, ...)                                   \
    {                                                                                              \
        va_list ap;                                                                                \
        mode_t mode;                                                                               \
                                                                                                   \
        REAL(int, name, (int, const char *, int, ...));                                            \
        va_start(ap, flags);                                                                       \
        mode = mode_of(flags, ap);                                                                 \
        va_end(ap);                                                                                \
        return open_fails(dirfd, path, flags, "open") ? -1 : real(dirfd, path, flags, mode);       \
    }
#define OPEN(name)                                                                                 \
    PUBLIC int name(const char *path, int flags, ...)                                              \
    {                                                                                              \
        va_list ap;                                                                                \
        mode_t mode;                                                                               \
                                                                                                   \
        REAL(int, name, (const char *, int, ...));                                                 \
        va_start(ap, flags);                                                                       \
        mode = mode_of(flags, ap);                                                                 \
        va_end(ap);                                                                                \
        return open_fails(AT_FDCWD, path, flags, "open") ? -1 : real(path, flags, mode);           \
    }
OPEN_AT(openat)
OPEN_AT(openat64)
OPEN(open)
OPEN(open64)

PUBLIC DIR *opendir(const char *path)
{
    REAL(DIR *, opendir, (const char *));
    return failing_fails(FAILING_OPEN, EMFILE, "opendir", path) ? NULL : real(path);
}

PUBLIC FILE *fopen(const char *path, const char *mode)
{
    REAL(FILE *, fopen, (const char *, const char *));
    return failing_fails(FAILING_OPEN, EMFILE, "fopen", path) ? NULL : real(path, mode);
}

PUBLIC FILE *fopen64(const char *path, const char *mode)
{
    REAL(FILE *, fopen64, (const char *, const char *));
    return failing_fails(FAILING_OPEN, EMFILE, "fopen", path) ? NULL : real(path, mode);
}

PUBLIC int mkdir(const char *path, mode_t mode)
{
    REAL(int, mkdir, (const char *, mode_t));
    return make_fails(AT_FDCWD, path, BLOCK, "mkdir") ? -1 : real(path, mode);
}

PUBLIC int mkdirat(int dirfd, const char *path, mode_t mode)
{
    REAL(int, mkdirat, (int, const char *, mode_t));
    return make_fails(dirfd, path, BLOCK, "mkdir") ? -1 : real(dirfd, path, mode);
}

PUBLIC int rename(const char *from, const char *to)
{
    REAL(int, rename, (const char *, const char *));
    return change_fails(AT_FDCWD, to, "rename") ? -1 : real(from, to);
}

PUBLIC int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    REAL(int, renameat, (int, const char *, int, const char *));
    return change_fails(to_fd, to, "rename") ? -1 : real(from_fd, from, to_fd, to);
}

static int64_t bytes_of(int dirfd, const char *name)
{
    int before = errno;
    struct stat st;
    char path[FAILING_PATH_SIZE];
    int64_t n = 0;

    if (is_meant(FAILING_SPACE) && fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(st.st_mode) && st.st_nlink == 1 && failing_path_at(dirfd, name, path) &&
        failing_is_below_root(path))
        n = (int64_t)st.st_blocks * 512;
    errno = before;
    return n;
}

PUBLIC int unlinkat(int dirfd, const char *path, int flags)
{
    int64_t freed = bytes_of(dirfd, path);

    REAL(int, unlinkat, (int, const char *, int));
    return change_fails(dirfd, path, "unlink") ? -1 : note_size(real(dirfd, path, flags), freed);
}

PUBLIC int unlink(const char *path)
{
    int64_t freed = bytes_of(AT_FDCWD, path);

    REAL(int, unlink, (const char *));
    return change_fails(AT_FDCWD, path, "unlink") ? -1 : note_size(real(path), freed);
}

PUBLIC int fchmod(int fd, mode_t mode)
{
    char path[FAILING_PATH_SIZE];

    REAL(int, fchmod, (int, mode_t));
    return is_meant(FAILING_DISK) && is_ours(fd, path) &&
                   failing_fails(FAILING_DISK, EIO, "fchmod", path)
               ? -1
               : real(fd, mode);
}

/* What a disk without room says of itself. */
static void tell_room(struct statvfs *s, const char *path)
{
    if (!failing_is_below_root(path))
        return;
    if (failing_is_down(FAILING_SPACE))
        s->f_bavail = s->f_bfree =
            (fsblkcnt_t)__atomic_load_n(&failing_control->room_bytes, __ATOMIC_ACQUIRE) /
            s->f_frsize;
    if (failing_is_down(FAILING_INODES))
        s->f_ffree = s->f_favail = 0;
}

PUBLIC int fstatvfs(int fd, struct statvfs *s)
{
    char path[FAILING_PATH_SIZE];
    int r;

    REAL(int, fstatvfs, (int, struct statvfs *));
    r = real(fd, s);
    if (r == 0 && failing_control != NULL && failing_path_of(fd, path))
        tell_room(s, path);
    return r;
}

PUBLIC int statvfs(const char *path, struct statvfs *s)
{
    int r;

    REAL(int, statvfs, (const char *, struct statvfs *));
    r = real(path, s);
    if (r == 0 && failing_control != NULL)
        tell_room(s, path);
    return r;
}
