/* The reference agent's seelog.xml (spec 07, section 10.2): of it only how much is to be logged.
 * Any thread. */
#ifndef SSMD_SCHEMA_SEELOG_H
#define SSMD_SCHEMA_SEELOG_H

#include <stddef.h>

#include "base/err.h"

#define SEELOG_MAX_BYTES (256u << 10)

/* The least level that <seelog minlevel="..."> or levels="..." lets through, as log_set_levels()
 * names it: trace and debug are "debug", critical and off "error". "info" when it says nothing. A
 * static string. ERR_INVALID: not such a file; ERR_LIMIT, ERR_NOMEM. */
int seelog_level(const char *xml, size_t n, const char **ret_level, struct err *err) MUST_CHECK;

#endif
