/* What base/ reads from texts: times, the first line of a record, a buffer that is taken. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/record.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/version.h"

static const struct {
    const char *text;
    int64_t unix_ms; /* below 0: refused */
} times[] = {
    {"1970-01-01T00:00:00Z", 0},
    {"2024-05-04T17:07:28Z", 1714842448000},
    {"2024-05-04T17:07:28.5Z", 1714842448500},
    {"2024-05-04T17:07:28.0419Z", 1714842448041},
    {"2024-05-04T17:07:60Z", 1714842480000},
    {"", -1},
    {"2024-05-04T17:07:28", -1},
    {"2024-05-04T17:07:28.Z", -1},
    {"2024-05-04T17:07:28Zx", -1},
    {"2024-05-04 17:07:28Z", -1},
    {"2024-5-04T17:07:28Z", -1},
    {"2024-13-04T17:07:28Z", -1},
    {"2024-05-04T24:07:28Z", -1},
    {"2024-05-04T-1:07:28Z", -1},
    {"2024-05-04T17:+7:28Z", -1},
    {"2024-05-04T17:07: 8Z", -1},
};

START_TEST(a_time_is_digits_in_one_shape)
{
    int64_t got = -2;
    int r = clock_parse_iso(times[_i].text, &got);

    if (times[_i].unix_ms < 0) {
        ck_assert_int_eq(r, ERR_INVALID);
        ck_assert_int_eq(got, -2);
    } else {
        ck_assert_int_eq(r, 0);
        ck_assert_int_eq(got, times[_i].unix_ms);
    }
}
END_TEST

static const struct {
    const char *a, *b;
    int order;
} versions[] = {
    {"1", "1", 0},
    {"1.0", "1", 1},
    {"7.1", "7", 1},
    {"1.0.0", "1.0", 1},
    {"1.2.3", "1.2.4", -1},
    {"1.10", "1.9", 1},
    {"01.002", "1.2", 0},
    {"0", "000", 0},
    {"0.1", "0.0.1", 1},
    {"1.99999999999999999999999999999999", "1.100000000000000000000000000000000", -1},
    {"3.3.987.0", "3.3.1000.0", -1},
};

START_TEST(versions_are_ordered_by_their_numbers)
{
    int order = version_compare(versions[_i].a, versions[_i].b);
    int back = version_compare(versions[_i].b, versions[_i].a);

    ck_assert(version_is_valid(versions[_i].a) && version_is_valid(versions[_i].b));
    ck_assert_int_eq((order > 0) - (order < 0), versions[_i].order);
    ck_assert_int_eq((back > 0) - (back < 0), -versions[_i].order);
}
END_TEST

static const char *const no_versions[] = {
    "",
    ".",
    "1.",
    ".1",
    "1..2",
    "1.2.",
    "v1",
    "1.2-3",
    "1.2 ",
    " 1",
    "+1",
    "-1",
    "1.a",
    "1/2",
    "../1",
    "..",
    "1.2\n",
    "latest",
    "1_0",
    "1.2/",
    "\xef\xbc\x91",
    "1,2",
    "0x1",
    "1e3",
    "1111111111111111111111111111111111111111111111111111111111111111", /* 64 */
};

START_TEST(a_version_is_digits_and_single_dots)
{
    ck_assert_msg(!version_is_valid(no_versions[_i]), "%s", no_versions[_i]);
}
END_TEST

static const struct {
    const char *line;
    int result;
} headers[] = {
    {"ssmd-record 1 exit", 0},
    {"ssmd-record 1 started", ERR_INVALID},
    {"ssmd-record 1 exit-of-a-name-that-is-long", ERR_INVALID},
    {"ssmd-record 1 exit and more", ERR_INVALID},
    {"ssmd-record 2 exit", ERR_NEWER},
    {"ssmd-record 2 kinds-may-have-longer-names-then", ERR_NEWER},
    {"ssmd-record 99999999999 exit", ERR_CORRUPT},
    {"ssmd-record 0 exit", ERR_CORRUPT},
    {"ssmd-record -1 exit", ERR_CORRUPT},
    {"ssmd-record 1", ERR_CORRUPT},
    {"ssmd-record  1 exit", ERR_CORRUPT},
    {"ssmd-record x exit", ERR_CORRUPT},
    {"another-record 1 exit", ERR_CORRUPT},
    {"", ERR_CORRUPT},
};

START_TEST(a_record_begins_with_its_version_and_kind)
{
    AUTO(record_done) struct record record = {0};
    AUTO(buf_done) struct buf b = {0};
    struct err err = {0};

    buf_init(&b, 1024);
    ck_assert_int_eq(buf_printf(&b, "%s\ncode=7\nend\n", headers[_i].line), 0);
    ck_assert_int_eq(record_parse(b.data, b.len, "exit", &record, &err), headers[_i].result);
    if (headers[_i].result == 0)
        ck_assert_str_eq(record_get(&record, "code"), "7");
    else
        ck_assert_ptr_null(record.text);
}
END_TEST

