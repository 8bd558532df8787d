/* The command line of ssmhub and its file of access keys. */
#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"
#include "hub/access_keys.h"
#include "hub/options.h"

#define MAX_WORDS 8

static int parse(const char *const *words, struct options *o, struct err *err)
{
    char copies[MAX_WORDS][128], *argv[MAX_WORDS + 1] = {NULL};
    int argc = 1;

    (void)str_copy(copies[0], sizeof(copies[0]), "ssmhub");
    argv[0] = copies[0];
    for (; argc < MAX_WORDS && words[argc - 1] != NULL; argc++) {
        (void)str_copy(copies[argc], sizeof(copies[argc]), words[argc - 1]);
        argv[argc] = copies[argc];
    }
    return options_parse(argc, argv, o, err); /* texts in *o do not outlive this */
}

static const struct {
    const char *words[MAX_WORDS];
    const char *said;
} wrong[] = {
    {{NULL}, "--dir"},
    {{"--dir", NULL}, "value is missing"},
    {{"--dir", "", NULL}, "empty"},
    {{"--directory", "d", NULL}, "--directory"},
    {{"d", NULL}, "no such option"},
    {{"--dir", "d", "--poll-seconds", "61", NULL}, "1 to 60"},
    {{"--dir", "d", "--poll-seconds", "1.5", NULL}, "1.5"},
    {{"--dir", "d", "--region", "US", NULL}, "US"},
    {{"--dir", "d", "--instance", "short", NULL}, "short"},
    {{"--dir", "d", "--instance", "../../etc/passwd", NULL}, "passwd"},
    {{"--dir", "d", "--date-offset", "60", NULL}, "--faults"},
    {{"--dir", "d", "--credentials", "f", "--credentials-env", NULL}, "exclude"},
};

START_TEST(a_wrong_word_is_named)
{
    struct options o;
    struct err err;

    ck_assert_int_eq(parse(wrong[_i].words, &o, &err), ERR_USAGE);
    ck_assert_msg(strstr(err.text, wrong[_i].said) != NULL, "%s", err.text);
}
END_TEST

START_TEST(units_are_those_of_the_names)
{
    static const char *const words[] = {
        "--dir", "d", "--poll-seconds", "7", "--faults", "--date-offset", "-60", NULL};
    struct options o;
    struct err err;

    ck_assert_msg(parse(words, &o, &err) == 0, "%s", err.text);
    ck_assert_int_eq(o.poll_ms, 7000);
    ck_assert_int_eq(o.date_offset_ms, -60000);
}
END_TEST

START_TEST(help_needs_nothing_else)
{
    static const char *const words[] = {"--help", NULL};
    struct options o;
    struct err err;

    ck_assert_int_eq(parse(words, &o, &err), 0);
    ck_assert(o.is_help);
    ck_assert_ptr_nonnull(strstr(options_help, "Fleets use AWS Systems Manager itself"));
}
END_TEST

/* ---- access keys ---- */

static char dir[] = "/tmp/hub-keys-XXXXXX";
static int dir_fd;

static void setup(void)
{
    struct err err;

    (void)str_copy(dir, sizeof(dir), "/tmp/hub-keys-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(fs_open_dir(AT_FDCWD, dir, &dir_fd, &err), 0);
}

static void teardown(void)
{
    struct err err;

    (void)close(dir_fd);
    ck_assert_int_eq(fs_remove_tree(AT_FDCWD, dir, &err), 0);
}

static const struct {
    const char *text;
    size_t n;         /* keys */
    const char *said; /* of a refusal, when n is 0 */
} files[] = {
    {"[default]\naws_access_key_id = AKIA\naws_secret_access_key = s\n", 1, NULL},
    {"# c\n[a]\n aws_access_key_id=A\r\naws_secret_access_key=s\nregion = x\n\n[b]\n"
     "aws_access_key_id=B\naws_secret_access_key=t\naws_session_token=u",
     2, NULL},
    {"[a]\nregion = x\n[b]\naws_access_key_id=B\naws_secret_access_key=t\n", 1, NULL},
    {"", 0, "no aws_access_key_id"},
    {"[a]\naws_access_key_id=A\n", 0, "both"},
    {"[a]\naws_secret_access_key=A\n[b]\n", 0, "both"},
    {"[a]\nnonsense\n", 0, "line 2"},
};

START_TEST(a_key_file_is_read_or_refused)
{
    AUTO(access_keys_done) struct access_keys keys = {0};
    struct err err;
    int r;

    ck_assert_int_eq(
        fs_write_atomic(dir_fd, "keys", files[_i].text, strlen(files[_i].text), 0600, false, &err),
        0);
    r = access_keys_read(dir_fd, "keys", &keys, &err);
    if (files[_i].n == 0) {
        ck_assert_int_eq(r, ERR_INVALID);
        ck_assert_msg(strstr(err.text, files[_i].said) != NULL, "%s", err.text);
        return;
    }
    ck_assert_msg(r == 0, "%s", err.text);
    ck_assert_uint_eq(keys.n, files[_i].n);
    ck_assert(secret_is_set(&keys.list[keys.n - 1].secret));
}
END_TEST

START_TEST(more_keys_than_there_is_room_for_are_refused)
{
    AUTO(access_keys_done) struct access_keys keys = {0};
    AUTO(buf_done) struct buf text;
    struct err err;
    int i;

    buf_init(&text, 65536);
    for (i = 0; i <= ACCESS_KEYS_MAX; i++)
        (void)buf_printf(&text, "[%d]\naws_access_key_id=A%d\naws_secret_access_key=s\n", i, i);
    ck_assert_int_eq(fs_write_atomic(dir_fd, "keys", text.data, text.len, 0600, false, &err), 0);
    ck_assert_int_eq(access_keys_read(dir_fd, "keys", &keys, &err), ERR_INVALID);
}
END_TEST

START_TEST(a_new_hub_makes_a_private_key_and_keeps_it)
{
    AUTO(access_keys_done) struct access_keys first = {0}, again = {0};
    struct stat st;
    struct err err;

    ck_assert_int_eq(access_keys_read_or_make(dir_fd, "credentials", &first, &err), 0);
    ck_assert_int_eq(access_keys_read_or_make(dir_fd, "credentials", &again, &err), 0);
    ck_assert_int_eq(fstatat(dir_fd, "credentials", &st, 0), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    ck_assert_uint_eq(strlen(first.list[0].access_key), 20);
    ck_assert_uint_eq(first.list[0].secret.len, 40);
    ck_assert_str_eq(first.list[0].access_key, again.list[0].access_key);
    ck_assert_str_eq(secret_reveal(&first.list[0].secret), secret_reveal(&again.list[0].secret));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hub options");
    TCase *options = tcase_create("options"), *keys = tcase_create("access keys");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_loop_test(options, a_wrong_word_is_named, 0, (int)ARRAY_LEN(wrong));
    tcase_add_test(options, units_are_those_of_the_names);
    tcase_add_test(options, help_needs_nothing_else);
    tcase_add_checked_fixture(keys, setup, teardown);
    tcase_add_loop_test(keys, a_key_file_is_read_or_refused, 0, (int)ARRAY_LEN(files));
    tcase_add_test(keys, more_keys_than_there_is_room_for_are_refused);
    tcase_add_test(keys, a_new_hub_makes_a_private_key_and_keeps_it);
    suite_add_tcase(suite, options);
    suite_add_tcase(suite, keys);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
