/* The files of a journal, below SQLite. */
#include "journal/storage_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"

#define NEARLY_NOTHING_BYTES (1 << 20) /* xfs makes inodes 64 at a time */

static int open_dir(const char *path, int *ret_fd, struct err *err)
{
    char dir[PATH_MAX];
    char *slash;
    struct stat st;
    int fd, r;

    if (!str_copy(dir, sizeof(dir), path))
        return err_set(err, ERR_LIMIT, "path %.100s...: too long", path);
    slash = strrchr(dir, '/');
    if (slash == NULL)
        (void)str_copy(dir, sizeof(dir), "."); /* fits */
    else
        slash[slash == dir ? 1 : 0] = '\0';
    r = fs_open_dir(AT_FDCWD, dir, &fd, err);
    if (r < 0)
        return r;
    if (fstat(fd, &st) < 0)
        r = err_sys(err, ERR_IO, errno, "stat %s", dir);
    else if (st.st_uid != geteuid() || (st.st_mode & 022) != 0)
        r = err_set(err, ERR_STATE,
                    "directory %s: owner %ld, mode %04o; for a journal it must belong to user %ld "
                    "and be writable by nobody else",
                    dir, (long)st.st_uid, (unsigned)(st.st_mode & 07777), (long)geteuid());
    if (r < 0) {
        (void)close(fd); /* nothing was written through it */
        return r;
    }
    *ret_fd = fd;
    return 0;
}

/* A file that SQLite will open by name: a plain one, ours, for our eyes only. Missing is fine. */
static int check_file(int dir_fd, const char *name, struct err *err)
{
    struct stat st;

    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : err_sys(err, ERR_IO, errno, "stat %s", name);
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
        return err_set(err, ERR_STATE, "%s: not a plain file of user %ld", name, (long)geteuid());
    if ((st.st_mode & 07777) != 0600 && fchmodat(dir_fd, name, 0600, 0) < 0)
        return err_sys(err, ERR_IO, errno, "set mode 0600 of %s", name);
    return 0;
}

