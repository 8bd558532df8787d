/* Journal, runner and service of one command, as a model for spin: what is promised must hold whoever
 * dies and whenever, whatever message is lost or comes twice.
 *
 *   accepted        acknowledged implies journaled
 *   no loss         an accepted command ends with one terminal status at the service, always the same
 *   no repetition   no attempt of a step begins twice; another attempt only after exit code 194 and a boot
 *   no lie          Success only when every step was seen to end with 0
 *
 * The command has two steps; the first may ask for a reboot. Transitions are written T(from, event, to)
 * with the names of fsm/command.c; tests/model/compare.py holds them against the table that runs.
 * A turn of the agent is one atomic step that ends with its commit; each effect is a step of its own,
 * so that a death can come between any two. Budgets bound what goes wrong; within them every order is
 * looked at. With BREAK_x one ordering is broken: spin must then find the way to a broken promise. */

#ifndef AGENT_DEATHS
#define AGENT_DEATHS 2
#endif
#ifndef RUNNER_DEATHS
#define RUNNER_DEATHS 1
#endif
#ifndef POWER_LOSSES
#define POWER_LOSSES 1
#endif
#ifndef LOSSES
#define LOSSES 1 /* of messages to and answers from the service */
#endif
#ifndef OFFERS
#define OFFERS 2 /* deliveries beyond the first, acknowledged or not */
#endif
#ifndef CANCELS
#define CANCELS 1
#endif
#ifndef TIMEOUTS
#define TIMEOUTS 1
#endif

#define N_DIRS 4 /* unit * 2 + attempt */
#define DIR (unit * 2 + attempt)

mtype = { S_received, S_queued, S_running, S_rebooting, S_stopping, S_reporting, S_done };
mtype = { NONE, SUCCESS, FAILED, CANCELLED, TIMEDOUT }; /* statuses */
mtype = { UNASKED, FRESH, WATCHED };                     /* what this agent knows of the open spawn */

#define T(from, event, to) assert(state == from); state = to

/* ---- the journal: survives everything; changed only in one piece, by a commit ---- */
mtype state = S_received;
bool known;
byte unit, attempt;
byte stop; /* 0, 1 cancel, 2 time limit */
byte reboot_boot, reboot_tries;
bool fx_ack, fx_spawn, fx_stop, fx_reboot, fx_report;
mtype status = NONE;
bool has_failed; /* a step of it */

/* ---- step directories: records are synced before anyone goes on ---- */
bool rec_started[N_DIRS], rec_exit[N_DIRS], rec_void[N_DIRS];
byte exit_code[N_DIRS]; /* 0, 1, 194, 137 */

/* ---- the machine: gone with a power loss ---- */
byte boot = 1;
bool is_locked[N_DIRS];    /* a runner holds it */
byte n_late[N_DIRS];       /* runners on their way to the lock */
bool is_script_up[N_DIRS]; /* a script's process is there */
bool is_asked[N_DIRS];     /* told to stop */

/* ---- the agent: gone with its death ---- */
mtype spawn = UNASKED;
bool is_stop_done, is_reboot_done;

/* ---- the service ---- */
bool is_acknowledged;
mtype taken = NONE; /* the terminal status it has */
byte n_offers;

/* ---- what happened, for the promises ---- */
byte n_begun[N_DIRS];
bool was_seen[N_DIRS]; /* its script ended by itself */
byte n_agent_deaths, n_runner_deaths, n_power_losses, n_losses, n_cancels, n_timeouts;

inline forget() /* the agent's memory */
{
    spawn = UNASKED;
    is_stop_done = false;
    is_reboot_done = false
}

inline go_dark() /* everything but what is on the disk */
{
    byte d = 0;

    forget();
    boot++;
    do
    :: d < N_DIRS ->
        is_locked[d] = false;
        n_late[d] = 0;
        is_script_up[d] = false;
        is_asked[d] = false;
        d++
    :: else -> break
    od;
    d = 0
}

inline open_spawn(u, a)
{
    unit = u;
    attempt = a;
    fx_spawn = true;
    spawn = FRESH
}

inline report(s)
{
    status = s;
    fx_spawn = false;
    fx_stop = false;
    fx_reboot = false;
    fx_report = true
}

