/* Which version is chosen, in the order of spec 06, section 5.3, and with which code and text. */
#include "update/choose.h"

#include <check.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define NOW 1800000000000 /* 2027-01-15T08:00:00Z */
#define DAY_MS 86400000ll
#define SUM "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define FILE_NAME "ssmd-linux-amd64.tar.gz"
#define GOOD .sha256 = SUM, .length_bytes = 100, .rollout_percent = 100
#define MAX_VERSIONS 6

#define V10                                                                                        \
    {                                                                                              \
        .version = "1.0", GOOD                                                                     \
    }
#define V20                                                                                        \
    {                                                                                              \
        .version = "2.0", GOOD                                                                     \
    }
#define V201                                                                                       \
    {                                                                                              \
        .version = "2.0.1", GOOD                                                                   \
    }
#define V2010                                                                                      \
    {                                                                                              \
        .version = "2.0.1.0", GOOD                                                                 \
    }
#define V30                                                                                        \
    {                                                                                              \
        .version = "3.0", GOOD                                                                     \
    }

static const struct {
    const char *name;
    struct release_version versions[MAX_VERSIONS];
    const char *floor, *asked, *from;
    bool allow_downgrade;
    const char *package, *arch, *node;
    enum choose_verdict verdict;
    const char *code, *target, *text;
} rows[] = {
    /* latest, in its three spellings */
    {"latest is the highest", {V10, V30, V20}, "", "latest", "1.0", .target = "3.0"},
    {"nothing asked is latest", {V10, V20}, "", "", "1.0", .target = "2.0"},
    {"None is latest", {V10, V20}, "", "None", "1.0", .target = "2.0"},
    {"ten is higher than nine",
     {{.version = "1.9", GOOD}, {.version = "1.10", GOOD}},
     "",
     "latest",
     "1.0",
     .target = "1.10"},
    {"latest passes over what is inactive",
     {V20, {.version = "3.0", GOOD, .status = RELEASE_INACTIVE}},
     "",
     "latest",
     "1.0",
     .target = "2.0"},
    {"latest passes over what is deprecated",
     {V20, {.version = "3.0", GOOD, .status = RELEASE_DEPRECATED}},
     "",
     "latest",
     "1.0",
     .target = "2.0"},
    {"latest passes over a status of a later format",
     {V20, {.version = "3.0", GOOD, .status = RELEASE_UNKNOWN}},
     "",
     "latest",
     "1.0",
     .target = "2.0"},
    {"latest passes over a version without a checksum",
     {V20, {.version = "3.0", .length_bytes = 1, .rollout_percent = 100}},
     "",
     "latest",
     "1.0",
     .target = "2.0"},
    {"latest passes over a version without a length",
     {V20, {.version = "3.0", .sha256 = SUM, .rollout_percent = 100}},
     "",
     "latest",
     "1.0",
     .target = "2.0"},
    {"latest passes over what is not to be installed yet",
     {V20, {.version = "3.0", GOOD, .not_before_unix_ms = NOW + 1}},
     "",
     "latest",
     "1.0",
     .target = "2.0"},
    {"latest takes what may be installed from now on",
     {V20, {.version = "3.0", GOOD, .not_before_unix_ms = NOW}},
     "",
     "latest",
     "1.0",
     .target = "3.0"},
    {"latest passes over what is rolled out to nobody",
     {V20, {.version = "3.0", .sha256 = SUM, .length_bytes = 1, .rollout_percent = 0}},
     "",
     "latest",
     "1.0",
     .target = "2.0"},
    {"latest goes to the step between",
     {V20, {.version = "3.0", GOOD, .minimum_source = "2.0"}},
     "",
     "latest",
     "1.0",
     .target = "2.0"},
    {"latest goes on from the step between",
     {V20, {.version = "3.0", GOOD, .minimum_source = "2.0"}},
     "",
     "latest",
     "2.0",
     .target = "3.0"},
    {"the same is no update",
     {V10, V20},
     "",
     "latest",
     "2.0",
     .verdict = CHOOSE_SKIP,
     .target = "2.0",
     .text = "ssmd 2.0.0.0 has already been installed"},
    {"a newer one than the latest stays",
     {V10, V20},
     "",
     "latest",
     "2.5",
     .verdict = CHOOSE_SKIP,
     .target = "2.0",
     .text = "ssmd 2.5 is newer than 2.0"},
    {"a newer one stays though a downgrade is allowed",
     {V10, V20},
     "",
     "latest",
     "2.5",
     true,
     .verdict = CHOOSE_SKIP,
     .target = "2.0",
     .text = "is newer than 2.0"},
    {"nothing is offered",
     {{.version = "3.0", GOOD, .status = RELEASE_INACTIVE}},
     "",
     "latest",
     "1.0",
     .verdict = CHOOSE_FAIL,
     .code = "ErrorGetLatestActiveVersionManifest",
     .target = "",
     .text = "offers no latest version"},
    {"nothing is offered here yet",
     {{.version = "3.0", .sha256 = SUM, .length_bytes = 1, .rollout_percent = 0}},
     "",
     "latest",
     "1.0",
     .verdict = CHOOSE_SKIP,
     .target = "",
     .text = "to this node yet"},
    {"everything is below the floor",
     {V10, V20},
     "2.1",
     "latest",
     "1.0",
     .verdict = CHOOSE_FAIL,
     .code = "ErrorGetLatestActiveVersionManifest",
     .target = "",
     .text = "offers no latest version"},
    /* stable */
    {"stable is the highest that is rolled out to all",
     {V10, V20, {.version = "3.0", .sha256 = SUM, .length_bytes = 1, .rollout_percent = 99}},
     "",
     "stable",
     "1.0",
     .target = "2.0"},
    {"stable in any case", {V10, V20}, "", "STABLE", "1.0", .target = "2.0"},
    {"no stable version",
     {{.version = "3.0", GOOD, .status = RELEASE_DEPRECATED}},
     "",
     "Stable",
     "1.0",
     .verdict = CHOOSE_FAIL,
     .code = "ErrorGetStableVersionS3",
     .target = "",
     .text = "offers no stable version"},
    {"stable that is older is skipped",
     {V10, V20},
     "",
     "stable",
     "3.0",
     .verdict = CHOOSE_SKIP,
     .target = "2.0",
     .text = "the stable version offered, update skipped"},
    /* a version that was named */
    {"a version", {V10, V20, V30}, "", "2.0", "1.0", .target = "2.0"},
    {"a version, written otherwise", {V10, V20}, "", "02.0", "1.0", .target = "2.0"},
    {"named, the rollout does not count",
     {V10, {.version = "2.0", .sha256 = SUM, .length_bytes = 1, .rollout_percent = 0}},
     "",
     "2.0",
     "1.0",
     .target = "2.0"},
    {"the same version",
     {V10, V20},
     "",
     "1.0",
     "1.0",
     .verdict = CHOOSE_SKIP,
     .target = "1.0",
     .text = "ssmd 1.0.0.0 has already been installed"},
    {"the same version, though it is not listed",
     {V20},
     "",
     "1.0",
     "1.0",
     .verdict = CHOOSE_SKIP,
     .target = "1.0",
     .text = "has already been installed"},
    {"the same version, as the document calls it",
     {V20},
     "",
     "2.0",
     "2.0",
     .package = "amazon-ssm-agent",
     .verdict = CHOOSE_SKIP,
     .target = "2.0",
     .text = "amazon-ssm-agent 2.0.0.0 has already been installed"},
    {"four numbers, as the service shows a version of three",
     {V20, V201},
     "",
     "2.0.1.0",
     "2.0",
     .target = "2.0.1"},
    {"four numbers that a version has", {V201, V2010}, "", "2.0.1.0", "2.0", .target = "2.0.1.0"},
    {"four numbers of the running version, which the source does not have",
     {V20},
     "",
     "2.0.1.0",
     "2.0.1",
     .verdict = CHOOSE_SKIP,
     .target = "2.0.1",
     .text = "ssmd 2.0.1.0 has already been installed"},
    {"no version",
     {V20},
     "",
     "newest",
     "1.0",
     .verdict = CHOOSE_FAIL,
     .code = "ErrorInvalidTargetVersion",
     .target = "",
     .text = "\"newest\" is not a version"},
    {"Latest with a capital is no version",
     {V20},
     "",
     "Latest",
     "1.0",
     .verdict = CHOOSE_FAIL,
     .code = "ErrorInvalidTargetVersion",
     .target = "",
     .text = "\"Latest\""},
    {"a path is no version",
     {V20},
     "",
     "../../2.0",
     "1.0",
     .verdict = CHOOSE_FAIL,
     .code = "ErrorInvalidTargetVersion",
     .target = "",
     .text = "is not a version"},
    {"older without permission",
     {V10, V20},
     "",
     "1.0",
     "2.0",
     .verdict = CHOOSE_FAIL,
     .code = "ErrorAttempToDowngrade",
     .target = "1.0",
     .text = "Updating 2.0 to an older version 1.0, please enable allow downgrade to proceed"},
    {"older without permission, though it is not listed",
     {V20},
     "",
     "1.0",
     "2.0",
     .verdict = CHOOSE_FAIL,
     .code = "ErrorAttempToDowngrade",
     .target = "1.0",
     .text = "please enable allow downgrade"},
    {"older with permission", {V10, V20}, "", "1.0", "2.0", true, .target = "1.0"},
    {"older with permission, from a version that was withdrawn",
     {V10},
     "",
     "1.0",
     "2.0",
     true,
     .target = "1.0"},
    {"not listed",
     {V20},
     "",
     "4.0",
     "1.0",
     .verdict = CHOOSE_FAIL,
     .code = "ErrorInvalidTargetVersion",
     .target = "4.0",
     .text = "ssmd target version 4.0 is unsupported on current platform"},
    {"255.0.0.0 is no magic",
     {V20},
     "",
     "255.0.0.0",
     "1.0",
     .verdict = CHOOSE_FAIL,
     .code = "ErrorInvalidTargetVersion",
     .target = "255.0.0.0",
     .text = "is unsupported on current platform"},
    {"named without a checksum",
     {{.version = "2.0", .length_bytes = 1, .rollout_percent = 100}},
     "",
     "2.0",
     "1.0",
     .verdict = CHOOSE_FAIL,
     .code = "ErrorInvalidTargetVersion",
     .target = "2.0",
     .text = "the Checksum of its package"},
    {"named without a length",
     {{.version = "2.0", .sha256 = SUM, .rollout_percent = 100}},
     "",
     "2.0",
     "1.0",
     .verdict = CHOOSE_FAIL,
     .code = "ErrorInvalidTargetVersion",
     .target = "2.0",
     .text = "the Length of its package"},
    {"below the floor, with permission",
     {V10, V20, V30},
     "2.0",
     "1.0",
     "3.0",
     true,
     .verdict = CHOOSE_FAIL,
     .code = "ErrorUnsupportedVersion",
     .target = "1.0",
     .text = "below 2.0"},
    {"at the floor, with permission", {V10, V20, V30}, "2.0", "2.0", "3.0", true, .target = "2.0"},
    {"upwards and still below the floor",
     {V10, V20, V30},
     "3.0",
     "2.0",
     "1.0",
     .verdict = CHOOSE_FAIL,
     .code = "ErrorUnsupportedVersion",
     .target = "2.0",
     .text = "below 3.0"},
    {"named and inactive",
     {{.version = "2.0", GOOD, .status = RELEASE_INACTIVE}},
     "",
     "2.0",
     "1.0",
     .verdict = CHOOSE_SKIP,
     .code = "InactiveAgentVersion",
     .target = "2.0",
     .text = "ssmd version 2.0 is deprecated/inactive, update skipped"},
    {"named and deprecated",
     {{.version = "2.0", GOOD, .status = RELEASE_DEPRECATED}},
     "",
     "2.0",
     "1.0",
     .verdict = CHOOSE_SKIP,
     .code = "InactiveAgentVersion",
     .target = "2.0",
     .text = "ssmd version 2.0 is deprecated/inactive, update skipped"},
    {"named and of an unknown status",
     {{.version = "2.0", GOOD, .status = RELEASE_UNKNOWN}},
     "",
     "2.0",
     "1.0",
     .verdict = CHOOSE_SKIP,
     .code = "InactiveAgentVersion",
     .target = "2.0",
     .text = "update skipped"},
    {"named and too early",
     {{.version = "2.0", GOOD, .not_before_unix_ms = NOW + DAY_MS}},
     "",
     "2.0",
     "1.0",
     .verdict = CHOOSE_SKIP,
     .code = "InactiveAgentVersion",
     .target = "2.0",
     .text = "before 2027-01-16T08:00:00.000Z"},
    {"named and too far",
     {V20, {.version = "3.0", GOOD, .minimum_source = "2.0"}},
     "",
     "3.0",
     "1.9",
     .verdict = CHOOSE_FAIL,
     .code = "ErrorIncompatibleTargetVersion",
     .target = "3.0",
     .text = "before updating to 3.0, first update to 2.0"},
    /* who asks */
    {"the running version is none",
     {V20},
     "",
     "latest",
     "dev",
     .verdict = CHOOSE_FAIL,
     .code = "ErrorInvalidSourceVersion",
     .target = "",
     .text = "\"dev\""},
    {"another package",
     {V20},
     "",
     "latest",
     "1.0",
     .package = "amazon-cloudwatch-agent",
     .verdict = CHOOSE_FAIL,
     .code = "ErrorInvalidPackage",
     .target = "",
     .text = "amazon-cloudwatch-agent is not what this agent is called"},
    {"another platform",
     {V20},
     "",
     "latest",
     "1.0",
     .arch = "arm64",
     .verdict = CHOOSE_FAIL,
     .code = "ErrorDownloadManifest_d6",
     .target = "",
     .text = "unsupported platform: the update source has no file ssmd-linux-arm64.tar.gz"},
    {"a platform without packages",
     {V20},
     "",
     "latest",
     "1.0",
     .arch = "",
     .verdict = CHOOSE_FAIL,
     .code = "ErrorDownloadManifest_d6",
     .target = "",
     .text = "unsupported platform"},
};

