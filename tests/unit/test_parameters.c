/* Parameters of documents: value set, checks, substitution, Parameter Store. */
#include "document_lib.h"

#include "base/str.h"

static const char spec_values[] =
    "{\"commands\":[\"a\",\"b\"],\"s\":\"x$$y<&\",\"n\":null,\"m\":{\"k\":\"v<\"},\"num\":5,"
    "\"again\":\"{{ s }}\",\"t\":true,\"five\":\"$$$$$\",\"big\":1e21,\"e\":\"\"}";

static const struct {
    const char *input, *result;
} substitutions[] = {
    {"\"{{ commands }}\"", "[\"a\",\"b\"]"},
    {"[\"{{ commands }}\"]", "[[\"a\",\"b\"]]"},
    {"\"{{ s }}\"", "\"x$$y\\u003c\\u0026\""},
    {"\" {{ s }}\"", "\" x$y\\u003c\\u0026\""},
    {"\"x {{s}} {{ n }} {{m}} {{num}} {{commands}} {{nope}}\"",
     "\"x x$y\\u003c\\u0026 null {\\\"k\\\":\\\"v\\\\u003c\\\"} 5 [\\\"a\\\",\\\"b\\\"] "
     "{{nope}}\""},
    {"\"{{ n }}\"", "null"},
    {"\"{{num}}\"", "5"},
    {"\"{{t}} {{big}}\"", "\"true 1e+21\""},
    {"\"{{ again }}\"", "\"{{ s }}\""},
    {"\"x{{ again }}\"", "\"x{{ s }}\""},
    {"\"{{\\t\\r\\n\\fs\\f}}\"", "\"x$$y\\u003c\\u0026\""},
    {"\"{{ s }\"", "\"{{ s }\""},
    {"\"{ { s }}\"", "\"{ { s }}\""},
    {"\"{{ s\"", "\"{{ s\""},
    {"\"{{}}\"", "\"{{}}\""},
    {"\"{{\"", "\"{{\""},
    {"\"{\"", "\"{\""},
    {"\"\"", "\"\""},
    {"\"{{{ num }}}\"", "\"{5}\""},
    {"\"{{{{num}}}}\"", "\"{{5}}\""},
    {"\"{{ s s }}\"", "\"{{ s s }}\""},
    {"\"{{ S }}\"", "\"{{ S }}\""},
    {"\"{{ x{{num}} }}\"", "\"{{ x5 }}\""},
    {"\"-{{five}}-\"", "\"-$$$-\""},
    {"\"-{{e}}-$$-\"", "\"--$$-\""},
    {"{\"{{ num }}\":{\"deep\":[{\"er\":\"{{num}}\"}]}}",
     "{\"{{ num }}\":{\"deep\":[{\"er\":5}]}}"},
    {"[1,true,null,\"{{num}}!\"]", "[1,true,null,\"5!\"]"},
    {"\"{{ ssm-secure:a }} {{ global:x }}\"", "\"{{ ssm-secure:a }} {{ global:x }}\""},
    {"\"\xe2\x82\xac{{num}}\xe2\x82\xac\"", "\"\xe2\x82\xac"
                                            "5\xe2\x82\xac\""},
};

START_TEST(parameters_are_put_in_as_the_examples_say)
{
    struct document *d;
    struct err err = {.code = 0};
    struct buf b;
    char *text;

    buf_init(&b, 10000);
    (void)buf_printf(&b, DOC("{}", "{\"v\":%s}", "{}"), substitutions[_i].input);
    d = parse(buf_str(&b), spec_values, false, NULL, &err);
    ck_assert_msg(d != NULL, "%s", err.text);
    text = text_of(json_get_exact(d->units[0].inputs, "v"));
    ck_assert_str_eq(text, substitutions[_i].result);
    free(text);
    document_free(d);
    buf_done(&b);
}
END_TEST

START_TEST(a_name_with_other_characters_never_stands_for_a_whole_value)
{
    struct document *d =
        parse(DOC("{\"my_list\":{\"default\":[\"a\"]}}", "{\"v\":\"{{ my_list }}\"}", "{}"), NULL,
              false, NULL, NULL);

    ck_assert_ptr_nonnull(d);
    ck_assert_str_eq(json_get_exact(d->units[0].inputs, "v")->valuestring, "[\"a\"]");
    document_free(d);
}
END_TEST

