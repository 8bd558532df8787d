/* What operators give against what documents declare, and documents against what the hub asks. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "hub/api.h"
#include "hub/document.h"
#include "hub/parameters.h"

static cJSON *parse(const char *text)
{
    cJSON *json = NULL;
    struct err err;

    ck_assert_msg(json_parse(text, strlen(text), 1u << 20, JSON_REFUSE, "test", &json, &err) == 0,
                  "%s", err.text);
    return json;
}

/* ---- values ---- */

static const struct {
    const char *declared, *given;
    const char *built; /* NULL: refused */
    const char *said;  /* part of the refusal */
} values[] = {
    {"{\"p\":{\"type\":\"String\"}}", "{\"p\":[\"it's \\\"q\\\"\\n\"]}",
     "{\"p\":\"it's \\\"q\\\"\\n\"}", NULL},
    {"{\"p\":{\"type\":\"String\"}}", "{\"p\":[\"a\",\"b\"]}", NULL, "one value"},
    {"{\"p\":{\"type\":\"String\"}}", "{\"p\":[]}", NULL, "one value"},
    {"{\"p\":{\"type\":\"String\"}}", "{}", NULL, "\"p\" is required"},
    {"{\"p\":{\"type\":\"String\",\"default\":\"\"}}", "{}", "{}", NULL},
    {"{}", "{\"q\":[\"x\"]}", NULL, "\"q\" is not a parameter"},
    {"{\"p\":{\"type\":\"String\",\"allowedValues\":[\"a\",\"b\"]}}", "{\"p\":[\"b\"]}",
     "{\"p\":\"b\"}", NULL},
    {"{\"p\":{\"type\":\"String\",\"allowedValues\":[\"a\",\"b\"]}}", "{\"p\":[\"c\"]}", NULL,
     "allowedValues"},
    {"{\"p\":{\"type\":\"String\",\"allowedPattern\":\"([1-9][0-9]{0,4})|(172800)\"}}",
     "{\"p\":[\"172800\"]}", "{\"p\":\"172800\"}", NULL},
    /* an alternative that matches a part is no match */
    {"{\"p\":{\"type\":\"String\",\"allowedPattern\":\"([1-9][0-9]{0,4})|(172800)\"}}",
     "{\"p\":[\"172801\"]}", NULL, "allowedPattern"},
    {"{\"p\":{\"type\":\"String\",\"allowedPattern\":\"^\\\\d+$\"}}", "{\"p\":[\"12x\"]}", NULL,
     "allowedPattern"},
    {"{\"p\":{\"type\":\"String\",\"allowedPattern\":\"(unclosed\"}}", "{\"p\":[\"x\"]}",
     "{\"p\":\"x\"}", NULL},
    {"{\"p\":{\"type\":\"String\",\"allowedPattern\":\"\\\\d+\"}}", "{\"p\":[\"{{ssm:name}}\"]}",
     "{\"p\":\"{{ssm:name}}\"}", NULL},
    {"{\"p\":{\"type\":\"String\",\"maxChars\":3}}", "{\"p\":[\"\u017elu\"]}",
     "{\"p\":\"\u017elu\"}", NULL},
    {"{\"p\":{\"type\":\"String\",\"maxChars\":2}}", "{\"p\":[\"abc\"]}", NULL,
     "3 characters; the document allows at most 2"},
    {"{\"p\":{\"type\":\"String\",\"minChars\":2}}", "{\"p\":[\"a\"]}", NULL,
     "1 characters; the document wants at least 2"},
    {"{\"p\":{\"type\":\"StringList\"}}", "{\"p\":[\"a\",\"b\"]}", "{\"p\":[\"a\",\"b\"]}", NULL},
    {"{\"p\":{\"type\":\"StringList\",\"minItems\":1}}", "{\"p\":[]}", NULL,
     "0 items; the document wants at least 1"},
    {"{\"p\":{\"type\":\"StringList\",\"maxItems\":1}}", "{\"p\":[\"a\",\"b\"]}", NULL, "2 items"},
    {"{\"p\":{\"type\":\"StringList\",\"allowedPattern\":\"a\"}}", "{\"p\":[\"a\",\"b\"]}", NULL,
     "\"b\" does not match"},
    {"{\"p\":{\"type\":\"Boolean\"}}", "{\"p\":[\"True\"]}", "{\"p\":true}", NULL},
    {"{\"p\":{\"type\":\"Boolean\"}}", "{\"p\":[\"yes\"]}", NULL, "true or false"},
    {"{\"p\":{\"type\":\"Integer\"}}", "{\"p\":[\"42\"]}", "{\"p\":42}", NULL},
    {"{\"p\":{\"type\":\"Integer\"}}", "{\"p\":[\"4.2\"]}", NULL, "whole number"},
    {"{\"p\":{\"type\":\"StringMap\"}}", "{\"p\":[\"{\\\"a\\\":\\\"1\\\"}\"]}",
     "{\"p\":{\"a\":\"1\"}}", NULL},
    {"{\"p\":{\"type\":\"StringMap\"}}", "{\"p\":[\"[]\"]}", NULL, "an object"},
    {"{\"p\":{\"type\":\"MapList\"}}", "{\"p\":[\"{\\\"a\\\":\\\"1\\\"}\",\"{}\"]}",
     "{\"p\":[{\"a\":\"1\"},{}]}", NULL},
    {"{\"p\":{\"type\":\"MapList\"}}", "{\"p\":[\"[{\\\"a\\\":\\\"1\\\"}]\"]}",
     "{\"p\":[{\"a\":\"1\"}]}", NULL},
    {"{\"p\":{\"type\":\"MapList\"}}", "{\"p\":[\"nonsense\"]}", NULL, "\"p\""},
};

