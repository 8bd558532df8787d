/* Preconditions of steps: what holds, what does not, what cannot be understood. */
#include "document_lib.h"

static const struct {
    const char *arguments, *given;
    enum document_disposition disposition;
    const char *list; /* what the note lists */
} preconditions[] = {
    {"[\"platformType\",\"Linux\"]", NULL, DOCUMENT_RUN, NULL},
    {"[\"linux\",\"platformType\"]", NULL, DOCUMENT_RUN, NULL},
    {"[\"Windows\",\"platformType\"]", NULL, DOCUMENT_SKIP,
     "\"StringEquals\": [Windows, "
     "platformType]"},
    {"[\"{{ env }}\",\"prod\"]", "{\"env\":\"prod\"}", DOCUMENT_RUN, NULL},
    {"[\"{{ env }}\",\"prod\"]", "{\"env\":\"dev\"}", DOCUMENT_SKIP,
     "\"StringEquals\": [{{ env }}, prod]"},
    {"[\"{{ env }}\",\"prod\"]", "{\"env\":\"Prod\"}", DOCUMENT_SKIP,
     "\"StringEquals\": [{{ env }}, prod]"},
    {"[\"x-{{ env }}\",\"x-prod\"]", "{\"env\":\"prod\"}", DOCUMENT_RUN, NULL},
    {"[\"{{ env }}\",\"[\\\"a\\\"]\"]", "{\"env\":[\"a\"]}", DOCUMENT_RUN, NULL},
    {"[\"{{ env }}\",\"null\"]", "{\"env\":null}", DOCUMENT_RUN, NULL},
    {"[\"a\",\"b\"]", NULL, DOCUMENT_FAIL, "at least one argument must be a document parameter"},
    {"[\"{{ a }}\",\"{{ a }}\"]", "{\"a\":\"x\"}", DOCUMENT_FAIL, "both arguments are the same"},
    {"[\"platformType\",\"platformType\"]", NULL, DOCUMENT_FAIL, "both arguments are the same"},
    {"[\"platformType\",\"{{ a }}\"]", "{\"a\":\"Linux\"}", DOCUMENT_FAIL,
     "document parameters cannot stand beside platformType"},
    {"[\"platformType\"]", NULL, DOCUMENT_FAIL, "it needs two arguments"},
    {"[\"platformType\",\"Linux\",\"x\"]", NULL, DOCUMENT_FAIL, "it needs two arguments"},
    {"[]", NULL, DOCUMENT_FAIL, "it needs two arguments"},
    {"[\"{{ssm:a}}\",\"x\"]", NULL, DOCUMENT_FAIL, "Parameter Store references cannot stand here"},
    {"[\"x\",\"{{ ssm-secure:a }}\"]", NULL, DOCUMENT_FAIL,
     "Parameter Store references cannot stand here"},
};

START_TEST(preconditions_hold_or_say_why_not)
{
    struct document *d;
    struct err err = {.code = 0};
    char content[500];

    (void)snprintf(content, sizeof(content), DOC("{}", "{}", "{\"StringEquals\":%s}"),
                   preconditions[_i].arguments);
    d = parse(content, preconditions[_i].given, false, NULL, &err);
    ck_assert_msg(d != NULL, "%s", err.text);
    ck_assert_int_eq(d->plugins[0].disposition, preconditions[_i].disposition);
    if (preconditions[_i].list != NULL)
        ck_assert_msg(strstr(d->plugins[0].note, preconditions[_i].list) != NULL, "%s",
                      d->plugins[0].note);
    else
        ck_assert_ptr_null(d->plugins[0].note);
    document_free(d);
}
END_TEST

static Suite *precondition_suite(void)
{
    Suite *s = suite_create("precondition");
    TCase *t = tcase_create("evaluation");

    tcase_add_loop_test(t, preconditions_hold_or_say_why_not, 0, (int)ARRAY_LEN(preconditions));
    suite_add_tcase(s, t);
    return s;
}

SUITE_MAIN(precondition_suite)
