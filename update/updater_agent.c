/* The agent, seen from outside: who holds its lock, how often it was started, how it ended. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crashpoint.h"
#include "base/fs.h"
#include "base/record.h"
#include "base/str.h"
#include "update/updater_internal.h"

#define MAX_PID 4194304
#define MAX_FDINFO_BYTES 65536
#define MAX_STARTS_COUNTED 1000 /* bytes of a file that nobody reads beyond four */

/* "lock:\t1: FLOCK  ADVISORY  WRITE 4711 08:01:131 0 EOF": the process's own word for a descriptor.
 * The list of all locks, /proc/locks, is read in pieces, between which it changes; and to try the
 * lock could keep an agent from it that is just starting. */
static bool has_lock_line(int fdinfo_fd, const char *name)
{
    AUTO(buf_done) struct buf text = {0};
    const char *line;

    buf_init(&text, MAX_FDINFO_BYTES);
    if (fs_read_file(fdinfo_fd, name, &text, NULL) < 0)
        return false;
    for (line = buf_str(&text); line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n' ? 1 : 0;
        if (str_has_prefix(line, "lock:") && strstr(line, "FLOCK") != NULL &&
            strstr(line, "WRITE") != NULL && strstr(line, "FLOCK") < strstr(line, "WRITE"))
            return true;
    }
    return false;
}

/* Has the process this file open, and locked through that? */
static bool holds_lock(pid_t pid, const struct stat *file)
{
    AUTO(close_fd) int fds_fd = -1, fdinfo_fd = -1;
    char path[48];
    struct dirent *entry;
    struct stat st;
    bool is_held = false;
    DIR *dir;

    (void)snprintf(path, sizeof(path), "/proc/%ld/fdinfo", (long)pid);
    if (fs_open_dir(AT_FDCWD, path, &fdinfo_fd, NULL) < 0)
        return false;
    (void)snprintf(path, sizeof(path), "/proc/%ld/fd", (long)pid);
    if (fs_open_dir(AT_FDCWD, path, &fds_fd, NULL) < 0 || (dir = opendir(path)) == NULL)
        return false;
    while (!is_held && (entry = readdir(dir)) != NULL)
        is_held = entry->d_name[0] != '.' && fstatat(fds_fd, entry->d_name, &st, 0) == 0 &&
                  st.st_ino == file->st_ino && st.st_dev == file->st_dev &&
                  has_lock_line(fdinfo_fd, entry->d_name);
    (void)closedir(dir);
    return is_held;
}

