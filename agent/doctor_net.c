/* Who this node is, whether its credentials are taken, the clock, and the way to the service. */
#include <stdlib.h>
#include <string.h>

#include "agent/doctor_internal.h"
#include "agent/hardware.h"
#include "agent/setup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "schema/json.h"
#include "transport/role_token.h"
#include "transport/ssm.h"
#include "transport/vault.h"

#define PATIENCE_MS 20000
#define SKEW_WORTH_A_WORD_MS 5000
#define ENDPOINT_TIMEOUT_MS 10000
#define WAY "check DNS, routes, proxy variables (https_proxy, no_proxy) and the CA file"

struct net {
    struct doctor *doctor;
    struct http *http;
    struct aws *aws, *token_aws;
    struct node_finder *finder;
    struct credentials_provider *credentials; /* borrowed or `own` */
    struct credentials_provider *own;
    struct credentials_waiter waiter;
    struct aws_call *call;
    uv_timer_t patience;
    unsigned n_pending; /* answers that are waited for */
    bool is_over, is_identified;
};

static void finish_if_done(struct net *n)
{
    if (n->n_pending > 0 || n->is_over)
        return;
    n->is_over = true;
    credentials_unwait(&n->waiter);
    aws_close(n->aws);
    credentials_provider_free(n->own);
    aws_close(n->token_aws);
    node_finder_close(n->finder);
    http_close(n->http);
    uv_close((uv_handle_t *)&n->patience, NULL);
}

static void on_patience(uv_timer_t *timer)
{
    struct net *n = container_of(timer, struct net, patience);

    doctor_say(n->doctor, "network", FINDING_FAILED, "look for a firewall that drops packets",
               "%u answers did not come within %d s", n->n_pending, PATIENCE_MS / 1000);
    n->n_pending = 0;
    finish_if_done(n);
}

/* ---- endpoints ---- */

/* Nothing is taken on without the first three; the others matter to whoever sends output there.
 * What ssmd does not call (kms) is not asked for. */
static const struct door {
    enum aws_service service;
    const char *check;
    enum finding if_shut;
    const char *advice;
} doors[] = {
    {AWS_SSM, "endpoint", FINDING_FAILED, WAY},
    {AWS_EC2MESSAGES, "endpoint", FINDING_FAILED, WAY},
    {AWS_SSMMESSAGES, "endpoint", FINDING_FAILED, WAY},
    {AWS_S3, "output", FINDING_WARNING, "if output is sent to S3: " WAY},
    {AWS_LOGS, "output", FINDING_WARNING, "if output is sent to CloudWatch Logs: " WAY},
};

struct knock {
    struct net *net;
    const struct door *door;
    char url[600];
};

static void on_knocked(void *ctx, const struct http_response *response)
{
    struct knock *k = ctx;
    struct net *n = k->net;

    if (response->err != NULL)
        doctor_say(n->doctor, k->door->check, k->door->if_shut, k->door->advice, "%s %s: %s",
                   aws_service_name(k->door->service), k->url, response->err->text);
    else
        doctor_say(n->doctor, k->door->check, FINDING_OK, NULL, "%s %s is reachable",
                   aws_service_name(k->door->service), k->url);
    free(k);
    n->n_pending--;
    finish_if_done(n);
}

static void knock(struct net *n, const struct door *door)
{
    const struct endpoint *e = aws_endpoint(n->aws, door->service);
    struct knock *k = calloc(1, sizeof(*k));
    struct http_request request = {.method = "GET", .timeout_ms = ENDPOINT_TIMEOUT_MS};
    struct err err;

    if (k == NULL)
        return;
    k->net = n;
    k->door = door;
    (void)str_copy(k->url, sizeof(k->url), e->url); /* as large */
    request.url = k->url;
    if (http_start(n->http, &request, on_knocked, k, NULL, &err) < 0) {
        doctor_say(n->doctor, door->check, door->if_shut, "correct the endpoint", "%s", err.text);
        free(k);
        return;
    }
    n->n_pending++;
}

/* ---- credentials and clock ---- */

static void say_clock(struct net *n)
{
    int64_t offset = aws_clock_offset_ms(n->aws);

    if (offset > SKEW_WORTH_A_WORD_MS || offset < -SKEW_WORTH_A_WORD_MS)
        doctor_say(n->doctor, "clock", FINDING_WARNING,
                   "set it (chronyd, systemd-timesyncd): certificates are judged by it",
                   "the service's clock is %lld s %s", (long long)llabs(offset / 1000),
                   offset < 0 ? "behind" : "ahead");
    else
        doctor_say(n->doctor, "clock", FINDING_OK, NULL, "agrees with the service's");
}