START_TEST(names_of_steps_and_keys_are_left_alone)
{
    struct document *d =
        parse("{\"schemaVersion\":\"2.2\",\"description\":\"{{x}}\",\"mainSteps\":[{\"action\":"
              "\"{{x}}\",\"name\":\"{{x}}\"}]}",
              "{\"x\":\"aws:runShellScript\"}", false, NULL, NULL);

    ck_assert_ptr_nonnull(d);
    ck_assert_str_eq(d->plugins[0].id, "{{x}}");
    ck_assert_str_eq(d->plugins[0].name, "{{x}}");
    document_free(d);
}
END_TEST

START_TEST(old_documents_substitute_in_their_properties)
{
    struct document *d =
        parse("{\"schemaVersion\":\"1.2\",\"parameters\":{\"c\":{\"type\":"
              "\"StringList\"}},\"runtimeConfig\":{\"aws:runShellScript\":{"
              "\"properties\":[{\"id\":\"0.{{n}}\",\"runCommand\":\"{{ c }}\"}]}}}",
              "{\"c\":[\"l1\",\"l2\"],\"n\":7}", false, NULL, NULL);
    char *text;

    ck_assert_ptr_nonnull(d);
    ck_assert_str_eq(d->units[0].id, "0.7");
    text = text_of(d->units[0].inputs);
    ck_assert_str_eq(text, "{\"id\":\"0.7\",\"runCommand\":[\"l1\",\"l2\"]}");
    free(text);
    document_free(d);
}
END_TEST

static const struct {
    const char *definitions, *given, *result; /* of "{{p}}|{{my_param}}|{{q}}" */
} sets[] = {
    {"{\"p\":{\"default\":\"d\"}}", NULL, "d|{{my_param}}|{{q}}"},
    {"{\"p\":{\"default\":\"d\"}}", "{\"p\":\"g\"}", "g|{{my_param}}|{{q}}"},
    {"{\"p\":{\"default\":\"d\"}}", "{\"p\":null}", "null|{{my_param}}|{{q}}"},
    {"{\"p\":{}}", "{}", "null|{{my_param}}|{{q}}"},
    {"{\"p\":{\"default\":[1,\"x\"]}}", "{}", "[1,\"x\"]|{{my_param}}|{{q}}"},
    {"{}", "{\"q\":\"undeclared\"}", "{{p}}|{{my_param}}|undeclared"},
    {"{}", "{\"my_param\":\"dropped\"}", "{{p}}|{{my_param}}|{{q}}"},
    {"{\"my_param\":{\"default\":\"d\"}}", "{\"my_param\":\"kept\"}", "{{p}}|kept|{{q}}"},
    {"{\"p\":{\"Default\":\"d\"}}", "{\"P\":\"other\"}", "d|{{my_param}}|{{q}}"},
};

START_TEST(the_value_set_is_what_was_given_and_defaults)
{
    struct document *d;
    struct err err = {.code = 0};
    char content[500];

    (void)snprintf(content, sizeof(content),
                   DOC("%s", "{\"v\":\"{{p}}|{{my_param}}|{{q}}\"}", "{}"), sets[_i].definitions);
    d = parse(content, sets[_i].given, false, NULL, &err);
    ck_assert_msg(d != NULL, "%s", err.text);
    ck_assert_str_eq(json_get_exact(d->units[0].inputs, "v")->valuestring, sets[_i].result);
    document_free(d);
}
END_TEST

#define PATTERN(p) "{\"p\":{\"type\":\"String\",\"allowedPattern\":\"" p "\"}}"
#define REGEX "AllowedRegexParamValidator: parameter /p/: "
#define NO_MATCH REGEX "the value does not match the allowed pattern: "

