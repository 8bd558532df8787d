/* The canonical texts and their hashes. */
#include "journal/chain_internal.h"

#include <string.h>

#include "base/str.h"

const char chain_zero[SHA256_HEX_SIZE] =
    "0000000000000000000000000000000000000000000000000000000000000000";

static void add_line(struct sha256 *s, const char *line)
{
    sha256_add(s, line, strlen(line));
}

/* "<name>=<length>:<value>\n" */
static void add_bytes(struct sha256 *s, const char *name, const char *value, size_t n)
{
    char length[STR_I64_SIZE + 2] = "=";
    size_t k = 1 + str_from_i64((int64_t)n, length + 1);

    length[k++] = ':';
    add_line(s, name);
    sha256_add(s, length, k);
    sha256_add(s, value, n);
    sha256_add(s, "\n", 1);
}

static void add_text(struct sha256 *s, const char *name, const char *value)
{
    add_bytes(s, name, value, strlen(value));
}

static void add_i64(struct sha256 *s, const char *name, int64_t value)
{
    char digits[STR_I64_SIZE];

    add_bytes(s, name, digits, str_from_i64(value, digits));
}

void chain_hash_transition(const struct chain_transition *t, char ret_hex[SHA256_HEX_SIZE])
{
    struct sha256 s;

    sha256_init(&s);
    add_line(&s, "ssmd-transition 1\n");
    add_text(&s, "instance", t->instance_id);
    add_i64(&s, "n", t->n);
    add_i64(&s, "at", t->at_unix_ms);
    add_text(&s, "event", t->event);
    add_text(&s, "from", t->from);
    add_text(&s, "to", t->to);
    add_text(&s, "detail", t->detail);
    add_text(&s, "state", t->state_sha256);
    add_text(&s, "prev", t->prev);
    sha256_end_hex(&s, ret_hex);
}

void chain_hash_ledger(const struct chain_ledger *l, char ret_hex[SHA256_HEX_SIZE])
{
    struct sha256 s;

    sha256_init(&s);
    add_line(&s, "ssmd-ledger 1\n");
    add_i64(&s, "n", l->n);
    add_text(&s, "id", l->id);
    add_text(&s, "machine", l->machine);
    add_text(&s, "message", l->message_id);
    add_text(&s, "state", l->state);
    add_text(&s, "status", l->status);
    add_i64(&s, "created", l->created_unix_ms);
    add_i64(&s, "ended", l->ended_unix_ms);
    add_i64(&s, "transitions", l->n_transitions);
    add_text(&s, "head", l->head);
    add_text(&s, "prev", l->prev);
    sha256_end_hex(&s, ret_hex);
}

void chain_state_begin(struct sha256 *s, const struct chain_instance *i)
{
    sha256_init(s);
    add_line(s, "ssmd-state 1\n");
    add_text(s, "id", i->id);
    add_text(s, "machine", i->machine);
    add_i64(s, "version", i->version);
    add_text(s, "state", i->state);
    add_i64(s, "transitions", i->n_transitions);
    add_i64(s, "created", i->created_unix_ms);
    add_i64(s, "updated", i->updated_unix_ms);
    add_text(s, "deadline-boot", i->deadline_boot_id);
    add_i64(s, "deadline-boottime", i->deadline_boottime_ms);
    add_i64(s, "deadline-after", i->deadline_after_ms);
}

void chain_state_row(struct sha256 *s, struct chain_value *values, size_t n)
{
    size_t i, k;

    for (i = 1; i < n; i++) {
        struct chain_value v = values[i];

        for (k = i; k > 0 && strcmp(values[k - 1].name, v.name) > 0; k--)
            values[k] = values[k - 1];
        values[k] = v;
    }
    for (i = 0; i < n; i++) {
        if (values[i].text != NULL && values[i].text[0] != '\0')
            add_text(s, values[i].name, values[i].text);
        else if (values[i].text == NULL && values[i].number != 0)
            add_i64(s, values[i].name, values[i].number);
    }
}

void chain_state_child(struct sha256 *s, int64_t n_child)
{
    add_i64(s, "child", n_child);
}

static void add_row(struct sha256 *s, const struct fsm_field *fields, size_t n, const void *base)
{
    struct chain_value values[CHAIN_MAX_FIELDS];
    size_t i;

    for (i = 0; i < n; i++) {
        values[i].name = fields[i].name;
        values[i].text = fields[i].type == FSM_TEXT ? fsm_field_text(&fields[i], base) : NULL;
        values[i].number = fields[i].type == FSM_I64 ? fsm_field_i64(&fields[i], base) : 0;
    }
    chain_state_row(s, values, n);
}

void chain_hash_state(const struct fsm_instance *inst, char ret_hex[SHA256_HEX_SIZE])
{
    const struct fsm_machine *m = inst->machine;
    struct chain_instance head = {
        .id = inst->id,
        .machine = m->name,
        .state = fsm_state_name(inst),
        .version = m->version,
        .n_transitions = inst->n_transitions,
        .created_unix_ms = inst->created_unix_ms,
        .updated_unix_ms = inst->updated_unix_ms,
        .deadline_boot_id = inst->deadline.boot_id,
        .deadline_boottime_ms = inst->deadline.boottime_ms,
        .deadline_after_ms = inst->deadline.after_ms,
    };
    struct sha256 s;
    size_t i;

    chain_state_begin(&s, &head);
    add_row(&s, m->fields, m->n_fields, inst->data);
    for (i = 0; i < inst->n_children; i++) {
        chain_state_child(&s, (int64_t)i);
        add_row(&s, m->child_fields, m->n_child_fields, fsm_child(inst, i));
    }
    sha256_end_hex(&s, ret_hex);
}

void chain_extend(const struct fsm_instance *inst, int64_t at_unix_ms, const char *event,
                  const char *from, const char *detail, char ret_state[SHA256_HEX_SIZE],
                  char ret_hash[SHA256_HEX_SIZE])
{
    struct chain_transition t = {
        .instance_id = inst->id,
        .n = inst->n_transitions,
        .at_unix_ms = at_unix_ms,
        .event = event,
        .from = from,
        .to = fsm_state_name(inst),
        .detail = detail,
        .state_sha256 = ret_state,
        .prev = inst->head,
    };

    chain_hash_state(inst, ret_state);
    chain_hash_transition(&t, ret_hash);
}
