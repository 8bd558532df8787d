/* What is asked of ssmd through its socket, and the answers (docs/internals/ctl.md). */
#define LOG_MODULE "ctl"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/ctl_server_internal.h"
#include "base/log.h"
#include "base/str.h"
#include "base/version.h"
#include "schema/message.h"
#include "schema/yaml.h"

#define MAX_WAIT_MINUTES 10080 /* a week */

static void add_text(struct buf *b, const char *name, const char *value)
{
    (void)buf_printf(b, "\"%s\":", name);
    (void)buf_add_json_str(b, value, strlen(value));
    (void)buf_add_char(b, ',');
}

static void add_journal(struct client *c, const struct engine_status *s)
{
    struct journal_counts n = {0};
    struct err err;
    const char *text = s->journal_text;

    if (!s->is_suspended && c->server->journal->ops->counts(c->server->journal, &n, &err) < 0)
        text = err.text;
    (void)buf_add_str(&c->answer, "\"journal\":{");
    add_text(&c->answer, "state", s->is_suspended ? "suspended" : s->is_short ? "full" : "ok");
    add_text(&c->answer, "text", text);
    (void)buf_printf(&c->answer,
                     "\"n_open\":%" PRId64 ",\"n_unreported\":%" PRId64 ",\"n_ledger\":%" PRId64
                     ",\"size_bytes\":%" PRId64 ",\"n_commits\":%" PRId64 "},",
                     n.n_open, n.n_unreported, n.n_ledger, n.size_bytes, n.n_commits);
}

static void answer_status(struct client *c)
{
    struct buf *b = &c->answer;
    struct engine_status s;
    size_t i;

    engine_get_status(c->server->engine, &s);
    (void)buf_printf(b, "{\"ok\":true,\"status\":{\"version\":\"%s\",\"pid\":%ld,", ssmd_version,
                     (long)getpid());
    add_journal(c, &s);
    c->server->add_status(c->server->ctx, b);
    (void)buf_printf(b,
                     "\"n_running\":%zu,\"n_queued\":%zu,\"n_reporting\":%zu,\"n_rebooting\":%zu,"
                     "\"n_runners\":%zu,\"reboot_pending\":%s,\"n_duplicates\":%" PRId64
                     ",\"n_stale\":%" PRId64 ",\"n_unexpected\":%" PRId64 ",\"last_errors\":[",
                     s.n_running, s.n_queued, s.n_reporting, s.n_rebooting, s.n_runners,
                     s.is_reboot_pending ? "true" : "false", s.n_duplicates, s.n_stale,
                     s.n_unexpected);
    for (i = 0; i < ARRAY_LEN(s.last_errors) && s.last_errors[i].at_unix_ms != 0; i++) {
        (void)buf_printf(b, "%s{\"at_unix_ms\":%" PRId64 ",\"text\":", i > 0 ? "," : "",
                         s.last_errors[i].at_unix_ms);
        (void)buf_add_json_str(b, s.last_errors[i].text, strlen(s.last_errors[i].text));
        (void)buf_add_char(b, '}');
    }
    (void)buf_add_str(b, "]}}");
    ctl_client_send(c);
}

/* What it waited for is there. True: it is still there itself, and there is an answer to write.
 * Without one it is told the error; a client that has gone is freed. */
static bool wants_answer(struct client *c, const struct err *err)
{
    c->is_waiting = false;
    if (c->is_closed)
        ctl_client_free(c);
    else if (err != NULL && !uv_is_closing((uv_handle_t *)&c->pipe))
        ctl_client_send_error(c, err);
    else
        return err == NULL && !uv_is_closing((uv_handle_t *)&c->pipe);
    return false;
}

/* What was asked for is committed, or could not be. */
static void on_accepted(void *ctx, const char *job_id, const struct err *err)
{
    struct client *c = ctx;

    if (!wants_answer(c, err))
        return;
    (void)buf_printf(&c->answer, "{\"ok\":true,\"job\":\"%s\",\"text\":\"%s\"}", job_id,
                     c->accepted_text);
    ctl_client_send(c);
}

