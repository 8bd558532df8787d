/* The exhaustive crash test of the registration machine: registrations and key rotations with a
 * crash at every outside step, and with a second one at every later step. And the test of the test:
 * effects declared with another recovery are noticed. */
#include <check.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "fsm/registration.h"
#include "journal/journal.h"

#define BOOT "boot"
#define NODE "mi-0123456789abcdef0"

enum wish { WISH_REGISTER, WISH_ROTATE, WISH_END };

struct scenario {
    const char *name;
    enum wish wishes[3]; /* after each other */
    size_t n_wishes;
    bool is_refused;        /* the service refuses the registration */
    bool is_update_refused; /* ... or the new key */
    bool loses_answers;     /* of the key's update: it is taken, and nobody hears of it */
};

static const struct scenario scenarios[] = {
    {.name = "register", .wishes = {WISH_REGISTER}, .n_wishes = 1},
    {.name = "a registration that is refused",
     .wishes = {WISH_REGISTER},
     .n_wishes = 1,
     .is_refused = true},
    {.name = "rotate", .wishes = {WISH_REGISTER, WISH_ROTATE}, .n_wishes = 2},
    {.name = "a key that is refused",
     .wishes = {WISH_REGISTER, WISH_ROTATE},
     .n_wishes = 2,
     .is_update_refused = true},
    {.name = "a key whose answer is lost",
     .wishes = {WISH_REGISTER, WISH_ROTATE},
     .n_wishes = 2,
     .loses_answers = true},
    {.name = "register, rotate, clear",
     .wishes = {WISH_REGISTER, WISH_ROTATE, WISH_END},
     .n_wishes = 3},
};

struct world {
    const struct fsm_machine *machine;
    const struct scenario *s;
    struct journal *journal;
    jmp_buf crash;
    int n_steps, crash_at[2];
    /* what a crash leaves: the service, and the vault */
    int n_registered; /* calls of the instance that is there now */
    int n_made;       /* keys ever made */
    char service_key[20];
    char record_key[20];
    bool has_key[64];
    size_t wish;
    /* what it does not */
    struct fsm_instance inst;
    bool has_inst;
    struct fsm_out out;
    char problem[200];
};

static void bad(struct world *w, const char *text)
{
    if (w->problem[0] == '\0')
        (void)str_copy(w->problem, sizeof(w->problem), text);
}

/* One outside step: the process may die here. */
static void outside(struct world *w)
{
    w->n_steps++;
    if (w->n_steps == w->crash_at[0] || w->n_steps == w->crash_at[1])
        longjmp(w->crash, 1);
}

static int key_number(const char *key)
{
    return atoi(key + 1);
}

static bool is_named(const struct world *w, int number)
{
    const struct registration *g = w->has_inst ? registration_of(&w->inst) : NULL;

    return g != NULL && ((g->key_id[0] != '\0' && key_number(g->key_id) == number) ||
                         (g->next_key_id[0] != '\0' && key_number(g->next_key_id) == number));
}

static void drop_stray_keys(struct world *w)
{
    int i;

    for (i = 1; i <= w->n_made; i++)
        if (!is_named(w, i))
            w->has_key[i] = false;
}

/* ---- the interpreter, as agent/registrar.c is one ---- */

static void perform(struct world *w, struct fsm_effect fx, bool is_restart);

static void must(int r, const struct err *err)
{
    ck_assert_msg(r == 0, "%s", err->text);
}

static void deliver(struct world *w, uint8_t kind, int64_t effect_id, const void *detail,
                    bool is_new)
{
    const struct fsm_event ev = {
        .kind = kind, .effect_id = effect_id, .at_unix_ms = 1, .boot_id = BOOT, .detail = detail};
    struct journal *j = w->journal;
    struct fsm_effect opens[8];
    struct err err = {0};
    int64_t last = 0;
    size_t i, n;

    must(j->ops->begin(j, &err), &err);
    if (is_new)
        must(j->ops->put_instance(j, &w->inst, &err), &err);
    if (fsm_step(&w->inst, &ev, &w->out) != FSM_MOVED) {
        j->ops->rollback(j);
        return;
    }
    must(j->ops->last_effect_id(j, &last, &err), &err);
    for (i = 0; i < w->out.n_opens; i++)
        w->out.opens[i].id = ++last;
    must(fsm_adopt(&w->inst, &w->out), &err);
    const struct journal_transition t = {.inst = &w->inst,
                                         .event = w->machine->events[kind],
                                         .from = w->machine->states[w->out.from].name,
                                         .detail = w->out.detail,
                                         .at_unix_ms = 1,
                                         .opens = w->out.opens,
                                         .n_opens = w->out.n_opens,
                                         .closes = w->out.closes,
                                         .n_closes = w->out.n_closes};
    must(j->ops->put_transition(j, &t, &err), &err);
    n = w->out.n_opens;
    for (i = 0; i < n; i++)
        opens[i] = w->out.opens[i];
    outside(w);
    must(j->ops->commit(j, &err), &err);
    outside(w);
    if (fsm_is_terminal(&w->inst)) {
        fsm_instance_done(&w->inst);
        w->has_inst = false;
        return;
    }
    for (i = 0; i < n; i++)
        perform(w, opens[i], false);
}

