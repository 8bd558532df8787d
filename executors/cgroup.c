/* A control group of its own for each step. */
#include "executors/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"

#define MAX_PROC_FILE (1u << 20) /* mountinfo of a machine with thousands of containers */
#define REMOVE_ROUNDS 3          /* a process may fork while we move it */

static int join(char ret_path[PATH_MAX], const char *dir, const char *name, struct err *err)
{
    if (snprintf(ret_path, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX)
        return err_set(err, ERR_LIMIT, "cgroup %.100s...: path too long", dir);
    return 0;
}

/* The next line of *text into line[size], cut if longer; false at the end. */
static bool next_line(const char **text, char *line, size_t size)
{
    size_t n = strcspn(*text, "\n"), k = n < size ? n : size - 1;

    if (**text == '\0')
        return false;
    memcpy(line, *text, k);
    line[k] = '\0';
    *text += n + ((*text)[n] == '\n');
    return true;
}

int cgroup_find(const char *self_cgroup, const char *mountinfo, char ret_path[PATH_MAX],
                struct err *err)
{
    char own[PATH_MAX] = "", line[PATH_MAX], root[1024], mount[1024];
    size_t n;

    while (next_line(&self_cgroup, line, sizeof(line)))
        if (str_has_prefix(line, "0::/"))
            (void)str_copy(own, sizeof(own), line + 3);
    if (own[0] == '\0')
        return err_set(err, ERR_UNSUPPORTED, "cgroup: this process is in none of version 2");
    while (next_line(&mountinfo, line, sizeof(line))) {
        const char *type = strstr(line, " - ");

        if (type == NULL || !str_has_prefix(type, " - cgroup2 ") ||
            sscanf(line, "%*d %*d %*s %1023s %1023s", root, mount) != 2 ||
            strchr(mount, '\\') != NULL)
            continue;
        /* A container may see only a part of the hierarchy: `root` is what its mount shows. */
        n = str_eq(root, "/") ? 0 : strlen(root);
        if (strncmp(own, root, n) != 0 || (own[n] != '/' && own[n] != '\0'))
            continue;
        if (snprintf(ret_path, PATH_MAX, "%s%s", mount, str_eq(own + n, "/") ? "" : own + n) <
            PATH_MAX)
            return 0;
    }
    return err_set(err, ERR_UNSUPPORTED, "cgroup: version 2 is not mounted");
}

static int read_text(const char *path, struct buf *ret_text, struct err *err)
{
    buf_init(ret_text, MAX_PROC_FILE);
    return fs_read_file(AT_FDCWD, path, ret_text, err);
}

int cgroup_find_own(char ret_path[PATH_MAX], struct err *err)
{
    AUTO(buf_done) struct buf own = {0}, mounts = {0};
    int r;

    if ((r = read_text("/proc/self/cgroup", &own, err)) < 0 ||
        (r = read_text("/proc/self/mountinfo", &mounts, err)) < 0)
        return r;
    return cgroup_find(buf_str(&own), buf_str(&mounts), ret_path, err);
}

int cgroup_make(const char *parent, const char *name, char ret_path[PATH_MAX], struct err *err)
{
    char path[PATH_MAX];
    int r = join(path, parent, name, err);

    if (r < 0)
        return r;
    if (mkdir(path, 0755) < 0)
        return err_sys(err, ERR_IO, errno, "cgroup: make %s", path);
    (void)str_copy(ret_path, PATH_MAX, path);
    return 0;
}

void cgroup_sweep(const char *parent)
{
    struct dirent *entry;
    DIR *dir = opendir(parent);

    if (dir == NULL)
        return;
    while ((entry = readdir(dir)) != NULL)
        if (str_has_prefix(entry->d_name, CGROUP_STEP_PREFIX))
            (void)unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR); /* fails for one in use */
    (void)closedir(dir);
}

static int write_file(const char *dir, const char *name, const char *text, struct err *err)
{
    char path[PATH_MAX];
    int r = join(path, dir, name, err);

    if (r < 0)
        return r;
    AUTO(close_fd) int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return err_sys(err, ERR_IO, errno, "cgroup: open %s", path);
    if (write(fd, text, strlen(text)) < 0)
        return err_sys(err, ERR_IO, errno, "cgroup: write %s", path);
    return 0;
}

int cgroup_add(const char *path, pid_t pid, struct err *err)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%ld", (long)pid);
    return write_file(path, "cgroup.procs", text, err);
}

static int read_processes(const char *path, struct buf *ret_text, struct err *err)
{
    char file[PATH_MAX];
    int r = join(file, path, "cgroup.procs", err);

    buf_init(ret_text, MAX_PROC_FILE);
    return r < 0 ? r : fs_read_file(AT_FDCWD, file, ret_text, err);
}

void cgroup_kill(const char *path)
{
    AUTO(buf_done) struct buf text = {0};
    const char *p;
    char line[32];

    if (write_file(path, "cgroup.kill", "1", NULL) == 0 || read_processes(path, &text, NULL) < 0)
        return;
    for (p = buf_str(&text); next_line(&p, line, sizeof(line));) {
        long pid = strtol(line, NULL, 10);

        if (pid > 1)
            (void)kill((pid_t)pid, SIGKILL); /* it may have ended since */
    }
}

bool cgroup_has_processes(const char *path)
{
    AUTO(buf_done) struct buf text = {0};

    return read_processes(path, &text, NULL) == 0 && text.len > 0;
}

void cgroup_remove(const char *path)
{
    char parent[PATH_MAX], line[32];
    char *slash;
    int i;

    if (!str_copy(parent, sizeof(parent), path) || (slash = strrchr(parent, '/')) == NULL)
        return;
    *slash = '\0';
    for (i = 0; i < REMOVE_ROUNDS && rmdir(path) < 0 && errno == EBUSY; i++) {
        AUTO(buf_done) struct buf text = {0};
        const char *p;

        if (read_processes(path, &text, NULL) < 0)
            return;
        for (p = buf_str(&text); next_line(&p, line, sizeof(line));)
            if (cgroup_add(parent, (pid_t)strtol(line, NULL, 10), NULL) < 0)
                continue; /* it has just ended, or it stays and the group with it */
    }
}
