/* The audit of one instance: its chain of transitions from the first to the newest, then its stored
 * state against the newest, then its place in the ledger. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "journal/audit_internal.h"
#include "journal/chain_internal.h"

/* What the walk along the transitions leaves. */
struct walked {
    int64_t n; /* of the newest row; -1: there is none */
    int64_t first_at, last_at;
    char prev[SHA256_HEX_SIZE]; /* hash of the newest row */
    char state_sha256[SHA256_HEX_SIZE];
    char to[64];
    bool is_bad; /* a finding was noted */
};

static void found_transition(struct audit *a, const char *id, int64_t n, const char *text)
{
    char key[96];

    (void)snprintf(key, sizeof(key), "%s n=%" PRId64, id, n); /* for people: cut is fine */
    audit_found(a, "transition", key, "%s", text);
}

static const char *transition_problem(const char *id, sqlite3_stmt *q, const struct walked *w)
{
    struct chain_transition t = {
        .instance_id = id,
        .n = db_column_i64(q, 1),
        .at_unix_ms = db_column_i64(q, 2),
        .event = db_column(q, 3),
        .from = db_column(q, 4),
        .to = db_column(q, 5),
        .detail = db_column(q, 6),
        .state_sha256 = db_column(q, 7),
        .prev = db_column(q, 8),
    };
    char hash[SHA256_HEX_SIZE];

    if (t.n != w->n + 1)
        return "is missing";
    chain_hash_transition(&t, hash);
    if (!audit_is_sound(q) || !str_eq(hash, db_column(q, 9)))
        return "was changed: it does not have the hash that it carries";
    if (!str_eq(t.prev, w->prev))
        return "does not follow the row before it: one of them was exchanged";
    if (!str_eq(t.from, w->to))
        return "does not begin in the state where the row before it ended";
    return NULL;
}

static int walk_transitions(struct audit *a, const char *id, struct walked *w, struct err *err)
{
    sqlite3_stmt *q = NULL;
    int r = db_query(a->db, SQL_TRANSITIONS, DB_ARGS(DB_T(id)), &q, err);

    *w = (struct walked){.n = -1};
    memcpy(w->prev, chain_zero, sizeof(w->prev));
    while (r == 0 && (r = db_step(a->db, q, "read transitions", err)) == 1) {
        const char *problem = transition_problem(id, q, w);

        r = 0;
        a->report->n_transitions++;
        if (problem != NULL) {
            found_transition(a, id, w->n + 1, problem);
            w->is_bad = true;
            (void)sqlite3_reset(q);
            return 0;
        }
        w->n++;
        w->last_at = db_column_i64(q, 2);
        if (w->n == 0)
            w->first_at = w->last_at;
        (void)str_copy(w->to, sizeof(w->to), db_column(q, 5)); /* cut: seen by the comparison */
        (void)str_copy(w->state_sha256, sizeof(w->state_sha256), db_column(q, 7));
        (void)str_copy(w->prev, sizeof(w->prev), db_column(q, 9));
    }
    return r;
}

/* ---- the stored state ---- */

static int prepare_rows(struct audit *a, const char *table, bool is_child, sqlite3_stmt **ret_q,
                        bool *ret_is_there, struct err *err)
{
    char sql[160];
    int r;

    r = tables_has(a->db, table, ret_is_there, err);
    if (r < 0 || !*ret_is_there)
        return r;
    (void)snprintf(sql, sizeof(sql), "SELECT * FROM \"%s\" WHERE instance_id = ?1%s", table,
                   is_child ? " ORDER BY n" : ""); /* fits: tables_has checked the name */
    return db_prepare(a->db, sql, ret_q, err);
}

/* The machine's entry, made at first use. NULL in *ret_m: more machines than any version had. */
static int find_machine(struct audit *a, const char *name, struct audit_machine **ret_m,
                        struct err *err)
{
    struct audit_machine *m;
    sqlite3_stmt *q = NULL;
    size_t i;
    int r;

    *ret_m = NULL;
    for (i = 0; i < a->n_machines; i++) {
        if (str_eq(a->machines[i].name, name)) {
            *ret_m = &a->machines[i];
            return 0;
        }
    }
    if (a->n_machines == AUDIT_MAX_MACHINES)
        return 0;
    m = &a->machines[a->n_machines];
    *m = (struct audit_machine){.is_known = false};
    r = db_query(a->db, SQL_MACHINE, DB_ARGS(DB_T(name)), &q, err);
    if (r == 0)
        r = db_step(a->db, q, "read machine", err);
    if (r == 1) {
        m->is_known = str_copy(m->name, sizeof(m->name), name) &&
                      str_copy(m->child, sizeof(m->child), db_column(q, 1));
        (void)sqlite3_reset(q); /* one row is enough */
        r = 0;
    }
    if (r == 0 && m->is_known)
        r = prepare_rows(a, m->name, false, &m->row, &m->is_known, err);
    if (r == 0 && m->is_known && m->child[0] != '\0')
        r = prepare_rows(a, m->child, true, &m->child_rows, &m->is_known, err);
    if (r < 0) {
        (void)sqlite3_finalize(m->row); /* what failed was told */
        *m = (struct audit_machine){.is_known = false};
        return r;
    }
    if (m->is_known) {
        a->n_machines++;
        *ret_m = m;
    }
    return 0;
}

