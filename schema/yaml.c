/* The reader: libyaml's events into a tree, with bounds on what anchors and aliases can make. */
#include "schema/yaml.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/str.h"
#include "schema/yaml_internal.h"

#define MAX_ANCHORS 1000u
#define MAX_MEMBERS 2000 /* of one map: each is compared with all others */
#define MERGE_KEY "<<"

struct anchor {
    char *name;  /* owned */
    cJSON *tree; /* owned: a copy, so that whatever becomes of the original does not matter */
    size_t n_values;
};

struct reader {
    yaml_parser_t parser;
    const char *what;
    unsigned depth;
    size_t n_values;
    struct anchor *anchors; /* owned */
    size_t n_anchors;
    struct err *err;
};

/* err_set() returns the code it is given; said once more here, as in json.c. */
static int fail_at(const struct reader *r, const yaml_mark_t *at, int code, const char *text)
{
    (void)err_set(r->err, code, "%s: line %zu, column %zu: %s", r->what, at->line + 1,
                  at->column + 1, text);
    return code;
}

static int fail_memory(const struct reader *r)
{
    (void)err_set(r->err, ERR_NOMEM, "%s: out of memory", r->what);
    return ERR_NOMEM;
}

static int fail_syntax(const struct reader *r)
{
    const yaml_parser_t *p = &r->parser;

    if (p->error == YAML_MEMORY_ERROR)
        return fail_memory(r);
    if (p->error == YAML_READER_ERROR) {
        (void)err_set(r->err, ERR_INVALID, "%s: at byte %zu: %s", r->what, p->problem_offset,
                      p->problem != NULL ? p->problem : "it cannot be read");
        return ERR_INVALID;
    }
    return fail_at(r, &p->problem_mark, ERR_INVALID,
                   p->problem != NULL ? p->problem : "it is not YAML");
}

static int next_event(struct reader *r, yaml_event_t *ret_event)
{
    return yaml_parser_parse(&r->parser, ret_event) != 0 ? 0 : fail_syntax(r);
}

static void yaml_event_delete_cleanup(yaml_event_t *event)
{
    yaml_event_delete(event);
}

static int count_values(struct reader *r, size_t n, const yaml_mark_t *at)
{
    if (n > JSON_MAX_VALUES - r->n_values)
        return fail_at(r, at, ERR_LIMIT, "too many values, those that aliases stand for included");
    r->n_values += n;
    return 0;
}

/* ---- anchors ---- */

static size_t n_values_of(const cJSON *tree)
{
    const cJSON *child;
    size_t n = 1;

    cJSON_ArrayForEach(child, tree) n += n_values_of(child);
    return n;
}

static size_t depth_of(const cJSON *tree)
{
    const cJSON *child;
    size_t depth = 0;

    cJSON_ArrayForEach(child, tree)
    {
        size_t n = depth_of(child);

        depth = n > depth ? n : depth;
    }
    return depth + 1;
}

static struct anchor *find_anchor(const struct reader *r, const char *name)
{
    size_t i;

    for (i = 0; i < r->n_anchors; i++)
        if (str_eq(r->anchors[i].name, name))
            return &r->anchors[i];
    return NULL;
}

/* A name that is given again means the new value from here on. */
static int set_anchor(struct reader *r, const char *name, const cJSON *tree, const yaml_mark_t *at)
{
    struct anchor *a = find_anchor(r, name);
    AUTO(cJSON_Delete) cJSON *copy = NULL;
    size_t n = n_values_of(tree);
    int code = count_values(r, n, at);

    if (code < 0)
        return code;
    if (a == NULL && r->n_anchors == MAX_ANCHORS)
        return fail_at(r, at, ERR_LIMIT, "too many anchors");
    copy = cJSON_Duplicate(tree, true);
    if (copy == NULL)
        return fail_memory(r);
    if (a == NULL) {
        a = &r->anchors[r->n_anchors];
        a->name = strdup(name);
        if (a->name == NULL)
            return fail_memory(r);
        r->n_anchors++;
    }
    cJSON_Delete(a->tree);
    a->tree = TAKE(copy);
    a->n_values = n;
    return 0;
}

