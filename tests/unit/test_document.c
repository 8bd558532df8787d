/* Documents: structure, versions, dispositions, control flow, bounds. */
#include "schema_lib.h"

#include "base/str.h"
#include "base/version.h"
#include "schema/document.h"
#include "schema/plugin.h"

#define SH "\"action\":\"aws:runShellScript\""
#define DOC22(steps) "{\"schemaVersion\":\"2.2\",\"mainSteps\":[" steps "]}"
#define DOC20(steps) "{\"schemaVersion\":\"2.0\",\"mainSteps\":[" steps "]}"

/* Parse the content in the test's words; *ret_document is NULL after a failure. */
static int parse(const char *content, struct document **ret_document, struct err *err)
{
    cJSON *tree = tree_of(content);
    struct document_input in = {.content = tree};
    int r;

    *ret_document = NULL;
    r = document_parse(&in, ret_document, err);
    cJSON_Delete(tree); /* the document must not need it any more */
    return r;
}

static struct document *document_of(const char *content)
{
    struct document *d;
    struct err err = {.code = 0};
    int r = parse(content, &d, &err);

    ck_assert_msg(r == 0, "%s in %s", err.text, content);
    return d;
}

static const char *const versions[] = {"2.0", "2.0.1", "2.0.2", "2.0.3", "2.2"};

START_TEST(every_supported_version_runs_its_steps_in_order)
{
    struct document *d;
    char content[400];

    (void)snprintf(content, sizeof(content),
                   "{\"schemaVersion\":\"%s\",\"mainSteps\":[{" SH
                   ",\"name\":\"one\",\"inputs\":{\"runCommand\":[\"x\"]}},{" SH
                   ",\"name\":\"two\"}],\"outputs\":[1],\"files\":{}}",
                   versions[_i]);
    d = document_of(content);
    ck_assert_str_eq(d->schema_version, versions[_i]);
    ck_assert_uint_eq(d->n_plugins, 2);
    ck_assert_str_eq(d->plugins[0].id, "one");
    ck_assert_str_eq(d->plugins[0].name, "aws:runShellScript");
    ck_assert_int_eq(d->plugins[0].disposition, DOCUMENT_RUN);
    ck_assert_ptr_null(d->plugins[0].note);
    ck_assert_str_eq(d->plugins[1].id, "two");
    ck_assert_uint_eq(d->n_units, 2);
    ck_assert_uint_eq(d->units[1].plugin, 1);
    ck_assert_str_eq(d->units[1].id, "two");
    ck_assert(cJSON_IsObject(d->units[0].inputs));
    ck_assert(cJSON_IsNull(d->units[1].inputs));
    document_free(d);
}
END_TEST

START_TEST(old_versions_take_plugins_in_document_order_and_run_lists_element_by_element)
{
    struct document *d = document_of(
        "{\"schemaVersion\":\"1.2\",\"runtimeConfig\":{\"aws:runShellScript\":{\"properties\":["
        "{\"id\":\"0.aws:runShellScript\",\"runCommand\":[\"a\"]},{\"runCommand\":[\"b\"]}]},"
        "\"aws:psModule\":{\"properties\":{}},\"aws:aaa\":{}}}");

    ck_assert_uint_eq(d->n_plugins, 3);
    ck_assert_str_eq(d->plugins[0].id, "aws:runShellScript");
    ck_assert_str_eq(d->plugins[0].name, "aws:runShellScript");
    ck_assert_uint_eq(d->plugins[0].n_units, 2);
    ck_assert_uint_eq(d->n_units, 2);
    ck_assert_str_eq(d->units[0].id, "0.aws:runShellScript");
    ck_assert_ptr_null(d->units[1].id);
    ck_assert_uint_eq(d->units[1].plugin, 0);
    ck_assert_int_eq(d->plugins[1].disposition, DOCUMENT_FAIL);
    ck_assert_str_eq(d->plugins[1].note,
                     "Plugin with name aws:psModule not found. Step name: aws:psModule");
    ck_assert_int_eq(d->plugins[2].disposition, DOCUMENT_FAIL);
    document_free(d);
}
END_TEST