/* Add the row's columns, but for the keys, to the hash. False: too many, or not sound. */
static bool add_row(struct sha256 *s, sqlite3_stmt *q)
{
    struct chain_value values[CHAIN_MAX_FIELDS];
    size_t n = 0;
    int i;

    if (!audit_is_sound(q))
        return false;
    for (i = 0; i < sqlite3_column_count(q); i++) {
        const char *name = sqlite3_column_name(q, i);

        if (name == NULL || str_eq(name, "instance_id") || str_eq(name, "n"))
            continue;
        if (n == CHAIN_MAX_FIELDS || sqlite3_column_type(q, i) == SQLITE_NULL)
            return false;
        values[n].name = name;
        values[n].text = sqlite3_column_type(q, i) == SQLITE_TEXT ? db_column(q, i) : NULL;
        values[n].number = db_column_i64(q, i);
        n++;
    }
    chain_state_row(s, values, n);
    return true;
}

/* An instance without a row in its machine's table: does another machine have one of that id? */
static int is_another_s(struct audit *a, const char *id, bool *ret_is, struct err *err)
{
    char sql[128];
    size_t i;
    int r = 0;

    *ret_is = false;
    for (i = 0; r == 0 && i < a->tables->n && !*ret_is; i++) {
        AUTO(sqlite3_finalize) sqlite3_stmt *q = NULL;

        if (!a->tables->items[i].is_there)
            continue;
        (void)snprintf(sql, sizeof(sql), "SELECT 1 FROM \"%s\" WHERE instance_id = ?1", /* fits */
                       a->tables->items[i].m->name);
        if ((r = db_prepare(a->db, sql, &q, err)) < 0 ||
            (r = db_bind(a->db, q, "look for a machine's row", DB_ARGS(DB_T(id)), err)) < 0 ||
            (r = db_step(a->db, q, "look for a machine's row", err)) < 0)
            return r;
        *ret_is = r == 1;
        r = 0;
    }
    return r;
}

/* The hash of the instance as it is stored. *ret_problem: why there is none, else NULL. */
static int hash_rows(struct audit *a, struct audit_machine *m, const char *id, struct sha256 *s,
                     const char **ret_table, const char **ret_problem, struct err *err)
{
    bool is_other = false;
    int64_t n = 0;
    int r;

    *ret_problem = NULL;
    *ret_table = m->name;
    r = db_bind(a->db, m->row, "read the machine's row", DB_ARGS(DB_T(id)), err);
    if (r == 0)
        r = db_step(a->db, m->row, "read the machine's row", err);
    if (r == 0 && (r = is_another_s(a, id, &is_other, err)) == 0) {
        *ret_table = is_other ? "instance" : m->name;
        *ret_problem =
            is_other ? "was changed: it is not of the machine that it names" : "is missing";
        return 0;
    }
    if (r < 0)
        return r;
    if (!add_row(s, m->row))
        *ret_problem = "was changed: a value of a type it cannot have";
    (void)sqlite3_reset(m->row); /* one row is enough */
    if (*ret_problem != NULL || m->child_rows == NULL)
        return 0;
    *ret_table = m->child;
    r = db_bind(a->db, m->child_rows, "read child rows", DB_ARGS(DB_T(id)), err);
    while (r == 0 && (r = db_step(a->db, m->child_rows, "read child rows", err)) == 1) {
        r = 0;
        if (sqlite3_column_int64(m->child_rows, 1) != n) {
            *ret_problem = "a row is missing";
            break;
        }
        chain_state_child(s, n++);
        if (!add_row(s, m->child_rows)) {
            *ret_problem = "was changed: a value of a type it cannot have";
            break;
        }
    }
    (void)sqlite3_reset(m->child_rows); /* repeats what was told */
    return r;
}

