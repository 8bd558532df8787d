/* Jobs and replies of the control channel. */
#define LOG_MODULE "control"
#include "agent/control.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/str.h"
#include "schema/message.h"

#define DEFAULT_ACK_TIMEOUT_MS 5000
#define AWAY_MS (INT64_C(5) * 60 * 1000)
#define MAX_DELIVERIES 4096u /* not acknowledged at once; the oldest are forgotten then */
#define N_LATE 64u
#define MAX_PAYLOAD_BYTES (1u << 20)
#define TOPIC_SEND "aws.ssm.sendCommand"
#define TOPIC_CANCEL "aws.ssm.cancelCommand"

/* The frame of an agent_job that is not acknowledged yet. */
struct delivery_frame {
    struct delivery_frame *next;
    char id[UUID_SIZE];
    char created[ISO_MS_SIZE];
    char job_id[];
};

/* An answer that the engine waits for. */
struct wait {
    struct wait *next;
    char reply_id[UUID_SIZE]; /* "": of nothing that is acknowledged */
    uint64_t until;           /* the loop's time */
    link_done_fn done;
    void *ctx;
    bool is_done; /* without having been waited for; told in the next turn */
};

struct control {
    struct link link;
    uv_loop_t *loop;
    struct engine *engine;
    const struct config *config;
    struct mgs *mgs;       /* not to be used when is_stopping */
    int64_t down_since_ms; /* boot time; while it is not open */
    uv_timer_t timer;      /* towards the first end of a wait */
    int64_t ack_timeout_ms;
    struct delivery_frame *frames; /* owned; newest first */
    size_t n_frames;
    struct wait *first, **tail; /* owned; in the order of their ends */
    /* Acknowledged after nobody waited any longer: the next try need not be sent. */
    char late[N_LATE][UUID_SIZE];
    size_t next_late;
    bool is_stopping, was_open, is_refusing; /* refusing: the journal cannot be written */
    void (*changed)(void *ctx, const struct mgs_state *state);
    void *ctx;
};

/* ---- acknowledgements of jobs ---- */

static const struct {
    const char *code, *name;
} ack_codes[] = {
    [LINK_ACCEPTED] = {"200", "Successful"},
    [LINK_DUPLICATE] = {"51405", "DuplicateCommand"},
    [LINK_REJECTED] = {"51408", "AgentJobMessageParseError"},
};

static void send_ack(struct control *c, const char *job_id, const char *frame_id,
                     const char *created, enum link_verdict verdict)
{
    AUTO(buf_done) struct buf b = {0};
    char id[UUID_SIZE];
    struct err err = {0};
    int r;

    ids_uuid4(id);
    buf_init(&b, MAX_PAYLOAD_BYTES);
    (void)buf_add_str(&b, "{\"jobId\":");
    (void)buf_add_json_str(&b, job_id, strlen(job_id));
    (void)buf_printf(&b,
                     ",\"acknowledgedMessageId\":\"%s\",\"createdDate\":\"%s\",\"statusCode\":"
                     "\"%s\",\"errorMessage\":\"%s\"}",
                     frame_id, created, ack_codes[verdict].code, ack_codes[verdict].name);
    r = buf_error(&b, "agent_job_ack", &err);
    if (r == 0)
        r = mgs_send(c->mgs, "agent_job_ack", id, b.data, b.len, &err);
    if (r < 0) /* the service delivers again what is not acknowledged */
        log_warning("%s: %s", job_id, err.text);
}

static void forget_frames(struct control *c)
{
    struct delivery_frame *f, *next;

    for (f = c->frames; f != NULL; f = next) {
        next = f->next;
        free(f);
    }
    c->frames = NULL;
    c->n_frames = 0;
}

/* All deliveries of a job that came by this connection. */
static void acknowledge(struct control *c, const char *job_id, enum link_verdict verdict)
{
    struct delivery_frame **at = &c->frames, *f;

    while ((f = *at) != NULL) {
        if (!str_eq(f->job_id, job_id)) {
            at = &f->next;
            continue;
        }
        send_ack(c, job_id, f->id, f->created, verdict);
        *at = f->next;
        c->n_frames--;
        free(f);
    }
}

