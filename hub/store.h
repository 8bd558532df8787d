/* What the hub remembers: documents, instances, commands with their invocations and steps,
 * messages, and every reply and acknowledgement in the order they came. SQLite, one connection,
 * main thread.
 *
 * Every call happens inside a transaction that the dispatcher (or a test) opens and ends. Functions
 * return 0 or a negative enum err_code (ERR_IO, ERR_FULL, ERR_CORRUPT); `next` functions also
 * return 1 for a row. Text in rows is borrowed from the cursor and lives until its next step. */
#ifndef SSMD_HUB_STORE_H
#define SSMD_HUB_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "hub/status.h"

struct store;

/* Open or create. ERR_CORRUPT: not a hub's store; ERR_NEWER: written by a later version. */
int store_open(const char *path, struct store **ret_store, struct err *err) MUST_CHECK;
void store_close(struct store *s); /* NULL is allowed */
DEFINE_AUTO(struct store *, store_close)

int store_begin(struct store *s, struct err *err) MUST_CHECK;
int store_commit(struct store *s, struct err *err) MUST_CHECK;
void store_rollback(struct store *s);

/* A running query; one of each kind at a time. */
struct cursor {
    struct sqlite3_stmt *stmt; /* owned by the store */
    struct store *store;       /* borrowed */
};
void cursor_done(struct cursor *c);
static inline void cursor_done_cleanup(struct cursor *c)
{
    cursor_done(c);
}

/* ---- documents: a name has versions 1, 2, ... and one of them is the default ---- */

struct document_row {
    const char *name;
    int64_t version;
    const char *version_name; /* "" if none */
    const char *format;       /* JSON or YAML, as it was given */
    const char *type;
    const char *content; /* as it was given */
    const char *json;    /* the same as JSON */
    const char *sha256;  /* of content, hexadecimal */
    int64_t created_ms;
    int64_t default_version, latest_version; /* of the name; not used by add */
};

int store_document_add(struct store *s, const struct document_row *row, struct err *err) MUST_CHECK;
int store_document_set_default(struct store *s, const char *name, int64_t version, struct err *err)
    MUST_CHECK;
/* All versions with version 0. */
int store_document_delete(struct store *s, const char *name, int64_t version, struct err *err)
    MUST_CHECK;
/* All versions of `name`, or the default version of every name that sorts after `after`. */
void store_document_versions(struct store *s, const char *name, struct cursor *ret_cursor);
void store_documents(struct store *s, const char *after, struct cursor *ret_cursor);
int cursor_next_document(struct cursor *c, struct document_row *ret_row, struct err *err)
    MUST_CHECK;

/* ---- parameters: a name has versions 1, 2, ..., a version has labels ---- */

struct parameter_row {
    const char *name;
    int64_t version;
    const char *type;
    const char *value; /* of a SecureString sealed (sealing_key.h) */
    const char *description, *pattern, *key_id;
    const char *data_type, *tier;
    int64_t modified_ms;
    const char *labels; /* joined by commas, sorted; not used by add */
};

int store_parameter_add(struct store *s, const struct parameter_row *row, struct err *err)
    MUST_CHECK;
/* All versions with version 0, and then the labels too. */
int store_parameter_delete(struct store *s, const char *name, int64_t version, struct err *err)
    MUST_CHECK;
/* A label is at one version of its name: it moves. */
int store_parameter_label(struct store *s, const char *name, const char *label, int64_t version,
                          struct err *err) MUST_CHECK;
int store_parameter_unlabel(struct store *s, const char *name, const char *label, struct err *err)
    MUST_CHECK;
/* All versions of `name`, newest first, or the newest of every name that sorts after `after`. */
void store_parameter_versions(struct store *s, const char *name, struct cursor *ret_cursor);
void store_parameters(struct store *s, const char *after, struct cursor *ret_cursor);
int cursor_next_parameter(struct cursor *c, struct parameter_row *ret_row, struct err *err)
    MUST_CHECK;