static int check_rows(struct audit *a, sqlite3_stmt *row, const struct walked *w, struct err *err)
{
    const char *id = db_column(row, INSTANCE_ID), *table, *problem;
    struct chain_instance head = {
        .id = id,
        .machine = db_column(row, INSTANCE_MACHINE),
        .state = db_column(row, INSTANCE_STATE),
        .version = db_column_i64(row, INSTANCE_VERSION),
        .n_transitions = db_column_i64(row, INSTANCE_N_TRANSITIONS),
        .created_unix_ms = db_column_i64(row, INSTANCE_CREATED),
        .updated_unix_ms = db_column_i64(row, INSTANCE_UPDATED),
        .deadline_boot_id = db_column(row, INSTANCE_DEADLINE_BOOT_ID),
        .deadline_boottime_ms = db_column_i64(row, INSTANCE_DEADLINE_BOOTTIME),
        .deadline_after_ms = db_column_i64(row, INSTANCE_DEADLINE_AFTER),
    };
    char hash[SHA256_HEX_SIZE];
    struct audit_machine *m;
    struct sha256 s;
    int r = find_machine(a, head.machine, &m, err);

    if (r < 0)
        return r;
    if (m == NULL) {
        audit_found(a, "instance", id, "its machine \"%s\" has no table", head.machine);
        return 0;
    }
    chain_state_begin(&s, &head);
    r = hash_rows(a, m, id, &s, &table, &problem, err);
    if (r < 0)
        return r;
    sha256_end_hex(&s, hash);
    if (problem != NULL)
        audit_found(a, table, id, "%s", problem);
    else if (!str_eq(hash, w->state_sha256))
        audit_found(a, "instance", id,
                    "was changed: it, or what belongs to it in %s%s%s, is not what its newest "
                    "transition recorded",
                    m->name, m->child[0] != '\0' ? " and " : "", m->child);
    return 0;
}

/* The instance's own row against the newest transition. NULL: they agree. */
static const char *instance_problem(sqlite3_stmt *row, const struct walked *w)
{
    if (!audit_is_sound(row))
        return "was changed: a value of a type it cannot have";
    if (!str_eq(db_column(row, INSTANCE_HEAD), w->prev))
        return "was changed: its head is not the hash of its newest transition";
    if (!str_eq(db_column(row, INSTANCE_STATE), w->to))
        return "was changed: its state is not that of its newest transition";
    /* A time may lie before another that was earlier: clocks are set. The rest of them is hashed.
     */
    if (db_column_i64(row, INSTANCE_CREATED) != w->first_at)
        return "was changed: its time is not that of its first transition";
    return NULL;
}

/* ---- the ledger and the message ---- */

static bool is_terminal(const struct audit *a, sqlite3_stmt *row, bool *ret_is_known)
{
    const struct machine_table *mt = tables_find(a->tables, db_column(row, INSTANCE_MACHINE));
    int state = mt != NULL ? fsm_state_by_name(mt->m, db_column(row, INSTANCE_STATE)) : -1;

    *ret_is_known = state >= 0;
    return state >= 0 && mt->m->states[state].is_terminal;
}

static void compare_with_ledger(struct audit *a, sqlite3_stmt *row, sqlite3_stmt *ledger)
{
    if (!str_eq(db_column(row, INSTANCE_HEAD), db_column(ledger, LEDGER_HEAD)) ||
        !str_eq(db_column(row, INSTANCE_MACHINE), db_column(ledger, LEDGER_MACHINE)) ||
        !str_eq(db_column(row, INSTANCE_STATE), db_column(ledger, LEDGER_STATE)) ||
        db_column_i64(row, INSTANCE_N_TRANSITIONS) != db_column_i64(ledger, LEDGER_N_TRANSITIONS) ||
        db_column_i64(row, INSTANCE_CREATED) != db_column_i64(ledger, LEDGER_CREATED) ||
        db_column_i64(row, INSTANCE_ENDED) != db_column_i64(ledger, LEDGER_ENDED))
        audit_found(a, "instance", db_column(row, INSTANCE_ID),
                    "was changed: it is not what row %lld of the ledger says of it",
                    (long long)db_column_i64(ledger, LEDGER_N));
}

static int check_ledger_row(struct audit *a, sqlite3_stmt *row, struct err *err)
{
    const char *id = db_column(row, INSTANCE_ID);
    bool has_ended = sqlite3_column_type(row, INSTANCE_ENDED) != SQLITE_NULL, is_known;
    bool is_end = is_terminal(a, row, &is_known);
    sqlite3_stmt *q = NULL;
    int r;

    if (is_known && is_end != has_ended) {
        audit_found(a, "instance", id, "was changed: in state %s it has %s",
                    db_column(row, INSTANCE_STATE), has_ended ? "an end" : "no end");
        return 0;
    }
    r = db_query(a->db, SQL_LEDGER_OF, DB_ARGS(DB_T(id)), &q, err);
    if (r == 0)
        r = db_step(a->db, q, "read ledger", err);
    if (r < 0)
        return r;
    if (r == 0 && has_ended)
        audit_found(a, "ledger", id, "its row is missing");
    else if (r == 1 && !has_ended)
        audit_found(a, "instance", id, "was changed: the ledger says that it has ended");
    else if (r == 1)
        compare_with_ledger(a, row, q);
    (void)sqlite3_reset(q); /* one row is enough */
    return 0;
}