static int read_alias(struct reader *r, const yaml_event_t *event, cJSON **ret_item)
{
    const char *name = (const char *)event->data.alias.anchor;
    const struct anchor *a = find_anchor(r, name);
    int code;

    if (a == NULL)
        return fail_at(r, &event->start_mark, ERR_INVALID,
                       "an alias names an anchor that is not there, or that it is part of");
    code = count_values(r, a->n_values, &event->start_mark);
    if (code < 0)
        return code;
    if (r->depth + depth_of(a->tree) > JSON_MAX_DEPTH)
        return fail_at(r, &event->start_mark, ERR_LIMIT, "nested too deeply");
    *ret_item = cJSON_Duplicate(a->tree, true);
    return *ret_item != NULL ? 0 : fail_memory(r);
}

/* ---- values ---- */

static int read_value(struct reader *r, const yaml_event_t *event, cJSON **ret_item);

static int read_scalar(struct reader *r, const yaml_event_t *event, cJSON **ret_item)
{
    const char *text = (const char *)event->data.scalar.value;
    const char *tag = (const char *)event->data.scalar.tag;
    bool is_understood = true;
    cJSON *item;

    if (strlen(text) != event->data.scalar.length)
        return fail_at(r, &event->start_mark, ERR_INVALID, "a text must not hold NUL");
    if (tag != NULL)
        item = yaml_tagged_scalar(tag, text, &is_understood);
    else if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        item = yaml_plain_scalar(text);
    else
        item = cJSON_CreateString(text);
    if (!is_understood)
        return fail_at(r, &event->start_mark, ERR_INVALID,
                       "the tag is not known, or does not fit its value");
    *ret_item = item;
    return item != NULL ? 0 : fail_memory(r);
}

static int check_tag(const struct reader *r, const yaml_event_t *event, const yaml_char_t *tag,
                     const char *wanted)
{
    if (tag == NULL || str_eq((const char *)tag, "!") || str_eq((const char *)tag, wanted))
        return 0;
    return fail_at(r, &event->start_mark, ERR_INVALID, "the tag is not known");
}

static int read_list(struct reader *r, cJSON **ret_item)
{
    AUTO(cJSON_Delete) cJSON *list = cJSON_CreateArray();
    int code = 0;

    if (list == NULL)
        return fail_memory(r);
    for (;;) {
        AUTO(yaml_event_delete) yaml_event_t event = {0};
        cJSON *item = NULL;

        code = next_event(r, &event);
        if (code == 0 && event.type == YAML_SEQUENCE_END_EVENT)
            break;
        if (code == 0)
            code = read_value(r, &event, &item);
        if (code < 0)
            return code;
        (void)cJSON_AddItemToArray(list, item); /* fails for NULL only */
    }
    *ret_item = TAKE(list);
    return 0;
}

/* Put a member, instead of one of its name if there is one. Takes `value` over in any case. */
static int put_member(const struct reader *r, cJSON *object, const char *key, cJSON *value)
{
    if (cJSON_GetArraySize(object) >= MAX_MEMBERS) {
        cJSON_Delete(value);
        (void)err_set(r->err, ERR_LIMIT, "%s: a map has more than %d members", r->what,
                      MAX_MEMBERS);
        return ERR_LIMIT;
    }
    cJSON_DeleteItemFromObjectCaseSensitive(object, key);
    if (cJSON_AddItemToObject(object, key, value))
        return 0;
    cJSON_Delete(value);
    return fail_memory(r);
}

