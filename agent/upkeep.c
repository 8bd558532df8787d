/* Retention and the ledger's head. The size of the job directories is measured on the thread pool:
 * it may take long. */
#define LOG_MODULE "upkeep"
#include "agent/upkeep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/record.h"
#include "base/str.h"

#define HEAD_MS 1000              /* at most so often; a cut-off tail of that age goes unnoticed */
#define PRUNE_MS (15 * 60 * 1000) /* as the reference (spec 03, section 11.6) */
#define FIRST_PRUNE_MS (60 * 1000)
#define JOBS_PER_PRUNE 100
#define MAX_DEPTH 4

struct upkeep {
    uv_loop_t *loop;
    struct journal *journal;
    const struct config *config;
    const struct paths *paths;
    uv_timer_t head_timer, prune_timer;
    uv_work_t measure;
    bool is_measuring, is_stopping;
    int64_t job_bytes; /* what the last measuring found */
};

/* ---- thread pool ---- */

static int64_t tree_bytes(int dirfd, const char *name, int depth)
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
        if (S_ISDIR(st.st_mode) && depth > 0)
            sum += tree_bytes(fd, entry->d_name, depth - 1);
    }
    (void)closedir(dir);
    return sum;
}

static void measure(uv_work_t *work)
{
    struct upkeep *u = container_of(work, struct upkeep, measure);

    u->job_bytes = tree_bytes(AT_FDCWD, u->paths->jobs_dir, MAX_DEPTH);
}

/* ---- loop ---- */

static void remove_directory(void *ctx, const char *instance_id)
{
    struct upkeep *u = ctx;
    AUTO(close_fd) int fd = -1;
    struct err err;

    if (!str_is_safe_name(instance_id, 128))
        return;
    if (fs_open_dir(AT_FDCWD, u->paths->jobs_dir, &fd, &err) < 0 ||
        fs_remove_tree(fd, instance_id, &err) < 0)
        log_warning("directory of %s: %s", instance_id, err.text);
}

static void measured(uv_work_t *work, int status)
{
    struct upkeep *u = container_of(work, struct upkeep, measure);
    const struct journal_retention rt = {
        .max_age_ms = u->config->log_retention_hours * 3600 * 1000,
        .max_bytes = u->config->retention_mib << 20,
        .ledger_max_age_ms = u->config->ledger_retention_days * 24 * 3600 * 1000,
        .max_jobs_per_call = JOBS_PER_PRUNE,
    };
    struct err err;

    u->is_measuring = false;
    if (status < 0 || u->is_stopping)
        return;
    if (u->journal->ops->prune(u->journal, &rt, u->job_bytes, clock_wall_ms(), remove_directory, u,
                               &err) < 0)
        log_warning("retention: %s", err.text);
}

static void on_prune(uv_timer_t *timer)
{
    struct upkeep *u = timer->data;

    if (!u->is_measuring && uv_queue_work(u->loop, &u->measure, measure, measured) == 0)
        u->is_measuring = true;
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

void upkeep_publish(struct upkeep *u)
{
    struct err err;

    if (u->journal->ops->publish_head(u->journal, &err) < 0)
        log_warning("the ledger's head could not be written beside the journal: %s", err.text);
    else
        log_head(u);
}

static void on_head(uv_timer_t *timer)
{
    upkeep_publish(timer->data);
}

void upkeep_note_end(struct upkeep *u)
{
    if (!u->is_stopping && !uv_is_active((uv_handle_t *)&u->head_timer))
        (void)uv_timer_start(&u->head_timer, on_head, HEAD_MS, 0);
}

int upkeep_new(uv_loop_t *loop, struct journal *journal, const struct config *config,
               const struct paths *paths, struct upkeep **ret_upkeep, struct err *err)
{
    struct upkeep *u = calloc(1, sizeof(*u));

    if (u == NULL)
        return err_set(err, ERR_NOMEM, "upkeep: out of memory");
    *u = (struct upkeep){.loop = loop, .journal = journal, .config = config, .paths = paths};
    (void)uv_timer_init(loop, &u->head_timer); /* cannot fail */
    (void)uv_timer_init(loop, &u->prune_timer);
    u->head_timer.data = u->prune_timer.data = u;
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
}

void upkeep_free(struct upkeep *u)
{
    free(u);
}
