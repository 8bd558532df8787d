/* Columns for people; struct table of text.h. */
#include <stdarg.h>
#include <stdlib.h>

#include "ctl/text.h"

#define MAX_CELL_BYTES ((size_t)4096)

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

/* Nothing is put after a row's last cell that is not empty. */
static void print_row(const struct table *t, char *const *cells, const size_t *widths, int indent,
                      FILE *f)
{
    size_t n = t->n_columns, i;

    while (n > 0 && cells[n - 1][0] == '\0')
        n--;
    for (i = 0; i < n; i++) {
        int pad = (int)(widths[i] - text_width(cells[i]));
        bool is_right = (t->right & TABLE_RIGHT << i) != 0;

        (void)fprintf(f, "%*s%*s%s%*s", i == 0 ? indent : 2, "", is_right ? pad : 0, "", cells[i],
                      is_right || i + 1 == n ? 0 : pad, "");
    }
    (void)fputc('\n', f);
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
    for (i = 0; i + t->n_columns <= t->n_cells; i += t->n_columns)
        print_row(t, t->cells + i, widths, indent, f);
    return 0;
}
