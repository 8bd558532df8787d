/* Version 4 signatures: the vectors of spec 01, section 12.3, AWS's published suite, and what the
 * checking side must refuse. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "transport/sigv4.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define TOKEN "TESTSESSIONTOKEN123"
#define AT "20240102T030405Z"
#define UNRESERVED "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define SUITE_TOKEN                                                                                \
    "AQoDYXdzEPT//////////"                                                                        \
    "wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwth" \
    "Ax7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFv" \
    "lRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+"                             \
    "scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
#define HELLO_SHA256 "a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447"
#define JSON_BODY                                                                                  \
    "{\"AgentName\":\"amazon-ssm-agent\",\"AgentVersion\":\"3.3.0.0\","                            \
    "\"InstanceId\":\"i-0123456789abcdef0\",\"PlatformType\":\"Linux\"}"
#define MGS_BODY                                                                                   \
    "{\"MessageSchemaVersion\":\"1.0\",\"RequestId\":\"11111111-2222-4333-8444-555555555555\"}"
#define S3_HOST "amzn-s3-demo-bucket.s3.us-west-2.amazonaws.com"
#define S3_KEY                                                                                     \
    "/prefix/0831e1a8-f1ac-4257-a1fd-c831b48c4107/i-0123456789abcdef0/awsrunShellScript/"          \
    "0.awsrunShellScript/stdout"

struct vector {
    const char *name, *date, *region, *service;
    const char *method, *path, *query;
    struct header headers[10]; /* ends at the first without a name */
    const char *body;
    const char *canonical_sha256; /* NULL: not published */
    const char *signature;
};

#define SPEC .date = AT, .region = "us-east-1"
#define SUITE .date = "20150830T123600Z", .region = "us-east-1", .service = "service"
#define DATE_AND_TOKEN                                                                             \
    {"X-Amz-Date", AT},                                                                            \
    {                                                                                              \
        "X-Amz-Security-Token", TOKEN                                                              \
    }
#define MGS_HOST                                                                                   \
    {                                                                                              \
        "Host", "ssmmessages.us-east-1.amazonaws.com"                                              \
    }
#define SUITE_HOST                                                                                 \
    {"Host", "example.amazonaws.com"},                                                             \
    {                                                                                              \
        "X-Amz-Date", "20150830T123600Z"                                                           \
    }
#define SSM_HEADERS                                                                                \
    {"Host", "ssm.us-east-1.amazonaws.com"}, {"Content-Type", "application/x-amz-json-1.1"},       \
        {"Content-Length", "115"}, {"X-Amz-Target", "AmazonSSM.UpdateInstanceInformation"},        \
        {"User-Agent", "not signed"},                                                              \
    {                                                                                              \
        "X-Amzn-Trace-Id", "not signed"                                                            \
    }
#define S3_PUT_HEADERS                                                                             \
    {"Host", S3_HOST}, {"Content-Length", "12"}, {"Content-MD5", "b1kCrCNwJL3QwXbLkwY9xA=="},      \
        {"Content-Type", "text/plain"}, {"X-Amz-Acl", "bucket-owner-full-control"},                \
    {                                                                                              \
        "X-Amz-Content-Sha256", HELLO_SHA256                                                       \
    }

