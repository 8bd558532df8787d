/* Digest authentication: the RFC's own examples, and challenges of every kind. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/digest.h"

#define CHALLENGE                                                                                  \
    "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", "                             \
    "nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", "                                     \
    "opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\", algorithm="

static void answer(const char *challenge, const char *cnonce, struct buf *ret)
{
    struct digest_challenge c;
    struct err err = {0};

    ck_assert_msg(digest_challenge_parse(challenge, &c, &err) == 0, "%s", err.text);
    buf_init(ret, 8192);
    ck_assert_int_eq(
        digest_answer(&c, "GET", "/dir/index.html", "Mufasa", "Circle of Life", cnonce, ret, &err),
        0);
}

/* RFC 7616, section 3.9.1. */
START_TEST(answers_as_the_rfc_does)
{
    static const struct {
        const char *challenge, *cnonce, *response;
    } rows[] = {
        {CHALLENGE "MD5", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
         "8ca523f5e9506fed4657c9700eebdbec"},
        {CHALLENGE "SHA-256", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
         "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"},
    };
    AUTO(buf_done) struct buf b = {0};
    char wanted[100];

    answer(rows[_i].challenge, rows[_i].cnonce, &b);
    (void)snprintf(wanted, sizeof(wanted), "response=\"%s\"", rows[_i].response);
    ck_assert_msg(strstr(buf_str(&b), wanted) != NULL, "%s not in %s", wanted, buf_str(&b));
}
END_TEST

START_TEST(an_answer_has_every_member_once)
{
    AUTO(buf_done) struct buf b = {0};

    answer("digest nonce=abc , realm=\"a \\\"realm\\\"\",,algorithm=md5,userhash=TRUE,qop=auth",
           "0011", &b);
    ck_assert_msg(strncmp(buf_str(&b), "Digest username=\"", 17) == 0, "%s", buf_str(&b));
    ck_assert_ptr_nonnull(strstr(buf_str(&b), ", realm=\"a \\\"realm\\\"\", nonce=\"abc\", "
                                              "uri=\"/dir/index.html\", algorithm=md5, qop=auth, "
                                              "nc=00000001, cnonce=\"0011\", response=\""));
    ck_assert_ptr_nonnull(strstr(buf_str(&b), ", userhash=true"));
    ck_assert_ptr_null(strstr(buf_str(&b), "Mufasa"));
    ck_assert_ptr_null(strstr(buf_str(&b), "opaque"));
}
END_TEST

START_TEST(without_quality_it_is_the_old_form)
{
    AUTO(buf_done) struct buf b = {0};

    answer("Digest realm=\"r\", nonce=\"n\", opaque=\"\"", "0011", &b);
    ck_assert_ptr_null(strstr(buf_str(&b), "cnonce"));
    ck_assert_ptr_null(strstr(buf_str(&b), "qop"));
    ck_assert_ptr_nonnull(strstr(buf_str(&b), "opaque=\"\""));
}
END_TEST

static const struct {
    const char *header;
    int code;
} bad[] = {
    {"", ERR_PROTOCOL},
    {"Basic realm=\"x\"", ERR_PROTOCOL},
    {"Digestible nonce=\"x\"", ERR_PROTOCOL},
    {"Digest", ERR_PROTOCOL},
    {"Digest realm=\"r\"", ERR_PROTOCOL},
    {"Digest nonce=\"x", ERR_PROTOCOL},
    {"Digest nonce=\"x\\", ERR_PROTOCOL},
    {"Digest nonce", ERR_PROTOCOL},
    {"Digest =x, nonce=y", ERR_PROTOCOL},
    {"Digest nonce=x, algorithm=SHA-512-256", ERR_UNSUPPORTED},
    {"Digest nonce=x, qop=\"other\"", ERR_UNSUPPORTED},
};

START_TEST(challenges_that_cannot_be_answered_are_refused)
{
    struct digest_challenge c;
    struct err err = {0};

    ck_assert_int_eq(digest_challenge_parse(bad[_i].header, &c, &err), bad[_i].code);
    ck_assert_str_ne(err.text, "");
}
END_TEST

START_TEST(values_that_are_too_long_are_refused)
{
    char header[2 * DIGEST_MAX_TEXT];
    struct digest_challenge c;

    (void)snprintf(header, sizeof(header), "Digest nonce=\"%01400d\"", 0);
    ck_assert_int_eq(digest_challenge_parse(header, &c, NULL), ERR_PROTOCOL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("digest");
    TCase *t = tcase_create("digest");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_loop_test(t, answers_as_the_rfc_does, 0, 2);
    tcase_add_test(t, an_answer_has_every_member_once);
    tcase_add_test(t, without_quality_it_is_the_old_form);
    tcase_add_loop_test(t, challenges_that_cannot_be_answered_are_refused, 0,
                        (int)(sizeof(bad) / sizeof(bad[0])));
    tcase_add_test(t, values_that_are_too_long_are_refused);
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
