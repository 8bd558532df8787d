/* The structure of a document: versions, steps, their order, their fate before they start. */
#include "schema/document.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "schema/document_internal.h"
#include "schema/plugin.h"
#include "schema/script.h"
#include "schema/texts.h"

#define MAX_NOTE_BYTES (160u << 10)
#define MAX_WARNING_BYTES (16u << 10)
#define MAX_TRACE_BYTES (64u << 10)

/* The state of one run through a document. */
struct reading {
    const struct document_input *in;
    struct document *d;
    struct expansion x;
    bool is_old;     /* 1.x: runtimeConfig */
    bool is_22;      /* preconditions are evaluated */
    bool is_finding; /* only the Parameter Store references are wanted */
    struct buf warnings;
    struct err *err;
};

static const char *const old_versions[] = {"1.0", "1.2"};
static const char *const new_versions[] = {"2.0", "2.0.1", "2.0.2", "2.0.3", "2.2"};

static bool is_one_of(const char *s, const char *const *list, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (str_eq(s, list[i]))
            return true;
    return false;
}

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "document: out of memory");
}

static int read_version(struct reading *r)
{
    const char *version = NULL;
    int result = json_want_object(r->in->content, "DocumentContent", r->err);

    if (result == 0)
        result = json_get_string(r->in->content, "DocumentContent", "schemaVersion", 64, &version,
                                 r->err);
    if (result < 0)
        return result;
    if (version == NULL || version[0] == '\0')
        return err_set(r->err, ERR_INVALID, "DocumentContent.schemaVersion is missing");
    r->is_old = is_one_of(version, old_versions, ARRAY_LEN(old_versions));
    r->is_22 = str_eq(version, "2.2");
    if (!r->is_old && !is_one_of(version, new_versions, ARRAY_LEN(new_versions)))
        return err_set(r->err, ERR_UNSUPPORTED,
                       "schema version %s is not supported, update the agent; supported are 1.0, "
                       "1.2, 2.0, 2.0.1, 2.0.2, 2.0.3 and 2.2",
                       version);
    r->d->schema_version = strdup(version);
    return r->d->schema_version != NULL ? 0 : no_memory(r->err);
}

static int read_parameters(struct reading *r, struct parameters *ret_parameters)
{
    const cJSON *definitions = NULL;
    AUTO(buf_done) struct buf violations = {0};
    int result;

    buf_init(&violations, MAX_TRACE_BYTES);
    result = json_get_object(r->in->content, "DocumentContent", "parameters", &definitions, r->err);
    if (result == 0 && r->in->parameters != NULL)
        result = json_want_object(r->in->parameters, "Parameters", r->err);
    if (result == 0)
        result = parameters_collect(definitions, r->in->parameters, ret_parameters, r->err);
    if (result < 0)
        return result;
    r->x.parameters = ret_parameters;
    result = parameters_validate(ret_parameters, r->in->is_nested, &r->x, &violations, r->err);
    if (result == 0 && violations.failed == ERR_NOMEM) /* one may be missing from the text */
        return no_memory(r->err);
    /* While references are only looked for, their values are not known: nothing is a violation. */
    if (result < 0 || violations.len == 0 || r->is_finding)
        return result;
    if (r->in->trace != NULL)
        (void)buf_add(r->in->trace, violations.data, violations.len); /* err->text has its start */
    return err_set(r->err, ERR_INVALID, "%s", violations.data);
}

/* The parts of a step or of a 1.x plugin's configuration, still as written. */
struct step {
    char where[64];
    const char *id;
    const char *name;
    const cJSON *precondition; /* NULL when there is none */
    const cJSON *inputs;       /* NULL when there are none */
    const cJSON *item;         /* the whole, as it is written */
    int64_t limit_s, max_attempts;
    const char *on_failure; /* NULL when there is none */
    bool is_last;
};

static int check_precondition(const cJSON *precondition, const char *where, struct err *err)
{
    const cJSON *entry, *argument;

    cJSON_ArrayForEach(entry, precondition)
    {
        if (!cJSON_IsArray(entry))
            return err_set(err, ERR_INVALID, "%s.precondition.%.100s must be a list, not %s", where,
                           entry->string, json_type_name(entry));
        cJSON_ArrayForEach(argument, entry) if (!cJSON_IsString(argument)) return err_set(
            err, ERR_INVALID, "%s.precondition.%.100s must hold strings only, not %s", where,
            entry->string, json_type_name(argument));
    }
    return 0;
}