/* The end of the document's last step. */
inline finish()
{
    if
    :: has_failed -> report(FAILED)
    :: else -> report(SUCCESS)
    fi
}

inline decide_exited(code)
{
    if
    :: state == S_running && code == 194 && attempt == 0 && unit == 0 ->
        T(S_running, E_exited, S_rebooting);
        fx_spawn = false;
        fx_reboot = true;
        reboot_boot = boot;
        reboot_tries = 1;
        is_reboot_done = false
    :: state == S_running && !(code == 194 && attempt == 0 && unit == 0) && unit == 0 ->
        T(S_running, E_exited, S_running);
        has_failed = has_failed || code != 0;
        open_spawn(1, 0)
    :: state == S_running && !(code == 194 && attempt == 0 && unit == 0) && unit == 1 ->
        T(S_running, E_exited, S_reporting);
        has_failed = has_failed || code != 0;
        finish()
    :: state == S_stopping && stop == 2 && unit == 0 ->
        T(S_stopping, E_exited, S_running);
        has_failed = true;
        stop = 0;
        fx_stop = false;
        is_stop_done = false;
        open_spawn(1, 0)
    :: state == S_stopping && stop == 1 ->
        T(S_stopping, E_exited, S_reporting);
        report(CANCELLED)
    :: state == S_stopping && stop == 2 && unit == 1 ->
        T(S_stopping, E_exited, S_reporting);
        report(TIMEDOUT)
    :: else -> skip
    fi
}

inline decide_lost()
{
    is_script_up[DIR] = false; /* what is left of the tree is killed before it is said */
    if
    :: state == S_running -> T(S_running, E_lost, S_reporting)
    :: state == S_stopping -> T(S_stopping, E_lost, S_reporting)
    fi;
    report(FAILED)
}

inline decide_void()
{
    if
    :: state == S_running -> T(S_running, E_void, S_reporting)
    :: state == S_stopping -> T(S_stopping, E_void, S_reporting)
    fi;
    report(CANCELLED)
}

#define HAS_NO_RECORD(d) (!rec_started[d] && !rec_exit[d] && !rec_void[d])

#ifdef BREAK_ACKNOWLEDGE
#define MAY_ACKNOWLEDGE (!is_acknowledged && n_offers > 0)
#else
#define MAY_ACKNOWLEDGE (fx_ack)
#endif

