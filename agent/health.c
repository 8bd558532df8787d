/* Health reports: which, and when the next. */
#define LOG_MODULE "health"
#include "agent/health.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/str.h"
#include "transport/ssm.h"

#define FIRST_PAUSE_MS 2000
#define MINUTE_MS INT64_C(60000)

struct health {
    uv_loop_t *loop;
    struct aws *aws;
    const struct config *config;
    const struct platform *platform;
    uv_timer_t timer;
    struct backoff backoff;
    const char *channel;
    char computer_name[PLATFORM_TEXT_SIZE];
    /* One at a time: the name is asked for, or the call is under way. What is wanted meanwhile
     * follows it. */
    bool is_busy, is_wanted_again;
    bool is_started, is_stopping;
    bool is_known;
    bool has_scattered; /* the random delay of the first period has been waited for */
    int64_t last_success_unix_ms, next_try_unix_ms;
    struct err last_error; /* code 0: the last report was taken */
};

static void report(struct health *h);

static void on_timer(uv_timer_t *timer)
{
    report(timer->data);
}

static void try_again_in(struct health *h, int64_t ms)
{
    h->next_try_unix_ms = clock_wall_ms() + ms;
    (void)uv_timer_start(&h->timer, on_timer, (uint64_t)ms, 0);
}

static void failed(struct health *h, const struct err *err)
{
    int64_t period_ms = h->config->health_frequency_minutes * MINUTE_MS, pause_ms;

    h->last_error = *err;
    pause_ms = backoff_fail_ms(&h->backoff, ids_random32());
    pause_ms = pause_ms < period_ms ? pause_ms : period_ms;
    try_again_in(h, pause_ms);
    log_warning("UpdateInstanceInformation: %s; again in %" PRId64 " s%s", err->text,
                (pause_ms + 999) / 1000,
                h->is_known ? "" : " (the service does not know yet that this node is there)");
}

/* A fleet that was started at once spreads over the first period. */
static void taken(struct health *h)
{
    int64_t period_ms = h->config->health_frequency_minutes * MINUTE_MS;

    h->last_error.code = 0;
    h->last_success_unix_ms = clock_wall_ms();
    backoff_clear(&h->backoff);
    if (!h->is_known) {
        log_info("the service knows this node as %s", h->config->instance_id);
        h->is_known = true;
        report(h); /* the full one */
        return;
    }
    try_again_in(h, h->has_scattered ? period_ms : backoff_spread_ms(1, period_ms, ids_random32()));
    h->has_scattered = true;
}

static void on_done(void *ctx, const struct aws_result *result)
{
    struct health *h = ctx;

    h->is_busy = false;
    if (h->is_stopping)
        return;
    if (result->err != NULL)
        failed(h, result->err);
    else
        taken(h);
    if (h->is_wanted_again && !h->is_busy) {
        h->is_wanted_again = false;
        report(h);
    }
}

static void submit(struct health *h, const struct ssm_instance_information *info)
{
    struct err err;

    h->is_busy = true;
    if (ssm_update_instance_information(h->aws, info, on_done, h, NULL, &err) == 0)
        return;
    h->is_busy = false;
    failed(h, &err);
}

/* `ip` is the caller's room, and lives as long as what is returned. */
static struct ssm_instance_information full_information(const struct health *h,
                                                        const char *agent_version,
                                                        const char *status,
                                                        char ip[PLATFORM_IP_SIZE])
{
    struct err err;

    if (platform_get_ip(ip, &err) < 0) {
        log_debug("%s", err.text); /* the member is left out */
        ip[0] = '\0';
    }
    return (struct ssm_instance_information){
        .agent_version = agent_version,
        .instance_id = h->config->instance_id,
        .platform_type = PLATFORM_TYPE,
        .agent_status = status,
        .platform_name = h->platform->name,
        .platform_version = h->platform->version,
        .ip_address = ip,
        .computer_name = h->computer_name,
        .availability_zone = h->config->availability_zone,
        .availability_zone_id = h->config->availability_zone_id,
        .connection_channel = h->channel,
    };
}

static void send_full(struct health *h)
{
    char ip[PLATFORM_IP_SIZE];
    const struct ssm_instance_information info =
        full_information(h, h->config->agent_version, "Active", ip);

    submit(h, &info);
}

int health_send_status(struct health *h, const char *agent_version, const char *status,
                       aws_done_fn done, void *ctx, struct err *err)
{
    char ip[PLATFORM_IP_SIZE];
    const struct ssm_instance_information info = full_information(h, agent_version, status, ip);

    return ssm_update_instance_information(h->aws, &info, done, ctx, NULL, err);
}

