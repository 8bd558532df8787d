/* The configuration: every key at its bounds, every finding with its line, files as they are in
 * use, and what a reload takes over. */
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/str.h"
#include "schema/config_internal.h"
#include "schema/seelog.h"
#include "schema_lib.h"

static struct config config;
static char found[65536]; /* "line severity kind key" per finding, one a line */

static void note_finding(void *ctx, const struct config_finding *f)
{
    size_t n = strlen(found);

    (void)ctx;
    ck_assert_ptr_nonnull(f->text);
    ck_assert_str_ne(f->text, "");
    (void)snprintf(found + n, sizeof(found) - n, "%d %s %s %s%s%s\n", f->line,
                   f->severity == CONFIG_WARNING ? "warning" : "note", f->kind, f->key,
                   f->used[0] != '\0' ? " " : "", f->used);
}

static int parse(const char *text, struct err *err)
{
    found[0] = '\0';
    config_init(&config, "/opt/ssmd");
    return config_parse(&config, text, strlen(text), "test", note_finding, NULL, err);
}

static void parse_well(const char *text)
{
    struct err err = {0};

    ck_assert_msg(parse(text, &err) == 0, "%s in %s", err.text, text);
}

/* {"Section": {"Name": value}} */
static void parse_one(const struct config_key *k, const char *value)
{
    char text[4096];

    (void)snprintf(text, sizeof(text), "{\"%s\": {\"%s\": %s}}", k->section, k->name, value);
    parse_well(text);
}

static size_t count_keys(void)
{
    size_t n = 0;

    while (config_keys[n].section != NULL)
        n++;
    return n;
}

static void expect_kind(const struct config_key *k, const char *kind)
{
    char wanted[160];

    (void)snprintf(wanted, sizeof(wanted), "%s %s.%s", kind, k->section, k->name);
    ck_assert_msg(strstr(found, wanted) != NULL, "no \"%s\" in: %s", wanted, found);
}

static int64_t number(const struct config_key *k)
{
    int64_t v;

    memcpy(&v, (char *)&config + k->offset, sizeof(v));
    return v;
}

/* ---- every row of the table ---- */

START_TEST(every_key_has_a_place_a_note_and_a_default_within_its_bounds)
{
    const struct config_key *k = &config_keys[_i], *other;

    ck_assert_ptr_nonnull(k->note);
    ck_assert(k->use == CONFIG_USED || k->size == 0); /* nobody keeps what nobody reads */
    ck_assert(k->use != CONFIG_USED || k->size > 0 || k->type == CONFIG_IDENTITIES);
    if (k->type == CONFIG_NUMBER)
        ck_assert(k->min <= k->otherwise && k->otherwise <= k->max);
    if (k->type == CONFIG_TEXT || k->type == CONFIG_LIST)
        ck_assert_ptr_nonnull(k->text);
    for (other = config_keys; other != k; other++)
        ck_assert(!str_eq_nocase(k->section, other->section) ||
                  !str_eq_nocase(k->name, other->name));
}
END_TEST

START_TEST(a_number_is_taken_at_its_bounds_and_is_the_default_outside)
{
    const struct config_key *k = &config_keys[_i];
    char value[32];
    int64_t at;
    int i;

    if (k->type != CONFIG_NUMBER)
        return;
    for (i = 0; i < 4; i++) {
        const int64_t values[] = {k->min, k->max, k->min - 1, k->max + 1};

        (void)snprintf(value, sizeof(value), "%" PRId64, values[i]);
        parse_one(k, value);
        at = k->size > 0 ? number(k) : 0;
        if (k->size > 0)
            ck_assert_int_eq(at, i < 2 ? values[i] : k->otherwise);
        if (i >= 2)
            expect_kind(k, "warning out-of-bounds");
        else
            ck_assert_ptr_null(strstr(found, "out-of-bounds"));
    }
    parse_one(k, "1.5");
    expect_kind(k, "warning out-of-bounds");
    parse_one(k, "1e300");
    expect_kind(k, "warning out-of-bounds");
}
END_TEST

