/* A decorator that fails calls by number. */
#include <inttypes.h>
#include <stdlib.h>

#include "journal/journal.h"

struct fault_journal {
    struct journal base;
    struct journal *inner;       /* borrowed */
    struct journal_fault *fault; /* borrowed */
};

static struct fault_journal *of(struct journal *j)
{
    return container_of(j, struct fault_journal, base);
}

/* Count a call; fail it when its time has come. */
static int count(struct journal *j, const char *call, struct err *err)
{
    struct journal_fault *f = of(j)->fault;
    int64_t n = ++f->n_calls;

    if (f->at > 0 && n >= f->at && (f->repeat < 0 || n < f->at + f->repeat))
        return err_set(err, f->code, "%s: call %" PRId64 " was made to fail", call, n);
    return 0;
}

#define INNER(j) (of(j)->inner)

static int fault_begin(struct journal *j, struct err *err)
{
    int r = count(j, "begin", err);

    return r < 0 ? r : INNER(j)->ops->begin(INNER(j), err);
}

static int fault_commit(struct journal *j, struct err *err)
{
    int r = count(j, "commit", err);

    return r < 0 ? r : INNER(j)->ops->commit(INNER(j), err);
}

static void fault_rollback(struct journal *j)
{
    INNER(j)->ops->rollback(INNER(j));
}

static void fault_close(struct journal *j)
{
    free(of(j));
}

static int put_message(struct journal *j, const struct journal_message *m, struct err *err)
{
    int r = count(j, "put_message", err);

    return r < 0 ? r : INNER(j)->ops->put_message(INNER(j), m, err);
}

static int put_instance(struct journal *j, struct fsm_instance *inst, struct err *err)
{
    int r = count(j, "put_instance", err);

    return r < 0 ? r : INNER(j)->ops->put_instance(INNER(j), inst, err);
}

static int put_transition(struct journal *j, const struct journal_transition *t, struct err *err)
{
    int r = count(j, "put_transition", err);

    return r < 0 ? r : INNER(j)->ops->put_transition(INNER(j), t, err);
}

static int close_effects(struct journal *j, const int64_t *ids, size_t n, int64_t at_unix_ms,
                         struct err *err)
{
    int r = count(j, "close_effects", err);

    return r < 0 ? r : INNER(j)->ops->close_effects(INNER(j), ids, n, at_unix_ms, err);
}

static int put_reply(struct journal *j, const struct journal_reply *reply, int64_t at_unix_ms,
                     struct err *err)
{
    int r = count(j, "put_reply", err);

    return r < 0 ? r : INNER(j)->ops->put_reply(INNER(j), reply, at_unix_ms, err);
}

static int end_reply(struct journal *j, int64_t effect_id, enum journal_reply_end end,
                     const char *text, int64_t at_unix_ms, struct err *err)
{
    int r = count(j, "end_reply", err);

    return r < 0 ? r : INNER(j)->ops->end_reply(INNER(j), effect_id, end, text, at_unix_ms, err);
}

static int put_fact(struct journal *j, const char *key, const char *value, struct err *err)
{
    int r = count(j, "put_fact", err);

    return r < 0 ? r : INNER(j)->ops->put_fact(INNER(j), key, value, err);
}

static int put_attachment(struct journal *j, const char *instance_id, const char *name,
                          const char *bytes, size_t n, struct err *err)
{
    int r = count(j, "put_attachment", err);

    return r < 0 ? r : INNER(j)->ops->put_attachment(INNER(j), instance_id, name, bytes, n, err);
}

static int revive(struct journal *j, struct err *err)
{
    struct journal_fault *f = of(j)->fault;

    if (f->at > 0 && f->n_calls >= f->at) {
        int r = count(j, "revive", err);

        if (r < 0)
            return r;
    }
    return INNER(j)->ops->revive(INNER(j), err);
}

/* ---- passed on as they are ---- */

static int load(struct journal *j,
                int (*each)(void *ctx, struct fsm_instance *inst, struct err *err), void *ctx,
                struct err *err)
{
    return INNER(j)->ops->load(INNER(j), each, ctx, err);
}

