/* Lines into events. */
#include <string.h>

#include "base/str.h"
#include "transport/logs.h"

#define MAX_EVENTS_BYTES (8u << 20) /* control characters grow sixfold as JSON */
#define REPLACEMENT_BYTES 3U        /* U+FFFD */

/* One event while its lines are gathered. */
struct gathering {
    struct logs_batch *batch;
    struct buf message; /* already as it is shown */
    int64_t now_unix_ms;
};

static int flush(struct gathering *g)
{
    struct buf *b = &g->batch->events;

    if (g->message.len == 0)
        return 0;
    (void)buf_add_str(b, g->batch->n_events > 0 ? ",{\"message\":" : "{\"message\":");
    (void)buf_add_json_str(b, g->message.data, g->message.len);
    (void)buf_printf(b, ",\"timestamp\":%lld}", (long long)g->now_unix_ms);
    g->batch->n_events++;
    buf_clear(&g->message);
    return b->failed;
}

/* How the next character at s is shown: its length in and out. */
static size_t take(const char *s, size_t n, size_t *ret_shown)
{
    size_t k;

    if (n >= 2 && s[0] == '\r' && s[1] == '\n') {
        *ret_shown = 1;
        return 2;
    }
    k = str_utf8_len(s, n);
    *ret_shown = k > 0 ? k : REPLACEMENT_BYTES;
    return k > 0 ? k : 1;
}

static int add(struct gathering *g, const char *s, size_t k)
{
    if (k == 2 && s[0] == '\r')
        return buf_add_char(&g->message, '\n');
    if (str_utf8_len(s, k) == 0)
        return buf_add(&g->message, "\xef\xbf\xbd", REPLACEMENT_BYTES);
    return buf_add(&g->message, s, k);
}

/* How long a line is as it is shown; its own length, with its newline, is n. */
static size_t shown_bytes(const char *line, size_t n)
{
    size_t at = 0, sum = 0, shown;

    while (at < n) {
        at += take(line + at, n - at, &shown);
        sum += shown;
    }
    return sum;
}

/* Add a line, or as much of it as the batch has room for. Returns what was used of it. */
static size_t add_line(struct gathering *g, const char *line, size_t n, int *ret_r)
{
    size_t at = 0, shown, k, all = shown_bytes(line, n);

    *ret_r = 0;
    /* A line that has room in an event of its own is not torn. */
    if (g->message.len > 0 && g->message.len + all > LOGS_MAX_EVENT_BYTES)
        *ret_r = flush(g);
    while (at < n && *ret_r == 0 && g->batch->n_events < LOGS_MAX_EVENTS) {
        k = take(line + at, n - at, &shown);
        if (g->message.len + shown > LOGS_MAX_EVENT_BYTES) {
            *ret_r = flush(g);
            continue;
        }
        *ret_r = add(g, line + at, k);
        at += k;
    }
    return at;
}

int logs_batch_make(const char *bytes, size_t n, bool is_end, enum logs_rest rest,
                    int64_t now_unix_ms, struct logs_batch *ret_batch, struct err *err)
{
    struct logs_batch batch = {.n_events = 0};
    struct gathering g = {.batch = &batch, .now_unix_ms = now_unix_ms};
    bool is_complete = is_end && rest != LOGS_REST_LATER;
    size_t at = 0, used = 0;
    int r = 0;

    buf_init(&batch.events, MAX_EVENTS_BYTES);
    buf_init(&g.message, LOGS_MAX_EVENT_BYTES);
    while (at < n && r == 0 && batch.n_events < LOGS_MAX_EVENTS) {
        const char *lf = memchr(bytes + at, '\n', n - at);
        size_t line = lf != NULL ? (size_t)(lf - (bytes + at)) + 1 : n - at;

        /* An unfinished line waits, unless no event could ever hold it in one piece. */
        if (lf == NULL && !is_complete && n - at < LOGS_MAX_EVENT_BYTES)
            break;
        if (lf == NULL && !is_complete)
            line = str_utf8_cut(bytes + at, n - at, LOGS_MAX_EVENT_BYTES);
        used = add_line(&g, bytes + at, line, &r);
        at += used;
        if (used < line)
            break;
    }
    batch.is_full = at < n && batch.n_events >= LOGS_MAX_EVENTS;
    if (is_complete && rest == LOGS_REST_TRIM && at == n && g.message.len > 0 &&
        g.message.data[g.message.len - 1] == '\n')
        g.message.data[--g.message.len] = '\0';
    if (r == 0)
        r = flush(&g);
    if (r == 0 && batch.events.failed != 0)
        r = batch.events.failed;
    buf_done(&g.message);
    if (r < 0) {
        logs_batch_done(&batch);
        return err_set(err, r, "log events: %s", r == ERR_NOMEM ? "out of memory" : "too large");
    }
    batch.n_bytes = at;
    *ret_batch = batch;
    return 0;
}

void logs_batch_done(struct logs_batch *batch)
{
    buf_done(&batch->events);
}
