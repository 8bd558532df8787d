/* The log's lines: what journald is told, and what everybody else sees. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

/* What log_set_fd() is given, and the name that systemd would have for it. */
static FILE *begin(char *ret_stream, size_t size)
{
    FILE *f = tmpfile();
    struct stat st;

    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fstat(fileno(f), &st), 0);
    (void)snprintf(ret_stream, size, "%llu:%llu", (unsigned long long)st.st_dev,
                   (unsigned long long)st.st_ino);
    return f;
}

static void expect_first(FILE *f, const char *text)
{
    char line[256] = "";

    log_set_fd(2);
    rewind(f);
    ck_assert_ptr_nonnull(fgets(line, sizeof(line), f));
    ck_assert_msg(strncmp(line, text, strlen(text)) == 0, "%s", line);
    ck_assert_ptr_nonnull(strstr(line, " a sentence\n"));
    (void)fclose(f);
}

START_TEST(journald_is_told_the_level)
{
    static const char *const wanted[] = {"<3>2", "<4>2", "<6>2"};
    char stream[64];
    FILE *f = begin(stream, sizeof(stream));

    ck_assert_int_eq(setenv("JOURNAL_STREAM", stream, 1), 0);
    log_set_fd(fileno(f));
    log_line((enum log_level)_i, "test", "a sentence");
    expect_first(f, wanted[_i]);
    ck_assert_int_eq(unsetenv("JOURNAL_STREAM"), 0);
}
END_TEST

START_TEST(nobody_else_is)
{
    static const char *const streams[] = {NULL, "1:1", "", "journal"};
    char stream[64];
    FILE *f = begin(stream, sizeof(stream));

    if (streams[_i] != NULL)
        ck_assert_int_eq(setenv("JOURNAL_STREAM", streams[_i], 1), 0);
    log_set_fd(fileno(f));
    log_error("a sentence");
    expect_first(f, "2");
    ck_assert_int_eq(unsetenv("JOURNAL_STREAM"), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("log");
    TCase *tc = tcase_create("lines");
    SRunner *runner;
    int n_failed;

    tcase_add_loop_test(tc, journald_is_told_the_level, 0, 3);
    tcase_add_loop_test(tc, nobody_else_is, 0, 4);
    suite_add_tcase(s, tc);
    runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
