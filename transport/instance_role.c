/* Credentials of an EC2 instance. */
#include "transport/instance_role.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "transport/credentials_json.h"

#define PROFILE_PATH "/latest/meta-data/iam/security-credentials/"
#define IDENTITY_PATH "/latest/meta-data/identity-credentials/ec2/security-credentials/ec2-instance"
#define AGAIN_AFTER_MS (INT64_C(30) * 60 * 1000) /* the profile may be changed at any time */
#define EARLY_MS (INT64_C(5) * 60 * 1000)

/* ---- one document, or the list and then the document ---- */

struct reading {
    struct imds *imds;
    struct imds_call *call;
    bool has_role; /* the path is that of the document */
    char path[300];
    /* What it ended with: credentials (taken over), or why not. `code` is that of spec 01, section
     * 2.2. */
    void (*done)(void *ctx, struct credentials *c, int64_t life_ms, const char *code,
                 const struct err *err);
    void *ctx;
};

static void read_next(struct reading *r);

static void on_read(void *ctx, const struct imds_answer *answer)
{
    struct reading *r = ctx;
    AUTO(credentials_done) struct credentials c = {0};
    char code[CREDENTIALS_CODE_SIZE] = "", role[128];
    struct err err = {0};
    int k = 0;

    r->call = NULL;
    if (answer->err != NULL) {
        err = *answer->err;
        r->done(r->ctx, NULL, 0, "EC2RoleRequestError", &err);
        return;
    }
    if (!r->has_role) {
        k = imds_parse_line(answer->body, answer->len, role, sizeof(role), &err);
        if (k < 0) {
            (void)err_wrap(&err, "list of instance profile roles");
            r->done(r->ctx, NULL, 0, "EmptyEC2RoleList", &err);
            return;
        }
        (void)snprintf(r->path, sizeof(r->path), PROFILE_PATH "%s", role); /* fits */
        r->has_role = true;
        read_next(r);
        return;
    }
    k = credentials_parse_document(answer->body, answer->len, &c, code, &err);
    if (k < 0) {
        (void)err_wrap(&err, "instance metadata %s", r->path);
        r->done(r->ctx, NULL, 0, code, &err);
        return;
    }
    r->done(r->ctx, &c,
            c.expires_unix_ms > 0 ? credentials_life_ms(c.expires_unix_ms, answer->date_ms)
                                  : AGAIN_AFTER_MS,
            "", NULL);
}

static void read_next(struct reading *r)
{
    struct err err;

    if (imds_get(r->imds, r->path, on_read, r, &r->call, &err) < 0)
        r->done(r->ctx, NULL, 0, "", &err);
}

static void read_profile(struct reading *r)
{
    r->has_role = false;
    (void)str_copy(r->path, sizeof(r->path), PROFILE_PATH); /* fits */
    read_next(r);
}

static void read_identity(struct reading *r)
{
    r->has_role = true;
    (void)str_copy(r->path, sizeof(r->path), IDENTITY_PATH); /* fits */
    read_next(r);
}

static void stop_reading(struct reading *r)
{
    imds_cancel(r->call);
    r->call = NULL;
}

/* ---- what is only read ---- */

struct plain {
    struct reading reading;
    struct credentials_provider *provider;
    bool is_identity;
};

static void plain_done(void *ctx, struct credentials *c, int64_t life_ms, const char *code,
                       const struct err *err)
{
    struct plain *p = ctx;

    (void)code; /* the text says it */
    credentials_fetched(p->provider, c, life_ms, err);
}

static void plain_fetch(void *ctx, struct credentials_provider *provider)
{
    struct plain *p = ctx;

    p->provider = provider;
    if (p->is_identity)
        read_identity(&p->reading);
    else
        read_profile(&p->reading);
}

static void plain_cancel(void *ctx)
{
    struct plain *p = ctx;

    stop_reading(&p->reading);
}

static int plain_new(uv_loop_t *loop, struct imds *imds, const char *name, bool is_identity,
                     struct credentials_provider **ret_provider, struct err *err)
{
    struct plain *p = calloc(1, sizeof(*p));
    const struct credentials_fetched_options fo = {.fetcher = {.name = name,
                                                               .fetch = plain_fetch,
                                                               .cancel = plain_cancel,
                                                               .free = free,
                                                               .ctx = p},
                                                   .early_ms = is_identity ? 0 : EARLY_MS,
                                                   .max_life_ms = AGAIN_AFTER_MS};

