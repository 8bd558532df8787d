/* Each allocation of ours under a list of S3's fails once, counted one by one: want of memory is
 * told as that, and not as a list that is too long. */
#include <check.h>
#include <stdlib.h>

#include "tests/lib/failing_malloc.h"
#include "transport/s3_xml.h"

#define MANY 10000 /* far more allocations than there are */

static const char page[] =
    "<ListBucketResult><IsTruncated>true</IsTruncated><NextMarker>b</NextMarker>"
    "<Contents><Key>a/one</Key><Size>1</Size></Contents>"
    "<Contents><Key>a/two</Key><Size>2</Size></Contents>"
    "<CommonPrefixes><Prefix>a/three/</Prefix></CommonPrefixes></ListBucketResult>";

START_TEST(a_list_without_memory_is_not_a_bad_list)
{
    int r = -1;
    long n;

    for (n = 0; n < MANY; n++) {
        AUTO(s3_list_done) struct s3_list list = {0};
        struct err err = {0};

        failing_malloc_after(n);
        r = s3_xml_list(page, sizeof(page) - 1, &list, &err);
        failing_malloc_after(-1);
        if (r == 0)
            break;
        ck_assert_msg(r == ERR_NOMEM, "allocation %ld: %d, %s", n, r, err.text);
    }
    ck_assert_int_eq(r, 0);
    ck_assert_int_gt(n, 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("s3_memory");
    TCase *t = tcase_create("s3_memory");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_test(t, a_list_without_memory_is_not_a_bad_list);
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
