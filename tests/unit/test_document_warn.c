/* What is written in a document and does not count is said; a strict reader honours what it can. */
#include "document_lib.h"

#define STEP(fields, inputs)                                                                       \
    "{\"schemaVersion\":\"2.2\",\"mainSteps\":[{\"action\":\"aws:runShellScript\",\"name\":\"s\""  \
    ",\"inputs\":" inputs fields "},{\"action\":\"aws:runShellScript\",\"name\":\"t\"}]}"
#define OLD(properties)                                                                            \
    "{\"schemaVersion\":\"1.2\",\"runtimeConfig\":{\"aws:runShellScript\":{"                       \
    "\"properties\":" properties "}}}"

static struct document *read_as(const char *content, bool is_strict)
{
    AUTO(cJSON_Delete) cJSON *tree = tree_of(content);
    struct document_input in = {.content = tree, .is_strict = is_strict};
    struct document *d = NULL;
    struct err err = {0};

    ck_assert_msg(document_parse(&in, &d, &err) == 0, "%s", err.text);
    return d;
}

static const struct {
    const char *content;
    const char *warning;   /* NULL: none */
    const char *if_strict; /* the same, for a strict reader */
} cases[] = {
    {STEP("", "{\"runCommand\":[\"true\"],\"timeoutSeconds\":60}"), NULL, NULL},
    {STEP("", "{\"timeoutSeconds\":\"60\",\"onFailure\":\"exit\",\"onSuccess\":\"exit\"}"), NULL,
     NULL},
    {STEP("", "{\"timeoutSeconds\":\"\"}"), NULL, NULL},
    {STEP("", "{\"timeoutSeconds\":\"7.9\"}"), NULL, NULL},
    {STEP(",\"timeoutSeconds\":60", "{}"),
     "mainSteps[0].timeoutSeconds: ignored: the limit is the input timeoutSeconds; "
     "Agent.StrictDocuments honours it",
     NULL},
    {STEP(",\"maxAttempts\":3", "{}"),
     "mainSteps[0].maxAttempts: ignored: a failed step is not tried again; Agent.StrictDocuments "
     "honours it",
     NULL},
    {STEP(",\"maxAttempts\":1", "{}"), NULL, NULL},
    {STEP(",\"onFailure\":\"exit\"", "{}"),
     "mainSteps[0].onFailure: ignored: it works among the inputs only; Agent.StrictDocuments "
     "honours it",
     NULL},
    {STEP(",\"isEnd\":true", "{}"),
     "mainSteps[0].isEnd: ignored: it belongs to Automation runbooks",
     "mainSteps[0].isEnd: ignored: it belongs to Automation runbooks"},
    {STEP(",\"finallyStep\":true", "{}"),
     "mainSteps[0].finallyStep: ignored: it works among the inputs only",
     "mainSteps[0].finallyStep: ignored: it works among the inputs only"},
    {STEP("", "{\"finallyStep\":true}"),
     "mainSteps[0].inputs.finallyStep: ignored: it works on the last step only",
     "mainSteps[0].inputs.finallyStep: ignored: it works on the last step only"},
    {STEP("", "{\"onFailure\":\"Abort\"}"),
     "mainSteps[0].inputs.onFailure: ignored: it is neither exit nor successAndExit",
     "mainSteps[0].inputs.onFailure: ignored: it is neither exit nor successAndExit"},
    {STEP("", "{\"onSuccess\":true}"), "mainSteps[0].inputs.onSuccess: ignored: it is not exit",
     "mainSteps[0].inputs.onSuccess: ignored: it is not exit"},
    {STEP("", "{\"timeoutSeconds\":1}"),
     "mainSteps[0].inputs.timeoutSeconds: not a number from 5 to 172800: 3600 s are used",
     "mainSteps[0].inputs.timeoutSeconds: not a number from 5 to 172800: 3600 s are used"},
    {STEP("", "{\"timeoutSeconds\":\"1h\"}"),
     "mainSteps[0].inputs.timeoutSeconds: not a number from 5 to 172800: 3600 s are used",
     "mainSteps[0].inputs.timeoutSeconds: not a number from 5 to 172800: 3600 s are used"},
    {STEP("", "{\"timeoutSeconds\":true}"),
     "mainSteps[0].inputs.timeoutSeconds: not a number from 5 to 172800: 3600 s are used",
     "mainSteps[0].inputs.timeoutSeconds: not a number from 5 to 172800: 3600 s are used"},
    {OLD("[{\"timeoutSeconds\":\"60\"},{\"timeoutSeconds\":4}]"),
     "runtimeConfig.aws:runShellScript.inputs.timeoutSeconds: not a number from 5 to 172800: 3600 "
     "s are used",
     "runtimeConfig.aws:runShellScript.inputs.timeoutSeconds: not a number from 5 to 172800: 3600 "
     "s are used"},
    {"{\"schemaVersion\":\"2.0\",\"outputs\":[],\"runtimeConfig\":{},\"mainSteps\":[{\"action\":"
     "\"aws:runShellScript\",\"name\":\"s\"}]}",
     "outputs: ignored: it belongs to Automation runbooks\nruntimeConfig: ignored: a document of "
     "this schema version runs mainSteps",
     "outputs: ignored: it belongs to Automation runbooks\nruntimeConfig: ignored: a document of "
     "this schema version runs mainSteps"},
};

