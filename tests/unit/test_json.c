/* The JSON reader, getters and writers. */
#include "schema_lib.h"

static const struct {
    const char *text;
    const char *error;
} bad[] = {
    {"", "t is empty; expected JSON"},
    {"  ", "t: line 1, column 3: the text ends too early"},
    {"this is not json", "t: line 1, column 1: expected a value"},
    {"nul", "t: line 1, column 1: expected a value"},
    {"{\"a\":1}x", "t: line 1, column 8: unexpected text after the end of the JSON value"},
    {"[1,\n 2,,3]", "t: line 2, column 4: expected a value"},
    {"[1,]", "t: line 1, column 4: expected a value"},
    {"[1 2]", "t: line 1, column 4: expected a comma or ]"},
    {"{\"a\":1,}", "t: line 1, column 8: expected a key in quotes"},
    {"{\"a\" 1}", "t: line 1, column 6: expected a colon after the key"},
    {"{\"a\":1 \"b\":2}", "t: line 1, column 8: expected a comma or }"},
    {"{a:1}", "t: line 1, column 2: expected a key in quotes"},
    {"{\"a\"", "t: line 1, column 5: the text ends too early"},
    {"[\"ab", "t: line 1, column 5: the text ends too early"},
    {"\"\\", "t: line 1, column 3: the text ends too early"},
    {"\"\\x\"", "t: line 1, column 3: this is not an escape that JSON knows"},
    {"\"\\u12g4\"", "t: line 1, column 3: this is not an escape that JSON knows"},
    {"\"\\u12", "t: line 1, column 3: this is not an escape that JSON knows"},
    {"\"a\tb\"",
     "t: line 1, column 3: a control character in a string must be written as an escape"},
    {"\"a\nb\"",
     "t: line 1, column 3: a control character in a string must be written as an escape"},
    {"\"a\\u0000b\"", "t: line 1, column 4: the character NUL (\\u0000) is not allowed here"},
    {"\"\xc5\xbe\xff\"", "t: line 1, column 3: the bytes are not valid UTF-8"},
    {"\"\xc0\xaf\"", "t: line 1, column 2: the bytes are not valid UTF-8"},
    {"\"\xed\xa0\x80\"", "t: line 1, column 2: the bytes are not valid UTF-8"},
    {"{\"\xff\":1}", "t: line 1, column 3: the bytes are not valid UTF-8"},
    {"01", "t: line 1, column 2: unexpected text after the end of the JSON value"},
    {"-", "t: line 1, column 2: the text ends too early"},
    {"+1", "t: line 1, column 1: expected a value"},
    {".5", "t: line 1, column 1: expected a value"},
    {"1.x", "t: line 1, column 3: expected a digit after the decimal point"},
    {"1e+x", "t: line 1, column 4: expected a digit in the exponent"},
    {"NaN", "t: line 1, column 1: expected a value"},
    {"[0x10]", "t: line 1, column 3: expected a comma or ]"},
    {"1e999", "t: line 1, column 1: the number is too large"},
    {"'a'", "t: line 1, column 1: expected a value"},
    {"// c\n1", "t: line 1, column 1: expected a value"},
};

START_TEST(refuses_what_is_not_json_and_says_where)
{
    cJSON *root = NULL;
    struct err err;

    ck_assert_int_lt(
        json_parse(bad[_i].text, strlen(bad[_i].text), 1000, JSON_REFUSE, "t", &root, &err), 0);
    ck_assert_str_eq(err.text, bad[_i].error);
    ck_assert_ptr_null(root);
}
END_TEST

START_TEST(every_beginning_of_a_text_is_refused)
{
    static const char whole[] =
        "{\"a\":[1,-2.5e+3,\"x\\u00e9\\\"\xe2\x82\xac\",true,false,null],\"b\":{\"c\":[]}}";
    size_t n;

    for (n = 0; n < sizeof(whole) - 1; n++) {
        char *part = malloc(n + 1); /* of its own, so that the sanitizer sees a read behind it */
        cJSON *root = NULL;

        ck_assert_ptr_nonnull(part);
        memcpy(part, whole, n);
        ck_assert_int_lt(json_parse(part, n, 1000, JSON_REFUSE, "t", &root, NULL), 0);
        free(part);
    }
}
END_TEST

