/* S3 against a peer that checks signatures: where requests go, which region they are signed for,
 * what is tried again, files in one piece and in parts, and what its XML says. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "tests/lib/aws_peer.h"
#include "transport/s3.h"
#include "transport/s3_put.h"

#define MAX_SEEN 64

static uv_loop_t loop;
static struct aws_peer peer;
static struct aws_client client;
static struct s3 *s3;

/* Every request in order: "METHOD target region", and what the script answers. */
static struct {
    char lines[MAX_SEEN][400];
    size_t n;
    char head[4096]; /* of the last one */
    char object[64]; /* the beginning of the last body */
    size_t body_len;
} log_seen;

static struct {
    bool is_done;
    unsigned n_calls;
    int code;
    long status;
    char text[512], error_code[128], body[4096];
    bool is_permanent;
} seen;

/* What is answered to a request whose first line begins with `begins`, the first `times` times. */
struct answer {
    const char *begins;
    int status;
    const char *headers, *body;
    unsigned times;
};
static const struct answer *script;
static size_t n_script;
static unsigned n_given[16];

static void on_request(void *ctx, struct script_conn *conn, const struct aws_peer_request *request)
{
    const char *line_end = strstr(request->raw, " HTTP/1.1");
    char line[300], *target;
    size_t i;

    (void)ctx;
    (void)snprintf(line, sizeof(line), "%.*s", (int)(line_end - request->raw), request->raw);
    ck_assert_uint_lt(log_seen.n, MAX_SEEN);
    (void)snprintf(log_seen.lines[log_seen.n++], sizeof(log_seen.lines[0]), "%s %s", line,
                   request->refusal != NULL ? request->refusal : request->region);
    (void)str_copy(log_seen.head, sizeof(log_seen.head), request->raw);
    (void)str_copy(log_seen.object, sizeof(log_seen.object), request->body);
    log_seen.body_len = request->body_len;
    target = strchr(line, ' ');
    ck_assert_ptr_nonnull(target);
    for (i = 0; i < n_script; i++) {
        const struct answer *a = &script[i];

        if (!str_has_prefix(line, a->begins) || (a->times > 0 && n_given[i] >= a->times))
            continue;
        n_given[i]++;
        if (a->status == 0)
            script_reset(conn);
        else
            script_reply(conn, a->status, a->headers != NULL ? a->headers : "",
                         a->body != NULL && !str_has_prefix(line, "HEAD") ? a->body : "");
        return;
    }
    ck_abort_msg("no answer for %s", line);
}

static void on_done(void *ctx, const struct s3_result *result)
{
    (void)ctx;
    seen.is_done = true;
    seen.n_calls++;
    seen.code = result->err != NULL ? result->err->code : 0;
    seen.status = result->http_status;
    seen.is_permanent = s3_is_permanent(result);
    (void)str_copy(seen.text, sizeof(seen.text), result->err != NULL ? result->err->text : "");
    (void)str_copy(seen.error_code, sizeof(seen.error_code), result->error_code);
    (void)str_copy(seen.body, sizeof(seen.body), result->body);
}

static void setup(void)
{
    struct s3_options options = {.region = "us-east-1", .retry_unit_ms = 1};
    char url[64];
    struct err err = {0};

    memset(&seen, 0, sizeof(seen));
    memset(&log_seen, 0, sizeof(log_seen));
    memset(n_given, 0, sizeof(n_given));
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    aws_peer_start(&peer, &loop);
    peer.on_request = on_request;
    peer.region = NULL;
    aws_client_start(&client, &peer, &loop);
    options.http = client.http;
    options.credentials = client.credentials;
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d", peer.server.port);
    options.endpoint = url;
    ck_assert_msg(s3_new(&loop, &options, &s3, &err) == 0, "%s", err.text);
}

static void teardown(void)
{
    s3_close(s3);
    aws_client_stop(&client);
    script_server_stop(&peer.server);
    script_finish_loop(&loop);
}

static void call(const struct s3_request *request)
{
    struct err err = {0};

    memset(&seen, 0, sizeof(seen));
    ck_assert_msg(s3_start(s3, request, on_done, NULL, NULL, &err) == 0, "%s", err.text);
    ck_assert(!seen.is_done);
    script_run_until(&loop, &seen.is_done);
    ck_assert_uint_eq(seen.n_calls, 1);
}

