/* Forgetting: whole finished and reported jobs by age and by size, the ledger at its old end by its
 * own age and by its length. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "journal/sqlite_internal.h"

#define MAX_LEDGER_ROWS_PER_CALL 10000
#define FIRST_KEPT "first_kept" /* a key of meta */
#define ROWS_PER_CUT 500        /* of rows that are too many */

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

/* The number of the ledger's oldest row whose instance is here, which only grows: what is before it
 * is not looked at again. It is kept in the journal, so that a start does not look either. */
static int find_first_kept(struct sqlite_journal *sj, struct err *err)
{
    char text[32] = "";
    int r;

    if (sj->first_kept == 0) {
        r = db_text(&sj->db, "SELECT value FROM meta WHERE key = '" FIRST_KEPT "'", text,
                    sizeof(text), err);
        if (r < 0)
            return r;
        if (!str_to_i64(text, 1, INT64_MAX, &sj->first_kept))
            sj->first_kept = 1; /* never kept, or damaged: from the beginning */
    }
    return db_number(&sj->db, SQL_FIRST_KEPT, DB_ARGS(DB_I(sj->first_kept)), sj->first_kept,
                     &sj->first_kept, err);
}

/* The oldest instances that may go, at most `limit`, of those up to this row of the
 * ledger. */
static int find_victims(struct sqlite_journal *sj, int64_t upto, int64_t limit, struct victims *v,
                        struct err *err)
{
    sqlite3_stmt *q = NULL;
    int r = find_first_kept(sj, err);

    v->n = 0;
    if (r == 0)
        r = db_query(&sj->db, SQL_PRUNABLE, DB_ARGS(DB_I(upto), DB_I(limit), DB_I(sj->first_kept)),
                     &q, err);
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

struct excess {
    int64_t bytes;               /* to be freed; 0: none */
    int64_t in_journal, in_dirs; /* what one job has of it, on average */
};

/* What is to be freed. It begins a sixteenth below the limit and goes on to another one below that:
 * so what stands between two rounds fits too, and rounds that have something to do are few. The
 * memory of ids has half of the room, or all that it needs, whatever is left for jobs. */
static int measure_excess(struct sqlite_journal *sj, int64_t max_bytes, int64_t job_dirs_bytes,
                          struct excess *ret, struct err *err)
{
    int64_t page_size = 0, n_pages = 0, n_free = 0, n_jobs = 0, n_cut = 0, in_journal, used, memory;
    int r = pragma_number(sj, "PRAGMA page_size", &page_size, err);

    if (r == 0)
        r = pragma_number(sj, "PRAGMA page_count", &n_pages, err);
    if (r == 0)
        r = pragma_number(sj, "PRAGMA freelist_count", &n_free, err);
    if (r == 0)
        r = db_number(&sj->db, SQL_COUNT_ENDED, DB_NO_ARGS, 0, &n_jobs, err);
    if (r == 0)
        r = db_number(&sj->db, SQL_CHECKPOINT, DB_NO_ARGS, 0, &n_cut, err);
    if (r < 0)
        return r;
    in_journal = (n_pages - n_free) * page_size;
    memory = n_cut * REMEMBERED_BYTES;
    if (memory > max_bytes / 2)
        in_journal -= memory - max_bytes / 2;
    used = in_journal + SQLITE_LOG_BYTES + job_dirs_bytes;
    ret->bytes = used > max_bytes - max_bytes / 16 ? used - (max_bytes - max_bytes / 8) : 0;
    ret->in_journal = n_jobs > 0 ? in_journal / n_jobs : 0;
    ret->in_dirs = n_jobs > 0 ? job_dirs_bytes / n_jobs : 0;
    return 0;
}

/* Of the oldest jobs only as many as free that much. */
static int choose_by_size(struct sqlite_journal *sj, const struct journal_retention *r,
                          int64_t job_dirs_bytes, int64_t limit, struct victims *v, void *ctx,
                          struct err *err)
{
    struct excess x = {0};
    size_t i, n_old = v->n;
    int rc = measure_excess(sj, r->max_bytes, job_dirs_bytes, &x, err);

