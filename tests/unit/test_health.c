/* Health reports against a peer that checks signatures: which one is sent when, and what is said
 * while none is taken. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "agent/health.h"
#include "base/log.h"
#include "base/str.h"
#include "schema/json.h"
#include "tests/lib/aws_peer.h"
#include "tests/lib/loop_until.h"

static uv_loop_t loop;
static struct aws_peer peer;
static struct aws_client client;
static struct config config;
static struct platform platform;
static struct health *health;
static unsigned n_refusals;   /* how many of the next reports are refused */
static unsigned n_until_done; /* reports to wait for */
static bool is_done;
static char *bodies[8]; /* owned; of the reports, in order */
static unsigned n_bodies;

static void on_request(void *ctx, struct script_conn *conn, const struct aws_peer_request *request)
{
    (void)ctx;
    ck_assert_msg(request->refusal == NULL, "%s", request->refusal);
    ck_assert_str_eq(request->target, "AmazonSSM.UpdateInstanceInformation");
    ck_assert_uint_lt(n_bodies, ARRAY_LEN(bodies));
    bodies[n_bodies++] = strdup(request->body);
    if (n_refusals > 0) {
        n_refusals--;
        aws_peer_reply(&peer, conn, 400,
                       "{\"__type\":\"AccessDeniedException\",\"message\":\"no\"}");
    } else {
        aws_peer_reply(&peer, conn, 200, "{}");
    }
    is_done = n_bodies >= n_until_done;
}

static void wait_for_reports(unsigned n)
{
    n_until_done = n;
    is_done = n_bodies >= n;
    script_run_until(&loop, &is_done);
}

static void setup(void)
{
    const struct health_options options = {
        .loop = &loop, .config = &config, .platform = &platform, .first_pause_ms = 1};
    struct health_options o = options;
    struct err err = {0};

    ck_assert_int_eq(log_set_levels("error", &err), 0);
    n_bodies = n_refusals = 0;
    config_init(&config, ".");
    (void)str_copy(config.instance_id, sizeof(config.instance_id), "mi-0123456789abcdef0");
    (void)str_copy(config.agent_version, sizeof(config.agent_version), "3.3.0.0");
    platform = (struct platform){"Ubuntu", "22.04"};
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    aws_peer_start(&peer, &loop);
    peer.on_request = on_request;
    aws_client_start(&client, &peer, &loop);
    o.aws = client.aws;
    ck_assert_int_eq(health_new(&o, &health, &err), 0);
}

static void teardown(void)
{
    unsigned i;

    health_stop(health);
    aws_client_stop(&client);
    script_server_stop(&peer.server);
    script_finish_loop(&loop);
    health_free(health);
    for (i = 0; i < n_bodies; i++)
        free(bodies[i]);
}

static cJSON *member_tree(const char *text)
{
    cJSON *tree = NULL;
    struct err err;

    ck_assert_int_eq(json_parse(text, strlen(text), 1u << 16, JSON_REFUSE, "body", &tree, &err), 0);
    return tree;
}

static void expect_member(unsigned report, const char *name, const char *value)
{
    cJSON *tree = member_tree(bodies[report]);
    const char *got = cJSON_GetStringValue(json_get_exact(tree, name));

    ck_assert_msg(str_eq(got, value), "%s is %s in %s", name, got != NULL ? got : "missing",
                  bodies[report]);
    cJSON_Delete(tree);
}

static const char short_report[] =
    "{\"AgentName\":\"amazon-ssm-agent\",\"AgentVersion\":\"3.3.0.0\","
    "\"InstanceId\":\"mi-0123456789abcdef0\",\"PlatformType\":\"Linux\"}";

START_TEST(the_first_report_is_short_and_a_full_one_follows_at_once)
{
    health_set_channel(health, "ec2messages");
    health_start(health);
    wait_for_reports(2);
    ck_assert_str_eq(bodies[0], short_report);
    ck_assert(health_is_known(health));
    expect_member(1, "AgentName", "amazon-ssm-agent");
    expect_member(1, "AgentStatus", "Active");
    expect_member(1, "AgentVersion", "3.3.0.0");
    expect_member(1, "InstanceId", "mi-0123456789abcdef0");
    expect_member(1, "PlatformType", "Linux");
    expect_member(1, "PlatformName", "Ubuntu");
    expect_member(1, "PlatformVersion", "22.04");
    expect_member(1, "SSMConnectionChannel", "ec2messages");
    expect_member(1, "AvailabilityZone", NULL); /* not known: left out */
    expect_member(1, "AvailabilityZoneId", NULL);
}
END_TEST

