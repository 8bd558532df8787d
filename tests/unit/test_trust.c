/* What of an update source is believed, and what is remembered of it. The attacks are in
 * test_bad_metadata.c. */
#include "release_world.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"

static struct world w;

static void set_up(void)
{
    world_init(&w);
}

static void tear_down(void)
{
    world_done(&w);
}

START_TEST(a_good_source_is_believed)
{
    AUTO(trust_free) struct trust *t = NULL;
    struct err err = {0};

    ck_assert_msg(world_run(&w, &t, &err) == 0, "%s", err.text);
    ck_assert_int_eq(trust_root(t)->version, 1);
    ck_assert_int_eq(trust_timestamp(t)->version, TIMESTAMP_VERSION);
    ck_assert_int_eq(trust_manifest(t)->version, MANIFEST_VERSION);
    ck_assert_uint_eq(trust_manifest(t)->packages[0].files[0].n_versions, 2);
}
END_TEST

START_TEST(the_same_source_is_believed_again)
{
    world_update(&w);
    world_update(&w);
}
END_TEST

static Suite *trust_suite(void)
{
    Suite *s = suite_create("trust");
    TCase *t = tcase_create("trust");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_good_source_is_believed);
    tcase_add_test(t, the_same_source_is_believed_again);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    SRunner *runner = srunner_create(trust_suite());
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
