/* Inputs of aws:downloadContent and aws:runDocument, and GitHub's answers. */
#include "schema_lib.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "schema/download.h"
#include "schema/github.h"
#include "schema/rundocument.h"

static cJSON *tree; /* outlives what is parsed from it, until the next parse */

static int parse(const char *inputs, struct download_inputs *ret, struct err *err)
{
    cJSON_Delete(tree);
    tree = tree_of(inputs);
    return download_inputs_parse(tree, ret, err);
}

START_TEST(fields_are_trimmed_and_escapes_undone)
{
    AUTO(download_inputs_done) struct download_inputs in = {.root = NULL};
    struct err err = {0};
    int r = parse(
        "{\"sourceType\": \"HTTP\", \"destinationPath\": \" keep \", \"sourceInfo\": "
        "\"{\\\"url\\\": \\\" https://h/ \\\", \\\"password\\\": \\\" a\\\\\\\"b\\\\\\\\ \\\"}\"}",
        &in, &err);

    ck_assert_msg(r == 0, "%s", err.text);
    ck_assert_str_eq(in.location, "https://h/");
    ck_assert_str_eq(in.password, "a\"b\\");
    ck_assert_str_eq(in.destination, " keep ");
    ck_assert_str_eq(in.username, "");
}
END_TEST

static const struct {
    const char *inputs;
    const char *word; /* in the reason; NULL: accepted */
} inputs[] = {
    {"{\"sourceType\": \"S3\", \"sourceInfo\": {\"path\": \"x\"}}", NULL},
    {"{\"sourceType\": \"s3\", \"sourceInfo\": {\"path\": \"x\"}}", "sourceType"},
    {"{\"sourceType\": \"S3\", \"sourceInfo\": {\"path\": \" \"}}", "path"},
    {"{\"sourceType\": \"S3\", \"sourceInfo\": {}}", "empty"},
    {"{\"sourceType\": \"S3\", \"sourceInfo\": \"\"}", "sourceInfo"},
    {"{\"sourceType\": \"S3\", \"sourceInfo\": 5}", "object"},
    {"{\"sourceType\": \"S3\"}", "sourceInfo"},
    {"[]", "object"},
    {"{\"sourceType\": \"HTTP\", \"sourceInfo\": {\"url\": \"HTTPS://h\"}}", NULL},
    {"{\"sourceType\": \"HTTP\", \"sourceInfo\": {\"url\": \"http://h\"}}",
     "allowInsecureDownload"},
    {"{\"sourceType\": \"HTTP\", \"sourceInfo\": {\"url\": \"http://h\", "
     "\"allowInsecureDownload\": "
     "\"true\"}}",
     NULL},
    {"{\"sourceType\": \"HTTP\", \"sourceInfo\": {\"url\": \"http://h\", "
     "\"allowInsecureDownload\": "
     "\"yes\"}}",
     "true or false"},
    {"{\"sourceType\": \"HTTP\", \"sourceInfo\": {\"url\": \"https://h\", \"authMethod\": "
     "\"basic\"}}",
     "Basic"},
    {"{\"sourceType\": \"Git\", \"sourceInfo\": {\"repository\": \"https://h/r\", \"username\": "
     "\"u\"}}",
     "together"},
    {"{\"sourceType\": \"Git\", \"sourceInfo\": {\"repository\": \"--upload-pack=x\"}}", "URL"},
    {"{\"sourceType\": \"Git\", \"sourceInfo\": {\"repository\": \"git@h:r\", \"getOptions\": "
     "\"branch:refs/heads/x\"}}",
     NULL},
    {"{\"sourceType\": \"Git\", \"sourceInfo\": {\"repository\": \"git@h:r\", \"getOptions\": "
     "\"branch:-x\"}}",
     "hyphen"},
    {"{\"sourceType\": \"Git\", \"sourceInfo\": {\"repository\": \"git@h:r\", \"getOptions\": "
     "\"branch:\"}}",
     "getOptions"},
    {"{\"sourceType\": \"Git\", \"sourceInfo\": {\"repository\": \"git@h:r\", \"getOptions\": "
     "\"tag:x\"}}",
     "commitID"},
    {"{\"sourceType\": \"GitHub\", \"sourceInfo\": {\"owner\": \"o\", \"repository\": \"r\", "
     "\"path\": \"a/../b\"}}",
     ".."},
    {"{\"sourceType\": \"GitHub\", \"sourceInfo\": {\"owner\": \"o\", \"repository\": \"r\", "
     "\"tokenInfo\": \"{{ ssm:plain }}\"}}",
     "ssm-secure"},
};

