/* Sorting and printing what happened. */
#include "ctl/timeline.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "ctl/text.h"

#define MAX_LINE_BYTES 4096

struct timeline_entry {
    int64_t at_unix_ms;
    enum timeline_rank rank;
    size_t order;        /* in which it was added: the sort is stable */
    char *what, *detail; /* owned */
};

void timeline_init(struct timeline *t)
{
    *t = (struct timeline){.n = 0};
}

void timeline_done(struct timeline *t)
{
    size_t i;

    for (i = 0; i < t->n; i++) {
        free(t->entries[i].what);
        free(t->entries[i].detail);
    }
    free(t->entries);
    timeline_init(t);
}

int timeline_add(struct timeline *t, int64_t at_unix_ms, enum timeline_rank rank, const char *what,
                 const char *detail, struct err *err)
{
    struct timeline_entry e = {.at_unix_ms = at_unix_ms, .rank = rank, .order = t->n};

    if (t->n == t->cap) {
        size_t cap = t->cap == 0 ? 64 : 2 * t->cap;
        struct timeline_entry *p = realloc(t->entries, cap * sizeof(*p));

        if (p == NULL)
            return err_set(err, ERR_NOMEM, "history: out of memory");
        t->entries = p;
        t->cap = cap;
    }
    e.what = strdup(what);
    e.detail = strdup(detail);
    t->entries[t->n++] = e;
    return e.what != NULL && e.detail != NULL ? 0
                                              : err_set(err, ERR_NOMEM, "history: out of memory");
}

static int compare(const void *a, const void *b)
{
    const struct timeline_entry *x = a, *y = b;

    if (x->at_unix_ms != y->at_unix_ms)
        return x->at_unix_ms < y->at_unix_ms ? -1 : 1;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static bool share_a_line(const struct timeline_entry *a, const struct timeline_entry *b)
{
    return a->rank >= TIMELINE_CLOSED && a->rank == b->rank && a->at_unix_ms == b->at_unix_ms;
}

int timeline_print(struct timeline *t, int64_t now_unix_ms, FILE *f, struct err *err)
{
    AUTO(table_done) struct table table = {0};
    AUTO(buf_done) struct buf line = {0};
    size_t i, next;

    table_init(&table, 3, 0);
    buf_init(&line, MAX_LINE_BYTES);
    if (t->n > 0)
        qsort(t->entries, t->n, sizeof(*t->entries), compare);
    for (i = 0; i < t->n; i = next) {
        const struct timeline_entry *e = &t->entries[i];
        char at[TEXT_SHORT_SIZE];

        buf_clear(&line);
        (void)buf_add_str(&line, e->rank < TIMELINE_CLOSED ? e->detail : e->what); /* cut is fine */
        for (next = i + 1; next < t->n && share_a_line(e, &t->entries[next]); next++)
            (void)buf_printf(&line, ", %s", t->entries[next].what);
        text_time(e->at_unix_ms, now_unix_ms, at);
        table_cell(&table, "%s", at);
        table_cell(&table, "%s",
                   e->rank == TIMELINE_CLOSED   ? "  closed"
                   : e->rank == TIMELINE_OPENED ? "  opened"
                                                : e->what);
        table_cell(&table, "%s", buf_str(&line));
    }
    return table_print(&table, 2, f, err);
}
