/* Answers of Parameter Store: matched on what was asked for, kept without secrets. */
#include "schema/parameter_store.h"
#include "schema_lib.h"

static const char answer_text[] =
    "{\"Parameters\":["
    "{\"Name\":\"/app/x\",\"Type\":\"String\",\"Value\":\"newest\",\"Version\":7,"
    "\"ARN\":\"arn:aws:ssm:us-east-1:123456789012:parameter/app/x\"},"
    "{\"Name\":\"/app/"
    "x\",\"Type\":\"String\",\"Value\":\"third\",\"Version\":3,\"Selector\":\":3\","
    "\"ARN\":\"arn:aws:ssm:us-east-1:123456789012:parameter/app/x\"},"
    "{\"Name\":\"/app/x\",\"Type\":\"String\",\"Value\":\"labelled\",\"Version\":5,"
    "\"Selector\":\":stable\"},"
    "{\"Name\":\"list\",\"Type\":\"StringList\",\"Value\":\"a,b\",\"Version\":1,"
    "\"LastModifiedDate\":1.5e9,\"DataType\":\"text\"},"
    "{\"Name\":\"secret\",\"Type\":\"SecureString\",\"Value\":\"AQICAH...\",\"Version\":1}],"
    "\"InvalidParameters\":[\"nope\",\"/app/x:99\"]}";

static const struct {
    const char *reference, *value; /* NULL: not found */
} references[] = {
    {"/app/x", "newest"},
    {"/app/x:3", "third"},
    {"/app/x:stable", "labelled"},
    {"/app/x:7", "newest"}, /* an answer without a selector */
    {"/app/x:4", NULL},
    {"/app/x:", NULL},
    {"/app", NULL},
    {"arn:aws:ssm:us-east-1:123456789012:parameter/app/x", "newest"},
    {"arn:aws:ssm:us-east-1:123456789012:parameter/app/x:3", "third"},
    {"list", "a,b"},
    {"List", NULL},
    {"nope", NULL},
};

START_TEST(a_parameter_is_found_by_what_was_asked_for)
{
    AUTO(parameter_answer_done) struct parameter_answer a = {.root = NULL};
    const struct stored_parameter *p;

    ck_assert_int_eq(parameter_answer_parse(answer_text, strlen(answer_text), &a, NULL), 0);
    ck_assert_uint_eq(a.n, 5);
    ck_assert_uint_eq(a.n_invalid, 2);
    ck_assert_str_eq(a.invalid[1], "/app/x:99");
    p = parameter_answer_find(&a, references[_i].reference);
    if (references[_i].value == NULL)
        ck_assert_ptr_null(p);
    else
        ck_assert_msg(p != NULL, "%s", references[_i].reference);
    if (p != NULL)
        ck_assert_str_eq(p->value, references[_i].value);
}
END_TEST

static const char *const bad_answers[] = {
    "",
    "[]",
    "{\"Parameters\":{}}",
    "{\"Parameters\":[1]}",
    "{\"Parameters\":[{\"Name\":1}]}",
    "{\"Parameters\":[{\"Version\":\"1\"}]}",
    "{\"InvalidParameters\":\"x\"}",
    "<html>",
};

START_TEST(what_is_no_answer_is_a_protocol_error)
{
    struct parameter_answer a = {.root = NULL};
    struct err err = {0};

    ck_assert_int_eq(parameter_answer_parse(bad_answers[_i], strlen(bad_answers[_i]), &a, &err),
                     ERR_PROTOCOL);
    ck_assert_ptr_null(a.root);
}
END_TEST

START_TEST(kept_values_answer_after_a_restart_as_before)
{
    AUTO(parameter_answer_done) struct parameter_answer a = {.root = NULL};
    AUTO(cJSON_Delete) cJSON *values = cJSON_CreateObject();
    AUTO(cJSON_Delete) cJSON *again = NULL;
    AUTO(free) char *text = NULL;
    struct document_resolver resolver;
    const char *type, *value;
    struct err err = {0};

    ck_assert_int_eq(parameter_answer_parse(answer_text, strlen(answer_text), &a, NULL), 0);
    ck_assert_int_eq(
        parameter_values_add(values, "/app/x:3", parameter_answer_find(&a, "/app/x:3"), &err), 0);
    ck_assert_int_eq(parameter_values_add(values, "list", parameter_answer_find(&a, "list"), &err),
                     0);
    ck_assert_int_eq(
        parameter_values_add(values, "secret", parameter_answer_find(&a, "secret"), &err),
        ERR_INVALID);
    text = text_of(values);
    ck_assert_str_eq(text, "{\"/app/x:3\":{\"type\":\"String\",\"value\":\"third\"},"
                           "\"list\":{\"type\":\"StringList\",\"value\":\"a,b\"}}");
    ck_assert_int_eq(parameter_values_parse(text, strlen(text), &again, &err), 0);
    resolver = parameter_values_resolver(again);
    ck_assert_int_eq(resolver.resolve(resolver.ctx, "list", &type, &value, &err), 0);
    ck_assert_str_eq(type, "StringList");
    ck_assert_str_eq(value, "a,b");
    ck_assert_int_eq(resolver.resolve(resolver.ctx, "/app/x", &type, &value, &err), ERR_NOT_FOUND);
    resolver = parameter_values_resolver(NULL);
    ck_assert_int_eq(resolver.resolve(resolver.ctx, "list", &type, &value, &err), ERR_NOT_FOUND);
}
END_TEST

START_TEST(damaged_values_are_said_to_be_damaged)
{
    static const char *const damaged[] = {"", "[]", "{\"a\":1}", "{\"a\":{\"type\":\"String\"}}"};
    cJSON *values = NULL;
    size_t i;

    for (i = 0; i < ARRAY_LEN(damaged); i++)
        ck_assert_int_eq(parameter_values_parse(damaged[i], strlen(damaged[i]), &values, NULL),
                         ERR_CORRUPT);
    ck_assert_ptr_null(values);
}
END_TEST

START_TEST(a_flood_of_values_is_refused)
{
    AUTO(cJSON_Delete) cJSON *values = cJSON_CreateObject();
    AUTO(free) char *large = malloc(60001);
    struct stored_parameter p = {.type = "String"};
    char reference[16];
    int i, r = 0;

    ck_assert_ptr_nonnull(large);
    memset(large, 'x', 60000);
    large[60000] = '\0';
    p.value = large;
    for (i = 0; i < 100 && r == 0; i++) {
        (void)snprintf(reference, sizeof(reference), "p%d", i);
        r = parameter_values_add(values, reference, &p, NULL);
    }
    ck_assert_int_eq(r, ERR_LIMIT);
}
END_TEST

static Suite *parameter_store_suite(void)
{
    Suite *s = suite_create("parameter_store");
    TCase *answers = tcase_create("answers"), *kept = tcase_create("kept");

    tcase_add_loop_test(answers, a_parameter_is_found_by_what_was_asked_for, 0,
                        (int)ARRAY_LEN(references));
    tcase_add_loop_test(answers, what_is_no_answer_is_a_protocol_error, 0,
                        (int)ARRAY_LEN(bad_answers));
    tcase_add_test(kept, kept_values_answer_after_a_restart_as_before);
    tcase_add_test(kept, damaged_values_are_said_to_be_damaged);
    tcase_add_test(kept, a_flood_of_values_is_refused);
    suite_add_tcase(s, answers);
    suite_add_tcase(s, kept);
    return s;
}

SUITE_MAIN(parameter_store_suite)