START_TEST(inputs_are_checked_before_anything_starts)
{
    AUTO(download_inputs_done) struct download_inputs in = {.root = NULL};
    struct err err = {0};
    int r = parse(inputs[_i].inputs, &in, &err);

    if (inputs[_i].word == NULL) {
        ck_assert_msg(r == 0, "%s: %s", inputs[_i].inputs, err.text);
        return;
    }
    ck_assert_int_eq(r, ERR_INVALID);
    ck_assert_msg(strstr(err.text, inputs[_i].word) != NULL, "%s not in: %s", inputs[_i].word,
                  err.text);
}
END_TEST

START_TEST(a_slash_at_a_paths_end_is_dropped)
{
    AUTO(download_inputs_done) struct download_inputs in = {.root = NULL};

    ck_assert_int_eq(parse("{\"sourceType\": \"GitHub\", \"sourceInfo\": {\"owner\": \"o\", "
                           "\"repository\": \"r\", \"path\": \" dir/sub/ \"}}",
                           &in, NULL),
                     0);
    ck_assert_str_eq(in.path, "dir/sub");
}
END_TEST

static const struct {
    const char *field, *name; /* name NULL: none */
    bool is_secure;
} references[] = {
    {"{{ssm:a}}", "a", false},
    {"{{ ssm-secure:/a/b.c_d-e }}", "/a/b.c_d-e", true},
    {"before {{\tssm-secure: x\n}} after", "x", true},
    {"{{ other:x }} {{ ssm:y }}", "y", false},
    {"{{ ssm: }}", NULL, false},
    {"{{ ssm:a b }}", NULL, false},
    {"{{ ssm:a }", NULL, false},
    {"ssm:a", NULL, false},
    {"", NULL, false},
};

START_TEST(references_are_found_anywhere_in_a_field)
{
    char name[64];
    bool is_secure = false;

    ck_assert_int_eq(download_reference(references[_i].field, name, sizeof(name), &is_secure),
                     references[_i].name != NULL);
    if (references[_i].name == NULL)
        return;
    ck_assert_str_eq(name, references[_i].name);
    ck_assert_int_eq(is_secure, references[_i].is_secure);
}
END_TEST

START_TEST(a_request_is_read_as_it_was_written)
{
    AUTO(cJSON_Delete)
    cJSON *given = tree_of("{\"sourceType\":\"S3\",\"sourceInfo\":{\"path\":\"<\\\"&\"}}");
    const struct download_request q = {
        .inputs = given, .downloads = "/d", .socket = "/s", .region = "r", .ca_file = NULL};
    AUTO(download_request_done) struct download_request read = {.root = NULL};
    AUTO(buf_done) struct buf text = {0};
    AUTO(free) char *inputs_text = NULL;
    struct err err = {0};

    buf_init(&text, DOWNLOAD_MAX_REQUEST_BYTES);
    download_request_write(&q, &text);
    ck_assert_msg(download_request_parse(buf_str(&text), text.len, &read, &err) == 0, "%s",
                  err.text);
    ck_assert_str_eq(read.downloads, "/d");
    ck_assert_str_eq(read.socket, "/s");
    ck_assert_str_eq(read.ca_file, "");
    inputs_text = text_of(read.inputs);
    ck_assert_ptr_nonnull(strstr(inputs_text, "u003c"));
    ck_assert_int_eq(download_request_parse("{}", 2, &read, &err), ERR_INVALID);
}
END_TEST

