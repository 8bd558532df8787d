/* Each allocation of the readers and writers fails once, counted one by one, until a run passes
 * untouched: always a correct error, never a crash, a leak (under ASan) or a wrong answer. */
#include "schema_lib.h"

#include "schema/document.h"
#include "schema/message.h"
#include "schema/parameter_store.h"
#include "schema/release.h"
#include "schema/reply.h"
#include "schema/script.h"
#include "schema/yaml.h"
#include "tests/lib/failing_malloc.h"

/* What a body returns instead of asserting: libcheck allocates too. */
#define WRONG_ANSWER 1

static int read_messages(struct err *err)
{
    static const char body[] =
        "{\"Messages\":[{\"MessageId\":\"aws.ssm.c.i-1\",\"Topic\":\"aws.ssm.sendCommand\","
        "\"Destination\":\"i-1\",\"CreatedDate\":\"2024\",\"Payload\":\"{}\",\"a\":1,\"b\":1,"
        "\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1,\"k\":1,\"l\":1}]}";
    AUTO(mds_messages_done) struct mds_messages m = {.n = 0};

    return mds_messages_parse(body, sizeof(body) - 1, &m, err);
}

static int resolve(void *ctx, const char *reference, const char **ret_type, const char **ret_value,
                   struct err *err)
{
    (void)ctx;
    (void)reference;
    (void)err;
    *ret_type = "StringList";
    *ret_value = "one,two";
    return 0;
}

static int read_payload_and_document(struct err *err)
{
    static const char text[] =
        "{\"Parameters\":{\"c\":[\"a\",\"b\"],\"e\":\"prod\",\"l\":[\"{{ssm:list}}\"]},"
        "\"DocumentContent\":{\"schemaVersion\":\"2.2\",\"parameters\":{\"c\":{\"allowedPattern\":"
        "\"^[a-z]\",\"maxChars\":5},\"l\":{\"default\":[]}},\"mainSteps\":[{\"action\":"
        "\"aws:runShellScript\",\"name\":\"one\",\"precondition\":{\"StringEquals\":[\"{{e}}\","
        "\"prod\"]},\"inputs\":{\"runCommand\":\"{{c}}\",\"x\":\"a{{c}}b\",\"y\":[\"{{ssm:l}}\"],"
        "\"environment\":{\"A\":\"1\"}}},{\"action\":\"aws:runShellScript\",\"name\":\"two\","
        "\"precondition\":{\"StringEquals\":[\"platformType\",\"Windows\"]},\"inputs\":\"{{l}}\"}"
        "]}}";
    static const struct document_resolver resolver = {.resolve = resolve};
    AUTO(send_payload_done) struct send_payload p = {.root = NULL};
    AUTO(document_references_done) struct document_references references = {.n = 0};
    AUTO(document_free) struct document *d = NULL;
    AUTO(script_inputs_done) struct script_inputs inputs = {.script = NULL};
    AUTO(buf_done) struct buf failure;
    int r = send_payload_parse(text, sizeof(text) - 1, &p, err);

    buf_init(&failure, 32768);
    if (r == 0) {
        const struct document_input in = {.content = p.document,
                                          .parameters = p.parameters,
                                          .is_nested = true,
                                          .resolver = &resolver};

        r = document_find_ssm_references(&in, &references, err);
        if (r == 0)
            r = document_parse(&in, &d, err);
    }
    if (r == 0)
        r = script_inputs_parse(d->units[0].inputs, &inputs, &failure, err);
    if (r == 0 && (references.n != 2 || strcmp(inputs.script, "a\nb\n") != 0 ||
                   d->plugins[1].disposition != DOCUMENT_SKIP))
        return WRONG_ANSWER;
    return r;
}

