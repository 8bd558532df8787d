/* Values of Parameter Store from the service: ten names a call, again when it may help, within a
 * bounded time. */
#define LOG_MODULE "parameters"
#include "agent/parameter_source.h"

#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/str.h"
#include "schema/parameter_store.h"
#include "transport/ssm.h"

#define RETRY_FIRST_MS 500
#define RETRY_CAP_MS 4000
#define MAX_MISSING_BYTES 300

struct service_source {
    struct parameter_source base;
    uv_loop_t *loop;
    struct aws *aws; /* borrowed */
    int64_t limit_ms;
    struct parameter_fetch *fetches;
};

struct parameter_fetch {
    struct parameter_fetch *next, *prev;
    struct service_source *source;
    uv_timer_t timer; /* the next try, or the end */
    struct aws_call *call;
    char **names; /* owned */
    size_t n, at; /* names[at..) were not answered yet */
    size_t n_asked;
    cJSON *values;      /* owned; so far */
    struct buf missing; /* names that the service does not have */
    struct backoff backoff;
    int64_t ends_us; /* monotonic */
    struct err last; /* of the last failure */
    parameter_done_fn done;
    void *ctx;
};

static void ask(struct parameter_fetch *f);

static void free_fetch(uv_handle_t *handle)
{
    struct parameter_fetch *f = container_of((uv_timer_t *)handle, struct parameter_fetch, timer);
    size_t i;

    for (i = 0; f->names != NULL && i < f->n; i++)
        free(f->names[i]);
    free(f->names);
    cJSON_Delete(f->values);
    buf_done(&f->missing);
    free(f);
}

static void end(struct parameter_fetch *f)
{
    if (f->prev != NULL)
        f->prev->next = f->next;
    else
        f->source->fetches = f->next;
    if (f->next != NULL)
        f->next->prev = f->prev;
    aws_cancel(f->call);
    uv_close((uv_handle_t *)&f->timer, free_fetch);
}

static void fail(struct parameter_fetch *f, const struct err *err)
{
    parameter_done_fn done = f->done;
    void *ctx = f->ctx;
    struct err copy = *err;

    end(f);
    done(ctx, NULL, &copy);
}

static int64_t left_ms(const struct parameter_fetch *f)
{
    int64_t left = (f->ends_us - clock_monotonic_us()) / 1000;

    return left > 0 ? left : 0;
}

static void on_timer(uv_timer_t *timer)
{
    struct parameter_fetch *f = container_of(timer, struct parameter_fetch, timer);

    if (left_ms(f) > 0 && f->call == NULL) {
        ask(f);
        return;
    }
    if (f->last.code == 0)
        (void)err_set(&f->last, ERR_TIMEOUT, "Parameter Store did not answer in time");
    (void)err_wrap(&f->last, "{{ssm:%.100s}} has no value after %lld s of tries", f->names[f->at],
                   (long long)(f->source->limit_ms / 1000));
    fail(f, &f->last);
}

static void arm(struct parameter_fetch *f, int64_t delay_ms)
{
    int64_t left = left_ms(f);

    uv_update_time(f->source->loop);
    (void)uv_timer_start(&f->timer, on_timer, (uint64_t)(delay_ms < left ? delay_ms : left), 0);
}

/* A permission is not there the next second either; everything else of the retry class may be. */
static bool is_final(const struct aws_result *result)
{
    return err_class_of(result->err->code) == ERR_CLASS_PERMANENT ||
           str_eq(result->error_code, "AccessDeniedException");
}

static void try_later(struct parameter_fetch *f, const struct err *err)
{
    f->last = *err;
    log_warning("%s; asked again for %lld ms", err->text, (long long)left_ms(f));
    arm(f, backoff_fail_ms(&f->backoff, ids_random32()));
}

/* Take over the values of the names that were asked for. */
static int take(struct parameter_fetch *f, const struct parameter_answer *answer, struct err *err)
{
    size_t i;
    int r = 0;

    for (i = f->at; i < f->at + f->n_asked && r == 0; i++) {
        const struct stored_parameter *p = parameter_answer_find(answer, f->names[i]);

        if (p != NULL)
            r = parameter_values_add(f->values, f->names[i], p, err);
        else /* cut is fine: it is for people */
            (void)buf_printf(&f->missing, "%s%s", f->missing.len > 0 ? ", " : "", f->names[i]);
    }
    f->at += f->n_asked;
    return r;
}

