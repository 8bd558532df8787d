/* The command line of ssmctl: which verb, which options, how many arguments; and the one place
 * where errors are printed and become exit codes. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "ctl/cli_internal.h"
#include "ctl/jsonw.h"
#include "ctl/text.h"

const struct ctl_option ctl_global_options[] = {
    {"root", '\0', "DIR", "find ssmd's files below DIR instead of /"},
    {"json", '\0', NULL, "print one JSON document"},
    {"help", 'h', NULL, "what the verb does"},
    {"version", 'V', NULL, "print the version"},
    {NULL, '\0', NULL, NULL},
};

/* A command line taken apart. */
struct command_line {
    const char *args[CTL_MAX_ARGS];
    struct ctl_given given[CTL_MAX_ARGS];
    size_t n_args, n_given;
    const struct ctl_verb *verb;
    bool is_only_args; /* "--" was seen */
};

static const struct ctl_option *find_in(const struct ctl_option *options, const char *name,
                                        size_t len, char letter)
{
    const struct ctl_option *o;

    for (o = options; o != NULL && o->name != NULL; o++)
        if (letter != '\0' ? o->letter == letter
                           : strlen(o->name) == len && memcmp(o->name, name, len) == 0)
            return o;
    return NULL;
}

static const struct ctl_option *find_option(const struct ctl_verb *verb, const char *name,
                                            size_t len, char letter)
{
    const struct ctl_option *o = find_in(verb != NULL ? verb->options : NULL, name, len, letter);

    /* The verb's own first: `release add --version 1.2.0` means a package's. */
    return o != NULL ? o : find_in(ctl_global_options, name, len, letter);
}

static bool is_option_of_any_verb(const char *name, size_t len, char letter)
{
    const struct ctl_verb *v;

    for (v = ctl_verbs; v->name != NULL; v++)
        if (find_in(v->options, name, len, letter) != NULL)
            return true;
    return false;
}

static int unknown_option(const struct command_line *line, const char *word, size_t len,
                          char letter, struct err *err)
{
    const char *verb = line->verb != NULL ? line->verb->name : NULL;
    const char *best = NULL;
    const struct ctl_option *o;
    size_t best_distance = 3, pass;

    if (verb == NULL)
        return err_set(err, ERR_USAGE, "option %s: %s", word,
                       is_option_of_any_verb(word + 2, len, letter)
                           ? "it belongs to a verb and stands after it; see `ssmctl help`"
                           : "not known; see `ssmctl help`");
    for (pass = 0; pass < 2 && letter == '\0'; pass++)
        for (o = pass == 0 ? line->verb->options : ctl_global_options; o != NULL && o->name != NULL;
             o++) {
            size_t d = str_distance(word + 2, o->name, best_distance);

            if (d < best_distance) {
                best_distance = d;
                best = o->name;
            }
        }
    if (best != NULL)
        return err_set(err, ERR_USAGE, "option %s: `ssmctl %s` has no such option; try --%s", word,
                       verb, best);
    return err_set(err, ERR_USAGE,
                   "option %s: `ssmctl %s` has no such option; see `ssmctl help %s`", word, verb,
                   verb);
}

/* One word that begins with a dash, with its value where it takes one. Returns how many words were
 * used, or ERR_USAGE. */
static int take_option(struct command_line *line, int argc, char *const argv[], int at,
                       struct err *err)
{
    const char *word = argv[at], *value = NULL;
    const struct ctl_option *o;
    const char *equals = NULL;
    char letter = '\0';
    int n_used = 1;
    size_t len;

