/* `ssmctl update`: ssmd decides and does; the journal tells how it goes, also while one version has
 * ended and the next has not begun. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "base/version.h"
#include "ctl/client.h"
#include "ctl/ctl.h"
#include "ctl/follow.h"
#include "ctl/history.h"
#include "ctl/job.h"
#include "ctl/jsonw.h"
#include "ctl/text.h"
#include "fsm/update.h"
#include "schema/json.h"

#define CODE_ROLLED_BACK "ErrorUpdateFailRollbackSuccess"
#define MAX_WAIT_MINUTES (INT64_C(7) * 24 * 60)

/* ---- asking ---- */

static int make_question(const struct ctl *c, const char *op, struct buf *question, struct err *err)
{
    const char *to = ctl_value(c, "to", "");
    int64_t minutes = 0;
    int r = ctl_value_i64(c, "when-idle", 1, MAX_WAIT_MINUTES, 0, &minutes, err);

    if (r == 0 && strlen(to) >= VERSION_SIZE)
        r = err_set(err, ERR_USAGE, "option --to %.40s...: it is too long for a version", to);
    (void)buf_printf(question, "{\"op\":\"%s\",\"to\":", op); /* client_ask() looks */
    (void)buf_add_json_str(question, to, strlen(to));
    (void)buf_printf(question,
                     ",\"allow_downgrade\":%s,\"is_forced\":%s,\"wait_minutes\":%" PRId64 "}",
                     ctl_has(c, "allow-downgrade") ? "true" : "false",
                     ctl_has(c, "force") ? "true" : "false", minutes);
    return r;
}

static int ask(const struct ctl *c, const char *op, cJSON **ret_answer, struct err *err)
{
    AUTO(buf_done) struct buf question = {0};
    int r;

    buf_init(&question, 4096);
    r = make_question(c, op, &question, err);
    return r < 0 ? r : client_ask(&c->paths, &question, ret_answer, err);
}

/* The texts are those that the service's users know; what to type here is ours to say. */
static const char *advice_on(const char *code)
{
    static const struct {
        const char *code, *text;
    } advice[] = {
        {"ErrorInvalidTargetVersion", "`ssmctl update --check` for the latest version that the "
                                      "update source has for this machine"},
        {"ErrorAttempToDowngrade", "--allow-downgrade, if that is what you want"},
    };
    size_t i;

    for (i = 0; i < ARRAY_LEN(advice); i++)
        if (str_eq(code, advice[i].code))
            return advice[i].text;
    return "";
}

/* ---- what would be done ---- */

static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(json_get_exact(object, name));

    return text != NULL ? text : "";
}

static void print_plan(FILE *f, const cJSON *check)
{
    const char *manager = text_of(check, "manager");
    char size[TEXT_SHORT_SIZE];

    if (manager[0] != '\0') {
        (void)fputs("would be done:\n  refresh the lists of ", f);
        text_put(f, manager);
        (void)fputs(", and wait until nobody else works with packages\n  install ssmd in version ",
                    f);
        text_put(f, text_of(check, "target"));
        (void)fputs(" with it, as its repositories have it\n  look which version is there then, "
                    "and see that "
                    "it runs\n  there is no way back by itself if it does not come up\n",
                    f);
        return;
    }
    text_size((int64_t)cJSON_GetNumberValue(json_get_exact(check, "length_bytes")), size);
    (void)fputs("would be done:\n  fetch ", f);
    text_put(f, text_of(check, "url"));
    (void)fprintf(f, " (%s)\n  verify its signatures, its length and its SHA-256\n", size);
    (void)fputs("  unpack it into a version slot of its own and try it\n  switch to ", f);
    text_put(f, text_of(check, "target"));
    (void)fputs(", and back to ", f);
    text_put(f, text_of(check, "current"));
    (void)fputs(" unless it proves itself\n", f);
}

static int check_only(struct ctl *c, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *answer = NULL;
    AUTO(buf_done) struct buf text = {0};
    const cJSON *check;
    bool is_wanted;
    struct jsonw w;
    int r = ask(c, "check_update", &answer, err);

    if (r < 0)
        return err_wrap(err, "update");
    check = json_get_exact(answer, "check");
    is_wanted =
        cJSON_IsTrue(json_get_exact(check, "is_wanted")) && text_of(check, "obstacle")[0] == '\0';
    if (c->is_json) {
        buf_init(&text, CLIENT_MAX_BYTES);
        json_write(&text, check);
        ctl_begin_json(c, &w);
        jsonw_open_object(&w, NULL);
        jsonw_raw(&w, "check", buf_str(&text));
        jsonw_close_object(&w);
        r = jsonw_end(&w, err);
        return r < 0 ? r : is_wanted ? CTL_OK : CTL_NO;
    }
    text_put_fact(c->out, "current", text_of(check, "current"));
    text_put_fact(c->out, ctl_has(c, "to") ? "asked for" : "latest", text_of(check, "target"));
    text_put_fact(c->out, "result", is_wanted ? "it can be installed" : text_of(check, "text"));
    if (is_wanted && text_of(check, "manager")[0] != '\0') {
        text_put_fact(c->out, "by", text_of(check, "manager"));
        text_put_fact(c->out, "way back",
                      "none by itself, if the new version does not come up (with version slots "
                      "there is one)");
    }
    text_put_fact(c->out, "code", text_of(check, "code"));
    text_put_fact(c->out, "try", advice_on(text_of(check, "code")));
    text_put_fact(c->out, "now", text_of(check, "obstacle"));
    if (is_wanted && ctl_has(c, "dry-run"))
        print_plan(c->out, check);
    return is_wanted ? CTL_OK : CTL_NO;
}

