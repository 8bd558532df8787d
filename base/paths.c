/* Where things are. */
#include "base/paths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

static int join(char *dst, const char *root, const char *rest, struct err *err)
{
    if (snprintf(dst, PATH_MAX, "%s%s", root, rest) >= PATH_MAX)
        return err_set(err, ERR_LIMIT, "root directory %.100s...: the path is too long", root);
    return 0;
}

/* The directory that holds `path`. */
static int stat_parent(const char *path, char ret_dir[PATH_MAX], struct stat *ret_st,
                       struct err *err)
{
    char *slash;

    (void)str_copy(ret_dir, PATH_MAX, path); /* as long as what it was joined into */
    slash = strrchr(ret_dir, '/');
    slash[slash == ret_dir ? 1 : 0] = '\0';
    return stat(ret_dir, ret_st) < 0 ? err_sys(err, ERR_IO, errno, "stat %s", ret_dir) : 0;
}

static bool is_trusted_owner(const struct stat *st)
{
    return st->st_uid == 0 || st->st_uid == geteuid();
}

/* Only who may administer the machine can have made such a link, and only they can turn it. */
static int check_link(const char *path, const struct stat *link, struct err *err)
{
    char dir[PATH_MAX];
    struct stat st;
    int r = stat_parent(path, dir, &st, err);

    if (r < 0)
        return r;
    if (!is_trusted_owner(link))
        return err_set(err, ERR_STATE,
                       "%s is a symbolic link that belongs to user %ld: it is followed only where "
                       "it belongs to root or to user %ld; make it anew as that user, or mount "
                       "the directory there (mount --bind)",
                       path, (long)link->st_uid, (long)geteuid());
    if (!is_trusted_owner(&st) || (st.st_mode & 022) != 0)
        return err_set(err, ERR_STATE,
                       "%s is a symbolic link in a directory that others may write to (owner %ld, "
                       "mode %04o): it is not followed; mount the directory there (mount --bind)",
                       path, (long)st.st_uid, (unsigned)(st.st_mode & 07777));
    return 0;
}

static int check_target(const char *path, const char *target, struct err *err)
{
    char dir[PATH_MAX];
    struct stat st;
    int r;

    if (stat(target, &st) < 0)
        return err_sys(err, ERR_IO, errno, "stat %s", target);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, ERR_STATE, "%s is a symbolic link to %s, which is not a directory",
                       path, target);
    r = stat_parent(target, dir, &st, err);
    if (r == 0 && (st.st_mode & 022) != 0 && (st.st_mode & S_ISVTX) == 0)
        r = err_set(err, ERR_STATE,
                    "%s is a symbolic link to %s, and others may write to %s (mode %04o): they "
                    "could put another directory there; take that right away",
                    path, target, dir, (unsigned)(st.st_mode & 07777));
    return r;
}

/* A state directory on another disk is often a link. It is followed once, here: below it nothing
 * is. */
static int follow_state_link(const char *path, char ret_target[PATH_MAX], struct err *err)
{
    struct stat st;
    int r;

    (void)str_copy(ret_target, PATH_MAX, path); /* fits */
    if (lstat(path, &st) < 0 || !S_ISLNK(st.st_mode))
        return 0; /* what else may be wrong with it says who opens it */
    r = check_link(path, &st, err);
    if (r < 0)
        return r;
    if (realpath(path, ret_target) == NULL)
        return err_sys(err, ERR_IO, errno,
                       "%s is a symbolic link whose directory cannot be reached: make it, with "
                       "mode 0700",
                       path);
    return check_target(path, ret_target, err);
}

int paths_init(struct paths *ret_paths, const char *root, struct err *err)
{
    struct paths p = {.root = ""};
    char cwd[PATH_MAX], state[PATH_MAX];
    size_t n;
    int k, r;

    if (root == NULL)
        root = "";
    if (root[0] == '\0' || root[0] == '/') {
        k = snprintf(p.root, sizeof(p.root), "%s", root);
    } else {
        if (getcwd(cwd, sizeof(cwd)) == NULL)
            return err_sys(err, ERR_IO, errno, "current directory");
        k = snprintf(p.root, sizeof(p.root), "%s/%s", cwd, root);
    }
    if (k >= (int)sizeof(p.root))
        return err_set(err, ERR_LIMIT, "root directory: longer than %zu bytes", sizeof(p.root) - 1);
    for (n = strlen(p.root); n > 0 && p.root[n - 1] == '/'; n--)
        p.root[n - 1] = '\0';
    if ((r = join(state, p.root, "/var/lib/ssmd", err)) < 0 ||
        (r = follow_state_link(state, p.state_dir, err)) < 0 ||
        (r = join(p.jobs_dir, p.state_dir, "/jobs", err)) < 0 ||
        (r = join(p.journal, p.state_dir, "/journal.db", err)) < 0 ||
        (r = join(p.ledger_head, p.state_dir, "/ledger.head", err)) < 0 ||
        (r = join(p.update_dir, p.state_dir, "/update", err)) < 0 ||
        (r = join(p.slots_dir, p.root, "/opt/ssmd", err)) < 0 ||
        (r = join(p.run_dir, p.root, "/run/ssmd", err)) < 0 ||
        (r = join(p.ctl_socket, p.root, "/run/ssmd/ctl.sock", err)) < 0 ||
        (r = join(p.pid_file, p.root, "/run/ssmd/ssmd.pid", err)) < 0 ||
        (r = join(p.config, p.root, "/etc/ssmd/ssmd.json", err)) < 0 ||
        (r = join(p.reference_config, p.root, "/etc/amazon/ssm/amazon-ssm-agent.json", err)) < 0 ||
        (r = join(p.seelog, p.root, "/etc/amazon/ssm/seelog.xml", err)) < 0)
        return r;
    *ret_paths = p;
    return 0;
}

const char *paths_choose_config(const struct paths *paths)
{
    /* A file that is there and cannot be looked at is not passed over: reading it says why. */
    if (access(paths->config, F_OK) < 0 && errno == ENOENT &&
        access(paths->reference_config, F_OK) == 0)
        return paths->reference_config;
    return paths->config;
}
