/* Replies: payloads, limits of texts, statuses, and reading them back. */
#include "schema_lib.h"

#include "base/str.h"
#include "schema/reply.h"

static const struct reply_header header = {.agent = {.lang = "en-US",
                                                     .name = "amazon-ssm-agent",
                                                     .os = "linux",
                                                     .osver = "1",
                                                     .ver = "3.3.0.0"},
                                           .mgs = REPLY_MGS_UP};

#define AT_101 INT64_C(1714842448101) /* 2024-05-04T17:07:28.101Z */
#define TEXT(literal)                                                                              \
    {                                                                                              \
        .s = (literal), .len = sizeof(literal) - 1                                                 \
    }

static const struct reply_plugin hello = {
    .id = "runScript",
    .name = "aws:runShellScript",
    .status = "Success",
    .started_unix_ms = AT_101 + 119,
    .ended_unix_ms = AT_101 + 1279,
    .output = TEXT("hello\nLinux\n"),
    .standard_output = TEXT("hello\nLinux\n"),
    .s3_bucket = "example-bucket",
    .s3_prefix = "ssm/out/2b196342-d7d4-436e-8f09-3883a1116ac3/i-0123456789abcdef0",
    .step_name = "runScript"};

#define AGENT                                                                                      \
    "{\"additionalInfo\":{\"agent\":{\"lang\":\"en-US\",\"name\":\"amazon-ssm-agent\",\"os\":"     \
    "\"linux\",\"osver\":\"1\",\"ver\":\"3.3.0.0\"},"
#define HELLO                                                                                      \
    "{\"runScript\":{\"status\":\"Success\",\"code\":0,\"name\":\"aws:runShellScript\","           \
    "\"output\":\"hello\\nLinux\\n\",\"startDateTime\":\"2024-05-04T17:07:28.220Z\","              \
    "\"endDateTime\":\"2024-05-04T17:07:29.380Z\",\"outputS3BucketName\":\"example-bucket\","      \
    "\"outputS3KeyPrefix\":\"ssm/out/2b196342-d7d4-436e-8f09-3883a1116ac3/"                        \
    "i-0123456789abcdef0/awsrunShellScript\",\"stepName\":\"runScript\",\"standardOutput\":"       \
    "\"hello\\nLinux\\n\",\"standardError\":\"\"}}"

START_TEST(a_document_level_reply_is_as_in_the_protocol)
{
    struct reply_header h = header;
    struct err err;
    struct buf b;

    buf_init(&b, 100000);
    h.now_unix_ms = AT_101;
    ck_assert_int_eq(reply_document_level(&h, "InProgress", "", &b, &err), 0);
    ck_assert_str_eq(buf_str(&b),
                     AGENT "\"dateTime\":\"2024-05-04T17:07:28.101Z\",\"runId\":\"\","
                           "\"runtimeStatusCounts\":null,\"ableToOpenMGSConnection\":true},"
                           "\"documentStatus\":\"InProgress\",\"documentTraceOutput\":\"\","
                           "\"runtimeStatus\":null}");
    buf_clear(&b);
    h.mgs = REPLY_MGS_ABSENT;
    ck_assert_int_eq(reply_document_level(&h, "Failed", "why \"so\"", &b, &err), 0);
    ck_assert_str_eq(buf_str(&b),
                     AGENT "\"dateTime\":\"2024-05-04T17:07:28.101Z\",\"runId\":\"\","
                           "\"runtimeStatusCounts\":null},\"documentStatus\":\"Failed\","
                           "\"documentTraceOutput\":\"why \\\"so\\\"\",\"runtimeStatus\":null}");
    buf_done(&b);
}
END_TEST

START_TEST(a_plugin_level_reply_is_as_in_the_protocol)
{
    struct reply_header h = header;
    struct err err;
    struct buf b;

    buf_init(&b, 100000);
    h.now_unix_ms = AT_101 + 1299;
    h.mgs = REPLY_MGS_DOWN;
    ck_assert_int_eq(reply_plugin_level(&h, &hello, 1, &b, &err), 0);
    ck_assert_str_eq(buf_str(&b),
                     AGENT "\"dateTime\":\"2024-05-04T17:07:29.400Z\",\"runId\":\"\","
                           "\"runtimeStatusCounts\":{\"Success\":1},\"ableToOpenMGSConnection\":"
                           "false},\"documentStatus\":\"InProgress\",\"documentTraceOutput\":\"\","
                           "\"runtimeStatus\":" HELLO "}");
    buf_done(&b);
}
END_TEST

