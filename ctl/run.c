/* `ssmctl run`: a document, run on this machine by ssmd as if the service had sent it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "ctl/client.h"
#include "ctl/ctl.h"
#include "ctl/follow.h"
#include "ctl/history.h"
#include "ctl/job.h"
#include "ctl/jsonw.h"
#include "ctl/params.h"
#include "schema/yaml.h"

/* In the question it is a string, so quotes and line ends take two bytes: half of what ssmd takes,
 * less a little for what stands around it, is always short enough to be sent. */
#define MAX_DOCUMENT_BYTES (1u << 20)

static int read_document(const char *path, struct buf *ret_text, struct err *err)
{
    bool is_stdin = str_eq(path, "-");
    AUTO(close_fd)
    int fd = is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
    char chunk[8192], what[200];

    (void)snprintf(what, sizeof(what), "document %.150s", is_stdin ? "standard input" : path);
    if (fd < 0) {
        (void)err_sys(err, ERR_SYSTEM, errno, "document %s", path);
        return err->code = ERR_SYSTEM; /* a document that is not there is none that was refused */
    }
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof(chunk));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, ERR_IO, errno, "document %s", path);
        if (n == 0)
            return 0;
        if (buf_add(ret_text, chunk, (size_t)n) < 0)
            return buf_error(ret_text, what, err);
    }
}

static int parse_document(const char *path, const struct buf *text, cJSON **ret_document,
                          struct err *err)
{
    return document_text_parse(buf_str(text), text->len, MAX_DOCUMENT_BYTES,
                               str_eq(path, "-") ? "standard input" : path, ret_document, err);
}

/* The name that the job is known by: the file's, without its folders. */
static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return str_eq(path, "-") ? "stdin" : slash != NULL ? slash + 1 : path;
}

static int make_question(const struct ctl *c, struct buf *question, struct err *err)
{
    AUTO(buf_done) struct buf text = {0};
    AUTO(cJSON_Delete) cJSON *document = NULL;
    const char *values[64], *path = c->args[0];
    size_t i, n = 0;
    int r;

    buf_init(&text, MAX_DOCUMENT_BYTES);
    for (i = 0; i < c->n_given; i++) {
        if (!str_eq(c->given[i].option->name, "param"))
            continue;
        if (n == ARRAY_LEN(values))
            return err_set(err, ERR_USAGE,
                           "option --param: given more than %zu times; use a JSON "
                           "list for a list of many values",
                           n);
        values[n++] = c->given[i].value;
    }
    if ((r = read_document(path, &text, err)) < 0 ||
        (r = parse_document(path, &text, &document, err)) < 0)
        return r;
    (void)buf_add_str(question, "{\"op\":\"run\",\"name\":"); /* client_ask() looks */
    (void)buf_add_json_str(question, name_of(path), strlen(name_of(path)));
    (void)buf_add_str(question, ",\"document\":");
    (void)buf_add_json_str(question, buf_str(&text), text.len);
    (void)buf_add_str(question, ",\"parameters\":");
    r = params_to_json(document, values, n, question, err);
    (void)buf_add_char(question, '}');
    return r;
}

static int submit(const struct ctl *c, char ret_job[FSM_ID_SIZE], struct err *err)
{
    AUTO(cJSON_Delete) cJSON *answer = NULL;
    AUTO(buf_done) struct buf question = {0};
    const char *job;
    int r;

    buf_init(&question, CLIENT_MAX_BYTES);
    r = make_question(c, &question, err);
    if (r < 0)
        return r;
    r = client_ask(&c->paths, &question, &answer, err);
    if (r < 0)
        return err_wrap(err, "run %s", c->args[0]);
    job = cJSON_GetStringValue(json_get_exact(answer, "job"));
    if (job == NULL || !str_copy(ret_job, FSM_ID_SIZE, job))
        return err_set(err, ERR_PROTOCOL, "run %s: ssmd did not say which job it became",
                       c->args[0]);
    return 0;
}

static int print_job(struct ctl *c, const char *job, struct err *err)
{
    struct jsonw w;

    if (!c->is_json) {
        (void)fprintf(c->out, "%s\n", job);
        return CTL_OK;
    }
    ctl_begin_json(c, &w);
    jsonw_open_object(&w, NULL);
    jsonw_str(&w, "job", job);
    jsonw_close_object(&w);
    return jsonw_end(&w, err);
}

/* The last line of a job that failed: which step it was and why, without another command. */
static void print_failure(const struct ctl *c, const struct reader_instance *job)
{
    const char *reason = job_text(job);
    size_t i;

    (void)fprintf(c->err, "ssmctl: job %s: %s", job->id, job->status);
    if (reason[0] != '\0')
        (void)fputs(": ", c->err);
    for (i = 0; reason[0] == '\0' && i < job->inst.n_children; i++) {
        const struct command_unit *u = command_unit_at(&job->inst, i);

        if (str_eq(u->status, "Success") || str_eq(u->status, "Skipped"))
            continue;
        reason = step_reason(u);
        if (reason[0] != '\0')
            (void)fprintf(c->err, ": step %zu: ", i);
    }
    text_put(c->err, reason);
    (void)fprintf(c->err, "; see `ssmctl show %s`\n", job->id);
}

static int wait_for(struct ctl *c, const char *id, bool *ret_has_failed, struct err *err)
{
    static const struct follow_options options = {-1, {true, true}, true, true};
    AUTO(reader_close) struct reader *reader = NULL;
    struct reader_instance job;
    int r;

    if ((r = history_open(&c->paths, &reader, err)) < 0 ||
        (r = reader_get(reader, id, &job, err)) < 0)
        return r;
    r = follow_job(c, reader, &job, &options, err);
    *ret_has_failed = job_has_failed(&job);
    if (r == 0 && *ret_has_failed)
        print_failure(c, &job);
    reader_instance_done(&job);
    return r;
}

int ctl_run_run(struct ctl *c, struct err *err)
{
    char job[FSM_ID_SIZE];
    bool has_failed = false;
    int r = submit(c, job, err);

    if (r < 0)
        return r;
    if (ctl_has(c, "detach"))
        return print_job(c, job, err);
    (void)fprintf(c->err, "ssmctl: job %s\n", job);
    r = wait_for(c, job, &has_failed, err);
    if (r < 0)
        return err_wrap(err, "follow job %s", job);
    return has_failed ? CTL_NO : CTL_OK;
}
