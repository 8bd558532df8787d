/* The role of a hybrid node, with what the agent adds to the token. */
#define LOG_MODULE "identity"
#include "agent/hybrid.h"

#include <stdlib.h>
#include <string.h>

#include "agent/hardware.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "transport/role_token.h"

#define ROUNDS 3
#define ROUND_PAUSE_MS 5000
#define LOOK_AGAIN_MS 60000 /* a machine that is not the same may be again: a disk, a tool */
#define MAX_FILE_BYTES 32768u

struct hybrid {
    const struct config *config;
    struct registrar *registrar;
    struct credentials_provider *provider; /* borrowed: the owner frees it first */
    uv_timer_t timer;
    uv_work_t work;
    struct hardware hardware; /* by the work */
    bool is_working, is_same, is_closing, is_waited_for;
    int n_rounds;
    char problem[300];
    char share_profile[128];
};

/* ---- is it the same machine? ---- */

static void look(struct hybrid *h);

static void on_timer(uv_timer_t *timer)
{
    struct hybrid *h = container_of(timer, struct hybrid, timer);

    if (!h->is_waited_for)
        h->n_rounds = 0;
    look(h);
}

static void answer(struct hybrid *h)
{
    struct err err;

    if (!h->is_waited_for)
        return;
    h->is_waited_for = false;
    if (h->is_same)
        role_token_checked(h->provider, NULL);
    else
        role_token_checked(h->provider, (err_set(&err, ERR_STATE, "%s", h->problem), &err));
}

static void judge(struct hybrid *h)
{
    struct fingerprint f;
    struct err err;
    int r = vault_read_fingerprint(registrar_vault(h->registrar), &f, &err);

    h->n_rounds++;
    h->is_same = r == 0 && fingerprint_is_same(&f, &h->hardware);
    if (h->is_same) {
        answer(h);
        return;
    }
    if (r < 0)
        (void)str_copy(h->problem, sizeof(h->problem), err.text); /* for people */
    else
        (void)snprintf(h->problem, sizeof(h->problem),
                       "this machine is not the one that was registered: machine-id %s, %d of %d "
                       "attributes are equal, %d %% are wanted. Register it again, or see "
                       "--similarity-threshold of ssmd register",
                       str_eq(f.hardware.value[FINGERPRINT_MACHINE_ID],
                              h->hardware.value[FINGERPRINT_MACHINE_ID])
                           ? "is the same"
                           : "differs",
                       fingerprint_count_equal(&f, &h->hardware), FINGERPRINT_N, f.threshold);
    if (h->n_rounds < ROUNDS) {
        (void)uv_timer_start(&h->timer, on_timer, ROUND_PAUSE_MS, 0); /* not closing */
        return;
    }
    log_error("%s", h->problem);
    answer(h);
    (void)uv_timer_start(&h->timer, on_timer, LOOK_AGAIN_MS, 0);
}

static void work(uv_work_t *req)
{
    hardware_collect("", &container_of(req, struct hybrid, work)->hardware);
}

static void on_closed(uv_handle_t *handle)
{
    free(container_of((uv_timer_t *)(void *)handle, struct hybrid, timer));
}

static void on_worked(uv_work_t *req, int status)
{
    struct hybrid *h = container_of(req, struct hybrid, work);

    (void)status; /* it is never cancelled */
    h->is_working = false;
    if (h->is_closing)
        uv_close((uv_handle_t *)&h->timer, on_closed);
    else
        judge(h);
}

static void look(struct hybrid *h)
{
    if (h->is_working)
        return;
    h->is_working = uv_queue_work(h->timer.loop, &h->work, work, on_worked) == 0;
    if (!h->is_working)
        (void)uv_timer_start(&h->timer, on_timer, ROUND_PAUSE_MS, 0); /* not closing */
}

/* Asked by the token's provider before each request. True: go on. */
static bool check(void *ctx)
{
    struct hybrid *h = ctx;

    if (h->is_same)
        return true;
    h->is_waited_for = true;
    h->n_rounds = 0;
    look(h);
    return false;
}

/* ---- when a token came ---- */

/* Scripts find the role's credentials here, as with the reference agent in root's own file, which
 * is never touched. */
static void share(struct hybrid *h, const struct credentials *c)
{
    const struct vault *v = registrar_vault(h->registrar);
    AUTO(buf_done) struct buf b = {0};
    struct err err;
    int r;

    buf_init(&b, MAX_FILE_BYTES);
    (void)buf_printf(&b,
                     "[%s]\naws_access_key_id     = %s\naws_secret_access_key = %s\n"
                     "aws_session_token     = %s\n",
                     h->share_profile, c->access_key, secret_reveal(&c->secret_key),
                     secret_reveal(&c->session_token));
    r = buf_error(&b, "credentials file", &err);
    if (r == 0) /* not synced: it is written anew with every token */
        r = fs_write_atomic(v->dirfd, HYBRID_SHARE_FILE, b.data, b.len, 0600, false, &err);
    if (b.data != NULL)
        explicit_bzero(b.data, b.len);
    if (r < 0)
        log_warning("credentials for scripts: %s", err.text);
}

static void came(void *ctx, const struct credentials *c, bool is_rotation_wanted)
{
    struct hybrid *h = ctx;
    int64_t days = h->config->key_auto_rotate_days;

    if (h->config->share_credentials)
        share(h, c);
    if (is_rotation_wanted || (days > 0 && registrar_key_age_days(h->registrar) >= days))
        registrar_rotate(h->registrar);
}

static void key_changed(void *ctx, struct rsa_key *key)
{
    struct hybrid *h = ctx;

    role_token_set_key(h->provider, key);
    credentials_fetched_renew(h->provider);
}

/* ---- life ---- */

int hybrid_new(const struct hybrid_options *o, struct hybrid **ret_hybrid,
               struct credentials_provider **ret_provider, struct err *err)
{
    const struct registration *g = registrar_current(o->registrar, VAULT_HYBRID);
    const struct vault *v = registrar_vault(o->registrar);
    struct role_token_options ro = {
        .aws = o->aws, .instance_id = g->node_id, .check = check, .came = came};
    struct hybrid *h = calloc(1, sizeof(*h));
    struct fingerprint f;

    if (h == NULL)
        return err_set(err, ERR_NOMEM, "hybrid node: out of memory");
    h->config = o->config;
    h->registrar = o->registrar;
    ro.ctx = h;
    ro.fingerprint = f.uuid;
    (void)str_copy(h->share_profile, sizeof(h->share_profile),
                   o->config->share_profile[0] != '\0' ? o->config->share_profile : "default");
    if (vault_read_fingerprint(v, &f, err) < 0 || vault_read_key(v, g->key_id, &ro.key, err) < 0 ||
        role_token_new(o->loop, &ro, &h->provider, err) < 0) {
        free(h);
        return err_wrap(err, "registration of %s", g->node_id);
    }
    (void)uv_timer_init(o->loop, &h->timer); /* cannot fail */
    registrar_attach(o->registrar, o->aws, f.uuid, key_changed, h);
    *ret_hybrid = h;
    *ret_provider = h->provider;
    return 0;
}

void hybrid_close(struct hybrid *h)
{
    if (h == NULL)
        return;
    h->is_closing = true;
    h->is_waited_for = false;
    (void)uv_timer_stop(&h->timer);
    if (!h->is_working) /* else the work's end closes it */
        uv_close((uv_handle_t *)&h->timer, on_closed);
}