/* The oldest is the last. */
static void forget_oldest(struct control *c)
{
    struct delivery_frame **at = &c->frames;

    while ((*at)->next != NULL)
        at = &(*at)->next;
    log_warning("%s: %u deliveries wait to be acknowledged; this one has to come again",
                (*at)->job_id, MAX_DELIVERIES);
    free(*at);
    *at = NULL;
    c->n_frames--;
}

static int remember_frame(struct control *c, const struct agent_message *m, const char *job_id,
                          const char *created)
{
    size_t n = strlen(job_id) + 1;
    struct delivery_frame *f = calloc(1, sizeof(*f) + n);

    if (f == NULL)
        return ERR_NOMEM;
    if (c->n_frames >= MAX_DELIVERIES)
        forget_oldest(c);
    memcpy(f->job_id, job_id, n);
    (void)str_copy(f->id, sizeof(f->id), m->id);
    (void)str_copy(f->created, sizeof(f->created), created);
    f->next = c->frames;
    c->frames = f;
    c->n_frames++;
    return 0;
}

/* ---- replies ---- */

static void on_timer(uv_timer_t *timer);

static void arm(struct control *c)
{
    uint64_t now = uv_now(c->loop);

    if (c->is_stopping)
        return;
    if (c->first == NULL)
        (void)uv_timer_stop(&c->timer);
    else
        (void)uv_timer_start(&c->timer, on_timer, c->first->until > now ? c->first->until - now : 0,
                             0);
}

static struct wait *take_first(struct control *c)
{
    struct wait *w = c->first;

    c->first = w->next;
    if (c->first == NULL)
        c->tail = &c->first;
    return w;
}

static void end_wait(struct wait *w, const struct err *err)
{
    w->done(w->ctx, err == NULL ? LINK_TAKEN : LINK_AGAIN, err); /* it has no word for never */
    free(w);
}

static void on_timer(uv_timer_t *timer)
{
    struct control *c = container_of(timer, struct control, timer);
    struct err err;

    (void)err_set(&err, ERR_TIMEOUT, "agent_job_reply: it was not acknowledged in time");
    while (c->first != NULL && c->first->until <= uv_now(c->loop)) {
        struct wait *w = take_first(c);

        end_wait(w, w->is_done ? NULL : &err);
    }
    arm(c);
}

/* Waits that are over already come first: both kinds stand in the order of their ends. */
static struct wait *new_wait(struct control *c, const char *reply_id, bool is_done,
                             link_done_fn done, void *ctx)
{
    struct wait *w = calloc(1, sizeof(*w));

    if (w == NULL)
        return NULL;
    uv_update_time(c->loop); /* after a long commit the loop's idea of now is old */
    *w = (struct wait){.until = uv_now(c->loop) + (is_done ? 0 : (uint64_t)c->ack_timeout_ms),
                       .done = done,
                       .ctx = ctx,
                       .is_done = is_done};
    (void)str_copy(w->reply_id, sizeof(w->reply_id), reply_id);
    if (is_done) {
        w->next = c->first;
        if (c->first == NULL)
            c->tail = &w->next;
        c->first = w;
    } else {
        *c->tail = w;
        c->tail = &w->next;
    }
    arm(c);
    return w;
}

static int done_soon(struct control *c, link_done_fn done, void *ctx, struct err *err)
{
    if (new_wait(c, "", true, done, ctx) == NULL)
        return err_set(err, ERR_NOMEM, "answer: out of memory");
    return 0;
}

static bool was_acknowledged_late(struct control *c, const char *reply_id)
{
    size_t i;

    for (i = 0; i < N_LATE; i++)
        if (str_eq(c->late[i], reply_id)) {
            c->late[i][0] = '\0';
            return true;
        }
    return false;
}

static void drop_wait(struct control *c, struct wait *wanted)
{
    struct wait **at = &c->first;

    while (*at != wanted)
        at = &(*at)->next;
    *at = wanted->next;
    if (*at == NULL)
        c->tail = at;
    free(wanted);
}