static void make_manifest(const struct release_version *versions, size_t n,
                          struct release_manifest *ret_manifest)
{
    struct err err = {0};
    size_t i;

    *ret_manifest =
        (struct release_manifest){.version = 1, .uri_format = RELEASE_DEFAULT_URI_FORMAT};
    for (i = 0; i < n && versions[i].version[0] != '\0'; i++)
        ck_assert_int_eq(release_manifest_put(ret_manifest, "ssmd", FILE_NAME, &versions[i], &err),
                         0);
}

START_TEST(chooses_or_says_why_not)
{
    AUTO(release_manifest_done) struct release_manifest m = {.version = 0};
    struct choose_request q = {.package = rows[_i].package != NULL ? rows[_i].package : "ssmd",
                               .asked = rows[_i].asked,
                               .from = rows[_i].from,
                               .node_id = "i-0123456789abcdef0",
                               .source = "https://updates.example/ssmd/",
                               .arch = rows[_i].arch != NULL ? rows[_i].arch : "amd64",
                               .allow_downgrade = rows[_i].allow_downgrade,
                               .now_unix_ms = NOW};
    const char *name = rows[_i].name;
    struct choice c;

    make_manifest(rows[_i].versions, MAX_VERSIONS, &m);
    (void)str_copy(m.rollback_floor, sizeof(m.rollback_floor), rows[_i].floor);
    choose_version(&m, &q, &c);
    ck_assert_msg(c.verdict == rows[_i].verdict, "%s: verdict %d: %s", name, c.verdict, c.text);
    ck_assert_msg(str_eq(c.code, rows[_i].code != NULL ? rows[_i].code : ""), "%s: code %s", name,
                  c.code);
    ck_assert_msg(str_eq(c.target, rows[_i].target), "%s: target %s", name, c.target);
    if (c.verdict == CHOOSE_OK) {
        char url[200];

        ck_assert_ptr_nonnull(c.version);
        ck_assert_str_eq(c.text, "");
        ck_assert_str_eq(c.file, FILE_NAME);
        (void)snprintf(url, sizeof(url), "https://updates.example/ssmd/ssmd/%s/%s", c.target,
                       FILE_NAME);
        ck_assert_str_eq(c.url, url);
    } else {
        ck_assert_ptr_null(c.version);
        ck_assert_msg(strstr(c.text, rows[_i].text) != NULL, "%s: text \"%s\"", name, c.text);
    }
}
END_TEST