/* ---- what helper programs of steps ask for ---- */

static void answer_text(struct client *c, const char *name, const char *text, size_t n)
{
    (void)buf_printf(&c->answer, "{\"ok\":true,\"%s\":", name);
    (void)buf_add_json_str(&c->answer, text, n);
    (void)buf_add_char(&c->answer, '}');
    ctl_client_send(c);
}

static void on_looked_up(struct client *c, const char *name, const char *text, size_t n,
                         const struct err *err)
{
    if (wants_answer(c, err))
        answer_text(c, name, text, n);
}

static void on_document(void *ctx, const char *text, size_t n, const struct err *err)
{
    on_looked_up(ctx, "content", text, n, err);
}

static void on_parameter(void *ctx, const char *text, size_t n, const struct err *err)
{
    on_looked_up(ctx, "value", text, n, err);
}

static int ask_lookup(struct client *c, const cJSON *request, bool is_document, struct err *err)
{
    struct lookup *l = c->server->lookup;
    const char *name = NULL, *version = NULL;
    int r;

    if ((r = json_get_string(request, "request", "name", 2048, &name, err)) < 0 ||
        (r = json_get_string(request, "request", "version", 128, &version, err)) < 0)
        return r;
    if (name == NULL || name[0] == '\0')
        return err_set(err, ERR_INVALID, "request.name is missing");
    c->is_waiting = true;
    r = is_document ? l->get_document(l, name, version != NULL ? version : "", on_document, c, err)
                    : l->get_parameter(l, name, cJSON_IsTrue(json_get(request, "secure")),
                                       on_parameter, c, err);
    if (r < 0)
        c->is_waiting = false;
    return r;
}

static int ask_credentials(struct client *c, struct err *err)
{
    const struct credentials *have = NULL;
    int r = c->server->lookup->get_credentials(c->server->lookup, &have, err);

    if (r < 0)
        return r;
    (void)buf_add_str(&c->answer, "{\"ok\":true,");
    add_text(&c->answer, "access_key", have->access_key);
    add_text(&c->answer, "secret_key", secret_reveal(&have->secret_key));
    add_text(&c->answer, "session_token", secret_reveal(&have->session_token));
    (void)buf_printf(&c->answer, "\"expires_unix_ms\":%" PRId64 "}", have->expires_unix_ms);
    ctl_client_send(c);
    return 0;
}

/* ---- what operators ask for ---- */

static int ask_cancel(struct client *c, const cJSON *request, struct err *err)
{
    const char *job;
    int r = json_get_string(request, "request", "job", 64, &job, err);

    if (r == 0 && job == NULL)
        r = err_set(err, ERR_INVALID, "request.job is missing");
    if (r < 0)
        return r;
    c->is_waiting = true;
    c->accepted_text = "it is being stopped";
    r = engine_cancel(c->server->engine, job, on_accepted, c, err);
    if (r < 0)
        c->is_waiting = false;
    return r;
}

static int ask_run(struct client *c, const cJSON *request, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *document = NULL;
    AUTO(buf_done) struct buf payload = {0};
    const char *name, *text;
    const cJSON *parameters;
    int r;

    buf_init(&payload, MESSAGE_MAX_PAYLOAD_BYTES);
    if ((r = json_get_string(request, "request", "name", 512, &name, err)) < 0 ||
        (r = json_get_string(request, "request", "document", MESSAGE_MAX_PAYLOAD_BYTES, &text,
                             err)) < 0 ||
        (r = json_get_object(request, "request", "parameters", &parameters, err)) < 0)
        return r;
    if (text == NULL)
        return err_set(err, ERR_INVALID, "request.document is missing");
    r = document_text_parse(text, strlen(text), MESSAGE_MAX_PAYLOAD_BYTES,
                            name != NULL ? name : "document", &document, err);
    if (r == 0)
        r = send_payload_make("", name != NULL ? name : "local", parameters, document, &payload,
                              err);
    if (r < 0)
        return r;
    c->is_waiting = true;
    c->accepted_text = "it is accepted";
    r = engine_run_local(c->server->engine, name != NULL ? name : "local", buf_str(&payload),
                         on_accepted, c, err);
    if (r < 0)
        c->is_waiting = false;
    return r;
}

