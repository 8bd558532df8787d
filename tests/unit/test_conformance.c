/* The cases recorded from the reference agent, as far as they concern data: which documents are
 * accepted, what becomes of each step before it starts, the words of failures, limits and statuses.
 */
#include "schema_lib.h"

#include <dirent.h>
#include <fcntl.h>

#include "base/fs.h"
#include "base/sha256.h"
#include "base/str.h"
#include "schema/document.h"
#include "schema/message.h"
#include "schema/plugin.h"
#include "schema/reply.h"
#include "schema/script.h"
#include "schema/texts.h"

#define CASES TEST_SOURCE_DIR "/fixtures/conformance"

static char *names[200];
static int n_names;

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_cases(void)
{
    DIR *dir = opendir(CASES);
    struct dirent *entry;

    if (dir == NULL)
        return;
    while ((entry = readdir(dir)) != NULL && n_names < (int)ARRAY_LEN(names))
        if (str_has_suffix(entry->d_name, ".json"))
            names[n_names++] = strdup(entry->d_name);
    (void)closedir(dir); /* it was only read */
    qsort(names, (size_t)n_names, sizeof(names[0]), compare);
}

static cJSON *load(const char *name)
{
    cJSON *root = NULL;
    struct err err;
    struct buf b;
    int fd;

    buf_init(&b, 1u << 20);
    fd = open(CASES, O_RDONLY | O_DIRECTORY);
    ck_assert_int_ge(fd, 0);
    ck_assert_msg(fs_read_file(fd, name, &b, &err) == 0, "%s", err.text);
    ck_assert_msg(json_parse(b.data, b.len, 1u << 20, JSON_MEND, name, &root, &err) == 0, "%s",
                  err.text);
    (void)close(fd); /* it was only read */
    buf_done(&b);
    return root;
}

static int resolve(void *ctx, const char *reference, const char **ret_type, const char **ret_value,
                   struct err *err)
{
    const cJSON *value = json_get_exact(ctx, reference);

    if (value == NULL)
        return err_set(err, ERR_NOT_FOUND, "not in the case");
    *ret_type = "String";
    *ret_value = value->valuestring;
    return 0;
}

static const char *text(const cJSON *object, const char *name)
{
    const cJSON *item = json_get_exact(object, name);

    ck_assert_msg(cJSON_IsString(item), "%s is missing", name);
    return item->valuestring;
}

/* The text without a sentence that the flow of control added to it. */
static size_t length_without_flow(const char *s)
{
    size_t n = strlen(s);

    return str_has_suffix(s, TEXT_ON_FAILURE) ? n - strlen(TEXT_ON_FAILURE) : n;
}

/* A script whose inputs do not fit: the failure text is what the reference said. */
static void check_script(const struct document_unit *unit, const cJSON *result)
{
    struct script_inputs inputs;
    struct buf failure, output;
    struct err err;

    buf_init(&failure, 32768);
    if (script_inputs_parse(unit->inputs, &inputs, &failure, &err) == 0) {
        ck_assert(!str_has_prefix(text(result, "output"), "\n----------ERROR-------\nInvalid"));
        script_inputs_done(&inputs);
    } else {
        buf_init(&output, 10000);
        reply_combine_output("", 0, failure.data, failure.len, &output);
        ck_assert_str_eq(buf_str(&failure), text(result, "standardError"));
        ck_assert_str_eq(buf_str(&output), text(result, "output"));
        ck_assert_str_eq(text(result, "status"), "Failed");
        buf_done(&output);
    }
    buf_done(&failure);
}

static void check_run(const struct document *d, const struct document_plugin *plugin,
                      const cJSON *result)
{
    const char *status = text(result, "status");
    int64_t code = 0;
    struct buf b;

    ck_assert_int_eq(json_get_i64(result, "", "code", &code, NULL), 0);
    buf_init(&b, 100000);
    if (str_eq(status, "Skipped")) {
        text_skipped_by_flow(&b, plugin->name, plugin->id);
        ck_assert_str_eq(text(result, "output"), buf_str(&b));
        buf_done(&b);
        return;
    }
    if (cJSON_IsString(json_get_exact(result, "standardOutput")) &&
        cJSON_IsString(json_get_exact(result, "standardError"))) {
        const char *out = text(result, "standardOutput"), *error = text(result, "standardError");

        reply_combine_output(out, length_without_flow(out), error, length_without_flow(error), &b);
        ck_assert_str_eq(buf_str(&b), text(result, "output"));
        check_script(&d->units[plugin->first_unit], result);
    }
    buf_done(&b);
}

static void check_plugin(const struct document *d, const struct document_plugin *plugin,
                         const cJSON *result)
{
    const struct plugin_info *info = plugin_find(plugin->name);

    ck_assert_str_eq(plugin->name, text(result, "name"));
    if (info != NULL && info->is_registered && !info->is_implemented) {
        ck_assert_int_eq(plugin->disposition, DOCUMENT_FAIL);
        ck_assert_ptr_nonnull(strstr(plugin->note, "known but not implemented"));
        return;
    }
    if (plugin->disposition == DOCUMENT_RUN) {
        check_run(d, plugin, result);
        return;
    }
    ck_assert_str_eq(plugin->note, text(result, "output"));
    ck_assert_str_eq(text(result, "status"),
                     plugin->disposition == DOCUMENT_FAIL ? "Failed" : "Skipped");
}