static int lock(struct storage *s, const char *path, struct err *err)
{
    char name[sizeof(s->name) + 16];
    size_t n = strlen(s->name);

    if (str_has_suffix(s->name, ".db"))
        n -= 3;
    (void)snprintf(name, sizeof(name), "%.*s.reserve", (int)n, s->name); /* fits */
    s->reserve_fd = openat(s->dir_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (s->reserve_fd < 0)
        return err_sys(err, ERR_IO, errno, "open %s beside %s", name, path);
    if (flock(s->reserve_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno != EWOULDBLOCK)
        return err_sys(err, ERR_IO, errno, "lock %s beside %s", name, path);
    return err_set(err, ERR_BUSY, "%s: another process writes this journal; is ssmd running?",
                   path);
}

int storage_init(struct storage *s, const char *path, struct err *err)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    const char *slash = strrchr(path, '/');
    char name[sizeof(s->name) + 8];
    size_t i;
    int r;

    *s = (struct storage){.dir_fd = -1, .reserve_fd = -1};
    if (!str_copy(s->name, sizeof(s->name), slash != NULL ? slash + 1 : path) || s->name[0] == '\0')
        return err_set(err, ERR_INVALID, "journal %.100s: not the name of a file", path);
    r = open_dir(path, &s->dir_fd, err);
    for (i = 0; r == 0 && i < ARRAY_LEN(suffixes); i++) {
        (void)snprintf(name, sizeof(name), "%s%s", s->name, suffixes[i]); /* fits */
        r = check_file(s->dir_fd, name, err);
    }
    if (r == 0)
        r = lock(s, path, err);
    if (r < 0)
        storage_done(s);
    return r;
}

void storage_done(struct storage *s)
{
    if (s->reserve_fd >= 0)
        (void)close(s->reserve_fd); /* its blocks matter, not its bytes */
    if (s->dir_fd >= 0)
        (void)close(s->dir_fd);
    *s = (struct storage){.dir_fd = -1, .reserve_fd = -1};
}

bool storage_is_new(const struct storage *s)
{
    struct stat st;

    return fstatat(s->dir_fd, s->name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? errno == ENOENT
                                                                     : st.st_size == 0;
}

/* The files that SQLite puts beside a database of that name, which is not there. */
static int remove_belongings(const struct storage *s, const char *name, struct err *err)
{
    static const char *const suffixes[] = {"-wal", "-shm", "-journal"};
    char other[sizeof(s->name) + 16];
    size_t i;

    for (i = 0; i < ARRAY_LEN(suffixes); i++) {
        (void)snprintf(other, sizeof(other), "%s%s", name, suffixes[i]); /* fits */
        if (unlinkat(s->dir_fd, other, 0) < 0 && errno != ENOENT)
            return err_sys(err, ERR_IO, errno, "remove %s", other);
    }
    return 0;
}

int storage_begin_new(const struct storage *s, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    char name[sizeof(s->name) + 8];
    int r;

    (void)snprintf(name, sizeof(name), "%s" STORAGE_NEW, s->name); /* fits */
    if (unlinkat(s->dir_fd, name, 0) < 0 && errno != ENOENT)
        return err_sys(err, ERR_IO, errno, "remove %s", name);
    r = remove_belongings(s, name, err);
    if (r < 0)
        return r;
    fd = openat(s->dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd >= 0 ? 0 : err_sys(err, ERR_IO, errno, "make %s", name);
}

int storage_end_new(const struct storage *s, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    char name[sizeof(s->name) + 8];
    int r;

    (void)snprintf(name, sizeof(name), "%s" STORAGE_NEW, s->name); /* fits */
    fd = openat(s->dir_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return err_sys(err, ERR_IO, errno, "sync %s", name);
    r = remove_belongings(s, name, err);
    if (r == 0) /* of one that was taken away: SQLite would take its log for that of the new one */
        r = remove_belongings(s, s->name, err);
    if (r == 0)
        r = storage_sync_names(s, err);
    if (r == 0 && renameat(s->dir_fd, name, s->dir_fd, s->name) < 0)
        r = err_sys(err, ERR_IO, errno, "rename %s", name);
    return r == 0 ? storage_sync_names(s, err) : r;
}

int storage_remember(struct storage *s, struct err *err)
{
    if (fstatat(s->dir_fd, s->name, &s->seen, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(err, ERR_IO, errno, "stat %s", s->name);
    return 0;
}

int storage_is_same(const struct storage *s, struct err *err)
{
    struct stat now;

    if (fstatat(s->dir_fd, s->name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
        now.st_ino == s->seen.st_ino && now.st_dev == s->seen.st_dev)
        return 0;
    return err_set(
        err, ERR_IO,
        "%s was removed or replaced under the running ssmd. Put it back, with its -wal, or "
        "restart ssmd to start with what is there",
        s->name);
}

void storage_prepare_shared(const struct storage *s)
{
    AUTO(close_fd) int fd = -1;
    char name[sizeof(s->name) + 8];
    struct statfs fs;
    int flags = 0;

    if (fstatfs(s->dir_fd, &fs) < 0 || fs.f_type != BTRFS_SUPER_MAGIC)
        return;
    (void)snprintf(name, sizeof(name), "%s-shm", s->name); /* fits */
    fd = openat(s->dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
        return;
    flags |= FS_NOCOW_FL;
    (void)ioctl(fd, FS_IOC_SETFLAGS, &flags); /* as good as it gets */
}

int storage_renew_log(const struct storage *s, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    char name[sizeof(s->name) + 8], chunk[16384];
    off_t at = 0;
    ssize_t n;

#ifdef SSMD_BREAK_LOG_NOT_RENEWED /* negative control: row R6 must notice */
    return 0;
#endif
    (void)snprintf(name, sizeof(name), "%s-wal", s->name); /* fits */
    fd = openat(s->dir_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_sys(err, ERR_IO, errno, "open %s", name);
    while ((n = pread(fd, chunk, sizeof(chunk), at)) > 0) {
        ssize_t done = pwrite(fd, chunk, (size_t)n, at);

        if (done <= 0)
            return err_sys(err, ERR_IO, done < 0 ? errno : EIO, "write %s anew", name);
        at += done;
    }
    if (n < 0)
        return err_sys(err, ERR_IO, errno, "read %s", name);
    if (at > 0 && fdatasync(fd) < 0)
        return err_sys(err, ERR_IO, errno, "sync %s", name);
    return 0;
}

int storage_sync_names(const struct storage *s, struct err *err)
{
    return fsync(s->dir_fd) == 0 ? 0
                                 : err_sys(err, ERR_IO, errno, "sync the directory of %s", s->name);
}

/* Where that cannot be asked, nobody knows of a shortage. */
static bool has_free_bytes(const struct storage *s, uint64_t n)
{
    struct statvfs fs;

    return fstatvfs(s->reserve_fd, &fs) < 0 || fs.f_bavail * fs.f_frsize >= n;
}

static bool has_free_space(const struct storage *s)
{
    return has_free_bytes(s, UINT64_C(2) * STORAGE_RESERVE_BYTES);
}

bool storage_is_full(const struct storage *s, int code)
{
    return code == ERR_FULL || (code == ERR_IO && !has_free_bytes(s, NEARLY_NOTHING_BYTES));
}

void storage_fill_reserve(struct storage *s)
{
    struct stat st;

    s->has_reserve =
        fstat(s->reserve_fd, &st) == 0 && (int64_t)st.st_blocks * 512 >= STORAGE_RESERVE_BYTES;
    if (s->has_reserve || !has_free_space(s))
        return;
    /* fallocate, not posix_fallocate: where the file system cannot reserve, writing 8 MiB from the
     * agent's only thread is not worth it */
    s->has_reserve = fallocate(s->reserve_fd, 0, 0, STORAGE_RESERVE_BYTES) == 0;
}

bool storage_has_room(struct storage *s)
{
    if (!s->has_reserve)
        storage_fill_reserve(s);
    return s->has_reserve || has_free_space(s);
}

void storage_release_reserve(struct storage *s)
{
    if (ftruncate(s->reserve_fd, 0) == 0)
        s->has_reserve = false;
}

int64_t storage_size(const struct storage *s)
{
    char wal[sizeof(s->name) + 8];
    struct stat st;
    int64_t n = 0;

    (void)snprintf(wal, sizeof(wal), "%s-wal", s->name); /* fits */
    if (fstatat(s->dir_fd, s->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        n += (int64_t)st.st_size;
    if (fstatat(s->dir_fd, wal, &st, AT_SYMLINK_NOFOLLOW) == 0)
        n += (int64_t)st.st_size;
    return n;
}
