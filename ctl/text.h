/* Text for people: safe to show, short, and in columns. What comes from documents, scripts and the
 * service is shown without control characters, so that no name can move the reader's cursor. */
#ifndef SSMD_CTL_TEXT_H
#define SSMD_CTL_TEXT_H

#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"

#define TEXT_SHORT_SIZE 32

/* Print `s` on one line: control characters, bytes that are not UTF-8 and characters that turn the
 * direction of writing become '?', line ends and tabs become blanks. */
void text_put(FILE *f, const char *s);
/* A line with a name and what it stands for; nothing where that is empty. */
void text_put_fact(FILE *f, const char *name, const char *s);
/* As text_put, appended to a buffer; see buf_error(). */
void text_add(struct buf *b, const char *s);
/* Columns that `s` takes, were it printed by text_put: one per character. */
size_t text_width(const char *s);

/* "07:51:23" when it is of the same local day as now, else "2026-11-21 07:51"; "-" for 0. */
void text_time(int64_t unix_ms, int64_t now_unix_ms, char ret_text[TEXT_SHORT_SIZE]);
/* "0 B", "999 B", "24.4 KiB", "2.0 GiB". */
void text_size(int64_t bytes, char ret_text[TEXT_SHORT_SIZE]);
/* "85 ms", "12.3 s", "4 min 10 s", "2 h 5 min", "3 d 4 h"; "-" when negative. */
void text_duration(int64_t ms, char ret_text[TEXT_SHORT_SIZE]);

/* Rows of cells, printed with every column as wide as its widest cell. Numbers (TABLE_RIGHT) stand
 * to the right. The last column has no padding. */
#define TABLE_MAX_COLUMNS 8
#define TABLE_RIGHT UINT64_C(1) /* shifted by the column's number */
struct table {
    size_t n_columns;
    uint64_t right; /* bits: columns of numbers */
    char **cells;   /* owned, row after row */
    size_t n_cells, cap_cells;
    int failed;
};

void table_init(struct table *t, size_t n_columns, uint64_t right);
void table_done(struct table *t);
void table_cell(struct table *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Each line after `indent` blanks. ERR_NOMEM when a cell could not be kept; nothing is printed
 * then. */
int table_print(const struct table *t, int indent, FILE *f, struct err *err) MUST_CHECK;

static inline void table_done_cleanup(struct table *t)
{
    table_done(t);
}

#endif