static void get(void)
{
    const struct s3_request request = {.method = "GET", .bucket = "logs", .key = "a b/c+d"};

    call(&request);
}

#define SCRIPT(...)                                                                                \
    static const struct answer answers_[] = {__VA_ARGS__};                                         \
    script = answers_;                                                                             \
    n_script = ARRAY_LEN(answers_)

#define REGION(r) "x-amz-bucket-region: " r "\r\nx-amz-request-id: 1\r\n"
#define E(code, more) "<Error><Code>" code "</Code><Message>why</Message>" more "</Error>"

START_TEST(a_buckets_region_is_asked_once_and_then_signed_for)
{
    SCRIPT({"HEAD /logs/", 400, REGION("eu-west-1"), NULL, 0}, {"GET ", 200, NULL, "bytes", 0});
    get();
    ck_assert_msg(seen.code == 0, "%s", seen.text);
    ck_assert_str_eq(seen.body, "bytes");
    get();
    ck_assert_uint_eq(log_seen.n, 3);
    ck_assert_str_eq(log_seen.lines[0], "HEAD /logs/ us-east-1");
    ck_assert_str_eq(log_seen.lines[1], "GET /logs/a%20b/c%2Bd eu-west-1");
    ck_assert_str_eq(log_seen.lines[2], "GET /logs/a%20b/c%2Bd eu-west-1");
}
END_TEST

START_TEST(a_bucket_whose_region_nobody_names_is_in_the_nodes)
{
    SCRIPT({"HEAD /logs/", 200, NULL, NULL, 0}, {"GET ", 200, NULL, "bytes", 0});
    get();
    ck_assert_int_eq(seen.code, 0);
    ck_assert_uint_eq(log_seen.n, 3); /* signed, unsigned, the request */
    ck_assert_str_eq(log_seen.lines[1], "HEAD /logs/ MissingAuthenticationTokenException");
    ck_assert_str_eq(log_seen.lines[2], "GET /logs/a%20b/c%2Bd us-east-1");
}
END_TEST

/* status, headers, body of an answer that names eu-west-1 in one of its ways */
static const struct answer moves[] = {
    {"GET", 301, REGION("eu-west-1"), E("PermanentRedirect", ""), 1},
    {"GET", 307, NULL, E("TemporaryRedirect", "<Region>eu-west-1</Region>"), 1},
    {"GET", 400, NULL, E("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"), 1},
    {"GET", 301, NULL,
     E("PermanentRedirect", "<Endpoint>logs.s3-eu-west-1.amazonaws.com</Endpoint>"), 1},
};

START_TEST(an_answer_that_names_another_region_moves_the_request_there)
{
    struct answer answers[] = {
        {"HEAD", 200, REGION("us-east-1"), NULL, 0}, moves[_i], {"GET ", 200, NULL, "bytes", 0}};

    script = answers;
    n_script = ARRAY_LEN(answers);
    get();
    ck_assert_msg(seen.code == 0, "%s", seen.text);
    ck_assert_uint_eq(log_seen.n, 3);
    ck_assert_str_eq(log_seen.lines[2], "GET /logs/a%20b/c%2Bd eu-west-1");
}
END_TEST

static const struct {
    struct answer answer;
    int code;
    bool is_permanent;
    unsigned n_requests;
} outcomes[] = {
    {{"GET", 404, NULL, E("NoSuchBucket", ""), 0}, ERR_REFUSED, true, 1},
    {{"GET", 404, NULL, E("NoSuchKey", ""), 0}, ERR_REFUSED, true, 1},
    {{"GET", 403, NULL, E("AccessDenied", ""), 0}, ERR_AUTH, true, 1},
    {{"GET", 503, NULL, E("SlowDown", ""), 2}, 0, false, 3},
    {{"GET", 503, NULL, E("SlowDown", ""), 0}, ERR_THROTTLED, false, 4},
    {{"GET", 500, NULL, E("InternalError", ""), 1}, 0, false, 2},
    /* One more: libcurl itself asks again when a kept connection turns out to be dead. */
    {{"GET", 0, NULL, NULL, 0}, ERR_NETWORK, false, 5},
    {{"GET", 404, "Content-Type: text/html\r\n", "<html>not here</html>", 0},
     ERR_PROTOCOL,
     false,
     1},
    {{"GET", 200, "Content-Type: text/html\r\n", "<html>log in</html>", 0}, ERR_PROTOCOL, false, 1},
    {{"GET", 304, NULL, NULL, 0}, 0, false, 1},
};