static void go_on(struct parameter_fetch *f)
{
    parameter_done_fn done = f->done;
    void *ctx = f->ctx;
    cJSON *values;
    struct err err;

    if (f->at < f->n) {
        ask(f);
        return;
    }
    if (f->missing.len > 0 || f->missing.failed != 0) {
        (void)err_set(&err, ERR_NOT_FOUND,
                      "not in Parameter Store of this account and region: %s%s; create them or "
                      "correct the document",
                      buf_str(&f->missing), f->missing.failed != 0 ? ", ..." : "");
        fail(f, &err);
        return;
    }
    values = TAKE(f->values);
    end(f);
    done(ctx, values, NULL);
}

static void on_answer(void *ctx, const struct aws_result *result)
{
    struct parameter_fetch *f = ctx;
    AUTO(parameter_answer_done) struct parameter_answer answer = {.root = NULL};
    struct err err;

    f->call = NULL;
    if (result->err != NULL) {
        err = *result->err;
        (void)err_wrap(&err, "Parameter Store");
        if (is_final(result))
            fail(f, &err);
        else
            try_later(f, &err);
        return;
    }
    if (parameter_answer_parse(result->body, result->len, &answer, &err) < 0) {
        try_later(f, &err);
        return;
    }
    if (take(f, &answer, &err) < 0) {
        fail(f, &err);
        return;
    }
    go_on(f);
}

static void ask(struct parameter_fetch *f)
{
    struct err err;

    f->n_asked = f->n - f->at < PARAMETER_MAX_PER_CALL ? f->n - f->at : PARAMETER_MAX_PER_CALL;
    if (ssm_get_parameters(f->source->aws, (const char *const *)(f->names + f->at), f->n_asked,
                           false, on_answer, f, &f->call, &err) < 0) {
        try_later(f, &err);
        return;
    }
    arm(f, INT64_MAX); /* until the end */
}

static int fetch(struct parameter_source *base, char *const *references, size_t n,
                 parameter_done_fn done, void *ctx, struct parameter_fetch **ret_fetch,
                 struct err *err)
{
    struct service_source *s = container_of(base, struct service_source, base);
    struct parameter_fetch *f = calloc(1, sizeof(*f));
    bool has_all = false;

    if (f == NULL)
        return err_set(err, ERR_NOMEM, "parameters: out of memory");
    buf_init(&f->missing, MAX_MISSING_BYTES);
    f->values = cJSON_CreateObject();
    f->names = calloc(n, sizeof(*f->names));
    has_all = f->values != NULL && f->names != NULL;
    for (f->n = 0; has_all && f->n < n; f->n++) {
        f->names[f->n] = strdup(references[f->n]);
        has_all = f->names[f->n] != NULL;
    }
    (void)uv_timer_init(s->loop, &f->timer); /* cannot fail */
    f->source = s;
    f->next = s->fetches;
    if (s->fetches != NULL)
        s->fetches->prev = f;
    s->fetches = f;
    if (!has_all) {
        end(f);
        return err_set(err, ERR_NOMEM, "parameters: out of memory");
    }
    f->done = done;
    f->ctx = ctx;
    f->backoff = (struct backoff){.first_ms = RETRY_FIRST_MS, .cap_ms = RETRY_CAP_MS};
    f->ends_us = clock_monotonic_us() + s->limit_ms * 1000;
    *ret_fetch = f;
    ask(f);
    return 0;
}

static void cancel(struct parameter_source *base, struct parameter_fetch *f)
{
    (void)base;
    end(f);
}

int parameter_source_new(uv_loop_t *loop, struct aws *aws, int64_t limit_ms,
                         struct parameter_source **ret_source, struct err *err)
{
    struct service_source *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return err_set(err, ERR_NOMEM, "parameters: out of memory");
    *s = (struct service_source){
        .base = {.fetch = fetch, .cancel = cancel}, .loop = loop, .aws = aws, .limit_ms = limit_ms};
    *ret_source = &s->base;
    return 0;
}

void parameter_source_close(struct parameter_source *s)
{
    struct service_source *source;

    if (s == NULL)
        return;
    source = container_of(s, struct service_source, base);
    while (source->fetches != NULL)
        end(source->fetches);
    free(source);
}
