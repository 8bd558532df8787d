/* The plugins of command documents: which names are known, which have a handler on Linux in the
 * reference, which this program runs. Spec 04 section 5, 10 section 1.1. Any thread; constant. */
#ifndef SSMD_SCHEMA_PLUGIN_H
#define SSMD_SCHEMA_PLUGIN_H

#include <stdbool.h>

#define PLUGIN_SHELL_SCRIPT "aws:runShellScript"
#define PLUGIN_POWERSHELL_SCRIPT "aws:runPowerShellScript"
#define PLUGIN_RUN_DOCUMENT "aws:runDocument"
#define PLUGIN_DOWNLOAD_CONTENT "aws:downloadContent"
#define PLUGIN_REFRESH_ASSOCIATION "aws:refreshAssociation"
#define PLUGIN_UPDATE_AGENT "aws:updateSsmAgent"

struct plugin_info {
    const char *name;
    bool is_registered;  /* has a handler on Linux: decides between skipping and failing */
    bool is_implemented; /* by us: a registered plugin without it fails with a text that says so */
    /* What a step of it says on its stderr, failed with code 1, whatever its inputs are: it never
     * runs as part of a command. NULL: it runs. */
    const char *refusal;
};

/* NULL when the name is not known. Names are compared exactly. */
const struct plugin_info *plugin_find(const char *name);

#endif
