/* Role tokens of a hybrid node. */
#include "transport/role_token.h"

#include <stdlib.h>

#include "base/str.h"
#include "transport/credentials_json.h"

struct role_token {
    struct credentials_provider *provider; /* whose fetcher this is */
    struct aws *aws;
    char instance_id[128];
    char fingerprint[128];
    struct rsa_key *key;  /* owned */
    struct rsa_key *next; /* owned; set while a call uses `key` */
    struct aws_key signer;
    struct aws_call *call;
    bool is_waiting; /* for the answer to a check */
    bool (*check)(void *ctx);
    void (*came)(void *ctx, const struct credentials *credentials, bool is_rotation_wanted);
    void *ctx;
};

static void use_next(struct role_token *t)
{
    if (t->next == NULL)
        return;
    rsa_key_free(t->key);
    t->key = TAKE(t->next);
    t->signer.rsa = t->key;
}

static void on_answer(void *ctx, const struct aws_result *result)
{
    struct role_token *t = ctx;
    AUTO(credentials_done) struct credentials c = {0};
    bool is_rotation_wanted = false;
    struct err err = {0};
    int64_t life;
    int r;

    t->call = NULL;
    if (result->err != NULL) {
        err = *result->err;
        r = err.code;
    } else {
        r = credentials_parse_role_token(result->body, result->len, &c, &is_rotation_wanted, &err);
    }
    use_next(t);
    if (r < 0) {
        credentials_fetched(t->provider, NULL, 0, &err);
        return;
    }
    life = credentials_life_ms(c.expires_unix_ms, aws_now_ms(t->aws));
    if (t->came != NULL)
        t->came(t->ctx, &c, is_rotation_wanted);
    credentials_fetched(t->provider, &c, life, NULL);
}

static void ask(struct role_token *t)
{
    struct err err;

    if (ssm_request_role_token(t->aws, t->fingerprint, &t->signer, NULL, on_answer, t, &t->call,
                               &err) < 0)
        credentials_fetched(t->provider, NULL, 0, &err);
}

static void fetch(void *ctx, struct credentials_provider *p)
{
    struct role_token *t = ctx;

    t->provider = p;
    t->is_waiting = t->check != NULL && !t->check(t->ctx);
    if (!t->is_waiting)
        ask(t);
}

void role_token_checked(struct credentials_provider *p, const struct err *err)
{
    struct role_token *t = credentials_fetcher_of(p);

    if (!t->is_waiting)
        return;
    t->is_waiting = false;
    if (err != NULL)
        credentials_fetched(p, NULL, 0, err);
    else
        ask(t);
}

static void cancel(void *ctx)
{
    struct role_token *t = ctx;

    aws_cancel(t->call);
    t->call = NULL;
    t->is_waiting = false;
}

static void role_token_free(void *ctx)
{
    struct role_token *t = ctx;

    rsa_key_free(t->key);
    rsa_key_free(t->next);
    free(t);
}

int role_token_new(uv_loop_t *loop, const struct role_token_options *o,
                   struct credentials_provider **ret_provider, struct err *err)
{
    struct role_token *t = calloc(1, sizeof(*t));
    struct credentials_fetched_options fo = {.fetcher = {.name = "hybrid role token",
                                                         .fetch = fetch,
                                                         .cancel = cancel,
                                                         .free = role_token_free,
                                                         .ctx = t}};
    int r;

    if (t == NULL) {
        rsa_key_free(o->key);
        return err_set(err, ERR_NOMEM, "role token: out of memory");
    }
    t->aws = o->aws;
    t->key = o->key;
    t->check = o->check;
    t->came = o->came;
    t->ctx = o->ctx;
    t->signer = (struct aws_key){.rsa = t->key, .instance_id = t->instance_id};
    if (!str_copy(t->instance_id, sizeof(t->instance_id), o->instance_id) ||
        !str_copy(t->fingerprint, sizeof(t->fingerprint), o->fingerprint)) {
        role_token_free(t);
        return err_set(err, ERR_INVALID, "role token: instance id or fingerprint is too long");
    }
    r = credentials_fetched_new(loop, &fo, &t->provider, err);
    if (r == 0)
        *ret_provider = t->provider;
    return r;
}

void role_token_set_key(struct credentials_provider *p, struct rsa_key *key)
{
    struct role_token *t = credentials_fetcher_of(p);

    rsa_key_free(t->next);
    t->next = key;
    if (t->call == NULL)
        use_next(t);
}
