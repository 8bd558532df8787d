/* Looking up the jobs that a job's steps made. */
#include "ctl/nested.h"

#include <inttypes.h>

#include "base/str.h"
#include "ctl/job.h"
#include "fsm/update.h"

struct walk {
    struct reader *reader;
    int64_t now_unix_ms;
    FILE *f;         /* or NULL: */
    struct jsonw *w; /* borrowed */
};

static int show_one(const struct walk *walk, const struct reader_instance *job, size_t unit,
                    int64_t attempt, struct err *err);

/* Every attempt of every step that ran a document or an update. One that was not fetched made no
 * job. */
static int show_all(const struct walk *walk, const struct reader_instance *job, struct err *err)
{
    size_t i;
    int r = 0;

    if (!job->is_loaded || !job_is_command(job))
        return 0;
    for (i = 0; i < job->inst.n_children && r == 0; i++) {
        const struct command_unit *u = command_unit_at(&job->inst, i);
        int64_t attempt;

        for (attempt = 1; u->kind != COMMAND_UNIT_PROCESS && attempt <= u->attempt && r == 0;
             attempt++)
            r = show_one(walk, job, i, attempt, err);
    }
    return r;
}

static int print_one(const struct walk *walk, const struct reader_instance *nested,
                     const struct reader_instance *job, size_t unit, struct err *err)
{
    (void)fprintf(walk->f, "\n%s of step %zu of ", job_is_update(nested) ? "Update" : "Document",
                  unit);
    text_put(walk->f, job->id);
    (void)fputs(": ", walk->f);
    text_put(walk->f, job_document(nested));
    (void)fputs("\n  job ", walk->f);
    text_put(walk->f, nested->id);
    (void)fprintf(walk->f, ", %s%s%s\n", nested->state, nested->status[0] != '\0' ? ", " : "",
                  nested->status);
    return nested->is_loaded && job_is_command(nested)
               ? job_print_steps(nested, walk->now_unix_ms, walk->f, err)
               : 0;
}

static void write_one(const struct walk *walk, const struct reader_instance *nested, size_t unit,
                      int64_t attempt)
{
    struct jsonw *w = walk->w;

    jsonw_open_object(w, NULL);
    jsonw_str(w, "parent",
              job_is_update(nested) ? update_of(&nested->inst)->parent_id
                                    : command_of(&nested->inst)->parent_id);
    jsonw_i64(w, "parent_step", (int64_t)unit);
    jsonw_i64(w, "parent_attempt", attempt);
    job_write_members(w, nested);
    jsonw_open_list(w, "steps");
    job_write_steps(w, nested);
    jsonw_close_list(w);
    jsonw_close_object(w);
}

static int show_one(const struct walk *walk, const struct reader_instance *job, size_t unit,
                    int64_t attempt, struct err *err)
{
    struct reader_instance nested;
    char id[FSM_ID_SIZE];
    struct err why;
    int r;

    if (!(command_unit_at(&job->inst, unit)->kind == COMMAND_UNIT_UPDATE
              ? update_child_id(job->id, (int64_t)unit, attempt, id)
              : command_child_id(job->id, (int64_t)unit, attempt, id)))
        return 0;
    r = reader_get(walk->reader, id, &nested, &why);
    if (r == ERR_NOT_FOUND)
        return 0;
    if (r < 0) {
        *err = why;
        return r;
    }
    if (walk->f != NULL)
        r = print_one(walk, &nested, job, unit, err);
    else if (nested.is_loaded)
        write_one(walk, &nested, unit, attempt);
    if (r == 0)
        r = show_all(walk, &nested, err);
    reader_instance_done(&nested);
    return r;
}

int nested_print(struct reader *reader, const struct reader_instance *job, int64_t now_unix_ms,
                 FILE *f, struct err *err)
{
    const struct walk walk = {.reader = reader, .now_unix_ms = now_unix_ms, .f = f};

    return show_all(&walk, job, err);
}

int nested_write(struct reader *reader, const struct reader_instance *job, struct jsonw *w,
                 struct err *err)
{
    const struct walk walk = {.reader = reader, .w = w};

    return show_all(&walk, job, err);
}
