/* `ssmctl status`: what matters, on one page. ssmd is asked; what it cannot say because it does not
 * run, its journal says. */
#include <inttypes.h>

#include "base/clock.h"
#include "base/str.h"
#include "ctl/ctl.h"
#include "ctl/history.h"
#include "ctl/job.h"
#include "ctl/status_internal.h"
#include "schema/json.h"

#define MAX_LISTED 20
#define MAX_FAILED 5
#define FAILED_WITHIN_MS (INT64_C(7) * 24 * 3600 * 1000)

/* Three lists of jobs. Those that run and those that wait to be reported are different jobs. */
struct part {
    const char *key, *heading;
    bool (*is_in)(const struct reader_instance *i);
    size_t max;
};

static bool runs(const struct reader_instance *i)
{
    return i->ended_unix_ms == 0 && !job_is_over(i) &&
           (job_is_command(i) || !i->is_loaded || (job_is_update(i) && !job_is_part(i)));
}

static bool waits_to_be_reported(const struct reader_instance *i)
{
    return i->ended_unix_ms == 0 && job_is_command(i) && job_is_over(i);
}

static const struct part parts[] = {
    {"running", "Running or waiting for their turn", runs, MAX_LISTED},
    {"unreported", "Waiting to be reported to the service", waits_to_be_reported, MAX_LISTED},
    {"failed", "Ended without success in the last 7 days", job_has_failed, MAX_FAILED},
};

struct page {
    struct ctl *c;
    struct reader *reader;  /* NULL: the journal cannot be read */
    struct err journal_err; /* why */
    cJSON *live;            /* owned; NULL: ssmd does not answer */
    struct err live_err;    /* why */
    struct journal_counts counts;
    int64_t now_unix_ms;
    /* of the part that is being listed */
    const struct part *part;
    struct table table;
    struct jsonw json;
    size_t n;
};

static int add_job(void *ctx, const struct reader_instance *i, struct err *err)
{
    struct page *p = ctx;

    (void)err;
    if (!p->part->is_in(i) || p->n++ >= p->part->max)
        return 0;
    if (!p->c->is_json) {
        job_table_add(&p->table, i, p->now_unix_ms);
        return 0;
    }
    jsonw_open_object(&p->json, NULL);
    job_write_members(&p->json, i);
    jsonw_close_object(&p->json);
    return 0;
}

static int list_part(struct page *p, const struct part *part, struct err *err)
{
    struct reader_filter filter = {.which = READER_OPEN};

    if (part->is_in == job_has_failed)
        filter = (struct reader_filter){.since_unix_ms = p->now_unix_ms - FAILED_WITHIN_MS};
    p->part = part;
    p->n = 0;
    return p->reader != NULL ? reader_list(p->reader, &filter, add_job, p, err) : 0;
}

static int print_part(struct page *p, const struct part *part, struct err *err)
{
    int r;

    job_table_init(&p->table);
    r = list_part(p, part, err);
    if (r == 0 && p->n > 0) {
        (void)fprintf(p->c->out, "\n%s:\n", part->heading);
        r = table_print(&p->table, 2, p->c->out, err);
        if (p->n > part->max)
            (void)fprintf(p->c->out, "  and %zu more; `ssmctl jobs` lists them\n",
                          p->n - part->max);
    }
    table_done(&p->table);
    return r;
}

/* The facts that the journal has when ssmd is silent. */
static void print_journal(const struct page *p)
{
    FILE *f = p->c->out;
    char size[TEXT_SHORT_SIZE];

    if (p->reader == NULL) {
        (void)fputs("journal      ", f);
        text_put(f, p->journal_err.text);
        (void)fputc('\n', f);
        return;
    }
    text_size(p->counts.size_bytes, size);
    if (p->live == NULL)
        (void)fprintf(f, "journal      %s, %s\n", p->c->paths.journal, size);
    (void)fprintf(f,
                  "history      %" PRId64 " open, %" PRId64 " with a reply still owed, %" PRId64
                  " ended and kept, %" PRId64 " in the ledger\n",
                  p->counts.n_open, p->counts.n_unreported, p->counts.n_ended, p->counts.n_ledger);
}

static int print(struct page *p, struct err *err)
{
    size_t i;
    int r = 0;

    if (p->live != NULL) {
        status_live_print_facts(p->live, p->c->out);
    } else {
        (void)fputs("ssmd         ", p->c->out);
        text_put(p->c->out, p->live_err.text);
        (void)fputs(p->reader != NULL ? "\n             what follows is from its journal\n" : "\n",
                    p->c->out);
    }
    print_journal(p);
    for (i = 0; r == 0 && i < ARRAY_LEN(parts); i++)
        r = print_part(p, &parts[i], err);
    if (r == 0 && p->live != NULL)
        status_live_print_errors(p->live, p->c->out);
    return r;
}

static void write_counts(struct page *p)
{
    struct jsonw *w = &p->json;

    if (p->reader == NULL) {
        jsonw_raw(w, "journal", "null");
        return;
    }
    jsonw_open_object(w, "journal");
    jsonw_i64(w, "n_open", p->counts.n_open);
    jsonw_i64(w, "n_unreported", p->counts.n_unreported);
    jsonw_i64(w, "n_ended", p->counts.n_ended);
    jsonw_i64(w, "n_ledger", p->counts.n_ledger);
    jsonw_i64(w, "size_bytes", p->counts.size_bytes);
    jsonw_close_object(w);
}

static int write_json(struct page *p, bool is_healthy, struct err *err)
{
    AUTO(buf_done) struct buf live = {0};
    struct jsonw *w = &p->json;
    size_t i;
    int r;

    buf_init(&live, 8u << 20);
    if (p->live != NULL)
        json_write(&live, p->live);
    else
        (void)buf_add_str(&live, "null");
    r = buf_error(&live, "status of ssmd", err);
    ctl_begin_json(p->c, w);
    jsonw_open_object(w, NULL);
    jsonw_bool(w, "is_running", p->live != NULL);
    jsonw_bool(w, "is_healthy", is_healthy);
    jsonw_str(w, "text",
              p->live == NULL     ? p->live_err.text
              : p->reader == NULL ? p->journal_err.text
                                  : "");
    jsonw_raw(w, "ssmd", buf_str(&live));
    write_counts(p);
    for (i = 0; r == 0 && i < ARRAY_LEN(parts); i++) {
        jsonw_open_list(w, parts[i].key);
        r = list_part(p, &parts[i], err);
        jsonw_close_list(w);
    }
    jsonw_close_object(w);
    return r < 0 ? r : jsonw_end(w, err);
}

int ctl_run_status(struct ctl *c, struct err *err)
{
    struct page p = {.c = c, .now_unix_ms = clock_wall_ms()};
    bool is_healthy;
    int r;

    /* Either half may be missing: that is an answer. That ssmd cannot be asked is none. */
    r = status_live_ask(&c->paths, &p.live, &p.live_err);
    is_healthy = r == 0 && status_live_is_healthy(p.live);
    if (r == ERR_NETWORK || r == 0) {
        r = history_open(&c->paths, &p.reader, &p.journal_err);
        r = r == 0 ? reader_counts(p.reader, &p.counts, err) : 0;
    } else {
        *err = p.live_err;
    }
    if (r == 0)
        r = c->is_json ? write_json(&p, is_healthy, err) : print(&p, err);
    reader_close(p.reader);
    cJSON_Delete(p.live);
    return r < 0 ? r : is_healthy ? CTL_OK : CTL_NO;
}
