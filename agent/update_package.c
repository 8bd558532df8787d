/* The effects of an update that a package manager carries out. */
#define LOG_MODULE "update"
#include "agent/update_package.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/update_internal.h"
#include "base/crashpoint.h"
#include "base/fs.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/version.h"

#define SCRIPT "_package.sh"
#define STOP_FILE "do-not-begin" /* beside it */
#define GRACE_MS 30000
#define CAP_BYTES (UINT64_C(8) << 20)
#define MAX_WORDS 4096u
#define RETRY_MS 5000
#define RESTART_AFTER_MS (INT64_C(30) * 1000) /* the package's own scripts have so long */

enum { EXIT_CONTENT = 0, EXIT_STOPPED = 20, EXIT_NOT_BEGUN = 21, EXIT_NOT_THERE = 22 };

static struct step_key key_of(const struct job *job, const struct fsm_effect *fx)
{
    return (struct step_key){
        .job_id = job->inst.id, .step = (int)fx->arg, .attempt = (int)fx->arg2};
}

/* ---- starting ---- */

static void try_again_later(struct update_watch *w, const char *why)
{
    if (!str_eq(w->trouble, why))
        log_warning("%s: %s; it is tried again", w->job->inst.id, why);
    (void)str_copy(w->trouble, sizeof(w->trouble), why); /* may be cut */
    w->retry_at_ms = clock_boottime_ms() + RETRY_MS;
    update_look_soon(w->e);
}

static int start(struct engine *e, const struct job *job, const struct fsm_effect *fx,
                 struct err *err)
{
    static const char sh[] = "/bin/sh";
    const struct update *u = update_of(&job->inst);
    const struct step_key key = key_of(job, fx);
    AUTO(free) char **env = secret_clean_environment();
    struct package_owner owner;
    char dir[PATH_MAX], script[PATH_MAX + 16], stop_file[PATH_MAX + 16], seconds[24];
    bool is_down = version_compare(u->to_version, u->from_version) < 0;
    const char *const install[] = {sh,
                                   script,
                                   "install",
                                   u->manager,
                                   owner.file,
                                   u->to_version,
                                   is_down ? "down" : "up",
                                   seconds,
                                   stop_file,
                                   NULL};
    const char *const look[] = {sh, script, "look", u->manager, owner.program, NULL};
    bool is_install = fx->kind == UPDATE_FX_INSTALL;
    const struct step_spec spec = {
        .key = key,
        .argv = is_install ? install : look,
        .env = (const char *const *)env,
        .cwd = "/",
        .script_name = SCRIPT,
        .script = update_package_script,
        .script_len = strlen(update_package_script),
        .limit_ms = is_install ? UPDATE_INSTALL_MS : UPDATE_LOOK_LIMIT_MS,
        .grace_ms = GRACE_MS,
        .cap_bytes = CAP_BYTES,
        .boot_id = e->boot_id,
    };
    int r;

    if (env == NULL)
        return err_set(err, ERR_NOMEM, "%s: out of memory", u->manager);
    package_owner_find(e->paths->root, &owner);
    r = steps_path(e->steps, &key, dir, sizeof(dir), err);
    if (r < 0)
        return r;
    (void)snprintf(script, sizeof(script), "%s/" SCRIPT, dir); /* these fit */
    (void)snprintf(stop_file, sizeof(stop_file), "%s/" STOP_FILE, dir);
    (void)snprintf(seconds, sizeof(seconds), "%" PRId64, UPDATE_BEGIN_MS / 1000);
    crashpoint("package.before");
    r = steps_start(e->steps, &spec, err);
    crashpoint("package.started");
    return r == ERR_EXISTS ? 0 : r; /* it is watched: its end will be told */
}

static void begin(struct update_watch *w, const struct fsm_effect *fx)
{
    struct err err;

    w->retry_at_ms = 0;
    w->n_starts++;
    if (start(w->e, w->job, fx, &err) < 0)
        try_again_later(w, err.text); /* until the state's time is over */
}

/* ---- stopping ---- */

