/* Activations and managed nodes of the hub: what is refused, under which of the service's names,
 * and whose signatures are taken. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/str.h"
#include "hub/api.h"
#include "hub/store_node.h"
#include "tests/lib/test_key.h"
#include "transport/sigv4_rsa.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)
#define UUID "3e4d5c6b-7a89-4b0c-9d1e-2f3a4b5c6d7e"
#define DATE "20240102T030405Z"

static char dir[64], code[64], id[64], node[64];
static struct hub hub;
static struct store *store;
static struct buf out;
static struct err err;
static struct call call;
static struct auth_caller caller;
static int64_t now_ms;

static int run(const char *operation, const char *body)
{
    char target[96];

    (void)snprintf(target, sizeof(target), "AmazonSSM.%s", operation);
    ck_assert_ptr_nonnull(api_find(target));
    buf_clear(&out);
    call = (struct call){.hub = &hub, .out = &out, .now_ms = now_ms, .caller = &caller};
    return api_run(&call, api_find(target), body, strlen(body), &err);
}

/* The text of a member of the last answer. */
static void member(const char *name, char *ret, size_t size)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    const char *value;

    ck_assert_int_eq(
        json_parse(buf_str(&out), out.len, 1u << 20, JSON_REFUSE, "answer", &root, &err), 0);
    value = cJSON_GetStringValue(json_get_exact(root, name));
    ck_assert_msg(value != NULL, "%s: %s", name, buf_str(&out));
    ck_assert(str_copy(ret, size, value));
}

static void setup(void)
{
    char path[96];

    (void)str_copy(dir, sizeof(dir), "/tmp/hub-nodes-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/hub.db", dir);
    ck_assert_msg(store_open(path, &store, &err) == 0, "%s", err.text);
    hub = (struct hub){.store = store,
                       .region = "us-east-1",
                       .url = "http://hub",
                       .poll_ms = 1000,
                       .role_token_ms = 3600000};
    caller = (struct auth_caller){.access_key = ""};
    buf_init(&out, API_MAX_ANSWER_BYTES);
    ck_assert_int_eq(sigv4_parse_date(DATE, &now_ms), 0);
    ck_assert_int_eq(run("CreateActivation", "{\"IamRole\":\"r\",\"RegistrationLimit\":2}"), 0);
    member("ActivationId", id, sizeof(id));
    member("ActivationCode", code, sizeof(code));
}

static void teardown(void)
{
    buf_done(&out);
    store_close(store);
    store = NULL;
    ck_assert_int_eq(fs_remove_tree(AT_FDCWD, dir, &err), 0);
}

static int enrol(const char *with_code, const char *with_id)
{
    char body[2048];

    (void)snprintf(body, sizeof(body),
                   "{\"ActivationCode\":\"%s\",\"ActivationId\":\"%s\",\"Fingerprint\":\"" UUID
                   "\",\"PublicKey\":\"" TEST_KEY_PUBLIC "\",\"PublicKeyType\":\"Rsa\"}",
                   with_code, with_id);
    return run("RegisterManagedInstance", body);
}

static void be_node(void)
{
    ck_assert_msg(enrol(code, id) == 0, "%s", err.text);
    member("InstanceId", node, sizeof(node));
    caller.is_node_key = true;
    (void)str_copy(caller.node_id, sizeof(caller.node_id), node);
    (void)str_copy(caller.access_key, sizeof(caller.access_key), node);
}

