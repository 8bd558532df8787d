/* A journal with work in all conditions. */
#include "ctl_scribe.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/sha256.h"
#include "base/str.h"
#include "fsm/delivery.h"

void scribe_open(struct scribe *s, const struct world *w)
{
    const struct journal_options options = {
        .path = w->paths.journal, .head_path = w->paths.ledger_head, .boot_id = "boot-1"};

    *s = (struct scribe){.world = w,
                         .c = {.boot_id = "boot-1",
                               .node = "i-1",
                               .now = WORLD_NOW_MS - 600000,
                               .tick_ms = 1000,
                               .reply_id_beginning = "reply-"}};
    CHRONICLE_MUST(journal_open_sqlite(&options, &s->c.j, e_));
}

void scribe_close(struct scribe *s)
{
    CHRONICLE_MUST(s->c.j->ops->publish_head(s->c.j, e_));
    journal_close(s->c.j);
}

static void begin(struct scribe *s)
{
    CHRONICLE_MUST(s->c.j->ops->begin(s->c.j, e_));
}

static void commit(struct scribe *s)
{
    CHRONICLE_MUST(s->c.j->ops->commit(s->c.j, e_));
}

void scribe_accept(struct scribe *s, const char *id, const char *document, size_t n_units,
                   struct fsm_instance *ret_inst)
{
    struct command *c;

    begin(s);
    chronicle_receive_command(&s->c, id, n_units, ret_inst);
    c = command_of(ret_inst);
    (void)str_copy(c->document_name, sizeof(c->document_name), document);
    sha256_hex_of(document, strlen(document), c->document_sha256);
    CHRONICLE_MUST(s->c.j->ops->put_instance(s->c.j, ret_inst, e_));
    chronicle_step(&s->c, ret_inst, COMMAND_EV_ACCEPT, -1, NULL);
    commit(s);
}

void scribe_start(struct scribe *s, struct fsm_instance *inst)
{
    begin(s);
    chronicle_step(&s->c, inst, COMMAND_EV_START, -1, NULL);
    commit(s);
}

void scribe_exit(struct scribe *s, struct fsm_instance *inst, const char *status, int64_t code)
{
    char sha256[SHA256_HEX_SIZE], none[SHA256_HEX_SIZE];
    struct command_result result = {.status = status,
                                    .code = code,
                                    .outcome = "exited",
                                    .wait_status = code << 8,
                                    .started_unix_ms = s->c.now,
                                    .ended_unix_ms = s->c.now + 900,
                                    .stdout_bytes = 6,
                                    .stdout_sha256 = sha256,
                                    .stderr_sha256 = none};

    sha256_hex_of("hello\n", 6, sha256);
    sha256_hex_of("", 0, none);
    begin(s);
    chronicle_step(&s->c, inst, COMMAND_EV_EXITED, COMMAND_FX_SPAWN, &result);
    commit(s);
}

void scribe_report(struct scribe *s, struct fsm_instance *inst)
{
    begin(s);
    chronicle_report(&s->c, inst);
    commit(s);
}

void scribe_output(const struct scribe *s, const char *id, const char *attempt, const char *file,
                   const char *text)
{
    char path[2 * PATH_MAX];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%s/%s", s->world->paths.jobs_dir, id, attempt);
    CHRONICLE_MUST(fs_make_path(path, &fd, e_));
    CHRONICLE_MUST(fs_write_atomic(fd, file, text, strlen(text), 0600, false, e_));
    (void)close(fd);
}

static void answer_delivery(struct scribe *s)
{
    struct fsm_instance inst;
    int64_t reply;

    begin(s);
    chronicle_receive(&s->c, &delivery_machine, DELIVERY, 0, &inst);
    (void)str_copy(delivery_of(&inst)->channel, sizeof(delivery_of(&inst)->channel), "ec2messages");
    (void)str_copy(delivery_of(&inst)->kind, sizeof(delivery_of(&inst)->kind), "cancel");
    CHRONICLE_MUST(s->c.j->ops->put_instance(s->c.j, &inst, e_));
    chronicle_step(&s->c, &inst, DELIVERY_EV_CANCEL_ORDER, -1, "the job has ended");
    reply = fsm_find_effect_kind(&inst, DELIVERY_FX_REPLY)->id;
    chronicle_step(&s->c, &inst, DELIVERY_EV_ANSWERED, DELIVERY_FX_REPLY, NULL);
    CHRONICLE_MUST(s->c.j->ops->end_reply(s->c.j, reply, JOURNAL_REPLY_TAKEN, "", s->c.now, e_));
    commit(s);
    fsm_instance_done(&inst);
}

void scribe_all(struct scribe *s)
{
    struct fsm_instance inst;

    scribe_accept(s, JOB_DONE, "AWS-RunShellScript", 1, &inst);
    scribe_start(s, &inst);
    scribe_exit(s, &inst, "Success", 0);
    scribe_report(s, &inst);
    scribe_output(s, JOB_DONE, "0.1", "stdout", "hello\n");
    scribe_output(s, JOB_DONE, "0.1", "stderr", "a warning\n");
    fsm_instance_done(&inst);

    scribe_accept(s, JOB_RUNNING, "Two-Steps", 2, &inst);
    scribe_start(s, &inst);
    scribe_exit(s, &inst, "Success", 0);
    scribe_output(s, JOB_RUNNING, "0.1", "stdout", "first\n");
    scribe_output(s, JOB_RUNNING, "1.1", "stdout", "second, unfinished");
    fsm_instance_done(&inst);

    scribe_accept(s, JOB_FAILED, "Evil\033[2J\nName<script>\"x", 1, &inst);
    scribe_start(s, &inst);
    scribe_exit(s, &inst, "Failed", 3);
    fsm_instance_done(&inst);

    scribe_accept(s, JOB_QUEUED, "AWS-RunShellScript", 1, &inst);
    fsm_instance_done(&inst);
    answer_delivery(s);
}
