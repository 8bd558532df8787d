/* The log's file: whole lines, rolled by size, never through a link, opened anew when asked. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log_file.h"

static char dir[] = "/tmp/ssmd-log-XXXXXX", path[128];

static void setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/logs/ssmd.log", dir);
}

static void teardown(void)
{
    struct err err;

    ck_assert_int_eq(log_file_open("", 0, 0, &err), 0);
    ck_assert_int_eq(fs_remove_tree(AT_FDCWD, dir, &err), 0);
    (void)memcpy(dir + strlen(dir) - 6, "XXXXXX", 6);
}

static void expect(const char *suffix, const char *text)
{
    AUTO(buf_done) struct buf b = {0};
    char name[160];
    struct err err = {0};

    buf_init(&b, 4096);
    (void)snprintf(name, sizeof(name), "%s%s", path, suffix);
    if (text == NULL) {
        ck_assert_int_eq(access(name, F_OK), -1);
        return;
    }
    ck_assert_msg(fs_read_file(AT_FDCWD, name, &b, &err) == 0, "%s", err.text);
    ck_assert_str_eq(buf_str(&b), text);
}

static void write_line(const char *line)
{
    log_file_write(line, strlen(line));
}

START_TEST(a_full_file_is_rolled_and_the_oldest_goes)
{
    struct err err = {0};
    struct stat st;

    ck_assert_msg(log_file_open(path, 8, 2, &err) == 0, "%s", err.text);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0640 & ~022u);
    write_line("one\n");
    write_line("two\n");
    expect("", "one\ntwo\n");
    expect(".1", NULL);
    write_line("three\n");
    expect("", "three\n");
    expect(".1", "one\ntwo\n");
    write_line("four\n");
    write_line("five\n");
    expect("", "five\n");
    expect(".1", "four\n");
    expect(".2", "three\n");
    expect(".3", NULL);
    write_line("longer than the bound\n"); /* whole all the same */
    expect("", "longer than the bound\n");
}
END_TEST

START_TEST(a_start_goes_on_where_the_last_one_ended)
{
    struct err err = {0};

    ck_assert_int_eq(log_file_open(path, 8, 1, &err), 0);
    write_line("before\n");
    ck_assert_int_eq(log_file_open(path, 8, 1, &err), 0);
    write_line("x\n");
    expect("", "x\n"); /* the size of what was there counts */
    expect(".1", "before\n");
}
END_TEST

START_TEST(what_was_moved_away_is_opened_anew)
{
    char moved[160];
    struct err err = {0};

    (void)snprintf(moved, sizeof(moved), "%s.old", path);
    ck_assert_int_eq(log_file_open(path, 1000, 1, &err), 0);
    write_line("a\n");
    ck_assert_int_eq(rename(path, moved), 0);
    write_line("b\n"); /* still there */
    ck_assert_int_eq(log_file_reopen(&err), 0);
    write_line("c\n");
    expect(".old", "a\nb\n");
    expect("", "c\n");
}
END_TEST

START_TEST(a_link_a_directory_and_a_place_for_everyone_are_refused)
{
    char logs[128];
    struct err err = {0};
    int fd = -1;

    (void)snprintf(logs, sizeof(logs), "%s/logs", dir);
    ck_assert_int_eq(fs_make_path(logs, &fd, &err), 0);
    (void)close(fd);
    ck_assert_int_eq(symlink("/etc/passwd", path), 0);
    ck_assert_int_lt(log_file_open(path, 10, 1, &err), 0);
    ck_assert_ptr_nonnull(strstr(err.text, path));
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_lt(log_file_open(path, 10, 1, &err), 0);
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_int_eq(chmod(logs, 0777), 0);
    ck_assert_int_lt(log_file_open(path, 10, 1, &err), 0);
    ck_assert_int_eq(log_file_open("relative.log", 10, 1, &err), ERR_INVALID);
    write_line("nowhere\n"); /* no file is no harm */
    expect("", NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("log_file");
    SRunner *runner = srunner_create(s);
    TCase *t = tcase_create("log_file");
    int n_failed;

    (void)umask(022);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_full_file_is_rolled_and_the_oldest_goes);
    tcase_add_test(t, a_start_goes_on_where_the_last_one_ended);
    tcase_add_test(t, what_was_moved_away_is_opened_anew);
    tcase_add_test(t, a_link_a_directory_and_a_place_for_everyone_are_refused);
    suite_add_tcase(s, t);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
