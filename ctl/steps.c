/* The steps of a command: each is one execution of one plugin's inputs (fsm/command.h). */
#include <inttypes.h>

#include "base/str.h"
#include "ctl/job.h"

static const char *note_text(int64_t note)
{
    switch ((enum command_note)note) {
    case COMMAND_NOTE_EARLIER_EXIT:
        return "skipped: an earlier step ended the document";
    case COMMAND_NOTE_INTERRUPTED:
        return "interrupted, outcome unknown";
    case COMMAND_NOTE_AFTER_LOST:
        return "skipped: the outcome of an earlier step is unknown";
    case COMMAND_NOTE_REBOOT_CAP:
        return "asked for more reboots than are allowed";
    case COMMAND_NOTE_NO_REBOOT:
        return "the reboot it asked for did not come";
    case COMMAND_NOTE_UNSTOPPABLE:
        return "did not end when it was killed";
    case COMMAND_NOTE_NOT_BEGUN:
        return "cancelled before it began";
    case COMMAND_NOTE_RUNAWAY:
        return "ended: too many transitions";
    case COMMAND_NOTE_ON_FAILURE:
        return "failed, and its onFailure ended the document";
    case COMMAND_NOTE_NONE:
        break;
    }
    return "";
}

bool step_has_ended(const struct command_unit *u)
{
    return u->status[0] != '\0' && !str_eq(u->status, "InProgress") &&
           !str_eq(u->status, "SuccessAndReboot");
}

const char *step_reason(const struct command_unit *u)
{
    return u->text[0] != '\0' ? u->text : note_text(u->note);
}

static void add_row(struct table *t, size_t i, const struct command_unit *u, int64_t now_unix_ms)
{
    char text[TEXT_SHORT_SIZE];
    bool has_ended = step_has_ended(u);

    table_cell(t, "%zu", i);
    table_cell(t, "%s", u->status[0] != '\0' ? u->status : "-");
    if (has_ended)
        table_cell(t, "%" PRId64, u->code);
    else
        table_cell(t, "-");
    table_cell(t, "%" PRId64, u->attempt);
    text_time(u->started_unix_ms, now_unix_ms, text);
    table_cell(t, "%s", text);
    text_duration(u->started_unix_ms == 0
                      ? -1
                      : (has_ended ? u->ended_unix_ms : now_unix_ms) - u->started_unix_ms,
                  text);
    table_cell(t, "%s", text);
    text_size(u->stdout_bytes, text);
    table_cell(t, "%s", text);
    text_size(u->stderr_bytes, text);
    table_cell(t, "%s", text);
}

/* What does not fit into a column stands below its row's table, one line each. */
static void print_details(const struct reader_instance *job, FILE *f)
{
    char size[TEXT_SHORT_SIZE];
    size_t i;

    for (i = 0; i < job->inst.n_children; i++) {
        const struct command_unit *u = command_unit_at(&job->inst, i);

        if (step_reason(u)[0] != '\0') {
            (void)fprintf(f, "  step %zu: ", i);
            text_put(f, step_reason(u));
            (void)fputc('\n', f);
        }
        if (u->output_lost > 0) {
            text_size(u->output_lost, size);
            (void)fprintf(f,
                          "  step %zu: %s of its output were over the limit or could not be "
                          "written, and are not kept\n",
                          i, size);
        }
        if (u->stdout_sha256[0] != '\0')
            (void)fprintf(f, "  step %zu: stdout sha256 %s\n", i, u->stdout_sha256);
        if (u->stderr_sha256[0] != '\0')
            (void)fprintf(f, "  step %zu: stderr sha256 %s\n", i, u->stderr_sha256);
    }
}

int job_print_steps(const struct reader_instance *job, int64_t now_unix_ms, FILE *f,
                    struct err *err)
{
    static const char *const heads[] = {"STEP",    "STATUS", "CODE",   "ATTEMPT",
                                        "STARTED", "TOOK",   "STDOUT", "STDERR"};
    AUTO(table_done) struct table t = {0};
    size_t i;
    int r;

    table_init(&t, ARRAY_LEN(heads),
               TABLE_RIGHT | TABLE_RIGHT << 2 | TABLE_RIGHT << 3 | TABLE_RIGHT << 6 |
                   TABLE_RIGHT << 7);
    if (!job_is_command(job) || job->inst.n_children == 0)
        return 0;
    for (i = 0; i < ARRAY_LEN(heads); i++)
        table_cell(&t, "%s", heads[i]);
    for (i = 0; i < job->inst.n_children; i++)
        add_row(&t, i, command_unit_at(&job->inst, i), now_unix_ms);
    r = table_print(&t, 2, f, err);
    if (r == 0)
        print_details(job, f);
    return r;
}

void job_write_steps(struct jsonw *w, const struct reader_instance *job)
{
    size_t i;

    if (!job_is_command(job))
        return;
    for (i = 0; i < job->inst.n_children; i++) {
        const struct command_unit *u = command_unit_at(&job->inst, i);

        jsonw_open_object(w, NULL);
        jsonw_i64(w, "step", (int64_t)i);
        jsonw_i64(w, "plugin", u->plugin);
        jsonw_str(w, "status", u->status);
        jsonw_i64(w, "code", u->code);
        jsonw_str(w, "outcome", u->outcome);
        jsonw_i64(w, "attempt", u->attempt);
        jsonw_i64(w, "reboots", u->reboots);
        jsonw_i64(w, "limit_ms", u->limit_ms);
        jsonw_str(w, "boot_id", u->boot_id);
        jsonw_time(w, "started", u->started_unix_ms);
        jsonw_time(w, "ended", u->ended_unix_ms);
        jsonw_i64(w, "stdout_bytes", u->stdout_bytes);
        jsonw_i64(w, "stderr_bytes", u->stderr_bytes);
        jsonw_str(w, "stdout_sha256", u->stdout_sha256);
        jsonw_str(w, "stderr_sha256", u->stderr_sha256);
        jsonw_i64(w, "output_lost", u->output_lost);
        jsonw_str(w, "note", note_text(u->note));
        jsonw_str(w, "text", u->text);
        jsonw_close_object(w);
    }
}
