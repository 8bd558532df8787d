/* Columns for people; struct table of text.h. */
#include <stdarg.h>
#include <stdlib.h>

#include "ctl/text.h"

#define MAX_CELL_BYTES 4096u

void table_init(struct table *t, size_t n_columns, uint64_t right)
{
    *t = (struct table){.n_columns = n_columns, .right = right};
}

void table_done(struct table *t)
{
    size_t i;

    for (i = 0; i < t->n_cells; i++)
        free(t->cells[i]);
    free(t->cells);
    *t = (struct table){.n_columns = t->n_columns, .right = t->right};
}

void table_cell(struct table *t, const char *fmt, ...)
{
    char raw[MAX_CELL_BYTES];
    AUTO(buf_done) struct buf b = {0};
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(raw, sizeof(raw), fmt, ap); /* a longer cell is cut */
    va_end(ap);
    buf_init(&b, 2 * MAX_CELL_BYTES);
    text_add(&b, raw);
    if (t->n_cells == t->cap_cells) {
        size_t cap = t->cap_cells == 0 ? 64 : 2 * t->cap_cells;
        char **p = realloc(t->cells, cap * sizeof(*p));

        if (p == NULL) {
            t->failed = ERR_NOMEM;
            return;
        }
        t->cells = p;
        t->cap_cells = cap;
    }
    t->cells[t->n_cells] = b.failed == 0 ? buf_take(&b) : NULL;
    if (t->cells[t->n_cells] == NULL)
        t->failed = ERR_NOMEM;
    else
        t->n_cells++;
}

int table_print(const struct table *t, int indent, FILE *f, struct err *err)
{
    size_t widths[TABLE_MAX_COLUMNS] = {0}, i;

    if (t->failed != 0)
        return err_set(err, t->failed, "table of %zu cells: out of memory", t->n_cells);
    for (i = 0; i < t->n_cells; i++) {
        size_t w = text_width(t->cells[i]);

        if (w > widths[i % t->n_columns])
            widths[i % t->n_columns] = w;
    }
    for (i = 0; i < t->n_cells; i++) {
        size_t column = i % t->n_columns;
        int pad = (int)(widths[column] - text_width(t->cells[i]));
        bool is_last = column + 1 == t->n_columns;
        bool is_right = (t->right & TABLE_RIGHT << column) != 0;

        (void)fprintf(f, "%*s%*s%s%*s", column == 0 ? indent : 2, "", is_right ? pad : 0, "",
                      t->cells[i], is_right || is_last ? 0 : pad, "");
        if (is_last)
            (void)fputc('\n', f);
    }
    return 0;
}