/* ---- instances ---- */

struct instance_row {
    const char *id;
    const char *info; /* JSON: members of the latest UpdateInstanceInformation, merged over time */
    int64_t registered_ms;
    int64_t last_ping_ms; /* 0: never */
};

/* Make it known, or note a ping. `info` NULL leaves what is there; ping_ms 0 is no ping. */
int store_instance_put(struct store *s, const char *id, const char *info, int64_t now_ms,
                       int64_t ping_ms, struct err *err) MUST_CHECK;
void store_instances(struct store *s, const char *after, struct cursor *ret_cursor);
void store_instance_find(struct store *s, const char *id, struct cursor *ret_cursor);
int cursor_next_instance(struct cursor *c, struct instance_row *ret_row, struct err *err)
    MUST_CHECK;

/* ---- commands ---- */

struct command_row {
    int64_t seq; /* order of arrival; given by the store */
    const char *id;
    const char *document_name;
    const char *document_version;
    const char *comment;
    const char *parameters; /* JSON object, as the operator sent it */
    const char *echo;       /* JSON members (without braces) that the API gives back as they came */
    const char *s3_bucket;  /* "" if none */
    const char *s3_prefix;  /* "" if none */
    const char *s3_region;  /* "" if none */
    const char *cloud_watch; /* JSON object or "" */
    int64_t requested_ms;
    int64_t timeout_s;  /* of the delivery */
    int64_t expires_ms; /* of the whole: delivery and execution */
    const char *steps;  /* JSON list of the names that results of its steps have */
    bool is_cancelled;
    struct status_counts counts; /* over its invocations; not used by add */
};

int store_command_add(struct store *s, const struct command_row *row, struct err *err) MUST_CHECK;
int store_command_set_cancelled(struct store *s, const char *id, struct err *err) MUST_CHECK;
/* Newest first, those older than `before_seq`; `id` not NULL: only that one. */
void store_commands(struct store *s, const char *id, int64_t before_seq, struct cursor *ret_cursor);
void store_commands_in_order(struct store *s, struct cursor *ret_cursor); /* oldest first */
int cursor_next_command(struct cursor *c, struct command_row *ret_row, struct err *err) MUST_CHECK;

struct invocation_row {
    int64_t seq;
    const char *command_id;
    const char *instance_id;
    const char *message_id;
    const char *trace; /* documentTraceOutput of the terminal reply, or "" */
    enum hub_status status;
    int64_t deliver_by_ms;
    int64_t expires_ms;
    int64_t ended_ms; /* 0: not yet */
};

int store_invocation_add(struct store *s, const struct invocation_row *row, struct err *err)
    MUST_CHECK;
/* Newest first, older than `before_seq`; NULL ids match all. */
void store_invocations(struct store *s, const char *command_id, const char *instance_id,
                       int64_t before_seq, struct cursor *ret_cursor);
void store_invocation_of_message(struct store *s, const char *message_id,
                                 struct cursor *ret_cursor);
int cursor_next_invocation(struct cursor *c, struct invocation_row *ret_row, struct err *err)
    MUST_CHECK;
/* Moves an invocation that is not terminal; a terminal one stays as it is and *ret_changed is
 * false. `trace` may be NULL. */
int store_invocation_move(struct store *s, int64_t seq, enum hub_status to, const char *trace,
                          int64_t now_ms, bool *ret_changed, struct err *err) MUST_CHECK;
/* Ends what is past its delivery or execution time; the messages of those are not offered again.
 * *ret_next_ms is when the next one is due, or INT64_MAX. */
int store_expire(struct store *s, int64_t now_ms, int64_t *ret_next_ms, struct err *err) MUST_CHECK;

