/* What the journal's hashes cover, byte for byte. Both implementations write these hashes and the
 * reading half checks them, so that the format is in one place.
 *
 * A hash is SHA-256 over a first line that names the format, then one "name=<length>:<value>\n" per
 * value: lengths make it unambiguous without escapes. Of an instance's state the values that are 0
 * or "" are left out and the others are in order of their names: a column added by a later version
 * changes no hash that was written before it. Any thread. */
#ifndef SSMD_JOURNAL_CHAIN_INTERNAL_H
#define SSMD_JOURNAL_CHAIN_INTERNAL_H

#include "base/sha256.h"
#include "fsm/fsm.h"

#define CHAIN_MAX_FIELDS 96 /* columns of one machine's or one child's row */

/* The `prev` of a chain's first row. */
extern const char chain_zero[SHA256_HEX_SIZE];

struct chain_transition {
    const char *instance_id;
    int64_t n; /* 0 for the row that made the instance */
    int64_t at_unix_ms;
    const char *event, *from, *to, *detail;
    const char *state_sha256, *prev;
};
void chain_hash_transition(const struct chain_transition *t, char ret_hex[SHA256_HEX_SIZE]);

struct chain_ledger {
    int64_t n; /* from 1 */
    const char *id, *machine, *message_id, *state, *status;
    int64_t created_unix_ms, ended_unix_ms, n_transitions;
    const char *head, *prev;
};
void chain_hash_ledger(const struct chain_ledger *l, char ret_hex[SHA256_HEX_SIZE]);

/* The instance's own columns. */
struct chain_instance {
    const char *id, *machine, *state;
    int64_t version, n_transitions, created_unix_ms, updated_unix_ms;
    const char *deadline_boot_id;
    int64_t deadline_boottime_ms, deadline_after_ms;
};

struct chain_value {
    const char *name;
    const char *text; /* NULL: it is a number */
    int64_t number;
};

/* A state: begin, then the row of the machine's fields, then each child's row in order, then
 * sha256_end_hex(). chain_state_row sorts `values`. */
void chain_state_begin(struct sha256 *s, const struct chain_instance *i);
void chain_state_row(struct sha256 *s, struct chain_value *values, size_t n);
void chain_state_child(struct sha256 *s, int64_t n_child);

/* All of it for an instance in memory. Its machine has at most CHAIN_MAX_FIELDS fields. */
void chain_hash_state(const struct fsm_instance *inst, char ret_hex[SHA256_HEX_SIZE]);

/* The row for the transition that `inst` has just made (its newest), with its head as `prev`: fills
 * the state's hash and the row's own. */
void chain_extend(const struct fsm_instance *inst, int64_t at_unix_ms, const char *event,
                  const char *from, const char *detail, char ret_state[SHA256_HEX_SIZE],
                  char ret_hash[SHA256_HEX_SIZE]);

#endif
