/* What the parts of the journal in memory share: its rows, and how they are shared between states.
 *
 * Rows are never changed once another state may see them: a transaction works on a copy of the
 * lists of rows, and replaces the rows that it changes (memory_own_row). What is committed is
 * therefore what a crash leaves. One thread. */
#ifndef SSMD_JOURNAL_MEMORY_INTERNAL_H
#define SSMD_JOURNAL_MEMORY_INTERNAL_H

#include "base/sha256.h"
#include "journal/journal.h"

enum memory_table {
    MEMORY_INSTANCES,
    MEMORY_MESSAGES,
    MEMORY_EFFECTS,
    MEMORY_REPLIES,
    MEMORY_LEDGER,
    MEMORY_REMEMBERED, /* rows that were cut from the ledger before their time */
    MEMORY_FACTS,
    MEMORY_ATTACHMENTS,
    MEMORY_N_TABLES
};

struct memory_row {
    enum memory_table table;
    int refs;
    /* instance, message, ledger's instance, fact's key, or attachment's name */
    char id[JOURNAL_MESSAGE_ID_SIZE];
    char instance_id[FSM_ID_SIZE]; /* of a message, an effect, a reply, an attachment */
    struct fsm_instance inst;      /* of an instance, without its effects; owned */
    struct fsm_effect effect;
    struct journal_reply reply; /* payload owned */
    char *bytes;                /* owned: payload, fact's value, or attachment */
    size_t n_bytes;
    int64_t ended_unix_ms; /* of an instance, a reply, a ledger row; closing time of an effect */
    bool has_ended;
    bool is_superseded;                       /* a reply that ended because its effect was closed */
    char message_id[JOURNAL_MESSAGE_ID_SIZE]; /* of a ledger row */
    char hash[SHA256_HEX_SIZE];               /* of a ledger row */
    int64_t n;                                /* of a ledger row */
};

struct memory_list {
    struct memory_row **rows; /* owned; the rows are shared */
    size_t n, cap;
};

struct memory_state {
    struct memory_list tables[MEMORY_N_TABLES];
    int64_t effect_floor;
    int64_t n_cut; /* the ledger's checkpoint */
    char cut_hash[SHA256_HEX_SIZE];
};

struct memory_journal {
    struct journal base;
    struct memory_state committed, working; /* working is in use while has_begun */
    bool is_in_transaction, has_begun, has_failed;
    int64_t n_commits;
};

static inline struct memory_journal *memory_of(struct journal *j)
{
    return container_of(j, struct memory_journal, base);
}

/* The state that reads see: inside a transaction, with its puts. */
static inline struct memory_state *memory_seen(struct journal *j)
{
    return memory_of(j)->has_begun ? &memory_of(j)->working : &memory_of(j)->committed;
}

/* ---- memory_rows.c ---- */

void memory_row_unref(struct memory_row *row);
/* NULL: out of memory, or the id is too long. */
struct memory_row *memory_row_new(enum memory_table table, const char *id);
/* Takes the reference over. False: out of memory; then it does not. */
bool memory_list_add(struct memory_list *l, struct memory_row *row);
void memory_list_remove(struct memory_list *l, size_t i);
void memory_state_done(struct memory_state *s);
bool memory_state_copy(struct memory_state *dst, const struct memory_state *src);
/* The place of a row in its list, or NULL. */
struct memory_row **memory_find_row(const struct memory_state *s, enum memory_table table,
                                    const char *id);
struct memory_row **memory_find_of_instance(const struct memory_state *s, enum memory_table table,
                                            const char *id);
struct memory_row **memory_find_number(const struct memory_state *s, enum memory_table table,
                                       int64_t effect_id);
/* Without its effects. */
bool memory_copy_instance(struct fsm_instance *dst, const struct fsm_instance *src);
/* With a NUL behind them; the caller owns it. NULL: out of memory. */
char *memory_copy_bytes(const char *bytes, size_t n);
/* Make the row in *at safe to change: one that another state shares is replaced by a copy. NULL:
 * out of memory. */
struct memory_row *memory_own_row(struct memory_row **at);
int memory_out_of_memory(struct err *err);

/* ---- memory_read.c: reads and retention, as journal.h has them ---- */

int memory_load(struct journal *j,
                int (*each)(void *ctx, struct fsm_instance *inst, struct err *err), void *ctx,
                struct err *err);
int memory_find(struct journal *j, const char *message_id, const char *instance_id,
                enum journal_known *ret_known, struct err *err);
int memory_get_payload(struct journal *j, const char *instance_id, struct buf *ret_payload,
                       struct err *err);
int memory_get_attachment(struct journal *j, const char *instance_id, const char *name,
                          struct buf *ret_bytes, struct err *err);
/* The place of an attachment, or NULL. */
struct memory_row **memory_find_attachment(const struct memory_state *s, const char *instance_id,
                                           const char *name);
int memory_get_message_id(struct journal *j, const char *instance_id, char *ret_message_id,
                          size_t size, struct err *err);
int memory_get_reply(struct journal *j, int64_t effect_id, struct journal_reply *ret_reply,
                     struct err *err);
int memory_get_final_reply(struct journal *j, const char *instance_id,
                           struct journal_reply *ret_reply, struct err *err);
int memory_get_fact(struct journal *j, const char *key, struct buf *ret_value, struct err *err);
int memory_last_effect_id(struct journal *j, int64_t *ret_id, struct err *err);
int memory_get_settled(struct journal *j, const char *instance_id, int64_t *ret_n, struct err *err);
int memory_counts(struct journal *j, struct journal_counts *ret_counts, struct err *err);
int memory_prune(struct journal *j, const struct journal_retention *r, int64_t job_dirs_bytes,
                 int64_t now_unix_ms, void (*removed)(void *ctx, const char *instance_id),
                 void *ctx, struct err *err);

#endif
