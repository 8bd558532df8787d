/* Putting parameter values into texts. One pass, no quoting. Spec 04 section 2.4. */
#include <stdlib.h>
#include <string.h>

#include "schema/document_internal.h"

#define NODE_BYTES 64u /* what a value costs besides its text */

int expansion_charge(struct expansion *x, size_t bytes, struct err *err)
{
    if (bytes > x->left)
        return err_set(err, ERR_LIMIT,
                       "the document grows beyond %u bytes when its parameters are put in",
                       DOCUMENT_MAX_EXPANDED_BYTES);
    x->left -= bytes;
    return 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f';
}

/* Whether "{{ name }}" begins at s for a name of the value set; *ret_end is behind it. */
static const struct parameter *reference_at(const struct expansion *x, const char *s,
                                            const char **ret_end)
{
    const struct parameter *found;
    const char *name, *end;

    if (s[0] != '{' || s[1] != '{')
        return NULL;
    for (name = s + 2; is_blank(*name); name++)
        ;
    for (end = name; *end != '\0' && *end != '{' && *end != '}' && !is_blank(*end); end++)
        ;
    found = end > name ? parameters_find(x->parameters, name, (size_t)(end - name)) : NULL;
    while (is_blank(*end))
        end++;
    if (found == NULL || end[0] != '}' || end[1] != '}')
        return NULL;
    *ret_end = end + 2;
    return found;
}

/* The parameter that the whole text is a reference to. Names with other characters than letters and
 * digits never stand for a whole value. */
static const struct parameter *whole_reference(const struct expansion *x, const char *text)
{
    const char *end = NULL, *p;
    const struct parameter *found = reference_at(x, text, &end);

    if (found == NULL || *end != '\0')
        return NULL;
    for (p = found->name; *p != '\0'; p++)
        if (!((*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z')))
            return NULL;
    return found;
}

static void add_value(struct buf *b, const cJSON *value)
{
    if (cJSON_IsString(value))
        (void)buf_add_str(b, value->valuestring);
    else
        json_write(b, value);
}

/* In the text of an embedded value "$$" becomes "$". The text is the end of *b, from `from`. */
static void halve_dollars(struct buf *b, size_t from)
{
    size_t in, out = from;

    for (in = from; in < b->len; in++) {
        b->data[out++] = b->data[in];
        if (b->data[in] == '$' && in + 1 < b->len && b->data[in + 1] == '$')
            in++;
    }
    if (out < b->len) {
        b->len = out;
        b->data[out] = '\0';
    }
}

static void expand_embedded(const struct expansion *x, const char *text, struct buf *b)
{
    while (*text != '\0' && b->failed == 0) {
        const char *brace = strstr(text, "{{"), *end = NULL;
        const struct parameter *found;
        size_t from;

        if (brace == NULL) {
            (void)buf_add_str(b, text);
            return;
        }
        (void)buf_add(b, text, (size_t)(brace - text));
        found = reference_at(x, brace, &end);
        if (found == NULL) {
            (void)buf_add_char(b, '{');
            text = brace + 1;
            continue;
        }
        from = b->len;
        add_value(b, found->value);
        halve_dollars(b, from);
        text = end;
    }
}

int expand_text(struct expansion *x, const char *text, char **ret_text, struct err *err)
{
    const struct parameter *whole = whole_reference(x, text);
    AUTO(buf_done) struct buf b = {0};
    char *result;
    int r;

    buf_init(&b, x->left);
    if (whole != NULL)
        add_value(&b, whole->value);
    else
        expand_embedded(x, text, &b);
    if (b.failed == ERR_LIMIT)
        return expansion_charge(x, SIZE_MAX, err);
    r = expansion_charge(x, b.len, err);
    if (r < 0)
        return r;
    result = b.failed == 0 ? buf_take(&b) : NULL;
    if (result == NULL)
        return err_set(err, ERR_NOMEM, "parameters: out of memory");
    *ret_text = result;
    return 0;
}

/* What a copy of the tree is charged. */
static size_t tree_bytes(const cJSON *tree)
{
    const cJSON *child;
    size_t bytes = NODE_BYTES;

    if (tree->string != NULL)
        bytes += strlen(tree->string);
    if (cJSON_IsString(tree))
        return bytes + strlen(tree->valuestring);
    cJSON_ArrayForEach(child, tree) bytes += tree_bytes(child);
    return bytes;
}

static int copy_tree(struct expansion *x, const cJSON *tree, cJSON **ret_tree, struct err *err)
{
    int r = expansion_charge(x, tree_bytes(tree), err);

    if (r < 0)
        return r;
    *ret_tree = cJSON_Duplicate(tree, true);
    if (*ret_tree == NULL)
        return err_set(err, ERR_NOMEM, "parameters: out of memory");
    /* The key of the place where the value comes from is not that of the place it goes to. */
    cJSON_free((*ret_tree)->string);
    (*ret_tree)->string = NULL;
    return 0;
}

static int expand_string(struct expansion *x, const cJSON *string, cJSON **ret_tree,
                         struct err *err)
{
    const struct parameter *whole = whole_reference(x, string->valuestring);
    AUTO(free) char *text = NULL;
    int r;

    if (whole != NULL)
        return copy_tree(x, whole->value, ret_tree, err);
    r = expand_text(x, string->valuestring, &text, err);
    if (r == 0)
        r = expansion_charge(x, NODE_BYTES, err);
    if (r < 0)
        return r;
    *ret_tree = cJSON_CreateString(text);
    return *ret_tree != NULL ? 0 : err_set(err, ERR_NOMEM, "parameters: out of memory");
}

static int expand_members(struct expansion *x, const cJSON *from, cJSON *to, struct err *err)
{
    const cJSON *child;

    cJSON_ArrayForEach(child, from)
    {
        AUTO(cJSON_Delete) cJSON *copy = NULL;
        int r = expand_tree(x, child, &copy, err);

        if (r == 0 && child->string != NULL)
            r = expansion_charge(x, strlen(child->string), err);
        if (r < 0 || copy == NULL) /* the second never without the first */
            return r;
        if (child->string != NULL) {
            copy->string = cJSON_malloc(strlen(child->string) + 1);
            if (copy->string == NULL)
                return err_set(err, ERR_NOMEM, "parameters: out of memory");
            memcpy(copy->string, child->string, strlen(child->string) + 1);
        }
        (void)cJSON_AddItemToArray(to, TAKE(copy)); /* fails for NULL only; keeps the key */
    }
    return 0;
}

int expand_tree(struct expansion *x, const cJSON *tree, cJSON **ret_tree, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *copy = NULL;
    int r;

    if (cJSON_IsString(tree))
        return expand_string(x, tree, ret_tree, err);
    if (!cJSON_IsArray(tree) && !cJSON_IsObject(tree))
        return copy_tree(x, tree, ret_tree, err);
    r = expansion_charge(x, NODE_BYTES, err);
    if (r < 0)
        return r;
    copy = cJSON_IsArray(tree) ? cJSON_CreateArray() : cJSON_CreateObject();
    if (copy == NULL)
        return err_set(err, ERR_NOMEM, "parameters: out of memory");
    r = expand_members(x, tree, copy, err);
    if (r == 0)
        *ret_tree = TAKE(copy);
    return r;
}
