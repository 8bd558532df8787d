/* Version slots: links that switch whole or not at all, seals that notice
 * everything. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/record.h"
#include "base/str.h"
#include "base/version.h"
#include "tests/lib/fault.h"
#include "update/slots.h"

static char root[64], dir[96];
static struct slots s;
static struct err err;

static void begin(void)
{
    const char *temp = getenv("TMPDIR");

    (void)umask(022);
    (void)snprintf(root, sizeof(root), "%.30s/ssmd-slots.XXXXXX", temp != NULL ? temp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(root));
    (void)snprintf(dir, sizeof(dir), "%s/opt/ssmd", root);
    ck_assert_msg(slots_open(dir, true, &s, &err) == 0, "%s", err.text);
}

static void end(void)
{
    slots_done(&s);
    ck_assert_msg(slots_remove_tree(AT_FDCWD, root, &err) == 0, "%s", err.text);
}

static void write_file(int fd, const char *name, const char *text, mode_t mode)
{
    ck_assert_int_eq(fs_write_atomic(fd, name, text, strlen(text), mode, false, &err), 0);
}

static int make_dir(int fd, const char *name)
{
    int made;

    ck_assert_int_eq(mkdirat(fd, name, 0755), 0);
    ck_assert_int_eq(fs_open_dir(fd, name, &made, &err), 0);
    return made;
}

/* An unsealed slot with a program and a text; the caller closes it. */
static int make_open_slot(const char *version)
{
    int fd = make_dir(s.versions_fd, version), bin = make_dir(fd, "bin");

    write_file(bin, "ssmd", "#!/bin/sh\n", 0755);
    write_file(bin, "b.txt", version, 0600);
    (void)close(bin);
    return fd;
}

static void make_slot(const char *version)
{
    int fd = make_open_slot(version);

    ck_assert_msg(slots_seal(fd, version, "aa", &err) == 0, "%s", err.text);
    (void)close(fd);
}

static const char *get(enum slots_link which)
{
    static char version[SLOTS_VERSION_SIZE];

    return slots_get(&s, which, version, &err) == 0 ? version : "";
}

