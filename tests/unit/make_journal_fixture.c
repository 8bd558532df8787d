/* Writes a journal with work in flight, as a release leaves it behind: one such file per release is
 * kept in tests/fixtures/journal/, and every later version must be able to go on from it.
 *
 *   make_journal_fixture DIR      makes DIR/journal.db and verifies it
 *
 * Times and ids are fixed, so that two runs of one version give the same history. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "fsm/command.h"
#include "fsm/delivery.h"
#include "journal/audit.h"
#include "journal/journal.h"

#define BOOT "6c1f2a70-5a3e-4b0e-8a54-1a4b0d3b9d1c"

static struct journal *j;
static int64_t now = INT64_C(1714842447983);
static int64_t last_effect;

static void must(int r, const struct err *err, const char *what)
{
    if (r >= 0)
        return;
    (void)fprintf(stderr, "make_journal_fixture: %s: %s\n", what, err->text);
    exit(EXIT_FAILURE);
}

/* Every open effect that sends something to the service has its reply in the outbox. */
static void put_replies(const struct fsm_instance *inst, const struct fsm_out *out)
{
    size_t i;

    for (i = 0; i < out->n_opens; i++) {
        const char *name = inst->machine->effects[out->opens[i].kind].name;
        struct journal_reply reply = {.effect_id = out->opens[i].id};
        char payload[64];
        struct err err;

        if (!str_eq(name, "reply") && !str_eq(name, "report"))
            continue;
        (void)snprintf(reply.reply_id, sizeof(reply.reply_id),
                       "a3c1c0de-7a0f-4c36-8f0b-%012" PRId64, out->opens[i].id);
        (void)snprintf(reply.message_id, sizeof(reply.message_id), "aws.ssm.%s.i-0123456789abcdef0",
                       inst->id);
        (void)str_copy(reply.kind, sizeof(reply.kind),
                       str_eq(name, "report")  ? "final"
                       : out->opens[i].arg < 0 ? "receipt"
                                               : "step");
        (void)snprintf(payload, sizeof(payload), "{\"documentStatus\":\"%s\"}", fsm_status(inst));
        reply.payload = payload;
        reply.payload_len = strlen(payload);
        must(j->ops->put_reply(j, &reply, now, &err), &err, "reply");
    }
}

/* One event, completing the open effect of kind `completes` (-1: none), in a commit of its own. */
static void step(struct fsm_instance *inst, uint8_t event, int completes, const void *detail)
{
    const struct fsm_effect *effect =
        completes >= 0 ? fsm_find_effect_kind(inst, (uint8_t)completes) : NULL;
    struct fsm_event ev = {
        .kind = event,
        .effect_id = effect != NULL ? effect->id : 0,
        .at_unix_ms = now += 250,
        .boot_id = BOOT,
        .detail = detail,
    };
    struct fsm_out out = {0};
    struct journal_transition t = {
        .inst = inst, .event = inst->machine->events[event], .at_unix_ms = ev.at_unix_ms};
    struct err err;
    size_t i;

    if (fsm_step(inst, &ev, &out) != FSM_MOVED) {
        (void)fprintf(stderr, "make_journal_fixture: %s did not move on %s\n", inst->id, t.event);
        exit(EXIT_FAILURE);
    }
    for (i = 0; i < out.n_opens; i++)
        out.opens[i].id = ++last_effect;
    inst->deadline = (struct fsm_deadline){.boot_id = ""};
    if (out.deadline_ms > 0) {
        (void)str_copy(inst->deadline.boot_id, sizeof(inst->deadline.boot_id), BOOT);
        inst->deadline.boottime_ms = 60000 + out.deadline_ms;
        inst->deadline.after_ms = out.deadline_ms;
    }
    t.from = inst->machine->states[out.from].name;
    t.detail = out.detail;
    t.opens = out.opens;
    t.n_opens = out.n_opens;
    t.closes = out.closes;
    t.n_closes = out.n_closes;
    t.child_lo = out.child_lo;
    t.child_hi = out.child_hi;
    must(j->ops->begin(j, &err), &err, "begin");
    must(j->ops->put_transition(j, &t, &err), &err, inst->id);
    put_replies(inst, &out);
    must(j->ops->commit(j, &err), &err, "commit");
    must(fsm_adopt(inst, &out), &err, "adopt");
    fsm_out_done(&out);
}

static void make(struct fsm_instance *inst, const struct fsm_machine *m, const char *id,
                 size_t n_units)
{
    char message_id[128], payload[128];
    struct journal_message message = {
        .message_id = message_id,
        .channel = "ec2messages",
        .topic = "aws.ssm.sendCommand.us.east.1.1",
        .destination = "i-0123456789abcdef0",
        .created_date = "2024-05-04T17:07:27.983Z",
        .payload = payload,
        .instance_id = id,
        .received_unix_ms = now,
    };
    struct err err;
    size_t i;

    must(fsm_instance_init(inst, m, id, n_units, now, &err), &err, id);
    for (i = 0; i < n_units; i++) {
        command_unit_at(inst, i)->plugin = (int64_t)i;
        command_unit_at(inst, i)->limit_ms = 3600000;
    }
    if (m == &command_machine) {
        command_of(inst)->n_plugins = (int64_t)n_units;
        command_of(inst)->max_reboots = COMMAND_DEFAULT_MAX_REBOOTS;
        (void)str_copy(command_of(inst)->channel, sizeof(command_of(inst)->channel), "ec2messages");
        (void)str_copy(command_of(inst)->document_name, sizeof(command_of(inst)->document_name),
                       "My-RunScript");
    }
    (void)snprintf(message_id, sizeof(message_id), "aws.ssm.%s.i-0123456789abcdef0", id);
    (void)snprintf(payload, sizeof(payload), "{\"CommandId\":\"%s\"}", id);
    message.payload_len = strlen(payload);
    must(j->ops->begin(j, &err), &err, "begin");
    must(j->ops->put_message(j, &message, &err), &err, message_id);
    must(j->ops->put_instance(j, inst, &err), &err, id);
    must(j->ops->commit(j, &err), &err, "commit");
}

