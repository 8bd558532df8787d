/* YAML: what each scalar is, what is refused, and documents in either language. */
#include "schema/document.h"
#include "schema/yaml.h"
#include "schema_lib.h"

#define MAX_BYTES (1u << 20)

static const struct {
    const char *yaml, *json;
} values[] = {
    /* booleans and null */
    {"yes", "true"},
    {"On", "true"},
    {"y", "true"},
    {"off", "false"},
    {"N", "false"},
    {"~", "null"},
    {"", "null"},
    {"Null", "null"},
    {"tRue", "\"tRue\""},
    {"'yes'", "\"yes\""},
    {"\"null\"", "\"null\""},
    /* numbers */
    {"12", "12"},
    {"-7", "-7"},
    {"+7", "7"},
    {"010", "8"},
    {"08", "8"},
    {"0o17", "15"},
    {"0x1F", "31"},
    {"-0x10", "-16"},
    {"0b101", "5"},
    {"1_000", "1000"},
    {"1.5", "1.5"},
    {".5", "0.5"},
    {"1.", "1"},
    {"1e3", "1000"},
    {"12:30", "\"12:30\""},
    {"1.2.3", "\"1.2.3\""},
    {"0x", "\"0x\""},
    {"-", "[null]"},
    {"_1", "\"_1\""},
    {".", "\".\""},
    {"1e", "\"1e\""},
    {".inf", "\".inf\""},
    {"2001-12-14", "\"2001-12-14\""},
    /* tags */
    {"!!str 5", "\"5\""},
    {"! 5", "\"5\""},
    {"!!int \"7\"", "7"},
    {"!!float 7", "7"},
    {"!!bool \"yes\"", "true"},
    {"!!null ''", "null"},
    {"!!seq [a]", "[\"a\"]"},
    {"!!map {a: b}", "{\"a\":\"b\"}"},
    /* texts */
    {"|\n  a\n  b\n", "\"a\\nb\\n\""},
    {">-\n  a\n  b\n", "\"a b\""},
    {"'it''s'", "\"it's\""},
    {"\"\\u20ac\\n\"", "\"\xe2\x82\xac\\n\""},
    /* maps */
    {"a: 1\nb: [2, {c: d}]\n", "{\"a\":1,\"b\":[2,{\"c\":\"d\"}]}"},
    {"a: 1\na: 2\n", "{\"a\":2}"},
    {"1: x\nyes: y\n~: z\n", "{\"1\":\"x\",\"yes\":true,\"~\":\"z\"}"},
    {"# only\na: b # a comment\n", "{\"a\":\"b\"}"},
    {"---\na: b\n...\n", "{\"a\":\"b\"}"},
    /* anchors, aliases, merge keys */
    {"a: &x [1, 2]\nb: *x\n", "{\"a\":[1,2],\"b\":[1,2]}"},
    {"a: &x 1\nb: &x 2\nc: *x\n", "{\"a\":1,\"b\":2,\"c\":2}"},
    {"a: &x {p: 1, q: 2}\nb:\n  q: 3\n  <<: *x\n",
     "{\"a\":{\"p\":1,\"q\":2},\"b\":{\"p\":1,\"q\":3}}"},
    {"a:\n  <<: [{p: 1}, {p: 2, q: 3}]\n", "{\"a\":{\"p\":1,\"q\":3}}"},
    {"a: {\"<<\": 1}\n", "{\"a\":{\"\\u003c\\u003c\":1}}"},
};

START_TEST(a_value_is_what_the_reference_reads)
{
    AUTO(cJSON_Delete) cJSON *tree = NULL;
    AUTO(free) char *text = NULL;
    struct err err = {0};
    int r = yaml_parse(values[_i].yaml, strlen(values[_i].yaml), MAX_BYTES, "test", &tree, &err);

    if (r < 0 && values[_i].yaml[0] == '\0') /* an empty stream has no value at all */
        return;
    ck_assert_msg(r == 0, "%s: %s", values[_i].yaml, err.text);
    text = text_of(tree);
    ck_assert_str_eq(text, values[_i].json);
}
END_TEST

