/* From an archive to files. libarchive reads the bytes; what is made of them is decided here. */
#include "update/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"

#define BLOCK_BYTES ((size_t)64 << 10)
#define MODE_EXECUTED 0755
#define MODE_READ 0644

struct unpack {
    struct archive *archive;
    int dirfd;
    const struct unpack_limits *limits;
    struct unpack_count done;
};

static void free_archive(struct archive *a)
{
    (void)archive_read_free(a); /* what it could say was said by the reads */
}
DEFINE_AUTO(struct archive *, free_archive)

static int refuse(struct err *err, const char *name, const char *why)
{
    return err_set(err, ERR_REFUSED, "entry \"%.200s\": %s", name, why);
}

/* libarchive's own words. */
static int damaged(struct archive *a, const char *name, struct err *err)
{
    const char *said = archive_error_string(a);

    if (archive_errno(a) == ENOMEM)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (archive_errno(a) == EIO)
        return err_set(err, ERR_IO, "read the archive: %s", said != NULL ? said : "I/O error");
    return name == NULL ? err_set(err, ERR_CORRUPT, "the archive is damaged: %s",
                                  said != NULL ? said : "it cannot be read")
                        : err_set(err, ERR_CORRUPT, "entry \"%.200s\": the archive is damaged: %s",
                                  name, said != NULL ? said : "it cannot be read");
}

/* "./" in front and "/" behind are how tar writes; what is between them is the name. False: none,
 * or too long. */
static bool trim(const char *written, char *ret_name)
{
    size_t n;

    if (str_has_prefix(written, "./"))
        written += 2;
    n = strlen(written);
    if (n > 0 && written[n - 1] == '/')
        n--;
    if (n > UNPACK_MAX_NAME)
        return false;
    memcpy(ret_name, written, n);
    ret_name[n] = '\0';
    return true;
}

/* Every part is a plain name, so that no ".", "..", empty part or odd character is left; and what
 * is no part of a program has no place in a slot. */
static const char *wrong_with_name(const char *name, bool is_dir)
{
    static const char *const folders[] = {"bin", "lib", "share"};
    static const char *const files[] = {"CHANGES.md", "LICENSE", "NOTICE", "README.md"};
    char part[UNPACK_MAX_NAME + 1];
    const char *p;
    size_t n, i;
    int depth = 0;

    for (p = name;; p += n + 1) {
        n = strcspn(p, "/");
        memcpy(part, p, n);
        part[n] = '\0';
        if (!str_is_safe_name(part, NAME_MAX))
            return "a part of its name is empty, begins with a dot or a dash, or has other "
                   "characters than letters, digits, dots, dashes and underscores";
        if (++depth > UNPACK_MAX_DEPTH)
            return "it is in too many directories";
        if (p[n] == '\0')
            break;
    }
    n = strcspn(name, "/");
    for (i = 0; i < ARRAY_LEN(folders); i++) {
        if (strlen(folders[i]) == n && strncmp(name, folders[i], n) == 0 &&
            (is_dir || name[n] == '/'))
            return NULL;
    }
    for (i = 0; i < ARRAY_LEN(files); i++) {
        if (!is_dir && str_eq(name, files[i]))
            return NULL;
    }
    return "only bin/, lib/, share/, LICENSE, NOTICE, README.md and CHANGES.md belong into a "
           "package";
}

static const char *wrong_with_kind(struct archive_entry *e)
{
    if (archive_entry_hardlink(e) != NULL)
        return "it is a hard link";
    switch (archive_entry_filetype(e)) {
    case AE_IFREG:
    case AE_IFDIR:
        break;
    case AE_IFLNK:
        return "it is a symbolic link";
    case AE_IFCHR:
    case AE_IFBLK:
        return "it is a device";
    case AE_IFIFO:
        return "it is a named pipe";
    case AE_IFSOCK:
        return "it is a socket";
    default:
        return "it is neither a file nor a directory";
    }
    if ((archive_entry_perm(e) & 07000) != 0)
        return "it has a set-user-id, set-group-id or sticky bit";
    if (archive_entry_xattr_count(e) > 0)
        return "it has extended attributes, such as capabilities";
    if (archive_entry_sparse_count(e) > 0)
        return "it is a sparse file";
    if (!archive_entry_size_is_set(e) || archive_entry_size(e) < 0)
        return "it has no size";
    return NULL;
}