struct step_row {
    const char *name;   /* key in runtimeStatus: the step's name, or the plugin's in schema 1.2 */
    const char *plugin; /* aws:runShellScript */
    const char *status; /* as the agent said it */
    int64_t code;
    const char *output, *standard_output, *standard_error;
    const char *start, *end; /* ISO 8601, or "" */
    const char *s3_bucket, *s3_prefix, *step_name;
};

/* Take a step's result unless one that is final is there already. */
int store_step_put(struct store *s, const char *command_id, const char *instance_id,
                   const struct step_row *row, struct err *err) MUST_CHECK;
void store_steps(struct store *s, const char *command_id, const char *instance_id,
                 struct cursor *ret_cursor); /* in the order of their first results */
int cursor_next_step(struct cursor *c, struct step_row *ret_row, struct err *err) MUST_CHECK;

/* ---- messages ---- */

struct message_row {
    int64_t seq;
    const char *id;
    const char *destination;
    const char *topic;
    const char
        *created; /* ISO 8601; may be NULL in an injected message, as may topic and payload */
    const char *payload;
    const char *command_id;    /* "" for an injected one */
    const char *state;         /* queued, acked, ended, failed, deleted, expired, withdrawn */
    int64_t visible_ms;        /* not offered before */
    int64_t deliver_by_ms;     /* not offered after */
    int64_t n_deliveries;      /* not used by add */
    int64_t first_delivery_ms; /* 0: never; not used by add */
};

int store_message_add(struct store *s, const struct message_row *row, struct err *err) MUST_CHECK;
/* Those that may be offered to `destination` now, oldest first (or newest first). */
void store_messages_due(struct store *s, const char *destination, int64_t now_ms,
                        bool is_newest_first, struct cursor *ret_cursor);
void store_messages_by_id(struct store *s, const char *id, struct cursor *ret_cursor);
void store_messages(struct store *s, struct cursor *ret_cursor); /* all, oldest first */
int cursor_next_message(struct cursor *c, struct message_row *ret_row, struct err *err) MUST_CHECK;
int store_message_delivered(struct store *s, int64_t seq, int64_t now_ms, int64_t visible_ms,
                            struct err *err) MUST_CHECK;
/* The message with this id leaves the queue; unknown ids are ignored. */
int store_message_end(struct store *s, const char *id, const char *state, struct err *err)
    MUST_CHECK;
/* Put it back, visible now: for tests of redelivery. */
int store_message_requeue(struct store *s, const char *id, int64_t now_ms, struct err *err)
    MUST_CHECK;
/* Those that were offered and not taken may be offered to `destination` again, at once. */
int store_messages_release(struct store *s, const char *destination, int64_t now_ms,
                           struct err *err) MUST_CHECK;
/* When the next message becomes visible to `destination`, or INT64_MAX. */
int store_message_next_visible(struct store *s, const char *destination, int64_t *ret_ms,
                               struct err *err) MUST_CHECK;

/* ---- what the agent said, in order ---- */

/* kind: delivered, ack, fail, delete, reply. For a reply, `reply_id`, `status` and `payload` are
 * set, and `verdict` says what came of it (status.h). */
struct event_row {
    int64_t seq;
    int64_t at_ms;
    const char *message_id;
    const char *kind;
    const char *reply_id; /* "" */
    const char *status;   /* documentStatus, or FailureType of a fail */
    const char *verdict;
    const char *payload;
    bool is_terminal;
    bool is_repeat; /* this reply id was seen before; found by the store */
};

int store_event_add(struct store *s, const struct event_row *row, struct err *err) MUST_CHECK;
void store_events(struct store *s, const char *message_id, struct cursor *ret_cursor);
int cursor_next_event(struct cursor *c, struct event_row *ret_row, struct err *err) MUST_CHECK;
/* Distinct reply ids with a terminal status for this message. */
int store_count_terminal_replies(struct store *s, const char *message_id, int64_t *ret_count,
                                 struct err *err) MUST_CHECK;

#endif