/* The counts and the status of the final reply follow from the steps' results. */
static void check_final(const cJSON *expected)
{
    static const struct reply_header header = {.mgs = REPLY_MGS_ABSENT};
    const cJSON *results = json_get_exact(expected, "runtimeStatus"), *item;
    struct reply_plugin finished[20] = {{.id = NULL}};
    struct reply reply;
    struct err err;
    struct buf b;
    size_t n = 0;

    cJSON_ArrayForEach(item, results)
    {
        ck_assert_uint_lt(n, ARRAY_LEN(finished));
        finished[n++] = (struct reply_plugin){
            .id = item->string, .name = text(item, "name"), .status = text(item, "status")};
    }
    buf_init(&b, 100000);
    ck_assert_int_eq(reply_final(&header, finished, n, NULL, &b, &err), 0);
    ck_assert_int_eq(reply_parse(b.data, b.len, &reply, &err), 0);
    ck_assert_str_eq(reply.document_status, text(expected, "documentStatus"));
    ck_assert(
        cJSON_Compare(reply.status_counts, json_get_exact(expected, "runtimeStatusCounts"), true));
    reply_done(&reply);
    buf_done(&b);
}

static void check_document(const cJSON *test, const cJSON *expected)
{
    cJSON *store = cJSON_GetObjectItemCaseSensitive(test, "ssm_parameters");
    const struct document_resolver resolver = {.resolve = resolve, .ctx = store};
    const struct document_input in = {.content = json_get_exact(test, "document"),
                                      .parameters = json_get_exact(test, "parameters"),
                                      .resolver = &resolver};
    const cJSON *results = json_get_exact(expected, "runtimeStatus");
    struct document *d = NULL;
    struct err err = {.code = 0};
    int r = document_parse(&in, &d, &err);
    size_t i, n_ids = 0;

    if (json_get_exact(expected, "runtimeStatusCounts") == NULL &&
        str_eq(text(expected, "documentStatus"), "Failed")) {
        ck_assert_int_lt(r, 0);
        return;
    }
    ck_assert_msg(r == 0, "%s", err.text);
    if (results != NULL && results->child != NULL) {
        for (i = 0; i < d->n_plugins; i++) {
            const cJSON *result = json_get_exact(results, d->plugins[i].id);

            ck_assert_msg(result != NULL, "no result for %s", d->plugins[i].id);
            check_plugin(d, &d->plugins[i], result);
            n_ids += d->plugins[i].same_as == i;
        }
        ck_assert_int_eq((int)n_ids, cJSON_GetArraySize(results));
        check_final(expected);
    }
    document_free(d);
}

START_TEST(a_recorded_case_is_read_and_told_as_the_reference_did)
{
    cJSON *test = load(names[_i]);
    const cJSON *raw = json_get_exact(test, "raw_payload"), *expected;
    struct send_payload payload;

    cJSON_ArrayForEach(expected, json_get_exact(test, "expect"))
    {
        if (raw != NULL)
            ck_assert_int_lt(
                send_payload_parse(raw->valuestring, strlen(raw->valuestring), &payload, NULL), 0);
        else
            check_document(test, expected);
    }
    cJSON_Delete(test);
}
END_TEST

START_TEST(the_cases_are_there)
{
    ck_assert_int_ge(n_names, 52);
}
END_TEST

static void check_digest(const cJSON *result, const char *name, const struct buf *b)
{
    const cJSON *expected = json_get_exact(result, name);
    char hex[SHA256_HEX_SIZE];

    ck_assert(cJSON_IsObject(expected));
    sha256_hex_of(b->data, b->len, hex);
    ck_assert_str_eq(hex, text(expected, "sha256"));
}

/* The recorded digests of long outputs: the cuts fall on the same byte. */
static void check_long(const char *name, const struct buf *stream)
{
    cJSON *test = load(name);
    const cJSON *result = json_get_exact(
        json_get_exact(json_get_exact(json_get_exact(test, "expect"), "mgs"), "runtimeStatus"),
        "step1");
    struct buf b;

    buf_init(&b, 100000);
    reply_truncate_stream(stream->data, stream->len, &b);
    check_digest(result, "standardOutput", &b);
    buf_clear(&b);
    reply_combine_output(stream->data, stream->len, NULL, 0, &b);
    check_digest(result, "output", &b);
    buf_done(&b);
    cJSON_Delete(test);
}

START_TEST(long_outputs_are_cut_where_the_reference_cuts)
{
    struct buf stream;
    int i;

    buf_init(&stream, 1000000);
    for (i = 0; i < 24001; i++)
        (void)buf_add_char(&stream, 'a');
    check_long("sh-stdout-24001.json", &stream);
    buf_clear(&stream);
    for (i = 0; i < 2000; i++)
        (void)buf_printf(&stream, "line %06d aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", i);
    check_long("sh-stdout-100k.json", &stream);
    buf_done(&stream);
}
END_TEST

static Suite *conformance_suite(void)
{
    Suite *s = suite_create("conformance");
    TCase *t = tcase_create("recorded cases");

    list_cases();
    tcase_add_test(t, the_cases_are_there);
    tcase_add_loop_test(t, a_recorded_case_is_read_and_told_as_the_reference_did, 0, n_names);
    tcase_add_test(t, long_outputs_are_cut_where_the_reference_cuts);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    SRunner *runner = srunner_create(conformance_suite());
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    while (n_names > 0)
        free(names[--n_names]);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
