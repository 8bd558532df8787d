/* What is written inside a transaction. */
#include <inttypes.h>
#include <string.h>

#include "base/str.h"
#include "journal/chain_internal.h"
#include "journal/sqlite_internal.h"

static const char *or_empty(const char *s)
{
    return s != NULL ? s : "";
}

int sqlite_put_message(struct journal *j, const struct journal_message *m, struct err *err)
{
    struct sqlite_journal *sj = sqlite_of(j);
    char sha256[SHA256_HEX_SIZE];
    int r = sqlite_touch(sj, err);

    if (r < 0)
        return r;
    if (strlen(m->message_id) >= JOURNAL_MESSAGE_ID_SIZE)
        return err_set(err, ERR_LIMIT, "message %.40s...: its id is longer than %d bytes",
                       m->message_id, JOURNAL_MESSAGE_ID_SIZE - 1);
    sha256_hex_of(m->payload, m->payload_len, sha256);
    r = db_run(&sj->db, SQL_PUT_MESSAGE,
               DB_ARGS(DB_T(m->message_id), DB_T(m->instance_id), DB_T(or_empty(m->channel)),
                       DB_T(or_empty(m->topic)), DB_T(or_empty(m->destination)),
                       DB_T(or_empty(m->created_date)), DB_I(m->received_unix_ms),
                       DB_B(m->payload, m->payload_len), DB_T(sha256)),
               NULL, err);
    return sqlite_note(sj, r < 0 ? err_wrap(err, "message %s", m->message_id) : 0);
}

/* ---- instances and their transitions ---- */

static int add_transition(struct sqlite_journal *sj, const struct fsm_instance *inst,
                          int64_t at_unix_ms, const char *event, const char *from,
                          const char *detail, const char *state_sha256, const char *hash,
                          struct err *err)
{
    return db_run(&sj->db, SQL_PUT_TRANSITION,
                  DB_ARGS(DB_T(inst->id), DB_I(inst->n_transitions), DB_I(at_unix_ms), DB_T(event),
                          DB_T(from), DB_T(fsm_state_name(inst)), DB_T(detail), DB_T(state_sha256),
                          DB_T(inst->head), DB_T(hash)),
                  NULL, err);
}

static int put_instance(struct sqlite_journal *sj, struct fsm_instance *inst, struct err *err)
{
    struct machine_table *mt = tables_find(&sj->tables, inst->machine->name);
    char state_sha256[SHA256_HEX_SIZE], hash[SHA256_HEX_SIZE];
    int64_t in_ledger = 0;
    int r;

    if (mt == NULL || inst->n_transitions != 0 || fsm_is_terminal(inst))
        return err_set(err, ERR_STATE, "%s",
                       mt == NULL ? "the journal has no such machine"
                                  : "has moved already; it is written when it is new");
    r = db_number(&sj->db, SQL_IN_LEDGER, DB_ARGS(DB_T(inst->id)), 0, &in_ledger, err);
    if (r == 0 && in_ledger == 0)
        r = remember_find(sj, REMEMBER_INSTANCE, inst->id, &in_ledger, err);
    if (r < 0)
        return r;
    if (in_ledger != 0)
        return err_set(err, ERR_EXISTS, "was done before (row %" PRId64 " of the ledger)",
                       in_ledger);
    memcpy(inst->head, chain_zero, sizeof(inst->head));
    chain_extend(inst, inst->created_unix_ms, "created", "", "", state_sha256, hash);
    r = db_run(&sj->db, SQL_PUT_INSTANCE,
               DB_ARGS(DB_T(inst->id), DB_T(inst->machine->name), DB_I(inst->machine->version),
                       DB_T(fsm_state_name(inst)), DB_I(inst->n_transitions), DB_T(hash),
                       DB_I(inst->created_unix_ms), DB_I(inst->updated_unix_ms),
                       DB_T(inst->deadline.boot_id), DB_I(inst->deadline.boottime_ms),
                       DB_I(inst->deadline.after_ms)),
               NULL, err);
    if (r == 0)
        r = tables_put(mt, &sj->db, inst, true, 0, inst->n_children, err);
    if (r == 0)
        r = add_transition(sj, inst, inst->created_unix_ms, "created", "", "", state_sha256, hash,
                           err);
    if (r == 0)
        memcpy(inst->head, hash, sizeof(hash));
    return r;
}

int sqlite_put_instance(struct journal *j, struct fsm_instance *inst, struct err *err)
{
    struct sqlite_journal *sj = sqlite_of(j);
    int r = sqlite_touch(sj, err);

    if (r == 0) {
        r = put_instance(sj, inst, err);
        if (r < 0)
            r = err_wrap(err, "%s %s", inst->machine->name, inst->id);
    }
    return sqlite_note(sj, r);
}

static int open_effects(struct sqlite_journal *sj, const struct journal_transition *t,
                        struct err *err)
{
    const struct fsm_machine *m = t->inst->machine;
    size_t i;
    int r = 0;