START_TEST(list_inputs_of_a_step_are_its_executions)
{
    struct document *d = document_of(DOC22("{" SH ",\"name\":\"a\"},{" SH
                                           ",\"name\":\"b\",\"inputs\":[{\"runCommand\":[]},{},7]},"
                                           "{" SH ",\"name\":\"c\",\"inputs\":[]}"));

    ck_assert_uint_eq(d->n_units, 4);
    ck_assert_uint_eq(d->plugins[1].first_unit, 1);
    ck_assert_uint_eq(d->plugins[1].n_units, 3);
    ck_assert_str_eq(d->units[3].id, "b");
    ck_assert(cJSON_IsNumber(d->units[3].inputs));
    ck_assert_int_eq(d->plugins[2].disposition, DOCUMENT_FAIL);
    ck_assert_str_eq(d->plugins[2].note, "Step not run: its list of inputs is empty. Step name: c");
    document_free(d);
}
END_TEST

START_TEST(steps_of_one_name_know_of_each_other)
{
    struct document *d = document_of(
        DOC22("{" SH ",\"name\":\"same\"},{" SH ",\"name\":\"other\"},{" SH ",\"name\":\"same\"}"));

    ck_assert_uint_eq(d->n_plugins, 3);
    ck_assert_uint_eq(d->plugins[0].same_as, 0);
    ck_assert_uint_eq(d->plugins[1].same_as, 1);
    ck_assert_uint_eq(d->plugins[2].same_as, 0);
    document_free(d);
}
END_TEST

#define UNSUPPORTED(v)                                                                             \
    "schema version " v " is not supported, update the agent; supported are 1.0, 1.2, 2.0, "       \
    "2.0.1, 2.0.2, 2.0.3 and 2.2"

