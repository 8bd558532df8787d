/* Who owns the running program, and what is made of what is installed after an update: each row is
 * a machine. What the package managers themselves do: tests/integration/test_package*.py. */
#include <check.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/update_package.h"
#include "base/fs.h"
#include "base/str.h"

#define OLD "0.1.0"
#define NEW "0.2.0"

/* ---- what `look` says ---- */

static const struct {
    const char *text, *state, *version, *program; /* state NULL: it is refused */
} looks[] = {
    {"installed\n0.2.0-1\nssmd 0.2.0\n", "installed", "0.2.0-1", "0.2.0"},
    {"installed\n0.2.0-1\nssmd 0.2.0", "installed", "0.2.0-1", "0.2.0"},
    {"installed\n0.2.0-1\nssmd 0.2.0, of the hub\n", "installed", "0.2.0-1", "0.2.0"},
    {"installed\n1:0.2.0-1.el9\nsh: ssmd: not found\n", "installed", "1:0.2.0-1.el9", ""},
    {"installed\n0.2.0-1\nssmd: error\n", "installed", "0.2.0-1", ""},
    {"installed\n0.2.0-1\nssmd-runner 0.2.0\n", "installed", "0.2.0-1", ""},
    {"half-configured\n0.2.0-1\n", "half-configured", "0.2.0-1", ""},
    {"missing\n\nssmd 0.1.0\n", "missing", "", "0.1.0"},
    {"twice\n0.1.0-1 0.2.0-1\nssmd 0.2.0\n", "twice", "0.1.0-1 0.2.0-1", "0.2.0"},
    {"", NULL, NULL, NULL},
    {"\n0.2.0-1\nssmd 0.2.0\n", NULL, NULL, NULL},
    {"installed", NULL, NULL, NULL},
    {"installed\n", NULL, NULL, NULL},
};

START_TEST(a_look_is_three_lines)
{
    struct package_found f;
    struct err err;
    int r = package_found_parse(looks[_i].text, &f, &err);

    if (looks[_i].state == NULL) {
        ck_assert_int_eq(r, ERR_CORRUPT);
        return;
    }
    ck_assert_int_eq(r, 0);
    ck_assert_str_eq(f.state, looks[_i].state);
    ck_assert_str_eq(f.version, looks[_i].version);
    ck_assert_str_eq(f.program, looks[_i].program);
}
END_TEST

/* ---- the verdict ---- */

static const struct {
    struct package_found found;
    enum package_verdict verdict;
} verdicts[] = {
    {{"installed", "0.2.0", NEW}, PACKAGE_DONE},
    {{"installed", "0.2.0-1", NEW}, PACKAGE_DONE},
    {{"installed", "3:0.2.0-1.el9", NEW}, PACKAGE_DONE},
    {{"installed", "0.2.0+dfsg-1~bpo12+1", NEW}, PACKAGE_DONE},
    {{"installed", "0.2.0~el9-1", NEW}, PACKAGE_DONE},
    {{"triggers-pending", "0.2.0-1", NEW}, PACKAGE_DONE},
    {{"triggers-awaited", "0.2.0-1", NEW}, PACKAGE_DONE},
    {{"installed", "0.1.0-1", OLD}, PACKAGE_UNCHANGED},
    {{"triggers-pending", "1:0.1.0-1", OLD}, PACKAGE_UNCHANGED},
    /* One of the three says otherwise. */
    {{"installed", "0.2.0-1", OLD}, PACKAGE_BROKEN},
    {{"installed", "0.1.0-1", NEW}, PACKAGE_BROKEN},
    {{"installed", "0.2.0-1", ""}, PACKAGE_BROKEN},
    {{"installed", "0.1.0-1", ""}, PACKAGE_BROKEN},
    {{"half-configured", "0.2.0-1", NEW}, PACKAGE_BROKEN},
    {{"unpacked", "0.2.0-1", NEW}, PACKAGE_BROKEN},
    {{"half-installed", "0.1.0-1", OLD}, PACKAGE_BROKEN},
    {{"twice", "0.1.0-1 0.2.0-1", NEW}, PACKAGE_BROKEN},
    {{"twice", "0.2.0-1 0.2.0-2", NEW}, PACKAGE_BROKEN},
    {{"missing", "", NEW}, PACKAGE_BROKEN},
    {{"missing", "", ""}, PACKAGE_BROKEN},
    /* Numbers that only begin or end alike. */
    {{"installed", "0.2.01-1", NEW}, PACKAGE_BROKEN},
    {{"installed", "0.2.0.1-1", NEW}, PACKAGE_BROKEN},
    {{"installed", "10.2.0-1", NEW}, PACKAGE_BROKEN},
    {{"installed", "0.2", NEW}, PACKAGE_BROKEN},
    {{"installed", "", NEW}, PACKAGE_BROKEN},
    {{"installed", "0.2.0-1", "0.2.01"}, PACKAGE_BROKEN},
    {{"installed", "0.3.0-1", "0.3.0"}, PACKAGE_BROKEN},
};

