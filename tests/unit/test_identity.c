/* What a node is known by: the fingerprint and its similarity, the vault, the reference agent's
 * vault, and the documents of metadata services. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/hardware.h"
#include "base/fs.h"
#include "base/str.h"
#include "tests/lib/test_key.h"
#include "transport/container.h"
#include "transport/imds.h"
#include "transport/vault.h"

static char dir[64];
static struct vault vault;

static void setup(void)
{
    AUTO(close_fd) int fd = -1;
    struct err err = {0};

    (void)str_copy(dir, sizeof(dir), "/tmp/ssmd-vault-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(fs_open_dir(AT_FDCWD, dir, &fd, &err), 0);
    ck_assert_msg(vault_open(fd, true, &vault, &err) == 0, "%s", err.text);
}

static void teardown(void)
{
    struct err err;

    vault_done(&vault);
    ck_assert_int_eq(fs_remove_tree(AT_FDCWD, dir, &err), 0);
}

/* ---- the fingerprint ---- */

static struct fingerprint stored(int threshold, const char *ip)
{
    struct fingerprint f = {.uuid = "3e4d5c6b-7a89-4b0c-9d1e-2f3a4b5c6d7e",
                            .has_hardware = true,
                            .threshold = threshold};
    size_t i;

    for (i = 0; i < FINGERPRINT_N; i++)
        (void)snprintf(f.hardware.value[i], FINGERPRINT_VALUE_SIZE, "value %zu\n", i);
    (void)str_copy(f.hardware.value[FINGERPRINT_IP], FINGERPRINT_VALUE_SIZE, ip);
    return f;
}

static const struct {
    const char *name;
    int threshold;
    int n_changed; /* attributes, the machine id and the address not among them */
    bool is_machine_id_changed, is_ip_changed, is_same;
} machines[] = {
    {"nothing changed", 40, 0, false, false, true},
    {"the address alone decides", 100, 7, false, false, true},
    {"four of nine are enough for 40 %", 40, 4, false, true, true},
    {"three of nine are not", 40, 5, false, true, false},
    {"all must be equal", 100, 0, false, true, false},
    {"one is enough for 1 %", 1, 7, false, true, true},
    {"another machine id", 1, 0, true, false, false},
    {"no check", FINGERPRINT_NO_CHECK, 7, true, true, true},
};

START_TEST(a_machine_is_the_same_by_its_attributes)
{
    static const int others[] = {FINGERPRINT_BIOS,  FINGERPRINT_DISK,   FINGERPRINT_HOST_NAME,
                                 FINGERPRINT_MAC,   FINGERPRINT_MEMORY, FINGERPRINT_PROCESSOR,
                                 FINGERPRINT_SYSTEM};
    struct fingerprint f = stored(machines[_i].threshold, "10.0.0.5");
    struct hardware now = f.hardware;
    int i;

    for (i = 0; i < machines[_i].n_changed; i++)
        now.value[others[i]][0] = 'x';
    if (machines[_i].is_machine_id_changed)
        now.value[FINGERPRINT_MACHINE_ID][0] = 'x';
    if (machines[_i].is_ip_changed)
        now.value[FINGERPRINT_IP][0] = '9';
    ck_assert_msg(fingerprint_is_same(&f, &now) == machines[_i].is_same, "%s", machines[_i].name);
}
END_TEST

