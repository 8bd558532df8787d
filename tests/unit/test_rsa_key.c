/* The node's RSA key: vectors E and F of spec 01, keys that come and go as text, the answers that
 * hold role credentials, and Base64. */
#include <check.h>
#include <string.h>

#include "base/base64.h"
#include "base/ids.h"
#include "base/str.h"
#include "tests/lib/test_key.h"
#include "transport/credentials_json.h"
#include "transport/sigv4_rsa.h"

#define DATE "20240102T030405Z"
#define BODY_E "{\"Fingerprint\":\"3e4d5c6b-7a89-4b0c-9d1e-2f3a4b5c6d7e\"}"
#define NODE "mi-0123456789abcdef0"

static const struct header headers_e[] = {
    {"Host", "ssm.us-east-1.amazonaws.com"},
    {"Content-Length", "54"},
    {"Content-Type", "application/x-amz-json-1.1"},
    {"X-Amz-Date", DATE},
    {"X-Amz-Target", "AmazonSSM.RequestManagedInstanceRoleToken"},
    {"User-Agent", "amazon-ssm-agent/3.3.0.0"},
};
static const struct sigv4_request request_e = {.method = "POST",
                                               .path = "/",
                                               .headers = headers_e,
                                               .n_headers = ARRAY_LEN(headers_e),
                                               .body = BODY_E,
                                               .body_len = sizeof(BODY_E) - 1};
static const struct sigv4_scope scope_e = {DATE, "us-east-1", "ssm"};

static struct rsa_key *private_key(void)
{
    struct rsa_key *key = NULL;
    struct err err;

    ck_assert_msg(rsa_key_from_private(TEST_KEY_PRIVATE, &key, &err) == 0, "%s", err.text);
    return key;
}

static struct rsa_key *public_key(void)
{
    struct rsa_key *key = NULL;
    struct err err;

    ck_assert_msg(rsa_key_from_public(TEST_KEY_PUBLIC, &key, &err) == 0, "%s", err.text);
    return key;
}

START_TEST(verifies_the_reference_signature_of_a_hybrid_node)
{
    AUTO(rsa_key_free) struct rsa_key *key = public_key();
    struct sigv4_authorization parts = {
        .region = "us-east-1",
        .service = "ssm",
        .signed_headers = "content-length;content-type;host;x-amz-date;x-amz-target",
        .signature = TEST_SIGNATURE_E};
    struct err err = {0};

    ck_assert_msg(sigv4_rsa_verify(&request_e, &parts, DATE, key, &err) == 0, "%s", err.text);
    ck_assert_int_eq(sigv4_rsa_verify(&request_e, &parts, "20240102T030406Z", key, &err), ERR_AUTH);
    parts.signature[0] ^= 1;
    ck_assert_int_eq(sigv4_rsa_verify(&request_e, &parts, DATE, key, &err), ERR_AUTH);
}
END_TEST

START_TEST(what_it_signs_its_public_key_verifies)
{
    AUTO(rsa_key_free) struct rsa_key *key = private_key();
    AUTO(rsa_key_free) struct rsa_key *other = public_key();
    AUTO(buf_done) struct buf value = {0};
    struct sigv4_authorization parts;
    struct err err = {0};

    buf_init(&value, 8192);
    ck_assert_msg(sigv4_rsa_sign(&request_e, &scope_e, NODE, key, &value, &err) == 0, "%s",
                  err.text);
    ck_assert(str_has_prefix(value.data, "AWS4-HMAC-SHA256 Credential=" NODE
                                         "/20240102/us-east-1/ssm/aws4_request, SignedHeaders="
                                         "content-length;content-type;host;x-amz-date;"
                                         "x-amz-target, Signature="));
    ck_assert_int_eq(sigv4_parse_authorization(value.data, &parts, &err), 0);
    ck_assert_str_eq(parts.access_key, NODE);
    ck_assert_uint_eq(strlen(parts.signature), 344);
    ck_assert_msg(sigv4_rsa_verify(&request_e, &parts, DATE, other, &err) == 0, "%s", err.text);
}
END_TEST

