/* What ssmd and ssmd-stager tell each other: what was written is read, and nothing else is. */
#include <check.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "update/stager_protocol.h"

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct err err;

static struct stager_request a_request(enum stager_phase phase)
{
    struct stager_request q = {
        .phase = phase,
        .update_id = "u1.1-abc",
        .source = "https://updates.example/ssmd",
        .root_file = "/etc/ssmd/update-root.json",
        .update_dir = "/var/lib/ssmd/update",
        .slots_dir = "/opt/ssmd",
        .package = "amazon-ssm-agent",
        .asked = "latest",
        .from = "1.2.3",
        .allow_downgrade = true,
        .region = "eu-west-1",
        .node_id = "mi-0123456789abcdef0",
        .ca_file = "/etc/ssl/a file\nwith a line end",
        .user_agent = "ssmd/1.2.3 (100%)",
        .limit_ms = 1000,
        .stall_ms = 10,
        .target = "1.10.0",
        .sha256 = HASH,
        .length_bytes = 1234567890123,
        .manifest_version = 7,
    };

    return q;
}

static struct stager_answer an_answer(void)
{
    struct stager_answer a = {
        .verdict = STAGER_FAIL,
        .is_retry_worthwhile = true,
        .code = "ErrorDownloadManifest_d3",
        .text = "get https://x/y: caf\xc3\xa9 \xe2\x82\xac",
        .target = "1.10.0",
        .url = "https://x/1.10.0/ssmd-linux-amd64.tar.gz",
        .sha256 = HASH,
        .length_bytes = INT64_MAX,
        .manifest_version = 8,
        .root_version = 2,
    };

    return a;
}

static int pass_request(const struct stager_request *q, struct stager_request *ret)
{
    AUTO(buf_done) struct buf text = {0};

    buf_init(&text, STAGER_MAX_REQUEST_BYTES);
    stager_request_write(q, &text);
    ck_assert_int_eq(buf_error(&text, "request", &err), 0);
    return stager_request_parse(text.data, text.len, ret, &err);
}

static int pass_answer(const struct stager_answer *a, struct stager_answer *ret)
{
    AUTO(buf_done) struct buf text = {0};

    buf_init(&text, STAGER_MAX_ANSWER_BYTES);
    stager_answer_write(a, &text);
    ck_assert_int_eq(buf_error(&text, "answer", &err), 0);
    return stager_answer_parse(text.data, text.len, ret, &err);
}

START_TEST(a_request_comes_as_it_was_sent)
{
    const struct stager_request q = a_request((enum stager_phase)_i);
    struct stager_request got = {.phase = STAGER_N_PHASES};

    ck_assert_msg(pass_request(&q, &got) == 0, "%s", err.text);
    ck_assert_int_eq(got.phase, q.phase);
    ck_assert_str_eq(got.update_id, q.update_id);
    ck_assert_str_eq(got.source, q.source);
    ck_assert_str_eq(got.root_file, q.root_file);
    ck_assert_str_eq(got.update_dir, q.update_dir);
    ck_assert_str_eq(got.slots_dir, q.slots_dir);
    ck_assert_str_eq(got.package, q.package);
    ck_assert_str_eq(got.asked, q.asked);
    ck_assert_str_eq(got.from, q.from);
    ck_assert(got.allow_downgrade);
    ck_assert_str_eq(got.region, q.region);
    ck_assert_str_eq(got.node_id, q.node_id);
    ck_assert_str_eq(got.ca_file, q.ca_file);
    ck_assert_str_eq(got.user_agent, q.user_agent);
    ck_assert_int_eq(got.limit_ms, 1000);
    ck_assert_int_eq(got.stall_ms, 10);
    ck_assert_str_eq(got.target, q.target);
    ck_assert_str_eq(got.sha256, q.sha256);
    ck_assert_int_eq(got.length_bytes, q.length_bytes);
    ck_assert_int_eq(got.manifest_version, 7);
}
END_TEST

