/* The journal in memory, for tests: the same answers as the SQLite one, from plain arrays.
 *
 * Rows are never changed once another state may see them: a transaction works on a copy of the
 * lists of rows, and replaces the rows that it changes. What is committed is therefore what a crash
 * leaves. Transitions themselves are not kept, since nothing of this interface reads them; heads
 * are. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "journal/chain_internal.h"
#include "journal/journal.h"

enum table { INSTANCES, MESSAGES, EFFECTS, REPLIES, LEDGER, FACTS, N_TABLES };

struct row {
    enum table table;
    int refs;
    char id[208];                  /* instance, message, ledger's instance, or the fact's key */
    char instance_id[FSM_ID_SIZE]; /* of a message, an effect, a reply */
    struct fsm_instance inst;      /* of an instance, without its effects; owned */
    struct fsm_effect effect;
    struct journal_reply reply; /* payload owned */
    char *bytes;                /* owned: payload, or the fact's value */
    size_t n_bytes;
    int64_t ended_unix_ms; /* of an instance, a reply, a ledger row; closing time of an effect */
    bool has_ended;
    bool is_superseded;         /* a reply that ended because its effect was closed */
    char message_id[256];       /* of a ledger row */
    char hash[SHA256_HEX_SIZE]; /* of a ledger row */
    int64_t n;                  /* of a ledger row */
};

struct list {
    struct row **rows; /* owned; the rows are shared */
    size_t n, cap;
};

struct state {
    struct list tables[N_TABLES];
    int64_t effect_floor;
    int64_t n_cut; /* the ledger's checkpoint */
    char cut_hash[SHA256_HEX_SIZE];
};

struct memory_journal {
    struct journal base;
    struct state committed, working; /* working is in use while has_begun */
    bool is_in_transaction, has_begun, has_failed;
    int64_t n_commits;
};

static struct memory_journal *of(struct journal *j)
{
    return container_of(j, struct memory_journal, base);
}

static struct state *seen(struct journal *j)
{
    return of(j)->has_begun ? &of(j)->working : &of(j)->committed;
}

static const char *or_empty(const char *s)
{
    return s != NULL ? s : "";
}

/* ---- rows and lists ---- */

static void row_unref(struct row *row)
{
    if (row == NULL || --row->refs > 0)
        return;
    if (row->table == INSTANCES)
        fsm_instance_done(&row->inst);
    free(row->reply.payload);
    free(row->bytes);
    free(row);
}

static struct row *row_new(enum table table, const char *id)
{
    struct row *row = calloc(1, sizeof(*row));

    if (row == NULL || !str_copy(row->id, sizeof(row->id), id)) {
        free(row);
        return NULL;
    }
    row->table = table;
    row->refs = 1;
    return row;
}

static bool list_add(struct list *l, struct row *row)
{
    if (l->n == l->cap) {
        size_t cap = l->cap == 0 ? 8 : l->cap * 2;
        struct row **p = realloc(l->rows, cap * sizeof(struct row *));

        if (p == NULL)
            return false;
        l->rows = p;
        l->cap = cap;
    }
    l->rows[l->n++] = row;
    return true;
}

static void list_remove(struct list *l, size_t i)
{
    row_unref(l->rows[i]);
    l->n--;
    memmove(&l->rows[i], &l->rows[i + 1], (l->n - i) * sizeof(struct row *));
}

static void state_done(struct state *s)
{
    size_t t, i;

    for (t = 0; t < N_TABLES; t++) {
        for (i = 0; i < s->tables[t].n; i++)
            row_unref(s->tables[t].rows[i]);
        free(s->tables[t].rows);
    }
    *s = (struct state){0};
}

static bool state_copy(struct state *dst, const struct state *src)
{
    size_t t, i;

    *dst = *src;
    memset(dst->tables, 0, sizeof(dst->tables));
    for (t = 0; t < N_TABLES; t++) {
        for (i = 0; i < src->tables[t].n; i++) {
            if (!list_add(&dst->tables[t], src->tables[t].rows[i])) {
                state_done(dst);
                return false;
            }
            src->tables[t].rows[i]->refs++;
        }
    }
    return true;
}