static void on_asked(void *ctx, const struct aws_result *result)
{
    struct net *n = ctx;
    AUTO(buf_done) struct buf sources = {0};

    n->call = NULL;
    buf_init(&sources, 8192);
    credentials_describe_on_one_line(n->credentials, &sources);
    if (result->err == NULL || result->error_code[0] != '\0')
        say_clock(n);
    if (result->err == NULL || str_eq(result->error_code, "InvalidDocument") ||
        str_eq(result->error_code, "AccessDeniedException"))
        doctor_say(n->doctor, "credentials",
                   str_eq(result->error_code, "AccessDeniedException") ? FINDING_WARNING
                                                                       : FINDING_OK,
                   "give the role the policy AmazonSSMManagedInstanceCore",
                   "the service takes them%s (%s)",
                   str_eq(result->error_code, "AccessDeniedException")
                       ? ", but they do not permit ssm:GetDocument"
                       : "",
                   buf_str(&sources));
    else
        doctor_say(n->doctor, "credentials", FINDING_FAILED,
                   "see what each source says; a hybrid node: ssmd register --help", "%s (%s)",
                   result->err->text, buf_str(&sources));
    n->n_pending--;
    finish_if_done(n);
}

static void ask_service(struct net *n)
{
    struct err err;

    if (ssm_get_document(n->aws, "AWS-RunShellScript", NULL, on_asked, n, &n->call, &err) < 0)
        doctor_say(n->doctor, "credentials", FINDING_FAILED, NULL, "%s", err.text);
    else
        n->n_pending++;
}

/* ---- identity ---- */

static void be(struct net *n, const char *kind, const char *instance_id, const char *region)
{
    struct doctor *d = n->doctor;
    const struct config *c = &d->config;
    struct aws_options ao = {.http = n->http,
                             .credentials = n->credentials,
                             .region = region,
                             .signing_region = c->region,
                             .domain = c->service_domain};
    struct err err;
    size_t i;

    n->is_identified = true;
    doctor_say(d, "identity", FINDING_OK, NULL, "%s in %s, by %s", instance_id, region, kind);
    setup_endpoints(c, &ao);
    if (aws_new(&d->loop, &ao, &n->aws, &err) < 0) {
        doctor_say(d, "endpoint", FINDING_FAILED, "correct the configuration", "%s", err.text);
        return;
    }
    for (i = 0; i < ARRAY_LEN(doors); i++)
        knock(n, &doors[i]);
    if (n->credentials != NULL)
        ask_service(n);
}

static void on_found(void *ctx, const struct node *node)
{
    struct net *n = ctx;

    n->credentials = node->credentials;
    be(n, node->kind, node->instance_id, node->region);
    n->n_pending--;
    finish_if_done(n);
}

static void on_failed(void *ctx)
{
    struct net *n = ctx;
    AUTO(buf_done) struct buf tried = {0};
    char *line, *rest;

    buf_init(&tried, 4096);
    node_finder_describe(n->finder, &tried);
    for (rest = tried.data; rest != NULL && (line = strsep(&rest, "\n")) != NULL;)
        if (*line != '\0')
            doctor_say(n->doctor, "identity", FINDING_FAILED,
                       "ssmd register --help, an instance profile, or Identity.CustomIdentities",
                       "%s", line);
    n->n_pending--;
    finish_if_done(n);
}

static void check_machine(struct doctor *d, const struct vault *v, struct fingerprint *ret)
{
    struct hardware now;
    struct err err;

    if (vault_read_fingerprint(v, ret, &err) < 0) {
        doctor_say(d, "fingerprint", FINDING_FAILED, "register this node again", "%s", err.text);
        return;
    }
    hardware_collect("", &now);
    if (fingerprint_is_same(ret, &now))
        doctor_say(d, "fingerprint", FINDING_OK, NULL, "%d of %d attributes are as registered",
                   fingerprint_count_equal(ret, &now), FINGERPRINT_N);
    else
        doctor_say(
            d, "fingerprint", FINDING_FAILED,
            "register this node again, or see --similarity-threshold of ssmd register",
            "%d of %d attributes are as registered, %d %% are wanted, machine-id %s",
            fingerprint_count_equal(ret, &now), FINGERPRINT_N, ret->threshold,
            str_eq(ret->hardware.value[FINGERPRINT_MACHINE_ID], now.value[FINGERPRINT_MACHINE_ID])
                ? "is the same"
                : "differs");
}