static bool is_there(int fd, const char *name)
{
    struct stat st;

    return fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- directories ---- */

START_TEST(slots_are_for_everybody_to_run_and_for_nobody_else_to_write)
{
    struct slots other;
    struct stat st;

    ck_assert_int_eq(fstat(s.versions_fd, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0755);
    ck_assert_int_eq(fchmod(s.versions_fd, 0775), 0);
    ck_assert_int_eq(slots_open(dir, false, &other, &err), ERR_STATE);
    ck_assert_msg(strstr(err.text, "mode 0775") != NULL, "%s", err.text);
    ck_assert_int_eq(slots_open("/nonexistent/ssmd", false, &other, &err), ERR_NOT_FOUND);
}
END_TEST

/* ---- links ---- */

START_TEST(a_link_leads_to_a_sealed_slot)
{
    char target[64] = "";

    make_slot("0.1.0");
    make_slot("0.2.0");
    ck_assert_int_eq(slots_get(&s, SLOTS_CURRENT, target, &err), ERR_NOT_FOUND);
    ck_assert_msg(slots_point(&s, SLOTS_CURRENT, "0.1.0", &err) == 0, "%s", err.text);
    ck_assert_str_eq(get(SLOTS_CURRENT), "0.1.0");
    ck_assert_int_eq(slots_point(&s, SLOTS_CURRENT, "0.1.0", &err), 0);
    ck_assert_int_eq(slots_point(&s, SLOTS_CURRENT, "0.2.0", &err), 0);
    ck_assert_str_eq(get(SLOTS_CURRENT), "0.2.0");
    ck_assert_int_eq(readlinkat(s.dir_fd, "current", target, sizeof(target) - 1), 14);
    ck_assert_str_eq(target, "versions/0.2.0");
    ck_assert(!is_there(s.dir_fd, ".current.new"));
}
END_TEST

START_TEST(no_link_leads_to_what_is_no_sealed_slot)
{
    int fd = make_open_slot("0.2.0");

    (void)close(fd);
    make_slot("0.1.0");
    ck_assert_int_eq(slots_point(&s, SLOTS_CURRENT, "0.1.0", &err), 0);
    ck_assert_int_eq(slots_point(&s, SLOTS_CURRENT, "0.2.0", &err), ERR_NOT_FOUND);
    ck_assert_int_eq(slots_point(&s, SLOTS_CURRENT, "0.3.0", &err), ERR_NOT_FOUND);
    ck_assert_int_eq(slots_point(&s, SLOTS_CURRENT, "../0.1.0", &err), ERR_INVALID);
    ck_assert_str_eq(get(SLOTS_CURRENT), "0.1.0");
}
END_TEST

START_TEST(a_link_that_leads_elsewhere_is_named)
{
    static const char *const targets[] = {
        "/etc", "versions/..", "versions/", "versions/1.0/bin", "1.0", ""};
    char version[SLOTS_VERSION_SIZE];
    size_t i;

    for (i = 0; i < ARRAY_LEN(targets); i++) {
        (void)unlinkat(s.dir_fd, "current", 0);
        if (targets[i][0] != '\0')
            ck_assert_int_eq(symlinkat(targets[i], s.dir_fd, "current"), 0);
        else
            write_file(s.dir_fd, "current", "", 0644);
        ck_assert_int_eq(slots_get(&s, SLOTS_CURRENT, version, &err), ERR_CORRUPT);
        ck_assert_msg(strstr(err.text, targets[i]) != NULL, "%s", err.text);
    }
}
END_TEST

/* Whatever fails, there is the old link or the new one, and the next try succeeds. */
START_TEST(a_link_switches_whole_when_any_call_fails)
{
    int n, n_failures = 0;

    make_slot("0.1.0");
    make_slot("0.2.0");
    for (n = 1;; n++) {
        int r;

        ck_assert_int_eq(slots_point(&s, SLOTS_CURRENT, "0.1.0", &err), 0);
        fault_at(n, n % 2 == 0 ? ENOSPC : EIO);
        r = slots_point(&s, SLOTS_CURRENT, "0.2.0", &err);
        if (!fault_has_hit())
            break;
        if (r < 0)
            n_failures++;
        ck_assert_msg(r == 0 || str_eq(get(SLOTS_CURRENT), "0.1.0") ||
                          strstr(err.text, "sync link current") != NULL,
                      "call %d: %s", n, err.text);
        ck_assert_int_eq(slots_point(&s, SLOTS_CURRENT, "0.2.0", &err), 0);
        ck_assert_str_eq(get(SLOTS_CURRENT), "0.2.0");
        ck_assert(!is_there(s.dir_fd, ".current.new"));
    }
    ck_assert_int_ge(n_failures, 5); /* stat, unlink, symlink, sync, rename, sync */
}
END_TEST

START_TEST(what_a_death_left_of_a_switch_is_no_hindrance)
{
    make_slot("0.1.0");
    ck_assert_int_eq(symlinkat("versions/9", s.dir_fd, ".current.new"), 0);
    ck_assert_int_eq(slots_point(&s, SLOTS_CURRENT, "0.1.0", &err), 0);
    ck_assert(!is_there(s.dir_fd, ".current.new"));
}
END_TEST

START_TEST(a_program_outside_of_all_slots_has_no_version)
{
    char version[SLOTS_VERSION_SIZE];

    ck_assert_int_eq(slots_own_version(&s, version, &err), ERR_NOT_FOUND);
    ck_assert_msg(strstr(err.text, "test_slots") != NULL, "%s", err.text);
}
END_TEST

/* ---- seals ---- */

START_TEST(a_sealed_slot_is_as_it_was_and_may_not_be_written_to)
{
    struct stat st;

    make_slot("0.1.0");
    ck_assert_msg(slots_verify(&s, "0.1.0", &err) == 0, "%s", err.text);
    ck_assert_int_eq(fstatat(s.versions_fd, "0.1.0", &st, 0), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0555);
    ck_assert_int_eq(fstatat(s.versions_fd, "0.1.0/bin/ssmd", &st, 0), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0555);
    ck_assert_int_eq(fstatat(s.versions_fd, "0.1.0/bin/b.txt", &st, 0), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0444);
    ck_assert_int_eq(slots_verify(&s, "0.2.0", &err), ERR_NOT_FOUND);
}
END_TEST

static void change_a_byte(int fd)
{
    ck_assert_int_eq(fchmodat(fd, "bin/b.txt", 0644, 0), 0);
    fd = openat(fd, "bin/b.txt", O_WRONLY);
    ck_assert_int_eq(pwrite(fd, "9", 1, 0), 1);
    ck_assert_int_eq(fchmod(fd, 0444), 0);
    (void)close(fd);
}

static void cut(int fd)
{
    fd = openat(fd, "bin/b.txt", O_WRONLY);
    ck_assert_int_eq(ftruncate(fd, 1), 0);
    (void)close(fd);
}

static void change_a_mode(int fd)
{
    ck_assert_int_eq(fchmodat(fd, "bin/b.txt", 0644, 0), 0);
}

static void set_user_id(int fd)
{
    ck_assert_int_eq(fchmodat(fd, "bin/ssmd", 04555, 0), 0);
}

static void remove_one(int fd)
{
    ck_assert_int_eq(unlinkat(fd, "bin/b.txt", 0), 0);
}

static void add_one(int fd)
{
    ck_assert_int_eq(fchmod(fd, 0755), 0);
    write_file(fd, "libfoo.so", "", 0444);
}

static void add_directory(int fd)
{
    ck_assert_int_eq(mkdirat(fd, "bin/c", 0555), 0);
}

static void add_link(int fd)
{
    ck_assert_int_eq(symlinkat("ssmd", fd, "bin/ssmctl"), 0);
}

static void add_pipe(int fd)
{
    ck_assert_int_eq(mkfifoat(fd, "bin/pipe", 0444), 0);
}

static void replace_by_link(int fd)
{
    remove_one(fd);
    ck_assert_int_eq(symlinkat("ssmd", fd, "bin/b.txt"), 0);
}

static void remove_seal(int fd)
{
    ck_assert_int_eq(unlinkat(fd, "sealed", 0), 0);
}

static void write_seal(int fd, const char *text)
{
    remove_seal(fd);
    write_file(fd, "sealed", text, 0444);
}

static void tear_seal(int fd)
{
    write_seal(fd, "ssmd-record 1 sealed\nversion=0.1.0\n");
}

static void empty_seal(int fd)
{
    write_seal(fd, "ssmd-record 1 sealed\nversion=0.1.0\nend\n");
}

static void seal_of_another(int fd)
{
    write_seal(fd, "ssmd-record 1 sealed\nversion=0.3.0\nend\n");
}

static void other_record(int fd)
{
    write_seal(fd, "ssmd-record 1 order\nend\n");
}

static void malformed_seal(int fd)
{
    write_seal(fd, "ssmd-record 1 sealed\nversion=0.1.0\nfile=0555\nend\n");
}

static const struct {
    void (*spoil)(int fd);
    const char *text;
} spoils[] = {
    {change_a_byte, "bin/b.txt was changed"},
    {cut, "bin/b.txt was changed"},
    {change_a_mode, "bin/b.txt was changed"},
    {set_user_id, "bin/ssmd has mode 4555"},
    {remove_one, "bin/b.txt is missing"},
    {add_one, "libfoo.so is not of it"},
    {add_directory, "bin/c is not of it"},
    {add_link, "bin/ssmctl is neither a file nor a directory"},
    {add_pipe, "bin/pipe is neither a file nor a directory"},
    {replace_by_link, "bin/b.txt is neither a file nor a directory"},
    {remove_seal, "it is not sealed"},
    {tear_seal, "cut off"},
    {empty_seal, "bin is not of it"},
    {seal_of_another, "it was sealed as version 0.3.0"},
    {other_record, "its seal is another file"},
    {malformed_seal, "its seal says \"0555\""},
};

START_TEST(whatever_is_changed_in_a_sealed_slot_is_named)
{
    int fd;

    make_slot("0.1.0");
    ck_assert_int_eq(fs_open_dir(s.versions_fd, "0.1.0", &fd, &err), 0);
    ck_assert_int_eq(fchmod(fd, 0755), 0);
    ck_assert_int_eq(fchmodat(fd, "bin", 0755, 0), 0);
    if (spoils[_i].spoil != add_one) /* only what is in it counts, but for bin's mode */
        ck_assert_int_eq(fchmod(fd, 0555), 0);
    spoils[_i].spoil(fd);
    ck_assert_int_eq(fchmodat(fd, "bin", 0555, 0), 0);
    (void)close(fd);
    ck_assert_int_eq(slots_verify(&s, "0.1.0", &err), ERR_CORRUPT);
    ck_assert_msg(strstr(err.text, spoils[_i].text) != NULL, "%s", err.text);
    ck_assert_msg(str_has_prefix(err.text, "version 0.1.0: "), "%s", err.text);
}
END_TEST

START_TEST(a_seal_of_a_later_version_may_say_more)
{
    AUTO(buf_done) struct buf text = {0};
    int fd;

    make_slot("0.1.0");
    ck_assert_int_eq(fs_open_dir(s.versions_fd, "0.1.0", &fd, &err), 0);
    ck_assert_int_eq(fchmod(fd, 0755), 0);
    buf_init(&text, 4096);
    ck_assert_int_eq(fs_read_file(fd, "sealed", &text, &err), 0);
    text.len -= 4; /* "end\n" */
    record_add(&text, "file_xattr", "security.capability bin/ssmd");
    record_end(&text);
    ck_assert_int_eq(unlinkat(fd, "sealed", 0), 0);
    write_file(fd, "sealed", text.data, 0444);
    (void)close(fd);
    ck_assert_msg(slots_verify(&s, "0.1.0", &err) == 0, "%s", err.text);
}
END_TEST

START_TEST(what_cannot_be_trusted_is_not_sealed)
{
    static void (*const adds[])(int) = {add_link, add_pipe, set_user_id};
    size_t i;

    for (i = 0; i < ARRAY_LEN(adds); i++) {
        int fd = make_open_slot("0.1.0");

        adds[i](fd);
        ck_assert_int_eq(slots_seal(fd, "0.1.0", "aa", &err), ERR_INVALID);
        ck_assert(!is_there(fd, "sealed"));
        (void)close(fd);
        ck_assert_int_eq(slots_remove_tree(s.versions_fd, "0.1.0", &err), 0);
    }
}
END_TEST

/* Without a seal until all of it is on the disk; and who died in it does it again. */
START_TEST(a_seal_is_whole_when_any_call_fails)
{
    int fd = make_open_slot("0.1.0"), n;

    for (n = 1;; n++) {
        int r;

        fault_at(n, EIO);
        r = slots_seal(fd, "0.1.0", "aa", &err);
        if (!fault_has_hit())
            break;
        /* With a seal, all that it lists is in order; what failed then came behind it. */
        ck_assert_msg(r == 0 || !is_there(fd, "sealed") || slots_verify(&s, "0.1.0", &err) == 0,
                      "call %d: %s", n, err.text);
    }
    ck_assert_int_gt(n, 15);
    ck_assert_msg(slots_verify(&s, "0.1.0", &err) == 0, "%s", err.text);
    (void)close(fd);
}
END_TEST

START_TEST(a_verification_fails_when_any_call_fails)
{
    int n;

    make_slot("0.1.0");
    for (n = 1;; n++) {
        int r;

        fault_at(n, EIO);
        r = slots_verify(&s, "0.1.0", &err);
        if (!fault_has_hit())
            break;
        ck_assert_msg(r < 0, "call %d", n);
    }
    ck_assert_int_gt(n, 10);
    ck_assert_int_eq(slots_verify(&s, "0.1.0", &err), 0);
}
END_TEST

/* ---- old versions ---- */

START_TEST(only_what_nothing_names_is_removed_and_the_newest_stay)
{
    static const char *const versions[] = {"0.1.0", "0.2.0", "0.9.0", "0.10.0", "0.11.0"};
    size_t i;

    for (i = 0; i < ARRAY_LEN(versions); i++)
        make_slot(versions[i]);
    ck_assert_int_eq(mkdirat(s.versions_fd, ".0.7.0.gone", 0700), 0);
    ck_assert_int_eq(mkdirat(s.versions_fd, ".0.7.0.gone/bin", 0500), 0);
    ck_assert_int_eq(mkdirat(s.versions_fd, ".0.8.0.new", 0700), 0);
    ck_assert_int_eq(slots_point(&s, SLOTS_CURRENT, "0.1.0", &err), 0);
    ck_assert_int_eq(slots_point(&s, SLOTS_PROVEN, "0.1.0", &err), 0);
    ck_assert_int_eq(slots_point(&s, SLOTS_PREVIOUS, "0.9.0", &err), 0);
    ck_assert_msg(slots_prune(&s, 1, &err) == 0, "%s", err.text);
    ck_assert(is_there(s.versions_fd, "0.1.0") && is_there(s.versions_fd, "0.9.0"));
    ck_assert(is_there(s.versions_fd, "0.11.0") && !is_there(s.versions_fd, "0.10.0"));
    ck_assert(!is_there(s.versions_fd, "0.2.0") && !is_there(s.versions_fd, ".0.7.0.gone"));
    ck_assert(is_there(s.versions_fd, ".0.8.0.new")); /* somebody may be at it */
    ck_assert_int_eq(slots_verify(&s, "0.9.0", &err), 0);
}
END_TEST

START_TEST(nothing_is_removed_while_a_link_cannot_be_read)
{
    make_slot("0.1.0");
    ck_assert_int_eq(symlinkat("/elsewhere", s.dir_fd, "proven"), 0);
    ck_assert_int_eq(slots_prune(&s, 0, &err), ERR_CORRUPT);
    ck_assert(is_there(s.versions_fd, "0.1.0"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("slots");
    TCase *t = tcase_create("slots");
    SRunner *sr;
    int n_failed;

    tcase_add_checked_fixture(t, begin, end);
    tcase_add_test(t, slots_are_for_everybody_to_run_and_for_nobody_else_to_write);
    tcase_add_test(t, a_link_leads_to_a_sealed_slot);
    tcase_add_test(t, no_link_leads_to_what_is_no_sealed_slot);
    tcase_add_test(t, a_link_that_leads_elsewhere_is_named);
    tcase_add_test(t, a_link_switches_whole_when_any_call_fails);
    tcase_add_test(t, what_a_death_left_of_a_switch_is_no_hindrance);
    tcase_add_test(t, a_program_outside_of_all_slots_has_no_version);
    tcase_add_test(t, a_sealed_slot_is_as_it_was_and_may_not_be_written_to);
    tcase_add_loop_test(t, whatever_is_changed_in_a_sealed_slot_is_named, 0,
                        (int)ARRAY_LEN(spoils));
    tcase_add_test(t, a_seal_of_a_later_version_may_say_more);
    tcase_add_test(t, what_cannot_be_trusted_is_not_sealed);
    tcase_add_test(t, a_seal_is_whole_when_any_call_fails);
    tcase_add_test(t, a_verification_fails_when_any_call_fails);
    tcase_add_test(t, only_what_nothing_names_is_removed_and_the_newest_stay);
    tcase_add_test(t, nothing_is_removed_while_a_link_cannot_be_read);
    suite_add_tcase(suite, t);
    sr = srunner_create(suite);
    srunner_run_all(sr, CK_ENV);
    n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
