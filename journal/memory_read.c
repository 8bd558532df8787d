/* What is read from the journal in memory, and what retention removes from it. */
#include <inttypes.h>
#include <string.h>

#include "base/str.h"
#include "fsm/command.h"
#include "fsm/upload.h"
#include "journal/chain_internal.h"
#include "journal/memory_internal.h"

static int attach_effects(struct journal *j, struct fsm_instance *inst)
{
    const struct memory_list *l = &memory_seen(j)->tables[MEMORY_EFFECTS];
    struct fsm_out out = {0};
    size_t i;

    for (i = 0; i < l->n; i++) {
        const struct memory_row *e = l->rows[i];
        struct fsm_out one = {.opens = &l->rows[i]->effect, .n_opens = 1};

        if (!e->has_ended && str_eq(e->instance_id, inst->id)) {
            out = one;
            if (fsm_adopt(inst, &out) < 0)
                return ERR_NOMEM;
        }
    }
    return 0;
}

/* The next open instance from number *index on, where it is counted on; NULL at the end. */
static const struct memory_row *next_open(const struct memory_list *l, size_t *index)
{
    while (*index < l->n)
        if (!l->rows[(*index)++]->has_ended)
            return l->rows[*index - 1];
    return NULL;
}

int memory_load(struct journal *j,
                int (*each)(void *ctx, struct fsm_instance *inst, struct err *err), void *ctx,
                struct err *err)
{
    const struct memory_list *l = &memory_seen(j)->tables[MEMORY_INSTANCES];
    const struct memory_row *row;
    size_t index = 0;

