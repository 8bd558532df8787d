/* Envelopes, payloads, command ids, error bodies. */
#include "schema_lib.h"

#include "base/str.h"
#include "schema/message.h"

#define GOOD_FIELDS                                                                                \
    "\"CreatedDate\":\"2024-05-04T17:07:27.983Z\",\"Destination\":\"i-0123456789abcdef0\","        \
    "\"Topic\":\"aws.ssm.sendCommand.us.east.1.1\""

START_TEST(a_batch_is_read_in_order)
{
    static const char body[] =
        "{\"Destination\":\"i-0123456789abcdef0\",\"MessagesRequestId\":\"x\",\"Messages\":["
        "{" GOOD_FIELDS ",\"MessageId\":\"aws.ssm.one.i-1\",\"Payload\":\"{}\"},"
        "{" GOOD_FIELDS ",\"MessageId\":\"aws.ssm.two.i-1\"}]}";
    struct mds_messages m;
    struct err err;

    ck_assert_int_eq(mds_messages_parse(body, sizeof(body) - 1, &m, &err), 0);
    ck_assert_uint_eq(m.n, 2);
    ck_assert(m.items[0].is_valid && m.items[1].is_valid);
    ck_assert_str_eq(m.items[0].message_id, "aws.ssm.one.i-1");
    ck_assert_str_eq(m.items[0].topic, "aws.ssm.sendCommand.us.east.1.1");
    ck_assert_str_eq(m.items[0].destination, "i-0123456789abcdef0");
    ck_assert_str_eq(m.items[0].created_date, "2024-05-04T17:07:27.983Z");
    ck_assert_str_eq(m.items[0].payload, "{}");
    ck_assert_str_eq(m.items[1].message_id, "aws.ssm.two.i-1");
    ck_assert_ptr_null(m.items[1].payload);
    mds_messages_done(&m);
}
END_TEST

static const struct {
    const char *message;
    const char *problem;
} bad_envelopes[] = {
    {"7", "it is a number, not an object"},
    {"null", "it is null, not an object"},
    {"{}", "MessageId is missing or empty"},
    {"{" GOOD_FIELDS "}", "MessageId is missing or empty"},
    {"{" GOOD_FIELDS ",\"MessageId\":\"\"}", "MessageId is missing or empty"},
    {"{" GOOD_FIELDS ",\"MessageId\":null}", "MessageId is missing or empty"},
    {"{" GOOD_FIELDS ",\"messageid\":\"aws.ssm.c.i\"}", "MessageId is missing or empty"},
    {"{" GOOD_FIELDS ",\"MessageId\":42}", "MessageId is not a string"},
    {"{" GOOD_FIELDS ",\"MessageId\":\"a\\u0000b\"}",
     "MessageId holds NUL or bytes that are not UTF-8"},
    {"{" GOOD_FIELDS ",\"MessageId\":\"a\xff\"}",
     "MessageId holds NUL or bytes that are not UTF-8"},
    {"{" GOOD_FIELDS ",\"MessageId\":\"m\",\"Topic\":\"\"}", "Topic is missing or empty"},
    {"{" GOOD_FIELDS ",\"MessageId\":\"m\",\"Topic\":[]}", "Topic is not a string"},
    {"{" GOOD_FIELDS ",\"MessageId\":\"m\",\"Destination\":null}",
     "Destination is missing or empty"},
    {"{" GOOD_FIELDS ",\"MessageId\":\"m\",\"CreatedDate\":1714842447}",
     "CreatedDate is not a string"},
    {"{" GOOD_FIELDS ",\"MessageId\":\"m\",\"CreatedDate\":\"\"}",
     "CreatedDate is missing or empty"},
};