int agent_lock_holder(int dirfd, const char *path, struct proc *ret_holder, struct err *err)
{
    AUTO(close_fd) int fd = openat(dirfd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct proc p = {0};
    struct stat st;
    char text[24];
    int64_t pid;
    ssize_t n;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_sys(err, ERR_IO, errno, "%s", path);
    n = read(fd, text, sizeof(text) - 1);
    if (n < 0)
        return err_sys(err, ERR_IO, errno, "read %s", path);
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    if (!str_to_i64(text, 1, MAX_PID, &pid) || !holds_lock((pid_t)pid, &st) ||
        proc_read((pid_t)pid, &p, NULL) < 0)
        return err_set(err, ERR_NOT_FOUND, "nobody holds the lock of %s", path);
    *ret_holder = p;
    return 0;
}

void agent_note_child(const struct updater *u, pid_t pid)
{
    AUTO(buf_done) struct buf b = {0};
    char boot_id[BOOT_ID_SIZE];
    struct proc p = {0};

    if (proc_read(pid, &p, NULL) < 0 || clock_read_boot_id(NULL, boot_id, NULL) < 0)
        return;
    buf_init(&b, 1024);
    record_begin(&b, UPDATER_CHILD);
    record_add(&b, "boot_id", boot_id);
    record_add_i64(&b, "pid", p.pid);
    record_add_i64(&b, "pid_start", (int64_t)p.start_time);
    record_end(&b);
    if (buf_error(&b, UPDATER_CHILD, NULL) < 0 ||
        fs_write_atomic(u->update_fd, UPDATER_CHILD, b.data, b.len, 0600, false, NULL) < 0) {
        /* then only its lock tells of it */
    }
}

static bool find_child(const struct updater *u, struct proc *ret_agent)
{
    AUTO(buf_done) struct buf bytes = {0};
    AUTO(record_done) struct record r = {0};
    char boot_id[BOOT_ID_SIZE];
    int64_t pid, start;
    const char *boot;

    buf_init(&bytes, 1024);
    if (fs_read_file(u->update_fd, UPDATER_CHILD, &bytes, NULL) < 0 ||
        record_parse(buf_str(&bytes), bytes.len, UPDATER_CHILD, &r, NULL) < 0 ||
        record_get_i64(&r, "pid", &pid, NULL) < 0 ||
        record_get_i64(&r, "pid_start", &start, NULL) < 0 ||
        clock_read_boot_id(NULL, boot_id, NULL) < 0)
        return false;
    boot = record_get(&r, "boot_id");
    return boot != NULL && str_eq(boot, boot_id) && pid > 1 && pid <= MAX_PID &&
           proc_is_alive((pid_t)pid, (uint64_t)start) &&
           proc_read((pid_t)pid, ret_agent, NULL) == 0;
}

int agent_find(const struct updater *u, const char *pid_file, struct proc *ret_agent,
               struct err *err)
{
    int r = agent_lock_holder(AT_FDCWD, pid_file, ret_agent, err);

    return r < 0 && find_child(u, ret_agent) ? 0 : r;
}

int64_t agent_rss_bytes(pid_t pid)
{
    char path[32];
    long long pages = 0;

    (void)snprintf(path, sizeof(path), "/proc/%ld/statm", (long)pid);
    AUTO(fclose) FILE *f = fopen(path, "re");

    /* NOLINTNEXTLINE(cert-err34-c): the kernel's numbers fit their types */
    if (f == NULL || fscanf(f, "%*s %lld", &pages) != 1)
        return 0;
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

int64_t agent_began_ms(const struct proc *p)
{
    return (int64_t)(p->start_time * 1000 / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* ---- starts ---- */

int64_t agent_count_starts(const struct updater *u)
{
    struct stat st;

    return fstatat(u->update_fd, HANDOVER_STARTS, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_size : 0;
}

static int open_starts(const struct updater *u, int *ret_fd, struct err *err)
{
    int fd = openat(u->update_fd, HANDOVER_STARTS,
                    O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return err_sys(err, ERR_IO, errno, "open %s", HANDOVER_STARTS);
    *ret_fd = fd;
    return 0;
}

int agent_reset_starts(const struct updater *u, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    int r = open_starts(u, &fd, err);

    if (r < 0)
        return r;
    /* In place: the guard may be adding to it at this moment. */
    if (ftruncate(fd, 0) < 0 || fsync(fd) < 0 || fsync(u->update_fd) < 0)
        return err_sys(err, ERR_IO, errno, "begin the count of starts");
    return 0;
}

int agent_add_start(const struct updater *u, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    int r;

    if (agent_count_starts(u) >= MAX_STARTS_COUNTED)
        return 0;
    if ((r = open_starts(u, &fd, err)) < 0 || (r = fs_write_all(fd, ".", 1, err)) < 0)
        return r;
    crashpoint("guard.counted");
    return fsync(fd) == 0 ? 0 : err_sys(err, ERR_IO, errno, "sync %s", HANDOVER_STARTS);
}

/* ---- ends ---- */

void agent_note_end(const struct updater *u, const char *how, const char *status)
{
    AUTO(buf_done) struct buf b = {0};

    buf_init(&b, 1024);
    record_begin(&b, UPDATER_ENDED);
    record_add_i64(&b, "after_starts", agent_count_starts(u));
    record_add(&b, "how", how);
    record_add(&b, "status", status);
    record_end(&b);
    if (buf_error(&b, UPDATER_ENDED, NULL) < 0 ||
        fs_write_atomic(u->update_fd, UPDATER_ENDED, b.data, b.len, 0600, false, NULL) < 0) {
        /* it is for a text only, and costs that text */
    }
}

void agent_describe_end(const struct updater *u, char *ret_text, size_t size)
{
    AUTO(buf_done) struct buf bytes = {0};
    AUTO(record_done) struct record r = {0};
    const char *how, *status;

    ret_text[0] = '\0';
    buf_init(&bytes, 1024);
    if (fs_read_file(u->update_fd, UPDATER_ENDED, &bytes, NULL) < 0 ||
        record_parse(buf_str(&bytes), bytes.len, UPDATER_ENDED, &r, NULL) < 0)
        return;
    how = record_get(&r, "how");
    status = record_get(&r, "status");
    /* Before the first start it was the version before that ended, as it was told to. */
    if (how == NULL || status == NULL || record_get_i64_or(&r, "after_starts", 1) == 0)
        return;
    if (str_eq(how, "exited") && str_eq(status, "127"))
        (void)snprintf(ret_text, size,
                       "it exited with status 127: a library that it needs is missing");
    else if (str_eq(how, "exited") && str_eq(status, "203"))
        (void)snprintf(ret_text, size,
                       "it could not be executed: made for another machine, or damaged");
    else if (str_eq(how, "exec"))
        (void)snprintf(ret_text, size, "it could not be executed: %.80s", status);
    else if (str_eq(how, "exited"))
        (void)snprintf(ret_text, size, "it exited with status %.20s", status);
    else
        (void)snprintf(ret_text, size, "it was ended by signal %.20s", status);
}
