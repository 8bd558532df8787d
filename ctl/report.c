/* `ssmctl audit export --format html`: the whole history as one page that needs nothing else, with
 * a time line for each job. Well-formed as XML, without a script, and with a policy that lets it
 * load nothing: what documents and services wrote is text in it, whatever it looks like. */
#include "ctl/report.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "ctl/text.h"
#include "fsm/command.h"

#define N_COLOURS 7

static const char style[] =
    "body{font:14px/1.4 sans-serif;margin:2em auto;max-width:70em;padding:0 1em;color:#222}"
    "h1{font-size:1.5em}h2{font-size:1.2em;margin-top:2em}"
    "table{border-collapse:collapse;margin:.5em 0}"
    "th,td{border-bottom:1px solid #ddd;padding:.15em .8em .15em 0;text-align:left;"
    "vertical-align:top}"
    "td.n{text-align:right}code,td.h{font-family:monospace;font-size:.85em;"
    "overflow-wrap:anywhere}"
    "summary{cursor:pointer;padding:.3em 0}details{border-top:1px solid #ccc}"
    ".bar{position:relative;height:1.1em;background:#eee;margin:.3em 0}"
    ".bar span{position:absolute;top:0;bottom:0;min-width:1px}"
    ".c0{background:#9aa5b1}.c1{background:#4c9be8}.c2{background:#f0a04b}.c3{background:#8f6fd1}"
    ".c4{background:#5bb98c}.c5{background:#d1698f}.c6{background:#6fc3d1}"
    ".good{color:#1a7f4b}.bad{color:#b3261e;font-weight:bold}";

struct report {
    struct reader *reader;
    FILE *out;
    struct buf line;      /* for one text on its way out */
    int64_t from, length; /* of the job's time line, Unix ms and ms */
    struct {
        char state[48];
        int64_t at_unix_ms;
    } segment; /* the state that it is in, at the row that was read last; "" before the first */
};

/* ---- texts ---- */

/* Any text from anywhere, as text of a page or of an attribute. */
static void put(struct report *p, const char *text)
{
    const char *at;

    buf_clear(&p->line);
    text_add(&p->line, text); /* without control characters; cut is better than nothing */
    for (at = buf_str(&p->line); *at != '\0'; at++) {
        const char *as = *at == '&'    ? "&amp;"
                         : *at == '<'  ? "&lt;"
                         : *at == '>'  ? "&gt;"
                         : *at == '"'  ? "&quot;"
                         : *at == '\'' ? "&#39;"
                                       : NULL;

        if (as != NULL)
            (void)fputs(as, p->out);
        else
            (void)fputc(*at, p->out);
    }
}

static void put_html(struct report *p, const char *html)
{
    (void)fputs(html, p->out);
}

static void put_cell(struct report *p, const char *class, const char *text)
{
    (void)fprintf(p->out, class[0] != '\0' ? "<td class=\"%s\">" : "<td>", class);
    put(p, text);
    put_html(p, "</td>");
}

static void put_number(struct report *p, int64_t n)
{
    (void)fprintf(p->out, "<td class=\"n\">%" PRId64 "</td>", n);
}

static void put_time(struct report *p, int64_t unix_ms)
{
    char text[ISO_MS_SIZE] = "-";

    if (unix_ms != 0)
        clock_format_iso_ms(unix_ms, text);
    (void)fprintf(p->out, "<td>%s</td>", text);
}

/* Names of columns, one after another. */
static void begin_table(struct report *p, const char *const *heads, size_t n)
{
    size_t i;

    put_html(p, "<table><tr>");
    for (i = 0; i < n; i++)
        (void)fprintf(p->out, "<th>%s</th>", heads[i]);
    put_html(p, "</tr>\n");
}

/* ---- one job ---- */

static unsigned colour_of(const char *state)
{
    unsigned h = 5381;

    for (; *state != '\0'; state++)
        h = h * 33 + (unsigned char)*state;
    return h % N_COLOURS;
}

/* From the row before to this one. Clocks may have been turned: what does not fit is drawn at the
 * edge. */