START_TEST(a_final_reply_has_the_result_when_there_is_exactly_one)
{
    struct reply_plugin two[2] = {hello, hello};
    struct reply_header h = header;
    struct err err;
    struct buf b;

    buf_init(&b, 100000);
    h.now_unix_ms = AT_101 + 1349;
    ck_assert_int_eq(reply_final(&h, &hello, 1, NULL, &b, &err), 0);
    ck_assert_str_eq(buf_str(&b),
                     AGENT "\"dateTime\":\"2024-05-04T17:07:29.450Z\",\"runId\":\"\","
                           "\"runtimeStatusCounts\":{\"Success\":1},\"ableToOpenMGSConnection\":"
                           "true},\"documentStatus\":\"Success\",\"documentTraceOutput\":\"\","
                           "\"runtimeStatus\":" HELLO "}");
    buf_clear(&b);
    two[1].id = "second";
    two[1].status = "Failed";
    ck_assert_int_eq(reply_final(&h, two, 2, NULL, &b, &err), 0);
    ck_assert_str_eq(buf_str(&b),
                     AGENT "\"dateTime\":\"2024-05-04T17:07:29.450Z\",\"runId\":\"\","
                           "\"runtimeStatusCounts\":{\"Failed\":1,\"Success\":1},"
                           "\"ableToOpenMGSConnection\":true},\"documentStatus\":\"Failed\","
                           "\"documentTraceOutput\":\"\",\"runtimeStatus\":{}}");
    buf_clear(&b);
    ck_assert_int_eq(reply_final(&h, NULL, 0, "Cancelled", &b, &err), 0);
    ck_assert_ptr_nonnull(strstr(buf_str(&b), "\"runtimeStatusCounts\":{},"));
    ck_assert_ptr_nonnull(strstr(buf_str(&b), "\"documentStatus\":\"Cancelled\""));
    ck_assert(str_has_suffix(buf_str(&b), "\"runtimeStatus\":{}}"));
    buf_done(&b);
}
END_TEST

START_TEST(an_unset_time_and_a_failure_without_code_have_their_forms)
{
    struct reply_plugin p = {.id = "s", .name = "", .status = "Failed", .output = TEXT("note")};
    struct reply_header h = header;
    struct reply reply;
    struct err err;
    struct buf b;

    buf_init(&b, 100000);
    ck_assert_int_eq(reply_plugin_level(&h, &p, 1, &b, &err), 0);
    ck_assert_int_eq(reply_parse(b.data, b.len, &reply, &err), 0);
    ck_assert_uint_eq(reply.n_results, 1);
    ck_assert_int_eq(reply.results[0].code, 1);
    ck_assert_str_eq(reply.results[0].started, "0001-01-01T00:00:00.000Z");
    ck_assert_str_eq(reply.results[0].output, "note");
    ck_assert_str_eq(reply.results[0].s3_bucket, "");
    ck_assert_str_eq(reply.results[0].s3_prefix, "");
    ck_assert_str_eq(reply.results[0].step_name, "");
    reply_done(&reply);
    buf_done(&b);
}
END_TEST

START_TEST(colons_are_taken_out_of_s3_names)
{
    struct reply_plugin p = hello;
    struct reply reply;
    struct err err;
    struct buf b;

    buf_init(&b, 100000);
    p.step_name = "0.aws:run:ShellScript";
    p.s3_prefix = "a:b";
    ck_assert_int_eq(reply_plugin_level(&header, &p, 1, &b, &err), 0);
    ck_assert_int_eq(reply_parse(b.data, b.len, &reply, &err), 0);
    ck_assert_str_eq(reply.results[0].step_name, "0.awsrunShellScript");
    ck_assert_str_eq(reply.results[0].s3_prefix, "a:b/awsrunShellScript");
    reply_done(&reply);
    buf_done(&b);
}
END_TEST