static struct row **find_row(const struct state *s, enum table table, const char *id)
{
    size_t i;

    for (i = 0; id != NULL && i < s->tables[table].n; i++)
        if (str_eq(s->tables[table].rows[i]->id, id))
            return &s->tables[table].rows[i];
    return NULL;
}

static struct row **find_of_instance(const struct state *s, enum table table, const char *id)
{
    size_t i;

    for (i = 0; i < s->tables[table].n; i++)
        if (str_eq(s->tables[table].rows[i]->instance_id, id))
            return &s->tables[table].rows[i];
    return NULL;
}

static struct row **find_number(const struct state *s, enum table table, int64_t effect_id)
{
    size_t i;

    for (i = 0; i < s->tables[table].n; i++)
        if (s->tables[table].rows[i]->effect.id == effect_id)
            return &s->tables[table].rows[i];
    return NULL;
}

/* ---- copies ---- */

static bool copy_instance(struct fsm_instance *dst, const struct fsm_instance *src)
{
    struct fsm_instance copy;

    if (fsm_instance_init(&copy, src->machine, src->id, src->n_children, src->created_unix_ms,
                          NULL) < 0)
        return false;
    memcpy(copy.data, src->data, src->machine->data_size);
    if (src->n_children > 0)
        memcpy(copy.children, src->children, src->n_children * src->machine->child_size);
    copy.state = src->state;
    copy.n_transitions = src->n_transitions;
    copy.updated_unix_ms = src->updated_unix_ms;
    copy.deadline = src->deadline;
    memcpy(copy.head, src->head, sizeof(copy.head));
    *dst = copy;
    return true;
}

static char *copy_bytes(const char *bytes, size_t n)
{
    char *p = malloc(n + 1);

    if (p == NULL)
        return NULL;
    if (n > 0)
        memcpy(p, bytes, n);
    p[n] = '\0';
    return p;
}

/* Make the row in *at safe to change: one that a committed state shares is replaced by a copy. */
static struct row *own(struct row **at)
{
    struct row *old = *at, *row;

    if (old->refs == 1)
        return old;
    row = malloc(sizeof(*row));
    if (row == NULL)
        return NULL;
    *row = *old;
    row->refs = 1;
    if ((old->table == INSTANCES && !copy_instance(&row->inst, &old->inst)) ||
        (old->reply.payload != NULL &&
         (row->reply.payload = copy_bytes(old->reply.payload, old->reply.payload_len)) == NULL) ||
        (old->bytes != NULL && (row->bytes = copy_bytes(old->bytes, old->n_bytes)) == NULL)) {
        free(row); /* a row is of one table: only one of the three was tried */
        return NULL;
    }
    old->refs--;
    *at = row;
    return row;
}

/* ---- transactions ---- */

static int out_of_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "journal: out of memory");
}

static int touch(struct journal *j, struct err *err)
{
    struct memory_journal *mj = of(j);

    if (!mj->is_in_transaction || mj->has_failed)
        return err_set(err, ERR_STATE, "journal: %s",
                       mj->has_failed ? "an earlier write of this transaction failed"
                                      : "a write outside a transaction");
    if (!mj->has_begun && !state_copy(&mj->working, &mj->committed)) {
        mj->has_failed = true;
        return out_of_memory(err);
    }
    mj->has_begun = true;
    return 0;
}

static int note(struct journal *j, int r)
{
    if (r < 0)
        of(j)->has_failed = true;
    return r;
}

static int begin(struct journal *j, struct err *err)
{
    if (of(j)->is_in_transaction)
        return err_set(err, ERR_STATE, "journal: a transaction within a transaction");
    of(j)->is_in_transaction = true;
    return 0;
}

static void rollback(struct journal *j)
{
    struct memory_journal *mj = of(j);

    if (mj->has_begun)
        state_done(&mj->working);
    mj->is_in_transaction = mj->has_begun = mj->has_failed = false;
}

