/* Proxy selection by environment, and delays between tries. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/str.h"
#include "transport/ca.h"
#include "transport/proxy.h"

struct variables {
    const char *pairs[12]; /* name, value, name, value ... NULL */
};

static const char *get_variable(void *ctx, const char *name)
{
    const struct variables *v = ctx;
    size_t i;

    for (i = 0; v->pairs[i] != NULL; i += 2) {
        if (strcmp(v->pairs[i], name) == 0)
            return v->pairs[i + 1];
    }
    return NULL;
}

#define P "http://proxy:3128"
static const struct {
    const char *no_proxy;
    const char *host;
    unsigned port;
    bool is_direct;
} rows[] = {
    {"", "ssm.us-east-1.amazonaws.com", 443, false},
    {"*", "ssm.us-east-1.amazonaws.com", 443, true},
    {" other , * ", "a.example", 443, true},
    {"example.com", "example.com", 443, true},
    {"example.com", "EXAMPLE.COM", 443, true},
    {"EXAMPLE.com", "a.example.com", 443, true},
    {"example.com", "badexample.com", 443, false},
    {"example.com", "example.com.evil", 443, false},
    {".example.com", "example.com", 443, false},
    {".example.com", "a.example.com", 443, true},
    {"*.example.com", "example.com", 443, false},
    {"*.example.com", "a.b.example.com", 443, true},
    {"example.com:8443", "example.com", 443, false},
    {"example.com:8443", "example.com", 8443, true},
    {"169.254.169.254", "169.254.169.254", 80, true},
    {"169.254.169.254", "169.254.169.25", 80, false},
    {"169.254.169.254:81", "169.254.169.254", 80, false},
    {"10.0.0.0/8", "10.200.3.4", 443, true},
    {"10.0.0.0/8", "11.0.0.1", 443, false},
    {"192.168.16.0/20", "192.168.31.255", 443, true},
    {"192.168.16.0/20", "192.168.32.0", 443, false},
    {"0.0.0.0/0", "8.8.8.8", 443, true},
    {"10.0.0.0/33", "10.0.0.1", 443, false},
    {"10.0.0.0/8", "10.example.com", 443, false},
    {"fd00::/8", "fd12::1", 443, true},
    {"fd00::/8", "fe80::1", 443, false},
    {"[fd12::1]:8443", "fd12::1", 8443, true},
    {"[fd12::1]:8443", "fd12::1", 443, false},
    {"fd12::1", "fd12:0::1", 443, true},
    {"a,,b, ,example.com", "example.com", 443, true},
    {":", "a.example", 443, false},
    {"", "localhost", 443, true},
    {"", "LocalHost", 443, true},
    {"", "127.0.0.1", 443, true},
    {"", "127.8.8.8", 443, true},
    {"", "128.0.0.1", 443, false},
    {"", "::1", 443, true},
};

START_TEST(no_proxy_means_what_it_means_to_the_reference)
{
    struct variables v = {{"https_proxy", P, "no_proxy", rows[_i].no_proxy, NULL}};
    const struct env_source env = {get_variable, &v};
    struct proxy_settings s;
    const char *proxy;

    ck_assert_int_eq(proxy_settings_read(&env, &s, NULL), 0);
    proxy = proxy_for(&s, true, rows[_i].host, rows[_i].port);
    ck_assert_msg(rows[_i].is_direct == (proxy == NULL), "\"%s\" for %s:%u", rows[_i].no_proxy,
                  rows[_i].host, rows[_i].port);
    proxy_settings_done(&s);
}
END_TEST

START_TEST(upper_case_wins_and_each_scheme_has_its_own_proxy)
{
    struct variables v = {{"https_proxy", "lower:1", "HTTPS_PROXY", "upper:1", "http_proxy",
                           "plain:1", "HTTP_PROXY", "", NULL}};
    const struct env_source env = {get_variable, &v};
    struct proxy_settings s;

    ck_assert_int_eq(proxy_settings_read(&env, &s, NULL), 0);
    ck_assert_str_eq(proxy_for(&s, true, "a.example", 443), "upper:1");
    ck_assert_str_eq(proxy_for(&s, false, "a.example", 80), "plain:1");
    proxy_settings_done(&s);
}
END_TEST