START_TEST(a_value_is_typed_or_refused_with_its_name)
{
    AUTO(cJSON_Delete) cJSON *declared = parse(values[_i].declared);
    AUTO(cJSON_Delete) cJSON *given = parse(values[_i].given);
    AUTO(buf_done) struct buf out;
    struct err err;
    int r;

    buf_init(&out, 4096);
    r = parameters_build(declared, given, &out, &err);
    if (values[_i].built != NULL) {
        ck_assert_msg(r == 0, "%s", err.text);
        ck_assert_str_eq(buf_str(&out), values[_i].built);
    } else {
        ck_assert_int_eq(r, ERR_INVALID);
        ck_assert_msg(strstr(err.text, values[_i].said) != NULL, "%s", err.text);
    }
}
END_TEST

START_TEST(a_reference_stands_for_the_given_value_or_the_default)
{
    AUTO(cJSON_Delete)
    cJSON *declared = parse("{\"p\":{\"type\":\"String\",\"default\":\"d\"},"
                            "\"q\":{\"type\":\"String\"}}");
    AUTO(cJSON_Delete) cJSON *given = parse("{\"q\":[\"g\"]}");

    ck_assert_str_eq(parameters_resolve(declared, given, "{{ p }}"), "d");
    ck_assert_str_eq(parameters_resolve(declared, given, "{{q}}"), "g");
    ck_assert_str_eq(parameters_resolve(declared, given, "plain"), "plain");
    ck_assert_ptr_null(parameters_resolve(declared, given, "{{ r }}"));
    ck_assert_str_eq(parameters_resolve(declared, given, "{{}"), "{{}");
}
END_TEST

/* ---- documents ---- */

#define STEP(name) "{\"action\":\"aws:runShellScript\",\"name\":\"" name "\",\"inputs\":{}}"
#define DOCUMENT(steps) "{\"schemaVersion\":\"2.2\",\"mainSteps\":[" steps "]}"

