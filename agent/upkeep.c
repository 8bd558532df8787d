/* Retention and the ledger's head. What walks over directories runs on the thread pool: it may take
 * long. A round measures the job directories (pool); lets the journal remove what retention allows
 * and picks the directories that may go (loop); and removes those (pool). One whose removal was cut
 * short by a crash is found by the next round like any other without a job.
 *
 * A round follows the ends of jobs, so that what is kept stays below its limits also where a
 * hundred of them end in a second; ages are looked at every quarter of an hour. For the number of
 * files that holds at all times: a command begins only where there is a place for all that it, and
 * those that run, may leave beside what is kept; else a round makes one first. */
#define LOG_MODULE "upkeep"
#include "agent/upkeep.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/age.h"
#include "agent/job_dirs.h"
#include "agent/tidy.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/record.h"
#include "base/str.h"

#define HEAD_MS 1000 /* at most so often; a cut-off tail of that age goes unnoticed */
#define PRUNE_MS (UINT64_C(15) * 60 * 1000) /* as the reference (spec 03, section 11.6) */
#define FIRST_PRUNE_MS (UINT64_C(60) * 1000)
#define TIDY_MS UINT64_C(1000) /* after a job ended ... */
#define ENDS_PER_ROUND 16      /* ... or when so many did */
#define FILES_PER_JOB 7        /* of one step, all that may be there */
#define ROUNDS_PER_END 3       /* that a command waits for without a job that ended meanwhile */
#define ROOM_TICKS 10          /* so long at the most */
#define ROOM_TICK_MS 1000
#define HOUR_MS (INT64_C(3600) * 1000)
#define KEEP_AGE_MS (6 * HOUR_MS) /* what a reboot may cost of it */
#define AGE_FACT "age"

struct upkeep {
    uv_loop_t *loop;
    struct journal *journal;
    const struct config *config;
    const struct paths *paths;
    char boot_id[BOOT_ID_SIZE];
    uv_timer_t head_timer, prune_timer, tidy_timer, room_timer;
    uv_work_t work;
    bool is_working, is_stopping, was_loss_told;
    struct age age;
    bool is_age_known;     /* read from the journal */
    int64_t kept_lived_ms; /* age.lived_ms when it was last journaled */
    struct job_dirs dirs;  /* the pool's while is_working, but between measure and removal */
    struct err failure;    /* of what the pool did; code 0: none */
    int64_t n_ended;       /* jobs since the last round began */
    int64_t n_kept;        /* files of settled jobs, as the last round left them; ... */
    int64_t n_others;      /* ... and of those that are not settled */
    int64_t n_left;        /* what jobs may have left since then; ... */
    int64_t n_left_before; /* ... of it, what the round will have seen */
    int64_t n_wanted;    /* files that wait for a place, and those of what runs; 0: nobody waits */
    int n_rounds_waited; /* since a job ended */
    int n_room_ticks;    /* that a round has been waited for; a machine that stood still is one */
    bool is_stuck;       /* directories cannot be removed, or it takes too long: nobody waits */
    void (*has_room)(void *ctx);
    void *ctx;
    bool is_by_age;      /* the round looks at ages too */
    bool is_round_short; /* the round could not see or do everything: another one follows */
};

static void begin_round(struct upkeep *u);

/* ---- thread pool ---- */

static void measure(uv_work_t *work)
{
    struct upkeep *u = container_of(work, struct upkeep, work);

    if (job_dirs_measure(&u->dirs, u->paths->jobs_dir, &u->failure) == 0)
        u->failure.code = 0;
}

static void remove_directories(uv_work_t *work)
{
    struct upkeep *u = container_of(work, struct upkeep, work);

    if (job_dirs_remove(&u->dirs, u->paths->jobs_dir, &u->failure) == 0)
        u->failure.code = 0;
}

/* ---- loop ---- */

/* One more, at once, where this one could not see or do everything. */
static void end_round(struct upkeep *u, bool is_done)
{
    bool is_awaited = u->n_wanted > 0;

    u->is_working = false;
    u->n_wanted = 0; /* who still waits says so again */
    (void)uv_timer_stop(&u->room_timer);
    if (!is_done || u->n_ended >= ENDS_PER_ROUND)
        begin_round(u);
    if (is_awaited && u->has_room != NULL)
        u->has_room(u->ctx);
}