static void draw_segment(struct report *p, int64_t until_unix_ms)
{
    double from = (double)(p->segment.at_unix_ms - p->from) / (double)p->length * 100;
    double to = (double)(until_unix_ms - p->from) / (double)p->length * 100;
    char took[TEXT_SHORT_SIZE];

    if (p->segment.state[0] == '\0')
        return;
    from = from < 0 ? 0 : from > 100 ? 100 : from;
    to = to < from ? from : to > 100 ? 100 : to;
    text_duration(until_unix_ms - p->segment.at_unix_ms, took);
    (void)fprintf(p->out, "<span class=\"c%u\" style=\"left:%.2f%%;width:%.2f%%\" title=\"",
                  colour_of(p->segment.state), from, to - from);
    put(p, p->segment.state);
    (void)fprintf(p->out, ": %s\"></span>", took);
}

static int draw(void *ctx, const struct reader_transition *t, struct err *err)
{
    struct report *p = ctx;

    (void)err; /* the stream keeps its failure */
    draw_segment(p, t->at_unix_ms);
    (void)str_copy(p->segment.state, sizeof(p->segment.state), t->to); /* a longer one is cut */
    p->segment.at_unix_ms = t->at_unix_ms;
    return 0;
}

static int put_transition(void *ctx, const struct reader_transition *t, struct err *err)
{
    struct report *p = ctx;

    (void)err;
    put_html(p, "<tr>");
    put_number(p, t->n);
    put_time(p, t->at_unix_ms);
    put_cell(p, "", t->event);
    put_cell(p, "", t->from);
    put_cell(p, "", t->to);
    put_cell(p, "", t->detail);
    put_cell(p, "h", t->hash);
    put_html(p, "</tr>\n");
    return 0;
}

static int put_reply(void *ctx, const struct reader_reply *r, struct err *err)
{
    struct report *p = ctx;

    (void)err;
    put_html(p, "<tr>");
    put_cell(p, "", r->kind);
    put_time(p, r->created_unix_ms);
    put_time(p, r->ended_unix_ms);
    put_cell(p, "", r->end[0] != '\0' ? r->end : "owed");
    put_cell(p, "", r->text);
    put_cell(p, "h", r->reply_id);
    put_html(p, "</tr>\n");
    return 0;
}

static void put_steps(struct report *p, const struct fsm_instance *inst)
{
    static const char *const heads[] = {
        "step",  "attempt",       "status",      "code",          "began",
        "ended", "stdout, bytes", "its SHA-256", "stderr, bytes", "its SHA-256"};
    size_t i;

    begin_table(p, heads, ARRAY_LEN(heads));
    for (i = 0; i < inst->n_children; i++) {
        const struct command_unit *u = command_unit_at(inst, i);

        put_html(p, "<tr>");
        put_number(p, (int64_t)i + 1);
        put_number(p, u->attempt);
        put_cell(p, "", u->status[0] != '\0' ? u->status : "not begun");
        put_number(p, u->code);
        put_time(p, u->started_unix_ms);
        put_time(p, u->ended_unix_ms);
        put_number(p, u->stdout_bytes);
        put_cell(p, "h", u->stdout_sha256);
        put_number(p, u->stderr_bytes);
        put_cell(p, "h", u->stderr_sha256);
        put_html(p, "</tr>\n");
    }
    put_html(p, "</table>\n");
}

