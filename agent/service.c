/* The ec2messages channel as a link of the engine, credentials, and the health ping. */
#define LOG_MODULE "service"
#include "agent/service.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/channels.h"
#include "agent/health.h"
#include "agent/setup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "schema/document.h"
#include "schema/parameter_store.h"
#include "transport/associations.h"
#include "transport/aws.h"
#include "transport/mds.h"
#include "transport/s3.h"
#include "transport/ssm.h"

#define CHANNEL "ec2messages"
/* Without an answer for so long the other channel may take replies. */
#define AWAY_MS (INT64_C(5) * 60 * 1000)

/* An answer that the service owes a result; freed with it, or with the service. */
struct pending {
    struct pending *next, *prev;
    struct service *service;
    link_done_fn done;
    void *ctx;
};

/* A question of the engine; freed with its answer, or with the service. */
struct question {
    struct question *next, *prev;
    struct service *service;
    lookup_fn done; /* one of the three */
    lookup_associations_fn associations_done;
    lookup_told_fn told;
    struct associations *associations; /* owned until the service stops */
    void *ctx;
    bool is_secure;      /* of a parameter: which kind is wanted */
    char parameter[512]; /* its name */
};

struct service {
    struct link link;
    struct lookup lookup;
    struct question *questions;
    uv_loop_t *loop;
    struct engine *engine;
    const struct config *config;
    const struct platform *platform;
    struct http *http;
    struct credentials_provider *credentials; /* borrowed */
    struct aws *aws;
    struct s3 *s3;
    struct courier *courier;
    struct mds *mds;
    struct parameter_source *parameters;
    struct channels *channels;
    struct pending *pending;
    struct health *health;
    bool is_stopping;
};

/* ---- the link ---- */

/* The answers that no repetition will change: the service does not know the message (any more).
 * Every other refusal may come from a wrong endpoint, a missing permission or a proxy, and a result
 * must not be lost to one. */
static bool is_last_word(const struct aws_result *result)
{
    return str_eq(result->error_code, "InvalidMessageIdException") ||
           str_eq(result->error_code, "UnsupportedMessageOperationException");
}

static void on_answered(void *ctx, const struct aws_result *result)
{
    struct pending *p = ctx;
    link_done_fn done = p->done;
    void *done_ctx = p->ctx;

    if (p->prev != NULL)
        p->prev->next = p->next;
    else
        p->service->pending = p->next;
    if (p->next != NULL)
        p->next->prev = p->prev;
    free(p);
    done(done_ctx,
         result->err == NULL    ? LINK_TAKEN
         : is_last_word(result) ? LINK_REFUSED
                                : LINK_AGAIN,
         result->err);
}

static struct pending *new_pending(struct service *s, link_done_fn done, void *ctx, struct err *err)
{
    struct pending *p = calloc(1, sizeof(*p));

    if (p == NULL) {
        (void)err_set(err, ERR_NOMEM, "answer: out of memory");
        return NULL;
    }
    *p = (struct pending){.next = s->pending, .service = s, .done = done, .ctx = ctx};
    if (s->pending != NULL)
        s->pending->prev = p;
    s->pending = p;
    return p;
}

static int drop_if_failed(int r, struct pending *p)
{
    if (r == 0)
        return 0;
    p->service->pending = p->next; /* the newest is the first */
    if (p->next != NULL)
        p->next->prev = NULL;
    free(p);
    return r;
}

static int link_reply(struct link *l, const struct link_reply *reply, link_done_fn done, void *ctx,
                      struct err *err)
{
    struct service *s = container_of(l, struct service, link);
    struct pending *p = new_pending(s, done, ctx, err);

    if (p == NULL)
        return ERR_NOMEM;
    return drop_if_failed(mds_send_reply(s->mds, reply->message_id, reply->reply_id, reply->payload,
                                         strlen(reply->payload), on_answered, p, NULL, err),
                          p);
}

