/* The beginning of an update: may it begin, who asks, and its row in the journal. */
#define LOG_MODULE "update"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/update_internal.h"
#include "agent/update_package.h"
#include "base/ids.h"
#include "base/str.h"
#include "base/version.h"
#include "schema/update_inputs.h"
#include "update/slots.h"

/* One that never began, and only waits to be told, is in nobody's way. */
static bool is_in_the_way(const struct job *j)
{
    return job_is_update(j) && !(j->inst.state == UPDATE_FAILED && j->inst.n_transitions <= 1);
}

/* No slot: its owner is asked to, where that is configured. */
static int check_package(const struct paths *paths, const struct config *c,
                         struct update_footing *ret_footing, struct err *err)
{
    struct package_owner owner;

    package_owner_find(paths->root, &owner);
    if (!str_eq(c->update_package_manager, "drive"))
        return err_set(
            err, ERR_STATE,
            "this ssmd does not run from %.100s/current: a package manager or a person put it "
            "where it is, and only they can replace it; type: %s%s",
            paths->slots_dir, package_owner_command(&owner),
            owner.manager[0] != '\0' ? " (or set Ssmd.UpdatePackageManager to drive)" : "");
    if (owner.manager[0] == '\0')
        return err_set(err, ERR_STATE,
                       "%.150s is of no version slot and of no package of apt, dnf, yum or zypper: "
                       "whoever put it there has to replace it",
                       owner.program);
    (void)str_copy(ret_footing->manager, sizeof(ret_footing->manager),
                   owner.manager);                                              /* as large */
    (void)str_copy(ret_footing->from, sizeof(ret_footing->from), ssmd_version); /* fits */
    return 0;
}

/* Every version that can be switched to is a slot, and so is the one to come back to. */
static int check_slots(const struct paths *paths, const struct config *c,
                       struct update_footing *ret_footing, struct err *err)
{
    AUTO(slots_done) struct slots slots = {.dir_fd = -1, .versions_fd = -1};
    char version[SLOTS_VERSION_SIZE];
    int r = slots_open(paths->slots_dir, false, &slots, err);

    if (r == 0)
        r = slots_own_version(&slots, version, err);
    if (r == ERR_NOT_FOUND)
        return check_package(paths, c, ret_footing, err);
    if (r == 0)
        (void)str_copy(ret_footing->from, sizeof(ret_footing->from), version); /* as large */
    return r;
}

static int check_configuration(const struct paths *paths, const struct config *c, struct err *err)
{
    char path[PATH_MAX + 32];

    (void)snprintf(path, sizeof(path), "%s/etc/bottlerocket-release", paths->root);
    if (access(path, F_OK) == 0)
        return err_set(
            err, ERR_STATE,
            "this is Bottlerocket, whose programs are part of its image: update the image");
    if (c->update_source[0] == '\0')
        return err_set(
            err, ERR_STATE,
            "there is no update source: set Ssmd.UpdateSource in the configuration to the "
            "URL of a directory with signed versions of ssmd");
    if (access(c->update_root_file, R_OK) < 0)
        return err_set(err, ERR_STATE,
                       "%s, the keys that sign versions of ssmd, cannot be read: %s; put the root "
                       "file of the update source there (Ssmd.UpdateRootFile)",
                       c->update_root_file, strerror(errno));
    return 0;
}

int update_check_place(const struct paths *paths, const struct config *c,
                       struct update_footing *ret_footing, struct err *err)
{
    int r = check_configuration(paths, c, err);

    return r < 0 ? r : check_slots(paths, c, ret_footing, err);
}

int update_check_begin(const struct engine *e, struct update_footing *ret_footing, struct err *err)
{
    const struct job *j;

    for (j = e->first; j != NULL; j = j->next)
        if (is_in_the_way(j))
            return err_set(err, ERR_BUSY, UPDATE_BUSY_TEXT);
    return update_check_place(e->paths, e->config, ret_footing, err);
}

static void fill(const struct engine *e, const struct update_wish *w, struct update *u)
{
    u->way = w->way;
    u->allow_downgrade = w->allow_downgrade;
    u->is_forced = w->is_forced;
    u->wait_ms = w->wait_ms;
    u->proving_ms = e->config->update_proving_seconds * 1000;
    u->deadline_ms = e->config->update_deadline_seconds * 1000;
    (void)str_copy(u->agent_name, sizeof(u->agent_name), w->agent_name); /* checked: they fit */
    (void)str_copy(u->asked, sizeof(u->asked), w->asked);
    if (w->parent == NULL)
        return;
    (void)str_copy(u->parent_id, sizeof(u->parent_id), w->parent->inst.id); /* fits: it is an id */
    u->parent_unit = w->unit;
    u->parent_attempt = w->attempt;
}

