/* `ssmctl show`: one job and its way through its machine. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "ctl/ctl.h"
#include "ctl/history.h"
#include "ctl/job.h"
#include "ctl/nested.h"
#include "ctl/timeline.h"
#include "ctl/uploads.h"

/* Effects are asked for once and kept: the reader hands them out in walks. */
struct effect {
    int64_t id, arg, arg2, opened_unix_ms, closed_unix_ms;
    char kind[32];
};

struct showing {
    struct ctl *c;
    struct reader *reader;
    const struct reader_instance *job;
    struct effect *effects; /* owned */
    size_t n_effects, cap_effects;
    struct timeline timeline;
    struct jsonw json;
    size_t n_owed; /* replies */
    int64_t now_unix_ms;
};

static int keep_effect(void *ctx, const struct reader_effect *e, struct err *err)
{
    struct showing *s = ctx;

    if (s->n_effects == s->cap_effects) {
        size_t cap = s->cap_effects == 0 ? 32 : 2 * s->cap_effects;
        struct effect *p = realloc(s->effects, cap * sizeof(*p));

        if (p == NULL)
            return err_set(err, ERR_NOMEM, "job %s: out of memory", s->job->id);
        s->effects = p;
        s->cap_effects = cap;
    }
    s->effects[s->n_effects] = (struct effect){.id = e->id,
                                               .arg = e->arg,
                                               .arg2 = e->arg2,
                                               .opened_unix_ms = e->opened_unix_ms,
                                               .closed_unix_ms = e->closed_unix_ms};
    (void)str_copy(s->effects[s->n_effects].kind, sizeof(s->effects->kind), e->kind); /* to show */
    s->n_effects++;
    return 0;
}

/* ---- history, for people ---- */

static int add_transition(void *ctx, const struct reader_transition *t, struct err *err)
{
    struct showing *s = ctx;
    char what[160];

    (void)snprintf(what, sizeof(what), "%s: %s%s%s", t->event, /* to read: cut is fine */
                   str_eq(t->from, t->to) ? "" : t->from,
                   t->from[0] == '\0' || str_eq(t->from, t->to) ? "" : " -> ", t->to);
    return timeline_add(&s->timeline, t->at_unix_ms, TIMELINE_TRANSITION, what, t->detail, err);
}

/* "spawn 0.1": the effect, and what its arguments mean where that is a step and its attempt. */
static void name_effect(const struct showing *s, const struct effect *e, char *ret_text,
                        size_t size)
{
    bool is_command = job_is_command(s->job);

    if (is_command && (str_eq(e->kind, "spawn") || str_eq(e->kind, "stop")))
        (void)snprintf(ret_text, size, "%s %" PRId64 ".%" PRId64, e->kind, e->arg, e->arg2);
    else if (is_command && str_eq(e->kind, "reply") && e->arg >= 0)
        (void)snprintf(ret_text, size, "reply for plugin %" PRId64, e->arg);
    else
        (void)snprintf(ret_text, size, "%s", e->kind);
}

static int add_effects(struct showing *s, struct err *err)
{
    size_t i;
    int r = 0;

    for (i = 0; r == 0 && i < s->n_effects; i++) {
        const struct effect *e = &s->effects[i];
        char name[64];

        name_effect(s, e, name, sizeof(name));
        r = timeline_add(&s->timeline, e->opened_unix_ms, TIMELINE_OPENED, name, "", err);
        if (r == 0 && e->closed_unix_ms != 0)
            r = timeline_add(&s->timeline, e->closed_unix_ms, TIMELINE_CLOSED, name, "", err);
    }
    return r;
}

/* A reply that was taken is history; one that is owed is what the job waits for. */
static int add_reply(void *ctx, const struct reader_reply *reply, struct err *err)
{
    struct showing *s = ctx;
    char what[160];

    if (reply->ended_unix_ms == 0) {
        s->n_owed++;
        return 0;
    }
    (void)snprintf(what, sizeof(what), "%s reply: %s", reply->kind, reply->end);
    return timeline_add(&s->timeline, reply->ended_unix_ms, TIMELINE_REPLY, what, reply->text, err);
}