START_TEST(a_bad_message_is_marked_and_does_not_hurt_its_neighbours)
{
    static const char good[] = "{" GOOD_FIELDS ",\"MessageId\":\"aws.ssm.good.i\"}";
    struct mds_messages m;
    struct err err;
    struct buf b;

    buf_init(&b, 10000);
    (void)buf_printf(&b, "{\"Messages\":[%s,%s,%s]}", good, bad_envelopes[_i].message, good);
    ck_assert_int_eq(mds_messages_parse(b.data, b.len, &m, &err), 0);
    ck_assert_uint_eq(m.n, 3);
    ck_assert(m.items[0].is_valid);
    ck_assert(!m.items[1].is_valid);
    ck_assert_str_eq(m.items[1].problem, bad_envelopes[_i].problem);
    ck_assert(m.items[2].is_valid);
    mds_messages_done(&m);
    buf_done(&b);
}
END_TEST

static const struct {
    const char *message;
    const char *problem;
} payloads_that_are_no_text[] = {
    {"{" GOOD_FIELDS ",\"MessageId\":\"m\",\"Payload\":{}}", "Payload is not a string"},
    {"{" GOOD_FIELDS ",\"MessageId\":\"m\",\"Payload\":\"\\u0000\"}",
     "Payload holds NUL or bytes that are not UTF-8"},
};

START_TEST(a_payload_that_is_no_text_is_for_its_parser_to_refuse)
{
    struct mds_messages m;
    struct err err;
    struct buf b;

    buf_init(&b, 10000);
    (void)buf_printf(&b, "{\"Messages\":[%s]}", payloads_that_are_no_text[_i].message);
    ck_assert_int_eq(mds_messages_parse(b.data, b.len, &m, &err), 0);
    ck_assert(m.items[0].is_valid);
    ck_assert_ptr_null(m.items[0].payload);
    ck_assert_str_eq(m.items[0].problem, payloads_that_are_no_text[_i].problem);
    mds_messages_done(&m);
    buf_done(&b);
}
END_TEST

START_TEST(an_id_that_is_too_long_is_marked)
{
    struct mds_messages m;
    struct err err;
    struct buf b;
    size_t i;

    buf_init(&b, 10000);
    (void)buf_add_str(&b, "{\"Messages\":[{" GOOD_FIELDS ",\"MessageId\":\"");
    for (i = 0; i <= MESSAGE_MAX_NAME_BYTES; i++)
        (void)buf_add_char(&b, 'x');
    (void)buf_add_str(&b, "\"}]}");
    ck_assert_int_eq(mds_messages_parse(b.data, b.len, &m, &err), 0);
    ck_assert(!m.items[0].is_valid);
    ck_assert_str_eq(m.items[0].problem, "MessageId is too long");
    mds_messages_done(&m);
    buf_done(&b);
}
END_TEST

static const struct {
    const char *body;
    int code; /* 0: an empty batch */
} batches[] = {
    {"{}", 0},
    {"{\"Messages\":null}", 0},
    {"{\"Messages\":[]}", 0},
    {"{\"messages\":[1]}", 0}, /* members of AWS answers are compared exactly */
    {"{\"Messages\":{}}", ERR_PROTOCOL},
    {"[]", ERR_PROTOCOL},
    {"", ERR_PROTOCOL},
    {"<html>", ERR_PROTOCOL},
};

START_TEST(a_batch_without_messages_is_empty_and_nonsense_is_a_protocol_error)
{
    struct mds_messages m = {.n = 99};
    struct err err = {.code = 0};

    ck_assert_int_eq(mds_messages_parse(batches[_i].body, strlen(batches[_i].body), &m, &err),
                     batches[_i].code);
    ck_assert_int_eq(err.code, batches[_i].code);
    if (batches[_i].code == 0) {
        ck_assert_uint_eq(m.n, 0);
        mds_messages_done(&m);
    }
}
END_TEST

START_TEST(a_batch_is_bounded)
{
    struct mds_messages m;
    struct err err;
    struct buf b;
    size_t i;

    buf_init(&b, 10000);
    (void)buf_add_str(&b, "{\"Messages\":[7");
    for (i = 0; i < MESSAGE_MAX_BATCH; i++)
        (void)buf_add_str(&b, ",7");
    (void)buf_add_str(&b, "]}");
    ck_assert_int_eq(mds_messages_parse(b.data, b.len, &m, &err), ERR_PROTOCOL);
    ck_assert_str_eq(err.text, "answer of GetMessages: 1001 messages; at most 1000 are accepted");
    buf_done(&b);
}
END_TEST