START_TEST(steps_of_one_name_are_one_result)
{
    struct reply_plugin steps[3] = {hello, hello, hello};
    struct reply reply;
    struct err err;
    struct buf b;

    steps[0].id = steps[2].id = "same";
    steps[0].status = "Failed";
    steps[0].code = 3;
    steps[0].started_unix_ms = 1000;
    steps[2].output = steps[2].standard_output =
        (struct reply_text){.s = "one\ntwo\n", .len = strlen("one\ntwo\n")};
    buf_init(&b, 100000);
    ck_assert_int_eq(reply_plugin_level(&header, steps, 3, &b, &err), 0);
    ck_assert_int_eq(reply_parse(b.data, b.len, &reply, &err), 0);
    ck_assert_uint_eq(reply.n_results, 1);
    ck_assert_str_eq(reply.results[0].id, "same");
    ck_assert_str_eq(reply.results[0].status, "Failed"); /* never hidden by a later success */
    ck_assert_int_eq(reply.results[0].code, 3);
    ck_assert_str_eq(reply.results[0].output, "one\ntwo\n");
    ck_assert_str_eq(reply.results[0].started, "1970-01-01T00:00:01.000Z");
    ck_assert_ptr_nonnull(strstr(b.data, "\"runtimeStatusCounts\":{\"Failed\":1,\"Success\":1}"));
    reply_done(&reply);
    buf_clear(&b);
    steps[1].id = "same";
    ck_assert_int_eq(reply_final(&header, steps, 3, NULL, &b, &err), 0);
    ck_assert_int_eq(reply_parse(b.data, b.len, &reply, &err), 0);
    ck_assert_str_eq(reply.document_status, "Failed");
    ck_assert_uint_eq(reply.n_results, 1);
    reply_done(&reply);
    buf_done(&b);
}
END_TEST

/* The worst text for JSON: every byte becomes six. */
static void fill(struct buf *b, size_t n, char c)
{
    size_t i;

    buf_init(b, n);
    for (i = 0; i < n; i++)
        (void)buf_add_char(b, c);
    ck_assert_int_eq(b->failed, 0);
}

START_TEST(a_payload_fits_its_channel_whatever_the_output_is)
{
    struct reply_plugin p = hello;
    struct reply_header h = header;
    struct buf big, b;
    struct reply reply;
    struct err err;

    fill(&big, REPLY_STREAM_BYTES - 1, '\x01');
    p.standard_output = p.standard_error = (struct reply_text){.s = big.data, .len = big.len};
    h.max_bytes = REPLY_MAX_CONTROL_CHANNEL_BYTES;
    buf_init(&b, 1000000);
    ck_assert_int_eq(reply_plugin_level(&h, &p, 1, &b, &err), 0);
    ck_assert_uint_le(b.len, REPLY_MAX_CONTROL_CHANNEL_BYTES);
    ck_assert_uint_gt(b.len, REPLY_MAX_CONTROL_CHANNEL_BYTES * 3 / 4); /* not needlessly short */
    ck_assert_int_eq(reply_parse(b.data, b.len, &reply, &err), 0);
    ck_assert_str_eq(reply.results[0].output, "hello\nLinux\n"); /* the longest gave way */
    ck_assert(str_has_suffix(reply.results[0].standard_output, REPLY_STREAM_SUFFIX));
    ck_assert(str_has_suffix(reply.results[0].standard_error, REPLY_STREAM_SUFFIX));
    reply_done(&reply);
    buf_done(&b);
    buf_done(&big);
}
END_TEST

START_TEST(a_long_trace_is_shortened_too_and_the_rest_must_fit)
{
    struct reply_header h = header;
    struct buf trace, b;
    struct err err;

    fill(&trace, 200000, 'x');
    buf_init(&b, 1000000);
    h.max_bytes = REPLY_MAX_CONTROL_CHANNEL_BYTES;
    ck_assert_int_eq(reply_document_level(&h, "Failed", trace.data, &b, &err), 0);
    ck_assert_uint_le(b.len, REPLY_MAX_CONTROL_CHANNEL_BYTES);
    buf_clear(&b);
    h.max_bytes = 100;
    ck_assert_int_eq(reply_document_level(&h, "Failed", trace.data, &b, &err), ERR_LIMIT);
    ck_assert_str_eq(err.text, "reply is larger than 100 bytes");
    ck_assert_uint_eq(b.len, 0);
    buf_done(&b);
    buf_done(&trace);
}
END_TEST

/* ---- texts ---- */

START_TEST(a_stream_below_the_limit_is_whole_and_at_the_limit_is_cut)
{
    struct buf s, b;

    buf_init(&b, 100000);
    fill(&s, 23999, 'a');
    reply_truncate_stream(s.data, s.len, &b);
    ck_assert_uint_eq(b.len, 23999);
    buf_done(&s);
    buf_clear(&b);
    fill(&s, 24000, 'a');
    reply_truncate_stream(s.data, s.len, &b);
    ck_assert_uint_eq(b.len, 24000);
    ck_assert(str_has_suffix(b.data, "a" REPLY_STREAM_SUFFIX));
    ck_assert_uint_eq(strspn(b.data, "a"), 23980);
    buf_done(&s);
    buf_done(&b);
}
END_TEST

