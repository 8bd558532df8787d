/* Directories of reported jobs that are not wanted any more. */
#include "agent/tidy.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "fsm/command.h"
#include "fsm/upload.h"
#include "schema/json.h"

#define MAX_IN_USE_BYTES (4u << 20)
#define MAX_REPLY_BYTES (8u << 20)

bool tidy_is_wanted(const struct config *c)
{
    return !str_eq(c->orchestration_cleanup, "default") ||
           str_eq(c->plugin_output_cleanup, "after-execution");
}

/* The callback owns the instance. */
static int note_open(void *ctx, struct fsm_instance *inst, struct err *err)
{
    struct tidy *t = ctx;

    (void)err;
    if (inst->machine == &upload_machine)
        (void)buf_printf(&t->in_use, "\n%s\n", command_root_id(upload_of(inst)->job));
    fsm_instance_done(inst);
    return 0; /* buf_error() is asked at the end */
}

int tidy_begin(struct tidy *t, struct journal *journal, const struct config *c, struct err *err)
{
    int r;

    t->journal = journal;
    t->config = c;
    buf_init(&t->in_use, MAX_IN_USE_BYTES);
    r = journal->ops->load(journal, note_open, t, err);
    return r < 0 ? r : buf_error(&t->in_use, "list of uploads", err);
}

static bool is_in_use(const struct tidy *t, const char *root_id)
{
    char line[FSM_ID_SIZE + 3];

    (void)snprintf(line, sizeof(line), "\n%s\n", root_id);
    return strstr(buf_str(&t->in_use), line) != NULL;
}

/* The status that the service was told; false when there was none to tell. */
static bool get_status(const struct tidy *t, const char *root_id, char *ret, size_t size)
{
    AUTO(cJSON_Delete) cJSON *payload = NULL;
    struct journal_reply reply = {.payload = NULL};
    const char *status = NULL;
    struct err err;
    int r = t->journal->ops->get_final_reply(t->journal, root_id, &reply, &err);

    if (r == 0)
        r = json_parse(reply.payload, reply.payload_len, MAX_REPLY_BYTES, JSON_MEND, "reply",
                       &payload, &err);
    if (r == 0)
        r = json_get_string(payload, "reply", "documentStatus", size - 1, &status, &err);
    if (r == 0 && status != NULL)
        (void)str_copy(ret, size, status); /* not longer, as asked */
    journal_reply_done(&reply);
    return r == 0 && status != NULL;
}

bool tidy_may_remove(const struct tidy *t, const char *job_id)
{
    const char *root_id = command_root_id(job_id), *how = t->config->orchestration_cleanup;
    enum journal_known known;
    char status[32];
    struct err err;

    if (t->journal->ops->find(t->journal, NULL, root_id, &known, &err) < 0 ||
        known != JOURNAL_ENDED || is_in_use(t, root_id) ||
        !get_status(t, root_id, status, sizeof(status)))
        return false;
    if (str_eq(t->config->plugin_output_cleanup, "after-execution"))
        return true;
    return (str_has_prefix(how, "clean-success") && str_eq(status, "Success")) ||
           (str_eq(how, "clean-success-failed") && str_eq(status, "Failed"));
}

void tidy_done(struct tidy *t)
{
    buf_done(&t->in_use);
}
