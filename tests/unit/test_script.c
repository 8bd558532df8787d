/* Inputs of the script plugins, and the sentences of replies. */
#include "schema_lib.h"

#include <signal.h>

#include "base/str.h"
#include "schema/reply.h"
#include "schema/script.h"
#include "schema/texts.h"

/* On failure the failure text is in *failure. */
static int parse(const cJSON *inputs, struct script_inputs *ret, struct buf *failure)
{
    struct err err = {.code = 0};
    int r = script_inputs_parse(inputs, ret, failure, &err);

    ck_assert_int_eq(err.code, r);
    if (r < 0)
        ck_assert(str_has_prefix(buf_str(failure), err.text));
    return r;
}

START_TEST(all_inputs_are_read)
{
    cJSON *inputs = tree_of("{\"runCommand\":[\"echo 1\",\"\",\"echo 2\\r\"],\"id\":\"0.x\","
                            "\"workingDirectory\":\"/tmp\",\"timeoutSeconds\":\"60\","
                            "\"environment\":{\"B\":\"2\",\"A\":\"1\",\"C\":null},\"other\":[1]}");
    struct script_inputs s;
    struct buf failure;

    buf_init(&failure, 32768);
    ck_assert_int_eq(parse(inputs, &s, &failure), 0);
    ck_assert_str_eq(s.script, "echo 1\n\necho 2\r\n");
    ck_assert_uint_eq(s.script_len, strlen(s.script));
    ck_assert_str_eq(s.id, "0.x");
    ck_assert_str_eq(s.working_directory, "/tmp");
    ck_assert_int_eq(s.timeout_s, 60);
    ck_assert_uint_eq(s.n_environment, 3);
    ck_assert_str_eq(s.environment[0].name, "A");
    ck_assert_str_eq(s.environment[0].value, "1");
    ck_assert_str_eq(s.environment[2].name, "C");
    ck_assert_str_eq(s.environment[2].value, "");
    script_inputs_done(&s);
    buf_done(&failure);
    cJSON_Delete(inputs);
}
END_TEST

static const struct {
    const char *inputs, *script;
} scripts[] = {
    {"null", "\n"},
    {"{}", "\n"},
    {"{\"runCommand\":null}", "\n"},
    {"{\"runCommand\":[]}", "\n"},
    {"{\"runCommand\":[\"\"]}", "\n"},
    {"{\"runCommand\":[\"\",\"\"]}", "\n\n"},
    {"{\"runCommand\":[null,\"a\"]}", "\na\n"},
    {"{\"RUNCOMMAND\":[\"a\"]}", "a\n"},
    {"{\"runCommand\":[\"a\\nb\\n\",\"c\"]}", "a\nb\n\nc\n"},
};

START_TEST(a_script_is_its_lines_each_with_a_newline)
{
    cJSON *inputs = tree_of(scripts[_i].inputs);
    struct script_inputs s;
    struct buf failure;

    buf_init(&failure, 32768);
    ck_assert_int_eq(parse(inputs, &s, &failure), 0);
    ck_assert_str_eq(s.script, scripts[_i].script);
    ck_assert_int_eq(s.timeout_s, SCRIPT_TIMEOUT_DEFAULT_S);
    ck_assert_str_eq(s.working_directory, "");
    script_inputs_done(&s);
    buf_done(&failure);
    cJSON_Delete(inputs);
}
END_TEST

#define FORMAT(shown, reason)                                                                      \
    "Invalid format in plugin properties " shown ";\nerror json: cannot unmarshal " reason
#define FIELD(kind, field, type)                                                                   \
    kind " into Go struct field RunScriptPluginInput." field " of type " type