static int write_reply(const struct link_reply *r, struct buf *b, struct err *err)
{
    (void)buf_add_str(b, "{\"schemaVersion\":1,\"jobId\":");
    (void)buf_add_json_str(b, r->message_id, strlen(r->message_id));
    (void)buf_add_str(b, ",\"content\":");
    (void)buf_add_json_str(b, r->payload, strlen(r->payload));
    (void)buf_printf(b, ",\"topic\":\"%s\"}", r->is_cancel ? TOPIC_CANCEL : TOPIC_SEND);
    return buf_error(b, "agent_job_reply", err);
}

static int link_reply(struct link *l, const struct link_reply *reply, link_done_fn done, void *ctx,
                      struct err *err)
{
    struct control *c = container_of(l, struct control, link);
    AUTO(buf_done) struct buf b = {0};
    struct mgs_state state = {.is_open = false};
    struct wait *w;
    int r;

    if (!c->is_stopping)
        mgs_get_state(c->mgs, &state);
    if (c->is_stopping || !state.is_open)
        return err_set(err, ERR_NETWORK, "agent_job_reply: the control channel is not open");
    if (was_acknowledged_late(c, reply->reply_id))
        return done_soon(c, done, ctx, err);
    acknowledge(c, reply->message_id, reply->is_rejection ? LINK_REJECTED : LINK_ACCEPTED);
    buf_init(&b, MAX_PAYLOAD_BYTES);
    r = write_reply(reply, &b, err);
    if (r < 0)
        return r;
    w = new_wait(c, reply->is_receipt ? "" : reply->reply_id, reply->is_receipt, done, ctx);
    if (w == NULL)
        return err_set(err, ERR_NOMEM, "agent_job_reply: out of memory");
    r = mgs_send(c->mgs, "agent_job_reply", reply->reply_id, b.data, b.len, err);
    if (r < 0)
        drop_wait(c, w);
    return r;
}

static int link_acknowledge(struct link *l, const char *message_id, enum link_verdict verdict,
                            link_done_fn done, void *ctx, struct err *err)
{
    struct control *c = container_of(l, struct control, link);

    if (!c->is_stopping)
        acknowledge(c, message_id, verdict);
    return done_soon(c, done, ctx, err);
}

static void link_set_open(struct link *l, bool is_open)
{
    struct control *c = container_of(l, struct control, link);

    c->is_refusing = !is_open;
}

static enum link_state link_get_state(struct link *l)
{
    struct control *c = container_of(l, struct control, link);
    struct mgs_state state;

    if (c->is_stopping)
        return LINK_DOWN;
    mgs_get_state(c->mgs, &state);
    if (state.is_open)
        return LINK_UP;
    return state.is_denied || clock_boottime_ms() - c->down_since_ms > AWAY_MS ? LINK_AWAY
                                                                               : LINK_DOWN;
}

/* ---- what comes in ---- */

static void take_job(struct control *c, const struct agent_message *m)
{
    AUTO(agent_job_done) struct agent_job job = {0};
    char created[ISO_MS_SIZE];
    struct engine_message em = {
        .channel = CONTROL_CHANNEL, .destination = c->config->instance_id, .created_date = created};
    struct err err = {0};

    clock_format_iso_ms((int64_t)m->created_unix_ms, created);
    if (agent_job_parse(m->payload, m->payload_len, &job, &err) < 0) {
        log_warning("an agent_job that cannot be read is refused: %s", err.text);
        if (err.code != ERR_NOMEM)
            send_ack(c, "", m->id, created, LINK_REJECTED);
        return;
    }
    if (c->is_refusing) {
        log_warning("%s is not taken now (see: ssmctl status)", job.job_id);
        return; /* the service delivers it again */
    }
    if (remember_frame(c, m, job.job_id, created) < 0) {
        log_warning("%s is not taken: out of memory", job.job_id);
        return;
    }
    em.message_id = job.job_id;
    em.topic = job.topic;
    em.payload = job.content;
    if (engine_receive(c->engine, &em, &err) < 0)
        log_warning("%s", err.text);
}