/* A bound, and a text that ends below it, at it, or over it; the buffer holds "ab" before. */
START_TEST(a_formatted_text_is_whole_or_not_there)
{
    AUTO(buf_done) struct buf b = {0};
    char text[202] = "", want[202];
    size_t n = (size_t)_i;

    memset(text, 'x', n);
    buf_init(&b, 128);
    ck_assert_int_eq(buf_add_str(&b, "ab"), 0);
    if (n + 3 <= 128) {
        ck_assert_int_eq(buf_printf(&b, "%s!", text), 0);
        (void)snprintf(want, sizeof(want), "ab%.190s!", text);
    } else {
        ck_assert_int_eq(buf_printf(&b, "%s!", text), ERR_LIMIT);
        (void)strcpy(want, "ab");
    }
    ck_assert_str_eq(buf_str(&b), want);
    ck_assert_uint_eq(b.len, strlen(want));
}
END_TEST

START_TEST(a_number_is_written_as_printf_writes_it)
{
    static const int64_t numbers[] = {0,
                                      1,
                                      -1,
                                      9,
                                      10,
                                      -10,
                                      99,
                                      100,
                                      INT32_MAX,
                                      INT32_MIN,
                                      INT64_MAX,
                                      -INT64_MAX,
                                      INT64_MAX / 10,
                                      INT64_MIN};
    char text[STR_I64_SIZE], want[32];
    size_t i;

    for (i = 0; i < ARRAY_LEN(numbers); i++) {
        int n = snprintf(want, sizeof(want), "%" PRId64, numbers[i]);

        ck_assert_uint_eq(str_from_i64(numbers[i], text), (size_t)n);
        ck_assert_str_eq(text, want);
    }
}
END_TEST

START_TEST(taking_empties_a_buffer_that_can_be_used_again)
{
    AUTO(buf_done) struct buf b = {0};
    AUTO(free) char *nothing = NULL, *something = NULL;

    buf_init(&b, 8);
    nothing = buf_take(&b);
    ck_assert_ptr_nonnull(nothing);
    ck_assert_str_eq(nothing, "");
    ck_assert_int_eq(buf_add_str(&b, "eight by"), 0);
    something = buf_take(&b);
    ck_assert_str_eq(something, "eight by");
    ck_assert_ptr_null(b.data);
    ck_assert_uint_eq(b.len, 0);
    ck_assert_int_eq(buf_add_char(&b, 'x'), 0);
    ck_assert_str_eq(buf_str(&b), "x");
}
END_TEST

static const struct {
    const char *entry;
    bool is_secret;
} variables[] = {
    {"http_proxy=http://user:word@proxy:3128", true},
    {"http_proxy=http://user:word@proxy:3128/", true},
    {"HTTPS_PROXY=user:word@proxy:3128", true},
    {"A=x postgres://u:p@db/x", true},
    {"A=http://proxy:3128 and http://u:p@other", true},
    {"http_proxy=http://:word@proxy", true},
    {"http_proxy=http://proxy:3128", false},
    {"http_proxy=http://user@proxy:3128", false},
    {"MAIL=someone@example.org", false},
    {"A=http://host:80/path@2", false},
    {"A=http://host/a:b@c", false},
    {"PATH=/usr/bin:/bin", false},
    {"A=", false},
    {"A", false},
    {"", false},
};

START_TEST(a_password_in_a_url_is_recognised)
{
    ck_assert_msg(secret_is_in_url(variables[_i].entry) == variables[_i].is_secret, "%s",
                  variables[_i].entry);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base text");
    TCase *t = tcase_create("reading");
    SRunner *runner;
    int n_failed;

    tcase_add_loop_test(t, a_time_is_digits_in_one_shape, 0, (int)ARRAY_LEN(times));
    tcase_add_loop_test(t, versions_are_ordered_by_their_numbers, 0, (int)ARRAY_LEN(versions));
    tcase_add_loop_test(t, a_version_is_digits_and_single_dots, 0, (int)ARRAY_LEN(no_versions));
    tcase_add_loop_test(t, a_password_in_a_url_is_recognised, 0, ARRAY_LEN(variables));
    tcase_add_loop_test(t, a_record_begins_with_its_version_and_kind, 0, (int)ARRAY_LEN(headers));
    tcase_add_loop_test(t, a_formatted_text_is_whole_or_not_there, 0, 190);
    tcase_add_test(t, a_number_is_written_as_printf_writes_it);
    tcase_add_test(t, taking_empties_a_buffer_that_can_be_used_again);
    suite_add_tcase(s, t);
    runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
