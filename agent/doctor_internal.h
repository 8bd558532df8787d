/* What the files of the doctor share: the list of findings, and what was learned so far. */
#ifndef SSMD_AGENT_DOCTOR_INTERNAL_H
#define SSMD_AGENT_DOCTOR_INTERNAL_H

#include <cjson/cJSON.h>
#include <uv.h>

#include "agent/config.h"
#include "agent/node.h"
#include "base/buf.h"
#include "base/paths.h"

enum finding { FINDING_OK, FINDING_WARNING, FINDING_FAILED, FINDING_SKIPPED };

struct doctor {
    uv_loop_t loop;
    struct paths paths;
    struct config config;
    const char *config_path; /* --config, or NULL */
    bool is_json;
    cJSON *live; /* owned; status of the ssmd that runs, or NULL */
    struct buf json;
    int n_checks, n_failed;
    /* who this node is, as far as it is known */
    char instance_id[400], region[101];
};

/* One line. `advice` may be NULL. */
void doctor_say(struct doctor *d, const char *check, enum finding finding, const char *advice,
                const char *fmt, ...) PRINTF_LIKE(5, 6);

/* doctor_local.c: what stands on this machine */
void doctor_check_configuration(struct doctor *d);
void doctor_check_state(struct doctor *d);
void doctor_check_journal(struct doctor *d);
void doctor_check_process(struct doctor *d);
/* doctor_net.c: identity, credentials, clock, endpoints */
void doctor_check_network(struct doctor *d);

#endif
