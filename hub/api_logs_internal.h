/* What both halves of CloudWatch Logs ask. */
#ifndef SSMD_HUB_API_LOGS_INTERNAL_H
#define SSMD_HUB_API_LOGS_INTERNAL_H

#include "hub/api.h"
#include "hub/store_log.h"

extern const struct str_rule rule_log_group, rule_log_stream; /* required */

/* 0, or refused with ResourceNotFoundException. */
int logs_want_group(struct call *call, const char *group, struct err *err) MUST_CHECK;
int logs_find_stream(struct call *call, const char *group, const char *stream, int64_t *ret_seq,
                     struct err *err) MUST_CHECK;
bool logs_has_group(struct call *call, const char *group, struct err *err);

#endif
