/* A key on its way (spec 01, section 6.3). Both keys are in the vault until the service was seen to
 * accept one of them: it is asked for a role token with the new key, then with the old one, until
 * either is taken. So it does not matter what became of the call that changed it. */
#define LOG_MODULE "register"
#include "agent/registrar_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/ids.h"
#include "base/log.h"
#include "base/str.h"

#define RETRY_FIRST_MS 2000
#define RETRY_CAP_MS 40000

struct rotation {
    struct registrar *registrar;
    struct aws *aws; /* borrowed */
    char fingerprint[128];
    void (*key_changed)(void *ctx, struct rsa_key *key);
    void *ctx;
    uv_timer_t timer; /* its close frees the struct */
    uv_work_t work;
    struct rsa_key *made; /* owned; by the work */
    int work_result;
    struct err work_err;
    bool is_working, is_stopped;
    /* the keys of the rotation under way; owned */
    char job_id[FSM_ID_SIZE];
    struct rsa_key *old_key, *new_key;
    struct aws_key signer;
    char node_id[128];
    struct aws_call *call;
    bool is_new_asked; /* the token that is asked for is signed by the new key */
    struct err refusal;
    struct backoff backoff;
};

static void drop_keys(struct rotation *o)
{
    aws_cancel(o->call);
    o->call = NULL;
    rsa_key_free(o->old_key);
    rsa_key_free(o->new_key);
    o->old_key = o->new_key = NULL;
    o->job_id[0] = '\0';
}

static void prove(struct rotation *o, bool is_new);

static void on_timer(uv_timer_t *timer)
{
    prove(container_of(timer, struct rotation, timer), true);
}

static void settle(struct rotation *o)
{
    struct registrar *r = o->registrar;
    struct entry *e = registrar_find_id(r, o->job_id);
    const struct fsm_effect *fx =
        e != NULL ? fsm_find_effect_kind(&e->inst, REGISTRATION_FX_ROTATE) : NULL;
    struct rsa_key *key = o->is_new_asked ? TAKE(o->new_key) : NULL;
    bool is_new = o->is_new_asked;
    struct err refusal = o->refusal, err;
    int k = ERR_STATE;

    drop_keys(o);
    backoff_clear(&o->backoff);
    if (fx != NULL)
        k = registrar_deliver(r, e,
                              is_new ? REGISTRATION_EV_KEY_TAKEN : REGISTRATION_EV_KEY_REFUSED,
                              fx->id, is_new ? NULL : refusal.text, &err);
    if (k < 0 && fx != NULL)
        log_error("key rotation: %s; taken up at the next start", err.text);
    if (!is_new)
        log_warning("key rotation: the service keeps the old key: %s", refusal.text);
    if (key != NULL) /* the service takes this one alone, journaled or not */
        o->key_changed(o->ctx, key);
}

static void on_proved(void *ctx, const struct aws_result *result)
{
    struct rotation *o = ctx;

    o->call = NULL;
    if (result->err == NULL) {
        settle(o);
        return;
    }
    if (o->is_new_asked) {
        if (o->refusal.code == 0)
            o->refusal = *result->err;
        prove(o, false);
        return;
    }
    (void)uv_timer_start(&o->timer, on_timer,
                         (uint64_t)backoff_fail_ms(&o->backoff, ids_random32()), 0);
}

/* Is this key the one that the service knows? */
static void prove(struct rotation *o, bool is_new)
{
    struct err err;

    o->is_new_asked = is_new;
    o->signer =
        (struct aws_key){.rsa = is_new ? o->new_key : o->old_key, .instance_id = o->node_id};
    if (ssm_request_role_token(o->aws, o->fingerprint, &o->signer, NULL, on_proved, o, &o->call,
                               &err) < 0) {
        log_warning("key rotation: %s", err.text);
        (void)uv_timer_start(&o->timer, on_timer, RETRY_FIRST_MS, 0); /* not closing */
    }
}

static void on_updated(void *ctx, const struct aws_result *result)
{
    struct rotation *o = ctx;

    o->call = NULL;
    if (result->err != NULL)
        o->refusal = *result->err;
    prove(o, true);
}

static int load_keys(struct rotation *o, const struct entry *e, struct err *err)
{
    const struct registration *g = registration_of(&e->inst);
    const struct vault *v = &o->registrar->vault;
    int k = vault_read_key(v, g->key_id, &o->old_key, err);

    if (k == 0)
        k = vault_read_key(v, g->next_key_id, &o->new_key, err);
    (void)str_copy(o->job_id, sizeof(o->job_id), e->inst.id); /* as large */
    (void)str_copy(o->node_id, sizeof(o->node_id), g->node_id);
    return k;
}

