/* Order, health and progress: structs to records and back. */
#include "update/handover_files.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/record.h"
#include "base/str.h"
#include "base/version.h"

#define MAX_BYTES (64u << 10)
#define FIELD "field." /* of the machine's data, in a record of progress */
#define MAX_EFFECTS 16

static int write_record(int dirfd, const char *name, struct buf *text, bool is_synced,
                        struct err *err)
{
    int r;

    record_end(text);
    r = buf_error(text, name, err);
    return r < 0 ? r : fs_write_atomic(dirfd, name, text->data, text->len, 0600, is_synced, err);
}

static int read_record(int dirfd, const char *name, struct record *ret_record, struct err *err)
{
    AUTO(buf_done) struct buf bytes = {0};
    struct err own;
    int r;

    if (err == NULL)
        err = &own;
    buf_init(&bytes, MAX_BYTES);
    r = fs_read_file(dirfd, name, &bytes, err);
    if (r == ERR_LIMIT)
        return err->code = ERR_CORRUPT; /* nobody of us writes so much */
    if (r < 0)
        return r;
    r = record_parse(buf_str(&bytes), bytes.len, name, ret_record, err);
    if (r == ERR_INVALID)
        err->code = ERR_CORRUPT; /* another file under this name */
    return r < 0 ? err_wrap(err, "%s", name) : 0;
}

/* A text that must be there and fit: the value decides what is done. */
static int get_text(const struct record *r, const char *key, char *ret, size_t size,
                    struct err *err)
{
    const char *value = record_get(r, key);

    if (value == NULL || !str_copy(ret, size, value))
        return err_set(err, ERR_CORRUPT, "record %s: %s is %s", r->kind, key,
                       value == NULL ? "missing" : "too long");
    return 0;
}

/* One for people: it may be missing, and cut. */
static void get_words(const struct record *r, const char *key, char *ret, size_t size)
{
    const char *value = record_get(r, key);

    (void)str_copy(ret, size, value != NULL ? value : "");
}

static int get_version(const struct record *r, const char *key, char ret[SLOTS_VERSION_SIZE],
                       struct err *err)
{
    int rc = get_text(r, key, ret, SLOTS_VERSION_SIZE, err);

    if (rc == 0 && !version_is_valid(ret))
        rc = err_set(err, ERR_CORRUPT, "record %s: %s is \"%s\", which is no version", r->kind, key,
                     ret);
    return rc;
}

/* ---- order ---- */

int handover_write_order(int dirfd, const struct handover_order *o, struct err *err)
{
    AUTO(buf_done) struct buf b = {0};

    buf_init(&b, MAX_BYTES);
    record_begin(&b, HANDOVER_ORDER);
    record_add(&b, "id", o->id);
    record_add(&b, "from", o->from);
    record_add(&b, "to", o->to);
    record_add_i64(&b, "proving_ms", o->proving_ms);
    record_add_i64(&b, "deadline_ms", o->deadline_ms);
    record_add_i64(&b, "max_rss_bytes", o->max_rss_bytes);
    record_add_i64(&b, "is_service_away", o->is_service_away);
    record_add_i64(&b, "outage_ms", o->outage_ms);
    record_add(&b, "pid_file", o->pid_file);
    record_add(&b, "unit", o->unit);
    record_add(&b, "boot_id_file", o->boot_id_file);
    return write_record(dirfd, HANDOVER_ORDER, &b, true, err);
}

int handover_read_order(int dirfd, struct handover_order *ret_order, struct err *err)
{
    AUTO(record_done) struct record r = {0};
    struct handover_order o = {0};
    int rc = read_record(dirfd, HANDOVER_ORDER, &r, err);

    if (rc < 0)
        return rc;
    if ((rc = get_text(&r, "id", o.id, sizeof(o.id), err)) < 0 ||
        (rc = get_version(&r, "from", o.from, err)) < 0 ||
        (rc = get_version(&r, "to", o.to, err)) < 0 ||
        (rc = record_get_i64(&r, "proving_ms", &o.proving_ms, err)) < 0 ||
        (rc = record_get_i64(&r, "deadline_ms", &o.deadline_ms, err)) < 0 ||
        (rc = get_text(&r, "pid_file", o.pid_file, sizeof(o.pid_file), err)) < 0)
        return rc;
    o.max_rss_bytes = record_get_i64_or(&r, "max_rss_bytes", 0);
    o.is_service_away = record_get_i64_or(&r, "is_service_away", 0) != 0;
    o.outage_ms = record_get_i64_or(&r, "outage_ms", 0);
    get_words(&r, "unit", o.unit, sizeof(o.unit));
    get_words(&r, "boot_id_file", o.boot_id_file, sizeof(o.boot_id_file));
    *ret_order = o;
    return 0;
}