START_TEST(an_answer_means_what_the_table_says)
{
    struct answer answers[] = {{"HEAD", 200, REGION("us-east-1"), NULL, 0},
                               outcomes[_i].answer,
                               {"GET ", 200, NULL, "bytes", 0}};

    script = answers;
    n_script = ARRAY_LEN(answers);
    get();
    ck_assert_msg(seen.code == outcomes[_i].code, "%d: %s", seen.code, seen.text);
    ck_assert_int_eq(seen.is_permanent, outcomes[_i].is_permanent);
    ck_assert_uint_eq(log_seen.n - 1, outcomes[_i].n_requests);
}
END_TEST

/* A peer that knows where the bucket is and refuses what was not signed by its own clock. It gives
 * its first answers only when `n_held` requests have come. */
static struct {
    struct script_conn *conns[4];
    bool is_head[4];
    unsigned n, n_held;
} held;

static void answer_by_clock(void *ctx, struct script_conn *conn,
                            const struct aws_peer_request *request)
{
    bool is_head = str_has_prefix(request->raw, "HEAD ");
    unsigned i;

    (void)ctx;
    if (request->refusal == NULL || held.n_held == 0) {
        aws_peer_reply(&peer, conn, request->refusal == NULL ? 200 : 403, is_head ? "" : "bytes");
        return;
    }
    held.conns[held.n] = conn;
    held.is_head[held.n++] = is_head;
    if (held.n < held.n_held)
        return;
    for (i = 0; i < held.n; i++)
        aws_peer_reply(&peer, held.conns[i], 403,
                       held.is_head[i] ? "" : E("RequestTimeTooSkewed", ""));
    held.n_held = 0;
}

static struct {
    unsigned n_done, n_failed;
    bool are_all_done;
    char text[512];
} pair;

static void on_one_of_two(void *ctx, const struct s3_result *result)
{
    (void)ctx;
    if (result->err != NULL) {
        pair.n_failed++;
        (void)str_copy(pair.text, sizeof(pair.text), result->err->text);
    }
    pair.are_all_done = ++pair.n_done == 2;
}

static const char *const clock_methods[] = {"GET", "HEAD"};

START_TEST(what_another_call_learned_of_the_clock_counts_for_a_call_that_was_refused)
{
    const struct s3_request request = {
        .method = clock_methods[_i], .bucket = "logs", .key = "a b/c+d"};
    struct err err = {0};
    int i;

    SCRIPT({"HEAD", 200, REGION("us-east-1"), NULL, 0}, {"GET ", 200, NULL, "bytes", 0});
    get(); /* the bucket's region is known from here on */
    memset(&held, 0, sizeof(held));
    memset(&pair, 0, sizeof(pair));
    held.n_held = 2;
    peer.on_request = answer_by_clock;
    peer.clock_offset_ms = INT64_C(3600) * 1000;
    for (i = 0; i < 2; i++)
        ck_assert_int_eq(s3_start(s3, &request, on_one_of_two, NULL, NULL, &err), 0);
    script_run_until(&loop, &pair.are_all_done);
    ck_assert_uint_eq(held.n, 2);
    ck_assert_msg(pair.n_failed == 0, "%s", pair.text);
}
END_TEST

START_TEST(a_clock_that_is_wrong_at_the_question_for_the_region_is_right_at_the_request)
{
    memset(&held, 0, sizeof(held));
    held.n_held = 1;
    peer.on_request = answer_by_clock;
    peer.clock_offset_ms = INT64_C(-3600) * 1000;
    get();
    ck_assert_msg(seen.code == 0, "%s", seen.text);
    ck_assert_str_eq(seen.body, "bytes");
    ck_assert_uint_eq(held.n, 1); /* the question: nothing was refused after it */
    ck_assert(held.is_head[0]);
}
END_TEST

static struct {
    char bytes[64];
    size_t n;
    unsigned n_begun;
    bool is_refusing;
} sunk;