static const struct {
    const char *definitions, *given;
    bool is_nested;
    const char *error; /* NULL: accepted */
} checks[] = {
    {PATTERN("^[0-9]{1,6}$"), "{\"p\":\"3600\"}", false, NULL},
    {PATTERN("^[0-9]{1,6}$"), "{\"p\":\"x\"}", false, NO_MATCH "/x/"},
    {PATTERN("[0-9]"), "{\"p\":\"a1b\"}", false, NULL}, /* anywhere */
    {PATTERN("^[0-9]+$"), "{\"p\":\"12\\n\"}", false, NO_MATCH "/12\n/"},
    {PATTERN("^a.b$"),
     "{\"p\":\"a\xe2\x82\xac"
     "b\"}",
     false, NULL}, /* a dot is a character */
    {PATTERN("(?i)^ABC$"), "{\"p\":\"abc\"}", false, NULL},
    {PATTERN("^(a|a?)+b?c$"), "{\"p\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac!\"}", false,
     REGEX "the search took too much work and was given up: "
           "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac!/"},
    {PATTERN("^(a+)+$"),
     "{\"p\":[\"b\",\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\",\"not tried any more\"]}",
     false,
     NO_MATCH "/b/\n" REGEX "the search took too much work and was given up: "
              "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!/"},
    {PATTERN("^a$"), "{\"p\":[\"a\",\"a\"]}", false, NULL},
    {PATTERN("^a$"), "{\"p\":[\"a\",\"b\",5,[\"c\"]]}", false,
     NO_MATCH "/b/\n" NO_MATCH "/5/\n" NO_MATCH "/[\"c\"]/"},
    {PATTERN("^a$"), "{\"p\":[]}", false, NULL},
    {PATTERN("k.*v"), "{\"p\":{\"k\":\"v\"}}", false, NULL},
    {PATTERN("^k"), "{\"p\":{\"k\":\"v\"}}", false, NO_MATCH "/{\"k\":\"v\"}/"},
    {PATTERN("."), "{\"p\":5}", false,
     REGEX "a number cannot be compared with the allowed pattern; give a value"},
    {PATTERN("."), "{\"p\":true}", false,
     REGEX "a boolean cannot be compared with the allowed pattern; give a value"},
    {PATTERN("."), "{}", false,
     REGEX "null cannot be compared with the allowed pattern; give a value"},
    {PATTERN("(a"), "{\"p\":\"a\"}", false,
     REGEX "the allowed pattern does not compile: missing closing parenthesis (at byte 2): /(a/"},
    {PATTERN("(a)\\\\1"), "{\"p\":\"aa\"}", false,
     REGEX "the allowed pattern does not compile: back references are not supported: /(a)\\1/"},
    {PATTERN(""), "{\"p\":5}", false, NULL},
    {"{\"p\":{\"allowedPattern\":\"^a$\"},\"q\":{\"allowedPattern\":\"^b$\"}}",
     "{\"p\":\"x\",\"q\":\"y\"}", false,
     NO_MATCH "/x/\n"
              "AllowedRegexParamValidator: parameter /q/: the value does not match the allowed "
              "pattern: /y/"},
    /* Only inside aws:runDocument */
    {"{\"p\":{\"type\":\"String\",\"maxChars\":2}}", "{\"p\":\"abc\"}", false, NULL},
    {"{\"p\":{\"type\":\"String\",\"maxChars\":2}}", "{\"p\":\"abc\"}", true,
     "MinMaxCharParamValidator: parameter /p/: the value has 3 bytes; 0 to 2 are allowed: /abc/"},
    {"{\"p\":{\"type\":\"String\",\"minChars\":\"4\"}}", "{\"p\":\"abc\"}", true,
     "MinMaxCharParamValidator: parameter /p/: the value has 3 bytes; 4 to 2147483647 are "
     "allowed: /abc/"},
    {"{\"p\":{\"type\":\"String\",\"minChars\":-1,\"maxChars\":1.5}}", "{\"p\":\"abc\"}", true,
     NULL},
    {"{\"p\":{\"type\":\"String\",\"maxChars\":\"x\"}}", "{\"p\":\"abc\"}", true, NULL},
    {"{\"p\":{\"type\":\"String\",\"maxChars\":\"\"}}", "{\"p\":\"abc\"}", true, NULL},
    {"{\"p\":{\"type\":\"Integer\",\"maxChars\":1}}", "{\"p\":12345}", true, NULL},
    {"{\"p\":{\"type\":\"StringList\",\"minItems\":2,\"maxItems\":\"2\"}}", "{\"p\":[\"a\"]}", true,
     "MinMaxItemParamValidator: parameter /p/: the value has 1 items; 2 to 2 are allowed"},
    {"{\"p\":{\"type\":\"StringList\",\"minItems\":2}}", "{\"p\":\"a\"}", true, NULL},
    {"{\"p\":{\"type\":\"StringMap\",\"maxItems\":0}}", "{\"p\":{\"a\":\"b\"}}", true,
     "MinMaxItemParamValidator: parameter /p/: the value has 1 items; 0 to 0 are allowed"},
    {"{\"p\":{\"type\":\"String\",\"allowedValues\":[\"a\",\"b\"]}}", "{\"p\":\"b\"}", true, NULL},
    {"{\"p\":{\"type\":\"String\",\"allowedValues\":[\"a\",\"b\"]}}", "{\"p\":\"c\"}", false, NULL},
    {"{\"p\":{\"type\":\"String\",\"allowedValues\":[\"a\",\"b\"]}}", "{\"p\":\"c\"}", true,
     "AllowedValueParamValidator: parameter /p/: the value is not one of the allowed values: /c/"},
    {"{\"p\":{\"type\":\"StringList\",\"allowedValues\":[\"a\"]}}", "{\"p\":[\"a\",\"c\"]}", true,
     "AllowedValueParamValidator: parameter /p/: the value is not one of the allowed values: /c/"},
    {"{\"p\":{\"type\":\"String\",\"allowedValues\":[]}}", "{\"p\":\"c\"}", true, NULL},
    {"{\"p\":{\"type\":\"Integer\"}}", "{\"p\":\"5\"}", true,
     "AllowedValueParamValidator: parameter /p/: the value of an Integer is not a number"},
    {"{\"p\":{\"type\":\"Integer\"}}", "{\"p\":2147483647}", true,
     "AllowedValueParamValidator: parameter /p/: the value of an Integer is out of range"},
    {"{\"p\":{\"type\":\"Integer\"}}", "{\"p\":2147483646}", true, NULL},
    {"{\"p\":{\"type\":\"Boolean\"}}", "{\"p\":\"true\"}", true,
     "AllowedValueParamValidator: parameter /p/: the value of a Boolean is not true or false"},
    {"{\"p\":{\"type\":\"Boolean\"}}", "{\"p\":true}", true, NULL},
    {"{\"p\":{\"type\":\"Boolean\"}}", "{\"p\":\"true\"}", false, NULL},
};

