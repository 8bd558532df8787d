/* An agent for the tests of ssmd-updater: it holds the pid file's lock, tells of its health while
 * an order is open, and behaves as the file beside it says. With --seal DIR VERSION it seals a
 * slot.
 *
 *   behaviour, one word a line: crash, abort, hang, mute, stuck, no-journal, no-steps, no-service,
 *   lie, eat, deaf, litters (its grandchildren end as orphans); without any it is good. SIGHUP is
 *   noted */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/paths.h"
#include "base/proctree.h"
#include "base/str.h"
#include "fsm/handover.h"
#include "update/handover_files.h"

#define TELL_MS 20
#define N_ORPHANS 5

static volatile sig_atomic_t is_stopping, was_told_to_read;

static void on_term(int number)
{
    (void)number;
    is_stopping = 1;
}

static void on_hup(int number)
{
    (void)number;
    was_told_to_read = 1;
}

static int fail(const struct err *err)
{
    (void)fprintf(stderr, "stand-in: %s\n", err->text);
    return 1;
}

static int seal(const char *dir, const char *version)
{
    AUTO(close_fd) int fd = -1;
    struct err err;

    if (fs_open_dir(AT_FDCWD, dir, &fd, &err) < 0 || slots_seal(fd, version, "", &err) < 0)
        return fail(&err);
    return 0;
}

static char behaviour[256];

static bool does(const char *word)
{
    const char *at = strstr(behaviour, word);

    return at != NULL && (at == behaviour || at[-1] == '\n') && at[strlen(word)] == '\n';
}

static void read_behaviour(const char *program)
{
    AUTO(buf_done) struct buf text = {0};
    char path[PATH_MAX];

    buf_init(&text, sizeof(behaviour) - 1);
    (void)snprintf(path, sizeof(path), "%.*s/behaviour", (int)(strrchr(program, '/') - program),
                   program);
    if (fs_read_file(AT_FDCWD, path, &text, NULL) == 0)
        (void)str_copy(behaviour, sizeof(behaviour), buf_str(&text));
}

/* .../versions/<version>/bin/ssmd */
static void own_version(const char *program, char ret[SLOTS_VERSION_SIZE])
{
    const char *at = strstr(program, "/versions/");

    (void)snprintf(ret, SLOTS_VERSION_SIZE, "%s", at != NULL ? at + 10 : "0");
    ret[strcspn(ret, "/")] = '\0';
}

static int take_lock(const struct paths *p, struct err *err)
{
    char text[24];
    int dirfd, n, fd;

    if (fs_make_path(p->run_dir, &dirfd, err) < 0)
        return -1;
    fd = openat(dirfd, "ssmd.pid", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        return err_sys(err, ERR_BUSY, errno, "another one runs");
    n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    return ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)n, 0) == n
               ? 0
               : err_sys(err, ERR_IO, errno, "pid file");
}

static void note(const char *root, const char *version, const char *what)
{
    char path[PATH_MAX], line[128];
    int fd, n;

    (void)snprintf(path, sizeof(path), "%s/story", root);
    n = snprintf(line, sizeof(line), "%s %s %ld\n", version, what, (long)getpid());
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, line, (size_t)n) != n)
        _exit(9);
    (void)close(fd);
}

/* Everything but the time. */
static void be_healthy(struct handover_health *h, const struct handover_order *o)
{
    struct proc self;
    struct err err;

    if (proc_read(getpid(), &self, &err) < 0 ||
        clock_read_boot_id(o->boot_id_file[0] != '\0' ? o->boot_id_file : NULL, h->boot_id, &err) <
            0)
        _exit(9);
    h->pid = self.pid;
    h->pid_start = (int64_t)self.start_time;
    h->has_journal = !does("no-journal");
    h->has_steps = !does("no-steps");
    h->has_service = !does("no-service");
    if (does("lie"))
        (void)str_copy(h->version, sizeof(h->version), "9.9.9");
    if (does("no-service"))
        (void)str_copy(h->lacking, sizeof(h->lacking), "connect: no route to host");
}

static void eat(void)
{
    static char *eaten[64];
    static size_t n;

    if (n < ARRAY_LEN(eaten) && (eaten[n] = malloc(8 << 20)) != NULL)
        memset(eaten[n++], 1, 8 << 20);
}

/* Each grandchild ends when it is an orphan: whoever reaps those is asked to. */
static void litter(void)
{
    pid_t child = fork(), parent = getpid();
    int i;

    for (i = 0; child == 0 && i < N_ORPHANS; i++)
        if (fork() == 0) {
            while (getppid() == parent)
                (void)usleep(1000);
            _exit(0);
        }
    if (child == 0)
        _exit(0);
    if (child < 0 || waitpid(child, NULL, 0) != child)
        _exit(9);
}

static void live(const struct paths *p, struct handover_health *h)
{
    bool is_told = false, is_known = false;
    struct handover_order order;
    int dirfd = -1;

    while (!is_stopping) {
        if (dirfd < 0 && fs_open_dir(AT_FDCWD, p->update_dir, &dirfd, NULL) < 0)
            dirfd = -1; /* there is none yet */
        if (dirfd >= 0 && !does("mute") && !(does("stuck") && is_told) &&
            handover_read_order(dirfd, &order, NULL) == 0) {
            if (!is_known)
                be_healthy(h, &order);
            is_known = true;
            h->at_boottime_ms = clock_boottime_ms();
            is_told = handover_write_health(dirfd, h, NULL) == 0;
        }
        if (does("eat"))
            eat();
        if (was_told_to_read)
            note(p->root, h->version, "reads");
        was_told_to_read = 0;
        (void)usleep(TELL_MS * 1000);
    }
}

static int be_agent(const char *root)
{
    struct handover_health h = {.since_boottime_ms = clock_boottime_ms()};
    char program[PATH_MAX] = "";
    struct paths paths;
    struct err err;

    if (readlink("/proc/self/exe", program, sizeof(program) - 1) < 0)
        return 9;
    read_behaviour(program);
    own_version(program, h.version);
    if (does("deaf"))
        (void)signal(SIGTERM, SIG_IGN);
    else
        (void)signal(SIGTERM, on_term);
    (void)signal(SIGHUP, on_hup);
    if (paths_init(&paths, root, &err) < 0 || take_lock(&paths, &err) < 0)
        return fail(&err);
    note(root, h.version, "begins");
    if (does("litters"))
        litter();
    if (does("crash"))
        return 3;
    if (does("abort"))
        abort();
    if (does("hang"))
        for (;;)
            (void)pause();
    live(&paths, &h);
    note(root, h.version, "ends");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && str_eq(argv[1], "--seal"))
        return seal(argv[2], argv[3]);
    if (argc == 2 && str_eq(argv[1], "--version"))
        return printf("ssmd 0.1.0\n") < 0;
    if (argc >= 3 && str_eq(argv[1], "--root"))
        return be_agent(argv[2]);
    return 100;
}