static int read_new_step(struct reading *r, const cJSON *item, size_t index, struct step *ret)
{
    struct step s = {.id = NULL, .item = item, .is_last = item->next == NULL};
    int result;

    (void)snprintf(s.where, sizeof(s.where), "DocumentContent.mainSteps[%zu]", index);
    result = json_want_object(item, s.where, r->err);
    if (result == 0)
        result = json_get_string(item, s.where, "action", DOCUMENT_MAX_NAME_BYTES, &s.name, r->err);
    if (result == 0)
        result = json_get_string(item, s.where, "name", DOCUMENT_MAX_NAME_BYTES, &s.id, r->err);
    if (result == 0)
        result = json_get_object(item, s.where, "precondition", &s.precondition, r->err);
    if (result == 0)
        result = check_precondition(s.precondition, s.where, r->err);
    /* Used by strict readers only, but a wrong type fails the document (spec 04, section 1.5). */
    if (result == 0)
        result = json_get_i64(item, s.where, "maxAttempts", &s.max_attempts, r->err);
    if (result == 0)
        result = json_get_i64(item, s.where, "timeoutSeconds", &s.limit_s, r->err);
    if (result == 0)
        result = json_get_string(item, s.where, "onFailure", DOCUMENT_MAX_NAME_BYTES, &s.on_failure,
                                 r->err);
    if (result < 0)
        return result;
    s.inputs = json_get(item, "inputs");
    if (s.precondition != NULL && s.precondition->child == NULL)
        s.precondition = NULL;
    *ret = s;
    return 0;
}

static int read_old_step(struct reading *r, const cJSON *item, struct step *ret)
{
    struct step s = {
        .id = item->string, .name = item->string, .item = item, .is_last = item->next == NULL};
    const char *description;
    int result;

    (void)snprintf(s.where, sizeof(s.where), "DocumentContent.runtimeConfig.%.30s", item->string);
    if (strlen(item->string) > DOCUMENT_MAX_NAME_BYTES)
        return err_set(r->err, ERR_LIMIT,
                       "DocumentContent.runtimeConfig: a plugin's name is longer than %u bytes",
                       DOCUMENT_MAX_NAME_BYTES);
    result = json_want_object(item, s.where, r->err);
    if (result == 0)
        result =
            json_get_string(item, s.where, "description", DOCUMENT_MAX_BYTES, &description, r->err);
    if (result < 0)
        return result;
    s.inputs = json_get(item, "properties");
    *ret = s;
    return 0;
}

/* A control input: a string or a boolean; the names are case-sensitive (spec 04, section 4). */
static bool control_is(const cJSON *inputs, const char *name, const char *wanted)
{
    const cJSON *item = json_get_exact(inputs, name);

    if (cJSON_IsBool(item))
        return str_eq(cJSON_IsTrue(item) ? "true" : "false", wanted);
    return cJSON_IsString(item) && str_eq(item->valuestring, wanted);
}

static int decide_by_precondition(struct reading *r, const struct step *s,
                                  const struct plugin_info *plugin, struct document_plugin *p,
                                  struct buf *note)
{
    const char *platform = r->in->platform != NULL ? r->in->platform : "linux";
    struct precondition_result result;
    int code = precondition_evaluate(s->precondition, platform, &r->x, &result, r->err);

    if (code < 0)
        return code;
    if (result.is_allowed && plugin == NULL) {
        p->disposition = DOCUMENT_FAIL;
        text_unknown_plugin(note, p->name, p->id);
    } else if (plugin == NULL || !plugin->is_registered) {
        p->disposition = DOCUMENT_SKIP;
        text_unsupported_plugin(note, p->name, p->id);
    } else if (!result.is_allowed) {
        p->disposition = DOCUMENT_SKIP;
        text_precondition_unmet(note, buf_str(&result.unmet), p->id);
    } else if (result.problems.len > 0) {
        p->disposition = DOCUMENT_FAIL;
        text_precondition_unclear(note, buf_str(&result.problems), p->id);
    }
    buf_done(&result.unmet);
    buf_done(&result.problems);
    return 0;
}