START_TEST(values_are_checked_and_all_violations_are_told)
{
    struct document *d;
    struct err err = {.code = 0};
    char content[500];

    (void)snprintf(content, sizeof(content), DOC("%s", "{}", "{}"), checks[_i].definitions);
    d = parse(content, checks[_i].given, checks[_i].is_nested, NULL, &err);
    if (checks[_i].error == NULL) {
        ck_assert_msg(d != NULL, "%s", err.text);
    } else {
        ck_assert_ptr_null(d);
        ck_assert_int_eq(err.code, ERR_INVALID);
        ck_assert_str_eq(err.text, checks[_i].error);
    }
    document_free(d);
}
END_TEST

START_TEST(the_trace_holds_more_than_the_error)
{
    cJSON *content = tree_of(DOC("{\"p\":{\"allowedPattern\":\"^a$\"}}", "{}", "{}"));
    cJSON *given = tree_of("{\"p\":[\"b1\",\"b2\",\"b3\",\"b4\",\"b5\",\"b6\",\"b7\",\"b8\"]}");
    struct document *d = NULL;
    struct err err;
    struct buf trace;
    struct document_input in = {.content = content, .parameters = given, .trace = &trace};

    buf_init(&trace, 10000);
    ck_assert_int_eq(document_parse(&in, &d, &err), ERR_INVALID);
    ck_assert_uint_gt(trace.len, sizeof(err.text));
    ck_assert(str_has_prefix(trace.data, err.text));
    ck_assert(str_has_suffix(trace.data, "/b8/"));
    buf_clear(&trace);
    in.content = NULL;
    ck_assert_int_eq(document_parse(&in, &d, &err), ERR_INVALID);
    ck_assert_str_eq(buf_str(&trace), err.text);
    buf_done(&trace);
    cJSON_Delete(content);
    cJSON_Delete(given);
}
END_TEST

START_TEST(a_long_value_is_cut_in_a_violation)
{
    struct err err;
    struct buf given;
    size_t i;

    buf_init(&given, 10000);
    (void)buf_add_str(&given, "{\"p\":\"");
    for (i = 0; i < 100; i++)
        (void)buf_add_str(&given, "\xe2\x82\xac");
    (void)buf_add_str(&given, "\"}");
    ck_assert_ptr_null(parse(DOC(PATTERN("^a$"), "{}", "{}"), buf_str(&given), false, NULL, &err));
    ck_assert_uint_lt(strlen(err.text), 300);
    ck_assert(str_is_utf8(err.text, strlen(err.text)));
    ck_assert(str_has_suffix(err.text, ".../"));
    buf_done(&given);
}
END_TEST

