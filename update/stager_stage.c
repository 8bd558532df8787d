/* From a verified package to a sealed slot: unpacked beside the slots under a name that none has,
 * tried, sealed, and put in its place by one rename. Whoever dies on the way leaves a name that the
 * next run removes. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crashpoint.h"
#include "base/fs.h"
#include "base/str.h"
#include "update/stager_internal.h"
#include "update/unpack.h"

#define NEW ".new"   /* ".<version>.new": being made */
#define GONE ".gone" /* ".<version>.gone": on its way out */
#define CODE_PACKAGE "ErrorInvalidPackage"
#define CODE_FOLDER "ErrorCreateUpdateFolder"
#define CODE_PRECONDITION "ErrorFailedPrecondition"
#define NAME_SIZE (SLOTS_VERSION_SIZE + sizeof("." GONE))

/* ---- what is there ---- */

/* What earlier runs left. */
static int remove_leftovers(const struct slots *slots, struct err *err)
{
    int fd = openat(slots->versions_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    if (dir == NULL) {
        r = err_sys(err, ERR_IO, errno, "list versions");
        close_fd_cleanup(&fd);
        return r;
    }
    while (r == 0 && (entry = readdir(dir)) != NULL) {
        const char *name = entry->d_name;

        if (name[0] == '.' && (str_has_suffix(name, NEW) || str_has_suffix(name, GONE)))
            r = slots_remove_tree(slots->versions_fd, name, err);
    }
    (void)closedir(dir);
    return r;
}

/* Not by a link that cannot be read either: what it meant is not known. */
static int check_not_named(const struct slots *slots, const char *version, struct err *err)
{
    static const char *const names[SLOTS_N_LINKS] = {"current", "proven", "previous"};
    char named[SLOTS_VERSION_SIZE];
    enum slots_link which;
    int r;

    for (which = 0; which < SLOTS_N_LINKS; which++) {
        r = slots_get(slots, which, named, err);
        if (r == ERR_NOT_FOUND)
            continue;
        if (r < 0)
            return r;
        if (str_eq(named, version))
            return err_set(err, ERR_STATE,
                           "%s names it, so it is not replaced; put it back from a "
                           "copy, or move that link to another version",
                           names[which]);
    }
    return 0;
}

static int move_away(const struct slots *slots, const char *version, struct err *err)
{
    char gone[NAME_SIZE];

    (void)snprintf(gone, sizeof(gone), ".%s" GONE, version); /* fits */
    if (renameat(slots->versions_fd, version, slots->versions_fd, gone) < 0 ||
        fsync(slots->versions_fd) < 0)
        return err_sys(err, ERR_IO, errno, "remove version %s", version);
    return slots_remove_tree(slots->versions_fd, gone, err);
}

/* True in *ret_is_there: a slot of the version that is what it was when it was sealed. A damaged
 * one that nothing names makes room for the new one. */
static int look(struct stager *s, const struct slots *slots, bool *ret_is_there, struct err *err)
{
    const char *version = s->q->target;
    struct err why = {0}, names = {0};
    int r = slots_verify(slots, version, &why);

    *ret_is_there = r == 0;
    if (r == 0 || r == ERR_NOT_FOUND)
        return 0;
    s->code = CODE_PRECONDITION;
    if (check_not_named(slots, version, &names) < 0)
        return err_set(err, ERR_STATE, "version %s is here and damaged (%.200s); %s", version,
                       why.text, names.text);
    if (err_class_of(r) == ERR_CLASS_RETRY) { /* it could not be looked at */
        *err = why;
        return err_wrap(err, "version %s", version);
    }
    stager_say("version %s is damaged and nothing names it, so it is replaced: %s", version,
               why.text);
    s->code = CODE_FOLDER;
    return move_away(slots, version, err);
}

/* ---- a new one ---- */

/* All the programs an agent consists of. The first two are what must come up or go back, the next
 * ones what the agent would do nothing without. */
static const struct {
    const char *name;
    bool is_tried; /* it is run, once */
} programs[] = {
    {"bin/ssmd", true},          {"bin/ssmd-updater", true}, {"bin/ssmd-runner", true},
    {"bin/ssmd-download", true}, {"bin/ssmd-stager", true},  {"bin/ssmctl", false},
};

static int check_programs(int dirfd, const char *version, struct err *err)
{
    struct stat st;
    size_t i;
    int r;

    for (i = 0; i < ARRAY_LEN(programs); i++) {
        if (fstatat(dirfd, programs[i].name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            !S_ISREG(st.st_mode) || (st.st_mode & 0100) == 0)
            return err_set(err, ERR_REFUSED, "it has no program %s", programs[i].name);
    }
    for (i = 0; i < ARRAY_LEN(programs); i++) {
        r = programs[i].is_tried ? stager_trial(dirfd, programs[i].name, version, err) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

static int unpack(struct stager *s, const struct release_version *v, int dirfd, struct err *err)
{
    const struct unpack_limits limits = {stager_unpacked_max_bytes(v), SLOTS_MAX_FILES};
    AUTO(close_fd) int fd = -1;
    struct unpack_count count;
    int r;

    s->code = CODE_PACKAGE;
    r = stager_package_open(s, v->length_bytes, v->sha256, &fd, err);
    if (r < 0)
        return r;
    r = unpack_package(fd, dirfd, &limits, &count, err);
    if (r == ERR_FULL || r == ERR_IO)
        s->code = CODE_FOLDER;
    if (r == 0)
        stager_say("unpacked %u files and directories, %lld bytes", count.entries,
                   (long long)count.bytes);
    return r < 0 ? err_wrap(err, "package of version %s", v->version) : 0;
}

/* Unpacked, tried and sealed, in versions/<name>. */
static int fill(struct stager *s, const struct slots *slots, const struct release_version *v,
                const char *name, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    int r;

    if (mkdirat(slots->versions_fd, name, 0755) < 0)
        return err_sys(err, ERR_IO, errno, "make directory %s in %s/versions", name,
                       s->q->slots_dir);
    r = fs_open_dir(slots->versions_fd, name, &fd, err);
    if (r == 0)
        r = unpack(s, v, fd, err);
    if (r < 0)
        return r;
    crashpoint("stager.unpacked");
    s->code = CODE_PACKAGE;
    r = check_programs(fd, s->q->target, err);
    if (r < 0)
        return err_wrap(err, "package of version %s", s->q->target);
    s->code = CODE_FOLDER;
    r = slots_seal(fd, s->q->target, v->sha256, err);
    crashpoint("stager.sealed");
    return r;
}

static int put_in_place(struct stager *s, const struct slots *slots, const char *name,
                        struct err *err)
{
    s->code = CODE_FOLDER;
    if (renameat2(slots->versions_fd, name, slots->versions_fd, s->q->target, RENAME_NOREPLACE) <
            0 ||
        fsync(slots->versions_fd) < 0)
        return err_sys(err, ERR_IO, errno, "put version %s into %s/versions", s->q->target,
                       s->q->slots_dir);
    crashpoint("stager.placed");
    return 0;
}

static int make(struct stager *s, const struct slots *slots, struct err *err)
{
    AUTO(trust_free) struct trust *t = NULL;
    struct choice choice = {.version = NULL};
    struct err why = {0};
    char name[NAME_SIZE];
    int r = stager_metadata_load(s, &t, err);

    if (r == 0)
        r = stager_choose_again(s, t, &choice, err);
    if (r != 0)
        return r;
    s->code = CODE_FOLDER;
    r = stager_check_room(slots->versions_fd, stager_unpacked_room_bytes(choice.version),
                          s->q->slots_dir, err);
    if (r == 0)
        r = stager_check_room(s->work_fd, 0, s->q->update_dir, err);
    if (r < 0)
        return r;
    (void)snprintf(name, sizeof(name), ".%s" NEW, s->q->target); /* fits */
    r = fill(s, slots, choice.version, name, err);
    if (r == 0)
        r = put_in_place(s, slots, name, err);
    if (r < 0 && slots_remove_tree(slots->versions_fd, name, &why) < 0)
        stager_say("%s; the next update tries again to remove it", why.text);
    return r;
}

static int try_again(const struct slots *slots, const char *version, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    int r = fs_open_dir(slots->versions_fd, version, &fd, err);

    return r < 0 ? r : check_programs(fd, version, err);
}

int stager_stage(struct stager *s, struct err *err)
{
    struct slots slots = {-1, -1};
    bool is_there = false;
    int r;

    s->code = CODE_PRECONDITION;
    r = slots_open(s->q->slots_dir, false, &slots, err);
    if (r == ERR_NOT_FOUND)
        return err_set(err, ERR_NOT_FOUND,
                       "%.200s has no versions, so this agent was not installed as one; update it "
                       "as it was installed, or run ssmd-updater install",
                       s->q->slots_dir);
    if (r < 0)
        return r;
    s->code = CODE_FOLDER;
    r = remove_leftovers(&slots, err);
    if (r == 0)
        r = look(s, &slots, &is_there, err);
    if (r == 0 && is_there) {
        stager_say("version %s is here already, as it was sealed", s->q->target);
        s->code = CODE_PRECONDITION;
        r = try_again(&slots, s->q->target, err);
        s->code = r == 0 ? CODE_FOLDER : s->code;
        if (r == 0 && fsync(slots.versions_fd) < 0) /* who put it there may not have lived to */
            r = err_sys(err, ERR_IO, errno, "version %s: sync the directory", s->q->target);
    } else if (r == 0) {
        r = make(s, &slots, err);
    }
    slots_done(&slots);
    if (r == 0)
        (void)unlinkat(s->work_fd, STAGER_PACKAGE, 0); /* best effort: it is a slot now */
    return r;
}