/* The directory `part` of *fd takes the place of *fd; it is made if it is missing. */
static int enter(int *fd, const char *part, const char *name, struct err *err)
{
    bool is_new = mkdirat(*fd, part, MODE_EXECUTED) == 0;
    int next;

    if (!is_new && errno != EEXIST)
        return err_sys(err, ERR_IO, errno, "make directory %s of %s", part, name);
    next = openat(*fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (next < 0)
        return errno == ENOTDIR ? refuse(err, name, "a directory in its name is a file before it")
                                : err_sys(err, ERR_IO, errno, "open directory %s", part);
    (void)close(*fd); /* nothing was written through it */
    *fd = next;
    return is_new && fchmod(next, MODE_EXECUTED) < 0
               ? err_sys(err, ERR_IO, errno, "mode of directory %s", part)
               : 0;
}

/* The directory that `name` is in, and the last part of the name. */
static int open_parent(const struct unpack *u, const char *name, char ret_last[NAME_MAX + 1],
                       int *ret_fd, struct err *err)
{
    AUTO(close_fd) int fd = fcntl(u->dirfd, F_DUPFD_CLOEXEC, 0);
    const char *p = name, *slash;
    char part[UNPACK_MAX_NAME + 1];
    int r;

    if (fd < 0)
        return err_sys(err, ERR_SYSTEM, errno, "duplicate a descriptor");
    while ((slash = strchr(p, '/')) != NULL) {
        memcpy(part, p, (size_t)(slash - p));
        part[slash - p] = '\0';
        r = enter(&fd, part, name, err);
        if (r < 0)
            return r;
        p = slash + 1;
    }
    (void)str_copy(ret_last, NAME_MAX + 1, p); /* fits: str_is_safe_name() has looked */
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int make_failed(int errnum, const char *name, struct err *err)
{
    return errnum == EEXIST ? refuse(err, name, "it is in the archive twice")
                            : err_sys(err, ERR_IO, errnum, "make %s", name);
}

static int write_blocks(struct unpack *u, int fd, int64_t size, const char *name, struct err *err)
{
    const void *bytes;
    size_t n;
    la_int64_t offset;
    int64_t done = 0;
    int r;

    for (;;) {
        r = archive_read_data_block(u->archive, &bytes, &n, &offset);
        if (r == ARCHIVE_EOF)
            break;
        if (r != ARCHIVE_OK)
            return damaged(u->archive, name, err);
        if (offset != done)
            return refuse(err, name, "it is a sparse file");
        if (n > (uint64_t)(size - done))
            return refuse(err, name, "it is longer than it says");
        r = fs_write_all(fd, bytes, n, err);
        if (r < 0)
            return err_wrap(err, "%s", name);
        done += (int64_t)n;
    }
    if (done != size)
        return refuse(err, name, "it is shorter than it says");
    u->done.bytes += done;
    return 0;
}

static int make_file(struct unpack *u, struct archive_entry *e, int parent, const char *last,
                     const char *name, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    bool is_executed = (archive_entry_perm(e) & 0100) != 0;
    int64_t size = archive_entry_size(e);
    int r;

    if (size > u->limits->max_bytes - u->done.bytes)
        return err_set(err, ERR_LIMIT,
                       "entry \"%.200s\": with it the package would unpack to more than %lld bytes",
                       name, (long long)u->limits->max_bytes);
    fd = openat(parent, last, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return make_failed(errno, name, err);
    r = write_blocks(u, fd, size, name, err);
    if (r < 0)
        return r;
    return fchmod(fd, is_executed ? MODE_EXECUTED : MODE_READ) < 0
               ? err_sys(err, ERR_IO, errno, "mode of %s", name)
               : 0;
}

static int make_dir(int parent, const char *last, const char *name, struct err *err)
{
    if (mkdirat(parent, last, MODE_EXECUTED) < 0)
        return make_failed(errno, name, err);
    return fchmodat(parent, last, MODE_EXECUTED, 0) < 0 /* whatever the umask is */
               ? err_sys(err, ERR_IO, errno, "mode of %s", name)
               : 0;
}

/* One layer of gzip around a tar archive: nothing else that libarchive could take it for. */
static int check_format(struct archive *a, struct err *err)
{
    if (archive_filter_count(a) != 2 || archive_filter_code(a, 0) != ARCHIVE_FILTER_GZIP ||
        (archive_format(a) & ARCHIVE_FORMAT_BASE_MASK) != ARCHIVE_FORMAT_TAR)
        return err_set(err, ERR_REFUSED, "it is no tar archive compressed once with gzip");
    return 0;
}

static int take_entry(struct unpack *u, struct archive_entry *e, struct err *err)
{
    AUTO(close_fd) int parent = -1;
    char name[UNPACK_MAX_NAME + 1] = "", last[NAME_MAX + 1];
    const char *written = archive_entry_pathname(e), *wrong;
    bool is_dir = archive_entry_filetype(e) == AE_IFDIR;
    int r;

    if (written == NULL || !trim(written, name))
        return refuse(err, written != NULL ? written : "", "its name cannot be used");
    if ((wrong = wrong_with_kind(e)) != NULL)
        return refuse(err, written, wrong);
    if (is_dir && (str_eq(written, "./") || str_eq(written, ".")))
        return 0; /* the directory that is there already */
    if ((wrong = wrong_with_name(name, is_dir)) != NULL)
        return refuse(err, written, wrong);
    r = open_parent(u, name, last, &parent, err);
    if (r < 0)
        return r;
    return is_dir ? make_dir(parent, last, name, err) : make_file(u, e, parent, last, name, err);
}

static int take_entries(struct unpack *u, struct err *err)
{
    struct archive_entry *e;
    int r;

    for (;;) {
        r = archive_read_next_header(u->archive, &e);
        if (r == ARCHIVE_EOF)
            break;
        if (r != ARCHIVE_OK)
            return damaged(u->archive, NULL, err);
        if (u->done.entries == 0 && (r = check_format(u->archive, err)) < 0)
            return r;
        if (u->done.entries++ == u->limits->max_entries)
            return err_set(err, ERR_LIMIT, "it holds more than %u files and directories",
                           u->limits->max_entries);
        r = take_entry(u, e, err);
        if (r < 0)
            return r;
    }
    return u->done.entries == 0 ? err_set(err, ERR_CORRUPT, "the archive is empty") : 0;
}

int unpack_package(int fd, int dirfd, const struct unpack_limits *limits,
                   struct unpack_count *ret_count, struct err *err)
{
    AUTO(free_archive) struct archive *a = archive_read_new();
    struct unpack u = {.archive = a, .dirfd = dirfd, .limits = limits};
    int r;

    if (a == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (archive_read_support_filter_gzip(a) != ARCHIVE_OK ||
        archive_read_support_format_tar(a) != ARCHIVE_OK)
        return err_set(err, ERR_UNSUPPORTED,
                       "the libarchive of this machine was built without gzip or tar");
    if (archive_read_open_fd(a, fd, BLOCK_BYTES) != ARCHIVE_OK)
        return damaged(a, NULL, err);
    r = take_entries(&u, err);
    if (r == 0)
        *ret_count = u.done;
    return r;
}
