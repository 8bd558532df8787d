/* What all providers share, the environment, and the chain of sources. */
#include "transport/credentials.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define MAX_SOURCES 8

void credentials_done(struct credentials *c)
{
    secret_done(&c->secret_key);
    secret_done(&c->session_token);
    c->access_key[0] = '\0';
}

int credentials_get(struct credentials_provider *p, const struct credentials **ret_credentials,
                    struct err *err)
{
    return p->ops->get(p, ret_credentials, err);
}

bool credentials_reject(struct credentials_provider *p, const char *refused_access_key)
{
    const struct credentials *now;
    int r;

    p->ops->reject(p);
    r = credentials_get(p, &now, NULL);
    return r == ERR_BUSY || (r == 0 && !str_eq(now->access_key, refused_access_key));
}

void credentials_wait(struct credentials_provider *p, struct credentials_waiter *w)
{
    w->provider = p;
    w->next = p->waiters;
    p->waiters = w;
}

static bool unhook(struct credentials_waiter **list, struct credentials_waiter *w)
{
    for (; *list != NULL; list = &(*list)->next) {
        if (*list == w) {
            *list = w->next;
            return true;
        }
    }
    return false;
}

void credentials_unwait(struct credentials_waiter *w)
{
    if (w->provider == NULL)
        return;
    if (!unhook(&w->provider->waiters, w))
        (void)unhook(&w->provider->waking, w); /* it is in one of the two */
    w->provider = NULL;
}

void credentials_wake_all(struct credentials_provider *p)
{
    struct credentials_waiter *w;

    assert(p->waking == NULL); /* no provider ends a refresh inside the news of another */
    p->waking = p->waiters;    /* who waits again during the round is not woken in it */
    p->waiters = NULL;
    while ((w = p->waking) != NULL) {
        p->waking = w->next;
        w->provider = NULL;
        w->wake(w->ctx);
    }
}

void credentials_describe(const struct credentials_provider *p, struct buf *b)
{
    p->ops->describe(p, b);
}

void credentials_describe_on_one_line(const struct credentials_provider *p, struct buf *b)
{
    AUTO(buf_done) struct buf lines = {0};
    const char *line;
    bool is_first = true;

    buf_init(&lines, 4096);
    credentials_describe(p, &lines);
    for (line = buf_str(&lines); *line != '\0'; line += strspn(line, "\n")) {
        size_t n = strcspn(line, "\n");

        (void)buf_printf(b, "%s%.*s", is_first ? "" : "; ", (int)n, line);
        is_first = false;
        line += n;
    }
}

void credentials_provider_free(struct credentials_provider *p)
{
    if (p != NULL)
        p->ops->free(p);
}

/* --- the environment --- */

struct env_provider {
    struct credentials_provider base;
    struct env_source env;
    struct credentials found;
    char problem[160]; /* "" when there was none */
};

static int env_credentials(struct credentials_provider *base, const struct credentials **ret,
                           struct err *err)
{
    struct env_provider *p = container_of(base, struct env_provider, base);
    const char *key = env_get_nonempty(&p->env, "AWS_ACCESS_KEY_ID");
    const char *secret = env_get_nonempty(&p->env, "AWS_SECRET_ACCESS_KEY");
    const char *token = env_get_nonempty(&p->env, "AWS_SESSION_TOKEN");
    int r;

