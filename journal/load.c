/* From rows to an instance in memory. */
#include "journal/load_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "journal/sql_internal.h"

/* A name that the machine no longer has may have been renamed. -1: nobody knows it. */
static int renamed(struct db *db, const struct fsm_machine *m, const char *what, const char *old,
                   int (*by_name)(const struct fsm_machine *, const char *), int *ret_number,
                   struct err *err)
{
    sqlite3_stmt *q = NULL;
    int r;

    *ret_number = by_name(m, old);
    if (*ret_number >= 0)
        return 0;
    r = db_query(db, SQL_ALIAS, DB_ARGS(DB_T(m->name), DB_T(what), DB_T(old)), &q, err);
    if (r == 0)
        r = db_step(db, q, "read alias", err);
    if (r < 0)
        return r;
    if (r == 1) {
        *ret_number = by_name(m, db_column(q, 0));
        r = db_end(db, q, 0, "read alias", err);
        if (r < 0)
            return r;
    }
    if (*ret_number < 0)
        return err_set(err, ERR_NEWER, "%s: machine %s has no %s \"%s\" in this version", db->name,
                       m->name, what, old);
    return 0;
}

static int load_effects(struct db *db, struct fsm_instance *inst, struct err *err)
{
    static const char *const what = "read effects";
    sqlite3_stmt *q = NULL;
    int r = db_query(db, SQL_OPEN_EFFECTS, DB_ARGS(DB_T(inst->id)), &q, err);

    while (r == 0 && (r = db_step(db, q, what, err)) == 1) {
        int kind = -1;

        r = renamed(db, inst->machine, "effect", db_column(q, 1), fsm_effect_by_name, &kind, err);
        if (r < 0)
            break;
        if (inst->n_effects == inst->cap_effects) {
            size_t cap = inst->cap_effects == 0 ? 4 : inst->cap_effects * 2;
            struct fsm_effect *p = realloc(inst->effects, cap * sizeof(*p));

            if (p == NULL) {
                r = err_set(err, ERR_NOMEM, "out of memory");
                break;
            }
            inst->effects = p;
            inst->cap_effects = cap;
        }
        inst->effects[inst->n_effects++] = (struct fsm_effect){
            .id = db_column_i64(q, 0),
            .kind = (uint8_t)kind,
            .arg = db_column_i64(q, 2),
            .arg2 = db_column_i64(q, 3),
        };
    }
    if (r < 0)
        (void)sqlite3_reset(db->kept[SQL_OPEN_EFFECTS]); /* repeats what was told */
    return r;
}

static int load_row(struct db *db, sqlite3_stmt *row, struct fsm_instance *inst, struct err *err)
{
    int state = -1;
    int r = renamed(db, inst->machine, "state", db_column(row, INSTANCE_STATE), fsm_state_by_name,
                    &state, err);

    if (r < 0)
        return r;
    inst->state = (uint8_t)state;
    inst->n_transitions = db_column_i64(row, INSTANCE_N_TRANSITIONS);
    inst->created_unix_ms = db_column_i64(row, INSTANCE_CREATED);
    inst->updated_unix_ms = db_column_i64(row, INSTANCE_UPDATED);
    inst->deadline.boottime_ms = db_column_i64(row, INSTANCE_DEADLINE_BOOTTIME);
    inst->deadline.after_ms = db_column_i64(row, INSTANCE_DEADLINE_AFTER);
    if (!str_copy(inst->head, sizeof(inst->head), db_column(row, INSTANCE_HEAD)) ||
        !str_copy(inst->deadline.boot_id, sizeof(inst->deadline.boot_id),
                  db_column(row, INSTANCE_DEADLINE_BOOT_ID)))
        return err_set(err, ERR_CORRUPT, "%s: a column is too long", db->name);
    return load_effects(db, inst, err);
}

int load_instance(struct db *db, const struct tables *t, sqlite3_stmt *row,
                  struct fsm_instance *ret_inst, struct err *err)
{
    const char *machine = db_column(row, INSTANCE_MACHINE), *id = db_column(row, INSTANCE_ID);
    struct machine_table *mt = tables_find(t, machine);
    struct fsm_instance inst;
    int r;

    if (mt == NULL || !mt->is_there)
        return err_set(err, mt == NULL ? ERR_NEWER : ERR_CORRUPT,
                       "%s: instance %s: machine \"%s\" %s", db->name, id, machine,
                       mt == NULL ? "is not known to this version" : "has no table");
    r = tables_get(mt, db, id, &inst, err);
    if (r < 0)
        return r;
    r = load_row(db, row, &inst, err);
    if (r < 0) {
        fsm_instance_done(&inst);
        return err_wrap(err, "%s %s", machine, id);
    }
    *ret_inst = inst;
    return 0;
}

int load_reply(const struct db *db, sqlite3_stmt *row, struct journal_reply *ret_reply,
               struct err *err)
{
    struct journal_reply r = {.effect_id = db_column_i64(row, REPLY_EFFECT_ID)};
    const void *bytes = sqlite3_column_blob(row, REPLY_PAYLOAD);
    size_t n = (size_t)sqlite3_column_bytes(row, REPLY_PAYLOAD);

    if (!str_copy(r.reply_id, sizeof(r.reply_id), db_column(row, REPLY_ID)) ||
        !str_copy(r.message_id, sizeof(r.message_id), db_column(row, REPLY_MESSAGE_ID)) ||
        !str_copy(r.kind, sizeof(r.kind), db_column(row, REPLY_KIND)))
        return err_set(err, ERR_CORRUPT, "%s: reply of effect %lld: a column is too long", db->name,
                       (long long)r.effect_id);
    r.payload = malloc(n + 1);
    if (r.payload == NULL)
        return err_set(err, ERR_NOMEM, "reply of effect %lld: out of memory",
                       (long long)r.effect_id);
    if (n > 0)
        memcpy(r.payload, bytes, n);
    r.payload[n] = '\0';
    r.payload_len = n;
    *ret_reply = r;
    return 0;
}

int load_counts(struct db *db, struct journal_counts *ret_counts, struct err *err)
{
    struct journal_counts c = *ret_counts;
    const struct {
        int which;
        int64_t *value;
    } counts[] = {
        {SQL_COUNT_OPEN_INSTANCES, &c.n_open},       {SQL_COUNT_ENDED, &c.n_ended},
        {SQL_COUNT_UNREPORTED, &c.n_unreported},     {SQL_COUNT_LEDGER, &c.n_ledger},
        {SQL_COUNT_OPEN_EFFECTS, &c.n_open_effects},
    };
    size_t i;
    int r = 0;

    for (i = 0; i < ARRAY_LEN(counts) && r == 0; i++)
        r = db_number(db, counts[i].which, DB_NO_ARGS, 0, counts[i].value, err);
    if (r == 0)
        *ret_counts = c;
    return r;
}
