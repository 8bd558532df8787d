/* A small machine and a journal to keep it in, for the suites of journal/. */
#ifndef SSMD_TESTS_JOURNAL_LIB_H
#define SSMD_TESTS_JOURNAL_LIB_H

#include <check.h>
#include <limits.h>

#include "journal/journal.h"

/* waiting --go--> working --part-done--> working ... --part-done--> reporting --reported--> done */
enum { JOB_WAITING, JOB_WORKING, JOB_REPORTING, JOB_DONE };
enum { JOB_EV_GO, JOB_EV_PART_DONE, JOB_EV_REPORTED, JOB_EV_RUNAWAY };
enum { JOB_FX_WORK, JOB_FX_RECEIPT, JOB_FX_REPORT };

struct job {
    char title[40];
    int64_t part;
};
struct job_part {
    char result[24];
    int64_t code;
};

extern const struct fsm_machine job_machine;
extern const struct fsm_machine *const job_machines[];

enum { JOURNAL_SQLITE, JOURNAL_MEMORY, N_JOURNALS };

struct world {
    char dir[PATH_MAX], path[PATH_MAX + 16], head_path[PATH_MAX + 16];
    int kind;
    const char *vfs;
    const struct fsm_machine *const *machines;
    struct journal *j;
    int64_t last_effect;
    int64_t now; /* moves by one with each transition */
};

void world_init(struct world *w, int kind);            /* a new directory, an open journal */
void world_init_vfs(struct world *w, const char *vfs); /* on SQLite, with that VFS */
void world_done(struct world *w);
int world_open(struct world *w, struct err *err);
void world_reopen(struct world *w); /* close and open the same one (memory: crash) */
void world_shell(const struct world *w, const char *format, ...) PRINTF_LIKE(2, 3);

struct journal_counts world_counts(struct world *w);

/* A test of what every implementation does. */
#define BOTH(tcase, test) tcase_add_loop_test(tcase, test, 0, N_JOURNALS)

/* Any call of the journal, which must succeed. */
#define OK(call)                                                                                   \
    do {                                                                                           \
        struct err ok_err_ = {0};                                                                  \
        struct err *e_ = &ok_err_;                                                                 \
        int ok_r_ = (call);                                                                        \
        ck_assert_msg(ok_r_ == 0, "%s: %s: %s", #call, err_name(ok_r_), ok_err_.text);             \
        (void)e_;                                                                                  \
    } while (0)

/* One transition inside a transaction of the caller's; a new REPORT or RECEIPT effect gets its
 * reply ("<id>/<effect>"). */
int job_step(struct world *w, struct fsm_instance *inst, uint8_t event, int64_t effect_id,
             struct err *err);
/* A new job with its message, in the state working; one commit. */
void job_make(struct world *w, const char *id, size_t n_parts, struct fsm_instance *ret_inst);
/* Work off the parts; ends in reporting. One commit each. */
void job_work(struct world *w, struct fsm_instance *inst);
/* The service takes every reply; ends in done. One commit. */
void job_report(struct world *w, struct fsm_instance *inst);
/* All of it. */
void job_run(struct world *w, const char *id, size_t n_parts);

int64_t job_effect(const struct fsm_instance *inst, uint8_t kind); /* id of the open one; asserts */

#endif
