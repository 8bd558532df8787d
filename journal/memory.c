/* The journal in memory, for tests: the same answers as the SQLite one, from plain arrays.
 * Transitions themselves are not kept, since nothing of this interface reads them; heads are. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "journal/chain_internal.h"
#include "journal/memory_internal.h"

static const char *or_empty(const char *s)
{
    return s != NULL ? s : "";
}

/* ---- transactions ---- */

static int touch(struct journal *j, struct err *err)
{
    struct memory_journal *mj = memory_of(j);

    if (!mj->is_in_transaction || mj->has_failed)
        return err_set(err, ERR_STATE, "journal: %s",
                       mj->has_failed ? "an earlier write of this transaction failed"
                                      : "a write outside a transaction");
    if (!mj->has_begun && !memory_state_copy(&mj->working, &mj->committed)) {
        mj->has_failed = true;
        return memory_out_of_memory(err);
    }
    mj->has_begun = true;
    return 0;
}

static int note(struct journal *j, int r)
{
    if (r < 0)
        memory_of(j)->has_failed = true;
    return r;
}

static int begin(struct journal *j, struct err *err)
{
    if (memory_of(j)->is_in_transaction)
        return err_set(err, ERR_STATE, "journal: a transaction within a transaction");
    memory_of(j)->is_in_transaction = true;
    return 0;
}

static void rollback(struct journal *j)
{
    struct memory_journal *mj = memory_of(j);

    if (mj->has_begun)
        memory_state_done(&mj->working);
    mj->is_in_transaction = mj->has_begun = mj->has_failed = false;
}

static int commit(struct journal *j, struct err *err)
{
    struct memory_journal *mj = memory_of(j);
    size_t i;

    if (!mj->is_in_transaction || mj->has_failed)
        return err_set(err, ERR_STATE, "journal: %s",
                       mj->has_failed ? "an earlier write of this transaction failed"
                                      : "a commit outside a transaction");
    if (mj->has_begun) {
        for (i = 0; i < mj->working.tables[MEMORY_MESSAGES].n; i++) {
            const struct memory_row *m = mj->working.tables[MEMORY_MESSAGES].rows[i];

            if (memory_find_row(&mj->working, MEMORY_INSTANCES, m->instance_id) == NULL)
                return note(
                    j, err_set(err, ERR_STATE, "journal: message %s without its instance", m->id));
        }
        memory_state_done(&mj->committed);
        mj->committed = mj->working;
        mj->working = (struct memory_state){0};
        mj->n_commits++;
    }
    mj->is_in_transaction = mj->has_begun = false;
    return 0;
}

void journal_memory_crash(struct journal *j)
{
    rollback(j);
}

static void close_journal(struct journal *j)
{
    rollback(j);
    memory_state_done(&memory_of(j)->committed);
    free(memory_of(j));
}

/* ---- puts ---- */

static int add_row(struct journal *j, struct memory_row *row, struct err *err)
{
    if (row != NULL && memory_list_add(&memory_of(j)->working.tables[row->table], row))
        return 0;
    memory_row_unref(row);
    return memory_out_of_memory(err);
}

static int put_message(struct journal *j, const struct journal_message *m, struct err *err)
{
    struct memory_row *row;
    int r = touch(j, err);

    if (r == 0 && strlen(m->message_id) >= JOURNAL_MESSAGE_ID_SIZE)
        r = err_set(err, ERR_LIMIT, "message %.40s...: its id is longer than %d bytes",
                    m->message_id, JOURNAL_MESSAGE_ID_SIZE - 1);
    if (r < 0)
        return r;
    if (memory_find_row(memory_seen(j), MEMORY_MESSAGES, m->message_id) != NULL ||
        memory_find_of_instance(memory_seen(j), MEMORY_MESSAGES, m->instance_id) != NULL)
        return note(j, err_set(err, ERR_EXISTS, "message %s: exists", m->message_id));
    row = memory_row_new(MEMORY_MESSAGES, m->message_id);
    if (row != NULL) {
        (void)str_copy(row->instance_id, sizeof(row->instance_id), m->instance_id);
        row->bytes = memory_copy_bytes(m->payload, m->payload_len);
        row->n_bytes = m->payload_len;
        if (row->bytes == NULL) {
            memory_row_unref(row);
            row = NULL;
        }
    }
    return note(j, add_row(j, row, err));
}