/* Doomed directories count until they are gone. */
static void count_kept(struct upkeep *u)
{
    job_dirs_files(&u->dirs, &u->n_kept, &u->n_others);
    u->n_left -= u->n_left_before;
    u->n_left_before = 0;
}

static void removed(uv_work_t *work, int status)
{
    struct upkeep *u = container_of(work, struct upkeep, work);
    bool has_failed = status < 0 || u->failure.code != 0;

    if (status == 0 && has_failed)
        log_warning("job directories that may go: %s; it is tried again", u->failure.text);
    u->is_stuck = has_failed;
    if (!has_failed) {
        job_dirs_files(&u->dirs, &u->n_kept, &u->n_others);
        u->n_kept -= job_dirs_doomed_files(&u->dirs);
    }
    end_round(u, has_failed || !u->is_round_short);
}

/* Those that the configuration does not want to be kept. */
static void tidy(struct upkeep *u)
{
    AUTO(tidy_done) struct tidy tidy = {0};
    struct err err;
    size_t i;

    if (!tidy_is_wanted(u->config))
        return;
    if (tidy_begin(&tidy, u->journal, u->config, &err) < 0) {
        log_warning("directories of reported jobs: %s; they stay", err.text);
        return;
    }
    for (i = 0; i < u->dirs.n; i++)
        if (!u->dirs.items[i].is_doomed && tidy_may_remove(&tidy, u->dirs.items[i].name))
            u->dirs.items[i].is_doomed = true;
}

static int64_t bytes_of_job(void *ctx, const char *instance_id)
{
    const struct upkeep *u = ctx;

    return job_dirs_bytes_of(&u->dirs, instance_id);
}

static void note_removed(void *ctx, const char *instance_id)
{
    struct upkeep *u = ctx;

    u->is_round_short = true;
    job_dirs_doom(&u->dirs, instance_id);
    log_debug("%s is over and reported, and its time is up: removed", instance_id);
}

/* ---- how old what is ---- */

static int read_age(struct upkeep *u, struct err *err)
{
    AUTO(buf_done) struct buf text = {0};
    int r;

    if (u->is_age_known)
        return 0;
    buf_init(&text, AGE_TEXT_MAX);
    r = u->journal->ops->get_fact(u->journal, AGE_FACT, &text, err);
    if (r < 0 && r != ERR_NOT_FOUND)
        return r;
    if (r == 0)
        r = age_parse(&u->age, buf_str(&text), err);
    if (r == ERR_NOMEM)
        return r;
    if (r == ERR_CORRUPT)
        log_warning("%s; all jobs are taken for new ones", err->text);
    u->is_age_known = true;
    u->kept_lived_ms = u->age.lived_ms;
    return 0;
}

static int keep_age(struct upkeep *u, struct err *err)
{
    AUTO(buf_done) struct buf text = {0};
    int r;

    buf_init(&text, AGE_TEXT_MAX);
    age_format(&u->age, &text);
    r = buf_error(&text, "age of the journal", err);
    if (r == 0)
        r = u->journal->ops->begin(u->journal, err);
    if (r < 0)
        return r;
    r = u->journal->ops->put_fact(u->journal, AGE_FACT, buf_str(&text), err);
    if (r == 0)
        r = u->journal->ops->commit(u->journal, err);
    if (r < 0)
        u->journal->ops->rollback(u->journal);
    else
        u->kept_lived_ms = u->age.lived_ms;
    return r;
}

/* Time goes on; what ended since the last mark is marked. */
static int take_age(struct upkeep *u, struct err *err)
{
    struct journal_counts c = {0};
    bool is_marked;
    int r = read_age(u, err);

    if (r == 0)
        r = u->journal->ops->counts(u->journal, &c, err);
    if (r < 0)
        return r;
    age_advance(&u->age, u->boot_id, clock_boottime_ms());
    is_marked = age_mark(&u->age, c.ledger_end);
    if (is_marked || (c.n_ledger > 0 && u->age.lived_ms - u->kept_lived_ms >= KEEP_AGE_MS))
        r = keep_age(u, err);
    return r;
}

/* Age is looked at now and then; size whenever something ended. */
static int prune(struct upkeep *u, struct err *err)
{
    struct journal_retention rt = journal_retention_of(u->config->retention_mib << 20);
    int r = u->is_by_age ? take_age(u, err) : 0;

    if (r < 0)
        return r;
    rt.job_bytes = bytes_of_job;
    if (u->is_by_age) {
        rt.old_upto = age_cutoff(&u->age, u->config->log_retention_hours * HOUR_MS);
        rt.ledger_old_upto = age_cutoff(&u->age, u->config->ledger_retention_days * 24 * HOUR_MS);
    }
    return u->journal->ops->prune(u->journal, &rt, job_dirs_bytes(&u->dirs), clock_wall_ms(),
                                  note_removed, u, err);
}