static const struct {
    const char *inputs, *failure;
} bad[] = {
    {"{\"runCommand\":42}",
     FORMAT("map[runCommand:42]", FIELD("number", "RunCommand", "[]string"))},
    {"{\"runCommand\":\"echo\"}",
     FORMAT("map[runCommand:echo]", FIELD("string", "RunCommand", "[]string"))},
    {"{\"runCommand\":{}}",
     FORMAT("map[runCommand:map[]]", FIELD("object", "RunCommand", "[]string"))},
    {"{\"runCommand\":[\"echo start\",[\"echo one\",\"echo two\"],\"echo end\"]}",
     FORMAT("map[runCommand:[echo start [echo one echo two] echo end]]",
            FIELD("array", "RunCommand", "string"))},
    {"{\"runCommand\":[true]}",
     FORMAT("map[runCommand:[true]]", FIELD("bool", "RunCommand", "string"))},
    {"{\"environment\":[]}",
     FORMAT("map[environment:[]]", FIELD("array", "Environment", "map[string]string"))},
    {"{\"environment\":{\"A\":1}}",
     FORMAT("map[environment:map[A:1]]", FIELD("number", "Environment", "string"))},
    {"{\"workingDirectory\":7,\"id\":[]}",
     FORMAT("map[id:[] workingDirectory:7]", FIELD("array", "ID", "string"))},
    {"{\"workingDirectory\":false}",
     FORMAT("map[workingDirectory:false]", FIELD("bool", "WorkingDirectory", "string"))},
    {"{\"runCommand\":1,\"timeoutSeconds\":{}}",
     FORMAT("map[runCommand:1 timeoutSeconds:map[]]", FIELD("number", "RunCommand", "[]string"))},
    {"\"text\"", FORMAT("text", "string into Go value of type runscript.RunScriptPluginInput")},
    {"[7]", FORMAT("[7]", "array into Go value of type runscript.RunScriptPluginInput")},
    {"{\"id\":\"../x\"}", "inputs.id must not be a path; it is \"../x\""},
    {"{\"id\":\"..\"}", "inputs.id must not be a path; it is \"..\""},
    {"{\"id\":\"a/../../b\"}", "inputs.id must not be a path; it is \"a/../../b\""},
    {"{\"environment\":{\"A=B\":\"1\"}}", "environment: \"A=B\" cannot be the name of a variable"},
    {"{\"environment\":{\"\":\"1\"}}", "environment: \"\" cannot be the name of a variable"},
};

START_TEST(inputs_of_a_wrong_type_fail_in_the_words_users_know)
{
    cJSON *inputs = tree_of(bad[_i].inputs);
    struct script_inputs s;
    struct buf failure;

    buf_init(&failure, 32768);
    ck_assert_int_eq(parse(inputs, &s, &failure), ERR_INVALID);
    ck_assert_str_eq(buf_str(&failure), bad[_i].failure);
    buf_done(&failure);
    cJSON_Delete(inputs);
}
END_TEST

START_TEST(the_reason_is_told_however_large_the_inputs_are)
{
    cJSON *inputs = tree_of("{\"runCommand\":1}");
    struct script_inputs s;
    struct buf failure, output;
    char *text = malloc(100001);

    ck_assert_ptr_nonnull(text);
    memset(text, 'x', 100000);
    text[100000] = '\0';
    ck_assert_ptr_nonnull(cJSON_AddStringToObject(inputs, "a", text));
    buf_init(&failure, 32768);
    ck_assert_int_eq(parse(inputs, &s, &failure), ERR_INVALID);
    ck_assert_int_eq(failure.failed, 0);
    ck_assert(str_has_suffix(buf_str(&failure),
                             "x...;\nerror json: cannot unmarshal number into Go struct field "
                             "RunScriptPluginInput.RunCommand of type []string"));
    buf_init(&output, REPLY_OUTPUT_BYTES);
    reply_combine_output("", 0, failure.data, failure.len, &output);
    ck_assert(str_has_suffix(buf_str(&output), buf_str(&failure))); /* operators see this first */
    buf_done(&output);
    buf_done(&failure);
    free(text);
    cJSON_Delete(inputs);
}
END_TEST

