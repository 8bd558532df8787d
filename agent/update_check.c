/* What an update would do, without doing it: the stager reads the metadata and chooses. */
#define LOG_MODULE "update"
#include <stdlib.h>

#include "agent/update.h"
#include "agent/update_internal.h"
#include "base/str.h"
#include "base/version.h"
#include "schema/update_inputs.h"

#define LIMIT_MS 20000 /* who asks waits no longer than half a minute */
#define MARGIN_MS 5000

struct update_check {
    struct engine *e;
    struct stager *stager;
    engine_checked_fn done;
    void *ctx;
    struct update_footing footing;
    struct err obstacle; /* code 0: none */
};

static void finish(struct update_check *c, const struct stager_answer *answer,
                   const struct err *err)
{
    const struct engine_checked checked = {
        .from = c->footing.from,
        .manager = c->footing.manager,
        .target = answer != NULL ? answer->target : "",
        .url = answer != NULL ? answer->url : "",
        .code = answer != NULL ? answer->code : "",
        .text = answer != NULL ? answer->text : "",
        .obstacle = c->obstacle.code != 0 ? c->obstacle.text : "",
        .is_wanted = answer != NULL && answer->verdict == STAGER_OK,
        .is_skipped = answer != NULL && answer->verdict == STAGER_SKIP,
        .length_bytes = answer != NULL ? answer->length_bytes : 0,
        .manifest_version = answer != NULL ? answer->manifest_version : 0,
    };

    c->e->check = NULL;
    c->done(c->ctx, answer != NULL ? &checked : NULL, err);
    free(c);
}

static void on_answer(void *ctx, const struct stager_answer *answer, const struct err *err)
{
    const struct update_check *c = ctx;
    struct stager_answer told;

    if (answer != NULL) {
        told = *answer;
        update_blame_clock(c->e, &told);
        answer = &told;
    }
    finish(ctx, answer, err);
}

int engine_check_update(struct engine *e, const struct engine_update *u, engine_checked_fn done,
                        void *ctx, struct err *err)
{
    struct update_check *c;
    struct stager_request q;
    int r;

    if (e->check != NULL || e->is_stopping)
        return err_set(err, ERR_BUSY, "updates are being looked for already: try again");
    c = calloc(1, sizeof(*c));
    if (c == NULL)
        return err_set(err, ERR_NOMEM, "look for updates: out of memory");
    *c = (struct update_check){.e = e, .done = done, .ctx = ctx};
    (void)str_copy(c->footing.from, sizeof(c->footing.from), ssmd_version); /* fits */
    update_fill_request(e, &q);
    if (update_check_begin(e, &c->footing, &c->obstacle) == 0)
        c->obstacle.code = 0;
    (void)str_copy(q.package, sizeof(q.package), UPDATE_NAME_OURS); /* fits */
    (void)str_copy(q.from, sizeof(q.from), c->footing.from);        /* as large */
    q.allow_downgrade = u->allow_downgrade;
    q.limit_ms = LIMIT_MS;
    if (!str_copy(q.asked, sizeof(q.asked), u->asked))
        r = err_set(err, ERR_LIMIT, "version %.40s... is too long", u->asked);
    else if (q.source[0] == '\0' || c->obstacle.code == ERR_STATE)
        r = err_set(err, ERR_STATE, "%s", c->obstacle.text); /* there is nothing to look at */
    else
        r = stager_start(e->loop, e->config->stager_path, &q, LIMIT_MS + MARGIN_MS, on_answer, c,
                         &c->stager, err);
    if (r < 0) {
        free(c);
        return r;
    }
    e->check = c;
    return 0;
}

void updates_drop_check(struct engine *e)
{
    struct update_check *c = e->check;
    struct err err;

    if (c == NULL)
        return;
    stager_kill(c->stager, true);
    (void)err_set(&err, ERR_CANCELLED, "ssmd is stopping");
    finish(c, NULL, &err);
}
