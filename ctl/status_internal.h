/* `ssmctl status` in two halves: what ssmd says of itself, and what its journal knows. */
#ifndef SSMD_CTL_STATUS_INTERNAL_H
#define SSMD_CTL_STATUS_INTERNAL_H

#include <cjson/cJSON.h>
#include <stdio.h>

#include "base/paths.h"

/* Ask. On success the caller owns *ret_status, an object: cJSON_Delete(). Errors of client_ask().
 */
int status_live_ask(const struct paths *paths, cJSON **ret_status, struct err *err) MUST_CHECK;

/* Can ssmd take and keep new work? */
bool status_live_is_healthy(const cJSON *status);

/* The block of facts about the running ssmd, and its last errors. What is missing is left out, so
 * that an older ssmctl gets along with a later ssmd and the other way round. */
void status_live_print_facts(const cJSON *status, FILE *f);
void status_live_print_errors(const cJSON *status, FILE *f);

#endif