START_TEST(kinds_go_by_the_beginning_of_the_topic)
{
    ck_assert_int_eq(message_kind_of_topic("aws.ssm.sendCommand"), MESSAGE_SEND);
    ck_assert_int_eq(message_kind_of_topic("aws.ssm.sendCommand.us.east.1.1"), MESSAGE_SEND);
    ck_assert_int_eq(message_kind_of_topic("aws.ssm.cancelCommand.x"), MESSAGE_CANCEL);
    ck_assert_int_eq(message_kind_of_topic("aws.ssm.SendCommand"), MESSAGE_UNKNOWN);
    ck_assert_int_eq(message_kind_of_topic(""), MESSAGE_UNKNOWN);
    ck_assert_int_eq(message_kind_of_topic(NULL), MESSAGE_UNKNOWN);
}
END_TEST

static const struct {
    const char *message_id;
    const char *command_id; /* NULL: refused */
} ids[] = {
    {"aws.ssm.2b196342-d7d4-436e-8f09-3883a1116ac3.i-57c0a7be",
     "2b196342-d7d4-436e-8f09-3883a1116ac3"},
    {"aws.ssm.a.b.c", "b"},
    {"xxaws.ssm.cmd.i", "cmd"},
    {"aws.ssm.cmd.", "cmd"},
    {"plain-id", "plain-id"},
    {"aws.ssm.cmd", "aws.ssm.cmd"},
    {"aws.ssm.", "aws.ssm."},
    {"aws.ssm..x", "aws.ssm..x"},
    {"aws.ssm...", NULL}, /* the part before the last dot is empty */
    {"aws.ssm.../../etc.i", NULL},
    {"aws.ssm.a/b.i", NULL},
    {"../../etc/passwd", NULL},
    {"..", NULL},
    {".", NULL},
    {"", NULL},
    {"aws.ssm.a\nb.i", NULL},
    {"aws.ssm.a\x7f.i", NULL},
};

START_TEST(command_ids_come_from_message_ids_and_never_hold_a_path)
{
    char id[COMMAND_ID_MAX + 1] = "untouched";
    struct err err = {.code = 0};
    int r = message_command_id(ids[_i].message_id, id, &err);

    if (ids[_i].command_id == NULL) {
        ck_assert_int_eq(r, ERR_INVALID);
        ck_assert_str_eq(id, "untouched");
        ck_assert_uint_gt(strlen(err.text), 0);
    } else {
        ck_assert_int_eq(r, 0);
        ck_assert_str_eq(id, ids[_i].command_id);
    }
}
END_TEST

START_TEST(a_command_id_that_is_too_long_is_refused)
{
    char message_id[COMMAND_ID_MAX + 20], id[COMMAND_ID_MAX + 1];

    memset(message_id, 'x', sizeof(message_id));
    message_id[COMMAND_ID_MAX] = '\0';
    ck_assert_int_eq(message_command_id(message_id, id, NULL), 0);
    message_id[COMMAND_ID_MAX] = 'x';
    message_id[COMMAND_ID_MAX + 1] = '\0';
    ck_assert_int_eq(message_command_id(message_id, id, NULL), ERR_INVALID);
}
END_TEST

#define DOCUMENT "\"DocumentContent\":{\"schemaVersion\":\"2.2\"}"

