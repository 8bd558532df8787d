/* The engine of all state machines: pure functions over tables. No I/O, no clock, no allocation but
 * the list of opened effects. Time and random values come inside the event. Any thread, one
 * instance at a time.
 *
 *   world --event--> fsm_step(instance, event) = next state + effects to open and close
 *
 * The caller (agent/engine.c) commits what fsm_step changed before it performs any effect. */
#ifndef SSMD_FSM_FSM_H
#define SSMD_FSM_FSM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"

#define FSM_ID_SIZE 64      /* an instance id and its NUL: a command id, which is a UUID */
#define FSM_DETAIL_SIZE 256 /* what a transition says about itself in the journal */
#define FSM_NO_EVENT (-1)
#define FSM_MAX_CHILDREN 1000
#define FSM_KEEP_DEADLINE (-1) /* the one that is running goes on */

struct fsm_instance;
struct fsm_event;
struct fsm_out;

typedef bool (*fsm_guard)(const struct fsm_instance *inst, const struct fsm_event *ev); /* reads */
typedef void (*fsm_action)(
    struct fsm_instance *inst, const struct fsm_event *ev,
    struct fsm_out *out); /* changes data, opens and closes effects, nothing else */

/* The first row whose `from`, `on` and guard hold is taken; guarded rows stand above the plain one.
 */
struct fsm_rule {
    uint8_t from, on;
    fsm_guard when;
    uint8_t to;
    fsm_action action;
    const char *label; /* for the diagram: "[guard] effects" or NULL */
};

struct fsm_state {
    const char
        *name; /* stored and shown; never renamed without an alias row in journal/migrate.c */
    const char *status; /* the service's word while in this state (spec 03, section 7); NULL: the
                           data decides */
    bool is_terminal;
    int8_t overdue;   /* event when the deadline set on entry passes, or FSM_NO_EVENT */
    uint64_t ignored; /* BIT(event): nothing happens here on purpose */
};

enum fsm_recovery {
    FSM_REDO,  /* doing it again is harmless: a reply with the same id, a kill */
    FSM_PROBE, /* ask the world: not begun -> perform; going on -> attach; ended -> deliver its
                  completion */
    FSM_ONCE,  /* never twice: deliver its lost event */
};

struct fsm_effect_kind {
    const char *name;
    enum fsm_recovery recovery;
    int8_t lost; /* event when it is gone without an answer, or FSM_NO_EVENT */
    int8_t
        done; /* event of its completion; FSM_NO_EVENT: it closes quietly, with the next commit */
    bool is_lazy; /* its completion may wait for the next commit that is made anyway */
};

/* What is persisted of `data`: read, written, hashed and dumped from here. */
enum fsm_field_type { FSM_I64, FSM_TEXT };
struct fsm_field {
    const char *name; /* column name: [a-z0-9_]+ */
    enum fsm_field_type type;
    uint32_t offset, size;
};
#define FSM_FIELD_I64(type, member)                                                                \
    {                                                                                              \
#member, FSM_I64, offsetof(type, member), sizeof(((type *)0)->member)                      \
    }
#define FSM_FIELD_TEXT(type, member)                                                               \
    {                                                                                              \
#member, FSM_TEXT, offsetof(type, member), sizeof(((type *)0)->member)                     \
    }

struct fsm_machine {
    const char *name; /* also the name of its table in the journal */
    int version;
    const struct fsm_rule *rules;
    size_t n_rules;
    const struct fsm_state *states;
    size_t n_states;
    const char *const *events;
    size_t n_events;
    const struct fsm_effect_kind *effects;
    size_t n_effects;
    const struct fsm_field *fields;
    size_t n_fields;
    size_t data_size;
    const char *child_name; /* table of the child rows, or NULL */
    const struct fsm_field *child_fields;
    size_t n_child_fields;
    size_t child_size;
    uint8_t initial;
    int64_t
        max_transitions; /* an instance that has made so many loops: it gets the runaway event */
    int8_t runaway;
    /* Another program runs it, with a record of its own: the journal has no table for it. */
    bool is_elsewhere;
    /* The service's word for an instance when its state does not fix it. May be NULL. */
    const char *(*status)(const struct fsm_instance *inst);
    /* One line for journal and log about what an event brought. Optional. */
    void (*describe)(const struct fsm_instance *inst, const struct fsm_event *ev, char *ret_text,
                     size_t size);
};

/* A machine's tables stand in its file by these names. */
#define FSM_OWN_TABLES                                                                             \
    .rules = rules, .n_rules = ARRAY_LEN(rules), .states = states, .n_states = ARRAY_LEN(states),  \
    .events = events, .n_events = ARRAY_LEN(events), .effects = effects,                           \
    .n_effects = ARRAY_LEN(effects), .fields = fields, .n_fields = ARRAY_LEN(fields)

/* Something to be done in the world, from its commit until its completion is committed. */
struct fsm_effect {
    int64_t id;        /* unique in the journal, given by the caller when it is opened */
    int64_t arg, arg2; /* what it is about; the machine's header says */
    uint8_t kind;
};

struct fsm_deadline {
    char boot_id[BOOT_ID_SIZE]; /* "" when there is none */
    int64_t boottime_ms;
    int64_t after_ms; /* how long from entry, to arm again in another boot */
};