    if (word[1] == '-') {
        equals = strchr(word, '=');
        len = equals != NULL ? (size_t)(equals - word) - 2 : strlen(word + 2);
    } else {
        letter = word[1];
        len = 1;
    }
    o = find_option(line->verb, word + 2, len, letter);
    if (o == NULL)
        return unknown_option(line, word, len, letter, err);
    if (letter != '\0' && word[2] != '\0') {
        if (o->value == NULL)
            return err_set(err, ERR_USAGE,
                           "option %s: -%c takes no value; give letters one by one (-a -n 5)", word,
                           letter);
        value = word + 2;
    } else if (equals != NULL) {
        if (o->value == NULL)
            return err_set(err, ERR_USAGE, "option --%s: it takes no value", o->name);
        value = equals + 1;
    } else if (o->value != NULL) {
        if (at + 1 >= argc)
            return err_set(err, ERR_USAGE, "option --%s: its value is missing (--%s %s)", o->name,
                           o->name, o->value);
        value = argv[at + 1];
        n_used = 2;
    }
    line->given[line->n_given++] = (struct ctl_given){o, value};
    return n_used;
}

/* A verb's options are known once its name is complete: "audit" alone is not a verb, "audit verify"
 * is. */
static void look_for_verb(struct command_line *line)
{
    size_t n_words;

    if (line->verb != NULL)
        return;
    line->verb = ctl_find_verb(line->args, line->n_args, &n_words);
    if (line->verb != NULL)
        line->n_args = 0;
}

static int take_apart(struct command_line *line, int argc, char *const argv[], struct err *err)
{
    int at, r;

    if (argc > CTL_MAX_ARGS)
        return err_set(err, ERR_USAGE, "command line: more than %d words", CTL_MAX_ARGS);
    for (at = 1; at < argc; at += r) {
        const char *word = argv[at];

        r = 1;
        if (!line->is_only_args && strcmp(word, "--") == 0) {
            line->is_only_args = true;
        } else if (!line->is_only_args && word[0] == '-' && word[1] != '\0') {
            r = take_option(line, argc, argv, at, err);
            if (r < 0)
                return r;
        } else {
            line->args[line->n_args++] = word;
            look_for_verb(line);
        }
    }
    return 0;
}

static bool has_global(const struct ctl *c, const char *option)
{
    size_t i;

    for (i = 0; i < c->n_given; i++)
        if (c->given[i].option == find_in(ctl_global_options, option, strlen(option), '\0'))
            return true;
    return false;
}

bool ctl_has(const struct ctl *c, const char *option)
{
    size_t i;

    for (i = 0; i < c->n_given; i++) {
        assert(c->given[i].option != NULL); /* take_option: what is not known is not kept */
        if (str_eq(c->given[i].option->name, option))
            return true;
    }
    return false;
}

const char *ctl_value(const struct ctl *c, const char *option, const char *otherwise)
{
    size_t i;

    for (i = c->n_given; i > 0; i--)
        if (str_eq(c->given[i - 1].option->name, option))
            return c->given[i - 1].value;
    return otherwise;
}

int ctl_value_i64(const struct ctl *c, const char *option, int64_t min, int64_t max,
                  int64_t otherwise, int64_t *ret_value, struct err *err)
{
    const char *value = ctl_value(c, option, NULL);
    int64_t v = otherwise;

    if (value != NULL && !str_to_i64(value, min, max, &v))
        return err_set(err, ERR_USAGE,
                       "option --%s %s: it must be a number from %" PRId64 " to %" PRId64, option,
                       value, min, max);
    *ret_value = v;
    return 0;
}

void ctl_begin_json(struct ctl *c, struct jsonw *w)
{
    jsonw_init(w, c->out);
    c->has_begun = true;
}

int ctl_not_both(const struct ctl *c, const char *a, const char *b, struct err *err)
{
    if (ctl_has(c, a) && ctl_has(c, b))
        return err_set(err, ERR_USAGE, "options --%s and --%s: only one of them can be had", a, b);
    return 0;
}