START_TEST(a_wrong_type_is_told_and_leaves_the_default)
{
    static const char *const values[] = {"\"5\"", "5", "true", "[5]", "{}"};
    const struct config_key *k = &config_keys[_i];
    char before[4096], after[4096];
    size_t i;

    for (i = 0; i < ARRAY_LEN(values); i++) {
        bool is_right = (k->type == CONFIG_TEXT && i == 0) ||
                        (k->type == CONFIG_NUMBER && i == 1) || (k->type == CONFIG_BOOL && i == 2);

        if (is_right)
            continue;
        config_init(&config, "/opt/ssmd");
        config_value(&config, k, before, sizeof(before));
        parse_one(k, values[i]);
        config_value(&config, k, after, sizeof(after));
        ck_assert_str_eq(before, after);
        expect_kind(k, "warning wrong-type");
    }
}
END_TEST

START_TEST(null_changes_nothing_and_case_does_not_matter)
{
    const struct config_key *k = &config_keys[_i];
    char text[256], name[128], section[64], before[4096], after[4096];
    size_t i;

    config_init(&config, "/opt/ssmd");
    config_value(&config, k, before, sizeof(before));
    parse_one(k, "null");
    config_value(&config, k, after, sizeof(after));
    ck_assert_str_eq(before, after);
    expect_kind(k, "note null");
    for (i = 0; i <= strlen(k->name); i++)
        name[i] = k->name[i] >= 'A' && k->name[i] <= 'Z' ? (char)(k->name[i] + 32) : k->name[i];
    for (i = 0; i <= strlen(k->section); i++)
        section[i] = k->section[i] >= 'a' && k->section[i] <= 'z' ? (char)(k->section[i] - 32)
                                                                  : k->section[i];
    (void)snprintf(text, sizeof(text), "{\"%s\": {\"%s\": null}}", section, name);
    parse_well(text);
    expect_kind(k, "note null");
    ck_assert_ptr_null(strstr(found, "warning"));
}
END_TEST

START_TEST(the_default_of_a_key_written_out_is_no_finding)
{
    const struct config_key *k = &config_keys[_i];
    char value[4096];

    config_init(&config, "/opt/ssmd");
    if (k->type == CONFIG_IDENTITIES || (k->size == 0 && k->type == CONFIG_LIST))
        return;
    config_value(&config, k, value, sizeof(value));
    parse_one(k, value);
    ck_assert_str_eq(found, "");
}
END_TEST

/* ---- findings ---- */

