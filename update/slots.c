/* Which versions there are, and the three links that say which is which. */
#include "update/slots.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crashpoint.h"
#include "base/fs.h"
#include "base/str.h"
#include "base/version.h"
#include "update/slots_internal.h"

#define VERSIONS "versions"
#define GONE ".gone" /* a slot on its way out: ".<version>.gone" */
#define MAX_SLOTS 256
#define MAX_DEPTH 16

static const char *const link_names[SLOTS_N_LINKS] = {"current", "proven", "previous"};

/* ---- directories ---- */

static int make_dir(const char *path, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    int r;

    if (mkdir(path, 0755) < 0)
        return errno == EEXIST ? 0 : err_sys(err, ERR_IO, errno, "make directory %s", path);
    if (chmod(path, 0755) < 0)
        return err_sys(err, ERR_IO, errno, "chmod %s", path);
    r = fs_open_dir(AT_FDCWD, path, &fd, err);
    return r < 0 ? r : fs_sync_above(fd, 1, err);
}

/* Programs are there to be run by everybody, whatever the umask. */
static int make_path(const char *path, struct err *err)
{
    char copy[PATH_MAX], *p;
    int r = 0;

    if (!str_copy(copy, sizeof(copy), path))
        return err_set(err, ERR_LIMIT, "path %.100s...: too long", path);
    for (p = copy + 1; r == 0 && (p = strchr(p, '/')) != NULL; p++) {
        *p = '\0';
        r = make_dir(copy, err);
        *p = '/';
    }
    return r < 0 ? r : make_dir(copy, err);
}

