/* `ssmctl audit verify` and `ssmctl audit export`: is the history what was written, and give it to
 * me. */
#include "journal/audit.h"

#include <inttypes.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/history.h"
#include "ctl/jsonw.h"
#include "ctl/report.h"
#include "ctl/text.h"

#define MAX_PRINTED 100

/* Findings are printed as they are found: a large journal takes a while. */
struct verifying {
    struct ctl *c;
    struct jsonw json;
    int64_t n;
};

static void found(void *ctx, const struct audit_finding *f)
{
    struct verifying *v = ctx;

    if (v->n++ >= MAX_PRINTED)
        return;
    if (v->c->is_json) {
        jsonw_open_object(&v->json, NULL);
        jsonw_str(&v->json, "table", f->table);
        jsonw_str(&v->json, "row", f->key);
        jsonw_str(&v->json, "text", f->text);
        jsonw_close_object(&v->json);
        return;
    }
    text_put(v->c->out, f->table);
    (void)fputc(' ', v->c->out);
    text_put(v->c->out, f->key);
    (void)fputs(": ", v->c->out);
    text_put(v->c->out, f->text);
    (void)fputc('\n', v->c->out);
}

static int keep_head(void *ctx, const struct reader_ledger_row *row, struct err *err)
{
    (void)err;
    (void)snprintf(ctx, 65, "%s", row->hash);
    return 0;
}

/* The hash of the ledger's newest row: what is worth writing down elsewhere. "" for an empty one.
 */
static int read_head(struct reader *reader, const struct audit_report *report, char ret_head[65],
                     struct err *err)
{
    ret_head[0] = '\0';
    return report->ledger_to > 0
               ? reader_ledger(reader, report->ledger_to - 1, keep_head, ret_head, err)
               : 0;
}

static void print(const struct verifying *v, const struct audit_report *report, const char *head)
{
    FILE *f = v->c->out;

    if (v->n > MAX_PRINTED)
        (void)fprintf(f, "and %" PRId64 " more\n", v->n - MAX_PRINTED);
    (void)fprintf(f,
                  "%s: %" PRId64 " jobs with %" PRId64 " transitions, %" PRId64
                  " messages, %" PRId64 " ledger rows were looked at\n",
                  report->n_findings == 0 ? "intact" : "NOT INTACT", report->n_instances,
                  report->n_transitions, report->n_messages, report->n_ledger);
    if (report->ledger_from > 1)
        (void)fprintf(f, "ledger: rows 1 to %" PRId64 " were removed by retention\n",
                      report->ledger_from - 1);
    if (report->has_head)
        (void)fprintf(f, "ledger: its side file vouches for %" PRId64 " rows\n", report->head_n);
    else
        (void)fprintf(f, "ledger: there is no side file %s, so a cut-off end would not be seen\n",
                      v->c->paths.ledger_head);
    if (head[0] != '\0')
        (void)fprintf(f, "ledger: row %" PRId64 " has the hash %s\n", report->ledger_to, head);
    (void)fprintf(f, "\n%s\n", audit_coverage());
}

static int write_rest(struct verifying *v, const struct audit_report *report, const char *head,
                      struct err *err)
{
    struct jsonw *w = &v->json;

    jsonw_close_list(w);
    jsonw_bool(w, "is_intact", report->n_findings == 0);
    jsonw_i64(w, "n_findings", report->n_findings);
    jsonw_i64(w, "n_instances", report->n_instances);
    jsonw_i64(w, "n_transitions", report->n_transitions);
    jsonw_i64(w, "n_messages", report->n_messages);
    jsonw_i64(w, "n_ledger", report->n_ledger);
    jsonw_i64(w, "ledger_from", report->ledger_from);
    jsonw_i64(w, "ledger_to", report->ledger_to);
    jsonw_str(w, "head", head[0] != '\0' ? head : NULL);
    jsonw_bool(w, "has_side_file", report->has_head);
    jsonw_i64(w, "side_file_rows", report->head_n);
    jsonw_str(w, "covers", audit_coverage());
    jsonw_close_object(w);
    return jsonw_end(w, err);
}

int ctl_run_audit_verify(struct ctl *c, struct err *err)
{
    AUTO(reader_close) struct reader *reader = NULL;
    struct verifying v = {.c = c};
    const struct audit_options options = {
        .head_path = c->paths.ledger_head, .found = found, .ctx = &v};
    struct audit_report report;
    char head[65];
    int r = history_open(&c->paths, &reader, err);

    if (r < 0)
        return r;
    if (c->is_json) {
        ctl_begin_json(c, &v.json);
        jsonw_open_object(&v.json, NULL);
        jsonw_open_list(&v.json, "findings");
    }
    if ((r = audit_verify(reader, &options, &report, err)) < 0 ||
        (r = read_head(reader, &report, head, err)) < 0)
        return r;
    if (c->is_json)
        r = write_rest(&v, &report, head, err);
    else
        print(&v, &report, head);
    return r < 0 ? r : report.n_findings == 0 ? CTL_OK : CTL_NO;
}

static int export_html(struct ctl *c, struct reader *reader, struct err *err)
{
    const struct audit_options options = {.head_path = c->paths.ledger_head};
    struct audit_report report;
    int r = audit_verify(reader, &options, &report, err);

    return r < 0 ? r : report_write(reader, &report, c->out, err);
}

int ctl_run_audit_export(struct ctl *c, struct err *err)
{
    AUTO(reader_close) struct reader *reader = NULL;
    const char *format = ctl_value(c, "format", "jsonl");
    int r;

    if (strcmp(format, "jsonl") != 0 && strcmp(format, "html") != 0)
        return err_set(err, ERR_USAGE, "option --format %s: the formats are jsonl and html",
                       format);
    r = history_open(&c->paths, &reader, err);
    if (r < 0)
        return r;
    return strcmp(format, "html") == 0 ? export_html(c, reader, err)
                                       : audit_export_jsonl(reader, c->out, err);
}
