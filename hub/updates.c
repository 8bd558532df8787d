/* Files of an update source, found without leaving its directory. */
#include "hub/updates.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int updates_open(const char *path, int *ret_fd, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* may be a link: the operator's */

    if (fd < 0)
        return err_set(err, ERR_USAGE, "--updates %s: %s", path, strerror(errno));
    *ret_fd = fd;
    return 0;
}

static int not_found(const char *path, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "%.150s: there is no such file", path);
}

/* What cannot be opened by its name: missing, a link, a directory where a file was to be. */
static int not_opened(const char *path, int errnum, struct err *err)
{
    if (errnum == ENOENT || errnum == ELOOP || errnum == ENOTDIR || errnum == ENXIO)
        return not_found(path, err);
    return err_sys(err, ERR_IO, errnum, "open %.150s", path);
}

int updates_find(int dirfd, const char *path, int *ret_fd, int64_t *ret_size_bytes, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    int flags = O_NOFOLLOW | O_CLOEXEC, at = dirfd, next;
    const char *p = path;
    char name[NAME_MAX + 1];
    struct stat st;
    size_t n;

    for (;; p += n + 1) {
        n = strcspn(p, "/");
        if (n == 0 || n >= sizeof(name) || *p == '.') /* "..", and what is being written */
            return not_found(path, err);
        memcpy(name, p, n);
        name[n] = '\0';
        next = openat(at, name,
                      p[n] == '/' ? flags | O_PATH | O_DIRECTORY : flags | O_RDONLY | O_NONBLOCK);
        if (next < 0)
            return not_opened(path, errno, err);
        close_fd_cleanup(&fd);
        at = fd = next;
        if (p[n] == '\0')
            break;
    }
    if (fstat(fd, &st) < 0)
        return err_sys(err, ERR_IO, errno, "%.150s", path);
    if (!S_ISREG(st.st_mode))
        return not_found(path, err);
    *ret_size_bytes = st.st_size;
    *ret_fd = TAKE_FD(fd);
    return 0;
}