static int sink(void *ctx, const void *bytes, size_t n, struct err *err)
{
    (void)ctx;
    if (sunk.is_refusing && n > 0)
        return err_set(err, ERR_FULL, "the disk is full");
    if (n == 0) {
        sunk.n_begun++;
        sunk.n = 0;
    }
    memcpy(sunk.bytes + sunk.n, bytes, n);
    sunk.n += n;
    return 0;
}

START_TEST(an_objects_bytes_go_to_the_sink_and_an_errors_do_not)
{
    const struct s3_request request = {.method = "GET", .bucket = "logs", .key = "k", .sink = sink};

    SCRIPT({"HEAD", 200, REGION("us-east-1"), NULL, 0},
           {"GET", 500, NULL, E("InternalError", ""), 1}, {"GET", 200, NULL, "the object", 0});
    memset(&sunk, 0, sizeof(sunk));
    call(&request);
    ck_assert_msg(seen.code == 0, "%s", seen.text);
    ck_assert_uint_eq(sunk.n_begun, 2);
    ck_assert_uint_eq(sunk.n, strlen("the object"));
    sunk.is_refusing = true;
    call(&request);
    ck_assert_int_eq(seen.code, ERR_IO);
    ck_assert_ptr_nonnull(strstr(seen.text, "the disk is full"));
}
END_TEST

static int make_file(size_t n)
{
    char name[] = "/tmp/test_s3.XXXXXX";
    int fd = mkstemp(name);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(unlink(name), 0);
    if (n < 64) {
        ck_assert_int_eq(pwrite(fd, "hello world\n", n, 0), (ssize_t)n);
    } else {
        ck_assert_int_eq(ftruncate(fd, (off_t)n), 0);
    }
    return fd;
}

static ssize_t read_file(void *ctx, void *bytes, size_t n, int64_t offset)
{
    return pread(*(const int *)ctx, bytes, n, (off_t)offset);
}

static void put(int fd, int64_t n)
{
    const struct s3_put_request request = {
        .bucket = "logs", .key = "pre/x/stdout", .source = {read_file, &fd, 0, n}};
    struct err err = {0};

    memset(&seen, 0, sizeof(seen));
    ck_assert_msg(s3_put_start(s3, &request, on_done, NULL, NULL, &err) == 0, "%s", err.text);
    script_run_until(&loop, &seen.is_done);
    ck_assert_uint_eq(seen.n_calls, 1);
}

#define RULE(algorithm, more)                                                                      \
    "<?xml version=\"1.0\"?><ServerSideEncryptionConfiguration><Rule>"                             \
    "<ApplyServerSideEncryptionByDefault><SSEAlgorithm>" algorithm "</SSEAlgorithm>" more          \
    "</ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"

static const struct {
    int status;
    const char *body, *algorithm, *key;
} encryptions[] = {
    {404, E("ServerSideEncryptionConfigurationNotFoundError", ""), "", ""},
    {403, E("AccessDenied", ""), "", ""},
    {200, RULE("AES256", "<KMSMasterKeyID>k</KMSMasterKeyID>"), "AES256", ""},
    {200, RULE("aws:kms", "<KMSMasterKeyID>arn:k</KMSMasterKeyID>"), "aws:kms", "arn:k"},
    {200, RULE("aws:kms", ""), "aws:kms", ""},
    {200, RULE("aws:kms:dsse", ""), "", ""},
    {200, "not xml", "", ""},
};

START_TEST(a_file_goes_up_with_the_buckets_own_encryption)
{
    struct answer answers[] = {
        {"HEAD", 200, REGION("us-east-1"), NULL, 0},
        {"GET /logs/?encryption=", encryptions[_i].status, NULL, encryptions[_i].body, 0},
        {"PUT /logs/pre/x/stdout", 200, "ETag: \"1\"\r\n", NULL, 0}};
    char value[300];
    int fd = make_file(12);

    script = answers;
    n_script = ARRAY_LEN(answers);
    put(fd, 12);
    ck_assert_msg(seen.code == 0, "%s", seen.text);
    ck_assert_str_eq(log_seen.lines[2], "PUT /logs/pre/x/stdout us-east-1"); /* its hash holds */
    ck_assert_str_eq(log_seen.object, "hello world\n");
    script_header(log_seen.head, "x-amz-server-side-encryption", value, sizeof(value));
    ck_assert_str_eq(value, encryptions[_i].algorithm);
    script_header(log_seen.head, "x-amz-server-side-encryption-aws-kms-key-id", value,
                  sizeof(value));
    ck_assert_str_eq(value, encryptions[_i].key);
    script_header(log_seen.head, "x-amz-acl", value, sizeof(value));
    ck_assert_str_eq(value, "bucket-owner-full-control");
    script_header(log_seen.head, "Content-Type", value, sizeof(value));
    ck_assert_str_eq(value, "text/plain");
    script_header(log_seen.head, "Content-MD5", value, sizeof(value));
    ck_assert_str_eq(value, "b1kCrCNwJL3QwXbLkwY9xA=="); /* spec 01, section 12.3, vector B */
    script_header(log_seen.head, "x-amz-content-sha256", value, sizeof(value));
    ck_assert_str_eq(value, "a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447");
    script_header(log_seen.head, "Content-Length", value, sizeof(value));
    ck_assert_str_eq(value, "12");
    (void)close(fd);
}
END_TEST

