/* Inputs of aws:updateSsmAgent. */
#include "schema/update_inputs.h"

#include "base/str.h"
#include "base/version.h"

#define MAX_TEXT_BYTES 2048u

/* As Go's strconv.ParseBool, by which the reference reads it. */
static bool read_bool(const char *text, bool *ret_value)
{
    static const char *const words[2][6] = {{"0", "f", "F", "FALSE", "false", "False"},
                                            {"1", "t", "T", "TRUE", "true", "True"}};
    size_t i, k;

    for (i = 0; i < 2; i++)
        for (k = 0; k < ARRAY_LEN(words[i]); k++)
            if (str_eq(text, words[i][k])) {
                *ret_value = i == 1;
                return true;
            }
    return false;
}

static int read_downgrade(const cJSON *inputs, bool *ret_value, struct err *err)
{
    const char *text = NULL;
    int r = json_get_string(inputs, "", "allowDowngrade", MAX_TEXT_BYTES, &text, err);

    if (r < 0)
        return r;
    if (!read_bool(text != NULL ? text : "", ret_value))
        return err_set(err, ERR_INVALID,
                       "allowDowngrade \"%.60s\" is not understood: it must be the text true or "
                       "false",
                       text != NULL ? text : "");
    return 0;
}

static int read_target(const cJSON *inputs, const char **ret_target, struct err *err)
{
    const char *text = NULL;
    int r = json_get_string(inputs, "", "targetVersion", MAX_TEXT_BYTES, &text, err);

    if (r < 0)
        return r;
    if (text == NULL)
        text = "";
    if (str_eq_nocase(text, "stable"))
        text = "stable";
    if (text[0] != '\0' && !str_eq(text, "latest") && !str_eq(text, "stable") &&
        !version_is_valid(text))
        return err_set(err, ERR_INVALID,
                       "targetVersion \"%.60s\" is not understood: it must be empty, latest, "
                       "stable, or a version such as 1.2.3",
                       text);
    *ret_target = text;
    return 0;
}

int update_inputs_parse(const cJSON *inputs, struct update_inputs *ret_inputs, struct err *err)
{
    struct update_inputs i = {.agent_name = NULL};
    const char *source = NULL;
    int r = json_want_object(inputs, "inputs of aws:updateSsmAgent", err);

    if (r == 0)
        r = json_get_string(inputs, "", "agentName", MAX_TEXT_BYTES, &i.agent_name, err);
    if (r == 0 && (i.agent_name == NULL || i.agent_name[0] == '\0'))
        r = err_set(err, ERR_INVALID, "agentName is missing: it must name the agent, %s or %s",
                    UPDATE_NAME_REFERENCE, UPDATE_NAME_OURS);
    if (r == 0 && !str_eq(i.agent_name, UPDATE_NAME_REFERENCE) &&
        !str_eq(i.agent_name, UPDATE_NAME_OURS))
        r = err_set(err, ERR_INVALID,
                    "agentName \"%.60s\" is not the agent here: it must be %s or %s", i.agent_name,
                    UPDATE_NAME_REFERENCE, UPDATE_NAME_OURS);
    if (r == 0)
        r = read_downgrade(inputs, &i.allow_downgrade, err);
    if (r == 0)
        r = read_target(inputs, &i.target, err);
    if (r == 0)
        r = json_get_string(inputs, "", "source", MAX_TEXT_BYTES, &source, err);
    if (r < 0)
        return r;
    i.has_source = source != NULL && source[0] != '\0';
    *ret_inputs = i;
    return 0;
}
