/* `ssmctl logs`: what a job's steps wrote. */
#include "ctl/ctl.h"
#include "ctl/follow.h"
#include "ctl/history.h"

int ctl_run_logs(struct ctl *c, struct err *err)
{
    AUTO(reader_close) struct reader *reader = NULL;
    struct follow_options options = {.waits = ctl_has(c, "follow")};
    struct reader_instance job;
    int r;

    options.is_wanted[OUTPUT_STDOUT] = !ctl_has(c, "stderr");
    options.is_wanted[OUTPUT_STDERR] = !ctl_has(c, "stdout");
    if ((r = ctl_not_both(c, "stdout", "stderr", err)) < 0 ||
        (r = ctl_value_i64(c, "step", 0, FSM_MAX_CHILDREN, -1, &options.step, err)) < 0 ||
        (r = history_open(&c->paths, &reader, err)) < 0 ||
        (r = history_pick(reader, c->args[0], &job, err)) < 0)
        return r;
    r = follow_job(c, reader, &job, &options, err);
    reader_instance_done(&job);
    return r;
}
