/* The registrar: its instances in journal and vault, and what is done at once. */
#define LOG_MODULE "register"
#include "agent/hybrid.h"
#include "agent/registrar_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crashpoint.h"
#include "base/fs.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/str.h"

#define MS_PER_DAY (INT64_C(24) * 3600 * 1000)
#define UNKNOWN_AGE_DAYS 3650

static enum vault_kind kind_of(const struct registration *g)
{
    return str_eq(g->kind, "ec2") ? VAULT_EC2 : VAULT_HYBRID;
}

static struct registration *registration_at(const struct entry *e)
{
    return registration_of(&e->inst);
}

static bool is_registered(const struct entry *e)
{
    return e->inst.state == REGISTRATION_REGISTERED || e->inst.state == REGISTRATION_ROTATING;
}

struct entry *registrar_find(const struct registrar *r, const char *kind)
{
    struct entry *e;

    for (e = r->entries; e != NULL; e = e->next)
        if (is_registered(e) && str_eq(registration_at(e)->kind, kind))
            return e;
    return NULL;
}

struct entry *registrar_find_id(const struct registrar *r, const char *id)
{
    struct entry *e;

    for (e = r->entries; e != NULL; e = e->next)
        if (str_eq(e->inst.id, id))
            return e;
    return NULL;
}

const struct registration *registrar_current(const struct registrar *r, enum vault_kind kind)
{
    const struct entry *e = registrar_find(r, kind == VAULT_EC2 ? "ec2" : "hybrid");

    return e != NULL ? registration_at(e) : NULL;
}

const struct vault *registrar_vault(const struct registrar *r)
{
    return &r->vault;
}

/* ---- the vault follows the journal ---- */

static bool is_key_of_any(const struct registrar *r, const char *key_id)
{
    const struct entry *e;

    for (e = r->entries; e != NULL; e = e->next)
        if (str_eq(registration_at(e)->key_id, key_id) ||
            str_eq(registration_at(e)->next_key_id, key_id))
            return true;
    return false;
}

/* Keys that no registration names: of one that ended, of a key that was not taken, of a crash. */
static void drop_stray_keys(struct registrar *r)
{
    int fd = dup(r->vault.dirfd);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *d;
    struct err err;

    if (dir == NULL) {
        if (fd >= 0)
            (void)close(fd); /* a copy of the descriptor */
        return;
    }
    rewinddir(dir);
    while ((d = readdir(dir)) != NULL) {
        if (!str_has_prefix(d->d_name, "key.") || is_key_of_any(r, d->d_name + 4))
            continue;
        if (vault_remove_key(&r->vault, d->d_name + 4, &err) < 0)
            log_warning("%s", err.text); /* the next start tries again */
    }
    (void)closedir(dir); /* read only */
}

static int store(struct registrar *r, const struct registration *g, struct err *err)
{
    struct vault_registration v = {.key_created_unix_ms = g->key_created_unix_ms};
    int k;

    (void)str_copy(v.instance_id, sizeof(v.instance_id), g->node_id); /* as large */
    (void)str_copy(v.region, sizeof(v.region), g->region);
    (void)str_copy(v.key_id, sizeof(v.key_id), g->key_id); /* an id of the vault: fits */
    k = vault_write(&r->vault, kind_of(g), &v, err);
    if (k == 0)
        drop_stray_keys(r);
    return k;
}

static int erase(struct registrar *r, struct entry *e, struct err *err)
{
    struct registration *g = registration_at(e);
    struct vault_registration v;
    int k = vault_read(&r->vault, kind_of(g), &v, err);

    if (k == 0 && str_eq(v.key_id, g->key_id))
        k = vault_remove(&r->vault, kind_of(g), err);
    else if (k == ERR_NOT_FOUND || k == ERR_CORRUPT)
        k = 0; /* nothing of ours is there */
    if (k < 0)
        return k;
    /* What scripts were given ends with the role; a file that is not there is fine. */
    if (kind_of(g) == VAULT_HYBRID && registrar_find(r, "hybrid") == NULL)
        (void)unlinkat(r->vault.dirfd, HYBRID_SHARE_FILE, 0);
    g->key_id[0] = g->next_key_id[0] = '\0'; /* in memory only, so that its keys count as stray */
    drop_stray_keys(r);
    return 0;
}

/* ---- performing ---- */

static int close_quietly(struct registrar *r, struct entry *e, int64_t effect_id, struct err *err)
{
    struct journal *j = r->journal;
    int k = j->ops->begin(j, err);

    if (k == 0)
        k = j->ops->close_effects(j, &effect_id, 1, clock_wall_ms(), err);
    if (k == 0)
        k = j->ops->commit(j, err);
    if (k < 0) {
        j->ops->rollback(j);
        return k;
    }
    fsm_drop_effect(&e->inst, effect_id);
    return 0;
}

