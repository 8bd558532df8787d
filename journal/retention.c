/* Forgetting: whole finished and reported jobs by age and by size, the ledger at its old end by its
 * own age. And the ledger's head for the side file, which is what survives a forger of the journal.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/record.h"
#include "base/str.h"
#include "journal/sqlite_internal.h"

#define MAX_LEDGER_ROWS_PER_CALL 10000

struct victims {
    char (*ids)[FSM_ID_SIZE]; /* owned */
    size_t n, cap;
};

static int add_victim(struct victims *v, const char *id, struct err *err)
{
    if (v->n == v->cap) {
        size_t cap = v->cap == 0 ? 32 : v->cap * 2;
        void *p = realloc(v->ids, cap * sizeof(*v->ids));

        if (p == NULL)
            return err_set(err, ERR_NOMEM, "retention: out of memory");
        v->ids = p;
        v->cap = cap;
    }
    if (!str_copy(v->ids[v->n], sizeof(v->ids[v->n]), id))
        return err_set(err, ERR_CORRUPT, "instance id %.100s: too long", id);
    v->n++;
    return 0;
}

/* The oldest instances that may go, at most `limit`, of those up to this row of the
 * ledger. */
static int find_victims(struct sqlite_journal *sj, int64_t upto, int64_t limit, struct victims *v,
                        struct err *err)
{
    sqlite3_stmt *q = NULL;
    int r = db_query(&sj->db, SQL_PRUNABLE, DB_ARGS(DB_I(upto), DB_I(limit)), &q, err);

    v->n = 0;
    while (r == 0 && (r = db_step(&sj->db, q, "look for old instances", err)) == 1)
        r = add_victim(v, db_column(q, 0), err);
    if (r < 0)
        (void)sqlite3_reset(sj->db.kept[SQL_PRUNABLE]); /* repeats what was told */
    return r;
}

static int pragma_number(struct sqlite_journal *sj, const char *sql, int64_t *ret_n,
                         struct err *err)
{
    char text[32];
    int r = db_text(&sj->db, sql, text, sizeof(text), err);

    if (r == 0 && !str_to_i64(text, 0, INT64_MAX, ret_n))
        r = err_set(err, ERR_CORRUPT, "%s: \"%s\" gives \"%s\"", sj->path, sql, text);
    return r;
}

/* How many jobs of average size are too many. */
static int count_excess(struct sqlite_journal *sj, int64_t max_bytes, int64_t job_dirs_bytes,
                        int64_t *ret_n, struct err *err)
{
    struct journal_counts c = {0};
    int64_t page_size = 0, n_pages = 0, n_free = 0, used, n_jobs;
    int r = pragma_number(sj, "PRAGMA page_size", &page_size, err);

    if (r == 0)
        r = pragma_number(sj, "PRAGMA page_count", &n_pages, err);
    if (r == 0)
        r = pragma_number(sj, "PRAGMA freelist_count", &n_free, err);
    if (r == 0)
        r = sqlite_counts(&sj->base, &c, err);
    if (r < 0)
        return r;
    used = (n_pages - n_free) * page_size + job_dirs_bytes;
    n_jobs = c.n_open + c.n_ended;
    *ret_n = 0;
    if (used > max_bytes && n_jobs > 0) {
        int64_t average = used / n_jobs > 0 ? used / n_jobs : 1;

        *ret_n = (used - max_bytes + average - 1) / average;
    }
    return 0;
}

static int choose(struct sqlite_journal *sj, const struct journal_retention *r,
                  int64_t job_dirs_bytes, struct victims *v, struct err *err)
{
    int64_t limit = r->max_jobs_per_call > 0 ? r->max_jobs_per_call : INT64_MAX, n_excess = 0;
    int rc = 0;

    if (r->old_upto > 0)
        rc = find_victims(sj, r->old_upto, limit, v, err);
    if (rc == 0 && r->max_bytes > 0)
        rc = count_excess(sj, r->max_bytes, job_dirs_bytes, &n_excess, err);
    if (n_excess > limit)
        n_excess = limit;
    if (rc == 0 && n_excess > (int64_t)v->n)
        rc = find_victims(sj, INT64_MAX, n_excess, v, err);
    return rc;
}

static int forget(struct sqlite_journal *sj, const struct victims *v, struct err *err)
{
    char floor_id[32];
    int64_t last = 0;
    size_t i;
    int r;

    if (v->n == 0)
        return 0;
    r = sqlite_last_effect_id(&sj->base, &last, err);
    if (r < 0)
        return r;
    (void)snprintf(floor_id, sizeof(floor_id), "%" PRId64, last); /* fits */
    r = sqlite_touch(sj, err);
    if (r == 0)
        r = db_run(&sj->db, SQL_PUT_META, DB_ARGS(DB_T("effect_floor"), DB_T(floor_id)), NULL, err);
    for (i = 0; i < v->n && r == 0; i++)
        r = db_run(&sj->db, SQL_FORGET, DB_ARGS(DB_T(v->ids[i])), NULL, err);
    return r;
}