struct fsm_instance {
    const struct fsm_machine *machine;
    char id[FSM_ID_SIZE];
    uint8_t state;
    int64_t n_transitions;
    int64_t created_unix_ms, updated_unix_ms;
    struct fsm_deadline deadline;
    void *data;     /* owned; machine->data_size bytes */
    void *children; /* owned; n_children * machine->child_size bytes */
    size_t n_children;
    struct fsm_effect *effects; /* open ones, in order of id; owned */
    size_t n_effects, cap_effects;
    char head[65]; /* hash of the newest transition; kept by the journal */
};

struct fsm_event {
    uint8_t kind;
    int64_t effect_id; /* the effect whose completion this is, or 0 */
    int64_t at_unix_ms;
    const char *boot_id; /* of this moment; borrowed, never NULL */
    const void *detail;  /* what the machine's header says for this event; borrowed, may be NULL */
};

struct fsm_out {
    struct fsm_effect *opens; /* owned; ids are 0 until the caller gives them */
    size_t n_opens, cap_opens;
    int64_t *closes; /* ids; owned */
    size_t n_closes, cap_closes;
    size_t child_lo, child_hi; /* children changed: [lo, hi) */
    int64_t
        deadline_ms; /* set by the action: overdue so long from now; 0 none; or FSM_KEEP_DEADLINE */
    uint8_t from;
    int failed; /* ERR_NOMEM while it was filled: nothing may be committed */
    char detail[FSM_DETAIL_SIZE];
};

enum fsm_verdict {
    FSM_MOVED,   /* commit: transition, closes, opens */
    FSM_IGNORED, /* listed as ignored here; commit the closes, if any */
    FSM_STALE,   /* a completion of an effect that is closed, or anything for a finished instance */
    FSM_UNEXPECTED, /* neither handled nor listed: our mistake. Nothing changed */
    FSM_RUNAWAY,    /* too many transitions: send machine->runaway. Nothing changed */
};

/* Make an instance in its initial state, all data zero. ERR_NOMEM, ERR_LIMIT (children). */
int fsm_instance_init(struct fsm_instance *inst, const struct fsm_machine *m, const char *id,
                      size_t n_children, int64_t now_unix_ms, struct err *err) MUST_CHECK;
void fsm_instance_done(struct fsm_instance *inst);
void *fsm_child(const struct fsm_instance *inst, size_t i);

/* Decide. On FSM_MOVED and FSM_IGNORED the instance has changed and *out (which the caller
 * initialises with zeros once and may use again) says what to journal; closed effects are gone from
 * inst->effects, opened ones are not yet there: call fsm_adopt() after giving them their ids. */
enum fsm_verdict fsm_step(struct fsm_instance *inst, const struct fsm_event *ev,
                          struct fsm_out *out);
int fsm_adopt(struct fsm_instance *inst, const struct fsm_out *out) MUST_CHECK; /* ERR_NOMEM */
void fsm_out_done(struct fsm_out *out);

/* For actions. */
void fsm_open(struct fsm_out *out, uint8_t kind, int64_t arg, int64_t arg2);
void fsm_close_kind(const struct fsm_instance *inst, struct fsm_out *out, uint8_t kind);
void fsm_touch_child(struct fsm_out *out, size_t i);

/* Take an effect that was closed without a transition out of the list. */
void fsm_drop_effect(struct fsm_instance *inst, int64_t effect_id);
const struct fsm_effect *fsm_find_effect(const struct fsm_instance *inst, int64_t effect_id);
const struct fsm_effect *fsm_find_effect_kind(const struct fsm_instance *inst, uint8_t kind);
bool fsm_is_terminal(const struct fsm_instance *inst);
const char *fsm_state_name(const struct fsm_instance *inst);
/* The service's word now: the state's, else machine->status(), never NULL. */
const char *fsm_status(const struct fsm_instance *inst);

/* Name -> number, or -1. What is stored are names. */
int fsm_state_by_name(const struct fsm_machine *m, const char *name);
int fsm_effect_by_name(const struct fsm_machine *m, const char *name);
int fsm_event_by_name(const struct fsm_machine *m, const char *name);

int64_t fsm_field_i64(const struct fsm_field *f, const void *base);
const char *fsm_field_text(const struct fsm_field *f, const void *base);

/* Everything that is persisted of an instance, as canonical text: one "name=value" per line, values
 * escaped as in base/record.h, children after the instance. The journal's chain covers its SHA-256.
 */
void fsm_dump(const struct fsm_instance *inst, struct buf *ret_text);

/* All machines, for tools and tests; ends with NULL. */
extern const struct fsm_machine *const fsm_machines[];
const struct fsm_machine *fsm_machine_by_name(const char *name); /* or NULL */

/* Laws of a table (check.c): every state reachable, each can end, no row shadowed, every state and
 * event either handled or listed as ignored, names unique, numbers in range, no loop that the
 * runaway event does not end. Problems are appended to *ret_text, one a line; returns their number.
 * That every row is taken and every effect opened by somebody is shown by the random walks. */
int fsm_check(const struct fsm_machine *m, struct buf *ret_text);

/* The picture of the machine that really runs (diagram.c). */
void fsm_diagram_mermaid(const struct fsm_machine *m, struct buf *ret_text);
void fsm_diagram_dot(const struct fsm_machine *m, struct buf *ret_text);

#endif