/* 10,000 nodes: of each percentage about that many are offered the version, raising it takes nobody
 * out, and another version has other nodes first. */
START_TEST(a_rollout_grows_evenly_and_takes_nobody_out)
{
    unsigned n_below[101] = {0}, n_same_first = 0, percent;
    int i;

    for (i = 0; i < 10000; i++) {
        char node[40];
        unsigned place, other;

        (void)snprintf(node, sizeof(node), "mi-%017x", (unsigned)i);
        place = choose_rollout_place(node, "1.2.3");
        other = choose_rollout_place(node, "1.2.4");
        ck_assert_uint_lt(place, 10000);
        for (percent = place / 100 + 1; percent <= 100; percent++)
            n_below[percent]++;
        n_same_first += place < 1000 && other < 1000;
    }
    ck_assert_uint_eq(n_below[0], 0);
    ck_assert_uint_eq(n_below[100], 10000);
    for (percent = 1; percent < 100; percent++) /* five standard deviations are 250 */
        ck_assert_msg(n_below[percent] + 250 > 100 * percent &&
                          n_below[percent] < 100 * percent + 250,
                      "%u %%: %u nodes", percent, n_below[percent]);
    ck_assert_uint_lt(n_same_first, 160); /* 100 by chance */
}
END_TEST