START_TEST(a_document_cannot_be_blown_up_by_its_parameters)
{
    struct buf content, given;
    struct err err;
    size_t i;

    buf_init(&content, TEST_JSON_BYTES);
    buf_init(&given, TEST_JSON_BYTES);
    (void)buf_add_str(&content, "{\"schemaVersion\":\"2.2\",\"mainSteps\":[{\"action\":\"aws:x\","
                                "\"inputs\":{\"a\":[");
    for (i = 0; i < 20000; i++)
        (void)buf_printf(&content, "%s\"%s{{p}}{{p}}\"", i > 0 ? "," : "",
                         i % 2 == 0 ? "" : "{{p}}");
    (void)buf_add_str(&content, "]}}]}");
    (void)buf_add_str(&given, "{\"p\":\"");
    for (i = 0; i < 1000000; i++)
        (void)buf_add_char(&given, 'x');
    (void)buf_add_str(&given, "\"}");
    ck_assert_ptr_null(parse(buf_str(&content), buf_str(&given), false, NULL, &err));
    ck_assert_int_eq(err.code, ERR_LIMIT);
    ck_assert_str_eq(err.text,
                     "the document grows beyond 16777216 bytes when its parameters are put in");
    buf_done(&content);
    buf_done(&given);
}
END_TEST

START_TEST(the_number_of_parameters_is_bounded)
{
    struct buf given;
    struct err err;
    size_t i;

    buf_init(&given, TEST_JSON_BYTES);
    (void)buf_add_char(&given, '{');
    for (i = 0; i <= DOCUMENT_MAX_PARAMETERS; i++)
        (void)buf_printf(&given, "%s\"p%zu\":1", i > 0 ? "," : "", i);
    (void)buf_add_char(&given, '}');
    ck_assert_ptr_null(parse(DOC("{}", "{}", "{}"), buf_str(&given), false, NULL, &err));
    ck_assert_str_eq(err.text, "1001 parameters declared and given; at most 1000 are accepted");
    buf_done(&given);
}
END_TEST

START_TEST(parameters_that_are_not_an_object_are_refused)
{
    struct err err;

    ck_assert_ptr_null(parse(DOC("{}", "{}", "{}"), "[1]", false, NULL, &err));
    ck_assert_str_eq(err.text, "Parameters must be an object, not a list");
}
END_TEST

/* ---- Parameter Store ---- */

static int store(void *ctx, const char *reference, const char **ret_type, const char **ret_value,
                 struct err *err)
{
    static const struct {
        const char *reference, *type, *value;
    } parameters[] = {
        {"a", "String", "A"},
        {"/app/x:3", "String", "version three"},
        {"list", "StringList", "one, two,,three"},
        {"secret", "SecureString", "hidden"},
        {"loop", "String", "{{ssm:a}} {{p}}"},
        {"three", "String", "3"},
    };
    int *n_calls = ctx;
    size_t i;

    ++*n_calls;
    for (i = 0; i < ARRAY_LEN(parameters); i++)
        if (str_eq(parameters[i].reference, reference)) {
            *ret_type = parameters[i].type;
            *ret_value = parameters[i].value;
            return 0;
        }
    return err_set(err, ERR_NOT_FOUND, "there is no such parameter");
}