static const struct {
    const char *content;
    int code;
    const char *error;
} bad[] = {
    {"[]", ERR_INVALID, "DocumentContent must be an object, not a list"},
    {"{}", ERR_INVALID, "DocumentContent.schemaVersion is missing"},
    {"{\"schemaVersion\":\"\"}", ERR_INVALID, "DocumentContent.schemaVersion is missing"},
    {"{\"schemaVersion\":2.2}", ERR_INVALID,
     "DocumentContent.schemaVersion must be a string, not a number"},
    {"{\"schemaVersion\":\"9999.0\"}", ERR_UNSUPPORTED, UNSUPPORTED("9999.0")},
    {"{\"schemaVersion\":\"1.1\"}", ERR_UNSUPPORTED, UNSUPPORTED("1.1")},
    {"{\"schemaVersion\":\"2.1\"}", ERR_UNSUPPORTED, UNSUPPORTED("2.1")},
    {"{\"schemaVersion\":\"0.3\"}", ERR_UNSUPPORTED, UNSUPPORTED("0.3")},
    {"{\"schemaVersion\":\" 2.2\"}", ERR_UNSUPPORTED, UNSUPPORTED(" 2.2")},
    {"{\"schemaVersion\":\"2.2\"}", ERR_INVALID,
     "unsupported schema format: a document of schema version 2.2 needs a mainSteps that is not "
     "empty"},
    {"{\"schemaVersion\":\"2.2\",\"runtimeConfig\":{\"aws:runShellScript\":{}}}", ERR_INVALID,
     "unsupported schema format: a document of schema version 2.2 needs a mainSteps that is not "
     "empty"},
    {"{\"schemaVersion\":\"1.2\",\"runtimeConfig\":{}}", ERR_INVALID,
     "unsupported schema format: a document of schema version 1.2 needs a runtimeConfig that is "
     "not empty"},
    {"{\"schemaVersion\":\"2.2\",\"mainSteps\":{}}", ERR_INVALID,
     "DocumentContent.mainSteps must be a list, not an object"},
    {"{\"schemaVersion\":\"1.2\",\"runtimeConfig\":[]}", ERR_INVALID,
     "DocumentContent.runtimeConfig must be an object, not a list"},
    {"{\"schemaVersion\":\"1.2\",\"runtimeConfig\":{\"aws:runShellScript\":[]}}", ERR_INVALID,
     "DocumentContent.runtimeConfig.aws:runShellScript must be an object, not a list"},
    {"{\"schemaVersion\":\"1.2\",\"runtimeConfig\":{\"aws:runShellScript\":null}}", ERR_INVALID,
     "DocumentContent.runtimeConfig.aws:runShellScript must be an object, not null"},
    {"{\"schemaVersion\":\"1.2\",\"runtimeConfig\":{\"p\":{\"description\":1}}}", ERR_INVALID,
     "DocumentContent.runtimeConfig.p.description must be a string, not a number"},
    {"{\"schemaVersion\":\"2.2\",\"description\":5,\"mainSteps\":[{}]}", ERR_INVALID,
     "DocumentContent.description must be a string, not a number"},
    {"{\"schemaVersion\":\"2.2\",\"runtimeConfig\":[],\"mainSteps\":[{}]}", ERR_INVALID,
     "DocumentContent.runtimeConfig must be an object, not a list"},
    {"{\"schemaVersion\":\"1.2\",\"mainSteps\":{},\"runtimeConfig\":{\"p\":{}}}", ERR_INVALID,
     "DocumentContent.mainSteps must be a list, not an object"},
    {DOC22("null"), ERR_INVALID, "DocumentContent.mainSteps[0] must be an object, not null"},
    {DOC22("{" SH "},\"x\""), ERR_INVALID,
     "DocumentContent.mainSteps[1] must be an object, not a string"},
    {DOC22("{\"action\":7}"), ERR_INVALID,
     "DocumentContent.mainSteps[0].action must be a string, not a number"},
    {DOC22("{" SH ",\"name\":[]}"), ERR_INVALID,
     "DocumentContent.mainSteps[0].name must be a string, not a list"},
    {DOC22("{" SH ",\"timeoutSeconds\":\"30\"}"), ERR_INVALID,
     "DocumentContent.mainSteps[0].timeoutSeconds must be a whole number, not a string"},
    {DOC22("{" SH ",\"maxAttempts\":1.5}"), ERR_INVALID,
     "DocumentContent.mainSteps[0].maxAttempts must be a whole number, not 1.5"},
    {DOC22("{" SH ",\"onFailure\":true}"), ERR_INVALID,
     "DocumentContent.mainSteps[0].onFailure must be a string, not a boolean"},
    {DOC22("{" SH ",\"precondition\":[]}"), ERR_INVALID,
     "DocumentContent.mainSteps[0].precondition must be an object, not a list"},
    {DOC22("{" SH ",\"precondition\":{\"StringEquals\":\"x\"}}"), ERR_INVALID,
     "DocumentContent.mainSteps[0].precondition.StringEquals must be a list, not a string"},
    {DOC22("{" SH ",\"precondition\":{\"StringEquals\":[\"a\",1]}}"), ERR_INVALID,
     "DocumentContent.mainSteps[0].precondition.StringEquals must hold strings only, not a "
     "number"},
    {"{\"schemaVersion\":\"2.2\",\"parameters\":[],\"mainSteps\":[]}", ERR_INVALID,
     "DocumentContent.parameters must be an object, not a list"},
    {"{\"schemaVersion\":\"2.2\",\"parameters\":{\"p\":7},\"mainSteps\":[]}", ERR_INVALID,
     "parameters.p must be an object, not a number"},
    {"{\"schemaVersion\":\"2.2\",\"parameters\":{\"p\":null},\"mainSteps\":[]}", ERR_INVALID,
     "parameters.p must be an object, not null"},
    {"{\"schemaVersion\":\"2.2\",\"parameters\":{\"p\":{\"type\":7}},\"mainSteps\":[]}",
     ERR_INVALID, "parameters.p.type must be a string, not a number"},
    {"{\"schemaVersion\":\"2.2\",\"parameters\":{\"p\":{\"description\":[]}},\"mainSteps\":[]}",
     ERR_INVALID, "parameters.p.description must be a string, not a list"},
    {"{\"schemaVersion\":\"2.2\",\"parameters\":{\"p\":{\"allowedPattern\":1}},\"mainSteps\":[]}",
     ERR_INVALID, "parameters.p.allowedPattern must be a string, not a number"},
    {"{\"schemaVersion\":\"2.2\",\"parameters\":{\"p\":{\"displayType\":1}},\"mainSteps\":[]}",
     ERR_INVALID, "parameters.p.displayType must be a string, not a number"},
    {"{\"schemaVersion\":\"2.2\",\"parameters\":{\"p\":{\"allowedValues\":{}}},\"mainSteps\":[]}",
     ERR_INVALID, "parameters.p.allowedValues must be a list, not an object"},
    {"{\"schemaVersion\":\"2.2\",\"parameters\":{\"p\":{\"allowedValues\":[1]}},\"mainSteps\":[]}",
     ERR_INVALID, "parameters.p.allowedValues must hold strings only, not a number"},
};