/* ---- health ---- */

int handover_write_health(int dirfd, const struct handover_health *h, struct err *err)
{
    AUTO(buf_done) struct buf b = {0};

    buf_init(&b, MAX_BYTES);
    record_begin(&b, HANDOVER_HEALTH);
    record_add(&b, "version", h->version);
    record_add(&b, "boot_id", h->boot_id);
    record_add_i64(&b, "pid", h->pid);
    record_add_i64(&b, "pid_start", h->pid_start);
    record_add_i64(&b, "since_boottime_ms", h->since_boottime_ms);
    record_add_i64(&b, "at_boottime_ms", h->at_boottime_ms);
    record_add_i64(&b, "has_journal", h->has_journal);
    record_add_i64(&b, "has_steps", h->has_steps);
    record_add_i64(&b, "has_service", h->has_service);
    record_add(&b, "lacking", h->lacking);
    record_add(&b, "failed", h->failed);
    return write_record(dirfd, HANDOVER_HEALTH, &b, false, err);
}

int handover_read_health(int dirfd, struct handover_health *ret_health, struct err *err)
{
    AUTO(record_done) struct record r = {0};
    struct handover_health h = {0};
    int rc = read_record(dirfd, HANDOVER_HEALTH, &r, err);

    if (rc < 0)
        return rc;
    if ((rc = get_text(&r, "version", h.version, sizeof(h.version), err)) < 0 ||
        (rc = get_text(&r, "boot_id", h.boot_id, sizeof(h.boot_id), err)) < 0 ||
        (rc = record_get_i64(&r, "pid", &h.pid, err)) < 0 ||
        (rc = record_get_i64(&r, "pid_start", &h.pid_start, err)) < 0 ||
        (rc = record_get_i64(&r, "since_boottime_ms", &h.since_boottime_ms, err)) < 0 ||
        (rc = record_get_i64(&r, "at_boottime_ms", &h.at_boottime_ms, err)) < 0)
        return rc;
    h.has_journal = record_get_i64_or(&r, "has_journal", 0) != 0;
    h.has_steps = record_get_i64_or(&r, "has_steps", 0) != 0;
    h.has_service = record_get_i64_or(&r, "has_service", 0) != 0;
    get_words(&r, "lacking", h.lacking, sizeof(h.lacking));
    get_words(&r, "failed", h.failed, sizeof(h.failed));
    *ret_health = h;
    return 0;
}

/* ---- progress ---- */

static void add_fields(struct buf *b, const struct fsm_instance *inst)
{
    const struct fsm_machine *m = inst->machine;
    char key[64];
    size_t i;

    for (i = 0; i < m->n_fields; i++) {
        (void)snprintf(key, sizeof(key), FIELD "%s", m->fields[i].name);
        if (m->fields[i].type == FSM_I64)
            record_add_i64(b, key, fsm_field_i64(&m->fields[i], inst->data));
        else
            record_add(b, key, fsm_field_text(&m->fields[i], inst->data));
    }
}

int handover_write_progress(int dirfd, const struct fsm_instance *inst, struct err *err)
{
    AUTO(buf_done) struct buf b = {0};
    size_t i;

    buf_init(&b, MAX_BYTES);
    record_begin(&b, HANDOVER_PROGRESS);
    record_add(&b, "id", inst->id);
    record_add(&b, "state", fsm_state_name(inst));
    record_add_i64(&b, "n_transitions", inst->n_transitions);
    record_add_i64(&b, "created_unix_ms", inst->created_unix_ms);
    record_add_i64(&b, "updated_unix_ms", inst->updated_unix_ms);
    record_add(&b, "deadline_boot_id", inst->deadline.boot_id);
    record_add_i64(&b, "deadline_boottime_ms", inst->deadline.boottime_ms);
    record_add_i64(&b, "deadline_after_ms", inst->deadline.after_ms);
    add_fields(&b, inst);
    for (i = 0; i < inst->n_effects; i++) { /* "<id> <arg> <arg2> <kind>" */
        const struct fsm_effect *fx = &inst->effects[i];
        char text[128];

        (void)snprintf(text, sizeof(text), "%" PRId64 " %" PRId64 " %" PRId64 " %s", fx->id,
                       fx->arg, fx->arg2, inst->machine->effects[fx->kind].name);
        record_add(&b, "effect", text);
    }
    return write_record(dirfd, HANDOVER_PROGRESS, &b, true, err);
}

