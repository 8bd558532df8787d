/* The machine's description, from fixture trees; and the request for a reboot. */
#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "executors/platform.h"
#include "executors/reboot.h"

static const struct {
    const char *tree, *name, *version;
} trees[] = {
    {"ubuntu-22.04", "Ubuntu", "22.04"},
    {"debian-12", "Debian GNU/Linux", "12"},
    {"amazon-2023", "Amazon Linux", "2023"},
    {"amazon-2018", "Amazon Linux AMI", "2018.03"},
    {"centos-7", "CentOS Linux", "7.9.2009"},
    {"rhel-8", "Red Hat Enterprise Linux", "8.6"},
    {"rhel-6", "Red Hat Enterprise Linux Server", "6.10"},
    {"rocky-9", "Rocky Linux", "9.3"}, /* its centos-release does not say CentOS */
    {"oracle-old", "Oracle Linux Server", "7.9 (Beta)"},
    {"bottlerocket", "Bottlerocket", "1.19.2"},
    {"arch", "Arch Linux", ""},
    {"lsb-only", "LinuxMint", "21.3"},
    {"bad-utf8", "Caf Linux", "1"},
    {"ubuntu-18.04", "Ubuntu", "18.04"},
    {"ubuntu-24.04", "Ubuntu", "24.04"},
    {"debian-10", "Debian GNU/Linux", "10"},
    {"debian-testing", "Debian GNU/Linux", ""}, /* has no number */
    {"raspbian-11", "Raspbian GNU/Linux", "11"},
    {"amazon-2", "Amazon Linux", "2"},
    {"centos-8", "CentOS Linux", "8.5.2111"}, /* more exact than its os-release */
    {"centos-stream-9", "CentOS Stream", "9"},
    {"rhel-9", "Red Hat Enterprise Linux", "9.4"},
    {"rocky-8", "Rocky Linux", "8.9"},
    {"alma-9", "AlmaLinux", "9.3"},
    {"oracle-8", "Oracle Linux Server", "8.9"}, /* its redhat-release names another */
    {"sles-12", "SLES", "12.5"},
    {"sles-15", "SLES", "15.5"},
    {"opensuse-leap", "openSUSE Leap", "15.6"},
    {"fedora", "Fedora Linux", "39"},
    {"alpine", "Alpine Linux", "3.19.1"},
    {"flatcar", "Flatcar Container Linux by Kinvolk", "3815.2.0"},
    {"single-quotes", "SUSE Linux Micro", "6.0"},
    {"crlf", "Windows Ends", "1"},
    {"no-last-newline", "No End", "7"},
    {"system-release-redhat", "Red Hat Enterprise Linux Server", "7.9"},
    {"system-release-rocky", "Rocky Linux", "9.3 (Blue Onyx)"},
    {"system-release-unknown", "NotAvailable", "NotAvailable"},
    {"empty", "NotAvailable", "NotAvailable"},
};

START_TEST(names_each_distribution)
{
    struct platform p;
    struct err err;
    char root[PATH_MAX];

    (void)snprintf(root, sizeof(root), "%s/fixtures/os-release/%s", TEST_SOURCE_DIR,
                   trees[_i].tree);
    ck_assert_int_eq(platform_read(root, &p, &err), 0);
    ck_assert_str_eq(p.name, trees[_i].name);
    ck_assert_str_eq(p.version, trees[_i].version);
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_an_error)
{
    char root[] = "/tmp/ssmd-test-XXXXXX", path[64];
    struct platform p;
    struct err err;

    ck_assert_ptr_nonnull(mkdtemp(root));
    (void)snprintf(path, sizeof(path), "%s/etc", root);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    (void)strcat(path, "/os-release");
    ck_assert_int_eq(mkdir(path, 0700), 0); /* a directory opens, but does not read */
    ck_assert_int_eq(platform_read(root, &p, &err), ERR_IO);
    ck_assert_str_eq(p.name, "");
    ck_assert_str_eq(p.version, "");
    ck_assert_int_eq(fs_remove_tree(AT_FDCWD, root, &err), 0);
}
END_TEST

static const struct {
    const char *ips[5];
    const char *chosen; /* NULL: none */
} choices[] = {
    {{"127.0.0.1", "10.0.0.5", "10.0.0.6"}, "10.0.0.5"},
    {{"127.0.0.1", "::1"}, "127.0.0.1"},
    {{"::1", "fe80::1", "169.254.3.4"}, "::1"},
    {{"0.0.0.0", "::", "127.0.0.1"}, "127.0.0.1"},
    {{"127.0.0.1", "2001:db8::1", "fe80::1"}, "2001:db8::1"},
    {{"127.0.0.1", "2001:db8::1", "192.0.2.7"}, "192.0.2.7"},
    {{"2001:db8::1", "169.254.1.1"}, "2001:db8::1"},
    {{"192.0.2.7", "2001:db8::1"}, "192.0.2.7"},
    {{"169.254.1.1", "192.0.2.7"}, "192.0.2.7"},
    {{NULL}, NULL},
};