static void close_quietly(struct world *w, int64_t effect_id)
{
    struct err err = {0};

    must(w->journal->ops->begin(w->journal, &err), &err);
    must(w->journal->ops->close_effects(w->journal, &effect_id, 1, 1, &err), &err);
    outside(w);
    must(w->journal->ops->commit(w->journal, &err), &err);
    fsm_drop_effect(&w->inst, effect_id);
}

static void perform(struct world *w, struct fsm_effect fx, bool is_restart)
{
    struct registration *g = registration_of(&w->inst);

    outside(w);
    switch (fx.kind) {
    case REGISTRATION_FX_REGISTER:
        if (++w->n_registered > 1)
            bad(w, "the activation was used twice for one registration");
        if (w->s->is_refused) {
            outside(w);
            deliver(w, REGISTRATION_EV_FAILED, 0, "refused", false);
            return;
        }
        (void)str_copy(w->service_key, sizeof(w->service_key), g->key_id);
        outside(w);
        deliver(w, REGISTRATION_EV_TAKEN, fx.id, NODE, false);
        return;
    case REGISTRATION_FX_STORE:
        (void)str_copy(w->record_key, sizeof(w->record_key), g->key_id);
        outside(w);
        drop_stray_keys(w);
        outside(w);
        close_quietly(w, fx.id);
        return;
    case REGISTRATION_FX_ROTATE:
        if (!is_restart && !w->s->is_update_refused &&
            str_eq(g->key_id, w->service_key)) /* signed by the key that it knows */
            (void)str_copy(w->service_key, sizeof(w->service_key), g->next_key_id);
        outside(w); /* with loses_answers nothing else is different: nobody listens to the answer */
        if (str_eq(w->service_key, g->next_key_id))
            deliver(w, REGISTRATION_EV_KEY_TAKEN, fx.id, NULL, false);
        else if (str_eq(w->service_key, g->key_id))
            deliver(w, REGISTRATION_EV_KEY_REFUSED, fx.id, "refused", false);
        else
            bad(w, "the service knows neither key");
        return;
    case REGISTRATION_FX_ERASE:
        if (str_eq(w->record_key, g->key_id))
            w->record_key[0] = '\0';
        outside(w);
        g->key_id[0] = g->next_key_id[0] = '\0';
        drop_stray_keys(w);
        outside(w);
        deliver(w, REGISTRATION_EV_ERASED, fx.id, NULL, false);
        return;
    default:
        bad(w, "an effect that there is not");
    }
}

/* ---- wishes ---- */

static void make_key(struct world *w, char ret[20])
{
    (void)snprintf(ret, 20, "k%d", ++w->n_made);
    w->has_key[w->n_made] = true;
    outside(w);
}

static void do_wish(struct world *w, enum wish wish)
{
    char key[20];
    struct registration_request q = {.kind = "hybrid", .source = "activation", .region = "r"};
    struct err err = {0};

    switch (wish) {
    case WISH_REGISTER:
        if (w->has_inst)
            return;
        make_key(w, key);
        q.key_id = key;
        must(fsm_instance_init(&w->inst, w->machine, key, 0, 1, &err), &err);
        w->has_inst = true;
        w->n_registered = 0;
        deliver(w, REGISTRATION_EV_REGISTER, 0, &q, true);
        return;
    case WISH_ROTATE:
        if (!w->has_inst || w->inst.state != REGISTRATION_REGISTERED)
            return;
        make_key(w, key);
        q.key_id = key;
        deliver(w, REGISTRATION_EV_ROTATE, 0, &q, false);
        return;
    case WISH_END:
        if (w->has_inst)
            deliver(w, REGISTRATION_EV_END, 0, "cleared", false);
        return;
    }
}

static int take(void *ctx, struct fsm_instance *inst, struct err *err)
{
    struct world *w = ctx;

    (void)err;
    if (w->has_inst)
        bad(w, "two registrations are open");
    w->inst = *inst;
    w->has_inst = true;
    *inst = (struct fsm_instance){.machine = inst->machine};
    return 0;
}

static void start(struct world *w)
{
    struct err err = {0};
    struct fsm_effect open[8];
    size_t i, n;

    must(w->journal->ops->load(w->journal, take, w, &err), &err);
    if (!w->has_inst)
        return;
    w->inst.machine = w->machine;
    n = w->inst.n_effects;
    for (i = 0; i < n; i++)
        open[i] = w->inst.effects[i];
    for (i = 0; i < n && w->has_inst; i++) {
        const struct fsm_effect_kind *kind = &w->machine->effects[open[i].kind];

        if (kind->recovery != FSM_ONCE)
            perform(w, open[i], kind->recovery == FSM_PROBE);
        else
            deliver(w, (uint8_t)kind->lost, open[i].id, NULL, false);
    }
}