START_TEST(the_second_signature_covers_the_authorization_header)
{
    AUTO(rsa_key_free) struct rsa_key *key = private_key();
    AUTO(buf_done) struct buf value = {0};
    struct err err = {0};

    ck_assert_msg(
        sigv4_rsa_check_added(TEST_AUTHORIZATION_F, "Signature=" TEST_SIGNATURE_F, key, &err) == 0,
        "%s", err.text);
    ck_assert_int_eq(
        sigv4_rsa_check_added(TEST_AUTHORIZATION_F "0", "Signature=" TEST_SIGNATURE_F, key, &err),
        ERR_AUTH);
    ck_assert_int_eq(sigv4_rsa_check_added(TEST_AUTHORIZATION_F, TEST_SIGNATURE_F, key, &err),
                     ERR_AUTH);
    buf_init(&value, 1024);
    ck_assert_int_eq(sigv4_rsa_add(TEST_AUTHORIZATION_F, key, &value, &err), 0);
    ck_assert_int_eq(sigv4_rsa_check_added(TEST_AUTHORIZATION_F, value.data, key, &err), 0);
}
END_TEST

START_TEST(keys_survive_as_text)
{
    AUTO(rsa_key_free) struct rsa_key *key = private_key();
    AUTO(rsa_key_free) struct rsa_key *made = NULL;
    AUTO(rsa_key_free) struct rsa_key *again = NULL;
    AUTO(secret_done) struct secret text = {0};
    char public_text[RSA_KEY_PUBLIC_TEXT_SIZE], id[RSA_KEY_ID_SIZE], id2[RSA_KEY_ID_SIZE];
    struct err err = {0};

    ck_assert_int_eq(rsa_key_private_text(key, &text, &err), 0);
    ck_assert_str_eq(secret_reveal(&text), TEST_KEY_PRIVATE);
    ck_assert_int_eq(rsa_key_public_text(key, public_text, &err), 0);
    ck_assert_str_eq(public_text, TEST_KEY_PUBLIC);
    ck_assert_msg(rsa_key_generate(&made, &err) == 0, "%s", err.text);
    ck_assert_int_eq(rsa_key_public_text(made, public_text, &err), 0);
    ck_assert_uint_eq(strlen(public_text), 392);
    ck_assert_int_eq(rsa_key_private_text(made, &text, &err), 0);
    ck_assert_int_eq(rsa_key_from_private(secret_reveal(&text), &again, &err), 0);
    ck_assert_int_eq(rsa_key_id(made, id, &err), 0);
    ck_assert_int_eq(rsa_key_id(again, id2, &err), 0);
    ck_assert_str_eq(id, id2);
    ck_assert_uint_eq(strlen(id), 16);
}
END_TEST

START_TEST(what_is_no_key_is_refused)
{
    static const char *const texts[] = {"", "AAAA", "no Base64!", TEST_KEY_PUBLIC "=",
                                        "MIIEowIBAAKCAQEAvizRuaMw"};
    struct rsa_key *key = NULL;
    struct err err;
    size_t i;

    for (i = 0; i < ARRAY_LEN(texts); i++) {
        ck_assert_int_eq(rsa_key_from_private(texts[i], &key, &err), ERR_INVALID);
        ck_assert_int_eq(rsa_key_from_public(texts[i], &key, &err), ERR_INVALID);
    }
    ck_assert_int_eq(rsa_key_from_private(TEST_KEY_PUBLIC, &key, &err), ERR_INVALID);
    ck_assert_ptr_null(key);
}
END_TEST

static const struct {
    const char *text;
    bool is_token;
    int code;
    const char *problem; /* part of the error's text; on success the session token */
    const char *said;    /* the document's own code */
    int64_t expires_unix_ms;
} answers[] = {
    {"{\"Code\":\"Success\",\"AccessKeyId\":\"AK\",\"SecretAccessKey\":\"s\",\"Token\":\"t\","
     "\"Expiration\":\"2024-01-02T09:04:05Z\"}",
     false, 0, "t", "", 1704186245000},
    {"{\"AccessKeyId\":\"AK\",\"SecretAccessKey\":\"s\",\"Token\":\"\"}", false, 0, "", "", 0},
    {"{\"Code\":\"AssumeRoleUnauthorizedAccess\",\"Message\":\"no trust\"}", false, ERR_AUTH,
     "no trust", "AssumeRoleUnauthorizedAccess", 0},
    {"{\"Code\":\"a b\\n\"}", false, ERR_AUTH, "Unknown", "Unknown", 0},
    {"{\"AccessKeyId\":\"AK\",\"Token\":\"t\"}", false, ERR_PROTOCOL, "SecretAccessKey", "", 0},
    {"{\"AccessKeyId\":\"A K\",\"SecretAccessKey\":\"s\"}", false, ERR_PROTOCOL, "AccessKeyId", "",
     0},
    {"{\"AccessKeyId\":\"AK\",\"SecretAccessKey\":\"s\\r\\nX: y\"}", false, ERR_PROTOCOL,
     "SecretAccessKey", "", 0},
    {"{\"AccessKeyId\":\"AK\",\"SecretAccessKey\":\"s\",\"Expiration\":\"soon\"}", false,
     ERR_PROTOCOL, "Expiration", "", 0},
    {"<html>", false, ERR_PROTOCOL, "answer", "", 0},
    {"[]", false, ERR_PROTOCOL, "answer", "", 0},
    {"", false, ERR_PROTOCOL, "answer", "", 0},
    {"{\"AccessKeyId\":\"AK\",\"SecretAccessKey\":\"s\",\"SessionToken\":\"t\","
     "\"TokenExpirationDate\":1704168245.25}",
     true, 0, "t", "", 1704168245250},
    {"{\"AccessKeyId\":\"AK\",\"SecretAccessKey\":\"s\",\"TokenExpirationDate\":1704168245}", true,
     ERR_PROTOCOL, "SessionToken", "", 0},
    {"{\"AccessKeyId\":\"AK\",\"SecretAccessKey\":\"s\",\"SessionToken\":\"t\"}", true,
     ERR_PROTOCOL, "TokenExpirationDate", "", 0},
    {"{\"AccessKeyId\":\"AK\",\"SecretAccessKey\":\"s\",\"SessionToken\":\"t\","
     "\"TokenExpirationDate\":1e300}",
     true, ERR_PROTOCOL, "TokenExpirationDate", "", 0},
};

