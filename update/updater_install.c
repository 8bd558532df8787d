/* The first slot: copies of programs that somebody put somewhere, sealed, and named by the links.
 * From then on versions come by updates. Done again, it finishes what was begun, or says that
 * nothing is to be done. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "update/updater_internal.h"

#define LOCK_WAIT_MS 2000

static const struct {
    const char *name;
    bool is_needed, is_linked; /* ... into usr/local/sbin */
} programs[] = {
    {"ssmd", true, true},          {"ssmd-runner", true, false},
    {"ssmd-updater", true, true},  {"ssmd-download", false, false},
    {"ssmd-stager", false, false}, {"ssmctl", false, true},
};

struct install {
    struct updater u;
    char from[PATH_MAX];
    int from_fd; /* owned */
    char version[SLOTS_VERSION_SIZE];
};

/* ---- which version it is ---- */

static int read_answer(int fd, pid_t pid, char *ret_text, size_t size)
{
    size_t have = 0;
    ssize_t n;
    int status;

    while (have < size - 1 && (n = read(fd, ret_text + have, size - 1 - have)) > 0)
        have += (size_t)n;
    ret_text[have] = '\0';
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : ERR_INVALID;
}

/* "ssmd 0.2.0", by the program itself: that it runs here is seen on the way. */
static int ask_version(struct install *in, struct err *err)
{
    static const char before[] = "ssmd ";
    char program[PATH_MAX + 8], name[] = "ssmd", option[] = "--version", text[128];
    char *argv[] = {name, option, NULL}, *env[] = {NULL};
    posix_spawn_file_actions_t actions;
    int fds[2], e, r;
    pid_t pid;

    (void)snprintf(program, sizeof(program), "%s/ssmd", in->from);
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_sys(err, ERR_SYSTEM, errno, "pipe");
    (void)posix_spawn_file_actions_init(
        &actions); /* fails only for want of memory; glibc's: never */
    e = posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
    if (e == 0)
        e = posix_spawn(&pid, program, &actions, NULL, argv, env);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(fds[1]);
    r = e == 0 ? read_answer(fds[0], pid, text, sizeof(text)) : 0;
    (void)close(fds[0]);
    if (e != 0)
        return err_sys(err, ERR_SYSTEM, e, "%s --version", program);
    text[strcspn(text, "\n")] = '\0';
    if (r < 0 || !str_has_prefix(text, before) || !version_is_valid(text + sizeof(before) - 1))
        return err_set(err, ERR_INVALID, "%s --version says \"%.60s\": that is not ssmd", program,
                       text);
    (void)str_copy(in->version, sizeof(in->version),
                   text + sizeof(before) - 1); /* a version fits */
    return 0;
}

/* ---- the slot ---- */

static int copy_bytes(int from, int to, const char *name, struct err *err)
{
    char chunk[65536];
    ssize_t n;
    int r = 0;

    while (r == 0 && (n = read(from, chunk, sizeof(chunk))) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        r = n < 0 ? err_sys(err, ERR_IO, errno, "read %s", name)
                  : fs_write_all(to, chunk, (size_t)n, err);
    }
    return r;
}

static int copy_program(struct install *in, int bin_fd, const char *name, bool is_needed,
                        struct err *err)
{
    AUTO(close_fd) int from = openat(in->from_fd, name, O_RDONLY | O_CLOEXEC);
    AUTO(close_fd) int to = -1;
    char beside[64];
    int r;

    if (from < 0 && errno == ENOENT) { /* of an installation below a prefix */
        (void)snprintf(beside, sizeof(beside), "../../bin/%s", name);
        from = openat(in->from_fd, beside, O_RDONLY | O_CLOEXEC);
    }
    if (from < 0 && errno == ENOENT && !is_needed) {
        (void)printf("%s/%s is not there: without it\n", in->from, name);
        return 0;
    }
    if (from < 0)
        return err_sys(err, ERR_IO, errno, "open %s/%s", in->from, name);
    to = openat(bin_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0700);
    if (to < 0)
        return err_sys(err, ERR_IO, errno, "create %s", name);
    r = copy_bytes(from, to, name, err);
    return r < 0 ? err_wrap(err, "copy %s", name) : 0;
}