static int count_args(const struct ctl_verb *verb, const struct ctl *c, struct err *err)
{
    const char *blank = verb->synopsis[0] != '\0' ? " " : "";

    if (c->n_args < verb->min_args)
        return err_set(err, ERR_USAGE, "%s: an argument is missing; the form is: ssmctl %s%s%s",
                       verb->name, verb->name, blank, verb->synopsis);
    if (c->n_args > verb->max_args)
        return err_set(err, ERR_USAGE,
                       "%s: \"%s\" is one argument too many; the form is: ssmctl %s%s%s",
                       verb->name, c->args[verb->max_args], verb->name, blank, verb->synopsis);
    return 0;
}

/* --version and --help are verbs that may stand anywhere. NULL with *err filled when there is none.
 */
static const struct ctl_verb *choose_verb(struct command_line *line, struct ctl *c, struct err *err)
{
    const char *word = "status";
    size_t n_words;

    if (has_global(c, "version")) {
        word = "version";
        c->n_args = 0;
    } else if (has_global(c, "help")) {
        word = "help";
        if (line->verb != NULL) {
            line->args[0] = line->verb->name;
            c->n_args = 1;
        }
    } else if (line->verb != NULL) {
        return line->verb;
    } else if (c->n_args > 0) {
        (void)ctl_unknown_verb(c->args, c->n_args, err);
        return NULL;
    }
    return ctl_find_verb(&word, 1, &n_words);
}

static int run(struct command_line *line, struct ctl *c, int argc, char *const argv[],
               struct err *err)
{
    const struct ctl_verb *verb;
    int r = take_apart(line, argc, argv, err);

    c->args = line->args;
    c->n_args = line->n_args;
    c->given = line->given;
    c->n_given = line->n_given;
    c->is_json = ctl_has(c, "json");
    if (r < 0)
        return r;
    verb = choose_verb(line, c, err);
    if (verb == NULL)
        return err->code;
    if ((r = paths_init(&c->paths, ctl_value(c, "root", ""), err)) < 0 ||
        (r = count_args(verb, c, err)) < 0)
        return r;
    return verb->run(c, err);
}

static int exit_code_of(int code)
{
    if (code == ERR_USAGE)
        return CTL_USAGE;
    return code == ERR_NOT_FOUND || code == ERR_REFUSED || code == ERR_STATE ||
                   code == ERR_INVALID || code == ERR_UNSUPPORTED || code == ERR_EXISTS
               ? CTL_NO
               : CTL_SYSTEM;
}

static void print_error(const struct ctl *c, const struct err *err)
{
    (void)fputs("ssmctl: ", c->err);
    text_put(c->err, err->text);
    (void)fputc('\n', c->err);
    if (c->is_json && !c->has_begun) {
        struct jsonw w;
        struct err while_reporting;

        jsonw_init(&w, c->out);
        jsonw_open_object(&w, NULL);
        jsonw_open_object(&w, "error");
        jsonw_str(&w, "code", err_name(err->code));
        jsonw_str(&w, "text", err->text);
        jsonw_close_object(&w);
        jsonw_close_object(&w);
        if (jsonw_end(&w, &while_reporting) < 0)
            (void)fprintf(c->err, "ssmctl: %s\n", while_reporting.text);
    }
}

int ctl_main(int argc, char *const argv[], FILE *out, FILE *err_stream)
{
    struct command_line *line = calloc(1, sizeof(*line));
    struct ctl c = {.out = out, .err = err_stream};
    struct err err = {0};
    int r;

    if (line == NULL) {
        (void)fputs("ssmctl: out of memory\n", err_stream);
        return CTL_SYSTEM;
    }
    r = run(line, &c, argc, argv, &err);
    if (r < 0) {
        print_error(&c, &err);
        r = exit_code_of(r);
    }
    if (fflush(out) != 0 || ferror(out)) {
        (void)fputs("ssmctl: standard output cannot be written: is the disk full, or the reader "
                    "gone?\n",
                    err_stream);
        r = CTL_SYSTEM;
    }
    free(line);
    return r;
}
