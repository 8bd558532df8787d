/* The durable record of what the agent has promised to do. One writer (ssmd), one thread.
 *
 * Writing is a transaction: journal_begin, any number of puts, journal_commit. Nothing of it is
 * there before journal_commit has returned 0, all of it is there afterwards, power loss included.
 * After any failure between begin and commit the caller calls journal_rollback, does nothing in the
 * world, and forgets what it holds in memory (memory and disk may disagree): it goes on from
 * journal_load.
 *
 * Two chains of SHA-256 (architecture, section 6): each instance's transitions, and the ledger of
 * finished ones. The same interface is implemented by sqlite.c (the real one), memory.c (tests) and
 * fault.c (a decorator that fails or "crashes" at the n-th call). */
#ifndef SSMD_JOURNAL_JOURNAL_H
#define SSMD_JOURNAL_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "fsm/fsm.h"

#define JOURNAL_MESSAGE_ID_SIZE 1025 /* any id that schema/message.h lets through, and a NUL */

/* One delivery, as it came (spec 03, section 3). Strings are borrowed for the call. */
struct journal_message {
    const char *message_id; /* unique */
    const char *channel;    /* "ec2messages", "ssmmessages", "local": where its replies go */
    const char *topic;
    const char *destination;
    const char *created_date;
    const char *payload; /* raw bytes, never a secret: references are resolved later */
    size_t payload_len;
    const char *instance_id; /* the instance it made */
    int64_t received_unix_ms;
};

/* A change of one instance. `inst` is in its new state already; opened effects have their ids. */
struct journal_transition {
    struct fsm_instance *inst; /* its head is brought up to date */
    const char *event;
    const char *from; /* state name */
    const char *detail;
    int64_t at_unix_ms;
    const struct fsm_effect *opens;
    size_t n_opens;
    const int64_t *closes;
    size_t n_closes;
    size_t child_lo, child_hi; /* child rows that changed */
};

/* A reply that is owed to the service: kept and sent again until it is taken (outbox). */
struct journal_reply {
    int64_t effect_id; /* the effect that sends it */
    char reply_id[37];
    char message_id[JOURNAL_MESSAGE_ID_SIZE];
    char kind[16]; /* "receipt", "step", "final": the document level, a step's, the terminal one */
    char *payload; /* owned by the struct when read (journal_reply_done), borrowed when put */
    size_t payload_len;
};
void journal_reply_done(struct journal_reply *r);

enum journal_reply_end { JOURNAL_REPLY_TAKEN, JOURNAL_REPLY_REFUSED, JOURNAL_REPLY_SUPERSEDED };
const char *journal_reply_end_name(enum journal_reply_end end); /* as it is stored */

/* What is known of a message id or an instance id. */
enum journal_known {
    JOURNAL_UNKNOWN,
    JOURNAL_OPEN,     /* an instance that has not ended */
    JOURNAL_ENDED,    /* ended; its rows are still here */
    JOURNAL_LEDGERED, /* ended; only its row in the ledger is left */
};

/* 0 means no limit, everywhere. Old is what the caller says, in rows of the ledger, which are in
 * the order in which jobs ended: the times that rows carry come from a clock that may have been
 * wrong.
 */
struct journal_retention {
    int64_t old_upto;  /* finished and reported jobs up to this row of the ledger go */
    int64_t max_bytes; /* of journal and job directories together; oldest go first, no more of them
                          than needed; one call may not be enough */
    /* What goes with a job from the job directories. NULL: all have the same share of them. */
    int64_t (*job_bytes)(void *ctx, const char *instance_id);
    int64_t ledger_old_upto; /* the memory of duplicates up to this row; cut at its old end only,
                                leaving a checkpoint row; never a row whose instance is here */
    int64_t ledger_max_rows; /* about so many rows stay in the ledger; of older ones no more than
                                their ids, in a tenth of the room, until ledger_old_upto */
    int max_jobs_per_call;   /* so that one call stays short */
};
/* Of a node that keeps about so many bytes: a quarter of them is for the ledger's rows. What is not
 * a matter of size is 0. */
struct journal_retention journal_retention_of(int64_t max_bytes);