/* A field that is missing keeps its zero: an older version did not know it. */
static int get_fields(const struct record *r, struct fsm_instance *inst, struct err *err)
{
    const struct fsm_machine *m = inst->machine;
    size_t i;

    for (i = 0; i < m->n_fields; i++) {
        const struct fsm_field *f = &m->fields[i];
        char key[64], *place = (char *)inst->data + f->offset;
        int64_t number;
        int rc = 0;

        (void)snprintf(key, sizeof(key), FIELD "%s", f->name);
        if (record_get(r, key) == NULL)
            continue;
        if (f->type == FSM_I64)
            rc = record_get_i64(r, key, &number, err);
        else
            rc = get_text(r, key, place, f->size, err);
        if (rc < 0)
            return rc;
        if (f->type == FSM_I64)
            memcpy(place, &number, sizeof(number));
    }
    return 0;
}

static int get_effect(const char *text, struct fsm_instance *inst, struct err *err)
{
    struct fsm_effect *fx = &inst->effects[inst->n_effects];
    char copy[128], *rest = copy;
    const char *id, *arg, *arg2;
    int kind;

    (void)str_copy(copy, sizeof(copy), text); /* what is cut off is no name of ours */
    id = strsep(&rest, " ");
    arg = strsep(&rest, " ");
    arg2 = strsep(&rest, " ");
    if (inst->n_effects == MAX_EFFECTS || rest == NULL ||
        !str_to_i64(id, INT64_MIN, INT64_MAX, &fx->id) ||
        !str_to_i64(arg, INT64_MIN, INT64_MAX, &fx->arg) ||
        !str_to_i64(arg2, INT64_MIN, INT64_MAX, &fx->arg2))
        return err_set(err, ERR_CORRUPT, "record progress: effect \"%.100s\"", text);
    kind = fsm_effect_by_name(inst->machine, rest);
    if (kind < 0)
        return err_set(err, ERR_NEWER, "record progress: effect \"%.60s\" is unknown", rest);
    fx->kind = (uint8_t)kind;
    inst->n_effects++;
    return 0;
}

static int get_effects(const struct record *r, struct fsm_instance *inst, struct err *err)
{
    size_t i;
    int rc = 0;

    inst->effects = calloc(MAX_EFFECTS + 1, sizeof(*inst->effects));
    if (inst->effects == NULL)
        return err_set(err, ERR_NOMEM, "record progress: out of memory");
    inst->cap_effects = MAX_EFFECTS + 1;
    for (i = 0; rc == 0 && i < r->n_items; i++)
        if (str_eq(r->items[i].key, "effect"))
            rc = get_effect(r->items[i].value, inst, err);
    return rc;
}

static int get_instance(const struct record *r, struct fsm_instance *inst, struct err *err)
{
    char name[64];
    int state, rc;

    if ((rc = get_text(r, "state", name, sizeof(name), err)) < 0 ||
        (rc = record_get_i64(r, "n_transitions", &inst->n_transitions, err)) < 0)
        return rc;
    state = fsm_state_by_name(inst->machine, name);
    if (state < 0)
        return err_set(err, ERR_NEWER, "record progress: state \"%s\" is unknown", name);
    inst->state = (uint8_t)state;
    inst->updated_unix_ms = record_get_i64_or(r, "updated_unix_ms", inst->created_unix_ms);
    get_words(r, "deadline_boot_id", inst->deadline.boot_id, sizeof(inst->deadline.boot_id));
    inst->deadline.boottime_ms = record_get_i64_or(r, "deadline_boottime_ms", 0);
    inst->deadline.after_ms = record_get_i64_or(r, "deadline_after_ms", 0);
    rc = get_fields(r, inst, err);
    return rc < 0 ? rc : get_effects(r, inst, err);
}

int handover_read_progress(int dirfd, struct fsm_instance *ret_inst, struct err *err)
{
    AUTO(record_done) struct record r = {0};
    struct fsm_instance inst;
    char id[FSM_ID_SIZE];
    int rc = read_record(dirfd, HANDOVER_PROGRESS, &r, err);

    if (rc < 0)
        return rc;
    if ((rc = get_text(&r, "id", id, sizeof(id), err)) < 0 ||
        (rc = fsm_instance_init(&inst, &handover_machine, id, 0,
                                record_get_i64_or(&r, "created_unix_ms", 0), err)) < 0)
        return rc;
    rc = get_instance(&r, &inst, err);
    if (rc < 0) {
        fsm_instance_done(&inst);
        return rc;
    }
    *ret_inst = inst;
    return 0;
}
