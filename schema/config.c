/* The walk over a configuration: sections, keys, repetitions, and what is known of neither. */
#include "schema/config_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define MAX_KEY_BYTES 100

void config_init(struct config *c, const char *program_dir)
{
    const struct config_key *k;

    memset(c, 0, sizeof(*c));
    for (k = config_keys; k->section != NULL; k++)
        config_set_default(c, k);
    (void)snprintf(c->runner_path, sizeof(c->runner_path), "%s/ssmd-runner", program_dir);
    (void)snprintf(c->stager_path, sizeof(c->stager_path), "%s/ssmd-stager", program_dir);
    (void)snprintf(c->download_path, sizeof(c->download_path), "%s/ssmd-download", program_dir);
}

void config_copy(struct config *dst, const struct config *src)
{
    size_t n;

    for (n = 0; src->reboot_argv[n] != NULL; n++)
        ;
    *dst = *src;
    config_point_words(dst, n);
}

const char *config_signing_region(const struct config *c)
{
    return c->region[0] != '\0' ? c->region : c->identity_region;
}

void config_key_name(const struct config_key *k, char *ret, size_t size)
{
    (void)snprintf(ret, size, "%s.%s", k->section, k->name);
}

int config_line(const struct config_reading *rd, const char *at)
{
    struct config_lines *l = rd->lines;

    if (at < l->at)
        *l = (struct config_lines){rd->text, 1};
    for (; l->at < at; l->at++)
        l->line += *l->at == '\n';
    return l->line;
}

void config_say(const struct config_reading *rd, enum config_severity severity, const char *kind,
                const char *key, const char *used, const char *fmt, ...)
{
    char text[512];
    struct config_finding finding = {
        .severity = severity, .kind = kind, .key = key, .text = text, .used = used};
    va_list ap;

    if (rd->found == NULL)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    finding.line = config_line(rd, rd->place);
    rd->found(rd->ctx, &finding);
}

/* ---- what is not known ---- */

static const char *nearest_section(const char *name)
{
    const struct config_key *k;
    const char *best = NULL;
    size_t best_distance = strlen(name) < 3 ? 1 : 3;

    for (k = config_keys; k->section != NULL; k++) {
        size_t d = str_distance(name, k->section, best_distance);

        if (d < best_distance) {
            best_distance = d;
            best = k->section;
        }
    }
    return best;
}

/* A key of this name in another section is what was meant more often than a key of a similar name;
 * a similar one in this section more often than one elsewhere. */
static const struct config_key *nearest_key(const char *section, const char *name)
{
    const struct config_key *k, *best = NULL;
    size_t best_distance = 8;

    for (k = config_keys; k->section != NULL; k++) {
        size_t d = 2 * str_distance(name, k->name, 4) + !str_eq_nocase(section, k->section);

        if (str_eq_nocase(name, k->name))
            d = 0;
        if (d < best_distance) {
            best_distance = d;
            best = k;
        }
    }
    return best;
}

static void say_unknown_key(const struct config_reading *rd, const char *section, const char *name)
{
    const struct config_key *near = nearest_key(section, name);
    char key[2 * MAX_KEY_BYTES + 2];

    (void)snprintf(key, sizeof(key), "%.*s.%.*s", MAX_KEY_BYTES, section, MAX_KEY_BYTES, name);
    if (near != NULL)
        config_say(rd, CONFIG_WARNING, "unknown-key", key, "",
                   "unknown key; it is ignored. Is %s.%s meant?", near->section, near->name);
    else
        config_say(rd, CONFIG_WARNING, "unknown-key", key, "", "unknown key; it is ignored");
}

static void say_unknown_section(const struct config_reading *rd, const char *name)
{
    const char *near = nearest_section(name);
    char shown[MAX_KEY_BYTES + 1];
    const struct config_key *k;

    (void)str_copy(shown, sizeof(shown), name[0] != '\0' ? name : "\"\"");
    for (k = config_keys; near == NULL && k->section != NULL; k++)
        if (str_eq_nocase(name, k->name)) {
            config_say(rd, CONFIG_WARNING, "unknown-section", shown, "",
                       "unknown section; it is ignored. %s is a key of the section %s: write "
                       "{\"%s\": {\"%s\": ...}}",
                       k->name, k->section, k->section, k->name);
            return;
        }
    if (near != NULL)
        config_say(rd, CONFIG_WARNING, "unknown-section", shown, "",
                   "unknown section; it is ignored. Is %s meant?", near);
    else
        config_say(rd, CONFIG_WARNING, "unknown-section", shown, "",
                   "unknown section; it is ignored");
}

/* ---- the walk ---- */

/* A name or value as a tree; NULL when memory is short, which ends the reading. */
static cJSON *parse_span(struct config_reading *rd, struct config_span span)
{
    cJSON *tree = NULL;
    struct err err;

    if (rd->fatal == 0)
        rd->fatal = json_parse(span.begin, (size_t)(span.end - span.begin), CONFIG_MAX_BYTES,
                               JSON_REFUSE, "configuration", &tree, &err);
    return tree;
}

