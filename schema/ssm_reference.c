/* {{ssm:name}}: values of the Parameter Store, through a resolver that somebody else filled. Spec
 * 04 section 2.5. {{ssm-secure:name}} is left alone (section 2.6). */
#include <string.h>

#include "base/str.h"
#include "schema/document_internal.h"

static bool is_name_character(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != '\0' && strchr("_/.:-", c) != NULL);
}

/* A reference that begins at s: its name and what is behind it. Blanks are spaces only. */
static bool reference_at(const char *s, const char *prefix, const char **ret_name, size_t *ret_n,
                         const char **ret_end)
{
    const char *p, *name;

    if (s[0] != '{' || s[1] != '{')
        return false;
    for (p = s + 2; *p == ' '; p++)
        ;
    if (!str_has_prefix(p, prefix))
        return false;
    p += strlen(prefix);
    for (name = p; is_name_character(*p); p++)
        ;
    *ret_n = (size_t)(p - name);
    while (*p == ' ')
        p++;
    if (*ret_n == 0 || p[0] != '}' || p[1] != '}')
        return false;
    *ret_name = name;
    *ret_end = p + 2;
    return true;
}

bool text_has_reference(const char *text, bool with_secure)
{
    const char *p, *name, *end;
    size_t n;

    for (p = text; (p = strstr(p, "{{")) != NULL; p++)
        if (reference_at(p, "ssm:", &name, &n, &end) ||
            (with_secure && reference_at(p, "ssm-secure:", &name, &n, &end)))
            return true;
    return false;
}

bool tree_has_reference(const cJSON *tree)
{
    const cJSON *child;

    if (cJSON_IsString(tree))
        return text_has_reference(tree->valuestring, false);
    cJSON_ArrayForEach(child, tree) if (tree_has_reference(child)) return true;
    return false;
}

static int ask(const struct expansion *x, const char *name, size_t n, const char **ret_type,
               const char **ret_value, struct err *err)
{
    char reference[DOCUMENT_MAX_NAME_BYTES + 1];
    int r;

    if (n > DOCUMENT_MAX_NAME_BYTES)
        return err_set(err, ERR_LIMIT, "a {{ssm:...}} reference is longer than %u bytes",
                       DOCUMENT_MAX_NAME_BYTES);
    memcpy(reference, name, n);
    reference[n] = '\0';
    if (x->resolver == NULL)
        return err_set(err, ERR_INVALID,
                       "{{ssm:%s}} cannot be resolved: there is no access to Parameter Store here",
                       reference);
    r = x->resolver->resolve(x->resolver->ctx, reference, ret_type, ret_value, err);
    if (r < 0)
        return err_wrap(err, "{{ssm:%.200s}}", reference);
    if (str_eq(*ret_type, "SecureString"))
        return err_set(err, ERR_INVALID,
                       "{{ssm:%s}} is a SecureString, which is not supported in a document",
                       reference);
    return 0;
}

static int resolve_text(struct expansion *x, const char *text, struct buf *b, struct err *err)
{
    while (*text != '\0') {
        const char *brace = strstr(text, "{{"), *name, *end, *type = "", *value = "";
        size_t n;
        int r;

        if (brace == NULL)
            brace = text + strlen(text);
        (void)buf_add(b, text, (size_t)(brace - text));
        if (*brace == '\0')
            break;
        if (!reference_at(brace, "ssm:", &name, &n, &end)) {
            (void)buf_add_char(b, '{');
            text = brace + 1;
            continue;
        }
        r = ask(x, name, n, &type, &value, err);
        if (r < 0)
            return r;
        if (str_eq(type, "StringList"))
            return err_set(err, ERR_INVALID,
                           "{{ssm:%.*s}} is a StringList and cannot stand inside a text",
                           (int)(n < 200 ? n : 200), name);
        (void)buf_add_str(b, value);
        text = end;
    }
    return 0;
}

static int resolve_string(struct expansion *x, cJSON *string, struct err *err)
{
    AUTO(buf_done) struct buf b = {0};
    char *text;
    int r;

    if (!text_has_reference(string->valuestring, false))
        return 0;
    buf_init(&b, x->left);
    r = resolve_text(x, string->valuestring, &b, err);
    if (r < 0)
        return r;
    if (b.failed == ERR_LIMIT)
        return expansion_charge(x, SIZE_MAX, err);
    r = expansion_charge(x, b.len, err);
    if (r < 0)
        return r;
    text = b.failed == 0 ? buf_take(&b) : NULL;
    if (text == NULL)
        return err_set(err, ERR_NOMEM, "parameters: out of memory");
    cJSON_free(string->valuestring);
    string->valuestring = text;
    return 0;
}

/* An element that is one reference and nothing else. */
static bool is_lone_reference(const char *text, const char **ret_name, size_t *ret_n)
{
    const char *end;

    while (*text == ' ' || *text == '\t' || *text == '\r' || *text == '\n')
        text++;
    if (!reference_at(text, "ssm:", ret_name, ret_n, &end))
        return false;
    while (*end == ' ' || *end == '\t' || *end == '\r' || *end == '\n')
        end++;
    return *end == '\0';
}

/* Replace the element by one per comma-separated part. Its successor is the next to look at. */
static int split_element(struct expansion *x, cJSON *list, cJSON *whole, const char *value,
                         struct err *err)
{
    const char *part = value;

    for (;;) {
        size_t n = strcspn(part, ",");
        AUTO(buf_done) struct buf b = {0};
        cJSON *piece;
        int r;

        buf_init(&b, n);
        r = expansion_charge(x, n + sizeof(cJSON), err);
        if (r < 0)
            return r;
        piece = buf_add(&b, part, n) == 0 ? cJSON_CreateString(buf_str(&b)) : NULL;
        if (piece == NULL)
            return err_set(err, ERR_NOMEM, "parameters: out of memory");
        if (part[n] == '\0') { /* the last part takes the element's own place */
            (void)cJSON_ReplaceItemViaPointer(list, whole, piece);
            return 0;
        }
        /* Insert before the element. cJSON keeps the tail in the first element's prev. */
        piece->next = whole;
        piece->prev = whole->prev;
        if (list->child == whole)
            list->child = piece;
        else
            whole->prev->next = piece;
        whole->prev = piece;
        part += n + 1;
    }
}

static int resolve_list(struct expansion *x, cJSON *list, struct err *err)
{
    cJSON *element, *next;
    int r = 0;

    for (element = list->child; element != NULL && r == 0; element = next) {
        const char *name, *type = "", *value = "";
        size_t n;

        next = element->next;
        if (!cJSON_IsString(element) || !is_lone_reference(element->valuestring, &name, &n)) {
            r = resolve_tree(x, element, err);
            continue;
        }
        r = ask(x, name, n, &type, &value, err);
        if (r == 0)
            r = str_eq(type, "StringList") ? split_element(x, list, element, value, err)
                                           : resolve_string(x, element, err);
    }
    return r;
}

int resolve_tree(struct expansion *x, cJSON *tree, struct err *err)
{
    cJSON *child;
    int r = 0;

    if (cJSON_IsString(tree))
        return resolve_string(x, tree, err);
    if (cJSON_IsArray(tree))
        return resolve_list(x, tree, err);
    if (cJSON_IsObject(tree))
        for (child = tree->child; child != NULL && r == 0; child = child->next)
            r = resolve_tree(x, child, err);
    return r;
}