START_TEST(a_stream_is_cut_between_characters)
{
    struct buf s, b;
    size_t i;

    buf_init(&s, 100000);
    for (i = 0; i < 9000; i++)
        (void)buf_add_str(&s, "\xe2\x82\xac");
    buf_init(&b, 100000);
    reply_truncate_stream(s.data, s.len, &b);
    ck_assert_uint_eq(b.len, 7993 * 3 + 20); /* 23980 is inside the 7994th */
    ck_assert(str_is_utf8(b.data, b.len));
    ck_assert(str_has_suffix(b.data, "\xe2\x82\xac" REPLY_STREAM_SUFFIX));
    buf_clear(&b);
    reply_combine_output(s.data, s.len, NULL, 0, &b);
    ck_assert_uint_eq(b.len, 825 * 3 + 23); /* 2477 is inside the 826th */
    ck_assert(str_is_utf8(b.data, b.len));
    buf_done(&b);
    buf_done(&s);
}
END_TEST

START_TEST(each_byte_that_is_not_utf8_becomes_one_replacement)
{
    static const char bytes[] = "\0\1\2\xff\xfe"
                                "abc\x80\x1b[0m\n";
    static const char wanted[] = "\0\1\2\xef\xbf\xbd\xef\xbf\xbd"
                                 "abc\xef\xbf\xbd\x1b[0m\n";
    struct buf b;

    buf_init(&b, 1000);
    reply_truncate_stream(bytes, sizeof(bytes) - 1, &b);
    ck_assert_uint_eq(b.len, sizeof(wanted) - 1);
    ck_assert_mem_eq(b.data, wanted, b.len);
    buf_clear(&b);
    reply_combine_output(bytes, sizeof(bytes) - 1, "\xff\xff", 2, &b);
    ck_assert(str_has_suffix(b.data + 4, "\n----------ERROR-------\n\xef\xbf\xbd\xef\xbf\xbd"));
    ck_assert(str_is_utf8(b.data, b.len));
    buf_done(&b);
}
END_TEST

static const struct {
    size_t n_out, n_error;
    size_t out, error; /* how much of each is left */
    size_t total;
} combinations[] = {
    {0, 0, 0, 0, 0},
    {10, 0, 10, 0, 10},
    {0, 10, 0, 10, 34},
    {2499, 0, 2499, 0, 2499},
    {2500, 0, 2477, 0, 2500},
    {3000, 0, 2477, 0, 2500},
    {0, 2475, 0, 2475, 2499},
    {0, 2476, 0, 2453, 2500},
    {1238, 1237, 1238, 1237, 2499},
    {1238, 1238, 1238, 1215, 2500},
    {1239, 1238, 1215, 1238, 2500},
    {1239, 1239, 1215, 1215, 2500},
    {5000, 5000, 1215, 1215, 2500},
    {1238, 9000, 1238, 1215, 2500},
    {9000, 1, 2452, 1, 2500},
    {24000, 24000, 1215, 1215, 2500},
};

START_TEST(the_combined_output_shares_its_room_as_the_rules_say)
{
    struct buf out, error, b;
    const char *p;

    fill(&out, combinations[_i].n_out, 'o');
    fill(&error, combinations[_i].n_error, 'e');
    buf_init(&b, 10000);
    reply_combine_output(out.data, out.len, error.data, error.len, &b);
    ck_assert_uint_eq(b.len, combinations[_i].total);
    p = buf_str(&b);
    ck_assert_uint_eq(strspn(p, "o"), combinations[_i].out);
    p += combinations[_i].out;
    if (combinations[_i].out < combinations[_i].n_out) {
        ck_assert(str_has_prefix(p, "\n---Output truncated---"));
        p += 23;
    }
    if (combinations[_i].n_error > 0) {
        ck_assert(str_has_prefix(p, "\n----------ERROR-------\n"));
        p += 24;
    }
    ck_assert_uint_eq(strspn(p, "e"), combinations[_i].error);
    p += combinations[_i].error;
    ck_assert_str_eq(
        p, combinations[_i].error < combinations[_i].n_error ? "\n---Error truncated----" : "");
    buf_done(&out);
    buf_done(&error);
    buf_done(&b);
}
END_TEST

/* ---- statuses ---- */