static const struct {
    const char *text;
    const char *written;
} good[] = {
    {" [ 1 , 2 ]\n", "[1,2]"},
    {"{\"b\":1,\"a\":{\"d\":[],\"c\":{}}}", "{\"a\":{\"c\":{},\"d\":[]},\"b\":1}"},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\u0008\\u000c\\n\\r\\t\""},
    {"\"<a href='x'>&\"", "\"\\u003ca href='x'\\u003e\\u0026\""},
    {"\"\\u2028\\u2029\\u20ac\\u007f\"", "\"\\u2028\\u2029\xe2\x82\xac\x7f\""},
    {"\"\\u20AC\"", "\"\xe2\x82\xac\""},
    {"\"\\ud83d\\ude00 \\u00e9\"", "\"\xf0\x9f\x98\x80 \xc3\xa9\""},
    {"\"\\ud83d\"", "\"\xef\xbf\xbd\""},
    {"\"\\ude00x\"", "\"\xef\xbf\xbdx\""},
    {"\"\\ud83d\\u0041\"", "\"\xef\xbf\xbd"
                           "A\""},
    {"5", "5"},
    {"5.0", "5"},
    {"-0", "-0"},
    {"0.1", "0.1"},
    {"-2.5e-3", "-0.0025"},
    {"0.000001", "0.000001"},
    {"0.0000001", "1e-7"},
    {"1e20", "100000000000000000000"},
    {"1e21", "1e+21"},
    {"1.5e300", "1.5e+300"},
    {"123456789012345678", "123456789012345680"},
    {"1.7976931348623157e308", "1.7976931348623157e+308"},
    {"5e-324", "5e-324"},
    {"12345.678", "12345.678"},
    {"{\"a\":1,\"b\":2,\"a\":3}", "{\"a\":3,\"b\":2}"},
    {"{\"a\":1,\"A\":2}", "{\"A\":2,\"a\":1}"},
    {"{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1,\"k\":1,"
     "\"l\":1,\"m\":1,\"n\":1,\"o\":1,\"p\":1,\"q\":1,\"a\":2,\"q\":2,\"a\":3}",
     "{\"a\":3,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1,\"k\":1,"
     "\"l\":1,\"m\":1,\"n\":1,\"o\":1,\"p\":1,\"q\":2}"},
};

START_TEST(writes_what_it_read_as_go_would)
{
    cJSON *root = tree_of(good[_i].text);
    char *text = text_of(root);

    ck_assert_str_eq(text, good[_i].written);
    cJSON_Delete(root);
    free(text);
}
END_TEST

static const struct {
    const char *text;
    const char *printed;
} printed[] = {
    {"{\"runCommand\":42}", "map[runCommand:42]"},
    {"{\"b\":[\"x\",[\"y z\"]],\"a\":null}", "map[a:<nil> b:[x [y z]]]"},
    {"[true,false,\"\",1.5]", "[true false  1.5]"},
    {"1000000", "1e+06"},
    {"100000", "100000"},
    {"1048577", "1.048577e+06"},
    {"0.00001", "1e-05"},
    {"0.0001", "0.0001"},
    {"{}", "map[]"},
    {"[]", "[]"},
    {"\"<&>\\n\"", "<&>\n"},
};

START_TEST(prints_values_as_go_percent_v)
{
    cJSON *root = tree_of(printed[_i].text);
    struct buf b;

    buf_init(&b, 1000);
    json_print_go(&b, root);
    ck_assert_str_eq(buf_str(&b), printed[_i].printed);
    buf_done(&b);
    cJSON_Delete(root);
}
END_TEST

/* depth times an opening bracket, a middle, the closing ones. */
static int parse_nested(size_t depth, const char *open, char close, struct err *err)
{
    struct buf b;
    cJSON *root = NULL;
    size_t i;
    int r;

    buf_init(&b, TEST_JSON_BYTES);
    for (i = 0; i < depth; i++)
        (void)buf_add_str(&b, open);
    (void)buf_add_char(&b, '1');
    for (i = 0; i < depth; i++)
        (void)buf_add_char(&b, close);
    r = json_parse(b.data, b.len, TEST_JSON_BYTES, JSON_REFUSE, "t", &root, err);
    cJSON_Delete(root);
    buf_done(&b);
    return r;
}

START_TEST(depth_is_bounded)
{
    struct err err;

    ck_assert_int_eq(parse_nested(JSON_MAX_DEPTH, "[", ']', &err), 0);
    ck_assert_int_eq(parse_nested(JSON_MAX_DEPTH, "{\"k\":", '}', &err), 0);
    ck_assert_int_eq(parse_nested(JSON_MAX_DEPTH + 1, "[", ']', &err), ERR_LIMIT);
    ck_assert_str_eq(err.text, "t: line 1, column 65: nested too deeply");
    ck_assert_int_eq(parse_nested(JSON_MAX_DEPTH + 1, "{\"k\":", '}', &err), ERR_LIMIT);
    ck_assert_int_eq(parse_nested(1000000, "[", ']', &err), ERR_LIMIT);
}
END_TEST

