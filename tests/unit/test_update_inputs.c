/* Inputs of aws:updateSsmAgent: what they mean, and what is said of those that mean nothing. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "schema/update_inputs.h"

#define A "\"agentName\":\"amazon-ssm-agent\""

static const struct {
    const char *inputs, *name, *target;
    bool allow_downgrade, has_source;
} good[] = {
    {"{" A ",\"allowDowngrade\":\"false\"}", UPDATE_NAME_REFERENCE, "", false, false},
    {"{\"agentName\":\"ssmd\",\"allowDowngrade\":\"T\"}", UPDATE_NAME_OURS, "", true, false},
    {"{" A ",\"allowDowngrade\":\"0\",\"targetVersion\":null}", UPDATE_NAME_REFERENCE, "", false,
     false},
    {"{" A ",\"allowDowngrade\":\"TRUE\",\"targetVersion\":\"latest\"}", UPDATE_NAME_REFERENCE,
     "latest", true, false},
    {"{" A ",\"allowDowngrade\":\"1\",\"targetVersion\":\"STABLE\"}", UPDATE_NAME_REFERENCE,
     "stable", true, false},
    {"{" A ",\"allowDowngrade\":\"False\",\"targetVersion\":\"1.2.3.4\",\"source\":\"\"}",
     UPDATE_NAME_REFERENCE, "1.2.3.4", false, false},
    {"{" A ",\"allowDowngrade\":\"false\",\"source\":\"https://x/{Region}/m.json\"}",
     UPDATE_NAME_REFERENCE, "", false, true},
};

START_TEST(inputs_are_read_as_the_reference_reads_them)
{
    cJSON *inputs = cJSON_Parse(good[_i].inputs);
    struct update_inputs i;
    struct err err;

    ck_assert_msg(update_inputs_parse(inputs, &i, &err) == 0, "%s", err.text);
    ck_assert_str_eq(i.agent_name, good[_i].name);
    ck_assert_str_eq(i.target, good[_i].target);
    ck_assert_int_eq(i.allow_downgrade, good[_i].allow_downgrade);
    ck_assert_int_eq(i.has_source, good[_i].has_source);
    cJSON_Delete(inputs);
}
END_TEST

static const struct {
    const char *inputs, *text;
} bad[] = {
    {"[]", "must be an object"},
    {"{\"allowDowngrade\":\"true\"}", "agentName is missing"},
    {"{\"agentName\":\"\",\"allowDowngrade\":\"true\"}", "agentName is missing"},
    {"{\"agentName\":5,\"allowDowngrade\":\"true\"}", "agentName must be a string"},
    {"{\"agentName\":\"EC2Config\",\"allowDowngrade\":\"true\"}", "is not the agent here"},
    {"{" A "}", "allowDowngrade"},
    {"{" A ",\"allowDowngrade\":\"\"}", "allowDowngrade"},
    {"{" A ",\"allowDowngrade\":\"yes\"}", "\"yes\" is not understood"},
    {"{" A ",\"allowDowngrade\":true}", "allowDowngrade must be a string"},
    {"{" A ",\"allowDowngrade\":\"true\",\"targetVersion\":\"Latest\"}", "targetVersion"},
    {"{" A ",\"allowDowngrade\":\"true\",\"targetVersion\":\"1..2\"}", "targetVersion"},
    {"{" A ",\"allowDowngrade\":\"true\",\"targetVersion\":\"1.2.\"}", "targetVersion"},
    {"{" A ",\"allowDowngrade\":\"true\",\"targetVersion\":\"../1\"}", "targetVersion"},
    {"{" A ",\"allowDowngrade\":\"true\",\"targetVersion\":\"$(id)\"}", "targetVersion"},
    {"{" A ",\"allowDowngrade\":\"true\",\"source\":[]}", "source must be a string"},
};

START_TEST(inputs_that_mean_nothing_are_named)
{
    cJSON *inputs = cJSON_Parse(bad[_i].inputs);
    struct update_inputs i;
    struct err err;

    ck_assert_int_lt(update_inputs_parse(inputs, &i, &err), 0);
    ck_assert_msg(strstr(err.text, bad[_i].text) != NULL, "%s", err.text);
    cJSON_Delete(inputs);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("update_inputs");
    TCase *t = tcase_create("inputs");
    SRunner *sr;
    int n_failed;

    tcase_add_loop_test(t, inputs_are_read_as_the_reference_reads_them, 0, (int)ARRAY_LEN(good));
    tcase_add_loop_test(t, inputs_that_mean_nothing_are_named, 0, (int)ARRAY_LEN(bad));
    suite_add_tcase(s, t);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