static int link_acknowledge(struct link *l, const char *message_id, enum link_verdict verdict,
                            link_done_fn done, void *ctx, struct err *err)
{
    struct service *s = container_of(l, struct service, link);
    struct pending *p = new_pending(s, done, ctx, err);

    (void)verdict; /* only what is accepted is acknowledged here, once or again */
    if (p == NULL)
        return ERR_NOMEM;
    return drop_if_failed(mds_acknowledge(s->mds, message_id, on_answered, p, NULL, err), p);
}

static int link_fail(struct link *l, const char *message_id, link_done_fn done, void *ctx,
                     struct err *err)
{
    struct service *s = container_of(l, struct service, link);
    struct pending *p = new_pending(s, done, ctx, err);

    if (p == NULL)
        return ERR_NOMEM;
    return drop_if_failed(mds_fail(s->mds, message_id, on_answered, p, NULL, err), p);
}

/* A pause says nothing about calls. */
static enum link_state link_get_state(struct link *l)
{
    struct service *s = container_of(l, struct service, link);
    struct mds_state m;

    if (s->is_stopping)
        return LINK_DOWN;
    mds_get_state(s->mds, &m);
    if (m.n_failures == 0)
        return LINK_UP;
    return m.last_success_unix_ms == 0 || clock_boottime_ms() - m.last_success_boottime_ms > AWAY_MS
               ? LINK_AWAY
               : LINK_DOWN;
}

static void link_set_open(struct link *l, bool is_open)
{
    struct service *s = container_of(l, struct service, link);

    if (is_open)
        mds_resume(s->mds, MDS_PAUSE_JOURNAL);
    else
        mds_pause(s->mds, MDS_PAUSE_JOURNAL);
}

static void on_message(void *ctx, const struct mds_message *m)
{
    struct service *s = ctx;
    const struct engine_message em = {
        .channel = CHANNEL,
        .message_id = m->message_id,
        .topic = m->topic,
        .destination = m->destination,
        .created_date = m->created_date,
        .payload = m->payload,
        .problem = m->problem,
    };
    struct err err;

    if (engine_receive(s->engine, &em, &err) < 0) /* the service offers it again */
        log_warning("%s", err.text);
}

/* ---- what the engine asks ---- */

static void free_question(struct question *q)
{
    if (q->prev != NULL)
        q->prev->next = q->next;
    else
        q->service->questions = q->next;
    if (q->next != NULL)
        q->next->prev = q->prev;
    free(q);
}

static struct question *new_question(struct service *s, void *ctx, struct err *err)
{
    struct question *q = calloc(1, sizeof(*q));

    if (q == NULL) {
        (void)err_set(err, ERR_NOMEM, "question to the service: out of memory");
        return NULL;
    }
    *q = (struct question){.next = s->questions, .service = s, .ctx = ctx};
    if (q->next != NULL)
        q->next->prev = q;
    s->questions = q;
    return q;
}

static void on_document(void *ctx, const struct aws_result *result)
{
    struct question *q = ctx;
    lookup_fn done = q->done;
    void *done_ctx = q->ctx;
    AUTO(buf_done) struct buf content = {0};
    struct err err = {0};

    free_question(q);
    buf_init(&content, DOCUMENT_MAX_BYTES);
    if (result->err != NULL)
        err = *result->err;
    else if (ssm_document_parse(result->body, result->len, &content, &err) == 0)
        err.code = 0;
    done(done_ctx, buf_str(&content), content.len, err.code != 0 ? &err : NULL);
}

static void on_associations(void *ctx, const cJSON *list, bool has_more, const struct err *err)
{
    struct question *q = ctx;
    lookup_associations_fn done = q->associations_done;
    void *done_ctx = q->ctx;

    free_question(q);
    done(done_ctx, list, has_more, err);
}

static int lookup_list_associations(struct lookup *l, lookup_associations_fn done, void *ctx,
                                    struct err *err)
{
    struct service *s = container_of(l, struct service, lookup);
    struct question *q = new_question(s, ctx, err);
    int r;

    if (q == NULL)
        return ERR_NOMEM;
    q->associations_done = done;
    r = associations_list(s->aws, s->config->instance_id, on_associations, q, &q->associations,
                          err);
    if (r < 0)
        free_question(q);
    return r;
}

