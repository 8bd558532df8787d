/* Rows of the journal in memory, and lists of them. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "journal/memory_internal.h"

/* ---- rows and lists ---- */

void memory_row_unref(struct memory_row *row)
{
    if (row == NULL || --row->refs > 0)
        return;
    if (row->table == MEMORY_INSTANCES)
        fsm_instance_done(&row->inst);
    free(row->reply.payload);
    free(row->bytes);
    free(row);
}

struct memory_row *memory_row_new(enum memory_table table, const char *id)
{
    struct memory_row *row = calloc(1, sizeof(*row));

    if (row == NULL || !str_copy(row->id, sizeof(row->id), id)) {
        free(row);
        return NULL;
    }
    row->table = table;
    row->refs = 1;
    return row;
}

bool memory_list_add(struct memory_list *l, struct memory_row *row)
{
    if (l->n == l->cap) {
        size_t cap = l->cap == 0 ? 8 : l->cap * 2;
        struct memory_row **p = realloc(l->rows, cap * sizeof(struct memory_row *));

        if (p == NULL)
            return false;
        l->rows = p;
        l->cap = cap;
    }
    l->rows[l->n++] = row;
    return true;
}

void memory_list_remove(struct memory_list *l, size_t i)
{
    memory_row_unref(l->rows[i]);
    l->n--;
    memmove(&l->rows[i], &l->rows[i + 1], (l->n - i) * sizeof(struct memory_row *));
}

void memory_state_done(struct memory_state *s)
{
    size_t t, i;

    for (t = 0; t < MEMORY_N_TABLES; t++) {
        for (i = 0; i < s->tables[t].n; i++)
            memory_row_unref(s->tables[t].rows[i]);
        free(s->tables[t].rows);
    }
    *s = (struct memory_state){0};
}

bool memory_state_copy(struct memory_state *dst, const struct memory_state *src)
{
    size_t t, i;

    *dst = *src;
    memset(dst->tables, 0, sizeof(dst->tables));
    for (t = 0; t < MEMORY_N_TABLES; t++) {
        for (i = 0; i < src->tables[t].n; i++) {
            if (!memory_list_add(&dst->tables[t], src->tables[t].rows[i])) {
                memory_state_done(dst);
                return false;
            }
            src->tables[t].rows[i]->refs++;
        }
    }
    return true;
}

struct memory_row **memory_find_row(const struct memory_state *s, enum memory_table table,
                                    const char *id)
{
    size_t i;

    for (i = 0; id != NULL && i < s->tables[table].n; i++)
        if (str_eq(s->tables[table].rows[i]->id, id))
            return &s->tables[table].rows[i];
    return NULL;
}

struct memory_row **memory_find_of_instance(const struct memory_state *s, enum memory_table table,
                                            const char *id)
{
    size_t i;

    for (i = 0; i < s->tables[table].n; i++)
        if (str_eq(s->tables[table].rows[i]->instance_id, id))
            return &s->tables[table].rows[i];
    return NULL;
}

struct memory_row **memory_find_number(const struct memory_state *s, enum memory_table table,
                                       int64_t effect_id)
{
    size_t i;

    for (i = 0; i < s->tables[table].n; i++)
        if (s->tables[table].rows[i]->effect.id == effect_id)
            return &s->tables[table].rows[i];
    return NULL;
}

/* ---- copies ---- */

bool memory_copy_instance(struct fsm_instance *dst, const struct fsm_instance *src)
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

char *memory_copy_bytes(const char *bytes, size_t n)
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
struct memory_row *memory_own_row(struct memory_row **at)
{
    struct memory_row *old = *at, *row;

    if (old->refs == 1)
        return old;
    row = malloc(sizeof(*row));
    if (row == NULL)
        return NULL;
    *row = *old;
    row->refs = 1;
    if ((old->table == MEMORY_INSTANCES && !memory_copy_instance(&row->inst, &old->inst)) ||
        (old->reply.payload != NULL && (row->reply.payload = memory_copy_bytes(
                                            old->reply.payload, old->reply.payload_len)) == NULL) ||
        (old->bytes != NULL &&
         (row->bytes = memory_copy_bytes(old->bytes, old->n_bytes)) == NULL)) {
        free(row); /* a row is of one table: only one of the three was tried */
        return NULL;
    }
    old->refs--;
    *at = row;
    return row;
}

int memory_out_of_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "journal: out of memory");
}
