/* The payloads of replies, written in one pass; texts are shortened when the whole is too large. */
#include "schema/reply.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "schema/message.h"

/* The texts that may be shortened. */
enum { TEXT_TRACE, TEXT_OUTPUT, TEXT_STANDARD_OUTPUT, TEXT_STANDARD_ERROR, N_TEXTS };

#define UNSET_TIME "0001-01-01T00:00:00.000Z"

/* What is being written: the header, the results merged by id, and which of them stand in full. */
struct draft {
    const struct reply_header *h;
    const char *status;
    const char *trace;
    struct reply_plugin *results; /* owned; one per id */
    size_t n_results;
    const struct reply_plugin *shown; /* the one result in full, or NULL */
    bool has_results;                 /* false: document level, null instead of {} */
    struct reply_text texts[N_TEXTS];
    size_t limits[N_TEXTS]; /* bytes of each text that are sent */
};

static void add_string(struct buf *b, const char *s)
{
    (void)buf_add_json_str(b, s != NULL ? s : "", s != NULL ? strlen(s) : 0);
}

/* ,"key":"text" or without the comma for the first member of an object. */
static void add_member(struct buf *b, const char *key, const char *text)
{
    if (b->len > 0 && b->data[b->len - 1] != '{')
        (void)buf_add_char(b, ',');
    (void)buf_printf(b, "\"%s\":", key);
    add_string(b, text);
}

static void add_time(struct buf *b, const char *key, int64_t unix_ms)
{
    char text[ISO_MS_SIZE];

    clock_format_iso_ms(unix_ms, text);
    add_member(b, key, unix_ms != 0 ? text : UNSET_TIME);
}

static void add_without_colons(struct buf *b, const char *s)
{
    for (; s != NULL && *s != '\0'; s++)
        if (*s != ':')
            (void)buf_add_char(b, *s);
}

static void add_text(struct buf *b, const char *key, const struct draft *d, int which)
{
    const struct reply_text *text = &d->texts[which];
    size_t limit = d->limits[which], n = str_utf8_cut(text->s, text->len, limit);

    (void)buf_printf(b, ",\"%s\":", key);
    if (n == text->len || limit < sizeof(REPLY_STREAM_SUFFIX)) {
        (void)buf_add_json_str(b, text->s, n);
        return;
    }
    /* The sign that something is missing must be there however short the text is. */
    n = str_utf8_cut(text->s, text->len, limit - (sizeof(REPLY_STREAM_SUFFIX) - 1));
    (void)buf_add_json_str(b, text->s, n);
    if (b->failed != 0)
        return;
    b->len--; /* the closing quote */
    (void)buf_add_str(b, REPLY_STREAM_SUFFIX "\"");
}

static int64_t sent_code(const struct reply_plugin *p)
{
    return p->code == 0 && str_eq(p->status, "Failed") ? 1 : p->code;
}

static void add_result(struct buf *b, const struct draft *d)
{
    const struct reply_plugin *p = d->shown;
    bool has_bucket = p->s3_bucket != NULL && p->s3_bucket[0] != '\0';
    AUTO(buf_done) struct buf part = {0};

    add_string(b, p->id);
    (void)buf_add_str(b, ":{");
    add_member(b, "status", p->status);
    (void)buf_printf(b, ",\"code\":%" PRId64, sent_code(p));
    add_member(b, "name", p->name);
    add_text(b, "output", d, TEXT_OUTPUT);
    add_time(b, "startDateTime", p->started_unix_ms);
    add_time(b, "endDateTime", p->ended_unix_ms);
    add_member(b, "outputS3BucketName", p->s3_bucket);
    buf_init(&part, b->max);
    if (has_bucket) {
        (void)buf_printf(&part, "%s/", p->s3_prefix != NULL ? p->s3_prefix : "");
        add_without_colons(&part, p->name);
    }
    add_member(b, "outputS3KeyPrefix", buf_str(&part));
    buf_clear(&part);
    if (has_bucket)
        add_without_colons(&part, p->step_name);
    add_member(b, "stepName", buf_str(&part));
    if (part.failed != 0 && b->failed == 0)
        b->failed = part.failed;
    add_text(b, "standardOutput", d, TEXT_STANDARD_OUTPUT);
    add_text(b, "standardError", d, TEXT_STANDARD_ERROR);
    (void)buf_add_char(b, '}');
}

static int compare_names(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;

    return strcmp(*x, *y);
}

static int add_counts(struct buf *b, const struct draft *d, struct err *err)
{
    AUTO(free) const char **names = NULL;
    size_t i, same;

    if (!d->has_results) {
        (void)buf_add_str(b, "null");
        return 0;
    }
    names = calloc(d->n_results + 1, sizeof(*names));
    if (names == NULL)
        return err_set(err, ERR_NOMEM, "reply: out of memory");
    for (i = 0; i < d->n_results; i++)
        names[i] = d->results[i].status != NULL ? d->results[i].status : "";
    qsort(names, d->n_results, sizeof(*names), compare_names);
    (void)buf_add_char(b, '{');
    for (i = 0; i < d->n_results; i += same) {
        for (same = 1; i + same < d->n_results && str_eq(names[i], names[i + same]);)
            same++;
        if (i > 0)
            (void)buf_add_char(b, ',');
        add_string(b, names[i]);
        (void)buf_printf(b, ":%zu", same);
    }
    (void)buf_add_char(b, '}');
    return 0;
}

