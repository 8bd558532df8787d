/* Documents as far as the hub needs to understand them. */
#include "hub/document.h"

#include <string.h>

#include "base/sha256.h"
#include "base/str.h"
#include "hub/json_out.h"
#include "hub/parameters.h"

#define DEFAULT_TIMEOUT_S 3600
#define MAX_TIMEOUT_S 172800

/* The public document, in the form in which the service hands it to agents. */
static const char run_shell_script[] =
    "{\"schemaVersion\":\"1.2\","
    "\"description\":\"Run a shell script or specify the commands to run.\","
    "\"parameters\":{"
    "\"commands\":{\"type\":\"StringList\","
    "\"description\":\"(Required) Specify a shell script or a command to run.\","
    "\"minItems\":1,\"displayType\":\"textarea\"},"
    "\"workingDirectory\":{\"type\":\"String\",\"default\":\"\","
    "\"description\":\"(Optional) The path to the working directory on your instance.\","
    "\"maxChars\":4096},"
    "\"executionTimeout\":{\"type\":\"String\",\"default\":\"3600\","
    "\"description\":\"(Optional) The time in seconds for a command to complete before it is "
    "considered to have failed.\","
    "\"allowedPattern\":\"([1-9][0-9]{0,4})|(1[0-6][0-9]{4})|(17[0-1][0-9]{3})|"
    "(172[0-7][0-9]{2})|(172800)\"}},"
    "\"runtimeConfig\":{\"aws:runShellScript\":{\"properties\":[{"
    "\"id\":\"0.aws:runShellScript\",\"runCommand\":\"{{ commands }}\","
    "\"workingDirectory\":\"{{ workingDirectory }}\","
    "\"timeoutSeconds\":\"{{ executionTimeout }}\"}]}}}";

/* Its source is the reference agent's: no agent but that one follows it. */
static const char update_ssm_agent[] =
    "{\"schemaVersion\":\"2.2\","
    "\"description\":\"Update the agent to the latest version or a specified version.\","
    "\"parameters\":{"
    "\"version\":{\"type\":\"String\",\"default\":\"\","
    "\"description\":\"(Optional) A version of the agent to install. If not specified, the agent "
    "is updated to the latest version.\"},"
    "\"allowDowngrade\":{\"type\":\"String\",\"default\":\"false\","
    "\"description\":\"(Optional) Allow the agent to be brought to an earlier version.\","
    "\"allowedValues\":[\"true\",\"false\"]}},"
    "\"mainSteps\":[{\"action\":\"aws:updateSsmAgent\",\"name\":\"awsupdateSsmAgent\",\"inputs\":{"
    "\"agentName\":\"amazon-ssm-agent\","
    "\"source\":\"https://s3.{Region}.amazonaws.com/amazon-ssm-{Region}/ssm-agent-manifest.json\","
    "\"allowDowngrade\":\"{{ allowDowngrade }}\","
    "\"targetVersion\":\"{{ version }}\"}}]}";

static const struct {
    const char *name, *content;
} built_in[] = {{"AWS-RunShellScript", run_shell_script}, {"AWS-UpdateSSMAgent", update_ssm_agent}};

static int bad(const char **ret_error_code, struct err *err, const char *text)
{
    *ret_error_code = "InvalidDocumentContent";
    return err_set(err, ERR_INVALID, "%s", text);
}

static int check_steps(const cJSON *steps, const char **ret_error_code, struct err *err)
{
    const cJSON *step, *other;

    if (!cJSON_IsArray(steps) || steps->child == NULL)
        return bad(ret_error_code, err, "mainSteps must be a list with at least one step");
    cJSON_ArrayForEach(step, steps)
    {
        const cJSON *action = json_get_exact(step, "action"), *name = json_get_exact(step, "name");

        if (!cJSON_IsString(action) || action->valuestring[0] == '\0' || !cJSON_IsString(name) ||
            name->valuestring[0] == '\0')
            return bad(ret_error_code, err,
                       "each step of mainSteps must be an object with the strings action and name");
        for (other = steps->child; other != step; other = other->next)
            if (str_eq(json_get_exact(other, "name")->valuestring, name->valuestring)) {
                *ret_error_code = "InvalidDocumentContent";
                return err_set(err, ERR_INVALID, "two steps of mainSteps are named \"%.100s\"",
                               name->valuestring);
            }
    }
    return 0;
}