START_TEST(a_node_is_offered_what_its_place_is_below)
{
    unsigned place = choose_rollout_place("i-1", "2.0");
    struct release_version v = {.version = "2.0", GOOD};
    struct choose_request q = {.package = "ssmd",
                               .asked = "latest",
                               .from = "1.0",
                               .node_id = "i-1",
                               .source = "https://h",
                               .arch = "amd64",
                               .now_unix_ms = NOW};

    for (v.rollout_percent = 0; v.rollout_percent <= 100; v.rollout_percent++) {
        AUTO(release_manifest_done) struct release_manifest m = {.version = 0};
        struct choice c;

        make_manifest(&v, 1, &m);
        choose_version(&m, &q, &c);
        ck_assert_int_eq(c.verdict, place < 100 * v.rollout_percent ? CHOOSE_OK : CHOOSE_SKIP);
    }
}
END_TEST

static const struct {
    const char *format, *source, *region, *url; /* NULL: refused */
} places[] = {
    {"{Source}/{PackageName}/{PackageVersion}/{FileName}", "https://h/s", "", "https://h/s/p/1/f"},
    {"{Source}/{FileName}", "file:///srv/s", "", "file:///srv/s/f"},
    {"https://s3.{Region}.amazonaws.com/b-{Region}/{FileName}", "https://h", "eu-west-1",
     "https://s3.eu-west-1.amazonaws.com/b-eu-west-1/f"},
    {"http://mirror/{Unknown}/{FileName}", "https://h", "", NULL},
    {"https://s3.{Region}.amazonaws.com/{FileName}", "https://h", "", NULL},
    {"file:///etc/{FileName}", "https://h", "", NULL},
    {"ftp://h/{FileName}", "https://h", "", NULL},
    {"{FileName}", "https://h", "", NULL},
    {"https://", "https://h", "", NULL},
    {"https://h/a b/{FileName}", "https://h", "", NULL},
    {"https://h/a\nb/{FileName}", "https://h", "", NULL},
    {"javascript:{FileName}", "https://h", "", NULL},
};