START_TEST(the_longest_request_fits_where_it_is_read)
{
    struct stager_request q = a_request(STAGER_FETCH), got;

    q.root_file[0] = q.update_dir[0] = q.slots_dir[0] = '/';
    memset(q.root_file + 1, '%', sizeof(q.root_file) - 2); /* each one is written as three */
    memset(q.update_dir + 1, '%', sizeof(q.update_dir) - 2);
    memset(q.slots_dir + 1, '%', sizeof(q.slots_dir) - 2);
    memset(q.ca_file, '%', sizeof(q.ca_file) - 1);
    memset(q.source, '%', sizeof(q.source) - 1);
    ck_assert_msg(pass_request(&q, &got) == 0, "%s", err.text);
    ck_assert_str_eq(got.ca_file, q.ca_file);
}
END_TEST

START_TEST(an_answer_comes_as_it_was_sent)
{
    const struct stager_answer a = an_answer();
    struct stager_answer got = {.verdict = STAGER_OK};

    ck_assert_msg(pass_answer(&a, &got) == 0, "%s", err.text);
    ck_assert_int_eq(got.verdict, STAGER_FAIL);
    ck_assert(got.is_retry_worthwhile);
    ck_assert_str_eq(got.code, a.code);
    ck_assert_str_eq(got.text, a.text);
    ck_assert_str_eq(got.target, a.target);
    ck_assert_str_eq(got.url, a.url);
    ck_assert_str_eq(got.sha256, a.sha256);
    ck_assert_int_eq(got.length_bytes, INT64_MAX);
    ck_assert_int_eq(got.manifest_version, 8);
    ck_assert_int_eq(got.root_version, 2);
}
END_TEST

START_TEST(a_text_that_nobody_should_print_comes_with_marks_in_its_place)
{
    struct stager_answer a = an_answer(), got;

    (void)str_copy(a.text, sizeof(a.text),
                   "a\x1b[2Jb\r\nc\xff\xc3\x28"
                   "d\xc2\x9b"
                   "e\x7f");
    ck_assert_msg(pass_answer(&a, &got) == 0, "%s", err.text);
    ck_assert_str_eq(got.text, "a?[2Jb??c??"
                               "(d??e?");
}
END_TEST

/* An answer as bytes, one line of which is replaced. */
static int parse_with(const char *key, const char *line)
{
    AUTO(buf_done) struct buf text = {0};
    AUTO(buf_done) struct buf spoiled = {0};
    const struct stager_answer a = an_answer();
    struct stager_answer got;
    const char *at, *end;

    buf_init(&text, STAGER_MAX_ANSWER_BYTES);
    buf_init(&spoiled, STAGER_MAX_ANSWER_BYTES);
    stager_answer_write(&a, &text);
    at = strstr(text.data, key);
    ck_assert_ptr_nonnull(at);
    end = strchr(at, '\n') + 1;
    (void)buf_add(&spoiled, text.data, (size_t)(at - text.data));
    (void)buf_add_str(&spoiled, line);
    (void)buf_add_str(&spoiled, end);
    ck_assert_int_eq(buf_error(&spoiled, "answer", &err), 0);
    return stager_answer_parse(spoiled.data, spoiled.len, &got, &err);
}

static const struct {
    const char *key, *line, *says;
} spoiled_lines[] = {
    {"verdict=", "", "\"verdict\""},
    {"verdict=", "verdict=fine\n", "\"verdict\""},
    {"verdict=", "verdict=0\n", "\"verdict\""},
    {"is_retry_worthwhile=", "is_retry_worthwhile=2\n", "\"is_retry_worthwhile\""},
    {"is_retry_worthwhile=", "is_retry_worthwhile=yes\n", "\"is_retry_worthwhile\""},
    {"code=", "code=a b\n", "\"code\""},
    {"code=", "code=../x\n", "\"code\""},
    {"code=", "code=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n",
     "\"code\""},
    {"text=", "text=\n", "\"text\""},
    {"text=", "", "\"text\""},
    {"target=", "target=../../etc\n", "\"target\""},
    {"target=", "target=1.2.\n", "\"target\""},
    {"target=", "target=1.2/3\n", "\"target\""},
    {"url=", "url=https://x/%0d%0aSet-Cookie\n", "\"url\""},
    {"url=", "url=https://x/a b\n", "\"url\""},
    {"sha256=", "sha256=00\n", "\"sha256\""},
    {"sha256=", "sha256=" HASH "0\n", "\"sha256\""},
    {"sha256=", "sha256=0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef\n",
     "\"sha256\""},
    {"length_bytes=", "length_bytes=-1\n", "\"length_bytes\""},
    {"length_bytes=", "length_bytes=9223372036854775808\n", "\"length_bytes\""},
    {"length_bytes=", "length_bytes=1e3\n", "\"length_bytes\""},
    {"manifest_version=", "manifest_version=\n", "\"manifest_version\""},
    {"root_version=", "", "\"root_version\""},
    {"end", "", "record"},
};

