/* The switch: the order is written and synced, ssmd-updater started, and what its record says comes
 * as events. A restart does the same as a look: no order of this update means that it was not
 * begun; its record tells how far it is; and where nobody holds the lock though it is not over, the
 * updater is started again. */
#define LOG_MODULE "update"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/update_internal.h"
#include "base/crashpoint.h"
#include "base/fs.h"
#include "base/secret.h"
#include "base/str.h"
#include "update/handover_files.h"

#define UPDATER_UNIT "ssmd-updater.service"
#define UPDATER_NAME "bin/ssmd-updater" /* in a slot */
#define START_PAUSE_MS 5000             /* between starts of the updater */
#define MAX_STARTS 12                   /* that come to nothing before anything was switched */

/* ---- on the thread pool ---- */

enum work_kind {
    WORK_ORDER,   /* write the order, start the updater */
    WORK_START,   /* start it again */
    WORK_WITHDRAW /* take the order back, unless somebody works on it */
};

struct work {
    struct call call;
    struct engine *e;
    unsigned generation;
    enum work_kind kind;
    char job_id[FSM_ID_SIZE];
    int64_t effect_id;
    uv_work_t work;
    char update_dir[PATH_MAX], slots_dir[PATH_MAX], root[PATH_MAX];
    struct handover_order order;
    pid_t pid; /* of the updater when it is our child; 0: none */
    bool is_ordered, is_withdrawn;
    struct err err;
};

static int spawn(char *const argv[], char *const env[], pid_t *ret_pid, struct err *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, most;
    int e;

    sigemptyset(&none);
    sigfillset(&most);
    (void)sigdelset(&most, SIGPIPE); /* whoever reads our standard error may be gone before it is */
    (void)posix_spawnattr_init(&attr); /* with the file actions: fail only for want of memory, of */
    (void)posix_spawn_file_actions_init(&actions); /* which glibc's take none */
    (void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
    (void)posix_spawnattr_setsigmask(&attr, &none);
    (void)posix_spawnattr_setsigdefault(&attr, &most);
    e = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDWR, 0);
    if (e == 0)
        e = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    if (e == 0)
        e = posix_spawnp(ret_pid, argv[0], &actions, &attr, argv, env);
    (void)posix_spawn_file_actions_destroy(&actions); /* always 0 */
    (void)posix_spawnattr_destroy(&attr);
    return e == 0 ? 0 : err_sys(err, ERR_SYSTEM, e, "start %s", argv[0]);
}

/* Its own unit: what is done to ours does not concern it, and it is started again when it dies. */
static int start_unit(char *const env[], struct err *err)
{
    char program[] = "systemctl", verb[] = "start", flag[] = "--no-block", unit[] = UPDATER_UNIT;
    char *argv[] = {program, verb, flag, unit, NULL};
    int status = 0, r;
    pid_t pid = 0;

    r = spawn(argv, env, &pid, err);
    if (r < 0)
        return r;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0
               ? 0
               : err_set(err, ERR_SYSTEM, "systemctl start " UPDATER_UNIT " failed");
}

/* The one of the version that has proven itself. */
static int start_updater(struct work *w, struct err *err)
{
    AUTO(free) char **env = secret_clean_environment();
    AUTO(slots_done) struct slots slots = {.dir_fd = -1, .versions_fd = -1};
    char version[SLOTS_VERSION_SIZE], program[PATH_MAX];
    char verb[] = "switch", option[] = "--root";
    char *argv[] = {program, verb, option, w->root, NULL};
    int r;

    if (env == NULL)
        return err_set(err, ERR_NOMEM, "start ssmd-updater: out of memory");
    if (w->root[0] == '\0') /* none: the machine's own */
        argv[2] = NULL;
    if (w->order.unit[0] != '\0') {
        r = start_unit(env, err);
        if (r == 0)
            return 0;
        log_warning("%s; it is started without", err->text);
    }
    r = slots_open(w->slots_dir, false, &slots, err);
    if (r == 0)
        r = slots_get(&slots, SLOTS_PROVEN, version, err);
    if (r < 0)
        return r;
    if (snprintf(program, sizeof(program), "%s/versions/%s/" UPDATER_NAME, w->slots_dir, version) >=
        (int)sizeof(program))
        return err_set(err, ERR_LIMIT, "%s: the path is too long", w->slots_dir);
    return spawn(argv, env, &w->pid, err);
}

