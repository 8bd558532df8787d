/* Where things are, and a link in the place of the state directory. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/paths.h"
#include "base/str.h"

static char root[64], lib[128], link_name[160];
static struct paths p;
static struct err err;

static void make(const char *name, mode_t mode)
{
    int fd = -1;

    ck_assert_int_eq(fs_make_path(name, &fd, &err), 0);
    ck_assert_int_eq(fchmod(fd, mode), 0);
    (void)close(fd);
}

static const char *below(const char *name)
{
    static char path[4][200];
    static int n;

    n = (n + 1) % 4;
    (void)snprintf(path[n], sizeof(path[n]), "%s/%s", root, name);
    return path[n];
}

static void begin(void)
{
    const char *temp = getenv("TMPDIR");

    (void)snprintf(root, sizeof(root), "%.30s/ssmd-paths.XXXXXX", temp != NULL ? temp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(root));
    (void)snprintf(lib, sizeof(lib), "%s/var/lib", root);
    make(lib, 0755);
    (void)snprintf(link_name, sizeof(link_name), "%s/ssmd", lib);
    err = (struct err){0};
}

static void end(void)
{
    ck_assert_int_eq(fs_remove_tree(AT_FDCWD, root, &err), 0);
}

START_TEST(everything_is_below_the_root)
{
    ck_assert_int_eq(paths_init(&p, root, &err), 0);
    ck_assert_str_eq(p.state_dir, below("var/lib/ssmd"));
    ck_assert_str_eq(p.jobs_dir, below("var/lib/ssmd/jobs"));
    ck_assert_str_eq(p.journal, below("var/lib/ssmd/journal.db"));
    ck_assert_str_eq(p.update_dir, below("var/lib/ssmd/update"));
    ck_assert_str_eq(p.slots_dir, below("opt/ssmd"));
    ck_assert_str_eq(p.run_dir, below("run/ssmd"));
    ck_assert_str_eq(p.config, below("etc/ssmd/ssmd.json"));
}
END_TEST

START_TEST(a_link_of_the_administrator_is_followed_once)
{
    char target[200];
    int fd = -1;

    make(below("data/ssmd"), 0700);
    ck_assert_int_eq(symlink(below("data/ssmd"), link_name), 0);
    ck_assert_msg(paths_init(&p, root, &err) == 0, "%s", err.text);
    ck_assert_ptr_nonnull(realpath(below("data/ssmd"), target));
    ck_assert_str_eq(p.state_dir, target);
    ck_assert(str_has_prefix(p.journal, target));
    ck_assert(str_has_prefix(p.jobs_dir, target));
    ck_assert_int_eq(fs_make_path(p.state_dir, &fd, &err), 0);
    (void)close(fd);
}
END_TEST

static void shared_link_directory(void)
{
    make(below("data/ssmd"), 0700);
    ck_assert_int_eq(symlink(below("data/ssmd"), link_name), 0);
    ck_assert_int_eq(chmod(lib, 0777), 0);
}

static void shared_target_directory(void)
{
    make(below("data/ssmd"), 0700);
    ck_assert_int_eq(chmod(below("data"), 0777), 0);
    ck_assert_int_eq(symlink(below("data/ssmd"), link_name), 0);
}

static void target_is_a_file(void)
{
    int fd = open(below("file"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    (void)close(fd);
    ck_assert_int_eq(symlink(below("file"), link_name), 0);
}

static void target_is_missing(void)
{
    ck_assert_int_eq(symlink(below("nowhere"), link_name), 0);
}

static void anothers_link(void)
{
    make(below("data/ssmd"), 0700);
    ck_assert_int_eq(symlink(below("data/ssmd"), link_name), 0);
    ck_assert_int_eq(lchown(link_name, 65534, 65534), 0);
}

static const struct {
    void (*make)(void);
    bool needs_root;
    const char *text, *advice;
} bad_links[] = {
    {shared_link_directory, false, "in a directory that others may write to", "mount --bind"},
    {shared_target_directory, false, "others may write to", "take that right away"},
    {target_is_a_file, false, "which is not a directory", "symbolic link"},
    {target_is_missing, false, "cannot be reached", "make it, with mode 0700"},
    {anothers_link, true, "belongs to user 65534", "mount --bind"},
};

START_TEST(a_link_that_others_could_turn_is_refused_with_what_to_do)
{
    if (bad_links[_i].needs_root && geteuid() != 0)
        return;
    bad_links[_i].make();
    ck_assert_int_lt(paths_init(&p, root, &err), 0);
    ck_assert_msg(strstr(err.text, link_name) != NULL, "%s", err.text);
    ck_assert_msg(strstr(err.text, bad_links[_i].text) != NULL, "%s", err.text);
    ck_assert_msg(strstr(err.text, bad_links[_i].advice) != NULL, "%s", err.text);
}
END_TEST

START_TEST(a_link_elsewhere_is_called_one)
{
    int fd = -1;

    make(below("data"), 0700);
    ck_assert_int_eq(symlink(below("data"), below("jobs")), 0);
    ck_assert_int_lt(fs_make_path(below("jobs"), &fd, &err), 0);
    ck_assert_msg(strstr(err.text, "symbolic link") != NULL, "%s", err.text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("paths");
    TCase *t = tcase_create("links");
    SRunner *sr;
    int n_failed;

    tcase_add_checked_fixture(t, begin, end);
    tcase_add_test(t, everything_is_below_the_root);
    tcase_add_test(t, a_link_of_the_administrator_is_followed_once);
    tcase_add_loop_test(t, a_link_that_others_could_turn_is_refused_with_what_to_do, 0,
                        ARRAY_LEN(bad_links));
    tcase_add_test(t, a_link_elsewhere_is_called_one);
    suite_add_tcase(s, t);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