static void expect(const char *content, bool is_strict, const char *warning)
{
    struct document *d = read_as(content, is_strict);

    if (warning == NULL)
        ck_assert_msg(d->warnings == NULL, "%s", d->warnings);
    else
        ck_assert_str_eq(d->warnings != NULL ? d->warnings : "(none)", warning);
    document_free(d);
}

START_TEST(what_does_not_count_is_said)
{
    expect(cases[_i].content, false, cases[_i].warning);
    expect(cases[_i].content, true, cases[_i].if_strict);
}
END_TEST

static const struct {
    const char *content;
    bool is_strict;
    int64_t limit_s, max_attempts;
    bool exits, succeeds;
} strict[] = {
    {STEP(",\"timeoutSeconds\":60,\"maxAttempts\":3,\"onFailure\":\"exit\"", "{}"), false, 0, 0,
     false, false},
    {STEP(",\"timeoutSeconds\":60,\"maxAttempts\":3,\"onFailure\":\"exit\"", "{}"), true, 60, 3,
     true, false},
    {STEP(",\"timeoutSeconds\":1,\"maxAttempts\":1000,\"onFailure\":\"successAndExit\"", "{}"),
     true, 5, 100, false, true},
    {STEP(",\"timeoutSeconds\":-1,\"maxAttempts\":-1,\"onFailure\":\"Abort\"", "{}"), true, 0, 0,
     true, false},
    {STEP(",\"timeoutSeconds\":1000000,\"onFailure\":\"Continue\"", "{}"), true, 172800, 0, false,
     false},
    /* what stands among the inputs wins */
    {STEP(",\"onFailure\":\"exit\"", "{\"onFailure\":\"successAndExit\"}"), true, 0, 0, false,
     true},
    {OLD("{}"), true, 0, 0, false, false},
};

START_TEST(a_strict_reader_honours_what_stands_beside_the_inputs)
{
    struct document *d = read_as(strict[_i].content, strict[_i].is_strict);

    ck_assert_int_eq(d->plugins[0].limit_s, strict[_i].limit_s);
    ck_assert_int_eq(d->plugins[0].max_attempts, strict[_i].max_attempts);
    ck_assert_int_eq(d->plugins[0].exits_on_failure, strict[_i].exits);
    ck_assert_int_eq(d->plugins[0].succeeds_on_failure, strict[_i].succeeds);
    document_free(d);
}
END_TEST

static Suite *document_warn_suite(void)
{
    Suite *s = suite_create("document_warn");
    TCase *t = tcase_create("warnings");

    tcase_add_loop_test(t, what_does_not_count_is_said, 0, (int)ARRAY_LEN(cases));
    tcase_add_loop_test(t, a_strict_reader_honours_what_stands_beside_the_inputs, 0,
                        (int)ARRAY_LEN(strict));
    suite_add_tcase(s, t);
    return s;
}

SUITE_MAIN(document_warn_suite)
