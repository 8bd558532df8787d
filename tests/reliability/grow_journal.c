/* Lets the product's own journal live through many jobs, without a runner or a service for them,
 * and asks whether it still knows them.
 *
 *   grow_journal DIR N        N more commands go through DIR/journal.db, with the retention of a
 *                             default configuration; their ids are those of numbers 1 to N
 *   grow_journal --ask DIR N  prints how many ids of the numbers 1 to N it does not know */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "fsm/command.h"
#include "journal/journal.h"

#define JOBS_PER_COMMIT 250
#define BOOT "6c1f2a70-5a3e-4b0e-8a54-1a4b0d3b9d1c"

static struct journal *j;
static int64_t now = INT64_C(1714842447983);
static int64_t last_effect;

static void must(int r, const struct err *err, const char *what)
{
    if (r >= 0)
        return;
    (void)fprintf(stderr, "grow_journal: %s: %s\n", what, err->text);
    exit(EXIT_FAILURE);
}

/* As the service makes them, but not at random. */
static void name_job(int64_t n, char ret_id[FSM_ID_SIZE], char ret_message_id[128])
{
    (void)snprintf(ret_id, FSM_ID_SIZE, "2b196342-d7d4-436e-8f09-%012" PRIx64, (uint64_t)n);
    (void)snprintf(ret_message_id, 128, "aws.ssm.%s.i-0123456789abcdef0", ret_id);
}

static void put_replies(const struct fsm_instance *inst, const struct fsm_out *out)
{
    size_t i;

    for (i = 0; i < out->n_opens; i++) {
        const char *name = inst->machine->effects[out->opens[i].kind].name;
        struct journal_reply reply = {.effect_id = out->opens[i].id};
        char payload[1500];
        struct err err;

        if (!str_eq(name, "reply") && !str_eq(name, "report"))
            continue;
        (void)snprintf(reply.reply_id, sizeof(reply.reply_id),
                       "a3c1c0de-7a0f-4c36-8f0b-%012" PRIx64, (uint64_t)out->opens[i].id);
        (void)str_copy(reply.kind, sizeof(reply.kind), str_eq(name, "report") ? "final" : "step");
        memset(payload, 'x', sizeof(payload)); /* about what a reply of one step takes */
        reply.payload = payload;
        reply.payload_len = sizeof(payload);
        must(j->ops->put_reply(j, &reply, now, &err), &err, "reply");
    }
}

static void step(struct fsm_instance *inst, uint8_t event, int completes, const void *detail)
{
    const struct fsm_effect *effect =
        completes >= 0 ? fsm_find_effect_kind(inst, (uint8_t)completes) : NULL;
    struct fsm_event ev = {.kind = event,
                           .effect_id = effect != NULL ? effect->id : 0,
                           .at_unix_ms = now += 5,
                           .boot_id = BOOT,
                           .detail = detail};
    struct fsm_out out = {0};
    struct journal_transition t = {
        .inst = inst, .event = inst->machine->events[event], .at_unix_ms = ev.at_unix_ms};
    struct err err;
    size_t i;

    if (fsm_step(inst, &ev, &out) != FSM_MOVED) {
        (void)fprintf(stderr, "grow_journal: %s did not move on %s\n", inst->id, t.event);
        exit(EXIT_FAILURE);
    }
    for (i = 0; i < out.n_opens; i++)
        out.opens[i].id = ++last_effect;
    t.from = inst->machine->states[out.from].name;
    t.detail = out.detail;
    t.opens = out.opens;
    t.n_opens = out.n_opens;
    t.closes = out.closes;
    t.n_closes = out.n_closes;
    t.child_lo = out.child_lo;
    t.child_hi = out.child_hi;
    must(j->ops->put_transition(j, &t, &err), &err, inst->id);
    put_replies(inst, &out);
    must(fsm_adopt(inst, &out), &err, "adopt");
    fsm_out_done(&out);
}

/* Everything that is open is taken: replies, the acknowledgement. */
static void close_rest(struct fsm_instance *inst)
{
    int64_t ids[16];
    size_t i, n = 0;
    struct err err;

    for (i = 0; i < inst->n_effects && n < ARRAY_LEN(ids); i++)
        if (inst->effects[i].kind == COMMAND_FX_REPLY ||
            inst->effects[i].kind == COMMAND_FX_ACKNOWLEDGE)
            ids[n++] = inst->effects[i].id;
    must(j->ops->close_effects(j, ids, n, now, &err), &err, "close");
    for (i = 0; i < n; i++)
        fsm_drop_effect(inst, ids[i]);
}