    while ((row = next_open(l, &index)) != NULL) {
        struct fsm_instance inst;
        int r;

        if (!memory_copy_instance(&inst, &row->inst))
            return memory_out_of_memory(err);
        if (attach_effects(j, &inst) < 0) {
            fsm_instance_done(&inst);
            return memory_out_of_memory(err);
        }
        r = each(ctx, &inst, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* In the ledger, or among what was cut from it. */
static bool is_message_in(const struct memory_list *l, const char *message_id)
{
    size_t i;

    for (i = 0; i < l->n; i++)
        if (str_eq(l->rows[i]->message_id, message_id))
            return true;
    return false;
}

int memory_find(struct journal *j, const char *message_id, const char *instance_id,
                enum journal_known *ret_known, struct err *err)
{
    const struct memory_state *s = memory_seen(j);
    struct memory_row **message = memory_find_row(s, MEMORY_MESSAGES, message_id), **at;

    (void)err; /* memory cannot fail to be read */
    at = memory_find_row(s, MEMORY_INSTANCES,
                         message != NULL ? (*message)->instance_id : instance_id);
    if (message == NULL && message_id != NULL &&
        (is_message_in(&s->tables[MEMORY_LEDGER], message_id) ||
         is_message_in(&s->tables[MEMORY_REMEMBERED], message_id))) {
        *ret_known = JOURNAL_LEDGERED;
        return 0;
    }
    if (at != NULL)
        *ret_known = (*at)->has_ended ? JOURNAL_ENDED : JOURNAL_OPEN;
    else
        *ret_known = memory_find_row(s, MEMORY_LEDGER, instance_id) != NULL ||
                             memory_find_row(s, MEMORY_REMEMBERED, instance_id) != NULL
                         ? JOURNAL_LEDGERED
                         : JOURNAL_UNKNOWN;
    return 0;
}

int memory_get_payload(struct journal *j, const char *instance_id, struct buf *ret_payload,
                       struct err *err)
{
    struct memory_row **at = memory_find_of_instance(memory_seen(j), MEMORY_MESSAGES, instance_id);

    if (at == NULL)
        return err_set(err, ERR_NOT_FOUND, "no message of %s", instance_id);
    (void)buf_add(ret_payload, (*at)->bytes, (*at)->n_bytes); /* buf_error() tells */
    return buf_error(ret_payload, "read message", err);
}

struct memory_row **memory_find_attachment(const struct memory_state *s, const char *instance_id,
                                           const char *name)
{
    const struct memory_list *l = &s->tables[MEMORY_ATTACHMENTS];
    size_t i;

    for (i = 0; i < l->n; i++)
        if (str_eq(l->rows[i]->instance_id, instance_id) && str_eq(l->rows[i]->id, name))
            return &l->rows[i];
    return NULL;
}

int memory_get_attachment(struct journal *j, const char *instance_id, const char *name,
                          struct buf *ret_bytes, struct err *err)
{
    struct memory_row **at = memory_find_attachment(memory_seen(j), instance_id, name);

    if (at == NULL)
        return err_set(err, ERR_NOT_FOUND, "%s has no attachment \"%s\"", instance_id, name);
    (void)buf_add(ret_bytes, (*at)->bytes, (*at)->n_bytes); /* buf_error() tells */
    return buf_error(ret_bytes, "read attachment", err);
}

int memory_get_message_id(struct journal *j, const char *instance_id, char *ret_message_id,
                          size_t size, struct err *err)
{
    struct memory_row **at = memory_find_of_instance(memory_seen(j), MEMORY_MESSAGES, instance_id);

    if (at == NULL)
        return err_set(err, ERR_NOT_FOUND, "no message of %s", instance_id);
    if (!str_copy(ret_message_id, size, (*at)->id))
        return err_set(err, ERR_LIMIT, "message id of %s: longer than %zu bytes", instance_id,
                       size - 1);
    return 0;
}

static int copy_reply(struct memory_row *const *at, struct journal_reply *ret_reply,
                      struct err *err)
{
    struct journal_reply r;

    if (at == NULL)
        return err_set(err, ERR_NOT_FOUND, "no such reply");
    r = (*at)->reply;
    r.payload = memory_copy_bytes((*at)->reply.payload, r.payload_len);
    if (r.payload == NULL)
        return memory_out_of_memory(err);
    *ret_reply = r;
    return 0;
}

int memory_get_reply(struct journal *j, int64_t effect_id, struct journal_reply *ret_reply,
                     struct err *err)
{
    return copy_reply(memory_find_number(memory_seen(j), MEMORY_REPLIES, effect_id), ret_reply,
                      err);
}

int memory_get_final_reply(struct journal *j, const char *instance_id,
                           struct journal_reply *ret_reply, struct err *err)
{
    const struct memory_list *l = &memory_seen(j)->tables[MEMORY_REPLIES];
    struct memory_row **best = NULL;
    size_t i;

    for (i = 0; i < l->n; i++)
        if (str_eq(l->rows[i]->instance_id, instance_id) &&
            str_eq(l->rows[i]->reply.kind, "final") &&
            (best == NULL || l->rows[i]->effect.id > (*best)->effect.id))
            best = &l->rows[i];
    return copy_reply(best, ret_reply, err);
}

int memory_get_fact(struct journal *j, const char *key, struct buf *ret_value, struct err *err)
{
    struct memory_row **at = memory_find_row(memory_seen(j), MEMORY_FACTS, key);

    if (at == NULL)
        return err_set(err, ERR_NOT_FOUND, "no fact \"%s\"", key);
    (void)buf_add(ret_value, (*at)->bytes, (*at)->n_bytes); /* buf_error() tells */
    return buf_error(ret_value, key, err);
}

int memory_last_effect_id(struct journal *j, int64_t *ret_id, struct err *err)
{
    const struct memory_list *l = &memory_seen(j)->tables[MEMORY_EFFECTS];
    int64_t last = memory_seen(j)->effect_floor;
    size_t i;

    (void)err; /* memory cannot fail to be read */
    for (i = 0; i < l->n; i++)
        if (l->rows[i]->effect.id > last)
            last = l->rows[i]->effect.id;
    *ret_id = last;
    return 0;
}

static bool owes_reply(const struct memory_state *s, const char *instance_id)
{
    size_t i;

    for (i = 0; i < s->tables[MEMORY_REPLIES].n; i++)
        if (!s->tables[MEMORY_REPLIES].rows[i]->has_ended &&
            str_eq(s->tables[MEMORY_REPLIES].rows[i]->instance_id, instance_id))
            return true;
    return false;
}

/* What the rows weigh, more or less. */
static int64_t weigh(const struct memory_state *s)
{
    int64_t n = 0;
    size_t t, i;

    for (t = 0; t < MEMORY_N_TABLES; t++)
        for (i = 0; i < s->tables[t].n; i++)
            n += (int64_t)(sizeof(struct memory_row) + s->tables[t].rows[i]->n_bytes +
                           s->tables[t].rows[i]->reply.payload_len);
    return n;
}

int memory_counts(struct journal *j, struct journal_counts *ret_counts, struct err *err)
{
    const struct memory_state *s = memory_seen(j);
    struct journal_counts c = {.n_commits = memory_of(j)->n_commits,
                               .has_reserve = true,
                               .n_ledger = (int64_t)s->tables[MEMORY_LEDGER].n,
                               .ledger_end = s->n_cut + (int64_t)s->tables[MEMORY_LEDGER].n,
                               .size_bytes = weigh(s)};
    size_t i;

    (void)err; /* memory cannot fail to be read */
    for (i = 0; i < s->tables[MEMORY_INSTANCES].n; i++) {
        const struct memory_row *row = s->tables[MEMORY_INSTANCES].rows[i];

        c.n_open += row->has_ended ? 0 : 1;
        c.n_ended += row->has_ended ? 1 : 0;
        c.n_unreported += owes_reply(s, row->id) ? 1 : 0;
    }
    for (i = 0; i < s->tables[MEMORY_EFFECTS].n; i++)
        c.n_open_effects += s->tables[MEMORY_EFFECTS].rows[i]->has_ended ? 0 : 1;
    *ret_counts = c;
    return 0;
}

/* ---- upkeep ---- */

static bool is_part(const struct memory_state *s, const char *id)
{
    const char *whole = command_parent_id(id);

    return whole != NULL && memory_find_row(s, MEMORY_INSTANCES, whole) != NULL;
}

/* Its output is still on its way (fsm/upload.h). */
static bool has_open_upload(const struct memory_state *s, const char *id)
{
    const struct memory_list *l = &s->tables[MEMORY_INSTANCES];
    char prefix[FSM_ID_SIZE + sizeof(UPLOAD_ID_PREFIX)];
    size_t i;

    (void)snprintf(prefix, sizeof(prefix), UPLOAD_ID_PREFIX "%s.", id); /* fits */
    for (i = 0; i < l->n; i++)
        if (!l->rows[i]->has_ended && str_has_prefix(l->rows[i]->id, prefix))
            return true;
    return false;
}

static bool is_settled(const struct memory_state *s, const char *id)
{
    struct memory_row **row = memory_find_row(s, MEMORY_INSTANCES, id);

    return row != NULL && (*row)->has_ended && !owes_reply(s, id) && !has_open_upload(s, id);
}

int memory_get_settled(struct journal *j, const char *instance_id, int64_t *ret_n, struct err *err)
{
    const struct memory_state *s = memory_seen(j);
    struct memory_row **row = memory_find_row(s, MEMORY_LEDGER, instance_id);

    (void)err; /* memory cannot fail to be read */
    *ret_n = row != NULL && is_settled(s, instance_id) ? (*row)->n : 0;
    return 0;
}

/* The first in the ledger, up to this row of it. */
static struct memory_row *oldest_prunable(const struct memory_state *s, int64_t upto)
{
    const struct memory_list *l = &s->tables[MEMORY_LEDGER];
    size_t i;

    for (i = 0; i < l->n && l->rows[i]->n <= upto; i++)
        if (is_settled(s, l->rows[i]->id) && !is_part(s, l->rows[i]->id))
            return *memory_find_row(s, MEMORY_INSTANCES, l->rows[i]->id);
    return NULL;
}

static void forget(struct memory_state *s, const char *id)
{
    static const enum memory_table of_instance[] = {MEMORY_MESSAGES, MEMORY_EFFECTS, MEMORY_REPLIES,
                                                    MEMORY_ATTACHMENTS};
    size_t t, i;

    for (t = 0; t < ARRAY_LEN(of_instance); t++) {
        struct memory_list *l = &s->tables[of_instance[t]];

        for (i = l->n; i > 0; i--)
            if (str_eq(l->rows[i - 1]->instance_id, id))
                memory_list_remove(l, i - 1);
    }
    for (i = s->tables[MEMORY_INSTANCES].n; i > 0; i--)
        if (str_eq(s->tables[MEMORY_INSTANCES].rows[i - 1]->id, id))
            memory_list_remove(&s->tables[MEMORY_INSTANCES], i - 1);
}

/* Rows that are old, and those that are too many, of which the ids stay. */
static int cut_ledger(struct memory_state *s, const struct journal_retention *r, struct err *err)
{
    struct memory_list *l = &s->tables[MEMORY_LEDGER], *ids = &s->tables[MEMORY_REMEMBERED];

    while (l->n > 0 && memory_find_row(s, MEMORY_INSTANCES, l->rows[0]->id) == NULL) {
        bool is_old = l->rows[0]->n <= r->ledger_old_upto;

        if (!is_old && (r->ledger_max_rows == 0 || (int64_t)l->n <= r->ledger_max_rows))
            break;
        if (!is_old && !memory_list_add(ids, l->rows[0]))
            return memory_out_of_memory(err);
        l->rows[0]->refs += is_old ? 0 : 1;
        s->n_cut = l->rows[0]->n;
        memcpy(s->cut_hash, l->rows[0]->hash, sizeof(s->cut_hash));
        memory_list_remove(l, 0);
    }
    while (ids->n > 0 && ids->rows[0]->n <= r->ledger_old_upto)
        memory_list_remove(ids, 0);
    return 0;
}

int memory_prune(struct journal *j, const struct journal_retention *r, int64_t job_dirs_bytes,
                 int64_t now_unix_ms, void (*removed)(void *ctx, const char *instance_id),
                 void *ctx, struct err *err)
{
    struct memory_state *s = &memory_of(j)->committed;
    int64_t limit = r->max_jobs_per_call > 0 ? r->max_jobs_per_call : INT64_MAX, n = 0;
    struct memory_row *row;
    int rc;

    if (memory_of(j)->is_in_transaction)
        return err_set(err, ERR_STATE, "retention: inside a transaction");
    rc = memory_last_effect_id(j, &s->effect_floor, err);
    for (; rc == 0 && n < limit; n++) {
        int64_t upto = r->old_upto;
        char id[FSM_ID_SIZE];

        if (r->max_bytes > 0 && weigh(s) + job_dirs_bytes > r->max_bytes)
            upto = INT64_MAX;
        row = oldest_prunable(s, upto);
        if (row == NULL)
            break;
        if (r->job_bytes != NULL) /* its directory goes with it */
            job_dirs_bytes -= r->job_bytes(ctx, row->id);
        else if (s->tables[MEMORY_INSTANCES].n > 0)
            job_dirs_bytes -= job_dirs_bytes / (int64_t)s->tables[MEMORY_INSTANCES].n;
        (void)str_copy(id, sizeof(id), row->id); /* fits: it is an instance's */
        forget(s, id);
        if (removed != NULL)
            removed(ctx, id);
    }
    (void)now_unix_ms; /* its checkpoint has no time */
    return rc == 0 ? cut_ledger(s, r, err) : rc;
}