    if (rc < 0 || x.bytes == 0)
        return rc;
    rc = find_victims(sj, INT64_MAX, limit, v, err);
    for (i = 0; i < v->n && (x.bytes > 0 || i < n_old); i++)
        x.bytes -= x.in_journal + (r->job_bytes != NULL ? r->job_bytes(ctx, v->ids[i]) : x.in_dirs);
    v->n = i;
    return rc;
}

static int choose(struct sqlite_journal *sj, const struct journal_retention *r,
                  int64_t job_dirs_bytes, struct victims *v, void *ctx, struct err *err)
{
    int64_t limit = r->max_jobs_per_call > 0 ? r->max_jobs_per_call : INT64_MAX;
    int rc = 0;

    if (r->old_upto > 0)
        rc = find_victims(sj, r->old_upto, limit, v, err);
    if (rc == 0 && r->max_bytes > 0)
        rc = choose_by_size(sj, r, job_dirs_bytes, limit, v, ctx, err);
    return rc;
}

static int forget(struct sqlite_journal *sj, const struct victims *v, struct err *err)
{
    char floor_id[32], first_kept[32];
    int64_t last = 0;
    size_t i;
    int r;

    if (v->n == 0)
        return 0;
    r = sqlite_last_effect_id(&sj->base, &last, err);
    if (r < 0)
        return r;
    (void)snprintf(floor_id, sizeof(floor_id), "%" PRId64, last);               /* fits */
    (void)snprintf(first_kept, sizeof(first_kept), "%" PRId64, sj->first_kept); /* fits */
    r = sqlite_touch(sj, err);
    if (r == 0)
        r = db_run(&sj->db, SQL_PUT_META, DB_ARGS(DB_T("effect_floor"), DB_T(floor_id)), NULL, err);
    if (r == 0)
        r = db_run(&sj->db, SQL_PUT_META, DB_ARGS(DB_T(FIRST_KEPT), DB_T(first_kept)), NULL, err);
    for (i = 0; i < v->n && r == 0; i++)
        r = db_run(&sj->db, SQL_FORGET, DB_ARGS(DB_T(v->ids[i])), NULL, err);
    return r;
}

/* How far the ledger is to be cut: rows that are old, and those that are too many. */
static int choose_cut(struct sqlite_journal *sj, const struct journal_retention *r,
                      int64_t *ret_upto, struct err *err)
{
    int64_t first = 0, n_rows = 0;
    int rc = db_number(&sj->db, SQL_LEDGER_FIRST, DB_NO_ARGS, 0, &first, err);

    if (rc == 0)
        rc = db_number(&sj->db, SQL_COUNT_LEDGER, DB_NO_ARGS, 0, &n_rows, err);
    if (rc < 0)
        return rc;
    *ret_upto = r->ledger_old_upto;
    if (r->ledger_max_rows > 0 && n_rows >= r->ledger_max_rows + ROWS_PER_CUT &&
        first + ROWS_PER_CUT - 1 > *ret_upto)
        *ret_upto = first + ROWS_PER_CUT - 1;
    return 0;
}

/* From the oldest row on, as far as their instances are gone. Of rows that go before their time the
 * ids stay. */
static int cut_ledger(struct sqlite_journal *sj, const struct journal_retention *r,
                      int64_t now_unix_ms, struct err *err)
{
    char hash[80];
    int64_t n = 0, upto = 0;
    sqlite3_stmt *q = NULL;
    int rc = choose_cut(sj, r, &upto, err);

    if (rc < 0 || upto <= 0)
        return rc;
    rc = db_query(&sj->db, SQL_LEDGER_OLDEST, DB_ARGS(DB_I(MAX_LEDGER_ROWS_PER_CALL)), &q, err);
    while (rc == 0 && (rc = db_step(&sj->db, q, "read ledger", err)) == 1) {
        rc = 0;
        if (db_column_i64(q, 0) > upto || db_column_i64(q, 2) != 0)
            break;
        n = db_column_i64(q, 0);
        (void)str_copy(hash, sizeof(hash),
                       db_column(q, 1)); /* a longer one is found by the audit */
        rc = sqlite_touch(sj, err);
        if (rc == 0 && n > r->ledger_old_upto)
            rc = remember_ids(sj, db_column(q, 3), db_column(q, 4), n, err);
    }
    (void)sqlite3_reset(q); /* repeats what was told */
    if (rc < 0 || n == 0)
        return rc;
    rc = db_run(&sj->db, SQL_PUT_CHECKPOINT, DB_ARGS(DB_I(n), DB_T(hash), DB_I(now_unix_ms)), NULL,
                err);
    if (rc == 0)
        rc = db_run(&sj->db, SQL_DROP_CHECKPOINTS, DB_ARGS(DB_I(n)), NULL, err);
    if (rc == 0)
        rc = db_run(&sj->db, SQL_LEDGER_CUT, DB_ARGS(DB_I(n)), NULL, err);
    return rc;
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
    rc = choose(sj, r, job_dirs_bytes, &v, ctx, err);
    if (rc == 0)
        rc = forget(sj, &v, err);
    if (rc == 0)
        rc = cut_ledger(sj, r, now_unix_ms, err);
    if (rc == 0 && r->ledger_old_upto > 0)
        rc = remember_forget(sj, r->ledger_old_upto, err);
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