/* The members of the merged map (or of each in a list of them) that are not there yet. */
static int merge(struct reader *r, cJSON *object, const cJSON *from, const yaml_mark_t *at)
{
    const cJSON *member;
    int code = 0;

    if (!cJSON_IsObject(from) && !cJSON_IsArray(from))
        return fail_at(r, at, ERR_INVALID, "a merge key needs a map or a list of maps");
    cJSON_ArrayForEach(member, from)
    {
        if (cJSON_IsArray(from)) {
            code = cJSON_IsObject(member)
                       ? merge(r, object, member, at)
                       : fail_at(r, at, ERR_INVALID, "a merge key needs a list of maps");
        } else if (cJSON_GetObjectItemCaseSensitive(object, member->string) == NULL) {
            cJSON *copy = cJSON_Duplicate(member, true);

            code = copy != NULL ? put_member(r, object, member->string, copy) : fail_memory(r);
        }
        if (code < 0)
            return code;
    }
    return 0;
}

/* A key is a text; of a number, a boolean or null its words are taken. */
static int read_key(struct reader *r, const yaml_event_t *event, char **ret_key, bool *ret_is_merge)
{
    AUTO(cJSON_Delete) cJSON *item = NULL;
    int code;

    if (event->type != YAML_SCALAR_EVENT && event->type != YAML_ALIAS_EVENT)
        return fail_at(r, &event->start_mark, ERR_INVALID, "a key must be a text");
    code = read_value(r, event, &item);
    if (code < 0)
        return code;
    if (item->valuestring == NULL)
        return fail_at(r, &event->start_mark, ERR_INVALID, "a key must be a text");
    *ret_is_merge = event->type == YAML_SCALAR_EVENT && event->data.scalar.tag == NULL &&
                    event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
                    str_eq(item->valuestring, MERGE_KEY);
    *ret_key = strdup(item->valuestring);
    return *ret_key != NULL ? 0 : fail_memory(r);
}

static int read_member(struct reader *r, const yaml_event_t *key_event, cJSON *object,
                       cJSON *merged)
{
    AUTO(yaml_event_delete) yaml_event_t event = {0};
    AUTO(free) char *key = NULL;
    cJSON *value = NULL;
    bool is_merge = false;
    int code = read_key(r, key_event, &key, &is_merge);

    if (code == 0)
        code = next_event(r, &event);
    if (code == 0)
        code = read_value(r, &event, &value);
    if (code < 0)
        return code;
    if (!is_merge)
        return put_member(r, object, key, value);
    if (!cJSON_IsObject(value) && !cJSON_IsArray(value)) {
        cJSON_Delete(value);
        return fail_at(r, &event.start_mark, ERR_INVALID,
                       "a merge key needs a map or a list of maps");
    }
    (void)cJSON_AddItemToArray(merged, value); /* fails for NULL only */
    return 0;
}

static int read_map(struct reader *r, const yaml_mark_t *at, cJSON **ret_item)
{
    AUTO(cJSON_Delete) cJSON *object = cJSON_CreateObject();
    AUTO(cJSON_Delete) cJSON *merged = cJSON_CreateArray();
    const cJSON *from;
    int code = 0;

    if (object == NULL || merged == NULL)
        return fail_memory(r);
    for (;;) {
        AUTO(yaml_event_delete) yaml_event_t event = {0};

        code = next_event(r, &event);
        if (code == 0 && event.type == YAML_MAPPING_END_EVENT)
            break;
        if (code == 0)
            code = read_member(r, &event, object, merged);
        if (code < 0)
            return code;
    }
    /* What stands in the map itself wins, wherever the merge key stands. */
    cJSON_ArrayForEach(from, merged) if (code == 0) code = merge(r, object, from, at);
    if (code < 0)
        return code;
    *ret_item = TAKE(object);
    return 0;
}

static int read_inner(struct reader *r, const yaml_event_t *event, cJSON **ret_item)
{
    int code;

    if (++r->depth > JSON_MAX_DEPTH)
        return fail_at(r, &event->start_mark, ERR_LIMIT, "nested too deeply");
    if (event->type == YAML_SEQUENCE_START_EVENT) {
        code = check_tag(r, event, event->data.sequence_start.tag, YAML_SEQ_TAG);
        if (code == 0)
            code = read_list(r, ret_item);
    } else {
        code = check_tag(r, event, event->data.mapping_start.tag, YAML_MAP_TAG);
        if (code == 0)
            code = read_map(r, &event->start_mark, ret_item);
    }
    r->depth--;
    return code;
}

