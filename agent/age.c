/* Marks of the journal's age: made, thinned out, asked, written and read. */
#include "agent/age.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define FINENESS 16 /* neighbouring marks differ by about that part of their age */

void age_advance(struct age *a, const char *boot_id, int64_t boottime_ms)
{
    int64_t since = str_eq(a->boot_id, boot_id) ? a->boottime_ms : 0;

    if (boottime_ms > since)
        a->lived_ms += boottime_ms - since;
    (void)str_copy(a->boot_id, sizeof(a->boot_id), boot_id);
    a->boottime_ms = boottime_ms;
}

/* The older, the fewer: from the newest on, a mark stays where the gap to the one that is kept
 * after it would be too wide without it. */
static void thin_out(struct age *a)
{
    struct age_mark kept[AGE_MAX_MARKS];
    size_t i, n = 0;

    for (i = a->n_marks; i > 0; i--) {
        const struct age_mark *m = &a->marks[i - 1];
        const struct age_mark *older = i > 1 ? &a->marks[i - 2] : NULL;
        int64_t gap = n > 0 && older != NULL ? kept[n - 1].lived_ms - older->lived_ms : INT64_MAX;

        if (n == 0 || older == NULL || gap > (a->lived_ms - older->lived_ms) / FINENESS)
            kept[n++] = *m;
    }
    for (i = 0; i < n; i++)
        a->marks[i] = kept[n - 1 - i];
    a->n_marks = n;
}

bool age_mark(struct age *a, int64_t ledger_end)
{
    const struct age_mark *last = a->n_marks > 0 ? &a->marks[a->n_marks - 1] : NULL;

    if (ledger_end <= (last != NULL ? last->ledger_end : 0))
        return false;
    if (a->n_marks == AGE_MAX_MARKS) /* more than ten years of them do not come to that */
        memmove(a->marks, a->marks + 1, sizeof(*a->marks) * --a->n_marks);
    a->marks[a->n_marks++] = (struct age_mark){a->lived_ms, ledger_end};
    thin_out(a);
    return true;
}

int64_t age_cutoff(const struct age *a, int64_t max_age_ms)
{
    int64_t cutoff = 0;
    size_t i;

    for (i = 0; max_age_ms > 0 && i < a->n_marks; i++)
        if (a->lived_ms - a->marks[i].lived_ms >= max_age_ms)
            cutoff = a->marks[i].ledger_end;
    return cutoff;
}

void age_format(const struct age *a, struct buf *b)
{
    size_t i;

    (void)buf_printf(b, "%" PRId64 " %s %" PRId64, a->lived_ms, a->boot_id, a->boottime_ms);
    for (i = 0; i < a->n_marks; i++)
        (void)buf_printf(b, " %" PRId64 ":%" PRId64, a->marks[i].lived_ms, a->marks[i].ledger_end);
}

static bool read_mark(struct age *a, char *word)
{
    char *colon = strchr(word, ':');
    const struct age_mark *last = a->n_marks > 0 ? &a->marks[a->n_marks - 1] : NULL;
    struct age_mark m;

    if (colon == NULL || a->n_marks == AGE_MAX_MARKS)
        return false;
    *colon = '\0';
    if (!str_to_i64(word, last != NULL ? last->lived_ms : 0, a->lived_ms, &m.lived_ms) ||
        !str_to_i64(colon + 1, last != NULL ? last->ledger_end : 0, INT64_MAX, &m.ledger_end))
        return false;
    a->marks[a->n_marks++] = m;
    return true;
}

static bool read_words(struct age *a, char *text)
{
    char *save = NULL, *word = strtok_r(text, " ", &save);

    if (word == NULL || !str_to_i64(word, 0, INT64_MAX, &a->lived_ms))
        return false;
    word = strtok_r(NULL, " ", &save);
    if (word == NULL || !str_copy(a->boot_id, sizeof(a->boot_id), word))
        return false;
    word = strtok_r(NULL, " ", &save);
    if (word == NULL || !str_to_i64(word, 0, INT64_MAX, &a->boottime_ms))
        return false;
    while ((word = strtok_r(NULL, " ", &save)) != NULL)
        if (!read_mark(a, word))
            return false;
    return true;
}

int age_parse(struct age *a, const char *text, struct err *err)
{
    AUTO(free) char *copy = strdup(text);

    *a = (struct age){0};
    if (copy == NULL)
        return err_set(err, ERR_NOMEM, "age of the journal: out of memory");
    if (read_words(a, copy))
        return 0;
    *a = (struct age){0};
    return err_set(err, ERR_CORRUPT, "age of the journal: cannot be read: %.60s", text);
}