struct journal_counts {
    int64_t n_open;       /* work; a registration stands open as long as the node is one */
    int64_t n_unreported; /* instances with a reply that is still owed, ended or not */
    int64_t n_ended;      /* ended, rows still here */
    int64_t n_ledger, n_open_effects;
    int64_t ledger_end; /* number of the ledger's newest row, cut off or not; 0: none ever */
    int64_t size_bytes; /* database and write-ahead log */
    int64_t n_commits;  /* synced commits since the journal was opened */
    bool has_reserve;   /* of space for when the disk is full; has_room() says what it means */
};

struct journal;

struct journal_ops {
    int (*begin)(struct journal *j, struct err *err);
    int (*commit)(struct journal *j, struct err *err);
    void (*rollback)(struct journal *j);
    void (*close)(struct journal *j);

    /* --- puts, inside a transaction. After one has failed only rollback is possible. --- */
    /* Before its instance, in the same transaction. ERR_EXISTS: this message, or another one for
     * the instance, was written before. ERR_LIMIT: its id is longer than JOURNAL_MESSAGE_ID_SIZE.
     */
    int (*put_message)(struct journal *j, const struct journal_message *m, struct err *err);
    /* A new one, before its first fsm_step: row, fields, children, and the chain's first row (n 0,
     * event "created"). ERR_EXISTS: it is here or in the ledger. */
    int (*put_instance)(struct journal *j, struct fsm_instance *inst, struct err *err);
    /* One for each FSM_MOVED, in order. In a terminal state everything must be closed: a ledger row
     * is written with it. ERR_STATE: does not follow what is stored, closes what is not open, or
     * leaves something open at the end. */
    int (*put_transition)(struct journal *j, const struct journal_transition *t, struct err *err);
    /* Without a transition. ERR_STATE: one is not open. Closing an effect, here or in a transition,
     * ends its reply as superseded unless end_reply says otherwise, before or after. */
    int (*close_effects)(struct journal *j, const int64_t *effect_ids, size_t n, int64_t at_unix_ms,
                         struct err *err);
    /* After the transition that opened its effect. ERR_EXISTS: the effect has one, or the id is
     * taken. ERR_STATE: no such effect. */
    int (*put_reply)(struct journal *j, const struct journal_reply *r, int64_t at_unix_ms,
                     struct err *err);
    /* ERR_STATE: no such reply, or it was taken or refused before. */
    int (*end_reply)(struct journal *j, int64_t effect_id, enum journal_reply_end end,
                     const char *text, int64_t at_unix_ms, struct err *err);
    int (*put_fact)(struct journal *j, const char *key, const char *value,
                    struct err *err); /* about the node; NULL removes */
    /* What belongs to an instance besides its message, under a name of its own; goes when the
     * instance goes. After its instance. ERR_EXISTS: it has one of that name; ERR_STATE: no such
     * instance. The chain does not cover it: put its hash into a transition's detail. */
    int (*put_attachment)(struct journal *j, const char *instance_id, const char *name,
                          const char *bytes, size_t n, struct err *err);

    /* --- reads; inside a transaction they see its puts --- */
    /* Every instance that has not ended, with children and open effects, in the order in
     * which they were made (not by time: clocks are set). The callback takes the contents over
     * (fsm_instance_done is its duty); a negative return stops the walk and is returned. */
    int (*load)(struct journal *j,
                int (*each)(void *ctx, struct fsm_instance *inst, struct err *err), void *ctx,
                struct err *err);
    /* Either id may be NULL; the first one that is known decides. A message id is known as long as
     * the ledger remembers its job. */
    int (*find)(struct journal *j, const char *message_id, const char *instance_id,
                enum journal_known *ret_known, struct err *err);
    int (*get_payload)(struct journal *j, const char *instance_id, struct buf *ret_payload,
                       struct err *err); /* ERR_NOT_FOUND */
    int (*get_attachment)(struct journal *j, const char *instance_id, const char *name,
                          struct buf *ret_bytes, struct err *err); /* ERR_NOT_FOUND */
    /* ERR_NOT_FOUND: it came from no message. */
    int (*get_message_id)(struct journal *j, const char *instance_id, char *ret_message_id,
                          size_t size, struct err *err);
    /* ERR_NOT_FOUND. A reply that has ended is returned too. The caller owns it:
     * journal_reply_done(). */
    int (*get_reply)(struct journal *j, int64_t effect_id, struct journal_reply *ret_reply,
                     struct err *err);
    /* The newest of kind "final". */
    int (*get_final_reply)(struct journal *j, const char *instance_id,
                           struct journal_reply *ret_reply, struct err *err);
    int (*get_fact)(struct journal *j, const char *key, struct buf *ret_value,
                    struct err *err); /* ERR_NOT_FOUND */
    /* The number of the ledger's row of an instance that is over and has nothing to do for anybody:
     * no reply owed, no upload open. 0: not so. */
    int (*get_settled)(struct journal *j, const char *instance_id, int64_t *ret_n, struct err *err);
    /* The greatest id ever given, retention or not; 0 at first. */
    int (*last_effect_id)(struct journal *j, int64_t *ret_id, struct err *err);
    int (*counts)(struct journal *j, struct journal_counts *ret_counts, struct err *err);

