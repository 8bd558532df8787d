/* `ssmctl jobs`: the list. */
#include "base/clock.h"
#include "base/str.h"
#include "ctl/ctl.h"
#include "ctl/history.h"
#include "ctl/job.h"

#define DEFAULT_LIMIT 50
#define MAX_LIMIT 1000000

struct listing {
    struct table table;
    struct jsonw json;
    int64_t now_unix_ms, n, limit;
    bool is_json, is_all;
};

static int add(void *ctx, const struct reader_instance *i, struct err *err)
{
    struct listing *l = ctx;

    (void)err;
    if (!l->is_all && i->is_loaded && ((!job_is_command(i) && !job_is_update(i)) || job_is_part(i)))
        return 0; /* `show` has nested documents with the job that they belong to */
    if (l->n == l->limit)
        return 0;
    l->n++;
    if (!l->is_json) {
        job_table_add(&l->table, i, l->now_unix_ms);
        return 0;
    }
    jsonw_open_object(&l->json, NULL);
    job_write_members(&l->json, i);
    jsonw_close_object(&l->json);
    return 0;
}

static int print(const struct ctl *c, struct listing *l, struct err *err)
{
    if (c->is_json) {
        jsonw_close_list(&l->json);
        jsonw_close_object(&l->json);
        return jsonw_end(&l->json, err);
    }
    if (l->n == 0) {
        (void)fputs(l->is_all || ctl_has(c, "state")
                        ? "no jobs\n"
                        : "no jobs are open; `ssmctl jobs --all` lists those that have ended\n",
                    c->out);
        return CTL_OK;
    }
    return table_print(&l->table, 0, c->out, err);
}

/* A state that no machine has is a slip of the pen, not an empty list. */
static int check_state(const char *state, struct err *err)
{
    const struct fsm_machine *const *m;

    for (m = fsm_machines; *m != NULL; m++)
        if (fsm_state_by_name(*m, state) >= 0)
            return 0;
    return err_set(err, ERR_USAGE,
                   "option --state %s: no machine has such a state; for jobs they are received, "
                   "queued, running, rebooting, stopping, reporting, done",
                   state);
}

int ctl_run_jobs(struct ctl *c, struct err *err)
{
    AUTO(reader_close) struct reader *reader = NULL;
    const char *state = ctl_value(c, "state", NULL);
    struct reader_filter filter = {.state = state};
    struct listing l = {.now_unix_ms = clock_wall_ms(), .is_json = c->is_json};
    int r = state != NULL ? check_state(state, err) : 0;

    l.is_all = ctl_has(c, "all");
    if (!l.is_all && state == NULL)
        filter.which = READER_OPEN;
    if (r < 0 || (r = ctl_value_i64(c, "limit", 1, MAX_LIMIT, DEFAULT_LIMIT, &l.limit, err)) < 0 ||
        (r = history_open(&c->paths, &reader, err)) < 0)
        return r;
    job_table_init(&l.table);
    if (c->is_json) {
        ctl_begin_json(c, &l.json);
        jsonw_open_object(&l.json, NULL);
        jsonw_open_list(&l.json, "jobs");
    }
    r = reader_list(reader, &filter, add, &l, err);
    if (r == 0)
        r = print(c, &l, err);
    table_done(&l.table);
    return r;
}