START_TEST(a_send_payload_gives_all_its_fields)
{
    static const char text[] =
        "{\"Parameters\":{\"commands\":[\"a\"]}," DOCUMENT ",\"CommandId\":\"2b19\","
        "\"DocumentName\":\"My-RunScript\",\"OutputS3KeyPrefix\":\"/ssm//out/\","
        "\"outputs3bucketname\":\"example-bucket\",\"CloudWatchLogGroupName\":\"\","
        "\"CloudWatchOutputEnabled\":\"true\",\"Unknown\":{\"x\":[1]}}";
    struct send_payload p;
    struct err err;
    struct buf b;

    ck_assert_int_eq(send_payload_parse(text, sizeof(text) - 1, &p, &err), 0);
    ck_assert_ptr_nonnull(json_get_exact(p.parameters, "commands"));
    ck_assert_ptr_nonnull(json_get_exact(p.document, "schemaVersion"));
    ck_assert_str_eq(p.command_id, "2b19");
    ck_assert_str_eq(p.document_name, "My-RunScript");
    ck_assert_str_eq(p.s3_bucket, "example-bucket");
    ck_assert_str_eq(p.s3_prefix, "/ssm//out/");
    ck_assert_str_eq(p.log_group, "");
    ck_assert(p.is_cloudwatch_enabled);
    buf_init(&b, 1000);
    send_payload_s3_prefix(&p, "i-0123456789abcdef0", &b);
    ck_assert_str_eq(buf_str(&b), "/ssm/out/2b19/i-0123456789abcdef0");
    buf_clear(&b);
    send_payload_log_group(&p, &b);
    ck_assert_str_eq(buf_str(&b), "/aws/ssm/My-RunScript");
    buf_done(&b);
    send_payload_done(&p);
}
END_TEST

static const struct {
    const char *payload;
    const char *error;
} bad_payloads[] = {
    {NULL, "the message has no payload"},
    {"", "payload is empty; expected JSON"},
    {"this is not json", "payload: line 1, column 1: expected a value"},
    {"[]", "payload must be an object, not a list"},
    {"{}", "DocumentContent is missing"},
    {"{\"DocumentContent\":null}", "DocumentContent is missing"},
    {"{\"DocumentContent\":\"{}\"}", "DocumentContent must be an object, not a string"},
    {"{" DOCUMENT ",\"Parameters\":[]}", "Parameters must be an object, not a list"},
    {"{" DOCUMENT ",\"CommandId\":1}", "CommandId must be a string, not a number"},
    {"{" DOCUMENT ",\"DocumentName\":{}}", "DocumentName must be a string, not an object"},
    {"{" DOCUMENT ",\"OutputS3KeyPrefix\":[]}", "OutputS3KeyPrefix must be a string, not a list"},
    {"{" DOCUMENT ",\"OutputS3BucketName\":true}",
     "OutputS3BucketName must be a string, not a boolean"},
    {"{" DOCUMENT ",\"CloudWatchLogGroupName\":0}",
     "CloudWatchLogGroupName must be a string, not a number"},
    {"{" DOCUMENT ",\"CloudWatchOutputEnabled\":true}",
     "CloudWatchOutputEnabled must be a string, not a boolean"},
    {"{" DOCUMENT ",\"CommandId\":\"\xff\"}",
     "payload: line 1, column 57: the bytes are not valid UTF-8"},
    {"{" DOCUMENT ",\"CommandId\":\"\\u0000\"}",
     "payload: line 1, column 58: the character NUL (\\u0000) is not allowed here"},
};

START_TEST(each_wrong_field_of_a_send_payload_is_named)
{
    const char *text = bad_payloads[_i].payload;
    struct send_payload p;
    struct err err;

    ck_assert_int_eq(send_payload_parse(text, text != NULL ? strlen(text) : 0, &p, &err),
                     ERR_INVALID);
    ck_assert_str_eq(err.text, bad_payloads[_i].error);
}
END_TEST

START_TEST(texts_of_a_payload_are_bounded)
{
    static const char *const names[] = {
        "CommandId",          "DocumentName",           "OutputS3KeyPrefix",
        "OutputS3BucketName", "CloudWatchLogGroupName", "CloudWatchOutputEnabled"};
    struct send_payload p;
    char expected[120];
    struct err err;
    struct buf b;
    size_t i;

    buf_init(&b, 10000);
    (void)buf_printf(&b, "{" DOCUMENT ",\"%s\":\"", names[_i]);
    for (i = 0; i <= MESSAGE_MAX_NAME_BYTES; i++)
        (void)buf_add_char(&b, 'x');
    (void)buf_add_str(&b, "\"}");
    ck_assert_int_eq(send_payload_parse(b.data, b.len, &p, &err), ERR_LIMIT);
    (void)snprintf(expected, sizeof(expected), "%s has 1025 bytes; at most 1024 are accepted",
                   names[_i]);
    ck_assert_str_eq(err.text, expected);
    buf_done(&b);
}
END_TEST