START_TEST(a_package_is_where_the_format_says_or_nowhere)
{
    const struct release_place place = {places[_i].source, places[_i].region, "p", "1", "f"};
    char url[RELEASE_URI_SIZE] = "untouched";
    struct err err = {0};
    int r = release_uri(places[_i].format, &place, url, &err);

    ck_assert_int_eq(r, places[_i].url != NULL ? 0 : ERR_INVALID);
    ck_assert_str_eq(url, places[_i].url != NULL ? places[_i].url : "untouched");
}
END_TEST

START_TEST(a_url_that_is_too_long_is_refused)
{
    AUTO(release_manifest_done) struct release_manifest m = {.version = 0};
    const struct release_version v = V20;
    char source[2000] = "https://h/";
    struct choose_request q = {.package = "ssmd",
                               .asked = "latest",
                               .from = "1.0",
                               .node_id = "i-1",
                               .source = source,
                               .arch = "amd64",
                               .now_unix_ms = NOW};
    struct choice c;

    memset(source + 10, 'x', sizeof(source) - 11);
    make_manifest(&v, 1, &m);
    choose_version(&m, &q, &c);
    ck_assert_int_eq(c.verdict, CHOOSE_FAIL);
    ck_assert_str_eq(c.code, "ErrorTargetPkgDownload");
    ck_assert_ptr_null(c.version);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("choose");
    TCase *t = tcase_create("choose");
    SRunner *runner = srunner_create(s);
    int failed;

    tcase_add_loop_test(t, chooses_or_says_why_not, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(t, a_rollout_grows_evenly_and_takes_nobody_out);
    tcase_add_test(t, a_node_is_offered_what_its_place_is_below);
    tcase_add_loop_test(t, a_package_is_where_the_format_says_or_nowhere, 0,
                        (int)ARRAY_LEN(places));
    tcase_add_test(t, a_url_that_is_too_long_is_refused);
    suite_add_tcase(s, t);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
