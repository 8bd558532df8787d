/* The log's file: append, roll, open anew. */
#include "base/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"

static struct {
    char path[PATH_MAX];
    const char *name; /* the last part of path */
    int dirfd, fd;    /* -1: none */
    int64_t size, max_bytes, n_rolls;
} file = {.dirfd = -1, .fd = -1};

static void shut(void)
{
    if (file.fd >= 0)
        (void)close(file.fd); /* each line was written by itself */
    file.fd = -1;
}

static int open_file(struct err *err)
{
    struct stat st;
    int fd = openat(file.dirfd, file.name,
                    O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0640);

    if (fd < 0)
        return err_sys(err, ERR_IO, errno, "log file %s", file.path);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        (void)close(fd);
        return err_set(err, ERR_STATE, "log file %s: not a regular file", file.path);
    }
    shut();
    file.fd = fd;
    file.size = st.st_size;
    return 0;
}

static int open_directory(struct err *err)
{
    char directory[PATH_MAX];
    struct stat st;
    AUTO(close_fd) int fd = -1;
    char *slash;
    int r;

    (void)str_copy(directory, sizeof(directory), file.path); /* of the same size */
    slash = strrchr(directory, '/');
    if (slash == NULL || slash[1] == '\0' || file.path[0] != '/')
        return err_set(err, ERR_INVALID, "log file %s: must be a whole path, beginning with /",
                       file.path);
    file.name = file.path + (slash - directory) + 1;
    slash[slash == directory] = '\0';
    r = fs_make_path(directory, &fd, err);
    if (r < 0)
        return err_wrap(err, "log file %s", file.path);
    if (fstat(fd, &st) < 0)
        return err_sys(err, ERR_IO, errno, "log file %s", file.path);
    if ((st.st_mode & S_IWOTH) != 0)
        return err_set(err, ERR_STATE,
                       "log file %s: every user may write to its directory; choose another",
                       file.path);
    file.dirfd = TAKE_FD(fd);
    return 0;
}

int log_file_open(const char *path, int64_t max_bytes, int64_t n_rolls, struct err *err)
{
    int r;

    shut();
    if (file.dirfd >= 0)
        (void)close(file.dirfd);
    file.dirfd = -1;
    if (path[0] == '\0')
        return 0;
    if (!str_copy(file.path, sizeof(file.path), path))
        return err_set(err, ERR_LIMIT, "log file: the path is too long");
    log_file_set_bounds(max_bytes, n_rolls);
    r = open_directory(err);
    return r < 0 ? r : open_file(err);
}

void log_file_set_bounds(int64_t max_bytes, int64_t n_rolls)
{
    file.max_bytes = max_bytes;
    file.n_rolls = n_rolls;
}

int log_file_reopen(struct err *err)
{
    return file.dirfd >= 0 ? open_file(err) : 0;
}

static void rolled_name(int64_t n, char *ret, size_t size)
{
    if (n == 0)
        (void)snprintf(ret, size, "%s", file.name);
    else
        (void)snprintf(ret, size, "%s.%lld", file.name, (long long)n);
}

/* The last one is overwritten by the one before it. A name that cannot be moved stays, and the file
 * goes on growing: no line is lost for it. */
static void roll(void)
{
    char from[PATH_MAX + 24], to[PATH_MAX + 24];
    struct err err;
    int64_t i;

    for (i = file.n_rolls; i > 0; i--) {
        rolled_name(i - 1, from, sizeof(from));
        rolled_name(i, to, sizeof(to));
        (void)renameat(file.dirfd, from, file.dirfd, to); /* those in the middle may be missing */
    }
    (void)open_file(&err); /* else the lines go on into the file that was moved */
}

void log_file_write(const char *line, size_t n)
{
    ssize_t written;

    if (file.fd < 0)
        return;
    if (file.size > 0 && file.size + (int64_t)n > file.max_bytes)
        roll();
    written = write(file.fd, line, n);
    if (written > 0)
        file.size += written;
}