static int read_value(struct reader *r, const yaml_event_t *event, cJSON **ret_item)
{
    const yaml_char_t *anchor = NULL;
    int code = count_values(r, 1, &event->start_mark);

    if (code < 0)
        return code;
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return read_alias(r, event, ret_item);
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        code = read_scalar(r, event, ret_item);
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        code = read_inner(r, event, ret_item);
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        code = read_inner(r, event, ret_item);
        break;
    default: /* libyaml's events come in the order of its grammar */
        return fail_at(r, &event->start_mark, ERR_INVALID, "a value is missing");
    }
    if (code == 0 && anchor != NULL) {
        code = set_anchor(r, (const char *)anchor, *ret_item, &event->start_mark);
        if (code < 0) {
            cJSON_Delete(*ret_item);
            *ret_item = NULL;
        }
    }
    return code;
}

/* ---- the whole ---- */

static int want_event(struct reader *r, yaml_event_type_t type, const char *otherwise)
{
    AUTO(yaml_event_delete) yaml_event_t event = {0};
    int code = next_event(r, &event);

    if (code == 0 && event.type != type)
        return fail_at(r, &event.start_mark, ERR_INVALID, otherwise);
    return code;
}

static int read_stream(struct reader *r, cJSON **ret_root)
{
    AUTO(yaml_event_delete) yaml_event_t event = {0};
    AUTO(cJSON_Delete) cJSON *root = NULL;
    int code = want_event(r, YAML_STREAM_START_EVENT, "it is not YAML");

    if (code == 0)
        code = want_event(r, YAML_DOCUMENT_START_EVENT, "it is empty");
    if (code == 0)
        code = next_event(r, &event);
    if (code == 0)
        code = read_value(r, &event, &root);
    if (code == 0)
        code = want_event(r, YAML_DOCUMENT_END_EVENT, "it is not one value");
    if (code == 0)
        code = want_event(r, YAML_STREAM_END_EVENT, "there is more than one YAML document");
    if (code == 0)
        *ret_root = TAKE(root);
    return code;
}

int yaml_parse_with_words(const char *bytes, size_t n, size_t max_bytes, const char *what,
                          cJSON **ret_root, struct err *err)
{
    struct reader r = {.what = what, .err = err};
    struct err own;
    size_t i;
    int code;

    if (err == NULL)
        r.err = &own;
    if (n > max_bytes)
        return err_set(err, ERR_LIMIT, "%s is larger than %zu bytes", what, max_bytes);
    if (!str_is_utf8(bytes, n))
        return err_set(err, ERR_INVALID, "%s: it is not UTF-8", what);
    r.anchors = calloc(MAX_ANCHORS, sizeof(*r.anchors));
    if (r.anchors == NULL || yaml_parser_initialize(&r.parser) == 0) {
        free(r.anchors);
        return fail_memory(&r);
    }
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)bytes, n);
    code = read_stream(&r, ret_root);
    yaml_parser_delete(&r.parser);
    for (i = 0; i < r.n_anchors; i++) {
        free(r.anchors[i].name);
        cJSON_Delete(r.anchors[i].tree);
    }
    free(r.anchors);
    return code;
}

void yaml_drop_words(cJSON *tree)
{
    cJSON *child;

    if (!cJSON_IsString(tree) && tree->valuestring != NULL) {
        cJSON_free(tree->valuestring);
        tree->valuestring = NULL;
    }
    cJSON_ArrayForEach(child, tree) yaml_drop_words(child);
}

int yaml_parse(const char *bytes, size_t n, size_t max_bytes, const char *what, cJSON **ret_root,
               struct err *err)
{
    int code = yaml_parse_with_words(bytes, n, max_bytes, what, ret_root, err);

    if (code == 0)
        yaml_drop_words(*ret_root);
    return code;
}
