/* A registration on its way: key and fingerprint are made on the thread pool, then its intention is
 * committed, then the service is asked, once. */
#define LOG_MODULE "register"
#include "agent/registrar_internal.h"

#include <stdlib.h>
#include <string.h>

#include "agent/hardware.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/str.h"

struct enrolment {
    struct registrar *registrar;
    registrar_done_fn done;
    void *ctx;
    uv_work_t work;
    bool is_working;
    bool is_stopped; /* nobody waits any more; freed when the work is over */
    /* made by the work */
    struct rsa_key *key; /* owned */
    struct hardware hardware;
    struct err work_err;
    int work_result;
    /* what to register with */
    char activation_id[40], region[101], instance_id[128], iam_role[65];
    struct secret code;
    bool is_check_off;
    struct credentials_provider *credentials; /* borrowed */
    struct aws *aws;                          /* borrowed, or own_aws */
    struct http *own_http;
    struct aws *own_aws;
    char fingerprint[128];
    char job_id[FSM_ID_SIZE];
    struct aws_call *call;
};

static void enrolment_free(struct enrolment *n)
{
    aws_cancel(n->call);
    aws_close(n->own_aws);
    http_close(n->own_http);
    rsa_key_free(n->key);
    secret_done(&n->code);
    free(n);
}

static void finish(struct enrolment *n, const char *node_id, const struct err *err)
{
    registrar_done_fn done = n->done;
    void *ctx = n->ctx;

    n->registrar->enrolment = NULL;
    enrolment_free(n);
    done(ctx, node_id, err);
}

/* ---- the call ---- */

static void on_answer(void *ctx, const struct aws_result *result)
{
    struct enrolment *n = ctx;
    struct registrar *r = n->registrar;
    struct entry *e = registrar_find_id(r, n->job_id);
    bool is_known_already =
        n->instance_id[0] != '\0' && str_eq(result->error_code, "InstanceAlreadyRegistered");
    char node_id[128] = "";
    struct err err = {0}, journal_err;
    int k = 0;

    n->call = NULL;
    if (n->instance_id[0] != '\0') /* EC2: the answer's id is its own (spec 01, section 4.3) */
        (void)str_copy(node_id, sizeof(node_id), n->instance_id); /* as large */
    if (result->err != NULL && !is_known_already) {
        err = *result->err;
        k = err.code;
    } else if (is_known_already) {
        k = err_set(&err, ERR_EXISTS,
                    "the service has registered this instance with another key before");
    } else if (node_id[0] == '\0') {
        k = ssm_parse_instance_id(result->body, result->len, node_id, sizeof(node_id), &err);
    }
    if (e == NULL) { /* memory was dropped meanwhile; the journal knows no more than we do */
        (void)err_set(&err, ERR_STATE, "registration %s: lost from memory", n->job_id);
    } else if (k < 0) {
        if (registrar_deliver(r, e, REGISTRATION_EV_FAILED, 0, err.text, &journal_err) < 0)
            log_error("registration: %s", journal_err.text);
    } else {
        k = registrar_deliver(r, e, REGISTRATION_EV_TAKEN,
                              fsm_find_effect_kind(&e->inst, REGISTRATION_FX_REGISTER)->id, node_id,
                              &err);
        if (k < 0)
            (void)err_wrap(&err, "the service registered this node as %s, but", node_id);
        else
            registrar_end_replaced(r);
    }
    finish(n, node_id, err.code != 0 ? &err : NULL);
}

void enrolment_perform(struct registrar *r, struct entry *e)
{
    struct enrolment *n = r->enrolment;
    char public_key[RSA_KEY_PUBLIC_TEXT_SIZE];
    const struct ssm_registration g = {.activation_id =
                                           n->activation_id[0] != '\0' ? n->activation_id : NULL,
                                       .activation_code = &n->code,
                                       .fingerprint = n->fingerprint,
                                       .public_key = public_key,
                                       .iam_role = n->iam_role[0] != '\0' ? n->iam_role : NULL,
                                       .credentials = n->credentials};
    struct aws_result failed = {.error_code = "", .body = "", .request_id = ""};
    struct err err;
    int k = rsa_key_public_text(n->key, public_key, &err);

    (void)str_copy(n->job_id, sizeof(n->job_id), e->inst.id); /* as large */
    if (k == 0)
        k = ssm_register(n->aws, &g, on_answer, n, &n->call, &err);
    if (k < 0) {
        failed.err = &err;
        on_answer(n, &failed);
    }
}

/* ---- key and fingerprint ---- */

static void work(uv_work_t *req)
{
    struct enrolment *n = container_of(req, struct enrolment, work);

    if (n->instance_id[0] == '\0')
        hardware_collect("", &n->hardware);
    n->work_result = rsa_key_generate(&n->key, &n->work_err);
}

/* The stored UUID while this is still the machine that it was made on; else a new one. */
static int choose_fingerprint(struct enrolment *n, struct err *err)
{
    struct registrar *r = n->registrar;
    struct fingerprint f = {.threshold = 0};
    int k = vault_read_fingerprint(&r->vault, &f, err);

    if (k < 0 && k != ERR_NOT_FOUND)
        return k;
    if (f.uuid[0] == '\0' || !fingerprint_is_same(&f, &n->hardware))
        ids_uuid4(f.uuid);
    f.hardware = n->hardware;
    f.has_hardware = true;
    if (n->is_check_off)
        f.threshold = FINGERPRINT_NO_CHECK;
    else if (f.threshold == 0)
        f.threshold = FINGERPRINT_DEFAULT_THRESHOLD;
    (void)str_copy(n->fingerprint, sizeof(n->fingerprint), f.uuid); /* fits */
    return vault_write_fingerprint(&r->vault, &f, err);
}

