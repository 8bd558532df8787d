/* The uploads of a job, by their ids. */
#include "ctl/uploads.h"

#include <inttypes.h>

#include "base/str.h"
#include "ctl/job.h"
#include "ctl/text.h"
#include "fsm/upload.h"

struct walk {
    struct reader *reader;
    FILE *f; /* NULL: into `w` */
    struct jsonw *w;
    size_t n;
};

static void print_one(struct walk *walk, const struct reader_instance *i)
{
    const struct upload *u = upload_of(&i->inst);

    if (walk->n++ == 0)
        (void)fputs("\nOutput:\n", walk->f);
    (void)fprintf(walk->f, "  step %" PRId64 ": %s", u->unit, i->state);
    if (u->bucket[0] != '\0') {
        (void)fputs(", s3://", walk->f);
        text_put(walk->f, u->bucket);
        (void)fputc('/', walk->f);
        text_put(walk->f, u->key);
    }
    if (u->log_group[0] != '\0') {
        (void)fputs(", log group ", walk->f);
        text_put(walk->f, u->log_group);
        (void)fputs(", streams ", walk->f);
        text_put(walk->f, u->log_stream);
    }
    if (u->text[0] != '\0') {
        (void)fputs(": ", walk->f);
        text_put(walk->f, u->text);
    }
    (void)fputc('\n', walk->f);
}

static void write_one(struct walk *walk, const struct reader_instance *i)
{
    const struct upload *u = upload_of(&i->inst);
    struct jsonw *w = walk->w;

    jsonw_open_object(w, NULL);
    jsonw_i64(w, "step", u->unit);
    jsonw_str(w, "state", i->state);
    jsonw_str(w, "bucket", u->bucket);
    jsonw_str(w, "key", u->key);
    jsonw_str(w, "log_group", u->log_group);
    jsonw_str(w, "log_stream", u->log_stream);
    jsonw_str(w, "text", u->text);
    jsonw_close_object(w);
}

static int show_one(struct walk *walk, const char *id, struct err *err)
{
    struct reader_instance i;
    struct err why;
    int r = reader_get(walk->reader, id, &i, &why);

    if (r == ERR_NOT_FOUND || r == ERR_INVALID) /* the latter: it begins others' ids, and is none */
        return 0;
    if (r < 0) {
        *err = why;
        return r;
    }
    if (i.is_loaded && i.inst.machine == &upload_machine && str_eq(i.id, id)) {
        if (walk->f != NULL)
            print_one(walk, &i);
        else
            write_one(walk, &i);
    }
    reader_instance_done(&i);
    return 0;
}

static int show_all(struct walk *walk, const struct reader_instance *job, struct err *err)
{
    char id[FSM_ID_SIZE];
    size_t unit;
    int r = 0;

    if (!job_is_command(job))
        return 0;
    for (unit = 0; unit < job->inst.n_children && r == 0; unit++)
        if (upload_make_id(job->id, (int64_t)unit, id))
            r = show_one(walk, id, err);
    return r;
}

int uploads_print(struct reader *reader, const struct reader_instance *job, FILE *f,
                  struct err *err)
{
    struct walk walk = {.reader = reader, .f = f};

    return show_all(&walk, job, err);
}

int uploads_write(struct reader *reader, const struct reader_instance *job, struct jsonw *w,
                  struct err *err)
{
    struct walk walk = {.reader = reader, .w = w};

    return show_all(&walk, job, err);
}
