/* --param NAME=VALUE, by the type that the document declares. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "ctl/params.h"
#include "schema/json.h"

static const char document_text[] =
    "{\"schemaVersion\":\"2.2\",\"parameters\":{"
    "\"who\":{\"type\":\"String\"},\"commands\":{\"type\":\"StringList\"},"
    "\"n\":{\"type\":\"Integer\"},\"on\":{\"type\":\"Boolean\"},\"m\":{\"type\":\"StringMap\"}}}";

struct param_case {
    const char *values[4]; /* up to the first NULL */
    const char *json;      /* NULL: refused */
    const char *text;      /* part of the refusal */
};

static const struct param_case cases[] = {
    {{NULL}, "{}", NULL},
    {{"who=world"}, "{\"who\":\"world\"}", NULL},
    {{"who="}, "{\"who\":\"\"}", NULL},
    {{"who=[\"a\"]"}, "{\"who\":\"[\\\"a\\\"]\"}", NULL},
    {{"who=a=b \"c\"\n"}, "{\"who\":\"a=b \\\"c\\\"\\n\"}", NULL},
    {{"commands=one"}, "{\"commands\":[\"one\"]}", NULL},
    {{"commands=one", "who=x", "commands=[two]"},
     "{\"commands\":[\"one\",\"[two]\"],\"who\":\"x\"}",
     NULL},
    {{"commands=[\"a\",\n \"b\"]"}, "{\"commands\":[\"a\",\"b\"]}", NULL},
    {{"n=5", "on=true"}, "{\"n\":5,\"on\":true}", NULL},
    {{"m={ \"k\" : \"v\" }"}, "{\"m\":{\"k\":\"v\"}}", NULL},
    {{"who"}, NULL, "--param NAME=VALUE"},
    {{"=x"}, NULL, "--param NAME=VALUE"},
    {{"whoo=x"}, NULL, "did you mean who?"},
    {{"elsewhere=x"}, NULL, "it has: who, commands, n, on, m"},
    {{"who=a", "who=b"}, NULL, "given twice"},
    {{"n=five"}, NULL, "type Integer is given as JSON"},
    {{"m={\"k\""}, NULL, "given as JSON"},
    {{"commands=[\"a\""}, NULL, "given as JSON"},
    {{"who=\xff"}, NULL, "not UTF-8"},
};

START_TEST(a_value_is_taken_as_its_declaration_says)
{
    const struct param_case *c = &cases[_i];
    AUTO(cJSON_Delete) cJSON *document = NULL;
    AUTO(buf_done) struct buf json;
    struct err err = {0};
    size_t n = 0;
    int r;

    buf_init(&json, 1000);
    ck_assert_int_eq(json_parse(document_text, strlen(document_text), 10000, JSON_REFUSE,
                                "document", &document, &err),
                     0);
    while (n < ARRAY_LEN(c->values) && c->values[n] != NULL)
        n++;
    r = params_to_json(document, c->values, n, &json, &err);
    if (c->json != NULL) {
        ck_assert_msg(r == 0, "%s", err.text);
        ck_assert_str_eq(buf_str(&json), c->json);
    } else {
        ck_assert_int_eq(r, ERR_USAGE);
        ck_assert_int_eq(err.code, ERR_USAGE);
        ck_assert_msg(strstr(err.text, c->text) != NULL, "%s", err.text);
    }
}
END_TEST

START_TEST(a_document_without_parameters_takes_none)
{
    static const char *const values[] = {"who=x"};
    AUTO(cJSON_Delete) cJSON *document = cJSON_CreateObject();
    AUTO(buf_done) struct buf json;
    struct err err = {0};

    buf_init(&json, 1000);
    ck_assert_int_eq(params_to_json(document, values, 1, &json, &err), ERR_USAGE);
    ck_assert_msg(strstr(err.text, "declares no parameters") != NULL, "%s", err.text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ctl_params");
    TCase *types = tcase_create("types");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_loop_test(types, a_value_is_taken_as_its_declaration_says, 0, (int)ARRAY_LEN(cases));
    tcase_add_test(types, a_document_without_parameters_takes_none);
    suite_add_tcase(suite, types);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