/* Spec 04, sections 3.1 to 3.3. */
static int decide(struct reading *r, const struct step *s, const cJSON *inputs,
                  struct document_plugin *p)
{
    const struct plugin_info *plugin = plugin_find(p->name);
    AUTO(buf_done) struct buf note = {0};
    int code = 0;

    buf_init(&note, MAX_NOTE_BYTES);
    p->disposition = DOCUMENT_RUN;
    if (r->is_22 && s->precondition != NULL) {
        code = decide_by_precondition(r, s, plugin, p, &note);
    } else if (plugin == NULL) {
        p->disposition = DOCUMENT_FAIL;
        text_unknown_plugin(&note, p->name, p->id);
    } else if (s->precondition != NULL) {
        p->disposition = DOCUMENT_FAIL;
        text_precondition_needs_22(&note, r->d->schema_version, p->id);
    } else if (!plugin->is_registered) {
        p->disposition = r->is_22 ? DOCUMENT_SKIP : DOCUMENT_FAIL;
        if (r->is_22)
            text_unsupported_plugin(&note, p->name, p->id);
        else
            text_unregistered_plugin(&note, p->name, p->id);
    }
    if (code < 0)
        return code;
    if (p->disposition == DOCUMENT_RUN && plugin->refusal != NULL) {
        p->disposition = DOCUMENT_FAIL;
        p->is_note_on_stderr = true;
        (void)buf_add_str(&note, plugin->refusal);
    } else if (p->disposition == DOCUMENT_RUN && !plugin->is_implemented) {
        p->disposition = DOCUMENT_FAIL;
        text_unimplemented_plugin(&note, p->name, p->id);
    } else if (p->disposition == DOCUMENT_RUN && cJSON_IsArray(inputs) && inputs->child == NULL) {
        p->disposition = DOCUMENT_FAIL;
        text_no_inputs(&note, p->id);
    }
    if (p->disposition == DOCUMENT_RUN)
        return 0;
    code = buf_error(&note, "the text about a step", r->err);
    if (code < 0)
        return code;
    p->note = buf_take(&note);
    return p->note != NULL ? 0 : no_memory(r->err);
}

static int add_units(struct reading *r, struct document_plugin *p, const cJSON *inputs)
{
    struct document *d = r->d;
    size_t n = cJSON_IsArray(inputs) ? (size_t)cJSON_GetArraySize(inputs) : 1, i;
    const cJSON *element = cJSON_IsArray(inputs) ? inputs->child : inputs;
    struct document_unit *units;

    p->first_unit = d->n_units;
    if (p->disposition != DOCUMENT_RUN)
        return 0;
    if (n > DOCUMENT_MAX_UNITS - d->n_units)
        return err_set(r->err, ERR_LIMIT, "the document has more than %u executions",
                       DOCUMENT_MAX_UNITS);
    units = realloc(d->units, (d->n_units + n) * sizeof(*units));
    if (units == NULL)
        return no_memory(r->err);
    d->units = units;
    for (i = 0; i < n; i++, element = element->next) {
        const cJSON *id = json_get_exact(element, "id");

        units[d->n_units + i] = (struct document_unit){
            .plugin = d->n_plugins,
            .id = !r->is_old ? p->id : (cJSON_IsString(id) ? id->valuestring : NULL),
            .inputs = element};
    }
    p->n_units = n;
    d->n_units += n;
    return 0;
}

static int64_t between(int64_t value, int64_t min, int64_t max)
{
    return value < min ? min : value > max ? max : value;
}

/* What stands beside the inputs counts as if it stood among them. */
static void be_strict(const struct step *s, struct document_plugin *p)
{
    if (s->limit_s > 0)
        p->limit_s = between(s->limit_s, SCRIPT_TIMEOUT_MIN_S, SCRIPT_TIMEOUT_MAX_S);
    p->max_attempts = between(s->max_attempts, 0, DOCUMENT_MAX_ATTEMPTS);
    if (s->on_failure == NULL || p->exits_on_failure || p->succeeds_on_failure)
        return;
    p->exits_on_failure = str_eq(s->on_failure, "exit") || str_eq(s->on_failure, "Abort");
    p->succeeds_on_failure = str_eq(s->on_failure, "successAndExit");
}

/* No plugin here reads its settings. References in them are resolved all the same: one that cannot
 * be fails the document (spec 04, section 2.5). */