static int open_ours(int dirfd, const char *name, int *ret_fd, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    struct stat st;
    int r = fs_open_dir(dirfd, name, &fd, err);

    if (r < 0)
        return r;
    if (fstat(fd, &st) < 0)
        return err_sys(err, ERR_IO, errno, "stat directory %s", name);
    if (!slots_is_ours(&st))
        return err_set(err, ERR_STATE,
                       "directory %s: owner %ld, mode %04o; it must belong to root or to user %ld "
                       "and be writable by nobody else",
                       name, (long)st.st_uid, (unsigned)(st.st_mode & 07777), (long)geteuid());
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int slots_open(const char *dir, bool may_make, struct slots *ret_slots, struct err *err)
{
    AUTO(close_fd) int dir_fd = -1, versions_fd = -1;
    char versions[PATH_MAX];
    int r;

    if (snprintf(versions, sizeof(versions), "%s/" VERSIONS, dir) >= (int)sizeof(versions))
        return err_set(err, ERR_LIMIT, "path %.100s...: too long", dir);
    if (may_make && (r = make_path(versions, err)) < 0)
        return r;
    if ((r = open_ours(AT_FDCWD, dir, &dir_fd, err)) < 0 ||
        (r = open_ours(dir_fd, VERSIONS, &versions_fd, err)) < 0)
        return r;
    *ret_slots = (struct slots){TAKE_FD(dir_fd), TAKE_FD(versions_fd)};
    return 0;
}

void slots_done(struct slots *s)
{
    close_fd_cleanup(&s->dir_fd);
    close_fd_cleanup(&s->versions_fd);
    *s = (struct slots){-1, -1};
}

/* ---- links ---- */

int slots_get(const struct slots *s, enum slots_link which, char ret_version[SLOTS_VERSION_SIZE],
              struct err *err)
{
    static const char before[] = VERSIONS "/";
    char target[sizeof(before) + SLOTS_VERSION_SIZE] = "";
    ssize_t n = readlinkat(s->dir_fd, link_names[which], target, sizeof(target) - 1);

    if (n < 0 && errno == EINVAL)
        return err_set(err, ERR_CORRUPT, "%s is not a symbolic link", link_names[which]);
    if (n < 0)
        return err_sys(err, ERR_IO, errno, "link %s", link_names[which]);
    target[n] = '\0';
    if (!str_has_prefix(target, before) || !version_is_valid(target + sizeof(before) - 1))
        return err_set(err, ERR_CORRUPT, "link %s leads to \"%s\", which is no version",
                       link_names[which], target);
    (void)str_copy(ret_version, SLOTS_VERSION_SIZE,
                   target + sizeof(before) - 1); /* a version fits */
    return 0;
}

static int check_sealed(const struct slots *s, const char *version, struct err *err)
{
    char seal[SLOTS_VERSION_SIZE + sizeof("/" SLOTS_SEAL)];
    struct stat st;

    if (!version_is_valid(version))
        return err_set(err, ERR_INVALID, "\"%.80s\" is no version", version);
    (void)snprintf(seal, sizeof(seal), "%s/" SLOTS_SEAL, version);
    if (fstatat(s->versions_fd, seal, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(err, ERR_IO, errno, "version %s: its seal", version);
    return S_ISREG(st.st_mode)
               ? 0
               : err_set(err, ERR_CORRUPT, "version %s: its seal is not a file", version);
}

int slots_point(const struct slots *s, enum slots_link which, const char *version, struct err *err)
{
    const char *name = link_names[which];
    char target[SLOTS_VERSION_SIZE + sizeof(VERSIONS "/")], temp[32], now[SLOTS_VERSION_SIZE];
    int r = check_sealed(s, version, err);

    if (r < 0)
        return err_wrap(err, "point %s", name);
    /* Who died behind the rename has not synced it, so that is done in any case. */
    if (slots_get(s, which, now, NULL) == 0 && str_eq(now, version))
        return fsync(s->dir_fd) == 0 ? 0 : err_sys(err, ERR_IO, errno, "sync link %s", name);
    (void)snprintf(target, sizeof(target), VERSIONS "/%s", version);
    (void)snprintf(temp, sizeof(temp), ".%s.new", name);
    crashpoint("slots.point.before");
    if (unlinkat(s->dir_fd, temp, 0) < 0 && errno != ENOENT)
        return err_sys(err, ERR_IO, errno, "point %s: remove %s", name, temp);
    if (symlinkat(target, s->dir_fd, temp) < 0)
        return err_sys(err, ERR_IO, errno, "point %s to %s", name, version);
    crashpoint("slots.point.made");
    if (fsync(s->dir_fd) < 0 || renameat(s->dir_fd, temp, s->dir_fd, name) < 0) {
        r = err_sys(err, ERR_IO, errno, "point %s to %s", name, version);
        (void)unlinkat(s->dir_fd, temp, 0); /* best effort; the next one removes it too */
        return r;
    }
    crashpoint("slots.point.renamed");
    if (fsync(s->dir_fd) < 0)
        return err_sys(err, ERR_IO, errno, "sync link %s", name);
    crashpoint("slots.point.after");
    return 0;
}

int slots_own_version(const struct slots *s, char ret_version[SLOTS_VERSION_SIZE], struct err *err)
{
    char self[PATH_MAX], versions[PATH_MAX], proc[40], version[SLOTS_VERSION_SIZE], *rest;
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1), m;
    size_t len;

    (void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d", s->versions_fd);
    m = readlink(proc, versions, sizeof(versions) - 2);
    if (n < 0 || m < 0)
        return err_sys(err, ERR_IO, errno, "where this program is");
    self[n] = '\0';
    versions[m] = '/';
    versions[m + 1] = '\0';
    rest = self + m + 1;
    len = str_has_prefix(self, versions) ? strcspn(rest, "/") : sizeof(version);
    if (len < sizeof(version)) {
        memcpy(version, rest, len);
        version[len] = '\0';
        if (version_is_valid(version)) {
            memcpy(ret_version, version, len + 1);
            return 0;
        }
    }
    return err_set(err, ERR_NOT_FOUND, "%s is in none of the versions in %s", self, versions);
}

/* ---- removing ---- */

/* What is sealed may not be written to, by its owner either, unless that is root. */
static int make_writable(int at, const char *name, int depth, struct err *err)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = 0;
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP
                   ? 0
                   : err_sys(err, ERR_IO, errno, "open %s", name);
    if (dir == NULL) {
        r = err_sys(err, ERR_IO, errno, "list %s", name);
        (void)close(fd);
        return r;
    }
    if (depth == 0)
        r = err_set(err, ERR_LIMIT, "%s: more than %d levels", name, MAX_DEPTH);
    else if (fchmod(fd, 0700) < 0)
        r = err_sys(err, ERR_IO, errno, "chmod %s", name);
    while (r == 0 && (entry = readdir(dir)) != NULL)
        if (!str_eq(entry->d_name, ".") && !str_eq(entry->d_name, ".."))
            r = make_writable(fd, entry->d_name, depth - 1, err);
    (void)closedir(dir);
    return r;
}

int slots_remove_tree(int dirfd, const char *name, struct err *err)
{
    int r = make_writable(dirfd, name, MAX_DEPTH, err);

    return r < 0 ? r : fs_remove_tree(dirfd, name, err);
}

static int compare_newest_first(const void *a, const void *b)
{
    return version_compare(b, a);
}

/* First out of its place, so that a half of it is never taken for a slot. */
static int remove_slot(const struct slots *s, const char *version, struct err *err)
{
    char gone[SLOTS_VERSION_SIZE + 16];
    int r;

    (void)snprintf(gone, sizeof(gone), ".%s" GONE, version);
    r = slots_remove_tree(s->versions_fd, gone, err);
    if (r == 0 && renameat(s->versions_fd, version, s->versions_fd, gone) < 0)
        r = err_sys(err, ERR_IO, errno, "move away");
    if (r == 0)
        r = slots_remove_tree(s->versions_fd, gone, err);
    return r < 0 ? err_wrap(err, "remove version %s", version) : 0;
}

static int get_links(const struct slots *s, char ret_named[SLOTS_N_LINKS][SLOTS_VERSION_SIZE],
                     struct err *err)
{
    enum slots_link which;
    int r;

    for (which = 0; which < SLOTS_N_LINKS; which++) {
        ret_named[which][0] = '\0';
        r = slots_get(s, which, ret_named[which], err);
        if (r < 0 && r != ERR_NOT_FOUND)
            return r;
    }
    return 0;
}

static bool is_named(char named[SLOTS_N_LINKS][SLOTS_VERSION_SIZE], const char *version)
{
    size_t i;

    for (i = 0; i < SLOTS_N_LINKS; i++)
        if (str_eq(named[i], version))
            return true;
    return false;
}

/* The versions that nothing names; and what a death left of those on their way out is removed. */
static int list_idle(const struct slots *s, char named[SLOTS_N_LINKS][SLOTS_VERSION_SIZE],
                     char (*ret_idle)[SLOTS_VERSION_SIZE], size_t *ret_n, struct err *err)
{
    int fd = openat(s->versions_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    if (dir == NULL) {
        r = err_sys(err, ERR_IO, errno, "list versions");
        close_fd_cleanup(&fd);
        return r;
    }
    while (*ret_n < MAX_SLOTS && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.' && str_has_suffix(entry->d_name, GONE)) {
            if (r == 0)
                r = slots_remove_tree(s->versions_fd, entry->d_name, err);
        } else if (version_is_valid(entry->d_name) && !is_named(named, entry->d_name)) {
            (void)str_copy(ret_idle[(*ret_n)++], SLOTS_VERSION_SIZE, entry->d_name); /* fits */
        }
    }
    (void)closedir(dir);
    return r;
}

int slots_prune(const struct slots *s, unsigned keep, struct err *err)
{
    static const size_t size = SLOTS_VERSION_SIZE;
    AUTO(free) char(*idle)[SLOTS_VERSION_SIZE] = calloc(MAX_SLOTS, size);
    char named[SLOTS_N_LINKS][SLOTS_VERSION_SIZE];
    size_t i, n = 0;
    int r, worst;

    if (idle == NULL)
        return err_set(err, ERR_NOMEM, "old versions: out of memory");
    r = get_links(s, named, err);
    if (r < 0)
        return err_wrap(err, "old versions stay");
    worst = list_idle(s, named, idle, &n, err);
    qsort(idle, n, size, compare_newest_first);
    for (i = keep; i < n; i++)
        if ((r = remove_slot(s, idle[i], worst == 0 ? err : NULL)) < 0 && worst == 0)
            worst = r;
    return worst;
}
