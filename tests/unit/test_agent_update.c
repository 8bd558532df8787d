/* Updates in the agent: the stager and the updater are stand-ins, the engine, the journal, the
 * slots and the files between them are real. The test runs from a version slot: it copies itself
 * into one and goes on there. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/update_internal.h"
#include "base/fs.h"
#include "base/str.h"
#include "engine_world.h"
#include "tests/lib/loop_until.h"
#include "update/handover_files.h"
#include "update/slots.h"

#define OLD "1.0.0"
#define NEW "1.1.0"
#define SLOTS_VARIABLE "SSMD_TEST_SLOTS"
#define DIR_VARIABLE "SSMD_TEST_DIR"

static struct engine_world w;
static struct update seen; /* of the update, as long as it was open */
static char seen_id[FSM_ID_SIZE];
static uint8_t seen_state;
static int64_t clock_offset_ms;
static int lock_fd = -1; /* held in place of the updater */

/* ---- the clock ---- */

static int64_t boottime(void *ctx)
{
    struct timespec t;

    (void)ctx;
    (void)clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 + clock_offset_ms;
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

static struct {
    bool is_in_reach, is_mute;
    char said[1024]; /* every AgentStatus, a blank after each */
    char version[80];
    struct {
        lookup_told_fn done;
        void *ctx;
    } asked[16];
    size_t n_asked;
    uv_idle_t idle;
} service;

static void answer(uv_idle_t *idle)
{
    size_t i, n = service.n_asked;

    (void)uv_idle_stop(idle);
    service.n_asked = 0;
    for (i = 0; i < n; i++)
        service.asked[i].done(service.asked[i].ctx, NULL);
}

static bool is_in_reach(struct lookup *l)
{
    (void)l;
    return service.is_in_reach;
}

static int tell_status(struct lookup *l, const char *version, const char *status,
                       lookup_told_fn done, void *ctx, struct err *err)
{
    size_t n = strlen(service.said);

    (void)l;
    (void)err;
    (void)snprintf(service.said + n, sizeof(service.said) - n, "%s ", status);
    (void)str_copy(service.version, sizeof(service.version), version);
    if (service.is_mute)
        return 0;
    ck_assert_uint_lt(service.n_asked, ARRAY_LEN(service.asked));
    service.asked[service.n_asked].done = done;
    service.asked[service.n_asked++].ctx = ctx;
    return uv_idle_start(&service.idle, answer);
}

static struct lookup lookup = {.is_in_reach = is_in_reach, .tell_status = tell_status};

/* ---- the stager ---- */

/* `name` may have one directory before it, which is there. */
static void write_file(const char *name, const char *text, size_t n, mode_t mode)
{
    AUTO(close_fd) int fd = -1;
    char path[256], *slash;
    struct err err;

    (void)snprintf(path, sizeof(path), "%s/%s", w.dir, name);
    slash = strrchr(path, '/');
    *slash = '\0';
    ck_assert_int_eq(fs_open_dir(AT_FDCWD, path, &fd, &err), 0);
    ck_assert_msg(fs_write_atomic(fd, slash + 1, text, n, mode, false, &err) == 0, "%s", err.text);
}

static void answer_with(const char *phase, const struct stager_answer *a)
{
    AUTO(buf_done) struct buf text = {0};
    char name[64];

    buf_init(&text, STAGER_MAX_ANSWER_BYTES);
    stager_answer_write(a, &text);
    (void)snprintf(name, sizeof(name), "answer.%s", phase);
    write_file(name, buf_str(&text), text.len, 0600);
}

static const struct stager_answer good = {
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

    write_file("stager", script, strlen(script), 0700);
    for (i = 0; i < ARRAY_LEN(phases); i++)
        answer_with(phases[i], &good);
}

static void instead(const char *phase, const char *script)
{
    char name[64];

    (void)snprintf(name, sizeof(name), "instead.%s", phase);
    write_file(name, script, strlen(script), 0600);
}

/* ---- the updater ---- */

static int update_dir(void)
{
    struct err err;
    int fd = -1;

    ck_assert_msg(fs_make_path(w.paths.update_dir, &fd, &err) == 0, "%s", err.text);
    return fd;
}

static void progress(enum handover_state state, const char *cause, bool is_doubtful)
{
    AUTO(close_fd) int fd = update_dir();
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

static void hold_lock(void)
{
    AUTO(close_fd) int fd = update_dir();

    lock_fd = openat(fd, HANDOVER_LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(lock_fd, 0);
    ck_assert_int_eq(flock(lock_fd, LOCK_EX | LOCK_NB), 0);
}

static void let_lock_go(void)
{
    if (lock_fd >= 0)
        (void)close(lock_fd);
    lock_fd = -1;
}

static int count_lines(const char *name, const char *word)
{
    const char *at = engine_world_file(&w, name);
    int n = 0;

    while ((at = strstr(at, word)) != NULL) {
        n++;
        at++;
    }
    return n;
}

/* ---- waiting ---- */

static struct job *find_update(void)
{
    struct job *j;

    for (j = w.engine->first; j != NULL; j = j->next)
        if (job_is_update(j))
            return j;
    return NULL;
}

/* Looks are made with every round of the loop, not once a second. */
static bool note(void)
{
    const struct job *job;
    uv_timer_t *timer = &w.engine->update_timer;

    if (uv_is_active((uv_handle_t *)timer))
        timer->timer_cb(timer);
    job = find_update();
    if (job == NULL)
        return false;
    seen = *update_of(&job->inst);
    seen_state = job->inst.state;
    (void)str_copy(seen_id, sizeof(seen_id), job->inst.id);
    return true;
}

static void until_state(enum update_state state)
{
    LOOP_UNTIL(&w.loop, note() && seen_state == state);
}

static void until_over(void)
{
    LOOP_UNTIL(&w.loop, !note() && w.engine->n_jobs == 0);
}

static void turns(int n)
{
    for (; n > 0; n--) {
        engine_world_turns(&w, 1);
        (void)note();
    }
}

static void on_accepted(void *ctx, const char *job_id, const struct err *err)
{
    ck_assert_msg(err == NULL, "%s", err != NULL ? err->text : "");
    (void)str_copy(ctx, FSM_ID_SIZE, job_id);
}

static char asked_id[FSM_ID_SIZE];

static int ask(const struct engine_update *u, struct err *err)
{
    return engine_update(w.engine, u, on_accepted, asked_id, err);
}

static void ask_well(const struct engine_update *u)
{
    struct err err;

    ck_assert_msg(ask(u, &err) == 0, "%s", err.text);
}

static const struct engine_update latest = {.asked = ""};

static bool is_ordered(void)
{
    return note() && count_lines("updater.log", "switch") > 0;
}

/* ---- a good one ---- */

START_TEST(an_update_goes_through_all_its_states)
{
    AUTO(close_fd) int fd = update_dir();
    struct handover_order order;
    struct err err;

    ask_well(&(struct engine_update){.asked = NEW, .allow_downgrade = true});
    LOOP_UNTIL(&w.loop, is_ordered());
    ck_assert_str_eq(asked_id, seen_id);
    ck_assert_int_eq(seen_state, UPDATE_SWITCHING);
    ck_assert_str_eq(engine_world_file(&w, "stager.log"), "fetch\nverify\nstage\n");
    ck_assert_ptr_nonnull(strstr(engine_world_file(&w, "request.fetch"), "\nasked=" NEW "\n"));
    ck_assert_ptr_nonnull(strstr(engine_world_file(&w, "request.fetch"), "\nfrom=" OLD "\n"));
    ck_assert_ptr_nonnull(strstr(engine_world_file(&w, "request.stage"), good.sha256));
    ck_assert_int_eq(handover_read_order(fd, &order, &err), 0);
    ck_assert_str_eq(order.id, seen_id);
    ck_assert_str_eq(order.from, OLD);
    ck_assert_str_eq(order.to, NEW);
    ck_assert_int_eq(order.proving_ms, 60000);
    ck_assert_int_eq(order.deadline_ms, 300000);
    ck_assert_int_eq(order.max_rss_bytes, INT64_C(512) << 20);
    ck_assert_str_eq(order.pid_file, w.paths.pid_file);
    ck_assert(!order.is_service_away);
    hold_lock();
    progress(HANDOVER_POINTING, "", false);
    turns(3);
    ck_assert_int_eq(seen_state, UPDATE_SWITCHING);
    progress(HANDOVER_PROVING, "", false);
    until_state(UPDATE_PROVING);
    progress(HANDOVER_COMMITTED, "", false);
    until_over();
    ck_assert_str_eq(seen.status, "Success");
    ck_assert_str_eq(service.said, "UpdateInitialized UpdateSucceeded-" NEW ".0 ");
    ck_assert_str_eq(service.version, OLD ".0");
    ck_assert_int_eq(count_lines("updater.log", "switch"), 1);
}
END_TEST

/* ---- the stager says, or does not say ---- */

static const struct {
    const char *phase;
    struct stager_answer answer;
    const char *instead; /* script in its place */
    const char *status, *code, *text, *said;
} bad[] = {
    {"fetch",
     {.verdict = STAGER_SKIP, .text = "ssmd " OLD " has already been installed, update skipped"},
     NULL,
     "Success",
     "",
     "already been installed",
     "UpdateInitialized UpdateSucceeded "},
    {"fetch",
     {.verdict = STAGER_FAIL, .code = "ErrorAttempToDowngrade", .text = "it is older"},
     NULL,
     "Failed",
     "ErrorAttempToDowngrade",
     "it is older",
     "UpdateInitialized UpdateFailed_ErrorAttempToDowngrade-NoAlarm "},
    {"verify",
     {.verdict = STAGER_FAIL, .code = "ErrorTargetPkgDownload", .text = "its SHA-256 differs"},
     NULL,
     "Failed",
     "ErrorTargetPkgDownload",
     "SHA-256",
     "UpdateInitialized UpdateFailed_ErrorTargetPkgDownload-" NEW ".0 "},
    {"stage",
     {.verdict = STAGER_FAIL, .code = "ErrorInstallFailed", .text = "it does not start"},
     NULL,
     "Failed",
     "ErrorInstallFailed",
     "it does not start",
     "UpdateInitialized UpdateFailed_ErrorInstallFailed-" NEW ".0 "},
    {"fetch",
     {.verdict = STAGER_OK},
     "echo nonsense; exit 0",
     "Failed",
     "ErrorUnexpected",
     "ssmd-stager",
     "UpdateInitialized UpdateFailed_ErrorUnexpected "},
    {"fetch",
     {.verdict = STAGER_OK},
     "exit 0",
     "Failed",
     "ErrorUnexpected",
     "without an answer",
     "UpdateInitialized UpdateFailed_ErrorUnexpected "},
    {"stage",
     {.verdict = STAGER_OK},
     "exit 9",
     "Failed",
     "ErrorUnexpected",
     "exit status 9",
     "UpdateInitialized UpdateFailed_ErrorUnexpected-" NEW ".0 "},
    {"verify",
     {.verdict = STAGER_OK},
     "kill -9 $$",
     "Failed",
     "ErrorUnexpected",
     "signal 9",
     "UpdateInitialized UpdateFailed_ErrorUnexpected-" NEW ".0 "},
    {"fetch",
     {.verdict = STAGER_OK},
     "yes | head -c 100000; exit 0",
     "Failed",
     "ErrorUnexpected",
     "larger than",
     "UpdateInitialized UpdateFailed_ErrorUnexpected "},
};

START_TEST(whatever_the_stager_says_nothing_is_switched_without_its_word)
{
    if (bad[_i].instead != NULL)
        instead(bad[_i].phase, bad[_i].instead);
    else
        answer_with(bad[_i].phase, &bad[_i].answer);
    ask_well(&latest);
    LOOP_UNTIL(&w.loop, note());
    LOOP_UNTIL(&w.loop, (clock_offset_ms += 1000, !note())); /* its pauses pass quickly */
    ck_assert_str_eq(seen.status, bad[_i].status);
    ck_assert_str_eq(seen.code, bad[_i].code);
    ck_assert_msg(strstr(seen.text, bad[_i].text) != NULL, "%s", seen.text);
    ck_assert_str_eq(service.said, bad[_i].said);
    ck_assert_int_eq(count_lines("updater.log", "switch"), 0);
}
END_TEST

START_TEST(what_may_pass_is_tried_again)
{
    const struct stager_answer later = {
        .verdict = STAGER_FAIL, .is_retry_worthwhile = true, .text = "no connection"};

    answer_with("fetch", &later);
    ask_well(&latest);
    LOOP_UNTIL(&w.loop, note() && find_update()->update->retry_at_ms != 0);
    turns(3);
    ck_assert_int_eq(count_lines("stager.log", "fetch"), 1);
    answer_with("fetch", &good);
    clock_offset_ms += 60000;
    LOOP_UNTIL(&w.loop, is_ordered());
    ck_assert_int_eq(count_lines("stager.log", "fetch"), 2);
}
END_TEST

START_TEST(what_does_not_pass_ends_with_its_reason)
{
    const struct stager_answer later = {
        .verdict = STAGER_FAIL, .is_retry_worthwhile = true, .text = "no connection to the source"};

    answer_with("fetch", &later);
    ask_well(&latest);
    LOOP_UNTIL(&w.loop, note() && find_update()->update->retry_at_ms != 0);
    clock_offset_ms += INT64_C(31) * 60 * 1000;
    engine_on_deadline(&w.engine->deadline_timer);
    LOOP_UNTIL(&w.loop, !note());
    ck_assert_str_eq(seen.status, "Failed");
    ck_assert_str_eq(seen.text, "no connection to the source");
}
END_TEST

/* ---- back again ---- */

START_TEST(a_rollback_is_told_with_its_cause)
{
    bool is_doubtful = _i == 1;

    ask_well(&latest);
    LOOP_UNTIL(&w.loop, is_ordered());
    hold_lock();
    progress(HANDOVER_PROVING, "", false);
    until_state(UPDATE_PROVING);
    progress(HANDOVER_REVERTING, "it crashed four times", false);
    until_state(UPDATE_ROLLING_BACK);
    progress(HANDOVER_CONFIRMING, "it crashed four times", false);
    turns(3);
    progress(HANDOVER_REVERTED, "it crashed four times", is_doubtful);
    until_over();
    ck_assert_str_eq(seen.status, "Failed");
    ck_assert_str_eq(seen.code,
                     is_doubtful ? "ErrorCannotStartService" : "ErrorUpdateFailRollbackSuccess");
    ck_assert(str_has_prefix(seen.text, "it crashed four times"));
    ck_assert_msg(str_has_prefix(service.said, "UpdateInitialized RollingBack-" NEW
                                               ".0 RollBackCompleted-" NEW ".0 UpdateFailed_Error"),
                  "%s", service.said);
}
END_TEST

START_TEST(a_version_that_was_rolled_back_is_not_tried_again_by_the_clock)
{
    ask_well(&latest);
    LOOP_UNTIL(&w.loop, is_ordered());
    progress(HANDOVER_REVERTED, "it hangs", false);
    until_over();
    ask_well(&(struct engine_update){.asked = "latest", .is_by_clock = true});
    LOOP_UNTIL(&w.loop, note());
    until_over();
    ck_assert_str_eq(seen.status, "Success");
    ck_assert_ptr_nonnull(strstr(seen.text, "rolled back on this machine before"));
    ck_assert_ptr_nonnull(strstr(service.said, "UpdateSucceeded_SelfUpdate "));
    ask_well(&latest); /* a person may */
    LOOP_UNTIL(&w.loop, note() && seen_state == UPDATE_SWITCHING);
}
END_TEST

/* ---- deaths ---- */

static void restart(void)
{
    engine_world_restart(&w, "boot-1");
    seen_state = UPDATE_NEW;
}

START_TEST(a_restart_at_any_state_goes_on_from_there)
{
    static const enum update_state states[] = {UPDATE_RECEIVED, UPDATE_FETCHED,   UPDATE_VERIFIED,
                                               UPDATE_STAGED,   UPDATE_SWITCHING, UPDATE_PROVING};
    enum update_state at = states[_i];

    service.is_in_reach = at != UPDATE_STAGED;
    ask_well(&latest);
    if (at == UPDATE_PROVING) {
        LOOP_UNTIL(&w.loop, is_ordered());
        progress(HANDOVER_PROVING, "", false);
    }
    until_state(at);
    restart();
    ck_assert(note());
    service.is_in_reach = true;
    if (at < UPDATE_PROVING)
        LOOP_UNTIL(&w.loop, is_ordered());
    progress(HANDOVER_COMMITTED, "", false);
    until_over();
    ck_assert_str_eq(seen.status, "Success");
}
END_TEST

START_TEST(an_updater_that_died_is_started_again_and_one_that_lives_is_left_alone)
{
    ask_well(&latest);
    LOOP_UNTIL(&w.loop, is_ordered());
    hold_lock();
    progress(HANDOVER_PROVING, "", false);
    restart();
    clock_offset_ms += 10000;
    turns(5);
    ck_assert_int_eq(count_lines("updater.log", "switch"), 1);
    let_lock_go();
    clock_offset_ms += 10000;
    LOOP_UNTIL(&w.loop, note() && count_lines("updater.log", "switch") == 2);
    turns(5); /* not at once once more */
    ck_assert_int_eq(count_lines("updater.log", "switch"), 2);
    progress(HANDOVER_COMMITTED, "", false);
    until_over();
    ck_assert_str_eq(seen.status, "Success");
}
END_TEST

START_TEST(an_order_that_nobody_takes_up_is_withdrawn)
{
    AUTO(close_fd) int fd = update_dir();
    struct handover_order order;
    struct err err;

    ask_well(&latest);
    LOOP_UNTIL(&w.loop, is_ordered());
    LOOP_UNTIL(&w.loop, (clock_offset_ms += 5000, !note()));
    ck_assert_str_eq(seen.status, "Failed");
    ck_assert_ptr_nonnull(strstr(seen.text, "nothing was changed"));
    ck_assert_msg(handover_read_order(fd, &order, &err) == ERR_NOT_FOUND, "%s", seen.text);
}
END_TEST

START_TEST(the_record_of_another_update_says_nothing_of_this_one)
{
    ask_well(&latest);
    LOOP_UNTIL(&w.loop, is_ordered());
    progress(HANDOVER_COMMITTED, "", false);
    until_over();
    write_file("updater.log", "", 0, 0600);
    ask_well(&latest);
    LOOP_UNTIL(&w.loop, is_ordered());
    turns(5);
    ck_assert_int_eq(seen_state, UPDATE_SWITCHING);
}
END_TEST

/* ---- a good moment ---- */

START_TEST(it_waits_for_the_service_unless_forced)
{
    bool is_forced = _i == 1;
    AUTO(close_fd) int fd = update_dir();
    struct handover_order order;
    struct err err;

    service.is_in_reach = false;
    ask_well(&(struct engine_update){.asked = "", .is_forced = is_forced});
    if (!is_forced) {
        until_state(UPDATE_STAGED);
        turns(5);
        ck_assert_int_eq(seen_state, UPDATE_STAGED);
        service.is_in_reach = true;
    }
    LOOP_UNTIL(&w.loop, is_ordered());
    ck_assert_int_eq(handover_read_order(fd, &order, &err), 0);
    ck_assert_int_eq(order.is_service_away, is_forced);
}
END_TEST

START_TEST(a_service_that_stays_away_ends_it)
{
    service.is_in_reach = false;
    ask_well(&latest);
    until_state(UPDATE_STAGED);
    turns(2);
    clock_offset_ms += UPDATE_SERVICE_WAIT_MS + 1000;
    engine_on_deadline(&w.engine->deadline_timer);
    until_state(UPDATE_FAILED);
    clock_offset_ms += 60000; /* nor is it waited for to hear of it */
    until_over();
    ck_assert_str_eq(seen.text,
                     "nothing was switched: it waited until now, and the service is out of reach");
    ck_assert_str_eq(service.said, "");
}
END_TEST

START_TEST(it_waits_for_commands_as_long_as_it_was_told_to)
{
    (void)engine_world_send(&w, 1, 1, "sleep 60");
    LOOP_UNTIL(&w.loop, w.engine->first != NULL && w.engine->first->inst.state == COMMAND_RUNNING);
    ask_well(&(struct engine_update){.asked = "", .wait_ms = 60000});
    until_state(UPDATE_STAGED);
    turns(5);
    ck_assert_int_eq(seen_state, UPDATE_STAGED);
    if (_i == 0)
        clock_offset_ms += 61000;
    else
        ck_assert_int_eq(engine_cancel(w.engine, w.engine->first->inst.id, NULL, NULL, NULL), 0);
    until_state(UPDATE_SWITCHING);
    if (_i == 0)
        ck_assert_int_eq(engine_cancel(w.engine, w.engine->first->inst.id, NULL, NULL, NULL), 0);
    LOOP_UNTIL(&w.loop, engine_world_processes(&w) == 0);
}
END_TEST

/* ---- cancels ---- */

START_TEST(a_cancel_before_the_switch_ends_it_and_the_stager)
{
    instead("stage", "sleep 60");
    ask_well(&latest);
    LOOP_UNTIL(&w.loop, note() && count_lines("stager.log", "stage") > 0);
    engine_queue_event(w.engine, seen_id, UPDATE_EV_CANCEL, 0, false, NULL);
    until_over();
    ck_assert_str_eq(seen.status, "Cancelled");
    ck_assert_str_eq(service.said, "UpdateInitialized ");
    LOOP_UNTIL(&w.loop, engine_world_processes(&w) == 0);
}
END_TEST

START_TEST(a_cancel_after_the_switch_is_too_late)
{
    ask_well(&latest);
    LOOP_UNTIL(&w.loop, is_ordered());
    engine_queue_event(w.engine, seen_id, UPDATE_EV_CANCEL, 0, false, NULL);
    turns(3);
    ck_assert_int_eq(seen_state, UPDATE_SWITCHING);
    progress(HANDOVER_COMMITTED, "", false);
    until_over();
    ck_assert_str_eq(seen.status, "Success");
}
END_TEST

/* ---- what stands against it ---- */

static void no_source(void)
{
    w.config.update_source[0] = '\0';
}

static void no_root_file(void)
{
    (void)str_copy(w.config.update_root_file, CONFIG_MAX_TEXT, "/nonexistent/root.json");
}

static void no_slot(void)
{
    (void)snprintf(w.paths.slots_dir, PATH_MAX, "%s/opt/ssmd", w.dir);
}

static void bottlerocket(void)
{
    char path[256];
    struct err err;
    int fd = -1;

    (void)snprintf(path, sizeof(path), "%s/etc", w.dir);
    ck_assert_int_eq(fs_make_path(path, &fd, &err), 0);
    (void)close(fd);
    write_file("etc/bottlerocket-release", "", 0, 0600);
}

static const struct {
    void (*spoil)(void);
    const char *text;
} obstacles[] = {
    {no_source, "Ssmd.UpdateSource"},
    {no_root_file, "/nonexistent/root.json"},
    {no_slot, "package manager"},
    {bottlerocket, "update the image"},
};

START_TEST(what_stands_against_it_is_said_before_anything_is_begun)
{
    struct err err;

    obstacles[_i].spoil();
    ck_assert_int_eq(ask(&latest, &err), ERR_STATE);
    ck_assert_msg(strstr(err.text, obstacles[_i].text) != NULL, "%s", err.text);
    turns(2);
    ck_assert_uint_eq(w.engine->n_jobs, 0);
}
END_TEST

START_TEST(a_second_update_is_refused_while_one_is_open)
{
    struct err err;

    instead("fetch", "sleep 60");
    ask_well(&latest);
    LOOP_UNTIL(&w.loop, note());
    ck_assert_int_eq(ask(&latest, &err), ERR_BUSY);
    ck_assert_str_eq(err.text, "Another update in progress, try again later");
}
END_TEST

/* ---- as a step ---- */

static void send_step(int number, const char *schema, const char *inputs)
{
    char payload[1024], message_id[100], step[600];

    (void)snprintf(message_id, sizeof(message_id),
                   "aws.ssm.00000000-0000-4000-8000-%012d.mi-0123456789abcdef0", number);
    if (str_eq(schema, "1.2"))
        (void)snprintf(step, sizeof(step),
                       "\"runtimeConfig\":{\"aws:updateSsmAgent\":{\"properties\":%s}}", inputs);
    else
        (void)snprintf(step, sizeof(step),
                       "\"mainSteps\":[{\"action\":\"aws:updateSsmAgent\",\"name\":"
                       "\"awsupdateSsmAgent\",\"inputs\":%s}]",
                       inputs);
    (void)snprintf(payload, sizeof(payload),
                   "{\"CommandId\":\"x\",\"DocumentName\":\"AWS-UpdateSSMAgent\","
                   "\"DocumentContent\":{\"schemaVersion\":\"%s\",%s}}",
                   schema, step);
    engine_world_receive(&w, "aws.ssm.sendCommand.us.east.1.1", message_id, payload);
}

#define INPUTS(more) "{\"agentName\":\"amazon-ssm-agent\",\"allowDowngrade\":\"false\"" more "}"

static const char *last_payload(void)
{
    return w.n_told > 0 && w.told[w.n_told - 1].payload != NULL ? w.told[w.n_told - 1].payload : "";
}

static bool has_final_reply(void)
{
    size_t i;

    for (i = 0; i < w.n_told; i++)
        if (str_eq(w.told[i].what, "reply") && !str_eq(w.told[i].status, "InProgress"))
            return true;
    return false;
}

static void forget_replies(void)
{
    while (w.n_told > 0)
        free(w.told[--w.n_told].payload);
    memset(w.told, 0, sizeof(w.told));
}

static void until_reply(void)
{
    LOOP_UNTIL(&w.loop, ((void)note(), has_final_reply()));
}

#define LINES_TO_SWITCH                                                                            \
    "Successfully downloaded manifest\\n"                                                          \
    "Updating amazon-ssm-agent from " OLD ".0 to " NEW ".0\\n"                                     \
    "Successfully downloaded file:///source/ssmd/" NEW "/ssmd-linux-amd64.tar.gz\\n"               \
    "Initiating amazon-ssm-agent update to " NEW ".0\\n"

START_TEST(a_step_ends_with_its_update_and_the_texts_that_users_know)
{
    static const char *const schemas[] = {"1.2", "2.0", "2.2", "2.2"};
    bool is_good = _i < 3;

    send_step(1, schemas[_i],
              INPUTS(",\"targetVersion\":\"" NEW ".0\",\"source\":\"https://x/{Region}\""));
    LOOP_UNTIL(&w.loop, is_ordered());
    ck_assert_ptr_nonnull(strstr(engine_world_file(&w, "request.fetch"), "\nasked=" NEW "\n"));
    ck_assert_ptr_nonnull(
        strstr(engine_world_file(&w, "request.fetch"), "\npackage=amazon-ssm-agent\n"));
    ck_assert(str_has_prefix(seen_id, "u0.1-"));
    ck_assert(!has_final_reply());
    restart();
    ck_assert(note());
    progress(is_good ? HANDOVER_COMMITTED : HANDOVER_REVERTED, "it hangs", false);
    until_reply();
    ck_assert_str_eq(w.told[w.n_told - 1].status, is_good ? "Success" : "Failed");
    ck_assert_msg(
        strstr(last_payload(), is_good ? LINES_TO_SWITCH
                                   "amazon-ssm-agent updated successfully to " NEW ".0\\n\""
                                       : LINES_TO_SWITCH
                                   "it hangs\\n"
                                   "rolledback amazon-ssm-agent to " OLD ".0\\n"
                                   "Failed to update amazon-ssm-agent to " NEW ".0\\n\"") != NULL,
        "%s", last_payload());
    ck_assert_msg(strstr(last_payload(),
                         _i == 0 ? "\"aws:updateSsmAgent\":{" : "\"awsupdateSsmAgent\":{") != NULL,
                  "%s", last_payload());
    ck_assert_ptr_nonnull(strstr(last_payload(), is_good ? "\"code\":0" : "\"code\":1"));
}
END_TEST

static const struct {
    const char *inputs, *status, *text;
} refused[] = {
    {"{\"agentName\":\"amazon-ssm-agent\"}", "Failed", "allowDowngrade"},
    {"{\"allowDowngrade\":\"true\"}", "Failed", "agentName is missing"},
    {"{\"agentName\":\"x\",\"allowDowngrade\":\"true\"}", "Failed", "is not the agent here"},
    {INPUTS(",\"targetVersion\":\"1.x\""), "Failed", "targetVersion"},
};

START_TEST(inputs_that_cannot_be_used_fail_the_step)
{
    send_step(1, "2.2", refused[_i].inputs);
    until_reply();
    ck_assert_str_eq(w.told[w.n_told - 1].status, refused[_i].status);
    ck_assert_msg(strstr(last_payload(), refused[_i].text) != NULL, "%s", last_payload());
    ck_assert_int_eq(count_lines("stager.log", "fetch"), 0);
}
END_TEST

START_TEST(a_step_that_cannot_be_updated_here_says_why)
{
    no_slot();
    send_step(1, "2.2", INPUTS(""));
    until_reply();
    ck_assert_str_eq(w.told[w.n_told - 1].status, "Failed");
    ck_assert_ptr_nonnull(strstr(last_payload(), "package manager"));
    ck_assert_ptr_nonnull(strstr(
        last_payload(), "Failed to update amazon-ssm-agent to latest\\nNo rollback needed\\n\""));
    ck_assert_str_eq(service.said, "UpdateFailed_ErrorFailedPrecondition-NoAlarm ");
}
END_TEST

START_TEST(a_step_with_nothing_to_do_succeeds)
{
    const struct stager_answer skip = {
        .verdict = STAGER_SKIP, .text = "amazon-ssm-agent " OLD " has already been installed"};

    answer_with("fetch", &skip);
    send_step(1, "2.2", INPUTS(""));
    until_reply();
    ck_assert_str_eq(w.told[w.n_told - 1].status, "Success");
    ck_assert_msg(strstr(last_payload(), "\"Successfully downloaded manifest\\n"
                                         "amazon-ssm-agent " OLD " has already been installed\\n"
                                         "update skipped\\n\"") != NULL,
                  "%s", last_payload());
}
END_TEST

START_TEST(a_second_step_fails_and_the_first_goes_on)
{
    send_step(1, "2.2", INPUTS(""));
    LOOP_UNTIL(&w.loop, is_ordered());
    send_step(2, "2.2", INPUTS(""));
    until_reply();
    ck_assert_str_eq(w.told[w.n_told - 1].status, "Failed");
    ck_assert_ptr_nonnull(
        strstr(last_payload(), "\"Another update in progress, try again later\\n\""));
    forget_replies();
    progress(HANDOVER_COMMITTED, "", false);
    until_reply();
    ck_assert_str_eq(w.told[w.n_told - 1].status, "Success");
}
END_TEST

START_TEST(a_cancelled_command_ends_true)
{
    bool is_late = _i == 1;
    char id[FSM_ID_SIZE];

    if (!is_late)
        instead("fetch", "sleep 60");
    send_step(1, "2.2", INPUTS(""));
    LOOP_UNTIL(&w.loop, is_late ? is_ordered() : note());
    (void)str_copy(id, sizeof(id), seen.parent_id);
    ck_assert_int_eq(engine_cancel(w.engine, id, NULL, NULL, NULL), 0);
    if (is_late) {
        turns(5);
        clock_offset_ms += INT64_C(1000) * 60 * 60; /* a stop of a script would be given up */
        engine_on_deadline(&w.engine->deadline_timer);
        turns(5);
        ck_assert(!has_final_reply());
        progress(HANDOVER_COMMITTED, "", false);
    }
    until_reply();
    ck_assert_msg(strstr(last_payload(), is_late ? "updated successfully" : "cancelled before") !=
                      NULL,
                  "%s", last_payload());
    ck_assert_str_eq(w.told[w.n_told - 1].status, is_late ? "Success" : "Cancelled");
}
END_TEST

START_TEST(a_service_that_does_not_answer_is_not_waited_for_long)
{
    service.is_mute = true;
    ask_well(&latest);
    LOOP_UNTIL(&w.loop, is_ordered());
    progress(HANDOVER_COMMITTED, "", false);
    until_state(UPDATE_COMMITTED);
    turns(5);
    ck_assert_int_eq(seen_state, UPDATE_COMMITTED);
    clock_offset_ms += 16000;
    until_over();
    ck_assert_str_eq(seen.status, "Success");
}
END_TEST

/* ---- the stager's process ---- */

static struct {
    bool has_answered;
    int code;
    char text[512];
} run;

static void on_run(void *ctx, const struct stager_answer *a, const struct err *err)
{
    (void)ctx;
    (void)a;
    run.has_answered = true;
    run.code = err != NULL ? err->code : 0;
    (void)str_copy(run.text, sizeof(run.text), err != NULL ? err->text : "");
}

static const struct {
    const char *script; /* in place of all of it */
    int code;
    const char *text;
} runs[] = {
    {"#!/bin/sh\nsleep 60\n", ERR_TIMEOUT, "took too long"},
    {"#!/bin/sh\nsh -c \"sleep 60; : $" DIR_VARIABLE "\" & exit 0\n", ERR_TIMEOUT,
     "took too long"}, /* it holds the pipe */
    {"#!/bin/sh\nexec >&-\nsleep 60\n", ERR_TIMEOUT, "took too long"},
    {"#!/bin/sh\nyes complaint >&2\n", ERR_TIMEOUT, "took too long"},
    {"#!/bin/sh\nexec <&-\nexit 4\n", ERR_SYSTEM, "exit status 4"},
    {"#!/nonexistent/interpreter\n", ERR_STATE, "install it again"},
};

START_TEST(a_stager_that_goes_wrong_is_ended_with_all_it_has_started)
{
    const struct stager_request q = {.phase = STAGER_CHECK, .source = "file:///source"};
    struct stager *stager = NULL;
    struct err err = {0};
    int r;

    memset(&run, 0, sizeof(run));
    write_file("stager", runs[_i].script, strlen(runs[_i].script), 0700);
    r = stager_start(&w.loop, w.config.stager_path, &q, 300, on_run, NULL, &stager, &err);
    if (r < 0) {
        run.code = r;
        (void)str_copy(run.text, sizeof(run.text), err.text);
    } else {
        LOOP_UNTIL(&w.loop, run.has_answered);
    }
    ck_assert_int_eq(run.code, runs[_i].code);
    ck_assert_msg(strstr(run.text, runs[_i].text) != NULL, "%s", run.text);
    LOOP_UNTIL(&w.loop, engine_world_processes(&w) == 0);
}
END_TEST

/* ---- by the clock ---- */

#define HOUR INT64_C(3600000)
#define NOON (HOUR * 24 * 20000 + HOUR * 12)

static const struct {
    struct update_clock c;
    bool is_due;
} clocks[] = {
    {{"mi-1", "", 7, 0, NOON, 0}, false},
    {{"mi-1", "", 7, HOUR / 2 - 1, NOON, 0}, false},
    {{"mi-1", "", 7, 13 * HOUR, NOON, 0}, true},
    {{"mi-1", "", 7, 13 * HOUR, NOON, NOON - HOUR * 24 * 7 + 1}, false},
    {{"mi-1", "", 7, 13 * HOUR, NOON, NOON - HOUR * 24 * 7}, true},
    {{"mi-1", "", 1, 13 * HOUR, NOON, NOON - HOUR * 24}, true},
    {{"mi-1", "", 7, 13 * HOUR, NOON, NOON + HOUR}, true}, /* the clock was wrong */
    {{"mi-1", "11:00-12:01", 7, 13 * HOUR, NOON, 0}, true},
    {{"mi-1", "11:00-12:00", 7, 13 * HOUR, NOON, 0}, false},
    {{"mi-1", "12:00-13:00", 7, 13 * HOUR, NOON, 0}, true},
    {{"mi-1", "22:00-04:00", 7, 13 * HOUR, NOON, 0}, false},
    {{"mi-1", "22:00-13:00", 7, 13 * HOUR, NOON, 0}, true},
    {{"mi-1", "noon", 7, 13 * HOUR, NOON, 0}, false},
};

START_TEST(the_clock_asks_when_it_is_time)
{
    ck_assert_int_eq(update_is_due(&clocks[_i].c), clocks[_i].is_due);
}
END_TEST

START_TEST(a_fleet_does_not_come_together)
{
    int counts[12] = {0}, i, hour;

    for (i = 0; i < 1200; i++) {
        char id[32];
        struct update_clock c = {.node_id = id, .window = "", .days = 7, .now_unix_ms = NOON};

        (void)snprintf(id, sizeof(id), "mi-%017d", i);
        for (hour = 0; hour < 12; hour++) {
            c.up_ms = HOUR / 2 + (hour + 1) * HOUR;
            if (update_is_due(&c))
                break;
        }
        ck_assert_int_lt(hour, 12);
        counts[hour]++;
    }
    for (i = 0; i < 12; i++)
        ck_assert_msg(counts[i] > 60 && counts[i] < 140, "hour %d: %d of 1200", i, counts[i]);
}
END_TEST

START_TEST(the_clock_begins_an_update_and_remembers)
{
    w.config.is_self_update = true;
    clock_offset_ms += 13 * HOUR;
    w.engine->clock_timer.timer_cb(&w.engine->clock_timer);
    LOOP_UNTIL(&w.loop, is_ordered());
    ck_assert_int_eq(seen.way, UPDATE_BY_CLOCK);
    progress(HANDOVER_COMMITTED, "", false);
    until_over();
    ck_assert_str_eq(service.said,
                     "UpdateInitialized_SelfUpdate UpdateSucceeded_SelfUpdate-" NEW ".0 ");
    w.engine->clock_timer.timer_cb(&w.engine->clock_timer);
    turns(5);
    ck_assert_uint_eq(w.engine->n_jobs, 0);
}
END_TEST

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
        slots_seal(fd, version, good.sha256, &err) < 0)
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

static void begin(void)
{
    memset(&service, 0, sizeof(service));
    memset(&seen, 0, sizeof(seen));
    seen_state = UPDATE_NEW;
    service.is_in_reach = true;
    clock_offset_ms = 0;
    clock_set_source(&turned);
    engine_world_init(&w, NULL, NULL);
    (void)uv_idle_init(&w.loop, &service.idle);
    ck_assert_int_eq(setenv(DIR_VARIABLE, w.dir, 1), 0);
    (void)str_copy(w.paths.slots_dir, PATH_MAX, getenv(SLOTS_VARIABLE));
    (void)str_copy(w.config.update_source, CONFIG_MAX_TEXT, "file:///source");
    (void)snprintf(w.config.stager_path, CONFIG_MAX_TEXT, "%s/stager", w.dir);
    (void)snprintf(w.config.update_root_file, CONFIG_MAX_TEXT, "%s/root.json", w.dir);
    write_file("root.json", "{}", 2, 0600);
    prepare_stager();
    w.lookup = &lookup;
    engine_world_restart(&w, "boot-1");
}

static void end(void)
{
    let_lock_go();
    uv_close((uv_handle_t *)&service.idle, NULL);
    engine_world_done(&w);
    clock_set_source(NULL);
}

int main(int argc, char **argv)
{
    Suite *s;
    TCase *t, *pure;
    SRunner *sr;
    int n_failed;

    (void)argc;
    if (getenv(SLOTS_VARIABLE) == NULL)
        return run_from_slot(argv);
    (void)unsetenv("INVOCATION_ID"); /* no service manager's unit is to be started */
    s = suite_create("agent_update");
    t = tcase_create("updates");
    pure = tcase_create("times");
    tcase_add_checked_fixture(t, begin, end);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, an_update_goes_through_all_its_states);
    tcase_add_loop_test(t, whatever_the_stager_says_nothing_is_switched_without_its_word, 0,
                        (int)ARRAY_LEN(bad));
    tcase_add_test(t, what_may_pass_is_tried_again);
    tcase_add_test(t, what_does_not_pass_ends_with_its_reason);
    tcase_add_loop_test(t, a_rollback_is_told_with_its_cause, 0, 2);
    tcase_add_test(t, a_version_that_was_rolled_back_is_not_tried_again_by_the_clock);
    tcase_add_loop_test(t, a_restart_at_any_state_goes_on_from_there, 0, 6);
    tcase_add_test(t, an_updater_that_died_is_started_again_and_one_that_lives_is_left_alone);
    tcase_add_test(t, an_order_that_nobody_takes_up_is_withdrawn);
    tcase_add_test(t, the_record_of_another_update_says_nothing_of_this_one);
    tcase_add_loop_test(t, it_waits_for_the_service_unless_forced, 0, 2);
    tcase_add_test(t, a_service_that_stays_away_ends_it);
    tcase_add_loop_test(t, it_waits_for_commands_as_long_as_it_was_told_to, 0, 2);
    tcase_add_test(t, a_cancel_before_the_switch_ends_it_and_the_stager);
    tcase_add_test(t, a_cancel_after_the_switch_is_too_late);
    tcase_add_loop_test(t, what_stands_against_it_is_said_before_anything_is_begun, 0,
                        (int)ARRAY_LEN(obstacles));
    tcase_add_test(t, a_second_update_is_refused_while_one_is_open);
    tcase_add_loop_test(t, a_step_ends_with_its_update_and_the_texts_that_users_know, 0, 4);
    tcase_add_loop_test(t, inputs_that_cannot_be_used_fail_the_step, 0, (int)ARRAY_LEN(refused));
    tcase_add_test(t, a_step_that_cannot_be_updated_here_says_why);
    tcase_add_test(t, a_step_with_nothing_to_do_succeeds);
    tcase_add_test(t, a_second_step_fails_and_the_first_goes_on);
    tcase_add_loop_test(t, a_cancelled_command_ends_true, 0, 2);
    tcase_add_test(t, a_service_that_does_not_answer_is_not_waited_for_long);
    tcase_add_loop_test(t, a_stager_that_goes_wrong_is_ended_with_all_it_has_started, 0,
                        (int)ARRAY_LEN(runs));
    tcase_add_test(t, the_clock_begins_an_update_and_remembers);
    tcase_add_loop_test(pure, the_clock_asks_when_it_is_time, 0, (int)ARRAY_LEN(clocks));
    tcase_add_test(pure, a_fleet_does_not_come_together);
    suite_add_tcase(s, t);
    suite_add_tcase(s, pure);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