static int put_instance(struct journal *j, struct fsm_instance *inst, struct err *err)
{
    char state_sha256[SHA256_HEX_SIZE], hash[SHA256_HEX_SIZE];
    struct memory_row *row;
    int r = touch(j, err);

    if (r < 0)
        return r;
    if (inst->n_transitions != 0 || fsm_is_terminal(inst))
        return note(
            j, err_set(err, ERR_STATE, "%s %s: has moved already", inst->machine->name, inst->id));
    if (memory_find_row(memory_seen(j), MEMORY_INSTANCES, inst->id) != NULL ||
        memory_find_row(memory_seen(j), MEMORY_LEDGER, inst->id) != NULL ||
        memory_find_row(memory_seen(j), MEMORY_REMEMBERED, inst->id) != NULL)
        return note(j, err_set(err, ERR_EXISTS, "%s %s: exists", inst->machine->name, inst->id));
    memcpy(inst->head, chain_zero, sizeof(inst->head));
    chain_extend(inst, inst->created_unix_ms, "created", "", "", state_sha256, hash);
    row = memory_row_new(MEMORY_INSTANCES, inst->id);
    if (row != NULL && !memory_copy_instance(&row->inst, inst)) {
        free(row);
        row = NULL;
    }
    if (row != NULL)
        memcpy(row->inst.head, hash, sizeof(hash));
    r = note(j, add_row(j, row, err));
    if (r == 0)
        memcpy(inst->head, hash, sizeof(hash));
    return r;
}

static int close_one(struct journal *j, int64_t effect_id, int64_t at_unix_ms, struct err *err)
{
    struct memory_row **at = memory_find_number(memory_seen(j), MEMORY_EFFECTS, effect_id), *row;

    if (at == NULL || (*at)->has_ended)
        return err_set(err, ERR_STATE, "close effect %" PRId64 ": it is not open", effect_id);
    row = memory_own_row(at);
    if (row == NULL)
        return memory_out_of_memory(err);
    row->has_ended = true;
    row->ended_unix_ms = at_unix_ms;
    at = memory_find_number(memory_seen(j), MEMORY_REPLIES, effect_id);
    if (at == NULL || (*at)->has_ended)
        return 0;
    row = memory_own_row(at);
    if (row == NULL)
        return memory_out_of_memory(err);
    row->has_ended = row->is_superseded = true;
    row->ended_unix_ms = at_unix_ms;
    return 0;
}

static int open_one(struct journal *j, const struct fsm_instance *inst,
                    const struct fsm_effect *effect, struct err *err)
{
    struct memory_row *row;

    if (memory_find_number(memory_seen(j), MEMORY_EFFECTS, effect->id) != NULL)
        return err_set(err, ERR_EXISTS, "effect %" PRId64 ": exists", effect->id);
    row = memory_row_new(MEMORY_EFFECTS, "");
    if (row != NULL) {
        row->effect = *effect;
        (void)str_copy(row->instance_id, sizeof(row->instance_id), inst->id); /* fits */
    }
    return add_row(j, row, err);
}

static void ledger_end(const struct memory_state *s, int64_t *ret_n, char ret_hash[SHA256_HEX_SIZE])
{
    const struct memory_list *l = &s->tables[MEMORY_LEDGER];

    *ret_n = l->n > 0 ? l->rows[l->n - 1]->n : s->n_cut;
    memcpy(ret_hash,
           l->n > 0     ? l->rows[l->n - 1]->hash
           : *ret_n > 0 ? s->cut_hash
                        : chain_zero,
           SHA256_HEX_SIZE);
}

static int put_ledger(struct journal *j, const struct fsm_instance *inst, const char *head,
                      int64_t at_unix_ms, struct err *err)
{
    struct memory_row **message =
                          memory_find_of_instance(memory_seen(j), MEMORY_MESSAGES, inst->id),
                      *row;
    char prev[SHA256_HEX_SIZE];
    struct chain_ledger chain = {
        .id = inst->id,
        .machine = inst->machine->name,
        .message_id = message != NULL ? (*message)->id : "",
        .state = fsm_state_name(inst),
        .status = fsm_status(inst),
        .created_unix_ms = inst->created_unix_ms,
        .ended_unix_ms = at_unix_ms,
        .n_transitions = inst->n_transitions,
        .head = head,
        .prev = prev,
    };
    size_t i;

    for (i = 0; i < memory_seen(j)->tables[MEMORY_EFFECTS].n; i++) {
        const struct memory_row *e = memory_seen(j)->tables[MEMORY_EFFECTS].rows[i];

        if (!e->has_ended && str_eq(e->instance_id, inst->id))
            return err_set(err, ERR_STATE, "ends with open effect %" PRId64, e->effect.id);
    }
    ledger_end(memory_seen(j), &chain.n, prev);
    chain.n++;
    row = memory_row_new(MEMORY_LEDGER, inst->id);
    if (row != NULL) {
        row->n = chain.n;
        row->ended_unix_ms = at_unix_ms;
        (void)str_copy(row->message_id, sizeof(row->message_id), chain.message_id); /* fits */
        chain_hash_ledger(&chain, row->hash);
    }
    return add_row(j, row, err);
}