START_TEST(each_wrong_field_fails_the_document_and_is_named)
{
    struct document *d;
    struct err err;

    ck_assert_int_eq(parse(bad[_i].content, &d, &err), bad[_i].code);
    ck_assert_str_eq(err.text, bad[_i].error);
    ck_assert_ptr_null(d);
}
END_TEST

#define UNKNOWN(name, step)                                                                        \
    "Plugin with name " name " is not supported by this version of ssm agent, please update to "   \
    "latest version. Step name: " step

static const struct {
    const char *content;
    enum document_disposition disposition;
    const char *note;
} fates[] = {
    /* 3.1: before 2.2 */
    {DOC20("{" SH ",\"name\":\"s\"}"), DOCUMENT_RUN, NULL},
    {DOC20("{\"action\":\"aws:x\",\"name\":\"s\"}"), DOCUMENT_FAIL, UNKNOWN("aws:x", "s")},
    {DOC20("{\"action\":\"aws:x\",\"name\":\"s\",\"precondition\":{\"StringEquals\":[]}}"),
     DOCUMENT_FAIL, UNKNOWN("aws:x", "s")},
    {DOC20("{" SH ",\"name\":\"s\",\"precondition\":{\"StringEquals\":[\"platformType\","
           "\"Linux\"]}}"),
     DOCUMENT_FAIL,
     "Step not run: preconditions need schema version 2.2, the document has 2.0. Step name: s"},
    {DOC20("{" SH ",\"name\":\"s\",\"precondition\":{}}"), DOCUMENT_RUN, NULL},
    {DOC20("{\"action\":\"aws:psModule\",\"name\":\"s\"}"), DOCUMENT_FAIL,
     "Plugin with name aws:psModule not found. Step name: s"},
    {DOC20("{\"action\":\"aws:softwareInventory\",\"name\":\"s\"}"), DOCUMENT_FAIL,
     "aws:softwareInventory plugin can only be invoked via ssm-associate"},
    {DOC20("{\"action\":\"aws:cloudWatch\",\"name\":\"s\"}"), DOCUMENT_FAIL,
     "Plugin aws:cloudWatch is not registered by agent"},
    {DOC20("{\"action\":\"aws:runPowerShellScript\",\"name\":\"s\"}"), DOCUMENT_RUN, NULL},
    {DOC20("{\"action\":\"aws:refreshAssociation\",\"name\":\"s\"}"), DOCUMENT_RUN, NULL},
    /* 3.2: 2.2 without a precondition */
    {DOC22("{\"name\":\"s\"}"), DOCUMENT_FAIL, UNKNOWN("", "s")},
    {DOC22("{\"action\":\"aws:runshellscript\",\"name\":\"s\"}"), DOCUMENT_FAIL,
     UNKNOWN("aws:runshellscript", "s")},
    {DOC22("{\"action\":\"aws:applications\",\"name\":\"s\"}"), DOCUMENT_SKIP,
     "Step execution skipped due to unsupported plugin: aws:applications. Step name: s"},
    /* 3.3: 2.2 with one */
    {DOC22("{\"action\":\"aws:x\",\"name\":\"s\",\"precondition\":{\"StringEquals\":["
           "\"platformType\",\"Linux\"]}}"),
     DOCUMENT_FAIL, UNKNOWN("aws:x", "s")},
    {DOC22("{\"action\":\"aws:x\",\"name\":\"s\",\"precondition\":{\"StringEquals\":["
           "\"platformType\",\"Windows\"]}}"),
     DOCUMENT_SKIP, "Step execution skipped due to unsupported plugin: aws:x. Step name: s"},
    {DOC22("{\"action\":\"aws:psModule\",\"name\":\"s\",\"precondition\":{\"StringEquals\":["
           "\"platformType\",\"Linux\"]}}"),
     DOCUMENT_SKIP, "Step execution skipped due to unsupported plugin: aws:psModule. Step name: s"},
    {DOC22("{" SH ",\"name\":\"s\",\"precondition\":{\"StringEquals\":[\"platformType\","
           "\"Windows\"]}}"),
     DOCUMENT_SKIP,
     "Step execution skipped due to unsatisfied preconditions: '\"StringEquals\": [platformType, "
     "Windows]'. Step name: s"},
    {DOC22("{" SH ",\"name\":\"s\",\"precondition\":{\"StringNotEquals\":[\"a\",\"b\"]}}"),
     DOCUMENT_FAIL,
     "Step not run: preconditions that this version does not recognise: '\"StringNotEquals\": [a, "
     "b] (unrecognised operator)'. Correct them or update the agent. Step name: s"},
    {DOC22("{" SH ",\"name\":\"s\",\"precondition\":{\"StringEquals\":[\"platformType\","
           "\"Windows\"],\"X\":[]}}"),
     DOCUMENT_SKIP,
     "Step execution skipped due to unsatisfied preconditions: '\"StringEquals\": [platformType, "
     "Windows]'. Step name: s"},
    {DOC22("{" SH ",\"name\":\"s\",\"precondition\":{\"X\":[],\"Y\":[\"a\"]}}"), DOCUMENT_FAIL,
     "Step not run: preconditions that this version does not recognise: '\"X\": [] (unrecognised "
     "operator)', '\"Y\": [a] (unrecognised operator)'. Correct them or update the agent. Step "
     "name: s"},
};