static const struct {
    const char *text, *found;
} findings[] = {
    {"{}", ""},
    {"{\"Agnet\": {}}", "1 warning unknown-section Agnet\n"},
    {"{\"\": {}}", "1 warning unknown-section \"\"\n"},
    {"{\"Region\": \"eu-west-1\"}", "1 warning unknown-section Region\n"},
    {"{\"Mds\":\n {\"HealthFrequencyMinutes\": 9}}",
     "2 warning unknown-key Mds.HealthFrequencyMinutes\n"},
    {"{\"Ssm\": {\"HealthFreqencyMinutes\": 9}}",
     "1 warning unknown-key Ssm.HealthFreqencyMinutes\n"},
    {"{\"Agent\": 5}", "1 warning wrong-type Agent\n"},
    {"{\"Agent\": null}", "1 note null Agent\n"},
    {"{\"agent\": {\"REGION\": \"eu-west-1\"}}",
     "1 note other-case Agent\n1 note other-case Agent.Region\n"},
    {"{\"Ssm\": {\"HealthFrequencyMinutes\": 61}}",
     "1 warning out-of-bounds Ssm.HealthFrequencyMinutes 5\n"},
    {"{\"Ssm\": {\"PluginLocalOutputCleanup\": \"always\"}}",
     "1 warning not-a-choice Ssm.PluginLocalOutputCleanup \"default\"\n"},
    {"{\"Agent\": {\"SelfUpdate\": true}}", "1 warning no-effect Agent.SelfUpdate\n"},
    {"{\"S3\": {\"LogBucket\": \"b\"}}", "1 note never-read S3.LogBucket\n"},
    {"{\"Agent\": {\"Region\": \"a\"},\n\"Agent\": {\"Region\": \"b\"}}",
     "2 warning duplicate Agent.Region\n"},
    {"{\"Agent\": {\"Region\": \"a\",\n\n\"region\": \"b\"}}",
     "3 warning duplicate Agent.Region\n3 note other-case Agent.Region\n"},
    {"{\"\\u0041gent\": {\"R\\u0065gion\": \"eu-west-1\"}}", ""},
    {"{\"Identity\": {\"ConsumptionOrder\": [\"EC2\", \"onprem\"]}}",
     "1 warning not-a-choice Identity.ConsumptionOrder\n"},
    {"{\"Identity\": {\"ConsumptionOrder\": []}}",
     "1 warning out-of-bounds Identity.ConsumptionOrder [\"OnPrem\",\"EC2\",\"CustomIdentity\"]\n"},
    {"{\"Identity\": {\"CustomIdentities\": [{\"InstanceID\": \"mi-1\"}]}}",
     "1 warning bad-value Identity.CustomIdentities.InstanceID\n"},
    {"{\"Identity\": {\"CustomIdentities\": [\n{\"Region\": \"a\"},\n5]}}",
     "2 warning bad-value Identity.CustomIdentities\n"
     "3 warning wrong-type Identity.CustomIdentities\n"},
    {"{\"Identity\": {\"CustomIdentities\": [{\"InstanceID\": \"mi-0123456789\", "
     "\"CredentialsProvider\": \"MINE\"}]}}",
     "1 warning not-a-choice Identity.CustomIdentities.CredentialsProvider \"DEFAULT\"\n"},
    /* keys that contradict each other */
    {"{\"Identity\": {\"ConsumptionOrder\": [\"EC2\"],\n\"CustomIdentities\": "
     "[{\"InstanceID\": \"mi-0123456789\", \"Region\": \"a\"}]}}",
     "2 warning contradiction Identity.CustomIdentities\n"},
    {"{\"Identity\": {\"ConsumptionOrder\": [\"CustomIdentity\"]}}",
     "1 warning contradiction Identity.ConsumptionOrder\n"},
    {"{\"Agent\": {\"ContainerMode\": true},\n\"Identity\": {\"ConsumptionOrder\": [\"EC2\"]}}",
     "2 warning contradiction Identity.ConsumptionOrder\n"},
    {"{\"Agent\": {\"Region\": \"a\"}, \"Identity\": {\"CustomIdentities\": "
     "[{\"InstanceID\": \"mi-0123456789\", \"Region\": \"b\"}]}}",
     "1 warning contradiction Agent.Region\n"},
    {"{\"Ssmd\": {\"OutputCapMiB\": 1024}}", "1 warning contradiction Ssmd.OutputCapMiB\n"},
    {"{\"Agent\": {\"SelfUpdate\": true},\n\"Ssmd\": {\"UpdateSource\": \"file:///srv\"}}", ""},
    {"{\"Ssmd\": {\"UpdateSource\": \"ftp://x\"}}", "1 warning bad-value Ssmd.UpdateSource\n"},
    {"{\"Ssmd\": {\"UpdateWindow\": \"22:00-04:30\"}}", ""},
    {"{\"Ssmd\": {\"UpdateWindow\": \"22:00-24:00\"}}", "1 warning bad-value Ssmd.UpdateWindow\n"},
    {"{\"Ssmd\": {\"UpdateWindow\": \"22:00\"}}", "1 warning bad-value Ssmd.UpdateWindow\n"},
    {"{\"Ssmd\": {\"UpdateProvingSeconds\": 300}}",
     "1 warning contradiction Ssmd.UpdateProvingSeconds\n"},
    {"{\"Ssmd\": {\"LogFileRolls\": 2}}", "1 warning contradiction Ssmd.LogFileRolls\n"},
    {"{\"Ssmd\": {\"LogFileRolls\": 2, \"LogFile\": \"/var/log/ssmd.log\"}}", ""},
    {"{\"Ssm\": {\"PluginLocalOutputCleanup\": \"after-execution\", "
     "\"OrchestrationDirectoryCleanup\": \"clean-success\"}}",
     "1 note contradiction Ssm.PluginLocalOutputCleanup\n"},
    {"{\"Ssm\": {\"PluginLocalOutputCleanup\": \"after-upload\"}}", ""},
    /* hosts and regions that cannot be */
    {"{\"Ssm\": {\"Endpoint\": \"http://127.0.0.1:8080\"}}", ""},
    {"{\"Ssm\": {\"Endpoint\": \"http://ssm.example.com\"}}", "1 warning bad-value Ssm.Endpoint\n"},
    {"{\"Ssm\": {\"Endpoint\": \"ftp://x\"}}", "1 warning bad-value Ssm.Endpoint\n"},
    {"{\"Ssm\": {\"Endpoint\": \"https://\"}}", "1 warning bad-value Ssm.Endpoint\n"},
    {"{\"Mds\": {\"Endpoint\": \"a b\"}}", "1 warning bad-value Mds.Endpoint\n"},
    {"{\"Agent\": {\"Region\": \"eu_west_1\"}}", "1 warning bad-value Agent.Region\n"},
    {"{\"Ssmd\": {\"RebootCommand\": [\"\"]}}",
     "1 warning out-of-bounds Ssmd.RebootCommand [\"/sbin/shutdown\",\"-r\",\"+1\"]\n"},
    {"{\"Ssmd\": {\"RebootCommand\": [\"a\", 5]}}",
     "1 warning wrong-type Ssmd.RebootCommand [\"/sbin/shutdown\",\"-r\",\"+1\"]\n"},
};