/* ---- documents ---- */

static const struct {
    const char *text, *name, *version, *file; /* name NULL: refused */
} names[] = {
    {"AWS-RunShellScript", "AWS-RunShellScript", "", "AWS-RunShellScript.json"},
    {"Mine:3", "Mine", "3", "Mine.json"},
    {"Mine:$LATEST", "Mine", "$LATEST", "Mine.json"},
    {"arn:aws:ssm:us-east-1:123456789012:document/Shared-Setup:3",
     "arn:aws:ssm:us-east-1:123456789012:document/Shared-Setup", "3", "Shared-Setup.json"},
    {"arn:aws:ssm:us-east-1:123456789012:document/A/B",
     "arn:aws:ssm:us-east-1:123456789012:document/A/B", "", "B.json"},
    {"arn:aws:s3:::bucket", NULL, NULL, NULL},
    {"../evil", "../evil", "", "evil.json"},
    {"a/..", NULL, NULL, NULL},
    {"a/", NULL, NULL, NULL},
    {"", NULL, NULL, NULL},
};

START_TEST(names_of_documents_are_split)
{
    struct document_name d;
    int r = document_name_parse(names[_i].text, &d, NULL);

    if (names[_i].name == NULL) {
        ck_assert_int_eq(r, ERR_INVALID);
        return;
    }
    ck_assert_int_eq(r, 0);
    ck_assert_str_eq(d.name, names[_i].name);
    ck_assert_str_eq(d.version, names[_i].version);
    ck_assert_str_eq(d.file, names[_i].file);
}
END_TEST

static const struct {
    const char *inputs;
    const char *parameters; /* as JSON; NULL: refused; "": none */
} documents[] = {
    {"{\"documentType\":\"SSMDocument\",\"documentPath\":\"x\"}", ""},
    {"{\"documentType\":\"LocalPath\",\"documentPath\":\"x\",\"documentParameters\":"
     "{\"a\":1,\"b\":null}}",
     "{\"a\":1}"},
    {"{\"documentType\":\"LocalPath\",\"documentPath\":\"x\",\"documentParameters\":"
     "\"{\\\"a\\\":[1]}\"}",
     "{\"a\":[1]}"},
    {"{\"documentType\":\"LocalPath\",\"documentPath\":\"x\",\"documentParameters\":"
     "\"a: b\\nc: ~\"}",
     "{\"a\":\"b\"}"},
    {"{\"documentType\":\"LocalPath\",\"documentPath\":\"x\",\"documentParameters\":null}", ""},
    {"{\"documentType\":\"LocalPath\",\"documentPath\":\"x\",\"documentParameters\":[]}", NULL},
    {"{\"documentType\":\"LocalPath\",\"documentPath\":\"x\",\"documentParameters\":\"5\"}", NULL},
    {"{\"documentType\":\"localPath\",\"documentPath\":\"x\"}", NULL},
    {"{\"documentType\":\"LocalPath\",\"documentPath\":\"\"}", NULL},
    {"{\"documentPath\":\"x\"}", NULL},
    {"[]", NULL},
};

START_TEST(inputs_of_nested_documents_are_checked)
{
    AUTO(cJSON_Delete) cJSON *given = tree_of(documents[_i].inputs);
    AUTO(rundocument_inputs_done) struct rundocument_inputs in = {.path = NULL};
    AUTO(free) char *text = NULL;
    struct err err = {0};
    int r = rundocument_inputs_parse(given, &in, &err);

    if (documents[_i].parameters == NULL) {
        ck_assert_int_eq(r, ERR_INVALID);
        ck_assert_str_ne(err.text, "");
        return;
    }
    ck_assert_msg(r == 0, "%s", err.text);
    text = in.parameters != NULL ? text_of(in.parameters) : strdup("");
    ck_assert_str_eq(text, documents[_i].parameters);
}
END_TEST

/* ---- GitHub ---- */