/* From the oldest row on, as far as rows are old and their instances gone. */
static int cut_ledger(struct sqlite_journal *sj, int64_t upto, int64_t now_unix_ms, struct err *err)
{
    char hash[80];
    int64_t n = 0;
    sqlite3_stmt *q = NULL;
    int r = db_query(&sj->db, SQL_LEDGER_OLDEST, DB_ARGS(DB_I(MAX_LEDGER_ROWS_PER_CALL)), &q, err);

    while (r == 0 && (r = db_step(&sj->db, q, "read ledger", err)) == 1) {
        r = 0;
        if (db_column_i64(q, 0) > upto || db_column_i64(q, 2) != 0)
            break;
        n = db_column_i64(q, 0);
        (void)str_copy(hash, sizeof(hash),
                       db_column(q, 1)); /* a longer one is found by the audit */
    }
    if (r < 0)
        return r;
    (void)sqlite3_reset(q);
    if (n == 0)
        return 0;
    r = sqlite_touch(sj, err);
    if (r == 0)
        r = db_run(&sj->db, SQL_PUT_CHECKPOINT, DB_ARGS(DB_I(n), DB_T(hash), DB_I(now_unix_ms)),
                   NULL, err);
    if (r == 0)
        r = db_run(&sj->db, SQL_DROP_CHECKPOINTS, DB_ARGS(DB_I(n)), NULL, err);
    if (r == 0)
        r = db_run(&sj->db, SQL_LEDGER_CUT, DB_ARGS(DB_I(n)), NULL, err);
    return r;
}

/* Give freed pages back to the file system. A reader in the way is no error: the next time does it.
 */
static void shrink(struct sqlite_journal *sj)
{
    (void)sqlite3_busy_timeout(sj->db.handle, 0);
    (void)sqlite3_wal_checkpoint_v2(sj->db.handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    (void)sqlite3_busy_timeout(sj->db.handle, 1000);
}

int sqlite_prune(struct journal *j, const struct journal_retention *r, int64_t job_dirs_bytes,
                 int64_t now_unix_ms, void (*removed)(void *ctx, const char *instance_id),
                 void *ctx, struct err *err)
{
    struct sqlite_journal *sj = sqlite_of(j);
    struct victims v = {0};
    bool has_changed = false;
    size_t i;
    int rc = j->ops->begin(j, err);

    if (rc < 0)
        return rc;
    rc = choose(sj, r, job_dirs_bytes, &v, err);
    if (rc == 0)
        rc = forget(sj, &v, err);
    if (rc == 0 && r->ledger_old_upto > 0)
        rc = cut_ledger(sj, r->ledger_old_upto, now_unix_ms, err);
    has_changed = sj->has_begun;
    if (rc == 0 && has_changed)
        rc = db_exec(&sj->db, "PRAGMA incremental_vacuum", err);
    rc = sqlite_note(sj, rc);
    if (rc == 0)
        rc = j->ops->commit(j, err);
    if (rc < 0) {
        j->ops->rollback(j);
        free(v.ids);
        return err_wrap(err, "retention");
    }
    for (i = 0; i < v.n && removed != NULL; i++)
        removed(ctx, v.ids[i]);
    free(v.ids);
    if (has_changed)
        shrink(sj);
    if (!sj->storage.has_reserve)
        storage_fill_reserve(&sj->storage);
    return 0;
}

static int write_head(const char *path, const struct buf *text, struct err *err)
{
    AUTO(close_fd) int dir_fd = -1;
    char dir[PATH_MAX];
    char *slash;
    int r;

    if (!str_copy(dir, sizeof(dir), path))
        return err_set(err, ERR_LIMIT, "path %.100s...: too long", path);
    slash = strrchr(dir, '/');
    if (slash == NULL)
        return fs_write_atomic(AT_FDCWD, path, text->data, text->len, 0600, true, err);
    *slash = '\0';
    r = fs_open_dir(AT_FDCWD, dir[0] != '\0' ? dir : "/", &dir_fd, err);
    return r < 0 ? r : fs_write_atomic(dir_fd, slash + 1, text->data, text->len, 0600, true, err);
}

/* What the side file vouched for when it was last written; 0 when there is none, or it cannot be
 * read. */
static int64_t read_head(const char *path)
{
    AUTO(buf_done) struct buf text = {0};
    AUTO(record_done) struct record head = {0};

    buf_init(&text, RECORD_MAX_BYTES);
    return fs_read_file(AT_FDCWD, path, &text, NULL) == 0 &&
                   record_parse(buf_str(&text), text.len, "ledger-head", &head, NULL) == 0
               ? record_get_i64_or(&head, "n", 0)
               : 0;
}

/* A side file that knows of more rows than there are is evidence that rows were lost: it is not
 * written over. */
static int keep_lost_head(const char *path, struct err *err)
{
    char kept[PATH_MAX];

    if (snprintf(kept, sizeof(kept), "%s" JOURNAL_LOST_HEAD_SUFFIX, path) >= (int)sizeof(kept))
        return err_set(err, ERR_LIMIT, "%s: the path is too long", path);
    return rename(path, kept) < 0 ? err_sys(err, ERR_IO, errno, "keep %s as %s", path, kept) : 0;
}

int sqlite_publish_head(struct journal *j, struct err *err)
{
    struct sqlite_journal *sj = sqlite_of(j);
    AUTO(buf_done) struct buf text = {0};
    char hash[SHA256_HEX_SIZE];
    int64_t n = 0;
    int r = sqlite_ready(sj, err);

    if (r < 0 || sj->head_path[0] == '\0')
        return r;
    if (sj->is_in_transaction)
        return err_set(err, ERR_STATE, "%s: the ledger's head inside a transaction", sj->path);
    r = sqlite_ledger_end(sj, &n, hash, err);
    if (r < 0 || str_eq(hash, sj->published))
        return r;
    if (sj->published[0] == '\0' && read_head(sj->head_path) > n)
        r = keep_lost_head(sj->head_path, err);
    if (r < 0)
        return r;
    buf_init(&text, RECORD_MAX_BYTES);
    record_begin(&text, "ledger-head");
    record_add_i64(&text, "n", n);
    record_add(&text, "hash", hash);
    record_end(&text);
    r = buf_error(&text, "ledger's head", err);
    if (r == 0)
        r = write_head(sj->head_path, &text, err);
    if (r == 0)
        (void)str_copy(sj->published, sizeof(sj->published), hash); /* fits */
    return r;
}