static int put_job(void *ctx, const struct reader_instance *i, struct err *err)
{
    static const char *const transition_heads[] = {"n",  "time",   "event", "from",
                                                   "to", "detail", "hash"};
    static const char *const reply_heads[] = {"reply", "made", "ended", "end", "text", "id"};
    struct report *p = ctx;
    bool is_command = i->is_loaded && i->inst.machine == &command_machine;
    int64_t end = i->ended_unix_ms != 0 ? i->ended_unix_ms : i->updated_unix_ms;
    char began[ISO_MS_SIZE], took[TEXT_SHORT_SIZE];
    int r;

    clock_format_iso_ms(i->created_unix_ms, began);
    text_duration(end - i->created_unix_ms, took);
    put_html(p, "<details><summary><code>");
    put(p, i->id);
    (void)fprintf(p->out, "</code> %s, %s%s: <b>", began, i->ended_unix_ms != 0 ? "" : "so far ",
                  took);
    put(p, i->status[0] != '\0' ? i->status : i->state);
    put_html(p, "</b> ");
    put(p, is_command ? command_of(&i->inst)->document_name : i->machine);
    put_html(p, "</summary>\n<div class=\"bar\">");
    p->from = i->created_unix_ms;
    p->length = end > i->created_unix_ms ? end - i->created_unix_ms : 1;
    p->segment.state[0] = '\0';
    r = reader_transitions(p->reader, i->id, draw, p, err);
    if (r < 0)
        return r;
    draw_segment(p, end);
    put_html(p, "</div>\n<p>");
    put(p, i->message_id[0] != '\0' ? i->message_id : "it came from no message");
    put_html(p, "</p>\n");
    if (is_command)
        put_steps(p, &i->inst);
    begin_table(p, transition_heads, ARRAY_LEN(transition_heads));
    r = reader_transitions(p->reader, i->id, put_transition, p, err);
    put_html(p, "</table>\n");
    begin_table(p, reply_heads, ARRAY_LEN(reply_heads));
    if (r == 0)
        r = reader_replies(p->reader, i->id, put_reply, p, err);
    put_html(p, "</table></details>\n");
    return r;
}

static int put_ledger_row(void *ctx, const struct reader_ledger_row *row, struct err *err)
{
    struct report *p = ctx;

    (void)err;
    put_html(p, "<tr>");
    put_number(p, row->n);
    put_cell(p, "h", row->id);
    put_cell(p, "", row->status[0] != '\0' ? row->status : row->state);
    put_time(p, row->created_unix_ms);
    put_time(p, row->ended_unix_ms);
    put_cell(p, "h", row->hash);
    put_html(p, "</tr>\n");
    return 0;
}

/* ---- the page ---- */

static void put_verdict(struct report *p, const struct audit_report *audit)
{
    if (audit->n_findings == 0) {
        put_html(p, "<p class=\"good\">The chains of hashes are intact.</p>\n");
    } else {
        (void)fprintf(p->out, "<p class=\"bad\">NOT INTACT: %" PRId64 " findings, the first in ",
                      audit->n_findings);
        put(p, audit->first.table);
        put_html(p, " ");
        put(p, audit->first.key);
        put_html(p, ": ");
        put(p, audit->first.text);
        put_html(p, "</p>\n");
    }
    put_html(p, "<p>");
    put(p, audit_coverage());
    put_html(p, "</p>\n");
}

static int put_page(struct report *p, const struct audit_report *audit, struct err *err)
{
    static const char *const ledger_heads[] = {"n", "job", "status", "made", "ended", "hash"};
    const struct reader_filter everything = {0};
    char now[ISO_MS_SIZE];
    int r;

    clock_format_iso_ms(clock_wall_ms(), now);
    (void)fprintf(p->out,
                  "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">"
                  "<head><meta charset=\"utf-8\" />"
                  "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                  "style-src 'unsafe-inline'\" />"
                  "<title>History of ssmd</title><style>%s</style></head>\n<body>"
                  "<h1>History of ssmd, %s</h1>\n<p>Times are UTC, by the clock of the machine at "
                  "each of them.</p>\n",
                  style, now);
    put_verdict(p, audit);
    (void)fprintf(p->out,
                  "<h2>Jobs</h2>\n<p>%" PRId64 ", newest first; open one for its steps and its "
                  "history.</p>\n",
                  audit->n_instances);
    r = reader_list(p->reader, &everything, put_job, p, err);
    if (r < 0)
        return r;
    put_html(p, "<h2>Ledger</h2>\n<p>One row for each job that has ended, whether its history is "
                "still here or not.</p>\n");
    begin_table(p, ledger_heads, ARRAY_LEN(ledger_heads));
    r = reader_ledger(p->reader, 0, put_ledger_row, p, err);
    put_html(p, "</table>\n</body></html>\n");
    return r;
}

int report_write(struct reader *reader, const struct audit_report *audit, FILE *out,
                 struct err *err)
{
    struct report p = {.reader = reader, .out = out};
    int r;

    buf_init(&p.line, 65536);
    r = put_page(&p, audit, err);
    buf_done(&p.line);
    if (r == 0 && (fflush(out) != 0 || ferror(out) != 0))
        r = err_sys(err, ERR_IO, errno, "write the report");
    return r;
}