START_TEST(a_payload_over_four_mebibytes_is_refused)
{
    size_t n = MESSAGE_MAX_PAYLOAD_BYTES + 1;
    char *text = malloc(n);
    struct send_payload p;
    struct err err;

    ck_assert_ptr_nonnull(text);
    memset(text, ' ', n);
    ck_assert_int_eq(send_payload_parse(text, n, &p, &err), ERR_LIMIT);
    ck_assert_str_eq(err.text, "payload has 4194305 bytes; at most 4194304 are accepted");
    free(text);
}
END_TEST

static const struct {
    const char *word;
    bool is_on;
} switches[] = {
    {"1", true},     {"t", true},      {"T", true},    {"TRUE", true},   {"true", true},
    {"True", true},  {"0", false},     {"f", false},   {"false", false}, {"", false},
    {"tRUE", false}, {"true ", false}, {"yes", false},
};

START_TEST(cloudwatch_is_on_for_the_words_that_mean_true)
{
    struct send_payload p;
    char text[200];

    (void)snprintf(text, sizeof(text), "{" DOCUMENT ",\"CloudWatchOutputEnabled\":\"%s\"}",
                   switches[_i].word);
    ck_assert_int_eq(send_payload_parse(text, strlen(text), &p, NULL), 0);
    ck_assert_int_eq(p.is_cloudwatch_enabled, switches[_i].is_on);
    send_payload_done(&p);
}
END_TEST

static const struct {
    const char *prefix, *command_id, *result;
} prefixes[] = {
    {"ssm/out", "2b19", "ssm/out/2b19/i-1"},
    {"", "2b19", "2b19/i-1"},
    {"", "", "i-1"},
    {"a//b///", "c", "a/b/c/i-1"},
    {"./a/.", "c", "a/c/i-1"},
    {"a/../b", "c", "b/c/i-1"},
    {"a/b/../d", "c", "a/d/c/i-1"},
    {"../..", "c", "c/i-1"},
    {"/", "c", "/c/i-1"},
    {"a", "../..", "i-1"},
};

START_TEST(s3_prefixes_are_joined_without_empty_parts)
{
    struct send_payload p = {.s3_prefix = prefixes[_i].prefix,
                             .command_id = prefixes[_i].command_id};
    struct buf b;

    buf_init(&b, 1000);
    send_payload_s3_prefix(&p, "i-1", &b);
    ck_assert_str_eq(buf_str(&b), prefixes[_i].result);
    buf_done(&b);
}
END_TEST

START_TEST(log_groups_have_no_odd_characters)
{
    struct send_payload p = {.log_group = "",
                             .document_name = "arn:aws:ssm:x/My Doc\xe2\x82\xac#_1"};
    struct buf b;

    buf_init(&b, 1000);
    send_payload_log_group(&p, &b);
    ck_assert_str_eq(buf_str(&b), "/aws/ssm/arn.aws.ssm.x/My.Doc.#_1");
    buf_clear(&b);
    p.log_group = "given: as is";
    send_payload_log_group(&p, &b);
    ck_assert_str_eq(buf_str(&b), "given: as is");
    buf_done(&b);
}
END_TEST

