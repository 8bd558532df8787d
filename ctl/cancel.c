/* `ssmctl cancel`: ssmd decides; the journal only says which job is meant. */
#include <string.h>

#include "base/str.h"
#include "ctl/client.h"
#include "ctl/ctl.h"
#include "ctl/history.h"
#include "ctl/jsonw.h"
#include "ctl/text.h"
#include "schema/json.h"

static int ask(const struct ctl *c, const char *job, cJSON **ret_answer, struct err *err)
{
    AUTO(buf_done) struct buf question = {0};

    buf_init(&question, 1024);
    (void)buf_add_str(&question, "{\"op\":\"cancel\",\"job\":"); /* client_ask() looks */
    (void)buf_add_json_str(&question, job, strlen(job));
    (void)buf_add_char(&question, '}');
    return client_ask(&c->paths, &question, ret_answer, err);
}

int ctl_run_cancel(struct ctl *c, struct err *err)
{
    AUTO(reader_close) struct reader *reader = NULL;
    AUTO(cJSON_Delete) cJSON *answer = NULL;
    struct reader_instance found;
    char job[FSM_ID_SIZE];
    const char *text;
    struct jsonw w;
    int r;

    if ((r = history_open(&c->paths, &reader, err)) < 0 ||
        (r = history_pick(reader, c->args[0], &found, err)) < 0)
        return r;
    (void)str_copy(job, sizeof(job), found.id); /* of the same size */
    reader_instance_done(&found);
    r = ask(c, job, &answer, err);
    if (r < 0)
        return err_wrap(err, "cancel job %s", job);
    text = cJSON_GetStringValue(json_get_exact(answer, "text"));
    if (c->is_json) {
        ctl_begin_json(c, &w);
        jsonw_open_object(&w, NULL);
        jsonw_str(&w, "job", job);
        jsonw_str(&w, "text", text);
        jsonw_close_object(&w);
        return jsonw_end(&w, err);
    }
    (void)fprintf(c->out, "%s: ", job);
    text_put(c->out, text != NULL ? text : "it is being cancelled");
    (void)fputc('\n', c->out);
    return CTL_OK;
}
