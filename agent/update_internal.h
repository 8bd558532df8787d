/* What the files of self-update in the agent share (docs/internals/update.md). The decisions are
 * fsm/update.h's; here its effects are done: by ssmd-stager, by ssmd-updater, and by telling. */
#ifndef SSMD_AGENT_UPDATE_INTERNAL_H
#define SSMD_AGENT_UPDATE_INTERNAL_H

#include "agent/engine_internal.h"
#include "agent/update_stager.h"
#include "fsm/update.h"

#define UPDATE_LOOK_MS 1000 /* while an update is open */
#define UPDATE_BUSY_TEXT "Another update in progress, try again later"
#define UPDATE_FACT_BAD "update.bad" /* version that was rolled back here last */

enum update_telling { TELLING_NOT, TELLING_FIRST, TELLING_LAST, TELLING_WORK, TELLING_OVER };

/* What this process knows of an open update, beside the journal. Owned by its job. */
struct update_watch {
    struct engine *e;
    struct job *job;
    int64_t effect_id;     /* that what follows is about */
    struct stager *stager; /* ends with the job; NULL: none runs */
    struct backoff backoff;
    int64_t retry_at_ms; /* boot time; 0: nothing waits */
    char trouble[400];   /* why the last try failed, or what is waited for; "" */
    /* the switch */
    bool is_working;  /* on the thread pool */
    bool is_given_up; /* its failure is on its way */
    unsigned n_starts;
    int64_t start_at_ms; /* boot time: not before, the updater is started again */
    /* telling */
    enum update_telling telling;
    int64_t give_up_ms; /* boot time: not waited for the service any longer */
};

static inline bool job_is_update(const struct job *job)
{
    return job->inst.machine == &update_machine;
}

/* NULL: out of memory, and the engine will load again. Begun anew for another effect. */
struct update_watch *update_watch_for(struct engine *e, struct job *job,
                                      const struct fsm_effect *fx);
/* Look at open updates from now on, at once and then each UPDATE_LOOK_MS. */
void update_look_soon(struct engine *e);
bool update_is_in_reach(const struct engine *e); /* the service */

/* An event with the texts of a reason, into the queue; either may be "". */
void update_queue_reason(struct engine *e, const struct job *job, uint8_t event, int64_t effect_id,
                         const char *code, const char *text);

/* update_follow.c */
/* One look at order, lock and progress; whatever has to be done or said follows. */
void update_follow(struct engine *e, struct job *job, const struct fsm_effect *fx);

/* The unit that this process is the main process of, as the service manager says; else "". */
void update_own_unit(char *ret_unit, size_t size);
/* Ask the service manager for it, and do not wait. */
int update_restart_unit(struct engine *e, const char *unit, struct err *err) MUST_CHECK;

/* update_tell.c */
void update_tell(struct engine *e, struct job *job, const struct fsm_effect *fx);
/* AgentStatus on the way, once, whether or not somebody hears it (spec 06, section 8). */
void update_mention(struct engine *e, const struct job *job, const char *status, const char *code);

/* update_step.c */
/* The output of a step that was an update, in the reference's shape (spec 06, section 12.4). */
void update_say(const struct update *u, enum update_state state, struct buf *words);

/* update_begin.c */
struct update_wish {
    enum update_way way;
    const char *agent_name, *asked;
    bool allow_downgrade, is_forced;
    int64_t wait_ms;
    const struct job *parent; /* NULL: nobody's step */
    int64_t unit, attempt;
};
/* What an update begins from. */
struct update_footing {
    char from[64];    /* the version that runs */
    char manager[16]; /* the package manager that is to be driven; "": there are slots */
};
/* Could one be done with this configuration, from where this program runs? ERR_STATE: why not, and
 * what to do about it. */
int update_check_place(const struct paths *paths, const struct config *c,
                       struct update_footing *ret_footing, struct err *err) MUST_CHECK;
/* May an update begin now? ERR_STATE, ERR_BUSY: why not, for whoever asked. */
int update_check_begin(const struct engine *e, struct update_footing *ret_footing, struct err *err)
    MUST_CHECK;
/* Within the transaction: a new instance, begun, or failed at once for a reason of its own. */
int update_add(struct engine *e, const struct update_wish *w, struct err *err) MUST_CHECK;
/* update_clock.c: is it time for an update that nobody asks for? Pure. */
struct update_clock {
    const char *node_id, *window;
    int64_t days, up_ms, now_unix_ms, last_unix_ms; /* up: and wishing it; last: 0 never */
    int64_t first_unix_ms; /* when this node first wished to look; 0 not known */
};
bool update_is_due(const struct update_clock *c);

/* Metadata that is not believed may be right, and this machine's clock wrong: where the service's
 * answers tell, the text says so. */
void update_blame_clock(const struct engine *e, struct stager_answer *answer);

/* What the stager is asked; the caller adds what the phase needs. */
void update_fill_request(const struct engine *e, struct stager_request *q);

#endif
