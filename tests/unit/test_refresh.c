/* aws:refreshAssociation: what it says for what the service says. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "engine_world.h"

static struct engine_world w;

/* What the service says; answered from the loop. */
static struct {
    const char *list; /* JSON, or NULL: it fails */
    bool has_more;
    lookup_associations_fn done;
    void *ctx;
    uv_idle_t idle;
} service;

static void answer(uv_idle_t *idle)
{
    cJSON *list = service.list != NULL ? cJSON_Parse(service.list) : NULL;
    struct err err;

    (void)uv_idle_stop(idle);
    (void)err_set(&err, ERR_AUTH, "not allowed");
    service.done(service.ctx, list, service.has_more, service.list != NULL ? NULL : &err);
    cJSON_Delete(list);
}

static int list_associations(struct lookup *l, lookup_associations_fn done, void *ctx,
                             struct err *err)
{
    (void)l;
    (void)err;
    service.done = done;
    service.ctx = ctx;
    return uv_idle_start(&service.idle, answer);
}

static struct lookup lookup = {.list_associations = list_associations};

static bool has_ended(struct engine_world *world)
{
    return world->n_told > 0 && strcmp(world->told[world->n_told - 1].what, "reply") == 0 &&
           strcmp(world->told[world->n_told - 1].status, "InProgress") != 0;
}

#define ALL "All associations have been requested to execute immediately"

static const struct {
    const char *inputs, *list;
    bool has_more;
    const char *status, *text;
} cases[] = {
    {"{\"associationIds\":[]}", "[]", false, "Success", "\"standardOutput\":\"" ALL ALL "\""},
    {"{\"associationIds\":[\"\"]}", "[]", false, "Success", ALL},
    {"{}", "[]", false, "Success", ALL},
    {"[{\"associationIds\":[\"a\"]}]", "[]", false, "Success",
     "Associations [a] have been requested to execute immediately"},
    {"{\"associationIds\":[\"a\",\"b\"]}", "[{\"AssociationId\":\"c\"}]", false, "Success",
     "Associations [a b] have been requested to execute immediately"},
    {"{\"associationIds\":[\"a\"]}", "[{\"AssociationId\":\"a\"}]", false, "Failed",
     "does not run associations"},
    {"{}", "[{\"AssociationId\":\"a\"}]", false, "Failed", "does not run associations"},
    {"{}", "[]", true, "Failed", "does not run associations"},
    {"{}", NULL, false, "Failed", "cannot be listed: not allowed"},
    {"{\"associationIds\":\"a\"}", "[]", false, "Failed", "must be a list"},
    {"{\"associationIds\":[1]}", "[]", false, "Failed", "must hold strings only"},
    {"\"x\"", "[]", false, "Failed", "must be an object"},
};

START_TEST(success_is_said_only_of_what_is_true)
{
    char payload[512];

    service.list = cases[_i].list;
    service.has_more = cases[_i].has_more;
    (void)snprintf(payload, sizeof(payload),
                   "{\"CommandId\":\"c\",\"DocumentName\":\"D\",\"DocumentContent\":{"
                   "\"schemaVersion\":\"2.2\",\"mainSteps\":[{\"action\":"
                   "\"aws:refreshAssociation\",\"name\":\"r\",\"inputs\":%s}]}}",
                   cases[_i].inputs);
    engine_world_receive(&w, "aws.ssm.sendCommand.x",
                         "aws.ssm.00000000-0000-4000-8000-000000000001.mi-x", payload);
    engine_world_until(&w, has_ended);
    ck_assert_str_eq(w.told[w.n_told - 1].status, cases[_i].status);
    ck_assert_msg(strstr(w.told[w.n_told - 1].payload, cases[_i].text) != NULL, "%s",
                  w.told[w.n_told - 1].payload);
}
END_TEST

static void begin(void)
{
    memset(&w, 0, sizeof(w));
    engine_world_init(&w, NULL, NULL);
    (void)uv_idle_init(&w.loop, &service.idle);
    w.lookup = &lookup;
    engine_world_restart(&w, "boot-1");
}

static void end(void)
{
    uv_close((uv_handle_t *)&service.idle, NULL);
    engine_world_done(&w);
}

int main(void)
{
    Suite *s = suite_create("refresh");
    TCase *t = tcase_create("answers");
    SRunner *sr = srunner_create(s);
    int n_failed;

    tcase_add_checked_fixture(t, begin, end);
    tcase_add_loop_test(t, success_is_said_only_of_what_is_true, 0, (int)ARRAY_LEN(cases));
    suite_add_tcase(s, t);
    srunner_run_all(sr, CK_ENV);
    n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