/* Only from the version that this update knows as the one to come back to. */
static int check_slots(const struct work *w, struct err *err)
{
    AUTO(slots_done) struct slots slots = {.dir_fd = -1, .versions_fd = -1};
    static const enum slots_link both[] = {SLOTS_CURRENT, SLOTS_PROVEN};
    static const char *const names[] = {"current", "proven"};
    char version[SLOTS_VERSION_SIZE];
    size_t i;
    int r = slots_open(w->slots_dir, false, &slots, err);

    for (i = 0; r == 0 && i < ARRAY_LEN(both); i++) {
        r = slots_get(&slots, both[i], version, err);
        if (r == 0 && !str_eq(version, w->order.from))
            r = err_set(err, ERR_STATE, "%s/%s names version %s and not %s, which runs",
                        w->slots_dir, names[i], version, w->order.from);
    }
    return r;
}

/* A write that failed may have given the name all the same, and then somebody may take it up. */
static bool is_ordered(int dirfd, const char *id)
{
    struct handover_order there;

    return handover_read_order(dirfd, &there, NULL) == 0 && str_eq(there.id, id);
}

static int give_order(struct work *w, int dirfd, struct err *err)
{
    int r = check_slots(w, err);

    if (r < 0)
        return r;
    crashpoint("order.before");
    r = handover_write_order(dirfd, &w->order, err);
    crashpoint("order.after");
    w->is_ordered = r == 0 || is_ordered(dirfd, w->order.id);
    return r < 0 ? r : start_updater(w, err);
}

static bool is_of(const struct fsm_instance *progress, const char *id)
{
    return str_eq(handover_of(progress)->update, id);
}