/* Of the one that was asked for. */
static int judge_parameter(const struct question *q, const struct parameter_answer *a,
                           const char **ret_value, struct err *err)
{
    const struct stored_parameter *p = parameter_answer_find(a, q->parameter);

    if (p == NULL)
        return err_set(err, ERR_REFUSED, "parameter %s cannot be resolved: it is not there",
                       q->parameter);
    if (str_eq(p->type, PARAMETER_TYPE_SECURE) != q->is_secure)
        return err_set(err, ERR_REFUSED,
                       "parameter %s is %sa SecureString: refer to it with %s:", q->parameter,
                       q->is_secure ? "not " : "", q->is_secure ? "ssm" : "ssm-secure");
    *ret_value = p->value;
    return 0;
}

static void on_parameter(void *ctx, const struct aws_result *result)
{
    struct question *q = ctx;
    AUTO(parameter_answer_done) struct parameter_answer answer = {.root = NULL};
    const char *value = "";
    struct err err = {0};
    int r = 0;

    if (result->err != NULL) {
        err = *result->err;
        r = err.code;
    }
    if (r == 0)
        r = parameter_answer_parse(result->body, result->len, &answer, &err);
    if (r == 0)
        r = judge_parameter(q, &answer, &value, &err);
    q->done(q->ctx, r == 0 ? value : "", r == 0 ? strlen(value) : 0, r < 0 ? &err : NULL);
    free_question(q);
}

static int lookup_get_document(struct lookup *l, const char *name, const char *version,
                               lookup_fn done, void *ctx, struct err *err)
{
    struct service *s = container_of(l, struct service, lookup);
    struct question *q = new_question(s, ctx, err);
    int r;

    if (q == NULL)
        return ERR_NOMEM;
    q->done = done;
    r = ssm_get_document(s->aws, name, version, on_document, q, NULL, err);
    if (r < 0)
        free_question(q);
    return r;
}

static int lookup_get_parameter(struct lookup *l, const char *name, bool is_secure, lookup_fn done,
                                void *ctx, struct err *err)
{
    struct service *s = container_of(l, struct service, lookup);
    struct question *q = new_question(s, ctx, err);
    int r = 0;

    if (q == NULL)
        return ERR_NOMEM;
    q->done = done;
    q->is_secure = is_secure;
    if (!str_copy(q->parameter, sizeof(q->parameter), name))
        r = err_set(err, ERR_LIMIT, "parameter %.60s...: its name is too long", name);
    if (r == 0)
        r = ssm_get_parameters(s->aws, &name, 1, true, on_parameter, q, NULL, err);
    if (r < 0)
        free_question(q);
    return r;
}

static void on_told(void *ctx, const struct aws_result *result)
{
    struct question *q = ctx;
    lookup_told_fn told = q->told;
    void *told_ctx = q->ctx;

    free_question(q);
    told(told_ctx, result->err);
}

static int lookup_tell_status(struct lookup *l, const char *agent_version, const char *status,
                              lookup_told_fn done, void *ctx, struct err *err)
{
    struct service *s = container_of(l, struct service, lookup);
    struct question *q = s->is_stopping ? NULL : new_question(s, ctx, err);
    int r;

    if (q == NULL)
        return s->is_stopping ? err_set(err, ERR_STATE, "ssmd is stopping") : ERR_NOMEM;
    q->told = done;
    r = health_send_status(s->health, agent_version, status, on_told, q, err);
    if (r < 0)
        free_question(q);
    return r;
}

/* Health alone comes too rarely to know of an outage; a channel alone may be one that never worked.
 */
static bool lookup_is_in_reach(struct lookup *l)
{
    struct service *s = container_of(l, struct service, lookup);

    return !s->is_stopping && health_is_known(s->health) &&
           (link_get_state(&s->link) == LINK_UP ||
            link_state_of(channels_link(s->channels)) == LINK_UP);
}

static int64_t lookup_clock_offset_ms(struct lookup *l)
{
    return aws_clock_offset_ms(container_of(l, struct service, lookup)->aws);
}

static int lookup_get_credentials(struct lookup *l, const struct credentials **ret, struct err *err)
{
    return credentials_get(container_of(l, struct service, lookup)->credentials, ret, err);
}