active proctype agent()
{
    do
    /* a delivery; the first is accepted, journaled and started in one turn */
    :: atomic {
        n_offers > 0 && n_offers <= OFFERS + 1 && !known ->
        known = true;
        T(S_received, E_accepted, S_queued);
        T(S_queued, E_start, S_running);
        fx_ack = true;
        open_spawn(0, 0)
    }
    :: atomic { /* the answer that says "taken" may be lost: then it is sent again */
        MAY_ACKNOWLEDGE ->
        assert(known); /* acknowledged implies journaled */
        if
        :: is_acknowledged = true; fx_ack = false
        :: n_losses < LOSSES -> n_losses++
        :: n_losses < LOSSES -> n_losses++; is_acknowledged = true
        fi
    }
#ifdef BREAK_SPAWN
    :: atomic { n_offers > 0 && !known && spawn == UNASKED && n_late[0] == 0 && n_begun[0] == 0 ->
        n_late[0]++; run runner(0) }
#endif
    /* the runner is started */
    :: atomic { fx_spawn && spawn == FRESH && state == S_running && n_late[DIR] < 2 ->
        spawn = WATCHED; n_late[DIR]++; run runner(DIR) }
    /* after a restart: ask the world */
    :: atomic { fx_spawn && spawn == UNASKED ->
        if
#ifdef BREAK_PROBE
        :: true -> spawn = FRESH
#else
        :: is_locked[DIR] || rec_exit[DIR] -> spawn = WATCHED
        :: !is_locked[DIR] && HAS_NO_RECORD(DIR) -> spawn = FRESH; is_stop_done = false
        :: !is_locked[DIR] && rec_void[DIR] -> decide_void()
        :: !is_locked[DIR] && rec_started[DIR] && !rec_exit[DIR] -> decide_lost()
#endif
        fi
    }
    /* what becomes of it */
    :: atomic { fx_spawn && spawn == WATCHED && rec_exit[DIR] && !is_locked[DIR] ->
        decide_exited(exit_code[DIR]) }
    :: atomic { fx_spawn && spawn == WATCHED && rec_started[DIR] && !rec_exit[DIR] &&
                !is_locked[DIR] ->
#ifdef BREAK_LOST
        decide_exited(0) /* "it will have gone well" */
#else
        decide_lost()
#endif
    }
    :: atomic { fx_spawn && spawn == WATCHED && !is_locked[DIR] && HAS_NO_RECORD(DIR) &&
                n_late[DIR] == 0 ->
        spawn = FRESH; is_stop_done = false } /* died on its way: begun anew, or stopped anew */
    /* a cancel; the time limit as a last resort */
    :: atomic { n_cancels < CANCELS && state == S_running ->
        n_cancels++; T(S_running, E_cancel, S_stopping); stop = 1; fx_stop = true }
    :: atomic { n_cancels < CANCELS && state == S_stopping ->
        n_cancels++; T(S_stopping, E_cancel, S_stopping); stop = 1 }
    :: atomic { n_cancels < CANCELS && state == S_rebooting ->
        n_cancels++; T(S_rebooting, E_cancel, S_rebooting); stop = 1 }
    :: atomic { n_timeouts < TIMEOUTS && state == S_running ->
        n_timeouts++; T(S_running, E_timeout, S_stopping); stop = 2; fx_stop = true }
    /* stopping: under its lock a step that has not begun is made void, else its runner is told */
    :: atomic { fx_stop && !is_stop_done && is_locked[DIR] ->
        is_asked[DIR] = true; is_stop_done = true; spawn = WATCHED }
    :: atomic { fx_stop && !is_stop_done && !is_locked[DIR] && HAS_NO_RECORD(DIR) ->
#ifndef BREAK_VOID
        rec_void[DIR] = true;
#endif
        is_stop_done = true; spawn = WATCHED }
    :: atomic { fx_stop && state == S_stopping && spawn == WATCHED && !is_locked[DIR] &&
#ifdef BREAK_VOID
                is_stop_done && HAS_NO_RECORD(DIR) -> decide_void() }
#else
                rec_void[DIR] -> decide_void() }
#endif
    :: atomic { fx_stop && is_stop_done && is_locked[DIR] && !is_asked[DIR] ->
        is_stop_done = false }
    /* it had not begun when it was asked about, and has by now: who stops looks again */
    :: atomic { fx_stop && spawn == FRESH && (is_locked[DIR] || !HAS_NO_RECORD(DIR)) ->
        spawn = WATCHED }
    /* the reboot */
    :: atomic { fx_reboot && boot == reboot_boot && !is_reboot_done ->
        is_reboot_done = true;
        if
        :: go_dark()
        :: skip /* it does not come */
        fi
    }
    :: atomic { fx_reboot && boot != reboot_boot ->
        if
        :: stop == 1 -> T(S_rebooting, E_booted, S_reporting); report(CANCELLED)
        :: else -> T(S_rebooting, E_booted, S_running); fx_reboot = false; open_spawn(0, 1)
        fi
    }
    :: atomic { fx_reboot && boot == reboot_boot && is_reboot_done ->
        if
        :: reboot_tries < 2 -> T(S_rebooting, E_overdue, S_rebooting); reboot_tries++;
            is_reboot_done = false
        :: else -> T(S_rebooting, E_overdue, S_reporting);
            if
            :: stop == 1 -> report(CANCELLED)
            :: else -> report(FAILED)
            fi
        fi
    }
    /* the terminal reply: sent until the service was seen to take it */
    :: atomic { fx_report ->
        assert(taken == NONE || taken == status); /* one terminal status */
        if
        :: taken = status; fx_report = false; T(S_reporting, E_reported, S_done)
        :: n_losses < LOSSES -> n_losses++
        :: n_losses < LOSSES -> n_losses++; taken = status
        fi
    }
    /* its death */
    :: atomic { n_agent_deaths < AGENT_DEATHS -> n_agent_deaths++; forget() }
    /* nothing is left to do, and nothing will go wrong any more */
    :: timeout -> break
    od;
    /* nothing accepted is lost */
    assert(!known || (state == S_done && taken == status && status != NONE));
    assert(known || !is_acknowledged);
    /* no lie */
    assert(taken != SUCCESS || ((was_seen[0] || was_seen[1]) && was_seen[2] && exit_code[2] == 0 &&
                                (was_seen[1] -> exit_code[1] == 0 : exit_code[0] == 0)));
    /* nothing runs on after the end, or was begun after it */
    assert(!is_script_up[0] && !is_script_up[1] && !is_script_up[2] && !is_script_up[3])
}