static int write_and_read_a_reply(struct err *err)
{
    static const struct reply_header header = {.agent = {.name = "x"}, .max_bytes = 900};
    static const char output[] = "some output of a step, longer than what is left of the payload "
                                 "after everything else in it, so that it is shortened once";
    const struct reply_plugin plugin = {.id = "s",
                                        .name = "aws:runShellScript",
                                        .status = "Success",
                                        .output = {.s = output, .len = sizeof(output) - 1},
                                        .standard_output = {.s = output, .len = sizeof(output) - 1},
                                        .s3_bucket = "b",
                                        .s3_prefix = "p",
                                        .step_name = "s"};
    AUTO(reply_done) struct reply reply = {.root = NULL};
    AUTO(buf_done) struct buf b;
    int r;

    buf_init(&b, 100000);
    r = reply_final(&header, &plugin, 1, NULL, &b, err);
    if (r == 0)
        r = reply_parse(b.data, b.len, &reply, err);
    if (r == 0 && strcmp(reply.document_status, "Success") != 0)
        return WRONG_ANSWER;
    return r;
}

/* Memory that is short must not let a bad value pass. */
static int refuse_a_value(struct err *err)
{
    static const char text[] =
        "{\"DocumentContent\":{\"schemaVersion\":\"2.2\",\"parameters\":{\"p\":{\"default\":[\"b\"]"
        ","
        "\"allowedPattern\":\"^a$\"}},\"mainSteps\":[{\"action\":\"aws:runShellScript\"}]}}";
    AUTO(send_payload_done) struct send_payload p = {.root = NULL};
    AUTO(document_free) struct document *d = NULL;
    int r = send_payload_parse(text, sizeof(text) - 1, &p, err);

    if (r == 0) {
        const struct document_input in = {.content = p.document};

        r = document_parse(&in, &d, err);
        if (r == 0)
            return WRONG_ANSWER;
    }
    return r == ERR_INVALID ? 0 : r;
}

static int read_yaml(struct err *err)
{
    static const char text[] = "schemaVersion: 2.2\n"
                               "a: &a {x: 1, y: [yes, 'no', 0x10]}\n"
                               "b: {<<: *a, y: ~}\n"
                               "c: *a\n";
    AUTO(cJSON_Delete) cJSON *tree = NULL;
    AUTO(buf_done) struct buf again;
    int r = document_text_parse(text, sizeof(text) - 1, 4096, "test", &tree, err);

    buf_init(&again, 4096);
    if (r < 0)
        return r;
    json_write(&again, tree);
    r = buf_error(&again, "test", err);
    if (r == 0 && strcmp(again.data,
                         "{\"a\":{\"x\":1,\"y\":[true,\"no\",16]},\"b\":{\"x\":1,\"y\":null},"
                         "\"c\":{\"x\":1,\"y\":[true,\"no\",16]},\"schemaVersion\":\"2.2\"}") != 0)
        return WRONG_ANSWER;
    return r;
}

static int keep_values_of_parameters(struct err *err)
{
    static const char answer[] =
        "{\"Parameters\":[{\"Name\":\"a\",\"Type\":\"String\",\"Value\":\"v\",\"Version\":1}],"
        "\"InvalidParameters\":[\"b\"]}";
    AUTO(parameter_answer_done) struct parameter_answer a = {.root = NULL};
    AUTO(cJSON_Delete) cJSON *values = cJSON_CreateObject();
    AUTO(cJSON_Delete) cJSON *again = NULL;
    AUTO(buf_done) struct buf text;
    int r = values != NULL ? 0 : err_set(err, ERR_NOMEM, "test");

    buf_init(&text, 4096);
    if (r == 0)
        r = parameter_answer_parse(answer, sizeof(answer) - 1, &a, err);
    if (r == 0)
        r = parameter_values_add(values, "a", parameter_answer_find(&a, "a"), err);
    if (r < 0)
        return r;
    json_write(&text, values);
    r = buf_error(&text, "test", err);
    if (r == 0)
        r = parameter_values_parse(text.data, text.len, &again, err);
    if (r == 0 &&
        (again == NULL || strcmp(text.data, "{\"a\":{\"type\":\"String\",\"value\":\"v\"}}") != 0))
        return WRONG_ANSWER;
    return r;
}