static void on_worked(uv_work_t *req, int status)
{
    struct enrolment *n = container_of(req, struct enrolment, work);
    struct registrar *r = n->registrar;
    struct registration_request q = {.kind = n->instance_id[0] != '\0' ? "ec2" : "hybrid",
                                     .source = n->activation_id[0] != '\0' ? "activation" : "role",
                                     .activation_id = n->activation_id,
                                     .node_id = n->instance_id,
                                     .region = n->region,
                                     .key_created_unix_ms = clock_wall_ms()};
    char key_id[RSA_KEY_ID_SIZE];
    struct entry *e;
    struct err err = n->work_err;
    int k = n->work_result;

    (void)status; /* it is never cancelled */
    r->n_works--;
    n->is_working = false;
    if (n->is_stopped) {
        enrolment_free(n);
        registrar_free_if_idle(r);
        return;
    }
    if (k == 0 && n->instance_id[0] != '\0')
        (void)str_copy(n->fingerprint, sizeof(n->fingerprint), n->instance_id); /* as large */
    else if (k == 0)
        k = choose_fingerprint(n, &err);
    if (k == 0)
        k = vault_write_key(&r->vault, n->key, key_id, &err);
    q.key_id = key_id;
    if (k == 0)
        k = registrar_begin(r, REGISTRATION_EV_REGISTER, &q, &e, &err); /* goes on by performing */
    if (k < 0)
        finish(n, "", &err);
}

/* ---- begin and end ---- */

static int own_client(struct enrolment *n, struct err *err)
{
    const struct config *c = n->registrar->config;
    const struct http_options ho = {.ca_file = c->ca_file[0] != '\0' ? c->ca_file : NULL};
    struct aws_options ao = {.region = n->region, .domain = c->service_domain};
    int k = http_new(n->registrar->loop, &ho, &n->own_http, err);

    if (k < 0)
        return k;
    ao.http = n->own_http;
    ao.credentials = n->credentials;
    ao.endpoints[AWS_SSM] = c->ssm_endpoint;
    k = aws_new(n->registrar->loop, &ao, &n->own_aws, err);
    n->aws = n->own_aws;
    return k;
}

static int set_up(struct enrolment *n, const struct registrar_request *q, struct err *err)
{
    int k;

    if (!str_copy(n->region, sizeof(n->region), q->region) ||
        !str_is_safe_name(n->region, sizeof(n->region) - 1))
        return err_set(err, ERR_INVALID, "region \"%.60s\": not a region like eu-west-1",
                       q->region);
    if ((q->activation_id != NULL &&
         !str_copy(n->activation_id, sizeof(n->activation_id), q->activation_id)) ||
        (q->instance_id != NULL &&
         !str_copy(n->instance_id, sizeof(n->instance_id), q->instance_id)) ||
        (q->iam_role != NULL && !str_copy(n->iam_role, sizeof(n->iam_role), q->iam_role)))
        return err_set(err, ERR_INVALID, "registration: the activation id or role is too long");
    if (q->activation_id != NULL && !ids_is_uuid(n->activation_id))
        return err_set(err, ERR_INVALID,
                       "activation id \"%s\": not of the form "
                       "01234567-89ab-cdef-0123-456789abcdef",
                       n->activation_id);
    if (q->activation_code != NULL) {
        k = secret_set(&n->code, secret_reveal(q->activation_code), err);
        if (k < 0)
            return k;
    }
    n->is_check_off = q->is_check_off;
    n->credentials = q->credentials;
    n->aws = q->aws;
    k = n->aws == NULL ? own_client(n, err) : 0;
    if (k < 0)
        return k;
    k = uv_queue_work(n->registrar->loop, &n->work, work, on_worked);
    if (k < 0)
        return err_set(err, ERR_SYSTEM, "registration: thread pool: %s", uv_strerror(k));
    n->registrar->n_works++;
    n->is_working = true;
    return 0;
}

int registrar_register(struct registrar *r, const struct registrar_request *q,
                       registrar_done_fn done, void *ctx, struct err *err)
{
    struct enrolment *n;
    int k;

    if (r->enrolment != NULL)
        return err_set(err, ERR_STATE, "a registration is under way; wait for its end");
    n = calloc(1, sizeof(*n));
    if (n == NULL)
        return err_set(err, ERR_NOMEM, "registration: out of memory");
    n->registrar = r;
    n->done = done;
    n->ctx = ctx;
    k = set_up(n, q, err);
    if (k < 0) {
        enrolment_free(n);
        return k;
    }
    r->enrolment = n;
    return 0;
}

void enrolment_stop(struct registrar *r)
{
    struct enrolment *n = r->enrolment;
    struct err err;

    if (n == NULL)
        return;
    r->enrolment = NULL;
    (void)err_set(&err, ERR_CANCELLED, "registration: this process is ending");
    n->done(n->ctx, "", &err);
    if (n->is_working)
        n->is_stopped = true; /* the work's end frees it */
    else
        enrolment_free(n);
}
