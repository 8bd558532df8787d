/* A profile of the shared credentials file, read again when the file was changed. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "transport/credentials.h"

struct file_provider {
    struct credentials_provider base;
    char path[PATH_MAX]; /* "" when no home directory is known */
    char profile[128];
    struct credentials found;
    bool is_cached;
    struct stat seen; /* of the file that `found` came from */
    char problem[300];
};

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Not through struct buf: it leaves copies of secrets behind when it grows. */
static int read_whole(int fd, char *bytes, size_t size, size_t *ret_n, struct err *err)
{
    size_t n = 0;

    while (n < size) {
        ssize_t k = read(fd, bytes + n, size - n);

        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return err_sys(err, ERR_IO, errno, "read");
        if (k == 0)
            break;
        n += (size_t)k;
    }
    *ret_n = n;
    return 0;
}

static int read_credentials(struct file_provider *p, struct err *err)
{
    AUTO(close_fd) int fd = open(p->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct credentials found = {0};
    struct stat st;
    size_t size, n = 0;
    char *bytes;
    int r;

    if (fd < 0)
        return err_sys(err, ERR_IO, errno, "open");
    if (fstat(fd, &st) < 0)
        return err_sys(err, ERR_IO, errno, "stat");
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "it is not a regular file");
    if (st.st_size > (off_t)CREDENTIALS_MAX_FILE_BYTES)
        return err_set(err, ERR_LIMIT, "it is larger than %u bytes", CREDENTIALS_MAX_FILE_BYTES);
    size = (size_t)st.st_size + 1;
    bytes = malloc(size);
    if (bytes == NULL)
        return err_set(err, ERR_NOMEM, "credentials: out of memory");
    r = read_whole(fd, bytes, size, &n, err);
    if (r == 0)
        r = credentials_parse_ini(bytes, n, p->profile, &found, err);
    explicit_bzero(bytes, size);
    free(bytes);
    if (r < 0)
        return r;
    credentials_done(&p->found);
    p->found = found;
    p->seen = st;
    p->is_cached = true;
    return 0;
}

static int file_credentials(struct credentials_provider *base, const struct credentials **ret,
                            struct err *err)
{
    struct file_provider *p = container_of(base, struct file_provider, base);
    struct err why = {0};
    struct stat st;
    int r = 0;

    if (p->path[0] == '\0')
        r = err_set(&why, ERR_NOT_FOUND,
                    "no home directory is known; set "
                    "AWS_SHARED_CREDENTIALS_FILE");
    else if (!p->is_cached || stat(p->path, &st) < 0 || !is_same_file(&st, &p->seen)) {
        p->is_cached = false;
        r = read_credentials(p, &why);
    }
    if (r == 0) {
        p->problem[0] = '\0';
        *ret = &p->found;
        return 0;
    }
    credentials_done(&p->found);
    (void)str_copy(p->problem, sizeof(p->problem), why.text); /* a text that may be cut */
    return err_set(err, r == ERR_NOMEM ? ERR_NOMEM : ERR_AUTH, "file %s: %s", p->path, why.text);
}

static void file_reject(struct credentials_provider *base)
{
    struct file_provider *p = container_of(base, struct file_provider, base);

    p->is_cached = false;
}

static void file_describe(const struct credentials_provider *base, struct buf *b)
{
    const struct file_provider *p = container_of(base, const struct file_provider, base);

    if (p->problem[0] != '\0')
        (void)buf_printf(b, "file %s: %s\n", p->path, p->problem);
    else
        (void)buf_printf(b, "file %s: in use, profile [%s], access key %s\n", p->path, p->profile,
                         p->found.access_key);
}

static void file_free(struct credentials_provider *base)
{
    struct file_provider *p = container_of(base, struct file_provider, base);

    credentials_done(&p->found);
    free(p);
}

static void choose_path(struct file_provider *p, const struct env_source *env, const char *path)
{
    const char *home;
    const struct passwd *user;

    if (path == NULL)
        path = env_get_nonempty(env, "AWS_SHARED_CREDENTIALS_FILE");
    if (path != NULL) {
        (void)str_copy(p->path, sizeof(p->path), path); /* one that is cut fails to open, by name */
        return;
    }
    home = env_get_nonempty(env, "HOME");
    if (home == NULL && (user = getpwuid(geteuid())) != NULL)
        home = user->pw_dir;
    if (home == NULL ||
        (size_t)snprintf(p->path, sizeof(p->path), "%s/.aws/credentials", home) >= sizeof(p->path))
        p->path[0] = '\0';
}

int credentials_file_new(const struct env_source *env, const char *path, const char *profile,
                         struct credentials_provider **ret_provider, struct err *err)
{
    static const struct credentials_ops ops = {file_credentials, file_reject, file_describe,
                                               file_free};
    struct file_provider *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return err_set(err, ERR_NOMEM, "credentials: out of memory");
    p->base.ops = &ops;
    choose_path(p, env, path);
    if (profile == NULL)
        profile = env_get_nonempty(env, "AWS_PROFILE");
    if (profile == NULL)
        profile = "default";
    (void)str_copy(p->problem, sizeof(p->problem), "not looked at yet");
    if (!str_copy(p->profile, sizeof(p->profile), profile)) {
        free(p);
        return err_set(err, ERR_INVALID, "credentials: the profile name is longer than %zu bytes",
                       sizeof(p->profile) - 1);
    }
    *ret_provider = &p->base;
    return 0;
}
