/* The sentences of texts.h. */
#include "schema/texts.h"

#include <inttypes.h>
#include <signal.h>

#include "base/cleanup.h"
#include "base/version.h"

const char *text_ending(int64_t code, bool is_on_failure)
{
    if (is_on_failure)
        return TEXT_ON_FAILURE;
    return code == 168 ? TEXT_EXIT_168 : code == 169 ? TEXT_EXIT_169 : "";
}

void text_skipped_by_flow(struct buf *b, const char *plugin_name, const char *step_id)
{
    (void)buf_printf(
        b, "Plugin with name %s and id %s skipped due to prior step with an exit condition",
        plugin_name, step_id);
}

void text_exit_status(struct buf *b, int64_t exit_code)
{
    (void)buf_printf(b, "failed to run commands: exit status %" PRId64, exit_code);
}

void text_exit_signal(struct buf *b, int signal_number)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {
        {SIGHUP, "hangup"},
        {SIGINT, "interrupt"},
        {SIGQUIT, "quit"},
        {SIGILL, "illegal instruction"},
        {SIGTRAP, "trace/breakpoint trap"},
        {SIGABRT, "aborted"},
        {SIGBUS, "bus error"},
        {SIGFPE, "floating point exception"},
        {SIGKILL, "killed"},
        {SIGUSR1, "user defined signal 1"},
        {SIGSEGV, "segmentation fault"},
        {SIGUSR2, "user defined signal 2"},
        {SIGPIPE, "broken pipe"},
        {SIGALRM, "alarm clock"},
        {SIGTERM, "terminated"},
    };
    size_t i;

    for (i = 0; i < ARRAY_LEN(names); i++)
        if (names[i].number == signal_number) {
            (void)buf_printf(b, "failed to run commands: signal: %s", names[i].name);
            return;
        }
    (void)buf_printf(b, "failed to run commands: signal: signal %d", signal_number);
}

void text_start_failed(struct buf *b, const char *reason)
{
    (void)buf_printf(b, "failed to run commands: %s", reason);
}

void text_unknown_plugin(struct buf *b, const char *plugin_name, const char *step_id)
{
    (void)buf_printf(b,
                     "Plugin with name %s is not supported by this version of ssm agent, please "
                     "update to latest version. Step name: %s",
                     plugin_name, step_id);
}

void text_unregistered_plugin(struct buf *b, const char *plugin_name, const char *step_id)
{
    (void)buf_printf(b, "Plugin with name %s not found. Step name: %s", plugin_name, step_id);
}

void text_unsupported_plugin(struct buf *b, const char *plugin_name, const char *step_id)
{
    (void)buf_printf(b, "Step execution skipped due to unsupported plugin: %s. Step name: %s",
                     plugin_name, step_id);
}

void text_unimplemented_plugin(struct buf *b, const char *plugin_name, const char *step_id)
{
    (void)buf_printf(b,
                     "Plugin with name %s is known but not implemented in ssmd %s. Step "
                     "name: %s",
                     plugin_name, ssmd_version, step_id);
}

void text_precondition_needs_22(struct buf *b, const char *schema_version, const char *step_id)
{
    (void)buf_printf(b,
                     "Step not run: preconditions need schema version 2.2, the document has %s. "
                     "Step name: %s",
                     schema_version, step_id);
}

void text_precondition_unmet(struct buf *b, const char *list, const char *step_id)
{
    (void)buf_printf(b,
                     "Step execution skipped due to unsatisfied preconditions: '%s'. Step name: %s",
                     list, step_id);
}

void text_precondition_unclear(struct buf *b, const char *list, const char *step_id)
{
    (void)buf_printf(b,
                     "Step not run: preconditions that this version does not recognise: '%s'. "
                     "Correct them or update the agent. Step name: %s",
                     list, step_id);
}

void text_no_inputs(struct buf *b, const char *step_id)
{
    (void)buf_printf(b, "Step not run: its list of inputs is empty. Step name: %s", step_id);
}
