/* What the parts of the SQLite journal share. */
#ifndef SSMD_JOURNAL_SQLITE_INTERNAL_H
#define SSMD_JOURNAL_SQLITE_INTERNAL_H

#include <limits.h>

#include "base/sha256.h"
#include "journal/joined_internal.h"
#include "journal/journal.h"
#include "journal/migrate_internal.h"
#include "journal/sql_internal.h"
#include "journal/storage_internal.h"

struct sqlite_journal {
    struct journal base;
    struct db db; /* zeroed between a failed revive and a successful one */
    struct tables tables;
    struct storage storage;
    const struct fsm_machine *const *machines;
    char path[PATH_MAX], head_path[PATH_MAX]; /* head_path "": no side file */
    struct joined_vfs vfs;                    /* what the connection writes through */
    char published[SHA256_HEX_SIZE]; /* the ledger's head in the side file, as far as we know */
    bool is_in_transaction;          /* journal_begin was called */
    bool has_begun;                  /* ... and so was SQLite's: at the first put */
    bool has_failed;                 /* a put failed: only rollback is possible */
    int broken;                      /* 0, or the failure after which revive is needed */
    int64_t n_commits;
    int64_t first_kept;  /* retention.c; 0: not known yet */
    unsigned next_slice; /* remember.c */
};

extern const struct journal_ops sqlite_ops;

static inline struct sqlite_journal *sqlite_of(struct journal *j)
{
    return container_of(j, struct sqlite_journal, base);
}

/* A read may be made: there is a connection. */
int sqlite_ready(const struct sqlite_journal *sj, struct err *err) MUST_CHECK;
/* A put may be made; begins SQLite's transaction when it is the first. */
int sqlite_touch(struct sqlite_journal *sj, struct err *err) MUST_CHECK;
/* Note the result of a put or of another write; returns it. */
int sqlite_note(struct sqlite_journal *sj, int r);

/* sqlite_put.c */
int sqlite_put_message(struct journal *j, const struct journal_message *m, struct err *err);
int sqlite_put_instance(struct journal *j, struct fsm_instance *inst, struct err *err);
int sqlite_put_transition(struct journal *j, const struct journal_transition *t, struct err *err);
int sqlite_close_effects(struct journal *j, const int64_t *ids, size_t n, int64_t at_unix_ms,
                         struct err *err);
int sqlite_put_reply(struct journal *j, const struct journal_reply *reply, int64_t at_unix_ms,
                     struct err *err);
int sqlite_end_reply(struct journal *j, int64_t effect_id, enum journal_reply_end end,
                     const char *text, int64_t at_unix_ms, struct err *err);
int sqlite_put_fact(struct journal *j, const char *key, const char *value, struct err *err);
int sqlite_put_attachment(struct journal *j, const char *instance_id, const char *name,
                          const char *bytes, size_t n, struct err *err);

/* sqlite_read.c */
int sqlite_load(struct journal *j,
                int (*each)(void *ctx, struct fsm_instance *inst, struct err *err), void *ctx,
                struct err *err);
int sqlite_find(struct journal *j, const char *message_id, const char *instance_id,
                enum journal_known *ret_known, struct err *err);
int sqlite_get_payload(struct journal *j, const char *instance_id, struct buf *ret_payload,
                       struct err *err);
int sqlite_get_attachment(struct journal *j, const char *instance_id, const char *name,
                          struct buf *ret_bytes, struct err *err);
int sqlite_get_message_id(struct journal *j, const char *instance_id, char *ret_message_id,
                          size_t size, struct err *err);
int sqlite_get_reply(struct journal *j, int64_t effect_id, struct journal_reply *ret_reply,
                     struct err *err);
int sqlite_get_final_reply(struct journal *j, const char *instance_id,
                           struct journal_reply *ret_reply, struct err *err);
int sqlite_get_fact(struct journal *j, const char *key, struct buf *ret_value, struct err *err);
int sqlite_last_effect_id(struct journal *j, int64_t *ret_id, struct err *err);
/* Number and hash of the ledger's last row, of the checkpoint when it has none, or 0 and zeros. */
int sqlite_ledger_end(struct sqlite_journal *sj, int64_t *ret_n, char ret_hash[SHA256_HEX_SIZE],
                      struct err *err) MUST_CHECK;
int sqlite_counts(struct journal *j, struct journal_counts *ret_counts, struct err *err);
int sqlite_get_settled(struct journal *j, const char *instance_id, int64_t *ret_n, struct err *err);

/* remember.c: the memory of ids whose rows in the ledger were cut before their time. */
#define SQLITE_LOG_BYTES 1638400 /* what the log of writes ahead keeps when it is emptied */
#define REMEMBERED_BYTES 64      /* what a job takes in it, at most about */
enum remember_kind { REMEMBER_INSTANCE, REMEMBER_MESSAGE };
/* Inside a transaction; `message_id` may be "". `n` is the number that its row had. */
int remember_ids(struct sqlite_journal *sj, const char *instance_id, const char *message_id,
                 int64_t n, struct err *err) MUST_CHECK;
/* That number; 0: not known. */
int remember_find(struct sqlite_journal *sj, enum remember_kind kind, const char *id,
                  int64_t *ret_n, struct err *err) MUST_CHECK;
/* Inside a transaction: of rows up to this number, a part each time. */
int remember_forget(struct sqlite_journal *sj, int64_t upto, struct err *err) MUST_CHECK;

/* retention.c */
int sqlite_prune(struct journal *j, const struct journal_retention *r, int64_t job_dirs_bytes,
                 int64_t now_unix_ms, void (*removed)(void *ctx, const char *instance_id),
                 void *ctx, struct err *err);
/* head.c */
int sqlite_publish_head(struct journal *j, struct err *err);

#endif
