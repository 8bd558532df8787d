/* The whole history as JSON Lines. Times are in both forms: milliseconds for programs, ISO 8601 for
 * people. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "journal/audit.h"

#define MAX_LINE_BYTES (16u << 20)

struct export
{
    struct reader *reader;
    FILE *out;
    struct buf line;
    const char *id; /* of the instance whose rows are written */
};

static void add_text(struct buf *b, const char *key, const char *value)
{
    (void)buf_printf(b, ",\"%s\":", key); /* buf_error() tells, once per line */
    (void)buf_add_json_str(b, value, strlen(value));
}

static void add_i64(struct buf *b, const char *key, int64_t value)
{
    (void)buf_printf(b, ",\"%s\":%" PRId64, key, value);
}

/* 0 is "not yet". */
static void add_time(struct buf *b, const char *key, int64_t unix_ms)
{
    char text[ISO_MS_SIZE];

    if (unix_ms == 0) {
        (void)buf_printf(b, ",\"%s\":null,\"%s_unix_ms\":null", key, key);
        return;
    }
    clock_format_iso_ms(unix_ms, text);
    (void)buf_printf(b, ",\"%s\":\"%s\",\"%s_unix_ms\":%" PRId64, key, text, key, unix_ms);
}

static void line_begin(struct export *x, const char *type)
{
    buf_clear(&x->line);
    (void)buf_printf(&x->line, "{\"type\":\"%s\"", type);
}

static int line_end(struct export *x, struct err *err)
{
    int r;

    (void)buf_add_str(&x->line, "}\n");
    r = buf_error(&x->line, "a line of the export", err);
    if (r == 0 && fwrite(x->line.data, 1, x->line.len, x->out) != x->line.len)
        r = err_sys(err, ERR_IO, errno, "write the export");
    return r;
}

static int ledger_line(void *ctx, const struct reader_ledger_row *row, struct err *err)
{
    struct export *x = ctx;

    line_begin(x, "ledger");
    add_i64(&x->line, "n", row->n);
    add_text(&x->line, "id", row->id);
    add_text(&x->line, "machine", row->machine);
    add_text(&x->line, "message_id", row->message_id);
    add_text(&x->line, "state", row->state);
    add_text(&x->line, "status", row->status);
    add_time(&x->line, "created", row->created_unix_ms);
    add_time(&x->line, "ended", row->ended_unix_ms);
    add_i64(&x->line, "n_transitions", row->n_transitions);
    add_text(&x->line, "head", row->head);
    add_text(&x->line, "prev", row->prev);
    add_text(&x->line, "hash", row->hash);
    return line_end(x, err);
}

static int message_line(void *ctx, const struct reader_message *m, struct err *err)
{
    struct export *x = ctx;

    line_begin(x, "message");
    add_text(&x->line, "message_id", m->message_id);
    add_text(&x->line, "instance_id", m->instance_id);
    add_text(&x->line, "channel", m->channel);
    add_text(&x->line, "topic", m->topic);
    add_text(&x->line, "destination", m->destination);
    add_text(&x->line, "created_date", m->created_date);
    add_time(&x->line, "received", m->received_unix_ms);
    add_i64(&x->line, "payload_bytes", (int64_t)m->payload_len);
    add_text(&x->line, "payload_sha256", m->payload_sha256);
    return line_end(x, err);
}

static int transition_line(void *ctx, const struct reader_transition *t, struct err *err)
{
    struct export *x = ctx;

    line_begin(x, "transition");
    add_text(&x->line, "instance_id", x->id);
    add_i64(&x->line, "n", t->n);
    add_time(&x->line, "at", t->at_unix_ms);
    add_text(&x->line, "event", t->event);
    add_text(&x->line, "from", t->from);
    add_text(&x->line, "to", t->to);
    add_text(&x->line, "detail", t->detail);
    add_text(&x->line, "state_sha256", t->state_sha256);
    add_text(&x->line, "prev", t->prev);
    add_text(&x->line, "hash", t->hash);
    return line_end(x, err);
}