static int write_draft(const struct draft *d, struct buf *b, struct err *err)
{
    const struct reply_agent *agent = &d->h->agent;
    int r;

    (void)buf_add_str(b, "{\"additionalInfo\":{\"agent\":{");
    add_member(b, "lang", agent->lang);
    add_member(b, "name", agent->name);
    add_member(b, "os", agent->os);
    add_member(b, "osver", agent->osver);
    add_member(b, "ver", agent->ver);
    (void)buf_add_char(b, '}');
    add_time(b, "dateTime", d->h->now_unix_ms);
    add_member(b, "runId", "");
    (void)buf_add_str(b, ",\"runtimeStatusCounts\":");
    r = add_counts(b, d, err);
    if (r < 0)
        return r;
    if (d->h->mgs != REPLY_MGS_ABSENT)
        (void)buf_printf(b, ",\"ableToOpenMGSConnection\":%s",
                         d->h->mgs == REPLY_MGS_UP ? "true" : "false");
    (void)buf_add_char(b, '}');
    add_member(b, "documentStatus", d->status);
    add_text(b, "documentTraceOutput", d, TEXT_TRACE);
    (void)buf_add_str(b, ",\"runtimeStatus\":");
    if (!d->has_results) {
        (void)buf_add_str(b, "null");
    } else {
        (void)buf_add_char(b, '{');
        if (d->shown != NULL)
            add_result(b, d);
        (void)buf_add_char(b, '}');
    }
    (void)buf_add_char(b, '}');
    return 0;
}

/* Take an eighth of the longest text away: close to the limit without many attempts. False when
 * nothing is left to give. */
static bool shorten(struct draft *d)
{
    size_t i, longest = 0, best = 0;

    for (i = 0; i < N_TEXTS; i++) {
        size_t n = d->texts[i].len < d->limits[i] ? d->texts[i].len : d->limits[i];

        if (n > best) {
            best = n;
            longest = i;
        }
    }
    if (best == 0)
        return false;
    d->limits[longest] = best - best / 8 - 1;
    return true;
}

static int finish(struct draft *d, struct buf *b, struct err *err)
{
    AUTO(buf_done) struct buf attempt = {0};
    size_t i;
    int r;

    d->texts[TEXT_TRACE] = (struct reply_text){.s = d->trace, .len = strlen(d->trace)};
    if (d->shown != NULL) {
        d->texts[TEXT_OUTPUT] = d->shown->output;
        d->texts[TEXT_STANDARD_OUTPUT] = d->shown->standard_output;
        d->texts[TEXT_STANDARD_ERROR] = d->shown->standard_error;
    }
    for (i = 0; i < N_TEXTS; i++)
        d->limits[i] = SIZE_MAX;
    buf_init(&attempt, d->h->max_bytes != 0 ? d->h->max_bytes : SIZE_MAX - 1);
    do {
        buf_clear(&attempt);
        r = write_draft(d, &attempt, err);
    } while (r == 0 && attempt.failed == ERR_LIMIT && shorten(d));
    if (r == 0)
        r = buf_error(&attempt, "reply", err);
    if (r < 0)
        return r;
    (void)buf_add(b, attempt.data, attempt.len); /* checked on the next line */
    return buf_error(b, "reply", err);
}

static int64_t earlier(int64_t a, int64_t b)
{
    if (a == 0 || b == 0)
        return a + b;
    return a < b ? a : b;
}

/* One result per id. */
static int merge_results(struct draft *d, const struct reply_plugin *finished, size_t n,
                         struct err *err)
{
    size_t i, k;

    d->has_results = true;
    d->results = calloc(n + 1, sizeof(*d->results));
    if (d->results == NULL)
        return err_set(err, ERR_NOMEM, "reply: out of memory");
    for (i = 0; i < n; i++) {
        struct reply_plugin merged = finished[i];

        for (k = 0; k < d->n_results && !str_eq(d->results[k].id, merged.id);)
            k++;
        if (k < d->n_results) {
            const struct reply_plugin *before = &d->results[k];

            merged.status = reply_merge_status(before->status, merged.status);
            merged.code = sent_code(before) != 0 ? sent_code(before) : merged.code;
            merged.started_unix_ms = earlier(before->started_unix_ms, merged.started_unix_ms);
        } else {
            d->n_results++;
        }
        d->results[k] = merged;
    }
    return 0;
}

int reply_document_level(const struct reply_header *h, const char *status, const char *trace,
                         struct buf *b, struct err *err)
{
    struct draft d = {.h = h, .status = status, .trace = trace != NULL ? trace : ""};

    return finish(&d, b, err);
}

int reply_plugin_level(const struct reply_header *h, const struct reply_plugin *finished, size_t n,
                       struct buf *b, struct err *err)
{
    struct draft d = {.h = h, .status = reply_status_name(STATUS_IN_PROGRESS), .trace = ""};
    size_t i;
    int r = merge_results(&d, finished, n, err);

    for (i = 0; i < d.n_results && n > 0; i++)
        if (str_eq(d.results[i].id, finished[n - 1].id))
            d.shown = &d.results[i];
    if (r == 0)
        r = finish(&d, b, err);
    free(d.results);
    return r;
}

int reply_final(const struct reply_header *h, const struct reply_plugin *finished, size_t n,
                const char *status, struct buf *b, struct err *err)
{
    struct draft d = {.h = h, .status = status, .trace = ""};
    AUTO(free) const char **statuses = NULL;
    size_t i;
    int r = merge_results(&d, finished, n, err);

    if (r == 0 && status == NULL) {
        statuses = calloc(d.n_results + 1, sizeof(*statuses));
        for (i = 0; statuses != NULL && i < d.n_results; i++)
            statuses[i] = d.results[i].status;
        if (statuses != NULL)
            d.status = reply_document_status(statuses, d.n_results);
        else
            r = err_set(err, ERR_NOMEM, "reply: out of memory");
    }
    if (d.n_results == 1)
        d.shown = &d.results[0];
    if (r == 0)
        r = finish(&d, b, err);
    free(d.results);
    return r;
}