/* ---- life ---- */

static void on_active(void *ctx, const char *name)
{
    struct service *s = ctx;

    health_set_channel(s->health, name);
}

static void on_network(void *ctx)
{
    struct service *s = ctx;

    health_report_now(s->health);
    courier_wake(s->courier);
}

static int set_up_uploads(struct service *s, const char *region, struct err *err)
{
    const struct config *c = s->config;
    const struct s3_options so = {.http = s->http,
                                  .credentials = s->credentials,
                                  .region = region,
                                  .domain = c->service_domain,
                                  .endpoint = c->s3_endpoint};
    struct courier_options co = {
        .loop = s->loop, .aws = s->aws, .backoff_cap_ms = c->backoff_cap_seconds * 1000};
    int r = s3_new(s->loop, &so, &s->s3, err);

    if (r < 0)
        return r;
    co.s3 = s->s3;
    r = courier_new(&co, &s->courier, err);
    if (r == 0)
        engine_set_courier(s->engine, s->courier);
    return r;
}

static int set_up(struct service *s, struct err *err)
{
    const struct config *c = s->config;
    char agent[128];
    const struct http_options ho = {.ca_file = c->ca_file[0] != '\0' ? c->ca_file : NULL,
                                    .user_agent = agent};
    struct aws_options ao = {.region =
                                 c->identity_region[0] != '\0' ? c->identity_region : c->region,
                             .signing_region = c->region,
                             .domain = c->service_domain};
    struct mds_options mo = {.instance_id = c->instance_id,
                             .stop_timeout_ms = c->mds_stop_timeout_ms,
                             .backoff_cap_ms = c->backoff_cap_seconds * 1000,
                             .on_message = on_message,
                             .ctx = s};
    struct channels_options channels = {.loop = s->loop,
                                        .engine = s->engine,
                                        .config = c,
                                        .active = on_active,
                                        .network_came_back = on_network,
                                        .ctx = s};
    struct health_options health = {.loop = s->loop, .config = c, .platform = s->platform};
    int r;

    (void)snprintf(agent, sizeof(agent), "%s/%s", c->agent_name, c->agent_version);
    setup_endpoints(c, &ao);
    if ((r = http_new(s->loop, &ho, &s->http, err)) < 0)
        return r;
    ao.http = s->http;
    ao.credentials = s->credentials;
    if ((r = aws_new(s->loop, &ao, &s->aws, err)) < 0)
        return r;
    r = set_up_uploads(s, ao.region, err);
    if (r < 0)
        return r;
    health.aws = s->aws;
    if ((r = health_new(&health, &s->health, err)) < 0 ||
        (r = parameter_source_new(s->loop, s->aws, PARAMETER_FETCH_MS, &s->parameters, err)) < 0)
        return r;
    mo.aws = s->aws;
    if ((r = mds_new(s->loop, &mo, &s->mds, err)) < 0)
        return r;
    channels.aws = s->aws;
    channels.http = s->http;
    channels.mds = s->mds;
    return channels_new(&channels, &s->channels, err);
}

int service_new(const struct service_options *o, struct service **ret_service, struct err *err)
{
    struct service *s = calloc(1, sizeof(*s));
    int r;

    if (s == NULL)
        return err_set(err, ERR_NOMEM, "service: out of memory");
    s->loop = o->loop;
    s->engine = o->engine;
    s->credentials = o->credentials;
    s->config = o->config;
    s->platform = o->platform;
    s->link = (struct link){.name = CHANNEL,
                            .reply = link_reply,
                            .acknowledge = link_acknowledge,
                            .fail = link_fail,
                            .set_open = link_set_open,
                            .get_state = link_get_state};
    s->lookup = (struct lookup){.get_document = lookup_get_document,
                                .get_parameter = lookup_get_parameter,
                                .get_credentials = lookup_get_credentials,
                                .list_associations = lookup_list_associations,
                                .is_in_reach = lookup_is_in_reach,
                                .clock_offset_ms = lookup_clock_offset_ms,
                                .tell_status = lookup_tell_status};
    r = set_up(s, err);
    if (r < 0) { /* what was made holds on to the loop and to `s` until the process ends */
        service_stop(s);
        return err_wrap(err, "service");
    }
    *ret_service = s;
    return 0;
}

