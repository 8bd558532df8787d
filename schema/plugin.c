/* The table of plugins. */
#include "schema/plugin.h"

#include <stddef.h>

#include "base/cleanup.h"
#include "base/str.h"

static const struct plugin_info plugins[] = {
    /* name, registered, implemented, refusal */
    {PLUGIN_SHELL_SCRIPT, true, true, NULL},
    {PLUGIN_POWERSHELL_SCRIPT, true, true, NULL},
    {PLUGIN_RUN_DOCUMENT, true, true, NULL},
    {PLUGIN_DOWNLOAD_CONTENT, true, true, NULL},
    {PLUGIN_REFRESH_ASSOCIATION, true, true, NULL},
    {"aws:configurePackage", true, false, NULL},
    {"aws:softwareInventory", true, true,
     "aws:softwareInventory plugin can only be invoked via ssm-associate"},
    {PLUGIN_UPDATE_AGENT, true, true, NULL},
    {"aws:configureDocker", true, false, NULL},
    {"aws:runDockerAction", true, false, NULL},
    {"aws:domainJoin", true, false, NULL},
    {"aws:cloudWatch", true, true, "Plugin aws:cloudWatch is not registered by agent"},
    {"aws:applications", false, false, NULL},
    {"aws:psModule", false, false, NULL},
    {"aws:updateAgent", false, false, NULL},
    {"aws:configureDaemon", false, false, NULL},
};

const struct plugin_info *plugin_find(const char *name)
{
    size_t i;

    for (i = 0; i < ARRAY_LEN(plugins); i++)
        if (str_eq(plugins[i].name, name))
            return &plugins[i];
    return NULL;
}
