/* The table of plugins. */
#include "schema/plugin.h"

#include <stddef.h>

#include "base/cleanup.h"
#include "base/str.h"

static const struct plugin_info plugins[] = {
    /* name                    registered  implemented */
    {PLUGIN_SHELL_SCRIPT, true, true},     {PLUGIN_POWERSHELL_SCRIPT, true, false},
    {PLUGIN_RUN_DOCUMENT, true, true},     {"aws:downloadContent", true, false},
    {"aws:configurePackage", true, false}, {"aws:softwareInventory", true, false},
    {"aws:updateSsmAgent", true, false},   {"aws:refreshAssociation", true, false},
    {"aws:configureDocker", true, false},  {"aws:runDockerAction", true, false},
    {"aws:domainJoin", true, false},       {"aws:cloudWatch", true, false},
    {"aws:applications", false, false},    {"aws:psModule", false, false},
    {"aws:updateAgent", false, false},     {"aws:configureDaemon", false, false},
};

const struct plugin_info *plugin_find(const char *name)
{
    size_t i;

    for (i = 0; i < ARRAY_LEN(plugins); i++)
        if (str_eq(plugins[i].name, name))
            return &plugins[i];
    return NULL;
}
