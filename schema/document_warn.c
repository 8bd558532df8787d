/* What an author wrote and the reference ignores (spec 04, sections 1.3, 1.5, 4): said, so that
 * nobody believes that it works. Agent.StrictDocuments honours the fields that can be honoured. */
#include <math.h>
#include <string.h>

#include "base/str.h"
#include "schema/document_internal.h"
#include "schema/script.h"

#define STRICT_HINT "; Agent.StrictDocuments honours it"

void document_warn(struct buf *warnings, const char *where, const char *name, const char *text)
{
    if (warnings->len > 0)
        (void)buf_add_char(warnings, '\n');
    (void)buf_printf(warnings, "%s%s%s: %s", where, where[0] != '\0' ? "." : "", name, text);
}

static void warn_each(struct buf *warnings, const cJSON *object, const char *where,
                      const char *const *names, size_t n, const char *text)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (json_get(object, names[i]) != NULL)
            document_warn(warnings, where, names[i], text);
}

void document_warn_top(const cJSON *content, bool is_old, struct buf *warnings)
{
    static const char *const runbook[] = {"outputs", "files", "assumeRole", "variables"};
    const char *other = is_old ? "mainSteps" : "runtimeConfig";

    warn_each(warnings, content, "", runbook, ARRAY_LEN(runbook),
              "ignored: it belongs to Automation runbooks");
    if (json_get(content, other) != NULL)
        document_warn(warnings, "", other,
                      is_old ? "ignored: a document of this schema version runs runtimeConfig"
                             : "ignored: a document of this schema version runs mainSteps");
}

/* Fields beside `inputs` that only work among them, and those of runbooks. */
static void warn_of_fields(const cJSON *item, const char *where, bool is_strict,
                           struct buf *warnings)
{
    static const char *const runbook[] = {"isEnd",    "isCritical", "nextStep",
                                          "onCancel", "outputs",    "timeoutAction"};
    static const char *const misplaced[] = {"onSuccess", "finallyStep"};
    const cJSON *max_attempts = json_get(item, "maxAttempts");

    warn_each(warnings, item, where, runbook, ARRAY_LEN(runbook),
              "ignored: it belongs to Automation runbooks");
    warn_each(warnings, item, where, misplaced, ARRAY_LEN(misplaced),
              "ignored: it works among the inputs only");
    if (is_strict)
        return;
    if (json_get(item, "timeoutSeconds") != NULL)
        document_warn(warnings, where, "timeoutSeconds",
                      "ignored: the limit is the input timeoutSeconds" STRICT_HINT);
    if (max_attempts != NULL && max_attempts->valuedouble > 1)
        document_warn(warnings, where, "maxAttempts",
                      "ignored: a failed step is not tried again" STRICT_HINT);
    if (json_get(item, "onFailure") != NULL)
        document_warn(warnings, where, "onFailure",
                      "ignored: it works among the inputs only" STRICT_HINT);
}

/* Control inputs that are understood as nothing. */
static void warn_of_flow(const cJSON *inputs, const char *where, bool is_last, struct buf *warnings)
{
    const cJSON *on_failure = json_get_exact(inputs, "onFailure");
    const cJSON *on_success = json_get_exact(inputs, "onSuccess");
    const cJSON *finally_step = json_get_exact(inputs, "finallyStep");

    if (on_failure != NULL &&
        !(cJSON_IsString(on_failure) && (str_eq(on_failure->valuestring, "exit") ||
                                         str_eq(on_failure->valuestring, "successAndExit"))))
        document_warn(warnings, where, "inputs.onFailure",
                      "ignored: it is neither exit nor successAndExit");
    if (on_success != NULL &&
        !(cJSON_IsString(on_success) && str_eq(on_success->valuestring, "exit")))
        document_warn(warnings, where, "inputs.onSuccess", "ignored: it is not exit");
    if (finally_step != NULL && !is_last)
        document_warn(warnings, where, "inputs.finallyStep",
                      "ignored: it works on the last step only");
}

/* A limit that is not the one that was written. */
static void warn_of_limit(const cJSON *inputs, const char *where, struct buf *warnings)
{
    const cJSON *limit = json_get(inputs, "timeoutSeconds");
    double written = NAN;
    char text[120];

    if (limit == NULL)
        return;
    if (cJSON_IsNumber(limit))
        written = trunc(limit->valuedouble);
    else if (cJSON_IsString(limit) && limit->valuestring[0] == '\0')
        return; /* an optional parameter that was left empty */
    else if (cJSON_IsString(limit))
        written = trunc(strtod(limit->valuestring, NULL));
    if (written == (double)script_timeout_s(limit))
        return;
    (void)snprintf(text, sizeof(text), "not a number from %d to %d: %d s are used",
                   SCRIPT_TIMEOUT_MIN_S, SCRIPT_TIMEOUT_MAX_S, SCRIPT_TIMEOUT_DEFAULT_S);
    document_warn(warnings, where, "inputs.timeoutSeconds", text);
}

void document_warn_step(const cJSON *item, const cJSON *inputs, const char *where, bool is_old,
                        bool is_strict, bool is_last, struct buf *warnings)
{
    const char *name = strchr(where, '.'); /* without "DocumentContent" */
    const cJSON *element;

    where = name != NULL ? name + 1 : where;
    if (!is_old)
        warn_of_fields(item, where, is_strict, warnings);
    if (cJSON_IsArray(inputs)) {
        cJSON_ArrayForEach(element, inputs) warn_of_limit(element, where, warnings);
        return;
    }
    warn_of_flow(inputs, where, is_last, warnings);
    warn_of_limit(inputs, where, warnings);
}