static const struct {
    const char *statuses[4];
    size_t n;
    const char *document;
} documents[] = {
    {{NULL}, 0, "Success"},
    {{"Success"}, 1, "Success"},
    {{"Skipped", "Skipped"}, 2, "Success"},
    {{"Success", "Skipped", "Success"}, 3, "Success"},
    {{"Success", "InProgress"}, 2, "InProgress"},
    {{"Success", "NotStarted"}, 2, "InProgress"},
    {{"Success", ""}, 2, "InProgress"},
    {{"Success", "Weird"}, 2, "InProgress"},
    {{"Success", "Cancelled"}, 2, "Cancelled"},
    {{"Cancelled", "TimedOut"}, 2, "TimedOut"},
    {{"Cancelled", "TimedOut", "Failed"}, 3, "Failed"},
    {{"Failed", "SuccessAndReboot"}, 2, "SuccessAndReboot"},
};

START_TEST(a_documents_status_follows_from_its_steps)
{
    ck_assert_str_eq(reply_document_status(documents[_i].statuses, documents[_i].n),
                     documents[_i].document);
}
END_TEST

START_TEST(merging_takes_the_greater_status)
{
    static const char *const order[] = {
        "",           "Skipped",    "Success", "SuccessAndReboot", "PassedAndReboot",
        "NotStarted", "InProgress", "Failed",  "Cancelled",        "TimedOut"};
    size_t i, k;

    for (i = 0; i < ARRAY_LEN(order); i++)
        for (k = 0; k < ARRAY_LEN(order); k++)
            ck_assert_str_eq(reply_merge_status(order[i], order[k]), order[i > k ? i : k]);
    ck_assert_str_eq(reply_merge_status(NULL, "Failed"), "Failed");
    ck_assert_str_eq(reply_merge_status("Success", "Weird"), "Success");
}
END_TEST

START_TEST(terminal_statuses_are_four)
{
    enum reply_status s;
    int n = 0;

    for (s = STATUS_NONE; s < STATUS_COUNT_; s++) {
        ck_assert_int_eq(reply_status_of(reply_status_name(s)), s);
        n += reply_status_is_terminal(reply_status_name(s));
    }
    ck_assert_int_eq(n, 4);
    ck_assert(!reply_status_is_terminal("SuccessAndReboot"));
    ck_assert(!reply_status_is_terminal("nonsense"));
    ck_assert(!reply_status_is_terminal(NULL));
    ck_assert_str_eq(reply_status_name(STATUS_COUNT_), "");
}
END_TEST

/* ---- the way back ---- */

START_TEST(what_is_written_can_be_read_back)
{
    static const char binary[] = "a\0b\xff";
    struct reply_plugin p = hello;
    struct reply reply;
    struct err err;
    struct buf b;

    p.standard_error = (struct reply_text){.s = binary, .len = sizeof(binary) - 1};
    p.code = -1;
    buf_init(&b, 100000);
    ck_assert_int_eq(reply_final(&header, &p, 1, "TimedOut", &b, &err), 0);
    ck_assert_int_eq(reply_parse(b.data, b.len, &reply, &err), 0);
    ck_assert_str_eq(reply.document_status, "TimedOut");
    ck_assert_str_eq(reply.trace, "");
    ck_assert_int_eq(reply.mgs, REPLY_MGS_UP);
    ck_assert_ptr_nonnull(json_get_exact(reply.status_counts, "Success"));
    ck_assert_int_eq(reply.results[0].code, -1);
    ck_assert_str_eq(reply.results[0].name, "aws:runShellScript");
    ck_assert_str_eq(reply.results[0].standard_output, "hello\nLinux\n");
    ck_assert_str_eq(reply.results[0].standard_error, "a\xef\xbf\xbd"
                                                      "b\xef\xbf\xbd");
    ck_assert_str_eq(reply.results[0].ended, "2024-05-04T17:07:29.380Z");
    reply_done(&reply);
    buf_done(&b);
}
END_TEST

START_TEST(results_of_a_reply_are_sorted_by_id)
{
    static const char payload[] =
        "{\"documentStatus\":\"Success\",\"runtimeStatus\":{\"b\":{},\"c\":{},\"a\":{}}}";
    struct reply reply;
    struct err err;

    ck_assert_int_eq(reply_parse(payload, sizeof(payload) - 1, &reply, &err), 0);
    ck_assert_uint_eq(reply.n_results, 3);
    ck_assert_str_eq(reply.results[0].id, "a");
    ck_assert_str_eq(reply.results[2].id, "c");
    ck_assert_str_eq(reply.results[2].status, "");
    ck_assert_int_eq(reply.mgs, REPLY_MGS_ABSENT);
    ck_assert_ptr_null(reply.status_counts);
    reply_done(&reply);
}
END_TEST

