/* The choice of the channel, and the network's return. */
#define LOG_MODULE "channels"
#include "agent/channels.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "transport/netwatch.h"

#define POLL_CHANNEL "ec2messages"

struct channels {
    uv_loop_t *loop;
    struct engine *engine;
    const struct config *config;
    struct mds *mds;
    struct control *control;
    struct netwatch *netwatch; /* NULL: the kernel gives none */
    uv_timer_t timer;          /* runs towards the end of polling, or towards its return */
    bool is_open, is_polled, is_stopping;
    const char *active; /* "" before anything is known */
    void (*tell_active)(void *ctx, const char *name);
    void (*network_came_back)(void *ctx);
    void *ctx;
};

static void set_active(struct channels *c, const char *name)
{
    if (str_eq(c->active, name))
        return;
    c->active = name;
    log_info("messages come by %s", name);
    c->tell_active(c->ctx, name);
}

static void poll_again(struct channels *c, const char *why)
{
    if (!c->is_polled)
        log_info("ec2messages is polled again: %s", why);
    c->is_polled = true;
    mds_resume(c->mds, MDS_PAUSE_CONTROL_CHANNEL);
    set_active(c, POLL_CHANNEL);
}

static void on_timer(uv_timer_t *timer)
{
    struct channels *c = container_of(timer, struct channels, timer);

    if (!c->is_open) {
        poll_again(c, "the control channel stays lost");
        return;
    }
    log_info("the control channel is open: ec2messages is not polled any more");
    c->is_polled = false;
    mds_pause(c->mds, MDS_PAUSE_CONTROL_CHANNEL);
}

static void wait_for(struct channels *c, int64_t seconds)
{
    uv_update_time(c->loop); /* after a long commit the loop's idea of now is old */
    (void)uv_timer_start(&c->timer, on_timer, (uint64_t)seconds * 1000, 0); /* not closing */
}

static void on_changed(void *ctx, const struct mgs_state *state)
{
    struct channels *c = ctx;
    bool was_open = c->is_open;

    if (c->is_stopping)
        return;
    c->is_open = state->is_open;
    if (state->is_open) {
        set_active(c, CONTROL_CHANNEL);
        if (c->is_polled)
            wait_for(c, c->config->channel_grace_seconds);
        else
            (void)uv_timer_stop(&c->timer);
        engine_way_opened(c->engine);
    } else if (state->is_denied) {
        (void)uv_timer_stop(&c->timer);
        poll_again(c, "the control channel is denied");
    } else if (c->is_polled) { /* also when the grace time was not over */
        (void)uv_timer_stop(&c->timer);
        set_active(c, POLL_CHANNEL);
    } else if (was_open) {
        wait_for(c, c->config->channel_fallback_seconds);
    }
}

static void on_network(void *ctx)
{
    struct channels *c = ctx;

    channels_wake(c);
    c->network_came_back(c->ctx);
}

/* ---- life ---- */

int channels_new(const struct channels_options *o, struct channels **ret_channels, struct err *err)
{
    struct channels *c = calloc(1, sizeof(*c));
    const struct control_options co = {.loop = o->loop,
                                       .engine = o->engine,
                                       .config = o->config,
                                       .aws = o->aws,
                                       .http = o->http,
                                       .changed = on_changed,
                                       .ctx = c};
    int r;

    if (c == NULL)
        return err_set(err, ERR_NOMEM, "channels: out of memory");
    c->loop = o->loop;
    c->engine = o->engine;
    c->config = o->config;
    c->mds = o->mds;
    c->active = "";
    c->is_polled = true;
    c->tell_active = o->active;
    c->network_came_back = o->network_came_back;
    c->ctx = o->ctx;
    r = control_new(&co, &c->control, err);
    if (r < 0) {
        free(c);
        return r;
    }
    (void)uv_timer_init(c->loop, &c->timer); /* cannot fail */
    *ret_channels = c;
    return 0;
}

struct link *channels_link(struct channels *c)
{
    return control_link(c->control);
}

void channels_start(struct channels *c)
{
    const struct netwatch_options no = {.loop = c->loop, .came_back = on_network, .ctx = c};
    struct err err;

    if (netwatch_new(&no, &c->netwatch, &err) < 0) {
        log_warning("%s; after an outage the next try comes by its own time", err.text);
        c->netwatch = NULL;
    }
    control_start(c->control);
}

void channels_stop(struct channels *c)
{
    if (c == NULL || c->is_stopping)
        return;
    c->is_stopping = true;
    netwatch_close(c->netwatch);
    control_stop(c->control);
    uv_close((uv_handle_t *)&c->timer, NULL);
}

void channels_wake(struct channels *c)
{
    control_network_changed(c->control);
    mds_poll_now(c->mds);
    engine_way_opened(c->engine);
}

void channels_free(struct channels *c)
{
    if (c == NULL)
        return;
    control_free(c->control);
    free(c);
}

/* ---- status ---- */

static void add_poll(const struct channels *c, struct buf *b)
{
    struct mds_state m;

    mds_get_state(c->mds, &m);
    (void)buf_add_str(b, "{\"name\":\"" POLL_CHANNEL "\",\"text\":");
    (void)buf_add_json_str(b, m.last_error.text, strlen(m.last_error.text));
    (void)buf_printf(b,
                     ",\"is_connected\":%s,\"is_paused\":%s,\"last_success_unix_ms\":%" PRId64
                     ",\"n_failures\":%u,\"next_try_unix_ms\":%" PRId64 ",\"n_messages\":%" PRIu64
                     "}",
                     m.is_connected ? "true" : "false", m.pause_reasons != 0 ? "true" : "false",
                     m.last_success_unix_ms, m.n_failures, m.next_try_unix_ms, m.n_messages);
}

static void add_control(const struct channels *c, struct buf *b)
{
    struct mgs_state m;

    control_get_state(c->control, &m);
    (void)buf_add_str(b, "{\"name\":\"" CONTROL_CHANNEL "\",\"text\":");
    (void)buf_add_json_str(b, m.last_error.text, strlen(m.last_error.text));
    (void)buf_printf(b,
                     ",\"is_connected\":%s,\"is_denied\":%s,\"last_success_unix_ms\":%" PRId64
                     ",\"lost_unix_ms\":%" PRId64 ",\"n_failures\":%u,\"next_try_unix_ms\":%" PRId64
                     ",\"n_messages\":%" PRIu64 "}",
                     m.is_open ? "true" : "false", m.is_denied ? "true" : "false", m.opened_unix_ms,
                     m.lost_unix_ms, m.n_failures, m.next_try_unix_ms, m.n_received);
}

void channels_add_status(const struct channels *c, struct buf *b)
{
    (void)buf_add_str(b, "\"channel\":");
    if (str_eq(c->active, CONTROL_CHANNEL))
        add_control(c, b);
    else
        add_poll(c, b);
    (void)buf_add_str(b, ",\"channels\":[");
    add_control(c, b);
    (void)buf_add_char(b, ',');
    add_poll(c, b);
    (void)buf_add_str(b, "],");
}
