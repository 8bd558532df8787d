/* All associations of a node: pages in a row, what ends them, and nothing told twice. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "tests/lib/aws_peer.h"
#include "tests/lib/loop_until.h"
#include "transport/associations.h"

static uv_loop_t loop;
static struct aws_peer peer;
static struct aws_client client;
static struct associations *listing;

static struct {
    const char *bodies[4];
    int statuses[4];
    unsigned n, n_asked;
    char tokens[256]; /* of each question, one after the other */
} service;

static struct {
    unsigned n;
    int code, n_rows;
    bool has_more;
    char ids[256], text[512];
} told;

static void on_request(void *ctx, struct script_conn *conn, const struct aws_peer_request *request)
{
    unsigned i = service.n_asked < service.n ? service.n_asked : service.n - 1;
    cJSON *question = cJSON_Parse(request->body);
    const char *token = cJSON_GetStringValue(cJSON_GetObjectItem(question, "NextToken"));

    (void)ctx;
    ck_assert_ptr_null(request->refusal);
    ck_assert_str_eq(request->operation, "ListInstanceAssociations");
    ck_assert_str_eq(cJSON_GetStringValue(cJSON_GetObjectItem(question, "InstanceId")),
                     "mi-0123456789abcdef0");
    if (service.n_asked++ < 8)
        (void)strncat(strncat(service.tokens, token != NULL ? token : "-", 16), " ", 2);
    cJSON_Delete(question);
    aws_peer_reply(&peer, conn, service.statuses[i] != 0 ? service.statuses[i] : 200,
                   service.bodies[i]);
}

static void on_listed(void *ctx, const cJSON *list, bool has_more, const struct err *err)
{
    const cJSON *row;

    (void)ctx;
    told.n++;
    told.code = err != NULL ? err->code : 0;
    (void)str_copy(told.text, sizeof(told.text), err != NULL ? err->text : "");
    told.has_more = has_more;
    told.n_rows = cJSON_GetArraySize(list);
    cJSON_ArrayForEach(row, list)
    {
        if (strlen(told.ids) < 64)
            (void)strcat(told.ids, cJSON_GetStringValue(cJSON_GetObjectItem(row, "AssociationId")));
    }
}

static void begin(void)
{
    memset(&service, 0, sizeof(service));
    memset(&told, 0, sizeof(told));
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    aws_peer_start(&peer, &loop);
    peer.on_request = on_request;
    aws_client_start(&client, &peer, &loop);
}

static void end(void)
{
    aws_client_stop(&client);
    script_server_stop(&peer.server);
    script_finish_loop(&loop);
}

static void ask(void)
{
    struct err err = {0};

    ck_assert_msg(
        associations_list(client.aws, "mi-0123456789abcdef0", on_listed, NULL, &listing, &err) == 0,
        "%s", err.text);
    ck_assert_uint_eq(told.n, 0);
}

#define ROW(id) "{\"AssociationId\":\"" id "\"}"

static const struct {
    const char *bodies[4];
    int statuses[4];
    int code;
    const char *ids, *tokens, *text;
} cases[] = {
    {{"{}"}, {0}, 0, "", "- ", ""},
    {{"{\"Associations\":[" ROW("a") "," ROW("b") "]}"}, {0}, 0, "ab", "- ", ""},
    {{"{\"Associations\":[" ROW("a") "],\"NextToken\":\"\"}"}, {0}, 0, "a", "- ", ""},
    {{"{\"Associations\":[" ROW("a") "],\"NextToken\":\"x\"}",
      "{\"Associations\":[],\"NextToken\":\"y\\\"\"}", "{\"Associations\":[" ROW("b") "]}"},
     {0},
     0,
     "ab",
     "- x y\" ",
     ""},
    {{"{\"__type\":\"UnknownOperationException\"}"}, {400}, 0, "", "- ", ""},
    {{"{\"__type\":\"AccessDeniedException\",\"message\":\"no\"}"},
     {400},
     ERR_AUTH,
     "",
     "- ",
     "no"},
    {{"{\"Associations\":[" ROW("a") "],\"NextToken\":\"x\"}",
      "{\"__type\":\"InvalidNextToken\",\"message\":\"old\"}"},
     {0, 400},
     ERR_REFUSED,
     "",
     "- x ",
     "old"},
    {{"{\"Associations\":[" ROW("a") "],\"NextToken\":\"x\"}",
      "{\"__type\":\"UnknownOperationException\"}"},
     {0, 400},
     ERR_REFUSED,
     "",
     "- x ",
     "UnknownOperation"},
    {{"{\"Associations\":{}}"}, {0}, ERR_INVALID, "", "- ", "Associations"},
    {{"{\"Associations\":[" ROW("a") "],\"NextToken\":7}"},
     {0},
     ERR_INVALID,
     "",
     "- ",
     "NextToken"},
};

START_TEST(pages_are_gathered_until_the_last)
{
    size_t i;

    for (i = 0; i < ARRAY_LEN(cases[_i].bodies) && cases[_i].bodies[i] != NULL; i++) {
        service.bodies[i] = cases[_i].bodies[i];
        service.statuses[i] = cases[_i].statuses[i];
    }
    service.n = (unsigned)i;
    ask();
    LOOP_UNTIL(&loop, told.n > 0);
    ck_assert_msg(told.code == cases[_i].code, "%d: %s", told.code, told.text);
    ck_assert_str_eq(told.ids, cases[_i].ids);
    ck_assert_str_eq(service.tokens, cases[_i].tokens);
    ck_assert_msg(strstr(told.text, cases[_i].text) != NULL, "%s", told.text);
    ck_assert(!told.has_more);
    ck_assert_uint_eq(told.n, 1);
}
END_TEST

START_TEST(a_service_without_end_is_not_followed_for_ever)
{
    service.bodies[0] = "{\"Associations\":[" ROW("a") "],\"NextToken\":\"x\"}";
    service.n = 1;
    ask();
    LOOP_UNTIL(&loop, told.n > 0);
    ck_assert_int_eq(told.code, 0);
    ck_assert(told.has_more);
    ck_assert_uint_eq(service.n_asked, ASSOCIATIONS_MAX_PAGES);
    ck_assert_int_eq(told.n_rows, ASSOCIATIONS_MAX_PAGES);
}
END_TEST

START_TEST(a_listing_that_is_cancelled_tells_nothing)
{
    service.bodies[0] = "{\"Associations\":[" ROW("a") "],\"NextToken\":\"x\"}";
    service.n = 1;
    ask();
    LOOP_UNTIL(&loop, service.n_asked > (unsigned)_i);
    associations_cancel(listing);
    associations_cancel(NULL);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_uint_eq(told.n, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("associations");
    TCase *t = tcase_create("pages");
    SRunner *sr;
    int n_failed;

    tcase_add_checked_fixture(t, begin, end);
    tcase_add_loop_test(t, pages_are_gathered_until_the_last, 0, (int)ARRAY_LEN(cases));
    tcase_add_test(t, a_service_without_end_is_not_followed_for_ever);
    tcase_add_loop_test(t, a_listing_that_is_cancelled_tells_nothing, 0, 2);
    suite_add_tcase(s, t);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
