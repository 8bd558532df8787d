/* The client's side of ssmd's socket, against an ssmd that says what the test wants. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "ctl/client.h"
#include "ctl_world.h"

static int ask(const struct world *w, const char *text, cJSON **ret_answer, struct err *err)
{
    AUTO(buf_done) struct buf question = {0};

    buf_init(&question, 16u << 20);
    (void)buf_add_str(&question, text); /* client_ask() looks */
    return client_ask(&w->paths, &question, ret_answer, err);
}

START_TEST(a_question_is_one_line_and_its_answer_comes_back)
{
    static const char *const answers[] = {"{\"ok\":true,\"n\":7}", ""};
    struct fake_ssmd f;
    struct err err = {0};
    cJSON *answer = NULL;
    struct world w;
    int r;

    world_init(&w, _i == 1); /* 1: the path is longer than an address can hold */
    fake_start(&f, &w, answers);
    r = ask(&w, "{\"op\":\"status\"}", &answer, &err);
    ck_assert_msg(r == 0, "%s", err.text);
    fake_join(&f);
    ck_assert_str_eq(f.questions[0], "{\"op\":\"status\"}");
    ck_assert_double_eq(cJSON_GetObjectItem(answer, "n")->valuedouble, 7);
    cJSON_Delete(answer);
    fake_done(&f);
    world_done(&w);
}
END_TEST

START_TEST(a_question_of_megabytes_arrives_whole)
{
    static const char *const answers[] = {"{\"ok\":true}", ""};
    const size_t n = CLIENT_MAX_BYTES - 1;
    char *text = malloc(n + 1);
    cJSON *answer = NULL;
    struct fake_ssmd f;
    struct err err = {0};
    struct world w;
    int r;

    ck_assert_ptr_nonnull(text);
    memset(text, 'x', n);
    text[n] = '\0';
    world_init(&w, false);
    fake_start(&f, &w, answers);
    r = ask(&w, text, &answer, &err);
    ck_assert_msg(r == 0, "%s", err.text);
    fake_join(&f);
    ck_assert_str_eq(f.questions[0], text);
    cJSON_Delete(answer);
    fake_done(&f);
    world_done(&w);
    free(text);
}
END_TEST

START_TEST(a_longer_question_is_not_sent)
{
    char *text = malloc(CLIENT_MAX_BYTES + 1);
    cJSON *answer = NULL;
    struct err err = {0};
    struct world w;

    ck_assert_ptr_nonnull(text);
    memset(text, 'x', CLIENT_MAX_BYTES);
    text[CLIENT_MAX_BYTES] = '\0';
    world_init(&w, false);
    ck_assert_int_eq(ask(&w, text, &answer, &err), ERR_LIMIT);
    world_done(&w);
    free(text);
}
END_TEST

static const struct {
    const char *answer;
    int code;
    const char *text;
} bad_answers[] = {
    {"{\"ok\":false,\"error\":{\"code\":\"not-found\",\"text\":\"job x is not here\"}}",
     ERR_NOT_FOUND, "job x is not here"},
    {"{\"ok\":false,\"error\":{\"code\":\"state\",\"text\":\"it has ended\"}}", ERR_STATE,
     "it has ended"},
    {"{\"ok\":false,\"error\":{\"code\":\"of-a-later-version\",\"text\":\"why\"}}", ERR_SYSTEM,
     "why"},
    {"{\"ok\":false}", ERR_PROTOCOL, "neither a result nor an error"},
    {"{}", ERR_PROTOCOL, "neither a result nor an error"},
    {"[true]", ERR_PROTOCOL, "neither a result nor an error"},
    {"not JSON", ERR_PROTOCOL, "ssmd's answer"},
    {NULL, ERR_PROTOCOL, "without an answer"},
};

START_TEST(what_ssmd_refuses_is_told_in_its_own_words)
{
    const char *const answers[] = {bad_answers[_i].answer, ""};
    cJSON *answer = NULL;
    struct fake_ssmd f;
    struct err err = {0};
    struct world w;

    world_init(&w, false);
    fake_start(&f, &w, answers);
    ck_assert_int_eq(ask(&w, "{}", &answer, &err), bad_answers[_i].code);
    ck_assert_int_eq(err.code, bad_answers[_i].code);
    ck_assert_msg(strstr(err.text, bad_answers[_i].text) != NULL, "%s", err.text);
    ck_assert_ptr_null(answer);
    fake_join(&f);
    fake_done(&f);
    world_done(&w);
}
END_TEST

START_TEST(nobody_there_is_said_as_such)
{
    cJSON *answer = NULL;
    struct err err = {0};
    struct world w;

    world_init(&w, _i == 1);
    ck_assert_int_eq(ask(&w, "{}", &answer, &err), ERR_NETWORK);
    ck_assert_msg(strstr(err.text, "ssmd is not running") != NULL, "%s", err.text);
    ck_assert_msg(strstr(err.text, w.paths.ctl_socket) != NULL, "%s", err.text);
    world_done(&w);
}
END_TEST

START_TEST(a_socket_that_nobody_listens_at_is_no_ssmd)
{
    static const char *const answers[] = {"{\"ok\":true}", ""};
    cJSON *answer = NULL;
    struct fake_ssmd f;
    struct err err = {0};
    struct world w;

    world_init(&w, false);
    fake_start(&f, &w, answers);
    ck_assert_int_eq(ask(&w, "{}", &answer, &err), 0);
    fake_join(&f); /* its socket stays behind, as after a crash */
    cJSON_Delete(answer);
    answer = NULL;
    ck_assert_int_eq(ask(&w, "{}", &answer, &err), ERR_NETWORK);
    fake_done(&f);
    world_done(&w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ctl_client");
    TCase *talk = tcase_create("talk"), *trouble = tcase_create("trouble");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_loop_test(talk, a_question_is_one_line_and_its_answer_comes_back, 0, 2);
    tcase_add_test(talk, a_question_of_megabytes_arrives_whole);
    tcase_add_test(talk, a_longer_question_is_not_sent);
    tcase_add_loop_test(trouble, what_ssmd_refuses_is_told_in_its_own_words, 0,
                        (int)ARRAY_LEN(bad_answers));
    tcase_add_loop_test(trouble, nobody_there_is_said_as_such, 0, 2);
    tcase_add_test(trouble, a_socket_that_nobody_listens_at_is_no_ssmd);
    suite_add_tcase(suite, talk);
    suite_add_tcase(suite, trouble);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