START_TEST(chooses_the_address_that_is_worth_showing)
{
    struct sockaddr_storage space[5];
    const struct sockaddr *list[6];
    size_t n, i;

    for (n = 0; n < 5 && choices[_i].ips[n] != NULL; n++) {
        struct sockaddr_in *in = (struct sockaddr_in *)&space[n];
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&space[n];

        memset(&space[n], 0, sizeof(space[n]));
        if (inet_pton(AF_INET, choices[_i].ips[n], &in->sin_addr) == 1) {
            in->sin_family = AF_INET;
        } else {
            ck_assert_int_eq(inet_pton(AF_INET6, choices[_i].ips[n], &in6->sin6_addr), 1);
            in6->sin6_family = AF_INET6;
        }
        list[n] = (const struct sockaddr *)&space[n];
    }
    list[n++] = NULL; /* an interface without an address */
    i = platform_choose_ip(list, n);
    if (choices[_i].chosen == NULL)
        ck_assert_uint_eq(i, n);
    else
        ck_assert_str_eq(choices[_i].ips[i], choices[_i].chosen);
}
END_TEST

START_TEST(this_machine_has_an_address_that_parses)
{
    char ip[PLATFORM_IP_SIZE];
    unsigned char bytes[16];
    struct err err;

    ck_assert_int_eq(platform_get_ip(ip, &err), 0);
    ck_assert(ip[0] == '\0' || inet_pton(AF_INET, ip, bytes) == 1 ||
              inet_pton(AF_INET6, ip, bytes) == 1);
}
END_TEST

static void on_name(void *ctx, const char *name)
{
    (void)snprintf(ctx, PLATFORM_TEXT_SIZE, "%s", name);
}

START_TEST(the_computer_name_comes_from_the_loop_and_is_not_empty)
{
    char name[PLATFORM_TEXT_SIZE] = "";
    uv_loop_t loop;
    struct err err;

    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(platform_get_computer_name(&loop, on_name, name, &err), 0);
    ck_assert_str_eq(name, ""); /* never from within the call */
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    ck_assert_str_ne(name, "");
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}
END_TEST

/* --- reboot ---------------------------------------------------------------------------------- */

struct reboot_end {
    int n;
    char text[512];
};

static void on_reboot(void *ctx, const struct err *err)
{
    struct reboot_end *end = ctx;

    end->n++;
    (void)snprintf(end->text, sizeof(end->text), "%s", err != NULL ? err->text : "");
}

static const struct {
    const char *argv[4];
    const char *text; /* of the event */
} reboots[] = {
    {{"/bin/true"}, ""},
    {{"/bin/sh", "-c", "exit 3"}, "the reboot program ended with exit status 3"},
    {{"/bin/sh", "-c", "kill -9 $$"}, "the reboot program was killed by signal 9"},
    /* leads a session: nothing that ends the agent ends it */
    {{"/bin/sh", "-c", "test $(ps -o sid= -p $$) -eq $$"}, ""},
};

START_TEST(tells_how_the_reboot_program_ended)
{
    struct reboot_end end = {0};
    struct reboot *r;
    uv_loop_t loop;
    struct err err;

    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(reboot_request(&loop, reboots[_i].argv, on_reboot, &end, &r, &err), 0);
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(end.n, 1);
    ck_assert_str_eq(end.text, reboots[_i].text);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}
END_TEST

START_TEST(a_reboot_program_that_is_not_there_is_an_error_at_once)
{
    static const char *const argv[] = {"/no/such/shutdown", NULL};
    struct reboot_end end = {0};
    struct reboot *r;
    uv_loop_t loop;
    struct err err;

    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(reboot_request(&loop, argv, on_reboot, &end, &r, &err), ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.text, "/no/such/shutdown"));
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(end.n, 0);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}
END_TEST

START_TEST(a_forgotten_reboot_sends_no_event)
{
    static const char *const argv[] = {"/bin/false", NULL};
    struct reboot_end end = {0};
    struct reboot *r;
    uv_loop_t loop;
    struct err err;

    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(reboot_request(&loop, argv, on_reboot, &end, &r, &err), 0);
    reboot_forget(r);
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(end.n, 0);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}
END_TEST

START_TEST(sees_a_scheduled_shutdown)
{
    char root[] = "/tmp/ssmd-test-XXXXXX", path[128];
    struct err err;
    int fd = -1;

    ck_assert_ptr_nonnull(mkdtemp(root));
    ck_assert(!reboot_is_scheduled(root));
    (void)snprintf(path, sizeof(path), "%s/run/systemd/shutdown", root);
    ck_assert_int_eq(fs_make_path(path, &fd, &err), 0);
    ck_assert_int_eq(fs_write_atomic(fd, "scheduled", "MODE=reboot\n", 12, 0600, false, &err), 0);
    (void)close(fd);
    ck_assert(reboot_is_scheduled(root));
    ck_assert_int_eq(fs_remove_tree(AT_FDCWD, root, &err), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("platform");
    SRunner *runner = srunner_create(s);
    TCase *t = tcase_create("platform"), *reboot = tcase_create("reboot");
    int n_failed;

    tcase_add_loop_test(t, names_each_distribution, 0, ARRAY_LEN(trees));
    tcase_add_test(t, a_file_that_cannot_be_read_is_an_error);
    tcase_add_loop_test(t, chooses_the_address_that_is_worth_showing, 0, ARRAY_LEN(choices));
    tcase_add_test(t, this_machine_has_an_address_that_parses);
    tcase_add_test(t, the_computer_name_comes_from_the_loop_and_is_not_empty);
    tcase_add_loop_test(reboot, tells_how_the_reboot_program_ended, 0, ARRAY_LEN(reboots));
    tcase_add_test(reboot, a_reboot_program_that_is_not_there_is_an_error_at_once);
    tcase_add_test(reboot, a_forgotten_reboot_sends_no_event);
    tcase_add_test(reboot, sees_a_scheduled_shutdown);
    suite_add_tcase(s, t);
    suite_add_tcase(s, reboot);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
