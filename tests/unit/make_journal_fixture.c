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
#include "tests/lib/chronicle.h"

#define BOOT "6c1f2a70-5a3e-4b0e-8a54-1a4b0d3b9d1c"

static struct chronicle c = {.boot_id = BOOT,
                             .node = "i-0123456789abcdef0",
                             .now = INT64_C(1714842447983),
                             .tick_ms = 250,
                             .reply_id_beginning = "a3c1c0de-7a0f-4c36-8f0b-"};

/* One event in a commit of its own. */
static void step(struct fsm_instance *inst, uint8_t event, int completes, const void *detail)
{
    CHRONICLE_MUST(c.j->ops->begin(c.j, e_));
    chronicle_step(&c, inst, event, completes, detail);
    CHRONICLE_MUST(c.j->ops->commit(c.j, e_));
}

static void make(struct fsm_instance *inst, const struct fsm_machine *m, const char *id,
                 size_t n_units)
{
    CHRONICLE_MUST(c.j->ops->begin(c.j, e_));
    if (m == &command_machine) {
        chronicle_receive_command(&c, id, n_units, inst);
        (void)str_copy(command_of(inst)->document_name, sizeof(command_of(inst)->document_name),
                       "My-RunScript");
    } else {
        chronicle_receive(&c, m, id, n_units, inst);
    }
    CHRONICLE_MUST(c.j->ops->put_instance(c.j, inst, e_));
    CHRONICLE_MUST(c.j->ops->commit(c.j, e_));
}

static struct command_result result(const char *status, int64_t code)
{
    return (struct command_result){
        .status = status,
        .code = code,
        .outcome = "exited",
        .started_unix_ms = c.now - 200,
        .ended_unix_ms = c.now,
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
    CHRONICLE_MUST(c.j->ops->begin(c.j, e_));
    CHRONICLE_MUST(c.j->ops->put_fact(c.j, "node", c.node, e_));
    CHRONICLE_MUST(c.j->ops->commit(c.j, e_));
    CHRONICLE_MUST(c.j->ops->publish_head(c.j, e_));
}

static void verify(const char *path, const char *head_path)
{
    struct reader_options o = {.path = path};
    struct audit_options a = {.head_path = head_path};
    AUTO(reader_close) struct reader *r = NULL;
    struct journal_counts counts = {0};
    struct audit_report report;
    struct err err;

    chronicle_must(reader_open(&o, &r, &err), &err, path);
    chronicle_must(audit_verify(r, &a, &report, &err), &err, path);
    chronicle_must(reader_counts(r, &counts, &err), &err, path);
    if (report.n_findings > 0)
        chronicle_must(err_set(&err, ERR_CORRUPT, "%s %s: %s", report.first.table, report.first.key,
                               report.first.text),
                       &err, path);
    if (counts.n_open != 7 || counts.n_ended != 1 || report.n_ledger != 1)
        chronicle_must(err_set(&err, ERR_STATE, "%" PRId64 " open, %" PRId64 " ended",
                               counts.n_open, counts.n_ended),
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
    chronicle_must(fs_make_path(argv[1], &fd, &err), &err, argv[1]);
    chronicle_must(fs_remove_tree(fd, "journal.db", &err), &err, path);
    chronicle_must(fs_remove_tree(fd, "journal.db-wal", &err), &err, path);
    chronicle_must(fs_remove_tree(fd, "journal.db-shm", &err), &err, path);
    chronicle_must(journal_open_sqlite(&o, &c.j, &err), &err, path);
    fill();
    journal_close(c.j);
    chronicle_must(fs_remove_tree(fd, "journal.reserve", &err), &err, "reserve");
    (void)close(fd); /* a directory */
    verify(path, head_path);
    return EXIT_SUCCESS;
}