static int commit(struct journal *j, struct err *err)
{
    struct memory_journal *mj = of(j);
    size_t i;

    if (!mj->is_in_transaction || mj->has_failed)
        return err_set(err, ERR_STATE, "journal: %s",
                       mj->has_failed ? "an earlier write of this transaction failed"
                                      : "a commit outside a transaction");
    if (mj->has_begun) {
        for (i = 0; i < mj->working.tables[MESSAGES].n; i++) {
            const struct row *m = mj->working.tables[MESSAGES].rows[i];

            if (find_row(&mj->working, INSTANCES, m->instance_id) == NULL)
                return note(
                    j, err_set(err, ERR_STATE, "journal: message %s without its instance", m->id));
        }
        state_done(&mj->committed);
        mj->committed = mj->working;
        mj->working = (struct state){0};
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
    state_done(&of(j)->committed);
    free(of(j));
}

/* ---- puts ---- */

static int add_row(struct journal *j, struct row *row, struct err *err)
{
    if (row != NULL && list_add(&of(j)->working.tables[row->table], row))
        return 0;
    row_unref(row);
    return out_of_memory(err);
}

static int put_message(struct journal *j, const struct journal_message *m, struct err *err)
{
    struct row *row;
    int r = touch(j, err);

    if (r < 0)
        return r;
    if (find_row(seen(j), MESSAGES, m->message_id) != NULL ||
        find_of_instance(seen(j), MESSAGES, m->instance_id) != NULL)
        return note(j, err_set(err, ERR_EXISTS, "message %s: exists", m->message_id));
    row = row_new(MESSAGES, m->message_id);
    if (row != NULL) {
        (void)str_copy(row->instance_id, sizeof(row->instance_id), m->instance_id);
        row->bytes = copy_bytes(m->payload, m->payload_len);
        row->n_bytes = m->payload_len;
        if (row->bytes == NULL) {
            row_unref(row);
            row = NULL;
        }
    }
    return note(j, add_row(j, row, err));
}

static int put_instance(struct journal *j, struct fsm_instance *inst, struct err *err)
{
    char state_sha256[SHA256_HEX_SIZE], hash[SHA256_HEX_SIZE];
    struct row *row;
    int r = touch(j, err);

    if (r < 0)
        return r;
    if (inst->n_transitions != 0 || fsm_is_terminal(inst))
        return note(
            j, err_set(err, ERR_STATE, "%s %s: has moved already", inst->machine->name, inst->id));
    if (find_row(seen(j), INSTANCES, inst->id) != NULL ||
        find_row(seen(j), LEDGER, inst->id) != NULL)
        return note(j, err_set(err, ERR_EXISTS, "%s %s: exists", inst->machine->name, inst->id));
    memcpy(inst->head, chain_zero, sizeof(inst->head));
    chain_extend(inst, inst->created_unix_ms, "created", "", "", state_sha256, hash);
    row = row_new(INSTANCES, inst->id);
    if (row != NULL && !copy_instance(&row->inst, inst)) {
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
    struct row **at = find_number(seen(j), EFFECTS, effect_id), *row;

    if (at == NULL || (*at)->has_ended)
        return err_set(err, ERR_STATE, "close effect %" PRId64 ": it is not open", effect_id);
    row = own(at);
    if (row == NULL)
        return out_of_memory(err);
    row->has_ended = true;
    row->ended_unix_ms = at_unix_ms;
    at = find_number(seen(j), REPLIES, effect_id);
    if (at == NULL || (*at)->has_ended)
        return 0;
    row = own(at);
    if (row == NULL)
        return out_of_memory(err);
    row->has_ended = row->is_superseded = true;
    row->ended_unix_ms = at_unix_ms;
    return 0;
}

static int open_one(struct journal *j, const struct fsm_instance *inst,
                    const struct fsm_effect *effect, struct err *err)
{
    struct row *row;

    if (find_number(seen(j), EFFECTS, effect->id) != NULL)
        return err_set(err, ERR_EXISTS, "effect %" PRId64 ": exists", effect->id);
    row = row_new(EFFECTS, "");
    if (row != NULL) {
        row->effect = *effect;
        (void)str_copy(row->instance_id, sizeof(row->instance_id), inst->id); /* fits */
    }
    return add_row(j, row, err);
}

static void ledger_end(const struct state *s, int64_t *ret_n, char ret_hash[SHA256_HEX_SIZE])
{
    const struct list *l = &s->tables[LEDGER];

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
    struct row **message = find_of_instance(seen(j), MESSAGES, inst->id), *row;
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

    for (i = 0; i < seen(j)->tables[EFFECTS].n; i++) {
        const struct row *e = seen(j)->tables[EFFECTS].rows[i];

        if (!e->has_ended && str_eq(e->instance_id, inst->id))
            return err_set(err, ERR_STATE, "ends with open effect %" PRId64, e->effect.id);
    }
    ledger_end(seen(j), &chain.n, prev);
    chain.n++;
    row = row_new(LEDGER, inst->id);
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
    struct row **at = find_row(seen(j), INSTANCES, t->inst->id), *row;
    struct fsm_instance copy;

    if (at == NULL || (*at)->has_ended || (*at)->inst.n_transitions != t->inst->n_transitions - 1 ||
        !str_eq((*at)->inst.head, t->inst->head))
        return err_set(err, ERR_STATE, "transition %" PRId64 " does not follow what is stored",
                       t->inst->n_transitions);
    if (t->child_hi > t->inst->n_children)
        return err_set(err, ERR_STATE, "child %zu of %zu", t->child_hi, t->inst->n_children);
    row = own(at);
    if (row == NULL || !copy_instance(&copy, t->inst))
        return out_of_memory(err);
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
    struct row **effect, *row;
    size_t i;
    int r = touch(j, err);

    (void)at_unix_ms; /* nothing here reads when a reply was made */
    if (r < 0)
        return r;
    effect = find_number(seen(j), EFFECTS, reply->effect_id);
    if (effect == NULL)
        return note(j, err_set(err, ERR_STATE, "reply %s: effect %" PRId64 " is not in the journal",
                               reply->reply_id, reply->effect_id));
    for (i = 0; i < seen(j)->tables[REPLIES].n; i++) {
        const struct row *other = seen(j)->tables[REPLIES].rows[i];

        if (other->effect.id == reply->effect_id || str_eq(other->reply.reply_id, reply->reply_id))
            return note(j, err_set(err, ERR_EXISTS, "reply %s: exists", reply->reply_id));
    }
    row = row_new(REPLIES, "");
    if (row != NULL) {
        row->effect.id = reply->effect_id;
        memcpy(row->instance_id, (*effect)->instance_id, sizeof(row->instance_id));
        row->reply = *reply;
        row->reply.payload = copy_bytes(reply->payload, reply->payload_len);
        if (row->reply.payload == NULL) {
            row_unref(row);
            row = NULL;
        }
    }
    return note(j, add_row(j, row, err));
}

static int end_reply(struct journal *j, int64_t effect_id, enum journal_reply_end end,
                     const char *text, int64_t at_unix_ms, struct err *err)
{
    struct row **at, *row;
    int r = touch(j, err);

    (void)text; /* nothing here reads it */
    if (r < 0)
        return r;
    at = find_number(seen(j), REPLIES, effect_id);
    if (at == NULL || ((*at)->has_ended && !(*at)->is_superseded))
        return note(
            j, err_set(err, ERR_STATE, "the reply of effect %" PRId64 " is not owed", effect_id));
    row = own(at);
    if (row == NULL)
        return note(j, out_of_memory(err));
    row->has_ended = true;
    row->is_superseded = end == JOURNAL_REPLY_SUPERSEDED;
    row->ended_unix_ms = at_unix_ms;
    return 0;
}

static int put_fact(struct journal *j, const char *key, const char *value, struct err *err)
{
    struct row **at, *row;
    int r = touch(j, err);

    if (r < 0)
        return r;
    at = find_row(seen(j), FACTS, key);
    if (at != NULL)
        list_remove(&seen(j)->tables[FACTS], (size_t)(at - seen(j)->tables[FACTS].rows));
    if (value == NULL)
        return 0;
    row = row_new(FACTS, key);
    if (row != NULL) {
        row->n_bytes = strlen(value);
        row->bytes = copy_bytes(value, row->n_bytes);
        if (row->bytes == NULL) {
            row_unref(row);
            row = NULL;
        }
    }
    return note(j, add_row(j, row, err));
}

/* ---- reads ---- */

static int attach_effects(struct journal *j, struct fsm_instance *inst)
{
    const struct list *l = &seen(j)->tables[EFFECTS];
    struct fsm_out out = {0};
    size_t i;

    for (i = 0; i < l->n; i++) {
        const struct row *e = l->rows[i];
        struct fsm_out one = {.opens = &l->rows[i]->effect, .n_opens = 1};

        if (!e->has_ended && str_eq(e->instance_id, inst->id)) {
            out = one;
            if (fsm_adopt(inst, &out) < 0)
                return ERR_NOMEM;
        }
    }
    return 0;
}

/* The oldest open instance that comes after (created, index) of the one given; NULL at the end. */
static const struct row *next_open(const struct list *l, const struct row *after, size_t *index)
{
    const struct row *best = NULL;
    size_t i, best_i = 0;

    for (i = 0; i < l->n; i++) {
        const struct row *row = l->rows[i];
        int64_t at = row->inst.created_unix_ms;

        if (row->has_ended ||
            (after != NULL && (at < after->inst.created_unix_ms ||
                               (at == after->inst.created_unix_ms && i <= *index))))
            continue;
        if (best == NULL || at < best->inst.created_unix_ms) {
            best = row;
            best_i = i;
        }
    }
    *index = best_i;
    return best;
}

static int load(struct journal *j,
                int (*each)(void *ctx, struct fsm_instance *inst, struct err *err), void *ctx,
                struct err *err)
{
    const struct list *l = &seen(j)->tables[INSTANCES];
    const struct row *row = NULL;
    size_t index = 0;

    while ((row = next_open(l, row, &index)) != NULL) {
        struct fsm_instance inst;
        int r;

        if (!copy_instance(&inst, &row->inst))
            return out_of_memory(err);
        if (attach_effects(j, &inst) < 0) {
            fsm_instance_done(&inst);
            return out_of_memory(err);
        }
        r = each(ctx, &inst, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int find(struct journal *j, const char *message_id, const char *instance_id,
                enum journal_known *ret_known, struct err *err)
{
    const struct state *s = seen(j);
    struct row **message = find_row(s, MESSAGES, message_id), **at;
    size_t i;

    (void)err; /* memory cannot fail to be read */
    at = find_row(s, INSTANCES, message != NULL ? (*message)->instance_id : instance_id);
    for (i = 0; message == NULL && message_id != NULL && i < s->tables[LEDGER].n; i++) {
        if (str_eq(s->tables[LEDGER].rows[i]->message_id, message_id)) {
            *ret_known = JOURNAL_LEDGERED;
            return 0;
        }
    }
    if (at != NULL)
        *ret_known = (*at)->has_ended ? JOURNAL_ENDED : JOURNAL_OPEN;
    else
        *ret_known = find_row(s, LEDGER, instance_id) != NULL ? JOURNAL_LEDGERED : JOURNAL_UNKNOWN;
    return 0;
}

static int get_payload(struct journal *j, const char *instance_id, struct buf *ret_payload,
                       struct err *err)
{
    struct row **at = find_of_instance(seen(j), MESSAGES, instance_id);

    if (at == NULL)
        return err_set(err, ERR_NOT_FOUND, "no message of %s", instance_id);
    (void)buf_add(ret_payload, (*at)->bytes, (*at)->n_bytes); /* buf_error() tells */
    return buf_error(ret_payload, "read message", err);
}

static int get_message_id(struct journal *j, const char *instance_id, char *ret_message_id,
                          size_t size, struct err *err)
{
    struct row **at = find_of_instance(seen(j), MESSAGES, instance_id);

    if (at == NULL)
        return err_set(err, ERR_NOT_FOUND, "no message of %s", instance_id);
    if (!str_copy(ret_message_id, size, (*at)->id))
        return err_set(err, ERR_LIMIT, "message id of %s: longer than %zu bytes", instance_id,
                       size - 1);
    return 0;
}

static int copy_reply(struct row *const *at, struct journal_reply *ret_reply, struct err *err)
{
    struct journal_reply r;

    if (at == NULL)
        return err_set(err, ERR_NOT_FOUND, "no such reply");
    r = (*at)->reply;
    r.payload = copy_bytes((*at)->reply.payload, r.payload_len);
    if (r.payload == NULL)
        return out_of_memory(err);
    *ret_reply = r;
    return 0;
}

static int get_reply(struct journal *j, int64_t effect_id, struct journal_reply *ret_reply,
                     struct err *err)
{
    return copy_reply(find_number(seen(j), REPLIES, effect_id), ret_reply, err);
}

static int get_final_reply(struct journal *j, const char *instance_id,
                           struct journal_reply *ret_reply, struct err *err)
{
    const struct list *l = &seen(j)->tables[REPLIES];
    struct row **best = NULL;
    size_t i;

    for (i = 0; i < l->n; i++)
        if (str_eq(l->rows[i]->instance_id, instance_id) &&
            str_eq(l->rows[i]->reply.kind, "final") &&
            (best == NULL || l->rows[i]->effect.id > (*best)->effect.id))
            best = &l->rows[i];
    return copy_reply(best, ret_reply, err);
}

static int get_fact(struct journal *j, const char *key, struct buf *ret_value, struct err *err)
{
    struct row **at = find_row(seen(j), FACTS, key);

    if (at == NULL)
        return err_set(err, ERR_NOT_FOUND, "no fact \"%s\"", key);
    (void)buf_add(ret_value, (*at)->bytes, (*at)->n_bytes); /* buf_error() tells */
    return buf_error(ret_value, key, err);
}

static int last_effect_id(struct journal *j, int64_t *ret_id, struct err *err)
{
    const struct list *l = &seen(j)->tables[EFFECTS];
    int64_t last = seen(j)->effect_floor;
    size_t i;

    (void)err; /* memory cannot fail to be read */
    for (i = 0; i < l->n; i++)
        if (l->rows[i]->effect.id > last)
            last = l->rows[i]->effect.id;
    *ret_id = last;
    return 0;
}

static bool owes_reply(const struct state *s, const char *instance_id)
{
    size_t i;

    for (i = 0; i < s->tables[REPLIES].n; i++)
        if (!s->tables[REPLIES].rows[i]->has_ended &&
            str_eq(s->tables[REPLIES].rows[i]->instance_id, instance_id))
            return true;
    return false;
}

/* What the rows weigh, more or less. */
static int64_t weigh(const struct state *s)
{
    int64_t n = 0;
    size_t t, i;

    for (t = 0; t < N_TABLES; t++)
        for (i = 0; i < s->tables[t].n; i++)
            n += (int64_t)(sizeof(struct row) + s->tables[t].rows[i]->n_bytes +
                           s->tables[t].rows[i]->reply.payload_len);
    return n;
}

static int counts(struct journal *j, struct journal_counts *ret_counts, struct err *err)
{
    const struct state *s = seen(j);
    struct journal_counts c = {.n_commits = of(j)->n_commits,
                               .has_reserve = true,
                               .n_ledger = (int64_t)s->tables[LEDGER].n,
                               .size_bytes = weigh(s)};
    size_t i;

    (void)err; /* memory cannot fail to be read */
    for (i = 0; i < s->tables[INSTANCES].n; i++) {
        const struct row *row = s->tables[INSTANCES].rows[i];

        c.n_open += row->has_ended ? 0 : 1;
        c.n_ended += row->has_ended ? 1 : 0;
        c.n_unreported += owes_reply(s, row->id) ? 1 : 0;
    }
    for (i = 0; i < s->tables[EFFECTS].n; i++)
        c.n_open_effects += s->tables[EFFECTS].rows[i]->has_ended ? 0 : 1;
    *ret_counts = c;
    return 0;
}

/* ---- upkeep ---- */

static struct row *oldest_prunable(const struct state *s, int64_t cutoff)
{
    struct row *best = NULL;
    size_t i;

    for (i = 0; i < s->tables[INSTANCES].n; i++) {
        struct row *row = s->tables[INSTANCES].rows[i];

        if (row->has_ended && row->ended_unix_ms < cutoff && !owes_reply(s, row->id) &&
            (best == NULL || row->ended_unix_ms < best->ended_unix_ms))
            best = row;
    }
    return best;
}

static void forget(struct state *s, const char *id)
{
    static const enum table of_instance[] = {MESSAGES, EFFECTS, REPLIES};
    size_t t, i;

    for (t = 0; t < ARRAY_LEN(of_instance); t++) {
        struct list *l = &s->tables[of_instance[t]];

        for (i = l->n; i > 0; i--)
            if (str_eq(l->rows[i - 1]->instance_id, id))
                list_remove(l, i - 1);
    }
    for (i = s->tables[INSTANCES].n; i > 0; i--)
        if (str_eq(s->tables[INSTANCES].rows[i - 1]->id, id))
            list_remove(&s->tables[INSTANCES], i - 1);
}

static void cut_ledger(struct state *s, int64_t cutoff)
{
    struct list *l = &s->tables[LEDGER];

    while (l->n > 0 && l->rows[0]->ended_unix_ms < cutoff &&
           find_row(s, INSTANCES, l->rows[0]->id) == NULL) {
        s->n_cut = l->rows[0]->n;
        memcpy(s->cut_hash, l->rows[0]->hash, sizeof(s->cut_hash));
        list_remove(l, 0);
    }
}

static int prune(struct journal *j, const struct journal_retention *r, int64_t job_dirs_bytes,
                 int64_t now_unix_ms, void (*removed)(void *ctx, const char *instance_id),
                 void *ctx, struct err *err)
{
    struct state *s = &of(j)->committed;
    int64_t limit = r->max_jobs_per_call > 0 ? r->max_jobs_per_call : INT64_MAX, n = 0;
    struct row *row;
    int rc;

    if (of(j)->is_in_transaction)
        return err_set(err, ERR_STATE, "retention: inside a transaction");
    rc = last_effect_id(j, &s->effect_floor, err);
    for (; rc == 0 && n < limit; n++) {
        int64_t cutoff = r->max_age_ms > 0 ? now_unix_ms - r->max_age_ms : INT64_MIN;
        char id[FSM_ID_SIZE];

        if (r->max_bytes > 0 && weigh(s) + job_dirs_bytes > r->max_bytes)
            cutoff = INT64_MAX;
        row = oldest_prunable(s, cutoff);
        if (row == NULL)
            break;
        if (s->tables[INSTANCES].n > 0) /* its directory goes with it: an average one */
            job_dirs_bytes -= job_dirs_bytes / (int64_t)s->tables[INSTANCES].n;
        (void)str_copy(id, sizeof(id), row->id); /* fits: it is an instance's */
        forget(s, id);
        if (removed != NULL)
            removed(ctx, id);
    }
    if (rc == 0 && r->ledger_max_age_ms > 0)
        cut_ledger(s, now_unix_ms - r->ledger_max_age_ms);
    return rc;
}

static int revive(struct journal *j, struct err *err)
{
    (void)err; /* memory is always usable again */
    rollback(j);
    return 0;
}

static int publish_head(struct journal *j, struct err *err)
{
    if (of(j)->is_in_transaction)
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
    .load = load,
    .find = find,
    .get_payload = get_payload,
    .get_message_id = get_message_id,
    .get_reply = get_reply,
    .get_final_reply = get_final_reply,
    .get_fact = get_fact,
    .last_effect_id = last_effect_id,
    .counts = counts,
    .prune = prune,
    .revive = revive,
    .publish_head = publish_head,
};

int journal_open_memory(struct journal **ret_journal, struct err *err)
{
    struct memory_journal *mj = calloc(1, sizeof(*mj));

    if (mj == NULL)
        return out_of_memory(err);
    mj->base.ops = &memory_ops;
    *ret_journal = &mj->base;
    return 0;
}