static int check_settings(struct reading *r, const struct step *s)
{
    const cJSON *settings = json_get(s->item, "settings");
    AUTO(cJSON_Delete) cJSON *copy = NULL;
    int code;

    if (settings == NULL)
        return 0;
    code = expand_tree(&r->x, settings, &copy, r->err);
    if (code == 0 && copy != NULL) /* the second never without the first */
        code = resolve_tree(&r->x, copy, r->err);
    return code < 0 ? err_wrap(r->err, "%s.settings", s->where) : 0;
}

static int add_plugin(struct reading *r, const struct step *s)
{
    struct document *d = r->d;
    struct document_plugin *p = &d->plugins[d->n_plugins];
    static const cJSON nothing = {.type = cJSON_NULL};
    cJSON *inputs = NULL;
    int code;

    code = expand_tree(&r->x, s->inputs != NULL ? s->inputs : &nothing, &inputs, r->err);
    if (code < 0)
        return code;
    (void)cJSON_AddItemToArray(d->inputs, inputs); /* fails for NULL only */
    code = resolve_tree(&r->x, inputs, r->err);
    if (code < 0)
        return err_wrap(r->err, "%s", s->where);
    code = check_settings(r, s);
    if (code < 0)
        return code;
    *p = (struct document_plugin){.id = strdup(s->id != NULL ? s->id : ""),
                                  .name = strdup(s->name != NULL ? s->name : "")};
    if (p->id == NULL || p->name == NULL) {
        free(p->id);
        free(p->name);
        return no_memory(r->err);
    }
    p->exits_on_failure = control_is(inputs, "onFailure", "exit");
    p->succeeds_on_failure = control_is(inputs, "onFailure", "successAndExit");
    p->exits_on_success = control_is(inputs, "onSuccess", "exit");
    p->is_finally =
        control_is(inputs, "finallyStep", "true"); /* the caller clears all but the last */
    if (r->in->is_strict)
        be_strict(s, p);
    document_warn_step(s->item, inputs, s->where, r->is_old, r->in->is_strict, s->is_last,
                       &r->warnings);
    while (p->same_as < d->n_plugins && !str_eq(d->plugins[p->same_as].id, p->id))
        p->same_as++;
    code = decide(r, s, inputs, p);
    if (code == 0)
        code = add_units(r, p, inputs);
    d->n_plugins++; /* from here on document_free() knows it */
    return code;
}

static int read_steps(struct reading *r)
{
    const char *section = r->is_old ? "runtimeConfig" : "mainSteps";
    const cJSON *list = NULL, *item;
    struct document *d = r->d;
    size_t n = 0, i = 0;
    int code;

    code = r->is_old ? json_get_object(r->in->content, "DocumentContent", section, &list, r->err)
                     : json_get_list(r->in->content, "DocumentContent", section, &list, r->err);
    if (code < 0)
        return code;
    cJSON_ArrayForEach(item, list) n++;
    if (n == 0)
        return err_set(r->err, ERR_INVALID,
                       "unsupported schema format: a document of schema version %s needs a %s that "
                       "is not empty",
                       d->schema_version, section);
    if (n > DOCUMENT_MAX_STEPS)
        return err_set(r->err, ERR_LIMIT,
                       "DocumentContent.%s has %zu steps; at most %u are accepted", section, n,
                       DOCUMENT_MAX_STEPS);
    d->plugins = calloc(n, sizeof(*d->plugins));
    d->inputs = cJSON_CreateArray();
    if (d->plugins == NULL || d->inputs == NULL)
        return no_memory(r->err);
    cJSON_ArrayForEach(item, list)
    {
        struct step s;

        code = r->is_old ? read_old_step(r, item, &s) : read_new_step(r, item, i, &s);
        if (code == 0)
            code = add_plugin(r, &s);
        if (code < 0)
            return code;
        i++;
    }
    for (i = 0; i + 1 < d->n_plugins; i++)
        d->plugins[i].is_finally = false;
    return 0;
}

static int check_size(const cJSON *content, struct err *err)
{
    AUTO(buf_done) struct buf b = {0};

    buf_init(&b, DOCUMENT_MAX_BYTES);
    json_write(&b, content);
    return buf_error(&b, "DocumentContent", err);
}