static bool leave_word(struct engine *e, const struct step_key *key)
{
    AUTO(close_fd) int dirfd = -1, fd = -1;
    char dir[PATH_MAX];
    struct err err;

    if (steps_path(e->steps, key, dir, sizeof(dir), &err) < 0 ||
        fs_open_dir(AT_FDCWD, dir, &dirfd, &err) < 0)
        return false;
    fd = openat(dirfd, STOP_FILE, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd >= 0;
}

/* Never a signal: a package manager in the middle of its work is not to be ended. What has not
 * begun becomes void; the script looks for the file before it begins. */
static void stop(struct engine *e, struct job *job, const struct fsm_effect *fx)
{
    const struct step_key key = key_of(job, fx);
    enum step_answer answer = STEP_RUNNING;
    struct err err = {0};

    if (steps_probe(e->steps, &key, &answer, NULL, &err) == 0 && answer == STEP_NOT_BEGUN &&
        steps_stop(e->steps, &key, STEP_STOP_CANCELLED, &answer, &err) == 0 && answer == STEP_VOID)
        engine_queue_event(e, job->inst.id, UPDATE_EV_STOPPED, fx->id, false, NULL);
    else if (!leave_word(e, &key))
        update_look_soon(e);
}

/* ---- restarting ---- */

static void restart(struct update_watch *w, const struct fsm_effect *fx)
{
    const struct update *u = update_of(&w->job->inst);
    int64_t now = clock_boottime_ms();
    char unit[128];
    struct err err;

    if (str_eq(ssmd_version, u->to_version)) {
        engine_queue_event(w->e, w->job->inst.id, UPDATE_EV_RESTARTED, fx->id, false, NULL);
        return;
    }
    update_own_unit(unit, sizeof(unit));
    (void)snprintf(w->trouble, sizeof(w->trouble),
                   "version %s is installed, but version %s still runs: nobody has restarted it; "
                   "type: systemctl restart %s",
                   u->to_version, ssmd_version, unit[0] != '\0' ? unit : "ssmd");
    if (w->start_at_ms == 0)
        w->start_at_ms = now + RESTART_AFTER_MS;
    if (now < w->start_at_ms || unit[0] == '\0')
        return;
    w->start_at_ms = now + RESTART_AFTER_MS;
    log_info("%s: %s is restarted, for its package has not done so", w->job->inst.id, unit);
    if (update_restart_unit(w->e, unit, &err) < 0)
        log_warning("%s: %s", w->job->inst.id, err.text);
}

/* ---- the effects ---- */

void update_package_perform(struct engine *e, struct job *job, const struct fsm_effect *fx,
                            bool is_restart)
{
    struct update_watch *w;

    (void)is_restart;
    if (jobs_is_set_aside(e, job->inst.id))
        return;
    update_look_soon(e);
    if (fx->kind == UPDATE_FX_STOP) {
        stop(e, job, fx);
        return;
    }
    w = update_watch_for(e, job, fx);
    if (w == NULL)
        return;
    if (fx->kind == UPDATE_FX_RESTART)
        restart(w, fx);
    else
        begin(w, fx);
}

void update_package_probe(struct engine *e, struct job *job, const struct fsm_effect *fx)
{
    const struct step_key key = key_of(job, fx);
    struct update_watch *w = update_watch_for(e, job, fx);
    struct err err;
    int r;

    if (w == NULL)
        return;
    update_look_soon(e);
    r = steps_attach(e->steps, &key, &err); /* whatever became of it is told */
    if (r < 0 && r != ERR_EXISTS)
        try_again_later(w, err.text); /* starting looks at its records first */
}

void update_package_look(struct engine *e, struct job *job, const struct fsm_effect *fx)
{
    const struct fsm_effect *asked = fsm_find_effect_kind(&job->inst, UPDATE_FX_STOP);
    struct update_watch *w = job->update;
    struct fsm_effect copy;

    if (fx->kind == UPDATE_FX_RESTART) {
        restart(w, fx);
    } else if (asked != NULL) {
        copy = *asked; /* what follows may move the instance */
        stop(e, job, &copy);
    } else if (w->retry_at_ms != 0 && clock_boottime_ms() >= w->retry_at_ms) {
        begin(w, fx);
    }
}

/* ---- ends ---- */

/* The package manager's words, in one line. */
static void read_words(struct engine *e, const struct step_key *key, enum step_stream stream,
                       char *ret_text, size_t size)
{
    AUTO(buf_done) struct buf bytes = {0};
    struct err err;
    char *p;

    ret_text[0] = '\0';
    buf_init(&bytes, MAX_WORDS + 1);
    if (steps_read_output(e->steps, key, stream, MAX_WORDS, &bytes, &err) < 0)
        return;                                      /* it says less then */
    (void)str_copy(ret_text, size, buf_str(&bytes)); /* may be cut */
    for (p = ret_text; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' && stream == STEP_STDERR)
            *p = ' ';
    while (p > ret_text && p[-1] == ' ')
        *--p = '\0';
}

static void install_ended(struct engine *e, const struct job *job, const struct fsm_effect *fx,
                          const struct step_outcome *o)
{
    const struct step_key key = key_of(job, fx);
    int code = o->end == STEP_END_EXITED ? o->code : -1;
    char words[400];

    read_words(e, &key, STEP_STDERR, words, sizeof(words));
    if (words[0] == '\0' && code != EXIT_CONTENT)
        (void)str_copy(words, sizeof(words), o->text); /* may be cut */
    if (code == EXIT_STOPPED)
        engine_queue_event(e, job->inst.id, UPDATE_EV_STOPPED, 0, false, NULL);
    else if (code == EXIT_NOT_BEGUN || code == EXIT_NOT_THERE)
        update_queue_reason(
            e, job, UPDATE_EV_FAILED, fx->id,
            code == EXIT_NOT_THERE ? "ErrorTargetPkgDownload" : "ErrorFailedPrecondition", words);
    else
        engine_queue_event(e, job->inst.id, UPDATE_EV_PACKAGED, fx->id, false, words);
}

static void tell_found(struct engine *e, const struct job *job, const struct fsm_effect *fx,
                       const struct package_found *f)
{
    const struct update *u = update_of(&job->inst);
    enum package_verdict verdict = package_judge(f, u->from_version, u->to_version);
    char text[480], repair[PACKAGE_REPAIR_SIZE]; /* what is too long is cut at its end */

    if (verdict == PACKAGE_DONE) {
        engine_queue_event(e, job->inst.id, UPDATE_EV_CONFIRMED, fx->id, false, NULL);
        return;
    }
    package_repair_command(u->manager, f->state, u->to_version, repair);
    if (verdict == PACKAGE_UNCHANGED)
        (void)snprintf(text, sizeof(text), "%s did not install version %s: %.240s", u->manager,
                       u->to_version,
                       u->text[0] != '\0' ? u->text : "it gives no reason (its output is kept)");
    else
        (void)snprintf(
            text, sizeof(text),
            "%s did not finish: ssmd %.40s is %s, and the program %s%.20s; type: %s. %.210s",
            u->manager, f->version, f->state,
            f->program[0] != '\0' ? "is version " : "does not say its version", f->program, repair,
            u->text);
    update_queue_reason(e, job, verdict == PACKAGE_BROKEN ? UPDATE_EV_BROKEN : UPDATE_EV_FAILED,
                        fx->id, "ErrorInstallFailed", text);
}

static void look_ended(struct engine *e, const struct job *job, const struct fsm_effect *fx)
{
    const struct step_key key = key_of(job, fx);
    struct package_found found;
    char text[MAX_WORDS];
    struct err err;

    read_words(e, &key, STEP_STDOUT, text, sizeof(text));
    if (package_found_parse(text, &found, &err) < 0)
        engine_queue_event(e, job->inst.id, UPDATE_EV_LOST, fx->id, false, err.text);
    else
        tell_found(e, job, fx, &found);
}

static const struct fsm_effect *find_effect(const struct job *job, const struct step_key *key)
{
    const struct fsm_effect *fx = fsm_find_effect_kind(
        &job->inst, key->step == UPDATE_STEP_INSTALL ? UPDATE_FX_INSTALL : UPDATE_FX_LOOK);

    return fx != NULL && fx->arg2 == key->attempt ? fx : NULL;
}

void update_package_ended(struct engine *e, struct job *job, const struct step_key *key,
                          enum step_answer answer, const struct step_outcome *outcome)
{
    const struct fsm_effect *fx = find_effect(job, key);
    struct update_watch *w = job->update;
    struct fsm_effect copy;

    if (fx == NULL || w == NULL || w->effect_id != fx->id) {
        e->status.n_stale++;
        return;
    }
    copy = *fx;
    switch (answer) {
    case STEP_NOT_BEGUN:
        if (job->inst.state == UPDATE_STOPPING)
            update_look_soon(e); /* it becomes void */
        else if (w->n_starts == 0)
            begin(w, &copy);
        else
            try_again_later(w,
                            outcome->text[0] != '\0' ? outcome->text : "its runner did not begin");
        return;
    case STEP_ENDED:
        if (copy.kind == UPDATE_FX_LOOK)
            look_ended(e, job, &copy);
        else
            install_ended(e, job, &copy, outcome);
        return;
    case STEP_LOST:
        engine_queue_event(e, job->inst.id, UPDATE_EV_LOST, copy.id, false,
                           "nobody saw its end: the machine went down, or its runner was killed");
        return;
    case STEP_VOID:
        engine_queue_event(e, job->inst.id, UPDATE_EV_STOPPED, 0, false, NULL);
        return;
    case STEP_RUNNING:
    default:
        return;
    }
}