static int fill_slot(struct install *in, int fd, struct err *err)
{
    AUTO(close_fd) int bin_fd = -1;
    size_t i;
    int r = fs_make_dir(fd, "bin", &bin_fd, err);

    for (i = 0; r == 0 && i < ARRAY_LEN(programs); i++)
        r = copy_program(in, bin_fd, programs[i].name, programs[i].is_needed, err);
    return r < 0 ? r : slots_seal(fd, in->version, "", err);
}

/* Under another name until it is complete. */
static int make_slot(struct install *in, struct err *err)
{
    int versions_fd = in->u.slots.versions_fd;
    AUTO(close_fd) int fd = -1;
    char temp[SLOTS_VERSION_SIZE + 8];
    int r = slots_verify(&in->u.slots, in->version, err);

    if (r == 0)
        return 0;
    if (r != ERR_NOT_FOUND)
        return r; /* a damaged one is for a person to look at */
    (void)snprintf(temp, sizeof(temp), ".%s.new", in->version);
    if ((r = slots_remove_tree(versions_fd, temp, err)) < 0 ||
        (r = fs_make_dir(versions_fd, temp, &fd, err)) < 0 || (r = fill_slot(in, fd, err)) < 0)
        return r;
    if (renameat(versions_fd, temp, versions_fd, in->version) < 0 || fsync(versions_fd) < 0)
        return err_sys(err, ERR_IO, errno, "version %s in its place", in->version);
    (void)printf("version %s is in %s/versions/%s\n", in->version, in->u.paths.slots_dir,
                 in->version);
    return 0;
}

/* Proven first: then there is something to go back to before anything is started. */
static int name_slot(struct install *in, struct err *err)
{
    static const enum slots_link both[] = {SLOTS_PROVEN, SLOTS_CURRENT};
    static const char *const words[] = {"proven", "current"};
    char version[SLOTS_VERSION_SIZE];
    size_t i;
    int r = 0;

    for (i = 0; r == 0 && i < ARRAY_LEN(both); i++) {
        if (slots_get(&in->u.slots, both[i], version, NULL) == 0 && str_eq(version, in->version))
            continue;
        r = slots_point(&in->u.slots, both[i], in->version, err);
        if (r == 0)
            (void)printf("%s leads to it\n", words[i]);
    }
    return r;
}

/* ---- around it ---- */

static int make_place(const struct install *in, const char *path, int *ret_fd, struct err *err)
{
    char copy[PATH_MAX], *p;

    if (snprintf(copy, sizeof(copy), "%s%s", in->u.paths.root, path) >= (int)sizeof(copy))
        return err_set(err, ERR_LIMIT, "%.100s...: too long", path);
    for (p = copy + 1; (p = strchr(p, '/')) != NULL; p++) {
        *p = '\0';
        if (mkdir(copy, 0755) < 0 && errno != EEXIST)
            return err_sys(err, ERR_IO, errno, "make directory %s", copy);
        *p = '/';
    }
    if (mkdir(copy, 0755) < 0 && errno != EEXIST)
        return err_sys(err, ERR_IO, errno, "make directory %s", copy);
    *ret_fd = open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* may be a link: the machine's own */
    return *ret_fd >= 0 ? 0 : err_sys(err, ERR_IO, errno, "open %s", copy);
}

static int link_program(const struct install *in, int fd, const char *name, struct err *err)
{
    char target[PATH_MAX], now[PATH_MAX];
    ssize_t n = readlinkat(fd, name, now, sizeof(now) - 1);
    struct stat st;

    if (snprintf(target, sizeof(target), "%s/current/bin/%s", in->u.paths.slots_dir, name) >=
        (int)sizeof(target))
        return err_set(err, ERR_LIMIT, "%.100s...: too long", in->u.paths.slots_dir);
    now[n > 0 ? n : 0] = '\0';
    if (str_eq(now, target))
        return 0;
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        (void)printf("/usr/local/sbin/%s is there already and stays as it is\n", name);
        return 0;
    }
    if (symlinkat(target, fd, name) < 0)
        return err_sys(err, ERR_IO, errno, "/usr/local/sbin/%s", name);
    (void)printf("/usr/local/sbin/%s leads to %s\n", name, target);
    return 0;
}