static const struct {
    const char *operation, *body, *error_code;
} refused[] = {
    {"CreateActivation", "{}", "ValidationException"},
    {"CreateActivation", "{\"IamRole\":1}", "SerializationException"},
    {"CreateActivation", "{\"IamRole\":\"r\",\"RegistrationLimit\":1001}", "ValidationException"},
    {"CreateActivation", "{\"IamRole\":\"r\",\"ExpirationDate\":1}", "ValidationException"},
    {"CreateActivation", "{\"IamRole\":\"r\",\"ExpirationDate\":\"x\"}", "SerializationException"},
    {"CreateActivation", "{\"IamRole\":\"r\",\"Tags\":[{\"Key\":\"k\"}]}",
     "SerializationException"},
    {"DescribeActivations", "{\"Filters\":[{\"FilterKey\":\"x\",\"FilterValues\":[\"y\"]}]}",
     "InvalidFilter"},
    {"DescribeActivations", "{\"NextToken\":\"x\"}", "InvalidNextToken"},
    {"DeleteActivation", "{\"ActivationId\":\"x\"}", "InvalidActivationId"},
    {"DeleteActivation", "{\"ActivationId\":\"" UUID "\"}", "InvalidActivation"},
    {"DeregisterManagedInstance", "{\"InstanceId\":\"mi-0123456789abcdef0\"}", "InvalidInstanceId"},
    {"DeregisterManagedInstance", "{\"InstanceId\":\"i-0123456789abcdef012\"}",
     "ValidationException"},
    {"RegisterManagedInstance", "{\"Fingerprint\":\"i-0\",\"PublicKey\":\"" TEST_KEY_PUBLIC "\"}",
     "MissingAuthenticationTokenException"},
    {"RegisterManagedInstance", "{\"Fingerprint\":\"x\",\"PublicKey\":\"short\"}",
     "ValidationException"},
    {"RequestManagedInstanceRoleToken", "{\"Fingerprint\":\"i-0\"}", "AccessDeniedException"},
    {"RequestManagedInstanceRoleToken", "{}", "ValidationException"},
    {"UpdateManagedInstancePublicKey",
     "{\"NewPublicKey\":\"" TEST_KEY_PUBLIC "\",\"NewPublicKeyType\":\"Rsa\"}",
     "AccessDeniedException"},
};

START_TEST(bad_calls_are_refused_under_the_services_names)
{
    ck_assert_msg(run(refused[_i].operation, refused[_i].body) == ERR_REFUSED, "%s %s: %s",
                  refused[_i].operation, refused[_i].body, buf_str(&out));
    ck_assert_str_eq(call.error_code, refused[_i].error_code);
}
END_TEST

START_TEST(an_activation_works_as_often_as_it_may_until_it_expires)
{
    char wrong[64];

    ck_assert_int_eq(enrol("AAAAAAAAAAAAAAAAAAAA", id), ERR_REFUSED);
    ck_assert_str_eq(call.error_code, "InvalidActivation");
    ck_assert_int_eq(enrol(code, UUID), ERR_REFUSED);
    ck_assert_str_eq(call.error_code, "InvalidActivation");
    ck_assert_int_eq(enrol(code, id), 0);
    member("InstanceId", node, sizeof(node));
    ck_assert(str_has_prefix(node, "mi-") && strlen(node) == 20);
    ck_assert_int_eq(enrol(code, id), 0);
    member("InstanceId", wrong, sizeof(wrong));
    ck_assert_str_ne(node, wrong);
    ck_assert_int_eq(enrol(code, id), ERR_REFUSED);
    ck_assert_str_eq(call.error_code, "RegistrationLimitExceeded");
    now_ms += DAY_MS;
    ck_assert_int_eq(enrol(code, id), ERR_REFUSED);
    ck_assert_str_eq(call.error_code, "ActivationExpired");
    ck_assert_int_eq(run("DescribeActivations", "{}"), 0);
    ck_assert_ptr_nonnull(strstr(buf_str(&out), "\"RegistrationsCount\":2"));
    ck_assert_ptr_nonnull(strstr(buf_str(&out), "\"Expired\":true"));
    ck_assert_ptr_null(strstr(buf_str(&out), code));
}
END_TEST

START_TEST(a_role_is_for_the_fingerprint_that_was_registered)
{
    be_node();
    ck_assert_int_eq(run("RequestManagedInstanceRoleToken", "{\"Fingerprint\":\"" UUID "\"}"), 0);
    ck_assert_ptr_nonnull(strstr(buf_str(&out), "\"UpdateKeyPair\":false"));
    ck_assert_int_eq(run("RequestManagedInstanceRoleToken", "{\"Fingerprint\":\"another\"}"),
                     ERR_REFUSED);
    ck_assert_str_eq(call.error_code, "MachineFingerprintDoesNotMatch");
}
END_TEST

/* ---- signatures ---- */

