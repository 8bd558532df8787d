/* A machine, its runners and the service in memory, and the rules of the interpreter: commit, then
 * perform the effects one by one; after a restart look at open effects only, by the table. For the
 * exhaustive crash test of the command machine.
 *
 * A unit may run a document: then there are two instances of the machine, and the inner one's end
 * and the end of the unit are one commit (agent/nest.c).
 *
 * A run is a sequence of outside steps: before a commit, after it, after each effect. The plan says
 * at which of them the agent dies. Nothing but the world and what was committed survives. */
#ifndef SSMD_TESTS_CRASH_WORLD_H
#define SSMD_TESTS_CRASH_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "fsm/command.h"

#define WORLD_MAX_UNITS 4
#define WORLD_MAX_CODES 4

struct unit_script {
    int plugin, plan, flow;
    int codes[WORLD_MAX_CODES]; /* exit code of each attempt */
    int n_codes;                /* attempts after these repeat the last code */
    int max_tries;              /* 0: it is not tried again */
    int n_turns;                /* how much longer than one turn it runs */
    bool is_unstoppable;
    bool is_document; /* what it runs is the scenario's inner document; once in a scenario */
};

enum reboot_luck { REBOOT_COMES, REBOOT_COMES_WHEN_ASKED_TWICE, REBOOT_NEVER_COMES };

struct scenario {
    const char *name;
    struct unit_script units[WORLD_MAX_UNITS];
    int n_units;
    struct unit_script inner[WORLD_MAX_UNITS]; /* of the document that a unit runs */
    int n_inner;
    int max_reboots;
    enum reboot_luck luck;
    bool is_rejected;    /* the document cannot be run */
    bool is_refused;     /* the service will not take the terminal reply */
    bool loses_answer;   /* ... takes it, but its first answer is lost */
    bool is_redelivered; /* the message comes again and again */
    const char *status;  /* terminal, when only the agent dies: an agent's death changes nothing */
    bool is_double_always; /* short enough for two crashes with every disturbance */
};

enum disturbance { DISTURB_NOT, DISTURB_CANCEL, DISTURB_TIMEOUT, DISTURB_POWER, N_DISTURBANCES };

/* Ways in which the interpreter itself is broken on purpose. */
enum broken {
    BROKEN_NOT,
    BROKEN_ACKNOWLEDGES_EARLY, /* before the commit */
    BROKEN_SPAWNS_EARLY,
    BROKEN_REPORTS_EARLY,
    BROKEN_KEEPS_OPEN,         /* effects of a finished instance */
    BROKEN_FORGETS_PROBE,      /* a restart does not ask the world */
    BROKEN_NEW_REPLY_ID,       /* each sending of the reply makes its own */
    BROKEN_ENDS_APART,         /* a nested document and the step that ran it end in two commits */
    BROKEN_MAKES_BLINDLY,      /* a nested document is made without asking whether there is one */
    BROKEN_STOPS_OUTSIDE_ONLY, /* a cancel is not passed on to a nested document */
};

struct run_plan {
    const struct fsm_machine *machine;
    const struct scenario *scenario;
    enum disturbance disturbance;
    int disturb_turn;
    int crash[2]; /* outside steps, counted from 1; 0: never */
    enum broken broken;
};

struct run_result {
    int n_violations;
    char first[200];
    int n_steps, n_turns, n_crashes;
};

void world_run(const struct run_plan *plan, struct run_result *ret_result);

#endif