static const struct {
    const char *input, *result, *error;
} references[] = {
    {"\"{{ssm:a}}\"", "\"A\"", NULL},
    {"\"x{{ ssm:a }}y{{ssm:a}}\"", "\"xAyA\"", NULL},
    {"\"{{   ssm:/app/x:3   }}\"", "\"version three\"", NULL},
    {"\"{{\\tssm:a}}\"", "\"{{\\tssm:a}}\"", NULL}, /* spaces only */
    {"\"{{x}} {{ssm:a}} {\"", "\"{{x}} A {\"", NULL},
    {"\"{{ssm: a}}\"", "\"{{ssm: a}}\"", NULL},
    {"\"{{ssm:}}\"", "\"{{ssm:}}\"", NULL},
    {"\"{{ssm:a b}}\"", "\"{{ssm:a b}}\"", NULL},
    {"\"{{SSM:a}}\"", "\"{{SSM:a}}\"", NULL},
    {"\"{{ssm-secure:a}}\"", "\"{{ssm-secure:a}}\"", NULL},
    {"\"{{ssm:loop}}\"", "\"{{ssm:a}} {{p}}\"", NULL}, /* no recursion */
    {"[\"echo 0\",\" {{ssm:list}} \",\"echo 1\"]",
     "[\"echo 0\",\"one\",\" two\",\"\",\"three\",\"echo 1\"]", NULL},
    {"[\"{{ssm:list}}\"]", "[\"one\",\" two\",\"\",\"three\"]", NULL},
    {"[\"{{ssm:list}}\",\"{{ssm:list}}\"]",
     "[\"one\",\" two\",\"\",\"three\",\"one\",\" two\",\"\",\"three\"]", NULL},
    {"[\" {{ssm:a}} \"]", "[\" A \"]", NULL},
    {"{\"{{ssm:a}}\":{\"k\":[[\"{{ssm:a}}\"]]}}", "{\"{{ssm:a}}\":{\"k\":[[\"A\"]]}}", NULL},
    {"\"{{ssm:list}}\"", NULL,
     "DocumentContent.mainSteps[0]: {{ssm:list}} is a StringList and cannot stand inside a text"},
    {"[\"x {{ssm:list}}\"]", NULL,
     "DocumentContent.mainSteps[0]: {{ssm:list}} is a StringList and cannot stand inside a text"},
    {"\"{{ssm:secret}}\"", NULL,
     "DocumentContent.mainSteps[0]: {{ssm:secret}} is a SecureString, which is not supported in a "
     "document"},
    {"\"{{ssm:nope}}\"", NULL,
     "DocumentContent.mainSteps[0]: {{ssm:nope}}: there is no such parameter"},
    {"\"{{ given }}\"", "\"A\"", NULL}, /* a reference in a value */
    {"\"x{{ given }}\"", "\"xA\"", NULL},
    {"\"{{ssm:{{ part }}}}\"", "\"A\"", NULL}, /* one that comes about by substitution */
    {"\"{{ listed }}\"", "[\"one\",\" two\",\"\",\"three\"]", NULL},
};

START_TEST(parameter_store_references_are_resolved_after_the_parameters)
{
    int n_calls = 0;
    const struct document_resolver resolver = {.resolve = store, .ctx = &n_calls};
    struct document *d;
    struct err err = {.code = 0};
    char content[500], *text;

    (void)snprintf(content, sizeof(content), DOC("{}", "{\"v\":%s}", "{}"), references[_i].input);
    d = parse(content,
              "{\"given\":\"{{ssm:a}}\",\"part\":\"a\",\"listed\":[\"{{ssm:list}}\"],\"p\":\"P\"}",
              false, &resolver, &err);
    if (references[_i].error != NULL) {
        ck_assert_ptr_null(d);
        ck_assert_str_eq(err.text, references[_i].error);
        return;
    }
    ck_assert_msg(d != NULL, "%s", err.text);
    text = text_of(json_get_exact(d->units[0].inputs, "v"));
    ck_assert_str_eq(text, references[_i].result);
    free(text);
    document_free(d);
}
END_TEST

START_TEST(a_reference_that_is_too_long_is_refused)
{
    int n_calls = 0;
    const struct document_resolver resolver = {.resolve = store, .ctx = &n_calls};
    struct err err;
    struct buf b;
    size_t i;

    buf_init(&b, 10000);
    (void)buf_add_str(&b, "{\"schemaVersion\":\"2.2\",\"mainSteps\":[{\"inputs\":\"{{ssm:");
    for (i = 0; i <= DOCUMENT_MAX_NAME_BYTES; i++)
        (void)buf_add_char(&b, 'a');
    (void)buf_add_str(&b, "}}\"}]}");
    ck_assert_ptr_null(parse(buf_str(&b), NULL, false, &resolver, &err));
    ck_assert_int_eq(err.code, ERR_LIMIT);
    ck_assert_int_eq(n_calls, 0);
    buf_done(&b);
}
END_TEST

START_TEST(without_a_resolver_a_reference_fails_the_document)
{
    struct err err;

    ck_assert_ptr_null(parse(DOC("{}", "{\"v\":\"{{ ssm:a }}\"}", "{}"), NULL, false, NULL, &err));
    ck_assert_str_eq(err.text, "DocumentContent.mainSteps[0]: {{ssm:a}} cannot be resolved: there "
                               "is no access to Parameter Store here");
}
END_TEST

