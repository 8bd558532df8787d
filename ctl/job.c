/* One job as a row, and as members of a JSON object. Its steps are in steps.c. */
#include "ctl/job.h"

#include <inttypes.h>

#include "base/str.h"
#include "fsm/delivery.h"
#include "fsm/registration.h"
#include "fsm/update.h"

bool job_is_command(const struct reader_instance *i)
{
    return i->is_loaded && i->inst.machine == &command_machine;
}

static bool is_delivery(const struct reader_instance *i)
{
    return i->is_loaded && i->inst.machine == &delivery_machine;
}

static const struct registration *registration(const struct reader_instance *i)
{
    return i->is_loaded && i->inst.machine == &registration_machine ? registration_of(&i->inst)
                                                                    : NULL;
}

bool job_is_update(const struct reader_instance *i)
{
    return i->is_loaded && i->inst.machine == &update_machine;
}

bool job_is_over(const struct reader_instance *i)
{
    return i->ended_unix_ms != 0 || (job_is_command(i) && i->inst.state == COMMAND_REPORTING);
}

/* A step's update is part of its job. */
bool job_is_part(const struct reader_instance *i)
{
    return (job_is_command(i) && command_is_nested(&i->inst)) ||
           (job_is_update(i) && update_of(&i->inst)->parent_id[0] != '\0');
}

bool job_has_failed(const struct reader_instance *i)
{
    return (job_is_command(i) || (job_is_update(i) && !job_is_part(i))) && job_is_over(i) &&
           !str_eq(i->status, "Success");
}

const char *job_document(const struct reader_instance *i)
{
    if (job_is_command(i))
        return command_of(&i->inst)->document_name;
    if (registration(i) != NULL)
        return registration(i)->node_id;
    if (job_is_update(i)) /* to which version, as far as it is known */
        return update_of(&i->inst)->to_version[0] != '\0' ? update_of(&i->inst)->to_version
               : update_of(&i->inst)->asked[0] != '\0'    ? update_of(&i->inst)->asked
                                                          : "latest";
    return is_delivery(i) ? delivery_of(&i->inst)->kind : "";
}

const char *job_channel(const struct reader_instance *i)
{
    if (job_is_command(i))
        return command_of(&i->inst)->channel;
    return is_delivery(i) ? delivery_of(&i->inst)->channel : "";
}

const char *job_text(const struct reader_instance *i)
{
    if (job_is_command(i))
        return command_of(&i->inst)->text;
    if (registration(i) != NULL)
        return registration(i)->text;
    if (job_is_update(i))
        return update_of(&i->inst)->text;
    return is_delivery(i) ? delivery_of(&i->inst)->text : "";
}

/* "2/3": steps that have ended, of how many; "-" without steps. */
static void add_progress(struct table *t, const struct reader_instance *i)
{
    size_t k, n = 0;

    if (!job_is_command(i) || i->inst.n_children == 0) {
        table_cell(t, "-");
        return;
    }
    for (k = 0; k < i->inst.n_children; k++)
        n += step_has_ended(command_unit_at(&i->inst, k));
    table_cell(t, "%zu/%zu", n, i->inst.n_children);
}

void job_table_init(struct table *t)
{
    static const char *const heads[] = {"JOB", "STATE", "STATUS", "STEPS", "SINCE", "DOCUMENT"};
    size_t i;

    table_init(t, ARRAY_LEN(heads), TABLE_RIGHT << 3);
    for (i = 0; i < ARRAY_LEN(heads); i++)
        table_cell(t, "%s", heads[i]);
}

void job_table_add(struct table *t, const struct reader_instance *i, int64_t now_unix_ms)
{
    char at[TEXT_SHORT_SIZE];

    text_time(i->updated_unix_ms, now_unix_ms, at);
    table_cell(t, "%s", i->id);
    table_cell(t, "%s", i->state);
    table_cell(t, "%s", i->status[0] != '\0' ? i->status : "-");
    add_progress(t, i);
    table_cell(t, "%s", at);
    table_cell(t, "%s%s", job_is_update(i) ? "update to " : "", job_document(i));
}

void job_write_members(struct jsonw *w, const struct reader_instance *i)
{
    jsonw_str(w, "job", i->id);
    jsonw_str(w, "machine", i->machine);
    jsonw_str(w, "state", i->state);
    jsonw_str(w, "status", i->status);
    jsonw_str(w, "document", job_document(i));
    jsonw_str(w, "channel", job_channel(i));
    jsonw_time(w, "created", i->created_unix_ms);
    jsonw_time(w, "updated", i->updated_unix_ms);
    jsonw_time(w, "ended", i->ended_unix_ms);
    jsonw_i64(w, "n_steps", (int64_t)i->inst.n_children);
    jsonw_i64(w, "step", job_is_command(i) ? command_of(&i->inst)->unit : 0);
    jsonw_str(w, "text", job_text(i));
}
