/* Text for people and JSON for programs: what ssmctl makes of times, sizes, names and bytes. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "ctl/jsonw.h"
#include "ctl/text.h"

static const struct {
    const char *in, *out;
    size_t width;
} safe_cases[] = {
    {"plain", "plain", 5},
    {"two\nlines\tand a tab", "two lines and a tab", 19},
    {"\033[2Jgone", "?[2Jgone", 8},
    {"del\177", "del?", 4},
    {"caf\xc3\xa9", "caf\xc3\xa9", 4},
    {"\xc2\x9b"
     "31m",
     "?31m", 4}, /* CSI in one character */
    {"bad \xff byte", "bad ? byte", 10},
    {"\xe2\x80\xae"
     "fdp.exe",
     "?fdp.exe", 8}, /* writes the rest from right to left */
    {"cut \xe2\x82", "cut ??", 6},
    {"", "", 0},
};

START_TEST(foreign_text_cannot_move_the_cursor)
{
    AUTO(buf_done) struct buf b = {0};
    char *printed = NULL;
    size_t n;
    FILE *f = open_memstream(&printed, &n);

    ck_assert_ptr_nonnull(f);
    text_put(f, safe_cases[_i].in);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_str_eq(printed, safe_cases[_i].out);
    buf_init(&b, 1000);
    text_add(&b, safe_cases[_i].in);
    ck_assert_str_eq(buf_str(&b), safe_cases[_i].out);
    ck_assert_uint_eq(text_width(safe_cases[_i].in), safe_cases[_i].width);
    free(printed);
}
END_TEST

static const struct {
    int64_t bytes;
    const char *text;
} sizes[] = {
    {0, "0 B"},
    {1023, "1023 B"},
    {1024, "1.0 KiB"},
    {24987, "24.4 KiB"},
    {1048575, "1.0 MiB"},
    {INT64_C(2) << 30, "2.0 GiB"},
    {INT64_MAX, "8.0 EiB"},
};

START_TEST(sizes_have_a_unit_and_at_most_four_digits)
{
    char text[TEXT_SHORT_SIZE];

    text_size(sizes[_i].bytes, text);
    ck_assert_str_eq(text, sizes[_i].text);
}
END_TEST

static const struct {
    int64_t ms;
    const char *text;
} durations[] = {
    {-1, "-"},
    {0, "0 ms"},
    {999, "999 ms"},
    {12345, "12.3 s"},
    {59999, "59.9 s"},
    {60000, "1 min 0 s"},
    {7500000, "2 h 5 min"},
    {172799999, "47 h 59 min"},
    {172800000, "2 d 0 h"},
};

START_TEST(durations_name_two_units)
{
    char text[TEXT_SHORT_SIZE];

    text_duration(durations[_i].ms, text);
    ck_assert_str_eq(text, durations[_i].text);
}
END_TEST

START_TEST(a_time_of_today_has_no_date)
{
    const int64_t now = INT64_C(1767323045678); /* 2026-01-02T03:04:05Z */
    char text[TEXT_SHORT_SIZE];

    ck_assert_int_eq(setenv("TZ", "UTC", 1), 0);
    tzset();
    text_time(now - 60000, now, text);
    ck_assert_str_eq(text, "03:03:05");
    text_time(now - 4 * 3600000, now, text);
    ck_assert_str_eq(text, "2026-01-01 23:04");
    text_time(0, now, text);
    ck_assert_str_eq(text, "-");
}
END_TEST

START_TEST(times_are_local)
{
    const int64_t now = INT64_C(1767323045678);
    char text[TEXT_SHORT_SIZE];

    ck_assert_int_eq(setenv("TZ", "EST5", 1), 0);
    tzset();
    text_time(now, now, text);
    ck_assert_str_eq(text, "22:04:05");
}
END_TEST

static const struct {
    const char *a, *b;
    size_t distance;
} distances[] = {
    {"status", "status", 0}, {"statsu", "status", 2}, {"job", "jobs", 1},
    {"", "run", 3},          {"xxxxxx", "status", 5},
};

START_TEST(distance_counts_changed_letters)
{
    ck_assert_uint_eq(str_distance(distances[_i].a, distances[_i].b, 5), distances[_i].distance);
    ck_assert_uint_eq(str_distance(distances[_i].b, distances[_i].a, 5), distances[_i].distance);
}
END_TEST

