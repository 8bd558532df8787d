/* SQL made from field tables. Names that come into it are checked once, in tables_init. */
#include "journal/tables_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "journal/chain_internal.h"

#define MAX_SQL_BYTES 65536

/* ---- which machines ---- */

static bool is_column_name(const char *s)
{
    return s[0] != '\0' && strlen(s) < 48 &&
           s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

static int check_fields(const struct fsm_machine *m, const struct fsm_field *fields, size_t n,
                        struct err *err)
{
    size_t i;

    if (n > CHAIN_MAX_FIELDS)
        return err_set(err, ERR_STATE, "machine %s: %zu fields, the journal keeps at most %d",
                       m->name, n, CHAIN_MAX_FIELDS);
    for (i = 0; i < n; i++)
        if (!is_column_name(fields[i].name) || str_eq(fields[i].name, "instance_id") ||
            str_eq(fields[i].name, "n") ||
            (fields[i].type == FSM_I64 && fields[i].size != sizeof(int64_t)))
            return err_set(err, ERR_STATE, "machine %s: field \"%s\" cannot be a column", m->name,
                           fields[i].name);
    return 0;
}

static int check_machine(const struct fsm_machine *m, struct err *err)
{
    static const char *const taken[] = {"meta",  "machine",    "instance",  "transition", "effect",
                                        "inbox", "outbox",     "ledger",    "checkpoint", "fact",
                                        "alias", "attachment", "remembered"};
    size_t i;
    int r;

    for (i = 0; i < ARRAY_LEN(taken); i++)
        if (str_eq(m->name, taken[i]) || str_eq(m->child_name, taken[i]))
            break;
    if (i < ARRAY_LEN(taken) || !is_column_name(m->name) || str_has_prefix(m->name, "sqlite_") ||
        (m->child_name != NULL &&
         (!is_column_name(m->child_name) || str_has_prefix(m->child_name, "sqlite_"))))
        return err_set(err, ERR_STATE, "machine %s: its name or its child's cannot be a table",
                       m->name);
    r = check_fields(m, m->fields, m->n_fields, err);
    return r < 0 || m->child_name == NULL
               ? r
               : check_fields(m, m->child_fields, m->n_child_fields, err);
}

int tables_init(struct tables *t, const struct fsm_machine *const *machines, struct err *err)
{
    size_t n = 0, i;
    int r = 0;

    *t = (struct tables){0};
    while (machines[n] != NULL)
        n++;
    t->items = calloc(n > 0 ? n : 1, sizeof(*t->items));
    if (t->items == NULL)
        return err_set(err, ERR_NOMEM, "journal: out of memory");
    for (i = 0; i < n && r == 0; i++) {
        if (machines[i]->is_elsewhere)
            continue;
        t->items[t->n++].m = machines[i];
        r = check_machine(machines[i], err);
    }
    if (r < 0)
        tables_done(t);
    return r;
}

void tables_done(struct tables *t)
{
    size_t i;

    for (i = 0; i < t->n; i++) {
        struct machine_table *mt = &t->items[i];

        (void)sqlite3_finalize(mt->put); /* these repeat errors that were told */
        (void)sqlite3_finalize(mt->move);
        (void)sqlite3_finalize(mt->get);
        (void)sqlite3_finalize(mt->child_put);
        (void)sqlite3_finalize(mt->child_get);
        (void)sqlite3_finalize(mt->child_forget);
    }
    free(t->items);
    *t = (struct tables){0};
}

struct machine_table *tables_find(const struct tables *t, const char *machine)
{
    size_t i;

    for (i = 0; i < t->n; i++)
        if (str_eq(t->items[i].m->name, machine))
            return &t->items[i];
    return NULL;
}

/* ---- columns that are there ---- */

/* Is there such a column (or, with column NULL, such a table)? */
static int has_column(struct db *db, const char *table, const char *column, bool *ret_has,
                      struct err *err)
{
    static const char *const what = "read schema";
    AUTO(sqlite3_finalize) sqlite3_stmt *q = NULL;
    int r = db_prepare(db, "SELECT 1 FROM pragma_table_info(?1) WHERE ?2 IS NULL OR name = ?2", &q,
                       err);

    if (r == 0)
        r = db_bind(db, q, what, DB_ARGS(DB_T(table), column != NULL ? DB_T(column) : DB_N), err);
    if (r == 0)
        r = db_step(db, q, what, err);
    if (r < 0)
        return r;
    *ret_has = r == 1;
    return 0;
}

int tables_has(struct db *db, const char *table, bool *ret_has, struct err *err)
{
    *ret_has = false;
    return is_column_name(table) ? has_column(db, table, NULL, ret_has, err) : 0;
}

static const char *column_type(const struct fsm_field *f)
{
    return f->type == FSM_I64 ? "INTEGER NOT NULL DEFAULT 0" : "TEXT NOT NULL DEFAULT ''";
}

static int exec_buf(struct db *db, const struct buf *sql, struct err *err)
{
    int r = buf_error(sql, "SQL", err);

    return r < 0 ? r : db_exec(db, buf_str(sql), err);
}

static int make_table(struct db *db, const char *name, bool is_child,
                      const struct fsm_field *fields, size_t n, struct err *err)
{
    AUTO(buf_done) struct buf sql = {0};
    size_t i;

    buf_init(&sql, MAX_SQL_BYTES);
    (void)buf_printf(&sql, /* buf_error() tells */
                     "CREATE TABLE \"%s\"(instance_id TEXT NOT NULL REFERENCES instance(id) ON "
                     "DELETE CASCADE, %s",
                     name, is_child ? "n INTEGER NOT NULL, " : "");
    for (i = 0; i < n; i++)
        (void)buf_printf(&sql, "\"%s\" %s, ", fields[i].name, column_type(&fields[i]));
    (void)buf_printf(&sql, "PRIMARY KEY(instance_id%s)) STRICT", is_child ? ", n" : "");
    return exec_buf(db, &sql, err);
}

static int extend_table(struct db *db, const char *name, bool is_child,
                        const struct fsm_field *fields, size_t n, struct err *err)
{
    bool has = false;
    size_t i;
    int r = has_column(db, name, NULL, &has, err);

    if (r < 0)
        return r;
    if (!has)
        return make_table(db, name, is_child, fields, n, err);
    for (i = 0; i < n; i++) {
        AUTO(buf_done) struct buf sql = {0};

        buf_init(&sql, MAX_SQL_BYTES);
        r = has_column(db, name, fields[i].name, &has, err);
        if (r < 0)
            return r;
        if (has)
            continue;
        (void)buf_printf(&sql, "ALTER TABLE \"%s\" ADD COLUMN \"%s\" %s", name, fields[i].name,
                         column_type(&fields[i])); /* buf_error() tells */
        r = exec_buf(db, &sql, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The row of table `machine` tells readers that do not know the machine where its children are. */
static int note_machine(struct db *db, const struct fsm_machine *m, struct err *err)
{
    static const char *const what = "write machine";
    AUTO(sqlite3_finalize) sqlite3_stmt *q = NULL;
    int r = db_prepare(db,
                       "INSERT INTO machine(name, version, child) VALUES(?1, ?2, ?3) "
                       "ON CONFLICT(name) DO UPDATE SET version = excluded.version, child = "
                       "excluded.child WHERE version < excluded.version OR child <> excluded.child",
                       &q, err);

    if (r == 0)
        r = db_bind(db, q, what,
                    DB_ARGS(DB_T(m->name), DB_I(m->version),
                            DB_T(m->child_name != NULL ? m->child_name : "")),
                    err);
    return r == 0 ? db_step(db, q, what, err) : r;
}

int tables_migrate(struct tables *t, struct db *db, struct err *err)
{
    size_t i;
    int r = 0;

    for (i = 0; i < t->n && r == 0; i++) {
        const struct fsm_machine *m = t->items[i].m;

        r = extend_table(db, m->name, false, m->fields, m->n_fields, err);
        if (r == 0 && m->child_name != NULL)
            r = extend_table(db, m->child_name, true, m->child_fields, m->n_child_fields, err);
        if (r == 0)
            r = note_machine(db, m, err);
        if (r < 0)
            return err_wrap(err, "machine %s", m->name);
        t->items[i].is_there = true;
    }
    return r;
}

int tables_look(struct tables *t, struct db *db, struct err *err)
{
    size_t i;
    int r = 0;

    for (i = 0; i < t->n && r == 0; i++)
        r = has_column(db, t->items[i].m->name, NULL, &t->items[i].is_there, err);
    return r;
}

/* ---- writing ---- */

static int bind_fields(struct db *db, sqlite3_stmt *q, const char *what, const char *id,
                       int64_t n_child, const struct fsm_field *fields, size_t n, const void *base,
                       struct err *err)
{
    struct db_arg args[CHAIN_MAX_FIELDS + 2];
    size_t k = 0, i;

    args[k++] = DB_T(id);
    if (n_child >= 0)
        args[k++] = DB_I(n_child);
    for (i = 0; i < n; i++)
        args[k++] = fields[i].type == FSM_I64 ? DB_I(fsm_field_i64(&fields[i], base))
                                              : DB_T(fsm_field_text(&fields[i], base));
    return db_bind(db, q, what, args, k, err);
}

static int prepare_put(struct db *db, const char *table, bool is_child,
                       const struct fsm_field *fields, size_t n, sqlite3_stmt **ret_q,
                       struct err *err)
{
    AUTO(buf_done) struct buf sql = {0};
    size_t i;
    int r;

    if (*ret_q != NULL)
        return 0;
    buf_init(&sql, MAX_SQL_BYTES);
    (void)buf_printf(&sql, "INSERT INTO \"%s\"(instance_id%s", table, is_child ? ", n" : "");
    for (i = 0; i < n; i++)
        (void)buf_printf(&sql, ", \"%s\"", fields[i].name);
    (void)buf_printf(&sql, ") VALUES(?%s", is_child ? ", ?" : "");
    for (i = 0; i < n; i++)
        (void)buf_add_str(&sql, ", ?");
    (void)buf_add_str(&sql, ")");
    for (i = 0; is_child && i < n; i++)
        (void)buf_printf(&sql, "%s \"%s\" = excluded.\"%s\"",
                         i == 0 ? " ON CONFLICT(instance_id, n) DO UPDATE SET" : ",",
                         fields[i].name, fields[i].name);
    r = buf_error(&sql, "SQL", err);
    return r < 0 ? r : db_prepare(db, buf_str(&sql), ret_q, err);
}

static bool is_known(const struct fsm_field *fields, size_t n, const char *column)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (str_eq(fields[i].name, column))
            return true;
    return str_eq(column, "instance_id") || str_eq(column, "n");
}

/* `"column" = nothing`, for each that only a later version knows; ", " before each but, with
 * is_first, the first. */
static int add_unknown(struct db *db, const char *table, const struct fsm_field *fields, size_t n,
                       bool is_first, struct buf *sql, struct err *err)
{
    static const char *const what = "read schema";
    AUTO(sqlite3_finalize) sqlite3_stmt *q = NULL;
    int r = db_prepare(db, "SELECT name, type FROM pragma_table_info(?1)", &q, err);

    if (r == 0)
        r = db_bind(db, q, what, DB_ARGS(DB_T(table)), err);
    while (r == 0 && (r = db_step(db, q, what, err)) == 1) {
        const char *name = db_column(q, 0);

        r = 0;
        if (is_known(fields, n, name) || !is_column_name(name))
            continue;
        (void)buf_printf(sql, "%s\"%s\" = %s", is_first ? "" : ", ", name, /* buf_error() tells */
                         str_eq(db_column(q, 1), "INTEGER") ? "0" : "''");
        is_first = false;
    }
    return r;
}

static int prepare_move(struct db *db, const struct fsm_machine *m, sqlite3_stmt **ret_q,
                        struct err *err)
{
    AUTO(buf_done) struct buf sql = {0};
    size_t i;
    int r;

    if (*ret_q != NULL)
        return 0;
    buf_init(&sql, MAX_SQL_BYTES);
    (void)buf_printf(&sql, "UPDATE \"%s\" SET ", m->name);
    for (i = 0; i < m->n_fields; i++)
        (void)buf_printf(&sql, "%s\"%s\" = ?%zu", i > 0 ? ", " : "", m->fields[i].name, i + 2);
    r = add_unknown(db, m->name, m->fields, m->n_fields, false, &sql, err);
    if (r < 0)
        return r;
    (void)buf_add_str(&sql, " WHERE instance_id = ?1");
    r = buf_error(&sql, "SQL", err);
    return r < 0 ? r : db_prepare(db, buf_str(&sql), ret_q, err);
}

static int put_row(struct machine_table *mt, struct db *db, const struct fsm_instance *inst,
                   bool is_new, struct err *err)
{
    static const char *const what = "write the machine's row";
    const struct fsm_machine *m = mt->m;
    sqlite3_stmt *q = NULL;
    int r;

    if (!is_new && m->n_fields == 0)
        return 0;
    r = is_new ? prepare_put(db, m->name, false, m->fields, m->n_fields, &mt->put, err)
               : prepare_move(db, m, &mt->move, err);
    if (r < 0)
        return r;
    q = is_new ? mt->put : mt->move;
    r = bind_fields(db, q, what, inst->id, -1, m->fields, m->n_fields, inst->data, err);
    if (r == 0)
        r = db_step(db, q, what, err);
    if (r == 0 && sqlite3_changes(db->handle) != 1)
        return err_set(err, ERR_CORRUPT, "%s: %s %s: its row in table %s is missing", db->name,
                       m->name, inst->id, m->name);
    return r;
}

static int forget_children(struct machine_table *mt, struct db *db, const char *id, struct err *err)
{
    static const char *const what = "write child rows";
    const struct fsm_machine *m = mt->m;
    int r = 0;

    if (!mt->has_looked && m->child_name != NULL) {
        AUTO(buf_done) struct buf columns = {0}, sql = {0};

        buf_init(&columns, MAX_SQL_BYTES);
        buf_init(&sql, MAX_SQL_BYTES);
        r = add_unknown(db, m->child_name, m->child_fields, m->n_child_fields, true, &columns, err);
        if (r == 0 && columns.len > 0) {
            (void)buf_printf(&sql, "UPDATE \"%s\" SET %s WHERE instance_id = ?1", m->child_name,
                             buf_str(&columns)); /* buf_error() tells */
            r = buf_error(&sql, "SQL", err);
            if (r == 0)
                r = db_prepare(db, buf_str(&sql), &mt->child_forget, err);
        }
        mt->has_looked = r == 0;
    }
    if (r < 0 || mt->child_forget == NULL)
        return r;
    r = db_bind(db, mt->child_forget, what, DB_ARGS(DB_T(id)), err);
    return r == 0 ? db_step(db, mt->child_forget, what, err) : r;
}

int tables_put(struct machine_table *mt, struct db *db, const struct fsm_instance *inst,
               bool is_new, size_t child_lo, size_t child_hi, struct err *err)
{
    static const char *const what = "write child row";
    const struct fsm_machine *m = mt->m;
    int r = put_row(mt, db, inst, is_new, err);
    size_t i;

    if (r == 0 && !is_new)
        r = forget_children(mt, db, inst->id, err);

    if (r < 0 || child_lo >= child_hi)
        return r;
    if (child_hi > inst->n_children)
        return err_set(err, ERR_STATE, "%s %s: child %zu of %zu", m->name, inst->id, child_hi,
                       inst->n_children);
    r = prepare_put(db, m->child_name, true, m->child_fields, m->n_child_fields, &mt->child_put,
                    err);
    for (i = child_lo; i < child_hi && r == 0; i++) {
        r = bind_fields(db, mt->child_put, what, inst->id, (int64_t)i, m->child_fields,
                        m->n_child_fields, fsm_child(inst, i), err);
        if (r == 0)
            r = db_step(db, mt->child_put, what, err);
    }
    return r;
}

/* ---- reading ---- */

/* Columns that the table does not have read as their default. */
static int prepare_get(struct db *db, const char *table, bool is_child,
                       const struct fsm_field *fields, size_t n, sqlite3_stmt **ret_q,
                       struct err *err)
{
    AUTO(buf_done) struct buf sql = {0};
    size_t i;
    int r;

    if (*ret_q != NULL)
        return 0;
    buf_init(&sql, MAX_SQL_BYTES);
    (void)buf_printf(&sql, "SELECT %s", is_child ? "n" : "0");
    for (i = 0; i < n; i++) {
        bool has = false;

        r = has_column(db, table, fields[i].name, &has, err);
        if (r < 0)
            return r;
        if (has)
            (void)buf_printf(&sql, ", \"%s\"", fields[i].name);
        else
            (void)buf_add_str(&sql, fields[i].type == FSM_I64 ? ", 0" : ", ''");
    }
    (void)buf_printf(&sql, " FROM \"%s\" WHERE instance_id = ?1%s", table,
                     is_child ? " ORDER BY n" : "");
    r = buf_error(&sql, "SQL", err);
    return r < 0 ? r : db_prepare(db, buf_str(&sql), ret_q, err);
}

/* Column 0 is the number of the row, the fields follow. */
static int read_fields(const struct db *db, sqlite3_stmt *q, const struct fsm_field *fields,
                       size_t n, void *base, struct err *err)
{
    size_t i;

    for (i = 0; i < n; i++) {
        char *at = (char *)base + fields[i].offset;
        int64_t number = db_column_i64(q, (int)i + 1);

        if (fields[i].type == FSM_I64)
            memcpy(at, &number, sizeof(number));
        else if (!str_copy(at, fields[i].size, db_column(q, (int)i + 1)))
            return err_set(err, ERR_CORRUPT, "%s: column %s: %d bytes, at most %" PRIu32 " fit",
                           db->name, fields[i].name, sqlite3_column_bytes(q, (int)i + 1),
                           fields[i].size - 1);
    }
    return 0;
}

static int read_children(struct machine_table *mt, struct db *db, const char *id,
                         struct fsm_instance *inst, struct err *err)
{
    static const char *const what = "read child rows";
    const struct fsm_machine *m = mt->m;
    size_t cap = 0;
    int r = db_bind(db, mt->child_get, what, DB_ARGS(DB_T(id)), err);

    while (r == 0 && (r = db_step(db, mt->child_get, what, err)) == 1) {
        if (db_column_i64(mt->child_get, 0) != (int64_t)inst->n_children)
            return err_set(err, ERR_CORRUPT, "%s: %s %s: row %zu of table %s is missing", db->name,
                           m->name, id, inst->n_children, m->child_name);
        if (inst->n_children == FSM_MAX_CHILDREN)
            return err_set(err, ERR_CORRUPT, "%s: %s %s: more than %d rows in table %s", db->name,
                           m->name, id, FSM_MAX_CHILDREN, m->child_name);
        if (inst->n_children == cap) {
            void *p = realloc(inst->children, (cap == 0 ? 4 : cap * 2) * m->child_size);

            if (p == NULL)
                return err_set(err, ERR_NOMEM, "%s %s: out of memory", m->name, id);
            cap = cap == 0 ? 4 : cap * 2;
            inst->children = p;
        }
        memset(fsm_child(inst, inst->n_children), 0, m->child_size);
        r = read_fields(db, mt->child_get, m->child_fields, m->n_child_fields,
                        fsm_child(inst, inst->n_children), err);
        inst->n_children++;
    }
    return r;
}

int tables_get(struct machine_table *mt, struct db *db, const char *id,
               struct fsm_instance *ret_inst, struct err *err)
{
    static const char *const what = "read the machine's row";
    const struct fsm_machine *m = mt->m;
    struct fsm_instance inst;
    int r = fsm_instance_init(&inst, m, id, 0, 0, err);

    if (r < 0)
        return r;
    r = prepare_get(db, m->name, false, m->fields, m->n_fields, &mt->get, err);
    if (r == 0 && m->child_name != NULL)
        r = prepare_get(db, m->child_name, true, m->child_fields, m->n_child_fields, &mt->child_get,
                        err);
    if (r == 0)
        r = db_bind(db, mt->get, what, DB_ARGS(DB_T(id)), err);
    if (r == 0)
        r = db_step(db, mt->get, what, err);
    if (r == 0)
        r = err_set(err, ERR_CORRUPT, "%s: %s %s: its row in table %s is missing", db->name,
                    m->name, id, m->name);
    if (r == 1) {
        r = read_fields(db, mt->get, m->fields, m->n_fields, inst.data, err);
        if (r == 0 && m->child_name != NULL)
            r = read_children(mt, db, id, &inst, err);
    }
    if (r >= 0)
        r = db_end(db, mt->get, r, what, err);
    (void)sqlite3_reset(mt->get); /* these repeat what was told */
    (void)sqlite3_reset(mt->child_get);
    if (r < 0) {
        fsm_instance_done(&inst);
        return r;
    }
    *ret_inst = inst;
    return 0;
}