static const struct vector vectors[] = {
    {.name = "A json",
     SPEC,
     .service = "ssm",
     .method = "POST",
     .path = "/",
     .headers = {SSM_HEADERS, DATE_AND_TOKEN},
     .body = JSON_BODY,
     .canonical_sha256 = "d7ce3b23b24ce1861503488e2d0e21298d07cb8c1ca7e4cc19c59b5586f2d0b3",
     .signature = "3114c870bc7abaa5fac10dda0ba752e63053c19ae7ef46b1809e3a85faa4a6db"},
    {.name = "A without token",
     SPEC,
     .service = "ssm",
     .method = "POST",
     .path = "/",
     .headers = {SSM_HEADERS, {"X-Amz-Date", AT}},
     .body = JSON_BODY,
     .canonical_sha256 = "8de2b04f56dd20aefc76379a1e6f5533bd2a6a30718c77e02bd870f9f944c8fa",
     .signature = "30c307a89cc44fb9e504bd597004ec5a1db96f02f039dcb8b7d5ed5ae8990fc1"},
    {.name = "B put",
     .date = AT,
     .region = "us-west-2",
     .service = "s3",
     .method = "PUT",
     .path = S3_KEY,
     .headers = {S3_PUT_HEADERS, DATE_AND_TOKEN},
     .body = "hello world\n",
     .canonical_sha256 = "0ef197fb865c1e1acdb75c63bb2b9650631b49308fe8bd984cadc72908baf476",
     .signature = "2a9e97f4484dd842870ecbc4013e78cbd301419045fd15fe90d64c193ad0fbb1"},
    {.name = "B put, encrypted",
     .date = AT,
     .region = "us-west-2",
     .service = "s3",
     .method = "PUT",
     .path = S3_KEY,
     .headers = {S3_PUT_HEADERS, DATE_AND_TOKEN, {"X-Amz-Server-Side-Encryption", "AES256"}},
     .body = "hello world\n",
     .signature = "9193db09c476ecd761f031514f9c51e1354349fd9c8f7803ffe6841dbc7790a5"},
    {.name = "B2 get",
     .date = AT,
     .region = "us-west-2",
     .service = "s3",
     .method = "GET",
     .path = "/scripts/hello%20world/a%2Bb.sh",
     .headers = {{"Host", S3_HOST}, {"X-Amz-Content-Sha256", SIGV4_EMPTY_SHA256}, DATE_AND_TOKEN},
     .canonical_sha256 = "18385248aaa0d13983d3ed6ea293320115887566bd4252cb697cceeb70c9560c",
     .signature = "e0b73faed5591cbcafb8d46aee12c7b77300cafa7c12783c79e04674d1e37ec5"},
    {.name = "B3 encryption",
     .date = AT,
     .region = "us-west-2",
     .service = "s3",
     .method = "GET",
     .path = "/",
     .query = "encryption=",
     .headers = {{"Host", S3_HOST}, {"X-Amz-Content-Sha256", SIGV4_EMPTY_SHA256}, DATE_AND_TOKEN},
     .canonical_sha256 = "b73547e0ffab2885bd96aeb3ace84e1aaf2bd6fc66f60c4844c63c4787ebb070",
     .signature = "21bc1d7c9ca638de1fe6a94e7f1d1439a9187f995739d35e4caac8a9ecc5acff"},
    {.name = "C create control channel",
     SPEC,
     .service = "ssmmessages",
     .method = "POST",
     .path = "/v1/control-channel/i-0123456789abcdef0",
     .headers = {MGS_HOST, {"Content-Type", "application/json"}, DATE_AND_TOKEN},
     .body = MGS_BODY,
     .canonical_sha256 = "f63be6435384dde3ec4482c16bfe82abb8e052b9cb4cfc58fe84f4ef725bbdaa",
     .signature = "4743640e254a6110ab85d8635b20f794a1648be362879c43c4dbfcc7b5b5c23b"},
    {.name = "D control channel",
     SPEC,
     .service = "ssmmessages",
     .method = "GET",
     .path = "/v1/control-channel/i-0123456789abcdef0",
     .query = "role=subscribe&stream=input",
     .headers = {MGS_HOST, DATE_AND_TOKEN},
     .canonical_sha256 = "1cc9aa295fbbccf604fe276ed4ef83c53325e3ffbc0ef9416f3fdb21c9157036",
     .signature = "9b5a205d759fb6f23e424ffa8fa6cf8d25ea6d53128419e1df303caba6ff8bbe"},
    {.name = "D2 data channel",
     SPEC,
     .service = "ssmmessages",
     .method = "GET",
     .path = "/v1/data-channel/alice-0123456789abcdef0",
     .query = "role=publish_subscribe",
     .headers = {MGS_HOST, DATE_AND_TOKEN},
     .canonical_sha256 = "1be768694055c83cc9fd3a9a7ed3453100611f57dd5c541a1603e0002ac3727b",
     .signature = "2ef47caaaba9635595d808eed7c72a03c187471fe1adb8bb64d6ac2e913d9f3e"},
    {.name = "D3 colon in the path",
     SPEC,
     .service = "ssmmessages",
     .method = "GET",
     .path = "/v1/control-channel/ecs:mycluster_0123456789abcdef_abcdef-1",
     .query = "role=subscribe&stream=input",
     .headers = {MGS_HOST, DATE_AND_TOKEN},
     .canonical_sha256 = "76ce9b9ae29cac8e895f5e5e5f022ecae2356b64bd2aff90977fed6bc0e92b70",
     .signature = "cc9dee605c46302620bb9d09924c21b269cca4fc01f07441be73a446856fa260"},

    /* AWS's suite. Left out: the multi-line header, which HTTP no longer has. */
    {.name = "get-vanilla",
     SUITE,
     .method = "GET",
     .path = "/",
     .headers = {SUITE_HOST},
     .canonical_sha256 = "bb579772317eb040ac9ed261061d46c1f17a8133879d6129b6e1c25292927e63",
     .signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {.name = "get-header-key-duplicate",
     SUITE,
     .method = "GET",
     .path = "/",
     .headers =
         {SUITE_HOST, {"My-Header1", "value2"}, {"My-Header1", "value2"}, {"My-Header1", "value1"}},
     .signature = "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
    {.name = "get-header-value-order",
     SUITE,
     .method = "GET",
     .path = "/",
     .headers = {SUITE_HOST,
                 {"My-Header1", "value4"},
                 {"My-Header1", "value1"},
                 {"My-Header1", "value3"},
                 {"My-Header1", "value2"}},
     .signature = "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
    {.name = "get-header-value-trim",
     SUITE,
     .method = "GET",
     .path = "/",
     .headers = {SUITE_HOST, {"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\""}},
     .signature = "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {.name = "get-relative",
     SUITE,
     .method = "GET",
     .path = "/example/..",
     .headers = {SUITE_HOST},
     .signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {.name = "get-relative-relative",
     SUITE,
     .method = "GET",
     .path = "/example1/example2/../..",
     .headers = {SUITE_HOST},
     .signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {.name = "get-slash",
     SUITE,
     .method = "GET",
     .path = "//",
     .headers = {SUITE_HOST},
     .signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {.name = "get-slash-dot-slash",
     SUITE,
     .method = "GET",
     .path = "/./",
     .headers = {SUITE_HOST},
     .signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {.name = "get-slash-pointless-dot",
     SUITE,
     .method = "GET",
     .path = "/./example",
     .headers = {SUITE_HOST},
     .signature = "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"},
    {.name = "get-slashes",
     SUITE,
     .method = "GET",
     .path = "//example//",
     .headers = {SUITE_HOST},
     .signature = "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
    {.name = "get-space",
     SUITE,
     .method = "GET",
     .path = "/example space/",
     .headers = {SUITE_HOST},
     .signature = "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
    {.name = "get-unreserved",
     SUITE,
     .method = "GET",
     .path = "/" UNRESERVED,
     .headers = {SUITE_HOST},
     .signature = "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
    {.name = "get-utf8",
     SUITE,
     .method = "GET",
     .path = "/\xe1\x88\xb4",
     .headers = {SUITE_HOST},
     .signature = "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    {.name = "get-vanilla-empty-query-key",
     SUITE,
     .method = "GET",
     .path = "/",
     .query = "Param1=value1",
     .headers = {SUITE_HOST},
     .signature = "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
    {.name = "get-vanilla-query-order-encoded",
     SUITE,
     .method = "GET",
     .path = "/",
     .query = "Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
     .headers = {SUITE_HOST},
     .signature = "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"},
    {.name = "get-vanilla-query-order-key",
     SUITE,
     .method = "GET",
     .path = "/",
     .query = "Param2=value2&Param1=value1",
     .headers = {SUITE_HOST},
     .signature = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {.name = "get-vanilla-query-unreserved",
     SUITE,
     .method = "GET",
     .path = "/",
     .query = UNRESERVED "=" UNRESERVED,
     .headers = {SUITE_HOST},
     .signature = "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
    {.name = "get-vanilla-utf8-query",
     SUITE,
     .method = "GET",
     .path = "/",
     .query = "\xe1\x88\xb4=bar",
     .headers = {SUITE_HOST},
     .signature = "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
    {.name = "get-vanilla-with-session-token",
     SUITE,
     .method = "GET",
     .path = "/",
     .headers = {SUITE_HOST,
                 {"X-Amz-Security-Token",
                  "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"}},
     .signature = "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"},
    {.name = "post-header-key-sort",
     SUITE,
     .method = "POST",
     .path = "/",
     .headers = {{"My-Header1", "value1"}, SUITE_HOST},
     .signature = "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
    {.name = "post-header-value-case",
     SUITE,
     .method = "POST",
     .path = "/",
     .headers = {SUITE_HOST, {"My-Header1", "VALUE1"}},
     .signature = "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
    {.name = "post-sts-header-before",
     SUITE,
     .method = "POST",
     .path = "/",
     .headers = {SUITE_HOST, {"X-Amz-Security-Token", SUITE_TOKEN}},
     .signature = "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
    {.name = "post-vanilla",
     SUITE,
     .method = "POST",
     .path = "/",
     .headers = {SUITE_HOST},
     .signature = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {.name = "post-vanilla-query",
     SUITE,
     .method = "POST",
     .path = "/",
     .query = "Param1=value1",
     .headers = {SUITE_HOST},
     .signature = "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
    {.name = "post-x-www-form-urlencoded",
     SUITE,
     .method = "POST",
     .path = "/",
     .headers = {SUITE_HOST,
                 {"Content-Type", "application/x-www-form-urlencoded"},
                 {"Content-Length", "13"},
                 {"X-Amz-Content-Sha256",
                  "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"}},
     .body = "Param1=value1",
     .signature = "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"},
    {.name = "post-x-www-form-urlencoded-parameters",
     SUITE,
     .method = "POST",
     .path = "/",
     .headers = {SUITE_HOST,
                 {"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"},
                 {"Content-Length", "13"},
                 {"X-Amz-Content-Sha256",
                  "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"}},
     .body = "Param1=value1",
     .signature = "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422"},
};

static size_t count_headers(const struct header *headers, size_t max)
{
    size_t n = 0;

    while (n < max && headers[n].name != NULL)
        n++;
    return n;
}

static struct sigv4_request request_of(const struct vector *v)
{
    return (struct sigv4_request){.method = v->method,
                                  .path = v->path,
                                  .query = v->query,
                                  .headers = v->headers,
                                  .n_headers = count_headers(v->headers, ARRAY_LEN(v->headers)),
                                  .body = v->body,
                                  .body_len = v->body != NULL ? strlen(v->body) : 0};
}

START_TEST(signs_each_published_vector_exactly)
{
    const struct vector *v = &vectors[_i];
    const struct sigv4_request request = request_of(v);
    const struct sigv4_scope scope = {v->date, v->region, v->service};
    AUTO(buf_done) struct buf canonical = {0};
    AUTO(buf_done) struct buf authorization = {0};
    struct sigv4_authorization parts;
    char hex[SHA256_HEX_SIZE];
    struct err err = {0};

    buf_init(&canonical, SIGV4_MAX_CANONICAL_BYTES);
    buf_init(&authorization, 8192);
    ck_assert_msg(sigv4_canonical(&request, v->service, NULL, &canonical, NULL, &err) == 0,
                  "%s: %s", v->name, err.text);
    if (v->canonical_sha256 != NULL) {
        sha256_hex_of(canonical.data, canonical.len, hex);
        ck_assert_msg(str_eq(hex, v->canonical_sha256), "%s:\n%s", v->name, canonical.data);
    }
    ck_assert_msg(sigv4_sign(&request, &scope, "AKIDEXAMPLE", SECRET, &authorization, &err) == 0,
                  "%s: %s", v->name, err.text);
    ck_assert_int_eq(sigv4_parse_authorization(authorization.data, &parts, &err), 0);
    ck_assert_msg(str_eq(parts.signature, v->signature), "%s: %s\n%s", v->name, parts.signature,
                  canonical.data);
}
END_TEST

START_TEST(derives_the_published_signing_keys)
{
    static const struct {
        const char *region, *service, *key;
    } rows[] = {
        {"us-east-1", "ssm", "b7ab8141a1e90684ececee0cc8c6f078a46d0dc5f489c9896e5767131ed55e42"},
        {"us-west-2", "s3", "44de5b80f6504ce77313d57d622d0e319a90c61848dd94ac7461ae4b2cf01235"},
        {"us-east-1", "ssmmessages",
         "842081082fdf2945c4fbcb619a68b42417e2a01b9f4985950e62f10cea73847e"},
    };
    size_t i;

    for (i = 0; i < ARRAY_LEN(rows); i++) {
        const struct sigv4_scope scope = {AT, rows[i].region, rows[i].service};
        unsigned char key[SHA256_SIZE];
        char hex[SHA256_HEX_SIZE];

        ck_assert_int_eq(sigv4_signing_key(SECRET, &scope, key, NULL), 0);
        str_hex(key, sizeof(key), hex);
        ck_assert_str_eq(hex, rows[i].key);
    }
}
END_TEST

/* More keys than are kept, each asked for in turn and again: whatever changes, the signature is the
 * one of a key derived anew. */
START_TEST(a_key_that_was_kept_signs_as_one_derived_anew)
{
    static const char *const days[] = {AT, "20240103T030405Z"};
    static const char *const regions[] = {"us-east-1", "us-west-2"};
    static const char *const services[] = {"ssm", "ec2messages"};
    static const char *const secrets[] = {SECRET, "another"};
    const struct sigv4_request request = request_of(&vectors[0]);
    static const struct sigv4_keys empty;
    struct sigv4_keys keys = empty;
    size_t round, i;

    for (round = 0; round < 3; round++)
        for (i = 0; i < 32; i++) {
            size_t n = i / 2; /* each twice: derived, then kept */
            const struct sigv4_scope scope = {days[n & 1], regions[n >> 1 & 1],
                                              services[n >> 2 & 1]};
            AUTO(buf_done) struct buf anew = {0}, again = {0};

            buf_init(&anew, 4096);
            buf_init(&again, 4096);
            ck_assert_int_eq(sigv4_sign(&request, &scope, "AK", secrets[n >> 3 & 1], &anew, NULL),
                             0);
            ck_assert_int_eq(
                sigv4_sign_again(&request, &scope, "AK", secrets[n >> 3 & 1], &keys, &again, NULL),
                0);
            ck_assert_str_eq(again.data, anew.data);
        }
    sigv4_keys_done(&keys);
    ck_assert_mem_eq(&keys, &empty, sizeof(keys));
}
END_TEST

START_TEST(authorization_has_the_form_the_service_expects)
{
    const struct sigv4_request request = request_of(&vectors[0]);
    const struct sigv4_scope scope = {AT, "us-east-1", "ssm"};
    AUTO(buf_done) struct buf authorization = {0};

    buf_init(&authorization, 4096);
    ck_assert_int_eq(sigv4_sign(&request, &scope, "AKIDEXAMPLE", SECRET, &authorization, NULL), 0);
    ck_assert_str_eq(
        authorization.data,
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20240102/us-east-1/ssm/aws4_request, "
        "SignedHeaders=content-length;content-type;host;x-amz-date;x-amz-security-token;"
        "x-amz-target, "
        "Signature=3114c870bc7abaa5fac10dda0ba752e63053c19ae7ef46b1809e3a85faa4a6db");
}
END_TEST

START_TEST(dates_round_trip_and_malformed_ones_are_refused)
{
    static const char *const bad[] = {"",
                                      "20240102",
                                      "20240102T030405",
                                      "20240102T030405z",
                                      "20240231T000000Z",
                                      "2024 102T030405Z",
                                      "20240102T030405Z ",
                                      "20241302T030405Z",
                                      "20240102T250405Z"};
    char date[SIGV4_DATE_SIZE];
    int64_t ms = 0;
    size_t i;

    ck_assert_int_eq(sigv4_parse_date(AT, &ms), 0);
    ck_assert_int_eq(ms, INT64_C(1704164645000));
    sigv4_format_date(ms + 999, date);
    ck_assert_str_eq(date, AT);
    sigv4_format_date(INT64_MIN, date);
    ck_assert_str_eq(date, "19700101T000000Z");
    sigv4_format_date(INT64_MAX, date);
    ck_assert_str_eq(date, "99991231T235959Z");
    for (i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(sigv4_parse_date(bad[i], &ms) == ERR_INVALID, "took \"%s\"", bad[i]);
}
END_TEST

START_TEST(parameters_with_nothing_in_them_are_signed_as_they_are)
{
    static const struct {
        const char *query, *canonical;
    } rows[] = {{"", ""},    {"=", "="},   {"=&=", "=&="},    {"&", ""},
                {"a", "a="}, {"=v", "=v"}, {"a&&b", "a=&b="}, {"&=&", "="}};
    const struct header headers[] = {{"Host", "h"}, {"X-Amz-Date", AT}};
    size_t i;

    for (i = 0; i < ARRAY_LEN(rows); i++) {
        const struct sigv4_request request = {.method = "GET",
                                              .path = "/",
                                              .query = rows[i].query,
                                              .headers = headers,
                                              .n_headers = ARRAY_LEN(headers)};
        AUTO(buf_done) struct buf canonical = {0};
        char expected[64];

        buf_init(&canonical, 4096);
        ck_assert_int_eq(sigv4_canonical(&request, "ssm", NULL, &canonical, NULL, NULL), 0);
        (void)snprintf(expected, sizeof(expected), "GET\n/\n%s\nhost:h\n", rows[i].canonical);
        ck_assert_msg(str_has_prefix(canonical.data, expected), "\"%s\": %s", rows[i].query,
                      canonical.data);
    }
}
END_TEST

START_TEST(signing_without_a_host_header_is_refused)
{
    const struct header headers[] = {{"X-Amz-Date", AT}};
    const struct sigv4_request request = {
        .method = "GET", .path = "/", .headers = headers, .n_headers = 1};
    const struct sigv4_scope scope = {AT, "us-east-1", "ssm"};
    AUTO(buf_done) struct buf out = {0};
    struct err err;

    buf_init(&out, 4096);
    ck_assert_int_eq(sigv4_sign(&request, &scope, "AK", SECRET, &out, &err), ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(err.text, "host"));
}
END_TEST

/* --- checking --- */

static const char *known_secret(void *ctx, const char *access_key, const char **ret_token)
{
    (void)ctx;
    if (strcmp(access_key, "AKIDEXAMPLE") != 0)
        return NULL;
    *ret_token = TOKEN;
    return SECRET;
}

#define MAX_TEST_HEADERS 16

/* A correctly signed request whose parts a case may then spoil. */
struct signed_request {
    struct header headers[MAX_TEST_HEADERS];
    struct sigv4_request request;
    struct buf authorization;
};

static void make_signed(struct signed_request *s)
{
    const struct sigv4_scope scope = {AT, "us-east-1", "ssm"};
    const struct vector *v = &vectors[0];
    struct err err = {0};

    memset(s, 0, sizeof(*s));
    buf_init(&s->authorization, 8192);
    s->request = request_of(v);
    memcpy(s->headers, v->headers, s->request.n_headers * sizeof(v->headers[0]));
    s->request.headers = s->headers;
    ck_assert_int_eq(
        sigv4_sign(&s->request, &scope, "AKIDEXAMPLE", SECRET, &s->authorization, &err), 0);
    s->headers[s->request.n_headers++] = (struct header){"authorization", s->authorization.data};
}

static struct header *header_of(struct signed_request *s, const char *name)
{
    size_t i;

    for (i = 0; i < s->request.n_headers; i++) {
        if (str_eq_nocase(s->headers[i].name, name))
            return &s->headers[i];
    }
    ck_abort_msg("no header %s", name);
    return NULL;
}

static void replace_in_authorization(struct signed_request *s, const char *from, const char *to)
{
    char *at = strstr(s->authorization.data, from);

    ck_assert_ptr_nonnull(at);
    ck_assert_uint_eq(strlen(from), strlen(to));
    memcpy(at, to, strlen(to));
}

static void spoil_nothing(struct signed_request *s)
{
    (void)s;
}
static void spoil_body(struct signed_request *s)
{
    s->request.body = "{}";
    s->request.body_len = 2;
}
static void spoil_method(struct signed_request *s)
{
    s->request.method = "GET";
}
static void spoil_path(struct signed_request *s)
{
    s->request.path = "/x";
}
static void spoil_query(struct signed_request *s)
{
    s->request.query = "a=b";
}
static void spoil_target(struct signed_request *s)
{
    header_of(s, "x-amz-target")->value = "AmazonSSM.GetParameters";
}
static void spoil_user_agent(struct signed_request *s)
{
    header_of(s, "user-agent")->value = "anything";
}
static void spoil_token(struct signed_request *s)
{
    header_of(s, "x-amz-security-token")->value = "TESTSESSIONTOKEN124";
}
static void drop_token(struct signed_request *s)
{
    header_of(s, "x-amz-security-token")->name = "x-other";
}
static void drop_date(struct signed_request *s)
{
    header_of(s, "x-amz-date")->name = "x-other";
}
static void drop_authorization(struct signed_request *s)
{
    header_of(s, "authorization")->name = "x-other";
}
static void drop_signed_header(struct signed_request *s)
{
    header_of(s, "content-type")->name = "x-other";
}
static void unknown_key(struct signed_request *s)
{
    replace_in_authorization(s, "AKIDEXAMPLE", "AKIDEXAMPLF");
}
static void other_region(struct signed_request *s)
{
    replace_in_authorization(s, "us-east-1", "us-east-2");
}
static void other_service(struct signed_request *s)
{
    replace_in_authorization(s, "/ssm/", "/kms/");
}
static void other_day(struct signed_request *s)
{
    replace_in_authorization(s, "/20240102/", "/20240103/");
}
static void other_algorithm(struct signed_request *s)
{
    replace_in_authorization(s, "SHA256", "SHA512");
}
static void other_terminator(struct signed_request *s)
{
    replace_in_authorization(s, "aws4_request", "aws5_request");
}
static void no_signature(struct signed_request *s)
{
    replace_in_authorization(s, "Signature=3", "Signature, ");
}
static void flipped_signature(struct signed_request *s)
{
    replace_in_authorization(s, "Signature=3", "Signature=4");
}
static void added_amz_header(struct signed_request *s)
{
    s->headers[s->request.n_headers++] = (struct header){"X-Amz-Meta-Added", "1"};
}
static void added_plain_header(struct signed_request *s)
{
    s->headers[s->request.n_headers++] = (struct header){"Accept", "*/*"};
}

static const struct {
    const char *name;
    void (*spoil)(struct signed_request *s);
    int64_t seconds_late;
    const char *code; /* NULL: the signature holds */
    const char *text; /* part of what is said */
} checks[] = {
    {"untouched", spoil_nothing, 0, NULL, NULL},
    {"five minutes late", spoil_nothing, 300, NULL, NULL},
    {"an unsigned header changed", spoil_user_agent, 0, NULL, NULL},
    {"an unsigned header added", added_plain_header, 0, NULL, NULL},
    {"too late", spoil_nothing, 301, "InvalidSignatureException", "Signature expired"},
    {"too early", spoil_nothing, -301, "InvalidSignatureException", "not yet current"},
    {"body", spoil_body, 0, "InvalidSignatureException", "does not match"},
    {"method", spoil_method, 0, "InvalidSignatureException", "does not match"},
    {"path", spoil_path, 0, "InvalidSignatureException", "does not match"},
    {"query", spoil_query, 0, "InvalidSignatureException", "does not match"},
    {"target", spoil_target, 0, "InvalidSignatureException", "does not match"},
    {"token", spoil_token, 0, "UnrecognizedClientException", "not the one issued"},
    {"no token", drop_token, 0, "UnrecognizedClientException", "is missing"},
    {"no date", drop_date, 0, "IncompleteSignatureException", "X-Amz-Date"},
    {"no authorization", drop_authorization, 0, "MissingAuthenticationTokenException",
     "Authorization"},
    {"header gone", drop_signed_header, 0, "IncompleteSignatureException", "SignedHeaders"},
    {"key", unknown_key, 0, "UnrecognizedClientException", "AKIDEXAMPLF"},
    {"region", other_region, 0, "InvalidSignatureException", "us-east-2"},
    {"service", other_service, 0, "InvalidSignatureException", "kms"},
    {"day", other_day, 0, "InvalidSignatureException", "20240103"},
    {"algorithm", other_algorithm, 0, "IncompleteSignatureException", "AWS4-HMAC-SHA256"},
    {"terminator", other_terminator, 0, "IncompleteSignatureException", "aws4_request"},
    {"no signature", no_signature, 0, "IncompleteSignatureException", "Signature"},
    {"signature", flipped_signature, 0, "InvalidSignatureException", "does not match"},
    {"x-amz header added", added_amz_header, 0, "InvalidSignatureException", "X-Amz-Meta-Added"},
};

START_TEST(verify_takes_what_holds_and_names_what_does_not)
{
    struct signed_request s;
    struct sigv4_authorization parts = {0};
    struct sigv4_check check = {.secret = known_secret,
                                .now_unix_ms = INT64_C(1704164645000),
                                .max_skew_ms = 300 * 1000,
                                .region = "us-east-1",
                                .service = "ssm"};
    const char *code = NULL;
    struct err err = {0};
    int r;

    make_signed(&s);
    checks[_i].spoil(&s);
    check.now_unix_ms += checks[_i].seconds_late * 1000;
    r = sigv4_verify(&s.request, &check, &parts, &code, &err);
    if (checks[_i].code == NULL) {
        ck_assert_msg(r == 0, "%s: %s", checks[_i].name, err.text);
        ck_assert_str_eq(parts.access_key, "AKIDEXAMPLE");
        ck_assert_str_eq(parts.service, "ssm");
    } else {
        ck_assert_msg(r == ERR_AUTH && err.code == ERR_AUTH, "%s: %d", checks[_i].name, r);
        ck_assert_msg(str_eq(code, checks[_i].code), "%s: %s", checks[_i].name, code);
        ck_assert_msg(strstr(err.text, checks[_i].text) != NULL, "%s: %s", checks[_i].name,
                      err.text);
        ck_assert_msg(strstr(err.text, SECRET) == NULL, "%s tells the secret", checks[_i].name);
    }
    buf_done(&s.authorization);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sigv4");
    TCase *signing = tcase_create("signing"), *checking = tcase_create("checking");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_loop_test(signing, signs_each_published_vector_exactly, 0, (int)ARRAY_LEN(vectors));
    tcase_add_test(signing, derives_the_published_signing_keys);
    tcase_add_test(signing, a_key_that_was_kept_signs_as_one_derived_anew);
    tcase_add_test(signing, authorization_has_the_form_the_service_expects);
    tcase_add_test(signing, dates_round_trip_and_malformed_ones_are_refused);
    tcase_add_test(signing, parameters_with_nothing_in_them_are_signed_as_they_are);
    tcase_add_test(signing, signing_without_a_host_header_is_refused);
    tcase_add_loop_test(checking, verify_takes_what_holds_and_names_what_does_not, 0,
                        (int)ARRAY_LEN(checks));
    suite_add_tcase(suite, signing);
    suite_add_tcase(suite, checking);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