static struct command_result result(const char *status, int64_t code)
{
    return (struct command_result){
        .status = status,
        .code = code,
        .outcome = "exited",
        .started_unix_ms = now - 200,
        .ended_unix_ms = now,
        .stdout_bytes = 6,
        .stdout_sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
        .stderr_sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    };
}

/* How far each command has come. */
enum stage { QUEUED, RUNNING_FIRST, RUNNING_SECOND, REBOOTING, STOPPING, REPORTING, DONE };

static void make_command(const char *id, enum stage stage)
{
    struct command_result fine = result("Success", 0), reboot = result("SuccessAndReboot", 194);
    struct fsm_instance inst;

    make(&inst, &command_machine, id, 2);
    step(&inst, COMMAND_EV_ACCEPT, -1, NULL);
    if (stage >= RUNNING_FIRST)
        step(&inst, COMMAND_EV_START, -1, NULL);
    if (stage >= RUNNING_SECOND)
        step(&inst, COMMAND_EV_EXITED, COMMAND_FX_SPAWN, stage == REBOOTING ? &reboot : &fine);
    if (stage == STOPPING)
        step(&inst, COMMAND_EV_CANCEL, -1, NULL);
    if (stage >= REPORTING)
        step(&inst, COMMAND_EV_EXITED, COMMAND_FX_SPAWN, &fine);
    if (stage == DONE)
        step(&inst, COMMAND_EV_REPORTED, COMMAND_FX_REPORT, NULL);
    fsm_instance_done(&inst);
}

static void fill(void)
{
    struct fsm_instance inst;
    struct err err;

    make_command("2b196342-d7d4-436e-8f09-000000000001", DONE);
    make_command("2b196342-d7d4-436e-8f09-000000000002", QUEUED);
    make_command("2b196342-d7d4-436e-8f09-000000000003", RUNNING_FIRST);
    make_command("2b196342-d7d4-436e-8f09-000000000004", RUNNING_SECOND);
    make_command("2b196342-d7d4-436e-8f09-000000000005", REBOOTING);
    make_command("2b196342-d7d4-436e-8f09-000000000006", STOPPING);
    make_command("2b196342-d7d4-436e-8f09-000000000007", REPORTING);
    make(&inst, &delivery_machine, "2b196342-d7d4-436e-8f09-000000000008", 0);
    step(&inst, DELIVERY_EV_CANCEL_ORDER, -1, "it had ended");
    fsm_instance_done(&inst);
    must(j->ops->begin(j, &err), &err, "begin");
    must(j->ops->put_fact(j, "node", "i-0123456789abcdef0", &err), &err, "fact");
    must(j->ops->commit(j, &err), &err, "commit");
    must(j->ops->publish_head(j, &err), &err, "ledger's head");
}

static void verify(const char *path, const char *head_path)
{
    struct reader_options o = {.path = path};
    struct audit_options a = {.head_path = head_path};
    AUTO(reader_close) struct reader *r = NULL;
    struct journal_counts c = {0};
    struct audit_report report;
    struct err err;

    must(reader_open(&o, &r, &err), &err, path);
    must(audit_verify(r, &a, &report, &err), &err, path);
    must(reader_counts(r, &c, &err), &err, path);
    if (report.n_findings > 0)
        must(err_set(&err, ERR_CORRUPT, "%s %s: %s", report.first.table, report.first.key,
                     report.first.text),
             &err, path);
    if (c.n_open != 7 || c.n_ended != 1 || report.n_ledger != 1)
        must(err_set(&err, ERR_STATE, "%" PRId64 " open, %" PRId64 " ended", c.n_open, c.n_ended),
             &err, path);
}

int main(int argc, char **argv)
{
    char path[4096], head_path[4096];
    struct journal_options o = {.path = path, .head_path = head_path, .boot_id = BOOT};
    struct err err;
    int fd;

    if (argc != 2) {
        (void)fprintf(stderr, "usage: make_journal_fixture DIR\n");
        return 100;
    }
    (void)snprintf(path, sizeof(path), "%s/journal.db", argv[1]);
    (void)snprintf(head_path, sizeof(head_path), "%s/ledger.head", argv[1]);
    must(fs_make_path(argv[1], &fd, &err), &err, argv[1]);
    must(fs_remove_tree(fd, "journal.db", &err), &err, path);
    must(fs_remove_tree(fd, "journal.db-wal", &err), &err, path);
    must(fs_remove_tree(fd, "journal.db-shm", &err), &err, path);
    must(journal_open_sqlite(&o, &j, &err), &err, path);
    fill();
    journal_close(j);
    must(fs_remove_tree(fd, "journal.reserve", &err), &err, "reserve");
    (void)close(fd); /* a directory */
    verify(path, head_path);
    return EXIT_SUCCESS;
}