static int make_id(const struct update_wish *w, char ret_id[FSM_ID_SIZE], struct err *err)
{
    char uuid[UUID_SIZE];

    if (w->parent != NULL)
        return update_child_id(w->parent->inst.id, w->unit, w->attempt, ret_id)
                   ? 0
                   : err_set(err, ERR_LIMIT, "update of %s: its id would be too long",
                             w->parent->inst.id);
    ids_uuid4(uuid);
    (void)snprintf(ret_id, FSM_ID_SIZE, "update-%s", uuid); /* fits */
    return 0;
}

int update_add(struct engine *e, const struct update_wish *w, struct err *err)
{
    struct update_footing footing = {.manager = ""};
    char id[FSM_ID_SIZE];
    struct update_reason reason = {.code = ""};
    struct fsm_event ev = engine_event(e, UPDATE_EV_BEGIN, 0, NULL);
    struct fsm_instance inst = {.machine = &update_machine};
    struct job *job = NULL;
    struct err why;
    int refusal, r;

    (void)str_copy(footing.from, sizeof(footing.from), ssmd_version); /* fits; or the slot's */
    refusal = update_check_begin(e, &footing, &why);
    r = make_id(w, id, err);
    if (r == 0)
        r = fsm_instance_init(&inst, &update_machine, id, 0, clock_wall_ms(), err);
    if (r != 0)
        return r;
    fill(e, w, update_of(&inst));
    (void)str_copy(update_of(&inst)->from_version, 64, footing.from); /* these are as large */
    (void)str_copy(update_of(&inst)->manager, sizeof(footing.manager), footing.manager);
    r = engine_add_job(e, &inst, "", &job, err);
    if (r < 0) {
        fsm_instance_done(&inst);
        return r;
    }
    if (refusal < 0) {
        reason.code = refusal == ERR_BUSY ? "" : "ErrorFailedPrecondition";
        reason.text = why.text;
        ev = engine_event(e, UPDATE_EV_FAILED, 0, &reason);
    }
    return engine_deliver(e, job, &ev, err);
}

/* ---- asked for by an operator, or by the clock ---- */

struct wish_item {
    struct item item;
    struct update_wish wish; /* its texts point below */
    char asked[64];
    engine_accepted_fn done; /* may be NULL */
    void *ctx;
    char job_id[FSM_ID_SIZE];
};

static int apply_wish(struct engine *e, struct item *item, struct err *err)
{
    struct wish_item *it = container_of(item, struct wish_item, item);
    int r = update_add(e, &it->wish, err);

    if (r == 0)
        (void)str_copy(it->job_id, sizeof(it->job_id), e->last->inst.id); /* the newest is last */
    return r;
}

static void finish_wish(struct engine *e, struct item *item, const struct err *err)
{
    struct wish_item *it = container_of(item, struct wish_item, item);

    (void)e;
    if (it->done != NULL)
        it->done(it->ctx, it->job_id, err);
    free(it);
}

int engine_update(struct engine *e, const struct engine_update *u, engine_accepted_fn done,
                  void *ctx, struct err *err)
{
    struct update_footing footing;
    struct wish_item *it;
    int r;

    r = engine_check_open(e, "update", err);
    if (r == 0)
        r = update_check_begin(e, &footing, err);
    if (r < 0)
        return r;
    it = calloc(1, sizeof(*it));
    if (it == NULL)
        return err_set(err, ERR_NOMEM, "update: out of memory");
    it->item = (struct item){.apply = apply_wish, .finish = finish_wish};
    it->wish = (struct update_wish){.way = u->is_by_clock ? UPDATE_BY_CLOCK : UPDATE_BY_OPERATOR,
                                    .agent_name = UPDATE_NAME_OURS,
                                    .asked = it->asked,
                                    .allow_downgrade = u->allow_downgrade,
                                    .is_forced = u->is_forced,
                                    .wait_ms = u->wait_ms};
    if (!str_copy(it->asked, sizeof(it->asked), u->asked)) {
        free(it);
        return err_set(err, ERR_LIMIT, "update: version %.40s... is too long", u->asked);
    }
    it->done = done;
    it->ctx = ctx;
    engine_queue(e, &it->item);
    return 0;
}