START_TEST(says_what_does_not_do_what_it_says)
{
    parse_well(findings[_i].text);
    ck_assert_str_eq(found, findings[_i].found);
}
END_TEST

static const struct {
    const char *text, *error;
} refusals[] = {
    {"", "test is empty; expected JSON"},
    {"{\"Agent\": {\"Region\": \"x\",}}", "test: line 1, column 26: "},
    {"{\n\"Agent\": }", "test: line 2, column 10: "},
    {"// mine\n{}", "test: line 1, column 1: "},
    {"{} {}", "test: line 1, column 4: "},
    {"[]", "test must be an object, not a list"},
    {"null", "test must be an object, not null"},
    {"{\"Agent\": {\"Region\": \"\\u0000\"}}", "test: line 1, column 24: "},
};

START_TEST(what_is_not_json_is_refused_and_changes_nothing)
{
    struct config before;
    struct err err = {0};

    config_init(&before, "/opt/ssmd");
    ck_assert_int_eq(parse(refusals[_i].text, &err), ERR_INVALID);
    ck_assert_msg(str_has_prefix(err.text, refusals[_i].error), "%s", err.text);
    config_point_words(&config, 0);
    config_point_words(&before, 0);
    ck_assert_mem_eq(config.reboot_words, before.reboot_words, sizeof(before.reboot_words));
    ck_assert_str_eq(config.region, before.region);
}
END_TEST

START_TEST(of_keys_that_stand_twice_the_last_counts_and_sections_are_merged)
{
    parse_well("{\"Ssm\": {\"HealthFrequencyMinutes\": 6, \"Endpoint\": \"a\"},"
               " \"SSM\": {\"HealthFrequencyMinutes\": 7}}");
    ck_assert_int_eq(config.health_frequency_minutes, 7);
    ck_assert_str_eq(config.ssm_endpoint, "a");
}
END_TEST

