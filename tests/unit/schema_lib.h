/* Shared by the suites of schema/: trees from literals, texts from trees. */
#ifndef SSMD_TESTS_UNIT_SCHEMA_LIB_H
#define SSMD_TESTS_UNIT_SCHEMA_LIB_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "schema/json.h"

#define TEST_JSON_BYTES (8u << 20)

/* A literal of the test; a mistake in it fails the test. The caller owns the tree. */
static inline cJSON *tree_of(const char *text)
{
    cJSON *root = NULL;
    struct err err = {.code = 0};
    int r = json_parse(text, strlen(text), TEST_JSON_BYTES, JSON_REFUSE, "test", &root, &err);

    ck_assert_msg(r == 0, "%s in %s", err.text, text);
    return root;
}

/* The caller owns the text. */
static inline char *text_of(const cJSON *tree)
{
    struct buf b;
    char *text;

    buf_init(&b, TEST_JSON_BYTES);
    json_write(&b, tree);
    ck_assert_int_eq(b.failed, 0);
    text = buf_take(&b);
    ck_assert_ptr_nonnull(text);
    return text;
}

#define SUITE_MAIN(make_suite)                                                                     \
    int main(void)                                                                                 \
    {                                                                                              \
        SRunner *runner = srunner_create(make_suite());                                            \
        int failed;                                                                                \
                                                                                                   \
        srunner_run_all(runner, CK_ENV);                                                           \
        failed = srunner_ntests_failed(runner);                                                    \
        srunner_free(runner);                                                                      \
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;                                          \
    }

#endif
