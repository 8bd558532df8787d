/* `ssmctl node`: who this node is. */
#include "base/str.h"
#include "ctl/ctl.h"
#include "ctl/jsonw.h"
#include "ctl/status_internal.h"
#include "ctl/text.h"
#include "schema/json.h"

/* Keys as the reference's command-line tool calls them; where the status has them. */
static const struct {
    const char *key, *member;
    bool is_of_node; /* within "node" */
} facts[] = {
    {"instance-id", "instance_id", false},
    {"region", "region", false},
    {"release-version", "agent_version", true},
    {"platform-name", "platform_name", true},
    {"platform-version", "platform_version", true},
    {"computer-name", "computer_name", true},
    {"ip-address", "ip_address", true},
};

static const char *text_of(const cJSON *status, size_t i)
{
    const cJSON *object = facts[i].is_of_node ? json_get_exact(status, "node") : status;
    const char *text = cJSON_GetStringValue(json_get_exact(object, facts[i].member));

    return text != NULL ? text : "";
}

static void print(FILE *f, const cJSON *status)
{
    size_t i;

    for (i = 0; i < ARRAY_LEN(facts); i++) {
        const char *text = text_of(status, i);

        (void)fprintf(f, "%-16s ", facts[i].key);
        text_put(f, text[0] != '\0' ? text : "-");
        (void)fputc('\n', f);
    }
}

int ctl_run_node(struct ctl *c, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *status = NULL;
    struct jsonw w;
    size_t i;
    int r = status_live_ask(&c->paths, &status, err);

    if (r < 0)
        return r;
    if (!c->is_json) {
        print(c->out, status);
        return CTL_OK;
    }
    ctl_begin_json(c, &w);
    jsonw_open_object(&w, NULL);
    for (i = 0; i < ARRAY_LEN(facts); i++)
        jsonw_str(&w, facts[i].key, text_of(status, i));
    jsonw_close_object(&w);
    return jsonw_end(&w, err);
}