#define CREATED                                                                                    \
    "<InitiateMultipartUploadResult><UploadId>u+1</UploadId></InitiateMultipartUploadResult>"

START_TEST(a_large_file_goes_up_in_parts)
{
    int64_t n = S3_PART_BYTES + 5;
    int fd = make_file((size_t)n);

    SCRIPT(
        {"HEAD", 200, REGION("us-east-1"), NULL, 0}, {"GET", 404, NULL, E("None", ""), 0},
        {"POST /logs/pre/x/stdout?uploads=", 200, NULL, CREATED, 0},
        {"PUT /logs/pre/x/stdout?partNumber=1&uploadId=u%2B1", 500, NULL, E("InternalError", ""),
         1},
        {"PUT /logs/pre/x/stdout?partNumber=1&uploadId=u%2B1", 200, "ETag: \"one\"\r\n", NULL, 0},
        {"PUT /logs/pre/x/stdout?partNumber=2&uploadId=u%2B1", 200, "ETag: \"two\"\r\n", NULL, 0},
        {"POST /logs/pre/x/stdout?uploadId=u%2B1", 200, NULL, "<CompleteMultipartUploadResult/>",
         0});
    put(fd, n);
    ck_assert_msg(seen.code == 0, "%s", seen.text);
    ck_assert_uint_eq(log_seen.n, 7);
    ck_assert_str_eq(log_seen.lines[4], "PUT /logs/pre/x/stdout?partNumber=1&uploadId=u%2B1 "
                                        "us-east-1");
    ck_assert_ptr_nonnull(strstr(log_seen.head,
                                 "<Part><ETag>&quot;one&quot;</ETag><PartNumber>1</PartNumber>"
                                 "</Part><Part><ETag>&quot;two&quot;</ETag><PartNumber>2"));
    (void)close(fd);
}
END_TEST

START_TEST(parts_of_a_file_that_cannot_be_finished_are_taken_back)
{
    int fd = make_file((size_t)S3_PART_BYTES * 2);

    SCRIPT({"HEAD", 200, REGION("us-east-1"), NULL, 0}, {"GET", 404, NULL, E("None", ""), 0},
           {"POST /logs/pre/x/stdout?uploads=", 200, NULL, CREATED, 0},
           {"PUT", 200, "ETag: \"one\"\r\n", NULL, 0},
           {"POST", 200, NULL, E("InternalError", ""), 0}, {"DELETE", 204, NULL, NULL, 0});
    put(fd, S3_PART_BYTES * 2);
    ck_assert_int_eq(seen.code, ERR_SERVER);
    ck_assert_str_eq(seen.error_code, "InternalError");
    ck_assert_str_eq(log_seen.lines[log_seen.n - 1],
                     "DELETE /logs/pre/x/stdout?uploadId=u%2B1 us-east-1");
    (void)close(fd);
}
END_TEST

START_TEST(a_file_that_became_shorter_is_said_and_nothing_waits)
{
    int fd = make_file(12);

    SCRIPT({"HEAD", 200, REGION("us-east-1"), NULL, 0}, {"GET", 404, NULL, E("None", ""), 0});
    put(fd, 13);
    ck_assert_int_eq(seen.code, ERR_IO);
    ck_assert_ptr_nonnull(strstr(seen.text, "shorter"));
    (void)close(fd);
}
END_TEST

static struct {
    struct s3_list list;
    bool is_done;
    int code;
} listed;