START_TEST(a_proxy_is_described_without_its_password)
{
    static const struct {
        const char *proxy, *text;
    } cases[] = {
        {"proxy:3128", "http://proxy:3128"},
        {"http://user:secret@proxy:3128/", "http://proxy:3128"},
        {"user:sec@ret@proxy:3128", "http://proxy:3128"},
        {"socks5://u:secret@[::1]:1080", "socks5://[::1]:1080"},
        {"averyveryverylongscheme://secret@x", "(malformed)"},
    };
    char text[64];
    size_t i;

    for (i = 0; i < ARRAY_LEN(cases); i++) {
        ck_assert(proxy_describe(cases[i].proxy, text, sizeof(text)));
        ck_assert_str_eq(text, cases[i].text);
    }
    ck_assert(!proxy_describe("http://averylonghost:1", text, 8));
}
END_TEST

START_TEST(a_ca_bundle_of_the_environment_replaces_the_systems)
{
    struct variables v = {{"AWS_CA_BUNDLE", "/a.pem", "SSL_CERT_FILE", "/b.pem", NULL}};
    struct variables w = {{"SSL_CERT_FILE", "/b.pem", "SSL_CERT_DIR", "/d", NULL}};
    const struct env_source aws = {get_variable, &v}, ssl = {get_variable, &w};
    struct ca_location ca;

    ca_find(&aws, NULL, NULL, &ca);
    ck_assert_str_eq(ca.file, "/a.pem");
    ck_assert_str_eq(ca.dir, "");
    ca_find(&ssl, NULL, NULL, &ca);
    ck_assert_str_eq(ca.file, "/b.pem");
    ck_assert_str_eq(ca.dir, "/d");
    ca_find(&aws, "/configured.pem", NULL, &ca);
    ck_assert_str_eq(ca.file, "/configured.pem");
    ck_assert_str_eq(ca.dir, "");
}
END_TEST

START_TEST(backoff_doubles_to_its_cap_and_forgets_on_success)
{
    struct backoff b = {.first_ms = 1000, .cap_ms = 300000};
    unsigned i;

    for (i = 0; i < 100; i++) {
        struct backoff lowest = b, highest = b;
        int64_t full = i < 9 ? INT64_C(1000) << i : 300000;

        ck_assert_int_eq(backoff_fail_ms(&lowest, 0), full / 2);
        ck_assert_int_eq(backoff_fail_ms(&highest, (uint32_t)(full - full / 2)), full);
        b = highest;
        ck_assert_uint_eq(b.n_failures, i + 1);
    }
    backoff_clear(&b);
    ck_assert_int_eq(backoff_fail_ms(&b, 0), 500);
}
END_TEST

START_TEST(ssm_delays_are_the_references)
{
    static const struct {
        unsigned n;
        int64_t min, max;
    } cases[] = {{0, 1000, 1499}, {1, 2000, 2998}, {2, 4000, 5996}};
    size_t i;

    for (i = 0; i < ARRAY_LEN(cases); i++) {
        ck_assert_int_eq(backoff_ssm_ms(cases[i].n, 0), cases[i].min);
        ck_assert_int_eq(backoff_ssm_ms(cases[i].n, 499), cases[i].max);
        ck_assert_int_eq(backoff_ssm_ms(cases[i].n, 500), cases[i].min);
    }
    ck_assert_int_gt(backoff_ssm_ms(UINT32_MAX, UINT32_MAX), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("proxy");
    TCase *proxy = tcase_create("proxy"), *backoff = tcase_create("backoff");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_loop_test(proxy, no_proxy_means_what_it_means_to_the_reference, 0,
                        (int)ARRAY_LEN(rows));
    tcase_add_test(proxy, upper_case_wins_and_each_scheme_has_its_own_proxy);
    tcase_add_test(proxy, a_proxy_is_described_without_its_password);
    tcase_add_test(proxy, a_ca_bundle_of_the_environment_replaces_the_systems);
    tcase_add_test(backoff, backoff_doubles_to_its_cap_and_forgets_on_success);
    tcase_add_test(backoff, ssm_delays_are_the_references);
    suite_add_tcase(suite, proxy);
    suite_add_tcase(suite, backoff);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