static void run_job(int64_t n)
{
    char id[FSM_ID_SIZE], message_id[128], payload[1200];
    struct journal_message message = {.message_id = message_id,
                                      .channel = "ec2messages",
                                      .topic = "aws.ssm.sendCommand.us.east.1.1",
                                      .destination = "i-0123456789abcdef0",
                                      .created_date = "2024-05-04T17:07:27.983Z",
                                      .payload = payload,
                                      .payload_len = sizeof(payload),
                                      .instance_id = id,
                                      .received_unix_ms = now};
    struct command_result fine = {.status = "Success", .outcome = "exited"};
    struct fsm_instance inst;
    struct err err;

    name_job(n, id, message_id);
    memset(payload, '{', sizeof(payload));
    must(fsm_instance_init(&inst, &command_machine, id, 1, now, &err), &err, id);
    command_unit_at(&inst, 0)->limit_ms = 3600000;
    command_of(&inst)->n_plugins = 1;
    command_of(&inst)->max_reboots = COMMAND_DEFAULT_MAX_REBOOTS;
    (void)str_copy(command_of(&inst)->channel, sizeof(command_of(&inst)->channel), "ec2messages");
    must(j->ops->put_message(j, &message, &err), &err, message_id);
    must(j->ops->put_instance(j, &inst, &err), &err, id);
    step(&inst, COMMAND_EV_ACCEPT, -1, NULL);
    step(&inst, COMMAND_EV_START, -1, NULL);
    step(&inst, COMMAND_EV_EXITED, COMMAND_FX_SPAWN, &fine);
    close_rest(&inst);
    step(&inst, COMMAND_EV_REPORTED, COMMAND_FX_REPORT, NULL);
    fsm_instance_done(&inst);
}

static void count_removed(void *ctx, const char *instance_id)
{
    (void)instance_id;
    ++*(int64_t *)ctx;
}

/* As agent/upkeep.c does it. */
static void prune(void)
{
    const struct journal_retention r = {
        .max_bytes = 256 << 20, .ledger_max_rows = (256 << 20) / 4 / 640, .max_jobs_per_call = 50};
    int64_t n_removed;
    struct err err;

    do {
        n_removed = 0;
        must(j->ops->prune(j, &r, 0, now, count_removed, &n_removed, &err), &err, "retention");
    } while (n_removed > 0);
}

static void grow(int64_t n_jobs)
{
    struct err err;
    int64_t n;

    for (n = 1; n <= n_jobs; n++) {
        if (n % JOBS_PER_COMMIT == 1)
            must(j->ops->begin(j, &err), &err, "begin");
        run_job(n);
        if (n % JOBS_PER_COMMIT == 0 || n == n_jobs) {
            must(j->ops->commit(j, &err), &err, "commit");
            prune();
        }
    }
    must(j->ops->publish_head(j, &err), &err, "ledger's head");
}

static void ask(int64_t n_jobs)
{
    char id[FSM_ID_SIZE], message_id[128];
    enum journal_known by_id, by_message;
    int64_t n, n_unknown = 0;
    struct err err;

    for (n = 1; n <= n_jobs; n++) {
        name_job(n, id, message_id);
        must(j->ops->find(j, NULL, id, &by_id, &err), &err, id);
        must(j->ops->find(j, message_id, NULL, &by_message, &err), &err, message_id);
        n_unknown += by_id == JOURNAL_UNKNOWN || by_message == JOURNAL_UNKNOWN ? 1 : 0;
    }
    printf("%" PRId64 "\n", n_unknown);
}

int main(int argc, char **argv)
{
    char path[4096], head_path[4096];
    struct journal_options o = {.path = path, .head_path = head_path, .boot_id = BOOT};
    bool is_asking = argc == 4 && str_eq(argv[1], "--ask");
    int64_t n_jobs = 0;
    struct err err;

    if ((argc != 3 && !is_asking) || !str_to_i64(argv[argc - 1], 1, INT32_MAX, &n_jobs)) {
        (void)fprintf(stderr, "usage: grow_journal [--ask] DIR N\n");
        return 100;
    }
    (void)snprintf(path, sizeof(path), "%s/journal.db", argv[argc - 2]);
    (void)snprintf(head_path, sizeof(head_path), "%s/ledger.head", argv[argc - 2]);
    must(journal_open_sqlite(&o, &j, &err), &err, path);
    must(j->ops->last_effect_id(j, &last_effect, &err), &err, path);
    if (is_asking)
        ask(n_jobs);
    else
        grow(n_jobs);
    journal_close(j);
    return EXIT_SUCCESS;
}