START_TEST(an_empty_text_is_the_default_but_for_what_is_only_reported)
{
    parse_well("{\"Agent\": {\"Name\": \"\"}, \"Os\": {\"Name\": \"\", \"Lang\": \"\"}}");
    ck_assert_str_eq(config.agent_name, "amazon-ssm-agent");
    ck_assert_str_eq(config.os_name, "");
    ck_assert_str_eq(config.os_lang, "");
    ck_assert_str_eq(config.os_version, "1");
}
END_TEST

START_TEST(the_first_identity_with_id_and_region_counts)
{
    parse_well("{\"Identity\": {\"CustomIdentities\": ["
               "{\"InstanceID\": \"mi-without-region\", \"AvailabilityZone\": \"a\"},"
               "{\"instanceid\": \"mi-with-region\", \"Region\": \"eu-west-1\"},"
               "{\"InstanceID\": \"mi-too-late\", \"Region\": \"eu-west-2\"}]}}");
    ck_assert_str_eq(config.instance_id, "mi-with-region");
    ck_assert_str_eq(config.identity_region, "eu-west-1");
    ck_assert_str_eq(config.availability_zone, "");
    ck_assert_str_eq(config_signing_region(&config), "eu-west-1");
}
END_TEST

/* ---- files in use ---- */

static const struct {
    const char *file, *found;
} files[] = {
    {"template.json", ""},
    {"minimal.json", "1 warning no-effect Agent.SelfUpdate\n"},
    {"setup-cli.json", ""},
    {"profile.json", ""},
    {"endpoints.json", "7 warning no-effect Kms.Endpoint\n"},
    {"ecs.json", ""},
    {"lower-case.json",
     "2 note other-case Agent\n2 note other-case Agent.Region\n3 note other-case Mds\n"
     "3 note other-case Mds.CommandWorkersLimit\n4 note other-case Ssm\n"
     "4 note other-case Ssm.HealthFrequencyMinutes\n"},
    {"mistakes.json",
     "3 warning wrong-type Mds.CommandWorkersLimit 5\n"
     "4 warning unknown-key Mds.HealthFrequencyMinutes\n"
     "5 warning out-of-bounds Mds.StopTimeoutMillis 20000\n"
     "8 warning unknown-key Ssm.HealthFreqencyMinutes\n"
     "9 warning out-of-bounds Ssm.RunCommandLogsRetentionDurationHours 336\n"
     "10 warning not-a-choice Ssm.PluginLocalOutputCleanup \"default\"\n"
     "13 warning unknown-section Agents\n"
     "14 warning unknown-section SelfUpdate\n"
     "18 warning wrong-type Agent.StrictDocuments false\n"
     "21 warning not-a-choice Identity.ConsumptionOrder\n"
     "21 warning not-a-choice Identity.ConsumptionOrder\n"
     "21 warning out-of-bounds Identity.ConsumptionOrder [\"OnPrem\",\"EC2\",\"CustomIdentity\"]\n"
     "23 warning unknown-key Identity.CustomIdentities.Regoin\n"
     "24 warning bad-value Identity.CustomIdentities\n"
     "32 warning out-of-bounds Ssmd.RebootCommand [\"/sbin/shutdown\",\"-r\",\"+1\"]\n"
     "16 warning contradiction Agent.Region\n"
     "29 warning contradiction Ssmd.OutputCapMiB\n"
     "31 warning contradiction Ssmd.LogFileRolls\n"
     "11 warning bad-value Ssm.Endpoint\n"
     "16 warning bad-value Agent.Region\n"
     "17 warning no-effect Agent.SelfUpdate\n"},
};

static void read_fixture(const char *name, struct buf *ret)
{
    struct err err = {0};
    char path[PATH_MAX];

    buf_init(ret, 1u << 20);
    (void)snprintf(path, sizeof(path), "%s/fixtures/config/%s", TEST_SOURCE_DIR, name);
    ck_assert_msg(fs_read_file(AT_FDCWD, path, ret, &err) == 0, "%s", err.text);
}

