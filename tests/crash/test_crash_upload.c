/* The exhaustive crash test of the upload machine: a step's output on its way to the logs and to
 * S3, with a crash at every outside step, a second one at every later step, and at every turn a
 * refusal, an absent network, or a deadline that passes. And the test of the test: interpreters
 * that are broken on purpose are noticed.
 *
 * A run is a sequence of outside steps: before a commit, after it, after each thing that was done
 * in the world. Nothing but the world and what was committed survives a crash. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "fsm/upload.h"

#define N_BYTES 5 /* the step writes one a turn */
#define MAX_TURNS 60
#define MAX_OPEN 8
#define MAX_CRASHES 2

enum disturbance { UNDISTURBED, REFUSED, AWAY, OVERDUE, N_DISTURBANCES };
enum broken { SOUND, KEEPS_NO_POSITION, POSITION_FIRST, FORGETS_SEND, ENDS_WITHOUT_STEP, N_BROKEN };

struct plan {
    bool has_logs, has_bucket;
    enum disturbance disturbance;
    int disturb_turn;
    int crash[MAX_CRASHES]; /* outside steps, from 1; 0: none */
    enum broken broken;
};

/* What survives. */
struct stored {
    uint8_t state;
    struct upload data;
    struct fsm_effect effects[MAX_OPEN];
    size_t n_effects;
    int64_t last_id, position;
    bool is_made;
};

struct run {
    const struct plan *plan;
    /* the world */
    int written;        /* bytes of the step */
    int taken[N_BYTES]; /* how often the logs have each */
    int64_t last_from;  /* where the newest batch began */
    int n_puts;
    bool is_object_whole;
    bool is_refusing, is_away;
    /* the journal */
    struct stored stored;
    /* the agent */
    bool is_alive;
    struct fsm_instance inst;
    struct fsm_out out;
    int64_t position;
    /* counting */
    int n_steps, n_crashes, turn, n_done; /* n_done: effects done in the life that is going on */
    char wrong[200];
};

static void violate(struct run *r, const char *what)
{
    if (r->wrong[0] == '\0')
        (void)snprintf(r->wrong, sizeof(r->wrong), "turn %d, step %d: %s", r->turn, r->n_steps,
                       what);
}

/* False: the agent died here. */
static bool outside(struct run *r)
{
    size_t i;

    r->n_steps++;
    for (i = 0; i < MAX_CRASHES; i++) {
        if (r->plan->crash[i] == r->n_steps) {
            fsm_instance_done(&r->inst);
            r->is_alive = false;
            r->n_crashes++;
            return false;
        }
    }
    return true;
}

static bool commit(struct run *r)
{
    size_t i;

    if (!outside(r))
        return false;
    ck_assert_uint_le(r->inst.n_effects, MAX_OPEN);
    r->stored.is_made = true;
    r->stored.state = r->inst.state;
    r->stored.data = *upload_of(&r->inst);
    r->stored.n_effects = r->inst.n_effects;
    for (i = 0; i < r->inst.n_effects; i++)
        r->stored.effects[i] = r->inst.effects[i];
    r->stored.position = r->position;
    return outside(r);
}

/* Decide, and commit what was decided. */
static bool deliver(struct run *r, uint8_t kind, const void *detail, int64_t effect_id)
{
    const struct fsm_event ev = {
        .kind = kind, .effect_id = effect_id, .boot_id = "b", .detail = detail};
    size_t i;

    switch (fsm_step(&r->inst, &ev, &r->out)) {
    case FSM_MOVED:
        for (i = 0; i < r->out.n_opens; i++)
            r->out.opens[i].id = ++r->stored.last_id;
        ck_assert_int_eq(fsm_adopt(&r->inst, &r->out), 0);
        return commit(r);
    case FSM_UNEXPECTED:
    case FSM_RUNAWAY:
        violate(r, "an event that is not expected");
        return true;
    case FSM_IGNORED:
    case FSM_STALE:
    default:
        return true;
    }
}