/* ---- following ---- */

struct follower {
    struct ctl *c;
    int64_t n_told; /* transitions */
    bool is_quiet;
};

static int tell_transition(void *ctx, const struct reader_transition *t, struct err *err)
{
    struct follower *f = ctx;

    (void)err;
    if (t->n <= f->n_told || f->is_quiet)
        return 0;
    f->n_told = t->n;
    if (t->n == 0 || str_eq(t->to, "done"))
        return 0; /* it was made; its end is told */
    (void)fprintf(f->c->err, "%s", t->to);
    if (t->detail[0] != '\0') {
        (void)fputs(": ", f->c->err);
        text_put(f->c->err, t->detail);
    }
    (void)fputc('\n', f->c->err);
    (void)fflush(f->c->err);
    return 0;
}

/* Until it is over: the journal is read, so it does not matter which version runs, if any. */
static int follow(struct follower *f, const char *id, struct reader_instance *ret_update,
                  struct err *err)
{
    static const struct timespec pause = {.tv_nsec = FOLLOW_POLL_MS * 1000000L};
    AUTO(reader_close) struct reader *reader = NULL;
    int r = history_open(&f->c->paths, &reader, err);

    while (r == 0) {
        r = reader_get(reader, id, ret_update, err);
        if (r < 0)
            return r;
        r = reader_transitions(reader, id, tell_transition, f, err);
        if (r == 0 && job_is_over(ret_update))
            return 0;
        if (r == 0 && reader_is_copy(reader))
            r = err_set(err, ERR_STATE,
                        "the journal can only be read as a copy of this moment; use --detach and "
                        "`ssmctl show %s`",
                        id);
        reader_instance_done(ret_update);
        (void)nanosleep(&pause, NULL); /* a shorter one is as good */
    }
    return r;
}

static int print_end(struct ctl *c, const struct reader_instance *i, struct err *err)
{
    bool is_good = str_eq(i->status, "Success");
    const struct update *u;
    struct jsonw w;
    int r;

    if (!job_is_update(i))
        return err_set(err, ERR_NEWER, "a later version of ssmd wrote it; use its ssmctl");
    u = update_of(&i->inst);
    if (c->is_json) {
        ctl_begin_json(c, &w);
        jsonw_open_object(&w, NULL);
        job_write_members(&w, i);
        jsonw_str(&w, "from", u->from_version);
        jsonw_str(&w, "to", u->to_version);
        jsonw_str(&w, "code", u->code);
        jsonw_close_object(&w);
        r = jsonw_end(&w, err);
        return r < 0 ? r : is_good ? CTL_OK : CTL_NO;
    }
    if (is_good && u->text[0] == '\0')
        (void)fprintf(c->out, "updated from %s to %s\n", u->from_version, u->to_version);
    else {
        (void)fprintf(c->out, "%s: ", i->status);
        text_put(c->out, u->text);
        (void)fputc('\n', c->out);
        if (str_eq(u->code, CODE_ROLLED_BACK))
            (void)fprintf(c->out, "%s was put back\n", u->from_version);
        else if (advice_on(u->code)[0] != '\0')
            (void)fprintf(c->out, "try: %s\n", advice_on(u->code));
    }
    return is_good ? CTL_OK : CTL_NO;
}

static int print_id(struct ctl *c, const char *id, struct err *err)
{
    struct jsonw w;

    if (!c->is_json) {
        (void)fprintf(c->out, "%s\n", id);
        return CTL_OK;
    }
    ctl_begin_json(c, &w);
    jsonw_open_object(&w, NULL);
    jsonw_str(&w, "job", id);
    jsonw_close_object(&w);
    return jsonw_end(&w, err);
}

int ctl_run_update(struct ctl *c, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *answer = NULL;
    struct follower f = {.c = c, .is_quiet = c->is_json};
    struct reader_instance update = {.is_loaded = false};
    char id[FSM_ID_SIZE];
    int r;

    if (ctl_has(c, "check") || ctl_has(c, "dry-run"))
        return check_only(c, err);
    r = ask(c, "update", &answer, err);
    if (r < 0)
        return err_wrap(err, "update");
    if (!str_copy(id, sizeof(id), text_of(answer, "job")) || id[0] == '\0')
        return err_set(err, ERR_PROTOCOL, "update: ssmd did not say what became of it");
    if (ctl_has(c, "detach"))
        return print_id(c, id, err);
    (void)fprintf(c->err, "ssmctl: %s\n", id);
    r = follow(&f, id, &update, err);
    if (r < 0)
        return err_wrap(err, "follow %s", id);
    r = print_end(c, &update, err);
    reader_instance_done(&update);
    return r;
}