START_TEST(github_files_are_decoded)
{
    static const char body[] = "{\"type\":\"file\",\"name\":\"n\",\"path\":\"d/n\",\"encoding\":"
                               "\"base64\",\"content\":\"AGhl\\nbGxv\\n\"}";
    AUTO(github_answer_done) struct github_answer a = {.root = NULL};

    ck_assert_int_eq(github_answer_parse(body, strlen(body), &a, NULL), 0);
    ck_assert(!a.is_directory);
    ck_assert_uint_eq(a.content.len, 6);
    ck_assert_mem_eq(a.content.data, "\0hello", 6);
    ck_assert_str_eq(a.file.path, "d/n");
}
END_TEST

static const struct {
    const char *body;
    int code;
} answers[] = {
    {"[{\"type\":\"dir\",\"name\":\"a\",\"path\":\"a\"},{\"type\":\"symlink\",\"name\":\"b\","
     "\"path\":"
     "\"b\"}]",
     0},
    {"[]", 0},
    {"{\"type\":\"submodule\",\"name\":\"n\",\"path\":\"n\"}", 0},
    {"{\"type\":\"file\",\"name\":\"n\",\"path\":\"n\",\"content\":\"plain\"}", 0},
    {"{\"type\":\"file\",\"name\":\"n\",\"path\":\"n\",\"encoding\":\"none\"}", ERR_UNSUPPORTED},
    {"{\"type\":\"file\",\"name\":\"n\",\"path\":\"n\",\"encoding\":\"base64\",\"content\":\"@\"}",
     ERR_PROTOCOL},
    {"{\"type\":\"file\",\"name\":\"..\",\"path\":\"n\"}", ERR_PROTOCOL},
    {"[{\"type\":\"file\",\"name\":\"a/b\",\"path\":\"n\"}]", ERR_PROTOCOL},
    {"[{\"type\":\"file\",\"name\":\"\",\"path\":\"n\"}]", ERR_PROTOCOL},
    {"[5]", ERR_PROTOCOL},
    {"<html>", ERR_PROTOCOL},
};

START_TEST(github_answers_are_checked)
{
    AUTO(github_answer_done) struct github_answer a = {.root = NULL};
    struct err err = {0};

    ck_assert_int_eq(github_answer_parse(answers[_i].body, strlen(answers[_i].body), &a, &err),
                     answers[_i].code);
    if (_i == 0) {
        ck_assert_uint_eq(a.n_entries, 2);
        ck_assert_int_eq(a.entries[0].kind, GITHUB_DIRECTORY);
        ck_assert_int_eq(a.entries[1].kind, GITHUB_OTHER);
    }
}
END_TEST

static void free_tree(void)
{
    cJSON_Delete(tree);
    tree = NULL;
}

static Suite *make_suite(void)
{
    Suite *suite = suite_create("downloads");
    TCase *t = tcase_create("inputs"), *documents_case = tcase_create("documents"),
          *github = tcase_create("github");

    tcase_add_checked_fixture(t, NULL, free_tree);
    tcase_add_test(t, fields_are_trimmed_and_escapes_undone);
    tcase_add_loop_test(t, inputs_are_checked_before_anything_starts, 0, (int)ARRAY_LEN(inputs));
    tcase_add_test(t, a_slash_at_a_paths_end_is_dropped);
    tcase_add_loop_test(t, references_are_found_anywhere_in_a_field, 0, (int)ARRAY_LEN(references));
    tcase_add_test(t, a_request_is_read_as_it_was_written);
    tcase_add_loop_test(documents_case, names_of_documents_are_split, 0, (int)ARRAY_LEN(names));
    tcase_add_loop_test(documents_case, inputs_of_nested_documents_are_checked, 0,
                        (int)ARRAY_LEN(documents));
    tcase_add_test(github, github_files_are_decoded);
    tcase_add_loop_test(github, github_answers_are_checked, 0, (int)ARRAY_LEN(answers));
    suite_add_tcase(suite, t);
    suite_add_tcase(suite, documents_case);
    suite_add_tcase(suite, github);
    return suite;
}

SUITE_MAIN(make_suite)