static void start(struct run *r)
{
    struct err err;
    struct upload *u;

    r->is_alive = true;
    ck_assert_int_eq(fsm_instance_init(&r->inst, &upload_machine, "u", 0, 1, &err), 0);
    u = upload_of(&r->inst);
    if (r->stored.is_made) {
        size_t i;

        *u = r->stored.data;
        r->inst.state = r->stored.state;
        r->inst.effects = calloc(MAX_OPEN, sizeof(*r->inst.effects));
        ck_assert_ptr_nonnull(r->inst.effects);
        r->inst.cap_effects = MAX_OPEN;
        r->inst.n_effects = r->stored.n_effects;
        for (i = 0; i < r->stored.n_effects; i++)
            r->inst.effects[i] = r->stored.effects[i];
        r->position = r->plan->broken == KEEPS_NO_POSITION ? 0 : r->stored.position;
        return;
    }
    r->position = 0;
    (void)str_copy(u->bucket, sizeof(u->bucket), r->plan->has_bucket ? "b" : "");
    (void)str_copy(u->log_group, sizeof(u->log_group), r->plan->has_logs ? "g" : "");
    u->wait_ms = u->keep_ms = 1000;
    (void)deliver(r, UPLOAD_EV_FOLLOW, NULL, 0);
}

static void take_batch(struct run *r, int64_t from, int64_t upto)
{
    int64_t i;

    if (from < r->last_from)
        violate(r, "the logs go back by more than one batch");
    r->last_from = from;
    for (i = from; i < upto; i++)
        r->taken[i]++;
}

/* One batch to the logs: taken by the world, then committed. False: died, or there is none now. */
static bool log_batch(struct run *r)
{
    int64_t upto = r->written;

    if (r->is_away || r->is_refusing || r->position >= upto)
        return false;
    if (r->plan->broken == POSITION_FIRST) {
        int64_t from = r->position;

        r->position = upto;
        if (!commit(r))
            return false;
        take_batch(r, from, upto);
        return outside(r);
    }
    take_batch(r, r->position, upto);
    if (!outside(r))
        return false;
    r->position = upto;
    return commit(r);
}

static void send_all(struct run *r, int64_t effect_id)
{
    const struct upload *u = upload_of(&r->inst);

    if (u->log_group[0] != '\0' && r->position < r->written && !log_batch(r) && r->is_alive &&
        !r->is_refusing)
        return; /* tried again in the next turn */
    if (!r->is_alive || r->is_away)
        return;
    if (r->is_refusing) {
        (void)deliver(r, UPLOAD_EV_REFUSED, "AccessDenied", effect_id);
        return;
    }
    if (u->bucket[0] != '\0') {
        r->n_puts++;
        r->is_object_whole = r->written == N_BYTES;
        if (!outside(r))
            return;
    }
    (void)deliver(r, UPLOAD_EV_SENT, NULL, effect_id);
}

static void perform(struct run *r)
{
    const struct fsm_effect *fx = fsm_find_effect_kind(&r->inst, UPLOAD_FX_SEND);

    if (fx != NULL && !(r->plan->broken == FORGETS_SEND && r->n_crashes > 0))
        send_all(r, fx->id);
    else if (fx == NULL && fsm_find_effect_kind(&r->inst, UPLOAD_FX_FOLLOW) != NULL)
        (void)log_batch(r);
}

static void disturb(struct run *r)
{
    const struct plan *p = r->plan;

    r->is_refusing = p->disturbance == REFUSED && r->turn >= p->disturb_turn;
    r->is_away =
        p->disturbance == AWAY && r->turn >= p->disturb_turn && r->turn < p->disturb_turn + 4;
    if (p->disturbance == OVERDUE && r->turn == p->disturb_turn && r->is_alive &&
        upload_machine.states[r->inst.state].overdue != FSM_NO_EVENT)
        (void)deliver(r, UPLOAD_EV_OVERDUE, NULL, 0);
}

static void take_turn(struct run *r)
{
    const struct upload_end end = {.attempts = 1};

    if (r->written < N_BYTES) /* the step runs, whether or not the agent does */
        r->written++;
    if (!r->is_alive)
        start(r);
    if (r->is_alive)
        disturb(r);
    if (r->is_alive && (r->written == N_BYTES || r->plan->broken == ENDS_WITHOUT_STEP))
        (void)deliver(r, UPLOAD_EV_ENDED, &end, 0);
    if (r->is_alive && !fsm_is_terminal(&r->inst))
        perform(r);
}