/* The registration in the vault, as ssmd would use it. False: there is none. */
static bool be_hybrid(struct net *n)
{
    struct doctor *d = n->doctor;
    AUTO(vault_done) struct vault v = {.dirfd = -1};
    AUTO(close_fd) int state_fd = -1;
    struct vault_registration g;
    struct fingerprint f = {.threshold = 0};
    struct role_token_options ro = {.instance_id = g.instance_id, .fingerprint = f.uuid};
    struct aws_options ao = {
        .http = n->http, .region = g.region, .domain = d->config.service_domain};
    struct err err;
    int r = fs_open_dir(AT_FDCWD, d->paths.state_dir, &state_fd, &err);

    if (r == 0)
        r = vault_open(state_fd, false, &v, &err);
    if (r == 0)
        r = vault_read(&v, VAULT_HYBRID, &g, &err);
    if (r == ERR_NOT_FOUND)
        return false;
    if (r == 0)
        r = vault_read_key(&v, g.key_id, &ro.key, &err);
    if (r < 0) {
        doctor_say(d, "identity", FINDING_FAILED, "register this node again", "registration: %s",
                   err.text);
        return true;
    }
    check_machine(d, &v, &f);
    ao.endpoints[AWS_SSM] = d->config.ssm_endpoint;
    if (aws_new(&d->loop, &ao, &n->token_aws, &err) == 0) {
        ro.aws = n->token_aws;
        if (role_token_new(&d->loop, &ro, &n->own, &err) == 0)
            n->credentials = n->own;
    } else {
        rsa_key_free(ro.key);
    }
    be(n, "OnPrem", g.instance_id, g.region);
    return true;
}

static bool is_hybrid_wanted(const struct config *c)
{
    size_t i;

    for (i = 0; i < c->identity_order.n; i++)
        if (str_eq(c->identity_order.items[i], "OnPrem"))
            return true;
    return false;
}

static void find_identity(struct net *n)
{
    struct doctor *d = n->doctor;
    const struct node_finder_options no = {.loop = &d->loop,
                                           .config = &d->config,
                                           .paths = &d->paths,
                                           .is_once = true,
                                           .found = on_found,
                                           .failed = on_failed,
                                           .ctx = n};
    struct err err;

    if (is_hybrid_wanted(&d->config) && be_hybrid(n))
        return;
    if (node_finder_new(&no, &n->finder, &err) < 0) {
        doctor_say(d, "identity", FINDING_FAILED, NULL, "%s", err.text);
        return;
    }
    n->n_pending++;
    node_finder_start(n->finder);
}

/* ---- all of it ---- */

static void say_proxies(struct doctor *d)
{
    static const char *const names[] = {"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"};
    char text[300];
    size_t i;

    for (i = 0; i < ARRAY_LEN(names); i++) {
        const char *value = getenv(names[i]);

        if (value == NULL || *value == '\0')
            continue;
        (void)proxy_describe(value, text, sizeof(text)); /* for people; may be cut */
        doctor_say(d, "proxy", FINDING_OK, NULL, "%s is %s", names[i], text);
    }
}

void doctor_check_network(struct doctor *d)
{
    const struct http_options ho = {.ca_file =
                                        d->config.ca_file[0] != '\0' ? d->config.ca_file : NULL};
    static struct net net;
    struct net *n = &net;
    struct err err;

    say_proxies(d);
    n->doctor = d;
    if (http_new(&d->loop, &ho, &n->http, &err) < 0) {
        doctor_say(d, "network", FINDING_FAILED, NULL, "%s", err.text);
        return;
    }
    (void)uv_timer_init(&d->loop, &n->patience); /* these cannot fail */
    (void)uv_timer_start(&n->patience, on_patience, PATIENCE_MS, 0);
    n->n_pending = 1; /* ours, so that nothing ends before everything was begun */
    find_identity(n);
    n->n_pending--;
    finish_if_done(n);
    (void)uv_run(&d->loop, UV_RUN_DEFAULT);
}