START_TEST(a_fingerprint_is_written_as_the_reference_does)
{
    static const char text[] =
        "{\"fingerprint\":\"3e4d5c6b-7a89-4b0c-9d1e-2f3a4b5c6d7e\",\"hardwareHash\":{"
        "\"bios-hash\":\"77Njo6oWP+Mqp++nb0bk/g==\",\"disk-info\":\"\",\"hostname-info\":\"web01\","
        "\"ipaddress-info\":\"10.0.0.5\",\"macaddr-info\":\"0e:11:22:33:44:55\","
        "\"machine-id\":\"4c4c4544004d3510803bb7c04f4e5331\\n\",\"memory-hash\":\"\","
        "\"processor-hash\":\"\",\"system-hash\":\"\"},\"similarityThreshold\":40}";
    static const char *const bad[] = {"", "[]", "{\"fingerprint\":\"x\"}",
                                      "{\"similarityThreshold\":101}",
                                      "{\"hardwareHash\":{\"bios-hash\":1}}"};
    AUTO(buf_done) struct buf b = {0};
    struct fingerprint f;
    struct err err = {0};
    size_t i;

    buf_init(&b, 4096);
    ck_assert_msg(fingerprint_parse(text, sizeof(text) - 1, &f, &err) == 0, "%s", err.text);
    ck_assert_int_eq(f.threshold, 40);
    ck_assert_str_eq(f.hardware.value[FINGERPRINT_HOST_NAME], "web01");
    fingerprint_write(&f, &b);
    ck_assert_str_eq(buf_str(&b), text);
    for (i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(fingerprint_parse(bad[i], strlen(bad[i]), &f, &err) < 0, "%s", bad[i]);
    ck_assert_int_eq(
        fingerprint_parse("{\"fingerprint\":\"\",\"hardwareHash\":null}", 38, &f, &err), 0);
    ck_assert(!f.has_hardware);
}
END_TEST

START_TEST(hardware_is_hashed_as_the_reference_does)
{
    char digest[FINGERPRINT_VALUE_SIZE];
    struct hardware h;

    hardware_digest("dmidecode sample\n", 17, digest);
    ck_assert_str_eq(digest, "77Njo6oWP+Mqp++nb0bk/g==");
    hardware_collect("/nonexistent", &h);
    ck_assert_str_eq(h.value[FINGERPRINT_MACHINE_ID], "");
    ck_assert_str_ne(h.value[FINGERPRINT_HOST_NAME], "");
}
END_TEST

/* ---- the vault ---- */

START_TEST(a_registration_and_its_key_are_read_as_they_were_written)
{
    AUTO(rsa_key_free) struct rsa_key *key = NULL;
    AUTO(rsa_key_free) struct rsa_key *again = NULL;
    struct vault_registration g = {.instance_id = "mi-0123456789abcdef0",
                                   .region = "us-east-1",
                                   .key_created_unix_ms = 1704164645123},
                              back;
    char public_text[RSA_KEY_PUBLIC_TEXT_SIZE], name[64];
    struct stat st;
    struct err err = {0};

    ck_assert_int_eq(vault_read(&vault, VAULT_HYBRID, &back, &err), ERR_NOT_FOUND);
    ck_assert_int_eq(rsa_key_from_private(TEST_KEY_PRIVATE, &key, &err), 0);
    ck_assert_int_eq(vault_write_key(&vault, key, g.key_id, &err), 0);
    ck_assert_int_eq(vault_write(&vault, VAULT_HYBRID, &g, &err), 0);
    ck_assert_msg(vault_read(&vault, VAULT_HYBRID, &back, &err) == 0, "%s", err.text);
    ck_assert_int_eq(memcmp(&g, &back, sizeof(g)), 0);
    ck_assert_int_eq(vault_read(&vault, VAULT_EC2, &back, &err), ERR_NOT_FOUND);
    ck_assert_int_eq(vault_read_key(&vault, g.key_id, &again, &err), 0);
    ck_assert_int_eq(rsa_key_public_text(again, public_text, &err), 0);
    ck_assert_str_eq(public_text, TEST_KEY_PUBLIC);
    (void)snprintf(name, sizeof(name), "key.%s", g.key_id);
    ck_assert_int_eq(fstatat(vault.dirfd, name, &st, 0), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0600);
    ck_assert_int_eq(vault_remove_key(&vault, g.key_id, &err), 0);
    ck_assert_int_eq(vault_remove_key(&vault, g.key_id, &err), 0); /* again is no failure */
    ck_assert_int_eq(vault_remove(&vault, VAULT_HYBRID, &err), 0);
    ck_assert_int_eq(vault_read(&vault, VAULT_HYBRID, &back, &err), ERR_NOT_FOUND);
}
END_TEST

START_TEST(a_damaged_vault_is_told_apart_from_none)
{
    static const struct {
        const char *file, *text;
    } rows[] = {
        {"registration", ""},
        {"registration", "ssmd-record 1 registration\ninstance_id=mi-0123456789abcdef0\n"},
        {"registration", "ssmd-record 1 registration\ninstance_id=../x\nregion=r\nkey=k\nend\n"},
        {"registration", "ssmd-record 1 registration\nregion=r\nkey=k\nend\n"},
        {"key.0123456789abcdef", TEST_KEY_PRIVATE}, /* another key's name */
        {"key.0123456789abcdef", "garbage"},
    };
    struct rsa_key *key = NULL;
    struct vault_registration g;
    struct err err;
    size_t i;

    for (i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_int_eq(fs_write_atomic(vault.dirfd, rows[i].file, rows[i].text,
                                         strlen(rows[i].text), 0600, false, &err),
                         0);
        if (str_has_prefix(rows[i].file, "key."))
            ck_assert_int_eq(vault_read_key(&vault, rows[i].file + 4, &key, &err), ERR_CORRUPT);
        else
            ck_assert_int_eq(vault_read(&vault, VAULT_HYBRID, &g, &err), ERR_CORRUPT);
    }
}
END_TEST

static const struct {
    const char *text;
    int code;
    int64_t created_unix_ms;
} records[] = {
#define RECORD(id, key, created)                                                                   \
    "{\"instanceID\":\"" id "\",\"region\":\"us-east-1\",\"instanceType\":\"\","                   \
    "\"availabilityZone\":\"\",\"privateKey\":\"" key "\",\"publicKey\":\"\","                     \
    "\"privateKeyType\":\"Rsa\",\"privateKeyCreatedDate\":\"" created "\"}"
    {RECORD("mi-0123456789abcdef0", TEST_KEY_PRIVATE, "2024-01-02 03:04:05.123456789 +0000 UTC"), 0,
     1704164645000},
    {RECORD("mi-0123456789abcdef0", TEST_KEY_PRIVATE, "2024-01-02 04:04:05 +0100 CET"), 0,
     1704164645000},
    {RECORD("mi-0123456789abcdef0", TEST_KEY_PRIVATE, ""), 0, 0},
    {RECORD("mi-0123456789abcdef0", TEST_KEY_PRIVATE, "soon"), 0, 0},
    {RECORD("", "", ""), ERR_NOT_FOUND, 0},
    {RECORD("mi-0123456789abcdef0", "AAAA", ""), ERR_INVALID, 0},
    {RECORD("../../etc", TEST_KEY_PRIVATE, ""), ERR_INVALID, 0},
    {"[]", ERR_INVALID, 0},
};

START_TEST(the_references_record_is_read_as_it_is)
{
    AUTO(vault_import_done) struct vault_import i = {.key = NULL};
    struct err err = {0};
    int r = vault_parse_reference(records[_i].text, strlen(records[_i].text), &i, &err);

    ck_assert_msg(r == records[_i].code, "%d: %s", r, err.text);
    if (r == 0) {
        ck_assert_str_eq(i.registration.instance_id, "mi-0123456789abcdef0");
        ck_assert_int_eq(i.registration.key_created_unix_ms, records[_i].created_unix_ms);
    }
}
END_TEST

/* ---- documents ---- */

START_TEST(metadata_is_taken_only_if_it_can_be_what_was_asked_for)
{
    static const char *const lines[] = {"", "\n", "<html>", "a b", "\x01", "i-1\x80"};
    char text[32];
    struct err err;
    size_t i;

    ck_assert_int_eq(imds_parse_line("web\nother", 9, text, sizeof(text), &err), 0);
    ck_assert_str_eq(text, "web");
    for (i = 0; i < ARRAY_LEN(lines); i++)
        ck_assert_int_eq(imds_parse_line(lines[i], strlen(lines[i]), text, sizeof(text), &err),
                         ERR_PROTOCOL);
    ck_assert_int_eq(imds_parse_region("{\"region\":\"eu-west-1\"}", 22, text, sizeof(text), &err),
                     0);
    ck_assert_str_eq(text, "eu-west-1");
    ck_assert_int_eq(imds_parse_region("{\"region\":\"../x\"}", 17, text, sizeof(text), &err),
                     ERR_PROTOCOL);
    ck_assert_int_eq(imds_parse_region("<html>", 6, text, sizeof(text), &err), ERR_PROTOCOL);
}
END_TEST

static const struct {
    const char *url;
    bool is_allowed;
} endpoints[] = {
    {"http://169.254.170.2/v2", true},
    {"http://169.254.170.23/v1", true},
    {"http://[fd00:ec2::23]/x", true},
    {"http://127.0.0.1:8080/x", true},
    {"http://127.9.9.9/x", true},
    {"http://localhost/x", true},
    {"http://[::1]:80/", true},
    {"https://example.com/x", true},
    {"http://example.com/x", false},
    {"http://169.254.169.254/x", false},
    {"http://169.254.170.2.example/", false},
    {"http://127.0.0.1@example.com/", false},
    {"ftp://127.0.0.1/", false},
    {"", false},
};

START_TEST(a_containers_credentials_are_asked_for_where_it_is_safe)
{
    ck_assert_msg(container_is_endpoint_allowed(endpoints[_i].url) == endpoints[_i].is_allowed,
                  "%s", endpoints[_i].url);
}
END_TEST

START_TEST(a_container_is_named_by_cluster_task_and_docker_id)
{
    static const char task[] = "{\"Cluster\":\"arn:aws:ecs:eu-west-1:1:cluster/blue\",\"TaskARN\":"
                               "\"arn:aws:ecs:eu-west-1:1:task/blue/fedc\","
                               "\"AvailabilityZone\":\"eu-west-1b\"}";
    struct container_task t;
    struct err err = {0};

    ck_assert_msg(
        container_parse(task, sizeof(task) - 1, "{\"DockerId\":\"0123-4\"}", 21, &t, &err) == 0,
        "%s", err.text);
    ck_assert_str_eq(t.instance_id, "ecs:blue_fedc_0123-4");
    ck_assert_str_eq(t.region, "eu-west-1");
    ck_assert_str_eq(t.availability_zone, "eu-west-1b");
    ck_assert_int_eq(container_parse("{}", 2, "{}", 2, &t, &err), ERR_PROTOCOL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("identity");
    TCase *tc = tcase_create("identity"), *files = tcase_create("vault");
    SRunner *runner;
    int n_failed;

    tcase_add_loop_test(tc, a_machine_is_the_same_by_its_attributes, 0, (int)ARRAY_LEN(machines));
    tcase_add_test(tc, a_fingerprint_is_written_as_the_reference_does);
    tcase_add_test(tc, hardware_is_hashed_as_the_reference_does);
    tcase_add_loop_test(tc, the_references_record_is_read_as_it_is, 0, (int)ARRAY_LEN(records));
    tcase_add_test(tc, metadata_is_taken_only_if_it_can_be_what_was_asked_for);
    tcase_add_loop_test(tc, a_containers_credentials_are_asked_for_where_it_is_safe, 0,
                        (int)ARRAY_LEN(endpoints));
    tcase_add_test(tc, a_container_is_named_by_cluster_task_and_docker_id);
    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(files, setup, teardown);
    tcase_add_test(files, a_registration_and_its_key_are_read_as_they_were_written);
    tcase_add_test(files, a_damaged_vault_is_told_apart_from_none);
    suite_add_tcase(suite, files);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