/* Can the limit of files be held? Not where what may run at once has more than half of it for
 * itself: that many are wanted, and neither they nor what is kept of others has to make way. */
static bool is_held(const struct upkeep *u)
{
    return u->config->command_workers <= u->config->retention_files / 2 / FILES_PER_JOB;
}

/* Files of those that are not settled, and of who waits to begin. Of so many that the limit cannot
 * hold: none. */
static int64_t reserved(const struct upkeep *u, int64_t n_wanted)
{
    int64_t n = n_wanted > u->n_others ? n_wanted : u->n_others;

    return is_held(u) && n <= u->config->retention_files ? n : 0;
}

static void measured(uv_work_t *work, int status)
{
    struct upkeep *u = container_of(work, struct upkeep, work);
    struct err err;

    if (status < 0 || u->is_stopping) {
        u->is_working = false;
        return;
    }
    if (u->failure.code != 0)
        log_warning("retention: %s", u->failure.text);
    u->is_round_short = false;
    job_dirs_judge(&u->dirs, u->journal);
    if (u->failure.code == 0)
        count_kept(u);
    tidy(u);
    job_dirs_thin(&u->dirs, u->config->retention_files, reserved(u, u->n_wanted));
    if (prune(u, &err) < 0) {
        log_warning("retention: %s", err.text);
        u->is_round_short = false; /* no sense in another one at once */
    } else if (!u->is_round_short) {
        u->is_by_age = false;
    }
    if (u->dirs.has_more)
        u->is_round_short = true;
    if (!job_dirs_has_doomed(&u->dirs) ||
        uv_queue_work(u->loop, &u->work, remove_directories, removed) < 0)
        end_round(u, !u->is_round_short);
}

static void begin_round(struct upkeep *u)
{
    if (u->is_working || u->is_stopping)
        return;
    u->n_ended = 0;
    u->n_left_before = u->n_left;
    u->is_working = uv_queue_work(u->loop, &u->work, measure, measured) == 0;
}

void upkeep_prune(struct upkeep *u)
{
    u->is_by_age = true;
    begin_round(u);
}

bool upkeep_is_working(const struct upkeep *u)
{
    return u->is_working;
}

static void on_prune(uv_timer_t *timer)
{
    upkeep_prune(timer->data);
}

static void on_tidy(uv_timer_t *timer)
{
    struct upkeep *u = timer->data;

    if (u->is_working) /* it may have looked before the job ended */
        (void)uv_timer_start(&u->tidy_timer, on_tidy, TIDY_MS, 0);
    else if (u->n_ended > 0)
        begin_round(u);
}

/* The side file is what was published; what it says goes into the log, which may be kept elsewhere.
 */
static void log_head(const struct upkeep *u)
{
    AUTO(buf_done) struct buf text = {0};
    AUTO(record_done) struct record head = {0};
    struct err err;

    buf_init(&text, 4096);
    if (fs_read_file(AT_FDCWD, u->paths->ledger_head, &text, &err) == 0 &&
        record_parse(buf_str(&text), text.len, "ledger-head", &head, &err) == 0 &&
        record_get(&head, "hash") != NULL)
        log_info("ledger: %" PRId64 " rows, head %s", record_get_i64_or(&head, "n", 0),
                 record_get(&head, "hash"));
}

static bool has_lost_rows(const struct upkeep *u, char *ret_path, size_t size)
{
    (void)snprintf(ret_path, size, "%s" JOURNAL_LOST_HEAD_SUFFIX, u->paths->ledger_head);
    return access(ret_path, F_OK) == 0;
}

void upkeep_publish(struct upkeep *u)
{
    char lost[PATH_MAX + sizeof(JOURNAL_LOST_HEAD_SUFFIX)];
    struct err err;

    if (u->journal->ops->publish_head(u->journal, &err) < 0)
        log_warning("the ledger's head could not be written beside the journal: %s", err.text);
    else
        log_head(u);
    if (!u->was_loss_told && has_lost_rows(u, lost, sizeof(lost))) {
        log_error("the ledger had more rows once: %s vouches for them; the journal was removed, "
                  "replaced or "
                  "cut off. Remove that file when this is known",
                  lost);
        u->was_loss_told = true;
    }
}