    if (p == NULL)
        return err_set(err, ERR_NOMEM, "%s: out of memory", name);
    p->reading = (struct reading){.imds = imds, .done = plain_done, .ctx = p};
    p->is_identity = is_identity;
    return credentials_fetched_new(loop, &fo, ret_provider, err);
}

int instance_identity_new(uv_loop_t *loop, struct imds *imds,
                          struct credentials_provider **ret_provider, struct err *err)
{
    return plain_new(loop, imds, "instance identity role", true, ret_provider, err);
}

int instance_profile_new(uv_loop_t *loop, struct imds *imds,
                         struct credentials_provider **ret_provider, struct err *err)
{
    return plain_new(loop, imds, "instance profile", false, ret_provider, err);
}

/* ---- fixed ones ---- */

struct fixed {
    struct credentials_provider base;
    struct credentials credentials;
};

static int fixed_get(struct credentials_provider *base, const struct credentials **ret,
                     struct err *err)
{
    (void)err; /* it always has them */
    *ret = &container_of(base, struct fixed, base)->credentials;
    return 0;
}

static void fixed_reject(struct credentials_provider *base)
{
    (void)base; /* there are no others */
}

static void fixed_describe(const struct credentials_provider *base, struct buf *b)
{
    (void)buf_printf(b, "access key %s\n", /* a text that may be cut */
                     container_of(base, const struct fixed, base)->credentials.access_key);
}

static void fixed_free(struct credentials_provider *base)
{
    struct fixed *f = container_of(base, struct fixed, base);

    credentials_done(&f->credentials);
    free(f);
}

int credentials_fixed_new(struct credentials *credentials,
                          struct credentials_provider **ret_provider, struct err *err)
{
    static const struct credentials_ops ops = {fixed_get, fixed_reject, fixed_describe, fixed_free};
    struct fixed *f = calloc(1, sizeof(*f));

    if (f == NULL) {
        credentials_done(credentials);
        return err_set(err, ERR_NOMEM, "credentials: out of memory");
    }
    f->base.ops = &ops;
    f->credentials = TAKE_STRUCT(*credentials);
    *ret_provider = &f->base;
    return 0;
}

/* ---- profile, proof, Default Host Management ---- */

struct instance_role {
    struct reading reading;
    struct credentials_provider *provider;
    struct aws *aws;
    struct credentials_provider *identity;
    char instance_id[128], agent_version[32];
    const struct rsa_key *(*key)(void *ctx);
    void *ctx;
    struct aws_key signer;
    struct aws_call *call;
    struct credentials_provider *candidate; /* owned; what is being proven */
    int64_t candidate_life_ms;
    struct err profile_err; /* why the profile did not do */
    const char *source;
};

static void end(struct instance_role *r, struct credentials *c, int64_t life_ms, const char *source,
                const struct err *err)
{
    credentials_provider_free(r->candidate);
    r->candidate = NULL;
    r->source = source;
    credentials_fetched(r->provider, c, life_ms, err);
}

static void on_managed(void *ctx, const struct aws_result *result)
{
    struct instance_role *r = ctx;
    AUTO(credentials_done) struct credentials c = {0};
    bool is_rotation_wanted; /* these keys are never rotated (section 6.3) */
    struct err err = {0}, both;
    int k = 0;

    r->call = NULL;
    if (result->err != NULL) {
        err = *result->err;
        k = err.code;
    } else {
        k = credentials_parse_role_token(result->body, result->len, &c, &is_rotation_wanted, &err);
    }
    if (k < 0) {
        (void)err_set(&both, ERR_AUTH, "profile: %.200s; default host management: %.200s",
                      r->profile_err.text, err.text);
        end(r, NULL, 0, "", &both);
        return;
    }
    end(r, &c, credentials_life_ms(c.expires_unix_ms, aws_now_ms(r->aws)), "SSM", NULL);
}

