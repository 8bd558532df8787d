/* --param NAME=VALUE, as the document that it is for declares NAME (spec 04, section 2.1): a String
 * is taken as it stands; a StringList is one VALUE per --param, or one JSON list; every other type
 * is written as JSON. One thread. */
#ifndef SSMD_CTL_PARAMS_H
#define SSMD_CTL_PARAMS_H

#include <cjson/cJSON.h>

#include "base/buf.h"

/* Append the object of parameters to *ret_json. values[0..n) are the texts after --param. ERR_USAGE
 * names the parameter and says what it should look like. */
int params_to_json(const cJSON *document, const char *const *values, size_t n, struct buf *ret_json,
                   struct err *err) MUST_CHECK;

#endif
