/* URLs of objects, in every form that users write. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "transport/s3_url.h"

static const struct {
    const char *url;
    const char *bucket, *key, *region; /* NULL: refused */
} rows[] = {
    {"https://s3.us-east-1.amazonaws.com/b/k", "b", "k", "us-east-1"},
    {"https://s3-eu-west-1.amazonaws.com/bucket/dir/key", "bucket", "dir/key", "eu-west-1"},
    {"https://s3.amazonaws.com/bucket/key", "bucket", "key", "us-east-1"},
    {"https://s3-external-1.amazonaws.com/bucket/key", "bucket", "key", "us-east-1"},
    {"https://s3.dualstack.eu-central-1.amazonaws.com/bucket/key", "bucket", "key", "eu-central-1"},
    {"https://S3.EU-WEST-1.AMAZONAWS.COM/bucket/Key", "bucket", "Key", "EU-WEST-1"},
    {"https://bucket.s3.amazonaws.com/key", "bucket", "key", "us-east-1"},
    {"https://bucket.s3.eu-west-1.amazonaws.com/dir/", "bucket", "dir/", "eu-west-1"},
    {"https://my.bucket.s3-eu-west-1.amazonaws.com/key", "my.bucket", "key", "eu-west-1"},
    {"https://bucket.s3-accelerate.amazonaws.com/key", "bucket", "key", "us-east-1"},
    {"https://bucket.s3-accelerate.dualstack.amazonaws.com/key", "bucket", "key", "us-east-1"},
    {"https://bucket.s3-website-us-west-2.amazonaws.com/key", "bucket", "key", "us-west-2"},
    {"https://bucket.s3-website.eu-central-1.amazonaws.com/key", "bucket", "key", "eu-central-1"},
    {"https://bucket.s3.cn-north-1.amazonaws.com.cn/key", "bucket", "key", "cn-north-1"},
    {"https://bucket.s3.eusc-de-east-1.amazonaws.eu/key", "bucket", "key", "eusc-de-east-1"},
    {"https://bucket.vpce-1a2b-5e6f.s3.us-west-2.vpce.amazonaws.com/b/key", "b", "key",
     "us-west-2"},
    {"https://mine.bucket.vpce-1a2b-5e6f.s3.us-west-2.vpce.amazonaws.com/key", "mine", "key",
     "us-west-2"},
    {"http://bucket.s3.amazonaws.com/key", "bucket", "key", "us-east-1"},
    {"https://bucket.s3.amazonaws.com", "bucket", "", "us-east-1"},
    {"https://bucket.s3.amazonaws.com/", "bucket", "", "us-east-1"},
    {"https://s3.amazonaws.com/bucket", "bucket", "", "us-east-1"},
    {"https://s3.amazonaws.com/bucket/a+b%20c%2Bd", "bucket", "a b c+d", "us-east-1"},
    {"https://s3.amazonaws.com/bucket/%C3%A9", "bucket", "\xC3\xA9", "us-east-1"},
    {"https://s3.amazonaws.com/bucket/key?versionId=x#y", "bucket", "key", "us-east-1"},
    {"https://s3.amazonaws.com/bucket//a//b", "bucket", "/a//b", "us-east-1"},
    {"https://s3-logs.s3.amazonaws.com/key", "s3-logs", "key", "us-east-1"},
    {"s3://bucket/key", NULL, NULL, NULL},
    {"https://example.org/bucket/key", NULL, NULL, NULL},
    {"https://amazonaws.com/bucket/key", NULL, NULL, NULL},
    {"https://s3.amazonaws.com.evil.org/bucket/key", NULL, NULL, NULL},
    {"https://evils3.amazonaws.com/bucket/key", NULL, NULL, NULL},
    {"https://user:pw@s3.amazonaws.com/bucket/key", NULL, NULL, NULL},
    {"https://s3.amazonaws.com/", NULL, NULL, NULL},
    {"https://s3.amazonaws.com/bucket/%zz", NULL, NULL, NULL},
    {"https://s3.amazonaws.com/bucket/%00", NULL, NULL, NULL},
    {"https://s3.amazonaws.com/bucket/%ff", NULL, NULL, NULL},
    {"https:///bucket/key", NULL, NULL, NULL},
    {"", NULL, NULL, NULL},
};

START_TEST(urls_are_taken_apart)
{
    struct s3_url u;
    struct err err = {0};
    int r = s3_url_parse(rows[_i].url, &u, &err);

    if (rows[_i].bucket == NULL) {
        ck_assert_msg(r == ERR_INVALID, "%s is accepted: %s, %s", rows[_i].url,
                      r == 0 ? u.bucket : "", r == 0 ? u.key : "");
        ck_assert_str_ne(err.text, "");
        return;
    }
    ck_assert_msg(r == 0, "%s", err.text);
    ck_assert_str_eq(u.bucket, rows[_i].bucket);
    ck_assert_str_eq(u.key, rows[_i].key);
    ck_assert_str_eq(u.region, rows[_i].region);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("s3_url");
    TCase *t = tcase_create("urls");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_loop_test(t, urls_are_taken_apart, 0, (int)(sizeof(rows) / sizeof(rows[0])));
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
