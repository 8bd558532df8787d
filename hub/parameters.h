/* The parameters of a command: what an operator gave, checked against what the document declares,
 * and put into the form that an agent gets (spec 03, section 3.4; spec 04). Pure. */
#ifndef SSMD_HUB_PARAMETERS_H
#define SSMD_HUB_PARAMETERS_H

#include "schema/json.h"

/* Check `given` (an object of lists of strings; NULL: none) against `declared` (the document's
 * "parameters"; NULL: none) and append the object of typed values to *ret_json. ERR_INVALID names
 * the parameter; ERR_NOMEM. Patterns that this machine's regular expressions cannot express are not
 * checked here: the agent does. */
int parameters_build(const cJSON *declared, const cJSON *given, struct buf *ret_json,
                     struct err *err) MUST_CHECK;

/* The declarations themselves, when a document is made. ERR_INVALID names the parameter. */
int parameters_check_declared(const cJSON *declared, struct err *err) MUST_CHECK;

/* What "{{ name }}" in an input stands for: the first given value, else the default, else NULL. A
 * text that is no such reference stands for itself. Borrowed. */
const char *parameters_resolve(const cJSON *declared, const cJSON *given, const char *text);

#endif