static int effect_line(void *ctx, const struct reader_effect *e, struct err *err)
{
    struct export *x = ctx;

    line_begin(x, "effect");
    add_i64(&x->line, "id", e->id);
    add_text(&x->line, "instance_id", x->id);
    add_text(&x->line, "kind", e->kind);
    add_i64(&x->line, "arg", e->arg);
    add_i64(&x->line, "arg2", e->arg2);
    add_time(&x->line, "opened", e->opened_unix_ms);
    add_time(&x->line, "closed", e->closed_unix_ms);
    return line_end(x, err);
}

static int reply_line(void *ctx, const struct reader_reply *r, struct err *err)
{
    struct export *x = ctx;

    line_begin(x, "reply");
    add_i64(&x->line, "effect_id", r->effect_id);
    add_text(&x->line, "instance_id", x->id);
    add_text(&x->line, "reply_id", r->reply_id);
    add_text(&x->line, "message_id", r->message_id);
    add_text(&x->line, "kind", r->kind);
    add_time(&x->line, "created", r->created_unix_ms);
    add_time(&x->line, "ended", r->ended_unix_ms);
    add_text(&x->line, "end", r->end);
    add_text(&x->line, "text", r->text);
    add_i64(&x->line, "payload_bytes", (int64_t)r->payload_len);
    return line_end(x, err);
}

static void add_fields(struct buf *b, const struct fsm_field *fields, size_t n, const void *base)
{
    size_t i;

    for (i = 0; i < n; i++) {
        (void)buf_printf(b, "%s\"%s\":", i > 0 ? "," : "", fields[i].name);
        if (fields[i].type == FSM_I64) {
            (void)buf_printf(b, "%" PRId64, fsm_field_i64(&fields[i], base));
        } else {
            const char *text = fsm_field_text(&fields[i], base);

            (void)buf_add_json_str(b, text, strlen(text));
        }
    }
}

static void add_state(struct buf *b, const struct fsm_instance *inst)
{
    const struct fsm_machine *m = inst->machine;
    size_t i;

    (void)buf_add_str(b, ",\"fields\":{");
    add_fields(b, m->fields, m->n_fields, inst->data);
    (void)buf_add_str(b, "}");
    if (m->child_name == NULL)
        return;
    (void)buf_printf(b, ",\"%s\":[", m->child_name);
    for (i = 0; i < inst->n_children; i++) {
        (void)buf_add_str(b, i > 0 ? ",{" : "{");
        add_fields(b, m->child_fields, m->n_child_fields, fsm_child(inst, i));
        (void)buf_add_str(b, "}");
    }
    (void)buf_add_str(b, "]");
}

static int instance_lines(void *ctx, const struct reader_instance *i, struct err *err)
{
    struct export *x = ctx;
    int r;

    line_begin(x, "instance");
    add_text(&x->line, "id", i->id);
    add_text(&x->line, "machine", i->machine);
    add_i64(&x->line, "version", i->version);
    add_text(&x->line, "state", i->state);
    add_text(&x->line, "status", i->status);
    add_text(&x->line, "message_id", i->message_id);
    add_time(&x->line, "created", i->created_unix_ms);
    add_time(&x->line, "updated", i->updated_unix_ms);
    add_time(&x->line, "ended", i->ended_unix_ms);
    add_i64(&x->line, "n_transitions", i->n_transitions);
    add_text(&x->line, "head", i->head);
    if (i->is_loaded)
        add_state(&x->line, &i->inst);
    r = line_end(x, err);
    x->id = i->id;
    if (r == 0)
        r = reader_transitions(x->reader, i->id, transition_line, x, err);
    if (r == 0)
        r = reader_effects(x->reader, i->id, effect_line, x, err);
    if (r == 0)
        r = reader_replies(x->reader, i->id, reply_line, x, err);
    return r;
}

int audit_export_jsonl(struct reader *r, FILE *out, struct err *err)
{
    struct reader_filter everything = {0};
    struct export x = {.reader = r, .out = out};
    int rc;

    buf_init(&x.line, MAX_LINE_BYTES);
    rc = reader_ledger(r, 0, ledger_line, &x, err);
    if (rc == 0)
        rc = reader_messages(r, message_line, &x, err);
    if (rc == 0)
        rc = reader_list(r, &everything, instance_lines, &x, err);
    buf_done(&x.line);
    if (rc == 0 && fflush(out) != 0)
        rc = err_sys(err, ERR_IO, errno, "write the export");
    return rc;
}