START_TEST(a_steps_fate_is_decided_as_the_tables_say)
{
    struct document *d = document_of(fates[_i].content);

    ck_assert_int_eq(d->plugins[0].disposition, fates[_i].disposition);
    if (fates[_i].note == NULL)
        ck_assert_ptr_null(d->plugins[0].note);
    else
        ck_assert_str_eq(d->plugins[0].note, fates[_i].note);
    ck_assert_uint_eq(d->plugins[0].n_units, fates[_i].disposition == DOCUMENT_RUN ? 1 : 0);
    document_free(d);
}
END_TEST

START_TEST(a_plugin_that_is_not_here_is_told_with_this_version)
{
    struct document *d = document_of(DOC20("{\"action\":\"aws:domainJoin\",\"name\":\"s\"}"));
    char note[200];

    (void)snprintf(note, sizeof(note),
                   "Plugin with name aws:domainJoin is known but not implemented in ssmd %s. Step "
                   "name: s",
                   ssmd_version);
    ck_assert_int_eq(d->plugins[0].disposition, DOCUMENT_FAIL);
    ck_assert_str_eq(d->plugins[0].note, note);
    document_free(d);
}
END_TEST

static const struct {
    const char *inputs; /* of the only, hence last, step */
    bool exits_on_failure, succeeds_on_failure, exits_on_success, is_finally;
} flows[] = {
    {"{}", false, false, false, false},
    {"{\"onFailure\":\"exit\"}", true, false, false, false},
    {"{\"onFailure\":\"successAndExit\"}", false, true, false, false},
    {"{\"onFailure\":\"Exit\"}", false, false, false, false},
    {"{\"OnFailure\":\"exit\"}", false, false, false, false},
    {"{\"onFailure\":true}", false, false, false, false},
    {"{\"onSuccess\":\"exit\"}", false, false, true, false},
    {"{\"finallyStep\":true}", false, false, false, true},
    {"{\"finallyStep\":\"true\"}", false, false, false, true},
    {"{\"finallyStep\":false}", false, false, false, false},
    {"{\"finallyStep\":\"yes\"}", false, false, false, false},
    {"[{\"onFailure\":\"exit\"}]", false, false, false, false},
    {"\"exit\"", false, false, false, false},
};

