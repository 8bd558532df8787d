/* Inputs of aws:updateSsmAgent (spec 06, section 2.1). Any thread; no state. */
#ifndef SSMD_SCHEMA_UPDATE_INPUTS_H
#define SSMD_SCHEMA_UPDATE_INPUTS_H

#include "schema/json.h"

/* What documents call the agent. Both names mean this one. */
#define UPDATE_NAME_REFERENCE "amazon-ssm-agent"
#define UPDATE_NAME_OURS "ssmd"

struct update_inputs {
    const char *agent_name; /* borrowed, like the next */
    const char *target;     /* "" for the latest; "latest", "stable" (lower case), or a version */
    bool allow_downgrade;
    bool has_source; /* the document names an update source; ours comes from the configuration */
};

/* The text is what the step's user reads. ERR_INVALID, ERR_LIMIT. */
int update_inputs_parse(const cJSON *inputs, struct update_inputs *ret_inputs, struct err *err)
    MUST_CHECK;

#endif
