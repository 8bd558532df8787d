/* Ending the agent and seeing another one begin: through the service manager where there is one,
 * else by a signal, and whoever supervises it starts it again. */
#define LOG_MODULE "updater"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "update/updater_internal.h"

#define SYSTEMCTL_MS 90000
#define END_MS 30000    /* to stop by itself */
#define BAD_END_MS 5000 /* ... of a version that has not proven itself */
#define KILLED_MS 10000 /* to be gone after SIGKILL: longer in state D only */
#define BEGIN_MS 60000  /* for another one to be started */
#define LOOK_MS 20

int restart_clear(struct updater *u, struct err *err)
{
    static const char *const stale[] = {HANDOVER_HEALTH, UPDATER_ENDED};
    size_t i;

    for (i = 0; i < ARRAY_LEN(stale); i++)
        if (unlinkat(u->update_fd, stale[i], 0) < 0 && errno != ENOENT)
            return err_sys(err, ERR_IO, errno, "remove %s", stale[i]);
    return agent_reset_starts(u, err);
}

/* ---- the service manager ---- */

static const char *find_systemctl(void)
{
    static const char *const places[] = {"/usr/bin/systemctl", "/bin/systemctl"};
    size_t i;

#ifdef SSMD_CRASHPOINTS /* the suite has none that it may use */
    if (getenv("SSMD_SYSTEMCTL") != NULL)
        return getenv("SSMD_SYSTEMCTL");
#endif
    for (i = 0; i < ARRAY_LEN(places); i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    return NULL;
}

static int wait_child(pid_t pid, int64_t limit_ms, int *ret_status)
{
    int64_t give_up_us = clock_monotonic_us() + limit_ms * 1000;
    pid_t got;

    while ((got = waitpid(pid, ret_status, WNOHANG)) == 0 || (got < 0 && errno == EINTR)) {
        if (clock_monotonic_us() > give_up_us) {
            (void)kill(pid, SIGKILL); /* ours, and not reaped */
            (void)waitpid(pid, ret_status, 0);
            return ERR_TIMEOUT;
        }
        updater_pause_ms(LOOK_MS);
    }
    return got < 0 ? ERR_SYSTEM : 0;
}

static int restart_unit(const char *unit, struct err *err)
{
    const char *program = find_systemctl();
    char copy[sizeof(((struct handover_order *)0)->unit)];
    char name[] = "systemctl", verb[] = "restart", path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    char *argv[] = {name, verb, copy, NULL}, *env[] = {path, NULL};
    int status = 0, e, r;
    pid_t pid;

    if (program == NULL)
        return err_set(err, ERR_SYSTEM, "restart %s: there is no systemctl", unit);
    if (!str_is_safe_name(unit, sizeof(copy) - 1) || !str_copy(copy, sizeof(copy), unit))
        return err_set(err, ERR_INVALID, "restart \"%.60s\": that is no unit", unit);
    e = posix_spawn(&pid, program, NULL, NULL, argv, env);
    if (e != 0)
        return err_sys(err, ERR_SYSTEM, e, "start %s", program);
    r = wait_child(pid, SYSTEMCTL_MS, &status);
    if (r == ERR_TIMEOUT)
        return err_set(err, ERR_TIMEOUT, "systemctl restart %s took longer than %d s", unit,
                       SYSTEMCTL_MS / 1000);
    if (r < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return err_set(err, ERR_SYSTEM, "systemctl restart %s failed; see: systemctl status %s",
                       unit, unit);
    return 0;
}

/* ---- a signal ---- */

/* True when it is gone. */
static bool await_end(const struct proc *p, int64_t limit_ms)
{
    AUTO(close_fd) int pidfd = proc_open_pidfd(p->pid);
    struct pollfd fds = {.fd = pidfd, .events = POLLIN};
    int64_t give_up_us = clock_monotonic_us() + limit_ms * 1000, left_ms;

    while (proc_is_alive(p->pid, p->start_time)) {
        left_ms = (give_up_us - clock_monotonic_us()) / 1000;
        if (left_ms <= 0)
            return false;
        if (pidfd >= 0)
            (void)poll(&fds, 1, left_ms < 1000 ? (int)left_ms : 1000); /* asked again anyway */
        else
            updater_pause_ms(LOOK_MS);
    }
    return true;
}

static int end_agent(const struct proc *p, int64_t limit_ms, struct err *err)
{
    int r = proc_signal(p->pid, p->start_time, SIGTERM, err);

    if (r == 0 && !await_end(p, limit_ms)) {
        log_warning("the agent (process %ld) does not stop; it is killed", (long)p->pid);
        r = proc_signal(p->pid, p->start_time, SIGKILL, err);
        if (r == 0 && !await_end(p, KILLED_MS))
            return err_set(err, ERR_TIMEOUT, "the agent (process %ld) cannot be ended",
                           (long)p->pid);
    }
    return r == ERR_NOT_FOUND ? 0 : r;
}

/* The agent that began before our wish is ended; done when one that is younger is there, or the
 * guard has counted a start since. The kernel tells the begin of a process rounded down to a tick:
 * who began within the tick of the wish is taken for the old one and started once more, since the
 * other error leaves a bad version running. */
static int see_another(struct updater *u, bool is_back, int64_t since_boottime_ms, struct err *err)
{
    int64_t give_up_us = clock_monotonic_us() + BEGIN_MS * INT64_C(1000);
    struct proc p;
    int r;

    while (agent_count_starts(u) == 0) {
        r = agent_find(u, u->order.pid_file, &p, err);
        if (r < 0 && r != ERR_NOT_FOUND)
            return r;
        if (r == 0 && agent_began_ms(&p) > since_boottime_ms)
            return 0;
        if (r == 0) {
            r = end_agent(&p, is_back ? BAD_END_MS : END_MS, err);
            if (r < 0)
                return r;
            continue;
        }
        if (clock_monotonic_us() > give_up_us)
            return err_set(err, ERR_TIMEOUT,
                           "nobody started the agent again within %d s: whoever supervises it must "
                           "start it whenever it ends",
                           BEGIN_MS / 1000);
        updater_pause_ms(LOOK_MS);
    }
    return 0;
}

int restart_agent(struct updater *u, bool is_back, struct err *err)
{
    int r = restart_clear(u, err);
    int64_t since_ms;

    if (r < 0 && !is_back)
        return r;
    if (r < 0)
        log_warning("%s", err->text);
    since_ms = clock_boottime_ms();
    if (u->order.unit[0] != '\0' && restart_unit(u->order.unit, err) < 0) {
        if (agent_count_starts(u) > 0)
            return 0; /* it was started; that it did not stay is for the watch to see */
        log_warning("%s; it is tried with a signal", err->text);
    }
    return see_another(u, is_back, since_ms, err); /* the manager may answer before it is done */
}