static void on_list(void *ctx, const struct s3_result *result, struct s3_list *list)
{
    (void)ctx;
    listed.is_done = true;
    listed.code = result->err != NULL ? result->err->code : 0;
    if (list != NULL)
        listed.list = TAKE_STRUCT(*list);
}

START_TEST(a_list_comes_page_by_page)
{
    const struct s3_list_request request = {
        .bucket = "logs", .prefix = "a b/", .delimiter = "/", .marker = "a b/1"};
    struct err err = {0};

    SCRIPT({"HEAD", 200, REGION("us-east-1"), NULL, 0},
           {"GET /logs/?prefix=a%20b%2F&delimiter=%2F&marker=a%20b%2F1", 200, NULL,
            "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
            "<IsTruncated>true</IsTruncated><NextMarker>a b/c/</NextMarker>"
            "<Contents><Key>a b/2&amp;</Key><Size>12</Size></Contents>"
            "<CommonPrefixes><Prefix>a b/c/</Prefix></CommonPrefixes></ListBucketResult>",
            0});
    memset(&listed, 0, sizeof(listed));
    ck_assert_int_eq(s3_list(s3, &request, on_list, NULL, NULL, &err), 0);
    script_run_until(&loop, &listed.is_done);
    ck_assert_int_eq(listed.code, 0);
    ck_assert_uint_eq(listed.list.n_objects, 2);
    ck_assert_str_eq(listed.list.objects[0].key, "a b/2&");
    ck_assert_int_eq(listed.list.objects[0].size_bytes, 12);
    ck_assert_str_eq(listed.list.objects[1].key, "a b/c/");
    ck_assert(listed.list.objects[1].is_prefix);
    ck_assert_str_eq(listed.list.next, "a b/c/");
    s3_list_done(&listed.list);
}
END_TEST

START_TEST(what_is_under_way_can_be_dropped_at_any_moment)
{
    const struct s3_request request = {.method = "GET", .bucket = "logs", .key = "k"};
    struct s3_call *one = NULL;
    struct err err = {0};
    int i;

    SCRIPT({"HEAD", 200, REGION("us-east-1"), NULL, 0}, {"GET", 200, NULL, "bytes", 0});
    memset(&seen, 0, sizeof(seen));
    ck_assert_int_eq(s3_start(s3, &request, on_done, NULL, &one, &err), 0);
    for (i = 0; i < _i; i++)
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    if (!seen.is_done)
        s3_cancel(one);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_uint_le(seen.n_calls, 1);
}
END_TEST

static const struct {
    const char *endpoint, *bucket, *key, *url;
} addresses[] = {
    {"https://s3.eu-west-1.amazonaws.com", "logs", "a/b",
     "https://logs.s3.eu-west-1.amazonaws.com/a/b"},
    {"https://s3.eu-west-1.amazonaws.com", "lo.gs", "a",
     "https://s3.eu-west-1.amazonaws.com/lo.gs/a"},
    {"http://s3.local:9000", "lo.gs", "a", "http://lo.gs.s3.local:9000/a"},
    {"https://s3.eu-west-1.amazonaws.com", "Logs", "a",
     "https://s3.eu-west-1.amazonaws.com/Logs/a"},
    {"https://s3.eu-west-1.amazonaws.com", "lo_gs", NULL,
     "https://s3.eu-west-1.amazonaws.com/lo_gs/"},
    {"http://s3.local", "10.0.0.1", "a", "http://s3.local/10.0.0.1/a"},
    {"http://127.0.0.1:80", "logs", "a b+~\xc3\xa4", "http://127.0.0.1/logs/a%20b%2B~%C3%A4"},
    {"http://[::1]:9000", "logs", NULL, "http://[::1]:9000/logs/"},
    {"https://localhost:9000", "logs", NULL, "https://logs.localhost:9000/"},
    {"https://s3.eu-west-1.amazonaws.com", "a/b", NULL, NULL},
    {"https://s3.eu-west-1.amazonaws.com", "..", NULL, NULL},
    {"https://s3.eu-west-1.amazonaws.com", "", NULL, NULL},
};