    /* --- upkeep, outside a transaction --- */
    /* Remove what retention allows, in a transaction of its own; never an instance that is open or
     * a reply that is owed, and a nested document's (command_parent_id()) not before the one that
     * it is part of. The ids of the instances removed are handed to `removed` after the
     * commit, so that their directories can go. `ctx` is for r->job_bytes, too. */
    int (*prune)(struct journal *j, const struct journal_retention *r, int64_t job_dirs_bytes,
                 int64_t now_unix_ms, void (*removed)(void *ctx, const char *instance_id),
                 void *ctx, struct err *err);
    /* After a failure: is the storage usable again? Rolls back, reopens and verifies it, and writes
     * and syncs a probe. Needed after ERR_IO, ERR_FULL and ERR_CORRUPT: until it has returned 0,
     * begin fails with the same code. After ERR_FULL it gives up the space kept in reserve, so that
     * what runs can record its end; has_room and prune fill it again when there is room. */
    int (*revive)(struct journal *j, struct err *err);
    /* Fills the reserve again where there is room for it. False: the disk is or was full, and what
     * is left is for what runs: take on nothing new until it is true. Where the file system cannot
     * reserve, its free space counts. Costs two system calls. */
    bool (*has_room)(struct journal *j);
    /* Ledger's count and head into the side file, when they changed (architecture, section 6).
     * Synced. */
    int (*publish_head)(struct journal *j, struct err *err);
};

struct journal {
    const struct journal_ops *ops;
};

/* A side file that vouched for more rows than the ledger had is kept beside it under this suffix.
 */
#define JOURNAL_LOST_HEAD_SUFFIX ".lost"

struct journal_options {
    const char *path;      /* the database; its directory must exist and be ours */
    const char *head_path; /* side file of the ledger's head, or NULL */
    const char *boot_id;
    const char *vfs; /* SQLite VFS to use, or NULL; tests count and break syncs with one */
    const struct fsm_machine *const *machines; /* ends with NULL; NULL: fsm_machines */
};

/* Open or create the journal and bring its schema up to date. WAL and synchronous=FULL are set and
 * read back: anything else is ERR_STATE. Errors: ERR_CORRUPT (not ours, or damaged; left as it
 * was), ERR_NEWER (written by a later agent), ERR_BUSY (another writer), ERR_IO, ERR_FULL. The
 * caller owns *ret_journal: journal_close(). */
int journal_open_sqlite(const struct journal_options *o, struct journal **ret_journal,
                        struct err *err) MUST_CHECK;

/* Verify the invariants listed in sqlite.c: each breach is a line in *ret_problems. Reads
 * everything: for tests and tools. ERR_UNSUPPORTED for another implementation than the SQLite one.
 */
int journal_check(struct journal *j, struct buf *ret_problems, struct err *err) MUST_CHECK;

/* In memory, for tests: what was committed survives journal_memory_crash(), which drops the rest.
 */
int journal_open_memory(struct journal **ret_journal, struct err *err) MUST_CHECK;
void journal_memory_crash(struct journal *j);

/* A decorator: the n-th call of begin, a put or commit (counted from 1; 0 never) fails with `code`
 * before it reaches `inner`, `repeat` times in a row (-1 for good). Once that has begun, revive
 * counts as a call too. Does not own `inner`; `fault` is borrowed while it is open and may be
 * changed between calls. */
struct journal_fault {
    int64_t at, repeat;
    int code;
    int64_t n_calls;  /* so far */
    bool has_no_room; /* what has_room says */
};
int journal_open_fault(struct journal *inner, struct journal_fault *fault,
                       struct journal **ret_journal, struct err *err) MUST_CHECK;

static inline void journal_close(struct journal *j)
{
    if (j != NULL)
        j->ops->close(j);
}

#endif
