/* The package file: fetched to work/package.part, hashed on the way, and under its own name only
 * when it is what the manifest says. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crashpoint.h"
#include "base/fs.h"
#include "base/str.h"
#include "update/stager_internal.h"

#define PART STAGER_PACKAGE ".part"
#define SAY_EVERY_US (5 * 1000000ll)
#define CHUNK_BYTES 65536
#define CODE_DOWNLOAD "ErrorTargetPkgDownload"
#define CODE_FOLDER "ErrorCreateUpdateFolder"

struct part {
    int fd; /* owned by fetch() */
    int64_t done_bytes, length_bytes, said_us;
    struct sha256 sha;
};

int stager_check_room(int fd, int64_t bytes, const char *where, struct err *err)
{
    struct statvfs st;
    unsigned long long room, wanted = (unsigned long long)(bytes + STAGER_MARGIN_BYTES);

    if (fstatvfs(fd, &st) < 0)
        return err_sys(err, ERR_IO, errno, "free space of %s", where);
    if (st.f_blocks == 0) /* a file system that does not count */
        return 0;
    room = (unsigned long long)st.f_bavail * st.f_frsize;
    if (room < wanted)
        return err_set(err, ERR_FULL,
                       "Insufficient available disk space: %llu MiB are free in %s, %llu MiB are "
                       "needed; make room there and try again",
                       room >> 20, where, (wanted + (1u << 20) - 1) >> 20);
    return 0;
}

static int take(void *ctx, const void *bytes, size_t n, struct err *err)
{
    struct part *p = ctx;
    int64_t now_us = clock_monotonic_us();

    if ((int64_t)n > p->length_bytes - p->done_bytes)
        return err_set(err, ERR_LIMIT, "it is longer than the %lld bytes that the manifest says",
                       (long long)p->length_bytes);
    sha256_add(&p->sha, bytes, n);
    p->done_bytes += (int64_t)n;
    if (now_us - p->said_us > SAY_EVERY_US) {
        stager_say("fetched %lld of %lld KiB", (long long)p->done_bytes >> 10,
                   (long long)p->length_bytes >> 10);
        p->said_us = now_us;
    }
    return fs_write_all(p->fd, bytes, n, err);
}

static int restart(void *ctx, struct err *err)
{
    struct part *p = ctx;

    p->done_bytes = 0;
    p->said_us = clock_monotonic_us();
    sha256_init(&p->sha);
    return ftruncate(p->fd, 0) < 0 || lseek(p->fd, 0, SEEK_SET) < 0
               ? err_sys(err, ERR_IO, errno, "begin " PART " anew")
               : 0;
}

static int check(int64_t here_bytes, struct sha256 *sha, int64_t length_bytes, const char *sha256,
                 struct err *err)
{
    char hex[SHA256_HEX_SIZE];

    sha256_end_hex(sha, hex);
    if (here_bytes != length_bytes)
        return err_set(err, ERR_CORRUPT, "it is %lld bytes long, the manifest says %lld",
                       (long long)here_bytes, (long long)length_bytes);
    return str_eq_nocase(hex, sha256)
               ? 0
               : err_set(err, ERR_CORRUPT, "its SHA-256 is %s, the manifest says %s", hex, sha256);
}

static int fetch(struct stager *s, const struct choice *c, struct err *err)
{
    AUTO(close_fd)
    int fd = openat(s->work_fd, PART, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    struct part part = {.fd = fd, .length_bytes = c->version->length_bytes};
    const struct stager_sink sink = {take, restart, &part};
    int r;

    if (fd < 0)
        return err_sys(err, ERR_IO, errno, "make " PART " in %s/" STAGER_WORK, s->q->update_dir);
    s->code = CODE_DOWNLOAD;
    stager_say("fetching %s, %lld bytes", c->url, (long long)c->version->length_bytes);
    r = stager_get(s, c->url, &sink, err);
    if (r < 0)
        return r;
    r = check(part.done_bytes, &part.sha, c->version->length_bytes, c->version->sha256, err);
    if (r < 0)
        return err_wrap(err, "package %s", c->url);
    crashpoint("stager.package.fetched");
    if (fsync(fd) < 0 || renameat(s->work_fd, PART, s->work_fd, STAGER_PACKAGE) < 0 ||
        fsync(s->work_fd) < 0) {
        s->code = CODE_FOLDER;
        return err_sys(err, ERR_IO, errno, "keep the package in %s/" STAGER_WORK, s->q->update_dir);
    }
    crashpoint("stager.package.kept");
    return 0;
}

static int hash(int fd, int64_t length_bytes, const char *sha256, struct err *err)
{
    char chunk[CHUNK_BYTES];
    struct sha256 sha;
    int64_t here_bytes = 0;

    sha256_init(&sha);
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof(chunk));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, ERR_IO, errno, "read it");
        if (n == 0)
            return check(here_bytes, &sha, length_bytes, sha256, err);
        sha256_add(&sha, chunk, (size_t)n);
        here_bytes += n;
    }
}

int stager_package_open(struct stager *s, int64_t length_bytes, const char *sha256, int *ret_fd,
                        struct err *err)
{
    AUTO(close_fd)
    int fd = openat(s->work_fd, STAGER_PACKAGE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    int r;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_sys(err, ERR_IO, errno, "package in %s/" STAGER_WORK, s->q->update_dir);
    r = !S_ISREG(st.st_mode) || st.st_size != length_bytes
            ? err_set(err, ERR_CORRUPT, "it is %lld bytes long, the manifest says %lld",
                      (long long)st.st_size, (long long)length_bytes)
            : hash(fd, length_bytes, sha256, err);
    if (r == 0 && lseek(fd, 0, SEEK_SET) != 0)
        r = err_sys(err, ERR_IO, errno, "seek");
    if (r < 0)
        return err_wrap(err, "package in %s/" STAGER_WORK, s->q->update_dir);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* Where the package will be unpacked; a machine without slots is told so later. */
static int check_slots_room(const struct stager *s, const struct release_version *v,
                            struct err *err)
{
    AUTO(close_fd) int fd = open(s->q->slots_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? 0 : stager_check_room(fd, stager_unpacked_room_bytes(v), s->q->slots_dir, err);
}

int stager_package_fetch(struct stager *s, const struct choice *c, struct err *err)
{
    AUTO(close_fd) int there = -1;
    const struct release_version *v = c->version;
    struct err why = {0};
    int r;

    s->code = CODE_FOLDER;
    if (stager_package_open(s, v->length_bytes, v->sha256, &there, &why) == 0) {
        stager_say("the package is here already");
        return 0;
    }
    r = fs_remove_tree(s->work_fd, STAGER_PACKAGE, err);
    if (r == 0)
        r = fs_remove_tree(s->work_fd, PART, err);
    if (r == 0)
        r = stager_check_room(s->work_fd, v->length_bytes, s->q->update_dir, err);
    if (r == 0)
        r = check_slots_room(s, v, err);
    if (r < 0)
        return r;
    r = fetch(s, c, err);
    if (r < 0)
        (void)unlinkat(s->work_fd, PART, 0); /* best effort: the next run removes it too */
    return r;
}
