/* A walk over JSON text that is known to be well formed: members and where they stand. */
#include "schema/config_internal.h"

#include <string.h>

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && strchr(" \t\r\n", *p) != NULL && *p != '\0')
        p++;
    return p;
}

/* `p` is at the opening quote; after the closing one. */
static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++)
        if (*p == '\\' && p + 1 < end)
            p++;
    return p < end ? p + 1 : end;
}

static const char *skip_value(const char *p, const char *end)
{
    size_t depth = 0;

    do {
        if (*p == '"') {
            p = skip_string(p, end);
            continue;
        }
        if (*p == '{' || *p == '[')
            depth++;
        else if (*p == '}' || *p == ']')
            depth--;
        else if (depth == 0) { /* a number or a word: up to what cannot be part of it */
            while (p < end && strchr(" \t\r\n,}]", *p) == NULL)
                p++;
            return p;
        }
        p++;
    } while (p < end && depth > 0);
    return p;
}

struct config_span config_inside(struct config_span value)
{
    struct config_span inside = {skip_blanks(value.begin, value.end), value.end};

    inside.begin += inside.begin < inside.end;
    while (inside.end > inside.begin && inside.end[-1] != '}' && inside.end[-1] != ']')
        inside.end--;
    inside.end -= inside.end > inside.begin;
    return inside;
}

bool config_next_member(struct config_span *rest, struct config_span *ret_name,
                        struct config_span *ret_value)
{
    const char *p = skip_blanks(rest->begin, rest->end);

    if (p >= rest->end)
        return false;
    if (ret_name != NULL) {
        ret_name->begin = p;
        ret_name->end = p = skip_string(p, rest->end);
        p = skip_blanks(p, rest->end);
        p = skip_blanks(p + (p < rest->end), rest->end); /* the colon */
        if (p >= rest->end)
            return false;
    }
    ret_value->begin = p;
    ret_value->end = p = skip_value(p, rest->end);
    p = skip_blanks(p, rest->end);
    rest->begin = p + (p < rest->end); /* the comma */
    return true;
}
