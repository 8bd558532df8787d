/* Updates in the agent with stand-ins for the stager, the updater and the service. */
#include "update_world.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "update/slots.h"

#define SLOTS_VARIABLE "SSMD_TEST_SLOTS"

struct engine_world uw;
struct update uw_seen;
char uw_seen_id[FSM_ID_SIZE];
uint8_t uw_seen_state;
int64_t uw_clock_offset_ms;
static int lock_fd = -1; /* held in place of the updater */

/* ---- the clock ---- */

static int64_t boottime(void *ctx)
{
    struct timespec t;

    (void)ctx;
    (void)clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 + uw_clock_offset_ms;
}

static int64_t wall(void *ctx)
{
    struct timespec t;

    (void)ctx;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static const struct clock_source turned = {.wall_ms = wall, .boottime_ms = boottime};

/* ---- the service ---- */

struct uw_service uw_service;

static void answer(uv_idle_t *idle)
{
    size_t i, n = uw_service.n_asked;

    (void)uv_idle_stop(idle);
    uw_service.n_asked = 0;
    for (i = 0; i < n; i++)
        uw_service.asked[i].done(uw_service.asked[i].ctx, NULL);
}

static bool is_in_reach(struct lookup *l)
{
    (void)l;
    return uw_service.is_in_reach;
}

static int tell_status(struct lookup *l, const char *version, const char *status,
                       lookup_told_fn done, void *ctx, struct err *err)
{
    size_t n = strlen(uw_service.said);

    (void)l;
    (void)err;
    (void)snprintf(uw_service.said + n, sizeof(uw_service.said) - n, "%s ", status);
    (void)str_copy(uw_service.version, sizeof(uw_service.version), version);
    if (uw_service.is_mute)
        return 0;
    ck_assert_uint_lt(uw_service.n_asked, ARRAY_LEN(uw_service.asked));
    uw_service.asked[uw_service.n_asked].done = done;
    uw_service.asked[uw_service.n_asked++].ctx = ctx;
    return uv_idle_start(&uw_service.idle, answer);
}

static struct lookup lookup = {.is_in_reach = is_in_reach, .tell_status = tell_status};

/* ---- the stager ---- */

/* `name` may have one directory before it, which is there. */
void uw_write_file(const char *name, const char *text, size_t n, mode_t mode)
{
    AUTO(close_fd) int fd = -1;
    char path[256], *slash;
    struct err err;

    (void)snprintf(path, sizeof(path), "%s/%s", uw.dir, name);
    slash = strrchr(path, '/');
    *slash = '\0';
    ck_assert_int_eq(fs_open_dir(AT_FDCWD, path, &fd, &err), 0);
    ck_assert_msg(fs_write_atomic(fd, slash + 1, text, n, mode, false, &err) == 0, "%s", err.text);
}

void uw_answer_with(const char *phase, const struct stager_answer *a)
{
    AUTO(buf_done) struct buf text = {0};
    char name[64];

    buf_init(&text, STAGER_MAX_ANSWER_BYTES);
    stager_answer_write(a, &text);
    (void)snprintf(name, sizeof(name), "answer.%s", phase);
    uw_write_file(name, buf_str(&text), text.len, 0600);
}

const struct stager_answer uw_good = {
    .verdict = STAGER_OK,
    .target = NEW,
    .url = "file:///source/ssmd/" NEW "/ssmd-linux-amd64.tar.gz",
    .sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    .length_bytes = 5,
    .manifest_version = 7,
    .root_version = 1,
};

static void prepare_stager(void)
{
    static const char script[] = "#!/bin/sh\n"
                                 "d=$" DIR_VARIABLE "\n"
                                 "cat > $d/request\n"
                                 "phase=$(sed -n 's/^phase=//p' $d/request)\n"
                                 "mv $d/request $d/request.$phase\n"
                                 "echo $phase >> $d/stager.log\n"
                                 "echo a complaint of $phase >&2\n"
                                 "[ ! -e $d/instead.$phase ] || . $d/instead.$phase\n"
                                 "cat $d/answer.$phase\n";
    static const char *const phases[] = {"fetch", "verify", "stage"};
    size_t i;

    uw_write_file("stager", script, strlen(script), 0700);
    for (i = 0; i < ARRAY_LEN(phases); i++)
        uw_answer_with(phases[i], &uw_good);
}

void uw_instead(const char *phase, const char *script)
{
    char name[64];

    (void)snprintf(name, sizeof(name), "instead.%s", phase);
    uw_write_file(name, script, strlen(script), 0600);
}

/* ---- the updater ---- */

int uw_update_dir(void)
{
    struct err err;
    int fd = -1;

    ck_assert_msg(fs_make_path(uw.paths.update_dir, &fd, &err) == 0, "%s", err.text);
    return fd;
}

void uw_progress(enum handover_state state, const char *cause, bool is_doubtful)
{
    AUTO(close_fd) int fd = uw_update_dir();
    struct handover_order order;
    struct fsm_instance inst;
    struct err err;

    ck_assert_msg(handover_read_order(fd, &order, &err) == 0, "%s", err.text);
    ck_assert_int_eq(fsm_instance_init(&inst, &handover_machine, order.id, 0, 1, &err), 0);
    inst.state = (uint8_t)state;
    (void)str_copy(handover_of(&inst)->update, FSM_ID_SIZE, order.id);
    (void)str_copy(handover_of(&inst)->from_version, VERSION_SIZE, order.from);
    (void)str_copy(handover_of(&inst)->to_version, VERSION_SIZE, order.to);
    (void)str_copy(handover_of(&inst)->cause, sizeof(handover_of(&inst)->cause), cause);
    handover_of(&inst)->is_doubtful = is_doubtful;
    ck_assert_msg(handover_write_progress(fd, &inst, &err) == 0, "%s", err.text);
    fsm_instance_done(&inst);
}

void uw_hold_lock(void)
{
    AUTO(close_fd) int fd = uw_update_dir();

    lock_fd = openat(fd, HANDOVER_LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(lock_fd, 0);
    ck_assert_int_eq(flock(lock_fd, LOCK_EX | LOCK_NB), 0);
}

void uw_let_lock_go(void)
{
    if (lock_fd >= 0)
        (void)close(lock_fd);
    lock_fd = -1;
}

int uw_count_lines(const char *name, const char *word)
{
    const char *at = engine_world_file(&uw, name);
    int n = 0;

    while ((at = strstr(at, word)) != NULL) {
        n++;
        at++;
    }
    return n;
}

/* ---- waiting ---- */

struct job *uw_find_update(void)
{
    struct job *j;

    for (j = uw.engine->first; j != NULL; j = j->next)
        if (job_is_update(j))
            return j;
    return NULL;
}

/* Looks are made with every round of the loop, not once a second. */
bool uw_note(void)
{
    const struct job *job;
    uv_timer_t *timer = &uw.engine->update_timer;

    if (uv_is_active((uv_handle_t *)timer))
        timer->timer_cb(timer);
    job = uw_find_update();
    if (job == NULL)
        return false;
    uw_seen = *update_of(&job->inst);
    uw_seen_state = job->inst.state;
    (void)str_copy(uw_seen_id, sizeof(uw_seen_id), job->inst.id);
    return true;
}

void uw_until_state(enum update_state state)
{
    LOOP_UNTIL(&uw.loop, uw_note() && uw_seen_state == state);
}

void uw_until_over(void)
{
    LOOP_UNTIL(&uw.loop, !uw_note() && uw.engine->n_jobs == 0);
}

void uw_turns(int n)
{
    for (; n > 0; n--) {
        engine_world_turns(&uw, 1);
        (void)uw_note();
    }
}

static void on_accepted(void *ctx, const char *job_id, const struct err *err)
{
    ck_assert_msg(err == NULL, "%s", err != NULL ? err->text : "");
    (void)str_copy(ctx, FSM_ID_SIZE, job_id);
}

char uw_asked_id[FSM_ID_SIZE];

int uw_ask(const struct engine_update *u, struct err *err)
{
    return engine_update(uw.engine, u, on_accepted, uw_asked_id, err);
}

void uw_ask_well(const struct engine_update *u)
{
    struct err err;

    ck_assert_msg(uw_ask(u, &err) == 0, "%s", err.text);
}

const struct engine_update uw_latest = {.asked = ""};

bool uw_is_ordered(void)
{
    return uw_note() && uw_count_lines("updater.log", "switch") > 0;
}

void uw_restart(void)
{
    engine_world_restart(&uw, "boot-1");
    uw_seen_state = UPDATE_NEW;
}

void uw_no_slot(void)
{
    (void)snprintf(uw.paths.slots_dir, PATH_MAX, "%s/opt/ssmd", uw.dir);
}

/* ---- a slot to run from ---- */

static void copy_self(int bin_fd)
{
    AUTO(close_fd) int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    AUTO(close_fd) int to = openat(bin_fd, "ssmd", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    char chunk[65536];
    ssize_t n;

    while ((n = read(from, chunk, sizeof(chunk))) > 0)
        if (write(to, chunk, (size_t)n) != n)
            abort();
}

static void make_slot(const struct slots *slots, const char *version)
{
    static const char updater[] = "#!/bin/sh\necho \"$@\" >> $" DIR_VARIABLE "/updater.log\n";
    AUTO(close_fd) int fd = -1, bin_fd = -1;
    struct err err;

    if (mkdirat(slots->versions_fd, version, 0755) < 0 ||
        fs_open_dir(slots->versions_fd, version, &fd, &err) < 0 || mkdirat(fd, "bin", 0755) < 0 ||
        fs_open_dir(fd, "bin", &bin_fd, &err) < 0)
        abort();
    if (str_eq(version, OLD))
        copy_self(bin_fd);
    if (fs_write_atomic(bin_fd, "ssmd-updater", updater, strlen(updater), 0755, false, &err) < 0 ||
        slots_seal(fd, version, uw_good.sha256, &err) < 0)
        abort();
}

/* Exit status of the suite, run by the copy. */
static int run_from_slot(char **argv)
{
    AUTO(slots_done) struct slots slots = {.dir_fd = -1, .versions_fd = -1};
    const char *temp = getenv("TMPDIR");
    char root[64], dir[128], program[256];
    int status = 1;
    struct err err;
    pid_t pid;

    (void)snprintf(root, sizeof(root), "%.30s/ssmd-slots.XXXXXX", temp != NULL ? temp : "/tmp");
    if (mkdtemp(root) == NULL)
        abort();
    (void)snprintf(dir, sizeof(dir), "%s/opt/ssmd", root);
    (void)snprintf(program, sizeof(program), "%s/versions/" OLD "/bin/ssmd", dir);
    if (slots_open(dir, true, &slots, &err) < 0)
        abort();
    make_slot(&slots, OLD);
    make_slot(&slots, NEW);
    if (slots_point(&slots, SLOTS_CURRENT, OLD, &err) < 0 ||
        slots_point(&slots, SLOTS_PROVEN, OLD, &err) < 0 || setenv(SLOTS_VARIABLE, dir, 1) < 0)
        abort();
    pid = fork();
    if (pid == 0) {
        (void)execv(program, argv);
        _exit(126);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (slots_remove_tree(AT_FDCWD, root, &err) < 0)
        (void)fprintf(stderr, "%s\n", err.text);
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

void uw_begin(void)
{
    memset(&uw_service, 0, sizeof(uw_service));
    memset(&uw_seen, 0, sizeof(uw_seen));
    uw_seen_state = UPDATE_NEW;
    uw_service.is_in_reach = true;
    uw_clock_offset_ms = 0;
    clock_set_source(&turned);
    engine_world_init(&uw, NULL, NULL);
    (void)uv_idle_init(&uw.loop, &uw_service.idle);
    ck_assert_int_eq(setenv(DIR_VARIABLE, uw.dir, 1), 0);
    (void)str_copy(uw.paths.slots_dir, PATH_MAX, getenv(SLOTS_VARIABLE));
    (void)str_copy(uw.config.update_source, CONFIG_MAX_TEXT, "file:///source");
    (void)snprintf(uw.config.stager_path, CONFIG_MAX_TEXT, "%s/stager", uw.dir);
    (void)snprintf(uw.config.update_root_file, CONFIG_MAX_TEXT, "%s/root.json", uw.dir);
    uw_write_file("root.json", "{}", 2, 0600);
    prepare_stager();
    uw.lookup = &lookup;
    engine_world_restart(&uw, "boot-1");
}

void uw_end(void)
{
    uw_let_lock_go();
    uv_close((uv_handle_t *)&uw_service.idle, NULL);
    engine_world_done(&uw);
    clock_set_source(NULL);
}

int uw_main(char **argv, Suite *(*make_suite)(void))
{
    SRunner *sr;
    int n_failed;

    if (getenv(SLOTS_VARIABLE) == NULL)
        return run_from_slot(argv);
    (void)signal(SIGPIPE, SIG_IGN);  /* as ssmd does */
    (void)unsetenv("INVOCATION_ID"); /* no service manager's unit is to be started */
    sr = srunner_create(make_suite());
    srunner_run_all(sr, CK_ENV);
    n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