static int read_and_write_a_release(struct err *err)
{
    static const char text[] =
        "{\"SchemaVersion\":\"1.0\",\"ManifestVersion\":3,\"Issued\":\"2026-01-01T00:00:00Z\","
        "\"Expires\":\"2026-02-01T00:00:00Z\",\"UriFormat\":\"{Source}\",\"Packages\":[{\"Name\":"
        "\"p\",\"Files\":[{\"Name\":\"f\",\"AvailableVersions\":[{\"Version\":\"1.0\"}]}]}]}";
    const struct release_version v = {.version = "2.0", .rollout_percent = 100};
    AUTO(release_manifest_done) struct release_manifest m = {.version = 0};
    AUTO(release_envelope_done) struct release_envelope e = {.role = RELEASE_RELEASE};
    AUTO(release_envelope_done) struct release_envelope again = {.role = RELEASE_RELEASE};
    AUTO(buf_done) struct buf payload = {0}, file = {0};
    struct release_signature s = {.keyid =
                                      "0000000000000000000000000000000000000000000000000000000000"
                                      "000000"};
    int r;

    buf_init(&payload, 10000);
    buf_init(&file, 10000);
    if ((r = release_manifest_parse(text, sizeof(text) - 1, &m, err)) < 0 ||
        (r = release_manifest_put(&m, "p", "f", &v, err)) < 0 ||
        (r = release_manifest_put(&m, "q", "g", &v, err)) < 0)
        return r;
    release_manifest_write(&m, &payload);
    r = buf_error(&payload, "payload", err);
    if (r < 0)
        return r;
    e.n_payload = payload.len;
    e.payload = buf_take(&payload);
    if (e.payload == NULL)
        return err_set(err, ERR_NOMEM, "payload: out of memory");
    if ((r = release_envelope_add(&e, &s, err)) < 0)
        return r;
    release_envelope_write(&e, &file);
    if ((r = buf_error(&file, "file", err)) < 0 ||
        (r = release_envelope_parse(file.data, file.len, RELEASE_RELEASE, &again, err)) < 0)
        return r;
    return again.n_payload == e.n_payload && again.n_signatures == 1 ? 0 : WRONG_ANSWER;
}

static int (*const bodies[])(struct err *err) = {
    read_messages, read_payload_and_document, write_and_read_a_reply,  refuse_a_value,
    read_yaml,     keep_values_of_parameters, read_and_write_a_release};

START_TEST(an_allocation_that_fails_is_an_error_and_nothing_else)
{
    cJSON_Hooks hooks = {.malloc_fn = __wrap_malloc, .free_fn = free};
    long n, n_errors = 0;

    cJSON_InitHooks(&hooks);
    for (n = 0; n < 10000; n++) {
        struct err err = {.code = 0};
        bool was_hit;
        int r;

        failing_malloc_after(n);
        r = bodies[_i](&err);
        was_hit = failing_malloc_was_hit();
        failing_malloc_after(-1);
        if (!was_hit) {
            ck_assert_msg(r == 0, "%s", err.text);
            break;
        }
        /* 0: it was in an attempt that was thrown away anyhow; the body has checked its result. */
        ck_assert_msg(r == ERR_NOMEM || r == 0, "allocation %ld: %d %s", n, r, err.text);
        n_errors += r == ERR_NOMEM;
    }
    ck_assert_int_gt((int)n_errors, (int)(n * 9 / 10));
    ck_assert_int_gt((int)n, 10);
    ck_assert_int_lt((int)n, 10000);
    cJSON_InitHooks(NULL);
}
END_TEST

static Suite *memory_suite(void)
{
    Suite *s = suite_create("schema memory");
    TCase *t = tcase_create("allocation failures");

    tcase_add_loop_test(t, an_allocation_that_fails_is_an_error_and_nothing_else, 0,
                        (int)ARRAY_LEN(bodies));
    suite_add_tcase(s, t);
    return s;
}

SUITE_MAIN(memory_suite)
