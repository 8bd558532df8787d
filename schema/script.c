/* Inputs of the script plugins, and the texts for inputs of a wrong type.
 *
 * Those texts are Go's, because users know them: the inputs as %v prints them, then the first
 * field, in the order of the keys, whose JSON type does not fit the field. */
#include "schema/script.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define MAX_SCRIPT_BYTES (16u << 20)
#define SHOWN_INPUT_BYTES 2000 /* the reason behind it must survive the cut of `output` */

enum shape { SHAPE_ANY, SHAPE_STRING, SHAPE_STRING_LIST, SHAPE_STRING_MAP };

struct field {
    const char *name;    /* JSON, any case */
    const char *go_name; /* in error texts */
    enum shape shape;
};

static const struct field fields[] = {
    {"runCommand", "RunCommand", SHAPE_STRING_LIST},
    {"environment", "Environment", SHAPE_STRING_MAP},
    {"id", "ID", SHAPE_STRING},
    {"workingDirectory", "WorkingDirectory", SHAPE_STRING},
    {"timeoutSeconds", "TimeoutSeconds", SHAPE_ANY},
};

static const char *go_kind(const cJSON *item)
{
    switch (item->type & 0xff) {
    case cJSON_String:
        return "string";
    case cJSON_Number:
        return "number";
    case cJSON_Array:
        return "array";
    case cJSON_Object:
        return "object";
    default:
        return "bool"; /* null fits every field and never gets here */
    }
}

struct mismatch {
    const cJSON *item;
    const struct field *field;
    const char *go_type;
};

/* The first part of the value that does not fit. */
static bool find_mismatch(const cJSON *value, const struct field *field, struct mismatch *m)
{
    static const char *const types[] = {"interface {}", "string", "[]string", "map[string]string"};
    const cJSON *child;

    if (field->shape == SHAPE_ANY || cJSON_IsNull(value))
        return false;
    m->field = field;
    m->item = value;
    m->go_type = types[field->shape];
    if (field->shape == SHAPE_STRING)
        return !cJSON_IsString(value);
    if (field->shape == SHAPE_STRING_LIST ? !cJSON_IsArray(value) : !cJSON_IsObject(value))
        return true;
    m->go_type = types[SHAPE_STRING];
    cJSON_ArrayForEach(child, value) if (!cJSON_IsString(child) && !cJSON_IsNull(child))
    {
        m->item = child;
        return true;
    }
    return false;
}

static const struct field *find_field(const char *name)
{
    size_t i;

    for (i = 0; i < ARRAY_LEN(fields); i++)
        if (str_eq_nocase(fields[i].name, name))
            return &fields[i];
    return NULL;
}

/* Go decodes the members in the order of their keys and reports the first that does not fit. */
static bool find_first_mismatch(const cJSON *inputs, struct mismatch *ret)
{
    const cJSON *member, *first = NULL;
    struct mismatch m;

    cJSON_ArrayForEach(member, inputs)
    {
        const struct field *field = find_field(member->string);

        if (field == NULL || !find_mismatch(member, field, &m))
            continue;
        if (first == NULL || strcmp(member->string, first->string) < 0) {
            first = member;
            *ret = m;
        }
    }
    return first != NULL;
}

static int fail_format(const cJSON *inputs, const struct mismatch *m, struct buf *failure,
                       struct err *err)
{
    AUTO(buf_done) struct buf shown = {0};
    size_t n;

    buf_init(&shown, MAX_SCRIPT_BYTES);
    json_print_go(&shown, inputs);
    n = str_utf8_cut(buf_str(&shown), shown.len, SHOWN_INPUT_BYTES);
    (void)buf_add_str(failure, "Invalid format in plugin properties ");
    (void)buf_add(failure, buf_str(&shown), n);
    (void)buf_printf(failure, "%s;\nerror json: cannot unmarshal ", n < shown.len ? "..." : "");
    if (m == NULL)
        (void)buf_printf(failure, "%s into Go value of type runscript.RunScriptPluginInput",
                         go_kind(inputs));
    else
        (void)buf_printf(failure, "%s into Go struct field RunScriptPluginInput.%s of type %s",
                         go_kind(m->item), m->field->go_name, m->go_type);
    return err_set(err, ERR_INVALID, "%s", buf_str(failure));
}

