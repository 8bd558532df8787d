/* The level of seelog.xml. */
#include "schema/seelog.h"

#include <expat.h>
#include <string.h>

#include "base/str.h"

/* From the most to the least that is logged. */
static const struct {
    const char *theirs, *ours;
} levels[] = {
    {"trace", "debug"}, {"debug", "debug"},    {"info", "info"}, {"warn", "warning"},
    {"error", "error"}, {"critical", "error"}, {"off", "error"},
};

struct reading {
    XML_Parser parser;
    bool is_seelog;
    size_t depth;
    size_t level; /* of the table above */
};

static size_t level_of(const char *name, size_t n)
{
    size_t i;

    for (i = 0; i < ARRAY_LEN(levels); i++)
        if (strlen(levels[i].theirs) == n && memcmp(levels[i].theirs, name, n) == 0)
            break;
    return i;
}

/* "info,error": the first in the table's order counts. */
static size_t least_of(const char *list)
{
    size_t least = ARRAY_LEN(levels), n, level;

    for (; *list != '\0'; list += n + (list[n] == ',')) {
        n = strcspn(list, ",");
        level = level_of(list, n);
        if (level < least)
            least = level;
    }
    return least;
}

static void on_start(void *ctx, const XML_Char *name, const XML_Char **attributes)
{
    struct reading *r = ctx;
    size_t i, level;

    if (r->depth++ > 0)
        return;
    r->is_seelog = str_eq(name, "seelog");
    for (i = 0; attributes[i] != NULL; i += 2) {
        if (!str_eq(attributes[i], "minlevel") && !str_eq(attributes[i], "levels"))
            continue;
        level = least_of(attributes[i + 1]);
        if (level < ARRAY_LEN(levels))
            r->level = level;
    }
}

static void on_end(void *ctx, const XML_Char *name)
{
    struct reading *r = ctx;

    (void)name;
    r->depth--;
}

/* Nothing in such a file needs entities of its own, and they can make a small file huge. */
static void on_doctype(void *ctx, const XML_Char *name, const XML_Char *system,
                       const XML_Char *public, int has_subset)
{
    struct reading *r = ctx;

    (void)name, (void)system, (void)public, (void)has_subset;
    (void)XML_StopParser(r->parser, XML_FALSE);
}

int seelog_level(const char *xml, size_t n, const char **ret_level, struct err *err)
{
    struct reading r = {.level = 2};
    int result = 0;

    if (n > SEELOG_MAX_BYTES)
        return err_set(err, ERR_LIMIT, "seelog.xml is larger than %u bytes", SEELOG_MAX_BYTES);
    r.parser = XML_ParserCreate(NULL);
    if (r.parser == NULL)
        return err_set(err, ERR_NOMEM, "seelog.xml: out of memory");
    XML_SetUserData(r.parser, &r);
    XML_SetElementHandler(r.parser, on_start, on_end);
    XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
    if (XML_Parse(r.parser, xml, (int)n, 1) != XML_STATUS_OK)
        result = err_set(err, ERR_INVALID, "seelog.xml: line %lu, column %lu: %s",
                         (unsigned long)XML_GetCurrentLineNumber(r.parser),
                         (unsigned long)XML_GetCurrentColumnNumber(r.parser) + 1,
                         XML_ErrorString(XML_GetErrorCode(r.parser)));
    else if (!r.is_seelog)
        result = err_set(err, ERR_INVALID, "seelog.xml: its first element is not <seelog>");
    else
        *ret_level = levels[r.level].ours;
    XML_ParserFree(r.parser);
    return result;
}
