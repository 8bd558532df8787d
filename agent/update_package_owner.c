/* Which package manager owns the running program, and what an update through it has come to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/update_package.h"
#include "base/fs.h"
#include "base/str.h"
#include "base/version.h"

#define MAX_LIST_BYTES (1u << 20)

/* ---- the owner ---- */

static void find_program(const char *root, struct package_owner *o)
{
    static const char gone[] = " (deleted)"; /* a package has put another file there */
    size_t n_root = strlen(root);
    ssize_t n = readlink("/proc/self/exe", o->program, sizeof(o->program) - 1);

    o->program[n > 0 ? n : 0] = '\0';
    if (str_has_suffix(o->program, gone))
        o->program[strlen(o->program) - strlen(gone)] = '\0';
    while (n_root > 0 && root[n_root - 1] == '/')
        n_root--;
    (void)str_copy(o->file, sizeof(o->file), /* as large */
                   n_root > 0 && strncmp(o->program, root, n_root) == 0 && o->program[n_root] == '/'
                       ? o->program + n_root
                       : o->program);
}

/* A line of the list that dpkg keeps of the package's files. */
static bool is_of_dpkg(const char *root, const char *file)
{
    AUTO(buf_done) struct buf list = {0};
    char path[PATH_MAX + 64];
    const char *at;
    size_t n = strlen(file);

    buf_init(&list, MAX_LIST_BYTES);
    (void)snprintf(path, sizeof(path), "%s/var/lib/dpkg/info/ssmd.list", root); /* fits */
    if (n == 0 || fs_read_file(AT_FDCWD, path, &list, NULL) < 0)
        return false;
    for (at = buf_str(&list); at != NULL && *at != '\0'; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, file, n) == 0 && (at[n] == '\n' || at[n] == '\0'))
            return true;
    }
    return false;
}

static bool is_there(const char *root, const char *name)
{
    char path[PATH_MAX + 64];

    (void)snprintf(path, sizeof(path), "%s%s", root, name); /* fits */
    return access(path, F_OK) == 0;
}

static bool is_of_rpm(const char *root)
{
    return !is_there(root, "/var/lib/dpkg/status") &&
           (is_there(root, "/var/lib/rpm") || is_there(root, "/usr/lib/sysimage/rpm"));
}

void package_owner_find(const char *root, struct package_owner *ret_owner)
{
    struct package_owner *o = ret_owner;
    const char *manager = "";

    *o = (struct package_owner){.manager = ""};
    find_program(root, o);
    if (is_of_dpkg(root, o->file))
        manager = "apt-get";
    else if (is_of_rpm(root))
        manager = is_there(root, "/etc/zypp")       ? "zypper"
                  : is_there(root, "/etc/dnf")      ? "dnf"
                  : is_there(root, "/etc/yum.conf") ? "yum"
                                                    : "";
    (void)str_copy(o->manager, sizeof(o->manager), manager); /* fits */
}

const char *package_owner_command(const struct package_owner *o)
{
    static const struct {
        const char *manager, *command;
    } rows[] = {
        {"apt-get", "apt-get install --only-upgrade ssmd"},
        {"dnf", "dnf upgrade ssmd"},
        {"yum", "yum update ssmd"},
        {"zypper", "zypper update ssmd"},
    };
    size_t i;

    for (i = 0; i < ARRAY_LEN(rows); i++)
        if (str_eq(rows[i].manager, o->manager))
            return rows[i].command;
    return "apt-get install --only-upgrade ssmd, or dnf upgrade ssmd";
}

void package_repair_command(const char *manager, const char *state, const char *version,
                            char ret_text[PACKAGE_REPAIR_SIZE])
{
    /* Without the version, a reinstallation of what is there twice contradicts itself. */
    static const struct {
        const char *manager, *missing, *otherwise;
        char before_version; /* '\0': it is not named */
    } rows[] = {
        {"apt-get", "apt-get install ssmd", "dpkg --configure -a, then apt-get -f install", '\0'},
        {"dnf", "dnf install ssmd", "rpm -V ssmd, then dnf reinstall ssmd", '-'},
        {"yum", "yum install ssmd", "rpm -V ssmd, then yum reinstall ssmd", '-'},
        {"zypper", "zypper install ssmd", "rpm -V ssmd, then zypper install --force ssmd", '='},
    };
    size_t i;

    (void)str_copy(ret_text, PACKAGE_REPAIR_SIZE, "install the package ssmd again"); /* fits */
    for (i = 0; i < ARRAY_LEN(rows); i++) {
        if (!str_eq(rows[i].manager, manager))
            continue;
        if (str_eq(state, "missing") || rows[i].before_version == '\0')
            (void)str_copy(ret_text, PACKAGE_REPAIR_SIZE, /* fits */
                           str_eq(state, "missing") ? rows[i].missing : rows[i].otherwise);
        else
            (void)snprintf(ret_text, PACKAGE_REPAIR_SIZE, "%s%c%.20s", rows[i].otherwise,
                           rows[i].before_version, version);
    }
}

/* ---- what was found ---- */

/* One line into `ret`; false: there is none. */
static bool take_line(const char **at, char *ret, size_t size)
{
    size_t n = strcspn(*at, "\n");

    if (**at == '\0')
        return false;
    (void)snprintf(ret, size, "%.*s", (int)n, *at); /* may be cut */
    *at += n + ((*at)[n] == '\n');
    return true;
}

int package_found_parse(const char *text, struct package_found *ret_found, struct err *err)
{
    struct package_found f = {.state = ""};
    char line[128] = "";
    const char *at = text, *p;

    if (!take_line(&at, f.state, sizeof(f.state)) || f.state[0] == '\0' ||
        !take_line(&at, f.version, sizeof(f.version)))
        return err_set(err, ERR_CORRUPT, "the package manager does not say what is installed");
    p = take_line(&at, line, sizeof(line)) ? strchr(line, ' ') : NULL;
    if (p != NULL && str_has_prefix(line, "ssmd ")) {
        (void)snprintf(f.program, sizeof(f.program), "%.63s", p + 1);
        f.program[strcspn(f.program, ", \r")] = '\0';
    }
    *ret_found = f;
    return 0;
}

/* A package's version is ours, perhaps with an epoch before and a revision behind. */
static bool is_version(const char *package, const char *version)
{
    const char *colon = strchr(package, ':');
    size_t n = strlen(version);

    if (colon != NULL)
        package = colon + 1;
    return strncmp(package, version, n) == 0 && strchr("-+~", package[n]) != NULL;
}

enum package_verdict package_judge(const struct package_found *f, const char *from, const char *to)
{
    /* Triggers are others' business. */
    bool is_whole = str_eq(f->state, "installed") || str_has_prefix(f->state, "triggers-");

    if (is_whole && is_version(f->version, to) && str_eq(f->program, to))
        return PACKAGE_DONE;
    return is_whole && is_version(f->version, from) && str_eq(f->program, from) ? PACKAGE_UNCHANGED
                                                                                : PACKAGE_BROKEN;
}