static void check_end(struct world *w)
{
    const struct registration *g = w->has_inst ? registration_of(&w->inst) : NULL;

    if (g == NULL) {
        if (w->record_key[0] != '\0')
            bad(w, "the vault has a record of a registration that ended");
        return; /* a key that no instance was made for is dropped with the next store */
    }
    if (w->inst.state != REGISTRATION_REGISTERED || w->inst.n_effects != 0)
        bad(w, "something is left open");
    if (!str_eq(g->key_id, w->service_key))
        bad(w, "the journal's key is not the one that the service knows");
    if (!str_eq(g->key_id, w->record_key))
        bad(w, "the vault's record names another key than the journal");
    if (!w->has_key[key_number(g->key_id)])
        bad(w, "the key that counts is gone");
}

static void run(const struct fsm_machine *m, const struct scenario *s, int crash, int second,
                struct world *w)
{
    struct err err = {0};

    memset(w, 0, sizeof(*w));
    w->machine = m;
    w->s = s;
    w->crash_at[0] = crash;
    w->crash_at[1] = second;
    must(journal_open_memory(&w->journal, &err), &err);
    if (setjmp(w->crash) != 0) { /* it died: only the journal, the vault and the service are left */
        journal_memory_crash(w->journal);
        if (w->has_inst)
            fsm_instance_done(&w->inst);
        w->has_inst = false;
    }
    if (w->n_steps > 0)
        start(w);
    while (w->wish < s->n_wishes) {
        size_t now = w->wish;

        do_wish(w, s->wishes[now]);
        w->wish = now + 1;
    }
    check_end(w);
    if (w->has_inst)
        fsm_instance_done(&w->inst);
    fsm_out_done(&w->out);
    journal_close(w->journal);
}

struct tally {
    int n_runs, n_bad;
    char first[400];
};

static int run_one(struct tally *t, const struct fsm_machine *m, const struct scenario *s,
                   int crash, int second)
{
    static struct world w;

    run(m, s, crash, second, &w);
    t->n_runs++;
    if (w.problem[0] != '\0' && t->n_bad++ == 0)
        (void)snprintf(t->first, sizeof(t->first), "%s, crashes at %d and %d: %s", s->name, crash,
                       second, w.problem);
    return w.n_steps;
}

static void run_all(struct tally *t, const struct fsm_machine *m, const struct scenario *s)
{
    int n = run_one(t, m, s, 0, 0), i, k;

    for (i = 1; i <= n; i++) {
        int n_after = run_one(t, m, s, i, 0);

        for (k = i + 1; k <= n_after; k++)
            (void)run_one(t, m, s, i, k);
    }
}

START_TEST(node_and_service_agree_on_the_key_whenever_the_agent_dies)
{
    struct tally t = {.n_runs = 0};

    run_all(&t, &registration_machine, &scenarios[_i]);
    printf("%s: %d runs\n", scenarios[_i].name, t.n_runs);
    ck_assert_int_gt(t.n_runs, 20);
    ck_assert_msg(t.n_bad == 0, "%d of %d runs are bad; the first: %s", t.n_bad, t.n_runs, t.first);
}
END_TEST

/* ---- the test of the test ---- */

static const struct {
    const char *name;
    enum registration_effect effect;
    enum fsm_recovery recovery;
} mutations[] = {
    {"a registration is done again", REGISTRATION_FX_REGISTER, FSM_REDO},
    {"a rotation is given up without asking", REGISTRATION_FX_ROTATE, FSM_ONCE},
};

START_TEST(another_recovery_is_noticed)
{
    struct fsm_effect_kind kinds[REGISTRATION_N_EFFECTS];
    struct fsm_machine m = registration_machine;
    struct tally t = {.n_runs = 0};
    size_t i;

    memcpy(kinds, registration_machine.effects, sizeof(kinds));
    kinds[mutations[_i].effect].recovery = mutations[_i].recovery;
    m.effects = kinds;
    for (i = 0; i < ARRAY_LEN(scenarios); i++)
        run_all(&t, &m, &scenarios[i]);
    ck_assert_msg(t.n_bad > 0, "%s: nothing is noticed in %d runs", mutations[_i].name, t.n_runs);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crash_registration");
    TCase *tc = tcase_create("crash");
    SRunner *runner;
    int n_failed;

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, node_and_service_agree_on_the_key_whenever_the_agent_dies, 0,
                        (int)ARRAY_LEN(scenarios));
    tcase_add_loop_test(tc, another_recovery_is_noticed, 0, (int)ARRAY_LEN(mutations));
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