START_TEST(a_bucket_is_addressed_as_the_table_says)
{
    AUTO(s3_address_done) struct s3_address a = {0};
    struct endpoint e;
    struct err err = {0};
    int r;

    ck_assert_int_eq(endpoint_make(AWS_S3, "eu-west-1", NULL, addresses[_i].endpoint, &e, &err), 0);
    r = s3_address_make(&e, addresses[_i].bucket, addresses[_i].key, NULL, &a, &err);
    if (addresses[_i].url == NULL) {
        ck_assert_int_eq(r, ERR_INVALID);
        return;
    }
    ck_assert_msg(r == 0, "%s", err.text);
    ck_assert_str_eq(a.url.data, addresses[_i].url);
}
END_TEST

static const struct {
    const char *host, *region;
} hosts[] = {
    {"s3.eu-west-1.amazonaws.com", "eu-west-1"},
    {"logs.s3-eu-west-1.amazonaws.com", "eu-west-1"},
    {"s3-logs.s3.cn-north-1.amazonaws.com.cn", "cn-north-1"},
    {"s3.dualstack.us-east-2.amazonaws.com", "us-east-2"},
    {"s3.amazonaws.com", NULL},
    {"logs.s3.amazonaws.com", NULL},
    {"example.com", NULL},
    {"", NULL},
};

START_TEST(a_region_is_read_out_of_a_host_name)
{
    char region[S3_REGION_SIZE] = "";

    ck_assert_int_eq(s3_region_of_host(hosts[_i].host, region), hosts[_i].region != NULL);
    ck_assert_str_eq(region, hosts[_i].region != NULL ? hosts[_i].region : "");
}
END_TEST

START_TEST(xml_that_is_not_s3s_is_refused)
{
    static const char *const bad[] = {
        "",
        "{}",
        "<ListBucketResult>",
        "<Other/>",
        "<!DOCTYPE x [<!ENTITY a \"b\">]><ListBucketResult>&a;</ListBucketResult>",
        "<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>k</Key><Size>-1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>",
    };
    struct s3_list list = {0};
    struct err err = {0};

    ck_assert_int_lt(s3_xml_list(bad[_i], strlen(bad[_i]), &list, &err), 0);
    ck_assert_ptr_null(list.objects);
    ck_assert_str_ne(err.text, "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("s3");
    TCase *calls = tcase_create("calls"), *pure = tcase_create("pure");
    SRunner *runner;
    int n_failed;

    tcase_set_timeout(calls, 240); /* hashes of megabytes, under sanitizers */
    tcase_add_checked_fixture(calls, setup, teardown);
    tcase_add_test(calls, a_buckets_region_is_asked_once_and_then_signed_for);
    tcase_add_test(calls, a_bucket_whose_region_nobody_names_is_in_the_nodes);
    tcase_add_loop_test(calls, an_answer_that_names_another_region_moves_the_request_there, 0,
                        ARRAY_LEN(moves));
    tcase_add_loop_test(calls, an_answer_means_what_the_table_says, 0, ARRAY_LEN(outcomes));
    tcase_add_loop_test(calls,
                        what_another_call_learned_of_the_clock_counts_for_a_call_that_was_refused,
                        0, ARRAY_LEN(clock_methods));
    tcase_add_test(calls,
                   a_clock_that_is_wrong_at_the_question_for_the_region_is_right_at_the_request);
    tcase_add_test(calls, an_objects_bytes_go_to_the_sink_and_an_errors_do_not);
    tcase_add_loop_test(calls, a_file_goes_up_with_the_buckets_own_encryption, 0,
                        ARRAY_LEN(encryptions));
    tcase_add_test(calls, a_large_file_goes_up_in_parts);
    tcase_add_test(calls, parts_of_a_file_that_cannot_be_finished_are_taken_back);
    tcase_add_test(calls, a_file_that_became_shorter_is_said_and_nothing_waits);
    tcase_add_test(calls, a_list_comes_page_by_page);
    tcase_add_loop_test(calls, what_is_under_way_can_be_dropped_at_any_moment, 0, 12);
    tcase_add_loop_test(pure, a_bucket_is_addressed_as_the_table_says, 0, ARRAY_LEN(addresses));
    tcase_add_loop_test(pure, a_region_is_read_out_of_a_host_name, 0, ARRAY_LEN(hosts));
    tcase_add_loop_test(pure, xml_that_is_not_s3s_is_refused, 0, 9);
    suite_add_tcase(suite, calls);
    suite_add_tcase(suite, pure);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
