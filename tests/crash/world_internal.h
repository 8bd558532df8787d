/* The simulated world, as its files share it: world.c has what goes on by itself and the turns,
 * world_agent.c the agent that is crashed, world_check.c what must hold at the end. */
#ifndef SSMD_TESTS_CRASH_WORLD_INTERNAL_H
#define SSMD_TESTS_CRASH_WORLD_INTERNAL_H

#include "tests/crash/world.h"

#define MAX_ATTEMPTS 8
#define MAX_EFFECTS 64
#define MAX_TURNS 150
#define OVERDUE_AFTER 4 /* idle turns */
#define LIMIT_AFTER 12  /* ... of a running step */
#define RETRY_AFTER 2
#define PATIENCE 6 /* turns until a cancel has reached who runs, crashes included */

/* One step directory: it outlives agents and, as files, reboots. */
struct runner {
    int n_pending; /* started, but without the lock and the `started` record yet */
    bool is_begun, is_ended, is_lost, is_void, is_killed;
    int n_turns;
    int code;
    int boot;
};

/* What the journal holds. */
struct stored {
    bool exists;
    uint8_t state;
    int64_t n_transitions;
    struct command data;
    struct command_unit units[WORLD_MAX_UNITS];
    struct fsm_effect effects[MAX_EFFECTS];
    size_t n_effects;
};

/* One instance: the command, or the nested document. */
struct side {
    const struct unit_script *units;
    int n_units;

    /* survives everything */
    struct stored stored;
    struct runner runners[WORLD_MAX_UNITS][MAX_ATTEMPTS + 1];

    /* dies with the agent */
    struct fsm_instance inst;
    struct fsm_out out;
    int64_t quiet[MAX_EFFECTS]; /* performed, closing with the next commit */
    size_t n_quiet;
    int64_t attached[MAX_EFFECTS]; /* whose completion this life waits for */
    size_t n_attached;
    char final[24]; /* what the statuses of its units came to; of the nested document */
    int64_t answer_effect;
    int answer; /* event the service's answer brings, or FSM_NO_EVENT */
    int n_idle;
};

enum { OUTER, INNER, N_SIDES };

struct world {
    const struct run_plan *plan;
    struct run_result *result;
    int64_t now_ms;
    struct side sides[N_SIDES];
    struct side *a; /* the one that is dealt with */

    /* survives everything */
    int64_t last_effect_id;
    int boot;
    char boot_id[BOOT_ID_SIZE];
    int n_finals, n_refusals, n_acknowledged;
    int64_t final_id;
    char final_status[24];
    bool was_disturbed, is_answer_lost;
    bool was_cancelled; /* committed: nothing may be started any more */
    int cancel_turn;
    int64_t last_reboot_effect;

    /* survives the agent */
    int reboot_in; /* turns until the machine goes down; 0: none asked for; -1: it never will */
    int n_reboot_requests;

    /* dies with the agent */
    bool is_alive;
    bool is_fetching; /* the inner document's text is on its way */
    bool is_void_due; /* a document that was not made is not made any more */
    bool is_inner_cancel_due;
};

/* What one side did in a turn. */
struct change {
    struct side *side;
    struct fsm_effect before[MAX_EFFECTS];
    size_t n_before;
};

/* world.c */
/* The first one is kept for the result. */
void world_violate(struct world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
void *world_must(void *p); /* ends the test without memory */
/* The agent has reached an outside step. False: it died there. */
bool world_outlives_step(struct world *w);

/* world_agent.c */
bool world_is_attached(const struct world *w, int64_t effect_id);
struct runner *world_runner_of(struct world *w, const struct fsm_effect *fx);
bool world_is_document(const struct world *w, const struct fsm_effect *fx);
bool world_is_open(const struct world *w, const struct side *s);
void world_perform(struct world *w, const struct fsm_effect *fx);
/* Let the machine of this side decide. False: nothing of it is to be committed. */
bool world_decide(struct world *w, struct side *side, int kind, int64_t effect_id,
                  const void *detail, struct change *c);
/* One commit for all of them, then their effects. False: the agent died on the way. */
bool world_finish(struct world *w, struct change *changes, size_t n);
/* One turn: step, commit, perform. False: the agent died on the way. */
bool world_deliver(struct world *w, int kind, int64_t effect_id, const void *detail);
void world_restart(struct world *w);
void world_receive_inner(struct world *w, const struct fsm_effect *fx);
void world_receive(struct world *w);

/* world_check.c */
void world_check_end(struct world *w);

#endif