START_TEST(size_and_number_of_values_are_bounded)
{
    cJSON *root = NULL;
    struct err err;
    struct buf b;
    size_t i;

    ck_assert_int_eq(json_parse("[1,2]", 5, 4, JSON_REFUSE, "t", &root, &err), ERR_LIMIT);
    ck_assert_str_eq(err.text, "t has 5 bytes; at most 4 are accepted");
    ck_assert_int_eq(json_parse("[1,2]", 5, 5, JSON_REFUSE, "t", &root, &err), 0);
    cJSON_Delete(root);
    root = NULL;

    buf_init(&b, TEST_JSON_BYTES);
    (void)buf_add_str(&b, "[0");
    for (i = 0; i < JSON_MAX_VALUES; i++)
        (void)buf_add_str(&b, ",0");
    (void)buf_add_char(&b, ']');
    ck_assert_int_eq(json_parse(b.data, b.len, TEST_JSON_BYTES, JSON_REFUSE, "t", &root, &err),
                     ERR_LIMIT);
    ck_assert_ptr_nonnull(strstr(err.text, "too many values"));
    buf_clear(&b);
    for (i = 0; i < 401; i++)
        (void)buf_add_char(&b, '1');
    ck_assert_int_eq(json_parse(b.data, b.len, TEST_JSON_BYTES, JSON_REFUSE, "t", &root, &err),
                     ERR_LIMIT);
    ck_assert_str_eq(err.text, "t: line 1, column 1: the number has too many digits");
    buf_done(&b);
}
END_TEST