static const struct {
    const char *yaml;
    int code;
    const char *text;
} refused[] = {
    {"a: [1, 2", ERR_INVALID, "line "},
    {"a: b: c", ERR_INVALID, "line 1, column 5"},
    {"\ta: b", ERR_INVALID, "line 1"},
    {"a: *gone", ERR_INVALID, "anchor that is not there"},
    {"&a [*a]", ERR_INVALID, "part of"},
    {"a: !Ref b", ERR_INVALID, "tag is not known"},
    {"a: !!int x", ERR_INVALID, "does not fit its value"},
    {"a: !!binary aGk=", ERR_INVALID, "tag is not known"},
    {"!!map [a]", ERR_INVALID, "tag is not known"},
    {"[a]: b", ERR_INVALID, "a key must be a text"},
    {"{a: b}: c", ERR_INVALID, "a key must be a text"},
    {"a: \"x\\0y\"", ERR_INVALID, "NUL"},
    {"a: b\n--- c", ERR_INVALID, "more than one YAML document"},
    {"<<: 5", ERR_INVALID, "a merge key needs"},
    {"<<: [5]", ERR_INVALID, "a merge key needs"},
    {"a: \xff", ERR_INVALID, "UTF-8"},
    {"", ERR_INVALID, "it is empty"},
    {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
     "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
     ERR_LIMIT, "nested too deeply"},
};

START_TEST(what_is_refused_says_where_and_why)
{
    cJSON *tree = NULL;
    struct err err = {0};

    ck_assert_int_eq(
        yaml_parse(refused[_i].yaml, strlen(refused[_i].yaml), MAX_BYTES, "test", &tree, &err),
        refused[_i].code);
    ck_assert_ptr_null(tree);
    ck_assert_msg(strstr(err.text, refused[_i].text) != NULL, "%s", err.text);
}
END_TEST

/* Nine lines that stand for a thousand million values. */
START_TEST(aliases_cannot_make_more_than_a_text_may_hold)
{
    AUTO(buf_done) struct buf text = {0};
    cJSON *tree = NULL;
    struct err err = {0};
    char name;

    buf_init(&text, 4096);
    (void)buf_add_str(&text, "a: &a [x,x,x,x,x,x,x,x,x,x]\n");
    for (name = 'b'; name <= 'i'; name++) {
        int i;

        (void)buf_printf(&text, "%c: &%c [", name, name);
        for (i = 0; i < 10; i++)
            (void)buf_printf(&text, "%s*%c", i > 0 ? "," : "", name - 1);
        (void)buf_add_str(&text, "]\n");
    }
    ck_assert_int_eq(yaml_parse(text.data, text.len, MAX_BYTES, "test", &tree, &err), ERR_LIMIT);
    ck_assert_ptr_nonnull(strstr(err.text, "too many values"));
}
END_TEST

START_TEST(aliases_cannot_nest_deeper_than_a_text_may)
{
    AUTO(buf_done) struct buf text = {0};
    cJSON *tree = NULL;
    struct err err = {0};
    int i;

    buf_init(&text, 4096);
    (void)buf_add_str(&text, "- &a0 x\n");
    for (i = 1; i < 70; i++)
        (void)buf_printf(&text, "- &a%d [*a%d]\n", i, i - 1);
    ck_assert_int_eq(yaml_parse(text.data, text.len, MAX_BYTES, "test", &tree, &err), ERR_LIMIT);
    ck_assert_ptr_nonnull(strstr(err.text, "nested too deeply"));
}
END_TEST

