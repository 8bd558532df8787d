/* Processes as /proc tells of them. */
#include "base/proctree.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int proc_read(pid_t pid, struct proc *ret_proc, struct err *err)
{
    struct proc p = {.pid = pid};
    char path[32], text[1024];
    const char *rest;
    ssize_t n;

    (void)snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    AUTO(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_sys(err, ERR_IO, errno, "process %ld", (long)pid);
    n = read(fd, text, sizeof(text) - 1);
    if (n < 0)
        return err_sys(err, errno == ESRCH ? ERR_NOT_FOUND : ERR_IO, errno, "process %ld",
                       (long)pid);
    text[n] = '\0';
    /* Field 2 is the program's name in parentheses and may hold anything, ')' too. */
    rest = strrchr(text, ')');
    if (rest == NULL ||
        sscanf(rest + 1, /* NOLINT(cert-err34-c): the kernel's numbers fit their types */
               " %c %d %*d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %" SCNu64,
               &p.state, &p.ppid, &p.session, &p.start_time) != 4)
        return err_set(err, ERR_IO, "process %ld: /proc gives no usable status", (long)pid);
    *ret_proc = p;
    return 0;
}

bool proc_is_alive(pid_t pid, uint64_t start_time)
{
    struct proc p = {0};

    return pid > 0 && proc_read(pid, &p, NULL) == 0 && p.start_time == start_time &&
           p.state != 'Z' && p.state != 'X';
}

int proc_open_pidfd(pid_t pid)
{
#ifdef SYS_pidfd_open
    return (int)syscall(SYS_pidfd_open, pid, 0);
#else
    (void)pid;
    errno = ENOSYS;
    return -1;
#endif
}

int proc_signal_pidfd(int pidfd, int sig)
{
#ifdef SYS_pidfd_send_signal
    return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
#else
    (void)pidfd;
    (void)sig;
    errno = ENOSYS;
    return -1;
#endif
}

int proc_signal(pid_t pid, uint64_t start_time, int sig, struct err *err)
{
    AUTO(close_fd) int pidfd = proc_open_pidfd(pid);
    int r;

    if (!proc_is_alive(pid, start_time))
        return err_set(err, ERR_NOT_FOUND, "signal process %ld: it is gone", (long)pid);
    r = pidfd >= 0 ? proc_signal_pidfd(pidfd, sig) : -1;
    if (pidfd < 0 || (r < 0 && errno == ENOSYS))
        r = kill(pid, sig);
    if (r < 0)
        return err_sys(err, errno == ESRCH ? ERR_NOT_FOUND : ERR_SYSTEM, errno,
                       "signal process %ld", (long)pid);
    return 0;
}

void proc_table_done(struct proc_table *t)
{
    free(t->items);
    *t = (struct proc_table){0};
}

static int add(struct proc_table *t, const struct proc *p, struct err *err)
{
    if (t->n == t->cap) {
        size_t cap = t->cap == 0 ? 256 : t->cap * 2;
        struct proc *items = realloc(t->items, cap * sizeof(*items));

        if (items == NULL)
            return err_set(err, ERR_NOMEM, "list of processes: out of memory");
        t->items = items;
        t->cap = cap;
    }
    t->items[t->n++] = *p;
    return 0;
}

static int compare_pids(const void *a, const void *b)
{
    pid_t x = ((const struct proc *)a)->pid, y = ((const struct proc *)b)->pid;

    return (x > y) - (x < y);
}

int proc_table_read(struct proc_table *ret_table, struct err *err)
{
    AUTO(proc_table_done) struct proc_table t = {0};
    struct dirent *entry;
    DIR *dir = opendir("/proc");
    int r = 0;

    if (dir == NULL)
        return err_sys(err, ERR_IO, errno, "list /proc");
    while (r == 0 && (entry = readdir(dir)) != NULL) {
        struct proc p = {0};

        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        if (proc_read((pid_t)strtol(entry->d_name, NULL, 10), &p, NULL) == 0)
            r = add(&t, &p, err); /* one that cannot be read has just ended */
    }
    (void)closedir(dir);
    if (r < 0)
        return r;
    if (t.n > 0)
        qsort(t.items, t.n, sizeof(t.items[0]), compare_pids);
    *ret_table = TAKE_STRUCT(t);
    return 0;
}

static struct proc *find(const struct proc_table *t, pid_t pid)
{
    struct proc key = {.pid = pid};

    return t->n == 0 ? NULL : bsearch(&key, t->items, t->n, sizeof(key), compare_pids);
}

void proc_table_choose_session(struct proc_table *t, pid_t session, uint64_t start_time)
{
    const struct proc *leader = find(t, session);
    size_t i;

    /* While a member lives, the kernel gives the number to nobody: a leader that is another one
     * says that all of ours are gone. */
    if (leader != NULL && start_time != 0 && leader->start_time != start_time)
        return;
    for (i = 0; i < t->n; i++)
        if (t->items[i].session == session && t->items[i].start_time >= start_time)
            t->items[i].is_chosen = true;
}

void proc_table_choose(struct proc_table *t, pid_t pid)
{
    struct proc *p = find(t, pid);

    if (p != NULL)
        p->is_chosen = true;
}

static bool is_chosen(const struct proc_table *t, pid_t pid)
{
    const struct proc *p = find(t, pid);

    return p != NULL && p->is_chosen;
}

void proc_table_choose_below(struct proc_table *t, pid_t root)
{
    bool has_changed = true;
    size_t i;

    /* One round per generation, until none was added. Most have parent 1 or none. */
    while (has_changed) {
        has_changed = false;
        for (i = 0; i < t->n; i++) {
            struct proc *p = &t->items[i];

            if (p->is_chosen || p->ppid <= 0)
                continue;
            if (p->ppid == root || (p->ppid > 1 && is_chosen(t, p->ppid))) {
                p->is_chosen = true;
                has_changed = true;
            }
        }
    }
}

size_t proc_table_signal(const struct proc_table *t, int sig)
{
    size_t i, n = 0;

    for (i = 0; i < t->n; i++) {
        const struct proc *p = &t->items[i];

        if (!p->is_chosen || p->state == 'Z' || p->state == 'X' || p->pid == getpid())
            continue;
        if (proc_signal(p->pid, p->start_time, sig, NULL) != ERR_NOT_FOUND)
            n++;
    }
    return n;
}