static void say_other_case(const struct config_reading *rd, const char *key, const char *written,
                           const char *name)
{
    if (!str_eq(written, name))
        config_say(rd, CONFIG_NOTE, "other-case", key, "", "written \"%.100s\"; that does no harm",
                   written);
}

static void say_repetition(const struct config_reading *rd, const char *name, int *seen)
{
    if (*seen != 0)
        config_say(rd, CONFIG_WARNING, "duplicate", name, "",
                   "stands a second time, after line %d; this one counts", *seen);
    *seen = config_line(rd, rd->place);
}

static void read_key(struct config_reading *rd, const struct config_key *k, const char *written,
                     struct config_span value)
{
    AUTO(cJSON_Delete) cJSON *tree = parse_span(rd, value);
    char name[128];

    if (tree == NULL)
        return;
    config_key_name(k, name, sizeof(name));
    say_repetition(rd, name, &rd->seen[k - config_keys]);
    say_other_case(rd, name, written, k->name);
    if (cJSON_IsNull(tree))
        config_say(rd, CONFIG_NOTE, "null", name, "", "null changes nothing");
    else if (k->type == CONFIG_IDENTITIES)
        config_read_identities(rd, k, value, tree);
    else
        config_read_value(rd, k, tree);
}

static void read_member(struct config_reading *rd, const char *section, struct config_span name,
                        struct config_span value)
{
    AUTO(cJSON_Delete) cJSON *written = parse_span(rd, name);
    const struct config_key *k;

    if (written == NULL)
        return;
    rd->place = name.begin;
    for (k = config_keys; k->section != NULL; k++)
        if (str_eq(section, k->section) && str_eq_nocase(written->valuestring, k->name))
            break;
    if (k->section == NULL)
        say_unknown_key(rd, section, written->valuestring);
    else
        read_key(rd, k, written->valuestring, value);
}

static void read_section(struct config_reading *rd, struct config_span name,
                         struct config_span value)
{
    AUTO(cJSON_Delete) cJSON *written = parse_span(rd, name), *tree = parse_span(rd, value);
    struct config_span rest, member_name, member;
    const struct config_key *k;

    if (written == NULL || tree == NULL)
        return;
    rd->place = name.begin;
    for (k = config_keys; k->section != NULL; k++)
        if (str_eq_nocase(written->valuestring, k->section))
            break;
    if (k->section == NULL) {
        say_unknown_section(rd, written->valuestring);
        return;
    }
    say_other_case(rd, k->section, written->valuestring, k->section);
    if (cJSON_IsNull(tree)) {
        config_say(rd, CONFIG_NOTE, "null", k->section, "", "null changes nothing");
        return;
    }
    if (!cJSON_IsObject(tree)) {
        config_say(rd, CONFIG_WARNING, "wrong-type", k->section, "",
                   "must be an object, not %s; it is ignored. The reference agent does not start "
                   "with this file",
                   json_type_name(tree));
        return;
    }
    rest = config_inside(value);
    while (config_next_member(&rest, &member_name, &member))
        read_member(rd, k->section, member_name, member);
}

static size_t count_keys(void)
{
    size_t n = 0;

    while (config_keys[n].section != NULL)
        n++;
    return n;
}

int config_parse(struct config *c, const char *text, size_t n, const char *what,
                 config_finding_fn found, void *ctx, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    AUTO(free) int *seen = calloc(count_keys() + 1, sizeof(*seen));
    AUTO(free)
    struct config *next = calloc(1, sizeof(*next)), *scratch = calloc(1, sizeof(*scratch));
    struct config_lines lines = {text, 1};
    struct config_reading rd = {.config = next,
                                .lines = &lines,
                                .scratch = scratch,
                                .text = text,
                                .place = text,
                                .found = found,
                                .ctx = ctx,
                                .seen = seen};
    struct config_span rest = {text, text + n}, name, value;
    int r;

    if (seen == NULL || next == NULL || scratch == NULL)
        return err_set(err, ERR_NOMEM, "%s: out of memory", what);
    /* The tree vouches for the text; what is read from it is the text, because a tree keeps neither
     * lines nor names that stand twice. */
    if ((r = json_parse(text, n, CONFIG_MAX_BYTES, JSON_REFUSE, what, &root, err)) < 0 ||
        (r = json_want_object(root, what, err)) < 0)
        return r;
    config_copy(next, c);
    rest = config_inside(rest);
    while (config_next_member(&rest, &name, &value))
        read_section(&rd, name, value);
    if (rd.fatal != 0)
        return err_set(err, rd.fatal, "%s: out of memory", what);
    config_check_together(&rd);
    config_copy(c, next);
    return 0;
}