static const struct {
    const char *payload, *error;
} bad_replies[] = {
    {"x", "reply: line 1, column 1: expected a value"},
    {"[]", "reply must be an object, not a list"},
    {"{}", "documentStatus must be a status, not \"\""},
    {"{\"documentStatus\":7}", "documentStatus must be a string, not a number"},
    {"{\"documentStatus\":\"Done\"}", "documentStatus must be a status, not \"Done\""},
    {"{\"documentTraceOutput\":[]}", "documentTraceOutput must be a string, not a list"},
    {"{\"additionalInfo\":7}", "additionalInfo must be an object, not a number"},
    {"{\"additionalInfo\":{\"runtimeStatusCounts\":7}}",
     "additionalInfo.runtimeStatusCounts must be an object, not a number"},
    {"{\"additionalInfo\":{\"ableToOpenMGSConnection\":\"x\"}}",
     "additionalInfo.ableToOpenMGSConnection must be a boolean, not a string"},
    {"{\"runtimeStatus\":[]}", "runtimeStatus must be an object, not a list"},
    {"{\"runtimeStatus\":{\"s\":1}}", "runtimeStatus.s must be an object, not a number"},
    {"{\"runtimeStatus\":{\"s\":{\"status\":1}}}",
     "runtimeStatus.s.status must be a string, not a number"},
    {"{\"runtimeStatus\":{\"s\":{\"code\":\"1\"}}}",
     "runtimeStatus.s.code must be a whole number, not a string"},
    {"{\"runtimeStatus\":{\"s\":{\"standardOutput\":{}}}}",
     "runtimeStatus.s.standardOutput must be a string, not an object"},
};

START_TEST(each_wrong_field_of_a_reply_is_named)
{
    struct reply reply;
    struct err err;

    ck_assert_int_eq(
        reply_parse(bad_replies[_i].payload, strlen(bad_replies[_i].payload), &reply, &err),
        ERR_INVALID);
    ck_assert_str_eq(err.text, bad_replies[_i].error);
}
END_TEST

static Suite *reply_suite(void)
{
    Suite *s = suite_create("reply");
    TCase *payload = tcase_create("payload"), *text = tcase_create("texts"),
          *status = tcase_create("statuses"), *back = tcase_create("way back");

    tcase_add_test(payload, a_document_level_reply_is_as_in_the_protocol);
    tcase_add_test(payload, a_plugin_level_reply_is_as_in_the_protocol);
    tcase_add_test(payload, a_final_reply_has_the_result_when_there_is_exactly_one);
    tcase_add_test(payload, an_unset_time_and_a_failure_without_code_have_their_forms);
    tcase_add_test(payload, colons_are_taken_out_of_s3_names);
    tcase_add_test(payload, steps_of_one_name_are_one_result);
    tcase_add_test(payload, a_payload_fits_its_channel_whatever_the_output_is);
    tcase_add_test(payload, a_long_trace_is_shortened_too_and_the_rest_must_fit);
    tcase_add_test(text, a_stream_below_the_limit_is_whole_and_at_the_limit_is_cut);
    tcase_add_test(text, a_stream_is_cut_between_characters);
    tcase_add_test(text, each_byte_that_is_not_utf8_becomes_one_replacement);
    tcase_add_loop_test(text, the_combined_output_shares_its_room_as_the_rules_say, 0,
                        (int)ARRAY_LEN(combinations));
    tcase_add_loop_test(status, a_documents_status_follows_from_its_steps, 0,
                        (int)ARRAY_LEN(documents));
    tcase_add_test(status, merging_takes_the_greater_status);
    tcase_add_test(status, terminal_statuses_are_four);
    tcase_add_test(back, what_is_written_can_be_read_back);
    tcase_add_test(back, results_of_a_reply_are_sorted_by_id);
    tcase_add_loop_test(back, each_wrong_field_of_a_reply_is_named, 0, (int)ARRAY_LEN(bad_replies));
    suite_add_tcase(s, payload);
    suite_add_tcase(s, text);
    suite_add_tcase(s, status);
    suite_add_tcase(s, back);
    return s;
}

SUITE_MAIN(reply_suite)
