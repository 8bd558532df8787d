/* Endpoint formation and overrides. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "transport/endpoint.h"

static const struct {
    enum aws_service service;
    const char *region, *domain, *override;
    const char *url, *host, *path; /* NULL: refused */
} rows[] = {
    {AWS_SSM, "us-east-1", NULL, NULL, "https://ssm.us-east-1.amazonaws.com/",
     "ssm.us-east-1.amazonaws.com", "/"},
    {AWS_EC2MESSAGES, "cn-north-1", "", "", "https://ec2messages.cn-north-1.amazonaws.com.cn/",
     "ec2messages.cn-north-1.amazonaws.com.cn", "/"},
    {AWS_LOGS, "us-gov-west-1", NULL, NULL, "https://logs.us-gov-west-1.amazonaws.com/",
     "logs.us-gov-west-1.amazonaws.com", "/"},
    {AWS_KMS, "us-iso-east-1", NULL, NULL, "https://kms.us-iso-east-1.c2s.ic.gov/",
     "kms.us-iso-east-1.c2s.ic.gov", "/"},
    {AWS_KMS, "us-isob-east-1", NULL, NULL, "https://kms.us-isob-east-1.sc2s.sgov.gov/",
     "kms.us-isob-east-1.sc2s.sgov.gov", "/"},
    {AWS_KMS, "us-isof-south-1", NULL, NULL, "https://kms.us-isof-south-1.csp.hci.ic.gov/",
     "kms.us-isof-south-1.csp.hci.ic.gov", "/"},
    {AWS_KMS, "eu-isoe-west-1", NULL, NULL, "https://kms.eu-isoe-west-1.cloud.adc-e.uk/",
     "kms.eu-isoe-west-1.cloud.adc-e.uk", "/"},
    {AWS_SSMMESSAGES, "eusc-de-east-1", NULL, NULL,
     "https://ssmmessages.eusc-de-east-1.amazonaws.eu/", "ssmmessages.eusc-de-east-1.amazonaws.eu",
     "/"},
    {AWS_SSM, "atlantis-9", NULL, NULL, "https://ssm.atlantis-9.amazonaws.com/",
     "ssm.atlantis-9.amazonaws.com", "/"},
    {AWS_SSM, "us-east-1", "example.org", NULL, "https://ssm.us-east-1.example.org/",
     "ssm.us-east-1.example.org", "/"},
    {AWS_SSM, "us-east-1", "ignored.org", "ssm-fips.us-east-1.amazonaws.com",
     "https://ssm-fips.us-east-1.amazonaws.com/", "ssm-fips.us-east-1.amazonaws.com", "/"},
    {AWS_SSM, "us-east-1", NULL, "http://127.0.0.1:8080", "http://127.0.0.1:8080/",
     "127.0.0.1:8080", "/"},
    {AWS_SSM, "us-east-1", NULL, "127.0.0.1:8443", "https://127.0.0.1:8443/", "127.0.0.1:8443",
     "/"},
    {AWS_SSM, "us-east-1", NULL, "localhost:8443", "https://localhost:8443/", "localhost:8443",
     "/"},
    {AWS_SSM, "us-east-1", NULL, "https://hub:443/", "https://hub/", "hub", "/"},
    {AWS_SSM, "us-east-1", NULL, "http://hub:80", "http://hub/", "hub", "/"},
    {AWS_SSM, "us-east-1", NULL, "http://hub:443", "http://hub:443/", "hub:443", "/"},
    {AWS_SSM, "us-east-1", NULL, "http://[::1]:80/base", "http://[::1]/base", "[::1]", "/base"},
    {AWS_SSM, "", NULL, NULL, NULL, NULL, NULL},
    {AWS_SSM, "us_east_1", NULL, NULL, NULL, NULL, NULL},
    {AWS_SSM, "us-east-1/x", NULL, NULL, NULL, NULL, NULL},
    {AWS_SSM, "us-east-1.evil.org", NULL, NULL, NULL, NULL, NULL},
    {AWS_SSM, "us-east-1", NULL, "ftp://hub", NULL, NULL, NULL},
    {AWS_SSM, "us-east-1", NULL, "http://", NULL, NULL, NULL},
    {AWS_SSM, "us-east-1", NULL, "http://hub/?a=b", NULL, NULL, NULL},
    {AWS_SSM, "us-east-1", NULL, "http://user:pw@hub/", NULL, NULL, NULL},
    {AWS_SSM, "us-east-1", NULL, "http://hub:0x50/", NULL, NULL, NULL},
};

START_TEST(endpoints_are_formed_as_documented)
{
    struct endpoint e;
    struct err err = {0};
    int r = endpoint_make(rows[_i].service, rows[_i].region, rows[_i].domain, rows[_i].override, &e,
                          &err);

    if (rows[_i].url == NULL) {
        ck_assert_int_eq(r, ERR_INVALID);
        ck_assert_ptr_null(strstr(err.text, "pw"));
        return;
    }
    ck_assert_msg(r == 0, "%s", err.text);
    ck_assert_str_eq(e.url, rows[_i].url);
    ck_assert_str_eq(e.host, rows[_i].host);
    ck_assert_str_eq(e.path, rows[_i].path);
}
END_TEST

START_TEST(a_region_may_be_a_hundred_characters_and_no_more)
{
    char region[102];
    struct endpoint e;

    memset(region, 'a', sizeof(region));
    region[101] = '\0';
    ck_assert_int_eq(endpoint_make(AWS_SSM, region, NULL, NULL, &e, NULL), ERR_INVALID);
    region[100] = '\0';
    ck_assert_int_eq(endpoint_make(AWS_SSM, region, NULL, NULL, &e, NULL), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("endpoint");
    TCase *tc = tcase_create("endpoint");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_loop_test(tc, endpoints_are_formed_as_documented, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(tc, a_region_may_be_a_hundred_characters_and_no_more);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