static void on_computer_name(void *ctx, const char *name)
{
    struct health *h = ctx;

    h->is_busy = false;
    if (h->is_stopping)
        return;
    (void)str_copy(h->computer_name, sizeof(h->computer_name), name); /* a DNS name fits */
    send_full(h);
}

static void report(struct health *h)
{
    const struct ssm_instance_information first = {.agent_version = h->config->agent_version,
                                                   .instance_id = h->config->instance_id,
                                                   .platform_type = PLATFORM_TYPE};
    struct err err;

    if (h->is_stopping || !h->is_started)
        return;
    if (h->is_busy) {
        h->is_wanted_again = true;
        return;
    }
    (void)uv_timer_stop(&h->timer);
    h->next_try_unix_ms = 0;
    if (!h->is_known) {
        submit(h, &first);
        return;
    }
    /* Each time: a host may be given another name. */
    h->is_busy = true;
    if (platform_get_computer_name(h->loop, on_computer_name, h, &err) == 0)
        return;
    h->is_busy = false;
    log_debug("%s", err.text); /* without its name rather than not at all */
    send_full(h);
}

/* ---- life ---- */

int health_new(const struct health_options *o, struct health **ret_health, struct err *err)
{
    struct health *h = calloc(1, sizeof(*h));

    if (h == NULL)
        return err_set(err, ERR_NOMEM, "health: out of memory");
    h->loop = o->loop;
    h->aws = o->aws;
    h->config = o->config;
    h->platform = o->platform;
    h->channel = "";
    h->backoff =
        (struct backoff){.first_ms = o->first_pause_ms != 0 ? o->first_pause_ms : FIRST_PAUSE_MS,
                         .cap_ms = o->config->backoff_cap_seconds * 1000};
    (void)uv_timer_init(o->loop, &h->timer); /* cannot fail */
    h->timer.data = h;
    *ret_health = h;
    return 0;
}

void health_start(struct health *h)
{
    h->is_started = true;
    report(h);
}

void health_set_channel(struct health *h, const char *channel)
{
    if (str_eq(h->channel, channel))
        return;
    h->channel = channel;
    if (h->is_known)
        report(h);
}

void health_report_now(struct health *h)
{
    backoff_clear(&h->backoff);
    report(h);
}

bool health_is_known(const struct health *h)
{
    return h->is_known;
}

void health_stop(struct health *h)
{
    if (h == NULL || h->is_stopping)
        return;
    h->is_stopping = true;
    uv_close((uv_handle_t *)&h->timer, NULL);
}

void health_free(struct health *h)
{
    free(h);
}

static void add_text(struct buf *b, const char *name, const char *value)
{
    (void)buf_printf(b, "\"%s\":", name);
    (void)buf_add_json_str(b, value, strlen(value));
}

/* What full reports tell of the node. */
static void add_node(const struct health *h, struct buf *b)
{
    char ip[PLATFORM_IP_SIZE] = "";
    struct err err;

    if (platform_get_ip(ip, &err) < 0)
        ip[0] = '\0';
    (void)buf_add_str(b, "\"node\":{");
    add_text(b, "agent_version", h->config->agent_version);
    (void)buf_add_char(b, ',');
    add_text(b, "platform_name", h->platform->name);
    (void)buf_add_char(b, ',');
    add_text(b, "platform_version", h->platform->version);
    (void)buf_add_char(b, ',');
    add_text(b, "computer_name", h->computer_name);
    (void)buf_add_char(b, ',');
    add_text(b, "ip_address", ip);
    (void)buf_add_str(b, "},");
}

const char *health_trouble(const struct health *h)
{
    return h->last_error.code != 0 ? h->last_error.text : "";
}

void health_add_status(const struct health *h, struct buf *b)
{
    const char *text = health_trouble(h);

    add_node(h, b);
    (void)buf_printf(b,
                     "\"health\":{\"is_known\":%s,\"last_success_unix_ms\":%" PRId64
                     ",\"next_try_unix_ms\":%" PRId64 ",\"n_failures\":%u,\"text\":",
                     h->is_known ? "true" : "false", h->last_success_unix_ms, h->next_try_unix_ms,
                     h->backoff.n_failures);
    (void)buf_add_json_str(b, text, strlen(text));
    (void)buf_add_str(b, "},");
}