static int link_programs(const struct install *in, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    size_t i;
    int r = make_place(in, "/usr/local/sbin", &fd, err);

    for (i = 0; r == 0 && i < ARRAY_LEN(programs); i++)
        if (programs[i].is_linked)
            r = link_program(in, fd, programs[i].name, err);
    return r;
}

static int write_units(const struct install *in, struct err *err)
{
    static const struct {
        const char *name, *text;
    } units[] = {{"ssmd.service", slot_unit_ssmd}, {"ssmd-updater.service", slot_unit_updater}};
    AUTO(close_fd) int fd = -1;
    size_t i;
    int r = make_place(in, "/etc/systemd/system", &fd, err);

    for (i = 0; r == 0 && i < ARRAY_LEN(units); i++) {
        r = fs_write_atomic(fd, units[i].name, units[i].text, strlen(units[i].text), 0644, true,
                            err);
        if (r == 0)
            (void)printf("/etc/systemd/system/%s is written\n", units[i].name);
    }
    if (r == 0)
        (void)puts("next: systemctl daemon-reload && systemctl enable ssmd-updater && systemctl "
                   "enable --now ssmd");
    return r;
}

static int open_all(struct install *in, const struct updater_options *o, struct err *err)
{
    AUTO(slots_done) struct slots made = {-1, -1};
    struct paths paths;
    char *slash;
    ssize_t n;
    int r = paths_init(&paths, o->root, err);

    if (r == 0)
        r = slots_open(paths.slots_dir, true, &made, err);
    if (r == 0)
        r = updater_open(&in->u, o->root, true, err);
    if (r < 0)
        return r;
    if (o->from != NULL) {
        if (!str_copy(in->from, sizeof(in->from), o->from))
            return err_set(err, ERR_LIMIT, "%.100s...: too long", o->from);
    } else {
        n = readlink("/proc/self/exe", in->from, sizeof(in->from) - 1);
        in->from[n > 0 ? n : 0] = '\0';
        if ((slash = strrchr(in->from, '/')) != NULL)
            *slash = '\0';
    }
    in->from_fd = open(in->from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return in->from_fd >= 0 ? 0 : err_sys(err, ERR_IO, errno, "open %s", in->from);
}

static int check_first(struct install *in, struct err *err)
{
    char version[SLOTS_VERSION_SIZE];
    int r = slots_get(&in->u.slots, SLOTS_CURRENT, version, err);

    if (r == ERR_NOT_FOUND || (r == 0 && str_eq(version, in->version)))
        return 0;
    return r < 0 ? r
                 : err_set(err, ERR_STATE,
                           "version %s is installed, this is version %s: an update can be undone, "
                           "this could not; try: ssmctl update --to %s",
                           version, in->version, in->version);
}

int verb_install(const struct updater_options *o)
{
    struct install in = {.u = {.slots = {-1, -1}, .update_fd = -1, .lock_fd = -1}, .from_fd = -1};
    struct err err;
    int r;

    (void)umask(022);
    if ((r = open_all(&in, o, &err)) == 0 && (r = handover_lock(&in.u, LOCK_WAIT_MS, &err)) == 0 &&
        (r = ask_version(&in, &err)) == 0 && (r = check_first(&in, &err)) == 0 &&
        (r = make_slot(&in, &err)) == 0 && (r = name_slot(&in, &err)) == 0 &&
        (r = link_programs(&in, &err)) == 0 && o->has_unit)
        r = write_units(&in, &err);
    if (r == 0)
        (void)printf("version %s is installed\n", in.version);
    else
        (void)fprintf(stderr, "ssmd-updater: install: %s\n", err.text);
    close_fd_cleanup(&in.from_fd);
    updater_close(&in.u);
    if (r == 0)
        return UPDATER_OK;
    return err_class_of(r) == ERR_CLASS_RETRY ? UPDATER_SYSTEM : UPDATER_NO;
}