static int move_instance(struct journal *j, const struct journal_transition *t, const char *hash,
                         struct err *err)
{
    struct memory_row **at = memory_find_row(memory_seen(j), MEMORY_INSTANCES, t->inst->id), *row;
    struct fsm_instance copy;

    if (at == NULL || (*at)->has_ended || (*at)->inst.n_transitions != t->inst->n_transitions - 1 ||
        !str_eq((*at)->inst.head, t->inst->head))
        return err_set(err, ERR_STATE, "transition %" PRId64 " does not follow what is stored",
                       t->inst->n_transitions);
    if (t->child_hi > t->inst->n_children)
        return err_set(err, ERR_STATE, "child %zu of %zu", t->child_hi, t->inst->n_children);
    row = memory_own_row(at);
    if (row == NULL || !memory_copy_instance(&copy, t->inst))
        return memory_out_of_memory(err);
    fsm_instance_done(&row->inst);
    row->inst = copy;
    memcpy(row->inst.head, hash, sizeof(row->inst.head));
    row->has_ended = fsm_is_terminal(t->inst);
    row->ended_unix_ms = row->has_ended ? t->at_unix_ms : 0;
    return 0;
}

static int put_transition(struct journal *j, const struct journal_transition *t, struct err *err)
{
    struct fsm_instance *inst = t->inst;
    char state_sha256[SHA256_HEX_SIZE], hash[SHA256_HEX_SIZE];
    size_t i;
    int r = touch(j, err);

    if (r < 0)
        return r;
    chain_extend(inst, t->at_unix_ms, t->event, t->from, or_empty(t->detail), state_sha256, hash);
    r = move_instance(j, t, hash, err);
    for (i = 0; i < t->n_closes && r == 0; i++)
        r = close_one(j, t->closes[i], t->at_unix_ms, err);
    for (i = 0; i < t->n_opens && r == 0; i++)
        r = open_one(j, inst, &t->opens[i], err);
    if (r == 0 && fsm_is_terminal(inst))
        r = put_ledger(j, inst, hash, t->at_unix_ms, err);
    if (r < 0)
        return note(j, err_wrap(err, "%s %s", inst->machine->name, inst->id));
    memcpy(inst->head, hash, sizeof(hash));
    return 0;
}

static int close_effects(struct journal *j, const int64_t *ids, size_t n, int64_t at_unix_ms,
                         struct err *err)
{
    size_t i;
    int r = n > 0 ? touch(j, err) : 0;

    for (i = 0; i < n && r == 0; i++)
        r = note(j, close_one(j, ids[i], at_unix_ms, err));
    return r;
}

static int put_reply(struct journal *j, const struct journal_reply *reply, int64_t at_unix_ms,
                     struct err *err)
{
    struct memory_row **effect, *row;
    size_t i;
    int r = touch(j, err);

    (void)at_unix_ms; /* nothing here reads when a reply was made */
    if (r < 0)
        return r;
    effect = memory_find_number(memory_seen(j), MEMORY_EFFECTS, reply->effect_id);
    if (effect == NULL)
        return note(j, err_set(err, ERR_STATE, "reply %s: effect %" PRId64 " is not in the journal",
                               reply->reply_id, reply->effect_id));
    for (i = 0; i < memory_seen(j)->tables[MEMORY_REPLIES].n; i++) {
        const struct memory_row *other = memory_seen(j)->tables[MEMORY_REPLIES].rows[i];

        if (other->effect.id == reply->effect_id || str_eq(other->reply.reply_id, reply->reply_id))
            return note(j, err_set(err, ERR_EXISTS, "reply %s: exists", reply->reply_id));
    }
    row = memory_row_new(MEMORY_REPLIES, "");
    if (row != NULL) {
        row->effect.id = reply->effect_id;
        memcpy(row->instance_id, (*effect)->instance_id, sizeof(row->instance_id));
        row->reply = *reply;
        row->reply.payload = memory_copy_bytes(reply->payload, reply->payload_len);
        if (row->reply.payload == NULL) {
            memory_row_unref(row);
            row = NULL;
        }
    }
    return note(j, add_row(j, row, err));
}