static void ask_management(struct instance_role *r)
{
    const struct rsa_key *key = r->key(r->ctx);
    struct err err;

    if (key == NULL) {
        (void)err_set(&err, ERR_AUTH,
                      "profile: %.200s; default host management: this instance is not registered "
                      "yet",
                      r->profile_err.text);
        end(r, NULL, 0, "", &err);
        return;
    }
    r->signer = (struct aws_key){.rsa = key, .instance_id = r->instance_id};
    if (ssm_request_role_token(r->aws, r->instance_id, &r->signer, r->identity, on_managed, r,
                               &r->call, &err) < 0)
        end(r, NULL, 0, "", &err);
}

static void on_proven(void *ctx, const struct aws_result *result)
{
    struct instance_role *r = ctx;
    const struct credentials *proven = NULL;
    struct credentials c = {0};
    struct err err = {0};
    int k;

    r->call = NULL;
    if (result->err != NULL) {
        r->profile_err = *result->err;
        if (str_eq(result->error_code, "AccessDeniedException"))
            ask_management(r);
        else
            end(r, NULL, 0, "", result->err);
        return;
    }
    k = credentials_get(r->candidate, &proven, &err); /* fixed: it has them */
    if (k == 0) {
        memcpy(c.access_key, proven->access_key, sizeof(c.access_key));
        c.expires_unix_ms = proven->expires_unix_ms;
        k = secret_set(&c.secret_key, secret_reveal(&proven->secret_key), &err);
    }
    if (k == 0 && secret_is_set(&proven->session_token))
        k = secret_set(&c.session_token, secret_reveal(&proven->session_token), &err);
    end(r, k == 0 ? &c : NULL, r->candidate_life_ms, k == 0 ? "EC2" : "", k == 0 ? NULL : &err);
    credentials_done(&c);
}

static void prove(struct instance_role *r)
{
    struct err err;

    if (ssm_prove(r->aws, r->instance_id, r->agent_version, r->candidate, on_proven, r, &r->call,
                  &err) < 0)
        end(r, NULL, 0, "", &err);
}

static void on_profile(void *ctx, struct credentials *c, int64_t life_ms, const char *code,
                       const struct err *err)
{
    struct instance_role *r = ctx;
    struct err local;

    if (c == NULL) {
        r->profile_err = *err;
        if (str_eq(code, "EC2RoleRequestError") || str_eq(code, "AssumeRoleUnauthorizedAccess"))
            ask_management(r);
        else
            end(r, NULL, 0, "", err);
        return;
    }
    r->candidate_life_ms = life_ms;
    if (credentials_fixed_new(c, &r->candidate, &local) < 0)
        end(r, NULL, 0, "", &local);
    else
        prove(r);
}

static void role_fetch(void *ctx, struct credentials_provider *p)
{
    struct instance_role *r = ctx;

    r->provider = p;
    read_profile(&r->reading);
}

static void role_cancel(void *ctx)
{
    struct instance_role *r = ctx;

    stop_reading(&r->reading);
    aws_cancel(r->call);
    r->call = NULL;
    credentials_provider_free(r->candidate);
    r->candidate = NULL;
}

int instance_role_new(uv_loop_t *loop, const struct instance_role_options *o,
                      struct credentials_provider **ret_provider, struct err *err)
{
    struct instance_role *r = calloc(1, sizeof(*r));
    const struct credentials_fetched_options fo = {.fetcher = {.name = "role of the instance",
                                                               .fetch = role_fetch,
                                                               .cancel = role_cancel,
                                                               .free = free,
                                                               .ctx = r},
                                                   .early_ms = EARLY_MS,
                                                   .max_life_ms = AGAIN_AFTER_MS};

    if (r == NULL)
        return err_set(err, ERR_NOMEM, "role of the instance: out of memory");
    r->reading = (struct reading){.imds = o->imds, .done = on_profile, .ctx = r};
    r->aws = o->aws;
    r->identity = o->identity;
    r->key = o->key;
    r->ctx = o->ctx;
    r->source = "";
    if (!str_copy(r->instance_id, sizeof(r->instance_id), o->instance_id) ||
        !str_copy(r->agent_version, sizeof(r->agent_version), o->agent_version)) {
        free(r);
        return err_set(err, ERR_INVALID, "role of the instance: the instance id is too long");
    }
    return credentials_fetched_new(loop, &fo, ret_provider, err);
}

const char *instance_role_source(struct credentials_provider *p)
{
    const struct instance_role *r = credentials_fetcher_of(p);

    return r->source;
}