/* An effect that fails stays open: the next start does it again. */
static void perform(struct registrar *r, struct entry *e, struct fsm_effect fx, bool is_restart)
{
    struct err err = {0};
    int k = 0;

    switch (fx.kind) {
    case REGISTRATION_FX_REGISTER:
        crashpoint("effect.register.before");
        enrolment_perform(r, e);
        crashpoint("effect.register.after");
        break;
    case REGISTRATION_FX_ROTATE:
        crashpoint("effect.rotate.before");
        rotation_perform(r, e, is_restart);
        crashpoint("effect.rotate.after");
        break;
    case REGISTRATION_FX_STORE:
        crashpoint("effect.store.before");
        k = store(r, registration_at(e), &err);
        crashpoint("effect.store.after");
        if (k == 0)
            k = close_quietly(r, e, fx.id, &err);
        break;
    case REGISTRATION_FX_ERASE:
        crashpoint("effect.erase.before");
        k = erase(r, e, &err);
        crashpoint("effect.erase.after");
        if (k == 0)
            k = registrar_deliver(r, e, REGISTRATION_EV_ERASED, fx.id, NULL, &err);
        break;
    default:
        break;
    }
    if (k < 0)
        log_error("registration: %s; done again at the next start", err.text);
}

static void forget(struct registrar *r, struct entry *e)
{
    struct entry **at = &r->entries;

    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    fsm_instance_done(&e->inst);
    free(e);
}

/* ---- deciding ---- */

static int give_ids(struct registrar *r, struct err *err)
{
    int64_t last = 0;
    size_t i;
    int k = 0;

    if (r->next_effect_id == NULL && r->out.n_opens > 0)
        k = r->journal->ops->last_effect_id(r->journal, &last, err);
    for (i = 0; k == 0 && i < r->out.n_opens; i++)
        r->out.opens[i].id = r->next_effect_id != NULL ? r->next_effect_id(r->ids_ctx) : ++last;
    return k;
}

/* Within the transaction. */
static int move(struct registrar *r, struct entry *e, const struct fsm_event *ev,
                bool *ret_has_moved, struct err *err)
{
    struct fsm_instance *inst = &e->inst;
    struct fsm_out *out = &r->out;
    int k;

    *ret_has_moved = false;
    switch (fsm_step(inst, ev, out)) {
    case FSM_MOVED:
        break;
    case FSM_UNEXPECTED:
        log_error("registration %s: event %s is not expected in state %s; ignored", inst->id,
                  inst->machine->events[ev->kind], fsm_state_name(inst));
        return 0;
    default: /* late, or ignored on purpose: nothing changed */
        return 0;
    }
    if ((k = give_ids(r, err)) < 0)
        return k;
    if (fsm_adopt(inst, out) < 0)
        return err_set(err, ERR_NOMEM, "registration %s: out of memory", inst->id);
    const struct journal_transition t = {.inst = inst,
                                         .event = inst->machine->events[ev->kind],
                                         .from = inst->machine->states[out->from].name,
                                         .detail = out->detail,
                                         .at_unix_ms = ev->at_unix_ms,
                                         .opens = out->opens,
                                         .n_opens = out->n_opens,
                                         .closes = out->closes,
                                         .n_closes = out->n_closes};

    *ret_has_moved = true;
    return r->journal->ops->put_transition(r->journal, &t, err);
}

static int load(struct registrar *r, struct err *err);

static int commit_event(struct registrar *r, struct entry *e, bool is_new,
                        const struct fsm_event *ev, bool *ret_has_moved, struct err *err)
{
    struct journal *j = r->journal;
    struct err again;
    int k = j->ops->begin(j, err);

    if (k == 0 && is_new)
        k = j->ops->put_instance(j, &e->inst, err);
    if (k == 0)
        k = move(r, e, ev, ret_has_moved, err);
    if (k == 0)
        k = j->ops->commit(j, err);
    if (k == 0)
        return 0;
    j->ops->rollback(j);
    if (load(r, &again) < 0) /* memory and disk may disagree */
        log_error("registration: %s", again.text);
    return k;
}

static int happen(struct registrar *r, struct entry *e, bool is_new, const struct fsm_event *ev,
                  struct err *err)
{
    struct fsm_effect opens[REGISTRATION_N_EFFECTS];
    bool has_moved = false;
    size_t i, n;
    int k = commit_event(r, e, is_new, ev, &has_moved, err);

    if (k < 0)
        return k;
    if (!has_moved)
        return 0;
    log_info("registration %s: %s --%s--> %s  %s", e->inst.id,
             e->inst.machine->states[r->out.from].name, e->inst.machine->events[ev->kind],
             fsm_state_name(&e->inst), r->out.detail);
    n = r->out.n_opens < ARRAY_LEN(opens) ? r->out.n_opens : ARRAY_LEN(opens);
    if (n > 0)
        memcpy(opens, r->out.opens, n * sizeof(*opens));
    if (fsm_is_terminal(&e->inst)) {
        forget(r, e);
        return 0;
    }
    for (i = 0; i < n; i++)
        perform(r, e, opens[i], false);
    return 0;
}