static int end_reply(struct journal *j, int64_t effect_id, enum journal_reply_end end,
                     const char *text, int64_t at_unix_ms, struct err *err)
{
    struct memory_row **at, *row;
    int r = touch(j, err);

    (void)text; /* nothing here reads it */
    if (r < 0)
        return r;
    at = memory_find_number(memory_seen(j), MEMORY_REPLIES, effect_id);
    if (at == NULL || ((*at)->has_ended && !(*at)->is_superseded))
        return note(
            j, err_set(err, ERR_STATE, "the reply of effect %" PRId64 " is not owed", effect_id));
    row = memory_own_row(at);
    if (row == NULL)
        return note(j, memory_out_of_memory(err));
    row->has_ended = true;
    row->is_superseded = end == JOURNAL_REPLY_SUPERSEDED;
    row->ended_unix_ms = at_unix_ms;
    return 0;
}

static int put_fact(struct journal *j, const char *key, const char *value, struct err *err)
{
    struct memory_row **at, *row;
    int r = touch(j, err);

    if (r < 0)
        return r;
    at = memory_find_row(memory_seen(j), MEMORY_FACTS, key);
    if (at != NULL)
        memory_list_remove(&memory_seen(j)->tables[MEMORY_FACTS],
                           (size_t)(at - memory_seen(j)->tables[MEMORY_FACTS].rows));
    if (value == NULL)
        return 0;
    row = memory_row_new(MEMORY_FACTS, key);
    if (row != NULL) {
        row->n_bytes = strlen(value);
        row->bytes = memory_copy_bytes(value, row->n_bytes);
        if (row->bytes == NULL) {
            memory_row_unref(row);
            row = NULL;
        }
    }
    return note(j, add_row(j, row, err));
}

static int put_attachment(struct journal *j, const char *instance_id, const char *name,
                          const char *bytes, size_t n, struct err *err)
{
    struct memory_row *row;
    int r = touch(j, err);

    if (r < 0)
        return r;
    if (memory_find_row(memory_seen(j), MEMORY_INSTANCES, instance_id) == NULL)
        return note(
            j, err_set(err, ERR_STATE, "attachment %s of %s: no such instance", name, instance_id));
    if (memory_find_attachment(memory_seen(j), instance_id, name) != NULL)
        return note(j, err_set(err, ERR_EXISTS, "attachment %s of %s: exists", name, instance_id));
    row = memory_row_new(MEMORY_ATTACHMENTS, name);
    if (row != NULL) {
        (void)str_copy(row->instance_id, sizeof(row->instance_id), instance_id);
        row->bytes = memory_copy_bytes(bytes, n);
        row->n_bytes = n;
        if (row->bytes == NULL) {
            memory_row_unref(row);
            row = NULL;
        }
    }
    return note(j, add_row(j, row, err));
}

/* ---- upkeep ---- */

static int revive(struct journal *j, struct err *err)
{
    (void)err; /* memory is always usable again */
    rollback(j);
    return 0;
}

static bool has_room(struct journal *j)
{
    (void)j;
    return true;
}

static int publish_head(struct journal *j, struct err *err)
{
    if (memory_of(j)->is_in_transaction)
        return err_set(err, ERR_STATE, "the ledger's head inside a transaction");
    return 0;
}

static const struct journal_ops memory_ops = {
    .begin = begin,
    .commit = commit,
    .rollback = rollback,
    .close = close_journal,
    .put_message = put_message,
    .put_instance = put_instance,
    .put_transition = put_transition,
    .close_effects = close_effects,
    .put_reply = put_reply,
    .end_reply = end_reply,
    .put_fact = put_fact,
    .put_attachment = put_attachment,
    .load = memory_load,
    .find = memory_find,
    .get_payload = memory_get_payload,
    .get_attachment = memory_get_attachment,
    .get_message_id = memory_get_message_id,
    .get_reply = memory_get_reply,
    .get_final_reply = memory_get_final_reply,
    .get_fact = memory_get_fact,
    .last_effect_id = memory_last_effect_id,
    .get_settled = memory_get_settled,
    .counts = memory_counts,
    .prune = memory_prune,
    .revive = revive,
    .has_room = has_room,
    .publish_head = publish_head,
};

int journal_open_memory(struct journal **ret_journal, struct err *err)
{
    struct memory_journal *mj = calloc(1, sizeof(*mj));

    if (mj == NULL)
        return memory_out_of_memory(err);
    mj->base.ops = &memory_ops;
    *ret_journal = &mj->base;
    return 0;
}