/* ---- updates ---- */

static int read_update(const cJSON *request, struct engine_update *ret, struct err *err)
{
    int64_t minutes = 0;
    int r;

    *ret = (struct engine_update){.allow_downgrade =
                                      cJSON_IsTrue(json_get_exact(request, "allow_downgrade")),
                                  .is_forced = cJSON_IsTrue(json_get_exact(request, "is_forced"))};
    if ((r = json_get_string(request, "request", "to", VERSION_SIZE, &ret->asked, err)) < 0 ||
        (r = json_get_i64(request, "request", "wait_minutes", &minutes, err)) < 0)
        return r;
    if (ret->asked == NULL)
        ret->asked = "";
    if (ret->asked[0] != '\0' && !str_eq(ret->asked, "latest") && !str_eq(ret->asked, "stable") &&
        !version_is_valid(ret->asked))
        return err_set(err, ERR_INVALID,
                       "version \"%.64s\" is not understood: it must be latest, stable, or a "
                       "version such as 1.2.3",
                       ret->asked);
    if (minutes < 0 || minutes > MAX_WAIT_MINUTES)
        return err_set(err, ERR_INVALID, "request.wait_minutes: 0 to %d", MAX_WAIT_MINUTES);
    ret->wait_ms = minutes * 60000;
    return 0;
}

static int ask_update(struct client *c, const cJSON *request, struct err *err)
{
    struct engine_update u;
    int r = read_update(request, &u, err);

    if (r < 0)
        return r;
    c->is_waiting = true;
    c->accepted_text = "the update has begun";
    r = engine_update(c->server->engine, &u, on_accepted, c, err);
    if (r < 0)
        c->is_waiting = false;
    return r;
}

static void answer_checked(struct client *c, const struct engine_checked *k)
{
    struct buf *b = &c->answer;

    (void)buf_add_str(b, "{\"ok\":true,\"check\":{");
    add_text(b, "current", k->from);
    add_text(b, "target", k->target);
    add_text(b, "url", k->url);
    add_text(b, "code", k->code);
    add_text(b, "text", k->text);
    add_text(b, "manager", k->manager);
    add_text(b, "obstacle", k->obstacle);
    (void)buf_printf(b,
                     "\"is_wanted\":%s,\"is_skipped\":%s,\"length_bytes\":%" PRId64
                     ",\"manifest_version\":%" PRId64 "}}",
                     k->is_wanted ? "true" : "false", k->is_skipped ? "true" : "false",
                     k->length_bytes, k->manifest_version);
    ctl_client_send(c);
}

static void on_checked(void *ctx, const struct engine_checked *checked, const struct err *err)
{
    struct client *c = ctx;

    if (wants_answer(c, err))
        answer_checked(c, checked);
}

static int ask_check(struct client *c, const cJSON *request, struct err *err)
{
    struct engine_update u;
    int r = read_update(request, &u, err);

    if (r < 0)
        return r;
    c->is_waiting = true;
    r = engine_check_update(c->server->engine, &u, on_checked, c, err);
    if (r < 0)
        c->is_waiting = false;
    return r;
}

/* ---- registration ---- */

static void answer_node(struct client *c, const char *node_id)
{
    (void)buf_printf(&c->answer, "{\"ok\":true,\"node\":\"%s\"}", node_id); /* a safe name */
    ctl_client_send(c);
}

static void on_registered(void *ctx, const char *node_id, const struct err *err)
{
    struct client *c = ctx;
    struct ctl_server *s = c->server;

    if (wants_answer(c, err))
        answer_node(c, node_id);
    if (err == NULL && s->registered != NULL)
        s->registered(s->ctx);
}

struct registration_words {
    const char *id, *code, *region, *threshold;
    bool is_import, is_check_off, is_forced;
};