/* Not used, but a wrong type fails the document. */
static int check_unused(struct reading *r)
{
    const char *description;
    const cJSON *other;
    int code = json_get_string(r->in->content, "DocumentContent", "description", DOCUMENT_MAX_BYTES,
                               &description, r->err);

    if (code == 0)
        code = r->is_old
                   ? json_get_list(r->in->content, "DocumentContent", "mainSteps", &other, r->err)
                   : json_get_object(r->in->content, "DocumentContent", "runtimeConfig", &other,
                                     r->err);
    if (code == 0)
        document_warn_top(r->in->content, r->is_old, &r->warnings);
    return code;
}

static int read_document(struct reading *r)
{
    AUTO(parameters_done) struct parameters parameters = {.n = 0};
    int code = check_size(r->in->content, r->err);

    if (code == 0)
        code = read_version(r);
    if (code == 0)
        code = read_parameters(r, &parameters);
    if (code == 0)
        code = check_unused(r);
    if (code == 0)
        code = read_steps(r);
    r->x.parameters = NULL;
    if (code < 0 || r->warnings.len == 0)
        return code;
    r->d->warnings = buf_take(&r->warnings); /* cut where they are too many: they are for people */
    return r->d->warnings != NULL ? 0 : no_memory(r->err);
}

static int read_with(const struct document_input *in, const struct document_resolver *resolver,
                     bool is_finding, struct document **ret_document, struct err *err)
{
    struct err own;
    struct reading r = {.in = in,
                        .x = {.resolver = resolver, .left = DOCUMENT_MAX_EXPANDED_BYTES},
                        .is_finding = is_finding,
                        .err = err != NULL ? err : &own};
    AUTO(document_free) struct document *d = calloc(1, sizeof(*d));
    size_t traced = in->trace != NULL ? in->trace->len : 0;
    int code;

    if (d == NULL)
        return no_memory(err);
    r.d = d;
    buf_init(&r.warnings, MAX_WARNING_BYTES);
    code = read_document(&r);
    buf_done(&r.warnings);
    if (code < 0) {
        if (in->trace != NULL && in->trace->len == traced)
            (void)buf_add_str(in->trace, r.err->text); /* a trace that is too small stays shorter */
        return code;
    }
    *ret_document = TAKE(d);
    return 0;
}

int document_parse(const struct document_input *in, struct document **ret_document, struct err *err)
{
    return read_with(in, in->resolver, false, ret_document, err);
}

void document_free(struct document *d)
{
    size_t i;

    if (d == NULL)
        return;
    for (i = 0; i < d->n_plugins; i++) {
        free(d->plugins[i].id);
        free(d->plugins[i].name);
        free(d->plugins[i].note);
    }
    free(d->plugins);
    free(d->units);
    cJSON_Delete(d->inputs);
    free(d->schema_version);
    free(d->warnings);
    free(d);
}

/* A resolver that knows nothing and writes down what it is asked. */
static int note_reference(void *ctx, const char *reference, const char **ret_type,
                          const char **ret_value, struct err *err)
{
    struct document_references *list = ctx;
    char **names;
    size_t i;

    *ret_type = "String";
    *ret_value = "";
    for (i = 0; i < list->n; i++)
        if (str_eq(list->names[i], reference))
            return 0;
    if (list->n == DOCUMENT_MAX_PARAMETERS)
        return err_set(err, ERR_LIMIT, "more than %u {{ssm:...}} references",
                       DOCUMENT_MAX_PARAMETERS);
    names = realloc(list->names, (list->n + 1) * sizeof(*names));
    if (names == NULL)
        return no_memory(err);
    list->names = names;
    names[list->n] = strdup(reference);
    if (names[list->n] == NULL)
        return no_memory(err);
    list->n++;
    return 0;
}

int document_find_ssm_references(const struct document_input *in,
                                 struct document_references *ret_references, struct err *err)
{
    AUTO(document_references_done) struct document_references found = {.n = 0};
    const struct document_resolver resolver = {.resolve = note_reference, .ctx = &found};
    AUTO(document_free) struct document *d = NULL;
    int code = read_with(in, &resolver, true, &d, err);

    if (code < 0)
        return code;
    *ret_references = found;
    found = (struct document_references){.n = 0};
    return 0;
}

void document_references_done(struct document_references *references)
{
    size_t i;

    for (i = 0; i < references->n; i++)
        free(references->names[i]);
    free(references->names);
    *references = (struct document_references){.n = 0};
}
