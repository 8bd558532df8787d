/* allowedPattern: a search with PCRE2, held to what RE2 (the reference's engine) accepts where that
 * is cheap, and limited in work, because the expression and the text both come from outside. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "schema/document_internal.h"

#define MATCH_LIMIT 1000000u /* PCRE2's internal steps; its default is ten times this */
#define HEAP_LIMIT_KIB 4096u

struct pattern {
    pcre2_code *code;
    pcre2_compile_context *compile_context;
    pcre2_match_context *match_context;
    pcre2_match_data *match;
};

static int fail_compile(int reason, size_t offset, struct err *err)
{
    PCRE2_UCHAR text[160];

    if (pcre2_get_error_message(reason, text, sizeof(text)) < 0)
        text[0] = '\0';
    return err_set(err, ERR_INVALID, "%s (at byte %zu)", (const char *)text, offset);
}

int pattern_compile(const char *expression, struct pattern **ret_pattern, struct err *err)
{
    AUTO(pattern_free) struct pattern *p = calloc(1, sizeof(*p));
    uint32_t back_references = 0;
    PCRE2_SIZE offset = 0;
    int reason = 0;

    if (p == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    p->compile_context = pcre2_compile_context_create(NULL);
    p->match_context = pcre2_match_context_create(NULL);
    if (p->compile_context == NULL || p->match_context == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    (void)pcre2_set_max_pattern_length(p->compile_context, DOCUMENT_MAX_BYTES); /* always 0 */
    (void)pcre2_set_parens_nest_limit(p->compile_context, 100);
    (void)pcre2_set_match_limit(p->match_context, MATCH_LIMIT);
    (void)pcre2_set_heap_limit(p->match_context, HEAP_LIMIT_KIB);
    /* RE2's $ is the end of the text only. */
    p->code = pcre2_compile((PCRE2_SPTR)expression, PCRE2_ZERO_TERMINATED,
                            PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C, &reason,
                            &offset, p->compile_context);
    if (p->code == NULL)
        return fail_compile(reason, offset, err);
    if (pcre2_pattern_info(p->code, PCRE2_INFO_BACKREFMAX, &back_references) == 0 &&
        back_references > 0)
        return err_set(err, ERR_INVALID, "back references are not supported");
    p->match = pcre2_match_data_create(1, NULL);
    if (p->match == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    *ret_pattern = TAKE(p);
    return 0;
}

int pattern_search(const struct pattern *p, const char *text, bool *ret_is_match, struct err *err)
{
    int r = pcre2_match(p->code, (PCRE2_SPTR)text, strlen(text), 0, 0, p->match, p->match_context);

    if (r < 0 && r != PCRE2_ERROR_NOMATCH)
        return err_set(err, ERR_LIMIT, "the search took too much work and was given up");
    *ret_is_match = r >= 0;
    return 0;
}

void pattern_free(struct pattern *p)
{
    if (p == NULL)
        return;
    pcre2_match_data_free(p->match);
    pcre2_code_free(p->code);
    pcre2_match_context_free(p->match_context);
    pcre2_compile_context_free(p->compile_context);
    free(p);
}
