/* The `registration` machine. */
#include "fsm/registration.h"

#include <stdio.h>

#include "base/str.h"

static void set_text(struct fsm_instance *inst, const struct fsm_event *ev)
{
    struct registration *g = registration_of(inst);

    (void)str_copy(g->text, sizeof(g->text),
                   ev->detail != NULL ? ev->detail : ""); /* cut is fine */
}

/* All of these were looked at before they came here: they fit. */
static void copy(char *dst, size_t size, const char *src)
{
    (void)str_copy(dst, size, src != NULL ? src : "");
}

static void take_request(struct fsm_instance *inst, const struct fsm_event *ev)
{
    struct registration *g = registration_of(inst);
    const struct registration_request *q = ev->detail;

    copy(g->kind, sizeof(g->kind), q->kind);
    copy(g->source, sizeof(g->source), q->source);
    copy(g->activation_id, sizeof(g->activation_id), q->activation_id);
    copy(g->node_id, sizeof(g->node_id), q->node_id);
    copy(g->region, sizeof(g->region), q->region);
    copy(g->key_id, sizeof(g->key_id), q->key_id);
    g->key_created_unix_ms = q->key_created_unix_ms;
}

static void ask_service(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    take_request(inst, ev);
    fsm_open(out, REGISTRATION_FX_REGISTER, 0, 0);
}

static void import(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    take_request(inst, ev);
    fsm_open(out, REGISTRATION_FX_STORE, 0, 0);
}

static void be_registered(struct fsm_instance *inst, const struct fsm_event *ev,
                          struct fsm_out *out)
{
    struct registration *g = registration_of(inst);

    copy(g->node_id, sizeof(g->node_id), ev->detail);
    fsm_open(out, REGISTRATION_FX_STORE, 0, 0);
}

static void end(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    set_text(inst, ev);
    fsm_close_kind(inst, out, REGISTRATION_FX_REGISTER);
    fsm_close_kind(inst, out, REGISTRATION_FX_STORE);
    fsm_close_kind(inst, out, REGISTRATION_FX_ROTATE);
    fsm_open(out, REGISTRATION_FX_ERASE, 0, 0);
}

static void lose(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    struct registration *g = registration_of(inst);

    end(inst, ev, out);
    copy(g->text, sizeof(g->text),
         "interrupted while the service was asked: it may know a node that nobody is, and the "
         "activation may have been used once");
}

static void rotate(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    struct registration *g = registration_of(inst);
    const struct registration_request *q = ev->detail;

    copy(g->next_key_id, sizeof(g->next_key_id), q->key_id);
    g->next_key_created_unix_ms = q->key_created_unix_ms;
    g->text[0] = '\0';
    fsm_open(out, REGISTRATION_FX_ROTATE, 0, 0);
}

static void forget_next(struct registration *g)
{
    g->next_key_id[0] = '\0';
    g->next_key_created_unix_ms = 0;
}

static void use_next(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    struct registration *g = registration_of(inst);

    (void)ev;
    copy(g->key_id, sizeof(g->key_id), g->next_key_id);
    g->key_created_unix_ms = g->next_key_created_unix_ms;
    forget_next(g);
    fsm_close_kind(inst, out, REGISTRATION_FX_STORE);
    fsm_open(out, REGISTRATION_FX_STORE, 0, 0);
}

static void keep_old(struct fsm_instance *inst, const struct fsm_event *ev, struct fsm_out *out)
{
    set_text(inst, ev);
    forget_next(registration_of(inst));
    fsm_close_kind(inst, out, REGISTRATION_FX_STORE);
    fsm_open(out, REGISTRATION_FX_STORE, 0, 0);
}

static const struct fsm_rule rules[] = {
    {REGISTRATION_UNREGISTERED, REGISTRATION_EV_REGISTER, NULL, REGISTRATION_REGISTERING,
     ask_service, "register"},
    {REGISTRATION_UNREGISTERED, REGISTRATION_EV_IMPORT, NULL, REGISTRATION_REGISTERED, import,
     "store"},

    {REGISTRATION_REGISTERING, REGISTRATION_EV_TAKEN, NULL, REGISTRATION_REGISTERED, be_registered,
     "store"},
    {REGISTRATION_REGISTERING, REGISTRATION_EV_FAILED, NULL, REGISTRATION_ENDING, end, "erase"},
    {REGISTRATION_REGISTERING, REGISTRATION_EV_LOST, NULL, REGISTRATION_ENDING, lose, "erase"},
    {REGISTRATION_REGISTERING, REGISTRATION_EV_RUNAWAY, NULL, REGISTRATION_ENDING, end, "erase"},

    {REGISTRATION_REGISTERED, REGISTRATION_EV_ROTATE, NULL, REGISTRATION_ROTATING, rotate,
     "rotate"},
    {REGISTRATION_REGISTERED, REGISTRATION_EV_END, NULL, REGISTRATION_ENDING, end, "erase"},
    {REGISTRATION_REGISTERED, REGISTRATION_EV_RUNAWAY, NULL, REGISTRATION_ENDING, end, "erase"},

    {REGISTRATION_ROTATING, REGISTRATION_EV_KEY_TAKEN, NULL, REGISTRATION_REGISTERED, use_next,
     "store"},
    {REGISTRATION_ROTATING, REGISTRATION_EV_KEY_REFUSED, NULL, REGISTRATION_REGISTERED, keep_old,
     "store"},
    {REGISTRATION_ROTATING, REGISTRATION_EV_END, NULL, REGISTRATION_ENDING, end, "erase"},
    {REGISTRATION_ROTATING, REGISTRATION_EV_RUNAWAY, NULL, REGISTRATION_ENDING, end, "erase"},

    {REGISTRATION_ENDING, REGISTRATION_EV_ERASED, NULL, REGISTRATION_ENDED, NULL, NULL},
};