START_TEST(columns_are_as_wide_as_their_widest_cell)
{
    AUTO(table_done) struct table t = {0};
    char *printed = NULL;
    struct err err;
    size_t n;
    FILE *f = open_memstream(&printed, &n);

    ck_assert_ptr_nonnull(f);
    table_init(&t, 3, TABLE_RIGHT << 1);
    table_cell(&t, "NAME");
    table_cell(&t, "N");
    table_cell(&t, "TEXT");
    table_cell(&t, "caf\xc3\xa9s");
    table_cell(&t, "%d", 1234);
    table_cell(&t, "a\nb");
    ck_assert_int_eq(table_print(&t, 2, f, &err), 0);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_str_eq(printed, "  NAME      N  TEXT\n"
                              "  caf\xc3\xa9s  1234  a b\n");
    free(printed);
}
END_TEST

/* ---- JSON ---- */

/* A string handed over in pieces of `step` bytes. */
static char *in_pieces(const char *bytes, size_t n, size_t step)
{
    struct jsonw_pieces carry = {.n = 0};
    struct jsonw w;
    char *printed = NULL;
    size_t size, at;
    FILE *f = open_memstream(&printed, &size);

    ck_assert_ptr_nonnull(f);
    jsonw_init(&w, f);
    jsonw_begin_str(&w, NULL);
    for (at = 0; at < n; at += step)
        jsonw_add_str(&w, &carry, bytes + at, n - at < step ? n - at : step);
    jsonw_end_str(&w, &carry);
    ck_assert_int_eq(fclose(f), 0);
    return printed;
}

static const struct {
    const char *bytes, *json;
} pieces[] = {
    {"abc", "\"abc\""},
    {"", "\"\""},
    {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80!",
     "\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80!\""},
    {"a\xff"
     "b",
     "\"a\xef\xbf\xbd"
     "b\""},
    {"\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
    {"\xe2\x28\xa1", "\"\xef\xbf\xbd(\xef\xbf\xbd\""},
    {"\xe2\x82"
     "A",
     "\"\xef\xbf\xbd\xef\xbf\xbd"
     "A\""},
    {"\xf0\x9f\xf0\x9f\x98\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xf0\x9f\x98\x80\""},
    {"\"\\\n", "\"\\\"\\\\\\n\""},
};

START_TEST(a_string_is_the_same_however_it_is_cut)
{
    const char *bytes = pieces[_i].bytes;
    size_t step;

    for (step = 1; step <= strlen(bytes) + 1; step++) {
        char *printed = in_pieces(bytes, strlen(bytes), step);

        ck_assert_msg(str_eq(printed, pieces[_i].json), "step %zu: %s instead of %s", step, printed,
                      pieces[_i].json);
        free(printed);
    }
}
END_TEST

START_TEST(a_document_has_its_commas_and_nulls)
{
    char *printed = NULL;
    struct jsonw w;
    struct err err;
    size_t n;
    FILE *f = open_memstream(&printed, &n);

    ck_assert_ptr_nonnull(f);
    jsonw_init(&w, f);
    jsonw_open_object(&w, NULL);
    jsonw_str(&w, "a", NULL);
    jsonw_time(&w, "at", INT64_C(1767323045678));
    jsonw_time(&w, "never", 0);
    jsonw_open_list(&w, "l");
    jsonw_i64(&w, NULL, INT64_MIN);
    jsonw_bool(&w, NULL, true);
    jsonw_close_list(&w);
    jsonw_close_object(&w);
    ck_assert_int_eq(jsonw_end(&w, &err), 0);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_str_eq(printed,
                     "{\n \"a\":null,\n \"at\":\"2026-01-02T03:04:05.678Z\",\n \"never\":null,\n"
                     " \"l\":[\n  -9223372036854775808,\n  true]}\n");
    free(printed);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ctl_text");
    TCase *people = tcase_create("people"), *json = tcase_create("json");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_loop_test(people, foreign_text_cannot_move_the_cursor, 0, (int)ARRAY_LEN(safe_cases));
    tcase_add_loop_test(people, sizes_have_a_unit_and_at_most_four_digits, 0,
                        (int)ARRAY_LEN(sizes));
    tcase_add_loop_test(people, durations_name_two_units, 0, (int)ARRAY_LEN(durations));
    tcase_add_test(people, a_time_of_today_has_no_date);
    tcase_add_test(people, times_are_local);
    tcase_add_loop_test(people, distance_counts_changed_letters, 0, (int)ARRAY_LEN(distances));
    tcase_add_test(people, columns_are_as_wide_as_their_widest_cell);
    tcase_add_loop_test(json, a_string_is_the_same_however_it_is_cut, 0, (int)ARRAY_LEN(pieces));
    tcase_add_test(json, a_document_has_its_commas_and_nulls);
    suite_add_tcase(suite, people);
    suite_add_tcase(suite, json);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
