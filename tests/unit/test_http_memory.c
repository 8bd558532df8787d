/* Each allocation of libcurl's fails once, counted one by one: want of memory is told as that, and
 * no program goes on with a libcurl that has lost its way. */
#include <check.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/failing_malloc.h"
#include "transport/endpoint.h"
#include "transport/http.h"

#define MANY 10000 /* far more allocations than there are */
#define UNTOUCHED 2

START_TEST(want_of_memory_is_not_a_bad_endpoint)
{
    struct endpoint e;
    struct err err;
    int r = -1;
    long n;

    ck_assert_int_eq(curl_global_init_mem(CURL_GLOBAL_DEFAULT, __wrap_malloc, free, __wrap_realloc,
                                          __wrap_strdup, __wrap_calloc),
                     CURLE_OK);
    for (n = 0; n < MANY; n++) {
        failing_malloc_after(n);
        r = endpoint_make(AWS_SSM, "us-east-1", NULL, "http://hub:8080/base", &e, &err);
        if (!failing_malloc_was_hit())
            break;
        ck_assert_msg(r == ERR_NOMEM, "allocation %ld: %d, %s", n, r, err.text);
    }
    failing_malloc_after(-1);
    ck_assert_int_eq(r, 0);
    ck_assert_int_gt(n, 5);
    ck_assert_str_eq(e.url, "http://hub:8080/base");
}
END_TEST

static void on_done(void *ctx, const struct http_response *response)
{
    (void)ctx;
    (void)response;
}

/* In a process of its own: whether allocation `n` is reached, and what came of it. */
static int begin_a_request(long n)
{
    const struct http_request request = {.method = "GET", .url = "http://127.0.0.1:9/"};
    struct http *http;
    uv_loop_t loop;
    struct err err;
    int r;

    if (uv_loop_init(&loop) != 0 || http_new(&loop, NULL, &http, &err) < 0)
        return 1;
    failing_malloc_after(n);
    r = http_start(http, &request, on_done, NULL, NULL, &err);
    if (r == 0)
        (void)uv_run(&loop, UV_RUN_ONCE); /* the request goes out, or is refused */
    if (!failing_malloc_was_hit())
        return UNTOUCHED;
    return r == 0 || r == ERR_NOMEM ? 0 : 1; /* it was one of ours: the request fails, or will */
}

START_TEST(a_program_ends_in_order_where_libcurl_lacks_memory)
{
    int status = 0, n_ended = 0;
    long n;

    for (n = 0; n < MANY; n++) {
        pid_t pid = fork();

        ck_assert_int_ge(pid, 0);
        if (pid == 0)
            _exit(begin_a_request(n));
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_msg(WIFEXITED(status), "allocation %ld: %#x", n, (unsigned)status);
        if (WEXITSTATUS(status) == UNTOUCHED)
            break;
        ck_assert_msg(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == HTTP_EXIT_NO_MEMORY,
                      "allocation %ld: %d", n, WEXITSTATUS(status));
        n_ended += WEXITSTATUS(status) == HTTP_EXIT_NO_MEMORY;
    }
    ck_assert_int_eq(WEXITSTATUS(status), UNTOUCHED);
    ck_assert_int_gt(n_ended, 10);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http_memory");
    TCase *t = tcase_create("http_memory");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_test(t, want_of_memory_is_not_a_bad_endpoint);
    tcase_add_test(t, a_program_ends_in_order_where_libcurl_lacks_memory);
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