    for (i = 0; i < t->n_opens && r == 0; i++)
        r = db_run(&sj->db, SQL_OPEN_EFFECT,
                   DB_ARGS(DB_I(t->opens[i].id), DB_T(t->inst->id),
                           DB_T(m->effects[t->opens[i].kind].name), DB_I(t->opens[i].arg),
                           DB_I(t->opens[i].arg2), DB_I(t->at_unix_ms)),
                   NULL, err);
    return r;
}

/* A reply whose effect is closed is owed no longer: if nobody says how it ended (end_reply, before
 * or after), it was superseded. */
static int close_effects(struct sqlite_journal *sj, const int64_t *ids, size_t n,
                         int64_t at_unix_ms, struct err *err)
{
    int64_t n_changed = 0;
    size_t i;
    int r = 0;

    for (i = 0; i < n && r == 0; i++) {
        r = db_run(&sj->db, SQL_CLOSE_EFFECT, DB_ARGS(DB_I(ids[i]), DB_I(at_unix_ms)), &n_changed,
                   err);
        if (r == 0 && n_changed != 1)
            r = err_set(err, ERR_STATE, "%s: close effect %" PRId64 ": it is not open", sj->db.name,
                        ids[i]);
        if (r == 0)
            r = db_run(&sj->db, SQL_SUPERSEDE_REPLY, DB_ARGS(DB_I(ids[i]), DB_I(at_unix_ms)), NULL,
                       err);
    }
    return r;
}

/* The end of an instance: nothing is open, and the ledger has a row. */
static int put_ledger(struct sqlite_journal *sj, const struct fsm_instance *inst, const char *head,
                      int64_t at_unix_ms, struct err *err)
{
    char prev[SHA256_HEX_SIZE], hash[SHA256_HEX_SIZE], message_id[JOURNAL_MESSAGE_ID_SIZE];
    struct chain_ledger row = {
        .n = 1,
        .id = inst->id,
        .machine = inst->machine->name,
        .message_id = message_id,
        .state = fsm_state_name(inst),
        .status = fsm_status(inst),
        .created_unix_ms = inst->created_unix_ms,
        .ended_unix_ms = at_unix_ms,
        .n_transitions = inst->n_transitions,
        .head = head,
        .prev = prev,
    };
    int64_t n_open = 0;
    int r = db_number(&sj->db, SQL_N_OPEN_EFFECTS, DB_ARGS(DB_T(inst->id)), 0, &n_open, err);

    if (r == 0 && n_open != 0)
        r = err_set(err, ERR_STATE, "%s: ends with %" PRId64 " open effects", sj->db.name, n_open);
    if (r == 0)
        r = sqlite_get_message_id(&sj->base, inst->id, message_id, sizeof(message_id), err);
    if (r == ERR_NOT_FOUND) {
        message_id[0] = '\0'; /* it came from here, not from the service */
        r = 0;
    }
    if (r == 0)
        r = sqlite_ledger_end(sj, &row.n, prev, err);
    if (r < 0)
        return r;
    row.n++;
    chain_hash_ledger(&row, hash);
    return db_run(&sj->db, SQL_PUT_LEDGER,
                  DB_ARGS(DB_I(row.n), DB_T(row.id), DB_T(row.machine), DB_T(row.message_id),
                          DB_T(row.state), DB_T(row.status), DB_I(row.created_unix_ms),
                          DB_I(row.ended_unix_ms), DB_I(row.n_transitions), DB_T(row.head),
                          DB_T(row.prev), DB_T(hash)),
                  NULL, err);
}

static int move_instance(struct sqlite_journal *sj, const struct journal_transition *t,
                         const char *hash, struct err *err)
{
    const struct fsm_instance *inst = t->inst;
    int64_t n_changed = 0;
    int r = db_run(&sj->db, SQL_MOVE_INSTANCE,
                   DB_ARGS(DB_T(inst->id), DB_I(inst->machine->version), DB_T(fsm_state_name(inst)),
                           DB_I(inst->n_transitions), DB_T(hash), DB_I(inst->updated_unix_ms),
                           fsm_is_terminal(inst) ? DB_I(t->at_unix_ms) : DB_N,
                           DB_T(inst->deadline.boot_id), DB_I(inst->deadline.boottime_ms),
                           DB_I(inst->deadline.after_ms), DB_T(inst->head)),
                   &n_changed, err);

    if (r == 0 && n_changed != 1)
        r = err_set(err, ERR_STATE,
                    "%s: transition %" PRId64 " does not follow what is stored: not there, ended, "
                    "or another head",
                    sj->db.name, inst->n_transitions);
    return r;
}

static int put_transition(struct sqlite_journal *sj, const struct journal_transition *t,
                          struct err *err)
{
    struct fsm_instance *inst = t->inst;
    struct machine_table *mt = tables_find(&sj->tables, inst->machine->name);
    char state_sha256[SHA256_HEX_SIZE], hash[SHA256_HEX_SIZE];
    int r;

