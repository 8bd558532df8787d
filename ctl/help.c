/* `ssmctl help` and `ssmctl version`, and what to say to a verb that does not exist. All from the
 * table of verbs. */
#include <string.h>

#include "base/str.h"
#include "base/version.h"
#include "ctl/cli_internal.h"
#include "ctl/jsonw.h"
#include "ctl/text.h"

/* Words of `name` that words[0..n) begin with; 0 when they do not. */
static size_t match(const char *name, const char *const *words, size_t n)
{
    size_t used = 0;

    for (;;) {
        size_t len = strcspn(name, " ");

        if (used == n || strlen(words[used]) != len || memcmp(words[used], name, len) != 0)
            return 0;
        used++;
        if (name[len] == '\0')
            return used;
        name += len + 1;
    }
}

const struct ctl_verb *ctl_find_verb(const char *const *words, size_t n, size_t *ret_n_words)
{
    const struct ctl_verb *v;

    for (v = ctl_verbs; v->name != NULL; v++) {
        /* `help audit verify` gives two words, `audit verify --help` one with a blank in it. */
        size_t used = n > 0 && str_eq(v->name, words[0]) ? 1 : match(v->name, words, n);

        if (used > 0) {
            *ret_n_words = used;
            return v;
        }
    }
    return NULL;
}

/* Verbs of two words that begin with `word`: their second words, as "verify or export". */
static size_t second_words(const char *word, char *ret_text, size_t size)
{
    const struct ctl_verb *v;
    size_t n = 0, len = strlen(word), used = 0;

    ret_text[0] = '\0';
    for (v = ctl_verbs; v->name != NULL; v++) {
        int k;

        if (strncmp(v->name, word, len) != 0 || v->name[len] != ' ')
            continue;
        k = snprintf(ret_text + used, size - used, "%s%s", n > 0 ? " or " : "", v->name + len + 1);
        used += (size_t)k < size - used ? (size_t)k : size - used - 1;
        n++;
    }
    return n;
}

int ctl_unknown_verb(const char *const *words, size_t n, struct err *err)
{
    const struct ctl_verb *v, *best = NULL;
    size_t best_distance = 3;
    char choices[128];

    if (second_words(words[0], choices, sizeof(choices)) > 0)
        return n > 1 ? err_set(err, ERR_USAGE, "%s %s: not a verb; after %s comes %s", words[0],
                               words[1], words[0], choices)
                     : err_set(err, ERR_USAGE, "%s: not complete; after it comes %s", words[0],
                               choices);
    for (v = ctl_verbs; v->name != NULL; v++) {
        size_t d =
            str_has_prefix(v->name, words[0]) ? 1 : str_distance(words[0], v->name, best_distance);

        if (d < best_distance) {
            best_distance = d;
            best = v;
        }
    }
    if (best != NULL)
        return err_set(err, ERR_USAGE, "%s: not a verb; did you mean %s?", words[0], best->name);
    return err_set(err, ERR_USAGE, "%s: not a verb; `ssmctl help` lists them", words[0]);
}

static void print_options(const struct ctl_option *options, FILE *f)
{
    const struct ctl_option *o;

    for (o = options; o != NULL && o->name != NULL; o++) {
        char form[64];

        (void)snprintf(form, sizeof(form), "%c%c%s--%s%s%s", o->letter != '\0' ? '-' : ' ',
                       o->letter != '\0' ? o->letter : ' ', o->letter != '\0' ? ", " : "  ",
                       o->name, o->value != NULL ? " " : "", o->value != NULL ? o->value : "");
        (void)fprintf(f, "  %-26s %s\n", form, o->help);
    }
}

static void print_one(const struct ctl_verb *v, FILE *f)
{
    (void)fprintf(f, "ssmctl [--root DIR] [--json] %s%s%s\n\n%s.\n", v->name,
                  v->synopsis[0] != '\0' ? " " : "", v->synopsis, v->help);
    if (v->more_help != NULL)
        (void)fprintf(f, "%s\n", v->more_help);
    if (v->options != NULL)
        (void)fputs("\nOptions:\n", f);
    print_options(v->options, f);
    (void)fputs("\nExit status:\n  0    yes\n", f);
    if (v->says_no != NULL)
        (void)fprintf(f, "  1    %s\n", v->says_no);
    (void)fputs("  100  the command line cannot be understood\n"
                "  111  a file, a system call or ssmd failed; trying again may help\n",
                f);
}