START_TEST(a_success_is_the_version_wanted_in_all_three)
{
    ck_assert_int_eq(package_judge(&verdicts[_i].found, OLD, NEW), verdicts[_i].verdict);
}
END_TEST

/* ---- the owner ---- */

#define DPKG "var/lib/dpkg/status"
#define LIST "var/lib/dpkg/info/ssmd.list"
#define RPM "var/lib/rpm/"

static const struct {
    const char *files[6]; /* "x/": a directory */
    const char *list;     /* of dpkg; %: the running program */
    const char *manager;
} machines[] = {
    {{DPKG, LIST}, "/.\n/usr\n%\n/usr/bin/ssmctl\n", "apt-get"},
    {{DPKG, LIST}, "%", "apt-get"},
    {{DPKG, LIST, RPM, "etc/dnf/"}, "/.\n%\n", "apt-get"},
    {{DPKG, LIST}, "/.\n%2\n/elsewhere%\n", ""},
    {{DPKG}, NULL, ""},
    /* Tools of the other family on a Debian own nothing. */
    {{DPKG, RPM, "etc/dnf/", "etc/zypp/"}, NULL, ""},
    {{DPKG, LIST, RPM, "etc/dnf/"}, "/.\n", ""},
    {{RPM, "etc/dnf/"}, NULL, "dnf"},
    {{RPM, "etc/dnf/", "etc/yum.conf"}, NULL, "dnf"},
    {{"usr/lib/sysimage/rpm/", "etc/dnf/"}, NULL, "dnf"},
    {{RPM, "etc/yum.conf"}, NULL, "yum"},
    {{RPM, "etc/zypp/"}, NULL, "zypper"},
    {{"usr/lib/sysimage/rpm/", "etc/zypp/", "etc/dnf/"}, NULL, "zypper"},
    {{RPM}, NULL, ""},
    {{"etc/dnf/"}, NULL, ""},
    {{NULL}, NULL, ""},
};

/* The program that runs in place of each %. */
static void fill(char *ret, size_t size, const char *text, const char *exe)
{
    size_t n = 0;

    for (; *text != '\0' && n + 1 < size; text++)
        if (*text == '%')
            n += (size_t)snprintf(ret + n, size - n, "%s", exe);
        else
            ret[n++] = *text;
    ret[n] = '\0';
}