START_TEST(answers_with_credentials_are_taken_whole_or_refused)
{
    AUTO(credentials_done) struct credentials c = {0};
    char said[CREDENTIALS_CODE_SIZE] = "";
    bool is_rotation_wanted = true;
    struct err err = {0};
    int r;

    if (answers[_i].is_token)
        r = credentials_parse_role_token(answers[_i].text, strlen(answers[_i].text), &c,
                                         &is_rotation_wanted, &err);
    else
        r = credentials_parse_document(answers[_i].text, strlen(answers[_i].text), &c, said, &err);
    ck_assert_msg(r == answers[_i].code, "%s: %d %s", answers[_i].text, r, err.text);
    ck_assert_str_eq(said, answers[_i].said);
    if (r < 0) {
        ck_assert_msg(strstr(err.text, answers[_i].problem) != NULL, "%s", err.text);
        return;
    }
    ck_assert_str_eq(c.access_key, "AK");
    ck_assert_str_eq(secret_reveal(&c.secret_key), "s");
    ck_assert_str_eq(secret_reveal(&c.session_token), answers[_i].problem);
    ck_assert_int_eq(c.expires_unix_ms, answers[_i].expires_unix_ms);
    ck_assert(!answers[_i].is_token || !is_rotation_wanted);
}
END_TEST

START_TEST(base64_goes_both_ways_and_refuses_what_it_would_not_write)
{
    static const char *const bad[] = {"A",    "AA",   "AAA",   "A===", "====", "AB==",    "AAB=",
                                      "A=AA", "AA=A", "AA\nA", "AA A", "-_AA", "AA==AAAA"};
    unsigned char bytes[64], back[64];
    char text[BASE64_SIZE(64)];
    size_t n, k;

    for (n = 0; n <= sizeof(bytes); n++) {
        ids_random(bytes, n);
        base64_encode(bytes, n, text);
        ck_assert_uint_eq(strlen(text) + 1, BASE64_SIZE(n));
        ck_assert(base64_decode(text, strlen(text), back, n, &k));
        ck_assert_uint_eq(k, n);
        ck_assert(n == 0 || memcmp(bytes, back, n) == 0);
        ck_assert(n == 0 || !base64_decode(text, strlen(text), back, n - 1, &k));
    }
    for (n = 0; n < ARRAY_LEN(bad); n++)
        ck_assert_msg(!base64_decode(bad[n], strlen(bad[n]), back, sizeof(back), &k), "%s", bad[n]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rsa_key");
    TCase *tc = tcase_create("rsa_key");
    SRunner *runner;
    int n_failed;

    tcase_set_timeout(tc, 240);
    tcase_add_test(tc, verifies_the_reference_signature_of_a_hybrid_node);
    tcase_add_test(tc, what_it_signs_its_public_key_verifies);
    tcase_add_test(tc, the_second_signature_covers_the_authorization_header);
    tcase_add_test(tc, keys_survive_as_text);
    tcase_add_test(tc, what_is_no_key_is_refused);
    tcase_add_loop_test(tc, answers_with_credentials_are_taken_whole_or_refused, 0,
                        (int)ARRAY_LEN(answers));
    tcase_add_test(tc, base64_goes_both_ways_and_refuses_what_it_would_not_write);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