START_TEST(a_file_from_the_field_works_unchanged)
{
    AUTO(buf_done) struct buf text = {0};

    read_fixture(files[_i].file, &text);
    parse_well(buf_str(&text));
    ck_assert_str_eq(found, files[_i].found);
}
END_TEST

static const char *const broken[] = {"trailing-comma.json", "comment.json", "byte-order-mark.json",
                                     "empty.json",          "list.json",    "cut.json"};

START_TEST(a_broken_file_is_refused)
{
    AUTO(buf_done) struct buf text = {0};
    struct err err = {0};

    read_fixture(broken[_i], &text);
    ck_assert_int_eq(parse(buf_str(&text), &err), ERR_INVALID);
    ck_assert_msg(str_has_prefix(err.text, "test"), "%s", err.text);
}
END_TEST

/* ---- reload ---- */

static char changes[4096];

static void note_change(void *ctx, const struct config_key *k, bool is_taken)
{
    size_t n = strlen(changes);

    (void)ctx;
    (void)snprintf(changes + n, sizeof(changes) - n, "%s.%s %s\n", k->section, k->name,
                   is_taken ? "taken" : "restart");
}

START_TEST(a_reload_takes_what_it_may_and_names_the_rest)
{
    static struct config live;

    config_init(&live, "/opt/ssmd");
    parse_well("{\"Mds\": {\"CommandWorkersLimit\": 9, \"Endpoint\": \"x\"},"
               " \"Identity\": {\"CustomIdentities\": [{\"InstanceID\": \"mi-0123456789\"}]},"
               " \"Ssmd\": {\"RebootCommand\": [\"/bin/a\", \"b\"]}}");
    changes[0] = '\0';
    config_diff(&live, &config, note_change, NULL);
    ck_assert_str_eq(changes, "Mds.CommandWorkersLimit taken\nMds.Endpoint restart\n"
                              "Identity.CustomIdentities restart\nSsmd.RebootCommand taken\n");
    ck_assert_int_eq(live.command_workers, 9);
    ck_assert_str_eq(live.mds_endpoint, "");
    ck_assert_str_eq(live.instance_id, "");
    ck_assert_ptr_eq(live.reboot_argv[0], live.reboot_words[0]);
    ck_assert_str_eq(live.reboot_argv[0], "/bin/a");
    ck_assert_ptr_null(live.reboot_argv[2]);
    changes[0] = '\0';
    config_diff(&live, &live, note_change, NULL);
    ck_assert_str_eq(changes, "");
}
END_TEST

static char asked[512];

/* Refuses what has "bad" in its name. */
static int note_use(const char *path, bool is_program, struct err *err)
{
    size_t n = strlen(asked);

    (void)snprintf(asked + n, sizeof(asked) - n, "%s%s\n", path, is_program ? " is run" : "");
    return strstr(path, "bad") == NULL ? 0 : err_set(err, ERR_INVALID, "%s: it is bad", path);
}

START_TEST(files_that_cannot_be_used_are_told)
{
    parse_well("{}");
    (void)str_copy(config.ca_file, sizeof(config.ca_file), "/bad/ca");
    (void)str_copy(config.runner_path, sizeof(config.runner_path), "/runner");
    (void)str_copy(config.download_path, sizeof(config.download_path), "/bad/helper");
    config_check_files(&config, note_use, note_finding, NULL);
    ck_assert_ptr_nonnull(strstr(asked, "/bad/ca\n"));
    ck_assert_ptr_nonnull(strstr(asked, "/runner is run\n"));
    ck_assert_ptr_nonnull(strstr(asked, "/bad/helper is run\n"));
    ck_assert_str_eq(found, "1 warning bad-file Ssmd.CaFile\n"
                            "1 warning bad-file Ssmd.DownloadPath\n");
}
END_TEST

START_TEST(files_that_are_not_named_are_not_asked_for)
{
    parse_well("{}");
    config.ca_file[0] = config.runner_path[0] = config.download_path[0] = config.boot_id_file[0] =
        '\0';
    asked[0] = '\0';
    config_check_files(&config, note_use, note_finding, NULL);
    ck_assert_str_eq(asked, "");
}
END_TEST