static void take_reply_ack(struct control *c, const struct agent_message *m)
{
    struct agent_job_reply_ack ack;
    struct wait **at, *w;
    struct err err = {0};

    if (agent_job_reply_ack_parse(m->payload, m->payload_len, &ack, &err) < 0) {
        log_warning("%s", err.text);
        return;
    }
    if (!ids_is_uuid(ack.acknowledged_message_id))
        return; /* of nothing that we sent */
    for (at = &c->first; (w = *at) != NULL; at = &w->next) {
        if (!str_eq(w->reply_id, ack.acknowledged_message_id))
            continue;
        *at = w->next;
        if (*at == NULL)
            c->tail = at;
        arm(c);
        end_wait(w, NULL);
        return;
    }
    log_debug("reply %s is acknowledged late", ack.acknowledged_message_id);
    (void)str_copy(c->late[c->next_late], UUID_SIZE, ack.acknowledged_message_id);
    c->next_late = (c->next_late + 1) % N_LATE;
}

static void on_received(void *ctx, const struct agent_message *m)
{
    struct control *c = ctx;

    if (str_eq(m->type, "agent_job"))
        take_job(c, m);
    else if (str_eq(m->type, "agent_job_reply_ack"))
        take_reply_ack(c, m);
    else
        log_debug("a message of type %s has no meaning here; it is ignored", m->type);
}

static void on_changed(void *ctx, const struct mgs_state *state)
{
    struct control *c = ctx;
    struct wait *w, *lost;
    struct err err;

    if (c->was_open && !state->is_open)
        c->down_since_ms = clock_boottime_ms();
    c->was_open = state->is_open;
    if (!state->is_open) {
        forget_frames(c); /* deliveries end with their connection */
        (void)err_set(&err, ERR_NETWORK, "agent_job_reply: the control channel was lost");
        lost = c->first;
        c->first = NULL;
        c->tail = &c->first;
        arm(c);
        while ((w = lost) != NULL) {
            lost = w->next;
            end_wait(w, w->is_done ? NULL : &err);
        }
    }
    c->changed(c->ctx, state);
}

/* ---- life ---- */

int control_new(const struct control_options *o, struct control **ret_control, struct err *err)
{
    struct control *c = calloc(1, sizeof(*c));
    const struct mgs_options mo = {.aws = o->aws,
                                   .http = o->http,
                                   .instance_id = o->config->instance_id,
                                   .agent_version = o->config->agent_version,
                                   .platform_type = "linux",
                                   .token_timeout_ms = o->config->mgs_stop_timeout_ms,
                                   .backoff_cap_ms = o->config->backoff_cap_seconds * 1000,
                                   .changed = on_changed,
                                   .received = on_received,
                                   .ctx = c};
    int r;

    if (c == NULL)
        return err_set(err, ERR_NOMEM, "control channel: out of memory");
    c->link = (struct link){.name = CONTROL_CHANNEL,
                            .has_verdicts = true,
                            .reply = link_reply,
                            .acknowledge = link_acknowledge,
                            .set_open = link_set_open,
                            .get_state = link_get_state};
    c->loop = o->loop;
    c->engine = o->engine;
    c->config = o->config;
    c->ack_timeout_ms = o->ack_timeout_ms > 0 ? o->ack_timeout_ms : DEFAULT_ACK_TIMEOUT_MS;
    c->changed = o->changed;
    c->ctx = o->ctx;
    c->tail = &c->first;
    c->down_since_ms = clock_boottime_ms();
    r = mgs_new(o->loop, &mo, &c->mgs, err);
    if (r < 0) {
        free(c);
        return r;
    }
    (void)uv_timer_init(o->loop, &c->timer); /* cannot fail */
    *ret_control = c;
    return 0;
}

struct link *control_link(struct control *c)
{
    return &c->link;
}

void control_start(struct control *c)
{
    mgs_start(c->mgs);
}

void control_network_changed(struct control *c)
{
    mgs_network_changed(c->mgs);
}

void control_get_state(const struct control *c, struct mgs_state *ret_state)
{
    mgs_get_state(c->mgs, ret_state);
}

void control_stop(struct control *c)
{
    if (c == NULL || c->is_stopping)
        return;
    c->is_stopping = true;
    mgs_close(c->mgs);
    uv_close((uv_handle_t *)&c->timer, NULL);
}

void control_free(struct control *c)
{
    if (c == NULL)
        return;
    while (c->first != NULL)
        free(take_first(c)); /* the engine frees what it waits for itself */
    forget_frames(c);
    free(c);
}