static int check_message(struct audit *a, sqlite3_stmt *row, struct err *err)
{
    const char *id = db_column(row, INSTANCE_ID), *sha256;
    char got[SHA256_HEX_SIZE], message_id[JOURNAL_MESSAGE_ID_SIZE] = "";
    char wanted[JOURNAL_MESSAGE_ID_SIZE] = "";
    bool is_ledgered = false;
    sqlite3_stmt *q = NULL;
    int r = db_query(a->db, SQL_MESSAGE, DB_ARGS(DB_T(id)), &q, err);

    if (r == 0)
        r = db_step(a->db, q, "read message", err);
    if (r < 0)
        return r;
    if (r == 1) {
        a->report->n_messages++;
        (void)str_copy(message_id, sizeof(message_id),
                       db_column(q, MESSAGE_ID)); /* compared below */
        sha256 = db_column(q, MESSAGE_SHA256);
        sha256_hex_of(sqlite3_column_blob(q, MESSAGE_PAYLOAD),
                      (size_t)sqlite3_column_bytes(q, MESSAGE_PAYLOAD), got);
        if (!str_eq(got, sha256))
            audit_found(a, "inbox", message_id, "its payload was changed");
        (void)sqlite3_reset(q); /* one row is enough */
    }
    r = db_query(a->db, SQL_LEDGER_OF, DB_ARGS(DB_T(id)), &q, err);
    if (r == 0)
        r = db_step(a->db, q, "read ledger", err);
    if (r == 1) {
        is_ledgered = true;
        (void)str_copy(wanted, sizeof(wanted), db_column(q, LEDGER_MESSAGE_ID));
        (void)sqlite3_reset(q); /* one row is enough */
        r = 0;
    }
    if (r == 0 && is_ledgered && !str_eq(message_id, wanted))
        audit_found(a, "inbox", wanted[0] != '\0' ? wanted : message_id,
                    "is not the message that the ledger has for job %s", id);
    return r;
}

/* The instance counts other transitions than there are. Which of the two was changed? Its head
 * tells: the hash of the newest one, or of another instance's, is not what a cut or an insertion
 * leaves behind. */
static int judge_count(struct audit *a, sqlite3_stmt *row, const struct walked *w, struct err *err)
{
    const char *id = db_column(row, INSTANCE_ID), *head = db_column(row, INSTANCE_HEAD);
    int64_t n = db_column_i64(row, INSTANCE_N_TRANSITIONS), is_of_another = 0;
    int r = db_number(a->db, SQL_HASH_OF_ANOTHER, DB_ARGS(DB_T(head), DB_T(id)), 0, &is_of_another,
                      err);

    if (r < 0)
        return r;
    if (is_of_another != 0 || str_eq(head, w->prev))
        audit_found(a, "instance", id,
                    "was changed: it counts %" PRId64 " transitions where %" PRId64
                    " stand, and its head is not that of a history that was cut or added to",
                    n, w->n);
    else
        found_transition(a, id, w->n < n ? w->n + 1 : n + 1,
                         w->n < n ? "is missing: the instance has made more"
                                  : "was inserted: the instance has not made so many");
    return 0;
}

int audit_instance(struct audit *a, sqlite3_stmt *row, struct err *err)
{
    const char *id = db_column(row, INSTANCE_ID), *problem;
    int64_t n = db_column_i64(row, INSTANCE_N_TRANSITIONS), n_findings = a->report->n_findings;
    struct walked w;
    int r = walk_transitions(a, id, &w, err);

    a->report->n_instances++;
    if (r < 0 || w.is_bad)
        return r;
    if (w.n < 0) {
        audit_found(a, "instance", id, "has no transitions: it was inserted, or they were removed");
        return 0;
    }
    if (w.n != n)
        return judge_count(a, row, &w, err);
    problem = instance_problem(row, &w);
    if (problem != NULL) {
        audit_found(a, "instance", id, "%s", problem);
        return 0;
    }
    r = check_rows(a, row, &w, err);
    if (r == 0 && a->report->n_findings == n_findings)
        r = check_ledger_row(a, row, err);
    if (r == 0)
        r = check_message(a, row, err);
    return r;
}