static int print_history(struct showing *s, struct err *err)
{
    int r;

    if ((r = reader_transitions(s->reader, s->job->id, add_transition, s, err)) < 0 ||
        (r = add_effects(s, err)) < 0 ||
        (r = reader_replies(s->reader, s->job->id, add_reply, s, err)) < 0)
        return r;
    (void)fputs("\nHistory:\n", s->c->out);
    r = timeline_print(&s->timeline, s->now_unix_ms, s->c->out, err);
    if (r == 0 && s->n_owed > 0)
        (void)fprintf(s->c->out, "\n%zu %s owed: not taken by the service yet\n", s->n_owed,
                      s->n_owed == 1 ? "reply is" : "replies are");
    return r;
}

static int print_message(void *ctx, const struct reader_message *m, struct err *err)
{
    struct showing *s = ctx;
    char at[TEXT_SHORT_SIZE];

    (void)err;
    text_time(m->received_unix_ms, s->now_unix_ms, at);
    (void)fprintf(s->c->out, "message     ");
    text_put(s->c->out, m->message_id);
    (void)fprintf(s->c->out, ", received %s through ", at);
    text_put(s->c->out, m->channel);
    (void)fputc('\n', s->c->out);
    return 0;
}

/* What the author of the document wrote and what does not count, a line each. */
static int each_warning(void *ctx, const char *name, const char *bytes, size_t n, struct err *err)
{
    struct showing *s = ctx;
    char line[512];

    (void)err;
    while (str_eq(name, "warnings") && n > 0) {
        const char *end = memchr(bytes, '\n', n);
        size_t len = end != NULL ? (size_t)(end - bytes) : n;

        (void)snprintf(line, sizeof(line), "%.*s", (int)len, bytes); /* cut is fine */
        if (s->c->is_json)
            jsonw_str(&s->json, NULL, line);
        else
            text_put_fact(s->c->out, "warning", line);
        n -= len + (end != NULL ? 1 : 0);
        bytes += len + (end != NULL ? 1 : 0);
    }
    return 0;
}

static int print_head(struct showing *s, struct err *err)
{
    const struct reader_instance *job = s->job;
    char text[128], at[TEXT_SHORT_SIZE];
    int r;

    text_put_fact(s->c->out, "job", job->id);
    text_put_fact(s->c->out, "document", job_document(job));
    if (job->is_loaded && job_is_command(job))
        text_put_fact(s->c->out, "sha256", command_of(&job->inst)->document_sha256);
    (void)snprintf(text, sizeof(text), "%s%s%s", job->state, job->status[0] != '\0' ? ", " : "",
                   job->status);
    text_put_fact(s->c->out, "state", text);
    text_put_fact(s->c->out, "note", job_text(job));
    if (!job->is_loaded)
        text_put_fact(s->c->out, "note",
                      "made by a later version of ssmd; its steps cannot be shown");
    text_time(job->created_unix_ms, s->now_unix_ms, at);
    text_put_fact(s->c->out, "made", at);
    if (job->ended_unix_ms != 0) {
        text_time(job->ended_unix_ms, s->now_unix_ms, at);
        text_put_fact(s->c->out, "ended", at);
    }
    r = reader_message(s->reader, job->id, print_message, s, err);
    if (r < 0 && r != ERR_NOT_FOUND) /* not every job came in a message */
        return r;
    return reader_attachments(s->reader, job->id, each_warning, s, err);
}

static int print(struct showing *s, struct err *err)
{
    int r = print_head(s, err);

    if (r == 0 && s->job->is_loaded && s->job->inst.n_children > 0) {
        (void)fputs("\nSteps:\n", s->c->out);
        r = job_print_steps(s->job, s->now_unix_ms, s->c->out, err);
    }
    if (r < 0)
        return r;
    r = uploads_print(s->reader, s->job, s->c->out, err);
    if (r < 0)
        return r;
    timeline_init(&s->timeline);
    r = print_history(s, err);
    timeline_done(&s->timeline);
    return r == 0 ? nested_print(s->reader, s->job, s->now_unix_ms, s->c->out, err) : r;
}

/* ---- history, for programs ---- */