static void put(const char *root, const char *name, const char *text)
{
    char path[PATH_MAX], *slash;
    FILE *f;

    (void)snprintf(path, sizeof(path), "%s/%s", root, name);
    for (slash = path + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    if (str_has_suffix(name, "/"))
        return;
    f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

START_TEST(the_owner_is_known_by_what_the_machine_has)
{
    char exe[PATH_MAX] = "", list[PATH_MAX * 2] = "";
    struct package_owner o;
    char root[] = "/tmp/ssmd-package-XXXXXX";
    size_t i;

    ck_assert_ptr_nonnull(mkdtemp(root));
    ck_assert_int_gt(readlink("/proc/self/exe", exe, sizeof(exe) - 1), 0);
    if (machines[_i].list != NULL)
        fill(list, sizeof(list), machines[_i].list, exe);
    for (i = 0; i < ARRAY_LEN(machines[_i].files) && machines[_i].files[i] != NULL; i++)
        put(root, machines[_i].files[i], str_eq(machines[_i].files[i], LIST) ? list : "");
    package_owner_find(root, &o);
    ck_assert_str_eq(o.manager, machines[_i].manager);
    ck_assert_str_eq(o.program, exe);
    ck_assert_str_eq(o.file, exe);
    ck_assert_int_eq(nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}
END_TEST

/* Below a root the package calls it as it would be without. */
START_TEST(a_file_below_the_root_is_called_without_it)
{
    char exe[PATH_MAX] = "", root[PATH_MAX];
    struct package_owner o;
    char *slash;

    ck_assert_int_gt(readlink("/proc/self/exe", exe, sizeof(exe) - 1), 0);
    (void)snprintf(root, sizeof(root), "%s", exe);
    slash = strrchr(root, '/');
    ck_assert_ptr_nonnull(slash);
    *slash = '\0';
    package_owner_find(root, &o);
    ck_assert_str_eq(o.file, strrchr(exe, '/'));
    (void)str_copy(slash, 2, "/");
    package_owner_find(root, &o);
    ck_assert_str_eq(o.file, strrchr(exe, '/'));
    slash[-1] = '\0'; /* a directory whose name only begins so */
    package_owner_find(root, &o);
    ck_assert_str_eq(o.file, exe);
}
END_TEST

/* ---- what to type ---- */

static const struct {
    const char *manager, *update, *missing, *broken;
} words[] = {
    {"apt-get", "apt-get install --only-upgrade ssmd", "apt-get install ssmd",
     "dpkg --configure -a, then apt-get -f install"},
    {"dnf", "dnf upgrade ssmd", "dnf install ssmd", "rpm -V ssmd, then dnf reinstall ssmd-0.2.0"},
    {"yum", "yum update ssmd", "yum install ssmd", "rpm -V ssmd, then yum reinstall ssmd-0.2.0"},
    {"zypper", "zypper update ssmd", "zypper install ssmd",
     "rpm -V ssmd, then zypper install --force ssmd=0.2.0"},
    {"", "apt-get install --only-upgrade ssmd, or dnf upgrade ssmd",
     "install the package ssmd again", "install the package ssmd again"},
};

START_TEST(each_owner_is_given_its_own_commands)
{
    struct package_owner o = {.manager = ""};
    char text[PACKAGE_REPAIR_SIZE];

    (void)str_copy(o.manager, sizeof(o.manager), words[_i].manager);
    ck_assert_str_eq(package_owner_command(&o), words[_i].update);
    package_repair_command(words[_i].manager, "missing", NEW, text);
    ck_assert_str_eq(text, words[_i].missing);
    package_repair_command(words[_i].manager, "twice", NEW, text);
    ck_assert_str_eq(text, words[_i].broken);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("update_package");
    TCase *tc = tcase_create("found");

    tcase_add_loop_test(tc, a_look_is_three_lines, 0, (int)ARRAY_LEN(looks));
    tcase_add_loop_test(tc, a_success_is_the_version_wanted_in_all_three, 0,
                        (int)ARRAY_LEN(verdicts));
    suite_add_tcase(s, tc);
    tc = tcase_create("owner");
    tcase_add_loop_test(tc, the_owner_is_known_by_what_the_machine_has, 0,
                        (int)ARRAY_LEN(machines));
    tcase_add_test(tc, a_file_below_the_root_is_called_without_it);
    tcase_add_loop_test(tc, each_owner_is_given_its_own_commands, 0, (int)ARRAY_LEN(words));
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    SRunner *sr = srunner_create(make_suite());
    int n_failed;

    srunner_run_all(sr, CK_ENV);
    n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