void rotation_perform(struct registrar *r, struct entry *e, bool is_restart)
{
    struct rotation *o = r->rotation;
    char public_key[RSA_KEY_PUBLIC_TEXT_SIZE];
    struct err err;
    int k;

    if (o == NULL)
        return; /* taken up by registrar_attach() */
    o->refusal = (struct err){.code = 0};
    drop_keys(o);
    k = load_keys(o, e, &err);
    if (k < 0) {
        log_error("key rotation: %s", err.text);
        return;
    }
    if (is_restart) {
        (void)err_set(&o->refusal, ERR_STATE, "interrupted before the service took the new key");
        prove(o, true);
        return;
    }
    k = rsa_key_public_text(o->new_key, public_key, &err);
    o->signer = (struct aws_key){.rsa = o->old_key, .instance_id = o->node_id};
    if (k == 0)
        k = ssm_update_public_key(o->aws, public_key, &o->signer, on_updated, o, &o->call, &err);
    if (k < 0) {
        o->refusal = err;
        prove(o, true);
    }
}

/* ---- the new key ---- */

static void work(uv_work_t *req)
{
    struct rotation *o = container_of(req, struct rotation, work);

    o->work_result = rsa_key_generate(&o->made, &o->work_err);
}

static void on_closed(uv_handle_t *handle)
{
    free(container_of((uv_timer_t *)(void *)handle, struct rotation, timer));
}

static void close_rotation(struct rotation *o)
{
    rsa_key_free(o->made);
    drop_keys(o);
    uv_close((uv_handle_t *)&o->timer, on_closed);
}

static void on_worked(uv_work_t *req, int status)
{
    struct rotation *o = container_of(req, struct rotation, work);
    struct registrar *r = o->registrar;
    struct registration_request q = {.key_created_unix_ms = clock_wall_ms()};
    char key_id[RSA_KEY_ID_SIZE];
    struct entry *e;
    struct err err = o->work_err;
    int k = o->work_result;

    (void)status; /* it is never cancelled */
    r->n_works--;
    o->is_working = false;
    if (o->is_stopped) {
        close_rotation(o);
        registrar_free_if_idle(r);
        return;
    }
    e = registrar_find(r, "hybrid");
    if (e == NULL || e->inst.state != REGISTRATION_REGISTERED)
        k = ERR_STATE; /* it ended meanwhile: the key is of no use */
    else if (k == 0)
        k = vault_write_key(&r->vault, o->made, key_id, &err);
    rsa_key_free(TAKE(o->made));
    q.key_id = key_id;
    if (k == 0)
        k = registrar_deliver(r, e, REGISTRATION_EV_ROTATE, 0, &q, &err);
    if (k < 0 && k != ERR_STATE)
        log_warning("key rotation: %s", err.text); /* the next role token asks again */
}

void registrar_rotate(struct registrar *r)
{
    struct rotation *o = r->rotation;
    const struct entry *e = registrar_find(r, "hybrid");

    if (o == NULL || e == NULL || e->inst.state != REGISTRATION_REGISTERED || o->is_working)
        return;
    if (uv_queue_work(r->loop, &o->work, work, on_worked) < 0)
        return; /* the next role token asks again */
    o->is_working = true;
    r->n_works++;
}

void registrar_attach(struct registrar *r, struct aws *aws, const char *fingerprint,
                      void (*key_changed)(void *ctx, struct rsa_key *key), void *ctx)
{
    struct rotation *o = calloc(1, sizeof(*o));
    struct entry *e;

    if (o == NULL || r->rotation != NULL) { /* without it, only the key stays as it is */
        free(o);
        return;
    }
    o->registrar = r;
    o->aws = aws;
    o->key_changed = key_changed;
    o->ctx = ctx;
    o->backoff = (struct backoff){.first_ms = RETRY_FIRST_MS, .cap_ms = RETRY_CAP_MS};
    (void)str_copy(o->fingerprint, sizeof(o->fingerprint), fingerprint); /* a UUID: fits */
    (void)uv_timer_init(r->loop, &o->timer);                             /* cannot fail */
    r->rotation = o;
    e = registrar_find(r, "hybrid");
    if (e != NULL && e->inst.state == REGISTRATION_ROTATING)
        rotation_perform(r, e, true);
}

void rotation_stop(struct registrar *r)
{
    struct rotation *o = r->rotation;

    if (o == NULL)
        return;
    r->rotation = NULL;
    o->is_stopped = true;
    drop_keys(o);
    if (!o->is_working)
        close_rotation(o);
}