START_TEST(an_answer_that_makes_no_sense_is_refused_and_names_the_key)
{
    ck_assert_int_eq(parse_with(spoiled_lines[_i].key, spoiled_lines[_i].line), ERR_CORRUPT);
    ck_assert_msg(strstr(err.text, spoiled_lines[_i].says) != NULL, "%s", err.text);
}
END_TEST

START_TEST(a_later_record_is_told_from_a_broken_one)
{
    ck_assert_int_eq(parse_with("ssmd-record", "ssmd-record 2 stage-answer\n"), ERR_NEWER);
    ck_assert_int_eq(parse_with("ssmd-record", "ssmd-record 1 stage-ask\n"), ERR_INVALID);
    ck_assert_int_eq(parse_with("url=", "later_key=x\nurl=\n"), 0);
}
END_TEST

static const struct {
    size_t offset;
    const char *value, *says;
} bad_requests[] = {
    {offsetof(struct stager_request, update_dir), "update", "not absolute"},
    {offsetof(struct stager_request, slots_dir), "", "not absolute"},
    {offsetof(struct stager_request, root_file), "../x", "not absolute"},
    {offsetof(struct stager_request, from), "", "\"from\""},
    {offsetof(struct stager_request, from), "1..2", "\"from\""},
    {offsetof(struct stager_request, target), "", "\"target\""},
    {offsetof(struct stager_request, target), "1/2", "\"target\""},
    {offsetof(struct stager_request, sha256), "", "\"sha256\""},
    {offsetof(struct stager_request, sha256), "x", "\"sha256\""},
};

START_TEST(a_request_that_cannot_be_done_is_refused)
{
    struct stager_request q = a_request(STAGER_STAGE), got;

    memcpy((char *)&q + bad_requests[_i].offset, bad_requests[_i].value,
           strlen(bad_requests[_i].value) + 1);
    ck_assert_int_eq(pass_request(&q, &got), ERR_CORRUPT);
    ck_assert_msg(strstr(err.text, bad_requests[_i].says) != NULL, "%s", err.text);
}
END_TEST

START_TEST(before_the_choice_a_request_names_no_package)
{
    struct stager_request q = a_request(STAGER_FETCH), got;

    q.target[0] = q.sha256[0] = '\0';
    ck_assert_msg(pass_request(&q, &got) == 0, "%s", err.text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stager_protocol");
    TCase *t = tcase_create("records");
    SRunner *sr;
    int n_failed;

    tcase_add_loop_test(t, a_request_comes_as_it_was_sent, 0, STAGER_N_PHASES);
    tcase_add_test(t, the_longest_request_fits_where_it_is_read);
    tcase_add_test(t, an_answer_comes_as_it_was_sent);
    tcase_add_test(t, a_text_that_nobody_should_print_comes_with_marks_in_its_place);
    tcase_add_loop_test(t, an_answer_that_makes_no_sense_is_refused_and_names_the_key, 0,
                        (int)ARRAY_LEN(spoiled_lines));
    tcase_add_test(t, a_later_record_is_told_from_a_broken_one);
    tcase_add_loop_test(t, a_request_that_cannot_be_done_is_refused, 0,
                        (int)ARRAY_LEN(bad_requests));
    tcase_add_test(t, before_the_choice_a_request_names_no_package);
    suite_add_tcase(s, t);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