static void check_end(struct run *r)
{
    bool is_failed = r->inst.state == UPLOAD_FAILED;
    int i;

    if (!r->is_alive || !fsm_is_terminal(&r->inst)) {
        violate(r, "it never ended");
        return;
    }
    if (r->inst.n_effects != 0)
        violate(r, "an effect is open at the end");
    if (is_failed && (r->plan->disturbance != REFUSED || r->inst.n_effects != 0))
        violate(r, "it failed, though nothing was refused");
    for (i = 0; i < N_BYTES && r->plan->has_logs && !is_failed; i++)
        if (r->taken[i] < 1)
            violate(r, "the logs have lost something");
    for (i = 0; i < N_BYTES; i++)
        if (r->taken[i] > 1 + r->n_crashes)
            violate(r, "the logs have something more often than there were crashes");
    if (r->plan->has_bucket && !is_failed && !r->is_object_whole)
        violate(r, "the object is not the whole output");
}

static void run_plan(const struct plan *plan, struct run *r)
{
    *r = (struct run){.plan = plan};
    for (r->turn = 1; r->turn <= MAX_TURNS && (!r->is_alive || !fsm_is_terminal(&r->inst));
         r->turn++)
        take_turn(r);
    check_end(r);
    if (r->is_alive)
        fsm_instance_done(&r->inst);
    fsm_out_done(&r->out);
}

/* Every plan with this destination and disturbance; how many went wrong, and the first of them. */
static int run_all(bool has_logs, bool has_bucket, enum broken broken, char first[300])
{
    int n_wrong = 0, d, turn;

    first[0] = '\0';
    for (d = 0; d < N_DISTURBANCES; d++) {
        for (turn = 1; turn <= (d == UNDISTURBED ? 1 : N_BYTES + 3); turn++) {
            struct plan plan = {.has_logs = has_logs,
                                .has_bucket = has_bucket,
                                .disturbance = (enum disturbance)d,
                                .disturb_turn = turn,
                                .broken = broken};
            struct run r;
            int last, again;

            run_plan(&plan, &r);
            last = r.n_steps;
            for (plan.crash[0] = 0; plan.crash[0] <= last; plan.crash[0]++) {
                plan.crash[1] = 0;
                run_plan(&plan, &r);
                again = plan.crash[0] > 0 ? r.n_steps : 0;
                for (plan.crash[1] = plan.crash[0] + 1; plan.crash[1] <= again + 1;
                     plan.crash[1]++) {
                    if (r.wrong[0] != '\0' && n_wrong++ == 0)
                        (void)snprintf(first, 300, "disturbance %d at %d, crashes %d, %d: %s", d,
                                       turn, plan.crash[0], plan.crash[1] - 1, r.wrong);
                    run_plan(&plan, &r);
                }
            }
        }
    }
    return n_wrong;
}

static const struct {
    bool has_logs, has_bucket;
} destinations[] = {{true, false}, {false, true}, {true, true}};

START_TEST(nothing_is_lost_and_one_batch_doubled_at_most)
{
    char first[300];

    ck_assert_msg(run_all(destinations[_i].has_logs, destinations[_i].has_bucket, SOUND, first) ==
                      0,
                  "%s", first);
}
END_TEST

START_TEST(an_interpreter_that_is_broken_is_noticed)
{
    char first[300];

    ck_assert_int_gt(run_all(true, true, (enum broken)_i, first), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crash of an upload");
    TCase *crashes = tcase_create("crashes");
    SRunner *runner;
    int n_failed;

    tcase_set_timeout(crashes, 120);
    tcase_add_loop_test(crashes, nothing_is_lost_and_one_batch_doubled_at_most, 0,
                        ARRAY_LEN(destinations));
    tcase_add_loop_test(crashes, an_interpreter_that_is_broken_is_noticed, 1, N_BROKEN);
    suite_add_tcase(suite, crashes);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