/* ---- seelog.xml ---- */

static const struct {
    const char *xml, *level; /* NULL: refused */
} seelogs[] = {
    {"<seelog type=\"adaptive\" minlevel=\"info\"><outputs/></seelog>", "info"},
    {"<?xml version=\"1.0\"?>\n<!-- ours -->\n<seelog minlevel='debug'/>", "debug"},
    {"<seelog minlevel=\"trace\"/>", "debug"},
    {"<seelog minlevel=\"warn\"/>", "warning"},
    {"<seelog minlevel=\"critical\"/>", "error"},
    {"<seelog levels=\"error,info\"/>", "info"},
    {"<seelog levels=\"off\"/>", "error"},
    {"<seelog minlevel=\"loud\"/>", "info"},
    {"<seelog><outputs minlevel=\"debug\"/></seelog>", "info"},
    {"<seelog/>", "info"},
    {"<seelog minlevel=\"debug\">", NULL},
    {"<log minlevel=\"debug\"/>", NULL},
    {"", NULL},
    {"<!DOCTYPE seelog [<!ENTITY a \"b\">]><seelog minlevel=\"&a;\"/>", NULL},
};

START_TEST(takes_the_level_of_seelog_and_nothing_else)
{
    const char *level = "untouched";
    struct err err = {0};
    int r = seelog_level(seelogs[_i].xml, strlen(seelogs[_i].xml), &level, &err);

    if (seelogs[_i].level == NULL) {
        ck_assert_int_eq(r, ERR_INVALID);
        ck_assert_str_eq(level, "untouched");
        ck_assert_ptr_nonnull(strstr(err.text, "seelog.xml"));
    } else {
        ck_assert_msg(r == 0, "%s", err.text);
        ck_assert_str_eq(level, seelogs[_i].level);
    }
}
END_TEST

static Suite *config_suite(void)
{
    Suite *s = suite_create("config");
    TCase *keys = tcase_create("keys"), *t = tcase_create("findings");
    int n = (int)count_keys();

    tcase_add_loop_test(keys, every_key_has_a_place_a_note_and_a_default_within_its_bounds, 0, n);
    tcase_add_loop_test(keys, a_number_is_taken_at_its_bounds_and_is_the_default_outside, 0, n);
    tcase_add_loop_test(keys, a_wrong_type_is_told_and_leaves_the_default, 0, n);
    tcase_add_loop_test(keys, null_changes_nothing_and_case_does_not_matter, 0, n);
    tcase_add_loop_test(keys, the_default_of_a_key_written_out_is_no_finding, 0, n);
    tcase_add_loop_test(t, says_what_does_not_do_what_it_says, 0, ARRAY_LEN(findings));
    tcase_add_loop_test(t, what_is_not_json_is_refused_and_changes_nothing, 0, ARRAY_LEN(refusals));
    tcase_add_test(t, of_keys_that_stand_twice_the_last_counts_and_sections_are_merged);
    tcase_add_test(t, an_empty_text_is_the_default_but_for_what_is_only_reported);
    tcase_add_test(t, the_first_identity_with_id_and_region_counts);
    tcase_add_loop_test(t, a_file_from_the_field_works_unchanged, 0, ARRAY_LEN(files));
    tcase_add_loop_test(t, a_broken_file_is_refused, 0, ARRAY_LEN(broken));
    tcase_add_test(t, a_reload_takes_what_it_may_and_names_the_rest);
    tcase_add_test(t, files_that_cannot_be_used_are_told);
    tcase_add_test(t, files_that_are_not_named_are_not_asked_for);
    tcase_add_loop_test(t, takes_the_level_of_seelog_and_nothing_else, 0, ARRAY_LEN(seelogs));
    suite_add_tcase(s, keys);
    suite_add_tcase(s, t);
    return s;
}

SUITE_MAIN(config_suite)