START_TEST(patterns_see_the_resolved_value_and_other_checks_are_left_out)
{
    static const char content[] = DOC("{\"p\":{\"type\":\"String\",\"default\":\"{{ssm:three}}\","
                                      "\"allowedPattern\":\"^[0-9]$\",\"maxChars\":2}}",
                                      "{\"v\":\"{{p}}\"}", "{}");
    int n_calls = 0;
    const struct document_resolver resolver = {.resolve = store, .ctx = &n_calls};
    struct document *d;
    struct err err = {.code = 0};

    d = parse(content, NULL, true, &resolver, &err);
    ck_assert_msg(d != NULL, "%s", err.text);
    ck_assert_str_eq(json_get_exact(d->units[0].inputs, "v")->valuestring, "3");
    document_free(d);
    ck_assert_ptr_null(parse(content, "{\"p\":\"{{ssm:a}}\"}", true, &resolver, &err));
    ck_assert_str_eq(err.text, NO_MATCH "/A/");
}
END_TEST

START_TEST(references_are_found_wherever_they_will_be_asked_for)
{
    cJSON *content =
        tree_of("{\"schemaVersion\":\"2.2\",\"parameters\":{\"d\":{\"default\":\"{{ssm:dflt}}\","
                "\"allowedPattern\":\"^x$\"},\"n\":{}},\"mainSteps\":[{\"action\":"
                "\"aws:runShellScript\",\"name\":\"{{ssm:not}}\",\"inputs\":{\"v\":[\"{{ssm:a}}\","
                "\"{{ ssm:a }}\",\"{{ssm:{{n}}}}\",\"{{ssm-secure:s}}\"]},\"settings\":{\"k\":"
                "\"{{ssm:set}}\"}}]}");
    cJSON *given = tree_of("{\"n\":\"made\",\"unused\":\"{{ssm:unused}}\"}");
    struct document_input in = {.content = content, .parameters = given};
    struct document_references found;
    struct err err;

    ck_assert_int_eq(document_find_ssm_references(&in, &found, &err), 0);
    ck_assert_uint_eq(found.n, 5);
    ck_assert_str_eq(found.names[0], "dflt");
    ck_assert_str_eq(found.names[1], "unused");
    ck_assert_str_eq(found.names[2], "a");
    ck_assert_str_eq(found.names[3], "made");
    ck_assert_str_eq(found.names[4], "set");
    document_references_done(&found);
    cJSON_Delete(content);
    cJSON_Delete(given);
}
END_TEST

static Suite *parameters_suite(void)
{
    Suite *s = suite_create("parameters");
    TCase *substitution = tcase_create("substitution"), *check = tcase_create("checks"),
          *ssm = tcase_create("parameter store");

    tcase_add_loop_test(substitution, parameters_are_put_in_as_the_examples_say, 0,
                        (int)ARRAY_LEN(substitutions));
    tcase_add_test(substitution, a_name_with_other_characters_never_stands_for_a_whole_value);
    tcase_add_test(substitution, names_of_steps_and_keys_are_left_alone);
    tcase_add_test(substitution, old_documents_substitute_in_their_properties);
    tcase_add_loop_test(substitution, the_value_set_is_what_was_given_and_defaults, 0,
                        (int)ARRAY_LEN(sets));
    tcase_add_test(substitution, a_document_cannot_be_blown_up_by_its_parameters);
    tcase_add_test(substitution, the_number_of_parameters_is_bounded);
    tcase_add_test(substitution, parameters_that_are_not_an_object_are_refused);
    tcase_add_loop_test(check, values_are_checked_and_all_violations_are_told, 0,
                        (int)ARRAY_LEN(checks));
    tcase_add_test(check, the_trace_holds_more_than_the_error);
    tcase_add_test(check, a_long_value_is_cut_in_a_violation);
    tcase_add_loop_test(ssm, parameter_store_references_are_resolved_after_the_parameters, 0,
                        (int)ARRAY_LEN(references));
    tcase_add_test(ssm, a_reference_that_is_too_long_is_refused);
    tcase_add_test(ssm, without_a_resolver_a_reference_fails_the_document);
    tcase_add_test(ssm, patterns_see_the_resolved_value_and_other_checks_are_left_out);
    tcase_add_test(ssm, references_are_found_wherever_they_will_be_asked_for);
    suite_add_tcase(s, substitution);
    suite_add_tcase(s, check);
    suite_add_tcase(s, ssm);
    return s;
}

SUITE_MAIN(parameters_suite)
