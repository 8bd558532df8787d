/* Jobs over a control channel, and what agents answer (spec 03, section 5). */
#define LOG_MODULE "control"
#include "hub/control_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "hub/json_out.h"
#include "hub/outcome.h"

#define OFFER_AGAIN_MS 10000
#define MAX_FRAME_BYTES (4u << 20)
#define MAX_ANSWER_BYTES (2u << 20)

static int write_message(const char *type, const char *id, int64_t created_ms,
                         const struct buf *payload, struct buf *ret_bytes, struct err *err)
{
    struct agent_message m = {.schema_version = 1,
                              .created_unix_ms = (uint64_t)created_ms,
                              .payload = buf_str(payload),
                              .payload_len = payload->len};
    int r = buf_error(payload, type, err);

    (void)str_copy(m.type, sizeof(m.type), type);
    (void)str_copy(m.id, sizeof(m.id), id);
    return r < 0 ? r : agent_message_write(&m, ret_bytes, err);
}

/* ---- jobs ---- */

static int write_job(const struct message_row *row, int64_t now_ms, struct buf *ret_bytes,
                     struct err *err)
{
    AUTO(buf_done) struct buf payload = {0};
    char id[UUID_SIZE];
    int64_t created_ms = now_ms;

    buf_init(&payload, MAX_FRAME_BYTES);
    ids_uuid4(id);
    if (row->created != NULL && clock_parse_iso(row->created, &created_ms) < 0)
        created_ms = now_ms;
    out_object(&payload, NULL);
    out_num(&payload, "SchemaVersion", 1);
    out_str(&payload, "JobId", row->id);
    if (row->topic != NULL)
        out_str(&payload, "Topic", row->topic);
    if (row->payload != NULL)
        out_str(&payload, "Content", row->payload);
    out_object_end(&payload);
    return write_message("agent_job", id, created_ms, &payload, ret_bytes, err);
}

static int offer_one(struct channel *ch, const struct message_row *row, int64_t now_ms,
                     struct err *err)
{
    struct hub *hub = ch->control->hub;
    const struct event_row event = {.at_ms = now_ms, .message_id = row->id, .kind = "agent_job"};
    AUTO(buf_done) struct buf bytes = {0};
    struct fault_rule fault;
    int64_t copies = 1;
    int r;

    buf_init(&bytes, MAX_FRAME_BYTES);
    r = write_job(row, now_ms, &bytes, err);
    if (r == 0)
        r = store_message_delivered(
            hub->store, row->seq, now_ms,
            hub->uses_both_channels ? row->visible_ms : now_ms + OFFER_AGAIN_MS, err);
    if (r == 0)
        r = store_event_add(hub->store, &event, err);
    if (r < 0)
        return r;
    if (faults_take(&hub->faults, "agent_job", BIT(FAULT_FORGET), &fault))
        return 0; /* it is on its way, and never comes */
    if (faults_take(&hub->faults, "agent_job", BIT(FAULT_DUPLICATE), &fault))
        copies = fault.copies;
    if (faults_take(&hub->faults, "agent_job", BIT(FAULT_DELAY), &fault)) {
        channel_hold(ch, bytes.data, bytes.len, now_ms + fault.delay_ms);
        return 0;
    }
    while (copies-- > 0)
        channel_send(ch, bytes.data, bytes.len);
    return 0;
}

static int offer(struct channel *ch, int64_t now_ms, int64_t *ret_next_ms, struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct hub *hub = ch->control->hub;
    struct message_row row;
    int r;

    store_messages_due(hub->store, ch->instance_id, now_ms, false, &c);
    while ((r = cursor_next_message(&c, &row, err)) > 0) {
        if (row.id == NULL || (hub->uses_both_channels && row.n_deliveries > 0))
            continue;
        r = offer_one(ch, &row, now_ms, err);
        if (r < 0)
            return r;
    }
    if (r < 0)
        return r;
    cursor_done(&c);
    c = (struct cursor){0};
    r = store_message_next_visible(hub->store, ch->instance_id, ret_next_ms, err);
    if (r == 0 && *ret_next_ms <= now_ms) /* what is left is not for us */
        *ret_next_ms = INT64_MAX;
    return r;
}

int64_t job_offer(struct channel *ch, int64_t now_ms)
{
    struct store *store = ch->control->hub->store;
    int64_t next_ms = INT64_MAX;
    struct err err;
    int r;

    if (ch->is_silent)
        return INT64_MAX;
    r = store_message_next_visible(store, ch->instance_id, &next_ms, &err);
    if (r == 0 && next_ms > now_ms)
        return next_ms;
    if (r == 0)
        r = store_begin(store, &err);
    if (r == 0)
        r = offer(ch, now_ms, &next_ms, &err);
    if (r == 0)
        r = store_commit(store, &err);
    if (r < 0) {
        store_rollback(store);
        channel_end(ch, err.text); /* the agent comes back, and gets it then */
        return INT64_MAX;
    }
    return next_ms;
}

void job_release(struct control *c, const char *instance_id, int64_t now_ms)
{
    struct err err;

    if (store_messages_release(c->hub->store, instance_id, now_ms, &err) < 0)
        log_warning("%s", err.text); /* they wait for their time */
}

/* ---- what agents say ---- */

struct answer {
    cJSON *root; /* owned */
    const char *job_id, *content, *frame_id, *status_code;
};