struct link *service_link(struct service *s)
{
    return &s->link;
}

struct link *service_control_link(struct service *s)
{
    return channels_link(s->channels);
}

struct lookup *service_lookup(struct service *s)
{
    return &s->lookup;
}

struct parameter_source *service_parameters(struct service *s)
{
    return s->parameters;
}

void service_start(struct service *s)
{
    mds_resume(s->mds, MDS_PAUSE_NOT_STARTED);
    channels_start(s->channels);
    health_start(s->health);
}

void service_wake(struct service *s)
{
    channels_wake(s->channels);
    health_report_now(s->health);
}

void service_describe_trouble(const struct service *s, char *ret_text, size_t size)
{
    const char *text = health_trouble(s->health);
    struct mds_state m;

    /* A report is given up late, a channel says earlier what is in the way. */
    mds_get_state(s->mds, &m);
    if (text[0] == '\0' && m.n_failures > 0)
        text = m.last_error.text;
    (void)str_copy(ret_text, size, text); /* may be cut */
}

void service_report_health(struct service *s)
{
    health_report_now(s->health);
}

void service_stop(struct service *s)
{
    struct question *q;

    if (s == NULL || s->is_stopping)
        return;
    s->is_stopping = true;
    health_stop(s->health);
    channels_stop(s->channels);
    mds_close(s->mds);
    parameter_source_close(s->parameters);
    for (q = s->questions; q != NULL; q = q->next)
        associations_cancel(TAKE(q->associations));
    engine_set_courier(s->engine, NULL);
    courier_close(s->courier);
    s3_close(s->s3);
    aws_close(s->aws);
    http_close(s->http);
}

void service_free(struct service *s)
{
    struct pending *p, *next;
    struct err err;

    if (s == NULL)
        return;
    for (p = s->pending; p != NULL; p = next) {
        next = p->next;
        free(p);
    }
    (void)err_set(&err, ERR_CANCELLED, "ssmd is stopping");
    while (s->questions != NULL) {
        if (s->questions->done != NULL)
            s->questions->done(s->questions->ctx, "", 0, &err);
        free_question(s->questions);
    }
    health_free(s->health);
    channels_free(s->channels);
    free(s);
}

static void add_text(struct buf *b, const char *name, const char *value)
{
    (void)buf_printf(b, "\"%s\":", name);
    (void)buf_add_json_str(b, value, strlen(value));
    (void)buf_add_char(b, ',');
}

void service_add_status(struct service *s, struct buf *b)
{
    struct courier_status uploads;
    AUTO(buf_done) struct buf sources = {0};

    buf_init(&sources, 8192);
    credentials_describe_on_one_line(s->credentials, &sources);
    courier_get_status(s->courier, &uploads);
    (void)buf_printf(b, "\"uploads\":{\"n\":%zu,\"n_waiting\":%zu,\"text\":", uploads.n_parcels,
                     uploads.n_waiting);
    (void)buf_add_json_str(b, uploads.last_error, strlen(uploads.last_error));
    (void)buf_add_str(b, "},\"endpoints\":{");
    add_text(b, "ssm", aws_endpoint(s->aws, AWS_SSM)->url);
    add_text(b, "ssmmessages", aws_endpoint(s->aws, AWS_SSMMESSAGES)->origin);
    (void)buf_add_str(b, "\"ec2messages\":");
    (void)buf_add_json_str(b, aws_endpoint(s->aws, AWS_EC2MESSAGES)->url,
                           strlen(aws_endpoint(s->aws, AWS_EC2MESSAGES)->url));
    (void)buf_add_str(b, "},");
    health_add_status(s->health, b);
    channels_add_status(s->channels, b);
    (void)buf_add_str(b, "\"credentials\":{");
    (void)buf_add_str(b, "\"text\":");
    (void)buf_add_json_str(b, buf_str(&sources), sources.len);
    (void)buf_printf(b, "},\"clock_offset_ms\":%" PRId64 ",", aws_clock_offset_ms(s->aws));
}