int64_t script_timeout_s(const cJSON *value)
{
    double seconds = SCRIPT_TIMEOUT_DEFAULT_S;
    char *end = NULL;

    if (cJSON_IsNumber(value)) {
        seconds = value->valuedouble;
    } else if (cJSON_IsString(value) && value->valuestring[0] != '\0') {
        /* Digits, a sign, a fraction, an exponent; strtod would also take blanks, hex and "inf". */
        seconds = value->valuestring[strspn(value->valuestring, "+-.0123456789eE")] == '\0'
                      ? strtod(value->valuestring, &end)
                      : NAN;
        if (end == NULL || *end != '\0')
            seconds = SCRIPT_TIMEOUT_DEFAULT_S;
    }
    seconds = trunc(seconds);
    if (!(seconds >= SCRIPT_TIMEOUT_MIN_S && seconds <= SCRIPT_TIMEOUT_MAX_S))
        return SCRIPT_TIMEOUT_DEFAULT_S;
    return (int64_t)seconds;
}

static const char *text_or_empty(const cJSON *item)
{
    return cJSON_IsString(item) ? item->valuestring : "";
}

/* null in a list of strings is an empty string, as in Go. */
static int join_lines(const cJSON *lines, struct script_inputs *s, struct err *err)
{
    const cJSON *line;
    AUTO(buf_done) struct buf b = {0};
    int r;

    buf_init(&b, MAX_SCRIPT_BYTES);
    cJSON_ArrayForEach(line, lines)
    {
        if (line != lines->child)
            (void)buf_add_char(&b, '\n');
        (void)buf_add_str(&b, text_or_empty(line));
    }
    (void)buf_add_char(&b, '\n');
    r = buf_error(&b, "the script", err);
    if (r < 0)
        return r;
    s->script_len = b.len;
    s->script = buf_take(&b);
    return s->script != NULL ? 0 : err_set(err, ERR_NOMEM, "the script: out of memory");
}

static int compare_variables(const void *a, const void *b)
{
    const struct script_variable *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static int read_environment(const cJSON *map, struct script_inputs *s, struct err *err)
{
    const cJSON *member;
    size_t n = 0;

    cJSON_ArrayForEach(member, map) n++;
    if (n == 0)
        return 0;
    if (n > SCRIPT_MAX_ENVIRONMENT)
        return err_set(err, ERR_LIMIT, "environment has %zu variables; at most %u are accepted", n,
                       SCRIPT_MAX_ENVIRONMENT);
    s->environment = calloc(n, sizeof(*s->environment));
    if (s->environment == NULL)
        return err_set(err, ERR_NOMEM, "environment: out of memory");
    cJSON_ArrayForEach(member, map)
    {
        if (member->string[0] == '\0' || strchr(member->string, '=') != NULL)
            return err_set(err, ERR_INVALID,
                           "environment: \"%.100s\" cannot be the name of a variable",
                           member->string);
        s->environment[s->n_environment++] =
            (struct script_variable){.name = member->string, .value = text_or_empty(member)};
    }
    qsort(s->environment, n, sizeof(*s->environment), compare_variables);
    return 0;
}

static int read_inputs(const cJSON *inputs, struct script_inputs *s, struct buf *failure,
                       struct err *err)
{
    struct mismatch m;
    int r;

    if (!cJSON_IsObject(inputs) && !cJSON_IsNull(inputs))
        return fail_format(inputs, NULL, failure, err);
    if (find_first_mismatch(inputs, &m))
        return fail_format(inputs, &m, failure, err);
    s->working_directory = text_or_empty(json_get(inputs, "workingDirectory"));
    s->id = text_or_empty(json_get(inputs, "id"));
    s->timeout_s = script_timeout_s(json_get(inputs, "timeoutSeconds"));
    if (strchr(s->id, '/') != NULL || str_eq(s->id, "..") || str_eq(s->id, "."))
        return err_set(err, ERR_INVALID, "inputs.id must not be a path; it is \"%.100s\"", s->id);
    r = join_lines(json_get(inputs, "runCommand"), s, err);
    return r == 0 ? read_environment(json_get(inputs, "environment"), s, err) : r;
}

int script_inputs_parse(const cJSON *inputs, struct script_inputs *ret_inputs, struct buf *failure,
                        struct err *err)
{
    struct script_inputs s = {.script = NULL};
    struct err own;
    int r;

    if (err == NULL)
        err = &own;
    r = read_inputs(inputs, &s, failure, err);
    if (r < 0) {
        if (failure->len == 0)
            (void)buf_add_str(failure, err->text); /* a failure without a text is still a failure */
        script_inputs_done(&s);
        return r;
    }
    *ret_inputs = s;
    return 0;
}

void script_inputs_done(struct script_inputs *s)
{
    free(s->script);
    free(s->environment);
    *s = (struct script_inputs){.script = NULL};
}