static void print_all(FILE *f)
{
    const struct ctl_verb *v;

    (void)fputs("ssmctl [--root DIR] [--json] VERB ...\n\n"
                "Asks and tells ssmd, the Systems Manager agent of this machine. Without a verb: "
                "status.\n\n",
                f);
    for (v = ctl_verbs; v->name != NULL; v++)
        (void)fprintf(f, "  %-17s %s\n", v->name, v->help);
    (void)fputs("\nOptions that every verb takes:\n", f);
    print_options(ctl_global_options, f);
    (void)fputs("\n`ssmctl help VERB` tells the rest, exit codes included.\n", f);
}

static void write_options(struct jsonw *w, const struct ctl_option *options)
{
    const struct ctl_option *o;

    jsonw_open_list(w, "options");
    for (o = options; o != NULL && o->name != NULL; o++) {
        char letter[2] = {o->letter, '\0'};

        jsonw_open_object(w, NULL);
        jsonw_str(w, "name", o->name);
        jsonw_str(w, "letter", o->letter != '\0' ? letter : NULL);
        jsonw_str(w, "value", o->value);
        jsonw_str(w, "help", o->help);
        jsonw_close_object(w);
    }
    jsonw_close_list(w);
}

static int print_json(struct ctl *c, const struct ctl_verb *only, struct err *err)
{
    const struct ctl_verb *v;
    struct jsonw w;

    ctl_begin_json(c, &w);
    jsonw_open_object(&w, NULL);
    jsonw_open_list(&w, "verbs");
    for (v = ctl_verbs; v->name != NULL; v++) {
        if (only != NULL && v != only)
            continue;
        jsonw_open_object(&w, NULL);
        jsonw_str(&w, "name", v->name);
        jsonw_str(&w, "synopsis", v->synopsis);
        jsonw_str(&w, "help", v->help);
        jsonw_str(&w, "says_no", v->says_no);
        write_options(&w, v->options);
        jsonw_close_object(&w);
    }
    jsonw_close_list(&w);
    write_options(&w, ctl_global_options);
    jsonw_close_object(&w);
    return jsonw_end(&w, err);
}

/* `help audit` names no verb but the beginning of two: all of them are printed. */
static int print_beginning(const struct ctl *c, struct err *err)
{
    const struct ctl_verb *v;
    char choices[128];
    size_t len = strlen(c->args[0]), n = 0;

    if (c->n_args > 1 || second_words(c->args[0], choices, sizeof(choices)) == 0) {
        int r = ctl_unknown_verb(c->args, c->n_args, err);

        err->code = ERR_NOT_FOUND; /* the command line was understood: the answer is no */
        return r < 0 ? ERR_NOT_FOUND : r;
    }
    for (v = ctl_verbs; v->name != NULL; v++)
        if (strncmp(v->name, c->args[0], len) == 0 && v->name[len] == ' ') {
            if (n++ > 0)
                (void)fputc('\n', c->out);
            print_one(v, c->out);
        }
    return CTL_OK;
}

int ctl_run_help(struct ctl *c, struct err *err)
{
    const struct ctl_verb *v = NULL;
    size_t n_words = 0;

    if (c->n_args > 0) {
        v = ctl_find_verb(c->args, c->n_args, &n_words);
        if (v == NULL)
            return print_beginning(c, err);
        if (n_words != c->n_args)
            return err_set(err, ERR_USAGE, "help: \"%s\" is one argument too many",
                           c->args[n_words]);
    }
    if (c->is_json)
        return print_json(c, v, err);
    if (v != NULL)
        print_one(v, c->out);
    else
        print_all(c->out);
    return CTL_OK;
}

int ctl_run_version(struct ctl *c, struct err *err)
{
    struct jsonw w;

    if (!c->is_json) {
        (void)fprintf(c->out, "ssmctl %s\n", ssmd_version);
        return CTL_OK;
    }
    ctl_begin_json(c, &w);
    jsonw_open_object(&w, NULL);
    jsonw_str(&w, "version", ssmd_version);
    jsonw_close_object(&w);
    return jsonw_end(&w, err);
}