static const struct {
    const char *value; /* NULL: missing */
    int64_t seconds;
} timeouts[] = {
    {NULL, 3600},      {"null", 3600},    {"60", 60},         {"\"60\"", 60},
    {"\"60.9\"", 60},  {"60.9", 60},      {"5", 5},           {"4", 3600},
    {"4.99", 3600},    {"\"4\"", 3600},   {"172800", 172800}, {"172800.5", 172800},
    {"172801", 3600},  {"0", 3600},       {"-60", 3600},      {"\"\"", 3600},
    {"\"abc\"", 3600}, {"\"60s\"", 3600}, {"\" 60\"", 3600},  {"\"0x40\"", 3600},
    {"\"inf\"", 3600}, {"\"nan\"", 3600}, {"1e300", 3600},    {"\"1e2\"", 100},
    {"true", 3600},    {"[60]", 3600},    {"{}", 3600},       {"\"99999999999999999999\"", 3600},
    {"\"--5\"", 3600},
};

START_TEST(time_limits_out_of_range_become_the_default)
{
    cJSON *value = timeouts[_i].value != NULL ? tree_of(timeouts[_i].value) : NULL;

    ck_assert_int_eq(script_timeout_s(value), timeouts[_i].seconds);
    cJSON_Delete(value);
}
END_TEST

START_TEST(too_many_variables_are_refused)
{
    struct script_inputs s;
    struct buf failure, text;
    cJSON *inputs;
    size_t i;

    buf_init(&text, TEST_JSON_BYTES);
    (void)buf_add_str(&text, "{\"environment\":{");
    for (i = 0; i <= SCRIPT_MAX_ENVIRONMENT; i++)
        (void)buf_printf(&text, "%s\"V%zu\":\"\"", i > 0 ? "," : "", i);
    (void)buf_add_str(&text, "}}");
    inputs = tree_of(buf_str(&text));
    buf_init(&failure, 32768);
    ck_assert_int_eq(parse(inputs, &s, &failure), ERR_LIMIT);
    ck_assert_str_eq(buf_str(&failure),
                     "environment has 1001 variables; at most 1000 are accepted");
    cJSON_Delete(inputs);
    buf_done(&failure);
    buf_done(&text);
}
END_TEST

static const struct {
    int number;
    const char *text;
} signals[] = {
    {SIGKILL, "failed to run commands: signal: killed"},
    {SIGTERM, "failed to run commands: signal: terminated"},
    {SIGSEGV, "failed to run commands: signal: segmentation fault"},
    {64, "failed to run commands: signal: signal 64"},
};

START_TEST(the_end_of_a_script_is_told_in_known_words)
{
    struct buf b;
    size_t i;

    buf_init(&b, 1000);
    text_exit_status(&b, 143);
    ck_assert_str_eq(buf_str(&b), "failed to run commands: exit status 143");
    buf_clear(&b);
    text_exit_status(&b, -1);
    ck_assert_str_eq(buf_str(&b), "failed to run commands: exit status -1");
    buf_clear(&b);
    text_start_failed(&b, "no such directory");
    ck_assert_str_eq(buf_str(&b), "failed to run commands: no such directory");
    for (i = 0; i < ARRAY_LEN(signals); i++) {
        buf_clear(&b);
        text_exit_signal(&b, signals[i].number);
        ck_assert_str_eq(buf_str(&b), signals[i].text);
    }
    buf_done(&b);
}
END_TEST

static Suite *script_suite(void)
{
    Suite *s = suite_create("script");
    TCase *inputs = tcase_create("inputs"), *texts = tcase_create("texts");

    tcase_add_test(inputs, all_inputs_are_read);
    tcase_add_loop_test(inputs, a_script_is_its_lines_each_with_a_newline, 0,
                        (int)ARRAY_LEN(scripts));
    tcase_add_loop_test(inputs, inputs_of_a_wrong_type_fail_in_the_words_users_know, 0,
                        (int)ARRAY_LEN(bad));
    tcase_add_test(inputs, the_reason_is_told_however_large_the_inputs_are);
    tcase_add_loop_test(inputs, time_limits_out_of_range_become_the_default, 0,
                        (int)ARRAY_LEN(timeouts));
    tcase_add_test(inputs, too_many_variables_are_refused);
    tcase_add_test(texts, the_end_of_a_script_is_told_in_known_words);
    suite_add_tcase(s, inputs);
    suite_add_tcase(s, texts);
    return s;
}

SUITE_MAIN(script_suite)