static struct fsm_event event_of(const struct registrar *r, uint8_t kind, int64_t effect_id,
                                 const void *detail)
{
    return (struct fsm_event){.kind = kind,
                              .effect_id = effect_id,
                              .at_unix_ms = clock_wall_ms(),
                              .boot_id = r->boot_id,
                              .detail = detail};
}

int registrar_deliver(struct registrar *r, struct entry *e, uint8_t event, int64_t effect_id,
                      const void *detail, struct err *err)
{
    const struct fsm_event ev = event_of(r, event, effect_id, detail);

    return happen(r, e, false, &ev, err);
}

int registrar_begin(struct registrar *r, uint8_t event, const struct registration_request *q,
                    struct entry **ret_entry, struct err *err)
{
    const struct fsm_event ev = event_of(r, event, 0, q);
    struct entry *e = calloc(1, sizeof(*e));
    char id[UUID_SIZE];
    int k;

    if (e == NULL)
        return err_set(err, ERR_NOMEM, "registration: out of memory");
    ids_uuid4(id);
    k = fsm_instance_init(&e->inst, &registration_machine, id, 0, clock_wall_ms(), err);
    if (k < 0) {
        free(e);
        return k;
    }
    e->next = r->entries;
    r->entries = e;
    k = happen(r, e, true, &ev, err); /* on failure the list was loaded again, without it */
    if (k == 0)
        *ret_entry = e;
    return k;
}

/* ---- life ---- */

static void drop_all(struct registrar *r)
{
    while (r->entries != NULL)
        forget(r, r->entries);
}

static int take_one(void *ctx, struct fsm_instance *inst, struct err *err)
{
    struct registrar *r = ctx;
    struct entry *e;

    if (inst->machine != &registration_machine) {
        fsm_instance_done(inst);
        return 0;
    }
    e = calloc(1, sizeof(*e));
    if (e == NULL) {
        fsm_instance_done(inst);
        return err_set(err, ERR_NOMEM, "registration: out of memory");
    }
    e->inst = *inst;
    *inst = (struct fsm_instance){.machine = inst->machine};
    e->next = r->entries; /* oldest first in the journal, newest first here */
    r->entries = e;
    return 0;
}

static int load(struct registrar *r, struct err *err)
{
    drop_all(r);
    return r->journal->ops->load(r->journal, take_one, r, err);
}

/* A vault without its journal (it was lost, or moved away): what the vault says counts. */
static int adopt_vault(struct registrar *r, enum vault_kind kind, struct err *err)
{
    struct vault_registration v;
    struct registration_request q = {.kind = kind == VAULT_EC2 ? "ec2" : "hybrid",
                                     .source = "vault",
                                     .node_id = v.instance_id,
                                     .region = v.region,
                                     .key_id = v.key_id};
    struct entry *e;
    int k;

    if (registrar_find(r, q.kind) != NULL)
        return 0;
    k = vault_read(&r->vault, kind, &v, err);
    if (k == ERR_NOT_FOUND)
        return 0;
    if (k < 0)
        return k;
    q.key_created_unix_ms = v.key_created_unix_ms;
    return registrar_begin(r, REGISTRATION_EV_IMPORT, &q, &e, err);
}

/* A newer registration of a kind ends the older ones. */
void registrar_end_replaced(struct registrar *r)
{
    static const char *const kinds[] = {"hybrid", "ec2"};
    size_t i;

    for (i = 0; i < ARRAY_LEN(kinds); i++) {
        struct entry *newest = registrar_find(r, kinds[i]), *e, *next;
        struct err err;

        for (e = newest != NULL ? newest->next : NULL; e != NULL; e = next) {
            next = e->next;
            if (is_registered(e) && str_eq(registration_at(e)->kind, kinds[i]) &&
                registrar_deliver(r, e, REGISTRATION_EV_END, 0, "replaced by another", &err) < 0) {
                log_error("registration: %s", err.text);
                return;
            }
        }
    }
}

/* As the engine does: open effects only, and the answer comes from the table. */
static void recover(struct registrar *r)
{
    struct entry *e, *next;

    for (e = r->entries; e != NULL; e = next) {
        struct fsm_effect open[REGISTRATION_N_EFFECTS];
        size_t i, n = e->inst.n_effects < ARRAY_LEN(open) ? e->inst.n_effects : ARRAY_LEN(open);

        next = e->next;
        if (n > 0)
            memcpy(open, e->inst.effects, n * sizeof(*open));
        for (i = 0; i < n; i++) {
            const struct fsm_effect_kind *kind = &registration_machine.effects[open[i].kind];
            struct err err;

            if (kind->recovery != FSM_ONCE)
                perform(r, e, open[i], true); /* a probe of the rotation asks first by itself */
            else if (registrar_deliver(r, e, (uint8_t)kind->lost, open[i].id, NULL, &err) < 0)
                log_error("registration: %s", err.text);
        }
    }
}