    if (mt == NULL)
        return err_set(err, ERR_STATE, "the journal has no such machine");
    chain_extend(inst, t->at_unix_ms, t->event, t->from, or_empty(t->detail), state_sha256, hash);
#ifdef SSMD_BREAK_CHAIN /* negative control: the audit must notice */
    memcpy(hash, inst->head, sizeof(hash));
#endif
    r = move_instance(sj, t, hash, err);
    if (r == 0)
        r = tables_put(mt, &sj->db, inst, false, t->child_lo, t->child_hi, err);
    if (r == 0)
        r = add_transition(sj, inst, t->at_unix_ms, t->event, t->from, or_empty(t->detail),
                           state_sha256, hash, err);
    if (r == 0)
        r = close_effects(sj, t->closes, t->n_closes, t->at_unix_ms, err);
    if (r == 0)
        r = open_effects(sj, t, err);
    if (r == 0 && fsm_is_terminal(inst))
        r = put_ledger(sj, inst, hash, t->at_unix_ms, err);
    if (r == 0)
        memcpy(inst->head, hash, sizeof(hash));
    return r;
}

int sqlite_put_transition(struct journal *j, const struct journal_transition *t, struct err *err)
{
    struct sqlite_journal *sj = sqlite_of(j);
    int r = sqlite_touch(sj, err);

    if (r == 0) {
        r = put_transition(sj, t, err);
        if (r < 0)
            r = err_wrap(err, "%s %s", t->inst->machine->name, t->inst->id);
    }
    return sqlite_note(sj, r);
}

int sqlite_close_effects(struct journal *j, const int64_t *ids, size_t n, int64_t at_unix_ms,
                         struct err *err)
{
    struct sqlite_journal *sj = sqlite_of(j);
    int r = n > 0 ? sqlite_touch(sj, err) : 0;

    return r < 0 || n == 0 ? r : sqlite_note(sj, close_effects(sj, ids, n, at_unix_ms, err));
}

/* ---- replies and facts ---- */

int sqlite_put_reply(struct journal *j, const struct journal_reply *reply, int64_t at_unix_ms,
                     struct err *err)
{
    struct sqlite_journal *sj = sqlite_of(j);
    int64_t n_changed = 0;
    int r = sqlite_touch(sj, err);

    if (r < 0)
        return r;
    r = db_run(&sj->db, SQL_PUT_REPLY,
               DB_ARGS(DB_I(reply->effect_id), DB_T(reply->reply_id), DB_T(reply->message_id),
                       DB_T(reply->kind), DB_B(reply->payload, reply->payload_len),
                       DB_I(at_unix_ms)),
               &n_changed, err);
    if (r == 0 && n_changed != 1)
        r = err_set(err, ERR_STATE, "%s: reply %s: effect %" PRId64 " is not in the journal",
                    sj->path, reply->reply_id, reply->effect_id);
    return sqlite_note(sj, r);
}

int sqlite_end_reply(struct journal *j, int64_t effect_id, enum journal_reply_end end,
                     const char *text, int64_t at_unix_ms, struct err *err)
{
    struct sqlite_journal *sj = sqlite_of(j);
    int64_t n_changed = 0;
    int r = sqlite_touch(sj, err);

    if (r < 0)
        return r;
    r = db_run(&sj->db, SQL_END_REPLY,
               DB_ARGS(DB_I(effect_id), DB_I(at_unix_ms), DB_T(journal_reply_end_name(end)),
                       DB_T(or_empty(text))),
               &n_changed, err);
    if (r == 0 && n_changed != 1)
        r = err_set(err, ERR_STATE, "%s: the reply of effect %" PRId64 " is not owed", sj->path,
                    effect_id);
    return sqlite_note(sj, r);
}

int sqlite_put_fact(struct journal *j, const char *key, const char *value, struct err *err)
{
    struct sqlite_journal *sj = sqlite_of(j);
    int r = sqlite_touch(sj, err);

    if (r < 0)
        return r;
    r = value != NULL ? db_run(&sj->db, SQL_PUT_FACT, DB_ARGS(DB_T(key), DB_T(value)), NULL, err)
                      : db_run(&sj->db, SQL_DROP_FACT, DB_ARGS(DB_T(key)), NULL, err);
    return sqlite_note(sj, r);
}

int sqlite_put_attachment(struct journal *j, const char *instance_id, const char *name,
                          const char *bytes, size_t n, struct err *err)
{
    struct sqlite_journal *sj = sqlite_of(j);
    int r = sqlite_touch(sj, err);

    if (r == 0)
        r = db_run(&sj->db, SQL_PUT_ATTACHMENT,
                   DB_ARGS(DB_T(instance_id), DB_T(name), DB_B(bytes, n)), NULL, err);
    return sqlite_note(sj, r < 0 ? err_wrap(err, "attachment %s of %s", name, instance_id) : 0);
}