static const struct {
    const char *text;
    const char *error_code; /* NULL: good */
} documents[] = {
    {DOCUMENT(STEP("one")), NULL},
    {DOCUMENT(STEP("one") "," STEP("two")), NULL},
    {"{\"schemaVersion\":\"1.2\",\"runtimeConfig\":{\"aws:runShellScript\":{\"properties\":[]}}}",
     NULL},
    {"[]", "InvalidDocumentContent"},
    {"{}", "InvalidDocumentSchemaVersion"},
    {"{\"schemaVersion\":2.2}", "InvalidDocumentSchemaVersion"},
    {"{\"schemaVersion\":\"0.3\"}", "InvalidDocumentSchemaVersion"},
    {DOCUMENT(""), "InvalidDocumentContent"},
    {"{\"schemaVersion\":\"2.2\"}", "InvalidDocumentContent"},
    {DOCUMENT("{\"name\":\"one\"}"), "InvalidDocumentContent"},
    {DOCUMENT("{\"action\":\"aws:runShellScript\"}"), "InvalidDocumentContent"},
    {DOCUMENT("7"), "InvalidDocumentContent"},
    {DOCUMENT(STEP("same") "," STEP("same")), "InvalidDocumentContent"},
    {"{\"schemaVersion\":\"1.2\",\"runtimeConfig\":{}}", "InvalidDocumentContent"},
    {"{\"schemaVersion\":\"2.2\",\"parameters\":7,\"mainSteps\":[" STEP("one") "]}",
     "InvalidDocumentContent"},
    {"{\"schemaVersion\":\"2.2\",\"parameters\":{\"p\":{\"type\":\"Number\"}},\"mainSteps\":[" STEP(
         "one") "]}",
     "InvalidDocumentContent"},
    {"{\"schemaVersion\":\"2.2\",\"parameters\":{\"p\":{\"type\":\"String\",\"maxChars\":\"x\"}},"
     "\"mainSteps\":[" STEP("one") "]}",
     "InvalidDocumentContent"},
};

START_TEST(a_document_is_accepted_or_refused_by_the_name_of_the_api)
{
    AUTO(cJSON_Delete) cJSON *json = parse(documents[_i].text);
    const char *code = NULL;
    struct err err;
    int r = document_check(json, &code, &err);

    if (documents[_i].error_code == NULL) {
        ck_assert_msg(r == 0, "%s", err.text);
        return;
    }
    ck_assert_int_eq(r, ERR_INVALID);
    ck_assert_str_eq(code, documents[_i].error_code);
    ck_assert_uint_gt(strlen(err.text), 10);
}
END_TEST

START_TEST(steps_are_named_as_their_results_will_be)
{
    AUTO(cJSON_Delete) cJSON *new = parse(DOCUMENT(STEP("one") "," STEP("two")));
    AUTO(cJSON_Delete)
    cJSON *old = parse("{\"schemaVersion\":\"1.2\",\"runtimeConfig\":{\"aws:runShellScript\":{}}}");
    AUTO(buf_done) struct buf out;

    buf_init(&out, 4096);
    document_write_steps(new, &out);
    ck_assert_str_eq(buf_str(&out), "[\"one\",\"two\"]");
    buf_clear(&out);
    document_write_steps(old, &out);
    ck_assert_str_eq(buf_str(&out), "[\"aws:runShellScript\"]");
}
END_TEST

START_TEST(the_time_for_execution_is_that_of_all_steps)
{
    AUTO(cJSON_Delete)
    cJSON *json =
        parse("{\"parameters\":{\"t\":{\"type\":\"String\",\"default\":\"100\"}},\"mainSteps\":["
              "{\"inputs\":{\"timeoutSeconds\":10}},{\"inputs\":{\"timeoutSeconds\":\"20\"}},"
              "{\"inputs\":{\"timeoutSeconds\":\"{{ t }}\"}},{\"inputs\":{}}]}");
    AUTO(cJSON_Delete) cJSON *given = parse("{\"t\":[\"200\"]}");

    ck_assert_int_eq(document_execution_timeout_s(json, NULL), 10 + 20 + 100 + 3600);
    ck_assert_int_eq(document_execution_timeout_s(json, given), 10 + 20 + 200 + 3600);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hub parameters");
    TCase *parameters = tcase_create("parameters"), *checks = tcase_create("documents");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_loop_test(parameters, a_value_is_typed_or_refused_with_its_name, 0,
                        (int)ARRAY_LEN(values));
    tcase_add_test(parameters, a_reference_stands_for_the_given_value_or_the_default);
    tcase_add_loop_test(checks, a_document_is_accepted_or_refused_by_the_name_of_the_api, 0,
                        (int)ARRAY_LEN(documents));
    tcase_add_test(checks, steps_are_named_as_their_results_will_be);
    tcase_add_test(checks, the_time_for_execution_is_that_of_all_steps);
    suite_add_tcase(suite, parameters);
    suite_add_tcase(suite, checks);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
