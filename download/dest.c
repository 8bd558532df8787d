/* Files and directories of the destination. */
#include "download/dest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/ids.h"
#include "base/str.h"

#define MAX_LINKS 40 /* as the kernel's */

bool dest_is_directory(const char *dest)
{
    struct stat st;

    return str_has_suffix(dest, "/") || (stat(dest, &st) == 0 && S_ISDIR(st.st_mode));
}

/* One way to a directory: links left to follow on it, and whether what is missing is made. */
struct walk {
    const char *path; /* all of it, for people */
    int n_links;
    bool is_making;
};

static int walk(struct walk *w, int dirfd, const char *path, int *ret_fd, struct err *err);

/* A link leads where its owner wants. One that belongs to neither root nor us is followed to what
 * is that user's own: else whoever owns a directory on the way could send what we write to a place
 * where only we may write. */
static int follow(struct walk *w, int dirfd, int link_fd, const struct stat *link, int *ret_fd,
                  struct err *err)
{
    AUTO(close_fd) int fd = -1;
    struct walk there = {.path = w->path, .n_links = w->n_links - 1};
    char target[PATH_MAX];
    ssize_t n = readlinkat(link_fd, "", target, sizeof(target));
    struct stat st;
    int r;

    if (n < 0 || n == (ssize_t)sizeof(target))
        return err_sys(err, ERR_IO, n < 0 ? errno : ENAMETOOLONG, "directory %s", w->path);
    if (w->n_links == 0)
        return err_sys(err, ERR_IO, ELOOP, "directory %s", w->path);
    target[n] = '\0';
    r = walk(&there, dirfd, target, &fd, err);
    w->n_links = there.n_links;
    if (r < 0)
        return r;
    if (fstat(fd, &st) < 0)
        return err_sys(err, ERR_IO, errno, "directory %s", w->path);
    if (link->st_uid != 0 && link->st_uid != geteuid() && st.st_uid != link->st_uid)
        return err_set(
            err, ERR_STATE,
            "directory %.1000s: on the way there is a symbolic link of user %ld to %.500s, "
            "which belongs to user %ld: such a link is not followed; name the "
            "directory itself, or make the link as root",
            w->path, (long)link->st_uid, target, (long)st.st_uid);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* The directory `name` in dirfd. Opened as what it is before it is looked at, so that nobody can
 * put something else there meanwhile. */
static int enter(struct walk *w, int dirfd, const char *name, int *ret_fd, struct err *err)
{
    AUTO(close_fd) int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd < 0 && errno == ENOENT && w->is_making) {
        if (mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST)
            return err_sys(err, ERR_IO, errno, "make directory %s", w->path);
        fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    }
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_sys(err, ERR_IO, errno, "directory %s", w->path);
    if (S_ISLNK(st.st_mode))
        return follow(w, dirfd, fd, &st, ret_fd, err);
    if (!S_ISDIR(st.st_mode))
        return err_sys(err, ERR_IO, ENOTDIR, "directory %s", w->path);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int walk(struct walk *w, int dirfd, const char *path, int *ret_fd, struct err *err)
{
    AUTO(close_fd)
    int fd = path[0] == '/' ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)
                            : openat(dirfd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    char part[NAME_MAX + 1];
    int r = fd < 0 ? err_sys(err, ERR_IO, errno, "directory %s", w->path) : 0;

    while (r == 0) {
        size_t n;
        int next = -1;

        path += strspn(path, "/");
        n = strcspn(path, "/");
        if (n == 0)
            break;
        if (n >= sizeof(part))
            return err_sys(err, ERR_IO, ENAMETOOLONG, "directory %s", w->path);
        memcpy(part, path, n);
        part[n] = '\0';
        path += n;
        r = enter(w, fd, part, &next, err);
        if (r == 0) {
            (void)close(fd); /* nothing was written through it */
            fd = next;
        }
    }
    if (r == 0)
        *ret_fd = TAKE_FD(fd);
    return r;
}

int dest_open_dir(const char *dest, int *ret_fd, struct err *err)
{
    struct walk w = {.path = dest, .n_links = MAX_LINKS, .is_making = true};
    AUTO(close_fd) int fd = -1;
    int r;

    if (dest[0] != '/' || strlen(dest) >= PATH_MAX)
        return err_set(err, ERR_INVALID, "destination %.200s: not an absolute path, or too long",
                       dest);
    r = walk(&w, AT_FDCWD, dest, &fd, err);
    if (r < 0)
        return r;
    *ret_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* to be listed and synced */
    return *ret_fd < 0 ? err_sys(err, ERR_IO, errno, "directory %s", dest) : 0;
}

/* The directory of a path below `dirfd`, made where it is missing; no link is followed. Takes dirfd
 * over. */
static int descend(int dirfd, const char *below, char *ret_name, size_t size, int *ret_fd,
                   struct err *err)
{
    AUTO(close_fd) int fd = dirfd;
    char part[NAME_MAX + 1];