static int find(struct journal *j, const char *message_id, const char *instance_id,
                enum journal_known *ret_known, struct err *err)
{
    return INNER(j)->ops->find(INNER(j), message_id, instance_id, ret_known, err);
}

static int get_payload(struct journal *j, const char *instance_id, struct buf *ret_payload,
                       struct err *err)
{
    return INNER(j)->ops->get_payload(INNER(j), instance_id, ret_payload, err);
}

static int get_attachment(struct journal *j, const char *instance_id, const char *name,
                          struct buf *ret_bytes, struct err *err)
{
    return INNER(j)->ops->get_attachment(INNER(j), instance_id, name, ret_bytes, err);
}

static int get_message_id(struct journal *j, const char *instance_id, char *ret_message_id,
                          size_t size, struct err *err)
{
    return INNER(j)->ops->get_message_id(INNER(j), instance_id, ret_message_id, size, err);
}

static int get_reply(struct journal *j, int64_t effect_id, struct journal_reply *ret_reply,
                     struct err *err)
{
    return INNER(j)->ops->get_reply(INNER(j), effect_id, ret_reply, err);
}

static int get_final_reply(struct journal *j, const char *instance_id,
                           struct journal_reply *ret_reply, struct err *err)
{
    return INNER(j)->ops->get_final_reply(INNER(j), instance_id, ret_reply, err);
}

static int get_fact(struct journal *j, const char *key, struct buf *ret_value, struct err *err)
{
    return INNER(j)->ops->get_fact(INNER(j), key, ret_value, err);
}

static int last_effect_id(struct journal *j, int64_t *ret_id, struct err *err)
{
    return INNER(j)->ops->last_effect_id(INNER(j), ret_id, err);
}

static int counts(struct journal *j, struct journal_counts *ret_counts, struct err *err)
{
    return INNER(j)->ops->counts(INNER(j), ret_counts, err);
}

static int get_settled(struct journal *j, const char *instance_id, int64_t *ret_n, struct err *err)
{
    return INNER(j)->ops->get_settled(INNER(j), instance_id, ret_n, err);
}

static int prune(struct journal *j, const struct journal_retention *r, int64_t job_dirs_bytes,
                 int64_t now_unix_ms, void (*removed)(void *ctx, const char *instance_id),
                 void *ctx, struct err *err)
{
    return INNER(j)->ops->prune(INNER(j), r, job_dirs_bytes, now_unix_ms, removed, ctx, err);
}

static int publish_head(struct journal *j, struct err *err)
{
    return INNER(j)->ops->publish_head(INNER(j), err);
}

static bool has_room(struct journal *j)
{
    return !of(j)->fault->has_no_room && INNER(j)->ops->has_room(INNER(j));
}

static const struct journal_ops fault_ops = {
    .begin = fault_begin,
    .commit = fault_commit,
    .rollback = fault_rollback,
    .close = fault_close,
    .put_message = put_message,
    .put_instance = put_instance,
    .put_transition = put_transition,
    .close_effects = close_effects,
    .put_reply = put_reply,
    .end_reply = end_reply,
    .put_fact = put_fact,
    .put_attachment = put_attachment,
    .load = load,
    .find = find,
    .get_payload = get_payload,
    .get_attachment = get_attachment,
    .get_message_id = get_message_id,
    .get_reply = get_reply,
    .get_final_reply = get_final_reply,
    .get_fact = get_fact,
    .last_effect_id = last_effect_id,
    .get_settled = get_settled,
    .counts = counts,
    .prune = prune,
    .revive = revive,
    .has_room = has_room,
    .publish_head = publish_head,
};

int journal_open_fault(struct journal *inner, struct journal_fault *fault,
                       struct journal **ret_journal, struct err *err)
{
    struct fault_journal *fj = calloc(1, sizeof(*fj));

    if (fj == NULL)
        return err_set(err, ERR_NOMEM, "journal: out of memory");
    fj->base.ops = &fault_ops;
    fj->inner = inner;
    fj->fault = fault;
    *ret_journal = &fj->base;
    return 0;
}
