/* aws:updateSsmAgent: a step that is an update of this agent (spec 06, section 2). As a nested
 * document it is an instance of its own, made in the turn that begins the step, and its end is its
 * step's end in one transaction; so the step goes on over the switch, under whichever version. */
#define LOG_MODULE "update"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/nest_internal.h"
#include "agent/update.h"
#include "agent/update_internal.h"
#include "base/str.h"
#include "base/version.h"
#include "schema/update_inputs.h"

/* ---- what its output says ---- */

static void add_line(struct buf *b, const char *text)
{
    if (text[0] == '\0')
        return;
    (void)buf_add_str(b, text); /* cut is better than nothing */
    if (text[strlen(text) - 1] != '\n')
        (void)buf_add_char(b, '\n');
}

/* Was anything begun that changes what runs? A package manager is told of in any case. */
static bool is_begun(const struct update *u, enum update_state state)
{
    return u->manager[0] != '\0' || state == UPDATE_COMMITTED || state == UPDATE_ROLLED_BACK;
}

static void say_preparation(const struct update *u, enum update_state state, struct buf *b)
{
    char from[80], to[80];

    version_four(u->from_version, from, sizeof(from));
    version_four(u->to_version, to, sizeof(to));
    (void)buf_printf(b, "Updating %s from %s to %s\n", u->agent_name, from, to);
    if (u->url[0] != '\0')
        (void)buf_printf(b, "Successfully downloaded %s\n", u->url);
    if (is_begun(u, state))
        (void)buf_printf(b, "Initiating %s update to %s\n", u->agent_name, to);
}

static void say_failure(const struct update *u, enum update_state state, struct buf *b)
{
    char from[80], to[80];

    version_four(u->from_version, from, sizeof(from));
    if (u->to_version[0] != '\0')
        version_four(u->to_version, to, sizeof(to));
    else
        (void)str_copy(to, sizeof(to), u->asked[0] != '\0' ? u->asked : "latest");
    add_line(b, u->text);
    if (str_eq(u->text, UPDATE_BUSY_TEXT))
        return;
    if (state == UPDATE_ROLLED_BACK)
        (void)buf_printf(b, "rolledback %s to %s\n", u->agent_name, from);
    (void)buf_printf(b, "Failed to update %s to %s\n", u->agent_name, to);
    if (state != UPDATE_ROLLED_BACK && u->is_changed == 0)
        add_line(b, "No rollback needed");
}

void update_say(const struct update *u, enum update_state state, struct buf *words)
{
    bool is_chosen = u->sha256[0] != '\0' || (u->manager[0] != '\0' && u->to_version[0] != '\0');
    char to[80];

    if (u->manifest_version > 0 || state == UPDATE_SKIPPED)
        add_line(words, "Successfully downloaded manifest");
    if (is_chosen)
        say_preparation(u, state, words);
    if (state == UPDATE_COMMITTED) {
        version_four(u->to_version, to, sizeof(to));
        (void)buf_printf(words, "%s updated successfully to %s\n", u->agent_name, to);
    } else if (state == UPDATE_SKIPPED) {
        add_line(words, u->text);
        if (strstr(u->text, "skipped") == NULL)
            add_line(words, "update skipped");
    } else {
        say_failure(u, state, words);
    }
}

/* ---- the step ---- */

struct step_item {
    struct item item;
    char job_id[FSM_ID_SIZE]; /* the parent */
    int64_t effect_id;
    char agent_name[128], target[64];
    bool allow_downgrade;
};

static int apply_step(struct engine *e, struct item *item, struct err *err)
{
    const struct step_item *it = container_of(item, struct step_item, item);
    struct job *job = engine_find_job(e, it->job_id);
    const struct fsm_effect *fx = job != NULL ? fsm_find_effect(&job->inst, it->effect_id) : NULL;
    struct update_wish wish = {.way = UPDATE_BY_COMMAND,
                               .agent_name = it->agent_name,
                               .asked = it->target,
                               .allow_downgrade = it->allow_downgrade,
                               .parent = job};

    if (fx == NULL || job->inst.state != COMMAND_RUNNING) { /* stopped meanwhile */
        e->status.n_stale++;
        return 0;
    }
    wish.unit = fx->arg;
    wish.attempt = fx->arg2;
    return update_add(e, &wish, err);
}

static void finish_step(struct engine *e, struct item *item, const struct err *err)
{
    (void)e;
    (void)err; /* not committed: a later load finds no child and begins anew */
    free(container_of(item, struct step_item, item));
}

static struct job *find_child(const struct engine *e, const struct job *job,
                              const struct fsm_effect *fx)
{
    char id[FSM_ID_SIZE];

    return update_child_id(job->inst.id, fx->arg, fx->arg2, id) ? engine_find_job(e, id) : NULL;
}

/* As of a nested document: one that ended took its parent's effect with it. */
static bool has_ended_child(const struct engine *e, const struct job *job,
                            const struct fsm_effect *fx)
{
    enum journal_known known = JOURNAL_UNKNOWN;
    char id[FSM_ID_SIZE];

    return update_child_id(job->inst.id, fx->arg, fx->arg2, id) &&
           e->journal->ops->find(e->journal, NULL, id, &known, NULL) == 0 &&
           known != JOURNAL_UNKNOWN && known != JOURNAL_OPEN;
}

void update_step_spawn(struct engine *e, struct job *job, const struct fsm_effect *fx,
                       const struct document_unit *unit)
{
    struct update_inputs in;
    char id[FSM_ID_SIZE];
    struct step_item *it;
    struct err err;
    int r;

    if (!update_child_id(job->inst.id, fx->arg, fx->arg2, id)) {
        nest_refuse_step(e, job, fx, "the update's id would be too long: nest fewer documents");
        return;
    }
    if (find_child(e, job, fx) != NULL)
        return; /* its end will be told */
    if (has_ended_child(e, job, fx)) {
        engine_queue_event(e, job->inst.id, COMMAND_EV_LOST, fx->id, false, NULL);
        return;
    }
    r = update_inputs_parse(unit->inputs, &in, &err);
    if (r == ERR_NOMEM) {
        engine_ask_suspend(e, &err);
        return;
    }
    if (r < 0) {
        nest_refuse_step(e, job, fx, err.text);
        return;
    }
    if (in.has_source)
        log_info("%s: the document's update source is not used, Ssmd.UpdateSource is",
                 job->inst.id);
    it = calloc(1, sizeof(*it));
    if (it == NULL) {
        (void)err_set(&err, ERR_NOMEM, "update of %s: out of memory", job->inst.id);
        engine_ask_suspend(e, &err);
        return;
    }
    it->item = (struct item){.apply = apply_step, .finish = finish_step};
    (void)str_copy(it->job_id, sizeof(it->job_id), job->inst.id); /* these were checked: they fit */
    (void)str_copy(it->agent_name, sizeof(it->agent_name), in.agent_name);
    (void)str_copy(it->target, sizeof(it->target), in.target);
    it->effect_id = fx->id;
    it->allow_downgrade = in.allow_downgrade;
    engine_queue(e, &it->item);
}

void update_step_stop(struct engine *e, struct job *job, const struct fsm_effect *fx)
{
    const struct job *child = find_child(e, job, fx);

    if (child != NULL) /* it is too late once it has switched: its end is told then, as it is */
        engine_queue_event(e, child->inst.id, UPDATE_EV_CANCEL, 0, false, NULL);
    else /* it is not made any more: apply_step() looks at its parent's state */
        engine_queue_event(e, job->inst.id, COMMAND_EV_VOID, 0, false, NULL);
}
