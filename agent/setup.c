/* The first steps of a start. */
#include "agent/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"

#define LOCK_WAIT_MS 3000
#define LOCK_POLL_MS 50

int setup_exit_status(const struct err *err)
{
    return err_class_of(err->code) == ERR_CLASS_RETRY ? EXIT_SYSTEM : EXIT_NO;
}

void setup_program_dir(char *ret_dir, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", ret_dir, size - 1);
    char *slash;

    ret_dir[n > 0 ? n : 0] = '\0';
    slash = strrchr(ret_dir, '/');
    if (slash != NULL)
        *slash = '\0';
}

int setup_read_config(struct config *c, const struct paths *paths, const char *path,
                      config_warn_fn warn, void *ctx, struct err *err)
{
    bool is_named = path != NULL;
    char dir[PATH_MAX];

    setup_program_dir(dir, sizeof(dir));
    config_init(c, dir);
    return config_read(c, is_named ? path : paths_choose_config(paths), is_named, warn, ctx, err);
}

void setup_endpoints(const struct config *c, struct aws_options *ret_options)
{
    ret_options->endpoints[AWS_SSM] = c->ssm_endpoint;
    ret_options->endpoints[AWS_EC2MESSAGES] = c->mds_endpoint;
    ret_options->endpoints[AWS_SSMMESSAGES] = c->mgs_endpoint;
    ret_options->regions[AWS_SSMMESSAGES] = c->mgs_region;
    ret_options->endpoints[AWS_S3] = c->s3_endpoint;
    ret_options->endpoints[AWS_LOGS] = c->logs_endpoint;
}

int setup_take_lock(const struct paths *paths, int *ret_fd, struct err *err)
{
    AUTO(close_fd) int dirfd = -1, fd = -1;
    char text[32];
    int n, r = fs_make_path(paths->run_dir, &dirfd, err);

    if (r < 0)
        return err_wrap(err, "%s", paths->run_dir);
    fd = openat(dirfd, "ssmd.pid", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(err, ERR_IO, errno, "%s", paths->pid_file);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return err_set(err, ERR_BUSY, "another ssmd runs for this root (%s is locked)",
                       paths->pid_file);
    n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) < 0)
        return err_sys(err, ERR_IO, errno, "%s", paths->pid_file);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int setup_wait_for_lock(const struct paths *paths, int *ret_fd, struct err *err)
{
    static const struct timespec pause = {.tv_nsec = LOCK_POLL_MS * 1000000L};
    int waited_ms, r = setup_take_lock(paths, ret_fd, err);

    if (r == ERR_BUSY)
        log_info("%s: waiting up to %d s for it to end", err->text, LOCK_WAIT_MS / 1000);
    for (waited_ms = 0; r == ERR_BUSY && waited_ms < LOCK_WAIT_MS; waited_ms += LOCK_POLL_MS) {
        (void)nanosleep(&pause, NULL); /* a shorter one is as good */
        r = setup_take_lock(paths, ret_fd, err);
    }
    return r;
}

int setup_open_journal(const struct paths *paths, const char *boot_id, struct journal **ret_journal,
                       struct err *err)
{
    const struct journal_options jo = {
        .path = paths->journal, .head_path = paths->ledger_head, .boot_id = boot_id};
    AUTO(close_fd) int state_fd = -1;
    int r = fs_make_path(paths->state_dir, &state_fd, err);

    return r < 0 ? err_wrap(err, "%s", paths->state_dir)
                 : journal_open_sqlite(&jo, ret_journal, err);
}
