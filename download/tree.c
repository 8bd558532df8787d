/* Trees of files that were fetched: their modes, and their way to the destination. */
#include "download/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/ids.h"
#include "base/str.h"

#define MAX_DEPTH 256

/* Regular files get mode 0700; takes dirfd over. */
static int set_modes(int dirfd, int depth, struct err *err)
{
    DIR *dir = fdopendir(dirfd);
    struct dirent *entry;
    int r = 0;

    if (dir == NULL) {
        r = err_sys(err, ERR_IO, errno, "list what was cloned");
        (void)close(dirfd); /* not taken over */
        return r;
    }
    while (r == 0 && (entry = readdir(dir)) != NULL) {
        struct stat st;
        int fd;

        if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, "..") ||
            fstatat(dirfd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (S_ISREG(st.st_mode)) {
            fd = openat(dirfd, entry->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
            if (fd < 0 || fchmod(fd, 0700) < 0)
                r = err_sys(err, ERR_IO, errno, "mode of %s", entry->d_name);
            if (fd >= 0)
                (void)close(fd); /* nothing was written through it */
        } else if (S_ISDIR(st.st_mode) && depth < MAX_DEPTH) {
            r = fs_open_dir(dirfd, entry->d_name, &fd, err);
            if (r == 0)
                r = set_modes(fd, depth + 1, err);
        }
    }
    (void)closedir(dir); /* nothing was written through it */
    return r;
}

static int copy_tree(int fromfd, const char *name, int tofd, const char *to_name, int depth,
                     struct err *err);

static int copy_file(int fromfd, const char *name, int tofd, const char *to_name, mode_t mode,
                     struct err *err)
{
    AUTO(close_fd) int in = openat(fromfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    AUTO(close_fd) int out = -1;
    char chunk[65536];
    ssize_t n = 0;
    int r = 0;

    if (in < 0)
        return err_sys(err, ERR_IO, errno, "read %s", name);
    out = openat(tofd, to_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (out < 0)
        return err_sys(err, ERR_IO, errno, "make %s", name);
    while (r == 0 && (n = read(in, chunk, sizeof(chunk))) != 0)
        r = n > 0            ? fs_write_all(out, chunk, (size_t)n, err)
            : errno == EINTR ? 0
                             : err_sys(err, ERR_IO, errno, "read");
    if (r == 0 && fchmod(out, mode & 0777) < 0)
        r = err_sys(err, ERR_IO, errno, "mode");
    return r < 0 ? err_wrap(err, "copy %s", name) : 0;
}

static int copy_link(int fromfd, const char *name, int tofd, const char *to_name, struct err *err)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(fromfd, name, target, sizeof(target) - 1);

    if (n < 0)
        return err_sys(err, ERR_IO, errno, "read link %s", name);
    target[n] = '\0';
    return symlinkat(target, tofd, to_name) < 0 ? err_sys(err, ERR_IO, errno, "link %s", name) : 0;
}

/* dirfd stays the caller's, who closes the list. NULL: the reason is in *err. */
static DIR *open_list(int dirfd, struct err *err)
{
    int copy = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;

    if (dir == NULL) {
        (void)err_sys(err, ERR_IO, errno, "list what was cloned"); /* *err has the code */
        if (copy >= 0)
            (void)close(copy); /* not taken over */
    }
    return dir;
}

static int copy_entries(int fromfd, int tofd, int depth, struct err *err)
{
    DIR *dir = open_list(fromfd, err);
    struct dirent *entry;
    int r = 0;

    if (dir == NULL)
        return err->code;
    while (r == 0 && (entry = readdir(dir)) != NULL)
        if (!str_eq(entry->d_name, ".") && !str_eq(entry->d_name, ".."))
            r = copy_tree(fromfd, entry->d_name, tofd, entry->d_name, depth, err);
    (void)closedir(dir); /* nothing was written through it */
    return r;
}

/* To another file system; nothing is there yet, and no link is followed on either side. */
static int copy_tree(int fromfd, const char *name, int tofd, const char *to_name, int depth,
                     struct err *err)
{
    AUTO(close_fd) int from = -1, to = -1;
    struct stat st;
    int r;

    if (fstatat(fromfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(err, ERR_IO, errno, "copy %s", name);
    if (S_ISREG(st.st_mode))
        return copy_file(fromfd, name, tofd, to_name, st.st_mode, err);
    if (S_ISLNK(st.st_mode))
        return copy_link(fromfd, name, tofd, to_name, err);
    if (!S_ISDIR(st.st_mode) || depth == MAX_DEPTH)
        return err_set(err, ERR_LIMIT, "copy %s: %s", name,
                       S_ISDIR(st.st_mode) ? "too many levels"
                                           : "neither file, directory nor link");
    if (mkdirat(tofd, to_name, 0700) < 0)
        return err_sys(err, ERR_IO, errno, "make directory %s", name);
    r = fs_open_dir(fromfd, name, &from, err);
    if (r == 0)
        r = fs_open_dir(tofd, to_name, &to, err);
    if (r == 0)
        r = copy_entries(from, to, depth + 1, err);
    if (r == 0 && fchmod(to, st.st_mode & 0777) < 0)
        r = err_sys(err, ERR_IO, errno, "mode of %s", name);
    return r;
}

/* Under its name when all of it is there, as rename does it. */
static int move_one(int fromfd, const char *name, int destfd, const char *dest, struct err *err)
{
    char temporary[64], uuid[UUID_SIZE];
    struct err ignored;
    int r;

    if (renameat(fromfd, name, destfd, name) == 0)
        return 0;
    if (errno != EXDEV)
        return err_sys(err, ERR_IO, errno, "%s cannot be moved to %s", name, dest);
    ids_uuid4(uuid);
    (void)snprintf(temporary, sizeof(temporary), ".ssmd-%s", uuid); /* fits */
    r = copy_tree(fromfd, name, destfd, temporary, 0, err);
    if (r == 0 && renameat(destfd, temporary, destfd, name) < 0)
        r = err_sys(err, ERR_IO, errno, "%s cannot be moved to %s", name, dest);
    if (r < 0 && fs_remove_tree(destfd, temporary, &ignored) < 0) {
        /* what failed first is what is told */
    }
    return r;
}

int tree_move(int fromfd, int destfd, const char *dest, struct err *err)
{
    DIR *dir = open_list(fromfd, err);
    struct dirent *entry;
    int r = 0;

    if (dir == NULL)
        return err->code;
    while (r == 0 && (entry = readdir(dir)) != NULL)
        if (!str_eq(entry->d_name, ".") && !str_eq(entry->d_name, ".."))
            r = move_one(fromfd, entry->d_name, destfd, dest, err);
    (void)closedir(dir); /* nothing was written through it */
    return r;
}

int tree_set_modes(int dirfd, struct err *err)
{
    return set_modes(dirfd, 0, err);
}