/* Nobody can begin it while the lock is held, and nobody will when the order is gone. */
static int withdraw(struct work *w, int dirfd, struct err *err)
{
    AUTO(close_fd)
    int fd = openat(dirfd, HANDOVER_LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    struct fsm_instance progress = {.machine = &handover_machine};
    bool is_begun;

    if (fd < 0)
        return err_sys(err, ERR_IO, errno, HANDOVER_LOCK);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return 0; /* somebody works on it after all */
    is_begun = handover_read_progress(dirfd, &progress, NULL) == 0 && is_of(&progress, w->job_id);
    fsm_instance_done(&progress);
    if (is_begun)
        return 0;
    if ((unlinkat(dirfd, HANDOVER_ORDER, 0) < 0 && errno != ENOENT) || fsync(dirfd) < 0)
        return err_sys(err, ERR_IO, errno, HANDOVER_ORDER);
    w->is_withdrawn = true;
    return 0;
}

static void do_work(uv_work_t *work)
{
    struct work *w = container_of(work, struct work, work);
    AUTO(close_fd) int dirfd = -1;
    int r = fs_make_path(w->update_dir, &dirfd, &w->err);

    if (r < 0)
        return;
    if (w->kind == WORK_ORDER)
        r = give_order(w, dirfd, &w->err);
    else if (w->kind == WORK_START)
        r = start_updater(w, &w->err);
    else
        r = withdraw(w, dirfd, &w->err);
    if (r == 0)
        w->err.code = 0; /* a way that failed, and another one that did not */
}

/* ---- what came of it ---- */

static void cannot_begin(struct update_watch *w, const struct fsm_effect *fx, const char *why)
{
    char text[400];

    w->is_given_up = true;
    (void)snprintf(text, sizeof(text), "ssmd-updater cannot be started, nothing was changed: %s",
                   why);
    update_queue_reason(w->e, w->job, UPDATE_EV_FAILED, fx->id, "ErrorUnexpected", text);
}

static void note_work(struct update_watch *w, const struct work *work)
{
    const struct fsm_effect *fx = fsm_find_effect(&w->job->inst, work->effect_id);
    const struct err *err = &work->err;

    w->is_working = false;
    w->start_at_ms = clock_boottime_ms() + START_PAUSE_MS;
    if (work->pid > 0)
        w->e->updater_pid = work->pid;
    if (err->code != 0) {
        log_warning("%s: %s", w->job->inst.id, err->text);
        (void)str_copy(w->trouble, sizeof(w->trouble), err->text);
    }
    if (fx == NULL)
        return;
    if (work->is_withdrawn)
        cannot_begin(w, fx, w->trouble[0] != '\0' ? w->trouble : "it does not take the order up");
    else if (work->kind == WORK_ORDER && !work->is_ordered && err->code != 0 &&
             (err_class_of(err->code) != ERR_CLASS_RETRY || w->n_starts >= MAX_STARTS))
        cannot_begin(w, fx, err->text);
}

static void after_work(uv_work_t *req, int status)
{
    struct work *work = container_of(req, struct work, work);
    struct engine *e = work->e;
    struct job *job = engine_find_job(e, work->job_id);

    if (status < 0)
        (void)err_set(&work->err, ERR_CANCELLED, "it was not begun");
    if (work->generation == e->generation && !e->is_suspended && !e->is_stopping && job != NULL &&
        job->update != NULL && job->update->effect_id == work->effect_id)
        note_work(job->update, work);
    calls_free(e, &work->call);
}

/* ---- beginning it ---- */

void update_own_unit(char *ret_unit, size_t size)
{
    const char *pid = getenv("SYSTEMD_EXEC_PID");
    AUTO(buf_done) struct buf text = {0};
    char own[24], *slash, *end;

    ret_unit[0] = '\0';
    (void)snprintf(own, sizeof(own), "%ld", (long)getpid());
    if (getenv("INVOCATION_ID") == NULL || (pid != NULL && !str_eq(pid, own)) || getppid() != 1)
        return;
    buf_init(&text, 4096);
    if (fs_read_file(AT_FDCWD, "/proc/self/cgroup", &text, NULL) < 0 || text.data == NULL)
        return;
    end = strstr(text.data, ".service");
    if (end == NULL)
        return;
    end += strlen(".service");
    *end = '\0';
    slash = strrchr(text.data, '/');
    if (slash != NULL && str_is_safe_name(slash + 1, size - 1))
        (void)str_copy(ret_unit, size, slash + 1);
}

static void fill_order(const struct engine *e, const struct job *job, struct handover_order *o)
{
    const struct update *u = update_of(&job->inst);

    *o = (struct handover_order){.proving_ms = u->proving_ms,
                                 .deadline_ms = u->deadline_ms,
                                 .max_rss_bytes = e->config->update_max_memory_mib << 20,
                                 .is_service_away = !update_is_in_reach(e),
                                 .outage_ms = e->config->update_outage_hours * 3600 * 1000};
    (void)str_copy(o->id, sizeof(o->id), job->inst.id); /* all are as large */
    (void)str_copy(o->from, sizeof(o->from), u->from_version);
    (void)str_copy(o->to, sizeof(o->to), u->to_version);
    (void)str_copy(o->pid_file, sizeof(o->pid_file), e->paths->pid_file);
    (void)str_copy(o->boot_id_file, sizeof(o->boot_id_file), e->config->boot_id_file);
    update_own_unit(o->unit, sizeof(o->unit));
}

static void begin(struct update_watch *w, const struct fsm_effect *fx, enum work_kind kind)
{
    struct engine *e = w->e;
    struct work *work = NULL;
    int r;

    if (clock_boottime_ms() < w->start_at_ms)
        return;
    work = calls_new(e, sizeof(*work));
    if (work == NULL)
        return; /* looked at again in a second */
    work->e = e;
    work->generation = e->generation;
    work->kind = kind;
    work->effect_id = fx->id;
    (void)str_copy(work->job_id, sizeof(work->job_id), w->job->inst.id); /* all are as large */
    (void)str_copy(work->update_dir, sizeof(work->update_dir), e->paths->update_dir);
    (void)str_copy(work->slots_dir, sizeof(work->slots_dir), e->paths->slots_dir);
    (void)str_copy(work->root, sizeof(work->root), e->paths->root);
    fill_order(e, w->job, &work->order);
    w->n_starts++;
    r = uv_queue_work(e->loop, &work->work, do_work, after_work);
    w->is_working = r == 0;
    if (r < 0)
        calls_free(e, &work->call);
}

/* ---- following ---- */

static void follow_progress(struct engine *e, struct job *job, const struct fsm_effect *fx,
                            const struct fsm_instance *progress)
{
    const struct handover *h = handover_of(progress);
    bool is_told = job->inst.state == UPDATE_ROLLING_BACK;
    char text[400];

    switch ((enum handover_state)progress->state) {
    case HANDOVER_RESTARTING:
    case HANDOVER_PROVING:
    case HANDOVER_SETTLING:
        if (job->inst.state == UPDATE_SWITCHING)
            engine_queue_event(e, job->inst.id, UPDATE_EV_SWITCHED, 0, false, NULL);
        break;
    case HANDOVER_COMMITTED:
        engine_queue_event(e, job->inst.id, UPDATE_EV_COMMITTED, fx->id, false, NULL);
        break;
    case HANDOVER_REVERTING:
    case HANDOVER_RESTARTING_BACK:
    case HANDOVER_CONFIRMING:
        if (is_told)
            break;
        update_mention(e, job, "RollingBack", "");
        engine_queue_event(e, job->inst.id, UPDATE_EV_REVERTING, 0, false, h->cause);
        break;
    case HANDOVER_REVERTED:
        (void)snprintf(
            text, sizeof(text), "%.300s%s", h->cause,
            h->is_doubtful != 0 ? "; the old version was not seen to come up again in time" : "");
        update_queue_reason(e, job, UPDATE_EV_REVERTED, fx->id,
                            h->is_doubtful != 0 ? "ErrorCannotStartService"
                                                : "ErrorUpdateFailRollbackSuccess",
                            text);
        break;
    case HANDOVER_ORDERED:
    case HANDOVER_POINTING:
    case HANDOVER_N_STATES:
    default:
        break;
    }
}

/* Held for a moment: an updater that begins just then ends, and is started again. */
static bool is_lock_free(int dirfd)
{
    AUTO(close_fd) int fd = openat(dirfd, HANDOVER_LOCK, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? errno == ENOENT : flock(fd, LOCK_EX | LOCK_NB) == 0;
}

static void reap(struct engine *e)
{
    int status;

    if (e->updater_pid <= 0 || waitpid(e->updater_pid, &status, WNOHANG) == 0)
        return;
    e->updater_pid = 0; /* what it did stands in its record */
}

int update_restart_unit(struct engine *e, const char *unit, struct err *err)
{
    AUTO(free) char **env = secret_clean_environment();
    char program[] = "systemctl", verb[] = "restart", flag[] = "--no-block", name[256];
    char *argv[] = {program, verb, flag, name, NULL};

    reap(e);
    if (env == NULL || !str_copy(name, sizeof(name), unit))
        return err_set(err, ERR_NOMEM, "restart %s: out of memory", unit);
    return e->updater_pid > 0 ? 0 : spawn(argv, env, &e->updater_pid, err);
}

void update_follow(struct engine *e, struct job *job, const struct fsm_effect *fx)
{
    struct update_watch *w = job->update;
    struct fsm_instance progress = {.machine = &handover_machine};
    struct handover_order order;
    AUTO(close_fd) int dirfd = -1;
    bool is_begun;
    struct err err;
    int r;

    reap(e);
    if (w == NULL || w->is_working || w->is_given_up || e->is_stopping)
        return;
    r = fs_open_dir(AT_FDCWD, e->paths->update_dir, &dirfd, &err);
    if (r == 0)
        r = handover_read_order(dirfd, &order, &err);
    if (r < 0 && r != ERR_NOT_FOUND && r != ERR_CORRUPT) { /* what is there is not known now */
        if (!str_eq(w->trouble, err.text))
            log_warning("%s: %s", job->inst.id, err.text);
        (void)str_copy(w->trouble, sizeof(w->trouble), err.text);
        return;
    }
    if (r < 0 || !str_eq(order.id, job->inst.id)) {
        if (dirfd < 0 || is_lock_free(dirfd)) /* else somebody works on another one */
            begin(w, fx, WORK_ORDER);
        return;
    }
    is_begun =
        handover_read_progress(dirfd, &progress, &err) == 0 && is_of(&progress, job->inst.id);
    if (is_begun)
        follow_progress(e, job, fx, &progress);
    if ((!is_begun || handover_is_open(&progress)) && is_lock_free(dirfd))
        begin(w, fx, is_begun || w->n_starts < MAX_STARTS ? WORK_START : WORK_WITHDRAW);
    fsm_instance_done(&progress);
}