int document_check(const cJSON *document, const char **ret_error_code, struct err *err)
{
    static const char *const versions[] = {"1.2", "2.0", "2.2"};
    const cJSON *version = json_get_exact(document, "schemaVersion"), *config;
    bool is_known = false;
    size_t i;
    int r;

    if (!cJSON_IsObject(document))
        return bad(ret_error_code, err, "the document must be a JSON object");
    for (i = 0; cJSON_IsString(version) && i < ARRAY_LEN(versions); i++)
        is_known = is_known || str_eq(version->valuestring, versions[i]);
    if (!is_known) {
        *ret_error_code = "InvalidDocumentSchemaVersion";
        return err_set(err, ERR_INVALID,
                       "schemaVersion must be \"1.2\", \"2.0\" or \"2.2\" for a Command document");
    }
    r = parameters_check_declared(json_get_exact(document, "parameters"), err);
    if (r < 0) {
        *ret_error_code = "InvalidDocumentContent";
        return r;
    }
    if (!str_eq(version->valuestring, "1.2"))
        return check_steps(json_get_exact(document, "mainSteps"), ret_error_code, err);
    config = json_get_exact(document, "runtimeConfig");
    if (!cJSON_IsObject(config) || config->child == NULL)
        return bad(ret_error_code, err, "runtimeConfig must be an object with at least one plugin");
    return 0;
}

void document_write_steps(const cJSON *document, struct buf *out)
{
    const cJSON *item;

    out_list(out, NULL);
    cJSON_ArrayForEach(item, json_get_exact(document, "mainSteps"))
        out_str(out, NULL, json_get_exact(item, "name")->valuestring);
    cJSON_ArrayForEach(item, json_get_exact(document, "runtimeConfig"))
        out_str(out, NULL, item->string);
    out_list_end(out);
}

static int64_t timeout_of(const cJSON *document, const cJSON *given, const cJSON *inputs)
{
    const cJSON *item = json_get_exact(inputs, "timeoutSeconds");
    const char *text = NULL;
    int64_t value;

    if (cJSON_IsNumber(item))
        return item->valueint > 0 ? item->valueint : DEFAULT_TIMEOUT_S;
    if (cJSON_IsString(item))
        text = parameters_resolve(json_get_exact(document, "parameters"), given, item->valuestring);
    return text != NULL && str_to_i64(text, 1, MAX_TIMEOUT_S, &value) ? value : DEFAULT_TIMEOUT_S;
}

int64_t document_execution_timeout_s(const cJSON *document, const cJSON *given)
{
    const cJSON *item, *property;
    int64_t sum = 0;

    cJSON_ArrayForEach(item, json_get_exact(document, "mainSteps")) sum +=
        timeout_of(document, given, json_get_exact(item, "inputs"));
    cJSON_ArrayForEach(item, json_get_exact(document, "runtimeConfig"))
        cJSON_ArrayForEach(property, json_get_exact(item, "properties")) sum +=
        timeout_of(document, given, property);
    return sum > 0 ? sum : DEFAULT_TIMEOUT_S;
}

static bool is_plugin_used(const cJSON *document, const char *plugin)
{
    const cJSON *item;

    cJSON_ArrayForEach(
        item, json_get_exact(document,
                             "mainSteps")) if (str_eq(json_get_exact(item, "action")->valuestring,
                                                      plugin)) return true;
    return json_get_exact(json_get_exact(document, "runtimeConfig"), plugin) != NULL;
}

bool document_runs_on(const cJSON *document, const char *platform)
{
    bool has_shell = is_plugin_used(document, "aws:runShellScript");
    bool has_power_shell = is_plugin_used(document, "aws:runPowerShellScript");

    if (str_eq(platform, "Windows"))
        return has_power_shell || !has_shell;
    return (str_eq(platform, "Linux") || str_eq(platform, "MacOS")) &&
           (has_shell || !has_power_shell);
}

void document_write_platforms(const cJSON *document, struct buf *out, const char *key)
{
    static const char *const platforms[] = {"Windows", "Linux", "MacOS"};
    size_t i;

    out_list(out, key);
    for (i = 0; i < ARRAY_LEN(platforms); i++)
        if (document_runs_on(document, platforms[i]))
            out_str(out, NULL, platforms[i]);
    out_list_end(out);
}

static int add_built_in(struct store *s, const char *name, const char *content, int64_t now_ms,
                        struct err *err)
{
    AUTO(cursor_done) struct cursor c = {0};
    struct document_row row = {.name = name,
                               .version = 1,
                               .version_name = "",
                               .format = "JSON",
                               .type = "Command",
                               .content = content,
                               .json = content,
                               .created_ms = now_ms};
    struct document_row found;
    char sha256[SHA256_HEX_SIZE];
    int r;

    store_document_versions(s, row.name, &c);
    r = cursor_next_document(&c, &found, err);
    if (r != 0)
        return r < 0 ? r : 0;
    sha256_hex_of(content, strlen(content), sha256);
    row.sha256 = sha256;
    r = store_document_add(s, &row, err);
    return r < 0 ? r : store_document_set_default(s, row.name, 1, err);
}

int document_add_built_in(struct store *s, int64_t now_ms, struct err *err)
{
    int r = store_begin(s, err);
    size_t i;

    if (r < 0)
        return r;
    for (i = 0; r == 0 && i < ARRAY_LEN(built_in); i++)
        r = add_built_in(s, built_in[i].name, built_in[i].content, now_ms, err);
    if (r == 0)
        r = store_commit(s, err);
    if (r < 0)
        store_rollback(s);
    return r;
}