static int register_now(struct client *c, const struct registration_words *w, struct err *err)
{
    AUTO(secret_done) struct secret code = {0};
    const struct registrar_request q = {.activation_id = w->id,
                                        .activation_code = &code,
                                        .region = w->region,
                                        .is_check_off = w->is_check_off};
    int r = secret_set(&code, w->code, err);

    if (r < 0)
        return r;
    c->is_waiting = true;
    r = registrar_register(c->server->registrar, &q, on_registered, c, err);
    if (r < 0)
        c->is_waiting = false;
    return r;
}

static int register_or_import(struct client *c, const struct registration_words *w, struct err *err)
{
    struct ctl_server *s = c->server;
    const struct registration *g = registrar_current(s->registrar, VAULT_HYBRID);
    int r;

    if (g != NULL && !w->is_forced)
        return err_set(err, ERR_EXISTS,
                       "this machine is registered as %s; add --yes to replace "
                       "that",
                       g->node_id);
    if (!w->is_import)
        return register_now(c, w, err);
    r = registrar_import(s->registrar, VAULT_HYBRID, err);
    if (r < 0)
        return r;
    answer_node(c, registrar_current(s->registrar, VAULT_HYBRID)->node_id);
    if (s->registered != NULL)
        s->registered(s->ctx);
    return 0;
}

static int ask_register(struct client *c, const cJSON *request, struct err *err)
{
    struct registrar *registrar = c->server->registrar;
    struct registration_words w = {.is_import = cJSON_IsTrue(json_get_exact(request, "is_import")),
                                   .is_check_off =
                                       cJSON_IsTrue(json_get_exact(request, "is_check_off")),
                                   .is_forced = cJSON_IsTrue(json_get_exact(request, "is_forced"))};
    int64_t threshold;
    int r;

    if (registrar == NULL)
        return err_set(err, ERR_UNSUPPORTED, "this ssmd registers nothing");
    if ((r = json_get_string(request, "request", "activation_id", 64, &w.id, err)) < 0 ||
        (r = json_get_string(request, "request", "activation_code", 256, &w.code, err)) < 0 ||
        (r = json_get_string(request, "request", "region", 100, &w.region, err)) < 0 ||
        (r = json_get_string(request, "request", "similarity_threshold", 16, &w.threshold, err)) <
            0)
        return r;
    if (w.threshold != NULL) {
        if (!str_to_i64(w.threshold, INT32_MIN, INT32_MAX, &threshold))
            return err_set(err, ERR_INVALID, "similarity threshold: not a number");
        r = registrar_set_threshold(registrar, threshold, err);
    } else if (w.is_import || (w.id != NULL && w.code != NULL && w.region != NULL)) {
        return register_or_import(c, &w, err);
    } else {
        r = registrar_clear(registrar, err);
    }
    if (r == 0)
        answer_node(c, "");
    return r;
}

int ctl_serve(struct client *c, const cJSON *request, struct err *err)
{
    const char *op = NULL;
    int r = json_want_object(request, "request", err);

    if (r == 0)
        r = json_get_string(request, "request", "op", 32, &op, err);
    if (r < 0)
        return r;
    if (str_eq(op, "status")) {
        answer_status(c);
        return 0;
    }
    if (str_eq(op, "cancel"))
        return ask_cancel(c, request, err);
    if (str_eq(op, "run"))
        return ask_run(c, request, err);
    if (str_eq(op, "update"))
        return ask_update(c, request, err);
    if (str_eq(op, "check_update"))
        return ask_check(c, request, err);
    if (c->server->lookup != NULL && str_eq(op, "credentials"))
        return ask_credentials(c, err);
    if (c->server->lookup != NULL && (str_eq(op, "document") || str_eq(op, "parameter")))
        return ask_lookup(c, request, str_eq(op, "document"), err);
    if (str_eq(op, "register"))
        return ask_register(c, request, err);
    return err_set(err, ERR_INVALID,
                   "request.op \"%s\" is not status, cancel, run, update or register",
                   op != NULL ? op : "");
}
