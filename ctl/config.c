/* `ssmctl config`: what a configuration file says and does not do, and which keys there are. ssmd
 * reads its file with the same code. */
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "ctl/ctl.h"
#include "ctl/jsonw.h"
#include "ctl/text.h"
#include "schema/config.h"

#define VALUE_BYTES 6000

struct line {
    enum config_severity severity;
    const char *kind; /* static */
    int line;
    char *key, *text, *used; /* owned */
};

struct report {
    struct line *lines; /* owned, `n` of them */
    size_t n, n_warnings;
    bool has_failed; /* memory was short */
};

static void report_done(struct report *r)
{
    size_t i;

    for (i = 0; i < r->n; i++) {
        free(r->lines[i].key);
        free(r->lines[i].text);
        free(r->lines[i].used);
    }
    free(r->lines);
}

static void report_done_cleanup(struct report *r)
{
    report_done(r);
}

/* Kept in the order of lines; what belongs to the whole file follows what belongs to one key. */
static void add_finding(void *ctx, const struct config_finding *f)
{
    struct report *r = ctx;
    struct line *grown = reallocarray(r->lines, r->n + 1, sizeof(*r->lines)), added;
    size_t i;

    if (grown == NULL) {
        r->has_failed = true;
        return;
    }
    r->lines = grown;
    added = (struct line){.severity = f->severity,
                          .kind = f->kind,
                          .line = f->line,
                          .key = strdup(f->key),
                          .text = strdup(f->text),
                          .used = strdup(f->used)};
    if (added.key == NULL || added.text == NULL || added.used == NULL)
        r->has_failed = true;
    for (i = r->n; i > 0 && r->lines[i - 1].line > f->line; i--)
        r->lines[i] = r->lines[i - 1];
    r->lines[i] = added;
    r->n++;
    r->n_warnings += f->severity == CONFIG_WARNING;
}

static void name_no_helpers(struct config *config)
{
    config->runner_path[0] = config->download_path[0] = config->stager_path[0] = '\0';
}

/* With the same defaults as ssmd, which looks for its helpers beside itself. */
static void init_as_ssmd(struct config *config)
{
    char path[PATH_MAX], real[PATH_MAX], *slash;
    bool is_known = ctl_find_ssmd(path, sizeof(path)) && realpath(path, real) != NULL;

    slash = is_known ? strrchr(real, '/') : NULL;
    if (slash != NULL)
        *slash = '\0';
    config_init(config, is_known ? real : "");
    if (!is_known)
        name_no_helpers(config);
}

/* ERR_NOT_FOUND: there is no such file. */
static int check_file(const char *path, struct report *report, struct err *err)
{
    AUTO(buf_done) struct buf text = {0};
    AUTO(free) struct config *config = calloc(1, sizeof(*config));
    char real[PATH_MAX];
    int r;

    if (config == NULL)
        return err_set(err, ERR_NOMEM, "%s: out of memory", path);
    buf_init(&text, CONFIG_MAX_BYTES);
    r = fs_read_file(AT_FDCWD, realpath(path, real) != NULL ? real : path, &text, err);
    if (r < 0)
        return r;
    init_as_ssmd(config);
    r = config_parse(config, buf_str(&text), text.len, path, add_finding, report, err);
    if (r < 0)
        return r;
    config_check_files(config, fs_check_use, add_finding, report);
    return report->has_failed ? err_set(err, ERR_NOMEM, "%s: out of memory", path) : 0;
}

static void print_report(FILE *f, const char *path, const struct report *report)
{
    size_t i, n_notes = report->n - report->n_warnings;

    for (i = 0; i < report->n; i++) {
        const struct line *l = &report->lines[i];

        text_put(f, path);
        (void)fprintf(f, ":%d: %s: ", l->line, l->severity == CONFIG_WARNING ? "warning" : "note");
        text_put(f, l->key);
        (void)fputs(": ", f);
        text_put(f, l->text);
        if (l->used[0] != '\0') {
            (void)fputs("; ", f);
            text_put(f, l->used);
            (void)fputs(" is used", f);
        }
        (void)fputc('\n', f);
    }
    text_put(f, path);
    if (report->n == 0)
        (void)fputs(": every line does what it says\n", f);
    else
        (void)fprintf(f, ": %zu warning%s, %zu note%s\n", report->n_warnings,
                      report->n_warnings == 1 ? "" : "s", n_notes, n_notes == 1 ? "" : "s");
}

static int write_report(struct ctl *c, const char *path, bool exists, const struct report *report,
                        struct err *err)
{
    struct jsonw w;
    size_t i;