START_TEST(a_map_has_a_bounded_number_of_members)
{
    AUTO(buf_done) struct buf text = {0};
    cJSON *tree = NULL;
    struct err err = {0};
    int i;

    buf_init(&text, MAX_BYTES);
    for (i = 0; i < 2001; i++)
        (void)buf_printf(&text, "k%d: v\n", i);
    ck_assert_int_eq(yaml_parse(text.data, text.len, MAX_BYTES, "test", &tree, &err), ERR_LIMIT);
    ck_assert_int_eq(yaml_parse("abc", 3, 2, "test", &tree, &err), ERR_LIMIT);
}
END_TEST

static const struct {
    const char *text, *json, *error; /* one of the two */
} documents[] = {
    {"{\"schemaVersion\":\"2.2\"}", "{\"schemaVersion\":\"2.2\"}", NULL},
    {"schemaVersion: 2.2\n", "{\"schemaVersion\":\"2.2\"}", NULL},
    {"schemaVersion: 2.0\ndescription: 7\n", "{\"description\":\"7\",\"schemaVersion\":\"2.0\"}",
     NULL},
    {"schemaVersion: 2.0.3\n", "{\"schemaVersion\":\"2.0.3\"}", NULL},
    {"mainSteps:\n- name: 1\n  action: on\n  inputs: {runCommand: [1], x: yes}\n",
     "{\"mainSteps\":[{\"action\":\"on\",\"inputs\":{\"runCommand\":[1],\"x\":true},\"name\":\"1\"}"
     "]}",
     NULL},
    {"mainSteps:\n- precondition: {StringEquals: [\"{{ n }}\", 5]}\n",
     "{\"mainSteps\":[{\"precondition\":{\"StringEquals\":[\"{{ n }}\",\"5\"]}}]}", NULL},
    {"parameters: {p: {type: String, default: 5, allowedValues: [5, yes]}}\n",
     "{\"parameters\":{\"p\":{\"allowedValues\":[\"5\",\"yes\"],\"default\":5,\"type\":\"String\"}}"
     "}",
     NULL},
    {"{\"a\": 1,}", "{\"a\":1}", NULL}, /* no JSON, but YAML */
    {"{\"a\": 1", NULL, "line 1, column 8: the text ends too early"},
    {"a: [", NULL, "line "},
    {"- a\n", NULL, "must be an object"},
    {"[1]", NULL, "must be an object"},
    {"plain text", NULL, "must be an object"},
};

START_TEST(a_document_is_read_in_either_language)
{
    AUTO(cJSON_Delete) cJSON *tree = NULL;
    AUTO(free) char *text = NULL;
    struct err err = {0};
    int r = document_text_parse(documents[_i].text, strlen(documents[_i].text), MAX_BYTES, "test",
                                &tree, &err);

    if (documents[_i].json == NULL) {
        ck_assert_int_lt(r, 0);
        ck_assert_msg(strstr(err.text, documents[_i].error) != NULL, "%s", err.text);
        return;
    }
    ck_assert_msg(r == 0, "%s", err.text);
    text = text_of(tree);
    ck_assert_str_eq(text, documents[_i].json);
}
END_TEST

static Suite *yaml_suite(void)
{
    Suite *s = suite_create("yaml");
    TCase *t = tcase_create("values"), *bounds = tcase_create("bounds");

    tcase_add_loop_test(t, a_value_is_what_the_reference_reads, 0, (int)ARRAY_LEN(values));
    tcase_add_loop_test(t, what_is_refused_says_where_and_why, 0, (int)ARRAY_LEN(refused));
    tcase_add_loop_test(t, a_document_is_read_in_either_language, 0, (int)ARRAY_LEN(documents));
    tcase_add_test(bounds, aliases_cannot_make_more_than_a_text_may_hold);
    tcase_add_test(bounds, aliases_cannot_nest_deeper_than_a_text_may);
    tcase_add_test(bounds, a_map_has_a_bounded_number_of_members);
    suite_add_tcase(s, t);
    suite_add_tcase(s, bounds);
    return s;
}

SUITE_MAIN(yaml_suite)