static void on_sent(void *ctx, const struct aws_result *result)
{
    *(int *)ctx = result->err != NULL ? result->err->code : 1;
}

START_TEST(a_status_of_an_update_is_sent_once_beside_the_reports)
{
    struct err err = {0};
    int sent = 0;

    health_start(health);
    wait_for_reports(2);
    ck_assert_int_eq(
        health_send_status(health, "0.1.0.0", "UpdateSucceeded-0.2.0.0", on_sent, &sent, &err), 0);
    wait_for_reports(3);
    LOOP_UNTIL(&loop, sent != 0);
    ck_assert_int_eq(sent, 1);
    expect_member(2, "AgentStatus", "UpdateSucceeded-0.2.0.0");
    expect_member(2, "AgentVersion", "0.1.0.0");
    expect_member(2, "PlatformName", "Ubuntu");
    health_report_now(health);
    wait_for_reports(4);
    expect_member(3, "AgentStatus", "Active");
}
END_TEST

START_TEST(what_is_known_is_told_and_what_is_not_is_left_out)
{
    platform = (struct platform){"", ""};
    (void)str_copy(config.availability_zone, sizeof(config.availability_zone), "us-east-1a");
    (void)str_copy(config.availability_zone_id, sizeof(config.availability_zone_id), "use1-az1");
    health_start(health);
    wait_for_reports(2);
    expect_member(1, "PlatformName", NULL);
    expect_member(1, "PlatformVersion", NULL);
    expect_member(1, "SSMConnectionChannel", NULL);
    expect_member(1, "AvailabilityZone", "us-east-1a");
    expect_member(1, "AvailabilityZoneId", "use1-az1");
}
END_TEST

START_TEST(the_short_report_is_tried_until_it_is_taken)
{
    n_refusals = 3;
    health_start(health);
    wait_for_reports(5);
    ck_assert_str_eq(bodies[0], short_report);
    ck_assert_str_eq(bodies[2], short_report);
    ck_assert_str_eq(bodies[3], short_report);
    expect_member(4, "AgentStatus", "Active");
}
END_TEST

START_TEST(status_says_why_the_node_waits)
{
    AUTO(buf_done) struct buf b = {0};

    buf_init(&b, 4096);
    n_refusals = 100;
    health_start(health);
    wait_for_reports(2); /* so the first has failed */
    health_add_status(health, &b);
    ck_assert(!health_is_known(health));
    ck_assert_ptr_nonnull(strstr(buf_str(&b), "\"health\":{\"is_known\":false,"));
    ck_assert_ptr_nonnull(strstr(buf_str(&b), "AccessDeniedException"));
}
END_TEST

START_TEST(another_channel_is_reported_at_once)
{
    health_set_channel(health, "ec2messages");
    health_start(health);
    wait_for_reports(2);
    health_set_channel(health, "ssmmessages");
    health_set_channel(health, "ssmmessages"); /* no change, no report */
    wait_for_reports(3);
    expect_member(2, "SSMConnectionChannel", "ssmmessages");
}
END_TEST

START_TEST(a_report_that_fails_later_is_tried_again_before_the_next_is_due)
{
    health_start(health);
    wait_for_reports(2);
    n_refusals = 1;
    health_report_now(health);
    wait_for_reports(4);
    expect_member(3, "AgentStatus", "Active");
    ck_assert(health_is_known(health));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("health");
    SRunner *runner = srunner_create(s);
    TCase *t = tcase_create("health");
    int n_failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_first_report_is_short_and_a_full_one_follows_at_once);
    tcase_add_test(t, a_status_of_an_update_is_sent_once_beside_the_reports);
    tcase_add_test(t, what_is_known_is_told_and_what_is_not_is_left_out);
    tcase_add_test(t, the_short_report_is_tried_until_it_is_taken);
    tcase_add_test(t, status_says_why_the_node_waits);
    tcase_add_test(t, another_channel_is_reported_at_once);
    tcase_add_test(t, a_report_that_fails_later_is_tried_again_before_the_next_is_due);
    suite_add_tcase(s, t);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