    if (key == NULL)
        key = env_get_nonempty(&p->env, "AWS_ACCESS_KEY");
    if (secret == NULL)
        secret = env_get_nonempty(&p->env, "AWS_SECRET_KEY");
    credentials_done(&p->found);
    if (key == NULL || secret == NULL) {
        (void)snprintf(p->problem, sizeof(p->problem), "%s is not set",
                       key == NULL ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY");
    } else if (!str_copy(p->found.access_key, sizeof(p->found.access_key), key)) {
        (void)snprintf(p->problem, sizeof(p->problem), "AWS_ACCESS_KEY_ID is longer than %d bytes",
                       CREDENTIALS_ACCESS_KEY_SIZE - 1);
    } else {
        p->problem[0] = '\0';
        r = secret_set(&p->found.secret_key, secret, err);
        if (r == 0 && token != NULL)
            r = secret_set(&p->found.session_token, token, err);
        if (r < 0)
            return r;
        *ret = &p->found;
        return 0;
    }
    credentials_done(&p->found);
    return err_set(err, ERR_AUTH, "environment: %s", p->problem);
}

static void env_reject(struct credentials_provider *base)
{
    (void)base; /* it is read with every use */
}

static void env_describe(const struct credentials_provider *base, struct buf *b)
{
    const struct env_provider *p = container_of(base, const struct env_provider, base);

    if (p->problem[0] != '\0')
        (void)buf_printf(b, "environment: %s\n", p->problem);
    else
        (void)buf_printf(b, "environment: in use, access key %s\n", p->found.access_key);
}

static void env_free(struct credentials_provider *base)
{
    struct env_provider *p = container_of(base, struct env_provider, base);

    credentials_done(&p->found);
    free(p);
}

int credentials_env_new(const struct env_source *env, struct credentials_provider **ret_provider,
                        struct err *err)
{
    static const struct credentials_ops ops = {env_credentials, env_reject, env_describe, env_free};
    struct env_provider *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return err_set(err, ERR_NOMEM, "credentials: out of memory");
    p->base.ops = &ops;
    if (env != NULL)
        p->env = *env;
    (void)str_copy(p->problem, sizeof(p->problem), "not looked at yet");
    *ret_provider = &p->base;
    return 0;
}

/* --- the chain --- */

struct chain {
    struct credentials_provider base;
    struct credentials_provider *sources[MAX_SOURCES]; /* owned */
    struct credentials_waiter waiters[MAX_SOURCES];
    size_t n;
    size_t n_tried; /* at the last use; the last of them answered, if one did */
};

static int chain_credentials(struct credentials_provider *base, const struct credentials **ret,
                             struct err *err)
{
    struct chain *c = container_of(base, struct chain, base);
    AUTO(buf_done) struct buf tried = {0};
    size_t i;

    buf_init(&tried, 4096);
    for (i = 0; i < c->n; i++) {
        struct err why = {0};
        int r = credentials_get(c->sources[i], ret, &why);

        c->n_tried = i + 1;
        if (r == 0)
            return 0;
        if (r == ERR_BUSY || r == ERR_NOMEM) {
            if (r == ERR_BUSY && c->waiters[i].provider == NULL)
                credentials_wait(c->sources[i], &c->waiters[i]);
            return err_set(err, r, "%s", why.text);
        }
        (void)buf_printf(&tried, "%s%s", i > 0 ? "; " : "", why.text); /* a text that may be cut */
    }
    return err_set(err, ERR_AUTH, "no AWS credentials: %s", buf_str(&tried));
}

static void chain_reject(struct credentials_provider *base)
{
    struct chain *c = container_of(base, struct chain, base);
    size_t i;

    for (i = 0; i < c->n; i++)
        c->sources[i]->ops->reject(c->sources[i]);
}

static void chain_describe(const struct credentials_provider *base, struct buf *b)
{
    const struct chain *c = container_of(base, const struct chain, base);
    size_t i;

    for (i = 0; i < c->n && i < c->n_tried; i++)
        credentials_describe(c->sources[i], b);
    if (c->n_tried == 0)
        (void)buf_add_str(b, "no credentials were needed yet\n");
}

static void chain_free(struct credentials_provider *base)
{
    struct chain *c = container_of(base, struct chain, base);
    size_t i;

    for (i = 0; i < c->n; i++) {
        credentials_unwait(&c->waiters[i]);
        credentials_provider_free(c->sources[i]);
    }
    free(c);
}

static void wake_chain(void *ctx)
{
    struct chain *c = ctx;

    credentials_wake_all(&c->base);
}

int credentials_chain_new(struct credentials_provider **sources, size_t n,
                          struct credentials_provider **ret_provider, struct err *err)
{
    static const struct credentials_ops ops = {chain_credentials, chain_reject, chain_describe,
                                               chain_free};
    struct chain *c = n <= MAX_SOURCES ? calloc(1, sizeof(*c)) : NULL;
    size_t i;

    if (c == NULL) {
        for (i = 0; i < n; i++)
            credentials_provider_free(sources[i]);
        return n <= MAX_SOURCES
                   ? err_set(err, ERR_NOMEM, "credentials: out of memory")
                   : err_set(err, ERR_LIMIT, "credentials: more than %d sources", MAX_SOURCES);
    }
    c->base.ops = &ops;
    c->n = n;
    for (i = 0; i < n; i++) {
        c->sources[i] = sources[i];
        c->waiters[i] = (struct credentials_waiter){.wake = wake_chain, .ctx = c};
    }
    *ret_provider = &c->base;
    return 0;
}

int credentials_default_new(const struct env_source *env,
                            struct credentials_provider **ret_provider, struct err *err)
{
    struct credentials_provider *sources[2];
    int r = credentials_env_new(env, &sources[0], err);

    if (r < 0)
        return r;
    r = credentials_file_new(env, NULL, NULL, &sources[1], err);
    if (r < 0) {
        credentials_provider_free(sources[0]);
        return r;
    }
    return credentials_chain_new(sources, ARRAY_LEN(sources), ret_provider, err);
}