    ctl_begin_json(c, &w);
    jsonw_open_object(&w, NULL);
    jsonw_str(&w, "file", path);
    jsonw_bool(&w, "exists", exists);
    jsonw_i64(&w, "n_warnings", (int64_t)report->n_warnings);
    jsonw_i64(&w, "n_notes", (int64_t)(report->n - report->n_warnings));
    jsonw_open_list(&w, "findings");
    for (i = 0; i < report->n; i++) {
        const struct line *l = &report->lines[i];

        jsonw_open_object(&w, NULL);
        jsonw_i64(&w, "line", l->line);
        jsonw_str(&w, "severity", l->severity == CONFIG_WARNING ? "warning" : "note");
        jsonw_str(&w, "kind", l->kind);
        jsonw_str(&w, "key", l->key);
        jsonw_str(&w, "text", l->text);
        jsonw_str(&w, "used", l->used[0] != '\0' ? l->used : NULL);
        jsonw_close_object(&w);
    }
    jsonw_close_list(&w);
    jsonw_close_object(&w);
    return jsonw_end(&w, err);
}

int ctl_run_config_check(struct ctl *c, struct err *err)
{
    AUTO(report_done) struct report report = {.lines = NULL};
    const char *path = c->n_args > 0 ? c->args[0] : paths_choose_config(&c->paths);
    bool exists = true;
    int r = check_file(path, &report, err);

    if (r == ERR_NOT_FOUND && c->n_args == 0) { /* ssmd then goes by its defaults */
        exists = false;
        r = 0;
    }
    if (r < 0)
        return r == ERR_NOT_FOUND || r == ERR_INVALID ? r : err_wrap(err, "configuration");
    if (c->is_json)
        r = write_report(c, path, exists, &report, err);
    else if (exists)
        print_report(c->out, path, &report);
    else
        (void)fprintf(c->out,
                      "there is neither %s nor %s: ssmd goes by its defaults\n"
                      "`ssmctl config keys` lists them\n",
                      c->paths.config, c->paths.reference_config);
    if (r < 0)
        return r;
    return report.n_warnings > 0 ? CTL_NO : CTL_OK;
}

/* ---- keys ---- */

static const char *use_name(const struct config_key *k)
{
    return k->use == CONFIG_USED ? "used" : k->use == CONFIG_UNUSED ? "unused" : "never-read";
}

static int print_keys(struct ctl *c, const struct config *defaults, struct err *err)
{
    AUTO(table_done) struct table t = {0};
    const struct config_key *k;
    char value[VALUE_BYTES], limits[128];

    table_init(&t, 4, 0);
    table_cell(&t, "KEY");
    table_cell(&t, "DEFAULT");
    table_cell(&t, "BOUNDS");
    table_cell(&t, "EFFECT");
    for (k = config_keys; k->section != NULL; k++) {
        config_value(defaults, k, value, sizeof(value));
        if (strlen(value) > 48)
            (void)str_copy(value, sizeof(value), "(long)");
        config_bounds(k, limits, sizeof(limits));
        table_cell(&t, "%s.%s", k->section, k->name);
        table_cell(&t, "%s", value);
        table_cell(&t, "%s", limits);
        table_cell(&t, "%s%s", k->use == CONFIG_USED ? "" : "none: ", k->note);
    }
    return table_print(&t, 0, c->out, err);
}

/* null: none. */
static void write_bound(struct jsonw *w, const char *name, const struct config_key *k, int64_t v)
{
    if (k->type == CONFIG_NUMBER && config_is_bound(v))
        jsonw_i64(w, name, v);
    else
        jsonw_raw(w, name, "null");
}

static int write_keys(struct ctl *c, const struct config *defaults, struct err *err)
{
    const struct config_key *k;
    char value[VALUE_BYTES];
    struct jsonw w;

    ctl_begin_json(c, &w);
    jsonw_open_object(&w, NULL);
    jsonw_open_list(&w, "keys");
    for (k = config_keys; k->section != NULL; k++) {
        char name[128];

        (void)snprintf(name, sizeof(name), "%s.%s", k->section, k->name);
        config_value(defaults, k, value, sizeof(value));
        jsonw_open_object(&w, NULL);
        jsonw_str(&w, "key", name);
        jsonw_str(&w, "type", config_type_name(k));
        jsonw_raw(&w, "default", value);
        write_bound(&w, "min", k, k->min);
        write_bound(&w, "max", k, k->max);
        if (k->choices != NULL)
            jsonw_str(&w, "choices", k->choices);
        jsonw_str(&w, "use", use_name(k));
        jsonw_bool(&w, "is_ours", config_is_ours(k));
        jsonw_bool(&w, "reload", (k->flags & CONFIG_LIVE) != 0);
        jsonw_str(&w, "note", k->note);
        jsonw_close_object(&w);
    }
    jsonw_close_list(&w);
    jsonw_close_object(&w);
    return jsonw_end(&w, err);
}

int ctl_run_config_keys(struct ctl *c, struct err *err)
{
    AUTO(free) struct config *defaults = calloc(1, sizeof(*defaults));

    if (defaults == NULL)
        return err_set(err, ERR_NOMEM, "keys: out of memory");
    config_init(defaults, "");
    name_no_helpers(defaults);
    return c->is_json ? write_keys(c, defaults, err) : print_keys(c, defaults, err);
}