#define ON(event) BIT(REGISTRATION_EV_##event)
#define ON_BEGIN (ON(REGISTER) | ON(IMPORT))
#define ON_CALL (ON(TAKEN) | ON(FAILED) | ON(LOST))
#define ON_KEY (ON(KEY_TAKEN) | ON(KEY_REFUSED))

static const struct fsm_state states[REGISTRATION_N_STATES] = {
    [REGISTRATION_UNREGISTERED] = {"unregistered", "", false, FSM_NO_EVENT,
                                   ON_CALL | ON(ROTATE) | ON_KEY | ON(END) | ON(ERASED) |
                                       ON(RUNAWAY)},
    /* A call that is under way is waited for, also by who wants to end it. */
    [REGISTRATION_REGISTERING] = {"registering", "", false, FSM_NO_EVENT,
                                  ON_BEGIN | ON(ROTATE) | ON_KEY | ON(END) | ON(ERASED)},
    [REGISTRATION_REGISTERED] = {"registered", "", false, FSM_NO_EVENT,
                                 ON_BEGIN | ON_CALL | ON_KEY | ON(ERASED)},
    [REGISTRATION_ROTATING] = {"rotating", "", false, FSM_NO_EVENT,
                               ON_BEGIN | ON_CALL | ON(ROTATE) | ON(ERASED)},
    [REGISTRATION_ENDING] = {"ending", "", false, FSM_NO_EVENT,
                             ON_BEGIN | ON_CALL | ON(ROTATE) | ON_KEY | ON(END) | ON(RUNAWAY)},
    [REGISTRATION_ENDED] = {"ended", "", true, FSM_NO_EVENT, 0},
};

static const char *const events[REGISTRATION_N_EVENTS] = {
    [REGISTRATION_EV_REGISTER] = "register",
    [REGISTRATION_EV_IMPORT] = "import",
    [REGISTRATION_EV_TAKEN] = "taken",
    [REGISTRATION_EV_FAILED] = "failed",
    [REGISTRATION_EV_LOST] = "lost",
    [REGISTRATION_EV_ROTATE] = "rotate",
    [REGISTRATION_EV_KEY_TAKEN] = "key-taken",
    [REGISTRATION_EV_KEY_REFUSED] = "key-refused",
    [REGISTRATION_EV_END] = "end",
    [REGISTRATION_EV_ERASED] = "erased",
    [REGISTRATION_EV_RUNAWAY] = "runaway",
};

static const struct fsm_effect_kind effects[REGISTRATION_N_EFFECTS] = {
    [REGISTRATION_FX_REGISTER] = {"register", FSM_ONCE, REGISTRATION_EV_LOST, REGISTRATION_EV_TAKEN,
                                  false},
    [REGISTRATION_FX_STORE] = {"store", FSM_REDO, FSM_NO_EVENT, FSM_NO_EVENT, false},
    [REGISTRATION_FX_ROTATE] = {"rotate", FSM_PROBE, REGISTRATION_EV_KEY_REFUSED,
                                REGISTRATION_EV_KEY_TAKEN, false},
    [REGISTRATION_FX_ERASE] = {"erase", FSM_REDO, FSM_NO_EVENT, REGISTRATION_EV_ERASED, false},
};

static const struct fsm_field fields[] = {
    FSM_FIELD_TEXT(struct registration, kind),
    FSM_FIELD_TEXT(struct registration, source),
    FSM_FIELD_TEXT(struct registration, activation_id),
    FSM_FIELD_TEXT(struct registration, node_id),
    FSM_FIELD_TEXT(struct registration, region),
    FSM_FIELD_TEXT(struct registration, key_id),
    FSM_FIELD_I64(struct registration, key_created_unix_ms),
    FSM_FIELD_TEXT(struct registration, next_key_id),
    FSM_FIELD_I64(struct registration, next_key_created_unix_ms),
    FSM_FIELD_TEXT(struct registration, text),
};

/* Of what the event brings: the fields change after this. */
static void describe(const struct fsm_instance *inst, const struct fsm_event *ev, char *ret_text,
                     size_t size)
{
    const struct registration *g = registration_of(inst);
    const struct registration_request *q = ev->detail;

    switch (ev->kind) {
    case REGISTRATION_EV_REGISTER:
        (void)snprintf(ret_text, size, "%s in %s, by %s %s, key %s", q->kind, q->region, q->source,
                       q->activation_id != NULL ? q->activation_id : "", q->key_id);
        break;
    case REGISTRATION_EV_IMPORT:
        (void)snprintf(ret_text, size, "%s in %s, by %s, key %s", q->node_id, q->region, q->source,
                       q->key_id);
        break;
    case REGISTRATION_EV_ROTATE:
        (void)snprintf(ret_text, size, "from key %s to key %s", g->key_id, q->key_id);
        break;
    case REGISTRATION_EV_KEY_TAKEN:
        (void)snprintf(ret_text, size, "key %s", g->next_key_id);
        break;
    case REGISTRATION_EV_ERASED:
        break;
    default:
        (void)snprintf(ret_text, size, "%s", ev->detail != NULL ? (const char *)ev->detail : "");
        break;
    }
}

const struct fsm_machine registration_machine = {
    .name = "registration",
    .version = 1,
    FSM_OWN_TABLES,
    .data_size = sizeof(struct registration),
    .initial = REGISTRATION_UNREGISTERED,
    .max_transitions = 10000000, /* a rotation is two; a life of years has many */
    .runaway = REGISTRATION_EV_RUNAWAY,
    .describe = describe,
};