START_TEST(mending_marks_the_string_it_touched_and_no_other)
{
    static const char text[] = "[\"a\\u0000b\",\"\xff\xe2\x82\",\"good \xe2\x82\xac\"]";
    cJSON *root = NULL;
    const cJSON *item;

    ck_assert_int_eq(json_parse(text, sizeof(text) - 1, 100, JSON_MEND, "t", &root, NULL), 0);
    item = root->child;
    ck_assert_str_eq(item->valuestring, "a\xef\xbf\xbd"
                                        "b");
    ck_assert(json_is_mended(item));
    item = item->next;
    ck_assert_str_eq(item->valuestring, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    ck_assert(json_is_mended(item));
    item = item->next;
    ck_assert_str_eq(item->valuestring, "good \xe2\x82\xac");
    ck_assert(!json_is_mended(item));
    ck_assert(cJSON_IsString(item));
    cJSON_Delete(root);
}
END_TEST

START_TEST(getters_ignore_case_take_the_last_and_null_is_absent)
{
    cJSON *root = tree_of("{\"Name\":\"first\",\"other\":7,\"NAME\":\"last\",\"gone\":null}");
    const char *text = NULL;
    struct err err;
    int64_t number = 5;

    ck_assert_int_eq(json_get_string(root, "m", "name", 10, &text, &err), 0);
    ck_assert_str_eq(text, "last");
    ck_assert_int_eq(json_get_string(root, "m", "gone", 10, &text, &err), 0);
    ck_assert_ptr_null(text);
    ck_assert_int_eq(json_get_i64(root, "m", "Other", &number, &err), 0);
    ck_assert_int_eq(number, 7);
    ck_assert_int_eq(json_get_i64(root, "m", "missing", &number, &err), 0);
    ck_assert_int_eq(number, 0);
    ck_assert_ptr_null(json_get_exact(root, "name"));
    ck_assert_ptr_nonnull(json_get_exact(root, "Name"));
    ck_assert_ptr_null(json_get(NULL, "name"));
    cJSON_Delete(root);
}
END_TEST

START_TEST(getters_name_the_place_and_both_types)
{
    cJSON *root = tree_of("{\"s\":\"abcd\",\"n\":1.5,\"big\":1e300,\"l\":[],\"o\":{},\"b\":true}");
    const cJSON *item;
    const char *text;
    int64_t number;
    struct err err;

    ck_assert_int_eq(json_get_string(root, "a[2]", "l", 10, &text, &err), ERR_INVALID);
    ck_assert_str_eq(err.text, "a[2].l must be a string, not a list");
    ck_assert_int_eq(json_get_string(root, "", "o", 10, &text, &err), ERR_INVALID);
    ck_assert_str_eq(err.text, "o must be a string, not an object");
    ck_assert_int_eq(json_get_string(root, "a", "s", 3, &text, &err), ERR_LIMIT);
    ck_assert_str_eq(err.text, "a.s has 4 bytes; at most 3 are accepted");
    ck_assert_int_eq(json_get_object(root, "a", "s", &item, &err), ERR_INVALID);
    ck_assert_str_eq(err.text, "a.s must be an object, not a string");
    ck_assert_int_eq(json_get_list(root, "a", "b", &item, &err), ERR_INVALID);
    ck_assert_str_eq(err.text, "a.b must be a list, not a boolean");
    ck_assert_int_eq(json_get_i64(root, "a", "s", &number, &err), ERR_INVALID);
    ck_assert_str_eq(err.text, "a.s must be a whole number, not a string");
    ck_assert_int_eq(json_get_i64(root, "a", "n", &number, &err), ERR_INVALID);
    ck_assert_str_eq(err.text, "a.n must be a whole number, not 1.5");
    ck_assert_int_eq(json_get_i64(root, "a", "big", &number, &err), ERR_INVALID);
    ck_assert_int_eq(json_want_object(json_get(root, "n"), "a.n", &err), ERR_INVALID);
    ck_assert_str_eq(err.text, "a.n must be an object, not a number");
    cJSON_Delete(root);
}
END_TEST

START_TEST(a_writer_over_its_bound_says_so)
{
    cJSON *root = tree_of("[\"0123456789\"]");
    struct err err;
    struct buf b;

    buf_init(&b, 8);
    json_write(&b, root);
    ck_assert_int_eq(buf_error(&b, "x", &err), ERR_LIMIT);
    buf_done(&b);
    cJSON_Delete(root);
}
END_TEST

static const struct {
    const char *text;
    bool is_bad;
} doubled[] = {
    {"{\"a\":1,\"A\":1,\"b\":{\"a\":1}}", false},
    {"{\"a\":1,\"a\":1}", true},
    {"{\"a\":1,\"\\u0061\":1}", true},
    {"[{\"b\":{\"a\":1,\"x\":2,\"a\":1}}]", true},
    {"{\"0\":0,\"1\":0,\"2\":0,\"3\":0,\"4\":0,\"5\":0,\"6\":0,\"7\":0,\"8\":0,\"9\":0,\"10\":0,"
     "\"11\":0,\"12\":0,\"13\":0,\"14\":0,\"15\":0,\"16\":0,\"3\":0}",
     true},
    {"{\"0\":0,\"1\":0,\"2\":0,\"3\":0,\"4\":0,\"5\":0,\"6\":0,\"7\":0,\"8\":0,\"9\":0,\"10\":0,"
     "\"11\":0,\"12\":0,\"13\":0,\"14\":0,\"15\":0,\"16\":0,\"17\":0}",
     false},
    {"[\"\\u0000\"]", true},
    {"[\"\xff\"]", true},
};

START_TEST(a_strict_reader_takes_no_key_twice)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    struct err err = {.code = 0};
    int r =
        json_parse(doubled[_i].text, strlen(doubled[_i].text), 1000, JSON_STRICT, "t", &root, &err);

    ck_assert_int_eq(r, doubled[_i].is_bad ? ERR_INVALID : 0);
    ck_assert(doubled[_i].is_bad == (root == NULL));
}
END_TEST

static Suite *json_suite(void)
{
    Suite *s = suite_create("json");
    TCase *read = tcase_create("reading"), *get = tcase_create("getters"),
          *write = tcase_create("writing");

    tcase_add_loop_test(read, refuses_what_is_not_json_and_says_where, 0, (int)ARRAY_LEN(bad));
    tcase_add_loop_test(read, a_strict_reader_takes_no_key_twice, 0, (int)ARRAY_LEN(doubled));
    tcase_add_test(read, every_beginning_of_a_text_is_refused);
    tcase_add_test(read, depth_is_bounded);
    tcase_add_test(read, size_and_number_of_values_are_bounded);
    tcase_add_test(read, mending_marks_the_string_it_touched_and_no_other);
    tcase_add_test(get, getters_ignore_case_take_the_last_and_null_is_absent);
    tcase_add_test(get, getters_name_the_place_and_both_types);
    tcase_add_loop_test(write, writes_what_it_read_as_go_would, 0, (int)ARRAY_LEN(good));
    tcase_add_loop_test(write, prints_values_as_go_percent_v, 0, (int)ARRAY_LEN(printed));
    tcase_add_test(write, a_writer_over_its_bound_says_so);
    suite_add_tcase(s, read);
    suite_add_tcase(s, get);
    suite_add_tcase(s, write);
    return s;
}

SUITE_MAIN(json_suite)