START_TEST(a_cancel_payload_names_the_message_to_cancel)
{
    static const char good[] = "{\"cancelMessageID\":\"aws.ssm.c.i\"}";
    static const struct {
        const char *text, *error;
    } bad[] = {
        {"{}", "CancelMessageId is missing or empty"},
        {"{\"CancelMessageId\":\"\"}", "CancelMessageId is missing or empty"},
        {"{\"CancelMessageId\":[]}", "CancelMessageId must be a string, not a list"},
        {"7", "payload must be an object, not a number"},
    };
    struct cancel_payload p;
    struct err err;
    size_t i;

    ck_assert_int_eq(cancel_payload_parse(good, sizeof(good) - 1, &p, &err), 0);
    ck_assert_str_eq(p.cancel_message_id, "aws.ssm.c.i");
    cancel_payload_done(&p);
    for (i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert_int_eq(cancel_payload_parse(bad[i].text, strlen(bad[i].text), &p, &err),
                         ERR_INVALID);
        ck_assert_str_eq(err.text, bad[i].error);
    }
}
END_TEST

START_TEST(an_agent_job_is_read)
{
    static const char bare[] = "{\"JobId\":\"j\"}";
    static const char good[] = "{\"SchemaVersion\":1,\"JobId\":\"aws.ssm.c.i\","
                               "\"Topic\":\"aws.ssm.sendCommand\",\"Content\":\"{\\\"a\\\":1}\"}";
    static const struct {
        const char *text, *error;
    } bad[] = {
        {"{}", "agent_job.JobId is missing or empty"},
        {"{\"JobId\":\"\"}", "agent_job.JobId is missing or empty"},
        {"{\"JobId\":5}", "agent_job.JobId must be a string, not a number"},
        {"{\"JobId\":\"j\",\"Topic\":[]}", "agent_job.Topic must be a string, not a list"},
        {"{\"JobId\":\"j\",\"Content\":{}}", "agent_job.Content must be a string, not an object"},
        {"{\"JobId\":\"j\",\"SchemaVersion\":\"1\"}",
         "agent_job.SchemaVersion must be a whole number, not a string"},
        {"[]", "agent_job must be an object, not a list"},
    };
    struct agent_job job;
    struct err err;
    size_t i;

    ck_assert_int_eq(agent_job_parse(good, sizeof(good) - 1, &job, &err), 0);
    ck_assert_str_eq(job.job_id, "aws.ssm.c.i");
    ck_assert_str_eq(job.topic, "aws.ssm.sendCommand");
    ck_assert_str_eq(job.content, "{\"a\":1}");
    ck_assert_int_eq(job.schema_version, 1);
    agent_job_done(&job);
    ck_assert_int_eq(agent_job_parse(bare, sizeof(bare) - 1, &job, &err), 0);
    ck_assert_str_eq(job.topic, "");
    ck_assert_str_eq(job.content, "");
    agent_job_done(&job);
    for (i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert_int_eq(agent_job_parse(bad[i].text, strlen(bad[i].text), &job, &err),
                         ERR_INVALID);
        ck_assert_str_eq(err.text, bad[i].error);
    }
}
END_TEST

START_TEST(an_acknowledged_reply_is_named)
{
    static const char good[] = "{\"jobId\":\"j\",\"acknowledgedMessageId\":\"0b1c8a44\"}";
    static const char none[] = "{\"jobId\":\"j\"}";
    struct agent_job_reply_ack ack;
    struct err err;

    ck_assert_int_eq(agent_job_reply_ack_parse(good, sizeof(good) - 1, &ack, &err), 0);
    ck_assert_str_eq(ack.job_id, "j");
    ck_assert_str_eq(ack.acknowledged_message_id, "0b1c8a44");
    ck_assert_int_eq(agent_job_reply_ack_parse(none, sizeof(none) - 1, &ack, &err), ERR_INVALID);
    ck_assert_str_eq(err.text, "agent_job_reply_ack.acknowledgedMessageId is missing or empty");
}
END_TEST

static const struct {
    const char *body, *code, *message;
} errors[] = {
    {"{\"__type\":\"com.amazon#ThrottlingException\",\"message\":\"slow down\"}",
     "ThrottlingException", "slow down"},
    {"{\"__type\":\"InvalidInstanceId\",\"Message\":\"x\"}", "InvalidInstanceId", "x"},
    {"{\"__TYPE\":\"A#B#C\"}", "B#C", ""},
    {"{\"code\":\"AccessDeniedException\"}", "AccessDeniedException", ""},
    {"{\"__type\":7,\"message\":[]}", "SerializationError", ""},
    {"{}", "SerializationError", ""},
    {"", "SerializationError", "error body is empty; expected JSON"},
    {"<html>", "SerializationError", "error body: line 1, column 1: expected a value"},
    {"[]", "SerializationError", ""},
};