static void write_effect(struct jsonw *w, const struct effect *e)
{
    jsonw_open_object(w, NULL);
    jsonw_i64(w, "id", e->id);
    jsonw_str(w, "kind", e->kind);
    jsonw_i64(w, "arg", e->arg);
    jsonw_i64(w, "arg2", e->arg2);
    jsonw_time(w, "opened", e->opened_unix_ms);
    jsonw_time(w, "closed", e->closed_unix_ms);
    jsonw_close_object(w);
}

static int write_transition(void *ctx, const struct reader_transition *t, struct err *err)
{
    struct showing *s = ctx;
    struct jsonw *w = &s->json;

    (void)err;
    jsonw_open_object(w, NULL);
    jsonw_i64(w, "n", t->n);
    jsonw_time(w, "at", t->at_unix_ms);
    jsonw_str(w, "event", t->event);
    jsonw_str(w, "from", t->from);
    jsonw_str(w, "to", t->to);
    jsonw_str(w, "detail", t->detail);
    jsonw_str(w, "state_sha256", t->state_sha256);
    jsonw_str(w, "hash", t->hash);
    jsonw_close_object(w);
    return 0;
}

static int write_reply(void *ctx, const struct reader_reply *reply, struct err *err)
{
    struct showing *s = ctx;
    struct jsonw *w = &s->json;

    (void)err;
    jsonw_open_object(w, NULL);
    jsonw_i64(w, "effect", reply->effect_id);
    jsonw_str(w, "kind", reply->kind);
    jsonw_str(w, "reply_id", reply->reply_id);
    jsonw_time(w, "at", reply->created_unix_ms);
    jsonw_str(w, "end", reply->end[0] != '\0' ? reply->end : NULL);
    jsonw_time(w, "ended", reply->ended_unix_ms);
    jsonw_str(w, "text", reply->text);
    jsonw_close_object(w);
    return 0;
}

static int write_json(struct showing *s, struct err *err)
{
    struct jsonw *w = &s->json;
    size_t i;
    int r;

    ctl_begin_json(s->c, w);
    jsonw_open_object(w, NULL);
    jsonw_open_object(w, "job");
    job_write_members(w, s->job);
    jsonw_str(w, "message_id", s->job->message_id);
    jsonw_str(w, "head", s->job->head);
    jsonw_close_object(w);
    jsonw_open_list(w, "warnings");
    r = reader_attachments(s->reader, s->job->id, each_warning, s, err);
    jsonw_close_list(w);
    jsonw_open_list(w, "steps");
    job_write_steps(w, s->job);
    jsonw_close_list(w);
    jsonw_open_list(w, "history");
    if (r == 0)
        r = reader_transitions(s->reader, s->job->id, write_transition, s, err);
    jsonw_close_list(w);
    jsonw_open_list(w, "effects");
    for (i = 0; i < s->n_effects; i++)
        write_effect(w, &s->effects[i]);
    jsonw_close_list(w);
    jsonw_open_list(w, "replies");
    if (r == 0)
        r = reader_replies(s->reader, s->job->id, write_reply, s, err);
    jsonw_close_list(w);
    jsonw_open_list(w, "nested");
    if (r == 0)
        r = nested_write(s->reader, s->job, w, err);
    jsonw_close_list(w);
    jsonw_open_list(w, "uploads");
    if (r == 0)
        r = uploads_write(s->reader, s->job, w, err);
    jsonw_close_list(w);
    jsonw_close_object(w);
    return r < 0 ? r : jsonw_end(w, err);
}

int ctl_run_show(struct ctl *c, struct err *err)
{
    AUTO(reader_close) struct reader *reader = NULL;
    struct reader_instance job;
    struct showing s = {.c = c, .job = &job, .now_unix_ms = clock_wall_ms()};
    int r;

    if ((r = history_open(&c->paths, &reader, err)) < 0 ||
        (r = history_pick(reader, c->args[0], &job, err)) < 0)
        return r;
    s.reader = reader;
    r = reader_effects(reader, job.id, keep_effect, &s, err);
    if (r == 0)
        r = c->is_json ? write_json(&s, err) : print(&s, err);
    free(s.effects);
    reader_instance_done(&job);
    return r;
}
