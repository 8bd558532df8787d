/* Retention and the ledger's head. What walks over directories runs on the thread pool: it may take
 * long. A round measures the job directories and lists their names (pool); lets the journal remove
 * what retention allows and picks the names that no job owns any more (loop); and removes those
 * directories (pool). One whose removal was cut short by a crash is found by the next round like
 * any other without a job. */
#define LOG_MODULE "upkeep"
#include "agent/upkeep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/age.h"
#include "agent/tidy.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/record.h"
#include "base/str.h"

#define HEAD_MS 1000 /* at most so often; a cut-off tail of that age goes unnoticed */
#define PRUNE_MS (UINT64_C(15) * 60 * 1000) /* as the reference (spec 03, section 11.6) */
#define FIRST_PRUNE_MS (UINT64_C(60) * 1000)
#define TIDY_MS UINT64_C(1000) /* after a job ended, where its directory is not to be kept */
#define JOBS_PER_PRUNE 100
#define HOUR_MS (INT64_C(3600) * 1000)
#define KEEP_AGE_MS (6 * HOUR_MS) /* what a reboot may cost of it */
#define AGE_FACT "age"
#define MAX_DEPTH 4
#define MAX_NAMES_BYTES (1u << 20) /* of one round; the rest is for the next */

struct upkeep {
    uv_loop_t *loop;
    struct journal *journal;
    const struct config *config;
    const struct paths *paths;
    char boot_id[BOOT_ID_SIZE];
    uv_timer_t head_timer, prune_timer, tidy_timer;
    uv_work_t work;
    bool is_working, is_stopping, was_loss_told;
    struct age age;
    bool is_age_known;     /* read from the journal */
    int64_t kept_lived_ms; /* age.lived_ms when it was last journaled */
    int64_t job_bytes;     /* what the last measuring found */
    struct buf
        names; /* NUL-terminated, one after another: of all directories, then of those to remove */
    struct err removing; /* the last failure of a removal; code 0: none */
};

/* ---- thread pool ---- */

static int64_t tree_bytes(int dirfd, const char *name, int depth, struct buf *names)
{
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    int64_t sum = 0;
    struct dirent *entry;
    struct stat st;

    if (dir == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return 0;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, "..") ||
            fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        sum += (int64_t)st.st_blocks * 512;
        if (names != NULL && str_is_safe_name(entry->d_name, 128))
            (void)buf_add(names, entry->d_name,
                          strlen(entry->d_name) + 1); /* full: the next round's */
        if (S_ISDIR(st.st_mode) && depth > 0)
            sum += tree_bytes(fd, entry->d_name, depth - 1, NULL);
    }
    (void)closedir(dir);
    return sum;
}

static void measure(uv_work_t *work)
{
    struct upkeep *u = container_of(work, struct upkeep, work);

    buf_clear(&u->names);
    u->job_bytes = tree_bytes(AT_FDCWD, u->paths->jobs_dir, MAX_DEPTH, &u->names);
}

static void remove_directories(uv_work_t *work)
{
    struct upkeep *u = container_of(work, struct upkeep, work);
    AUTO(close_fd) int fd = -1;
    struct err err;
    size_t at;

    u->removing.code = 0;
    if (fs_open_dir(AT_FDCWD, u->paths->jobs_dir, &fd, &u->removing) < 0)
        return;
    for (at = 0; at < u->names.len; at += strlen(u->names.data + at) + 1)
        if (fs_remove_tree(fd, u->names.data + at, &err) < 0)
            u->removing = err;
}

/* ---- loop ---- */

static void removed(uv_work_t *work, int status)
{
    struct upkeep *u = container_of(work, struct upkeep, work);

    u->is_working = false;
    if (status == 0 && u->removing.code != 0)
        log_warning("job directories that may go: %s; it is tried again", u->removing.text);
}

/* The journal vouches that it ended and was removed. A directory that the journal has never heard
 * of stays: it may belong to work that runs under a journal that was moved away. */
static bool is_without_job(struct upkeep *u, const char *name)
{
    enum journal_known known;
    struct err err;

    return u->journal->ops->find(u->journal, NULL, name, &known, &err) == 0 &&
           known == JOURNAL_LEDGERED;
}

/* Keep of the names those of directories that may go. */
static void pick(struct upkeep *u)
{
    AUTO(tidy_done) struct tidy tidy = {0};
    bool is_tidying = tidy_is_wanted(u->config);
    size_t at, n, kept = 0;
    struct err err;

    if (is_tidying && tidy_begin(&tidy, u->journal, u->config, &err) < 0) {
        log_warning("directories of reported jobs: %s; they stay", err.text);
        is_tidying = false;
    }

    for (at = 0; at < u->names.len; at += n) {
        n = strlen(u->names.data + at) + 1;
        if (is_without_job(u, u->names.data + at) ||
            (is_tidying && tidy_may_remove(&tidy, u->names.data + at))) {
            memmove(u->names.data + kept, u->names.data + at, n);
            kept += n;
        }
    }
    u->names.len = kept;
}

static void note_removed(void *ctx, const char *instance_id)
{
    (void)ctx;
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

static void measured(uv_work_t *work, int status)
{
    struct upkeep *u = container_of(work, struct upkeep, work);
    struct journal_retention rt = {
        .max_bytes = u->config->retention_mib << 20,
        .max_jobs_per_call = JOBS_PER_PRUNE,
    };
    struct err err;

    u->is_working = false;
    if (status < 0 || u->is_stopping)
        return;
    if (take_age(u, &err) < 0) {
        log_warning("retention: %s", err.text);
        return;
    }
    rt.old_upto = age_cutoff(&u->age, u->config->log_retention_hours * HOUR_MS);
    rt.ledger_old_upto = age_cutoff(&u->age, u->config->ledger_retention_days * 24 * HOUR_MS);
    if (u->journal->ops->prune(u->journal, &rt, u->job_bytes, clock_wall_ms(), note_removed, NULL,
                               &err) < 0)
        log_warning("retention: %s", err.text);
    pick(u);
    if (u->names.len > 0 && uv_queue_work(u->loop, &u->work, remove_directories, removed) == 0)
        u->is_working = true;
}

void upkeep_prune(struct upkeep *u)
{
    if (!u->is_working && !u->is_stopping &&
        uv_queue_work(u->loop, &u->work, measure, measured) == 0)
        u->is_working = true;
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
    else
        upkeep_prune(u);
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

void upkeep_note_end(struct upkeep *u)
{
    if (!u->is_stopping && !uv_is_active((uv_handle_t *)&u->head_timer))
        (void)uv_timer_start(&u->head_timer, on_head, HEAD_MS, 0);
    if (!u->is_stopping && tidy_is_wanted(u->config) &&
        !uv_is_active((uv_handle_t *)&u->tidy_timer))
        (void)uv_timer_start(&u->tidy_timer, on_tidy, TIDY_MS, 0);
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
    buf_init(&u->names, MAX_NAMES_BYTES);
    (void)uv_timer_init(loop, &u->head_timer); /* cannot fail */
    (void)uv_timer_init(loop, &u->prune_timer);
    (void)uv_timer_init(loop, &u->tidy_timer);
    u->head_timer.data = u->prune_timer.data = u->tidy_timer.data = u;
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
}

void upkeep_free(struct upkeep *u)
{
    if (u == NULL)
        return;
    buf_done(&u->names);
    free(u);
}