START_TEST(error_bodies_give_code_and_message)
{
    struct aws_error e;

    aws_error_parse(errors[_i].body, strlen(errors[_i].body), &e);
    ck_assert_str_eq(e.code, errors[_i].code);
    ck_assert_str_eq(e.message, errors[_i].message);
}
END_TEST

START_TEST(long_error_texts_are_cut_between_characters)
{
    struct aws_error e;
    struct buf b;
    size_t i;

    buf_init(&b, 10000);
    (void)buf_add_str(&b, "{\"__type\":\"x\",\"message\":\"");
    for (i = 0; i < 300; i++)
        (void)buf_add_str(&b, "\xe2\x82\xac");
    (void)buf_add_str(&b, "\"}");
    aws_error_parse(b.data, b.len, &e);
    ck_assert_uint_eq(strlen(e.message), 381); /* 127 characters of 3 bytes; 383 would fit */
    ck_assert(str_is_utf8(e.message, strlen(e.message)));
    buf_done(&b);
}
END_TEST

static Suite *message_suite(void)
{
    Suite *s = suite_create("message");
    TCase *envelope = tcase_create("envelope"), *payload = tcase_create("payload"),
          *other = tcase_create("other");

    tcase_add_test(envelope, a_batch_is_read_in_order);
    tcase_add_loop_test(envelope, a_bad_message_is_marked_and_does_not_hurt_its_neighbours, 0,
                        (int)ARRAY_LEN(bad_envelopes));
    tcase_add_loop_test(envelope, a_payload_that_is_no_text_is_for_its_parser_to_refuse, 0,
                        ARRAY_LEN(payloads_that_are_no_text));
    tcase_add_test(envelope, an_id_that_is_too_long_is_marked);
    tcase_add_loop_test(envelope,
                        a_batch_without_messages_is_empty_and_nonsense_is_a_protocol_error, 0,
                        (int)ARRAY_LEN(batches));
    tcase_add_test(envelope, a_batch_is_bounded);
    tcase_add_test(envelope, kinds_go_by_the_beginning_of_the_topic);
    tcase_add_loop_test(envelope, command_ids_come_from_message_ids_and_never_hold_a_path, 0,
                        (int)ARRAY_LEN(ids));
    tcase_add_test(envelope, a_command_id_that_is_too_long_is_refused);
    tcase_add_test(payload, a_send_payload_gives_all_its_fields);
    tcase_add_loop_test(payload, each_wrong_field_of_a_send_payload_is_named, 0,
                        (int)ARRAY_LEN(bad_payloads));
    tcase_add_loop_test(payload, texts_of_a_payload_are_bounded, 0, 6);
    tcase_add_test(payload, a_payload_over_four_mebibytes_is_refused);
    tcase_add_loop_test(payload, cloudwatch_is_on_for_the_words_that_mean_true, 0,
                        (int)ARRAY_LEN(switches));
    tcase_add_loop_test(payload, s3_prefixes_are_joined_without_empty_parts, 0,
                        (int)ARRAY_LEN(prefixes));
    tcase_add_test(payload, log_groups_have_no_odd_characters);
    tcase_add_test(payload, a_cancel_payload_names_the_message_to_cancel);
    tcase_add_test(other, an_agent_job_is_read);
    tcase_add_test(other, an_acknowledged_reply_is_named);
    tcase_add_loop_test(other, error_bodies_give_code_and_message, 0, (int)ARRAY_LEN(errors));
    tcase_add_test(other, long_error_texts_are_cut_between_characters);
    suite_add_tcase(s, envelope);
    suite_add_tcase(s, payload);
    suite_add_tcase(s, other);
    return s;
}

SUITE_MAIN(message_suite)
