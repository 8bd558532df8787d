/* An engine in a version slot, with stand-ins for who takes part in an update: ssmd-stager is a
 * script that answers what the test has laid down, ssmd-updater one that writes down that it was
 * started, and its record is the test's; the service is in reach or not, and remembers what it was
 * told. Journal, slots and the files between the programs are real. The suite runs from a slot: it
 * copies itself into one. One test at a time. */
#ifndef SSMD_TESTS_UPDATE_WORLD_H
#define SSMD_TESTS_UPDATE_WORLD_H

#include <check.h>

#include "agent/update_internal.h"
#include "engine_world.h"
#include "tests/lib/loop_until.h"
#include "update/handover_files.h"

#define OLD "1.0.0"
#define NEW "1.1.0"
#define DIR_VARIABLE "SSMD_TEST_DIR" /* names uw.dir to the stand-ins */

extern struct engine_world uw;
extern struct update uw_seen; /* of the update, as long as it was open; likewise the next two */
extern char uw_seen_id[FSM_ID_SIZE], uw_asked_id[FSM_ID_SIZE];
extern uint8_t uw_seen_state;
extern int64_t uw_clock_offset_ms; /* by which boot time is ahead */
extern const struct stager_answer uw_good;
extern const struct engine_update uw_latest;

struct uw_service {
    bool is_in_reach, is_mute;
    char said[1024]; /* every AgentStatus, a blank after each */
    char version[80];
    struct {
        lookup_told_fn done;
        void *ctx;
    } asked[16];
    size_t n_asked;
    uv_idle_t idle;
};
extern struct uw_service uw_service;

/* A file in uw.dir; `name` may have one directory before it, which is there. */
void uw_write_file(const char *name, const char *text, size_t n, mode_t mode);
/* What the stager says to a phase; what it does in place of that: sh. */
void uw_answer_with(const char *phase, const struct stager_answer *a);
void uw_instead(const char *phase, const char *script);
int uw_update_dir(void);
/* The updater's record, and its lock. */
void uw_progress(enum handover_state state, const char *cause, bool is_doubtful);
void uw_hold_lock(void);
void uw_let_lock_go(void);
/* Lines of a file in uw.dir with this word. */
int uw_count_lines(const char *name, const char *word);
struct job *uw_find_update(void);
/* Look, as the engine does once a second. False: no update is open. */
bool uw_note(void);
void uw_until_state(enum update_state state);
void uw_until_over(void);
void uw_turns(int n);
int uw_ask(const struct engine_update *u, struct err *err);
void uw_ask_well(const struct engine_update *u);
/* The switch was ordered, and the updater started. */
bool uw_is_ordered(void);
/* ssmd dies and begins again. */
void uw_restart(void);
/* This ssmd runs from no slot. */
void uw_no_slot(void);
/* Fixture. */
void uw_begin(void);
void uw_end(void);
/* main() of such a suite: copies itself into a slot and goes on there, or runs the suite. */
int uw_main(char **argv, Suite *(*make_suite)(void));

#endif