static int read_answer(const struct agent_message *m, struct answer *a, struct err *err)
{
    int r =
        json_parse(m->payload, m->payload_len, MAX_ANSWER_BYTES, JSON_MEND, m->type, &a->root, err);

    if (r == 0)
        r = json_want_object(a->root, m->type, err);
    if (r == 0)
        r = json_get_string(a->root, m->type, "jobId", 1000, &a->job_id, err);
    if (r == 0)
        r = json_get_string(a->root, m->type, "content", MAX_ANSWER_BYTES, &a->content, err);
    if (r == 0)
        r = json_get_string(a->root, m->type, "acknowledgedMessageId", 64, &a->frame_id, err);
    if (r == 0)
        r = json_get_string(a->root, m->type, "statusCode", 16, &a->status_code, err);
    if (r == 0 && a->job_id == NULL)
        r = err_set(err, ERR_INVALID, "%s: jobId is missing", m->type);
    return r;
}

static int take_ack(struct channel *ch, const struct agent_message *m, const struct answer *a,
                    int64_t now_ms, struct err *err)
{
    struct hub *hub = ch->control->hub;
    struct fault_rule fault;
    char payload[1024];
    const char *code = a->status_code != NULL ? a->status_code : "";
    struct event_row event = {.at_ms = now_ms,
                              .message_id = a->job_id,
                              .kind = "agent_job_ack",
                              .status = code,
                              .payload = payload};
    bool is_lost;
    int r;

    is_lost = faults_take(&hub->faults, "agent_job_ack", BIT(FAULT_FORGET), &fault);
    if (is_lost) /* only whoever tests sees it */
        event.kind = "lost agent_job_ack";
    (void)snprintf(payload, sizeof(payload), "%.*s", (int)m->payload_len, m->payload);
    r = store_event_add(hub->store, &event, err);
    if (r < 0 || is_lost || str_eq(code, "51401") ||
        str_eq(code, "51402")) /* to be delivered again */
        return r;
    r = store_message_end(hub->store, a->job_id, "acked", err);
    if (r == 0 && (str_eq(code, "200") || str_eq(code, "51405")))
        r = outcome_of_delivery(hub->store, a->job_id, now_ms, err);
    return r;
}

static void acknowledge_reply(struct channel *ch, const struct agent_message *m,
                              const struct answer *a, int64_t now_ms)
{
    struct hub *hub = ch->control->hub;
    AUTO(buf_done) struct buf payload = {0}, bytes = {0};
    char id[UUID_SIZE];
    struct fault_rule fault;
    struct err err;

    buf_init(&payload, 4096);
    buf_init(&bytes, 8192);
    ids_uuid4(id);
    out_object(&payload, NULL);
    out_str(&payload, "jobId", a->job_id);
    out_str(&payload, "acknowledgedMessageId", m->id);
    out_object_end(&payload);
    if (write_message("agent_job_reply_ack", id, now_ms, &payload, &bytes, &err) < 0)
        log_warning("%s", err.text);
    else if (faults_take(&hub->faults, "agent_job_reply", BIT(FAULT_LOSE), &fault))
        log_info("agent_job_reply %s: its acknowledgement is lost on request", m->id);
    else if (faults_take(&hub->faults, "agent_job_reply", BIT(FAULT_DELAY), &fault))
        channel_hold(ch, bytes.data, bytes.len, now_ms + fault.delay_ms);
    else
        channel_send(ch, bytes.data, bytes.len);
}

static int take_reply(struct channel *ch, const struct agent_message *m, const struct answer *a,
                      int64_t now_ms, bool *ret_is_taken, struct err *err)
{
    struct hub *hub = ch->control->hub;
    AUTO(cursor_done) struct cursor c = {0};
    struct outcome outcome = {0};
    struct message_row row;
    struct fault_rule fault;
    int r;

    *ret_is_taken = !faults_take(&hub->faults, "agent_job_reply", BIT(FAULT_FORGET), &fault);
    if (!*ret_is_taken)
        return 0;
    store_messages_by_id(hub->store, a->job_id, &c);
    r = cursor_next_message(&c, &row, err);
    cursor_done(&c);
    c = (struct cursor){0};
    if (r <= 0) /* of a job that is not known (any more): taken, so that it is not sent for ever */
        return r;
    r = outcome_of_reply(hub->store, a->job_id, m->id, a->content != NULL ? a->content : "", now_ms,
                         &outcome, err);
    if (r == 0)
        log_info("agent_job_reply %.60s %.16s (%s)", a->job_id, outcome.status, outcome.verdict);
    return r;
}

static void take_answer(struct channel *ch, const struct agent_message *m, struct answer *a,
                        int64_t now_ms)
{
    struct hub *hub = ch->control->hub;
    bool is_reply = str_eq(m->type, "agent_job_reply"), is_taken = false;
    struct fault_rule fault;
    struct err err = {0};
    int r = read_answer(m, a, &err);

    if (r < 0) {
        log_warning("control channel of %s: %s", ch->instance_id, err.text);
        return;
    }
    r = store_begin(hub->store, &err);
    if (r == 0)
        r = is_reply ? take_reply(ch, m, a, now_ms, &is_taken, &err)
                     : take_ack(ch, m, a, now_ms, &err);
    if (r == 0)
        r = store_commit(hub->store, &err);
    if (r < 0) {
        store_rollback(hub->store);
        log_error("%s of %s: %s", m->type, a->job_id, err.text);
        return;
    }
    hub->is_woken = true;
    if (is_taken)
        acknowledge_reply(ch, m, a, now_ms);
    if (is_reply && faults_take(&hub->faults, "agent_job_reply", BIT(FAULT_RESET), &fault))
        (void)control_spoil(ch->control, ch->instance_id, "cut");
}

void job_receive(struct channel *ch, const struct agent_message *m, int64_t now_ms)
{
    struct answer a = {0};

    if (str_eq(m->type, "agent_job_ack") || str_eq(m->type, "agent_job_reply"))
        take_answer(ch, m, &a, now_ms);
    else
        log_info("control channel of %s: a message of type %s", ch->instance_id, m->type);
    cJSON_Delete(a.root);
}
