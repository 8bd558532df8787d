/* Files that are written whole or not at all, and the room that is set aside for what comes later.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"

#define ROOM 8192

static char root[64];
static int dir_fd;
static struct err err;

static void begin(void)
{
    const char *temp = getenv("TMPDIR");

    (void)snprintf(root, sizeof(root), "%.30s/ssmd-fs.XXXXXX", temp != NULL ? temp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(root));
    ck_assert_int_eq(fs_open_dir(AT_FDCWD, root, &dir_fd, &err), 0);
}

static void end(void)
{
    (void)close(dir_fd);
    ck_assert_int_eq(fs_remove_tree(AT_FDCWD, root, &err), 0);
}

static bool is_there(const char *name)
{
    struct stat st;

    return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

START_TEST(a_file_has_the_room_it_was_promised_and_zeros_in_it)
{
    AUTO(buf_done) struct buf bytes = {0};
    struct stat st;
    size_t i;

    buf_init(&bytes, 64u << 10);
    ck_assert_msg(fs_write_atomic_with_room(dir_fd, "record", "begun\n", 6, ROOM, &err) == 0, "%s",
                  err.text);
    ck_assert_int_eq(fstatat(dir_fd, "record", &st, 0), 0);
    ck_assert_int_ge(st.st_blocks * 512, ROOM);
    ck_assert_int_eq(st.st_mode & 07777, 0600);
    ck_assert_int_eq(fs_read_file(dir_fd, "record", &bytes, &err), 0);
    ck_assert_str_eq(buf_str(&bytes), "begun\n");
    for (i = 6; i < bytes.len; i++)
        ck_assert_int_eq(bytes.data[i], 0);
    ck_assert(!is_there(".record.tmp"));
}
END_TEST

START_TEST(without_the_room_nothing_is_written_and_nothing_is_left)
{
    const size_t too_much = (size_t)1 << 62; /* as a disk that is full */
    int r;

    ck_assert_int_eq(fs_write_atomic(dir_fd, "record", "old", 3, 0600, true, &err), 0);
    r = fs_write_atomic_with_room(dir_fd, "record", "new", 3, too_much, &err);
    ck_assert_int_eq(r, ERR_IO);
    ck_assert_msg(strstr(err.text, "record: reserve 4611686018427387904 bytes") != NULL, "%s",
                  err.text);
    ck_assert(!is_there(".record.tmp"));

    AUTO(buf_done) struct buf bytes = {0};

    buf_init(&bytes, 100);
    ck_assert_int_eq(fs_read_file(dir_fd, "record", &bytes, &err), 0);
    ck_assert_str_eq(buf_str(&bytes), "old");
}
END_TEST

START_TEST(a_name_that_cannot_be_taken_leaves_nothing_behind)
{
    ck_assert_int_eq(mkdirat(dir_fd, "record", 0700), 0);
    ck_assert_int_eq(fs_write_atomic(dir_fd, "record", "x", 1, 0600, true, &err), ERR_IO);
    ck_assert_msg(strstr(err.text, "record: rename") != NULL, "%s", err.text);
    ck_assert(!is_there(".record.tmp"));
}
END_TEST

/* `own`: a file of ours below the test's directory with this mode, in the place of `path`. */
static const struct {
    const char *path;
    mode_t own;
    bool is_program;
    const char *why; /* NULL: it can be used */
} uses[] = {
    {"/bin/true", 0, true, NULL},
    {"/etc/passwd", 0, false, NULL},
    {"/etc/passwd", 0, true, "cannot be run"},
    {"/no/such/file", 0, false, "No such file"},
    {"/tmp", 0, false, "is a directory"},
    {"ca.pem", 0, false, "must be a whole path"},
    {NULL, 0700, true, NULL},
    {NULL, 0702, true, "can be changed by another user"},
    {NULL, 0602, false, NULL},
};

START_TEST(a_file_that_is_named_can_be_used_or_it_is_said_why_not)
{
    char path[200];
    int r;

    (void)snprintf(path, sizeof(path), "%s/own", root);
    if (uses[_i].path == NULL)
        ck_assert_int_eq(fs_write_atomic(dir_fd, "own", "x", 1, uses[_i].own, false, &err), 0);
    r = fs_check_use(uses[_i].path != NULL ? uses[_i].path : path, uses[_i].is_program, &err);
    ck_assert_int_eq(r, uses[_i].why != NULL ? ERR_INVALID : 0);
    if (uses[_i].why != NULL)
        ck_assert_msg(strstr(err.text, uses[_i].why) != NULL, "%s", err.text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fs");
    TCase *t = tcase_create("whole files");
    SRunner *sr;
    int n_failed;

    tcase_add_checked_fixture(t, begin, end);
    tcase_add_test(t, a_file_has_the_room_it_was_promised_and_zeros_in_it);
    tcase_add_test(t, without_the_room_nothing_is_written_and_nothing_is_left);
    tcase_add_test(t, a_name_that_cannot_be_taken_leaves_nothing_behind);
    tcase_add_loop_test(t, a_file_that_is_named_can_be_used_or_it_is_said_why_not, 0,
                        (int)ARRAY_LEN(uses));
    suite_add_tcase(s, t);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