START_TEST(control_flow_is_read_from_the_inputs)
{
    struct document *d;
    char content[200];

    (void)snprintf(content, sizeof(content), DOC22("{" SH ",\"name\":\"s\",\"inputs\":%s}"),
                   flows[_i].inputs);
    d = document_of(content);
    ck_assert_int_eq(d->plugins[0].exits_on_failure, flows[_i].exits_on_failure);
    ck_assert_int_eq(d->plugins[0].succeeds_on_failure, flows[_i].succeeds_on_failure);
    ck_assert_int_eq(d->plugins[0].exits_on_success, flows[_i].exits_on_success);
    ck_assert_int_eq(d->plugins[0].is_finally, flows[_i].is_finally);
    document_free(d);
}
END_TEST

START_TEST(only_the_last_step_can_be_the_finally_step)
{
    struct document *d =
        document_of(DOC22("{" SH ",\"name\":\"a\",\"inputs\":{\"finallyStep\":true}},"
                          "{" SH ",\"name\":\"b\",\"inputs\":{\"finallyStep\":true}}"));

    ck_assert(!d->plugins[0].is_finally);
    ck_assert(d->plugins[1].is_finally);
    document_free(d);
}
END_TEST

/* n times `item`, separated by commas, between `begin` and `end`. */
static int parse_many(const char *begin, const char *item, size_t n, const char *end,
                      struct err *err)
{
    struct document *d = NULL;
    struct buf b;
    size_t i;
    int r;

    buf_init(&b, TEST_JSON_BYTES);
    (void)buf_add_str(&b, begin);
    for (i = 0; i < n; i++)
        (void)buf_printf(&b, "%s%s", i > 0 ? "," : "", item);
    (void)buf_add_str(&b, end);
    r = parse(buf_str(&b), &d, err);
    document_free(d);
    buf_done(&b);
    return r;
}

START_TEST(numbers_of_steps_and_executions_are_bounded)
{
    static const char list[] =
        "{\"schemaVersion\":\"2.2\",\"mainSteps\":[{" SH ",\"name\":\"s\",\"inputs\":[";
    struct err err;

    ck_assert_int_eq(
        parse_many("{\"schemaVersion\":\"2.2\",\"mainSteps\":[", "{" SH "}", 1000, "]}", &err), 0);
    ck_assert_int_eq(
        parse_many("{\"schemaVersion\":\"2.2\",\"mainSteps\":[", "{" SH "}", 1001, "]}", &err),
        ERR_LIMIT);
    ck_assert_str_eq(err.text,
                     "DocumentContent.mainSteps has 1001 steps; at most 1000 are accepted");
    ck_assert_int_eq(parse_many(list, "{}", 1000, "]}]}", &err), 0);
    ck_assert_int_eq(parse_many(list, "{}", 1001, "]}]}", &err), ERR_LIMIT);
    ck_assert_str_eq(err.text, "the document has more than 1000 executions");
}
END_TEST