int registrar_new(const struct registrar_options *o, struct registrar **ret_registrar,
                  struct err *err)
{
    struct registrar *r = calloc(1, sizeof(*r));
    AUTO(close_fd) int state_fd = -1;

    if (r == NULL)
        return err_set(err, ERR_NOMEM, "registration: out of memory");
    r->loop = o->loop;
    r->journal = o->journal;
    r->config = o->config;
    r->paths = o->paths;
    r->next_effect_id = o->next_effect_id;
    r->ids_ctx = o->ctx;
    r->vault.dirfd = -1;
    (void)str_copy(r->boot_id, sizeof(r->boot_id), o->boot_id);
    if (fs_make_path(o->paths->state_dir, &state_fd, err) < 0 ||
        vault_open(state_fd, true, &r->vault, err) < 0 || load(r, err) < 0 ||
        adopt_vault(r, VAULT_HYBRID, err) < 0 || adopt_vault(r, VAULT_EC2, err) < 0) {
        registrar_close(r);
        return err_wrap(err, "registration");
    }
    recover(r);
    registrar_end_replaced(r);
    *ret_registrar = r;
    return 0;
}

void registrar_free_if_idle(struct registrar *r)
{
    if (r->n_works == 0)
        free(r);
}

void registrar_close(struct registrar *r)
{
    if (r == NULL || r->is_closing)
        return;
    r->is_closing = true;
    enrolment_stop(r);
    rotation_stop(r);
    drop_all(r);
    fsm_out_done(&r->out);
    vault_done(&r->vault);
    registrar_free_if_idle(r);
}

/* ---- what is done at once ---- */

int registrar_import(struct registrar *r, enum vault_kind kind, struct err *err)
{
    AUTO(vault_import_done) struct vault_import i = {.key = NULL};
    struct registration_request q = {.kind = kind == VAULT_EC2 ? "ec2" : "hybrid",
                                     .source = "import"};
    struct entry *e;
    int k = vault_read_reference(r->paths->root, kind, &i, err);

    if (k == 0 && kind == VAULT_HYBRID)
        k = vault_write_fingerprint(&r->vault, &i.fingerprint, err);
    if (k == 0)
        k = vault_write_key(&r->vault, i.key, i.registration.key_id, err);
    if (k < 0)
        return k;
    q.node_id = i.registration.instance_id;
    q.region = i.registration.region;
    q.key_id = i.registration.key_id;
    q.key_created_unix_ms = i.registration.key_created_unix_ms;
    k = registrar_begin(r, REGISTRATION_EV_IMPORT, &q, &e, err);
    if (k == 0)
        registrar_end_replaced(r);
    return k;
}

int registrar_clear(struct registrar *r, struct err *err)
{
    const struct fingerprint none = {.threshold = 0};
    struct entry *e;
    int k = vault_write_fingerprint(&r->vault, &none, err);

    while (k == 0 && (e = registrar_find(r, "hybrid")) != NULL)
        k = registrar_deliver(r, e, REGISTRATION_EV_END, 0, "cleared by the operator", err);
    return k;
}

int registrar_set_threshold(struct registrar *r, int64_t threshold, struct err *err)
{
    struct fingerprint f;
    int k;

    if (!fingerprint_is_threshold(threshold))
        return err_set(err, ERR_INVALID,
                       "Invalid Similarity Threshold value of %lld. Value must be between 1 and "
                       "100 or -1 (check disabled)",
                       (long long)threshold);
    k = vault_read_fingerprint(&r->vault, &f, err);
    if (k == ERR_NOT_FOUND || (k == 0 && f.uuid[0] == '\0'))
        return err_set(err, ERR_NOT_FOUND,
                       "Unable to set similarity threshold due to, save called with empty "
                       "fingerprint key: this node was not registered yet");
    if (k < 0)
        return k;
    f.threshold = (int)threshold;
    return vault_write_fingerprint(&r->vault, &f, err);
}

int64_t registrar_key_age_days(const struct registrar *r)
{
    const struct registration *g = registrar_current(r, VAULT_HYBRID);
    int64_t age;

    if (g == NULL || g->key_created_unix_ms <= 0)
        return UNKNOWN_AGE_DAYS;
    age = (clock_wall_ms() - g->key_created_unix_ms) / MS_PER_DAY;
    return age > 0 ? age : 0;
}