    for (;;) {
        size_t n = strcspn(below, "/");
        int next;

        if (n == 0 || n >= sizeof(part) || n >= size)
            return err_set(err, ERR_INVALID, "\"%.200s\": a part of the name is empty or too long",
                           below);
        memcpy(part, below, n);
        part[n] = '\0';
        if (str_eq(part, ".") || str_eq(part, ".."))
            return err_set(err, ERR_INVALID, "a name with \"%s\" would leave the destination",
                           part);
        if (below[n] == '\0') {
            memcpy(ret_name, part, n + 1);
            *ret_fd = TAKE_FD(fd);
            return 0;
        }
        if (mkdirat(fd, part, 0700) < 0 && errno != EEXIST)
            return err_sys(err, ERR_IO, errno, "make directory %s", part);
        next = openat(fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0)
            return err_sys(err, ERR_IO, errno, "directory %s below the destination", part);
        (void)close(fd); /* nothing was written through it */
        fd = next;
        below += n + 1;
    }
}

static int open_parent(const char *dest, const char *below, struct dest_file *f, struct err *err)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(dest, '/');
    int fd = -1, r;

    if (below != NULL) {
        r = dest_open_dir(dest, &fd, err);
        return r < 0 ? r : descend(fd, below, f->name, sizeof(f->name), &f->dirfd, err);
    }
    if (slash == NULL || slash[1] == '\0' || !str_copy(f->name, sizeof(f->name), slash + 1) ||
        str_eq(f->name, ".") || str_eq(f->name, ".."))
        return err_set(err, ERR_INVALID, "destination %.200s: this cannot be a file's name", dest);
    (void)snprintf(parent, sizeof(parent), "%.*s", slash > dest ? (int)(slash - dest) : 1, dest);
    return dest_open_dir(parent, &f->dirfd, err);
}

int dest_begin(const char *dest, const char *below, struct dest_file *ret_file, struct err *err)
{
    struct dest_file f = {.fd = -1, .dirfd = -1};
    char uuid[UUID_SIZE];
    int r = open_parent(dest, below, &f, err);

    if (r < 0)
        return r;
    ids_uuid4(uuid);
    (void)snprintf(f.temporary, sizeof(f.temporary), ".ssmd-%s", uuid); /* fits */
    f.fd = openat(f.dirfd, f.temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (f.fd < 0) {
        r = err_sys(err, ERR_IO, errno, "make a file for %s", f.name);
        (void)close(f.dirfd); /* nothing was written through it */
        return r;
    }
    *ret_file = f;
    return 0;
}

int dest_restart(struct dest_file *f, struct err *err)
{
    return ftruncate(f->fd, 0) < 0 || lseek(f->fd, 0, SEEK_SET) < 0
               ? err_sys(err, ERR_IO, errno, "%s", f->name)
               : 0;
}

int dest_write(struct dest_file *f, const void *bytes, size_t n, struct err *err)
{
    int r = fs_write_all(f->fd, bytes, n, err);

    return r < 0 ? err_wrap(err, "%s", f->name) : 0;
}

int dest_commit(struct dest_file *f, struct err *err)
{
    if (fchmod(f->fd, 0700) < 0 || fsync(f->fd) < 0 ||
        renameat(f->dirfd, f->temporary, f->dirfd, f->name) < 0)
        return err_sys(err, ERR_IO, errno, "%s", f->name);
    (void)close(f->fd); /* synced */
    f->fd = -1;
    return 0;
}

void dest_done(struct dest_file *f)
{
    if (f->fd >= 0) {
        (void)close(f->fd); /* it is not wanted */
        (void)unlinkat(f->dirfd, f->temporary, 0);
    }
    if (f->dirfd >= 0)
        (void)close(f->dirfd); /* nothing was written through it */
    f->fd = f->dirfd = -1;
}

int dest_put(const char *dest, const char *below, const void *bytes, size_t n, struct err *err)
{
    AUTO(dest_done) struct dest_file f = {.fd = -1, .dirfd = -1};
    int r = dest_begin(dest, below, &f, err);

    if (r == 0)
        r = dest_write(&f, bytes, n, err);
    return r == 0 ? dest_commit(&f, err) : r;
}