static void on_head(uv_timer_t *timer)
{
    upkeep_publish(timer->data);
}

static void on_late_room(uv_timer_t *timer)
{
    struct upkeep *u = timer->data;

    if (++u->n_room_ticks < ROOM_TICKS)
        return;
    (void)uv_timer_stop(timer);
    u->is_stuck = true; /* until a round has removed something */
    log_warning("what finished jobs have left could not be removed within %d s; commands begin "
                "without waiting for it",
                ROOM_TICKS * ROOM_TICK_MS / 1000);
    if (u->has_room != NULL)
        u->has_room(u->ctx);
}

bool upkeep_may_begin(struct upkeep *u, int64_t n_open, int64_t n_more)
{
    int64_t max = u->config->retention_files, n_kept = u->n_kept + u->n_left;

    if (max == 0 || n_kept == 0 || !is_held(u) || n_open + n_more > max ||
        n_kept + reserved(u, n_open + n_more) <= max || u->is_stuck ||
        u->n_rounds_waited >= ROUNDS_PER_END)
        return true;
    if (u->n_wanted == 0)
        u->n_rounds_waited++;
    u->n_wanted = n_open + n_more;
    begin_round(u);
    if (u->is_working && !uv_is_active((uv_handle_t *)&u->room_timer)) {
        u->n_room_ticks = 0;
        (void)uv_timer_start(&u->room_timer, on_late_room, ROOM_TICK_MS, ROOM_TICK_MS);
    }
    return !u->is_working;
}

void upkeep_tell_room(struct upkeep *u, void (*has_room)(void *ctx), void *ctx)
{
    u->has_room = has_room;
    u->ctx = ctx;
}

void upkeep_note_end(struct upkeep *u, int64_t n_files)
{
    u->n_left += n_files;
    u->n_rounds_waited = 0;
    if (!u->is_stopping && !uv_is_active((uv_handle_t *)&u->head_timer))
        (void)uv_timer_start(&u->head_timer, on_head, HEAD_MS, 0);
    if (!u->is_stopping && !uv_is_active((uv_handle_t *)&u->tidy_timer))
        (void)uv_timer_start(&u->tidy_timer, on_tidy, TIDY_MS, 0);
    if (++u->n_ended >= ENDS_PER_ROUND)
        begin_round(u);
}

int upkeep_new(uv_loop_t *loop, struct journal *journal, const struct config *config,
               const struct paths *paths, const char *boot_id, struct upkeep **ret_upkeep,
               struct err *err)
{
    struct upkeep *u = calloc(1, sizeof(*u));

    if (u == NULL)
        return err_set(err, ERR_NOMEM, "upkeep: out of memory");
    *u = (struct upkeep){.loop = loop, .journal = journal, .config = config, .paths = paths};
    (void)str_copy(u->boot_id, sizeof(u->boot_id), boot_id);
    u->n_kept = FILES_PER_JOB * job_dirs_there(paths->jobs_dir); /* until the first round */
    (void)uv_timer_init(loop, &u->head_timer);                   /* cannot fail */
    (void)uv_timer_init(loop, &u->prune_timer);
    (void)uv_timer_init(loop, &u->tidy_timer);
    (void)uv_timer_init(loop, &u->room_timer);
    u->head_timer.data = u->prune_timer.data = u->tidy_timer.data = u->room_timer.data = u;
    (void)uv_timer_start(&u->head_timer, on_head, HEAD_MS, 0); /* what ended just before a crash */
    (void)uv_timer_start(&u->prune_timer, on_prune, FIRST_PRUNE_MS, PRUNE_MS);
    *ret_upkeep = u;
    return 0;
}

void upkeep_stop(struct upkeep *u)
{
    if (u == NULL || u->is_stopping)
        return;
    u->is_stopping = true;
    uv_close((uv_handle_t *)&u->head_timer, NULL);
    uv_close((uv_handle_t *)&u->prune_timer, NULL);
    uv_close((uv_handle_t *)&u->tidy_timer, NULL);
    uv_close((uv_handle_t *)&u->room_timer, NULL);
}

void upkeep_free(struct upkeep *u)
{
    if (u == NULL)
        return;
    job_dirs_done(&u->dirs);
    free(u);
}