START_TEST(names_and_the_whole_document_are_bounded)
{
    struct document *d;
    struct err err;
    struct buf b;
    char *name;

    name = malloc(DOCUMENT_MAX_BYTES + 1);
    ck_assert_ptr_nonnull(name);
    memset(name, 'n', DOCUMENT_MAX_BYTES);
    name[DOCUMENT_MAX_BYTES] = '\0';
    buf_init(&b, TEST_JSON_BYTES);
    (void)buf_printf(&b, DOC22("{" SH ",\"name\":\"%.1025s\"}"), name);
    ck_assert_int_eq(parse(buf_str(&b), &d, &err), ERR_LIMIT);
    ck_assert_str_eq(err.text,
                     "DocumentContent.mainSteps[0].name has 1025 bytes; at most 1024 are accepted");
    buf_clear(&b);
    (void)buf_printf(&b, DOC22("{\"action\":\"%.1025s\"}"), name);
    ck_assert_int_eq(parse(buf_str(&b), &d, &err), ERR_LIMIT);
    ck_assert_str_eq(
        err.text, "DocumentContent.mainSteps[0].action has 1025 bytes; at most 1024 are accepted");
    buf_clear(&b);
    (void)buf_printf(&b, "{\"schemaVersion\":\"1.2\",\"runtimeConfig\":{\"%.1025s\":{}}}", name);
    ck_assert_int_eq(parse(buf_str(&b), &d, &err), ERR_LIMIT);
    buf_clear(&b);
    (void)buf_printf(&b, DOC22("{" SH ",\"inputs\":{\"x\":\"%s\"}}"), name);
    ck_assert_int_eq(parse(buf_str(&b), &d, &err), ERR_LIMIT);
    ck_assert_str_eq(err.text, "DocumentContent is larger than 1048576 bytes");
    buf_done(&b);
    free(name);
}
END_TEST

START_TEST(without_content_there_is_an_error)
{
    struct document_input in = {.content = NULL};
    struct document *d = NULL;
    struct err err;

    ck_assert_int_eq(document_parse(&in, &d, &err), ERR_INVALID);
    ck_assert_str_eq(err.text, "DocumentContent must be an object, not nothing");
    ck_assert_int_eq(document_parse(&in, &d, NULL), ERR_INVALID);
}
END_TEST

START_TEST(the_table_of_plugins_knows_names_exactly)
{
    ck_assert(plugin_find("aws:runShellScript")->is_implemented);
    ck_assert(plugin_find("aws:runDocument")->is_registered);
    ck_assert(!plugin_find("aws:configureDaemon")->is_registered);
    ck_assert_ptr_null(plugin_find("aws:RunShellScript"));
    ck_assert_ptr_null(plugin_find(""));
}
END_TEST

static Suite *document_suite(void)
{
    Suite *s = suite_create("document");
    TCase *structure = tcase_create("structure"), *fate = tcase_create("fate"),
          *bounds = tcase_create("bounds");

    tcase_add_loop_test(structure, every_supported_version_runs_its_steps_in_order, 0,
                        (int)ARRAY_LEN(versions));
    tcase_add_test(structure,
                   old_versions_take_plugins_in_document_order_and_run_lists_element_by_element);
    tcase_add_test(structure, list_inputs_of_a_step_are_its_executions);
    tcase_add_test(structure, steps_of_one_name_know_of_each_other);
    tcase_add_loop_test(structure, each_wrong_field_fails_the_document_and_is_named, 0,
                        (int)ARRAY_LEN(bad));
    tcase_add_test(structure, without_content_there_is_an_error);
    tcase_add_loop_test(fate, a_steps_fate_is_decided_as_the_tables_say, 0, (int)ARRAY_LEN(fates));
    tcase_add_test(fate, a_plugin_that_is_not_here_is_told_with_this_version);
    tcase_add_loop_test(fate, control_flow_is_read_from_the_inputs, 0, (int)ARRAY_LEN(flows));
    tcase_add_test(fate, only_the_last_step_can_be_the_finally_step);
    tcase_add_test(fate, the_table_of_plugins_knows_names_exactly);
    tcase_add_test(bounds, numbers_of_steps_and_executions_are_bounded);
    tcase_add_test(bounds, names_and_the_whole_document_are_bounded);
    suite_add_tcase(s, structure);
    suite_add_tcase(s, fate);
    suite_add_tcase(s, bounds);
    return s;
}

SUITE_MAIN(document_suite)