static int check_signed(const char *date, const char *signature_of, const char *instance,
                        const char **ret_code)
{
    static const char body[] = "{\"Fingerprint\":\"" UUID "\"}";
    AUTO(rsa_key_free) struct rsa_key *key = NULL;
    AUTO(buf_done) struct buf authorization = {0};
    struct access_keys none = {.n = 0};
    struct header headers[] = {{"Host", "hub"},
                               {"Content-Type", "application/x-amz-json-1.1"},
                               {"X-Amz-Target", "AmazonSSM.RequestManagedInstanceRoleToken"},
                               {"X-Amz-Date", date},
                               {"Authorization", NULL}};
    const struct sigv4_request request = {.method = "POST",
                                          .path = "/",
                                          .headers = headers,
                                          .n_headers = 4,
                                          .body = signature_of,
                                          .body_len = strlen(signature_of)};
    const struct sigv4_scope scope = {date, "us-east-1", "ssm"};
    const struct auth_request q = {.region = "us-east-1",
                                   .service = "ssm",
                                   .kind = AUTH_NODE,
                                   .headers = headers,
                                   .n_headers = ARRAY_LEN(headers),
                                   .body = body,
                                   .n = sizeof(body) - 1,
                                   .now_ms = now_ms};

    buf_init(&authorization, 8192);
    ck_assert_int_eq(rsa_key_from_private(TEST_KEY_PRIVATE, &key, &err), 0);
    ck_assert_int_eq(sigv4_rsa_sign(&request, &scope, instance, key, &authorization, &err), 0);
    headers[4].value = authorization.data;
    return auth_check(&none, store, &q, &caller, ret_code, &err);
}

START_TEST(a_nodes_signature_is_taken_only_if_it_fits)
{
    static const char body[] = "{\"Fingerprint\":\"" UUID "\"}";
    const char *refusal = "";

    be_node();
    ck_assert_msg(check_signed(DATE, body, node, &refusal) == 0, "%s %s", refusal, err.text);
    ck_assert_str_eq(caller.node_id, node);
    ck_assert(caller.is_node_key);
    ck_assert_int_eq(check_signed(DATE, "{\"Fingerprint\":\"x\"}", node, &refusal), ERR_AUTH);
    ck_assert_str_eq(refusal, "InvalidSignatureException");
    ck_assert_int_eq(check_signed("20240102T090405Z", body, node, &refusal), ERR_AUTH);
    ck_assert_str_eq(refusal, "InvalidSignatureException");
    ck_assert_int_eq(check_signed(DATE, body, "mi-0123456789abcdef0", &refusal), ERR_AUTH);
    ck_assert_str_eq(refusal, "InvalidInstanceId");
}
END_TEST

START_TEST(a_role_key_is_taken_until_it_expires_or_its_node_goes)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct role_key_row row;
    char key[64], body[96];

    be_node();
    ck_assert_int_eq(run("RequestManagedInstanceRoleToken", "{\"Fingerprint\":\"" UUID "\"}"), 0);
    member("AccessKeyId", key, sizeof(key));
    store_role_key_find(store, key, &c);
    ck_assert_int_eq(cursor_next_role_key(&c, &row, &err), 1);
    ck_assert_str_eq(row.node_id, node);
    ck_assert_int_eq(row.expires_ms, now_ms + hub.role_token_ms);
    cursor_done(&c);
    (void)snprintf(body, sizeof(body), "{\"InstanceId\":\"%s\"}", node);
    ck_assert_msg(run("DeregisterManagedInstance", body) == 0, "%s", err.text);
    store_role_key_find(store, key, &c);
    ck_assert_int_eq(cursor_next_role_key(&c, &row, &err), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hub_nodes");
    TCase *tc = tcase_create("hub_nodes");
    SRunner *runner;
    int n_failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, bad_calls_are_refused_under_the_services_names, 0,
                        (int)ARRAY_LEN(refused));
    tcase_add_test(tc, an_activation_works_as_often_as_it_may_until_it_expires);
    tcase_add_test(tc, a_role_is_for_the_fingerprint_that_was_registered);
    tcase_add_test(tc, a_nodes_signature_is_taken_only_if_it_fits);
    tcase_add_test(tc, a_role_key_is_taken_until_it_expires_or_its_node_goes);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
