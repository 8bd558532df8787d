/* The journal's reading half: for tools, while ssmd runs or not, on a read-only mount, or on a
 * copied file. Reads in short transactions, writes nothing to the journal and never checkpoints it.
 * Where SQLite could not read in place (no right to make its -shm file), database and write-ahead
 * log are copied to a private temporary directory, and that is what is read. One thread.
 *
 * Callbacks get borrowed values, valid during the call; a negative return stops the walk and is
 * returned. A callback may call other functions of the same reader, but not the one that is calling
 * it. Errors of every function: ERR_IO, ERR_BUSY, ERR_CORRUPT, ERR_NOMEM, and what is said there.
 */
#ifndef SSMD_JOURNAL_READER_H
#define SSMD_JOURNAL_READER_H

#include "journal/journal.h"

struct reader;

struct reader_options {
    const char *path;                          /* the database */
    const struct fsm_machine *const *machines; /* ends with NULL; NULL: fsm_machines */
    const char *vfs;                           /* SQLite VFS, or NULL; for tests */
};

/* Errors: ERR_NOT_FOUND (no journal there), ERR_CORRUPT (not a journal, or damaged), ERR_NEWER, and
 * ERR_FULL (no room for a copy). The caller owns *ret_reader: reader_close(). */
int reader_open(const struct reader_options *o, struct reader **ret_reader, struct err *err)
    MUST_CHECK;
void reader_close(struct reader *r); /* NULL is fine */

/* Is it a copy of the moment of reader_open that is read? */
bool reader_is_copy(const struct reader *r);

/* ---- instances ---- */

struct reader_instance {
    char id[FSM_ID_SIZE], machine[48], state[48];
    char status[32]; /* the service's word; "" when this version does not know the machine */
    char message_id[JOURNAL_MESSAGE_ID_SIZE]; /* "" when it came from no message */
    char head[65];
    int64_t seq; /* order in which instances were made; for paging */
    int64_t version, n_transitions, created_unix_ms, updated_unix_ms;
    int64_t ended_unix_ms; /* 0: it has not ended */
    bool is_loaded;        /* inst is filled: this version knows its machine, state and effects */
    struct fsm_instance inst; /* fields, children, open effects */
};
void reader_instance_done(struct reader_instance *i);

enum reader_which { READER_ALL, READER_OPEN, READER_ENDED };

struct reader_filter { /* the zero value: everything */
    const char *machine, *state, *status;
    enum reader_which which;
    int64_t since_unix_ms; /* made then or later */
    int64_t before_seq;    /* the page after the instance with this seq; 0: from the newest on */
    int64_t limit;         /* 0: no limit */
};

/* Newest first. */
int reader_list(struct reader *r, const struct reader_filter *f,
                int (*each)(void *ctx, const struct reader_instance *i, struct err *err), void *ctx,
                struct err *err) MUST_CHECK;

/* The one whose id begins with `prefix`. ERR_NOT_FOUND; ERR_INVALID: more than one does. The caller
 * ends *ret_instance with reader_instance_done(). */
int reader_get(struct reader *r, const char *prefix, struct reader_instance *ret_instance,
               struct err *err) MUST_CHECK;

/* ---- what belongs to one instance, by its whole id ---- */

struct reader_transition {
    int64_t n, at_unix_ms;
    const char *event, *from, *to, *detail, *state_sha256, *prev, *hash;
};
int reader_transitions(struct reader *r, const char *id,
                       int (*each)(void *ctx, const struct reader_transition *t, struct err *err),
                       void *ctx, struct err *err) MUST_CHECK;

struct reader_effect {
    int64_t id, arg, arg2, opened_unix_ms;
    int64_t closed_unix_ms; /* 0: it is open */
    const char *kind;
};
int reader_effects(struct reader *r, const char *id,
                   int (*each)(void *ctx, const struct reader_effect *e, struct err *err),
                   void *ctx, struct err *err) MUST_CHECK;

struct reader_reply {
    int64_t effect_id, created_unix_ms;
    int64_t ended_unix_ms; /* 0: it is owed */
    const char *reply_id, *message_id, *kind;
    const char *end;  /* "taken", "refused", "superseded", or "" */
    const char *text; /* what the service said */
    const char *payload;
    size_t payload_len;
};
int reader_replies(struct reader *r, const char *id,
                   int (*each)(void *ctx, const struct reader_reply *reply, struct err *err),
                   void *ctx, struct err *err) MUST_CHECK;

struct reader_message {
    const char *message_id, *instance_id, *channel, *topic, *destination, *created_date;
    const char *payload_sha256;
    int64_t received_unix_ms;
    size_t payload_len;
    const char *payload; /* NULL from reader_messages() */
};
/* ERR_NOT_FOUND: it came from no message. */
int reader_message(struct reader *r, const char *id,
                   int (*take)(void *ctx, const struct reader_message *m, struct err *err),
                   void *ctx, struct err *err) MUST_CHECK;

/* What else belongs to it, by name. */
int reader_attachments(struct reader *r, const char *id,
                       int (*each)(void *ctx, const char *name, const char *bytes, size_t n,
                                   struct err *err),
                       void *ctx, struct err *err) MUST_CHECK;

/* ---- the whole ---- */

/* Every message, oldest first, without its payload. */
int reader_messages(struct reader *r,
                    int (*each)(void *ctx, const struct reader_message *m, struct err *err),
                    void *ctx, struct err *err) MUST_CHECK;

struct reader_ledger_row {
    int64_t n, created_unix_ms, ended_unix_ms, n_transitions;
    const char *id, *machine, *message_id, *state, *status, *head, *prev, *hash;
};
/* Rows after number `after_n`, oldest first. */
int reader_ledger(struct reader *r, int64_t after_n,
                  int (*each)(void *ctx, const struct reader_ledger_row *row, struct err *err),
                  void *ctx, struct err *err) MUST_CHECK;

int reader_facts(struct reader *r,
                 int (*each)(void *ctx, const char *key, const char *value, struct err *err),
                 void *ctx, struct err *err) MUST_CHECK;

/* n_commits is 0 and has_reserve false here: only the writer knows them. */
int reader_counts(struct reader *r, struct journal_counts *ret_counts, struct err *err) MUST_CHECK;

static inline void reader_close_cleanup(struct reader **r)
{
    reader_close(*r);
}

#endif
