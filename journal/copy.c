/* A private copy of a journal that cannot be read where it is: the database with its write-ahead
 * log, never without it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "journal/reader_internal.h"

#define MAX_TRIES 20

struct source {
    int fd; /* -1: not there */
    struct stat st;
};

static int source_open(const char *path, const char *suffix, bool is_needed, struct source *s,
                       struct err *err)
{
    char name[PATH_MAX + 8];

    (void)snprintf(name, sizeof(name), "%s%s", path, suffix); /* fits */
    s->fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (s->fd < 0)
        return errno == ENOENT && !is_needed ? 0 : err_sys(err, ERR_IO, errno, "open %s", name);
    if (fstat(s->fd, &s->st) < 0)
        return err_sys(err, ERR_IO, errno, "stat %s", name);
    if (!S_ISREG(s->st.st_mode))
        return err_set(err, ERR_IO, "%s: not a plain file", name);
    return 0;
}

static void source_close(struct source *s)
{
    if (s->fd >= 0)
        (void)close(s->fd); /* only read */
    s->fd = -1;
}

/* The same file, unchanged, after it was copied? A log that came or went is a change too. */
static bool is_unchanged(const struct source *s, const char *path, const char *suffix)
{
    char name[PATH_MAX + 8];
    struct stat now;

    (void)snprintf(name, sizeof(name), "%s%s", path, suffix); /* fits */
    if (stat(name, &now) < 0)
        return s->fd < 0 && errno == ENOENT;
    return s->fd >= 0 && now.st_ino == s->st.st_ino && now.st_size == s->st.st_size &&
           now.st_mtim.tv_sec == s->st.st_mtim.tv_sec &&
           now.st_mtim.tv_nsec == s->st.st_mtim.tv_nsec;
}

static int copy_bytes(const struct source *s, int dir_fd, const char *name, struct err *err)
{
    AUTO(close_fd) int out = -1;
    AUTO(free) char *block = NULL;
    const size_t block_size = 65536;
    int r = 0;

    if (s->fd < 0)
        return unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT
                   ? 0
                   : err_sys(err, ERR_IO, errno, "remove %s", name);
    block = malloc(block_size);
    if (block == NULL)
        return err_set(err, ERR_NOMEM, "copy journal: out of memory");
    out = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (out < 0)
        return err_sys(err, ERR_IO, errno, "make %s", name);
    while (r == 0) {
        ssize_t n = read(s->fd, block, block_size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, ERR_IO, errno, "read the journal");
        if (n == 0)
            break;
        r = fs_write_all(out, block, (size_t)n, err);
    }
    return r;
}

static int copy_once(const char *path, int dir_fd, bool *ret_is_whole, struct err *err)
{
    struct source db = {.fd = -1}, wal = {.fd = -1};
    int r = source_open(path, "", true, &db, err);

    if (r == 0)
        r = source_open(path, "-wal", false, &wal, err);
    if (r == 0)
        r = copy_bytes(&wal, dir_fd, "journal.db-wal", err);
    if (r == 0)
        r = copy_bytes(&db, dir_fd, "journal.db", err);
    if (r == 0)
        *ret_is_whole = is_unchanged(&db, path, "") && is_unchanged(&wal, path, "-wal");
    source_close(&db);
    source_close(&wal);
    return r;
}

static int copy_into(const char *path, const char *dir, struct err *err)
{
    AUTO(close_fd) int dir_fd = -1;
    bool is_whole = false;
    int r = fs_open_dir(AT_FDCWD, dir, &dir_fd, err), i;

    for (i = 0; r == 0 && !is_whole && i < MAX_TRIES; i++)
        r = copy_once(path, dir_fd, &is_whole, err);
    if (r == 0 && !is_whole)
        r = err_set(err, ERR_BUSY, "it changed during each of %d tries", MAX_TRIES);
    return r;
}

/* What is opened below it by name must stay what was made there: whoever may rename in it could put
 * something else in its place. */
static int check_place(const char *dir, struct err *err)
{
    struct stat st;

    if (stat(dir, &st) < 0)
        return err_sys(err, ERR_IO, errno, "TMPDIR: %s", dir);
    if ((st.st_uid != 0 && st.st_uid != geteuid()) ||
        ((st.st_mode & 022) != 0 && (st.st_mode & S_ISVTX) == 0))
        return err_set(err, ERR_STATE,
                       "TMPDIR: another user may rename what is in %s (owner %ld, mode %04o); set "
                       "TMPDIR to a directory of your own, or to /tmp",
                       dir, (long)st.st_uid, (unsigned)(st.st_mode & 07777));
    return 0;
}

int reader_copy(const char *path, char ret_dir[PATH_MAX], char ret_path[PATH_MAX], struct err *err)
{
    const char *tmp = getenv("TMPDIR");
    char dir[PATH_MAX];
    int r;

    if (tmp == NULL || tmp[0] != '/')
        tmp = "/tmp";
    if (snprintf(dir, sizeof(dir), "%s/ssmd-copy-XXXXXX", tmp) >= PATH_MAX - 16)
        return err_set(err, ERR_LIMIT, "TMPDIR: the path is too long");
    r = check_place(tmp, err);
    if (r < 0)
        return r;
    if (mkdtemp(dir) == NULL)
        return err_sys(err, ERR_IO, errno, "make directory %s for a copy of %s", dir, path);
    r = copy_into(path, dir, err);
    if (r < 0) {
        struct err ignored;

        if (fs_remove_tree(AT_FDCWD, dir, &ignored) < 0) {
            /* what failed first is what is told */
        }
        return err_wrap(err, "copy %s to %s", path, dir);
    }
    (void)str_copy(ret_dir, PATH_MAX, dir); /* fits */
    (void)snprintf(ret_path, PATH_MAX, "%.*s/journal.db", PATH_MAX - 16, dir);
    return 0;
}