#define BOOTED_SINCE (boot != born)

/* A runner that was started, perhaps while another one is on its way to the same directory. */
proctype runner(byte d)
{
    byte born = boot;

    /* the lock: refused where a record is, or somebody holds it */
    if
    :: atomic { BOOTED_SINCE -> goto gone }
    :: atomic { !BOOTED_SINCE ->
        n_late[d]--;
        if
#ifdef BREAK_PROBE
        :: !is_locked[d] -> is_locked[d] = true
#else
        :: !is_locked[d] && HAS_NO_RECORD(d) -> is_locked[d] = true
#endif
        :: else -> goto gone
        fi }
    :: atomic { !BOOTED_SINCE && n_runner_deaths < RUNNER_DEATHS ->
        n_runner_deaths++; n_late[d]--; goto gone }
    fi;
    /* `started`, synced, and only then the script */
#ifndef BREAK_STARTED
    if
    :: atomic { BOOTED_SINCE -> goto gone }
    :: atomic { !BOOTED_SINCE -> rec_started[d] = true }
    :: atomic { !BOOTED_SINCE && n_runner_deaths < RUNNER_DEATHS ->
        n_runner_deaths++; is_locked[d] = false; goto gone }
    fi;
#endif
    if
    :: atomic { BOOTED_SINCE -> goto gone }
    :: atomic { !BOOTED_SINCE ->
        is_script_up[d] = true;
        n_begun[d]++;
        assert(n_begun[d] <= 1);                        /* no attempt twice */
        assert(known);                                  /* nothing unjournaled */
        assert(d != 1 || (rec_exit[0] && exit_code[0] == 194)); /* another one only when asked for */
        assert(state != S_done && state != S_reporting) }
    :: atomic { !BOOTED_SINCE && n_runner_deaths < RUNNER_DEATHS ->
        n_runner_deaths++; is_locked[d] = false; goto gone }
    fi;
    /* its end: by itself, or stopped */
    if
    :: atomic { BOOTED_SINCE -> goto gone }
    :: atomic { !BOOTED_SINCE ->
        is_script_up[d] = false; was_seen[d] = true;
        if
        :: exit_code[d] = 0
        :: exit_code[d] = 1
        :: d == 0 -> exit_code[d] = 194
        fi }
    :: atomic { !BOOTED_SINCE && is_asked[d] -> is_script_up[d] = false; exit_code[d] = 137 }
    :: atomic { !BOOTED_SINCE && n_runner_deaths < RUNNER_DEATHS ->
        n_runner_deaths++; is_locked[d] = false; goto gone } /* the script may go on */
    fi;
    if
    :: atomic { BOOTED_SINCE -> was_seen[d] = false; goto gone }
    :: atomic { !BOOTED_SINCE -> rec_exit[d] = true }
    :: atomic { !BOOTED_SINCE && n_runner_deaths < RUNNER_DEATHS ->
        n_runner_deaths++; is_locked[d] = false; was_seen[d] = false; goto gone }
    fi;
    if
    :: atomic { BOOTED_SINCE -> goto gone }
    :: atomic { !BOOTED_SINCE -> is_locked[d] = false }
    fi;
gone:
    skip
}

/* At least once: until it is acknowledged, and now and then after that. */
active proctype service()
{
    do
    :: atomic { n_offers == 0 || (n_offers <= OFFERS) -> n_offers++ }
    :: else -> break
    od
}

active proctype power()
{
    do
    :: atomic { n_power_losses < POWER_LOSSES -> n_power_losses++; go_dark() }
    :: break
    od
}
